//! From a claimed lead to the stored plan of a bot: nothing is looked up, its calls are rendered and each gets its chat.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::push::{Job, Report, attention};
use super::{Worker, pins};
use crate::decide::{Chats, Decision, PersonChat, plan_calls};
use crate::failpoint::failpoint;
use crate::id::StepId;
use crate::pipeline::{Late, calls};
use crate::plan::{Action, FoundContact, FoundDeal, Plan, Reason, RecordId, Reference};
use crate::store::StoreError;
use crate::store::calls::found_as_json;
use crate::store::ledger::Entry;
use crate::store::syncs::{Claimed, PlanToStore, StepState, StoredStep, SyncState};

impl Worker {
    /// Plans the calls of fresh leads; gives back those whose plan is stored and is to be pushed.
    pub(super) async fn judge_calls(&self, batch: Vec<Claimed>, reports: &mut Vec<Report>) -> Vec<Job> {
        let planned = batch.into_iter().map(|claimed| async move {
            let plan = self.planned_calls(&claimed).await;
            (claimed, plan)
        });
        let mut jobs = Vec::new();
        for (claimed, plan) in join_all(planned).await {
            match plan {
                Ok(Some(plan)) => {
                    let step =
                        |step| StoredStep { step, state: StepState::Planned, record: None, sent_at: None };
                    jobs.push(Job {
                        steps: plan.steps.into_iter().map(step).collect(),
                        claimed,
                        decided: Some(Instant::now()),
                        in_doubt: HashSet::new(),
                        _held: None,
                    });
                }
                // Nobody was asked, so it says nothing of the bot.
                Ok(None) => reports.push(Report::Untouched),
                Err(failure) => reports.push(self.storage_failed(&claimed, &failure).await),
            }
        }
        jobs
    }

    /// Decides and stores. `None`: the sync was put down, there is nothing to push.
    async fn planned_calls(&self, claimed: &Claimed) -> Result<Option<Plan>, StoreError> {
        let workspace = self.versions.get(&claimed.version).await?;
        let now = self.clock.now();
        let mapping =
            workspace.sources.get(&claimed.lead.source).and_then(|source| source.mapping.as_ref().ok());
        let branch = mapping.and_then(|mapping| Some((mapping, mapping.branches().get(claimed.branch)?)));
        let Some((mapping, branch)) = branch else {
            let text = format!(
                "The mapping that made this lead (version {}) can no longer be read; `leadfold replay {} --replan` maps it \
                 by the active one.",
                claimed.version, claimed.lead_id
            );
            self.store_outcomes(claimed.id, Vec::new(), attention("mapping_unreadable", text, now)).await;
            return Ok(None);
        };
        let facts = self.store.call_facts(claimed.lead_id).await?;
        let person = self.store.person_facts(claimed.person).await?;
        // What a bot serves is as the workspace says it now, like all else of a destination.
        let active = self.active.borrow().clone();
        let serves = active.as_ref().unwrap_or(&workspace).served_by(&self.destination.name);
        let known: Vec<PersonChat> = person.chats.iter().map(PersonChat::from).collect();
        let chats = Chats { bot: &self.destination.name, serves: &serves, known: &known };
        let usual = chats.usual(&claimed.lead, None);
        let fields: serde_json::Map<String, Json> =
            person.fields.iter().map(|(name, field)| (name.clone(), field.value.clone())).collect();
        let pin = pins::asked(&claimed.lead, &workspace).map(|_| pins::stand_in(claimed.id));
        let late = Late {
            person: json!({ "id": claimed.person, "fields": fields, "click": person.click() }),
            found: facts.found,
            crm: facts.crm,
            chat: usual.map_or(
                Json::Null,
                |chat| json!({ "id": chat.id, "channel": chat.channel, "scope": chat.scope }),
            ),
            pin: pin.clone(),
        };
        let mut new_step_id = || StepId(self.clock.new_id());
        let rendered = calls(mapping, branch, &self.destination.name, &claimed.lead, facts.received_at, late);
        let decision = match rendered {
            Ok(calls) => plan_calls(&claimed.lead, calls, chats, &mut new_step_id),
            Err(reason) => Decision::NeedsAttention { reason, todo: String::new() },
        };
        let plan = match decision {
            Decision::Push { plan, .. } if pin.as_ref().is_some_and(|pin| !says_it(&plan, pin)) => {
                let text = format!(
                    "No call for '{}' says the PIN as it is: write `{{{{ pin }}}}` without a filter, and not by way of a \
                     variable, then let the visitor ask for another one.",
                    self.destination.name
                );
                let reason = Reason::new("pin_not_said", text);
                self.end_without_plan(claimed, SyncState::NeedsAttention, reason, now, None).await;
                return Ok(None);
            }
            Decision::Push { plan, .. } if !self.writes(claimed) => {
                let hold = Arc::new(Entry::Hold { sync: claimed.id, person: claimed.person, plan });
                self.insist(claimed.id, || self.ledger.enter(Arc::clone(&hold), now)).await;
                failpoint!("sync.held");
                return Ok(None);
            }
            Decision::Push { plan, .. } => plan,
            Decision::Filtered(reason) => {
                self.end_without_plan(claimed, SyncState::Filtered, reason, now, None).await;
                return Ok(None);
            }
            Decision::Waiting { until, reason } => {
                self.end_without_plan(claimed, SyncState::Waiting, reason, until, None).await;
                return Ok(None);
            }
            Decision::NeedsAttention { reason, todo } => {
                let reason = Reason { text: format!("{} {todo}", reason.text).trim().to_owned(), ..reason };
                self.end_without_plan(claimed, SyncState::NeedsAttention, reason, now, None).await;
                return Ok(None);
            }
        };
        let entry = Arc::new(Entry::Plan(PlanToStore {
            sync: claimed.id,
            person: claimed.person,
            replaces: !claimed.steps.is_empty(),
            plan: plan.clone(),
            turn: None,
            adopt: None,
            carried: Vec::new(),
            told: Vec::new(),
            found: None,
        }));
        let taken =
            self.insist(claimed.id, || self.ledger.enter(Arc::clone(&entry), now)).await == Some(true);
        failpoint!("sync.planned");
        Ok(taken.then_some(plan))
    }
}

