//! The bots' side of the sandbox, below `/bots/<bot>/…`: it answers every call of our adapters with a success, and remembers
//! who was called and what was done, in words.
//!
//! A demonstration and no judge: it looks at no credentials, has no faults and checks no body. What the adapters must send
//! is held against the vendors' documents by stand-ins of the tests.

use std::collections::VecDeque;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::routes::{Reply, refuse};

/// So many of the last calls are kept.
const KEPT: usize = 100;

/// The longest text that a call is told in, in characters.
const LONGEST: usize = 300;

/// A call of a bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BotCall {
    /// Counts from 1.
    pub number: u64,
    /// Which bot.
    pub bot: String,
    /// The chat or the customer that it is about; empty where it names none.
    pub to: String,
    /// What was done, in words.
    pub did: String,
    /// When.
    pub at: Timestamp,
}

/// The calls so far.
#[derive(Default)]
pub(super) struct Bots {
    pub(super) total: u64,
    pub(super) last: VecDeque<BotCall>,
}

/// What is answered to one kind of call, and how it is told.
///
/// In the two texts `{/pointer}` is a value of the JSON body, `{?name}` one of the query, and `{?}` all of the query but what
/// `to` tells.
struct Row {
    bot: &'static str,
    method: &'static str,
    /// Below the bot; `*` is any one segment, a `**` at the beginning any number of them.
    path: &'static str,
    to: &'static str,
    /// Empty: the call does nothing, and is not kept.
    did: &'static str,
    answer: &'static str,
}

