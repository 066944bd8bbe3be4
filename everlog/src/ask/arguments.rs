//! The arguments of the commands that call.

use clap::Args;

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

fn target(text: &str) -> Result<String, String> {
    let segments: Vec<&str> = text.split('/').collect();
    match segments.as_slice() {
        [_, _] | [_, _, _] if !segments.contains(&"") => Ok(text.to_owned()),
        _ => Err("write Service/handler or Object/key/handler".into()),
    }
}

pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write 'name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::{Parser, Subcommand};

    use super::*;

    #[derive(Debug, Subcommand)]
    enum Commands {
        Call(CallArguments),
        Send(SendArguments),
        Attach(AttachArguments),
    }

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Commands,
    }

    fn parse(arguments: &[&str]) -> Result<Commands, clap::Error> {
        Line::try_parse_from(std::iter::once(&"everlog").chain(arguments)).map(|line| line.command)
    }

    #[test]
    fn what_cannot_be_is_refused() {
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
        let Commands::Send(send) = parse(&arguments).unwrap() else { panic!("a send") };
        assert_eq!(send.request.target, "Cart/ann/add");
        assert_eq!(send.request.body.as_deref(), Some("-1"));
        assert_eq!(send.request.idempotency_key.as_deref(), Some("k1"));
        assert_eq!(send.request.header, [("x-a".into(), "b:c".into())]);
        assert_eq!(send.delay.as_deref(), Some("1h 30m"));
    }
}
