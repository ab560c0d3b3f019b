//! What a lead changes on a record that exists, field by field. Nothing here erases: an empty incoming value is no value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::PersonView;
use crate::lead::{Fields, Lead, Phone};
use crate::plan::{ContactFields, DealFields, FoundContact, FoundDeal};
use crate::rules::{FieldPolicy, Rules, Update};

/// What a lead, and the kept leads of the same person before it, say about the contact. Empty values are left out.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) phones: Vec<Line<'a>>,
    pub(super) emails: Vec<&'a str>,
    pub(super) fields: BTreeMap<&'a str, &'a Value>,
    /// Names of what came from a kept lead, because this lead lacks it.
    pub(super) carried: Vec<&'a str>,
}

/// A phone to write, with the other spellings of the same line.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    keys: &'a [String],
}

impl<'a> Wanted<'a> {
    /// The lead first; then, newest first, what the kept leads add to it.
    pub(super) fn new(lead: &'a Lead, earlier: &'a [Lead]) -> Self {
        let mut wanted = Self::default();
        wanted.take(lead);
        for kept in earlier.iter().rev() {
            let (named, phones, emails) = (wanted.name.is_some(), wanted.phones.len(), wanted.emails.len());
            let fields: Vec<&str> = wanted.fields.keys().copied().collect();
            wanted.take(kept);
            let gained = [
                (!named && wanted.name.is_some(), "name"),
                (wanted.phones.len() > phones, "phone"),
                (wanted.emails.len() > emails, "email"),
            ];
            let gained = gained.into_iter().filter_map(|(gained, field)| gained.then_some(field));
            let new_fields = wanted.fields.keys().copied().filter(|field| !fields.contains(field));
            let carried: Vec<&str> = gained.chain(new_fields).collect();
            wanted.carried.extend(carried);
        }
        wanted
    }

    fn take(&mut self, lead: &'a Lead) {
        let contact = &lead.contact;
        self.name = self.name.or_else(|| text(contact.name.as_deref()));
        let parsed =
            contact.phones.iter().map(|Phone { e164, match_keys, .. }| Line { text: e164, keys: match_keys });
        let raw = contact.raw_phones.iter().map(|raw| Line { text: raw.trim(), keys: &[] });
        for line in parsed.chain(raw) {
            self.add_phone(line);
        }
        for email in &contact.emails {
            self.add_email(&email.address);
        }
        for (field, value) in filled(&contact.fields) {
            self.fields.entry(field).or_insert(value);
        }
    }

    /// Adds what we know of the person, for a contact that is to be made: it must be found again by any of it.
    pub(super) fn add_person(&mut self, person: &'a PersonView) {
        for phone in &person.phones {
            self.add_phone(Line { text: phone, keys: &[] });
        }
        for email in &person.emails {
            self.add_email(email);
        }
    }

    fn add_phone(&mut self, line: Line<'a>) {
        if !line.text.is_empty()
            && !self.phones.iter().any(|known| known.is(line.text) || line.is(known.text))
        {
            self.phones.push(line);
        }
    }

    fn add_email(&mut self, email: &'a str) {
        if !email.trim().is_empty() && !self.emails.iter().any(|known| same_email(known, email)) {
            self.emails.push(email);
        }
    }
}

impl Line<'_> {
    /// Whether `theirs` is this line, in whatever spelling.
    fn is(&self, theirs: &str) -> bool {
        same_phone(theirs, self.text) || self.keys.iter().any(|key| same_phone(theirs, key))
    }
}

/// A field in which the CRM and the lead differ.
pub(super) struct Difference<'a> {
    pub(super) field: &'a str,
    /// `None`: the CRM has nothing.
    pub(super) crm: Option<String>,
    pub(super) lead: String,
    /// Whether the plan writes it.
    pub(super) written: bool,
}

/// The rules for fields of records that exist, and the fields found to differ.
pub(super) struct Changer<'a> {
    rules: &'a Rules,
    superseded: bool,
    /// The CRM cannot change the record: differences are noted, and nothing is written.
    pub(super) frozen: bool,
    pub(super) differences: Vec<Difference<'a>>,
}

impl<'a> Changer<'a> {
    /// `superseded`: a later lead of this person was brought here before this one.
    pub(super) fn new(rules: &'a Rules, superseded: bool) -> Self {
        Self { rules, superseded, frozen: false, differences: Vec::new() }
    }

