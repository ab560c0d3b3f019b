//! The statements behind [`Store::replan`](super::Store::replan): what the active mapping makes of leads that stand still.
//!
//! The order of locks is that of everybody: identifiers, then people, then syncs ([`super::merges`]). So whether a lead
//! stands still is only certain once its people are known. All of them are looked at before any lock; then everything is
//! done as if that still held, and when it does not for one of them, all is undone and done again without it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::afterwards::ToCome;
use super::chats::Chats;
use super::erase::IS_ERASED;
use super::facts::Remembered;
use super::names::{forget_names, store_names};
use super::people::People;
use super::prepare::EventOutcome;
use super::replay::{How, Item, LeftAlone, Remapped, SNAGS, snag};
use super::replay_work::{Anew, FREE, decide_anew};
use super::sql::{Arg, Connection, Row, args, json, list};
use super::start_tokens::redeem;
use super::{StoreError, Work};
use crate::clock::Clock;
use crate::id::{LeadId, PersonId, SyncId};
use crate::lead::Lead;
use crate::plan::Reason;
use crate::resolve::{Resolution, Who};
use crate::rules::IdentityRules;

/// States that a plan may be dropped in.
const REPLANNED: &[&str] = &["ready", "waiting", "held", "needs-attention", "filtered", "synced"];

pub(super) struct ReplanLeads {
    pub(super) leads: Vec<Remapped>,
    pub(super) rules: IdentityRules,
    /// Destinations that write nothing.
    pub(super) observing: BTreeSet<String>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Work for ReplanLeads {
    type Output = Vec<Result<(), LeftAlone>>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let mut left: BTreeMap<LeadId, LeftAlone> = BTreeMap::new();
            for lead in &self.leads {
                if let Err(why) = self.verdict(lead, &known(connection, lead).await?) {
                    left.insert(lead.lead, why);
                }
            }
            loop {
                connection.begin_part().await?;
                let Some((lead, why)) = self.replan_without(connection, &left).await? else { break };
                connection.end_part(false).await?;
                left.insert(lead, why);
            }
            connection.end_part(true).await?;
            let end = |lead: &Remapped| match (left.get(&lead.lead), &lead.outcome) {
                (Some(why), _) => Err(*why),
                (None, EventOutcome::NeedsAttention(_)) => Err(LeftAlone::MappingFails),
                (None, EventOutcome::Lead { .. } | EventOutcome::Filtered(_)) => Ok(()),
            };
            Ok(self.leads.iter().map(end).collect())
        })
    }
}

/// A sync of a lead that is planned again.
struct Known {
    item: Item,
    brought: bool,
}

/// What a mapping made of a lead, and whose it is by that.
struct Resolved<'a> {
    lead: &'a Lead,
    branch: usize,
    to: &'a [(SyncId, String)],
    to_come: Option<&'a ToCome>,
    sequence: i64,
    received_at: Timestamp,
    resolution: Resolution,
    /// It was somebody else's.
    moved: bool,
}

