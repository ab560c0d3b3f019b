//! A Telegram bot, by its Bot API: messages to people who have started it.
//!
//! `POST /bot<token>/<method>` with a JSON body; the answer is `{ok: true, result}`, or `{ok: false, error_code,
//! description, parameters}` under the same status (source: Telegram, "Bot API: making requests"). The token is a part of
//! the address, so the address as a whole is the account's secret.
//!
//! A 403 is never about credentials: it says why this chat cannot be written to (blocked, deactivated, never started). The
//! Bot API has no idempotency key and no way to look up what was sent, so a message whose answer was lost may not be
//! repeated.
//!
//! Limits ("Bots FAQ: my bot is hitting limits"): about 30 messages a second, 1 a second in one chat, 20 a minute in one
//! group. The first is a window of the account; for the others a message waits for its [`Turns`]. When it is over a limit
//! all the same, Telegram says for how long in `parameters.retry_after`, and every call holds for that long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};

use super::{Bot, Sending, as_crm, done, needed, object, recipient};
use crate::crm::http::{ALLOW_PRIVATE_ADDRESSES, Account, Answer, Http, Verdict};
use crate::crm::limit::Window;
use crate::crm::settings::Reader;
use crate::crm::{ConnectError, Crm, CrmError, Description, Outcome, Priority};
use crate::id::StepId;
use crate::plan::{Call, RecordId};
use crate::rules::{BotKind, Destination, Misuse, Operation, Parameter, Setting, Shape};

/// Calls under way at once.
const CONCURRENCY: usize = 8;

/// The longest text of a message, in Unicode characters after its markup is taken away.
const LONGEST_TEXT: usize = 4096;

/// Between two messages to one person, and to one group.
const SPACING: Duration = Duration::from_secs(1);
const SPACING_OF_GROUPS: Duration = Duration::from_secs(3);

/// What a 400 says of a chat that is not there for this bot; a 403 says nothing else.
const GONE: &[&str] = &["chat not found", "user not found", "peer_id_invalid"];

const TEXT: Parameter = Parameter {
    name: "text",
    required: true,
    shape: Shape::Value,
    summary: "what to write, up to 4096 characters",
};

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "send_message",
        summary: "writes to the person; a message whose answer was lost is not repeated",
        needs_chat: true,
        main: Some("text"),
        parameters: &[
            TEXT,
            Parameter {
                name: "parse_mode",
                required: false,
                shape: Shape::Value,
                summary: "how the text is marked up: HTML or MarkdownV2; values of a lead must then be escaped in the \
                          mapping (default none)",
            },
            Parameter {
                name: "preview",
                required: false,
                shape: Shape::Value,
                summary: "false shows no preview of links (default true)",
            },
            Parameter {
                name: "reply_markup",
                required: false,
                shape: Shape::Nested,
                summary: "buttons, as the Bot API has them: { inline_keyboard: [[{ text: Open, url: \"https://…\" }]] }",
            },
        ],
        repeatable: false,
    },
    Operation {
        name: "request_contact",
        summary: "asks for the phone with a button that shares it; one whose answer was lost is not repeated",
        needs_chat: true,
        main: None,
        parameters: &[
            TEXT,
            Parameter {
                name: "button",
                required: true,
                shape: Shape::Value,
                summary: "what stands on the button: Поділитися номером",
            },
        ],
        repeatable: false,
    },
];

