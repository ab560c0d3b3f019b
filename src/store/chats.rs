//! Chats: what events, bots and platforms say of them, in the order in which it was so and not in that in which we heard it.
//!
//! | who says it | state | counts from |
//! |---|---|---|
//! | an event by which the person did something: wrote, pressed, let the bot in again | active | when it was received |
//! | an event by which they blocked the bot, or left it | blocked | the same |
//! | any other event from the chat: the bot may have made it by itself | as it was; of a new chat active | – |
//! | a status: not delivered, forbidden | blocked | when the platform says it was, else when it was received |
//! | any other status | as it was; the status is kept | the same |
//! | a bot that refused our message ([`mark_chat_blocked`]) | blocked | when it answered |
//!
//! What is older than what is known changes nothing, so nobody is taken for reachable because a message was late. Whose a chat
//! is says `identifiers`, so merges and their undoing need nothing here. The rows are locked after all others.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::chats_of::chats_of;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, list};
use super::{Store, StoreError, Work};
use crate::event::blocked_by;
use crate::lead::{Chat, ChatNews, ChatState, Lead};
use crate::resolve::{Key, joining_keys};

/// Unowned chats that one transaction removes.
const REMOVED_TOGETHER: i64 = 500;

/// What is to be written of chats, in the order of the events.
#[derive(Default)]
pub(super) struct Chats {
    told: Vec<(Whose, ChatRow)>,
}

/// Which chat something is told of, in which scope.
enum Whose {
    /// The one with this id.
    Named(String, String),
    /// The one of these that can be written to.
    OneOf(String, Vec<String>),
    /// One of whoever has these identifiers.
    Of(String, BTreeSet<Key>),
}

/// The same, when it is known which chats they are.
#[derive(Default)]
struct Rounds {
    /// A statement touches a row once, so what differs about one chat waits for the next round.
    rounds: Vec<BTreeMap<(String, String), ChatRow>>,
    /// Statuses of which only the person is known, who has several chats: scope, their ids, and what is told.
    of_one_of: Vec<(String, Vec<String>, ChatRow)>,
}

/// What is said of one chat.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ChatRow {
    /// As the event names it; else the scope says what it can.
    chat: Option<Chat>,
    /// Why the bot cannot write there.
    blocked: Option<String>,
    /// Since when; not before another began it.
    since: i64,
    /// When that was so; 0 when nothing is said of the state.
    told_at: i64,
    /// When it was received.
    seen: i64,
    /// The platform's word, its description and when.
    status: Option<(String, Option<String>, i64)>,
}

impl ChatRow {
    /// What an event says that was received at `at`.
    fn by(news: &ChatNews, at: Timestamp) -> Self {
        let seen = at.as_millisecond();
        // Nobody knows today what will be tomorrow.
        let status_at = news.status.as_ref().and_then(|status| status.at).map_or(at, |told| told.min(at));
        let (blocked, told_at) = match (&news.state, &news.status) {
            (Some(ChatState::Blocked { why }), _) => (Some(why.clone()), seen),
            (Some(ChatState::Active), _) => (None, seen),
            (None, None) => (None, 0),
            (None, Some(status)) => match blocked_by(status) {
                Some(why) => (Some(why), status_at.as_millisecond()),
                None => (None, 0),
            },
        };
        let status = news
            .status
            .as_ref()
            .map(|status| (status.status.clone(), status.description.clone(), status_at.as_millisecond()));
        let since = if told_at == 0 { seen } else { told_at };
        Self { chat: news.chat.clone(), blocked, since, told_at, seen, status }
    }

    /// Whether one row can stand for this and what comes next: the same, of the same moment, as in one request.
    fn takes(&self, next: &Self) -> bool {
        let at = |row: &Self| row.status.as_ref().map(|(_, _, at)| *at);
        self.blocked == next.blocked
            && (self.told_at, self.seen) == (next.told_at, next.seen)
            && self.status.is_none() == next.status.is_none()
            && at(self) <= at(next)
    }

