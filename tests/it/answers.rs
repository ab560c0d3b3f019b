//! What commands answer: exit codes, JSON for programs, words for people.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::commands::{Folder, Running, leadfold, read, run};
use crate::rig::PATIENCE;

/// Stored leads, a sandbox CRM that has them, and edited files. Exit codes 0, 1 and 2 of each command, and its JSON.
#[test]
fn every_command_ends_as_its_help_says_and_programs_can_read_it() {
    let folder = Folder::new();
    let sandbox = Running::start(leadfold(&["sandbox", "--listen", "127.0.0.1:0", "--json"]), "\"url\":");
    let crm = format!("http://{}", sandbox.address);
    let here = |arguments: &[&str]| {
        let mut command = leadfold(arguments);
        command
            .env("LEADFOLD_WORKSPACE", folder.path("mappings"))
            .env("LEADFOLD_DATABASE", format!("sqlite://{}", folder.path("data/leadfold.db")))
            .env("SANDBOX_URL", &crm);
        command
    };
    let (code, _, err) = read(here(&["explain", "0674185206", "--json"]).output().unwrap());
    assert_eq!((code, err.contains("start `leadfold serve` once")), (2, true), "{err}");
    let server = Running::start(here(&["serve", "--listen", "127.0.0.1:0"]), "receives on");
    let body = std::fs::read_to_string(folder.path("fixtures/sendpulse/01_new_lead_telegram.json")).unwrap();
    assert!(server.post("/in/sendpulse/demo", &body).starts_with("HTTP/1.1 200"));
    let deadline = Instant::now() + PATIENCE;
    while read(here(&["explain", "0674185206"]).output().unwrap()).0 != 0 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.terminate().0, 0);

    let check = |arguments: &[&str], code: i32, key: &str| {
        let (ended, out, err) = read(here(arguments).output().unwrap());
        assert_eq!(ended, code, "{arguments:?}: {out}{err}");
        if code == 2 {
            assert_eq!(out, "", "{arguments:?}");
            assert!(
                err.starts_with("error: ") && err.contains(key),
                "{arguments:?} does not say {key}: {err}"
            );
            return;
        }
        assert_eq!(err, "", "{arguments:?}");
        let answer: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"));
        assert!(answer.pointer(key).is_some(), "{arguments:?} has no {key}: {out}");
    };
    for (arguments, key) in [
        (&["check", "--json"][..], "/problems"),
        (&["test", "--json"][..], "/tests/0/passed"),
        (&["doctor", "--json"][..], "/destinations/0/reached"),
        (&["rehearse", "--json"][..], "/rehearsal/same"),
        (&["schema", "workspace"][..], "/$schema"),
        (&["apply", "--json"][..], "/version"),
        (&["versions", "--json"][..], "/versions/0/hash"),
        (&["versions", "diff", "active", "files", "--json"][..], "/changed"),
        (&["explain", "0674185206", "--json"][..], "/0/id"),
        (&["replay", "--state", "synced", "--replan", "--dry-run", "--json"][..], "/preview/count"),
        (&["live", "crm", "--json"][..], "/held/count"),
        (&["pools", "--json"][..], "/pools/0/owners"),
        (&["normalise", "email", "a@example.com"][..], "/match_key"),
    ] {
        check(arguments, 0, key);
    }
    folder.edit("Заявка з {{ bot.name }}", "Новий лід з {{ bot.name }}");
    for (arguments, key) in [
        (&["test", "--json"][..], "/tests/0/failure"),
        (&["rehearse", "--json"][..], "/rehearsal/groups/0"),
        (&["versions", "diff", "active", "files", "--json"][..], "/changed/0/diff"),
        (&["explain", "nobody@example.com", "--json"][..], ""),
        (&["replay", "--cause", "crm_rejected", "--resume", "--yes", "--json"][..], "/preview"),
    ] {
        check(arguments, 1, key);
    }
    folder.edit("preset: leadbox", "preset: leedbox");
    for (arguments, code, key) in [
        (&["check", "--json"][..], 1, "/problems/0/line"),
        (&["test", "--json"][..], 1, "/problems/0/line"),
        (&["apply", "--json"][..], 1, "/problems/0/line"),
        (&["doctor", "--json"][..], 1, "/workspace_errors/0/line"),
        (&["rehearse", "--json"][..], 2, "did you mean `leadbox`?"),
        (
            &["rehearse", "--source", "shop", "--workspace", "mappings"][..],
            2,
            "no source 'shop'; it has abandoned-cart, botmother",
        ),
        (&["versions", "diff", "active", "nope"][..], 2, "`leadfold versions` lists them"),
        (&["replay", "17", "--resume"][..], 2, "this is no id of a lead"),
        (&["replay", "--resume", "--server", "localhost"][..], 2, "write http://host:port"),
        (&["live", "shop"][..], 2, "no destination 'shop'; it has botmother"),
        (&["pools", "shop"][..], 2, "no owner pool 'shop'; it has kyiv-sales"),
        (&["doctor", "shop"][..], 2, "no usable destination 'shop'; it has botmother"),
        (&["explain", ""][..], 2, "a value is required"),
        (&["explain", "1", "--region", "UKR"][..], 2, "two letters, such as UA"),
        (&["normalise", "phone", "1", "--region", "UKR"][..], 2, "two letters, such as UA"),
        (&["init", &folder.path("mappings")][..], 2, "--force"),
        (&["test", "--workspace", &folder.path("data")][..], 2, "`leadfold init`"),
    ] {
        check(arguments, code, key);
    }
    assert_eq!(sandbox.terminate().0, 0);
    let (code, out, _) = read(here(&["doctor", "--json"]).output().unwrap());
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, answer["to_fix"][0]["destination"].as_str()),
        (1, Some("crm")),
        "it cannot be reached: {out}"
    );
}

