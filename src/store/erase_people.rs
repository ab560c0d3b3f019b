//! Erasing a person: their leads a few at a time, and at last what they are known by.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::acquaint::among;
use super::chats::forget_unowned_chats;
use super::erase::{IN_DOUBT, IN_HAND, IS_ERASED, erased};
use super::erase_requests::{empty_requests_of, identifiers_of};
use super::facts::forget_facts;
use super::merges::{MERGED, lock_people};
use super::names::forget_names;
use super::postback_hand::forget_postbacks;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, json, list};
use super::start_tokens::forget_links;
use super::syncs::OPEN;
use super::{StoreError, Work};
use crate::id::{DeliveryId, LeadId, PersonId};
use crate::lead::IdentifierKind;
use crate::normalise::Wanted;
use crate::plan::{Action, Call, ContactFields, DealFields, Reason, TaskFields};

/// Leads of one transaction: acknowledgements wait for it.
const TOGETHER: usize = 16;

/// What a piece of a person's leads came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeadsPiece {
    /// Leads that were erased.
    pub leads: u64,
    /// Requests that were erased, or of which their part was.
    pub requests: u64,
    /// Requests that held others' events too and could not be split: all of it went.
    pub unsplit: u64,
    /// Leads that were on their way and are given up.
    pub given_up: u64,
    /// Leads that are left because they are being brought to a CRM now.
    pub under_way: u64,
}

/// What became of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forgotten {
    /// Nothing personal is kept any more.
    Done,
    /// A lead came meanwhile: that goes first.
    MoreCame,
}

pub(super) struct EraseLeads {
    pub(super) person: PersonId,
    pub(super) wanted: Wanted,
    pub(super) even_in_doubt: bool,
    pub(super) now: Timestamp,
}

impl Work for EraseLeads {
    type Output = LeadsPiece;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<LeadsPiece, StoreError>> {
        Box::pin(async move {
            connection.overwrite_what_goes().await?;
            let sql = format!(
                "SELECT id, lead FROM leads WHERE person = $1 AND NOT {IS_ERASED} \
                 AND NOT EXISTS (SELECT 1 FROM syncs WHERE syncs.lead = leads.id AND {OPEN} AND {}) \
                 ORDER BY sequence LIMIT {TOGETHER}",
                self.left()
            );
            let rows = connection.fetch(&sql, args![self.person]).await?;
            let mut leads: Vec<LeadId> = Vec::with_capacity(rows.len());
            let mut named = BTreeSet::new();
            for row in &rows {
                leads.push(row.id(0)?);
                named.extend(row.optional_text(1)?.iter().flat_map(|lead| identifiers_of(lead)));
            }
            lock_event_keys(connection, &leads).await?;
            forget_user(connection, self.person, named.clone()).await?;
            forget_unowned(connection, named).await?;
            let left = self.lock_syncs(connection, &leads).await?;
            leads.retain(|lead| !left.contains(lead));
            self.still_theirs(connection, &mut leads).await?;
            let mut piece =
                LeadsPiece { leads: u64::try_from(leads.len()).unwrap_or(u64::MAX), ..LeadsPiece::default() };
            let deliveries = deliveries_of(connection, &leads).await?;
            (piece.requests, piece.unsplit) =
                empty_requests_of(connection, &deliveries, self.person, &self.wanted, self.now).await?;
            piece.given_up = clear_leads(connection, &leads, self.now).await?;
            let sql = format!("SELECT COUNT(*) FROM syncs WHERE person = $1 AND {OPEN} AND {}", self.left());
            let rows = connection.fetch(&sql, args![self.person]).await?;
            let under_way = rows.first().map_or(Ok(0), |row| row.int(0))?;
            piece.under_way = u64::try_from(under_way).unwrap_or_default();
            Ok(piece)
        })
    }
}

impl EraseLeads {
    /// Which open syncs are left alone.
    fn left(&self) -> String {
        if self.even_in_doubt { IN_HAND.to_owned() } else { format!("({IN_HAND} OR {IN_DOUBT})") }
    }

