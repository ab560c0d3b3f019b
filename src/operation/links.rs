//! Links between people whom a bot knows and users of a web site ([`crate::links`] has the table of outcomes):
//! [issuing](IssueLink) one, [verifying](VerifyLink) a visitor, [binding](BindUser), [settling](SettleLink) a conflict, and
//! [unlinking](UnlinkUser).
//!
//! A site may ask for all but issuing, with a token that is good for nothing else. Whatever speaks for the bot has the token
//! of the whole API: it gets PINs, and it may name a person instead of showing a PIN.

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod issue;

pub use self::issue::{IssueLink, Issued, NewPin, new_pin};
use self::issue::{NOBODYS, after, chat_of, named};
use super::people::the_one;
use super::{Means, Operation, OperationError};
use crate::access::{self, Role};
use crate::id::{MergeId, PersonId};
use crate::lead::IdentifierKind;
use crate::links::{Outcome, Secret, draw, kept};
use crate::normalise;
use crate::resolve::Key;
use crate::rules::LinkRules;
use crate::store::links::{Answered, Attempt, Caller, LinkKey, NewLink, Settlement, Unlinked, Use};

/// The longest text that a request may have in one field, in bytes.
const LONGEST: usize = 256;

fn ukraine() -> Vec<String> {
    vec!["UA".to_owned()]
}

/// The id of a user of the site: a text or a whole number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "String")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Asks who a visitor is that opened a link.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyLink {
    /// The public id in the link.
    pub buid: String,
    /// What the visitor typed; without it the answer says whether a PIN is needed.
    #[serde(default)]
    pub pin: Option<String>,
    /// Who is logged in at the site.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// Who tries, such as the address of the visitor: failures are counted for each.
    #[serde(default)]
    pub visitor: Option<String>,
    /// A phone that the visitor gave, by which they may be found.
    #[serde(default)]
    pub phone: Option<String>,
    /// An email that the visitor gave.
    #[serde(default)]
    pub email: Option<String>,
    /// Countries of a phone that names none.
    #[serde(default = "ukraine")]
    pub regions: Vec<String>,
    /// Who asks; a site where nobody says.
    #[serde(skip)]
    pub asker: Option<access::Caller>,
}

impl Operation for VerifyLink {
    const PATH: &'static str = "/api/links/verify";
    const ROLE: Role = Role::Site;
    type Answer = Answer;

    fn asked_by(self, caller: &access::Caller) -> Self {
        Self { asker: Some(caller.clone()), ..self }
    }

    fn status(answer: &Answer) -> u16 {
        answer.outcome.status()
    }

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        let texts = [&self.pin, &self.visitor, &self.phone, &self.email].into_iter().flatten();
        for text in texts.chain([&self.buid]) {
            if text.len() > LONGEST {
                return refused(format!(
                    "a text of the request is longer than {LONGEST} bytes: nobody typed that"
                ));
            }
        }
        let mut contacts = Vec::new();
        let mut key = |kind, value| contacts.push(Key { kind, scope: String::new(), value });
        if let Some(Ok(phone)) = self.phone.as_ref().map(|phone| normalise::phone(phone, &self.regions)) {
            phone.match_keys.into_iter().for_each(|value| key(IdentifierKind::Phone, value));
        }
        if let Some(Ok(email)) = self.email.as_ref().map(|email| normalise::email(email)) {
            email.match_key.into_iter().for_each(|value| key(IdentifierKind::Email, value));
        }
        let ticket = draw(&means.clock.secret());
        let attempt = Attempt {
            buid: self.buid,
            pin: self.pin,
            user: self.user_id.map(String::from),
            contacts,
            caller: caller(self.asker.as_ref(), self.visitor.as_deref()),
            ticket: kept(Secret::Ticket, &ticket),
            rules: means.active().await?.identity.clone(),
            clock: means.clock.clone(),
        };
        let answered = means.store.verify_link(attempt).await?;
        Ok(told(means, answered, Some(ticket)))
    }
}

/// Says which user somebody is: who has just registered or logged in, with a ticket; or whom the bot has registered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindUser {
    /// Of the answer to `verify`.
    #[serde(default)]
    pub ticket: Option<String>,
    /// Instead of a ticket, for the bot: whose chat it is, as for issuing.
    #[serde(default)]
    pub who: Option<String>,
    /// Which of their chats.
    #[serde(default)]
    pub chat: Option<String>,
    /// The user.
    pub user_id: UserId,
    /// Who tries, as for verifying.
    #[serde(default)]
    pub visitor: Option<String>,
    /// Countries of a phone that names none.
    #[serde(default = "ukraine")]
    pub regions: Vec<String>,
    /// Who asks; a site where nobody says.
    #[serde(skip)]
    pub asker: Option<access::Caller>,
}

impl Operation for BindUser {
    const PATH: &'static str = "/api/links/bind";
    const ROLE: Role = Role::Site;
    type Answer = Answer;

    fn asked_by(self, caller: &access::Caller) -> Self {
        Self { asker: Some(caller.clone()), ..self }
    }

    fn status(answer: &Answer) -> u16 {
        answer.outcome.status()
    }

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        let ticket = match (&self.ticket, &self.who) {
            (Some(ticket), None) => ticket.clone(),
            (None, Some(who)) => {
                only_the_bot(self.asker.as_ref(), "who")?;
                self.ticket_for(means, who).await?
            }
            (Some(_), Some(_)) | (None, None) => {
                return refused(
                    "give the `ticket` of /api/links/verify, or say whose chat it is (`who`)".to_owned(),
                );
            }
        };
        let what = Use::Bind(self.user_id.0);
        settle(means, ticket, what, caller(self.asker.as_ref(), self.visitor.as_deref())).await
    }
}

