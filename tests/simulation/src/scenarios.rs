//! Scripts: the scenarios that broke earlier drafts of the design, each played exactly so.
//!
//! All properties watch; a script adds what it knows of its own outcome.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::rc::Rc;

use bytes::Bytes;
use everlog_log_schema::{
    Append, AttemptError, AttemptFailed, AttemptId, Command, Effect, Entry, Envelope, Epoch,
    HandlerKind, InboxOffset, Incarnation, Ingest, Intake, InvocationId, Invoke, Level, LogOffset,
    Message, MetadataOffset, Millis, OnMaxAttempts, PartitionKey, RequestId, RetryPolicy, Source,
    Status, Target, Then, Timer, TimerFired, TimerKind,
};
use everlog_partition::{planted, reads};

use crate::bug::{Bug, ShellBug};
use crate::env::Reply;
use crate::executor::{Executor, Process, Waiter};
use crate::fault::Faults;
use crate::history::CallId;
use crate::inbox::Item;
use crate::journal::Held;
use crate::world::World;

/// A world in which nothing fails but what the script makes fail.
fn calm(bug: Bug) -> World {
    let mut world = World::new(1, bug, true);
    world.env.faults = Faults::default();
    world.executors.iter_mut().for_each(|executor| executor.skew_ms = 0);
    world
}

fn invoke(uuid: u128, request: u128) -> Invoke {
    Invoke {
        id: InvocationId { partition_key: PartitionKey(0), uuid },
        request_id: RequestId(request),
        resent: false,
        target: Target { service: "s".into(), key: None, handler: "h".into() },
        kind: HandlerKind::Plain,
        headers: Vec::new(),
        body: Bytes::from_static(b"a"),
        idempotency_key: None,
        scope: None,
        limit_key: None,
        reply_to: Some("http://gateway".into()),
        caller: None,
        start_at: None,
        retention: Millis(600_000),
        journal_retention: None,
        state_ttl: None,
        retry: RetryPolicy {
            initial_interval: Millis(50),
            factor_permille: 2_000,
            max_interval: Millis(5_000),
            max_attempts: None,
            on_max_attempts: OnMaxAttempts::Kill,
        },
        traceparent: None,
    }
}

fn envelope(uuid: u128, request: u128) -> Envelope {
    let message = Message::Invoke(Box::new(invoke(uuid, request)));
    Envelope { level: Level(1), metadata: MetadataOffset(0), source: Source::Gateway, message }
}

fn send(world: &mut World, uuid: u128, request: u128) -> InboxOffset {
    world.env.inbox.append(Rc::new(Item::Message(envelope(uuid, request))))
}

fn ingest(offset: u64, uuid: u128) -> Command {
    let intake = Intake::Message(envelope(uuid, uuid));
    Command::Ingest(Ingest { offset: InboxOffset(offset), intake })
}

fn id(uuid: u128) -> InvocationId {
    invoke(uuid, 0).id
}

fn holds(world: &World, uuid: u128) -> bool {
    reads::invocation(world.env.observer.tables(), id(uuid)).unwrap().is_some()
}

fn ended(world: &World, uuid: u128) -> bool {
    let row = reads::invocation(world.env.observer.tables(), id(uuid)).unwrap();
    row.is_some_and(|row| matches!(row.status, Status::Completed { .. }))
}

fn epoch(world: &World) -> Epoch {
    reads::partition(world.env.observer.tables()).unwrap().epoch
}

/// Lets all that one appender holds arrive and become durable.
fn land_all(world: &mut World, executor: usize) {
    let appender = world.executors[executor].appender().unwrap();
    for _ in 0..16 {
        let hash = world.env.rng.draw();
        world.env.log.land_from(appender, hash);
        world.env.make_durable();
    }
}

fn announce(world: &mut World, executor: usize) {
    world.executors[executor].announce(&mut world.env);
}

/// Makes a process the owner.
fn elect(world: &mut World, executor: usize) {
    read_all(world, executor);
    announce(world, executor);
    land_all(world, executor);
    read_all(world, executor);
    assert!(world.executors[executor].is_owner(), "{}", world.env.trace().0);
}

fn read_all(world: &mut World, executor: usize) {
    for _ in 0..64 {
        let _ = world.executors[executor].read_some(&mut world.env);
    }
}

