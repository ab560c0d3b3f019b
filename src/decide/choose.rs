//! Which of the found contacts and open deals a lead lands on. Every preference is one key of a sort, so there is always
//! exactly one answer, and the same one whatever order the CRM lists its records in.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use super::{Situation, change};
use crate::lead::IdentifierKind;
use crate::plan::{FoundContact, FoundDeal, Reason, RecordId};
use crate::rules::folded;

/// What a lead lands on.
pub(super) struct Choice<'a> {
    /// The contact.
    pub(super) contact: &'a FoundContact,
    /// The open deal and the contact it stands on, which is another one only when [`contact`](Self::contact) has none.
    pub(super) deal: Option<(&'a FoundContact, &'a FoundDeal)>,
    /// Why these.
    pub(super) reasons: Vec<Reason>,
}

/// Chooses among the found contacts; `None` when there are none.
pub(super) fn choose<'a>(situation: &Situation<'a>) -> Option<Choice<'a>> {
    let mut contacts: Vec<&FoundContact> = situation.found.iter().collect();
    contacts.sort_by_key(|contact| {
        (
            situation.linked != Some(&contact.id),
            newest_deal(situation, contact).is_none(),
            match_rank(situation, contact),
            oldest_first(contact),
        )
    });
    let (contact, others) = contacts.split_first()?;
    let deal = contacts.iter().find_map(|holder| Some((*holder, newest_deal(situation, holder)?)));
    let mut choice = Choice { contact, deal, reasons: Vec::new() };
    say_contact(situation, &mut choice, others);
    if situation.can.deals {
        say_deal(situation, &mut choice);
    }
    Some(choice)
}

/// The contacts that only a phone and only an email point at, when these disagree and no link of ours settles it.
pub(super) fn disagreement<'a>(situation: &Situation<'a>) -> Option<(&'a RecordId, &'a RecordId)> {
    if situation.found.len() < 2 {
        return None;
    }
    let linked = situation.found.iter().any(|contact| situation.linked == Some(&contact.id));
    let matches = |kind| situation.found.iter().filter(move |contact| matches_by(situation, contact, kind));
    let oldest = |kind| matches(kind).min_by_key(|contact| oldest_first(contact));
    let (phone, email) = (IdentifierKind::Phone, IdentifierKind::Email);
    if linked || matches(phone).any(|contact| matches_by(situation, contact, email)) {
        return None;
    }
    Some((&oldest(phone)?.id, &oldest(email)?.id))
}

/// The open deal that a lead lands on: in the pipeline the lead names, then the newest, because that is the one somebody
/// works on.
fn newest_deal<'a>(situation: &Situation, contact: &'a FoundContact) -> Option<&'a FoundDeal> {
    if !situation.can.deals {
        return None;
    }
    let wanted = situation.lead.deal.pipeline.as_deref();
    contact.deals.iter().filter(|deal| not_counted(situation, deal).is_none()).min_by_key(|deal| {
        let elsewhere =
            wanted.is_some_and(|wanted| !deal.pipeline.as_deref().is_some_and(|is| same_name(is, wanted)));
        (elsewhere, Reverse(deal.created_at), Reverse(id_order(&deal.id)))
    })
}

/// Why a deal that the CRM calls open does not count; `None` when it does.
///
/// What the CRM does not tell counts as fitting: a task too many does less harm than a second deal.
fn not_counted(situation: &Situation, deal: &FoundDeal) -> Option<String> {
    let rule = &situation.rules.open_deal;
    let outside = |names: &[String], name: Option<&str>| {
        !names.is_empty() && name.is_some_and(|name| !names.iter().any(|listed| same_name(listed, name)))
    };
    let (pipeline, stage) = (deal.pipeline.as_deref(), deal.stage.as_deref());
    if outside(&rule.pipelines, pipeline) {
        return Some(format!("it is in pipeline {}", pipeline.unwrap_or_default()));
    }
    if outside(&rule.stages, stage) {
        return Some(format!("it is in stage {}", stage.unwrap_or_default()));
    }
    let max_age = rule.max_age.and_then(|age| SignedDuration::try_from(age).ok())?;
    let age = situation.now.duration_since(deal.created_at?);
    (age >= max_age).then(|| format!("it is {} days old", age.as_hours() / 24))
}

fn same_name(left: &str, right: &str) -> bool {
    folded(left) == folded(right)
}

/// Place in the identifier priority of the best identifier by which this contact matches the person.
fn match_rank(situation: &Situation, contact: &FoundContact) -> usize {
    let matching = |kind: &IdentifierKind| matches_by(situation, contact, *kind);
    situation.order.0.iter().position(matching).unwrap_or(usize::MAX)
}

