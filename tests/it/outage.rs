//! The database is full, read-only, down, cut off or silent: senders are told to send again, within seconds, and say so
//! to whoever asks; nothing that was acknowledged is lost, nothing is doubled, and it ends by itself.

mod limits;
mod proxy;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use leadfold::clock::{Clock as _, SystemClock};
use leadfold::event::Delivery;
use leadfold::id::DeliveryId;
use leadfold::sandbox::{Faults, Latency};
use leadfold::store::Store;
use leadfold::store::inbox::Arrival;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::proxy::{Proxy, Way};
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, PATIENCE, Rig, event, now_millis};

/// No answer takes longer: the limit of the receiving edge, and as much again for a machine that has other things to do.
const ANSWER: Duration = Duration::from_secs(20);

/// Whoever runs services here ends what takes longer than this to stop (`TimeoutStopSec` of the unit in `leadfold deploy`).
const STOPS: Duration = Duration::from_secs(90);

/// A human, and nobody else's phone.
fn lead(human: u64) -> Value {
    static MOMENT: AtomicU64 = AtomicU64::new(0);
    let at = now_millis() + i64::try_from(MOMENT.fetch_add(1, Ordering::Relaxed)).unwrap();
    let phone = format!("+38067{:07}", 1_100_003 + human * 16_411);
    event(&format!("chat-{human}"), "telegram", json!({ "phone": phone }), at)
}

/// Status of an answer, and what its Retry-After says.
#[expect(clippy::disallowed_methods, reason = "the test is the platform, not a CRM client")]
async fn send(rig: &Rig, body: &Value) -> (u16, Option<String>) {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| reqwest::Client::builder().no_proxy().build().unwrap());
    let began = Instant::now();
    let request = client.post(rig.url("/in/sendpulse/demo")).header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await.unwrap();
    assert!(began.elapsed() < ANSWER, "an answer took {:?}", began.elapsed());
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), retry_after)
}

/// Sends until it is refused; those before it were kept. Returns the number of the one that was not.
async fn send_until_refused(rig: &Rig, mut human: u64) -> u64 {
    let began = Instant::now();
    loop {
        let (status, retry_after) = send(rig, &lead(human)).await;
        if status != 200 {
            assert_eq!((status, retry_after.as_deref()), (503, Some("5")));
            return human;
        }
        human += 1;
        assert!(began.elapsed() < PATIENCE, "nothing was refused");
    }
}

/// Sends the same again and again, as a platform does, until it is kept.
async fn insist(rig: &Rig, body: &Value) {
    let began = Instant::now();
    while send(rig, body).await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "it did not recover");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until `/readyz` says why the process is not ready.
async fn until_not_ready(rig: &Rig, why: &str) {
    let began = Instant::now();
    loop {
        let (status, text) = rig.get("/readyz").await;
        if status == 503 && text.contains("the database takes no writes") && text.contains(why) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "/readyz: {status} {text}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn until_ready(rig: &Rig) {
    let began = Instant::now();
    while rig.get("/readyz").await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "{:?}", rig.get("/readyz").await);
        sleep(Duration::from_millis(20)).await;
    }
}

/// Everybody from 0 up to, not including, `humans` is in the CRM once, and with one deal.
async fn everybody_is_there_once(rig: Rig, humans: u64) {
    rig.settle().await;
    let (counts, stats) = (rig.counts().await, rig.stats());
    let humans = usize::try_from(humans).unwrap();
    assert_eq!((stats.contacts, stats.deals), (humans, humans), "{counts:?} {stats:?}");
    assert_eq!((counts.needs_attention, counts.unreadable), (0, 0), "{counts:?}");
    assert_eq!(usize::try_from(counts.leads).unwrap(), humans + stats.tasks, "{counts:?} {stats:?}");
    rig.end().await;
}

/// A leadfold whose database is at the other end of a proxy.
async fn on_postgres() -> Option<(Rig, Proxy, String)> {
    on_postgres_with(Faults::default()).await
}

