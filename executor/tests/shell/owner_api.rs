//! What the owner answers to gateways.

use std::time::Duration;

use everlog_executor::Executor;
use everlog_log_schema::owner_api::{
    InvocationPage, InvocationQuery, OwnerError, Progress, RowRange, StatePage, Verdict,
};
use everlog_log_schema::{
    InboxOffset, InvocationId, Millis, OnMaxAttempts, PartitionId, RequestId, Row, RowKey, Status,
    StatusKind, codec, partition_key_of,
};

use crate::house::{self, Call, House, answer, owned, row, text, within};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_a_call_with_an_idempotency_key_tells_when_it_is_forgotten() {
    let house = House::build();
    let executor = house.start();
    assert_eq!(house.call(&executor, &Call::new(1, "echo")).await.expires_at, None);
    let call = Call { idempotency_key: Some("i".into()), ..Call::new(2, "gated") };
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let owner = executor.owner_api();
    let waiting = tokio::spawn(async move { owner.attach(call.id, None).await });
    house.functions.open_gate();
    let woken = within("an answer", waiting).await.unwrap().unwrap();
    let row = row(&executor, call.id).await;
    let Status::Completed { at, .. } = row.status else { panic!("{row:?}") };
    assert_eq!(woken.expires_at, Some(Millis(at.0 + row.retention.0)));
    assert_eq!(answer(&executor, call.id, None).await, woken);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_is_shown_as_it_stands() {
    let house = House::build();
    let executor = house.start();
    owned(&executor, 0).await;
    let owner = executor.owner_api();
    let unknown = within("an answer", owner.invocation(Call::new(9, "").id, None)).await;
    assert_eq!(unknown, Err(OwnerError::NotFound));
    let call = Call::new(1, "gated");
    let at = house.send(&call.envelope()).await;
    let row = within("a row", owner.invocation(call.id, Some(at))).await.unwrap();
    assert_eq!((row.request_id, row.target.handler.as_str()), (call.request, "gated"));
}

async fn page(executor: &Executor, query: &InvocationQuery) -> InvocationPage {
    let owner = executor.owner_api();
    within("a page", owner.invocations(PartitionId(0), query.clone())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn invocations_are_listed_in_pages_and_by_what_they_are() {
    let house = House::build();
    let executor = house.start();
    for uuid in 0..25 {
        house.call(&executor, &Call::new(uuid, "echo")).await;
    }
    let keyed = Call::new(30, "gated").key("k");
    house.send(&keyed.envelope()).await;
    house.functions.at_the_gate(keyed.id).await;
    let mut query = InvocationQuery { limit: 10, ..InvocationQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = page(&executor, &query).await;
        assert!(page.found.len() <= 10);
        found.extend(page.found.into_iter().map(|(id, _)| id.uuid));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(found, (0..25).chain([30]).collect::<Vec<u128>>());
    for query in [
        InvocationQuery { service: Some("Object".into()), ..InvocationQuery::default() },
        InvocationQuery { handler: Some("gated".into()), ..InvocationQuery::default() },
        InvocationQuery { key: Some("k".into()), ..InvocationQuery::default() },
        InvocationQuery { statuses: vec![StatusKind::Running], ..InvocationQuery::default() },
    ] {
        let page = page(&executor, &InvocationQuery { limit: 10, ..query }).await;
        let found: Vec<InvocationId> = page.found.iter().map(|(id, _)| *id).collect();
        assert_eq!((found, page.next), (vec![keyed.id], None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_invocations_looks_at_a_limited_number_of_rows() {
    let house = House::build();
    let executor = house.start();
    let mut last = None;
    for uuid in 0..10_001 {
        last = Some(house.send(&Call::new(uuid, "awaits").envelope()).await);
    }
    answered(&executor, last.unwrap()).await;
    let none = InvocationQuery { key: Some("none".into()), limit: 1, ..InvocationQuery::default() };
    let first = page(&executor, &none).await;
    assert_eq!((first.found.len(), first.next.map(|id| id.uuid)), (0, Some(9_999)));
    let second = page(&executor, &InvocationQuery { after: first.next, ..none }).await;
    assert_eq!((second.found.len(), second.next), (0, None));
}

/// Waits until a message is taken in.
async fn answered(executor: &Executor, at: InboxOffset) {
    owned(executor, 0).await;
    let owner = executor.owner_api();
    let intake = owner.invocation(Call::new(10_000, "").id, Some(at));
    within("the intake", intake).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_read_in_pages_while_it_is_live_and_when_it_is_packed() {
    let house = House::build();
    let executor = house.start();
    let call = Call::new(1, "gated").body(vec![7; 3 << 20]);
    house.send(&call.envelope()).await;
    house.functions.at_the_gate(call.id).await;
    let owner = executor.owner_api();
    let pages = async || {
        let mut pages = Vec::new();
        let mut from = 0;
        loop {
            let page = within("a page", owner.journal(call.id, from)).await.unwrap();
            if page.is_empty() {
                return pages;
            }
            from += u32::try_from(page.len()).unwrap();
            pages.push(page);
        }
    };
    let live = pages().await;
    // The input is larger than a page.
    assert_eq!(live.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
    house.functions.open_gate();
    answer(&executor, call.id, None).await;
    let packed = pages().await;
    assert_eq!(packed.iter().map(Vec::len).collect::<Vec<_>>(), [1, 5]);
    let (live, packed) = (live.concat(), packed.concat());
    assert_eq!(live[..], packed[..3]);
    let unknown = within("an answer", owner.journal(Call::new(9, "").id, 0)).await;
    assert_eq!(unknown, Err(OwnerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_an_object_is_read_in_pages() {
    let house = House::build();
    let executor = house.start();
    let owner = executor.owner_api();
    // The key decides the partition that is asked.
    let id = InvocationId { partition_key: partition_key_of("k"), uuid: 1 };
    let sizes = (0..5).map(|n| format!("{n}=400000")).collect::<Vec<_>>().join(",");
    let call = Call { id, ..Call::new(1, "append").key("k").body(sizes) };
    house.call(&executor, &call).await;
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let read = owner.state("Object".into(), "k".into(), after);
        let page = within("a page", read).await.unwrap();
        pages.push(page.entries.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["0", "1", "2"], vec!["3", "4"]]);
    let read = owner.state("Object".into(), "other".into(), None);
    assert_eq!(within("a page", read).await, Ok(StatePage::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_read_as_they_are_stored_and_in_pages() {
    let house = House::build();
    let executor = house.start();
    let owner = executor.owner_api();
    let ids: Vec<InvocationId> = (1..=5).map(|uuid| Call::new(uuid, "").id).collect();
    for id in &ids {
        // The input is in the invocation's journal, and each journal fills half a page.
        house
            .call(&executor, &Call { id: *id, ..Call::new(9, "echo").body(vec![7; 400_000]) })
            .await;
    }
    let bytes = |key: RowKey| key.to_bytes().into();
    let packed =
        |id| RowRange { from: bytes(RowKey::Packed(id, 0)), below: bytes(RowKey::Packed(id, 1)) };
    let mut rest: Vec<RowRange> = ids.iter().copied().map(packed).collect();
    let (mut pages, mut found) = (0, Vec::new());
    while !rest.is_empty() {
        let page = within("a page", owner.rows(PartitionId(0), rest.clone())).await.unwrap();
        pages += 1;
        for (key, value) in page.rows {
            let key = RowKey::from_bytes(&key).unwrap();
            let Row::Packed(journal) = codec::decode_row(&key, &value).unwrap() else {
                panic!("{key:?}");
            };
            let RowKey::Packed(id, _) = key else { panic!("{key:?}") };
            assert_eq!(journal, owner.journal(id, 0).await.unwrap());
            found.push(id);
        }
        let next = page.next;
        rest.retain(|range| next.as_ref().is_some_and(|next| range.below > *next));
    }
    assert_eq!(found, ids);
    assert!(pages > 1, "{pages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_told_by_owners_alone() {
    let house = House::build();
    let executor = house.start();
    let owner = executor.owner_api();
    let none = within("a page", owner.rows(PartitionId(house::PARTITIONS), vec![])).await;
    assert!(matches!(none, Err(OwnerError::Unavailable(_))), "{none:?}");
    owned(&executor, 0).await;
    executor.drain(Duration::ZERO).await.unwrap();
    let none = within("a page", owner.rows(PartitionId(0), vec![])).await;
    assert!(matches!(none, Err(OwnerError::Unavailable(_))), "{none:?}");
}
