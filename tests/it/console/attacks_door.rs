//! Strangers who would keep others out, and sessions that would outlive everybody.

use std::process::{Command, Stdio};

use leadfold::access::Role;
use serde_json::json;

use super::{Browser, PASSWORD, TOKEN, add_user, rig};

const SESSION: &str = "leadfold_session";
const KNOWN: &str = "leadfold_known";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_keeps_nobody_out_who_was_here_before() {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Viewer).await;
    add_user(&rig, "petro", Role::Viewer).await;
    let olena = Browser::new(&rig);
    let answer = olena.sign_in("olena", PASSWORD).await;
    let cookies: Vec<&str> =
        answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect();
    let mark = cookies.iter().find(|cookie| cookie.starts_with(KNOWN)).unwrap();
    assert!(mark.contains("HttpOnly") && mark.contains("Path=/sign-in"), "{mark}");
    olena.cookies().remove(SESSION);

    let stranger = Browser::new(&rig);
    for name in ["olena", "petro"] {
        for number in 0..8 {
            stranger.sign_in(name, &format!("guess number {number}")).await;
        }
        Browser::new(&rig).sign_in(name, PASSWORD).await.is(429);
    }
    olena.sign_in("olena", PASSWORD).await.is(303);
    // The mark is of one name; and nobody makes one.
    olena.sign_in("petro", PASSWORD).await.is(429);
    for forged in ["", "x", &"0".repeat(64), &leadfold::token::to_hex(&leadfold::token::hash("olena"))] {
        stranger.cookies().insert(KNOWN.to_owned(), forged.to_owned());
        stranger.sign_in("olena", PASSWORD).await.is(429);
    }
    // Whoever sits at that browser guesses as slowly as anybody.
    let statuses = async {
        let mut statuses = Vec::new();
        for number in 0..8 {
            statuses.push(olena.sign_in("olena", &format!("guess {number}")).await.status);
        }
        statuses
    };
    assert!(statuses.await.contains(&429));
    // With another password it is a browser like any other.
    let petro = Browser::new(&rig);
    add_user(&rig, "vira", Role::Viewer).await;
    petro.sign_in("vira", PASSWORD).await.is(303);
    let new = "another horse battery";
    rig.post_to_api("/api/users/password", &json!({ "name": "vira", "password": new })).await;
    for number in 0..8 {
        stranger.sign_in("vira", &format!("guess number {number}")).await;
    }
    petro.sign_in("vira", new).await.is(429);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_keep_nobody_out() {
    let rig = rig().await;
    let stranger = Browser::new(&rig);
    for number in 0..20 {
        stranger.post("/sign-in", &[("token", &format!("leadfold_{number}"))]).await.is(401);
    }
    Browser::new(&rig).post("/sign-in", &[("token", TOKEN)]).await.is(303);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_names_keeps_nobody_out_who_was_here_before() {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Viewer).await;
    let olena = Browser::new(&rig);
    olena.sign_in("olena", PASSWORD).await.is(303);
    let crowd = (0..120).map(|number| {
        let browser = Browser::new(&rig);
        async move { browser.sign_in(&format!("nobody{number}"), "a guess of some length").await.status }
    });
    let (statuses, answer) =
        tokio::join!(futures_util::future::join_all(crowd), olena.sign_in("olena", PASSWORD));
    answer.is(303);
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_began_by_a_wrong_clock_is_none() {
    let rig = rig().await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    let minute = 60_000_i64;
    // The clock of another process is a little ahead.
    rig.sql(&format!(
        "UPDATE sessions SET created_at = created_at + {0}, seen_at = seen_at + {0}",
        5 * minute
    ))
    .await;
    browser.get("/").await.is(200);
    let year = 365 * 24 * 60 * minute;
    rig.sql(&format!("UPDATE sessions SET created_at = created_at + {year}, seen_at = seen_at + {year}"))
        .await;
    assert_eq!(browser.get("/").await.status, 303, "it would last for more than a year");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reader_does_not_take_the_news_of_all() {
    let rig = rig().await;
    let greedy = Browser::of(&rig, Role::Viewer).await;
    let mut open = Vec::new();
    let status = async |browser: &Browser, open: &mut Vec<reqwest::Response>| {
        let cookie = format!("{SESSION}={}", browser.cookies()[SESSION]);
        #[expect(clippy::disallowed_methods, reason = "the test is a person with a browser")]
        let answer = rig.client.get(rig.url("/live")).header("cookie", cookie).send().await.unwrap();
        let status = answer.status().as_u16();
        open.push(answer);
        status
    };
    let mut told = 0;
    while status(&greedy, &mut open).await == 200 {
        told += 1;
        assert!(told < 64, "all places are one reader's");
    }
    let other = Browser::of(&rig, Role::Viewer).await;
    assert_eq!(status(&other, &mut open).await, 200);
    drop(open);
    rig.end().await;
}

/// Guesses at a token are not counted, so it must be long where strangers come.
#[test]
fn a_token_that_can_be_guessed_is_refused_where_strangers_come() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/mappings");
    let serve = |token: &str, variable: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadfold"));
        command.env_clear().env(variable, token).stdin(Stdio::null());
        command.args(["serve", "--workspace", folder, "--listen", "0.0.0.0:0", "--database", "nothing://"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    for variable in ["LEADFOLD_API_TOKEN", "LEADFOLD_LINKS_TOKEN"] {
        let said = serve("s3cret", variable);
        assert!(said.contains(&format!("{variable} can be guessed")) && said.contains("openssl"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
        let said = serve("a-token-of-22-letters!", variable);
        assert!(!said.contains("can be guessed"), "{said}");
    }
}
