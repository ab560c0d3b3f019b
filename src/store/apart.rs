//! A connection to PostgreSQL that is nobody else's: a beat that had to wait behind other work would cost leases, and a
//! probe that had to wait would take a busy database for one that is away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;

use super::health::Health;
use super::open::{pool_options, why_none};
use super::{StoreError, Work, writer};

/// How long a new connection may take; whoever beats does not wait longer either.
const CONNECT: Duration = Duration::from_secs(2);

/// The connection. Made when it is first needed, and anew after somebody stopped waiting for it.
#[derive(Clone)]
pub(super) struct Apart {
    /// The pool whose settings it has.
    like: PgPool,
    health: Arc<Health>,
    own: Arc<Mutex<Option<PgPool>>>,
}

impl Apart {
    pub(super) fn new(like: PgPool, health: Arc<Health>) -> Self {
        Self { like, health, own: Arc::default() }
    }

    /// Runs a unit of writing on it, in the task of the caller.
    pub(super) async fn write<W: Work>(&self, work: &W) -> Result<W::Output, StoreError> {
        // A caller that is dropped half-way leaves the place empty. Then the connection is closed with its pool: it may be
        // one that never answers again, and its transaction is open.
        let pool = self.lock().take();
        let pool = pool.unwrap_or_else(|| {
            pool_options(1, CONNECT, &self.health).connect_lazy_with((*self.like.connect_options()).clone())
        });
        let written = writer::write_in_postgres(&pool, &self.health, work).await;
        *self.lock() = Some(pool);
        written
    }

    /// Why there is none, after it was not to be had.
    pub(super) async fn why_none(&self) -> sqlx::Error {
        why_none(&self.like.connect_options(), CONNECT).await
    }

    /// Closes it.
    pub(super) async fn close(&self) {
        let pool = self.lock().take();
        if let Some(pool) = pool {
            pool.close().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<PgPool>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
