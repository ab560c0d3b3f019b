//! Requests to hosts that a destination names: as the mapping writes them, whatever leads hold.

use std::sync::Arc;

use leadfold::crm::http::recorded;
use leadfold::crm::{Crm, connect, description};
use leadfold::map::Files;
use leadfold::plan::{Call, Step};
use leadfold::rules::{Destination, Misuse};
use leadfold::sandbox::Faults;
use leadfold::workspace::{Environment, compile_with};
use serde_json::{Value, json};

use super::stand_in::{Reply, Request, StandIn};
use super::{SECRET, call, check_answers, destination, outcome, step, told};
use crate::crm::fixture::Recorder;
use crate::rig::{Rig, until};

fn account(hosts: &str) -> Destination {
    destination("webhook", &[("hosts", hosts)])
}

fn bot(server: &StandIn) -> Arc<dyn Crm> {
    connect(&account(&server.url())).unwrap()
}

fn request(with: Value) -> Call {
    Call { chat: None, ..call("request", ("", ""), with) }
}

fn address(origin: &str, segments: &[&str], query: &[(&str, &str)]) -> Value {
    json!({ "origin": origin, "segments": segments, "query": query })
}

/// Sends a request that must go out, and gives what arrived.
async fn sent(server: &StandIn, account: &Destination, with: Value) -> (Request, Step) {
    let (step, journal) = (step(request(with.clone())), Recorder::default());
    let outcome = outcome(&*connect(account).unwrap(), &step, &journal).await;
    assert_eq!(told(&outcome), ("done", step.id.to_string().as_str()), "{with}");
    assert_eq!(journal.sent(), [step.id]);
    (server.requests().pop().unwrap(), step)
}

#[tokio::test]
async fn a_request_is_what_the_mapping_says() {
    let server = StandIn::always(Reply::text(200, "OK")).await;
    let url = server.url();
    let account = account(&url);

    let with = json!({ "url": address(&url, &["postback"], &[("clickid", "67a")]) });
    let (seen, step) = sent(&server, &account, with).await;
    assert_eq!(
        (seen.line(), seen.query.as_str(), seen.body.as_str()),
        ("GET /postback".into(), "clickid=67a", "")
    );
    assert_eq!(seen.header("idempotency-key"), step.id.to_string());
    assert_eq!(seen.header("content-type"), "");

    let with = json!({
        "url": address(&url, &["api", "leads", ""], &[("v", "2")]),
        "query": { "sum": 10.5, "none": null, "empty": "", "tag": ["a", "b"] },
        "headers": { "X-Source": "leadfold", "Accept": "text/plain" },
        "json": { "name": "Олена", "phones": ["+380671234567"], "of": { "n": 7 } },
    });
    let (seen, _) = sent(&server, &account, with).await;
    assert_eq!((seen.line(), seen.query.as_str()), ("POST /api/leads/".into(), "v=2&sum=10.5&tag=a&tag=b"));
    assert_eq!((seen.header("x-source"), seen.header("accept")), ("leadfold", "text/plain"));
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.json(), json!({ "name": "Олена", "phones": ["+380671234567"], "of": { "n": 7 } }));

    let with = json!({ "url": address(&url, &[], &[]), "method": "put", "form": { "name": "Олена & co", "n": [1, 2], "none": null } });
    let (seen, _) = sent(&server, &account, with).await;
    assert_eq!((seen.line(), seen.query.as_str()), ("PUT /".into(), ""));
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(seen.body, "name=%D0%9E%D0%BB%D0%B5%D0%BD%D0%B0+%26+co&n=1&n=2");

    for method in ["DELETE", "PATCH", "POST", "GET"] {
        let (seen, _) =
            sent(&server, &account, json!({ "url": address(&url, &["x"], &[]), "method": method })).await;
        assert_eq!(seen.line(), format!("{method} /x"));
    }

    let with = json!({ "url": address(&url, &["x"], &[]), "headers": { "idempotency-key": "mine" } });
    let (seen, _) = sent(&server, &account, with).await;
    assert_eq!(seen.header("idempotency-key"), "mine");
}

