//! Runs another version of the workspace over stored deliveries and says what would be different.
//!
//! Both versions go through the production stages, on the same events and in the same situation: what the registry knew of
//! the person when the lead came. Nothing is written and no CRM is asked, so a record that leadfold neither found nor made
//! is unknown here, and deals count as open. Whose lead it is stays as it was resolved then.
//!
//! Calls are rendered for both versions with what is known of the person now and what the CRM had then, and go nowhere.

mod calls;
mod compare;
mod past;
pub mod people;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::calls::{Known, called_for};
pub use self::compare::Difference;
use self::compare::{Outcome, Shape, differences, shape};
use self::past::Remembered;
use crate::crm;
use crate::decide::{Capabilities, Decision, PersonView, Situation};
use crate::event::{Event, preset};
use crate::id::{DeliveryId, LeadId};
use crate::lead::Lead;
use crate::map::Workspace;
use crate::pipeline::{Interpreted, Report, interpret_numbered, report};
use crate::rules::PoolState;
use crate::store::rehearsal::{Past, Selection, StoredDelivery, StoredEvent};
use crate::store::{Store, StoreError};
use crate::trial::imagine;

/// Deliveries that are read at once.
const PAGE: usize = 200;

/// What a rehearsal came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Rehearsal {
    /// Deliveries that were looked at.
    pub deliveries: usize,
    /// When the oldest and the newest of them came.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Those of them that could not be run, because retention had removed their bodies.
    pub emptied: usize,
    /// Events in them, without redeliveries.
    pub events: usize,
    /// Events that repeat another one and became nothing.
    pub redeliveries: usize,
    /// Events of which the two versions make the same.
    pub same: usize,
    /// Events of which they make something else.
    pub changed: usize,
    /// The changes, the most frequent first.
    pub groups: Vec<Group>,
}

/// Events that change in the same way.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RehearsedGroup")]
pub struct Group {
    /// The source they came to.
    pub source: String,
    /// How many.
    pub count: usize,
    /// Where they differ.
    pub differences: Vec<Shown>,
    /// What is new in the reasons of the example's plans.
    pub because: Vec<String>,
    /// The newest of them.
    pub example: Example,
}

/// A difference of a group.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// As in the example.
    #[serde(flatten)]
    pub difference: Difference,
    /// Whether it is the same for all of the group; else the values are the example's.
    pub same_for_all: bool,
}

/// One event that stands for its group.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// Its lead, when it has one.
    pub lead: Option<LeadId>,
    /// The delivery it came in.
    pub delivery: DeliveryId,
    /// When.
    pub received_at: Timestamp,
    /// Name and phone or email.
    pub who: String,
}

/// A rehearsal that goes on.
pub struct Rehearsing<'a> {
    store: &'a Store,
    old: &'a Workspace,
    new: &'a Workspace,
    destinations: BTreeMap<String, Destination>,
    groups: BTreeMap<(String, Shape), Group>,
    rehearsal: Rehearsal,
    /// The oldest delivery that was looked at.
    before: Option<DeliveryId>,
}

/// What both versions meet at a destination.
struct Destination {
    can: Capabilities,
    pools: BTreeMap<String, PoolState>,
}

impl<'a> Rehearsing<'a> {
    /// Begins.
    pub async fn begin(store: &'a Store, old: &'a Workspace, new: &'a Workspace) -> Result<Self, StoreError> {
        let mut destinations = BTreeMap::new();
        for (name, destination) in old.destinations.iter().chain(&new.destinations) {
            let can = crm::capabilities(destination);
            let pools = store.pools(name).await?.into_iter().collect();
            destinations.insert(name.clone(), Destination { can, pools });
        }
        let (groups, rehearsal, before) = (BTreeMap::new(), Rehearsal::default(), None);
        Ok(Self { store, old, new, destinations, groups, rehearsal, before })
    }

