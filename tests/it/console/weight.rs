//! What a page weighs: the registry is opened all day, also on a phone in a tram.

use leadfold::access::Role;
use serde_json::json;

use super::{Browser, rig};
use crate::rig::{event, now_millis};

/// Bytes, with style and script, as they go over the network.
const HEAVIEST: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_stays_light_with_the_longest_names_there_are() {
    let rig = rig().await;
    let start = now_millis();
    let bodies: Vec<_> = (0..70)
        .map(|number| {
            // Each third has no phone that can be used, so that its row also says why.
            let phone = if number % 3 == 0 {
                "передзвоніть, будь ласка".to_owned()
            } else {
                format!("+38067{:07}", 1_100_003 + number * 16_411)
            };
            let email = format!("oleksandra.volodymyrivna.{number}@корпоративна-пошта.example.com.ua");
            let mut body = event(
                &format!("chat-{number}"),
                "telegram",
                json!({ "phone": phone, "email": email }),
                start + number,
            );
            body[0]["contact"]["name"] =
                json!("Олександра-Вікторія Володимирівна Нечипоренко-Кам’янецька & <Co>");
            body
        })
        .collect();
    rig.post_all(&bodies, 8).await;
    rig.settle().await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    for language in ["en", "uk"] {
        browser.speak(language);
        let page = browser.get("/").await;
        assert!(
            page.is(200).text.matches("<tr").count() > 50,
            "a page of leads has more than 50 rows: {}",
            page.text
        );
        let mut weight = page.text.len();
        for address in page.text.split('"').filter(|text| text.starts_with("/assets/")) {
            weight += browser.get(address).await.is(200).text.len();
        }
        assert!(
            weight <= HEAVIEST,
            "in {language} it weighs {weight} bytes, {} of them the page",
            page.text.len()
        );
    }
    rig.end().await;
}
