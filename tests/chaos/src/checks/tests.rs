//! Plants one violation after the other into a history that is right, and sees each found.

use std::collections::{BTreeMap, VecDeque};

use everlog_log_schema::{InvocationId, PartitionKey};
use everlog_simulation::rng::Rng;

use super::check;
use crate::history::{Event, How, Line};
use crate::model::Object;
use crate::program::{Chain, Did, Digest, Op, Program};

const KEYS: u32 = 4;
const CALLS: u64 = 60;

/// Makes a history as a world without faults would.
#[derive(Default)]
struct World {
    lines: Vec<Line>,
    objects: BTreeMap<u32, Object>,
    /// Milliseconds.
    clock: u64,
    acts: u64,
    sent: VecDeque<(u64, u32, Program)>,
    ran: u64,
}

impl World {
    fn note(&mut self, event: Event) {
        self.clock += 1;
        self.lines.push(Line { at: self.clock * 1_000, event });
    }

    fn run(&mut self, key: u32, program: &Program) -> (String, Digest) {
        let began = self.clock;
        self.ran += 1;
        let id = InvocationId { partition_key: PartitionKey(0), uuid: self.ran.into() }.to_string();
        let (place, expected) = self.objects.entry(key).or_default().run(program);
        let mut did = Vec::new();
        for (step, (op, expected)) in program.ops.iter().zip(expected).enumerate() {
            let own = self.step(&id, program, step, op);
            did.push(expected.unwrap_or(own));
        }
        let digest = Digest { place, began, ended: self.clock, did };
        let (partition, outcome) = (0, Ok(digest.clone()));
        self.note(Event::Stored { partition, invocation: id.clone(), outcome });
        (id, digest)
    }

    fn step(&mut self, id: &str, program: &Program, step: usize, op: &Op) -> Did {
        match op {
            Op::Effect => {
                self.acts += 1;
                let (invocation, token) = (id.to_owned(), format!("act-{}", self.acts));
                let program = program.id.clone();
                self.note(Event::Effect { invocation, program, step, token: token.clone() });
                self.note(Event::RunStored { token: token.clone() });
                Did::Had { token }
            }
            Op::Call { key, program } => Did::Called { place: self.run(*key, program).1.place },
            Op::Send { key, program } => {
                self.sent.push_back((0, *key, program.clone()));
                Did::Sent { at: self.clock }
            }
            Op::SendLater { key, program, millis } => {
                self.sent.push_back((self.clock + millis, *key, program.clone()));
                Did::Sent { at: self.clock }
            }
            Op::Sleep { millis } => {
                let from = self.clock;
                self.clock += millis;
                Did::Slept { from, to: self.clock }
            }
            Op::Await { helper: None } => {
                let (value, program) = (program.wakes_with(step), program.id.clone());
                self.note(Event::Resolved { program, step, value });
                Did::Done
            }
            Op::Await { helper: Some(key) } => {
                self.run(*key, &program.helper(step, "awakeable".into()));
                Did::Done
            }
            Op::Get { .. }
            | Op::Set { .. }
            | Op::Clear { .. }
            | Op::Add { .. }
            | Op::Resolve { .. } => Did::Done,
        }
    }

    fn call(&mut self, call: u64, key: u32, how: How, program: &Program) {
        self.note(Event::Called { call, key, how, program: program.clone() });
        let (invocation, digest) = self.run(key, program);
        if how == How::Sent {
            self.note(Event::Accepted { call, invocation: invocation.clone() });
        }
        for gateway in 0..2 {
            let (invocation, digest) = (invocation.clone(), digest.clone());
            self.note(Event::Answered { call, gateway, invocation, digest });
        }
        while let Some((due, key, program)) = self.sent.pop_front() {
            self.clock = self.clock.max(due);
            self.run(key, &program);
        }
        let (asked, chain) = (self.clock * 1_000, self.objects[&key].chain.clone());
        self.note(Event::Read { key, asked, chain });
    }
}

