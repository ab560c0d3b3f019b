//! One writer per destination, and many processes on one PostgreSQL: leases are taken, renewed, spread, handed over and
//! lost, and nothing is doubled by it.

use std::sync::Arc;

use leadfold::app::{App, Follow, until_quiet};
use leadfold::clock::{Clock as _, SystemClock};
use leadfold::rules::Mode;
use leadfold::sandbox::{Faults, Running, Sandbox, SandboxOptions};
use leadfold::store::Store;
use leadfold::store::lease::{Lease, LeaseRow, Process, Seen};
use serde_json::{Value, json};

use crate::kill::server::{Home, Server};
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, PATIENCE, Rig, event, now_millis, until};

// The statements

#[tokio::test]
async fn leases_change_hands_on_sqlite() {
    let folder = std::env::temp_dir().join(format!("leadfold-leases-{}", SystemClock.new_id()));
    let url = format!("sqlite://{}", folder.join("leadfold.db").display());
    let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
    leases_change_hands(&store).await;
    store.close().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn leases_change_hands_on_postgres() {
    let Some(database) = Database::create().await else { return };
    let store = Store::open(&database.url, Arc::new(SystemClock)).await.unwrap();
    leases_change_hands(&store).await;
    store.close().await;
    database.remove().await;
}

async fn leases_change_hands(store: &Store) {
    let now = SystemClock.now();
    let beat = async |process: &str| store.beat(process, true).await.unwrap();
    let names = |rows: &[LeaseRow]| rows.iter().map(|row| row.destination.clone()).collect::<Vec<_>>();
    let row = |holder: &str, epoch| LeaseRow { destination: "x".into(), holder: holder.into(), epoch };
    let take = async |process: &str, row: LeaseRow| store.take_leases(process, vec![row], now).await.unwrap();
    let process = |seen: &Seen, id: &str| -> Process {
        seen.processes.iter().find(|process| process.id == id).unwrap().clone()
    };
    assert_eq!(beat("a").await, None, "who never entered is nobody");
    store.enter_process("a", "host:1").await.unwrap();
    store.enter_process("b", "host:2").await.unwrap();
    store.announce_leases(vec!["x".into(), "y".into()]).await.unwrap();
    store.announce_leases(vec!["y".into(), "z".into()]).await.unwrap();
    let seen = beat("a").await.unwrap();
    assert_eq!((names(&seen.free), names(&seen.mine)), (vec!["x".into(), "y".into(), "z".into()], vec![]));

    // Whoever comes second finds another row than the one it saw.
    let taken = store.take_leases("a", seen.free.clone(), now).await.unwrap();
    assert_eq!(taken.iter().map(|lease| (lease.epoch, lease.clean)).collect::<Vec<_>>(), [(1, true); 3]);
    assert!(store.take_leases("b", seen.free, now).await.unwrap().is_empty());
    let seen = beat("b").await.unwrap();
    assert!(seen.free.is_empty() && seen.mine.is_empty());
    assert_eq!((process(&seen, "a").held, process(&seen, "b").held), (3, 0));
    assert!(take("b", row("a", 1)).await.is_empty(), "its holder lives");

    // Given up by the beat that was seen last, and never back.
    beat("a").await.unwrap();
    assert!(!store.give_up(&process(&seen, "a")).await.unwrap(), "it has beaten since");
    let seen = beat("b").await.unwrap();
    assert!(store.give_up(&process(&seen, "a")).await.unwrap());
    assert!(!store.give_up(&process(&seen, "a")).await.unwrap());
    assert_eq!(beat("a").await, None);
    let seen = beat("b").await.unwrap();
    assert_eq!(names(&seen.free), ["x", "y", "z"]);

    // Until somebody takes it the old holder's records are as true as ever; from then on it records nothing.
    let old: &Lease = &taken[0];
    assert!(store.claim(old, Mode::Live, now, 1, Vec::new()).await.unwrap().is_empty());
    let new = take("b", row("a", 1)).await.remove(0);
    assert_eq!((new.epoch, new.clean, new.taken_at), (2, false, now));
    assert!(store.claim(old, Mode::Live, now, 1, Vec::new()).await.unwrap_err().is_final());
    assert_eq!(store.begin_anew("a", old).await.unwrap(), None);
    store.hand_over("a", vec![("x".into(), 1)]).await.unwrap();
    let anew = store.begin_anew("b", &new).await.unwrap().unwrap();
    assert_eq!((anew.epoch, anew.clean), (3, false));
    assert!(store.claim(&new, Mode::Live, now, 1, Vec::new()).await.unwrap_err().is_final());

    // For people.
    let holders = store.leases().await.unwrap();
    let holders: Vec<_> = holders.iter().map(|holding| (holding.holder.as_deref(), holding.epoch)).collect();
    assert_eq!(holders, [(Some("host:2"), 3), (None, 1), (None, 1)]);

    store.hand_over("b", vec![("x".into(), 2), ("x".into(), 3)]).await.unwrap();
    store.enter_process("c", "host:3").await.unwrap();
    let taken = take("c", row("", 3)).await;
    assert_eq!((taken[0].epoch, taken[0].clean), (4, true), "handed over");
    store.leave("c").await.unwrap();
    assert_eq!(
        names(&beat("b").await.unwrap().free),
        ["x", "y", "z"],
        "who left without handing over is gone"
    );
    assert!(!take("b", row("c", 4)).await.remove(0).clean);
}

// Two of them in one process

/// Four accounts in one CRM, each with every lead.
const FOUR: &str = "\
destinations:
  a: { crm: sandbox, url: \"http://{ADDRESS}\", token: demo, timeout: 5s, settle: 700ms }
  b: { crm: sandbox, url: \"http://{ADDRESS}\", token: demo, timeout: 5s, settle: 700ms }
  c: { crm: sandbox, url: \"http://{ADDRESS}\", token: demo, timeout: 5s, settle: 700ms }
  d: { crm: sandbox, url: \"http://{ADDRESS}\", token: demo, timeout: 5s, settle: 700ms }
owner_pools:
  sales: [anna, borys, dana]
";

fn lead(number: i64) -> Value {
    let phone = format!("+38067{:07}", 4_100_003 + number * 4_111);
    event(&format!("chat-{number}"), "telegram", json!({ "phone": phone }), now_millis() + number)
}

async fn epochs(store: &Store) -> Vec<i64> {
    store.leases().await.unwrap().iter().map(|holding| holding.epoch).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_spread_over_processes_and_a_broken_database_moves_none() {
    let Some(database) = Database::create().await else { return };
    let mut rig = Rig::prepare(Faults::default(), "", MAPPING).await;
    let workspace = FOUR.replace("{ADDRESS}", &rig.sandbox.addr().to_string());
    rig.files.0.insert("workspace.yaml".to_owned(), workspace);
    rig.edit("sendpulse.yaml", "to: [crm]", "to: [a, b, c, d]");
    rig.follow = Follow::Database;
    rig.postgres = Some(database);
    rig.boot().await;
    assert_eq!(rig.app().workers().len(), 4, "who is alone begins with all");
    let other = App::start(rig.options()).await.unwrap();
    let both = || (rig.app().workers().len(), other.workers().len());
    until("each has its share", async || both() == (2, 2)).await;

    // Leads that one prepares are pushed by both.
    let leads: Vec<Value> = (0..10).map(lead).collect();
    rig.post_all(&leads, 4).await;
    rig.settle().await;
    assert_eq!(rig.counts().await.synced, 40);

    let before = epochs(&rig.app().store).await;
    rig.postgres.as_ref().unwrap().cut().await;
    let leads: Vec<Value> = (10..15).map(lead).collect();
    until("it receives again", async || rig.post(&leads[0]).await == 200).await;
    rig.post_all(&leads[1..], 4).await;
    rig.settle().await;
    assert_eq!((rig.counts().await.synced, both()), (60, (2, 2)));
    assert_eq!(epochs(&rig.app().store).await, before, "nobody was given up");
    let live = rig.postgres.as_ref().unwrap().run("SELECT COUNT(*) FROM processes").await;
    assert_eq!(live, [2]);

    other.stop().await;
    until("what was handed over is taken", async || rig.app().workers().len() == 4).await;
    rig.post_all(&[lead(15)], 1).await;
    rig.settle().await;
    assert_eq!(rig.counts().await.synced, 64);
    rig.end().await;
}

// Real processes

/// Servers on one database, and the CRM that they push to.
struct Cluster {
    home: Home,
    crm: Running,
    database: Database,
    humans: i64,
}

impl Cluster {
    async fn start() -> Option<Self> {
        let database = Database::create().await?;
        // Calls take a while, so that some are under way whenever something happens.
        let faults: Faults = serde_json::from_value(json!({ "latency_ms": [30, 90] })).unwrap();
        let crm = Sandbox::start(SandboxOptions { faults, ..SandboxOptions::default() }).await.unwrap();
        let home = Home::on(&database.url, crm.addr(), &format!("{IMPATIENT}, search_lag: 100ms"));
        Some(Self { home, crm, database, humans: 0 })
    }

    /// So many new humans press the button; every post is acknowledged.
    async fn press(&mut self, server: &Server, humans: i64) {
        for number in self.humans..self.humans + humans {
            assert!(self.home.post(server.address, &lead(number)).await, "{}", self.home.log());
        }
        self.humans += humans;
    }

    async fn until_held_by(&self, server: &Server) {
        let registry = self.home.registry().await;
        let name = format!(":{}", server.id());
        until("the lease is taken", async || {
            let leases = registry.leases().await.unwrap();
            leases.iter().any(|held| held.holder.as_ref().is_some_and(|holder| holder.ends_with(&name)))
        })
        .await;
        registry.close().await;
    }

    /// Writes that the CRM has taken so far.
    fn records(&self) -> usize {
        let stats = self.crm.stats();
        stats.contacts + stats.deals
    }

    async fn until_under_way(&self) {
        let before = self.records();
        until("pushes are under way", async || self.records() > before + 4).await;
    }

    /// Everything has come to its end, and every human is there once.
    async fn every_human_once(&self) {
        let registry = self.home.registry().await;
        assert!(until_quiet(&registry, PATIENCE).await.unwrap(), "{}", self.home.log());
        let counts = registry.counts().await.unwrap();
        registry.close().await;
        let stats = self.crm.stats();
        assert_eq!(counts.synced, self.humans, "{counts:?}\n{}", self.home.log());
        let humans = usize::try_from(self.humans).unwrap();
        assert_eq!((stats.contacts, stats.deals, stats.tasks), (humans, humans, 0), "{}", self.home.log());
    }

    async fn end(self) {
        self.database.remove().await;
        self.home.remove();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_another_process_takes_over_and_doubles_nothing() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let holder = cluster.home.start().await;
    cluster.until_held_by(&holder).await;
    let other = cluster.home.start().await;
    cluster.press(&other, 40).await;
    cluster.until_under_way().await;
    holder.kill();
    cluster.press(&other, 5).await;
    cluster.until_held_by(&other).await;
    cluster.every_human_once().await;
    // Said after it was done: by now it is.
    assert_eq!(cluster.home.logged("took over the lease"), 1, "{}", cluster.home.log());
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_frozen_for_longer_than_its_lease_records_and_sends_nothing() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let holder = cluster.home.start().await;
    cluster.until_held_by(&holder).await;
    let other = cluster.home.start().await;
    cluster.press(&other, 40).await;
    cluster.until_under_way().await;
    holder.freeze();
    cluster.until_held_by(&other).await;
    cluster.every_human_once().await;
    let before = cluster.crm.stats();
    holder.thaw();
    let given_up = "others have given this process up";
    until("it notices", async || cluster.home.logged(given_up) == 1).await;
    cluster.press(&holder, 5).await;
    cluster.every_human_once().await;
    let after = cluster.crm.stats();
    let posted = |kind: &str| after.calls[kind] - before.calls[kind];
    // But for a call that was frozen between the last look at the lease and the socket, which no process can take back: it
    // carries its key, and every human was there once all the same.
    let (contacts, deals) = (posted("POST /contacts"), posted("POST /deals"));
    assert!(
        (5..=6).contains(&contacts) && (5..=6).contains(&deals),
        "only what is new is sent: {contacts} {deals}"
    );
    assert!(cluster.home.logged("could not be claimed") <= 2, "{}", cluster.home.log());
    assert_eq!(cluster.home.logged(given_up), 1, "it says so once");
    // It has begun anew, and takes its turn when there is something to take.
    other.terminate();
    cluster.until_held_by(&holder).await;
    cluster.press(&holder, 1).await;
    cluster.every_human_once().await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_told_to_stop_hands_over() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut holder = cluster.home.start().await;
    cluster.until_held_by(&holder).await;
    let other = cluster.home.start().await;
    cluster.press(&other, 40).await;
    cluster.until_under_way().await;
    holder.terminate();
    cluster.until_held_by(&other).await;
    assert_eq!(holder.ended(PATIENCE).await.and_then(|status| status.code()), Some(0));
    assert_eq!(cluster.home.logged("took over the lease"), 0, "{}", cluster.home.log());
    cluster.every_human_once().await;
    cluster.end().await;
}
