//! Telling a person: once per new cause, and again only when the webhook did not take it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Duration, Instant, sleep};

use crate::rig::{IMPATIENT, MAPPING, PATIENCE, Rig, event, now_millis};

/// A chat tool that refuses its first call.
pub(crate) struct Hook {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    pub(crate) async fn start() -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&calls);
        let take = move |body: String| {
            let mut list = list.lock().unwrap();
            list.push(serde_json::from_str(&body).unwrap());
            std::future::ready(if list.len() == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::OK })
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, calls }
    }

    fn causes(&self) -> BTreeMap<String, usize> {
        let mut causes = BTreeMap::new();
        for call in &*self.calls.lock().unwrap() {
            *causes.entry(call["cause"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        causes
    }

    pub(crate) async fn called(&self, cause: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.causes().get(cause).copied().unwrap_or_default() < times {
            assert!(Instant::now() < deadline, "nobody was told of {cause}: {:?}", self.causes());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_is_told_once() {
    let hook = Hook::start().await;
    let mapping = MAPPING.replace("title != 'bot_block'", "contact.variables.age / 1 > 17");
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, &mapping).await;
    let alerts = format!("alerts: {{ webhook: '{}' }}\nowner_pools:", hook.url);
    rig.edit("workspace.yaml", "owner_pools:", &alerts);
    rig.boot().await;
    let start = now_millis();
    let person = |number: i64, age: Value| {
        let phone = format!("+38067{:07}", 1_100_003 + number * 16_411);
        event(&format!("chat-{number}"), "telegram", json!({ "phone": phone, "age": age }), start + number)
    };
    // A mapping that fails on two leads is one cause; the first call was refused, so it is told again.
    rig.post_all(&[person(1, json!("old")), person(2, json!("older"))], 1).await;
    rig.settle().await;
    assert_eq!(rig.counts().await.needs_attention, 2);
    hook.called("mapping_error:sendpulse", 2).await;
    let text = hook.calls.lock().unwrap()[0]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("leadfold: ") && text.contains("sendpulse.yaml:"), "{text}");

    // Another cause comes after it and the first one happens again: by the time the other is told, so were all.
    rig.post(&person(3, json!("ancient"))).await;
    rig.settle().await;
    rig.sandbox.set_faults(Faults { unauthorised: true, ..Faults::default() });
    rig.post(&person(4, json!(18))).await;
    hook.called("paused:crm", 1).await;
    rig.restart().await;
    rig.post(&person(5, json!(18))).await;
    let deadline = Instant::now() + PATIENCE;
    while rig.app().workers()[0].paused().is_none() {
        assert!(Instant::now() < deadline, "a CRM that refuses our credentials is paused");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(hook.causes()["mapping_error:sendpulse"], 2, "{:?}", hook.causes());
    rig.shut_down().await;
    std::fs::remove_dir_all(&rig.folder).unwrap();
}
