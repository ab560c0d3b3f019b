//! `SendPulse` chatbots: tags, variables, flows and texts for a chat that `SendPulse` has.
//!
//! Every messenger has the same calls below a path of its own, with the id of its contact in `SendPulse` (source: `SendPulse`,
//! API reference of chatbots, and the vendor's own integration for n8n, where the shapes of messages stand):
//!
//! | operation | call |
//! |---|---|
//! | `set_tag` | `POST /telegram/contacts/setTag {contact_id, tags}` |
//! | `delete_tag` | `POST /telegram/contacts/deleteTag {contact_id, tag}` |
//! | `set_variable` | `POST /telegram/contacts/setVariable {contact_id, variable_name or variable_id, variable_value}` |
//! | `run_flow` | `POST /telegram/flows/run {contact_id, flow_id, external_data}` |
//! | `run_trigger` | `POST /telegram/flows/runByTrigger {contact_id, trigger_keyword, external_data}` |
//! | `send_text` | `POST /telegram/contacts/send`, see [`channel`] |
//!
//! It answers `{success, data}`, or `{success: false, errors: {field: [text]}, error_code}`, the latter under 200 too. It
//! knows neither idempotency keys nor a look-up of what was sent: a tag or a variable that is set twice stands there once,
//! so those calls may be repeated, and a flow or a text that is sent twice is read twice, so those may not.
//!
//! Its limit is 10 requests a second, of which `error_code` 2020202020 tells; what a plan allows a minute or a day is a
//! matter of the setting `rate`. For the access token see [`token`].

mod channel;
mod token;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use self::channel::Channel;
use self::token::Tokens;
use super::{Bot, Sending, as_crm, done, needed, object, recipient};
use crate::crm::http::{ALLOW_PRIVATE_ADDRESSES, Account, Answer, Http, Verdict};
use crate::crm::limit::Window;
use crate::crm::settings::Reader;
use crate::crm::{ConnectError, Crm, CrmError, Description, Outcome, Priority};
use crate::id::StepId;
use crate::plan::Call;
use crate::rules::{BotKind, Destination, Misuse, Operation, Parameter, Setting, Shape};

/// Calls under way at once: so many seconds' worth of answers keep its rate limit busy.
const CONCURRENCY: usize = 4;

/// What it calls "more than 10 requests per second".
const TOO_FAST: u64 = 2_020_202_020;

/// Refusals that say why in a form of its own.
const REFUSALS: &[u16] = &[400, 401, 403, 404, 422];

const NO_VARIABLE: &str = "neither `name` nor `id` says which variable";
const TWO_VARIABLES: &str = "`name` and `id` both name a variable; keep one of them";

const DATA: Parameter = Parameter {
    name: "data",
    required: false,
    shape: Shape::Nested,
    summary: "what the flow may read, by name: { order_no: \"{{ order.number }}\" }",
};

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "set_tag",
        summary: "adds a tag, or several; those that are there stay",
        needs_chat: true,
        main: Some("tag"),
        parameters: &[Parameter {
            name: "tag",
            required: true,
            shape: Shape::Nested,
            summary: "the tag, or a list of them: CRM",
        }],
        repeatable: true,
    },
    Operation {
        name: "delete_tag",
        summary: "takes a tag away",
        needs_chat: true,
        main: Some("tag"),
        parameters: &[Parameter {
            name: "tag",
            required: true,
            shape: Shape::Value,
            summary: "the tag: CRM",
        }],
        repeatable: true,
    },
    Operation {
        name: "set_variable",
        summary: "sets a variable of the contact",
        needs_chat: true,
        main: None,
        parameters: &[
            Parameter {
                name: "name",
                required: false,
                shape: Shape::Value,
                summary: "name of a variable that the bot has: crm_deal (or say `id`)",
            },
            Parameter {
                name: "id",
                required: false,
                shape: Shape::Value,
                summary: "id of the variable, in place of its name",
            },
            Parameter {
                name: "value",
                required: true,
                shape: Shape::Value,
                summary: "what it is set to; an empty value is refused and erases nothing",
            },
        ],
        repeatable: true,
    },
    Operation {
        name: "run_flow",
        summary: "starts a flow; once more each time, so one whose answer was lost is not repeated",
        needs_chat: true,
        main: Some("flow"),
        parameters: &[
            Parameter {
                name: "flow",
                required: true,
                shape: Shape::Value,
                summary: "id of the flow, the last part of its address: 64f1a0c2b7d3e4a5c6f70900",
            },
            DATA,
        ],
        repeatable: false,
    },
    Operation {
        name: "run_trigger",
        summary: "starts the flow of a trigger word; once more each time, so one whose answer was lost is not repeated",
        needs_chat: true,
        main: Some("keyword"),
        parameters: &[
            Parameter {
                name: "keyword",
                required: true,
                shape: Shape::Value,
                summary: "the word of the trigger: deal_won",
            },
            DATA,
        ],
        repeatable: false,
    },
    Operation {
        name: "send_text",
        summary: "writes to the person; a text whose answer was lost is not repeated",
        needs_chat: true,
        main: Some("text"),
        parameters: &[Parameter {
            name: "text",
            required: true,
            shape: Shape::Value,
            summary: "what to write",
        }],
        repeatable: false,
    },
];

