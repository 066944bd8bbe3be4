//! What holds for every function, however strange, and however its bytes are cut.

use everlog_log_schema::Entry;
use proptest::prelude::*;

use super::script::{input, message, start};
use crate::invoker::AttemptEventKind;
use crate::invoker::frame::FRAME_BYTES_MAX;
use crate::invoker::machine::Machine;

/// All that came of one attempt.
#[derive(Debug, Default, PartialEq, Eq)]
struct Whole {
    entries: Vec<Entry>,
    last: Option<AttemptEventKind>,
}

fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Whole {
    let mut machine = Machine::new(start(6, vec![input("in")]));
    let mut whole = Whole::default();
    let mut commands = 1;
    let mut take = |machine: &mut Machine| {
        for event in machine.take_events() {
            assert_eq!(whole.last, None, "nothing comes after the last event");
            let AttemptEventKind::Entries { first_command, entries } = event else {
                whole.last = Some(event);
                continue;
            };
            assert_eq!(first_command, commands);
            assert!(!entries.is_empty());
            for entry in entries {
                let is_notification = matches!(entry, Entry::Notification { .. });
                commands += u32::from(!is_notification);
                whole.entries.push(entry.clone());
                if is_notification {
                    machine.notify(entry);
                }
            }
        }
    };
    for chunk in chunks {
        machine.receive(chunk);
        take(&mut machine);
        assert!(machine.decoder.held_bytes() <= FRAME_BYTES_MAX + 8 + chunk.len());
    }
    machine.receive_end();
    take(&mut machine);
    assert_eq!(machine.take_bytes(), None, "nobody is told anything after the last event");
    assert!(whole.last.is_some(), "every attempt has a last event");
    whole
}

fn split<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Messages that make sense more often than not.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let one = prop_oneof![
        8 => (1..6u32).prop_map(|id| format!("run {id}")),
        8 => (1..6u32).prop_map(|id| format!("propose {id} ok")),
        4 => (1..6u32).prop_map(|id| format!("sleep {id} 5000")),
        2 => Just("output done".to_owned()),
        1 => (1..6u32).prop_map(|id| format!("suspend {id} #1")),
        1 => Just("error 500 250".to_owned()),
        1 => Just("end".to_owned()),
        1 => any::<u16>().prop_map(|kind| format!("message {kind:x} 0")),
    ];
    prop::collection::vec(one, 0..12)
        .prop_map(|all| all.iter().flat_map(|words| message(words)).collect())
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_does_not_matter(
        bytes in messages(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        prop_assert_eq!(run(split(&bytes, &cuts)), run([&bytes[..]]));
    }

    #[test]
    fn no_bytes_make_it_panic(
        mut bytes in messages(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..64),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes.extend(tail);
        prop_assert_eq!(run(split(&bytes, &cuts)), run([&bytes[..]]));
    }
}
