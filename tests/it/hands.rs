//! What a worker has in hand, and what becomes of what it enters twice: a commit may have happened although its answer was
//! lost, and then whoever made the entry makes it once more.

use std::backtrace::Backtrace;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::civil::date;
use leadfold::clock::{Clock, SystemClock};
use leadfold::crm::catalog::Catalog;
use leadfold::crm::{Crm, CrmError, Found, Guarantee, Journal, Outcome, Query, Remaining};
use leadfold::id::{PersonId, SyncId};
use leadfold::lead::IdentifierKind::{Chat, Phone};
use leadfold::plan::{Plan, Priority, Reason, RecordId, RecordKind, Step, StepKind};
use leadfold::rules::{IdentityRules, Turn};
use leadfold::sandbox::Faults;
use leadfold::store::lease::Lease;
use leadfold::store::ledger::Entry;
use leadfold::store::prepare::EventOutcome;
use leadfold::store::replay::{How, Remapped};
use leadfold::store::syncs::{Evidence, Next, StepEnd, SyncState};
use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use uuid::Uuid;

use crate::crm::fixture::all_done;
use crate::many::{Hand, are_one, end, made, on_both, plan, sent, to_store, two, two_chats, waiting};
use crate::mishaps::{begin, bring};
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, PATIENCE, Rig, event, now_millis, until};
use crate::store::{Story, lead, record, run, said};

/// Enters the same as often as it is asked to.
struct Again<'a> {
    story: &'a Story,
    lease: &'a Lease,
    entry: Arc<Entry>,
}

impl Again<'_> {
    /// Whether it was taken.
    async fn enter(&self) -> bool {
        let entry = Arc::clone(&self.entry);
        self.story.store.record(self.lease, vec![(entry, self.story.now())]).await.unwrap()[0]
    }
}

fn again<'a>(story: &'a Story, lease: &'a Lease, entry: Entry) -> Again<'a> {
    Again { story, lease, entry: Arc::new(entry) }
}

#[tokio::test]
async fn a_plan_that_was_refused_is_refused_for_good() {
    on_both(async |story| {
        let (lease, [(_, chat), (_, known)]) = two_chats(story, "refused", "+380671118001").await;
        let before = story.owner(chat).await;
        let steps = plan(story, &lease, known).await.unwrap();
        assert!(sent(story, &lease, steps[0]).await);
        let (_, third) = are_one(story, "refused", "+380671118001").await;
        let present = story.owner(chat).await;
        let [stale, blind] = [before, present]
            .map(|person| again(story, &lease, Entry::Plan(to_store(chat, person, story.plan_of_two()))));
        assert!(!blind.enter().await, "the other lead of its human is in flight");
        // The answer was lost, and meanwhile a contact was made that nobody had in view who made these plans.
        assert!(story.enter(&lease, made(story, known, steps[0], "c-1")).await);
        assert!(!blind.enter().await && !stale.enter().await);
        assert_eq!(story.claimed_ids(&lease).await, [chat], "it is in the queue as it was");
        story.release(&lease, chat, SyncState::Synced, None).await;
        assert_eq!(story.claimed_ids(&lease).await, [third]);
    })
    .await;
}

#[tokio::test]
async fn what_came_after_an_end_stays_when_the_end_is_entered_again() {
    on_both(async |story| {
        let lease = story.lease("again").await;
        let (lead, sync) = story.leads(&[said("again", &[(Phone, "+380671118002")])]).await[0];
        let person = story.owner(sync).await;
        let next = |state, code: &str| {
            let why = Some(Reason::new(code, "Why."));
            Next::Release { state, why, next_at: story.now(), attempts: 0 }
        };
        let rejected = next(SyncState::NeedsAttention, "crm_rejected");
        let empty = Plan { steps: Vec::new(), reasons: Vec::new(), picked_owner: None };
        for (entry, state, how) in [
            (Entry::Outcomes { sync, steps: Vec::new(), next: rejected }, "needs-attention", How::Resume),
            (
                Entry::Verdict { sync, person, next: next(SyncState::Filtered, "rule"), found: None },
                "filtered",
                How::Resume,
            ),
            (Entry::Hold { sync, person, plan: story.plan_of_two() }, "held", How::Resume),
            (Entry::Plan(to_store(sync, person, empty)), "synced", How::Force),
        ] {
            let entry = again(story, &lease, entry);
            assert_eq!(story.claimed_ids(&lease).await, [sync]);
            assert!(entry.enter().await, "{state}");
            assert_eq!(story.state(lead).await, state);
            assert_eq!(story.store.replay_syncs(vec![sync], how, story.now()).await.unwrap(), 1);
            assert!(!entry.enter().await, "{state}");
            assert_eq!(story.state(lead).await, "ready", "the replay stands, whatever came before it");
        }
        // Two who are one by a record of the CRM.
        let evidence = Evidence { sync, from: person, into: person, record: RecordId("1".to_owned()) };
        let clock = || Arc::clone(&story.clock) as Arc<dyn Clock>;
        assert_eq!(story.claimed_ids(&lease).await, [sync]);
        story.store.merge_on_evidence(&lease, evidence.clone(), clock()).await.unwrap();
        assert_eq!(story.claimed_ids(&lease).await, [sync]);
        story.release(&lease, sync, SyncState::Synced, None).await;
        story.store.merge_on_evidence(&lease, evidence, clock()).await.unwrap();
        assert_eq!(story.state(lead).await, "synced");
    })
    .await;
}

