//! The laws of the codec: what is written is read back, keys order as bytes, damage and excess are
//! refused, and nothing panics.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::limits::{self, LimitExceeded};
use crate::metadata::EagerState;
use crate::{
    Append, AttemptId, CheckpointRow, Command, Complete, CompletionId, Entry, Envelope, Epoch,
    Failure, Header, InboxOffset, Incarnation, Intake, InvocationId, Invoke, JournalRow, Life,
    LogOffset, Message, MetadataOffset, Millis, NotificationResult, PartitionId, Row, RowKey, Seq,
    Signal, SignalId, Source, Term, strategies,
};

proptest! {
    #[test]
    fn a_record_is_read_back(record in strategies::record()) {
        prop_assert_eq!(decode_record(&encode_record(&record).unwrap()).unwrap(), record);
    }

    #[test]
    fn a_message_is_read_back(envelope in strategies::envelope()) {
        prop_assert_eq!(decode_message(&encode_message(&envelope).unwrap()).unwrap(), envelope);
    }

    #[test]
    fn a_row_is_read_back((key, row) in strategies::row(), changed_at in strategies::long()) {
        let bytes = encode_row(&row, LogOffset(changed_at)).unwrap();
        prop_assert!(!bytes.is_empty());
        prop_assert_eq!(row_changed_at(&key.to_bytes(), &bytes), Ok(LogOffset(changed_at)));
        prop_assert_eq!(decode_row(&key, &bytes).unwrap(), row);
    }

    #[test]
    fn a_checkpoint_is_read_back([log, inbox, epoch, at] in prop::array::uniform4(strategies::long())) {
        let row = CheckpointRow {
            log: LogOffset(log),
            inbox: InboxOffset(inbox),
            epoch: Epoch(epoch),
            at: Millis(at),
        };
        prop_assert_eq!(decode_checkpoint(&encode_checkpoint(&row).unwrap()), Ok(row));
    }

    #[test]
    fn a_change_of_metadata_is_read_back(change in strategies::metadata_change()) {
        let bytes = encode_metadata_change(&change).unwrap();
        prop_assert_eq!(decode_metadata_change(&bytes).unwrap(), change);
    }

    #[test]
    fn a_row_key_is_read_back(key in strategies::row_key()) {
        prop_assert_eq!(RowKey::from_bytes(&key.to_bytes()), Ok(key));
    }

    #[test]
    fn row_keys_order_as_their_bytes(a in strategies::row_key(), b in strategies::row_key()) {
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
    }

    #[test]
    fn texts_of_keys_order_as_their_bytes(
        [a, b, c, d] in [strategies::text(), strategies::text(), strategies::text(), strategies::text()]
    ) {
        let a = RowKey::Queue { service: a, key: b, place: 1 };
        let b = RowKey::Queue { service: c, key: d, place: 0 };
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
    }

    #[test]
    fn keys_of_state_order_as_their_bytes(
        [a, b] in [strategies::state_key(), strategies::state_key()]
    ) {
        let of = |name| RowKey::State { service: "s".into(), key: "k".into(), name };
        let (a, b) = (of(a), of(b));
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
    }

    #[test]
    fn a_cut_or_longer_row_key_is_refused(key in strategies::row_key(), cut in any::<prop::sample::Index>()) {
        let mut bytes = key.to_bytes();
        prop_assert_eq!(RowKey::from_bytes(&bytes[..cut.index(bytes.len())]), Err(RowKeyError::Cut));
        bytes.push(0);
        prop_assert_eq!(RowKey::from_bytes(&bytes), Err(RowKeyError::Trailing(1)));
    }

    #[test]
    fn cut_or_longer_bytes_are_refused(record in strategies::record(), cut in any::<prop::sample::Index>()) {
        let bytes = encode_record(&record).unwrap();
        let malformed = |bytes: &[u8]| matches!(decode_record(bytes), Err(DecodeError::Malformed { .. }));
        prop_assert!(malformed(&bytes[..cut.index(bytes.len())]));
        prop_assert!(malformed(&[&bytes[..], &[0]].concat()));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), key in strategies::row_key()) {
        decode_everything(&key, &bytes);
    }

    #[test]
    fn no_damage_makes_a_decoder_panic(
        record in strategies::record(),
        envelope in strategies::envelope(),
        (key, row) in strategies::row(),
        change in strategies::metadata_change(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let whole = [encode_record(&record), encode_message(&envelope), encode_row(&row, LogOffset(7)), encode_metadata_change(&change)];
        for bytes in whole {
            let mut bytes = bytes.unwrap().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = with;
            decode_everything(&key, &bytes);
        }
    }
}

