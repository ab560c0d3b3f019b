//! Triggers: somebody who may use the API names a trigger and a person, and bots are called in that person's chat.
//!
//! | outcome | status | what it means |
//! |---|---|---|
//! | `accepted` | 202 | it is kept and goes out through the outbox |
//! | `filtered` | 200 | nothing is to be called: the condition of no branch, or of no call, holds |
//! | `nobody` | 404 | nobody is known by that address |
//! | `several_people` | 409 | more than one is; nothing is called |
//! | `no_live_chat` | 409 | the person has no chat there, or blocked the bot |
//! | `no_such_trigger` | 404 | no source of that name has `preset: trigger` |
//! | `mapping_error` | 422 | the mapping fails on this data |
//!
//! Nothing is said of delivery: most bots do not tell. Whoever calls owns the cascade, and puts a channel that does not
//! tell at its end.

mod expected;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::expected::expected;
use super::{Means, Operation, OperationError, default_regions};
use crate::access::Role;
use crate::decide::{Chats, PersonChat};
use crate::event::{Delivery, TRIGGER};
use crate::id::{DeliveryId, PersonId};
use crate::lead::IdentifierKind;
use crate::map::{Mapping, Source, Workspace};
use crate::normalise;
use crate::plan::RecordId;
use crate::store::facts::PersonFacts;
use crate::store::inbox::Arrival;
use crate::store::links::ChatKey;
use crate::token::{TokenHash, to_hex};

/// Calls a trigger.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name: that of its file.
    #[serde(default)]
    pub trigger: String,
    /// Who is meant.
    pub to: Address,
    /// The messenger, where the person has several and one is meant; else the chat that was active last.
    #[serde(default)]
    pub channel: Option<String>,
    /// What the mapping reads as `data`.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// The caller's own id of this very call: a second one with it calls nothing.
    #[serde(default)]
    pub key: Option<String>,
    /// Countries of a phone that names none.
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
    /// Whether nothing is kept and nothing is called: the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// Who is meant: exactly one of these.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Address {
    /// A chat id, in whichever bot has it.
    pub chat: Option<Text>,
    /// The same in Metabot's word, where a lead is one subscriber of one bot.
    pub lead: Option<Text>,
    /// A person's id here.
    pub person: Option<PersonId>,
    /// A user of the linked web site: the chats that are linked with it, and no others. Where none is, whoever webhooks said
    /// to be that user, as for `customer`.
    pub web_user: Option<Text>,
    /// A customer id: namespace and id.
    pub customer: Option<(String, Text)>,
    /// A contact of a CRM: destination and record.
    pub crm: Option<(String, Text)>,
    /// A phone in any spelling.
    pub phone: Option<Text>,
    /// An email.
    pub email: Option<Text>,
}

/// A text, or a number that is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Value", into = "String")]
#[schemars(extend("type" = ["string", "number"]))]
pub struct Text(pub String);

impl TryFrom<Value> for Text {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
        };
        if text.is_empty() || text.eq_ignore_ascii_case("everyone") {
            return Err("a trigger is for one person: give a text or a number that names one".to_owned());
        }
        Ok(Self(text))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

/// What became of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TriggerOutcome")]
#[expect(missing_docs, reason = "see the table above")]
pub enum Outcome {
    Accepted,
    Filtered,
    Nobody,
    SeveralPeople,
    NoLiveChat,
    NoSuchTrigger,
    MappingError,
}

/// The answer to a trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Triggered {
    /// In a word.
    pub outcome: Outcome,
    /// What happened and what to do.
    pub message: String,
    /// The request as the registry has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryId>,
    /// Whose chat it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// The messenger of the chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What goes out, as it is known now: each call with its bot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Value>,
}

impl Triggered {
    fn refused(outcome: Outcome, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { outcome, message, delivery: None, person: None, channel: None, calls: Vec::new() }
    }
}

impl Operation for Trigger {
    const PATH: &'static str = "/api/triggers";
    const ROLE: Role = Role::Operator;
    type Answer = Triggered;
    const STATUSES: &'static [u16] = &[200, 202, 404, 409, 422];

    fn record(&self) -> Option<Value> {
        None
    }

    fn status(answer: &Triggered) -> u16 {
        match answer.outcome {
            Outcome::Accepted => 202,
            Outcome::Filtered => 200,
            Outcome::Nobody | Outcome::NoSuchTrigger => 404,
            Outcome::SeveralPeople | Outcome::NoLiveChat => 409,
            Outcome::MappingError => 422,
        }
    }

