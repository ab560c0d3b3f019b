//! A trigger for a user of the site reaches the chats that are linked with that user, for as long as they are.

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::bots::stand_in::{Reply, StandIn};
use crate::links::{MAPPING, Story};
use crate::postgres::Database;
use crate::rig::{Rig, until};

const SHIPPED: &str = r#"
source: { preset: trigger, token: demo }
leads:
  - name: shipped
    calls: [ { to: metabot, schedule_job: { script_code: shipped, script_request_params: { order: "{{ data.order }}" } } } ]
"#;

struct Shop {
    story: Story,
    server: StandIn,
    orders: i64,
}

impl Shop {
    async fn open(postgres: Option<Database>) -> Self {
        let server = StandIn::always(Reply::json(200, &json!({ "success": true }))).await;
        let mut rig = Rig::prepare(Faults::default(), "mode: paused", MAPPING).await;
        let bots = format!(
            "  metabot: {{ bot: metabot, bot_id: 7, token: s3cret, url: \"{}\", chats: [\"telegram:shop_bot\"] }}\n\
             owner_pools:",
            server.url()
        );
        rig.edit("workspace.yaml", "owner_pools:", &bots);
        rig.files.0.insert("shipped.yaml".to_owned(), SHIPPED.to_owned());
        rig.postgres = postgres;
        Self { story: Story::of(rig).await, server, orders: 0 }
    }

    async fn came(&self, events: &[Value]) {
        self.story.webhooks(events).await;
    }

    /// An order of this user is shipped: the outcome, or the chat that is told.
    async fn shipped(&mut self, user: &str) -> String {
        self.orders += 1;
        let body = json!({ "to": { "web_user": user }, "data": { "order": self.orders } });
        let (_, answer) = self.story.rig.post_to_api("/api/triggers/shipped", &body).await;
        let outcome = answer["outcome"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        if outcome != "accepted" {
            return outcome;
        }
        let told = || {
            let bodies = self.server.requests().into_iter().map(|request| request.json());
            bodies.filter(|body| body["script_request_params"]["order"] == self.orders).collect::<Vec<_>>()
        };
        until("the bot is called", async || !told().is_empty()).await;
        told()[0]["lead_id"].to_string()
    }
}

async fn for_as_long_as_it_is_linked(postgres: Option<Database>) {
    let mut shop = Shop::open(postgres).await;
    shop.came(&[json!({ "chat": "7001" }), json!({ "chat": "7002" })]).await;
    assert_eq!(shop.shipped("10045").await, "nobody");
    shop.story.link("7001", "10045").await;
    assert_eq!(shop.shipped("10045").await, "7001");
    // She logs out in the bot.
    assert_eq!(shop.story.bot("unlink", json!({ "who": "7001" })).await["outcome"], "unlinked");
    assert_eq!(shop.shipped("10045").await, "nobody");
    shop.story.link("7001", "10045").await;
    assert_eq!(shop.shipped("10045").await, "7001");
    // She takes the bot away on the site.
    assert_eq!(shop.story.site("unlink", json!({ "user_id": "10045" })).await.0, "unlinked");
    assert_eq!(shop.shipped("10045").await, "nobody");
    shop.story.link("7001", "10045").await;
    assert_eq!(shop.shipped("10045").await, "7001");
    // She has another account now, and says so; the old one reaches nobody.
    let (outcome, answer) = shop.story.enter("7001", Some("20000")).await;
    assert_eq!(outcome, "conflict", "{answer}");
    let rebind = json!({ "ticket": answer["ticket"], "choice": "rebind" });
    assert_eq!(shop.story.site("settle", rebind).await.0, "rebound");
    assert_eq!((shop.shipped("20000").await, shop.shipped("10045").await), ("7001".into(), "nobody".into()));
    // Somebody else has that account from now on.
    shop.story.link("7002", "10045").await;
    assert_eq!((shop.shipped("20000").await, shop.shipped("10045").await), ("7001".into(), "7002".into()));
    shop.story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_reached_for_as_long_as_a_chat_is_linked() {
    for_as_long_as_it_is_linked(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_reached_for_as_long_as_a_chat_is_linked_on_postgres() {
    let Some(database) = Database::create().await else { return };
    for_as_long_as_it_is_linked(Some(database)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_linked_chat_of_a_person_is_told() {
    let mut shop = Shop::open(None).await;
    // Whoever typed her phone into a bot is one person with her, and may be a stranger.
    shop.came(&[json!({ "chat": "7001", "phone": "0671234567" })]).await;
    shop.story.link("7001", "10045").await;
    shop.came(&[json!({ "chat": "7002", "phone": "0671234567" })]).await;
    assert_eq!(shop.story.whose("7001").await, shop.story.whose("7002").await);
    assert_eq!(shop.shipped("10045").await, "7001", "the other was active last, and proved nothing");
    let now = shop.story.rig.clock.now();
    let store = shop.story.rig.app().store.clone();
    store.mark_chat_blocked("telegram:shop_bot", "7001", "blocked", now).await.unwrap();
    assert_eq!(shop.shipped("10045").await, "no_live_chat");
    shop.story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_whom_only_webhooks_told_is_reached_until_somebody_links() {
    let mut shop = Shop::open(None).await;
    shop.came(&[json!({ "chat": "7001", "user": "10045" })]).await;
    assert_eq!(shop.shipped("10045").await, "7001");
    assert_eq!(shop.story.bot("unlink", json!({ "who": "7001" })).await["outcome"], "not_linked");
    shop.story.link("7001", "10045").await;
    assert_eq!(shop.shipped("10045").await, "7001");
    assert_eq!(shop.story.site("unlink", json!({ "user_id": "10045" })).await.0, "unlinked");
    assert_eq!(shop.shipped("10045").await, "nobody");
    shop.story.end().await;
}
