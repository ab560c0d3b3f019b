//! A contact as a call gives it, and as eSputnik takes it. Pure.
//!
//! `contactFields` and `customFieldsIDs` of a call of eSputnik say what of its contacts is written; a field that they name
//! and a contact lacks is emptied there, and without `contactFields` all fields are. So they always name exactly what a
//! contact has, and contacts that have other things go in another call.

use serde_json::{Map, Value as Json, json};

use crate::plan::Call;
use crate::rules::{Operation, Parameter, Shape};

pub(super) const OPERATION: Operation = Operation {
    name: "upsert_contact",
    summary: "creates or updates a contact; done once its import has ended. Sent again it changes nothing",
    needs_chat: false,
    main: None,
    parameters: &[
        value("email", "its email"),
        value("phone", "its phone: {{ lead.phone.e164 }}"),
        value(
            "externalCustomerId",
            "your id of this human; where there is one, it is who eSputnik looks for",
        ),
        value("contactId", "eSputnik's own id, for dedupeOn: id"),
        value("firstName", "first name"),
        value("lastName", "last name"),
        value("languageCode", "language: uk"),
        value("timeZone", "time zone: Europe/Kyiv"),
        value("region", "region of the address"),
        value("town", "town of the address"),
        value("address", "street and house"),
        value("postcode", "postcode"),
        nested("fields", "further fields by their number in eSputnik: { \"12345\": \"{{ … }}\" }"),
        nested("groups", "names of segments to add it to: [Telegram]"),
        value("dedupeOn", "how eSputnik finds a contact: email, sms, email_or_sms (default) or id"),
    ],
    repeatable: true,
};

const fn value(name: &'static str, summary: &'static str) -> Parameter {
    Parameter { name, required: false, shape: Shape::Value, summary }
}

const fn nested(name: &'static str, summary: &'static str) -> Parameter {
    Parameter { name, required: false, shape: Shape::Nested, summary }
}

/// Channels: our name, eSputnik's type.
const CHANNELS: [(&str, &str); 2] = [("email", "email"), ("phone", "sms")];

const NAMES: [&str; 4] = ["firstName", "lastName", "languageCode", "timeZone"];

const ADDRESS: [&str; 4] = ["region", "town", "address", "postcode"];

/// What contacts of one call have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) dedupe_on: String,
    /// Contacts with an external id are looked for by it, whatever `dedupeOn` says, so those without go apart.
    has_external_id: bool,
    contact_fields: Vec<&'static str>,
    custom_fields: Vec<u64>,
    groups: Vec<String>,
}

impl Kind {
    /// The body of the call that takes these contacts.
    pub(super) fn body<'a>(&self, contacts: impl Iterator<Item = &'a Json>) -> Json {
        let mut body = json!({
            "contacts": contacts.collect::<Vec<_>>(),
            "dedupeOn": self.dedupe_on,
            "contactFields": self.contact_fields,
        });
        if !self.custom_fields.is_empty() {
            body["customFieldsIDs"] = json!(self.custom_fields);
        }
        if !self.groups.is_empty() {
            body["groupNames"] = json!(self.groups);
        }
        body
    }
}

