//! Many processes on one PostgreSQL, and people who become one while their leads are under way.
//!
//! Races are driven by hand: a connection beside leadfold's holds a row, whoever needs it waits there, and the test goes on
//! once the database says that so many wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use leadfold::app::{App, Follow};
use leadfold::clock::{Clock, SystemClock};
use leadfold::id::{LeadId, StepId, SyncId};
use leadfold::lead::IdentifierKind::{Chat, Email, Phone};
use leadfold::plan::RecordKind;
use leadfold::prepare::prepare;
use leadfold::rules::Mode;
use leadfold::sandbox::Faults;
use leadfold::store::Store;
use leadfold::store::inbox::Arrival;
use leadfold::store::lease::Lease;
use leadfold::store::ledger::Entry;
use leadfold::store::prepare::Stages;
use leadfold::store::replay::How;
use leadfold::store::syncs::{Evidence, Next, PlanToStore, StepEnd, SyncState};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection};

use crate::laws::{Registry, canonical, delivery, message, noon, shipped};
use crate::postgres::Database;
use crate::rig::{PATIENCE, Rig, event, now_millis};
use crate::store::{Story, record, run, said};

/// What must never be: something that belongs to a person who has become another.
pub(crate) const LEFT_BEHIND: &str = "SELECT (SELECT COUNT(*) FROM identifiers x JOIN persons p ON p.id = x.person \
       WHERE p.merged_into IS NOT NULL) \
     + (SELECT COUNT(*) FROM leads x JOIN persons p ON p.id = x.person WHERE p.merged_into IS NOT NULL) \
     + (SELECT COUNT(*) FROM syncs x JOIN persons p ON p.id = x.person WHERE p.merged_into IS NOT NULL) \
     + (SELECT COUNT(*) FROM links x JOIN persons p ON p.id = x.person WHERE p.merged_into IS NOT NULL)";

