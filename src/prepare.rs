//! From deliveries to leads: split → map → normalise → filter → resolve, one transaction a batch.
//!
//! On SQLite the pure stages run before the transaction, so that the one writer does not wait for them; on PostgreSQL they
//! run inside it, under the locks of the deliveries, so that no process does the work of another. Only `resolve` always
//! runs inside, because it needs the people's locks. Postbacks are only read here, and counted in their order after that. There is one preparer in a process; a signal wakes it, and without one
//! it looks every second.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::event::{Event, KeyLifetime, Preset, preset};
use crate::failpoint::failpoint;
use crate::id::{EventId, LeadId, PersonId, SyncId};
use crate::map::{Mapping, Source, Workspace};
use crate::pipeline::{Interpreted, chat_news, interpret};
use crate::store::afterwards::ToCome;
use crate::store::prepare::{
    EventOutcome, PrepareCounts, Prepared, PreparedDelivery, PreparedEvent, Received, Stages,
};
use crate::store::{Store, StoreError};
use crate::telemetry::metric;
use crate::token::{self, TokenHash};

mod postbacks;

use postbacks::Tally;
pub use postbacks::counting;

/// Deliveries per transaction; acknowledgements wait for it, and none may wait longer than a few milliseconds.
const BATCH: usize = 32;
/// The same on PostgreSQL, where acknowledgements have connections of their own and a transaction costs the way there.
const BATCH_AMONG_OTHERS: usize = 128;
/// How long a batch that is not full waits for company: its transaction costs nearly the same for one delivery as for
/// all, acknowledgements wait for it, and nobody sees these milliseconds.
const COMPANY: Duration = Duration::from_millis(5);
/// Failures of a delivery that is prepared alone, after which those behind it are tried.
const TRIES_ALONE: u32 = 3;
/// A signal that got lost costs no more than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Prepares deliveries with the active version of the workspace.
pub struct Preparer {
    /// The registry.
    pub store: Store,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// The active version; while there is `None`, this process prepares nothing.
    pub active: watch::Receiver<Option<Arc<Workspace>>>,
    /// Called when there are new syncs.
    pub wake_workers: Arc<dyn Fn() + Send + Sync>,
}

