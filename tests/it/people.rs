//! Who is who, corrected by hand: what is moved goes back, in any order, on both databases, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use leadfold::clock::Clock;
use leadfold::id::{MergeId, PersonId};
use leadfold::lead::IdentifierKind::{Email, Phone};
use leadfold::rules::Mode;
use leadfold::sandbox::Faults;
use leadfold::store::corrections::{Asked, By, MadeOne, NotDone, TakenApart};
use leadfold::store::profile::MergeRow;
use leadfold::store::syncs::{Evidence, SyncState};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use crate::many::on_both;
use crate::replay;
use crate::rig::{Account, IMPATIENT, Rig, event, now_millis, until};
use crate::store::{Story, record, run, said, texts};

/// Runs statements behind leadfold's back.
async fn run_all(url: &str, sql: &str) {
    let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
    if url.starts_with("sqlite") {
        let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
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

/// Everything that says what belongs to whom, but for edges between those who are apart.
async fn state(story: &Story) -> Vec<String> {
    let sql = "SELECT id || ' ' || COALESCE(merged_into, '-') || ' ' || COALESCE(names, '-') || ' ' || CAST(merges AS TEXT) \
           FROM persons \
         UNION ALL SELECT kind || ' ' || scope || ' ' || value || ' ' || person FROM identifiers \
         UNION ALL SELECT value || ' used by ' || person || CAST(since AS TEXT) FROM holders \
         UNION ALL SELECT 'lead ' || id || ' ' || person FROM leads \
         UNION ALL SELECT 'sync ' || id || ' ' || person || ' ' || state FROM syncs \
         UNION ALL SELECT 'link ' || record || ' ' || person FROM links \
         UNION ALL SELECT 'maybe ' || one || ' ' || other || ' ' || lead || CAST(at AS TEXT) FROM possible_duplicates \
         ORDER BY 1";
    texts(&story.url, sql).await
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
        run_all(&story.url, &sql.join(";")).await;
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

#[test]
fn what_was_written_before_names_were_is_still_undone() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(on_both(async |story| {
        let leads = story
            .leads(&[said("old", &[(Phone, "+380671110001")]), said("old", &[(Email, "a@example.org")])])
            .await;
        let (one, other) = (story.person(leads[0].0).await, story.person(leads[1].0).await);
        let made = merge(story, one, other).await.unwrap();
        let profile = story.store.profile(one, 5).await.unwrap().unwrap();
        assert_eq!((profile.identifiers.len(), profile.leads.len(), profile.merges.len()), (2, 2, 1));
        let moved = format!(
            "{{\"identifiers\":[{{\"kind\":\"email\",\"scope\":\"\",\"value\":\"a@example.org\"}}],\
             \"leads\":[\"{}\"],\"links\":[]}}",
            leads[1].0
        );
        run(&story.url, &format!("UPDATE merges SET moved = '{moved}'")).await;
        split(story, made.merge).await.unwrap();
        assert_eq!((story.person(leads[1].0).await, story.owner(leads[1].1).await), (other, other));
        let made = merge(story, one, other).await.unwrap();
        assert!(made.overrules.is_some(), "somebody had taken them apart");
        run(&story.url, "UPDATE merges SET moved = '{}'").await;
        let before = state(story).await;
        assert_eq!(split(story, made.merge).await, Err(NotDone::Unreadable(made.merge)));
        assert_eq!(state(story).await, before, "half of it is not undone");
    }));
}

#[test]
fn who_was_split_off_and_came_back_is_not_given_away_by_another_split() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(on_both(async |story| {
        let leads = story
            .leads(&[
                said("old", &[(Phone, "+380671110011")]),
                said("old", &[(Phone, "+380671110012")]),
                said("old", &[(Phone, "+380671110013")]),
            ])
            .await;
        let mut people = Vec::new();
        for (lead, _) in &leads {
            people.push(story.person(*lead).await);
        }
        let [oldest, second, youngest] = people[..] else { unreachable!("three") };
        let first = merge(story, second, youngest).await.unwrap();
        let later = merge(story, oldest, second).await.unwrap();
        split(story, first.merge).await.unwrap();
        merge(story, oldest, youngest).await.unwrap();
        split(story, later.merge).await.unwrap();
        let now =
            [story.person(leads[0].0).await, story.person(leads[1].0).await, story.person(leads[2].0).await];
        assert_eq!(now, [oldest, second, oldest]);
        let phone =
            format!("SELECT person FROM identifiers WHERE value = '+380671110013' AND person = '{oldest}'");
        assert_eq!(texts(&story.url, &phone).await.len(), 1);
    }));
}

#[test]
fn a_profile_lists_the_merges_of_those_who_are_part_of_it_and_of_nobody_else() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(on_both(async |story| {
        let leads = story
            .leads(&[
                said("old", &[(Phone, "+380671110021")]),
                said("old", &[(Phone, "+380671110022")]),
                said("old", &[(Phone, "+380671110023")]),
            ])
            .await;
        let (oldest, second, youngest) =
            (story.person(leads[0].0).await, story.person(leads[1].0).await, story.person(leads[2].0).await);
        let merges = async |person| {
            let profile = story.store.profile(person, 1).await.unwrap().unwrap();
            let merge = |merge: &MergeRow| (merge.id, merge.undone_at.is_some());
            profile.merges.iter().map(merge).collect::<Vec<_>>()
        };
        let within = merge(story, second, youngest).await.unwrap().merge;
        let undone = merge(story, oldest, second).await.unwrap().merge;
        assert_eq!(merges(oldest).await, [(undone, false), (within, false)]);
        split(story, undone).await.unwrap();
        assert_eq!(merges(oldest).await, [(undone, true)], "who became the other is not theirs");
        assert_eq!(merges(second).await, [(undone, true), (within, false)]);
    }));
}

