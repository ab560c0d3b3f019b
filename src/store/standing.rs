//! Where destinations stand, for people: what waits, what went wrong last, which chats are open. Everything is read up to a
//! limit, so that a page costs the same however large the registry is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::row::Row;
use super::sql::args;
use super::syncs::OPEN;
use super::{Store, StoreError};
use crate::plan::Reason;

/// Open syncs are counted up to here: a walk through an index of so many takes milliseconds.
const MOST_OPEN: i64 = 100_000;
/// Chats of one bot are.
const MOST_CHATS: i64 = 10_000;
/// Bots that are looked at.
const MOST_SCOPES: i64 = 200;
/// Rows among which the last errors are looked for.
const LOOKED_AT: i64 = 200;
/// Errors of one destination that are told.
const TOLD: usize = 5;

/// A count that stops somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpTo {
    /// So many.
    pub count: i64,
    /// And more, which were not counted.
    pub more: bool,
}

impl UpTo {
    fn of(counted: i64, most: i64) -> Self {
        Self { count: counted.min(most), more: counted > most }
    }
}

/// What waits for a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// Leads that are not at their end, held ones apart.
    pub open: UpTo,
    /// Those of them that were counted, by state.
    pub by_state: BTreeMap<String, i64>,
    /// When the first of them was or will be due.
    pub due: Option<Timestamp>,
    /// Leads that wait for an answer: push or skip.
    pub held: UpTo,
}

/// Something that went wrong lately, once for each text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastError {
    /// The stable word of it.
    pub code: String,
    /// What happened. May hold what the destination said.
    pub text: String,
    /// When last.
    pub at: Timestamp,
    /// How many of the leads that were looked at.
    pub leads: i64,
    /// Whether a person has to look; otherwise it is tried again.
    pub needs_attention: bool,
}

/// The chats of one bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BotChats {
    /// Which, such as `sendpulse:<bot id>`.
    pub scope: String,
    /// What the platform calls it.
    pub name: Option<String>,
    /// Such as `telegram`.
    pub channel: String,
    /// All of them.
    pub all: UpTo,
    /// Those in which nobody gets a message any more.
    pub blocked: UpTo,
}

impl Store {
    /// What waits for a destination.
    pub async fn waiting(&self, destination: &str) -> Result<Waiting, StoreError> {
        let sql = format!(
            "SELECT state, COUNT(*) FROM (SELECT state FROM syncs WHERE destination = $1 AND {OPEN} LIMIT $2) AS found \
             GROUP BY state"
        );
        let rows = self.read(&sql, args![destination, MOST_OPEN + 1]).await?;
        let by_state: BTreeMap<String, i64> =
            rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect::<Result<_, StoreError>>()?;
        let sql = format!("SELECT MIN(next_at) FROM syncs WHERE destination = $1 AND {OPEN}");
        let due = self.read(&sql, args![destination]).await?;
        let held = "SELECT COUNT(*) FROM (SELECT 1 FROM syncs WHERE destination = $1 AND state = 'held' LIMIT $2) AS found";
        Ok(Waiting {
            open: UpTo::of(by_state.values().sum(), MOST_OPEN),
            by_state,
            due: due.first().map_or(Ok(None), |row| row.optional_timestamp(0))?,
            held: self.up_to(held, destination, MOST_CHATS).await?,
        })
    }

    /// What went wrong at destinations lately, by destination, the latest first.
    pub async fn last_errors(
        &self,
        destinations: &[&str],
    ) -> Result<BTreeMap<String, Vec<LastError>>, StoreError> {
        let mut found: BTreeMap<String, Vec<LastError>> = BTreeMap::new();
        let sql = "SELECT why, updated_at, destination FROM syncs WHERE state = 'needs-attention' \
                   ORDER BY sequence DESC LIMIT $1";
        for row in self.read(sql, args![LOOKED_AT]).await? {
            note(found.entry(row.text(2)?).or_default(), &row, true)?;
        }
        // What was tried stands before what was not, in the order of the queue.
        let sql = "SELECT why, updated_at FROM (SELECT why, updated_at FROM syncs WHERE destination = $1 \
                   AND state IN ('ready', 'pushing', 'unknown') ORDER BY priority, sequence LIMIT $2) AS first \
                   WHERE why IS NOT NULL";
        for destination in destinations {
            for row in self.read(sql, args![*destination, LOOKED_AT]).await? {
                note(found.entry((*destination).to_owned()).or_default(), &row, false)?;
            }
        }
        for errors in found.values_mut() {
            errors.sort_by_key(|error| std::cmp::Reverse(error.at));
            errors.truncate(TOLD);
        }
        Ok(found)
    }

    /// The bots whose chats are known, with how many chats they have.
    pub async fn bots(&self) -> Result<Vec<BotChats>, StoreError> {
        // One seek for each bot, however many chats it has.
        let sql = "WITH RECURSIVE bots(scope) AS (SELECT MIN(scope) FROM chats UNION ALL \
                   SELECT (SELECT MIN(chats.scope) FROM chats WHERE chats.scope > bots.scope) FROM bots \
                   WHERE bots.scope IS NOT NULL) \
                   SELECT bots.scope, (SELECT bot_name FROM chats WHERE chats.scope = bots.scope LIMIT 1), \
                     (SELECT channel FROM chats WHERE chats.scope = bots.scope LIMIT 1) \
                   FROM bots WHERE bots.scope IS NOT NULL LIMIT $1";
        let all = "SELECT COUNT(*) FROM (SELECT 1 FROM chats WHERE scope = $1 LIMIT $2) AS found";
        let blocked = "SELECT COUNT(*) FROM (SELECT 1 FROM chats WHERE scope = $1 AND state = 'blocked' LIMIT $2) AS found";
        let mut bots = Vec::new();
        for row in self.read(sql, args![MOST_SCOPES]).await? {
            let scope = row.text(0)?;
            bots.push(BotChats {
                name: row.optional_text(1)?,
                channel: row.optional_text(2)?.unwrap_or_default(),
                all: self.up_to(all, &scope, MOST_CHATS).await?,
                blocked: self.up_to(blocked, &scope, MOST_CHATS).await?,
                scope,
            });
        }
        Ok(bots)
    }

    async fn up_to(&self, sql: &'static str, of: &str, most: i64) -> Result<UpTo, StoreError> {
        let rows = self.read(sql, args![of, most + 1]).await?;
        Ok(UpTo::of(rows.first().map_or(Ok(0), |row| row.int(0))?, most))
    }
}

fn note(errors: &mut Vec<LastError>, row: &Row, needs_attention: bool) -> Result<(), StoreError> {
    let Some(why) = row.optional_json::<Reason>(0)? else { return Ok(()) };
    let at = row.timestamp(1)?;
    match errors.iter_mut().find(|known| {
        known.code == why.code
            && known.needs_attention == needs_attention
            && (needs_attention || known.text == why.text)
    }) {
        Some(known) => {
            known.leads += 1;
            if known.at < at {
                known.at = at;
                known.text = why.text;
            }
        }
        None => errors.push(LastError { code: why.code, text: why.text, at, leads: 1, needs_attention }),
    }
    Ok(())
}
