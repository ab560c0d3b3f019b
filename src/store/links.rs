//! Links between people whom a bot knows and users of a web site ([`crate::links`]): what is asked of the registry. The
//! statements are in [`super::link_work`] (issuing, verifying), [`super::web_users`] (which user somebody is) and
//! [`super::start_tokens`] (deep links).
//!
//! Every question is one transaction that holds the row of whoever asks, then that of the link, then the identifiers and
//! people it may change. So two visitors with one PIN come one after another, whatever the number of processes, and no
//! restart gives anybody their tries back.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::link_work::{IssueLink, RenewPin, Settle, VerifyLink};
use super::sql::args;
use super::web_users::Unlink;
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::id::{MergeId, PersonId};
use crate::links::Outcome;
use crate::resolve::Key;
use crate::rules::IdentityRules;
use crate::token::TokenHash;

/// A chat, as identifiers name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ChatKey {
    /// In what the id counts: `sendpulse:<bot>`, `telegram:<bot>`.
    pub scope: String,
    /// The id of the chat.
    pub id: String,
}

/// A link to be issued. Whatever link of this kind the chat had ends.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// What is kept of its public id.
    pub id: TokenHash,
    /// Whose user ids it binds.
    pub namespace: String,
    /// Where it goes.
    pub chat: ChatKey,
    /// What it is opened with.
    pub key: LinkKey,
    /// Until when.
    pub until: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// What a link is opened with.
#[derive(Clone, Copy, Debug)]
pub enum LinkKey {
    /// A PIN: what is kept of it, and until when it can be entered.
    Pin(TokenHash, Timestamp),
    /// Nothing: whoever has the link.
    Nothing,
    /// It is open: whoever asks for it vouches for the person. This ticket settles the rest, until its end.
    Ticket(TokenHash, Timestamp),
}

/// Who asks, and how often they may fail.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// What is kept of them.
    pub id: TokenHash,
    /// Whether one visitor is meant, or a whole site.
    pub is_visitor: bool,
}

/// A visitor with a link.
#[derive(Clone)]
pub struct Attempt {
    /// The public id.
    pub buid: String,
    /// The PIN, as it was typed.
    pub pin: Option<String>,
    /// Who is logged in at the site.
    pub user: Option<String>,
    /// Phones and emails that the visitor gave: by these they may be found.
    pub contacts: Vec<Key>,
    /// Who asks.
    pub caller: Caller,
    /// What is kept of the ticket that is given out when something is left to settle.
    pub ticket: TokenHash,
    /// What tells who is who.
    pub rules: IdentityRules,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
}

/// What a ticket is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// The visitor is this user now.
    Bind(String),
    /// The user over whom there was a conflict takes the place of the other.
    Rebind,
    /// Everything stays.
    Keep,
}

/// Somebody with a ticket.
#[derive(Clone)]
pub struct Settlement {
    /// What is kept of the ticket.
    pub ticket: TokenHash,
    /// What for.
    pub what: Use,
    /// Who asks.
    pub caller: Caller,
    /// What tells who is who.
    pub rules: IdentityRules,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// In a word.
    pub outcome: Outcome,
    /// Whose chat it is, once that is shown.
    pub person: Option<PersonId>,
    /// The user that the chat is linked with.
    pub user: Option<String>,
    /// Whom they may be.
    pub candidates: Vec<String>,
    /// Of a conflict: as whom they are known, as whom they come, and what keeps the two apart.
    pub conflict: Option<(Option<String>, String, &'static str)>,
    /// The ticket counts: something is left to settle.
    pub ticket: bool,
    /// Tries that are left for the PIN.
    pub tries_left: Option<i64>,
    /// Another PIN can be had.
    pub new_pin: bool,
    /// Two people who became one by it.
    pub merge: Option<MergeId>,
}

impl Answered {
    /// Nothing but the outcome.
    pub fn just(outcome: Outcome) -> Self {
        Self {
            outcome,
            person: None,
            user: None,
            candidates: Vec::new(),
            conflict: None,
            ticket: false,
            tries_left: None,
            new_pin: false,
            merge: None,
        }
    }
}

/// Whose link with a site ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlinked {
    /// That of these chats: somebody logs out in the bot.
    Chats(Vec<ChatKey>),
    /// That of this user, whatever the chat: somebody takes the bot away on the site.
    User(String),
}

/// The chats that are linked with a user of a site.
pub(super) const LINKED_CHATS: &str = "SELECT chats.person, chats.scope, chats.value FROM web_users \
    JOIN identifiers AS chats ON chats.kind = 'chat' AND chats.scope = web_users.chat_scope \
      AND chats.value = web_users.chat \
    JOIN identifiers AS users ON users.kind = 'external_customer' AND users.scope = web_users.namespace \
      AND users.value = web_users.user_id AND users.person = chats.person \
    WHERE web_users.namespace = $1 AND web_users.user_id = $2 ORDER BY chats.scope, chats.value";

impl Store {
    /// Keeps a link; `false` when the chat is nobody's any more.
    pub async fn issue_link(&self, link: NewLink) -> Result<bool, StoreError> {
        self.write(IssueLink { link }).await
    }

    /// Puts another PIN in place of that of a link, and gives whose chat it goes to; or why not.
    pub async fn renew_pin(
        &self,
        link: TokenHash,
        pin: TokenHash,
        pin_until: Timestamp,
        now: Timestamp,
    ) -> Result<Result<(PersonId, ChatKey), Outcome>, StoreError> {
        self.write(RenewPin { link, pin, pin_until, now }).await
    }

    /// Says who a visitor with a link is.
    pub async fn verify_link(&self, attempt: Attempt) -> Result<Answered, StoreError> {
        self.write(VerifyLink(attempt)).await
    }

    /// Settles what a right PIN left open.
    pub async fn settle_link(&self, settlement: Settlement) -> Result<Answered, StoreError> {
        self.write(Settle(settlement)).await
    }

    /// Takes links between chats and users away. `true`: there was one.
    pub async fn unlink(
        &self,
        namespace: &str,
        whose: Unlinked,
        clock: Arc<dyn Clock>,
    ) -> Result<bool, StoreError> {
        self.write(Unlink { namespace: namespace.to_owned(), whose, clock }).await
    }

    /// The chats that are linked with a user of a site, and whose they are. A link counts while chat and user are one
    /// person's.
    pub async fn linked_chats(
        &self,
        namespace: &str,
        user: &str,
    ) -> Result<Vec<(PersonId, ChatKey)>, StoreError> {
        let rows = self.read(LINKED_CHATS, args![namespace, user]).await?;
        rows.iter().map(|row| Ok((row.id(0)?, ChatKey { scope: row.text(1)?, id: row.text(2)? }))).collect()
    }

    /// The chats of a person, the one that was active last first.
    pub async fn chats_of(&self, person: PersonId) -> Result<Vec<ChatKey>, StoreError> {
        // A Telegram user's id is no chat with a bot, so it comes last.
        let sql = "SELECT scope, value FROM identifiers WHERE person = $1 AND kind = 'chat' \
             ORDER BY CASE WHEN scope = 'telegram' THEN 1 ELSE 0 END, seen DESC, scope, value";
        let rows = self.read(sql, args![person]).await?;
        rows.iter().map(|row| Ok(ChatKey { scope: row.text(0)?, id: row.text(1)? })).collect()
    }
}
