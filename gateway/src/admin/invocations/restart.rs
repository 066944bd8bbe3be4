//! Orders that choose the code: a new invocation that begins like a completed one, and one that goes
//! on with another deployment.
//!
//! Its invariant: what is answered is what the partition shows once the order is taken in; where it
//! shows nothing new, the reason is read from what is there.

use everlog_log_schema::metadata::Deployment;
use everlog_log_schema::{
    Entry, HandlerKind, InvocationId, InvocationRow, Message, Pin, RequestId, Restart, ResumeOn,
    StatusKind, Target,
};
use http::StatusCode;
use serde_json::json;

use super::filter::Parameters;
use super::one::parse_id;
use super::orders::{Meaning, Verb, kind, view};
use crate::admin::{Admin, AdminError, found, newest};
use crate::inbox;
use crate::reply::{Reply, json_reply};

/// Which code is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chosen {
    /// That which it has.
    Kept,
    /// That which new calls go to.
    Latest,
    /// That of a deployment.
    Of(String),
}

impl Chosen {
    /// Reads what a request names.
    pub(super) fn of(text: String) -> Self {
        match text.as_str() {
            "keep" => Self::Kept,
            "latest" => Self::Latest,
            _ => Self::Of(text),
        }
    }
}

impl Admin {
    /// Begins an invocation anew that has completed, from an entry of its journal on.
    pub(in crate::admin) async fn restart(
        &self,
        id: &str,
        query: Option<&str>,
    ) -> Result<Reply, AdminError> {
        let mut parameters = Parameters::read(query)?;
        let from: Option<u32> = parameters.take_as("from")?;
        let chosen = parameters.take("deployment")?.map(Chosen::of);
        parameters.end()?;
        if from.is_none() && chosen.is_some() {
            let reason = "deployment is chosen with `from`: from the input on it is the latest";
            return Err(AdminError::MalformedQuery(reason.into()));
        }
        let target = parse_id(id)?;
        let old = self.invocation(target, None).await?;
        let old = old.ok_or(AdminError::InvocationNotFound(target))?;
        let new = self.begin_anew(target, &old, from.unwrap_or_default(), chosen).await?;
        Ok(json_reply(StatusCode::OK, &json!({ "new_invocation_id": new.to_string() })))
    }

    /// Begins an invocation anew that was seen as `old`, and returns the id of the new one.
    pub(super) async fn begin_anew(
        &self,
        target: InvocationId,
        old: &InvocationRow,
        from: u32,
        chosen: Option<Chosen>,
    ) -> Result<InvocationId, AdminError> {
        // What has recorded no step has no entry but its input, and no code to go on with.
        let has_entry = from == 0 || old.pin.is_some();
        if kind(old) != StatusKind::Completed || !has_entry {
            return Err(self.why_not(target, old, from).await?);
        }
        let pin = match (from, chosen) {
            // It takes the newest when it begins.
            (0, None) => None,
            (_, chosen) => Some(self.pin(old, &chosen.unwrap_or(Chosen::Latest))?),
        };
        let new = InvocationId { uuid: rand::random(), ..target };
        let request_id = RequestId(rand::random());
        let restart = Restart { target, id: new, request_id, from, pin };
        let metadata = self.metadata.borrow().next;
        let message = inbox::encode(metadata, Message::Restart(Box::new(restart)))?;
        let offset = self.inbox.append(self.inbox.partition(target), message).await?;
        let after = self.invocation(new, Some(offset)).await.map_err(|error| {
            AdminError::OrderUnknown(format!("the new invocation is {new}, if it began; {error}"))
        });
        if after?.is_some() {
            return Ok(new);
        }
        let old = self.invocation(target, None).await?;
        let old = old.ok_or(AdminError::InvocationNotFound(target))?;
        Err(self.why_not(target, &old, from).await?)
    }

