//! The audit log: what people changed, by console, API or command.
//!
//! An entry is written before anything is done, so that nothing is done that no entry tells of; its outcome follows. Entries
//! are never changed afterwards, and retention removes them like other rows.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::retention::first_id_of;
use super::sql::args;
use super::statement::Statement;
use super::{Store, StoreError};
use crate::access::Caller;

/// Something that somebody did or tried to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// Ours; also the place to go on from.
    pub id: String,
    /// When it was asked for.
    pub at: Timestamp,
    /// By whom.
    pub who: String,
    /// What they might do then.
    pub role: String,
    /// `console`, `api` or `command`.
    pub through: String,
    /// The path of the operation below `/api`.
    pub operation: String,
    /// What was asked, without secrets and with personal data masked.
    pub asked: Value,
    /// `done`, or why it was not done; absent when the process ended in between.
    pub outcome: Option<String>,
}

impl Store {
    /// Writes down that somebody is about to do something.
    pub async fn begin_action(
        &self,
        id: Uuid,
        caller: &Caller,
        operation: &str,
        asked: &Value,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(Statement {
            sql: "INSERT INTO actions (id, at, who, role, through, operation, asked) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            args: args![
                id.to_string(),
                now.as_millisecond(),
                caller.name.as_str(),
                caller.role.as_str(),
                caller.through.as_str(),
                operation,
                asked.to_string()
            ],
        })
        .await?;
        Ok(())
    }

    /// Writes down what came of it.
    pub async fn end_action(&self, id: Uuid, outcome: &str) -> Result<(), StoreError> {
        let sql = "UPDATE actions SET outcome = $2 WHERE id = $1 AND outcome IS NULL";
        self.write(Statement { sql, args: args![id.to_string(), outcome] }).await?;
        Ok(())
    }

    /// Actions before this one, newest first; only of whoever has this name, where one is given.
    pub async fn actions(
        &self,
        before: Option<&str>,
        who: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Action>, StoreError> {
        let last = Uuid::max().to_string();
        let before = before.unwrap_or(&last);
        let rows = match who {
            None => self.read(ALL, args![before, limit]).await?,
            Some(who) => self.read(OF_ONE, args![before, limit, who]).await?,
        };
        rows.iter()
            .map(|row| {
                Ok(Action {
                    id: row.text(0)?,
                    at: row.timestamp(1)?,
                    who: row.text(2)?,
                    role: row.text(3)?,
                    through: row.text(4)?,
                    operation: row.text(5)?,
                    asked: row.json(6)?,
                    outcome: row.optional_text(7)?,
                })
            })
            .collect()
    }

    /// Removes some actions from before a moment; returns how many, and there may be more as long as it is not 0.
    pub async fn remove_actions(&self, before: Timestamp) -> Result<u64, StoreError> {
        let sql =
            "DELETE FROM actions WHERE id IN (SELECT id FROM actions WHERE id < $1 ORDER BY id LIMIT 500)";
        self.write(Statement { sql, args: args![first_id_of(before)] }).await
    }
}

const ALL: &str = "SELECT id, at, who, role, through, operation, asked, outcome FROM actions \
    WHERE id < $1 ORDER BY id DESC LIMIT $2";
const OF_ONE: &str = "SELECT id, at, who, role, through, operation, asked, outcome FROM actions \
    WHERE id < $1 AND who = $3 ORDER BY id DESC LIMIT $2";
