//! Suspensions that break the protocol, by name, and one that looks like it.

use expect_test::expect;

use super::script::check;

#[test]
fn a_suspension_on_nothing() {
    check(
        "suspend",
        &expect![[r#"
        start
        suspend
          = failed 571: [RT0012] the function broke the service protocol: it suspended without waiting for anything
    "#]],
    );
}

#[test]
fn a_suspension_on_what_was_never_declared() {
    check(
        "sleep 1 5000 + suspend 1 2",
        &expect![[r#"
        start
        sleep 1 5000 + suspend 1 2
          = from command 1
            command 0x040c of 5 bytes, Sleep { completion: CompletionId(1), wake_at: Millis(5000) }
          = failed 571: [RT0012] the function broke the service protocol: it suspended on completion 2, which no command declared
    "#]],
    );
}

/// The next attempt would begin with the same journal, and say the same.
#[test]
fn a_suspension_on_what_its_journal_has_held_from_the_beginning() {
    check(
        "known sleep 1 5000
         known sleep 2 9000
         known fired 1
         suspend 2 1",
        &expect![[r#"
            start
            suspend 2 1
              = failed 571: [RT0012] the function broke the service protocol: it suspended on completion 1, which its journal has held from the beginning
        "#]],
    );
}

/// It may have suspended before it heard.
#[test]
fn a_suspension_on_what_it_was_told_last_is_none() {
    check(
        "known sleep 1 5000
         notify fired 1
         suspend 1",
        &expect![[r#"
            start
            notify fired 1
              < 0x800c CompletionId(1) Void(Void)
            suspend 1
              = suspended [1] [] []
        "#]],
    );
}

#[test]
fn a_suspension_on_own_runs_that_are_not_done() {
    check(
        "run 1 + suspend 1 #1",
        &expect![[r#"
            start
            run 1 + suspend 1 #1
              = from command 1
                command 0x0411 of 10 bytes, Run { completion: CompletionId(1) }
              = suspended [1] [1] []
        "#]],
    );
}