#[tokio::test]
async fn what_leads_hold_is_escaped_for_its_place() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let url = server.url();
    for (hostile, in_path, in_query) in [
        ("x&status=blocked", "x&status=blocked", "x%26status%3Dblocked"),
        ("../../admin", "..%2F..%2Fadmin", "..%2F..%2Fadmin"),
        ("%2e%2e", "%252e%252e", "%252e%252e"),
        ("..%2f", "..%252f", "..%252f"),
        ("a?b#c", "a%3Fb%23c", "a%3Fb%23c"),
        ("@evil.example", "@evil.example", "%40evil.example"),
        ("\\evil", "%5Cevil", "%5Cevil"),
        ("．．／", "%EF%BC%8E%EF%BC%8E%EF%BC%8F", "%EF%BC%8E%EF%BC%8E%EF%BC%8F"),
        ("a b+c", "a%20b+c", "a+b%2Bc"),
        (";=,", ";=,", "%3B%3D%2C"),
    ] {
        let with = json!({ "url": address(&url, &["p", hostile, "x"], &[("id", hostile), ("fix", "1")]) });
        let (seen, _) = sent(&server, &account(&url), with).await;
        assert_eq!(seen.path, format!("/p/{in_path}/x"), "{hostile}");
        assert_eq!(seen.query, format!("id={in_query}&fix=1"), "{hostile}");
        assert_eq!(seen.header("host"), url.trim_start_matches("http://"));
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_it_is_journalled() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let other = StandIn::always(Reply::text(200, "")).await;
    let (url, bot) = (server.url(), bot(&server));
    let at = |segments: &[&str]| address(&url, segments, &[]);
    let port = url.rsplit(':').next().unwrap().to_owned();
    for (with, expect) in [
        (json!({}), "the call has no address"),
        (json!({ "url": url }), "the call has no address"),
        // Other hosts, and the same one by another name, port or scheme.
        (json!({ "url": address(&other.url(), &["x"], &[]) }), "not among the hosts of destination `bot`"),
        (json!({ "url": address(&format!("http://localhost:{port}"), &[], &[]) }), "not among the hosts"),
        (json!({ "url": address("http://127.0.0.1", &[], &[]) }), "not among the hosts"),
        (json!({ "url": address(&url.replace("http:", "https:"), &[], &[]) }), "not among the hosts"),
        (json!({ "url": address(&format!("{url}@evil.example"), &[], &[]) }), "not among the hosts"),
        (json!({ "url": address("file:///etc/passwd", &[], &[]) }), "not among the hosts"),
        (json!({ "url": address("http://169.254.169.254", &["latest"], &[]) }), "not among the hosts"),
        (json!({ "url": address("", &[], &[]) }), "not among the hosts"),
        // Segments that addresses have no way to write.
        (json!({ "url": at(&["a", "..", "b"]) }), "cannot be a part of an address"),
        (json!({ "url": at(&["."]) }), "cannot be a part of an address"),
        (json!({ "url": at(&["a", "", "b"]) }), "cannot be a part of an address"),
        (json!({ "url": at(&["a\r\nHost: evil.example"]) }), "cannot be a part of an address"),
        (json!({ "url": at(&["a\tb"]) }), "cannot be a part of an address"),
        (json!({ "url": at(&[]), "method": "TRACE" }), "`TRACE` is no method; write one of: GET, POST"),
        (json!({ "url": at(&[]), "method": "GET", "json": {} }), "a GET has no body"),
        (json!({ "url": at(&[]), "json": {}, "form": {} }), "one body"),
        (json!({ "url": at(&[]), "form": [1] }), "`form` must be a mapping"),
        (json!({ "url": at(&[]), "form": { "a": { "b": 1 } } }), "`form.a` must be one value"),
        (json!({ "url": at(&[]), "query": "a=b" }), "`query` must be a mapping"),
        (
            json!({ "url": at(&[]), "headers": { "Host": "evil.example" } }),
            "the header `Host` follows from the address",
        ),
        (json!({ "url": at(&[]), "headers": { "transfer-encoding": "chunked" } }), "leave it out"),
        (json!({ "url": at(&[]), "headers": { "Content-Type": "x" }, "form": { "a": 1 } }), "leave it out"),
    ] {
        let (step, journal) = (step(request(with.clone())), Recorder::default());
        let outcome = outcome(&*bot, &step, &journal).await;
        let (word, why) = told(&outcome);
        assert_eq!(word, "rejected", "{with}: {why}");
        assert!(why.contains(expect), "{with}: {why}");
        assert!(journal.sent().is_empty(), "{with}");
    }
    // What cannot stand in a header is found when the request is built.
    let with = json!({ "url": at(&[]), "headers": { "X-Name": "a\r\nX-Admin: 1" } });
    let outcome = outcome(&*bot, &step(request(with)), &Recorder::default()).await;
    assert_eq!(told(&outcome).0, "rejected", "{outcome:?}");
    assert_eq!((server.requests().len(), other.requests().len()), (0, 0));
}

