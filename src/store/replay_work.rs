//! The statements behind [`super::replay`]. A sync that a worker has in hand, or that is under way, is never touched: each
//! statement says itself which states it may begin from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::erase::ERASED;
use super::error::Failure;
use super::people::People;
use super::prepare::EventOutcome;
use super::replay::{How, Item, LeftAlone, Remapped, SNAGS, snag};
use super::sql::{Arg, Connection, args, json, list};
use super::{StoreError, Work};
use crate::clock::Clock;
use crate::id::{DeliveryId, PersonId, SyncId};
use crate::lead::Lead;
use crate::plan::Reason;
use crate::resolve::resolve;
use crate::rules::IdentifierOrder;

/// In nobody's hands: claims of an older epoch of the lease do not count.
const FREE: &str = "NOT EXISTS (SELECT 1 FROM leases \
    WHERE leases.destination = syncs.destination AND leases.epoch = syncs.claimed)";

/// Its lead was not erased.
const KEPT: &str = "EXISTS (SELECT 1 FROM leads WHERE leads.id = syncs.lead AND leads.lead IS NOT NULL)";

/// A deal or a task of it is in the CRM.
const LANDED: &str = "EXISTS (SELECT 1 FROM steps WHERE steps.sync = syncs.id AND steps.state = 'done' \
    AND steps.kind IN ('create deal', 'create task'))";

/// What the database is told of a sync that is decided anew.
struct Anew<'a> {
    sync: SyncId,
    /// States that it may be in.
    from: &'a [&'a str],
    force: bool,
    /// It was let through a destination that only observes, and still is. Another plan than the one that a person looked
    /// at is not.
    let_through: bool,
    why: &'a Reason,
    now: i64,
}

/// Puts a sync back to the beginning, behind live leads. What its plan did is kept and never done again by itself. Returns
/// whether it was in one of the states.
async fn decide_anew(connection: &mut Connection, anew: &Anew<'_>) -> Result<bool, StoreError> {
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
            for sync in &self.syncs {
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

pub(super) struct ReplanLeads {
    pub(super) leads: Vec<Remapped>,
    pub(super) order: IdentifierOrder,
    /// Destinations that write nothing.
    pub(super) observing: BTreeSet<String>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Work for ReplanLeads {
    type Output = Vec<Result<(), LeftAlone>>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let mut ends = Vec::with_capacity(self.leads.len());
            for lead in &self.leads {
                ends.push(self.replan(connection, lead).await?);
            }
            Ok(ends)
        })
    }
}

/// A sync of a lead that is planned again.
struct Known {
    item: Item,
    brought: bool,
}

impl ReplanLeads {
    async fn replan(
        &self,
        connection: &mut Connection,
        lead: &Remapped,
    ) -> Result<Result<(), LeftAlone>, StoreError> {
        let syncs = known(connection, lead).await?;
        // The lead itself changes, so none of its syncs may be on its way with what it was.
        for known in &syncs {
            let meant = known.item.sync.is_some_and(|sync| lead.syncs.contains(&sync));
            let observes = known.item.destination.as_ref().is_some_and(|name| self.observing.contains(name));
            match known.item.verdict(How::Replan, observes) {
                Err(LeftAlone::UnderWay) => return Ok(Err(LeftAlone::UnderWay)),
                Err(left) if meant => return Ok(Err(left)),
                Ok(()) | Err(_) => {}
            }
        }
        let now = self.clock.now();
        match &lead.outcome {
            EventOutcome::Lead { lead: mapped, branch, syncs: to } => {
                let mapped = Mapped { lead: mapped, branch: *branch, to };
                self.store_lead(connection, lead, &mapped, &syncs, now).await
            }
            EventOutcome::Filtered(why) => {
                self.filter(connection, lead, &syncs, why, now).await?;
                Ok(Ok(()))
            }
            EventOutcome::NeedsAttention(why) => {
                if syncs.is_empty() {
                    end(connection, lead, "needs-attention", why).await?;
                }
                Ok(Err(LeftAlone::MappingFails))
            }
        }
    }

