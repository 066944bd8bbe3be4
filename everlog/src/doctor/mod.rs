//! `everlog doctor`: looks for what keeps Everlog from working, and says what to do.
//!
//! Its invariant: it changes nothing. Whatever it touches to see whether it may, it leaves as it
//! was.

mod local;
mod server;

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::admin::AdminArguments;
use crate::config::{Config, SettingFlags};
use crate::output::printable;
use crate::say::say;

/// The arguments of `everlog doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Give the flags that `everlog dev` gets, so that it looks at the same folder and the same ports.

Exit codes: 0 nothing keeps Everlog from working, 1 something does.")]
pub(crate) struct DoctorArguments {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// The address for administration of the server to look at, if not that of the configuration.
    #[arg(long, value_name = "URL", env = "EVERLOG_ADMIN")]
    admin: Option<String>,
    #[command(flatten)]
    flags: SettingFlags,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// All is well.
    Ok,
    /// It works, and may surprise.
    Warn,
    /// It does not work.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK  ",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        })
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    says: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, says: says.into(), remedy: None }
    }

    fn warn(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, says: says.into(), remedy: Some(remedy.into()) }
    }

    fn fail(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, says: says.into(), remedy: Some(remedy.into()) }
    }
}

/// Examines.
pub(crate) async fn run(arguments: DoctorArguments) -> ExitCode {
    let findings = examine(&arguments).await;
    let well = !findings.iter().any(|finding| finding.level == Level::Fail);
    if arguments.json {
        say(format_args!("{:#}", json!({ "ok": well, "checks": findings })));
    } else {
        say(format_args!("{}", text(&findings)));
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn examine(arguments: &DoctorArguments) -> Vec<Finding> {
    let config = match Config::load(&arguments.flags) {
        Ok(config) => config,
        Err(error) => {
            let remedy = "mend this setting; docs/configuration.md has all of them";
            return vec![Finding::fail("configuration", error.to_string(), remedy)];
        }
    };
    let file = config.file.as_ref().map_or_else(
        || "no file, so that defaults, environment and flags count".to_owned(),
        |path| path.display().to_string(),
    );
    let mut findings = vec![Finding::ok("configuration", file)];
    let settings = &config.settings;
    findings.extend(local::folder(settings));
    findings.extend([local::clock(settings), local::files()]);
    findings.extend(local::identity(settings));
    let admin = arguments.admin.clone();
    let admin = admin.unwrap_or_else(|| format!("http://{}", settings.admin_address));
    let (seen, server_runs) = server::running(&AdminArguments { admin }).await;
    if !server_runs {
        findings.extend(server::ports(settings).await);
    }
    findings.extend(seen);
    findings.extend(server::registered(settings).await);
    findings.extend(local::node().await);
    findings
}

fn text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    for Finding { check, level, says, remedy } in findings {
        lines.push(printable(&format!("{level}  {check:<14} {says}")));
        lines.extend(remedy.iter().map(|remedy| printable(&format!("{:<21}→ {remedy}", ""))));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_finding_says_what_to_do() {
        let findings = [
            Finding::ok("clock", "stands right"),
            Finding::warn("open files", "256", "raise it"),
            Finding::fail("data folder", "is\nlocked", "stop the other"),
        ];
        expect![[r"
            OK    clock          stands right
            WARN  open files     256
                                 → raise it
            FAIL  data folder    is�locked
                                 → stop the other"]]
        .assert_eq(&text(&findings));
    }
}
