//! Attempts that wait for trees of futures.

use std::collections::BTreeMap;

use everlog_log_schema::*;
use expect_test::expect;
use proptest::prelude::*;

use super::check;
use super::trees::{text_of, tree};
use crate::future::{Prospect, Settled, Standing, could_settle, resolve};

/// What came, in order: `3` for a success, `!3` for a failure.
fn after(text: &str, came: &[&str]) -> String {
    let came: BTreeMap<Awaited, Settled> = (1..)
        .zip(came)
        .map(|(at, word)| {
            let name = word.strip_prefix('!');
            let of = tree(&format!("race({})", name.unwrap_or(word)));
            (of.leaves().next().unwrap(), Settled { at, well: name.is_none() })
        })
        .collect();
    match resolve(&tree(text), |awaited| came.get(awaited).copied()) {
        Standing::Settled(Settled { at, well: true }) => format!("well at {at}"),
        Standing::Settled(Settled { at, well: false }) => format!("ill at {at}"),
        Standing::Open(left) => text_of(&left),
    }
}

#[test]
fn each_combinator_is_settled_in_its_own_way() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("race(1,2)", &[], "race(1,2)"),
        ("race(1,2)", &["2"], "well at 1"),
        ("race(1,2)", &["!2", "1"], "ill at 1"),
        ("some(1,2)", &["!2"], "ill at 1"),
        ("settled(1,2,#17)", &["!1"], "settled(2,#17)"),
        ("settled(1,2,#17)", &["!1", "2", "!#17"], "well at 3"),
        ("any(1,2,go)", &["!1", "!2"], "any(go)"),
        ("any(1,2,go)", &["!1", "go", "2"], "well at 2"),
        ("any(1,2,go)", &["!1", "!go", "!2"], "ill at 3"),
        ("all(1,2,go)", &["1", "go"], "all(2)"),
        ("all(1,2,go)", &["1", "!go", "!2"], "ill at 2"),
        ("all(1,2,go)", &["1", "go", "2"], "well at 3"),
    ];
    for (text, came, expected) in cases {
        assert_eq!(after(text, came), *expected, "{text} {came:?}");
    }
}

#[test]
fn nested_futures_count_as_they_were_settled_themselves() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("all(race(1,2),3)", &["1"], "all(3)"),
        ("all(race(1,2),3)", &["!2", "1"], "ill at 1"),
        ("all(race(1,2),3)", &["1", "!2"], "all(3)"),
        ("any(all(1,2),3)", &["!1"], "any(3)"),
        ("any(all(1,2),3)", &["1"], "any(3,all(2))"),
        ("any(all(1,2),all(3,4))", &["!1", "!4"], "ill at 2"),
        ("all(any(1,2),any(3,4))", &["!1", "4"], "all(any(2))"),
        ("settled(all(1,2),race(3))", &["!1", "3"], "well at 2"),
        ("race(#1,all(1,2))", &["2"], "race(#1,all(1))"),
        ("race(#1,all(1,2))", &["2", "#1"], "well at 2"),
        // What only the function can judge is looked at as soon as it may be judged.
        ("all(some(1),2)", &["1"], "well at 1"),
        ("any(some(1,4),2)", &["!4"], "ill at 1"),
        ("race(any(1,2),any(2,1))", &["!1"], "race(any(2),any(2))"),
    ];
    for (text, came, expected) in cases {
        assert_eq!(after(text, came), *expected, "{text} {came:?}");
    }
}

#[test]
fn a_tree_that_is_no_whole_tree_is_taken_as_far_as_it_goes() {
    let mut lacking = tree("all(1,race(2))");
    lacking.nodes[0].nested = 7;
    let came = |id| {
        move |awaited: &Awaited| {
            let here = *awaited == Awaited::Completion(CompletionId(id));
            here.then_some(Settled { at: 1, well: true })
        }
    };
    let Standing::Open(left) = resolve(&lacking, came(2)) else { panic!("1 has not come") };
    assert_eq!(text_of(&left), "all(1)");
    let mut surplus = tree("race(1)");
    surplus.nodes.extend(tree("some(2)").nodes);
    let Standing::Open(left) = resolve(&surplus, came(2)) else { panic!("2 is no part of it") };
    assert_eq!(text_of(&left), "race(1)");
    let nothing = FutureTree::default();
    assert_eq!(resolve(&nothing, came(1)), Standing::Open(FutureTree::default()));
}

