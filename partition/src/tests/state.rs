//! The state of objects.

use expect_test::expect;

use super::check;
use super::script::Log;
use super::words::id;
use crate::{Tables, reads};
use everlog_log_schema::limits::{STATE_BYTES_MAX, STATE_KEYS_MAX};
use everlog_log_schema::{ObjectRow, Row, RowKey, Status};

#[test]
fn what_one_handler_sets_the_next_of_the_key_gets() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
        e1: append 7 set cart two pears, output done; end 7
        e1: append 8 get 1 cart
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 set cart two pears, output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
                start 8 life 1 by 1.0
            e1: append 8 get 1 cart
                notify 8 life 1 by 1.0 [2] 0x8002 of 1: Value(b"two pears")
            rows
                partition epoch 1 term 1 next seq 4 inbox 2 now 0 log 4
                7 completed at 0: life 0 attempt 1.0 entries 3 commands 3 progress 0
                8 running: life 1 attempt 1.0 entries 3 commands 2 progress 0
                8 [0] input
                8 [1] get 1 cart
                8 [2] 0x8002 of 1: Value(b"two pears")
                running 8
                timer 7 life 0 purge at 600000
                lock cart/a held by 8, places 1..1
                7 part 0: input, set cart, output b"done"
                object cart/a of 1 keys, 13 bytes
                state cart/a cart: b"two pears"
        "#]],
    );
}

#[test]
fn a_key_that_has_no_value_is_void() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 get 1 cart
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 get 1 cart
                notify 7 life 0 by 1.0 [2] 0x8002 of 1: Void
        "#]],
    );
}

#[test]
fn a_value_may_be_empty() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 set cart bytes 0, get 1 cart
        rows object
        rows state
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 set cart bytes 0, get 1 cart
                notify 7 life 0 by 1.0 [3] 0x8002 of 1: Value(b"")
            rows object
                object cart/a of 1 keys, 4 bytes
            rows state
                state cart/a cart: b""
        "#]],
    );
}

/// The function may say more before it is told.
#[test]
fn an_answer_stands_right_behind_its_question() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 set k1 one, get 1 k1, keys 2, set k2 two, get 3 k2
        rows 7 [
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 set k1 one, get 1 k1, keys 2, set k2 two, get 3 k2
                notify 7 life 0 by 1.0 [3] 0x8002 of 1: Value(b"one")
                notify 7 life 0 by 1.0 [5] 0x8006 of 2: keys [b"k1"]
                notify 7 life 0 by 1.0 [8] 0x8002 of 3: Value(b"two")
            rows 7 [
                7 [0] input
                7 [1] set k1
                7 [2] get 1 k1
                7 [3] 0x8002 of 1: Value(b"one")
                7 [4] keys 2
                7 [5] 0x8006 of 2: keys [b"k1"]
                7 [6] set k2
                7 [7] get 3 k2
                7 [8] 0x8002 of 3: Value(b"two")
        "#]],
    );
}

#[test]
fn the_keys_of_an_object_are_listed_in_order() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 keys 1, set b 1, set a 2, set ab 3, keys 2
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 keys 1, set b 1, set a 2, set ab 3, keys 2
                notify 7 life 0 by 1.0 [2] 0x8006 of 1: keys []
                notify 7 life 0 by 1.0 [7] 0x8006 of 2: keys [b"a", b"ab", b"b"]
        "#]],
    );
}

#[test]
fn another_value_of_a_key_takes_the_place_of_the_first() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 set cart pear, set cart apples
        rows object
        rows state
        e1: append 7 set cart fig
        rows object
        rows state
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 set cart pear, set cart apples
            rows object
                object cart/a of 1 keys, 10 bytes
            rows state
                state cart/a cart: b"apples"
            e1: append 7 set cart fig
            rows object
                object cart/a of 1 keys, 7 bytes
            rows state
                state cart/a cart: b"fig"
        "#]],
    );
}

#[test]
fn a_cleared_key_is_gone() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 set k1 one, set k2 two, clear k1, clear k3, get 1 k1, keys 2
        rows object
        rows state
        e1: append 7 clear k2
        rows object
        rows state
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 set k1 one, set k2 two, clear k1, clear k3, get 1 k1, keys 2
                notify 7 life 0 by 1.0 [6] 0x8002 of 1: Void
                notify 7 life 0 by 1.0 [8] 0x8006 of 2: keys [b"k2"]
            rows object
                object cart/a of 1 keys, 5 bytes
            rows state
                state cart/a k2: b"two"
            e1: append 7 clear k2
            rows object
            rows state
        "#]],
    );
}

#[test]
fn all_keys_of_an_object_are_cleared_and_those_of_others_are_not() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/ab; ingest invoke 9 shared/b
        e1: append 8 set k1 one
        e1: append 7 set k1 one, set k2 two, set k3 three, clearall, keys 1
        e1: append 7 clearall
        e1: append 9 get 1 k1
        rows object
        rows state
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 exclusive/ab; ingest invoke 9 shared/b
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
                start 9 life 2 by 1.0
            e1: append 8 set k1 one
            e1: append 7 set k1 one, set k2 two, set k3 three, clearall, keys 1
                notify 7 life 0 by 1.0 [6] 0x8006 of 1: keys []
            e1: append 7 clearall
            e1: append 9 get 1 k1
                notify 9 life 2 by 1.0 [2] 0x8002 of 1: Void
            rows object
                object cart/ab of 1 keys, 5 bytes
            rows state
                state cart/ab k1: b"one"
        "#]],
    );
}