#[tokio::test]
async fn a_plan_that_is_entered_again_is_stored_once_and_counts_once() {
    on_both(async |story| {
        let lease = story.lease("twice").await;
        let (lead, sync) = story.leads(&[said("twice", &[(Phone, "+380671118003")])]).await[0];
        assert_eq!(story.claimed_ids(&lease).await, [sync]);
        let mut to_store = to_store(sync, story.owner(sync).await, story.plan_of_two());
        let steps: Vec<_> = to_store.plan.steps.iter().map(|step| step.id).collect();
        let turn =
            Turn { user: "anna".to_owned(), day: date(2026, 3, 1), owed: [("anna".to_owned(), -5)].into() };
        to_store.turn = Some(("sales".to_owned(), turn));
        let entry = again(story, &lease, Entry::Plan(to_store));
        assert!(entry.enter().await && entry.enter().await, "whoever asks may push it");
        let [(_, pool)] = &story.store.pools("twice").await.unwrap()[..] else { panic!("one pool") };
        assert_eq!(pool.total.get("anna"), Some(&1));
        let stored = format!("SELECT COUNT(*) FROM steps WHERE sync = '{sync}'");
        assert_eq!(run(&story.url, &stored).await, [2]);
        assert!(sent(story, &lease, steps[0]).await);
        assert!(entry.enter().await);
        let unsent = format!("SELECT COUNT(*) FROM steps WHERE sync = '{sync}' AND state = 'planned'");
        assert_eq!(run(&story.url, &unsent).await, [1], "what was sent stays sent");
        assert_eq!(story.state(lead).await, "pushing");
    })
    .await;
}

#[tokio::test]
async fn only_what_is_in_hand_and_has_come_to_no_end_is_sent() {
    on_both(async |story| {
        let lease = story.lease("sendable").await;
        let (_, sync) = story.leads(&[said("sendable", &[(Phone, "+380671118004")])]).await[0];
        assert_eq!(story.claimed_ids(&lease).await, [sync]);
        let dropped = plan(story, &lease, sync).await.unwrap();
        let [contact, deal] = plan(story, &lease, sync).await.unwrap();
        assert!(!sent(story, &lease, dropped[0]).await, "another plan came in its place");
        assert!(sent(story, &lease, contact).await);
        assert!(sent(story, &lease, contact).await, "the first answer was lost");
        let end = |end: StepEnd, next| Entry::Outcomes { sync, steps: vec![(contact, end)], next };
        assert!(story.enter(&lease, end(StepEnd::Unknown("no answer".into()), Next::Continue)).await);
        assert!(sent(story, &lease, contact).await, "a step with a key of its own is sent again");
        let done = StepEnd::Done { record: record("c-1"), link: None };
        assert!(story.enter(&lease, end(done, Next::Continue)).await);
        assert!(!sent(story, &lease, contact).await, "it is written");
        assert!(
            !story.enter(&lease, Entry::Sent { steps: vec![contact, deal], pins: Vec::new() }).await,
            "nor together with another"
        );
        assert!(sent(story, &lease, deal).await);
        let unknown =
            Next::Release { state: SyncState::Unknown, why: None, next_at: story.now(), attempts: 0 };
        assert!(story.enter(&lease, Entry::Outcomes { sync, steps: Vec::new(), next: unknown }).await);
        assert!(!sent(story, &lease, deal).await, "who has put it down sends nothing");
    })
    .await;
}

