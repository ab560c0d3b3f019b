//! One connection of PostgreSQL, for which nobody waits longer than they can.
//!
//! A network that swallows packets gives no error: without a limit of our own a statement waits until the operating system
//! gives up, which takes a quarter of an hour where something was sent and for ever where only an answer is awaited. So
//! every statement has a limit, and a connection that exceeded it, broke, or lost its caller half-way is thrown away and
//! never goes back into the pool, where the next one would find it in the middle of a conversation.
//!
//! The other side has limits as well. A transaction whose process was frozen, or whose machine is gone, keeps its locks
//! until PostgreSQL ends it; they are set in each transaction, because a pooler that hands connections out by transaction
//! drops what is set for longer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgSeverity};
use sqlx::{PgPool, Postgres};
use tokio::time::{Instant, sleep_until, timeout};

use super::StoreError;
use super::health::Health;
use super::sql::{Arg, Connection, Row};

/// How long a statement may take that somebody waits for with a request in hand.
pub(crate) const URGENT: Duration = Duration::from_secs(5);
/// How long any other may take. Longer than what is set for the server, so that its own words reach the log.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
/// How long a statement may take that a person waits for: building an index, copying a table.
pub(crate) const AS_LONG_AS_IT_TAKES: Duration = Duration::from_hours(7 * 24);
/// A connection that was broken already says so within this time; what was asked of it may be asked of another.
pub(super) const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a free connection, or a new one, is waited for.
const ACQUIRE: Duration = Duration::from_secs(3);
/// How long a connection that goes back into the pool may take to say that it is well.
const GO_BACK: Duration = Duration::from_secs(3);

/// Begins a transaction that ends, and gives its locks back, also when nobody is there any more to end it. Between two of
/// our statements there is no wait for anything, so five seconds of silence mean that the process is frozen or gone. Our
/// locks are made for this isolation. That a server is read-only by default is not overruled: hosts do so when a disk is
/// nearly full.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
     SET LOCAL idle_in_transaction_session_timeout = 5000; SET LOCAL statement_timeout = 25000";

/// A connection on loan from the pool.
pub(crate) struct Session {
    /// `None` once it is on its way back.
    connection: Option<PoolConnection<Postgres>>,
    health: Arc<Health>,
    patience: Duration,
    taken: Instant,
    /// A statement is under way, or ended without an answer: nothing more is said on this connection.
    in_doubt: bool,
}

impl Session {
    /// Takes a connection whose every statement has this long. That none was to be had in time says nothing of those that
    /// there are, however many wait for one; that one could not be made may.
    pub(crate) async fn take(
        pool: &PgPool,
        health: &Arc<Health>,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let acquired = match timeout(ACQUIRE, pool.acquire()).await {
            Ok(acquired) => acquired.map_err(StoreError::from),
            Err(_) => Err(StoreError::busy(format!(
                "the database gave no connection within {} s: all are busy, or it has no more to give, or it is away",
                ACQUIRE.as_secs()
            ))),
        };
        let connection = acquired.inspect_err(|failure| health.noticed(failure))?;
        let (health, taken) = (Arc::clone(health), Instant::now());
        Ok(Self { connection: Some(connection), health, patience, taken, in_doubt: false })
    }

    /// Whether no connection has broken since this one was taken.
    pub(super) fn is_trusted(&self) -> bool {
        !self.in_doubt && self.health.trusts(self.taken.elapsed())
    }

    /// Runs one statement that only reads.
    pub(super) async fn read(
        pool: &PgPool,
        health: &Arc<Health>,
        sql: &str,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, StoreError> {
        Connection::from(Self::take(pool, health, PATIENT).await?).fetch(sql, args).await
    }

    /// The connection itself, for what is no statement. Whoever uses it sees to its limits.
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Err(StoreError::away("the connection to the database was given up")),
        }
    }

    /// Runs one statement: whatever `ask` makes of the connection.
    pub(super) async fn ask<'a, T, F>(
        &'a mut self,
        ask: impl FnOnce(&'a mut PgConnection) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let Self { connection, health, patience, in_doubt, .. } = self;
        // A ROLLBACK after a statement that got no answer would get none either.
        let Some(connection) = connection.as_mut().filter(|_| !*in_doubt) else {
            return Err(StoreError::away("the connection to the database was given up"));
        };
        *in_doubt = true;
        let began = Instant::now();
        let (answer, over) = tokio::select! {
            answer = ask(&mut *connection) => {
                let over = answer.as_ref().is_err_and(is_over);
                (answer.map_err(StoreError::from), over)
            }
            () = given_up(health, began, *patience) => {
                let seconds = began.elapsed().as_secs();
                (Err(StoreError::away(format!("the database did not answer within {seconds} s"))), true)
            }
        };
        match &answer {
            Err(failure) if failure.is_away() => health.noticed(failure),
            _ => *in_doubt = over,
        }
        answer
    }
}

/// Whether the server has ended this connection with that word, which says nothing of others: its transaction was idle for
/// too long, or it takes orders from a person.
fn is_over(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error().and_then(|refusal| refusal.try_downcast_ref::<PgDatabaseError>());
    refusal.is_some_and(|refusal| matches!(refusal.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Returns when a statement that began then has had its time: less of it once it is known that the database is in trouble,
/// so that what hangs goes on soon after.
async fn given_up(health: &Health, began: Instant, patience: Duration) {
    let mut trouble = health.follow();
    let known = async {
        sleep_until(began + URGENT.min(patience)).await;
        trouble.wait_for(Option::is_some).await.is_ok()
    };
    tokio::select! {
        () = sleep_until(began + patience) => {}
        true = known => {}
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.in_doubt {
            // Closes the socket and makes room in the pool, without a word to somebody who may not listen.
            drop(connection.detach());
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // What the pool does by itself, which is to ask the connection whether it is well; but it would wait for ever
            // for one that is not, and that place in the pool would be lost.
            let back = connection.return_to_pool();
            runtime.spawn(timeout(GO_BACK, back));
        }
    }
}
