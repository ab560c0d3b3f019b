//! Where identifiers come from, and what stands behind each.

use super::*;

/// Kind, scope, first key and proof of every identifier, and the codes of the flaws.
fn evidence(preset: &str, branch: &str, event: &Event) -> (Vec<String>, Vec<String>) {
    let made = lead(run_event(preset, &format!("leads:\n  - {{ name: all, to: [crm], {branch} }}\n"), event));
    let say = |known: &crate::lead::Identifier| {
        format!("{} {} {} {}", known.kind.as_str(), known.scope, known.keys[0], known.proof.as_str())
    };
    (made.identifiers.iter().map(say).collect(), made.flaws.into_iter().map(|flaw| flaw.code).collect())
}

#[track_caller]
fn check(preset: &str, branch: &str, payload: Json, identifiers: &[&str], flaws: &[&str]) {
    let got = evidence(preset, branch, &event(payload));
    assert_eq!(
        got,
        (identifiers.iter().map(|&say| say.into()).collect(), flaws.iter().map(|&say| say.into()).collect())
    );
}

#[test]
fn a_shared_contact_is_proven_only_when_it_is_the_writers_own() {
    let branch = "contact: { phone: { value: \"+{{ message.contact.phone_number }}\", \
                  proven: \"{{ message.contact.user_id == message.from.id }}\" } }";
    let shared = |from: Json, user_id: Json| json!({ "message": { "from": { "id": from }, "contact": { "phone_number": "380674185206", "user_id": user_id } } });
    let check = |payload: Json, proof: &str| {
        super::evidence::check("json", branch, payload, &[&format!("phone  +380674185206 {proof}")], &[]);
    };
    check(shared(json!(700_000_101), json!(700_000_101)), "proven");
    check(shared(json!(700_000_101), json!(700_000_102)), "claimed");
    check(shared(json!(700_000_101), Json::Null), "claimed");
    check(shared(Json::Null, json!(700_000_101)), "claimed");
    // Two things that are missing are equal, and prove nothing.
    check(shared(Json::Null, Json::Null), "claimed");
    check(json!({ "message": { "contact": { "phone_number": "380674185206" } } }), "claimed");
}

#[test]
fn proven_may_be_said_of_a_phone_and_an_email_and_holds_for_both_spellings() {
    let phones = |second: &str| {
        format!(
            "phone: {{ regions: [UA] }}, contact: {{ phone: [<<typed>>, {second}], email: {{ value: <<mail>>, proven: <<opened>> }} }}"
        )
    };
    let payload = |opened: Json| json!({ "typed": "067 418 52 06", "from": "380674185206", "mail": "a@x.org", "opened": opened });
    check(
        "json",
        &phones("{ value: <<from>>, proven: true }"),
        payload(json!(true)),
        &["phone  +380674185206 proven", "email  a@x.org proven"],
        &[],
    );
    check(
        "json",
        &phones("{ value: <<from>>, proven: false }"),
        payload(json!(false)),
        &["phone  +380674185206 claimed", "email  a@x.org claimed"],
        &[],
    );
}

#[test]
fn an_error_in_proven_stops_the_lead() {
    let leads = "leads: [{ name: all, to: [crm], contact: { phone: { value: <<phone>>, proven: \"{{ a * 2 > 1 }}\" } } }]\n";
    let made = run_event("json", leads, &event(json!({ "phone": "380674185206", "a": "x" })));
    let Interpreted::NeedsAttention { reason, .. } = made else { panic!("{made:?}") };
    assert!(reason.text.contains("`proven` of branch `all`"), "{}", reason.text);
}

/// What `SendPulse` says of the writer of one event.
fn sendpulse(payload: &Json) -> Event {
    let delivery = crate::event::Delivery {
        id: crate::id::DeliveryId(uuid::Uuid::nil()),
        source: "bot".to_owned(),
        method: "POST".to_owned(),
        query: None,
        headers: Vec::new(),
        body: payload.to_string().into_bytes(),
        received_at: now(),
    };
    (crate::event::preset("sendpulse").unwrap().split)(&delivery).unwrap().remove(0)
}

fn writes(service: &str, phone: impl Into<Json>) -> Json {
    json!({ "service": service, "bot": { "id": "b1" }, "contact": { "id": "c1", "phone": phone.into() } })
}

