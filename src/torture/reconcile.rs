//! What was posted × what the registry holds × what the CRM holds → what was lost, doubled or mixed up.
//!
//! It trusts nobody: whose event it was is known from the posts, and every deal and task of the CRM names in its title
//! the event that made it. What leadfold says of its leads is only ever compared with that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::schedule::{Event, human_of_chat, phone};
use crate::id::LeadId;
use crate::sandbox::{Contact, Holdings};
use crate::store::fates::LeadFate;

/// Everything that is known at the end.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Every event that was posted, or tried.
    pub events: Vec<Event>,
    /// Times of those that were acknowledged at least once.
    pub acknowledged: BTreeSet<i64>,
    /// Every delivery of the registry.
    pub kept: Vec<Kept>,
    /// Everything in the CRM.
    pub holdings: Holdings,
    /// Whether the CRM finds nothing by its marker: then what may have been written is left to a person.
    pub blind: bool,
}

/// A delivery in the registry.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Time of its event; `None` for a body that nobody posted.
    pub at: Option<i64>,
    /// Where the delivery stands.
    pub state: String,
    /// What became of it; `None` for a redelivery, and while nobody has prepared it.
    pub lead: Option<LeadFate>,
}

/// How many there should be, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "said above")]
pub struct Count {
    pub expected: usize,
    pub found: usize,
}

macro_rules! harm {
    ($($(#[$doc:meta])+ $harm:ident = $name:literal),+ $(,)?) => {
        /// What kind of harm was done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Harm {$(
            $(#[$doc])+
            #[serde(rename = $name)]
            $harm,
        )+}

        impl Harm {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$harm),+];

            /// How often it was done is told under this name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$harm => $name),+
                }
            }
        }
    };
}

harm! {
    /// An acknowledged event is neither in the CRM, nor kept for want of a phone, nor left to a person because the CRM
    /// cannot say; or its human is nobody's contact.
    Lost = "lost",
    /// What an event told of its human is not on the contact.
    LostUpdate = "lost_updates",
    /// One event made two leads.
    DoubledLead = "doubled_leads",
    /// A human has a further contact.
    DoubledContact = "doubled_contacts",
    /// A human has a further open deal.
    DoubledDeal = "doubled_deals",
    /// An event made a further task, or a task beside its deal.
    DoubledTask = "doubled_tasks",
    /// A record of one human holds or stands on something of another.
    WronglyJoined = "wrongly_joined",
    /// Something that nobody posted.
    Unexpected = "unexpected",
}

/// Harm that was done, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its kind.
    pub harm: Harm,
    /// What is wrong, in a sentence.
    pub text: String,
    /// Leads that may tell how it came about.
    pub leads: Vec<LeadId>,
}

/// What came of it all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How often which harm was done; every kind is there.
    #[serde(flatten)]
    pub harm: BTreeMap<Harm, usize>,
    /// Humans who gave a phone: contacts.
    pub contacts: Count,
    /// The same humans: deals.
    pub deals: Count,
    /// Everything else that they sent.
    pub tasks: Count,
    /// Events without a phone, kept until their human gives one.
    pub kept_without_phone: usize,
    /// Leads of which a blind step may have happened, left to a person.
    pub left_to_a_person: usize,
    /// Leads that a person must look at, by why.
    pub needs_attention: BTreeMap<String, usize>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// Compares everything.
pub fn reconcile(facts: &Facts) -> Verdict {
    let mut reckoning = Reckoning::new(facts);
    reckoning.leads();
    reckoning.contacts();
    reckoning.events();
    reckoning.humans();
    let mut verdict = reckoning.verdict;
    for harm in Harm::ALL {
        let count = verdict.problems.iter().filter(|problem| problem.harm == *harm).count();
        verdict.harm.insert(*harm, count);
    }
    verdict.contacts.found = facts.holdings.contacts.len();
    verdict.deals.found = facts.holdings.deals.len();
    verdict.tasks.found = facts.holdings.tasks.len();
    verdict
}

/// A deal or a task of the CRM.
struct Record {
    kind: Made,
    id: u64,
    contact: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    Deal,
    Task,
}

/// The facts by what they are looked up by.
struct Reckoning<'a> {
    facts: &'a Facts,
    events: BTreeMap<i64, &'a Event>,
    leads: HashMap<i64, Vec<&'a LeadFate>>,
    deliveries: HashMap<i64, Vec<&'a str>>,
    made: HashMap<i64, Vec<Record>>,
    /// Whose a contact is, by the phones and chats on it.
    of_contact: HashMap<u64, BTreeSet<u64>>,
    contacts: HashMap<u64, &'a Contact>,
    verdict: Verdict,
}

