//! The platforms: they post through a load balancer that knows little, and send again what was not acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;
use crate::sandbox::Dice;

/// A platform gives up waiting after this.
const PATIENCE: Duration = Duration::from_secs(5);
/// It sends again after this, and up to twice as long.
const AGAIN: Duration = Duration::from_millis(100);
/// How long it waits while nobody listens.
const NOBODY: Duration = Duration::from_millis(50);

/// What the platforms have seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Posts of the schedule that are done.
    pub(super) done: usize,
    /// Times of events that were acknowledged.
    pub(super) acknowledged: BTreeSet<i64>,
    /// Tries that were not, by what happened.
    pub(super) failed: BTreeMap<String, usize>,
    /// How long each acknowledgement took.
    pub(super) took: Vec<Duration>,
    /// From the first post to the last acknowledgement.
    pub(super) lasted: Duration,
}

/// All platforms together.
#[derive(Clone)]
pub(super) struct Platforms {
    pub(super) schedule: Arc<Schedule>,
    pub(super) client: Client,
    /// Connections at once.
    pub(super) concurrency: usize,
    /// Over how long the posts are spread; those who are late post as fast as they can.
    pub(super) spread: Duration,
    pub(super) seed: u64,
    /// Who listens now.
    pub(super) live: Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync>,
    pub(super) tally: Arc<Mutex<Tally>>,
    /// From then on nobody posts any more.
    pub(super) give_up: CancellationToken,
}

impl Platforms {
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts everything; returns when all of it is acknowledged, or when it was told to give up.
    pub(super) async fn post_all(self) {
        let begun = Instant::now();
        let next = AtomicUsize::new(0);
        let senders =
            (0..self.concurrency as u64).map(|sender| self.send(Dice::new(self.seed ^ sender), &next, begun));
        let all = join_all(senders);
        tokio::select! {
            _ = all => {}
            () = self.give_up.cancelled() => {}
        }
    }

    async fn send(&self, mut dice: Dice, next: &AtomicUsize, begun: Instant) {
        let posts = self.schedule.posts.len();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(event) =
                self.schedule.posts.get(place).and_then(|event| self.schedule.events.get(*event))
            else {
                return;
            };
            #[expect(clippy::cast_precision_loss, reason = "a part of some seconds")]
            sleep_until(begun + self.spread.mul_f64(place as f64 / posts as f64)).await;
            let body = event.body().to_string();
            while !self.post(&mut dice, &body, event.at).await {
                sleep(AGAIN + dice.less_than(AGAIN)).await;
            }
            let mut tally = self.tally();
            tally.done += 1;
            tally.lasted = begun.elapsed();
        }
    }

    /// One try at a random process. Whether it was acknowledged.
    async fn post(&self, dice: &mut Dice, body: &str, at: i64) -> bool {
        let live = (self.live)();
        let place = usize::try_from(dice.below((live.len() as u64).max(1))).unwrap_or_default();
        let Some(address) = live.get(place) else {
            sleep(NOBODY).await;
            return false;
        };
        let request = self.client.post(format!("http://{address}/in/sendpulse/torture"));
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        let begun = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "this is a platform, not a client of a CRM")]
        let answer = timeout(PATIENCE, request.send()).await;
        let mut tally = self.tally();
        let failure = match answer {
            Ok(Ok(answer)) if answer.status().is_success() => {
                tally.acknowledged.insert(at);
                tally.took.push(begun.elapsed());
                return true;
            }
            Ok(Ok(answer)) => format!("answered {}", answer.status().as_u16()),
            Ok(Err(error)) if error.is_connect() => "refused".to_owned(),
            Ok(Err(_)) => "cut".to_owned(),
            Err(_) => "no answer".to_owned(),
        };
        *tally.failed.entry(failure).or_default() += 1;
        false
    }
}
