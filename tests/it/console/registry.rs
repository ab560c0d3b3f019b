//! The registry, a lead and a request in the console: what is found, what is told, and what a role may.

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use super::{Browser, Page, rig};
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};

const HOSTILE: &str = "<script>alert(1)</script>";

/// What is left of a text once it is in HTML.
const HARMLESS: &str = "&lt;script&gt;alert(1)&lt;/script&gt;";

/// One more source, for requests that no preset of chats reads.
const FORM: &str = "
source: { preset: json, token: shop }
leads:
  - name: paid
    when: \"{{ paid }}\"
    to: [crm]
    owners: sales
    phone: { regions: [UA] }
    contact: { name: \"{{ name }}\", phone: \"{{ phone }}\", email: \"{{ email }}\" }
    deal: { title: \"For {{ name }}\" }
";

fn named(chat: &str, name: &str, phone: &str, at: i64) -> Value {
    let mut event = event(chat, "telegram", json!({ "phone": phone }), at);
    event[0]["contact"]["name"] = name.into();
    event
}

async fn prepared(postgres: Option<Database>) -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.postgres = postgres;
    rig.files.0.insert("shop.yaml".to_owned(), FORM.to_owned());
    rig.boot().await;
    let at = now_millis();
    assert_eq!(rig.post(&named("c1", "Олена Ковальчук", "067 418 52 06", at)).await, 200);
    assert_eq!(rig.post(&named("c2", "Oleh Shevchenko", "0501112233", at + 1)).await, 200);
    assert_eq!(rig.post(&named("c3", HOSTILE, "0631112233", at + 2)).await, 200);
    rig.settle().await;
    for (name, paid) in [("Zoriana Ivanenko", true), ("Nobody Wanted", false)] {
        let body = json!({ "name": name, "phone": "0971112233", "paid": paid, "id": name });
        assert_eq!(rig.post_to("/in/shop/shop", body.to_string()).await.0, 200);
    }
    assert_eq!(rig.post_to("/in/shop/shop", "{").await.0, 200);
    rig.settle().await;
    rig
}

/// The names that a page of the registry lists, in its order.
async fn listed(rig: &Rig, query: &str) -> Vec<String> {
    let page = rig.json(&format!("/api/leads?{query}")).await;
    let leads = page["leads"].as_array().unwrap().iter();
    leads.map(|lead| lead["contact"]["name"].as_str().unwrap_or("-").to_owned()).collect()
}

async fn filters(rig: Rig) {
    let check = async |query: &str, expect: &[&str]| {
        assert_eq!(listed(&rig, query).await, expect, "{query}");
        // The page finds the same.
        let page = Browser::new(&rig).get(&format!("/?{query}")).await;
        page.is(200);
        for name in expect.iter().filter(|name| **name != "-" && **name != HOSTILE) {
            page.says(name);
        }
    };
    let all = ["-", "Zoriana Ivanenko", HOSTILE, "Oleh Shevchenko", "Олена Ковальчук"];
    check("", &all).await;
    check("source=shop", &all[..2]).await;
    check("source=sendpulse", &all[2..]).await;
    check("destination=crm", &all[1..]).await;
    check("destination=nowhere", &[]).await;
    check("state=synced", &all[1..]).await;
    check("state=filtered", &all[..1]).await;
    check("state=filtered&destination=crm", &[]).await;
    check("state=synced&destination=crm&source=shop", &all[1..2]).await;
    check("state=needs-attention", &[]).await;
    check("state=held", &[]).await;
    check("state=open", &[]).await;
    // A phone in any spelling, a chat, and names in either alphabet by how they begin.
    check("q=067-418-52-06", &all[4..]).await;
    check("q=%2B380674185206", &all[4..]).await;
    check("q=c2", &all[3..4]).await;
    check("q=ole", &all[3..]).await;
    check("q=%D0%BE%D0%BB%D0%B5", &all[3..]).await;
    check("q=kovalchuk", &all[4..]).await;
    check("q=olena+koval", &all[4..]).await;
    check("q=olena+shevchenko", &[]).await;
    check("q=ole&state=filtered", &[]).await;
    check("q=zor&source=shop", &all[1..2]).await;
    check("q=zor&source=sendpulse", &[]).await;
    check("q=nobody", &[]).await;
    check("q=%27%3B+DROP+TABLE+leads", &[]).await;
    // By any id that has something to do with it.
    let newest = &rig.json("/api/leads?source=sendpulse&limit=1").await["leads"][0];
    let lead = rig.json(&format!("/api/leads/{}", newest["id"].as_str().unwrap())).await;
    let ids =
        [&lead["id"], &lead["delivery"]["id"], &lead["syncs"][0]["id"], &lead["syncs"][0]["steps"][0]["id"]];
    for id in ids.into_iter().chain([&lead["person"]]) {
        check(&format!("q={}", id.as_str().unwrap()), &all[2..3]).await;
    }
    rig.end().await;
}

#[tokio::test]
async fn leads_are_found_by_what_they_are() {
    filters(prepared(None).await).await;
}

#[tokio::test]
async fn leads_are_found_by_what_they_are_on_postgres() {
    let Some(database) = Database::create().await else { return };
    filters(prepared(Some(database)).await).await;
}

async fn walked(rig: Rig) {
    // Every list, in pages of two there and back, is the list in one page.
    for filter in
        ["", "source=sendpulse", "destination=crm", "state=synced", "q=ole", "from=2000-01-01T00:00:00Z"]
    {
        let whole = listed(&rig, &format!("{filter}&limit=200")).await;
        let (mut there, mut turn) = (Vec::new(), String::new());
        let mut last = loop {
            let page = rig.json(&format!("/api/leads?{filter}&limit=2{turn}")).await;
            let names = page["leads"].as_array().unwrap().iter();
            there.extend(names.map(|lead| lead["contact"]["name"].as_str().unwrap_or("-").to_owned()));
            let Some(next) = place(&page["next"]) else {
                break page;
            };
            turn = format!("&before={next}");
        };
        assert_eq!(there, whole, "{filter}");
        let mut back: Vec<Vec<Value>> = vec![last["leads"].as_array().unwrap().clone()];
        while let Some(previous) = place(&last["previous"]) {
            last = rig.json(&format!("/api/leads?{filter}&limit=2&after={previous}")).await;
            back.push(last["leads"].as_array().unwrap().clone());
        }
        let back: Vec<Value> = back.into_iter().rev().flatten().collect();
        let back: Vec<&str> =
            back.iter().map(|lead| lead["contact"]["name"].as_str().unwrap_or("-")).collect();
        assert_eq!(back, whole, "{filter}");
    }
    for wrong in
        ["before=x", "before=1&after=2", "before=5-5", "before=5&from=2000-01-01T00:00:00Z", "state=lost"]
    {
        assert_eq!(rig.get(&format!("/api/leads?{wrong}")).await.0, 400, "{wrong}");
    }
    rig.end().await;
}

fn place(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[tokio::test]
async fn pages_there_and_back_are_the_whole_list() {
    walked(prepared(None).await).await;
}

#[tokio::test]
async fn pages_there_and_back_are_the_whole_list_on_postgres() {
    let Some(database) = Database::create().await else { return };
    walked(prepared(Some(database)).await).await;
}

#[tokio::test]
async fn whatever_others_sent_is_only_text_in_both_languages() {
    let rig = prepared(None).await;
    let at = now_millis() + 10;
    // A redelivery, a request that cannot be read, and hostile keys.
    let hostile =
        json!({ "name": HOSTILE, "phone": HOSTILE, "paid": true, HOSTILE: [HOSTILE, { HOSTILE: HOSTILE }] });
    for _ in 0..2 {
        assert_eq!(rig.post_to("/in/shop/shop", hostile.to_string()).await.0, 200);
    }
    assert_eq!(rig.post(&named("c9", HOSTILE, "0639998877", at)).await, 200);
    rig.settle().await;
    let mut paths = vec!["/".to_owned(), "/deliveries".to_owned(), format!("/?q={}", encoded(HOSTILE))];
    paths
        .push(format!("/?source={0}&destination={0}&state={0}&from={0}&to={0}&before={0}", encoded(HOSTILE)));
    paths.push(format!("/deliveries?kind={0}&source={0}&before={0}", encoded(HOSTILE)));
    for lead in rig.json("/api/leads").await["leads"].as_array().unwrap() {
        let id = lead["id"].as_str().unwrap();
        paths.extend([
            format!("/leads/{id}"),
            format!("/leads/{id}/version"),
            format!("/leads/{id}?done={}", encoded(HOSTILE)),
        ]);
        for how in ["resume", "replan", "force"] {
            paths.push(format!("/leads/{id}/again?how={how}"));
        }
    }
    for delivery in rig.json("/api/deliveries").await["deliveries"].as_array().unwrap() {
        paths.push(format!("/deliveries/{}", delivery["id"].as_str().unwrap()));
    }
    let browser = Browser::new(&rig);
    let mut shown = 0;
    for language in ["en", "uk"] {
        browser.speak(language);
        for path in &paths {
            let page = browser.get(path).await;
            page.is(200).says_nothing_of("<script>alert").says(&format!("<html lang=\"{language}\">"));
            assert!(!page.text.contains("style=") && !page.text.contains("onclick"), "{path}");
            shown += page.text.matches(HARMLESS).count();
        }
    }
    assert!(shown > 20, "the name is shown {shown} times");
    rig.end().await;
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn a_lead_tells_its_way_and_its_request_gives_placeholders() {
    let rig = prepared(None).await;
    let at = now_millis() + 20;
    let again = named("c1", "Олена Ковальчук", "067 418 52 06", at);
    for _ in 0..2 {
        assert_eq!(rig.post(&again).await, 200);
    }
    rig.settle().await;
    let leads = rig.json("/api/leads?q=0674185206").await;
    let newest = leads["leads"][0]["id"].as_str().unwrap().to_owned();
    let browser = Browser::new(&rig);
    let page = browser.get(&format!("/leads/{newest}")).await;
    page.says("Received").says("Mapped").says("Normalised").says("067 418 52 06").says("+380674185206");
    page.says("The platform sent it again").says("Create task").says("which is today’s").says("/people/");
    browser.speak("uk");
    let page = browser.get(&format!("/leads/{newest}")).await;
    page.says("Отримано").says("Поставити завдання").says("є відкрита угода");
    browser.speak("en");
    let lead = rig.json(&format!("/api/leads/{newest}")).await;
    let delivery = lead["delivery"]["id"].as_str().unwrap();
    let page = browser.get(&format!("/deliveries/{delivery}")).await;
    page.says("data-copy=\"{{ contact.variables.phone }}\"")
        .says("data-copy=\"{{ bot.name }}\"")
        .says("It came again");
    let twice = lead["redeliveries"][0]["id"].as_str().unwrap();
    browser.get(&format!("/deliveries/{twice}")).await.says("the first request").says(&newest).says(delivery);
    browser.get("/deliveries?kind=redelivery").await.says(twice).says_nothing_of(delivery);
    let page = browser.get("/deliveries?kind=unreadable").await;
    page.says("unreadable");
    assert_eq!(page.text.matches("href=\"/deliveries/").count(), 1);
    // After the mapping has changed, the page says so and shows the difference.
    let mut rig = rig;
    rig.edit("sendpulse.yaml", "Lead from", "Заявка з");
    rig.edit("sendpulse.yaml", "token: demo", "token: very-s3cret");
    rig.restart().await;
    let browser = Browser::new(&rig);
    browser.get(&format!("/leads/{newest}")).await.says("what has changed since");
    let page = browser.get(&format!("/leads/{newest}/version")).await;
    page.says("Заявка з").says("Lead from").says_nothing_of("very-s3cret");
    rig.end().await;
}

#[tokio::test]
async fn a_lead_goes_once_more_only_by_who_may_and_after_a_look() {
    let rig = rig().await;
    assert_eq!(rig.post(&named("c1", "Олена", "0674185206", now_millis())).await, 200);
    rig.settle().await;
    let id = rig.json("/api/leads").await["leads"][0]["id"].as_str().unwrap().to_owned();
    let (path, again) = (format!("/leads/{id}"), format!("/leads/{id}/again"));

    let viewer = Browser::of(&rig, Role::Viewer).await;
    viewer.get(&path).await.is(200).says("Олена").says_nothing_of("again?how=");
    viewer.get("/").await;
    viewer.post(&again, &[("how", "replan")]).await.is(403);

    let operator = Browser::of(&rig, Role::Operator).await;
    let page = operator.get(&path).await;
    page.says("again?how=replan").says("again?how=force").says_nothing_of("again?how=resume");
    operator.get(&format!("{again}?how=force")).await.says("has a deal there already").says("Leave it");
    operator.get(&format!("{again}?how=replan")).await.says("The lead stays the same.");
    operator
        .get(&format!("{again}?how=resume"))
        .await
        .says("It is there already.")
        .says_nothing_of("name=\"how\"");
    operator.post(&again, &[("how", "replan"), ("key", "forged")]).await.is(403);
    assert_eq!(rig.stats().deals, 1);
    operator.post_and_follow(&again, &[("how", "replan")]).await.says("It is planned again.");
    rig.settle().await;
    assert_eq!(rig.stats().deals, 1, "planned again, nothing is made twice");
    operator.post_and_follow(&again, &[("how", "resume")]).await.says("It is there already.");
    let look = operator.get(&format!("{again}?how=force")).await;
    let seen =
        look.text.split_once("name=\"seen\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let force = [("how", "force"), ("seen", seen.as_str())];
    operator.post_and_follow(&again, &force).await.says("Its deal is being made.");
    // Whoever presses it twice, or did not look, gets no second one.
    rig.settle().await;
    for again_pressed in [&force[..], &force[..1]] {
        operator.post_and_follow(&again, again_pressed).await.says("has changed since you looked");
    }
    rig.settle().await;
    assert_eq!(rig.stats().deals, 2);

    for unknown in
        ["/leads/x", "/leads/01900000-0000-7000-8000-000000000000", "/deliveries/x", "/leads/x/version"]
    {
        operator.get(unknown).await.is(404).says("Nothing is here");
    }
    let nobody = Browser::new(&rig);
    assert_eq!(nobody.get(&path).await.is(303).location(), format!("/sign-in?next={}", encoded(&path)));
    rig.end().await;
}

#[tokio::test]
async fn the_first_page_is_light() {
    let rig = prepared(None).await;
    let at = now_millis() + 100;
    let name = "Олександра-Вікторія Переяславська-Хмельницька ".repeat(4);
    let bodies: Vec<Value> = (0..60)
        .map(|number| named(&format!("chat-{number}"), &name, &format!("06700{number:05}"), at + number))
        .collect();
    rig.post_all(&bodies, 16).await;
    rig.settle().await;
    let page: Page = Browser::new(&rig).get("/").await;
    assert_eq!(page.text.matches("<tr data-id").count(), 50);
    assert!(page.text.len() < 100 * 1024, "{} bytes", page.text.len());
    rig.end().await;
}
