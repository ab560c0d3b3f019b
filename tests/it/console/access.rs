//! Who gets in, as whom, how it ends, and the pages of the section.

use leadfold::access::Role;
use leadfold::app::{App, Door};
use serde_json::json;

use super::{Browser, PASSWORD, TOKEN, add_user, rig, rig_on};
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig};
use crate::store::run;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_start_token_gets_in_and_out() {
    let rig = rig().await;
    let browser = Browser::new(&rig);
    let answer = browser.get("/?before=7").await;
    assert_eq!((answer.status, answer.location()), (303, "/sign-in?next=%2F%3Fbefore%3D7"));
    browser.post("/sign-in", &[("token", "wrong")]).await.is(401).says("wrong");
    let answer = browser.post("/sign-in", &[("token", TOKEN), ("next", "/?before=7")]).await;
    assert_eq!((answer.status, answer.location()), (303, "/?before=7"));
    browser.get("/").await.is(200).says("start token").says("Registry");
    let cookie = browser.cookies().clone();
    browser.post("/sign-out", &[]).await.is(303);
    assert!(!browser.cookies().contains_key("leadfold_session"));
    *browser.cookies() = cookie;
    assert!(
        browser.get("/").await.location().starts_with("/sign-in"),
        "the session is over, not only the cookie"
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reads_in_their_language_as_who_they_are() {
    let rig = rig().await;
    for role in Role::GIVEN {
        let browser = Browser::of(&rig, role).await;
        browser.get("/").await.is(200).says(role.as_str()).says("Registry");
        browser.speak("uk");
        browser.get("/").await.is(200).says("Реєстр").says("<html lang=\"uk\">").says_nothing_of("Registry");
        browser.get("/account").await.is(200).says("Мій обліковий запис").says("Часовий пояс");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_one_is_told_how_to_get_in() {
    let rig = rig().await;
    let browser = Browser::new(&rig);
    browser.get("/sign-in").await.is(200).says("leadfold users add olena --role admin");
    browser.speak("uk");
    browser.get("/sign-in").await.is(200).says("Ще ніхто не має пароля");
    add_user(&rig, "olena", Role::Viewer).await;
    browser.get("/sign-in").await.is(200).says_nothing_of("users add");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_says_in_the_console_who_may_what() {
    let rig = rig().await;
    let admin = Browser::of(&rig, Role::Admin).await;
    admin.get("/access").await.is(200).says("Nobody signs in with a password yet.");
    let add = [("name", " Olena "), ("password", PASSWORD), ("role", "viewer")];
    admin.post_and_follow("/access/users/add", &add).await.is(200).says("The user is added").says("olena");
    admin.post("/access/users/add", &add).await.is(422).says("A user or a token has this name already");

    let olena = Browser::new(&rig);
    olena.sign_in("OLENA", PASSWORD).await.is(303);
    olena.get("/").await.is(200).says("olena · viewer").says_nothing_of("href=\"/access\"");
    olena.get("/access").await.is(403).says("takes the role admin, and olena has the role viewer");
    admin.post("/access/users/role", &[("name", "olena"), ("role", "admin")]).await.is(303);
    olena.get("/access").await.is(200).says("you");

    let (set, new) = ("/access/users/password", "another horse battery");
    admin.post(set, &[("name", "olena"), ("password", "short")]).await.is(422).says("at least 12 characters");
    admin.post(set, &[("name", "nobody"), ("password", new)]).await.is(422).says("Nobody has this name");
    olena.get("/access").await.is(200);
    olena.post(set, &[("name", "olena"), ("password", new)]).await.is(422).says("your own password");
    admin.post(set, &[("name", "olena"), ("password", new)]).await.is(303);
    assert_eq!(olena.get("/").await.status, 303, "the old password's session is over");
    olena.sign_in("olena", PASSWORD).await.is(401);
    olena.sign_in("olena", new).await.is(303);
    olena.get("/").await.is(200);
    admin.post("/access/users/remove", &[("name", "olena")]).await.is(303);
    assert_eq!(olena.get("/").await.status, 303);
    add_user(&rig, "olena", Role::Admin).await;
    assert_eq!(olena.get("/").await.status, 303, "another one of that name is another one");

    admin.speak("uk");
    admin.get("/access").await.is(200).says("Користувачі").says("Токени доступу").says("Журнал дій");
    admin.post(set, &[("name", "olena"), ("password", "short")]).await.is(422).says("щонайменше 12 символів");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_is_good_until_it_is_removed() {
    let rig = rig().await;
    let admin = Browser::of(&rig, Role::Admin).await;
    admin.get("/access").await.is(200);
    let page = admin.post("/access/tokens/add", &[("name", "crm-export"), ("role", "viewer")]).await;
    page.is(200).says("nobody can see it again");
    let (_, rest) = page.text.split_once("<code>leadfold_").unwrap();
    let token = format!("leadfold_{}", rest.split('<').next().unwrap());
    assert_eq!(page.header("cache-control"), "no-store");
    admin.get("/access").await.is(200).says("crm-export").says_nothing_of(&token);
    assert_eq!(rig.get_as(Some(&token), "/api/leads").await.0, 200);
    assert_eq!(rig.get_as(Some(&token), "/metrics").await.0, 200);
    let browser = Browser::new(&rig);
    browser.post("/sign-in", &[("token", &token)]).await.is(303);
    browser.get("/account").await.is(200).says("crm-export").says("You did not come with a password");
    admin
        .post_and_follow("/access/tokens/remove", &[("name", "crm-export")])
        .await
        .is(200)
        .says("is removed");
    assert_eq!(rig.get_as(Some(&token), "/api/leads").await.0, 401);
    assert_eq!(browser.get("/").await.status, 303);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_their_password_changes_it() {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Viewer).await;
    let (here, there) = (Browser::new(&rig), Browser::new(&rig));
    here.sign_in("olena", PASSWORD).await.is(303);
    there.sign_in("olena", PASSWORD).await.is(303);
    here.get("/account").await.is(200).says("Old password");
    let new = "another horse battery";
    let change = "/account/password";
    here.post(change, &[("old", "wrong horse battery"), ("new", new)])
        .await
        .is(422)
        .says("old password is wrong");
    here.post(change, &[("old", PASSWORD), ("new", "short")]).await.is(422).says("too short");
    let before = here.cookies()["leadfold_session"].clone();
    here.post_and_follow(change, &[("old", PASSWORD), ("new", new)])
        .await
        .is(200)
        .says("Your password is changed");
    assert_ne!(here.cookies()["leadfold_session"], before, "a new session for a new password");
    assert_eq!(there.get("/").await.status, 303, "signed out everywhere else");
    // Guessing the old one is as slow as signing in: the tries are the same ones.
    let mut statuses = Vec::new();
    here.get("/account").await.is(200);
    for _ in 0..4 {
        statuses.push(here.post(change, &[("old", "wrong horse battery"), ("new", new)]).await);
    }
    statuses.last().unwrap().is(422).says("Too many tries");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_by_themselves() {
    let rig = rig().await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    let hour = 3_600_000;
    rig.sql(&format!("UPDATE sessions SET seen_at = seen_at - {}", 11 * hour)).await;
    browser.get("/").await.is(200);
    rig.sql(&format!("UPDATE sessions SET seen_at = seen_at - {}", 11 * hour)).await;
    browser.get("/").await.is(200);
    rig.sql(&format!("UPDATE sessions SET seen_at = seen_at - {}", 13 * hour)).await;
    assert_eq!(browser.get("/").await.status, 303, "nobody used it for half a day");
    let browser = Browser::of(&rig, Role::Viewer).await;
    rig.sql(&format!("UPDATE sessions SET created_at = created_at - {}", 8 * 24 * hour)).await;
    assert_eq!(browser.get("/").await.status, 303, "it is a week old");
    rig.end().await;
}

/// Otherwise nobody could give access any more until leadfold is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays_unless_a_start_token_opens() {
    let mut rig = rig().await;
    for name in ["anna", "borys"] {
        add_user(&rig, name, Role::Admin).await;
    }
    rig.shut_down().await;
    let mut options = rig.options();
    options.door = Door::Token { api: None, links: None };
    rig.app = Some(App::start(options).await.unwrap());
    let anna = Browser::new(&rig);
    anna.sign_in("anna", PASSWORD).await.is(303);
    anna.get("/access").await.is(200);
    anna.post("/access/users/remove", &[("name", "borys")]).await.is(303);
    for (path, more) in [("/access/users/role", ("role", "viewer")), ("/access/users/remove", ("role", ""))] {
        anna.post(path, &[("name", "anna"), more]).await.is(422).says("This is the last admin");
    }
    // A token that may everything is one, too.
    anna.post("/access/tokens/add", &[("name", "second"), ("role", "admin")]).await.is(200);
    anna.post("/access/users/role", &[("name", "anna"), ("role", "operator")]).await.is(303);
    anna.get("/access").await.is(403);
    rig.shut_down().await;
    rig.boot().await;
    for (path, name) in [("/api/tokens/remove", "second"), ("/api/users/remove", "anna")] {
        assert_eq!(rig.post_to_api(path, &json!({ "name": name })).await.0, 200);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_start_token_ends_the_sessions_of_the_old_one() {
    let mut rig = rig().await;
    let browser = Browser::new(&rig);
    browser.post("/sign-in", &[("token", TOKEN)]).await.is(303);
    browser.get("/").await.is(200);
    for (token, expect) in [(TOKEN, 200), ("another", 303)] {
        rig.shut_down().await;
        rig.token = Some(token);
        rig.boot().await;
        let again = Browser::new(&rig);
        browser.cookies().clone_into(&mut again.cookies());
        again.get("/").await.is(expect);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_knows_at_once_who_may_what() {
    let Some(database) = Database::create().await else { return };
    let rig = rig_on(Some(database)).await;
    let second = rig.another().await;
    add_user(&rig, "olena", Role::Viewer).await;
    let here = Browser::new(&rig);
    here.sign_in("olena", PASSWORD).await.is(303);
    let there = Browser::at(format!("http://127.0.0.1:{}", second.address.port()));
    here.cookies().clone_into(&mut there.cookies());
    there.get("/").await.is(200).says("olena · viewer");
    rig.post_to_api("/api/users/role", &json!({ "name": "olena", "role": "operator" })).await;
    there.get("/").await.is(200).says("olena · operator");
    rig.post_to_api("/api/users/remove", &json!({ "name": "olena" })).await;
    assert_eq!(there.get("/").await.status, 303);

    // Two admins who remove each other at the same moment: one of them stays.
    for round in 0..8 {
        let names = [format!("anna{round}"), format!("borys{round}")];
        run(&rig.database(), "DELETE FROM users RETURNING 1::bigint").await;
        for name in &names {
            add_user(&rig, name, Role::Admin).await;
        }
        let remove =
            async |name: &str, store: &leadfold::store::Store| store.remove_user(name, true).await.unwrap();
        let both = tokio::join!(remove(&names[0], &rig.app().store), remove(&names[1], &second.store));
        assert_eq!([both.0.is_ok(), both.1.is_ok()].iter().filter(|done| **done).count(), 1, "{both:?}");
    }

    // A password that changes while somebody signs in with the old one lets nobody stay in.
    add_user(&rig, "petro", Role::Viewer).await;
    let mut let_in = 0;
    for round in 0..8 {
        let hash = rig.app().store.password("petro").await.unwrap().unwrap();
        let holder = leadfold::store::access::Holder::User("petro".to_owned());
        let session = leadfold::token::hash(format!("session {round}"));
        let begin = rig.app().store.begin_session(&session, &holder, &hash, rig.clock.now());
        let change = second.store.change_password("petro", None, format!("{hash}{round}"));
        let (let_in_now, changed) = tokio::join!(begin, change);
        assert!(changed.unwrap());
        let_in += i32::from(let_in_now.unwrap());
        let open = rig.app().store.session(&session, None, rig.clock.now(), true).await.unwrap();
        assert!(open.is_none(), "round {round}: {let_in} were let in");
    }
    second.stop().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_asks_nobody() {
    let mut rig = Rig::prepare(leadfold::sandbox::Faults::default(), IMPATIENT, MAPPING).await;
    rig.boot().await;
    let browser = Browser::new(&rig);
    browser.get("/").await.is(200).says("demo · admin").says_nothing_of("Sign out");
    browser.get("/access").await.is(200);
    browser.get("/account").await.is(200).says("You did not come with a password");
    assert_eq!(browser.get("/sign-in?next=%2Faccess").await.location(), "/access");
    rig.end().await;
}
