//! The process ends at every marked place in turn, and another one goes on: nothing is lost, nothing is doubled, and every
//! step is accounted for. Needs the feature `failpoints`; without it the tests say so and do nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use leadfold::app::until_quiet;
use leadfold::failpoint::POINTS;
use leadfold::sandbox::{Running, Sandbox, SandboxOptions, Truth};
use leadfold::store::registry::LeadDetail;
use leadfold::torture::FOUND_AGAIN;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::alerts::Hook;
use crate::kill::server::{Home, Server};
use crate::postgres::Database;
use crate::rig::{MAPPING, PATIENCE, WORKSPACE, event, now_millis, until};

/// Cases that run at one time: each waits for processes most of its time.
const TOGETHER: usize = 6;
/// The signal of a process that ends itself, on every Unix.
const ABORTED: i32 = 6;
/// What a process says when it ends at a place, behind the name of that.
const ENDS: &str = ": the process ends here";
/// A process that is thawed makes its request within this, or has dropped it.
const GOES_ON: Duration = Duration::from_secs(4);
/// The calls of this CRM are over when they are answered.
const DESTINATION: &str = "settle: 100ms, audit: 300ms";

/// How a process is brought to a place.
enum Way {
    /// Humans press Send. It ends the n-th time it gets there, for each of these.
    Posts(&'static [usize]),
    /// It takes over from one that ended at that place.
    After(&'static str),
    /// By something that these posts alone do not make happen.
    By(fn(Case) -> BoxFuture<'static, ()>),
}

/// How each place is reached. A place that stands in [`POINTS`] and not here fails the test.
fn way(point: &str) -> Option<Way> {
    Some(match point {
        "receive.read" | "receive.kept" | "sync.judged" | "sync.leased" => Way::Posts(&[1]),
        "prepare.mapped" | "prepare.stored" | "sync.claimed" | "sync.searched" | "sync.planned"
        | "sync.synced" => Way::Posts(&[1, 2]),
        // Contact and deal of the first lead, and the task of the second.
        "crm.permitted" | "crm.sent" | "crm.committed" | "crm.answered" => Way::Posts(&[1, 2, 4]),
        "sync.outcome" => Way::Posts(&[1, 3]),
        "store.write" | "store.written" => Way::Posts(&[1, 2, 3, 4, 5, 6, 8, 10, 12, 15]),
        "sync.looked_up" | "sync.adopted" => Way::After("crm.committed"),
        "sync.not_there" | "audit.looked_up" | "audit.ended" => Way::After("crm.sent"),
        "sync.unlinked" => Way::By(|case| Box::pin(case.a_link_is_gone())),
        "sync.joined" => Way::By(|case| Box::pin(case.two_are_one())),
        "sync.held" => Way::By(|case| Box::pin(case.plans_are_held())),
        "held.piece" => Way::By(|case| Box::pin(case.held_leads_are_pushed())),
        "replay.piece" => Way::By(|case| Box::pin(case.leads_are_replayed())),
        "erase.requests" | "erase.piece" | "erase.forgotten" => {
            Way::By(|case| Box::pin(case.a_human_is_erased()))
        }
        "apply.activated" => Way::By(|case| Box::pin(case.a_version_is_applied())),
        "workers.stopped" => Way::By(|case| Box::pin(case.a_destination_is_changed())),
        "alerts.posted" => Way::By(|case| Box::pin(case.a_person_is_told())),
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_at_any_of_its_boundaries_loses_and_doubles_nothing() {
    if skipped() {
        return;
    }
    let mut cases: Vec<BoxFuture<'static, ()>> = Vec::new();
    for (point, _) in POINTS {
        match way(point).unwrap_or_else(|| panic!("say in `way` how {point} is reached")) {
            Way::Posts(hits) => cases.extend(hits.iter().map(|hit| -> BoxFuture<'static, ()> {
                Box::pin(async move { Case::new(point).await.posts(*hit).await })
            })),
            Way::After(before) => {
                cases.push(Box::pin(async move { Case::new(point).await.after(before).await }));
            }
            Way::By(run) => cases.push(Box::pin(async move { run(Case::new(point).await).await })),
        }
    }
    stream::iter(cases).buffer_unordered(TOGETHER).collect::<Vec<()>>().await;
}

/// Every third write fails, or is stored and its answer lost: whoever asked tries again, and nobody has to restart it.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_now_and_then_lose_and_double_nothing() {
    if skipped() {
        return;
    }
    let failing = async |point: &'static str| {
        let case = Case::new(point).await;
        // Not the first ones: a process that cannot store anything at its start says so and ends.
        let points = format!("{point}=8*off{}", "->1*return(fail)->2*off".repeat(40));
        let server = case.home.start_with(&points).await;
        case.send(&server).await;
        case.rests().await;
        let failures = case.home.logged("a test wants");
        assert!(failures > 0, "{point}: no write failed\n{}", case.home.log());
        server.kill();
        case.finish().await;
    };
    tokio::join!(failing("store.write"), failing("store.written"));
}

/// The hole that findable steps have: a process that freezes between its last look at the lease and its request, for longer
/// than somebody needs to take over, look, find nothing and send it again. Whether its request still gets out is a race
/// between the request and the news that the lease is lost; whatever comes of it, the audit says it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_wrote_that_froze_before_its_request_is_reported() {
    if skipped() {
        return;
    }
    for _ in 0..3 {
        if froze_before_its_request().await {
            return;
        }
    }
    panic!("the process froze too late three times: its request was out");
}

/// Whether it did, and then everything came as it should. A signal may come a moment too late on a busy machine, and then
/// the look-up finds what was written.
async fn froze_before_its_request() -> bool {
    let Some(database) = Database::create().await else { return true };
    let crm = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let home = Home::on(&database.url, crm.addr(), "settle: 300ms, audit: 12s");
    let frozen = home.start_with("crm.sent=1*return(freeze)->off").await;
    let body = event("chat-1", "telegram", json!({ "phone": PHONES[0] }), now_millis());
    // Its acknowledgement may have been on the way when it froze.
    let post = tokio::spawn(home.post(frozen.address, &body));
    until("the freeze", async || home.logged("failpoint crm.sent: the process freezes here") > 0).await;
    let other = home.start().await;
    assert!(home.post(other.address, &body).await, "{}", home.log());
    home.until(|counts| counts.synced == 1).await;
    assert_eq!(crm.stats().contacts, 1);
    frozen.thaw();
    let start = Instant::now();
    while crm.stats().contacts < 2 && start.elapsed() < GOES_ON {
        sleep(Duration::from_millis(10)).await;
    }
    frozen.kill();
    let contacts = crm.stats().contacts;
    let registry = home.registry().await;
    let row = registry.leads(None, 2).await.unwrap().remove(0);
    if home.logged(FOUND_AGAIN) > 0 {
        assert_eq!(contacts, 1, "{}", home.log());
        registry.close().await;
        other.kill();
        post.await.unwrap();
        home.remove();
        database.remove().await;
        return false;
    }
    let start = Instant::now();
    let lead = loop {
        let lead = registry.lead(row.id).await.unwrap().unwrap();
        let [audit] = &lead.syncs[0].audits[..] else { panic!("one audit: {}", json!(lead)) };
        if audit.done_at.is_some() {
            break registry.lead(row.id).await.unwrap().unwrap();
        }
        assert!(start.elapsed() < PATIENCE, "nobody looked: {}\n{}", json!(lead), home.log());
        sleep(Duration::from_millis(50)).await;
    };
    registry.close().await;
    let audit = &lead.syncs[0].audits[0];
    let expect = if contacts == 2 { ("twice", "needs-attention") } else { ("once", "synced") };
    let told = (audit.result.as_deref().unwrap(), lead.row.state.as_str());
    assert_eq!((told, audit.records.len()), (expect, contacts), "{}", json!(lead));
    // Who froze wrote its request at most, and nothing more: neither in the CRM nor in the registry.
    let stats = crm.stats();
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (contacts, 1, 0), "{stats:?}\n{}", home.log());
    for step in &lead.syncs[0].steps {
        assert_eq!(step.state, "done", "{}", json!(lead));
    }
    other.kill();
    post.await.unwrap();
    home.remove();
    database.remove().await;
    true
}

/// A mark that nobody ends a process at proves nothing, and neither does a name without a mark.
#[test]
fn every_mark_is_in_the_table() {
    fn walk(folder: &Path, texts: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, texts);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut texts = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let marks = texts.iter().flat_map(|text| text.split("failpoint!(\"").skip(1));
    let marked: BTreeSet<&str> = marks.filter_map(|rest| rest.split('"').next()).collect();
    let listed: BTreeSet<&str> = POINTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(marked, listed);
    assert_eq!(listed.len(), POINTS.len(), "a name stands twice in the table");
    for point in listed {
        assert!(way(point).is_some(), "say in `way` how {point} is reached");
    }
}

/// Whether the binary has no marks, which is said.
fn skipped() -> bool {
    let without = !cfg!(feature = "failpoints");
    if without {
        eprintln!("skipped: `cargo test --features failpoints` ends the process at each of its marks");
    }
    without
}

/// One database and one CRM, and what is posted to whoever serves it.
struct Case {
    point: &'static str,
    home: Home,
    crm: Running,
    events: Vec<Value>,
    /// How many contacts and deals, and how many tasks, the CRM has in the end.
    expect: (usize, usize),
}

impl Case {
    /// A human who writes from two messengers, one who gives no phone, and another one.
    async fn new(point: &'static str) -> Self {
        let crm = Sandbox::start(SandboxOptions::default()).await.unwrap();
        let home = Home::new(crm.addr(), DESTINATION);
        let start = now_millis();
        let events = vec![
            event("chat-1", "telegram", json!({ "phone": PHONES[0] }), start),
            event("chat-2", "instagram", json!({ "phone": PHONES[0] }), start + 1),
            event("chat-3", "viber", json!([]), start + 2),
            event("chat-4", "viber", json!({ "phone": PHONES[1] }), start + 3),
        ];
        Self { point, home, crm, events, expect: (2, 1) }
    }