/// Feeds bytes to every decoder. What is accepted must be writable again, and what is not must be
/// refused in a few words.
fn decode_everything(key: &RowKey, bytes: &[u8]) {
    match decode_record(bytes) {
        Ok(record) => drop(encode_record(&record).unwrap()),
        Err(error) => assert_brief(&error),
    }
    match decode_message(bytes) {
        Ok(envelope) => drop(encode_message(&envelope).unwrap()),
        Err(error) => assert_brief(&error),
    }
    match decode_row(key, bytes) {
        Ok(row) => drop(encode_row(&row, LogOffset(7)).unwrap()),
        Err(error) => assert_brief(&error),
    }
    match row_changed_at(&key.to_bytes(), bytes) {
        Ok(offset) => assert!(i64::try_from(offset.0).is_ok()),
        Err(error) => assert_brief(&error),
    }
    match decode_checkpoint(bytes) {
        Ok(row) => drop(encode_checkpoint(&row).unwrap()),
        Err(error) => assert_brief(&error),
    }
    match decode_metadata_change(bytes) {
        Ok(change) => drop(encode_metadata_change(&change).unwrap()),
        Err(error) => assert_brief(&error),
    }
    if let Ok(key) = RowKey::from_bytes(bytes) {
        assert_eq!(key.to_bytes(), bytes);
    }
}

fn assert_brief(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(text.len() < 400, "{text}");
}

fn record(commands: Vec<Command>) -> Record {
    Record { epoch: Epoch(1), term: Term(2), seq: Seq(3), now: Millis(4), commands }
}

fn append(entries: Vec<Entry>) -> Command {
    let attempt = AttemptId { incarnation: Incarnation(0), epoch: Epoch(1), counter: 0 };
    Command::Append(Append { invocation: id(), attempt, first_command: 1, entries, pin: None })
}

fn id() -> InvocationId {
    InvocationId { partition_key: crate::PartitionKey(1), uuid: 2 }
}

fn call() -> Invoke {
    Invoke {
        id: id(),
        request_id: crate::RequestId(3),
        resent: false,
        target: crate::Target { service: "s".into(), key: None, handler: "h".into() },
        kind: crate::HandlerKind::Plain,
        headers: Vec::new(),
        body: Bytes::new(),
        idempotency_key: None,
        scope: None,
        limit_key: None,
        reply_to: None,
        caller: None,
        start_at: None,
        retention: Millis(0),
        journal_retention: None,
        state_ttl: None,
        retry: crate::RetryPolicy {
            initial_interval: Millis(500),
            factor_permille: 2_000,
            max_interval: Millis(60_000),
            max_attempts: None,
            on_max_attempts: crate::OnMaxAttempts::Pause,
        },
        traceparent: None,
    }
}

fn envelope(invoke: Invoke) -> Envelope {
    with_envelope(Message::Invoke(Box::new(invoke)))
}

fn with_envelope(message: Message) -> Envelope {
    Envelope {
        level: LEVEL_MAX,
        metadata: MetadataOffset(7),
        source: Source::Partition { partition: PartitionId(4), seq: Seq(9) },
        message,
    }
}

fn input(bytes: usize) -> Entry {
    Entry::Input { headers: Vec::new(), body: Bytes::from(vec![0; bytes]) }
}

fn journal_row(entry: Entry) -> JournalRow {
    JournalRow { at: Millis(0), attempts: 0, entry }
}

#[test]
fn an_unknown_schema_is_told_apart_from_damage() {
    let mut bytes = encode_record(&record(vec![Command::Resign])).unwrap().to_vec();
    bytes[2..10].copy_from_slice(&0xABCD_u64.to_le_bytes());
    let unknown = DecodeError::UnknownSchema { what: "record", fingerprint: 0xABCD };
    assert_eq!(decode_record(&bytes), Err(unknown));
}

