//! CRMs and bots. A module each; [`Description`] is the one place that names a CRM, and everything else iterates [`DESCRIPTIONS`].
//!
//! An adapter builds requests and reads answers. It decides nothing: what to write stands in a [`Plan`](crate::plan::Plan).
//! Every call goes through the shared HTTP client, which owns the limiter, the time-out, the classification of answers and redaction.
//!
//! | module | what all adapters share |
//! |---|---|
//! | [`http`], [`limit`] | calls, and the account's rate budget |
//! | [`matching`] | the exact re-check of what a search gave |
//! | `unmarked` | a lost step where records carry no marker |
//! | `settings`, `auth`, `entries`, `tree` | reading what the workspace says; a plan's fields as JSON; bodies with placeholders |
//! | `bot` | bots: asked by operations, with nothing to look up |
//! | [`catalog`] | what an account has: fields, users, pipelines, stages |
//! | [`examine`] | asks an account everything that can be asked without writing |

mod auth;
mod bot;
pub mod catalog;
mod entries;
pub mod examine;
pub mod http;
pub mod limit;
pub mod matching;
mod odoo;
mod rest;
mod sandbox;
mod settings;
mod tree;
mod unmarked;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use self::catalog::Catalog;
use self::limit::{Limiter, Usage, Window};
/// The smallest CRM that can be described.
#[cfg(test)]
pub(crate) use self::rest::tests::SMALL as DESCRIBED;
use crate::decide::Capabilities;
use crate::id::{StepId, SyncId};
use crate::map::{DestinationKind, ReadNested};
pub use crate::plan::Priority;
use crate::plan::{Call, FoundContact, RecordId, RecordKind, Step, StepKind};
use crate::rules::{BotKind, Destination, Setting};

/// One CRM that leadfold can write to: everything about it that is known without an account.
#[derive(Debug)]
pub struct Description {
    /// The word in `crm:` of a destination.
    pub name: &'static str,
    /// One line for `check` and the docs.
    pub summary: &'static str,
    /// What it asks of the workspace.
    pub settings: &'static [Setting],
    /// The vendor's rate limits. A setting may add to them.
    pub windows: &'static [Window],
    /// The longest time that the CRM works on a request after which nobody waits for the answer any more.
    pub processing: Duration,
    /// The longest time until its search shows what was written, unless a setting says otherwise.
    pub search_lag: Duration,
    /// What makes it a bot; `None` for a CRM.
    pub bot: Option<BotKind>,
    /// Reads the nested settings, where the CRM has some; see [`DestinationKind`].
    pub(crate) nested: Option<ReadNested>,
    /// Prepares an account; connects to nothing yet.
    pub connect: fn(&Destination) -> Result<Arc<dyn Crm>, ConnectError>,
}

/// Every CRM.
pub static DESCRIPTIONS: &[&Description] = &[&sandbox::DESCRIPTION, &odoo::DESCRIPTION, &rest::DESCRIPTION];

/// Every bot.
pub use self::bot::DESCRIPTIONS as BOTS;

/// The description of that name, of a CRM or a bot.
pub fn description(name: &str) -> Option<&'static Description> {
    DESCRIPTIONS.iter().chain(BOTS).copied().find(|description| description.name == name)
}

/// Whether a bot has this name, and no CRM.
fn is_bot(name: &str) -> bool {
    BOTS.iter().any(|description| description.name == name)
}

/// A destination cannot be used as the workspace describes it. Says which one, what is wrong and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub String);

/// Prepares the account of a destination by the adapter that it names.
pub fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let Some(description) = description(&destination.crm) else {
        let names: Vec<_> = DESCRIPTIONS.iter().chain(BOTS).map(|description| description.name).collect();
        return Err(ConnectError(format!(
            "destination `{}`: there is no CRM and no bot `{}`; write one of: {}",
            destination.name,
            destination.crm,
            names.join(", ")
        )));
    };
    (description.connect)(destination)
}

