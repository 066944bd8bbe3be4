//! What holds for every function, however strange, however its bytes are cut, and however often it
//! starts anew.

use everlog_log_schema::{Entry, HandlerKind};
use proptest::prelude::*;

use super::script::{answers, input, message, start};
use crate::invoker::frame::{FRAME_BYTES_MAX, Frame, FrameDecoder, kind};
use crate::invoker::machine::Machine;
use crate::invoker::{AttemptEventKind, AttemptStart, Notice};

/// What came of one attempt, with what the partition answered.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    journal: Vec<Entry>,
    last: Option<AttemptEventKind>,
}

impl Whole {
    fn has_suspended(&self) -> bool {
        matches!(self.last, Some(AttemptEventKind::Suspended { .. }))
    }

    /// Whether the attempt suspended until something that it began with, or, having done nothing else,
    /// until runs that are its own to finish.
    fn waited_for_what_it_knew(&self) -> bool {
        let Some(AttemptEventKind::Failed { error, .. }) = &self.last else { return false };
        error.message.ends_with("which its journal has held from the beginning")
            || error.message.ends_with("runs of its own whose results it never sent")
    }
}

/// An attempt and a partition that stores at once whatever it says.
struct Attempt {
    machine: Machine,
    whole: Whole,
    told: FrameDecoder,
    handler: HandlerKind,
}

impl Attempt {
    fn start(handler: HandlerKind, journal: Vec<Entry>) -> Self {
        let start = AttemptStart { kind: handler, ..start(6, journal.clone()) };
        let machine = Machine::new(start);
        let whole = Whole { journal, last: None };
        Self { machine, whole, told: FrameDecoder::default(), handler }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.machine.receive(bytes);
        assert!(self.machine.decoder.held_bytes() <= FRAME_BYTES_MAX + 8 + bytes.len());
        self.settle();
    }

    fn end(mut self) -> Whole {
        self.machine.receive_end();
        self.settle();
        assert_eq!(self.machine.take_bytes(), None, "nobody is told anything after the last event");
        assert!(self.whole.last.is_some(), "every attempt has a last event");
        self.whole
    }

    fn settle(&mut self) {
        for event in self.machine.take_events() {
            assert_eq!(self.whole.last, None, "nothing comes after the last event");
            let AttemptEventKind::Entries { first_command, entries } = event else {
                self.whole.last = Some(event);
                continue;
            };
            let is_command = |entry: &&Entry| !matches!(entry, Entry::Notification { .. });
            assert_eq!(
                first_command as usize,
                self.whole.journal.iter().filter(is_command).count()
            );
            assert!(!entries.is_empty());
            for entry in entries {
                let answer = answers(&entry);
                self.store(entry);
                if let Some(answer) = answer {
                    self.store(answer);
                }
            }
        }
        while let Some(bytes) = self.machine.take_bytes() {
            self.told.push(&bytes);
        }
    }

    fn store(&mut self, entry: Entry) {
        let index = u32::try_from(self.whole.journal.len()).unwrap();
        self.whole.journal.push(entry.clone());
        if matches!(entry, Entry::Notification { .. }) {
            self.machine.notify(Notice { index, entry });
        }
    }

    /// Starts anew from what is stored.
    fn again(&self) -> Self {
        Self::start(self.handler, self.whole.journal.clone())
    }

    /// All that the function was told since it was last asked for.
    fn take_told(&mut self) -> Vec<Frame> {
        self.settle();
        std::iter::from_fn(|| self.told.next().unwrap()).collect()
    }
}

fn run<'a>(handler: HandlerKind, chunks: impl IntoIterator<Item = &'a [u8]>) -> Whole {
    let mut attempt = Attempt::start(handler, vec![input("in")]);
    for chunk in chunks {
        attempt.say(chunk);
    }
    attempt.end()
}

fn split<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn handler() -> impl Strategy<Value = HandlerKind> {
    prop_oneof![
        6 => Just(HandlerKind::Exclusive),
        1 => Just(HandlerKind::Shared),
        1 => Just(HandlerKind::Plain),
        2 => Just(HandlerKind::Workflow),
        1 => Just(HandlerKind::WorkflowShared),
    ]
}

