//! The statements behind [`super::syncs`]: each a unit of work under the destination's lease.

use futures_util::future::BoxFuture;

use super::people::{merge_people, present_person};
use super::pools::count_turn;
use super::sql::{Arg, Connection, args, json, list};
use super::syncs::{Evidence, Lease, Next, PlanToStore, StepEnd, StepState, SyncState};
use super::{StoreError, Work};
use crate::clock::Clock;
use crate::id::{StepId, SyncId};
use crate::plan::{Plan, RecordId, RecordKind, Step};

/// A text of ours with its arguments.
type Statement = (String, Vec<Arg>);

/// Bumps the lease row where the epoch is ours, once in a transaction. Nothing is recorded by a process that lost its
/// lease.
pub(super) async fn bump(connection: &mut Connection, lease: &Lease) -> Result<(), StoreError> {
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

pub(crate) struct StorePlan {
    pub(crate) lease: Lease,
    pub(crate) plan: PlanToStore,
    pub(crate) now: i64,
}

impl Work for StorePlan {
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let put_back = connection
                .execute(
                    "UPDATE syncs SET state = 'ready', claimed = 0, next_at = $3, updated_at = $3 \
                     WHERE id = $1 AND person <> $2",
                    args![self.plan.sync, self.plan.person, self.now],
                )
                .await?;
            if put_back > 0 {
                return Ok(false);
            }
            connection.execute_all(self.statements()?).await?;
            if let Some((pool, turn)) = &self.plan.turn {
                count_turn(connection, &self.lease.destination, pool, turn).await?;
            }
            Ok(true)
        })
    }
}

impl StorePlan {
    fn statements(&self) -> Result<Vec<Statement>, StoreError> {
        let PlanToStore { sync, person: _, plan, turn: _, adopt, carried } = &self.plan;
        let mut statements = planned(*sync, &plan.steps)?;
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
        for kept in carried {
            statements
                .push(("UPDATE syncs SET carried_by = $1 WHERE id = $2".to_owned(), args![*sync, *kept]));
        }
        Ok(statements)
    }
}

/// Puts these steps in place of what was planned and not sent.
fn planned(sync: SyncId, steps: &[Step]) -> Result<Vec<Statement>, StoreError> {
    let mut statements =
        vec![("DELETE FROM steps WHERE sync = $1 AND state = 'planned'".to_owned(), args![sync])];
    for (step, position) in steps.iter().zip(0_i64..) {
        statements.push((
            "INSERT INTO steps (id, sync, position, kind, action, state) VALUES ($1, $2, $3, $4, $5, 'planned')"
                .to_owned(),
            args![step.id, sync, position, step.action.kind().as_str(), json(&step.action)?],
        ));
    }
    Ok(statements)
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
    pub(crate) plan: Plan,
    pub(crate) now: i64,
}

impl Work for Hold {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let mut statements = planned(self.sync, &self.plan.steps)?;
            statements.push((
                "UPDATE syncs SET state = 'held', why = $2, reasons = $3, planned_at = $4, updated_at = $4, \
                 claimed = 0 WHERE id = $1"
                    .to_owned(),
                args![self.sync, json(&self.plan.reasons.first())?, json(&self.plan.reasons)?, self.now],
            ));
            connection.execute_all(statements).await
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
            // Either may have become somebody else since the claim. Whose sync this is by then is only known afterwards,
            // so it goes back into the queue in any case.
            let present = present_person(connection, *from).await?;
            let into = present_person(connection, *into).await?;
            if present == *from && into != *from {
                merge_people(connection, &*self.clock, *from, into, reason, &[]).await?;
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
