//! The records, and a search index that learns of them late.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

/// Stages that close a deal, in any pipeline.
const CLOSING_STAGES: [&str; 2] = ["Won", "Lost"];

/// A contact as the API answers it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the words of every CRM")]
pub struct Contact {
    pub id: u64,
    pub name: Option<String>,
    pub phones: Vec<String>,
    pub emails: Vec<String>,
    pub owner: Option<String>,
    pub fields: Map<String, Value>,
    /// What whoever made it wants to find it by.
    pub marker: Option<String>,
    pub created_at: Timestamp,
}

/// A deal as the API answers it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the words of every CRM")]
pub struct Deal {
    pub id: u64,
    pub contact_id: u64,
    pub title: Option<String>,
    pub pipeline: Option<String>,
    pub stage: Option<String>,
    pub open: bool,
    pub owner: Option<String>,
    pub fields: Map<String, Value>,
    pub marker: Option<String>,
    pub created_at: Timestamp,
}

/// A task or a note as the API answers it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the words of every CRM")]
pub struct Remark {
    pub id: u64,
    pub contact_id: u64,
    pub deal_id: Option<u64>,
    pub title: Option<String>,
    pub text: Option<String>,
    pub kind: Option<String>,
    pub due_at: Option<Timestamp>,
    pub owner: Option<String>,
    pub marker: Option<String>,
    pub created_at: Timestamp,
}

/// What a sandbox holds at one moment, each kind oldest first.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the words of every CRM")]
pub struct Holdings {
    pub contacts: Vec<Contact>,
    pub deals: Vec<Deal>,
    pub tasks: Vec<Remark>,
    pub notes: Vec<Remark>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ContactInput {
    name: Option<String>,
    phones: Option<Vec<String>>,
    emails: Option<Vec<String>>,
    pub(super) owner: Option<String>,
    pub(super) fields: Map<String, Value>,
    marker: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DealInput {
    contact_id: Option<u64>,
    title: Option<String>,
    pub(super) pipeline: Option<String>,
    pub(super) stage: Option<String>,
    open: Option<bool>,
    pub(super) owner: Option<String>,
    pub(super) fields: Map<String, Value>,
    marker: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RemarkInput {
    contact_id: Option<u64>,
    deal_id: Option<u64>,
    title: Option<String>,
    text: Option<String>,
    kind: Option<String>,
    due_at: Option<Timestamp>,
    pub(super) owner: Option<String>,
    marker: Option<String>,
}

/// When something is written, by both clocks, and how late the index learns of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) wall: Timestamp,
    pub(super) lag: Duration,
}

/// Why something was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound(String),
    Invalid(String),
}

/// What the index finds records by. The text is compared as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Phone,
    Email,
    ContactMarker,
    DealContact,
    DealMarker,
    TaskMarker,
    NoteMarker,
}

#[derive(Default)]
pub(super) struct Records {
    last_id: u64,
    pub(super) contacts: BTreeMap<u64, Contact>,
    pub(super) deals: BTreeMap<u64, Deal>,
    pub(super) tasks: BTreeMap<u64, Remark>,
    pub(super) notes: BTreeMap<u64, Remark>,
    deals_of: HashMap<u64, Vec<u64>>,
    index: HashMap<(Key, String), Vec<(u64, Instant)>>,
}

impl Records {
    pub(super) fn create_contact(&mut self, input: ContactInput, now: Moment) -> Contact {
        let id = self.new_id();
        let contact = Contact {
            id,
            name: input.name,
            phones: input.phones.unwrap_or_default(),
            emails: input.emails.unwrap_or_default(),
            owner: input.owner,
            fields: input.fields,
            marker: input.marker,
            created_at: now.wall,
        };
        self.index_contact(&contact, now);
        self.contacts.insert(id, contact.clone());
        contact
    }

