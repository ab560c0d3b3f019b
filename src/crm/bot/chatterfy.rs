//! Chatterfy: dialogs of a Telegram bot, changed by its webhook `updateDialog`.
//!
//! One GET with everything in the query: `chatId` (the id in Telegram), `stepId`, `status`, and `fields.<key>` for custom
//! fields. The older page of its documentation also writes `details.<key>`, and the newer one the bare key; what is written
//! everywhere else, and works, is `fields.`. The address names the bot by a secret, the postback id, and there is no other
//! credential. A dialog that has not begun may be changed as well: the values are there when it does. What it answers is not
//! documented, so its status decides, and a body of JSON that reports a failure.
//!
//! Nothing protects a call from being made twice: there is no key of ours and nothing to look up. A field or a status that
//! is set twice is as if set once. A step is not: moving a dialog to it sends its messages again, so a call with a step
//! whose answer was lost waits for a person, unless the destination says `blind: at_least_once`. No rate limit is known.
//!
//! Sources: Chatterfy's help, "Webhooks & API" and "Auto Actions"; code of people who call it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Method, Url};
use serde_json::{Map, Value as Json};

use super::{Bot, Sending, answered, as_crm, recipient};
use crate::crm::http::{ALLOW_PRIVATE_ADDRESSES, Account, Http, Verdict};
use crate::crm::settings::Reader as Settings;
use crate::crm::{ConnectError, Crm, Description, Outcome};
use crate::map::{Node, Reader, closest};
use crate::plan::Call;
use crate::rules::{BotKind, Destination, Misuse, Operation, Parameter, Setting, Shape};

const URL: &str = "https://app.chatterfy.ai";

const UPDATE_DIALOG: &str = "update_dialog";

const STATUSES: [&str; 3] = ["auto", "manual", "blocked"];

/// How many calls are under way at once unless the workspace says otherwise.
const CONCURRENCY: usize = 4;

static OPERATIONS: &[Operation] = &[Operation {
    name: UPDATE_DIALOG,
    summary: "moves the dialog to a step, sets its status and custom fields; with a step it is made at most once, \
              because the step's messages would be sent again",
    needs_chat: true,
    main: Some("step"),
    parameters: &[
        Parameter {
            name: "step",
            required: false,
            shape: Shape::Value,
            summary: "where it goes on: a name under `steps:` of the destination, or the id of a step",
        },
        Parameter {
            name: "status",
            required: false,
            shape: Shape::Value,
            summary: "who leads the dialog: auto, manual or blocked",
        },
        Parameter {
            name: "fields",
            required: false,
            shape: Shape::Nested,
            summary: "custom fields by their key: { balance: \"{{ query.sum }}\" }; what is empty stays as it is",
        },
    ],
    repeatable: false,
}];

pub(super) static DESCRIPTION: Description = Description {
    name: "chatterfy",
    summary: "a bot made with Chatterfy: its dialogs are moved to steps, and their fields are set",
    settings: &[
        Setting {
            name: "postback_id",
            required: true,
            secret: true,
            summary: "the part between webhooks/ and /updateDialog of the bot's link (Bot settings, Add Webhook)",
        },
        Setting {
            name: "steps",
            required: false,
            secret: false,
            summary: "ids of steps by names of your own: { Flow RD / FD: 046050f6-38f6-4b18-b9fa-e6582f5352d0 }",
        },
        Setting {
            name: "url",
            required: false,
            secret: true,
            summary: "where it is, if it is elsewhere (default https://app.chatterfy.ai)",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "its rate limits, where you know some: 60/min (default none)",
        },
        Setting {
            name: "concurrency",
            required: false,
            secret: false,
            summary: "calls under way at once (default 4)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    windows: &[],
    processing: Duration::from_secs(30),
    search_lag: Duration::ZERO,
    bot: Some(BotKind {
        operations: OPERATIONS,
        chats: &["chatterfy:*"],
        writes_there: true,
        check: Some(check),
    }),
    nested: Some(note_problems),
    connect,
};

struct Chatterfy {
    http: Http,
    steps: Steps,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Settings(destination);
    let problem = |text: &str| ConnectError(format!("destination `{}`: {text}", destination.name));
    let postback_id = settings.secret("postback_id")?;
    let text = settings.required("postback_id")?;
    if text.contains(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_') {
        return Err(problem(
            "setting `postback_id` is no id; write the part of the link between webhooks/ and /updateDialog",
        ));
    }
    let mut url = Url::parse(settings.text("url").unwrap_or(URL))
        .map_err(|error| problem(&format!("setting `url` is not an address: {error}")))?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["api", "bots", "webhooks", text]);
    }
    let account = Account {
        url: url.as_str(),
        windows: &settings.rates("rate")?,
        secrets: vec![postback_id],
        judge: Arc::new(judge),
    };
    let bot = Chatterfy { http: Http::new(destination, &account)?, steps: Steps::of(destination)? };
    as_crm(bot, destination, &DESCRIPTION, CONCURRENCY)
}

