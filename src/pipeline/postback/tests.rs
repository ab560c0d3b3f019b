//! What postbacks say, and which branch each is for.

use serde_json::json;

use super::*;
use crate::event::{KeyLifetime, preset};
use crate::id::DeliveryId;
use crate::map::{Files, compile};

fn compiled(postback: &str, leads: &str) -> crate::map::Compiled {
    let workspace = "destinations: { crm: { crm: sandbox, url: u, token: t } }\n";
    let source = format!(
        "source: {{ preset: postback, token: t }}\n{postback}\ndefaults: {{ to: [crm] }}\nleads:\n{leads}"
    );
    let files = [("workspace.yaml", workspace.to_owned()), ("network.yaml", source)];
    let files = Files(files.map(|(name, text)| (name.to_owned(), text)).into());
    compile(&files, &|_| None, super::super::tests::KINDS, &["postback"])
}

fn event(query: &str) -> Event {
    let delivery = crate::event::Delivery {
        id: DeliveryId(uuid::Uuid::nil()),
        source: "network".to_owned(),
        method: "GET".to_owned(),
        query: Some(query.to_owned()),
        headers: Vec::new(),
        body: Vec::new(),
        received_at: Timestamp::UNIX_EPOCH,
    };
    (preset("postback").unwrap().split)(&delivery).unwrap().remove(0)
}

const ANY: &str = "  - { name: any }\n";

