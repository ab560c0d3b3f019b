//! The statements behind [`super::retention`]: each a transaction of a few milliseconds that moves the round on, and finds
//! out anew whether what it was asked to remove is at its end.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::error::Failure;
use super::names::forget_names;
use super::retention::{Batch, EMPTIED, NOT_ENDED, REMOVED, Removed, Round, What, millis_of};
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, list};
use super::{StoreError, Work};
use crate::id::DeliveryId;

/// Events that one transaction removes, because a single request may hold a thousand of them. The first request of a
/// transaction goes whatever it holds.
const EVENTS: usize = 128;
/// A process maps with the version that was active when it last looked, and may have stood still since.
const VERSION_GRACE: SignedDuration = SignedDuration::from_hours(24);

pub(super) struct BeginRound {
    pub(super) now: i64,
    pub(super) until: i64,
}

impl Work for BeginRound {
    type Output = Option<Round>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Option<Round>, StoreError>> {
        Box::pin(async move {
            let taken = connection
                .execute(
                    "INSERT INTO counters (name, value) VALUES ('retention', $1) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE counters.value <= $2",
                    args![self.until, self.now],
                )
                .await?;
            Ok((taken == 1).then_some(Round { until: self.until }))
        })
    }
}

pub(super) struct EndRound {
    pub(super) round: Round,
    pub(super) next: i64,
}

impl Work for EndRound {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(move_on(connection, self.round, self.next))
    }
}

/// Moves a round on. The value only ever grows while somebody has a round, so nobody takes another's for their own.
pub(super) async fn move_on(connection: &mut Connection, round: Round, until: i64) -> Result<(), StoreError> {
    let moved = connection
        .execute(
            "UPDATE counters SET value = $1 WHERE name = 'retention' AND value = $2",
            args![until, round.until],
        )
        .await?;
    if moved == 1 {
        Ok(())
    } else {
        Err(StoreError::for_good("another process removes what is old now; this one leaves it to that"))
    }
}

pub(super) struct RemoveOld {
    pub(super) round: Round,
    pub(super) until: i64,
    pub(super) batch: Batch,
    pub(super) now: i64,
}

impl Work for RemoveOld {
    type Output = Removed;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Removed, StoreError>> {
        Box::pin(async move {
            move_on(connection, self.round, self.until).await?;
            let state = match self.batch.what {
                What::Bodies => EMPTIED,
                What::Rows => REMOVED,
            };
            // Locked, so that whoever lets one of them be read again comes before, and it stays, or after, and it is gone.
            let locks = connection.row_locks("FOR UPDATE OF d");
            let asked: Vec<Arg> = self.batch.deliveries.iter().map(|id| Arg::from(*id)).collect();
            let mut ended = Vec::with_capacity(asked.len());
            for piece in asked.chunks(ROWS_PER_STATEMENT) {
                let sql = format!(
                    "SELECT d.id FROM deliveries d WHERE d.id IN ({}) AND {state} \
                     AND NOT EXISTS (SELECT 1 FROM {NOT_ENDED}) ORDER BY d.id {locks}",
                    list(1, piece.len())
                );
                for row in connection.fetch(&sql, piece.to_vec()).await? {
                    ended.push(Arg::from(row.text(0)?));
                }
            }
            match self.batch.what {
                What::Bodies => self.empty(connection, &ended).await,
                What::Rows => self.remove(connection, &ended).await,
            }
        })
    }
}

