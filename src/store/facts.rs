//! What is remembered of people beside what they are known by: fields, clicks, and the chats they can be reached in.
//!
//! Fields and clicks stay with the person for whom they were written, also when that one becomes part of somebody else.
//! Whoever is asked about has their own and those of everybody who is part of them; a merge that is undone takes away again
//! what it had brought.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chats::place;
use super::merges::{PRESENT_AND_MERGED, present};
use super::sql::{Arg, Connection, Row, args, json};
use super::{Store, StoreError};
use crate::decide::PersonChat;
use crate::id::PersonId;
use crate::lead::{ChatState, IdentifierKind, Lead};

/// What a template sees of a person, and what people look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonFacts {
    /// What mappings remember of them, by name; the newest value of each.
    pub fields: BTreeMap<String, PersonField>,
    /// Click ids that brought them, the newest first.
    pub clicks: Vec<PersonClick>,
    /// Their chats, the one in which something happened last first.
    pub chats: Vec<KnownChat>,
}

/// A value that a mapping remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PersonField {
    /// The value.
    pub value: Value,
    /// When the request came that said it.
    pub at: Timestamp,
}

/// A click id that brought somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonClick {
    /// The id.
    pub click: String,
    /// When the request came that had it first.
    pub at: Timestamp,
}

