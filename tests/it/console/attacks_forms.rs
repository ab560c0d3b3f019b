//! Every form that there is, as the sources have them: nobody else's page sends it, and nobody may more than their role says.

use std::fs;
use std::path::{Path, PathBuf};

use leadfold::access::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Browser, PASSWORD, Page, TOKEN, add_user, rig};
use crate::rig::{Rig, event, now_millis};

/// Methods and paths of all routes of the console.
fn routes() -> Vec<(String, bool)> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, into) } else { into.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), &mut files);
    let mut routes = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        let text = fs::read_to_string(path).unwrap();
        for part in text.split(".route(").skip(1) {
            let address = part.trim_start().strip_prefix('"').and_then(|part| part.split('"').next());
            let handler = part.split(".route(").next().unwrap().split('\n').next().unwrap();
            let address = address.unwrap_or_else(|| panic!("{}: {part}", path.display()));
            routes.push((address.to_owned(), handler.contains("post(")));
        }
    }
    routes.sort();
    assert!(routes.iter().filter(|(_, posts)| *posts).count() >= 22, "{routes:?}");
    routes
}

/// What a form of any page may hold, and a person where a path wants one.
struct Filled {
    fields: Vec<(String, String)>,
    id: String,
}

impl Filled {
    async fn of(rig: &Rig) -> Self {
        rig.post(&event("one", "telegram", json!({ "phone": "0671234567" }), now_millis())).await;
        rig.post(&event("other", "viber", json!({ "phone": "0501234567" }), now_millis())).await;
        rig.settle().await;
        add_user(rig, "victim", Role::Viewer).await;
        let person = |phone: &'static str| async move {
            let (_, found) = rig.post_to_api("/api/people", &json!({ "who": phone })).await;
            found["people"][0]["id"].as_str().unwrap_or_default().to_owned()
        };
        let (one, other) = (person("0671234567").await, person("0501234567").await);
        let leads = rig.json("/api/leads").await;
        let id = leads["leads"][0]["id"].as_str().unwrap().to_owned();
        let (_, mappings) = rig.post_to_api("/api/mappings", &json!({ "file": "sendpulse.yaml" })).await;
        let version = mappings["version"].as_str().unwrap();
        let text = format!("{}# changed\n", mappings["text"].as_str().unwrap());
        let fields = [
            ("name", "victim"),
            ("password", PASSWORD),
            ("old", PASSWORD),
            ("new", "another horse battery"),
            ("role", "admin"),
            ("destination", "crm"),
            ("answer", "push"),
            ("up_to", &*id),
            ("total", "2"),
            ("one", &*one),
            ("other", &*other),
            ("with", &*other),
            ("what", &*one),
            ("at", "source"),
            ("place", "sendpulse"),
            ("how", "replan"),
            ("of", version),
            ("instead_of", version),
            ("text", &*text),
            ("action", "save"),
            ("last", "100"),
            ("preset", "json"),
            ("to", "crm"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { fields, id }
    }

    fn path(&self, route: &str) -> String {
        let path = route.replace("{id}", &self.id).replace("{file}", "sendpulse.yaml");
        path.replace("{source}", "sendpulse").replace("{version}", &self.field("of")).replace("{name}", "x")
    }

    fn field(&self, name: &str) -> String {
        self.fields.iter().find(|(known, _)| known == name).unwrap().1.clone()
    }

    /// Sends the form of a route with this key.
    async fn send(&self, browser: &Browser, route: &str, headers: &[(&str, &str)], key: &str) -> Page {
        let mut fields: Vec<(&str, &str)> = vec![("key", key)];
        fields.extend(self.fields.iter().map(|(name, value)| (&**name, &**value)));
        browser.post_with(&self.path(route), headers, &fields).await
    }
}

/// What the audit log, and all that it tells of, was.
async fn state(rig: &Rig) -> Vec<Vec<String>> {
    let mut all = rig.sql("SELECT operation, asked FROM actions ORDER BY id").await;
    for sql in [
        "SELECT name, role, password FROM users ORDER BY name",
        "SELECT name, role FROM access_tokens ORDER BY name",
        "SELECT hash FROM sessions ORDER BY hash",
        "SELECT id, person FROM leads ORDER BY id",
    ] {
        all.extend(rig.sql(sql).await);
    }
    all
}

/// Forms of this list are for everybody, with or without a session; they are attacked elsewhere.
const OPEN: [&str; 2] = ["/sign-in", "/preferences"];
/// And these change only what is the reader's own.
const OWN: [&str; 2] = ["/sign-out", "/account/password"];

#[tokio::test(flavor = "multi_thread")]
async fn no_form_is_believed_without_its_key_or_from_another_page() {
    let rig = rig().await;
    let filled = Filled::of(&rig).await;
    let admin = Browser::of(&rig, Role::Admin).await;
    let key = admin.get("/access").await.key().unwrap().to_owned();
    let before = state(&rig).await;
    let (mut refused, mut forms) = (0, 0);
    for (route, _) in routes().iter().filter(|(route, posts)| *posts && !OPEN.contains(&&**route)) {
        forms += 1;
        let stranger = Browser::new(&rig);
        let answer = filled.send(&stranger, route, &[], &key).await;
        assert_eq!((answer.status, answer.location()), (303, "/sign-in"), "{route}");
        for wrong in ["", "x", &format!("{key}x")] {
            let answer = filled.send(&admin, route, &[], wrong).await;
            // What cannot even be read is no form.
            assert!(matches!(answer.status, 403 | 400 | 422), "{route}: {} {}", answer.status, answer.text);
            refused += usize::from(answer.status == 403);
        }
        for evil in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            filled.send(&admin, route, &[evil], &key).await.is(403);
        }
    }
    assert_eq!(state(&rig).await, before);
    assert!(
        refused >= forms * 3 - 6,
        "{refused} of {forms}: the forms of this test must be such as could be read"
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_changes_nothing_by_any_form() {
    let rig = rig().await;
    let filled = Filled::of(&rig).await;
    let viewer = Browser::of(&rig, Role::Viewer).await;
    let key = viewer.get("/account").await.key().unwrap().to_owned();
    let before = state(&rig).await;
    for (route, _) in routes().iter().filter(|(route, posts)| *posts && !OPEN.contains(&&**route)) {
        if OWN.contains(&&**route) {
            continue;
        }
        let answer = filled.send(&viewer, route, &[], &key).await;
        assert!(matches!(answer.status, 403 | 400 | 404 | 422), "{route}: {} {}", answer.status, answer.text);
    }
    assert_eq!(state(&rig).await, before);
    rig.end().await;
}

/// A link, a prefetch, a picture or a crawler changes nothing, however it says what it meant.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_form_changes_anything() {
    let rig = rig().await;
    let filled = Filled::of(&rig).await;
    let admin = Browser::of(&rig, Role::Admin).await;
    let key = admin.get("/access").await.key().unwrap().to_owned();
    let before = state(&rig).await;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("key", &key).append_pair("_method", "POST").extend_pairs(&filled.fields);
    let query = query.finish();
    for (route, _) in routes().iter().filter(|(route, _)| route != "/live") {
        let path = format!("{}?{query}", filled.path(route));
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let page = admin.ask_by(method.clone(), &path, &[("x-http-method-override", "POST")]).await;
            assert_ne!(page.status / 100, 5, "{method} {path}: {}", page.text);
            assert!(
                page.header("content-security-policy").starts_with("default-src 'none'"),
                "{method} {path}"
            );
            assert_eq!(page.header("x-content-type-options"), "nosniff", "{method} {path}");
            if method != Method::GET && method != Method::HEAD {
                assert!(matches!(page.status, 403..=405), "{method} {path}: {}", page.status);
            }
        }
    }
    assert_eq!(state(&rig).await, before);
    rig.end().await;
}