    async fn posts(self, hit: usize) {
        let server = self.home.start_with(&at(self.point, hit)).await;
        self.send(&server).await;
        self.ends(server).await;
        self.finish().await;
    }

    async fn after(self, before: &str) {
        let server = self.home.start_with(&at(before, 1)).await;
        self.send(&server).await;
        self.ends_at(before, server).await;
        let server = self.home.start_with(&at(self.point, 1)).await;
        self.ends(server).await;
        self.finish().await;
    }

    /// Somebody deletes the contact in the CRM; the human comes again and gets another one.
    async fn a_link_is_gone(mut self) {
        self.events.truncate(1);
        self.live_through().await;
        let id = self.contact(PHONES[0]).await["id"].to_string();
        let contact = self.address(&format!("/contacts/{id}"));
        assert_eq!(self.home.at_the_crm(reqwest::Method::DELETE, &contact, None).await, 204);
        let again = event("chat-1", "telegram", json!({ "phone": PHONES[0] }), now_millis());
        self.events.push(again);
        let server = self.home.start_with(&at(self.point, 1)).await;
        self.send(&server).await;
        self.ends(server).await;
        // The deal of the deleted contact went with it, so the human gets a deal again.
        self.expect = (1, 0);
        self.finish().await;
    }

    /// The CRM knows that the human with this phone and the one with this email are one.
    async fn two_are_one(mut self) {
        let contact = json!({ "name": "Олена", "phones": [PHONES[0]], "emails": ["olena@example.com"] });
        let contacts = self.address("/contacts");
        assert_eq!(self.home.at_the_crm(reqwest::Method::POST, &contacts, Some(&contact)).await, 201);
        self.events.truncate(1);
        self.live_through().await;
        self.events.push(event("chat-2", "telegram", json!({ "email": "olena@example.com" }), now_millis()));
        let server = self.home.start_with(&at(self.point, 1)).await;
        self.send(&server).await;
        self.ends(server).await;
        self.expect = (1, 1);
        self.finish().await;
    }

