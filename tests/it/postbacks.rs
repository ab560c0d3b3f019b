//! Postbacks: whose each is, which of a person's it is, and in what order, whatever comes when; on both databases.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use leadfold::clock::{Clock, ManualClock};
use leadfold::retention::Retention;
use leadfold::sandbox::Faults;
use leadfold::store::postbacks::MOST_WAITING;
use leadfold::workspace::{Environment, compile_without_secrets};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bots::stand_in::{Reply, StandIn};
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig, until};
use crate::store::run;

/// Chatterfy's step "Send webhook", as far as it matters here.
const BOT: &str = r"
source: { preset: form, token: bot }
leads:
  - name: started
    to: [crm]
    owners: sales
    phone: { regions: [UA] }
    contact: { name: <<username>>, phone: <<phone>> }
    identifiers: { click: <<subid>>, chat: { channel: telegram, bot: shop, id: <<chatid>> } }
    deal: { title: Lead, pipeline: Main, stage: New }
";

const NETWORK: &str = r#"
source: { preset: postback, token: net }
postback: { network: custom }
leads:
  - name: registration
    on: registration
    person: { fields: { user_id: <<fields.user_id>> } }
  - name: sale
    on: sale
    to: [crm]
    contact: { fields: { last_deposit: <<postback.cost>> } }
    rules: { create_deal: never, update: all, task_on_repeat: false, needs: [] }
  - name: second
    on: resale#2
    person: { fields: { second: "{{ postback.cost }}" } }
  - name: resale
    on: resale
    person: { fields: { resale: "{{ postback.ordinal }}" } }
"#;

const START: &str = "2026-05-04T10:00:00Z";

struct Net {
    rig: Rig,
    clock: Arc<ManualClock>,
}

impl Net {
    async fn start(postgres: Option<Database>) -> Self {
        Self::start_with(postgres, NETWORK).await
    }

    async fn start_with(postgres: Option<Database>, network: &str) -> Self {
        let clock = Arc::new(ManualClock::new(START.parse().unwrap()));
        let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
        rig.clock = Arc::<ManualClock>::clone(&clock);
        rig.postgres = postgres;
        for (name, text) in [("bot.yaml", BOT), ("network.yaml", network)] {
            rig.files.0.insert(name.to_owned(), text.to_owned());
        }
        rig.boot().await;
        Self { rig, clock }
    }

    /// A postback; it is acknowledged whatever it says.
    async fn sends(&self, query: &str) {
        let (status, text) = self.rig.get(&format!("/in/network/net?{query}")).await;
        assert_eq!(status, 200, "{text}");
    }

    /// Somebody presses Start.
    async fn starts(&self, chat: &str, click: &str, more: &str) {
        let (status, _) = self.rig.get(&format!("/in/bot/bot?subid={click}&chatid={chat}{more}")).await;
        assert_eq!(status, 200);
    }

    async fn in_state(&self, state: &str) -> Vec<Value> {
        let body = json!({ "state": state, "limit": 1000 }).to_string();
        let (status, text) = self.rig.post_to("/api/postbacks", body).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["postbacks"].as_array().unwrap().clone()
    }

