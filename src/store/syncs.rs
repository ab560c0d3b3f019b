//! The queue of a destination: claiming syncs, storing plans before they are pushed, and what became of every step.
//!
//! Every write here belongs to the holder of the destination's lease: it bumps the lease row where the epoch is its own,
//! and a process that lost the lease can record nothing.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::claims::{Claim, FreeClaims, PutDownAbandoned};
use super::lease::Lease;
use super::sql::{Arg, args, list};
use super::sync_work::{DropLink, MergeOnEvidence};
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::id::{LeadId, PersonId, StepId, SyncId};
use crate::lead::Lead;
use crate::plan::{Action, Plan, Priority, Reason, RecordId, RecordKind, Step};
use crate::rules::{Mode, Turn};

/// Where a sync stands. The table in [`crate::sync`] says who looks at which again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// To be decided.
    Ready,
    /// A plan is stored and under way.
    Pushing,
    /// A step was sent and nobody knows whether it was written.
    Unknown,
    /// Waits for something outside, such as an available owner.
    Waiting,
    /// Decided while the destination only observed, and kept back until a person says whether it is pushed or skipped.
    Held,
    /// Done.
    Synced,
    /// Nothing to do, by a rule.
    Filtered,
    /// A person must look.
    NeedsAttention,
}

/// The open states, in the words of the partial indexes (both databases only use those for the very same condition).
pub(crate) const OPEN: &str = "state IN ('ready', 'pushing', 'unknown', 'waiting')";

impl SyncState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Pushing,
        Self::Unknown,
        Self::Waiting,
        Self::Held,
        Self::Synced,
        Self::Filtered,
        Self::NeedsAttention,
    ];

    /// The word in the database, the API and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Pushing => "pushing",
            Self::Unknown => "unknown",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Synced => "synced",
            Self::Filtered => "filtered",
            Self::NeedsAttention => "needs-attention",
        }
    }

    /// The state of this word; `None` for one of a later version.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether the worker of the destination looks at it again by itself.
    pub fn is_open(self) -> bool {
        match self {
            Self::Ready | Self::Pushing | Self::Unknown | Self::Waiting => true,
            Self::Held | Self::Synced | Self::Filtered | Self::NeedsAttention => false,
        }
    }
}

/// A sync in the hands of this process.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Ours.
    pub id: SyncId,
    /// Its lead's id.
    pub lead_id: LeadId,
    /// Its lead.
    pub lead: Lead,
    /// Version of the workspace that made the lead; its rules decide.
    pub version: String,
    /// Index of the branch within the mapping.
    pub branch: usize,
    /// Whose lead it is at the moment of the claim.
    pub person: PersonId,
    /// Live traffic goes first.
    pub priority: Priority,
    /// Failed tries since the last progress.
    pub attempts: i64,
    /// Owner picked for it by an earlier plan.
    pub owner: Option<String>,
    /// Pushed although the destination only observes.
    pub let_through: bool,
    /// A person asked for its deal whatever the rules say.
    pub forced: bool,
    /// An earlier plan of it came to its end, or made its deal or its task.
    pub brought: bool,
    /// Disagreements that `resolve` recorded.
    pub conflicts: Vec<Reason>,
    /// Steps of a plan that is under way; empty when it is to be decided.
    pub steps: Vec<StoredStep>,
    /// What was known of the person at the moment of the claim.
    pub context: PersonContext,
}

/// A step as the database has it.
#[derive(Clone, Debug)]
pub struct StoredStep {
    /// What to write.
    pub step: Step,
    /// Where it stands.
    pub state: StepState,
    /// The record it made or changed.
    pub record: Option<RecordId>,
    /// When it was sent last.
    pub sent_at: Option<Timestamp>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not sent.
    Planned,
    /// Sent; no outcome stored.
    Sent,
    /// Sent; no answer came.
    Unknown,
    /// Written.
    Done,
    /// Refused for good.
    Rejected,
}

impl StepState {
    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Rejected => "rejected",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Planned, Self::Sent, Self::Unknown, Self::Done, Self::Rejected]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// What the database knows of a person at one destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonContext {
    /// Our link to their contact; to the oldest of several.
    pub contact: Option<RecordId>,
    /// Their further contacts, oldest first: there before it was known that two people are one.
    pub further: Vec<RecordId>,
    /// Those of them of which nothing in the CRM asks anybody to merge them.
    pub untold: Vec<RecordId>,
    /// Deals we know of: record, the contact it is on, when we linked it.
    pub deals: Vec<(RecordId, Option<RecordId>, Timestamp)>,
    /// E.164 phones attached to them, oldest first.
    pub phones: Vec<String>,
    /// Email addresses attached to them, oldest first.
    pub emails: Vec<String>,
    /// Leads that were kept as ours and nobody took along yet, oldest first.
    pub kept: Vec<(SyncId, Lead)>,
}

