//! Steps that were sent and of which nobody knows whether they were written: looked up once the CRM has settled, then
//! adopted or sent again. A create that may have happened is never blindly repeated.

use std::collections::HashSet;

use jiff::Timestamp;
use tracing::info;

use super::Worker;
use super::push::{Job, Report, attention, known, with_records};
use crate::clock::later;
use crate::crm::{CrmError, Guarantee};
use crate::failpoint::failpoint;
use crate::plan::{Action, Priority, RecordId, RecordKind, Step};
use crate::rules::Blind;
use crate::store::syncs::{Claimed, Next, StepEnd, StepState, StoredStep, SyncState};

/// What is to be done about the first step of a plan that is in doubt.
enum Doubt {
    /// It is too early to look.
    Early(Timestamp),
    /// It does no harm to send it again.
    Repeat,
    /// The CRM can tell.
    LookUp(RecordKind),
    /// Nobody can tell.
    Blind,
}

impl Worker {
    /// Clears up what is in doubt; gives back the jobs that can be pushed on.
    pub(super) async fn look_up_unknown(&self, batch: Vec<Claimed>, reports: &mut Vec<Report>) -> Vec<Job> {
        let mut ready = Vec::new();
        let mut doubtful: Vec<Job> = batch
            .into_iter()
            .map(|mut claimed| {
                let steps = std::mem::take(&mut claimed.steps);
                Job { claimed, steps, decided: None, in_doubt: HashSet::new(), _held: None }
            })
            .collect();
        // One call may have carried several steps of a plan, so each of them is cleared up before anything is sent.
        while !doubtful.is_empty() {
            doubtful = self.clear_up(doubtful, &mut ready, reports).await;
        }
        ready
    }

    /// Clears up the first doubtful step of each job; gives back those that may have another.
    async fn clear_up(&self, jobs: Vec<Job>, ready: &mut Vec<Job>, reports: &mut Vec<Report>) -> Vec<Job> {
        let mut again = Vec::new();
        let mut asked: Vec<(Job, usize, RecordKind, Step)> = Vec::new();
        for mut job in jobs {
            let now = self.clock.now();
            if job.steps.iter().all(|step| step.state == StepState::Done) {
                // Everything is written; only the end was not stored.
                let next = Next::Release { state: SyncState::Synced, why: None, next_at: now, attempts: 0 };
                self.store_outcomes(job.claimed.id, Vec::new(), next).await;
                reports.push(Report::Untouched);
                continue;
            }
            let in_doubt = |step: &StoredStep| matches!(step.state, StepState::Sent | StepState::Unknown);
            let Some(index) = job.steps.iter().position(in_doubt) else {
                ready.push(job);
                continue;
            };
            match self.doubt(&job, index, now) {
                Doubt::Repeat => {
                    job.in_doubt.insert(job.steps[index].step.id);
                    job.steps[index].state = StepState::Planned;
                    again.push(job);
                }
                Doubt::Early(until) => {
                    let next = Next::Release {
                        state: SyncState::Unknown,
                        why: None,
                        next_at: until,
                        attempts: job.claimed.attempts,
                    };
                    self.store_outcomes(job.claimed.id, Vec::new(), next).await;
                    reports.push(Report::Untouched);
                }
                Doubt::LookUp(kind) => {
                    let records = job.records();
                    let step = &job.steps[index].step;
                    let action = with_records(step.action.clone(), &records);
                    let step = Step { id: step.id, action };
                    asked.push((job, index, kind, step));
                }
                Doubt::Blind => {
                    let kind = job.steps[index].step.action.kind().as_str();
                    let text = format!(
                        "'{}' was asked to {kind}, gave no answer, and has no way to look it up: it may or may not be \
                         there. Look in the CRM; if it is missing, `leadfold replay {} --force` sends it again.",
                        self.destination.name, job.claimed.lead_id
                    );
                    self.store_outcomes(
                        job.claimed.id,
                        Vec::new(),
                        attention("blind_step_unknown", text, now),
                    )
                    .await;
                    self.forget_pin(&job.claimed).await;
                    reports.push(Report::Untouched);
                }
            }
        }
        if !asked.is_empty() {
            let questions: Vec<(RecordKind, &Step)> =
                asked.iter().map(|(_, _, kind, step)| (*kind, step)).collect();
            let answers = self.crm.look_up(&questions, Priority::Live).await;
            failpoint!("sync.looked_up");
            for ((job, index, ..), answer) in asked.into_iter().zip(answers) {
                if let Some(job) = self.answered(job, index, answer, reports).await {
                    again.push(job);
                }
            }
        }
        again
    }

