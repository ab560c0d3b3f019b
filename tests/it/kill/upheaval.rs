//! The workspace changes again and again while leads arrive, the CRM misbehaves, people replay and answer, and the server is
//! killed: nothing acknowledged is lost, nothing is doubled, and in the end everything has come to its end.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::server::Server;
use super::trial::{DESTINATION, Trial, faults, has_phone, setting, task_steps, timeline};
use crate::rig::{MAPPING, WORKSPACE};

/// Rounds unless `LEADFOLD_UPHEAVAL_ROUNDS` says otherwise.
const ROUNDS: u64 = 5;
/// Changes in one round.
const CHANGES: u64 = 4;
/// Every state that a replay may be asked for.
const STATES: [&str; 8] =
    ["ready", "waiting", "pushing", "unknown", "held", "synced", "filtered", "needs-attention"];

/// A workspace whose only account is never written to.
const WITHOUT: &str =
    "destinations:\n  spare: { crm: sandbox, url: \"http://127.0.0.1:9\", token: demo, mode: paused }\n";

/// What somebody changes.
enum Change {
    /// To another share of the rate limit, in this mode: the worker is exchanged.
    Mode(&'static str, u64),
    /// The account is taken out of the workspace, and its source with it.
    Remove,
    /// Other people take deals.
    Pool(&'static str),
    /// Everything is replayed.
    Replay(&'static str),
    /// Some of what is held is pushed.
    Push,
    /// kill -9, and a new start.
    Kill,
}

fn workspace(crm: SocketAddr, settings: &str, pool: &str) -> String {
    WORKSPACE
        .replace("{ADDRESS}", &crm.to_string())
        .replace("{DESTINATION}", settings)
        .replace("[anna, borys, dana]", pool)
}

fn change(trial: &mut Trial) -> Change {
    let share = 50 + trial.below(50);
    match trial.below(12) {
        0 | 1 => Change::Mode("live", share),
        2 | 3 => Change::Mode("observe", share),
        4 => Change::Mode("paused", share),
        5 => Change::Remove,
        6 => Change::Pool("[dana]"),
        7 => Change::Pool("[anna, vira]"),
        8 => Change::Replay("resume"),
        9 => Change::Replay("replan"),
        10 => Change::Push,
        _ => Change::Kill,
    }
}

async fn make(trial: &mut Trial, server: Server, change: Change) -> Server {
    let crm = trial.crm.addr();
    let write = |workspace: &str| {
        trial.home.write("workspace.yaml", workspace);
        trial.home.write_mapping(MAPPING);
        server.look_again();
    };
    match change {
        Change::Mode(mode, share) => {
            write(&workspace(crm, &format!("{DESTINATION}, mode: {mode}, share: {share}%"), "[anna, borys]"));
        }
        Change::Pool(pool) => write(&workspace(crm, DESTINATION, pool)),
        Change::Remove => {
            trial.home.write("workspace.yaml", WITHOUT);
            trial.home.remove_mapping();
            server.look_again();
        }
        Change::Replay(how) => {
            ask(trial, &server, "/api/replay", &json!({ "select": { "states": STATES }, "how": how })).await;
        }
        Change::Push => {
            push(trial, &server, 3).await;
        }
        Change::Kill => {
            server.kill();
            return trial.home.start().await;
        }
    }
    server
}

async fn push(trial: &Trial, server: &Server, limit: u64) -> u64 {
    let push = json!({ "destination": "crm", "answer": "push", "limit": limit });
    ask(trial, server, "/api/held/answer", &push).await["count"].as_u64().unwrap_or(0)
}

/// What the server answers; it may refuse, because the workspace of the moment has no such destination.
async fn ask(trial: &Trial, server: &Server, path: &str, body: &Value) -> Value {
    let (status, text) = trial.home.ask(server.address, path, body).await;
    assert!(status == 200 || status == 422, "{path}: {status} {text}\n{}", trial.home.log());
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_meanwhile_nothing_is_lost_or_doubled() {
    let mut trial = Trial::start(true, DESTINATION).await;
    let mut server = trial.home.start().await;
    for round in 0..setting("LEADFOLD_UPHEAVAL_ROUNDS").unwrap_or(ROUNDS) {
        trial.crm.set_faults(faults(round, true));
        let posts = trial.post(server.address, round, 1_200);
        for _ in 0..CHANGES {
            let change = change(&mut trial);
            server = make(&mut trial, server, change).await;
            let pause = trial.millis_below(400);
            sleep(pause).await;
        }
        trial.acknowledge(posts).await;
    }
    let last = workspace(trial.crm.addr(), DESTINATION, "[anna, borys, dana]");
    trial.home.write("workspace.yaml", &last);
    trial.home.write_mapping(MAPPING);
    server.kill();
    let server = trial.home.start().await;
    trial.home.until(|counts| counts.open + counts.received + counts.waiting_deliveries == 0).await;
    while push(&trial, &server, 1_000).await > 0 {}
    server.kill();

    let outcome = trial.come_to_rest().await;
    trial.nothing_is_lost_or_doubled(&outcome);
    for lead in &outcome.leads {
        let kept = lead.row.state == "filtered" && !has_phone(lead);
        assert!(
            lead.row.state == "synced" || kept,
            "not in the CRM: {:?}\n{}",
            outcome.counts,
            timeline(lead)
        );
        for step in task_steps(lead).filter(|step| step.state == "done") {
            let tasks = trial.tasks_of(step).await;
            assert_eq!(tasks, 1, "a lead left {tasks} tasks: {:?}\n{}", outcome.counts, timeline(lead));
        }
        trial.has_its_chat(lead).await;
    }
    trial.home.remove();
}
