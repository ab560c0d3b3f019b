//! The registry, told as one story on a real database: `SQLite` always, `PostgreSQL` when `DATABASE_URL` names one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use leadfold::clock::{Clock, ManualClock, SystemClock};
use leadfold::event::Delivery;
use leadfold::id::{DeliveryId, EventId, LeadId, PersonId, StepId, SyncId};
use leadfold::lead::{
    Confidence, ContactPart, DealPart, Email, Fields, Identifier, IdentifierKind, Lead, Phone, PhoneKind,
    Proof,
};
use leadfold::map::Files;
use leadfold::plan::{
    Action, ContactFields, DealFields, Plan, Reason, RecordId, RecordKind, Reference, Step,
};
use leadfold::rules::{IdentityRules, Mode, PoolState, Turn};
use leadfold::store::Store;
use leadfold::store::held::{Answer, HeldAnswer};
use leadfold::store::inbox::Arrival;
use leadfold::store::lease::Lease;
use leadfold::store::ledger::Entry;
use leadfold::store::prepare::{EventOutcome, PrepareCounts, Prepared, PreparedDelivery, PreparedEvent};
use leadfold::store::replay::{How, LeftAlone, Remapped, Selection, Snag};
use leadfold::store::syncs::{
    Abandoned, Claimed, Evidence, Next, PlanToStore, StepEnd, StepState, SyncState,
};
use leadfold::store::versions::RememberedSource;
use sqlx::{ConnectOptions as _, Connection as _, Decode, Executor as _, Postgres, Row as _, Sqlite, Type};

use crate::postgres::Database;
use IdentifierKind::{Chat, Email as ByEmail, Phone as ByPhone};

#[tokio::test]
async fn the_story_on_sqlite() {
    let folder = std::env::temp_dir().join(format!("leadfold-story-{}", SystemClock.new_id()));
    let url = format!("sqlite://{}", folder.join("leadfold.db").display());
    let story = Story::begin(url.clone(), url).await;
    story.tell().await;
    std::fs::remove_dir_all::<PathBuf>(folder).unwrap();
}

#[tokio::test]
async fn the_story_on_postgres() {
    let Some(database) = Database::create().await else { return };
    let story = Story::begin(database.url.clone(), database.url.clone()).await;
    story.tell().await;
    database.remove().await;
}

/// What nobody but the database itself can do or tell.
pub(crate) async fn run(url: &str, sql: &str) -> Vec<i64> {
    first_column(url, sql).await
}

/// As [`run`], with texts.
pub(crate) async fn texts(url: &str, sql: &str) -> Vec<String> {
    first_column(url, sql).await
}

async fn first_column<T>(url: &str, sql: &str) -> Vec<T>
where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    if url.starts_with("sqlite") {
        let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.busy_timeout(Duration::from_secs(10)).connect().await.unwrap();
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

pub(crate) struct Story {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) url: String,
}

/// Who gave what in one event, and where it goes.
pub(crate) struct Said<'a> {
    to: &'a str,
    identifiers: &'a [(IdentifierKind, &'a str)],
}

pub(crate) fn said<'a>(to: &'a str, identifiers: &'a [(IdentifierKind, &'a str)]) -> Said<'a> {
    Said { to, identifiers }
}