    /// Leaves out leads that became somebody else's while others wrote: a split gives them back.
    async fn still_theirs(
        &self,
        connection: &mut Connection,
        leads: &mut Vec<LeadId>,
    ) -> Result<(), StoreError> {
        if leads.is_empty() || !connection.others_write() {
            return Ok(());
        }
        let sql = format!(
            "SELECT id FROM leads WHERE person = $1 AND id IN ({}) ORDER BY id FOR UPDATE",
            list(2, leads.len())
        );
        let arguments = [self.person.into()].into_iter().chain(leads.iter().map(|lead| Arg::from(*lead)));
        let rows = connection.fetch(&sql, arguments.collect()).await?;
        *leads = rows.iter().map(|row| row.id(0)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Locks the syncs of these leads, where others write; returns the leads that began to be pushed before.
    async fn lock_syncs(
        &self,
        connection: &mut Connection,
        leads: &[LeadId],
    ) -> Result<BTreeSet<LeadId>, StoreError> {
        if leads.is_empty() || !connection.others_write() {
            return Ok(BTreeSet::new());
        }
        let arguments: Vec<Arg> = leads.iter().map(|lead| Arg::from(*lead)).collect();
        let sql =
            format!("SELECT 1 FROM syncs WHERE lead IN ({}) ORDER BY id FOR UPDATE", list(1, leads.len()));
        connection.fetch(&sql, arguments.clone()).await?;
        let sql = format!(
            "SELECT lead FROM syncs WHERE lead IN ({}) AND {OPEN} AND {}",
            list(1, leads.len()),
            self.left()
        );
        connection.fetch(&sql, arguments).await?.iter().map(|row| row.id(0)).collect()
    }
}

/// Locks the keys of these leads' events, where others write: whoever stores a redelivery at this moment is waited for, so
/// that it is found, or waits and finds what it repeats erased. Before identifiers, as where events are stored.
async fn lock_event_keys(connection: &mut Connection, leads: &[LeadId]) -> Result<(), StoreError> {
    if leads.is_empty() || !connection.others_write() {
        return Ok(());
    }
    let sql = format!(
        "SELECT 1 FROM event_keys WHERE (source, key) IN (SELECT source, key FROM events WHERE id IN ( \
           SELECT event FROM leads WHERE id IN ({}))) ORDER BY source, key FOR UPDATE",
        list(1, leads.len())
    );
    connection.fetch(&sql, leads.iter().map(|lead| Arg::from(*lead)).collect()).await.map(drop)
}

async fn deliveries_of(connection: &mut Connection, leads: &[LeadId]) -> Result<Vec<DeliveryId>, StoreError> {
    if leads.is_empty() {
        return Ok(Vec::new());
    }
    let events = format!("SELECT event FROM leads WHERE id IN ({})", list(1, leads.len()));
    let sql = format!(
        "SELECT delivery FROM events WHERE id IN ({events}) \
         UNION SELECT delivery FROM events WHERE redelivery_of IN ({events}) ORDER BY 1"
    );
    let rows = connection.fetch(&sql, leads.iter().map(|lead| Arg::from(*lead)).collect()).await?;
    rows.iter().map(|row| row.id(0)).collect()
}

/// Erases leads with their syncs, steps and audits. Returns how many syncs were given up.
pub(super) async fn clear_leads(
    connection: &mut Connection,
    leads: &[LeadId],
    now: Timestamp,
) -> Result<u64, StoreError> {
    if leads.is_empty() {
        return Ok(0);
    }
    let millis = now.as_millisecond();
    let arguments: Vec<Arg> = leads.iter().map(|lead| Arg::from(*lead)).collect();
    let of = list(1, leads.len());
    let mut given_up = 0;
    let sql = format!("SELECT id, state, why FROM syncs WHERE lead IN ({of}) ORDER BY id");
    let syncs = connection.fetch(&sql, arguments.clone()).await?;
    for row in &syncs {
        let state = row.text(1)?;
        let ends = !matches!(state.as_str(), "synced" | "filtered");
        given_up += u64::from(ends);
        let why = erased(now, &state, row.optional_json(2).unwrap_or_default().as_ref());
        let sql = "UPDATE syncs SET state = $2, why = $3, reasons = NULL, found = NULL, claimed = 0, updated_at = $4 WHERE id = $1";
        let state = if ends { "filtered" } else { state.as_str() };
        connection.execute(sql, args![row.text(0)?, state, json(&why)?, millis]).await?;
    }
    let syncs: Vec<Arg> = syncs.iter().map(|row| row.text(0).map(Arg::from)).collect::<Result<_, _>>()?;
    for piece in syncs.chunks(ROWS_PER_STATEMENT) {
        clear_steps(connection, piece, millis).await?;
    }
    forget_names(connection, &arguments).await?;
    let sql = format!("SELECT id, state, why FROM leads WHERE id IN ({of}) ORDER BY id");
    for row in connection.fetch(&sql, arguments).await? {
        let state = row.text(1)?;
        let why = erased(now, &state, row.optional_json(2).unwrap_or_default().as_ref());
        let state = if state == "needs-attention" { "filtered" } else { state.as_str() };
        let sql = "UPDATE leads SET state = $2, why = $3, lead = NULL, conflicts = '[]', decision = NULL, \
                   afterwards = NULL WHERE id = $1";
        connection.execute(sql, args![row.text(0)?, state, json(&why)?]).await?;
    }
    Ok(given_up)
}

async fn clear_steps(connection: &mut Connection, syncs: &[Arg], now: i64) -> Result<(), StoreError> {
    let of = list(1, syncs.len());
    connection
        .execute(&format!("DELETE FROM steps WHERE state = 'planned' AND sync IN ({of})"), syncs.to_vec())
        .await?;
    let rows = connection
        .fetch(&format!("SELECT id, action FROM steps WHERE sync IN ({of})"), syncs.to_vec())
        .await?;
    for row in &rows {
        // What another version wrote and this one cannot read goes whole.
        let action =
            row.json::<Action>(1).map_or_else(|_| Ok("{}".to_owned()), |action| json(&blank(action)))?;
        let sql = "UPDATE steps SET action = $2, why = NULL WHERE id = $1";
        connection.execute(sql, args![row.text(0)?, action]).await?;
    }
    let sql = format!(
        "UPDATE audits SET action = NULL, note = CASE WHEN done_at IS NULL THEN 'the lead was erased' ELSE NULL END, \
         result = COALESCE(result, 'cannot_tell'), done_at = COALESCE(done_at, ${}) WHERE sync IN ({of})",
        syncs.len() + 1
    );
    let mut arguments = syncs.to_vec();
    arguments.push(now.into());
    connection.execute(&sql, arguments).await.map(drop)
}

/// What a step did, without what it wrote.
fn blank(action: Action) -> Action {
    match action {
        Action::CreateContact { .. } => Action::CreateContact { contact: ContactFields::default() },
        Action::UpdateContact { contact, .. } => {
            Action::UpdateContact { contact, changes: ContactFields::default() }
        }
        Action::CreateDeal { contact, .. } => Action::CreateDeal { contact, deal: DealFields::default() },
        Action::UpdateDeal { deal, .. } => Action::UpdateDeal { deal, changes: DealFields::default() },
        Action::CreateTask { contact, deal, task } => {
            let task = TaskFields {
                title: String::new(),
                text: String::new(),
                kind: task.kind,
                due_at: task.due_at,
                owner: task.owner,
            };
            Action::CreateTask { contact, deal, task }
        }
        Action::AddNote { contact, deal, .. } => Action::AddNote { contact, deal, text: String::new() },
        Action::Call { call } => {
            Action::Call { call: Call { operation: call.operation, chat: None, with: Map::new() } }
        }
    }
}

/// A key as it is stored: kind, scope, value. The kind may be one of another version of leadfold.
type Columns = (String, String, String);

fn as_columns((kind, scope, value): &Columns) -> [Arg; 3] {
    [kind.as_str().into(), scope.as_str().into(), value.as_str().into()]
}

/// Forgets that this person was seen with identifiers of others.
async fn forget_user(
    connection: &mut Connection,
    person: PersonId,
    keys: BTreeSet<Columns>,
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let (names, customers) = names_and_customers(connection, person).await?;
    let keys: Vec<Columns> = keys.into_iter().collect();
    for piece in keys.chunks(ROWS_PER_STATEMENT) {
        let (among, arguments) = among(piece.iter().map(as_columns));
        let sql = format!(
            "SELECT kind, scope, value, users FROM identifiers WHERE {among} AND users IS NOT NULL \
             ORDER BY kind, scope, value {}",
            connection.row_locks("FOR UPDATE")
        );
        for row in connection.fetch(&sql, arguments).await? {
            let users = without(&row.text(3)?, &names, &customers);
            let sql = "UPDATE identifiers SET users = $4 WHERE kind = $1 AND scope = $2 AND value = $3";
            connection.execute(sql, args![row.text(0)?, row.text(1)?, row.text(2)?, users]).await?;
        }
    }
    Ok(())
}

/// Forgets keys that nobody has: a hint, or one too many. Their rows were only the locks of who resolved them.
async fn forget_unowned(connection: &mut Connection, keys: BTreeSet<Columns>) -> Result<(), StoreError> {
    let keys: Vec<Columns> = keys.into_iter().collect();
    for piece in keys.chunks(ROWS_PER_STATEMENT) {
        let (among, arguments) = among(piece.iter().map(as_columns));
        let sql = format!("DELETE FROM identifiers WHERE person IS NULL AND {among}");
        connection.execute(&sql, arguments).await?;
    }
    Ok(())
}

/// A person's names and customer ids, as `identifiers.users` holds them.
async fn names_and_customers(
    connection: &mut Connection,
    person: PersonId,
) -> Result<(Vec<Value>, Vec<Value>), StoreError> {
    let rows = connection.fetch("SELECT names FROM persons WHERE id = $1", args![person]).await?;
    let names = rows.first().map_or(Ok(None), |row| row.optional_json(0))?.unwrap_or_default();
    let sql = "SELECT scope, value FROM identifiers WHERE person = $1 AND kind = 'external_customer'";
    let rows = connection.fetch(sql, args![person]).await?;
    let customers = rows
        .iter()
        .map(|row| Ok(Value::from(vec![row.text(0)?, row.text(1)?])))
        .collect::<Result<_, StoreError>>()?;
    Ok((names, customers))
}

/// The users of an identifier without one of them. What cannot be read goes whole.
fn without(users: &str, names: &[Value], customers: &[Value]) -> Option<String> {
    let mut users: Value = serde_json::from_str(users).ok()?;
    for (field, gone) in [("names", names), ("customers", customers)] {
        users.get_mut(field)?.as_array_mut()?.retain(|user| !gone.contains(user));
    }
    Some(users.to_string())
}

pub(super) struct Forget {
    pub(super) person: Option<PersonId>,
    /// What they were known by, or are looked for by.
    pub(super) wanted: Wanted,
    pub(super) author: Option<String>,
    pub(super) note: Option<String>,
    /// Of the entry in `corrections`.
    pub(super) id: String,
    pub(super) now: Timestamp,
}

impl Work for Forget {
    type Output = Forgotten;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Forgotten, StoreError>> {
        Box::pin(async move {
            connection.overwrite_what_goes().await?;
            if let Some(person) = self.person
                && self.person(connection, person).await? == Forgotten::MoreCame
            {
                return Ok(Forgotten::MoreCame);
            }
            forget_unowned_chats(connection, self.wanted.ids()).await?;
            for table in ["alerts", "alert_messages"] {
                connection.execute(&format!("UPDATE {table} SET text = ''"), args![]).await?;
            }
            connection
                .execute(
                    "INSERT INTO corrections (id, kind, one, author, note, at) VALUES ($1, 'erase', $2, $3, $4, $5)",
                    args![
                        self.id.as_str(),
                        self.person.map_or_else(String::new, |person| person.to_string()),
                        self.author.clone(),
                        self.note.clone(),
                        self.now.as_millisecond()
                    ],
                )
                .await?;
            Ok(Forgotten::Done)
        })
    }
}

impl Forget {
    async fn person(&self, connection: &mut Connection, person: PersonId) -> Result<Forgotten, StoreError> {
        let sql = "SELECT kind, scope, value FROM holders WHERE person = $1";
        let held = connection.fetch(sql, args![person]).await?;
        let held = held.iter().map(|row| Ok((row.text(0)?, row.text(1)?, row.text(2)?)));
        let held = held.collect::<Result<BTreeSet<Columns>, StoreError>>()?;
        forget_user(connection, person, held).await?;
        let lock = connection.row_locks("FOR UPDATE");
        let sql = format!(
            "SELECT kind, scope, value, users, shown FROM identifiers WHERE person = $1 \
             ORDER BY kind, scope, value {lock}"
        );
        let mine = connection.fetch(&sql, args![person]).await?;
        let keys =
            mine.iter().map(|row| Ok((row.text(0)?, row.text(1)?, row.text(2)?, row.optional_text(4)?)));
        forget_links(connection, &keys.collect::<Result<Vec<_>, StoreError>>()?).await?;
        let sql = "SELECT DISTINCT holders.kind, holders.scope, holders.value, holders.person, holders.since \
             FROM identifiers JOIN holders ON holders.kind = identifiers.kind AND holders.scope = identifiers.scope \
               AND holders.value = identifiers.value \
             WHERE identifiers.person = $1 AND holders.person <> $1 ORDER BY 5, 4";
        let mut heirs: BTreeMap<Columns, PersonId> = BTreeMap::new();
        for row in connection.fetch(sql, args![person]).await? {
            heirs.entry((row.text(0)?, row.text(1)?, row.text(2)?)).or_insert(row.id(3)?);
        }
        let people: BTreeSet<PersonId> = heirs.values().copied().chain([person]).collect();
        let (_, became) = lock_people(connection, people).await?;
        if became.contains_key(&person) {
            // Asked again, it goes on with who they are now.
            return Ok(Forgotten::MoreCame);
        }
        let sql = format!("SELECT 1 FROM leads WHERE person = $1 AND NOT {IS_ERASED} LIMIT 1");
        if !connection.fetch(&sql, args![person]).await?.is_empty() {
            return Ok(Forgotten::MoreCame);
        }
        self.keep_records(connection, person).await?;
        let (names, customers) = names_and_customers(connection, person).await?;
        for row in &mine {
            let key = (row.text(0)?, row.text(1)?, row.text(2)?);
            let arguments = args![key.0.as_str(), key.1.as_str(), key.2.as_str()];
            let of = "WHERE kind = $1 AND scope = $2 AND value = $3";
            let Some(heir) = heirs.get(&key) else {
                connection.execute(&format!("DELETE FROM identifiers {of}"), arguments).await?;
                if key.0 == IdentifierKind::Chat.as_str() {
                    let sql = "DELETE FROM chats WHERE scope = $1 AND value = $2";
                    connection.execute(sql, args![key.1.as_str(), key.2.as_str()]).await?;
                }
                continue;
            };
            let users = row.optional_text(3)?.and_then(|users| without(&users, &names, &customers));
            let mut changed = arguments.clone();
            changed.extend(args![*heir, users]);
            connection
                .execute(&format!("UPDATE identifiers SET person = $4, users = $5 {of}"), changed)
                .await?;
            let mut held = arguments;
            held.extend(args![*heir]);
            connection.execute(&format!("DELETE FROM holders {of} AND person = $4"), held).await?;
        }
        for row in connection.fetch(&format!("{MERGED} SELECT id FROM merged"), args![person]).await? {
            self.forget_id(connection, &row.text(0)?).await?;
        }
        Ok(Forgotten::Done)
    }

    /// What CRMs still have is kept without the person's links.
    async fn keep_records(&self, connection: &mut Connection, person: PersonId) -> Result<(), StoreError> {
        let sql = "INSERT INTO erased_records (person, destination, kind, record) \
             SELECT person, destination, kind, record FROM links WHERE person = $1 ON CONFLICT DO NOTHING";
        connection.execute(sql, args![person]).await?;
        connection.execute("DELETE FROM links WHERE person = $1", args![person]).await.map(drop)
    }

    /// What is known under the id of a person, or of one who was merged into them.
    async fn forget_id(&self, connection: &mut Connection, person: &str) -> Result<(), StoreError> {
        for sql in [
            "UPDATE persons SET names = NULL WHERE id = $1",
            "DELETE FROM holders WHERE person = $1",
            "DELETE FROM apart WHERE one = $1 OR other = $1",
            "DELETE FROM possible_duplicates WHERE one = $1 OR other = $1",
            "UPDATE corrections SET note = NULL WHERE one = $1 OR other = $1",
        ] {
            connection.execute(sql, args![person]).await?;
        }
        // Before the click ids by which they are found.
        forget_postbacks(connection, person, self.now).await?;
        forget_facts(connection, person).await?;
        let sql =
            "SELECT id, reason, moved FROM merges WHERE from_person = $1 OR into_person = $1 ORDER BY id";
        for row in connection.fetch(sql, args![person]).await? {
            let reason = row.json::<Reason>(1).map_or_else(|_| String::new(), |reason| reason.code);
            let reason = Reason::new(&reason, "Everything personal was erased.");
            let moved = ids_of_leads(&row.text(2)?);
            let sql = "UPDATE merges SET reason = $2, moved = $3 WHERE id = $1";
            connection.execute(sql, args![row.text(0)?, json(&reason)?, moved]).await?;
        }
        Ok(())
    }
}

/// What a merge moved, without anything but the ids of leads.
fn ids_of_leads(moved: &str) -> String {
    let Ok(Value::Object(mut moved)) = serde_json::from_str::<Value>(moved) else { return "{}".to_owned() };
    for (name, value) in &mut moved {
        match value {
            Value::Array(_) if name == "leads" => {}
            Value::Array(items) => items.clear(),
            Value::Object(fields) => fields.clear(),
            Value::String(text) => text.clear(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Value::Object(moved).to_string()
}
