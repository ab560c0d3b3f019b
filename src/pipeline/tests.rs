//! Events in, leads out: with simple normalisers, so that these tests speak of the composition alone, and with the real
//! ones for the shipped mapping.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::json;

mod chats;
mod evidence;

use super::*;
use crate::event::{EventKey, KeyLifetime};
use crate::lead::{Chat, Confidence, IdentifierKind, PhoneKind, Proof};
use crate::map::{DestinationKind, Files, compile};
use crate::rules::Setting;

pub(super) const KINDS: &[DestinationKind] = &[DestinationKind {
    name: "sandbox",
    settings: &[
        Setting { name: "url", required: true, secret: true, summary: "where it listens" },
        Setting { name: "token", required: true, secret: true, summary: "its token" },
    ],
    bot: None,
    nested: None,
}];

static PRESETS: LazyLock<Vec<&str>> =
    LazyLock::new(|| crate::event::PRESETS.iter().map(|preset| preset.name).collect());

/// Knows Ukrainian and Polish numbers, and nothing of the world.
const SIMPLE: Normalisers = Normalisers { phone: simple_phone, email: simple_email };

fn simple_phone(raw: &str, regions: &[String]) -> Result<Phone, Flaw> {
    let digits: String = raw.chars().filter(char::is_ascii_digit).collect();
    let local = regions.iter().any(|region| region == "UA") && digits.len() == 10 && digits.starts_with('0');
    let (number, region, confidence) = match digits.len() {
        12 if digits.starts_with("380") => (digits, "UA", Confidence::Exact),
        11 if digits.starts_with("48") => (digits, "PL", Confidence::Exact),
        _ if local => (format!("38{digits}"), "UA", Confidence::Assumed),
        9 => (format!("48{digits}"), "PL", Confidence::Ambiguous),
        _ => {
            let text = "the number is too short".to_owned();
            return Err(Flaw {
                field: "phone".to_owned(),
                raw: raw.to_owned(),
                code: "too_short".to_owned(),
                text,
            });
        }
    };
    Ok(Phone {
        e164: format!("+{number}"),
        extension: None,
        region: Some(region.to_owned()),
        kind: PhoneKind::Mobile,
        confidence,
        match_keys: vec![format!("+{number}")],
        raw: raw.to_owned(),
    })
}

fn simple_email(raw: &str) -> Result<Email, Flaw> {
    let address = raw.trim().to_lowercase();
    if !address.contains('@') {
        let text = "there is no `@`".to_owned();
        return Err(Flaw { field: "email".to_owned(), raw: raw.to_owned(), code: "no_at".to_owned(), text });
    }
    let match_key = (!address.starts_with("info@")).then(|| address.clone());
    Ok(Email { address, match_key, raw: raw.to_owned() })
}

fn now() -> Timestamp {
    "2024-06-10T15:04:05Z".parse().unwrap()
}

fn event(payload: Json) -> Event {
    let chat = payload.get("chat_of_preset").map(|id| Chat {
        channel: "telegram".to_owned(),
        bot: "bot-1".to_owned(),
        bot_name: Some("Polynia".to_owned()),
        id: id.as_str().unwrap().to_owned(),
        link: Some("https://chat".to_owned()),
    });
    let key = EventKey { value: "1".to_owned(), lifetime: KeyLifetime::Window };
    Event {
        payload,
        query: json!({}),
        headers: json!({}),
        key,
        chat,
        chat_state: None,
        chat_status: None,
        phone: None,
        flaws: Vec::new(),
    }
}

/// What one mapping makes of one payload.
fn run(leads: &str, payload: Json) -> Interpreted {
    run_source(&format!("defaults: {{ to: [crm] }}\nleads:\n{leads}"), payload)
}

/// The same for everything that stands below `source:`.
fn run_source(rest: &str, payload: Json) -> Interpreted {
    run_event("sendpulse", rest, &event(payload))
}

/// The same for an event as a preset made it.
fn run_event(preset: &str, rest: &str, event: &Event) -> Interpreted {
    interpret_with(&mapping(preset, rest), event, now(), SIMPLE, None)
}

