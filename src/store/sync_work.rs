//! The statements behind [`super::syncs`]: each a unit of work under the destination's lease.

use futures_util::future::BoxFuture;

use super::people::merge_people;
use super::prepare::timestamp;
use super::sql::{Arg, Connection, Row, args, json, list};
use super::syncs::{
    Claimed, Evidence, Lease, Next, OPEN, PlanToStore, StepEnd, StepState, StoredStep, SyncState,
};
use super::{StoreError, Work};
use crate::clock::Clock;
use crate::id::{StepId, SyncId};
use crate::plan::{Priority, Reason, RecordId, RecordKind, Step};

/// A text of ours with its arguments.
type Statement = (String, Vec<Arg>);

/// Bumps the lease row where the epoch is ours, once in a transaction. Nothing is recorded by a process that lost its
/// lease.
async fn bump(connection: &mut Connection, lease: &Lease) -> Result<(), StoreError> {
    if connection.has_bumped(&lease.destination, lease.epoch) {
        return Ok(());
    }
    let bumped = connection
        .execute(
            "UPDATE leases SET beat = beat + 1 WHERE destination = $1 AND epoch = $2",
            args![lease.destination.as_str(), lease.epoch],
        )
        .await?;
    if bumped == 1 {
        connection.remember_bumped(&lease.destination, lease.epoch);
        Ok(())
    } else {
        Err(StoreError::is_over(format!(
            "another process pushes to '{}' now; this one records nothing more",
            lease.destination
        )))
    }
}

pub(crate) struct TakeLease {
    pub(crate) destination: String,
    pub(crate) holder: String,
}

impl Work for TakeLease {
    type Output = Lease;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Lease, StoreError>> {
        Box::pin(async move {
            let rows = connection
                .fetch(
                    "INSERT INTO leases (destination, holder, epoch, beat) VALUES ($1, $2, 1, 0) \
                     ON CONFLICT (destination) DO UPDATE SET holder = excluded.holder, epoch = leases.epoch + 1, \
                     beat = 0 RETURNING epoch",
                    args![self.destination.as_str(), self.holder.as_str()],
                )
                .await?;
            let epoch = rows.first().ok_or_else(|| StoreError::damaged("no lease row"))?.int(0)?;
            Ok(Lease { destination: self.destination.clone(), epoch })
        })
    }
}

pub(crate) struct Claim {
    pub(crate) lease: Lease,
    pub(crate) live: bool,
    pub(crate) now: i64,
    pub(crate) limit: i64,
}

impl Work for Claim {
    type Output = Vec<Claimed>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Vec<Claimed>, StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            // One human's leads go one after another. Backfill that has not started stands back for live leads, and
            // what is held only counts once the destination is live (then it goes first).
            let held = if self.live { "" } else { "AND s.state <> 'held'" };
            let other_held = if self.live { "" } else { "AND e.state <> 'held'" };
            let sql = format!(
                "UPDATE syncs SET claimed = $2 WHERE id IN (SELECT s.id FROM syncs s \
                   WHERE s.destination = $1 AND s.{OPEN} AND s.next_at <= $3 AND s.claimed <> $2 {held} \
                   AND NOT EXISTS (SELECT 1 FROM syncs e \
                     WHERE e.person = s.person AND e.destination = s.destination AND e.{OPEN} AND e.id <> s.id \
                       {other_held} AND (e.claimed = $2 \
                         OR (e.sequence < s.sequence AND NOT (s.priority = 0 AND e.priority = 1 AND e.state = 'ready')) \
                         OR (s.priority = 1 AND s.state = 'ready' AND e.priority = 0))) \
                   ORDER BY s.priority, s.sequence LIMIT $4) RETURNING id"
            );
            let rows = connection
                .fetch(&sql, args![self.lease.destination.as_str(), self.lease.epoch, self.now, self.limit])
                .await?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let ids: Vec<Arg> =
                rows.iter().map(|row| row.text(0).map(Arg::from)).collect::<Result<_, _>>()?;
            load_claimed(connection, ids).await
        })
    }
}