async fn on_postgres_with(faults: Faults) -> Option<(Rig, Proxy, String)> {
    let mut database = Database::create().await?;
    let direct = database.url.clone();
    let (_, rest) = direct.split_once('@').unwrap();
    let (server, _) = rest.split_once('/').unwrap();
    let proxy = Proxy::before(server).await;
    database.url = direct.replace(server, &proxy.address.to_string());
    let mut rig = Rig::prepare(faults, IMPATIENT, MAPPING).await;
    rig.postgres = Some(database);
    rig.boot().await;
    Some((rig, proxy, direct))
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_down_for_a_while() {
    let Some((rig, proxy, _)) = on_postgres().await else { return };
    assert_eq!(send(&rig, &lead(0)).await.0, 200);
    proxy.make(Way::Closed);
    let refused = send_until_refused(&rig, 1).await;
    until_not_ready(&rig, "").await;
    // What is known is answered at once.
    let began = Instant::now();
    for human in refused..refused + 50 {
        assert_eq!(send(&rig, &lead(human)).await.0, 503);
    }
    assert!(began.elapsed() < ANSWER, "{:?}", began.elapsed());
    proxy.make(Way::Open);
    insist(&rig, &lead(refused)).await;
    until_ready(&rig).await;
    everybody_is_there_once(rig, refused + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_postgres_swallows_everything_for_a_while() {
    let Some((rig, proxy, _)) = on_postgres().await else { return };
    // Work is in hand when it begins.
    for human in 0..20 {
        assert_eq!(send(&rig, &lead(human)).await.0, 200);
    }
    proxy.make(Way::Hole);
    let refused = send_until_refused(&rig, 20).await;
    assert_eq!(refused, 20, "nothing is kept that cannot be");
    until_not_ready(&rig, "").await;
    proxy.make(Way::Open);
    // Connections from before are dead for ever, and nobody says so.
    insist(&rig, &lead(refused)).await;
    until_ready(&rig).await;
    everybody_is_there_once(rig, refused + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_becomes_read_only_for_a_while() {
    let Some((rig, _proxy, _)) = on_postgres().await else { return };
    let database = rig.postgres.as_ref().unwrap();
    assert_eq!(send(&rig, &lead(0)).await.0, 200);
    // As after a fail-over to a replica, and back.
    database.make_read_only(true).await;
    database.cut().await;
    let refused = send_until_refused(&rig, 1).await;
    until_not_ready(&rig, "read-only").await;
    // Sessions keep what they began with, so this proves that they are not used again.
    database.make_read_only(false).await;
    insist(&rig, &lead(refused)).await;
    until_ready(&rig).await;
    everybody_is_there_once(rig, refused + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_cut_in_the_middle_of_everything() {
    let Some((rig, _proxy, _)) = on_postgres().await else { return };
    let database = rig.postgres.as_ref().unwrap();
    let cuts = async {
        for _ in 0..12 {
            sleep(Duration::from_millis(150)).await;
            database.cut().await;
        }
    };
    let posts = async {
        let bodies: Vec<Value> = (0..60).map(lead).collect();
        for few in bodies.chunks(4) {
            futures_util::future::join_all(few.iter().map(|body| insist(&rig, body))).await;
            sleep(Duration::from_millis(60)).await;
        }
    };
    tokio::join!(cuts, posts);
    everybody_is_there_once(rig, 60).await;
}

/// The CRM's answers are lost as well, and the database's again and again just after it has done what it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_both_sides_are_lost_in_the_middle_of_pushes() {
    let faults = Faults {
        latency_ms: Latency::Between(5, 60),
        timeout_after: 0.06,
        reset: 0.06,
        late_commit: 0.06,
        late_commit_ms: 300,
        ..Faults::default()
    };
    let Some((rig, proxy, _)) = on_postgres_with(faults).await else { return };
    let humans: u64 = 60;
    let posts = async {
        for few in (0..humans).collect::<Vec<_>>().chunks(4) {
            // Twice each: the second has to find what the first made.
            let bodies: Vec<Value> = few.iter().chain(few).map(|human| lead(*human)).collect();
            futures_util::future::join_all(bodies.iter().map(|body| insist(&rig, body))).await;
            sleep(Duration::from_millis(100)).await;
        }
    };
    let losses = async {
        for loss in 0..40_u64 {
            sleep(Duration::from_millis(60 + loss * 37 % 90)).await;
            proxy.make(Way::Deaf);
            sleep(Duration::from_millis(5 + loss * 13 % 40)).await;
            proxy.make(Way::Open);
        }
    };
    tokio::join!(posts, losses);
    everybody_is_there_once(rig, humans).await;
}

/// Nobody waits for a database that does not answer before a process ends, and what it had in hand goes on afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_although_the_way_to_postgres_swallows_everything() {
    let faults = Faults { latency_ms: Latency::Fixed(100), ..Faults::default() };
    let Some((mut rig, proxy, _)) = on_postgres_with(faults).await else { return };
    for human in 0..20 {
        assert_eq!(send(&rig, &lead(human)).await.0, 200);
    }
    proxy.make(Way::Hole);
    sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    tokio::time::timeout(STOPS, rig.shut_down()).await.expect("it waits for the database");
    eprintln!("it took {:?} to stop", began.elapsed());
    proxy.make(Way::Open);
    rig.boot().await;
    everybody_is_there_once(rig, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_the_commit_makes_a_redelivery_and_no_second_lead() {
    let Some((rig, proxy, direct)) = on_postgres().await else { return };
    let stored = async || crate::postgres::run(&direct, "SELECT COUNT(*) FROM deliveries").await[0];
    let mut human = 0;
    loop {
        until_ready(&rig).await;
        // So that there is a connection on which it can still be asked.
        insist(&rig, &lead(human)).await;
        human += 1;
        let (before, body) = (stored().await, lead(human));
        human += 1;
        proxy.make(Way::Deaf);
        let (status, _) = send(&rig, &body).await;
        proxy.make(Way::Open);
        insist(&rig, &body).await;
        // Refused, and there all the same.
        if status == 503 && stored().await == before + 2 {
            break;
        }
        assert!(human < 200, "no answer was lost between the commit and its answer");
    }
    rig.settle().await;
    assert!(rig.counts().await.redeliveries >= 1);
    everybody_is_there_once(rig, human).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_postgres_refuses_fails_alone_and_is_no_trouble() {
    let Some(database) = Database::create().await else { return };
    let store = Store::open(&database.url, Arc::new(SystemClock)).await.unwrap();
    let keep = async |source: &str| {
        let delivery = Delivery {
            id: DeliveryId(SystemClock.new_id()),
            source: source.to_owned(),
            method: "POST".to_owned(),
            query: None,
            headers: Vec::new(),
            body: b"{}".to_vec(),
            received_at: SystemClock.now(),
        };
        store.inbox().keep(Arrival { delivery, waiting: None, unverified_token: None }).await
    };
    // PostgreSQL refuses U+0000 in a text. No source has such a name.
    let names: Vec<&str> = (0..60).map(|number| if number % 20 == 7 { "sh\0p" } else { "shop" }).collect();
    let kept = futures_util::future::join_all(names.iter().map(|name| keep(name))).await;
    for (name, kept) in names.iter().zip(kept) {
        assert_eq!(kept.is_ok(), *name == "shop", "{name:?}: {kept:?}");
    }
    assert_eq!(store.counts().await.unwrap().deliveries, 57);
    assert_eq!(*store.trouble().borrow(), None);
    store.close().await;
    database.remove().await;
}

/// A folder on a disk of its own, as small as that; `None` where that is not allowed.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        eprintln!(
            "skipped: only root may mount a small disk; the limit on a file's size is tested in its place"
        );
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a test that failed may still have it open.
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_sqlite_is_full_for_a_while() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    let Some(disk) = SmallDisk::mount(&rig.folder, "8m") else { return };
    rig.boot().await;
    assert_eq!(send(&rig, &lead(0)).await.0, 200);
    let filling = rig.folder.join("filling");
    let fill = || {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&filling).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    fill();
    let refused = send_until_refused(&rig, 1).await;
    until_not_ready(&rig, "full").await;
    std::fs::remove_file(&filling).unwrap();
    insist(&rig, &lead(refused)).await;
    until_ready(&rig).await;
    rig.settle().await;
    let (counts, stats) = (rig.counts().await, rig.stats());
    let humans = usize::try_from(refused + 1).unwrap();
    assert_eq!((stats.contacts, stats.deals), (humans, humans), "{counts:?} {stats:?}");
    rig.shut_down().await;
    // The folder is a mount and cannot be removed before it is none.
    let folder = rig.folder.clone();
    drop(disk);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_sqlite_cannot_be_written_for_a_while() {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    let mark = |how: &str| {
        let files = ["leadfold.db", "leadfold.db-wal"].map(|name| rig.folder.join(name));
        let marked = Command::new("chattr").arg(how).args(files).output();
        marked.is_ok_and(|marked| marked.status.success())
    };
    assert_eq!(send(&rig, &lead(0)).await.0, 200);
    if !mark("+i") {
        eprintln!("skipped: only root on a file system with attributes may make an open file immutable");
        return rig.end().await;
    }
    let refused = send_until_refused(&rig, 1).await;
    until_not_ready(&rig, "").await;
    assert!(mark("-i"));
    insist(&rig, &lead(refused)).await;
    until_ready(&rig).await;
    everybody_is_there_once(rig, refused + 1).await;
}