const fn row(
    (bot, method, path): (&'static str, &'static str, &'static str),
    to: &'static str,
    did: &'static str,
    answer: &'static str,
) -> Row {
    Row { bot, method, path, to, did, answer }
}

const SENDPULSE: &str = r#"{"success":true,"data":true}"#;
const TELEGRAM: &str = r#"{"ok":true,"result":{"message_id":1,"username":"sandbox_bot"}}"#;
const METABOT: &str = r#"{"success":true}"#;
const MINDBOX: &str = r#"{"status":"Success"}"#;

/// The first that fits is taken.
const ROWS: &[Row] = &[
    row(
        ("sendpulse", "POST", "oauth/access_token"),
        "",
        "",
        r#"{"access_token":"demo","token_type":"Bearer","expires_in":3600}"#,
    ),
    row(("sendpulse", "POST", "**/contacts/setTag"), "{/contact_id}", "tag {/tags} set", SENDPULSE),
    row(("sendpulse", "POST", "**/contacts/deleteTag"), "{/contact_id}", "tag {/tag} taken away", SENDPULSE),
    row(
        ("sendpulse", "POST", "**/contacts/setVariable"),
        "{/contact_id}",
        "variable {/variable_name}{/variable_id} set to {/variable_value}",
        SENDPULSE,
    ),
    row(("sendpulse", "POST", "**/flows/run"), "{/contact_id}", "flow {/flow_id} started", SENDPULSE),
    row(
        ("sendpulse", "POST", "**/flows/runByTrigger"),
        "{/contact_id}",
        "flow of {/trigger_keyword} started",
        SENDPULSE,
    ),
    row(
        ("sendpulse", "POST", "**/contacts/send"),
        "{/contact_id}",
        "message: {/message}{/messages}{/text}",
        SENDPULSE,
    ),
    row(("sendpulse", "GET", "chatbots/bots"), "", "", r#"{"success":true,"data":[]}"#),
    row(("telegram", "POST", "*/getMe"), "", "", TELEGRAM),
    row(("telegram", "POST", "*/sendMessage"), "{/chat_id}", "message: {/text}", TELEGRAM),
    row(("botmother", "POST", "**"), "{/users}", "event with {/data}", "{}"),
    row(
        ("chatterfy", "GET", "api/bots/webhooks/*/updateDialog"),
        "{?chatId}",
        "dialog updated: {?}",
        r#"{"success":true}"#,
    ),
    row(
        ("metabot", "POST", "bots/*/jobs/schedule"),
        "{/lead_id}",
        "script {/script_code}{/script_id}{/trigger_code}{/trigger_id} with {/script_request_params}",
        METABOT,
    ),
    row(
        ("mindbox", "POST", "v3/operations/*"),
        "{/customer/ids/mindboxId}{/customer/mobilePhone}{?deviceUUID}",
        "{?operation}: {/customer/customFields}",
        MINDBOX,
    ),
    row(("esputnik", "POST", "v1/contacts"), "", "contacts: {/contacts}", r#"{"asyncSessionId":"1"}"#),
    row(("esputnik", "GET", "v1/importstatus/*"), "", "", r#"{"status":"FINISHED"}"#),
    row(("esputnik", "GET", "v1/account/info"), "", "", r#"{"organisationName":"the sandbox"}"#),
    row(("esputnik", "POST", "v1/apps/*/tokens"), "", "tokens: {/tokens}", "{}"),
    row(("webhook", "GET", "**"), "", "called with {?}", "{}"),
    row(("webhook", "POST", "**"), "", "called with {}", "{}"),
];

/// A call as it came.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    /// Path segments below `/bots`, the bot first.
    pub(super) segments: Vec<&'a str>,
    pub(super) query: Vec<(String, String)>,
    /// Null where there is none, or no JSON.
    pub(super) body: Value,
}

impl Bots {
    pub(super) fn answer(&mut self, asked: &Asked<'_>, at: Timestamp) -> Reply {
        let Some(row) = ROWS.iter().find(|row| row.fits(asked)) else {
            let path = asked.segments.join("/");
            let why = format!("the sandbox plays no bot that is called by {} /bots/{path}", asked.method);
            return refuse(StatusCode::NOT_FOUND, why);
        };
        if !row.did.is_empty() {
            self.total += 1;
            if self.last.len() == KEPT {
                self.last.pop_front();
            }
            self.last.push_back(BotCall {
                number: self.total,
                bot: row.bot.to_owned(),
                to: asked.fill(row.to, row.to),
                did: asked.fill(row.did, row.to).chars().take(LONGEST).collect(),
                at,
            });
        }
        (StatusCode::OK, serde_json::from_str(row.answer).unwrap_or_else(|_| json!({})))
    }
}

impl Row {
    fn fits(&self, asked: &Asked<'_>) -> bool {
        let Some((bot, path)) = asked.segments.split_first() else { return false };
        let pattern: Vec<&str> = self.path.split('/').collect();
        let fits = match (pattern.as_slice(), path) {
            (["**"], _) => true,
            (["**", end @ ..], path) => path.len() > end.len() && path.ends_with(end),
            (pattern, path) => {
                pattern.len() == path.len()
                    && pattern.iter().zip(path).all(|(want, is)| *want == "*" || want == is)
            }
        };
        *bot == self.bot && asked.method == self.method && fits
    }
}

impl Asked<'_> {
    /// Puts the values into a text.
    fn fill(&self, text: &str, to: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (place, after) = behind.split_once('}').unwrap_or((behind, ""));
            filled.push_str(before);
            filled.push_str(&match place.strip_prefix('?') {
                Some("") => {
                    let told = |name: &str| to.contains(&format!("{{?{name}}}"));
                    let others = self.query.iter().filter(|(name, _)| !told(name));
                    others.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
                }
                Some(name) => {
                    let found = self.query.iter().find(|(key, _)| key == name);
                    found.map(|(_, value)| value.clone()).unwrap_or_default()
                }
                None => self.body.pointer(place).map(in_words).unwrap_or_default(),
            });
            rest = after;
        }
        filled + rest
    }
}

/// A value as a person writes it.
fn in_words(value: &Value) -> String {
    let listed = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => listed(items.iter().map(in_words).collect()),
        Value::Object(entries) => {
            listed(entries.iter().map(|(name, value)| format!("{name} {}", in_words(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `METHOD path?query`; the status, and the call as `to: did` where it was kept.
    fn call(bots: &mut Bots, line: &str, body: Value) -> (u16, Option<String>) {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let before = bots.total;
        let asked = Asked { method, segments: path.split('/').collect(), query, body };
        let (status, _) = bots.answer(&asked, Timestamp::UNIX_EPOCH);
        let kept = bots.last.back().filter(|call| call.number > before);
        (status.as_u16(), kept.map(|call| format!("{}: {}", call.to, call.did)))
    }

    #[test]
    fn calls_are_told_in_words() {
        let mut bots = Bots::default();
        let mut check = |line: &str, body: Value, expect: Option<&str>| {
            assert_eq!(call(&mut bots, line, body), (200, expect.map(str::to_owned)), "{line}");
        };
        check("POST sendpulse/oauth/access_token", json!({}), None);
        check(
            "POST sendpulse/viber/chatbots/contacts/setTag",
            json!({ "contact_id": "66", "tags": ["CRM", "new"] }),
            Some("66: tag CRM, new set"),
        );
        check(
            "POST sendpulse/telegram/contacts/setVariable",
            json!({ "contact_id": "66", "variable_name": "deal", "variable_value": 7 }),
            Some("66: variable deal set to 7"),
        );
        check("POST telegram/bot1:a/getMe", Value::Null, None);
        check(
            "POST telegram/bot1:a/sendMessage",
            json!({ "chat_id": "7", "text": "{/x}" }),
            Some("7: message: {/x}"),
        );
        check(
            "POST botmother/cart/demo",
            json!({ "users": ["7"], "data": { "a": "b", "c": [1, { "d": null }] } }),
            Some("7: event with a b, c 1, d "),
        );
        check(
            "GET chatterfy/api/bots/webhooks/p/updateDialog?chatId=7&stepId=s&fields.balance=50.00",
            Value::Null,
            Some("7: dialog updated: stepId s, fields.balance 50.00"),
        );
        check(
            "POST mindbox/v3/operations/sync?operation=A&deviceUUID=d",
            json!({ "customer": { "customFields": { "platformID": "7" } } }),
            Some("d: A: platformID 7"),
        );
        check(
            "POST metabot/bots/7/jobs/schedule",
            json!({ "lead_id": 501, "script_code": "s", "script_request_params": { "order": 1 } }),
            Some("501: script s with order 1"),
        );
        check("GET esputnik/v1/importstatus/1", Value::Null, None);
        check("GET webhook/a/b?c=d", Value::Null, Some(": called with c d"));
    }

    #[test]
    fn what_nobody_plays_is_said_and_not_kept() {
        let mut bots = Bots::default();
        for line in
            ["POST sendpulse/viber/contacts", "POST nobody/a", "DELETE telegram/b/getMe", "GET webhooks"]
        {
            assert_eq!(call(&mut bots, line, Value::Null), (404, None), "{line}");
        }
    }

    #[test]
    fn only_the_last_calls_are_kept() {
        let mut bots = Bots::default();
        for number in 0..KEPT + 5 {
            call(&mut bots, "GET webhook/a?n=1", json!(number));
        }
        assert_eq!((bots.total, bots.last.len(), bots.last[0].number), (105, KEPT, 6));
        let long = json!({ "chat_id": 1, "text": "ї".repeat(5000) });
        let (_, told) = call(&mut bots, "POST telegram/b/sendMessage", long);
        assert!(told.unwrap().chars().count() < LONGEST + 10);
    }

    #[test]
    fn every_answer_is_json() {
        for row in ROWS {
            assert!(serde_json::from_str::<Value>(row.answer).is_ok(), "{} {}", row.bot, row.path);
        }
    }
}
