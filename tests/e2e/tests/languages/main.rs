//! One set of tests of what functions can do, run in each language, and with attempts that wait as
//! well as with attempts that suspend at once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod calls;
mod combine;
mod endings;
mod failures;
mod histories;
mod kills;
mod state;
mod waits;
mod workflows;

use everlog_e2e::{Language, Mode, World};

macro_rules! scenarios {
    ($language:ident, $mode:ident; $($module:ident::$scenario:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $scenario() {
            let mut world = World::start(Language::$language, Mode::$mode).await.unwrap();
            crate::$module::$scenario(&mut world).await.unwrap();
            world.stop().await.unwrap();
        }
    )*};
}

macro_rules! every_scenario {
    ($module:ident, $language:ident, $mode:ident) => {
        every_scenario! { $module, $language, $mode;
            waits::a_signal_is_resolved_or_rejected_by_a_handler,
        }
    };
    ($module:ident, $language:ident, $mode:ident, without signals) => {
        every_scenario! { $module, $language, $mode; }
    };
    ($module:ident, $language:ident, $mode:ident; $($signals:tt)*) => {
        mod $module {
            use super::{Language, Mode, World};

            scenarios! { $language, $mode;
                $($signals)*
                state::state_commands_count_once_and_in_order,
                state::a_shared_handler_does_not_wait_for_an_exclusive_one,
                state::state_is_replaced_when_nobody_writes_it,
                calls::a_call_returns_what_its_callee_returns,
                calls::calls_with_one_idempotency_key_are_one_call,
                calls::one_way_calls_arrive_in_order,
                calls::nothing_wakes_or_arrives_early,
                waits::an_awakeable_is_resolved_or_rejected_by_anybody,
                waits::a_waiting_attempt_is_kept_or_ended_as_configured,
                combine::all_wait_for_the_last_or_the_first_failure,
                combine::any_waits_for_the_first_success,
                combine::a_race_is_won_once_and_whatever_is_in_it,
                endings::a_cancel_reaches_the_callees,
                endings::a_kill_ends_the_callees_but_not_what_was_sent,
                endings::a_waiting_call_is_paused_resumed_and_purged,
                workflows::a_run_waits_for_its_promise,
                workflows::a_workflow_runs_once_for_each_key,
                failures::a_terminal_failure_is_final,
                failures::retries_end_as_their_policy_says,
                kills::what_waits_at_a_kill_ends_once,
                failures::another_step_than_is_recorded_is_named,
                histories::each_history_survives_sixty_four_callers_and_kills,
            }
        }
    };
}

every_scenario!(rust_streaming, Rust, Streaming);
every_scenario!(rust_suspending, Rust, Suspending);
every_scenario!(typescript_streaming, TypeScript, Streaming);
every_scenario!(typescript_suspending, TypeScript, Suspending);
every_scenario!(python_streaming, Python, Streaming);
every_scenario!(python_suspending, Python, Suspending);

every_scenario!(go_streaming, Go, Streaming);
every_scenario!(go_suspending, Go, Suspending);
// The SDK for Java 17 has no signals.
every_scenario!(java_streaming, Java, Streaming, without signals);
every_scenario!(java_suspending, Java, Suspending, without signals);

/// Whether invocations are run with a version of the service protocol.
async fn speaks(world: &World, version: u32) {
    let id = world.send("/Timer/nap", serde_json::json!(1)).await.unwrap();
    world.answer(&id).await.unwrap();
    let shown = world.everlog.admin_get(&format!("/invocations/{id}")).await.unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.body).unwrap();
    assert_eq!(shown["protocolVersion"], version, "{shown}");
}

macro_rules! versions {
    ($($name:ident of $language:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            // All scenarios run with the highest, which is the default.
            for (version, mode) in [(5, Mode::Suspending), (6, Mode::Suspending), (6, Mode::Streaming)] {
                let world = World::start_up_to(Language::$language, mode, version).await;
                let mut world = world.unwrap();
                speaks(&world, version).await;
                combine::all_wait_for_the_last_or_the_first_failure(&mut world).await.unwrap();
                combine::any_waits_for_the_first_success(&mut world).await.unwrap();
                combine::a_race_is_won_once_and_whatever_is_in_it(&mut world).await.unwrap();
                calls::a_call_returns_what_its_callee_returns(&mut world).await.unwrap();
                failures::retries_end_as_their_policy_says(&mut world).await.unwrap();
                world.stop().await.unwrap();
            }
        }
    )*};
}

versions! {
    each_version_is_spoken_with_rust of Rust,
    each_version_is_spoken_with_typescript of TypeScript,
    each_version_is_spoken_with_python of Python,
    each_version_is_spoken_with_go of Go,
}
