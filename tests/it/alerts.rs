//! Telling a person: once per new cause, and again only when the webhook did not take it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::post;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, sleep};

use crate::audits::Ahead;
use crate::rig::{Account, IMPATIENT, MAPPING, PATIENCE, Rig, event, now_millis, until};

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
        let url = serve(Router::new().route("/hook", post(take))).await;
        Self { url: format!("{url}/hook"), calls }
    }

    fn causes(&self) -> BTreeMap<String, usize> {
        let mut causes = BTreeMap::new();
        for call in &*self.calls.lock().unwrap() {
            *causes.entry(call["cause"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        causes
    }

    /// What was said and taken, in order: the cause, whether it is over, the link.
    pub(crate) fn told(&self) -> Vec<(String, bool, String)> {
        let calls = self.calls.lock().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let taken = calls.iter().skip(1);
        taken.map(|call| (text(&call["cause"]), call["over"] == true, text(&call["link"]))).collect()
    }

    pub(crate) async fn called(&self, cause: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.causes().get(cause).copied().unwrap_or_default() < times {
            assert!(Instant::now() < deadline, "nobody was told of {cause}: {:?}", self.causes());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// The Bot API: what it was sent, and to which path.
pub(crate) async fn telegram() -> (String, Arc<Mutex<Vec<(String, Value)>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&calls);
    let take = move |uri: Uri, body: String| {
        list.lock().unwrap().push((uri.path().to_owned(), serde_json::from_str(&body).unwrap()));
        std::future::ready("{\"ok\":true}")
    };
    (serve(Router::new().fallback(post(take))).await, calls)
}

/// An SMTP server that speaks no TLS: every line that it was sent, mails included.
pub(crate) async fn smtp() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::clone(&list)));
        }
    });
    (port, lines)
}

