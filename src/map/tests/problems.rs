//! What is said about broken files, all of it in one run, and what still works.

use super::*;

/// The problems of a source file as `line:column message (help)`.
fn problems(source: &str) -> Vec<String> {
    let found = compile_source(source).problems;
    let say = |problem: &Problem| problem.to_string().trim_start_matches("bot.yaml:").to_owned();
    found.iter().map(say).collect()
}

const HEAD: &str = "source: { preset: json, token: t }\n";

#[test]
fn all_problems_are_found_in_one_run_at_their_places() {
    let found = problems(
        "source: { preset: sendpuls, token: \"${NOT_SET}\", pausd: true }
vars: { a: \"{{ vars.b }}\", b: \"{{ vars.a }}\", c: \"{{ vars.shp }}\" }
leads:
  - name: Kyiv
    when: \"{{ service = 'telegram' }}\"
    to: [crn]
    owners: kyiv-sale
    phone: { regions: [UK, ZZ], if_invalid: keep }
    contact:
      nmae: x
      name: \"{{ contact.name | lwer }}\"
      phone: \"{{ lead.phone.e164 }}\"
      fields: { token: \"${TOKEN}\", both: \"{{ a }} << b >>\", open: \"{{ a\", statement: \"{% if a %}\" }
    deal: { title: {{ bot.name }}, stage: \"{{ vars.chat }}\" }
    task: { due: tomorrow }
    rules: { preset: leedbox, update: only_emtpy, task_on_repeat: { collapse: 15 }, needs: [fone] }
    identifiers: { chat: { bott: x } }
  - name: Kyiv
    to: [crm]
  - name: Last
    to: [crm]
tests:
  - given: a.json
    crm: nobody
    expect: { branch: Kiev, plan: [make contact] }
",
    );
    let expect = [
        "1:19: there is no preset `sendpuls` (did you mean `sendpulse`?)",
        "1:39: `token` needs the environment variable `NOT_SET`, which is not set (",
        "1:50: `pausd` is not a key of `source` (did you mean `paused`?)",
        "2:9: `vars.a` needs itself: a → b → a (",
        "2:28: `vars.b` needs itself: b → a → b (",
        "2:54: there is no variable `shp` under `vars:` (did you mean `shop`?)",
        "5:23: `=` does not compare (write `==`)",
        "6:10: there is no destination `crn` (did you mean `crm`?)",
        "7:13: there is no owner pool `kyiv-sale` (did you mean `kyiv-sales`?)",
        "8:24: `UK` is not a country (the United Kingdom is `GB`)",
        "8:28: `ZZ` is not a country (",
        "8:45: `keep` is not a possible value of `if_invalid` (",
        "10:7: `nmae` is not a key of `contact` (did you mean `name`?)",
        "11:32: there is no filter `lwer` (did you mean `lower`?)",
        "12:18: `lead` is not known yet where this value is read (",
        "13:25: `${…}` works only in fields that hold secrets, such as `token` (",
        "13:42: `contact.fields` mixes `{{ }}` and `<< >>` (",
        "13:70: a placeholder is opened with `{{` and not closed (",
        "13:87: statements `{% … %}` do not work in a mapping (",
        "14:20: a value that begins with `{{` needs quotes, because YAML reads braces as a mapping (",
        "14:47: there is no variable `chat` under `vars:` (",
        "15:18: `task.due` must be a duration, not `tomorrow` (",
        "16:22: `leedbox` is not a possible value of `rules.preset` (did you mean `leadbox`?)",
        "16:39: `only_emtpy` is not a possible value of `update` (did you mean `only_empty`?)",
        "16:79: `collapse` must be a duration, not `15` (",
        "16:93: `fone` is not a possible value of `needs` (did you mean `phone`?)",
        "17:28: `bott` is not a key of `identifiers.chat` (did you mean `bot`?)",
        "18:11: there is another entry of `leads` with the name `Kyiv`, in line 4 (",
        "20:11: no event can reach this entry: `Kyiv` before it takes all (",
        "24:10: `nobody` is not a possible value of `crm` (",
        "25:23: there is no branch `Kiev` (did you mean `Kyiv`?)",
        "25:36: `make contact` is not a possible value of `plan` (",
    ];
    for (at, expect) in expect.iter().enumerate() {
        let got = found.get(at).map_or("nothing", String::as_str);
        assert!(got.starts_with(expect), "\n expected {expect}\n      got {got}\n in {found:#?}");
    }
    assert_eq!(found.len(), expect.len(), "{found:#?}");
}

#[test]
fn problems_of_the_workspace_are_found_in_one_run() {
    let workspace = "
destinations:
  crm: { crm: sandbx, url: x }
  two: { crm: sandbox, url: x, tokn: y, mode: lve, share: 0, account: \"${ACCOUNT}\", timeout: soon }
  three: { url: x }
owner_pools:
  a: []
  b: [olha, olha]
  c: { owners: [{ usr: x }, { user: y, weight: 0 }], fallbak: z }
identity: { order: [chat, fone, chat], shared_from: 1, strict: yes, forget_after: 1d, limits: { phones: 0, chat: 3 } }
retention: { bodies: 90 }
alerts: { webhook: \"${ALERTS}\" }
unknown: 1
";
    let source = format!("{HEAD}leads: [{{ name: all, to: [crm] }}]\n");
    let (files, compiled) = compile_both(workspace, &source);
    let found: Vec<String> = compiled.problems.iter().map(ToString::to_string).collect();
    let expect = [
        "workspace.yaml:3:15: there is no CRM `sandbx` (did you mean `sandbox`?)",
        "workspace.yaml:4:8: destination `two` has no `token`",
        "workspace.yaml:4:32: `tokn` is not a setting of sandbox (did you mean `token`?)",
        "workspace.yaml:4:47: `lve` is not a possible value of `mode` (did you mean `live`?)",
        "workspace.yaml:4:59: `share` must be above 0 and at most 1, not `0` (",
        "workspace.yaml:4:72: `${…}` works only in fields that hold secrets",
        "workspace.yaml:4:94: `timeout` must be a duration, not `soon` (",
        "workspace.yaml:5:10: destination `three` does not say which `crm` or `bot` it is (",
        "workspace.yaml:7:6: owner pool `a` has nobody in it",
        "workspace.yaml:8:6: `olha` stands twice in owner pool `b` (",
        "workspace.yaml:9:17: this owner has no `user`",
        "workspace.yaml:9:19: `usr` is not a key of an owner (did you mean `user`?)",
        "workspace.yaml:9:48: `weight` must be from 1 to 1000 (",
        "workspace.yaml:9:54: `fallbak` is not a key of owner pool `c` (did you mean `fallback`?)",
        "workspace.yaml:10:27: `fone` is not a possible value of `order` (did you mean `phone`?)",
        "workspace.yaml:10:33: `chat` stands twice in `order`",
        "workspace.yaml:10:53: `shared_from` must be at least 2 (write 2 to take two different names",
        "workspace.yaml:10:64: `yes` is not a possible value of `strict`",
        "workspace.yaml:10:83: `forget_after` must be at least 30d (",
        "workspace.yaml:10:105: `phones` must be at least 1 (",
        "workspace.yaml:10:108: `chat` is not a key of `limits` (did you mean `chats`?)",
        "workspace.yaml:11:22: `bodies` must be a duration, not `90` (",
        "workspace.yaml:12:23: `alerts.webhook` needs the environment variable `ALERTS`, which is not set (",
        "workspace.yaml:13:1: `unknown` is not a key of `workspace.yaml` (",
    ];
    for (at, expect) in expect.iter().enumerate() {
        let got = found.get(at).map_or("nothing", String::as_str);
        assert!(got.starts_with(expect), "\n expected {expect}\n      got {got}\n in {found:#?}");
    }
    assert_eq!(found.len(), expect.len(), "a name of a broken entry is still a name: {found:#?}");
    // A broken workspace breaks the mapping of every source, but its token is read.
    let source = &compiled.workspace.sources["bot"];
    let broken = source.mapping.as_ref().unwrap_err();
    assert_eq!(broken.to_string(), "mapping broken, workspace.yaml:3");
    assert_eq!(source.token.as_ref().map(ExposeSecret::expose_secret), Some("t"));
    // And each problem can be shown with its excerpt.
    for problem in &compiled.problems {
        assert!(
            problem
                .render(&files, false)
                .contains(&format!("{}:{}:{}", problem.file, problem.line, problem.column))
        );
    }
}

#[test]
fn a_broken_file_keeps_its_token_and_breaks_nothing_else() {
    let good = format!("{HEAD}leads: [{{ name: all, to: [crm] }}]\n");
    let check = |broken: &str, line: usize, token: Option<&str>| {
        let files = [("workspace.yaml", WORKSPACE), ("bad.yaml", broken), ("good.yaml", &good)];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let compiled = compile(&files, &|_| None, KINDS, &PRESETS);
        assert!(!compiled.is_sound());
        let workspace = compiled.workspace;
        assert!(workspace.broken.is_none() && workspace.sources["good"].mapping.is_ok());
        let bad = &workspace.sources["bad"];
        let at = bad.mapping.as_ref().unwrap_err();
        assert_eq!((at.file.as_str(), at.line), ("bad.yaml", line), "{broken}\n{at:?}");
        assert_eq!(bad.token.as_ref().map(ExposeSecret::expose_secret), token, "{broken}");
    };
    check("source: { preset: json, token: t }\nleads: [\n", 2, Some("t"));
    check("source: { preset: json, token: t }\nleads:\n  - name: {{ a }} {{ b }}\n", 3, Some("t"));
    check("source: { preset: json, token: t, nonsense: 1 }\nleads: [{ name: a, to: [crm] }]\n", 1, Some("t"));
    check("source: { preset: json, token: t }\nnonsense: 1\nleads: [{ name: a, to: [crm] }]\n", 2, Some("t"));
    // The error stands before the source.
    check("vars: { a: \"x\nsource:\n  preset: json\n  token: t\n", 1, Some("t"));
    check("vars:\n\t- x\nsource: { preset: json, token: \"${TOKEN:-t}\" }\nleads: []\n", 2, Some("t"));
    check("source: { preset: json, token: \"${TOKEN}\" }\nleads: [{ name: a, to: [crm] }]\n", 1, None);
    check("just a text", 1, None);
    check("", 1, None);
}

#[test]
fn a_workspace_without_its_file_says_so() {
    let files = Files([("bot.yaml".to_owned(), format!("{HEAD}leads: []\n"))].into());
    let compiled = compile(&files, &|_| None, KINDS, &PRESETS);
    assert_eq!(compiled.problems[0].message, "the workspace has no `workspace.yaml`");
    let token = &compiled.workspace.sources["bot"].token;
    assert_eq!(token.as_ref().map(ExposeSecret::expose_secret), Some("t"));
}

#[test]
fn warnings_break_nothing() {
    let source = format!("{HEAD}leads: [{{ name: a, to: [crm], rules: {{ create_deal: never }} }}]\n");
    let compiled = compile_source(&source);
    let problem = &compiled.problems[0];
    assert_eq!((problem.severity, compiled.problems.len()), (Severity::Warning, 1));
    assert!(problem.message.contains("writes nothing"), "{problem}");
    assert!(compiled.is_sound() && compiled.workspace.sources["bot"].mapping.is_ok());
}

#[test]
fn what_never_says_who_somebody_is_has_no_place_in_the_order() {
    let workspace = format!("{WORKSPACE}identity: {{ order: [click, phone] }}\n");
    let (_, compiled) = compile_both(&workspace, &format!("{HEAD}leads: [{{ name: a, to: [crm] }}]\n"));
    let problems: Vec<String> = compiled.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("`click` is not a possible value of `order`"), "{problems:?}");
    assert!(!compiled.is_sound());
}

#[test]
fn defaults_of_secrets_are_reported() {
    let source = "source: { preset: json, token: \"${TOKEN:-demo}\" }\nleads: [{ name: a, to: [crm] }]\n";
    let compiled = compile_source(source);
    let used: Vec<&str> = compiled.workspace.defaults_used.iter().map(String::as_str).collect();
    assert_eq!(used, ["SANDBOX_URL", "TOKEN"]);
}

#[test]
fn names_of_files_are_names_of_sources() {
    for (file, expect) in
        [("notes.txt", "no YAML file"), ("Мій бот.yaml", "a-z"), (".yaml", "a-z"), ("Bot.yaml", "a-z")]
    {
        let files = [("workspace.yaml", WORKSPACE), (file, HEAD)];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let compiled = compile(&files, &|_| None, KINDS, &PRESETS);
        assert!(
            compiled.problems.iter().any(|problem| problem.message.contains(expect)),
            "{:?}",
            compiled.problems
        );
        assert!(compiled.workspace.sources.is_empty());
    }
}

#[test]
fn a_condition_is_one_placeholder() {
    for when in ["\"{{ service }} == 'telegram'\"", "telegram", "[\"{{ a }}\"]"] {
        let found = problems(&format!("{HEAD}leads: [{{ name: a, to: [crm], when: {when} }}]\n"));
        assert!(found[0].contains("`when` must be one placeholder"), "{found:?}");
    }
}

#[test]
fn nothing_secret_prints() {
    let source = "source: { preset: json, token: sesame }\nleads: [{ name: a, to: [crm] }]\n";
    let (_, compiled) = compile_both(&WORKSPACE.replace("token: abc", "token: opensesame"), source);
    let printed = format!("{compiled:?}");
    assert!(!printed.contains("sesame"), "{printed}");
}

const NO_BOT: &str = "5:26: `identifiers.chat` does not say in which bot the chat is (`bot`), and in another bot the same id is \
     somebody else (write where the event names its bot, `bot: \"{{ bot.id }}\"`, or a word of your own";

#[test]
fn a_chat_without_its_bot_is_an_error_and_never_a_default() {
    let check = |preset: &str, chat: &str, expect: &[&str]| {
        let head = format!("source: {{ preset: {preset}, token: t }}\n");
        let found = problems(&format!(
            "{head}leads:\n  - name: all\n    to: [crm]\n    identifiers: {{ chat: {{ {chat} }} }}\n"
        ));
        assert_eq!(found.len(), expect.len(), "{chat}: {found:#?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.starts_with(expect), "{chat}:\n expected {expect}\n      got {found}");
        }
    };
    for preset in ["json", "form"] {
        check(preset, "channel: telegram, id: <<id>>, bot: <<bot>>", &[]);
        check(preset, "channel: telegram, id: <<id>>, bot: shop", &[]);
        check(preset, "channel: telegram, id: <<id>>", &[NO_BOT]);
        check(preset, "channel: telegram, id: <<id>>, bot: ~", &[NO_BOT]);
        check(preset, "channel: telegram, id: <<id>>, bot: ' '", &[NO_BOT]);
        check(
            preset,
            "bot: shop, id: <<id>>",
            &["5:26: `identifiers.chat` does not say which messenger it is (`channel`) ("],
        );
        check(
            preset,
            "bot: shop, channel: viber",
            &["5:26: `identifiers.chat` has no `id`, so no chat is found ("],
        );
    }
    // The preset finds the chat with its bot; the mapping adds to it. A chat in a link is another one.
    check("sendpulse", "link: 'https://x'", &[]);
    check("sendpulse", "id: <<id>>", &[]);
    check("sendpulse", "channel: telegram, id: <<start>>, hint: true", &[NO_BOT]);
}

#[test]
fn proven_and_hint_stand_where_they_mean_something() {
    let check = |branch: &str, expect: &[&str]| {
        let found = problems(&format!("{HEAD}leads:\n  - name: all\n    to: [crm]\n    {branch}\n"));
        assert_eq!(found.len(), expect.len(), "{branch}: {found:#?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.starts_with(expect), "{branch}:\n expected {expect}\n      got {found}");
        }
    };
    check(
        "contact: { phone: { value: <<a>>, proven: true }, email: [<<b>>, { value: <<c>>, proven: \"{{ d }}\" }] }",
        &[],
    );
    check(
        "contact: { phone: { value: <<a>>, proven: maybe } }",
        &["5:47: `proven` must be one placeholder, or true, or false ("],
    );
    check(
        "contact: { phone: { value: <<a>>, proven: \"{{ lead.email }}\" } }",
        &["5:51: `lead` is not known yet"],
    );
    check(
        "contact: { phone: { value: <<a>>, proven: \"{{ vars.x }}\" } }",
        &["5:51: there is no variable `x`"],
    );
    check(
        "contact: { phone: { value: <<a>>, hint: true } }",
        &["5:39: `hint` is not a key of `contact.phone`"],
    );
    check("contact: { phone: { proven: true } }", &["5:23: `contact.phone` has no `value` ("]);
    check(
        "contact: { name: { value: <<a>>, proven: true } }",
        &["5:38: `proven` is not a key of `contact.name`"],
    );
    check(
        "identifiers: { external_customer: { shop: { value: <<a>>, hint: true } }, telegram_user: <<b>> }",
        &[],
    );
    check(
        "identifiers: { external_customer: { shop: { value: <<a>>, hint: soon } } }",
        &["5:69: `soon` is not a possible value of `hint`"],
    );
    check(
        "identifiers: { external_customer: { shop: { value: <<a>>, proven: true } } }",
        &["5:63: `proven` is not a key of"],
    );
    check(
        "identifiers: { external_customer: { shop: \"{{ vars.x }}\" } }",
        &["5:51: there is no variable `x`"],
    );
}

#[test]
fn a_source_of_tokens_says_its_application_and_no_other_does() {
    let check = |source: &str, expect: &[&str]| {
        let found = problems(&format!("source: {{ {source}, token: t }}\nleads: [{{ name: tokens }}]\n"));
        let fits = found.len() == expect.len()
            && found.iter().zip(expect).all(|(found, expect)| found.starts_with(expect));
        assert!(fits, "{source}\n expected {expect:#?}\n got {found:#?}");
    };
    let app = "preset: esputnik_tokens, app: 6f1c0000-0000-4000-8000-000000000001";
    check(app, &[]);
    check(&format!("{app}, bot: \"telegram:shop\", customers: crm"), &[]);
    check("preset: esputnik_tokens", &["1:9: `source` has no `app`, so nobody can send tokens to it ("]);
    check("preset: esputnik_tokens, app: a/b", &["1:41: `a/b` is no id of an application ("]);
    check("preset: esputnik_tokens, app: \"\"", &["1:41: `` is no id of an application ("]);
    check(&format!("{app}, bot: shop"), &["1:84: `shop` does not say which bot it is ("]);
    check(&format!("{app}, bot: \":shop\""), &["1:84: `:shop` does not say which bot it is ("]);
    let nowhere = "2:9: this entry of `leads` does not say where its leads go (`to`)";
    let only = "is only for `preset: esputnik_tokens`";
    check("preset: json, app: a", &[&format!("1:30: `app` {only}"), nowhere]);
    check("preset: json, customers: a", &[&format!("1:36: `customers` {only}"), nowhere]);
    check("preset: json, bot: \"telegram:shop\"", &[nowhere]);
    check(
        "preset: postback, dedupe_window: 5m",
        &[
            "1:44: `dedupe_window` does nothing for postbacks, which have a rule of their own for repeats (",
            nowhere,
        ],
    );
    check(
        "preset: sendpulse, bot: \"telegram:shop\"",
        &["1:35: `bot` is for presets whose events do not say which bot it is (", nowhere],
    );
}

#[test]
fn one_application_is_of_one_source() {
    let source = "source: { preset: esputnik_tokens, app: A-1, token: t }\nleads: [{ name: tokens }]\n";
    let files =
        [("workspace.yaml", WORKSPACE), ("a.yaml", source), ("b.yaml", &source.replace("A-1", "a-1"))];
    let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let found = compile(&files, &|_| None, KINDS, &PRESETS).problems;
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("b.yaml:1:1: source `a` has this `app` already"), "{found:#?}");
}

#[test]
fn what_is_remembered_goes_nowhere_and_needs_no_destination() {
    let check = |entry: &str, expect: &[&str]| {
        let found = problems(&format!("{HEAD}leads: [{{ name: all, {entry} }}]\n"));
        let fits = found.len() == expect.len()
            && found.iter().zip(expect).all(|(found, expect)| found.starts_with(expect));
        assert!(fits, "{entry}\n expected {expect:#?}\n got {found:#?}");
    };
    check("person: { fields: { sum: \"{{ query.sum }}\", vip: true } }", &[]);
    check("to: [crm], person: { fields: { sum: \"{{ lead.email }}\" } }", &[]);
    check(
        "person: { field: { sum: 1 } }",
        &["2:32: `field` is not a key of `person` (did you mean `fields`?)"],
    );
    check("person: { fields: [sum] }", &["2:40: `person.fields` must be a mapping"]);
    check("person: { fields: { sum: \"{{ vars.shp }}\" } }", &["2:51: there is no variable `shp`"]);
    check("person: ~", &["2:9: this entry of `leads` does not say where its leads go (`to`)"]);
    check("to: [], person: { fields: { sum: 1 } }", &["2:26: `to` names no destination"]);
}

#[test]
fn a_secret_that_no_request_could_have_is_refused() {
    let check = |head: &str, expect: Option<&str>| {
        let compiled =
            compile_source(&format!("source: {{ token: t, {head} }}\nleads: [{{ name: a, to: [crm] }}]\n"));
        let messages: Vec<&str> = compiled.problems.iter().map(|problem| problem.message.as_str()).collect();
        let secret = &compiled.workspace.sources["bot"].secret;
        match expect {
            None => assert!(messages.is_empty() && secret.is_some(), "{head}: {messages:?}"),
            Some(part) => {
                assert!(messages.len() == 1 && messages[0].contains(part), "{head}: {messages:?}");
                assert!(secret.is_none() && compiled.workspace.sources["bot"].mapping.is_err(), "{head}");
            }
        }
    };
    check("preset: telegram, secret: abcDEF_123-xyz", None);
    check("preset: telegram, secret: \"${SECRET:-demo}\"", None);
    check("preset: esputnik, secret: \"yespo:${PASSWORD:-demo}\"", None);
    check("preset: telegram, secret: \"not this!\"", Some("A-Z, a-z, 0-9"));
    check("preset: telegram, secret: \"\"", Some("empty"));
    check("preset: telegram, secret: \"${SECRET}\"", Some("environment variable `SECRET`"));
    check("preset: esputnik, secret: password", Some("a colon and the password"));
    check("preset: json, secret: abc", Some("nothing that `json` sends"));
    check("preset: telegrm, secret: abc", Some("telegrm"));
}

#[test]
fn links_are_refused_that_would_give_people_away() {
    let source = format!("{HEAD}leads: [{{ name: all, to: [crm] }}]\n");
    let found = |links: &str| {
        let (_, compiled) = compile_both(&format!("{WORKSPACE}\nlinks: {{ {links} }}\n"), &source);
        let problems = compiled.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        (problems, compiled.workspace.links)
    };
    let (problems, rules) =
        found("url: \"https://site.com/{buid}\", namespace: shop, pin_digits: 8, pin_life: 5m, life: 2h");
    assert_eq!(problems, "");
    assert_eq!(rules.url.as_deref(), Some("https://site.com/{buid}"));
    assert_eq!((rules.namespace.as_str(), rules.pin_digits), ("shop", 8));
    assert_eq!((rules.pin_life.as_secs(), rules.life.as_secs()), (300, 7_200));
    let check = |links: &str, expect: &str| {
        let (problems, _) = found(links);
        assert!(problems.contains(expect), "{links}: {problems}");
    };
    check("url: http://site.com", "`http://site.com` is no https address");
    check("url: \"https://\"", "is no https address");
    check("namespace: \"{{ a }}\"", "fixed");
    check("pin_digits: 3", "`pin_digits` must be between 4 and 12");
    check("pin_digits: 13", "`pin_digits` must be between 4 and 12");
    check("pin_life: 2h", "`pin_life` must be between 1m and 1h");
    check("pin_life: 10s", "`pin_life` must be between 1m and 1h");
    check("life: 31d", "`life` must be between 1m and 720h");
    check("pin_lief: 5m", "did you mean `pin_life`?");
    check("send_pin: pin", "`send_pin` names 'pin', and there is no trigger of that name");
}

#[test]
fn what_sends_pins_is_a_trigger_that_says_them() {
    let workspace = "destinations: { mine: { bot: talker, token: abc } }\nlinks: { send_pin: bot }\n";
    let check = |preset: &str, call: &str, expect: &str| {
        let source = format!(
            "source: {{ preset: {preset}, token: demo }}\nleads: [{{ name: all, calls: [{{ to: mine, {call} }}] }}]\n"
        );
        let (_, compiled) = compile_both(workspace, &source);
        let found: Vec<String> = compiled.problems.iter().map(ToString::to_string).collect();
        assert_eq!(found.join("\n"), expect, "{preset} {call}");
    };
    check("trigger", "set_tag: \"Your PIN is {{ pin }}\"", "");
    check(
        "trigger",
        "set_tag: Hello",
        "workspace.yaml:2:20: trigger 'bot' is to send PINs (`send_pin`), and no call of it says the PIN (write `{{ pin }}` \
         into a call of `bot.yaml`, where the bot is to say it)",
    );
    check(
        "json",
        "set_tag: \"{{ pin }}\"",
        "workspace.yaml:2:20: `send_pin` names 'bot', and there is no trigger of that name (write `bot.yaml` with `source: \
         { preset: trigger, … }` and a call that says the PIN: `{{ pin }}`)",
    );
}
