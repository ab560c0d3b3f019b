//! Made-up humans who leave leads, and how well somebody tells them apart. Seeded: the same seed makes the same humans.
//!
//! They write their name in several ways or not at all, type their phone in several ways and sometimes wrongly, and come by
//! chats, a messenger that vouches for the phone, and forms. Where much is shared, families have one phone and one mailbox,
//! receptions one number for everybody, companies an `info@`, and numbers that somebody gave up are given out again.

use std::collections::HashMap;
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};
use leadfold::lead::{Identifier, IdentifierKind, Proof};
use leadfold::normalise::{self, NameKey};
use leadfold::resolve::{Key, Partition, Who, joining_keys};
use leadfold::rules::IdentityRules;
use leadfold::sandbox::Dice;

/// A lead, and who left it.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) human: usize,
    pub(crate) name: NameKey,
    pub(crate) identifiers: Vec<Identifier>,
    /// A role mailbox that was typed, which is no identifier.
    pub(crate) role: Option<String>,
    pub(crate) at: Timestamp,
}

impl Left {
    pub(crate) fn who(&self) -> Who<'_> {
        Who { identifiers: &self.identifiers, name: self.name.clone(), at: self.at, adds_token: false }
    }
}

/// How much several humans use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Nothing,
    Much,
}