    async fn plans_are_held(self) {
        self.home.write("workspace.yaml", &self.workspace("mode: observe"));
        let server = self.home.start_with(&at(self.point, 1)).await;
        self.send(&server).await;
        self.ends(server).await;
        self.live_through().await;
        assert_eq!(self.crm.stats().contacts, 0, "nothing is written while it is only observed");
        self.home.write("workspace.yaml", &self.workspace(""));
        let server = self.home.start().await;
        self.push_held(&server).await;
        self.rests().await;
        server.kill();
        self.finish().await;
    }

    async fn held_leads_are_pushed(self) {
        self.home.write("workspace.yaml", &self.workspace("mode: observe"));
        self.live_through().await;
        self.home.write("workspace.yaml", &self.workspace(""));
        let server = self.home.start_with(&at(self.point, 1)).await;
        assert_eq!(self.push_held(&server).await, None, "it ends before it answers");
        self.ends(server).await;
        // Whoever asked knows nothing of what was done, and asks again.
        let server = self.home.start().await;
        assert_eq!(self.push_held(&server).await, Some(200));
        self.rests().await;
        server.kill();
        self.finish().await;
    }

    async fn push_held(&self, server: &Server) -> Option<u16> {
        let ask = json!({ "destination": "crm", "answer": "push" });
        self.home.try_ask(server.address, "/api/held/answer", &ask).await
    }