fn append(world: &mut World, executor: usize, commands: Vec<Command>) {
    world.executors[executor].append_now(&mut world.env, commands);
}

/// Lets the world go on by itself until a condition holds, and at most for 40,000 rounds.
fn live_until(world: &mut World, done: impl Fn(&World) -> bool) {
    for _ in 0..40_000 {
        if done(world) || world.env.violation.is_some() {
            break;
        }
        world.env.now.0 += 5;
        let env = &mut world.env;
        for executor in world.executors.iter_mut().filter(|x| x.process == Process::Up) {
            executor.step(env).unwrap();
            executor.poll_function(env);
        }
        let faults = env.faults;
        env.log.land(&mut env.rng, &faults, &mut env.coverage);
        env.make_durable();
    }
    assert!(done(world), "{}", world.env.trace().0);
    sound(world);
}

fn sound(world: &World) {
    assert_eq!(world.env.violation, None, "{}", world.env.trace().0);
}

#[test]
fn a_record_refused_in_the_middle_of_a_pipeline_costs_the_term_and_no_message() {
    let mut world = calm(Bug::None);
    for uuid in 1..=3 {
        send(&mut world, uuid, uuid);
    }
    elect(&mut world, 0);
    (0..3).for_each(|at| append(&mut world, 0, vec![ingest(at, u128::from(at) + 1)]));
    let appender = world.executors[0].appender().unwrap();
    world.env.log.land_from(appender, 11);
    world.env.log.refuse(appender);
    land_all(&mut world, 0);
    assert!(holds(&world, 1) && !holds(&world, 2) && !holds(&world, 3));
    assert!(reads::partition(world.env.observer.tables()).unwrap().closed);
    world.executors[0].assigned = true;
    live_until(&mut world, |world| (1..=3).all(|uuid| ended(world, uuid)));
    assert_eq!(epoch(&world), Epoch(2));
}

#[test]
fn of_two_candidates_for_one_epoch_the_one_that_pipelines_behind_has_no_effect() {
    let mut world = calm(Bug::None);
    announce(&mut world, 0);
    announce(&mut world, 1);
    append(&mut world, 1, vec![ingest(0, 7)]);
    land_all(&mut world, 0);
    land_all(&mut world, 1);
    (0..2).for_each(|executor| read_all(&mut world, executor));
    assert!(world.executors[0].is_owner() && world.executors[1].is_standby());
    assert!(!holds(&world, 7));
    sound(&world);
}

#[test]
fn a_late_record_of_a_lower_epoch_has_no_effect() {
    let mut world = calm(Bug::None);
    elect(&mut world, 0);
    append(&mut world, 0, vec![ingest(0, 7)]);
    elect(&mut world, 1);
    land_all(&mut world, 0);
    assert!(!holds(&world, 7));
    read_all(&mut world, 0);
    assert!(world.executors[0].is_standby());
    sound(&world);
}

#[test]
fn an_open_stream_does_not_speak_for_the_next_term_of_the_same_process() {
    for bug in [Bug::None, Bug::Core(planted::Bug::AttemptIgnoresEpoch)] {
        let mut world = calm(bug);
        world.env.faults.ghost = 1_000;
        send(&mut world, 1, 1);
        world.executors[0].assigned = true;
        live_until(&mut world, |world| holds(world, 1) && world.executors[0].is_idle());
        // The function speaks; before anybody listens, the appender breaks.
        (0..8).for_each(|_| world.executors[0].poll_function(&mut world.env));
        append(&mut world, 0, Vec::new());
        world.env.log.break_down(world.executors[0].appender().unwrap());
        live_to_the_end(&mut world, 1);
        assert!(epoch(&world) > Epoch(1));
        assert_eq!(world.env.violation.is_some(), bug != Bug::None, "{}", world.env.trace().0);
    }
}

fn live_to_the_end(world: &mut World, uuid: u128) {
    live_until_or_violated(world, |world| ended(world, uuid) && world.executors[0].is_idle());
}

fn live_until_or_violated(world: &mut World, done: impl Fn(&World) -> bool) {
    let run = std::panic::AssertUnwindSafe(|| live_until(world, done));
    let stopped = std::panic::catch_unwind(run).is_err();
    assert!(!stopped || world.env.violation.is_some(), "{}", world.env.trace().0);
}