    /// Lets this row stand for what comes next, too.
    fn take(&mut self, next: Self) {
        let before = self.chat.take();
        *self = Self { since: self.since, ..next };
        match (&mut self.chat, before) {
            (Some(chat), Some(before)) => {
                chat.bot_name = chat.bot_name.take().or(before.bot_name);
                chat.link = chat.link.take().or(before.link);
            }
            (chat @ None, before) => *chat = before,
            (Some(_), None) => {}
        }
    }

    fn row(&self, scope: &str, value: &str) -> Vec<Arg> {
        let (channel, bot) = place(scope);
        let chat = self.chat.as_ref();
        let status = self.status.as_ref();
        args![
            scope,
            value,
            chat.map_or(channel, |chat| chat.channel.as_str()),
            chat.map_or(bot, |chat| chat.bot.as_str()),
            chat.and_then(|chat| chat.bot_name.clone()),
            chat.and_then(|chat| chat.link.clone()),
            if self.blocked.is_some() { "blocked" } else { "active" },
            self.blocked.clone(),
            self.since,
            self.told_at,
            self.seen,
            status.map(|(status, _, _)| status.clone()),
            status.and_then(|(_, description, _)| description.clone()),
            status.map(|(_, _, at)| *at),
        ]
    }
}

/// Channel and bot as far as a scope says them.
pub(super) fn place(scope: &str) -> (&str, &str) {
    scope.split_once(':').unwrap_or((scope, ""))
}

const COLUMNS: &str = "chats (scope, value, channel, bot, bot_name, link, state, why, since, told_at, seen, status, \
    description, status_at)";

/// A word about the state counts when it is not older than the last one. `seen` moves with whatever came from the chat, but
/// not with what became of messages to it.
const UPDATE: &str = "ON CONFLICT (scope, value) DO UPDATE SET \
    channel = CASE WHEN excluded.seen >= chats.seen THEN excluded.channel ELSE chats.channel END, \
    bot = CASE WHEN excluded.seen >= chats.seen THEN excluded.bot ELSE chats.bot END, \
    bot_name = CASE WHEN excluded.seen >= chats.seen THEN COALESCE(excluded.bot_name, chats.bot_name) \
      ELSE COALESCE(chats.bot_name, excluded.bot_name) END, \
    link = CASE WHEN excluded.seen >= chats.seen THEN COALESCE(excluded.link, chats.link) \
      ELSE COALESCE(chats.link, excluded.link) END, \
    since = CASE WHEN excluded.told_at >= chats.told_at AND excluded.state <> chats.state THEN excluded.since \
      ELSE chats.since END, \
    why = CASE WHEN excluded.told_at >= chats.told_at THEN excluded.why ELSE chats.why END, \
    state = CASE WHEN excluded.told_at >= chats.told_at THEN excluded.state ELSE chats.state END, \
    told_at = CASE WHEN excluded.told_at >= chats.told_at THEN excluded.told_at ELSE chats.told_at END, \
    seen = CASE WHEN (excluded.told_at > 0 OR excluded.status_at IS NULL) AND excluded.seen > chats.seen \
      THEN excluded.seen ELSE chats.seen END, \
    status = CASE WHEN excluded.status_at >= COALESCE(chats.status_at, 0) THEN excluded.status ELSE chats.status END, \
    description = CASE WHEN excluded.status_at >= COALESCE(chats.status_at, 0) THEN excluded.description \
      ELSE chats.description END, \
    status_at = CASE WHEN excluded.status_at >= COALESCE(chats.status_at, 0) THEN excluded.status_at \
      ELSE chats.status_at END";

impl Chats {
    /// Notes what an event says of its own chat.
    pub(super) fn tell(&mut self, news: &ChatNews, at: Timestamp) {
        if let Some(chat) = &news.chat {
            let whose = Whose::Named(news.scope.clone(), chat.id.clone());
            self.told.push((whose, ChatRow::by(news, at)));
        }
    }

