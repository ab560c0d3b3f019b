//! The commands as their user types them: the real binary, its output, its exit code.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use leadfold::clock::{Clock as _, SystemClock};
use leadfold::demo::MAPPINGS;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::rig::{IMPATIENT, Rig, event, now_millis, spellings};

pub(crate) fn leadfold(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadfold"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().stdin(Stdio::null());
    command
}

/// Exit code, standard output, standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    read(leadfold(arguments).output().unwrap())
}

pub(crate) fn read(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder of its own with the shipped mappings and fixtures; gone when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let names = std::fs::read_dir(root.join("fixtures")).unwrap().map(|entry| entry.unwrap().path());
        let fixtures = names.filter(|path| path.is_dir());
        for from in fixtures.chain([root.join("mappings")]) {
            let to = folder.join(from.strip_prefix(root).unwrap());
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                if entry.path().is_file() {
                    std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
                }
            }
        }
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn edit(&self, from: &str, to: &str) {
        let path = self.0.join("mappings/sendpulse.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A command that stays up.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
}

impl Running {
    /// Starts it, waits for the line that holds this, and reads the first address that it said.
    pub(crate) fn start(mut command: Command, up: &str) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        let mut out = BufReader::new(child.stdout.as_mut().unwrap());
        while !told.contains(up) {
            if out.read_line(&mut told).unwrap() == 0 {
                let mut said = String::new();
                child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
                panic!("it said '{told}', and as an error: {said}");
            }
        }
        let (_, rest) = told.split_once("http://").unwrap();
        let address =
            rest.chars().take_while(|letter| letter.is_ascii_digit() || ".:".contains(*letter)).collect();
        Self { child, address }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address))
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let (host, length) = (&self.address, body.len());
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &process]).status().unwrap().success());
    }

    /// Waits until it is gone; its exit code, `None` when it was killed.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it as a service manager does; returns the exit code and what it had logged.
    pub(crate) fn terminate(mut self) -> (i32, String) {
        self.signal("TERM");
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code().unwrap(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a test that failed leaves it alive.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

#[test]
fn the_demo_comes_to_the_same_numbers_each_time() {
    for _ in 0..2 {
        let (code, out, err) = run(&["demo", "--once", "--json"]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(out.lines().count(), 1, "one object on one line: {out}");
        let result: Value = serde_json::from_str(&out).unwrap();
        let expect = json!({
            "deliveries": 12, "redeliveries": 1, "leads": 12, "contacts": 7, "deals": 7, "tasks": 3, "filtered": 2,
            "needs_attention": 0, "duplicate_contacts": 0, "duplicate_deals": 0, "wrongly_joined": 0, "open": 0,
            "unreadable": 0, "rate_limited": 0,
        });
        for (name, value) in expect.as_object().unwrap() {
            assert_eq!(&result[name], value, "{name}: {out}");
        }
    }
}

#[test]
fn the_demo_finds_its_mappings_wherever_it_runs() {
    let folder = Folder::new();
    let elsewhere = leadfold(&["demo", "--once"]).current_dir(folder.path("fixtures")).output().unwrap();
    let (code, out, err) = read(elsewhere);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("in the CRM: 7 contacts, 7 deals, 3 tasks; duplicates: 0 contacts, 0 deals"),
        "{out}"
    );
}

#[test]
fn check_and_test_pass_on_what_is_shipped() {
    let (code, out, _) = run(&["test", "--json"]);
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &result["failed"]), (0, &json!(0)), "{out}");
    let passed = result["passed"].as_u64().unwrap();
    let sources: BTreeSet<&str> =
        result["tests"].as_array().unwrap().iter().map(|test| test["source"].as_str().unwrap()).collect();
    assert_eq!(sources.len() + 1, MAPPINGS.len(), "every mapping carries tests: {sources:?}");
    let (code, out, err) = run(&["check"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&format!("0 errors, 0 warnings; {passed} tests, 0 failed")), "{out}");
    let (code, out, _) = run(&["test"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with(&format!("{passed} passed, 0 failed\n")), "{out}");
}

#[test]
fn check_points_at_every_slip_and_says_what_was_meant() {
    let folder = Folder::new();
    let mappings = folder.path("mappings");
    folder.edit("preset: leadbox", "preset: leedbox");
    folder.edit("update: only_empty", "update: only_emtpy");
    for command in ["check", "test"] {
        let (code, out, err) = run(&[command, "--workspace", &mappings]);
        assert_eq!((code, err.as_str()), (1, ""), "{command}: {out}");
        for part in [
            "sendpulse.yaml:43:13",
            "did you mean `leadbox`?",
            "sendpulse.yaml:44:13",
            "did you mean `only_empty`?",
        ] {
            assert!(out.contains(part), "{command} does not say {part}:\n{out}");
        }
    }
    let (code, out, _) = run(&["check", "--workspace", &mappings, "--json"]);
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &result["errors"]), (1, &json!(2)), "{out}");
    let problem = &result["problems"][1];
    assert_eq!(
        (&problem["file"], &problem["line"], &problem["column"], &problem["severity"]),
        (&json!("sendpulse.yaml"), &json!(44), &json!(13), &json!("error"))
    );
    assert_eq!(problem["help"], "did you mean `only_empty`?");
}