async fn talk(stream: TcpStream, list: Arc<Mutex<Vec<String>>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut in_mail = false;
    write.write_all(b"220 mail.test\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        list.lock().unwrap().push(line.clone());
        let answer = match line.split([' ', ':']).next().unwrap() {
            "." if in_mail => {
                in_mail = false;
                "250 taken"
            }
            _ if in_mail => continue,
            "EHLO" => "250 mail.test",
            "DATA" => {
                in_mail = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        // Whoever wants TLS hangs up.
        if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

pub(crate) fn mails(lines: &Mutex<Vec<String>>) -> usize {
    lines.lock().unwrap().iter().filter(|line| line.as_str() == ".").count()
}

/// A mapping that fails where the age is a word.
fn counts_years() -> String {
    MAPPING.replace("title != 'bot_block'", "contact.variables.age / 1 > 17")
}

fn person(number: i64, age: &Value) -> Value {
    let phone = format!("+38067{:07}", 1_100_003 + number * 16_411);
    event(&format!("chat-{number}"), "telegram", json!({ "phone": phone, "age": age }), now_millis() + number)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_tell_is_told_with_a_link_and_once_more_when_it_is_over() {
    let (bot, chats) = telegram().await;
    let (port, lines) = smtp().await;
    let hook = Hook::start().await;
    let clock = Arc::new(Ahead(AtomicI64::new(0)));
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, &counts_years()).await;
    let alerts = format!(
        "alerts:\n  webhook: '{}'\n  telegram: {{ token: '1:abc', chat: -100123, url: '{bot}' }}\n  email: {{ server: \
         '127.0.0.1:{port}', encryption: none, from: leadfold@example.com, to: [a@example.com, b@example.com] }}\nowner_pools:",
        hook.url
    );
    rig.edit("workspace.yaml", "owner_pools:", &alerts);
    rig.clock = clock.clone();
    rig.public_url = Some("https://leads.example.com".to_owned());
    rig.boot().await;
    rig.post_all(&[person(1, &json!("old")), person(2, &json!("older"))], 1).await;
    let link = "https://leads.example.com/attention#mapping_error:sendpulse";
    hook.called("mapping_error:sendpulse", 2).await;
    until("a message to the chat", async || !chats.lock().unwrap().is_empty()).await;
    until("a mail", async || mails(&lines) > 0).await;
    let (path, message) = chats.lock().unwrap()[0].clone();
    assert_eq!((path.as_str(), &message["chat_id"]), ("/bot1:abc/sendMessage", &json!("-100123")));
    assert!(message["text"].as_str().unwrap().ends_with(link), "{message}");
    assert_eq!(hook.calls.lock().unwrap()[0]["link"], link);
    let mail = lines.lock().unwrap().join("\n");
    for part in
        ["MAIL FROM:<leadfold@example.com>", "RCPT TO:<b@example.com>", "Subject: leadfold: mapping error"]
    {
        assert!(mail.contains(part), "{mail}");
    }

    // The mapping is mended and the leads go on; a process that begins anew remembers whom it told.
    rig.edit("sendpulse.yaml", "contact.variables.age / 1 > 17", "true");
    rig.restart().await;
    let replay = json!({ "select": { "cause": "mapping_error" }, "how": "replan" });
    assert_eq!(rig.post_to_api("/api/replay", &replay).await.1["count"], 2);
    until("nothing needs attention", async || rig.counts().await.needs_attention == 0).await;
    // Nobody is told before it has been so for a while.
    until("it is noticed", async || {
        clock.0.fetch_add(30_000, Ordering::SeqCst);
        sleep(Duration::from_millis(300)).await;
        rig.app().store.troubles().await.unwrap().is_empty()
    })
    .await;
    hook.called("mapping_error:sendpulse", 3).await;
    until("the chat", async || chats.lock().unwrap().len() == 2).await;
    until("a mail", async || mails(&lines) == 2).await;
    assert!(chats.lock().unwrap()[1].1["text"].as_str().unwrap().starts_with("leadfold: it is over: "));
    assert_eq!(hook.calls.lock().unwrap()[2]["over"], true);
    until("all is forgotten", async || rig.app().store.messages().await.unwrap().is_empty()).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mail_leaves_without_encryption_unless_the_workspace_says_so() {
    let (port, lines) = smtp().await;
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, &counts_years()).await;
    let alerts = format!(
        "alerts: {{ email: {{ server: '127.0.0.1:{port}', from: a@example.com, to: b@example.com }} }}\nowner_pools:"
    );
    rig.edit("workspace.yaml", "owner_pools:", &alerts);
    rig.boot().await;
    rig.post(&person(1, &json!("old"))).await;
    until("it was tried and given up", async || {
        rig.app().store.messages().await.unwrap().first().is_some_and(|message| message.tries > 0)
    })
    .await;
    let lines = lines.lock().unwrap().clone();
    assert!(lines.iter().any(|line| line.starts_with("EHLO")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.starts_with("MAIL")), "{lines:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_one_tells() {
    let hook = Hook::start().await;
    let Some(mut rig) = Rig::start_on(Account::SandboxOnPostgres, Faults::default(), IMPATIENT).await else {
        return;
    };
    rig.shut_down().await;
    rig.edit("sendpulse.yaml", "title != 'bot_block'", "contact.variables.age / 1 > 17");
    let alerts = format!("alerts: {{ webhook: '{}' }}\nowner_pools:", hook.url);
    rig.edit("workspace.yaml", "owner_pools:", &alerts);
    rig.boot().await;
    let others = [rig.another().await, rig.another().await];
    rig.post(&person(1, &json!("old"))).await;
    // The first call is refused.
    hook.called("mapping_error:sendpulse", 2).await;
    until("it is noted", async || rig.app().store.messages().await.unwrap()[0].told).await;
    // Every process looks a few times more.
    sleep(Duration::from_secs(6)).await;
    assert_eq!(hook.causes()["mapping_error:sendpulse"], 2);
    for other in others {
        other.stop().await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_silent_for_too_long_is_told_of() {
    let clock = Arc::new(Ahead(AtomicI64::new(0)));
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    let alerts = "alerts: { silent_after: { default: 2d, sendpulse: 2h } }\nowner_pools:";
    rig.edit("workspace.yaml", "owner_pools:", alerts);
    rig.clock = clock.clone();
    rig.boot().await;
    let troubles = async |rig: &Rig| {
        let troubles = rig.app().store.troubles().await.unwrap();
        troubles.into_iter().map(|trouble| trouble.cause).collect::<Vec<_>>()
    };
    rig.post(&person(1, &json!(18))).await;
    until("it is heard", async || rig.app().store.heard().await.unwrap().len() == 1).await;
    assert!(troubles(&rig).await.is_empty());
    // Also by a process that has heard nothing itself.
    rig.restart().await;
    clock.0.fetch_add(3 * 60 * 60 * 1000, Ordering::SeqCst);
    until("silence is noticed", async || troubles(&rig).await == ["silent:sendpulse"]).await;
    let text = rig.app().store.troubles().await.unwrap()[0].text.clone();
    assert!(text.contains("for longer than 2h"), "{text}");
    rig.post(&person(2, &json!(18))).await;
    until("it is over", async || {
        clock.0.fetch_add(5_000, Ordering::SeqCst);
        sleep(Duration::from_millis(300)).await;
        troubles(&rig).await.is_empty()
    })
    .await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_wait_too_long_are_told_of() {
    let clock = Arc::new(Ahead(AtomicI64::new(0)));
    let faults = Faults { latency_ms: "20000".parse().unwrap(), ..Faults::default() };
    let mut rig = Rig::prepare(faults, "timeout: 2m", MAPPING).await;
    rig.edit("workspace.yaml", "owner_pools:", "alerts: { late_after: 1m }\nowner_pools:");
    rig.clock = clock.clone();
    rig.boot().await;
    rig.post(&person(1, &json!(18))).await;
    until("it is a lead", async || rig.counts().await.open == 1).await;
    clock.0.fetch_add(5 * 60 * 1000, Ordering::SeqCst);
    until("it is noticed", async || {
        rig.app().store.troubles().await.unwrap().iter().any(|trouble| trouble.cause == "late:crm")
    })
    .await;
    rig.sandbox.set_faults(Faults::default());
    rig.settle().await;
    until("it is over", async || {
        clock.0.fetch_add(10_000, Ordering::SeqCst);
        sleep(Duration::from_millis(300)).await;
        rig.app().store.troubles().await.unwrap().is_empty()
    })
    .await;
    rig.end().await;
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