/// Whether this contact carries a phone or an email of the person. No other kind of identifier stands on a CRM contact.
fn matches_by(situation: &Situation, contact: &FoundContact, kind: IdentifierKind) -> bool {
    let person = situation.person;
    match kind {
        IdentifierKind::Phone => person
            .phones
            .iter()
            .any(|ours| contact.phones.iter().any(|theirs| change::same_phone(theirs, ours))),
        IdentifierKind::Email => person
            .emails
            .iter()
            .any(|ours| contact.emails.iter().any(|theirs| change::same_email(theirs, ours))),
        IdentifierKind::CrmId
        | IdentifierKind::ExternalCustomer
        | IdentifierKind::Chat
        | IdentifierKind::Device
        | IdentifierKind::Click => false,
    }
}

/// Oldest first; where the CRM does not say when, numeric ids stand for it.
fn oldest_first(contact: &FoundContact) -> (Timestamp, (usize, &str)) {
    (contact.created_at.unwrap_or(Timestamp::MAX), id_order(&contact.id))
}

/// Numeric ids in the order they were given, others in some fixed order.
fn id_order(id: &RecordId) -> (usize, &str) {
    (id.0.len(), &id.0)
}

fn say_contact(situation: &Situation, choice: &mut Choice, others: &[&FoundContact]) {
    let contact = choice.contact;
    let id = &contact.id;
    let linked = situation.linked == Some(id);
    let by = situation.order.0.iter().find(|kind| matches_by(situation, contact, **kind));
    let found = match by {
        _ if linked => Reason::new(
            "contact_linked",
            format!("Contact {id} is the one that this person was brought to before."),
        ),
        Some(kind) => {
            Reason::new("contact_found", format!("Contact {id} has this person's {}.", kind.as_str()))
        }
        None => Reason::new("contact_found", format!("The CRM answered with contact {id} for this person.")),
    };
    choice.reasons.push(found);

    if others.is_empty() {
        return;
    }
    let has_deal = |contact: &FoundContact| newest_deal(situation, contact).is_some();
    let because = if linked {
        "we brought this person to it before"
    } else if has_deal(contact) && others.iter().any(|other| !has_deal(other)) {
        "it has an open deal"
    } else if others.iter().any(|other| match_rank(situation, other) > match_rank(situation, contact)) {
        "it matches by the stronger identifier"
    } else {
        "it is the oldest"
    };
    let ids: Vec<&str> = others.iter().map(|other| other.id.0.as_str()).collect();
    choice.reasons.push(Reason::new(
        "several_contacts",
        format!(
            "Several contacts match: {id} was taken, because {because}. Left alone, and worth merging in the CRM: {}.",
            ids.join(", ")
        ),
    ));
}

fn say_deal(situation: &Situation, choice: &mut Choice) {
    let contact = choice.contact;
    let so = if situation.forced { "" } else { ", so there is no second one" };
    match choice.deal {
        None => choice
            .reasons
            .push(Reason::new("no_open_deal", format!("Contact {} has no open deal.", contact.id))),
        Some((holder, deal)) if holder.id == contact.id => choice
            .reasons
            .push(Reason::new("open_deal", format!("Contact {} has open deal {}{so}.", contact.id, deal.id))),
        Some((holder, deal)) => choice.reasons.push(Reason::new(
            "open_deal_on_other_contact",
            format!(
                "Contact {} has no open deal, but contact {} of the same person has deal {}{so}.",
                contact.id, holder.id, deal.id
            ),
        )),
    }
    let counted = |deal: &&FoundDeal| not_counted(situation, deal).is_none();
    if let Some((holder, taken)) = choice.deal {
        let others: Vec<&str> = holder
            .deals
            .iter()
            .filter(counted)
            .filter(|deal| deal.id != taken.id)
            .map(|deal| deal.id.0.as_str())
            .collect();
        if !others.is_empty() {
            let text = format!(
                "Several deals are open: {} was taken, because it is the newest (of the lead's pipeline, where there \
                 is one). Left alone: {}.",
                taken.id,
                others.join(", ")
            );
            choice.reasons.push(Reason::new("several_open_deals", text));
        }
    }
    for deal in &contact.deals {
        if let Some(why) = not_counted(situation, deal) {
            let text = format!("Deal {} does not count as open by the rules: {why}.", deal.id);
            choice.reasons.push(Reason::new("deal_not_counted", text));
        }
    }
}
