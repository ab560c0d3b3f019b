//! The real binary as a child process, on a workspace and a database that outlive it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use leadfold::clock::{Clock as _, SystemClock};
use leadfold::store::Store;
use leadfold::store::registry::Counts;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::rig::{MAPPING, PATIENCE, WORKSPACE};

/// Longest that a start may take, on a machine that has other things to do.
const START: Duration = Duration::from_mins(1);
/// Longest that an answer is waited for.
const ANSWER: Duration = Duration::from_secs(20);
/// Lines of the log that a failure shows.
const SHOWN: usize = 60;

/// Where servers live one after another: workspace, database, log.
pub(crate) struct Home {
    folder: PathBuf,
    /// What the registry is in, when it is not a file in `folder`.
    postgres: Option<String>,
    client: reqwest::Client,
}

/// A server that runs. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Home {
    /// A workspace that pushes to this CRM; `destination` takes further settings.
    pub(crate) fn new(crm: SocketAddr, destination: &str) -> Self {
        Self::of(&WORKSPACE.replace("{ADDRESS}", &crm.to_string()).replace("{DESTINATION}", destination))
    }

    /// A workspace with any CRM.
    pub(crate) fn of(workspace: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("leadfold-kill-{}", SystemClock.new_id()));
        fs::create_dir_all(folder.join("mappings")).unwrap();
        fs::write(folder.join("mappings/workspace.yaml"), workspace).unwrap();
        fs::write(folder.join("mappings/sendpulse.yaml"), MAPPING).unwrap();
        leadfold::crm::http::install_tls();
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().unwrap();
        Self { folder, postgres: None, client }
    }

    /// The same with the registry in this PostgreSQL, so that several servers can run at a time.
    pub(crate) fn on(postgres: &str, crm: SocketAddr, destination: &str) -> Self {
        Self { postgres: Some(postgres.to_owned()), ..Self::new(crm, destination) }
    }

    /// Puts another mapping in place of the usual one.
    pub(crate) fn map_with(&self, mapping: &str) {
        fs::write(self.folder.join("mappings/sendpulse.yaml"), mapping).unwrap();
    }

    pub(crate) fn database(&self) -> String {
        if let Some(postgres) = &self.postgres {
            return postgres.clone();
        }
        format!("sqlite://{}", self.folder.join("leadfold.db").display())
    }

    /// `leadfold serve` on a free port, with nothing of this process's environment.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadfold"));
        command.env_clear().env("RUST_BACKTRACE", "1").stdin(Stdio::null());
        command.arg("serve").arg("--workspace").arg(self.folder.join("mappings"));
        command.args(["--database", &self.database(), "--listen", "127.0.0.1:0", "--api-token", "s3cret"]);
        command
    }

    /// The mapping that the next server starts with.
    pub(crate) fn write_mapping(&self, text: &str) {
        self.write("sendpulse.yaml", text);
    }

    /// Writes a file of the workspace.
    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join("mappings").join(file), text).unwrap();
    }

    /// Takes the source out of the workspace, where it is there.
    pub(crate) fn remove_mapping(&self) {
        fs::remove_file(self.folder.join("mappings/sendpulse.yaml")).ok();
    }

    /// Waits until the registry says so.
    pub(crate) async fn until(&self, done: impl Fn(&Counts) -> bool) {
        let registry = self.registry().await;
        let start = Instant::now();
        loop {
            let counts = registry.counts().await.unwrap();
            if done(&counts) {
                return registry.close().await;
            }
            assert!(start.elapsed() < PATIENCE, "{counts:?}\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts a process and does not wait until it can do anything.
    pub(crate) fn spawn(&self) -> Child {
        self.spawn_as(self.command(), "")
    }

    fn spawn_as(&self, mut command: Command, failpoints: &str) -> Child {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        command.env("FAILPOINTS", failpoints).env("PATH", "/usr/bin:/bin");
        command.stdout(Stdio::piped()).stderr(log).spawn().unwrap()
    }

    /// Starts a server; returns once it answers.
    pub(crate) async fn start(&self) -> Server {
        self.up(self.spawn()).await
    }

    /// Starts a server by another program, which gets the command line after these arguments.
    pub(crate) async fn start_by(&self, program: &str, arguments: &[&str]) -> Server {
        let mut command = Command::new(program);
        let usual = self.command();
        command.args(arguments).arg(usual.get_program()).args(usual.get_args());
        self.up(self.spawn_as(command, "")).await
    }

    /// Starts a server that is told to fail somewhere, perhaps before it listens; then its port is 0.
    pub(crate) async fn start_with(&self, failpoints: &str) -> Server {
        self.listening(self.spawn_as(self.command(), failpoints)).await
    }

    async fn up(&self, child: Child) -> Server {
        let server = self.listening(child).await;
        let address = server.address;
        assert!(address.port() > 0, "the server did not start\n{}", self.log());
        assert_eq!(self.get(&format!("http://{address}/healthz")).await.0, 200, "{}", self.log());
        server
    }

    async fn listening(&self, mut child: Child) -> Server {
        let mut output = BufReader::new(child.stdout.take().unwrap());
        // From here on the child is killed whatever happens, which also ends the reading of its output.
        let mut server = Server { child, address: ([127, 0, 0, 1], 0).into() };
        let said = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).map(|_| line)
        });
        let said = timeout(START, said).await.map(|said| said.unwrap().unwrap()).unwrap_or_default();
        let address = said.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        server.address = address.and_then(|address| address.parse().ok()).unwrap_or(server.address);
        server
    }

    /// A second server on the same database: how it ended, and what it said on standard error.
    pub(crate) async fn start_second(&self) -> (Option<i32>, String) {
        let mut child = self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let status = ended(&mut child, START).await;
        child.kill().ok();
        let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        (status.and_then(|status| status.code()), said)
    }

    /// A post to a server that may die meanwhile. Whether it was acknowledged.
    #[expect(clippy::disallowed_methods, reason = "the test is the platform, not a CRM client")]
    pub(crate) fn post(&self, server: SocketAddr, body: &Value) -> impl Future<Output = bool> + use<> {
        let request = self.client.post(format!("http://{server}/in/sendpulse/demo"));
        let request = request.header("content-type", "application/json").body(body.to_string());
        async move { request.send().await.is_ok_and(|answer| answer.status() == 200) }
    }

    /// Asks the server for something, as a command does: status and text.
    #[expect(clippy::disallowed_methods, reason = "the test is a command")]
    pub(crate) async fn ask(&self, server: SocketAddr, path: &str, body: &Value) -> (u16, String) {
        let request = self.client.post(format!("http://{server}{path}")).bearer_auth("s3cret");
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The status of what is asked of a server that may die over it; `None` when it did.
    #[expect(clippy::disallowed_methods, reason = "the test is a command")]
    pub(crate) async fn try_ask(&self, server: SocketAddr, path: &str, body: &Value) -> Option<u16> {
        let request = self.client.post(format!("http://{server}{path}")).bearer_auth("s3cret");
        let request = request.header("content-type", "application/json").body(body.to_string());
        Some(request.send().await.ok()?.status().as_u16())
    }

    /// What somebody does in the CRM; the status.
    #[expect(clippy::disallowed_methods, reason = "the test is a person at the CRM")]
    pub(crate) async fn at_the_crm(&self, method: reqwest::Method, url: &str, body: Option<&Value>) -> u16 {
        let mut request = self.client.request(method, url).bearer_auth("demo");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send().await.unwrap().status().as_u16()
    }

    #[expect(clippy::disallowed_methods, reason = "the test is a person at the CRM")]
    pub(crate) async fn get(&self, url: &str) -> (u16, String) {
        let answer = self.client.get(url).bearer_auth("demo").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The registry, for looking only. Closed before the server is killed, so that recovery is the server's own work.
    pub(crate) async fn registry(&self) -> Store {
        Store::open_to_read(&self.database()).await.unwrap()
    }

    /// The end of what the servers logged, for a message.
    pub(crate) fn log(&self) -> String {
        let log = self.whole_log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// How often the servers logged this.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.whole_log().matches(text).count()
    }

    fn whole_log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Removes everything; a test that failed leaves it to be looked at.
    pub(crate) fn remove(self) {
        fs::remove_dir_all(self.folder).unwrap();
    }
}

impl Server {
    /// kill -9, and the process is gone when this returns.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// It stands still until [`thaw`](Self::thaw): SIGSTOP.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// It goes on and knows nothing of the time between: SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// What whoever runs services does: SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// SIGHUP: it looks at the workspace at once.
    pub(crate) fn look_again(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {signal} failed: {sent}");
    }

    /// How it ended by itself; `None` when it did not within this time.
    pub(crate) async fn ended(&mut self, at_most: Duration) -> Option<ExitStatus> {
        ended(&mut self.child, at_most).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails for a process that has ended, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn ended(child: &mut Child, at_most: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() >= at_most {
            return None;
        }
        sleep(Duration::from_millis(10)).await;
    }
}
