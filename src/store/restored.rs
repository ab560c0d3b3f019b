//! A database that was put back from a backup: what was under way in it went on without it.
//!
//! The steps that such a database still calls planned may have been written since. Sending them would make second deals,
//! so each of them counts as sent without an answer: it is looked up in its CRM by the marker that it already had in the
//! backup. A plan of which nothing was sent needs no such care: it is decided anew anyway, and finds what is there.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::sql::{Connection, args, json};
use super::syncs::OPEN;
use super::{Store, StoreError, Work};
use crate::plan::Reason;

/// The counter that marks a copy: when it was made. Whoever starts on it removes the mark.
pub(super) const COPIED: &str = "copied";

/// What there was to do about a database from the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubted {
    /// When the copy was made, if it was leadfold that made it.
    pub copied_at: Option<Timestamp>,
    /// Leads under way that are looked up before anything of them is written.
    pub leads: u64,
}

impl Store {
    /// Doubts what is under way when this database is a copy that [`back_up`](super::backup::back_up) made, once.
    pub async fn doubt_if_copied(&self, now: Timestamp) -> Result<Option<Doubted>, StoreError> {
        self.write(Doubt { now, always: false }).await
    }

    /// Doubts what is under way: for a database that was put back in any other way. Nothing may run on it meanwhile.
    pub async fn doubt(&self, now: Timestamp) -> Result<Doubted, StoreError> {
        let doubted = self.write(Doubt { now, always: true }).await?;
        Ok(doubted.unwrap_or(Doubted { copied_at: None, leads: 0 }))
    }
}

struct Doubt {
    now: Timestamp,
    always: bool,
}

impl Work for Doubt {
    type Output = Option<Doubted>;

    fn run<'a>(
        &'a self,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, Result<Option<Doubted>, StoreError>> {
        Box::pin(async move {
            // First, because it locks the row: of several processes that start at once, one has it to do.
            let copied = connection
                .fetch("DELETE FROM counters WHERE name = $1 RETURNING value", args![COPIED])
                .await?;
            let copied_at = copied.first().map(|row| row.timestamp(0)).transpose()?;
            if copied_at.is_none() && !self.always {
                return Ok(None);
            }
            let now = self.now.as_millisecond();
            let sql = format!(
                "UPDATE steps SET state = 'sent', sent_at = $1 WHERE state = 'planned' AND past = 0 \
                 AND sync IN (SELECT id FROM syncs WHERE {OPEN}) \
                 AND EXISTS (SELECT 1 FROM steps AS other \
                   WHERE other.sync = steps.sync AND other.past = 0 AND other.state <> 'planned')"
            );
            connection.execute(&sql, args![now]).await?;
            let why = Reason::new(
                "restored",
                "The database was put back from a backup. Whether this was written meanwhile is looked up.",
            );
            let sql = format!(
                "UPDATE syncs SET state = 'unknown', why = $1, next_at = $2, updated_at = $2, claimed = 0 \
                 WHERE {OPEN} AND EXISTS (SELECT 1 FROM steps \
                   WHERE steps.sync = syncs.id AND steps.past = 0 AND steps.state = 'sent')"
            );
            let leads = connection.execute(&sql, args![json(&why)?, now]).await?;
            Ok(Some(Doubted { copied_at, leads }))
        })
    }
}
