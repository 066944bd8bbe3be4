//! Objects whose state is reset when nobody has written it for a while.

use expect_test::expect;

use super::check;

#[test]
fn state_is_reset_when_nobody_has_written_it_for_as_long_as_its_service_says() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a ttl 1000; ingest invoke 8 exclusive/b
        e1: append 7 set k1 one, set k2 two, output done; end 7
        e1: append 8 set k1 one
        rows object
        rows timer object
        e1 @1000: fire object/a expire at 1000
        rows object
        rows state
        rows timer object
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a ttl 1000; ingest invoke 8 exclusive/b
                start 7 life 0 by 1.0
                start 8 life 1 by 1.0
            e1: append 7 set k1 one, set k2 two, output done; end 7
                arm object/a life 0 expire at 1000
                arm 7 life 0 purge at 600000
                answer 7
            e1: append 8 set k1 one
            rows object
                object cart/a of 2 keys, 10 bytes, 1000 after 0 at 1000
                object cart/b of 1 keys, 5 bytes
                object/a is cart/a
            rows timer object
                timer object/a life 0 expire at 1000
            e1 @1000: fire object/a expire at 1000
            rows object
                object cart/b of 1 keys, 5 bytes
            rows state
                state cart/b k1: b"one"
            rows timer object
        "#]],
    );
}

#[test]
fn a_later_write_puts_it_off() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a ttl 1000; ingest invoke 8 exclusive/a ttl 1000
        e1: append 7 set k1 one, output done; end 7
        e1 @600: append 8 clear k2, set k2 two, output done; end 8
        e1 @1000: fire object/a expire at 1000
        rows object
        e1 @1600: fire object/a expire at 1600
        rows object
        rows state
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a ttl 1000; ingest invoke 8 exclusive/a ttl 1000
                start 7 life 0 by 1.0
            e1: append 7 set k1 one, output done; end 7
                arm object/a life 0 expire at 1000
                arm 7 life 0 purge at 600000
                answer 7
                start 8 life 1 by 1.0
            e1 @600: append 8 clear k2, set k2 two, output done; end 8
                arm 8 life 1 purge at 600600
                answer 8
            e1 @1000: fire object/a expire at 1000
                arm object/a life 0 expire at 1600
            rows object
                object cart/a of 2 keys, 10 bytes, 1000 after 600 at 1600
                object/a is cart/a
            e1 @1600: fire object/a expire at 1600
            rows object
            rows state
        "#]],
    );
}

/// It may be in the middle of what it does with it.
#[test]
fn state_is_not_reset_while_a_handler_holds_the_key() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a ttl 1000
        e1: append 7 set k1 one
        e1 @1000: fire object/a expire at 1000
        rows state
        e1 @1500: append 7 get 1 k1, output done; end 7
        e1 @2000: fire object/a expire at 2000
        rows state
        rows object
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a ttl 1000
                start 7 life 0 by 1.0
            e1: append 7 set k1 one
                arm object/a life 0 expire at 1000
            e1 @1000: fire object/a expire at 1000
                arm object/a life 0 expire at 2000
            rows state
                state cart/a k1: b"one"
            e1 @1500: append 7 get 1 k1, output done; end 7
                notify 7 life 0 by 1.0 [3] 0x8002 of 1: Value(b"one")
                arm 7 life 0 purge at 601500
                answer 7
            e1 @2000: fire object/a expire at 2000
            rows state
            rows object
        "#]],
    );
}

#[test]
fn what_is_cleared_has_nothing_to_reset() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a ttl 1000
        e1: append 7 set k1 one, clearall
        rows object
        rows timer
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a ttl 1000
                start 7 life 0 by 1.0
            e1: append 7 set k1 one, clearall
                arm object/a life 0 expire at 1000
            rows object
            rows timer
        "#]],
    );
}

/// The service may have changed.
#[test]
fn the_last_writer_decides_how_long_it_is_kept() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 exclusive/a ttl 1000; ingest invoke 8 exclusive/a ttl 300; ingest invoke 9 exclusive/a
        e1: append 7 set k1 one, output done; end 7
        rows object
        e1 @100: append 8 set k2 two, output done; end 8
        rows object
        e1: append 9 set k3 three, output done; end 9
        rows object
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 exclusive/a ttl 1000; ingest invoke 8 exclusive/a ttl 300; ingest invoke 9 exclusive/a
                start 7 life 0 by 1.0
            e1: append 7 set k1 one, output done; end 7
                arm object/a life 0 expire at 1000
                arm 7 life 0 purge at 600000
                answer 7
                start 8 life 1 by 1.0
            rows object
                object cart/a of 1 keys, 5 bytes, 1000 after 0 at 1000
                object/a is cart/a
            e1 @100: append 8 set k2 two, output done; end 8
                arm object/a life 0 expire at 400
                arm 8 life 1 purge at 600100
                answer 8
                start 9 life 2 by 1.0
            rows object
                object cart/a of 2 keys, 10 bytes, 300 after 100 at 400
                object/a is cart/a
            e1: append 9 set k3 three, output done; end 9
                arm 9 life 2 purge at 600100
                answer 9
            rows object
                object cart/a of 3 keys, 17 bytes
        "#]],
    );
}