pub(super) static DESCRIPTION: Description = Description {
    name: "telegram",
    summary: "a Telegram bot of your own: messages to people who have started it",
    settings: &[
        Setting {
            name: "token",
            required: true,
            secret: true,
            summary: "the token that @BotFather gave the bot: 123456:ABC-DEF",
        },
        Setting {
            name: "url",
            required: false,
            secret: true,
            summary: "a Bot API server of your own: http://localhost:8081 (default https://api.telegram.org)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    windows: &[Window::sliding(30, Duration::from_secs(1))],
    processing: Duration::from_secs(10),
    search_lag: Duration::ZERO,
    bot: Some(BotKind {
        operations: OPERATIONS,
        chats: &["telegram:*"],
        writes_there: true,
        check: Some(check),
    }),
    nested: None,
    connect,
};

/// How a text may be marked up (Telegram, "Bot API: formatting options").
const PARSE_MODES: [&str; 3] = ["HTML", "MarkdownV2", "Markdown"];

fn check(_: &Destination, _: &str, arguments: &Map<String, Value>) -> Vec<Misuse> {
    misuses(arguments)
}

/// Words that Telegram would refuse.
fn misuses(arguments: &Map<String, Value>) -> Vec<Misuse> {
    let word = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::trim);
    let mode =
        word("parse_mode").filter(|mode| !PARSE_MODES.iter().any(|known| known.eq_ignore_ascii_case(mode)));
    let mode = mode.map(|mode| Misuse {
        parameter: "parse_mode",
        message: format!("`{mode}` is no way in which Telegram marks up a text"),
        help: Some("write HTML or MarkdownV2, or leave it out".to_owned()),
    });
    let preview = word("preview").filter(|preview| !matches!(*preview, "true" | "false"));
    let preview = preview.map(|preview| Misuse {
        parameter: "preview",
        message: format!("`preview` is true or false, not `{preview}`"),
        help: None,
    });
    mode.into_iter().chain(preview).collect()
}

struct Telegram {
    http: Http,
    turns: Turns,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Reader(destination);
    let token = settings.required("token")?;
    // Anything else would lead to another address.
    if !token.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, ':' | '_' | '-')) {
        return Err(ConnectError(format!(
            "destination `{}`: setting `token` is not the token of a Telegram bot, which is like 123456:ABC-DEF; \
             @BotFather shows it (/mybots > API Token)",
            destination.name
        )));
    }
    let root = settings.text("url").unwrap_or("https://api.telegram.org").trim_end_matches('/');
    let account = Account {
        url: &format!("{root}/bot{token}"),
        windows: DESCRIPTION.windows,
        secrets: vec![SecretString::from(token)],
        judge: Arc::new(|status, _| match status {
            // All methods that are called exist, so what is not found is the bot.
            404 => Some(Verdict::Unauthorised),
            _ => None,
        }),
    };
    let bot = Telegram { http: Http::new(destination, &account)?, turns: Turns::default() };
    as_crm(bot, destination, &DESCRIPTION, CONCURRENCY)
}

/// The body of a `sendMessage`; the outcome says what is wrong.
fn message(call: &Call) -> Result<(&'static str, Value), Outcome> {
    let refused = |why: &str| Outcome::Rejected { why: format!("{}: {why}", call.operation) };
    let mut body = json!({ "chat_id": recipient(call)?, "text": needed(call, "text")? });
    let operation = match call.operation.as_str() {
        "send_message" => {
            if let Some(mode) = call.text("parse_mode").filter(|mode| !mode.trim().is_empty()) {
                body["parse_mode"] = json!(mode.trim());
            }
            match call.text("preview").as_deref().map(str::trim) {
                None | Some("" | "true") => {}
                Some("false") => body["link_preview_options"] = json!({ "is_disabled": true }),
                Some(_) => return Err(refused("`preview` is true or false")),
            }
            if let Some(markup) = object(call, "reply_markup")? {
                body["reply_markup"] = json!(markup);
            }
            "send_message"
        }
        "request_contact" => {
            let button = needed(call, "button")?;
            body["reply_markup"] = json!({
                "keyboard": [[{ "text": button, "request_contact": true }]],
                "resize_keyboard": true,
                "one_time_keyboard": true,
            });
            "request_contact"
        }
        _ => return Err(refused("a Telegram bot has no such operation; this is a bug of leadfold")),
    };
    // Markup does not count, and only Telegram knows what is markup.
    let length = body["text"].as_str().unwrap_or_default().chars().count();
    if body["parse_mode"].is_null() && length > LONGEST_TEXT {
        let why = format!(
            "the text has {length} characters and Telegram takes {LONGEST_TEXT}; shorten it in the mapping"
        );
        return Err(refused(&why));
    }
    Ok((operation, body))
}

