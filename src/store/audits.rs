//! Steps that were sent again after a look-up found nothing: which of them are to be looked for once more, and what came of
//! it. A row is made in the transaction that stores "not there" ([`super::syncs::StepEnd::NotThere`]), so no crash between
//! that and the second request can lose it.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::lease::{Lease, bump};
use super::pauses::is_paused;
use super::sql::{Connection, Row, args, json};
use super::syncs::{StepState, SyncState};
use super::{Store, StoreError, Work};
use crate::id::{LeadId, StepId, SyncId};
use crate::plan::{Reason, RecordId, Step};

/// An audit whose time has come.
#[derive(Clone, Debug)]
pub struct DueAudit {
    /// What is looked for.
    pub step: Step,
    /// Whose step it is, or was.
    pub sync: SyncId,
    /// The lead of that.
    pub lead: LeadId,
    /// Where that sync stands.
    pub state: SyncState,
    /// Where the step stands; `None` when its plan was dropped and decided anew.
    pub step_state: Option<StepState>,
    /// When the step came to its end.
    pub ended_at: Option<Timestamp>,
}

/// What an audit found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditResult {
    /// One record, which is ours.
    Once,
    /// No record: it was never written, or somebody took it away.
    None,
    /// More than should be there.
    Twice,
    /// The CRM does not say.
    CannotTell,
}

impl AuditResult {
    /// The word in the database, the API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::None => "none",
            Self::Twice => "twice",
            Self::CannotTell => "cannot_tell",
        }
    }
}

/// How an audit ended.
#[derive(Clone, Debug)]
pub struct AuditEnd {
    /// What it found.
    pub result: AuditResult,
    /// Which records.
    pub records: Vec<RecordId>,
    /// Why it cannot be told.
    pub note: Option<String>,
    /// Why a person must look.
    pub attention: Option<Reason>,
}

impl AuditEnd {
    /// Nobody can tell, and why.
    pub fn cannot_tell(why: String) -> Self {
        Self { result: AuditResult::CannotTell, records: Vec::new(), note: Some(why), attention: None }
    }
}

/// An audit as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AuditDetail {
    /// Of which step.
    pub step: String,
    /// Such as `create contact`.
    pub kind: String,
    /// When it is, or was, looked for once more.
    pub due_at: Timestamp,
    /// When that was done; absent before.
    pub done_at: Option<Timestamp>,
    /// `once`, `none`, `twice` or `cannot_tell`; absent before.
    pub result: Option<String>,
    /// The records that were found.
    pub records: Vec<String>,
    /// Why it cannot be told.
    pub note: Option<String>,
}

