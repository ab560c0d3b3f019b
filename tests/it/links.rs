//! Links between a bot's person and a web user, over HTTP, as the document of the platform tells it: every scenario with its
//! outcome code; and what a site's own token opens.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use leadfold::clock::{Clock, SystemClock};
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::postgres::Database;
use crate::rig::{LINKS_TOKEN, Rig, until};

pub(crate) const API: &str = "token-of-the-bot";

/// A bot whose webhooks come here, and a site whose forms do.
pub(crate) const MAPPING: &str = r#"
source: { preset: json, token: demo }
leads:
  - name: all
    to: [crm]
    phone: { regions: [UA] }
    contact: { name: "{{ name }}", phone: "{{ phone }}", email: "{{ email }}" }
    identifiers:
      chat: { channel: telegram, bot: "{{ 'shop_bot' if chat }}", id: "{{ chat }}" }
      link: "{{ start }}"
      external_customer: { web_user: "{{ user }}" }
"#;

/// The machine's clock, moved.
pub(crate) struct Moved(pub(crate) std::sync::Mutex<SignedDuration>);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(*self.0.lock().unwrap()).unwrap()
    }

    fn new_id(&self) -> uuid::Uuid {
        SystemClock.new_id()
    }
}

/// A leadfold, the bot that talks to it, and the site that does.
pub(crate) struct Story {
    pub(crate) rig: Rig,
    pub(crate) clock: Arc<Moved>,
    client: reqwest::Client,
}

impl Story {
    pub(crate) async fn begin() -> Self {
        Self::on(None).await
    }

    pub(crate) async fn on(postgres: Option<Database>) -> Self {
        let mut rig = Rig::prepare(Faults::default(), "mode: paused", MAPPING).await;
        rig.edit(
            "workspace.yaml",
            "owner_pools:",
            "links: { url: \"https://site.com\", pin_digits: 6 }\nowner_pools:",
        );
        rig.postgres = postgres;
        Self::of(rig).await
    }

