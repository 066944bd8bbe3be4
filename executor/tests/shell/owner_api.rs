//! What the owner answers to gateways.

use std::time::Duration;

use everlog_log_schema::owner_api::{OwnerError, Progress, Verdict};
use everlog_log_schema::{InboxOffset, OnMaxAttempts, RequestId, Status};

use crate::house::{Call, House, answer, owned, text, within};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_invocation_is_not_found() {
    let house = House::build();
    let executor = house.start();
    owned(&executor, 0).await;
    let owner = executor.owner_api();
    let id = Call::new(1, "echo").id;
    assert_eq!(within("an answer", owner.attach(id, None)).await, Err(OwnerError::NotFound));
    assert_eq!(within("an answer", owner.output(id)).await, Err(OwnerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_waits_for_its_message_to_be_taken_in() {
    let house = House::build();
    let executor = house.start();
    // Not there yet: the caller names the offset that its message will have.
    let call = Call::new(1, "echo");
    owned(&executor, 0).await;
    let owner = executor.owner_api();
    let waiting = tokio::spawn(async move { owner.attach(call.id, Some(InboxOffset(0))).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    house.send(&Call::new(1, "echo").envelope()).await;
    assert_eq!(text(&within("an answer", waiting).await.unwrap().unwrap()), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_message_created_nothing_is_told() {
    let house = House::build();
    let executor = house.start();
    let offset = house.send(&Call::new(1, "echo").envelope()).await;
    answer(&executor, Call::new(1, "").id, Some(offset)).await;
    let owner = executor.owner_api();
    let other = owner.attach(Call::new(2, "").id, Some(offset));
    assert_eq!(within("an answer", other).await, Err(OwnerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_not_answered_with_a_later_life_of_its_id() {
    let house = House::build();
    let executor = house.start();
    let forgotten = house.send(&Call::new(1, "echo").envelope()).await;
    let call = Call::new(2, "echo");
    let created = house.send(&call.envelope()).await;
    assert_eq!(text(&answer(&executor, call.id, Some(created)).await), "hello");
    let owner = executor.owner_api();
    let other = owner.attach(call.id, Some(forgotten));
    assert_eq!(within("an answer", other).await, Err(OwnerError::NotFound));
    let verdict = owner.verdict(call.id, call.request, forgotten);
    assert_eq!(within("a verdict", verdict).await, Err(OwnerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_known_from_then_on() {
    let house = House::build();
    let executor = house.start();
    owned(&executor, 0).await;
    let owner = executor.owner_api();
    for uuid in 1..=20 {
        let call = Call::new(uuid, "gated");
        house.send(&call.envelope()).await;
        let progress = within("an answer", owner.output(call.id)).await;
        assert!(matches!(progress, Ok(Progress::Unfinished { .. })), "{uuid}: {progress:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_is_there_once_the_call_has_completed() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let owner = executor.owner_api();
    let unfinished = Progress::Unfinished { status: Status::Running, last_error: None };
    assert_eq!(within("an answer", owner.output(call.id)).await, Ok(unfinished));
    house.functions.open_gate();
    let answered = answer(&executor, call.id, None).await;
    assert_eq!(within("an answer", owner.output(call.id)).await, Ok(Progress::Completed(answered)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_of_a_failing_call_tells_why() {
    let house = House::build();
    let executor = house.start();
    let mut call = Call::new(1, "flaky");
    call.retry.max_attempts = Some(1);
    call.retry.on_max_attempts = OnMaxAttempts::Pause;
    house.send(&call.envelope()).await;
    let owner = executor.owner_api();
    let error = within("the call to pause", async {
        loop {
            match owner.output(call.id).await {
                Ok(Progress::Unfinished { status: Status::Paused, last_error }) => {
                    return last_error.unwrap();
                }
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert_eq!((error.code, error.message.as_str()), (500, "not yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_tells_the_creating_request_from_others() {
    let house = House::build();
    let executor = house.start();
    let first = Call::new(1, "echo");
    let again = Call { request: RequestId(99), ..first.clone() };
    let (first_at, resent_at) =
        (house.send(&first.envelope()).await, house.send(&first.envelope()).await);
    let again_at = house.send(&again.envelope()).await;
    answer(&executor, first.id, Some(again_at)).await;
    let owner = executor.owner_api();
    let verdict = async |request, after| {
        within("a verdict", owner.verdict(first.id, request, after)).await.unwrap()
    };
    assert_eq!(verdict(first.request, first_at).await, Verdict::Accepted);
    assert_eq!(verdict(first.request, resent_at).await, Verdict::Accepted);
    assert_eq!(verdict(again.request, again_at).await, Verdict::PreviouslyAccepted);
    assert_eq!(house.functions.attempts(first.id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_callers_of_an_invocation_get_its_answer() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated");
    let offset = house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let attach = || {
        let owner = executor.owner_api();
        tokio::spawn(async move { owner.attach(call.id, Some(offset)).await })
    };
    let (first, second, leaves) = (attach(), attach(), attach());
    leaves.abort();
    house.functions.open_gate();
    let first = within("an answer", first).await.unwrap().unwrap();
    assert_eq!(within("an answer", second).await.unwrap(), Ok(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_sent_again_after_completion_is_answered_again() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "steps");
    let first = house.call(&executor, &call).await;
    assert_eq!(house.call(&executor, &call).await, first);
    assert_eq!(house.functions.attempts(call.id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_has_ended_says_so() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated");
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let owner = executor.owner_api();
    let waiting = tokio::spawn(async move { owner.attach(call.id, None).await });
    let owner = executor.owner_api();
    executor.drain(Duration::ZERO).await.unwrap();
    let answered = within("an answer", waiting).await.unwrap();
    assert!(matches!(answered, Err(OwnerError::Unavailable(_))), "{answered:?}");
    let asked = owner.attach(Call::new(1, "").id, None).await;
    assert!(matches!(asked, Err(OwnerError::Unavailable(_))), "{asked:?}");
}
