//! The activity feed of eSputnik.

use super::*;

fn activity() -> Value {
    json!({
        "messageName": "cart_tg", "iid": "019b7450-52d9-11ee-85c4-959256ea468c", "contactId": 889_000_911,
        "externalCustomerId": "crm-7781", "mediaType": "telegram", "activityStatus": "DELIVERED",
        "activityDateTime": "2026-06-10T08:30:50", "statusData": {}
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut activity = activity();
    activity[name] = value;
    activity
}

#[test]
fn a_status_is_keyed_by_sending_status_and_time() {
    let key = one("esputnik", &activity()).key;
    assert_eq!(
        (key.value.as_str(), key.lifetime),
        (
            "activity:019b7450-52d9-11ee-85c4-959256ea468c:DELIVERED:2026-06-10T08:30:50",
            KeyLifetime::Retention
        )
    );
    let check = |name: &str, value: Value, same: bool| {
        assert_eq!(one("esputnik", &with(name, value.clone())).key == key, same, "{name} {value}");
    };
    check("statusDescription", json!("anything"), true);
    check("externalCustomerId", json!("crm-1"), true);
    check("iid", json!("019b7451-52d9-11ee-85c4-959256ea468c"), false);
    check("activityStatus", json!("READ"), false);
    check("activityDateTime", json!("2026-06-10T08:30:51"), false);
    check("clickEventLink", json!("https://shop.example.com/?email=olena@example.com"), false);
}

#[test]
fn each_clicked_link_is_an_event_and_no_link_stands_in_a_key() {
    let key = |link: &str| one("esputnik", &with("clickEventLink", json!(link))).key.value;
    assert_ne!(key("https://shop.example.com/1"), key("https://shop.example.com/2"));
    assert_eq!(key("https://shop.example.com/1"), key("https://shop.example.com/1"));
    assert!(!key("https://shop.example.com/?email=olena@example.com").contains("olena"));
    assert_eq!(key(""), one("esputnik", &activity()).key.value);
}

#[test]
fn what_became_of_a_telegram_message_is_told_of_the_chat() {
    let status = |name: &str, value: Value| one("esputnik", &with(name, value)).chat_status;
    let told = status("statusDescription", json!("403: Forbidden")).unwrap();
    assert_eq!((told.status.as_str(), told.description.as_deref()), ("DELIVERED", Some("403: Forbidden")));
    assert_eq!(told.at, None, "a time without its zone is no moment");
    let zoned = status("activityDateTime", json!("2026-06-10T08:30:50+03:00")).unwrap();
    assert_eq!(zoned.at, Some("2026-06-10T05:30:50Z".parse().unwrap()));
    assert_eq!(status("mediaType", json!("viber")), None);
    assert_eq!(status("mediaType", json!(null)), None);
    assert_eq!(status("activityStatus", json!(null)), None);
}

#[test]
fn what_has_no_id_is_hashed() {
    for (name, value) in [
        ("iid", json!(null)),
        ("iid", json!("a:b")),
        ("activityStatus", json!("")),
        ("activityDateTime", json!(null)),
        ("activityDateTime", json!("+380671234567 olena@example.com")),
        ("activityDateTime", json!("1".repeat(41))),
    ] {
        let event = one("esputnik", &with(name, value.clone()));
        assert_eq!(event.key.lifetime, KeyLifetime::Window, "{name} {value}");
        assert!(event.key.value.starts_with("sha256:"), "{name} {value}");
    }
}

#[test]
fn the_order_of_the_list_is_kept() {
    let list: Vec<Value> = (0..50)
        .map(|second| with("activityDateTime", json!(format!("2026-06-10T08:30:{second:02}"))))
        .collect();
    let payloads: Vec<_> =
        split_json("esputnik", &json!(list)).into_iter().map(|event| event.payload).collect();
    assert_eq!(payloads, list);
    assert_eq!(split_json("esputnik", &json!([])), vec![]);
    assert_eq!(split_json("esputnik", &json!([activity(), "a stranger"])).len(), 2);
    refused("esputnik", "application/json", "5", "no list of activities");
    refused("esputnik", "application/json", format!("[{}{{}}]", "{},".repeat(1_000)), "1001 events");
}
