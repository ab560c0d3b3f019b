//! From a claimed lead to a stored plan: our own link first, the CRM's search second, then `decide`.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::candidates::Candidates;
use super::push::{Job, Report, attention};
use super::records::Look;
use super::{Worker, calls};
use crate::clock::later;
use crate::crm::{CrmError, Found, Query};
use crate::decide::{Brought, Decision, PersonView, Situation, decide};
use crate::failpoint::failpoint;
use crate::id::StepId;
use crate::map::Workspace;
use crate::plan::{Action, FoundContact, Plan, Priority, Reason, RecordId, Reference, Step};
use crate::rules::{Mode, TaskOnRepeat, Turn};
use crate::store::StoreError;
use crate::store::ledger::Entry;
use crate::store::syncs::{Claimed, Next, PersonContext, PlanToStore, StepState, StoredStep, SyncState};

/// How soon a lead whose record is in other hands looks again.
const RECORD_TAKEN: Duration = Duration::from_millis(200);

/// Why a lead was put down without a plan.
type PutDown = Report;

impl Worker {
    /// Decides fresh leads; gives back those whose plan is stored and is to be pushed.
    pub(super) async fn judge(&self, batch: Vec<Claimed>, reports: &mut Vec<Report>) -> Vec<Job> {
        if batch.is_empty() {
            return Vec::new();
        }
        if self.bot.is_some() {
            return self.judge_calls(batch, reports).await;
        }
        let look = self.records.look();
        let queries: Vec<Query> = batch.iter().map(query).collect();
        let asked: Vec<bool> = queries.iter().map(|query| !is_empty(query)).collect();
        let found = self.find(&queries).await;
        failpoint!("sync.searched");
        let judged = batch.into_iter().zip(found).map(|(claimed, found)| async move {
            match found {
                Ok(found) => self.judge_one(claimed, found, look).await,
                Err(error) => Err(self.not_found_out(&claimed, error).await),
            }
        });
        let mut jobs = Vec::new();
        for (asked, judged) in asked.into_iter().zip(join_all(judged).await) {
            match judged {
                Ok(job) => jobs.push(job),
                // Who is not looked for says nothing about the health of the CRM.
                Err(Report::Worked) if !asked => reports.push(Report::Untouched),
                Err(report) => reports.push(report),
            }
        }
        jobs
    }

    /// One answer per lead. Who has neither link nor phone nor email is not looked for.
    async fn find(&self, queries: &[Query]) -> Vec<Result<Found, CrmError>> {
        let asked: Vec<Query> = queries.iter().filter(|query| !is_empty(query)).cloned().collect();
        let mut answers = if asked.is_empty() { Vec::new() } else { self.crm.find(&asked).await }.into_iter();
        queries
            .iter()
            .map(|query| {
                if is_empty(query) {
                    return Ok(Found::default());
                }
                answers.next().unwrap_or_else(|| {
                    Err(CrmError::Rejected {
                        why: "the adapter gave no answer; this is a bug of leadfold".to_owned(),
                    })
                })
            })
            .collect()
    }

    async fn not_found_out(&self, claimed: &Claimed, error: CrmError) -> PutDown {
        let now = self.clock.now();
        let (next, report) = match error {
            CrmError::Retry { after, why } => (
                self.try_again_as(claimed, SyncState::Ready, after, &why, now),
                if after.is_some() { Report::Worked } else { Report::Failed(why) },
            ),
            CrmError::Unauthorised { why } => (self.ready(claimed, Duration::ZERO), Report::Refused(why)),
            CrmError::Rejected { why } => {
                let text = format!(
                    "'{}' cannot be searched for this person: {why}. Correct the destination in workspace.yaml, then \
                     `leadfold replay {} --resume`.",
                    self.destination.name, claimed.lead_id
                );
                (attention("search_rejected", text, now), Report::Worked)
            }
        };
        self.store_outcomes(claimed.id, Vec::new(), next).await;
        report
    }

