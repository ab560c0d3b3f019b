//! What a CRM has, as `doctor` and `check` tell it, and what happens to a lead that names what it has not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use leadfold::clock::{Clock as _, SystemClock};
use leadfold::crm::examine::{Sought, examine};
use leadfold::crm::http::recorded;
use leadfold::crm::{Crm, CrmError, Outcome};
use leadfold::plan::{Action, ContactFields};
use leadfold::rules::{Blind, Destination, Mode, Settings};
use leadfold::sandbox::{Faults, Running, Sandbox, SandboxAccount, SandboxOptions};
use serde_json::{Value, json};

use crate::crm::by_phone;
use crate::crm::fixture::{Recorder, alone, step};
use crate::rig::{IMPATIENT, Rig, event, now_millis};

const SECRET: &str = "s3cret of the account";

/// Has what the mapping below names.
fn account() -> Value {
    json!({
        "users": [{"id": "olha"}, {"id": "petro", "name": "Petro P."}, {"id": "ivan", "active": false}],
        "pipelines": [{"name": "Sales", "stages": ["New", "Won"]}],
        "contact_fields": ["telegram_chat", "instagram_chat"],
        "deal_fields": ["utm"],
    })
}

async fn sandbox(account: Value) -> Running {
    let account: Option<SandboxAccount> = serde_json::from_value(account).unwrap();
    Sandbox::start(SandboxOptions { token: SECRET.to_owned(), account, ..SandboxOptions::default() })
        .await
        .unwrap()
}

fn connected(url: &str, more: &[(&str, &str)]) -> std::sync::Arc<dyn Crm> {
    let settings = [("url", url), ("token", SECRET)].into_iter().chain(more.iter().copied());
    leadfold::crm::connect(&Destination {
        name: "crm".into(),
        crm: "sandbox".into(),
        mode: Mode::Live,
        share: 1.0,
        timeout: Duration::from_secs(2),
        settle: None,
        audit: Duration::from_mins(10),
        chats: Vec::new(),
        blind: Blind::default(),
        settings: Settings(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
    })
    .unwrap()
}

/// A workspace folder; gone when dropped.
struct Folder(PathBuf);

const MAPPING: &str = r#"source: { preset: sendpulse, token: demo }
leads:
  - name: all
    to: [crm]
    owners: sales
    phone: { regions: [UA] }
    contact:
      phone: "{{ contact.variables.phone }}"
      fields: { telegram_chat: "{{ contact.id }}" }
    deal: { title: Lead, pipeline: Sales, stage: New }
"#;

impl Folder {
    /// `destinations`: the lines below that key.
    fn new(destinations: &str, pool: &str, mapping: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        std::fs::create_dir_all(&folder).unwrap();
        let workspace = format!("destinations:\n{destinations}\nowner_pools:\n  sales: {pool}\n");
        std::fs::write(folder.join("workspace.yaml"), workspace).unwrap();
        std::fs::write(folder.join("bots.yaml"), mapping).unwrap();
        Self(folder)
    }

    /// Exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadfold"));
        command.args(arguments).arg("--workspace").arg(&self.0).env_clear().stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.run(&[arguments, &["--json"]].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn destination(name: &str, address: impl std::fmt::Display) -> String {
    format!("  {name}: {{ crm: sandbox, url: \"http://{address}\", token: \"{SECRET}\", timeout: 700ms }}")
}

/// A server that gives every request the same answer, or none at all; it lives as long as the test's process.
fn canned(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(body) = answer else {
                silent.push(stream);
                continue;
            };
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok_and(|count| count > 0) {
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .ok();
            }
        }
    });
    address
}