/// A success that says that it is none.
fn judge(status: u16, body: &Json) -> Option<Verdict> {
    let says = |word: &str| body.get(word).is_some_and(|value| *value == Json::Bool(false));
    let error = body.get("error").is_some_and(|error| match error {
        Json::Null | Json::Bool(false) => false,
        Json::String(text) => !text.is_empty(),
        Json::Number(code) => code.as_i64() != Some(0),
        Json::Bool(true) | Json::Array(_) | Json::Object(_) => true,
    });
    ((200..300).contains(&status) && (says("success") || says("ok") || error)).then_some(Verdict::Rejected)
}

impl Bot for Chatterfy {
    fn http(&self) -> &Http {
        &self.http
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn repeatable(&self, call: &Call) -> bool {
        !call.with.contains_key("step")
    }

    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            let query = match self.query(call) {
                Ok(query) => query,
                Err(outcome) => return outcome,
            };
            let request = self.http.call(UPDATE_DIALOG, Method::GET, &["updateDialog"], sending.priority);
            let steps = [(sending.sync, sending.step)];
            let answer = self.http.write(request.query(&query).any_body(), sending.journal, &steps).await;
            answered(sending.step, answer)
        }
        .boxed()
    }
}

impl Chatterfy {
    fn query(&self, call: &Call) -> Result<Vec<(String, String)>, Outcome> {
        let refuse = |why: String| Outcome::Rejected { why: format!("{UPDATE_DIALOG}: {why}") };
        let mut query = vec![("chatId".to_owned(), recipient(call)?.to_owned())];
        let text = |name: &str| match call.with.get(name) {
            None => Ok(None),
            Some(_) => match call.text(name).map(|text| text.trim().to_owned()) {
                Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
                None => Err(refuse(format!("`{name}` must be one value, not a list or a mapping"))),
            },
        };
        if let Some(step) = text("step")? {
            let id = self.steps.id(&step).map_err(|(why, help)| refuse(format!("{why}; {help}")))?;
            query.push(("stepId".to_owned(), id.to_owned()));
        }
        if let Some(status) = text("status")? {
            check_status(&status).map_err(|(why, help)| refuse(format!("{why}; {help}")))?;
            query.push(("status".to_owned(), status));
        }
        query.extend(fields(call.with.get("fields")).map_err(refuse)?);
        if query.len() == 1 {
            return Err(refuse(
                "no step, no status and no field has a value, so nothing would change".to_owned(),
            ));
        }
        Ok(query)
    }
}

/// `fields.<key>` for every field that has a value; a list is its items, joined by commas.
fn fields(fields: Option<&Json>) -> Result<Vec<(String, String)>, String> {
    let fields = match fields {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Object(fields)) => fields,
        Some(_) => return Err("`fields` must be a mapping: { balance: 5000 }".to_owned()),
    };
    let mut pairs = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        let nested = || format!("the field `{key}` must be one value, not a mapping");
        let text = match value {
            Json::Array(items) => {
                items.iter().map(plain).collect::<Option<Vec<_>>>().ok_or_else(nested)?.join(", ")
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
                plain(value).ok_or_else(nested)?
            }
        };
        if !text.trim().is_empty() {
            pairs.push((format!("fields.{key}"), text));
        }
    }
    Ok(pairs)
}