    /// Runs at most so many deliveries, the newest first. `progress` is told how many are done.
    pub async fn run(
        mut self,
        selection: &Selection,
        at_most: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Rehearsal, StoreError> {
        while self.page(selection, at_most).await? {
            progress(self.rehearsal.deliveries);
        }
        Ok(self.finish())
    }

    /// Runs the next page of at most so many deliveries in all, the newest first. Returns whether there was one.
    pub async fn page(&mut self, selection: &Selection, at_most: usize) -> Result<bool, StoreError> {
        let left = at_most.saturating_sub(self.rehearsal.deliveries);
        let page = self.store.stored_deliveries(selection, self.before, left.min(PAGE)).await?;
        let Some(last) = page.last() else { return Ok(false) };
        self.before = Some(last.delivery.id);
        for stored in &page {
            self.delivery(stored).await?;
        }
        Ok(true)
    }

    /// What it came to so far.
    pub fn finish(self) -> Rehearsal {
        let mut rehearsal = self.rehearsal;
        rehearsal.groups = self.groups.into_values().collect();
        rehearsal.groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        rehearsal
    }

    async fn delivery(&mut self, stored: &StoredDelivery) -> Result<(), StoreError> {
        let at = stored.delivery.received_at;
        self.rehearsal.deliveries += 1;
        let (oldest, newest) = self.rehearsal.span.unwrap_or((at, at));
        self.rehearsal.span = Some((oldest.min(at), newest.max(at)));
        if stored.emptied_at.is_some() {
            self.rehearsal.emptied += 1;
            return Ok(());
        }
        let (old, new) = (split(self.old, stored), split(self.new, stored));
        let count = old.len().max(new.len());
        for position in 0..count {
            let known = stored.events.iter().find(|event| event.position == position);
            if known.is_some_and(|event| event.is_redelivery) {
                self.rehearsal.redeliveries += 1;
                continue;
            }
            self.rehearsal.events += 1;
            let (old, new) = (old.get(position), new.get(position));
            self.event(stored, known, old, new).await?;
        }
        Ok(())
    }

    async fn event(
        &mut self,
        stored: &StoredDelivery,
        known: Option<&StoredEvent>,
        old: Option<&Split>,
        new: Option<&Split>,
    ) -> Result<(), StoreError> {
        let at = stored.delivery.received_at;
        let source = stored.delivery.source.clone();
        let ordinal = known.and_then(|event| event.ordinal);
        let old = came(self.old, &source, old, ordinal, at);
        let new = came(self.new, &source, new, ordinal, at);
        let (mut before, mut after) = (old.outcome(), new.outcome());
        let mut destinations: Vec<&String> =
            [&old, &new].into_iter().filter_map(Came::lead).flat_map(|(lead, _)| &lead.to).collect();
        let leads = [&old, &new].into_iter().filter_map(Came::lead);
        destinations.extend(leads.flat_map(|(lead, _)| lead.afterwards.iter().map(|call| &call.to)));
        destinations.sort();
        destinations.dedup();
        let lead = known.and_then(|event| event.lead);
        let mut known = None;
        for name in destinations {
            if [self.old, self.new].iter().any(|workspace| workspace.bots.contains_key(name)) {
                if known.is_none() {
                    known = Some(Known::of(self.store, lead).await?);
                }
                for (workspace, came, outcome) in
                    [(self.old, &old, &mut before), (self.new, &new, &mut after)]
                {
                    let called = came.lead().zip(known.as_ref());
                    if let Some(decision) = called.and_then(|((lead, branch), known)| {
                        called_for(workspace, lead, branch, name, known, at)
                    }) {
                        outcome.decided(name, &decision);
                    }
                }
                continue;
            }
            let past = match lead {
                Some((_, sequence, Some(person))) => self.store.past(person, name, sequence).await?,
                _ => Past::default(),
            };
            let Some(destination) = self.destinations.get(name) else { continue };
            for (workspace, came, outcome) in [(self.old, &old, &mut before), (self.new, &new, &mut after)] {
                if let Some(decision) = decide(workspace, came, name, destination, &past, at) {
                    outcome.decided(name, &decision);
                }
            }
        }
        let found = differences(&before, &after);
        if found.is_empty() {
            self.rehearsal.same += 1;
            return Ok(());
        }
        self.rehearsal.changed += 1;
        let because = after.because(&before, &found);
        let group = self.groups.entry((source.clone(), shape(&found))).or_insert_with(|| Group {
            source,
            count: 0,
            differences: found
                .iter()
                .map(|difference| Shown { difference: difference.clone(), same_for_all: true })
                .collect(),
            because,
            example: Example {
                lead: lead.map(|(id, _, _)| id),
                delivery: stored.delivery.id,
                received_at: at,
                who: new.lead().or_else(|| old.lead()).map(|(lead, _)| who(lead)).unwrap_or_default(),
            },
        });
        group.count += 1;
        for (shown, difference) in group.differences.iter_mut().zip(&found) {
            shown.same_for_all &= shown.difference == *difference;
        }
        Ok(())
    }
}

/// An event of a delivery, or why there is none.
type Split = Result<Event, (&'static str, String)>;

fn split(workspace: &Workspace, stored: &StoredDelivery) -> Vec<Split> {
    let delivery = &stored.delivery;
    let Some(source) = workspace.sources.get(&delivery.source) else {
        return vec![Err(("waits", format!("there is no source '{}'", delivery.source)))];
    };
    let Some(preset) = preset(&source.preset) else {
        return vec![Err(("waits", format!("source '{}' names no preset that exists", source.name)))];
    };
    match (preset.split)(delivery) {
        Ok(events) => events.into_iter().map(Ok).collect(),
        Err(unreadable) => vec![Err(("unreadable", unreadable.0))],
    }
}

/// What a version makes of an event.
enum Came {
    Interpreted(Box<Interpreted>),
    Nothing(&'static str, String),
}

impl Came {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Interpreted(came) => Outcome::of(came),
            Self::Nothing(word, why) => Outcome::nothing(word, why),
        }
    }

    fn lead(&self) -> Option<(&Lead, usize)> {
        match self {
            Self::Interpreted(came) => match &**came {
                Interpreted::Lead(lead, branch) => Some((lead, *branch)),
                Interpreted::Filtered(_) | Interpreted::NeedsAttention { .. } => None,
            },
            Self::Nothing(..) => None,
        }
    }
}

/// `ordinal` is that of a postback, once it is counted.
fn came(
    workspace: &Workspace,
    source: &str,
    event: Option<&Split>,
    ordinal: Option<u64>,
    at: Timestamp,
) -> Came {
    let event = match event {
        None => return Came::Nothing("no event", String::new()),
        Some(Err((word, why))) => return Came::Nothing(word, why.clone()),
        Some(Ok(event)) => event,
    };
    match workspace.sources.get(source).map(|source| (&source.mapping, source.paused)) {
        Some((Ok(_), true)) => Came::Nothing("waits", "the source is paused".to_owned()),
        Some((Ok(mapping), false)) => match (report(mapping, event, at), ordinal) {
            (Some(Report::Postback(..)), None) => Came::Nothing("waits", "it is not counted".to_owned()),
            (_, ordinal) => {
                Came::Interpreted(Box::new(interpret_numbered(mapping, event, ordinal.unwrap_or(1), at)))
            }
        },
        Some((Err(broken), _)) => Came::Nothing("waits", broken.to_string()),
        None => Came::Nothing("waits", format!("there is no source '{source}'")),
    }
}

/// What one version decides; `None` when its lead does not go there.
fn decide(
    workspace: &Workspace,
    came: &Came,
    name: &str,
    destination: &Destination,
    past: &Past,
    at: Timestamp,
) -> Option<Decision> {
    let (lead, branch) = came.lead().filter(|(lead, _)| lead.to.iter().any(|to| to == name))?;
    let rules = workspace.rules(&lead.source, branch)?;
    let remembered = Remembered::of(past);
    let person = if past.phones.is_empty() && past.emails.is_empty() {
        PersonView { earlier: past.kept.clone(), ..PersonView::of(lead) }
    } else {
        PersonView { phones: past.phones.clone(), emails: past.emails.clone(), earlier: past.kept.clone() }
    };
    let none = PoolState::default();
    let pool = lead.owners.as_ref().and_then(|name| workspace.owner_pools.get(name));
    let memory = lead.owners.as_ref().and_then(|pool| destination.pools.get(pool)).unwrap_or(&none);
    Some(imagine(&Situation {
        found: &remembered.contacts,
        linked: remembered.contacts.first().map(|contact| &contact.id),
        pool: pool.map(|pool| (pool, memory)),
        last_task_at: remembered.last_task_at,
        can: destination.can,
        ..Situation::new(lead, rules, &workspace.identity.order, &person, at)
    }))
}

fn who(lead: &Lead) -> String {
    let phone = lead.contact.phones.first().map(|phone| phone.e164.as_str());
    let reach = phone.or_else(|| lead.contact.emails.first().map(|email| email.address.as_str()));
    [lead.contact.name.as_deref(), reach].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
