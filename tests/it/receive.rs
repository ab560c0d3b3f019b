//! The receiving edge over real sockets: every answer, and everything that tries to get past it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod hostile;
mod proof;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use jiff::Timestamp;
use leadfold::clock::{Clock as _, ManualClock, SystemClock};
use leadfold::event::{Preset, preset};
use leadfold::receive::{Connections, Entry, Limits, Receiver, Sources, router, serve};
use leadfold::store::inbox::{Arrival, Inbox};
use leadfold::store::{Store, StoreError};
use leadfold::token;
use leadfold::web::{self, Access};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What the storage says to an arrival; `None` while it is still writing.
type Storage = Option<Result<(), StoreError>>;

/// A server on port 0 whose storage is a list.
struct Server {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<Arrival>>>,
    storage: watch::Sender<Storage>,
    sources: watch::Sender<Arc<Sources>>,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

const TOKEN: &str = "t0ken-of-the-path";

static STRICT: Preset = Preset {
    name: "strict",
    summary: "answers 401 to a wrong token",
    chats: false,
    bot_is_source: false,
    methods: &["POST"],
    unknown_path_status: 401,
    verify: None,
    dedupe_window: Duration::from_secs(1),
    split: |_| Ok(Vec::new()),
};

fn entry(preset: &'static Preset) -> Entry {
    Entry { preset, token_hash: Some(token::hash(TOKEN)), secret: None, app: None, waiting: None }
}

fn sources() -> BTreeMap<String, Entry> {
    let named = |name: &str, entry| (name.to_owned(), entry);
    let json = || entry(preset("json").unwrap());
    BTreeMap::from([
        named("bot", json()),
        named("form", entry(preset("form").unwrap())),
        named("strict", entry(&STRICT)),
        named("paused", Entry { waiting: Some("paused".into()), ..json() }),
        named(
            "broken",
            Entry { token_hash: None, waiting: Some("mapping broken, broken.yaml:3".into()), ..json() },
        ),
        named("бот", json()),
        named("open", Entry { token_hash: Some(token::hash("")), ..json() }),
        named(
            "telegram",
            Entry { secret: Some("abcDEF_123-xyz".into()), ..entry(preset("telegram").unwrap()) },
        ),
        named(
            "esputnik",
            Entry { secret: Some("yespo:s3cret".into()), ..entry(preset("esputnik").unwrap()) },
        ),
        named("trusting", entry(preset("telegram").unwrap())),
    ])
}

impl Server {
    async fn start() -> Self {
        Self::start_with(Limits::default(), Connections::default()).await
    }