fn right() -> Vec<Line> {
    let (mut world, mut rng) = (World { clock: 1_000_000, ..World::default() }, Rng::new(11));
    for call in 0..CALLS {
        let key = u32::try_from(rng.below(u64::from(KEYS))).unwrap();
        let how = [How::Keyed, How::Plain, How::Sent][rng.index(3)];
        let program = Program::draw(&mut rng, format!("c0-{call}"), key, KEYS);
        world.call(call, key, how, &program);
    }
    for key in 0..KEYS {
        let Object { chain, sum, .. } = world.objects.entry(key).or_default().clone();
        world.note(Event::Ended { key, chain, sum });
    }
    world.lines
}

/// Checks that the history with a change to it breaks a property.
fn breaks(property: &str, change: impl FnOnce(&mut Vec<Line>)) {
    let mut lines = right();
    change(&mut lines);
    let found = check(&lines, 1).violations;
    assert!(found.iter().any(|found| found.property == property), "{property}: found {found:?}");
}

/// Changes the first digest that has an operation of a kind, wherever it is told.
fn change_digest(lines: &mut [Line], wanted: impl Fn(&Digest) -> bool, to: impl Fn(&mut Digest)) {
    let mut id = None;
    for line in lines {
        let (Event::Stored { outcome: Ok(digest), .. } | Event::Answered { digest, .. }) =
            &mut line.event
        else {
            continue;
        };
        if id.is_none() && wanted(digest) {
            id = Some(digest.place.id.clone());
        }
        if id.as_ref() == Some(&digest.place.id) {
            to(digest);
        }
    }
    assert!(id.is_some(), "no digest has that operation");
}

fn has(wanted: impl Fn(&Did) -> bool) -> impl Fn(&Digest) -> bool {
    move |digest| digest.did.iter().any(&wanted)
}

/// Changes each operation's result of a kind in a digest.
fn each(change: impl Fn(&mut Did)) -> impl Fn(&mut Digest) {
    move |digest| digest.did.iter_mut().for_each(&change)
}

fn is_stored_of(line: &Line, wanted: impl Fn(&str) -> bool) -> bool {
    matches!(&line.event, Event::Stored { outcome: Ok(digest), .. } if wanted(&digest.place.id))
}

fn find(lines: &[Line], wanted: impl Fn(&Event) -> bool) -> usize {
    lines.iter().position(|line| wanted(&line.event)).expect("the history has such an event")
}

#[test]
fn a_history_without_faults_is_right() {
    let lines = right();
    let report = check(&lines, 1);
    assert_eq!(report.violations, Vec::new());
    assert_eq!(report.repeats, super::Repeats::default());
}

#[test]
fn an_answered_call_that_is_not_stored_is_found() {
    breaks("no lost invocation", |lines| {
        lines.retain(|line| !is_stored_of(line, |id| id == "c0-3"));
    });
}

#[test]
fn a_call_with_two_ends_is_found() {
    breaks("no lost invocation", |lines| {
        let first = find(lines, |event| matches!(event, Event::Stored { .. }));
        let mut twin = lines[first].clone();
        if let Event::Stored { invocation, .. } = &mut twin.event {
            *invocation = "inv_another".into();
        }
        lines.push(twin);
    });
}

#[test]
fn another_answer_on_another_asking_is_found() {
    breaks("no lost invocation", |lines| {
        let again = find(lines, |event| matches!(event, Event::Answered { gateway: 1, .. }));
        if let Event::Answered { digest, .. } = &mut lines[again].event {
            digest.ended += 1;
        }
    });
}

#[test]
fn an_accepted_send_without_end_is_found() {
    breaks("no lost invocation", |lines| {
        let sent = find(lines, |event| matches!(event, Event::Accepted { .. }));
        if let Event::Accepted { invocation, .. } = &mut lines[sent].event {
            *invocation = "inv_another".into();
        }
    });
}

#[test]
fn a_call_that_is_never_answered_is_found() {
    breaks("no lost invocation", |lines| {
        let keyed = find(lines, |event| matches!(event, Event::Called { how: How::Keyed, .. }));
        let Event::Called { call: number, .. } = lines[keyed].event else { unreachable!() };
        lines.retain(|line| !matches!(line.event, Event::Answered { call, .. } if call == number));
    });
}

