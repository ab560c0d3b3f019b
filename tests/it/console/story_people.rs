//! People, as those who talk to them find and tell them apart, in a real browser.

use std::collections::BTreeSet;

use leadfold::access::Role;
use leadfold::store::Store;
use serde_json::{Value, json};

use super::webdriver::Tab;
use super::{Browser, rig, rig_on};
use crate::postgres::Database;
use crate::rig::{Rig, event, now_millis, until};

async fn lead(rig: &Rig, chat: &str, name: &str, variables: Value) {
    let mut event = event(chat, "telegram", variables, now_millis());
    event[0]["contact"]["name"] = json!(name);
    assert_eq!(rig.post(&event).await, 200);
    rig.settle().await;
}

/// Two people, of whom a third lead says that they may be one. Phone and email are of the number.
async fn pair(rig: &Rig, number: usize, one: &str, other: &str) {
    let (phone, email) = (format!("+3806712345{number:02}"), format!("p{number}@example.com"));
    lead(rig, &format!("a-{number}"), one, json!({ "phone": phone })).await;
    lead(rig, &format!("b-{number}"), other, json!({ "email": email })).await;
    lead(rig, &format!("a-{number}"), one, json!({ "phone": phone, "email": email })).await;
}

async fn person(store: &Store, chat: String) -> String {
    store.people_of(&[chat]).await.unwrap()[0].to_string()
}

async fn waiting(rig: &Rig) -> i64 {
    rig.app().store.count_possible_duplicates(99).await.unwrap()
}

