//! Open pages are told of news, as long as they may be, and never keep anybody waiting.

use leadfold::access::Role;
use reqwest::Response;
use reqwest::header::COOKIE;
use serde_json::{Value, json};

use super::{Browser, rig};
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis, until};

/// An open page.
struct Watched {
    answer: Response,
    text: String,
}

impl Watched {
    #[expect(clippy::disallowed_methods, reason = "the test is a person with a browser")]
    async fn open(url: &str, cookies: &str) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(url).header(COOKIE, cookies).send().await.unwrap();
        Self { answer, text: String::new() }
    }

    /// What it is told next; `None` when the stream has ended.
    async fn told(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let told = event.strip_prefix("data: ").map(|data| serde_json::from_str(data).unwrap());
                self.text = rest.to_string();
                if told.is_some() {
                    return told;
                }
                continue;
            }
            self.text.push_str(std::str::from_utf8(&self.answer.chunk().await.unwrap()?).unwrap());
        }
    }

    /// Reads until it is told of so many leads.
    async fn until_newest(&mut self, newest: i64) {
        while self.told().await.unwrap()["newest"].as_i64().unwrap() < newest {}
    }
}

async fn lead(rig: &Rig, number: i64) {
    let body = event(
        &format!("c{number}"),
        "telegram",
        json!({ "phone": format!("06700000{number:02}") }),
        now_millis() + number,
    );
    assert_eq!(rig.post(&body).await, 200);
}

#[tokio::test]
async fn open_pages_are_told_and_let_go_when_leadfold_stops() {
    let mut rig = Rig::start(leadfold::sandbox::Faults::default(), IMPATIENT).await;
    let mut pages = Vec::new();
    for _ in 0..3 {
        let mut page = Watched::open(&rig.url("/live"), "").await;
        assert_eq!(page.answer.headers()["content-type"], "text/event-stream");
        assert_eq!(page.told().await.unwrap()["newest"], 0);
        pages.push(page);
    }
    lead(&rig, 1).await;
    for page in &mut pages {
        page.until_newest(1).await;
    }
    rig.settle().await;
    // It would wait for its open connections, and cut them off at last.
    let began = std::time::Instant::now();
    rig.shut_down().await;
    for page in &mut pages {
        while page.told().await.is_some() {}
    }
    assert!(began.elapsed().as_secs() < 9, "{:?}", began.elapsed());
    std::fs::remove_dir_all(&rig.folder).unwrap();
}

#[tokio::test]
async fn pages_of_one_process_are_told_of_what_another_did() {
    let Some(database) = Database::create().await else { return };
    let mut rig = Rig::prepare(leadfold::sandbox::Faults::default(), IMPATIENT, MAPPING).await;
    rig.postgres = Some(database);
    rig.boot().await;
    let other = rig.another().await;
    let mut page = Watched::open(&format!("http://127.0.0.1:{}/live", other.address.port()), "").await;
    assert_eq!(page.told().await.unwrap()["newest"], 0);
    lead(&rig, 1).await;
    page.until_newest(1).await;
    rig.settle().await;
    other.stop().await;
    rig.end().await;
}

#[tokio::test]
async fn who_signs_out_is_told_nothing_more_and_only_so_many_watch() {
    let rig = rig().await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    let cookies = browser
        .cookies()
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("; ");
    let mut page = Watched::open(&rig.url("/live"), &cookies).await;
    assert!(page.told().await.is_some());
    assert_eq!(Browser::new(&rig).get("/live").await.status, 303, "nobody is told without a session");

    let mut others = Vec::new();
    until("there is an end to open pages", async || {
        let other = Watched::open(&rig.url("/live"), &cookies).await;
        let refused = other.answer.status() == 503;
        others.push(other);
        refused
    })
    .await;
    assert!(others.len() <= 64, "{}", others.len());
    // Other pages answer all the same.
    browser.get("/").await.is(200);
    browser.post("/sign-out", &[]).await.is(303);
    while page.told().await.is_some() {}
    drop(others);
    rig.end().await;
}
