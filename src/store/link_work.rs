//! The statements behind [`super::links`]: issuing, verifying and settling, each in one transaction.

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::links::{Answered, Attempt, Caller, ChatKey, LinkKey, NewLink, Settlement, Use};
use super::sql::{Connection, Row, args};
use super::web_users::{Desk, Identified};
use super::{StoreError, Work};
use crate::id::PersonId;
use crate::links::{
    Examined, IssuedLink, LinkState, Outcome, Secret, examine, kept, most_failures, still_counts,
};
use crate::rules::LinkRules;
use crate::token::{TokenHash, from_hex, to_hex};

pub(super) struct IssueLink {
    pub(super) link: NewLink,
}

impl Work for IssueLink {
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let NewLink { id, namespace, chat, key, until, now } = &self.link;
            let (needs_pin, state, pin, ticket) = match key {
                LinkKey::Pin(pin, until) => (1, LinkState::Open, Some((pin, until)), None),
                LinkKey::Nothing => (0, LinkState::Open, None, None),
                LinkKey::Ticket(ticket, until) => (1, LinkState::Proven, None, Some((ticket, until))),
            };
            let sql = "UPDATE links_issued SET state = 'ended', pin = NULL, pin_key = NULL WHERE chat_scope = $1 AND chat = $2 \
                 AND namespace = $3 AND needs_pin = $4 AND state IN ('open', 'proven')";
            let whose = args![chat.scope.as_str(), chat.id.as_str(), namespace.as_str(), needs_pin];
            connection.execute(sql, whose).await?;
            // Locked, so that whoever erases the person comes before, and there is none, or after, and takes this one too.
            if owner(connection, chat).await?.is_none() {
                return Ok(false);
            }
            connection
                .execute(
                    "INSERT INTO links_issued (id, namespace, chat_scope, chat, state, needs_pin, pin, pin_until, pins, \
                     tries, ticket, ticket_until, created_at, until) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12, $13)",
                    args![
                        to_hex(id),
                        namespace.as_str(),
                        chat.scope.as_str(),
                        chat.id.as_str(),
                        state.as_str(),
                        needs_pin,
                        pin.map(|(pin, _)| to_hex(pin)),
                        pin.map_or(*now, |(_, until)| *until).as_millisecond(),
                        i64::from(pin.is_some()),
                        ticket.map(|(ticket, _)| to_hex(ticket)),
                        ticket.map(|(_, until)| until.as_millisecond()),
                        now.as_millisecond(),
                        until.as_millisecond(),
                    ],
                )
                .await?;
            Ok(true)
        })
    }
}

/// Whose a chat is, locked.
pub(super) async fn owner(
    connection: &mut Connection,
    chat: &ChatKey,
) -> Result<Option<PersonId>, StoreError> {
    let sql = format!(
        "SELECT person FROM identifiers WHERE kind = 'chat' AND scope = $1 AND value = $2 {}",
        connection.row_locks("FOR UPDATE")
    );
    let rows = connection.fetch(&sql, args![chat.scope.as_str(), chat.id.as_str()]).await?;
    rows.first().map_or(Ok(None), |row| row.optional_id(0))
}

pub(super) struct RenewPin {
    pub(super) link: TokenHash,
    pub(super) pin: TokenHash,
    pub(super) pin_until: Timestamp,
    pub(super) now: Timestamp,
}

impl Work for RenewPin {
    type Output = Result<(PersonId, ChatKey), Outcome>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let Some(row) = by(connection, "id", &self.link).await? else {
                return Ok(Err(Outcome::UnknownLink));
            };
            let Issued { chat, link, .. } = &row;
            if let Some(why) = no_new_pin(link, self.now) {
                return Ok(Err(why));
            }
            let sql =
                "UPDATE links_issued SET pin = $2, pin_until = $3, pins = pins + 1, tries = 0 WHERE id = $1";
            let pin_until = self.pin_until.min(link.until).as_millisecond();
            connection.execute(sql, args![to_hex(&self.link), to_hex(&self.pin), pin_until]).await?;
            Ok(match owner(connection, chat).await? {
                Some(person) => Ok((person, chat.clone())),
                None => Err(Outcome::UnknownLink),
            })
        })
    }
}

/// Why a link has no further PIN; `None` when it may have one.
pub(super) fn no_new_pin(link: &IssuedLink, now: Timestamp) -> Option<Outcome> {
    if link.may_have_new_pin(now) {
        return None;
    }
    // Which of the reasons it is, the same table says as for whoever opens it.
    Some(match examine(Some(link), "", Some("?"), (0, 1), now) {
        Examined::Not(
            outcome @ (Outcome::UsedLink | Outcome::EndedLink | Outcome::ExpiredLink | Outcome::Recognised),
        ) => outcome,
        Examined::Not(_) | Examined::Proven => Outcome::TooManyTries,
    })
}

