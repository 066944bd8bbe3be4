//! The table.

use std::fmt::{self, Write as _};

use crate::load::Load;

/// One engine, one case, one number of callers.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) engine: &'static str,
    pub(crate) case: &'static str,
    pub(crate) callers: usize,
    pub(crate) load: Load,
    /// Processor time the engine used meanwhile.
    pub(crate) cpu_seconds: f64,
    /// Syncs the engine counted meanwhile.
    pub(crate) fsyncs: f64,
    /// Memory the engine held afterwards.
    pub(crate) resident_bytes: u64,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "counts of calls are far below 2^52")]
    fn calls(&self) -> f64 {
        self.load.latencies.len() as f64
    }

    fn calls_per_second(&self) -> f64 {
        self.calls() / self.load.elapsed.as_secs_f64()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {:.0} | {:.2} | {} |",
            self.case,
            self.callers,
            self.engine,
            self.calls_per_second(),
            self.load.quantile(500).as_secs_f64() * 1e3,
            self.load.quantile(990).as_secs_f64() * 1e3,
            self.cpu_seconds * 1e6 / self.calls().max(1.0),
            self.fsyncs / self.calls().max(1.0),
            self.resident_bytes >> 20,
        )
    }
}

/// Lays the rows out as Markdown, the engines of one case below each other, and the ratio of calls
/// per second to the first engine's where there are two.
pub(crate) fn table(rows: &[Row], seconds: f64) -> String {
    let mut text = format!(
        "Measured for {seconds} s a row; every write synced to disk; functions in Rust, in a process \
         of their own; callers on the same machine.\n\n\
         | case | callers | engine | calls/s | p50 ms | p99 ms | CPU µs/call | fsyncs/call | memory MiB |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    let mut ratios = String::new();
    let Some(first) = rows.first().map(|row| row.engine) else { return text };
    for ours in rows.iter().filter(|row| row.engine == first) {
        let _ = writeln!(text, "{ours}");
        let same = |row: &&Row| {
            row.engine != first && row.case == ours.case && row.callers == ours.callers
        };
        for theirs in rows.iter().filter(same) {
            let _ = writeln!(text, "{theirs}");
            let _ = writeln!(
                ratios,
                "| {} | {} | {:.2} | {:.2} | {:.2} |",
                ours.case,
                ours.callers,
                ours.calls_per_second() / theirs.calls_per_second(),
                ours.load.quantile(500).as_secs_f64() / theirs.load.quantile(500).as_secs_f64(),
                ours.load.quantile(990).as_secs_f64() / theirs.load.quantile(990).as_secs_f64(),
            );
        }
    }
    if !ratios.is_empty() {
        let _ = write!(
            text,
            "\n{first} divided by the other engine:\n\n| case | callers | calls/s | p50 | p99 |\n|---|---|---|---|---|\n{ratios}"
        );
    }
    text
}