#[derive(Default)]
struct Human {
    given: usize,
    surname: usize,
    /// National digits; the first is the one they usually give.
    phones: Vec<u64>,
    emails: Vec<String>,
    chats: Vec<(&'static str, String)>,
    customer: Option<String>,
    role: Option<String>,
    /// Days after the beginning between which they come.
    days: (u64, u64),
}

const FIRST: &str = "2022-01-01T08:00:00Z";
const DAYS: u64 = 4 * 365;

/// Given names: Cyrillic, Latin, what friends say.
const GIVEN: [[&str; 3]; 24] = [
    ["Олександр", "Oleksandr", "Саша"],
    ["Ольга", "Olha", "Оля"],
    ["Анна", "Anna", "Аня"],
    ["Андрій", "Andrii", "Андрій"],
    ["Наталія", "Nataliia", "Наташа"],
    ["Володимир", "Volodymyr", "Вова"],
    ["Катерина", "Kateryna", "Катя"],
    ["Сергій", "Serhii", "Сергій"],
    ["Тетяна", "Tetiana", "Таня"],
    ["Дмитро", "Dmytro", "Діма"],
    ["Ірина", "Iryna", "Іра"],
    ["Михайло", "Mykhailo", "Міша"],
    ["Юлія", "Yuliia", "Юля"],
    ["Богдан", "Bohdan", "Бодя"],
    ["Вікторія", "Viktoriia", "Віка"],
    ["Роман", "Roman", "Рома"],
    ["Марія", "Mariia", "Маша"],
    ["Павло", "Pavlo", "Паша"],
    ["Світлана", "Svitlana", "Свєта"],
    ["Максим", "Maksym", "Макс"],
    ["Олена", "Olena", "Лена"],
    ["Ігор", "Ihor", "Ігор"],
    ["Людмила", "Liudmyla", "Люда"],
    ["Євген", "Yevhen", "Женя"],
];
const SURNAMES: [[&str; 2]; 16] = [
    ["Петренко", "Petrenko"],
    ["Шевченко", "Shevchenko"],
    ["Коваль", "Koval"],
    ["Бондар", "Bondar"],
    ["Ткачук", "Tkachuk"],
    ["Мельник", "Melnyk"],
    ["Гончар", "Honchar"],
    ["Лисенко", "Lysenko"],
    ["Савчук", "Savchuk"],
    ["Кравець", "Kravets"],
    ["Руденко", "Rudenko"],
    ["Мороз", "Moroz"],
    ["Поліщук", "Polishchuk"],
    ["Гайдук", "Haiduk"],
    ["Сорока", "Soroka"],
    ["Яременко", "Yaremenko"],
];
const NICKNAMES: [&str; 6] = ["🌸", "kotik", "менеджер", ".", "Sunshine ☀️", "boss_2000"];

/// So many humans' leads, in the order in which they came.
pub(crate) fn leads(humans: usize, sharing: Sharing, seed: u64) -> Vec<Left> {
    let mut dice = Dice::new(seed);
    let mut all: Vec<Human> = (0..humans).map(|number| human(number, &mut dice)).collect();
    if sharing == Sharing::Much {
        share(&mut all, &mut dice);
    }
    let mut leads = Vec::new();
    for (number, human) in all.iter().enumerate() {
        for _ in 0..=dice.below(6) {
            leads.push(lead(number, human, &mut dice));
        }
    }
    leads.sort_by_key(|lead| lead.at);
    leads
}

fn in_hundred(dice: &mut Dice, chance: u64) -> bool {
    dice.below(100) < chance
}

fn pick(dice: &mut Dice, length: usize) -> usize {
    usize::try_from(dice.below(u64::try_from(length).unwrap())).unwrap()
}

fn new_phone(dice: &mut Dice) -> u64 {
    let operator = [50, 63, 66, 67, 68, 73, 93, 95, 96, 97, 98, 99][pick(dice, 12)];
    operator * 10_000_000 + 2_000_000 + dice.below(7_900_000)
}

fn human(number: usize, dice: &mut Dice) -> Human {
    let (given, surname) = (pick(dice, GIVEN.len()), pick(dice, SURNAMES.len()));
    let phones = (0..=dice.below(3) / 2).map(|_| new_phone(dice)).collect();
    let latin = format!("{}.{}", GIVEN[given][1], SURNAMES[surname][1]).to_lowercase();
    let hosts = ["gmail.com", "ukr.net", "outlook.com"];
    let emails = (0..dice.below(3))
        .map(|turn| format!("{latin}{number}@{}", hosts[pick(dice, 3) + usize::from(turn > 2)]));
    let emails = emails.collect();
    let bots = ["telegram:shop", "instagram:shop", "viber:shop"];
    let chats =
        bots.into_iter().filter(|_| in_hundred(dice, 40)).map(|bot| (bot, format!("chat{number}"))).collect();
    let customer = in_hundred(dice, 10).then(|| format!("C-{number}"));
    Human { given, surname, phones, emails, chats, customer, role: None, days: (0, DAYS) }
}

/// Families, receptions, companies' mailboxes, and numbers given out again.
fn share(humans: &mut [Human], dice: &mut Dice) {
    let mut next = 0;
    while next < humans.len() {
        let (size, kind) = match dice.below(100) {
            0..15 => (2 + pick(dice, 3), 0),
            15..17 => (4 + pick(dice, 9), 1),
            17..27 => (1 + pick(dice, 4), 2),
            27..30 => (2, 3),
            _ => (1, 4),
        };
        let end = (next + size).min(humans.len());
        let (phone, company) = (new_phone(dice), format!("company{next}.com.ua"));
        let group = &mut humans[next..end];
        let (surname, mailbox) = (group[0].surname, format!("family{next}@ukr.net"));
        match kind {
            0 => {
                let mailbox = in_hundred(dice, 30).then_some(mailbox);
                for human in group {
                    human.surname = surname;
                    human.phones.insert(usize::from(in_hundred(dice, 50)), phone);
                    human.emails.extend(mailbox.clone());
                }
            }
            1 => group
                .iter_mut()
                .for_each(|human| human.phones.insert(usize::from(in_hundred(dice, 60)), phone)),
            2 => group.iter_mut().for_each(|human| human.role = Some(format!("info@{company}"))),
            3 if group.len() == 2 => {
                group[0].days = (0, 365);
                group[1].days = (365 + 600, DAYS);
                group[1].phones[0] = group[0].phones[0];
            }
            _ => {}
        }
        next = end;
    }
}

fn lead(number: usize, human: &Human, dice: &mut Dice) -> Left {
    let (from, to) = human.days;
    let hours = i64::try_from(from * 24 + dice.below((to - from) * 24)).unwrap();
    let first: Timestamp = FIRST.parse().unwrap();
    let at = first
        + SignedDuration::from_hours(hours)
        + SignedDuration::from_millis(i64::try_from(number).unwrap());
    let mut left = Left { human: number, name: NameKey::default(), identifiers: Vec::new(), role: None, at };
    let (phone, email) = match dice.below(100) {
        0..50 if !human.chats.is_empty() => {
            let (bot, chat) = &human.chats[pick(dice, human.chats.len())];
            left.name = NameKey::of(&written(human, dice, 40));
            left.identifiers.push(identifier(IdentifierKind::Chat, bot, chat.clone(), Proof::Claimed));
            (40, 20)
        }
        50..60 => {
            // The account is of the phone that they have with them.
            left.name = NameKey::of(&written(human, dice, 40));
            let own = *human.phones.last().unwrap();
            left.identifiers.push(identifier(
                IdentifierKind::Chat,
                "whatsapp:shop",
                own.to_string(),
                Proof::Claimed,
            ));
            if let Ok(phone) = normalise::phone(&format!("+380{own}"), &[]) {
                let keys = phone.match_keys;
                left.identifiers.push(Identifier {
                    kind: IdentifierKind::Phone,
                    scope: String::new(),
                    keys,
                    proof: Proof::Proven,
                });
            }
            (0, 10)
        }
        _ => {
            left.name = NameKey::of(&written(human, dice, 10));
            if let Some(customer) = human.customer.clone().filter(|_| in_hundred(dice, 60)) {
                left.identifiers.push(identifier(
                    IdentifierKind::ExternalCustomer,
                    "shop",
                    customer,
                    Proof::Claimed,
                ));
            }
            (90, 55)
        }
    };
    if in_hundred(dice, phone) || (left.identifiers.is_empty() && human.emails.is_empty()) {
        let which = if in_hundred(dice, 75) { 0 } else { pick(dice, human.phones.len()) };
        if let Ok(phone) = normalise::phone(&typed_phone(human.phones[which], dice), &["UA".to_owned()]) {
            let keys = phone.match_keys;
            left.identifiers.push(Identifier {
                kind: IdentifierKind::Phone,
                scope: String::new(),
                keys,
                proof: Proof::Claimed,
            });
        }
    }
    if let Some(role) = human.role.clone().filter(|_| in_hundred(dice, email)) {
        assert!(normalise::email(&role).unwrap().match_key.is_none());
        left.role = Some(role);
    } else if !human.emails.is_empty() && (in_hundred(dice, email) || left.identifiers.is_empty()) {
        let email = normalise::email(&typed_email(&human.emails[pick(dice, human.emails.len())], dice));
        if let Some(key) = email.ok().and_then(|email| email.match_key) {
            left.identifiers.push(identifier(IdentifierKind::Email, "", key, Proof::Claimed));
        }
    }
    left
}

fn identifier(kind: IdentifierKind, scope: &str, value: String, proof: Proof) -> Identifier {
    Identifier { kind, scope: scope.to_owned(), keys: vec![value], proof }
}

/// A name as they write it this time; `vague` of a hundred times it says nothing.
fn written(human: &Human, dice: &mut Dice, vague: u64) -> String {
    let ([cyrillic, latin, short], [surname, latin_surname]) = (GIVEN[human.given], SURNAMES[human.surname]);
    if in_hundred(dice, vague) {
        return if in_hundred(dice, 50) {
            String::new()
        } else {
            NICKNAMES[pick(dice, NICKNAMES.len())].to_owned()
        };
    }
    match dice.below(6) {
        0 => format!("{cyrillic} {surname}"),
        1 => format!("{surname} {cyrillic}"),
        2 => format!("{latin} {latin_surname}"),
        3 => cyrillic.to_owned(),
        4 => format!("{short} {surname}"),
        _ => format!("{short} ✨"),
    }
}

fn typed_phone(national: u64, dice: &mut Dice) -> String {
    // A wrong digit makes it another number.
    let national = if in_hundred(dice, 2) { national ^ 1 } else { national };
    let digits = national.to_string();
    let (operator, rest) = digits.split_at(2);
    match dice.below(3) {
        0 => format!("+380 {operator} {rest}"),
        1 => format!("0{operator}-{rest}"),
        _ => format!("380({operator}){rest}"),
    }
}

fn typed_email(email: &str, dice: &mut Dice) -> String {
    match dice.below(20) {
        0 => email.replacen('.', "", 1),
        1 => email.replacen('a', "q", 1),
        2..8 => email.to_uppercase(),
        8..10 => email.replace('@', "+shop@"),
        _ => email.to_owned(),
    }
}

/// How well leads were brought together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    /// Of the pairs of leads of one person, those that are of one human.
    pub(crate) precision: f64,
    /// Of the pairs of leads of one human, those that are of one person.
    pub(crate) recall: f64,
    /// Humans with one person who is nobody else.
    pub(crate) person_once: f64,
    pub(crate) people: usize,
}

