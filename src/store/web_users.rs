//! Which user of a site the person of a chat is, and what changes that. Whoever calls has shown that the chat is theirs.
//!
//! A row of `web_users` says that somebody proved it out of this very chat. It counts while chat and user are one person's:
//! an erasure, a correction by hand or another owner ends it without touching the row.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;

use super::acquaint::{Acquainted, acquaint};
use super::error::Failure;
use super::links::{Answered, ChatKey, Unlinked};
use super::merges::merge_people;
use super::sql::{Connection, args, placeholders};
use super::{StoreError, Work};
use crate::clock::Clock;
use crate::id::{MergeId, PersonId};
use crate::lead::IdentifierKind;
use crate::links::{KnownUsers, Outcome, Verdict, judge};
use crate::plan::Reason;
use crate::resolve::{Key, Known, by_own_link};
use crate::rules::IdentityRules;

/// Users that are named as candidates: somebody who shows more has found a switchboard.
const MOST_CANDIDATES: usize = 5;

/// Where one chat is dealt with.
pub(super) struct Desk<'a> {
    pub(super) namespace: &'a str,
    pub(super) chat: &'a ChatKey,
    pub(super) rules: &'a IdentityRules,
    pub(super) clock: &'a dyn Clock,
}

/// What came of it.
pub(super) struct Identified {
    pub(super) answered: Answered,
    /// The user over whom there is a conflict.
    pub(super) wanted: Option<String>,
}

impl Identified {
    fn just(answered: Answered) -> Self {
        Self { answered, wanted: None }
    }
}

/// What is known, under the locks of all that may change.
struct Facts {
    known: Known,
    person: PersonId,
    users: KnownUsers,
}

