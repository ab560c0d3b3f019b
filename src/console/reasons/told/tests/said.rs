//! Whether all that the core says of files and requests is told, and whether it still says what is told.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::console::sources::sources;
use crate::crm::{DESCRIBED, kinds};
use crate::event::{Delivery, PRESETS};
use crate::id::DeliveryId;
use crate::map::{self, Files, Problem};

const WORKSPACE: &str = r#"
destinations:
  crm: { crm: sandbox, url: "http://127.0.0.1:9900", token: demo }
  bot: { bot: sendpulse, client_id: a, client_secret: b }
  events: { bot: botmother, events: { cart: "https://app.botmother.com/api/bot/action/a/b" } }
  dialogs: { bot: chatterfy, postback_id: a, steps: { Flow RD / FD: 046050f6-38f6-4b18-b9fa-e6582f5352d0 } }
  telegram: { bot: telegram, token: "123456:ABC-DEF" }
  hook: { bot: webhook, hosts: [tracker.example] }
  mindbox:
    bot: mindbox
    endpoint_id: a
    secret_key: b
    operations: { by_phone: { needs: [phone], body: { customer: { mobilePhone: "{{ phone }}" } } }, plain: {} }
owner_pools: { kyiv-sales: [olha, petro] }
"#;

fn problems(workspace: &str, name: &str, source: &str) -> Vec<Problem> {
    let files = [("workspace.yaml", workspace), (name, source)];
    let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let presets: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    map::compile(&files, &|_| None, &kinds(), &presets).problems
}

const SOUND: &str = "source: { preset: json, token: t }\nleads: [{ name: a, to: [crm] }]\n";

/// Everything that the checker says of all the wrong workspaces.
fn said() -> Vec<Problem> {
    let mut all = Vec::new();
    let source = |text: &str| problems(WORKSPACE, "bot.yaml", text);
    let entry = |more: &str| {
        source(&format!("source: {{ preset: json, token: t }}\nleads: [{{ name: a, to: [crm], {more} }}]\n"))
    };
    all.extend(wrong::SOURCES.iter().flat_map(|text| source(text)));
    all.extend(wrong::BRANCHES.iter().flat_map(|text| entry(text)));
    all.extend(wrong::VALUES.iter().flat_map(|value| entry(&format!("note: {value}"))));
    for address in wrong::ADDRESSES {
        all.extend(entry(&format!("calls: [ {{ to: hook, request: {{ url: '{address}' }} }} ]")));
    }
    for test in wrong::TESTS {
        all.extend(source(&format!("{SOUND}tests: [{test}]\n")));
    }
    for only_calls in ["after_done: [ { to: bot, set_tag: A } ]", "to: []", "to: [bot]"] {
        let text = format!("source: {{ preset: json, token: t }}\nleads: [{{ name: a, {only_calls} }}]\n");
        all.extend(source(&text));
    }
    let empty = "destinations: {}\n";
    all.extend(problems(empty, "bot.yaml", "source: { preset: json, token: t }\nleads: [{ name: a }]\n"));
    for destination in wrong::DESTINATIONS {
        all.extend(problems(&format!("destinations:\n  x: {destination}\n"), "bot.yaml", SOUND));
    }
    for (from, to) in wrong::INSTEAD {
        assert!(DESCRIBED.contains(from), "{from}");
        all.extend(problems(&DESCRIBED.replacen(from, to, 1), "bot.yaml", SOUND));
    }
    let (without_pools, _) = WORKSPACE.split_once("owner_pools:").unwrap();
    for more in wrong::WORKSPACES {
        all.extend(problems(&format!("{without_pools}\n{more}\n"), "bot.yaml", SOUND));
    }
    for name in wrong::NAMES {
        all.extend(problems(WORKSPACE, name, SOUND));
    }
    let telegram = "source: { preset: telegram, token: t }\nleads: [{ name: a, to: [crm] }]\n";
    let two = format!("{without_pools}  shop: {{ bot: telegram, token: '123456:ABC-DEF' }}\n");
    all.extend(problems(&two, "shop.yaml", telegram));
    let files = Files([("bot.yaml".to_owned(), SOUND.to_owned())].into());
    all.extend(map::compile(&files, &|_| None, &kinds(), &[]).problems);
    let before = Files([("workspace.yaml".to_owned(), WORKSPACE.to_owned())].into());
    for after in ["destinations: { new: {} }\n", "destinations: {}\nalerts: {}\nalerts: {}\n"] {
        let after = Files([("workspace.yaml".to_owned(), after.to_owned())].into());
        all.extend(map::diverted(&before, &after));
    }
    let edited = WORKSPACE.replace("tracker.example", map::HIDDEN).replace("demo", "demo2");
    let edited = Files([("workspace.yaml".to_owned(), edited)].into());
    all.extend(map::diverted(&before, &edited));
    all.extend(map::revealed(&before, &edited, &kinds()).1);
    all
}

