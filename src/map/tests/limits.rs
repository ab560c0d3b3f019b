//! Mappings and events that try to take all the memory or all the time.

use super::*;

#[track_caller]
fn refused(yaml: &str, payload: &Json, expect: &str) {
    let started = std::time::Instant::now();
    let error = match value(yaml, payload.clone()) {
        Ok(made) => panic!("{yaml} makes {} bytes", made.map_or(0, |json| json.to_string().len())),
        Err(error) => error,
    };
    assert!(error.contains(expect), "{yaml}: {error}");
    assert!(started.elapsed().as_secs() < 5, "{yaml} took {:?}", started.elapsed());
}

#[test]
fn nothing_grows_without_limit() {
    let payload = json!({
        "text": "a".repeat(60_000),
        "long": "a".repeat(70_000),
        "list": vec!["a".repeat(1_000); 100],
        "many": 100_000_000,
    });
    refused("\"{{ 'a' * 100000000 }}\"", &payload, "multiplies numbers");
    refused("\"{{ text * many }}\"", &payload, "multiplies numbers");
    refused("\"{{ ([1] * many) | length }}\"", &payload, "multiplies numbers");
    refused("\"{{ many * text }}\"", &payload, "multiplies numbers");
    refused("\"{{ text | replace('a', text) }}\"", &payload, "longer than 64 KiB");
    refused("\"{{ text | replace('', text) }}\"", &payload, "needs a text to look for");
    refused("\"{{ list | join(', ') }}\"", &payload, "longer than 64 KiB");
    refused("\"{{ list | join(text) }}\"", &payload, "longer than 64 KiB");
    refused("\"{{ '%1000000000s' | format(text) }}\"", &payload, "three digits");
    refused("\"{{ '%*s' | format(many, text) }}\"", &payload, "three digits");
    refused("\"{{ long }}\"", &payload, "longer than 64 KiB");
    refused("\"{{ long | upper }}\"", &payload, "longer than 64 KiB");
    refused("\"{{ list }}\"", &payload, "longer than 64 KiB");
    refused("\"{{ text }}{{ text }}\"", &payload, "longer than 64 KiB");
    refused("\"{{ text ~ text }}\"", &payload, "longer than 64 KiB");
    refused("\"{{ list | tojson }}\"", &payload, "longer than 64 KiB");
    let joined = vec!["text"; 40].join(" ~ ");
    refused(&format!("\"{{{{ {joined} }}}}\""), &payload, "at most 32 pieces");
    let deep = format!("\"{{{{ {}a{} }}}}\"", "(".repeat(900), ")".repeat(900));
    refused(&deep, &payload, "not correct");
    refused(&format!("\"{{{{ {} }}}}\"", vec!["a"; 2_000].join(" or ")), &payload, "2048 bytes");
}

#[test]
fn an_expression_that_takes_too_many_steps_is_stopped() {
    let list = vec!["a"; 300].join(" or ");
    // Within the length of a placeholder; each step of `map` runs on every item.
    let payload = json!({ "items": vec![json!({ "a": 1 }); 200_000] });
    let made = value("\"{{ items | map(attribute='a') | sum }}\"", payload);
    assert_eq!(made, Ok(Some(json!(200_000))));
    assert_eq!(value(&format!("\"{{{{ {list} }}}}\""), json!({ "a": 0 })), Ok(Some(json!(0))));
}

#[test]
fn a_deep_event_is_no_danger() {
    let mut deep = json!(1);
    for _ in 0..120 {
        deep = json!({ "a": deep });
    }
    refused("\"{{ body | tojson }}\"", &deep, "longer than 64 KiB");
    assert!(value("\"{{ $..a | length }}\"", deep).is_ok());
}
