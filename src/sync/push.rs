//! Pushing: the steps of stored plans, wave by wave, with every outcome stored before the next wave. Decides nothing.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::journal::SentJournal;
use super::records::Held;
use super::{Worker, backoff};
use crate::clock::later;
use crate::crm::{Outcome, Remaining};
use crate::failpoint::failpoint;
use crate::id::{StepId, SyncId};
use crate::plan::{Action, Call, Reason, RecordId, RecordKind, Reference, Step};
use crate::store::StoreError;
use crate::store::ledger::Entry;
use crate::store::syncs::{Claimed, Next, StepEnd, StepState, StoredStep, SyncState};
use crate::telemetry::metric;

/// After this many failures that are the lead's own, a person must look.
const MOST_ATTEMPTS: i64 = 20;
/// While the database does not take an outcome, it is offered again this often.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// What handling one sync said about the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The CRM answered as it should.
    Worked,
    /// The CRM was not asked.
    Untouched,
    /// It did not, and may later.
    Failed(String),
    /// It does not accept our credentials.
    Refused(String),
}

/// A sync with a stored plan, in our hands.
pub(super) struct Job {
    pub(super) claimed: Claimed,
    pub(super) steps: Vec<StoredStep>,
    /// When the plan was stored, for a plan of which nothing was sent yet.
    pub(super) decided: Option<Instant>,
    /// Steps that are sent again although nobody knows whether the last time wrote them.
    pub(super) in_doubt: HashSet<StepId>,
    /// Its records, until it is put down.
    pub(super) _held: Option<Held>,
}