    async fn store_lead(
        &self,
        connection: &mut Connection,
        lead: &Remapped,
        mapped: &Mapped<'_>,
        syncs: &[Known],
        now: Timestamp,
    ) -> Result<Result<(), LeftAlone>, StoreError> {
        let millis = now.as_millisecond();
        let before = connection
            .fetch("SELECT person, sequence, why FROM leads WHERE id = $1", args![lead.lead])
            .await?;
        let Some(before) = before.first() else { return Ok(Err(LeftAlone::Done)) };
        if before.optional_text(2)?.is_some_and(|why| why.starts_with(ERASED)) {
            return Ok(Err(LeftAlone::Erased));
        }
        let person = before.optional_id::<PersonId>(0)?;
        let sequence = before.int(1)?;
        let mut people = People::load(connection, std::iter::once(mapped.lead), person, millis).await?;
        let person = person.map(|person| people.present(person));
        let resolution = resolve(&mapped.lead.identifiers, &people.known, &self.order, lead.fresh_person);
        let moved = person.is_some_and(|person| person != resolution.person);
        if moved && syncs.iter().any(|known| known.brought) {
            return Ok(Err(LeftAlone::SomebodyElses));
        }
        people.learn(mapped.lead, &resolution);
        let there = connection
            .execute(
                "UPDATE leads SET version = $2, branch = $3, person = $4, state = 'mapped', why = NULL, lead = $5, \
                 conflicts = $6 WHERE id = $1 AND (why IS NULL OR why NOT LIKE $7)",
                args![
                    lead.lead,
                    lead.version.as_str(),
                    i64::try_from(mapped.branch).unwrap_or(i64::MAX),
                    resolution.person,
                    json(mapped.lead)?,
                    json(&resolution.conflicts)?,
                    format!("{ERASED}%"),
                ],
            )
            .await?;
        if there == 0 {
            // Retention or an erasure was faster. With a new look, nothing of what was looked at is left behind either.
            return Err(StoreError {
                message: "a lead was removed while it was replayed".to_owned(),
                kind: Failure::RunAgain,
            });
        }
        if moved {
            connection
                .execute("UPDATE syncs SET person = $2 WHERE lead = $1", args![lead.lead, resolution.person])
                .await?;
        }
        let why = Reason::new(
            "replayed",
            format!("Mapped and planned again on {now} by version {}.", lead.version),
        );
        let destinations: BTreeMap<&str, &Known> =
            syncs.iter().filter_map(|known| Some((known.item.destination.as_deref()?, known))).collect();
        let mut fresh = Vec::new();
        for (id, destination) in mapped.to {
            match destinations.get(destination.as_str()).and_then(|known| known.item.sync) {
                Some(sync) if lead.syncs.contains(&sync) => {
                    decide_anew(
                        connection,
                        &Anew {
                            sync,
                            from: REPLANNED,
                            force: false,
                            let_through: false,
                            why: &why,
                            now: millis,
                        },
                    )
                    .await?;
                }
                Some(_) => {}
                None => fresh.push(args![
                    *id,
                    lead.lead,
                    destination.as_str(),
                    resolution.person,
                    sequence,
                    1,
                    "ready",
                    millis,
                    millis
                ]),
            }
        }
        connection
            .insert_rows(
                "syncs (id, lead, destination, person, sequence, priority, state, next_at, updated_at)",
                fresh,
                "",
            )
            .await?;
        people.store(connection, millis).await?;
        people.merge(connection, &*self.clock).await?;
        let gone = |known: &&Known| {
            known.item.destination.as_ref().is_some_and(|name| mapped.to.iter().all(|(_, to)| to != name))
        };
        for known in syncs.iter().filter(gone) {
            let why =
                Reason::new("not_sent_there", "The active mapping does not send this lead there any more.");
            drop_sync(connection, lead, known, &why, now).await?;
        }
        Ok(Ok(()))
    }

    /// The active mapping wants nothing of it: what is not in the CRM yet ends.
    async fn filter(
        &self,
        connection: &mut Connection,
        lead: &Remapped,
        syncs: &[Known],
        why: &Reason,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if syncs.is_empty() {
            return end(connection, lead, "filtered", why).await;
        }
        for known in syncs {
            drop_sync(connection, lead, known, why, now).await?;
        }
        Ok(())
    }
}

/// What a mapping made of a lead.
struct Mapped<'a> {
    lead: &'a Lead,
    branch: usize,
    to: &'a [(SyncId, String)],
}

/// States that a plan may be dropped in.
const REPLANNED: &[&str] = &["ready", "waiting", "held", "needs-attention", "filtered", "synced"];

/// Ends a lead that has nothing to sync.
async fn end(
    connection: &mut Connection,
    lead: &Remapped,
    state: &str,
    why: &Reason,
) -> Result<(), StoreError> {
    connection
        .execute(
            "UPDATE leads SET state = $2, why = $3, version = $4 WHERE id = $1 AND (why IS NULL OR why NOT LIKE $5)",
            args![lead.lead, state, json(why)?, lead.version.as_str(), format!("{ERASED}%")],
        )
        .await?;
    Ok(())
}

/// Ends a meant sync that is not in the CRM, because the active mapping does not want it there.
async fn drop_sync(
    connection: &mut Connection,
    lead: &Remapped,
    known: &Known,
    why: &Reason,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(sync) = known.item.sync.filter(|sync| lead.syncs.contains(sync)) else { return Ok(()) };
    let sql = format!(
        "UPDATE syncs SET state = 'filtered', why = $2, updated_at = $3, claimed = 0 WHERE id = $1 \
         AND state IN ('ready', 'waiting', 'held', 'needs-attention', 'filtered') AND {FREE}"
    );
    if connection.execute(&sql, args![sync, json(why)?, now.as_millisecond()]).await? > 0 {
        connection.execute("DELETE FROM steps WHERE sync = $1 AND state = 'planned'", args![sync]).await?;
    }
    Ok(())
}

/// The syncs of a lead as they are now, and until this transaction ends.
async fn known(connection: &mut Connection, lead: &Remapped) -> Result<Vec<Known>, StoreError> {
    let sql = format!(
        "SELECT id, destination, state, {SNAGS}, brought, \
         (SELECT COUNT(*) FROM steps WHERE steps.sync = syncs.id AND steps.state = 'done') \
         FROM syncs WHERE lead = $1 ORDER BY id {}",
        connection.row_locks("FOR UPDATE OF syncs")
    );
    let rows = connection.fetch(&sql, args![lead.lead]).await?;
    rows.iter()
        .map(|row| {
            let state = row.text(2)?;
            let brought = state == "synced" || row.int(6)? > 0 || row.int(7)? > 0;
            let item = Item {
                lead: lead.lead,
                source: String::new(),
                sync: Some(row.id(0)?),
                destination: Some(row.text(1)?),
                state,
                why: None,
                snag: snag(row, 3)?,
                has_deal: false,
            };
            Ok(Known { item, brought })
        })
        .collect()
}