    /// What to write to a contact; empty when nothing changes.
    pub(super) fn contact(&mut self, contact: &FoundContact, wanted: &Wanted<'a>) -> ContactFields {
        let phones: Vec<&str> = wanted
            .phones
            .iter()
            .filter(|line| !contact.phones.iter().any(|theirs| line.is(theirs)))
            .map(|line| line.text)
            .collect();
        let emails: Vec<&str> = wanted
            .emails
            .iter()
            .filter(|ours| !contact.emails.iter().any(|theirs| same_email(theirs, ours)))
            .copied()
            .collect();
        ContactFields {
            name: self.text("name", contact.name.as_deref(), wanted.name),
            phones: self.list("phone", &contact.phones, &phones),
            emails: self.list("email", &contact.emails, &emails),
            owner: None,
            fields: self.fields(&contact.fields, wanted.fields.iter().map(|(field, value)| (*field, *value))),
        }
    }

    /// What to write to an open deal; empty when nothing changes.
    pub(super) fn deal(&mut self, deal: &FoundDeal, lead: &'a Lead) -> DealFields {
        let wanted = &lead.deal;
        DealFields {
            title: self.text("title", deal.title.as_deref(), text(wanted.title.as_deref())),
            pipeline: self.place("pipeline", deal.pipeline.as_deref(), text(wanted.pipeline.as_deref())),
            stage: self.place("stage", deal.stage.as_deref(), text(wanted.stage.as_deref())),
            owner: None,
            fields: self.fields(&deal.fields, filled(&wanted.fields)),
        }
    }

    fn policy(&self, field: &str) -> FieldPolicy {
        if self.frozen {
            return FieldPolicy::Never;
        }
        let policy = self.rules.update_fields.get(field).copied().unwrap_or(match self.rules.update {
            Update::None => FieldPolicy::Never,
            Update::All => FieldPolicy::Always,
            Update::OnlyEmpty => FieldPolicy::IfEmpty,
        });
        match policy {
            // A later lead has already had its say: this one may only fill what is still empty.
            FieldPolicy::Newest if self.superseded => FieldPolicy::IfEmpty,
            FieldPolicy::Newest => FieldPolicy::Always,
            FieldPolicy::Always | FieldPolicy::IfEmpty | FieldPolicy::Append | FieldPolicy::Never => policy,
        }
    }

    fn text(&mut self, field: &'a str, theirs: Option<&str>, ours: Option<&str>) -> Option<String> {
        let ours = Value::from(ours?);
        let new = self.value(field, theirs.map(Value::from).as_ref(), &ours)?;
        Some(show(&new).into_owned())
    }

    /// Where a deal stands. Mappings name the place where a *new* deal begins, so `update: all` does not throw an open
    /// deal back to it; only a policy for this very field moves a deal.
    fn place(&mut self, field: &'a str, theirs: Option<&str>, ours: Option<&str>) -> Option<String> {
        let (theirs, ours) = (text(theirs), ours?);
        let written = match self.rules.update_fields.get(field).map(|_| self.policy(field)) {
            None | Some(FieldPolicy::Never) => false,
            Some(FieldPolicy::Always | FieldPolicy::Newest) => true,
            Some(FieldPolicy::IfEmpty | FieldPolicy::Append) => theirs.is_none(),
        };
        if !written || theirs == Some(ours) {
            return None;
        }
        let (crm, lead) = (theirs.map(str::to_owned), ours.to_owned());
        self.differences.push(Difference { field, crm, lead, written });
        Some(ours.to_owned())
    }

    /// The whole new list of phones or emails; empty when it stays as it is. The CRM's own values stay, and stay first.
    fn list(&mut self, field: &'a str, theirs: &[String], new: &[&str]) -> Vec<String> {
        if new.is_empty() {
            return Vec::new();
        }
        let theirs: Vec<&str> =
            theirs.iter().map(String::as_str).filter(|text| !text.trim().is_empty()).collect();
        let written = match self.policy(field) {
            FieldPolicy::Always | FieldPolicy::Newest | FieldPolicy::Append => true,
            FieldPolicy::IfEmpty => theirs.is_empty(),
            FieldPolicy::Never => false,
        };
        let crm = (!theirs.is_empty()).then(|| theirs.join(", "));
        self.differences.push(Difference { field, crm, lead: new.join(", "), written });
        if !written {
            return Vec::new();
        }
        theirs.iter().chain(new).map(|text| (*text).to_owned()).collect()
    }

    fn fields(&mut self, theirs: &Fields, ours: impl Iterator<Item = (&'a str, &'a Value)>) -> Fields {
        ours.filter_map(|(field, ours)| Some((field.to_owned(), self.value(field, theirs.get(field), ours)?)))
            .collect()
    }