/// A lead is mapped again while another of the same human is prepared.
#[tokio::test]
async fn whoever_maps_leads_again_takes_the_locks_in_the_order_of_everybody() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    let both = [(Chat, "tg-order"), (Phone, "+380671118005")];
    let (lead_id, sync) = one.leads(&[said("order", &[(Phone, "+380671118005")])]).await[0];
    let person = one.person(lead_id).await;
    let remapped = Remapped {
        lead: lead_id,
        syncs: [sync].into(),
        version: "v2".to_owned(),
        outcome: EventOutcome::Lead {
            lead: Box::new(lead(&said("order", &both))),
            branch: 1,
            syncs: vec![(SyncId(one.clock.new_id()), "order".to_owned())],
            to_come: None,
        },
        fresh_person: PersonId(one.clock.new_id()),
        holder: None,
    };
    let hand = Hand::on(&database, &format!("SELECT 1 FROM persons WHERE id = '{person}' FOR UPDATE")).await;
    let replan = async {
        // The preparer has the identifiers by now, and waits for the person.
        waiting(&database, 1).await;
        let clock = Arc::clone(&one.clock) as Arc<dyn Clock>;
        one.store.replan(vec![remapped], IdentityRules::default(), BTreeSet::new(), clock).await.unwrap()
    };
    let look = async {
        waiting(&database, 2).await;
        let free = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM syncs WHERE id = '{sync}' FOR UPDATE SKIP LOCKED) AS free"
        );
        let free = database.run(&free).await;
        hand.let_go().await;
        free
    };
    let more = [said("order", &both)];
    let (again, ends, free) = tokio::join!(other.leads(&more), replan, look);
    assert_eq!(free, [1], "syncs come last: a preparer may want this one while it has the identifiers");
    assert_eq!(ends, [Ok(())]);
    assert_eq!(one.person(again[0].0).await, one.person(lead_id).await);
    end(database, [one, other]).await;
}

/// A CRM that writes down what it is asked, and answers the first question in its own way.
struct Asked {
    words: Mutex<Vec<String>>,
    first: fn(&Self, &[Query]) -> Answers,
}

type Answers = Vec<Result<Found, CrmError>>;

impl Asked {
    fn say(&self, word: &str, count: usize) -> usize {
        let mut words = self.words.lock().unwrap();
        words.push(format!("{word} {count}"));
        words.len()
    }
}

impl Crm for Asked {
    fn find<'a>(&'a self, queries: &'a [Query]) -> BoxFuture<'a, Vec<Result<Found, CrmError>>> {
        let is_first = self.say("find", queries.len()) == 1;
        let answers = if is_first {
            (self.first)(self, queries)
        } else {
            queries.iter().map(|_| Ok(Found::default())).collect()
        };
        Box::pin(async move { answers })
    }

