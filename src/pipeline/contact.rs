//! The contact data of a branch: read from the event, normalised.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Normalisers, Stopped};
use crate::lead::{Email, Flaw, Phone, Proof};
use crate::map::{Branch, ContactValue, View, When};

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
    pub(super) phones: Vec<(Phone, Proof)>,
    /// What is no phone, and why.
    pub(super) invalid_phones: Vec<Flaw>,
    pub(super) emails: Vec<(Email, Proof)>,
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
        for (raw, proof) in read(&branch.contact.phone, view, "contact.phone")? {
            match (normalisers.phone)(&raw, &branch.phone.regions) {
                Ok(phone) => {
                    // The first key tells one desk behind a switchboard from another.
                    let same = |(known, _): &&mut (Phone, Proof)| {
                        known.match_keys.first() == phone.match_keys.first()
                    };
                    match contact.phones.iter_mut().find(same) {
                        Some((_, known)) => *known = proof.max(*known),
                        None => contact.phones.push((phone, proof)),
                    }
                }
                Err(flaw) => contact.invalid_phones.push(flaw),
            }
        }
        for (raw, proof) in read(&branch.contact.email, view, "contact.email")? {
            match (normalisers.email)(&raw) {
                Ok(email) => {
                    let same = |(known, _): &&mut (Email, Proof)| known.address == email.address;
                    match contact.emails.iter_mut().find(same) {
                        Some((_, known)) => *known = proof.max(*known),
                        None => contact.emails.push((email, proof)),
                    }
                }
                Err(flaw) => contact.invalid_emails.push(flaw),
            }
        }
        Ok(contact)
    }

    /// `lead` in expressions: `lead.phone.region`, `lead.phone.e164`, `lead.email`, `lead.name`, `lead.flaws`.
    pub(super) fn as_seen_by_expressions(&self) -> Json {
        let phone = self.phones.first().map(|(phone, _)| phone);
        let email = self.emails.first().map(|(email, _)| email);
        let flaws: Vec<&Flaw> = self.invalid_phones.iter().chain(&self.invalid_emails).collect();
        as_seen(self.name.as_deref(), phone, email, &flaws)
    }
}

/// What expressions see as `lead`.
pub(super) fn as_seen(
    name: Option<&str>,
    phone: Option<&Phone>,
    email: Option<&Email>,
    flaws: &[&Flaw],
) -> Json {
    let email = email.map(|email| &email.address);
    let mut lead = json!({ "name": name, "phone": null, "email": email, "flaws": flaws });
    if let Some(phone) = phone {
        // Put in, because `json!` would copy it.
        lead["phone"] = json!({
            "e164": phone.e164,
            "region": phone.region,
            "kind": phone.kind,
            "confidence": phone.confidence,
            "extension": phone.extension,
            "raw": phone.raw,
        });
    }
    lead
}

/// The texts of phones or emails, with what stands behind each.
fn read(
    values: &[ContactValue],
    view: View<'_>,
    what: &'static str,
) -> Result<Vec<(String, Proof)>, Stopped> {
    let mut found = Vec::new();
    for ContactValue { template, proven } in values {
        let texts = template.texts(view).map_err(Stopped::at(what))?;
        if texts.is_empty() {
            continue;
        }
        let proof = if is_proven(proven, view)? { Proof::Proven } else { Proof::Claimed };
        found.extend(texts.into_iter().map(|text| (text, proof)));
    }
    Ok(found)
}

/// Whether the platform vouches for a value. Two ids that are both missing are equal, so whatever the condition reads has
/// to be there: in doubt it is a claim.
fn is_proven(proven: &When, view: View<'_>) -> Result<bool, Stopped> {
    match proven {
        When::Always => Ok(true),
        When::Never => Ok(false),
        When::If(condition) => Ok(condition.finds_all(view).map_err(Stopped::at("proven"))?
            && condition.holds(view).map_err(Stopped::at("proven"))?),
    }
}
