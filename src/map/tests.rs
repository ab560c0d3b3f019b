//! The mapping engine from the outside: YAML in, values and problems out.

use std::sync::LazyLock;

use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};

use super::*;
use crate::event::{EventKey, KeyLifetime};
use crate::rules::{BotKind, Rules, Setting};

mod addresses;
mod calls;
mod limits;
mod pools;
mod problems;

static PRESETS: LazyLock<Vec<&str>> =
    LazyLock::new(|| crate::event::PRESETS.iter().map(|preset| preset.name).collect());

const KINDS: &[DestinationKind] = &[SANDBOX, TALKER];

const TALKER: DestinationKind = DestinationKind {
    name: "talker",
    settings: &[Setting { name: "token", required: true, secret: true, summary: "its token" }],
    bot: Some(BotKind { operations: calls::OPERATIONS, chats: &["json:*"], writes_there: true, check: None }),
    nested: None,
};

const SANDBOX: DestinationKind = DestinationKind {
    name: "sandbox",
    settings: &[
        Setting { name: "url", required: true, secret: true, summary: "where it listens" },
        Setting { name: "token", required: true, secret: true, summary: "its token" },
        Setting { name: "account", required: false, secret: false, summary: "an account" },
    ],
    bot: None,
    nested: None,
};

const WORKSPACE: &str = "
destinations:
  crm: { crm: sandbox, url: \"${SANDBOX_URL:-http://127.0.0.1:9900}\", token: abc }
owner_pools: { kyiv-sales: [olha, petro] }
vars: { shop: Polynia }
";

fn compile_both(workspace: &str, source: &str) -> (Files, Compiled) {
    let files = [("workspace.yaml", workspace), ("bot.yaml", source)];
    let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let compiled = compile(&files, &|_| None, KINDS, &PRESETS);
    (files, compiled)
}

fn compile_source(source: &str) -> Compiled {
    compile_both(WORKSPACE, source).1
}

pub(super) fn event(payload: Json) -> Event {
    Event {
        payload,
        query: json!({ "utm": { "source": "ads" } }),
        headers: json!({ "user-agent": "bot/1" }),
        key: EventKey { value: "1".to_owned(), lifetime: KeyLifetime::Window },
        chat: None,
        chat_state: None,
        chat_status: None,
        phone: None,
        flaws: Vec::new(),
    }
}

/// The value that one YAML value has for a payload; the error is what went wrong with it.
fn value(yaml: &str, payload: Json) -> Result<Option<Json>, String> {
    let source = format!(
        "source: {{ preset: json, token: t }}
vars:
  greeting: \"Hello {{{{ contact.name }}}}\"
  nested: \"{{{{ vars.greeting }}}}, welcome to {{{{ vars.shop }}}}\"
leads:
  - name: all
    to: [crm]
    contact:
      fields:
        x: {yaml}
"
    );
    let compiled = compile_source(&source);
    let problems: Vec<String> = compiled.problems.iter().map(ToString::to_string).collect();
    let source = &compiled.workspace.sources["bot"];
    let mapping = source.mapping.as_ref().map_err(|_| problems.join("\n"))?;
    let event = event(payload);
    let scope = mapping.scope(&event, "2024-06-10T15:04:05Z".parse().unwrap());
    let fields = &mapping.branches()[0].contact.fields;
    let Some((_, template)) = fields.first() else { return Ok(None) };
    template.evaluate(scope.event()).map_err(|error| error.to_string())
}

fn sample() -> Json {
    json!({
        "service": "telegram",
        "contact": {
            "name": "Олена",
            "empty": "",
            "nothing": null,
            "vip": true,
            "age": 42,
            "price": 10.50,
            "id": serde_json::from_str::<Json>("12345678901234567890123").unwrap(),
            "tags": ["vip", null, "ads", true, 7],
            "variables": { "Ваш телефон": "+380671234567", "місто": "Київ", "phone": "067" },
            "text": "{{ contact.name }} {% if x %} ${TOKEN} << a >>",
        },
        "query": "shadowed",
        "vars": "shadowed",
        "поле": "кирилиця",
    })
}

#[test]
fn values() {
    let check = |yaml: &str, expect: Json| {
        let expect = (!expect.is_null()).then_some(expect);
        assert_eq!(value(yaml, sample()), Ok(expect), "{yaml}");
    };
    // Literals.
    check("plain", json!("plain"));
    check("12", json!(12));
    check("\"12\"", json!("12"));
    check("true", json!(true));
    check("+380671234567", json!("+380671234567"));
    check("[a, \"{{ contact.age }}\", \"{{ contact.none }}\"]", json!(["a", 42]));
    // One placeholder keeps its type, digits included.
    check("\"{{ contact.age }}\"", json!(42));
    check("\"{{ contact.vip }}\"", json!(true));
    check("\"{{ contact.tags }}\"", sample()["contact"]["tags"].clone());
    check("\"{{ contact.id }}\"", sample()["contact"]["id"].clone());
    check("\"{{ contact.price }}\"", sample()["contact"]["price"].clone());
    check("\"{{ contact.id | string }}\"", json!("12345678901234567890123"));
    check("\"{{ contact.age + 1 }}\"", json!(43));
    check("\"{{ contact.price * 2 }}\"", json!(21.0));
    // A longer value is text.
    check("\"{{ contact.name }}!\"", json!("Олена!"));
    check(
        "\"<{{ contact.vip }}|{{ contact.age }}|{{ contact.id }}>\"",
        json!("<true|42|12345678901234567890123>"),
    );
    // Absent is one thing, and takes the whole value with it.
    for absent in [
        "\"{{ contact.nothing }}\"",
        "\"{{ contact.none.at.all }}\"",
        "\"{{ nowhere }}\"",
        "\"https://t.me/{{ contact.nothing }}\"",
        "\"{{ contact.nothing | lower }}\"",
        "\"{{ contact.nothing | split(',') | first | upper }}\"",
        "\"{{ contact.none | int }}\"",
        "\"{{ 'https://t.me/' ~ contact.nothing }}\"",
        "\"{{ 'a' + contact.nothing }}\"",
        "\"{{ contact.none * 2 }}\"",
        "\"{{ contact.name if service == 'viber' }}\"",
        "\"{{ none }}\"",
        "\"{{ $.contact.nothing }}\"",
        "\"{{ $.contact.none | lower }}\"",
        "[\"{{ contact.nothing }}\"]",
    ] {
        check(absent, json!(null));
    }
    check("\"{{ contact.nothing | default('guest') }}\"", json!("guest"));
    check("\"{{ contact.empty | default('guest', true) }}\"", json!("guest"));
    check("\"{{ contact.empty or contact.nothing or contact.name }}\"", json!("Олена"));
    check("\"{{ contact.nothing is defined }}\"", json!(false));
    check("\"{{ contact.nothing is none and contact.none is none }}\"", json!(true));
    check("\"{{ contact.nothing == none and contact.none == none }}\"", json!(true));
    check("\"{{ contact.nothing in 'some text' }}\"", json!(false));
    check("\"{{ contact.nothing not in ['a'] }}\"", json!(true));
    check("\"{{ contact.nothing < 18 or contact.age < 18 }}\"", json!(false));
    check("\"{{ contact.age >= 18 and 'vip' in contact.tags }}\"", json!(true));
    // Values print our way, inside filters too.
    check("\"{{ contact.tags | join(', ') }}\"", json!("vip, ads, true, 7"));
    check("\"{{ contact.vip | string }} {{ contact.vip ~ '' }}\"", json!("true true"));
    check("\"{{ contact.vip | lower }}\"", json!("true"));
    // What a start parameter is, also when there is none.
    check("\"{{ '900000417' | start_kind }}\"", json!("crm_id"));
    check("\"{{ 17 | start_kind }}\"", json!("crm_id"));
    check("\"{{ '/start 1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10' | start_kind }}\"", json!("device"));
    check("\"{{ contact.nothing | start_kind }}\"", json!("none"));
    check("\"{{ contact.nothing | start_kind == 'none' }}\"", json!(true));
    check("\"{{ contact.tags | map('string') | list | last }}\"", json!("7"));
    check("\"{{ contact.tags | tojson }}\"", json!("[\"vip\",null,\"ads\",true,7]"));
    check("\"{{ '%s is %d' | format(contact.name, contact.age) }}\"", json!("Олена is 42"));
    // Names.
    check("\"{{ contact.variables['Ваш телефон'] }}\"", json!("+380671234567"));
    check("\"{{ contact.variables.місто }} {{ поле | upper }}\"", json!("Київ КИРИЛИЦЯ"));
    check(
        "\"{{ query.utm.source }} {{ body.query }} {{ headers['user-agent'] }}\"",
        json!("ads shadowed bot/1"),
    );
    check("\"{{ source }} {{ received_at }}\"", json!("bot 2024-06-10T15:04:05Z"));
    check("\"{{ vars.nested }}\"", json!("Hello Олена, welcome to Polynia"));
    check("\"{{ vars.greeting | upper if service == 'telegram' }}\"", json!("HELLO ОЛЕНА"));
    // Angle brackets, without quotes.
    check("<<contact.variables.phone>>", json!("067"));
    check("<< contact.name | upper >>", json!("ОЛЕНА"));
    check("tel:<<contact.variables.phone>>", json!("tel:067"));
    check("\"<< contact.age > 18 >>\"", json!(true));
    // JSONPath.
    check("\"{{ $.contact.tags[*] | join('/') }}\"", json!("vip/ads/true/7"));
    check("\"{{ $.contact.variables['Ваш телефон'] }}\"", json!("+380671234567"));
    check("\"{{ $.contact.tags[?@ == 'ads'] }}\"", json!(["ads"]));
    // The brackets of a literal do not end a placeholder.
    check("\"{{ {'a': {'b': 1}}.a.b }}\"", json!(1));
    check("\"{{ '}}' }}{{ contact.age }}\"", json!("}}42"));
    // What comes from an event is data.
    check("\"{{ contact.text }}\"", sample()["contact"]["text"].clone());
    check("\"{{ contact.text | upper }}!\"", json!("{{ CONTACT.NAME }} {% IF X %} ${TOKEN} << A >>!"));
    // Required.
    check("{ value: \"{{ contact.name }}\", required: true }", json!("Олена"));
}

#[test]
fn a_required_value_that_is_missing_is_an_error_with_its_place() {
    let error = value("{ value: \"{{ contact.nothing }}\", required: true }", sample()).unwrap_err();
    assert_eq!(error, "bot.yaml:10: this value is required, and the event has nothing for it");
}

#[test]
fn a_plain_path_and_the_engine_agree() {
    let payload = sample();
    for path in [
        "contact.name",
        "contact.age",
        "contact.vip",
        "contact.nothing",
        "contact.none",
        "contact.variables",
        "service",
    ] {
        let plain = value(&format!("\"{{{{ {path} }}}}\""), payload.clone());
        let engine = value(&format!("\"{{{{ ({path}) }}}}\""), payload.clone());
        assert_eq!(plain, engine, "{path}");
    }
}

#[test]
fn what_is_not_written_has_its_default() {
    let compiled = compile_source(
        "source: { preset: json, token: t }\nleads:\n  - { name: all, to: crm, contact: { name: x } }\n",
    );
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
    let workspace = &compiled.workspace;
    assert_eq!(workspace.retention, Retention::default());
    assert_eq!(workspace.destinations["crm"].share.to_bits(), 1.0_f64.to_bits());
    let source = &workspace.sources["bot"];
    assert_eq!((source.paused, source.dedupe_window), (false, None));
    let branch = &source.mapping.as_ref().unwrap().branches()[0];
    assert_eq!((&branch.rules, branch.to.as_slice()), (&Rules::default(), ["crm".to_owned()].as_slice()));
    assert_eq!(branch.phone, PhonePolicy::default());
}

#[test]
fn an_entry_takes_what_it_lacks_from_the_defaults() {
    let compiled = compile_source(
        "source: { preset: json, token: t }
defaults: { to: [crm], owners: kyiv-sales, deal: { title: Default, stage: New }, task: { title: Again } }
leads:
  - { name: one, when: \"{{ a }}\", deal: { title: Own }, task: ~ }
  - { name: two }
",
    );
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
    let branches = compiled.workspace.sources["bot"].mapping.as_ref().unwrap().branches();
    let title = |branch: &Branch| branch.deal.title.as_ref().and_then(|title| title.constant().cloned());
    assert_eq!((title(&branches[0]), branches[0].deal.stage.is_none()), (Some(json!("Own")), true));
    assert_eq!((branches[0].task.is_none(), branches[0].owners.as_deref()), (true, Some("kyiv-sales")));
    assert_eq!((title(&branches[1]), branches[1].task.is_some()), (Some(json!("Default")), true));
}

#[test]
fn the_hash_is_of_names_and_texts() {
    let files = |pairs: &[(&str, &str)]| {
        Files(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()).hash()
    };
    let hash = files(&[("a.yaml", "x"), ("b.yaml", "y")]);
    assert_eq!(hash.len(), 64);
    assert_eq!(hash, files(&[("b.yaml", "y"), ("a.yaml", "x")]));
    assert_ne!(hash, files(&[("a.yaml", "xb.yamly")]));
    assert_ne!(hash, files(&[("a.yaml", "x"), ("c.yaml", "y")]));
    assert_ne!(hash, files(&[("a.yaml", "x"), ("b.yaml", "z")]));
}

proptest! {
    /// Whatever an event is, a mapping gives values or an error, and no panic.
    #[test]
    fn any_json_maps_without_panic(payload in any_json()) {
        for yaml in [
            "\"{{ a.b.c }}\"",
            "\"{{ a | lower }} {{ b | join(',') }}\"",
            "\"{{ $..a | first }}\"",
            "\"{{ (a or b or body) | string | upper | replace('A', b) }}\"",
            "\"{{ a + b ~ c * 2 if a < b else a in b }}\"",
            "\"{{ a | sort | unique | list }}\"",
            "\"{{ '%5s' | format(a) }}\"",
        ] {
            drop(value(yaml, payload.clone()));
        }
    }

    /// A placeholder that is broken in any way is a problem, and no panic.
    #[test]
    fn any_placeholder_compiles_or_is_a_problem(inside in "[a-c.|()\\[\\]{}<>=*~+ '\"$@?0-9inotrsf-]{0,24}") {
        let quoted = json!(format!("{{{{ {inside} }}}}")).to_string();
        drop(value(&quoted, json!({ "a": 1, "b": "x" })));
    }

    /// Any text is a workspace with problems, and no panic.
    #[test]
    fn any_text_is_read(text in "[a-z:{}\\[\\]\"'<>\\-$&*!|# \n]{0,80}") {
        compile_both(&text, &text);
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[a-z{}%$ ]{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}
