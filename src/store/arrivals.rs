//! Storing arrivals, group by group: a sender is told that its delivery is kept once the group is on disk.
//!
//! On SQLite the writer does it with its one connection. On PostgreSQL a task of its own does, also one group at a time:
//! three groups on their way at once were measured, and as groups become smaller they cost a fifth of the requests and
//! gain nothing. It has a connection of its own, because senders do not wait for whatever else keeps the others busy.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::select_ok;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tracing::error;

use super::StoreError;
use super::health::Health;
use super::inbox::{Arrival, Pending};
use super::session::{AT_ONCE, Session, URGENT};
use super::sql::{Arg, Connection, args, json, placeholders};
use crate::clock::Clock;
use crate::token::to_hex;

/// Arrivals per commit.
pub(super) const ARRIVALS_PER_COMMIT: usize = 256;
/// After so long without an arrival the connection is given back.
const IDLE: Duration = Duration::from_secs(10);

/// Stores a group of arrivals and tells each waiting receiver; a row that cannot be stored fails alone.
pub(super) async fn keep_arrivals(
    connection: &mut Connection,
    group: &mut Vec<Pending>,
    arrived: &Notify,
    clock: &dyn Clock,
) {
    if group.is_empty() {
        return;
    }
    let stored = insert_group(connection, group).await;
    tell(connection, group, stored, clock).await;
    arrived.notify_one();
}

/// Tells each receiver what became of the group. When the database did not take it for what was in it, each is tried alone.
async fn tell(
    connection: &mut Connection,
    group: &mut Vec<Pending>,
    stored: Result<(), StoreError>,
    clock: &dyn Clock,
) {
    let alone = stored.as_ref().is_err_and(|failure| !failure.meets_all());
    if let Err(failure) = &stored
        && alone
    {
        error!(%failure, deliveries = group.len(), at = %clock.now(),
            "STORAGE FAILURE: a group of deliveries could not be stored; each is tried alone");
    }
    for (arrival, tell) in group.drain(..) {
        let answer = if alone { insert_alone(connection, &arrival).await } else { stored.clone() };
        // A receiver that went away is no reason to forget a stored delivery.
        tell.send(answer).ok();
    }
}

async fn insert_alone(connection: &mut Connection, arrival: &Arrival) -> Result<(), StoreError> {
    let stored = insert_deliveries(connection, &[arrival]).await;
    if let Err(failure) = &stored {
        error!(%failure, delivery = %arrival.delivery.id, source = arrival.delivery.source,
            "STORAGE FAILURE: a delivery was not stored; its sender is answered 503");
    }
    stored
}

async fn insert_group(connection: &mut Connection, group: &[Pending]) -> Result<(), StoreError> {
    let deliveries: Vec<&Arrival> = group.iter().map(|(arrival, _)| arrival).collect();
    insert_deliveries(connection, &deliveries).await
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
    // A group whose answer was lost is offered once more, under the same ids.
    let sql = format!(
        "INSERT INTO deliveries \
         (id, source, method, query, headers, body, received_at, state, why, unverified_token) VALUES {} \
         ON CONFLICT (id) DO NOTHING",
        placeholders(&rows)
    );
    // One statement is a transaction of its own: all of the group or nothing, and durable when it returns.
    connection.execute(&sql, rows.into_iter().flatten().collect::<Vec<Arg>>()).await?;
    Ok(())
}

/// PostgreSQL: starts the task; `own` is the pool of its connection, `others` that of everybody else. It ends with either,
/// or with the last handle on the queue.
pub(super) fn keep_in_postgres(
    own: &PgPool,
    others: &PgPool,
    health: &Arc<Health>,
    queue: mpsc::Receiver<Pending>,
    arrived: &Arc<Notify>,
    clock: &Arc<dyn Clock>,
) {
    let task = Task {
        own: own.clone(),
        others: others.clone(),
        health: Arc::clone(health),
        queue,
        arrived: Arc::clone(arrived),
        clock: Arc::clone(clock),
        connection: None,
    };
    tokio::spawn(task.run());
}

struct Task {
    own: PgPool,
    others: PgPool,
    health: Arc<Health>,
    queue: mpsc::Receiver<Pending>,
    arrived: Arc<Notify>,
    clock: Arc<dyn Clock>,
    connection: Option<Connection>,
}

impl Task {
    async fn run(mut self) {
        let mut group = Vec::with_capacity(ARRIVALS_PER_COMMIT);
        // Before everybody else takes one. Where there is none, the first arrival finds out.
        self.connection = Session::take(&self.own, &self.health, URGENT).await.ok().map(Connection::from);
        loop {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut group, ARRIVALS_PER_COMMIT) => {
                    if count == 0 {
                        return;
                    }
                    self.keep(&mut group).await;
                }
                () = self.own.close_event() => return,
                () = sleep(IDLE), if self.connection.is_some() => self.connection = None,
            }
        }
    }

    async fn keep(&mut self, group: &mut Vec<Pending>) {
        let began = Instant::now();
        let mut stored = self.offer(group).await;
        if stored.as_ref().is_err_and(StoreError::meets_all) {
            self.connection = None;
            // The connection was broken before it was used: then another one is offered the group.
            if began.elapsed() < AT_ONCE {
                stored = self.offer(group).await;
            }
        }
        match &mut self.connection {
            Some(connection) => tell(connection, group, stored, &*self.clock).await,
            None => {
                for (_, tell) in group.drain(..) {
                    tell.send(stored.clone()).ok();
                }
            }
        }
        self.arrived.notify_one();
    }

    async fn offer(&mut self, group: &[Pending]) -> Result<(), StoreError> {
        let mut connection = match self.connection.take().filter(Connection::is_trusted) {
            Some(connection) => connection,
            None => Connection::from(self.take().await?),
        };
        let stored = insert_group(&mut connection, group).await;
        self.connection = Some(connection);
        stored
    }

    async fn take(&self) -> Result<Session, StoreError> {
        let own = Session::take(&self.own, &self.health, URGENT);
        // A server that gives no more connections may have given all of ours to the others.
        let others = async {
            sleep(AT_ONCE).await;
            Session::take(&self.others, &self.health, URGENT).await
        };
        select_ok([own.boxed(), others.boxed()]).await.map(|(session, _)| session)
    }
}
