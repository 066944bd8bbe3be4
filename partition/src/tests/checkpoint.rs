//! Checkpoints.

use expect_test::expect;

use super::check;

#[test]
fn what_a_checkpoint_holds_may_be_trimmed() {
    check(
        "
        e1: announce
        e1: opened
        e1: ingest invoke 7 plain
        e1: checkpointed 2 1
        ",
        &expect![[r#"
            e1: announce
            e1: opened
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: checkpointed 2 1
                trim log 2 inbox 1
        "#]],
    );
}

#[test]
fn nothing_is_trimmed_beyond_what_is_applied() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: checkpointed 9 9
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: checkpointed 9 9
                trim log 3 inbox 1
        "#]],
    );
}

#[test]
fn a_deposed_owner_s_checkpoint_trims_nothing() {
    check(
        "
        e1: announce
        e2: announce
        e1: checkpointed 1 0
        rows
        ",
        &expect![[r#"
            e1: announce
            e2: announce
            e1: checkpointed 1 0
                ignored: does not reign
            rows
                partition epoch 2 term 2 next seq 1 inbox 0 now 0 log 3
        "#]],
    );
}
