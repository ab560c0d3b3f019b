//! A leadfold and a sandbox CRM on free ports, a folder of their own, and a client that posts like `SendPulse` does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use leadfold::app::{App, Door, Follow, Options, until_quiet};
use leadfold::clock::{Clock, SystemClock};
use leadfold::demo::MAPPINGS;
use leadfold::map::Files;
use leadfold::receive::Limits;
use leadfold::sandbox::{Faults, Running, Sandbox, SandboxOptions, Stats, Truth};
use leadfold::store::Store;
use leadfold::store::registry::Counts;
use leadfold::sync::{Hold, Presence};
use leadfold::telemetry::Metrics;
pub(crate) use leadfold::torture::schedule::spellings;
use leadfold::workspace::Environment;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::postgres::Database;

/// Longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

/// The token of a web site, where there is one of the API.
pub(crate) const LINKS_TOKEN: &str = "token-of-the-site";

/// What a mapping under test says; `{DESTINATION}` takes further settings of the destination.
pub(crate) const WORKSPACE: &str = r#"
destinations:
  crm: { crm: sandbox, url: "http://{ADDRESS}", token: demo, concurrency: 48, {DESTINATION} }
owner_pools:
  sales: [anna, borys, dana]
"#;

/// How leadfold is told of the sandbox.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Account {
    /// By its own adapter.
    Sandbox,
    /// As a CRM that the workspace describes: the shipped example, with the settings of the test.
    Rest,
    /// By its own adapter, and the registry is in PostgreSQL.
    SandboxOnPostgres,
}

impl Account {
    /// `workspace.yaml` for a sandbox at an address. Settings are those of the sandbox's own adapter.
    pub(crate) fn workspace(self, address: &str, settings: &str) -> String {
        match self {
            Self::Sandbox | Self::SandboxOnPostgres => {
                WORKSPACE.replace("{ADDRESS}", address).replace("{DESTINATION}", settings)
            }
            Self::Rest => described(address, settings),
        }
    }
}

