//! Every page that links lead to, as the browser shows it: light, dark and on a phone, in both languages. Each must be
//! without a serious finding of axe-core, without complaints of the browser, no wider than the screen, and unharmed by what
//! others sent. Pictures are kept in `target/screenshots`.
//!
//! Nobody lists the pages: a new section is walked as soon as a link leads to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::json;

use super::rig;
use super::webdriver::{Look, Tab};
use crate::rig::{Rig, event, now_millis};

/// More kinds of pages than the console will ever have.
const MOST_PAGES: usize = 80;

/// What somebody may call themselves.
const HOSTILE: &[&str] = &[
    "<script>window.harmed=1</script>",
    "\"><img src=x onerror=\"window.harmed=1\">",
    "'};window.harmed=1;//",
    "</td></tr></table></main><h1>Pay here</h1>",
    "{{ 7 * 7 }} \u{202e}gnp.exe",
];

/// A registry as people have it: good leads, bad ones, and those of people who mean harm.
async fn lived_in() -> Rig {
    let rig = rig().await;
    for (place, name) in HOSTILE.iter().enumerate() {
        let chat = format!("h{place}");
        let said = json!({ "phone": format!("+38067123450{place}"), "email": format!("{chat}@example.com") });
        let mut body = event(&chat, "telegram", said, now_millis());
        body[0]["contact"]["name"] = json!(name);
        body[0]["contact"]["last_message"] = json!(name);
        body[0]["contact"]["variables"][*name] = json!(name);
        assert_eq!(rig.post(&body).await, 200);
    }
    let without_phone = json!({ "phone": "<script>window.harmed=1</script>" });
    assert_eq!(rig.post(&event("9", "viber", without_phone, now_millis())).await, 200);
    assert_eq!(rig.post_to("/in/sendpulse/demo", "<script>window.harmed=1</script>").await.0, 200);
    rig.settle().await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_fit_to_be_seen() {
    let rig = lived_in().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        let axe = axe();
        let mut findings = Vec::new();
        let mut kinds = BTreeMap::new();
        let mut open = VecDeque::from(links(&tab, "nav a").await);
        assert!(!open.is_empty(), "the console has sections");
        while let Some(path) = open.pop_front() {
            if kinds.contains_key(&kind(&path)) {
                continue;
            }
            tab.go(&path).await;
            findings.extend(look_at(&tab, axe.as_deref(), &path, "en").await);
            open.extend(links(&tab, "main a").await);
            kinds.insert(kind(&path), path);
            assert!(kinds.len() <= MOST_PAGES, "the walk does not end: {kinds:?}");
        }
        tab.go("/").await;
        tab.click("Українська").await;
        tab.sees("Вийти").await;
        for path in kinds.values() {
            tab.go(path).await;
            findings.extend(look_at(&tab, axe.as_deref(), path, "uk").await);
        }
        assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_those_who_are_not_let_in_are_fit_to_be_seen() {
    let rig = rig().await;
    if let Some(tab) = Tab::open(&rig).await {
        let axe = axe();
        let mut findings = Vec::new();
        tab.go("/sign-in").await;
        tab.click("With a token").await;
        findings.extend(look_at(&tab, axe.as_deref(), "/sign-in", "en").await);
        tab.fill("Token", "guess").await;
        tab.press_enter("Token").await;
        tab.sees("Name, password or token is wrong.").await;
        let (complaints, rest): (Vec<_>, Vec<_>) = look_at(&tab, axe.as_deref(), "/sign-in/refused", "en")
            .await
            .into_iter()
            .partition(|finding| finding.contains("401"));
        assert!(!complaints.is_empty(), "what is refused has the status of a refusal");
        findings.extend(rest);
        assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    }
    rig.end().await;
}

/// axe-core, where it could be fetched.
fn axe() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the usual way to tell a test of its browser")]
    let script = std::env::var("AXE_SCRIPT").ok();
    if script.is_none() {
        eprintln!("skipped: AXE_SCRIPT names no axe-core; pages are looked at without it");
    }
    script.map(|path| std::fs::read_to_string(path).unwrap())
}

/// Addresses of ours that links of the page lead to.
async fn links(tab: &Tab, selector: &str) -> Vec<String> {
    const SCRIPT: &str = "return [...document.querySelectorAll(arguments[0])]
        .filter(link => link.origin === location.origin && !link.hasAttribute('download'))
        .map(link => link.pathname + link.search)";
    let paths = tab.run(SCRIPT, json!([selector])).await;
    paths.as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned()).collect()
}

