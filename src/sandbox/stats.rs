//! What came of it: counts, and duplicates by a truth that leadfold never reads.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::State;
use super::bots::BotCall;
use super::records::{Contact, Records};

/// Texts of so many digits and no letters are compared by their digits alone.
const PHONE_DIGITS: usize = 7;

/// Which values belong to which human, by label: phones, emails, or the text of any field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Truth(pub BTreeMap<String, Vec<String>>);

/// Calls so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    calls: BTreeMap<String, u64>,
    pub(super) rate_limited: u64,
    pub(super) unauthorised: u64,
}

impl Tally {
    pub(super) fn count(&mut self, kind: String) {
        *self.calls.entry(kind).or_default() += 1;
    }
}

/// Counts of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Contacts there are.
    pub contacts: usize,
    /// Deals there are, open or not.
    pub deals: usize,
    /// Tasks there are.
    pub tasks: usize,
    /// Notes there are.
    pub notes: usize,
    /// Calls that were let in, faults included; a batch is one.
    pub calls_total: u64,
    /// The same by kind, such as `GET /contacts/{id}`.
    pub calls: BTreeMap<String, u64>,
    /// Calls answered with 429; not part of `calls`.
    pub rate_limited: u64,
    /// Calls answered with 401; not part of `calls`.
    pub unauthorised: u64,
    /// Contacts beyond the first of each human.
    pub duplicate_contacts: usize,
    /// Open deals beyond the first of each human.
    pub duplicate_deals: usize,
    /// Contacts that hold values of two labelled humans.
    pub wrongly_joined: usize,
    /// Calls of bots so far.
    pub bot_calls_total: u64,
    /// The last of them, oldest first.
    pub bot_calls: Vec<BotCall>,
}

pub(super) fn stats(state: &State) -> Stats {
    let State { records, bots, tally, truth, .. } = state;
    let humans = humans(records, truth);
    let mut contacts_of: HashMap<&Human, usize> = HashMap::new();
    let mut deals_of: HashMap<&Human, usize> = HashMap::new();
    for (id, human) in &humans.of_contact {
        *contacts_of.entry(human).or_default() += 1;
        *deals_of.entry(human).or_default() += records.open_deals(*id).count();
    }
    let beyond_first =
        |counts: HashMap<&Human, usize>| counts.values().map(|count| count.saturating_sub(1)).sum();
    Stats {
        contacts: records.contacts.len(),
        deals: records.deals.len(),
        tasks: records.tasks.len(),
        notes: records.notes.len(),
        calls_total: tally.calls.values().sum(),
        calls: tally.calls.clone(),
        rate_limited: tally.rate_limited,
        unauthorised: tally.unauthorised,
        duplicate_contacts: beyond_first(contacts_of),
        duplicate_deals: beyond_first(deals_of),
        wrongly_joined: humans.wrongly_joined,
        bot_calls_total: bots.total,
        bot_calls: bots.last.iter().cloned().collect(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Human {
    Labelled(String),
    /// Without a label: the oldest contact that shares a phone or email with it.
    Group(u64),
}

struct Humans {
    of_contact: Vec<(u64, Human)>,
    wrongly_joined: usize,
}

fn humans(records: &Records, truth: &Truth) -> Humans {
    let mut labels: HashMap<String, &str> = HashMap::new();
    for (label, values) in &truth.0 {
        for key in values.iter().flat_map(|value| keys(value)) {
            labels.insert(key, label);
        }
    }
    let mut groups = Groups::default();
    let mut humans = Humans { of_contact: Vec::new(), wrongly_joined: 0 };
    for contact in records.contacts.values() {
        let mut found: Vec<&str> = values(contact)
            .flat_map(|value| keys(&value))
            .filter_map(|key| labels.get(&key).copied())
            .collect();
        found.sort_unstable();
        found.dedup();
        humans.wrongly_joined += usize::from(found.len() > 1);
        let human = match found.first() {
            Some(label) => Human::Labelled((*label).to_owned()),
            None => Human::Group(groups.join(contact)),
        };
        humans.of_contact.push((contact.id, human));
    }
    for (_, human) in &mut humans.of_contact {
        if let Human::Group(id) = human {
            *id = groups.root(*id);
        }
    }
    humans
}

/// Contacts joined by equal phones or emails.
#[derive(Default)]
struct Groups {
    parent: HashMap<u64, u64>,
    first_with: HashMap<String, u64>,
}

impl Groups {
    fn join(&mut self, contact: &Contact) -> u64 {
        self.parent.insert(contact.id, contact.id);
        for key in contact.phones.iter().chain(&contact.emails).flat_map(|value| keys(value)) {
            let other = *self.first_with.entry(key).or_insert(contact.id);
            let (one, two) = (self.root(other), self.root(contact.id));
            self.parent.insert(one.max(two), one.min(two));
        }
        contact.id
    }

    fn root(&self, mut id: u64) -> u64 {
        while let Some(parent) = self.parent.get(&id).copied().filter(|parent| *parent != id) {
            id = parent;
        }
        id
    }
}

fn values(contact: &Contact) -> impl Iterator<Item = String> + '_ {
    let fields =
        contact.fields.values().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    contact.phones.iter().chain(&contact.emails).cloned().chain(fields)
}

/// By what two texts are the same value.
fn keys(text: &str) -> Vec<String> {
    let text = text.trim().to_lowercase();
    if text.is_empty() {
        return Vec::new();
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() >= PHONE_DIGITS && !text.chars().any(char::is_alphabetic) {
        return vec![digits];
    }
    vec![text]
}