impl Desk<'_> {
    /// Says who it is, and links the chat with the user of the request where nothing contradicts it.
    pub(super) async fn identify(
        &mut self,
        connection: &mut Connection,
        request: Option<&str>,
        contacts: &[Key],
    ) -> Result<Identified, StoreError> {
        let Some(mut facts) = self.facts(connection, request.into_iter().collect()).await? else {
            return Ok(Identified::just(Answered::just(Outcome::UnknownLink)));
        };
        if request.is_none() && facts.users.linked.is_none() {
            facts.users.by_contact = self.by_contact(connection, &facts, contacts).await?;
        }
        let answered = |outcome| Answered { person: Some(facts.person), ..Answered::just(outcome) };
        let open = |outcome| Answered { ticket: true, ..answered(outcome) };
        Ok(match judge(&facts.users, request) {
            Verdict::Linked(user) => {
                Identified::just(Answered { user: Some(user), ..answered(Outcome::Linked) })
            }
            Verdict::AlreadyLinked(user) => {
                Identified::just(Answered { user: Some(user), ..answered(Outcome::AlreadyLinked) })
            }
            Verdict::Register => Identified::just(open(Outcome::Register)),
            Verdict::Found(candidates) => Identified::just(Answered { candidates, ..open(Outcome::Found) }),
            Verdict::Conflict { known, request } => {
                self.let_go(connection, &request).await?;
                conflict(facts.person, Some(known), request, "another_user")
            }
            Verdict::Bind(user) => match self.owner(&facts.known, &user) {
                Some(other) if other != facts.person => match self.join(connection, &facts, other).await? {
                    Ok((person, merge)) => {
                        self.attach(connection, person, &user).await?;
                        Identified::just(Answered {
                            person: Some(person),
                            user: Some(user),
                            merge: Some(merge),
                            ..Answered::just(Outcome::Bound)
                        })
                    }
                    Err(why) => conflict(facts.person, None, user, why),
                },
                Some(_) | None => {
                    self.attach(connection, facts.person, &user).await?;
                    Identified::just(Answered { user: Some(user), ..answered(Outcome::Bound) })
                }
            },
        })
    }

    /// Links the chat with this user instead of whoever the person was known as.
    pub(super) async fn rebind(
        &mut self,
        connection: &mut Connection,
        user: &str,
    ) -> Result<Identified, StoreError> {
        // What is taken away is locked with the rest, in the order of all locks.
        let before = self.users_of_person(connection).await?;
        let names = before.iter().map(String::as_str).chain([user]).collect();
        let Some(mut facts) = self.facts(connection, names).await? else {
            return Ok(Identified::just(Answered::just(Outcome::UnknownLink)));
        };
        let others: Vec<String> =
            facts.users.all().filter(|other| *other != user).map(str::to_owned).collect();
        if others.iter().any(|other| !before.contains(other)) {
            return Err(changed_meanwhile());
        }
        for other in &others {
            if self.is_linked_elsewhere(connection, facts.person, other).await? {
                self.let_go(connection, user).await?;
                let known = Some(other.clone());
                return Ok(conflict(facts.person, known, user.to_owned(), "another_chat_is_linked"));
            }
        }
        for other in &others {
            let key = self.user_key(other);
            detach(connection, &key).await?;
            if let Some(person) = facts.known.people.get_mut(&facts.person) {
                person.keys.remove(&key);
            }
        }
        let mut person = facts.person;
        let mut merge = None;
        if let Some(other) = self.owner(&facts.known, user).filter(|other| *other != facts.person) {
            // Where something keeps the two apart only the user changes hands: somebody has shown who that is, and asked.
            if let Ok((into, by)) = self.join(connection, &facts, other).await? {
                (person, merge) = (into, Some(by));
            }
        }
        self.attach(connection, person, user).await?;
        let answered = Answered {
            person: Some(person),
            user: Some(user.to_owned()),
            merge,
            ..Answered::just(Outcome::Rebound)
        };
        Ok(Identified::just(answered))
    }

    /// Leaves everything as it is.
    pub(super) async fn keep(&mut self, connection: &mut Connection) -> Result<Identified, StoreError> {
        let Some(facts) = self.facts(connection, Vec::new()).await? else {
            return Ok(Identified::just(Answered::just(Outcome::UnknownLink)));
        };
        let answered = Answered {
            person: Some(facts.person),
            user: facts.users.linked,
            ..Answered::just(Outcome::Kept)
        };
        Ok(Identified::just(answered))
    }

    /// Locks the chat, these users and their people; `None` when the chat is nobody's.
    async fn facts(
        &self,
        connection: &mut Connection,
        users: Vec<&str>,
    ) -> Result<Option<Facts>, StoreError> {
        let chat = chat_key(self.chat);
        let keys = users.iter().map(|user| self.user_key(user)).chain([chat.clone()]).collect();
        let now = self.clock.now().as_millisecond();
        let Acquainted { known, .. } = acquaint(connection, keys, None, &self.rules.limits, now).await?;
        let Some(person) = known.keys.get(&chat).map(|facts| facts.owner) else {
            for user in users {
                self.let_go(connection, user).await?;
            }
            return Ok(None);
        };
        let theirs: BTreeSet<&str> = known.people.get(&person).map_or_else(BTreeSet::new, |person| {
            let mine = person
                .keys
                .iter()
                .filter(|key| key.kind == IdentifierKind::ExternalCustomer && key.scope == self.namespace);
            mine.map(|key| key.value.as_str()).collect()
        });
        let sql = "SELECT user_id FROM web_users WHERE namespace = $1 AND chat_scope = $2 AND chat = $3";
        let arguments = args![self.namespace, self.chat.scope.as_str(), self.chat.id.as_str()];
        let rows = connection.fetch(sql, arguments).await?;
        let linked = rows.first().map(|row| row.text(0)).transpose()?;
        let linked = linked.filter(|user| theirs.contains(user.as_str()));
        let of_person = theirs.into_iter().filter(|user| linked.as_deref() != Some(user)).map(str::to_owned);
        let users = KnownUsers { of_person: of_person.collect(), linked, by_contact: Vec::new() };
        Ok(Some(Facts { known, person, users }))
    }

    /// Users of the site who have one of these phones and emails, or one that the person shares with them.
    async fn by_contact(
        &self,
        connection: &mut Connection,
        facts: &Facts,
        contacts: &[Key],
    ) -> Result<Vec<String>, StoreError> {
        let held = facts.known.people.get(&facts.person).into_iter().flat_map(|person| &person.held);
        let keys: Vec<_> = contacts
            .iter()
            .chain(held)
            .map(|key| args![key.kind.as_str(), key.scope.as_str(), key.value.as_str()])
            .collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = placeholders(&keys);
        let mut arguments: Vec<_> = keys.into_iter().flatten().collect();
        let place = arguments.len() + 1;
        let sql = format!(
            "SELECT DISTINCT users.value FROM identifiers AS users WHERE users.kind = 'external_customer' \
             AND users.scope = ${place} AND users.person IN ( \
               SELECT person FROM identifiers WHERE (kind, scope, value) IN (VALUES {rows}) \
               UNION SELECT person FROM holders WHERE (kind, scope, value) IN (VALUES {rows})) \
             ORDER BY users.value LIMIT {MOST_CANDIDATES}"
        );
        arguments.extend(args![self.namespace]);
        let rows = connection.fetch(&sql, arguments).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// As whom the person of the chat is known, before anything is locked.
    async fn users_of_person(&self, connection: &mut Connection) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT users.value FROM identifiers AS chats JOIN identifiers AS users ON users.person = chats.person \
             WHERE chats.kind = 'chat' AND chats.scope = $1 AND chats.value = $2 \
               AND users.kind = 'external_customer' AND users.scope = $3";
        let arguments = args![self.chat.scope.as_str(), self.chat.id.as_str(), self.namespace];
        connection.fetch(sql, arguments).await?.iter().map(|row| row.text(0)).collect()
    }

    /// Whether somebody proved this user out of another chat of the same person.
    async fn is_linked_elsewhere(
        &self,
        connection: &mut Connection,
        person: PersonId,
        user: &str,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM web_users JOIN identifiers AS chats ON chats.kind = 'chat' \
               AND chats.scope = web_users.chat_scope AND chats.value = web_users.chat \
             WHERE web_users.namespace = $1 AND web_users.user_id = $2 AND chats.person = $3 \
               AND NOT (web_users.chat_scope = $4 AND web_users.chat = $5) LIMIT 1";
        let arguments = args![self.namespace, user, person, self.chat.scope.as_str(), self.chat.id.as_str()];
        Ok(!connection.fetch(sql, arguments).await?.is_empty())
    }

    /// Makes the person of the chat and the one who has the user one, unless something keeps them apart.
    async fn join(
        &self,
        connection: &mut Connection,
        facts: &Facts,
        other: PersonId,
    ) -> Result<Result<(PersonId, MergeId), &'static str>, StoreError> {
        let joined = by_own_link(facts.person, other, self.clock.now(), &facts.known, self.rules);
        let merge = match joined {
            Ok(merge) => merge,
            Err(refusal) => return Ok(Err(refusal.code())),
        };
        let text =
            "A link of ours, out of the chat of the one, was opened with its PIN by the user of the other.";
        let reason = Reason::new("own_link", text);
        let id = merge_people(connection, self.clock, merge.from, merge.into, &reason, &[]).await?;
        Ok(Ok((merge.into, id)))
    }

    /// The user is this person's from now on, and the chat is linked with them.
    async fn attach(
        &self,
        connection: &mut Connection,
        person: PersonId,
        user: &str,
    ) -> Result<(), StoreError> {
        let now = self.clock.now().as_millisecond();
        let sql = "INSERT INTO identifiers (kind, scope, value, person, shown, proof, first_seen, seen) \
             VALUES ('external_customer', $1, $2, $3, $2, 'proven', $4, $4) \
             ON CONFLICT (kind, scope, value) DO UPDATE SET person = excluded.person, shown = excluded.shown, \
               proof = excluded.proof, seen = excluded.seen";
        connection.execute(sql, args![self.namespace, user, person, now]).await?;
        let sql = "INSERT INTO web_users (namespace, chat_scope, chat, user_id, since) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (namespace, chat_scope, chat) DO UPDATE SET user_id = excluded.user_id, since = excluded.since";
        let chat = self.chat;
        connection
            .execute(sql, args![self.namespace, chat.scope.as_str(), chat.id.as_str(), user, now])
            .await
            .map(drop)
    }

    /// Takes the lock of a user's key away where it turned out to be nobody's: nothing else would.
    async fn let_go(&self, connection: &mut Connection, user: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM identifiers WHERE person IS NULL AND kind = 'external_customer' AND scope = $1 AND value = $2";
        connection.execute(sql, args![self.namespace, user]).await.map(drop)
    }

    fn owner(&self, known: &Known, user: &str) -> Option<PersonId> {
        known.keys.get(&self.user_key(user)).map(|facts| facts.owner)
    }

    fn user_key(&self, user: &str) -> Key {
        user_key(self.namespace, user)
    }
}