/// The shapes that a text is told by, those of sentences in it too; none where it is not told.
fn shapes_of(text: &str) -> BTreeSet<&'static str> {
    let reader = reader();
    let found = TABLES.iter().find_map(|table| {
        table.shapes.iter().find_map(|(shape, sentence)| {
            let holes = holes(shape, text)?;
            put_together(&reader, table, sentence, &holes, DEEPEST)?;
            Some((*shape, holes))
        })
    });
    let Some((shape, holes)) = found else { return BTreeSet::new() };
    let inner = holes.iter().filter(|hole| !hole.is_quoted && hole.text != text);
    inner.flat_map(|hole| shapes_of(hole.text)).chain([shape]).collect()
}

#[test]
fn nothing_that_the_checker_says_stays_english() {
    let mut shapes = BTreeSet::new();
    let mut untold = BTreeSet::new();
    for Problem { message, help, .. } in said() {
        for text in std::iter::once(message).chain(help) {
            let told = shapes_of(&text);
            if told.is_empty() {
                untold.insert(text);
            }
            shapes.extend(told);
        }
    }
    assert!(untold.is_empty(), "without a sentence in Ukrainian: {untold:#?}");
    assert!(shapes.len() > 360, "only {} different sentences: {shapes:#?}", shapes.len());
}

#[test]
fn nothing_that_a_request_is_refused_for_stays_english() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let many = format!("[{}]", vec!["{}"; 1_001].join(","));
    let fields: Vec<String> = (0..5_000).map(|number| format!("f{number}=x")).collect();
    let fields = fields.join("&");
    let bodies = [
        "",
        " ",
        "{",
        "7",
        "[]",
        "{}",
        "[7]",
        "a=b",
        &deep,
        &many,
        &fields,
        r#"{"tokens": []}"#,
        r#"{"tokens": 7}"#,
        r#"{"tokens": [7]}"#,
        r#"{"tokens": [{}]}"#,
        r#"{"tokens": [{"token": "a"}]}"#,
        r#"{"update_id": 7, "message": {"contact": {"phone_number": "7", "user_id": 1}, "from": {"id": 2}, "chat": {"id": -5, "type": "group"}}}"#,
        r#"{"update_id": 7, "message": {"contact": {"phone_number": "7"}, "forward_date": 7, "from": {"id": 2}, "chat": {"id": 2, "type": "private"}}}"#,
        r#"[{"title": "x", "contact": {"id": "a", "phone": "1"}}]"#,
    ];
    let kinds =
        ["", "application/json", "image/png", "multipart/form-data", "multipart/form-data; boundary=x"];
    let mut said = BTreeSet::new();
    for preset in PRESETS {
        for body in bodies {
            for kind in kinds {
                let delivery = Delivery {
                    id: DeliveryId(Uuid::from_u128(7)),
                    source: "bot".to_owned(),
                    method: "POST".to_owned(),
                    query: None,
                    headers: vec![("content-type".to_owned(), kind.to_owned())],
                    body: body.as_bytes().to_vec(),
                    received_at: Timestamp::UNIX_EPOCH,
                };
                match (preset.split)(&delivery) {
                    Ok(events) => {
                        let flaws = events.into_iter().flat_map(|event| event.flaws);
                        said.extend(flaws.map(|flaw| flaw.text));
                    }
                    Err(unreadable) => drop(said.insert(unreadable.0)),
                }
            }
        }
    }
    let untold: Vec<&String> = said.iter().filter(|text| told(text).is_none()).collect();
    assert!(untold.is_empty(), "without a sentence in Ukrainian: {untold:#?}");
    let shapes: BTreeSet<_> = said.iter().flat_map(|text| shapes_of(text)).collect();
    assert!(shapes.len() > 20, "only {shapes:#?}");
}

/// The core, with its texts as they are said.
fn core() -> String {
    let core = sources(&[""]).into_iter().filter(|(path, _)| !path.starts_with("console"));
    let all: String = core.map(|(_, text)| text).collect();
    let pieces = all.split("\\\n").enumerate();
    let joined: String =
        pieces.map(|(place, piece)| if place == 0 { piece } else { piece.trim_start() }).collect();
    plain(&joined.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// However often braces are doubled, for one `format!` or for two.
fn plain(text: &str) -> String {
    let halved = text.replace("{{", "{").replace("}}", "}");
    if halved.len() < text.len() { plain(&halved) } else { halved }
}

/// A sentence that is written anew in the core would stay English; here somebody notices.
#[test]
fn the_core_still_says_it_so() {
    let core = core();
    let mut unsaid = Vec::new();
    for (shape, _) in all_shapes() {
        let pieces = shape.split("{}").flat_map(|piece| piece.split('`'));
        let longest = plain(pieces.max_by_key(|piece| piece.len()).unwrap_or_default());
        let letters: Vec<char> =
            longest.trim_matches(|letter: char| !letter.is_alphabetic()).chars().collect();
        // Some are put together of two in the code: either its beginning or its end stands there.
        let ends = [
            letters.iter().take(12).collect(),
            letters.iter().skip(letters.len().saturating_sub(12)).collect::<String>(),
        ];
        if !ends.iter().any(|end| core.contains(end)) {
            unsaid.push(shape);
        }
    }
    assert!(unsaid.is_empty(), "nothing in the core says {unsaid:#?}");
}