impl Story {
    pub(crate) async fn begin(database: String, url: String) -> Self {
        let clock = Arc::new(ManualClock::new("2026-03-01T09:00:00Z".parse().unwrap()));
        let store = Store::open(&database, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        Self { store, clock, url }
    }

    async fn tell(self) {
        self.what_is_kept_is_received_in_order().await;
        self.a_key_makes_one_lead_for_as_long_as_it_lives().await;
        self.a_batch_sees_its_own_people().await;
        self.one_lead_of_a_person_at_a_time().await;
        self.backfill_and_held_leads_stand_back().await;
        self.replays_touch_only_what_stands_still().await;
        self.what_has_begun_goes_first().await;
        self.a_plan_is_stored_sent_and_done().await;
        self.an_old_lease_records_nothing().await;
        self.two_people_become_one_with_all_they_have().await;
        self.kept_leads_go_along().await;
        self.who_becomes_another_in_our_hands_goes_back_into_the_queue().await;
        self.nothing_stays_in_dead_hands().await;
        self.one_unreadable_row_stops_nobody().await;
        self.pools_versions_and_sources_are_remembered().await;
        self.trouble_is_told_once_and_once_more_when_it_is_over().await;
        self.store.close().await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn arrival(&self, source: &str, waiting: Option<&str>) -> Arrival {
        let delivery = Delivery {
            id: DeliveryId(self.clock.new_id()),
            source: source.to_owned(),
            method: "POST".to_owned(),
            query: Some("a=\0b".to_owned()),
            headers: vec![("user-agent".to_owned(), "nul \0 and Ї".to_owned())],
            body: vec![0, 0xff, b'{'],
            received_at: self.now(),
        };
        Arrival { delivery, waiting: waiting.map(str::to_owned), unverified_token: None }
    }

    pub(crate) fn event(&self, key: &str, said: &Said) -> PreparedEvent {
        PreparedEvent {
            id: EventId(self.clock.new_id()),
            lead_id: LeadId(self.clock.new_id()),
            fresh_person: PersonId(self.clock.new_id()),
            source: "shop".to_owned(),
            key: key.to_owned(),
            key_until: self.now() + SignedDuration::from_mins(10),
            received_at: self.now(),
            version: "v1".to_owned(),
            chat: None,
            holder: None,
            outcome: EventOutcome::Lead {
                lead: Box::new(lead(said)),
                branch: 0,
                syncs: vec![(SyncId(self.clock.new_id()), said.to.to_owned())],
                to_come: None,
            },
        }
    }

    /// One delivery for each list of events, all in one batch.
    pub(crate) async fn deliver(&self, deliveries: Vec<Vec<PreparedEvent>>) -> PrepareCounts {
        let mut prepared = Vec::new();
        for events in deliveries {
            let arrival = self.arrival("shop", None);
            prepared.push(PreparedDelivery { id: arrival.delivery.id, result: Prepared::Events(events) });
            self.store.inbox().keep(arrival).await.unwrap();
        }
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        self.store.prepare(prepared, IdentityRules::default(), clock).await.unwrap()
    }

    /// New leads, one delivery each, in one batch. Returns lead and sync of each.
    pub(crate) async fn leads(&self, all: &[Said<'_>]) -> Vec<(LeadId, SyncId)> {
        let events: Vec<PreparedEvent> =
            all.iter().map(|said| self.event(&self.clock.new_id().to_string(), said)).collect();
        let ids = events
            .iter()
            .map(|event| match &event.outcome {
                EventOutcome::Lead { syncs, .. } => (event.lead_id, syncs[0].0),
                EventOutcome::Filtered(_) | EventOutcome::NeedsAttention(_) => unreachable!(),
            })
            .collect();
        self.deliver(events.into_iter().map(|event| vec![event]).collect()).await;
        ids
    }

    pub(crate) async fn person(&self, lead: LeadId) -> PersonId {
        self.store.lead(lead).await.unwrap().unwrap().row.person.unwrap().parse().unwrap()
    }

    /// Whose a sync is now.
    pub(crate) async fn owner(&self, sync: SyncId) -> PersonId {
        self.store.person_context(sync, "any").await.unwrap().0
    }

    pub(crate) async fn state(&self, lead: LeadId) -> String {
        self.store.lead(lead).await.unwrap().unwrap().row.state
    }

    pub(crate) async fn claim(&self, lease: &Lease, mode: Mode) -> Vec<Claimed> {
        self.store.claim(lease, mode, self.now(), 100, Vec::new()).await.unwrap()
    }

    pub(crate) async fn claimed_ids(&self, lease: &Lease) -> Vec<SyncId> {
        self.claim(lease, Mode::Live).await.iter().map(|claimed| claimed.id).collect()
    }

    pub(crate) async fn release(&self, lease: &Lease, sync: SyncId, state: SyncState, why: Option<Reason>) {
        let next = Next::Release { state, why, next_at: self.now(), attempts: 0 };
        assert!(self.enter(lease, Entry::Outcomes { sync, steps: Vec::new(), next }).await);
    }

    /// Whether the entry was taken.
    pub(crate) async fn enter(&self, lease: &Lease, entry: Entry) -> bool {
        self.store.record(lease, vec![(Arc::new(entry), self.now())]).await.unwrap()[0]
    }

    pub(crate) async fn lease(&self, destination: &str) -> Lease {
        self.store.take_lease(destination, "me").await.unwrap()
    }

    /// A link of the person that a sync belongs to.
    pub(crate) async fn link(&self, lease: &Lease, sync: SyncId, contact: &str) {
        let plan = PlanToStore {
            sync,
            person: self.owner(sync).await,
            plan: Plan { steps: Vec::new(), reasons: Vec::new(), picked_owner: None },
            replaces: true,
            turn: None,
            adopt: Some(record(contact)),
            carried: Vec::new(),
            told: Vec::new(),
            found: None,
        };
        assert!(self.enter(lease, Entry::Plan(plan)).await);
    }

    async fn what_is_kept_is_received_in_order(&self) {
        let first = self.arrival("shop", None);
        let waits = self.arrival("later", Some("its mapping is broken at later.yaml:3"));
        let last = self.arrival("shop", None);
        for arrival in [&last, &waits, &first] {
            self.store.inbox().keep(arrival.clone()).await.unwrap();
        }
        let received = self.store.received(10).await.unwrap();
        let ids: Vec<_> = received.iter().map(|received| received.delivery.id).collect();
        assert_eq!(ids, [first.delivery.id, last.delivery.id], "the oldest first, and none that waits");
        let kept = &received[0].delivery;
        assert_eq!(kept.body, first.delivery.body, "bodies are bytes");
        assert_eq!(kept.query.as_deref(), Some("a=b"), "texts lose U+0000, which PostgreSQL refuses");
        assert_eq!(kept.received_at, self.now());
        assert_eq!(self.store.received(1).await.unwrap().len(), 1);
        assert!(!self.store.is_quiet().await.unwrap());

        let count = async || self.store.counts().await.unwrap().deliveries;
        let before = count().await;
        self.store.inbox().keep(first.clone()).await.unwrap();
        assert_eq!(
            count().await,
            before,
            "what is offered once more, because its answer was lost, is one row"
        );

        let ends = vec![
            PreparedDelivery { id: first.delivery.id, result: Prepared::Unreadable("no JSON".into()) },
            PreparedDelivery { id: last.delivery.id, result: Prepared::Waiting("paused".into()) },
            PreparedDelivery { id: waits.delivery.id, result: Prepared::Events(Vec::new()) },
        ];
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let counts = self.store.prepare(ends, IdentityRules::default(), clock).await.unwrap();
        assert_eq!(counts.deliveries, 2, "what waits is not prepared behind its back");
        assert_eq!(self.store.requeue_waiting(vec![]).await.unwrap(), 0);
        assert_eq!(self.store.requeue_waiting(vec!["later".into()]).await.unwrap(), 1);
        assert_eq!(self.store.received(10).await.unwrap()[0].delivery.id, waits.delivery.id);
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let end = PreparedDelivery { id: waits.delivery.id, result: Prepared::Refused("wrong token".into()) };
        self.store.prepare(vec![end], IdentityRules::default(), clock).await.unwrap();
        let counts = self.store.counts().await.unwrap();
        assert_eq!((counts.unreadable, counts.waiting_deliveries, counts.received), (1, 1, 0));
        assert!(self.store.is_quiet().await.unwrap(), "what waits for its mapping is at rest");
    }

    async fn a_key_makes_one_lead_for_as_long_as_it_lives(&self) {
        let said = said("keys", &[(ByPhone, "+380671110001")]);
        let first = self.event("form-1", &said);
        let batch = vec![vec![first.clone(), self.event("form-1", &said)], vec![self.event("form-1", &said)]];
        let counts = self.deliver(batch).await;
        assert_eq!((counts.deliveries, counts.leads, counts.redeliveries), (2, 1, 2), "repeats in one batch");
        self.clock.advance(SignedDuration::from_mins(10));
        let counts = self.deliver(vec![vec![self.event("form-1", &said)]]).await;
        assert_eq!((counts.leads, counts.redeliveries), (0, 1), "the last moment of the window");
        let detail = self.store.lead(first.lead_id).await.unwrap().unwrap();
        assert_eq!(detail.redeliveries.len(), 3, "each is linked to the first");
        self.clock.advance(SignedDuration::from_millis(1));
        let counts = self.deliver(vec![vec![self.event("form-1", &said)]]).await;
        assert_eq!((counts.leads, counts.redeliveries), (1, 0), "after it, the same form is a new event");
        let found = self.store.leads_of(&["+380671110001".to_owned()], 10).await.unwrap();
        assert_eq!(found.len(), 2, "both are this human's");
        assert_eq!(self.store.leads(None, 1).await.unwrap()[0].id, found[0].id, "the newest first");
        let before = self.store.leads(Some(found[0].sequence), 1).await.unwrap();
        assert_eq!(before[0].id, first.lead_id);
    }

    async fn a_batch_sees_its_own_people(&self) {
        let leads = self
            .leads(&[
                said("people", &[(Chat, "tg-1")]),
                said("people", &[(ByPhone, "+380671110002")]),
                // The chat turns out to be the owner of the phone.
                said("people", &[(Chat, "tg-1"), (ByPhone, "+380671110002")]),
                said("people", &[(ByEmail, "b@example.org"), (ByPhone, "+380671110902")]),
                // Phone says one, email another who has another phone: nobody is moved.
                said("people", &[(ByPhone, "+380671110002"), (ByEmail, "b@example.org")]),
                said("people", &[(ByEmail, "b@example.org")]),
            ])
            .await;
        let mut persons = Vec::new();
        for (lead, _) in &leads {
            persons.push(self.person(*lead).await);
        }
        let [chat, phone, both, email, torn, email_again] = persons[..] else { unreachable!() };
        assert_eq!((chat, both, torn), (phone, phone, phone), "the anonymous chat is absorbed");
        assert_ne!(email, phone);
        assert_eq!(email_again, email, "the email stays whose it was");
        let decision = self.store.lead(leads[4].0).await.unwrap().unwrap().decision.unwrap();
        assert_eq!(decision.why_not.len(), 1, "{decision:?}");
        let merges = run(&self.url, "SELECT COUNT(*) FROM merges").await;
        assert_eq!(merges, [1], "and the audit trail says so");

        // The same in a batch of its own: the chat is no longer anonymous, so nothing is absorbed.
        let later = self.leads(&[said("people", &[(Chat, "tg-1"), (ByEmail, "b@example.org")])]).await;
        assert_eq!(self.person(later[0].0).await, phone, "a chat outranks an email");
    }

    async fn one_lead_of_a_person_at_a_time(&self) {
        let lease = self.lease("turns").await;
        let leads = self
            .leads(&[
                said("turns", &[(ByPhone, "+380671110003")]),
                said("turns", &[(ByPhone, "+380671110003")]),
                said("turns", &[(ByPhone, "+380671110004")]),
            ])
            .await;
        let [(_, first), (_, second), (_, other)] = leads[..] else { unreachable!() };
        assert_eq!(self.claimed_ids(&lease).await, [first, other], "the oldest of each person");
        assert_eq!(self.claimed_ids(&lease).await, [], "what is in somebody's hands holds back the rest");
        let later = self.now() + SignedDuration::from_mins(1);
        let next = Next::Release { state: SyncState::Ready, why: None, next_at: later, attempts: 1 };
        assert!(self.enter(&lease, Entry::Outcomes { sync: first, steps: Vec::new(), next }).await);
        assert_eq!(self.claimed_ids(&lease).await, [], "a retry holds back the person's later leads");
        assert_eq!(self.store.next_due("turns", self.now()).await.unwrap(), Some(later));
        self.clock.advance(SignedDuration::from_mins(1));
        assert_eq!(self.store.next_due("turns", self.now()).await.unwrap(), None);
        assert_eq!(self.claimed_ids(&lease).await, [first]);
        self.release(&lease, first, SyncState::NeedsAttention, None).await;
        assert_eq!(self.claimed_ids(&lease).await, [second], "needs-attention holds back nobody");
        self.release(&lease, second, SyncState::Synced, None).await;
        self.release(&lease, other, SyncState::Unknown, None).await;
        let after = self.leads(&[said("turns", &[(ByPhone, "+380671110004")])]).await;
        assert_eq!(self.claimed_ids(&lease).await, [other], "unknown holds back the person's later leads");
        self.release(&lease, other, SyncState::Synced, None).await;
        assert_eq!(self.claimed_ids(&lease).await, [after[0].1]);
    }

    async fn backfill_and_held_leads_stand_back(&self) {
        let lease = self.lease("ranks").await;
        let human = [(ByPhone, "+380671110005")];
        let leads = self.leads(&[said("ranks", &human), said("ranks", &human), said("ranks", &human)]).await;
        let [(_, imported), (_, live), (_, next)] = leads[..] else { unreachable!() };
        run(&self.url, &format!("UPDATE syncs SET priority = 1 WHERE id = '{imported}'")).await;
        assert_eq!(self.claimed_ids(&lease).await, [live], "a live lead does not wait for backfill");
        let plan = Plan { steps: Vec::new(), reasons: Vec::new(), picked_owner: None };
        let entry = Entry::Hold { sync: live, person: self.owner(live).await, plan };
        assert!(self.enter(&lease, entry).await);
        let observed = self.claim(&lease, Mode::Observe).await;
        assert_eq!(observed.len(), 1, "what is held holds back nobody");
        assert_eq!(observed[0].id, next);
        self.release(&lease, next, SyncState::Unknown, None).await;
        assert!(
            self.claim(&lease, Mode::Observe).await.is_empty(),
            "what has begun does not go on while nothing is to be written"
        );
        assert_eq!(self.claimed_ids(&lease).await, [next], "once live, what has begun goes on");
        self.release(&lease, next, SyncState::Synced, None).await;
        assert_eq!(
            self.claimed_ids(&lease).await,
            [imported],
            "then backfill, and what is held waits for a person"
        );
        self.release(&lease, imported, SyncState::Synced, None).await;
        assert!(self.claimed_ids(&lease).await.is_empty());
        let held = self.store.held("ranks", 10).await.unwrap();
        assert_eq!((held.count, &*held.plans), (1, &[("write nothing".to_owned(), 1)][..]));
        let answer = HeldAnswer {
            destination: "ranks".to_owned(),
            answer: Answer::Push,
            let_through: true,
            up_to: held.up_to,
            limit: 10,
        };
        assert_eq!(self.store.answer_held(answer.clone(), self.now()).await.unwrap(), 1);
        assert_eq!(self.store.answer_held(answer, self.now()).await.unwrap(), 0, "an answer is given once");
        let [claimed] = &self.claim(&lease, Mode::Observe).await[..] else {
            panic!("the one that was let through")
        };
        assert_eq!((claimed.id, claimed.let_through), (live, true));
        assert!(self.store.history(live).await.unwrap().1, "a later lead was brought before it");
        self.release(&lease, live, SyncState::Unknown, None).await;
        assert_eq!(
            self.claim(&lease, Mode::Observe).await.len(),
            1,
            "what was let through goes on while observing"
        );
        self.release(&lease, live, SyncState::Synced, None).await;
    }

    async fn replays_touch_only_what_stands_still(&self) {
        let lease = self.lease("replays").await;
        let phones = ["+380671110021", "+380671110022", "+380671110023"];
        let humans = phones.map(|phone| [(ByPhone, phone)]);
        let leads = self.leads(&humans.each_ref().map(|human| said("replays", human))).await;
        let [(stuck_lead, stuck), (_, rejected), (_, in_hand)] = leads[..] else { unreachable!() };
        assert_eq!(self.claimed_ids(&lease).await, [stuck, rejected, in_hand]);
        let why = |code: &str| Some(Reason::new(code, "Why."));
        self.release(&lease, stuck, SyncState::NeedsAttention, why("blind_step_unknown")).await;
        self.release(&lease, rejected, SyncState::NeedsAttention, why("crm_rejected")).await;
        let at = self.now().as_millisecond();
        let action = serde_json::to_string(&self.plan_of_two().steps[0].action).unwrap();
        let step = |sync: SyncId, kind: &str, state: &str| {
            let id = self.clock.new_id();
            format!(
                "INSERT INTO steps (id, sync, position, kind, action, state, sent_at) \
                 VALUES ('{id}', '{sync}', 0, '{kind}', '{action}', '{state}', {at})"
            )
        };
        run(&self.url, &step(stuck, "create task", "unknown")).await;
        run(&self.url, &step(rejected, "create deal", "done")).await;
        let select = Selection { destination: Some("replays".to_owned()), ..Selection::default() };
        let (items, next) = self.store.replayable(&select, None, None, 10).await.unwrap();
        let snags: Vec<Option<Snag>> = items.iter().map(|item| item.snag).collect();
        assert_eq!(snags, [Some(Snag::InDoubt), None, Some(Snag::InHand)]);
        assert_eq!(next, None);
        let narrow = Selection {
            states: vec!["needs-attention".to_owned()],
            cause: Some("crm_rejected".to_owned()),
            source: Some("shop".to_owned()),
            from: Some(self.now()),
            to: Some(self.now() + SignedDuration::from_millis(1)),
            leads: leads.iter().map(|(lead, _)| *lead).collect(),
            ..select.clone()
        };
        let (items, _) =
            self.store.replayable(&narrow, Some(stuck_lead), Some(leads[2].0), 10).await.unwrap();
        assert_eq!(items.iter().filter_map(|item| item.sync).collect::<Vec<_>>(), [rejected]);

        let all = vec![stuck, rejected, in_hand];
        assert_eq!(self.store.replay_syncs(all.clone(), How::Resume, self.now()).await.unwrap(), 2);
        assert_eq!(
            self.store.replay_syncs(all, How::Resume, self.now()).await.unwrap(),
            0,
            "they are on their way"
        );
        let claimed = self.claim(&lease, Mode::Live).await;
        let [stuck, rejected] = &claimed[..] else { panic!("two go on: {claimed:?}") };
        assert_eq!((stuck.steps.len(), stuck.brought), (1, false), "its plan goes on as it is");
        assert_eq!(
            (rejected.steps.len(), rejected.brought),
            (0, true),
            "decided anew; it made its deal before"
        );

        // Mapped again while one of the leads is in hand: the other becomes somebody else's.
        let other = [(ByPhone, "+380671110024")];
        self.release(&lease, stuck.id, SyncState::NeedsAttention, why("mapping_unreadable")).await;
        run(&self.url, &format!("DELETE FROM steps WHERE sync = '{}'", stuck.id)).await;
        let before = self.person(stuck_lead).await;
        let remapped = |claimed: &Claimed| Remapped {
            lead: claimed.lead_id,
            syncs: [claimed.id].into(),
            version: "v2".to_owned(),
            outcome: EventOutcome::Lead {
                lead: Box::new(lead(&said("replays", &other))),
                branch: 1,
                syncs: ["replays", "second"].map(|to| (SyncId(self.clock.new_id()), to.to_owned())).into(),
                to_come: None,
            },
            fresh_person: PersonId(self.clock.new_id()),
            holder: None,
        };
        let batch = vec![remapped(stuck), remapped(rejected)];
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let order = IdentityRules::default();
        let ends = self.store.replan(batch, order, BTreeSet::new(), clock).await.unwrap();
        assert_eq!(ends, [Ok(()), Err(LeftAlone::UnderWay)]);
        let detail = self.store.lead(stuck_lead).await.unwrap().unwrap();
        assert_eq!((&*detail.version, detail.syncs.len()), ("v2", 2), "one more destination");
        assert_ne!(self.person(stuck_lead).await, before);
        assert_eq!(self.owner(stuck.id).await, self.person(stuck_lead).await, "its syncs go along");
        self.release(&lease, rejected.id, SyncState::Synced, None).await;
        for sync in self.claimed_ids(&lease).await {
            self.release(&lease, sync, SyncState::Synced, None).await;
        }
        self.release(&lease, in_hand, SyncState::Synced, None).await;
        let second = self.lease("second").await;
        for sync in self.claimed_ids(&second).await {
            self.release(&second, sync, SyncState::Synced, None).await;
        }
    }

    async fn what_has_begun_goes_first(&self) {
        let lease = self.lease("begun").await;
        let leads = self
            .leads(&[
                said("begun", &[(ByPhone, "+380671110006")]),
                said("begun", &[(ByPhone, "+380671110007")]),
            ])
            .await;
        let [(first_lead, first), (second_lead, second)] = leads[..] else { unreachable!() };
        assert_eq!(self.claimed_ids(&lease).await, [first, second]);
        self.release(&lease, second, SyncState::Unknown, None).await;
        // They become one person while the second has a contact that may or may not have been made.
        let evidence = Evidence {
            sync: first,
            from: self.person(first_lead).await,
            into: self.person(second_lead).await,
            record: RecordId("1".to_owned()),
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        self.store.merge_on_evidence(&lease, evidence, clock).await.unwrap();
        assert_eq!(self.claimed_ids(&lease).await, [second], "although the first is older");
        assert_eq!(self.claimed_ids(&lease).await, []);
        self.release(&lease, second, SyncState::Synced, None).await;
        assert_eq!(self.claimed_ids(&lease).await, [first]);
    }

    async fn a_plan_is_stored_sent_and_done(&self) {
        let lease = self.lease("plans").await;
        let leads = self.leads(&[said("plans", &[(ByPhone, "+380671110008")])]).await;
        let (lead, sync) = leads[0];
        self.claim(&lease, Mode::Live).await;
        let dropped = self.plan_of_two();
        let plan = self.plan_of_two();
        let [contact, deal] = [plan.steps[0].id, plan.steps[1].id];
        for plan in [dropped, plan] {
            let plan = PlanToStore {
                sync,
                person: self.owner(sync).await,
                plan,
                replaces: true,
                turn: None,
                adopt: None,
                carried: Vec::new(),
                told: Vec::new(),
                found: None,
            };
            assert!(self.enter(&lease, Entry::Plan(plan)).await);
        }
        assert!(self.enter(&lease, Entry::Sent { steps: vec![contact], pins: Vec::new() }).await);
        assert_eq!(self.state(lead).await, "pushing");
        let done = StepEnd::Done { record: record("c-1"), link: Some((RecordKind::Contact, None)) };
        let ends = vec![(contact, done), (deal, StepEnd::NotWritten("429".into()))];
        let outcomes = Entry::Outcomes { sync, steps: ends, next: Next::Continue };
        assert!(self.enter(&lease, outcomes).await);
        assert!(self.claim(&lease, Mode::Live).await.is_empty(), "it stays in our hands");

        // The process dies here; the next one finds everything as it was.
        let lease = self.lease("plans").await;
        let claimed = self.claim(&lease, Mode::Live).await;
        let steps: Vec<_> = claimed[0].steps.iter().map(|step| (step.step.id, step.state)).collect();
        assert_eq!(
            steps,
            [(contact, StepState::Done), (deal, StepState::Planned)],
            "the dropped plan is gone"
        );
        assert_eq!(claimed[0].steps[0].record, Some(record("c-1")));
        assert_eq!(claimed[0].steps[0].sent_at, Some(self.now()));
        assert_eq!(claimed[0].owner.as_deref(), Some("anna"), "the pick stays");
        let done =
            StepEnd::Done { record: record("d-1"), link: Some((RecordKind::Deal, Some(record("c-1")))) };
        let next = Next::Release { state: SyncState::Synced, why: None, next_at: self.now(), attempts: 0 };
        assert!(self.enter(&lease, Entry::Outcomes { sync, steps: vec![(deal, done)], next }).await);
        assert_eq!(self.state(lead).await, "synced");

        let person = self.person(lead).await;
        let (_, context) = self.store.person_context(sync, "plans").await.unwrap();
        assert_eq!(context.contact, Some(record("c-1")));
        assert_eq!(context.deals, [(record("d-1"), Some(record("c-1")), self.now())]);
        assert_eq!(context.phones, ["+380671110008"]);
        let linked = self.store.linked_persons("plans", &[record("c-1"), record("c-2")]).await.unwrap();
        assert_eq!(linked, [(record("c-1"), person)]);
        assert_eq!(self.store.last_task(person, "plans").await.unwrap(), None);

        self.store.drop_link(&lease, record("c-1")).await.unwrap();
        let (_, context) = self.store.person_context(sync, "plans").await.unwrap();
        assert_eq!((context.contact, context.deals), (None, Vec::new()), "its deals are gone with it");
    }

    pub(crate) fn plan_of_two(&self) -> Plan {
        let [contact, deal] = [StepId(self.clock.new_id()), StepId(self.clock.new_id())];
        let create = Action::CreateContact { contact: ContactFields::default() };
        let on = Action::CreateDeal { contact: Reference::Step(contact), deal: DealFields::default() };
        Plan {
            steps: vec![Step { id: contact, action: create }, Step { id: deal, action: on }],
            reasons: vec![Reason::new("no_contact_found", "Nobody.")],
            picked_owner: Some("anna".to_owned()),
        }
    }

    async fn an_old_lease_records_nothing(&self) {
        let old = self.lease("epochs").await;
        let leads = self.leads(&[said("epochs", &[(ByPhone, "+380671110009")])]).await;
        let (lead, sync) = leads[0];
        assert_eq!(self.claimed_ids(&old).await, [sync]);
        let new = self.lease("epochs").await;
        let now = self.now();
        let plan = self.plan_of_two();
        let (step, person) = (plan.steps[0].id, self.owner(sync).await);
        let to_store = PlanToStore {
            sync,
            person,
            plan: plan.clone(),
            replaces: true,
            turn: None,
            adopt: None,
            carried: Vec::new(),
            told: Vec::new(),
            found: None,
        };
        let next = Next::Release { state: SyncState::Synced, why: None, next_at: now, attempts: 0 };
        let outcomes = Entry::Outcomes { sync, steps: Vec::new(), next };
        let hold = Arc::new(Entry::Hold { sync, person, plan });
        let refused = [
            self.store.claim(&old, Mode::Live, now, 1, Vec::new()).await.map(drop),
            self.store.record(&old, vec![(Arc::new(Entry::Plan(to_store)), now)]).await.map(drop),
            self.store
                .record(&old, vec![(Arc::new(Entry::Sent { steps: vec![step], pins: Vec::new() }), now)])
                .await
                .map(drop),
            self.store.record(&old, vec![(Arc::new(outcomes), now)]).await.map(drop),
            self.store.record(&old, vec![(hold, now)]).await.map(drop),
            self.store.drop_link(&old, record("c-1")).await,
            self.store.free_claims_except(&old, Vec::new()).await.map(drop),
        ];
        for result in refused {
            assert!(result.unwrap_err().is_final(), "trying again would only fail again");
        }
        assert_eq!(self.state(lead).await, "ready");
        assert_eq!(self.claimed_ids(&new).await, [sync], "what the old one had is free");
    }

    async fn two_people_become_one_with_all_they_have(&self) {
        let [here, there] = [self.lease("here").await, self.lease("there").await];
        let leads = self
            .leads(&[
                said("there", &[(ByPhone, "+380671110010")]),
                said("here", &[(ByPhone, "+380671110010")]),
                said("here", &[(ByEmail, "c@example.org")]),
                said("here", &[(ByEmail, "d@example.org")]),
            ])
            .await;
        let [(lead, elsewhere), (its_lead, sync), (into_lead, into_sync), (last_lead, last_sync)] = leads[..]
        else {
            unreachable!()
        };
        let (from, into, last) =
            (self.person(lead).await, self.person(into_lead).await, self.person(last_lead).await);
        self.claim(&there, Mode::Live).await;
        self.link(&there, elsewhere, "there-1").await;
        self.claim(&here, Mode::Live).await;
        self.link(&here, into_sync, "here-1").await;
        let merge = async |sync, from, into| {
            let evidence = Evidence { sync, from, into, record: RecordId("1".to_owned()) };
            let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
            self.store.merge_on_evidence(&here, evidence, clock).await.unwrap();
        };
        merge(sync, from, into).await;
        assert_eq!(self.person(lead).await, into);
        let decision = self.store.lead(its_lead).await.unwrap().unwrap().decision.unwrap();
        assert_eq!(decision.why.last().unwrap().code, "merged_one_crm_record", "{decision:?}");
        let linked = self.store.linked_persons("there", &[record("there-1")]).await.unwrap();
        assert_eq!(linked, [(record("there-1"), into)], "what they have elsewhere comes along");
        let (_, context) = self.store.person_context(sync, "here").await.unwrap();
        assert_eq!(
            (context.phones, context.emails),
            (vec!["+380671110010".into()], vec!["c@example.org".into()])
        );
        assert_eq!(self.claimed_ids(&here).await, [sync], "the sync is in the queue of who stays");

        // Once more, and about people who are somebody else by now: never in circles.
        merge(sync, from, into).await;
        merge(last_sync, last, from).await;
        assert_eq!(self.person(last_lead).await, into, "into whom the other became");
        merge(last_sync, into, last).await;
        assert_eq!(self.person(last_lead).await, into);
        let circles = "SELECT COUNT(*) FROM persons a JOIN persons b ON b.id = a.merged_into \
                       WHERE b.merged_into = a.id OR a.merged_into = a.id";
        assert_eq!(run(&self.url, circles).await, [0]);
    }

    async fn kept_leads_go_along(&self) {
        let lease = self.lease("kept").await;
        let leads = self
            .leads(&[
                said("kept", &[(Chat, "tg-2")]),
                said("kept", &[(Chat, "tg-2"), (ByPhone, "+380671110011")]),
            ])
            .await;
        let [(_, kept), (_, sync)] = leads[..] else { unreachable!() };
        assert_eq!(self.claimed_ids(&lease).await, [kept]);
        let why = Reason::new("needs_phone_or_email", "no phone or email");
        self.release(&lease, kept, SyncState::Filtered, Some(why)).await;
        assert_eq!(self.claimed_ids(&lease).await, [sync]);
        let kept_ids = async |sync| -> Vec<SyncId> {
            let (_, context) = self.store.person_context(sync, "kept").await.unwrap();
            context.kept.iter().map(|(sync, _)| *sync).collect()
        };
        assert_eq!(kept_ids(sync).await, [kept]);
        let plan = PlanToStore {
            sync,
            person: self.owner(sync).await,
            plan: self.plan_of_two(),
            replaces: true,
            turn: None,
            adopt: None,
            carried: vec![kept],
            told: Vec::new(),
            found: None,
        };
        assert!(self.enter(&lease, Entry::Plan(plan)).await);
        assert_eq!(kept_ids(sync).await, [kept], "a plan that is made anew takes it along again");
        assert_eq!(kept_ids(kept).await, [], "nobody else does");
    }

    async fn who_becomes_another_in_our_hands_goes_back_into_the_queue(&self) {
        let lease = self.lease("joined").await;
        let anonymous = self.leads(&[said("joined", &[(Chat, "tg-9")])]).await[0].1;
        assert_eq!(self.claimed_ids(&lease).await, [anonymous]);
        let before = self.owner(anonymous).await;
        // While it is in our hands, its chat gives the phone of somebody whose lead may be under way.
        let leads = self
            .leads(&[
                said("joined", &[(ByPhone, "+380671110099")]),
                said("joined", &[(Chat, "tg-9"), (ByPhone, "+380671110099")]),
            ])
            .await;
        assert_eq!(self.owner(anonymous).await, self.owner(leads[0].1).await);
        let plan = PlanToStore {
            sync: anonymous,
            person: before,
            plan: self.plan_of_two(),
            replaces: true,
            turn: None,
            adopt: None,
            carried: Vec::new(),
            told: Vec::new(),
            found: None,
        };
        assert!(!self.enter(&lease, Entry::Plan(plan)).await, "nothing is stored");
        let next = Next::Release { state: SyncState::Filtered, why: None, next_at: self.now(), attempts: 0 };
        let verdict = Entry::Verdict { sync: anonymous, person: before, next, found: None };
        assert!(!self.enter(&lease, verdict).await, "nor an end that was meant for somebody else");
        assert_eq!(self.claimed_ids(&lease).await, [anonymous], "the oldest of the one human, alone");
    }

    async fn nothing_stays_in_dead_hands(&self) {
        let lease = self.lease("hands").await;
        let leads = self
            .leads(&[
                said("hands", &[(ByPhone, "+380671110012")]),
                said("hands", &[(ByPhone, "+380671110013")]),
            ])
            .await;
        let [(lead, first), (done_lead, done)] = leads[..] else { unreachable!() };
        let later = self.now() + SignedDuration::from_secs(1);
        for attempt in 1..=2 {
            assert!(self.claimed_ids(&lease).await.contains(&first));
            if attempt == 1 {
                self.release(&lease, done, SyncState::Synced, None).await;
            }
            let abandoned = Abandoned {
                syncs: vec![first, done],
                why: Reason::new("internal_error", "a bug"),
                next_at: later,
                most_attempts: 2,
            };
            self.store.put_down_abandoned(&lease, abandoned, self.now()).await.unwrap();
            assert_eq!(self.state(done_lead).await, "synced", "what was put down in time stays");
            let expected = if attempt == 1 { "ready" } else { "needs-attention" };
            assert_eq!(self.state(lead).await, expected);
            self.clock.advance(SignedDuration::from_secs(1));
        }
        let leads = self
            .leads(&[
                said("hands", &[(ByPhone, "+380671110014")]),
                said("hands", &[(ByPhone, "+380671110015")]),
            ])
            .await;
        let [(_, mine), (_, lost)] = leads[..] else { unreachable!() };
        assert_eq!(self.claimed_ids(&lease).await, [mine, lost]);
        assert_eq!(self.store.free_claims_except(&lease, vec![mine]).await.unwrap(), 1);
        assert_eq!(self.claimed_ids(&lease).await, [lost]);
        assert_eq!(self.store.free_claims_except(&lease, Vec::new()).await.unwrap(), 2);
    }

    async fn one_unreadable_row_stops_nobody(&self) {
        let lease = self.lease("rows").await;
        let leads = self
            .leads(&[
                said("rows", &[(ByPhone, "+380671110016")]),
                said("rows", &[(ByPhone, "+380671110017")]),
            ])
            .await;
        let [(broken, _), (_, whole)] = leads[..] else { unreachable!() };
        run(&self.url, &format!("UPDATE leads SET lead = '{{}}' WHERE id = '{broken}'")).await;
        assert_eq!(self.claimed_ids(&lease).await, [whole]);
        assert_eq!(self.state(broken).await, "needs-attention");
    }

    async fn pools_versions_and_sources_are_remembered(&self) {
        let lease = self.lease("memory").await;
        let leads = self.leads(&[said("memory", &[(ByPhone, "+380671110018")])]).await;
        let (_, sync) = leads[0];
        let turn =
            |user: &str, day| Turn { user: user.to_owned(), day, owed: [(user.to_owned(), -5)].into() };
        let (monday, tuesday) = (date(2026, 5, 4), date(2026, 5, 5));
        let mut expect = PoolState::default();
        assert_eq!(self.claimed_ids(&lease).await, [sync]);
        for turn in [turn("anna", monday), turn("boris", tuesday), turn("anna", monday)] {
            expect.take(&turn);
            let plan = PlanToStore {
                sync,
                person: self.owner(sync).await,
                plan: self.plan_of_two(),
                replaces: true,
                turn: Some(("sales".to_owned(), turn)),
                adopt: None,
                carried: Vec::new(),
                told: Vec::new(),
                found: None,
            };
            assert!(self.enter(&lease, Entry::Plan(plan)).await);
        }
        let pools = self.store.pools("memory").await.unwrap();
        assert_eq!(
            pools,
            [("sales".to_owned(), expect)],
            "every turn counts, in whatever order they are stored"
        );

        let files = |text: &str| Files([("workspace.yaml".to_owned(), text.to_owned())].into());
        let source = |name: &str, token: &str| RememberedSource {
            name: name.to_owned(),
            preset: "json".to_owned(),
            token_hash: token.to_owned(),
        };
        assert!(self.store.active_version().await.unwrap().is_none());
        let (old, new) = (vec![source("a", "1"), source("b", "1")], vec![source("b", "2")]);
        self.store.remember_sources(old, self.now()).await.unwrap();
        self.store.remember_sources(new, self.now()).await.unwrap();
        let instead_of = async |known: Option<&str>, hash: &str| {
            self.store.activate_instead_of(known, hash, &files(hash), self.now()).await.unwrap()
        };
        assert!(!instead_of(Some("one"), "two").await, "what is not active cannot be replaced");
        assert!(self.store.version("two").await.unwrap().is_none(), "nor does it leave a trace");
        let at_once = tokio::join!(instead_of(None, "one"), instead_of(None, "two"));
        assert!(at_once.0 != at_once.1, "of two first ones, one is active");
        self.store.activate("one", &files("one"), self.now()).await.unwrap();
        let at_once = tokio::join!(instead_of(Some("one"), "two"), instead_of(Some("one"), "three"));
        assert!(at_once.0 != at_once.1, "of two that know the same one, one is active");
        self.store.activate("two", &files("two"), self.now()).await.unwrap();
        self.store.activate("one", &files("one"), self.now()).await.unwrap();
        assert_eq!(self.store.active_hash().await.unwrap().as_deref(), Some("one"));
        let versions = self.store.versions(100).await.unwrap();
        let active: Vec<_> = versions
            .iter()
            .filter(|version| version.active_since.is_some())
            .map(|version| &version.hash)
            .collect();
        assert_eq!(active, ["one"]);
        assert_eq!(
            versions.iter().map(|version| version.leads).sum::<i64>(),
            0,
            "none of the story's leads is theirs"
        );
        let (hash, active) = self.store.active_version().await.unwrap().unwrap();
        assert_eq!((hash.as_str(), active.0), ("one", files("one").0));
        assert_eq!(self.store.version("two").await.unwrap().unwrap().0, files("two").0);
        assert!(self.store.version("four").await.unwrap().is_none());
        let remembered = self.store.remembered_sources().await.unwrap();
        assert_eq!(remembered, [source("a", "1"), source("b", "2")], "also what was removed");

        let mut codes: Vec<String> =
            self.store.causes().await.unwrap().into_iter().map(|cause| cause.code).collect();
        codes.sort();
        assert_eq!(codes, ["internal_error", "lead_unreadable"], "one for each cause");
    }

    /// What is to be said to whom, as several processes at once find it.
    async fn trouble_is_told_once_and_once_more_when_it_is_over(&self) {
        let (store, now) = (&self.store, self.now());
        let only = async || {
            let messages = store.messages().await.unwrap();
            assert_eq!(messages.len(), 1, "{messages:?}");
            messages.into_iter().next().unwrap()
        };
        for text in ["first", "second"] {
            store.notice("paused:shop", text, now).await.unwrap();
            store.address("paused:shop", "webhook", text).await.unwrap();
        }
        let troubles = store.troubles().await.unwrap();
        assert_eq!((troubles[0].cause.as_str(), troubles[0].text.as_str()), ("paused:shop", "first"));
        let message = only().await;
        assert_eq!((message.text.as_str(), message.told, message.next_at), ("first", false, 0));
        let at_once = tokio::join!(store.take_message(&message, now), store.take_message(&message, now));
        assert!(at_once.0.unwrap() != at_once.1.unwrap(), "one of them sends it");
        assert!(!store.take_message(&message, now).await.unwrap());
        store.message_refused(&message, now).await.unwrap();
        assert_eq!((only().await.tries, only().await.next_at), (1, now.as_millisecond()));
        let again = only().await;
        assert!(store.take_message(&again, now).await.unwrap());
        // It is over and forgotten while the channel takes it: so that is to be said.
        store.end_trouble("paused:shop").await.unwrap();
        store.forget_message(&again).await.unwrap();
        store.message_taken(&again).await.unwrap();
        let told = only().await;
        assert!(told.told && told.tries == 0 && store.troubles().await.unwrap().is_empty());
        store.message_taken(&told).await.unwrap();
        let known = only().await;
        assert!(!known.told);
        store.forget_message(&told).await.unwrap();
        assert_eq!(only().await, known, "what was known meanwhile is not forgotten");
        store.forget_message(&known).await.unwrap();
        assert!(store.messages().await.unwrap().is_empty());
    }
}

pub(crate) fn record(id: &str) -> RecordId {
    RecordId(id.to_owned())
}

pub(crate) fn lead(said: &Said) -> Lead {
    let mut contact = ContactPart::default();
    let mut identifiers = Vec::new();
    for (kind, value) in said.identifiers {
        let value = (*value).to_owned();
        match kind {
            ByPhone => contact.phones.push(Phone {
                e164: value.clone(),
                extension: None,
                region: None,
                kind: PhoneKind::Mobile,
                confidence: Confidence::Exact,
                match_keys: vec![value.clone()],
                raw: value.clone(),
            }),
            ByEmail => contact.emails.push(Email {
                address: value.clone(),
                match_key: Some(value.clone()),
                raw: value.clone(),
            }),
            IdentifierKind::CrmId
            | IdentifierKind::ExternalCustomer
            | Chat
            | IdentifierKind::Device
            | IdentifierKind::Click => {}
        }
        let scope = if *kind == Chat { "sendpulse:bot" } else { "" };
        identifiers.push(Identifier {
            kind: *kind,
            scope: scope.to_owned(),
            keys: vec![value],
            proof: Proof::Claimed,
        });
    }
    Lead {
        source: "shop".to_owned(),
        branch: "all".to_owned(),
        to: vec![said.to.to_owned()],
        contact,
        deal: DealPart::default(),
        task: None,
        note: None,
        owners: None,
        identifiers,
        links: Vec::new(),
        chat: None,
        chat_scope: None,
        chat_active: false,
        person_fields: Fields::new(),
        adds_token: false,
        flaws: Vec::new(),
        postback: None,
        afterwards: Vec::new(),
        given: None,
    }
}