#[test]
fn the_row_of_another_key_is_refused() {
    let bytes = encode_row(&Row::Running, LogOffset(7)).unwrap();
    let refused = decode_row(&RowKey::Sender(PartitionId(1)), &bytes);
    assert!(matches!(refused, Err(DecodeError::UnknownSchema { what: "sender row", .. })));
}

#[test]
fn the_offset_of_a_row_s_change_is_read_only_from_a_whole_and_known_row() {
    let key = RowKey::Running(id()).to_bytes();
    let bytes = encode_row(&Row::Running, LogOffset(300)).unwrap();
    assert_eq!(row_changed_at(&key, &bytes), Ok(LogOffset(300)));
    let malformed = |found| matches!(found, Err(DecodeError::Malformed { .. }));
    assert!(malformed(row_changed_at(&key, &bytes[..11])), "cut within the number");
    assert!(malformed(row_changed_at(&key, &bytes[..9])), "cut within the header");
    assert!(malformed(row_changed_at(&key, &[&bytes[..10], &[1]].concat())), "negative");
    assert!(malformed(row_changed_at(&[0xFE], &bytes)), "of no known kind");
    assert!(malformed(row_changed_at(&[], &bytes)), "without a key");
    let other = row_changed_at(&RowKey::Sender(PartitionId(1)).to_bytes(), &bytes);
    assert!(matches!(other, Err(DecodeError::UnknownSchema { .. })), "{other:?}");
}

#[test]
fn a_message_of_a_higher_level_is_given_up() {
    let mut bytes = encode_message(&envelope(call())).unwrap().to_vec();
    bytes[8] = 2;
    assert_eq!(decode_message(&bytes), Err(MessageError::UnknownLevel { level: Level(2) }));
    bytes.truncate(30);
    assert_eq!(decode_message(&bytes), Err(MessageError::UnknownLevel { level: Level(2) }));
}

#[test]
fn a_damaged_message_is_still_known_by_its_sender() {
    let whole = encode_message(&envelope(call())).unwrap();
    for bytes in
        [&whole[..30], &whole[..39], &whole[..whole.len() - 1], &[&whole[..], &[0]].concat()]
    {
        let error = decode_message(bytes).unwrap_err();
        let MessageError::Body { header, .. } = &error else { panic!("{error}") };
        assert_eq!(header.metadata, MetadataOffset(7));
        let source = Source::Partition { partition: PartitionId(4), seq: Seq(9) };
        assert_eq!(error.source_of_message(), Some(source));
    }
}

#[test]
fn bytes_without_an_envelope_are_known_as_such() {
    let whole = encode_message(&envelope(call())).unwrap();
    let damage = |at: usize, with: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] = with;
        bytes
    };
    let cases = [
        Vec::new(),
        b"GET / HTTP/1.1\r\nhost: everlog.example\r\n".to_vec(),
        whole[..29].to_vec(),
        damage(0, b'X'),
        damage(4, 2),
        damage(8, 0),
        damage(9, 0x80),
        damage(17, 2),
        damage(17, 0),
        damage(22, 0x80),
    ];
    for bytes in cases {
        let error = decode_message(&bytes).unwrap_err();
        assert!(matches!(error, MessageError::NoEnvelope(_)), "{error}");
        assert_eq!(error.source_of_message(), None);
    }
}

#[test]
fn numbers_that_avro_cannot_hold_are_refused() {
    let with_time = |now| encode_record(&Record { now: Millis(now), ..record(vec![]) });
    assert!(with_time(i64::MAX as u64).is_ok());
    let refused = with_time(i64::MAX as u64 + 1).unwrap_err();
    assert!(refused.to_string().contains("2^63"), "{refused}");
    let mut bytes = with_time(0).unwrap().to_vec();
    // Epoch, term, seq and time are one byte each; 1 is the zigzag form of -1.
    bytes[13] = 1;
    let refused = decode_record(&bytes).unwrap_err();
    assert!(refused.to_string().contains("negative"), "{refused}");
}