#[test]
fn who_writes_from_whatsapp_has_proven_the_number() {
    let typed = "contact: { phone: <<contact.phone>> }";
    let check = |branch: &str, payload: Json, identifiers: &[&str], flaws: &[&str]| {
        let got = evidence("sendpulse", branch, &sendpulse(&payload));
        let want: (Vec<String>, Vec<String>) = (
            identifiers.iter().map(|&say| say.into()).collect(),
            flaws.iter().map(|&say| say.into()).collect(),
        );
        assert_eq!(got, want);
    };
    let both = &["phone  +380674185206 proven", "chat sendpulse:b1 c1 proven"][..];
    check(typed, writes("whatsapp", "380674185206"), both, &[]);
    check("note: x", writes("WhatsApp", "+380674185206"), both, &[]);
    let claimed = &["phone  +380674185206 claimed", "chat sendpulse:b1 c1 proven"][..];
    check(typed, writes("telegram", "380674185206"), claimed, &[]);
    // Somebody with a username shows no number: then there is none, and that is fine.
    let chat = &["chat sendpulse:b1 c1 proven"][..];
    check("note: x", writes("whatsapp", Json::Null), chat, &[]);
    check("note: x", writes("whatsapp", "UA.13491208655302741918"), chat, &[]);
    // Without its bot a contact is nobody, and says so.
    let mut lost = writes("telegram", Json::Null);
    lost["bot"] = json!({});
    check("note: x", lost, &[], &["no_bot"]);
    check("note: x", json!({ "service": "telegram", "bot": { "id": "b1" } }), &[], &[]);
}

#[test]
fn a_business_scoped_id_and_a_number_are_two_identifiers_of_one_human() {
    let branch = "contact: { phone: { value: <<from>>, proven: true } }, \
                  identifiers: { chat: { channel: WhatsApp, bot: <<business>>, id: <<user>> } }";
    let both = json!({ "business": "102", "from": "380674185206", "user": "UA.13491208655302741918" });
    let chat = "chat whatsapp:102 UA.13491208655302741918 proven";
    check("json", branch, both, &["phone  +380674185206 proven", chat], &[]);
    check("json", branch, json!({ "business": "102", "user": "UA.13491208655302741918" }), &[chat], &[]);
    check(
        "json",
        branch,
        json!({ "business": "102", "from": "380674185206" }),
        &["phone  +380674185206 proven"],
        &[],
    );
}

#[test]
fn a_chat_without_its_bot_is_a_flaw_and_the_lead_is_kept() {
    let branch = "identifiers: { chat: { channel: <<channel>>, bot: <<bot>>, id: <<id>> } }";
    let whole = json!({ "channel": "Viber", "bot": "shop", "id": 17 });
    let without = |key: &str| {
        let mut payload = whole.clone();
        payload[key] = Json::Null;
        payload
    };
    check("json", branch, whole.clone(), &["chat viber:shop 17 proven"], &[]);
    check("json", branch, without("bot"), &[], &["no_bot"]);
    check("json", branch, without("channel"), &[], &["no_channel"]);
    // Without an id the event came from no chat.
    check("json", branch, without("id"), &[], &[]);
    let stand_in = |id: &str| json!({ "channel": "viber", "bot": "shop", "id": id });
    check("json", branch, stand_in("null"), &[], &["no_value"]);
    check("json", branch, stand_in("{{id}}"), &[], &["template"]);
    check("json", branch, json!({ "channel": "viber", "bot": "undefined", "id": "17" }), &[], &["no_value"]);
    check("json", branch, json!({ "channel": "telegram", "bot": "shop", "id": -1_001_234 }), &[], &["group"]);
}

#[test]
fn a_telegram_user_is_the_same_in_all_bots() {
    let branch =
        "identifiers: { telegram_user: <<from>>, chat: { channel: telegram, bot: <<bot>>, id: <<from>> } }";
    for bot in ["one", "other"] {
        check(
            "json",
            branch,
            json!({ "bot": bot, "from": 700_000_101 }),
            &[&format!("chat telegram:{bot} 700000101 proven"), "chat telegram 700000101 proven"],
            &[],
        );
    }
    let user = |id: Json, identifiers: &[&str], flaws: &[&str]| {
        check("json", "identifiers: { telegram_user: <<from>> }", json!({ "from": id }), identifiers, flaws);
    };
    user(json!("700000101"), &["chat telegram 700000101 proven"], &[]);
    user(json!(4_503_599_627_370_495_u64), &["chat telegram 4503599627370495 proven"], &[]);
    for wrong in [
        json!(4_503_599_627_370_496_u64),
        json!(0),
        json!(-1_001_234_567_890_i64),
        json!(1_087_968_824),
        json!("olena_vyhadana"),
    ] {
        user(wrong, &[], &["not_a_user"]);
    }
    user(Json::Null, &[], &[]);
}