#[tokio::test]
async fn the_recorder_keeps_calls_in_order_and_no_secret() {
    let server = sandbox(Value::Null).await;
    let crm = connected(&server.url(), &[]);
    let contact = ContactFields {
        name: Some(format!("says {SECRET}")),
        phones: vec!["+380671234567".into()],
        ..ContactFields::default()
    };
    let step = step(Action::CreateContact { contact });
    let plan = [alone(&step)];
    let (answers, exchanges) = recorded(async {
        let written = crm.write(&plan, &Recorder::default()).await;
        let query = leadfold::crm::Query { emails: vec![format!("a&b+{SECRET}@x")], ..Default::default() };
        (written, crm.find(&[query]).await)
    })
    .await;
    assert!(matches!(answers.0[0][0], Outcome::Done(_)), "{answers:?}");
    let [created, searched] = exchanges.as_slice() else { panic!("{exchanges:?}") };
    assert_eq!((created.operation.as_str(), created.method.as_str()), ("create_contact", "POST"));
    assert_eq!((created.target.as_str(), created.status), ("/contacts", Some(201)));
    assert!(created.request.as_ref().unwrap().contains("says •••"), "{:?}", created.request);
    assert!(created.answer.as_ref().unwrap().contains("+380671234567"), "a person looks for the spelling");
    assert_eq!(
        (searched.target.as_str(), searched.request.as_deref()),
        ("/contacts?email=a%26b%2B•••%40x", None)
    );
    assert!(!json!(exchanges).to_string().contains("s3cret"), "{}", json!(exchanges));
    let told = format!("{exchanges:?}");
    assert!(!told.contains("380671234567"), "debug output ends up in logs: {told}");

    // Without a recorder around them calls are as ever, and a batch is one call.
    assert!(crm.ping().await.is_ok());
    server.set_faults(Faults { batch: true, ..Faults::default() });
    let crm = connected(&server.url(), &[("batch", "true")]);
    let (found, exchanges) =
        recorded(crm.find(&[by_phone("+380671234567"), by_phone("+380501112233")])).await;
    assert_eq!(found.len(), 2);
    let operations: Vec<&str> = exchanges.iter().map(|exchange| exchange.operation.as_str()).collect();
    assert_eq!(operations, ["batch", "get_contact"]);
}

