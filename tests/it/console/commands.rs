//! `leadfold users`, `tokens` and `actions` as their user types them.

use std::io::Write as _;
use std::process::Stdio;

use leadfold::sandbox::Faults;
use serde_json::Value;

use super::{Browser, PASSWORD, TOKEN};
use crate::commands::{leadfold, read};
use crate::rig::{IMPATIENT, MAPPING, Rig};

/// Runs a command with something on its standard input.
fn run(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> (i32, String, String) {
    let mut command = leadfold(arguments);
    command
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that fails before it reads does not take it.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    read(child.wait_with_output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_added_before_and_while_a_server_runs() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some(TOKEN);
    let database = rig.database();
    let environment =
        [("LEADFOLD_DATABASE", database.as_str()), ("LEADFOLD_API_TOKEN", TOKEN), ("USER", "anna")];
    let leadfold = |arguments: &[&str], input: &str| {
        // The server answers on another thread of the test.
        tokio::task::block_in_place(|| run(arguments, &environment, input))
    };
    let add = ["users", "add", "Olena", "--role", "admin", "--password-stdin"];
    let (code, out, err) = leadfold(&add, &format!("{PASSWORD}\n"));
    assert_eq!((code, out.as_str()), (0, "olena is added as admin, and can sign in.\n"), "{err}");
    rig.boot().await;
    let browser = Browser::new(&rig);
    browser.sign_in("olena", PASSWORD).await.is(303);
    browser.get("/access").await.is(200).says("olena");

    let (code, _, err) = leadfold(&add, PASSWORD);
    assert!(code == 2 && err.contains("has this name already"), "{err}");
    let (code, _, err) =
        leadfold(&["users", "add", "petro", "--role", "viewer", "--password-stdin"], "short\n");
    assert!(code == 2 && err.contains("at least 12 characters"), "{err}");
    let (code, _, err) = leadfold(&["users", "add", "petro", "--role", "viewer"], PASSWORD);
    assert!(code == 2 && err.contains("--password-stdin"), "{err}");
    let (code, _, err) = leadfold(&["users", "add", "a b", "--role", "viewer"], "");
    assert!(code == 2 && err.contains("a name is 1 to 64 letters"), "{err}");
    let (code, out, err) = leadfold(&["users", "role", "olena", "viewer"], "");
    assert_eq!((code, out.as_str()), (0, "olena has the role viewer now.\n"), "{err}");
    browser.get("/").await.is(200).says("olena · viewer");
    let (code, out, _) = leadfold(&["users", "list"], "");
    assert!(code == 0 && out.starts_with("olena  viewer    since "), "{out}");
    let (code, out, err) =
        leadfold(&["users", "password", "olena", "--password-stdin"], "another horse battery\n");
    assert!(code == 0 && out.contains("new password"), "{err}");
    assert_eq!(browser.get("/").await.status, 303);
    let (code, _, err) = leadfold(&["users", "remove", "olena"], "");
    assert!(code == 2 && err.contains("--yes"), "{err}");
    assert_eq!(leadfold(&["users", "remove", "olena", "--yes"], "").0, 0);
    assert_eq!(leadfold(&["users", "list", "--json"], "").1, "{\"users\":[]}\n");
    assert_eq!(leadfold(&["users", "list"], "").0, 1);

    let (code, token, err) = leadfold(&["tokens", "add", "crm-export", "--role", "viewer"], "");
    assert_eq!(code, 0, "{err}");
    let token = token.trim_end();
    assert_eq!(rig.get_as(Some(token), "/api/leads").await.0, 200);
    let (code, out, _) = leadfold(&["tokens", "list"], "");
    assert!(code == 0 && out.contains("crm-export") && !out.contains(token), "{out}");
    assert_eq!(leadfold(&["tokens", "remove", "crm-export", "--yes"], "").0, 0);
    assert_eq!(rig.get_as(Some(token), "/api/leads").await.0, 401);

    let (code, out, _) = leadfold(&["actions", "--json", "--limit", "100"], "");
    let log: Value = serde_json::from_str(&out).unwrap();
    let actions = log["actions"].as_array().unwrap();
    assert_eq!(code, 0);
    let first = actions.last().unwrap();
    assert_eq!((&first["who"], &first["through"]), (&Value::from("anna"), &Value::from("command")));
    // Through the server, whoever has its token did it.
    assert_eq!(
        (&actions[0]["who"], &actions[0]["through"]),
        (&Value::from("start token"), &Value::from("api"))
    );
    assert!(!out.contains(PASSWORD) && !out.contains(token), "{out}");
    let (code, out, _) = leadfold(&["actions", "--who", "anna"], "");
    assert!(code == 0 && out.contains("anna (admin, command)  /api/users/add"), "{out}");
    assert_eq!(leadfold(&["actions", "--who", "nobody"], "").0, 1);
    rig.end().await;
}
