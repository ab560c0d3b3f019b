//! Who may what, from the first user to the last, in a real browser.

use leadfold::access::Role;
use serde_json::json;

use super::webdriver::Tab;
use super::{Browser, PASSWORD, rig};
use crate::rig::{Rig, event, now_millis};

const NEW: &str = "another horse battery";
const OWN: &str = "an own horse battery";

async fn add(tab: &Tab, name: &str, role: &str) {
    tab.fill("Name", name).await;
    tab.fill("Password", PASSWORD).await;
    tab.choose("Role", role).await;
    tab.click_in("Add a user", "Add").await;
    tab.sees("The user is added and can sign in.").await;
}

async fn sign_in(tab: &Tab, name: &str, password: &str) {
    tab.fill("Name", name).await;
    tab.fill("Password", password).await;
    tab.click("Sign in").await;
}

/// Whoever sits elsewhere.
async fn elsewhere(rig: &Rig, name: &str, password: &str) -> Browser {
    let browser = Browser::new(rig);
    browser.sign_in(name, password).await.is(303);
    browser.get("/destinations").await.is(200).says(name);
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_do_what_they_may_and_go() {
    let rig = rig().await;
    assert_eq!(rig.post(&event("1", "telegram", json!({ "phone": "0671234567" }), now_millis())).await, 200);
    rig.settle().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.click("Access").await;
        tab.sees("Nobody signs in with a password yet.").await;
        // The forms keep what is no name and no password.
        tab.fill("Name", "olena").await;
        tab.fill("Password", "short").await;
        tab.click_in("Add a user", "Add").await;
        tab.lacks("The user is added").await;
        add(&tab, "olena", "operator").await;
        add(&tab, "vira", "viewer").await;
        tab.fill("Name", "Olena").await;
        tab.fill("Password", PASSWORD).await;
        tab.click_in("Add a user", "Add").await;
        tab.sees("A user or a token has this name already.").await;
        tab.click("Sign out").await;

        // A viewer looks, and finds no button.
        sign_in(&tab, "vira", PASSWORD).await;
        tab.sees("vira · viewer").await;
        tab.lacks("Access").await;
        for (section, button) in [("Destinations", "Pause"), ("Mappings", "Save"), ("People", "Merge with")] {
            tab.click(section).await;
            tab.sees("vira · viewer").await;
            tab.lacks(button).await;
        }
        let forms = "return [...document.querySelectorAll('main form')].filter(form => form.method === 'post').length";
        for path in ["/destinations", "/people", "/people/duplicates", "/attention", "/overview"] {
            tab.go(path).await;
            tab.sees("vira · viewer").await;
            assert_eq!(tab.run(forms, json!([])).await, 0, "{path}");
        }
        let vira = elsewhere(&rig, "vira", PASSWORD).await;
        for (path, field) in [
            ("/destinations/pause", ("destination", "crm")),
            ("/people/merge", ("one", "x")),
            ("/access/users/remove", ("name", "olena")),
            ("/access/users/role", ("name", "vira")),
        ] {
            let one = rig.app().store.people_of(&["1".to_owned()]).await.unwrap()[0].to_string();
            let field = if field.1 == "x" { ("one", one.as_str()) } else { field };
            let fields = [field, ("other", one.as_str()), ("role", "admin")];
            vira.get("/account").await.is(200);
            vira.post(path, &fields).await.is(403).says("You may not do this");
        }
        for path in ["/access", "/access/actions"] {
            tab.go(path).await;
            tab.sees("You may not do this").await;
            tab.lacks("olena").await;
        }
        tab.click("Sign out").await;

        // An operator does what is there to be done.
        sign_in(&tab, "olena", PASSWORD).await;
        tab.sees("olena · operator").await;
        tab.lacks("Access").await;
        tab.click("Destinations").await;
        tab.click("Pause").await;
        tab.sees("Paused by olena").await;
        tab.click("Resume").await;
        tab.sees("It goes on.").await;
        let olena = elsewhere(&rig, "olena", PASSWORD).await;
        tab.click("olena · operator").await;
        tab.fill("Old password", PASSWORD).await;
        tab.fill("New password", OWN).await;
        tab.click("Change password").await;
        tab.sees("You are signed out everywhere but here.").await;
        assert_eq!(olena.get("/destinations").await.location(), "/sign-in?next=%2Fdestinations");
        tab.click("Sign out").await;
        sign_in(&tab, "olena", PASSWORD).await;
        tab.sees("Name, password or token is wrong.").await;
        sign_in(&tab, "olena", OWN).await;
        tab.sees("olena · operator").await;

        // Meanwhile an admin.
        let admin = Browser::of(&rig, Role::Admin).await;
        admin.get("/access").await.is(200).says("olena").says("vira");
        let raised =
            admin.post_and_follow("/access/users/role", &[("name", "vira"), ("role", "operator")]).await;
        raised.says("The role is changed.");
        vira.get("/destinations").await.is(200).says("vira · operator").says("/destinations/pause");
        let set =
            admin.post_and_follow("/access/users/password", &[("name", "vira"), ("password", NEW)]).await;
        set.says("they are signed out everywhere");
        vira.get("/destinations").await.is(303);
        Browser::new(&rig).sign_in("vira", PASSWORD).await.is(401);
        Browser::new(&rig).sign_in("vira", NEW).await.is(303);
        // Whoever is removed is out with the next click, wherever they are.
        tab.go("/destinations").await;
        tab.sees("Pause").await;
        let removed = admin.post_and_follow("/access/users/remove", &[("name", "olena")]).await;
        removed.says("The user is removed and signed out.");
        tab.click("Pause").await;
        tab.sees("With a token").await;
        assert!(rig.app().store.pauses().await.unwrap().is_empty(), "nothing is done for who is out");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_the_story() {
    let rig = rig().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.click("Access").await;
        add(&tab, "olena", "operator").await;
        tab.choose("Role of olena", "admin").await;
        tab.click_in("olena", "Save").await;
        tab.sees("The role is changed.").await;
        tab.click_in("olena", "New password").await;
        tab.fill("New password of olena", NEW).await;
        tab.click_in("olena", "Set it").await;
        tab.sees("The password is changed").await;
        tab.click_in("olena", "Remove").await;
        tab.sees("Remove for good: olena").await;
        tab.keep_picture("story-access").await;
        tab.click("Sign out").await;

        sign_in(&tab, "olena", NEW).await;
        tab.sees("olena · admin").await;
        tab.click("Destinations").await;
        tab.click("Pause").await;
        tab.sees("Paused by olena").await;
        tab.click("Resume").await;
        tab.sees("It goes on.").await;
        tab.click("Sign out").await;

        tab.click("With a token").await;
        tab.fill("Token", super::TOKEN).await;
        tab.press_enter("Token").await;
        tab.sees("Sign out").await;
        tab.click("Access").await;
        tab.click_in("olena", "Remove").await;
        tab.click("Remove for good: olena").await;
        tab.sees("The user is removed and signed out.").await;
        tab.click("Audit log: who changed what").await;
        tab.sees("Removed a user").await;
        let rows = "return [...document.querySelectorAll('main tbody tr')].map(row => \
                    [...row.cells].slice(1).map(cell => cell.innerText.replace(/\\s+/g, ' ').trim()))";
        let told = tab.run(rows, json!([])).await;
        let by = |who: &str| format!("{who} in the console");
        let expect = json!([
            [by("start token"), "Removed a user name: olena", "done"],
            [by("olena"), "Let a destination go on destination: crm", "done"],
            [by("olena"), "Paused a destination destination: crm", "done"],
            [by("start token"), "Set a user's password name: olena", "done"],
            [by("start token"), "Changed a user's role name: olena, role: admin", "done"],
            [by("start token"), "Added a user name: olena, role: operator", "done"],
        ]);
        assert_eq!(told, expect);
        let times =
            tab.run("return document.querySelectorAll('main td time[datetime]').length", json!([])).await;
        assert_eq!(times, 6);
        for secret in [PASSWORD, NEW, super::TOKEN] {
            tab.lacks(secret).await;
        }
        tab.fill("Who", "olena").await;
        tab.click("Show").await;
        tab.sees("Paused a destination").await;
        tab.lacks("Added a user").await;
        tab.keep_picture("story-audit").await;
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}
