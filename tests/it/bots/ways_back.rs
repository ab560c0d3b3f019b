//! The way back: bots that are called once the CRM has confirmed or was asked, and triggers into a person's chat.

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use super::stand_in::{Reply, Request, StandIn};
use super::{SECRET, says};
use crate::postgres::Database;
use crate::rig::{Rig, until};

/// A bot of Metabot that answers at this address.
pub(super) fn metabot(url: &str) -> String {
    format!("  metabot: {{ bot: metabot, bot_id: 7, token: {SECRET}, url: \"{url}\" }}")
}

/// A leadfold with the sandbox CRM, these bots and these sources.
async fn started(bots: &str, sources: &[(&str, &str)]) -> Rig {
    started_on(None, bots, sources).await
}

pub(super) async fn started_on(postgres: Option<Database>, bots: &str, sources: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::prepare(Faults::default(), "", "").await;
    rig.postgres = postgres;
    let workspace = rig.files.0.get_mut("workspace.yaml").unwrap();
    *workspace = workspace.replace("owner_pools:", &format!("{bots}\nowner_pools:"));
    rig.files.0.remove("sendpulse.yaml");
    for (file, text) in sources {
        rig.files.0.insert((*file).to_owned(), (*text).to_owned());
    }
    rig.token = Some("token-of-the-api");
    rig.boot().await;
    rig
}

