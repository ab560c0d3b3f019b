//! The contact data of a branch: read from the event, normalised.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Normalisers, Stopped, claimed, texts};
use crate::lead::{Confidence, Email, Flaw, Identifier, IdentifierKind, Phone};
use crate::map::{Branch, View};

/// Reads contacts, and keeps the last one for a branch that reads it alike: then its condition asked for the lead, did
/// not hold, and nothing has to be normalised a second time.
pub(super) struct Contacts<'m> {
    normalisers: Normalisers,
    last: Option<(&'m Branch, Contact)>,
}

impl<'m> Contacts<'m> {
    pub(super) fn new(normalisers: Normalisers) -> Self {
        Self { normalisers, last: None }
    }

    /// Keeps the contact of a branch that did not hold.
    pub(super) fn keep(&mut self, branch: &'m Branch, contact: Contact) {
        self.last = Some((branch, contact));
    }

    /// The contact of a branch.
    pub(super) fn take(&mut self, branch: &'m Branch, view: View<'_>) -> Result<Contact, Stopped> {
        match self.last.take() {
            Some((other, contact))
                if Arc::ptr_eq(&other.contact, &branch.contact)
                    && other.phone.regions == branch.phone.regions =>
            {
                Ok(contact)
            }
            _ => Contact::read(branch, view, self.normalisers),
        }
    }
}

/// The contact data of a branch, normalised.
#[derive(Default)]
pub(super) struct Contact {
    pub(super) name: Option<String>,
    pub(super) phones: Vec<Phone>,
    /// What is no phone, and why.
    pub(super) invalid_phones: Vec<Flaw>,
    pub(super) emails: Vec<Email>,
    pub(super) invalid_emails: Vec<Flaw>,
}

impl Contact {
    fn read(branch: &Branch, view: View<'_>, normalisers: Normalisers) -> Result<Self, Stopped> {
        let mut contact = Self::default();
        for template in &branch.contact.name {
            if contact.name.is_none() {
                let name = template.text(view).map_err(Stopped::at("contact.name"))?;
                contact.name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
            }
        }
        for raw in texts(&branch.contact.phone, view, "contact.phone")? {
            match (normalisers.phone)(&raw, &branch.phone.regions) {
                Ok(phone) if contact.phones.iter().any(|known| known.e164 == phone.e164) => {}
                Ok(phone) => contact.phones.push(phone),
                Err(flaw) => contact.invalid_phones.push(flaw),
            }
        }
        for raw in texts(&branch.contact.email, view, "contact.email")? {
            match (normalisers.email)(&raw) {
                Ok(email) if contact.emails.iter().any(|known| known.address == email.address) => {}
                Ok(email) => contact.emails.push(email),
                Err(flaw) => contact.invalid_emails.push(flaw),
            }
        }
        Ok(contact)
    }

    /// `lead` in expressions: `lead.phone.region`, `lead.phone.e164`, `lead.email`, `lead.name`, `lead.flaws`.
    pub(super) fn as_seen_by_expressions(&self) -> Json {
        let phone = self.phones.first().map(|phone| {
            json!({
                "e164": phone.e164,
                "region": phone.region,
                "kind": phone.kind,
                "confidence": phone.confidence,
                "extension": phone.extension,
                "raw": phone.raw,
            })
        });
        json!({
            "name": self.name,
            "phone": phone,
            "email": self.emails.first().map(|email| &email.address),
            "flaws": self.invalid_phones.iter().chain(&self.invalid_emails).collect::<Vec<_>>(),
        })
    }

    pub(super) fn identifiers(&self) -> Vec<Identifier> {
        // Two numbers are plausible for an ambiguous phone: it is data to show, and joins nobody.
        let sure = self.phones.iter().filter(|phone| phone.confidence > Confidence::Ambiguous);
        let phones = sure.map(|phone| claimed(IdentifierKind::Phone, "", phone.match_keys.clone()));
        let keys = self.emails.iter().filter_map(|email| email.match_key.clone());
        phones.chain(keys.map(|key| claimed(IdentifierKind::Email, "", vec![key]))).collect()
    }
}