    async fn judge_one(&self, mut claimed: Claimed, found: Found, look: Look) -> Result<Job, PutDown> {
        let mut context = std::mem::take(&mut claimed.context);
        let mut ids: Vec<RecordId> = found.contacts.iter().map(|contact| contact.id.clone()).collect();
        ids.extend(context.contact.clone());
        ids.extend(context.further.iter().cloned());
        let Some(held) = self.records.take(ids, look) else {
            self.store_outcomes(claimed.id, Vec::new(), self.ready(&claimed, RECORD_TAKEN)).await;
            return Err(Report::Worked);
        };
        if found.link_is_gone
            && let Some(gone) = context.contact.take()
        {
            context.deals.retain(|(_, contact, _)| contact.as_ref() != Some(&gone));
            self.insist(claimed.id, || self.store.drop_link(&self.lease, gone.clone())).await;
            failpoint!("sync.unlinked");
            if !context.further.is_empty() {
                // The person has another contact of ours, and that one was not looked at.
                self.store_outcomes(claimed.id, Vec::new(), self.ready(&claimed, Duration::ZERO)).await;
                return Err(Report::Worked);
            }
        }
        if let Err(error) = self.forget_merged(&claimed, &mut context).await {
            return Err(self.not_found_out(&claimed, error).await);
        }
        let prepared = match self.candidates(&claimed, &context, found).await {
            Ok(Candidates::Ours(contacts, conflicts)) => {
                self.plan(&claimed, &context, contacts, conflicts).await
            }
            Ok(Candidates::Another(evidence)) => {
                self.insist(claimed.id, || {
                    self.store.merge_on_evidence(&self.lease, evidence.clone(), Arc::clone(&self.clock))
                })
                .await;
                failpoint!("sync.joined");
                return Err(Report::Worked);
            }
            Err(failure) => Err(failure),
        };
        match prepared {
            Ok(Some(plan)) => Ok(Job {
                steps: plan
                    .steps
                    .into_iter()
                    .map(|step| StoredStep { step, state: StepState::Planned, record: None, sent_at: None })
                    .collect(),
                claimed,
                decided: Some(Instant::now()),
                in_doubt: HashSet::new(),
                _held: Some(held),
            }),
            Ok(None) => Err(Report::Worked),
            Err(failure) => Err(self.storage_failed(&claimed, &failure).await),
        }
    }