    async fn start_with(limits: Limits, connections: Connections) -> Self {
        let (inbox, mut queue) = Inbox::channel(64);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (storage, answers) = watch::channel(Some(Ok(())));
        let list = Arc::clone(&kept);
        tokio::spawn(async move {
            while let Some((arrival, told)) = queue.recv().await {
                let (list, mut answers) = (Arc::clone(&list), answers.clone());
                tokio::spawn(async move {
                    let answer = answers.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                    if answer.is_ok() {
                        list.lock().unwrap().push(arrival);
                    }
                    told.send(answer).ok();
                });
            }
        });
        let (sources, current) = watch::channel(Arc::new(Sources(sources())));
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let router = router(Receiver::new(inbox, current, clock, limits));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, router, connections, shutdown.clone().cancelled_owned()));
        Self { address, kept, storage, sources, shutdown, serving }
    }

    fn kept(&self) -> Vec<Arrival> {
        self.kept.lock().unwrap().clone()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes. What it will not read is its right.
    async fn send(&self, request: impl Into<Vec<u8>>) -> String {
        let (mut reader, mut writer) = self.connect().await.into_split();
        let request = request.into();
        let sending = tokio::spawn(async move {
            writer.write_all(&request).await.ok();
            writer
        });
        let mut answer = Vec::new();
        timeout(Duration::from_secs(10), reader.read_to_end(&mut answer)).await.expect("no answer").unwrap();
        sending.abort();
        String::from_utf8(answer).unwrap()
    }

    async fn post(&self, path: &str, body: &str) -> String {
        self.send(post(path, "", body)).await
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn has_header(answer: &str, header: &str) -> bool {
    answer.lines().any(|line| line.eq_ignore_ascii_case(header))
}

fn without_date(answer: &str) -> Vec<&str> {
    answer.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect()
}

#[tokio::test]
async fn a_delivery_is_kept_as_it_came_without_credentials() {
    let server = Server::start().await;
    let request = format!(
        "POST /in/bot/{TOKEN}?tracker.event=sale HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\
         Content-Type: application/json\r\nUser-Agent: Bot/1\r\nAuthorization: Bearer {TOKEN}\r\nCookie: a={TOKEN}\r\n\
         X-Hub-Signature-256: sha256={TOKEN}\r\nWebhook-Id: msg_1\r\nWebhook-Signature: v1,{TOKEN}\r\n\r\n"
    );
    let answer = server.send([request.as_bytes(), b"{\xff\0\"}"].concat()).await;

    assert_eq!((status(&answer), body(&answer)), (200, r#"{"ok":true}"#));
    let kept = server.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0].waiting, kept[0].unverified_token), (&None, None));
    let delivery = &kept[0].delivery;
    assert_eq!((delivery.source.as_str(), delivery.method.as_str()), ("bot", "POST"));
    assert_eq!(delivery.query.as_deref(), Some("tracker.event=sale"));
    assert_eq!(delivery.body, b"{\xff\0\"}");
    let headers: Vec<_> = delivery.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(headers, ["content-type: application/json", "user-agent: Bot/1", "webhook-id: msg_1"]);
    assert!(!format!("{delivery:?}").contains(TOKEN));
}

#[tokio::test]
async fn every_request_is_answered_as_it_should_be() {
    let server = Server::start().await;
    let get = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    };
    let bot = format!("/in/bot/{TOKEN}");
    let form = format!("/in/form/{TOKEN}");
    let large = "x".repeat(1024 * 1024);
    for (request, expected, is_kept) in [
        (post(&bot, "", "{}"), 200, true),
        (post(&bot, "", ""), 200, true),
        (post(&bot, "", "not json"), 200, true),
        (post(&bot, "", &large), 200, true),
        (post(&bot, "", &format!("{large}x")), 413, false),
        (post(&format!("{bot}/"), "", "{}"), 200, true),
        (post(&format!("/in/%D0%B1%D0%BE%D1%82/{TOKEN}"), "", "{}"), 200, true),
        (post(&bot, "Content-Encoding: identity\r\n", "{}"), 200, true),
        (post(&bot, "Content-Encoding: gzip\r\n", "{}"), 415, false),
        (post(&bot, "Content-Encoding: identity\r\nContent-Encoding: br\r\n", "{}"), 415, false),
        (post("/in/bot/wrong", "Content-Encoding: gzip\r\n", "{}"), 404, false),
        (post("/in/bot", "", "{}"), 404, false),
        (post("/in/bot/", "", "{}"), 404, false),
        (post(&format!("{bot}x"), "", "{}"), 404, false),
        (post(&format!("{bot}/more"), "", "{}"), 404, false),
        (post(&format!("/in/nobody/{TOKEN}"), "", "{}"), 404, false),
        (post("/in/bot/%FF", "", "{}"), 404, false),
        (post("/in/open/", "", "{}"), 404, false),
        (post("/in/strict/wrong", "", "{}"), 401, false),
        (post("/in/", "", "{}"), 404, false),
        (get("GET", &bot), 200, false),
        (get("HEAD", &bot), 200, false),
        (get("GET", "/in/bot/wrong"), 404, false),
        (get("GET", &format!("{bot}?a=1")), 405, false),
        (get("PUT", &bot), 405, false),
        (get("DELETE", &bot), 405, false),
        (get("DELETE", "/in/bot/wrong"), 404, false),
        (get("GET", &form), 200, false),
        (get("GET", &format!("{form}?")), 200, false),
        (get("GET", &format!("{form}?clickid=1")), 200, true),
        (get("HEAD", &format!("{form}?clickid=1")), 200, false),
        (post("/in/paused/wrong", "", "{}"), 404, false),
        (post("/in/broken/", "", "{}"), 404, false),
    ] {
        let before = server.kept().len();
        let line = request.lines().next().unwrap().to_owned();
        let answer = server.send(request).await;
        assert_eq!(status(&answer), expected, "{line}: {answer}");
        assert_eq!(server.kept().len() - before, usize::from(is_kept), "{line}");
    }
    let answer = server.send(get("GET", &bot)).await;
    assert!(body(&answer).contains("address works") && body(&answer).contains("POST"), "{answer}");
    let answer = server.send(get("PUT", &form)).await;
    assert!(has_header(&answer, "allow: POST, GET"), "{answer}");
}