pub(super) struct VerifyLink(pub(super) Attempt);

impl Work for VerifyLink {
    type Output = Answered;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Answered, StoreError>> {
        Box::pin(async move {
            let attempt = &self.0;
            let now = attempt.clock.now();
            let failures = Failures::of(connection, attempt.caller, now).await?;
            let id = kept(Secret::Link, &attempt.buid);
            let row = by(connection, "id", &id).await?;
            let link = row.as_ref().map(|row| &row.link);
            let examined =
                examine(link, &attempt.buid, attempt.pin.as_deref(), failures.against(attempt.caller), now);
            let answered = match (examined, row) {
                (Examined::Proven, Some(row)) => {
                    let mut desk = row.desk(&attempt.rules, &*attempt.clock);
                    let identified =
                        desk.identify(connection, attempt.user.as_deref(), &attempt.contacts).await?;
                    row.proven(connection, &identified, Some(&attempt.ticket), now).await?;
                    identified.answered
                }
                (Examined::Not(outcome), Some(row)) => row.not(connection, outcome, now).await?,
                (Examined::Not(outcome), None) => Answered::just(outcome),
                (Examined::Proven, None) => Answered::just(Outcome::UnknownLink),
            };
            failures.end(connection, answered.outcome).await?;
            Ok(answered)
        })
    }
}

pub(super) struct Settle(pub(super) Settlement);

impl Work for Settle {
    type Output = Answered;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Answered, StoreError>> {
        Box::pin(async move {
            let failures = Failures::of(connection, self.0.caller, self.0.clock.now()).await?;
            let answered = if failures.are_too_many(self.0.caller) {
                Answered::just(Outcome::TooManyTries)
            } else {
                self.settle(connection).await?
            };
            failures.end(connection, answered.outcome).await?;
            Ok(answered)
        })
    }
}

impl Settle {
    async fn settle(&self, connection: &mut Connection) -> Result<Answered, StoreError> {
        let Settlement { ticket, what, rules, clock, .. } = &self.0;
        let now = clock.now();
        let Some(row) = by(connection, "ticket", ticket).await? else {
            return Ok(Answered::just(Outcome::UnknownTicket));
        };
        if row.link.state != LinkState::Proven {
            return Ok(Answered::just(Outcome::UsedTicket));
        }
        if row.ticket_until.is_none_or(|until| now >= until) {
            return Ok(Answered::just(Outcome::ExpiredTicket));
        }
        let mut desk = row.desk(rules, &**clock);
        let identified = match (what, &row.wanted) {
            (Use::Bind(user), _) => desk.identify(connection, Some(user), &[]).await?,
            (Use::Rebind | Use::Keep, None) => return Ok(Answered::just(Outcome::NothingToSettle)),
            (Use::Rebind, Some(user)) => desk.rebind(connection, user).await?,
            (Use::Keep, Some(_)) => desk.keep(connection).await?,
        };
        row.proven(connection, &identified, None, now).await?;
        Ok(identified.answered)
    }
}

/// A link as its row says.
pub(super) struct Issued {
    id: TokenHash,
    namespace: String,
    pub(super) chat: ChatKey,
    pub(super) link: IssuedLink,
    ticket_until: Option<Timestamp>,
    wanted: Option<String>,
}

/// The link whose `column` holds this hash, locked until the end of the transaction.
pub(super) async fn by(
    connection: &mut Connection,
    column: &str,
    hash: &TokenHash,
) -> Result<Option<Issued>, StoreError> {
    let sql = format!(
        "SELECT id, namespace, chat_scope, chat, state, needs_pin, pin, pin_until, pins, tries, created_at, until, \
         ticket_until, wanted_user FROM links_issued WHERE {column} = $1 {}",
        connection.row_locks("FOR UPDATE")
    );
    let rows = connection.fetch(&sql, args![to_hex(hash)]).await?;
    rows.first().map(read).transpose()
}

fn read(row: &Row) -> Result<Issued, StoreError> {
    let link = IssuedLink {
        state: row.parsed(4, LinkState::parse)?,
        needs_pin: row.int(5)? != 0,
        pin: row.optional_text(6)?.map(|_| row.parsed(6, from_hex)).transpose()?,
        pin_until: row.timestamp(7)?,
        pins: row.int(8)?,
        tries: row.int(9)?,
        created_at: row.timestamp(10)?,
        until: row.timestamp(11)?,
    };
    Ok(Issued {
        id: row.parsed(0, from_hex)?,
        namespace: row.text(1)?,
        chat: ChatKey { scope: row.text(2)?, id: row.text(3)? },
        link,
        ticket_until: row.optional_timestamp(12)?,
        wanted: row.optional_text(13)?,
    })
}

