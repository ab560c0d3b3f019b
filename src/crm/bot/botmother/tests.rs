use super::*;

fn chat(id: &str, channel: Option<&str>) -> Recipient {
    Recipient { id: id.to_owned(), scope: None, channel: channel.map(str::to_owned) }
}

fn call(id: &str, with: Value) -> Call {
    let Value::Object(with) = with else { panic!("parameters have names") };
    Call { operation: "external_event".into(), chat: Some(chat(id, Some("telegram"))), with }
}

#[test]
fn only_the_id_of_one_person_is_a_recipient() {
    for id in [
        "700000101",
        " 700000101\n",
        "-1001234",
        "01234567890A=",
        "zEfGhIjKlMnOpQrStUvWxY==",
        "a.b-7",
        "+380",
    ] {
        assert_eq!(one_user(Some(&chat(id, None))), Ok(id.trim()), "{id}");
    }
    for id in [
        "",
        "  ",
        "\t\n",
        "\u{a0}",
        "everyone",
        "Everyone",
        " EVERYONE ",
        "every\u{200b}one",
        "еveryone", // with a Cyrillic letter
        "\"everyone\"",
        "all",
        "any",
        "null",
        "None",
        "undefined",
        "[700000101]",
        "[\"700000101\"]",
        "700000101, 700000102",
        "700000101 700000102",
        "700000101;700000102",
        "{{ contact.id }}",
        "*",
        "%",
    ] {
        assert!(one_user(Some(&chat(id, None))).is_err(), "{id:?}");
    }
    assert!(one_user(None).is_err());
}

#[test]
fn the_body_is_for_one_user() {
    let data = json!({"product": {"name": "Чай", "price": 120}});
    let made = body(&call(" 700000101 ", json!({"event": "cart", "data": data}))).unwrap();
    assert_eq!(made, json!({"platform": "tg", "users": ["700000101"], "data": data}));
    let made = body(&call("700000101", json!({"event": "cart"}))).unwrap();
    assert_eq!(made, json!({"platform": "tg", "users": ["700000101"], "data": {}}));
    for (channel, expect) in [(Some("tg"), "tg"), (Some("viber"), "any"), (None, "any")] {
        assert_eq!(platform(Some(&chat("7", channel))), expect, "{channel:?}");
    }
}

#[test]
fn data_is_not_larger_than_botmother_takes() {
    let with = |length: usize| json!({"event": "cart", "data": {"text": "x".repeat(length)}});
    let around = body(&call("7", with(0))).unwrap().to_string().len();
    assert!(body(&call("7", with(LARGEST - around))).is_ok());
    let refused = body(&call("7", with(LARGEST - around + 1)));
    assert!(matches!(refused, Err(Outcome::Rejected { why }) if why.contains("1000001 bytes")));
    let list = body(&call("7", json!({"event": "cart", "data": [1]})));
    assert!(matches!(list, Err(Outcome::Rejected { why }) if why.contains("`data` holds values by name")));
}

#[test]
fn an_address_leads_to_botmother_or_nowhere() {
    let root = Url::parse(ROOT).unwrap();
    let check = |address: &str, expect: Result<&str, &str>| match (Event::read(address, &root), expect) {
        (Ok(event), Ok(path)) => assert_eq!(event.segments.join("/"), path),
        (Err(why), Err(words)) => {
            assert!(why.contains(words), "{address}: {why}");
            assert!(!why.contains("t0ken"), "{why}");
        }
        (found, _) => panic!("{address}: {:?}", found.map(|event| event.segments)),
    };
    let path = "api/bot/action/H1bjU9lDm/t0ken-_AB";
    check(&format!("{ROOT}/{path}"), Ok(path));
    check(&format!(" {ROOT}/{path}\n"), Ok(path));
    for address in [
        "https://app.botmother.com.evil.example/api/bot/action/a/t0ken",
        "https://evil.example/api/bot/action/a/t0ken",
        "http://app.botmother.com/api/bot/action/a/t0ken",
        "https://app.botmother.com:8443/api/bot/action/a/t0ken",
        "https://app.botmother.com@evil.example/api/bot/action/a/t0ken",
    ] {
        check(address, Err("does not lead to app.botmother.com"));
    }
    for address in [
        "",
        "t0ken",
        "https://app.botmother.com",
        "https://app.botmother.com/api/bot/action/a/t0ken/",
        "https://app.botmother.com/api/bot/action/a/t0ken?users=everyone",
        "https://app.botmother.com/api/bot/action/a/t0ken#x",
        "https://me@app.botmother.com/api/bot/action/a/t0ken",
        "https://app.botmother.com/api/bot/action/%2e%2e/t0ken%20",
    ] {
        check(address, Err("not the address of an event"));
    }
}
