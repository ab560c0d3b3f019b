//! One human with several contacts in the CRM, there before it was known that two people are one. A merge in a CRM cannot
//! be taken back, so none is made: a note on each of them, and a task for who is responsible, ask a person for it.

use super::{Draft, Situation};
use crate::plan::{Action, FoundContact, FoundDeal, RecordId, Reference, TaskFields};

/// Adds what asks for it to a plan that brings a lead to `kept`. Where the CRM takes neither notes nor tasks nothing is
/// added, and the lead asks for attention instead.
pub(super) fn ask_to_merge(
    situation: &Situation,
    kept: &FoundContact,
    deal: Option<&FoundDeal>,
    draft: &mut Draft,
) {
    let twins: Vec<&RecordId> = situation.twins.iter().filter(|twin| **twin != kept.id).collect();
    let can = situation.can;
    if twins.is_empty() || !(can.notes || can.tasks) {
        return;
    }
    let listed = |records: &[&RecordId]| {
        records.iter().map(|record| record.0.as_str()).collect::<Vec<_>>().join(" and ")
    };
    let title = format!("Merge contact {} into contact {}", listed(&twins), kept.id);
    let text = format!(
        "Contact {} and contact {} are the same person. They were there before that was known. New leads go to contact {}. \
         Please merge the others into it.",
        kept.id,
        listed(&twins),
        kept.id
    );
    let owner = [deal.and_then(|deal| deal.owner.as_deref()), kept.owner.as_deref()]
        .into_iter()
        .flatten()
        .find(|owner| !situation.inactive.has(owner));
    if can.notes {
        let contact = Reference::Record(kept.id.clone());
        draft.step(Action::AddNote { contact, deal: None, text: text.clone() });
    }
    for twin in &twins {
        let contact = Reference::Record((*twin).clone());
        if can.tasks {
            let task = TaskFields {
                title: title.clone(),
                text: text.clone(),
                kind: None,
                due_at: situation.now,
                owner: owner.map(str::to_owned),
            };
            draft.step(Action::CreateTask { contact: contact.clone(), deal: None, task });
        }
        if can.notes {
            draft.step(Action::AddNote { contact, deal: None, text: text.clone() });
        }
    }
    draft.say(
        "twins_told",
        format!(
            "Contact {} is the same person as contact {}: who is responsible is asked to merge them.",
            listed(&twins),
            kept.id
        ),
    );
}
