//! The CRM as the registry remembers it: what leadfold wrote for a person, and what its plans referred to.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::id::StepId;
use crate::lead::Fields;
use crate::plan::{Action, ContactFields, DealFields, FoundContact, FoundDeal, RecordId, Reference};
use crate::store::rehearsal::{Past, PastStep};

/// What is remembered of a person's records.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Their contacts with the deals that count as open, oldest first.
    pub(super) contacts: Vec<FoundContact>,
    /// When the newest task was left.
    pub(super) last_task_at: Option<Timestamp>,
    /// Which step made which record.
    made: BTreeMap<StepId, RecordId>,
}

impl Remembered {
    /// Puts together what the steps before a lead have written. What a plan referred to was there, also when leadfold did
    /// not make it.
    pub(super) fn of(past: &Past) -> Self {
        let mut remembered = Self::default();
        for contact in &past.adopted {
            remembered.contact(contact);
        }
        for step in &past.steps {
            remembered.refer(step);
            if !step.own {
                remembered.write(step);
            }
        }
        remembered
    }

    fn contact(&mut self, id: &RecordId) -> &mut FoundContact {
        let at = self.contacts.iter().position(|contact| contact.id == *id).unwrap_or_else(|| {
            self.contacts.push(FoundContact {
                id: id.clone(),
                owner: None,
                created_at: None,
                name: None,
                phones: Vec::new(),
                emails: Vec::new(),
                fields: Fields::new(),
                deals: Vec::new(),
            });
            self.contacts.len() - 1
        });
        &mut self.contacts[at]
    }

    /// A deal, wherever it is; on this contact when it is new.
    fn deal(&mut self, id: &RecordId, on: Option<&RecordId>) -> Option<&mut FoundDeal> {
        let holder = self.contacts.iter().position(|contact| contact.deals.iter().any(|deal| deal.id == *id));
        let holder = match (holder, on) {
            (Some(holder), _) => &mut self.contacts[holder],
            (None, Some(contact)) => self.contact(contact),
            (None, None) => return None,
        };
        if holder.deals.iter().all(|deal| deal.id != *id) {
            holder.deals.push(FoundDeal {
                id: id.clone(),
                title: None,
                pipeline: None,
                stage: None,
                owner: None,
                created_at: None,
                fields: Fields::new(),
            });
        }
        holder.deals.iter_mut().find(|deal| deal.id == *id)
    }

    fn record<'a>(&'a self, reference: &'a Reference) -> Option<&'a RecordId> {
        match reference {
            Reference::Record(record) => Some(record),
            Reference::Step(step) => self.made.get(step),
        }
    }

    /// Records that a step names were there when it was planned.
    fn refer(&mut self, step: &PastStep) {
        let (contact, deal) = match &step.action {
            Action::CreateContact { .. } | Action::Call { .. } => return,
            Action::UpdateContact { contact, .. } => (Some(contact.clone()), None),
            Action::UpdateDeal { deal, .. } => (None, Some(deal.clone())),
            Action::CreateDeal { contact, .. } => (named(contact), None),
            Action::CreateTask { contact, deal, .. } | Action::AddNote { contact, deal, .. } => {
                (named(contact), deal.as_ref().and_then(named))
            }
        };
        if let Some(contact) = &contact {
            self.contact(contact);
        }
        if let Some(deal) = &deal {
            let on = contact.or_else(|| self.contacts.last().map(|contact| contact.id.clone()));
            self.deal(deal, on.as_ref());
        }
    }

    fn write(&mut self, step: &PastStep) {
        let Some(record) = &step.record else { return };
        self.made.insert(step.id, record.clone());
        match &step.action {
            Action::CreateContact { contact } => {
                let known = self.contact(record);
                known.created_at = step.at;
                overwrite_contact(known, contact);
            }
            Action::UpdateContact { contact, changes } => overwrite_contact(self.contact(contact), changes),
            Action::CreateDeal { contact, deal } => {
                let on = self.record(contact).cloned();
                if let Some(known) = self.deal(record, on.as_ref()) {
                    known.created_at = step.at;
                    overwrite_deal(known, deal);
                }
            }
            Action::UpdateDeal { deal, changes } => {
                if let Some(known) = self.deal(deal, None) {
                    overwrite_deal(known, changes);
                }
            }
            Action::CreateTask { .. } => self.last_task_at = self.last_task_at.max(step.at),
            Action::AddNote { .. } | Action::Call { .. } => {}
        }
    }
}

