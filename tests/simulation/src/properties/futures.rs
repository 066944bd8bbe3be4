//! Futures: an invocation that waits is woken when all that it waits for is settled, and neither
//! before nor never.

use std::collections::BTreeMap;

use everlog_log_schema::{
    AttemptId, Command, Entry, Message, NotificationId, OrderAction, Row, RowKey, Status, Suspend,
};

use super::{Judged, demand};
use crate::coverage::{Case, Coverage};
use crate::future::{Came, Plain, event};
use crate::history::{Life, Recorded};

const NAME: &str = "futures";

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Futures {
    lives: BTreeMap<Life, Story>,
}

/// What is known of one life.
#[derive(Debug, Default)]
struct Story {
    /// What has come, in order.
    came: Came,
    /// Which of that were signals: their places.
    signals: Vec<usize>,
    /// What its last attempts have said that they wait for, and how many signals they were told.
    said: Vec<(AttemptId, Plain, usize)>,
    /// What it is parked on.
    parked: Option<(Plain, usize)>,
}

impl Futures {
    pub(super) fn observe(&mut self, recorded: &Recorded<'_>, coverage: &mut Coverage) -> Judged {
        for added in recorded.added {
            let story = self.lives.entry(added.life).or_default();
            match &added.entry {
                Entry::Notification { id, result } => {
                    if matches!(id, NotificationId::Signal(_)) {
                        story.signals.push(story.came.len());
                    }
                    story.came.push(event(id, result));
                }
                Entry::Command { .. } | Entry::Input { .. } | Entry::Output { .. } => {}
            }
        }
        for command in &recorded.record.commands {
            if let Command::Suspend(suspend) = command {
                self.said(suspend);
            }
        }
        for change in recorded.changes {
            let RowKey::Invocation(id) = &change.key else { continue };
            let Some(Row::Invocation(row)) = &change.new else { continue };
            let life = Life { id: *id, incarnation: row.incarnation };
            let story = self.lives.entry(life).or_default();
            if !matches!(row.status, Status::Suspended(_)) {
                if let Some(parked) = story.parked.take()
                    && row.status == Status::Running
                    && !is_resumed(recorded, life)
                {
                    story.woken(&parked, life, coverage)?;
                }
                continue;
            }
            let attempt = AttemptId {
                incarnation: row.incarnation,
                epoch: row.attempt_epoch,
                counter: row.attempt_counter,
            };
            let said = story.said.iter().rev().find(|(of, ..)| *of == attempt);
            story.parked = said.map(|(_, plain, told)| (plain.clone(), *told));
            story.rests(life, coverage)?;
        }
        Ok(())
    }

    fn said(&mut self, suspend: &Suspend) {
        let life = Life { id: suspend.invocation, incarnation: suspend.attempt.incarnation };
        let story = self.lives.entry(life).or_default();
        let told = usize::try_from(suspend.signals_told).unwrap_or(usize::MAX);
        if let Some(plain) = Plain::of(&suspend.waiting) {
            story.said.push((suspend.attempt, plain, told));
        }
    }
}

impl Story {
    /// What counts for somebody who was told so many signals: all completions, and later signals.
    fn counted(&self, told: usize) -> Came {
        let is_told = |place: &usize| self.signals.iter().take(told).any(|of| of == place);
        let places = self.came.iter().enumerate();
        places.filter(|(place, _)| !is_told(place)).map(|(_, came)| came.clone()).collect()
    }

    /// Judges one that is parked.
    fn rests(&self, life: Life, coverage: &mut Coverage) -> Judged {
        let Some((plain, told)) = &self.parked else { return Ok(()) };
        let came = self.counted(*told);
        demand!(NAME, !plain.wakes(&came), "{life:?} rests on {plain:?} after {came:?}");
        if plain.is_tree() && came.iter().any(|(id, _)| plain.leaves().contains(id)) {
            coverage.hit(Case::FuturesPartly);
        }
        Ok(())
    }

    /// Judges one that was parked and is woken.
    fn woken(&self, (plain, told): &(Plain, usize), life: Life, coverage: &mut Coverage) -> Judged {
        let came = self.counted(*told);
        demand!(
            NAME,
            plain.wakes(&came),
            "{life:?} is woken, and waits for {plain:?} after {came:?}"
        );
        if plain.is_tree() {
            coverage.hit(Case::FuturesSettled);
        }
        if plain.is_tree() && came.iter().any(|(id, well)| !well && plain.leaves().contains(id)) {
            coverage.hit(Case::FuturesFailed);
        }
        Ok(())
    }
}

/// Whether somebody has asked for it to go on.
fn is_resumed(recorded: &Recorded<'_>, life: Life) -> bool {
    recorded.messages().any(|message| match message {
        Message::Order(order) => order.target == life.id && order.action == OrderAction::Resume,
        Message::ResumeOn(resume) => resume.target == life.id,
        Message::Invoke(_)
        | Message::Attach(_)
        | Message::Complete(_)
        | Message::Signal(_)
        | Message::Restart(_) => false,
    })
}
