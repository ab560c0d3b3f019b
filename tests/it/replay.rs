//! Replaying leads: only what is asked is touched, and nothing is ever made twice that was not asked for twice.

use std::process::{Command, Stdio};
use std::time::Duration;

use leadfold::sandbox::{Faults, Sandbox, SandboxOptions};
use leadfold::store::registry::Counts;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::kill::server::Home;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};

/// Runs leadfold on the rig's database, beside the server; exit code, standard output, standard error.
pub(crate) fn run(rig: &Rig, arguments: &[&str]) -> (i32, String, String) {
    command(&rig.database(), rig.token, arguments)
}

fn command(database: &str, token: Option<&str>, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadfold"));
    command.args(arguments).args(["--database", database]).env_clear().stdin(Stdio::null());
    if let Some(token) = token {
        command.env("LEADFOLD_API_TOKEN", token);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn replay(rig: &Rig, arguments: &[&str]) -> (i32, String, String) {
    run(rig, &[&["replay"], arguments].concat())
}

/// It must succeed.
fn replayed(rig: &Rig, arguments: &[&str]) -> String {
    let (code, out, err) = replay(rig, &[arguments, &["--yes"]].concat());
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    out
}

fn written(rig: &Rig) -> (usize, usize, usize) {
    let stats = rig.stats();
    (stats.contacts, stats.deals, stats.tasks)
}

/// Of the human with this number; `more` are further variables.
fn lead(human: i64, at: i64, more: &Value) -> Value {
    let mut variables = json!({ "phone": format!("+38067{:07}", 1_100_003 + human * 16_411) });
    variables.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event(&format!("chat-{human}"), "telegram", variables, at)
}

/// A mapping that fails on everybody who says their age in words.
fn failing() -> String {
    MAPPING.replace("title != 'bot_block'", "contact.variables.age / 1 > 17")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_mapping_brings_what_needed_attention_to_the_crm() {
    let mut rig = Rig::start_with(Faults::default(), IMPATIENT, &failing()).await;
    let start = now_millis();
    for human in 0..3 {
        rig.post(&lead(human, start + human, &json!({ "age": "old" }))).await;
    }
    rig.post(&lead(3, start + 3, &json!({ "age": 5 }))).await;
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((counts.needs_attention, counts.filtered, counts.synced), (3, 1, 0), "{counts:?}");
    let (_, page) = rig.get("/api/leads").await;
    assert!(page.contains("leadfold replay --cause mapping_error --replan"), "{page}");

    // Going on does not help, and trying the same mapping again neither.
    let (code, out, _) = replay(&rig, &["--cause", "mapping_error", "--resume", "--yes"]);
    assert!(code == 1 && out.contains("3  left alone: the mapping made no lead of it"), "{out}");
    let (code, out, _) = replay(&rig, &["--cause", "mapping_error", "--replan", "--yes"]);
    assert!(code == 1 && out.contains("3  left alone: the active mapping cannot make a lead"), "{out}");
    assert_eq!(rig.counts().await.needs_attention, 3);

    rig.edit("sendpulse.yaml", "contact.variables.age / 1 > 17", "title != 'bot_block'");
    rig.restart().await;
    let (code, out, err) = replay(&rig, &["--cause", "mapping_error", "--replan", "--dry-run"]);
    assert_eq!(code, 0, "{out}{err}");
    for part in ["3 leads", "3  needs-attention, mapping_error, 'sendpulse'", "then:  branch 'all', to crm"] {
        assert!(out.contains(part), "the preview does not say {part}:\n{out}");
    }
    assert_eq!(rig.counts().await.needs_attention, 3, "a preview changes nothing");
    let (code, _, err) = replay(&rig, &["--cause", "mapping_error", "--replan"]);
    assert!(code == 2 && err.contains("--yes"), "{err}");

    replayed(&rig, &["--cause", "mapping_error", "--replan", "--limit", "1"]);
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.needs_attention), ((1, 1, 0), 2));
    replayed(&rig, &["--cause", "mapping_error", "--replan"]);
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((written(&rig), counts.synced, counts.filtered), ((3, 3, 0), 3, 1), "{counts:?}");
    // Whoever was replayed is known like anybody else: the next lead is a repeat.
    rig.post(&lead(0, now_millis(), &json!({}))).await;
    rig.settle().await;
    assert_eq!(written(&rig), (3, 3, 1));

    // What a rule kept out comes in when the rule is gone.
    replayed(&rig, &["--state", "filtered", "--source", "sendpulse", "--replan"]);
    rig.settle().await;
    assert_eq!(written(&rig), (4, 4, 1));
    let (code, out, _) = replay(&rig, &["--cause", "mapping_error", "--replan", "--yes"]);
    assert!(code == 1 && out.contains("Nothing matches"), "{out}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synced_lead_that_is_planned_again_updates_and_makes_nothing_twice() {
    let mapping = MAPPING.replace("        viber_chat:", "        {CITY}\n        viber_chat:");
    let mut rig =
        Rig::start_with(Faults::default(), IMPATIENT, &mapping.replace("{CITY}", "other: \"\"")).await;
    let start = now_millis();
    rig.post(&lead(0, start, &json!({ "city": "Kyiv" }))).await;
    rig.settle().await;
    rig.post(&lead(0, start + 1, &json!({ "city": "Lviv" }))).await;
    rig.settle().await;
    assert_eq!(written(&rig), (1, 1, 1));
    let (code, out, _) = replay(&rig, &["--state", "synced", "--resume", "--yes"]);
    assert!(code == 1 && out.contains("2  left alone: in the CRM already"), "{out}");

    rig.edit("sendpulse.yaml", "other: \"\"", "city: \"{{ contact.variables.city }}\"");
    rig.restart().await;
    replayed(&rig, &["--state", "synced", "--replan"]);
    rig.settle().await;
    assert_eq!(written(&rig), (1, 1, 1), "no second deal and no second task");
    let lead = rig.json("/api/leads").await["leads"][0]["id"].as_str().unwrap().to_owned();
    let (_, out, _) = run(&rig, &["explain", &lead]);
    assert!(
        out.contains("brought here before") && out.contains("create task: done, before the last replay"),
        "the past stays: {out}"
    );
    let first = rig.sql("SELECT id FROM leads ORDER BY sequence").await[0][0].clone();
    let detail = rig.json(&format!("/api/leads/{first}")).await;
    assert!(detail["syncs"][0]["reasons"].to_string().contains("The lead changes contact"), "{detail}");
    let (_, versions) = (detail, rig.sql("SELECT DISTINCT version FROM leads").await);
    assert_eq!(versions.len(), 1, "both are pinned to the version that mapped them last");

    // Again and again: nothing more.
    replayed(&rig, &[&lead, &first, "--replan"]);
    rig.settle().await;
    assert_eq!(written(&rig), (1, 1, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn force_makes_the_deal_and_says_what_it_breaks() {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    rig.post(&lead(0, now_millis(), &json!({}))).await;
    // Without phone or email: kept as ours by the rules.
    rig.post(&event("chat-x", "telegram", json!([]), now_millis())).await;
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.filtered), ((1, 1, 0), 1));
    let (code, out, _) = replay(&rig, &["--state", "synced", "--state", "filtered", "--force", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("Force: 2 leads")
            && out.contains("who have a deal there already, as far as leadfold knows: 1."),
        "{out}"
    );
    replayed(&rig, &["--state", "synced", "--state", "filtered", "--force"]);
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.synced), ((2, 3, 0), 2));
    let (_, page) = rig.get("/api/leads").await;
    assert!(page.contains("\"synced\""), "{page}");
    // Once is once: planned again, it is a lead like any other.
    replayed(&rig, &["--state", "synced", "--replan"]);
    rig.settle().await;
    assert_eq!(written(&rig), (2, 3, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_step_is_planned_anew_behind_what_was_done() {
    let mut rig = Rig::start(Faults::default(), IMPATIENT).await;
    rig.post(&lead(0, now_millis(), &json!({}))).await;
    rig.settle().await;
    rig.shut_down().await;
    // As if the CRM had refused the deal after it made the contact.
    for sql in [
        "UPDATE steps SET state = 'rejected', record = NULL WHERE kind = 'create deal'",
        "UPDATE syncs SET state = 'needs-attention', why = '{\"code\":\"crm_rejected\",\"text\":\"no such stage\"}'",
        "DELETE FROM links WHERE kind = 'deal'",
    ] {
        rig.sql(sql).await;
    }
    rig.boot().await;
    rig.settle().await;
    assert_eq!(rig.counts().await.needs_attention, 1, "nobody goes on by themselves");
    // The deal of the sandbox is open, so the plan is made with a look at what there is now.
    let out = replayed(&rig, &["--cause", "crm_rejected", "--destination", "crm", "--resume"]);
    assert!(out.contains("such as: no such stage") && out.contains("Resumed 1 lead"), "{out}");
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.synced), ((1, 1, 1), 1));
    let steps = rig.sql("SELECT kind, state, past FROM steps ORDER BY id").await;
    let expect =
        [["create contact", "done", "1"], ["create deal", "rejected", "1"], ["create task", "done", "0"]];
    assert_eq!(steps, expect);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_doubt_is_never_blindly_repeated() {
    let faults = |text: &str| serde_json::from_str::<Faults>(text).unwrap();
    let blind = "timeout: 500ms, settle: 700ms, markers: false";
    let rig = Rig::start(faults(r#"{"marker_lookup": false}"#), blind).await;
    rig.post(&lead(0, now_millis(), &json!({}))).await;
    rig.settle().await;
    // The task is written, and the answer is lost.
    rig.post(&lead(0, now_millis(), &json!({}))).await;
    rig.settle().await;
    assert_eq!(written(&rig), (1, 1, 1));
    rig.sql("UPDATE steps SET state = 'unknown', record = NULL WHERE kind = 'create task'").await;
    rig.sql(
        "UPDATE syncs SET state = 'needs-attention', why = '{\"code\":\"blind_step_unknown\",\"text\":\"?\"}' \
         WHERE id = (SELECT sync FROM steps WHERE kind = 'create task')",
    )
    .await;
    for how in ["--resume", "--resume"] {
        replayed(&rig, &["--cause", "blind_step_unknown", how]);
        rig.settle().await;
        assert_eq!((written(&rig), rig.counts().await.needs_attention), ((1, 1, 1), 1), "{how}");
    }
    let (code, out, _) = replay(&rig, &["--cause", "blind_step_unknown", "--replan", "--yes"]);
    assert!(code == 1 && out.contains("a step of it may be in the CRM"), "{out}");
    assert_eq!(rig.counts().await.needs_attention, 1);
    let (_, page) = rig.get("/api/leads").await;
    assert!(page.contains("--force` sends it again"), "{page}");
    // A person has looked, and says that it is missing.
    replayed(&rig, &["--cause", "blind_step_unknown", "--force"]);
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((written(&rig), counts.synced), ((1, 1, 2), 2), "exactly that step, no deal: {counts:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_looked_up_when_the_lead_goes_on() {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    rig.post(&lead(0, now_millis(), &json!({}))).await;
    rig.settle().await;
    rig.sql("UPDATE steps SET state = 'unknown', record = NULL WHERE kind = 'create deal'").await;
    rig.sql("UPDATE syncs SET state = 'needs-attention'").await;
    replayed(&rig, &["--state", "needs-attention", "--resume"]);
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.synced), ((1, 1, 0), 1), "found by its marker");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaying_while_leads_are_under_way_doubles_nothing() {
    const HUMANS: usize = 40;
    let faults =
        r#"{"latency_ms": [0, 20], "fail_before": 0.05, "timeout_after": 0.02, "search_lag_ms": 100}"#;
    let destination = "timeout: 300ms, settle: 700ms, search_lag: 150ms";
    let rig = Rig::start(serde_json::from_str(faults).unwrap(), destination).await;
    let start = now_millis();
    let presses: Vec<Value> = (0..2 * HUMANS)
        .map(|press| {
            let press = i64::try_from(press).unwrap();
            lead(press % i64::try_from(HUMANS).unwrap(), start + press, &json!({}))
        })
        .collect();
    // Two runs at once, of everything that there is, whatever it is doing.
    let storm = |how: &'static str| {
        let rig = &rig;
        async move {
            let any = ["ready", "waiting", "pushing", "unknown", "synced", "filtered", "needs-attention"];
            let body = json!({ "select": { "states": any }, "how": how }).to_string();
            for _ in 0..30 {
                let (status, text) = rig.post_to("/api/replay", body.as_str()).await;
                assert_eq!(status, 200, "{text}");
                sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::join!(rig.post_all(&presses, 20), storm("replan"), storm("replan"), storm("resume"));
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!(written(&rig), (HUMANS, HUMANS, HUMANS), "{counts:?} {:?}", rig.stats());
    assert_eq!((counts.synced, counts.needs_attention), (80, 0), "{counts:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_replays_it_loses_and_doubles_nothing() {
    const HUMANS: i64 = 40;
    let crm = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let home = Home::new(crm.addr(), IMPATIENT);
    home.write_mapping(&failing());
    let server = home.start().await;
    let start = now_millis();
    for human in 0..HUMANS {
        assert!(home.post(server.address, &lead(human, start + human, &json!({ "age": "old" }))).await);
    }
    home.until(|counts: &Counts| counts.needs_attention == HUMANS).await;
    server.kill();
    home.write_mapping(MAPPING);
    // Servers and commands die in the middle of it, each at another moment.
    for round in 0..6_u64 {
        let server = home.start().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadfold"));
        command.args([
            "replay",
            "--cause",
            "mapping_error",
            "--replan",
            "--yes",
            "--database",
            &home.database(),
        ]);
        command.env("LEADFOLD_API_TOKEN", "s3cret").stdin(Stdio::null());
        let mut command = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(20 + round * 25)).await;
        if round % 2 == 0 {
            command.kill().unwrap();
        }
        server.kill();
        command.wait().unwrap();
    }
    // Nobody serves now: the command writes itself.
    let (_, out, err) = command_at(&home, &["replay", "--cause", "mapping_error", "--replan", "--yes"]);
    assert_eq!(err, "", "{out}");
    let server = home.start().await;
    home.until(|counts: &Counts| counts.synced == HUMANS).await;
    let stats = crm.stats();
    let humans = usize::try_from(HUMANS).unwrap();
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (humans, humans, 0), "{stats:?}");
    server.kill();
    home.remove();
}

fn command_at(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    command(&home.database(), None, arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_could_not_be_read_is_read_again() {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    let (status, _) = rig.post_to("/in/sendpulse/demo", "{not json").await;
    assert_eq!(status, 200);
    rig.settle().await;
    assert_eq!(rig.counts().await.unreadable, 1);
    // Still unreadable: it ends where it was.
    let out = replayed(&rig, &["--state", "unreadable", "--source", "sendpulse", "--resume"]);
    assert!(out.contains("1  unreadable, 'sendpulse'"), "{out}");
    rig.settle().await;
    assert_eq!(rig.counts().await.unreadable, 1);
    // As a later version of leadfold may read it.
    let body = lead(0, now_millis(), &json!({})).to_string();
    rig.sql(&format!("UPDATE deliveries SET body = '{body}'")).await;
    replayed(&rig, &["--state", "unreadable", "--replan"]);
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((written(&rig), counts.unreadable, counts.synced), ((1, 1, 0), 0, 1), "{counts:?}");
    let (code, out, _) = replay(&rig, &["--state", "unreadable", "--replan", "--yes"]);
    assert!(code == 1 && out.contains("Nothing matches"), "{out}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_is_touched() {
    let mut rig = Rig::start(Faults::default(), IMPATIENT).await;
    let start = now_millis();
    for human in 0..4 {
        rig.post(&lead(human, start + human, &json!({}))).await;
    }
    rig.settle().await;
    rig.shut_down().await;
    let reason = |code: &str| format!("{{\"code\":\"{code}\",\"text\":\"t\"}}");
    for (sequence, code) in [(1, "a_b"), (2, "axb"), (3, "a_b_c")] {
        rig.sql(&format!(
            "UPDATE syncs SET state = 'needs-attention', why = '{}' WHERE sequence = {sequence}",
            reason(code)
        ))
        .await;
    }
    rig.boot().await;
    let look = |arguments: &[&str]| {
        let (_, out, err) = replay(&rig, &[arguments, &["--resume", "--dry-run", "--json"]].concat());
        let answer: Value =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err}"));
        answer["preview"]["count"].as_u64().unwrap()
    };
    let id = rig.sql("SELECT id FROM leads ORDER BY sequence").await[0][0].clone();
    for (arguments, expect) in [
        (&["--cause", "a_b"][..], 1),
        (&["--cause", "a"][..], 0),
        (&["--state", "needs-attention"][..], 3),
        (&["--state", "needs-attention", "--limit", "2"][..], 2),
        (&["--source", "sendpulse"][..], 3),
        (&["--source", "shop"][..], 0),
        (&["--destination", "crm"][..], 3),
        (&["--destination", "other"][..], 0),
        (&["--from", "1h"][..], 3),
        (&["--to", "1h"][..], 0),
        (&["--from", "2999-01-01"][..], 0),
        (&[&*id][..], 1),
        (&[&*id, "--cause", "axb"][..], 0),
    ] {
        assert_eq!(look(arguments), expect, "{arguments:?}");
    }
    replayed(&rig, &["--cause", "a_b", "--resume"]);
    rig.settle().await;
    assert_eq!(rig.counts().await.needs_attention, 2);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_answered_with_what_to_do() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some("s3cret");
    rig.boot().await;
    let nothing = "0190a0b0-0000-7000-8000-000000000000";
    let database = rig.database();
    for (token, arguments, says) in [
        (None, &["replay", nothing, "--resume"][..], "wants a token: set LEADFOLD_API_TOKEN"),
        (Some("wrong"), &["replay", nothing, "--resume"][..], "does not accept this token"),
        (Some("s3cret"), &["replay", "--resume"][..], "which leads?"),
        (Some("s3cret"), &["replay", nothing][..], "--replan"),
        (Some("s3cret"), &["replay", "0671234567", "--resume"][..], "0671234567"),
        (Some("s3cret"), &["replay", "--state", "unreadable", "--cause", "x", "--resume"][..], "--source"),
        (Some("s3cret"), &["replay", "--from", "yesterday", "--resume"][..], "2026-05-01"),
        (Some("s3cret"), &["replay", nothing, "--resume", "--json"][..], "--dry-run"),
        (
            Some("s3cret"),
            &["replay", nothing, "--resume", "--server", "http://127.0.0.1:9"][..],
            "does not answer",
        ),
    ] {
        let (code, out, err) = command(&database, token, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?} does not say {says}: {err}");
    }
    let server = rig.url("");
    let (code, out, err) =
        command("sqlite:///nowhere.db", Some("s3cret"), &["live", "crm", "--server", &server]);
    assert!(code == 0 && out.contains("nothing is held"), "named, no database is needed here: {err}");
    rig.shut_down().await;
    let (code, out, err) = command(&database, None, &["replay", nothing, "--resume", "--yes"]);
    assert!(code == 1 && out.contains("Nothing matches"), "nobody serves, so it looks itself: {out}{err}");
    std::fs::remove_dir_all(&rig.folder).unwrap();
    let (code, _, err) = command(&database, None, &["live", "crm"]);
    assert!(code == 2 && err.contains("there is no database at"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_refuses_what_it_does_not_understand() {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    for (path, body, status, says) in [
        ("/api/replay", "{", 400, "this is not what /api/replay takes"),
        ("/api/replay", r#"{"select": {}, "how": "resume"}"#, 422, "which leads?"),
        ("/api/replay", r#"{"select": {"state": ["synced"]}, "how": "resume"}"#, 400, "unknown field"),
        (
            "/api/replay",
            r#"{"select": {"states": ["gone"]}, "how": "resume"}"#,
            422,
            "there is no state 'gone'",
        ),
        ("/api/replay/preview", r#"{"select": {"source": "x"}, "how": "again"}"#, 400, "again"),
        ("/api/held", r#"{"destination": "x"}"#, 422, "no destination 'x'"),
        ("/api/held/answer", r#"{"destination": "crm", "answer": "later"}"#, 400, "later"),
    ] {
        let (given, text) = rig.post_to(path, body).await;
        assert_eq!(given, status, "{path}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["error"].as_str().unwrap().contains(says), "{path}: {text}");
    }
    rig.end().await;
}