#[test]
fn it_is_known_what_could_still_settle_a_tree() {
    // 1 never comes, 2 can only succeed, all else may come in either way.
    let could = |text: &str| {
        could_settle(&tree(text), |awaited| match awaited {
            Awaited::Completion(CompletionId(1)) => Prospect::NONE,
            Awaited::Completion(CompletionId(2)) => Prospect::WELL,
            Awaited::Completion(_) | Awaited::Signal(_) => Prospect::ANY,
        })
    };
    for text in [
        "race(1,2)",
        "any(1,2)",
        "all(1,3)",
        "settled(2,3)",
        "all(2,3)",
        "any(1,#17)",
        "race(1,all(2,3))",
        "all(race(1,2),3)",
        "any(all(1,2),2)",
    ] {
        assert!(could(text), "{text}");
    }
    for text in [
        "race(1)",
        "all(1,2)",
        "settled(1,3)",
        "any(1,all(1,2))",
        "settled(race(1),3)",
        "all(1,settled(1,3))",
    ] {
        assert!(!could(text), "{text}");
    }
}

/// The same, said as it is defined: what is known after each event, by recursion.
#[derive(Debug)]
struct Plain {
    combinator: Combinator,
    leaves: Vec<Awaited>,
    nested: Vec<Plain>,
}

impl Plain {
    fn of(tree: &FutureTree) -> Self {
        Self::read(&mut tree.nodes.iter()).expect("a tree has a root")
    }

    fn read<'n>(nodes: &mut impl Iterator<Item = &'n FutureNode>) -> Option<Self> {
        let node = nodes.next()?;
        let (combinator, leaves) = (node.combinator, node.leaves.iter().collect());
        let nested = (0..node.nested).map_while(|_| Self::read(nodes)).collect();
        Some(Self { combinator, leaves, nested })
    }

    /// How it stands after some events: whether it succeeded, if it is settled.
    fn state(&self, came: &[(Awaited, bool)]) -> Option<bool> {
        // What is settled stays so: the shortest beginning of the events that settles it tells how.
        (0..=came.len()).find_map(|count| self.state_now(&came[..count]))
    }

    fn state_now(&self, came: &[(Awaited, bool)]) -> Option<bool> {
        let of_leaf =
            |leaf: &Awaited| came.iter().find(|(id, _)| id == leaf).map(|(_, well)| *well);
        let leaves = self.leaves.iter().map(of_leaf);
        let parts: Vec<_> = leaves.chain(self.nested.iter().map(|of| of.state(came))).collect();
        let all = || !parts.is_empty() && parts.iter().all(Option::is_some);
        match self.combinator {
            Combinator::Unknown | Combinator::FirstCompleted => {
                parts.iter().copied().flatten().next()
            }
            Combinator::FirstSucceededOrAllFailed if parts.contains(&Some(true)) => Some(true),
            Combinator::FirstSucceededOrAllFailed => all().then_some(false),
            Combinator::AllSucceededOrFirstFailed if parts.contains(&Some(false)) => Some(false),
            Combinator::AllCompleted | Combinator::AllSucceededOrFirstFailed => {
                all().then_some(true)
            }
        }
    }

    /// Whether the function must look: all of it is settled, or a part of which the function alone
    /// knows how it ends, when that was still open.
    fn wakes(&self, came: &[(Awaited, bool)]) -> bool {
        (0..=came.len()).any(|count| self.wakes_at(&came[..count]))
    }

    /// Whether the last event asks the function to look.
    fn asks(&self, came: &[(Awaited, bool)]) -> bool {
        let before = &came[..came.len().saturating_sub(1)];
        self.combinator == Combinator::Unknown && self.state(came).is_some()
            || self.state(before).is_none() && self.nested.iter().any(|of| of.asks(came))
    }

    fn wakes_at(&self, came: &[(Awaited, bool)]) -> bool {
        self.state(came).is_some() || self.asks(came)
    }
}

fn any_tree() -> impl Strategy<Value = String> {
    let combinator = || prop::sample::select(vec!["all", "any", "settled", "race", "race", "some"]);
    let leaf = (1..7_u32).prop_map(|id| id.to_string());
    let node = move |part: BoxedStrategy<String>| {
        (combinator(), prop::collection::vec(part, 1..4))
            .prop_map(|(name, parts)| format!("{name}({})", parts.join(",")))
    };
    let inner = leaf.prop_recursive(3, 12, 3, move |part| node(part.boxed()));
    (combinator(), prop::collection::vec(inner, 1..4))
        .prop_map(|(name, parts)| format!("{name}({})", parts.join(",")))
}

