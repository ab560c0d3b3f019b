//! The schemas for editors agree with the loader, and `leadfold init` writes what both accept.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use leadfold::crm::{BOTS, DESCRIPTIONS};
use leadfold::demo::MAPPINGS;
use serde_json::Value;

use crate::commands::{Folder, run};

fn validator(of: &str) -> (Validator, Value) {
    let (code, text, _) = run(&["schema", of]);
    assert_eq!(code, 0);
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    (jsonschema::draft202012::new(&schema).unwrap(), schema)
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn faults(validator: &Validator, text: &str) -> Vec<String> {
    validator.iter_errors(&yaml(text)).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Every YAML file below a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            into.push(path);
        }
    }
}

#[test]
fn what_is_shipped_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (workspace, mapping) = (validator("workspace").0, validator("mapping").0);
    let mut paths = Vec::new();
    for folder in ["mappings", "src/cli/init"] {
        files(&root.join(folder), &mut paths);
    }
    let mut checked = 0;
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        // The template of `init` is tried once it is filled in.
        if text.contains("{DESTINATIONS}") {
            continue;
        }
        let is_workspace = path.file_name().unwrap() == "workspace.yaml";
        let found = faults(if is_workspace { &workspace } else { &mapping }, &text);
        assert!(found.is_empty(), "{}: {found:#?}", path.display());
        checked += 1;
    }
    assert!(checked >= 5, "{checked}");
}

