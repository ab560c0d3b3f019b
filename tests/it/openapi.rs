//! The OpenAPI document of `/api` says what the handlers do: each path is called, and its answer is held against the document.

use std::collections::{BTreeMap, BTreeSet};

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::commands;
use crate::console::{PASSWORD, token_of};
use crate::rig::{IMPATIENT, LINKS_TOKEN, MAPPING, Rig, event, now_millis};

const TOKEN: &str = "s3cret";
const PHONE: &str = "+380671234567";
const OTHER_PHONE: &str = "+380501112233";
const TRIGGER: &str = r#"
source: { preset: trigger, token: demo }
leads:
  - name: never
    when: "{{ data.never == 'yes' }}"
    to: [crm]
"#;

fn printed() -> Value {
    let (code, text, err) = commands::run(&["schema", "--api"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&text).unwrap()
}

/// Method and path of everything in a document, with what it says.
fn entries(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, methods)| {
        methods
            .as_object()
            .unwrap()
            .iter()
            .map(move |(method, says)| (method.clone(), path.clone(), says.clone()))
    });
    methods.collect()
}

/// What is wrong with a value, by a schema that may refer to the components of the document.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut whole = schema.clone();
    if let Some(entries) = whole.as_object_mut() {
        entries.insert("components".to_owned(), document["components"].clone());
    }
    let validator = jsonschema::draft202012::new(&whole).unwrap_or_else(|error| panic!("{error}: {schema}"));
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn json_schema(content: &Value) -> &Value {
    &content["content"]["application/json"]["schema"]
}

#[test]
fn the_document_explains_everything_and_refers_to_what_is_there() {
    let document = printed();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (method, path, says) in entries(&document) {
        let id = says["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id), "two have the id {}", says["operationId"]);
        for part in ["summary", "description"] {
            assert!(says[part].as_str().is_some_and(|text| text.len() > 8), "{method} {path} has no {part}");
        }
        let role = says["security"][0]["token"][0].as_str().unwrap();
        assert!(["site", "viewer", "operator", "admin"].contains(&role), "{role}");
        for parameter in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let parameters = says["parameters"].as_array().unwrap();
            assert!(
                parameters.iter().any(|each| each["name"] == parameter && each["in"] == "path"),
                "{path}"
            );
        }
    }
    assert!(ids.len() >= 29, "{ids:?}");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(!name.ends_with(|end: char| end.is_ascii_digit()), "{name}: two types have this name");
        jsonschema::draft202012::meta::validate(schema).unwrap();
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} is nowhere");
    }
    assert!(!text.contains("[`"), "a description has a link into the code");
}

#[test]
fn no_route_is_outside_of_the_document() {
    // Only `openapi.rs` has a router to add to; these are no part of the API.
    let elsewhere = ["\"/healthz\"", "\"/readyz\"", "\"/metrics\"", "\"/api/{*rest}\""];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for call in code.split(".route(").skip(1).filter(|_| !path.ends_with("openapi.rs")) {
            assert!(
                elsewhere.iter().any(|known| call.trim_start().starts_with(known)),
                "{}: .route({} … is not in the document; take Routes",
                path.display(),
                call.lines().next().unwrap()
            );
        }
    }
}

async fn rig() -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.edit("workspace.yaml", "owner_pools:", "links: { url: \"https://site.example\" }\nowner_pools:");
    rig.files.0.insert("ring.yaml".to_owned(), TRIGGER.to_owned());
    rig.token = Some(TOKEN);
    rig.boot().await;
    for (chat, phone) in [("1", PHONE), ("2", OTHER_PHONE)] {
        assert_eq!(rig.post(&event(chat, "telegram", json!({ "phone": phone }), now_millis())).await, 200);
    }
    rig.settle().await;
    rig
}

