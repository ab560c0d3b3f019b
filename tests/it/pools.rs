//! Owner pools from the request to the CRM: shares under faults, hours, caps, edits, and people who left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use leadfold::app::until_quiet;
use leadfold::clock::{Clock, ManualClock, SystemClock};
use leadfold::crm::catalog::{Catalog, User};
use leadfold::crm::{Crm, CrmError, Found, Guarantee, Journal, Outcome, Query, Remaining};
use leadfold::plan::{Action, StepKind};
use leadfold::rules::Mode;
use leadfold::sandbox::Faults;
use leadfold::store::Store;
use leadfold::sync::Worker;
use leadfold::workspace::{Environment, Versions};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::crm::fixture::all_done;
use crate::rig::{IMPATIENT, MAPPING, PATIENCE, Rig, event, hold, now_millis};

/// As many humans as asked, from this number on, each with a lead.
fn humans(from: i64, count: i64) -> Vec<Value> {
    let start = now_millis();
    let lead = |human: i64| {
        let phone = format!("+38067{:07}", 2_100_007 + human * 4_001);
        event(&format!("chat-{human}"), "telegram", json!({ "phone": phone }), start + human)
    };
    (from..from + count).map(lead).collect()
}

/// Deals that are in the CRM, by their owner.
async fn deals(rig: &Rig) -> BTreeMap<String, usize> {
    let rows = rig
        .sql(
            "SELECT json_extract(action, '$.deal.owner'), CAST(COUNT(*) AS TEXT) FROM steps \
             WHERE kind = 'create deal' AND state = 'done' GROUP BY 1",
        )
        .await;
    rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

/// Waits until so many leads wait for an owner; returns until when.
async fn waiting(rig: &Rig, count: usize) -> Vec<Timestamp> {
    let look = async {
        loop {
            let sql = "SELECT CAST(next_at AS TEXT) FROM syncs WHERE state = 'waiting' AND claimed = 0";
            let rows = rig.sql(sql).await;
            if rows.len() == count {
                let moment =
                    |row: &Vec<String>| Timestamp::from_millisecond(row[0].parse().unwrap()).unwrap();
                return rows.iter().map(moment).collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("these many leads wait")
}

const POOL: &str = "sales: [anna, borys, dana]";

fn counted(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(user, count)| ((*user).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_storm_and_restarts_skew_no_share() {
    // A rate limit that nobody told us of refuses steps before they are written, so their plans are made again.
    let storm = r#"{"fail_before": 0.1, "reset": 0.1, "rate": {"count": 50, "per_ms": 300}}"#;
    let storm: Faults = serde_json::from_str(storm).unwrap();
    let mut rig = Rig::prepare(storm, IMPATIENT, MAPPING).await;
    let weighted =
        "sales: [{ user: anna, weight: 5 }, { user: borys, weight: 3 }, { user: dana, weight: 2 }]";
    rig.edit("workspace.yaml", POOL, weighted);
    rig.boot().await;
    for round in 0..3 {
        rig.post_all(&humans(round * 70, 70), 32).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        rig.restart().await;
    }
    // The storm is over, and nobody waits out what is left of a pause.
    rig.shut_down().await;
    rig.sandbox.set_faults(Faults::default());
    rig.sql("UPDATE syncs SET next_at = 0").await;
    rig.boot().await;
    rig.settle().await;
    assert_eq!((rig.stats().contacts, rig.stats().deals), (210, 210), "{:?}", rig.counts().await);
    let again = rig.sql("SELECT id FROM syncs WHERE reasons LIKE '%owner_kept%'").await.len();
    assert!(again > 10, "the storm is one: plans are dropped and made again, {again}");
    assert_eq!(deals(&rig).await, counted(&[("anna", 105), ("borys", 63), ("dana", 42)]));
    let memory = rig.app().store.pools("crm").await.unwrap();
    let total: u64 = memory[0].1.total.values().sum();
    assert_eq!(total, 210, "a plan that was dropped and made again is one turn: {memory:?}");
    rig.end().await;
}

async fn rig_in_kyiv(pool: &str, now: &str) -> (Rig, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(now.parse().unwrap()));
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.clock = Arc::<ManualClock>::clone(&clock);
    rig.edit("workspace.yaml", POOL, pool);
    rig.boot().await;
    (rig, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_waits_for_the_opening_and_a_full_day_for_the_next() {
    // Friday 18:30 in Kyiv.
    let (mut rig, clock) = rig_in_kyiv(
        "sales: { time_zone: Europe/Kyiv, hours: { mon-fri: 09:00-18:00 }, \
         owners: [{ user: anna, daily_cap: 1 }, { user: borys, daily_cap: 1 }] }",
        "2026-05-08T15:30:00Z",
    )
    .await;
    rig.post_all(&humans(0, 3), 1).await;
    let monday: Timestamp = "2026-05-11T06:00:00Z".parse().unwrap();
    assert_eq!(waiting(&rig, 3).await, [monday; 3]);
    let (_, page) = rig.get("/api/leads").await;
    assert!(page.contains("the lead waits until anna works, Mon 2026-05-11 09:00 Europe/Kyiv"), "{page}");

    clock.advance(monday.duration_since(clock.now()));
    let tuesday = monday + SignedDuration::from_hours(24);
    assert_eq!(waiting(&rig, 1).await.as_slice(), [tuesday], "two deals a day, and the third lead waits");
    // A restart decides it again, and the counts of the day are still there.
    rig.restart().await;
    clock.advance(SignedDuration::from_hours(1));
    rig.post_all(&humans(10, 1), 1).await;
    assert_eq!(waiting(&rig, 2).await, [tuesday; 2]);
    assert_eq!(deals(&rig).await, counted(&[("anna", 1), ("borys", 1)]));
    clock.advance(tuesday.duration_since(clock.now()));
    rig.settle().await;
    assert_eq!(deals(&rig).await, counted(&[("anna", 2), ("borys", 2)]));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_pool_counts_for_leads_that_wait_already() {
    let (mut rig, _clock) = rig_in_kyiv(
        "sales: { time_zone: Europe/Kyiv, owners: [{ user: anna, away: 2026-05-01..2026-06-30 }] }",
        "2026-05-08T09:00:00Z",
    )
    .await;
    rig.post_all(&humans(0, 2), 2).await;
    waiting(&rig, 2).await;
    rig.edit("workspace.yaml", "..2026-06-30", "..2026-05-07");
    rig.restart().await;
    rig.settle().await;
    assert_eq!(deals(&rig).await, counted(&[("anna", 2)]));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_takes_no_turn() {
    let rig = Rig::start(Faults::default(), "mode: observe").await;
    rig.post_all(&humans(0, 3), 1).await;
    rig.settle().await;
    assert_eq!(rig.counts().await.held, 3);
    assert_eq!(rig.app().store.pools("crm").await.unwrap(), []);
    let reasons = rig.sql("SELECT reasons FROM syncs").await;
    assert!(reasons.iter().all(|row| row[0].contains("The owner is anna")), "{reasons:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deals_and_contacts_of_somebody_who_left_go_to_the_pool() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    let away = "sales: { time_zone: UTC, owners: [{ user: Anna, away: 2000-01-01..9000-01-01 }] }";
    rig.edit("workspace.yaml", POOL, away);
    let known = json!({ "name": "Olena", "phones": ["+380672136016"], "owner": "7" });
    rig.add_contact(known).await;
    let account = json!({
        "users": [{ "id": "7", "name": "Anna", "active": false }, { "id": "8", "name": "Borys" }],
        "pipelines": [{ "name": "Main", "stages": ["New"] }],
        "contact_fields": ["telegram_chat", "instagram_chat", "viber_chat"],
        "deal_fields": [],
    });
    rig.sandbox.set_account(Some(serde_json::from_value(account).unwrap()));
    rig.boot().await;
    rig.post_all(&humans(0, 3), 3).await;
    waiting(&rig, 3).await;
    // After an edit the list is read before those who wait are decided, so from then on it is known.
    rig.edit("workspace.yaml", away, "sales: [Anna, Borys]");
    rig.restart().await;
    rig.settle().await;
    assert_eq!(deals(&rig).await, counted(&[("Borys", 3)]));
    rig.post_all(&humans(9, 1), 1).await;
    rig.settle().await;
    assert_eq!(deals(&rig).await, counted(&[("Borys", 4)]), "the contact's owner left");
    let said = rig.sql("SELECT id FROM syncs WHERE reasons LIKE '%7, who is responsible for contact%'").await;
    assert_eq!((said.len(), rig.stats().contacts), (1, 4));
    rig.end().await;
}

/// A CRM that knows nobody, keeps what it is given, and lists its users.
#[derive(Default)]
struct Roster {
    users: Vec<User>,
    written: Mutex<Vec<Action>>,
    /// Done once while somebody is looked for: this statement on that database.
    meanwhile: Mutex<Option<(String, String)>>,
}

impl Crm for Roster {
    fn find<'a>(&'a self, queries: &'a [Query]) -> BoxFuture<'a, Vec<Result<Found, CrmError>>> {
        Box::pin(async move {
            let meanwhile = self.meanwhile.lock().unwrap().take();
            if let Some((url, sql)) = meanwhile {
                use sqlx::Connection as _;
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                let done = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
                assert_eq!(done.rows_affected(), 1);
                connection.close().await.unwrap();
            }
            queries.iter().map(|_| Ok(Found::default())).collect()
        })
    }

    fn write<'a>(
        &'a self,
        plans: &'a [Remaining<'a>],
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Vec<Vec<Outcome>>> {
        Box::pin(async move {
            let steps = plans.iter().flat_map(|plan| plan.steps);
            self.written.lock().unwrap().extend(steps.map(|step| step.action.clone()));
            all_done(plans, journal).await
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<String, CrmError>> {
        Box::pin(async { Ok("roster".to_owned()) })
    }

    fn describe(&self) -> BoxFuture<'_, Result<Catalog, CrmError>> {
        let catalog = Catalog { users: Some(self.users.clone()), ..Catalog::default() };
        Box::pin(async { Ok(catalog) })
    }

    fn guarantee(&self, _: StepKind) -> Guarantee {
        Guarantee::Keyed
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn batch(&self) -> usize {
        1
    }

    fn concurrency(&self) -> usize {
        2
    }
}

/// Leads that a leadfold kept while its destination was paused, brought to this CRM by a worker of our own.
struct Kept {
    rig: Rig,
    store: Store,
    clock: Arc<dyn Clock>,
    leads: i64,
}

impl Kept {
    async fn new(pool: &str, leads: i64) -> Self {
        let mut rig = Rig::prepare(Faults::default(), "mode: paused", MAPPING).await;
        rig.edit("workspace.yaml", POOL, pool);
        rig.boot().await;
        rig.post_all(&humans(0, leads), 1).await;
        let prepared = async {
            while rig.counts().await.leads < leads {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, prepared).await.unwrap();
        rig.shut_down().await;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Store::open(&rig.database(), Arc::clone(&clock)).await.unwrap();
        Self { rig, store, clock, leads }
    }

    /// Brings them. Where there is an edit, it comes once they all wait.
    async fn bring(&self, crm: &Arc<Roster>, edit: Option<(&str, &str)>) {
        let environment: Environment = Arc::new(|_| None);
        let versions = Arc::new(Versions::new(self.store.clone(), environment));
        let mut files = self.rig.files.clone();
        let workspace = versions.compile(&files).await.unwrap().workspace;
        let mut destination = workspace.destinations["crm"].clone();
        destination.mode = Mode::Live;
        let (sender, active) = watch::channel(Some(Arc::new(workspace)));
        let worker = Worker::new(
            self.store.clone(),
            Arc::clone(&self.clock),
            destination,
            Arc::<Roster>::clone(crm),
            Arc::clone(&versions),
            active,
            hold(&self.store, "crm").await,
        );
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        worker.await.unwrap().start(stop.clone(), &tasks);
        tasks.close();
        if let Some((from, to)) = edit {
            waiting(&self.rig, usize::try_from(self.leads).unwrap()).await;
            let text = files.0.get_mut("workspace.yaml").unwrap();
            assert!(text.contains(from), "{text}");
            *text = text.replace(from, to);
            sender.send_replace(Some(Arc::new(versions.compile(&files).await.unwrap().workspace)));
        }
        assert!(until_quiet(&self.store, PATIENCE).await.unwrap());
        stop.cancel();
        tasks.wait().await;
    }

    async fn end(self) {
        self.store.close().await;
        std::fs::remove_dir_all(&self.rig.folder).unwrap();
    }
}

fn user(id: &str, name: &str, active: bool) -> User {
    User {
        id: id.into(),
        name: name.into(),
        login: Some(format!("{}@example.com", name.to_lowercase())),
        active,
    }
}

fn owners(crm: &Roster) -> BTreeMap<String, usize> {
    let mut owners = BTreeMap::new();
    for action in crm.written.lock().unwrap().iter() {
        if let Action::CreateDeal { deal, .. } = action {
            *owners.entry(deal.owner.clone().unwrap_or_default()).or_default() += 1;
        }
    }
    owners
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_to_a_user_who_is_inactive_in_the_crm() {
    let pool =
        "sales: { time_zone: UTC, owners: [{ user: ANNA@example.com, away: 2000-01-01..9000-01-01 }] }";
    let kept = Kept::new(pool, 4).await;
    let crm = Arc::new(Roster {
        users: vec![user("1", "Anna", false), user("2", "Borys", true)],
        ..Roster::default()
    });
    // The list is read beside the pushing, and again after an edit, before those who wait are decided.
    kept.bring(&crm, Some((pool, "sales: [ANNA@example.com, borys]"))).await;
    assert_eq!(owners(&crm), counted(&[("borys", 4)]));
    let reasons = kept.rig.sql("SELECT reasons FROM syncs LIMIT 1").await;
    assert!(reasons[0][0].contains("Skipped: ANNA@example.com (inactive in the CRM)"), "{reasons:?}");
    kept.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_somebody_else_by_now_takes_no_turn_and_is_not_pushed() {
    let kept = Kept::new("sales: [anna, borys]", 1).await;
    let crm = Arc::new(Roster::default());
    let merged = "UPDATE syncs SET person = '018f3f2e-0000-7000-8000-000000000001'".to_owned();
    *crm.meanwhile.lock().unwrap() = Some((kept.rig.database(), merged));
    kept.bring(&crm, None).await;
    assert_eq!(crm.written.lock().unwrap().len(), 2, "one contact and one deal: {:?}", crm.written);
    let memory = kept.store.pools("crm").await.unwrap();
    assert_eq!(memory[0].1.total, BTreeMap::from([("anna".to_owned(), 1)]), "{memory:?}");
    kept.end().await;
}
