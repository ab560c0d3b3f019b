//! One database, one CRM, many lives of a server between them, and what must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use leadfold::app::until_quiet;
use leadfold::sandbox::{Dice, Faults, Running, Sandbox, SandboxOptions, Truth};
use leadfold::store::Store;
use leadfold::store::registry::{Counts, LeadDetail, StepDetail};
pub(super) use leadfold::torture::FOUND_AGAIN;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::server::Home;
use crate::rig::{PATIENCE, event, now_millis, spellings};

/// Posts of one round.
const POSTS: u64 = 36;
/// Humans that post in one round; every round has a new one, who was never seen before.
const HUMANS: u64 = 6;
/// Where humans write from; one chat each.
const SERVICES: [&str; 3] = ["telegram", "instagram", "viber"];
/// Within this after a start some lead is brought to its end.
const RESUMES: Duration = Duration::from_secs(5);
/// Settling is longer than a call plus the search lag plus what a busy machine takes for both.
pub(super) const DESTINATION: &str = "timeout: 300ms, settle: 1500ms, search_lag: 300ms";

/// Longer than any search of the CRM lags.
const SEARCH_LAG: Duration = Duration::from_millis(400);

/// What the CRM does wrong, by round.
const FAULTS: [&str; 7] = [
    "{}",
    r#"{"search_lag_ms": 300}"#,
    r#"{"rate": {"count": 40, "per_ms": 200}}"#,
    r#"{"fail_before": 0.2}"#,
    r#"{"timeout_after": 0.15}"#,
    r#"{"reset": 0.2}"#,
    r#"{"search_lag_ms": 200, "rate": {"count": 60, "per_ms": 200}, "fail_before": 0.1, "timeout_after": 0.05, "reset": 0.1}"#,
];

/// The faults of a round. Calls take some time, so that a kill often finds them half-way.
pub(super) fn faults(round: u64, markers: bool) -> Faults {
    let place = usize::try_from(round).unwrap() % FAULTS.len();
    let mut faults: Value = serde_json::from_str(FAULTS[place]).unwrap();
    faults["latency_ms"] = json!([0, 15]);
    faults["marker_lookup"] = json!(markers);
    serde_json::from_value(faults).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "how long a test tries is set from outside")]
pub(super) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: write a whole number")))
}

/// The nine digits of a human's phone.
fn digits(human: u64) -> String {
    format!("67{:07}", (3_100_003 + human * 4_111) % 10_000_000)
}

/// A home, its CRM, and which posts were acknowledged. An event is known by its time, which no other one has.
pub(super) struct Trial {
    pub(super) home: Home,
    pub(super) crm: Running,
    markers: bool,
    chance: Dice,
    next_at: i64,
    pub(super) acknowledged: BTreeSet<i64>,
    humans: u64,
    slowest_resume: Duration,
}

