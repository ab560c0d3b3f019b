//! Group commit. One fsync pays for everything that was waiting for it, and nobody waits for company: the group is
//! whatever had queued while the last commit ran.
//!
//! On SQLite one task owns the only writing connection. Arrivals (acknowledgements) go first; other work goes when they
//! pause, and now and then when they do not, so that neither starves. Work that fails does not fail its group.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::error;

use super::inbox::{Arrival, Pending};
use super::sql::{Arg, Connection, args, json, placeholders};
use super::{Failure, StoreError, Work};
use crate::clock::Clock;
use crate::token::to_hex;

/// Arrivals per commit.
const ARRIVALS_PER_COMMIT: usize = 256;
/// Units of work per commit; few, because arrivals wait for it.
const WORKS_PER_COMMIT: usize = 64;
/// Arrivals are over when none came for this long; only then other work begins, because senders wait for their answer
/// and a transaction of other work may take several milliseconds.
const QUIET: Duration = Duration::from_millis(1);
/// When arrivals never stop, other work has a turn this often all the same.
const LONGEST_WAIT: Duration = Duration::from_millis(40);
/// Work that may wait before its callers wait too.
const WORK_CAPACITY: usize = 1024;
/// How often work is run again when the database asks for it.
const ATTEMPTS: usize = 5;

/// Handle on the task that owns SQLite's writing connection.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Message>,
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// A unit of work with the way back to its caller, its type erased.
trait Job: Send {
    fn run<'a>(&'a mut self, connection: &'a mut Connection) -> BoxFuture<'a, bool>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Asked<W: Work> {
    work: W,
    result: Option<Result<W::Output, StoreError>>,
    tell: oneshot::Sender<Result<W::Output, StoreError>>,
}

impl<W: Work> Job for Asked<W> {
    fn run<'a>(&'a mut self, connection: &'a mut Connection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let result = self.work.run(connection).await;
            let succeeded = result.is_ok();
            self.result = Some(result);
            succeeded
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let unrun = || Err(StoreError::new("the work was not run"));
        let answer = match committed {
            Ok(()) => self.result.unwrap_or_else(unrun),
            Err(error) => Err(error),
        };
        // The caller may have gone; its work is done all the same.
        self.tell.send(answer).ok();
    }
}

impl Writer {
    /// Starts the task. It ends when told to close, after everything that had been handed over.
    pub(crate) fn start(
        connection: Connection,
        arrivals: mpsc::Receiver<Pending>,
        arrived: Arc<Notify>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(WORK_CAPACITY);
        let task = Task { connection, arrivals, arrived, queue, clock };
        tokio::spawn(task.run());
        Self { jobs }
    }

    pub(crate) async fn write<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        let stopped = || StoreError::is_over("the storage writer has stopped");
        let (tell, told) = oneshot::channel();
        let job = Box::new(Asked { work, result: None, tell });
        self.jobs.send(Message::Job(job)).await.map_err(|_| stopped())?;
        told.await.map_err(|_| stopped())?
    }

    /// Waits until everything handed over is durable, then stops the task.
    pub(crate) async fn close(&self) {
        let (tell, told) = oneshot::channel();
        if self.jobs.send(Message::Close(tell)).await.is_ok() {
            // An error means that the task has ended already.
            told.await.ok();
        }
    }
}

struct Task {
    connection: Connection,
    arrivals: mpsc::Receiver<Pending>,
    arrived: Arc<Notify>,
    queue: mpsc::Receiver<Message>,
    clock: Arc<dyn Clock>,
}

