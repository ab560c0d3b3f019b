//! No state without somebody who looks at it again: every state that the schema names is put into the database, and
//! whoever is responsible must move it on, or leave it alone where it is an end.

use std::collections::BTreeSet;

use leadfold::sandbox::Faults;
use serde_json::json;

use crate::rig::{IMPATIENT, Rig, event, now_millis};

const SCHEMA: &str = include_str!("../../migrations/0001_registry.sql");

/// The words that a table's `state` column may hold, as the schema says.
fn states(table: &str) -> BTreeSet<&'static str> {
    let (_, rest) = SCHEMA.split_once(&format!("CREATE TABLE {table} (")).unwrap();
    let (_, rest) = rest.split_once("CHECK (state IN").unwrap();
    let (words, _) = rest.split_once("))").unwrap();
    words.split('\'').skip(1).step_by(2).collect()
}

fn known<'a>(states: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    states.into_iter().collect()
}

/// A leadfold that brought as many humans to the CRM and was shut down.
async fn synced(humans: usize) -> Rig {
    let mut rig = Rig::start(Faults::default(), IMPATIENT).await;
    let start = now_millis();
    for number in 0..humans {
        let phone = format!("+38067{:07}", 1_100_003 + number * 16_411);
        let at = start + i64::try_from(number).unwrap();
        rig.post(&event(&format!("chat-{number}"), "telegram", json!({ "phone": phone }), at)).await;
    }
    rig.settle().await;
    assert_eq!(rig.counts().await.synced, i64::try_from(humans).unwrap());
    rig.shut_down().await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_a_sync_is_looked_at_again_or_is_an_end() {
    // State, whether its plan is kept and what its last step is said to be, and where it must come to.
    let table = [
        ("ready", None, "synced"),
        ("pushing", Some("planned"), "synced"),
        ("unknown", Some("unknown"), "synced"),
        ("waiting", None, "synced"),
        ("held", None, "held"),
        ("synced", Some("done"), "synced"),
        ("filtered", None, "filtered"),
        ("needs-attention", Some("rejected"), "needs-attention"),
    ];
    assert_eq!(states("syncs"), known(table.map(|(state, ..)| state)), "say here who looks at a new state");
    let mut rig = synced(table.len()).await;
    let ids = rig.sql("SELECT id FROM syncs ORDER BY sequence").await;
    for ((state, step, _), id) in table.iter().zip(&ids) {
        let id = &id[0];
        rig.sql(&format!("UPDATE syncs SET state = '{state}', next_at = 1, claimed = 1 WHERE id = '{id}'"))
            .await;
        match step {
            None => rig.sql(&format!("DELETE FROM steps WHERE sync = '{id}'")).await,
            Some(step) => {
                rig.sql(&format!(
                    "UPDATE steps SET state = '{step}', record = NULL WHERE sync = '{id}' AND kind = 'create deal' \
                     AND '{step}' <> 'done'"
                ))
                .await
            }
        };
    }
    rig.boot().await;
    rig.settle().await;
    let ended = rig.sql("SELECT state FROM syncs ORDER BY sequence").await;
    for ((state, _, expect), ended) in table.iter().zip(&ended) {
        assert_eq!(ended[0], *expect, "from {state}");
    }
    assert_eq!(rig.stats().contacts, table.len(), "{:?}", rig.stats());
    assert_eq!(rig.stats().duplicate_contacts, 0);
    // What is held is nobody's to look at but a person's: it is shown, counted and answered for.
    assert_eq!(rig.counts().await.held, 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_a_step_is_looked_at_again_or_is_an_end() {
    let table = [
        ("planned", "done"),
        ("sent", "done"),
        ("unknown", "done"),
        ("done", "done"),
        ("rejected", "rejected"),
    ];
    assert_eq!(states("steps"), known(table.map(|(state, _)| state)), "say here who looks at a new state");
    let mut rig = synced(table.len()).await;
    let ids = rig.sql("SELECT id FROM syncs ORDER BY sequence").await;
    for ((state, _), id) in table.iter().zip(&ids) {
        let id = &id[0];
        let sync = if *state == "rejected" { "needs-attention" } else { "pushing" };
        rig.sql(&format!("UPDATE syncs SET state = '{sync}', next_at = 1, claimed = 1 WHERE id = '{id}'"))
            .await;
        rig.sql(&format!("UPDATE steps SET state = '{state}' WHERE sync = '{id}' AND kind = 'create deal'"))
            .await;
    }
    rig.boot().await;
    rig.settle().await;
    let ended = rig.sql("SELECT steps.state FROM steps JOIN syncs ON syncs.id = sync WHERE kind = 'create deal' ORDER BY sequence").await;
    for ((state, expect), ended) in table.iter().zip(&ended) {
        assert_eq!(ended[0], *expect, "from {state}");
    }
    // What was sent or unknown was found by its marker; only what was planned, which is to say not sent, was sent.
    let stats = rig.stats();
    assert_eq!((stats.contacts, stats.deals), (table.len(), table.len() + 1), "{stats:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_a_delivery_is_looked_at_again_or_is_an_end() {
    let table = [
        ("received", "prepared"),
        ("waiting", "prepared"),
        ("prepared", "prepared"),
        ("unreadable", "unreadable"),
        ("refused", "refused"),
    ];
    assert_eq!(
        states("deliveries"),
        known(table.map(|(state, _)| state)),
        "say here who looks at a new state"
    );
    let mut rig = synced(table.len()).await;
    let ids = rig.sql("SELECT id FROM deliveries ORDER BY id").await;
    for ((state, _), id) in table.iter().zip(&ids) {
        rig.sql(&format!("UPDATE deliveries SET state = '{state}' WHERE id = '{}'", id[0])).await;
    }
    rig.boot().await;
    rig.settle().await;
    let ended = rig.deliveries().await;
    for ((state, expect), (ended, _)) in table.iter().zip(&ended) {
        assert_eq!(ended, expect, "from {state}");
    }
    let counts = rig.counts().await;
    let humans = i64::try_from(table.len()).unwrap();
    assert_eq!(
        (counts.leads, counts.redeliveries),
        (humans, 2),
        "prepared twice is counted once: {counts:?}"
    );
    rig.end().await;
}

#[test]
fn the_states_of_a_lead_are_ends_or_have_syncs() {
    assert_eq!(states("leads"), known(["mapped", "filtered", "needs-attention"]));
}
