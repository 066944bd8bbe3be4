//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::version::VERSION;

/// Durable functions on a log.
///
/// A function that is called through Everlog runs to its end: its steps are recorded as they
/// happen, and after a crash it goes on where it stood.
#[derive(Debug, Parser)]
#[command(name = "everlog", version = VERSION, arg_required_else_help = true)]
#[command(after_help = "Start with `everlog dev`, then read `everlog call --help`.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Subcommand,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Run a whole server in this process, its data in one folder.
    Dev(DevOptions),
    /// Call a handler and print what it returns.
    Call(CallArguments),
    /// Hand a call over without waiting for it, and print its id.
    Send(SendArguments),
    /// Wait for a call that was sent before, and print what it returned.
    Attach(AttachArguments),
}

/// The options of `everlog dev`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  everlog dev --register http://127.0.0.1:9080
      Serve the functions that listen on port 9080. Data stays in ./.everlog.
  everlog dev --ephemeral --ingress-address 127.0.0.1:0 --admin-address 127.0.0.1:0
      For a test: nothing is kept, and the system chooses the ports.

Logs go to standard error. EVERLOG_LOG says how much of them: error, warn, info (the default),
debug, or per part, as in EVERLOG_LOG=info,everlog_gateway=debug.

Ctrl-C or SIGTERM ends it in good order; the same again ends it at once. Nothing that was accepted
is lost either way.")]
pub(crate) struct DevOptions {
    /// The folder that holds everything. Made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "./.everlog", conflicts_with = "ephemeral")]
    pub(crate) data_dir: PathBuf,
    /// Keep everything in a temporary folder that is removed at the end.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Where calls are taken in. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS", default_value_t = local(8080))]
    pub(crate) ingress_address: SocketAddr,
    /// Where functions are registered and metrics read. It trusts whoever reaches it.
    #[arg(long, value_name = "ADDRESS", default_value_t = local(9070))]
    pub(crate) admin_address: SocketAddr,
    /// Register the functions that answer here, by force where they have changed. May be repeated.
    #[arg(long, value_name = "URL")]
    pub(crate) register: Vec<String>,
    /// The number of partitions. Fixed when the data folder is made.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) partitions: u32,
    /// Do not wait for the disk. Faster; a loss of power, unlike a crash of this program, may lose
    /// what was acknowledged and leave a partition that refuses to start.
    #[arg(long)]
    pub(crate) no_fsync: bool,
    /// How logs are written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub(crate) log_format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// What all commands need that talk to a server.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ServerArguments {
    /// The server's address for calls.
    #[arg(
        long,
        value_name = "URL",
        env = "EVERLOG_INGRESS",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) ingress: String,
}

/// What a call is made of.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct RequestArguments {
    /// Whom to call: Service/handler, or Object/key/handler. Write a `/` inside a key as %2F.
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: String,
    /// The argument: JSON as it is, @FILE for a file's content, or - for standard input.
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub(crate) body: Option<String>,
    /// Makes repeated calls one call: the same key gives the same answer.
    #[arg(long, short = 'k', value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// A header for the function, such as 'x-team: blue'. May be repeated.
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
}

/// The arguments of `everlog call`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  everlog call Greeter/greet --body '\"Ann\"'
  everlog call Cart/ann/add --body @item.json --idempotency-key order-7
  echo '{\"item\": 1}' | everlog call Cart/ann/add --body -

Exit codes: 0 it returned, 1 it could not be called, 3 the function failed, 4 not known: the same
call again with the same idempotency key is safe.")]
pub(crate) struct CallArguments {
    #[command(flatten)]
    pub(crate) request: RequestArguments,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// The arguments of `everlog send`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  everlog send Mailer/remind --body '\"Ann\"' --delay 1h
  everlog attach $(everlog send Greeter/greet --body '\"Ann\"')

Exit codes: 0 it is accepted, 1 it is not, 4 not known.")]
pub(crate) struct SendArguments {
    #[command(flatten)]
    pub(crate) request: RequestArguments,
    /// Start it later: 10s, '1h 30m', PT10S.
    #[arg(long, value_name = "DURATION")]
    pub(crate) delay: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// The arguments of `everlog attach`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Example:
  everlog attach inv_1005LkR9kqlZ0VTkNm7ptnKlExjEixWRbr

Exit codes: 0 it returned, 1 it is not known or the server not reached, 3 the function failed.")]
pub(crate) struct AttachArguments {
    /// The id of the call, as `everlog send` prints it and the header x-restate-id shows it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn target(text: &str) -> Result<String, String> {
    let segments: Vec<&str> = text.split('/').collect();
    match segments.as_slice() {
        [_, _] | [_, _, _] if !segments.contains(&"") => Ok(text.to_owned()),
        _ => Err("write Service/handler or Object/key/handler".into()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write 'name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Subcommand, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"everlog").chain(arguments)).map(|cli| cli.command)
    }

    fn dev(arguments: &[&str]) -> Result<DevOptions, clap::Error> {
        let command = parse(&[&["dev"], arguments].concat())?;
        let Subcommand::Dev(options) = command else { panic!("{command:?}") };
        Ok(options)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_needs_no_options() {
        let options = dev(&[]).unwrap();
        assert_eq!(options.data_dir, PathBuf::from("./.everlog"));
        assert_eq!(options.ingress_address.to_string(), "127.0.0.1:8080");
        assert_eq!(options.admin_address.to_string(), "127.0.0.1:9070");
        assert_eq!((options.partitions, options.no_fsync, options.ephemeral), (24, false, false));
        assert_eq!(options.log_format, LogFormat::Human);
    }

    #[test]
    fn dev_takes_several_deployments() {
        let options = dev(&["--register", "http://a:1", "--register", "http://b:2"]).unwrap();
        assert_eq!(options.register, ["http://a:1", "http://b:2"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(dev(&["--ephemeral", "--data-dir", "x"]).is_err());
        assert!(dev(&["--partitions", "0"]).is_err());
        assert!(dev(&["--partitions", "1025"]).is_err());
        assert!(dev(&["--ingress-address", "8080"]).is_err());
        for target in ["Greeter", "a/b/c/d", "a//b", "/a", "a/", ""] {
            assert!(parse(&["call", target]).is_err(), "{target}");
        }
        assert!(parse(&["call", "a/b", "--header", "no colon"]).is_err());
        assert!(parse(&["call", "a/b", "--delay", "1s"]).is_err());
        assert!(parse(&["attach"]).is_err());
    }

    #[test]
    fn a_send_is_a_call_that_may_be_delayed() {
        let arguments =
            ["send", "Cart/ann/add", "-b", "-1", "-k", "k1", "-H", "x-a: b:c", "--delay", "1h 30m"];
        let Subcommand::Send(send) = parse(&arguments).unwrap() else { panic!("a send") };
        assert_eq!(send.request.target, "Cart/ann/add");
        assert_eq!(send.request.body.as_deref(), Some("-1"));
        assert_eq!(send.request.idempotency_key.as_deref(), Some("k1"));
        assert_eq!(send.request.header, [("x-a".into(), "b:c".into())]);
        assert_eq!(send.delay.as_deref(), Some("1h 30m"));
    }
}
