//! What a page weighs: the registry is opened all day, also on a phone in a tram. And pages about very much, which look at
//! a part of it and do what is asked for with all.

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::json;

use super::{Browser, TOKEN, rig};
use crate::rig::{MAPPING, Rig, event, now_millis};

/// Bytes, with style and script, as they go over the network.
const HEAVIEST: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_stays_light_with_the_longest_names_there_are() {
    let rig = rig().await;
    let start = now_millis();
    let bodies: Vec<_> = (0..70)
        .map(|number| {
            // Each third has no phone that can be used, so that its row also says why.
            let phone = if number % 3 == 0 {
                "передзвоніть, будь ласка".to_owned()
            } else {
                format!("+38067{:07}", 1_100_003 + number * 16_411)
            };
            let email = format!("oleksandra.volodymyrivna.{number}@корпоративна-пошта.example.com.ua");
            let mut body = event(
                &format!("chat-{number}"),
                "telegram",
                json!({ "phone": phone, "email": email }),
                start + number,
            );
            body[0]["contact"]["name"] =
                json!("Олександра-Вікторія Володимирівна Нечипоренко-Кам’янецька & <Co>");
            body
        })
        .collect();
    rig.post_all(&bodies, 8).await;
    rig.settle().await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    for language in ["en", "uk"] {
        browser.speak(language);
        let page = browser.get("/").await;
        assert!(
            page.is(200).text.matches("<tr").count() > 50,
            "a page of leads has more than 50 rows: {}",
            page.text
        );
        let mut weight = page.text.len();
        for address in page.text.split('"').filter(|text| text.starts_with("/assets/")) {
            weight += browser.get(address).await.is(200).text.len();
        }
        assert!(
            weight <= HEAVIEST,
            "in {language} it weighs {weight} bytes, {} of them the page",
            page.text.len()
        );
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_are_looked_at_in_part_and_read_again_in_whole() {
    const REQUESTS: i64 = 60;
    let rig = rig().await;
    for _ in 0..REQUESTS {
        assert_eq!(rig.post_to("/in/sendpulse/demo", "no json").await.0, 200);
    }
    rig.settle().await;
    let browser = Browser::of(&rig, Role::Operator).await;
    let seen = browser.get("/attention/replay?at=unreadable&place=sendpulse").await;
    seen.is(200).says("There are many.").says("50\u{a0}requests would go on.").says("Replay all of them");
    let up_to = field(&seen.text, "up_to");
    assert_eq!(field(&seen.text, "total"), "0", "nobody has counted them");
    let form =
        [("at", "unreadable"), ("place", "sendpulse"), ("how", "resume"), ("up_to", &up_to), ("total", "0")];
    let mut page = browser.post_and_follow("/attention/replay", &form).await;
    while page.text.contains("data-go-on") {
        // It took longer than one piece may: the script presses the button.
        page.is(200).says("done so far.");
        let [after, count] = ["after", "count"].map(|name| field(&page.text, name));
        let further = [&form[..], &[("after", after.as_str()), ("count", count.as_str())]].concat();
        page = browser.post_and_follow("/attention/replay", &further).await;
    }
    page.is(200).says("Replayed:").says(&format!("{REQUESTS}\u{a0}")).says_nothing_of("There are many");
    rig.settle().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_held_leads_are_looked_at_in_part_and_answered_for_in_whole() {
    const LEADS: i64 = 60;
    let settings = "timeout: 500ms, settle: 700ms, mode: observe";
    let mut rig = Rig::prepare(Faults::default(), settings, MAPPING).await;
    rig.token = Some(TOKEN);
    rig.boot().await;
    let start = now_millis();
    let bodies: Vec<_> = (0..LEADS)
        .map(|number| {
            let said = json!({ "phone": format!("+38067{:07}", 1_100_003 + number * 16_411) });
            event(&format!("chat-{number}"), "telegram", said, start + number)
        })
        .collect();
    rig.post_all(&bodies, 8).await;
    rig.settle().await;
    let browser = Browser::of(&rig, Role::Operator).await;
    let page = browser.get("/attention/held?destination=crm").await;
    page.is(200).says("There are many.").says("50\u{a0}leads").says("create contact, create deal");
    let up_to = field(&page.text, "up_to");
    let form = [("destination", "crm"), ("up_to", &up_to), ("answer", "skip")];
    let mut page = browser.post_and_follow("/attention/held", &form).await;
    while page.text.contains("data-go-on") {
        let count = field(&page.text, "count");
        page = browser
            .post_and_follow("/attention/held", &[&form[..], &[("count", count.as_str())]].concat())
            .await;
    }
    assert_eq!(rig.counts().await.held, 0, "the answer is for all of them: {}", page.text);
    rig.end().await;
}

/// What a field of a form holds.
fn field(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split('"').next().unwrap().to_owned()
}
