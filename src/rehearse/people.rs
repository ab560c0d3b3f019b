//! Runs other identity rules over the leads of the registry and says who would be split and who would be one.
//!
//! All leads are told twice, in their order and in memory: under the rules that are active, and under the others. What
//! differs between the two is the rules' doing alone, also where retention has removed old leads, and where an earlier
//! leadfold decided. How far the registry itself is from the first telling is counted and said.
//!
//! Read in pages; what stays in memory is what is known of people and identifiers, twice, and 28 bytes a lead.
//! What CRMs know (whose deals, which records) is not asked: it only ever keeps two people apart.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use crate::id::{LeadId, PersonId};
use crate::normalise::NameKey;
use crate::resolve::{Decision, Difference, Language, Number, Part, Partition, Resolution, Who, number};
use crate::rules::IdentityRules;
use crate::store::partition::{Corrected, StoredEvidence};
use crate::store::{Store, StoreError};

/// Leads that are read at once.
const PAGE: usize = 5_000;
/// Leads of one group that are quoted as evidence.
const MOST_EVIDENCE: usize = 3;

/// What other rules would make of the people.
#[derive(Debug, Default, Serialize)]
pub struct PeopleRehearsal {
    /// Leads that were told.
    pub leads: usize,
    /// Identifiers in them, each once, that may join people.
    pub identifiers: usize,
    /// People whom somebody corrected by hand: they keep their leads under any rules.
    pub corrected: usize,
    /// Leads that the registry has with somebody else than the active rules would, if these leads came again.
    pub elsewhere: usize,
    /// People under the active rules.
    pub before: usize,
    /// People under the others.
    pub after: usize,
    /// People who would be several.
    pub split: usize,
    /// People who would be one with others.
    pub joined: usize,
    /// Leads that would be somebody else's.
    pub moved: usize,
    /// Groups of people whose leads would be divided in another way.
    pub changed: usize,
    /// The largest of them.
    pub groups: Vec<PeopleGroup>,
}

/// People whose leads would be divided in another way.
#[derive(Debug, Serialize)]
pub struct PeopleGroup {
    /// Who they are.
    pub before: Vec<PersonPart>,
    /// Who they would be.
    pub after: Vec<PersonPart>,
    /// Leads that would be somebody else's.
    pub moved: usize,
    /// The first leads that the two rules decide in another way.
    pub because: Vec<Evidence>,
}

/// One person, before or after.
#[derive(Debug, Serialize)]
pub struct PersonPart {
    /// Whose the first of the leads is in the registry.
    pub person: PersonId,
    /// How many leads.
    pub leads: usize,
    /// The first of them.
    pub first: LeadId,
}

/// A lead that the two rules decide in another way.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// The lead.
    pub lead: LeadId,
    /// When its event came.
    pub received_at: Timestamp,
    /// Why it is whose it is, under the active rules.
    pub before: Vec<String>,
    /// Under the others.
    pub after: Vec<String>,
}

