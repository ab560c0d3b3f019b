//! What waits, as gauges. Read from the database now and then: only the database knows the whole backlog.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics::gauge;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::clock::Clock;
use crate::map::Workspace;
use crate::store::backlog::{Backlog, OpenSyncs};
use crate::store::syncs::SyncState;
use crate::store::{Store, StoreError};
use crate::telemetry::metric;

/// How often the gauges are set: as often as Prometheus usually looks.
const EVERY: Duration = Duration::from_secs(15);

/// Sets the gauges of the backlog.
#[derive(Clone)]
pub struct Gauges {
    /// The registry.
    pub store: Store,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whose destinations have their gauges also while nothing waits for them.
    pub active: watch::Receiver<Option<Arc<Workspace>>>,
}

impl Gauges {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        // What was shown once is shown on: a gauge that is not set any more would keep its last value for ever.
        let mut shown = BTreeSet::new();
        loop {
            if let Err(failure) = self.look(&mut shown).await {
                error!(%failure, "the backlog could not be read; its metrics stay as they were");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn look(&self, shown: &mut BTreeSet<String>) -> Result<(), StoreError> {
        let backlog = self.store.backlog().await?;
        shown.extend(backlog.syncs.iter().map(|open| open.destination.clone()));
        if let Some(workspace) = &*self.active.borrow() {
            shown.extend(workspace.destinations.keys().cloned());
        }
        let now = self.clock.now();
        gauge!(metric::OLDEST_DUE_SECONDS, "stage" => "prepare").set(age(backlog.oldest_received, now));
        for destination in &*shown {
            for state in
                SyncState::ALL.into_iter().filter(|state| state.is_open() || *state == SyncState::Held)
            {
                let count = waiting(&backlog, destination, state).map_or(0, |open| open.count);
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                gauge!(metric::BACKLOG, "destination" => destination.clone(), "state" => state.as_str())
                    .set(count);
            }
            gauge!(metric::OLDEST_DUE_SECONDS, "stage" => "sync", "destination" => destination.clone())
                .set(age(oldest_due(&backlog, destination), now));
        }
        Ok(())
    }
}

fn waiting<'a>(backlog: &'a Backlog, destination: &str, state: SyncState) -> Option<&'a OpenSyncs> {
    backlog.syncs.iter().find(|open| open.destination == destination && open.state == state.as_str())
}

/// What is held is not due: a person has to let it go.
fn oldest_due(backlog: &Backlog, destination: &str) -> Option<Timestamp> {
    SyncState::ALL
        .into_iter()
        .filter(|state| state.is_open())
        .filter_map(|state| waiting(backlog, destination, state))
        .map(|open| open.due)
        .min()
}

/// Seconds since then; 0 when it lies ahead or there is none.
fn age(since: Option<Timestamp>, now: Timestamp) -> f64 {
    since.map_or(0.0, |since| now.duration_since(since).as_secs_f64().max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_oldest_due_sync_is_the_one_that_could_go_on() {
        let open = |destination: &str, state: &str, due: i64| OpenSyncs {
            destination: destination.to_owned(),
            state: state.to_owned(),
            count: 1,
            due: at(due),
        };
        let syncs = vec![
            open("crm", "held", 10),
            open("crm", "ready", 90),
            open("crm", "unknown", 70),
            open("b", "ready", 5),
        ];
        let backlog = Backlog { oldest_received: None, syncs };
        assert_eq!(oldest_due(&backlog, "crm"), Some(at(70)));
        assert_eq!(oldest_due(&backlog, "nobody"), None);
    }

    #[test]
    fn what_lies_ahead_has_no_age() {
        let check = |since: Option<i64>, expect: f64| {
            assert!((age(since.map(at), at(100)) - expect).abs() < 1e-9, "{since:?}");
        };
        check(Some(40), 60.0);
        check(Some(101), 0.0);
        check(None, 0.0);
    }
}