/// A message that makes sense more often than not.
fn one() -> impl Strategy<Value = String> {
    let with_id = |weight, words: &'static str| {
        (weight, (1..12u32).prop_map(move |id| words.replace('I', &id.to_string())).boxed())
    };
    let fixed = |weight, words: &'static str| (weight, Just(words.to_owned()).boxed());
    prop::strategy::Union::new_weighted(vec![
        with_id(8, "run I"),
        with_id(8, "propose I ok"),
        with_id(4, "sleep I 5000"),
        with_id(3, "get-lazy I cart"),
        with_id(2, "get-lazy-keys I"),
        fixed(3, "set cart milk"),
        fixed(1, "clear cart"),
        fixed(1, "clear-all"),
        fixed(2, "get-eager cart"),
        fixed(1, "get-eager-keys"),
        (
            4,
            (0..6u32)
                .prop_map(|id| format!("call {} {} Cart/ann/add milk", 20 + id, 30 + id))
                .boxed(),
        ),
        with_id(3, "one-way I Greeter/greet ada at=5000 key=k1 a:b"),
        fixed(1, "call 40 41 Nobody/greet ada"),
        fixed(2, "signal other #17 yes"),
        fixed(1, "signal other approved void"),
        fixed(2, "awakeable sign_1AAAAAAAAAAkAAAAAAAAAAAAAAAAAAAAMAAAAAAAAACEAAAAR failure"),
        with_id(2, "promise I paid"),
        with_id(2, "look I paid"),
        with_id(2, "fulfil I paid yes"),
        fixed(1, "call 50 51 Order/o7/run pear"),
        with_id(2, "attach I other"),
        with_id(2, "peek I Cart/ann/add key=k1"),
        fixed(2, "output done"),
        with_id(1, "suspend I #1"),
        fixed(1, "error 500 250"),
        fixed(1, "end"),
        (1, any::<u16>().prop_map(|kind| format!("message {kind:x} 0")).boxed()),
    ])
}

fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(one().prop_map(|words| message(&words)), 0..16)
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_does_not_matter(
        handler in handler(),
        messages in messages(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = messages.concat();
        prop_assert_eq!(run(handler, split(&bytes, &cuts)), run(handler, messages.iter().map(|message| &message[..])));
    }

    #[test]
    fn no_bytes_make_it_panic(
        handler in handler(),
        messages in messages(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..64),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut bytes = messages.concat();
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes.extend(tail);
        prop_assert_eq!(run(handler, split(&bytes, &cuts)), run(handler, [&bytes[..]]));
    }

    #[test]
    fn an_attempt_that_starts_anew_goes_on_as_if_it_had_not(
        handler in handler(),
        messages in messages(),
        at in any::<prop::sample::Index>(),
    ) {
        let whole = run(handler, messages.iter().map(|message| &message[..]));
        let (before, behind) = messages.split_at(at.index(messages.len() + 1));
        let mut attempt = Attempt::start(handler, vec![input("in")]);
        for message in before {
            attempt.say(message);
        }
        if !attempt.machine.is_over() {
            let mut again = attempt.again();
            for message in behind {
                again.say(message);
            }
            let mut again = again.end();
            // What it was told it begins with now, and to wait for that is refused.
            if again.waited_for_what_it_knew() && whole.has_suspended() {
                again.last.clone_from(&whole.last);
            }
            prop_assert_eq!(again, whole);
        }
    }

    #[test]
    fn what_was_said_and_told_is_told_again_byte_by_byte(
        handler in handler(),
        messages in messages(),
    ) {
        let mut attempt = Attempt::start(handler, vec![input("in")]);
        attempt.take_told();
        // What the function knows: what it said itself, and what it was told, in order.
        let mut known = Vec::new();
        for message in &messages {
            attempt.say(message);
            if attempt.machine.is_over() {
                break;
            }
            let mut said = FrameDecoder::default();
            said.push(message);
            known.extend(said.next().unwrap());
            known.extend(attempt.take_told());
        }
        known.retain(|frame| frame.kind != kind::PROPOSE_RUN_COMPLETION);
        let mut again = attempt.again();
        let told = again.take_told();
        prop_assert_eq!(told[0].kind, kind::START);
        prop_assert_eq!(told[1].kind, kind::INPUT);
        prop_assert_eq!(&told[2..], &known[..]);
    }
}
