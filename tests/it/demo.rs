//! The stories of the demo: they come out, the same each time, and one that does not is named. A database that fails ends it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::commands::{Folder, leadfold, read, run};
use crate::rig::PATIENCE;

/// Exit code, and the stories by system.
fn stories(arguments: &[&str]) -> (i32, Vec<Value>) {
    let (code, out, err) = run(&[&["demo", "--once", "--json"], arguments].concat());
    let result: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{err}"));
    (code, result["stories"].as_array().unwrap().clone())
}

fn systems(stories: &[Value]) -> Vec<&str> {
    stories.iter().map(|story| story["system"].as_str().unwrap()).collect()
}

const SYSTEMS: [&str; 5] = ["SendPulse", "Mindbox, Botmother", "Chatterfy", "Metabot", "eSputnik"];

#[test]
fn one_story_of_each_system_comes_out_the_same_each_time() {
    let (code, first) = stories(&[]);
    assert_eq!((code, systems(&first)), (0, SYSTEMS.to_vec()), "{first:#?}");
    for story in &first {
        assert_eq!(story["as_it_should_be"], true, "{story:#}");
        assert!(story["came"].as_array().is_some_and(|came| came.len() >= 2), "{story:#}");
    }
    // With the built-in mappings too.
    let folder = Folder::new();
    let mut demo = leadfold(&["demo", "--once", "--json"]);
    let (code, out, err) = read(demo.current_dir(folder.path("fixtures")).output().unwrap());
    let second: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &second["stories"]), (0, &json!(first)), "{err}");
}

#[test]
fn a_story_that_comes_out_otherwise_is_named_and_the_others_are_told() {
    for (file, from, to, system, says) in [
        ("sendpulse.yaml", "set_tag: CRM", "set_tag: Somebody", 0, "tag CRM set in 0 chats"),
        ("abandoned-cart.yaml", "has_page == true", "has_page == 'sure'", 1, "trigger: "),
        ("chatterfy-postback.yaml", "on: resale#2", "on: resale#3", 2, "stepId Flow RD / 2rd"),
        (
            "order-shipped.yaml",
            "script_code: order_shipped",
            "script_code: order_lost",
            3,
            "script order_lost",
        ),
        ("esputnik.yaml", "bot: telegram:telegram", "bot: telegram:another", 4, "chat 700000101: active"),
    ] {
        let folder = Folder::new();
        let (path, mappings) = (folder.path(&format!("mappings/{file}")), folder.path("mappings"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let (code, told) = stories(&["--workspace", &mappings]);
        assert_eq!((code, systems(&told)), (1, SYSTEMS.to_vec()), "{file}");
        for (number, story) in told.iter().enumerate() {
            assert_eq!(story["as_it_should_be"], number != system, "{file}: {story:#}");
        }
        assert!(told[system]["came"].to_string().contains(says), "{file}: {:#}", told[system]);
        assert!(told[system]["should"].is_array());
    }
}

#[test]
fn in_words_it_is_a_table_and_a_wrong_story_says_what_was_expected() {
    let folder = Folder::new();
    let mappings = folder.path("mappings");
    fs::remove_file(folder.path("mappings/chatterfy-postback.yaml")).unwrap();
    let path = folder.path("mappings/order-shipped.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("to: metabot", "when: \"{{ crm.deal }}\"\n        to: metabot")).unwrap();
    let (code, out, err) = run(&["demo", "--once", "--workspace", &mappings]);
    assert_eq!(code, 1, "{out}{err}");
    for part in [
        "\nsystem              what happened",
        "\nMindbox, Botmother  a link in a mailing",
        "The story of Metabot did not come out as it should. Expected:\n  link: bound, web user 10045\n",
    ] {
        assert!(out.contains(part), "{part}:\n{out}");
    }
    assert!(!out.contains("Chatterfy"), "its mapping is not there:\n{out}");
}

/// What a limit on the size of files does is what a full disk does.
#[test]
fn a_database_that_takes_no_writes_any_more_ends_it() {
    let folder = Folder::new();
    let place = folder.path("tmp");
    fs::create_dir(&place).unwrap();
    // The signal that comes with the limit would end the process before it sees the error. The CRM is slow, so that there is
    // something left to do.
    let script = "trap '' XFSZ; exec \"$0\" demo --once --latency-ms 300";
    let mut demo = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_leadfold")])
        .env("TMPDIR", &place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(demo.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("leadfold on "), "{said}");
    let limit = Command::new("prlimit").args(["--pid", &demo.id().to_string(), "--fsize=65536"]).status();
    assert!(limit.unwrap().success());
    let began = Instant::now();
    while demo.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            demo.kill().ok();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, out, err) = read(demo.wait_with_output().unwrap());
    assert_eq!(code, 2, "{out}{err}");
    assert!(err.contains("error: ") && err.contains("set TMPDIR to another folder"), "{err}");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "nothing is left behind");
}