fn said(postback: &str, query: &str) -> Report {
    let compiled = compiled(postback, ANY);
    assert!(compiled.is_sound(), "{:#?}", compiled.problems);
    let mapping = compiled.workspace.sources["network"].mapping.as_ref().unwrap();
    report(mapping, &event(query), Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn every_network_is_read_by_its_own_names() {
    let check = |postback: &str, query: &str, expect: [Option<&str>; 5]| {
        let Report::Postback(postback, _) = said(postback, query) else { panic!("{query}") };
        let got = [
            Some(postback.click.as_str()),
            Some(postback.event.as_str()),
            postback.id.as_deref(),
            postback.cost.as_deref(),
            postback.currency.as_deref(),
        ];
        assert_eq!(got, expect, "{query}");
        assert_eq!(postback.ordinal, None);
    };
    check(
        "",
        "clickid=67aB&tracker.event=registration",
        [Some("67aB"), Some("registration"), None, None, None],
    );
    check(
        "",
        "clickid=67aB&tracker.event=Sale&tracker.cost=50.00&tracker.currency=usd&fields.user_id=884412",
        [Some("67aB"), Some("sale"), None, Some("50.00"), Some("usd")],
    );
    check("", "subid=67aB&status=sale", [Some("67aB"), Some("sale"), None, None, None]);
    check(
        "postback: { network: keitaro }",
        "subid=67aB&status=rebill&tid=2&payout=25&cost=3&currency=EUR&clickid=other",
        [Some("67aB"), Some("rebill"), Some("2"), Some("25"), Some("EUR")],
    );
    check(
        "postback: { network: binomo }",
        "click_id=67aB&reg=true",
        [Some("67aB"), Some("registration"), None, None, None],
    );
    check(
        "postback: { network: 1win }",
        "sub1=67aB&event=deposit",
        [Some("67aB"), Some("deposit"), None, None, None],
    );
    check(
        "postback: { click: <<sub2>>, event: \"{{ 'sale' if goal == 'ftd' else goal }}\", id: <<order.no>> }",
        "clickid=no&sub2=67aB&goal=ftd&order.no=77&amount=5",
        [Some("67aB"), Some("sale"), Some("77"), Some("5"), None],
    );
    check(
        "postback: { campaign: [summer, winter] }",
        "clickid=a1&status=sale&campaign=winter",
        [Some("a1"), Some("sale"), None, None, None],
    );
}

#[test]
fn what_cannot_be_counted_says_why() {
    let check = |postback: &str, query: &str, code: &str, text: &str| {
        let Report::Filtered(reason) = said(postback, query) else { panic!("{query}") };
        assert_eq!(reason.code, code, "{query}");
        assert!(reason.text.contains(text), "{query}: {}", reason.text);
    };
    check("", "tracker.event=sale", "no_click_id", "cannot be tracked");
    check("", "clickid=&status=sale", "no_click_id", "(`clickid` or `subid` or `click_id`)");
    check("", "clickid={tracker.clickid}&status=sale", "no_click_id", "{tracker.clickid}");
    check("", "clickid={{tracker.clickid}}&status=sale", "no_click_id", "{{tracker.clickid}}");
    check("", "clickid=null&status=sale", "no_click_id", "null");
    check("", "clickid=a&clickid=b&status=sale", "no_click_id", "no click id");
    check("", "clickid=a1", "no_event", "`tracker.event`");
    check("", "clickid=a1&tracker.event=+", "no_event", "does not say what happened");
    check("", &format!("clickid=a1&status={}", "a".repeat(200)), "no_event", "does not say");
    check("postback: { network: binomo }", "click_id=a1&reg=false", "no_event", "does not say");
    check("postback: { campaign: summer }", "clickid=a1&status=sale", "other_campaign", "names no campaign");
    check(
        "postback: { campaign: summer }",
        "clickid=a1&status=sale&campaign=autumn",
        "other_campaign",
        "'autumn'",
    );
    let strict = "postback: { campaign: { only: summer, value: <<sub3>> } }";
    check(strict, "clickid=a1&status=sale&campaign=summer", "other_campaign", "names no campaign");
}

#[test]
fn the_same_again_has_the_same_key_and_anything_else_another() {
    let key = |query: &str| match said("", query) {
        Report::Postback(_, key) => key,
        other @ (Report::Filtered(_) | Report::NeedsAttention { .. }) => panic!("{other:?}"),
    };
    let first = key("clickid=Xq1&tracker.event=sale&tracker.cost=50");
    assert_eq!(first.lifetime, KeyLifetime::Window);
    assert!(!first.value.contains("Xq1"), "{}", first.value);
    // What says nothing of the deposit may differ, as the time of sending does.
    assert_eq!(first, key("tracker.cost=50&tracker.event=SALE&clickid=Xq1&sent=17"));
    for other in [
        "clickid=Xq2&tracker.event=sale&tracker.cost=50",
        "clickid=Xq1&tracker.event=resale&tracker.cost=50",
        "clickid=Xq1&tracker.event=sale&tracker.cost=50.01",
        "clickid=Xq1&tracker.event=sale",
    ] {
        assert_ne!(first, key(other), "{other}");
    }
    let numbered = key("clickid=Xq1&tracker.event=sale&event_id=77");
    assert_eq!((numbered.value.as_str(), numbered.lifetime), ("sale:77", KeyLifetime::Retention));
    assert_eq!(numbered, key("clickid=Xq1&tracker.event=sale&event_id=77&tracker.cost=9"));
    assert_ne!(numbered, key("clickid=Xq1&tracker.event=resale&event_id=77"));
}

#[test]
fn the_branch_for_this_very_one_goes_before_the_branch_for_any() {
    let leads = "
  - { name: sale, on: sale }
  - { name: large, on: resale, when: \"{{ postback.cost | float > 100 }}\" }
  - { name: resale, on: resale }
  - { name: second, on: [resale#2, resale#4] }
  - { name: third if large, on: resale#3, when: \"{{ postback.cost | float > 100 }}\" }
  - { name: seen, on: seen, contact: { fields: { which: \"{{ postback.ordinal }}\", event: <<postback.event>> } } }
";
    let compiled = compiled("", leads);
    assert!(compiled.is_sound(), "{:#?}", compiled.problems);
    let mapping = compiled.workspace.sources["network"].mapping.as_ref().unwrap();
    let check = |query: &str, ordinal: u64, expect: Option<&str>| match interpret_numbered(
        mapping,
        &event(&format!("clickid=a1&{query}")),
        ordinal,
        Timestamp::UNIX_EPOCH,
    ) {
        Interpreted::Lead(lead, index) => {
            assert_eq!(Some(lead.branch.as_str()), expect, "{query} #{ordinal}");
            assert_eq!(mapping.branches()[index].name, lead.branch);
            assert!(lead.identifiers.is_empty());
            assert_eq!(lead.postback.unwrap().ordinal, Some(ordinal));
        }
        Interpreted::Filtered(reason) => {
            assert_eq!((reason.code.as_str(), None), ("no_branch", expect), "{query} #{ordinal}");
            assert!(reason.text.contains("`on:` for resale, resale#2, resale#3"), "{}", reason.text);
        }
        other @ Interpreted::NeedsAttention { .. } => panic!("{other:?}"),
    };
    check("status=sale", 1, Some("sale"));
    check("status=sale", 2, Some("sale"));
    check("status=resale&cost=5", 1, Some("resale"));
    check("status=resale&cost=500", 1, Some("large"));
    check("status=resale&cost=500", 2, Some("second"));
    check("status=resale&cost=500", 3, Some("third if large"));
    // It is declared for the third, so what is declared for any does not run.
    check("status=resale&cost=5", 3, None);
    check("status=resale&cost=5", 4, Some("second"));
    check("status=resale&cost=5", 5, Some("resale"));
    check("status=withdrawal", 1, None);
    let seen = interpret_numbered(
        mapping,
        &event("clickid=a1&status=seen&postback.event=x"),
        7,
        Timestamp::UNIX_EPOCH,
    );
    let Interpreted::Lead(lead, _) = seen else { panic!("{seen:?}") };
    assert_eq!(json!(lead.contact.fields), json!({ "event": "seen", "which": 7 }));
}

#[test]
fn mistakes_in_the_file_are_found() {
    let check = |postback: &str, leads: &str, expect: &[&str]| {
        let compiled = compiled(postback, leads);
        let problems: Vec<String> = compiled.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), expect.len(), "{problems:#?}");
        for (problem, expect) in problems.iter().zip(expect) {
            assert!(problem.contains(expect), "{problem}");
        }
    };
    check("", "  - { name: a, on: sale }\n  - { name: b, on: sale#2 }\n  - { name: c }", &[]);
    check("", "  - { name: a, on: resale#0 }", &["events are counted from 1"]);
    check(
        "",
        "  - { name: a, on: sale }\n  - { name: b, on: [sale] }",
        &["no postback can reach `b`: `a` before it"],
    );
    check("", "  - { name: a, on: sale }\n  - { name: b, on: [sale, resale] }", &[]);
    check(
        "",
        "  - { name: a }\n  - { name: b, on: sale }",
        &["no event can reach this entry: `a` before it"],
    );
    check(
        "",
        "  - { name: a, identifiers: { click: <<clickid>> } }",
        &["`identifiers` would do nothing here"],
    );
    check(
        "postback: { network: 1wni }",
        ANY,
        &["`1wni` is not a possible value of `postback.network` (did you mean `1win`?)"],
    );
    check("postback: { click: clickid }", ANY, &["`postback.click` has no placeholder"]);
    check("postback: { campaign: { value: <<sub3>> } }", ANY, &["which campaign counts"]);
    check("postback: { repeats: soon }", ANY, &["must be a duration"]);
    check("postback: { clik: <<a>> }", ANY, &["did you mean `click`?"]);
    check("postback: { click: \"{{ vars.nothing }}\" }", ANY, &["nothing"]);
    let files = Files(
        [(
            "bot.yaml".to_owned(),
            "source: { preset: json, token: t }\npostback: {}\nleads: [{ name: a, on: sale, person: { fields: { a: b } } }]".to_owned(),
        )]
        .into(),
    );
    let problems = compile(&files, &|_| None, super::super::tests::KINDS, &["json"]).problems;
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        problems.iter().any(|one| one.contains("`postback` is for sources with `preset: postback`")),
        "{problems:#?}"
    );
    assert!(problems.iter().any(|one| one.contains("`on` is for postbacks")), "{problems:#?}");
}