impl Trial {
    pub(super) async fn start(markers: bool, destination: &str) -> Self {
        let seed = setting("LEADFOLD_KILL_SEED").unwrap_or_else(|| u64::try_from(now_millis()).unwrap());
        eprintln!("LEADFOLD_KILL_SEED={seed}");
        let options = SandboxOptions { faults: faults(0, markers), seed, ..SandboxOptions::default() };
        let crm = Sandbox::start(options).await.unwrap();
        let home = Home::new(crm.addr(), destination);
        Self {
            home,
            crm,
            markers,
            chance: Dice::new(seed),
            next_at: now_millis(),
            acknowledged: BTreeSet::new(),
            humans: 0,
            slowest_resume: Duration::ZERO,
        }
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    pub(super) fn millis_below(&mut self, bound: u64) -> Duration {
        self.chance.less_than(Duration::from_millis(bound))
    }

    /// A press of Send by this human: in any messenger, the phone in any spelling, and now and then without a phone.
    fn press(&mut self, human: u64) -> (i64, Value) {
        let service = SERVICES[usize::try_from(self.chance.below(3)).unwrap()];
        if self.chance.below(5) == 0 {
            self.event(human, service, json!([]))
        } else {
            self.press_in(human, service)
        }
    }

    pub(super) fn press_in(&mut self, human: u64, service: &str) -> (i64, Value) {
        let spelling = &spellings(&digits(human))[usize::try_from(self.chance.below(10)).unwrap()];
        self.event(human, service, json!({ "phone": spelling }))
    }

    fn event(&mut self, human: u64, service: &str, variables: Value) -> (i64, Value) {
        self.humans = self.humans.max(human + 1);
        self.next_at += 1;
        (self.next_at, event(&format!("{service}-{human}"), service, variables, self.next_at))
    }

    /// Posts at random moments within this time. Each task ends with the event's time when it was acknowledged.
    pub(super) fn post(&mut self, server: SocketAddr, round: u64, within: u64) -> JoinSet<Option<i64>> {
        let mut posts = JoinSet::new();
        for _ in 0..POSTS {
            let human = round + self.chance.below(HUMANS);
            let (at, body) = self.press(human);
            let wait = self.chance.less_than(Duration::from_millis(within));
            let post = self.home.post(server, &body);
            posts.spawn(async move {
                sleep(wait).await;
                post.await.then_some(at)
            });
        }
        posts
    }

    pub(super) async fn acknowledge(&mut self, posts: JoinSet<Option<i64>>) {
        self.acknowledged.extend(posts.join_all().await.into_iter().flatten());
    }

    /// One life of a server, ended by kill -9: while it starts, while it recovers, or while it is posted to.
    async fn round(&mut self, round: u64) {
        self.crm.set_faults(faults(round, self.markers));
        match self.chance.below(8) {
            0 => {
                let mut child = self.home.spawn();
                sleep(self.chance.less_than(Duration::from_millis(200))).await;
                child.kill().unwrap();
                child.wait().unwrap();
            }
            1 => {
                let server = self.home.start().await;
                sleep(self.chance.less_than(Duration::from_millis(150))).await;
                server.kill();
            }
            kind => {
                let server = self.home.start().await;
                if kind == 2 {
                    self.resumes(round).await;
                }
                let posts = self.post(server.address, round, 200);
                sleep(self.chance.less_than(Duration::from_millis(400))).await;
                server.kill();
                self.acknowledge(posts).await;
            }
        }
    }

    /// After a start with a backlog, a lead is soon brought to its end.
    async fn resumes(&mut self, round: u64) {
        let start = Instant::now();
        let registry = self.home.registry().await;
        let before = registry.counts().await.unwrap();
        let mut now = before;
        while now.synced == before.synced && before.open + before.received > 0 {
            assert!(
                start.elapsed() < RESUMES,
                "round {round} ({}): nothing was brought to its end within {RESUMES:?} of the start: {now:?}\n{}\n{}",
                FAULTS[usize::try_from(round).unwrap() % FAULTS.len()],
                first_in(&registry, &["pushing", "unknown", "ready"]).await,
                self.home.log()
            );
            sleep(Duration::from_millis(20)).await;
            now = registry.counts().await.unwrap();
            self.slowest_resume = self.slowest_resume.max(start.elapsed());
        }
        registry.close().await;
    }

    pub(super) async fn rounds(&mut self, rounds: u64) {
        for round in 0..rounds {
            self.round(round).await;
        }
        eprintln!(
            "{} posts acknowledged, {} records found after their answer was lost, slowest resume {:?}",
            self.acknowledged.len(),
            self.home.logged(FOUND_AGAIN),
            self.slowest_resume
        );
    }

    /// Starts a last server, under the last faults, and waits until nothing is left to do.
    pub(super) async fn come_to_rest(&mut self) -> Outcome {
        let server = self.home.start().await;
        self.resumes(u64::MAX).await;
        let outcome = self.rest().await;
        server.kill();
        outcome
    }

    async fn rest(&self) -> Outcome {
        let registry = self.home.registry().await;
        let quiet = until_quiet(&registry, PATIENCE).await.unwrap();
        assert!(
            quiet,
            "not everything came to its end: {:?}\n{}\n{}",
            registry.counts().await.unwrap(),
            first_in(&registry, &["pushing", "unknown", "ready", "waiting"]).await,
            self.home.log()
        );
        self.crm.set_faults(Faults { marker_lookup: self.markers, ..Faults::default() });
        sleep(SEARCH_LAG).await;
        let outcome = Outcome { counts: registry.counts().await.unwrap(), leads: all_leads(&registry).await };
        registry.close().await;
        outcome
    }

    /// What must hold whatever the CRM can look up: every acknowledged event has its one lead, every human one contact
    /// and one deal. Returns how many humans there are.
    pub(super) fn nothing_is_lost_or_doubled(&self, outcome: &Outcome) -> usize {
        let Outcome { counts, leads } = outcome;
        let mut by_event: BTreeMap<i64, &LeadDetail> = BTreeMap::new();
        for lead in leads {
            if let Some(first) = by_event.insert(event_time(lead), lead) {
                panic!("one event became two leads:\n{}\n{}", timeline(first), timeline(lead));
            }
        }
        let missing: Vec<&i64> = self.acknowledged.iter().filter(|at| !by_event.contains_key(*at)).collect();
        assert!(
            missing.is_empty(),
            "{} of {} acknowledged events have no lead, the first is {:?}: {counts:?}\n{}",
            missing.len(),
            self.acknowledged.len(),
            missing.first(),
            self.home.log()
        );
        let truth = (0..self.humans).map(|human| (digits(human), vec![format!("+380{}", digits(human))]));
        self.crm.set_truth(Truth(truth.collect()));
        let stats = self.crm.stats();
        assert_eq!(
            (stats.duplicate_contacts, stats.duplicate_deals, stats.wrongly_joined),
            (0, 0, 0),
            "{stats:?} {counts:?}\n{}",
            doubled(leads)
        );
        // Who never gave a phone is nobody's contact yet.
        let humans: BTreeSet<u64> = leads.iter().filter(|lead| has_phone(lead)).map(human).collect();
        assert_eq!((stats.contacts, stats.deals), (humans.len(), humans.len()), "{stats:?} {counts:?}");
        humans.len()
    }

    /// The chat of a lead that is in the CRM stands on its human's contact: an update that got lost would show here.
    pub(super) async fn has_its_chat(&self, lead: &LeadDetail) {
        if lead.row.state != "synced" {
            return;
        }
        let url = format!("{}/contacts?phone=%2B380{}", self.crm.url(), digits(human(lead)));
        let found: Value = serde_json::from_str(&self.home.get(&url).await.1).unwrap();
        let field = format!("{}_chat", posted(lead)["service"].as_str().unwrap());
        assert_eq!(
            found["items"][0]["fields"][&field],
            posted(lead)["contact"]["id"],
            "the contact lacks {field}: {found}\n{}",
            timeline(lead)
        );
    }

    /// How many tasks the CRM has of this step.
    pub(super) async fn tasks_of(&self, step: &StepDetail) -> usize {
        let (status, found) = self.home.get(&format!("{}/tasks?marker={}", self.crm.url(), step.id)).await;
        assert_eq!(status, 200, "{found}");
        let found: Value = serde_json::from_str(&found).unwrap();
        found["items"].as_array().unwrap().len()
    }
}

/// The registry once everything has come to its end.
pub(super) struct Outcome {
    pub(super) counts: Counts,
    pub(super) leads: Vec<LeadDetail>,
}

async fn all_leads(registry: &Store) -> Vec<LeadDetail> {
    let mut leads = Vec::new();
    let mut before = None;
    loop {
        let rows = registry.leads(before, 500).await.unwrap();
        let Some(last) = rows.last() else { return leads };
        before = Some(last.sequence);
        for row in rows {
            leads.push(registry.lead(row.id).await.unwrap().unwrap());
        }
    }
}

/// The event as it was posted.
fn posted(lead: &LeadDetail) -> Value {
    let body: Value = serde_json::from_str(lead.delivery["body"].as_str().unwrap()).unwrap();
    body[0].clone()
}

fn event_time(lead: &LeadDetail) -> i64 {
    posted(lead)["date"].as_i64().unwrap()
}

pub(super) fn has_phone(lead: &LeadDetail) -> bool {
    posted(lead)["contact"]["variables"]["phone"].is_string()
}

/// Whose lead it is by what was posted, whatever leadfold thinks.
fn human(lead: &LeadDetail) -> u64 {
    posted(lead)["contact"]["id"].as_str().unwrap().split_once('-').unwrap().1.parse().unwrap()
}

pub(super) fn task_steps(lead: &LeadDetail) -> impl Iterator<Item = &StepDetail> {
    lead.syncs.iter().flat_map(|sync| &sync.steps).filter(|step| step.kind == "create task")
}

pub(super) fn timeline(lead: &LeadDetail) -> String {
    serde_json::to_string_pretty(lead).unwrap()
}

/// The oldest of the newest thousand leads that stand in one of these states, for a message.
async fn first_in(registry: &Store, states: &[&str]) -> String {
    let rows = registry.leads(None, 1000).await.unwrap();
    match rows.iter().rev().find(|row| states.contains(&row.state.as_str())) {
        Some(row) => timeline(&registry.lead(row.id).await.unwrap().unwrap()),
        None => format!("no lead is in {states:?}"),
    }
}

/// All leads of the first human for whom two leads say that they made a contact or a deal, for a message.
fn doubled(leads: &[LeadDetail]) -> String {
    let mut creates: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    for lead in leads {
        for step in lead.syncs.iter().flat_map(|sync| &sync.steps) {
            if ["create contact", "create deal"].contains(&step.kind.as_str()) {
                *creates.entry((human(lead), step.kind.as_str())).or_default() += 1;
            }
        }
    }
    let Some(((twice, _), _)) = creates.iter().find(|(_, count)| **count > 1) else {
        return "the registry knows of one contact and one deal for everybody: a step was sent twice"
            .to_owned();
    };
    leads.iter().filter(|lead| human(lead) == *twice).map(timeline).collect::<Vec<_>>().join("\n")
}
