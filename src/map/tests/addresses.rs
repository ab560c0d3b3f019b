//! Addresses with placeholders: what an event holds stays one segment or one value, whatever it holds.

use super::*;
use crate::map::scope::{Definitions, Scope};
use crate::map::template::Braces;
use crate::map::template::address::AddressTemplate;
use crate::plan::Address;

/// Reads `url: …` beside `vars: …` and gives what is done with it, or what is wrong with it.
fn read<T>(
    vars: &str,
    url: &str,
    braces: Braces,
    then: impl FnOnce(&AddressTemplate, &Definitions) -> T,
) -> Result<T, String> {
    let text = format!("vars: {vars}\nurl: {url}\n");
    let reader = Reader::new("bot.yaml", &text, &|_| None);
    let tree = parse(&text);
    let variables = variables::read(&reader, tree.root.get("vars"), &Definitions::new());
    let node = tree.root.get("url").unwrap();
    let address = reader.address(node, "`url`", Sees::Lead, braces, &variables);
    let (problems, _) = reader.finish();
    let problems: Vec<_> = tree
        .faults
        .iter()
        .map(|fault| fault.message.clone())
        .chain(problems.iter().map(ToString::to_string))
        .collect();
    match address {
        Some(address) if problems.is_empty() => Ok(then(&address, &variables)),
        _ => Err(problems.join("\n")),
    }
}

/// `None`: something that the address needs is not there.
fn fill_in(vars: &str, url: &str, braces: Braces, payload: Json) -> Result<Option<Address>, String> {
    read(vars, url, braces, |address, variables| {
        let event = event(payload);
        let scope = Scope::new(&event, variables, "bot", jiff::Timestamp::UNIX_EPOCH);
        let lead = json!({ "email": "o@example.com" });
        match address.fill(scope.with_lead(&lead)) {
            Ok(json) => Some(serde_json::from_value(json).unwrap()),
            Err(error) => {
                assert!(error.message.contains("has nothing here, and an address needs"), "{error}");
                assert_eq!(error.place.line, 2);
                None
            }
        }
    })
}

fn fill(url: &str, payload: Json) -> Option<Address> {
    fill_in("{}", &format!("\"{url}\""), Braces::Double, payload)
        .unwrap_or_else(|wrong| panic!("{url}: {wrong}"))
}

