//! What the calls of leads depend on beside the leads themselves, read when they are planned.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::sql::{Arg, args, list};
use super::{Store, StoreError};
use crate::id::{LeadId, PersonId};
use crate::lead::IdentifierKind;
use crate::plan::{Action, FoundContact, FoundDeal};

/// What is known when the calls of a lead are planned.
#[derive(Clone, Debug)]
pub struct CallFacts {
    /// When its delivery came.
    pub received_at: Timestamp,
    /// What the CRM had before anything was written: `contact` and `deal`, absent where it had none.
    pub found: Json,
    /// Ids of the CRM's records by now: `contact` and `deal`.
    pub crm: Json,
}

/// What a CRM had, as it is kept and as calls see it.
pub fn found_as_json(contact: Option<&FoundContact>, deal: Option<&FoundDeal>) -> Json {
    let contact = contact.map(|contact| {
        json!({ "id": contact.id, "name": contact.name, "owner": contact.owner, "phones": contact.phones,
                "emails": contact.emails, "fields": contact.fields })
    });
    let deal = deal.map(|deal| {
        json!({ "id": deal.id, "title": deal.title, "owner": deal.owner, "pipeline": deal.pipeline,
                "stage": deal.stage, "fields": deal.fields })
    });
    json!({ "contact": contact, "deal": deal })
}

impl Store {
    /// Everybody who is known by one of these keys, each once; in any scope where none is given.
    pub async fn people_with(
        &self,
        kind: IdentifierKind,
        scope: Option<&str>,
        keys: &[String],
    ) -> Result<Vec<PersonId>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let of_scope = if scope.is_some() { "AND scope = $2" } else { "AND $2 = $2" };
        let sql = format!(
            "SELECT DISTINCT person FROM identifiers WHERE kind = $1 {of_scope} AND person IS NOT NULL \
             AND value IN ({}) ORDER BY person",
            list(3, keys.len())
        );
        let mut arguments = args![kind.as_str(), scope.unwrap_or_default()];
        arguments.extend(keys.iter().map(|key| Arg::from(key.as_str())));
        let rows = self.read(&sql, arguments).await?;
        rows.iter().map(|row| row.id(0)).collect()
    }

    /// What the calls of a lead depend on. Of several CRMs the first that was asked says what was found.
    pub async fn call_facts(&self, lead: LeadId) -> Result<CallFacts, StoreError> {
        let rows = self.read("SELECT received_at FROM leads WHERE id = $1", args![lead]).await?;
        let row = rows.first().ok_or_else(|| StoreError::new(format!("there is no lead {lead}")))?;
        let received_at = row.timestamp(0)?;
        let sql = "SELECT found FROM syncs WHERE lead = $1 AND found IS NOT NULL ORDER BY id LIMIT 1";
        let found = self.read(sql, args![lead]).await?;
        let found: Json = found.first().map(|row| row.json(0)).transpose()?.unwrap_or_default();
        let sql = "SELECT steps.action, steps.record FROM steps JOIN syncs ON syncs.id = steps.sync \
                   WHERE syncs.lead = $1 AND steps.state = 'done' AND steps.record IS NOT NULL \
                   ORDER BY syncs.id, steps.past, steps.position";
        let (mut contact, mut deal) = (found["contact"]["id"].clone(), found["deal"]["id"].clone());
        for row in self.read(sql, args![lead]).await? {
            match row.json::<Action>(0)? {
                Action::CreateContact { .. } | Action::UpdateContact { .. } => contact = json!(row.text(1)?),
                Action::CreateDeal { .. } | Action::UpdateDeal { .. } => deal = json!(row.text(1)?),
                Action::CreateTask { .. } | Action::AddNote { .. } | Action::Call { .. } => {}
            }
        }
        Ok(CallFacts { received_at, found, crm: json!({ "contact": contact, "deal": deal }) })
    }
}
