//! The HTTP invoker against real functions, written with the official SDK.

#![allow(clippy::unused_async, missing_docs, reason = "the SDK wants and makes functions so")]

use std::time::Duration;

use everlog_log_schema::{CompletionId, Effect, Entry, Outcome};
use restate_sdk::prelude::*;
use tokio::net::TcpListener;

use crate::shell::{Shell, deployment, input, invoker, start};

pub(crate) struct Functions;

#[service]
impl Functions {
    #[handler]
    async fn nothing(&self, _ctx: Context<'_>, name: String) -> Result<String, HandlerError> {
        Ok(format!("hello {name}"))
    }

    #[handler]
    async fn steps(&self, ctx: Context<'_>, name: String) -> Result<String, HandlerError> {
        let mut told = name;
        for step in ["reserve", "charge", "ship"] {
            let so_far = told.clone();
            told =
                ctx.run(move || async move { Ok(format!("{so_far} {step}")) }).name(step).await?;
        }
        Ok(told)
    }

    #[handler]
    async fn nap(&self, ctx: Context<'_>, millis: u64) -> Result<String, HandlerError> {
        ctx.sleep(Duration::from_millis(millis)).await?;
        Ok("rested".to_owned())
    }

    #[handler]
    async fn refuse(&self, _ctx: Context<'_>) -> Result<String, HandlerError> {
        Err(TerminalError::new_with_code(409, "out of stock").into())
    }

    #[handler]
    async fn stumble(&self, _ctx: Context<'_>) -> Result<String, HandlerError> {
        Err(std::io::Error::other("the printer is on fire").into())
    }

    #[handler]
    async fn big(&self, ctx: Context<'_>, bytes: u64) -> Result<String, HandlerError> {
        let size = usize::try_from(bytes)?;
        Ok(ctx.run(move || async move { Ok("x".repeat(size)) }).await?)
    }
}

pub(crate) async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let server = HttpServer::new(Endpoint::builder().bind(Functions).build());
    tokio::spawn(server.serve_with_cancel(listener, std::future::pending::<()>()));
    uri
}

async fn call(handler: &str, body: &'static str) -> Shell {
    let mut shell = Shell::new();
    let deployment = deployment(&serve().await);
    shell.run(start(&deployment, "Functions", handler, vec![input(body)])).await;
    shell
}

pub(crate) fn success(text: &str) -> Entry {
    Entry::Output { name: String::new(), outcome: Outcome::Success(text.to_owned().into()) }
}

#[tokio::test]
async fn a_function_without_steps_ends_with_its_output() {
    let shell = call("nothing", "\"Ada\"").await;
    assert_eq!(shell.journal[1..], [success("\"hello Ada\"")]);
    assert_eq!(shell.last(), "Ended");
}

#[tokio::test]
async fn each_result_is_told_once_it_is_durable() {
    let shell = call("steps", "\"order\"").await;
    assert_eq!(shell.journal.len(), 1 + 3 * 2 + 1);
    assert_eq!(shell.journal[7], success("\"order reserve charge ship\""));
    assert_eq!(shell.last(), "Ended");
}

#[tokio::test]
async fn a_new_attempt_goes_on_where_the_journal_ends() {
    let deployment = deployment(&serve().await);
    let mut shell = Shell::new();
    let whole = start(&deployment, "Functions", "steps", vec![input("\"order\"")]);
    shell.run(whole).await;
    let journal = shell.journal.clone();
    for known in 1..=journal.len() {
        let mut shell = Shell::new();
        let again = start(&deployment, "Functions", "steps", journal[..known].to_vec());
        shell.run(again).await;
        assert_eq!(shell.journal, journal, "from {known} entries");
        assert_eq!(shell.last(), "Ended");
    }
}