impl Worker {
    /// Brings a batch of claimed syncs as far as it goes now, and puts every one of them down.
    pub(super) async fn process(&self, batch: Vec<Claimed>) -> Vec<Report> {
        // The budget is the holder's alone, for reads as well.
        self.hold.until_sure(&*self.clock).await;
        let mut reports = Vec::with_capacity(batch.len());
        let (under_way, fresh): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|claimed| claimed.steps.iter().any(|step| step.state != StepState::Planned));
        let mut jobs = self.judge(fresh, &mut reports).await;
        jobs.extend(self.look_up_unknown(under_way, &mut reports).await);
        self.push(jobs, &mut reports).await;
        reports
    }

    async fn push(&self, mut jobs: Vec<Job>, reports: &mut Vec<Report>) {
        while !jobs.is_empty() {
            let pins;
            (jobs, pins) = self.draw_pins(jobs, reports).await;
            let journal = SentJournal::new(self, &jobs, pins);
            let filled =
                |job: &Job| job.remaining().into_iter().map(|step| journal.pins().fill(step)).collect();
            let steps: Vec<Vec<Step>> = jobs.iter().map(filled).collect();
            let remaining: Vec<Remaining<'_>> = jobs
                .iter()
                .zip(&steps)
                .map(|(job, steps)| Remaining { sync: job.claimed.id, steps, priority: job.claimed.priority })
                .collect();
            let mut outcomes = self.crm.write(&remaining, &journal).await;
            drop(remaining);
            // An adapter that answers for fewer plans than it was given has broken its contract.
            outcomes.resize_with(jobs.len(), Vec::new);
            let ends = jobs.into_iter().zip(outcomes).map(|(job, outcomes)| {
                let journal = &journal;
                async move { self.take_in(job, outcomes, journal).await }
            });
            jobs = join_all(ends)
                .await
                .into_iter()
                .filter_map(|(job, report)| {
                    reports.push(report);
                    job
                })
                .collect();
        }
    }

    /// Stores the outcomes of one plan; gives the job back while there is more to push.
    async fn take_in(
        &self,
        mut job: Job,
        outcomes: Vec<Outcome>,
        journal: &SentJournal<'_>,
    ) -> (Option<Job>, Report) {
        let now = self.clock.now();
        let mut ends = Vec::with_capacity(outcomes.len());
        let mut report = Report::Worked;
        let mut next = None;
        let mut blocked = None;
        if outcomes.is_empty() {
            let why = "the adapter gave no outcome for this plan; this is a bug of leadfold";
            report = Report::Failed(why.to_owned());
            next = Some(self.try_again(&job, None, why, now));
        }
        let left: Vec<usize> =
            (0..job.steps.len()).filter(|index| job.steps[*index].state != StepState::Done).collect();
        for (index, outcome) in left.into_iter().zip(outcomes) {
            let link = job.link(index);
            let records = job.records();
            let in_doubt = job.in_doubt.contains(&job.steps[index].step.id);
            let stored = &mut job.steps[index];
            match journal.pins().mask(stored.step.id, outcome) {
                Outcome::Done(record) => {
                    stored.state = StepState::Done;
                    stored.record = Some(record.clone());
                    let link = link.map(|(kind, contact)| (kind, contact.and_then(|c| known(&c, &records))));
                    ends.push((stored.step.id, StepEnd::Done { record, link }));
                }
                Outcome::Retry { why, .. } if journal.refused(stored.step.id) => {
                    ends.push((stored.step.id, stored.not_written(in_doubt, &why)));
                    next = Some(self.put_back(&job, "not_sent", &why, now));
                    report = Report::Untouched;
                }
                Outcome::Retry { after, why } => {
                    ends.push((stored.step.id, stored.not_written(in_doubt, &why)));
                    next = Some(self.try_again(&job, after, &why, now));
                    report = if after.is_some() { Report::Worked } else { Report::Failed(why) };
                }
                Outcome::Unknown { why } => {
                    let sent_at = journal.sent_at(stored.step.id).unwrap_or(now);
                    ends.push((stored.step.id, StepEnd::Unknown(why.clone())));
                    next = Some(self.look_up_later(&job, sent_at, &why, now));
                    report = Report::Failed(why);
                }
                Outcome::UnderWay { after, why } => {
                    let text = format!("'{}' is at work on it: {why}", self.destination.name);
                    ends.push((stored.step.id, StepEnd::Unknown(why)));
                    next = Some(Next::Release {
                        state: SyncState::Unknown,
                        why: Some(Reason::new("under_way", text)),
                        next_at: later(now, after),
                        attempts: job.claimed.attempts,
                    });
                }
                Outcome::Rejected { why } => {
                    let kind = stored.step.action.kind().as_str();
                    let end = if in_doubt { StepEnd::Unknown } else { StepEnd::Rejected };
                    let there = if self.bot.is_some() { "there" } else { "in the CRM" };
                    ends.push((stored.step.id, end(why.clone())));
                    next = Some(attention(
                        "crm_rejected",
                        format!(
                            "'{}' refuses to {kind}: {why}. Correct it {there} and run `leadfold replay {} --resume`, or \
                             in the mapping and run it with --replan.",
                            self.destination.name, job.claimed.lead_id
                        ),
                        now,
                    ));
                }
                Outcome::Unreachable { why } => {
                    let text = format!("'{}' cannot reach this chat: {why}", self.destination.name);
                    if let Action::Call { call: Call { chat: Some(chat), .. } } = &stored.step.action {
                        blocked = chat.scope.clone().map(|scope| (scope, chat.id.clone(), why.clone()));
                    }
                    ends.push((stored.step.id, StepEnd::Rejected(why)));
                    let why = Some(Reason::new("chat_blocked", text));
                    next = Some(Next::Release { state: SyncState::Filtered, why, next_at: now, attempts: 0 });
                }
                Outcome::Unauthorised { why } => {
                    ends.push((stored.step.id, stored.not_written(in_doubt, &why)));
                    next = Some(self.put_back(&job, "unauthorised", &why, now));
                    report = Report::Refused(why);
                }
            }
            if next.is_some() {
                break;
            }
        }
        let finished = job.steps.iter().all(|step| step.state == StepState::Done);
        let next = match next {
            Some(next) => next,
            None if finished => {
                info!(lead = %job.claimed.lead_id, destination = self.destination.name, steps = job.steps.len(), "synced");
                Next::Release { state: SyncState::Synced, why: None, next_at: now, attempts: 0 }
            }
            None => Next::Continue,
        };
        if let Some((scope, chat, why)) = blocked {
            // Before the end is stored, so that there is no such end of which the chat does not know.
            self.insist(job.claimed.id, || self.store.mark_chat_blocked(&scope, &chat, &why, now)).await;
        }
        let goes_on = next == Next::Continue;
        let is_over = matches!(&next, Next::Release { state, .. } if !state.is_open());
        self.store_outcomes(job.claimed.id, ends, next).await;
        if is_over {
            self.forget_pin(&job.claimed).await;
        }
        if goes_on {
            failpoint!("sync.outcome");
        } else if finished {
            failpoint!("sync.synced");
        }
        (goes_on.then_some(job), report)
    }

    /// Puts a sync down to be tried again, or before a person when it failed too often by its own fault.
    pub(super) fn try_again(&self, job: &Job, after: Option<Duration>, why: &str, now: Timestamp) -> Next {
        self.try_again_as(&job.claimed, job.resting_state(), after, why, now)
    }

    pub(super) fn try_again_as(
        &self,
        claimed: &Claimed,
        state: SyncState,
        after: Option<Duration>,
        why: &str,
        now: Timestamp,
    ) -> Next {
        // A rate limit and a destination that is down as a whole are no fault of this lead.
        let counts = after.is_none() && self.breaker().blames_the_lead();
        let attempts = claimed.attempts + i64::from(counts);
        if attempts >= MOST_ATTEMPTS {
            return attention(
                "crm_keeps_failing",
                format!(
                    "'{}' failed {attempts} times on this lead, last with: {why}. Look at the CRM, then `leadfold replay {} \
                     --resume`.",
                    self.destination.name, claimed.lead_id
                ),
                now,
            );
        }
        let spread = u64::from_le_bytes(first_bytes(claimed.id));
        let wait = after.unwrap_or_else(|| backoff::wait(attempts, spread));
        Next::Release {
            state,
            why: Some(Reason::new("retry", format!("'{}': {why}", self.destination.name))),
            next_at: later(now, wait),
            attempts,
        }
    }

    /// Puts a sync down as it is; the destination's pause says when it goes on.
    pub(super) fn put_back(&self, job: &Job, code: &str, why: &str, now: Timestamp) -> Next {
        Next::Release {
            state: job.resting_state(),
            why: Some(Reason::new(code, format!("'{}': {why}", self.destination.name))),
            next_at: now,
            attempts: job.claimed.attempts,
        }
    }

    /// Puts a sync down until the CRM has settled, or before a person when too many answers were lost by its own fault: a
    /// CRM whose answers and searches both hide what it writes would be written to for ever.
    pub(super) fn look_up_later(&self, job: &Job, sent_at: Timestamp, why: &str, now: Timestamp) -> Next {
        let attempts = job.claimed.attempts + i64::from(self.breaker().blames_the_lead());
        if attempts >= MOST_ATTEMPTS {
            let (name, lead) = (&self.destination.name, job.claimed.lead_id);
            let text = format!(
                "'{name}' was written to {attempts} times for this lead and never said what it made, last with: {why}. Look \
                 there for copies, find out with `leadfold doctor {name} --phone …` why they are not found, then `leadfold replay \
                 {lead} --resume`."
            );
            return attention("never_confirmed", text, now);
        }
        Next::Release {
            state: SyncState::Unknown,
            why: Some(Reason::new(
                "unknown_outcome",
                format!("'{}' gave no answer ({why}); looked up once it has settled.", self.destination.name),
            )),
            next_at: later(sent_at, self.settle()),
            attempts,
        }
    }

    /// Stores outcomes, offering them again while the database does not take them: the CRM has done its part already.
    pub(super) async fn store_outcomes(&self, sync: SyncId, ends: Vec<(StepId, StepEnd)>, next: Next) {
        let end = match &next {
            Next::Release { state, .. } if !state.is_open() => Some(*state),
            Next::Release { .. } | Next::Continue => None,
        };
        let entry = Arc::new(Entry::Outcomes { sync, steps: ends, next });
        self.insist(sync, || self.ledger.enter(Arc::clone(&entry), self.clock.now())).await;
        if let Some(state) = end {
            self.count_end(state);
        }
    }

    /// Counts a sync that came to its end.
    pub(super) fn count_end(&self, state: SyncState) {
        let destination = self.destination.name.clone();
        metrics::counter!(metric::SYNCS, "destination" => destination, "state" => state.as_str())
            .increment(1);
    }

    /// Repeats a write until it is stored, or gives `None` when the lease is lost (then the new holder looks the step up, and
    /// this worker is dropped).
    pub(super) async fn insist<F, T>(&self, sync: SyncId, write: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            match write().await {
                Ok(stored) => return Some(stored),
                Err(failure) if failure.is_final() => {
                    self.hold.lose();
                    return None;
                }
                Err(failure) => {
                    if failure.is_news() {
                        error!(%sync, %failure, "STORAGE FAILURE: what became of a sync could not be stored; tried again");
                    }
                    sleep(STORE_AGAIN).await;
                }
            }
        }
    }
}