    /// Decides and stores. `None`: the sync was put down, there is nothing to push.
    async fn plan(
        &self,
        claimed: &Claimed,
        context: &PersonContext,
        contacts: Vec<FoundContact>,
        conflicts: Vec<Reason>,
    ) -> Result<Option<Plan>, StoreError> {
        let workspace = self.versions.get(&claimed.version).await?;
        let now = self.clock.now();
        let Some(rules) = workspace.rules(&claimed.lead.source, claimed.branch) else {
            let text = format!(
                "The mapping that made this lead (version {}) can no longer be read; `leadfold replay {} --replan` maps it \
                 by the active one.",
                claimed.version, claimed.lead_id
            );
            self.store_outcomes(claimed.id, Vec::new(), attention("mapping_unreadable", text, now)).await;
            return Ok(None);
        };
        let last_task_at = match rules.task_on_repeat {
            TaskOnRepeat::Collapse(_) => self.store.last_task(claimed.person, &self.destination.name).await?,
            TaskOnRepeat::Always | TaskOnRepeat::Never => None,
        };
        // Only then there can be anything: live leads come in their order, and once.
        let (texts, superseded) = if claimed.priority == Priority::Backfill {
            self.store.history(claimed.id).await?
        } else {
            (Vec::new(), false)
        };
        let brought = claimed.brought.then_some(Brought { notes: texts });
        let person = PersonView {
            phones: context.phones.clone(),
            emails: context.emails.clone(),
            earlier: context.kept.iter().map(|(_, lead)| lead.clone()).collect(),
        };
        let inactive = self.inactive();
        let decision = self.decide(
            claimed,
            &workspace,
            &Situation {
                lead: &claimed.lead,
                rules,
                order: &workspace.identity.order,
                person: &person,
                found: &contacts,
                linked: context.contact.as_ref(),
                twins: &context.untold,
                conflicts: &conflicts,
                pool: None,
                inactive: &inactive,
                sticky_owner: claimed.owner.as_deref(),
                last_task_at,
                superseded,
                brought: brought.as_ref(),
                forced: claimed.forced,
                can: self.crm.capabilities(),
                now,
            },
        );
        let (plan, turn) = match decision {
            Decision::Push { plan, .. } if !self.writes(claimed) => {
                let hold = Arc::new(Entry::Hold { sync: claimed.id, person: claimed.person, plan });
                self.insist(claimed.id, || self.ledger.enter(Arc::clone(&hold), now)).await;
                failpoint!("sync.held");
                return Ok(None);
            }
            Decision::Push { plan, turn } => (plan, turn),
            Decision::Filtered(reason) => {
                let found = calls::found(claimed, None, &contacts);
                self.end_without_plan(claimed, SyncState::Filtered, reason, now, found).await;
                return Ok(None);
            }
            Decision::Waiting { until, reason } => {
                self.end_without_plan(claimed, SyncState::Waiting, reason, until, None).await;
                return Ok(None);
            }
            Decision::NeedsAttention { mut reason, todo } => {
                reason.text = format!("{} {todo}", reason.text);
                self.end_without_plan(claimed, SyncState::NeedsAttention, reason, now, None).await;
                return Ok(None);
            }
        };
        let turn = claimed.lead.owners.clone().zip(turn);
        let to_store = PlanToStore {
            sync: claimed.id,
            person: claimed.person,
            replaces: !claimed.steps.is_empty(),
            adopt: adopted(&plan, &contacts, context),
            turn: turn.clone(),
            carried: context.kept.iter().map(|(sync, _)| *sync).collect(),
            told: told(&plan, context),
            found: calls::found(claimed, Some(&plan), &contacts),
            plan: plan.clone(),
        };
        let entry = Arc::new(Entry::Plan(to_store));
        if self.insist(claimed.id, || self.ledger.enter(Arc::clone(&entry), now)).await != Some(true) {
            // The lead is somebody else's by now and back in the queue, or another process's.
            self.give_back(turn);
            return Ok(None);
        }
        failpoint!("sync.planned");
        if plan.steps.is_empty() {
            self.count_end(SyncState::Synced);
            return Ok(None);
        }
        Ok(Some(plan))
    }

    /// Puts a sync down with a decision that is no plan, unless it has become another person's since.
    pub(super) async fn end_without_plan(
        &self,
        claimed: &Claimed,
        state: SyncState,
        why: Reason,
        next_at: Timestamp,
        found: Option<Json>,
    ) {
        let next = Next::Release { state, why: Some(why), next_at, attempts: claimed.attempts };
        let (sync, person) = (claimed.id, claimed.person);
        let verdict = Arc::new(Entry::Verdict { sync, person, next, found });
        let enter = || self.ledger.enter(Arc::clone(&verdict), self.clock.now());
        let taken = self.insist(claimed.id, enter).await == Some(true);
        failpoint!("sync.judged");
        if taken && !state.is_open() {
            self.count_end(state);
        }
    }

    /// Decides with the pool's memory, and moves that memory on before anybody else decides.
    fn decide(&self, claimed: &Claimed, workspace: &Workspace, situation: &Situation<'_>) -> Decision {
        let mut new_step_id = || StepId(self.clock.new_id());
        // Who is there is known to the workspace of now; a pool that it lost is as it was for the lead's own version.
        let active = self.active.borrow().clone();
        let pool = claimed.lead.owners.as_ref();
        let pool = pool.and_then(|name| {
            active
                .as_deref()
                .and_then(|active| active.owner_pools.get(name))
                .or_else(|| workspace.owner_pools.get(name))
        });
        let Some(pool) = pool else { return decide(situation, &mut new_step_id) };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let state = pools.entry(pool.name.clone()).or_default();
        let decision = decide(&Situation { pool: Some((pool, state)), ..*situation }, &mut new_step_id);
        // A preview (mode observe) leaves the memory alone.
        if let Decision::Push { turn: Some(turn), .. } = &decision
            && self.writes(claimed)
        {
            state.take(turn);
        }
        decision
    }