impl KnownUsers {
    fn all(&self) -> impl Iterator<Item = &str> {
        self.linked.iter().chain(&self.of_person).map(String::as_str)
    }
}

fn conflict(person: PersonId, known: Option<String>, request: String, why: &'static str) -> Identified {
    let answered = Answered {
        person: Some(person),
        conflict: Some((known, request.clone(), why)),
        ticket: true,
        ..Answered::just(Outcome::Conflict)
    };
    Identified { answered, wanted: Some(request) }
}

fn changed_meanwhile() -> StoreError {
    let message = "what somebody is known as changed while it was read".to_owned();
    StoreError { message, kind: Failure::RunAgain }
}

fn chat_key(chat: &ChatKey) -> Key {
    Key { kind: IdentifierKind::Chat, scope: chat.scope.clone(), value: chat.id.clone() }
}

fn user_key(namespace: &str, user: &str) -> Key {
    Key { kind: IdentifierKind::ExternalCustomer, scope: namespace.to_owned(), value: user.to_owned() }
}

/// Takes an identifier away from whoever has or uses it.
async fn detach(connection: &mut Connection, key: &Key) -> Result<(), StoreError> {
    for table in ["identifiers", "holders"] {
        let sql = format!("DELETE FROM {table} WHERE kind = $1 AND scope = $2 AND value = $3");
        let arguments = args![key.kind.as_str(), key.scope.as_str(), key.value.as_str()];
        connection.execute(&sql, arguments).await?;
    }
    Ok(())
}