    async fn run(self, means: &Means) -> Result<Triggered, OperationError> {
        let workspace = means.active().await?;
        let source = workspace.sources.get(&self.trigger).filter(|source| source.preset == TRIGGER);
        let Some(source) = source else {
            let known = workspace.sources.values().filter(|source| source.preset == TRIGGER);
            let known: Vec<&str> = known.map(|source| source.name.as_str()).collect();
            let message = format!(
                "there is no trigger '{}'; a trigger is a file of the workspace with `source: {{ preset: trigger }}`. There \
                 are: {}",
                self.trigger,
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
            return Ok(Triggered::refused(Outcome::NoSuchTrigger, message));
        };
        if workspace.links.send_pin.as_ref() == Some(&source.name) {
            return Err(OperationError::Refused(format!(
                "trigger '{}' sends the PINs of links and nothing else; POST /api/links/pin has it send one",
                source.name
            )));
        }
        let mapping = match &source.mapping {
            Ok(mapping) => mapping,
            Err(broken) => {
                return Ok(Triggered::refused(
                    Outcome::MappingError,
                    format!("{broken}: {}", broken.message),
                ));
            }
        };
        let linked = self.linked(means, &workspace).await?;
        let people = if linked.is_empty() {
            self.person(means, &workspace).await?
        } else {
            // A user is one person's, and so are the chats that count as linked with it.
            linked.iter().map(|(person, _)| *person).take(1).collect()
        };
        let person = match people.as_slice() {
            [person] => *person,
            [] => {
                let message = "nobody is known by this address; nothing is called";
                return Ok(Triggered::refused(Outcome::Nobody, message));
            }
            several => {
                let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
                let message =
                    format!("several people are known by it: name one with `person`, of {}", ids.join(", "));
                return Ok(Triggered::refused(Outcome::SeveralPeople, message));
            }
        };
        let chats: Vec<ChatKey> = linked.into_iter().map(|(_, chat)| chat).collect();
        self.accept(means, &workspace, (source, mapping), person, &chats, None).await
    }
}

/// Sends a PIN of a link into its chat by the trigger that the workspace names for that.
pub(super) async fn send_pin(
    means: &Means,
    workspace: &Workspace,
    name: &str,
    (person, chat): (PersonId, &ChatKey),
    link: &TokenHash,
) -> Result<Triggered, OperationError> {
    let source = workspace.sources.get(name).filter(|source| source.preset == TRIGGER);
    let Some((source, Ok(mapping))) = source.map(|source| (source, &source.mapping)) else {
        let text = format!("trigger '{name}' (`links.send_pin`) cannot be used; `leadfold check` says why");
        return Err(OperationError::Refused(text));
    };
    let trigger = Trigger {
        trigger: name.to_owned(),
        to: Address { chat: Some(Text(chat.id.clone())), ..Address::default() },
        channel: None,
        data: Map::new(),
        key: None,
        regions: default_regions(),
        dry_run: false,
    };
    trigger.accept(means, workspace, (source, mapping), person, std::slice::from_ref(chat), Some(link)).await
}

impl Trigger {
    /// Keeps it, where this person can be reached, and says what goes out. Where chats are given it is one of these; `pin`
    /// names the link whose PIN it takes there.
    async fn accept(
        &self,
        means: &Means,
        workspace: &Workspace,
        (source, mapping): (&Source, &Mapping),
        person: PersonId,
        chats: &[ChatKey],
        pin: Option<&TokenHash>,
    ) -> Result<Triggered, OperationError> {
        let facts = means.store.person_facts(person).await?;
        let mut known = known_chats(&facts);
        // In Telegram one human has one chat id with every bot.
        let is = |chat: &PersonChat, key: &ChatKey| (&key.scope, &key.id) == (&chat.scope, &chat.id);
        known.retain(|chat| chats.is_empty() || chats.iter().any(|key| is(chat, key)));
        let Some(chat) = self.chat(workspace, mapping, &known) else {
            let message = "this person has no chat that the bots of this trigger serve, or blocked them; nothing is called";
            return Ok(Triggered {
                person: Some(person),
                ..Triggered::refused(Outcome::NoLiveChat, message)
            });
        };
        let now = means.clock.now();
        let delivery = self.delivery(means.clock.new_id(), &source.name, &chat, pin, now);
        let mut answer = expected(workspace, mapping, &delivery, &facts, person, now);
        (answer.person, answer.channel) = (Some(person), Some(chat.channel));
        if answer.outcome == Outcome::MappingError || self.dry_run {
            return Ok(answer);
        }
        answer.delivery = Some(delivery.id);
        let waiting = source.paused.then(|| crate::prepare::PAUSED.to_owned());
        means.store.inbox().keep(Arrival { delivery, waiting, unverified_token: None }).await?;
        Ok(answer)
    }