    /// Notes the chat of a lead that came `at` and is mapped once more. Whether it was blocked then is known already.
    pub(super) fn know(&mut self, lead: &Lead, at: Timestamp) {
        if let (Some(scope), Some(chat)) = (&lead.chat_scope, &lead.chat) {
            let seen = at.as_millisecond();
            let (id, chat) = (chat.id.clone(), Some(chat.clone()));
            let told = ChatRow { chat, blocked: None, since: seen, told_at: 0, seen, status: None };
            self.told.push((Whose::Named(scope.clone(), id), told));
        }
    }

    /// Notes what an event says of a chat of somebody who has these in its scope.
    pub(super) fn tell_of_one(&mut self, news: &ChatNews, ids: Vec<String>, at: Timestamp) {
        self.told.push((Whose::OneOf(news.scope.clone(), ids), ChatRow::by(news, at)));
    }

    /// Notes what an event says of a chat of whoever it names, where it became no lead.
    pub(super) fn tell_of_whom_it_names(&mut self, news: &ChatNews, at: Timestamp) {
        let keys: BTreeSet<Key> = joining_keys(&news.about).collect();
        if !keys.is_empty() {
            self.told.push((Whose::Of(news.scope.clone(), keys), ChatRow::by(news, at)));
        }
    }

    /// Writes it. What the same transaction learned of people must be written by then.
    pub(super) async fn store(self, connection: &mut Connection) -> Result<(), StoreError> {
        let asked = self.told.iter().filter_map(|(whose, _)| match whose {
            Whose::Of(scope, keys) => Some((scope.as_str(), keys)),
            Whose::Named(..) | Whose::OneOf(..) => None,
        });
        let mut found = chats_of(connection, asked.collect()).await?.into_iter();
        let mut rounds = Rounds::default();
        for (whose, told) in self.told {
            match whose {
                Whose::Named(scope, value) => rounds.add(&scope, &value, told),
                Whose::OneOf(scope, ids) => rounds.add_to_one(scope, ids, told),
                Whose::Of(scope, _) => rounds.add_to_one(scope, found.next().unwrap_or_default(), told),
            }
        }
        rounds.store(connection).await
    }
}

impl Rounds {
    fn add_to_one(&mut self, scope: String, mut ids: Vec<String>, told: ChatRow) {
        match ids.as_slice() {
            [] => {}
            [only] => self.add(&scope, only, told),
            _ => {
                ids.sort_unstable();
                self.of_one_of.push((scope, ids, told));
            }
        }
    }

    fn add(&mut self, scope: &str, value: &str, told: ChatRow) {
        let key = (scope.to_owned(), value.to_owned());
        let last = self.rounds.iter_mut().rev().find_map(|round| round.get_mut(&key));
        if let Some(last) = last.filter(|last| last.takes(&told)) {
            last.take(told);
            return;
        }
        let place = self.rounds.iter().take_while(|round| round.contains_key(&key)).count();
        match self.rounds.get_mut(place) {
            Some(round) => drop(round.insert(key, told)),
            None => self.rounds.push(BTreeMap::from([(key, told)])),
        }
    }

    async fn store(self, connection: &mut Connection) -> Result<(), StoreError> {
        for round in &self.rounds {
            let rows = round.iter().map(|((scope, value), told)| told.row(scope, value)).collect();
            connection.insert_rows(COLUMNS, rows, UPDATE).await?;
        }
        for (scope, ids, told) in &self.of_one_of {
            tell_the_only_live(connection, scope, ids, told).await?;
        }
        Ok(())
    }
}