#[test]
fn what_is_in_hand_is_waited_for_and_what_was_sent_holds_a_split_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(on_both(async |story| {
        let lease = story.lease("crm").await;
        let leads = story
            .leads(&[said("crm", &[(Phone, "+380671110001")]), said("crm", &[(Email, "a@example.org")])])
            .await;
        let [(lead, sync), (other_lead, other_sync)] = leads[..] else { unreachable!() };
        let (one, other) = (story.person(lead).await, story.person(other_lead).await);
        assert_eq!(story.claim(&lease, Mode::Live).await.len(), 2);
        let not = merge(story, one, other).await.unwrap_err();
        assert!(matches!(&not, NotDone::UnderWay(leads) if leads.len() == 2), "{not}");
        for sync in [sync, other_sync] {
            story.release(&lease, sync, SyncState::Ready, None).await;
        }
        let made = merge(story, one, other).await.unwrap();
        // Of the two, the one that is not claimed waits for the other.
        let claimed = story.claimed_ids(&lease).await;
        assert_eq!(claimed.len(), 1);
        let not = split(story, made.merge).await.unwrap_err();
        assert!(not.to_string().contains("under way to the CRM"), "{not}");
        story.release(&lease, claimed[0], SyncState::Ready, None).await;
        split(story, made.merge).await.unwrap();

        // A CRM record does not join them again, and the sync goes back into the queue.
        story.claimed_ids(&lease).await;
        let evidence = Evidence { sync, from: one, into: other, record: record("c-1") };
        let clock = Arc::clone(&story.clock) as Arc<dyn Clock>;
        story.store.merge_on_evidence(&lease, evidence, clock).await.unwrap();
        assert_ne!(story.person(lead).await, story.person(other_lead).await);
        assert!(story.claimed_ids(&lease).await.contains(&sync));
    }));
}

fn lead(chat: &str, variables: &Value) -> Value {
    event(chat, "telegram", variables.clone(), now_millis())
}