/// A plan to be stored before its first step is sent.
#[derive(Clone, Debug)]
pub struct PlanToStore {
    /// Whose plan.
    pub sync: SyncId,
    /// Whose it was when it was decided.
    pub person: PersonId,
    /// The plan.
    pub plan: Plan,
    /// Whether an earlier plan of it may be stored, of which nothing was sent.
    pub replaces: bool,
    /// The owner pool that took a turn, by name, and the turn.
    pub turn: Option<(String, Turn)>,
    /// The contact that was found and is ours from now on.
    pub adopt: Option<RecordId>,
    /// Kept leads that go along.
    pub carried: Vec<SyncId>,
    /// Further contacts of the person, each with the step that asks somebody to merge it.
    pub told: Vec<(RecordId, StepId)>,
    /// What the CRM had, where a call may ask for it.
    pub found: Option<Json>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum StepEnd {
    /// Written: the record, and the link it makes.
    Done {
        /// The record it made or changed.
        record: RecordId,
        /// For a created contact or deal: its kind, and the contact a deal is on.
        link: Option<(RecordKind, Option<RecordId>)>,
    },
    /// Surely not written; it may be sent again.
    NotWritten(String),
    /// Looked for once the CRM had settled, and not there: it is sent again, and looked for once more long after.
    NotThere {
        /// What was looked for, with every reference that is known by now.
        action: Action,
        /// When to look once more.
        audit_at: Timestamp,
    },
    /// Nobody knows.
    Unknown(String),
    /// Refused for good.
    Rejected(String),
}

/// How a sync goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays in the hands of this process.
    Continue,
    /// It is put down.
    Release {
        /// Where it stands now.
        state: SyncState,
        /// Why, for people.
        why: Option<Reason>,
        /// When somebody looks again; meaningless for final states.
        next_at: Timestamp,
        /// Failed tries since the last progress.
        attempts: i64,
    },
}

/// The statement behind [`Store::next_due`]: one seek, however many syncs wait.
pub(super) fn next_due() -> String {
    format!("SELECT MIN(next_at) FROM syncs WHERE destination = $1 AND next_at > $2 AND {OPEN}")
}

impl Store {
    /// Claims syncs that are due: at most one per person, the oldest first, live before backfill; none of `in_hand`, which
    /// the caller is not done with, whatever the database says of them.
    pub async fn claim(
        &self,
        lease: &Lease,
        mode: Mode,
        now: Timestamp,
        limit: usize,
        in_hand: Vec<SyncId>,
    ) -> Result<Vec<Claimed>, StoreError> {
        let claim = Claim {
            lease: lease.clone(),
            live: mode == Mode::Live,
            now: now.as_millisecond(),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            in_hand,
        };
        self.write(claim).await
    }

    /// When the next open sync is due that is not due yet.
    pub async fn next_due(&self, destination: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.read(&next_due(), args![destination, now.as_millisecond()]).await?;
        rows.first().map_or(Ok(None), |row| row.optional_timestamp(0))
    }

    /// To whom these contacts are linked at a destination.
    pub async fn linked_persons(
        &self,
        destination: &str,
        contacts: &[RecordId],
    ) -> Result<Vec<(RecordId, PersonId)>, StoreError> {
        if contacts.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT record, person FROM links WHERE destination = $1 AND kind = 'contact' AND record IN ({})",
            list(2, contacts.len())
        );
        let mut arguments = args![destination];
        arguments.extend(contacts.iter().map(|contact| Arg::from(contact.0.as_str())));
        let rows = self.read(&sql, arguments).await?;
        rows.iter().map(|row| Ok((RecordId(row.text(0)?), row.id(1)?))).collect()
    }

    /// When we last left a task for this person here.
    pub async fn last_task(
        &self,
        person: PersonId,
        destination: &str,
    ) -> Result<Option<Timestamp>, StoreError> {
        let rows = self
            .read(
                "SELECT MAX(steps.ended_at) FROM syncs JOIN steps ON steps.sync = syncs.id \
                 WHERE syncs.person = $1 AND syncs.destination = $2 AND steps.kind = 'create task' \
                   AND steps.state = 'done'",
                args![person, destination],
            )
            .await?;
        rows.first().map_or(Ok(None), |row| row.optional_timestamp(0))
    }

    /// Puts down those of these syncs that are still claimed under this lease.
    pub async fn put_down_abandoned(
        &self,
        lease: &Lease,
        abandoned: Abandoned,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(PutDownAbandoned { lease: lease.clone(), abandoned, now: now.as_millisecond() }).await
    }

    /// Frees every claim under this lease except these; returns how many there were.
    pub async fn free_claims_except(&self, lease: &Lease, held: Vec<SyncId>) -> Result<u64, StoreError> {
        self.write(FreeClaims { lease: lease.clone(), held }).await
    }

    /// Forgets a link whose record the CRM no longer has.
    pub async fn drop_link(&self, lease: &Lease, contact: RecordId) -> Result<(), StoreError> {
        self.write(DropLink { lease: lease.clone(), contact }).await
    }

    /// Makes two people one on the evidence of a CRM record, and puts the sync back into the queue of the one who stays.
    pub async fn merge_on_evidence(
        &self,
        lease: &Lease,
        evidence: Evidence,
        clock: std::sync::Arc<dyn Clock>,
    ) -> Result<(), StoreError> {
        self.write(MergeOnEvidence { lease: lease.clone(), evidence, clock }).await
    }
}

/// Syncs that a task had in its hands when it ended abnormally.
#[derive(Clone, Debug)]
pub struct Abandoned {
    /// Which; those that were put down before it ended stay as they are.
    pub syncs: Vec<SyncId>,
    /// What happened, for people.
    pub why: Reason,
    /// When they are tried again.
    pub next_at: Timestamp,
    /// With so many failed tries, this one included, a person must look instead.
    pub most_attempts: i64,
}

/// A CRM record that says that two people are one.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The sync that found it.
    pub sync: SyncId,
    /// The person of that sync, who has no record of their own.
    pub from: PersonId,
    /// The person the record is linked to.
    pub into: PersonId,
    /// The record.
    pub record: RecordId,
}
