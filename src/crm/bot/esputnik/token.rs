//! Tokens: which contact a chat is of.

use serde_json::{Map, Value as Json, json};

use super::contact::{channel, number, text};
use super::{Esputnik, Item, Refused, done, error_message};
use crate::crm::Outcome;
use crate::plan::Call;
use crate::rules::{Operation, Parameter, Shape};

pub(super) const OPERATION: Operation = Operation {
    name: "add_token",
    summary: "adds this chat's id as a token of a contact, who is created where there is none; not repeated where nobody \
              knows whether it was",
    needs_chat: true,
    main: None,
    parameters: &[
        Parameter {
            name: "app",
            required: true,
            shape: Shape::Value,
            summary: "app_uuid of the bot, which eSputnik shows where the bot is connected",
        },
        identifier("contactId", "eSputnik's own id, the first that it looks for"),
        identifier("externalCustomerId", "your id of this human, the second"),
        identifier("phone", "the phone, the third: {{ lead.phone.e164 }}"),
        identifier("email", "the email, the last; at least one of the four is needed"),
    ],
    repeatable: false,
};

const fn identifier(name: &'static str, summary: &'static str) -> Parameter {
    Parameter { name, required: false, shape: Shape::Value, summary }
}

/// Reads a call: its app, and the token as eSputnik takes it.
pub(super) fn read(call: &Call) -> Result<(String, Json), String> {
    let app = text(call, "app").ok_or("`app` came out empty; look at its placeholders in the mapping")?;
    let chat = call.chat.as_ref().map(|chat| chat.id.trim()).filter(|id| !id.is_empty());
    let chat = chat.ok_or("the call names no chat; this is a bug of leadfold")?;
    let mut token = Map::new();
    if let Some(id) = text(call, "contactId") {
        token.insert("contactId".to_owned(), number("contactId", &id)?);
    }
    let others = [
        ("externalCustomerId", text(call, "externalCustomerId")),
        ("phone", channel(call, "phone")),
        ("email", channel(call, "email")),
    ];
    token.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))));
    if token.is_empty() {
        let why = "there must be one of contactId, externalCustomerId, phone and email, or eSputnik does not know whose the \
                   chat is; look at their placeholders in the mapping";
        return Err(why.to_owned());
    }
    token.insert("token".to_owned(), json!(chat));
    Ok((app, Json::Object(token)))
}

impl Esputnik {
    pub(super) async fn send_tokens(&self, app: &str, items: &[Item<'_>]) -> Result<Vec<Outcome>, Refused> {
        let tokens: Vec<&Json> = items.iter().map(|item| &item.json).collect();
        let path = ["v1", "apps", app, "tokens"];
        let body = self.post("add_token", &path, &json!({ "tokens": tokens }), items).await?;
        match error_message(&body) {
            None => Ok(items.iter().map(|item| done(item.sending.step)).collect()),
            Some(said) => {
                let why = self.http.clean(&format!("add_token: eSputnik says: {said}"));
                // A success that speaks of an error does not say of which token.
                let alone = items.len() == 1;
                Err(Refused::All(if alone { Outcome::Rejected { why } } else { Outcome::Unknown { why } }))
            }
        }
    }
}
