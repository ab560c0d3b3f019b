//! Somebody looks for a lead: it comes by itself, it is found by whatever is known of it, and lists are paged through.

use std::collections::BTreeSet;

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::console::TOKEN;
use crate::console::webdriver::Tab;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};

/// A bot of Telegram, whose updates have an id that people read in its log.
const BOT: &str = "
source: { preset: telegram, token: demo, secret: demo }
leads:
  - name: shared
    when: \"{{ own_phone }}\"
    to: [crm]
    owners: sales
    phone: { regions: [UA] }
    contact: { name: \"{{ [from.first_name, from.last_name] | join(' ') }}\", phone: \"{{ own_phone }}\" }
    deal: { title: From Telegram }
";

/// Two sources, and nobody has written yet.
async fn rig() -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some(TOKEN);
    rig.files.0.insert("bot.yaml".to_owned(), BOT.to_owned());
    rig.boot().await;
    rig
}

fn from(chat: &str, name: &str, variables: Value, number: i64) -> Value {
    let mut event = event(chat, "telegram", variables, now_millis() + number);
    event[0]["contact"]["name"] = name.into();
    event
}

/// Somebody shares their number with the bot, or only talks.
async fn update(rig: &Rig, id: i64, first: &str, last: &str, phone: Option<&str>) {
    let mut message = json!({
        "message_id": id, "date": 1_780_000_000, "text": "hi",
        "from": { "id": id, "is_bot": false, "first_name": first, "last_name": last },
        "chat": { "id": id, "type": "private", "first_name": first },
    });
    if let Some(phone) = phone {
        message["contact"] = json!({ "phone_number": phone, "first_name": first, "user_id": id });
    }
    let body = json!({ "update_id": id, "message": message });
    let secret = ("x-telegram-bot-api-secret-token", "demo");
    assert_eq!(rig.post_with("/in/bot/demo", secret, &body).await, 200);
}

