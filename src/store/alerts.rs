//! Causes that need a person, and which of them somebody was told about.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::sql::{Row, args};
use super::statement::Statement;
use super::{Store, StoreError};
use crate::plan::Reason;

/// The newest rows that need a person. Asked every few seconds, so it reads no more of them than it needs.
pub(super) const NEWEST_CAUSES: &str = "SELECT place, why FROM ( \
   SELECT * FROM (SELECT source AS place, why, sequence FROM leads WHERE state = 'needs-attention' \
     ORDER BY sequence DESC LIMIT 1000) AS unmapped \
   UNION ALL SELECT * FROM (SELECT destination, why, sequence FROM syncs WHERE state = 'needs-attention' \
     ORDER BY sequence DESC LIMIT 1000) AS unsynced) AS causes \
 WHERE why IS NOT NULL ORDER BY sequence DESC LIMIT 1000";

/// Trouble that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Its kind and its place, such as `paused:crm`.
    pub cause: String,
    /// What is known of it; empty when that might have named somebody whose data was erased.
    pub text: String,
    /// When it was noticed.
    pub since: Timestamp,
}

impl Store {
    /// Trouble that stands, the newest first.
    pub async fn troubles(&self) -> Result<Vec<Trouble>, StoreError> {
        let sql = "SELECT cause, text, told_at FROM alerts ORDER BY told_at DESC, cause";
        let trouble =
            |row: &Row| Ok(Trouble { cause: row.text(0)?, text: row.text(1)?, since: row.timestamp(2)? });
        self.read(sql, args![]).await?.iter().map(trouble).collect()
    }

    /// Causes of needs-attention that nobody was told about yet, each with its newest reason. A cause is a reason's word
    /// and where it happened: `mapping_error:sendpulse`, `crm_rejected:crm`.
    pub async fn untold_causes(&self) -> Result<Vec<(String, Reason)>, StoreError> {
        let rows = self.read(NEWEST_CAUSES, args![]).await?;
        let told = self.read("SELECT cause FROM alerts", args![]).await?;
        let told: BTreeSet<String> = told.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
        let mut causes = BTreeMap::new();
        for row in &rows {
            let reason: Reason = row.json(1)?;
            let cause = format!("{}:{}", reason.code, row.text(0)?);
            if !told.contains(&cause) {
                causes.entry(cause).or_insert(reason);
            }
        }
        Ok(causes.into_iter().collect())
    }

    /// Whether somebody was told about this cause.
    pub async fn was_told(&self, cause: &str) -> Result<bool, StoreError> {
        Ok(!self.read("SELECT 1 FROM alerts WHERE cause = $1", args![cause]).await?.is_empty())
    }

    /// Remembers that somebody was told.
    pub async fn told(&self, cause: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
        self.write(Statement {
            sql: "INSERT INTO alerts (cause, text, told_at) VALUES ($1, $2, $3) ON CONFLICT (cause) DO NOTHING",
            args: args![cause, text, now.as_millisecond()],
        })
        .await?;
        Ok(())
    }

    /// Forgets that somebody was told: the cause is gone, and is news when it comes back.
    pub async fn forget_cause(&self, cause: &str) -> Result<(), StoreError> {
        if self.was_told(cause).await? {
            self.write(Statement { sql: "DELETE FROM alerts WHERE cause = $1", args: args![cause] }).await?;
        }
        Ok(())
    }
}