/// `/api`, `/metrics` and the rest say so too: a browser may be led there.
#[tokio::test(flavor = "multi_thread")]
async fn what_programs_are_told_is_nothing_for_a_browser() {
    let rig = rig().await;
    let bearer = format!("Bearer {TOKEN}");
    let browser = Browser::new(&rig);
    for path in
        ["/api/leads", "/api/leads/x", "/api/openapi.json", "/api/nothing", "/metrics", "/healthz", "/readyz"]
    {
        for headers in [vec![], vec![("authorization", &*bearer)]] {
            let page = browser.get_with(path, &headers).await;
            let policy = page.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'"), "{path} {}: {policy}", page.status);
            assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(
                page.header("cache-control"),
                "no-store",
                "{path}: people's data is in nobody's cache"
            );
        }
    }
    // A session is no token: no page of a stranger can use it there.
    let admin = Browser::of(&rig, Role::Admin).await;
    admin.get("/api/leads").await.is(401);
    admin.post("/api/users/remove", &[("name", "victim")]).await.is(401);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_assets() {
    let rig = rig().await;
    let browser = Browser::new(&rig);
    for path in [
        "/assets/x/..%2f..%2fCargo.toml",
        "/assets/..%2f..%2fetc/passwd",
        "/assets/x/%2e%2e%2fconsole.js",
        "/assets/x/console.js%00.css",
        "/assets/x/console.rs",
        "/assets/x/",
        "/assets/x/%ff",
    ] {
        let page = browser.get(path).await;
        assert!(matches!(page.status, 303 | 400 | 404), "{path}: {}", page.status);
    }
    let _: Value = rig.json("/api/leads").await;
    rig.end().await;
}