/// The completions 1 to 6 in some order, each with how it ends.
fn events() -> impl Strategy<Value = Vec<(Awaited, bool)>> {
    let order = Just((1..7).collect::<Vec<u32>>()).prop_shuffle();
    (order, prop::collection::vec(any::<bool>(), 6)).prop_map(|(order, well)| {
        let ids = order.into_iter().map(|id| Awaited::Completion(CompletionId(id)));
        ids.zip(well).collect()
    })
}

fn place_of(came: &[(Awaited, bool)], awaited: &Awaited) -> Option<Settled> {
    let at = came.iter().position(|(id, _)| id == awaited)?;
    Some(Settled { at: u32::try_from(at).unwrap(), well: came[at].1 })
}

proptest! {
    #[test]
    fn a_tree_is_settled_exactly_when_its_definition_says_so(
        text in any_tree(),
        events in events(),
    ) {
        let whole = tree(&text);
        let plain = Plain::of(&whole);
        for count in 0..=events.len() {
            let came = &events[..count];
            let standing = resolve(&whole, |awaited| place_of(came, awaited));
            prop_assert_eq!(
                matches!(standing, Standing::Settled(_)), plain.wakes(came), "{} {:?}", text, came
            );
            if let (Standing::Settled(settled), Some(well)) = (standing, plain.state(came)) {
                prop_assert_eq!(settled.well, well);
            }
        }
    }

    #[test]
    fn event_by_event_a_tree_shrinks_to_what_is_left_of_it_at_once(
        text in any_tree(),
        events in events(),
    ) {
        let mut left = tree(&text);
        for count in 1..=events.len() {
            let whole = resolve(&tree(&text), |awaited| place_of(&events[..count], awaited));
            let (id, well) = &events[count - 1];
            let settled = Settled { at: u32::try_from(count - 1).unwrap(), well: *well };
            let step = resolve(&left, |awaited| (awaited == id).then_some(settled));
            match step {
                Standing::Open(rest) => {
                    prop_assert_eq!(&whole, &Standing::Open(rest.clone()));
                    left = rest;
                }
                Standing::Settled(_) => {
                    prop_assert!(matches!(whole, Standing::Settled(_)));
                    break;
                }
            }
        }
    }
}