#[test]
fn a_failed_invocation_is_found() {
    breaks("no lost invocation", |lines| {
        let outcome = Err("500 odd".into());
        let event = Event::Stored { partition: 0, invocation: "inv_x".into(), outcome };
        lines.push(Line { at: 1, event });
    });
}

#[test]
fn an_unknown_end_may_be_any() {
    let mut lines = right();
    let plain = find(&lines, |event| matches!(event, Event::Called { how: How::Plain, .. }));
    let Event::Called { call: number, .. } = lines[plain].event else { unreachable!() };
    lines.retain(|line| !matches!(line.event, Event::Answered { call, .. } if call == number));
    lines.push(Line { at: 1, event: Event::Unknown { call: number, why: "time-out".into() } });
    assert_eq!(check(&lines, 1).violations, Vec::new());
}

#[test]
fn a_lost_increment_is_found() {
    breaks("exactly-once state", |lines| {
        let added = |did: &Did| matches!(did, Did::Added { .. });
        change_digest(
            lines,
            has(added),
            each(|did| {
                if let Did::Added { sum } = did {
                    *sum -= 1;
                }
            }),
        );
    });
}

#[test]
fn a_stale_read_of_a_note_is_found() {
    breaks("exactly-once state", |lines| {
        let noted = |did: &Did| matches!(did, Did::Got { value: Some(_) });
        change_digest(
            lines,
            has(noted),
            each(|did| {
                if let Did::Got { value } = did {
                    *value = None;
                }
            }),
        );
    });
}

#[test]
fn two_programs_in_one_place_are_found() {
    breaks("exactly-once state", |lines| {
        change_digest(
            lines,
            |digest| digest.place.position == 1,
            |digest| digest.place.position = 0,
        );
    });
}

#[test]
fn a_sum_that_its_programs_do_not_make_is_found() {
    breaks("exactly-once state", |lines| {
        for line in lines {
            if let Event::Ended { sum, .. } = &mut line.event {
                *sum += 1;
            }
        }
    });
}

#[test]
fn programs_of_a_key_that_overlap_are_found() {
    breaks("exactly-once state", |lines| {
        change_digest(lines, |digest| digest.place.position == 1, |digest| digest.began = 0);
    });
}

#[test]
fn an_order_against_time_is_found() {
    breaks("per-key order", |lines| {
        // The first of a key is called after all others of it were answered.
        let late = lines.last().map_or(0, |line| line.at);
        let is_first = |event: &Event| matches!(event, Event::Answered { digest, .. } if digest.place.position == 0);
        let first = find(lines, is_first);
        let Event::Answered { call: number, .. } = lines[first].event else { unreachable!() };
        for line in lines.iter_mut() {
            if let Event::Called { call, .. } | Event::Answered { call, .. } = line.event
                && call == number
            {
                line.at = late + 1;
            }
        }
    });
}

#[test]
fn a_stale_shared_read_is_found() {
    breaks("per-key order", |lines| {
        for line in lines {
            if let Event::Read { chain, .. } = &mut line.event {
                *chain = Chain::default();
            }
        }
    });
}

#[test]
fn a_shared_read_of_what_never_was_is_found() {
    breaks("per-key order", |lines| {
        let read = find(lines, |event| matches!(event, Event::Read { .. }));
        if let Event::Read { chain, .. } = &mut lines[read].event {
            chain.hash = "odd".into();
        }
    });
}

#[test]
fn a_one_way_call_that_never_ran_is_found() {
    breaks("calls", |lines| {
        let sent = |line: &Line| is_stored_of(line, |id| id.contains('.'));
        let child = lines.iter().position(sent).unwrap();
        lines.remove(child);
    });
}

