//! The files of `leadfold deploy`, tried as their user would: by the programs they are for, where this machine has them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use leadfold::app::until_quiet;
use leadfold::receive::{Connections, Limits};
use leadfold::store::Store;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::sleep;

use crate::commands::{Folder, Running, leadfold, read, run};
use crate::postgres::Database;
use crate::rig::{MAPPING, PATIENCE, WORKSPACE, event, until};

/// The text of a file.
fn file(name: &str) -> String {
    let (code, text, said) = run(&["deploy", name]);
    assert_eq!((code, said.as_str()), (0, ""), "{name}");
    text
}

/// The value behind a key, which stands there once.
fn value<'t>(text: &'t str, key: &str) -> &'t str {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    let value = lines.next().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(lines.next(), None, "{key} stands there twice");
    value.trim_end_matches(';')
}

/// Whether this machine has a program; says that the test is skipped when it has not.
fn has(program: &str) -> bool {
    match Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: this machine has no {program} to try it with");
            false
        }
        _ => true,
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A workspace that pushes to this sandbox.
fn workspace(crm: &str, settings: &str) -> Folder {
    let folder = Folder::new();
    // The shipped mappings would ask this workspace for what theirs has.
    for file in fs::read_dir(folder.path("mappings")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let text = WORKSPACE.replace("{ADDRESS}", crm).replace("{DESTINATION}", settings);
    fs::write(folder.path("mappings/workspace.yaml"), text).unwrap();
    fs::write(folder.path("mappings/sendpulse.yaml"), MAPPING).unwrap();
    folder
}

/// What human number `number` sends.
fn sent_by(number: i64) -> Value {
    let phone = json!({ "phone": format!("+38067{number:07}") });
    event(&format!("chat-{number}"), "telegram", phone, 1_700_000_000_000 + number)
}

#[test]
fn every_file_is_listed_and_printed() {
    let (code, list, _) = run(&["deploy", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let (_, text, _) = run(&["deploy"]);
    assert_eq!(code, 0);
    for listed in list["files"].as_array().unwrap() {
        let name = listed["name"].as_str().unwrap();
        let printed = file(name);
        assert!(text.contains(name) && text.contains(listed["place"].as_str().unwrap()), "{text}");
        assert!(!printed.contains("{VERSION}"), "{name}: the version is not filled in");
        let usage = printed.contains(&format!("leadfold deploy {name}"));
        assert!(usage || name == "kubernetes", "{name} does not say how to use it");
        let (_, as_json, _) = run(&["deploy", name, "--json"]);
        let as_json: Value = serde_json::from_str(&as_json).unwrap();
        assert_eq!(as_json["text"].as_str().unwrap(), printed.trim_end());
    }
    let (code, _, said) = run(&["deploy", "nginks"]);
    assert_eq!(code, 2);
    assert!(said.contains("nginx"), "{said}");
}

#[test]
fn the_files_agree_with_the_code() {
    let seconds = |text: &str| Duration::from_secs(text.trim_end_matches('s').parse().unwrap());
    let (limits, connections) = (Limits::default(), Connections::default());
    let nginx = file("nginx");
    assert_eq!(limits.body_bytes, 1024 * 1024);
    assert!(nginx.contains("    client_max_body_size 1m;"), "both refuse the same requests");
    assert_eq!(value(&nginx, "client_body_buffer_size "), "1m");
    assert!(seconds(value(&nginx, "keepalive_timeout ")) < connections.header_time);
    let webhooks = nginx.split("location /in/").nth(1).unwrap().split('}').next().unwrap();
    assert!(seconds(value(webhooks, "proxy_read_timeout ")) > limits.store_time);
    let caddy = file("caddy");
    assert_eq!(value(&caddy, "max_size "), "1MiB");
    assert!(seconds(value(&caddy, "keepalive ")) < connections.header_time);
    assert!(seconds(value(&caddy, "response_header_timeout ")) > limits.store_time);
    // What a service manager waits for: the pause, the requests under way, and a push of usual length behind them.
    let pause = seconds(value(&file("environment"), "LEADFOLD_DRAIN="));
    let least = pause + connections.drain_time + Duration::from_secs(10);
    assert!(seconds(value(&file("systemd"), "TimeoutStopSec=")) > least);
    let kubernetes = file("kubernetes");
    assert!(seconds(value(&kubernetes, "terminationGracePeriodSeconds: ")) > least);
    assert!(kubernetes.contains(&format!("image: leadfold:{}", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn systemd_understands_the_whole_unit() {
    if !has("systemd-analyze") {
        return;
    }
    let folder = Folder::new();
    let unit = file("systemd")
        .replace("/usr/local/bin/leadfold serve", &format!("{} serve", env!("CARGO_BIN_EXE_leadfold")));
    let verify = |text: &str| {
        let path = folder.path("leadfold@.service");
        fs::write(&path, text).unwrap();
        let instance = path.replace("@.", "@8080.");
        let (code, out, said) =
            read(Command::new("systemd-analyze").args(["verify", "--man=no", &instance]).output().unwrap());
        // It speaks of what it ignores, and is content all the same.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("leadfold")).collect();
        (code, format!("{out}{}", ours.join("\n")))
    };
    assert_eq!(verify(&unit), (0, String::new()));
    let (_, said) = verify(&unit.replace("ProtectHome=", "ProtectHom="));
    assert!(said.contains("ProtectHom"), "a mistake is seen: {said}");
}

/// The command and the environment that systemd would start, on a free port and in a folder of the test.
fn service(folder: &Folder, port: u16) -> Command {
    let unit = file("systemd");
    let words = value(&unit, "ExecStart=").replace("%i", &port.to_string());
    let mut words = words.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/leadfold"));
    let mut command = leadfold(&words.collect::<Vec<_>>());
    let environment = file("environment");
    let settings: BTreeMap<&str, &str> = environment
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();
    for (name, value) in settings {
        let value = value.replace("/var/lib/leadfold", &folder.path("state"));
        command.env(name, value.replace("/etc/leadfold/workspace", &folder.path("mappings")));
    }
    command
}

#[test]
fn the_service_says_when_it_answers_and_receives_until_the_balancer_has_noticed() {
    let sandbox = Running::start(leadfold(&["sandbox", "--listen", "127.0.0.1:0"]), "sandbox CRM on");
    let folder = workspace(&sandbox.address, "");
    let socket = UnixDatagram::bind(folder.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 64];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let port = free_port();
    let mut command = service(&folder, port);
    // Long enough for a slow machine to look; cut short below.
    command.env("NOTIFY_SOCKET", folder.path("notify")).env("LEADFOLD_DRAIN", "600");
    let server = Running::start(command, "receives on");
    assert_eq!(told(), "READY=1");
    let address = format!("http://127.0.0.1:{port}");
    let ready = || run(&["ready", "--server", &address]);
    assert_eq!(ready().0, 0, "{:?}", ready());
    // As a container asks: by the address that it was told to listen on.
    let everywhere = format!("0.0.0.0:{port}");
    let asked = leadfold(&["ready", "--json"]).env("LEADFOLD_LISTEN", everywhere).output().unwrap();
    let (code, out, _) = read(asked);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["ready"].clone()), (0, json!(true)));

    server.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    let start = Instant::now();
    while ready().0 == 0 {
        assert!(start.elapsed() < PATIENCE);
    }
    let (code, said, _) = ready();
    assert_eq!(code, 1);
    assert!(said.contains("leadfold is stopping"), "{said}");
    let answer = server.post("/in/sendpulse/demo", &sent_by(1).to_string());
    assert!(answer.starts_with("HTTP/1.1 200"), "a request that still came was turned away: {answer}");
    // A second signal cuts the pause short.
    let (code, log) = server.terminate();
    assert_eq!(code, 0, "{log}");
    let (code, said, _) = ready();
    assert_eq!(code, 1);
    assert!(said.contains("does not answer"), "{said}");
    assert_eq!(sandbox.terminate().0, 0);
}

/// What a copy of a SQLite database says.
async fn count(file: &str, sql: &'static str) -> i64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

/// Leads of which one step is in the CRM and the next is not.
const UNDER_WAY: &str = "SELECT COUNT(DISTINCT done.sync) FROM steps AS done JOIN steps AS next ON next.sync = done.sync \
     WHERE done.state = 'done' AND next.state = 'planned'";

#[tokio::test]
async fn a_restored_backup_makes_nothing_twice() {
    let sandbox =
        Running::start(leadfold(&["sandbox", "--listen", "127.0.0.1:0", "--rate", "12/s"]), "sandbox CRM on");
    let folder = workspace(&sandbox.address, "settle: 700ms, rate: 12/s");
    let (database, backup) = (folder.path("data/leadfold.db"), folder.path("backup.db"));
    let url = format!("sqlite://{database}");
    let serve = || {
        let mut command = leadfold(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("LEADFOLD_WORKSPACE", folder.path("mappings")).env("LEADFOLD_DATABASE", &url);
        command.env("LEADFOLD_LOG", "warn");
        Running::start(command, "receives on")
    };
    let stats = |name: &str| {
        let answer = sandbox.get("/stats");
        let stats: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        stats[name].as_i64().unwrap()
    };
    let quiet = async || {
        let store = Store::open_to_read(&url).await.unwrap();
        assert!(until_quiet(&store, PATIENCE).await.unwrap());
        store.close().await;
    };
    let server = serve();
    let mut humans = 0;
    let start = Instant::now();
    loop {
        // Another few each time, so that there is always somebody under way.
        for _ in 0..4 {
            humans += 1;
            let answer = server.post("/in/sendpulse/demo", &sent_by(humans).to_string());
            assert!(answer.starts_with("HTTP/1.1 200"));
        }
        let (code, said, failure) = run(&["backup", &backup, "--database", &url]);
        assert_eq!(code, 0, "{failure}");
        assert!(said.contains(&format!("{humans} deliveries")), "{said}");
        if count(&backup, UNDER_WAY).await > 0 {
            break;
        }
        fs::remove_file(&backup).unwrap();
        assert!(start.elapsed() < PATIENCE, "the CRM is never half-way");
    }
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    quiet().await;
    assert_eq!((stats("contacts"), stats("deals")), (humans, humans));
    assert_eq!(server.terminate().0, 0);

    // As `leadfold backup --help` says.
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{database}{ending}")).ok();
    }
    fs::copy(&backup, &database).unwrap();
    let server = serve();
    quiet().await;
    assert_eq!((stats("contacts"), stats("deals")), (humans, humans), "made twice after the restore");
    assert_eq!((stats("duplicate_contacts"), stats("duplicate_deals")), (0, 0));
    let (code, log) = server.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("put back from a backup"), "{log}");
    // Once: what began since is no longer in doubt.
    let (_, log) = serve().terminate();
    assert!(!log.contains("put back from a backup"), "{log}");

    // A copy that leadfold did not make, or whose mark is gone, is told of by hand.
    let copy = format!("sqlite://{backup}");
    let (code, out, failure) = run(&["restored", "--json", "--database", &copy]);
    assert_eq!(code, 0, "{failure}");
    assert!(serde_json::from_str::<Value>(&out).unwrap()["leads"].as_i64().unwrap() > 0, "{out}");
    assert_eq!(count(&backup, UNDER_WAY).await, 0);
    assert_eq!(sandbox.terminate().0, 0);
}

#[test]
fn a_backup_that_cannot_be_made_leaves_nothing_and_says_why() {
    let folder = Folder::new();
    let (missing, taken) = (folder.path("missing.db"), folder.path("taken"));
    fs::write(&taken, "somebody's").unwrap();
    let missing = format!("sqlite://{missing}");
    let free = folder.path("free");
    for (arguments, says) in [
        (["backup", &taken, "--database", &missing], "no backup is overwritten"),
        (["backup", &free, "--database", &missing], "start `leadfold serve` once"),
        (["backup", &free, "--database", "postgres://leadfold@db.example.com/leadfold"], "pg_dump"),
        (
            ["backup", "/nowhere/backup.db", "--database", &missing],
            "/nowhere/backup.db.part cannot be written",
        ),
        (["restored", "--json", "--database", &missing], "start `leadfold serve` once"),
    ] {
        let (code, out, said) = run(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{said}");
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(fs::read_to_string(&taken).unwrap(), "somebody's");
    assert!(!Path::new(&free).exists() && !Path::new(&format!("{free}.part")).exists());
}

#[tokio::test]
async fn the_backup_script_copies_either_database() {
    let folder = Folder::new();
    let script = file("backup")
        .replace("/var/backups/leadfold", &folder.path("backups"))
        .replace("/etc/leadfold/environment", &folder.path("environment"));
    fs::write(folder.path("script"), script).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_leadfold")).parent().unwrap();
    let copies = |url: &str, ending: &str| {
        fs::write(folder.path("environment"), format!("LEADFOLD_DATABASE='{url}'\n")).unwrap();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
        let ended =
            Command::new("sh").arg(folder.path("script")).env_clear().env("PATH", path).output().unwrap();
        assert_eq!(read(ended).0, 0);
        let backups = fs::read_dir(folder.path("backups")).unwrap().map(|entry| entry.unwrap().path());
        backups.filter(|path| path.extension().is_some_and(|found| found == ending)).count()
    };
    let sandbox = Running::start(leadfold(&["sandbox", "--listen", "127.0.0.1:0"]), "sandbox CRM on");
    let workspace = workspace(&sandbox.address, "");
    let sqlite = format!("sqlite://{}", workspace.path("leadfold.db"));
    let mut serve = leadfold(&["serve", "--listen", "127.0.0.1:0", "--database", &sqlite]);
    serve.env("LEADFOLD_WORKSPACE", workspace.path("mappings"));
    let server = Running::start(serve, "receives on");
    assert_eq!(copies(&sqlite, "db"), 1, "while it runs");
    assert_eq!(server.terminate().0, 0);
    assert_eq!(sandbox.terminate().0, 0);
    if !has("pg_dump") {
        return;
    }
    let Some(database) = Database::create().await else { return };
    assert_eq!(copies(&database.url, "dump"), 1);
    database.remove().await;
}

/// nginx with the shipped file, on a free port and with a certificate made for the test. Dropping it kills it.
struct Nginx {
    process: Child,
    port: u16,
}

impl Nginx {
    fn start(folder: &Folder, servers: [u16; 2]) -> Self {
        let (certificate, key) = (folder.path("certificate.pem"), folder.path("key.pem"));
        // Not an authority, though it vouches for itself: TLS libraries refuse one as the certificate of a server.
        let name =
            ["-subj", "/CN=leads.example.com", "-addext", "basicConstraints=critical,CA:FALSE", "-addext"];
        let names = "subjectAltName=DNS:leads.example.com";
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-keyout",
                &key,
                "-out",
                &certificate,
            ])
            .args(name)
            .arg(names)
            .output()
            .unwrap();
        assert_eq!(read(made).0, 0);
        let port = free_port();
        let letsencrypt = "/etc/letsencrypt/live/leads.example.com";
        let site = file("nginx")
            .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port} ssl;"))
            .replace("    listen [::]:443 ssl;\n", "")
            .replace(&format!("{letsencrypt}/fullchain.pem"), &certificate)
            .replace(&format!("{letsencrypt}/privkey.pem"), &key)
            .replace("127.0.0.1:8081", &format!("127.0.0.1:{}", servers[0]))
            .replace("127.0.0.1:8082", &format!("127.0.0.1:{}", servers[1]))
            .replace("/var/log/nginx/", &folder.path(""));
        fs::write(folder.path("leadfold.conf"), site).unwrap();
        let here = folder.path("");
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {here}{name};\n"))
            .concat();
        // One process and no master: it ends when it is killed, and leaves nobody behind.
        let main = format!(
            "daemon off; master_process off; pid {here}pid; error_log {here}error.log info;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off;\n{temporary}include {here}leadfold.conf; }}\n"
        );
        fs::write(folder.path("nginx.conf"), main).unwrap();
        let nginx = |more: &[&str]| {
            let mut command = Command::new("nginx");
            command.args(["-p", &here, "-c", &folder.path("nginx.conf")]).args(more).stderr(Stdio::piped());
            command
        };
        let (code, _, said) = read(nginx(&["-t"]).output().unwrap());
        assert_eq!(code, 0, "{said}");
        Self { process: nginx(&[]).spawn().unwrap(), port }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).ok();
        eprint!("{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "the test is the platform")]
async fn behind_nginx_no_webhook_is_lost_while_processes_are_restarted_and_killed() {
    if !has("nginx") || !has("openssl") {
        return;
    }
    let Some(database) = Database::create().await else { return };
    let sandbox = Running::start(leadfold(&["sandbox", "--listen", "127.0.0.1:0"]), "sandbox CRM on");
    let folder = workspace(&sandbox.address, "");
    let ports = [free_port(), free_port()];
    let serve = |port: u16| {
        let mut command = service(&folder, port);
        command
            .env("LEADFOLD_DATABASE", &database.url)
            .env("LEADFOLD_LOG", "error")
            .env("LEADFOLD_DRAIN", "0");
        Running::start(command, "receives on")
    };
    let mut servers = ports.map(serve);
    let nginx = Nginx::start(&folder, ports);
    leadfold::crm::http::install_tls();
    let trusted = fs::read(folder.path("certificate.pem")).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&trusted).unwrap()])
        .resolve("leads.example.com", ([127, 0, 0, 1], nginx.port).into())
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let root = format!("https://leads.example.com:{}", nginx.port);
    let start = Instant::now();
    while let Err(error) = client.get(format!("{root}/healthz")).send().await {
        assert!(start.elapsed() < Duration::from_mins(1), "nginx does not answer: {error:?}");
        sleep(Duration::from_millis(50)).await;
    }

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let (client, hook, stopped) =
                (client.clone(), format!("{root}/in/sendpulse/demo"), stopped.clone());
            tokio::spawn(async move {
                let mut sent = 0;
                while !*stopped.borrow() {
                    let request = client.post(&hook).body(sent_by(sender * 100_000 + sent + 1).to_string());
                    let answer = request.send().await.unwrap();
                    assert_eq!(answer.status(), 200, "post {sent} of sender {sender}");
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    for (place, signal) in [(0, "TERM"), (1, "TERM"), (0, "KILL"), (1, "KILL")] {
        sleep(Duration::from_millis(500)).await;
        servers[place].signal(signal);
        // Dropping it waits until it is gone.
        let port = ports[place];
        let (ended, again) = tokio::task::block_in_place(|| (servers[place].wait(), serve(port)));
        assert_eq!(ended, (signal == "TERM").then_some(0), "{signal}");
        servers[place] = again;
    }
    stop.send(true).unwrap();
    let mut sent = 0;
    for sender in senders {
        sent += sender.await.unwrap();
    }
    assert!(sent > 100, "{sent} posts are no load");
    let first = "SELECT COUNT(*) FROM events WHERE redelivery_of IS NULL";
    let start = Instant::now();
    while database.run(first).await != [sent] {
        let events = database.run(first).await;
        assert!(start.elapsed() < PATIENCE, "{sent} posts, {events:?} events");
        sleep(Duration::from_millis(100)).await;
    }

    assert_eq!(client.get(format!("{root}/metrics")).send().await.unwrap().status(), 404);
    assert_eq!(client.get(format!("{root}/api/leads?q=380670000001")).send().await.unwrap().status(), 401);
    for server in servers {
        assert_eq!(server.terminate().0, 0);
    }
    assert_eq!(client.post(format!("{root}/in/sendpulse/demo")).send().await.unwrap().status(), 502);
    // nginx writes the line only once the answer is sent.
    let log = || fs::read_to_string(folder.path("leadfold.log")).unwrap();
    until("the last line", async || log().contains("/in/sendpulse/***\" 502")).await;
    drop(nginx);
    let log = log();
    assert!(log.contains("/in/sendpulse/***\" 200"), "{log}");
    for secret in ["demo", "38067"] {
        assert!(!log.contains(secret), "the access log holds {secret}");
        assert!(!fs::read_to_string(folder.path("error.log")).unwrap().contains(secret));
    }
    assert_eq!(sandbox.terminate().0, 0);
    database.remove().await;
}