#[tokio::test]
async fn what_answers_mean() {
    let elsewhere = StandIn::always(Reply::text(200, "")).await;
    let slow = Reply::text(429, "slow down").with("Retry-After", "7");
    let answers = vec![
        (Reply::text(200, ""), "done", ""),
        (Reply::text(200, "OK"), "done", ""),
        (Reply::text(201, "GIF89a"), "done", ""),
        (Reply::text(204, ""), "done", ""),
        // Nothing is known of the other side, so its status is taken at its word.
        (Reply::json(200, &json!({ "success": false })), "done", ""),
        (Reply::json(400, &json!({ "message": "no such campaign" })), "rejected", "no such campaign"),
        (Reply::text(404, "<html>not here"), "rejected", "404"),
        (Reply::text(409, ""), "rejected", "409"),
        (Reply::text(422, ""), "rejected", "422"),
        (Reply::text(302, "").with("Location", &elsewhere.url()), "rejected", "it redirects"),
        (Reply::text(307, "").with("Location", &elsewhere.url()), "rejected", "it redirects"),
        (Reply::text(401, ""), "unauthorised", "credentials"),
        (Reply::text(403, ""), "unauthorised", "credentials"),
        (slow, "retry", "over its rate limit"),
        (Reply::text(500, "oops"), "unknown", "500"),
        (Reply::text(503, ""), "unknown", "503"),
        (Reply::Silence, "unknown", "no answer within"),
        (Reply::HangsUp, "unknown", "the connection broke"),
    ];
    let to = |url: &str| request(json!({ "url": address(url, &["x"], &[]), "json": { "a": 1 } }));
    check_answers(answers, account, to).await;
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn every_host_that_is_named_is_called_and_says_who_it_was() {
    let servers = [StandIn::always(Reply::text(200, "")).await, StandIn::always(Reply::text(200, "")).await];
    let gone = StandIn::always(Reply::text(200, "")).await.gone().await;
    let urls = [servers[0].url(), servers[1].url(), gone.clone()];
    let bot = connect(&account(&json!(urls).to_string())).unwrap();
    for (at, server) in servers.iter().enumerate() {
        let call = request(json!({ "url": address(&server.url(), &["x"], &[("n", &at.to_string())]) }));
        let (outcome, exchanges) = recorded(outcome(&*bot, &step(call), &Recorder::default())).await;
        assert_eq!(told(&outcome).0, "done");
        assert_eq!(exchanges[0].target, format!("/x?n={at}"));
        assert_eq!(server.requests().len(), 1);
    }
    let call = request(json!({ "url": address(&gone, &["x"], &[]) }));
    let outcome = outcome(&*bot, &step(call), &Recorder::default()).await;
    let authority = gone.trim_start_matches("http://");
    assert!(told(&outcome).1.contains(&format!("no connection to {authority}")), "{outcome:?}");
}

#[tokio::test]
async fn credentials_go_along_and_never_show() {
    let server =
        StandIn::start(|request| Reply::text(400, &format!("{:?} {}", request.headers, request.query))).await;
    let url = server.url();
    for (auth, header, query) in [
        (json!({ "bearer": SECRET }), ("authorization", format!("Bearer {SECRET}")), "a=1"),
        (json!({ "header": { "X-Api-Key": SECRET } }), ("x-api-key", SECRET.to_owned()), "a=1"),
        (
            json!({ "query": { "token": SECRET } }),
            ("authorization", String::new()),
            "a=1&token=s3cret-of-the-bot",
        ),
    ] {
        let account = destination("webhook", &[("hosts", &url), ("auth", &auth.to_string())]);
        let call =
            request(json!({ "url": address(&url, &["x"], &[("a", "1")]), "json": { "echo": SECRET } }));
        let (outcome, exchanges) =
            recorded(outcome(&*connect(&account).unwrap(), &step(call), &Recorder::default())).await;
        let seen = server.requests().pop().unwrap();
        assert_eq!((seen.header(header.0), seen.query.as_str()), (header.1.as_str(), query), "{auth}");
        let shown = format!("{outcome:?}{}", serde_json::to_string(&exchanges).unwrap());
        assert!(shown.contains("•••") && !shown.contains(SECRET), "{shown}");
    }
}

#[tokio::test]
async fn a_request_is_repeated_only_where_the_destination_says_that_it_may_be() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let url = server.url();
    for (setting, expect) in [(None, false), (Some("false"), false), (Some("true"), true)] {
        let settings: Vec<_> =
            [("hosts", url.as_str())].into_iter().chain(setting.map(|word| ("repeatable", word))).collect();
        let bot = connect(&destination("webhook", &settings)).unwrap();
        assert_eq!(bot.repeatable(&request(json!({}))), expect, "{setting:?}");
    }
    // Every try of a step has the same key, so that a server that heeds it does the work once.
    let step = step(request(json!({ "url": address(&url, &[], &[]) })));
    let bot = bot(&server);
    for _ in 0..2 {
        assert_eq!(told(&outcome(&*bot, &step, &Recorder::default()).await).0, "done");
    }
    let keys: Vec<_> =
        server.requests().iter().map(|request| request.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys, [step.id.to_string(), step.id.to_string()]);
    assert_eq!(told(&outcome(&*bot, &step, &Recorder::broken()).await).0, "retry");
    assert_eq!(server.requests().len(), 2, "nothing is sent that could not be recorded");
}

