//! Deliveries one by one, for people: what was sent as it came, what became of each event in it, and those that became no
//! lead. Newest first; their ids sort by when they came.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sql::{Arg, Row, args, list};
use super::{Store, StoreError};
use crate::id::{DeliveryId, EventId, LeadId};

/// Deliveries that are looked at for one page where something is asked for that no index has.
pub const LOOKED_AT: usize = 300;

/// Deliveries of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nobody has read them yet.
    Received,
    /// Their mapping cannot be used now, or they are postbacks whose turn has not come.
    Waiting,
    /// They could not be read.
    Unreadable,
    /// Their token turned out wrong, or they were erased unread.
    Refused,
    /// They hold an event that was sent before.
    Redelivery,
}

impl Kind {
    /// All of them, what wants a person first.
    pub const ALL: [Self; 5] =
        [Self::Unreadable, Self::Waiting, Self::Refused, Self::Redelivery, Self::Received];

    /// The word of addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Waiting => "waiting",
            Self::Unreadable => "unreadable",
            Self::Refused => "refused",
            Self::Redelivery => "redelivery",
        }
    }

    /// Parses [`as_str`](Self::as_str).
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Which page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// The newest.
    #[default]
    Newest,
    /// The next older than this.
    Before(DeliveryId),
    /// The next newer than this.
    After(DeliveryId),
}

/// A delivery in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeliveryRow {
    /// Ours.
    pub id: DeliveryId,
    /// To which source it was sent.
    pub source: String,
    /// `POST` or `GET`.
    pub method: String,
    /// When.
    pub received_at: Timestamp,
    /// `received`, `waiting`, `prepared`, `unreadable` or `refused`.
    pub state: String,
    /// Why it is not prepared.
    pub why: Option<String>,
    /// Bytes of its body; 0 when retention removed it.
    pub bytes: i64,
}

/// A page of deliveries, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// They.
    pub deliveries: Vec<DeliveryRow>,
    /// Where newer ones may be; `None` at the newest.
    pub newer: Option<DeliveryId>,
    /// Where older ones may be; `None` at the end.
    pub older: Option<DeliveryId>,
    /// So many were looked at, and there may be more beyond.
    pub looked_at: Option<usize>,
}

/// A delivery as it came, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DeliveryDetail {
    /// The row as in a list.
    #[serde(flatten)]
    pub row: DeliveryRow,
    /// The query, as it came.
    pub query: Option<String>,
    /// The headers that are kept: none that holds a credential.
    pub headers: Vec<(String, String)>,
    /// The body; what is no UTF-8 in it is replaced.
    pub body: String,
    /// When retention removed query, headers and body.
    pub emptied_at: Option<Timestamp>,
    /// What was found in it, in order.
    pub events: Vec<EventRow>,
}

/// An event of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EventRow {
    /// Ours.
    pub id: EventId,
    /// By what a second copy is recognised.
    pub key: String,
    /// The delivery that it came in first, when this is a redelivery.
    pub redelivery_of: Option<DeliveryId>,
    /// The deliveries that it came in again.
    pub redeliveries: Vec<Again>,
    /// Its lead; of a redelivery that of the first.
    pub lead: Option<LeadId>,
    /// Where that stands by itself: `mapped`, `filtered` or `needs-attention`.
    pub lead_state: Option<String>,
    /// Why.
    pub lead_why: Option<Value>,
}

/// A delivery of an event that had come before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Again {
    /// Which.
    pub delivery: DeliveryId,
    /// When.
    pub received_at: Timestamp,
}

const COLUMNS: &str =
    "d.id, d.source, d.method, d.received_at, d.state, d.why, CAST(LENGTH(d.body) AS BIGINT)";

/// The statements that find the ids of a page, nearest first, and that say how far the first looked.
pub(super) fn statements(
    kind: Option<Kind>,
    source: Option<&str>,
    turn: Turn,
    limit: usize,
) -> (String, String, Vec<Arg>) {
    let mut arguments = Vec::new();
    let mut place = |value: Arg| {
        arguments.push(value);
        format!("${}", arguments.len())
    };
    let (table, column, mut conditions) = match kind {
        Some(Kind::Redelivery) => ("events", "delivery", vec!["t.redelivery_of IS NOT NULL".to_owned()]),
        Some(kind) => ("deliveries", "id", vec![format!("t.state = '{}'", kind.as_str())]),
        None => ("deliveries", "id", Vec::new()),
    };
    // Of several redeliveries in one delivery the last stands for it; ids of events sort by when they came as well.
    let (order, opposite, from) = match turn {
        Turn::Newest => ("DESC", "ASC", None),
        Turn::Before(id) => ("DESC", "ASC", Some(("<", id))),
        Turn::After(id) => ("ASC", "DESC", Some((">", id))),
    };
    if let Some((beyond, id)) = from {
        conditions.push(format!("t.{column} {beyond} {}", place(id.into())));
    }
    let rest =
        source.map_or_else(String::new, |source| format!(" WHERE d.source = {}", place(source.into())));
    let at_most = if source.is_some() { LOOKED_AT } else { limit };
    let conditions = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
    let walk = format!(
        "SELECT DISTINCT t.{column} AS id FROM {table} t WHERE {conditions} ORDER BY t.{column} {order} LIMIT {at_most}"
    );
    (
        format!(
            "WITH walked AS ({walk}) SELECT {COLUMNS} FROM walked JOIN deliveries d ON d.id = walked.id{rest} \
             ORDER BY walked.id {order} LIMIT {limit}"
        ),
        format!(
            "WITH walked AS ({walk}) SELECT id, (SELECT COUNT(*) FROM walked) FROM walked ORDER BY id {opposite} LIMIT 1"
        ),
        arguments,
    )
}