#[test]
fn a_record_takes_its_limit_of_commands_and_not_one_more() {
    let full = record(vec![Command::Resign; limits::RECORD_COMMANDS_MAX]);
    assert_eq!(decode_record(&encode_record(&full).unwrap()), Ok(full));
    let above = record(vec![Command::Resign; limits::RECORD_COMMANDS_MAX + 1]);
    assert!(matches!(encode_record(&above), Err(EncodeError::Unwritable(_))));
    // The same list as its last block would say it: 4097 commands of one byte each.
    let mut bytes = encode_record(&record(vec![])).unwrap().to_vec();
    bytes.pop();
    bytes.extend_from_slice(&[0x82, 0x40]);
    bytes.extend_from_slice(&[2; limits::RECORD_COMMANDS_MAX + 1]);
    bytes.push(0);
    let refused = decode_record(&bytes).unwrap_err();
    assert!(refused.to_string().contains("exceeds the limit of 4096"), "{refused}");
}

#[test]
fn a_record_takes_its_limit_of_bytes_and_not_one_more() {
    let of = |body| record(vec![append(vec![input(body)])]);
    let around = limits::RECORD_BYTES_MAX - 1_000;
    let overhead = encode_record(&of(around)).unwrap().len() - around;
    let full = of(limits::RECORD_BYTES_MAX - overhead);
    let bytes = encode_record(&full).unwrap();
    assert_eq!(bytes.len(), limits::RECORD_BYTES_MAX);
    assert_eq!(decode_record(&bytes), Ok(full));
    let excess = LimitExceeded {
        what: "record",
        bytes: limits::RECORD_BYTES_MAX + 1,
        max: limits::RECORD_BYTES_MAX,
    };
    let above = encode_record(&of(limits::RECORD_BYTES_MAX - overhead + 1));
    assert_eq!(above, Err(EncodeError::Limit(excess)));
    let above = [&bytes[..], &[0]].concat();
    assert_eq!(decode_record(&above), Err(DecodeError::Limit(excess)));
}

#[test]
fn a_length_beyond_the_bytes_is_refused() {
    let mut bytes =
        encode_row(&Row::Journal(journal_row(input(0))), LogOffset(0)).unwrap().to_vec();
    assert_eq!(
        bytes[10..],
        [0, 0, 0, 0, 0, 0],
        "offset, time, attempts, branch of the union, no headers, no body"
    );
    bytes.truncate(15);
    // 2^40 bytes, as a zigzag number.
    bytes.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x40]);
    let refused = decode_row(&RowKey::Journal(id(), 0), &bytes);
    assert!(matches!(refused, Err(DecodeError::Malformed { .. })), "{refused:?}");
}

type Case = (usize, fn(&mut Invoke, usize));

fn text(bytes: usize) -> String {
    "k".repeat(bytes)
}

fn header(bytes: usize) -> Vec<Header> {
    vec![Header { key: "k".into(), value: text(bytes - 1) }]
}

#[test]
fn every_limit_of_a_call_holds_at_the_limit_and_one_above() {
    let cases: [Case; 8] = [
        (limits::NAME_BYTES_MAX, |call, n| call.target.service = text(n)),
        (limits::NAME_BYTES_MAX, |call, n| call.target.handler = text(n)),
        (limits::KEY_BYTES_MAX, |call, n| call.target.key = Some(text(n))),
        (limits::KEY_BYTES_MAX, |call, n| call.idempotency_key = Some(text(n))),
        (limits::SCOPE_BYTES_MAX, |call, n| call.scope = Some(text(n))),
        (limits::LIMIT_KEY_BYTES_MAX, |call, n| call.limit_key = Some(text(n))),
        (limits::HEADERS_BYTES_MAX, |call, n| call.headers = header(n)),
        (limits::BODY_BYTES_MAX, |call, n| call.body = Bytes::from(vec![0; n])),
    ];
    for (max, set) in cases {
        let mut at = call();
        set(&mut at, max);
        let at = envelope(at);
        assert_eq!(decode_message(&encode_message(&at).unwrap()), Ok(at));
        let mut above = call();
        set(&mut above, max + 1);
        let above = envelope(above);
        assert_refused(&above, max + 1);
    }
}