    /// How many are in each of these states.
    async fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for (count, state) in counts.iter_mut().zip(["waiting", "counted", "repeat", "ended"]) {
            *count = self.in_state(state).await.len();
        }
        counts
    }

    async fn until_counts(&self, waiting: usize, counted: usize, repeats: usize, ended: usize) {
        let expect = [waiting, counted, repeats, ended];
        until(&format!("{expect:?}"), async || self.counts().await == expect).await;
        self.rig.settle().await;
    }

    /// Events with their ordinals in the order of arrival, of one click id.
    async fn ordinals(&self, click: &str) -> Vec<String> {
        let counted = self.in_state("counted").await;
        let of = counted.iter().filter(|one| one["click"] == click);
        of.map(|one| format!("{}#{}", one["event"].as_str().unwrap(), one["ordinal"])).collect()
    }

    async fn asks(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, text) = self.rig.post_to(path, body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// Corrects the postback of this id.
    async fn corrects(&self, how: &str, id: &Value) -> Value {
        let (status, answer) = self.asks(&format!("/api/postbacks/{how}"), json!({ "which": id })).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// What is remembered of whoever is in a chat.
    async fn fields(&self, chat: &str) -> BTreeMap<String, String> {
        let (status, found) = self.asks("/api/people", json!({ "who": chat })).await;
        assert_eq!((status, found["people"].as_array().map(Vec::len)), (200, Some(1)), "{found}");
        let fields = found["people"][0]["fields"].as_object().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        fields.into_iter().map(|(name, field)| (name, text(&field["value"]))).collect()
    }

    async fn lead(&self, id: &Value) -> Value {
        self.rig.json(&format!("/api/leads/{}", id.as_str().unwrap())).await
    }

    async fn end(self) {
        self.rig.end().await;
    }
}

/// Runs a test on both databases.
macro_rules! on_both {
    ($($name:ident => $on_postgres:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            story::$name(None).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $on_postgres() {
            let Some(database) = Database::create().await else { return };
            story::$name(Some(database)).await;
        }
    )+};
}

on_both! {
    postbacks_wait_for_their_click_id_and_are_counted_in_the_order_of_arrival => postbacks_wait_on_postgres,
    a_repeat_is_dropped_seen_and_counted_by_hand => a_repeat_on_postgres,
    nobody_in_seven_days_ends_it_and_a_replay_lets_it_wait_again => seven_days_on_postgres,
    counting_follows_merges_and_what_undoes_them => merges_on_postgres,
    an_erased_person_leaves_no_postback => erase_on_postgres,
}

mod story {
    use super::*;

    pub(super) async fn postbacks_wait_for_their_click_id_and_are_counted_in_the_order_of_arrival(
        postgres: Option<Database>,
    ) {
        let net = Net::start(postgres).await;
        net.sends("clickid=67aB&tracker.event=registration&fields.user_id=884412").await;
        net.sends("clickid=67aB&tracker.event=sale&tracker.cost=50.00&tracker.currency=usd").await;
        for cost in [10, 20, 30] {
            net.sends(&format!("clickid=67aB&tracker.event=resale&tracker.cost={cost}")).await;
        }
        net.sends("clickid=other&tracker.event=sale").await;
        net.sends("tracker.event=sale&tracker.cost=1").await;
        net.until_counts(6, 0, 0, 0).await;
        // Whoever waits is seen, with what it waits for and until when.
        let waiting = net.in_state("waiting").await;
        assert_eq!(waiting[0]["until"], "2026-05-11T10:00:00Z");
        assert_eq!(
            (waiting[0]["event"].as_str(), waiting[0]["click"].as_str()),
            (Some("registration"), Some("67aB"))
        );
        let counts = net.rig.counts().await;
        assert_eq!(
            (counts.waiting_deliveries, counts.filtered),
            (6, 1),
            "the one without a click id is untrackable"
        );

        net.starts("700000101", "67aB", "&username=Olena&phone=0671234567").await;
        net.until_counts(1, 5, 0, 0).await;
        assert_eq!(
            net.ordinals("67aB").await,
            ["registration#1", "sale#1", "resale#1", "resale#2", "resale#3"]
        );
        let fields = net.fields("700000101").await;
        assert_eq!(fields["user_id"], "884412");
        assert_eq!(
            (fields["second"].as_str(), fields["resale"].as_str()),
            ("20", "3"),
            "plain resale ran for 1 and 3"
        );
        assert_eq!(
            net.rig.contact().await["fields"]["last_deposit"],
            "50.00",
            "the CRM was told of the sale"
        );
        assert_eq!((net.rig.stats().contacts, net.rig.stats().deals), (1, 1), "and made nothing of it");

        // From now on each is counted when it comes.
        net.sends("subid=67aB&status=resale&cost=40").await;
        net.sends("clickid=67aB&tracker.event=withdrawal").await;
        net.until_counts(1, 7, 0, 0).await;
        let counted = net.in_state("counted").await;
        let lead = net.lead(&counted[5]["lead"]).await;
        assert_eq!(lead["lead"]["postback"]["ordinal"], 4);
        assert_eq!(lead["decision"]["rule"], "by_click");
        // Nobody has a branch for it, and it is counted and theirs all the same.
        let lead = net.lead(&counted[6]["lead"]).await;
        assert_eq!(
            (lead["state"].as_str(), lead["why"]["code"].as_str()),
            (Some("filtered"), Some("no_branch"))
        );
        assert_eq!(lead["person"], counted[5]["person"]);
        net.end().await;
    }

    pub(super) async fn a_repeat_is_dropped_seen_and_counted_by_hand(postgres: Option<Database>) {
        let net = Net::start(postgres).await;
        net.starts("1", "c1", "").await;
        net.rig.settle().await;
        let deposit = "clickid=c1&tracker.event=resale&tracker.cost=10";
        net.sends(deposit).await;
        net.clock.advance(SignedDuration::from_secs(59));
        net.sends(deposit).await;
        net.sends(&format!("{deposit}&event_id=77")).await;
        net.sends(&format!("{deposit}&event_id=77")).await;
        net.until_counts(0, 2, 2, 0).await;
        assert_eq!(net.ordinals("c1").await, ["resale#1", "resale#2"]);
        assert!(!net.fields("1").await.is_empty());
        let repeats = net.in_state("repeat").await;
        let first = net.in_state("counted").await[0].clone();
        assert_eq!(repeats[0]["repeats"], first["lead"], "it is seen as a repeat of the first");
        assert_eq!(net.lead(&first["lead"]).await["redeliveries"].as_array().unwrap().len(), 1);

        // It was a deposit of its own.
        let counted = net.corrects("count", &repeats[0]["event_id"]).await;
        assert_eq!(
            (counted["made"].as_bool(), counted["postback"]["ordinal"].as_u64()),
            (Some(true), Some(3))
        );
        net.until_counts(0, 3, 1, 0).await;
        assert_eq!(net.fields("1").await["resale"], "3", "what a branch has for it was done");
        let (status, refused) =
            net.asks("/api/postbacks/count", json!({ "which": counted["postback"]["lead"] })).await;
        assert_eq!((status, refused["error"].as_str()), (422, Some("it is counted already, as resale#3")));

        // And the first was none: those behind it move up, the next gets the right number, and nothing is done again.
        let uncounted = net.corrects("uncount", &first["lead"]).await;
        assert_eq!(
            (&uncounted["postback"]["state"], &uncounted["postback"]["ordinal"]),
            (&json!("uncounted"), &Value::Null)
        );
        let ordinals: Vec<Value> =
            net.in_state("counted").await.iter().map(|one| one["ordinal"].clone()).collect();
        // In the order of arrival: the one counted by hand came before the one with an id.
        assert_eq!(ordinals, [2, 1]);
        net.clock.advance(SignedDuration::from_secs(61));
        net.sends(deposit).await;
        net.until_counts(0, 3, 1, 0).await;
        assert_eq!(net.ordinals("c1").await.last().unwrap(), "resale#3");
        // Counted after all, it gets the next number, and its lead is not made a second time.
        let leads = net.rig.counts().await.leads;
        let again = net.corrects("count", &first["delivery"]).await;
        assert_eq!((again["made"].as_bool(), again["postback"]["ordinal"].as_u64()), (Some(false), Some(4)));
        assert_eq!((&again["postback"]["lead"], net.rig.counts().await.leads), (&first["lead"], leads));
        for (how, which) in [("count", json!("nonsense")), ("uncount", repeats[1]["event_id"].clone())] {
            let (status, _) = net.asks(&format!("/api/postbacks/{how}"), json!({ "which": which })).await;
            assert_eq!(status, 422);
        }
        net.end().await;
    }

    pub(super) async fn nobody_in_seven_days_ends_it_and_a_replay_lets_it_wait_again(
        postgres: Option<Database>,
    ) {
        let net = Net::start(postgres).await;
        net.sends("clickid=c1&tracker.event=sale&tracker.cost=10").await;
        net.sends("clickid=c1&tracker.event=sale&tracker.cost=20").await;
        net.until_counts(2, 0, 0, 0).await;
        net.clock.advance(SignedDuration::from_hours(7 * 24));
        net.until_counts(0, 0, 0, 2).await;
        let ended = net.in_state("ended").await;
        let lead = net.lead(&ended[0]["lead"]).await;
        assert_eq!(
            (lead["state"].as_str(), lead["why"]["code"].as_str()),
            (Some("filtered"), Some("no_such_click"))
        );

        // Whoever comes later finds it ended; a person lets it wait again, and it is counted under the same lead.
        net.starts("1", "c1", "").await;
        net.rig.settle().await;
        assert_eq!(net.counts().await, [0, 0, 0, 2]);
        let replay = json!({ "select": { "leads": [ended[0]["lead"]] }, "how": "replan" });
        let (status, replayed) = net.asks("/api/replay", replay.clone()).await;
        assert_eq!((status, replayed["count"].as_u64()), (200, Some(1)), "{replayed}");
        net.until_counts(0, 1, 0, 1).await;
        let counted = net.in_state("counted").await;
        assert_eq!((&counted[0]["lead"], counted[0]["ordinal"].as_u64()), (&ended[0]["lead"], Some(1)));
        // Mapped again, it keeps its number and its person.
        let (status, replayed) = net.asks("/api/replay", replay).await;
        assert_eq!((status, replayed["count"].as_u64()), (200, Some(1)), "{replayed}");
        let lead = net.lead(&ended[0]["lead"]).await;
        assert_eq!(
            (lead["lead"]["postback"]["ordinal"].as_u64(), &lead["person"]),
            (Some(1), &counted[0]["person"])
        );
        assert_eq!(net.counts().await, [0, 1, 0, 1]);
        net.rig.settle().await;
        net.end().await;
    }

    pub(super) async fn counting_follows_merges_and_what_undoes_them(postgres: Option<Database>) {
        let net = Net::start(postgres).await;
        let sends = async |click: &str, costs: std::ops::Range<u32>| {
            for cost in costs {
                net.sends(&format!("clickid={click}&tracker.event=resale&tracker.cost={cost}")).await;
            }
        };
        net.starts("1", "a", "").await;
        net.starts("2", "b", "").await;
        sends("a", 0..3).await;
        sends("b", 0..2).await;
        net.until_counts(0, 5, 0, 0).await;
        let (status, merged) = net.asks("/api/people/merge", json!({ "one": "1", "other": "2" })).await;
        assert_eq!(status, 200, "{merged}");
        sends("b", 10..11).await;
        net.until_counts(0, 6, 0, 0).await;
        assert_eq!(net.ordinals("b").await, ["resale#1", "resale#2", "resale#6"], "from the sum");
        let (status, split) = net.asks("/api/people/split", json!({ "what": merged["merge"] })).await;
        assert_eq!(status, 200, "{split} {merged}");
        sends("a", 20..21).await;
        sends("b", 20..21).await;
        net.until_counts(0, 8, 0, 0).await;
        // Each goes on behind what is theirs, and b behind the 6 that it was given.
        assert_eq!(net.ordinals("a").await, ["resale#1", "resale#2", "resale#3", "resale#4"]);
        assert_eq!(net.ordinals("b").await, ["resale#1", "resale#2", "resale#6", "resale#7"]);
        assert_eq!(
            (net.fields("1").await["resale"].as_str(), net.fields("2").await["resale"].as_str()),
            ("4", "7")
        );
        net.end().await;
    }

    pub(super) async fn an_erased_person_leaves_no_postback(postgres: Option<Database>) {
        let net = Net::start(postgres).await;
        net.starts("1", "Click-of-Uliana", "").await;
        net.starts("2", "another", "").await;
        let deposit = "clickid=Click-of-Uliana&tracker.event=resale&tracker.cost=10&fields.user_id=secret-17";
        net.sends(deposit).await;
        net.sends(deposit).await;
        net.sends("clickid=Click-of-Uliana&tracker.event=withdrawal&fields.user_id=secret-17").await;
        net.sends("clickid=another&tracker.event=resale").await;
        net.until_counts(0, 3, 1, 0).await;
        let mut erased = Value::Null;
        until("it is erased", async || {
            let (status, answer) = net.asks("/api/erase", json!({ "human": { "who": "1" } })).await;
            assert_eq!(status, 200, "{answer}");
            erased = answer;
            erased["done"] == true
        })
        .await;
        net.until_counts(0, 1, 0, 0).await;
        let database = net.rig.database();
        for (of, rows) in [
            ("deliveries WHERE query LIKE '%secret-17%'", 0),
            ("deliveries WHERE query LIKE '%Uliana%'", 0),
            ("postbacks WHERE click LIKE '%Uliana%'", 0),
            ("postback_counts", 1),
            ("clicks", 1),
            ("leads WHERE lead LIKE '%Uliana%'", 0),
        ] {
            assert_eq!(run(&database, &format!("SELECT COUNT(*) FROM {of}")).await, [rows], "{of}");
        }
        // What comes now is of nobody: it waits, and brings nobody back.
        net.sends("clickid=Click-of-Uliana&tracker.event=resale&tracker.cost=11").await;
        net.until_counts(1, 1, 0, 0).await;
        // Whoever comes with it is somebody new, and begins at one.
        net.starts("3", "Click-of-Uliana", "").await;
        net.until_counts(0, 2, 0, 0).await;
        assert_eq!(net.ordinals("Click-of-Uliana").await, ["resale#1"]);
        net.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_made_up_click_ids_is_bounded_and_learns_nothing() {
    let net = Net::start(None).await;
    net.starts("1", "real", "").await;
    net.rig.settle().await;
    // As if that many were waiting already.
    let flood = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MOST_WAITING}) \
         INSERT INTO postbacks (delivery, source, click, name, key, key_until, received_at, until, version, state) \
         SELECT 'd' || i, 'network', 'made-up-' || i, 'sale', 'k' || i, 0, 0, 4102444800000, version, 'waiting' \
         FROM n, (SELECT hash AS version FROM active_version)"
    );
    net.rig.sql(&flood).await;
    let (real, invented) = tokio::join!(
        net.rig.get("/in/network/net?clickid=real&tracker.event=sale"),
        net.rig.get("/in/network/net?clickid=guess&tracker.event=sale"),
    );
    assert_eq!(real, invented, "the answer does not say whether a click id is somebody's");
    until("it ends at once", async || net.in_state("ended").await.len() == 1).await;
    net.rig.settle().await;
    let ended = net.in_state("ended").await;
    let lead = net.lead(&ended[0]["lead"]).await;
    assert_eq!(lead["why"]["code"], "too_many_waiting");
    assert_eq!(net.ordinals("real").await, ["sale#1"], "nobody else is kept from being counted");
    let (status, _) = net.rig.get("/in/network/wrong?clickid=real&tracker.event=sale").await;
    assert_eq!(status, 404, "and without the token nobody gets so far");
    net.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_read_again_when_the_mapping_is_corrected() {
    let wrong = NETWORK.replace("postback: { network: custom }", "postback: { click: <<sub1>> }");
    let mut net = Net::start_with(None, &wrong).await;
    net.starts("1", "c1", "").await;
    for cost in [1, 2] {
        net.sends(&format!("sub1=campaign&sub2=c1&tracker.event=resale&tracker.cost={cost}")).await;
    }
    net.until_counts(2, 0, 0, 0).await;
    net.rig.edit("network.yaml", "<<sub1>>", "<<sub2>>");
    net.rig.save();
    net.until_counts(0, 2, 0, 0).await;
    assert_eq!(net.ordinals("c1").await, ["resale#1", "resale#2"]);
    // A campaign that does not count takes no number.
    net.rig.edit(
        "network.yaml",
        "click: <<sub2>>",
        "click: <<sub2>>, campaign: { only: summer, value: <<sub1>> }",
    );
    net.rig.restart().await;
    net.sends("sub1=autumn&sub2=c1&tracker.event=resale&tracker.cost=3").await;
    net.sends("sub1=summer&sub2=c1&tracker.event=resale&tracker.cost=3").await;
    net.until_counts(0, 3, 0, 0).await;
    assert_eq!(net.ordinals("c1").await.last().unwrap(), "resale#3");
    net.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_lose_no_number_and_give_none_twice() {
    let mut net = Net::start(None).await;
    net.starts("1", "c1", "").await;
    for round in 0..5 {
        for number in 0..8 {
            net.sends(&format!("clickid=c1&tracker.event=resale&tracker.cost={round}.{number}")).await;
        }
        // In the middle of whatever it is doing.
        net.rig.restart().await;
    }
    net.until_counts(0, 40, 0, 0).await;
    let expect: Vec<String> = (1..=40).map(|ordinal| format!("resale#{ordinal}")).collect();
    assert_eq!(net.ordinals("c1").await, expect);
    net.end().await;
}

/// What happens at a network and in a bot.
#[derive(Clone, Debug)]
enum Happens {
    /// This person presses Start.
    Starts(usize),
    /// One of these events of this person is reported.
    Reports(usize, &'static str),
}

/// Few people and few events, so that they meet.
fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        1 => (0..4_usize).prop_map(Happens::Starts),
        4 => (0..4_usize, prop_oneof![Just("sale"), Just("resale")]).prop_map(|(who, what)| Happens::Reports(who, what)),
    ];
    proptest::collection::vec(one, 30..60)
}

/// Whatever happens in which order, each person's events have the numbers of the order in which they arrived.
async fn numbers_are_those_of_the_order_of_arrival(postgres: Option<Database>) {
    let shared = postgres.is_some();
    let net = Net::start(postgres).await;
    let other = if shared { Some(net.rig.another().await) } else { None };
    let mut runner = TestRunner::deterministic();
    let mut sent = 0;
    for round in 0..3 {
        let happens = happenings().new_tree(&mut runner).unwrap().current();
        let mut expect: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut counts: BTreeMap<(usize, &str), u32> = BTreeMap::new();
        for happens in &happens {
            match happens {
                Happens::Starts(who) => {
                    net.starts(&format!("{round}{who}"), &format!("c{round}-{who}"), "").await;
                }
                Happens::Reports(who, what) => {
                    sent += 1;
                    let click = format!("c{round}-{who}");
                    // Every other one goes to the other process.
                    let path =
                        format!("/in/network/net?clickid={click}&tracker.event={what}&tracker.cost={sent}");
                    let port = other.as_ref().filter(|_| sent % 2 == 0).map(|other| other.address.port());
                    let status = match port {
                        None => net.rig.get(&path).await.0,
                        Some(port) => get(port, &path).await,
                    };
                    assert_eq!(status, 200);
                    let count = counts.entry((*who, what)).or_default();
                    *count += 1;
                    expect.entry(click).or_default().push(format!("{what}#{count}"));
                }
            }
        }
        // Whoever has not come comes now.
        for who in 0..4 {
            net.starts(&format!("{round}{who}"), &format!("c{round}-{who}"), "").await;
        }
        net.until_counts(0, sent, 0, 0).await;
        for (click, expect) in expect {
            assert_eq!(net.ordinals(&click).await, expect, "{click} of {happens:?}");
        }
    }
    if let Some(other) = other {
        other.stop().await;
    }
    net.end().await;
}

#[expect(clippy::disallowed_methods, reason = "the test is the network")]
async fn get(port: u16, path: &str) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://127.0.0.1:{port}{path}")).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_those_of_the_order_of_arrival_in_one_process() {
    numbers_are_those_of_the_order_of_arrival(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_those_of_the_order_of_arrival_in_two_processes() {
    let Some(database) = Database::create().await else { return };
    numbers_are_those_of_the_order_of_arrival(Some(database)).await;
}

/// At once, in two processes, while the click ids are bound by two people each: no number twice and none left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_once_gets_every_number_once() {
    let Some(database) = Database::create().await else { return };
    let net = Net::start(Some(database)).await;
    let other = net.rig.another().await;
    let ports = [net.rig.app().address.port(), other.address.port()];
    let mut requests = Vec::new();
    for number in 0..60 {
        let click = number % 3;
        requests.push(get_owned(
            ports[number % 2],
            format!("/in/network/net?clickid=c{click}&tracker.event=resale&tracker.cost={number}"),
        ));
        if number % 10 == 5 {
            // Two who come with one click id: whoever is first keeps it.
            requests.push(get_owned(
                ports[number / 10 % 2],
                format!("/in/bot/bot?subid=c{click}&chatid={number}"),
            ));
        }
    }
    for click in 0..3 {
        requests.push(get_owned(ports[click % 2], format!("/in/bot/bot?subid=c{click}&chatid=last-{click}")));
    }
    for status in futures_util::future::join_all(requests).await {
        assert_eq!(status, 200);
    }
    net.until_counts(0, 60, 0, 0).await;
    for click in 0..3 {
        let mut numbers: Vec<u64> = Vec::new();
        let mut people = Vec::new();
        for one in net.in_state("counted").await.iter().filter(|one| one["click"] == format!("c{click}")) {
            numbers.push(one["ordinal"].as_u64().unwrap());
            people.push(one["person"].clone());
        }
        numbers.sort_unstable();
        people.dedup();
        assert_eq!((numbers, people.len()), ((1..=20).collect(), 1));
    }
    other.stop().await;
    net.end().await;
}

async fn get_owned(port: u16, path: String) -> u16 {
    get(port, &path).await
}

/// The client's own data base decides: whoever has an open deal goes on, anybody else begins.
const CHECK_AND_SWITCH: &str = r#"
source: { preset: postback, token: check }
leads:
  - name: check and switch
    on: check
    to: [crm]
    rules: { create_deal: never, update: only_empty, task_on_repeat: false, needs: [] }
    after_look_up:
      - { to: chatterfy, when: "{{ found.deal }}", update_dialog: { step: Flow RD / FD, status: auto } }
      - { to: chatterfy, when: "{{ not found.deal }}", update_dialog: { status: manual, fields: { checked: "{{ postback.event }}" } } }
"#;

/// The shipped mappings of Chatterfy, as its manual tells it: auto actions by postbacks, and "check and switch".
#[tokio::test(flavor = "multi_thread")]
async fn auto_actions_move_the_dialog_of_whoever_came_with_the_click_id() {
    let chatterfy = StandIn::always(Reply::text(200, "")).await;
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    let bot = format!(
        "  chatterfy: {{ bot: chatterfy, postback_id: pb-1, url: \"{}\", allow_private_addresses: true, steps: {{ \
         Flow FD / REG: reg, Flow RD / FD: fd, Flow RD / 2rd: rd2, Flow RD / 3rd: rd3 }} }}\nowner_pools:",
        chatterfy.url()
    );
    rig.edit("workspace.yaml", "owner_pools:", &bot);
    let bot = include_str!("../../mappings/chatterfy.yaml").replace("kyiv-sales", "sales");
    for (name, text) in [
        ("bot.yaml", bot.as_str()),
        ("network.yaml", include_str!("../../mappings/chatterfy-postback.yaml")),
        ("check.yaml", CHECK_AND_SWITCH),
    ] {
        rig.files.0.insert(name.to_owned(), text.to_owned());
    }
    rig.boot().await;
    let get = async |path: &str| assert_eq!(rig.get(path).await.0, 200, "{path}");
    let asked = async |count: usize| {
        until("Chatterfy is called", async || chatterfy.requests().len() >= count).await;
        rig.settle().await;
        let requests = chatterfy.requests();
        assert_eq!(requests.len(), count, "{requests:#?}");
        let last = &requests[count - 1];
        assert_eq!(last.line(), "GET /api/bots/webhooks/pb-1/updateDialog");
        last.query.clone()
    };
    // Before anybody came with the click id nothing is called.
    get("/in/network/demo?clickid=67aB&tracker.event=registration&fields.user_id=884412").await;
    get("/in/bot/demo?subid=67aB&chatid=700000101&username=ivan&phone=%2B380671234567").await;
    assert_eq!(asked(1).await, "chatId=700000101&stepId=reg&status=auto");
    get("/in/network/demo?clickid=67aB&tracker.event=sale&tracker.cost=50.00&tracker.currency=usd").await;
    assert_eq!(asked(2).await, "chatId=700000101&stepId=fd&status=auto&fields.balance=50.00");
    get("/in/network/demo?clickid=67aB&tracker.event=resale&tracker.cost=25.00").await;
    assert_eq!(asked(3).await, "chatId=700000101&stepId=rd2&status=auto");
    // The same again is a repeat, and calls nobody.
    get("/in/network/demo?clickid=67aB&tracker.event=resale&tracker.cost=25.00").await;
    get("/in/network/demo?clickid=67aB&tracker.event=withdrawal").await;
    rig.settle().await;
    assert_eq!(chatterfy.requests().len(), 3);

    // He has a deal, she has none.
    get("/in/check/check?clickid=67aB&tracker.event=check").await;
    assert_eq!(asked(4).await, "chatId=700000101&stepId=fd&status=auto");
    get("/in/bot/demo?subid=67aC&chatid=700000102&username=maria").await;
    get("/in/check/check?clickid=67aC&tracker.event=check").await;
    assert_eq!(asked(5).await, "chatId=700000102&status=manual&fields.checked=check");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_goes_on_where_retention_has_removed_what_was_counted() {
    let net = Net::start(None).await;
    net.starts("1", "c1", "").await;
    net.sends("clickid=c1&tracker.event=resale&tracker.cost=1").await;
    net.sends("clickid=c1&tracker.event=resale&tracker.cost=2").await;
    net.until_counts(0, 2, 0, 0).await;
    net.clock.advance(SignedDuration::from_hours(399 * 24));
    // It waits, so it stays, however old the rest is.
    net.sends("clickid=c2&tracker.event=resale").await;
    net.until_counts(1, 2, 0, 0).await;
    net.clock.advance(SignedDuration::from_hours(3 * 24));
    let environment: Environment = Arc::new(|_| None);
    let workspace = compile_without_secrets(&net.rig.files, &environment).0.workspace;
    let (_sender, active) = watch::channel(Some(Arc::new(workspace)));
    let clock = Arc::clone(&net.clock) as Arc<dyn Clock>;
    let retention = Retention { store: net.rig.app().store.clone(), clock, active };
    until("what is old is gone", async || {
        retention.round(&CancellationToken::new()).await.unwrap();
        net.counts().await == [1, 0, 0, 0]
    })
    .await;
    net.sends("clickid=c1&tracker.event=resale&tracker.cost=3").await;
    net.until_counts(1, 1, 0, 0).await;
    assert_eq!(net.ordinals("c1").await, ["resale#3"]);
    net.end().await;
}
