//! PINs that are sent into a chat for whoever asks: that one is asked for, and that it is sent.
//!
//! Nobody who asks shows the chat to be theirs, so what is asked for changes nothing yet: the PIN before stays good until
//! another one is sent. Whoever sends it shows no public id; the key that PINs are hashed together with is kept for them
//! from the one moment to the other.

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::link_work::{Failures, by, no_new_pin, owner};
use super::links::{Caller, ChatKey};
use super::sql::{Connection, args};
use super::{Store, StoreError, Work};
use crate::id::PersonId;
use crate::links::Outcome;
use crate::rules::LinkRules;
use crate::token::{TokenHash, from_hex, to_hex};

/// A PIN that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedPin {
    /// Whose chat.
    pub person: PersonId,
    /// Where it is to be sent.
    pub chat: ChatKey,
    /// It was asked for a moment ago, and whoever did sends it.
    pub under_way: bool,
}

/// A PIN that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingPin {
    /// What it is hashed together with.
    pub key: TokenHash,
    /// The only chat that it may be sent to.
    pub chat: ChatKey,
    /// When it was asked for.
    pub asked_at: Timestamp,
}

/// A PIN that is about to be sent, in place of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPin {
    /// What is kept of its link.
    pub link: TokenHash,
    /// What is kept of it.
    pub pin: TokenHash,
    /// Until when it can be entered.
    pub until: Timestamp,
}

struct AskForPin {
    link: TokenHash,
    key: TokenHash,
    caller: Caller,
    now: Timestamp,
}

impl Work for AskForPin {
    type Output = Result<AskedPin, Outcome>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let failures = Failures::of(connection, self.caller, self.now).await?;
            let asked = if failures.are_too_many(self.caller) {
                Err(Outcome::TooManyTries)
            } else {
                self.ask(connection).await?
            };
            let outcome = asked.as_ref().err().copied().unwrap_or(Outcome::PinOnItsWay);
            failures.end(connection, outcome).await?;
            Ok(asked)
        })
    }
}

impl AskForPin {
    async fn ask(&self, connection: &mut Connection) -> Result<Result<AskedPin, Outcome>, StoreError> {
        let Some(row) = by(connection, "id", &self.link).await? else {
            return Ok(Err(Outcome::UnknownLink));
        };
        let id = to_hex(&self.link);
        let sql = "SELECT pin_asked_at FROM links_issued WHERE id = $1 AND pin_key IS NOT NULL";
        let waiting = connection.fetch(sql, args![id.as_str()]).await?;
        let asked_at = waiting.first().map(|row| row.timestamp(0)).transpose()?;
        let mut link = row.link;
        // One that was asked for and not sent yet is counted already.
        link.pins -= i64::from(asked_at.is_some());
        if let Some(why) = no_new_pin(&link, self.now) {
            return Ok(Err(why));
        }
        let Some(person) = owner(connection, &row.chat).await? else {
            return Ok(Err(Outcome::UnknownLink));
        };
        let lately = SignedDuration::try_from(LinkRules::PIN_UNDER_WAY).unwrap_or(SignedDuration::ZERO);
        let under_way = asked_at.is_some_and(|asked_at| self.now.duration_since(asked_at).abs() < lately);
        if !under_way {
            let sql = "UPDATE links_issued SET pin_key = $2, pin_asked_at = $3, pins = $4 WHERE id = $1";
            let now = self.now.as_millisecond();
            connection.execute(sql, args![id, to_hex(&self.key), now, link.pins + 1]).await?;
        }
        Ok(Ok(AskedPin { person, chat: row.chat, under_way }))
    }
}

/// The PIN is that of its link from now on; one that was opened or has ended meanwhile has none.
pub(super) async fn pin_sent(connection: &mut Connection, sent: &SentPin) -> Result<(), StoreError> {
    let sql = "UPDATE links_issued SET pin = $2, pin_until = CASE WHEN until < $3 THEN until ELSE $3 END, tries = 0 \
         WHERE id = $1 AND state = 'open'";
    let until = sent.until.as_millisecond();
    connection.execute(sql, args![to_hex(&sent.link), to_hex(&sent.pin), until]).await.map(drop)
}

struct ForgetPinKey {
    link: TokenHash,
}

impl Work for ForgetPinKey {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let sql = "UPDATE links_issued SET pin_key = NULL WHERE id = $1";
            connection.execute(sql, args![to_hex(&self.link)]).await.map(drop)
        })
    }
}

impl Store {
    /// Notes that somebody waits for a PIN of this link; or says why there is none.
    pub async fn ask_for_pin(
        &self,
        link: TokenHash,
        key: TokenHash,
        caller: Caller,
        now: Timestamp,
    ) -> Result<Result<AskedPin, Outcome>, StoreError> {
        self.write(AskForPin { link, key, caller, now }).await
    }

    /// The PIN that somebody waits for; `None` when nobody does any more, or the link may have none.
    pub async fn waiting_pin(
        &self,
        link: TokenHash,
        now: Timestamp,
    ) -> Result<Option<WaitingPin>, StoreError> {
        let sql = "SELECT pin_key, pin_asked_at, chat_scope, chat FROM links_issued \
             WHERE id = $1 AND pin_key IS NOT NULL AND state = 'open' AND needs_pin = 1 AND until > $2";
        let arguments = args![to_hex(&link), now.as_millisecond()];
        let rows = self.read(sql, arguments).await?;
        let waiting = |row: &super::row::Row| {
            Ok(WaitingPin {
                key: row.parsed(0, from_hex)?,
                asked_at: row.timestamp(1)?,
                chat: ChatKey { scope: row.text(2)?, id: row.text(3)? },
            })
        };
        rows.first().map(waiting).transpose()
    }

    /// Nobody waits for a PIN of this link any more.
    pub async fn forget_pin_key(&self, link: TokenHash) -> Result<(), StoreError> {
        self.write(ForgetPinKey { link }).await
    }
}