/// What pages that differ only in what they are about have in common: ids are `*`, and a query has no values.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_id = |part: &&str| part.bytes().any(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = path.split('/').map(|part| if is_id(&part) { "*" } else { part }).collect();
    let pairs = form_urlencoded::parse(query.as_bytes());
    let names: BTreeSet<_> = pairs.filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect();
    names.iter().fold(parts.join("/"), |kind, name| format!("{kind}?{name}"))
}

/// Four Latin words in a row that neither are marked as English nor are somebody's data or code.
const ENGLISH: &str = "
    const elsewhere = '[lang=en], [translate=no], code, pre, .code, .json, script, style, noscript, textarea, datalist';
    const english = /[A-Za-z]{2,}(?:[ ,;:’'()\\/-]+[A-Za-z]{2,}){3,}/;
    const found = [];
    const note = (element, text) => {
        if (text && english.test(text) && !element.closest(elsewhere)) found.push(text.trim());
    };
    note(document.querySelector('title'), document.title);
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) note(walker.currentNode.parentElement, walker.currentNode.data);
    for (const element of document.body.querySelectorAll('*')) {
        for (const name of ['aria-label', 'placeholder', 'title', 'alt', 'data-name']) note(element, element.getAttribute(name));
    }
    return found";

/// What is wrong with a page.
async fn look_at(tab: &Tab, axe: Option<&str>, path: &str, language: &str) -> Vec<String> {
    const STATE: &str = "return {
        status: performance.getEntriesByType('navigation')[0].responseStatus,
        language: document.documentElement.lang,
        headings: document.querySelectorAll('h1').length,
        harm: window.harmed || document.querySelectorAll('main h1 ~ h1, img[src=\"x\"], body script').length,
    }";
    let mut findings = Vec::new();
    let state = tab.run(STATE, json!([])).await;
    let expect = json!({ "status": 200, "language": language, "headings": 1, "harm": 0 });
    if state != expect {
        findings.push(format!("it is {state} instead of {expect}"));
    }
    // A list and one of it have names of their own.
    let name = kind(path).replace('*', "one");
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = match name.trim_matches('-') {
        "" => "registry",
        name => name,
    };
    if language == "uk" {
        let left = tab.run(ENGLISH, json!([])).await;
        findings.extend(left.as_array().unwrap().iter().map(|text| format!("English is left: {text}")));
    }
    for look in Look::ALL {
        tab.look(look).await;
        tab.keep_picture(&format!("{name}-{language}-{}", look.name)).await;
        let width = tab.run("return document.scrollingElement.scrollWidth", json!([])).await;
        if width.as_u64() > Some(look.width.into()) {
            findings.push(format!("{}: it is {width} px wide on a screen of {}", look.name, look.width));
        }
        if let Some(axe) = axe {
            findings.extend(judge(tab, axe).await.iter().map(|finding| format!("{}: {finding}", look.name)));
        }
    }
    tab.look(Look::ALL[0]).await;
    findings.extend(tab.complaints().await);
    findings.into_iter().map(|finding| format!("{path} ({language}): {finding}")).collect()
}

/// What axe-core finds that keeps somebody from using the page.
async fn judge(tab: &Tab, axe: &str) -> Vec<String> {
    const SCRIPT: &str = "const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then(
            result => done(result.violations.filter(violation => violation.impact !== 'minor').map(violation =>
                `${violation.impact} ${violation.id}: ${violation.help}: ` +
                violation.nodes.map(node => `${node.target.join(' ')} (${node.failureSummary})`).join('; '))),
            error => done([`axe-core failed: ${error}`]))";
    if tab.run("return typeof axe", json!([])).await == "undefined" {
        tab.run(axe, json!([])).await;
    }
    let found = tab.run_until_called(SCRIPT, json!([])).await;
    found.as_array().unwrap().iter().map(|finding| finding.as_str().unwrap().to_owned()).collect()
}
