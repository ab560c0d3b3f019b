//! What a stranger tries at the door, and a page of a stranger with somebody else's browser.

use std::time::Instant;

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::json;

use super::{Browser, PASSWORD, Page, TOKEN, add_user, rig};
use crate::rig::{IMPATIENT, MAPPING, Rig};

const SESSION: &str = "leadfold_session";

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_somebody_else_chose_is_none() {
    let rig = rig().await;
    let victim = Browser::new(&rig);
    victim.cookies().insert(SESSION.to_owned(), "chosen-by-another".to_owned());
    victim.post("/sign-in", &[("token", TOKEN)]).await.is(303);
    assert_ne!(victim.cookies()[SESSION], "chosen-by-another");
    let attacker = Browser::new(&rig);
    for value in ["chosen-by-another", "", "\"", "' OR 1=1 --", &"x".repeat(4_000)] {
        attacker.cookies().insert(SESSION.to_owned(), value.to_owned());
        assert_eq!(attacker.get("/").await.status, 303, "{value}");
    }
    // Signing in again ends what was open in this browser.
    let before = victim.cookies()[SESSION].clone();
    victim.post("/sign-in", &[("token", TOKEN)]).await.is(303);
    attacker.cookies().insert(SESSION.to_owned(), before);
    assert_eq!(attacker.get("/").await.status, 303);
    let answer = Browser::new(&rig).post("/sign-in", &[("token", TOKEN)]).await;
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"), "nobody said that this came over TLS");
    let encrypted = [("x-forwarded-proto", "https")];
    let answer = Browser::new(&rig).post_with("/sign-in", &encrypted, &[("token", TOKEN)]).await;
    assert!(answer.header("set-cookie").contains("Secure"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_others_change_nothing() {
    let rig = rig().await;
    let (admin, other) = (Browser::of(&rig, Role::Admin).await, Browser::of(&rig, Role::Admin).await);
    let key = admin.get("/access").await.key().unwrap().to_owned();
    let anothers = other.get("/access").await.key().unwrap().to_owned();
    assert_ne!(key, anothers);
    let fields = |key: &str| -> Vec<(String, String)> {
        [("key", key), ("name", "mallory"), ("password", PASSWORD), ("role", "admin")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    };
    let send = async |headers: &[(&str, &str)], key: &str| {
        let fields = fields(key);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        admin.post_with("/access/users/add", headers, &fields).await
    };
    for wrong in ["", "x", &anothers, &format!("{key}x"), &key.to_uppercase()] {
        send(&[], wrong).await.is(403).says("This was not sent from a page of yours");
    }
    let origin = rig.url("");
    for headers in [
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
    ] {
        send(&headers, &key).await.is(403);
    }
    // Nor does a page of a stranger sign anybody in or out.
    let evil = [("sec-fetch-site", "cross-site")];
    Browser::new(&rig)
        .post_with("/sign-in", &evil, &[("token", TOKEN)])
        .await
        .is(403)
        .says("from another site");
    admin.post_with("/sign-out", &evil, &[("key", &key)]).await.is(403);
    admin.post_with("/sign-out", &[], &[("key", "x")]).await.is(403);
    let names = admin.get("/access").await.is(200).says_nothing_of("mallory").text.clone();
    assert!(!names.is_empty());
    send(&[("origin", origin.trim_end_matches('/'))], &key).await.is(303);
    admin.get("/access").await.says("mallory");
    // What is no form is no form.
    for path in ["/access/users/add", "/sign-in", "/preferences"] {
        let answer = admin.post_with(path, &[("content-type", "application/json")], &[]).await;
        assert!((400..=422).contains(&answer.status), "{path}: {}", answer.status);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_learns_nothing_and_waits() {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Admin).await;
    let mut answers: Vec<Vec<Page>> = Vec::new();
    for name in ["olena", "nobody"] {
        let mut of_name = Vec::new();
        for number in 0..7 {
            of_name.push(Browser::new(&rig).sign_in(name, &format!("guess number {number}")).await);
        }
        answers.push(of_name);
    }
    let alike = |page: &Page| (page.status, page.text.clone());
    let [there, not_there] = &answers[..] else { panic!() };
    for (one, other) in there.iter().zip(not_there).take(5) {
        assert_eq!(alike(one), alike(other), "whether there is such a user is nobody's business");
        one.is(401).says("Name, password or token is wrong");
    }
    assert!(there.iter().chain(not_there).filter(|page| page.status == 429).count() >= 2, "{answers:?}");
    // Not with the right one either, and not in another spelling.
    Browser::new(&rig).sign_in("olena", PASSWORD).await.is(429).says("Too many tries");
    Browser::new(&rig).sign_in(" OLENA ", PASSWORD).await.is(429);
    add_user(&rig, "petro", Role::Viewer).await;
    Browser::new(&rig).sign_in("petro", PASSWORD).await.is(303);
    rig.end().await;
}

/// A name that nobody has takes as long: at least once in a few tries, since others work on this machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_not_known_by_how_long_it_takes() {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Admin).await;
    let took = async |name: &str| {
        let start = Instant::now();
        Browser::new(&rig).sign_in(name, "a guess of some length").await.is(401);
        start.elapsed()
    };
    let mut alike = false;
    for _ in 0..4 {
        let (there, not_there) = (took("olena").await, took("nobody").await);
        alike |= not_there * 3 > there;
    }
    assert!(alike);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_answered() {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Viewer).await;
    let guesses = (0..40).map(|number| {
        let browser = Browser::new(&rig);
        async move { browser.sign_in(&format!("nobody{number}"), "a guess of some length").await.status }
    });
    let olena = Browser::new(&rig);
    let (statuses, answer) =
        tokio::join!(futures_util::future::join_all(guesses), olena.sign_in("olena", PASSWORD));
    answer.is(303);
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_nonsense_is_refused() {
    let rig = rig().await;
    let large = "x".repeat(1_000_000);
    for (name, password) in [
        (&*large, "x"),
        ("olena", &*large),
        ("a\0b", "x"),
        ("", ""),
        ("start token", TOKEN),
        ("\u{202e}", "x"),
    ] {
        Browser::new(&rig).sign_in(name, password).await.is(401);
    }
    Browser::new(&rig).post("/sign-in", &[("token", &large)]).await.is(401);
    let answer = Browser::new(&rig).sign_in(&large, &"x".repeat(1_500_000)).await;
    assert_eq!(answer.status, 413);
    let admin = Browser::of(&rig, Role::Admin).await;
    admin.get("/access").await.is(200);
    for (name, password, role, status) in [
        (&*large, PASSWORD, "viewer", 422),
        ("<script>", PASSWORD, "viewer", 422),
        ("olena", &*large, "viewer", 422),
        ("olena", PASSWORD, "site", 403),
        ("olena", PASSWORD, "root", 403),
    ] {
        admin
            .post("/access/users/add", &[("name", name), ("password", password), ("role", role)])
            .await
            .is(status);
    }
    for body in [
        json!({ "name": "olena", "role": "site", "password": PASSWORD }),
        json!({ "name": "olena", "role": "viewer", "password": "short" }),
        json!({ "name": "a b", "role": "viewer", "password": PASSWORD }),
    ] {
        let (status, answer) = rig.post_to_api("/api/users/add", &body).await;
        assert!(status == 400 || status == 422, "{status} {answer}");
        assert!(!answer.to_string().contains(PASSWORD), "{answer}");
    }
    let (_, users) = rig.post_to_api("/api/users", &json!({})).await;
    assert_eq!(users, json!({ "users": [] }));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_elsewhere_after_signing_in() {
    let rig = rig().await;
    for next in [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        "/x\r\nSet-Cookie: a=b",
    ] {
        let query: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let page = Browser::new(&rig).get(&format!("/sign-in?next={query}")).await;
        page.is(200).says("name=\"next\" value=\"/\"").says_nothing_of("evil");
        let answer =
            Browser::new(&rig).post_with("/preferences", &[], &[("language", "uk"), ("next", next)]).await;
        assert_eq!((answer.status, answer.location()), (303, "/"), "{next}");
        assert!(!answer.headers.iter().any(|(_, value)| value == "a=b"));
    }
    let answer = Browser::new(&rig).post("/sign-in", &[("token", TOKEN), ("next", "//evil.example")]).await;
    assert_eq!(answer.location(), "/");
    // A language that is none sets nothing.
    let wrong = [("language", "uk\r\nX: y"), ("next", "/")];
    assert_eq!(Browser::new(&rig).post_with("/preferences", &[], &wrong).await.header("set-cookie"), "");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_the_browser_what_it_may_do() {
    let rig = rig().await;
    let (admin, viewer) = (Browser::of(&rig, Role::Admin).await, Browser::of(&rig, Role::Viewer).await);
    let style = admin
        .get("/")
        .await
        .text
        .split_once("href=\"/assets/")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let mut answers = Vec::new();
    for path in [
        "/",
        "/access",
        "/access/actions",
        "/account",
        "/nothing",
        "/access/users/add",
        "/sign-in",
        "/?before=x",
    ] {
        answers.push((path.to_owned(), admin.get(path).await));
        answers.push((path.to_owned(), viewer.get(path).await));
        answers.push((path.to_owned(), Browser::new(&rig).get(path).await));
    }
    answers.push((
        "a forged form".to_owned(),
        admin.post_with("/access/users/add", &[], &[("name", "x")]).await,
    ));
    answers.push(("a wrong password".to_owned(), Browser::new(&rig).sign_in("x", "y").await));
    answers.push(("a style".to_owned(), admin.get(&format!("/assets/{style}")).await));
    for (what, page) in &answers {
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{what}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{what}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(page.header("x-frame-options"), "DENY", "{what}");
        let kept = if what == "a style" { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(page.header("cache-control"), kept, "{what}");
        if page.header("content-type").starts_with("text/html") {
            for inline in [" style=", "<style", " onclick=", " onload=", "javascript:", "<script>"] {
                page.says_nothing_of(inline);
            }
        }
    }
    rig.end().await;
}

/// A name that resolves to 127.0.0.1 makes a page of a stranger one of the same site, as far as the browser knows.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_answers_to_its_own_pages_only() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.boot().await;
    let browser = Browser::new(&rig);
    let port = rig.app().address.port();
    let (ours, theirs) = (format!("localhost:{port}"), format!("rebind.example:{port}"));
    let origin = format!("http://{theirs}");
    browser.get_with("/", &[("host", &ours)]).await.is(200);
    for headers in
        [vec![("host", &*theirs)], vec![("origin", &*origin)], vec![("host", &theirs), ("origin", &origin)]]
    {
        for path in ["/", "/access", "/nothing"] {
            browser.get_with(path, &headers).await.is(403).says("the demo answers only to its own pages");
        }
        let add = [("key", ""), ("name", "mallory"), ("password", PASSWORD), ("role", "admin")];
        browser.post_with("/access/users/add", &headers, &add).await.is(403);
    }
    let cross = [("sec-fetch-site", "cross-site")];
    browser.post_with("/access/users/add", &cross, &[("key", "")]).await.is(403);
    browser.get("/access").await.is(200).says_nothing_of("mallory");
    rig.end().await;
}