/// Scores people, one for each lead.
pub(crate) fn score<P: Copy + Eq + Hash>(leads: &[Left], people: &[P]) -> Score {
    let (mut by_human, mut by_person, mut by_both) = (HashMap::new(), HashMap::new(), HashMap::new());
    for (lead, person) in leads.iter().zip(people) {
        *by_human.entry(lead.human).or_insert(0_u32) += 1;
        *by_person.entry(*person).or_insert(0_u32) += 1;
        *by_both.entry((lead.human, *person)).or_insert(0_u32) += 1;
    }
    let pairs = |counts: &mut dyn Iterator<Item = u32>| -> f64 {
        counts.map(|count| f64::from(count) * f64::from(count - 1) / 2.0).sum()
    };
    let right = pairs(&mut by_both.values().copied());
    let once = by_both
        .iter()
        .filter(|((human, person), count)| by_human[human] == **count && by_person[person] == **count);
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 1.0 };
    let as_float = |count: usize| f64::from(u32::try_from(count).unwrap());
    Score {
        precision: ratio(right, pairs(&mut by_person.values().copied())),
        recall: ratio(right, pairs(&mut by_human.values().copied())),
        person_once: ratio(as_float(once.count()), as_float(by_human.len())),
        people: by_person.len(),
    }
}

