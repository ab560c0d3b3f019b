//! Rehearsing an edit on what came: it says what would be different, and it changes nothing.

use std::sync::Arc;

use leadfold::map::Files;
use leadfold::rehearse::{Rehearsal, Rehearsing};
use leadfold::sandbox::Faults;
use leadfold::store::Store;
use leadfold::store::rehearsal::Selection;
use leadfold::workspace::{Environment, compile_without_secrets};
use serde_json::json;

use crate::bots::stand_in::{Reply, StandIn};
use crate::commands::{Folder, leadfold, read};
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};

/// What the edited files would change for what is stored, from a connection that can only read.
async fn rehearse(rig: &Rig, edited: &Files, selection: Selection, at_most: usize) -> Rehearsal {
    let environment: Environment = Arc::new(|_| None);
    let store = Store::open_to_read(&rig.database()).await.unwrap();
    let (_, active) = store.active_version().await.unwrap().unwrap();
    let old = compile_without_secrets(&active, &environment).0;
    let (new, _) = compile_without_secrets(edited, &environment);
    assert!(new.is_sound(), "{:?}", new.problems);
    let rehearsing = Rehearsing::begin(&store, &old.workspace, &new.workspace).await.unwrap();
    let rehearsal = rehearsing.run(&selection, at_most, &mut |_| ()).await.unwrap();
    store.close().await;
    rehearsal
}

/// `count × place: old → new; place: old → new` for each group.
fn told(rehearsal: &Rehearsal) -> Vec<String> {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    rehearsal
        .groups
        .iter()
        .map(|group| {
            let differences: Vec<String> = group
                .differences
                .iter()
                .map(|shown| {
                    let (old, new) = (&shown.difference.old, &shown.difference.new);
                    let mark = if shown.same_for_all { "" } else { "~" };
                    format!("{mark}{}: {} → {}", shown.difference.place, side(old), side(new))
                })
                .collect();
            format!("{} × {}", group.count, differences.join("; "))
        })
        .collect()
}

fn edited(rig: &Rig, file: &str, from: &str, to: &str) -> Files {
    let mut files = rig.files.clone();
    let text = files.0.get_mut(file).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    *text = text.replace(from, to);
    files
}