    async fn leads_are_replayed(self) {
        self.home.map_with(&MAPPING.replace("title != 'bot_block'", "contact.id / 1 > 0"));
        self.live_through().await;
        self.home.map_with(MAPPING);
        let replan = json!({ "select": { "states": ["needs-attention"] }, "how": "replan" });
        let server = self.home.start_with(&at(self.point, 1)).await;
        assert_eq!(self.home.try_ask(server.address, "/api/replay", &replan).await, None);
        self.ends(server).await;
        let server = self.home.start().await;
        assert_eq!(self.home.try_ask(server.address, "/api/replay", &replan).await, Some(200));
        self.rests().await;
        server.kill();
        self.finish().await;
    }

    /// Whoever asks again gets the rest of it.
    async fn a_human_is_erased(self) {
        self.live_through().await;
        let human = json!({ "who": PHONES[0] });
        let search = ("/api/erase/requests", json!({ "human": human, "erase": true }));
        let erase = ("/api/erase", json!({ "human": human }));
        let server = self.home.start_with(&at(self.point, 1)).await;
        for (path, body) in [&search, &erase, &erase] {
            if self.home.try_ask(server.address, path, body).await.is_none() {
                break;
            }
        }
        self.ends(server).await;
        let server = self.home.start().await;
        for (path, body) in [&search, &erase, &erase] {
            assert_eq!(self.home.try_ask(server.address, path, body).await, Some(200));
        }
        server.kill();
        let leads = json!(self.leads().await).to_string();
        assert!(!leads.contains(PHONES[0]), "{}: {leads}", self.point);
        assert!(leads.contains(PHONES[1]), "{}: {leads}", self.point);
        drop(self.crm);
        self.home.remove();
    }

    async fn a_version_is_applied(self) {
        let server = self.home.start_with(&at(self.point, 1)).await;
        let files = json!({
            "workspace.yaml": self.workspace("timeout: 9s"),
            "sendpulse.yaml": MAPPING,
        });
        let active = self.home.ask(server.address, "/api/versions/active", &json!({})).await.1;
        let active: Value = serde_json::from_str(&active).unwrap();
        let apply = json!({ "files": files, "instead_of": active["version"], "with_secrets": true });
        assert_eq!(self.home.try_ask(server.address, "/api/versions", &apply).await, None);
        self.ends(server).await;
        self.finish().await;
    }

    async fn a_destination_is_changed(self) {
        let server = self.home.start_with(&at(self.point, 1)).await;
        self.send(&server).await;
        self.home.write("workspace.yaml", &self.workspace("timeout: 9s"));
        self.ends(server).await;
        self.finish().await;
    }

    /// Told once more rather than never.
    async fn a_person_is_told(mut self) {
        let hook = Hook::start().await;
        let alerts = format!("alerts: {{ webhook: '{}' }}\nowner_pools:", hook.url);
        self.home.write("workspace.yaml", &self.workspace("").replace("owner_pools:", &alerts));
        self.home.map_with(&MAPPING.replace("title != 'bot_block'", "contact.id / 1 > 0"));
        let server = self.home.start_with(&at(self.point, 1)).await;
        self.send(&server).await;
        self.ends(server).await;
        // The first call was refused, the second taken, and the third comes from the next process.
        let server = self.home.start().await;
        hook.called("mapping_error:sendpulse", 3).await;
        server.kill();
        self.events.clear();
        self.expect = (0, 0);
        self.finish().await;
    }

