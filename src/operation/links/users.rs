//! Which user of the site somebody is: binding, settling a conflict, and taking the link away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::issue::{NOBODYS, chat_of, named};
use super::{Answer, LONGEST, UserId, caller, only_the_bot, refused, told};
use crate::access::Role;
use crate::clock::later;
use crate::links::{Outcome, Secret, draw, kept};
use crate::operation::people::the_one;
use crate::operation::{Means, Operation, OperationError, default_regions};
use crate::rules::LinkRules;
use crate::store::links::{Answered, Caller, LinkKey, NewLink, Settlement, Unlinked, Use};

/// Says which user somebody is: who has just registered or logged in, with a ticket; or whom the bot has registered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
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
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
}

impl Operation for BindUser {
    const PATH: &'static str = "/api/links/bind";
    const ROLE: Role = Role::Site;
    type Answer = Answer;
    const STATUSES: &'static [u16] = Outcome::STATUSES;

    fn status(answer: &Answer) -> u16 {
        answer.outcome.status()
    }

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        let ticket = match (&self.ticket, &self.who) {
            (Some(ticket), None) => ticket.clone(),
            (None, Some(who)) => {
                only_the_bot(&means.caller, "who")?;
                self.ticket_for(means, who).await?
            }
            (Some(_), Some(_)) | (None, None) => {
                return refused(
                    "give the `ticket` of /api/links/verify, or say whose chat it is (`who`)".to_owned(),
                );
            }
        };
        let what = Use::Bind(self.user_id.0);
        settle(means, ticket, what, caller(&means.caller, self.visitor.as_deref())).await
    }
}

impl BindUser {
    /// A ticket for somebody for whom whoever asks vouches.
    async fn ticket_for(&self, means: &Means, who: &str) -> Result<String, OperationError> {
        let (_, chat) = chat_of(means, who, self.chat.as_deref(), &self.regions).await?;
        let (now, ticket) = (means.clock.now(), draw(&means.clock.secret()));
        let until = later(now, LinkRules::TICKET);
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
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleLink {
    /// Of the answer that said so.
    pub ticket: String,
    /// What the visitor wants.
    pub choice: Choice,
    /// Who tries, as for verifying.
    #[serde(default)]
    pub visitor: Option<String>,
}

/// What a visitor wants who is known as somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    const STATUSES: &'static [u16] = Outcome::STATUSES;

    fn status(answer: &Answer) -> u16 {
        answer.outcome.status()
    }

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        let what = match self.choice {
            Choice::Rebind => Use::Rebind,
            Choice::Keep => Use::Keep,
        };
        settle(means, self.ticket, what, caller(&means.caller, self.visitor.as_deref())).await
    }
}

/// Takes a link between a chat and a user away: somebody logs out in the bot, or removes the bot on the site.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
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
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
}

impl Operation for UnlinkUser {
    const PATH: &'static str = "/api/links/unlink";
    const ROLE: Role = Role::Site;
    type Answer = Answer;

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        let whose = match (self.user_id, &self.who) {
            (Some(user), None) => Unlinked::User(user.0),
            (None, Some(who)) => {
                only_the_bot(&means.caller, "who")?;
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
