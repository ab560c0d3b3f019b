//! Botmother: an external event that starts a screen or a message of a bot for one of its users.
//!
//! Each event has an address of its own, which is also its only secret: `POST https://app.botmother.com/api/bot/action/<short
//! id>/<token>` with `{platform, users: [id], data: {…}}` (source: Botmother, "External event"). What it answers beyond the
//! status is not documented, so the status is the answer; that the message reached anybody is told by nobody.
//!
//! `users: "everyone"` writes to everybody who ever wrote to the bot. Nothing here can say it: `users` is always a list of
//! one, and what is not an id never leaves. It knows no idempotency key and no look-up, so a lost event is not repeated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Method, Url};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::{Bot, Sending, answered, as_crm, needed, object};
use crate::crm::http::{ALLOW_PRIVATE_ADDRESSES, Account, Http};
use crate::crm::settings;
use crate::crm::{ConnectError, Crm, Description, Outcome};
use crate::map::{Node, Reader, closest};
use crate::plan::{Call, Recipient};
use crate::rules::{BotKind, Destination, Misuse, Operation, Parameter, Setting, Shape};

const ROOT: &str = "https://app.botmother.com";

/// Calls under way at once.
const CONCURRENCY: usize = 2;

/// The largest body that Botmother takes, in bytes.
const LARGEST: usize = 1_000_000;

/// From this many characters on a run of letters is taken for an id: ids of Viber may happen to have no digit.
const LONG_ENOUGH: usize = 16;

const OPERATIONS: &[Operation] = &[Operation {
    name: "external_event",
    summary: "starts an event for the person; Botmother tells no delivery status, and an event whose answer was lost is not \
              repeated",
    needs_chat: true,
    main: Some("event"),
    parameters: &[
        Parameter {
            name: "event",
            required: true,
            shape: Shape::Value,
            summary: "its name in `events` of the destination: abandoned_cart",
        },
        Parameter {
            name: "data",
            required: false,
            shape: Shape::Nested,
            summary: "what the bot reads as {{last_request.<name>}}: { product: \"{{ data.name }}\" }, up to 1 MB",
        },
    ],
    repeatable: false,
}];