#[test]
fn a_destination_that_cannot_work_is_refused() {
    let check = |settings: &[(&str, &str)], expect: &str| {
        let Err(error) = connect(&destination("webhook", settings)) else { panic!("{settings:?}") };
        assert!(error.0.starts_with("destination `bot`: ") && error.0.contains(expect), "{error}");
        assert!(!error.0.contains("s3cret"), "{error}");
    };
    check(&[], "`hosts` is missing");
    check(&[("hosts", "[]")], "`hosts` is empty");
    check(&[("hosts", "https://t.example/postback")], "is no host");
    check(&[("hosts", "me:s3cret@t.example")], "is no host");
    check(&[("hosts", "https://t.example?x=1")], "is no host");
    check(&[("hosts", "ftp://t.example")], "must begin with https://");
    check(&[("hosts", "[\"t.example\", \"http://u.example\"]")], "make a destination of each kind");
    check(&[("hosts", "t.example"), ("auth", "{\"token\": 1}")], "`auth` cannot be read");
    check(&[("hosts", "t.example"), ("repeatable", "yes")], "`repeatable` is `yes`");
    for hosts in [
        "t.example",
        "t.example, u.example:8443",
        "[\"t.example\"]",
        "https://t.example/",
        "T.Example",
        "тест.укр",
        "[\"https://[::1]:8443\"]",
    ] {
        assert!(connect(&account(hosts)).is_ok(), "{hosts}");
    }
}

fn misuses(arguments: Value) -> Vec<String> {
    let check = description("webhook").unwrap().bot.unwrap().check.unwrap();
    let Value::Object(arguments) = arguments else { panic!("arguments have names") };
    let text = |misuse: Misuse| {
        format!("{}: {} ({})", misuse.parameter, misuse.message, misuse.help.unwrap_or_default())
    };
    check(&account("t.example, u.example:8443"), "request", &arguments).into_iter().map(text).collect()
}