/// Tells all leads under two rules. The groups with the most moved leads come first, at most `limit`; `progress` is told
/// how many leads are done.
pub async fn rehearse_people(
    store: &Store,
    active: &IdentityRules,
    others: &IdentityRules,
    limit: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<PeopleRehearsal, StoreError> {
    let mut telling = Telling::begin(active, others, &store.corrected_by_hand().await?);
    let last = store.last_sequence().await?;
    let mut after = 0;
    loop {
        let page = store.evidence(after, last, PAGE).await?;
        let Some(newest) = page.last() else { break };
        after = newest.sequence;
        for stored in &page {
            telling.tell(stored);
        }
        progress(telling.leads.len());
    }
    Ok(telling.finish(limit))
}

/// Two tellings that go on.
struct Telling {
    before: Side,
    after: Side,
    pinned: HashMap<PersonId, Number>,
    /// People of the registry by the order in which they come.
    registered: HashMap<PersonId, Number>,
    /// By place: the lead, and whose it is in the registry.
    leads: Vec<LeadId>,
    registry: Vec<Number>,
    /// By place: the leads that the two decide in another way.
    evidence: BTreeMap<usize, Evidence>,
}

/// A partition, and which person of the registry each of its people is shown as.
struct Side {
    partition: Partition,
    shown: Vec<PersonId>,
}

impl Side {
    fn begin(rules: &IdentityRules, corrected: &Corrected) -> (Self, HashMap<PersonId, Number>) {
        let mut partition = Partition::under(rules.clone());
        let mut pinned = HashMap::new();
        let mut shown = Vec::new();
        for (person, keys) in &corrected.people {
            pinned.insert(*person, partition.pin(keys.iter().cloned()));
            shown.push(*person);
        }
        for (one, other) in &corrected.apart {
            if let (Some(one), Some(other)) = (pinned.get(one), pinned.get(other)) {
                partition.keep_apart(*one, *other);
            }
        }
        (Self { partition, shown }, pinned)
    }

    fn add(&mut self, who: &Who<'_>, registered: PersonId) -> Resolution {
        let resolution = self.partition.add(who);
        if resolution.created {
            self.shown.push(registered);
        }
        resolution
    }

    /// Why and why not, naming people as the registry does.
    fn sentences(&self, decision: &Decision) -> Vec<String> {
        let name = |person: PersonId| {
            let place = usize::try_from(number(person)).unwrap_or(usize::MAX);
            self.shown.get(place).copied().unwrap_or(person).to_string()
        };
        decision.told(Language::English, &name).texts()
    }
}

impl Telling {
    fn begin(active: &IdentityRules, others: &IdentityRules, corrected: &Corrected) -> Self {
        let (before, pinned) = Side::begin(active, corrected);
        let (after, _) = Side::begin(others, corrected);
        Self {
            before,
            after,
            pinned,
            registered: HashMap::new(),
            leads: Vec::new(),
            registry: Vec::new(),
            evidence: BTreeMap::new(),
        }
    }

    fn tell(&mut self, stored: &StoredEvidence) {
        let StoredEvidence {
            lead,
            person,
            received_at,
            identifiers,
            name,
            adds_token,
            is_postback,
            sequence: _,
        } = stored;
        if *is_postback {
            return;
        }
        let name = name.as_deref().map(NameKey::of).unwrap_or_default();
        let who = Who { identifiers, name, at: *received_at, adds_token: *adds_token };
        if let Some(pinned) = self.pinned.get(person) {
            self.before.partition.add_pinned(&who, *pinned);
            self.after.partition.add_pinned(&who, *pinned);
        } else {
            let before = self.before.add(&who, *person);
            let after = self.after.add(&who, *person);
            if !alike(&before, &after) {
                let evidence = Evidence {
                    lead: *lead,
                    received_at: *received_at,
                    before: self.before.sentences(&before.decision),
                    after: self.after.sentences(&after.decision),
                };
                self.evidence.insert(self.leads.len(), evidence);
            }
        }
        let next = Number::try_from(self.registered.len()).unwrap_or(Number::MAX);
        self.registry.push(*self.registered.entry(*person).or_insert(next));
        self.leads.push(*lead);
    }

    fn finish(self, limit: usize) -> PeopleRehearsal {
        let identifiers = self.before.partition.known().keys.len();
        let (before, after) = (self.before.partition.finish(), self.after.partition.finish());
        let elsewhere = Difference::between(&self.registry, &before).moved;
        let difference = Difference::between(&before, &after);
        let people: HashMap<Number, PersonId> =
            self.registered.iter().map(|(person, number)| (*number, *person)).collect();
        let shown = |part: &Part| {
            let person = people.get(self.registry.get(part.first)?)?;
            Some(PersonPart { person: *person, leads: part.leads, first: *self.leads.get(part.first)? })
        };
        let mut because: HashMap<Number, Vec<Evidence>> = HashMap::new();
        for (place, evidence) in self.evidence {
            if let Some(person) = before.get(place) {
                because.entry(*person).or_default().push(evidence);
            }
        }
        let changed = difference.groups.len();
        let groups = difference.groups.into_iter().take(limit).map(|group| {
            let mut evidence: Vec<Evidence> =
                group.before.iter().filter_map(|part| because.remove(&part.person)).flatten().collect();
            evidence.sort_by_key(|evidence| evidence.received_at);
            evidence.truncate(MOST_EVIDENCE);
            PeopleGroup {
                before: group.before.iter().filter_map(shown).collect(),
                after: group.after.iter().filter_map(shown).collect(),
                moved: group.moved,
                because: evidence,
            }
        });
        PeopleRehearsal {
            leads: self.leads.len(),
            identifiers,
            corrected: self.pinned.len(),
            elsewhere,
            before: difference.before,
            after: difference.after,
            split: difference.split,
            joined: difference.joined,
            moved: difference.moved,
            changed,
            groups: groups.collect(),
        }
    }
}

/// Whether both decided the same for the same reasons, whoever the people are.
fn alike(one: &Resolution, other: &Resolution) -> bool {
    let findings = (&one.decision.findings, &other.decision.findings);
    one.created == other.created
        && one.decision.rule == other.decision.rule
        && findings.0.len() == findings.1.len()
        && findings.0.iter().zip(findings.1).all(|(one, other)| {
            one.kind == other.kind && one.shown == other.shown && one.outcome == other.outcome
        })
}
