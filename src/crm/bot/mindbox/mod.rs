//! Mindbox (also sold as Maestra): operations that a person has made there, called by name over its API v3.
//!
//! `POST /v3/operations/{sync|async}?endpointId=&operation=&transactionId=&deviceUUID=`, `Authorization: SecretKey …`, JSON
//! both ways (Mindbox: developer documentation, "API v3").
//!
//! | answer | what it means |
//! |---|---|
//! | `Success` | done; for an asynchronous operation: queued, and what becomes of it nobody tells |
//! | `TransactionAlreadyProcessed` | done the time before |
//! | `ValidationError`, with status **200** | refused; `validationMessages` say what and where |
//! | `ProtocolError`, 400 … 429 | refused, credentials, or over the limit, by its status |
//! | `InternalServerError`, 5xx; 409; nothing or no JSON | unknown |
//!
//! Every call carries its step's id as `transactionId`. Mindbox does not process a second call with the same one (Mindbox:
//! "Idempotency"), so that whatever ends unclear is sent again, and done once.
//!
//! Which operations there are stands in the workspace; see [`operation`]. Deliberately absent: `bulk`, which takes files,
//! and XML.

mod operation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use self::operation::MindboxOperation;
use super::{Bot, Sending, as_crm, done, needed};
use crate::crm::http::{ALLOW_PRIVATE_ADDRESSES, Account, Http, Verdict};
use crate::crm::settings::Reader;
use crate::crm::{ConnectError, Crm, Description, Outcome};
use crate::map::{self, Node, closest};
use crate::plan::Call;
use crate::rules::{BotKind, Destination, Misuse, Operation, Parameter, Setting, Shape};

const URL: &str = "https://api.mindbox.ru";

/// Calls under way at once unless the workspace says otherwise.
const CONCURRENCY: usize = 4;

const OPERATIONS: &[Operation] = &[Operation {
    name: "run",
    summary: "runs an operation; done once however often it is sent, by its transactionId",
    needs_chat: false,
    main: Some("operation"),
    parameters: &[
        Parameter {
            name: "operation",
            required: true,
            shape: Shape::Value,
            summary: "which one, by its name under `operations` of the destination",
        },
        Parameter {
            name: "values",
            required: false,
            shape: Shape::Nested,
            summary: "what the placeholders of the operation's body read: { mindbox_id: \"{{ … }}\" }",
        },
        Parameter {
            name: "body",
            required: false,
            shape: Shape::Nested,
            summary: "the whole body, for an operation without one in the workspace",
        },
        Parameter {
            name: "device",
            required: false,
            shape: Shape::Value,
            summary: "deviceUUID of the visitor, by which Mindbox knows who it is",
        },
    ],
    repeatable: true,
}];