impl StoredStep {
    /// The end of a try that surely wrote nothing. An earlier try may have: then the step stays in doubt, because a plan
    /// that is dropped and made anew would write it once more under another id.
    fn not_written(&mut self, in_doubt: bool, why: &str) -> StepEnd {
        self.state = if in_doubt { StepState::Unknown } else { StepState::Planned };
        if in_doubt { StepEnd::Unknown(why.to_owned()) } else { StepEnd::NotWritten(why.to_owned()) }
    }
}

impl Job {
    /// Steps that are not done, with references to records that are known by now.
    fn remaining(&self) -> Vec<Step> {
        let records = self.records();
        self.steps
            .iter()
            .filter(|stored| stored.state != StepState::Done)
            .map(|stored| Step {
                id: stored.step.id,
                action: with_records(stored.step.action.clone(), &records),
            })
            .collect()
    }

    pub(super) fn records(&self) -> HashMap<StepId, RecordId> {
        self.steps.iter().filter_map(|stored| Some((stored.step.id, stored.record.clone()?))).collect()
    }

    /// The link that a step makes when it is done: what it creates, and the contact a deal is on.
    pub(super) fn link(&self, index: usize) -> Option<(RecordKind, Option<Reference>)> {
        match &self.steps.get(index)?.step.action {
            Action::CreateContact { .. } => Some((RecordKind::Contact, None)),
            Action::CreateDeal { contact, .. } => Some((RecordKind::Deal, Some(contact.clone()))),
            Action::UpdateContact { .. }
            | Action::UpdateDeal { .. }
            | Action::CreateTask { .. }
            | Action::AddNote { .. }
            | Action::Call { .. } => None,
        }
    }

