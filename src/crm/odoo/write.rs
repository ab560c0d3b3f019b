//! Writing: the first step of each plan, all of one kind and shape in one `load`.
//!
//! # Why a create may be repeated
//!
//! A row of a create carries an external id made of the step's id. Odoo keeps external ids unique, so of two copies of a
//! row one makes the record and the other meets it; and because the calls say `mode: update, noupdate: true`, a copy that
//! meets the record leaves it as it is. So a repeat can neither double a record nor put back what a salesperson changed
//! in the meantime. (Somebody who deleted it in the meantime gets it again.)
//!
//! # One bad row
//!
//! A `load` writes all of its rows or none. The rows that Odoo names are then sent alone, because it may name an innocent
//! one when the rows only fail together; the others go on together.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::FutureExt as _;
use serde_json::json;

use super::names::Names;
use super::row::{self, MODULE, Row, RowError};
use super::wire::{self, Loaded};
use super::{BATCH, Odoo};
use crate::crm::http::in_parallel;
use crate::crm::{CrmError, Journal, Outcome, Priority, Remaining};
use crate::id::{StepId, SyncId};
use crate::plan::{RecordId, Step, StepKind};

/// The first step of a plan on its way.
struct First<'a> {
    /// Whose place the outcome has.
    plan: usize,
    key: (SyncId, StepId),
    step: &'a Step,
    priority: Priority,
    row: Row,
}