#[test]
fn a_test_that_fails_says_what_came_instead() {
    let folder = Folder::new();
    let mappings = folder.path("mappings");
    folder.edit("phone: \"+380674185206\"", "phone: \"+380674185207\"");
    for command in ["check", "test"] {
        let (code, out, _) = run(&[command, "--workspace", &mappings]);
        assert_eq!(code, 1, "{out}");
        for part in ["FAILED", "sendpulse.yaml:", "+380674185206", "+380674185207", "1 failed"] {
            assert!(out.contains(part), "{command} does not say {part}:\n{out}");
        }
    }
    let (code, out, _) = run(&["test", "--workspace", &mappings, "--json"]);
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &result["failed"]), (1, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_finds_a_lead_by_whatever_one_has_of_it() {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    let variables = json!({ "phone": "067 123 45 67", "email": "olena@example.com" });
    rig.post(&event("6667-tg", "telegram", variables, now_millis())).await;
    rig.settle().await;
    let lead = rig.found("0671234567").await[0]["id"].as_str().unwrap().to_owned();
    let database = rig.database();
    // The server is still running on this database.
    let mut texts = spellings("671234567").to_vec();
    texts.extend([&*lead, "Olena@Example.com", "6667-tg"].map(str::to_owned));
    for text in &texts {
        let (code, out, err) = run(&["explain", text, "--database", &database]);
        assert_eq!(code, 0, "{text}: {out}{err}");
        for part in
            [&*lead, "+380671234567", "to        'crm': synced", "because", "create contact: done → record"]
        {
            assert!(out.contains(part), "{text} does not say {part}:\n{out}");
        }
    }
    let (code, out, _) = run(&["explain", &lead, "--json", "--database", &database]);
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &result[0]["id"]), (0, &json!(lead)));

    for text in ["0631234567", "nobody@example.com", "0190a0b0-0000-7000-8000-000000000000"] {
        let (code, out, _) = run(&["explain", text, "--database", &database]);
        assert_eq!(code, 1, "{text}: {out}");
        assert!(out.contains(text) && out.contains("Give a lead id, a phone"), "{out}");
    }
    rig.end().await;
    let (code, _, err) = run(&["explain", &lead, "--database", &database]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no database at"), "{err}");
}

#[test]
fn normalise_answers_line_by_line() {
    let (code, out, _) = run(&["normalise", "phone", "--region", "UA", "067 123 45 67", "12345"]);
    assert_eq!(code, 0);
    let answers: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2, "{out}");
    assert_eq!(
        (&answers[0]["e164"], &answers[0]["confidence"]),
        (&json!("+380671234567"), &json!("assumed"))
    );
    assert_eq!((&answers[1]["raw"], &answers[1]["e164"]), (&json!("12345"), &Value::Null));
    let fields: Vec<&String> = answers[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["raw", "e164", "ext", "region", "kind", "confidence", "match_keys", "flaw"]);

    let mut child =
        leadfold(&["normalise", "phone"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = "{\"raw\":\"512 604 873\",\"region\":\"PL\"}\nnot json\n{\"raw\":\"+380 67 123 45 67\"}\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let (code, out, _) = read(child.wait_with_output().unwrap());
    let answers: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, answers.len()), (0, 3), "{out}");
    assert_eq!(answers[0]["e164"], "+48512604873");
    assert_eq!(answers[1]["flaw"]["code"], "unreadable_line");
    assert_eq!((&answers[2]["e164"], &answers[2]["confidence"]), (&json!("+380671234567"), &json!("exact")));

    let (_, out, _) = run(&["normalise", "email", "Olena.K+promo@Gmail.com"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["match_key"], "olenak@gmail.com");
}

