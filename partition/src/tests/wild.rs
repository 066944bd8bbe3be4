//! Random commands that no careful owner would write: repeated ids, other lives, timers never set.

use proptest::prelude::*;

/// Commands that no careful owner would write: repeated ids, other lives, timers never set.
pub(super) fn wild_commands() -> impl Strategy<Value = String> {
    prop::collection::vec(wild_command(), 1..4).prop_map(|commands| commands.join("; "))
}

const ENTRIES: [&str; 19] = [
    "step",
    "run 1",
    "run 2",
    "sleep 1 until 5",
    "sleep 2 until 900",
    "result 1 ok",
    "input",
    "output done",
    "run 1, result 1 a, result 1 b",
    "run 3, output done, sleep 4 until 9",
    "get 1 k, keys 1, set k v, set k bytes 9, clear k, clearall",
    "set k v, get 2 k, keys 2",
    "call 1 2 3 exclusive/a, call 1 2 2 plain start 900",
    "call 1 2 1 exclusive/a, send 1 2 shared/a start 900",
    "attach 1 1, attach 2 3, peek 1 2, peek 3 9",
    "signal 2 in 0 17 value x, signal 1 1 void, signal 3 paid failure 500 it broke",
    "heard 1, run 2",
    "await 1 paid, look 2 paid, fulfil 3 paid value x, fulfil 3 paid failure 500 it broke",
    "fulfil 1 paid value x, await 1 paid, await 2 sent",
];

const MESSAGES: [&str; 19] = [
    "attach 1 2.0 1",
    "attach 2 2.1 2",
    "peek 1 3.0 1",
    "complete 1.0 1 value x",
    "complete 2.1 2 failure 500 it broke",
    "signal 1 17 value x",
    "signal 2 in 0 paid void",
    "cancel 1",
    "cancel 2 sender 1.0",
    "kill 1",
    "kill 2 sender 1.0",
    "pause 1",
    "resume 1",
    "purge 1",
    "purgejournal 2",
    "restart 1 3",
    "restart 2 3 from 1 pin 6",
    "restart 1 1 from 99",
    "resumeon 2 6",
];

fn pick(texts: &[&'static str]) -> impl Strategy<Value = &'static str> + Clone + use<> {
    prop::sample::select(texts.to_vec())
}

fn wild_command() -> impl Strategy<Value = String> {
    let by = || {
        prop_oneof![
            4 => Just(String::new()),
            1 => (0_u64..4, 0_u32..3).prop_map(|(epoch, counter)| format!(" by {epoch}.{counter}")),
            1 => (0_u64..4).prop_map(|life| format!(" life {life}")),
        ]
    };
    let speaker = move || (1_u64..4, by()).prop_map(|(id, by)| format!("{id}{by}"));
    let kinds = pick(&[
        "plain",
        "exclusive/a",
        "exclusive/",
        "exclusive/a ttl 100",
        "shared/a",
        "plain start 900",
        "workflow/w",
        "workflowshared/w",
    ]);
    let sources = pick(&["", "from 3 1 ", "from 3 2 ", "from 3 18446744073709551614 ", "level 2 "]);
    let waits = pick(&["", " on 1", " on 1,2", " signals 17", " on 2 signals 1", " named paid"]);
    let thens = pick(&["retry 5", "retry 900", "retry 9223372036854775807", "pause", "kill"]);
    let timers = pick(&[
        "start at 900",
        "retry at 5",
        "retry at 900",
        "sleep 1 at 5",
        "sleep 2 at 900",
        "purge at 600000",
        "purge at 0",
        "journal at 300000",
    ]);
    let others = pick(&[
        "announce",
        "announce level 2",
        "resign",
        "opened",
        "checkpointed 9 9",
        "ingest rejected",
        "ingest from 3 1 rejected",
        "ingest at 0 invoke 1 plain",
        "delivered 0 1",
        "delivered 0 9",
        "delivered 7 9",
    ]);
    prop_oneof![
        4 => (sources.clone(), pick(&MESSAGES))
            .prop_map(|(source, message)| format!("ingest {source}{message}")),
        4 => (sources, 1_u64..4, kinds)
            .prop_map(|(source, id, kind)| format!("ingest {source}invoke {id} {kind}")),
        5 => (speaker(), pick(&ENTRIES)).prop_map(|(speaker, entries)| format!("append {speaker} {entries}")),
        3 => (speaker(), waits).prop_map(|(speaker, waits)| format!("suspend {speaker}{waits}")),
        3 => (speaker(), thens).prop_map(|(speaker, then)| format!("fail {speaker} {then}")),
        3 => speaker().prop_map(|speaker| format!("end {speaker}")),
        4 => (speaker(), timers).prop_map(|(speaker, timer)| format!("fire {speaker} {timer}")),
        1 => others.prop_map(str::to_owned),
    ]
}