impl<'a> Reckoning<'a> {
    fn new(facts: &'a Facts) -> Self {
        let events: BTreeMap<i64, &Event> = facts.events.iter().map(|event| (event.at, event)).collect();
        let mut leads: HashMap<i64, Vec<&LeadFate>> = HashMap::new();
        let mut deliveries: HashMap<i64, Vec<&str>> = HashMap::new();
        for kept in &facts.kept {
            let Some(at) = kept.at else { continue };
            deliveries.entry(at).or_default().push(&kept.state);
            leads.entry(at).or_default().extend(&kept.lead);
        }
        let contacts = facts.holdings.contacts.iter().map(|contact| (contact.id, contact)).collect();
        let (of_contact, made) = (HashMap::new(), HashMap::new());
        Self { facts, events, leads, deliveries, made, of_contact, contacts, verdict: Verdict::default() }
    }

    fn say(&mut self, harm: Harm, leads: Vec<LeadId>, text: String) {
        self.verdict.problems.push(Problem { harm, text, leads });
    }

    /// The leads of some events, for whoever wants to know how it came about.
    fn leads_of(&self, events: impl IntoIterator<Item = i64>) -> Vec<LeadId> {
        let leads = events.into_iter().filter_map(|at| self.leads.get(&at)).flatten();
        leads.map(|lead| lead.id).collect()
    }

    fn leads_of_human(&self, human: u64) -> Vec<LeadId> {
        self.leads_of(self.events.values().filter(|event| event.human == human).map(|event| event.at))
    }

    /// Leads that nobody posted, and those that need a person.
    fn leads(&mut self) {
        for kept in &self.facts.kept {
            let posted = kept.at.is_some_and(|at| self.events.contains_key(&at));
            let leads: Vec<LeadId> = kept.lead.iter().map(|lead| lead.id).collect();
            if !posted {
                self.say(
                    Harm::Unexpected,
                    leads,
                    "the registry keeps a request that nobody posted".to_owned(),
                );
            }
            let Some(lead) = kept.lead.as_ref().filter(|lead| lead.state == ATTENTION) else { continue };
            let cause = lead.cause.clone().unwrap_or_else(|| "no reason given".to_owned());
            *self.verdict.needs_attention.entry(cause).or_default() += 1;
        }
    }

    /// Whose every record is.
    fn contacts(&mut self) {
        let facts = self.facts;
        let posted: BTreeSet<u64> = facts.events.iter().map(|event| event.human).collect();
        let of_phone: HashMap<String, u64> = posted.iter().map(|human| (phone(*human), *human)).collect();
        for contact in &facts.holdings.contacts {
            let of_phones = contact.phones.iter().filter_map(|phone| of_phone.get(phone).copied());
            let chats = contact.fields.values().filter_map(serde_json::Value::as_str);
            let of_chats = chats.filter_map(human_of_chat).filter(|human| posted.contains(human));
            let humans: BTreeSet<u64> = of_phones.chain(of_chats).collect();
            let id = contact.id;
            match humans.len() {
                0 => {
                    self.say(
                        Harm::Unexpected,
                        Vec::new(),
                        format!("contact {id} is nobody's who was posted"),
                    );
                }
                1 => {}
                _ => {
                    let leads = humans.iter().flat_map(|human| self.leads_of_human(*human)).collect();
                    let text = format!("contact {id} holds phones or chats of humans {humans:?}");
                    self.say(Harm::WronglyJoined, leads, text);
                }
            }
            self.of_contact.insert(id, humans);
        }
        let deals =
            facts.holdings.deals.iter().map(|deal| (Made::Deal, deal.id, deal.contact_id, &deal.title));
        let tasks =
            facts.holdings.tasks.iter().map(|task| (Made::Task, task.id, task.contact_id, &task.title));
        for (kind, id, contact, title) in deals.chain(tasks) {
            let at = title.as_deref().and_then(event_of_title);
            let Some(event) = at.and_then(|at| self.events.get(&at).copied()) else {
                let what = kind.word();
                self.say(Harm::Unexpected, Vec::new(), format!("{what} {id} is of no event that was posted"));
                continue;
            };
            if !self.of_contact.get(&contact).is_some_and(|humans| humans.contains(&event.human)) {
                let (what, human) = (kind.word(), event.human);
                let text =
                    format!("{what} {id} of human {human} stands on contact {contact}, which is not theirs");
                self.say(Harm::WronglyJoined, self.leads_of([event.at]), text);
            }
            self.made.entry(event.at).or_default().push(Record { kind, id, contact });
        }
    }

