//! How a partition is opened, and how an executor that has caught up with its log takes it over.
//!
//! **Invariant:** nothing is appended behind an announcement before it has come back from the log
//! as the reigning one.

use everlog_log_client::{Appender, Reader, Topic};
use everlog_log_schema::codec::{encode_record, hash_of};
use everlog_log_schema::{AnnounceOwner, Command, Epoch, LogOffset, Millis, Record, Seq, Term};
use everlog_partition::SUPPORTED_LEVEL;

use super::Shell;
use super::error::{Interruption, StopReason};
use super::fold::{Fold, Step};
use crate::clock::{Clock, Skew, system_now};
use crate::metrics;

/// An announcement that reigns, and the appender that it came by.
pub(super) struct Reign {
    pub(super) appender: Box<dyn Appender>,
    pub(super) epoch: Epoch,
    pub(super) term: Term,
    /// How far the system's clock is from the log's, if too far.
    pub(super) clock_off: Option<Skew>,
}

/// One running executor. Its terms are known by their upper half, so that a late announcement of
/// its own is not taken for another's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instance(u32);

impl Instance {
    pub(crate) fn new() -> Self {
        Self(rand::random::<u32>() >> 1)
    }

    fn new_term(self) -> Term {
        Term(u64::from(self.0) << 32 | u64::from(rand::random::<u32>()))
    }

    pub(super) fn announced(self, term: Term) -> bool {
        term.0 >> 32 == u64::from(self.0)
    }
}

/// Opens the log where the tables end, and tells where the log ends now.
pub(super) async fn open_log(
    shell: &Shell,
    fold: &mut Fold,
) -> Result<(Box<dyn Reader>, LogOffset), Interruption> {
    check_log(shell, fold).await?;
    let reader = shell.log.reader(shell.stream(Topic::Log), fold.row().next_log.0)?;
    let end = shell.log.bounds(shell.stream(Topic::Log)).await?.end;
    Ok((reader, LogOffset(end)))
}

/// Announces this executor, which has caught up with the log, and waits until that reigns; nothing
/// where another announcement came first.
pub(super) async fn announce(
    shell: &Shell,
    fold: &mut Fold,
    reader: &mut dyn Reader,
) -> Result<Option<Reign>, Interruption> {
    check_partitions(shell, fold)?;

    let epoch = Epoch(fold.row().epoch.0 + 1);
    let term = shell.instance.new_term();
    let mut appender = shell.log.appender(shell.stream(Topic::Log))?;
    let announcement = Record {
        epoch,
        term,
        seq: Seq(0),
        now: Clock::not_before(fold.row().now).now(),
        commands: vec![Command::AnnounceOwner(AnnounceOwner {
            address: shell.address.clone(),
            level: SUPPORTED_LEVEL,
            partitions: shell.partitions,
        })],
    };
    let payload = encode_record(&announcement).expect("an announcement is small");
    // Others may learn from the log that it reigns before this executor does.
    shell.desk.claim(epoch);
    let before = system_now();
    let acknowledged = match appender.append(payload) {
        Ok(appending) => appending.await,
        Err(error) => Err(error),
    };
    let offset = acknowledged.map_err(|error| Interruption::Retry(error.to_string()))?;
    let after = system_now();
    let dated = read_until(fold, reader, LogOffset(offset + 1)).await?;

    let row = fold.row();
    if (row.epoch, row.term) != (epoch, term) {
        return Ok(None);
    }
    metrics::TAKEOVERS.inc();
    let clock_off = dated.and_then(|dated| Skew::of(dated, before, after));
    Ok(Some(Reign { appender, epoch, term, clock_off }))
}

/// Checks that keys are spread over as many partitions as ever: else messages would miss the
/// invocations that they are for.
fn check_partitions(shell: &Shell, fold: &Fold) -> Result<(), StopReason> {
    let (found, before) = (shell.partitions, fold.row().partitions);
    if before != 0 && before != found {
        return Err(StopReason::Repartitioned { found, before });
    }
    Ok(())
}

/// Applies the log up to `end`, and tells how the log has dated the last record before that.
async fn read_until(
    fold: &mut Fold,
    reader: &mut dyn Reader,
    end: LogOffset,
) -> Result<Option<Millis>, Interruption> {
    let mut dated = None;
    while fold.row().next_log < end {
        let batch = reader.next().await?;
        let before_end = batch.iter().rev().find(|logged| LogOffset(logged.offset) < end);
        dated = before_end.map(|logged| Millis(logged.appended_at_ms));
        // What the records want done is the owner's to do.
        fold.apply(&Step::decode_all(&batch)?)?;
    }
    Ok(dated)
}

/// Checks that the log goes on where the tables end, and is the log that they were made from.
async fn check_log(shell: &Shell, fold: &Fold) -> Result<(), Interruption> {
    let bounds = shell.log.bounds(shell.stream(Topic::Log)).await?;
    let (start, end) = (LogOffset(bounds.start), LogOffset(bounds.end));
    let next = fold.row().next_log;
    if start > next {
        return Err(StopReason::LogTrimmed { start, next, checkpoint: None }.into());
    }
    if end < next {
        return Err(StopReason::LogLost { end, next }.into());
    }
    // The last record applied may have been trimmed: then there is nothing to compare.
    if start == next || next == LogOffset(0) {
        return Ok(());
    }
    let offset = LogOffset(next.0 - 1);
    let mut reader = shell.log.reader(shell.stream(Topic::Log), offset.0)?;
    let batch = reader.next().await?;
    let same = batch.first().is_some_and(|last| {
        last.offset == offset.0 && hash_of(&last.payload) == fold.row().last_hash
    });
    if same { Ok(()) } else { Err(StopReason::LogReplaced { offset }.into()) }
}