impl RemoveOld {
    async fn empty(&self, connection: &mut Connection, deliveries: &[Arg]) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        for piece in deliveries.chunks(ROWS_PER_STATEMENT) {
            let sql = format!(
                "UPDATE deliveries SET body = $1, query = NULL, headers = '[]', emptied_at = $2 WHERE id IN ({})",
                list(3, piece.len())
            );
            let mut arguments = args![Vec::new(), self.now];
            arguments.extend_from_slice(piece);
            removed.bodies += connection.execute(&sql, arguments).await?;
            let sql = format!(
                "DELETE FROM event_keys WHERE until < $1 \
                 AND (source, key) IN (SELECT source, key FROM events WHERE delivery IN ({}))",
                list(2, piece.len())
            );
            let mut arguments = args![self.batch.keys_until.as_millisecond()];
            arguments.extend_from_slice(piece);
            removed.keys += connection.execute(&sql, arguments).await?;
        }
        Ok(removed)
    }

    /// Children first. The rows are found before any of them goes, and each statement names them: a plan that joins the
    /// tables instead may be a walk through all of them where the database misjudges how many there are.
    async fn remove(&self, connection: &mut Connection, deliveries: &[Arg]) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let (chosen, events) = with_events(connection, deliveries).await?;
        let leads = ids(connection, "leads", "event", &events).await?;
        let syncs = ids(connection, "syncs", "lead", &leads).await?;
        delete(connection, "audits", "sync", &syncs, "").await?;
        delete(connection, "steps", "sync", &syncs, "").await?;
        let final_ones = "AND state IN ('synced', 'filtered')";
        let gone = delete(connection, "syncs", "id", &syncs, final_ones).await?;
        forget_names(connection, &leads).await?;
        removed.leads = delete(connection, "leads", "id", &leads, "").await?;
        let fresh = ids(connection, "syncs", "lead", &leads).await?;
        if usize::try_from(gone) != Ok(syncs.len()) || !fresh.is_empty() {
            // Somebody replayed one of them since we looked: with a new look it is not at its end any more.
            return Err(StoreError {
                message: "a lead was replayed while retention removed it".to_owned(),
                kind: Failure::RunAgain,
            });
        }
        let until = self.batch.keys_until.as_millisecond();
        for piece in events.chunks(ROWS_PER_STATEMENT) {
            // The key of an event lives no longer than the event, whatever retention was when it came.
            let sql = format!(
                "DELETE FROM event_keys WHERE (until < $1 OR event IN ({0})) \
                 AND (source, key) IN (SELECT source, key FROM events WHERE id IN ({0}))",
                list(2, piece.len())
            );
            let mut arguments = args![until];
            arguments.extend_from_slice(piece);
            removed.keys += connection.execute(&sql, arguments).await?;
        }
        delete(connection, "events", "id", &events, "").await?;
        delete(connection, "postbacks", "delivery", &chosen, "").await?;
        removed.deliveries = delete(connection, "deliveries", "id", &chosen, "").await?;
        Ok(removed)
    }
}

/// As many of these deliveries as one transaction removes, with their events.
async fn with_events(
    connection: &mut Connection,
    deliveries: &[Arg],
) -> Result<(Vec<Arg>, Vec<Arg>), StoreError> {
    let mut by_delivery: BTreeMap<String, Vec<Arg>> = BTreeMap::new();
    for piece in deliveries.chunks(ROWS_PER_STATEMENT) {
        let sql = format!("SELECT delivery, id FROM events WHERE delivery IN ({})", list(1, piece.len()));
        for row in connection.fetch(&sql, piece.to_vec()).await? {
            by_delivery.entry(row.text(0)?).or_default().push(Arg::from(row.text(1)?));
        }
    }
    let (mut chosen, mut events) = (Vec::new(), Vec::new());
    for delivery in deliveries {
        let Arg::Text(Some(id)) = delivery else { continue };
        let of_it = by_delivery.remove(id).unwrap_or_default();
        if !chosen.is_empty() && events.len() + of_it.len() > EVENTS {
            break;
        }
        events.extend(of_it);
        chosen.push(delivery.clone());
    }
    Ok((chosen, events))
}

/// The ids of the rows of a table that belong to these.
async fn ids(
    connection: &mut Connection,
    table: &str,
    column: &str,
    of: &[Arg],
) -> Result<Vec<Arg>, StoreError> {
    let mut ids = Vec::new();
    for piece in of.chunks(ROWS_PER_STATEMENT) {
        let sql = format!("SELECT id FROM {table} WHERE {column} IN ({})", list(1, piece.len()));
        for row in connection.fetch(&sql, piece.to_vec()).await? {
            ids.push(Arg::from(row.text(0)?));
        }
    }
    Ok(ids)
}

async fn delete(
    connection: &mut Connection,
    table: &str,
    column: &str,
    of: &[Arg],
    also: &str,
) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for piece in of.chunks(ROWS_PER_STATEMENT) {
        let sql = format!("DELETE FROM {table} WHERE {column} IN ({}) {also}", list(1, piece.len()));
        deleted += connection.execute(&sql, piece.to_vec()).await?;
    }
    Ok(deleted)
}

pub(super) struct RemoveVersions {
    pub(super) before: Timestamp,
}

impl Work for RemoveVersions {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            // A lead was mapped after its delivery came, so whatever version made the leads that are left was active
            // after the oldest delivery that is left.
            let rows = connection.fetch("SELECT id FROM deliveries ORDER BY id LIMIT 1", args![]).await?;
            let oldest: Option<DeliveryId> = rows.first().map(|row| row.id(0)).transpose()?;
            let oldest = oldest.and_then(|id| Timestamp::from_millisecond(millis_of(id)).ok());
            let before = oldest.map_or(self.before, |oldest| self.before.min(oldest));
            let before = before.saturating_sub(VERSION_GRACE).unwrap_or(Timestamp::MIN);
            connection
                .execute(
                    "DELETE FROM versions WHERE used_at < $1 AND hash NOT IN (SELECT hash FROM active_version)",
                    args![before.as_millisecond()],
                )
                .await
        })
    }
}