/// On both databases; on PostgreSQL where there is one.
pub(crate) async fn on_both(test: impl AsyncFn(&Story)) {
    let folder = std::env::temp_dir().join(format!("leadfold-many-{}", SystemClock.new_id()));
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

/// Two processes on one PostgreSQL.
pub(crate) async fn two(database: &Database) -> (Story, Story) {
    let one = Story::begin(database.url.clone(), database.url.clone()).await;
    let clock = Arc::clone(&one.clock);
    let store = Store::open(&one.url, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
    let other = Story { store, clock, url: one.url.clone() };
    (one, other)
}

pub(crate) async fn end(database: Database, stories: impl IntoIterator<Item = Story>) {
    assert_eq!(database.run(LEFT_BEHIND).await, [0]);
    for story in stories {
        story.store.close().await;
    }
    database.remove().await;
}

/// A transaction that stands in the way.
pub(crate) struct Hand(PgConnection);

impl Hand {
    pub(crate) async fn on(database: &Database, sql: &str) -> Self {
        let options: PgConnectOptions = database.url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        connection.execute("BEGIN").await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        Self(connection)
    }

    /// Holds what every preparer needs at its very end, when it has all other locks.
    async fn on_the_last_row(database: &Database) -> Self {
        Self::on(database, "SELECT 1 FROM counters WHERE name = 'sequence' FOR UPDATE").await
    }

    pub(crate) async fn let_go(mut self) {
        self.0.execute("ROLLBACK").await.unwrap();
    }

    /// Ends it, and what it did stays.
    pub(crate) async fn commit(mut self) {
        self.0.execute("COMMIT").await.unwrap();
    }
}

/// Returns once so many wait for a lock.
pub(crate) async fn waiting(database: &Database, count: i64) {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let look = async {
        while database.run(sql).await[0] < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waits = tokio::time::timeout(Duration::from_mins(1), look).await;
    waits.unwrap_or_else(|_| panic!("never did {count} wait: somebody does not lock what it must"));
}

pub(crate) fn to_store(
    sync: SyncId,
    person: leadfold::id::PersonId,
    plan: leadfold::plan::Plan,
) -> PlanToStore {
    let (carried, told) = (Vec::new(), Vec::new());
    PlanToStore { sync, person, plan, replaces: true, turn: None, adopt: None, carried, told, found: None }
}

/// Stores a plan for a claimed sync; its steps when it was taken.
pub(crate) async fn plan(story: &Story, lease: &Lease, sync: SyncId) -> Option<[StepId; 2]> {
    let plan = story.plan_of_two();
    let steps = [plan.steps[0].id, plan.steps[1].id];
    let person = story.owner(sync).await;
    story.enter(lease, Entry::Plan(to_store(sync, person, plan))).await.then_some(steps)
}

pub(crate) async fn sent(story: &Story, lease: &Lease, step: StepId) -> bool {
    story.enter(lease, Entry::Sent { steps: vec![step], pins: Vec::new() }).await
}

/// Its contact was made, and that was all.
pub(crate) async fn contact_made(story: &Story, lease: &Lease, sync: SyncId, step: StepId, contact: &str) {
    assert!(story.enter(lease, made(story, sync, step, contact)).await);
}

pub(crate) fn made(story: &Story, sync: SyncId, step: StepId, contact: &str) -> Entry {
    let done = StepEnd::Done { record: record(contact), link: Some((RecordKind::Contact, None)) };
    let next = Next::Release { state: SyncState::Synced, why: None, next_at: story.now(), attempts: 0 };
    Entry::Outcomes { sync, steps: vec![(step, done)], next }
}

/// A chat of which nothing else is known, and somebody's phone, each with a lead in our hands.
pub(crate) async fn two_chats(story: &Story, to: &str, phone: &str) -> (Lease, [(LeadId, SyncId); 2]) {
    let lease = story.lease(to).await;
    let leads = story.leads(&[said(to, &[(Chat, to)]), said(to, &[(Phone, phone)])]).await;
    let [chat, known] = leads[..] else { unreachable!() };
    assert_eq!(story.claimed_ids(&lease).await, [chat.1, known.1]);
    (lease, [chat, known])
}

/// An event says that they are one human.
pub(crate) async fn are_one(story: &Story, to: &str, phone: &str) -> (LeadId, SyncId) {
    story.leads(&[said(to, &[(Chat, to), (Phone, phone)])]).await[0]
}

#[tokio::test]
async fn a_sync_in_flight_finishes_before_the_other_of_the_same_human_is_planned() {
    on_both(async |story| {
        let (to, phone) = ("flight", "+380672220001");
        let (lease, [(_, chat), (_, known)]) = two_chats(story, to, phone).await;
        let [contact, _] = plan(story, &lease, chat).await.unwrap();
        assert!(sent(story, &lease, contact).await);
        let (_, third) = are_one(story, to, phone).await;
        assert!(plan(story, &lease, known).await.is_none(), "the contact of its human may be made just now");
        assert!(story.claimed_ids(&lease).await.is_empty(), "all wait for what is in flight");
        contact_made(story, &lease, chat, contact, "c-1").await;
        let claimed = story.claim(&lease, Mode::Live).await;
        let [next] = &claimed[..] else { panic!("one after another: {claimed:?}") };
        assert_eq!((next.id, &next.context.contact), (known, &Some(record("c-1"))));
        story.release(&lease, known, SyncState::Synced, None).await;
        assert_eq!(story.claimed_ids(&lease).await, [third]);
        assert_eq!(run(&story.url, LEFT_BEHIND).await, [0]);
    })
    .await;
}

#[tokio::test]
async fn plans_of_people_who_became_one_are_not_sent() {
    on_both(async |story| {
        let (to, phone) = ("unsent", "+380672220002");
        let (lease, [(_, chat), (_, known)]) = two_chats(story, to, phone).await;
        let [first, _] = plan(story, &lease, chat).await.unwrap();
        let [second, _] = plan(story, &lease, known).await.unwrap();
        let (_, third) = are_one(story, to, phone).await;
        for (sync, step) in [(chat, first), (known, second)] {
            assert!(!sent(story, &lease, step).await, "it was planned without knowing of the other");
            story.release(&lease, sync, SyncState::Ready, None).await;
        }
        for sync in [chat, known, third] {
            assert_eq!(story.claimed_ids(&lease).await, [sync], "decided anew, one after another");
            let [contact, _] = plan(story, &lease, sync).await.unwrap();
            assert!(sent(story, &lease, contact).await);
            story.release(&lease, sync, SyncState::Synced, None).await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_contacts_of_one_human_come_before_a_person_once() {
    on_both(async |story| {
        let (to, phone) = ("twice", "+380672220003");
        let (lease, [(chat_lead, chat), (known_lead, known)]) = two_chats(story, to, phone).await;
        let [first, _] = plan(story, &lease, chat).await.unwrap();
        let [second, _] = plan(story, &lease, known).await.unwrap();
        assert!(sent(story, &lease, first).await && sent(story, &lease, second).await);
        // Both are in flight: nobody can know any more whether two contacts are made.
        let (third_lead, third) = are_one(story, to, phone).await;
        assert!(story.claimed_ids(&lease).await.is_empty(), "but no third");
        contact_made(story, &lease, chat, first, "c-2").await;
        story.clock.advance(SignedDuration::from_secs(1));
        contact_made(story, &lease, known, second, "c-1").await;
        let items = async || {
            let mut items = Vec::new();
            for lead in [chat_lead, known_lead, third_lead] {
                let row = story.store.lead(lead).await.unwrap().unwrap().row;
                if row.state == "needs-attention" {
                    items.push((lead, row.why.unwrap()));
                }
            }
            items
        };
        let told = items().await;
        let [(lead, why)] = &told[..] else { panic!("one item: {told:?}") };
        assert_eq!((*lead, &why["code"]), (known_lead, &json!("two_contacts")));
        let text = why["text"].as_str().unwrap();
        assert!(text.contains("c-2 and c-1") && text.contains(&format!("replay {lead} --resume")), "{text}");

        let claimed = story.claim(&lease, Mode::Live).await;
        let [next] = &claimed[..] else { panic!("the third goes on: {claimed:?}") };
        assert_eq!(next.id, third);
        let context = &next.context;
        assert_eq!(
            (&context.contact, &*context.further),
            (&Some(record("c-2")), &[record("c-1")][..]),
            "the older"
        );
        story.release(&lease, third, SyncState::Synced, None).await;
        assert_eq!(items().await.len(), 1, "once");

        // Nobody merged them, so it is said again; then somebody did.
        for merged in [false, true] {
            assert_eq!(story.store.replay_syncs(vec![known], How::Resume, story.now()).await.unwrap(), 1);
            assert_eq!(story.claimed_ids(&lease).await, [known]);
            // The newest of them, so that it is told on it again.
            run(&story.url, &format!("UPDATE syncs SET sequence = sequence + 100 WHERE id = '{known}'"))
                .await;
            if merged {
                story.store.drop_link(&lease, record("c-1")).await.unwrap();
            }
            story.release(&lease, known, SyncState::Synced, None).await;
            assert_eq!(items().await.len(), usize::from(!merged));
        }
    })
    .await;
}

#[tokio::test]
async fn contacts_elsewhere_of_two_who_are_one_record_here_come_before_a_person() {
    on_both(async |story| {
        let [here, there] = [story.lease("here").await, story.lease("there").await];
        let leads = story
            .leads(&[
                said("there", &[(Phone, "+380672220004")]),
                said("there", &[(Email, "d@example.org")]),
                said("here", &[(Phone, "+380672220004")]),
            ])
            .await;
        let [(lead, one), (other_lead, other), (_, sync)] = leads[..] else { unreachable!() };
        story.claim(&there, Mode::Live).await;
        story.link(&there, one, "there-1").await;
        story.clock.advance(SignedDuration::from_secs(1));
        story.link(&there, other, "there-2").await;
        story.claim(&here, Mode::Live).await;
        let (from, into) = (story.person(lead).await, story.person(other_lead).await);
        let evidence = Evidence { sync, from, into, record: record("1") };
        let clock = Arc::clone(&story.clock) as Arc<dyn Clock>;
        story.store.merge_on_evidence(&here, evidence, clock).await.unwrap();
        assert_eq!(story.state(other_lead).await, "needs-attention", "the newest of their leads there");
        assert_eq!(story.state(lead).await, "synced", "and on no other");
    })
    .await;
}

#[tokio::test]
async fn who_attaches_to_somebody_who_is_being_absorbed_ends_on_who_absorbs() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    let leads = one
        .leads(&[said("absorb", &[(Chat, "a"), (Chat, "b")]), said("absorb", &[(Phone, "+380672220005")])])
        .await;
    let stays = one.person(leads[1].0).await;
    let hand = Hand::on_the_last_row(&database).await;
    let (absorbing, attaching, ()) = tokio::join!(
        async { one.leads(&[said("absorb", &[(Chat, "a"), (Phone, "+380672220005")])]).await },
        async {
            waiting(&database, 1).await;
            other.leads(&[said("absorb", &[(Chat, "b"), (Email, "new@example.org")])]).await
        },
        async {
            waiting(&database, 2).await;
            hand.let_go().await;
        },
    );
    for (lead, _) in [leads[0], absorbing[0], attaching[0]] {
        assert_eq!(one.person(lead).await, stays);
    }
    let next = one.leads(&[said("absorb", &[(Email, "new@example.org")])]).await;
    assert_eq!(one.person(next[0].0).await, stays, "and so does what was attached");
    end(database, [one, other]).await;
}

#[tokio::test]
async fn who_is_known_by_the_time_of_the_lock_is_not_absorbed() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    let phone = "+380672220009";
    let leads =
        one.leads(&[said("known", &[(Chat, "a"), (Chat, "b")]), said("known", &[(Phone, phone)])]).await;
    let hand = Hand::on_the_last_row(&database).await;
    let (attached, torn, ()) = tokio::join!(
        async { one.leads(&[said("known", &[(Chat, "b"), (Phone, "+380672220010")])]).await },
        async {
            waiting(&database, 1).await;
            other.leads(&[said("known", &[(Chat, "a"), (Phone, phone)])]).await
        },
        async {
            waiting(&database, 2).await;
            hand.let_go().await;
        },
    );
    let chats = one.person(leads[0].0).await;
    assert_eq!(one.person(attached[0].0).await, chats);
    assert_eq!(one.person(torn[0].0).await, chats, "a chat outranks a phone");
    assert_ne!(one.person(leads[1].0).await, chats, "two people who have other phones are not merged");
    assert_eq!(database.run("SELECT COUNT(*) FROM merges").await, [0]);
    end(database, [one, other]).await;
}

#[tokio::test]
async fn a_plan_waits_for_the_merge_that_makes_its_sync_anothers() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    let (to, phone) = ("plans", "+380672220006");
    let (lease, [(_, chat), (_, known)]) = two_chats(&one, to, phone).await;
    one.release(&lease, known, SyncState::Ready, None).await;
    let hand = Hand::on_the_last_row(&database).await;
    let (third, taken, ()) = tokio::join!(
        are_one(&one, to, phone),
        async {
            waiting(&database, 1).await;
            assert!(other.claimed_ids(&lease).await.is_empty(), "what is changing hands is passed over");
            waiting(&database, 1).await;
            plan(&other, &lease, chat).await
        },
        async {
            waiting(&database, 2).await;
            hand.let_go().await;
        },
    );
    assert!(taken.is_none(), "it was decided for somebody who is another by now");
    for sync in [chat, known, third.1] {
        assert_eq!(one.claimed_ids(&lease).await, [sync]);
        one.release(&lease, sync, SyncState::Synced, None).await;
    }
    end(database, [one, other]).await;
}

#[tokio::test]
async fn a_link_that_is_made_during_a_merge_is_the_one_humans() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    let (to, phone) = ("links", "+380672220007");
    let (lease, [(_, chat), (known_lead, _)]) = two_chats(&one, to, phone).await;
    let [contact, _] = plan(&one, &lease, chat).await.unwrap();
    assert!(sent(&one, &lease, contact).await);
    let stays = one.person(known_lead).await;
    let hand = Hand::on(
        &database,
        "INSERT INTO links (destination, kind, record, person, created_at) VALUES ('links', 'contact', 'c-1', 'x', 0)",
    )
    .await;
    let ((), _, ()) = tokio::join!(
        contact_made(&other, &lease, chat, contact, "c-1"),
        async {
            waiting(&database, 1).await;
            are_one(&one, to, phone).await
        },
        async {
            waiting(&database, 2).await;
            hand.let_go().await;
        },
    );
    let linked = one.store.linked_persons(to, &[record("c-1")]).await.unwrap();
    assert_eq!(linked, [(record("c-1"), stays)]);
    end(database, [one, other]).await;
}

#[tokio::test]
async fn a_deadlock_is_run_again() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    let leads = one.leads(&[said("dead", &[(Phone, "+380672220008")])]).await;
    let person = one.person(leads[0].0).await;
    let mut hand =
        Hand::on(&database, &format!("SELECT 1 FROM persons WHERE id = '{person}' FOR UPDATE")).await;
    // The preparer has the phone and wants the person; we have the person and want the phone.
    let (again, ()) =
        tokio::join!(async { one.leads(&[said("dead", &[(Phone, "+380672220008")])]).await }, async {
            waiting(&database, 1).await;
            // One of the two is ended by the database.
            hand.0.execute("UPDATE identifiers SET seen = 0 WHERE kind = 'phone'").await.ok();
            hand.let_go().await;
        });
    assert_eq!(one.person(again[0].0).await, person);
    end(database, [one, other]).await;
}

fn stages() -> Stages {
    Arc::new(|received| prepare(received, shipped(), &SystemClock))
}

async fn prepare_oldest(store: &Store, limit: usize) -> Result<u64, leadfold::store::StoreError> {
    let order = shipped().identity.clone();
    Ok(store.prepare_oldest(limit, stages(), order, Arc::new(SystemClock)).await?.deliveries)
}

/// Keeps it; again when the connection broke before the answer came.
async fn keep(store: &Store, at: i64, body: &Value) {
    let mut delivery = delivery(SystemClock.new_id(), body);
    delivery.received_at = noon() + SignedDuration::from_millis(at);
    let arrival = Arrival { delivery, waiting: None, unverified_token: None };
    while let Err(failure) = store.inbox().keep(arrival.clone()).await {
        // The same delivery cannot be kept twice.
        if failure.to_string().contains("duplicate key") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn deliveries_that_another_process_has_in_hand_are_passed_over() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    for at in 0..6 {
        keep(&one.store, at, &message(1, "telegram", Some(1), None, usize::try_from(at).unwrap())).await;
    }
    let hand = Hand::on(
        &database,
        "SELECT id FROM deliveries WHERE state = 'received' ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED",
    )
    .await;
    assert_eq!(prepare_oldest(&one.store, 2).await.unwrap(), 2, "the next ones");
    assert_eq!(prepare_oldest(&other.store, 9).await.unwrap(), 1, "and what is left");
    assert_eq!(prepare_oldest(&one.store, 9).await.unwrap(), 0, "without waiting");
    // As a process that dies: its connection breaks.
    drop(hand);
    let rest = async {
        let mut rest = 0;
        while rest < 3 {
            rest += prepare_oldest(&other.store, 9).await.unwrap();
        }
        rest
    };
    assert_eq!(tokio::time::timeout(PATIENCE, rest).await.unwrap(), 3);
    end(database, [one, other]).await;
}

#[tokio::test]
async fn stages_that_panic_leave_no_transaction_behind() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    keep(&one.store, 0, &message(1, "telegram", Some(1), None, 0)).await;
    // More often than there are connections.
    for _ in 0..20 {
        let stages: Stages = Arc::new(|_| panic!("as a bug would"));
        let order = shipped().identity.clone();
        assert!(one.store.prepare_oldest(9, stages, order, Arc::new(SystemClock)).await.is_err());
    }
    let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    assert_eq!(database.run(open).await, [0]);
    assert_eq!(prepare_oldest(&other.store, 9).await.unwrap(), 1);
    end(database, [one, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_freezes_keeps_nobody_waiting() {
    let Some(database) = Database::create().await else { return };
    let other = Story::begin(database.url.clone(), database.url.clone()).await;
    keep(&other.store, 0, &message(1, "telegram", Some(1), None, 0)).await;
    let frozen = Arc::new(AtomicBool::new(false));
    // A process whose one thread stands still while it has a delivery in hand.
    let freezes = {
        let (frozen, url) = (Arc::clone(&frozen), database.url.clone());
        let process = async move {
            let one = Story::begin(url.clone(), url).await;
            let begun = Arc::clone(&frozen);
            let stages: Stages = Arc::new(move |received| {
                begun.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_secs(1));
                prepare(received, shipped(), &SystemClock)
            });
            let order = shipped().identity.clone();
            let freeze = async {
                while !frozen.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                std::thread::sleep(Duration::from_secs(8));
            };
            let prepared = one.store.prepare_oldest(9, stages, order, Arc::new(SystemClock));
            let (prepared, ()) = tokio::join!(prepared, freeze);
            one.store.close().await;
            prepared
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(process))
    };
    let others = async {
        while !frozen.load(Ordering::SeqCst) || prepare_oldest(&other.store, 9).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, others).await.unwrap();
    let woken = tokio::task::spawn_blocking(|| freezes.join().unwrap()).await.unwrap();
    assert!(woken.is_err(), "what woke up again stores nothing");
    assert_eq!(other.store.counts().await.unwrap().leads, 1);
    end(database, [other]).await;
}

#[tokio::test]
async fn a_delivery_that_the_database_refuses_stops_nobody_on_postgres() {
    let Some(database) = Database::create().await else { return };
    let mut rig = Rig::prepare(Faults::default(), "mode: paused", crate::rig::MAPPING).await;
    rig.postgres = Some(database);
    rig.boot().await;
    let url = rig.database();
    run(
        &url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN IF NEW.lead LIKE ''%+380671234568%'' THEN RAISE EXCEPTION ''refused by the test''; END IF; RETURN NEW; END'",
    )
    .await;
    run(&url, "CREATE TRIGGER refuse BEFORE INSERT ON leads FOR EACH ROW EXECUTE FUNCTION refuse()").await;
    let start = now_millis();
    for (at, phone) in ["0671234567", "0671234568", "0671234569"].into_iter().enumerate() {
        let at = i64::try_from(at).unwrap();
        rig.post(&event(&format!("chat-{at}"), "telegram", json!({ "phone": phone }), start + at)).await;
    }
    let ends = async {
        // One more, because a delivery that stands alone is not known to be at fault.
        while rig.counts().await.unreadable == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let at = now_millis();
            rig.post(&event("chat-9", "telegram", json!({ "phone": "0671234570" }), at)).await;
        }
        while rig.counts().await.received > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ends).await.unwrap();
    let counts = rig.counts().await;
    assert_eq!(counts.unreadable, 1, "{counts:?}");
    assert_eq!(counts.deliveries, counts.leads + 1, "{counts:?}");
    rig.shut_down().await;
    rig.postgres.take().unwrap().remove().await;
    std::fs::remove_dir_all(&rig.folder).unwrap();
}

/// Numbers that look like chance and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u8) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from((self.0 >> 33) % u64::from(sides)).unwrap()
    }

    fn maybe(&mut self, sides: u8) -> Option<u8> {
        let side = self.roll(sides * 2);
        (side < sides).then_some(side)
    }
}

/// The same recorded order makes the same people, prepared by one process or by three whose connections break.
#[tokio::test(flavor = "multi_thread")]
async fn three_processes_make_the_people_that_one_makes() {
    for seed in 1..=3 {
        let Some(database) = Database::create().await else { return };
        let mut dice = Dice(seed);
        let bodies: Vec<Value> = (0..150)
            .map(|at| {
                let service = if dice.roll(2) == 0 { "telegram" } else { "instagram" };
                message(dice.roll(24), service, dice.maybe(8), dice.maybe(8), at)
            })
            .collect();
        let mut stores = Vec::new();
        for _ in 0..3 {
            stores.push(Store::open(&database.url, Arc::new(SystemClock)).await.unwrap());
        }
        let kept = AtomicBool::new(false);
        let keeping = async {
            let of = |first: usize| {
                let (stores, bodies) = (&stores, &bodies);
                async move {
                    for at in (first..bodies.len()).step_by(3) {
                        keep(&stores[first], i64::try_from(at).unwrap(), &bodies[at]).await;
                    }
                }
            };
            tokio::join!(of(0), of(1), of(2));
            kept.store(true, Ordering::SeqCst);
        };
        let preparing = |store: usize| {
            let (store, kept) = (&stores[store], &kept);
            async move {
                loop {
                    let last = kept.load(Ordering::SeqCst);
                    match prepare_oldest(store, 4).await {
                        Ok(0) if last && store.received(1).await.is_ok_and(|rest| rest.is_empty()) => return,
                        Ok(1..) => {}
                        Ok(0) | Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                    }
                }
            }
        };
        let cutting = async {
            while !kept.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(60)).await;
                database.cut().await;
            }
        };
        let all = async { tokio::join!(keeping, preparing(0), preparing(1), preparing(2), cutting) };
        Box::pin(tokio::time::timeout(PATIENCE, all)).await.unwrap();

        let mut rows = stores[0].leads(None, 1_000).await.unwrap();
        rows.reverse();
        let sequences: Vec<i64> = rows.iter().map(|row| row.sequence).collect();
        let expected: Vec<i64> = (1..=150).collect();
        assert_eq!(sequences, expected, "every event has its one lead, and the order has no holes");
        let places = rows.iter().map(|row| row.received_at.duration_since(noon()).as_millis());
        let recorded: Vec<Value> = places.map(|at| bodies[usize::try_from(at).unwrap()].clone()).collect();
        let people = canonical(rows.iter().map(|row| row.person.clone().unwrap()));
        let alone = Registry::new().await;
        alone.take_in(&recorded, 7).await;
        let of_one = alone.people(&recorded).await;
        let of_one: Vec<usize> =
            recorded.iter().map(|body| of_one[&body["date"].as_i64().unwrap()]).collect();
        assert_eq!(people, of_one, "seed {seed}");
        alone.end().await;
        assert_eq!(database.run(LEFT_BEHIND).await, [0]);
        for store in stores {
            store.close().await;
        }
        database.remove().await;
    }
}