    fn doubt(&self, job: &Job, index: usize, now: Timestamp) -> Doubt {
        let stored = &job.steps[index];
        if let Action::Call { call } = &stored.step.action {
            let harmless = self.crm.repeatable(call) || self.destination.blind == Blind::AtLeastOnce;
            return if harmless { Doubt::Repeat } else { Doubt::Blind };
        }
        let kind = stored.step.action.kind();
        let Some(creates) = kind.creates() else { return Doubt::Repeat };
        match self.crm.guarantee(kind) {
            Guarantee::Keyed => Doubt::Repeat,
            Guarantee::Blind if self.destination.blind == Blind::AtLeastOnce => Doubt::Repeat,
            Guarantee::Blind => Doubt::Blind,
            Guarantee::Findable => {
                let settled = self.settled(stored.sent_at.unwrap_or(now));
                if now < settled { Doubt::Early(settled) } else { Doubt::LookUp(creates) }
            }
        }
    }

    /// When the CRM has settled after a step that was sent at this moment.
    fn settled(&self, sent_at: Timestamp) -> Timestamp {
        let sent_at = self.hold.earlier_sent_at().map_or(sent_at, |taken_at| taken_at.max(sent_at));
        later(sent_at, self.settle())
    }

    async fn answered(
        &self,
        mut job: Job,
        index: usize,
        answer: Result<Vec<RecordId>, CrmError>,
        reports: &mut Vec<Report>,
    ) -> Option<Job> {
        let now = self.clock.now();
        let id = job.steps[index].step.id;
        let sync = job.claimed.id;
        match answer.map(|found| found.into_iter().next()) {
            Ok(Some(record)) => {
                info!(lead = %job.claimed.lead_id, step = %id, "found what a lost answer had written");
                reports.push(Report::Worked);
                let records = job.records();
                let link = job
                    .link(index)
                    .map(|(kind, contact)| (kind, contact.and_then(|contact| known(&contact, &records))));
                job.steps[index].state = StepState::Done;
                job.steps[index].record = Some(record.clone());
                let finished = job.steps.iter().all(|step| step.state == StepState::Done);
                let next = if finished {
                    Next::Release { state: SyncState::Synced, why: None, next_at: now, attempts: 0 }
                } else {
                    Next::Continue
                };
                self.store_outcomes(sync, vec![(id, StepEnd::Done { record, link })], next).await;
                failpoint!("sync.adopted");
                (!finished).then_some(job)
            }
            Ok(None) => {
                reports.push(Report::Worked);
                job.steps[index].state = StepState::Planned;
                let action = with_records(job.steps[index].step.action.clone(), &job.records());
                let end = StepEnd::NotThere { action, audit_at: later(now, self.destination.audit) };
                self.store_outcomes(sync, vec![(id, end)], Next::Continue).await;
                failpoint!("sync.not_there");
                self.noted.notify_one();
                Some(job)
            }
            Err(CrmError::Retry { after, why }) => {
                let next = self.try_again_as(&job.claimed, SyncState::Unknown, after, &why, now);
                reports.push(if after.is_some() { Report::Worked } else { Report::Failed(why) });
                self.store_outcomes(sync, Vec::new(), next).await;
                None
            }
            Err(CrmError::Unauthorised { why }) => {
                let next = self.put_back(&job, "unauthorised", &why, now);
                reports.push(Report::Refused(why));
                self.store_outcomes(sync, Vec::new(), next).await;
                None
            }
            Err(CrmError::Rejected { why }) => {
                let text = format!(
                    "'{}' cannot be asked whether a lost step was written: {why}. `leadfold \
                     replay {} --resume` asks again; --force sends it again, when somebody has seen that it is missing.",
                    self.destination.name, job.claimed.lead_id
                );
                reports.push(Report::Worked);
                self.store_outcomes(sync, Vec::new(), attention("look_up_rejected", text, now)).await;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::lease::Lease;
    use crate::sync::Presence;
    use crate::sync::fixture::Fixture;

    #[tokio::test]
    async fn what_an_earlier_holder_sent_is_looked_up_once_the_crm_has_settled_after_the_take_over() {
        let fixture = Fixture::new().await;
        let at = |second| Timestamp::from_second(second).unwrap();
        // The lease was taken in second 1000.
        for (alone, sent_at, expect) in [
            // The clock of a process that died says little about when it sent: perhaps a moment before the take-over.
            (false, 10, 1000),
            (false, 1000, 1000),
            // Sent by ourselves.
            (false, 1060, 1060),
            // One process, one clock.
            (true, 10, 10),
            (true, 1060, 1060),
        ] {
            let lease = Lease { destination: "crm".to_owned(), epoch: 2, taken_at: at(1000), clean: false };
            let presence = Presence::new("me".to_owned(), alone);
            let worker = fixture.worker(Arc::new(SystemClock), lease, presence).await;
            let settled = worker.settled(at(sent_at));
            assert_eq!(settled, later(at(expect), worker.settle()), "sent at {sent_at}, alone: {alone}");
        }
        fixture.end().await;
    }
}
