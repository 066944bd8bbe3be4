//! What processes tell each other: questions to owners, their answers, and members.
//!
//! Rows travel as they are stored, within the answer, so that their schemas are said once.
//! **Invariant:** as for what is stored, nothing is read that could not have been written.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DecodeError, EncodeError, adapt, avro, decode_row, encode_row, list};
use crate::owner_api::{
    Answer, InvocationPage, InvocationQuery, OwnerError, Question, Reply, RowPage, RowRange,
    StatePage, Verdict,
};
use crate::{
    AttemptError, DeploymentId, Epoch, FutureTree, Holding, InboxOffset, InvocationId,
    InvocationRow, JournalRow, Level, LogOffset, Member, Millis, Outcome, PartitionId,
    PartitionKey, RequestId, Role, Row, RowKey, StandingAnswer, StandingQuestion, Status,
    StatusKind, Target,
};

/// Stands for when a row was changed: that is not told.
const NOT_TOLD: LogOffset = LogOffset(0);
/// Stands for an invocation where only the kind of its row counts.
const NOBODY: InvocationId = InvocationId { partition_key: PartitionKey(0), uuid: 0 };

/// Writes a question to an owner.
pub fn encode_question(question: &Question) -> Result<Bytes, EncodeError> {
    let question = WireQuestion::of(question);
    avro::OWNER_QUESTION.encode(&QuestionBody { question })
}

/// Reads a question to an owner.
pub fn decode_question(bytes: &[u8]) -> Result<Question, DecodeError> {
    let QuestionBody { question } = avro::OWNER_QUESTION.decode(bytes)?;
    Ok(question.into_question())
}

/// Writes an owner's answer.
pub fn encode_reply(reply: Reply) -> Result<Bytes, EncodeError> {
    avro::OWNER_REPLY.encode(&ReplyBody { reply: WireReply::of(reply)? })
}

/// Reads an owner's answer.
pub fn decode_reply(bytes: &[u8]) -> Result<Reply, DecodeError> {
    let ReplyBody { reply } = avro::OWNER_REPLY.decode(bytes)?;
    reply.into_reply()
}

/// Writes what a process says of itself.
pub fn encode_member(member: &Member) -> Result<Bytes, EncodeError> {
    let holdings = member.holdings.iter();
    avro::MEMBER.encode(&WireMember {
        role: member.role,
        address: member.address.clone(),
        version: member.version.clone(),
        level: member.level,
        holdings: holdings
            .map(|(partition, holding)| WireHolding { partition: *partition, holding: *holding })
            .collect(),
    })
}

/// Reads what a process says of itself.
pub fn decode_member(bytes: &[u8]) -> Result<Member, DecodeError> {
    let WireMember { role, address, version, level, holdings } = avro::MEMBER.decode(bytes)?;
    let held = holdings.len();
    let holdings: BTreeMap<_, _> =
        holdings.into_iter().map(|of| (of.partition, of.holding)).collect();
    if holdings.len() != held {
        let reason = "a partition is held twice".into();
        return Err(DecodeError::Malformed { what: "member", reason });
    }
    Ok(Member { role, address, version, level, holdings })
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "OwnerQuestion")]
struct QuestionBody {
    question: WireQuestion,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "OwnerReply")]