    /// The chats that are linked with the web user who is meant, where one is.
    async fn linked(
        &self,
        means: &Means,
        workspace: &Workspace,
    ) -> Result<Vec<(PersonId, ChatKey)>, OperationError> {
        let Some(Text(user)) = &self.to.web_user else { return Ok(Vec::new()) };
        Ok(means.store.linked_chats(&workspace.links.namespace, user).await?)
    }

    /// Everybody who is known by the address.
    async fn person(&self, means: &Means, workspace: &Workspace) -> Result<Vec<PersonId>, OperationError> {
        let Address { chat, lead, person, web_user, customer, crm, phone, email } = &self.to;
        let given = [
            chat.is_some(),
            lead.is_some(),
            person.is_some(),
            web_user.is_some(),
            customer.is_some(),
            crm.is_some(),
            phone.is_some(),
            email.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(OperationError::Refused(
                "`to` names exactly one of: chat, lead, person, web_user, customer ([namespace, id]), crm ([destination, \
                 record]), phone, email"
                    .to_owned(),
            ));
        }
        let flawed = |flaw: crate::lead::Flaw| OperationError::Refused(format!("`to`: {}", flaw.text));
        let store = &means.store;
        Ok(if let Some(Text(id)) = chat.as_ref().or(lead.as_ref()) {
            store.people_with(IdentifierKind::Chat, None, std::slice::from_ref(id)).await?
        } else if let Some(person) = person {
            store.present(*person).await?.into_iter().collect()
        } else if let Some(Text(id)) = web_user {
            let namespace = workspace.links.namespace.as_str();
            store
                .people_with(IdentifierKind::ExternalCustomer, Some(namespace), std::slice::from_ref(id))
                .await?
        } else if let Some((namespace, Text(id))) = customer {
            store
                .people_with(IdentifierKind::ExternalCustomer, Some(namespace), std::slice::from_ref(id))
                .await?
        } else if let Some((destination, Text(record))) = crm {
            let records = [RecordId(record.clone())];
            let linked = store.linked_persons(destination, &records).await?;
            let mut people = Vec::new();
            for (_, person) in linked {
                people.extend(store.present(person).await?);
            }
            people
        } else if let Some(Text(raw)) = phone {
            let phone = normalise::phone(raw, &self.regions).map_err(flawed)?;
            store.people_with(IdentifierKind::Phone, None, &phone.match_keys).await?
        } else if let Some(Text(raw)) = email {
            let email = normalise::email(raw).map_err(flawed)?;
            store.people_with(IdentifierKind::Email, None, email.match_key.as_slice()).await?
        } else {
            Vec::new()
        })
    }

    /// The chat: the one that is named, or the live one that was active last, which a bot of this trigger serves.
    fn chat(&self, workspace: &Workspace, mapping: &Mapping, known: &[PersonChat]) -> Option<PersonChat> {
        let named = self.to.chat.as_ref().or(self.to.lead.as_ref()).map(|Text(id)| id.as_str());
        let of_bot = |bot: &str| {
            let serves = workspace.served_by(bot);
            let chats = Chats { bot, serves: &serves, known };
            chats.live(self.channel.as_deref(), named).cloned()
        };
        mapping.bots().into_iter().find_map(of_bot)
    }

    fn delivery(
        &self,
        id: Uuid,
        source: &str,
        chat: &PersonChat,
        pin: Option<&TokenHash>,
        now: Timestamp,
    ) -> Delivery {
        let mut body = json!({
            "data": self.data,
            "to": self.to,
            "chat": { "scope": chat.scope, "id": chat.id, "channel": chat.channel },
        });
        if let Some(key) = &self.key {
            body["key"] = json!(key);
        }
        if let Some(link) = pin {
            // Which link it is for, by its hash; the PIN itself is drawn when it goes out. Each wish is one of its own.
            body["pin"] = json!(to_hex(link));
            body["key"] = json!(format!("pin:{id}"));
        }
        Delivery {
            id: DeliveryId(id),
            source: source.to_owned(),
            method: "POST".to_owned(),
            query: None,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
            received_at: now,
        }
    }
}

fn known_chats(facts: &PersonFacts) -> Vec<PersonChat> {
    facts.chats.iter().map(PersonChat::from).collect()
}
