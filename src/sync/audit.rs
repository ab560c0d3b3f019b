//! The audit look-up: what was sent again because a look-up had found nothing is looked for once more, long after.
//!
//! One hole is left to steps that are only findable. A process that stops between its last look at the lease and the
//! request (a virtual machine that is moved, a host that swaps), or a proxy that holds a request back, may write after
//! somebody has looked, found nothing and sent it again. Nobody can prevent that without the CRM's help; here it is found
//! and put before a person, who deletes one of the two.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Worker, WorkerHandle};
use crate::clock::later;
use crate::crm::CrmError;
use crate::failpoint::failpoint;
use crate::plan::{Priority, Reason, RecordId, RecordKind, Step};
use crate::rules::Mode;
use crate::store::StoreError;
use crate::store::audits::{AuditEnd, AuditResult, DueAudit};
use crate::store::syncs::{StepState, SyncState};
use crate::telemetry::metric;

/// The longest sleep. Whatever is noted meanwhile wakes it, so this is for a clock that was set and a CRM that was away.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// The shortest.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);
/// Audits of one look: they share the budget with leads.
const TOGETHER: i64 = 20;
/// An audit whose answer did not come is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_mins(1);
/// How often audits that are older than everything else are forgotten.
const PRUNE: Duration = Duration::from_hours(6);

