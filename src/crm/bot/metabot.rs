//! Metabot: schedules a job of a bot, which runs one of its scripts or triggers for one lead.
//!
//! `POST /bots/{botId}/jobs/schedule` (Metabot: documentation, "Bot API"). In Metabot's words a *lead* is one subscriber in
//! one messenger, which is a chat of ours; its *person*, who may have several leads, is no address of this API. So
//! `lead_id` is the id of the chat.
//!
//! The page names the header of the token `Authentication`, where every other service says `Authorization`. That may be a
//! slip of the page, so the header is a setting, and its default is what is written.
//!
//! What the answer holds is not documented: 2xx without a refusal in the body means that the job is scheduled. Metabot has
//! no key against scheduling a job twice, and no way to ask for one, so a call that ended unclear is not repeated.
//!
//! Deliberately absent: `broadcast_…`, which writes to everybody; `condition_script_code`, which would run a text from here
//! as a program; `is_periodic`, because a lead comes once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use jiff::civil::DateTime;
use reqwest::Method;
use reqwest::header::HeaderName;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value as Json, json};

use super::{Bot, Sending, as_crm, done, recipient};
use crate::crm::http::{ALLOW_PRIVATE_ADDRESSES, Account, Http};
use crate::crm::settings::Reader;
use crate::crm::{ConnectError, Crm, Description, Outcome};
use crate::plan::Call;
use crate::rules::{BotKind, Destination, Operation, Parameter, Setting, Shape};

/// Where the documentation says that the token stands.
const AUTH_HEADER: &str = "Authentication";

/// Calls under way at once unless the workspace says otherwise.
const CONCURRENCY: usize = 4;

/// What a job can run, and whether it is named by a number.
const TARGETS: [(&str, bool); 4] =
    [("script_code", false), ("script_id", true), ("trigger_code", false), ("trigger_id", true)];

const OPERATIONS: &[Operation] = &[Operation {
    name: "schedule_job",
    summary: "schedules a script or a trigger of the bot for this chat; not repeated where nobody knows whether it was",
    needs_chat: true,
    main: Some("script_code"),
    parameters: &[
        Parameter {
            name: "script_code",
            required: false,
            shape: Shape::Value,
            summary: "the script to run, by its code name; exactly one of script_… and trigger_…",
        },
        Parameter {
            name: "script_id",
            required: false,
            shape: Shape::Value,
            summary: "the script to run, by its number",
        },
        Parameter {
            name: "trigger_code",
            required: false,
            shape: Shape::Value,
            summary: "the trigger to run, by its code name",
        },
        Parameter {
            name: "trigger_id",
            required: false,
            shape: Shape::Value,
            summary: "the trigger to run, by its number",
        },
        Parameter {
            name: "script_request_params",
            required: false,
            shape: Shape::Nested,
            summary: "what the script reads: { order_id: \"{{ data.order.id }}\" }",
        },
        Parameter {
            name: "add_tags",
            required: false,
            shape: Shape::Value,
            summary: "tags to put on the lead, with commas between them: crm,paid",
        },
        Parameter {
            name: "remove_tags",
            required: false,
            shape: Shape::Value,
            summary: "tags to take off it",
        },
        Parameter {
            name: "run_at",
            required: false,
            shape: Shape::Value,
            summary: "when, by the clock of Metabot's server: 2026-06-10 08:30:00 (default at once)",
        },
        Parameter {
            name: "run_after_sec",
            required: false,
            shape: Shape::Value,
            summary: "in how many seconds: 300",
        },
    ],
    repeatable: false,
}];