fn described(address: &str, settings: &str) -> String {
    let example = include_str!("../../mappings/examples/sandbox-rest/workspace.yaml");
    let markers = !settings.contains("markers: false");
    // Two settings are of the sandbox's own adapter: here they are a matter of operations and of `settle`.
    let own = |setting: &&str| {
        !setting.is_empty() && !setting.starts_with("markers") && !setting.starts_with("search_lag")
    };
    let account = [format!("url: http://{address}"), "concurrency: 48".to_owned()];
    let account = account.into_iter().chain(settings.split(", ").filter(own).map(str::to_owned));
    let account: Vec<String> = account.map(|setting| format!("    {setting}")).collect();
    let mut lines: Vec<String> = Vec::new();
    for line in example.lines() {
        let key = line.trim_start().split(':').next().unwrap();
        match key {
            "url" => lines.extend(account.clone()),
            "settle" => {}
            "sales" => lines.push("  sales: [anna, borys, dana]".to_owned()),
            _ if key.ends_with("_by_marker") && !markers => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// One branch, so that the tests speak about what leadfold does and not about the mapping.
pub(crate) const MAPPING: &str = r#"
source: { preset: sendpulse, token: demo }
leads:
  - name: all
    when: "{{ title != 'bot_block' }}"
    to: [crm]
    owners: sales
    phone: { regions: [UA] }
    contact:
      name: "{{ contact.name }}"
      phone: "{{ contact.variables.phone }}"
      email: "{{ contact.variables.email }}"
      fields:
        telegram_chat: "{{ contact.id if service == 'telegram' }}"
        instagram_chat: "{{ contact.id if service == 'instagram' }}"
        viber_chat: "{{ contact.id if service == 'viber' }}"
    deal: { title: "Lead from {{ bot.name }}", pipeline: Main, stage: New }
    rules: { preset: leadbox, update: only_empty }
"#;

/// A running leadfold with its CRM.
pub(crate) struct Rig {
    pub(crate) app: Option<App>,
    pub(crate) sandbox: Running,
    pub(crate) folder: PathBuf,
    /// What the registry is in, when it is not the file in `folder`.
    pub(crate) postgres: Option<Database>,
    pub(crate) files: Files,
    pub(crate) follow: Follow,
    pub(crate) read_only_workspace: bool,
    /// Where `${NAME}` gets its value; nothing is set unless a test does it.
    pub(crate) environment: Environment,
    pub(crate) listen: SocketAddr,
    pub(crate) clock: Arc<dyn Clock>,
    /// The token of `/api`; without one it is open, as in the demo.
    pub(crate) token: Option<&'static str>,
    /// Where people open its console, for links.
    pub(crate) public_url: Option<String>,
    pub(crate) client: reqwest::Client,
}

/// The lease of a destination in the hands of a worker that a test starts by itself.
pub(crate) async fn hold(store: &Store, destination: &str) -> Hold {
    let lease = store.take_lease(destination, "me").await.unwrap();
    Hold::new(lease, Arc::new(Presence::new("me".to_owned(), !store.is_shared())))
}

/// One recorder serves the whole process.
pub(crate) fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::start().unwrap()).clone()
}

/// The settings of a destination that talks to a faulty CRM and does not have all day.
pub(crate) const IMPATIENT: &str = "timeout: 500ms, settle: 700ms";

impl Rig {
    pub(crate) async fn start(faults: Faults, destination: &str) -> Self {
        Self::start_with(faults, destination, MAPPING).await
    }

    pub(crate) async fn start_with(faults: Faults, destination: &str, mapping: &str) -> Self {
        let mut rig = Self::prepare(faults, destination, mapping).await;
        rig.boot().await;
        rig
    }

    /// `None` where there is no PostgreSQL to run it on.
    pub(crate) async fn start_on(account: Account, faults: Faults, destination: &str) -> Option<Self> {
        let mut rig = Self::prepare_on(account, faults, destination, MAPPING).await?;
        rig.boot().await;
        Some(rig)
    }

    /// Everything but leadfold itself, with the workspace that is shipped and a CRM that has what it names.
    pub(crate) async fn shipped() -> Self {
        let mut rig = Self::prepare(Faults::default(), IMPATIENT, MAPPING).await;
        let account = serde_saphyr::from_str(include_str!("../../fixtures/account.yaml")).unwrap();
        rig.sandbox.set_account(Some(account));
        let url = rig.sandbox.url();
        let here = |text: &str| text.replace("${SANDBOX_URL:-http://127.0.0.1:9900}", &url);
        rig.files = Files(MAPPINGS.iter().map(|(name, text)| ((*name).to_owned(), here(text))).collect());
        rig
    }

    /// Everything but leadfold itself: files, clock and token can be changed before [`boot`](Self::boot).
    pub(crate) async fn prepare(faults: Faults, destination: &str, mapping: &str) -> Self {
        Self::prepare_on(Account::Sandbox, faults, destination, mapping).await.unwrap()
    }

    async fn prepare_on(account: Account, faults: Faults, destination: &str, mapping: &str) -> Option<Self> {
        let postgres = match account {
            Account::Sandbox | Account::Rest => None,
            Account::SandboxOnPostgres => Some(Database::create().await?),
        };
        let sandbox = Sandbox::start(SandboxOptions { faults, ..SandboxOptions::default() }).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", clock.new_id()));
        std::fs::create_dir_all(&folder).unwrap();
        let workspace = account.workspace(&sandbox.addr().to_string(), destination);
        let files = Files(
            [("workspace.yaml", workspace.as_str()), ("sendpulse.yaml", mapping)]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into(),
        );
        leadfold::crm::http::install_tls();
        Some(Self {
            app: None,
            sandbox,
            folder,
            postgres,
            files,
            follow: Follow::Files,
            read_only_workspace: false,
            environment: Arc::new(|_| None),
            listen: ([127, 0, 0, 1], 0).into(),
            clock,
            token: None,
            public_url: None,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        })
    }

    /// Starts leadfold on what is in the folder.
    pub(crate) async fn boot(&mut self) {
        self.save();
        self.app = Some(self.another().await);
    }

    /// One more process on the same database, as far as one test process can be several; only on PostgreSQL.
    pub(crate) async fn another(&self) -> App {
        App::start(self.options()).await.unwrap()
    }

    /// How it is started.
    pub(crate) fn options(&self) -> Options {
        Options {
            files: self.files.clone(),
            folder: self.workspace(),
            follow: self.follow,
            read_only_workspace: self.read_only_workspace,
            database: self.database(),
            listen: self.listen,
            door: self.token.map_or(Door::Demo, |token| Door::Token {
                api: Some(token.into()),
                links: Some(LINKS_TOKEN.into()),
            }),
            metrics: metrics(),
            public_url: self.public_url.clone(),
            limits: Limits::default(),
            environment: Arc::clone(&self.environment),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Where the files are.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.join("mappings")
    }

    /// Writes the files, and takes away those that are none any more.
    pub(crate) fn save(&self) {
        std::fs::create_dir_all(self.workspace()).unwrap();
        for entry in std::fs::read_dir(self.workspace()).unwrap() {
            let entry = entry.unwrap();
            if !self.files.0.contains_key(entry.file_name().to_str().unwrap()) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        for (name, text) in &self.files.0 {
            std::fs::write(self.workspace().join(name), text).unwrap();
        }
    }

    pub(crate) fn database(&self) -> String {
        if let Some(postgres) = &self.postgres {
            return postgres.url.clone();
        }
        format!("sqlite://{}", self.folder.join("leadfold.db").display())
    }

    pub(crate) async fn shut_down(&mut self) {
        self.app.take().unwrap().stop().await;
    }

    pub(crate) fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.app().address.port())
    }

    pub(crate) async fn post(&self, body: &Value) -> u16 {
        self.post_to("/in/sendpulse/demo", body.to_string()).await.0
    }

    /// Status and text of the answer.
    #[expect(clippy::disallowed_methods, reason = "the test is the platform, not a CRM client")]
    pub(crate) async fn post_to(&self, path: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
        let request = self.client.post(self.url(path)).body(body.into());
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Posts JSON with one more header.
    #[expect(clippy::disallowed_methods, reason = "the test is the platform, not a CRM client")]
    pub(crate) async fn post_with(&self, path: &str, (name, value): (&str, &str), body: &Value) -> u16 {
        let request = self.client.post(self.url(path)).body(body.to_string()).header(name, value);
        request.header("content-type", "application/json").send().await.unwrap().status().as_u16()
    }

    /// The same with the token of the API, and the answer as JSON.
    #[expect(clippy::disallowed_methods, reason = "the test is a person with a command line")]
    pub(crate) async fn post_to_api(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(self.url(path)).bearer_auth(self.token.unwrap_or_default());
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.get_as(self.token, path).await
    }

    #[expect(clippy::disallowed_methods, reason = "the test is a person with a browser")]
    pub(crate) async fn get_as(&self, token: Option<&str>, path: &str) -> (u16, String) {
        let mut request = self.client.get(self.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What `/api` answers.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Leads that a search finds, newest first.
    pub(crate) async fn found(&self, text: &str) -> Vec<Value> {
        let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        self.json(&format!("/api/leads?q={query}")).await["leads"].as_array().unwrap().clone()
    }

    /// Runs a statement on the database behind leadfold's back; rows of texts.
    pub(crate) async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        use sqlx::{Connection as _, Row as _};
        let mut connection = sqlx::SqliteConnection::connect(&self.database()).await.unwrap();
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let text = |row: &sqlx::sqlite::SqliteRow, column| {
            row.try_get_unchecked::<Option<String>, _>(column).unwrap().unwrap_or_default()
        };
        rows.iter().map(|row| (0..row.len()).map(|column| text(row, column)).collect()).collect()
    }

    /// Every delivery's state and why, oldest first.
    pub(crate) async fn deliveries(&self) -> Vec<(String, String)> {
        let rows = self.sql("SELECT state, why FROM deliveries ORDER BY id").await;
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    }

    /// Puts something else in place of a part of a file; it takes effect once it is saved, or at the next start.
    pub(crate) fn edit(&mut self, file: &str, from: &str, to: &str) {
        let text = self.files.0.get_mut(file).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        *text = text.replace(from, to);
    }

    pub(crate) async fn restart(&mut self) {
        self.shut_down().await;
        self.boot().await;
    }

    /// Posts all, so many at a time; every one must be acknowledged.
    pub(crate) async fn post_all(&self, bodies: &[Value], at_once: usize) {
        let gate = Semaphore::new(at_once);
        let posts = bodies.iter().map(|body| async {
            let _place = gate.acquire().await.unwrap();
            assert_eq!(self.post(body).await, 200);
        });
        futures_util::future::join_all(posts).await;
    }

    /// Waits until everything acknowledged has come to its end.
    pub(crate) async fn settle(&self) {
        let quiet = until_quiet(&self.app().store, PATIENCE).await.unwrap();
        if !quiet {
            let stuck = self.app().store.leads(None, 5).await.unwrap();
            panic!("not everything came to its end: {:?} {stuck:?}", self.counts().await);
        }
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.app().store.counts().await.unwrap()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.sandbox.stats()
    }

    /// Says which phones are whose.
    pub(crate) fn truth(&self, humans: impl IntoIterator<Item = (String, Vec<String>)>) {
        self.sandbox.set_truth(Truth(humans.into_iter().collect()));
    }

    /// Ends everything; whatever was acknowledged must have come to its end.
    pub(crate) async fn end(mut self) {
        let counts = self.counts().await;
        assert_eq!((counts.open, counts.received), (0, 0), "nothing is left open: {counts:?}");
        self.shut_down().await;
        if let Some(postgres) = self.postgres {
            postgres.remove().await;
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, done: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, done).await;
}

/// Waits until it is so, at most this long.
pub(crate) async fn until_within(limit: Duration, what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = tokio::time::Instant::now();
    while !done().await {
        assert!(start.elapsed() < limit, "{what}: it did not come within {limit:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A request that is shipped as a sample.
pub(crate) fn fixture(name: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// One event of `SendPulse`'s shape. `at` is the event's own time in milliseconds.
#[expect(clippy::needless_pass_by_value, reason = "reads best with json! at the call")]
pub(crate) fn event(chat: &str, service: &str, variables: Value, at: i64) -> Value {
    json!([{
        "service": service,
        "title": "incoming_message",
        "bot": { "id": format!("bot-{service}"), "name": "Polynia Shop", "external_id": "1", "url": "https://t.me/x" },
        "contact": {
            "id": chat, "name": "Олена", "username": null, "phone": null, "email": null, "photo": null,
            "last_message": "Добрий день", "tags": [], "variables": variables
        },
        "info": null,
        "date": at
    }])
}

/// A moment that no other test uses, in milliseconds.
pub(crate) fn now_millis() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
    Timestamp::now().as_millisecond()
}

/// What people do in the CRM with their own hands.
impl Rig {
    #[expect(clippy::disallowed_methods, reason = "the test is a person at the CRM")]
    pub(crate) async fn crm(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let mut request =
            self.client.request(method, format!("{}{path}", self.sandbox.url())).bearer_auth("demo");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null)
    }

    pub(crate) async fn add_contact(&self, contact: Value) -> Value {
        self.crm(reqwest::Method::POST, "/contacts", Some(contact)).await
    }

    /// What a person sees who opens the CRM.
    #[expect(clippy::disallowed_methods, reason = "the test is a person with a browser")]
    pub(crate) async fn sandbox_page(&self) -> String {
        self.client.get(self.sandbox.url()).send().await.unwrap().text().await.unwrap()
    }

    /// The contact with +380671234567.
    pub(crate) async fn contact(&self) -> Value {
        let found = self.crm(reqwest::Method::GET, "/contacts?phone=%2B380671234567", None).await;
        found["items"][0].clone()
    }

    pub(crate) async fn delete_contact(&self) {
        let contact = self.contact().await;
        let id = contact["id"].as_str().map_or_else(|| contact["id"].to_string(), str::to_owned);
        self.delete_record(&id).await;
    }

    /// Deletes the contact with this id.
    pub(crate) async fn delete_record(&self, id: &str) {
        self.crm(reqwest::Method::DELETE, &format!("/contacts/{id}"), None).await;
    }
}