#[test]
fn a_database_that_is_none_is_named_with_what_to_do() {
    let folder = Folder::new();
    let (junk, void) = (folder.path("junk.db"), folder.path("void.db"));
    std::fs::write(&junk, "no database at all".repeat(100)).unwrap();
    std::fs::write(&void, "").unwrap();
    for (database, says) in [
        (format!("sqlite://{junk}"), "junk.db"),
        (format!("sqlite://{void}"), "holds nothing of leadfold's: start `leadfold serve` on it once"),
        ("leadfold.db".to_owned(), "neither sqlite://FILE nor postgres://"),
        ("postgres://user:geheim@127.0.0.1:no/x".to_owned(), "postgres://user:password@host/name"),
    ] {
        let (code, out, err) = run(&["versions", "--database", &database]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.starts_with("error: ") && err.contains(says), "{database}: {err}");
        assert!(!err.contains("geheim"), "{err}");
    }
}

#[test]
fn the_shell_completes_what_the_script_says() {
    let script = "source <(\"$0\" completions bash); COMP_WORDS=(leadfold replay --state ne); COMP_CWORD=3; \
                  _leadfold leadfold ne --state; echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_leadfold")]).output().unwrap();
    assert_eq!(read(bash), (0, "needs-attention\n".to_owned(), String::new()));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = run(&["completions", shell]);
        assert_eq!((code, out.contains("rehearse")), (0, true), "{shell}");
    }
}

#[test]
fn an_answer_that_is_lost_is_a_failure_and_a_reader_that_has_enough_is_none() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = leadfold(&["schema", "mapping"]).stdout(writer).output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
    // The device that is always full is Linux's.
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let (code, _, err) = read(leadfold(&["schema", "mapping"]).stdout(full).output().unwrap());
        assert_eq!((code, err.contains("standard output cannot be written")), (2, true), "{err}");
    }
}

#[test]
fn help_says_what_exit_codes_mean() {
    let (code, out, _) = run(&["--help"]);
    let codes: Vec<&str> = out.lines().skip_while(|line| *line != "Exit codes:").skip(1).take(4).collect();
    assert_eq!(code, 0);
    assert!(
        codes[0].starts_with("  0  ") && codes[1].starts_with("  1  ") && codes[3].starts_with("  2  "),
        "{out}"
    );
    let (code, _, err) = run(&[]);
    assert_eq!((code, err.contains("Every day:")), (2, true), "without a command it shows the same: {err}");
}