pub(in crate::crm) static DESCRIPTION: Description = Description {
    name: "metabot",
    summary: "a bot on Metabot, by jobs that run its scripts and triggers",
    settings: &[
        Setting {
            name: "url",
            required: true,
            secret: true,
            summary: "the root of its API, as https://app.metabot24.com/api/docs has it: what stands before /bots",
        },
        Setting { name: "bot_id", required: true, secret: false, summary: "the number of the bot" },
        Setting {
            name: "token",
            required: true,
            secret: true,
            summary: "the token of an API user of the bot (Metabot: business users)",
        },
        Setting {
            name: "auth_header",
            required: false,
            secret: false,
            summary: "the header of the token (default Authentication, as Metabot's page has it; else Authorization)",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "a rate limit, if there is one: 10/s or 60/min (default none)",
        },
        Setting {
            name: "concurrency",
            required: false,
            secret: false,
            summary: "calls under way at once (default 4)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    bot: Some(BotKind { operations: OPERATIONS, chats: &["metabot:*"], writes_there: true, check: None }),
    nested: None,
    windows: &[],
    processing: Duration::from_secs(30),
    search_lag: Duration::ZERO,
    connect,
};

struct Metabot {
    http: Http,
    bot_id: String,
    header: String,
    token: SecretString,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Reader(destination);
    let token = settings.secret("token")?;
    let header = settings.text("auth_header").unwrap_or(AUTH_HEADER);
    if header.parse::<HeaderName>().is_err() {
        let name = &destination.name;
        return Err(ConnectError(format!(
            "destination `{name}`: setting `auth_header` is no name of a header; write {AUTH_HEADER} or Authorization"
        )));
    }
    let account = Account {
        url: settings.required("url")?,
        windows: &settings.rates("rate")?,
        secrets: vec![token.clone()],
        judge: Arc::new(|_, _| None),
    };
    let bot = Metabot {
        http: Http::new(destination, &account)?,
        bot_id: settings.required("bot_id")?.to_owned(),
        header: header.to_owned(),
        token,
    };
    as_crm(bot, destination, &DESCRIPTION, CONCURRENCY)
}

impl Bot for Metabot {
    fn http(&self) -> &Http {
        &self.http
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome> {
        self.schedule(call, sending).map(|result| result.unwrap_or_else(|failure| failure)).boxed()
    }
}

impl Metabot {
    async fn schedule(&self, call: &Call, sending: Sending<'_>) -> Result<Outcome, Outcome> {
        let lead = recipient(call)?;
        let job = job(call, lead).map_err(|why| Outcome::Rejected { why: format!("schedule_job: {why}") })?;
        let path = ["bots", &self.bot_id, "jobs", "schedule"];
        let request = self
            .http
            .call("schedule_job", Method::POST, &path, sending.priority)
            .header(&self.header, self.token.expose_secret())
            .json(&job);
        let answer = self.http.write(request, sending.journal, &[(sending.sync, sending.step)]).await?;
        match refusal(&answer.body) {
            None => Ok(done(sending.step)),
            Some(said) => Err(Outcome::Rejected {
                why: self.http.clean(&format!("schedule_job: Metabot refuses the job: {said}")),
            }),
        }
    }
}

/// The body of a call; the error says what is wrong with it.
fn job(call: &Call, lead: &str) -> Result<Json, String> {
    let lead: u64 = lead.trim().parse().map_err(|_| {
        "the id of a lead in Metabot is a whole number, and this chat has another one; look at `chat` in the mapping"
    })?;
    let mut job = Map::new();
    let text = |name| call.text(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    for (name, is_number) in TARGETS {
        if let Some(target) = text(name) {
            job.insert(name.to_owned(), if is_number { number(name, &target)? } else { json!(target) });
        }
    }
    if job.len() != 1 {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        return Err(format!("it must name exactly one of {names}, and names {}", job.len()));
    }
    job.insert("lead_id".to_owned(), json!(lead));
    match call.with.get("script_request_params") {
        None | Some(Json::Null) => {}
        Some(values @ Json::Object(_)) => {
            job.insert("script_request_params".to_owned(), values.clone());
        }
        Some(_) => return Err("`script_request_params` must be a mapping of names and values".to_owned()),
    }
    for name in ["add_tags", "remove_tags"] {
        let tags = call.with.get(name).map(tags).unwrap_or_default();
        if !tags.is_empty() {
            job.insert(name.to_owned(), json!(tags));
        }
    }
    match (text("run_at"), text("run_after_sec")) {
        // Metabot would take the first and say nothing.
        (Some(_), Some(_)) => return Err("write `run_at` or `run_after_sec`, not both".to_owned()),
        (Some(at), None) => {
            job.insert("run_at".to_owned(), json!(moment(&at)?));
        }
        (None, Some(seconds)) => {
            job.insert("run_after_sec".to_owned(), number("run_after_sec", &seconds)?);
        }
        (None, None) => {}
    }
    Ok(Json::Object(job))
}

fn number(name: &str, text: &str) -> Result<Json, String> {
    let number: u64 = text.parse().map_err(|_| format!("`{name}` must be a whole number, not `{text}`"))?;
    Ok(json!(number))
}

/// As Metabot reads it. A text with an offset would be another moment there.
fn moment(text: &str) -> Result<String, String> {
    let at = text.parse::<DateTime>().ok().filter(|_| text.parse::<Timestamp>().is_err());
    let at = at.ok_or_else(|| {
        format!(
            "`run_at` must be a date and a time by the clock of Metabot's server, such as 2026-06-10 08:30:00, not `{text}`"
        )
    })?;
    Ok(at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Tags with commas between them.
fn tags(value: &Json) -> String {
    let one = |value: &Json| match value {
        Json::String(text) => text.trim().to_owned(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => String::new(),
    };
    match value {
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(one).filter(|tag| !tag.is_empty()).collect();
            items.join(",")
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => one(value),
    }
}

/// What a body says that takes back its status 200.
fn refusal(body: &Json) -> Option<String> {
    let says_no = *body == Json::Bool(false) || body["success"] == json!(false);
    let error = ["error", "errorMessage", "errors"].into_iter().find_map(|key| match &body[key] {
        Json::Null | Json::Bool(false) => None,
        Json::String(text) => (!text.is_empty()).then(|| text.clone()),
        Json::Array(items) => (!items.is_empty()).then(|| body[key].to_string()),
        Json::Bool(true) | Json::Number(_) | Json::Object(_) => Some(body[key].to_string()),
    });
    let message = || body["message"].as_str().unwrap_or("no reason given").to_owned();
    error.or_else(|| says_no.then(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(with: &Json) -> Result<Json, String> {
        let with = with.as_object().unwrap().clone();
        job(&Call { operation: "schedule_job".into(), chat: None, with }, "243001")
    }

    #[test]
    fn jobs() {
        let check = |given: Json, expect: Json| assert_eq!(with(&given), Ok(expect), "{given}");
        check(json!({ "script_code": " shipped " }), json!({ "script_code": "shipped", "lead_id": 243_001 }));
        check(json!({ "trigger_id": "7" }), json!({ "trigger_id": 7, "lead_id": 243_001 }));
        check(
            json!({ "script_id": 1, "add_tags": ["crm", "", "paid"], "remove_tags": "new", "run_after_sec": 0,
                    "script_request_params": { "order_id": 1007 } }),
            json!({ "script_id": 1, "lead_id": 243_001, "script_request_params": { "order_id": 1007 },
                    "add_tags": "crm,paid", "remove_tags": "new", "run_after_sec": 0 }),
        );
        check(
            json!({ "script_id": 1, "run_at": "2026-06-10T08:30" }),
            json!({ "script_id": 1, "lead_id": 243_001, "run_at": "2026-06-10 08:30:00" }),
        );
    }

    #[test]
    fn what_is_wrong_with_a_job_is_said() {
        let check = |given: Json, expect: &str| {
            let why = with(&given).unwrap_err();
            assert!(why.contains(expect), "{given}: {why}");
        };
        check(json!({}), "exactly one of script_code");
        check(json!({ "script_code": " " }), "names 0");
        check(json!({ "script_code": "a", "trigger_code": "b" }), "names 2");
        check(json!({ "script_id": "a" }), "`script_id` must be a whole number");
        check(json!({ "script_id": 1, "run_at": "2026-06-10 08:30:00", "run_after_sec": 5 }), "not both");
        check(json!({ "script_id": 1, "run_at": "2026-06-10T08:30:00Z" }), "clock of Metabot's server");
        check(json!({ "script_id": 1, "run_at": "2026-06-10T08:30:00+03:00" }), "clock of Metabot's server");
        check(json!({ "script_id": 1, "run_at": "tomorrow" }), "`run_at` must be");
        check(json!({ "script_id": 1, "run_after_sec": "-5" }), "`run_after_sec` must be");
        check(json!({ "script_id": 1, "script_request_params": [1] }), "must be a mapping");
    }

    #[test]
    fn a_success_may_hide_a_refusal() {
        let check =
            |body: Json, expect: Option<&str>| assert_eq!(refusal(&body).as_deref(), expect, "{body}");
        check(json!({ "success": true, "error": null }), None);
        check(json!({ "id": 77 }), None);
        check(json!(true), None);
        check(Json::Null, None);
        check(json!({ "errors": [] }), None);
        check(json!(false), Some("no reason given"));
        check(json!({ "success": false, "message": "Lead not found" }), Some("Lead not found"));
        check(json!({ "error": "Lead not found" }), Some("Lead not found"));
        check(json!({ "errors": ["a"] }), Some("[\"a\"]"));
    }
}
