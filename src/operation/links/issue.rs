//! Issuing links, and drawing PINs: for whatever speaks for the bot, which has the token of the whole API.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refused;
use crate::access::Role;
use crate::clock::later;
use crate::id::PersonId;
use crate::links::{Secret, draw, draw_pin, kept, kept_pin, pin_key};
use crate::operation::people::the_one;
use crate::operation::{Means, Operation, OperationError, default_regions};
use crate::rules::LinkRules;
use crate::store::links::{ChatKey, LinkKey, NewLink};

fn yes() -> bool {
    true
}

/// Issues a link for somebody whom a bot knows, or draws another PIN for one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueLink {
    /// For whom: an id of the chat, a phone, an email, the id of a person.
    #[serde(default)]
    pub who: Option<String>,
    /// For which of their chats, by scope (`sendpulse:<bot>`); the one that `who` names, else the one that was active last.
    #[serde(default)]
    pub chat: Option<String>,
    /// Another PIN for this link, instead of a new link.
    #[serde(default)]
    pub buid: Option<String>,
    /// Whether it needs a PIN. Without one it lives for an hour at most, and proves nothing.
    #[serde(default = "yes")]
    pub pin: bool,
    /// How long it can be opened; as `links.life` of the workspace says when absent.
    #[serde(default)]
    pub minutes: Option<u32>,
    /// Countries of a phone that names none.
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
}

/// A link, for the bot to send. Not printable: whoever reads link and PIN is the person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issued {
    /// The public id.
    pub buid: String,
    /// Where it leads; absent when the workspace has no `links.url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The PIN: this is the only time that it is readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Until when it can be entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_until: Option<Timestamp>,
    /// Until when the link can be opened; absent where only the PIN is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// For whom.
    pub person: PersonId,
    /// Where it is to be sent.
    pub chat: ChatKey,
}

impl Operation for IssueLink {
    const PATH: &'static str = "/api/links/issue";
    const ROLE: Role = Role::Operator;
    type Answer = Issued;

    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Issued, OperationError> {
        let rules = means.active().await?.links.clone();
        match (&self.who, &self.buid) {
            (Some(who), None) => self.issue(means, &rules, who).await,
            (None, Some(buid)) => {
                let now = means.clock.now();
                let until = later(now, rules.pin_life);
                let pin = draw_pin(&means.clock.secret(), rules.pin_digits);
                let (link, hash) = (kept(Secret::Link, buid), kept_pin(&pin_key(buid), &pin));
                let (person, chat) = match means.store.renew_pin(link, hash, until, now).await? {
                    Ok(whose) => whose,
                    Err(why) => return refused(format!("{} {}", why.message(), why.next())),
                };
                let (buid, url) = (buid.clone(), url(&rules, buid));
                let (pin, pin_until) = (Some(pin), Some(until));
                Ok(Issued { buid, url, pin, pin_until, until: None, person, chat })
            }
            (Some(_), Some(_)) | (None, None) => refused(
                "say for whom (`who`) to issue a new link, or name one (`buid`) to draw another PIN for it"
                    .to_owned(),
            ),
        }
    }
}

impl IssueLink {
    async fn issue(&self, means: &Means, rules: &LinkRules, who: &str) -> Result<Issued, OperationError> {
        let (person, chat) = chat_of(means, who, self.chat.as_deref(), &self.regions).await?;
        let longest = if self.pin { LinkRules::LONGEST } else { LinkRules::LONGEST_WITHOUT_PIN };
        let life = match self.minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60)) {
            None => rules.life.min(longest),
            Some(life) if life.is_zero() || life > longest => {
                let minutes = longest.as_secs() / 60;
                return refused(format!(
                    "a link {} lives between 1 and {minutes} minutes",
                    if self.pin { "with a PIN" } else { "without a PIN" }
                ));
            }
            Some(life) => life,
        };
        let now = means.clock.now();
        let until = later(now, life);
        let buid = draw(&means.clock.secret());
        let pin = self.pin.then(|| draw_pin(&means.clock.secret(), rules.pin_digits));
        let pin_until = pin.as_ref().map(|_| later(now, rules.pin_life).min(until));
        let key = match (&pin, pin_until) {
            (Some(pin), Some(until)) => LinkKey::Pin(kept_pin(&pin_key(&buid), pin), until),
            _ => LinkKey::Nothing,
        };
        let id = kept(Secret::Link, &buid);
        let namespace = rules.namespace.clone();
        let link = NewLink { id, namespace, chat: chat.clone(), key, until, now };
        if !means.store.issue_link(link).await? {
            return refused(NOBODYS.to_owned());
        }
        let url = url(rules, &buid);
        Ok(Issued { buid, url, pin, pin_until, until: Some(until), person, chat })
    }
}

pub(super) const NOBODYS: &str = "the chat is nobody's any more: its person was erased just now";

/// The person who is meant, and the chat: the one that is named, else the one that was active last.
pub(super) async fn chat_of(
    means: &Means,
    who: &str,
    scope: Option<&str>,
    regions: &[String],
) -> Result<(PersonId, ChatKey), OperationError> {
    let person = the_one(means, who, regions).await?;
    let chats = means.store.chats_of(person).await?;
    let named = named(&chats, who, scope)?;
    match named.into_iter().chain(chats).next() {
        Some(chat) => Ok((person, chat)),
        None => refused(format!(
            "no chat of '{who}' is known, and a link is sent into a chat: it is known once they have written to a bot whose \
             webhooks come here"
        )),
    }
}

/// The chats that somebody means by the id of one, or by scope.
pub(super) fn named(
    chats: &[ChatKey],
    who: &str,
    scope: Option<&str>,
) -> Result<Vec<ChatKey>, OperationError> {
    let of_scope = |chat: &&ChatKey| scope.is_none_or(|scope| chat.scope == scope);
    let by_id = |chat: &&ChatKey| chat.id == who.trim();
    let named: Vec<ChatKey> = chats.iter().filter(of_scope).filter(by_id).cloned().collect();
    if !named.is_empty() || scope.is_none() {
        return Ok(named);
    }
    let named: Vec<ChatKey> = chats.iter().filter(of_scope).cloned().collect();
    if named.is_empty() {
        let known: Vec<&str> = chats.iter().map(|chat| chat.scope.as_str()).collect();
        return refused(format!(
            "they have no chat in '{}', but in: {}",
            scope.unwrap_or_default(),
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ));
    }
    Ok(named)
}

fn url(rules: &LinkRules, buid: &str) -> Option<String> {
    let url = rules.url.as_deref()?;
    if url.contains("{buid}") {
        return Some(url.replace("{buid}", buid));
    }
    let joint = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{joint}buid={buid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_id_goes_where_the_site_wants_it() {
        let check = |url_of: Option<&str>, expect: Option<&str>| {
            let rules = LinkRules { url: url_of.map(str::to_owned), ..LinkRules::default() };
            assert_eq!(url(&rules, "B").as_deref(), expect);
        };
        check(None, None);
        check(Some("https://site.com"), Some("https://site.com?buid=B"));
        check(Some("https://site.com/a?b=c"), Some("https://site.com/a?b=c&buid=B"));
        check(Some("https://site.com/enter/{buid}/"), Some("https://site.com/enter/B/"));
    }
}