impl Preparer {
    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let arrived = self.store.arrived();
        let mut pace = Pace::of(if self.store.is_shared() { BATCH_AMONG_OTHERS } else { BATCH });
        let mut tally = Tally::new();
        while !stop.is_cancelled() {
            // A panic would end the only preparer, and nothing that is acknowledged from then on would become a lead.
            let batch = AssertUnwindSafe(self.prepare_and_count(&mut pace, &mut tally)).catch_unwind().await;
            match batch.unwrap_or_else(|_| Err(StoreError::new("leadfold failed; this is a bug, report it")))
            {
                Ok(0) => {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = arrived.notified() => {}
                        changed = self.active.changed() => {
                            if changed.is_err() {
                                return;
                            }
                        }
                        () = tokio::time::sleep(LONGEST_SLEEP) => {}
                    }
                }
                Ok(prepared) if prepared >= u64::try_from(pace.full).unwrap_or(u64::MAX) => {}
                Ok(_) => tokio::time::sleep(COMPANY).await,
                Err(failure) => {
                    if failure.is_news() {
                        error!(%failure, "STORAGE FAILURE: deliveries could not be prepared; they are kept and tried again");
                    }
                    tokio::time::sleep(LONGEST_SLEEP).await;
                }
            }
        }
    }

    /// Prepares a batch, then counts the postbacks whose turn has come with it; returns how many there were of both.
    async fn prepare_and_count(&mut self, pace: &mut Pace, tally: &mut Tally) -> Result<u64, StoreError> {
        let prepared = self.prepare_batch(pace).await?;
        Ok(prepared + self.count_postbacks(tally).await?)
    }

    /// Prepares the oldest deliveries that no other process has in hand; returns how many there were.
    async fn prepare_batch(&mut self, pace: &mut Pace) -> Result<u64, StoreError> {
        let Some(workspace) = self.active.borrow_and_update().clone() else { return Ok(0) };
        let stages: Stages = {
            let (workspace, clock) = (Arc::clone(&workspace), Arc::clone(&self.clock));
            Arc::new(move |received| {
                let prepared = prepare(received, &workspace, &*clock);
                failpoint!("prepare.mapped");
                prepared
            })
        };
        let rules = workspace.identity.clone();
        match self.store.prepare_oldest(pace.next, stages, rules, Arc::clone(&self.clock)).await {
            Ok(counts) => {
                failpoint!("prepare.stored");
                pace.went_well();
                self.report(&counts);
                Ok(counts.deliveries)
            }
            Err(failure) if failure.meets_all() || failure.is_final() => Err(failure),
            Err(failure) if failure.is_refusal() || pace.failed() => {
                self.prepare_one_by_one(pace.full, &workspace, failure).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// One delivery that the database does not take must not stop those behind it. When others are taken, it is at fault
    /// and set aside; when none is, the database is.
    async fn prepare_one_by_one(
        &self,
        batch: usize,
        workspace: &Workspace,
        failure: StoreError,
    ) -> Result<u64, StoreError> {
        let received = self.store.received(batch).await?;
        let count = received.len();
        let mut refused = Vec::new();
        for received in &received {
            let id = received.delivery.id;
            match self.store_one(prepare(received, workspace, &*self.clock), workspace).await {
                Ok(()) => {}
                Err(failure) if failure.meets_all() || failure.is_final() => return Err(failure),
                Err(failure) => refused.push((id, failure)),
            }
        }
        if refused.len() == count {
            return Err(failure);
        }
        for (id, failure) in refused {
            error!(delivery = %id, %failure, "a delivery is kept, but its leads cannot be stored");
            let result = Prepared::Unreadable(format!("its leads could not be stored: {failure}"));
            self.store_one(PreparedDelivery { id, result }, workspace).await?;
        }
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    async fn store_one(&self, prepared: PreparedDelivery, workspace: &Workspace) -> Result<(), StoreError> {
        let rules = workspace.identity.clone();
        let counts = self.store.prepare([prepared], rules, Arc::clone(&self.clock)).await?;
        self.report(&counts);
        Ok(())
    }

    fn report(&self, counts: &PrepareCounts) {
        if counts.deliveries == 0 {
            return;
        }
        for ((source, state), count) in &counts.by_source {
            metrics::counter!(metric::LEADS, "source" => source.clone(), "state" => *state).increment(*count);
        }
        if counts.leads > 0 {
            (self.wake_workers)();
        }
        if counts.needs_attention > 0 {
            warn!(leads = counts.needs_attention, "a mapping failed on these leads; they need attention");
        }
        info!(
            deliveries = counts.deliveries,
            leads = counts.leads,
            redeliveries = counts.redeliveries,
            filtered = counts.filtered,
            "prepared"
        );
    }
}

/// How many deliveries are prepared together. What is too much for one transaction is tried in ever smaller parts.
struct Pace {
    full: usize,
    next: usize,
    /// How often a single one has failed, one time after another.
    failed_alone: u32,
}

impl Pace {
    fn of(full: usize) -> Self {
        Self { full, next: full, failed_alone: 0 }
    }

    fn went_well(&mut self) {
        (self.next, self.failed_alone) = ((self.next * 2).min(self.full), 0);
    }

    /// Whether the oldest has failed alone so often that those behind it shall not wait any longer.
    fn failed(&mut self) -> bool {
        if self.next > 1 {
            self.next /= 2;
            return false;
        }
        self.failed_alone += 1;
        let enough = self.failed_alone >= TRIES_ALONE;
        if enough {
            self.failed_alone = 0;
        }
        enough
    }
}

/// What the pure stages make of one delivery. Ids and time come from the clock; everything else from the arguments.
pub fn prepare(received: &Received, workspace: &Workspace, clock: &dyn Clock) -> PreparedDelivery {
    let id = received.delivery.id;
    // A panic would end the only preparer, and again at every start.
    let result =
        catch_unwind(AssertUnwindSafe(|| prepared(received, workspace, clock))).unwrap_or_else(|_| {
            error!(delivery = %id, "leadfold failed on a delivery; this is a bug. The delivery is kept");
            Prepared::Unreadable(
                "leadfold failed on it; this is a bug: report it with the log of this time".to_owned(),
            )
        });
    PreparedDelivery { id, result }
}

fn prepared(received: &Received, workspace: &Workspace, clock: &dyn Clock) -> Prepared {
    let delivery = &received.delivery;
    let Some(source) = workspace.sources.get(&delivery.source) else {
        return Prepared::Waiting(format!("the workspace has no source '{}' any more", delivery.source));
    };
    let Some(preset) = preset(&source.preset) else {
        return Prepared::Waiting(format!("source '{}' names no preset that exists", source.name));
    };
    let mapping = match &source.mapping {
        Ok(mapping) => mapping,
        Err(broken) => return Prepared::Waiting(broken.to_string()),
    };
    if source.paused {
        return Prepared::Waiting(PAUSED.to_owned());
    }
    if let Some(given) = &received.unverified_token {
        match token_hash(source) {
            None => {
                return Prepared::Waiting(format!("source '{}' has no token to check against", source.name));
            }
            Some(expected) if !token::same(&expected, given) => {
                return Prepared::Refused("its path token turned out to be wrong".to_owned());
            }
            Some(_) => {}
        }
    }
    match (preset.split)(delivery) {
        Err(unreadable) => Prepared::Unreadable(unreadable.0),
        Ok(events) if mapping.postback().is_some() => {
            postbacks::read(&events, mapping, source, workspace, delivery.received_at, clock)
        }
        Ok(events) => Prepared::Events(
            events
                .iter()
                .map(|event| {
                    let key_until = key_until(event, source, preset, workspace, delivery.received_at);
                    prepared_event(event, mapping, source, workspace, delivery.received_at, key_until, clock)
                })
                .collect(),
        ),
    }
}

/// Why the deliveries of a paused source wait.
pub const PAUSED: &str = "the source is paused in its mapping";

/// Hash of a source's path token, when it can be read.
pub fn token_hash(source: &Source) -> Option<TokenHash> {
    source.token.as_ref().map(|token| token::hash(token.expose_secret()))
}

/// Until when a second event with the same key is a redelivery.
fn key_until(
    event: &Event,
    source: &Source,
    preset: &Preset,
    workspace: &Workspace,
    received_at: Timestamp,
) -> Timestamp {
    let lifetime = match event.key.lifetime {
        KeyLifetime::Retention => workspace.retention.rows,
        KeyLifetime::Window => source.dedupe_window.unwrap_or(preset.dedupe_window),
    };
    received_at.checked_add(lifetime).unwrap_or(Timestamp::MAX)
}

fn prepared_event(
    event: &Event,
    mapping: &Mapping,
    source: &Source,
    workspace: &Workspace,
    received_at: Timestamp,
    key_until: Timestamp,
    clock: &dyn Clock,
) -> PreparedEvent {
    let outcome = outcome(interpret(mapping, event, received_at), workspace, clock);
    let lead = match &outcome {
        EventOutcome::Lead { lead, .. } => Some(&**lead),
        EventOutcome::Filtered(_) | EventOutcome::NeedsAttention(_) => None,
    };
    PreparedEvent {
        chat: chat_news(mapping, event, lead, received_at),
        id: EventId(clock.new_id()),
        lead_id: LeadId(clock.new_id()),
        fresh_person: PersonId(clock.new_id()),
        source: source.name.clone(),
        key: event.key.value.clone(),
        key_until,
        received_at,
        version: workspace.hash.clone(),
        holder: None,
        outcome,
    }
}

/// What is stored of what the mapping made of an event.
fn outcome(came: Interpreted, workspace: &Workspace, clock: &dyn Clock) -> EventOutcome {
    match came {
        Interpreted::Lead(lead, branch) => {
            let syncs =
                lead.to.iter().map(|destination| (SyncId(clock.new_id()), destination.clone())).collect();
            let is_bot = |name: &str| workspace.bots.contains_key(name);
            let to_come = ToCome::of(&lead, is_bot, || SyncId(clock.new_id()));
            EventOutcome::Lead { lead, branch, syncs, to_come }
        }
        Interpreted::Filtered(reason) => EventOutcome::Filtered(reason),
        Interpreted::NeedsAttention { mut reason, todo } => {
            reason.text = format!("{} {todo}", reason.text);
            EventOutcome::NeedsAttention(reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_halved_until_one_is_left_and_grows_again() {
        let mut pace = Pace::of(128);
        for expect in [64, 32, 16, 8, 4, 2, 1] {
            assert!(!pace.failed());
            assert_eq!(pace.next, expect);
        }
        let alone: Vec<bool> = (0..6).map(|_| pace.failed()).collect();
        assert_eq!(alone, [false, false, true, false, false, true]);
        assert_eq!(pace.next, 1);
        pace.failed();
        for expect in [2, 4, 8, 16, 32, 64, 128, 128] {
            pace.went_well();
            assert_eq!((pace.next, pace.failed_alone), (expect, 0));
        }
    }
}
