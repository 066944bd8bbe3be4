//! `everlog topics`: makes the topics on Kafka, and says what is wrong with them.
//!
//! Invariant: a topic that is there is never changed. What is to be changed is said, and by which
//! command.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use everlog_log_client::kafka::{KafkaLog, TopicReport};
use serde_json::{Value, json};

use crate::config::{Config, SettingFlags};
use crate::output::{Table, printable};
use crate::say::say;

/// What to do with the topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Make the topics that are missing, with the settings they need, and check all of them.
    Ensure(TopicsArguments),
    /// Check that the topics are there and are as they must be, and say what to change.
    Check(TopicsArguments),
}

/// The arguments of `everlog topics`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  everlog topics ensure --kafka localhost:9092 --set kafka.replication_factor=1
      Make the topics on a Kafka of one broker.
  everlog topics check --json
      See whether those of the Kafka that the configuration names are as they must be.

docs/kafka.md says what each topic holds, which rights this needs, and how large topics grow.

Exit codes: 0 all topics can be used, 1 one cannot, or Kafka cannot be reached.")]
pub(crate) struct TopicsArguments {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: SettingFlags,
}

/// Does it.
pub(crate) async fn run(command: TopicsCommand) -> Result<ExitCode> {
    let (makes, TopicsArguments { json, flags }) = match command {
        TopicsCommand::Ensure(arguments) => (true, arguments),
        TopicsCommand::Check(arguments) => (false, arguments),
    };
    let settings = Config::load(&flags)?.settings;
    let options = settings.kafka_options().context(
        "no Kafka is configured: give --kafka HOST:PORT, or set kafka.bootstrap_servers",
    )?;
    let servers = options.bootstrap_servers.clone();
    let failed =
        || format!("failed to {} the topics on {servers}", if makes { "make" } else { "check" });
    let made = if makes {
        KafkaLog::ensure_topics(options.clone()).await.with_context(failed)?
    } else {
        Vec::new()
    };
    let reports = KafkaLog::check_topics(options).await.with_context(failed)?;
    if json {
        say(format_args!("{:#}", as_json(&reports, &made)));
    } else {
        say(format_args!("{}", as_text(&reports, &made).trim_end()));
    }
    let usable = reports.iter().all(is_usable);
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_usable(report: &TopicReport) -> bool {
    report.problems.iter().all(|problem| !problem.grave)
}

fn state(report: &TopicReport, made: &[String]) -> &'static str {
    if report.partitions.is_none() {
        "missing"
    } else if !is_usable(report) {
        "wrong"
    } else if made.contains(&report.name) {
        "made"
    } else {
        "well"
    }
}

fn as_text(reports: &[TopicReport], made: &[String]) -> String {
    let mut table = Table::new(["TOPIC", "STATE", "PARTITIONS", "REPLICAS", "POLICY", "HOLDS"]);
    let number =
        |number: Option<u32>| number.map_or_else(|| "-".into(), |number| number.to_string());
    for report in reports {
        table.row([
            report.name.clone(),
            state(report, made).into(),
            number(report.partitions),
            number(report.replication),
            report.policy.into(),
            report.holds.into(),
        ]);
    }
    let problems = reports.iter().flat_map(|report| {
        report.problems.iter().map(|problem| {
            let what = printable(&format!("{} {}", report.name, problem.what));
            format!("\n{what}\n  {}\n", printable(&problem.remedy))
        })
    });
    format!("{table}{}", problems.collect::<String>())
}

fn as_json(reports: &[TopicReport], made: &[String]) -> Value {
    let topics = reports.iter().map(|report| {
        let problems = report.problems.iter().map(|problem| {
            json!({ "grave": problem.grave, "what": problem.what, "remedy": problem.remedy })
        });
        json!({
            "name": report.name,
            "state": state(report, made),
            "partitions": report.partitions,
            "replicas": report.replication,
            "policy": report.policy,
            "holds": report.holds,
            "problems": problems.collect::<Vec<_>>(),
        })
    });
    json!({ "topics": topics.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use everlog_log_client::kafka::TopicProblem;
    use expect_test::expect;

    use super::*;

    fn report(name: &str, partitions: Option<u32>, problems: Vec<TopicProblem>) -> TopicReport {
        let replication = partitions.map(|_| 1);
        TopicReport {
            name: name.into(),
            holds: "rows",
            policy: "compact",
            partitions,
            replication,
            problems,
        }
    }

    fn problem(grave: bool, what: &str) -> TopicProblem {
        TopicProblem { grave, what: what.into(), remedy: "do this".into() }
    }

    #[test]
    fn topics_are_listed_above_what_is_wrong_with_them() {
        let reports = [
            report("a", Some(3), vec![]),
            report("b", Some(1), vec![problem(false, "is on 1 brokers and not 3")]),
            report("c", None, vec![problem(true, "does not exist")]),
            report("d", Some(2), vec![problem(true, "has retention.ms=1 and needs -1")]),
        ];
        expect![[r"
            TOPIC  STATE    PARTITIONS  REPLICAS  POLICY   HOLDS
            a      made     3           1         compact  rows
            b      well     1           1         compact  rows
            c      missing  -           -         compact  rows
            d      wrong    2           1         compact  rows

            b is on 1 brokers and not 3
              do this

            c does not exist
              do this

            d has retention.ms=1 and needs -1
              do this
        "]]
        .assert_eq(&as_text(&reports, &["a".into()]));
        let json = as_json(&reports, &[]);
        let states: Vec<_> = (0..4).map(|index| json["topics"][index]["state"].clone()).collect();
        assert_eq!(states, ["well", "well", "missing", "wrong"]);
        assert_eq!(json["topics"][3]["problems"][0]["remedy"], "do this");
        assert_eq!(reports.each_ref().map(is_usable), [true, true, false, false]);
    }
}
