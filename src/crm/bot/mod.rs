//! Bots and whatever else is asked by operations: they have no contacts and deals to look up, so that there is nothing to
//! find, and a lead's calls are their whole plan.
//!
//! A bot's file has its [`Description`] with its operations, and one type that implements [`Bot`].
//! Everything else about a destination (queue, budget, unknown outcomes, pausing) is the same as for a CRM.

mod botmother;
mod chatterfy;
mod esputnik;
mod metabot;
mod mindbox;
mod sendpulse;
mod telegram;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::catalog::Catalog;
use super::http::{Answer, Http, in_parallel};
use super::limit::Limiter;
use super::settings::Reader;
use super::{
    ConnectError, Crm, CrmError, Description, Found, Guarantee, Journal, Outcome, Priority, Query, Remaining,
};
use crate::decide::Capabilities;
use crate::id::{StepId, SyncId};
use crate::plan::{Action, Call, RecordId, Step, StepKind};
use crate::rules::{Destination, Operation};

/// Every bot.
pub static DESCRIPTIONS: &[&Description] = &[
    &sendpulse::DESCRIPTION,
    &telegram::DESCRIPTION,
    &botmother::DESCRIPTION,
    &chatterfy::DESCRIPTION,
    &metabot::DESCRIPTION,
    &mindbox::DESCRIPTION,
    &esputnik::DESCRIPTION,
    &webhook::DESCRIPTION,
];

/// A call on its way: which step it is, and how it is journalled.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) sync: SyncId,
    /// The same for every try of a step, so that it serves as a key against doing it twice.
    pub(super) step: StepId,
    pub(super) priority: Priority,
    pub(super) journal: &'a dyn Journal,
}

/// One account of a bot.
pub(super) trait Bot: Send + Sync + 'static {
    fn http(&self) -> &Http;

    /// What it can be asked to do.
    fn operations(&self) -> &'static [Operation];

    /// Makes one call.
    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome>;

    /// Whether this call may be made again where nobody knows whether it was.
    fn repeatable(&self, call: &Call) -> bool {
        let operations = self.operations();
        operations.iter().any(|operation| operation.name == call.operation && operation.repeatable)
    }

    /// Makes the first calls of several plans; a bot that takes several at once has its own way.
    fn call_all<'a>(
        &'a self,
        calls: Vec<(&'a Call, Sending<'a>)>,
        concurrency: usize,
    ) -> BoxFuture<'a, Vec<Outcome>> {
        let calls = calls.into_iter().map(|(call, sending)| self.call(call, sending)).collect();
        in_parallel(concurrency, calls).boxed()
    }

    /// How many calls go out together.
    fn batch(&self) -> usize {
        1
    }

    /// Whether the account answers, and as whom. `Ok(None)`: nothing can be asked without doing something.
    fn ping(&self) -> BoxFuture<'_, Result<Option<String>, CrmError>> {
        std::future::ready(Ok(None)).boxed()
    }
}

/// A bot as the engine sees every destination.
struct AsCrm<B> {
    bot: B,
    concurrency: usize,
    settle: Duration,
}

/// The bot of a destination. `concurrency`: how many calls are under way at once unless the workspace says otherwise.
pub(super) fn as_crm(
    bot: impl Bot,
    destination: &Destination,
    description: &Description,
    concurrency: usize,
) -> Result<Arc<dyn Crm>, ConnectError> {
    Ok(Arc::new(AsCrm {
        bot,
        concurrency: Reader(destination).count("concurrency", concurrency)?,
        settle: destination.settle.unwrap_or(description.processing),
    }))
}

impl<B: Bot> AsCrm<B> {
    async fn call_first(&self, plans: &[Remaining<'_>], journal: &dyn Journal) -> Vec<Vec<Outcome>> {
        let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); plans.len()];
        let mut places = Vec::with_capacity(plans.len());
        let mut calls = Vec::with_capacity(plans.len());
        for (place, plan) in plans.iter().enumerate() {
            if let Some(Step { id, action: Action::Call { call } }) = plan.steps.first() {
                places.push(place);
                let (sync, priority) = (plan.sync, plan.priority);
                calls.push((call, Sending { sync, step: *id, priority, journal }));
            } else {
                let why = "a bot takes calls and nothing else; this is a bug of leadfold".to_owned();
                outcomes[place] = vec![Outcome::Rejected { why }];
            }
        }
        for (place, outcome) in places.into_iter().zip(self.bot.call_all(calls, self.concurrency).await) {
            outcomes[place] = vec![outcome];
        }
        outcomes
    }
}

impl<B: Bot> Crm for AsCrm<B> {
    fn find<'a>(&'a self, queries: &'a [Query]) -> BoxFuture<'a, Vec<Result<Found, CrmError>>> {
        std::future::ready(queries.iter().map(|_| Ok(Found::default())).collect()).boxed()
    }

    fn write<'a>(
        &'a self,
        plans: &'a [Remaining<'a>],
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Vec<Vec<Outcome>>> {
        self.call_first(plans, journal).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<String, CrmError>> {
        async {
            let said = self.bot.ping().await?;
            let nothing = || {
                format!("nothing can be asked of {} without doing something there", self.bot.http().hosts())
            };
            Ok(said.unwrap_or_else(nothing))
        }
        .boxed()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Catalog, CrmError>> {
        std::future::ready(Ok(Catalog::default())).boxed()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    fn guarantee(&self, _: StepKind) -> Guarantee {
        Guarantee::Blind
    }

    fn repeatable(&self, call: &Call) -> bool {
        self.bot.repeatable(call)
    }

    fn settle(&self) -> Duration {
        self.settle
    }

    fn batch(&self) -> usize {
        self.bot.batch()
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn limiter(&self) -> Option<&Limiter> {
        Some(self.bot.http().limiter())
    }
}

/// A call that was answered as it should be. There is no record, so the step's own id stands for what it did.
pub(super) fn done(step: StepId) -> Outcome {
    Outcome::Done(RecordId(step.to_string()))
}

/// The outcome of a call whose answer says nothing beyond its status.
pub(super) fn answered(step: StepId, answer: Result<Answer, Outcome>) -> Outcome {
    match answer {
        Ok(_) => done(step),
        Err(outcome) => outcome,
    }
}

/// A parameter that the operation cannot do without. The loader wants it to be there, and data may still leave it empty.
pub(super) fn needed(call: &Call, parameter: &str) -> Result<String, Outcome> {
    call.text(parameter).filter(|text| !text.trim().is_empty()).ok_or_else(|| Outcome::Rejected {
        why: format!(
            "{}: `{parameter}` came out empty; look at its placeholders in the mapping",
            call.operation
        ),
    })
}

/// A nested parameter that holds values by name; `None` where it is absent.
pub(super) fn object<'a>(call: &'a Call, parameter: &str) -> Result<Option<&'a Map<String, Value>>, Outcome> {
    match call.with.get(parameter) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(entries)) => Ok(Some(entries)),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            let why = format!("{}: `{parameter}` holds values by name: {{ name: value }}", call.operation);
            Err(Outcome::Rejected { why })
        }
    }
}

/// The chat of a call.
pub(super) fn recipient(call: &Call) -> Result<&str, Outcome> {
    let id = call.chat.as_ref().map(|chat| chat.id.as_str()).filter(|id| !id.trim().is_empty());
    id.ok_or_else(|| Outcome::Rejected {
        why: format!("{}: the call names no chat; this is a bug of leadfold", call.operation),
    })
}
