//! Trying to get at somebody's account: guessing PINs one after another and all at once, on both databases, and getting in
//! between an unlink, a merge or an erasure.

use futures_util::future::join_all;
use jiff::SignedDuration;
use leadfold::clock::Clock as _;
use serde_json::{Value, json};

use crate::links::{Story, another};
use crate::postgres::Database;
use crate::rig::LINKS_TOKEN;
use crate::store;

async fn on_sqlite() -> Option<Story> {
    Some(Story::begin().await)
}

async fn on_postgres() -> Option<Story> {
    Some(Story::on(Some(Database::create().await?)).await)
}

/// How often each outcome came of these requests, all sent at once.
async fn at_once(
    story: &Story,
    requests: impl Iterator<Item = (&'static str, Value)>,
) -> Vec<(String, Value)> {
    join_all(requests.map(|(what, body)| story.site(what, body))).await
}

fn count(answers: &[(String, Value)], outcome: &str) -> usize {
    answers.iter().filter(|(got, _)| got == outcome).count()
}

async fn guessing(story: Option<Story>) {
    let Some(story) = story else { return };
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    let (buid, pin) = story.issue("7001").await;
    // From many addresses at once: the PIN has its five tries, not one more.
    let wrong = another(&pin);
    let guesses = (0..40)
        .map(|n| ("verify", json!({ "buid": buid, "pin": wrong, "visitor": format!("203.0.113.{n}") })));
    let answers = at_once(&story, guesses).await;
    assert_eq!((count(&answers, "wrong_pin"), count(&answers, "too_many_tries")), (5, 35), "{answers:?}");
    assert_eq!(story.site("verify", json!({ "buid": buid, "pin": pin })).await.0, "too_many_tries");
    // One address with many links: twenty failures, not one more, whatever the link, and a good one does not help.
    let mut links = Vec::new();
    for chat in 0..8 {
        let chat = format!("80{chat}");
        story.webhooks(&[json!({ "chat": chat })]).await;
        links.push(story.issue(&chat).await);
    }
    let guesses = links.iter().cycle().take(60).map(|(buid, pin)| {
        ("verify", json!({ "buid": buid, "pin": another(pin), "visitor": "198.51.100.1" }))
    });
    let answers = at_once(&story, guesses).await;
    assert_eq!((count(&answers, "wrong_pin"), count(&answers, "too_many_tries")), (20, 40), "{answers:?}");
    let open = async |visitor: &str| {
        let mut opened = Vec::new();
        for (buid, pin) in &links {
            opened
                .push(story.site("verify", json!({ "buid": buid, "pin": pin, "visitor": visitor })).await.0);
        }
        opened
    };
    assert!(open("198.51.100.1").await.iter().all(|outcome| outcome == "too_many_tries"));
    // A clock that is put back gives nothing back.
    story.advance(-30);
    assert!(open("198.51.100.1").await.iter().all(|outcome| outcome == "too_many_tries"));
    story.advance(30);
    // Links that there are not count too.
    let guesses =
        (0..30).map(|n| ("verify", json!({ "buid": format!("guess-{n}"), "visitor": "192.0.2.1" })));
    let answers = at_once(&story, guesses).await;
    assert_eq!((count(&answers, "unknown_link"), count(&answers, "too_many_tries")), (20, 10));
    story.advance(16);
    let once_more = json!({ "buid": "guess", "visitor": "192.0.2.1" });
    assert_eq!(story.site("verify", once_more).await.0, "unknown_link");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_pins_on_sqlite() {
    guessing(on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_pins_on_postgres() {
    guessing(on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_no_tries_back() {
    let mut story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    let (buid, pin) = story.issue("7001").await;
    let guess = json!({ "buid": buid, "pin": another(&pin), "visitor": "203.0.113.7" });
    for _ in 0..5 {
        assert_eq!(story.site("verify", guess.clone()).await.0, "wrong_pin");
    }
    story.rig.restart().await;
    assert_eq!(story.site("verify", guess).await.0, "too_many_tries");
    assert_eq!(story.site("verify", json!({ "buid": buid, "pin": pin })).await.0, "too_many_tries");
    story.end().await;
}

async fn winning_once(story: Option<Story>) {
    let Some(story) = story else { return };
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    for round in 0..5 {
        let (buid, pin) = story.issue("7001").await;
        // Each from another address, so that only the link itself holds them back.
        let visitor = |n: i32| format!("203.0.113.{n}");
        let rights = (0..8).map(|n| ("verify", json!({ "buid": buid, "pin": pin, "visitor": visitor(n) })));
        let answers = at_once(&story, rights).await;
        assert_eq!(
            (count(&answers, "register"), count(&answers, "used_link")),
            (1, 7),
            "{round} {answers:?}"
        );
        let (_, winner) = answers.iter().find(|(outcome, _)| outcome == "register").unwrap();
        let ticket = winner["ticket"].clone();
        let users = (0..8).map(|n| {
            let user = format!("u{round}-{n}");
            ("bind", json!({ "ticket": ticket, "user_id": user, "visitor": visitor(n) }))
        });
        let answers = at_once(&story, users).await;
        assert_eq!((count(&answers, "bound"), count(&answers, "used_ticket")), (1, 7), "{round} {answers:?}");
        assert_eq!(story.bot("unlink", json!({ "who": "7001" })).await["outcome"], "unlinked");
    }
    // One user, two chats at once: one human with two chats, and both are linked.
    story.webhooks(&[json!({ "chat": "7002" }), json!({ "chat": "7003" })]).await;
    let (one, other) = (story.issue("7002").await, story.issue("7003").await);
    let both =
        [one, other].map(|(buid, pin)| ("verify", json!({ "buid": buid, "pin": pin, "user_id": "10045" })));
    let answers = at_once(&story, both.into_iter()).await;
    assert_eq!(count(&answers, "bound"), 2, "{answers:?}");
    assert_eq!(story.whose("7002").await, story.whose("7003").await);
    for chat in ["7002", "7003"] {
        assert_eq!(story.enter(chat, None).await.1["user_id"], "10045");
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_pin_wins_once_on_sqlite() {
    winning_once(on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_pin_wins_once_on_postgres() {
    winning_once(on_postgres().await).await;
}

/// Whatever comes first, nothing is half done: chat and user are linked and one person's, or neither.
async fn in_between(story: Option<Story>) {
    let Some(story) = story else { return };
    for round in 0..6 {
        let (chat, user, phone) = (format!("71{round}"), format!("u{round}"), format!("067123450{round}"));
        story.webhooks(&[json!({ "chat": chat }), json!({ "user": user, "phone": phone })]).await;
        let (buid, pin) = story.issue(&chat).await;
        let verify = story.site("verify", json!({ "buid": buid, "pin": pin, "user_id": user }));
        // An unlink, a lead that makes the two one, an erasure.
        let unlinked = async {
            match round % 3 {
                0 => drop(story.ask_as(LINKS_TOKEN, "unlink", &json!({ "user_id": user })).await),
                1 => story.webhooks(&[json!({ "chat": chat, "phone": phone })]).await,
                _ => erase(&story, &chat).await,
            }
        };
        let ((outcome, answer), ()) = tokio::join!(verify, unlinked);
        let known = ["bound", "ended_link", "unknown_link", "used_link"];
        assert!(known.contains(&outcome.as_str()), "{round} {answer}");
        if round % 3 == 2 {
            erase(&story, &chat).await;
            assert_eq!(linked(&story, &chat).await, 0, "{round}: {outcome}");
            let of_chat = format!("SELECT COUNT(*) FROM links_issued WHERE chat = '{chat}'");
            assert_eq!(store::run(&story.rig.database(), &of_chat).await, [0], "{round}: {outcome}");
        } else {
            let (outcome, answer) = story.enter(&chat, None).await;
            let is_linked = linked(&story, &chat).await == 1;
            assert_eq!(outcome == "linked", is_linked, "{round} {answer}");
        }
    }
    story.end().await;
}

async fn linked(story: &Story, chat: &str) -> i64 {
    store::run(&story.rig.database(), &format!("SELECT COUNT(*) FROM web_users WHERE chat = '{chat}'")).await
        [0]
}

async fn erase(story: &Story, chat: &str) {
    for _ in 0..50 {
        let body = json!({ "human": { "who": chat } });
        let (status, answer) = story.rig.post_to_api("/api/erase", &body).await;
        assert_eq!(status, 200, "{answer}");
        if answer["done"] == true {
            return;
        }
    }
    panic!("erasing {chat} does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_in_between_on_sqlite() {
    in_between(on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_in_between_on_postgres() {
    in_between(on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_gives_nothing_away() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    let (buid, pin) = story.issue("7001").await;
    let token = story.bot("deep", json!({ "bot": "shop_bot", "customer": "web_user:10045" })).await;
    let (_, answer) = story.enter("7001", None).await;
    let visitor = "203.0.113.77";
    assert_eq!(story.site("verify", json!({ "buid": "x", "visitor": visitor })).await.0, "unknown_link");
    let rows = story.rig.sql("SELECT id || COALESCE(pin, '') || COALESCE(ticket, '') FROM links_issued \
        UNION ALL SELECT id || COALESCE(data, '') FROM start_tokens UNION ALL SELECT caller FROM link_failures").await;
    let all = rows.concat().join(" ");
    assert!(rows.len() >= 4, "{all}");
    for secret in [&buid, &pin, token["start"].as_str().unwrap(), answer["ticket"].as_str().unwrap(), visitor]
    {
        // A PIN of six digits may stand in a hash by chance, so the text alone is looked for.
        let is_word = all.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == secret);
        assert!(!is_word, "{secret}");
    }
    assert!(!all.contains(&buid) && !all.contains(visitor));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_forgets_links_users_and_tokens() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001", "phone": "0671234567" }), json!({ "chat": "7002" })]).await;
    story.link("7001", "10045").await;
    story.link("7002", "10046").await;
    for asked in [
        json!({ "phone": "0671234567" }),
        json!({ "customer": "web_user:10045" }),
        json!({ "customer": "web_user:10046" }),
    ] {
        let mut body = asked.clone();
        body["bot"] = json!("shop_bot");
        story.bot("deep", body).await;
    }
    drop(story.issue("7001").await);
    erase(&story, "7001").await;
    let count = async |of: &str| story.rig.sql(&format!("SELECT COUNT(*) FROM {of}")).await[0][0].clone();
    assert_eq!(count("links_issued WHERE chat = '7001'").await, "0");
    assert_eq!(count("web_users").await, "1", "the other's stays");
    assert_eq!(count("start_tokens").await, "1", "the other's stays");
    assert_eq!(count("start_token_identifiers").await, "1", "the other's stays");
    assert_eq!(story.enter("7002", None).await.0, "linked");
    // Somebody who never came, but for whom there is a link.
    story.bot("deep", json!({ "bot": "shop_bot", "email": "Ivan.N@gmail.com", "data": "for Ivan" })).await;
    story.bot("deep", json!({ "bot": "shop_bot", "phone": "0501112233" })).await;
    erase(&story, "ivan.n@gmail.com").await;
    erase(&story, "050 111 22 33").await;
    assert_eq!(count("start_tokens").await, "1", "the other's stays");
    assert_eq!(count("start_token_identifiers").await, "1", "the other's stays");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_removed_and_nothing_else() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" }), json!({ "chat": "7002" })]).await;
    story.link("7001", "10045").await;
    drop(story.issue("7002").await);
    story.bot("deep", json!({ "bot": "shop_bot", "phone": "0671234567", "days": 90 })).await;
    assert_eq!(
        story.site("verify", json!({ "buid": "x", "visitor": "203.0.113.7" })).await.0,
        "unknown_link"
    );
    let registry = &story.rig.app().store;
    let count = async || {
        let mut counts = Vec::new();
        for table in ["links_issued", "start_tokens", "start_token_identifiers", "link_failures", "web_users"]
        {
            counts.push(story.rig.sql(&format!("SELECT COUNT(*) FROM {table}")).await[0][0].clone());
        }
        counts.join(" ")
    };
    let days = |days: i64| story.clock.now().checked_add(SignedDuration::from_hours(24 * days)).unwrap();
    assert_eq!(registry.remove_links(days(0), days(-1)).await.unwrap(), 0);
    assert_eq!(count().await, "2 1 1 1 1");
    assert_eq!(registry.remove_links(days(2), days(1)).await.unwrap(), 3);
    assert_eq!(count().await, "0 1 1 0 1");
    assert_eq!(registry.remove_links(days(91), days(1)).await.unwrap(), 1);
    assert_eq!(count().await, "0 0 0 0 1", "who is linked stays linked");
    assert_eq!(story.enter("7001", None).await.0, "linked");
    story.end().await;
}