/// What each is asked, in an order in which each can be done. `$lead`, `$files` and `$version` are filled in.
fn examples() -> Vec<(&'static str, Value)> {
    let selection = json!({ "states": ["synced"] });
    let edit = json!({ "of": "$version", "files": { "ring.yaml": TRIGGER.replace("'yes'", "'maybe'") } });
    let olena = json!({ "name": "olena" });
    vec![
        ("/api/overview", json!({ "hours": 24 })),
        ("/api/attention", json!({})),
        ("/api/destinations", json!({})),
        ("/api/destinations/pause", json!({ "destination": "crm" })),
        ("/api/destinations/resume", json!({ "destination": "crm" })),
        ("/api/mappings", json!({ "file": "ring.yaml" })),
        ("/api/mappings/names", json!({ "source": "ring", "accounts": true })),
        ("/api/mappings/arrived", json!({ "source": "ring" })),
        ("/api/mappings/address", json!({ "source": "ring" })),
        ("/api/mappings/draft", json!({ "draft": { "name": "shop", "preset": "json", "to": ["crm"] } })),
        ("/api/mappings/check", json!({ "edit": edit, "accounts": true })),
        ("/api/mappings/rehearse", json!({ "edit": edit, "last": 10 })),
        ("/api/mappings/patch", json!({ "edit": edit })),
        ("/api/versions/list", json!({})),
        ("/api/versions/compare", json!({ "old": "$version", "new": "$version" })),
        ("/api/versions/back", json!({ "to": "$version", "instead_of": "$version" })),
        ("/api/users/add", json!({ "name": "olena", "role": "viewer", "password": PASSWORD })),
        ("/api/users/role", json!({ "name": "olena", "role": "operator" })),
        ("/api/users/password", json!({ "name": "olena", "password": PASSWORD })),
        ("/api/users", json!({})),
        ("/api/users/remove", olena),
        ("/api/tokens/add", json!({ "name": "export", "role": "viewer" })),
        ("/api/tokens", json!({})),
        ("/api/tokens/remove", json!({ "name": "export" })),
        ("/api/account/password", json!({ "old": PASSWORD, "new": PASSWORD })),
        ("/api/actions", json!({ "limit": 5 })),
        ("/api/replay/preview", json!({ "select": selection, "how": "replan" })),
        ("/api/replay", json!({ "select": selection, "how": "replan" })),
        ("/api/held", json!({ "destination": "crm" })),
        ("/api/held/answer", json!({ "destination": "crm", "answer": "skip" })),
        ("/api/versions/active", json!({})),
        ("/api/versions", json!({ "files": "$files", "instead_of": "$version", "with_secrets": false })),
        ("/api/people/newest", json!({ "limit": 5 })),
        ("/api/people", json!({ "who": PHONE })),
        ("/api/people/duplicates", json!({ "limit": 5 })),
        (
            "/api/people/not-same",
            json!({ "one": PHONE, "other": OTHER_PHONE, "said": { "only_look": true } }),
        ),
        ("/api/people/merge", json!({ "one": PHONE, "other": OTHER_PHONE, "said": { "author": "olena" } })),
        ("/api/people/split", json!({ "what": PHONE, "said": { "note": "two phones" } })),
        ("/api/postbacks", json!({})),
        ("/api/postbacks/count", json!({ "which": "$lead" })),
        ("/api/postbacks/uncount", json!({ "which": "$lead" })),
        ("/api/links/issue", json!({ "who": PHONE })),
        ("/api/links/verify", json!({ "buid": "nobody's" })),
        ("/api/links/pin", json!({ "buid": "nobody's" })),
        ("/api/links/bind", json!({ "who": "1", "user_id": 42 })),
        ("/api/links/settle", json!({ "ticket": "nobody's", "choice": "keep" })),
        ("/api/links/unlink", json!({ "user_id": "42" })),
        ("/api/links/deep", json!({ "bot": "shop_bot", "crm_id": "crm:1" })),
        ("/api/links/resolve", json!({ "start": "nobody's" })),
        ("/api/triggers/{name}", json!({ "to": { "chat": 1 }, "dry_run": true })),
        ("/api/triggers", json!({ "trigger": "nowhere", "to": { "phone": PHONE } })),
        ("/api/erase/preview", json!({ "who": OTHER_PHONE })),
        ("/api/erase/requests", json!({ "human": { "who": OTHER_PHONE } })),
        ("/api/erase", json!({ "human": { "who": OTHER_PHONE }, "author": "olena" })),
        ("/api/erase/rewrite", json!({})),
        ("/api/mappings/save", json!({ "edit": edit })),
    ]
}

/// Refused with words, here: there is no postback in this registry, nothing sends PINs, and a token has no password.
const REFUSED: &[&str] =
    &["/api/postbacks/count", "/api/postbacks/uncount", "/api/links/pin", "/api/account/password"];