/// What an attempt says that began before its invocation was killed, or in a former life of it.
fn stale_words(uuid: u128, attempt: AttemptId) -> Command {
    let effect = Effect::Run { completion: everlog_log_schema::CompletionId(1) };
    let bytes = Bytes::copy_from_slice(&1_u32.to_be_bytes());
    let entries = vec![Entry::Command { kind: 0x0411, bytes, effect }];
    Command::Append(Append { invocation: id(uuid), attempt, first_command: 1, entries, pin: None })
}

fn kill(uuid: u128, attempt: AttemptId) -> Command {
    let error = AttemptError {
        code: 500,
        message: "enough".into(),
        command_index: None,
        command_name: None,
        command_kind: None,
        delay_by_function: false,
    };
    let failed = AttemptFailed { invocation: id(uuid), attempt, error, then: Then::Kill };
    Command::AttemptFailed(failed)
}

fn purge(world: &mut World, uuid: u128, incarnation: Incarnation) -> Command {
    let kind = TimerKind::Purge;
    let tables = world.env.observer.tables();
    let mut last = None;
    loop {
        let timer = reads::next_timer(tables, last, Millis(u64::MAX)).unwrap().unwrap();
        let Timer { invocation, .. } = timer;
        if (invocation, timer.incarnation, timer.kind) == (id(uuid), incarnation, kind) {
            world.env.now = world.env.now.max(timer.due);
            return Command::TimerFired(TimerFired { timer });
        }
        last = Some(timer);
    }
}

const FIRST: AttemptId = AttemptId { incarnation: Incarnation(0), epoch: Epoch(1), counter: 0 };

#[test]
fn an_append_behind_a_kill_and_behind_a_purge_has_no_effect() {
    let mut world = calm(Bug::None);
    elect(&mut world, 0);
    append(&mut world, 0, vec![ingest(0, 1)]);
    append(&mut world, 0, vec![kill(1, FIRST), stale_words(1, FIRST)]);
    append(&mut world, 0, vec![stale_words(1, FIRST)]);
    land_all(&mut world, 0);
    let row = reads::invocation(world.env.observer.tables(), id(1)).unwrap().unwrap();
    assert_eq!((row.entries, row.commands), (2, 2), "the input and the failure");
    let purge = purge(&mut world, 1, Incarnation(0));
    append(&mut world, 0, vec![purge]);
    append(&mut world, 0, vec![stale_words(1, FIRST), kill(1, FIRST)]);
    land_all(&mut world, 0);
    assert_eq!(world.env.observer.tables().rows().count(), 1, "the partition's row");
    sound(&world);
}

#[test]
fn words_of_a_former_life_do_not_reach_the_next_one() {
    for bug in [Bug::None, Bug::Core(planted::Bug::IgnoreIncarnation)] {
        let mut world = calm(bug);
        elect(&mut world, 0);
        append(&mut world, 0, vec![ingest(0, 1)]);
        append(&mut world, 0, vec![kill(1, FIRST)]);
        land_all(&mut world, 0);
        let purge = purge(&mut world, 1, Incarnation(0));
        append(&mut world, 0, vec![purge]);
        let intake = Intake::Message(envelope(1, 2));
        let again = Command::Ingest(Ingest { offset: InboxOffset(1), intake });
        append(&mut world, 0, vec![again]);
        append(&mut world, 0, vec![stale_words(1, FIRST)]);
        land_all(&mut world, 0);
        assert_eq!(world.env.violation.is_some(), bug != Bug::None, "{}", world.env.trace().0);
    }
}

#[test]
fn a_copy_that_waited_in_the_inbox_for_long_is_not_taken_for_a_new_call() {
    for bug in [Bug::None, Bug::Shell(ShellBug::ForgetBeforeIntake)] {
        let mut world = calm(bug);
        world.env.faults.slow_intake = 999;
        elect(&mut world, 0);
        append(&mut world, 0, vec![ingest(0, 1)]);
        append(&mut world, 0, vec![kill(1, FIRST)]);
        // Its copy arrives in time, and then nobody owns the partition for half an hour.
        send(&mut world, 1, 1);
        send(&mut world, 1, 1);
        land_all(&mut world, 0);
        world.executors[0].crash(&mut world.env);
        world.env.now.0 += 1_800_000;
        world.executors[1].assigned = true;
        live_until_or_violated(&mut world, |world| !holds(world, 1));
        world.env.faults.slow_intake = 0;
        live_until_or_violated(&mut world, |world| {
            let row = reads::partition(world.env.observer.tables()).unwrap();
            row.next_inbox == InboxOffset(2)
        });
        assert_eq!(world.env.violation.is_some(), bug != Bug::None, "{}", world.env.trace().0);
    }
}

