//! Writing: the first step of each plan, one call each.

use futures_util::future::FutureExt;
use serde_json::{Map, Value as Json, json};

use super::Rest;
use super::operation::{Op, Operation};
use crate::crm::http::{Answer, in_parallel};
use crate::crm::{Journal, NO_BOT, Outcome, Priority, Remaining, entries};
use crate::map::Values;
use crate::plan::{Action, ContactFields, RecordId, Reference, Step, TaskFields};

impl Rest {
    pub(super) async fn write_all(
        &self,
        plans: &[Remaining<'_>],
        journal: &dyn Journal,
    ) -> Vec<Vec<Outcome>> {
        let calls =
            plans.iter().map(|plan| self.write_first(plan, journal).map(|outcome| vec![outcome]).boxed());
        in_parallel(self.concurrency, calls.collect()).await
    }

    async fn write_first(&self, plan: &Remaining<'_>, journal: &dyn Journal) -> Outcome {
        let Some(step) = plan.steps.first() else {
            return Outcome::Rejected { why: "the plan has no step left".to_owned() };
        };
        let Some(op) = Op::of(step.action.kind()) else {
            return Outcome::Rejected { why: NO_BOT.to_owned() };
        };
        let Some(operation) = self.api.operations.get(&op) else {
            let why = format!(
                "the plan says \"{}\", and `operations` of this destination has no `{}`; describe it in \
                 workspace.yaml, or let the rules of the mapping not ask for it, then replay this lead",
                step.action.kind().as_str(),
                op.word()
            );
            return Outcome::Rejected { why };
        };
        let call = match values(step).and_then(|values| self.call(operation, values, plan.priority)) {
            Ok(call) => call,
            Err(why) => return Outcome::Rejected { why: format!("{}: {why}", operation.word) },
        };
        let statuses =
            operation.duplicate.as_ref().map(|(rule, _)| rule.statuses.as_slice()).unwrap_or_default();
        match self.http.write(call.accept(statuses), journal, &[(plan.sync, step.id)]).await {
            Ok(answer) => self.written(operation, step, answer),
            Err(outcome) => outcome,
        }
    }

    fn written(&self, operation: &Operation, step: &Step, answer: Answer) -> Outcome {
        if let Some((rule, place)) = &operation.duplicate
            && rule.holds(answer.status, &answer.body) == Ok(true)
        {
            return match place.id(&Values::new(answer.body)) {
                Some(id) => Outcome::Done(id),
                None => Outcome::Rejected {
                    why: format!(
                        "{}: the CRM says that there is one already and does not name it where `duplicate` looks",
                        operation.word
                    ),
                },
            };
        }
        // A status that may mean a duplicate was let through, and may mean something else.
        let answer = match self.http.written_item(operation.word, answer.status, answer.body) {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if let Some(record) = step.action.changed_record() {
            return Outcome::Done(record.clone());
        }
        // A success without the id of what it made is no success that anybody can build on.
        let Some(place) = operation.picks.get("id") else {
            // `id: none`: the CRM does not say, so ours stands in.
            return Outcome::Done(RecordId(step.id.to_string()));
        };
        match place.id(&Values::new(answer.body)) {
            Some(id) => Outcome::Done(id),
            None => Outcome::Unknown {
                why: format!(
                    "{}: the CRM answered without a record id where `id` looks for it",
                    operation.word
                ),
            },
        }
    }

    /// How a call of an operation is sent.
    pub(super) fn call(
        &self,
        operation: &Operation,
        values: Json,
        priority: Priority,
    ) -> Result<crate::crm::http::Call, String> {
        let filled = operation.request.fill(&Values::new(values))?;
        let segments: Vec<&str> = filled.segments.iter().map(String::as_str).collect();
        let mut call = self.http.call_to(operation.word, filled.method, &segments, filled.folder, priority);
        for (name, value) in self.api.headers.iter().chain(&filled.headers) {
            call = call.header(name, value);
        }
        if !filled.query.is_empty() {
            call = call.query(&filled.query);
        }
        call = self.auth.on(call);
        Ok(match &filled.json {
            Some(json) => call.json(json),
            None => call,
        })
    }
}

/// What the request of a step may read. What is absent is missing, because a value that is there is written.
pub(super) fn values(step: &Step) -> Result<Json, String> {
    let marker = step.id.to_string();
    let json = match &step.action {
        Action::CreateContact { contact } => with(contact_values(contact), [("marker", json!(marker))]),
        Action::UpdateContact { contact, changes } => {
            with(contact_values(changes), [("id", json!(contact.0))])
        }
        Action::CreateDeal { contact, deal } => {
            with(entries::deal(deal), [("contact", known(contact)?), ("marker", json!(marker))])
        }
        Action::UpdateDeal { deal, changes } => with(entries::deal(changes), [("id", json!(deal.0))]),
        Action::CreateTask { contact, deal, task } => {
            let values = with(task_values(task), [("contact", known(contact)?), ("marker", json!(marker))]);
            with_deal(values, deal.as_ref())?
        }
        Action::AddNote { contact, deal, text } => {
            let values = [("text", json!(text)), ("contact", known(contact)?), ("marker", json!(marker))];
            with_deal(with(Map::new(), values), deal.as_ref())?
        }
        Action::Call { .. } => return Err(NO_BOT.to_owned()),
    };
    Ok(Json::Object(json))
}

fn with<const N: usize>(mut values: Map<String, Json>, more: [(&str, Json); N]) -> Map<String, Json> {
    values.extend(more.map(|(name, value)| (name.to_owned(), value)));
    values
}

fn with_deal(values: Map<String, Json>, deal: Option<&Reference>) -> Result<Map<String, Json>, String> {
    Ok(match deal {
        Some(deal) => with(values, [("deal", known(deal)?)]),
        None => values,
    })
}

fn known(reference: &Reference) -> Result<Json, String> {
    match reference {
        Reference::Record(id) => Ok(json!(id.0)),
        Reference::Step(step) => Err(format!("the step refers to step {step}, which has not been written")),
    }
}

fn contact_values(contact: &ContactFields) -> Map<String, Json> {
    let mut values = entries::contact(contact);
    let first = [("phone", contact.phones.first()), ("email", contact.emails.first())];
    values.extend(entries::present(first.map(|(name, value)| (name, entries::text(value)))));
    values
}

fn task_values(task: &TaskFields) -> Map<String, Json> {
    entries::present([
        ("title", Some(json!(task.title))),
        ("text", Some(json!(task.text))),
        ("type", entries::text(task.kind.as_ref())),
        ("due", Some(json!(task.due_at))),
        ("due_unix", Some(json!(task.due_at.as_second()))),
        ("owner", entries::text(task.owner.as_ref())),
    ])
}
