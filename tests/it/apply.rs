//! `leadfold apply`, `leadfold versions` and the hang-up signal, as their user types them.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::commands::{Folder, Running, leadfold, read};

/// A workspace with a database of its own.
struct Place(Folder);

impl Place {
    fn new() -> Self {
        Self(Folder::new())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = leadfold(arguments);
        command
            .env("LEADFOLD_WORKSPACE", self.0.path("mappings"))
            .env("LEADFOLD_DATABASE", format!("sqlite://{}", self.0.path("data/leadfold.db")));
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        read(self.command(arguments).output().unwrap())
    }

    fn serve(&self, more: &[&str]) -> Running {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--api-token", "s3cret"];
        Running::start(self.command(&[&arguments[..], more].concat()), "receives on")
    }

    fn active(&self) -> String {
        let (_, listed, _) = self.run(&["versions", "--json"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let mut active =
            listed["versions"].as_array().unwrap().iter().filter(|row| !row["active_since"].is_null());
        active.next().unwrap()["hash"].as_str().unwrap().to_owned()
    }
}

/// `/readyz` until it says this.
fn until_ready(server: &Running, expect: impl Fn(&str) -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = server.get("/readyz");
        if expect(&answer) {
            return;
        }
        assert!(Instant::now() < end, "{answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn apply_goes_through_the_server_that_runs_and_versions_tell_of_it() {
    let place = Place::new();
    let (code, _, said) = place.run(&["versions"]);
    assert_eq!((code, said.contains("start `leadfold serve` once")), (2, true), "{said}");

    let server = place.serve(&["--follow-files", "false"]);
    let first = place.active();
    let (code, said, _) = place.run(&["apply", "--api-token", "s3cret"]);
    assert_eq!((code, said.contains("is active already")), (0, true), "{said}");

    place.0.edit("Заявка з {{ bot.name }}", "Новий лід з {{ bot.name }}");
    place.0.edit("title: Заявка з Polynia Shop", "title: Новий лід з Polynia Shop");
    let (code, said, _) = place.run(&["apply", "--dry-run", "--api-token", "s3cret"]);
    assert_eq!(
        (code, said.contains("+    deal: { title: \"Новий лід з {{ bot.name }}\"")),
        (1, true),
        "{said}"
    );
    assert_eq!(place.active(), first, "a dry run changes nothing");
    let (code, _, said) = place.run(&["apply"]);
    assert_eq!((code, said.contains("wants a token")), (2, true), "{said}");
    let (code, said, _) = place.run(&["apply", "--api-token", "s3cret"]);
    assert_eq!((code, said.contains("is active now instead of")), (0, true), "{said}");
    let second = place.active();
    assert_ne!(first, second);
    until_ready(&server, |answer| answer.ends_with("{\"ready\":true}"));

    let (code, said, _) = place.run(&["versions"]);
    assert_eq!(code, 0);
    assert!(
        said.contains(&format!("* {}", &second[..12])) && said.contains(&format!("  {}", &first[..12])),
        "{said}"
    );
    let (code, said, _) = place.run(&["versions", "diff", &first[..6], "active"]);
    assert_eq!((code, said.contains("-    deal: { title: \"Заявка з {{ bot.name }}\"")), (1, true), "{said}");
    let (code, said, _) = place.run(&["versions", "diff", "active", "files"]);
    assert_eq!((code, said.as_str()), (0, "They are the same.\n"));
    let (code, _, said) = place.run(&["versions", "diff", "nope", "active"]);
    assert_eq!((code, said.contains("no version begins with 'nope'")), (2, true), "{said}");
    assert_eq!(server.terminate().0, 0);
}

#[test]
fn what_is_wrong_is_not_applied() {
    let place = Place::new();
    assert_eq!(place.serve(&[]).terminate().0, 0);
    let first = place.active();
    place.0.edit("title: Заявка з Polynia Shop", "title: щось інше");
    let (code, said, _) = place.run(&["apply"]);
    assert_eq!((code, said.contains("0 errors, 1 failed test: nothing is changed")), (1, true), "{said}");
    place.0.edit("to: [crm]", "to: [crn]");
    let (code, said, _) = place.run(&["apply", "--json"]);
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &answer["applied"], &answer["errors"]),
        (1, &Value::Bool(false), &Value::from(1)),
        "{said}"
    );
    assert_eq!(place.active(), first);
}

/// A command needs no secrets; a server that lacks one stands by.
#[test]
fn secrets_that_are_missing_stop_the_server_and_not_the_command() {
    let place = Place::new();
    assert_eq!(place.serve(&["--follow-files", "false"]).terminate().0, 0);
    place.0.edit("${SENDPULSE_HOOK_TOKEN:-demo}", "${A_NEW_SECRET}");
    let (code, said, _) = place.run(&["apply"]);
    assert_eq!(
        (code, said.contains("needed wherever `leadfold serve` runs: A_NEW_SECRET")),
        (0, true),
        "{said}"
    );
    let server = place.serve(&["--follow-files", "false"]);
    until_ready(&server, |answer| answer.starts_with("HTTP/1.1 200") && answer.contains("standing by"));
    // The server would refuse such a version, because it is the one that works with it.
    place.0.edit("${A_NEW_SECRET}", "${ANOTHER}");
    let (code, _, said) = place.run(&["apply", "--api-token", "s3cret"]);
    assert_eq!((code, said.contains("`ANOTHER`, which is not set")), (2, true), "{said}");
    let (_, log) = server.terminate();
    assert!(log.contains("neither prepares nor pushes") && log.contains("A_NEW_SECRET"), "{log}");
}

#[test]
fn of_two_who_apply_at_once_none_overwrites_the_other_unseen() {
    let place = Place::new();
    assert_eq!(place.serve(&[]).terminate().0, 0);
    let first = place.active();
    let others: Vec<Place> = (0..4).map(|_| Place::new()).collect();
    let running: Vec<_> = others
        .iter()
        .enumerate()
        .map(|(number, other)| {
            other.0.edit("stage: Нова", &format!("stage: Нова {number}"));
            let mut command = place.command(&["apply", "--workspace", &other.0.path("mappings"), "--json"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut chain = vec![first];
    let mut said = Vec::new();
    for child in running {
        let (code, out, err) = read(child.wait_with_output().unwrap());
        assert!(
            code == 0 || err.contains("somebody applied another one meanwhile") || err.contains("Try again"),
            "{err}"
        );
        if code == 0 {
            said.push(serde_json::from_str::<Value>(&out).unwrap());
        }
    }
    // Each that was applied says in whose place, and no place was taken twice.
    while let Some(next) = said.iter().find(|answer| answer["instead_of"] == chain.last().unwrap().as_str()) {
        chain.push(next["version"].as_str().unwrap().to_owned());
    }
    assert_eq!(chain.len(), said.len() + 1, "{said:?}");
    assert_eq!(chain.last(), Some(&place.active()));
}

#[test]
fn the_hang_up_signal_looks_at_once_and_says_again_what_is_wrong() {
    let place = Place::new();
    let server = place.serve(&[]);
    place.0.edit("to: [crm]", "to: [crn]");
    until_ready(&server, |answer| answer.contains("sendpulse.yaml:"));
    server.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    until_ready(&server, |answer| answer.contains("sendpulse.yaml:"));
    let (code, log) = server.terminate();
    assert_eq!(code, 0);
    assert!(log.contains("asked to look at the workspace again"), "{log}");
    let said = log.matches("there is no destination `crn`").count();
    assert_eq!(said, 2, "once for the edit, once because somebody asked:\n{log}");
}