pub(super) static DESCRIPTION: Description = Description {
    name: "sendpulse",
    summary: "chatbots of SendPulse: tags, variables, flows and texts in Telegram, Instagram, WhatsApp, Viber …",
    settings: &[
        Setting {
            name: "client_id",
            required: true,
            secret: true,
            summary: "the ID of the account (Settings > API)",
        },
        Setting {
            name: "client_secret",
            required: true,
            secret: true,
            summary: "the secret of the account (Settings > API)",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "a limit of your plan beside the 10/s that all have: 1000/min, 50000/day",
        },
        Setting {
            name: "url",
            required: false,
            secret: true,
            summary: "the root of its API (default https://api.sendpulse.com)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    windows: &[Window::sliding(10, Duration::from_secs(1))],
    processing: Duration::from_secs(10),
    search_lag: Duration::ZERO,
    bot: Some(BotKind {
        operations: OPERATIONS,
        chats: &["sendpulse:*"],
        writes_there: true,
        check: Some(check),
    }),
    nested: None,
    connect,
};

struct SendPulse {
    http: Http,
    tokens: Tokens,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Reader(destination);
    let (client_id, client_secret) = (settings.secret("client_id")?, settings.secret("client_secret")?);
    let windows: Vec<_> = DESCRIPTION.windows.iter().copied().chain(settings.rates("rate")?).collect();
    let account = Account {
        url: settings.text("url").unwrap_or("https://api.sendpulse.com"),
        windows: &windows,
        secrets: vec![client_id.clone(), client_secret.clone()],
        judge: Arc::new(|_, body| {
            (body["error_code"].as_u64() == Some(TOO_FAST)).then_some(Verdict::RateLimited)
        }),
    };
    let bot =
        SendPulse { http: Http::new(destination, &account)?, tokens: Tokens::new(client_id, client_secret) };
    as_crm(bot, destination, &DESCRIPTION, CONCURRENCY)
}

/// Whether a variable is named, and once.
fn check(_: &Destination, operation: &str, arguments: &Map<String, Value>) -> Vec<Misuse> {
    let is_there = |parameter| arguments.contains_key(parameter);
    let (parameter, message) = match (operation, is_there("name"), is_there("id")) {
        ("set_variable", false, false) => ("value", NO_VARIABLE),
        ("set_variable", true, true) => ("id", TWO_VARIABLES),
        _ => return Vec::new(),
    };
    vec![Misuse { parameter, message: message.to_owned(), help: None }]
}

/// A call as `SendPulse` takes it.
#[derive(Debug, PartialEq)]
struct Request {
    operation: &'static str,
    channel: Channel,
    /// Below the path of the messenger.
    path: [&'static str; 2],
    body: Value,
}

/// Builds the request of a call; the outcome says what is missing.
fn request(call: &Call) -> Result<Request, Outcome> {
    let contact = recipient(call)?;
    let Some(name) = call.chat.as_ref().and_then(|chat| chat.channel.as_deref()) else {
        return Err(refused(call, "the messenger of this chat is not known; name it: `channel: telegram`"));
    };
    let Some(channel) = Channel::named(name) else {
        let known = Channel::NAMES.join(", ");
        return Err(refused(
            call,
            &format!("SendPulse has no bots in `{name}`; `channel` is one of {known}"),
        ));
    };
    let (operation, path, rest) = match call.operation.as_str() {
        "set_tag" => ("set_tag", ["contacts", "setTag"], json!({ "tags": tags(call)? })),
        "delete_tag" => ("delete_tag", ["contacts", "deleteTag"], json!({ "tag": needed(call, "tag")? })),
        "set_variable" => ("set_variable", ["contacts", "setVariable"], variable(call)?),
        "run_flow" => ("run_flow", ["flows", "run"], flow(call, "flow_id", "flow")?),
        "run_trigger" => {
            ("run_trigger", ["flows", "runByTrigger"], flow(call, "trigger_keyword", "keyword")?)
        }
        "send_text" => ("send_text", ["contacts", "send"], channel.message(&needed(call, "text")?)),
        _ => return Err(refused(call, "SendPulse has no such operation; this is a bug of leadfold")),
    };
    let mut body = Map::from_iter([("contact_id".to_owned(), json!(contact))]);
    if let Value::Object(rest) = rest {
        body.extend(rest);
    }
    Ok(Request { operation, channel, path, body: Value::Object(body) })
}

fn refused(call: &Call, why: &str) -> Outcome {
    Outcome::Rejected { why: format!("{}: {why}", call.operation) }
}

/// One tag or a list of them; what is empty is left out.
fn tags(call: &Call) -> Result<Vec<String>, Outcome> {
    let Some(Value::Array(items)) = call.with.get("tag") else { return Ok(vec![needed(call, "tag")?]) };
    let text = |item: &Value| match item {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let Some(tags) = items.iter().map(text).collect::<Option<Vec<_>>>() else {
        return Err(refused(call, "`tag` is a text, or a list of texts"));
    };
    let tags: Vec<String> = tags.into_iter().filter(|tag| !tag.is_empty()).collect();
    if tags.is_empty() {
        return Err(refused(call, "`tag` came out empty; look at its placeholders in the mapping"));
    }
    Ok(tags)
}

/// The type of the value is kept, because a variable of SendPulse has one.
fn variable(call: &Call) -> Result<Value, Outcome> {
    let named = |parameter| call.text(parameter).filter(|text| !text.trim().is_empty());
    needed(call, "value")?;
    let value = call.with.get("value");
    match (named("name"), named("id")) {
        (Some(name), None) => Ok(json!({ "variable_name": name, "variable_value": value })),
        (None, Some(id)) => Ok(json!({ "variable_id": id, "variable_value": value })),
        (None, None) => Err(refused(call, NO_VARIABLE)),
        (Some(_), Some(_)) => Err(refused(call, TWO_VARIABLES)),
    }
}

fn flow(call: &Call, key: &str, parameter: &str) -> Result<Value, Outcome> {
    let name = needed(call, parameter)?;
    let mut body = Map::from_iter([(key.to_owned(), json!(name))]);
    if let Some(data) = object(call, "data")? {
        body.insert("external_data".into(), Value::Object(data.clone()));
    }
    Ok(Value::Object(body))
}

impl SendPulse {
    async fn make(&self, call: &Call, sending: Sending<'_>) -> Outcome {
        let request = match request(call) {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        match self.send(&request, sending).await {
            Ok(answer) => self.outcome(&request, sending.step, answer),
            Err(outcome) => outcome,
        }
    }

    /// Sends it, once more with a new token where the first one is refused: then it was surely not done.
    async fn send(&self, request: &Request, sending: Sending<'_>) -> Result<Answer, Outcome> {
        let Sending { sync, step, priority, journal } = sending;
        let mut old: Option<SecretString> = None;
        loop {
            let token = self.tokens.get(&self.http, priority, old.as_ref()).await.map_err(not_sent)?;
            let segments = [request.channel.path(), &request.path].concat();
            let call = self.http.call(request.operation, Method::POST, &segments, priority);
            let call = call.bearer(&token).json(&request.body).accept(REFUSALS);
            let answer = self.http.write(call, journal, &[(sync, step)]).await?;
            if answer.status != 401 || old.is_some() {
                return Ok(answer);
            }
            old = Some(token);
        }
    }

    fn outcome(&self, request: &Request, step: StepId, answer: Answer) -> Outcome {
        let Answer { status, body } = answer;
        let Request { operation, channel, .. } = request;
        let success = body["success"].as_bool();
        let status = match (status, success) {
            (204, _) | (200..=299, Some(true)) => return done(step),
            (200..=299, None) => {
                let why = format!("{operation}: the bot answered {status} and not whether it was done");
                return Outcome::Unknown { why };
            }
            // The code in the body is what the status should have been.
            (200..=299, Some(false)) => {
                let code = body["error_code"].as_u64().and_then(|code| u16::try_from(code).ok());
                code.filter(|code| (400..=599).contains(code)).unwrap_or(422)
            }
            (status, _) => status,
        };
        // A refusal for the chat's sake is no matter of credentials, whatever status it has.
        if channel.is_gone(&body) {
            return Outcome::Unreachable { why: self.http.said(operation, status, &body) };
        }
        match self.http.written_item(operation, status, body) {
            Err(Outcome::Rejected { why }) if writes(operation) && channel.has_window() => {
                let messenger = channel.name();
                let why = format!(
                    "{why}; in {messenger} a bot may write only within a day of the person's last message: if that is why, \
                     run a flow that begins with an approved template, or wait for them"
                );
                Outcome::Rejected { why }
            }
            Err(outcome) => outcome,
            Ok(_) => done(step),
        }
    }

    async fn greet(&self) -> Result<Option<String>, CrmError> {
        let token = self.tokens.get(&self.http, Priority::Live, None).await?;
        let call = self.http.call("ping", Method::GET, &["chatbots", "bots"], Priority::Live);
        let body = self.http.read(call.bearer(&token)).await?.body;
        let bots = body["data"].as_array().ok_or_else(|| CrmError::Rejected {
            why: "ping: the bot did not answer with a list of bots; is `url` the API of SendPulse?"
                .to_owned(),
        })?;
        let name = |bot: &Value| {
            let name = bot["name"].as_str().or_else(|| bot["channel_data"]["name"].as_str()).unwrap_or("?");
            match bot["channel"].as_str() {
                Some(channel) => format!("{name} ({})", channel.to_lowercase()),
                None => name.to_owned(),
            }
        };
        let names: Vec<String> = bots.iter().map(name).collect();
        Ok(Some(match names.len() {
            0 => format!("no bots at {}", self.http.host()),
            1 => format!("1 bot at {}: {}", self.http.host(), names.join(", ")),
            count => format!("{count} bots at {}: {}", self.http.host(), names.join(", ")),
        }))
    }
}

/// Operations after which the person reads something.
fn writes(operation: &str) -> bool {
    matches!(operation, "run_flow" | "run_trigger" | "send_text")
}

/// Without a token nothing is sent.
fn not_sent(error: CrmError) -> Outcome {
    match error {
        CrmError::Retry { after, why } => Outcome::Retry { after, why },
        CrmError::Rejected { why } | CrmError::Unauthorised { why } => Outcome::Unauthorised { why },
    }
}

impl Bot for SendPulse {
    fn http(&self) -> &Http {
        &self.http
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome> {
        self.make(call, sending).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<Option<String>, CrmError>> {
        self.greet().boxed()
    }
}

#[cfg(test)]
mod tests;