pub(in crate::crm) static DESCRIPTION: Description = Description {
    name: "mindbox",
    summary: "Mindbox or Maestra, by operations that are set up there",
    settings: &[
        Setting {
            name: "endpoint_id",
            required: true,
            secret: false,
            summary: "the integration point that calls, as Mindbox names it: Polynia.Telegram",
        },
        Setting {
            name: "secret_key",
            required: true,
            secret: true,
            summary: "the secret key of that integration point",
        },
        Setting {
            name: "operations",
            required: true,
            secret: false,
            summary: "operations by a name of yours: { by_phone: { name: Telegram.AuthorizeByPhone, body: { … } } }",
        },
        Setting {
            name: "url",
            required: false,
            secret: true,
            summary: "where its API is: https://api.mindbox.cloud, https://api.maestra.io (default https://api.mindbox.ru)",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "the rate limit that Mindbox agreed on with you: 50/s or 600/min (default none)",
        },
        Setting {
            name: "concurrency",
            required: false,
            secret: false,
            summary: "calls under way at once (default 4)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    bot: Some(BotKind { operations: OPERATIONS, chats: &[], writes_there: false, check: Some(check) }),
    nested: Some(note_problems),
    windows: &[],
    processing: Duration::from_secs(10),
    search_lag: Duration::ZERO,
    connect,
};

fn note_problems(reader: &map::Reader<'_>, destination: &Node) {
    operation::read(reader, destination);
}

/// Whether the workspace has the operation that a call names, and what that one reads is given.
fn check(destination: &Destination, _: &str, arguments: &Map<String, Json>) -> Vec<Misuse> {
    // What is wrong with the operations themselves is said at their own place.
    let Ok(operations) = Reader(destination).nested(&["operations"], operation::read) else {
        return Vec::new();
    };
    let Some(name) = arguments.get("operation").and_then(Json::as_str) else { return Vec::new() };
    if let Some(operation) = operations.get(name) {
        return operation.misuses(name, arguments);
    }
    let known = || operations.keys().map(String::as_str);
    let help = match closest(name, known()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "write one of {}, or add it under `operations` of `{}` in workspace.yaml",
            known().collect::<Vec<_>>().join(", "),
            destination.name
        ),
    };
    let message = format!("`{}` has no operation `{name}`", destination.name);
    vec![Misuse { parameter: "operation", message, help: Some(help) }]
}

struct Mindbox {
    http: Http,
    endpoint_id: String,
    secret_key: SecretString,
    operations: BTreeMap<String, MindboxOperation>,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Reader(destination);
    let secret_key = settings.secret("secret_key")?;
    settings.required("operations")?;
    let account = Account {
        url: settings.text("url").unwrap_or(URL),
        windows: &settings.rates("rate")?,
        secrets: vec![secret_key.clone()],
        judge: Arc::new(judge),
    };
    let bot = Mindbox {
        http: Http::new(destination, &account)?,
        endpoint_id: settings.required("endpoint_id")?.to_owned(),
        secret_key,
        operations: settings.nested(&["operations"], operation::read)?,
    };
    as_crm(bot, destination, &DESCRIPTION, CONCURRENCY)
}

/// A second call that meets the first is a conflict that passes, and the same transactionId makes another try harmless.
fn judge(status: u16, body: &Json) -> Option<Verdict> {
    match (status, body["status"].as_str()) {
        (_, Some("TransactionAlreadyProcessed")) => Some(Verdict::Answer),
        (409, _) => Some(Verdict::Unclear),
        _ => None,
    }
}

impl Bot for Mindbox {
    fn http(&self) -> &Http {
        &self.http
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome> {
        self.run(call, sending).map(|result| result.unwrap_or_else(|failure| failure)).boxed()
    }
}

impl Mindbox {
    async fn run(&self, call: &Call, sending: Sending<'_>) -> Result<Outcome, Outcome> {
        let name = needed(call, "operation")?;
        let rejected = |why: String| Outcome::Rejected { why: format!("{name}: {why}") };
        let Some(operation) = self.operations.get(&name) else {
            let known: Vec<&str> = self.operations.keys().map(String::as_str).collect();
            return Err(rejected(format!(
                "the destination has no such operation; write one of {}, or add it under `operations` in workspace.yaml",
                known.join(", ")
            )));
        };
        let body = operation.body(call).map_err(rejected)?;
        let device = device(call).map_err(rejected)?;
        if device.is_none() && names_nobody(&body) {
            let why = "the body says nothing by which Mindbox could know who it is (an id, a phone, an email, or the call's \
                       `device`); it would be written to a nameless customer. Look at the placeholders in the mapping";
            return Err(rejected(why.to_owned()));
        }
        let transaction = sending.step.to_string();
        let mut query = vec![
            ("endpointId", self.endpoint_id.as_str()),
            ("operation", operation.name.as_str()),
            ("transactionId", transaction.as_str()),
        ];
        query.extend(device.as_deref().map(|device| ("deviceUUID", device)));
        let path = ["v3", "operations", operation.mode.word()];
        let request = self
            .http
            .call("run", Method::POST, &path, sending.priority)
            .query(&query)
            .header("Authorization", &format!("SecretKey {}", self.secret_key.expose_secret()))
            .header("Accept", "application/json")
            .json(&body);
        let answer = self.http.write(request, sending.journal, &[(sending.sync, sending.step)]).await?;
        self.outcome(&name, sending, &answer.body)
    }

    /// What an answer with status 200 means.
    fn outcome(&self, operation: &str, sending: Sending<'_>, body: &Json) -> Result<Outcome, Outcome> {
        let said = |why: &str| self.http.clean(&format!("{operation}: {why}"));
        match body["status"].as_str() {
            Some("Success" | "TransactionAlreadyProcessed") => Ok(done(sending.step)),
            Some("ValidationError") => {
                let why = format!("Mindbox found the data invalid: {}", complaints(body));
                Err(Outcome::Rejected { why: said(&why) })
            }
            Some("ProtocolError") => {
                let why = body["errorMessage"].as_str().unwrap_or("no reason given");
                Err(Outcome::Rejected { why: said(&format!("Mindbox refuses the call: {why}")) })
            }
            Some(status) => Err(Outcome::Unknown { why: said(&format!("Mindbox answered {status}")) }),
            None => Err(Outcome::Unknown { why: said("Mindbox answered without a status") }),
        }
    }
}

fn device(call: &Call) -> Result<Option<String>, String> {
    let Some(text) = call.text("device").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    // Mindbox makes a new visitor of any other text.
    if Uuid::try_parse(&text).is_err() {
        return Err("`device` must be a UUID, and what the mapping gave is none".to_owned());
    }
    Ok(Some(text))
}

/// Whether a body speaks of a customer, and says what to write and not whom it is about.
fn names_nobody(body: &Json) -> bool {
    let customer = body["customer"].as_object();
    customer
        .is_some_and(|customer| customer.iter().all(|(key, value)| key == "customFields" || is_blank(value)))
}

/// Whether there is nothing in it.
fn is_blank(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.trim().is_empty(),
        Json::Array(items) => items.iter().all(is_blank),
        Json::Object(entries) => entries.values().all(is_blank),
        Json::Bool(_) | Json::Number(_) => false,
    }
}

/// What is wrong with the data, and where.
fn complaints(body: &Json) -> String {
    let messages = body["validationMessages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let complaint = |message: &Json| {
        let text = message["message"].as_str().unwrap_or("no reason given").trim_end_matches('.');
        message["location"].as_str().map_or_else(|| text.to_owned(), |place| format!("{text} (at {place})"))
    };
    let complaints: Vec<String> = messages.iter().map(complaint).collect();
    if complaints.is_empty() { "no reason given".to_owned() } else { complaints.join("; ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_customer_of_whom_only_custom_fields_are_known_is_nobody() {
        let check = |body: Json, expect: bool| assert_eq!(names_nobody(&body), expect, "{body}");
        check(json!({ "customer": { "customFields": { "platformID": "7" } } }), true);
        check(json!({ "customer": {} }), true);
        check(json!({ "customer": { "ids": { "mindboxId": null }, "email": " " } }), true);
        check(json!({ "customer": { "ids": { "mindboxId": 7 }, "customFields": {} } }), false);
        check(json!({ "customer": { "mobilePhone": "77010000001" } }), false);
        check(json!({ "viewProduct": {} }), false);
        check(Json::Null, false);
    }

    #[test]
    fn every_complaint_is_told_with_its_place() {
        let check = |messages: Json, expect: &str| {
            assert_eq!(complaints(&json!({ "validationMessages": messages })), expect);
        };
        check(
            json!([{ "message": "Bad phone.", "location": "/customer/mobilePhone" }, { "message": "No brand" }]),
            "Bad phone (at /customer/mobilePhone); No brand",
        );
        check(json!([]), "no reason given");
        check(Json::Null, "no reason given");
        check(json!([{ "location": "/customer" }]), "no reason given (at /customer)");
    }
}
