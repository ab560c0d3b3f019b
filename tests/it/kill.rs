//! kill -9 at random moments, under every fault that the sandbox knows: nothing acknowledged is lost, nothing is doubled,
//! and work goes on soon after every start.
//!
//! One database and one CRM live through all rounds, so that what one round broke the next ones trip over.
//! `LEADFOLD_KILL_ROUNDS` says how many rounds, `LEADFOLD_KILL_SEED` repeats the draws of an earlier run (the moments of
//! the operating system it cannot repeat).

pub(crate) mod server;
mod trial;
mod upheaval;

use std::time::{Duration, Instant};

use tokio::time::sleep;

use self::trial::{
    DESTINATION, FOUND_AGAIN, Outcome, Trial, faults, has_phone, setting, task_steps, timeline,
};
use crate::rig::PATIENCE;

/// Rounds unless `LEADFOLD_KILL_ROUNDS` says otherwise.
const ROUNDS: u64 = 50;
/// Within this after SIGTERM it has ended.
const STOPS: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_loses_and_doubles_nothing() {
    let mut trial = Trial::start(true, DESTINATION).await;
    trial.rounds(setting("LEADFOLD_KILL_ROUNDS").unwrap_or(ROUNDS)).await;
    let outcome = trial.come_to_rest().await;
    let humans = trial.nothing_is_lost_or_doubled(&outcome);
    let Outcome { counts, leads } = &outcome;
    for lead in leads {
        // Kept as ours until the human gives a phone, then it goes along with that lead.
        let kept = lead.row.state == "filtered" && !has_phone(lead);
        assert!(lead.row.state == "synced" || kept, "not in the CRM: {counts:?}\n{}", timeline(lead));
    }
    // Each task is looked for by itself, because one that is missing and one that is doubled leave the sum as it is.
    for lead in leads {
        for step in task_steps(lead) {
            let tasks = trial.tasks_of(step).await;
            assert_eq!(tasks, 1, "a lead left {tasks} tasks: {counts:?}\n{}", timeline(lead));
        }
        trial.has_its_chat(lead).await;
    }
    let (stats, synced) = (trial.crm.stats(), leads.iter().filter(|lead| lead.row.state == "synced").count());
    assert_eq!(stats.tasks, synced - humans, "{stats:?} {counts:?}");
    trial.home.remove();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_without_a_look_up_it_leaves_no_task_twice() {
    let mut trial = Trial::start(false, &format!("{DESTINATION}, markers: false")).await;
    trial.rounds(setting("LEADFOLD_KILL_ROUNDS").unwrap_or(ROUNDS).div_ceil(5)).await;
    let outcome = trial.come_to_rest().await;
    trial.nothing_is_lost_or_doubled(&outcome);
    let Outcome { counts, leads } = &outcome;
    let ended = |state: &str| leads.iter().filter(|lead| lead.row.state == state).count();
    let kept = leads.iter().filter(|lead| lead.row.state == "filtered" && !has_phone(lead)).count();
    assert_eq!(ended("synced") + ended("needs-attention") + kept, leads.len(), "{counts:?}");
    let in_state = |state: &str| leads.iter().flat_map(task_steps).filter(|step| step.state == state).count();
    let (written, unsure) = (in_state("done"), in_state("unknown") + in_state("sent"));
    let tasks = trial.crm.stats().tasks;
    assert!(
        (written..=written + unsure).contains(&tasks),
        "{tasks} tasks, but {written} were written and {unsure} may have been: {counts:?}"
    );
    trial.home.remove();
}

/// Posts a lead of this human and kills the server once the CRM has committed the call that follows `answered`, and
/// hangs. After the restart that record is found and nothing is made twice.
async fn killed_in_silence_after(
    trial: &mut Trial,
    human: u64,
    answered: &str,
    expect: (usize, usize, usize),
) {
    let misbehave = |trial: &Trial, text: &str| trial.crm.set_faults(serde_json::from_str(text).unwrap());
    let calls = |trial: &Trial| trial.crm.stats().calls.get(answered).copied().unwrap_or(0);
    let records = |trial: &Trial| {
        let stats = trial.crm.stats();
        stats.contacts + stats.deals + stats.tasks
    };
    let adoptions = |trial: &Trial| trial.home.logged(FOUND_AGAIN);
    let (calls_before, adoptions_before) = (calls(trial), adoptions(trial));
    let server = trial.home.start().await;
    // While an answer is on its slow way, the CRM is told to be silent from then on.
    misbehave(trial, r#"{"latency_ms": 1000}"#);
    let (at, body) = trial.press_in(human, "telegram");
    assert!(trial.home.post(server.address, &body).await);
    trial.acknowledged.insert(at);
    wait_for(answered, || calls(trial) > calls_before).await;
    let before = records(trial) + usize::from(answered.starts_with("POST"));
    misbehave(trial, r#"{"timeout_after": 1.0}"#);
    wait_for("a record without an answer", || records(trial) > before).await;
    server.kill();
    misbehave(trial, "{}");
    let outcome = trial.come_to_rest().await;
    trial.nothing_is_lost_or_doubled(&outcome);
    let stats = trial.crm.stats();
    assert_eq!((stats.contacts, stats.deals, stats.tasks), expect, "after {answered}: {:?}", outcome.counts);
    assert_eq!(outcome.counts.open, 0, "after {answered}: {:?}", outcome.counts);
    assert!(adoptions(trial) > adoptions_before, "after {answered}:\n{}", trial.home.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_crm_is_silent_it_finds_what_was_written() {
    let mut trial = Trial::start(true, "timeout: 30s, settle: 1500ms").await;
    killed_in_silence_after(&mut trial, 0, "GET /contacts", (1, 1, 0)).await;
    killed_in_silence_after(&mut trial, 1, "POST /contacts", (2, 2, 0)).await;
    killed_in_silence_after(&mut trial, 1, "GET /contacts/{id}", (2, 2, 1)).await;
    trial.home.remove();
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_ends_in_time_with_everything_acknowledged_on_disk() {
    let mut trial = Trial::start(true, DESTINATION).await;
    for (round, patience) in
        (0..3).zip([Duration::from_millis(30), Duration::from_millis(90), Duration::from_millis(200)])
    {
        trial.crm.set_faults(faults(6, true));
        let mut server = trial.home.start().await;
        let posts = trial.post(server.address, round, 150);
        sleep(patience).await;
        server.terminate();
        let status = server.ended(STOPS).await;
        let code = status.and_then(|status| status.code());
        assert_eq!(code, Some(0), "{STOPS:?} after SIGTERM: {status:?}\n{}", trial.home.log());
        trial.acknowledge(posts).await;
        // Nobody has started again: what was acknowledged is in the registry by now, prepared or not.
        let registry = trial.home.registry().await;
        let kept = registry.counts().await.unwrap().deliveries;
        registry.close().await;
        assert!(usize::try_from(kept).unwrap() >= trial.acknowledged.len(), "{kept} deliveries");
    }
    let outcome = trial.come_to_rest().await;
    trial.nothing_is_lost_or_doubled(&outcome);
    trial.home.remove();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_database_does_not_start() {
    let mut trial = Trial::start(true, DESTINATION).await;
    let server = trial.home.start().await;
    let (code, said) = trial.home.start_second().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("another leadfold already runs on") && said.contains("leadfold.db"), "{said}");
    // The first one did not notice, and a killed one leaves no lock behind.
    let (at, body) = trial.press_in(0, "telegram");
    assert!(trial.home.post(server.address, &body).await);
    trial.acknowledged.insert(at);
    server.kill();
    let outcome = trial.come_to_rest().await;
    trial.nothing_is_lost_or_doubled(&outcome);
    assert_eq!(trial.home.logged("\u{1b}"), 0, "a log that is no terminal has no colours");
    trial.home.remove();
}

async fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        sleep(Duration::from_millis(5)).await;
    }
}