pub(super) struct Unlink {
    pub(super) namespace: String,
    pub(super) whose: Unlinked,
    pub(super) clock: std::sync::Arc<dyn Clock>,
}

impl Work for Unlink {
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let before = self.pairs(connection).await?;
            let mut chats: BTreeSet<&ChatKey> = before.iter().map(|(chat, _)| chat).collect();
            if let Unlinked::Chats(named) = &self.whose {
                chats.extend(named);
            }
            // Links first, as everywhere: whoever is just being verified comes before, or finds theirs ended.
            for chat in &chats {
                self.end_links(connection, "chat_scope = $2 AND chat = $3", [&chat.scope, &chat.id]).await?;
            }
            if let Unlinked::User(user) = &self.whose {
                self.end_links(connection, "wanted_user = $2 AND wanted_user = $3", [user, user]).await?;
            }
            let users = before.iter().map(|(_, user)| user_key(&self.namespace, user));
            let named = match &self.whose {
                Unlinked::User(user) => Some(user_key(&self.namespace, user)),
                Unlinked::Chats(_) => None,
            };
            let keys = chats.iter().map(|chat| chat_key(chat)).chain(users).chain(named).collect();
            let now = self.clock.now().as_millisecond();
            let limits = IdentityRules::default().limits;
            let Acquainted { known, .. } = acquaint(connection, keys, None, &limits, now).await?;
            let pairs = self.pairs(connection).await?;
            if !pairs.is_subset(&before) {
                return Err(changed_meanwhile());
            }
            for (chat, user) in &pairs {
                let sql = "DELETE FROM web_users WHERE namespace = $1 AND chat_scope = $2 AND chat = $3";
                let arguments = args![self.namespace.as_str(), chat.scope.as_str(), chat.id.as_str()];
                connection.execute(sql, arguments).await?;
                let owner = |key: &Key| known.keys.get(key).map(|facts| facts.owner);
                let key = user_key(&self.namespace, user);
                // Whose the user is by now is nothing of this chat's when the two are not one person's.
                if owner(&key).is_some()
                    && owner(&key) == owner(&chat_key(chat))
                    && !self.is_linked(connection, user).await?
                {
                    detach(connection, &key).await?;
                }
            }
            let sql =
                "DELETE FROM identifiers WHERE person IS NULL AND kind = $1 AND scope = $2 AND value = $3";
            for key in chats.iter().map(|chat| chat_key(chat)).chain(match &self.whose {
                Unlinked::User(user) => Some(user_key(&self.namespace, user)),
                Unlinked::Chats(_) => None,
            }) {
                let arguments = args![key.kind.as_str(), key.scope.as_str(), key.value.as_str()];
                connection.execute(sql, arguments).await?;
            }
            Ok(!pairs.is_empty())
        })
    }
}

impl Unlink {
    /// The chats and users that are meant.
    async fn pairs(&self, connection: &mut Connection) -> Result<BTreeSet<(ChatKey, String)>, StoreError> {
        let namespace = self.namespace.as_str();
        let sql = "SELECT chat_scope, chat, user_id FROM web_users WHERE namespace = $1";
        let mut rows = Vec::new();
        match &self.whose {
            Unlinked::User(user) => {
                let sql = format!("{sql} AND user_id = $2");
                rows.extend(connection.fetch(&sql, args![namespace, user.as_str()]).await?);
            }
            Unlinked::Chats(chats) => {
                let sql = format!("{sql} AND chat_scope = $2 AND chat = $3");
                for chat in chats {
                    let arguments = args![namespace, chat.scope.as_str(), chat.id.as_str()];
                    rows.extend(connection.fetch(&sql, arguments).await?);
                }
            }
        }
        rows.iter().map(|row| Ok((ChatKey { scope: row.text(0)?, id: row.text(1)? }, row.text(2)?))).collect()
    }

    async fn end_links(
        &self,
        connection: &mut Connection,
        which: &str,
        values: [&String; 2],
    ) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE links_issued SET state = 'ended', pin = NULL, pin_key = NULL, wanted_user = NULL \
             WHERE namespace = $1 AND {which} AND state IN ('open', 'proven')"
        );
        let arguments = args![self.namespace.as_str(), values[0].as_str(), values[1].as_str()];
        connection.execute(&sql, arguments).await.map(drop)
    }

    async fn is_linked(&self, connection: &mut Connection, user: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM web_users WHERE namespace = $1 AND user_id = $2 LIMIT 1";
        Ok(!connection.fetch(sql, args![self.namespace.as_str(), user]).await?.is_empty())
    }
}