#[test]
fn an_invocation_wakes_when_all_that_it_waits_for_is_settled() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900, sleep 2 until 800, run 3
        e1: append 7 result 3 value done
        e1: suspend 7 until race(#1,all(1,2,3,go))
        rows
        e1 @800: fire 7 sleep 2 at 800
        e1: ingest signal 7 go void
        rows
        e1 @900: fire 7 sleep 1 at 900
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900, sleep 2 until 800, run 3
                arm 7 life 0 sleep 1 at 900
                arm 7 life 0 sleep 2 at 800
            e1: append 7 result 3 value done
                notify 7 life 0 by 1.0 [4] 0x8011 of 3: Value(b"value done")
            e1: suspend 7 until race(#1,all(1,2,3,go))
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 0 log 5
                7 suspended until race(#1,all(1,2,go)): life 0 attempt 1.0 entries 5 commands 4 progress 0
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] sleep 2 until 800
                7 [3] run 3
                7 [4] 0x8011 of 3: Value(b"value done")
                7 waits for 1: Sleep { wake_at: Millis(900) }
                7 waits for 2: Sleep { wake_at: Millis(800) }
                timer 7 life 0 sleep 2 at 800
                timer 7 life 0 sleep 1 at 900
            e1 @800: fire 7 sleep 2 at 800
            e1: ingest signal 7 go void
            rows
                partition epoch 1 term 1 next seq 7 inbox 2 now 800 log 7
                7 suspended until race(#1,all(1)): life 0 attempt 1.0 entries 7 commands 4 progress 0 signals 1
                7 [0] input
                7 [1] sleep 1 until 900
                7 [2] sleep 2 until 800
                7 [3] run 3
                7 [4] 0x8011 of 3: Value(b"value done")
                7 [5] 0x800c of 2: Void
                7 [6] signal "go": Void
                7 waits for 1: Sleep { wake_at: Millis(900) }
                timer 7 life 0 sleep 1 at 900
            e1 @900: fire 7 sleep 1 at 900
                start 7 life 0 by 1.1
        "#]],
    );
}

#[test]
fn a_failure_settles_all_and_a_success_any() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: suspend 7 until all(#17,#18)
        e1: ingest signal 7 18 failure 500 broke
        e1: suspend 7 until any(#19,#20)
        e1: ingest signal 7 20 failure 500 broke
        rows
        e1: ingest signal 7 19 value yes
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: suspend 7 until all(#17,#18)
            e1: ingest signal 7 18 failure 500 broke
                start 7 life 0 by 1.1
            e1: suspend 7 until any(#19,#20)
            e1: ingest signal 7 20 failure 500 broke
            rows
                partition epoch 1 term 1 next seq 6 inbox 3 now 0 log 6
                7 suspended until any(#19): life 0 attempt 1.1 entries 3 commands 1 progress 0 signals 2
                7 [0] input
                7 [1] signal 18: failure 500 "broke"
                7 [2] signal 20: failure 500 "broke"
            e1: ingest signal 7 19 value yes
                start 7 life 0 by 1.2
        "#]],
    );
}

/// The signals crossed the suspension on their way; the function was told of one.
#[test]
fn what_came_before_the_suspension_counts_in_its_order() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: ingest signal 7 17 void
        e1: ingest signal 7 18 failure 500 broke
        e1: ingest signal 7 19 void
        e1: suspend 7 until all(race(#18,#19),#20) told 1
        e1: suspend 7 until all(race(#19),#17,#20) told 1
        rows
        e1: ingest signal 7 20 void
        e1: ingest signal 7 17 void
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: ingest signal 7 17 void
                notify 7 life 0 by 1.0 [1] signal 17: Void
            e1: ingest signal 7 18 failure 500 broke
                notify 7 life 0 by 1.0 [2] signal 18: failure 500 "broke"
            e1: ingest signal 7 19 void
                notify 7 life 0 by 1.0 [3] signal 19: Void
            e1: suspend 7 until all(race(#18,#19),#20) told 1
                start 7 life 0 by 1.1
            e1: suspend 7 until all(race(#19),#17,#20) told 1
            rows
                partition epoch 1 term 1 next seq 7 inbox 4 now 0 log 7
                7 suspended until all(#17,#20): life 0 attempt 1.1 entries 4 commands 1 progress 0 signals 3
                7 [0] input
                7 [1] signal 17: Void
                7 [2] signal 18: failure 500 "broke"
                7 [3] signal 19: Void
            e1: ingest signal 7 20 void
            e1: ingest signal 7 17 void
                start 7 life 0 by 1.2
        "#]],
    );
}

#[test]
fn only_an_attempt_brings_what_a_tree_lacks_then_the_next_begins_at_once() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 run 1, sleep 2 until 900
        e1: suspend 7 until race(#1,all(1,2))
        e1: suspend 7 until race(#1,any(1,2))
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 run 1, sleep 2 until 900
                arm 7 life 0 sleep 2 at 900
            e1: suspend 7 until race(#1,all(1,2))
                start 7 life 0 by 1.1
            e1: suspend 7 until race(#1,any(1,2))
            rows
                partition epoch 1 term 1 next seq 5 inbox 1 now 0 log 5
                7 suspended until race(#1,any(1,2)): life 0 attempt 1.1 entries 3 commands 3 progress 0
                7 [0] input
                7 [1] run 1
                7 [2] sleep 2 until 900
                7 waits for 1: Run
                7 waits for 2: Sleep { wake_at: Millis(900) }
                timer 7 life 0 sleep 2 at 900
        "#]],
    );
}

#[test]
fn a_cancellation_wakes_what_waits_for_it_beside_a_tree() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: append 7 sleep 1 until 900
        e1: suspend 7 until race(#1,all(1,#17))
        e1: ingest signal 7 1 void
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: append 7 sleep 1 until 900
                arm 7 life 0 sleep 1 at 900
            e1: suspend 7 until race(#1,all(1,#17))
            e1: ingest signal 7 1 void
                start 7 life 0 by 1.1
        "#]],
    );
}

#[test]
fn a_tree_without_notifications_pauses() {
    check(
        "
        e1: announce
        e1: ingest invoke 7 plain
        e1: suspend 7 until all(race())
        rows
        ",
        &expect![[r#"
            e1: announce
            e1: ingest invoke 7 plain
                start 7 life 0 by 1.0
            e1: suspend 7 until all(race())
                stop 7
            rows
                partition epoch 1 term 1 next seq 3 inbox 1 now 0 log 3
                7 paused: life 0 attempt 1.0 entries 1 commands 1 progress 0 after "attempt suspended without waiting for anything"
                7 [0] input
        "#]],
    );
}