async fn load_claimed(connection: &mut Connection, ids: Vec<Arg>) -> Result<Vec<Claimed>, StoreError> {
    let places = list(1, ids.len());
    let sql = format!(
        "SELECT s.id, s.lead, l.lead, l.version, l.branch, s.person, s.priority, s.attempts, s.owner, l.conflicts \
         FROM syncs s JOIN leads l ON l.id = s.lead WHERE s.id IN ({places}) ORDER BY s.priority, s.sequence"
    );
    let mut claimed = connection
        .fetch(&sql, ids.clone())
        .await?
        .iter()
        .map(|row| {
            Ok(Claimed {
                id: row.id(0)?,
                lead_id: row.id(1)?,
                lead: row.json(2)?,
                version: row.text(3)?,
                branch: usize::try_from(row.int(4)?).unwrap_or(0),
                person: row.id(5)?,
                priority: if row.int(6)? == 0 { Priority::Live } else { Priority::Backfill },
                attempts: row.int(7)?,
                owner: row.optional_text(8)?,
                conflicts: row.json(9)?,
                steps: Vec::new(),
            })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let sql = format!(
        "SELECT sync, id, action, state, record, sent_at FROM steps WHERE sync IN ({places}) ORDER BY sync, position"
    );
    for row in connection.fetch(&sql, ids).await? {
        let sync: SyncId = row.id(0)?;
        if let Some(claimed) = claimed.iter_mut().find(|claimed| claimed.id == sync) {
            claimed.steps.push(stored_step(&row)?);
        }
    }
    Ok(claimed)
}

fn stored_step(row: &Row) -> Result<StoredStep, StoreError> {
    Ok(StoredStep {
        step: Step { id: row.id(1)?, action: row.json(2)? },
        state: row.parsed(3, StepState::parse)?,
        record: row.optional_text(4)?.map(RecordId),
        sent_at: row.optional_int(5)?.map(timestamp).transpose()?,
    })
}

pub(crate) struct StorePlan {
    pub(crate) lease: Lease,
    pub(crate) plan: PlanToStore,
    pub(crate) now: i64,
}

impl Work for StorePlan {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            connection.execute_all(self.statements()?).await
        })
    }
}

impl StorePlan {
    fn statements(&self) -> Result<Vec<Statement>, StoreError> {
        let PlanToStore { sync, plan, pool, adopt, carried } = &self.plan;
        let mut statements =
            vec![("DELETE FROM steps WHERE sync = $1 AND state = 'planned'".to_owned(), args![*sync])];
        for (step, position) in plan.steps.iter().zip(0_i64..) {
            statements.push((
                "INSERT INTO steps (id, sync, position, kind, action, state) VALUES ($1, $2, $3, $4, $5, 'planned')"
                    .to_owned(),
                args![step.id, *sync, position, step.action.kind().as_str(), json(&step.action)?],
            ));
        }
        let state = if plan.steps.is_empty() { SyncState::Synced } else { SyncState::Pushing };
        statements.push((
            "UPDATE syncs SET state = $2, why = NULL, reasons = $3, planned_at = $4, updated_at = $4, \
             owner = COALESCE($5, owner), claimed = CASE WHEN $6 = 1 THEN 0 ELSE claimed END WHERE id = $1"
                .to_owned(),
            args![
                *sync,
                state.as_str(),
                json(&plan.reasons)?,
                self.now,
                plan.picked_owner.clone(),
                i64::from(plan.steps.is_empty()),
            ],
        ));
        if let Some(contact) = adopt {
            statements.push(link(&self.lease, *sync, "contact", contact, None, None, self.now));
        }
        if let Some((name, turn, state)) = pool {
            statements.push((
                "INSERT INTO pools (destination, pool, turn, state) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (destination, pool) DO UPDATE SET turn = excluded.turn, state = excluded.state \
                 WHERE pools.turn < excluded.turn"
                    .to_owned(),
                args![self.lease.destination.as_str(), name.as_str(), *turn, json(state)?],
            ));
        }
        for kept in carried {
            statements
                .push(("UPDATE syncs SET carried_by = $1 WHERE id = $2".to_owned(), args![*sync, *kept]));
        }
        Ok(statements)
    }
}

/// Links a record to the person that the sync belongs to now. A record that is somebody's already stays theirs.
fn link(
    lease: &Lease,
    sync: SyncId,
    kind: &str,
    record: &RecordId,
    contact: Option<&RecordId>,
    step: Option<StepId>,
    now: i64,
) -> Statement {
    (
        "INSERT INTO links (destination, kind, record, person, contact, step, created_at) \
         SELECT $1, $2, $3, person, $5, $6, $7 FROM syncs WHERE id = $4 \
         ON CONFLICT (destination, kind, record) DO NOTHING"
            .to_owned(),
        args![
            lease.destination.as_str(),
            kind,
            record.0.as_str(),
            sync,
            contact.map(|contact| contact.0.clone()),
            step.map(|step| step.to_string()),
            now
        ],
    )
}

