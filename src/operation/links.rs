//! Links between people whom a bot knows and users of a web site ([`crate::links`] has the table of outcomes):
//! [issuing](IssueLink) one, [verifying](VerifyLink) a visitor, [binding](BindUser), [settling](SettleLink) a conflict, and
//! [unlinking](UnlinkUser).
//!
//! [Another PIN](SendPin) goes into the chat, and never to whoever asked for it.
//!
//! A site may ask for all but issuing, with a token that is good for nothing else. Whatever speaks for the bot has the token
//! of the whole API: it gets PINs, and it may name a person instead of showing a PIN.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod issue;
mod send_pin;
mod users;
mod verify;

pub use self::issue::{IssueLink, Issued};
pub use self::send_pin::SendPin;
pub use self::users::{BindUser, Choice, SettleLink, UnlinkUser};
pub use self::verify::VerifyLink;
use super::{Means, OperationError};
use crate::access::{self, Role};
use crate::id::{MergeId, PersonId};
use crate::links::{Outcome, Secret, kept};
use crate::normalise;
use crate::store::links::{Answered, Caller};

/// The longest text that a request may have in one field, in bytes.
const LONGEST: usize = 256;

/// The id of a user of the site: a text or a whole number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Value", into = "String")]
#[schemars(extend("type" = ["string", "integer"]))]
pub struct UserId(pub String);

impl TryFrom<Value> for UserId {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err("the id of a user is a text or a number".to_owned());
            }
        };
        // One id that stands for nothing would join everybody who is nobody.
        normalise::id(&text, "user_id")
            .map(Self)
            .map_err(|flaw| format!("user_id is no id: {} Leave it out where nobody is logged in", flaw.text))
    }
}

impl From<UserId> for String {
    fn from(user: UserId) -> Self {
        user.0
    }
}

/// What came of a request about a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LinkAnswer")]
pub struct Answer {
    /// In a word.
    pub outcome: Outcome,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub next: String,
    /// Whose chat it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// The user whom the chat is linked with: the only one to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Whom they may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// What contradicts what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Contradiction>,
    /// Settles the rest, once and for half an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Tries that are left for this PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_left: Option<i64>,
    /// Whether another PIN can be had for this link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_pin: Option<bool>,
    /// Two people became one by this; `leadfold people split` undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeId>,
}

/// Why the visitor cannot simply be the user who is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contradiction {
    /// As whom they are known; absent where the user of the request is another person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// As whom they come.
    pub request: String,
    /// In a word: `another_user`, `another_chat_is_linked`, or what keeps two people apart.
    pub why: String,
}

impl Answer {
    fn of(answered: Answered, ticket: Option<String>) -> Self {
        let Answered {
            outcome,
            person,
            user,
            candidates,
            conflict,
            ticket: open,
            tries_left,
            new_pin,
            merge,
        } = answered;
        if let Some(merge) = merge {
            tracing::info!(%merge, "two people are one: a link of ours was opened with its PIN");
        }
        let may_ask = matches!(
            outcome,
            Outcome::WrongPin | Outcome::ExpiredPin | Outcome::TooManyTries | Outcome::PinRequired
        );
        let contradiction = |(known, request, why): (Option<String>, String, &str)| Contradiction {
            known,
            request,
            why: why.to_owned(),
        };
        Self {
            outcome,
            message: outcome.message().to_owned(),
            next: outcome.next().to_owned(),
            person,
            user_id: user,
            candidates,
            conflict: conflict.map(contradiction),
            ticket: ticket.filter(|_| open),
            tries_left,
            new_pin: may_ask.then_some(new_pin),
            merge,
        }
    }
}

fn told(means: &Means, answered: Answered, ticket: Option<String>) -> Answer {
    tracing::debug!(outcome = answered.outcome.code(), "a link was asked about");
    if answered.outcome == Outcome::Rebound {
        tracing::info!(person = ?answered.person.map(|person| person.to_string()), "a visitor chose another user of the site");
    }
    if answered.merge.is_some() {
        // Plans that were made without knowing that two are one are made anew.
        (means.wake_workers)();
    }
    Answer::of(answered, ticket)
}

/// Who tries: who asks, and whom they say they do it for.
fn caller(asker: &access::Caller, visitor: Option<&str>) -> Caller {
    let visitor = visitor.map(str::trim).filter(|visitor| !visitor.is_empty());
    let name = format!("{}\n{}", asker.name, visitor.unwrap_or_default());
    Caller { id: kept(Secret::Caller, &name), is_visitor: visitor.is_some() }
}

fn only_the_bot(asker: &access::Caller, field: &str) -> Result<(), OperationError> {
    if asker.role >= Role::Operator {
        return Ok(());
    }
    Err(OperationError::Forbidden(format!(
        "`{field}` names a person without proof, so it takes the token of the whole API; with the token for links only, \
         verify a PIN and use the ticket"
    )))
}

fn refused<T>(text: String) -> Result<T, OperationError> {
    Err(OperationError::Refused(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_a_text_or_a_number_and_never_nobody() {
        let check = |value: Value, expect: Option<&str>| {
            let got = serde_json::from_value::<UserId>(value.clone()).ok();
            assert_eq!(got.as_ref().map(|user| user.0.as_str()), expect, "{value}");
        };
        check(json!("10045"), Some("10045"));
        check(json!(10045), Some("10045"));
        check(json!(" u-17 "), Some("u-17"));
        for nobody in [
            json!(""),
            json!("null"),
            json!("undefined"),
            json!(0),
            json!("{{user.id}}"),
            json!([1]),
            json!(true),
        ] {
            check(nobody, None);
        }
        let operation: VerifyLink = serde_json::from_value(json!({ "buid": "x", "user_id": null })).unwrap();
        assert_eq!(operation.user_id, None);
        assert!(serde_json::from_value::<VerifyLink>(json!({ "buid": "x", "client": "api" })).is_err());
    }
}