fn address(origin: &str, segments: &[&str], query: &[(&str, &str)]) -> Address {
    Address {
        origin: origin.to_owned(),
        segments: segments.iter().map(|text| (*text).to_owned()).collect(),
        query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

#[test]
fn is_taken_apart_as_it_is_written() {
    let check = |url: &str, expect: Address| {
        assert_eq!(fill(url, json!({ "a": "A", "n": 7 })), Some(expect), "{url}");
    };
    check("https://t.example", address("https://t.example", &[], &[]));
    check("https://t.example/", address("https://t.example", &[], &[]));
    check("http://127.0.0.1:8080/x/", address("http://127.0.0.1:8080", &["x", ""], &[]));
    check("https://t.example?x=1", address("https://t.example", &[], &[("x", "1")]));
    check("https://t.example/?x", address("https://t.example", &[], &[("x", "")]));
    check(
        "https://t.example/p/{{ a }}/u-{{ n }}.json?id={{ a }}&of=x{{ n }}y&&z=",
        address("https://t.example", &["p", "A", "u-7.json"], &[("id", "A"), ("of", "x7y"), ("z", "")]),
    );
    check(
        "https://t.example/<< a >>?v=<< lead.email >>&q=<< query.utm.source >>",
        address("https://t.example", &["A"], &[("v", "o@example.com"), ("q", "ads")]),
    );
    // What is escaped is meant as what it stands for; an equals sign or a question mark in a value is one.
    check(
        "https://t.example/a%20b/%D1%97%2F?q=1+2%26%3D&r=a=b?c/d",
        address("https://t.example", &["a b", "ї/"], &[("q", "1 2&="), ("r", "a=b?c/d")]),
    );
    check("https://t.example/%20/a", address("https://t.example", &[" ", "a"], &[]));
    check("https://t.example/назва?ключ={{ a }}", address("https://t.example", &["назва"], &[("ключ", "A")]));
}

#[test]
fn what_an_event_holds_stays_where_it_is_put() {
    for hostile in [
        "x&status=blocked",
        "../../admin",
        "..",
        "%2e%2e%2f",
        "a/b?c=d#e",
        "@evil.example",
        "https://evil.example/",
        "\\\\evil.example",
        "a\r\nHost: evil.example",
        "．．／",
        "{{ lead.email }}",
        "{{ vars.secret }} << a >> {a} ${TOKEN} {% if a %}",
        "\u{0}\u{202e}",
        "=&=&",
    ] {
        let url = "https://t.example/p/{{ a }}/x-{{ a }}?id={{ a }}&fix=1";
        let part = format!("x-{hostile}");
        let expect = address("https://t.example", &["p", hostile, &part], &[("id", hostile), ("fix", "1")]);
        assert_eq!(fill(url, json!({ "a": hostile })), Some(expect), "{hostile}");
    }
}

#[test]
fn an_address_needs_all_of_its_placeholders() {
    let check =
        |url: &str, payload: Json, expect: bool| assert_eq!(fill(url, payload).is_some(), expect, "{url}");
    check("https://t.example/p?id={{ a }}&b=1", json!({}), false);
    check("https://t.example/p?id={{ a }}", json!({ "a": null }), false);
    check("https://t.example/p?id={{ a }}", json!({ "a": "" }), true);
    check("https://t.example/p?id={{ a | default('') }}", json!({}), true);
    check("https://t.example/{{ a }}/p", json!({}), false);
    // An empty segment would be another path, and at the end another address.
    check("https://t.example/{{ a }}/p", json!({ "a": "" }), false);
    check("https://t.example/p/{{ a }}", json!({ "a": " \t" }), false);
    check("https://t.example/p/u{{ a }}", json!({ "a": "" }), true);
}

#[test]
fn what_is_wrong_with_an_address_is_said_at_its_place() {
    let check = |url: &str, expect: &str| {
        let wrong = fill_in("{ word: evil.example }", url, Braces::Double, json!({ "a": "A" })).unwrap_err();
        assert!(wrong.starts_with("bot.yaml:2:6: ") && wrong.contains(expect), "{url}: {wrong}");
        assert_eq!(wrong.lines().count(), 1, "{wrong}");
    };
    check("tracker.example/postback", "an address begins with https://");
    check("ftp://tracker.example", "an address begins with https://");
    check("HTTPS://tracker.example", "an address begins with https://");
    check("\"\"", "an address begins with https://");
    check("7", "an address begins with https://");
    check("https://", "no host");
    check("https:///x", "no host");
    check("\"https://a b/x\"", "no host");
    check("https://evil%2eexample/x", "no host");
    check("https://me:secret@t.example/", "no name and password");
    check("\"{{ a }}\"", "says its host itself");
    check("\"{{ a }}/x\"", "says its host itself");
    check("\"https://{{ a }}/x\"", "no host");
    check("\"https://{{ vars.word }}/x\"", "no host");
    check("\"https://t.{{ a }}/x\"", "cannot be a part of the host");
    check("\"https://t.example{{ a }}\"", "cannot be a part of the host");
    check("\"https://t.example:{{ a }}/x\"", "cannot be a part of the host");
    check("\"{{ vars.word }}/x\"", "an address begins with https://");
    check("\"{{ vars.word | upper }}/x\"", "says its host itself");
    check("\"https://t.example/x?{{ a }}=1\"", "the name of a parameter");
    check("\"https://t.example/x?a=1&{{ a }}\"", "the name of a parameter");
    check("\"https://t.example/x?a{{ a }}\"", "the name of a parameter");
    check("https://t.example/x?=1", "a parameter has no name");
    check("https://t.example//x", "`//`, `.` or `..`");
    check("https://t.example/x/../y", "`//`, `.` or `..`");
    check("https://t.example/%2e%2E/y", "`//`, `.` or `..`");
    check("\"https://t.example/x#y\"", "never sent");
    check("\"https://t.example/x\\\\y\"", "no `\\`");
    check("\"https://t.example/x y\"", "no spaces");
    check("\"https://t.example/x\\ty\"", "no spaces");
    check("https://t.example/100%", "two digits");
    check("\"https://t.example/%2{{ a }}\"", "two digits");
    check("https://t.example/%FF", "UTF-8");
    check("[https://t.example]", "must be one text");
    let unknown = fill_in("{}", "\"{{ vars.link }}\"", Braces::Double, json!({})).unwrap_err();
    assert_eq!(unknown, "bot.yaml:2:10: there is no variable `link` under `vars:`");
}

#[test]
fn an_address_may_begin_with_a_variable_that_holds_one() {
    let vars = "{ host: \"https://pp.example\", base: \"{{ vars.host }}/reg\", link: \"{{ vars.base }}?sub={{ tracker.clickid }}\", about: \"{{ lead_ }}\" }";
    let check = |url: &str, expect: Address| {
        let payload = json!({ "tracker": { "clickid": "a&b={{ x }}" }, "lead": { "email": "payload" } });
        let filled =
            fill_in(vars, url, Braces::Double, payload).unwrap_or_else(|wrong| panic!("{url}: {wrong}"));
        assert_eq!(filled, Some(expect), "{url}");
    };
    let click = ("sub", "a&b={{ x }}");
    check("\"{{ vars.link }}\"", address("https://pp.example", &["reg"], &[click]));
    check(
        "\"{{ vars.link }}-1&x={{ lead.email }}\"",
        address("https://pp.example", &["reg"], &[("sub", "a&b={{ x }}-1"), ("x", "o@example.com")]),
    );
    check("\"{{ vars.base }}/x\"", address("https://pp.example", &["reg", "x"], &[]));
    check("<<vars.host>>", address("https://pp.example", &[], &[]));
    // Anywhere else it is a value.
    let link = "https://pp.example/reg?sub=a&b={{ x }}";
    check(
        "\"https://t.example/{{ vars.link }}?u={{ vars.link }}\"",
        address("https://t.example", &[link], &[("u", link)]),
    );
    // The host is what all of its letters say.
    let vars = "{ host: \"https://pp.example\" }";
    let longer = fill_in(vars, "\"{{ vars.host }}.evil.example/x\"", Braces::Double, json!({})).unwrap();
    assert_eq!(longer, Some(address("https://pp.example.evil.example", &["x"], &[])));
    let wrong = fill_in(vars, "\"{{ vars.host }}{{ a }}\"", Braces::Double, json!({})).unwrap_err();
    assert!(wrong.contains("part of the host"), "{wrong}");
}

/// What a call knows beyond the event has names of ours, and variables see the event only.
#[test]
fn a_variable_sees_the_event_wherever_it_stands() {
    let vars = "{ link: \"https://pp.example/{{ chat }}\" }";
    let seen = read(vars, "\"{{ vars.link }}/{{ chat.id }}\"", Braces::Double, |address, variables| {
        let event = event(json!({ "chat": "payload" }));
        let scope = Scope::new(&event, variables, "bot", jiff::Timestamp::UNIX_EPOCH);
        let late = serde_json::Map::from_iter([("chat".to_owned(), json!({ "id": 7 }))]);
        address.fill(scope.with_late(&late)).unwrap()["segments"].clone()
    });
    assert_eq!(seen, Ok(json!(["payload", "7"])));
}

#[test]
fn single_braces_in_an_address() {
    let check = |url: &str, expect: Option<Address>| {
        let payload = json!({ "tracker": { "clickid": "67a" }, "username": "ivan&x=1", "ref-id": "r", "person": { "fields": { "balance": 5 }, "click": "other" } });
        assert_eq!(
            fill_in("{ link: \"https://pp.example?c={{ tracker.clickid }}\" }", url, Braces::Single, payload),
            Ok(expect),
            "{url}"
        );
    };
    let keitaro = "https://k.example/p/postback?subid={tracker.clickid}&username={username}";
    check(
        keitaro,
        Some(address("https://k.example", &["p", "postback"], &[("subid", "67a"), ("username", "ivan&x=1")])),
    );
    check(
        "https://k.example/{ref-id}?b={balance}",
        Some(address("https://k.example", &["r"], &[("b", "5")])),
    );
    check("https://k.example/?chat={chatId}", None);
    check("\"{vars.link}\"", Some(address("https://pp.example", &[], &[("c", "67a")])));
    check(
        "\"https://k.example?c={{ tracker.clickid }}\"",
        Some(address("https://k.example", &[], &[("c", "67a")])),
    );
    let wrong = |url: &str| fill_in("{}", url, Braces::Single, json!({})).unwrap_err();
    for url in [
        "https://{username}/x",
        "https://k.example/?{username}=1",
        "\"{username}\"",
        "https://k.example/{user name}",
        "\"https://k.example/{{ a }}/{b}\"",
    ] {
        assert!(wrong(url).starts_with("bot.yaml:2:"), "{url}");
    }
}

/// A value of a call with single braces.
fn single(yaml: &str, payload: Json) -> Result<Option<Json>, String> {
    let text = format!("x: {yaml}\n");
    let reader = Reader::new("bot.yaml", &text, &|_| None);
    let template =
        reader.template_in(parse(&text).root.get("x").unwrap(), "a value", Sees::Lead, Braces::Single);
    let (problems, _) = reader.finish();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let Some(template) = template.filter(|_| problems.is_empty()) else { return Err(problems.join("\n")) };
    let (event, variables) = (event(payload), Definitions::new());
    let scope = Scope::new(&event, &variables, "bot", jiff::Timestamp::UNIX_EPOCH);
    Ok(template.evaluate(scope.event()).unwrap())
}

#[test]
fn single_braces_in_values() {
    let payload = || {
        json!({
            "username": "ivan", "n": 7, "nothing": null, "chatId": 700, "text": "{n} {{ n }}",
            "tracker": { "clickid": "67a" }, "chat": { "id": 1 },
            "person": { "click": "person's", "fields": { "ad_name": "spring", "username": "old", "balance": 0 } },
        })
    };
    let check = |yaml: &str, expect: Json| {
        assert_eq!(single(yaml, payload()), Ok(Some(expect).filter(|json| !json.is_null())), "{yaml}");
    };
    check("\"{username}\"", json!("ivan"));
    check("\"{n}\"", json!(7));
    check("\"Hi, {username}: {n}!\"", json!("Hi, ivan: 7!"));
    check("\"{tracker.clickid}{chatId}\"", json!("67a700"));
    check("\"{tracker.ad_name} {ad_name} {fields.ad_name}\"", json!("spring spring spring"));
    check("\"{balance}\"", json!(0));
    check("\"{nothing}\"", json!(null));
    check("\"a {nothing}\"", json!(null));
    check("[\"{n}\", \"{nothing}\", x]", json!([7, "x"]));
    check("{ value: \"{n}\", required: true }", json!(7));
    // What comes from an event is data.
    check("\"{text}\"", json!("{n} {{ n }}"));
    // Braces that are none of ours.
    check(
        "'{\"name\": \"{username}\", \"of\": {\"n\": {n}}}'",
        json!("{\"name\": \"ivan\", \"of\": {\"n\": 7}}"),
    );
    check(r"'\{username}'", json!("{username}"));
    check("'a{2}'", json!("a{2}"));
    check("12", json!(12));
    check("true", json!(true));
    check("'{}'", json!("{}"));
    check("~", json!(null));
    // Expressions, in the brackets of all other values.
    check("\"{{ username | upper }}\"", json!("IVAN"));
    check("<< username | upper >>", json!("IVAN"));
}

#[test]
fn what_is_wrong_with_single_braces_is_said() {
    let check = |yaml: &str, expect: &str| {
        let wrong = single(yaml, json!({})).unwrap_err();
        assert!(wrong.contains(expect), "{yaml}: {wrong}");
    };
    check("\"a {user name}\"", "bot.yaml:1:7: this brace is no placeholder");
    check("\"{username\"", "and looks like one");
    check("\"{username | upper}\"", "<< … >> takes expressions");
    check("\"{{ username }} {n}\"", "mixes `{{ }}` and `{name}`");
    check("\"<< username >> {n}\"", "mixes `<< >>` and `{name}`");
    check("{username}", "needs quotes");
    check("{tracker.clickid}", "needs quotes");
    check("\"${username}\"", "only in fields that hold secrets");
    // Without `braces: single` they are text.
    assert_eq!(value("\"{username} {user name}\"", sample()), Ok(Some(json!("{username} {user name}"))));
}

proptest! {
    /// Whatever an event holds, the address has the host, the segments and the names that its author wrote.
    #[test]
    fn the_shape_of_an_address_is_its_authors(value in any::<String>()) {
        let filled = fill("https://t.example/p/{{ a }}/x{{ a }}?id={{ a }}&fix=1", json!({ "a": &value }));
        match filled {
            None => prop_assert!(value.trim().is_empty()),
            Some(filled) => {
                let longer = format!("x{value}");
                prop_assert_eq!(filled, address("https://t.example", &["p", &value, &longer], &[("id", &value), ("fix", "1")]));
            }
        }
    }

    /// Reading never panics, and what is read as an address begins with a host.
    #[test]
    fn any_text_is_an_address_or_is_refused(text in "[a-z:/?#&={}<>%@. \\\\]{0,40}", single in any::<bool>()) {
        let braces = if single { Braces::Single } else { Braces::Double };
        let quoted = serde_json::to_string(&format!("https://h{text}")).unwrap();
        if let Ok(origin) = read("{}", &quoted, braces, |address, _| address.origin().to_owned()) {
            prop_assert!(origin.starts_with("https://h"));
            let host = origin.trim_start_matches("https://");
            let odd = host.contains(['/', '?', '#', '@', '{', '<', '\\', ' ']);
            prop_assert!(!odd, "{}", origin);
        }
    }
}

/// The variables of a workspace and of a source, and what is wrong with them.
fn cycles(workspace: &str, source: &str) -> Vec<String> {
    let workspace =
        format!("destinations:\n  crm: {{ crm: sandbox, url: x, token: t }}\nvars: {workspace}\n");
    let source = format!(
        "source: {{ preset: json, token: t }}\nvars: {source}\nleads: [{{ name: all, to: [crm], contact: {{ name: x }} }}]\n"
    );
    let compiled = compile_both(&workspace, &source).1;
    let messages = compiled.problems.iter().map(|problem| problem.message.clone());
    messages.filter(|message| message.contains("needs itself")).collect()
}

#[test]
fn variables_that_need_themselves_are_named_with_the_way_back() {
    let check = |workspace: &str, source: &str, expect: &[&str]| {
        assert_eq!(cycles(workspace, source), expect, "{workspace} {source}");
    };
    check("{ a: \"{{ vars.a }}\" }", "{}", &["`vars.a` needs itself: a → a"]);
    check(
        "{ link: \"{{ vars.base }}/x\", base: \"https://{{ vars.host }}\", host: \"<< vars.link >>\" }",
        "{}",
        &[
            "`vars.link` needs itself: link → base → host → link",
            "`vars.base` needs itself: base → host → link → base",
            "`vars.host` needs itself: host → link → base → host",
        ],
    );
    // The source's own variable closes the circle.
    check("{ a: \"{{ vars.b }}\", b: x }", "{ b: \"{{ vars.a }}\" }", &["`vars.b` needs itself: b → a → b"]);
    check("{ a: \"{{ vars }}\" }", "{}", &["`vars.a` needs itself: a → a"]);
    check("{ a: \"{{ vars.b }}{{ vars.b }}\", b: \"{{ contact.a }}\" }", "{ c: \"{{ vars.a }}\" }", &[]);
}

#[test]
fn the_value_of_a_variable_is_data() {
    let text = "{{ contact.vip }} << contact.vip >> {vip} {% if contact %}";
    let expect = json!(format!("Hello {text}, welcome to Polynia"));
    assert_eq!(
        value("\"{{ vars.nested }}\"", json!({ "contact": { "name": text, "vip": true } })),
        Ok(Some(expect))
    );
}