async fn ask(rig: &Rig, path: &str, body: Value) -> Value {
    let (status, text) = rig.post_to(path, body.to_string()).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Who has this, as far as `/api` says.
async fn person(rig: &Rig, who: &str) -> String {
    let found = ask(rig, "/api/people", json!({ "who": who })).await;
    assert_eq!(found["people"].as_array().unwrap().len(), 1, "{who}: {found}");
    found["people"][0]["id"].as_str().unwrap().to_owned()
}

fn command(rig: &Rig, arguments: &[&str]) -> String {
    let (code, out, err) = replay::run(rig, &[&["people"], arguments].concat());
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_salesperson_corrects_and_corrects_back() {
    for account in [Account::Sandbox, Account::SandboxOnPostgres] {
        let Some(rig) = Rig::start_on(account, Faults::default(), IMPATIENT).await else { return };
        let (phone, email) = ("0671112233", "olena@example.org");
        rig.post(&lead("one", &json!({ "phone": phone }))).await;
        rig.post(&lead("two", &json!({ "email": email }))).await;
        rig.settle().await;
        let (one, two) = (person(&rig, phone).await, person(&rig, email).await);
        assert_ne!(one, two);
        let out = command(&rig, &["show", "+38 067 111-22-33"]);
        assert!(
            out.contains(&one) && out.contains("contact ") && out.contains("phone +380671112233"),
            "{out}"
        );

        let (code, out, err) = replay::run(&rig, &["people", "same", phone, email, "--yes"]);
        assert!(code == 2 && err.contains("not among the possible duplicates"), "{out}{err}");
        let (code, out, err) = replay::run(&rig, &["people", "merge", phone, email]);
        assert!(code == 2 && out.contains("would become part of") && err.contains("--yes"), "{out}{err}");
        assert_ne!(person(&rig, phone).await, person(&rig, email).await, "looking changes nothing");
        let out = command(&rig, &["merge", phone, email, "--yes", "--note", "the same voice"]);
        assert!(out.contains("Two contacts in one CRM are of one human then"), "{out}");
        assert_eq!(person(&rig, email).await, one, "the older stays");
        let (code, _, err) = replay::run(&rig, &["people", "merge", &one, &two, "--yes"]);
        assert!(code == 2 && err.contains("already"), "{err}");

        // Something more comes while they are one.
        let mut more = lead("one", &json!({ "phone": "0671112244" }));
        more[0]["contact"]["name"] = Value::Null;
        rig.post(&more).await;
        rig.settle().await;
        let out = command(&rig, &["show", phone, "--leads", "1"]);
        assert!(out.contains("Олена: 3 leads"), "the name is in a lead that is not shown:\n{out}");
        let out = command(&rig, &["split", email, "--yes"]);
        assert!(out.contains(&format!("phone +380671112244, with {one}: it came since")), "{out}");
        assert_eq!((person(&rig, phone).await, person(&rig, email).await), (one.clone(), two.clone()));
        assert_eq!(person(&rig, "0671112244").await, one);
        let counts = rig.counts().await;
        assert_eq!(counts.needs_attention, 0, "nobody is asked to merge their contacts any more: {counts:?}");

        // The same evidence again joins nobody.
        rig.post(&lead("two", &json!({ "phone": phone, "email": email }))).await;
        rig.settle().await;
        assert_eq!((person(&rig, phone).await, person(&rig, email).await), (one.clone(), two.clone()));
        assert_eq!(rig.stats().contacts, 2, "each is brought to their own contact");
        let (code, out, _) = replay::run(&rig, &["people", "duplicates"]);
        assert!(code == 0 && out.contains("Nobody waits"), "{out}");
        let out = command(&rig, &["show", &two]);
        for part in ["undone on", "the same voice", "split, of", "is not"] {
            assert!(out.contains(part), "it does not say {part}:\n{out}");
        }
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_corrected_says_why() {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    let nobody = "0190a0b0-0000-7000-8000-000000000000";
    rig.post(&lead("one", &json!({ "phone": "0671112233" }))).await;
    rig.settle().await;
    let one = person(&rig, "one").await;
    for (path, body, status, says) in [
        ("/api/people", json!({}), 400, "who"),
        ("/api/people/merge", json!({ "one": one, "other": "two" }), 422, "nobody is known by 'two'"),
        ("/api/people/merge", json!({ "one": one, "other": one }), 422, "already"),
        ("/api/people/split", json!({ "what": nobody }), 422, "there is no merge"),
        ("/api/people/split", json!({ "what": one }), 422, "nothing to split"),
        ("/api/people/not-same", json!({ "one": one, "other": nobody }), 422, "nobody is known by"),
    ] {
        let (given, text) = rig.post_to(path, body.to_string()).await;
        assert_eq!(given, status, "{path} {body}: {text}");
        assert!(text.contains(says), "{path} {body} does not say {says}: {text}");
    }
    let (code, out, _) = replay::run(&rig, &["people", "show", nobody]);
    assert!(code == 1 && out.contains("Nobody is known"), "{out}");
    rig.end().await;
}

/// Merged and split again and again, while their leads come, are prepared by two processes, and are pushed.
#[tokio::test(flavor = "multi_thread")]
async fn corrections_and_leads_do_not_get_into_each_others_way() {
    let Some(rig) = Rig::start_on(Account::SandboxOnPostgres, Faults::default(), IMPATIENT).await else {
        return;
    };
    let other = rig.another().await;
    let said = [("one", json!({ "phone": "0671112233" })), ("two", json!({ "email": "olena@example.org" }))];
    for (chat, variables) in &said {
        rig.post(&lead(chat, variables)).await;
    }
    rig.settle().await;
    let (one, two) = (person(&rig, "one").await, person(&rig, "two").await);
    let come = async {
        for number in 0..40 {
            for (chat, _) in &said {
                rig.post(&lead(chat, &json!({ "order": number }))).await;
            }
        }
    };
    let correct = async {
        for _ in 0..8 {
            // In a storm something of theirs is under way most of the time, and the answer is to try again.
            for (path, body) in [
                ("/api/people/merge", json!({ "one": one, "other": two })),
                ("/api/people/split", json!({ "what": two })),
            ] {
                until("what is under way is there", async || {
                    let (status, text) = rig.post_to(path, body.to_string()).await;
                    assert!(status == 200 || text.contains("under way to the CRM"), "{path}: {text}");
                    status == 200
                })
                .await;
            }
        }
    };
    tokio::join!(come, correct);
    rig.settle().await;
    other.stop().await;
    let database = rig.postgres.as_ref().unwrap();
    assert_eq!(database.run(crate::many::LEFT_BEHIND).await, [0]);
    let astray =
        "SELECT COUNT(*) FROM syncs JOIN leads ON leads.id = syncs.lead WHERE leads.person <> syncs.person";
    assert_eq!(database.run(astray).await, [0]);
    assert_eq!((person(&rig, "one").await, person(&rig, "two").await), (one, two));
    assert_eq!(rig.stats().contacts, 2);
    rig.end().await;
}