impl BindUser {
    /// A ticket for somebody for whom whoever asks vouches.
    async fn ticket_for(&self, means: &Means, who: &str) -> Result<String, OperationError> {
        let (_, chat) = chat_of(means, who, self.chat.as_deref(), &self.regions).await?;
        let (now, ticket) = (means.clock.now(), draw(&means.clock.secret()));
        let until = after(now, LinkRules::TICKET);
        let link = NewLink {
            id: kept(Secret::Link, &draw(&means.clock.secret())),
            namespace: means.active().await?.links.namespace.clone(),
            chat,
            key: LinkKey::Ticket(kept(Secret::Ticket, &ticket), until),
            until,
            now,
        };
        if means.store.issue_link(link).await? { Ok(ticket) } else { refused(NOBODYS.to_owned()) }
    }
}

/// Settles a conflict.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleLink {
    /// Of the answer that said so.
    pub ticket: String,
    /// What the visitor wants.
    pub choice: Choice,
    /// Who tries, as for verifying.
    #[serde(default)]
    pub visitor: Option<String>,
    /// Who asks; a site where nobody says.
    #[serde(skip)]
    pub asker: Option<access::Caller>,
}

/// What a visitor wants who is known as somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// To be the user who is logged in, and not the other any more.
    Rebind,
    /// Nothing to change.
    Keep,
}

impl Operation for SettleLink {
    const PATH: &'static str = "/api/links/settle";
    const ROLE: Role = Role::Site;
    type Answer = Answer;

    fn asked_by(self, caller: &access::Caller) -> Self {
        Self { asker: Some(caller.clone()), ..self }
    }

    fn status(answer: &Answer) -> u16 {
        answer.outcome.status()
    }

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        let what = match self.choice {
            Choice::Rebind => Use::Rebind,
            Choice::Keep => Use::Keep,
        };
        settle(means, self.ticket, what, caller(self.asker.as_ref(), self.visitor.as_deref())).await
    }
}

/// Takes a link between a chat and a user away: somebody logs out in the bot, or removes the bot on the site.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlinkUser {
    /// From the site: the user.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// From the bot: whose chat, as for issuing. Named by anything but the chat, all of their chats.
    #[serde(default)]
    pub who: Option<String>,
    /// Which of their chats, by scope.
    #[serde(default)]
    pub chat: Option<String>,
    /// Countries of a phone that names none.
    #[serde(default = "ukraine")]
    pub regions: Vec<String>,
    /// Who asks; a site where nobody says.
    #[serde(skip)]
    pub asker: Option<access::Caller>,
}

impl Operation for UnlinkUser {
    const PATH: &'static str = "/api/links/unlink";
    const ROLE: Role = Role::Site;
    type Answer = Answer;

    fn asked_by(self, caller: &access::Caller) -> Self {
        Self { asker: Some(caller.clone()), ..self }
    }

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        let whose = match (self.user_id, &self.who) {
            (Some(user), None) => Unlinked::User(user.0),
            (None, Some(who)) => {
                only_the_bot(self.asker.as_ref(), "who")?;
                let person = the_one(means, who, &self.regions).await?;
                let chats = means.store.chats_of(person).await?;
                let named = named(&chats, who, self.chat.as_deref())?;
                Unlinked::Chats(if named.is_empty() { chats } else { named })
            }
            (Some(_), Some(_)) | (None, None) => {
                return refused("say which user (`user_id`), or whose chat (`who`)".to_owned());
            }
        };
        let namespace = means.active().await?.links.namespace.clone();
        let unlinked = means.store.unlink(&namespace, whose, means.clock.clone()).await?;
        let outcome = if unlinked { Outcome::Unlinked } else { Outcome::NotLinked };
        Ok(Answer::of(Answered::just(outcome), None))
    }
}

async fn settle(means: &Means, ticket: String, what: Use, caller: Caller) -> Result<Answer, OperationError> {
    if ticket.len() > LONGEST {
        return refused(format!("a ticket is not longer than {LONGEST} bytes: give it as you got it"));
    }
    let settlement = Settlement {
        ticket: kept(Secret::Ticket, &ticket),
        what,
        caller,
        rules: means.active().await?.identity.clone(),
        clock: means.clock.clone(),
    };
    let answered = means.store.settle_link(settlement).await?;
    Ok(told(means, answered, Some(ticket)))
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
fn caller(asker: Option<&access::Caller>, visitor: Option<&str>) -> Caller {
    let visitor = visitor.map(str::trim).filter(|visitor| !visitor.is_empty());
    let asker = asker.map_or(Role::Site.as_str(), |asker| &asker.name);
    let name = format!("{asker}\n{}", visitor.unwrap_or_default());
    Caller { id: kept(Secret::Caller, &name), is_visitor: visitor.is_some() }
}

fn only_the_bot(asker: Option<&access::Caller>, field: &str) -> Result<(), OperationError> {
    if asker.is_some_and(|asker| asker.role >= Role::Operator) {
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
        assert_eq!(operation.asker, None, "who asks is never read from the request");
        assert!(serde_json::from_value::<VerifyLink>(json!({ "buid": "x", "asker": {} })).is_err());
    }
}
