//! The words of the script language, and what is written the same way everywhere in it.
//!
//! An id is a number such as `7`, or `2:7` for one that lives on partition 2 of 4. The run of the
//! workflow key `w` is `60`; what the timer of an object belongs to is `object/a`. A life is `7.0`: id and incarnation. A result is `void`, `value <text>`, `bytes <count>`, or
//! `failure <code> <text>`.

use std::collections::VecDeque;
use std::str::FromStr;

use bytes::Bytes;
use everlog_log_schema::*;

/// What scripts call the run of the workflow key `w`, whose id is not theirs to choose.
pub(super) const RUN: u64 = 60;

/// The id that scripts call by a number.
pub(super) fn id(number: u64) -> InvocationId {
    if number == RUN {
        return identity::of_workflow("cart", "w");
    }
    InvocationId { partition_key: PartitionKey(0), uuid: u128::from(number) }
}

/// Writes an id as scripts read it; one that stands for a promise as its key and name.
pub(super) fn number(id: InvocationId) -> String {
    if id == identity::of_workflow("cart", "w") {
        return RUN.to_string();
    }
    for (key, name) in ["w", "v", ""].into_iter().flat_map(|key| [(key, "paid"), (key, "sent")]) {
        if id == identity::of_promise("cart", key, name) {
            return format!("promise {key}/{name}");
        }
    }
    for key in ["a", "b", "w", "v"] {
        if id == identity::of_object("cart", key) {
            return format!("object/{key}");
        }
    }
    match id.partition_key.0 >> 62 {
        0 => id.uuid.to_string(),
        partition => format!("{partition}:{}", id.uuid),
    }
}

/// The words of a command that are still to be read.
#[derive(Debug)]
pub(super) struct Words<'a>(VecDeque<&'a str>);

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self(text.split(' ').collect())
    }

    pub(super) fn next(&mut self) -> &'a str {
        self.0.pop_front().expect("another word")
    }

    pub(super) fn number<N: FromStr<Err: std::fmt::Debug>>(&mut self) -> N {
        self.next().parse().unwrap()
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        let there = self.0.front() == Some(&name);
        if there {
            self.0.pop_front();
        }
        there
    }

    pub(super) fn option<N: FromStr<Err: std::fmt::Debug>>(&mut self, name: &str) -> Option<N> {
        self.flag(name).then(|| self.number())
    }

    pub(super) fn list<N: FromStr<Err: std::fmt::Debug>>(&mut self, name: &str) -> Vec<N> {
        let list = self.option::<String>(name).unwrap_or_default();
        list.split(',').filter(|item| !item.is_empty()).map(|item| item.parse().unwrap()).collect()
    }

    pub(super) fn rest(&mut self) -> String {
        self.0.drain(..).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn id(&mut self) -> InvocationId {
        parse_id(self.next())
    }

    pub(super) fn completion(&mut self) -> CompletionId {
        CompletionId(self.number())
    }

    pub(super) fn life(&mut self) -> Life {
        let (id, incarnation) = self.next().split_once('.').expect("a life is `id.incarnation`");
        let incarnation = Incarnation(incarnation.parse().unwrap());
        Life { invocation: parse_id(id), incarnation }
    }

    /// Reads `plain`, `exclusive/<key>`, `shared/<key>`, `workflow/<key>` or `workflowshared/<key>`;
    /// an empty key is none.
    pub(super) fn handler(&mut self) -> (HandlerKind, Target) {
        let (kind, key) = self.next().split_once('/').unwrap_or(("plain", ""));
        let kind = match kind {
            "plain" => HandlerKind::Plain,
            "exclusive" => HandlerKind::Exclusive,
            "shared" => HandlerKind::Shared,
            "workflow" => HandlerKind::Workflow,
            "workflowshared" => HandlerKind::WorkflowShared,
            other => panic!("unknown kind of handler {other:?}"),
        };
        let key = Some(key.to_owned()).filter(|key| !key.is_empty());
        (kind, Target { service: "cart".into(), key, handler: "add".into() })
    }

    pub(super) fn signal(&mut self) -> SignalId {
        let word = self.next();
        word.parse().map_or_else(|_| SignalId::Name(word.to_owned()), SignalId::Index)
    }

    pub(super) fn result(&mut self) -> NotificationResult {
        match self.next() {
            "void" => NotificationResult::Void,
            "value" => NotificationResult::Value(Bytes::from(self.rest())),
            "bytes" => NotificationResult::Value(Bytes::from(vec![0; self.number()])),
            "failure" => NotificationResult::Failure(self.failure()),
            other => panic!("unknown result {other:?}"),
        }
    }

    pub(super) fn failure(&mut self) -> Failure {
        Failure { code: self.number(), message: self.rest(), metadata: Vec::new() }
    }
}

fn parse_id(text: &str) -> InvocationId {
    if let Some(key) = text.strip_prefix("object/") {
        return identity::of_object("cart", key);
    }
    let (partition, number) = text.split_once(':').unwrap_or(("0", text));
    let partition: u64 = partition.parse().unwrap();
    let id = id(number.parse().unwrap());
    if partition == 0 {
        return id;
    }
    InvocationId { partition_key: PartitionKey(partition << 62), ..id }
}

/// The code that scripts call by the version of the protocol that it speaks.
pub(super) fn pin(version: u32) -> Pin {
    Pin { deployment: DeploymentId(format!("dp_{version}")), protocol_version: version }
}

/// The policy of every call in scripts.
pub(super) fn retry_policy() -> RetryPolicy {
    RetryPolicy {
        initial_interval: Millis(500),
        factor_permille: 2_000,
        max_interval: Millis(60_000),
        max_attempts: Some(70),
        on_max_attempts: OnMaxAttempts::Pause,
    }
}
