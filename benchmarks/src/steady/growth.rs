//! What grows: a straight line through the second half of the samples, held against bounds.
//!
//! Caches, write buffers and the history fill in the first half, which is not judged.

use std::fmt;
use std::time::Duration;

/// Runs that are shorter are shown and not judged: what is filled only once looks like growth.
pub(super) const JUDGED_FROM: Duration = Duration::from_mins(20);
const SECONDS_PER_HOUR: f64 = 3_600.0;
const MIB: f64 = 1_048_576.0;

/// What the server holds at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// Since the load began.
    pub(super) at: Duration,
    /// Calls answered so far.
    pub(super) answered: u64,
    /// Memory, in bytes.
    pub(super) resident_bytes: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Files and sockets.
    pub(super) open_files: u64,
    /// The data folder, in bytes.
    pub(super) disk_bytes: u64,
}

/// One of the things that must not grow.
struct Watched {
    name: &'static str,
    value: fn(&Sample) -> f64,
    /// How much it may grow in an hour: what tells growth from noise. None where it comes and goes
    /// in steps too large for a line, and the most is what counts.
    growth_max: Option<f64>,
    /// What it may never exceed.
    most_max: f64,
}

#[expect(clippy::cast_precision_loss, reason = "what a process holds is far below 2^52")]
const WATCHED: [Watched; 4] = [
    Watched {
        name: "memory MiB",
        value: |sample| sample.resident_bytes as f64 / MIB,
        growth_max: Some(32.0),
        most_max: 512.0,
    },
    Watched {
        name: "threads",
        value: |sample| sample.threads as f64,
        growth_max: Some(4.0),
        most_max: 32.0,
    },
    Watched {
        name: "open files",
        value: |sample| sample.open_files as f64,
        growth_max: Some(16.0),
        most_max: 512.0,
    },
    Watched {
        name: "disk MiB",
        value: |sample| sample.disk_bytes as f64 / MIB,
        growth_max: None,
        most_max: 512.0,
    },
];

/// What became of one of them.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    name: &'static str,
    least: f64,
    most: f64,
    most_max: f64,
    /// Per hour, over the second half.
    growth: f64,
    growth_max: Option<f64>,
}

impl Finding {
    /// Whether it keeps within its bounds.
    pub(super) fn is_bounded(&self) -> bool {
        self.growth_max.is_none_or(|max| self.growth <= max) && self.most <= self.most_max
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, least, most, most_max, growth, growth_max } = self;
        let growth_max = growth_max.map_or("–".to_owned(), |max| format!("{max:.0}"));
        write!(
            f,
            "| {name} | {least:.0} | {most:.0} | {most_max:.0} | {growth:+.1} | {growth_max} |"
        )
    }
}

/// Looks at each of them over the second half of the samples.
pub(super) fn findings(samples: &[Sample]) -> Vec<Finding> {
    let (_, second) = samples.split_at(samples.len() / 2);
    let finding = |watched: &Watched| {
        let values = || second.iter().map(watched.value);
        let points = second
            .iter()
            .map(|sample| (sample.at.as_secs_f64() / SECONDS_PER_HOUR, (watched.value)(sample)));
        Finding {
            name: watched.name,
            least: values().fold(f64::INFINITY, f64::min),
            most: values().fold(0.0, f64::max),
            most_max: watched.most_max,
            growth: slope(&points.collect::<Vec<_>>()),
            growth_max: watched.growth_max,
        }
    };
    WATCHED.iter().map(finding).collect()
}

/// The slope of the line with the least squares; 0 where there is none.
#[expect(clippy::cast_precision_loss, reason = "samples are few")]
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    /// An hour of samples, each 10 s behind the one before.
    fn hour(sample: impl Fn(u64) -> Sample) -> Vec<Sample> {
        (0..=360)
            .map(|number| Sample { at: Duration::from_secs(number * 10), ..sample(number) })
            .collect()
    }

    fn unbounded(samples: &[Sample]) -> Vec<&'static str> {
        let unbounded = |finding: Finding| (!finding.is_bounded()).then_some(finding.name);
        findings(samples).into_iter().filter_map(unbounded).collect()
    }

    #[test]
    fn a_line_has_its_slope() {
        let samples = hour(|number| Sample { threads: number, ..Sample::default() });
        let growth = findings(&samples)[1].growth;
        assert!((growth - 360.0).abs() < 1e-6, "{growth}");
    }

    #[test]
    fn what_rises_and_falls_and_what_fills_in_the_first_half_is_no_growth() {
        let samples = hour(|number| Sample {
            resident_bytes: (number.min(150) + number % 12 * 4) << 20,
            disk_bytes: (100 + number % 30 * 4) << 20,
            ..Sample::default()
        });
        assert_eq!(unbounded(&samples), Vec::<&str>::new());
    }

    #[test]
    fn each_leak_is_found() {
        // As much as is allowed in an hour, and a little more.
        let leak = |number: u64, allowed: u64| number * (allowed * 101 / 100) / 360;
        for name in ["memory MiB", "threads", "open files"] {
            let samples = hour(|number| {
                let of =
                    |which: &str, allowed| if which == name { leak(number, allowed) } else { 7 };
                Sample {
                    resident_bytes: of("memory MiB", 32 << 20),
                    threads: of("threads", 5),
                    open_files: of("open files", 17),
                    ..Sample::default()
                }
            });
            assert_eq!(unbounded(&samples), [name]);
        }
    }

    #[test]
    fn what_is_too_large_is_found_even_if_it_does_not_grow() {
        let mut samples = hour(|_| Sample { disk_bytes: 512 << 20, ..Sample::default() });
        assert_eq!(unbounded(&samples), Vec::<&str>::new());
        samples[300].disk_bytes += 1 << 20;
        assert_eq!(unbounded(&samples), ["disk MiB"]);
    }
}
