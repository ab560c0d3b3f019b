//! What was sent again after a look-up had found nothing is looked for once more: a request that arrives late after all is
//! reported, exactly it, and nothing else is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use leadfold::clock::{Clock, SystemClock};
use leadfold::sandbox::Faults;
use leadfold::store::registry::LeadDetail;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};
use uuid::Uuid;

use crate::alerts::Hook;
use crate::rig::{IMPATIENT, MAPPING, PATIENCE, Rig, event, metrics, now_millis, until};

/// Much longer than leadfold takes to look, and to send again.
const LATE: Duration = Duration::from_secs(5);

/// The system's clock, put forward.
pub(crate) struct Ahead(pub(crate) AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn new_id(&self) -> Uuid {
        SystemClock.new_id()
    }
}

/// A leadfold whose clock can be put forward, and who is told of causes.
struct Watched {
    rig: Rig,
    hook: Hook,
    clock: Arc<Ahead>,
}

impl Watched {
    async fn start(destination: &str) -> Self {
        let hook = Hook::start().await;
        let mut rig = Rig::prepare(Faults::default(), destination, MAPPING).await;
        let alerts = format!("alerts: {{ webhook: '{}' }}\nowner_pools:", hook.url);
        rig.edit("workspace.yaml", "owner_pools:", &alerts);
        let clock = Arc::new(Ahead(AtomicI64::new(0)));
        rig.clock = clock.clone();
        rig.boot().await;
        Self { rig, hook, clock }
    }

    /// A new human, of whom the first write is cut off and arrives `late` after that, when it has been sent again.
    async fn written_late(&self, chat: &str, phone: &str, late: Duration) -> LeadDetail {
        let calls =
            |stats: &leadfold::sandbox::Stats| stats.calls.get("POST /contacts").copied().unwrap_or(0);
        let before = calls(&self.rig.stats());
        let late_commit_ms = u64::try_from(late.as_millis()).unwrap();
        self.rig.sandbox.set_faults(Faults { late_commit: 1.0, late_commit_ms, ..Faults::default() });
        self.rig.post(&event(chat, "telegram", json!({ "phone": phone }), now_millis())).await;
        until("the first write", async || calls(&self.rig.stats()) > before).await;
        self.rig.sandbox.set_faults(Faults::default());
        self.rig.settle().await;
        let row = self.rig.app().store.leads(None, 1).await.unwrap().remove(0);
        self.lead(&row.id.to_string()).await
    }

    async fn lead(&self, id: &str) -> LeadDetail {
        self.rig.app().store.lead(id.parse().unwrap()).await.unwrap().unwrap()
    }

    /// Eleven minutes later. Who sleeps does not see that a clock was put forward, so it starts anew.
    async fn eleven_minutes_later(&mut self) {
        self.clock.0.fetch_add(11 * 60 * 1000, Ordering::SeqCst);
        self.rig.restart().await;
    }