#[tokio::test]
async fn a_sleep_is_told_when_it_is_over() {
    let shell = call("nap", "5").await;
    let Entry::Command { kind: 0x040C, effect: Effect::Sleep { completion, .. }, .. } =
        &shell.journal[1]
    else {
        panic!("{:?}", shell.journal)
    };
    assert_eq!(*completion, CompletionId(1));
    assert_eq!(shell.journal[3..], [success("\"rested\"")]);
    assert_eq!(shell.last(), "Ended");
}

#[tokio::test]
async fn a_silent_function_is_asked_to_suspend() {
    let deployment = deployment(&serve().await);
    let mut shell = Shell::new();
    let mut attempt = start(&deployment, "Functions", "nap", vec![input("3600000")]);
    attempt.inactivity_timeout = Duration::from_millis(50);
    shell.run(attempt).await;
    assert_eq!(shell.last(), "Suspended [1] [1] []");
    assert_eq!(shell.journal.len(), 2);
}

#[tokio::test]
async fn without_patience_a_function_is_run_step_by_step() {
    let deployment = deployment(&serve().await);
    let mut journal = vec![input("\"order\"")];
    for attempts in 1.. {
        assert!(attempts <= 8, "no progress: {journal:?}");
        let mut shell = Shell::new();
        let mut attempt = start(&deployment, "Functions", "steps", journal.clone());
        attempt.inactivity_timeout = Duration::ZERO;
        shell.run(attempt).await;
        journal = shell.journal.clone();
        if shell.last() == "Ended" {
            break;
        }
        assert!(shell.last().starts_with("Suspended"), "{}", shell.last());
    }
    assert_eq!(journal.last(), Some(&success("\"order reserve charge ship\"")));
}

#[tokio::test]
async fn a_terminal_error_is_an_output() {
    let shell = call("refuse", "").await;
    let Entry::Output { outcome: Outcome::Failure(failure), .. } = &shell.journal[1] else {
        panic!("{:?}", shell.journal)
    };
    assert_eq!((failure.code, failure.message.as_str()), (409, "out of stock"));
    assert_eq!(shell.last(), "Ended");
}

#[tokio::test]
async fn any_other_error_fails_the_attempt() {
    let shell = call("stumble", "").await;
    assert!(shell.last().starts_with("Failed 500 [RT0007] "), "{}", shell.last());
    assert!(shell.last().contains("the printer is on fire"), "{}", shell.last());
}

#[tokio::test]
async fn an_unknown_handler_fails_the_attempt() {
    let shell = call("nobody", "").await;
    assert!(shell.last().starts_with("Failed "), "{}", shell.last());
    assert!(shell.last().contains("nobody"), "{}", shell.last());
}

#[tokio::test]
async fn a_result_of_many_windows_arrives_whole() {
    let shell = call("big", "5000000").await;
    assert_eq!(shell.last(), "Ended");
    let Entry::Output { outcome: Outcome::Success(value), .. } = &shell.journal[3] else {
        panic!("no output")
    };
    assert_eq!(value.len(), 5_000_002);
}

#[tokio::test]
async fn version_5_is_spoken_too() {
    let deployment = deployment(&serve().await);
    let mut shell = Shell::new();
    let mut attempt = start(&deployment, "Functions", "steps", vec![input("\"order\"")]);
    attempt.protocol_version = 5;
    shell.run(attempt).await;
    assert_eq!(shell.journal[7], success("\"order reserve charge ship\""));
    assert_eq!(shell.last(), "Ended");
}

#[tokio::test]
async fn many_attempts_share_few_connections() {
    let deployment = deployment(&serve().await);
    let invoker = invoker();
    let attempts = (0..300).map(|_| {
        let attempt = start(&deployment, "Functions", "steps", vec![input("\"order\"")]);
        let mut shell = Shell::with(invoker.clone());
        tokio::spawn(async move {
            shell.run(attempt).await;
            assert_eq!(shell.last(), "Ended");
        })
    });
    for attempt in attempts.collect::<Vec<_>>() {
        attempt.await.unwrap();
    }
}
