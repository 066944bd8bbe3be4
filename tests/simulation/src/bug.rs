//! Known mistakes that the simulation can make on purpose, to see that it finds them.
//!
//! Mistakes of the core are planted in `partition` itself; those here are of the shell, and sit in
//! this crate's model of it.

use everlog_partition::planted;

macro_rules! shell_bugs {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A mistake of the shell.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ShellBug {
            $($(#[$doc])* $name,)*
        }

        impl ShellBug {
            /// All of them, with their names.
            pub const ALL: &'static [(ShellBug, &'static str)] = &[$((ShellBug::$name, $text),)*];
        }
    };
}

shell_bugs! {
    /// The result of a run goes to the function before it is acknowledged.
    NotifyEarly = "notify-early",
    /// The caller is answered before the end is acknowledged.
    AnswerEarly = "answer-early",
    /// A candidate acts before its announcement is read back.
    ActBeforeReadBack = "act-before-read-back",
    /// An acknowledged record is applied though offsets before it were not read.
    AckGapIgnored = "ack-gap-ignored",
    /// An owner whose record is ignored goes on.
    DepositionIgnored = "deposition-ignored",
    /// A new owner does not arm the timers that it finds.
    ForgetTimers = "forget-timers",
    /// A new owner does not start the attempts that it finds.
    ForgetRunning = "forget-running",
    /// A new owner takes in messages from the inbox's end on.
    InboxFromEnd = "inbox-from-end",
    /// `Checkpointed` names what is applied, not what is in the checkpoint.
    CheckpointAhead = "checkpoint-ahead",
    /// A checkpoint begins without its `CheckpointOpened`.
    CheckpointUnopened = "checkpoint-unopened",
    /// Marks of changed rows are forgotten when a commit is sent, not when it is known.
    MarksClearedAtCommit = "marks-cleared-at-commit",
    /// An applied `Checkpointed` forgets all marks, later ones too.
    MarksClearedWhole = "marks-cleared-whole",
    /// A standby does not mark what it applies.
    StandbyMarksNothing = "standby-marks-nothing",
    /// Marks do not survive a restart.
    MarksNotFlushed = "marks-not-flushed",
    /// Rows that are gone are not written as tombstones.
    TombstonesLeftOut = "tombstones-left-out",
    /// A restore leaves the old rows where they are.
    OldRowsKept = "old-rows-kept",
    /// A checkpoint of unknown outcome counts as committed.
    CommitAssumed = "commit-assumed",
    /// A reader that finds its offset trimmed goes on where the log begins.
    ReaderJumps = "reader-jumps",
    /// A flush writes the new applied offset beside old rows.
    TornFlush = "torn-flush",
    /// Timers fire a second before they are due.
    FireEarly = "fire-early",
    /// Outcomes are forgotten while the inbox still holds older messages.
    ForgetBeforeIntake = "forget-before-intake",
    /// A record's time is the clock's, even where that went back.
    ClockGoesBack = "clock-goes-back",
    /// The streams of a lost ownership stay open and speak for the next one's attempts.
    OldStreamKept = "old-stream-kept",
    /// An owner says "not found" without a barrier.
    NoBarrier = "no-barrier",
    /// An owner answers before it has taken in the caller's own message.
    FormerLife = "former-life",
    /// A new owner does not send the messages that it finds.
    ForgetOutbox = "forget-outbox",
    /// A message whose outcome is unknown counts as delivered.
    DeliveryAssumed = "delivery-assumed",
}

/// What is wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Nothing.
    None,
    /// The shell.
    Shell(ShellBug),
    /// The core.
    Core(planted::Bug),
}

impl Bug {
    /// Lists all planted bugs.
    pub fn all() -> impl Iterator<Item = Bug> {
        let shell = ShellBug::ALL.iter().map(|&(bug, _)| Bug::Shell(bug));
        shell.chain(planted::Bug::ALL.iter().map(|&bug| Bug::Core(bug)))
    }

    /// Finds a bug by its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|bug| bug.name() == name)
    }

    /// Its name, as the command line takes it.
    pub fn name(self) -> String {
        match self {
            Bug::None => "none".into(),
            Bug::Shell(bug) => {
                let known = ShellBug::ALL.iter().find(|(other, _)| *other == bug);
                known.map_or("", |(_, name)| name).into()
            }
            Bug::Core(bug) => kebab(&format!("{bug:?}")),
        }
    }

    /// Makes this thread's core behave so.
    pub fn plant(self) {
        planted::set(if let Bug::Core(bug) = self { Some(bug) } else { None });
    }
}

/// Writes `CamelCase` as `camel-case`.
fn kebab(camel: &str) -> String {
    let mut kebab = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}
