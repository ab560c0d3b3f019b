//! PINs that go into a chat for whoever asks a site for another one.
//!
//! Nothing readable is ever stored. The stored plan has a stand-in where the mapping says `{{ pin }}`. For every try a PIN is
//! drawn in memory and put in its place; what is kept of it becomes durable together with `sent`, so that the last one that
//! may have gone out is the one that opens the link. A try that is repeated, here or in another process, draws another.
//!
//! It goes into the chat of its link and nowhere else, whatever the mapping says.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::Worker;
use super::push::{Job, Report};
use crate::clock::later;
use crate::crm::Outcome;
use crate::event::TRIGGER;
use crate::id::{StepId, SyncId};
use crate::lead::{Lead, mask};
use crate::links::{draw_pin, kept_pin};
use crate::map::Workspace;
use crate::plan::{Action, Call, Reason, Step};
use crate::store::StoreError;
use crate::store::pins::{SentPin, WaitingPin};
use crate::store::syncs::{Claimed, Next, StepEnd, StepState, SyncState};
use crate::token::{TokenHash, from_hex};

/// What the message of an adapter has in the place of a PIN.
const MASK: &str = "[PIN]";

/// A PIN for one step, for one try.
#[derive(Clone)]
pub(super) struct Drawn {
    stand_in: String,
    pin: String,
    pub(super) sent: SentPin,
}

/// The PINs of the steps that are sent next.
#[derive(Default)]
pub(super) struct Pins(HashMap<StepId, Drawn>);

/// The link whose PIN a lead sends; `None` for all other leads. Only what we keep ourselves of a trigger says so: nobody can
/// make up a request that does.
pub(super) fn asked(lead: &Lead, workspace: &Workspace) -> Option<TokenHash> {
    let source = workspace.sources.get(&lead.source).filter(|source| source.preset == TRIGGER)?;
    workspace.links.send_pin.as_ref().filter(|name| **name == source.name)?;
    lead.given.as_ref()?.payload.get("pin")?.as_str().and_then(from_hex)
}

/// What stands for the PIN in the plan of a sync. Whatever came with the request was there before this id.
pub(super) fn stand_in(sync: SyncId) -> String {
    format!("PIN{}", sync.0.simple())
}

/// Whether the stand-in is somewhere in a call.
pub(super) fn says(call: &Call, stand_in: &str) -> bool {
    call.with.values().any(|value| holds(value, stand_in))
}