#[test]
fn a_call_that_nobody_made_is_found() {
    // Its caller has an unknown end and is not stored, but it ran.
    breaks("calls", |lines| {
        let child = |line: &Line| is_stored_of(line, |id| id.contains('.'));
        let child = lines.iter().find(|line| child(line)).unwrap();
        let Event::Stored { outcome: Ok(digest), .. } = &child.event else { unreachable!() };
        let parent = digest.place.id.split_once('.').unwrap().0.to_owned();
        lines.retain(|line| !is_stored_of(line, |id| id == parent));
    });
}

#[test]
fn a_caller_that_is_told_something_else_is_found() {
    breaks("calls", |lines| {
        let called = |did: &Did| matches!(did, Did::Called { .. });
        change_digest(
            lines,
            has(called),
            each(|did| {
                if let Did::Called { place } = did {
                    place.position += 1;
                }
            }),
        );
    });
}

#[test]
fn a_sleep_that_ends_early_is_found() {
    breaks("timers", |lines| {
        let slept = |did: &Did| matches!(did, Did::Slept { .. });
        change_digest(
            lines,
            has(slept),
            each(|did| {
                if let Did::Slept { from, to } = did {
                    *to = *from;
                }
            }),
        );
    });
}

#[test]
fn a_delayed_call_that_begins_early_is_found() {
    breaks("timers", |lines| {
        let sent = |did: &Did| matches!(did, Did::Sent { .. });
        let later = |digest: &Digest| has(sent)(digest);
        for line in lines {
            if let Event::Stored { outcome: Ok(digest), .. } = &mut line.event
                && later(digest)
            {
                each(|did| {
                    if let Did::Sent { at } = did {
                        *at += 1_000_000;
                    }
                })(digest);
            }
        }
    });
}

#[test]
fn an_awakeable_that_is_completed_by_the_later_is_found() {
    breaks("awakeables", |lines| {
        let woken = |did: &Did| matches!(did, Did::Woken { .. });
        change_digest(
            lines,
            has(woken),
            each(|did| {
                if let Did::Woken { value } = did {
                    *value = "once more".into();
                }
            }),
        );
    });
}

#[test]
fn an_act_under_another_name_is_found() {
    breaks("outside effects", |lines| {
        let act = find(lines, |event| matches!(event, Event::Effect { .. }));
        let mut again = lines[act].clone();
        if let Event::Effect { invocation, token, .. } = &mut again.event {
            *invocation = "inv_another".into();
            *token = "act-again".into();
        }
        lines.insert(act + 1, again);
    });
}

#[test]
fn a_result_that_is_no_act_of_the_step_is_found() {
    breaks("outside effects", |lines| {
        let had = |did: &Did| matches!(did, Did::Had { .. });
        change_digest(
            lines,
            has(had),
            each(|did| {
                if let Did::Had { token } = did {
                    *token = "act-odd".into();
                }
            }),
        );
    });
}

#[test]
fn a_result_that_is_stored_twice_is_found() {
    breaks("exactly-once journal", |lines| {
        let stored = find(lines, |event| matches!(event, Event::RunStored { .. }));
        lines.insert(stored, lines[stored].clone());
    });
}

/// Repeats the first act a second after its result was stored.
fn repeat_stored(lines: &mut Vec<Line>) -> u64 {
    let act = find(lines, |event| matches!(event, Event::Effect { .. }));
    let mut again = lines[act].clone();
    again.at += 1_000_000;
    if let Event::Effect { token, .. } = &mut again.event {
        *token = "act-again".into();
    }
    let at = again.at;
    lines.push(again);
    at
}

#[test]
fn an_act_that_is_repeated_though_its_result_is_stored_is_found() {
    breaks("outside effects", |lines| {
        repeat_stored(lines);
    });
}

#[test]
fn a_deposed_owner_may_repeat_an_act_and_is_counted() {
    let mut lines = right();
    let at = repeat_stored(&mut lines);
    let event = Event::Announced { partition: 0, epoch: 2 };
    lines.push(Line { at: at - 500_000, event });
    let report = check(&lines, 1);
    assert_eq!(report.violations, Vec::new());
    assert_eq!(report.repeats.after_stored, 1);
}
