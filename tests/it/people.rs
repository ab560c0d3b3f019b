//! Who is who, corrected by hand: what is moved goes back, in any order, on both databases, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use leadfold::clock::{Clock, SystemClock};
use leadfold::id::{MergeId, PersonId};
use leadfold::lead::IdentifierKind::{Chat, Email, Phone};
use leadfold::plan::Reason;
use leadfold::rules::Mode;
use leadfold::store::corrections::{Asked, By, MadeOne, NotDone, TakenApart};
use leadfold::store::syncs::{Evidence, SyncState};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};

use crate::postgres::Database;
use crate::store::{Story, run, said};

/// On both databases; on PostgreSQL where there is one.
async fn on_both(test: impl AsyncFn(&Story)) {
    let folder = std::env::temp_dir().join(format!("leadfold-people-{}", SystemClock.new_id()));
    let url = format!("sqlite://{}", folder.join("leadfold.db").display());
    let story = Story::begin(url.clone(), url).await;
    test(&story).await;
    story.store.close().await;
    std::fs::remove_dir_all(folder).unwrap();
    let Some(database) = Database::create().await else { return };
    let story = Story::begin(database.url.clone(), database.url.clone()).await;
    test(&story).await;
    story.store.close().await;
    database.remove().await;
}

/// The first column of what a statement answers, as texts.
async fn texts(url: &str, sql: &str) -> Vec<String> {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    if url.starts_with("sqlite") {
        let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        let rows = connection.fetch_all(sqlx::query(sql)).await.unwrap();
        connection.close().await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    } else {
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        let rows = connection.fetch_all(sqlx::query(sql)).await.unwrap();
        connection.close().await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

fn by(story: &Story) -> By {
    let clock = Arc::clone(&story.clock) as Arc<dyn Clock>;
    By { author: Some("olha".to_owned()), note: None, only_look: false, clock }
}

fn look(story: &Story) -> By {
    By { only_look: true, ..by(story) }
}

async fn merge(story: &Story, one: PersonId, other: PersonId) -> Result<MadeOne, NotDone> {
    story.store.make_one(one, other, Asked::Merge, by(story)).await.unwrap()
}

async fn split(story: &Story, merge: MergeId) -> Result<TakenApart, NotDone> {
    story.store.take_apart(merge, by(story)).await.unwrap()
}

/// Everything that says what belongs to whom. Edges between those who were made one are looked at apart.
async fn state(story: &Story) -> Vec<String> {
    let mut state = Vec::new();
    for sql in [
        "SELECT id || ' ' || COALESCE(merged_into, '-') || ' ' || COALESCE(names, '-') || ' ' || CAST(merges AS TEXT) \
           FROM persons ORDER BY 1",
        "SELECT kind || ' ' || scope || ' ' || value || ' ' || person FROM identifiers ORDER BY 1",
        "SELECT value || ' used by ' || person || CAST(since AS TEXT) FROM holders ORDER BY 1",
        "SELECT 'lead ' || id || ' ' || person FROM leads ORDER BY 1",
        "SELECT 'sync ' || id || ' ' || person || ' ' || state FROM syncs ORDER BY 1",
        "SELECT 'link ' || record || ' ' || person FROM links ORDER BY 1",
        "SELECT 'maybe ' || one || ' ' || other || ' ' || lead || CAST(at AS TEXT) FROM possible_duplicates ORDER BY 1",
    ] {
        state.extend(texts(&story.url, sql).await);
    }
    state
}

async fn edges(story: &Story) -> BTreeSet<String> {
    texts(&story.url, "SELECT one || ' ' || other FROM apart").await.into_iter().collect()
}

fn edge(one: PersonId, other: PersonId) -> String {
    format!("{} {}", one.min(other), one.max(other))
}

/// What some people have, and what is done to them. People and merges are named by number, modulo how many there are.
#[derive(Clone, Debug)]
struct Case {
    people: Vec<Vec<u8>>,
    keys: Vec<(usize, Vec<usize>)>,
    leads: Vec<(usize, bool)>,
    links: Vec<usize>,
    apart: Vec<(usize, usize)>,
    maybe: Vec<(usize, usize)>,
    merges: Vec<(usize, usize)>,
    undone: Vec<usize>,
}

fn cases() -> impl Strategy<Value = Case> {
    use proptest::collection::vec;
    let one = 0..6_usize;
    (
        vec(vec(0..12_u8, 0..7), 2..6),
        vec((one.clone(), vec(one.clone(), 0..3)), 0..8),
        vec((one.clone(), any::<bool>()), 0..6),
        vec(one.clone(), 0..4),
        vec((one.clone(), one.clone()), 0..3),
        vec((one.clone(), one.clone()), 0..4),
        vec((one.clone(), one.clone()), 1..5),
        vec(0..8_usize, 5),
    )
        .prop_map(|(people, keys, leads, links, apart, maybe, merges, undone)| Case {
            people,
            keys,
            leads,
            links,
            apart,
            maybe,
            merges,
            undone,
        })
}

impl Case {
    /// Stores it in a database without people.
    async fn store(&self, story: &Story) -> Vec<PersonId> {
        let people: Vec<PersonId> = self.people.iter().map(|_| PersonId(story.clock.new_id())).collect();
        let who = |number: &usize| people[number % people.len()];
        let mut sql = Vec::new();
        for table in
            ["persons", "identifiers", "holders", "leads", "syncs", "links", "apart", "possible_duplicates"]
        {
            sql.push(format!("DELETE FROM {table}"));
        }
        for (at, (person, names)) in people.iter().zip(&self.people).enumerate() {
            let names: BTreeSet<String> = names.iter().map(|name| format!("[\"n{name}\"]")).collect();
            let names: Vec<String> = names.into_iter().collect();
            let names = if names.is_empty() { "NULL".to_owned() } else { format!("'[{}]'", names.join(",")) };
            sql.push(format!(
                "INSERT INTO persons (id, created_at, names) VALUES ('{person}', {at}, {names})"
            ));
        }
        for (number, (owner, holders)) in self.keys.iter().enumerate() {
            let owner = who(owner);
            sql.push(format!(
                "INSERT INTO identifiers (kind, scope, value, person, shown, proof, first_seen, seen) \
                 VALUES ('phone', '', '+38067{number}', '{owner}', '+38067{number}', 'claimed', 0, 0)"
            ));
            for holder in holders.iter().map(who).filter(|holder| *holder != owner).collect::<BTreeSet<_>>() {
                sql.push(format!(
                    "INSERT INTO holders (kind, scope, value, person, since) \
                     VALUES ('phone', '', '+38067{number}', '{holder}', {number})"
                ));
            }
        }
        for (number, (owner, open)) in self.leads.iter().enumerate() {
            let (owner, lead, sync) = (who(owner), story.clock.new_id(), story.clock.new_id());
            let state = if *open { "ready" } else { "synced" };
            sql.push(format!(
                "INSERT INTO leads (id, event, source, version, sequence, person, state, conflicts, received_at) \
                 VALUES ('{lead}', '{lead}', 'shop', 'v1', {number}, '{owner}', 'mapped', '[]', 0)"
            ));
            sql.push(format!(
                "INSERT INTO syncs (id, lead, destination, person, sequence, priority, state, next_at, updated_at) \
                 VALUES ('{sync}', '{lead}', 'crm', '{owner}', {number}, 0, '{state}', 0, 0)"
            ));
        }
        for (number, owner) in self.links.iter().enumerate() {
            sql.push(format!(
                "INSERT INTO links (destination, kind, record, person, created_at) \
                 VALUES ('crm', 'contact', 'c-{number}', '{}', {number})",
                who(owner)
            ));
        }
        for (table, columns, values, pairs) in [
            ("apart", "since", "7", &self.apart),
            ("possible_duplicates", "lead, at", "'018f3f2e-0000-7000-8000-000000000001', 7", &self.maybe),
        ] {
            for (one, other) in pairs {
                let (one, other) = (who(one).min(who(other)), who(one).max(who(other)));
                if one != other {
                    sql.push(format!(
                        "INSERT INTO {table} (one, other, {columns}) VALUES ('{one}', '{other}', {values}) \
                         ON CONFLICT DO NOTHING"
                    ));
                }
            }
        }
        for sql in sql {
            run(&story.url, &sql).await;
        }
        people
    }

    async fn merge_and_undo(&self, story: &Story) {
        let people = self.store(story).await;
        let (before, apart_before) = (state(story).await, edges(story).await);
        let (mut merges, mut apart) = (Vec::new(), apart_before.clone());
        for (one, other) in &self.merges {
            let (one, other) = (people[one % people.len()], people[other % people.len()]);
            let at = state(story).await;
            let seen = story.store.make_one(one, other, Asked::Merge, look(story)).await.unwrap();
            assert_eq!(state(story).await, at, "looking changes nothing");
            match merge(story, one, other).await {
                Ok(made) => {
                    let seen = seen.unwrap();
                    assert_eq!(MadeOne { merge: made.merge, ..seen }, made, "as was said");
                    assert!(BTreeSet::from([made.from, made.into]) == BTreeSet::from([one, other]));
                    merges.push(made);
                }
                Err(not) => assert_eq!(seen, Err(not)),
            }
        }
        // Undone in any order.
        for number in &self.undone {
            if merges.is_empty() {
                break;
            }
            let made = merges.remove(number % merges.len());
            let at = state(story).await;
            let seen = story.store.take_apart(made.merge, look(story)).await.unwrap().unwrap();
            assert_eq!(state(story).await, at, "looking changes nothing");
            let taken = split(story, made.merge).await.unwrap();
            assert_eq!(taken, seen, "as was said");
            assert_eq!(taken.from, made.from);
            apart.insert(edge(taken.from, taken.into));
            apart.insert(edge(made.from, made.into));
            assert!(matches!(split(story, made.merge).await, Err(NotDone::Undone { .. })));
        }
        let two_contacts = "UPDATE syncs SET state = 'synced' WHERE state = 'needs-attention' AND why LIKE '{\"code\":\"two_contacts\"%'";
        if self.links.len() > self.links.iter().map(|link| link % people.len()).collect::<BTreeSet<_>>().len()
        {
            // Somebody had two contacts before as well, and is told of them now.
            run(&story.url, two_contacts).await;
        }
        let after = edges(story).await;
        // What is settled is not asked again.
        let asked = |row: &String| !after.iter().any(|edge| row.starts_with(&format!("maybe {edge}")));
        let [now, before] = [state(story).await, before]
            .map(|state| state.into_iter().filter(asked).collect::<Vec<String>>());
        assert_eq!(now, before);
        assert!(after.is_superset(&apart_before), "what somebody said stays: {after:?}");
        assert!(after.is_superset(&apart), "and nothing joins those again who were taken apart: {after:?}");
    }
}

#[test]
fn whatever_was_merged_is_as_it_was_before_once_it_is_undone() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(on_both(async |story| {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..24 {
            let case = cases().new_tree(&mut runner).unwrap().current();
            // Shown when the case fails.
            println!("{case:?}");
            case.merge_and_undo(story).await;
        }
    }));
}
