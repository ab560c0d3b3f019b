//! Who posts what, in which order: the same for the same seed.

use serde_json::{Value, json};

use crate::sandbox::Dice;

/// Where humans write from; one chat each.
const SERVICES: [&str; 3] = ["telegram", "instagram", "viber"];
const NAMES: [&str; 6] = ["Олена", "Андрій", "Marta", "Ірина", "Bohdan", "Оксана"];
/// Redeliveries come soon after the event.
const SOON: u64 = 40;

/// The most humans: so many have phones of their own, none of which looks made up.
pub const MOST_HUMANS: u64 = 1_000_000;

/// A press of Send. It is known by its time, which no other one has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Who pressed.
    pub human: u64,
    /// Where.
    pub service: &'static str,
    /// The phone as this human wrote it this time; some have not given it yet.
    pub phone: Option<String>,
}

/// All that is posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Every event, in the order in which they happen.
    pub events: Vec<Event>,
    /// What is posted, as places in `events`. One that is there again is a platform's redelivery.
    pub posts: Vec<usize>,
}

impl Schedule {
    /// So many posts of at most so many humans, whose events happen from `since` on (milliseconds since 1970).
    pub fn new(seed: u64, posts: u64, humans: u64, since: i64) -> Self {
        let mut dice = Dice::new(seed);
        let mut schedule = Self::default();
        let mut at = since;
        while (schedule.posts.len() as u64) < posts {
            let known = schedule.events.len();
            let last = schedule.events.last().cloned();
            let event = match (dice.below(100), last) {
                (0..4, Some(_)) => {
                    let back = usize::try_from(dice.below(SOON)).unwrap_or_default();
                    schedule.posts.push(known.saturating_sub(1 + back));
                    continue;
                }
                // The same press twice within a moment: two events, of which the second has nothing to make.
                (4..10, Some(last)) => last,
                _ => press(&mut dice, humans),
            };
            at += 1;
            schedule.events.push(Event { at, ..event });
            schedule.posts.push(known);
        }
        schedule
    }
}

/// In any messenger, the phone in any spelling, and now and then without a phone.
fn press(dice: &mut Dice, humans: u64) -> Event {
    let human = dice.below(humans);
    let service = pick(dice, &SERVICES);
    let phone = (dice.below(5) > 0).then(|| pick(dice, &spellings(&digits(human))));
    Event { at: 0, human, service, phone }
}

fn pick<T: Clone + Default>(dice: &mut Dice, of: &[T]) -> T {
    let place = usize::try_from(dice.below(of.len() as u64)).unwrap_or_default();
    of.get(place).cloned().unwrap_or_default()
}

impl Event {
    /// As `SendPulse` posts it. A message from Telegram has an id of the platform; the others are known by their content.
    pub fn body(&self) -> Value {
        let Self { at, human, service, phone } = self;
        let variables = phone.as_ref().map_or_else(|| json!([]), |phone| json!({ "phone": phone }));
        let info = (*service == "telegram").then(|| json!({ "message": { "id": format!("message-{at}") } }));
        let name = usize::try_from(*human).ok().and_then(|human| NAMES.get(human % NAMES.len()));
        json!([{
            "service": service,
            "title": "incoming_message",
            "bot": { "id": format!("bot-{service}"), "name": "Torture", "external_id": "1", "url": "https://t.me/x" },
            "contact": {
                "id": chat(service, *human), "name": name, "username": null, "phone": null, "email": null,
                "photo": null, "last_message": "Добрий день", "tags": [], "variables": variables
            },
            "info": info,
            "date": at
        }])
    }
}

/// The chat of a human in a messenger.
fn chat(service: &str, human: u64) -> String {
    format!("{service}-{human}")
}

/// Whose chat this is.
pub fn human_of_chat(chat: &str) -> Option<u64> {
    chat.rsplit_once('-')?.1.parse().ok()
}

/// The nine digits behind a human's country code and trunk prefix. 4111 has no divisor in common with the number of
/// phones, so every human has a phone of their own. The last digit keeps them from looking made up.
fn digits(human: u64) -> String {
    format!("67{:06}4", (310_003 + human * 4_111) % MOST_HUMANS)
}

/// A human's phone as the CRM should have it.
pub fn phone(human: u64) -> String {
    format!("+380{}", digits(human))
}

/// Ten ways in which people write one Ukrainian number, from its nine digits.
pub fn spellings(digits: &str) -> [String; 10] {
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    let (a, b, c, d) = (part(0, 2), part(2, 5), part(5, 7), part(7, 9));
    [
        format!("+380{digits}"),
        format!("380{digits}"),
        format!("0{digits}"),
        format!("0{a} {b} {c} {d}"),
        format!("0{a}-{b}-{c}-{d}"),
        format!("+38 (0{a}) {b}-{c}-{d}"),
        format!("+38 0{a} {b}{c}{d}"),
        format!("00380{digits}"),
        format!("80{digits}"),
        format!("мій номер: 0{a} {b} {c} {d}"),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::normalise::phone as normalised;

    #[test]
    fn the_same_seed_posts_the_same() {
        let schedule = |seed| Schedule::new(seed, 500, 50, 1_000);
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
        let Schedule { events, posts } = schedule(7);
        assert_eq!(posts.len(), 500);
        assert_eq!(posts.iter().collect::<BTreeSet<_>>().len(), events.len(), "every event is posted");
        assert!((10..40).contains(&(500 - events.len())), "{} of 500 are redeliveries", 500 - events.len());
        assert!(events.is_sorted_by(|one, two| one.at < two.at));
        let of = |human| events.iter().filter(move |event| event.human == human);
        assert!((0..50).all(|human| of(human).count() > 1), "every human comes back");
        assert!(events.iter().any(|event| event.phone.is_none()));
    }

    /// Or a lead would be kept for a flaw of its phone, and nothing would be tortured.
    #[test]
    fn every_human_has_one_phone_however_it_is_written() {
        let mut seen = BTreeSet::new();
        for human in (0..1_000).chain((0..MOST_HUMANS).step_by(997)) {
            seen.insert(phone(human));
            for spelling in spellings(&digits(human)) {
                let found = normalised(&spelling, &["UA".to_owned()]).map(|phone| phone.e164);
                assert_eq!(found, Ok(phone(human)), "{spelling}");
            }
        }
    }
}
