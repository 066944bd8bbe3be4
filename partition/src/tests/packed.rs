//! Journals of completed invocations.

use everlog_log_schema::limits::PACKED_BYTES_AIM;
use everlog_log_schema::{Entry, InvocationRow, JournalRow, Millis, Outcome, Row, RowKey, Status};

use super::script::Log;
use super::words::id;
use crate::{Tables, reads};

fn begun() -> Log {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 7 plain");
    log
}

fn row(log: &Log) -> InvocationRow {
    reads::invocation(&log.tables, id(7)).unwrap().unwrap()
}

/// The entries that each part holds.
fn parts(log: &Log) -> Vec<usize> {
    let Status::Completed { parts, .. } = row(log).status else { panic!("it has not completed") };
    let all = (0..=parts).map(|part| match log.tables.get(&RowKey::Packed(id(7), part)) {
        Ok(Some(Row::Packed(entries))) => entries.len(),
        other => {
            assert_eq!((part, other), (parts, Ok(None)));
            0
        }
    });
    all.take(parts as usize).collect()
}

fn page(log: &Log, from: u32, bytes_max: u64) -> Vec<JournalRow> {
    reads::journal_from(&log.tables, id(7), &row(log), from, bytes_max).unwrap()
}

#[test]
fn a_part_ends_before_the_entry_that_would_exceed_its_aim() {
    let mut log = begun();
    let half = PACKED_BYTES_AIM / 2;
    // With the 2 bytes of the argument only one half fits; then two; then none.
    log.play(&format!("e1: append 7 step bytes {half}, step bytes {half}"));
    log.play(&format!("e1: append 7 step bytes {half}, step bytes 1, step, output done; end 7"));
    assert_eq!(parts(&log), [2, 2, 3]);
}

#[test]
fn an_entry_above_the_aim_has_a_part_of_its_own() {
    let mut log = begun();
    let aim = PACKED_BYTES_AIM;
    log.play(&format!("e1: append 7 step bytes {}", aim + 1));
    log.play(&format!("e1: append 7 step bytes {aim}, output done; end 7"));
    assert_eq!(parts(&log), [1, 1, 1, 1]);
    let (_, outcome) = reads::outcome_of(&log.tables, id(7)).unwrap().unwrap();
    assert_eq!(outcome, Outcome::Success("done".into()));
}

#[test]
fn a_journal_reads_the_same_before_and_after_it_is_packed() {
    let mut log = begun();
    let third = PACKED_BYTES_AIM / 3;
    log.play(&format!("e1 @40: append 7 run 1, result 1 ok, step bytes {third}; fail 7 retry 50"));
    log.play("e1 @50: fire 7 retry at 50");
    for _ in 0..5 {
        log.play(&format!("e1 @60: append 7 step bytes {third}"));
    }
    log.play("e1 @70: append 7 output done");
    let live = page(&log, 0, u64::MAX);
    assert_eq!(live.len(), 10);
    let came = |index: usize| (live[index].at, live[index].attempts);
    assert_eq!(came(0), (Millis(0), 0), "the input came before any attempt");
    assert_eq!((came(1), came(4)), ((Millis(40), 1), (Millis(60), 2)));
    let pages = |log: &Log| {
        let sizes = [0, 1, third, third + 1, 2 * third, PACKED_BYTES_AIM, u64::MAX];
        let from = (0..11).flat_map(|from| sizes.map(|bytes_max| (from, bytes_max)));
        from.map(|(from, bytes_max)| page(log, from, bytes_max)).collect::<Vec<_>>()
    };
    let before = pages(&log);
    log.play("e1: end 7");
    assert!(parts(&log).len() > 1);
    assert_eq!(pages(&log), before);
}

#[test]
fn a_page_holds_its_first_entry_whatever_its_size_and_others_up_to_its_limit() {
    let mut log = begun();
    log.play("e1: append 7 step bytes 10, step bytes 10, step bytes 10, output done; end 7");
    let lens = |from, bytes_max| page(&log, from, bytes_max).len();
    assert_eq!([lens(1, 0), lens(1, 19), lens(1, 20), lens(1, 29), lens(1, 34)], [1, 1, 2, 2, 4]);
    assert_eq!([lens(4, 0), lens(5, 100), lens(u32::MAX, 100)], [1, 0, 0]);
    assert!(matches!(page(&log, 4, 0)[0].entry, Entry::Output { .. }));
}

#[test]
fn a_purge_forgets_all_parts() {
    let mut log = begun();
    log.play(&format!("e1: append 7 step bytes {}, output done; end 7", PACKED_BYTES_AIM + 1));
    assert_eq!(parts(&log).len(), 3);
    log.play("e1 @600000: fire 7 purge at 600000");
    assert_eq!(log.play("rows").len(), 1, "the partition's own row is left");
}
