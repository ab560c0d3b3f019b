//! Text of strangers on every page: what a lead, a mapping, a CRM or a request says is read, and never run.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::http::StatusCode;
use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Browser, TOKEN};
use crate::rig::{IMPATIENT, MAPPING, Rig, now_millis};

/// Out of a text, out of an attribute, out of a script, out of a picture; and what no text should have.
const EVIL: &str = "</title></textarea></script><script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover=alert(3) x=\"'><svg/onload=alert(4)>{{7*7}}\u{202e}gnp.exe\u{1b}[31m\u{7f}";
/// What stands on a page when one of them got through.
const THROUGH: [&str; 7] = [
    "<script>alert",
    "<img",
    "<svg/onload",
    "\" onmouseover",
    "</textarea></script>",
    "javascript:",
    "onerror=alert(2)>",
];

/// A CRM that refuses everything with a page of its own.
async fn rude() -> String {
    let body = format!("<html>{EVIL}{}</html>", "<b>no</b>\u{0}\u{8}".repeat(100_000));
    let mut bytes = body.into_bytes();
    bytes.extend([0xff, 0xc3]);
    let answer = move || {
        let bytes = bytes.clone();
        async move { (StatusCode::UNPROCESSABLE_ENTITY, [("content-type", "text/html")], bytes) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    url
}

async fn prepared() -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    let rude = rude().await;
    let settings = format!("crm: sandbox, url: \"{rude}\", token: demo, timeout: 5s");
    rig.edit("workspace.yaml", "owner_pools:", &format!("  rude: {{ {settings} }}\nowner_pools:"));
    let quoted = serde_json::to_string(&EVIL.replace("{{7*7}}", "")).unwrap();
    let mapping = MAPPING
        .replace("- name: all", &format!("- name: {quoted}"))
        .replace("to: [crm]", "to: [crm, rude]")
        .replace("fields:\n", "fields:\n        said: \"{{ contact.last_message }}\"\n");
    let mapping = format!("# {}\n{mapping}", EVIL.replace(['\u{1b}', '\u{7f}'], ""));
    let mapping = mapping.replace("\\u001b", "\\e").replace('\u{7f}', "\\x7F");
    rig.files.0.insert("sendpulse.yaml".to_owned(), mapping);
    rig.token = Some(TOKEN);
    rig.boot().await;
    rig
}

fn links(page: &str) -> Vec<String> {
    let found = page.split("href=\"").skip(1).filter_map(|part| part.split('"').next());
    let found = found.filter(|link| link.starts_with('/'));
    found.map(|link| link.replace("&amp;", "&").split('#').next().unwrap().to_owned()).collect()
}

async fn pages(browser: &Browser) -> BTreeMap<String, String> {
    let (mut read, mut waiting) = (BTreeMap::new(), BTreeSet::from(["/".to_owned()]));
    while let Some(path) = waiting.pop_first() {
        let known = read.contains_key(&path) || read.len() > 150;
        if known || path.starts_with("/assets") || path.starts_with("/live") {
            continue;
        }
        let page = browser.get(&path).await;
        assert!(page.status < 500, "{path}: {} {}", page.status, page.text);
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        waiting.extend(links(&page.text));
        read.insert(path, page.text);
    }
    assert!(read.len() > 15, "{:?}", read.keys());
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_write_is_read_and_never_run() {
    let rig = prepared().await;
    for (number, phone) in ["0671234567", "0671234568", EVIL].into_iter().enumerate() {
        let body = json!([{
            "service": EVIL, "title": EVIL,
            "bot": { "id": EVIL, "name": EVIL, "external_id": EVIL, "url": EVIL },
            "contact": {
                "id": format!("{EVIL}{number}"), "name": EVIL, "username": EVIL, "phone": null, "email": EVIL, "photo": EVIL,
                "last_message": EVIL, "tags": [EVIL], EVIL: EVIL, "variables": { "phone": phone, "email": EVIL, EVIL: EVIL }
            },
            "info": { EVIL: EVIL }, "date": now_millis()
        }]);
        assert_eq!(rig.post(&body).await, 200);
    }
    // Nor what is no lead at all, or comes with such headers.
    for body in [EVIL.as_bytes(), b"[{\"contact\": {\"name\": \"\xc3", b"\xff\xfe"] {
        rig.post_to("/in/sendpulse/demo", body.to_vec()).await;
    }
    rig.post_with("/in/sendpulse/demo", ("user-agent", "<script>alert(1)</script>"), &json!([{ "x": EVIL }]))
        .await;
    rig.settle().await;
    let people = rig.post_to_api("/api/people/newest", &json!({})).await.1;
    let ids: Vec<&str> =
        people["people"].as_array().unwrap().iter().filter_map(|one| one["id"].as_str()).collect();
    if let [one, other, ..] = ids[..] {
        let said = json!({ "note": EVIL, "author": EVIL });
        rig.post_to_api("/api/people/merge", &json!({ "one": one, "other": other, "said": said })).await;
    }
    rig.settle().await;
    let admin = Browser::of(&rig, Role::Admin).await;
    for language in ["en", "uk"] {
        admin.speak(language);
        let mut seen = 0;
        for (path, text) in pages(&admin).await {
            for through in THROUGH {
                assert!(!text.contains(through), "{path}: {through} in {text}");
            }
            assert!(!text.contains(">49<"), "{path}: nobody works out what a stranger wrote");
            seen += usize::from(text.contains("&lt;script&gt;alert"));
        }
        assert!(seen >= 5, "it must have been shown on several pages, not {seen}");
    }
    // What a CRM said is short, and has no more in it than a person reads.
    for row in rig.sql("SELECT * FROM syncs").await {
        assert!(row.iter().all(|value| value.len() < 20_000), "{row:?}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_address_says_is_read_and_never_run() {
    let rig = prepared().await;
    let admin = Browser::of(&rig, Role::Admin).await;
    let encoded: String = form_urlencoded::byte_serialize(EVIL.as_bytes()).collect();
    let in_path = encoded.replace('+', "%20");
    for value in [&*encoded, "%00", "%ff%fe", "99999999999999999999", "'%20OR%201=1--"] {
        for page in [
            "/",
            "/people",
            "/attention",
            "/destinations",
            "/overview",
            "/mappings",
            "/access",
            "/access/actions",
            "/deliveries",
            "/people/merge",
            "/people/split",
            "/attention/replay",
            "/attention/held",
            "/sign-in",
            "/mappings/new",
            "/account",
        ] {
            for name in [
                "q",
                "source",
                "destination",
                "state",
                "from",
                "to",
                "before",
                "after",
                "limit",
                "done",
                "who",
                "one",
                "with",
                "what",
                "at",
                "place",
                "how",
                "up_to",
                "name",
                "next",
                "kind",
                "count",
                "answer",
                "code",
                "period",
                "days",
            ] {
                let path = format!("{page}?{name}={value}");
                let answer = admin.get(&path).await;
                assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.text);
                for through in THROUGH {
                    assert!(!answer.text.contains(through), "{path}: {through}");
                }
                assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
            }
        }
    }
    for value in [&*in_path, "%00", "%ff", "..%2f..%2fCargo.toml", "a%0d%0aX-Evil:%201.yaml", "%22;x=.yaml"] {
        for path in [
            "/leads/",
            "/deliveries/",
            "/people/",
            "/mappings/",
            "/mappings/versions/",
            "/mappings/new/",
            "/",
        ] {
            for end in ["", "/edit", "/again", "/payload"] {
                let path = format!("{path}{value}{end}");
                let answer = admin.get(&path).await;
                assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.text);
                for through in THROUGH {
                    assert!(!answer.text.contains(through), "{path}: {through}");
                }
                assert_eq!(answer.header("x-evil"), "");
            }
        }
    }
    rig.end().await;
}

/// A patch is a download: its name is the file's, and a file's name is letters.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_has_a_name_that_says_nothing_else() {
    let rig = prepared().await;
    let admin = Browser::of(&rig, Role::Admin).await;
    let (_, mappings) = rig.post_to_api("/api/mappings", &json!({ "file": "sendpulse.yaml" })).await;
    let (of, text) = (mappings["version"].as_str().unwrap(), mappings["text"].as_str().unwrap());
    let changed = format!("{text}# {EVIL}\n");
    for file in [
        "sendpulse.yaml",
        "%22%3B%20x%3D%22.yaml",
        "a%0d%0aX-Evil:%201.yaml",
        "%3Cscript%3E.yaml",
        "..%2Fx.yaml",
    ] {
        admin.get("/access").await;
        let fields = [("of", of), ("text", &*changed), ("action", "patch")];
        let page = admin.post(&format!("/mappings/{file}/edit"), &fields).await;
        assert!(page.status < 500, "{file}: {}", page.text);
        assert_eq!(page.header("x-evil"), "", "{file}");
        let name = page.header("content-disposition");
        if file == "sendpulse.yaml" {
            assert_eq!(name, "attachment; filename=\"sendpulse.patch\"");
            assert_eq!(page.header("content-type"), "text/x-diff; charset=utf-8");
            assert_eq!(page.header("x-content-type-options"), "nosniff");
        } else {
            assert_eq!(name, "", "{file}: {}", page.text);
            page.says_nothing_of("<script>alert");
        }
    }
    let _: Value = rig.json("/api/leads").await;
    rig.end().await;
}
