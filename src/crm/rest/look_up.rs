//! Was it written? Looking for what a step may have made whose answer was lost.

use serde_json::json;

use super::Rest;
use super::find::strange;
use super::operation::Op;
use super::write::values;
use crate::crm::{CrmError, Priority, Query, unmarked};
use crate::map::Values;
use crate::plan::{Action, ContactFields, RecordId, RecordKind, Reference, Step};

impl Rest {
    /// The records that a step may have made, by its marker or by what they hold.
    pub(super) async fn look_up_one(
        &self,
        kind: RecordKind,
        step: &Step,
        priority: Priority,
    ) -> Result<Vec<RecordId>, CrmError> {
        if let Some(operation) = self.api.operations.get(&Op::FindByMarker(kind)) {
            let marker = step.id.to_string();
            let records = self.list(operation, json!({ "marker": marker }), priority).await?;
            if records.is_empty() {
                return Ok(Vec::new());
            }
            // A CRM that does not know the parameter may answer with everything it has.
            let ours: Vec<_> =
                records.into_iter().filter(|record| record.to_string().contains(&marker)).collect();
            if ours.is_empty() {
                return Err(strange(operation.word, "records that do not carry the marker searched for"));
            }
            let id = |record| operation.picks.get("id").and_then(|place| place.id(&Values::new(record)));
            let nameless = || strange(operation.word, "a record without an id where `id` looks for it");
            return ours.into_iter().map(|record| id(record).ok_or_else(nameless)).collect();
        }
        match &step.action {
            Action::CreateContact { contact } => self.contacts_like(contact, priority).await,
            Action::CreateDeal { contact: Reference::Record(contact), .. } => {
                let query = Query { contact: Some(contact.clone()), priority, ..Query::default() };
                let deals =
                    self.find_one(&query).await?.contacts.into_iter().flat_map(|contact| contact.deals);
                let values = values(step).map_err(|why| CrmError::Rejected { why })?;
                // As it was sent, because the request may put more around it.
                let sent = self.operation(Op::CreateDeal)?.request.sent("title", &Values::new(values));
                let ours = |title: Option<&String>| title.is_some_and(|title| sent.contains(title));
                Ok(deals.filter(|found| ours(found.title.as_ref())).map(|found| found.id).collect())
            }
            Action::CreateDeal { .. }
            | Action::CreateTask { .. }
            | Action::AddNote { .. }
            | Action::UpdateContact { .. }
            | Action::UpdateDeal { .. }
            | Action::Call { .. } => Err(unmarked::cannot_be_found(&step.action)),
        }
    }

    /// Contacts that we may have made, by the phone or email that we sent.
    async fn contacts_like(
        &self,
        contact: &ContactFields,
        priority: Priority,
    ) -> Result<Vec<RecordId>, CrmError> {
        let searched = |op: Op, values: &[String]| {
            if self.api.operations.contains_key(&op) { values.to_vec() } else { Vec::new() }
        };
        let query = Query {
            phones: searched(Op::FindByPhone, &contact.phones),
            emails: searched(Op::FindByEmail, &contact.emails),
            priority,
            ..Query::default()
        };
        if query.phones.is_empty() && query.emails.is_empty() {
            let why = "a lost contact without a phone or email to search by cannot be found without markers";
            return Err(CrmError::Rejected { why: why.to_owned() });
        }
        let found = self.find_one(&query).await?;
        Ok(unmarked::by_age(found))
    }
}