/// Waits until just these stand in the list, in any order.
async fn lists(tab: &Tab, names: &[&str], what: &str) {
    let expect: BTreeSet<&str> = names.iter().copied().collect();
    let listed =
        "return [...document.querySelectorAll('#leads tbody tr td:nth-child(2) a')].map((a) => a.innerText)";
    crate::rig::until(&format!("{what}: the list is {names:?}"), async || {
        let Ok(listed) = tab.try_run(listed, json!([])).await else { return false };
        let listed: Vec<&str> =
            listed.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        listed.len() == names.len() && listed.into_iter().collect::<BTreeSet<_>>() == expect
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_appears_on_the_open_page() {
    let rig = rig().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.go("/").await;
        tab.sees("No lead has come yet").await;
        tab.run("window.same = true", json!([])).await;
        for (number, name) in [(1, "Олена Ковальчук"), (2, "Тарас Бульба")] {
            let phone = format!("067418520{number}");
            assert_eq!(rig.post(&from(name, name, json!({ "phone": phone }), number)).await, 200);
            tab.sees(name).await;
        }
        // Also what becomes of them, and without the page being loaded anew.
        crate::rig::until("both are told as done", async || {
            tab.text().await.is_ok_and(|text| text.matches("done → crm").count() == 2)
        })
        .await;
        lists(&tab, &["Олена Ковальчук", "Тарас Бульба"], "live").await;
        assert_eq!(tab.run("return window.same", json!([])).await, json!(true));
        // Who looks for others is not disturbed by it.
        tab.fill("Find", "Тарас").await;
        tab.press_enter("Find").await;
        lists(&tab, &["Тарас Бульба"], "found").await;
        let more = from("c3", "Марія Приймаченко", json!({ "phone": "0674185203" }), 3);
        assert_eq!(rig.post(&more).await, 200);
        rig.settle().await;
        tab.click("Clear").await;
        tab.sees("Марія Приймаченко").await;
        tab.click("Марія Приймаченко").await;
        tab.sees("Normalised").await;
        tab.sees("+380674185203").await;
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}

const OLENA: &str = "Олена Ковальчук";
const MARIANA: &str = "Мар'яна Щербак-Їжакевич";
const OHARA: &str = "Scarlett O’Hara";
const TELEGRAM: &str = "Соломія Крушельницька";

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_found_by_whatever_is_known_of_it() {
    let rig = rig().await;
    let leads = [
        from("chat-olena", OLENA, json!({ "phone": "067 418 52 06", "email": "Olena.K@Example.com" }), 1),
        from("chat-mariana", MARIANA, json!({ "phone": "+380 (50) 111-22-33" }), 2),
        from("chat-ohara", OHARA, json!({ "email": "scarlett@tara.example" }), 3),
    ];
    for lead in &leads {
        assert_eq!(rig.post(lead).await, 200);
    }
    update(&rig, 700_500_123, "Соломія", "Крушельницька", Some("380631234567")).await;
    update(&rig, 700_500_124, "Chatty", "Somebody", None).await;
    rig.settle().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.go("/").await;
        for (typed, names) in [
            // A phone as it came, as the CRM has it, and as people write it.
            ("067 418 52 06", &[OLENA][..]),
            ("+380674185206", &[OLENA]),
            ("0038 (067) 418-52-06", &[OLENA]),
            ("tel:0501112233", &[MARIANA]),
            (" olena.k@example.COM ", &[OLENA]),
            // A name by how its words begin: in any order, case and alphabet.
            ("ковальчук олена", &[OLENA]),
            ("ОЛЕН КОВ", &[OLENA]),
            ("Kovalch", &[OLENA]),
            ("мар’яна щерб", &[MARIANA]),
            ("марʼяна", &[MARIANA]),
            ("маряна", &[MARIANA]),
            ("їжак", &[MARIANA]),
            ("O'Hara scarl", &[OHARA]),
            ("ohara", &[OHARA]),
            ("круш солом", &[TELEGRAM]),
            ("chat-olena", &[OLENA]),
            // The platform's id of an event, as its log tells it and as our pages do.
            ("700500123", &[TELEGRAM]),
            ("update:700500123", &[TELEGRAM]),
            ("ковальчук марʼяна", &[]),
            ("+380674185207", &[]),
        ] {
            tab.fill("Find", typed).await;
            tab.press_enter("Find").await;
            lists(&tab, names, typed).await;
        }
        tab.sees("No lead is like this.").await;
        // What is found leads to the lead, and the browser's way back to what was looked for.
        tab.fill("Find", "щербак").await;
        tab.press_enter("Find").await;
        lists(&tab, &[MARIANA], "again").await;
        tab.click(MARIANA).await;
        tab.sees("was written").await;
        tab.back().await;
        lists(&tab, &[MARIANA], "back").await;
        assert_eq!(tab.value("Find").await, "щербак");
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_narrowed_and_paged_through() {
    let rig = rig().await;
    let leads: Vec<Value> = (0..52)
        .map(|number| {
            let name =
                format!("Гість {}", char::from_u32(0x410 + u32::try_from(number % 32).unwrap()).unwrap());
            from(&format!("c{number}"), &name, json!({ "phone": format!("06700000{number:02}") }), number)
        })
        .collect();
    rig.post_all(&leads, 8).await;
    update(&rig, 41, "Telegram", "Person", Some("380631234567")).await;
    update(&rig, 42, "Chatty", "Somebody", None).await;
    rig.settle().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        let rows =
            async || tab.run("return document.querySelectorAll('#leads tbody tr').length", json!([])).await;
        let seen = async || {
            tab.run(
                "return [...document.querySelectorAll('#leads tbody tr')].map((row) => row.dataset.id)",
                json!([]),
            )
            .await
        };
        tab.go("/").await;
        tab.sees("Older →").await;
        assert_eq!(rows().await, json!(50));
        let newest = seen().await;
        tab.click("Older →").await;
        tab.sees("← Newer").await;
        assert_eq!(rows().await, json!(4));
        tab.sees_no("Older →").await;
        tab.click("← Newer").await;
        tab.sees("Older →").await;
        assert_eq!(seen().await, newest, "there and back is the same page");

        let only = ["Telegram Person"];
        tab.choose("Source", "bot").await;
        tab.choose("State", "done").await;
        tab.click("Show").await;
        lists(&tab, &only, "done of the bot").await;
        tab.choose("State", "filtered").await;
        tab.click("Show").await;
        tab.sees("filtered").await;
        assert_eq!(rows().await, json!(1));
        tab.choose("Source", "any").await;
        tab.choose("State", "any").await;
        tab.choose("Destination", "crm").await;
        tab.fill("Find", "telegram").await;
        tab.click("Show").await;
        lists(&tab, &only, "to the CRM").await;
        // The keys of a date field are of the browser's language, so the date stands in the address.
        let query = |days: &str| format!("/?q=telegram&{days}");
        let yesterday = "return new Date(Date.now() - 86400000).toLocaleDateString('sv')";
        let yesterday = tab.run(yesterday, json!([])).await.as_str().unwrap().to_owned();
        for (days, names) in [
            (format!("from={yesterday}"), &only[..]),
            ("to=2020-01-01".to_owned(), &[]),
            (format!("to={yesterday}"), &[]),
            ("from=2020-01-01".to_owned(), &only),
            ("from=2099-01-01".to_owned(), &[]),
        ] {
            tab.go(&query(&days)).await;
            lists(&tab, names, &days).await;
        }
        tab.click("Clear").await;
        tab.sees("Older →").await;
        assert_eq!(tab.path().await, "/");
    }
    rig.end().await;
}