impl Task {
    async fn run(mut self) {
        let mut group = Vec::with_capacity(ARRIVALS_PER_COMMIT);
        let mut messages = Vec::with_capacity(WORKS_PER_COMMIT);
        let mut inbox_open = true;
        let (mut arrived, mut worked) = (Instant::now(), Instant::now());
        loop {
            let turn = (arrived + QUIET).min(worked + LONGEST_WAIT);
            let queue = &mut self.queue;
            let work = async {
                sleep_until(turn).await;
                queue.recv_many(&mut messages, WORKS_PER_COMMIT).await
            };
            tokio::select! {
                biased;
                count = self.arrivals.recv_many(&mut group, ARRIVALS_PER_COMMIT), if inbox_open => {
                    inbox_open = count > 0;
                    keep_arrivals(&mut self.connection, &mut group, &self.arrived, &*self.clock).await;
                    arrived = Instant::now();
                    if arrived < worked + LONGEST_WAIT {
                        continue;
                    }
                }
                count = work => {
                    if count == 0 {
                        return;
                    }
                }
            }
            while messages.len() < WORKS_PER_COMMIT {
                match self.queue.try_recv() {
                    Ok(message) => messages.push(message),
                    Err(_) => break,
                }
            }
            let mut closing = Vec::new();
            let mut jobs = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Job(job) => jobs.push(job),
                    Message::Close(tell) => closing.push(tell),
                }
            }
            run_jobs(&mut self.connection, jobs).await;
            worked = Instant::now();
            if !closing.is_empty() {
                while let Ok(pending) = self.arrivals.try_recv() {
                    group.push(pending);
                }
                keep_arrivals(&mut self.connection, &mut group, &self.arrived, &*self.clock).await;
                // The lock file is released by the owner.
                if let Err(failure) = self.connection.close().await {
                    error!(%failure, "the database did not close cleanly; it recovers at the next start");
                }
                for tell in closing {
                    tell.send(()).ok();
                }
                return;
            }
        }
    }
}

async fn run_jobs(connection: &mut Connection, mut jobs: Vec<Box<dyn Job>>) {
    if jobs.is_empty() {
        return;
    }
    let committed = match run_in_transaction(connection, &mut jobs).await {
        Ok(()) => Ok(()),
        Err(failure) => {
            error!(%failure, works = jobs.len(), "storage failure: a group of writes was rolled back");
            roll_back(connection).await;
            Err(failure)
        }
    };
    for job in jobs {
        job.answer(committed.clone());
    }
}

/// Runs all jobs in one transaction. Savepoints cost two statements a job and are hardly ever needed, so the group is
/// run without them first, and again with them when one of its jobs failed.
async fn run_in_transaction(
    connection: &mut Connection,
    jobs: &mut [Box<dyn Job>],
) -> Result<(), StoreError> {
    connection.begin().await?;
    if run_all(connection, jobs).await {
        return connection.commit().await;
    }
    // Some failures (a full disk) have rolled the transaction back already.
    roll_back(connection).await;
    if jobs.len() == 1 {
        return Ok(());
    }
    connection.begin().await?;
    for job in jobs {
        connection.begin_part().await?;
        let succeeded = job.run(connection).await;
        connection.end_part(succeeded).await?;
    }
    connection.commit().await
}

/// Whether all succeeded; stops at the first that did not.
async fn run_all(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> bool {
    for job in jobs {
        if !job.run(connection).await {
            return false;
        }
    }
    true
}

async fn roll_back(connection: &mut Connection) {
    // Fails when there is no transaction any more, which is what is wanted.
    connection.roll_back().await.ok();
}

/// Stores a group of arrivals and tells each waiting receiver; a row that cannot be stored fails alone.
async fn keep_arrivals(
    connection: &mut Connection,
    group: &mut Vec<Pending>,
    arrived: &Notify,
    clock: &dyn Clock,
) {
    if group.is_empty() {
        return;
    }
    let deliveries: Vec<&Arrival> = group.iter().map(|(arrival, _)| arrival).collect();
    let stored = insert_deliveries(connection, &deliveries).await;
    if let Err(failure) = &stored {
        error!(%failure, deliveries = group.len(), at = %clock.now(),
            "STORAGE FAILURE: a group of deliveries could not be stored; each is tried alone");
    }
    for (arrival, tell) in group.drain(..) {
        let answer = if stored.is_ok() { Ok(()) } else { insert_alone(connection, &arrival).await };
        // A receiver that went away is no reason to forget a stored delivery.
        tell.send(answer).ok();
    }
    arrived.notify_one();
}

async fn insert_alone(connection: &mut Connection, arrival: &Arrival) -> Result<(), StoreError> {
    let stored = insert_deliveries(connection, &[arrival]).await;
    if let Err(failure) = &stored {
        error!(%failure, delivery = %arrival.delivery.id, source = arrival.delivery.source,
            "STORAGE FAILURE: a delivery was not stored; its sender is answered 503");
    }
    stored
}

async fn insert_deliveries(connection: &mut Connection, group: &[&Arrival]) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(group.len());
    for arrival in group {
        let delivery = &arrival.delivery;
        rows.push(args![
            delivery.id,
            delivery.source.as_str(),
            delivery.method.as_str(),
            delivery.query.as_deref().map(|query| query.replace('\0', "")),
            json(&delivery.headers)?,
            delivery.body.clone(),
            delivery.received_at.as_millisecond(),
            if arrival.waiting.is_some() || arrival.unverified_token.is_some() {
                "waiting"
            } else {
                "received"
            },
            arrival.waiting.clone(),
            arrival.unverified_token.as_ref().map(to_hex),
        ]);
    }
    let sql = format!(
        "INSERT INTO deliveries \
         (id, source, method, query, headers, body, received_at, state, why, unverified_token) VALUES {}",
        placeholders(&rows)
    );
    // One statement is a transaction of its own: all of the group or nothing, and durable when it returns.
    connection.execute(&sql, rows.into_iter().flatten().collect::<Vec<Arg>>()).await?;
    Ok(())
}

