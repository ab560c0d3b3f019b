//! A process of its own whose files may not grow, and one that is killed again and again while it has a rate limit.

use std::process::Command;
use std::time::{Duration, Instant};

use leadfold::sandbox::{Faults, Rate, Running, Sandbox, SandboxOptions};
use tokio::time::sleep;

use super::lead;
use crate::kill::server::Home;
use crate::rig::{IMPATIENT, MAPPING, PATIENCE, Rig};

async fn sandbox(faults: Faults) -> Running {
    Sandbox::start(SandboxOptions { faults, ..SandboxOptions::default() }).await.unwrap()
}

/// What a limit on the size of files does is what a full disk does, and anybody may set one.
#[tokio::test(flavor = "multi_thread")]
async fn files_may_not_grow_for_a_while_and_the_log_says_so_once() {
    let crm = sandbox(Faults::default()).await;
    let home = Home::new(crm.addr(), IMPATIENT);
    // The signal that comes with the limit would end the process before it sees the error.
    let server = home.start_by("sh", &["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).await;
    let limit = |size: &str| {
        let size = format!("--fsize={size}:unlimited");
        let set = Command::new("prlimit").args(["--pid", &server.id().to_string(), &size]).status();
        assert!(set.unwrap().success());
    };
    let mut humans = 0;
    for _ in 0..20 {
        assert!(home.post(server.address, &lead(humans)).await);
        humans += 1;
    }
    home.until(|counts| counts.open + counts.received == 0 && counts.synced == 20).await;
    limit("65536");
    let began = Instant::now();
    while home.post(server.address, &lead(humans)).await {
        humans += 1;
        assert!(began.elapsed() < PATIENCE, "nothing was refused");
    }
    let (ready, health) =
        (format!("http://{}/readyz", server.address), format!("http://{}/healthz", server.address));
    while home.get(&ready).await.0 != 503 {
        assert!(began.elapsed() < PATIENCE, "{}", home.log());
        sleep(Duration::from_millis(20)).await;
    }
    let (_, why) = home.get(&ready).await;
    assert!(why.contains("the database takes no writes") && why.contains("disk I/O"), "{why}");
    assert_eq!(home.get(&health).await.0, 200, "it lives");
    for _ in 0..300 {
        assert!(!home.post(server.address, &lead(humans)).await, "{}", home.log());
    }
    limit("unlimited");
    while !home.post(server.address, &lead(humans)).await {
        assert!(began.elapsed() < PATIENCE, "{}", home.log());
        sleep(Duration::from_millis(50)).await;
    }
    humans += 1;
    home.until(|counts| {
        counts.open + counts.received == 0 && counts.synced >= i64::try_from(humans).unwrap()
    })
    .await;
    let stats = crm.stats();
    assert_eq!(
        (stats.contacts, stats.deals),
        (usize::try_from(humans).unwrap(), usize::try_from(humans).unwrap())
    );
    assert_eq!(home.logged("the database takes writes again"), 1, "{}", home.log());
    let complaints = home.logged("ERROR") + home.logged("WARN");
    assert!((1..40).contains(&complaints), "{complaints} complaints about one trouble:\n{}", home.log());
    drop(server);
    home.remove();
}

/// Killed as soon as it has called, and again: each new process could make one call more than the CRM allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_kept_by_a_process_that_is_killed_again_and_again() {
    let rate = Rate { count: 8, per_ms: 8_000, retry_after: false };
    let crm = sandbox(Faults { rate: Some(rate), ..Faults::default() }).await;
    let home = Home::new(crm.addr(), "rate: 8/8s, timeout: 5s, settle: 700ms");
    for human in 0..9 {
        let server = home.start().await;
        let before = crm.stats().calls_total + crm.stats().rate_limited;
        assert!(home.post(server.address, &lead(human)).await);
        // Whoever has forgotten what was called calls at once.
        let began = Instant::now();
        while crm.stats().calls_total + crm.stats().rate_limited == before
            && began.elapsed() < Duration::from_millis(400)
        {
            sleep(Duration::from_millis(10)).await;
        }
        server.kill();
    }
    assert_eq!(crm.stats().rate_limited, 0, "{:?}\n{}", crm.stats(), home.log());
    assert!(crm.stats().calls_total > 0, "{}", home.log());
    home.remove();
}

/// How much longer the destination holds.
fn held(rig: &Rig) -> Option<Duration> {
    rig.app().workers().first().and_then(|worker| worker.crm().usage().held_for)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crm_that_asks_for_an_hour_gets_it_also_after_a_restart_and_an_edit() {
    let rate = Rate { count: 1, per_ms: 3_600_000, retry_after: true };
    let faults = Faults { rate: Some(rate), ..Faults::default() };
    let mut rig = Rig::start_with(faults, "timeout: 5s", &MAPPING.replace("    owners: sales\n", "")).await;
    let began = Instant::now();
    assert_eq!(rig.post(&lead(0)).await, 200);
    while rig.stats().rate_limited == 0 {
        assert!(began.elapsed() < PATIENCE, "{:?}", rig.stats());
        sleep(Duration::from_millis(20)).await;
    }
    // The CRM's answer is stored before leadfold goes on.
    sleep(Duration::from_millis(300)).await;
    let asked = rig.stats().rate_limited;
    rig.restart().await;
    assert!(held(&rig).is_some_and(|left| left > Duration::from_mins(50)), "{:?}", held(&rig));
    rig.edit("workspace.yaml", "token: demo", "share: 50%, token: demo");
    rig.save();
    rig.app().reload();
    let edited =
        |rig: &Rig| rig.app().workers().iter().any(|worker| (worker.destination().share - 0.5).abs() < 1e-9);
    while !edited(&rig) {
        assert!(began.elapsed() < PATIENCE, "the edit is not taken");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(held(&rig).is_some_and(|left| left > Duration::from_mins(50)), "{:?}", held(&rig));
    assert_eq!(rig.post(&lead(1)).await, 200);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(rig.stats().rate_limited, asked, "{:?}", rig.stats());
    rig.shut_down().await;
    std::fs::remove_dir_all(&rig.folder).unwrap();
}
