//! PostgreSQL is there, and slow: tables are locked, statements take their time. Deliveries are kept all the same, and
//! nobody takes a database that is busy for one that is away.

use std::time::Duration;

use leadfold::sandbox::Faults;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::{Instant, sleep};

use crate::postgres::Database;
use crate::rig::{Account, IMPATIENT, Rig, event, now_millis};

/// A transaction that somebody else has open.
struct Somebody(PgConnection);

impl Somebody {
    async fn locks(database: &Database, table: &str) -> Self {
        let options: PgConnectOptions = database.url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        connection.execute("BEGIN").await.unwrap();
        let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        connection.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
        Self(connection)
    }

    async fn lets_go(mut self) {
        self.0.execute("COMMIT").await.unwrap();
        self.0.close().await.unwrap();
    }
}

fn lead(human: u32) -> serde_json::Value {
    let phone = format!("+38067{:07}", 1_100_003 + human * 16_411);
    event(&format!("chat-{human}"), "telegram", json!({ "phone": phone }), now_millis() + i64::from(human))
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_kept_while_every_other_connection_waits_for_a_lock() {
    let Some(rig) = Rig::start_on(Account::SandboxOnPostgres, Faults::default(), IMPATIENT).await else {
        return;
    };
    let somebody = Somebody::locks(rig.postgres.as_ref().unwrap(), "leads").await;
    // More people look at leads than there are connections.
    let looks = async {
        for (status, text) in futures_util::future::join_all((0..40).map(|_| rig.get("/api/leads"))).await {
            assert!(status == 200 || status == 503, "{status} {text}");
        }
    };
    let posts = async {
        sleep(Duration::from_millis(500)).await;
        let (began, mut human) = (Instant::now(), 0);
        // Longer than anybody waits for a connection.
        while began.elapsed() < Duration::from_secs(6) {
            assert_eq!(rig.post(&lead(human)).await, 200, "after {:?}", began.elapsed());
            assert_eq!(rig.get("/readyz").await.0, 200, "after {:?}", began.elapsed());
            human += 1;
            sleep(Duration::from_millis(100)).await;
        }
        somebody.lets_go().await;
        human
    };
    let ((), humans) = tokio::join!(looks, posts);
    rig.settle().await;
    let (counts, stats) = (rig.counts().await, rig.stats());
    assert_eq!(counts.leads, i64::from(humans), "{counts:?}");
    assert_eq!(stats.contacts, usize::try_from(humans).unwrap(), "{counts:?} {stats:?}");
    rig.end().await;
}