/// Tells it to the only one of these chats that is not blocked. Of several nobody knows which is meant, and a wrong guess
/// would take away a chat that works.
async fn tell_the_only_live(
    connection: &mut Connection,
    scope: &str,
    ids: &[String],
    told: &ChatRow,
) -> Result<(), StoreError> {
    let ids = ids.get(..ROWS_PER_STATEMENT.min(ids.len())).unwrap_or_default();
    let sql = format!(
        "SELECT value FROM chats WHERE scope = $1 AND value IN ({}) AND state = 'active' ORDER BY value {}",
        list(2, ids.len()),
        connection.row_locks("FOR UPDATE")
    );
    let arguments = std::iter::once(Arg::from(scope)).chain(ids.iter().map(|id| Arg::from(id.as_str())));
    let live = connection.fetch(&sql, arguments.collect()).await?;
    if let [only] = live.as_slice() {
        let row = told.row(scope, &only.text(0)?);
        connection.insert_rows(COLUMNS, vec![row], UPDATE).await?;
    }
    Ok(())
}

/// Writes down that a bot was refused by whoever is in a chat. Inside of the caller's transaction, behind all of its locks.
///
/// What an event said that was received after `at` stands: they have let the bot in again.
pub(crate) async fn mark_chat_blocked(
    connection: &mut Connection,
    scope: &str,
    value: &str,
    why: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let at = at.as_millisecond();
    let why = Some(why.to_owned());
    let told = ChatRow { chat: None, blocked: why, since: at, told_at: at, seen: 0, status: None };
    connection.insert_rows(COLUMNS, vec![told.row(scope, value)], UPDATE).await
}

/// Forgets chats of nobody that have one of these ids, with whatever bot.
pub(super) async fn forget_unowned_chats<'i>(
    connection: &mut Connection,
    ids: impl Iterator<Item = &'i str>,
) -> Result<(), StoreError> {
    let ids: Vec<Arg> = ids.map(Arg::from).collect();
    for piece in ids.chunks(ROWS_PER_STATEMENT) {
        // There are few scopes, and each is one seek: going through all chats for one id would keep everybody waiting.
        let sql = format!(
            "WITH RECURSIVE places (scope) AS (SELECT MIN(scope) FROM chats UNION ALL \
               SELECT (SELECT MIN(chats.scope) FROM chats WHERE chats.scope > places.scope) FROM places \
               WHERE places.scope IS NOT NULL) \
             DELETE FROM chats WHERE scope IN (SELECT scope FROM places) AND value IN ({}) AND NOT EXISTS ( \
               SELECT 1 FROM identifiers WHERE kind = 'chat' AND identifiers.scope = chats.scope \
               AND identifiers.value = chats.value AND person IS NOT NULL)",
            list(1, piece.len())
        );
        connection.execute(&sql, piece.to_vec()).await?;
    }
    Ok(())
}

struct MarkBlocked {
    scope: String,
    value: String,
    why: String,
    at: Timestamp,
}

impl Work for MarkBlocked {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(mark_chat_blocked(connection, &self.scope, &self.value, &self.why, self.at))
    }
}

struct RemoveUnowned {
    before: i64,
}

impl Work for RemoveUnowned {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let sql = format!(
                "DELETE FROM chats WHERE (scope, value) IN (SELECT scope, value FROM {UNOWNED} LIMIT $2)"
            );
            connection.execute(&sql, args![self.before, REMOVED_TOGETHER]).await
        })
    }
}

/// Chats of nobody, in which nothing has happened since a moment.
const UNOWNED: &str = "chats AS old WHERE seen < $1 AND NOT EXISTS (SELECT 1 FROM identifiers \
    WHERE kind = 'chat' AND identifiers.scope = old.scope AND identifiers.value = old.value AND person IS NOT NULL)";

impl Store {
    /// A bot was refused by whoever is in a chat: nothing is sent there until they let it in again.
    pub async fn mark_chat_blocked(
        &self,
        scope: &str,
        value: &str,
        why: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (scope, value, why) = (scope.to_owned(), value.to_owned(), why.to_owned());
        self.write(MarkBlocked { scope, value, why, at }).await
    }