    /// The value to write to one field; `None` when it stays as it is.
    fn value(&mut self, field: &'a str, theirs: Option<&Value>, ours: &Value) -> Option<Value> {
        let theirs = theirs.filter(|value| !is_empty(value));
        if theirs.is_some_and(|theirs| same(theirs, ours)) {
            return None;
        }
        let new = match (self.policy(field), theirs) {
            (FieldPolicy::Never, _) | (FieldPolicy::IfEmpty, Some(_)) => None,
            (FieldPolicy::Append, Some(theirs)) => match append(theirs, ours) {
                Appended::Already => return None,
                Appended::Changed(value) => Some(value),
                Appended::Impossible => None,
            },
            (FieldPolicy::Always | FieldPolicy::Newest, _)
            | (FieldPolicy::IfEmpty | FieldPolicy::Append, None) => Some(ours.clone()),
        };
        let crm = theirs.map(|value| show(value).into_owned());
        self.differences.push(Difference {
            field,
            crm,
            lead: show(ours).into_owned(),
            written: new.is_some(),
        });
        new
    }
}

enum Appended {
    Already,
    Changed(Value),
    /// Nothing can be added to a number, a truth value or an object.
    Impossible,
}

fn append(theirs: &Value, ours: &Value) -> Appended {
    let items = ours.as_array().map_or(std::slice::from_ref(ours), Vec::as_slice);
    let items = items.iter().filter(|item| !is_empty(item));
    match theirs {
        Value::Array(known) => {
            let new: Vec<&Value> =
                items.filter(|item| !known.iter().any(|known| same(known, item))).collect();
            if new.is_empty() {
                return Appended::Already;
            }
            Appended::Changed(known.iter().chain(new).cloned().collect())
        }
        Value::String(known) => {
            let mut text = known.clone();
            for item in items {
                let item = show(item);
                // Bounded by the separator, so that `+1` is not found inside `+10`.
                if !format!(", {text}, ").contains(&format!(", {}, ", item.trim())) {
                    text.push_str(", ");
                    text.push_str(item.trim());
                }
            }
            if text == *known { Appended::Already } else { Appended::Changed(Value::String(text)) }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Appended::Impossible,
    }
}

/// The entries that say something.
pub(super) fn filled(fields: &Fields) -> impl Iterator<Item = (&str, &Value)> {
    fields.iter().filter(|(_, value)| !is_empty(value)).map(|(field, value)| (field.as_str(), value))
}

/// A text that says something, without the blanks around it.
pub(super) fn text(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Whether a value says nothing: null, blank text, an empty object, a list of nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether two values mean the same. CRMs give numbers back as text, `5` as `5.00`, and lists in any order; none of that
/// is a change worth a call.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left.iter().all(|item| right.iter().any(|other| same(item, other)))
                && right.iter().all(|item| left.iter().any(|other| same(item, other)))
        }
        (Value::Array(items), single) | (single, Value::Array(items)) => {
            matches!(items.as_slice(), [item] if same(item, single)) || show(left) == show(right)
        }
        (Value::Number(number), other) | (other, Value::Number(number)) => {
            plain(&number.to_string()) == plain(&show(other))
        }
        (Value::Object(_), _) | (_, Value::Object(_)) => left == right,
        _ => show(left).trim() == show(right).trim(),
    }
}

/// A decimal number without the zeros that say nothing. Text arithmetic, because ids beyond 2^53 must stay exact.
fn plain(number: &str) -> &str {
    let number = number.trim();
    if number.contains('.') && !number.contains(['e', 'E']) {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

/// A value as people read it.
pub(super) fn show(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(items) => {
            Cow::Owned(items.iter().filter(|item| !is_empty(item)).map(show).collect::<Vec<_>>().join(", "))
        }
        Value::Null => Cow::Borrowed(""),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

/// Whether two addresses are one mailbox to the CRM.
pub(super) fn same_email(left: &str, right: &str) -> bool {
    left.trim().to_lowercase() == right.trim().to_lowercase()
}

/// Whether a CRM's spelling is the line `ours`, which is E.164 (or a raw text, which must then have the same digits).
///
/// A number without country code is taken as the same line when it is ours without country code: the CRM does not say
/// which country it meant, and being wrong only means that a number is not added beside its near twin.
pub(super) fn same_phone(theirs: &str, ours: &str) -> bool {
    let (theirs, ours) = (theirs.trim(), ours.trim());
    let (digits, full) = (digits(theirs), self::digits(ours));
    if theirs == ours || digits.len() < 5 || full.len() < 5 {
        return theirs == ours;
    }
    if digits == full || digits.strip_prefix("00") == Some(full.as_str()) {
        return true;
    }
    if theirs.starts_with('+') || !ours.starts_with('+') {
        return false;
    }
    let without_country = |national: &str| {
        national.len() >= 7 && full.strip_suffix(national).is_some_and(|code| code.len() <= 3)
    };
    // Trunk prefixes: 0 in most of the world, 8 in the former Soviet Union.
    [Some(digits.as_str()), digits.strip_prefix('0'), digits.strip_prefix('8')]
        .into_iter()
        .flatten()
        .any(without_country)
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}