fn plain(value: &Json) -> Option<String> {
    match value {
        Json::Null => Some(String::new()),
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

/// What is wrong, and what to do.
type Wrong = (String, String);

fn check_status(status: &str) -> Result<(), Wrong> {
    if STATUSES.contains(&status) {
        return Ok(());
    }
    Err((format!("`{status}` is no status of a dialog"), format!("write one of: {}", STATUSES.join(", "))))
}

/// Ids of steps by name.
#[derive(Debug, Default)]
struct Steps(BTreeMap<String, (String, String)>);

impl Steps {
    fn of(destination: &Destination) -> Result<Self, ConnectError> {
        let Some(text) = Settings(destination).text("steps") else { return Ok(Self::default()) };
        let steps: Option<Map<String, Json>> = serde_json::from_str(text).ok();
        let steps = steps.and_then(|steps| {
            let entry = |(name, id): (String, Json)| Some((folded(&name), (name, plain(&id)?)));
            steps.into_iter().map(entry).collect()
        });
        steps.map(Self).ok_or_else(|| {
            let name = &destination.name;
            ConnectError(format!("destination `{name}`: setting `steps` must name steps: {STEPS}"))
        })
    }

    /// The id of a step by its name, or by itself.
    fn id<'s>(&'s self, step: &'s str) -> Result<&'s str, Wrong> {
        if let Some((_, id)) = self.0.get(&folded(step)) {
            return Ok(id);
        }
        if is_id(step) {
            return Ok(step);
        }
        let names = || self.0.values().map(|(name, _)| name.as_str());
        let help = match closest(step, names()) {
            Some(name) => format!("did you mean `{name}`?"),
            None if self.0.is_empty() => format!("name it on the destination: steps: {STEPS}"),
            None => format!("known there: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Err((format!("the destination has no step `{step}` under `steps:`"), help))
    }
}

const STEPS: &str = "{ Flow RD / FD: 046050f6-38f6-4b18-b9fa-e6582f5352d0 }";

/// Capitals, and spaces around the slash between flow and step, say nothing.
fn folded(name: &str) -> String {
    name.to_lowercase().split('/').map(str::trim).collect::<Vec<_>>().join("/")
}

/// Steps have UUIDs.
fn is_id(step: &str) -> bool {
    let groups: Vec<usize> = step.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && step.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Reads `steps:` for its problems.
fn note_problems(reader: &Reader<'_>, destination: &Node) {
    let Some(node) = destination.get("steps").filter(|node| !node.is_null()) else { return };
    let Some(section) = reader.entries(node, "`steps`") else { return };
    let mut known = BTreeMap::new();
    for (name, id) in section.node.entries() {
        let Some(text) = name.scalar() else { continue };
        if reader.text(id, "the id of a step").is_some_and(|id| id.trim().is_empty()) {
            reader.error(id.span, format!("the step `{text}` has no id"), Some(format!("write {STEPS}")));
        }
        if let Some(other) = known.insert(folded(text), text).filter(|other| *other != text) {
            let help =
                Some("capitals and spaces around `/` make no difference; keep one of the two".to_owned());
            reader.error(name.span, format!("`{text}` and `{other}` are one name"), help);
        }
    }
}

/// A step that the destination does not know, and a status that there is not.
fn check(destination: &Destination, _: &str, arguments: &Map<String, Json>) -> Vec<Misuse> {
    let constant = |name: &str| arguments.get(name).and_then(plain).filter(|text| !text.trim().is_empty());
    let misuse = |parameter, (message, help): Wrong| Misuse { parameter, message, help: Some(help) };
    let mut found = Vec::new();
    if let (Some(step), Ok(steps)) = (constant("step"), Steps::of(destination))
        && let Err(wrong) = steps.id(step.trim())
    {
        found.push(misuse("step", wrong));
    }
    if let Some(status) = constant("status")
        && let Err(wrong) = check_status(status.trim())
    {
        found.push(misuse("status", wrong));
    }
    if !["step", "status", "fields"].iter().any(|name| arguments.contains_key(*name)) {
        let help = "write a step, a status or fields: { step: Flow RD / FD, status: auto }".to_owned();
        found.push(misuse("step", ("this call changes nothing".to_owned(), help)));
    }
    found
}
