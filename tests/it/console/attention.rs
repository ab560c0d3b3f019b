//! What needs somebody, in the console: why, what to do, and doing it for all of a cause.

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use leadfold::store::attention::{Cause, Where};
use serde_json::{Value, json};

use super::{Browser, TOKEN, rig};
use crate::many::on_both;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};
use crate::store::run;

const HOSTILE: &str = "<script>alert(1)</script>";
const ESCAPED: &str = "&lt;script&gt;alert(1)&lt;/script&gt;";

fn lead(number: i64, age: &Value) -> Value {
    let phone = format!("+38067{:07}", 1_100_003 + number * 16_411);
    let variables = json!({ "phone": phone, "age": age });
    let mut event = event(&format!("chat-{number}"), "telegram", variables, now_millis() + number);
    event[0]["contact"]["name"] = json!(HOSTILE);
    event
}

/// A mapping that fails where the age is a word.
fn counts_years() -> String {
    MAPPING.replace("title != 'bot_block'", "contact.variables.age / 1 > 17")
}

async fn failing(settings: &str) -> Rig {
    let mut rig = Rig::prepare(Faults::default(), settings, &counts_years()).await;
    rig.token = Some(TOKEN);
    rig.boot().await;
    rig.post_all(&[lead(1, &json!("old")), lead(2, &json!("older"))], 1).await;
    rig.settle().await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_is_said_so() {
    let rig = rig().await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    browser.get("/attention").await.is(200).says("Nothing needs you now.");
    browser.speak("uk");
    browser
        .get("/attention")
        .await
        .is(200)
        .says("Зараз нічого не потребує вашої уваги.")
        .says("Потребує уваги");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_is_corrected_and_all_of_it_goes_on() {
    let mut rig = failing(IMPATIENT).await;
    let viewer = Browser::of(&rig, Role::Viewer).await;
    let page = viewer.get("/attention").await;
    page.is(200).says("The mapping fails on these leads").says("2\u{a0}leads").says("mapping_error");
    page.says("id=\"mapping_error:sendpulse\"")
        .says("replay with today’s mapping")
        .says_nothing_of("Replay…");
    page.says_nothing_of(HOSTILE);
    let of = [("at", "source"), ("place", "sendpulse"), ("code", "mapping_error"), ("how", "replan")];
    let nobody = "00000000-0000-0000-0000-000000000001";
    let progress = [&of[..], &[("up_to", nobody), ("total", "2")]].concat();
    viewer.post("/attention/replay", &progress).await.is(403).says("operator");

    // Once the mapping is right.
    rig.edit("sendpulse.yaml", "contact.variables.age / 1 > 17", "true");
    rig.restart().await;
    let operator = Browser::of(&rig, Role::Operator).await;
    operator.speak("uk");
    operator.get("/attention").await.says("Мапінг не справився з цими лідами").says("Повторити…");
    let look = "/attention/replay?at=source&place=sendpulse&code=mapping_error";
    let seen = operator.get(look).await;
    seen.is(200)
        .says("2\u{a0}ліди")
        .says("Із сьогоднішнім мапінгом")
        .says("Що стане з першими")
        .says("гілка all");
    let up_to = field(&seen.text, "up_to");
    assert_eq!(rig.counts().await.needs_attention, 2, "looking changes nothing");
    operator.get(&format!("{look}&how=resume")).await.is(200).says("У цей спосіб повторювати нічого");

    let form = [&of[..], &[("up_to", up_to.as_str()), ("total", "2")]].concat();
    operator.post("/attention/replay", &[&form[..], &[("key", "forged")]].concat()).await.is(403);
    // Between two pieces there is a page with a button, which the script presses.
    let query = "at=source&place=sendpulse&code=mapping_error&how=replan&total=2";
    let half = format!("/attention/replay/progress?{query}&up_to={up_to}&count=1");
    let what = format!("replay {} {up_to}", query.trim_end_matches("&total=2"));
    let begun = begun(&operator, &what).await;
    // Nobody is led to a page that goes on with what they never began.
    for forged in ["", "&begun=", &format!("&begun={}", begun.to_uppercase())] {
        let page = operator.get(&format!("{half}{forged}")).await;
        page.is(303);
        assert_eq!(page.location(), format!("/attention/replay?{}", query.trim_end_matches("&total=2")));
    }
    let another = half.replace("replan", "force");
    operator.get(&format!("{another}&begun={begun}")).await.is(303);
    let half = operator.get(&format!("{half}&begun={begun}")).await;
    half.is(200).says("data-go-on").says("value=\"1\"").says("name=\"count\" value=\"1\"");
    let done = operator.post_and_follow("/attention/replay", &form).await;
    done.is(200).says("Повторено:").says("2\u{a0}ліди").says("Зараз нічого не потребує вашої уваги.");
    rig.settle().await;
    assert_eq!((rig.counts().await.needs_attention, rig.counts().await.synced), (0, 2));
    rig.end().await;
}

/// What is in the address of a page that goes on with what this browser began.
async fn begun(browser: &Browser, what: &str) -> String {
    let page = browser.get("/account").await;
    let key = page.key().unwrap();
    leadfold::token::to_hex(&leadfold::token::hash(format!("begun {key} {what}")))
}

fn field(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_crm_refuses_is_told_by_what_it_said() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some(TOKEN);
    let account = json!({
        "users": [{"id": "anna"}, {"id": "borys"}, {"id": "dana"}],
        "pipelines": [{"name": "Main", "stages": ["New", "Won"]}],
    });
    rig.sandbox.set_account(Some(serde_json::from_value(account).unwrap()));
    rig.boot().await;
    rig.post(&lead(1, &json!(18))).await;
    rig.settle().await;
    let browser = Browser::of(&rig, Role::Operator).await;
    let page = browser.get("/attention").await;
    page.is(200)
        .says("The CRM refuses them")
        .says("no field `telegram_chat`")
        .says(ESCAPED)
        .says_nothing_of(HOSTILE);
    let seen = browser.get("/attention/replay?at=destination&place=crm&code=crm_rejected").await;
    seen.is(200).says("1\u{a0}lead").says("As they are").says("telegram_chat");
    let (status, all) = rig.post_to_api("/api/attention", &json!({})).await;
    let cause = &all["causes"][0];
    assert_eq!((status, &cause["code"], &cause["place"]), (200, &json!("crm_rejected"), &json!("crm")));
    assert_eq!((&cause["at"], &cause["leads"]["count"]), (&json!("destination"), &json!(1)));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_pushed_or_skipped() {
    let mut rig =
        Rig::prepare(Faults::default(), "timeout: 500ms, settle: 700ms, mode: observe", MAPPING).await;
    rig.token = Some(TOKEN);
    rig.boot().await;
    for number in 1..=4 {
        rig.post(&lead(number, &json!(18))).await;
    }
    rig.settle().await;
    let browser = Browser::of(&rig, Role::Operator).await;
    browser.get("/attention").await.says("Held until you answer").says("4\u{a0}leads").says("only observes");
    let page = browser.get("/attention/held?destination=crm").await;
    page.is(200).says("create contact, create deal").says("4\u{a0}leads");
    let up_to = field(&page.text, "up_to");
    let answer = |answer| [("destination", "crm"), ("up_to", &up_to), ("answer", answer)];
    let some = [&answer("push")[..], &[("limit", "1")]].concat();
    browser.post("/attention/held", &[&some[..], &[("key", "")]].concat()).await.is(403);
    // Nor does a link that somebody was sent skip them.
    let led = "/attention/held?destination=crm&answer=skip&up_to=9999999999999&count=0";
    browser.get(led).await.is(200).says_nothing_of("data-go-on").says("Skip all of them");
    let begun = begun(&browser, "skip 9999999999999 crm").await;
    browser.get(&format!("{led}&begun={begun}")).await.is(200).says("data-go-on");
    browser.get("/attention/held?destination=crm").await.is(200);
    browser.post("/attention/held", &answer("push")).await.is(422);
    browser.post_and_follow("/attention/held", &some).await.says("On their way to the CRM: 1\u{a0}lead.");
    rig.settle().await;
    assert_eq!((rig.stats().contacts, rig.counts().await.held), (1, 3));
    let some = [&answer("skip")[..], &[("limit", "1")]].concat();
    browser.post_and_follow("/attention/held", &some).await.says("Skipped");

    rig.edit("workspace.yaml", "mode: observe", "mode: live");
    rig.restart().await;
    let browser = Browser::of(&rig, Role::Operator).await;
    browser.speak("uk");
    browser.get("/attention").await.says("Призначення вже працює");
    browser.get("/attention/held?destination=crm").await.says("Передати в CRM");
    browser.post_and_follow("/attention/held", &answer("push")).await.says("Пішли до CRM: 2\u{a0}ліди.");
    rig.settle().await;
    assert_eq!((rig.stats().contacts, rig.counts().await.held), (3, 0));
    browser.get("/attention/held?destination=nowhere").await.is(422);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_became_no_leads_are_shown_by_source() {
    let mut rig = rig().await;
    assert_eq!(rig.post_to("/in/sendpulse/demo", "no json").await.0, 200);
    rig.settle().await;
    let browser = Browser::of(&rig, Role::Operator).await;
    let page = browser.get("/attention").await;
    page.is(200).says("id=\"unreadable:sendpulse\"").says("1\u{a0}request").says("Read them again…");
    let seen = browser.get("/attention/replay?at=unreadable&place=sendpulse").await;
    seen.is(200).says("1\u{a0}request would go on.");
    let up_to = field(&seen.text, "up_to");
    let form =
        [("at", "unreadable"), ("place", "sendpulse"), ("how", "resume"), ("up_to", &up_to), ("total", "1")];
    browser.post_and_follow("/attention/replay", &form).await.is(200).says("Replayed:");
    rig.edit("sendpulse.yaml", "token: demo }", "token: demo, paused: true }");
    rig.restart().await;
    rig.post(&lead(1, &json!(18))).await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    let page = browser.get("/attention").await;
    page.is(200).says("id=\"waiting:sendpulse\"").says("Requests that wait for their mapping");
    page.says("paused").says("they go on by themselves");
    rig.shut_down().await;
    std::fs::remove_dir_all(&rig.folder).unwrap();
}

#[test]
fn causes_are_told_apart_and_counted_no_further_than_anybody_counts() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(on_both(async |story| {
        let why = |code: &str| format!("{{\"code\":\"{code}\",\"text\":\"because of it\"}}");
        let rows: Vec<String> = (1..=1_203_u32)
            .map(|number| {
                let (source, code) = match number {
                    1_201.. => ("other", "mapping_error"),
                    1_101.. => ("shop", "mapping_error_2"),
                    _ => ("shop", "mapping_error"),
                };
                format!(
                    "('00000000-0000-7000-8000-{number:012}', 'e', '{source}', 'v', {number}, 'needs-attention', '{}', '[]', {number})",
                    why(code)
                )
            })
            .collect();
        let columns = "id, event, source, version, sequence, state, why, conflicts, received_at";
        run(&story.url, &format!("INSERT INTO leads ({columns}) VALUES {}", rows.join(", "))).await;
        let cause = |place: &str, code: &str| Cause {
            at: Where::Source,
            place: place.to_owned(),
            code: code.to_owned(),
        };
        let (many, few) = (cause("shop", "mapping_error"), cause("shop", "mapping_error_2"));
        let other = cause("other", "mapping_error");
        let mut causes = story.store.causes().await.unwrap();
        causes.sort();
        assert_eq!(causes, [other.clone(), many.clone(), few.clone()]);
        let counted = async |cause: &Cause| {
            let found = story.store.caused(cause.clone()).await.unwrap().unwrap();
            (found.leads.count, found.leads.more, found.since.as_millisecond(), found.examples.len())
        };
        assert_eq!(counted(&many).await, (1_000, true, 1, 3));
        assert_eq!(counted(&few).await, (100, false, 1_101, 3));
        assert_eq!(counted(&other).await, (3, false, 1_201, 3));
        let reason = story.store.newest_reason(&few).await.unwrap().unwrap();
        assert_eq!((reason.code.as_str(), reason.text.as_str()), ("mapping_error_2", "because of it"));
        assert_eq!(story.store.caused(cause("shop", "crm_rejected")).await.unwrap(), None);
        // A lead that came to attention with a reason of another version is told of as well.
        run(&story.url, "UPDATE leads SET why = '{\"code\":\"\"}' WHERE sequence = 1203").await;
        assert!(story.store.causes().await.unwrap().contains(&cause("other", "")));
    }));
}
