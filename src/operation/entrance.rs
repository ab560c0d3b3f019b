//! Passwords in this process: how often one may try, and how many are hashed at a time.
//!
//! Trying out passwords is slow for everybody who does it: five tries at once, then one every twelve seconds, per name, and
//! never more than two hashes at a time. Names are counted in buckets, so that a stranger cannot fill the memory with names and
//! does not learn which exist.
//!
//! A stranger must not keep anybody out by guessing either. So a browser in which somebody signed in before has a [mark], and is
//! counted by that instead of by the name (device cookies, OWASP); and of all others only so many wait for their turn.
//!
//! [mark]: mark

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::OperationError;
use crate::access::password::{self, Password};
use crate::token;

/// Names share so many counters.
const BUCKETS: u16 = 4_096;
/// Tries at once.
const TRIES: NonZeroU32 = NonZeroU32::new(5).unwrap();
/// Then one in this time.
const BETWEEN_TRIES: Duration = Duration::from_secs(12);
/// Passwords that are hashed at a time: each takes 19 MiB and some 20 ms.
const HASHED_TOGETHER: usize = 2;
/// Strangers whose passwords wait to be hashed: the last of them waits for less than a second.
const STRANGERS: usize = 64;

/// How people get in.
pub struct Entrance {
    needs_admin: bool,
    names: DefaultKeyedRateLimiter<u16>,
    /// Apart from the names: whoever tries all of those must not use up these.
    known: DefaultKeyedRateLimiter<u16>,
    hashing: Semaphore,
    strangers: Semaphore,
}

/// What a browser keeps in which somebody signed in with this password, which is given as the database has it. Nobody else can
/// make it, and it is worth nothing once the password is another.
pub fn mark(name: &str, kept: &str) -> String {
    token::to_hex(&token::hash(format!("a browser of {name} {kept}")))
}

impl Entrance {
    /// `needs_admin`: nobody but an admin among the users and tokens can give access.
    pub fn new(needs_admin: bool) -> Self {
        let quota = Quota::with_period(BETWEEN_TRIES)
            .map_or_else(|| Quota::per_minute(TRIES), |quota| quota.allow_burst(TRIES));
        Self {
            needs_admin,
            names: RateLimiter::keyed(quota),
            known: RateLimiter::keyed(quota),
            hashing: Semaphore::new(HASHED_TOGETHER),
            strangers: Semaphore::new(STRANGERS),
        }
    }

    /// Whether the last admin must stay.
    pub fn needs_admin(&self) -> bool {
        self.needs_admin
    }

    /// Whether whoever gives this name may try now.
    pub fn allows_try(&self, name: &str) -> bool {
        self.names.check_key(&bucket(name)).is_ok()
    }

    /// Whether somebody may try now who was here before; `by` is their [`mark`], or whatever else nobody can make up.
    pub fn allows_known(&self, by: &str) -> bool {
        self.known.check_key(&bucket(by)).is_ok()
    }

    /// A place among the strangers who wait, until it is dropped; `None` when too many do.
    pub fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.strangers.try_acquire().ok()
    }

    /// Whether this is the password that was kept; takes as long where none was.
    pub async fn is(&self, password: Password, kept: Option<String>) -> bool {
        let hash = move || password::is(&password, kept.as_deref());
        self.in_turn(hash).await.unwrap_or(false)
    }

    /// What is kept of a password.
    pub(super) async fn hash(&self, password: Password, secret: [u8; 32]) -> Result<String, OperationError> {
        self.in_turn(move || password::hash(&password, &secret))
            .await
            .ok_or_else(|| OperationError::Refused("leadfold is stopping; try again once it runs".to_owned()))
    }

    /// On a thread that may be busy.
    async fn in_turn<T: Send + 'static>(&self, hash: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _turn = self.hashing.acquire().await.ok()?;
        tokio::task::spawn_blocking(hash).await.ok()
    }
}

fn bucket(text: &str) -> u16 {
    let [first, second, ..] = token::hash(text);
    u16::from_be_bytes([first, second]) % BUCKETS
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn only_so_many_are_hashed_at_a_time() {
        let entrance = Entrance::new(true);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let turns = (0..12).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            entrance.in_turn(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        let done = futures_util::future::join_all(turns).await;
        assert!(done.iter().all(Option::is_some));
        assert_eq!(most.load(Ordering::SeqCst), HASHED_TOGETHER);
    }

    #[test]
    fn tries_are_counted_for_each_name() {
        let entrance = Entrance::new(true);
        let tries = (0..20).filter(|_| entrance.allows_try("olena")).count();
        // One more may have come back meanwhile, on a machine that stood still.
        assert!((5..=6).contains(&tries), "{tries}");
        assert!(entrance.allows_try("petro"));
    }

    #[test]
    fn only_so_many_strangers_wait() {
        let entrance = Entrance::new(true);
        let waiting: Vec<_> = (0..STRANGERS).map(|_| entrance.place().unwrap()).collect();
        assert!(entrance.place().is_none());
        drop(waiting);
        assert!(entrance.place().is_some());
    }

    #[test]
    fn a_mark_is_of_one_name_and_one_password() {
        assert_eq!(mark("olena", "$argon2id$a"), mark("olena", "$argon2id$a"));
        assert_ne!(mark("olena", "$argon2id$a"), mark("olena", "$argon2id$b"));
        assert_ne!(mark("olena", "$argon2id$a"), mark("petro", "$argon2id$a"));
    }

    #[test]
    fn whoever_tries_all_names_uses_up_nobodys_mark() {
        let entrance = Entrance::new(true);
        for number in 0..60_000 {
            entrance.allows_try(&number.to_string());
        }
        assert!(entrance.allows_known(&mark("olena", "$argon2id$a")));
    }

    #[test]
    fn names_do_not_fill_the_memory() {
        let entrance = Entrance::new(true);
        for number in 0..20_000 {
            entrance.allows_try(&number.to_string());
        }
        assert!(entrance.names.len() <= usize::from(BUCKETS));
    }
}
