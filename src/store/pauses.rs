//! Destinations that somebody paused: a row that the workers of all processes follow when they claim, store a plan, and send
//! its first step. Leads of which something is written by then are finished; what a worker had only claimed goes back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sql::args;
use super::statement::Statement;
use super::{Store, StoreError};

/// Who paused a destination, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// A user's name, or what their token is called.
    pub who: String,
    /// Since then.
    pub since: Timestamp,
}

/// Whether somebody paused a destination, which is a column or a place of the statement.
pub(super) fn is_paused(destination: &str) -> String {
    format!("EXISTS (SELECT 1 FROM pauses WHERE pauses.destination = {destination})")
}

impl Store {
    /// What is paused, by destination.
    pub async fn pauses(&self) -> Result<BTreeMap<String, Pause>, StoreError> {
        let rows = self.read("SELECT destination, who, since FROM pauses", args![]).await?;
        rows.iter()
            .map(|row| Ok((row.text(0)?, Pause { who: row.text(1)?, since: row.timestamp(2)? })))
            .collect()
    }

    /// Pauses a destination; whoever did it first stays the one who did. Returns whether it was not paused yet.
    pub async fn pause(&self, destination: &str, pause: &Pause) -> Result<bool, StoreError> {
        let paused = self.write(Statement {
            sql: "INSERT INTO pauses (destination, who, since) VALUES ($1, $2, $3) \
                  ON CONFLICT (destination) DO NOTHING",
            args: args![destination, pause.who.as_str(), pause.since.as_millisecond()],
        });
        Ok(paused.await? > 0)
    }

    /// Lets a destination go on. Returns whether it was paused.
    pub async fn resume(&self, destination: &str) -> Result<bool, StoreError> {
        let resumed =
            Statement { sql: "DELETE FROM pauses WHERE destination = $1", args: args![destination] };
        Ok(self.write(resumed).await? > 0)
    }
}
