//! What bots would be called for under a version: rendered and given a chat as live, and sent nowhere.

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::decide::{Chats, Decision, PersonChat, plan_calls};
use crate::id::{LeadId, PersonId, StepId};
use crate::lead::Lead;
use crate::map::Workspace;
use crate::pipeline::{Late, calls};
use crate::store::{Store, StoreError};

/// What both versions know when they render the calls of a lead.
#[derive(Default)]
pub(super) struct Known {
    late: Late,
    chats: Vec<PersonChat>,
}

impl Known {
    /// Of a lead and whose it is; nothing of what became no lead.
    pub(super) async fn of(
        store: &Store,
        lead: Option<(LeadId, i64, Option<PersonId>)>,
    ) -> Result<Self, StoreError> {
        let Some((lead, _, person)) = lead else { return Ok(Self::default()) };
        let facts = store.call_facts(lead).await?;
        let mut known = Self::default();
        (known.late.found, known.late.crm) = (facts.found, facts.crm);
        if let Some(person) = person {
            let facts = store.person_facts(person).await?;
            let fields: Map<String, Json> =
                facts.fields.iter().map(|(name, field)| (name.clone(), field.value.clone())).collect();
            known.late.person = json!({ "id": person, "fields": fields, "click": facts.click() });
            known.chats = facts.chats.iter().map(PersonChat::from).collect();
        }
        Ok(known)
    }
}

/// The plan of one version for one bot; `None` when its lead calls it for nothing.
pub(super) fn called_for(
    workspace: &Workspace,
    lead: &Lead,
    branch: usize,
    bot: &str,
    known: &Known,
    at: Timestamp,
) -> Option<Decision> {
    let is_meant = lead.to.iter().any(|to| to == bot) || lead.afterwards.iter().any(|call| call.to == bot);
    workspace.destinations.get(bot).filter(|_| is_meant)?;
    let mapping = workspace.sources.get(&lead.source)?.mapping.as_ref().ok()?;
    let branch = mapping.branches().get(branch)?;
    let serves = workspace.served_by(bot);
    let chats = Chats { bot, serves: &serves, known: &known.chats };
    let mut late = known.late.clone();
    if let Some(chat) = chats.usual(lead, None) {
        late.chat = json!({ "id": chat.id, "channel": chat.channel, "scope": chat.scope });
    }
    Some(match calls(mapping, branch, bot, lead, at, late) {
        Ok(rendered) => plan_calls(lead, rendered, chats, &mut || StepId(Uuid::nil())),
        Err(reason) => Decision::NeedsAttention { reason, todo: String::new() },
    })
}