impl Odoo {
    pub(super) async fn write_all(
        &self,
        plans: &[Remaining<'_>],
        journal: &dyn Journal,
    ) -> Vec<Vec<Outcome>> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; plans.len()];
        let mut groups: BTreeMap<(StepKind, Vec<String>), Vec<First<'_>>> = BTreeMap::new();
        for (index, row) in self.rows(plans).await.into_iter().enumerate() {
            let Some((plan, step)) = plans.get(index).and_then(|plan| Some((plan, plan.steps.first()?)))
            else {
                continue;
            };
            match row {
                Ok(row) => {
                    let columns = row.cells.keys().cloned().collect();
                    let key = (plan.sync, step.id);
                    let first = First { plan: index, key, step, priority: plan.priority, row };
                    groups.entry((step.action.kind(), columns)).or_default().push(first);
                }
                Err(outcome) => outcomes[index] = Some(outcome),
            }
        }
        let parts = groups.values().flat_map(|group| group.chunks(BATCH));
        let loads = parts.map(|part| self.load(part, journal).boxed()).collect();
        for (plan, outcome) in in_parallel(self.concurrency, loads).await.into_iter().flatten() {
            outcomes[plan] = Some(outcome);
        }
        let none = || Outcome::Rejected { why: "the plan has no step left".to_owned() };
        outcomes.into_iter().map(|outcome| vec![outcome.unwrap_or_else(none)]).collect()
    }

    /// The row of the first step of each plan.
    async fn rows(&self, plans: &[Remaining<'_>]) -> Vec<Result<Row, Outcome>> {
        let steps: Vec<Option<&Step>> = plans.iter().map(|plan| plan.steps.first()).collect();
        let names = if steps.iter().flatten().any(|step| row::names_something(step)) {
            match self.names().await {
                Ok(names) => names,
                Err(error) => return vec![Err(not_sent(error)); plans.len()],
            }
        } else {
            Arc::new(Names::none())
        };
        let of = |step: Option<&Step>, names| match step {
            Some(step) => Row::of(step, names),
            None => Err(RowError::Wrong("the plan has no step left".to_owned())),
        };
        let rows: Vec<Result<Row, RowError>> = steps.iter().map(|step| of(*step, &names)).collect();
        if !rows.iter().any(|row| matches!(row, Err(RowError::Unknown(_)))) {
            return rows.into_iter().map(|row| row.map_err(|error| refused(&error))).collect();
        }
        let names = self.newer_names(&names).await.map_err(not_sent);
        let again = |(step, row): (Option<&Step>, Result<Row, RowError>)| match (row, &names) {
            (Ok(row), _) => Ok(row),
            (Err(RowError::Unknown(_)), Ok(names)) => of(step, names).map_err(|error| refused(&error)),
            (Err(RowError::Unknown(_)), Err(outcome)) => Err(outcome.clone()),
            (Err(error), _) => Err(refused(&error)),
        };
        steps.into_iter().zip(rows).map(again).collect()
    }

    /// Loads rows of one kind and shape. Every row has its outcome, by the place of its plan.
    async fn load(&self, rows: &[First<'_>], journal: &dyn Journal) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::with_capacity(rows.len());
        let mut parts: Vec<Vec<&First<'_>>> = vec![rows.iter().collect()];
        while let Some(part) = parts.pop() {
            let mut all = |outcome: &Outcome| {
                outcomes.extend(part.iter().map(|first| (first.plan, outcome.clone())));
            };
            match self.load_together(&part, journal).await {
                Ok(Loaded::Done(ids)) => {
                    let records = ids.into_iter().map(|id| Outcome::Done(RecordId(id.to_string())));
                    outcomes.extend(part.iter().map(|first| first.plan).zip(records));
                }
                Ok(Loaded::Conflict(why)) => all(&Outcome::Retry { after: None, why }),
                Ok(Loaded::Unclear) => all(&Outcome::Unknown {
                    why: "the CRM answered in a form that does not say what was written".to_owned(),
                }),
                Ok(Loaded::Refused { why, .. }) | Err(Outcome::Rejected { why }) if part.len() == 1 => {
                    all(&Outcome::Rejected { why });
                }
                Ok(Loaded::Refused { rows: named, .. }) if !named.is_empty() && named.len() < part.len() => {
                    let (named, others): (Vec<_>, Vec<_>) =
                        part.iter().enumerate().partition(|(index, _)| named.contains(index));
                    parts.extend(named.into_iter().map(|(_, first)| vec![*first]));
                    parts.push(others.into_iter().map(|(_, first)| *first).collect());
                }
                Ok(Loaded::Refused { .. }) | Err(Outcome::Rejected { .. }) => {
                    parts.extend(part.iter().map(|first| vec![*first]));
                }
                Err(outcome) => all(&outcome),
            }
        }
        outcomes
    }

    async fn load_together(&self, part: &[&First<'_>], journal: &dyn Journal) -> Result<Loaded, Outcome> {
        let Some(first) = part.first() else { return Ok(Loaded::Done(Vec::new())) };
        let keys: Vec<(SyncId, StepId)> = part.iter().map(|first| first.key).collect();
        let columns: Vec<&String> = first.row.cells.keys().collect();
        let cells: Vec<Vec<&String>> = part.iter().map(|first| first.row.cells.values().collect()).collect();
        let arguments = json!({
            "fields": columns,
            "data": cells,
            "context": {
                "mode": "update",
                "noupdate": true,
                "module": MODULE,
                // The API's user is nobody who wants to follow every lead.
                "mail_create_nosubscribe": true,
            },
        });
        let priority = part.iter().map(|first| first.priority).min().unwrap_or_default();
        let operation = row::operation(first.step.action.kind());
        let call = self.call(operation, row::model(first.row.kind), "load", &arguments, priority);
        let answer = self.http.write(call, journal, &keys).await?;
        Ok(match wire::loaded(&answer.body, part.len()) {
            Loaded::Refused { rows, why } => {
                Loaded::Refused { rows, why: format!("{operation}: {}", self.http.clean(&why)) }
            }
            Loaded::Conflict(why) => Loaded::Conflict(format!("{operation}: {why}")),
            loaded @ (Loaded::Done(_) | Loaded::Unclear) => loaded,
        })
    }
}

/// Names could not be read, so nothing was sent.
fn not_sent(error: CrmError) -> Outcome {
    match error {
        CrmError::Retry { after, why } => Outcome::Retry { after, why },
        CrmError::Rejected { why } => Outcome::Rejected { why },
        CrmError::Unauthorised { why } => Outcome::Unauthorised { why },
    }
}

fn refused(error: &RowError) -> Outcome {
    Outcome::Rejected { why: error.to_string() }
}