impl ReplanLeads {
    /// Plans all again but these; gives the first that cannot be, and why. Then what was done is to be undone.
    async fn replan_without(
        &self,
        connection: &mut Connection,
        left: &BTreeMap<LeadId, LeftAlone>,
    ) -> Result<Option<(LeadId, LeftAlone)>, StoreError> {
        let now = self.clock.now();
        let leads: Vec<&Remapped> = self.leads.iter().filter(|lead| !left.contains_key(&lead.lead)).collect();
        let before = before(connection, &leads).await?;
        if let Some(gone) = leads.iter().find(|lead| !before.contains_key(&lead.lead)) {
            return Ok(Some((gone.lead, LeftAlone::Done)));
        }
        if let Some((erased, _)) = before.iter().find(|(_, before)| before.erased) {
            return Ok(Some((*erased, LeftAlone::Erased)));
        }
        let mapped = leads
            .iter()
            .filter_map(|lead| Some((lead.lead, lead.mapped()?, before.get(&lead.lead)?.received_at)));
        let redeemed = redeem(connection, mapped).await?;
        let mapped = redeemed.values().map(AsRef::as_ref);
        let holders = leads.iter().filter_map(|lead| lead.holder);
        let people: Vec<PersonId> =
            before.values().filter_map(|before| before.person).chain(holders).collect();
        let mut people = People::load(connection, mapped, people, &self.rules, now.as_millisecond()).await?;
        let mut resolved: HashMap<LeadId, Resolved<'_>> = HashMap::new();
        for lead in &leads {
            let EventOutcome::Lead { lead: mapped, branch, syncs: to, to_come } = &lead.outcome else {
                continue;
            };
            let Some(before) = before.get(&lead.lead) else { continue };
            let mapped = redeemed.get(&lead.lead).map_or(&**mapped, AsRef::as_ref);
            let resolution = if let (Some(holder), Some(postback)) = (lead.holder, &mapped.postback) {
                Resolution::by_click(&postback.click, people.present(holder))
            } else {
                let who = Who::of(mapped, before.received_at);
                let resolution = people.resolve(&who, lead.fresh_person);
                people.learn(lead.lead, mapped, &who, &resolution);
                resolution
            };
            // After that: who became one by this very lead is nobody else.
            let moved = before.person.is_some_and(|person| people.present(person) != resolution.person);
            let (branch, sequence, received_at) = (*branch, before.sequence, before.received_at);
            let to_come = to_come.as_ref();
            let now =
                Resolved { lead: mapped, branch, to, to_come, sequence, received_at, resolution, moved };
            resolved.insert(lead.lead, now);
        }
        let ids: Vec<LeadId> = leads.iter().map(|lead| lead.lead).collect();
        people.store(connection, &ids).await?;
        let (mut chats, mut remembered) = (Chats::default(), Remembered::default());
        for resolved in leads.iter().filter_map(|lead| resolved.get(&lead.lead)) {
            let Resolved { lead, resolution, sequence, received_at, .. } = resolved;
            chats.know(lead, *received_at);
            remembered.add(lead, resolution.person, *received_at, *sequence)?;
        }
        chats.store(connection).await?;
        remembered.store_clicks(connection).await?;
        remembered.store_fields(connection, 0).await?;
        for lead in leads {
            let syncs = known(connection, lead).await?;
            let planned = match self.verdict(lead, &syncs) {
                Ok(()) => match (&lead.outcome, resolved.get(&lead.lead)) {
                    (_, Some(resolved)) => store_lead(connection, lead, resolved, &syncs, now).await?,
                    (EventOutcome::Filtered(why), None) => filter(connection, lead, &syncs, why, now).await?,
                    (EventOutcome::NeedsAttention(why), None) if syncs.is_empty() => {
                        end(connection, lead, "needs-attention", why).await?
                    }
                    (EventOutcome::NeedsAttention(_) | EventOutcome::Lead { .. }, None) => Ok(()),
                },
                Err(why) => Err(why),
            };
            if let Err(why) = planned {
                return Ok(Some((lead.lead, why)));
            }
        }
        people.merge(connection, &*self.clock).await?;
        Ok(None)
    }

