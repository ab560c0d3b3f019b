//! Over `/api` each role does what its operation says, the audit log tells of every change, and of no secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use leadfold::access::Role;
use serde_json::{Value, json};

use super::{Browser, PASSWORD, TOKEN, add_user, rig, token_of};
use crate::rig::{LINKS_TOKEN, Rig, event, now_millis};

/// Path and role of every operation, as the sources have them: so that none is forgotten here.
fn operations() -> BTreeMap<String, Role> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, into) } else { into.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operation"), &mut files);
    let mut operations = BTreeMap::new();
    for text in files.iter().map(|path| fs::read_to_string(path).unwrap()) {
        for (at, found) in text.match_indices("const PATH: &'static str = \"") {
            let rest = &text[at + found.len()..];
            let path = rest.split('"').next().unwrap();
            let role = rest.split_once("const ROLE: Role = Role::").unwrap().1.split(';').next().unwrap();
            let role = match role {
                "Site" => Role::Site,
                given => Role::parse(&given.to_lowercase()).unwrap(),
            };
            assert!(operations.insert(path.to_owned(), role).is_none(), "{path} is there twice");
        }
    }
    assert!(operations.len() >= 30, "{operations:?}");
    operations
}

/// What is nobody's whose words are these: a status, whatever else was wrong with the request.
#[expect(clippy::disallowed_methods, reason = "the test is a program that uses the API")]
async fn ask(rig: &Rig, token: &str, path: &str, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(rig.url(path)).bearer_auth(token).body(body.to_string());
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_the_operation_says() {
    let rig = rig().await;
    let mut tokens = vec![(Role::Site, LINKS_TOKEN.to_owned()), (Role::Admin, TOKEN.to_owned())];
    for role in Role::GIVEN {
        tokens.push((role, token_of(&rig, role).await));
    }
    for (path, needed) in operations() {
        for (role, token) in &tokens {
            // An empty text is of no operation: whoever may is told so, and nothing is done.
            let (status, answer) = ask(&rig, token, &path, &json!("")).await;
            if *role == Role::Site && !path.starts_with("/api/links/") {
                assert_eq!(status, 401, "{path} {role}: {answer}");
                continue;
            }
            let refused = status == 403;
            assert_ne!(status, 401, "{path} {role}: {answer}");
            assert_eq!(refused, !role.may(needed), "{path} takes {needed}; {role} got {status}: {answer}");
            assert!(!refused || !answer["error"].as_str().unwrap().is_empty());
        }
        assert_eq!(ask(&rig, "wrong", &path, &json!("")).await.0, 401, "{path}");
        assert_eq!(ask(&rig, "", &path, &json!("")).await.0, 401, "{path}");
    }
    // By its own address, too.
    let viewer = &tokens[2].1;
    assert_eq!(ask(&rig, viewer, "/api/triggers/hello", &json!({})).await.0, 403);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_changes_nothing_names_nobody_without_proof() {
    let rig = rig().await;
    let viewer = token_of(&rig, Role::Viewer).await;
    for (path, body) in [
        ("/api/links/bind", json!({ "who": "0671234567", "user_id": "7" })),
        ("/api/links/unlink", json!({ "user_id": "7" })),
    ] {
        let (status, answer) = ask(&rig, &viewer, path, &body).await;
        assert_eq!(status, 403, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("takes the role operator"), "{answer}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_of_changes_and_of_no_secret() {
    let rig = rig().await;
    rig.post(&event(
        "6667-tg",
        "telegram",
        json!({ "phone": "067 123 45 67", "email": "o@example.com" }),
        now_millis(),
    ))
    .await;
    rig.post(&event("6667-ig", "instagram", json!({ "phone": "0501234567" }), now_millis())).await;
    rig.settle().await;
    let post = async |path: &str, body: Value| rig.post_to_api(path, &body).await;
    let new = "another horse battery";
    let done = [
        ("/api/users/add", json!({ "name": "olena", "role": "viewer", "password": PASSWORD })),
        ("/api/users/role", json!({ "name": "olena", "role": "operator" })),
        ("/api/users/password", json!({ "name": "olena", "password": new })),
        ("/api/tokens/add", json!({ "name": "crm-export", "role": "viewer" })),
        (
            "/api/people/merge",
            json!({ "one": "0671234567", "other": "0501234567", "said": { "note": "o@example.com" } }),
        ),
        ("/api/tokens/remove", json!({ "name": "crm-export" })),
        ("/api/users/remove", json!({ "name": "olena" })),
        ("/api/erase", json!({ "human": { "who": "o@example.com" } })),
    ];
    let mut secrets = vec![PASSWORD.to_owned(), new.to_owned(), TOKEN.to_owned()];
    for (path, body) in &done {
        let (status, answer) = post(path, body.clone()).await;
        assert_eq!(status, 200, "{path}: {answer}");
        secrets.extend(answer["token"].as_str().map(str::to_owned));
    }
    assert_eq!(secrets.len(), 4);
    let refused = [
        ("/api/users/remove", json!({ "name": "olena" }), "nobody has this name"),
        ("/api/users/add", json!({ "name": "x", "role": "viewer", "password": "short" }), "too short"),
        ("/api/account/password", json!({ "old": PASSWORD, "new": new }), "has no password"),
        (
            "/api/people/merge",
            json!({ "one": "<script>alert(1)</script>", "other": "0931112233" }),
            "nobody is known",
        ),
    ];
    for (path, body, why) in &refused {
        let (status, answer) = post(path, body.clone()).await;
        assert!(status == 422 && answer["error"].as_str().unwrap().contains(why), "{path}: {answer}");
    }
    // Looks, and what is not even an operation, leave nothing.
    for (path, body) in [
        ("/api/users", json!({})),
        ("/api/tokens", json!({})),
        ("/api/actions", json!({})),
        ("/api/people", json!({ "who": "0501234567" })),
        ("/api/people/merge", json!({ "one": "a", "other": "b", "said": { "only_look": true } })),
        ("/api/erase/preview", json!({ "who": "0501234567" })),
        ("/api/users/add", json!({ "name": "not a name" })),
    ] {
        post(path, body).await;
    }
    let viewer = token_of(&rig, Role::Viewer).await;
    assert_eq!(ask(&rig, &viewer, "/api/users/add", &json!({})).await.0, 403);
    let (_, log) = post("/api/actions", json!({ "limit": 100 })).await;
    let actions = log["actions"].as_array().unwrap();
    let told: Vec<&str> = actions.iter().rev().map(|action| action["operation"].as_str().unwrap()).collect();
    let expect: Vec<&str> =
        done.iter().map(|(path, _)| *path).chain(refused.iter().map(|(path, ..)| *path)).collect();
    assert_eq!(told, expect);
    for (number, action) in actions.iter().rev().enumerate() {
        assert_eq!(
            (&action["who"], &action["role"], &action["through"]),
            (&json!("start token"), &json!("admin"), &json!("api"))
        );
        assert_eq!(action["outcome"] == "done", number < done.len(), "{action}");
    }
    assert_eq!(actions[actions.len() - 1]["asked"], json!({ "name": "olena", "role": "viewer" }));
    let all = rig.sql("SELECT asked || COALESCE(outcome, '') FROM actions").await;
    for row in all {
        for private in
            secrets.iter().map(String::as_str).chain(["671234567", "501234567", "931112233", "o@example.com"])
        {
            assert!(!row[0].contains(private), "{private} is in {}", row[0]);
        }
    }
    // Who says nothing of themselves is whoever asked.
    assert_eq!(rig.sql("SELECT DISTINCT author FROM corrections").await, [["start token"]]);

    let admin = Browser::of(&rig, Role::Admin).await;
    let page = admin.get("/access/actions").await;
    page.is(200).says("Added a user").says("name: olena, role: viewer").says("not done").says("start token");
    page.says("&lt;script&gt;alert(1)&lt;/script&gt;").says_nothing_of("<script>alert");
    admin.get("/access/actions?who=nobody").await.is(200).says("Nothing was changed here.");
    admin
        .get("/access/actions?who=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&before=%27")
        .await
        .is(200)
        .says_nothing_of("<script>alert");
    admin.speak("uk");
    admin.get("/access/actions?who=start+token").await.is(200).says("Додано користувача").says("зроблено");
    let operator = Browser::of(&rig, Role::Operator).await;
    operator.get("/access/actions").await.is(403);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_page_by_page() {
    let rig = rig().await;
    for number in 0..7 {
        rig.post_to_api("/api/users/remove", &json!({ "name": format!("nobody{number}") })).await;
    }
    let admin = token_of(&rig, Role::Admin).await;
    ask(&rig, &admin, "/api/users/remove", &json!({ "name": "nobody7" })).await;
    let page = async |body: Value| rig.post_to_api("/api/actions", &body).await.1;
    let (mut names, mut before) = (Vec::new(), Value::Null);
    loop {
        let log = page(json!({ "who": "start token", "limit": 3, "before": before })).await;
        let actions = log["actions"].as_array().unwrap();
        names.extend(actions.iter().map(|action| action["asked"]["name"].as_str().unwrap().to_owned()));
        before = log["next"].clone();
        if before.is_null() {
            break;
        }
    }
    assert_eq!(names, (0..7).rev().map(|number| format!("nobody{number}")).collect::<Vec<_>>());
    assert_eq!(page(json!({})).await["actions"].as_array().unwrap().len(), 8);
    assert_eq!(page(json!({ "limit": 8 })).await["next"], Value::Null, "no page that is empty");
    rig.end().await;
}

/// What no entry can tell of is not done.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_refuses_the_change() {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Viewer).await;
    rig.sql("ALTER TABLE actions RENAME TO lost").await;
    let (status, answer) =
        rig.post_to_api("/api/users/role", &json!({ "name": "olena", "role": "admin" })).await;
    assert_eq!(status, 503, "{answer}");
    let admin = Browser::of(&rig, Role::Admin).await;
    admin.get("/access").await.is(200);
    admin
        .post("/access/users/role", &[("name", "olena"), ("role", "admin")])
        .await
        .is(503)
        .says("Nothing is lost");
    rig.sql("ALTER TABLE lost RENAME TO actions").await;
    let (_, users) = rig.post_to_api("/api/users", &json!({})).await;
    assert_eq!(users["users"][0]["role"], "viewer");
    rig.end().await;
}