/// Whether a call of the plan says the PIN.
fn says_it(plan: &Plan, stand_in: &str) -> bool {
    plan.steps.iter().any(|step| matches!(&step.action, Action::Call { call } if pins::says(call, stand_in)))
}

/// What the CRM had for a lead whose calls may ask for it: the contact that the plan is about, or the best of those found,
/// with the deal that the plan is about, or the first open one.
pub(super) fn found(claimed: &Claimed, plan: Option<&Plan>, contacts: &[FoundContact]) -> Option<Json> {
    if claimed.lead.afterwards.is_empty() {
        return None;
    }
    let actions = || plan.into_iter().flat_map(|plan| &plan.steps).map(|step| &step.action);
    let on: Vec<&RecordId> = actions()
        .flat_map(|action| match action {
            Action::UpdateContact { contact: record, .. }
            | Action::CreateDeal { contact: Reference::Record(record), .. }
            | Action::UpdateDeal { deal: record, .. } => vec![record],
            Action::CreateTask { contact, deal, .. } | Action::AddNote { contact, deal, .. } => {
                let named = [Some(contact), deal.as_ref()].into_iter().flatten();
                named.filter_map(Reference::record).collect()
            }
            Action::CreateContact { .. } | Action::CreateDeal { .. } | Action::Call { .. } => Vec::new(),
        })
        .collect();
    let creates = actions().any(|action| matches!(action, Action::CreateContact { .. }));
    let is_meant = |contact: &&FoundContact| {
        on.contains(&&contact.id) || contact.deals.iter().any(|deal: &FoundDeal| on.contains(&&deal.id))
    };
    let contact = contacts.iter().find(is_meant).or_else(|| contacts.first().filter(|_| !creates));
    let deals = contact.map(|contact| contact.deals.as_slice()).unwrap_or_default();
    let deal = deals.iter().find(|deal| on.contains(&&deal.id)).or_else(|| deals.first());
    Some(found_as_json(contact, deal))
}