    /// The lead itself changes, so none of its syncs may be on its way with what it was.
    fn verdict(&self, lead: &Remapped, syncs: &[Known]) -> Result<(), LeftAlone> {
        for known in syncs {
            let meant = known.item.sync.is_some_and(|sync| lead.syncs.contains(&sync));
            let observes = known.item.destination.as_ref().is_some_and(|name| self.observing.contains(name));
            match known.item.verdict(How::Replan, observes) {
                Err(LeftAlone::UnderWay) => return Err(LeftAlone::UnderWay),
                Err(left) if meant => return Err(left),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Remapped {
    /// The lead that the mapping made of it.
    fn mapped(&self) -> Option<&Lead> {
        match &self.outcome {
            EventOutcome::Lead { lead, .. } => Some(lead),
            EventOutcome::Filtered(_) | EventOutcome::NeedsAttention(_) => None,
        }
    }
}

/// What is known of a lead before it is mapped again.
struct Before {
    /// Whose it was.
    person: Option<PersonId>,
    /// Its place in the order of all leads.
    sequence: i64,
    received_at: Timestamp,
    /// Everything personal of it is gone.
    erased: bool,
}

async fn before(
    connection: &mut Connection,
    leads: &[&Remapped],
) -> Result<HashMap<LeadId, Before>, StoreError> {
    if leads.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT id, person, sequence, received_at, CAST(CASE WHEN {IS_ERASED} THEN 1 ELSE 0 END AS BIGINT) \
         FROM leads WHERE id IN ({})",
        list(1, leads.len())
    );
    let rows = connection.fetch(&sql, leads.iter().map(|lead| Arg::from(lead.lead)).collect()).await?;
    let before = |row: &Row| {
        let before = Before {
            person: row.optional_id(1)?,
            sequence: row.int(2)?,
            received_at: row.timestamp(3)?,
            erased: row.int(4)? == 1,
        };
        Ok((row.id(0)?, before))
    };
    rows.iter().map(before).collect()
}

/// Stores what the mapping made of a lead, and has its syncs decided anew.
async fn store_lead(
    connection: &mut Connection,
    lead: &Remapped,
    resolved: &Resolved<'_>,
    syncs: &[Known],
    now: Timestamp,
) -> Result<Result<(), LeftAlone>, StoreError> {
    let millis = now.as_millisecond();
    let Resolved { lead: mapped, branch, to, to_come, sequence, resolution, moved, .. } = resolved;
    if *moved && syncs.iter().any(|known| known.brought) {
        return Ok(Err(LeftAlone::SomebodyElses));
    }
    let there = connection
        .execute(
            &format!(
                "UPDATE leads SET version = $2, branch = $3, person = $4, state = 'mapped', why = NULL, lead = $5, \
                 conflicts = '[]', decision = $6, afterwards = $7 WHERE id = $1 AND NOT {IS_ERASED}"
            ),
            args![
                lead.lead,
                lead.version.as_str(),
                i64::try_from(*branch).unwrap_or(i64::MAX),
                resolution.person,
                json(mapped)?,
                json(&resolution.decision)?,
                to_come.map(|to_come| json(&still_to_come(to_come, syncs))).transpose()?,
            ],
        )
        .await?;
    if there == 0 {
        // Retention or an erasure was faster.
        return Ok(Err(LeftAlone::Emptied));
    }
    forget_names(connection, &[lead.lead.into()]).await?;
    store_names(connection, mapped.contact.name.as_deref().map(|name| (*sequence, name)).into_iter()).await?;
    if *moved {
        connection
            .execute("UPDATE syncs SET person = $2 WHERE lead = $1", args![lead.lead, resolution.person])
            .await?;
    }
    let why =
        Reason::new("replayed", format!("Mapped and planned again on {now} by version {}.", lead.version));
    let destinations: BTreeMap<&str, &Known> =
        syncs.iter().filter_map(|known| Some((known.item.destination.as_deref()?, known))).collect();
    let mut fresh = Vec::new();
    for (id, destination) in *to {
        match destinations.get(destination.as_str()).and_then(|known| known.item.sync) {
            Some(sync) if lead.syncs.contains(&sync) => {
                let anew =
                    Anew { sync, from: REPLANNED, force: false, let_through: false, why: &why, now: millis };
                decide_anew(connection, &anew).await?;
            }
            Some(_) => {}
            None => fresh.push(args![
                *id,
                lead.lead,
                destination.as_str(),
                resolution.person,
                *sequence,
                1,
                "ready",
                millis,
                millis
            ]),
        }
    }
    connection
        .insert_rows(
            "syncs (id, lead, destination, person, sequence, priority, state, next_at, updated_at)",
            fresh,
            "",
        )
        .await?;
    let gone = |known: &&Known| {
        let coming =
            |name: &String| to_come.is_some_and(|to_come| to_come.calls.iter().any(|call| call.to == *name));
        known
            .item
            .destination
            .as_ref()
            .is_some_and(|name| to.iter().all(|(_, to)| to != name) && !coming(name))
    };
    for known in syncs.iter().filter(gone) {
        let why = Reason::new("not_sent_there", "The active mapping does not send this lead there any more.");
        drop_sync(connection, lead, known, &why, now).await?;
    }
    Ok(Ok(()))
}

/// A bot that has a sync for this lead is not called by a second one.
fn still_to_come(to_come: &ToCome, syncs: &[Known]) -> ToCome {
    let mut to_come = to_come.clone();
    for call in &mut to_come.calls {
        let known = syncs.iter().find(|known| known.item.destination.as_ref() == Some(&call.to));
        call.sync = known.and_then(|known| known.item.sync).unwrap_or(call.sync);
    }
    to_come
}

/// The active mapping wants nothing of it: what is not in the CRM yet ends.
async fn filter(
    connection: &mut Connection,
    lead: &Remapped,
    syncs: &[Known],
    why: &Reason,
    now: Timestamp,
) -> Result<Result<(), LeftAlone>, StoreError> {
    if syncs.is_empty() {
        return end(connection, lead, "filtered", why).await;
    }
    for known in syncs {
        drop_sync(connection, lead, known, why, now).await?;
    }
    Ok(Ok(()))
}

/// Ends a lead that has nothing to sync.
async fn end(
    connection: &mut Connection,
    lead: &Remapped,
    state: &str,
    why: &Reason,
) -> Result<Result<(), LeftAlone>, StoreError> {
    connection
        .execute(
            &format!("UPDATE leads SET state = $2, why = $3, version = $4 WHERE id = $1 AND NOT {IS_ERASED}"),
            args![lead.lead, state, json(why)?, lead.version.as_str()],
        )
        .await?;
    Ok(Ok(()))
}

/// Ends a meant sync that is not in the CRM, because the active mapping does not want it there.
async fn drop_sync(
    connection: &mut Connection,
    lead: &Remapped,
    known: &Known,
    why: &Reason,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(sync) = known.item.sync.filter(|sync| lead.syncs.contains(sync)) else { return Ok(()) };
    let sql = format!(
        "UPDATE syncs SET state = 'filtered', why = $2, updated_at = $3, claimed = 0 WHERE id = $1 \
         AND state IN ('ready', 'waiting', 'held', 'needs-attention', 'filtered') AND {FREE}"
    );
    if connection.execute(&sql, args![sync, json(why)?, now.as_millisecond()]).await? > 0 {
        connection.execute("DELETE FROM steps WHERE sync = $1 AND state = 'planned'", args![sync]).await?;
    }
    Ok(())
}

/// The syncs of a lead as they are now.
async fn known(connection: &mut Connection, lead: &Remapped) -> Result<Vec<Known>, StoreError> {
    let sql = format!(
        "SELECT id, destination, state, {SNAGS}, brought, \
         (SELECT COUNT(*) FROM steps WHERE steps.sync = syncs.id AND steps.state = 'done') \
         FROM syncs WHERE lead = $1 ORDER BY id"
    );
    let rows = connection.fetch(&sql, args![lead.lead]).await?;
    rows.iter()
        .map(|row| {
            let state = row.text(2)?;
            let brought = state == "synced" || row.int(7)? > 0 || row.int(8)? > 0;
            let item = Item {
                lead: lead.lead,
                source: String::new(),
                sync: Some(row.id(0)?),
                destination: Some(row.text(1)?),
                state,
                why: None,
                snag: snag(row, 3)?,
                has_deal: false,
            };
            Ok(Known { item, brought })
        })
        .collect()
}