    pub(super) fn update_contact(
        &mut self,
        id: u64,
        input: ContactInput,
        now: Moment,
    ) -> Result<Contact, Refusal> {
        let contact = self.contacts.get_mut(&id).ok_or_else(|| gone("contact", id))?;
        replace(&mut contact.name, input.name);
        replace(&mut contact.owner, input.owner);
        replace(&mut contact.marker, input.marker);
        contact.phones = input.phones.unwrap_or_else(|| std::mem::take(&mut contact.phones));
        contact.emails = input.emails.unwrap_or_else(|| std::mem::take(&mut contact.emails));
        contact.fields.extend(input.fields);
        let contact = contact.clone();
        self.index_contact(&contact, now);
        Ok(contact)
    }

    pub(super) fn create_deal(&mut self, input: DealInput, now: Moment) -> Result<Deal, Refusal> {
        let contact_id = self.known_contact(input.contact_id)?;
        let id = self.new_id();
        let open = input.open.unwrap_or_else(|| !closes(input.stage.as_deref()));
        let deal = Deal {
            id,
            contact_id,
            title: input.title,
            pipeline: input.pipeline,
            stage: input.stage,
            open,
            owner: input.owner,
            fields: input.fields,
            marker: input.marker,
            created_at: now.wall,
        };
        self.learn(Key::DealContact, &contact_id.to_string(), id, now);
        self.learn_marker(Key::DealMarker, deal.marker.as_deref(), id, now);
        self.deals_of.entry(contact_id).or_default().push(id);
        self.deals.insert(id, deal.clone());
        Ok(deal)
    }

    pub(super) fn update_deal(&mut self, id: u64, input: DealInput, now: Moment) -> Result<Deal, Refusal> {
        if input.contact_id.is_some() {
            return Err(Refusal::Invalid("a deal does not change its contact".to_owned()));
        }
        let deal = self.deals.get_mut(&id).ok_or_else(|| gone("deal", id))?;
        let stage_given = input.stage.is_some();
        replace(&mut deal.title, input.title);
        replace(&mut deal.pipeline, input.pipeline);
        replace(&mut deal.stage, input.stage);
        replace(&mut deal.owner, input.owner);
        replace(&mut deal.marker, input.marker);
        deal.fields.extend(input.fields);
        if stage_given {
            deal.open = !closes(deal.stage.as_deref());
        }
        deal.open = input.open.unwrap_or(deal.open);
        let deal = deal.clone();
        self.learn_marker(Key::DealMarker, deal.marker.as_deref(), id, now);
        Ok(deal)
    }

    pub(super) fn create_task(&mut self, input: RemarkInput, now: Moment) -> Result<Remark, Refusal> {
        let task = self.new_remark(input, now)?;
        self.learn_marker(Key::TaskMarker, task.marker.as_deref(), task.id, now);
        self.tasks.insert(task.id, task.clone());
        Ok(task)
    }

    pub(super) fn create_note(&mut self, input: RemarkInput, now: Moment) -> Result<Remark, Refusal> {
        let note = self.new_remark(input, now)?;
        self.learn_marker(Key::NoteMarker, note.marker.as_deref(), note.id, now);
        self.notes.insert(note.id, note.clone());
        Ok(note)
    }

    /// Everything there is, whatever the index knows.
    pub(super) fn holdings(&self) -> Holdings {
        Holdings {
            contacts: self.contacts.values().cloned().collect(),
            deals: self.deals.values().cloned().collect(),
            tasks: self.tasks.values().cloned().collect(),
            notes: self.notes.values().cloned().collect(),
        }
    }

    /// The contact goes, and its deals with it. The index still names it, as real ones do.
    pub(super) fn delete_contact(&mut self, id: u64) -> Result<(), Refusal> {
        self.contacts.remove(&id).ok_or_else(|| gone("contact", id))?;
        for deal in self.deals_of.remove(&id).unwrap_or_default() {
            self.deals.remove(&deal);
        }
        Ok(())
    }