fn restart(world: &mut World, executor: usize) {
    world.executors[executor].crash(&mut world.env);
    world.executors[executor].restart(&mut world.env);
}

#[test]
fn a_restart_goes_on_from_tables_older_and_newer_than_the_last_checkpoint() {
    let mut world = calm(Bug::None);
    world.env.faults.checkpoint = 1_000;
    world.executors[0].assigned = true;
    live_until(&mut world, |world| world.executors[0].is_owner());
    read_all(&mut world, 2);
    world.executors[2].flush(&mut world.env);
    world.executors[2].crash(&mut world.env);
    send(&mut world, 1, 1);
    live_until(&mut world, |world| {
        ended(world, 1) && world.env.log.start() > world.executors[2].position()
    });
    // Newer: the standby has flushed what the checkpoint lacks.
    read_all(&mut world, 1);
    let newest = world.executors[1].position();
    world.executors[1].flush(&mut world.env);
    restart(&mut world, 1);
    assert_eq!(world.executors[1].position(), newest);
    // Older: what this one lacks is no longer in the log.
    world.executors[2].restart(&mut world.env);
    assert!(world.executors[2].position() < world.env.log.start());
    read_all(&mut world, 2);
    read_all(&mut world, 1);
    assert_eq!(world.executors[2].position(), world.env.log.end());
    assert_eq!(world.executors[2].tables(), world.env.observer.tables());
    assert_eq!(world.executors[1].tables(), world.env.observer.tables());
    sound(&world);
}

#[test]
fn an_answer_lost_with_its_owner_is_given_by_the_next_one() {
    let mut world = calm(Bug::None);
    let after = send(&mut world, 1, 1);
    world.executors[0].assigned = true;
    live_until(&mut world, |world| world.executors[0].is_owner());
    let ask = |executor: &mut Executor, env: &mut crate::env::Env| {
        executor.attach(env, Waiter::new(CallId(0), id(1), after))
    };
    assert!(ask(&mut world.executors[0], &mut world.env));
    // The owner dies with the end durable, and the reply not sent.
    live_until(&mut world, |world| ended(world, 1));
    world.env.replies.clear();
    world.executors[0].crash(&mut world.env);
    world.executors[1].assigned = true;
    live_until(&mut world, |world| world.executors[1].is_owner());
    assert!(ask(&mut world.executors[1], &mut world.env));
    let stored = reads::outcome_of(world.env.observer.tables(), id(1)).unwrap().unwrap().1;
    assert_eq!(world.env.replies, [(CallId(0), Reply::Answer(stored))]);
}

#[test]
fn a_term_closed_before_a_checkpoint_stays_closed_for_who_restores_it() {
    let mut world = calm(Bug::None);
    world.env.faults.checkpoint = 1_000;
    elect(&mut world, 0);
    append(&mut world, 0, vec![ingest(0, 1)]);
    append(&mut world, 0, vec![ingest(1, 2)]);
    append(&mut world, 0, vec![ingest(2, 3)]);
    let appender = world.executors[0].appender().unwrap();
    world.env.log.refuse(appender);
    world.env.log.land_from(appender, 5);
    world.env.make_durable();
    // The checkpoint holds a closed term; the rest of that term lands behind it.
    read_all(&mut world, 1);
    let position = world.executors[1].position();
    let closed = world.executors[1].tables().clone();
    let checkpointer = world.env.journal.open();
    let held = Held { log: position, inbox: reads::partition(&closed).unwrap().next_inbox };
    let rows = closed.rows().map(|(key, row)| (key.clone(), Some((row.clone(), LogOffset(0)))));
    world.env.journal.commit(checkpointer, rows.collect(), held).unwrap();
    world.env.log.trim(position);
    land_all(&mut world, 0);
    read_all(&mut world, 2);
    assert_eq!(world.executors[2].tables(), world.env.observer.tables());
    assert!((1..=3).all(|uuid| !holds(&world, uuid)));
    sound(&world);
}