    /// A plan of which something was sent goes on as it is; any other is decided anew.
    fn resting_state(&self) -> SyncState {
        if self.steps.iter().any(|step| step.state != StepState::Planned) {
            SyncState::Pushing
        } else {
            SyncState::Ready
        }
    }
}

/// The record that a reference names, when it is known.
pub(super) fn known(reference: &Reference, records: &HashMap<StepId, RecordId>) -> Option<RecordId> {
    match reference {
        Reference::Record(record) => Some(record.clone()),
        Reference::Step(step) => records.get(step).cloned(),
    }
}

/// The action with every reference that is known by now turned into a record.
pub(super) fn with_records(action: Action, records: &HashMap<StepId, RecordId>) -> Action {
    let resolve = |reference: Reference| known(&reference, records).map_or(reference, Reference::Record);
    match action {
        Action::CreateDeal { contact, deal } => Action::CreateDeal { contact: resolve(contact), deal },
        Action::CreateTask { contact, deal, task } => {
            Action::CreateTask { contact: resolve(contact), deal: deal.map(resolve), task }
        }
        Action::AddNote { contact, deal, text } => {
            Action::AddNote { contact: resolve(contact), deal: deal.map(resolve), text }
        }
        other @ (Action::CreateContact { .. }
        | Action::UpdateContact { .. }
        | Action::UpdateDeal { .. }
        | Action::Call { .. }) => other,
    }
}

/// The end of a sync before a person.
pub(super) fn attention(code: &str, text: String, now: Timestamp) -> Next {
    Next::Release {
        state: SyncState::NeedsAttention,
        why: Some(Reason::new(code, text)),
        next_at: now,
        attempts: 0,
    }
}

/// Bytes that differ between leads.
fn first_bytes(id: SyncId) -> [u8; 8] {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(id.0.as_bytes().iter().rev()) {
        *to = *from;
    }
    bytes
}