/// Reads a call; the error says what is wrong with it.
pub(super) fn read(call: &Call) -> Result<(Kind, Json), String> {
    let mut contact = Map::new();
    let mut written = Vec::new();
    let external_id = text(call, "externalCustomerId");
    let dedupe_on = text(call, "dedupeOn").unwrap_or_else(|| "email_or_sms".to_owned());
    if let Some(id) = text(call, "contactId") {
        contact.insert("id".to_owned(), number("contactId", &id)?);
    }
    let mut channels = Vec::new();
    for (name, kind) in CHANNELS {
        if let Some(value) = channel(call, name) {
            channels.push(json!({ "type": kind, "value": value }));
            written.push(kind);
        }
    }
    let has = |kind: &str| written.contains(&kind);
    let findable = match dedupe_on.as_str() {
        "email" | "sms" => has(&dedupe_on),
        "email_or_sms" => has("email") || has("sms"),
        "id" => contact.contains_key("id"),
        other => {
            return Err(format!("`dedupeOn` must be email, sms, email_or_sms or id, not `{other}`"));
        }
    };
    if !findable && external_id.is_none() {
        return Err(format!(
            "with `dedupeOn: {dedupe_on}` eSputnik has nothing to find this contact by, and would make a new one every \
             time; look at its placeholders in the mapping"
        ));
    }
    let has_external_id = external_id.is_some();
    contact.extend(external_id.map(|id| ("externalCustomerId".to_owned(), json!(id))));
    if !channels.is_empty() {
        contact.insert("channels".to_owned(), json!(channels));
    }
    for name in NAMES {
        if let Some(value) = text(call, name) {
            contact.insert(name.to_owned(), json!(value));
            written.push(name);
        }
    }
    let mut address = Map::new();
    for name in ADDRESS {
        if let Some(value) = text(call, name) {
            address.insert(name.to_owned(), json!(value));
            written.push(name);
        }
    }
    if !address.is_empty() {
        contact.insert("address".to_owned(), Json::Object(address));
    }
    if written.is_empty() {
        return Err("there must be an email, a phone or a name besides ids and further fields".to_owned());
    }
    let fields = custom_fields(call)?;
    if !fields.is_empty() {
        let list: Vec<Json> = fields.iter().map(|(id, value)| json!({ "id": id, "value": value })).collect();
        contact.insert("fields".to_owned(), json!(list));
    }
    let custom_fields = fields.into_iter().map(|(id, _)| id).collect();
    let kind =
        Kind { dedupe_on, has_external_id, contact_fields: written, custom_fields, groups: groups(call)? };
    Ok((kind, Json::Object(contact)))
}

/// By the number of the field.
fn custom_fields(call: &Call) -> Result<Vec<(u64, String)>, String> {
    let given = match call.with.get("fields") {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Object(fields)) => fields,
        Some(_) => return Err("`fields` must be a mapping of field numbers and values".to_owned()),
    };
    let mut fields = Vec::with_capacity(given.len());
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let id: u64 = name.trim().parse().map_err(|_| {
            format!(
                "`fields` has `{name}`, and eSputnik wants the number of the field (its settings show it)"
            )
        })?;
        let value = match value {
            Json::String(text) => text.clone(),
            Json::Number(_) | Json::Bool(_) => value.to_string(),
            Json::Null | Json::Array(_) | Json::Object(_) => {
                return Err(format!("field `{name}` must be one value"));
            }
        };
        fields.push((id, value));
    }
    fields.sort_by_key(|(id, _)| *id);
    Ok(fields)
}

fn groups(call: &Call) -> Result<Vec<String>, String> {
    let wrong = || "`groups` must be names of segments: [Telegram]".to_owned();
    let names = match call.with.get("groups") {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(names)) => names.iter().map(Json::as_str).collect::<Option<Vec<_>>>(),
        Some(one) => one.as_str().map(|name| vec![name]),
    };
    let names = names.ok_or_else(wrong)?;
    let mut names: Vec<String> =
        names.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// A parameter with something in it.
pub(super) fn text(call: &Call, name: &str) -> Option<String> {
    call.text(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// An email, or a phone as eSputnik writes it: digits only.
pub(super) fn channel(call: &Call, name: &str) -> Option<String> {
    let text = text(call, name)?;
    let value = if name == "phone" { text.chars().filter(char::is_ascii_digit).collect() } else { text };
    Some(value).filter(|value: &String| !value.is_empty())
}

pub(super) fn number(name: &str, text: &str) -> Result<Json, String> {
    let number: u64 = text.parse().map_err(|_| format!("`{name}` must be a whole number, not `{text}`"))?;
    Ok(json!(number))
}

/// What a contact is recognised by where eSputnik names it: its ids, its email, its phone.
pub(super) fn marks(contact: &Json) -> Vec<(String, String)> {
    let channels = contact["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids = ["id", "externalCustomerId"].map(|name| (name.to_owned(), plain(&contact[name])));
    let values = channels.iter().map(|channel| (plain(&channel["type"]), plain(&channel["value"])));
    ids.into_iter().chain(values).filter(|(_, value)| !value.is_empty()).collect()
}

/// A text or a number, for comparing.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.trim().to_lowercase(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => String::new(),
    }
}