/// What the CRM of a destination has. An account that cannot be prepared here, for want of its secrets, counts as one that
/// has everything.
pub fn capabilities(destination: &Destination) -> Capabilities {
    connect(destination).map_or(Capabilities::ALL, |crm| crm.capabilities())
}

/// Names and settings of every CRM and bot, for the loader of the workspace.
pub fn kinds() -> Vec<DestinationKind> {
    DESCRIPTIONS
        .iter()
        .chain(BOTS)
        .map(|description| DestinationKind {
            name: description.name,
            settings: description.settings,
            bot: description.bot,
            nested: description.nested,
        })
        .collect()
}

/// What to look for in a CRM: the identifiers that `resolve` attached to one person, nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Our own link: read this record instead of searching, because searches lag.
    pub contact: Option<RecordId>,
    /// E.164 phones to search by, when there is no link.
    pub phones: Vec<String>,
    /// Emails to search by, when there is no link.
    pub emails: Vec<String>,
    /// Fields of contacts that the lead is compared with, as the mapping names them. A CRM that has to be asked for each
    /// field needs to give no others.
    pub contact_fields: BTreeSet<String>,
    /// The same for the open deals.
    pub deal_fields: BTreeSet<String>,
    /// Live traffic goes before backfill.
    pub priority: Priority,
}

/// What a look-up found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Contacts that match after an exact re-check on our side (normalised phone, email key), each with its open deals.
    pub contacts: Vec<FoundContact>,
    /// `true` when [`Query::contact`] was asked for and the CRM says there is no such record (deleted or merged away).
    pub link_is_gone: bool,
    /// Hits of the CRM's search that did not pass the re-check. Many of them, for somebody whom it does not have, tell of a
    /// search that does not look at what it is asked for.
    pub passed_over: usize,
}

/// The steps of one plan that are still to be written, references already resolved where the record is known.
#[derive(Clone, Debug)]
pub struct Remaining<'a> {
    /// Whose plan.
    pub sync: SyncId,
    /// What is left, in order; never empty. The first step refers to records only.
    pub steps: &'a [Step],
    /// Live traffic goes before backfill.
    pub priority: Priority,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Written; the record it made or changed.
    Done(RecordId),
    /// Surely not written; try again, not before this long from now where the CRM named a time.
    Retry {
        /// The CRM's Retry-After, or `None` for our own back-off.
        after: Option<Duration>,
        /// What the CRM said.
        why: String,
    },
    /// Sent, and nobody knows whether it was written.
    Unknown {
        /// What happened instead of an answer.
        why: String,
    },
    /// The CRM refuses, and will refuse again.
    Rejected {
        /// What the CRM said.
        why: String,
    },
    /// Taken, and what becomes of it is not known yet. Only of a call that is [repeatable](Crm::repeatable): it is made
    /// again after this long, and then the adapter asks how far it is, or sends it anew where it remembers nothing.
    UnderWay {
        /// When it is worth asking again.
        after: Duration,
        /// What the CRM said.
        why: String,
    },
    /// A bot cannot reach this chat, and will not: the person blocked it, or never wrote to it.
    Unreachable {
        /// What the bot said.
        why: String,
    },
    /// The CRM does not accept our credentials: the destination pauses.
    Unauthorised {
        /// What the CRM said.
        why: String,
    },
}

impl Outcome {
    /// The same, with other words for what the CRM said.
    pub(crate) fn say_otherwise(mut self, other: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            Self::Done(_) => {}
            Self::Retry { why, .. }
            | Self::Unknown { why }
            | Self::Rejected { why }
            | Self::UnderWay { why, .. }
            | Self::Unreachable { why }
            | Self::Unauthorised { why } => *why = other(why),
        }
        self
    }
}

/// Why a read gave no answer. Reads may always be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrmError {
    /// Try again later: a rate limit, a time-out, a 5xx, a broken connection.
    #[error("{why}")]
    Retry {
        /// The CRM's Retry-After, when it gave one.
        after: Option<Duration>,
        /// What happened.
        why: String,
    },
    /// The CRM does not understand the question; a person must look.
    #[error("{why}")]
    Rejected {
        /// What the CRM said.
        why: String,
    },
    /// Credentials are refused: the destination pauses.
    #[error("{why}")]
    Unauthorised {
        /// What the CRM said.
        why: String,
    },
}