    /// A lead when what was sent again of it has been looked for once more.
    async fn audited(&self, lead: &LeadDetail) -> LeadDetail {
        let start = Instant::now();
        loop {
            let now = self.lead(&lead.row.id.to_string()).await;
            if now.syncs[0].audits.iter().all(|audit| audit.done_at.is_some()) {
                // Its parts are read one after another: by now all of them are those of after the audit.
                return self.lead(&lead.row.id.to_string()).await;
            }
            assert!(start.elapsed() < PATIENCE, "it was not looked for: {}", json!(now));
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) {
        self.rig.end().await;
    }
}

fn result(lead: &LeadDetail) -> (&str, usize) {
    let [audit] = &lead.syncs[0].audits[..] else { panic!("one audit: {}", json!(lead)) };
    (audit.result.as_deref().unwrap_or("not yet"), audit.records.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_arrives_after_it_was_sent_again_is_reported() {
    let mut watched = Watched::start(IMPATIENT).await;
    // Once it arrives only after everything is over, and once it never does.
    let late = watched.written_late("chat-1", "+380671234567", LATE).await;
    let never = watched.written_late("chat-2", "+380672345678", Duration::from_hours(1)).await;
    for lead in [&late, &never] {
        assert_eq!((lead.row.state.as_str(), result(lead)), ("synced", ("not yet", 0)), "{}", json!(lead));
    }
    until("the late write", async || watched.rig.stats().contacts == 3).await;
    watched.eleven_minutes_later().await;
    let late = watched.audited(&late).await;
    assert_eq!(
        (late.row.state.as_str(), result(&late)),
        ("needs-attention", ("twice", 2)),
        "{}",
        json!(late)
    );
    let why = late.row.why.clone().unwrap();
    assert_eq!(why["code"], "written_twice");
    for part in late.syncs[0].audits[0].records.iter().map(String::as_str).chain([
        "'crm' has the contact of this lead more than once",
        &format!("`leadfold replay {} --resume`", late.row.id),
    ]) {
        assert!(why["text"].as_str().unwrap().contains(part), "{why} lacks {part}");
    }
    // The first call of the hook is refused.
    watched.hook.called("written_twice:crm", 2).await;
    let never = watched.audited(&never).await;
    assert_eq!((never.row.state.as_str(), result(&never)), ("synced", ("once", 1)), "{}", json!(never));
    let shown = metrics().render();
    for result in ["once", "twice"] {
        let counter = format!("leadfold_audits_total{{destination=\"crm\",result=\"{result}\"}}");
        assert!(shown.contains(&counter), "{counter}");
    }

    // The person deletes the one that leadfold knew of; the other one takes its place, without a second task.
    assert_eq!(late.syncs[0].steps[0].record, Some(watched.rig.contact().await["id"].to_string()));
    let before = watched.rig.stats();
    watched.rig.delete_contact().await;
    let resume = json!({ "select": { "leads": [late.row.id] }, "how": "resume" });
    let (status, answer) = watched.rig.post_to("/api/replay", resume.to_string()).await;
    assert!(status == 200 && answer.contains("\"count\":1"), "{answer}");
    watched.rig.settle().await;
    assert_eq!(watched.lead(&late.row.id.to_string()).await.row.state, "synced");
    let after = watched.rig.stats();
    assert_eq!((after.contacts, after.tasks), (2, before.tasks), "{after:?}");
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_survives_a_restart_and_waits_while_its_crm_is_away() {
    let mut watched = Watched::start(IMPATIENT).await;
    let late = watched.written_late("chat-1", "+380671234567", LATE).await;
    until("the late write", async || watched.rig.stats().contacts == 2).await;
    watched.rig.sandbox.set_faults(Faults { fail_before: 1.0, ..Faults::default() });
    let searches = |rig: &Rig| rig.stats().calls.get("GET /contacts").copied().unwrap_or(0);
    let before = searches(&watched.rig);
    watched.eleven_minutes_later().await;
    until("a look that fails", async || searches(&watched.rig) > before).await;
    watched.rig.sandbox.set_faults(Faults::default());
    watched.eleven_minutes_later().await;
    let late = watched.audited(&late).await;
    assert_eq!(
        (late.row.state.as_str(), result(&late)),
        ("needs-attention", ("twice", 2)),
        "{}",
        json!(late)
    );
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_markers_two_contacts_with_the_phone_are_too_much() {
    let mut watched = Watched::start(&format!("{IMPATIENT}, markers: false")).await;
    let late = watched.written_late("chat-1", "+380671234567", LATE).await;
    until("the late write", async || watched.rig.stats().contacts == 2).await;
    watched.eleven_minutes_later().await;
    let late = watched.audited(&late).await;
    assert_eq!(
        (late.row.state.as_str(), result(&late)),
        ("needs-attention", ("twice", 2)),
        "{}",
        json!(late)
    );
    watched.end().await;
}

/// What a lost answer had written is found at the first look, so nothing is sent again and nothing is looked for later.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_again_is_not_looked_for() {
    let watched = Watched::start(IMPATIENT).await;
    let late = watched.written_late("chat-1", "+380671234567", Duration::ZERO).await;
    assert_eq!(late.syncs[0].audits, [], "{}", json!(late));
    let found: Value = json!(watched.rig.stats());
    assert_eq!(found["contacts"], 1);
    watched.end().await;
}
