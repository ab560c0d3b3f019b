//! What owner pools remember, and the leads that wait for somebody of a pool.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::lease::{Lease, bump};
use super::sql::{Connection, args, json};
use super::{Store, StoreError, Work};
use crate::rules::{PoolState, Turn};

/// Counts turns, by pool, in the transaction of the plans that took them, on top of whatever is stored by then. The
/// column `turn` counts them all.
pub(super) async fn count_turns<'a>(
    connection: &mut Connection,
    lease: &Lease,
    turns: impl Iterator<Item = (&'a str, &'a Turn)>,
) -> Result<(), StoreError> {
    let mut by_pool: BTreeMap<&str, Vec<&Turn>> = BTreeMap::new();
    for (pool, turn) in turns {
        by_pool.entry(pool).or_default().push(turn);
    }
    for (pool, turns) in by_pool {
        let count = i64::try_from(turns.len()).unwrap_or(i64::MAX);
        // The count comes first: it locks the row, where there may be other writers.
        let rows = connection
            .fetch(
                "INSERT INTO pools (destination, pool, turn, state) VALUES ($1, $2, $3, '{}') \
                 ON CONFLICT (destination, pool) DO UPDATE SET turn = pools.turn + excluded.turn RETURNING state",
                args![lease.destination.as_str(), pool, count],
            )
            .await?;
        let row = rows.first().ok_or_else(|| StoreError::damaged("no row of an owner pool"))?;
        let mut state: PoolState = row.json(0)?;
        for turn in turns {
            state.take(turn);
        }
        connection
            .execute(
                "UPDATE pools SET state = $3 WHERE destination = $1 AND pool = $2",
                args![lease.destination.as_str(), pool, json(&state)?],
            )
            .await?;
    }
    Ok(())
}

impl Store {
    /// What the pools of a destination remember, by name of the pool.
    pub async fn pools(&self, destination: &str) -> Result<Vec<(String, PoolState)>, StoreError> {
        let rows = self
            .read("SELECT pool, state FROM pools WHERE destination = $1 ORDER BY pool", args![destination])
            .await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.json(1)?))).collect()
    }

    /// Has every lead that waits for somebody of a pool decided again now, because somebody may be there by now. Returns
    /// how many.
    pub async fn wake_waiting(&self, lease: &Lease, now: Timestamp) -> Result<u64, StoreError> {
        self.write(WakeWaiting { lease: lease.clone(), now: now.as_millisecond() }).await
    }
}

pub(super) const WAKE_WAITING: &str =
    "UPDATE syncs SET next_at = $2 WHERE destination = $1 AND state = 'waiting' AND next_at > $2";

struct WakeWaiting {
    lease: Lease,
    now: i64,
}

impl Work for WakeWaiting {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            connection.execute(WAKE_WAITING, args![self.lease.destination.as_str(), self.now]).await
        })
    }
}
