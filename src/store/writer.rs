//! Group commit. One fsync pays for everything that was waiting for it, and nobody waits for company: the group is
//! whatever had queued while the last commit ran.
//!
//! On SQLite one task owns the only writing connection. Arrivals (acknowledgements) go first; other work goes when they
//! pause, and now and then when they do not, so that neither starves. Work that fails does not fail its group.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::error;

use super::arrivals::{ARRIVALS_PER_COMMIT, keep_arrivals};
use super::error::Failure;
use super::health::Health;
use super::inbox::Pending;
use super::session::{PATIENT, Session};
use super::sql::Connection;
use super::{StoreError, Work};
use crate::clock::Clock;

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
const ATTEMPTS: u32 = 5;
/// How long work waits for its second attempt; twice as long for the third, and so on.
const RUN_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Handle on the task that owns SQLite's writing connection.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Message>,
}

enum Message {
    Job(Box<dyn Job>),
    Rewrite(oneshot::Sender<Result<bool, StoreError>>),
    Close(oneshot::Sender<()>),
}

/// A unit of work with the way back to its caller, its type erased.
trait Job: Send {
    fn run<'a>(&'a mut self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Asked<W: Work> {
    work: W,
    result: Option<Result<W::Output, StoreError>>,
    tell: oneshot::Sender<Result<W::Output, StoreError>>,
}

impl<W: Work> Job for Asked<W> {
    fn run<'a>(&'a mut self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            // A panic would end the only writer, and with it everything that this process stores.
            let run = AssertUnwindSafe(self.work.run(connection)).catch_unwind().await;
            let result = run.unwrap_or_else(|_| Err(panicked()));
            let ended = result.as_ref().map(drop).map_err(StoreError::clone);
            self.result = Some(result);
            ended
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

fn panicked() -> StoreError {
    StoreError::new(
        "a write ended abnormally; this is a bug of leadfold: report it with the log of this time",
    )
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
        let stopped = || StoreError::for_good("the storage writer has stopped");
        let (tell, told) = oneshot::channel();
        let job = Box::new(Asked { work, result: None, tell });
        self.jobs.send(Message::Job(job)).await.map_err(|_| stopped())?;
        told.await.map_err(|_| stopped())?
    }