impl Telegram {
    async fn send(&self, call: &Call, sending: Sending<'_>) -> Outcome {
        let (operation, body) = match message(call) {
            Ok(message) => message,
            Err(outcome) => return outcome,
        };
        self.turns.wait(body["chat_id"].as_str().unwrap_or_default()).await;
        let Sending { sync, step, priority, journal } = sending;
        let request = self.http.call(operation, Method::POST, &["sendMessage"], priority).json(&body);
        match self.http.write(request.accept(&[400, 403]), journal, &[(sync, step)]).await {
            Ok(answer) => self.outcome(operation, step, answer),
            Err(outcome) => outcome,
        }
    }

    fn outcome(&self, operation: &'static str, step: StepId, answer: Answer) -> Outcome {
        let Answer { status, body } = answer;
        let code = match (status, body["ok"].as_bool()) {
            (200..=299, Some(true)) => {
                let id = body["result"]["message_id"].as_i64();
                return id.map_or_else(|| done(step), |id| Outcome::Done(RecordId(id.to_string())));
            }
            (200..=299, Some(false)) => {
                let code = body["error_code"].as_u64().and_then(|code| u16::try_from(code).ok());
                code.filter(|code| (400..=599).contains(code)).unwrap_or(400)
            }
            (200..=299, None) => {
                let why = format!("{operation}: the bot answered {status} and not whether it was sent");
                return Outcome::Unknown { why };
            }
            (status, _) => status,
        };
        let said = body["description"].as_str().unwrap_or_default().to_lowercase();
        let gone = match code {
            // Without a word of Telegram it is a proxy that refuses.
            403 => !said.is_empty(),
            400 => GONE.iter().any(|words| said.contains(words)),
            _ => false,
        };
        if gone {
            return Outcome::Unreachable { why: self.http.said(operation, code, &body) };
        }
        match self.http.written_item(operation, code, body) {
            Err(outcome) => outcome,
            Ok(_) => done(step),
        }
    }

    async fn greet(&self) -> Result<Option<String>, CrmError> {
        let call = self.http.call("ping", Method::POST, &["getMe"], Priority::Live);
        let me = &self.http.read(call).await?.body["result"];
        let name = me["username"].as_str().ok_or_else(|| CrmError::Rejected {
            why: "ping: the bot did not answer who it is; is `url` a Bot API server of Telegram?".to_owned(),
        })?;
        let title = me["first_name"].as_str().map(|title| format!(" ({title})")).unwrap_or_default();
        Ok(Some(format!("@{name}{title} at {}", self.http.host())))
    }
}

/// When the next message may go to a chat.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Instant>>);

impl Turns {
    /// Waits until nothing was sent to this chat for a while.
    async fn wait(&self, chat: &str) {
        sleep_until(self.take(chat, Instant::now())).await;
    }

    /// The turn that is taken, at or after this moment.
    fn take(&self, chat: &str, now: Instant) -> Instant {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        next.retain(|_, at| *at > now);
        let turn = next.get(chat).copied().unwrap_or(now);
        // Ids of groups and channels are negative.
        let spacing = if chat.starts_with('-') { SPACING_OF_GROUPS } else { SPACING };
        next.insert(chat.to_owned(), turn + spacing);
        turn
    }
}

impl Bot for Telegram {
    fn http(&self) -> &Http {
        &self.http
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome> {
        self.send(call, sending).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<Option<String>, CrmError>> {
        self.greet().boxed()
    }
}

#[cfg(test)]
mod tests;