const WORKSPACE: &str = "
destinations:
  crm: { crm: sandbox, url: http://127.0.0.1:9900, token: demo, mode: observe, share: 50%, timeout: 1m30s }
owner_pools:
  a: [anna, borys]
  b: { owners: [anna, { user: borys, weight: 2, away: true }], fallback: chief }
identity: { order: [phone, chat], shared_from: 3, forget_after: 90d, limits: { phones: 7 } }
retention: { bodies: 90d }
alerts: null
vars: { greeting: hello }
";

const MAPPING: &str = "
source: { preset: json, token: demo, dedupe_window: 10m }
defaults: { to: crm, phone: { regions: UA } }
leads:
  - name: all
    when: \"{{ a }}\"
    contact:
      name: [\"{{ a }}\", \"{{ b }}\"]
      phone: [\"{{ a }}\", { value: \"{{ b }}\", proven: \"{{ c }}\", required: false }]
      email: { value: \"{{ b }}\", proven: true }
      fields: { x: 1, y: true, z: { value: \"{{ z }}\", required: true } }
    deal: { title: x, stage: null }
    task: { due: +2h }
    identifiers:
      external_customer: { shop: \"{{ id }}\", site: { value: \"{{ start }}\", hint: true } }
      telegram_user: \"{{ id }}\"
      chat: { bot: x, channel: telegram, id: \"{{ id }}\" }
    rules: { preset: leadbox, task_on_repeat: { collapse: 15m }, update_fields: { name: append }, needs: [phone] }
tests:
  - { given: a.json, crm: open_deal, expect: { phone: null, filtered: no_branch, plan: [create task] } }
";

/// What the loader refuses as an unknown key or word, an editor underlines as well; and what it takes is left alone.
#[test]
fn what_the_loader_refuses_is_refused() {
    let folder = Folder::new();
    let check = |of: &str, from: &str, to: &str| {
        let text = if of == "workspace" { WORKSPACE } else { MAPPING };
        assert!(text.contains(from), "{from}");
        let text = text.replacen(from, to, 1);
        let found = faults(&validator(of).0, &text);
        // The same by the loader: the other file is the sound one.
        let dir = folder.path("tried");
        std::fs::create_dir_all(&dir).unwrap();
        let (workspace, mapping) =
            if of == "workspace" { (text.as_str(), MAPPING) } else { (WORKSPACE, text.as_str()) };
        std::fs::write(format!("{dir}/workspace.yaml"), workspace).unwrap();
        std::fs::write(format!("{dir}/a.yaml"), mapping).unwrap();
        let (_, said, _) = run(&["check", "--workspace", &dir, "--json"]);
        let checked: Value = serde_json::from_str(&said).unwrap();
        let sound = checked["errors"] == 0;
        assert_eq!(
            found.is_empty(),
            sound,
            "{of} with {to}: the schema says {found:?}, the loader {}",
            checked["problems"]
        );
        sound
    };
    for (of, same) in [("workspace", "bodies: 90d"), ("mapping", "given: a.json")] {
        assert!(check(of, same, same), "the whole is sound");
    }
    for (of, from, wrong) in [
        ("workspace", "destinations:", "destination:"),
        ("workspace", "retention:", "retentoin:"),
        ("workspace", "mode: observe", "mode: observed"),
        ("workspace", "mode: observe", "mod: observe"),
        ("workspace", "crm: sandbox", "crm: sandbx"),
        ("workspace", "token: demo, ", ""),
        ("workspace", "timeout: 1m30s", "timeout: 90"),
        ("workspace", "weight: 2", "wieght: 2"),
        ("workspace", "weight: 2", "weight: 0"),
        ("workspace", "user: borys, ", ""),
        ("workspace", "fallback: chief", "falback: chief"),
        ("workspace", "[phone, chat]", "[phone, chta]"),
        ("workspace", "shared_from: 3", "shared_from: 1"),
        ("workspace", "forget_after: 90d", "forget_after: 90"),
        ("workspace", "phones: 7", "phone: 7"),
        ("workspace", "phones: 7", "phones: 0"),
        ("workspace", "bodies: 90d", "body: 90d"),
        ("mapping", "preset: json", "preset: jsn"),
        ("mapping", ", token: demo", ""),
        ("mapping", "regions: UA", "region: UA"),
        ("mapping", "name: all", "nam: all"),
        ("mapping", "stage: null", "stag: x"),
        ("mapping", "due: +2h", "due: 2 hours"),
        ("mapping", "telegram_user:", "telegram_usr:"),
        ("mapping", "hint: true", "hnt: true"),
        ("mapping", "proven: true", "prven: true"),
        ("mapping", "required: false", "required: [false]"),
        ("mapping", "channel: telegram", "chanel: telegram"),
        ("mapping", "collapse: 15m", "colapse: 15m"),
        ("mapping", "name: append", "name: apend"),
        ("mapping", "needs: [phone]", "needs: [fone]"),
        ("mapping", "crm: open_deal", "crm: open"),
        ("mapping", "[create task]", "[make task]"),
        ("mapping", "given: a.json, ", ""),
        ("mapping", "phone: null, ", "fone: null, "),
    ] {
        assert!(!check(of, from, wrong), "{of}: {wrong}");
    }
}

/// A key that the loader learns and the schema has nothing to say about is an omission.
#[test]
fn every_key_is_explained() {
    fn look(schema: &Value, at: &str, missing: &mut Vec<String>) {
        if !schema.is_object() {
            return;
        }
        if let Some(properties) = schema["properties"].as_object() {
            for (key, property) in properties {
                let at = format!("{at}.{key}");
                // The condition of a destination's own settings names `crm` and explains nothing.
                let explained = property["description"].as_str().is_some_and(|text| !text.is_empty());
                if !explained && property.get("const").is_none() {
                    missing.push(at.clone());
                }
                look(property, &at, missing);
            }
        }
        for key in ["items", "additionalProperties", "then"] {
            look(&schema[key], at, missing);
        }
        for key in ["anyOf", "allOf"] {
            schema[key].as_array().into_iter().flatten().for_each(|part| look(part, at, missing));
        }
    }
    for of in ["workspace", "mapping"] {
        let mut missing = Vec::new();
        look(&validator(of).1, of, &mut missing);
        assert!(missing.is_empty(), "say in src/map/schema.rs what these are: {missing:#?}");
    }
}

#[test]
fn init_writes_what_check_and_schema_accept_and_overwrites_nothing() {
    let folder = Folder::new();
    let (workspace, mapping) = (validator("workspace").0, validator("mapping").0);
    let shipped = MAPPINGS.iter().map(|(file, _)| file.trim_end_matches(".yaml"));
    let presets: Vec<&str> = shipped.filter(|name| *name != "workspace").chain(["json", "form"]).collect();
    for description in DESCRIPTIONS {
        for preset in &presets {
            let dir = folder.path(&format!("{}-{preset}", description.name));
            let (code, said, error) = run(&["init", &dir, "--preset", preset, "--crm", description.name]);
            assert_eq!((code, said.contains("leadfold check --workspace")), (0, true), "{error}");
            let (code, said, error) = run(&["check", "--offline", "--workspace", &dir]);
            assert_eq!(code, 0, "{dir}: {said}{error}");
            assert!(said.contains("1 source, 0 errors") && said.contains(", 0 failed"), "{said}");
            for (file, validator) in [("workspace", &workspace), (*preset, &mapping)] {
                let text = std::fs::read_to_string(format!("{dir}/{file}.yaml")).unwrap();
                assert_eq!(faults(validator, &text), Vec::<String>::new(), "{dir}/{file}.yaml");
            }
        }
    }
    // All of them together, with every bot that can be set up.
    let (_, help, _) = run(&["init", "--help"]);
    let (_, offered) = help.split_once("--bot <BOT>").unwrap();
    let is_offered = |name: &&str| offered.contains(&format!("- {name}:"));
    let bots: Vec<&str> = BOTS.iter().map(|bot| bot.name).filter(is_offered).collect();
    assert!(bots.contains(&"telegram") && bots.contains(&"sendpulse"), "{help}");
    for (crm, mode) in [("sandbox", 0), ("odoo", bots.len() + 1)] {
        let dir = folder.path(&format!("all-{crm}"));
        let (code, _, error) =
            run(&["init", &dir, "--preset", &presets.join(","), "--bot", &bots.join(","), "--crm", crm]);
        assert_eq!(code, 0, "{error}");
        let (code, said, error) = run(&["check", "--offline", "--workspace", &dir]);
        assert_eq!(code, 0, "{said}{error}");
        let text = std::fs::read_to_string(format!("{dir}/workspace.yaml")).unwrap();
        assert_eq!(faults(&workspace, &text), Vec::<String>::new(), "{text}");
        let observed = text.lines().filter(|line| line.trim_start().starts_with("mode: observe")).count();
        assert!(observed >= mode, "{text}");
    }
    let dir = folder.path("sandbox-json");
    let mine = format!("{dir}/json.yaml");
    std::fs::write(&mine, "mine").unwrap();
    let (code, _, error) = run(&["init", &dir, "--preset", "json"]);
    assert_eq!((code, error.contains("nothing is written")), (2, true), "{error}");
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    assert_eq!(run(&["init", &dir, "--preset", "json", "--force"]).0, 0);
    assert_ne!(std::fs::read_to_string(&mine).unwrap(), "mine");
}