impl Store {
    /// Audits of a destination that are due, the oldest first; none while somebody paused it.
    pub async fn due_audits(
        &self,
        destination: &str,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<DueAudit>, StoreError> {
        let sql = format!(
            "SELECT audits.step, audits.action, audits.sync, syncs.lead, syncs.state, steps.state, steps.ended_at \
             FROM audits JOIN syncs ON syncs.id = audits.sync LEFT JOIN steps ON steps.id = audits.step \
             WHERE audits.destination = $1 AND audits.done_at IS NULL AND audits.due_at <= $2 AND NOT {} \
             ORDER BY audits.due_at LIMIT $3",
            is_paused("$1")
        );
        let rows = self.read(&sql, args![destination, now.as_millisecond(), limit]).await?;
        rows.iter().map(due).collect()
    }

    /// When the next audit of a destination is due, of those that [`due_audits`](Self::due_audits) gives then.
    pub async fn next_audit(&self, destination: &str) -> Result<Option<Timestamp>, StoreError> {
        let sql = format!(
            "SELECT audits.due_at FROM audits JOIN syncs ON syncs.id = audits.sync \
             WHERE audits.destination = $1 AND audits.done_at IS NULL AND NOT {} ORDER BY audits.due_at LIMIT 1",
            is_paused("$1")
        );
        let rows = self.read(&sql, args![destination]).await?;
        rows.first().map(|row| row.timestamp(0)).transpose()
    }

    /// Puts an audit off.
    pub async fn postpone_audit(
        &self,
        lease: &Lease,
        step: StepId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(PostponeAudit { lease: lease.clone(), step, due_at }).await
    }

    /// Stores how an audit ended; `false` when its sync goes on again by now, and the audit is due as before.
    pub async fn end_audit(
        &self,
        lease: &Lease,
        step: StepId,
        sync: SyncId,
        end: AuditEnd,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(EndAudit { lease: lease.clone(), step, sync, end, now }).await
    }

    /// Forgets audits of a destination that were due before this time.
    pub async fn prune_audits(&self, lease: &Lease, before: Timestamp) -> Result<u64, StoreError> {
        // There is hardly ever anything, and a look costs the writer nothing.
        let sql = "SELECT MIN(due_at) FROM audits WHERE destination = $1";
        let rows = self.read(sql, args![lease.destination.as_str()]).await?;
        let oldest = rows.first().map_or(Ok(None), |row| row.optional_timestamp(0))?;
        if oldest.is_none_or(|oldest| oldest >= before) {
            return Ok(0);
        }
        self.write(PruneAudits { lease: lease.clone(), before }).await
    }

    /// The audits of a sync, in the order of its steps.
    pub(super) async fn audits(&self, sync: &str) -> Result<Vec<AuditDetail>, StoreError> {
        let rows = self
            .read(
                "SELECT step, kind, due_at, done_at, result, records, note FROM audits WHERE sync = $1 ORDER BY step",
                args![sync],
            )
            .await?;
        rows.iter().map(detail).collect()
    }
}

fn due(row: &Row) -> Result<DueAudit, StoreError> {
    let step_state = row.optional_text(5)?;
    Ok(DueAudit {
        step: Step { id: row.id(0)?, action: row.json(1)? },
        sync: row.id(2)?,
        lead: row.id(3)?,
        state: row.parsed(4, SyncState::parse)?,
        step_state: step_state.map(|_| row.parsed(5, StepState::parse)).transpose()?,
        ended_at: row.optional_timestamp(6)?,
    })
}

fn detail(row: &Row) -> Result<AuditDetail, StoreError> {
    Ok(AuditDetail {
        step: row.text(0)?,
        kind: row.text(1)?,
        due_at: row.timestamp(2)?,
        done_at: row.optional_timestamp(3)?,
        result: row.optional_text(4)?,
        records: row.optional_json(5)?.unwrap_or_default(),
        note: row.optional_text(6)?,
    })
}

struct PostponeAudit {
    lease: Lease,
    step: StepId,
    due_at: Timestamp,
}

impl Work for PostponeAudit {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let sql = "UPDATE audits SET due_at = $2 WHERE step = $1 AND done_at IS NULL";
            connection.execute(sql, args![self.step, self.due_at.as_millisecond()]).await.map(drop)
        })
    }
}

struct EndAudit {
    lease: Lease,
    step: StepId,
    sync: SyncId,
    end: AuditEnd,
    now: Timestamp,
}

impl Work for EndAudit {
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let AuditEnd { result, records, note, attention } = &self.end;
            let now = self.now.as_millisecond();
            if let Some(reason) = attention
                && !put_before_a_person(connection, self.sync, reason, now).await?
            {
                return Ok(false);
            }
            connection
                .execute(
                    "UPDATE audits SET done_at = $2, result = $3, records = $4, note = $5, action = NULL \
                     WHERE step = $1 AND done_at IS NULL",
                    args![self.step, now, result.as_str(), json(records)?, note.clone()],
                )
                .await?;
            Ok(true)
        })
    }
}

/// Ends a sync before a person. What was the matter with it already is told as well. `false` when it is under way.
async fn put_before_a_person(
    connection: &mut Connection,
    sync: SyncId,
    reason: &Reason,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "SELECT why FROM syncs WHERE id = $1 AND state = 'needs-attention'";
    let rows = connection.fetch(sql, args![sync]).await?;
    let earlier: Option<Reason> = rows.first().map_or(Ok(None), |row| row.optional_json(0))?;
    let text = match earlier {
        Some(earlier) if earlier.code != reason.code => format!("{} Besides: {}", reason.text, earlier.text),
        Some(_) | None => reason.text.clone(),
    };
    let why = Reason::new(&reason.code, text);
    let touched = connection
        .execute(
            // What was in the CRM is in the CRM: replayed, it makes no second task.
            "UPDATE syncs SET brought = CASE WHEN state = 'synced' THEN 1 ELSE brought END, \
             state = 'needs-attention', why = $2, updated_at = $3 \
             WHERE id = $1 AND state IN ('synced', 'filtered', 'needs-attention')",
            args![sync, json(&why)?, now],
        )
        .await?;
    Ok(touched > 0)
}

struct PruneAudits {
    lease: Lease,
    before: Timestamp,
}

impl Work for PruneAudits {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            // Those of syncs that are gone are never due, because they are read together with their sync.
            connection
                .execute(
                    "DELETE FROM audits WHERE destination = $1 AND due_at < $2",
                    args![self.lease.destination.as_str(), self.before.as_millisecond()],
                )
                .await
        })
    }
}