#[test]
fn a_shared_handler_reads_what_the_exclusive_one_has_set_so_far() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a; ingest invoke 8 shared/a
        e1: append 7 set cart pear
        e1: append 8 get 1 cart
        e1: append 7 set cart fig
        e1: append 8 get 2 cart
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a; ingest invoke 8 shared/a
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 set cart pear
            e1: append 8 get 1 cart
                notify 8 life 1 by 1.0 [2] 0x8002 of 1: Value(b"pear")
            e1: append 7 set cart fig
            e1: append 8 get 2 cart
                notify 8 life 1 by 1.0 [4] 0x8002 of 2: Value(b"fig")
        "#]],
    );
}

#[test]
fn what_a_failed_attempt_has_set_stays_and_is_not_set_again() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 set cart pear; fail 7 retry 500
        e1 @500: fire 7 retry at 500
        e1: append 7 first 1 set cart fig
        rows 7 [
        rows state
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 set cart pear; fail 7 retry 500
                arm 7 life 0 retry at 500
            e1 @500: fire 7 retry at 500
                start 7 life 0 by 1.1
            e1: append 7 first 1 set cart fig
            rows 7 [
                7 [0] input
                7 [1] set cart
            rows state
                state cart/a cart: b"pear"
        "#]],
    );
}

#[test]
fn the_state_stays_when_the_invocation_is_forgotten() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e1: append 7 set cart pear, output done; end 7
        e1 @600000: fire 7 purge at 600000
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 set cart pear, output done; end 7
                arm 7 life 0 purge at 600000
                answer 7
            e1 @600000: fire 7 purge at 600000
            rows
                partition epoch 1 term 1 next seq 4 inbox 1 now 600000 log 4
                object cart/a of 1 keys, 8 bytes
                state cart/a cart: b"pear"
        "#]],
    );
}

#[test]
fn a_former_attempt_sets_nothing() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a
        e2: announce
        e2: append 7 by 1.0 set cart pear
        rows state
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a
                start 7 life 0 by 1.0
            e2: announce
            e2: append 7 by 1.0 set cart pear
            rows state
        "#]],
    );
}

/// The invoker refuses all of these.
#[test]
fn a_handler_without_a_key_has_no_state() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 set cart pear, clear cart, clearall, get 1 cart, keys 2
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 set cart pear, clear cart, clearall, get 1 cart, keys 2
                notify 7 life 0 by 1.0 [5] 0x8002 of 1: Void
                notify 7 life 0 by 1.0 [7] 0x8006 of 2: keys []
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 running: life 0 attempt 1.0 entries 8 commands 6 progress 0
                7 [0] input
                7 [1] set cart
                7 [2] clear cart
                7 [3] clear all
                7 [4] get 1 cart
                7 [5] 0x8002 of 1: Void
                7 [6] keys 2
                7 [7] 0x8006 of 2: keys []
                running 7
        "#]],
    );
}

/// An object that counts this much, and has one key: k of 4 bytes.
fn object(keys: u32, bytes: u64) -> Log {
    let mut log = Log::default();
    log.play("e1: announce");
    log.play("e1: ingest invoke 7 exclusive/a");
    log.play("e1: append 7 set k pear");
    let key = RowKey::Object { service: "cart".into(), key: "a".into() };
    log.tables.put(key, Row::Object(ObjectRow { keys, promises: 0, bytes, expiry: None }));
    log
}

fn paused(log: &Log) -> bool {
    reads::invocation(&log.tables, id(7)).unwrap().unwrap().status == Status::Paused
}

#[test]
fn an_object_holds_as_many_keys_as_it_may_and_none_more() {
    let mut log = object(STATE_KEYS_MAX - 1, 500);
    assert_eq!(log.play("e1: append 7 set new 1"), [""; 0]);
    assert_eq!(log.play("e1: append 7 set k fig, set new 2"), [""; 0]);
    assert!(!paused(&log));
    assert_eq!(log.play("e1: append 7 set third 1"), ["stop 7"]);
    assert!(paused(&log));
}

#[test]
fn an_object_holds_as_many_bytes_as_it_may_and_none_more() {
    let mut log = object(1, STATE_BYTES_MAX - 4);
    assert_eq!(log.play("e1: append 7 set new 1"), [""; 0]);
    assert_eq!(log.play("e1: append 7 set k figs"), [""; 0]);
    assert!(!paused(&log));
    assert_eq!(log.play("e1: append 7 set k apple"), ["stop 7"]);
    assert!(paused(&log));
}

/// Else a replay would take it for done.
#[test]
fn a_write_that_a_full_object_refuses_is_not_recorded() {
    let mut log = object(1, STATE_BYTES_MAX - 1);
    let mut told = log.play("e1: append 7 run 1, set k apples, step");
    told.extend(log.play("rows 7"));
    told.extend(log.play("rows state"));
    expect![[r#"
        stop 7
        7 paused: life 0 attempt 1.0 entries 3 commands 3 progress 0 after "state of the object is full"
        7 [0] input
        7 [1] set k
        7 [2] run 1
        7 waits for 1: Run
        state cart/a k: b"pear""#]].assert_eq(&told.join("\n"));
    assert_eq!(log.play("e1: ingest resume 7"), ["start 7 life 0 by 1.1"]);
    assert_eq!(log.play("e1: append 7 clear k, set k1 one, output done; end 7").len(), 2);
}