    /// Takes a turn back whose plan was not stored.
    fn give_back(&self, turn: Option<(String, Turn)>) {
        let Some((pool, turn)) = turn else { return };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(pool).or_default().give_back(&turn);
    }

    /// Whether this lead's plan is pushed, and not only made and explained.
    pub(super) fn writes(&self, claimed: &Claimed) -> bool {
        self.destination.mode == Mode::Live || claimed.let_through
    }

    fn ready(&self, claimed: &Claimed, wait: Duration) -> Next {
        Next::Release {
            state: SyncState::Ready,
            why: None,
            next_at: later(self.clock.now(), wait),
            attempts: claimed.attempts,
        }
    }

    pub(super) async fn storage_failed(&self, claimed: &Claimed, failure: &StoreError) -> PutDown {
        if failure.is_final() {
            self.hold.lose();
            return Report::Untouched;
        }
        tracing::error!(sync = %claimed.id, %failure, "STORAGE FAILURE: a lead could not be decided; it is tried again");
        self.store_outcomes(claimed.id, Vec::new(), self.ready(claimed, Duration::from_secs(1))).await;
        Report::Untouched
    }
}

fn query(claimed: &Claimed) -> Query {
    let context = &claimed.context;
    let leads = || std::iter::once(&claimed.lead).chain(context.kept.iter().map(|(_, lead)| lead));
    Query {
        contact: context.contact.clone(),
        phones: context.phones.clone(),
        emails: context.emails.clone(),
        contact_fields: leads().flat_map(|lead| lead.contact.fields.keys().cloned()).collect(),
        deal_fields: claimed.lead.deal.fields.keys().cloned().collect(),
        priority: claimed.priority,
    }
}

fn is_empty(query: &Query) -> bool {
    query.contact.is_none() && query.phones.is_empty() && query.emails.is_empty()
}

/// The person's further contacts that a plan asks somebody to merge, each with the step that does.
fn told(plan: &Plan, context: &PersonContext) -> Vec<(RecordId, StepId)> {
    let asks = |step: &Step, twin: &RecordId| match &step.action {
        Action::CreateTask { contact: Reference::Record(contact), .. }
        | Action::AddNote { contact: Reference::Record(contact), .. } => *contact == *twin,
        Action::CreateContact { .. }
        | Action::UpdateContact { .. }
        | Action::CreateDeal { .. }
        | Action::UpdateDeal { .. }
        | Action::CreateTask { .. }
        | Action::AddNote { .. }
        | Action::Call { .. } => false,
    };
    let twins = context.untold.iter();
    twins
        .filter_map(|twin| Some((twin.clone(), plan.steps.iter().find(|step| asks(step, twin))?.id)))
        .collect()
}

/// The contact that a plan works on and that was not linked before.
fn adopted(plan: &Plan, contacts: &[FoundContact], context: &PersonContext) -> Option<RecordId> {
    let worked_on = plan.steps.iter().find_map(|step| match &step.action {
        Action::UpdateContact { contact, .. }
        | Action::CreateDeal { contact: Reference::Record(contact), .. }
        | Action::CreateTask { contact: Reference::Record(contact), .. }
        | Action::AddNote { contact: Reference::Record(contact), .. } => Some(contact.clone()),
        Action::CreateContact { .. }
        | Action::UpdateDeal { .. }
        | Action::CreateDeal { .. }
        | Action::CreateTask { .. }
        | Action::AddNote { .. }
        | Action::Call { .. } => None,
    });
    let worked_on = worked_on.filter(|contact| !context.further.contains(contact));
    let only = || match contacts {
        [only] => Some(only.id.clone()),
        _ => None,
    };
    let creates = plan.steps.iter().any(|step| matches!(step.action, Action::CreateContact { .. }));
    worked_on
        .or_else(|| if creates { None } else { only() })
        .filter(|found| context.contact.as_ref() != Some(found))
}