/// Sees a message refused that is above a limit, by its writer and by its reader.
fn assert_refused(above: &Envelope, size: usize) {
    let refused = encode_message(above).unwrap_err();
    assert!(matches!(refused, EncodeError::Limit(LimitExceeded { bytes, .. }) if bytes == size));
    let body = record(vec![Command::Ingest(crate::Ingest {
        offset: crate::InboxOffset(0),
        intake: Intake::Message(above.clone()),
    })]);
    assert!(encode_record(&body).is_ok(), "a record bounds its bytes alone");
    // What another writer let through is refused here, as its sender's.
    let unchecked = envelope::encode_unchecked(above).unwrap();
    let refused = decode_message(&unchecked).unwrap_err();
    assert!(refused.to_string().contains("exceeds the limit"), "{refused}");
}

fn signal(signal: SignalId, result: NotificationResult) -> Message {
    let target = id();
    Message::Signal(Box::new(Signal { target, incarnation: None, sender: None, signal, result }))
}

fn completed(result: NotificationResult) -> Message {
    let to = Life { invocation: id(), incarnation: Incarnation(0) };
    Message::Complete(Box::new(Complete { to, completion: CompletionId(1), result }))
}

fn value(bytes: usize) -> NotificationResult {
    NotificationResult::Value(Bytes::from(vec![0; bytes]))
}

fn failure(bytes: usize) -> NotificationResult {
    let message = text(bytes - 4);
    NotificationResult::Failure(Failure { code: 500, message, metadata: header(4) })
}

type MessageOfSize = fn(usize) -> Message;

#[test]
fn every_limit_of_another_message_holds_at_the_limit_and_one_above() {
    let cases: [(usize, MessageOfSize); 5] = [
        (limits::SIGNAL_NAME_BYTES_MAX, |n| {
            signal(SignalId::Name(text(n)), NotificationResult::Void)
        }),
        (limits::BODY_BYTES_MAX, |n| signal(SignalId::Index(17), value(n))),
        (limits::BODY_BYTES_MAX, |n| signal(SignalId::Index(17), failure(n))),
        (limits::BODY_BYTES_MAX, |n| completed(value(n))),
        (limits::BODY_BYTES_MAX, |n| completed(failure(n))),
    ];
    for (max, of) in cases {
        let at = with_envelope(of(max));
        assert_eq!(decode_message(&encode_message(&at).unwrap()), Ok(at));
        assert_refused(&with_envelope(of(max + 1)), max + 1);
    }
}

#[test]
fn a_list_of_state_keys_takes_its_limit_and_not_one_more() {
    let max = usize::try_from(limits::STATE_KEYS_MAX).unwrap();
    let of = |count| NotificationResult::StateKeys(vec![Bytes::new(); count]);
    let text = serde_json::to_string(&of(max)).unwrap();
    assert_eq!(serde_json::from_str::<NotificationResult>(&text).unwrap(), of(max));
    assert!(serde_json::to_string(&of(max + 1)).is_err());
    let longer = text.replacen("[[],", "[[],[],", 1);
    let refused = serde_json::from_str::<NotificationResult>(&longer).unwrap_err();
    assert!(refused.to_string().contains(&format!("exceeds the limit of {max} ")), "{refused}");
}

#[test]
fn a_handler_names_its_limit_of_state_keys_and_not_one_more() {
    let max = limits::EAGER_STATE_KEYS_MAX;
    let of = |count| EagerState::Only(vec![String::new(); count]);
    let text = serde_json::to_string(&of(max)).unwrap();
    assert_eq!(serde_json::from_str::<EagerState>(&text).unwrap(), of(max));
    assert!(serde_json::to_string(&of(max + 1)).is_err());
    let longer = text.replacen("[\"\",", "[\"\",\"\",", 1);
    let refused = serde_json::from_str::<EagerState>(&longer).unwrap_err();
    assert!(refused.to_string().contains(&format!("exceeds the limit of {max} ")), "{refused}");
}

#[test]
fn a_packed_journal_takes_its_limit_of_entries_and_not_one_more() {
    let max = usize::try_from(limits::JOURNAL_ENTRIES_MAX).unwrap();
    let of = |count| Row::Packed(vec![journal_row(input(0)); count]);
    let bytes = encode_row(&of(max), LogOffset(7)).unwrap();
    assert_eq!(decode_row(&RowKey::Packed(id(), 0), &bytes), Ok(of(max)));
    assert!(matches!(encode_row(&of(max + 1), LogOffset(7)), Err(EncodeError::Unwritable(_))));
}