/// Three people, one of whom comes twice, one without a phone, and a redelivery.
async fn some_leads() -> Rig {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    let at = now_millis();
    let first = event("a", "telegram", json!({ "phone": "0671234567" }), at);
    for body in [
        first.clone(),
        event("b", "telegram", json!({ "phone": "0501234567" }), at + 1),
        event("c", "telegram", json!({}), at + 2),
        first,
        event("a2", "viber", json!({ "phone": "+380671234567", "email": "a@example.com" }), at + 3),
    ] {
        rig.post_all(&[body], 1).await;
        rig.settle().await;
    }
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_rehearsed_on_what_was_known_when_each_lead_came() {
    let rig = some_leads().await;
    let all = Selection::default;
    let dump = async || {
        let mut rows = Vec::new();
        for table in ["versions", "active_version", "deliveries", "leads", "syncs", "steps", "links", "pools"]
        {
            rows.extend(rig.sql(&format!("SELECT * FROM {table} ORDER BY 1, 2")).await);
        }
        rows
    };
    let before = dump().await;

    let rehearsal = rehearse(&rig, &rig.files, all(), 100).await;
    let counts =
        (rehearsal.deliveries, rehearsal.events, rehearsal.redeliveries, rehearsal.same, rehearsal.changed);
    assert_eq!(counts, (5, 4, 1, 4, 0), "nothing changes with the same files");
    // A comment is another text and no other mapping.
    let comment = edited(&rig, "sendpulse.yaml", "leads:", "leads: # all of them");
    assert_eq!(rehearse(&rig, &comment, all(), 100).await.changed, 0);

    let stage = edited(&rig, "sendpulse.yaml", "stage: New", "stage: Hot");
    let rehearsal = rehearse(&rig, &stage, all(), 100).await;
    assert_eq!(told(&rehearsal), ["4 × deal.stage: New → Hot"], "many leads, one change");
    assert!(rehearsal.groups[0].example.lead.is_some());

    // Whoever was there already would be updated, who was not is created all the same.
    let update = edited(&rig, "sendpulse.yaml", "update: only_empty", "update: none");
    let rehearsal = rehearse(&rig, &update, all(), 100).await;
    assert_eq!(told(&rehearsal), ["1 × plan for crm: update contact, create task → create task"]);
    assert!(rehearsal.groups[0].because[0].contains("update: none"), "{:?}", rehearsal.groups[0].because);
    let never =
        edited(&rig, "sendpulse.yaml", "update: only_empty", "update: only_empty, create_deal: never");
    let rehearsal = rehearse(&rig, &never, all(), 100).await;
    let created = "2 × plan for crm: create contact, create deal → nothing: filtered (nothing_to_update)";
    assert!(told(&rehearsal).contains(&created.to_owned()), "{:?}", told(&rehearsal));

    // Values that differ from lead to lead are one change; what a lead loses is another.
    let title = edited(&rig, "sendpulse.yaml", "Lead from {{ bot.name }}", "Lead {{ contact.id }}");
    let titles = told(&rehearse(&rig, &title, all(), 100).await);
    assert_eq!(titles[0], "3 × ~deal.title: Lead from Polynia Shop → Lead c", "the newest is the example");
    assert!(
        titles[1].contains("create task: text:"),
        "a task names what differs, and now the title does: {titles:?}"
    );
    let filtered = edited(&rig, "sendpulse.yaml", "title != 'bot_block'", "contact.variables.phone");
    let told_filtered = told(&rehearse(&rig, &filtered, all(), 100).await);
    assert_eq!(told_filtered.len(), 1);
    assert!(told_filtered[0].starts_with("1 × outcome: a lead → filtered (no_branch)"), "{told_filtered:?}");
    let regions = edited(&rig, "sendpulse.yaml", "regions: [UA]", "regions: [PL]");
    let phones = told(&rehearse(&rig, &regions, all(), 100).await);
    assert!(phones.iter().any(|line| line.contains("phone: +380") && line.contains("→ -")), "{phones:?}");

    // A source that is renamed away, and a secret that nobody has here.
    let mut renamed = rig.files.clone();
    let text = renamed.0.remove("sendpulse.yaml").unwrap();
    renamed.0.insert("other.yaml".to_owned(), text.replace("token: demo", "token: \"${NOBODY_HAS_IT}\""));
    let told_renamed = told(&rehearse(&rig, &renamed, all(), 100).await);
    assert!(told_renamed[0].contains("outcome: a lead → waits"), "{told_renamed:?}");
    // A destination that is new gets a plan of its own.
    let mut two = edited(&rig, "sendpulse.yaml", "to: [crm]", "to: [crm, second]");
    let workspace = two.0.get_mut("workspace.yaml").unwrap();
    *workspace = workspace.replace(
        "destinations:\n",
        "destinations:\n  second: { crm: sandbox, url: \"${SECOND_URL}\", token: x }\n",
    );
    let second = told(&rehearse(&rig, &two, all(), 100).await);
    assert!(second.iter().all(|line| line.contains("destinations: crm → crm, second")), "{second:?}");
    assert!(
        second.iter().any(|line| line.contains("plan for second: - → create contact, create deal")),
        "{second:?}"
    );

    assert_eq!(dump().await, before, "a rehearsal writes nothing");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_chosen_by_number_time_and_source() {
    let rig = some_leads().await;
    let stage = edited(&rig, "sendpulse.yaml", "stage: New", "stage: Hot");
    let check = async |selection: Selection, at_most: usize, expect: usize| {
        let rehearsal = rehearse(&rig, &stage, selection.clone(), at_most).await;
        assert_eq!(rehearsal.deliveries, expect, "{selection:?} {at_most}");
    };
    check(Selection::default(), 2, 2).await;
    check(Selection::default(), 0, 0).await;
    check(Selection { source: Some("sendpulse".to_owned()), ..Selection::default() }, 100, 5).await;
    check(Selection { source: Some("other".to_owned()), ..Selection::default() }, 100, 0).await;
    let third: i64 =
        rig.sql("SELECT CAST(received_at AS TEXT) FROM deliveries ORDER BY id LIMIT 1 OFFSET 2").await[0][0]
            .parse()
            .unwrap();
    let third = jiff::Timestamp::from_millisecond(third).unwrap();
    check(Selection { from: Some(third), ..Selection::default() }, 100, 3).await;
    check(Selection { to: Some(third), ..Selection::default() }, 100, 2).await;
    check(Selection { from: Some(third), to: Some(third), ..Selection::default() }, 100, 0).await;
    rig.end().await;
}

/// The command, beside a server that runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_the_change_and_its_exit_code_says_whether_there_is_one() {
    let rig = some_leads().await;
    let folder = Folder::new();
    let write = |files: &Files| {
        std::fs::remove_dir_all(folder.path("mappings")).unwrap();
        std::fs::create_dir_all(folder.path("mappings")).unwrap();
        for (name, text) in &files.0 {
            std::fs::write(folder.path(&format!("mappings/{name}")), text).unwrap();
        }
    };
    let run = |more: &[&str]| {
        let (workspace, database) = (folder.path("mappings"), rig.database());
        let arguments = [&["rehearse", "--workspace", &workspace, "--database", &database], more].concat();
        read(leadfold(&arguments).output().unwrap())
    };
    write(&rig.files);
    let (code, said, _) = run(&[]);
    assert_eq!((code, said.contains("0 would change, 4 stay as they are.")), (0, true), "{said}");
    write(&edited(&rig, "sendpulse.yaml", "stage: New", "stage: \"Hot {{ contact.id }}\""));
    let (code, said, _) = run(&["--last", "10"]);
    assert_eq!(code, 1);
    assert!(said.contains("4 would change, 0 stay as they are.\n\n1 event of sendpulse:"), "{said}");
    assert!(said.contains("deal.stage  New → Hot a2") && said.contains("Not asked: the CRM."), "{said}");
    let (code, said, _) = run(&["--json", "--last", "1"]);
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &answer["rehearsal"]["changed"]), (1, &json!(1)));
    write(&edited(&rig, "sendpulse.yaml", "to: [crm]", "to: [crn]"));
    let (code, _, said) = run(&[]);
    assert_eq!((code, said.contains("sendpulse.yaml:6:10")), (2, true), "{said}");
    let (code, _, said) = run(&["--from", "yesterday"]);
    assert_eq!((code, said.contains("write 2026-05-01 or 2026-05-01T10:00")), (2, true), "{said}");
    rig.end().await;
}

