//! The queue of a destination: claiming syncs, storing plans before they are pushed, and what became of every step.
//!
//! Every write here belongs to the holder of the destination's lease: it bumps the lease row where the epoch is its own,
//! and a process that lost the lease can record nothing.

use jiff::Timestamp;

use super::claims::{Claim, FreeClaims, PutDownAbandoned};
use super::prepare::timestamp;
use super::sql::{Arg, args, list};
use super::sync_work::{DropLink, Hold, MarkSent, MergeOnEvidence, StoreOutcomes, StorePlan, TakeLease};
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::id::{LeadId, PersonId, StepId, SyncId};
use crate::lead::Lead;
use crate::plan::{Action, Plan, Priority, Reason, RecordId, RecordKind, Step};
use crate::rules::{Mode, Turn};

/// Where a sync stands. See the schema for who looks at which.
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

    /// Whether the worker of the destination looks at it again by itself.
    pub fn is_open(self) -> bool {
        match self {
            Self::Ready | Self::Pushing | Self::Unknown | Self::Waiting => true,
            Self::Held | Self::Synced | Self::Filtered | Self::NeedsAttention => false,
        }
    }
}

/// The right to push to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Name of the destination.
    pub destination: String,
    /// Which holding of the lease this is.
    pub epoch: i64,
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
#[derive(Clone, Debug, Default)]
pub struct PersonContext {
    /// Whose the sync is now; somebody else than at the claim when two people have become one since.
    pub person: Option<PersonId>,
    /// Our link to their contact.
    pub contact: Option<RecordId>,
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
    /// The owner pool that took a turn, by name, and the turn.
    pub turn: Option<(String, Turn)>,
    /// The contact that was found and is ours from now on.
    pub adopt: Option<RecordId>,
    /// Kept leads that go along.
    pub carried: Vec<SyncId>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl Store {
    /// Takes the lease of a destination. Everything an earlier holder had in its hands is free again.
    pub async fn take_lease(&self, destination: &str, holder: &str) -> Result<Lease, StoreError> {
        self.write(TakeLease { destination: destination.to_owned(), holder: holder.to_owned() }).await
    }

    /// Claims syncs that are due: at most one per person, the oldest first, live before backfill.
    pub async fn claim(
        &self,
        lease: &Lease,
        mode: Mode,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        let claim = Claim {
            lease: lease.clone(),
            live: mode == Mode::Live,
            now: now.as_millisecond(),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        };
        self.write(claim).await
    }

    /// When the next open sync is due that is not due yet.
    pub async fn next_due(&self, destination: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let sql =
            format!("SELECT MIN(next_at) FROM syncs WHERE destination = $1 AND next_at > $2 AND {OPEN}");
        let rows = self.read(&sql, args![destination, now.as_millisecond()]).await?;
        rows.first().map(|row| row.optional_int(0)).transpose()?.flatten().map(timestamp).transpose()
    }

    /// What is known at a destination of the person that a sync belongs to now: two people may have become one since it
    /// was claimed.
    pub async fn person_context(&self, sync: SyncId, destination: &str) -> Result<PersonContext, StoreError> {
        let rows = self
            .read(
                "SELECT 'person', person, NULL, 0 FROM syncs WHERE id = $1 \
                 UNION ALL SELECT kind, shown, NULL, first_seen FROM identifiers \
                   WHERE person = (SELECT person FROM syncs WHERE id = $1) \
                     AND kind IN ('phone', 'email') AND shown IS NOT NULL \
                 UNION ALL SELECT 'link ' || kind, record, contact, created_at FROM links \
                   WHERE person = (SELECT person FROM syncs WHERE id = $1) AND destination = $2 \
                 UNION ALL SELECT 'kept', syncs.id, leads.lead, syncs.sequence FROM syncs \
                   JOIN leads ON leads.id = syncs.lead \
                   WHERE syncs.person = (SELECT person FROM syncs WHERE id = $1) AND syncs.destination = $2 \
                     AND syncs.state = 'filtered' AND syncs.why LIKE '{\"code\":\"needs_%' \
                     AND (syncs.carried_by IS NULL OR syncs.carried_by = $1 OR EXISTS ( \
                       SELECT 1 FROM syncs AS carrier WHERE carrier.id = syncs.carried_by \
                         AND carrier.state IN ('filtered', 'needs-attention'))) \
                 ORDER BY 4, 2",
                args![sync, destination],
            )
            .await?;
        let mut context = PersonContext::default();
        for row in &rows {
            match row.text(0)?.as_str() {
                "person" => context.person = Some(row.id(1)?),
                "phone" => context.phones.push(row.text(1)?),
                "email" => context.emails.push(row.text(1)?),
                "link contact" => context.contact = Some(RecordId(row.text(1)?)),
                "link deal" => context.deals.push((
                    RecordId(row.text(1)?),
                    row.optional_text(2)?.map(RecordId),
                    timestamp(row.int(3)?)?,
                )),
                "kept" => context.kept.push((row.id(1)?, row.json(2)?)),
                other => return Err(StoreError::damaged(format!("person context '{other}'"))),
            }
        }
        Ok(context)
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
        rows.first().map(|row| row.optional_int(0)).transpose()?.flatten().map(timestamp).transpose()
    }

    /// What is to be known of a lead that comes after others of the same person, or again: what its own earlier plans left
    /// (texts of notes and tasks), and whether a later lead of the person was brought there before it.
    pub async fn history(&self, sync: SyncId) -> Result<(Vec<String>, bool), StoreError> {
        let rows = self
            .read(
                "SELECT action FROM steps WHERE sync = $1 AND past = 1 AND state = 'done' \
                   AND kind IN ('create task', 'add note') \
                 UNION ALL SELECT 'superseded' FROM syncs JOIN syncs AS later ON later.person = syncs.person \
                   AND later.destination = syncs.destination AND later.sequence > syncs.sequence \
                   WHERE syncs.id = $1 AND later.state = 'synced'",
                args![sync],
            )
            .await?;
        let mut texts = Vec::new();
        let mut superseded = false;
        for row in &rows {
            if row.text(0)? == "superseded" {
                superseded = true;
                continue;
            }
            match row.json::<Action>(0)? {
                Action::AddNote { text, .. } => texts.push(text),
                Action::CreateTask { task, .. } => texts.push(task.text),
                Action::CreateContact { .. }
                | Action::UpdateContact { .. }
                | Action::CreateDeal { .. }
                | Action::UpdateDeal { .. } => {}
            }
        }
        Ok((texts, superseded))
    }

    /// Stores a plan in place of what was planned and not sent. `false`: the sync has become another person's since it was
    /// decided, perhaps of one whose lead is under way, so nothing is stored and it is back in the queue.
    pub async fn store_plan(
        &self,
        lease: &Lease,
        plan: PlanToStore,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(StorePlan { lease: lease.clone(), plan, now: now.as_millisecond() }).await
    }

    /// Stores that these steps are about to be sent.
    pub async fn mark_sent(&self, lease: &Lease, steps: &[StepId], now: Timestamp) -> Result<(), StoreError> {
        self.write(MarkSent { lease: lease.clone(), steps: steps.to_vec(), now: now.as_millisecond() }).await
    }

    /// Stores what became of steps and how their sync goes on.
    pub async fn store_outcomes(
        &self,
        lease: &Lease,
        sync: SyncId,
        steps: Vec<(StepId, StepEnd)>,
        next: Next,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(StoreOutcomes { lease: lease.clone(), sync, steps, next, now: now.as_millisecond() }).await
    }

    /// Stores a plan that is not pushed (mode observe), for people to look at, and puts the sync down.
    pub async fn hold(
        &self,
        lease: &Lease,
        sync: SyncId,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let plan = Plan { reasons: held_reasons(plan), ..plan.clone() };
        self.write(Hold { lease: lease.clone(), sync, plan, now: now.as_millisecond() }).await
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
    /// The sentence for the audit trail.
    pub reason: Reason,
}

fn held_reasons(plan: &Plan) -> Vec<Reason> {
    let steps: Vec<&str> = plan.steps.iter().map(|step| step.action.kind().as_str()).collect();
    let would = if steps.is_empty() {
        "Would write nothing: the CRM has everything.".to_owned()
    } else {
        format!("Would do: {}.", steps.join(", "))
    };
    let mut reasons = vec![Reason::new("observed", would)];
    reasons.extend(plan.reasons.iter().cloned());
    reasons
}