    /// Says why an invocation that is so is not begun anew.
    async fn why_not(
        &self,
        target: InvocationId,
        old: &InvocationRow,
        from: u32,
    ) -> Result<AdminError, AdminError> {
        match kind(old) {
            StatusKind::Completed => {}
            StatusKind::Scheduled | StatusKind::Pending => {
                return Ok(AdminError::NotStarted("begun anew"));
            }
            StatusKind::Running
            | StatusKind::Suspended
            | StatusKind::BackingOff
            | StatusKind::Paused => return Ok(AdminError::NotCompleted),
        }
        if old.kind == HandlerKind::Workflow {
            let reason = "it is the run of a workflow, which each key has once".to_owned();
            return Ok(AdminError::RestartRefused(reason));
        }
        let journal = self.ask(|| self.owner.journal(target, 0)).await?.unwrap_or_default();
        let begins = journal.first().is_some_and(|of| matches!(of.entry, Entry::Input { .. }));
        Ok(if begins {
            AdminError::RestartRefused(format!(
                "its journal has no entry {from} before its output, or a command up to it has no \
                 result that could be taken over"
            ))
        } else {
            AdminError::JournalGone
        })
    }

    /// Has an invocation go on, with the code that a query names if it names one.
    pub(in crate::admin) async fn resume(
        &self,
        id: &str,
        query: Option<&str>,
    ) -> Result<Reply, AdminError> {
        let mut parameters = Parameters::read(query)?;
        let chosen = parameters.take("deployment")?.map(Chosen::of);
        parameters.end()?;
        let chosen = match chosen {
            None | Some(Chosen::Kept) => return self.order(Verb::Resume, id).await,
            Some(chosen @ (Chosen::Latest | Chosen::Of(_))) => chosen,
        };
        let target = parse_id(id)?;
        let row = self.invocation(target, None).await?;
        let row = row.ok_or(AdminError::InvocationNotFound(target))?;
        let after = self.resume_on(target, &row, &chosen).await?;
        Ok(view(target, after.name(), "done"))
    }

    /// Has an invocation go on that was seen as `row`, with other code, and tells how it stands then.
    pub(super) async fn resume_on(
        &self,
        target: InvocationId,
        row: &InvocationRow,
        chosen: &Chosen,
    ) -> Result<StatusKind, AdminError> {
        match Verb::Resume.meaning(kind(row)) {
            Meaning::Applies => {}
            Meaning::Already(_) => return Err(AdminError::Running),
            Meaning::Refused(error) => return Err(error),
        }
        let pin = self.pin(row, chosen)?;
        let resume = ResumeOn { target, pin: pin.clone() };
        let metadata = self.metadata.borrow().next;
        let message = inbox::encode(metadata, Message::ResumeOn(Box::new(resume)))?;
        let offset = self.inbox.append(self.inbox.partition(target), message).await?;
        let after = self.after(target, offset).await?;
        let after = after.ok_or(AdminError::InvocationNotFound(target))?;
        if after.pin.as_ref() != Some(&pin) {
            return Err(match Verb::Resume.meaning(kind(&after)) {
                Meaning::Applies | Meaning::Already(_) => AdminError::Running,
                Meaning::Refused(error) => error,
            });
        }
        Ok(kind(&after))
    }

    /// The code that is chosen for an invocation.
    fn pin(&self, row: &InvocationRow, chosen: &Chosen) -> Result<Pin, AdminError> {
        let metadata = self.metadata.borrow().clone();
        let kept = row.pin.as_ref().ok_or(AdminError::NotPinned)?;
        let deployment = match chosen {
            Chosen::Kept => found(&metadata, &kept.deployment.0)?,
            Chosen::Latest => newest(&metadata, &row.target.service)?.0,
            Chosen::Of(id) => found(&metadata, id)?,
        };
        check_offers(deployment, &row.target)?;
        // What is in its journal was said in this version.
        let (version, id) = (kept.protocol_version, deployment.id.clone());
        if !(deployment.min_protocol_version..=deployment.max_protocol_version).contains(&version) {
            return Err(AdminError::VersionNotSpoken { deployment: id.to_string(), version });
        }
        Ok(Pin { deployment: id, protocol_version: version })
    }
}

fn check_offers(deployment: &Deployment, target: &Target) -> Result<(), AdminError> {
    let service = deployment.services.iter().find(|service| service.name == target.service);
    let handler = service
        .and_then(|service| service.handlers.iter().find(|handler| handler.name == target.handler));
    match handler {
        Some(_) => Ok(()),
        None => Err(AdminError::NotOffered {
            deployment: deployment.id.to_string(),
            handler: format!("{}/{}", target.service, target.handler),
        }),
    }
}
