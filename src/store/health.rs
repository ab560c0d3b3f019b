//! Whether the database takes writes, and saying so once.
//!
//! Whoever is refused by the database, or gets no connection to it, suspects it; then a probe writes to it, as large as a
//! request and on a connection that nobody else uses, and while that fails the storage *is in trouble*: senders are answered 503 at once instead of being let in to wait, `/readyz` says why, and
//! the probe tries again every second until the database takes it. Nothing else ends the trouble, and nobody has to
//! restart anything. While there is trouble, the complaints of everybody else are no news and stay out of the log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::gauge;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::apart::Apart;
use super::sql::{Connection, args};
use super::{Backend, Store, StoreError, Work};
use crate::telemetry::metric;

/// How often the database is tried while it is in trouble.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long it may take to take the probe.
const PROBE: Duration = Duration::from_secs(5);
/// How often the log says that the trouble lasts.
const SAY_AGAIN: Duration = Duration::from_mins(1);
/// How often the log tells of failures that a probe does not confirm.
const WARN_AGAIN: Duration = Duration::from_secs(10);
/// What PostgreSQL answers when it gives no more connections.
const TOO_MANY: &str = "53300";
/// What a probe writes: as much as some large requests, because a disk that is full still has room for small ones.
const PROBE_BYTES: usize = 64 * 1024;

/// What this process knows of its database.
pub(crate) struct Health {
    trouble: watch::Sender<Option<String>>,
    probing: AtomicBool,
    refused: AtomicU64,
    /// Connections that are older are not used any more: what broke one of them may have broken all.
    trusted_since: Mutex<Option<Instant>>,
    warned: Mutex<Option<Instant>>,
}

impl Health {
    /// Nothing is known to be wrong.
    pub(super) fn new() -> Arc<Self> {
        gauge!(metric::STORAGE_FAILING).set(0.0);
        Arc::new(Self {
            trouble: watch::Sender::new(None),
            probing: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            trusted_since: Mutex::default(),
            warned: Mutex::default(),
        })
    }

    /// Why the database takes no writes at the moment.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    pub(super) fn follow(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Counts a delivery that was refused because of the trouble.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection broke: those that were opened before this moment are not trusted any more.
    pub(super) fn noticed(&self, failure: &StoreError) {
        if failure.is_away() {
            *self.trusted_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Whether a connection of this age may be used.
    pub(super) fn trusts(&self, age: Duration) -> bool {
        let since = *self.trusted_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| since.elapsed() > age)
    }

    fn may_warn(&self) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let may = warned.is_none_or(|last| last.elapsed() >= WARN_AGAIN);
        if may {
            *warned = Some(Instant::now());
        }
        may
    }
}

impl Store {
    /// Follows whether the database takes writes: `None`, or why not.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.health.follow()
    }

    /// Takes note of a failure. One that is not the fault of what was asked makes the database suspect, and it is probed.
    /// Gives the failure back, marked as no news while the trouble is known.
    pub(super) fn suspect(&self, failure: StoreError) -> StoreError {
        if !failure.meets_all() {
            return failure;
        }
        let known = self.health.trouble().is_some();
        if !known && self.health.may_warn() {
            if failure.is_busy() {
                warn!(%failure, "something waits for the database and is tried again; when this lasts, look in \
                    pg_stat_activity for what takes long there or holds locks, and raise max_connections if that is reached");
            } else {
                warn!(%failure, "STORAGE FAILURE: the database did not do what it was asked; looking whether it takes writes");
            }
        }
        if !self.health.probing.swap(true, Ordering::AcqRel) {
            tokio::spawn(self.clone().probe_until_well());
        }
        if known && failure.is_away() { failure.known() } else { failure }
    }

    async fn probe_until_well(self) {
        let (began, mut said) = (Instant::now(), None::<Instant>);
        let own = match &self.backend {
            Backend::Sqlite { .. } => None,
            Backend::Postgres { pool, .. } => Some(Apart::new(pool.clone(), Arc::clone(&self.health))),
        };
        loop {
            match self.probe(own.as_ref()).await {
                Ok(()) => break,
                // The store is closed.
                Err(failure) if failure.is_final() => break,
                Err(failure) => {
                    let why = failure.to_string();
                    if said.is_none_or(|last| last.elapsed() >= SAY_AGAIN) {
                        error!(
                            why,
                            seconds = began.elapsed().as_secs(),
                            refused = self.health.refused.load(Ordering::Relaxed),
                            "STORAGE FAILURE: the database takes no writes. Senders are answered 503 and send again; nothing \
                             acknowledged is lost. Look at its disk and whether it is up; leadfold goes on by itself"
                        );
                        said = Some(Instant::now());
                    }
                    gauge!(metric::STORAGE_FAILING).set(1.0);
                    self.health.trouble.send_replace(Some(why));
                }
            }
            sleep(TRY_AGAIN).await;
        }
        if said.is_some() {
            info!(
                seconds = began.elapsed().as_secs(),
                refused = self.health.refused.swap(0, Ordering::Relaxed),
                "the database takes writes again"
            );
        }
        gauge!(metric::STORAGE_FAILING).set(0.0);
        self.health.trouble.send_replace(None);
        self.health.probing.store(false, Ordering::Release);
        if let Some(own) = own {
            own.close().await;
        }
    }

    /// Tries once whether the database takes a write.
    async fn probe(&self, own: Option<&Apart>) -> Result<(), StoreError> {
        let Some(own) = own else { return in_time(self.write_unobserved(Probe)).await };
        if self.is_closed() {
            return Err(StoreError::for_good("the store is closed"));
        }
        let none = match in_time(own.write(&Probe)).await {
            Err(failure) if failure.is_busy() => failure,
            answer => return answer,
        };
        let why = own.why_none().await;
        if matches!(why, sqlx::Error::PoolTimedOut) {
            return Err(none);
        }
        if why.as_database_error().is_none_or(|refusal| refusal.code().as_deref() != Some(TOO_MANY)) {
            return Err(why.into());
        }
        // It is there, and has no connection left for a probe: those that we have tell. When they are all in use, nothing is
        // known against them.
        match in_time(self.write_unobserved(Probe)).await {
            Err(failure) if failure.is_busy() => Ok(()),
            answer => answer,
        }
    }
}

async fn in_time(probe: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
    let late = || StoreError::away(format!("it takes nothing within {} s", PROBE.as_secs()));
    timeout(PROBE, probe).await.unwrap_or_else(|_| Err(late()))
}

/// Writes a row of its own, over and over.
struct Probe;

impl Work for Probe {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let sql = "INSERT INTO probe (id, bytes) VALUES (1, $1) \
                       ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes, times = probe.times + 1";
            connection.execute(sql, args![vec![0_u8; PROBE_BYTES]]).await?;
            Ok(())
        })
    }
}