/// A chat in which a person can be reached, or could be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KnownChat {
    /// In what its id counts, such as `telegram:shop`.
    pub scope: String,
    /// Its id.
    pub value: String,
    /// The messenger.
    pub channel: String,
    /// The bot's id.
    pub bot: String,
    /// The bot's name, where a platform says it.
    pub bot_name: Option<String>,
    /// Where people open it.
    pub link: Option<String>,
    /// Whether the bot can write there.
    pub state: ChatState,
    /// Since when.
    pub since: Timestamp,
    /// When something last came from there.
    pub seen: Timestamp,
    /// What became of the last message that a platform told of.
    pub status: Option<KnownStatus>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KnownStatus {
    /// The platform's word.
    pub status: String,
    /// What it says about that.
    pub description: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl From<&KnownChat> for PersonChat {
    fn from(chat: &KnownChat) -> Self {
        Self {
            scope: chat.scope.clone(),
            id: chat.value.clone(),
            channel: chat.channel.clone(),
            blocked: matches!(chat.state, ChatState::Blocked { .. }),
        }
    }
}

impl PersonFacts {
    /// The click that brought them last.
    pub fn click(&self) -> Option<&str> {
        self.clicks.first().map(|click| click.click.as_str())
    }
}

/// Of each name the newest last.
const FIELDS: &str = "SELECT name, value, at FROM person_fields WHERE person IN (SELECT id FROM merged) \
    ORDER BY at, sequence, CASE WHEN person IN (SELECT id FROM present) THEN 1 ELSE 0 END, person";

const CLICKS: &str =
    "SELECT click, at FROM clicks WHERE person IN (SELECT id FROM merged) ORDER BY at DESC, click";

/// A chat without a row is from before there were such rows. A scope without a bot is of users and not of chats.
const CHATS: &str = "SELECT i.scope, i.value, c.channel, c.bot, c.bot_name, c.link, c.state, c.why, \
      COALESCE(c.since, i.first_seen), COALESCE(c.seen, i.seen), c.status, c.description, c.status_at \
    FROM identifiers i LEFT JOIN chats c ON c.scope = i.scope AND c.value = i.value \
    WHERE i.person IN (SELECT id FROM present) AND i.kind = 'chat' AND i.scope LIKE '%:%' \
    ORDER BY COALESCE(c.seen, i.seen) DESC, i.scope, i.value";

impl PersonFacts {
    fn read(fields: &[Row], clicks: &[Row], chats: &[Row]) -> Result<Self, StoreError> {
        let mut facts = Self::default();
        for row in fields {
            facts.fields.insert(row.text(0)?, PersonField { value: row.json(1)?, at: row.timestamp(2)? });
        }
        for row in clicks {
            facts.clicks.push(PersonClick { click: row.text(0)?, at: row.timestamp(1)? });
        }
        for row in chats {
            facts.chats.push(known_chat(row)?);
        }
        Ok(facts)
    }
}

fn known_chat(row: &Row) -> Result<KnownChat, StoreError> {
    let scope = row.text(0)?;
    let (channel, bot) = place(&scope);
    let (channel, bot) = (channel.to_owned(), bot.to_owned());
    let state = match row.optional_text(6)?.as_deref() {
        Some("blocked") => ChatState::Blocked { why: row.optional_text(7)?.unwrap_or_default() },
        _ => ChatState::Active,
    };
    let status = match (row.optional_text(10)?, row.optional_timestamp(12)?) {
        (Some(status), Some(at)) => Some(KnownStatus { status, description: row.optional_text(11)?, at }),
        _ => None,
    };
    Ok(KnownChat {
        value: row.text(1)?,
        channel: row.optional_text(2)?.unwrap_or(channel),
        bot: row.optional_text(3)?.unwrap_or(bot),
        bot_name: row.optional_text(4)?,
        link: row.optional_text(5)?,
        state,
        since: row.timestamp(8)?,
        seen: row.timestamp(9)?,
        status,
        scope,
    })
}

/// What reads rows: a transaction that has its own before its eyes, or the store with what is committed.
pub(crate) trait Reads {
    /// The rows of a statement.
    fn rows(
        &mut self,
        sql: &str,
        args: Vec<Arg>,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
}

impl Reads for Connection {
    async fn rows(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        self.fetch(sql, args).await
    }
}

impl Reads for &Store {
    async fn rows(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        self.read(sql, args).await
    }
}

/// The statements that read the fields, clicks and chats of a person.
pub(super) fn facts_of_a_person() -> [String; 3] {
    [FIELDS, CLICKS, CHATS].map(|what| format!("{PRESENT_AND_MERGED} {what}"))
}

/// What is remembered of a person, of whoever they are by now; nothing of somebody who is not there.
pub(crate) async fn person_facts(
    reads: &mut impl Reads,
    person: PersonId,
) -> Result<PersonFacts, StoreError> {
    let [fields, clicks, chats] = facts_of_a_person();
    let fields = reads.rows(&fields, args![person]).await?;
    let clicks = reads.rows(&clicks, args![person]).await?;
    let chats = reads.rows(&chats, args![person]).await?;
    PersonFacts::read(&fields, &clicks, &chats)
}

/// Whom a click brought, as they are by now; `None` while nobody has it.
pub(crate) async fn person_of_click(
    reads: &mut impl Reads,
    click: &str,
) -> Result<Option<PersonId>, StoreError> {
    let sql = concat!(
        "WITH RECURSIVE ",
        present!("(SELECT person FROM clicks WHERE click = $1)"),
        " SELECT id FROM present"
    );
    reads.rows(sql, args![click]).await?.first().map(|row| row.id(0)).transpose()
}

impl Store {
    /// What is remembered of a person, of whoever they are by now; nothing of somebody who is not there.
    pub async fn person_facts(&self, person: PersonId) -> Result<PersonFacts, StoreError> {
        person_facts(&mut &*self, person).await
    }

    /// Whom a click brought, as they are by now; `None` while nobody has it.
    pub async fn person_of_click(&self, click: &str) -> Result<Option<PersonId>, StoreError> {
        person_of_click(&mut &*self, click).await
    }
}

/// What leads say that is to be remembered of people.
#[derive(Default)]
pub(super) struct Remembered {
    /// By person and name: the value, when it came, and the place of its lead.
    fields: BTreeMap<(PersonId, String), (String, i64, i64)>,
    /// By click id: whom it brought, and when.
    clicks: BTreeMap<String, (PersonId, i64)>,
}

impl Remembered {
    /// Notes what a lead says, that came `at`; `place` is its place among the others.
    pub(super) fn add(
        &mut self,
        lead: &Lead,
        person: PersonId,
        at: Timestamp,
        place: i64,
    ) -> Result<(), StoreError> {
        let at = at.as_millisecond();
        for (name, value) in &lead.person_fields {
            let said = (json(value)?, at, place);
            match self.fields.entry((person, name.clone())) {
                Entry::Vacant(entry) => drop(entry.insert(said)),
                Entry::Occupied(mut entry) if (entry.get().1, entry.get().2) <= (said.1, said.2) => {
                    entry.insert(said);
                }
                Entry::Occupied(_) => {}
            }
        }
        for click in lead.identifiers.iter().filter(|given| given.kind == IdentifierKind::Click) {
            for id in &click.keys {
                self.clicks.entry(id.clone()).or_insert((person, at));
            }
        }
        Ok(())
    }

    /// Binds clicks. Whoever came with one first keeps it.
    pub(super) async fn store_clicks(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let row = |(click, (person, at)): (&String, &(PersonId, i64))| args![click.as_str(), *person, *at];
        let rows = self.clicks.iter().map(row).collect();
        connection.insert_rows("clicks (click, person, at)", rows, "ON CONFLICT (click) DO NOTHING").await
    }

    /// Stores fields; `first` is the place of the first lead among all. What came later stays.
    pub(super) async fn store_fields(
        self,
        connection: &mut Connection,
        first: i64,
    ) -> Result<(), StoreError> {
        let row = |((person, name), (value, at, place)): (&(PersonId, String), &(String, i64, i64))| {
            args![*person, name.as_str(), value.as_str(), *at, first + place]
        };
        let rows = self.fields.iter().map(row).collect();
        connection
            .insert_rows(
                "person_fields (person, name, value, at, sequence)",
                rows,
                "ON CONFLICT (person, name) DO UPDATE SET value = excluded.value, at = excluded.at, \
                 sequence = excluded.sequence WHERE person_fields.at < excluded.at \
                 OR (person_fields.at = excluded.at AND person_fields.sequence <= excluded.sequence)",
            )
            .await
    }
}

/// Forgets what is remembered under the id of a person.
pub(super) async fn forget_facts(connection: &mut Connection, person: &str) -> Result<(), StoreError> {
    for table in ["person_fields", "clicks"] {
        connection.execute(&format!("DELETE FROM {table} WHERE person = $1"), args![person]).await?;
    }
    Ok(())
}
