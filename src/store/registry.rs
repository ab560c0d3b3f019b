//! Looking at the registry: counts, the newest leads, one lead with its whole timeline, and finding leads by what a
//! person types.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::afterwards::{CallToCome, ToCome};
use super::audits::AuditDetail;
use super::faces::{Faces, faces};
use super::sql::{Arg, Row, args, list};
use super::syncs::{OPEN, SyncState};
use super::{Store, StoreError};
use crate::id::LeadId;
use crate::lead::IdentifierKind;
use crate::plan::Reason;
use crate::resolve::{Decision, Language, Sentence, Told};

/// How much there is of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests kept.
    pub deliveries: i64,
    /// Requests that could not be read.
    pub unreadable: i64,
    /// Requests that wait for their mapping.
    pub waiting_deliveries: i64,
    /// Requests that nobody has prepared yet.
    pub received: i64,
    /// Events that were seen before.
    pub redeliveries: i64,
    /// Events that were not.
    pub leads: i64,
    /// Leads and syncs that a rule ended.
    pub filtered: i64,
    /// Leads and syncs that a person must look at.
    pub needs_attention: i64,
    /// Syncs that are done.
    pub synced: i64,
    /// Syncs that somebody looks at again by itself.
    pub open: i64,
    /// Syncs that were decided while their destination only observed, and wait for a person's answer.
    pub held: i64,
}

/// A lead in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeadRow {
    /// Ours.
    pub id: LeadId,
    /// Order of arrival in the registry; also the place to go on from.
    pub sequence: i64,
    /// Where it came from.
    pub source: String,
    /// When.
    pub received_at: Timestamp,
    /// Where it stands: the state of its sync, or of the lead itself where it has none.
    pub state: String,
    /// Why it stands there.
    pub why: Option<Value>,
    /// The person it is from.
    pub person: Option<String>,
    /// The contact's name, phone and email as mapped.
    pub contact: Option<Value>,
}

/// A lead and everything that happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LeadDetail {
    /// The row as in a list.
    #[serde(flatten)]
    pub row: LeadRow,
    /// Version of the workspace that made it.
    pub version: String,
    /// The delivery it came in: id, method, query, headers, when, and its body as text; or when retention removed query,
    /// headers and body.
    pub delivery: Value,
    /// Later deliveries of the same event.
    pub redeliveries: Vec<Value>,
    /// The mapped, normalised lead.
    pub lead: Option<Value>,
    /// Why it is this person's, and why nobody else's.
    pub decision: Option<Told>,
    /// One per destination, with reasons and steps.
    pub syncs: Vec<SyncDetail>,
    /// Calls that wait for a CRM, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls_to_come: Vec<CallToCome>,
}

/// One sync with its reasons and steps.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SyncDetail {
    /// Ours.
    pub id: String,
    /// Where it goes.
    pub destination: String,
    /// Where it stands.
    pub state: String,
    /// Why.
    pub why: Option<Value>,
    /// When somebody looks again, for a state that is not final.
    pub next_at: Option<Timestamp>,
    /// Failed tries since the last progress.
    pub attempts: i64,
    /// Why the plan is what it is.
    pub reasons: Option<Value>,
    /// When it was decided.
    pub planned_at: Option<Timestamp>,
    /// The steps in order.
    pub steps: Vec<StepDetail>,
    /// Of steps that were sent again because a look-up had not found them.
    pub audits: Vec<AuditDetail>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StepDetail {
    /// Ours; the marker in the CRM record.
    pub id: String,
    /// Such as `create contact`.
    pub kind: String,
    /// What was written.
    pub action: Value,
    /// Where it stands.
    pub state: String,
    /// The record it made or changed.
    pub record: Option<String>,
    /// When it was sent last.
    pub sent_at: Option<Timestamp>,
    /// When its outcome was stored.
    pub ended_at: Option<Timestamp>,
    /// What the CRM said.
    pub why: Option<String>,
    /// Of a plan before the last replay.
    pub past: bool,
}