#[test]
fn what_came_in_a_link_is_a_hint() {
    let branch =
        "identifiers: { external_customer: { shop: [<<customer>>, { value: <<start>>, hint: true }] } }";
    let shop = |id: &str, proof: &str| format!("external_customer shop {id} {proof}");
    check("json", branch, json!({ "start": 17 }), &[&shop("17", "hinted")], &[]);
    check(
        "json",
        branch,
        json!({ "start": 17, "customer": 5 }),
        &[&shop("5", "claimed"), &shop("17", "hinted")],
        &[],
    );
    // What is known anyway does not become weaker by a link.
    check("json", branch, json!({ "start": 5, "customer": 5 }), &[&shop("5", "claimed")], &[]);
    check("json", branch, json!({ "start": "null" }), &[], &["no_value"]);
    check("json", branch, json!({ "customer": 0 }), &[], &["placeholder"]);
    let user = "identifiers: { telegram_user: { value: <<start>>, hint: true } }";
    check("json", user, json!({ "start": "700000101" }), &["chat telegram 700000101 hinted"], &[]);
}

#[test]
fn only_a_token_of_ours_is_redeemed_and_never_kept_readable() {
    let token = "lf_ZRvJxYsn6Vr2sQVQ83kLdM";
    let links = |start: Json| {
        let leads = "leads:\n  - { name: all, to: [crm], identifiers: { link: [<<start>>, <<start>>] } }\n";
        lead(run_event("json", leads, &event(json!({ "start": start })))).links
    };
    let kept = crate::token::to_hex(&crate::links::kept(crate::links::Secret::Token, token));
    assert_eq!(links(json!(token)), std::slice::from_ref(&kept));
    assert_eq!(links(json!(format!("/start {token}"))), [kept]);
    for other in [json!(17), json!("1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10"), json!("summer"), Json::Null] {
        assert_eq!(links(other), [] as [String; 0]);
    }
}

#[test]
fn a_hinted_chat_is_not_the_one_that_the_event_came_from() {
    let branch = "identifiers: { chat: { channel: telegram, bot: shop, id: <<link>>, hint: true } }";
    check("json", branch, json!({ "link": "17" }), &["chat telegram:shop 17 hinted"], &[]);
    check(
        "sendpulse",
        branch,
        json!({ "link": "17", "chat_of_preset": "c1" }),
        &["chat telegram:shop 17 hinted", "chat sendpulse:bot-1 c1 proven"],
        &[],
    );
    let leads = format!("leads:\n  - {{ name: all, to: [crm], {branch} }}\n");
    assert_eq!(lead(run_event("json", &leads, &event(json!({ "link": "17" })))).chat, None);
}

#[test]
fn desks_behind_one_switchboard_are_two_phones() {
    let leads = "leads: [{ name: all, to: [crm], contact: { phone: [<<one>>, <<other>>] } }]\n";
    let files = [
        ("workspace.yaml", "destinations: { crm: { crm: sandbox, url: u, token: t } }\n".to_owned()),
        ("bot.yaml", format!("source: {{ preset: json, token: t }}\n{leads}")),
    ];
    let compiled =
        compile(&Files(files.map(|(name, text)| (name.to_owned(), text)).into()), &|_| None, KINDS, &PRESETS);
    let mapping = compiled.workspace.sources["bot"].mapping.as_ref().unwrap();
    let keys = |one: &str, other: &str| -> Vec<String> {
        let made = lead(interpret(mapping, &event(json!({ "one": one, "other": other })), now()));
        made.identifiers.into_iter().map(|known| known.keys[0].clone()).collect()
    };
    let desk = "+380441234567 доб. 12";
    assert_eq!(keys(desk, "+380441234567 доб. 21"), ["+380441234567;ext=12", "+380441234567;ext=21"]);
    assert_eq!(keys(desk, "+380441234567"), ["+380441234567;ext=12", "+380441234567"]);
    assert_eq!(keys(desk, "+38 (044) 123-45-67 ext 12"), ["+380441234567;ext=12"]);
    assert!(keys("4915123456789", "info@example.com").is_empty(), "it may be two numbers");
}