struct ReplyBody {
    reply: WireReply,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Member")]
struct WireMember {
    role: Role,
    address: String,
    version: String,
    level: Level,
    #[serde(with = "list::holdings")]
    holdings: Vec<WireHolding>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Holding")]
struct WireHolding {
    partition: PartitionId,
    holding: Holding,
}

#[derive(Serialize, Deserialize)]
enum WireQuestion {
    Attach {
        id: InvocationId,
        after: Option<InboxOffset>,
    },
    Output {
        id: InvocationId,
    },
    Verdict {
        id: InvocationId,
        request: RequestId,
        after: InboxOffset,
    },
    Invocation {
        id: InvocationId,
        after: Option<InboxOffset>,
    },
    Invocations {
        partition: PartitionId,
        service: Option<String>,
        handler: Option<String>,
        key: Option<String>,
        #[serde(with = "list::page")]
        statuses: Vec<StatusKind>,
        deployment: Option<DeploymentId>,
        after: Option<InvocationId>,
        #[serde(with = "adapt::long")]
        limit: u64,
    },
    Journal {
        id: InvocationId,
        from: u32,
    },
    State {
        service: String,
        key: String,
        after: Option<Bytes>,
    },
    Rows {
        partition: PartitionId,
        #[serde(with = "list::row_ranges")]
        ranges: Vec<RowRange>,
    },
    Ping {
        partition: PartitionId,
    },
    HandOver {
        partition: PartitionId,
        caught_up: LogOffset,
    },
    AwaitingOn {
        id: InvocationId,
    },
}

impl WireQuestion {
    fn of(question: &Question) -> Self {
        match question.clone() {
            Question::Attach { id, after } => Self::Attach { id, after },
            Question::Output { id } => Self::Output { id },
            Question::Verdict { id, request, after } => Self::Verdict { id, request, after },
            Question::Invocation { id, after } => Self::Invocation { id, after },
            Question::AwaitingOn { id } => Self::AwaitingOn { id },
            Question::Invocations { partition, query } => {
                let InvocationQuery { service, handler, key, statuses, deployment, after, limit } =
                    query;
                // A page is never as long.
                let limit = u64::try_from(limit).unwrap_or(Millis::MAX.0).min(Millis::MAX.0);
                Self::Invocations {
                    partition,
                    service,
                    handler,
                    key,
                    statuses,
                    deployment,
                    after,
                    limit,
                }
            }
            Question::Journal { id, from } => Self::Journal { id, from },
            Question::State { service, key, after } => Self::State { service, key, after },
            Question::Rows { partition, ranges } => Self::Rows { partition, ranges },
            Question::Standing { partition, question: StandingQuestion::Ping } => {
                Self::Ping { partition }
            }
            Question::Standing {
                partition,
                question: StandingQuestion::HandOver { caught_up },
            } => Self::HandOver { partition, caught_up },
        }
    }