impl WorkerHandle {
    /// Audits what is due, until `stop` or until the lease is another's.
    pub(super) async fn keep_auditing(self, stop: CancellationToken) {
        let worker = &self.worker;
        if worker.destination.mode == Mode::Paused {
            return;
        }
        let mut pruned: Option<Instant> = None;
        loop {
            let round = async {
                if pruned.is_none_or(|at| at.elapsed() >= PRUNE) {
                    worker.prune_audits().await?;
                    pruned = Some(Instant::now());
                }
                worker.audit_what_is_due().await
            };
            let wait = tokio::select! {
                () = stop.cancelled() => return,
                ended = round => match ended {
                    Ok(wait) => wait,
                    Err(failure) if failure.is_final() => return worker.hold.lose(),
                    Err(failure) => {
                        error!(destination = worker.destination.name, %failure,
                            "steps that were sent again could not be looked for once more; tried again");
                        LONGEST_SLEEP
                    }
                },
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = worker.noted.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }
}

impl Worker {
    async fn prune_audits(&self) -> Result<(), StoreError> {
        let Some(workspace) = self.active.borrow().clone() else { return Ok(()) };
        let before = self.clock.now().checked_sub(workspace.retention.rows).unwrap_or(Timestamp::MIN);
        self.store.prune_audits(&self.lease, before).await.map(drop)
    }

    /// One round; returns how long nothing will be due.
    async fn audit_what_is_due(&self) -> Result<Duration, StoreError> {
        let name = &self.destination.name;
        let now = self.clock.now();
        if self.breaker().paused().is_some() || !self.hold.is_sure(&*self.clock) {
            return Ok(LONGEST_SLEEP);
        }
        let due = self.store.due_audits(name, now, TOGETHER).await?;
        let mut asked = Vec::new();
        for audit in due {
            match (too_early(&audit, self.destination.audit, now), audit.step.action.kind().creates()) {
                (Some(until), _) => self.store.postpone_audit(&self.lease, audit.step.id, until).await?,
                (None, Some(kind)) => asked.push((kind, audit)),
                // An update is never looked up, so there is no such row.
                (None, None) => {
                    let why = "it is no step that makes a record; this is a bug of leadfold".to_owned();
                    self.end_audit(&audit, AuditEnd::cannot_tell(why)).await?;
                }
            }
        }
        if !asked.is_empty() {
            self.audit(asked).await?;
        }
        let next = self.store.next_audit(name).await?;
        let wait = next.map(|next| Duration::try_from(self.clock.now().duration_until(next)));
        Ok(wait.map_or(LONGEST_SLEEP, |wait| {
            wait.unwrap_or(SHORTEST_SLEEP).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
        }))
    }

    async fn audit(&self, asked: Vec<(RecordKind, DueAudit)>) -> Result<(), StoreError> {
        let questions: Vec<(RecordKind, &Step)> =
            asked.iter().map(|(kind, audit)| (*kind, &audit.step)).collect();
        let answers = self.crm.look_up(&questions, Priority::Backfill).await;
        failpoint!("audit.looked_up");
        for ((kind, audit), answer) in asked.iter().zip(answers) {
            match answer {
                Ok(found) => {
                    let linked = self.store.linked_persons(&self.destination.name, &found).await?;
                    let linked: HashSet<&RecordId> = linked.iter().map(|(record, _)| record).collect();
                    let result = verdict(audit.step_state, &found, |record| linked.contains(record));
                    let attention = (result == AuditResult::Twice)
                        .then(|| written_twice(&self.destination.name, *kind, audit, &found));
                    self.end_audit(audit, AuditEnd { result, records: found, note: None, attention }).await?;
                }
                Err(CrmError::Rejected { why }) => self.end_audit(audit, AuditEnd::cannot_tell(why)).await?,
                Err(CrmError::Retry { why, after }) => {
                    let wait = after.unwrap_or(TRY_AGAIN).max(TRY_AGAIN);
                    self.put_off(audit, &why, wait).await?;
                }
                Err(CrmError::Unauthorised { why }) => self.put_off(audit, &why, TRY_AGAIN).await?,
            }
        }
        Ok(())
    }

    async fn put_off(&self, audit: &DueAudit, why: &str, wait: Duration) -> Result<(), StoreError> {
        info!(lead = %audit.lead, step = %audit.step.id, why, "a step that was sent again is looked for later");
        self.store.postpone_audit(&self.lease, audit.step.id, later(self.clock.now(), wait)).await
    }

    async fn end_audit(&self, audit: &DueAudit, end: AuditEnd) -> Result<(), StoreError> {
        let name = &self.destination.name;
        if let Some(reason) = &end.attention {
            warn!(lead = %audit.lead, destination = name, step = %audit.step.id, why = reason.text, "written twice");
        }
        let result = end.result.as_str();
        let ended =
            self.store.end_audit(&self.lease, audit.step.id, audit.sync, end, self.clock.now()).await?;
        failpoint!("audit.ended");
        if ended {
            metrics::counter!(metric::AUDITS, "destination" => name.clone(), "result" => result).increment(1);
        }
        Ok(())
    }
}

/// Until when an audit waits: its lead is under way, or its step came to its end only lately.
fn too_early(audit: &DueAudit, wait: Duration, now: Timestamp) -> Option<Timestamp> {
    match audit.state {
        SyncState::Ready | SyncState::Pushing | SyncState::Unknown | SyncState::Waiting | SyncState::Held => {
            Some(later(now, wait))
        }
        SyncState::Synced | SyncState::Filtered | SyncState::NeedsAttention => {
            audit.ended_at.map(|ended| later(ended, wait)).filter(|until| *until > now)
        }
    }
}

/// What the records say that carry the step's marker, or hold what it wrote. `linked`: it is a contact that we know of.
fn verdict(step: Option<StepState>, found: &[RecordId], linked: impl Fn(&RecordId) -> bool) -> AuditResult {
    match found {
        [] => AuditResult::None,
        [only] => match step {
            // Its plan was dropped before it was sent again, and the next one may have made a record of its own.
            Some(StepState::Planned | StepState::Rejected) | None if !linked(only) => AuditResult::Twice,
            // One that is in doubt is taken when its lead goes on.
            Some(_) | None => AuditResult::Once,
        },
        [_, _, ..] => AuditResult::Twice,
    }
}

fn written_twice(destination: &str, kind: RecordKind, audit: &DueAudit, found: &[RecordId]) -> Reason {
    let word = match kind {
        RecordKind::Contact => "contact",
        RecordKind::Deal => "deal",
        RecordKind::Task => "task",
        RecordKind::Note => "note",
    };
    let records: Vec<&str> = found.iter().map(|record| record.0.as_str()).collect();
    let there = match records.as_slice() {
        [late] => {
            format!("'{destination}' has a {word} of this lead that nothing else refers to, record {late}")
        }
        _ => format!(
            "'{destination}' has the {word} of this lead more than once, as records {}",
            records.join(" and ")
        ),
    };
    let text = format!(
        "{there}: a request without an answer was looked for, not found and sent again, and arrived long after. Look at it \
         in the CRM, delete what is too much, then let `leadfold replay {} --resume` go on with what is left.",
        audit.lead
    );
    Reason::new("written_twice", text)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::{LeadId, StepId, SyncId};
    use crate::plan::{Action, ContactFields};

    fn records(ids: &[&str]) -> Vec<RecordId> {
        ids.iter().map(|id| RecordId((*id).to_owned())).collect()
    }

    fn audit(state: SyncState, ended_at: Option<i64>) -> DueAudit {
        DueAudit {
            step: Step {
                id: StepId(Uuid::nil()),
                action: Action::CreateContact { contact: ContactFields::default() },
            },
            sync: SyncId(Uuid::nil()),
            lead: LeadId(Uuid::nil()),
            state,
            step_state: Some(StepState::Done),
            ended_at: ended_at.map(|second| Timestamp::from_second(second).unwrap()),
        }
    }

    #[test]
    fn more_than_one_record_or_one_that_nobody_knows_is_too_much() {
        let check = |step: Option<StepState>, found: &[&str], linked: &[&str], expect: AuditResult| {
            let ours = |record: &RecordId| linked.contains(&record.0.as_str());
            assert_eq!(verdict(step, &records(found), ours), expect, "{step:?} {found:?} {linked:?}");
        };
        let done = Some(StepState::Done);
        check(done, &[], &[], AuditResult::None);
        check(done, &["1"], &["1"], AuditResult::Once);
        // Tasks and notes have no links.
        check(done, &["1"], &[], AuditResult::Once);
        check(done, &["1", "2"], &["1"], AuditResult::Twice);
        check(done, &["1", "2"], &["1", "2"], AuditResult::Twice);
        check(None, &[], &[], AuditResult::None);
        check(None, &["2"], &[], AuditResult::Twice);
        // The plan after it found what had arrived late, and took it.
        check(None, &["2"], &["2"], AuditResult::Once);
        check(Some(StepState::Rejected), &["2"], &[], AuditResult::Twice);
        check(Some(StepState::Unknown), &["2"], &[], AuditResult::Once);
    }

    #[test]
    fn an_audit_waits_for_its_lead_and_then_some_time() {
        let now = Timestamp::from_second(1_000).unwrap();
        let check = |state: SyncState, ended_at: Option<i64>, expect: Option<i64>| {
            let until = too_early(&audit(state, ended_at), Duration::from_mins(10), now);
            assert_eq!(until.map(Timestamp::as_second), expect, "{state:?} {ended_at:?}");
        };
        check(SyncState::Pushing, None, Some(1_600));
        check(SyncState::Held, Some(0), Some(1_600));
        check(SyncState::Synced, Some(399), None);
        check(SyncState::Synced, Some(401), Some(1_001));
        check(SyncState::NeedsAttention, None, None);
    }

    #[test]
    fn a_person_is_told_which_records_and_what_to_do() {
        let audit = audit(SyncState::Synced, None);
        let say = |found: &[&str]| written_twice("crm", RecordKind::Deal, &audit, &records(found)).text;
        assert!(
            say(&["7", "9"])
                .starts_with("'crm' has the deal of this lead more than once, as records 7 and 9: ")
        );
        assert!(say(&["9"]).contains("nothing else refers to, record 9: "));
        assert!(say(&["9"]).contains("`leadfold replay 00000000-0000-0000-0000-000000000000 --resume`"));
    }
}
