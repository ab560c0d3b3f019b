//! Who gets in, as whom, and what they may.

use leadfold::access::Role;

use super::{Browser, TOKEN, rig};

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
    }
    rig.end().await;
}
