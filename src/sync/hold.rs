//! What a process knows of its own leases: until when it is sure of them, and that one is lost.
//!
//! A challenger takes over after 10 s without a beat ([`WATCH`]), each of us by its own monotonic clock. A holder is sure
//! for 7 s ([`SURE`]) from the moment at which it *asked* for its last renewal, so between the two there are 3 s for clocks
//! that run differently and for a request that was on its way to the socket. Who is not sure claims nothing and sends
//! nothing; who is sure again goes on, for nobody can have taken the lease meanwhile: a process that was given up is never
//! renewed again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::store::lease::Lease;

/// How long a holder is sure of its leases after it asked for their renewal.
pub const SURE: Duration = Duration::from_secs(7);
/// How long a challenger watches a process without a beat before it gives that process up.
pub const WATCH: Duration = Duration::from_secs(10);

/// How often somebody who is not sure looks whether it is again.
const LOOK: Duration = Duration::from_millis(50);

/// A moment by both clocks of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The clock that is never set. On a machine that was suspended it may have stood still.
    pub monotonic: Instant,
    /// The clock that goes on meanwhile. Nothing rests on it alone: it may be set.
    pub wall: Timestamp,
}

impl Moment {
    /// Now.
    pub fn now(clock: &dyn Clock) -> Self {
        Self { monotonic: Instant::now(), wall: clock.now() }
    }

    /// Whether somebody who asked for a renewal at this moment, and got it, is still sure at another.
    fn is_sure_at(self, other: Self) -> bool {
        let by_wall = Duration::try_from(other.wall.duration_since(self.wall)).unwrap_or_default();
        other.monotonic.saturating_duration_since(self.monotonic) < SURE && by_wall < SURE
    }
}

/// A process as the registry knows it, from the moment it enters until it leaves or others give it up.
#[derive(Debug)]
pub struct Presence {
    /// Its id in the registry.
    pub id: String,
    /// Nobody else can be there, so its leases need no renewal.
    alone: bool,
    asked: Mutex<Option<Moment>>,
    over: CancellationToken,
}

impl Presence {
    /// One that is sure of nothing yet; `alone` when the database is proven to be its own.
    pub fn new(id: String, alone: bool) -> Self {
        Self { id, alone, asked: Mutex::default(), over: CancellationToken::new() }
    }

    /// A renewal succeeded that was asked for at this moment.
    pub fn renewed(&self, asked: Moment) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    /// Others have given this process up: nothing is its own any more.
    pub fn end(&self) {
        self.over.cancel();
    }

    /// Whether they have.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Whether nobody else can have taken its leases.
    pub fn is_sure(&self, at: Moment) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        !self.is_over() && (self.alone || asked.is_some_and(|asked| asked.is_sure_at(at)))
    }
}

/// A lease in the hands of this process.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The lease.
    pub lease: Lease,
    presence: Arc<Presence>,
    lost: CancellationToken,
    failed: Arc<AtomicBool>,
}

impl Hold {
    /// A lease that was taken by this presence.
    pub fn new(lease: Lease, presence: Arc<Presence>) -> Self {
        let lost = presence.over.child_token();
        Self { lease, presence, lost, failed: Arc::default() }
    }

    /// Whether it is surely still ours.
    pub fn is_sure(&self, clock: &dyn Clock) -> bool {
        !self.is_lost() && self.presence.is_sure(Moment::now(clock))
    }

    /// Waits until it surely is. For ever, when it is lost: whoever runs the worker drops it.
    pub async fn until_sure(&self, clock: &dyn Clock) {
        while !self.is_sure(clock) {
            sleep(LOOK).await;
        }
    }

    /// The database has said that it is another one's.
    pub fn lose(&self) {
        self.lost.cancel();
    }

    /// The worker that had it ended abnormally, and has said so. The lease is given up for lost, although the database may
    /// still call it ours: whoever keeps it begins its next epoch.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.lost.cancel();
    }

    /// Whether the worker ended abnormally.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether it is known to be lost.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Returns once it is known to be lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// The presence that took it.
    pub fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }

    /// Steps that were sent by earlier holders count as sent at this moment at the earliest: their clocks were others, and
    /// who was given up may have sent until a moment before. `None` when all of them had our clock.
    pub fn earlier_sent_at(&self) -> Option<Timestamp> {
        (!self.presence.alone).then_some(self.lease.taken_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_sure_for_as_long_as_both_clocks_say_so() {
        let start = Moment { monotonic: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        let check = |monotonic: i64, wall: i64, expect: bool| {
            let past = u64::try_from(monotonic).unwrap();
            let at = Moment {
                monotonic: start.monotonic + Duration::from_millis(past),
                wall: Timestamp::from_millisecond(wall).unwrap(),
            };
            assert_eq!(start.is_sure_at(at), expect, "{monotonic} ms later, {wall} ms by the wall");
        };
        check(0, 0, true);
        check(6_999, 6_999, true);
        check(7_000, 6_000, false);
        // Suspended, as a virtual machine is: the monotonic clock stood still.
        check(10, 60_000, false);
        // Set back.
        check(10, -60_000, true);
        check(7_000, -60_000, false);
    }

    #[test]
    fn who_was_given_up_is_never_sure_again() {
        let now = Moment { monotonic: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        let presence = Arc::new(Presence::new("me".to_owned(), false));
        assert!(!presence.is_sure(now), "not before its first beat");
        presence.renewed(now);
        assert!(presence.is_sure(now));
        let lease =
            Lease { destination: "crm".to_owned(), epoch: 1, taken_at: Timestamp::UNIX_EPOCH, clean: true };
        let hold = Hold::new(lease, Arc::clone(&presence));
        assert!(!hold.is_lost());
        presence.end();
        presence.renewed(now);
        assert!(!presence.is_sure(now) && hold.is_lost());
    }

    #[test]
    fn who_is_alone_needs_no_renewal_but_can_lose() {
        let now = Moment { monotonic: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        let presence = Presence::new("me".to_owned(), true);
        assert!(presence.is_sure(now));
        presence.end();
        assert!(!presence.is_sure(now));
    }
}