/// Why a CRM refuses a call. The loader lets calls go to bots only.
const NO_BOT: &str = "a CRM takes no calls; this is a bug of leadfold";

/// What protects a step from being written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// The CRM refuses or ignores a second copy (unique id or idempotency key).
    Keyed,
    /// A look-up after the settle time tells whether it was written.
    Findable,
    /// There is no look-up: at most once unless the destination says otherwise.
    Blind,
}

/// Told by the HTTP client between the limiter's permit and the request, so that a crash in between is visible.
pub trait Journal: Send + Sync {
    /// Stores these steps as `sent`. If it fails, the request is not made.
    fn sent<'a>(&'a self, steps: &'a [(SyncId, StepId)]) -> BoxFuture<'a, Result<(), JournalError>>;
}

/// The journal could not store `sent` (storage failure or a lost lease); the request was not made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the step could not be recorded before it was sent: {0}")]
pub struct JournalError(pub String);

/// One account in one CRM.
pub trait Crm: Send + Sync {
    /// Looks people up; one answer per query, in order.
    fn find<'a>(&'a self, queries: &'a [Query]) -> BoxFuture<'a, Vec<Result<Found, CrmError>>>;

    /// Looks for the records that a step may have made: all of them, the oldest first, which is the one to adopt; none when
    /// there surely is none (settle time has passed).
    /// Only called for kinds whose [`Guarantee`] is `Findable` and that [`StepKind::creates`] something.
    fn look_up<'a>(
        &'a self,
        steps: &'a [(RecordKind, &'a Step)],
        _: Priority,
    ) -> BoxFuture<'a, Vec<Result<Vec<RecordId>, CrmError>>> {
        let why =
            "nothing of this destination is looked up after an unclear answer; this is a bug of leadfold";
        let answer = || Err(CrmError::Rejected { why: why.to_owned() });
        Box::pin(std::future::ready(steps.iter().map(|_| answer()).collect()))
    }

    /// Writes: for each plan the outcomes of a prefix of its remaining steps, at least one. The engine stores them and
    /// calls again with what is left; an adapter may fuse steps where its API can. A failed step ends its prefix.
    fn write<'a>(
        &'a self,
        plans: &'a [Remaining<'a>],
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Vec<Vec<Outcome>>>;

    /// Whether the account answers, and as whom.
    fn ping(&self) -> BoxFuture<'_, Result<String, CrmError>>;

    /// The account's fields, users, pipelines and stages, read anew.
    fn describe(&self) -> BoxFuture<'_, Result<Catalog, CrmError>>;

    /// What the CRM has; for the rest `decide` takes the next best thing.
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    /// Where people open a contact in a browser; `None` where that is not known.
    fn contact_page(&self, _contact: &RecordId) -> Option<String> {
        None
    }

    /// What protects a step of this kind on this account.
    fn guarantee(&self, kind: StepKind) -> Guarantee;

    /// Whether a bot's call may be made again where nobody knows whether it was.
    fn repeatable(&self, _call: &Call) -> bool {
        false
    }

    /// Longest processing time plus search lag: an unknown outcome is looked up not before this long after it was sent.
    fn settle(&self) -> Duration;

    /// How many queries [`find`](Self::find), and plans [`write`](Self::write), take in one call of the CRM.
    fn batch(&self) -> usize;

    /// How many calls may be under way at once.
    fn concurrency(&self) -> usize;

    /// What keeps the account's rate limit; `None` where nothing is limited.
    fn limiter(&self) -> Option<&Limiter> {
        None
    }

    /// What the limiter has let through, for metrics and for people.
    fn usage(&self) -> Usage {
        self.limiter().map(Limiter::usage).unwrap_or_default()
    }
}
