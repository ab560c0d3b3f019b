//! Writing: the first step of each plan, one call each or all of them in a batch.

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::wire::{self, Request};
use super::{BATCH, Sandbox};
use crate::crm::http::in_parallel;
use crate::crm::{Journal, Outcome, Priority, Remaining};
use crate::id::{StepId, SyncId};
use crate::plan::Step;

/// The first step of a plan as a request.
struct First<'a> {
    step: &'a Step,
    key: (SyncId, StepId),
    priority: Priority,
    request: Request,
}

impl<'a> First<'a> {
    fn of(plan: &Remaining<'a>, markers: bool) -> Result<Self, String> {
        let step = plan.steps.first().ok_or("the plan has no step left")?;
        let request = Request::of_step(step, markers)?;
        Ok(Self { step, key: (plan.sync, step.id), priority: plan.priority, request })
    }

    /// A success without the id of what it made is no success that anybody can build on.
    fn done(&self, body: &Value) -> Outcome {
        match self.step.action.changed_record().cloned().or_else(|| wire::record(body)) {
            Some(record) => Outcome::Done(record),
            None => Outcome::Unknown {
                why: format!("{}: the CRM answered without a record id", self.request.operation),
            },
        }
    }
}

impl Sandbox {
    /// Writes the first step of each plan: one call each, or one for all of them where batches are on.
    pub(super) async fn write_all(
        &self,
        plans: &[Remaining<'_>],
        journal: &dyn Journal,
    ) -> Vec<Vec<Outcome>> {
        let firsts: Vec<_> = plans.iter().map(|plan| First::of(plan, self.markers)).collect();
        let size = if self.batch { BATCH } else { 1 };
        let mut calls: Vec<BoxFuture<'_, Vec<Outcome>>> = Vec::new();
        for chunk in firsts.chunks(size) {
            calls.push(match chunk {
                [first] => Box::pin(async move { vec![self.write_one(first, journal).await] }),
                firsts => Box::pin(self.write_batch(firsts, journal)),
            });
        }
        let outcomes = in_parallel(self.concurrency, calls).await;
        outcomes.into_iter().flatten().map(|outcome| vec![outcome]).collect()
    }

    async fn write_one(&self, first: &Result<First<'_>, String>, journal: &dyn Journal) -> Outcome {
        let first = match first {
            Ok(first) => first,
            Err(why) => return Outcome::Rejected { why: why.clone() },
        };
        let call = self.call(&first.request, first.priority);
        match self.http.write(call, journal, &[first.key]).await {
            Ok(answer) => first.done(&answer.body),
            Err(outcome) => outcome,
        }
    }

    async fn write_batch(&self, firsts: &[Result<First<'_>, String>], journal: &dyn Journal) -> Vec<Outcome> {
        let good: Vec<&First<'_>> = firsts.iter().flatten().collect();
        let requests: Vec<Request> = good.iter().map(|first| first.request.clone()).collect();
        let keys: Vec<_> = good.iter().map(|first| first.key).collect();
        let priority = good.iter().map(|first| first.priority).min().unwrap_or_default();
        let written = if good.is_empty() {
            Ok(Vec::new())
        } else {
            let call = self.batch_call(&requests, priority);
            self.http.write(call, journal, &keys).await.map(|answer| wire::batch_items(answer.body))
        };
        let mut items = written.as_ref().map_or(&[][..], Vec::as_slice).iter();
        let outcomes = firsts.iter().map(|first| match (first, &written) {
            (Err(why), _) => Outcome::Rejected { why: why.clone() },
            (Ok(_), Err(outcome)) => outcome.clone(),
            (Ok(first), Ok(_)) => match items.next() {
                Some((status, body)) => {
                    match self.http.written_item(first.request.operation, *status, body.clone()) {
                        Ok(answer) => first.done(&answer.body),
                        Err(outcome) => outcome,
                    }
                }
                None => Outcome::Unknown { why: "the batch answer lacks this step".to_owned() },
            },
        });
        outcomes.collect()
    }
}