    fn into_question(self) -> Question {
        let standing = |partition, question| Question::Standing { partition, question };
        match self {
            Self::Attach { id, after } => Question::Attach { id, after },
            Self::Output { id } => Question::Output { id },
            Self::Verdict { id, request, after } => Question::Verdict { id, request, after },
            Self::Invocation { id, after } => Question::Invocation { id, after },
            Self::AwaitingOn { id } => Question::AwaitingOn { id },
            Self::Invocations {
                partition,
                service,
                handler,
                key,
                statuses,
                deployment,
                after,
                limit,
            } => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let query =
                    InvocationQuery { service, handler, key, statuses, deployment, after, limit };
                Question::Invocations { partition, query }
            }
            Self::Journal { id, from } => Question::Journal { id, from },
            Self::State { service, key, after } => Question::State { service, key, after },
            Self::Rows { partition, ranges } => Question::Rows { partition, ranges },
            Self::Ping { partition } => standing(partition, StandingQuestion::Ping),
            Self::HandOver { partition, caught_up } => {
                standing(partition, StandingQuestion::HandOver { caught_up })
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
enum WireReply {
    Completed {
        target: Target,
        outcome: Outcome,
        expires_at: Option<Millis>,
    },
    Unfinished {
        status: Status,
        last_error: Option<AttemptError>,
    },
    Accepted,
    PreviouslyAccepted,
    Invocation {
        row: Bytes,
    },
    Invocations {
        #[serde(with = "list::page")]
        found: Vec<Found>,
        next: Option<InvocationId>,
    },
    Journal {
        entries: Bytes,
    },
    State {
        #[serde(with = "list::page")]
        entries: Vec<KeyAndValue>,
        next: Option<Bytes>,
    },
    Rows {
        #[serde(with = "list::page")]
        rows: Vec<KeyAndValue>,
        next: Option<Bytes>,
    },
    Standing {
        owner: Option<Epoch>,
        next_log: LogOffset,
    },
    NotFound,
    Unavailable {
        reason: String,
    },
    Stopped {
        reason: String,
    },
    AwaitingOn {
        waiting: Option<FutureTree>,
    },
}

#[derive(Serialize, Deserialize)]
struct Found {
    id: InvocationId,
    row: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Entry")]
struct KeyAndValue {
    key: Bytes,
    value: Bytes,
}

impl WireReply {
    fn of(reply: Reply) -> Result<Self, EncodeError> {
        Ok(match reply {
            Reply::Completed(Answer { target, outcome, expires_at }) => {
                Self::Completed { target, outcome, expires_at }
            }
            Reply::Unfinished { status, last_error } => Self::Unfinished { status, last_error },
            Reply::Verdict(Verdict::Accepted) => Self::Accepted,
            Reply::Verdict(Verdict::PreviouslyAccepted) => Self::PreviouslyAccepted,
            Reply::Invocation(row) => {
                Self::Invocation { row: encode_row(&Row::Invocation(row), NOT_TOLD)? }
            }
            Reply::AwaitingOn(waiting) => Self::AwaitingOn { waiting },
            Reply::Invocations(InvocationPage { found, next }) => {
                let found = found.into_iter().map(|(id, row)| {
                    let row = encode_row(&Row::Invocation(Box::new(row)), NOT_TOLD)?;
                    Ok::<_, EncodeError>(Found { id, row })
                });
                Self::Invocations { found: found.collect::<Result<_, _>>()?, next }
            }
            Reply::Journal(entries) => {
                Self::Journal { entries: encode_row(&Row::Packed(entries), NOT_TOLD)? }
            }
            Reply::State(StatePage { entries, next }) => {
                Self::State { entries: into_entries(entries), next }
            }
            Reply::Rows(RowPage { rows, next }) => Self::Rows { rows: into_entries(rows), next },
            Reply::Standing(StandingAnswer { owner, next_log }) => {
                Self::Standing { owner, next_log }
            }
            Reply::Refused(OwnerError::NotFound) => Self::NotFound,
            Reply::Refused(OwnerError::Unavailable(reason)) => Self::Unavailable { reason },
            Reply::Refused(OwnerError::Stopped(reason)) => Self::Stopped { reason },
        })
    }

    fn into_reply(self) -> Result<Reply, DecodeError> {
        Ok(match self {
            Self::Completed { target, outcome, expires_at } => {
                Reply::Completed(Answer { target, outcome, expires_at })
            }
            Self::Unfinished { status, last_error } => Reply::Unfinished { status, last_error },
            Self::Accepted => Reply::Verdict(Verdict::Accepted),
            Self::PreviouslyAccepted => Reply::Verdict(Verdict::PreviouslyAccepted),
            Self::Invocation { row } => Reply::Invocation(invocation(&row)?),
            Self::AwaitingOn { waiting } => Reply::AwaitingOn(waiting),
            Self::Invocations { found, next } => {
                let found = found.into_iter().map(|Found { id, row }| Ok((id, *invocation(&row)?)));
                let found = found.collect::<Result<_, DecodeError>>()?;
                Reply::Invocations(InvocationPage { found, next })
            }
            Self::Journal { entries } => Reply::Journal(journal(&entries)?),
            Self::State { entries, next } => {
                Reply::State(StatePage { entries: of_entries(entries), next })
            }
            Self::Rows { rows, next } => Reply::Rows(RowPage { rows: of_entries(rows), next }),
            Self::Standing { owner, next_log } => {
                Reply::Standing(StandingAnswer { owner, next_log })
            }
            Self::NotFound => Reply::Refused(OwnerError::NotFound),
            Self::Unavailable { reason } => Reply::Refused(OwnerError::Unavailable(reason)),
            Self::Stopped { reason } => Reply::Refused(OwnerError::Stopped(reason)),
        })
    }
}

fn into_entries(pairs: Vec<(Bytes, Bytes)>) -> Vec<KeyAndValue> {
    pairs.into_iter().map(|(key, value)| KeyAndValue { key, value }).collect()
}

fn of_entries(entries: Vec<KeyAndValue>) -> Vec<(Bytes, Bytes)> {
    entries.into_iter().map(|KeyAndValue { key, value }| (key, value)).collect()
}

fn invocation(row: &[u8]) -> Result<Box<InvocationRow>, DecodeError> {
    // Any id tells the schema.
    let Row::Invocation(row) = decode_row(&RowKey::Invocation(NOBODY), row)? else {
        unreachable!("the key tells the kind of the row");
    };
    Ok(row)
}

fn journal(entries: &[u8]) -> Result<Vec<JournalRow>, DecodeError> {
    let Row::Packed(entries) = decode_row(&RowKey::Packed(NOBODY, 0), entries)? else {
        unreachable!("the key tells the kind of the row");
    };
    Ok(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::{limits, strategies};

    proptest! {
        #[test]
        fn a_question_is_read_back(question in strategies::question()) {
            prop_assert_eq!(decode_question(&encode_question(&question).unwrap()).unwrap(), question);
        }

        #[test]
        fn an_answer_is_read_back(reply in strategies::reply()) {
            prop_assert_eq!(decode_reply(&encode_reply(reply.clone()).unwrap()).unwrap(), reply);
        }

        #[test]
        fn a_member_is_read_back(member in strategies::member()) {
            prop_assert_eq!(decode_member(&encode_member(&member).unwrap()).unwrap(), member);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (decode_question(&bytes), decode_reply(&bytes), decode_member(&bytes));
        }
    }

    fn question(key_bytes: usize) -> Question {
        Question::State { service: String::new(), key: "k".repeat(key_bytes), after: None }
    }

    fn state(rows: usize) -> Reply {
        let entries = vec![(Bytes::new(), Bytes::new()); rows];
        Reply::State(StatePage { entries, next: None })
    }

    fn member(holdings: usize) -> Member {
        let holdings = (0..u32::try_from(holdings).unwrap())
            .map(|partition| (PartitionId(partition), Holding::Owner(Epoch(1 << 40))));
        Member {
            role: Role::Executor,
            address: String::new(),
            version: String::new(),
            level: Level(1),
            holdings: holdings.collect(),
        }
    }

    #[test]
    fn a_question_takes_its_limit_and_not_one_more() {
        let overhead = encode_question(&question(1 << 15)).unwrap().len() - (1 << 15);
        let most = limits::QUESTION_BYTES_MAX - overhead;
        assert!(encode_question(&question(most)).is_ok());
        assert!(matches!(encode_question(&question(most + 1)), Err(EncodeError::Limit(_))));
        let beyond = vec![0; limits::QUESTION_BYTES_MAX + 1];
        assert!(matches!(decode_question(&beyond), Err(DecodeError::Limit(_))));
    }

    #[test]
    fn a_page_takes_its_limit_of_rows_and_not_one_more() {
        let most = encode_reply(state(limits::PAGE_ROWS_MAX)).unwrap();
        assert_eq!(decode_reply(&most), Ok(state(limits::PAGE_ROWS_MAX)));
        let refused = encode_reply(state(limits::PAGE_ROWS_MAX + 1));
        assert!(matches!(refused, Err(EncodeError::Unwritable(_))));
    }

    #[test]
    fn a_question_names_its_limit_of_ranges_and_not_one_more() {
        let range = RowRange { from: Bytes::new(), below: Bytes::new() };
        let rows = |ranges| Question::Rows {
            partition: PartitionId(1),
            ranges: vec![range.clone(); ranges],
        };
        let most = rows(limits::ROW_RANGES_MAX);
        assert_eq!(decode_question(&encode_question(&most).unwrap()), Ok(most));
        let refused = encode_question(&rows(limits::ROW_RANGES_MAX + 1));
        assert!(matches!(refused, Err(EncodeError::Unwritable(_))));
    }

    #[test]
    fn a_member_takes_its_limit_of_holdings_and_not_one_more() {
        let most = encode_member(&member(limits::HOLDINGS_MAX)).unwrap();
        assert_eq!(decode_member(&most), Ok(member(limits::HOLDINGS_MAX)));
        let refused = encode_member(&member(limits::HOLDINGS_MAX + 1));
        assert!(matches!(refused, Err(EncodeError::Unwritable(_))));
    }

    #[test]
    fn a_member_that_holds_a_partition_twice_is_refused() {
        let held = |_| WireHolding { partition: PartitionId(7), holding: Holding::Owner(Epoch(1)) };
        let twice = WireMember {
            role: Role::Both,
            address: String::new(),
            version: String::new(),
            level: Level(1),
            holdings: (0..2).map(held).collect(),
        };
        let bytes = avro::MEMBER.encode(&twice).unwrap();
        assert!(matches!(decode_member(&bytes), Err(DecodeError::Malformed { .. })));
    }
}