#[tokio::test(flavor = "multi_thread")]
async fn each_path_answers_as_the_document_says() {
    let rig = rig().await;
    let document = rig.json("/api/openapi.json").await;
    assert_eq!(document, printed(), "the command prints what the server answers");
    let lead = rig.found(PHONE).await[0]["id"].clone();
    let delivery = rig.json("/api/deliveries").await["deliveries"][0]["id"].clone();
    let files = json!(rig.files.0);
    let (_, active) = rig.post_to_api("/api/versions/active", &json!({})).await;
    let version = active["version"].to_string();
    let mut examples = examples();
    let place =
        |path: &str, examples: &[(&str, Value)]| examples.iter().position(|(known, _)| *known == path);
    let mut entries = entries(&document);
    entries.sort_by_key(|(_, path, _)| place(path, &examples));
    let mut wrong = Vec::new();
    for (method, path, says) in entries {
        let id = if path.starts_with("/api/deliveries/") { &delivery } else { &lead };
        let url = path.replace("{id}", id.as_str().unwrap()).replace("{name}", "ring");
        let (status, answer) = if method == "get" {
            let (status, text) = rig.get(&url).await;
            (status, serde_json::from_str(&text).unwrap())
        } else {
            let Some(known) = place(&path, &examples) else {
                panic!("give {path} an example of what it takes")
            };
            let text = examples.remove(known).1.to_string();
            let text = text
                .replace("\"$files\"", &files.to_string())
                .replace("\"$lead\"", &lead.to_string())
                .replace("\"$version\"", &version);
            let body: Value = serde_json::from_str(&text).unwrap();
            let request = json_schema(&says["requestBody"]);
            wrong.extend(faults(&document, request, &body).iter().map(|fault| format!("to {path}: {fault}")));
            let unknown = json!({ "no_such_thing": 1 });
            assert!(!faults(&document, request, &unknown).is_empty(), "{path} is said to take anything");
            assert_eq!(rig.post_to_api(&url, &unknown).await.0, 400, "{path}");
            rig.post_to_api(&url, &body).await
        };
        let schema = |status: u16| json_schema(&says["responses"][status.to_string()]);
        let fine = if REFUSED.contains(&path.as_str()) { 422 } else { 200 };
        // An outcome that has a status of its own, such as a link that there is not, is an answer as well.
        if schema(status) != schema(fine) {
            wrong.push(format!("{path} answered {status}: {answer}"));
        }
        if schema(status).is_null() {
            wrong.push(format!("{path} answered {status}, of which the document says nothing"));
            continue;
        }
        let found = faults(&document, schema(status), &answer);
        wrong.extend(found.iter().map(|fault| format!("from {path}: {fault}: {answer}")));
    }
    assert_eq!(examples, [], "these are no paths of the API any more");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_what_the_document_says() {
    let rig = rig().await;
    let document = rig.json("/api/openapi.json").await;
    let mut tokens = BTreeMap::from([("site", LINKS_TOKEN.to_owned())]);
    for role in Role::GIVEN {
        tokens.insert(role.as_str(), token_of(&rig, role).await);
    }
    let order = ["site", "viewer", "operator", "admin"];
    let rank = |role: &str| order.iter().position(|known| *known == role).unwrap();
    for (role, token) in &tokens {
        assert_eq!(rig.get_as(Some(token), "/api/openapi.json").await.0, 200, "{role}");
    }
    assert_eq!(rig.get_as(None, "/api/openapi.json").await.0, 401);
    for (method, path, says) in entries(&document).into_iter().filter(|(method, ..)| method == "post") {
        let needed = says["security"][0]["token"][0].as_str().unwrap();
        for (role, token) in tokens.iter().filter(|(role, _)| rank(role) < rank(needed)) {
            let example = examples().into_iter().find(|(known, _)| *known == path).unwrap().1;
            let text = example.to_string().replace("\"$files\"", "{}");
            let status = post_as(&rig, token, &path.replace("{name}", "ring"), text).await;
            assert!(matches!(status, 401 | 403), "{method} {path} as {role}: {status}");
        }
    }
    rig.end().await;
}

#[expect(clippy::disallowed_methods, reason = "the test is a program that uses the API")]
async fn post_as(rig: &Rig, token: &str, path: &str, body: String) -> u16 {
    rig.client.post(rig.url(path)).bearer_auth(token).body(body).send().await.unwrap().status().as_u16()
}