/// A mapping of which `rest` stands below `source:`; `preset` may have further keys of that behind it.
fn mapping(preset: &str, rest: &str) -> Mapping {
    let workspace =
        "destinations: { crm: { crm: sandbox, url: u, token: t } }\nowner_pools: { sales: [olha] }\n";
    let source = format!("source: {{ preset: {preset}, token: t }}\n{rest}");
    let files = [("workspace.yaml", workspace.to_owned()), ("bot.yaml", source)];
    let files = Files(files.map(|(name, text)| (name.to_owned(), text)).into());
    let mut compiled = compile(&files, &|_| None, KINDS, &PRESETS);
    let problems: Vec<String> = compiled.problems.iter().map(ToString::to_string).collect();
    assert!(compiled.is_sound(), "{problems:#?}");
    compiled.workspace.sources.remove("bot").unwrap().mapping.unwrap()
}

#[track_caller]
fn lead(interpreted: Interpreted) -> Lead {
    match interpreted {
        Interpreted::Lead(lead, _) => *lead,
        other @ (Interpreted::Filtered(_) | Interpreted::NeedsAttention { .. }) => {
            panic!("no lead: {other:?}")
        }
    }
}

#[test]
fn the_first_branch_that_holds_makes_the_lead() {
    let leads = "
  - { name: Poland, when: \"{{ lead.phone.region == 'PL' }}\", contact: { phone: <<phone>> } }
  - { name: named, when: \"{{ name }}\", contact: { name: <<name>> } }
  - { name: mail, when: \"{{ 'work.example' in lead.email }}\", contact: { email: <<email>> } }
  - { name: flawed, when: \"{{ lead.flaws }}\", contact: { phone: <<phone>> } }
";
    let check = |payload: Json, expect: Option<(&str, usize)>| {
        let got = match run(leads, payload.clone()) {
            Interpreted::Lead(lead, index) => Some((lead.branch, index)),
            Interpreted::Filtered(reason) => {
                assert_eq!(reason.code, "no_branch");
                assert!(reason.text.ends_with("holds: Poland, named, mail, flawed"), "{}", reason.text);
                None
            }
            Interpreted::NeedsAttention { reason, .. } => panic!("{}", reason.text),
        };
        assert_eq!(got.as_ref().map(|(name, index)| (name.as_str(), *index)), expect, "{payload}");
    };
    check(json!({ "phone": "+48512604873", "name": "Marek" }), Some(("Poland", 0)));
    check(json!({ "phone": "+380674185206", "name": "Olena" }), Some(("named", 1)));
    check(json!({ "email": "a@work.example" }), Some(("mail", 2)));
    check(json!({ "phone": "12" }), Some(("flawed", 3)));
    check(json!({ "name": "", "email": null }), None);
    check(json!([]), None);
    check(json!("text"), None);
}

#[test]
fn a_contact_shared_by_branches_is_read_by_the_regions_of_each() {
    let leads = "
  - { name: abroad, when: \"{{ lead.phone.region == 'UA' }}\", phone: { regions: [] }, contact: ~ }
  - { name: strict, when: \"{{ lead.phone }}\", phone: { regions: [PL] } }
  - { name: local, when: \"{{ lead.phone.region == 'PL' }}\", phone: { regions: [UA] } }
  - { name: rest, phone: { regions: [UA] } }
";
    let source = format!("{leads}defaults: {{ to: [crm], contact: {{ phone: <<phone>> }} }}\n");
    let made = lead(run_source(&format!("leads:\n{source}"), json!({ "phone": "0674185206" })));
    assert_eq!((made.branch.as_str(), made.contact.phones.len()), ("rest", 1));
    assert_eq!(made.contact.phones[0].e164, "+380674185206");
    assert!(made.flaws.is_empty(), "the flaws of the strict branch are its own: {:?}", made.flaws);
}

#[test]
fn an_error_in_a_condition_needs_attention_and_is_never_filtered() {
    let leads = "  - { name: grown up, when: \"{{ age / 0 > 1 }}\" }\n  - { name: rest }\n";
    let Interpreted::NeedsAttention { reason, todo } = run(leads, json!({ "age": 5 })) else {
        panic!("an error was swallowed")
    };
    assert_eq!(reason.code, "mapping_error");
    assert!(
        reason.text.contains("`when` of branch `grown up`") && !reason.text.contains('5'),
        "{}",
        reason.text
    );
    assert!(todo.contains("bot.yaml:4") && todo.contains("replay"), "{todo}");
}

#[test]
fn contact_values_are_normalised_and_doubles_dropped() {
    let leads = "
  - name: all
    phone: { regions: [UA] }
    contact:
      name: [<<nothing>>, \"  {{ first }} {{ last }} \", <<first>>]
      phone: [<<phone>>, <<phones>>]
      email: [<<email>>, <<emails>>]
";
    let made = lead(run(
        leads,
        json!({
            "first": "Олена", "last": "Вигадана",
            "phone": 380_674_185_206_u64, "phones": ["067 418 52 06", "", null, "0502719463"],
            "email": "OLENA@example.com", "emails": ["olena@example.com", "info@example.com", "nonsense"],
        }),
    ));
    assert_eq!(made.contact.name.as_deref(), Some("Олена Вигадана"));
    let phones: Vec<&str> = made.contact.phones.iter().map(|phone| phone.e164.as_str()).collect();
    assert_eq!(phones, ["+380674185206", "+380502719463"]);
    let emails: Vec<&str> = made.contact.emails.iter().map(|email| email.address.as_str()).collect();
    assert_eq!(emails, ["olena@example.com", "info@example.com"]);
    let flaws: Vec<&str> = made.flaws.iter().map(|flaw| flaw.raw.as_str()).collect();
    assert_eq!(flaws, ["nonsense"]);
    // A role mailbox is data and no key.
    let keys: Vec<(IdentifierKind, &str)> =
        made.identifiers.iter().map(|known| (known.kind, known.keys[0].as_str())).collect();
    assert_eq!(
        keys,
        [
            (IdentifierKind::Phone, "+380674185206"),
            (IdentifierKind::Phone, "+380502719463"),
            (IdentifierKind::Email, "olena@example.com"),
        ]
    );
}

#[test]
fn an_ambiguous_phone_is_data_and_no_identifier() {
    let made =
        lead(run("  - { name: all, contact: { phone: <<phone>> } }\n", json!({ "phone": "512604873" })));
    assert_eq!(made.contact.phones.len(), 1);
    assert!(made.identifiers.is_empty());
}

#[test]
fn a_phone_that_is_none_goes_by_the_policy() {
    let made = |policy: &str, phones: Json| {
        let leads = format!(
            "  - {{ name: all, note: <<note>>, phone: {{ if_invalid: {policy} }}, contact: {{ phone: <<phone>>, email: <<email>> }} }}\n"
        );
        run(&leads, json!({ "phone": phones, "email": "a@example.com", "note": "Hello" }))
    };
    let check = |policy: &str, note: &str, raw: &[&str]| {
        let lead = lead(made(policy, json!("12 34")));
        assert_eq!(lead.note.as_deref(), Some(note), "{policy}");
        assert_eq!(lead.contact.raw_phones, raw, "{policy}");
        assert_eq!(
            (lead.contact.phones.len(), lead.contact.emails.len(), lead.flaws.len()),
            (0, 1, 1),
            "{policy}"
        );
        assert!(lead.identifiers.iter().all(|known| known.kind == IdentifierKind::Email), "{policy}");
    };
    check("keep_as_note", "Hello\nPhone as typed: 12 34 (the number is too short)", &[]);
    check("send_raw", "Hello", &["12 34"]);
    check("email_only", "Hello", &[]);
    let Interpreted::Filtered(reason) = made("reject", json!("12 34")) else { panic!("not rejected") };
    assert_eq!(reason.code, "phone_rejected");
    assert!(
        reason.text.contains("the number is too short") && !reason.text.contains("12 34"),
        "{}",
        reason.text
    );
    // One good phone is enough, and no phone at all is not a bad one.
    assert_eq!(lead(made("reject", json!(["12", "+380674185206"]))).contact.phones.len(), 1);
    assert!(lead(made("reject", Json::Null)).contact.phones.is_empty());
}

#[test]
fn a_failing_value_stops_the_lead_only_where_guessing_is_dangerous() {
    let stops = |leads: &str| matches!(run(leads, json!({ "a": "x" })), Interpreted::NeedsAttention { .. });
    assert!(stops("  - { name: all, contact: { phone: \"{{ a * 2 }}\" } }\n"));
    assert!(stops("  - { name: all, identifiers: { external_customer: { shop: \"{{ a * 2 }}\" } } }\n"));
    assert!(stops("  - { name: all, contact: { fields: { f: { value: <<nothing>>, required: true } } } }\n"));
    let made = lead(run(
        "  - { name: all, contact: { fields: { bad: \"{{ a * 2 }}\", good: <<a>> } }, deal: { title: \"{{ a * 2 }}\" } }\n",
        json!({ "a": "x" }),
    ));
    assert_eq!(made.contact.fields, BTreeMap::from([("good".to_owned(), json!("x"))]));
    assert_eq!(made.deal.title, None);
    let flaws: Vec<(&str, &str)> =
        made.flaws.iter().map(|flaw| (flaw.field.as_str(), flaw.code.as_str())).collect();
    assert_eq!(flaws, [("bad", "mapping_error"), ("deal.title", "mapping_error")]);
    assert!(made.flaws[0].text.starts_with("bad was left out: bot.yaml:4: "), "{}", made.flaws[0].text);
}

#[test]
fn deal_task_and_note_are_rendered_with_the_lead_in_scope() {
    let leads = "
  - name: all
    owners: sales
    contact: { phone: <<phone>> }
    deal: { title: \"{{ lead.phone.e164 }}\", pipeline: Main, stage: \"{{ nothing }}\", fields: { vip: \"{{ vip }}\" } }
    task: { title: \"Again {{ name }}\", type: call, due: +2h }
    note: \"{{ name }} from {{ source }}\"
";
    let made = lead(run(leads, json!({ "phone": "380674185206", "name": "Olena", "vip": true })));
    assert_eq!(made.deal.title.as_deref(), Some("+380674185206"));
    assert_eq!((made.deal.pipeline.as_deref(), made.deal.stage), (Some("Main"), None));
    assert_eq!(made.deal.fields["vip"], json!(true));
    let task = made.task.unwrap();
    assert_eq!(
        (task.title.as_deref(), task.text, task.kind.as_deref()),
        (Some("Again Olena"), None, Some("call"))
    );
    assert_eq!(task.due_seconds, Some(7_200));
    assert_eq!((made.note.as_deref(), made.owners.as_deref()), (Some("Olena from bot"), Some("sales")));
    assert_eq!((made.source.as_str(), made.to), ("bot", vec!["crm".to_owned()]));
}

#[test]
fn chats_are_scoped_by_who_knows_their_ids() {
    let check = |identifiers: &str, payload: Json, expect: Option<(&str, &str, &str)>| {
        let made = lead(run(&format!("  - {{ name: all, identifiers: {identifiers} }}\n"), payload));
        let got = made.identifiers.first().map(|known| (known.scope.as_str(), known.keys[0].as_str()));
        assert_eq!(got, expect.map(|(scope, id, _)| (scope, id)), "{identifiers}");
        let link = made.chat.as_ref().and_then(|chat| chat.link.as_deref()).unwrap_or_default();
        assert_eq!(link, expect.map_or("", |(_, _, link)| link), "{identifiers}");
    };
    let preset = json!({ "chat_of_preset": "c1", "my": "c2" });
    check("{}", preset.clone(), Some(("sendpulse:bot-1", "c1", "https://chat")));
    check(
        "{ chat: { link: \"https://x/{{ my }}\" } }",
        preset.clone(),
        Some(("sendpulse:bot-1", "c1", "https://x/c2")),
    );
    check("{ chat: { id: <<my>> } }", preset, Some(("telegram:bot-1", "c2", "https://chat")));
    check(
        "{ chat: { channel: Viber, bot: b, id: <<my>> } }",
        json!({ "my": "c2" }),
        Some(("viber:b", "c2", "")),
    );
    check("{ chat: { channel: viber, id: <<my>> } }", json!({ "my": "c2" }), None);
    check("{}", json!({}), None);
}

#[test]
fn further_identifiers_have_their_namespaces() {
    let leads = "
  - name: all
    identifiers:
      external_customer: { shop: <<customer>>, site: <<nothing>> }
      device: <<devices>>
      click: <<click>>
";
    let made = lead(run(
        leads,
        json!({ "customer": 7_000_000_000_000_000_001_u64, "devices": ["d1", "d2"], "click": "k" }),
    ));
    let got: Vec<(IdentifierKind, &str, &str)> = made
        .identifiers
        .iter()
        .map(|known| (known.kind, known.scope.as_str(), known.keys[0].as_str()))
        .collect();
    assert_eq!(
        got,
        [
            (IdentifierKind::ExternalCustomer, "shop", "7000000000000000001"),
            (IdentifierKind::Device, "", "d1"),
            (IdentifierKind::Device, "", "d2"),
            (IdentifierKind::Click, "", "k"),
        ]
    );
    assert!(made.identifiers.iter().all(|known| known.proof == Proof::Claimed));
}

fn shipped() -> crate::map::Compiled {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let mut files = Files::default();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        files.0.insert(name, fs::read_to_string(&path).unwrap());
    }
    let compiled = crate::workspace::compile_with(&files, &(std::sync::Arc::new(|_: &str| None) as _));
    let problems: Vec<String> =
        compiled.problems.iter().map(|problem| problem.render(&files, false)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    compiled
}

/// The events of a `SendPulse` request, as far as a mapping needs them.
fn events(file: &str) -> Vec<Event> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings").join(file);
    let body: Vec<Json> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let repaired = body.into_iter().map(|mut payload| {
        if payload["contact"]["variables"] == json!([]) {
            payload["contact"]["variables"] = json!({});
        }
        payload
    });
    repaired.map(event).collect()
}

fn shipped_mapping_passes_its_tests(normalisers: Normalisers) {
    let compiled = shipped();
    let mapping = compiled.workspace.sources["sendpulse"].mapping.as_ref().unwrap();
    assert!(mapping.tests().len() >= 8);
    for test in mapping.tests() {
        let event = &events(&test.given)[test.event];
        let got = interpret_with(mapping, event, now(), normalisers, None);
        assert_eq!(differences(&test.expect, &got, None, None), Vec::<String>::new(), "{}", test.name);
    }
}

#[test]
fn the_shipped_mapping_passes_its_tests_with_simple_normalisers() {
    shipped_mapping_passes_its_tests(SIMPLE);
}

#[test]
fn the_shipped_mapping_passes_its_tests() {
    shipped_mapping_passes_its_tests(PRODUCTION);
}

#[test]
fn the_shipped_mapping_uses_an_unquoted_placeholder() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings/sendpulse.yaml");
    assert!(fs::read_to_string(path).unwrap().contains("- <<contact.variables.phone>>\n"));
}

#[test]
fn every_fixture_is_what_it_says() {
    let compiled = shipped();
    let mapping = compiled.workspace.sources["sendpulse"].mapping.as_ref().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let truth: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&fs::read_to_string(folder.join("truth.json")).unwrap()).unwrap();
    let mut known: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder.join("sendpulse")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for event in events(&format!("../fixtures/sendpulse/{name}")) {
            if let Interpreted::Lead(lead, _) = interpret_with(mapping, &event, now(), SIMPLE, None) {
                known.extend(lead.contact.phones.into_iter().map(|phone| phone.e164));
                known.extend(lead.contact.emails.into_iter().map(|email| email.address));
            }
        }
    }
    known.sort();
    known.dedup();
    let mut labelled: Vec<String> = truth.into_values().flatten().collect();
    labelled.sort();
    assert_eq!(
        known, labelled,
        "truth.json must label every phone and email of the fixtures, and nothing else"
    );
    let read = |name: &str| fs::read(folder.join("sendpulse").join(name)).unwrap();
    assert_eq!(read("01_new_lead_telegram.json"), read("04_redelivery.json"));
}

#[test]
fn an_identifier_that_no_index_holds_is_a_flaw_and_the_lead_goes_on() {
    use IdentifierKind::{Chat, Device, ExternalCustomer};
    let leads = "
  - name: all
    identifiers:
      external_customer: { shop: <<customer>> }
      device: <<device>>
      chat: { bot: <<bot>>, id: <<id>>, channel: web }
";
    let long = "є".repeat(300);
    let check = |payload: Json, kinds: &[IdentifierKind], flaws: &[&str]| {
        let lead = lead(run(leads, payload));
        let got: Vec<IdentifierKind> = lead.identifiers.iter().map(|identifier| identifier.kind).collect();
        assert_eq!(got, kinds);
        let got: Vec<&str> = lead.flaws.iter().map(|flaw| flaw.field.as_str()).collect();
        assert_eq!(got, flaws, "{:?}", lead.flaws);
        for Flaw { raw, code, text, .. } in &lead.flaws {
            assert_eq!(code, "text_too_long", "{text}");
            assert!(raw.len() <= long.len(), "{raw}");
        }
    };
    let all = [Chat, ExternalCustomer, Device];
    check(json!({ "customer": "x".repeat(256), "device": "d", "bot": "b", "id": "1" }), &all, &[]);
    check(
        json!({ "customer": long, "device": "d", "bot": "b", "id": "1" }),
        &[Chat, Device],
        &["external_customer"],
    );
    check(
        json!({ "customer": "c", "device": long, "bot": long, "id": "1" }),
        &[ExternalCustomer],
        &["bot of the chat", "device"],
    );
    check(json!({ "customer": "c", "bot": "b", "id": long }), &[ExternalCustomer], &["chat"]);
}
