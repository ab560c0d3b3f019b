//! eSputnik's *Add application tokens*, row by row over HTTP, as a service calls it that used to send to eSputnik.

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};
use crate::store;

const APP: &str = "6f1c2d3e-0000-4000-8000-0123456789ab";

/// Of the bot that SendPulse's events name, so that both speak of the same chats.
const TOKENS: &str = "
source: { preset: esputnik_tokens, app: 6F1C2D3E-0000-4000-8000-0123456789AB, token: k3y, customers: crm, bot: \"sendpulse:bot-telegram\" }
leads:
  - name: tokens
    phone: { regions: [UA] }
    person: { fields: { app: \"{{ source }}\" } }
";

/// What became of messages to those chats.
const FEED: &str = "
source: { preset: esputnik, token: feed, bot: \"sendpulse:bot-telegram\" }
leads:
  - name: not delivered
    when: \"{{ activityStatus in ['UNDELIVERED', 'FAILED'] }}\"
    person: { fields: { not_delivered: \"{{ statusDescription }}\" } }
    identifiers: { external_customer: { esputnik: \"{{ contactId }}\", crm: \"{{ externalCustomerId }}\" } }
";

struct Service {
    rig: Rig,
    client: reqwest::Client,
}

/// An answer: status, `WWW-Authenticate`, text.
type Answer = (u16, Option<String>, String);

impl Service {
    async fn start(postgres: Option<Database>) -> Self {
        let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
        rig.postgres = postgres;
        rig.files.0.insert("tokens.yaml".to_owned(), TOKENS.to_owned());
        rig.files.0.insert("feed.yaml".to_owned(), FEED.to_owned());
        rig.boot().await;
        Self { rig, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the client's service")]
    async fn send(&self, path: &str, key: Option<&str>, body: impl Into<Vec<u8>>) -> Answer {
        let mut request = self.client.post(self.rig.url(path)).body(body.into());
        if let Some(key) = key {
            request = request.basic_auth("whoever", Some(key));
        }
        let answer = request.send().await.unwrap();
        let asks = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), asks, answer.text().await.unwrap())
    }

    async fn add(&self, tokens: Value) {
        let body = json!({ "tokens": tokens }).to_string();
        let (status, _, text) = self.send(&format!("/api/v1/apps/{APP}/tokens"), Some("k3y"), body).await;
        assert_eq!((status, text.as_str()), (200, r#"{"ok":true}"#));
    }

    /// Everybody who is known by this.
    async fn people(&self, who: &str) -> Vec<Value> {
        self.rig.settle().await;
        let asked = json!({ "who": who }).to_string();
        let (status, text) = self.rig.post_to("/api/people", asked).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["people"].as_array().unwrap().clone()
    }

    async fn person(&self, who: &str) -> Value {
        let mut people = self.people(who).await;
        assert_eq!(people.len(), 1, "{who}: {people:#?}");
        people.remove(0)
    }

    async fn count(&self, of: &str) -> i64 {
        store::run(&self.rig.database(), &format!("SELECT COUNT(*) FROM {of}")).await[0]
    }
}

/// Their chats, oldest id first, with their states.
fn chats(person: &Value) -> Vec<String> {
    let chats = person["chats"].as_array().unwrap().iter();
    let mut chats: Vec<String> =
        chats.map(|chat| format!("{} {}", chat["value"].as_str().unwrap(), chat["state"])).collect();
    chats.sort();
    chats
}

/// What says who they are, apart from chats.
fn known_by(person: &Value) -> Vec<String> {
    let all = person["identifiers"].as_array().unwrap().iter();
    let mut known: Vec<String> = all
        .filter(|known| known["kind"] != "chat")
        .map(|known| format!("{} {}", known["scope"].as_str().unwrap(), known["value"].as_str().unwrap()))
        .collect();
    known.sort();
    known
}

async fn on_both(test: impl AsyncFn(&Service)) {
    let service = Service::start(None).await;
    test(&service).await;
    service.rig.end().await;
    let Some(database) = Database::create().await else { return };
    let service = Service::start(Some(database)).await;
    test(&service).await;
    service.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_the_document_says() {
    on_both(async |service| {
        // "A contact is created with all identifiers, if there is none with such identifiers."
        service
            .add(json!([{ "token": "700000101", "contactId": 889_000_911, "externalCustomerId": "crm-7781",
                "phone": "380671234567", "email": "Olena@example.com" }]))
            .await;
        let olena = service.person("0671234567").await;
        assert_eq!(
            known_by(&olena),
            [" +380671234567", " olena@example.com", "crm crm-7781", "esputnik 889000911"]
        );
        assert_eq!(chats(&olena), ["700000101 \"active\""]);
        assert_eq!(olena["fields"]["app"]["value"], "tokens");
        assert_eq!(olena["leads"][0]["state"], "mapped", "it goes to no CRM");

        // "Existing identifiers are neither created nor updated": found by each, in their order, and nothing but the token added.
        let of = [
            json!({ "contactId": "889000911", "email": "new1@example.com" }),
            json!({ "externalCustomerId": "crm-7781", "phone": "380501110001" }),
            json!({ "phone": "+38 (067) 123-45-67", "email": "new2@example.com", "externalCustomerId": "crm-1" }),
            json!({ "email": "olena@EXAMPLE.com", "contactId": 1 }),
        ];
        for (number, mut item) in of.into_iter().enumerate() {
            item["token"] = format!("70000020{number}").into();
            service.add(json!([item])).await;
        }
        let again = service.person("olena@example.com").await;
        assert_eq!((known_by(&again), chats(&again).len()), (known_by(&olena), 5), "each token is kept");
        assert_eq!(again["id"], olena["id"]);
        for unknown in ["new1@example.com", "new2@example.com", "0501110001"] {
            assert_eq!(service.people(unknown).await.len(), 0, "{unknown}");
        }

        // The same token twice, in one request and in two.
        let twice = json!({ "token": "700000101", "email": "olena@example.com" });
        service.add(json!([twice.clone(), twice])).await;
        service.add(json!([{ "token": 700_000_101, "phone": "0671234567" }])).await;
        assert_eq!(chats(&service.person("0671234567").await).len(), 5);
        assert_eq!(service.count("identifiers WHERE kind = 'chat' AND value = '700000101'").await, 1);
        assert_eq!((service.count("persons").await, service.count("syncs").await), (1, 0));

        // A token that another person holds stays there; the caller is answered 200, and somebody can see it.
        service.add(json!([{ "token": "700000101", "email": "borys@example.com" }])).await;
        let borys = service.person("borys@example.com").await;
        assert_eq!((chats(&borys), known_by(&borys)), (vec![], vec![" borys@example.com".to_owned()]));
        assert!(chats(&service.person("0671234567").await).contains(&"700000101 \"active\"".to_owned()));
        let (_, text) = service.rig.post_to("/api/people/duplicates", "{}").await;
        let duplicates: Value = serde_json::from_str(&text).unwrap();
        let why = duplicates["duplicates"][0]["why"].to_string();
        assert!(why.contains("belongs to person") && why.contains("700•••01"), "{text}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_started_the_bot_before_is_the_one_whose_token_comes() {
    on_both(async |service| {
        // /start: a chat, and nothing else is known.
        assert_eq!(service.rig.post(&event("700000300", "telegram", json!({}), now_millis())).await, 200);
        let anonymous = service.person("700000300").await;
        service
            .add(json!([{ "token": "700000300", "email": "olena@example.com", "externalCustomerId": "crm-1" }]))
            .await;
        let olena = service.person("700000300").await;
        assert_eq!((&olena["id"], chats(&olena).len()), (&anonymous["id"], 1));
        assert_eq!(known_by(&olena), [" olena@example.com", "crm crm-1"]);
        // Somebody who is known already, and presses start in the bot only now.
        service.add(json!([{ "token": "700000400", "phone": "0671234567" }])).await;
        let ivan = service.person("0671234567").await;
        assert_eq!(service.rig.post(&event("700000500", "telegram", json!({}), now_millis())).await, 200);
        service.rig.settle().await;
        service.add(json!([{ "token": "700000500", "phone": "0671234567" }])).await;
        let ivan_now = service.person("700000500").await;
        assert_eq!((&ivan_now["id"], chats(&ivan_now).len()), (&ivan["id"], 2));
        assert_eq!(ivan_now["merges"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_kept_and_says_why() {
    on_both(async |service| {
        let path = format!("/v1/apps/{APP}/tokens");
        let good = json!({ "tokens": [{ "token": "1", "email": "olena@example.com" }] }).to_string();
        let check = async |path: &str, key: Option<&str>, body: &str, status: u16, says: &str| {
            let (got, asks, text) = service.send(path, key, body).await;
            assert!(got == status && text.contains(says), "{path} {body}: {got} {text}");
            assert_eq!(asks.is_some(), status == 401, "{path}");
        };
        let nobody =
            json!({ "tokens": [{ "token": "1", "email": "a@example.com" }, { "token": "2" }] }).to_string();
        check(&path, Some("k3y"), &nobody, 400, "`tokens[1]` does not say whose it is").await;
        check(&path, Some("k3y"), "", 400, "the body is empty").await;
        check(&path, Some("k3y"), "{", 400, "not JSON").await;
        check(&path, Some("k3y"), &"[".repeat(100_000), 400, "nested deeper").await;
        check(&path, Some("k3y"), r#"{"tokens":["1"]}"#, 400, "`tokens[0]` is no object").await;
        let wrong = "no application of this id takes this key";
        check(&path, None, &good, 401, wrong).await;
        check(&path, Some("K3y"), &good, 401, wrong).await;
        check(&path, Some(""), &good, 401, wrong).await;
        check("/v1/apps/6f1c2d3e/tokens", Some("k3y"), &good, 401, wrong).await;
        check("/api/v1/apps/../tokens", Some("k3y"), &good, 404, "").await;
        check(&path.replace("tokens", "token"), Some("k3y"), &good, 404, "").await;
        assert_eq!((service.count("deliveries").await, service.count("persons").await), (0, 0));
        let (status, text) = service.rig.get(&path).await;
        assert_eq!(status, 401, "{text}");

        check(
            &path.to_uppercase().replace("/V1/APPS", "/v1/apps").replace("TOKENS", "tokens"),
            Some("k3y"),
            &good,
            200,
            "ok",
        )
        .await;
        service.rig.settle().await;
        assert_eq!((service.count("deliveries").await, service.count("chats").await), (1, 1));
        // What is sent to the source's own address is kept, like everything there, and shown.
        assert_eq!(service.rig.post_to("/in/tokens/k3y", nobody).await.0, 200);
        service.rig.settle().await;
        assert_eq!(
            service.count("deliveries WHERE state = 'unreadable' AND why LIKE '%tokens[1]%'").await,
            1
        );
        assert!(!store_has(service, "k3y").await, "the key is nowhere");
    })
    .await;
}

/// Whether a text stands in what is kept of requests.
async fn store_has(service: &Service, text: &str) -> bool {
    service.count(&format!("deliveries WHERE headers LIKE '%{text}%' OR query LIKE '%{text}%'")).await > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_items_harm_nobody() {
    on_both(async |service| {
        service
            .add(json!([
                { "token": "{{ 7 * 7 }}", "email": "a@example.com" },
                { "token": "1'; DROP TABLE chats; --", "phone": "{{ body }}", "email": "b@example.com" },
                { "token": "a\0b", "externalCustomerId": "x".repeat(5000), "email": "c@example.com" },
                { "token": "-100500", "email": "d@example.com" },
                { "token": "7", "email": "not an email", "phone": "12", "contactId": "-1" },
            ]))
            .await;
        service.rig.settle().await;
        assert_eq!(service.count("deliveries WHERE state = 'prepared'").await, 1);
        let drop = service.person("b@example.com").await;
        assert_eq!(chats(&drop), ["1'; DROP TABLE chats; -- \"active\""]);
        assert_eq!(chats(&service.person("c@example.com").await), ["ab \"active\""]);
        let group = service.person("d@example.com").await;
        assert_eq!(chats(&group).len(), 0, "a group is nobody's chat");
        assert_eq!(
            chats(&service.person("a@example.com").await).len(),
            0,
            "a template that nobody filled in"
        );
    })
    .await;
}

/// Twenty at once, each saying that the token is somebody else's: one has it.
async fn one_of_many_at_once_has_it(postgres: Option<Database>) {
    let two = postgres.is_some();
    let service = Service::start(postgres).await;
    let another = if two { Some(service.rig.another().await) } else { None };
    let path = format!("/v1/apps/{APP}/tokens");
    let adds = (0..20).map(|number| {
        let body = json!({ "tokens": [{ "token": "700000101", "email": format!("h{number}@example.com") }] });
        let (service, path) = (&service, &path);
        async move {
            let (status, _, text) = service.send(path, Some("k3y"), body.to_string()).await;
            assert_eq!(status, 200, "{text}");
        }
    });
    futures_util::future::join_all(adds).await;
    // And the very same request, twenty times.
    let same = json!({ "tokens": [{ "token": "700000102", "email": "same@example.com" }] }).to_string();
    let adds = (0..20).map(|_| service.send(&path, Some("k3y"), same.clone()));
    assert!(futures_util::future::join_all(adds).await.iter().all(|(status, ..)| *status == 200));
    service.rig.settle().await;
    assert_eq!(service.count("persons WHERE merged_into IS NULL").await, 21);
    let holders = "identifiers WHERE kind = 'chat' AND value = '700000101' AND person IS NOT NULL";
    assert_eq!(service.count(holders).await, 1);
    assert_eq!(service.count("possible_duplicates").await, 19, "each of the others is shown");
    let same = service.person("same@example.com").await;
    assert_eq!((chats(&same).len(), same["lead_count"].clone()), (1, json!(1)), "redeliveries");
    if let Some(another) = another {
        another.stop().await;
    }
    service.rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_at_once_has_it_on_sqlite() {
    one_of_many_at_once_has_it(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_at_once_has_it_on_postgres() {
    let Some(database) = Database::create().await else { return };
    one_of_many_at_once_has_it(Some(database)).await;
}

/// A request with several people's tokens loses only the one, and the token is not theirs any more.
#[tokio::test(flavor = "multi_thread")]
async fn erasing_one_human_leaves_the_tokens_of_the_others() {
    on_both(async |service| {
        service
            .add(json!([
                { "token": "700000101", "email": "uliana.nepovtorna@example.com", "externalCustomerId": "zz91827364" },
                { "token": "700000102", "email": "borys@example.com" },
            ]))
            .await;
        service.rig.settle().await;
        let erase = json!({ "human": { "who": "uliana.nepovtorna@example.com" } }).to_string();
        crate::rig::until("it is erased", async || {
            let (status, text) = service.rig.post_to("/api/erase", erase.clone()).await;
            assert_eq!(status, 200, "{text}");
            serde_json::from_str::<Value>(&text).unwrap()["done"] == true
        })
        .await;
        assert_eq!((service.count("chats").await, service.count("person_fields").await), (1, 1));
        let bodies = "deliveries WHERE CAST(body AS TEXT) LIKE '%nepovtorna%'";
        let bodies = if service.rig.postgres.is_some() {
            "deliveries WHERE convert_from(body, 'UTF8') LIKE '%nepovtorna%'"
        } else {
            bodies
        };
        assert_eq!(service.count(bodies).await, 0);
        assert_eq!(service.count(&bodies.replace("nepovtorna", "borys")).await, 1, "his token stays");
        // Sent again by mistake, it brings nobody back; added anew, it is somebody new.
        service.add(json!([{ "token": "700000101", "email": "other@example.com" }])).await;
        assert_eq!(chats(&service.person("other@example.com").await), ["700000101 \"active\""]);

        // A chat of which nobody knows whose it is goes when somebody asks by its id.
        service.rig.settle().await;
        let lost = "INSERT INTO chats (scope, value, channel, bot, state, since, told_at, seen) \
             VALUES ('sendpulse:x', 'lost-555666', 'telegram', 'x', 'blocked', 1, 1, 1) RETURNING CAST(1 AS BIGINT)";
        store::run(&service.rig.database(), lost).await;
        let erase = json!({ "human": { "who": "lost-555666" } }).to_string();
        assert_eq!(service.rig.post_to("/api/erase", erase).await.0, 200);
        assert_eq!(service.count("chats WHERE value = 'lost-555666'").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_when_the_human_blocks_the_bot_and_comes_back_with_them() {
    on_both(async |service| {
        assert_eq!(service.rig.get("/in/feed/feed").await.0, 200, "the check of the address");
        let item = json!({ "token": "700000101", "contactId": 889_000_911, "email": "olena@example.com" });
        service.add(json!([item])).await;
        service.rig.settle().await;
        let status = |number: u32, word: &str, description: &str, media: &str| {
            json!([{ "iid": format!("i{number}"), "contactId": 889_000_911, "mediaType": media, "activityStatus": word,
                "activityDateTime": "2026-06-10T08:30:50", "statusDescription": description }])
        };
        let feed = async |status: Value| {
            assert_eq!(service.rig.post_to("/in/feed/feed", status.to_string()).await.0, 200);
            service.rig.settle().await;
            service.person("olena@example.com").await
        };
        let olena = feed(status(1, "UNDELIVERED", "429: Too Many Requests", "telegram")).await;
        assert_eq!(chats(&olena), ["700000101 \"active\""]);
        assert_eq!(olena["chats"][0]["status"]["status"], "UNDELIVERED");
        let olena = feed(status(2, "UNDELIVERED", "403: Forbidden", "viber")).await;
        assert_eq!(chats(&olena), ["700000101 \"active\""], "another messenger's");
        let olena = feed(status(3, "UNDELIVERED", "403: Forbidden", "telegram")).await;
        let why = &olena["chats"][0]["state"]["blocked"]["why"];
        assert_eq!(why, "a message was not delivered (UNDELIVERED): 403: Forbidden");
        assert_eq!(olena["fields"]["not_delivered"]["value"], "403: Forbidden");
        let (_, out, _) = crate::replay::run(&service.rig, &["people", "show", "olena@example.com"]);
        assert!(out.contains("BLOCKED since") && out.contains("last message UNDELIVERED (403: Forbidden)"), "{out}");
        // They start the bot again, so the service sends the token again.
        service.add(json!([{ "token": "700000101", "email": "olena@example.com" }])).await;
        let olena = service.person("olena@example.com").await;
        assert_eq!(chats(&olena), ["700000101 \"active\""]);
        assert_eq!(olena["chats"].as_array().unwrap().len(), 1);
    })
    .await;
}