/// What bots would be called for is part of a plan: other calls are shown, and none is made.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_would_be_others_are_shown() {
    let bot = StandIn::always(Reply::json(200, &json!({ "success": true }))).await;
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    let account = format!(
        "  bot: {{ bot: metabot, bot_id: 7, token: s3cret, url: \"{}\", chats: [\"sendpulse:*\"] }}\nowner_pools:",
        bot.url()
    );
    rig.edit("workspace.yaml", "owner_pools:", &account);
    rig.edit(
        "sendpulse.yaml",
        "    owners: sales",
        "    owners: sales\n    after_done: [ { to: bot, schedule_job: { script_code: welcome, add_tags: CRM } } ]",
    );
    rig.boot().await;
    for (chat, phone) in [("501", "0671234567"), ("502", "0501234567")] {
        rig.post_all(&[event(chat, "telegram", json!({ "phone": phone }), now_millis())], 1).await;
    }
    rig.settle().await;
    assert_eq!(bot.requests().len(), 2);
    let all = Selection::default;
    assert_eq!(rehearse(&rig, &rig.files, all(), 100).await.changed, 0);
    let check = async |from: &str, to: &str, expect: &[&str]| {
        let rehearsal = rehearse(&rig, &edited(&rig, "sendpulse.yaml", from, to), all(), 100).await;
        assert_eq!(told(&rehearsal), expect, "{to}");
    };
    check("add_tags: CRM", "add_tags: paid", &["2 × call 1 of bot: add_tags: CRM → paid"]).await;
    check(", add_tags: CRM", "", &["2 × call 1 of bot: add_tags: CRM → -"]).await;
    check(
        "\n    after_done: [ { to: bot, schedule_job: { script_code: welcome, add_tags: CRM } } ]",
        "",
        &["2 × called later: bot after_done → -; plan for bot: call schedule_job → -"],
    )
    .await;
    let second = "add_tags: CRM } }, { to: bot, when: \"{{ contact.id == '502' }}\", schedule_job: more";
    check(
        "add_tags: CRM }",
        second,
        &["1 × plan for bot: call schedule_job → call schedule_job, call schedule_job"],
    )
    .await;
    let found = "add_tags: \"{{ 'again' if found.contact else 'first' }}\"";
    check("add_tags: CRM", found, &["2 × call 1 of bot: add_tags: CRM → first"]).await;
    assert_eq!(bot.requests().len(), 2, "nothing is sent");
    rig.end().await;
}