#[tokio::test]
async fn a_stranger_cannot_tell_a_source_from_none() {
    let server = Server::start().await;
    let unknown = server.post("/in/nobody/wrong", "{}").await;
    for path in ["/in/bot/wrong", "/in/bot", "/in/paused/wrong", "/in/form/wrong?a=1"] {
        assert_eq!(without_date(&server.post(path, "{}").await), without_date(&unknown), "{path}");
    }
    // Neither reads the body: a body that never comes is no reason to wait.
    let began = Instant::now();
    for path in ["/in/nobody/wrong", "/in/bot/wrong"] {
        let endless = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
        assert_eq!(status(&server.send(endless).await), 404);
    }
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn deliveries_that_must_wait_are_kept_all_the_same() {
    let server = Server::start().await;
    assert_eq!(status(&server.post(&format!("/in/paused/{TOKEN}"), "{}").await), 200);
    assert_eq!(status(&server.post("/in/broken/any-token", "{}").await), 200);
    let kept = server.kept();
    assert_eq!((kept[0].waiting.as_deref(), kept[0].unverified_token), (Some("paused"), None));
    assert_eq!(kept[1].waiting.as_deref(), Some("mapping broken, broken.yaml:3"));
    assert_eq!(kept[1].unverified_token, Some(token::hash("any-token")));
}

#[tokio::test]
async fn a_change_of_the_workspace_counts_at_once() {
    let server = Server::start().await;
    let path = format!("/in/new/{TOKEN}");
    assert_eq!(status(&server.post(&path, "{}").await), 404);
    let mut changed = sources();
    changed.insert("new".into(), entry(preset("json").unwrap()));
    server.sources.send_replace(Arc::new(Sources(changed)));
    assert_eq!(status(&server.post(&path, "{}").await), 200);
}

#[tokio::test]
async fn a_storage_that_fails_is_never_a_success() {
    let limits = Limits { store_time: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start_with(limits, Connections::default()).await;
    let path = format!("/in/bot/{TOKEN}");
    for storage in [Some(Err(StoreError::new("disk full"))), None] {
        server.storage.send_replace(storage);
        let answer = server.post(&path, "{}").await;
        assert_eq!(status(&answer), 503, "{answer}");
        assert!(has_header(&answer, "retry-after: 5"), "{answer}");
        assert!(!answer.contains("disk full"), "the outside need not know: {answer}");
    }
    server.storage.send_replace(Some(Ok(())));
    assert_eq!(status(&server.post(&path, "{}").await), 200);
}

#[tokio::test]
async fn shutting_down_finishes_what_is_under_way() {
    let server = Server::start().await;
    server.storage.send_replace(None);
    let silent = server.connect().await;
    let under_way = async {
        let keep_alive = post(&format!("/in/bot/{TOKEN}"), "", "last").replace("close", "keep-alive");
        let answer = server.send(keep_alive).await;
        assert_eq!((status(&answer), body(&answer)), (200, r#"{"ok":true}"#));
    };
    let ending = async {
        sleep(Duration::from_millis(200)).await;
        server.shutdown.cancel();
        sleep(Duration::from_millis(200)).await;
        assert!(TcpStream::connect(server.address).await.is_err(), "the door must be shut");
        assert!(!server.serving.is_finished(), "it must wait for the request");
        server.storage.send_replace(Some(Ok(())));
    };
    tokio::join!(under_way, ending);
    // Well before `drain_time`: a connection that says nothing holds nothing up.
    timeout(Duration::from_secs(5), server.serving).await.expect("must end").unwrap().unwrap();
    assert_eq!(server.kept.lock().unwrap().len(), 1);
    drop(silent);
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_ever() {
    let connections = Connections { drain_time: Duration::from_millis(200), ..Connections::default() };
    let server = Server::start_with(Limits::default(), connections).await;
    server.storage.send_replace(None);
    let mut stuck = server.connect().await;
    stuck.write_all(post(&format!("/in/bot/{TOKEN}"), "", "{}").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    timeout(Duration::from_secs(3), server.serving).await.expect("must end").unwrap().unwrap();
    let mut answer = Vec::new();
    stuck.read_to_end(&mut answer).await.ok();
    assert!(answer.is_empty(), "never a success that is not on disk");
}

#[tokio::test]
async fn health_is_open_and_everything_else_is_guarded() {
    let metrics = crate::rig::metrics();
    let (ready, state) = watch::channel(Err("the database is not open yet".to_owned()));
    let access = Access::Token { api: Some(token::hash("api")), links: None };
    let api = axum::Router::new().route("/api/leads", axum::routing::get(async || "[]"));
    let console = axum::Router::new().fallback(async || StatusCode::IM_A_TEAPOT);
    let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
    std::fs::create_dir_all(&folder).unwrap();
    let database = format!("sqlite://{}", folder.join("leadfold.db").display());
    let store = Store::open(&database, Arc::new(SystemClock)).await.unwrap();
    let (inbox, _queue) = Inbox::channel(1);
    let (_sources, current) = watch::channel(Arc::new(Sources(sources())));
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let receiver = Receiver::new(inbox, current, clock, Limits::default());
    let trouble = watch::channel(None).1;
    let app =
        router(receiver).merge(web::router(access, store.clone(), state, trouble, metrics, api, console));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving =
        tokio::spawn(serve(listener, app, Connections::default(), shutdown.clone().cancelled_owned()));
    let ask = async |path: &str, headers: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };

    assert_eq!(status(&ask("/healthz", "").await), 200);
    let answer = ask("/readyz", "").await;
    assert_eq!(
        (status(&answer), body(&answer)),
        (503, r#"{"ready":false,"why":"the database is not open yet"}"#)
    );
    ready.send_replace(Ok(None)).unwrap_err();
    assert_eq!(status(&ask("/readyz", "").await), 200);

    let key = "Authorization: Bearer api\r\n";
    assert_eq!(status(&ask("/in/bot/wrong", "").await), 404);
    for (path, with_key) in [("/metrics", 200), ("/api/leads", 200), ("/api/nothing", 404)] {
        let answer = ask(path, "").await;
        assert_eq!(status(&answer), 401, "{path}");
        assert!(has_header(&answer, "www-authenticate: Bearer realm=\"leadfold\""), "{answer}");
        assert_eq!(status(&ask(path, key).await), with_key, "{path}");
    }
    for path in ["/", "/nothing", "/apis"] {
        assert_eq!(status(&ask(path, "").await), 418, "{path}: the console has a door of its own");
    }
    let answer = ask("/metrics", key).await;
    let count = r#"leadfold_deliveries_total{source="bot",answer="unknown_path"}"#;
    assert!(body(&answer).contains(count), "{answer}");
    shutdown.cancel();
    serving.await.unwrap().unwrap();
    store.close().await;
    std::fs::remove_dir_all(folder).unwrap();
}
