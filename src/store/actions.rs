//! The audit log: what people changed, by console, API or command.
//!
//! An entry is written before anything is done, so that nothing is done that no entry tells of; its outcome follows. Entries
//! are never changed afterwards, and retention removes them like other rows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::sql::args;
use super::statement::Statement;
use super::{Store, StoreError};
use crate::access::Caller;

/// Something that somebody did or tried to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

    /// Actions before this one, newest first.
    pub async fn actions(&self, before: Option<&str>, limit: i64) -> Result<Vec<Action>, StoreError> {
        let sql = "SELECT id, at, who, role, through, operation, asked, outcome FROM actions \
             WHERE $1 IS NULL OR id < $1 ORDER BY id DESC LIMIT $2";
        let rows = self.read(sql, args![before.map(str::to_owned), limit]).await?;
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
}
