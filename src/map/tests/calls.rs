//! What `calls:`, `after_done:` and `after_look_up:` become.

use serde_json::{Map, Value as Json, json};

use super::{Compiled, KINDS, PRESETS, compile_both, event};
use crate::map::{Files, Rendered, Severity, compile};
use crate::rules::{Operation, Parameter, Shape};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "set_tag",
        summary: "tags",
        needs_chat: true,
        main: Some("tag"),
        parameters: &[Parameter {
            name: "tag",
            required: true,
            shape: Shape::Value,
            summary: "the tag: CRM",
        }],
        repeatable: true,
    },
    Operation {
        name: "run",
        summary: "runs a flow",
        needs_chat: true,
        main: None,
        parameters: &[
            Parameter { name: "flow", required: true, shape: Shape::Value, summary: "its id" },
            Parameter { name: "data", required: false, shape: Shape::Nested, summary: "whatever it reads" },
        ],
        repeatable: false,
    },
];

const WORKSPACE: &str = "
destinations:
  crm: { crm: sandbox, url: http://127.0.0.1:9900, token: abc }
  bot: { bot: talker, token: abc }
vars: { who: \"{{ contact.name }} of {{ vars.shop }}\", shop: Polynia }
";

fn compiled(branch: &str) -> Compiled {
    let source = format!("source: {{ preset: json, token: t }}\nleads:\n  - name: all\n{branch}");
    compile_both(WORKSPACE, &source).1
}

fn rendered(branch: &str, payload: Json, late: &Json) -> Result<Vec<Rendered>, String> {
    let compiled = compiled(branch);
    let problems: Vec<String> = compiled.problems.iter().map(ToString::to_string).collect();
    let mapping = compiled.workspace.sources["bot"].mapping.as_ref().map_err(|_| problems.join("\n"))?;
    let branch = &mapping.branches()[0];
    // What is not kept of the event is gone by the time of the call.
    let given = branch.reads.given(&event(payload));
    let mut kept = event(given.payload);
    (kept.query, kept.headers) = (given.query, given.headers);
    let scope = mapping.scope(&kept, "2024-06-10T15:04:05Z".parse().unwrap());
    let late: Map<String, Json> = late.as_object().unwrap().clone();
    let view = scope.with_late(&late);
    let made = branch.calls.iter().map(|call| call.render(view).map_err(|error| error.to_string()));
    Ok(made.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

#[test]
fn a_call_is_an_operation_with_its_parameters() {
    let branch = "
    calls:
      - { to: bot, set_tag: CRM }
      - { to: bot, chat: \"{{ contact.id }}\", channel: telegram, run: { flow: 7, data: { who: \"{{ vars.who }}\",
          items: [\"{{ query.utm.source }}\", \"{{ contact.nothing }}\", 3], none: \"{{ contact.nothing }}\" } } }
      - { to: bot, when: \"{{ person.fields.vip }}\", set_tag: VIP }
";
    let payload = json!({ "contact": { "id": 5, "name": "Олена" }, "person": { "fields": { "vip": true } } });
    let calls = rendered(branch, payload, &json!({ "person": { "fields": {} } })).unwrap();
    assert_eq!(calls.len(), 2, "our names win over those of the payload");
    assert_eq!((calls[0].operation, &calls[0].with["tag"]), ("set_tag", &json!("CRM")));
    assert_eq!(calls[0].chat, None);
    assert_eq!((calls[1].chat.as_deref(), calls[1].channel.as_deref()), (Some("5"), Some("telegram")));
    let data = json!({ "who": "Олена of Polynia", "items": ["ads", 3] });
    assert_eq!(json!(calls[1].with), json!({ "flow": 7, "data": data }));
}

#[test]
fn a_named_chat_that_comes_out_empty_is_said_to_be_empty() {
    let branch = "    calls: [ { to: bot, chat: \"{{ contact.id }}\", set_tag: CRM } ]";
    let calls = rendered(branch, json!({}), &json!({})).unwrap();
    assert_eq!(calls[0].chat.as_deref(), Some(""));
}

#[test]
fn only_what_calls_read_is_kept() {
    let branch = "    calls: [ { to: bot, set_tag: \"{{ vars.who }} {{ lead.name }}\" } ]";
    let compiled = compiled(branch);
    let mapping = compiled.workspace.sources["bot"].mapping.as_ref().unwrap();
    let payload = json!({ "contact": { "name": "A" }, "secret": "card number" });
    let given = mapping.branches()[0].reads.given(&event(payload.clone()));
    assert_eq!(given.payload, json!({ "contact": { "name": "A" } }));
    assert_eq!((given.query, given.headers), (Json::Null, Json::Null));
    let whole = compiled_reads("{{ $.contact.name }}", &payload);
    assert_eq!(whole, payload, "a JSONPath may read anything");
}

fn compiled_reads(tag: &str, payload: &Json) -> Json {
    let compiled = compiled(&format!("    calls: [ {{ to: bot, set_tag: \"{tag}\" }} ]"));
    let mapping = compiled.workspace.sources["bot"].mapping.as_ref().unwrap();
    mapping.branches()[0].reads.given(&event(payload.clone())).payload
}

#[test]
fn what_lead_data_holds_is_never_evaluated() {
    let branch = "    calls: [ { to: bot, set_tag: \"{{ contact.name }}\" } ]";
    for name in ["{{ 7 * 7 }}", "<< vars.shop >>", "{tracker.clickid}", "${HOME}", "{% for a in b %}"] {
        let calls = rendered(branch, json!({ "contact": { "name": name } }), &json!({})).unwrap();
        assert_eq!(calls[0].with["tag"], json!(name));
    }
}

#[test]
fn mistakes_are_found_when_the_file_is_read() {
    let check = |branch: &str, expect: &str| {
        let problems: Vec<String> = compiled(branch).problems.iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|problem| problem.contains(expect)), "{branch}: {problems:#?}");
    };
    check("    calls: [ { to: crm, set_tag: CRM } ]", "destination `crm` is no bot that can be called");
    check(
        "    calls: [ { to: bto, set_tag: CRM } ]",
        "there is no bot `bto` among the destinations (did you mean `bot`?)",
    );
    check("    calls: [ { set_tag: CRM } ]", "does not say which bot it is for");
    check("    calls: [ { to: bot } ]", "does not say what `bot` is to do");
    check(
        "    calls: [ { to: bot, set_tga: CRM } ]",
        "`bot` has no operation `set_tga` (did you mean `set_tag`?)",
    );
    check("    calls: [ { to: bot, set_tag: A, run: { flow: 1 } } ]", "has both `set_tag` and `run`");
    check("    calls: [ { to: bot, run: { data: { a: 1 } } } ]", "`run` has no `flow`");
    check(
        "    calls: [ { to: bot, run: 7 } ]",
        "`run` must be a mapping (`key: value`) (write its parameters: `run: { flow: … }`)",
    );
    check("    calls: [ { to: bot, run: { flow: ' ' } } ]", "`run` has an empty `flow` (`flow`: its id)");
    for nothing in ["", "~", "''"] {
        check(
            &format!("    calls: [ {{ to: bot, set_tag: {nothing} }} ]"),
            "`set_tag` is empty (write what belongs",
        );
    }
    check(
        "    calls: [ { to: [bot], set_tag: A } ]",
        "an entry of `calls` is for one bot (make an entry for each",
    );
    check(
        "    calls: [ { to: bot, whenn: true, set_tag: A } ]",
        "no operation `whenn` (did you mean `when`?)",
    );
    check("    calls: [ { to: bot, run: { flow: 1, dta: 2 } } ]", "`dta` is not a key of `run`");
    check("    calls: [ { to: bot, set_tag: \"{{ vars.nothing }}\" } ]", "there is no variable `nothing`");
    check("    to: [bot]", "`bot` is a bot, which takes calls and no leads");
    check("    after_done: [ { to: bot, set_tag: CRM } ]", "waits for a CRM, and this entry names none");
    check(
        "    to: [crm]\n    calls: [ { to: bot, set_tag: A } ]\n    after_done: [ { to: bot, set_tag: B } ]",
        "bot `bot` is called at two moments",
    );
    check(
        "    contact: { name: x }",
        "does not say where its leads go (`to`) (write `to: [crm]`, or have a bot called: `calls: [ { to: bot, … } ]`)",
    );
}

#[test]
fn a_bot_that_would_be_called_for_chats_of_another_is_warned_of() {
    const TELEGRAM: &str =
        "source: { preset: telegram, token: t, secret: s }\nleads: [{ name: a, to: [crm] }]\n";
    const QUIZ: &str = "source: { preset: json, token: t }\nleads: [{ name: a, to: [crm], \
        identifiers: { chat: { channel: Telegram, bot: quiz, id: <<id>> } } }]\n";
    let check = |destinations: &[(&str, &str)], sources: &[(&str, &str)], expect: &[&str]| {
        let head = "destinations:\n  crm: { crm: sandbox, url: u, token: t }\n".to_owned();
        let bot = |(name, chats): &(&str, &str)| {
            format!("  {name}: {{ bot: talker, token: t, chats: [{chats}] }}\n")
        };
        let workspace = head + &destinations.iter().map(bot).collect::<String>();
        let files = [("workspace.yaml", workspace.as_str())].into_iter().chain(sources.iter().copied());
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).collect());
        let found = compile(&files, &|_| None, KINDS, &PRESETS).problems;
        assert!(found.iter().all(|problem| problem.severity == Severity::Warning), "{found:#?}");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let fits = found.len() == expect.len()
            && found.iter().zip(expect).all(|(found, expect)| found.contains(expect));
        assert!(fits, "{workspace}\n expected {expect:#?}\n got {found:#?}");
    };
    let (shop, quiz) = (("shop.yaml", TELEGRAM), ("quiz.yaml", QUIZ));
    let any = "'telegram:*'";
    check(&[("shop", any)], &[shop], &[]);
    check(&[("shop", any), ("botmother", "telegram:botmother")], &[shop], &[]);
    check(
        &[("shop", any)],
        &[shop, quiz],
        &[
            "workspace.yaml:3:3: `shop` is one bot, and would be called for the chats of several: telegram:quiz, \
           telegram:shop (say under `shop` which are its own, so that no call goes to a chat of another bot: \
           `chats: telegram:shop`)",
        ],
    );
    check(&[("shop", "telegram:shop")], &[shop, quiz], &[]);
    check(&[("shop", "telegram:shop, telegram:quiz")], &[shop, quiz], &[]);
    check(&[("shop", any), ("quiz", "telegram:quiz")], &[shop, quiz], &[]);
    check(
        &[("shop", any), ("shop2", any)],
        &[shop],
        &[
            "both `shop` and `shop2` would be called for the chats of telegram:shop",
            "both `shop2` and `shop`",
        ],
    );
    check(&[("shop", any), ("shop2", "telegram:shop2")], &[shop, ("shop2.yaml", TELEGRAM)], &[]);
}

#[test]
fn a_destination_is_a_crm_or_a_bot() {
    let check = |destination: &str, expect: &str| {
        let workspace = format!("destinations:\n  x: {destination}\n");
        let problems = compile_both(&workspace, "source: { preset: json, token: t }").1.problems;
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|problem| problem.contains(expect)), "{destination}: {problems:#?}");
    };
    check("{ bot: sandbox, url: u, token: t }", "`sandbox` is a CRM");
    check("{ crm: talker, token: t }", "`talker` is a bot");
    check("{ crm: sandbox, bot: talker, token: t }", "is both a `crm` and a `bot`");
    check("{ token: t }", "does not say which `crm` or `bot` it is");
    check("{ bot: tlaker, token: t }", "there is no bot `tlaker` (did you mean `talker`?)");
    check("{ crm: sandbox, url: u, token: t, chats: [a] }", "`chats` is not a setting of sandbox");
    for nobody in ["telegram", "':shop'", "'telegram:'", "'*:shop'", "'telegram:**'", "'*shop'"] {
        check(
            &format!("{{ bot: talker, token: t, chats: [{nobody}] }}"),
            "are the chats of no bot (write them as",
        );
    }
}
