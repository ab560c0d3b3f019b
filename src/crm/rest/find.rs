//! Looking people up: our own link first, then one search per value and spelling, each hit compared exactly.

use serde_json::{Value as Json, json};

use super::Rest;
use super::operation::Op;
use super::spelling::Spelling;
use crate::crm::{CrmError, Found, Priority, Query, matching};
use crate::map::Values;
use crate::plan::{FoundContact, FoundDeal, RecordId};

/// Hits of one search that are read whole because they come without what is compared. A search for one phone finds few.
const MOST_READ_WHOLE: usize = 10;

/// A contact, and the record it was read from.
struct Hit {
    contact: FoundContact,
    record: Values,
}

impl Rest {
    pub(super) async fn find_one(&self, query: &Query) -> Result<Found, CrmError> {
        let priority = query.priority;
        let mut found = Found::default();
        if let Some(id) = &query.contact {
            // One with another id is somebody else, or who this one was merged into: the search below knows.
            let hits = self.read_contact(id, priority).await?;
            match hits.into_iter().find(|hit| hit.contact.id == *id) {
                Some(hit) => {
                    found.contacts.push(self.with_deals(hit, true, priority).await?);
                    return Ok(found);
                }
                None => found.link_is_gone = true,
            }
        }
        let mut hits: Vec<Hit> = Vec::new();
        let mut add = |more: Vec<Hit>| {
            for hit in more {
                if hits.iter().all(|known| known.contact.id != hit.contact.id) {
                    hits.push(hit);
                }
            }
        };
        // Every value is searched even after a hit, because another value may belong to another contact.
        for phone in &query.phones {
            add(self.by_phone(phone, priority, &mut found.passed_over).await?);
        }
        for email in &query.emails {
            let matches = |written: &FoundContact| {
                written.emails.iter().any(|written| matching::same_email(written, email))
            };
            let values = json!({ "email": email });
            add(self
                .search(
                    Op::FindByEmail,
                    values,
                    |contact| contact.emails.is_empty(),
                    matches,
                    priority,
                    &mut found.passed_over,
                )
                .await?);
        }
        for hit in hits {
            found.contacts.push(self.with_deals(hit, false, priority).await?);
        }
        Ok(found)
    }

    /// The spellings are tried one after another until one finds somebody.
    async fn by_phone(
        &self,
        phone: &str,
        priority: Priority,
        passed_over: &mut usize,
    ) -> Result<Vec<Hit>, CrmError> {
        let mut tried: Vec<String> = Vec::new();
        for spelling in &self.api.spellings {
            let Some(text) = spelling.of(phone).filter(|text| !tried.contains(text)) else { continue };
            let matches = |contact: &FoundContact| {
                contact.phones.iter().any(|written| Spelling::is_same(*spelling, written, phone))
            };
            let values = json!({ "phone": text });
            let hits = self
                .search(
                    Op::FindByPhone,
                    values,
                    |contact| contact.phones.is_empty(),
                    matches,
                    priority,
                    passed_over,
                )
                .await?;
            if !hits.is_empty() {
                return Ok(hits);
            }
            tried.push(text);
        }
        Ok(Vec::new())
    }

    /// What a search gives and the exact comparison confirms. A hit that does not carry what is compared is read whole.
    async fn search(
        &self,
        op: Op,
        values: Json,
        is_bare: impl Fn(&FoundContact) -> bool,
        matches: impl Fn(&FoundContact) -> bool,
        priority: Priority,
        passed_over: &mut usize,
    ) -> Result<Vec<Hit>, CrmError> {
        let Some(operation) = self.api.operations.get(&op) else { return Ok(Vec::new()) };
        let records = self.list(operation, values, priority).await?;
        let shown: Vec<Hit> =
            records.into_iter().map(|record| self.hit(record, operation.word)).collect::<Result<_, _>>()?;
        if shown.iter().filter(|hit| is_bare(&hit.contact)).count() > MOST_READ_WHOLE {
            let what =
                "so many contacts without a phone or email that it seems to ignore what it is asked for";
            return Err(strange(operation.word, what));
        }
        let mut hits = Vec::new();
        for mut hit in shown {
            if is_bare(&hit.contact) {
                match self.whole(&hit.contact.id, priority).await? {
                    Some(whole) => hit = whole,
                    None => continue,
                }
            }
            if matches(&hit.contact) {
                hits.push(hit);
            } else {
                *passed_over += 1;
            }
        }
        Ok(hits)
    }