/// A lead has one sync per destination; the one that stands for it is the one that most needs somebody to look.
pub(super) const WITH_SYNC: &str = "leads LEFT JOIN syncs ON syncs.id = (SELECT s.id FROM syncs s WHERE s.lead = leads.id \
    ORDER BY CASE s.state WHEN 'needs-attention' THEN 0 WHEN 'synced' THEN 2 WHEN 'filtered' THEN 3 ELSE 1 END, s.id \
    LIMIT 1)";

pub(super) const LEAD_COLUMNS: &str = "leads.id, leads.sequence, leads.source, leads.received_at, \
    COALESCE(syncs.state, leads.state), COALESCE(syncs.why, leads.why), leads.person, leads.lead";

/// The statement that reads a page of leads.
pub(super) fn newest_leads() -> String {
    format!(
        "SELECT {LEAD_COLUMNS} FROM {WITH_SYNC} WHERE leads.sequence < $1 ORDER BY leads.sequence DESC LIMIT $2"
    )
}

/// The statement that finds leads by so many values.
pub(super) fn leads_of(values: usize) -> String {
    format!(
        "{} SELECT {LEAD_COLUMNS} FROM {WITH_SYNC} WHERE leads.person IN ({}) ORDER BY leads.sequence DESC LIMIT ${}",
        places(),
        owners(values),
        values + 1
    )
}

/// Where values stand, for [`owners`]. Where a value was scoped (by which bot, in which CRM) is not asked of whoever looks
/// for it: the few scopes that there are come from the key itself, one seek each.
pub(super) fn places() -> String {
    let kinds: Vec<String> =
        IdentifierKind::ALL.into_iter().map(|kind| format!("('{}')", kind.as_str())).collect();
    format!(
        "WITH RECURSIVE place (kind, scope) AS ( \
           SELECT kinds.column1, (SELECT MIN(i.scope) FROM identifiers i WHERE i.kind = kinds.column1) \
             FROM (VALUES {}) AS kinds \
           UNION ALL SELECT place.kind, (SELECT MIN(i.scope) FROM identifiers i \
             WHERE i.kind = place.kind AND i.scope > place.scope) FROM place WHERE place.scope IS NOT NULL)",
        kinds.join(",")
    )
}

/// Selects who has one of the first so many values.
pub(super) fn owners(values: usize) -> String {
    // CROSS JOIN, because SQLite may otherwise go through all identifiers and look each up among the scopes.
    format!(
        "SELECT identifiers.person FROM place CROSS JOIN identifiers WHERE identifiers.kind = place.kind \
           AND identifiers.scope = place.scope AND identifiers.value IN ({0}) \
         UNION SELECT person FROM identifiers WHERE kind = 'phone' AND shown <> value AND shown IN ({0})",
        list(1, values)
    )
}

