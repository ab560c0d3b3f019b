//! Which of the contacts that a CRM showed are a person's to work on.

use std::collections::BTreeMap;

use super::Worker;
use crate::clock::later;
use crate::crm::{CrmError, Found, Query};
use crate::id::PersonId;
use crate::plan::{FoundContact, FoundDeal, Reason, RecordId};
use crate::store::StoreError;
use crate::store::syncs::{Claimed, Evidence, PersonContext};

/// Whose the found contacts are.
pub(super) enum Candidates {
    /// This person's to use, with the disagreements to tell.
    Ours(Vec<FoundContact>, Vec<Reason>),
    /// All of them are somebody else's, and this person has none: the two are one.
    Another(Evidence),
}

impl Worker {
    /// Forgets further contacts of the person that the CRM no longer has: somebody merged them there, as was asked.
    pub(super) async fn forget_merged(
        &self,
        claimed: &Claimed,
        context: &mut PersonContext,
    ) -> Result<(), CrmError> {
        if context.further.is_empty() {
            return Ok(());
        }
        let questions: Vec<Query> = context
            .further
            .iter()
            .map(|contact| Query {
                contact: Some(contact.clone()),
                priority: claimed.priority,
                ..Query::default()
            })
            .collect();
        let answers = self.crm.find(&questions).await;
        for (contact, answer) in std::mem::take(&mut context.further).into_iter().zip(answers) {
            if answer?.link_is_gone {
                context.deals.retain(|(_, on, _)| on.as_ref() != Some(&contact));
                self.insist(claimed.id, || self.store.drop_link(&self.lease, contact.clone())).await;
            } else {
                context.further.push(contact);
            }
        }
        context.untold.retain(|contact| context.further.contains(contact));
        Ok(())
    }

    /// The found contacts that are this person's to use. One that is linked to somebody else is evidence about who this
    /// is; it is never adopted silently.
    pub(super) async fn candidates(
        &self,
        claimed: &Claimed,
        context: &PersonContext,
        found: Found,
    ) -> Result<Candidates, StoreError> {
        let mut conflicts = claimed.conflicts.clone();
        let unlinked: Vec<RecordId> = found
            .contacts
            .iter()
            .map(|contact| contact.id.clone())
            .filter(|id| context.contact.as_ref() != Some(id))
            .collect();
        let strangers: Vec<(RecordId, PersonId)> = self
            .store
            .linked_persons(&self.destination.name, &unlinked)
            .await?
            .into_iter()
            .filter(|(_, person)| *person != claimed.person)
            .collect();
        let strange = |contact: &FoundContact| strangers.iter().any(|(record, _)| *record == contact.id);
        let mut contacts: Vec<FoundContact> =
            found.contacts.into_iter().filter(|contact| !strange(contact)).collect();
        if let Some((record, other)) = strangers.first() {
            let text = format!(
                "Contact {record} in '{}' also holds an identifier of this person, and belongs to person {other}.",
                self.destination.name
            );
            if contacts.is_empty()
                && context.contact.is_none()
                && !self.store.are_apart(claimed.person, *other).await?
            {
                let (sync, from, record) = (claimed.id, claimed.person, record.clone());
                let evidence = Evidence { sync, from, into: *other, record };
                return Ok(Candidates::Another(evidence));
            }
            conflicts.push(Reason::new("record_of_another_person", text));
        }
        if let Some(kept) = &context.contact
            && !context.further.is_empty()
        {
            let further: Vec<&str> = context.further.iter().map(|contact| contact.0.as_str()).collect();
            let text = format!(
                "The person also has contact {} in '{}', made before it was known that two people are one; the lead goes to \
                 {kept}, the older.",
                further.join(" and "),
                self.destination.name
            );
            conflicts.push(Reason::new("two_contacts", text));
        }
        self.add_recent_deals(&mut contacts, context);
        Ok(Candidates::Ours(contacts, conflicts))
    }

    /// Deals that we made so lately that the CRM's list may not show them yet.
    fn add_recent_deals(&self, contacts: &mut [FoundContact], context: &PersonContext) {
        let now = self.clock.now();
        for (deal, on, made_at) in &context.deals {
            if later(*made_at, self.settle()) < now {
                continue;
            }
            let contact = contacts.iter_mut().find(|contact| Some(&contact.id) == on.as_ref());
            if let Some(contact) =
                contact.filter(|contact| contact.deals.iter().all(|known| known.id != *deal))
            {
                contact.deals.push(FoundDeal {
                    id: deal.clone(),
                    title: None,
                    pipeline: None,
                    stage: None,
                    owner: contact.owner.clone(),
                    created_at: Some(*made_at),
                    fields: BTreeMap::new(),
                });
            }
        }
    }
}