pub(super) async fn post(rig: &Rig, source: &str, body: Value) {
    let (status, answer) = rig.post_to(&format!("/in/{source}/demo"), body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
}

fn lead_ids(server: &StandIn) -> Vec<Value> {
    server.requests().iter().map(|request: &Request| request.json()["lead_id"].clone()).collect()
}

/// A subscriber, who may be somebody of the web site.
const SUBSCRIBERS: &str = r#"
source: { preset: metabot, token: demo }
leads:
  - name: known
    to: [crm]
    phone: { regions: [UA] }
    contact: { name: "{{ name }}", phone: "{{ phone }}" }
    identifiers: { external_customer: { web_user: "{{ web_user }}" } }
    person: { fields: { city: "{{ city }}" } }
"#;

const SHIPPED: &str = r#"
source: { preset: trigger }
vars:
  item: "{{ $.data.items[?@.shipped == true] | first }}"
leads:
  - name: shipped
    when: "{{ vars.item }}"
    calls:
      - to: metabot
        schedule_job:
          script_code: order_shipped
          script_request_params: { order: "{{ data.order }}", item: "{{ vars.item.name }}", city: "{{ person.fields.city }}" }
"#;

fn shipped(to: &Value) -> Value {
    let items = json!([{ "name": "lid" }, { "name": "{{ 7 * 7 }}", "shipped": true }]);
    json!({ "to": to, "data": { "order": 1007, "items": items } })
}

#[tokio::test]
async fn order_shipped_reaches_the_right_chat() {
    order_shipped(None).await;
}

#[tokio::test]
async fn order_shipped_reaches_the_right_chat_on_postgres() {
    let Some(database) = Database::create().await else { return };
    order_shipped(Some(database)).await;
}

async fn order_shipped(postgres: Option<Database>) {
    let server = StandIn::start(|_| says(200, json!({ "success": true }))).await;
    let sources = [("chat.yaml", SUBSCRIBERS), ("shipped.yaml", SHIPPED)];
    let rig = started_on(postgres, &metabot(&server.url()), &sources).await;
    let olha = json!({ "lead_id": 501, "messenger": "telegram", "phone": "0671234567", "web_user": "10045", "city": "Київ" });
    let petro =
        json!({ "lead_id": 502, "messenger": "telegram", "phone": "0501112233", "web_user": "10046" });
    post(&rig, "chat", olha).await;
    post(&rig, "chat", petro).await;
    rig.settle().await;

    for (to, chat) in [
        (json!({ "web_user": 10045 }), 501),
        (json!({ "phone": "+38 (067) 123-45-67" }), 501),
        (json!({ "lead": 502 }), 502),
        (json!({ "customer": ["web_user", "10046"] }), 502),
    ] {
        let before = server.requests().len();
        let (status, answer) = rig.post_to_api("/api/triggers/shipped", &shipped(&to)).await;
        assert_eq!((status, &answer["outcome"]), (202, &json!("accepted")), "{to}: {answer}");
        assert_eq!(answer["message"], "accepted, no delivery status");
        // The same once more within a minute, and to the same chat, is a repeat.
        if before == 0 || chat == 502 {
            until("the bot is called", async || server.requests().len() > before || chat_seen(&server, chat))
                .await;
        }
    }
    rig.settle().await;
    let calls = lead_ids(&server);
    assert!(
        calls.iter().all(|id| [json!(501), json!("501"), json!(502), json!("502")].contains(id)),
        "{calls:?}"
    );
    let first = server.requests()[0].json();
    let params = &first["script_request_params"];
    assert_eq!(params["item"], "{{ 7 * 7 }}", "data is never evaluated: {first}");
    assert_eq!((&params["order"], &params["city"]), (&json!(1007), &json!("Київ")));
    rig.end().await;
}

fn chat_seen(server: &StandIn, chat: i64) -> bool {
    lead_ids(server).iter().any(|id| *id == json!(chat) || *id == json!(chat.to_string()))
}

#[tokio::test]
async fn a_trigger_calls_nobody_who_is_not_surely_meant() {
    let server = StandIn::start(|_| says(200, json!({ "success": true }))).await;
    let rig =
        started(&metabot(&server.url()), &[("chat.yaml", SUBSCRIBERS), ("shipped.yaml", SHIPPED)]).await;
    post(&rig, "chat", json!({ "lead_id": 501, "phone": "0671234567", "web_user": "10045" })).await;
    rig.settle().await;
    let ask = async |name: &str, body: Value| {
        let (status, answer) = rig.post_to_api(&format!("/api/triggers/{name}"), &body).await;
        (status, answer["outcome"].as_str().unwrap_or_default().to_owned(), answer)
    };
    for (to, status, outcome) in [
        (json!({ "web_user": "99999" }), 404, "nobody"),
        (json!({ "chat": "999" }), 404, "nobody"),
        (json!({ "phone": "0671234567", "email": "a@example.com" }), 422, ""),
        (json!({ "chat": "everyone" }), 400, ""),
        (json!({ "chat": " " }), 400, ""),
        (json!({ "chat": ["501", "502"] }), 400, ""),
        (json!({}), 422, ""),
    ] {
        let (got, word, answer) = ask("shipped", shipped(&to)).await;
        assert_eq!((got, word.as_str()), (status, outcome), "{to}: {answer}");
    }
    assert_eq!(ask("chat", shipped(&json!({ "chat": "501" }))).await.0, 404, "that is no trigger");
    let none = json!({ "to": { "web_user": "10045" }, "data": { "items": [] } });
    let (status, word, answer) = ask("shipped", none).await;
    assert_eq!((status, word.as_str()), (200, "filtered"), "{answer}");
    // Whoever knows only the address of a source cannot trigger anything.
    let (status, _) = rig.post_to("/in/shipped/demo", shipped(&json!({ "chat": "501" })).to_string()).await;
    assert_eq!(status, 404);
    let (status, answer) =
        rig.post_to("/api/triggers/shipped", shipped(&json!({ "chat": "501" })).to_string()).await;
    assert_eq!(status, 401, "{answer}");
    rig.settle().await;
    assert_eq!(server.requests().len(), 0);
    rig.end().await;
}

/// The tag says that the contact is in the CRM, so it comes after; the dialog is moved by what the CRM had.
const TAGGED: &str = r#"
source: { preset: metabot, token: demo }
leads:
  - name: all
    to: [crm]
    phone: { regions: [UA] }
    contact: { name: "{{ name }}", phone: "{{ phone }}" }
    deal: { title: "Order" }
    after_done:
      - { to: metabot, when: "{{ not found.contact }}", schedule_job: { script_code: welcome, add_tags: "CRM", script_request_params: { contact: "{{ crm.contact }}", deal: "{{ crm.deal }}" } } }
      - { to: metabot, when: "{{ found.deal }}", schedule_job: { script_code: again, script_request_params: { deal: "{{ found.deal.id }}" } } }
"#;

#[tokio::test]
async fn a_bot_is_called_after_the_crm_has_confirmed_and_by_what_it_had() {
    called_after(None).await;
}

/// The CRM and the bot are two processes' matter: each has the lease of one of them, or one has both.
#[tokio::test]
async fn a_bot_is_called_after_the_crm_has_confirmed_by_two_processes() {
    let Some(database) = Database::create().await else { return };
    called_after(Some(database)).await;
}

async fn called_after(postgres: Option<Database>) {
    let server = StandIn::start(|_| says(200, json!({ "success": true }))).await;
    let rig = started_on(postgres, &metabot(&server.url()), &[("chat.yaml", TAGGED)]).await;
    let other = if rig.postgres.is_some() { Some(rig.another().await) } else { None };
    let lead = |at: i64| json!({ "lead_id": 501, "name": "Olha", "phone": "0671234567", "at": at });
    post(&rig, "chat", lead(1)).await;
    until("the first call", async || server.requests().len() == 1).await;
    let first = server.requests()[0].json();
    assert_eq!((&first["script_code"], &first["add_tags"]), (&json!("welcome"), &json!("CRM")));
    let contact = rig.contact().await;
    let told = &first["script_request_params"]["contact"];
    assert_eq!(told.as_str().unwrap(), contact["id"].to_string().trim_matches('"'));
    post(&rig, "chat", lead(2)).await;
    until("the second call", async || server.requests().len() == 2).await;
    let second = server.requests()[1].json();
    assert_eq!(second["script_code"], "again");
    assert_eq!(second["script_request_params"]["deal"], first["script_request_params"]["deal"]);
    rig.settle().await;
    assert_eq!(server.requests().len(), 2, "once for each lead");
    if let Some(other) = other {
        other.stop().await;
    }
    rig.end().await;
}

#[tokio::test]
async fn who_blocked_the_bot_is_not_called_again() {
    let blocked =
        json!({ "ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user" });
    let server = StandIn::always(Reply::json(403, &blocked)).await;
    let bots = format!("  telegram: {{ bot: telegram, token: \"1:{SECRET}\", url: \"{}\" }}", server.url());
    let hello = r#"
source: { preset: trigger, token: demo }
leads:
  - name: hello
    calls: [ { to: telegram, send_message: "Hello {{ data.name }}" } ]
"#;
    let chats = r#"
source: { preset: json, token: demo }
leads:
  - name: all
    identifiers: { chat: { channel: telegram, bot: shop, id: "{{ id }}" } }
    to: [crm]
"#;
    let rig = started(&bots, &[("chat.yaml", chats), ("hello.yaml", hello)]).await;
    post(&rig, "chat", json!({ "id": "700000101" })).await;
    rig.settle().await;
    let body = json!({ "to": { "chat": "700000101" }, "data": { "name": "Olha" } });
    let (status, answer) = rig.post_to_api("/api/triggers/hello", &body).await;
    assert_eq!(status, 202, "{answer}");
    until("the chat is known to be blocked", async || {
        let (status, _) = rig
            .post_to_api(
                "/api/triggers/hello",
                &json!({ "to": { "chat": "700000101" }, "data": {}, "dry_run": true }),
            )
            .await;
        status == 409
    })
    .await;
    // The chat is marked before the end of the call is stored.
    rig.settle().await;
    assert_eq!(server.requests().len(), 1);
    // The chat is marked first.
    until("the call is at its end", async || {
        let sql = "SELECT why FROM syncs WHERE state = 'filtered' AND destination = 'telegram'";
        rig.sql(sql).await.first().is_some_and(|row| row[0].contains("chat_blocked"))
    })
    .await;
    rig.end().await;
}