#[test]
fn constant_arguments_are_looked_over_while_the_mapping_is_loaded() {
    let at = |origin: &str| json!({ "origin": origin });
    for sound in [
        json!({ "url": at("https://t.example") }),
        json!({ "url": at("https://T.example:443"), "method": null, "json": null }),
        json!({ "url": at("https://u.example:8443"), "method": "patch", "form": { "a": null } }),
        json!({ "url": at("https://t.example"), "headers": { "X-A": null } }),
    ] {
        assert_eq!(misuses(sound.clone()), Vec::<String>::new(), "{sound}");
    }
    let check = |arguments: Value, expect: &str| {
        let found = misuses(arguments.clone());
        assert!(found.len() == 1 && found[0].contains(expect), "{arguments}: {found:?}");
    };
    for origin in [
        "https://evil.example",
        "http://t.example",
        "https://t.example:8443",
        "https://t.example.evil.example",
        "https://u.example",
    ] {
        check(
            json!({ "url": at(origin) }),
            &format!("url: `{origin}` is not among the hosts of destination `bot`"),
        );
    }
    check(
        json!({ "url": at("https://x.example") }),
        "named there: https://t.example, https://u.example:8443",
    );
    check(json!({ "method": "FETCH" }), "method: `FETCH` is no method");
    check(json!({ "method": "GET", "json": {} }), "method: a GET has no body");
    check(json!({ "json": {}, "form": {} }), "form: a request has one body");
    check(json!({ "headers": { "HOST": null } }), "headers: the header `HOST`");
}