    /// Writes the whole file anew, so that nothing that was deleted is left in its free parts, and empties the log beside it;
    /// `false` when somebody who reads keeps that from being emptied. Everybody else who writes waits.
    pub(crate) async fn rewrite(&self) -> Result<bool, StoreError> {
        let stopped = || StoreError::for_good("the storage writer has stopped");
        let (tell, told) = oneshot::channel();
        self.jobs.send(Message::Rewrite(tell)).await.map_err(|_| stopped())?;
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
            let (mut closing, mut rewriting) = (Vec::new(), Vec::new());
            let mut jobs = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Job(job) => jobs.push(job),
                    Message::Rewrite(tell) => rewriting.push(tell),
                    Message::Close(tell) => closing.push(tell),
                }
            }
            run_jobs(&mut self.connection, jobs).await;
            if !rewriting.is_empty() {
                let rewritten = rewrite(&mut self.connection).await;
                for tell in rewriting {
                    tell.send(rewritten.clone()).ok();
                }
            }
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

/// How often the log is tried to be emptied while somebody reads from it, and how long between.
const EMPTYINGS: u32 = 50;
const BETWEEN_EMPTYINGS: Duration = Duration::from_millis(100);

async fn rewrite(connection: &mut Connection) -> Result<bool, StoreError> {
    connection.execute("VACUUM", Vec::new()).await?;
    // A checkpoint waits by itself for as long as the connection waits for a lock; senders should not.
    connection.fetch("PRAGMA busy_timeout = 0", Vec::new()).await?;
    let mut emptied = Ok(false);
    for _ in 0..EMPTYINGS {
        let rows = connection.fetch("PRAGMA wal_checkpoint(TRUNCATE)", Vec::new()).await;
        emptied = rows.and_then(|rows| Ok(rows.first().map_or(Ok(1), |row| row.int(0))? == 0));
        if !matches!(emptied, Ok(false)) {
            break;
        }
        sleep(BETWEEN_EMPTYINGS).await;
    }
    connection.fetch("PRAGMA busy_timeout = 10000", Vec::new()).await?;
    emptied
}

async fn run_jobs(connection: &mut Connection, mut jobs: Vec<Box<dyn Job>>) {
    if jobs.is_empty() {
        return;
    }
    let committed = match run_in_transaction(connection, &mut jobs).await {
        Ok(()) => Ok(()),
        Err(failure) => {
            if !failure.meets_all() {
                error!(%failure, works = jobs.len(), "storage failure: a group of writes was rolled back");
            }
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
    let Err(failure) = run_all(connection, jobs).await else {
        return connection.commit().await;
    };
    // Some failures (a full disk) have rolled the transaction back already.
    roll_back(connection).await;
    if jobs.len() == 1 {
        return Ok(());
    }
    if failure.meets_all() {
        return Err(failure);
    }
    connection.begin().await?;
    for job in jobs {
        connection.begin_part().await?;
        let succeeded = job.run(connection).await.is_ok();
        connection.end_part(succeeded).await?;
    }
    connection.commit().await
}

/// Runs them; stops at the first that fails.
async fn run_all(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    for job in jobs {
        job.run(connection).await?;
    }
    Ok(())
}

async fn roll_back(connection: &mut Connection) {
    // Fails when there is no transaction any more, which is what is wanted.
    connection.roll_back().await.ok();
}

/// PostgreSQL: a transaction on a connection of the pool, run again from the start when the database asks for it.
pub(crate) async fn write_in_postgres<W: Work>(
    pool: &PgPool,
    health: &Arc<Health>,
    work: &W,
) -> Result<W::Output, StoreError> {
    let mut attempt = 1;
    loop {
        let mut connection = Connection::from(Session::take(pool, health, PATIENT).await?);
        connection.begin().await?;
        // A panic must not give back a connection in the middle of a transaction: the next one would go on with it.
        let run = AssertUnwindSafe(work.run(&mut connection)).catch_unwind().await;
        let run = run.unwrap_or_else(|_| Err(panicked()));
        let result = match run {
            Ok(output) => connection.commit().await.map(|()| output),
            Err(failure) => {
                roll_back(&mut connection).await;
                Err(failure)
            }
        };
        match result {
            Err(failure) if failure.kind == Failure::RunAgain && attempt < ATTEMPTS => {
                drop(connection);
                // Whoever was in the way is let through first.
                sleep(RUN_AGAIN_AFTER * attempt).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::Store;
    use crate::store::sql::args;

    struct Insert {
        name: &'static str,
        end: End,
    }

    #[derive(Clone, Copy)]
    enum End {
        Well,
        Error,
        Panic,
    }

    impl Work for Insert {
        type Output = ();

        fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async move {
                let sql = "INSERT INTO counters (name, value) VALUES ($1, 1)";
                connection.execute(sql, args![self.name]).await?;
                match self.end {
                    End::Well => Ok(()),
                    End::Error => Err(StoreError::new("asked to fail")),
                    End::Panic => panic!("this panic is part of the test"),
                }
            })
        }
    }

    #[tokio::test]
    async fn work_that_fails_does_not_fail_its_group() {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        let url = format!("sqlite://{}", folder.join("leadfold.db").display());
        let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
        let write = |name, end| store.write(Insert { name, end });
        // On one thread all of them are handed over before the writer runs.
        let (first, failed, panicked, last) = tokio::join!(
            write("first", End::Well),
            write("failed", End::Error),
            write("panicked", End::Panic),
            write("last", End::Well)
        );
        assert!(first.is_ok() && last.is_ok());
        assert_eq!(failed.unwrap_err().to_string(), "asked to fail");
        assert!(panicked.unwrap_err().to_string().contains("a bug of leadfold"));
        assert!(write("alone", End::Error).await.is_err() && write("alone", End::Panic).await.is_err());
        let sql = "SELECT name FROM counters WHERE name NOT IN ('sequence', 'postbacks') ORDER BY name";
        let kept: Vec<String> =
            store.read(sql, args![]).await.unwrap().iter().map(|row| row.text(0).unwrap()).collect();
        assert_eq!(kept, ["first", "last"]);
        store.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