impl Store {
    /// Counts everything. Walks the tables: for the demo, the tests and the command line, not for every request.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM deliveries), \
             (SELECT COUNT(*) FROM deliveries WHERE state = 'unreadable'), \
             (SELECT COUNT(*) FROM deliveries WHERE state = 'waiting'), \
             (SELECT COUNT(*) FROM deliveries WHERE state = 'received'), \
             (SELECT COUNT(*) FROM events WHERE redelivery_of IS NOT NULL), \
             (SELECT COUNT(*) FROM leads), \
             (SELECT COUNT(*) FROM leads WHERE state = 'filtered') + (SELECT COUNT(*) FROM syncs WHERE state = 'filtered'), \
             (SELECT COUNT(*) FROM leads WHERE state = 'needs-attention') \
               + (SELECT COUNT(*) FROM syncs WHERE state = 'needs-attention'), \
             (SELECT COUNT(*) FROM syncs WHERE state = 'synced'), \
             (SELECT COUNT(*) FROM syncs WHERE {OPEN}), \
             (SELECT COUNT(*) FROM syncs WHERE state = 'held')"
        );
        let rows = self.read(&sql, args![]).await?;
        let row = rows.first().ok_or_else(|| StoreError::damaged("no counts"))?;
        Ok(Counts {
            deliveries: row.int(0)?,
            unreadable: row.int(1)?,
            waiting_deliveries: row.int(2)?,
            received: row.int(3)?,
            redeliveries: row.int(4)?,
            leads: row.int(5)?,
            filtered: row.int(6)?,
            needs_attention: row.int(7)?,
            synced: row.int(8)?,
            open: row.int(9)?,
            held: row.int(10)?,
        })
    }

    /// Whether everything that was acknowledged has come to an end (what is held or waits for a mapping counts as ended).
    pub async fn is_quiet(&self) -> Result<bool, StoreError> {
        let rows = self
            .read(
                &format!(
                    "SELECT 1 FROM deliveries WHERE state = 'received' \
                     UNION ALL SELECT 1 FROM postbacks WHERE state = 'arrived' \
                     UNION ALL SELECT 1 FROM syncs WHERE {OPEN} LIMIT 1"
                ),
                args![],
            )
            .await?;
        Ok(rows.is_empty())
    }

    /// The newest leads before a place in the sequence, newest first.
    pub async fn leads(&self, before: Option<i64>, limit: i64) -> Result<Vec<LeadRow>, StoreError> {
        let rows = self.read(&newest_leads(), args![before.unwrap_or(i64::MAX), limit]).await?;
        rows.iter().map(lead_row).collect()
    }

    /// Leads of the people who have one of these identifier values (a chat's id is one), newest first.
    pub async fn leads_of(&self, values: &[String], limit: i64) -> Result<Vec<LeadRow>, StoreError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments: Vec<Arg> = values.iter().map(|value| Arg::from(value.as_str())).collect();
        arguments.push(limit.into());
        let rows = self.read(&leads_of(values.len()), arguments).await?;
        rows.iter().map(lead_row).collect()
    }

    /// One lead with its timeline, in English; `None` when there is none with this id.
    pub async fn lead(&self, id: LeadId) -> Result<Option<LeadDetail>, StoreError> {
        self.lead_in(id, Language::English).await
    }

    /// The same, and why it is whose it is in this language.
    pub async fn lead_in(&self, id: LeadId, language: Language) -> Result<Option<LeadDetail>, StoreError> {
        let rows = self
            .read(
                &format!(
                    "SELECT {LEAD_COLUMNS}, leads.version, leads.conflicts, leads.event, leads.decision, leads.afterwards \
                     FROM {WITH_SYNC} WHERE leads.id = $1"
                ),
                args![id],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let event = row.text(10)?;
        let deliveries = self
            .read(
                "SELECT deliveries.id, deliveries.method, deliveries.query, deliveries.headers, deliveries.body, \
                 deliveries.received_at, events.id, deliveries.emptied_at FROM events JOIN deliveries ON deliveries.id = events.delivery \
                 WHERE events.id = $1 OR events.redelivery_of = $1 ORDER BY events.id",
                args![event.as_str()],
            )
            .await?;
        let mut delivery = Value::Null;
        let mut redeliveries = Vec::new();
        for row in &deliveries {
            if row.text(6)? == event {
                delivery = delivery_json(row)?;
            } else {
                redeliveries.push(serde_json::json!({
                    "id": row.text(0)?,
                    "received_at": row.timestamp(5)?,
                }));
            }
        }
        let syncs = self.sync_details(id).await?;
        let calls_to_come = match row.optional_json::<ToCome>(12)? {
            None => Vec::new(),
            Some(to_come) => {
                let ids: Vec<String> = syncs.iter().map(|sync| sync.id.clone()).collect();
                let states = syncs.iter().map(|sync| (sync.destination.clone(), sync.state.clone()));
                to_come.waiting(&ids, &states.collect())
            }
        };
        Ok(Some(LeadDetail {
            row: lead_row(row)?,
            version: row.text(8)?,
            delivery,
            redeliveries,
            lead: row.optional_json(7)?,
            decision: self.decision(row, language).await?,
            syncs,
            calls_to_come,
        }))
    }

    /// Why a lead is whose it is, from its row. Leads of before decisions were written down say what disagreed.
    async fn decision(&self, row: &Row, language: Language) -> Result<Option<Told>, StoreError> {
        let Some(decision) = row.optional_json::<Decision>(11)? else {
            let conflicts: Vec<Reason> = row.json(9)?;
            let why_not: Vec<Sentence> = conflicts.into_iter().map(Sentence::from).collect();
            return Ok((!why_not.is_empty()).then(|| Told { why_not, ..Told::default() }));
        };
        self.tell(&decision, language).await.map(Some)
    }

    /// A decision in sentences that name people as one recognises them.
    pub(super) async fn tell(&self, decision: &Decision, language: Language) -> Result<Told, StoreError> {
        let people: Vec<Arg> = decision.people().into_iter().map(Arg::from).collect();
        let rows = if people.is_empty() { vec![] } else { self.read(&faces(people.len()), people).await? };
        let faces = Faces::read(&rows)?;
        Ok(decision.told(language, &|person| faces.of(person)))
    }

    async fn sync_details(&self, lead: LeadId) -> Result<Vec<SyncDetail>, StoreError> {
        let rows = self
            .read(
                "SELECT id, destination, state, why, next_at, attempts, reasons, planned_at FROM syncs \
                 WHERE lead = $1 ORDER BY destination",
                args![lead],
            )
            .await?;
        let mut syncs = Vec::new();
        for row in &rows {
            let id = row.text(0)?;
            let state = row.text(2)?;
            let open = SyncState::parse(&state).is_some_and(SyncState::is_open);
            let steps = self
                .read(
                    "SELECT id, kind, action, state, record, sent_at, ended_at, why, past FROM steps \
                     WHERE sync = $1 ORDER BY past DESC, id",
                    args![id.as_str()],
                )
                .await?;
            syncs.push(SyncDetail {
                destination: row.text(1)?,
                state,
                why: row.optional_json(3)?,
                next_at: if open { Some(row.timestamp(4)?) } else { None },
                attempts: row.int(5)?,
                reasons: row.optional_json(6)?,
                planned_at: row.optional_timestamp(7)?,
                steps: steps.iter().map(step_detail).collect::<Result<_, _>>()?,
                audits: self.audits(&id).await?,
                id,
            });
        }
        Ok(syncs)
    }
}