async fn look_for(tab: &Tab, text: &str) {
    tab.click("People").await;
    tab.fill("Phone, email, name", text).await;
    tab.press_enter("Phone, email, name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_found_by_whatever_one_knows_and_told_whole() {
    let rig = rig().await;
    pair(&rig, 1, "Олена Шевченко", "Богдан Коваль").await;
    lead(&rig, "c-1", "Олена Бондар", json!({ "phone": "+380501112233" })).await;
    lead(&rig, "c-2", "Jürgen Müller", json!({ "phone": "+380501112244" })).await;
    // Somebody whose name changes is found by each of them.
    lead(&rig, "c-2", "Юрій", json!({ "phone": "+380501112244" })).await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        for (typed, name) in [
            ("067 123-45-01", "Олена Шевченко"),
            ("+380671234501", "Олена Шевченко"),
            ("P1@Example.com", "Богдан Коваль"),
            ("a-1", "Олена Шевченко"),
            ("Шевченко Олена", "Олена Шевченко"),
            ("олена шев", "Олена Шевченко"),
            ("коваль", "Богдан Коваль"),
            ("muller", "Юрій"),
            ("Юрій", "Юрій"),
        ] {
            look_for(&tab, typed).await;
            tab.sees("known since").await;
            let heading = tab.run("return document.querySelector('h1').innerText", json!([])).await;
            assert_eq!(heading, name, "{typed}");
        }
        look_for(&tab, "Олена").await;
        tab.sees("Several people have this:").await;
        tab.sees("Олена Шевченко").await;
        tab.lacks("Богдан").await;
        tab.click("Олена Бондар").await;
        tab.sees("+380501112233").await;
        for nobody in ["Олександра", "олена коваль", "0671234599", "<script>alert(1)</script>"]
        {
            look_for(&tab, nobody).await;
            tab.sees("Nobody is known by this.").await;
        }

        look_for(&tab, "a-1").await;
        for words in [
            "2\u{a0}leads, known since",
            "+380671234501",
            "typed in",
            "confirmed",
            "Polynia Shop",
            "active",
            "In the CRM",
            "in crm",
            "The same person: the chat",
            "done",
            "May be the same person as",
            "Богдан Коваль",
        ] {
            tab.sees(words).await;
        }
        tab.lacks("synced").await;
        tab.keep_picture("story-person").await;
        // A lead of the page is one click away.
        let first = "return document.querySelector('main article a[href^=\"/leads/\"]').href";
        let lead = tab.run(first, json!([])).await;
        tab.go(lead.as_str().unwrap().trim_start_matches(&rig.url(""))).await;
        tab.sees("Олена Шевченко").await;
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_answered_and_an_answer_is_taken_back() {
    let rig = rig().await;
    pair(&rig, 1, "Олена", "Олена Ш.").await;
    pair(&rig, 2, "Ірина", "Борис").await;
    until("two pairs wait", async || waiting(&rig).await == 2).await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.click("People").await;
        tab.sees("2\u{a0}pairs of people").await;
        tab.click("Look at them").await;
        tab.sees("nothing proves that they are one person").await;
        tab.click_in("Олена Ш.", "Same person…").await;
        tab.sees("If they are one").await;
        tab.sees("It can be undone at any time.").await;
        tab.fill("Why (optional)", "she called us").await;
        tab.keep_picture("story-same-person").await;
        tab.click("Same person").await;
        tab.sees("They are one person now.").await;
        tab.lacks("Олена Ш.").await;
        assert_eq!(waiting(&rig).await, 1);

        // It was a mistake.
        tab.click("Undo").await;
        tab.sees("They would be two again").await;
        tab.click("Take apart").await;
        tab.sees("They are two people again").await;
        tab.sees("Is not the same person as").await;
        tab.sees("she called us").await;
        for (chat, name) in [("a-1", "Олена"), ("b-1", "Олена Ш.")] {
            look_for(&tab, chat).await;
            tab.sees("known since").await;
            let heading = tab.run("return document.querySelector('h1').innerText", json!([])).await;
            assert_eq!(heading, name);
        }

        tab.go("/people/duplicates").await;
        tab.click_in("Борис", "Different people").await;
        tab.sees("Noted: these are two people.").await;
        tab.sees("Nobody waits for an answer.").await;
        tab.go("/people").await;
        tab.sees("Newest").await;
        tab.lacks("may be one person").await;
        // That was the wrong button.
        tab.go("/people/duplicates").await;
        tab.lacks("Борис").await;
        tab.back().await;
        tab.back().await;
        tab.click("Look at them again").await;
        tab.sees("Somebody said that these are two people").await;
        tab.click("Same person").await;
        tab.sees("They are one person now.").await;
        tab.sees("Who became one with them").await;
    }
    rig.end().await;
}

/// Whoever is second learns that somebody has answered, whichever button it was.
#[tokio::test(flavor = "multi_thread")]
async fn two_answer_for_the_same_people() {
    let rig = rig().await;
    pair(&rig, 1, "Олена", "Олена Ш.").await;
    pair(&rig, 2, "Ірина", "Борис").await;
    until("two pairs wait", async || waiting(&rig).await == 2).await;
    let store = rig.app().store.clone();
    if let Some(tab) = Tab::signed_in(&rig).await {
        let other = Browser::of(&rig, Role::Operator).await;
        let form = async |number: usize| {
            [person(&store, format!("a-{number}")).await, person(&store, format!("b-{number}")).await]
        };
        let [one, two] = form(1).await;
        tab.go("/people/duplicates").await;
        tab.sees("Олена Ш.").await;
        other.get("/people/duplicates").await.is(200);
        let merged = other
            .post_and_follow("/people/merge", &[("one", &one), ("other", &two), ("queue", "true")])
            .await;
        merged.says("They are one person now");
        tab.click_in("Олена Ш.", "Different people").await;
        tab.sees("This was not done").await;
        tab.sees("These two are one person already.").await;

        let [one, two] = form(2).await;
        tab.go("/people/duplicates").await;
        tab.click_in("Борис", "Same person…").await;
        tab.sees("If they are one").await;
        let kept = other
            .post_and_follow("/people/not-same", &[("one", &one), ("other", &two), ("queue", "true")])
            .await;
        kept.says("Noted: these are two people");
        tab.click("Same person").await;
        tab.sees("Somebody has answered for these two meanwhile.").await;
        assert_ne!(person(&store, "a-2".to_owned()).await, person(&store, "b-2".to_owned()).await);
    }
    rig.end().await;
}

/// The same at the very same moment, on both databases: exactly one of them is done.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_answers_at_once_one_counts() {
    for postgres in [false, true] {
        let database = if postgres { Database::create().await } else { None };
        if postgres && database.is_none() {
            continue;
        }
        let rig = rig_on(database).await;
        let store = rig.app().store.clone();
        let (anna, borys) =
            (Browser::of(&rig, Role::Operator).await, Browser::of(&rig, Role::Operator).await);
        let mut seen = BTreeSet::new();
        for number in 1..=6 {
            pair(&rig, number, "Олена", "Борис").await;
            until("the pair waits", async || waiting(&rig).await == 1).await;
            let (one, other) =
                (person(&store, format!("a-{number}")).await, person(&store, format!("b-{number}")).await);
            let fields = [("one", one.as_str()), ("other", other.as_str()), ("queue", "true")];
            anna.get("/people/duplicates").await.is(200).says("Different people");
            borys.get("/people/duplicates").await.is(200).says("Different people");
            let (same, different) =
                tokio::join!(anna.post("/people/merge", &fields), borys.post("/people/not-same", &fields));
            let are_one =
                person(&store, format!("a-{number}")).await == person(&store, format!("b-{number}")).await;
            let expect = if are_one { (303, 422) } else { (422, 303) };
            assert_eq!((same.status, different.status), expect, "{} {}", same.text, different.text);
            let told = if are_one { &different } else { &same };
            told.says(if are_one { "one person already" } else { "has answered for these two" });
            assert_eq!(waiting(&rig).await, 0);
            seen.insert(are_one);
        }
        eprintln!("made one: {seen:?}");
        rig.end().await;
    }
}
