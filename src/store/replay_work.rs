//! The statements behind [`super::replay`], but for leads that are mapped again ([`super::replan`]). A sync that a worker
//! has in hand, or that is under way, is never touched: each statement says itself which states it may begin from.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::sql::{Arg, Connection, args, json, list};
use super::{StoreError, Work};
use crate::id::{DeliveryId, SyncId};
use crate::plan::Reason;

/// In nobody's hands: claims of an older epoch of the lease do not count.
pub(super) const FREE: &str = "NOT EXISTS (SELECT 1 FROM leases \
    WHERE leases.destination = syncs.destination AND leases.epoch = syncs.claimed)";

/// Its lead was not erased.
const KEPT: &str = "EXISTS (SELECT 1 FROM leads WHERE leads.id = syncs.lead AND leads.lead IS NOT NULL)";

/// A deal or a task of it is in the CRM.
const LANDED: &str = "EXISTS (SELECT 1 FROM steps WHERE steps.sync = syncs.id AND steps.state = 'done' \
    AND steps.kind IN ('create deal', 'create task'))";

/// What the database is told of a sync that is decided anew.
pub(super) struct Anew<'a> {
    pub(super) sync: SyncId,
    /// States that it may be in.
    pub(super) from: &'a [&'a str],
    pub(super) force: bool,
    /// It was let through a destination that only observes, and still is. Another plan than the one that a person looked
    /// at is not.
    pub(super) let_through: bool,
    pub(super) why: &'a Reason,
    pub(super) now: i64,
}

/// Puts a sync back to the beginning, behind live leads. What its plan did is kept and never done again by itself. Returns
/// whether it was in one of the states.
pub(super) async fn decide_anew(connection: &mut Connection, anew: &Anew<'_>) -> Result<bool, StoreError> {
    let Anew { sync, from, force, let_through, why, now } = anew;
    let sql = format!(
        "UPDATE syncs SET brought = CASE WHEN brought = 1 OR state = 'synced' OR {LANDED} THEN 1 ELSE 0 END, \
         state = 'ready', why = $2, reasons = NULL, planned_at = NULL, next_at = $3, updated_at = $3, attempts = 0, \
         claimed = 0, priority = 1, forced = $4, let_through = CASE WHEN $5 = 1 THEN let_through ELSE 0 END \
         WHERE id = $1 AND state IN ('{}') AND {FREE} AND {KEPT}",
        from.join("','")
    );
    let arguments = args![*sync, json(why)?, *now, i64::from(*force), i64::from(*let_through)];
    if connection.execute(&sql, arguments).await? == 0 {
        return Ok(false);
    }
    connection
        .execute_all(vec![
            ("DELETE FROM steps WHERE sync = $1 AND state = 'planned'".to_owned(), args![*sync]),
            ("UPDATE steps SET past = 1 WHERE sync = $1".to_owned(), args![*sync]),
        ])
        .await?;
    Ok(true)
}

pub(super) struct ReplaySyncs {
    pub(super) syncs: Vec<SyncId>,
    pub(super) force: bool,
    pub(super) now: Timestamp,
}

impl Work for ReplaySyncs {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let word = if self.force { "force" } else { "resume" };
            let why = Reason::new("replayed", format!("Replayed on {} ({word}).", self.now));
            let now = self.now.as_millisecond();
            let from: &[&str] = if self.force {
                &["needs-attention", "filtered", "synced"]
            } else {
                &["needs-attention", "filtered", "waiting", "held"]
            };
            let mut replayed = 0;
            // Everybody locks syncs in this order.
            for sync in &self.syncs.iter().copied().collect::<BTreeSet<_>>() {
                let goes_on = self.go_on(connection, *sync, &why).await?;
                let anew = Anew { sync: *sync, from, force: self.force, let_through: true, why: &why, now };
                if goes_on || decide_anew(connection, &anew).await? {
                    replayed += 1;
                }
            }
            Ok(replayed)
        })
    }
}

impl ReplaySyncs {
    /// A plan of which a step may have happened goes on as it is: the step is looked up before anything is sent. Forced, it
    /// counts as not written, because a person has looked. `false` for any other sync.
    async fn go_on(
        &self,
        connection: &mut Connection,
        sync: SyncId,
        why: &Reason,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE syncs SET state = 'pushing', why = $2, next_at = $3, updated_at = $3, attempts = 0, claimed = 0, \
             priority = 1 WHERE id = $1 AND state = 'needs-attention' AND {FREE} AND {KEPT} AND EXISTS (SELECT 1 FROM steps \
               WHERE steps.sync = syncs.id AND steps.past = 0 AND steps.state IN ('sent', 'unknown'))"
        );
        let goes_on = connection.execute(&sql, args![sync, json(why)?, self.now.as_millisecond()]).await? > 0;
        if goes_on && self.force {
            let sql = "UPDATE steps SET state = 'planned' WHERE sync = $1 AND past = 0 AND state IN ('sent', 'unknown')";
            connection.execute(sql, args![sync]).await?;
        }
        Ok(goes_on)
    }
}

pub(super) struct ResplitDeliveries {
    pub(super) deliveries: Vec<DeliveryId>,
}

impl Work for ResplitDeliveries {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            if self.deliveries.is_empty() {
                return Ok(0);
            }
            let sql = format!(
                "UPDATE deliveries SET state = 'received', why = NULL WHERE state = 'unreadable' AND id IN ({})",
                list(1, self.deliveries.len())
            );
            connection.execute(&sql, self.deliveries.iter().map(|id| Arg::from(*id)).collect()).await
        })
    }
}