/// Three leadfolds behind a load balancer, and a database that hangs up now and then.
#[tokio::test(flavor = "multi_thread")]
async fn three_processes_bring_every_human_in_once() {
    let Some(database) = Database::create().await else { return };
    let mut rig = Rig::prepare(Faults::default(), "mode: paused", crate::rig::MAPPING).await;
    rig.follow = Follow::Database;
    rig.postgres = Some(database);
    rig.boot().await;
    let others = [rig.another().await, rig.another().await];
    let apps: Vec<&App> = others.iter().chain([rig.app()]).collect();
    let start = now_millis();
    let humans: Vec<String> =
        (0..40).map(|human| format!("+38067{:07}", 3_100_003 + human * 16_411)).collect();
    let events: Vec<Value> = (0..4_usize)
        .flat_map(|press| (0..humans.len()).map(move |human| (press, human)))
        .map(|(press, human)| {
            // The second press comes from another chat, the third from the first one without a phone.
            let chat = format!("chat-{human}-{}", press % 2);
            let phone = if press == 2 { json!([]) } else { json!({ "phone": humans[human] }) };
            event(&chat, "telegram", phone, start + i64::try_from(press * humans.len() + human).unwrap())
        })
        .collect();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let done = AtomicBool::new(false);
    let posting = async {
        for press in events.chunks(humans.len()) {
            let posts = press.iter().enumerate().map(|(number, body)| {
                let (client, apps) = (&client, &apps);
                async move {
                    // Like a platform: again until it is acknowledged, and wherever the balancer sends it.
                    for attempt in number.. {
                        let port = apps[attempt % 3].address.port();
                        let url = format!("http://127.0.0.1:{port}/in/sendpulse/demo");
                        if post(client, &url, body).await == Some(200) {
                            return;
                        }
                    }
                }
            });
            futures_util::future::join_all(posts).await;
            while !rig.app().store.counts().await.is_ok_and(|counts| counts.received == 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        done.store(true, Ordering::SeqCst);
    };
    let cutting = async {
        while !done.load(Ordering::SeqCst) {
            rig.postgres.as_ref().unwrap().cut().await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    let all = async { tokio::join!(posting, cutting) };
    Box::pin(tokio::time::timeout(PATIENCE, all)).await.unwrap();
    // The last copies of the first press: the same events, to whoever did not get them.
    for (number, body) in events[..10].iter().enumerate() {
        let url = format!("http://127.0.0.1:{}/in/sendpulse/demo", apps[(number + 1) % 3].address.port());
        // The database has only just hung up for the last time.
        while post(&client, &url, body).await != Some(200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let prepared = async {
        while rig.counts().await.received > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, prepared).await.unwrap();
    let counts = rig.counts().await;
    assert_eq!(counts.leads, 160, "one for each event: {counts:?}");
    assert!(counts.redeliveries >= 10, "{counts:?}");
    assert_eq!(counts.deliveries, counts.leads + counts.redeliveries, "{counts:?}");
    let database = rig.postgres.as_ref().unwrap();
    assert_eq!(database.run(LEFT_BEHIND).await, [0]);
    let people = "SELECT COUNT(DISTINCT person) FROM leads";
    assert_eq!(database.run(people).await, [40]);
    for app in others {
        app.stop().await;
    }

    // One of them pushes. (Once leases are handed over, all three may.)
    rig.shut_down().await;
    rig.edit("workspace.yaml", "mode: paused", "timeout: 5s");
    rig.follow = Follow::Files;
    rig.boot().await;
    rig.settle().await;
    let (stats, counts) = (rig.stats(), rig.counts().await);
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (40, 40, 120), "{stats:?} {counts:?}");
    assert_eq!((counts.synced, counts.needs_attention), (160, 0), "{counts:?}");
    rig.end().await;
}

#[expect(clippy::disallowed_methods, reason = "the test is the platform, not a CRM client")]
async fn post(client: &reqwest::Client, url: &str, body: &Value) -> Option<u16> {
    let request = client.post(url).header("content-type", "application/json").body(body.to_string());
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

/// What a worker does about them: it goes to the older, says so, and looks whether somebody merged them.
#[tokio::test(flavor = "multi_thread")]
async fn a_human_with_two_contacts_is_brought_to_the_older_until_they_are_merged() {
    let rig = Rig::start(Faults::default(), "timeout: 5s").await;
    let start = now_millis();
    rig.post(&event("tg-1", "telegram", json!({ "email": "olena@example.org" }), start)).await;
    rig.settle().await;
    rig.post(&event("ig-1", "instagram", json!({ "phone": "0671234567" }), start + 1)).await;
    rig.settle().await;
    let persons = rig.sql("SELECT id FROM persons ORDER BY id").await;
    for table in ["identifiers", "leads", "syncs", "links"] {
        rig.sql(&format!(
            "UPDATE {table} SET person = '{}' WHERE person = '{}'",
            persons[0][0], persons[1][0]
        ))
        .await;
    }
    rig.post(&event("ig-1", "instagram", json!({ "phone": "0671234567" }), start + 2)).await;
    rig.settle().await;
    let links = "SELECT record FROM links WHERE kind = 'contact' ORDER BY created_at";
    let contacts: Vec<String> = rig.sql(links).await.into_iter().flatten().collect();
    let told = "SELECT reasons FROM syncs WHERE state = 'synced' AND reasons LIKE '%twins_told%'";
    assert_eq!(rig.sql(told).await.len(), 1);
    let stats = rig.stats();
    assert_eq!(
        (stats.contacts, stats.deals, stats.tasks),
        (2, 2, 2),
        "it came back, and merge them: {stats:?}"
    );
    assert_eq!(stats.notes, 2, "one on each contact: {stats:?}");
    // Who is asked once is not asked again.
    rig.post(&event("tg-1", "telegram", json!({ "email": "olena@example.org" }), start + 3)).await;
    rig.settle().await;
    assert_eq!((rig.stats().tasks, rig.stats().notes), (3, 2), "it came back");
    assert_eq!(rig.sql(told).await.len(), 1);

    // Somebody merges them in the CRM: the second is gone.
    rig.delete_record(&contacts[1]).await;
    rig.post(&event("ig-1", "instagram", json!({ "phone": "0671234567" }), start + 4)).await;
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!(counts.needs_attention, 0, "{counts:?}");
    assert_eq!(rig.sql(links).await, [[contacts[0].clone()]]);
    assert_eq!((rig.stats().contacts, rig.stats().tasks), (1, 4), "it came back, and nobody is asked again");
    rig.end().await;
}

/// Ids are ordered as they were born, whatever the locale of the database: a Danish one sorts `aa` behind `z`.
#[tokio::test]
async fn the_locale_of_the_database_changes_nothing() {
    let Some(database) = Database::create().await else { return };
    let name = format!("{}_da", database.url.rsplit('/').next().unwrap());
    let danish =
        format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'da' LOCALE 'C'");
    run(&database.url, &danish).await;
    let url = format!("{}/{name}", database.url.rsplit_once('/').unwrap().0);
    let minds = run(&url, "SELECT CASE WHEN 'aa' < 'b' THEN 1 ELSE 0 END::bigint").await;
    assert_eq!(minds, [0], "the locale is what it is here for");
    let story = Story::begin(url.clone(), url.clone()).await;
    let ids =
        ["0193aa00", "0193b000", "01940000"].map(|start| format!("{start}-0000-7000-8000-000000000000"));
    for (at, id) in ids.iter().enumerate() {
        let mut arrival = story.arrival(&format!("shop-{at}"), None);
        arrival.delivery.id = id.parse().unwrap();
        story.store.inbox().keep(arrival).await.unwrap();
    }
    let received = story.store.received(9).await.unwrap();
    let order: Vec<String> = received.iter().map(|received| received.delivery.id.to_string()).collect();
    assert_eq!(order, ids);
    story.store.close().await;
    run(&database.url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    database.remove().await;
}
