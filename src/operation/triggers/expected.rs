//! What will become of a trigger, before it is kept.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Outcome, Triggered, known_chats};
use crate::decide::{Chats, Decision, plan_calls};
use crate::event::{Delivery, TRIGGER, preset};
use crate::id::{PersonId, StepId};
use crate::map::{Mapping, Workspace};
use crate::pipeline::{Interpreted, Late, calls, interpret};
use crate::plan::{Action, Reason};
use crate::store::facts::PersonFacts;

/// What will become of it, by the very stages that it will go through.
pub(super) fn expected(
    workspace: &Workspace,
    mapping: &Mapping,
    delivery: &Delivery,
    facts: &PersonFacts,
    person: PersonId,
    now: Timestamp,
) -> Triggered {
    let events = preset(TRIGGER).map(|preset| (preset.split)(delivery));
    let Some(Ok(events)) = events else {
        return Triggered::refused(Outcome::MappingError, "the data cannot be kept as JSON");
    };
    let Some(event) = events.first() else {
        return Triggered::refused(Outcome::MappingError, "the trigger holds nothing");
    };
    let (lead, branch) = match interpret(mapping, event, now) {
        Interpreted::Lead(lead, branch) => (lead, branch),
        Interpreted::Filtered(reason) => return Triggered::refused(Outcome::Filtered, reason.text),
        Interpreted::NeedsAttention { reason, todo } => {
            return Triggered::refused(Outcome::MappingError, format!("{} {todo}", reason.text));
        }
    };
    let Some(branch) = mapping.branches().get(branch) else {
        return Triggered::refused(Outcome::MappingError, "the branch that held is not in the mapping");
    };
    let fields: Map<String, Value> =
        facts.fields.iter().map(|(name, field)| (name.clone(), field.value.clone())).collect();
    let late = Late {
        person: json!({ "id": person, "fields": fields, "click": facts.click() }),
        pin: event.payload.get("pin").map(|_| "(the PIN)".to_owned()),
        chat: json!(lead.chat.as_ref().map(|chat| json!({ "id": chat.id, "channel": chat.channel }))),
        ..Late::default()
    };
    let known = known_chats(facts);
    let mut would = Vec::new();
    let mut why: Option<Reason> = None;
    for bot in lead.to.iter().filter(|name| workspace.bots.contains_key(*name)) {
        let rendered = match calls(mapping, branch, bot, &lead, now, late.clone()) {
            Ok(rendered) => rendered,
            Err(reason) => return Triggered::refused(Outcome::MappingError, reason.text),
        };
        let serves = workspace.served_by(bot);
        let chats = Chats { bot, serves: &serves, known: &known };
        match plan_calls(&lead, rendered, chats, &mut || StepId(Uuid::nil())) {
            Decision::Push { plan, .. } => would.extend(plan.steps.into_iter().filter_map(|step| {
                let Action::Call { call } = step.action else { return None };
                Some(json!({ "to": bot, "call": call }))
            })),
            Decision::Filtered(reason) => why = why.or(Some(reason)),
            Decision::Waiting { .. } | Decision::NeedsAttention { .. } => {}
        }
    }
    if let (true, Some(reason)) = (would.is_empty(), why) {
        return Triggered::refused(Outcome::Filtered, reason.text);
    }
    let message = "accepted, no delivery status".to_owned();
    Triggered { calls: would, ..Triggered::refused(Outcome::Accepted, message) }
}
