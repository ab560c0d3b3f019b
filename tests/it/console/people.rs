//! People in the console: found as one knows them, made one and two again, and nobody's name runs as a script.

use leadfold::access::Role;
use leadfold::id::PersonId;
use serde_json::{Value, json};

use super::{Browser, rig};
use crate::rig::{Rig, event, now_millis, until};

const HOSTILE: &str = "<script>alert(1)</script>";
const ESCAPED: &str = "&lt;script&gt;alert(1)&lt;/script&gt;";

async fn lead(rig: &Rig, chat: &str, name: &str, variables: Value) {
    let mut event = event(chat, "telegram", variables, now_millis());
    event[0]["contact"]["name"] = json!(name);
    assert_eq!(rig.post(&event).await, 200);
    rig.settle().await;
}

/// Two people of whom a third lead says that they may be one.
async fn pair() -> (Rig, PersonId, PersonId) {
    let rig = rig().await;
    lead(&rig, "chat-1", "Олена", json!({ "phone": "+380671234567" })).await;
    lead(&rig, "chat-2", HOSTILE, json!({ "email": "b@example.com" })).await;
    lead(&rig, "chat-1", "Олена", json!({ "phone": "+380671234567", "email": "b@example.com" })).await;
    let store = &rig.app().store;
    let one = store.people_of(&["chat-1".to_owned()]).await.unwrap()[0];
    let other = store.people_of(&["chat-2".to_owned()]).await.unwrap()[0];
    assert_ne!(one, other);
    until("they may be one", async || store.count_possible_duplicates(9).await.unwrap() == 1).await;
    (rig, one, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_found_as_one_knows_them() {
    let (rig, one, other) = pair().await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    let people = browser.get("/people").await;
    people.is(200).says("Олена").says(ESCAPED).says_nothing_of(HOSTILE).says("1\u{a0}pair of people");
    for query in ["%2B380671234567", "067+123-45-67", "chat-1", &one.to_string()] {
        let found = browser.get(&format!("/people?q={query}")).await;
        found.is(303);
        assert_eq!(found.location(), format!("/people/{one}"), "{query}");
    }
    assert_eq!(browser.get("/people?q=B@Example.com").await.location(), format!("/people/{other}"));
    browser.get("/people?q=%3Cb%3Enobody").await.is(200).says("Nobody is known").says("&lt;b&gt;nobody");
    let page = browser.get(&format!("/people/{one}")).await;
    page.is(200).says("+380671234567").says("typed in").says("Polynia Shop").says("active");
    page.says("The same person: the chat").says_nothing_of(HOSTILE).says("May be the same person as");
    browser.speak("uk");
    let page = browser.get(&format!("/people/{other}")).await;
    page.is(200).says(&format!("<h1>{ESCAPED}</h1>")).says("введено").says("Чати").says("пошта");
    page.says("<html lang=\"uk\">").says_nothing_of("Known by").says_nothing_of(HOSTILE);
    for path in ["/people/1", "/people/00000000-0000-0000-0000-000000000001", "/people/%3Cscript%3E"] {
        browser.get(path).await.is(404).says_nothing_of("<script>");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_are_made_one_and_two_again() {
    let (rig, one, other) = pair().await;
    let (one_id, other_id) = (one.to_string(), other.to_string());
    let browser = Browser::of(&rig, Role::Operator).await;
    let queue = browser.get("/people/duplicates").await;
    queue.is(200).says("Олена").says(ESCAPED).says_nothing_of(HOSTILE).says("Different people");
    let compare = format!("/people/merge?one={one}&with={other}&queue=true");
    let seen = browser.get(&compare).await;
    seen.is(200).says("If they are one").says("1\u{a0}lead of the other").says_nothing_of(HOSTILE);
    assert_eq!(rig.app().store.count_possible_duplicates(9).await.unwrap(), 1, "looking changes nothing");

    let pair = [("one", one_id.as_str()), ("other", &other_id), ("queue", "true"), ("note", "a sister")];
    let wrong = browser.post("/people/merge", &[&pair[..], &[("key", "forged")]].concat()).await;
    wrong.is(403).says("not sent from a page of yours");
    let merged = browser.post_and_follow("/people/merge", &pair).await;
    merged.is(200).says("They are one person now").says("Undo").says("Nobody waits for an answer");
    // Whoever is no more leads to who they are.
    let store = &rig.app().store;
    let now = store.people_of(std::slice::from_ref(&other_id)).await.unwrap()[0];
    let gone = if now == one { other } else { one };
    let led = browser.get(&format!("/people/{gone}")).await;
    assert_eq!(led.location(), format!("/people/{now}?was={gone}"));
    let page = browser.get(led.location()).await;
    page.is(200).says("is part of this person").says("Take apart…").says("a sister");
    let again = browser.post("/people/merge", &pair).await;
    again.is(422).says("These two are one person already").says_nothing_of("leadfold people");

    let undo = merged.text.split("/people/split?what=").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let seen = browser.get(&format!("/people/split?what={undo}")).await;
    seen.is(200).says("They became one on").says("go back");
    let apart = browser.post_and_follow("/people/split", &[("what", &undo)]).await;
    apart.is(200).says("They are two people again").says("Is not the same person as");
    browser.get(&format!("/people/split?what={undo}")).await.is(200).says("They were taken apart on");

    let actions = store.actions(None, None, 10).await.unwrap();
    let done: Vec<&str> = actions.iter().map(|action| action.operation.as_str()).collect();
    assert_eq!(done, ["/api/people/split", "/api/people/merge", "/api/people/merge"], "looks are no actions");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_are_kept_apart() {
    let (rig, one, other) = pair().await;
    let (one, other) = (one.to_string(), other.to_string());
    let browser = Browser::of(&rig, Role::Operator).await;
    browser.speak("uk");
    browser.get("/people/duplicates").await.says("Одна людина…").says("Різні люди");
    let pair = [("one", one.as_str()), ("other", &other), ("queue", "true")];
    let kept = browser.post_and_follow("/people/not-same", &pair).await;
    kept.is(200).says("Записано: це різні люди").says("Відповідати немає про кого");
    let page = browser.get(&format!("/people/{one}")).await;
    page.says("Це інша людина, ніж").says(&other).says("різні люди");
    // Somebody may still know better, and is told what was said.
    browser
        .get(&format!("/people/merge?one={one}&with={other}"))
        .await
        .says("Хтось уже казав, що це різні люди");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_looks_and_changes_nothing() {
    let (rig, one, other) = pair().await;
    let (one, other) = (one.to_string(), other.to_string());
    let browser = Browser::of(&rig, Role::Viewer).await;
    for path in
        ["/people/duplicates", &format!("/people/{one}"), &format!("/people/merge?one={one}&with={other}")]
    {
        let page = browser.get(path).await;
        page.is(200)
            .says_nothing_of("action=\"/people/merge\" method")
            .says_nothing_of("Different people</button>");
        page.says_nothing_of("method=\"post\" action=\"/people");
    }
    let pair = [("one", one.as_str()), ("other", &other)];
    browser.post("/people/merge", &pair).await.is(403).says("operator");
    browser.post("/people/not-same", &pair).await.is(403);
    browser.post("/people/split", &[("what", &one)]).await.is(403);
    assert_eq!(rig.app().store.count_possible_duplicates(9).await.unwrap(), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_what_the_pages_show() {
    let (rig, one, other) = pair().await;
    let (status, newest) = rig.post_to_api("/api/people/newest", &json!({ "limit": 1 })).await;
    assert_eq!((status, newest["people"].as_array().unwrap().len()), (200, 1));
    assert_eq!(newest["people"][0]["id"], json!(one.max(other)));
    let (_, older) = rig.post_to_api("/api/people/newest", &json!({ "before": one.max(other) })).await;
    assert_eq!(older["people"][0]["id"], json!(one.min(other)));
    let (_, all) = rig.post_to_api("/api/people/duplicates", &json!({ "language": "uk" })).await;
    let pair = &all["duplicates"][0];
    assert!(pair["why"].to_string().contains("Не об'єднано"), "{pair}");
    let after =
        json!({ "after": { "at": pair["at"], "one": pair["one"]["id"], "other": pair["other"]["id"] } });
    let (status, rest) = rig.post_to_api("/api/people/duplicates", &after).await;
    assert_eq!((status, &rest["duplicates"]), (200, &json!([])), "behind the last");
    rig.end().await;
}