/// Whose each lead is by our rules.
pub(crate) fn resolved(leads: &[Left], rules: IdentityRules) -> Vec<u32> {
    let mut partition = Partition::under(rules);
    for lead in leads {
        partition.add(&lead.who());
    }
    partition.finish()
}

/// Whose each lead is when every two with one key are one human's. `roles`: a role mailbox is a key as well.
pub(crate) fn united(leads: &[Left], roles: bool) -> Vec<usize> {
    let keys = |lead: &Left| {
        let role = lead.role.clone().filter(|_| roles).map(|value| key(IdentifierKind::Email, value));
        joining_keys(&lead.identifiers).chain(role).collect()
    };
    components(leads, keys)
}

/// The best that exact keys can reach: as [`united`], if nobody ever gave what is somebody else's.
pub(crate) fn ceiling(leads: &[Left]) -> Vec<usize> {
    components(leads, |lead| joining_keys(&lead.identifiers).map(|key| (lead.human, key)).collect())
}

fn key(kind: IdentifierKind, value: String) -> Key {
    Key { kind, scope: String::new(), value }
}

fn components<K: Eq + Hash>(leads: &[Left], keys: impl Fn(&Left) -> Vec<K>) -> Vec<usize> {
    fn root(parents: &mut [usize], mut place: usize) -> usize {
        while parents[place] != place {
            parents[place] = parents[parents[place]];
            place = parents[place];
        }
        place
    }
    let mut parents: Vec<usize> = (0..leads.len()).collect();
    let mut firsts: HashMap<K, usize> = HashMap::new();
    for (place, lead) in leads.iter().enumerate() {
        for key in keys(lead) {
            let first = *firsts.entry(key).or_insert(place);
            let (one, other) = (root(&mut parents, first), root(&mut parents, place));
            parents[one.max(other)] = one.min(other);
        }
    }
    (0..leads.len()).map(|place| root(&mut parents, place)).collect()
}