impl Store {
    /// A page of deliveries; `limit` is at least 1.
    pub async fn deliveries(
        &self,
        kind: Option<Kind>,
        source: Option<&str>,
        turn: Turn,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let (found, how_far, arguments) = statements(kind, source, turn, limit + 1);
        // What says how far it looked needs no source, and SQLite does not mind one argument too many; PostgreSQL does.
        let walk_arguments: Vec<Arg> =
            arguments.iter().take(usize::from(turn != Turn::Newest)).cloned().collect();
        let rows = self.read(&found, arguments).await?;
        let mut page = Page::default();
        let mut deliveries: Vec<DeliveryRow> = rows.iter().map(row).collect::<Result<_, _>>()?;
        let mut beyond =
            (deliveries.len() > limit).then(|| deliveries.get(limit - 1).map(|row| row.id)).flatten();
        deliveries.truncate(limit);
        if beyond.is_none() && source.is_some() {
            let rows = self.read(&how_far, walk_arguments).await?;
            if let Some(row) = rows.first()
                && usize::try_from(row.int(1)?).unwrap_or_default() >= LOOKED_AT
            {
                beyond = Some(row.id(0)?);
                page.looked_at = Some(LOOKED_AT);
            }
        }
        let first = deliveries.first().map(|row| row.id);
        (page.newer, page.older) = match turn {
            Turn::Newest => (None, beyond),
            Turn::Before(id) => (Some(first.unwrap_or(id)), beyond),
            Turn::After(id) => (beyond, Some(first.unwrap_or(id))),
        };
        if matches!(turn, Turn::After(_)) {
            deliveries.reverse();
        }
        page.deliveries = deliveries;
        Ok(page)
    }

    /// A delivery with what became of it; `None` when there is none with this id.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, d.query, d.headers, d.body, d.emptied_at FROM deliveries d WHERE d.id = $1"
        );
        let rows = self.read(&sql, args![id]).await?;
        let Some(found) = rows.first() else { return Ok(None) };
        let sql = "SELECT e.id, e.key, first.delivery, leads.id, leads.state, leads.why FROM events e \
             LEFT JOIN events first ON first.id = e.redelivery_of \
             LEFT JOIN leads ON leads.event = COALESCE(e.redelivery_of, e.id) \
             WHERE e.delivery = $1 ORDER BY e.position";
        let rows = self.read(sql, args![id]).await?;
        let mut events: Vec<EventRow> = rows.iter().map(event).collect::<Result<_, _>>()?;
        for piece in events.chunks_mut(super::sql::ROWS_PER_STATEMENT) {
            let sql = format!(
                "SELECT e.redelivery_of, e.delivery, d.received_at FROM events e JOIN deliveries d ON d.id = e.delivery \
                 WHERE e.redelivery_of IN ({}) ORDER BY e.id LIMIT 1000",
                list(1, piece.len())
            );
            let rows = self.read(&sql, piece.iter().map(|event| Arg::from(event.id)).collect()).await?;
            for row in &rows {
                let of: EventId = row.id(0)?;
                let again = Again { delivery: row.id(1)?, received_at: row.timestamp(2)? };
                if let Some(event) = piece.iter_mut().find(|event| event.id == of) {
                    event.redeliveries.push(again);
                }
            }
        }
        Ok(Some(DeliveryDetail {
            row: row(found)?,
            query: found.optional_text(7)?,
            headers: found.json(8)?,
            body: String::from_utf8_lossy(&found.bytes(9)?).into_owned(),
            emptied_at: found.optional_timestamp(10)?,
            events,
        }))
    }
}

fn row(row: &Row) -> Result<DeliveryRow, StoreError> {
    Ok(DeliveryRow {
        id: row.id(0)?,
        source: row.text(1)?,
        method: row.text(2)?,
        received_at: row.timestamp(3)?,
        state: row.text(4)?,
        why: row.optional_text(5)?,
        bytes: row.int(6)?,
    })
}

fn event(row: &Row) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        id: row.id(0)?,
        key: row.text(1)?,
        redelivery_of: row.optional_id(2)?,
        redeliveries: Vec::new(),
        lead: row.optional_id(3)?,
        lead_state: row.optional_text(4)?,
        lead_why: row.optional_json(5)?,
    })
}
