//! What handlers do with the state of their object.

use bytes::Bytes;
use everlog_executor::invoker::{AttemptEventKind, StateRead, Told};
use everlog_log_schema::{Effect, Entry, NotificationResult, Span};

use super::{Ended, Function};

const GET_STATE: u16 = 0x0402;
const SET_STATE: u16 = 0x0403;
const GET_EAGER_STATE: u16 = 0x0407;

impl Function {
    /// Adds 1 to the state `n`, which it knows from its start, or asks for.
    pub(super) async fn count(&mut self) -> Result<Bytes, Ended> {
        let state = self.start.state.clone().unwrap();
        let known = state.entries.iter().find(|(name, _)| name == "n").map(|(_, value)| value);
        let asks = match self.replay.as_slice().first() {
            Some(Entry::Command { kind, .. }) => *kind == GET_STATE,
            Some(_) | None => known.is_none() && state.partial,
        };
        let before = if asks {
            self.get("n").await.unwrap_or_default()
        } else {
            let known = known.map_or("", |value| str::from_utf8(value).unwrap());
            self.command(GET_EAGER_STATE, known, Effect::None).await
        };
        let before = str::from_utf8(&before).unwrap().parse().unwrap_or(0);
        let count: u64 = 1 + before;
        self.set("n", &count.to_string()).await;
        Ok(count.to_string().into())
    }

    /// Sets the state that the input names to as many bytes as it says, such as `a=100,b=1`.
    pub(super) async fn append(&mut self) -> Result<Bytes, Ended> {
        for part in self.text().split(',') {
            let (name, bytes) = part.split_once('=').unwrap();
            self.set(name, &"v".repeat(bytes.parse().unwrap())).await;
        }
        Ok("set".into())
    }

    /// What it knows of the state from its start, such as `a=100,b=1…`, an ellipsis if there may
    /// be more.
    pub(super) fn state_map(&self) -> String {
        let state = self.start.state.as_ref().unwrap();
        let part = |(name, value): &(Bytes, Bytes)| {
            format!("{}={}", str::from_utf8(name).unwrap(), value.len())
        };
        let parts: Vec<String> = state.entries.iter().map(part).collect();
        format!("{}{}", parts.join(","), if state.partial { "…" } else { "" })
    }

    pub(super) async fn get(&mut self, name: &str) -> Option<Bytes> {
        let completion = self.next_completion();
        let key = Bytes::copy_from_slice(name.as_bytes());
        self.command(GET_STATE, name, Effect::GetState { completion, key }).await;
        match self.result(completion).await {
            NotificationResult::Value(value) => Some(value),
            NotificationResult::Void => None,
            other => panic!("state came as {other:?}"),
        }
    }

    /// Asks for a value that the journal is not to have.
    pub(super) async fn peek(&mut self, name: &str) -> Option<Bytes> {
        let key = Bytes::copy_from_slice(name.as_bytes());
        let read = StateRead { id: 7, key, commands: self.commands };
        self.tell(AttemptEventKind::ReadState(read)).await;
        match self.told.recv().await {
            Some(Told::State { read: 7, value }) => value,
            other => panic!("the answer is {other:?}"),
        }
    }

    pub(super) async fn set(&mut self, name: &str, value: &str) {
        let key = Bytes::copy_from_slice(name.as_bytes());
        let span = Span { start: 0, bytes: u32::try_from(value.len()).unwrap() };
        self.command(SET_STATE, value, Effect::SetState { key, value: span }).await;
    }
}
