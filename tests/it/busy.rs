//! PostgreSQL is there, and slow: tables are locked, statements take their time. Deliveries are kept all the same, and
//! nobody takes a database that is busy for one that is away.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leadfold::clock::Clock;
use leadfold::id::{EventId, LeadId, PersonId};
use leadfold::plan::Reason;
use leadfold::rules::IdentityRules;
use leadfold::sandbox::Faults;
use leadfold::store::prepare::{EventOutcome, Prepared, PreparedDelivery, PreparedEvent, Stages};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::{Instant, sleep};

use crate::many::on_both;
use crate::postgres::{Database, run};
use crate::rig::{Account, IMPATIENT, MAPPING, Rig, event, now_millis, until};
use crate::store::Story;

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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_does_not_wait_on_in_the_database() {
    let Some(database) = Database::create().await else { return };
    let story = Story::begin(database.url.clone(), database.url.clone()).await;
    let somebody = Somebody::locks(&database, "deliveries").await;
    let kept = story.store.inbox().keep(story.arrival("shop", None)).await;
    assert!(kept.is_err());
    until("its statement is gone", async || {
        let waits = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND query LIKE 'INSERT INTO deliveries%' AND state = 'active'";
        database.run(waits).await == [0]
    })
    .await;
    somebody.lets_go().await;
    assert_eq!(story.store.counts().await.unwrap().deliveries, 0, "nor is it kept behind our back");
    story.store.close().await;
    database.remove().await;
}

/// Stages that make so many events of a delivery, in their own time.
fn stages(story: &Story, events: usize, takes: Duration) -> Stages {
    let clock = Arc::clone(&story.clock);
    Arc::new(move |received| {
        std::thread::sleep(takes);
        let id = received.delivery.id;
        let event = |number: usize| PreparedEvent {
            id: EventId(clock.new_id()),
            lead_id: LeadId(clock.new_id()),
            fresh_person: PersonId(clock.new_id()),
            source: "shop".to_owned(),
            key: format!("{id}-{number}"),
            key_until: Timestamp::MAX,
            received_at: clock.now(),
            version: "v1".to_owned(),
            chat: None,
            holder: None,
            outcome: EventOutcome::Filtered(Reason::new("nobody", "no branch wants it")),
        };
        PreparedDelivery { id, result: Prepared::Events((0..events).map(event).collect()) }
    })
}

async fn prepare_once(story: &Story, events: usize, takes: Duration) -> (u64, u64) {
    let (stages, clock) = (stages(story, events, takes), Arc::clone(&story.clock) as Arc<dyn Clock>);
    let counts = story.store.prepare_oldest(128, stages, IdentityRules::default(), clock).await.unwrap();
    (counts.deliveries, counts.filtered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_may_take_longer_to_read_than_a_silent_transaction_lives() {
    let Some(database) = Database::create().await else { return };
    let story = Story::begin(database.url.clone(), database.url.clone()).await;
    story.store.inbox().keep(story.arrival("shop", None)).await.unwrap();
    assert_eq!(prepare_once(&story, 1, Duration::from_millis(6_500)).await, (1, 1));
    story.store.close().await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_prepared_together_than_fits() {
    on_both(async |story| {
        let at_once = Duration::ZERO;
        for bytes in [1_usize << 20; 6] {
            let mut large = story.arrival("shop", None);
            large.delivery.body = vec![b'x'; bytes];
            story.store.inbox().keep(large).await.unwrap();
        }
        // Megabytes: the fourth ends at the limit.
        assert_eq!(prepare_once(story, 1, at_once).await, (4, 4));
        assert_eq!(prepare_once(story, 1, at_once).await, (2, 2));
        // One that is larger than everything goes by itself.
        for bytes in [1, 5 << 20, 1] {
            let mut large = story.arrival("shop", None);
            large.delivery.body = vec![b'x'; bytes];
            story.store.inbox().keep(large).await.unwrap();
        }
        assert_eq!(prepare_once(story, 1, at_once).await, (2, 2));
        assert_eq!(prepare_once(story, 1, at_once).await, (1, 1));
        // Events: the third is the one that is too much for a fourth.
        for _ in 0..5 {
            story.store.inbox().keep(story.arrival("shop", None)).await.unwrap();
        }
        assert_eq!(prepare_once(story, 400, at_once).await, (3, 1200));
        assert_eq!(prepare_once(story, 400, at_once).await, (2, 800));
        assert_eq!(prepare_once(story, 400, at_once).await, (0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_never_ends_in_time_is_set_aside_and_those_behind_it_go_on() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    let Some(database) = Database::create().await else { return };
    let url = database.url.clone();
    rig.postgres = Some(database);
    rig.boot().await;
    // As where something of this lead takes so long that the database ends the statement.
    run(
        &url,
        "CREATE FUNCTION too_long() RETURNS trigger AS $$ BEGIN \
           IF NEW.lead LIKE '%chat-7%' THEN \
             RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014'; \
           END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
    )
    .await;
    run(&url, "CREATE TRIGGER slow BEFORE INSERT ON leads FOR EACH ROW EXECUTE FUNCTION too_long()").await;
    let bodies: Vec<serde_json::Value> = (7..10).map(lead).collect();
    rig.post_all(&bodies, 1).await;
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((counts.unreadable, counts.leads, counts.synced), (1, 2, 2), "{counts:?}");
    run(&url, "DROP TRIGGER slow ON leads").await;
    rig.end().await;
}