/// A lead of a list from its [`LEAD_COLUMNS`].
pub(super) fn lead_row(row: &Row) -> Result<LeadRow, StoreError> {
    let contact = row.optional_json(7)?.and_then(|lead: Value| {
        let contact = lead.get("contact")?;
        Some(serde_json::json!({
            "name": contact.get("name"),
            "phone": contact.pointer("/phones/0/e164"),
            "email": contact.pointer("/emails/0/address"),
        }))
    });
    Ok(LeadRow {
        id: row.id(0)?,
        sequence: row.int(1)?,
        source: row.text(2)?,
        received_at: row.timestamp(3)?,
        state: row.text(4)?,
        why: row.optional_json(5)?,
        person: row.optional_text(6)?,
        contact,
    })
}

fn delivery_json(row: &Row) -> Result<Value, StoreError> {
    if let Some(at) = row.optional_timestamp(7)? {
        return Ok(serde_json::json!({
            "id": row.text(0)?,
            "method": row.text(1)?,
            "received_at": row.timestamp(5)?,
            "emptied_at": at,
        }));
    }
    Ok(serde_json::json!({
        "id": row.text(0)?,
        "method": row.text(1)?,
        "query": row.optional_text(2)?,
        "headers": row.json::<Value>(3)?,
        "body": String::from_utf8_lossy(&row.bytes(4)?),
        "received_at": row.timestamp(5)?,
    }))
}

fn step_detail(row: &Row) -> Result<StepDetail, StoreError> {
    Ok(StepDetail {
        id: row.text(0)?,
        kind: row.text(1)?,
        action: row.json(2)?,
        state: row.text(3)?,
        record: row.optional_text(4)?,
        sent_at: row.optional_timestamp(5)?,
        ended_at: row.optional_timestamp(6)?,
        why: row.optional_text(7)?,
        past: row.int(8)? != 0,
    })
}