#[test]
fn the_demo_stays_up_to_be_looked_at() {
    let demo = Running::start(leadfold(&["demo", "--port", "0"]), "Ctrl-C ends");
    let leads = demo.get("/api/leads?q=0674185206");
    assert!(leads.starts_with("HTTP/1.1 200") && leads.contains("\"synced\""), "{leads}");
    assert!(demo.post("/in/sendpulse/demo", "[]").starts_with("HTTP/1.1 200"));
    assert_eq!(demo.terminate(), (0, String::new()));
}

#[test]
fn the_sandbox_answers_until_it_is_told_to_end() {
    let sandbox = Running::start(leadfold(&["sandbox", "--listen", "127.0.0.1:0"]), "sandbox CRM on");
    let stats = sandbox.get("/stats");
    assert!(stats.starts_with("HTTP/1.1 200") && stats.contains("\"contacts\":0"), "{stats}");
    assert_eq!(sandbox.terminate(), (0, String::new()));
}

#[test]
fn serve_keeps_what_it_acknowledged_and_says_when_an_edit_is_broken() {
    let folder = Folder::new();
    let sandbox = Running::start(leadfold(&["sandbox", "--listen", "127.0.0.1:0"]), "sandbox CRM on");
    let serve = || {
        let mut command = leadfold(&["serve", "--listen", "127.0.0.1:0", "--api-token", "s3cret"]);
        command
            .env("LEADFOLD_WORKSPACE", folder.path("mappings"))
            .env("LEADFOLD_DATABASE", format!("sqlite://{}", folder.path("data/leadfold.db")))
            .env("SANDBOX_URL", format!("http://{}", sandbox.address));
        Running::start(command, "receives on")
    };
    let body = std::fs::read_to_string(folder.path("fixtures/sendpulse/01_new_lead_telegram.json")).unwrap();
    let server = serve();
    assert!(server.post("/in/sendpulse/demo", &body).starts_with("HTTP/1.1 200"));
    assert!(server.get("/api/leads").starts_with("HTTP/1.1 401"));
    let (code, log) = server.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("last good version"), "{log}");
    for personal in ["0674185206", "418-52-06", "+380674185206", "Олена"] {
        assert!(!log.contains(personal), "the log names {personal}:\n{log}");
    }

    folder.edit("update: only_empty", "update: only_emtpy");
    let server = serve();
    let other = std::fs::read_to_string(folder.path("fixtures/sendpulse/12_whatsapp_incoming.json")).unwrap();
    assert!(server.post("/in/sendpulse/demo", &other).starts_with("HTTP/1.1 200"));
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    while !sandbox.get("/stats").contains("\"deals\":2") {
        assert!(std::time::Instant::now() < deadline, "{}", sandbox.get("/stats"));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (code, log) = server.terminate();
    assert_eq!(code, 0, "{log}");
    for part in ["sendpulse.yaml:44:13", "only_emtpy", "running on its last good version", "leadfold check"] {
        assert!(log.contains(part), "the log does not say {part}:\n{log}");
    }
    assert_eq!(sandbox.terminate().0, 0);
}

#[test]
fn what_cannot_be_done_ends_with_2_and_says_why() {
    let folder = Folder::new();
    let (mappings, database) =
        (folder.path("mappings"), format!("sqlite://{}", folder.path("data/leadfold.db")));
    let serve = ["serve", "--workspace", &mappings, "--database", &database, "--listen"];
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    // The port is taken, so a refusal that names the secrets was made before listening.
    let everywhere = format!("0.0.0.0:{}", taken.local_addr().unwrap().port());
    for (arguments, says) in [
        (&[&serve[..], &[&everywhere]].concat()[..], "SENDPULSE_HOOK_TOKEN"),
        (&[&serve[..], &[&taken_address]].concat()[..], "cannot listen on"),
        (&["serve", "--workspace", "/nowhere"][..], "--workspace"),
        (&["serve", "--workspace", &mappings, "--database", "mysql://x"][..], "sqlite://FILE"),
        (&["check", "--workspace", "/nowhere"][..], "/nowhere"),
        (&["nonsense"][..], "nonsense"),
        (&["normalise", "colour", "red"][..], "colour"),
        (&["sandbox", "--fail-before", "7"][..], "fail_before"),
        (&["explain"][..], "<LEAD>"),
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?} does not say {says}: {err}");
    }
}