pub(crate) struct MarkSent {
    pub(crate) lease: Lease,
    pub(crate) steps: Vec<StepId>,
    pub(crate) now: i64,
}

impl Work for MarkSent {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let sql = format!(
                "UPDATE steps SET state = 'sent', sent_at = $1 WHERE id IN ({})",
                list(2, self.steps.len())
            );
            let mut arguments = args![self.now];
            arguments.extend(self.steps.iter().map(|step| Arg::from(*step)));
            connection.execute(&sql, arguments).await?;
            Ok(())
        })
    }
}

pub(crate) struct StoreOutcomes {
    pub(crate) lease: Lease,
    pub(crate) sync: SyncId,
    pub(crate) steps: Vec<(StepId, StepEnd)>,
    pub(crate) next: Next,
    pub(crate) now: i64,
}

impl Work for StoreOutcomes {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let mut statements = Vec::with_capacity(4);
            for (step, end) in &self.steps {
                self.end_step(*step, end, &mut statements);
            }
            if let Next::Release { state, why, next_at, attempts } = &self.next {
                statements.push((
                    "UPDATE syncs SET state = $2, why = $3, next_at = $4, attempts = $5, claimed = 0, \
                     updated_at = $6 WHERE id = $1"
                        .to_owned(),
                    args![
                        self.sync,
                        state.as_str(),
                        why.as_ref().map(json).transpose()?,
                        next_at.as_millisecond(),
                        *attempts,
                        self.now
                    ],
                ));
            }
            connection.execute_all(statements).await
        })
    }
}

impl StoreOutcomes {
    fn end_step(&self, step: StepId, end: &StepEnd, statements: &mut Vec<Statement>) {
        let (state, record, why) = match end {
            StepEnd::Done { record, .. } => (StepState::Done, Some(record.0.clone()), None),
            StepEnd::NotWritten(why) => (StepState::Planned, None, Some(why.clone())),
            StepEnd::Unknown(why) => (StepState::Unknown, None, Some(why.clone())),
            StepEnd::Rejected(why) => (StepState::Rejected, None, Some(why.clone())),
        };
        statements.push((
            "UPDATE steps SET state = $2, record = $3, why = $4, ended_at = $5 WHERE id = $1".to_owned(),
            args![step, state.as_str(), record, why, self.now],
        ));
        if let StepEnd::Done { record, link: Some((kind, contact)) } = end {
            let kind = match kind {
                RecordKind::Contact => "contact",
                RecordKind::Deal => "deal",
                RecordKind::Task | RecordKind::Note => return,
            };
            let contact = contact.as_ref();
            statements.push(link(&self.lease, self.sync, kind, record, contact, Some(step), self.now));
        }
    }
}

pub(crate) struct Hold {
    pub(crate) lease: Lease,
    pub(crate) sync: SyncId,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) now: i64,
}

impl Work for Hold {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            connection
                .execute(
                    "UPDATE syncs SET state = 'held', why = $2, reasons = $3, planned_at = $4, updated_at = $4, \
                     claimed = 0 WHERE id = $1",
                    args![self.sync, json(&self.reasons.first())?, json(&self.reasons)?, self.now],
                )
                .await?;
            Ok(())
        })
    }
}

pub(crate) struct DropLink {
    pub(crate) lease: Lease,
    pub(crate) contact: RecordId,
}

impl Work for DropLink {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            connection
                .execute(
                    "DELETE FROM links WHERE destination = $1 AND ((kind = 'contact' AND record = $2) \
                     OR (kind = 'deal' AND contact = $2))",
                    args![self.lease.destination.as_str(), self.contact.0.as_str()],
                )
                .await?;
            Ok(())
        })
    }
}

pub(crate) struct MergeOnEvidence {
    pub(crate) lease: Lease,
    pub(crate) evidence: Evidence,
    pub(crate) clock: std::sync::Arc<dyn Clock>,
}

impl Work for MergeOnEvidence {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let Evidence { sync, from, into, reason } = &self.evidence;
            // The two may have become one since the claim; then the sync only goes back into the queue.
            let merged = connection
                .fetch("SELECT 1 FROM persons WHERE id = $1 AND merged_into IS NOT NULL", args![*from])
                .await?;
            if merged.is_empty() {
                merge_people(connection, &*self.clock, *from, *into, reason, &[]).await?;
            }
            connection
                .execute(
                    "UPDATE syncs SET state = 'ready', claimed = 0, next_at = $2, updated_at = $2 WHERE id = $1",
                    args![*sync, self.clock.now().as_millisecond()],
                )
                .await?;
            Ok(())
        })
    }
}