    fn look_up<'a>(
        &'a self,
        steps: &'a [(RecordKind, &'a Step)],
        _: Priority,
    ) -> BoxFuture<'a, Vec<Result<Vec<RecordId>, CrmError>>> {
        Box::pin(async move { steps.iter().map(|_| Ok(Vec::new())).collect() })
    }

    fn write<'a>(
        &'a self,
        plans: &'a [Remaining<'a>],
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Vec<Vec<Outcome>>> {
        Box::pin(async move {
            self.say("write", plans.len());
            tokio::time::sleep(Duration::from_millis(300)).await;
            let outcomes = all_done(plans, journal).await;
            self.say("written", plans.len());
            outcomes
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<String, CrmError>> {
        Box::pin(async { Ok("asked".to_owned()) })
    }

    fn describe(&self) -> BoxFuture<'_, Result<Catalog, CrmError>> {
        Box::pin(async { Ok(Catalog::default()) })
    }

    fn guarantee(&self, _: StepKind) -> Guarantee {
        Guarantee::Findable
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn batch(&self) -> usize {
        2
    }

    fn concurrency(&self) -> usize {
        2
    }
}

/// The answer to a commit that put a sync down may be lost: whoever had it enters the same once more.
#[tokio::test]
async fn nobody_goes_on_with_a_sync_before_its_task_is_done() {
    let again_at_once = |_: &Asked, queries: &[Query]| {
        let busy = CrmError::Retry { after: Some(Duration::ZERO), why: "busy".to_owned() };
        std::iter::once(Err(busy)).chain(queries.iter().skip(1).map(|_| Ok(Found::default()))).collect()
    };
    let crm = Arc::new(Asked { words: Mutex::default(), first: again_at_once });
    let counts = bring(Arc::clone(&crm) as Arc<dyn Crm>, &["0671234567", "0671234568"], None).await;
    assert_eq!(counts.synced, 2, "{counts:?}");
    let words = crm.words.lock().unwrap().clone();
    assert_eq!(words, ["find 2", "write 1", "written 1", "find 1", "write 1", "written 1"]);
}

/// What a push had in hand that panicked cannot be put down while somebody else writes to the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stops_although_the_database_takes_nothing() {
    let panics = |asked: &Asked, _: &[Query]| {
        // Only now, so that there was something to claim.
        let begun = std::time::Instant::now();
        while asked.words.lock().unwrap().len() < 2 && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("this panic is part of the test")
    };
    let crm = Arc::new(Asked { words: Mutex::default(), first: panics });
    let begun = begin(Arc::clone(&crm) as Arc<dyn Crm>, &["0671234567"], None).await;
    until("the search", async || !crm.words.lock().unwrap().is_empty()).await;
    let options: sqlx::sqlite::SqliteConnectOptions = begun.url.parse().unwrap();
    let mut hand = options.busy_timeout(PATIENCE).connect().await.unwrap();
    hand.execute("BEGIN IMMEDIATE").await.unwrap();
    crm.say("the file is locked", 1);
    // Whoever puts it down finds out that it cannot.
    tokio::time::sleep(Duration::from_millis(500)).await;
    begun.stop.cancel();
    let stopped = tokio::time::timeout(Duration::from_mins(1), begun.tasks.wait()).await;
    hand.execute("ROLLBACK").await.unwrap();
    hand.close().await.unwrap();
    assert!(stopped.is_ok(), "it waits for the database");
    begun.end().await;
}

/// A clock that panics once, where it is looked at by this part of leadfold: files, the innermost first.
struct Trips {
    place: Mutex<Option<&'static str>>,
}

impl Clock for Trips {
    fn now(&self) -> Timestamp {
        let mut place = self.place.lock().unwrap();
        let tripped = place.take_if(|place| looked_at_by().starts_with(*place));
        drop(place);
        assert!(tripped.is_none(), "this panic is part of the test");
        SystemClock.now()
    }

    fn new_id(&self) -> Uuid {
        SystemClock.new_id()
    }
}

/// Our own files on the stack.
fn looked_at_by() -> String {
    let stack = Backtrace::force_capture().to_string();
    let mut files: Vec<&str> = stack
        .lines()
        .filter_map(|line| line.trim().strip_prefix("at ./src/")?.split(':').next())
        .filter(|file| *file != "sync/hold.rs")
        .collect();
    files.dedup();
    files.join(" < ")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_abnormally_the_destination_goes_on() {
    let clock = Arc::new(Trips { place: Mutex::default() });
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    rig.boot().await;
    // Whether it looks at the clock when a worker begins; otherwise when a lead comes.
    let places = [
        ("sync/worker.rs", false),
        ("sync/audit.rs", true),
        ("sync/users.rs", true),
        ("sync/judge.rs", false),
        ("sync/worker.rs < store/ledger.rs", false),
        ("store/prepare_work.rs", false),
        ("app/leases.rs", false),
        ("app/due.rs", false),
        ("app/tend.rs", true),
    ];
    for (human, (place, at_start)) in (0..).zip(places) {
        *clock.place.lock().unwrap() = Some(place);
        if at_start {
            rig.restart().await;
        }
        let phone = format!("+38067{:07}", 3_100_003 + human * 16_411);
        let body =
            event(&format!("chat-{human}"), "telegram", json!({ "phone": phone }), now_millis() + human);
        assert_eq!(rig.post(&body).await, 200);
        until(place, async || clock.place.lock().unwrap().is_none()).await;
        let deals = usize::try_from(human).unwrap() + 1;
        until(place, async || rig.stats().deals == deals).await;
    }
    rig.settle().await;
    let (counts, stats) = (rig.counts().await, rig.stats());
    assert_eq!((stats.contacts, stats.deals), (places.len(), places.len()), "{counts:?} {stats:?}");
    assert_eq!(counts.needs_attention, 0, "{counts:?}");
    rig.end().await;
}