    /// What the CRM answers when it is asked for the contact of this id; nothing when there is none.
    async fn read_contact(&self, id: &RecordId, priority: Priority) -> Result<Vec<Hit>, CrmError> {
        let operation = self.operation(Op::GetContact)?;
        let records = self.list(operation, json!({ "id": id.0 }), priority).await?;
        records.into_iter().map(|record| self.hit(record, operation.word)).collect()
    }

    /// All of a contact that a search has just shown; `None` when it is gone by now.
    async fn whole(&self, id: &RecordId, priority: Priority) -> Result<Option<Hit>, CrmError> {
        let hits = self.read_contact(id, priority).await?;
        let nobody = hits.is_empty();
        let whole = hits.into_iter().find(|hit| hit.contact.id == *id);
        if whole.is_none() && !nobody {
            return Err(strange(Op::GetContact.word(), "another contact than the one it was asked for"));
        }
        Ok(whole)
    }

    fn hit(&self, record: Json, operation: &str) -> Result<Hit, CrmError> {
        let record = Values::new(record);
        let contact = self.api.contact.contact(&record);
        let contact =
            contact.ok_or_else(|| strange(operation, "a contact without an id; see `contact: { id }`"))?;
        Ok(Hit { contact, record })
    }

    /// The open deals stand in the contact, perhaps only in the whole one, or are asked for. A contact that is gone by then
    /// has none.
    async fn with_deals(
        &self,
        hit: Hit,
        is_whole: bool,
        priority: Priority,
    ) -> Result<FoundContact, CrmError> {
        let Hit { mut contact, record } = hit;
        let Some(places) = &self.api.contact.deals else {
            if let Some(operation) = self.api.operations.get(&Op::FindOpenDeals) {
                let deals = self.list(operation, json!({ "contact": contact.id.0 }), priority).await?;
                let of_contact = |deal: &Values| self.api.deal.is_of(&contact.id, deal);
                let deals = deals.into_iter().map(Values::new).filter(of_contact).collect();
                contact.deals = self.open_deals(deals)?;
            }
            return Ok(contact);
        };
        if let Some(deals) = places.of(record.whole()) {
            contact.deals = self.open_deals(deals.into_iter().map(Values::new).collect())?;
        } else if !is_whole && let Some(whole) = self.whole(&contact.id, priority).await? {
            let deals = places.of(whole.record.whole()).unwrap_or_default();
            let deals = self.open_deals(deals.into_iter().map(Values::new).collect())?;
            contact = FoundContact { deals, ..whole.contact };
        }
        Ok(contact)
    }

    fn open_deals(&self, records: Vec<Values>) -> Result<Vec<FoundDeal>, CrmError> {
        let mut deals = Vec::new();
        for record in records {
            if self.api.deal.is_open(&record) {
                let deal = self.api.deal.deal(&record);
                deals.push(deal.ok_or_else(|| strange("deals", "a deal without an id; see `deal: { id }`"))?);
            }
        }
        Ok(deals)
    }
}

/// An answer that is not what the description says.
pub(super) fn strange(operation: &str, what: &str) -> CrmError {
    let why = format!(
        "{operation}: the CRM answered with {what}; `leadfold doctor` shows request and answer, then correct this \
         operation in workspace.yaml"
    );
    CrmError::Rejected { why }
}
