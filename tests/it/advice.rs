//! What a command says that cannot do what it was asked: what is wrong, where, and what to do next.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::commands::{Folder, leadfold, run};

#[test]
fn values_that_cannot_be_read_are_answered_with_what_is_allowed() {
    let check = |arguments: &[&str], expect: &str| {
        let (code, _, said) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(expect), "{arguments:?}: {said}");
    };
    for command in ["serve", "ready", "sandbox"] {
        check(&[command, "--listen", "localhost"], "write an IP address and a port, such as 127.0.0.1:8080");
    }
    check(&["ready", "--wait", "1m"], "write whole seconds, from 0 to 4294967295");
    check(&["serve", "--drain=-1"], "whole seconds");
    for command in ["sandbox", "torture"] {
        check(&[command, "--seed", "0x7"], "write a whole number, from 0 to 18446744073709551615");
    }
}

#[test]
fn a_file_that_is_no_database_is_named_with_the_option_that_names_another() {
    let folder = Folder::new();
    let file = folder.path("notes.txt");
    std::fs::write(&file, "Call Olena back. ".repeat(1_000)).unwrap();
    let url = format!("sqlite://{file}");
    let check = |arguments: &[&str], option: &str, none: &str| {
        let (code, _, said) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(&file) && said.contains(option), "{arguments:?}: {said}");
        assert!(!said.contains(none), "{arguments:?}: {said}");
    };
    check(&["migrate", "--database", &url], "--database", "--from");
    check(&["migrate", "--check", "--database", &url], "--database", "--from");
    let to = "postgres://127.0.0.1:1/leads";
    check(&["move", "--from", &url, "--to", to], "--from", "--database");
    check(&["move", "--undo", "--yes", "--from", &url], "--from", "--database");
    let missing = format!("{url}.db");
    check(&["move", "--from", &missing, "--to", to], "--from", "--database");
    let (_, _, said) = run(&["move", "--from", "mysql://x", "--to", to]);
    assert!(said.contains("--from 'mysql' is neither"), "{said}");
}

#[test]
fn a_server_that_waits_for_its_database_says_so_at_once() {
    // Nobody listens on this port.
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--database", "postgres://me:s3cret@127.0.0.1:1/leads"];
    let mut server = leadfold(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut log = BufReader::new(server.stderr.as_mut().unwrap());
    while !said.contains("waiting for PostgreSQL") {
        assert!(log.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(said.contains("127.0.0.1:1/leads") && said.contains("refused"), "{said}");
    assert!(!said.contains("s3cret") && !said.contains("cannot be opened"), "{said}");
}

#[test]
fn who_is_not_ready_says_what_to_do_next() {
    let (code, said, _) = run(&["ready", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("does not answer") && said.contains("Look whether `leadfold serve` runs"),
        "{said}"
    );
}