    /// The contact goes; what it has and what hangs on it moves to the other one.
    pub(super) fn merge(&mut self, from: u64, into: u64, now: Moment) -> Result<(), Refusal> {
        if from == into || !self.contacts.contains_key(&into) {
            return Err(Refusal::Invalid(format!("contact {from} cannot be merged into {into}")));
        }
        let merged = self.contacts.remove(&from).ok_or_else(|| gone("contact", from))?;
        let moved = self.deals_of.remove(&from).unwrap_or_default();
        for id in &moved {
            if let Some(deal) = self.deals.get_mut(id) {
                deal.contact_id = into;
            }
            self.learn(Key::DealContact, &into.to_string(), *id, now);
        }
        self.deals_of.entry(into).or_default().extend(moved);
        for remark in self.tasks.values_mut().chain(self.notes.values_mut()) {
            if remark.contact_id == from {
                remark.contact_id = into;
            }
        }
        let Some(contact) = self.contacts.get_mut(&into) else { return Ok(()) };
        add_missing(&mut contact.phones, merged.phones);
        add_missing(&mut contact.emails, merged.emails);
        let contact = contact.clone();
        self.index_contact(&contact, now);
        Ok(())
    }

    /// Open deals of a contact as they are now.
    pub(super) fn open_deals(&self, contact: u64) -> impl Iterator<Item = &Deal> {
        let ids = self.deals_of.get(&contact).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| self.deals.get(id)).filter(|deal| deal.open)
    }

    /// What the index knows by now, oldest first; ids only, and some of them may be gone.
    pub(super) fn search(&self, key: Key, text: &str, now: Instant) -> Vec<u64> {
        let entries = self.index.get(&(key, text.to_owned())).map(Vec::as_slice).unwrap_or_default();
        let mut ids: Vec<u64> = entries.iter().filter(|(_, seen)| *seen <= now).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn new_remark(&mut self, input: RemarkInput, now: Moment) -> Result<Remark, Refusal> {
        let contact_id = self.known_contact(input.contact_id)?;
        if let Some(deal) = input.deal_id.filter(|deal| !self.deals.contains_key(deal)) {
            return Err(Refusal::Invalid(format!("there is no deal {deal}")));
        }
        Ok(Remark {
            id: self.new_id(),
            contact_id,
            deal_id: input.deal_id,
            title: input.title,
            text: input.text,
            kind: input.kind,
            due_at: input.due_at,
            owner: input.owner,
            marker: input.marker,
            created_at: now.wall,
        })
    }

    fn known_contact(&self, id: Option<u64>) -> Result<u64, Refusal> {
        let id = id.ok_or_else(|| Refusal::Invalid("`contact_id` is missing".to_owned()))?;
        if self.contacts.contains_key(&id) {
            return Ok(id);
        }
        Err(Refusal::Invalid(format!("there is no contact {id}")))
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn index_contact(&mut self, contact: &Contact, now: Moment) {
        for phone in &contact.phones {
            self.learn(Key::Phone, phone, contact.id, now);
        }
        for email in &contact.emails {
            self.learn(Key::Email, email, contact.id, now);
        }
        self.learn_marker(Key::ContactMarker, contact.marker.as_deref(), contact.id, now);
    }

    fn learn_marker(&mut self, key: Key, marker: Option<&str>, id: u64, now: Moment) {
        if let Some(marker) = marker {
            self.learn(key, marker, id, now);
        }
    }

    fn learn(&mut self, key: Key, text: &str, id: u64, now: Moment) {
        let entries = self.index.entry((key, text.to_owned())).or_default();
        if !entries.iter().any(|(known, _)| *known == id) {
            entries.push((id, now.instant + now.lag));
        }
    }
}

fn gone(what: &str, id: u64) -> Refusal {
    Refusal::NotFound(format!("there is no {what} {id}"))
}

fn closes(stage: Option<&str>) -> bool {
    stage.is_some_and(|stage| CLOSING_STAGES.iter().any(|closing| closing.eq_ignore_ascii_case(stage)))
}

fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

fn add_missing(list: &mut Vec<String>, more: Vec<String>) {
    for value in more {
        if !list.contains(&value) {
            list.push(value);
        }
    }
}