fn holds(value: &Json, text: &str) -> bool {
    match value {
        Json::String(value) => value.contains(text),
        Json::Array(items) => items.iter().any(|item| holds(item, text)),
        Json::Object(entries) => entries.values().any(|entry| holds(entry, text)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

fn put(value: &mut Json, from: &str, to: &str) {
    match value {
        Json::String(text) => *text = text.replace(from, to),
        Json::Array(items) => items.iter_mut().for_each(|item| put(item, from, to)),
        Json::Object(entries) => entries.values_mut().for_each(|entry| put(entry, from, to)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

impl Pins {
    pub(super) fn of(&self, step: StepId) -> Option<&Drawn> {
        self.0.get(&step)
    }

    /// The step as it goes out.
    pub(super) fn fill(&self, mut step: Step) -> Step {
        if let (Some(drawn), Action::Call { call }) = (self.of(step.id), &mut step.action) {
            call.with.values_mut().for_each(|value| put(value, &drawn.stand_in, &drawn.pin));
        }
        step
    }

    /// What became of a step, as it may be kept: a bot may say in its answer what it was told.
    pub(super) fn mask(&self, step: StepId, outcome: Outcome) -> Outcome {
        let Some(drawn) = self.of(step) else { return outcome };
        // A long one looks like a phone, and is masked as one by now.
        outcome.say_otherwise(|why| why.replace(&drawn.pin, MASK).replace(&mask(&drawn.pin), MASK))
    }
}

/// Why a PIN is not sent.
enum Over {
    /// Nobody waits for it any more.
    Nobody,
    /// The call goes to another chat.
    Elsewhere,
}

impl Worker {
    /// Draws the PINs of what is pushed next. Ends those whose PIN is not to be sent, and gives back the others.
    pub(super) async fn draw_pins(&self, jobs: Vec<Job>, reports: &mut Vec<Report>) -> (Vec<Job>, Pins) {
        let mut pins = Pins::default();
        let mut left = Vec::with_capacity(jobs.len());
        for job in jobs {
            match self.drawn(&job).await {
                Ok(None) => left.push(job),
                Ok(Some(Ok(drawn))) => {
                    pins.0.extend(drawn);
                    left.push(job);
                }
                Ok(Some(Err((step, over)))) => reports.push(self.end_pin(&job, step, &over).await),
                Err(failure) => reports.push(self.storage_failed(&job.claimed, &failure).await),
            }
        }
        (left, pins)
    }

    /// `None` for a job that sends no PIN.
    async fn drawn(
        &self,
        job: &Job,
    ) -> Result<Option<Result<Vec<(StepId, Drawn)>, (StepId, Over)>>, StoreError> {
        let lead = &job.claimed.lead;
        if !may_ask(lead) {
            return Ok(None);
        }
        let workspace = self.versions.get(&job.claimed.version).await?;
        let Some(link) = asked(lead, &workspace) else { return Ok(None) };
        let stand_in = stand_in(job.claimed.id);
        let open = job.steps.iter().filter(|step| step.state != StepState::Done);
        let calls: Vec<(StepId, &Call)> = open
            .filter_map(|stored| {
                let Action::Call { call } = &stored.step.action else { return None };
                says(call, &stand_in).then_some((stored.step.id, call))
            })
            .collect();
        let Some((first, _)) = calls.first() else { return Ok(None) };
        let (now, life) = (self.clock.now(), workspace.links.pin_life);
        let after = |from: Timestamp| later(from, life);
        let waiting = self.store.waiting_pin(link, now).await?;
        let Some(WaitingPin { key, chat, asked_at }) =
            waiting.filter(|waiting| now < after(waiting.asked_at) && is_past(waiting.asked_at, now))
        else {
            return Ok(Some(Err((*first, Over::Nobody))));
        };
        let is_elsewhere = |call: &Call| {
            let named = call.chat.as_ref();
            named.is_some_and(|named| named.scope.as_ref() != Some(&chat.scope) || named.id != chat.id)
        };
        if let Some((step, _)) = calls.iter().find(|(_, call)| is_elsewhere(call)) {
            return Ok(Some(Err((*step, Over::Elsewhere))));
        }
        tracing::debug!(sync = %job.claimed.id, %asked_at, "a PIN is drawn, to be sent now");
        let pin = draw_pin(&self.clock.secret(), workspace.links.pin_digits);
        let sent = SentPin { link, pin: kept_pin(&key, &pin), until: after(now) };
        let drawn = Drawn { stand_in, pin, sent };
        Ok(Some(Ok(calls.into_iter().map(|(step, _)| (step, drawn.clone())).collect())))
    }

    async fn end_pin(&self, job: &Job, step: StepId, over: &Over) -> Report {
        let (code, text) = match over {
            Over::Nobody => (
                "pin_over",
                "Nobody waits for this PIN any more: one was sent, or the link was used or has ended, or it took too long. \
                 The visitor asks the site for another one.",
            ),
            Over::Elsewhere => (
                "pin_elsewhere",
                "A PIN goes into the chat of its link only, and this call would take it to another one; take `chat` out of \
                 the call.",
            ),
        };
        let end = if job.in_doubt.contains(&step) { StepEnd::Unknown } else { StepEnd::Rejected };
        let why = Some(Reason::new(code, text));
        let next = Next::Release {
            state: SyncState::Filtered,
            why,
            next_at: self.clock.now(),
            attempts: job.claimed.attempts,
        };
        self.store_outcomes(job.claimed.id, vec![(step, end(text.to_owned()))], next).await;
        self.forget_pin(&job.claimed).await;
        Report::Untouched
    }

    /// Takes the key of a PIN away once its sync has come to its end: nobody sends it any more.
    pub(super) async fn forget_pin(&self, claimed: &Claimed) {
        if !may_ask(&claimed.lead) {
            return;
        }
        let forgotten = async {
            let workspace = self.versions.get(&claimed.version).await?;
            match asked(&claimed.lead, &workspace) {
                Some(link) => self.store.forget_pin_key(link).await,
                None => Ok(()),
            }
        };
        if let Err(failure) = forgotten.await {
            tracing::warn!(sync = %claimed.id, %failure, "the key of a PIN stays until its link has ended");
        }
    }
}

/// Whether it is worth looking: of most leads nothing is kept.
fn may_ask(lead: &Lead) -> bool {
    lead.given.as_ref().is_some_and(|given| given.payload.get("pin").is_some())
}

/// A clock that was put back does not make an old wish new.
fn is_past(asked_at: Timestamp, now: Timestamp) -> bool {
    asked_at <= now.saturating_add(SignedDuration::from_mins(2)).unwrap_or(Timestamp::MAX)
}