/// PostgreSQL: arrivals are grouped by one task on one connection, which is taken anew when it breaks.
pub(crate) fn keep_arrivals_in_postgres(
    pool: PgPool,
    mut arrivals: mpsc::Receiver<Pending>,
    arrived: Arc<Notify>,
    clock: Arc<dyn Clock>,
) {
    tokio::spawn(async move {
        let mut group = Vec::with_capacity(ARRIVALS_PER_COMMIT);
        while arrivals.recv_many(&mut group, ARRIVALS_PER_COMMIT).await > 0 {
            match pool.acquire().await {
                Ok(connection) => {
                    let mut connection = Connection::from(connection);
                    keep_arrivals(&mut connection, &mut group, &arrived, &*clock).await;
                }
                Err(failure) => {
                    error!(%failure, "STORAGE FAILURE: no database connection; senders are answered 503");
                    for (_, tell) in group.drain(..) {
                        tell.send(Err(StoreError::new(format!("no database connection: {failure}")))).ok();
                    }
                }
            }
        }
    });
}

/// PostgreSQL: a transaction on a connection of the pool, run again when the database asks for it.
pub(crate) async fn write_in_postgres<W: Work>(pool: &PgPool, work: &W) -> Result<W::Output, StoreError> {
    let mut attempt = 1;
    loop {
        let mut connection = Connection::from(pool.acquire().await?);
        connection.begin().await?;
        let result = match work.run(&mut connection).await {
            Ok(output) => connection.commit().await.map(|()| output),
            Err(failure) => {
                roll_back(&mut connection).await;
                Err(failure)
            }
        };
        match result {
            Err(failure) if failure.kind == Failure::RunAgain && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::Store;

    struct Insert {
        name: &'static str,
        fails: bool,
    }

    impl Work for Insert {
        type Output = ();

        fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async move {
                let sql = "INSERT INTO counters (name, value) VALUES ($1, 1)";
                connection.execute(sql, args![self.name]).await?;
                if self.fails { Err(StoreError::new("asked to fail")) } else { Ok(()) }
            })
        }
    }

    #[tokio::test]
    async fn work_that_fails_does_not_fail_its_group() {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        let url = format!("sqlite://{}", folder.join("leadfold.db").display());
        let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
        let write = |name, fails| store.write(Insert { name, fails });
        // On one thread all of them are handed over before the writer runs.
        let (first, failed, last) =
            tokio::join!(write("first", false), write("failed", true), write("last", false));
        assert!(first.is_ok() && last.is_ok());
        assert_eq!(failed.unwrap_err().to_string(), "asked to fail");
        assert!(write("alone", true).await.is_err());
        let sql = "SELECT name FROM counters WHERE name <> 'sequence' ORDER BY name";
        let kept: Vec<String> =
            store.read(sql, args![]).await.unwrap().iter().map(|row| row.text(0).unwrap()).collect();
        assert_eq!(kept, ["first", "last"]);
        store.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