pub(super) static DESCRIPTION: Description = Description {
    name: "botmother",
    summary: "bots of Botmother: external events",
    settings: &[
        Setting {
            name: "events",
            required: true,
            secret: true,
            summary: "addresses of external events by a name of your own (Settings > Events): { abandoned_cart: \
                      \"${BOTMOTHER_CART}\" }",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "a rate limit: 10/s or 60/min (default none is known)",
        },
        Setting {
            name: "url",
            required: false,
            secret: true,
            summary: "where the addresses of events lead (default https://app.botmother.com)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    windows: &[],
    processing: Duration::from_secs(10),
    search_lag: Duration::ZERO,
    // As the shipped mapping of Botmother calls them.
    bot: Some(BotKind {
        operations: OPERATIONS,
        chats: &["telegram:botmother"],
        writes_there: true,
        check: Some(check),
    }),
    nested: Some(note_problems),
    connect,
};

struct Botmother {
    http: Http,
    events: BTreeMap<String, Event>,
}

/// The address of an event, below the root.
struct Event {
    segments: Vec<String>,
}

/// What is wrong with `events`. An address that comes from the environment is looked at when it is known.
fn note_problems(reader: &Reader<'_>, destination: &Node) {
    let Some(events) = destination.get("events") else { return };
    let help = || Some(DESCRIPTION.settings.first().map_or("", |events| events.summary).to_owned());
    if events.entries().is_empty() {
        reader.error(events.span, "`events` must hold addresses by name", help());
    }
    // Where they may lead is said by a setting that may come from the environment, too.
    let root = if destination.get("url").is_none() { Url::parse(ROOT).ok() } else { None };
    for (name, address) in events.entries() {
        let Some(text) = address.scalar() else {
            reader.error(address.span, "an event has one address", help());
            continue;
        };
        let literal = !text.contains("${");
        if let Some(root) = root.as_ref().filter(|_| literal)
            && let Err(why) = Event::read(text, root)
        {
            let name = name.scalar().unwrap_or_default();
            reader.error(address.span, format!("event `{name}`: {why}"), help());
        }
    }
}

/// The names that `events` gives, with their addresses; the error does not quote them, because they are secrets.
fn addresses(text: &str) -> Result<BTreeMap<String, String>, String> {
    let wrong = "setting `events` must hold addresses by name: { abandoned_cart: \"https://…\" }";
    serde_json::from_str(text).map_err(|_| wrong.to_owned())
}

/// An event that the destination does not have.
fn check(destination: &Destination, _: &str, arguments: &Map<String, Value>) -> Vec<Misuse> {
    let Some(name) = arguments.get("event").and_then(Value::as_str) else { return Vec::new() };
    let events = settings::Reader(destination).text("events").map(addresses);
    let Some(Ok(events)) = events else { return Vec::new() };
    if events.contains_key(name.trim()) {
        return Vec::new();
    }
    let known: Vec<&str> = events.keys().map(String::as_str).collect();
    let help = match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", known.join(", ")),
    };
    let message = format!("`events` of destination `{}` has no `{name}`", destination.name);
    vec![Misuse { parameter: "event", message, help: Some(help) }]
}

impl Event {
    /// Reads an address. The error does not repeat it: it is a secret.
    fn read(address: &str, root: &Url) -> Result<Self, String> {
        let wrong =
            || format!("this is not the address of an event, which begins with {ROOT}/api/bot/action/");
        let url = Url::parse(address.trim()).map_err(|_| wrong())?;
        if url.origin() != root.origin() {
            return Err(format!("its address does not lead to {}", root.host_str().unwrap_or_default()));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(wrong());
        }
        let segments: Vec<String> = url.path_segments().into_iter().flatten().map(str::to_owned).collect();
        // Whatever would have to be escaped is escaped once more on the way.
        let is_plain = |segment: &String| {
            !segment.is_empty()
                && segment.chars().all(|letter| letter.is_ascii_alphanumeric() || "._~-".contains(letter))
        };
        if segments.is_empty() || !segments.iter().all(is_plain) {
            return Err(wrong());
        }
        Ok(Self { segments })
    }
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let problem = |text: String| ConnectError(format!("destination `{}`: {text}", destination.name));
    let settings = settings::Reader(destination);
    let root = settings.text("url").unwrap_or(ROOT);
    let root =
        Url::parse(root).map_err(|error| problem(format!("setting `url` is not an address: {error}")))?;
    let addresses = addresses(settings.required("events")?).map_err(&problem)?;
    let mut events = BTreeMap::new();
    for (name, address) in &addresses {
        let event = Event::read(address, &root).map_err(|why| problem(format!("event `{name}`: {why}")))?;
        events.insert(name.clone(), event);
    }
    let addresses = addresses.into_values();
    let tokens = events.values().filter_map(|event| event.segments.last()).cloned();
    let account = Account {
        url: root.as_str(),
        windows: &settings.rates("rate")?,
        secrets: addresses.chain(tokens).map(SecretString::from).collect(),
        judge: Arc::new(|_, _| None),
    };
    let bot = Botmother { http: Http::new(destination, &account)?, events };
    as_crm(bot, destination, &DESCRIPTION, CONCURRENCY)
}

/// The id of one user, or why it is none: whatever could mean more than one person, or nobody, goes nowhere.
fn one_user(chat: Option<&Recipient>) -> Result<&str, String> {
    let id = chat.map(|chat| chat.id.trim()).unwrap_or_default();
    if id.is_empty() {
        return Err("there is no recipient; look at `chat` of the call in the mapping".to_owned());
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_+/=.:@".contains(letter);
    let is_word = !id.chars().any(|letter| letter.is_ascii_digit()) && id.len() < LONG_ENOUGH;
    if is_word || !id.chars().all(is_part) {
        return Err(
            "the recipient is not the id of one person, so nothing is sent; look at `chat` of the call"
                .to_owned(),
        );
    }
    Ok(id)
}

/// Botmother's word for a messenger. It documents `tg` and `any`; the latter finds the id wherever the bot has it.
fn platform(chat: Option<&Recipient>) -> &'static str {
    match chat.and_then(|chat| chat.channel.as_deref()) {
        Some("telegram" | "tg") => "tg",
        Some(_) | None => "any",
    }
}

fn body(call: &Call) -> Result<Value, Outcome> {
    let refused = |why: String| Outcome::Rejected { why: format!("{}: {why}", call.operation) };
    let user = one_user(call.chat.as_ref()).map_err(refused)?;
    let nothing = Map::new();
    let data = object(call, "data")?.unwrap_or(&nothing);
    let body = json!({ "platform": platform(call.chat.as_ref()), "users": [user], "data": data });
    let size = body.to_string().len();
    if size > LARGEST {
        return Err(refused(format!(
            "`data` makes {size} bytes and Botmother takes {LARGEST}; send less of it"
        )));
    }
    Ok(body)
}

impl Botmother {
    async fn start(&self, call: &Call, sending: Sending<'_>) -> Outcome {
        let (event, body) = match self.event(call).and_then(|event| Ok((event, body(call)?))) {
            Ok(both) => both,
            Err(outcome) => return outcome,
        };
        let Sending { sync, step, priority, journal } = sending;
        let segments: Vec<&str> = event.segments.iter().map(String::as_str).collect();
        let request =
            self.http.call("external_event", Method::POST, &segments, priority).json(&body).any_body();
        answered(step, self.http.write(request, journal, &[(sync, step)]).await)
    }

    fn event(&self, call: &Call) -> Result<&Event, Outcome> {
        let name = needed(call, "event")?;
        self.events.get(name.trim()).ok_or_else(|| {
            let known: Vec<&str> = self.events.keys().map(String::as_str).collect();
            let why = format!(
                "{}: `events` of this destination has no `{}`; it has {}",
                call.operation,
                self.http.clean(&name),
                known.join(", ")
            );
            Outcome::Rejected { why }
        })
    }
}

impl Bot for Botmother {
    fn http(&self) -> &Http {
        &self.http
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome> {
        self.start(call, sending).boxed()
    }
}

#[cfg(test)]
mod tests;