    /// One acknowledged event, one lead, one deal or task.
    fn events(&mut self) {
        for event in self.events.values().copied().collect::<Vec<_>>() {
            let leads = self.leads.get(&event.at).cloned().unwrap_or_default();
            let made = self.made.remove(&event.at).unwrap_or_default();
            let ids: Vec<LeadId> = leads.iter().map(|lead| lead.id).collect();
            let name = format!("the event {} of human {}", event.at, event.human);
            if leads.len() > 1 {
                self.say(Harm::DoubledLead, ids.clone(), format!("{name} became {} leads", leads.len()));
            }
            let tasks = made.iter().filter(|record| record.kind == Made::Task).count();
            // A second deal of one event is a second deal of one human, and counted there.
            let further = (tasks + usize::from(tasks < made.len())).saturating_sub(1);
            for _ in 0..further.min(tasks) {
                let records: Vec<u64> = made.iter().map(|record| record.id).collect();
                self.say(Harm::DoubledTask, ids.clone(), format!("{name} made several records: {records:?}"));
            }
            let Some(lead) = leads.first() else {
                if self.facts.acknowledged.contains(&event.at) {
                    let deliveries = self.deliveries.get(&event.at).cloned().unwrap_or_default();
                    let kept = if deliveries.is_empty() {
                        "its delivery is not in the registry".to_owned()
                    } else {
                        format!(
                            "its delivery is in the registry ({}), and made no lead",
                            deliveries.join(", ")
                        )
                    };
                    self.say(Harm::Lost, ids, format!("{name} was acknowledged, and {kept}"));
                }
                continue;
            };
            self.brought(event, lead, &made, &name);
        }
    }

    /// What is in the registry must be in the CRM, or nobody could know whom to write to.
    fn brought(&mut self, event: &Event, lead: &LeadFate, made: &[Record], name: &str) {
        let ids = vec![lead.id];
        match lead.state.as_str() {
            "filtered" if event.phone.is_none() => {
                self.verdict.kept_without_phone += 1;
                if let Some(record) = made.first() {
                    let text = format!("{name} has no phone and was filtered, and made record {}", record.id);
                    self.say(Harm::Unexpected, ids, text);
                }
                return;
            }
            ATTENTION if self.facts.blind && lead.unsure => {
                self.verdict.left_to_a_person += 1;
                self.verdict.tasks.expected += made.len();
                return;
            }
            "synced" => {}
            state => {
                let why = lead.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
                self.say(Harm::Lost, ids, format!("{name} did not come to its end: it is {state}{why}"));
                return;
            }
        }
        self.verdict.tasks.expected += 1;
        let Some(record) = made.first() else {
            let text =
                format!("{name} is synced, as the registry says, and the CRM has no deal and no task of it");
            self.say(Harm::Lost, ids, text);
            return;
        };
        let field = format!("{}_chat", event.service);
        let told =
            self.contacts.get(&record.contact).and_then(|contact| contact.fields.get(&field)?.as_str());
        if told.and_then(human_of_chat) != Some(event.human) {
            let text = format!("{name} is in the CRM, but contact {} lacks its {field}", record.contact);
            self.say(Harm::LostUpdate, ids, text);
        }
    }

    /// One human, one contact, one open deal.
    fn humans(&mut self) {
        let mut contacts: HashMap<u64, Vec<u64>> = HashMap::new();
        for (contact, humans) in &self.of_contact {
            for human in humans {
                contacts.entry(*human).or_default().push(*contact);
            }
        }
        let mut deals: HashMap<u64, Vec<u64>> = HashMap::new();
        for deal in self.facts.holdings.deals.iter().filter(|deal| deal.open) {
            for human in self.of_contact.get(&deal.contact_id).into_iter().flatten() {
                deals.entry(*human).or_default().push(deal.id);
            }
        }
        let in_registry = |event: &&&Event| self.leads.get(&event.at).is_some_and(|leads| !leads.is_empty());
        let known = |event: &&&Event| self.facts.acknowledged.contains(&event.at) || in_registry(event);
        let with_phone: BTreeSet<u64> = self
            .events
            .values()
            .filter(|event| event.phone.is_some())
            .filter(known)
            .map(|event| event.human)
            .collect();
        let all: BTreeSet<u64> = with_phone.iter().chain(contacts.keys()).copied().collect();
        for human in all {
            let expected = with_phone.contains(&human);
            for (what, records, doubled) in [
                ("contact", contacts.get(&human), Harm::DoubledContact),
                ("deal", deals.get(&human), Harm::DoubledDeal),
            ] {
                let mut records = records.cloned().unwrap_or_default();
                records.sort_unstable();
                match records.len() {
                    0 if expected => {
                        let text = format!("human {human} gave a phone and has no {what}");
                        self.say(Harm::Lost, self.leads_of_human(human), text);
                    }
                    1 if !expected => {
                        let text = format!("human {human} never gave a phone and has {what} {records:?}");
                        self.say(Harm::Unexpected, self.leads_of_human(human), text);
                    }
                    0 | 1 => {}
                    several => {
                        let text = format!("human {human} has {several} {what}s: {records:?}");
                        for _ in 1..several {
                            self.say(doubled, self.leads_of_human(human), text.clone());
                        }
                    }
                }
            }
        }
        let verdict = &mut self.verdict;
        verdict.contacts.expected = with_phone.len();
        verdict.deals.expected = with_phone.len();
        verdict.tasks.expected = verdict.tasks.expected.saturating_sub(with_phone.len());
    }
}

const ATTENTION: &str = "needs-attention";

impl Made {
    fn word(self) -> &'static str {
        match self {
            Self::Deal => "deal",
            Self::Task => "task",
        }
    }
}

/// The time that a title ends with.
fn event_of_title(title: &str) -> Option<i64> {
    title.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests;