#[tokio::test]
async fn an_account_is_described_and_examined() {
    let server = sandbox(account()).await;
    let crm = connected(&server.url(), &[]);
    let catalog = crm.describe().await.unwrap();
    assert_eq!(catalog.user("PETRO P.").unwrap().unwrap().id, "petro");
    assert!(!catalog.user("ivan").unwrap().unwrap().active);
    assert_eq!(catalog.pipeline("Sales").unwrap().unwrap().stage("won").unwrap().name, "Won");
    assert!(catalog.deal_field("utm").is_ok() && catalog.contact_field("utm").is_err());
    server.set_account(None);
    assert_eq!(crm.describe().await.unwrap(), leadfold::crm::catalog::Catalog::default());

    let nobody = [Sought::Phone("+12025550143".into())];
    let examination = examine(&*crm, &nobody, Duration::from_secs(5)).await;
    assert!(examination.reached.answer.is_ok() && examination.searches.len() == 1, "nobody is read by id");
    server.set_faults(Faults { unauthorised: true, ..Faults::default() });
    let examination = examine(&*crm, &nobody, Duration::from_secs(5)).await;
    assert!(matches!(examination.reached.answer, Err(CrmError::Unauthorised { .. })));
    assert!(examination.catalog.is_none() && examination.searches.is_empty());
    server.set_faults(Faults { latency_ms: leadfold::sandbox::Latency::Fixed(5_000), ..Faults::default() });
    let began = Instant::now();
    let examination = examine(&*crm, &nobody, Duration::from_millis(100)).await;
    let CrmError::Retry { why, .. } = examination.reached.answer.unwrap_err() else { panic!("not a wait") };
    assert!(why.contains("100ms") && began.elapsed() < Duration::from_secs(2), "{why}");
    assert_eq!(examination.reached.exchanges[0].milliseconds, None, "it was under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_shows_what_there_is_and_writes_nothing() {
    let server = sandbox(account()).await;
    let crm = connected(&server.url(), &[]);
    let contact = ContactFields {
        name: Some("Olena".into()),
        phones: vec!["+380671234567".into()],
        ..ContactFields::default()
    };
    crm.write(&[alone(&step(Action::CreateContact { contact }))], &Recorder::default()).await;
    let before = server.stats();

    let folder = Folder::new(&destination("crm", server.addr()), "[olha, petro]", MAPPING);
    let (code, out, err) = folder.run(&["doctor", "--phone", "067 123-45-67", "--verbose"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for part in [
        "reach      ok",
        "olha, Petro P. (petro)",
        "not active any more: ivan",
        "Sales: New → Won",
        "of contacts: telegram_chat",
        "by phone +380671234567: ok",
        "contact 1 «Olena»: «+380671234567» is the same after cleaning",
        "by id, for contact 1: ok",
        "→ search: GET /contacts?phone=%2B380671234567",
        "← 200 in",
        "names of the mappings are in the lists",
        "1 destination, nothing to fix",
    ] {
        assert!(out.contains(part), "it does not say {part}:\n{out}");
    }
    assert!(!out.contains(SECRET) && !out.contains('\u{1b}'), "{out}");

    let (code, result) = folder.json(&["doctor", "crm"]);
    let crm = &result["destinations"][0];
    assert_eq!((code, &crm["name"], &crm["settle_ms"]), (0, &json!("crm"), &json!(3_000)));
    assert_eq!(
        crm["catalog"]["lists"]["users"][2],
        json!({"id": "ivan", "name": "ivan", "login": null, "active": false})
    );
    assert_eq!(
        (&crm["searches"][0]["contacts"], &crm["searches"][0]["exchanges"]),
        (&json!([]), &Value::Null)
    );
    assert_eq!((&crm["guarantees"]["create deal"], &crm["problems"]), (&json!("findable"), &json!([])));
    assert_eq!(result["to_fix"], json!([]));
    let after = server.stats();
    assert_eq!((before.contacts, before.deals), (after.contacts, after.deals));
    let writes = |stats: &leadfold::sandbox::Stats| {
        stats.calls.iter().filter(|(call, _)| !call.starts_with("GET")).map(|(_, count)| count).sum::<u64>()
    };
    assert_eq!(writes(&before), writes(&after), "{:?}", after.calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_does_not_answer_does_not_keep_the_others() {
    let server = sandbox(account()).await;
    let (deaf, gone) = (canned(None), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let destinations = [
        destination("crm", server.addr()),
        destination("deaf", deaf),
        destination("gone", gone),
        destination("locked", server.addr()).replace(SECRET, "not-the-token"),
        destination("odd", server.addr()).replace("timeout", "rate: fast, timeout"),
    ];
    let folder = Folder::new(&destinations.join("\n"), "[olha]", MAPPING);
    let began = Instant::now();
    let (code, out, _) = folder.run(&["doctor"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(code, 1, "{out}");
    for part in [
        "reach      ok",
        "1. deaf: it cannot be reached: list_users: no answer within 700ms",
        "2. gone: it cannot be reached: list_users: no connection to 127.0.0.1",
        "look whether the CRM is up and `url` of `gone` leads to it",
        "3. locked: it does not let us in: list_users: the CRM answered 401",
        "look at the credentials of `locked`",
        "4. odd: destination `odd`: setting `rate` is `fast`",
        "5 destinations, 4 things to fix",
    ] {
        assert!(out.contains(part), "it does not say {part}:\n{out}");
    }
    let (code, result) = folder.json(&["doctor", "crm", "gone"]);
    assert_eq!((code, result["to_fix"].as_array().map(Vec::len)), (1, Some(1)), "{result}");
    let (code, _, err) = folder.run(&["doctor", "lockd"]);
    assert_eq!(code, 2);
    assert!(err.contains("'lockd'") && err.contains("Did you mean 'locked'?"), "{err}");
    let (code, _, err) = folder.run(&["doctor", "crm", "--phone", "12"]);
    assert_eq!(code, 2);
    assert!(err.contains("'12' is no phone") && err.contains("--region"), "{err}");

    let nothing = Folder::new(
        "",
        "[olha]",
        "source: { preset: sendpulse, token: demo }\nleads: [{ name: a, to: [] }]\n",
    );
    let (code, out, _) = nothing.run(&["doctor"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("`to` names no destination") && out.contains("0 destinations"), "{out}");

    // `check` names the setting, passes over who does not answer, and insists when it is told to.
    let (code, out, _) = folder.run(&["check"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("workspace.yaml:6:3") && out.contains("setting `rate` is `fast`"), "{out}");
    assert!(
        out.contains("gone: names are not compared with the CRM") && out.contains("crm: 4 names compared"),
        "{out}"
    );
    let folder = Folder::new(&destination("crm", gone), "[olha]", MAPPING);
    assert_eq!(folder.run(&["check"]).0, 0);
    let (code, result) = folder.json(&["check", "--online"]);
    assert_eq!((code, &result["destinations"][0]["names_compared"]), (1, &Value::Null), "{result}");
    let (code, result) = folder.json(&["check", "--offline"]);
    assert_eq!((code, &result["destinations"]), (0, &json!([])), "nobody was asked");
    assert_eq!(folder.run(&["check", "--offline", "--online"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_crm_does_not_have_are_found_before_a_lead_is() {
    let server = sandbox(account()).await;
    let mapping = MAPPING.replace("stage: New", "stage: Nwe").replace("telegram_chat:", "telegran_chat:");
    let folder = Folder::new(&destination("crm", server.addr()), "[olga, ivan, petro]", &mapping);
    let (code, result) = folder.json(&["check"]);
    let told: Vec<String> = result["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            format!(
                "{}:{}:{} {}: {}",
                problem["file"].as_str().unwrap(),
                problem["line"],
                problem["column"],
                problem["severity"].as_str().unwrap(),
                problem["message"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "workspace.yaml:4:11 error: there is no user `olga` in `crm`",
            "workspace.yaml:4:17 warning: `ivan` (ivan) is not active in `crm` any more",
            "bots.yaml:9:17 error: contacts of `crm` have no field `telegran_chat`",
            "bots.yaml:10:50 error: there is no stage `Nwe` in pipeline `Sales` of `crm`",
        ]
    );
    assert_eq!((code, &result["errors"], &result["warnings"]), (1, &json!(3), &json!(1)));
    assert_eq!(result["problems"][3]["help"], "did you mean `New`? In the CRM there are New, Won");
    for command in ["check", "doctor"] {
        let (code, out, _) = folder.run(&[command]);
        assert_eq!(code, 1, "{out}");
        for part in ["bots.yaml:10:50", "did you mean `New`?", "stage: Nwe", "workspace.yaml:4:17"] {
            assert!(out.contains(part), "{command} does not say {part}:\n{out}");
        }
    }
    // What is wrong in the CRM alone is no problem of the files.
    let (code, result) = folder.json(&["check", "--offline"]);
    assert_eq!((code, &result["problems"]), (0, &json!([])));
    server.set_account(None);
    let (code, out, _) = folder.run(&["check"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("crm: the CRM lists nothing that names could be compared with"), "{out}");
    // A user who left is a warning, which does not fail a check.
    server.set_account(serde_json::from_value(account()).unwrap());
    let folder =
        Folder::new(&destination("crm", server.addr()), "{ owners: [petro], fallback: ivan }", MAPPING);
    let (code, result) = folder.json(&["doctor"]);
    assert_eq!(
        (code, result["destinations"][0]["problems"].as_array().map(Vec::len)),
        (0, Some(1)),
        "{result}"
    );
}

#[test]
fn a_crm_that_answers_nonsense_is_shown_with_its_answer() {
    let stranger = r#"{"items": [{"id": 5, "name": "Somebody", "phones": ["+380501112233"], "emails": [], "fields": {}}]}"#;
    let folder = Folder::new(&destination("crm", canned(Some(stranger))), "[olha]", MAPPING);
    let (code, out, _) = folder.run(&["doctor"]);
    assert_eq!(code, 1, "{out}");
    for part in [
        "reach      ok",
        "lists      FAILED",
        "→ get_account: GET /account",
        "← 200 in",
        "{\"id\":5,\"name\":\"Somebody\"",
        "nobody, as it should be; the CRM also gave 1 contact of somebody else",
        "its lists cannot be read",
        "look at the request and the answer above",
        "1 destination, 1 thing to fix",
    ] {
        assert!(out.contains(part), "it does not say {part}:\n{out}");
    }
    let (code, out, _) = folder.run(&["doctor", "--phone", "050 111 22 33"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("it cannot be searched by phone +380501112233"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_the_crm_refuses_waits_for_a_person_and_holds_nobody_up() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, crate::rig::MAPPING).await;
    let account = json!({
        "users": [{"id": "anna"}, {"id": "borys"}, {"id": "dana"}],
        "pipelines": [{"name": "Main", "stages": ["New", "Won"]}],
        "contact_fields": ["telegram_chat", "instagram_chat"],
    });
    rig.sandbox.set_account(Some(serde_json::from_value(account).unwrap()));
    rig.boot().await;
    let start = now_millis();
    let bodies: Vec<Value> = (0..12)
        .map(|number| {
            let service = ["telegram", "viber", "instagram"][number % 3];
            let phone = format!("+38067{:07}", 1_200_003 + number * 16_411);
            let at = start + i64::try_from(number).unwrap();
            event(&format!("chat-{number}"), service, json!({ "phone": phone }), at)
        })
        .collect();
    rig.post_all(&bodies, 6).await;
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!(
        (counts.synced, counts.needs_attention),
        (8, 4),
        "those of Viber, whose field it does not have"
    );
    let stats = rig.stats();
    assert_eq!((stats.contacts, stats.deals, stats.duplicate_contacts), (8, 8, 0));
    let why = rig.sql("SELECT DISTINCT why FROM syncs WHERE state = 'needs-attention'").await;
    let why: Value = serde_json::from_str(&why[0][0]).unwrap();
    assert_eq!(why["code"], "crm_rejected");
    let text = why["text"].as_str().unwrap();
    for part in [
        "'crm' refuses to create contact",
        "422",
        "a contact has no field `viber_chat`",
        "Correct it in the CRM",
        "leadfold replay",
    ] {
        assert!(text.contains(part), "it does not say {part}: {text}");
    }
    rig.end().await;
}

/// A bot has no lists and nobody to search: it is asked who it is, and its operations are named with what protects them.
#[test]
fn a_bot_is_asked_who_it_is_and_says_what_it_can_do() {
    let me = r#"{"ok":true,"result":{"username":"polynia_shop_bot","first_name":"Polynia"}}"#;
    let address = canned(Some(me));
    let token = "123456:AAs3cret";
    let bot = format!("  tg: {{ bot: telegram, token: \"{token}\", url: \"http://{address}\" }}");
    let mapping = "source: { preset: json, token: demo }\nleads:\n  - name: all\n    calls: [ { to: tg, send_message: Hi } ]\n";
    let folder = Folder::new(&bot, "[olha]", mapping);

    let (code, out, err) = folder.run(&["doctor", "tg", "--verbose"]);
    assert_eq!(code, 0, "{out}{err}");
    for words in [
        "live: it is called",
        "telegram:*",
        "send_message: writes to the person",
        "send_message, request_contact: cannot be looked up",
        "@polynia_shop_bot (Polynia) at 127.0.0.1",
        "→ ping: POST /getMe",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    for words in ["search", "lists", "deal", "s3cret"] {
        assert!(!out.contains(words), "{words}: {out}");
    }

    let (code, json) = folder.json(&["doctor"]);
    let destination = &json["destinations"][0];
    assert_eq!((code, &destination["catalog"], &destination["searches"]), (0, &Value::Null, &json!([])));
    assert_eq!(destination["operations"][0]["name"], "send_message");
    assert_eq!(destination["operations"][0]["repeatable"], false);
    assert_eq!(destination["lacks"], json!([]));

    let (code, out, err) = folder.run(&["check"]);
    assert!(code == 0 && !out.contains("compared"), "{out}{err}");
}
