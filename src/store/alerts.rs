//! Trouble that stands, and what is to be said of it to whom.
//!
//! A row of `alerts` is trouble, from when a process noticed it until it is over. A row of `alert_messages` is what one
//! *channel* knows of it. What is to be said follows from the two: where trouble stands of which a channel was not told, it is
//! told; where a channel was told of trouble that is over, it is told that. Whoever wants to send something moves the row's
//! `next_at` on first, from what it was: so of several processes one sends it, and when that one ends in between, another does
//! once the moment has come.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sql::{Row, args};
use super::statement::Statement;
use super::{Store, StoreError};
use crate::id::DeliveryId;

/// Trouble that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// Its kind and its place, such as `paused:crm`.
    pub cause: String,
    /// What is known of it; empty when that might have named somebody whose data was erased.
    pub text: String,
    /// When it was noticed.
    pub since: Timestamp,
}

/// What a channel knows of trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of which.
    pub cause: String,
    /// Who is told.
    pub channel: String,
    /// What.
    pub text: String,
    /// They were told of it.
    pub told: bool,
    /// Nothing is sent before this moment, in milliseconds.
    pub next_at: i64,
    /// How often it was sent in vain.
    pub tries: i64,
}

/// The oldest live lead that a destination should have taken by a moment.
pub(super) const LATE: &str = "SELECT leads.received_at FROM syncs JOIN leads ON leads.id = syncs.lead \
    WHERE syncs.destination = $1 AND syncs.priority = 0 AND syncs.state IN ('ready', 'pushing', 'unknown') \
      AND syncs.next_at < $2 ORDER BY syncs.sequence LIMIT 1";

/// Which sources sent something behind a delivery, and when they did last.
pub(super) const HEARD: &str =
    "SELECT source, MAX(received_at), MAX(id) FROM deliveries WHERE id > $1 GROUP BY source";

impl Store {
    /// Trouble that stands, the newest first.
    pub async fn troubles(&self) -> Result<Vec<Trouble>, StoreError> {
        let sql = "SELECT cause, text, told_at FROM alerts ORDER BY told_at DESC, cause";
        let trouble =
            |row: &Row| Ok(Trouble { cause: row.text(0)?, text: row.text(1)?, since: row.timestamp(2)? });
        self.read(sql, args![]).await?.iter().map(trouble).collect()
    }

    /// Notes trouble that begins. Whoever is not the first to see it changes nothing.
    pub async fn notice(&self, cause: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO alerts (cause, text, told_at) VALUES ($1, $2, $3) ON CONFLICT (cause) DO NOTHING";
        self.write(Statement { sql, args: args![cause, text, now.as_millisecond()] }).await?;
        Ok(())
    }

    /// Notes that trouble is over.
    pub async fn end_trouble(&self, cause: &str) -> Result<(), StoreError> {
        self.write(Statement { sql: "DELETE FROM alerts WHERE cause = $1", args: args![cause] }).await?;
        Ok(())
    }

    /// What channels know.
    pub async fn messages(&self) -> Result<Vec<Message>, StoreError> {
        let sql =
            "SELECT cause, channel, text, told, next_at, tries FROM alert_messages ORDER BY cause, channel";
        let message = |row: &Row| {
            Ok(Message {
                cause: row.text(0)?,
                channel: row.text(1)?,
                text: row.text(2)?,
                told: row.int(3)? != 0,
                next_at: row.int(4)?,
                tries: row.int(5)?,
            })
        };
        self.read(sql, args![]).await?.iter().map(message).collect()
    }

    /// Notes something to be said to a channel.
    pub async fn address(&self, cause: &str, channel: &str, text: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO alert_messages (cause, channel, text, told, next_at, tries) VALUES ($1, $2, $3, 0, 0, 0) \
             ON CONFLICT (cause, channel) DO NOTHING";
        self.write(Statement { sql, args: args![cause, channel, text] }).await?;
        Ok(())
    }

    /// Takes a message to send it, so that nobody else does before `until`. Returns whether it was still to be had.
    pub async fn take_message(&self, message: &Message, until: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE alert_messages SET next_at = $3 WHERE cause = $1 AND channel = $2 AND next_at = $4 AND told = $5";
        let Message { cause, channel, next_at, told, .. } = message;
        let args =
            args![cause.as_str(), channel.as_str(), until.as_millisecond(), *next_at, i64::from(*told)];
        Ok(self.write(Statement { sql, args }).await? > 0)
    }

    /// The channel took it: it knows now what it did not.
    pub async fn message_taken(&self, message: &Message) -> Result<(), StoreError> {
        // It may have been forgotten while it was sent, because the trouble was over; then that is to be said.
        let sql = "INSERT INTO alert_messages (cause, channel, text, told, next_at, tries) VALUES ($1, $2, $3, $4, 0, 0) \
             ON CONFLICT (cause, channel) DO UPDATE SET told = excluded.told, next_at = 0, tries = 0";
        let Message { cause, channel, text, told, .. } = message;
        let args = args![cause.as_str(), channel.as_str(), text.as_str(), i64::from(!*told)];
        self.write(Statement { sql, args }).await?;
        Ok(())
    }

    /// The channel did not take it: it is sent again, not before `next_at`.
    pub async fn message_refused(&self, message: &Message, next_at: Timestamp) -> Result<(), StoreError> {
        let sql =
            "UPDATE alert_messages SET next_at = $3, tries = tries + 1 WHERE cause = $1 AND channel = $2";
        let args = args![message.cause.as_str(), message.channel.as_str(), next_at.as_millisecond()];
        self.write(Statement { sql, args }).await?;
        Ok(())
    }

    /// Forgets what a channel is not told, or is not there to be told, any more.
    pub async fn forget_message(&self, message: &Message) -> Result<(), StoreError> {
        let sql = "DELETE FROM alert_messages WHERE cause = $1 AND channel = $2 AND told = $3";
        let args = args![message.cause.as_str(), message.channel.as_str(), i64::from(message.told)];
        self.write(Statement { sql, args }).await?;
        Ok(())
    }

    /// When the oldest live lead came that this destination should have taken before `due`.
    pub async fn late_at(&self, destination: &str, due: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.read(LATE, args![destination, due.as_millisecond()]).await?;
        rows.first().map(|row| row.timestamp(0)).transpose()
    }

    /// Which sources sent something behind `after`, when they did last, and the last delivery of all.
    pub async fn heard_since(
        &self,
        after: DeliveryId,
    ) -> Result<(Vec<(String, Timestamp)>, DeliveryId), StoreError> {
        let (mut heard, mut last) = (Vec::new(), after);
        for row in self.read(HEARD, args![after]).await? {
            heard.push((row.text(0)?, row.timestamp(1)?));
            last = last.max(row.id(2)?);
        }
        Ok((heard, last))
    }

    /// Notes when something came from a source.
    pub async fn note_heard(&self, source: &str, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE sources SET seen = $2 WHERE name = $1 AND seen < $2";
        self.write(Statement { sql, args: args![source, at.as_millisecond()] }).await?;
        Ok(())
    }

    /// When something came last, by source; nothing of those of which nothing was noted yet.
    pub async fn heard(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows = self.read("SELECT name, seen FROM sources WHERE seen > 0", args![]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.timestamp(1)?))).collect()
    }
}