impl Issued {
    fn desk<'a>(
        &'a self,
        rules: &'a crate::rules::IdentityRules,
        clock: &'a dyn crate::clock::Clock,
    ) -> Desk<'a> {
        Desk { namespace: &self.namespace, chat: &self.chat, rules, clock }
    }

    /// Uses the PIN up, and keeps what is left to settle.
    async fn proven(
        &self,
        connection: &mut Connection,
        identified: &Identified,
        ticket: Option<&TokenHash>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = to_hex(&self.id);
        if !identified.answered.ticket {
            let sql = "UPDATE links_issued SET state = 'used', pin = NULL, pin_key = NULL, wanted_user = NULL WHERE id = $1";
            return connection.execute(sql, args![id]).await.map(drop);
        }
        let wanted = identified.wanted.clone();
        let Some(ticket) = ticket else {
            // The ticket is there already, and goes on until its end.
            let sql = "UPDATE links_issued SET wanted_user = $2 WHERE id = $1";
            return connection.execute(sql, args![id, wanted]).await.map(drop);
        };
        let until = SignedDuration::try_from(LinkRules::TICKET).unwrap_or(SignedDuration::ZERO);
        let until = now.saturating_add(until).unwrap_or(Timestamp::MAX).as_millisecond();
        let sql = "UPDATE links_issued SET state = 'proven', pin = NULL, pin_key = NULL, ticket = $2, ticket_until = $3, wanted_user = $4 \
             WHERE id = $1";
        connection.execute(sql, args![id, to_hex(ticket), until, wanted]).await.map(drop)
    }

    /// Writes down that a visitor has not shown enough.
    async fn not(
        &self,
        connection: &mut Connection,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Answered, StoreError> {
        let mut link = self.link.clone();
        if outcome == Outcome::WrongPin {
            link.tries += 1;
            let sql = "UPDATE links_issued SET tries = tries + 1 WHERE id = $1";
            connection.execute(sql, args![to_hex(&self.id)]).await?;
        }
        if outcome == Outcome::ExpiredPin && link.pin.is_some() {
            // For good, whatever becomes of the clock.
            let sql = "UPDATE links_issued SET pin = NULL WHERE id = $1";
            connection.execute(sql, args![to_hex(&self.id)]).await?;
        }
        let mut answered = Answered::just(outcome);
        if outcome == Outcome::Recognised {
            answered.person = owner(connection, &self.chat).await?;
            if answered.person.is_none() {
                answered.outcome = Outcome::UnknownLink;
            }
        }
        if matches!(
            outcome,
            Outcome::WrongPin | Outcome::ExpiredPin | Outcome::TooManyTries | Outcome::PinRequired
        ) {
            answered.new_pin = link.may_have_new_pin(now);
        }
        if outcome == Outcome::WrongPin {
            answered.tries_left = Some(link.tries_left());
        }
        Ok(answered)
    }
}

/// How often whoever asks has failed; their row is locked, so they ask once at a time.
pub(super) struct Failures {
    caller: String,
    since: i64,
    count: i64,
}

impl Failures {
    pub(super) async fn of(
        connection: &mut Connection,
        caller: Caller,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let caller = to_hex(&caller.id);
        let sql = "INSERT INTO link_failures (caller, since, count) VALUES ($1, $2, 0) \
             ON CONFLICT (caller) DO UPDATE SET count = link_failures.count RETURNING since, count";
        let rows = connection.fetch(sql, args![caller.as_str(), now.as_millisecond()]).await?;
        let row = rows.first().ok_or_else(|| StoreError::damaged("a row vanished while it was written"))?;
        let since = row.timestamp(0)?;
        if still_counts(since, now) {
            return Ok(Self { caller, since: since.min(now).as_millisecond(), count: row.int(1)? });
        }
        Ok(Self { caller, since: now.as_millisecond(), count: 0 })
    }

    /// Whether the same visitor may not ask any more for now.
    pub(super) fn are_too_many(&self, caller: Caller) -> bool {
        let (count, most) = self.against(caller);
        count >= most
    }

    /// How many, and how many are allowed.
    fn against(&self, caller: Caller) -> (i64, i64) {
        (self.count, most_failures(caller.is_visitor))
    }

    pub(super) async fn end(self, connection: &mut Connection, outcome: Outcome) -> Result<(), StoreError> {
        let count = self.count + i64::from(outcome.is_failure());
        if count == 0 {
            let sql = "DELETE FROM link_failures WHERE caller = $1";
            return connection.execute(sql, args![self.caller]).await.map(drop);
        }
        let sql = "UPDATE link_failures SET since = $2, count = $3 WHERE caller = $1";
        connection.execute(sql, args![self.caller, self.since, count]).await.map(drop)
    }
}