    /// On a leadfold that is prepared.
    pub(crate) async fn of(mut rig: Rig) -> Self {
        rig.token = Some(API);
        let clock = Arc::new(Moved(std::sync::Mutex::new(SignedDuration::ZERO)));
        rig.clock = clock.clone();
        rig.boot().await;
        Self { rig, clock, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) fn advance(&self, minutes: i64) {
        let mut moved = self.clock.0.lock().unwrap();
        *moved = moved.checked_add(SignedDuration::from_mins(minutes)).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the bot and the site")]
    pub(crate) async fn ask_as(&self, token: &str, what: &str, body: &Value) -> (u16, Value) {
        let url = self.rig.url(&format!("/api/links/{what}"));
        let request = self.client.post(url).bearer_auth(token).body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    pub(crate) async fn bot(&self, what: &str, body: Value) -> Value {
        let (status, answer) = self.ask_as(API, what, &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The outcome, and all of the answer.
    pub(crate) async fn site(&self, what: &str, body: Value) -> (String, Value) {
        let (status, answer) = self.ask_as(LINKS_TOKEN, what, &body).await;
        let outcome = answer["outcome"].as_str().unwrap_or_else(|| panic!("{status} {answer}")).to_owned();
        let expect = match outcome.as_str() {
            "unknown_link" | "unknown_ticket" => 404,
            "too_many_tries" => 429,
            _ => 200,
        };
        assert_eq!(status, expect, "{answer}");
        (outcome, answer)
    }

    /// Events, each its own request, until all are leads.
    pub(crate) async fn webhooks(&self, events: &[Value]) {
        for event in events {
            assert_eq!(self.rig.post_to("/in/sendpulse/demo", event.to_string()).await.0, 200);
        }
        until("everything is prepared", async || self.rig.counts().await.received == 0).await;
    }

    pub(crate) async fn issue(&self, chat: &str) -> (String, String) {
        let issued = self.bot("issue", json!({ "who": chat })).await;
        (issued["buid"].as_str().unwrap().to_owned(), issued["pin"].as_str().unwrap().to_owned())
    }

    /// A fresh link, opened with its PIN.
    pub(crate) async fn enter(&self, chat: &str, user: Option<&str>) -> (String, Value) {
        let (buid, pin) = self.issue(chat).await;
        self.site("verify", json!({ "buid": buid, "pin": pin, "user_id": user })).await
    }

    /// Chat and user are one from here on.
    pub(crate) async fn link(&self, chat: &str, user: &str) {
        let (outcome, answer) = self.enter(chat, Some(user)).await;
        assert_eq!(outcome, "bound", "{answer}");
    }

    /// Who has an identifier; empty for nobody.
    pub(crate) async fn whose(&self, value: &str) -> String {
        let people = self.rig.app().store.people_of(&[value.to_owned()]).await.unwrap();
        people.first().map(ToString::to_string).unwrap_or_default()
    }

    pub(crate) async fn end(mut self) {
        self.rig.shut_down().await;
        if let Some(postgres) = self.rig.postgres.take() {
            postgres.remove().await;
        }
        std::fs::remove_dir_all(&self.rig.folder).unwrap();
    }
}

/// Another PIN than this.
pub(crate) fn another(pin: &str) -> String {
    let number: u64 = pin.parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}

fn says(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_goes_from_the_bot_to_the_site_and_back() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    // The bot sends link and PIN.
    let issued = story.bot("issue", json!({ "who": "7001" })).await;
    let (buid, pin) = (says(&issued, "buid"), says(&issued, "pin"));
    assert_eq!(says(&issued, "url"), format!("https://site.com?buid={buid}"));
    assert!(buid.len() == 22 && !buid.contains("7001"), "it says nothing of the person: {buid}");
    assert_eq!(pin.len(), 6);
    assert_eq!(issued["chat"], json!({ "scope": "telegram:shop_bot", "id": "7001" }));
    // The site opens, and asks for the PIN.
    let (outcome, _) = story.site("verify", json!({ "buid": buid })).await;
    assert_eq!(outcome, "pin_required");
    // Nobody is known: she registers on the site, and it says as whom.
    let (outcome, answer) = story.site("verify", json!({ "buid": buid, "pin": pin, "user_id": null })).await;
    assert_eq!(outcome, "register");
    assert_eq!(answer.get("user_id"), None);
    let ticket = says(&answer, "ticket");
    let (outcome, answer) = story.site("bind", json!({ "ticket": ticket, "user_id": 10045 })).await;
    assert_eq!((outcome.as_str(), answer["user_id"].as_str()), ("bound", Some("10045")));
    assert_eq!(story.whose("10045").await, story.whose("7001").await);
    // From now on a link logs her in.
    let (outcome, answer) = story.enter("7001", None).await;
    assert_eq!((outcome.as_str(), answer["user_id"].as_str()), ("linked", Some("10045")));
    let (outcome, answer) = story.enter("7001", Some("10045")).await;
    assert_eq!((outcome.as_str(), answer["user_id"].as_str()), ("already_linked", Some("10045")));
    // She logs out in the bot: nobody is known, and a link binds again.
    assert_eq!(story.bot("unlink", json!({ "who": "7001" })).await["outcome"], "unlinked");
    assert_eq!(story.bot("unlink", json!({ "who": "7001" })).await["outcome"], "not_linked");
    assert_eq!(story.whose("10045").await, "");
    assert_eq!(story.enter("7001", None).await.0, "register");
    story.link("7001", "10045").await;
    // She takes the bot away on the site.
    assert_eq!(story.site("unlink", json!({ "user_id": "10045" })).await.0, "unlinked");
    assert_eq!(story.site("unlink", json!({ "user_id": "10045" })).await.0, "not_linked");
    assert_eq!(story.enter("7001", None).await.0, "register");
    story.link("7001", "10045").await;
    assert_eq!(story.enter("7001", None).await.0, "linked");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_registers_her_on_the_site() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    assert_eq!(story.enter("7001", None).await.0, "register");
    // The bot has got a user id over the API of the site; it vouches for its person.
    assert_eq!(story.bot("bind", json!({ "who": "7001", "user_id": "10045" })).await["outcome"], "bound");
    let (outcome, answer) = story.enter("7001", None).await;
    assert_eq!((outcome.as_str(), answer["user_id"].as_str()), ("linked", Some("10045")));
    // A site cannot vouch.
    for (what, body) in [
        ("bind", json!({ "who": "7001", "user_id": "666" })),
        ("unlink", json!({ "who": "7001" })),
        ("issue", json!({ "who": "7001" })),
        ("deep", json!({ "bot": "shop_bot", "customer": "web_user:1" })),
        ("resolve", json!({ "start": "17" })),
    ] {
        let (status, answer) = story.ask_as(LINKS_TOKEN, what, &body).await;
        assert_eq!(status, 403, "{what} {answer}");
    }
    assert_eq!(story.rig.get_as(Some(LINKS_TOKEN), "/api/leads").await.0, 401);
    assert_eq!(story.rig.get_as(Some(LINKS_TOKEN), "/metrics").await.0, 401);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_an_old_and_a_new_pin() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    let (buid, pin) = story.issue("7001").await;
    let wrong = another(&pin);
    let verify = |pin: &str| json!({ "buid": buid, "pin": pin, "visitor": "203.0.113.7" });
    for left in (0..5).rev() {
        let (outcome, answer) = story.site("verify", verify(&wrong)).await;
        assert_eq!((outcome.as_str(), answer["tries_left"].as_i64()), ("wrong_pin", Some(left)));
        assert_eq!(answer["new_pin"], true);
    }
    // Now the right one does not help either.
    let (outcome, answer) = story.site("verify", verify(&pin)).await;
    assert_eq!((outcome.as_str(), &answer["new_pin"]), ("too_many_tries", &json!(true)));
    // The bot draws another one for the same page; it is too old before it is typed.
    let second = says(&story.bot("issue", json!({ "buid": buid })).await, "pin");
    assert_eq!(story.site("verify", verify(&pin)).await.0, "wrong_pin", "the old one is worth nothing");
    story.advance(11);
    assert_eq!(story.site("verify", verify(&second)).await.0, "expired_pin");
    // Putting the clock back does not make it good again.
    story.advance(-11);
    assert_eq!(story.site("verify", verify(&second)).await.0, "expired_pin");
    // The third is the last.
    let third = story.bot("issue", json!({ "buid": buid })).await;
    let (status, answer) = story.ask_as(API, "issue", &json!({ "buid": buid })).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(story.site("verify", verify(&says(&third, "pin"))).await.0, "register");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_works_once_and_not_for_whoever_it_was_forwarded_to() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    let (buid, pin) = story.issue("7001").await;
    let verify = json!({ "buid": buid, "pin": pin });
    assert_eq!(story.site("verify", verify.clone()).await.0, "register");
    assert_eq!(story.site("verify", verify.clone()).await.0, "used_link");
    assert_eq!(story.site("verify", json!({ "buid": buid })).await.0, "used_link");
    // A newer link ends the one before.
    let (first, pin) = story.issue("7001").await;
    let (second, _) = story.issue("7001").await;
    assert_eq!(story.site("verify", json!({ "buid": first, "pin": pin })).await.0, "ended_link");
    assert_eq!(story.site("verify", json!({ "buid": second, "pin": pin })).await.0, "wrong_pin");
    // It is too old a day later; what is mangled was never there.
    story.advance(24 * 60);
    assert_eq!(story.site("verify", json!({ "buid": second })).await.0, "expired_link");
    for buid in ["", "x", "' OR 1=1 --", "ZRvJxYsn6Vr2sQVQ83kLdM", "\u{0}"] {
        assert_eq!(
            story.site("verify", json!({ "buid": buid, "pin": "000000" })).await.0,
            "unknown_link",
            "{buid:?}"
        );
    }
    // A ticket works once too, and not for long.
    let (_, answer) = story.enter("7001", None).await;
    story.advance(31);
    let bind = json!({ "ticket": answer["ticket"], "user_id": "10045" });
    assert_eq!(story.site("bind", bind).await.0, "expired_ticket");
    let (_, answer) = story.enter("7001", None).await;
    let bind = json!({ "ticket": answer["ticket"], "user_id": "10045" });
    assert_eq!(
        story.site("settle", json!({ "ticket": answer["ticket"], "choice": "keep" })).await.0,
        "nothing_to_settle"
    );
    assert_eq!(story.site("bind", bind.clone()).await.0, "bound");
    assert_eq!(story.site("bind", bind).await.0, "used_ticket");
    let stranger = json!({ "ticket": "ZRvJxYsn6Vr2sQVQ83kLdM", "user_id": "10045" });
    assert_eq!(story.site("bind", stranger).await.0, "unknown_ticket");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_without_pin_lives_an_hour_and_proves_nothing() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    story.link("7001", "10045").await;
    let issued = story.bot("issue", json!({ "who": "7001", "pin": false })).await;
    assert_eq!(issued.get("pin"), None);
    for body in [json!({ "buid": issued["buid"] }), json!({ "buid": issued["buid"], "user_id": "666" })] {
        let (outcome, answer) = story.site("verify", body).await;
        assert_eq!(outcome, "recognised");
        assert_eq!(answer["person"], json!(story.whose("7001").await));
        assert_eq!((answer.get("user_id"), answer.get("ticket")), (None, None), "{answer}");
    }
    assert_eq!(story.whose("666").await, "", "it binds nobody");
    story.advance(60);
    assert_eq!(story.site("verify", json!({ "buid": issued["buid"] })).await.0, "expired_link");
    let (status, answer) =
        story.ask_as(API, "issue", &json!({ "who": "7001", "pin": false, "minutes": 61 })).await;
    assert_eq!(status, 422, "{answer}");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_a_conflict_that_the_visitor_settles() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    story.link("7001", "10045").await;
    let conflict = json!({ "known": "10045", "request": "10046", "why": "another_user" });
    // Keep.
    let (outcome, answer) = story.enter("7001", Some("10046")).await;
    assert_eq!((outcome.as_str(), &answer["conflict"]), ("conflict", &conflict));
    assert_eq!(answer.get("user_id"), None, "nobody is to be logged in by it");
    let keep = json!({ "ticket": answer["ticket"], "choice": "keep" });
    let (outcome, answer) = story.site("settle", keep.clone()).await;
    assert_eq!((outcome.as_str(), answer["user_id"].as_str()), ("kept", Some("10045")));
    assert_eq!(story.site("settle", keep).await.0, "used_ticket");
    // Rebind.
    let (_, answer) = story.enter("7001", Some("10046")).await;
    let rebind = json!({ "ticket": answer["ticket"], "choice": "rebind" });
    let (outcome, answer) = story.site("settle", rebind).await;
    assert_eq!((outcome.as_str(), answer["user_id"].as_str()), ("rebound", Some("10046")));
    assert_eq!(story.enter("7001", None).await.1["user_id"], "10046");
    assert_eq!(story.whose("10045").await, "");
    // Whoever the other user is now is somebody else.
    story.webhooks(&[json!({ "chat": "7002" })]).await;
    story.link("7002", "10045").await;
    assert_ne!(story.whose("7001").await, story.whose("7002").await);
    // A user of another linked person: the two have different users, so they are two.
    let (outcome, answer) = story.enter("7001", Some("10045")).await;
    assert_eq!((outcome.as_str(), &answer["conflict"]["known"]), ("conflict", &json!("10046")));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_the_site_told_of_becomes_one_with_the_chat() {
    let story = Story::begin().await;
    // Her form on the site came before.
    story
        .webhooks(&[
            json!({ "user": "10045", "name": "Олена", "phone": "0671234567" }),
            json!({ "chat": "7001" }),
        ])
        .await;
    assert_ne!(story.whose("10045").await, story.whose("7001").await);
    let (outcome, answer) = story.enter("7001", Some("10045")).await;
    assert_eq!(outcome, "bound");
    let merge = says(&answer, "merge");
    let person = story.whose("10045").await;
    assert_eq!([story.whose("7001").await, story.whose("+380671234567").await], [person.clone(), person]);
    assert_eq!(story.enter("7001", None).await.0, "linked");
    // Somebody finds that they are two: then the link does not count any more.
    let (status, answer) = story.rig.post_to_api("/api/people/split", &json!({ "what": merge })).await;
    assert_eq!(status, 200, "{answer}");
    assert_ne!(story.whose("10045").await, story.whose("7001").await);
    assert_eq!(story.enter("7001", None).await.0, "register");
    // And nothing joins them again but their own word: the user changes hands, the people stay two.
    let (outcome, answer) = story.enter("7001", Some("10045")).await;
    assert_eq!((outcome.as_str(), &answer["conflict"]["why"]), ("conflict", &json!("said_to_differ")));
    let rebind = json!({ "ticket": answer["ticket"], "choice": "rebind" });
    assert_eq!(story.site("settle", rebind).await.0, "rebound");
    assert_eq!(story.whose("10045").await, story.whose("7001").await);
    assert_ne!(story.whose("+380671234567").await, story.whose("7001").await);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_phone_logs_nobody_in() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" }), json!({ "user": "10045", "phone": "0671234567" })]).await;
    story.link("7001", "10045").await;
    // A stranger types her phone in the bot, and is taken for her, as far as leads go.
    story.webhooks(&[json!({ "chat": "6666", "phone": "0671234567" })]).await;
    assert_eq!(story.whose("6666").await, story.whose("7001").await);
    let (outcome, answer) = story.enter("6666", None).await;
    assert_eq!((outcome.as_str(), &answer["candidates"]), ("found", &json!(["10045"])));
    assert_eq!(answer.get("user_id"), None, "{answer}");
    // Nor does the stranger's own account take hers away: her chat is linked.
    let (outcome, answer) = story.enter("6666", Some("666")).await;
    assert_eq!((outcome.as_str(), &answer["conflict"]["known"]), ("conflict", &json!("10045")));
    let rebind = json!({ "ticket": answer["ticket"], "choice": "rebind" });
    let (outcome, answer) = story.site("settle", rebind).await;
    assert_eq!(
        (outcome.as_str(), &answer["conflict"]["why"]),
        ("conflict", &json!("another_chat_is_linked"))
    );
    assert_eq!(story.enter("7001", None).await.0, "linked");
    // Her second messenger is asked once, and logs in from then on.
    let (_, answer) = story.enter("6666", None).await;
    let bind = json!({ "ticket": answer["ticket"], "user_id": "10045" });
    assert_eq!(story.site("bind", bind).await.0, "bound");
    assert_eq!(story.enter("6666", None).await.0, "linked");
    // Logging out in one leaves the other.
    assert_eq!(story.bot("unlink", json!({ "who": "6666" })).await["outcome"], "unlinked");
    assert_eq!(story.enter("7001", None).await.0, "linked");
    assert_eq!(story.enter("6666", None).await.0, "found");
    // Away on the site is away in all.
    assert_eq!(story.bot("unlink", json!({ "user_id": "10045" })).await["outcome"], "unlinked");
    assert_eq!(story.enter("7001", None).await.0, "register");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_looked_for_by_what_the_visitor_gives() {
    let story = Story::begin().await;
    story
        .webhooks(&[
            json!({ "user": "10045", "phone": "0671234567", "email": "olena.k@gmail.com" }),
            json!({ "chat": "7001" }),
        ])
        .await;
    for given in [json!({ "phone": "+38 067 123-45-67" }), json!({ "email": "OlenaK@gmail.com" })] {
        let (buid, pin) = story.issue("7001").await;
        let mut body = json!({ "buid": buid, "pin": pin });
        body.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let (outcome, answer) = story.site("verify", body).await;
        assert_eq!((outcome.as_str(), &answer["candidates"]), ("found", &json!(["10045"])), "{given}");
    }
    let (buid, pin) = story.issue("7001").await;
    let body = json!({ "buid": buid, "pin": pin, "phone": "0501112233", "email": "nobody" });
    assert_eq!(story.site("verify", body).await.0, "register");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_and_changes_nothing() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    let check = async |what: &str, body: Value, expect: u16| {
        let (status, answer) = story.ask_as(API, what, &body).await;
        assert_eq!(status, expect, "{what} {body} {answer}");
        assert!(answer["error"].as_str().is_some_and(|text| text.len() > 20), "{answer}");
    };
    check("verify", json!({}), 400).await;
    check("verify", json!([]), 400).await;
    check("verify", json!({ "buid": "x", "pni": "1" }), 400).await;
    check("verify", json!({ "buid": "x", "pin": 123_456 }), 400).await;
    check("verify", json!({ "buid": "x", "user_id": "undefined" }), 400).await;
    check("verify", json!({ "buid": "x", "user_id": { "$ne": 1 } }), 400).await;
    check("verify", json!({ "buid": "x", "pin": "1".repeat(300) }), 422).await;
    check("bind", json!({ "user_id": "1" }), 422).await;
    check("bind", json!({ "ticket": "x" }), 400).await;
    check("settle", json!({ "ticket": "x", "choice": "both" }), 400).await;
    check("unlink", json!({}), 422).await;
    check("issue", json!({}), 422).await;
    check("issue", json!({ "who": "nobody" }), 422).await;
    check("issue", json!({ "who": "7001", "chat": "viber:shop" }), 422).await;
    check("issue", json!({ "who": "7001", "minutes": 0 }), 422).await;
    check("issue", json!({ "buid": "x" }), 422).await;
    check("deep", json!({ "bot": "no bot" }), 422).await;
    story.end().await;
}