    /// Removes some chats that are nobody's and in which nothing has happened since that moment; returns how many, 0 at the
    /// end.
    pub async fn remove_unowned_chats(&self, before: Timestamp) -> Result<u64, StoreError> {
        // Nearly always there are none, and looking for them need not keep the writer busy.
        let before = before.as_millisecond();
        let sql = format!("SELECT 1 FROM {UNOWNED} LIMIT 1");
        if self.read(&sql, args![before]).await?.is_empty() {
            return Ok(0);
        }
        self.write(RemoveUnowned { before }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lead::ChatStatus;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000 + second).unwrap()
    }

    fn news(state: Option<ChatState>, status: Option<ChatStatus>) -> ChatNews {
        let chat = Chat {
            channel: "telegram".to_owned(),
            bot: "shop".to_owned(),
            bot_name: None,
            id: "7".to_owned(),
            link: None,
        };
        ChatNews { scope: "telegram:shop".to_owned(), chat: Some(chat), about: Vec::new(), state, status }
    }

    fn forbidden(at: Option<Timestamp>) -> ChatNews {
        let (status, description) = ("UNDELIVERED".to_owned(), Some("403: Forbidden".to_owned()));
        news(None, Some(ChatStatus { status, description, at }))
    }

    #[test]
    fn a_status_counts_from_when_it_was_and_never_from_tomorrow() {
        let told = ChatRow::by(&forbidden(Some(at(1))), at(9));
        assert_eq!((told.told_at, told.seen), (at(1).as_millisecond(), at(9).as_millisecond()));
        assert!(told.blocked.is_some());
        assert_eq!(ChatRow::by(&forbidden(Some(at(99))), at(9)).told_at, at(9).as_millisecond());
        assert_eq!(ChatRow::by(&forbidden(None), at(9)).told_at, at(9).as_millisecond());
        let delivered = ChatStatus { status: "DELIVERED".to_owned(), description: None, at: None };
        assert_eq!(
            ChatRow::by(&news(None, Some(delivered)), at(9)).told_at,
            0,
            "it says nothing of the state"
        );
    }

    #[test]
    fn the_same_of_one_moment_is_one_row_and_what_differs_waits_for_the_next_round() {
        let mut rounds = Rounds::default();
        let mut tell = |state, moment| {
            rounds.add("telegram:shop", "7", ChatRow::by(&news(state, None), moment));
            rounds.rounds.len()
        };
        for _ in 0..500 {
            assert_eq!(tell(None, at(5)), 1);
        }
        // Another moment, another state: none of them may stand for another.
        assert_eq!(tell(None, at(3)), 2);
        assert_eq!(tell(Some(ChatState::Blocked { why: "stop".to_owned() }), at(600)), 3);
        assert_eq!(tell(Some(ChatState::Active), at(601)), 4);
    }

    #[test]
    fn a_person_without_a_chat_there_is_told_nothing() {
        let mut rounds = Rounds::default();
        let mut tell = |ids: &[&str]| {
            let ids = ids.iter().map(ToString::to_string).collect();
            rounds.add_to_one("telegram:shop".to_owned(), ids, ChatRow::by(&forbidden(None), at(1)));
            (rounds.rounds.len(), rounds.of_one_of.len())
        };
        assert_eq!(tell(&[]), (0, 0));
        assert_eq!(tell(&["7"]), (1, 0));
        assert_eq!(tell(&["9", "8"]), (1, 1));
    }

    #[test]
    fn only_what_the_person_did_says_that_the_bot_can_write() {
        let told = ChatRow::by(&news(None, None), at(9));
        assert_eq!((told.told_at, told.seen), (0, at(9).as_millisecond()));
        assert_eq!(ChatRow::by(&news(Some(ChatState::Active), None), at(9)).told_at, at(9).as_millisecond());
    }
}