fn named(reference: &Reference) -> Option<RecordId> {
    match reference {
        Reference::Record(record) => Some(record.clone()),
        Reference::Step(_) => None,
    }
}

fn overwrite(known: &mut Option<String>, written: Option<&String>) {
    if let Some(written) = written {
        *known = Some(written.clone());
    }
}

fn overwrite_contact(known: &mut FoundContact, written: &ContactFields) {
    overwrite(&mut known.name, written.name.as_ref());
    overwrite(&mut known.owner, written.owner.as_ref());
    if !written.phones.is_empty() {
        known.phones.clone_from(&written.phones);
    }
    if !written.emails.is_empty() {
        known.emails.clone_from(&written.emails);
    }
    known.fields.extend(written.fields.clone());
}

fn overwrite_deal(known: &mut FoundDeal, written: &DealFields) {
    overwrite(&mut known.title, written.title.as_ref());
    overwrite(&mut known.pipeline, written.pipeline.as_ref());
    overwrite(&mut known.stage, written.stage.as_ref());
    overwrite(&mut known.owner, written.owner.as_ref());
    known.fields.extend(written.fields.clone());
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::plan::TaskFields;

    fn step(number: u128, action: Action, record: Option<&str>, own: bool) -> PastStep {
        let record = record.map(|record| RecordId(record.to_owned()));
        PastStep { id: StepId(Uuid::from_u128(number)), action, record, at: Some(Timestamp::UNIX_EPOCH), own }
    }

    fn record(id: &str) -> RecordId {
        RecordId(id.to_owned())
    }

    fn create_contact(name: &str) -> Action {
        let contact = ContactFields {
            name: Some(name.to_owned()),
            phones: vec!["+380671234567".to_owned()],
            ..ContactFields::default()
        };
        Action::CreateContact { contact }
    }

    fn create_deal(step: u128) -> Action {
        let deal = DealFields { title: Some("Lead".to_owned()), ..DealFields::default() };
        Action::CreateDeal { contact: Reference::Step(StepId(Uuid::from_u128(step))), deal }
    }

    fn task(contact: &str, deal: &str) -> Action {
        Action::CreateTask {
            contact: Reference::Record(record(contact)),
            deal: Some(Reference::Record(record(deal))),
            task: TaskFields {
                title: String::new(),
                text: String::new(),
                kind: None,
                due_at: Timestamp::UNIX_EPOCH,
                owner: None,
            },
        }
    }

    /// `contact(deal, deal)` for each contact.
    fn shape(past: &Past) -> Vec<String> {
        let shape = |contact: &FoundContact| {
            let deals: Vec<&str> = contact.deals.iter().map(|deal| deal.id.0.as_str()).collect();
            format!("{}({})", contact.id, deals.join(", "))
        };
        Remembered::of(past).contacts.iter().map(shape).collect()
    }

    #[test]
    fn what_was_there_before_a_lead_is_put_together() {
        let check = |steps: Vec<PastStep>, adopted: &[&str], expect: &[&str]| {
            let adopted = adopted.iter().map(|id| record(id)).collect();
            assert_eq!(shape(&Past { steps, adopted, ..Past::default() }), expect);
        };
        check(Vec::new(), &[], &[]);
        check(Vec::new(), &["c7"], &["c7()"]);
        let made = |own| {
            vec![step(1, create_contact("A"), Some("c1"), own), step(2, create_deal(1), Some("d1"), own)]
        };
        check(made(false), &[], &["c1(d1)"]);
        // What the lead itself made was not there before it; what its plan referred to was.
        check(made(true), &[], &[]);
        check(vec![step(3, task("c9", "d9"), Some("t1"), true)], &[], &["c9(d9)"]);
        check([made(false), vec![step(3, task("c1", "d1"), None, true)]].concat(), &["c1"], &["c1(d1)"]);
    }

    #[test]
    fn later_steps_overwrite_what_they_name() {
        let changes = ContactFields { name: Some("B".to_owned()), ..ContactFields::default() };
        let steps = vec![
            step(1, create_contact("A"), Some("c1"), false),
            step(2, Action::UpdateContact { contact: record("c1"), changes }, Some("c1"), false),
            step(3, task("c1", "d1"), Some("t1"), false),
        ];
        let remembered = Remembered::of(&Past { steps, ..Past::default() });
        let contact = &remembered.contacts[0];
        assert_eq!((contact.name.as_deref(), contact.phones.len()), (Some("B"), 1));
        assert_eq!(remembered.last_task_at, Some(Timestamp::UNIX_EPOCH));
    }
}