    fn workspace(&self, settings: &str) -> String {
        let settings = [DESTINATION, settings].join(", ");
        WORKSPACE.replace("{ADDRESS}", &self.crm.addr().to_string()).replace("{DESTINATION}", &settings)
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.crm.url())
    }

    async fn contact(&self, phone: &str) -> Value {
        let found = self.home.get(&self.address(&format!("/contacts?phone=%2B{}", &phone[1..]))).await.1;
        serde_json::from_str::<Value>(&found).unwrap()["items"][0].clone()
    }

    /// Posts everything in its order, until somebody does not answer any more.
    async fn send(&self, server: &Server) {
        for body in &self.events {
            if !self.home.post(server.address, body).await {
                return;
            }
        }
    }

    /// A whole life without trouble.
    async fn live_through(&self) {
        let server = self.home.start().await;
        self.send(&server).await;
        self.rests().await;
        server.kill();
    }

    async fn ends(&self, server: Server) {
        self.ends_at(self.point, server).await;
    }

    /// It must have ended where it was told to, and nowhere else.
    async fn ends_at(&self, point: &str, mut server: Server) {
        use std::os::unix::process::ExitStatusExt as _;
        let status = server.ended(PATIENCE).await;
        let signal = status.and_then(|status| status.signal());
        assert_eq!(signal, Some(ABORTED), "{point} was never reached: {status:?}\n{}", self.home.log());
        let said = format!("failpoint {point}{ENDS}");
        assert!(self.home.logged(&said) > 0, "it ended elsewhere than at {point}\n{}", self.home.log());
    }

    async fn rests(&self) {
        let registry = self.home.registry().await;
        let quiet = until_quiet(&registry, PATIENCE).await.unwrap();
        let counts = registry.counts().await.unwrap();
        registry.close().await;
        assert!(quiet, "{}: not everything came to its end: {counts:?}\n{}", self.point, self.home.log());
    }

    /// A last process, to which the platform posts again what nobody may have acknowledged, comes to rest; then everything
    /// is there once.
    async fn finish(self) {
        let server = self.home.start().await;
        for body in &self.events {
            assert!(self.home.post(server.address, body).await, "{}\n{}", self.point, self.home.log());
        }
        self.rests().await;
        server.kill();
        let leads = self.leads().await;
        let told = || format!("{}\n{}\n{}", self.point, serde_json::json!(leads), self.home.log());
        if !self.events.is_empty() {
            assert_eq!(leads.len(), self.events.len(), "one lead for each event: {}", told());
        }
        let truth = PHONES.iter().map(|phone| ((*phone).to_owned(), vec![(*phone).to_owned()]));
        self.crm.set_truth(Truth(truth.collect()));
        let stats = self.crm.stats();
        let doubled = (stats.duplicate_contacts, stats.duplicate_deals, stats.wrongly_joined);
        assert_eq!(doubled, (0, 0, 0), "{stats:?}: {}", told());
        let (contacts, tasks) = self.expect;
        assert_eq!((stats.contacts, stats.deals, stats.tasks), (contacts, contacts, tasks), "{}", told());
        for step in leads.iter().flat_map(|lead| &lead.syncs).flat_map(|sync| &sync.steps) {
            assert_eq!(step.state, "done", "{step:?}: {}", told());
        }
        drop(self.crm);
        self.home.remove();
    }

    async fn leads(&self) -> Vec<LeadDetail> {
        let registry = self.home.registry().await;
        let mut leads = Vec::new();
        for row in registry.leads(None, 100).await.unwrap() {
            leads.push(registry.lead(row.id).await.unwrap().unwrap());
        }
        registry.close().await;
        leads
    }
}

/// Of the humans of a case.
const PHONES: [&str; 2] = ["+380671234567", "+380672345678"];

/// `FAILPOINTS` for a process that ends the n-th time it gets to a place.
fn at(point: &str, hit: usize) -> String {
    match hit {
        1 => format!("{point}=return(crash)"),
        _ => format!("{point}={}*off->return(crash)", hit - 1),
    }
}