const WORKSPACE: &str = "
destinations:
  hook: { bot: webhook, hosts: [tracker.example, \"${OTHER_HOST:-other.example}\"], auth: { bearer: \"${TOKEN:-t}\" } }
  dialogs:
    bot: chatterfy
    postback_id: \"${POSTBACK_ID:-p}\"
    steps: { Flow RD / FD: 046050f6-38f6-4b18-b9fa-e6582f5352d0 }
vars: { link: \"https://tracker.example/go?id={{ contact.id }}\" }
";

fn problems(workspace: &str, calls: &str) -> Vec<String> {
    let source = format!("source: {{ preset: json, token: t }}\nleads:\n  - name: all\n    calls:\n{calls}");
    let files = [("workspace.yaml", workspace), ("bot.yaml", source.as_str())];
    let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let environment: Environment = Arc::new(|_| None);
    compile_with(&files, &environment).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_mapping_says_at_its_place_what_will_be_refused() {
    let sound = "
      - { to: hook, request: \"https://tracker.example/postback?clickid={{ contact.id }}\" }
      - { to: hook, request: { url: \"{{ vars.link }}\", method: POST, json: { a: [\"{{ contact }}\", 1] } } }
      - { to: hook, braces: single, request: { url: \"https://other.example?subid={tracker.clickid}\", query: { name: \"{username}\" } } }
      - { to: dialogs, update_dialog: Flow RD / FD }
      - { to: dialogs, update_dialog: { step: \"{{ contact.step }}\", fields: { a: 1 } } }
";
    assert_eq!(problems(WORKSPACE, sound), Vec::<String>::new());
    let check = |call: &str, expect: &str| {
        let found = problems(WORKSPACE, &format!("      - {call}\n"));
        assert!(
            found.len() == 1 && found[0].starts_with("bot.yaml:5:") && found[0].contains(expect),
            "{call}: {found:#?}"
        );
    };
    check(
        "{ to: hook, request: \"https://evil.example/x\" }",
        "5:30: `https://evil.example` is not among the hosts of destination `hook`",
    );
    check("{ to: hook, request: \"https://{{ contact.host }}/x\" }", "no host");
    check("{ to: hook, request: \"{{ vars.lnk }}\" }", "there is no variable `lnk`");
    check("{ to: hook, request: { method: GET } }", "`request` has no `url`");
    check("{ to: hook, request: { url: https://tracker.example, method: FETCH } }", "`FETCH` is no method");
    check("{ to: hook, request: { url: https://tracker.example, json: {}, form: {} } }", "one body");
    check(
        "{ to: hook, braces: single, request: { url: https://tracker.example, json: { a: {username} } } }",
        "needs quotes",
    );
    check(
        "{ to: hook, braces: tripple, request: https://tracker.example }",
        "`tripple` is not a possible value of `braces`",
    );
    check("{ to: dialogs, update_dialog: Flow RD / F }", "did you mean `Flow RD / FD`?");
    check("{ to: dialogs, update_dialog: { status: off } }", "`off` is no status");
    check("{ to: dialogs, update_dialog: { fields: ~ } }", "this call changes nothing");
    let workspace = |from: &str, to: &str| {
        let found = problems(
            &WORKSPACE.replace(from, to),
            "      - { to: dialogs, update_dialog: 046050f6-38f6-4b18-b9fa-e6582f5352d0 }\n",
        );
        found.join("\n")
    };
    assert!(workspace("[tracker.example,", "[https://tracker.example/x,").contains("is no host"));
    assert!(
        workspace("{ bearer: \"${TOKEN:-t}\" }", "{ bearer: a, basic: b }")
            .contains("`auth` must say one way")
    );
    let twice = workspace("steps: { Flow RD / FD:", "steps: { flow rd/fd: 7, Flow RD / FD:");
    assert!(twice.contains("are one name"), "{twice}");
}

/// From the webhook of a platform to the request, through a running leadfold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_is_told_to_a_tracker_whatever_it_holds() {
    const MAPPING: &str = r#"
source: { preset: sendpulse, token: demo }
leads:
  - name: all
    calls:
      - { to: hook, request: "{{ vars.postback }}&name={{ contact.name }}" }
      - to: hook
        braces: single
        request:
          url: "http://{ADDRESS}/leads/{contact.name}"
          query: { missing: "{nowhere}" }
          json: { text: "{contact.name} {\"a\": 1}" }
"#;
    let server = StandIn::always(Reply::text(200, "OK")).await;
    let addr = server.url().replace("http://", "");
    let mut rig = Rig::prepare(Faults::default(), "", &MAPPING.replace("{ADDRESS}", &addr)).await;
    rig.edit(
        "workspace.yaml",
        "owner_pools:",
        &format!("  hook: {{ bot: webhook, hosts: \"{}\" }}\nowner_pools:", server.url()),
    );
    let vars = format!(
        "vars: {{ postback: \"http://{addr}/postback?clickid={{{{ contact.id }}}}\" }}\nowner_pools:"
    );
    rig.edit("workspace.yaml", "owner_pools:", &vars);
    rig.boot().await;
    let name = "{{ contact.id }}&status=blocked{contact.id}/../..";
    let body = json!([{
        "service": "telegram", "title": "incoming_message", "date": 1_763_000_000,
        "bot": { "id": "b", "name": "Bot" },
        "contact": { "id": "c1&x=2", "name": name, "variables": { "phone": "+380671234567" } },
    }]);
    assert_eq!(rig.post(&body).await, 200);
    until("both requests", || async { server.requests().len() == 2 }).await;
    let requests = server.requests();
    let escaped = "%7B%7B+contact.id+%7D%7D%26status%3Dblocked%7Bcontact.id%7D%2F..%2F..";
    assert_eq!(requests[0].line(), "GET /postback");
    assert_eq!(requests[0].query, format!("clickid=c1%26x%3D2&name={escaped}"));
    assert_eq!(
        requests[1].line(),
        "POST /leads/%7B%7B%20contact.id%20%7D%7D&status=blocked%7Bcontact.id%7D%2F..%2F.."
    );
    assert_eq!(
        (requests[1].query.as_str(), requests[1].json()),
        ("", json!({ "text": format!("{name} {{\"a\": 1}}") }))
    );
    assert_ne!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));
    rig.shut_down().await;
}
