//! Postbacks: whose each is, which of a person's it is, and in what order, whatever comes when; on both databases.

mod order;
mod story;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use leadfold::clock::{Clock, ManualClock};
use leadfold::retention::Retention;
use leadfold::sandbox::Faults;
use leadfold::store::postbacks::MOST_WAITING;
use leadfold::workspace::{Environment, compile_without_secrets};
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
