//! Messages to other partitions, and what becomes of them.

use expect_test::expect;

use super::check;

#[test]
fn messages_are_numbered_for_each_partition() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 send 1 2:8 plain, send 2 3:9 plain, send 3 2:10 plain, send 4 6 plain
        rows outbox
        rows sent
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 2:8 plain, send 2 3:9 plain, send 3 2:10 plain, send 4 6 plain
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                send to 3 #1: invoke 3:9 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 2: id 3:9
                send to 2 #2: invoke 2:10 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [6] 0x800e of 3: id 2:10
                send to 0 #1: invoke 6 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [8] 0x800e of 4: id 6
            rows outbox
                outbox to 0 #1: invoke 6 plain b"arg" for 7.0 at metadata 5
                outbox to 2 #1: invoke 2:8 plain b"arg" for 7.0 at metadata 5
                outbox to 2 #2: invoke 2:10 plain b"arg" for 7.0 at metadata 5
                outbox to 3 #1: invoke 3:9 plain b"arg" for 7.0 at metadata 5
            rows sent
                sent to 0 up to 1, delivered up to 0
                sent to 2 up to 2, delivered up to 0
                sent to 3 up to 1, delivered up to 0
        "#]],
    );
}

#[test]
fn what_has_arrived_leaves_the_outbox() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 send 1 2:8 plain, send 2 2:9 plain, send 3 2:10 plain, send 4 3:11 plain
        e1: delivered 2 2
        rows outbox
        rows sent
        e1: delivered 2 3; delivered 3 1
        rows outbox
        rows sent
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 2:8 plain, send 2 2:9 plain, send 3 2:10 plain, send 4 3:11 plain
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                send to 2 #2: invoke 2:9 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 2: id 2:9
                send to 2 #3: invoke 2:10 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [6] 0x800e of 3: id 2:10
                send to 3 #1: invoke 3:11 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [8] 0x800e of 4: id 3:11
            e1: delivered 2 2
            rows outbox
                outbox to 2 #3: invoke 2:10 plain b"arg" for 7.0 at metadata 5
                outbox to 3 #1: invoke 3:11 plain b"arg" for 7.0 at metadata 5
            rows sent
                sent to 2 up to 3, delivered up to 2
                sent to 3 up to 1, delivered up to 0
            e1: delivered 2 3; delivered 3 1
            rows outbox
            rows sent
                sent to 2 up to 3, delivered up to 3
                sent to 3 up to 1, delivered up to 1
        "#]],
    );
}

#[test]
fn what_was_delivered_before_has_no_effect() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 send 1 2:8 plain, send 2 2:9 plain
        e1: delivered 2 1
        e1: delivered 2 1; delivered 2 0
        rows outbox
        rows sent
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 2:8 plain, send 2 2:9 plain
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                send to 2 #2: invoke 2:9 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 2: id 2:9
            e1: delivered 2 1
            e1: delivered 2 1; delivered 2 0
            rows outbox
                outbox to 2 #2: invoke 2:9 plain b"arg" for 7.0 at metadata 5
            rows sent
                sent to 2 up to 2, delivered up to 1
        "#]],
    );
}

#[test]
fn no_more_is_delivered_than_was_sent() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 send 1 2:8 plain
        e1: delivered 2 9; delivered 3 9
        e1: append 7 send 2 2:9 plain
        rows outbox
        rows sent
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 2:8 plain
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
            e1: delivered 2 9; delivered 3 9
            e1: append 7 send 2 2:9 plain
                send to 2 #2: invoke 2:9 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 2: id 2:9
            rows outbox
                outbox to 2 #2: invoke 2:9 plain b"arg" for 7.0 at metadata 5
            rows sent
                sent to 2 up to 2, delivered up to 1
        "#]],
    );
}

#[test]
fn numbers_go_on_over_a_takeover() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e1: append 7 send 1 2:8 plain, send 2 2:9 plain; delivered 2 1
        e2: announce of 4
        e2: append 7 send 3 2:10 plain
        rows outbox
        rows sent
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 2:8 plain, send 2 2:9 plain; delivered 2 1
                send to 2 #1: invoke 2:8 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 2:8
                send to 2 #2: invoke 2:9 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 2: id 2:9
            e2: announce of 4
            e2: append 7 send 3 2:10 plain
                send to 2 #3: invoke 2:10 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 2.0 [6] 0x800e of 3: id 2:10
            rows outbox
                outbox to 2 #2: invoke 2:9 plain b"arg" for 7.0 at metadata 5
                outbox to 2 #3: invoke 2:10 plain b"arg" for 7.0 at metadata 5
            rows sent
                sent to 2 up to 3, delivered up to 1
        "#]],
    );
}

/// Of two partitions each has half of the ids.
#[test]
fn a_message_goes_where_its_id_lives() {
    check(
        "
        e1: announce of 2
        e1: ingest invoke 7 plain
        e1: append 7 send 1 1:8 plain, send 2 2:9 plain, send 3 3:10 plain
        ",
        &expect![[r#"
            e1: announce of 2
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 send 1 1:8 plain, send 2 2:9 plain, send 3 3:10 plain
                send to 0 #1: invoke 1:8 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 1:8
                send to 1 #1: invoke 2:9 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [4] 0x800e of 2: id 2:9
                send to 1 #2: invoke 3:10 plain b"arg" for 7.0 at metadata 5
                notify 7 life 0 by 1.0 [6] 0x800e of 3: id 3:10
        "#]],
    );
}

#[test]
fn a_message_carries_how_far_metadata_was_read_where_it_was_resolved() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 call 1 2 8 plain, attach 3 8
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 call 1 2 8 plain, attach 3 8
                send to 0 #1: invoke 8 plain b"arg" for 7.0 2 at metadata 5
                notify 7 life 0 by 1.0 [2] 0x800e of 1: id 8
                send to 0 #2: attach 8 for 7.0 3
        "#]],
    );
}

#[test]
fn a_record_of_a_former_owner_sends_nothing() {
    check(
        "
        e1: announce of 4
        e1: ingest invoke 7 plain
        e2: announce of 4
        e1: append 7 by 1.0 send 1 2:8 plain
        e2: append 7 by 1.0 send 1 2:8 plain
        rows sent
        ",
        &expect![[r#"
            e1: announce of 4
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e2: announce of 4
            e1: append 7 by 1.0 send 1 2:8 plain
                ignored: does not reign
            e2: append 7 by 1.0 send 1 2:8 plain
            rows sent
        "#]],
    );
}
