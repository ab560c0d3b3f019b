//! What waits, by stage: for the gauges, so it touches nothing but the partial indexes of open rows.

use jiff::Timestamp;

use super::sql::args;
use super::syncs::OPEN;
use super::{Store, StoreError};

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// When the oldest delivery came that nobody has prepared yet.
    pub oldest_received: Option<Timestamp>,
    /// Syncs that are not at their end.
    pub syncs: Vec<OpenSyncs>,
}

/// The open syncs of one destination in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSyncs {
    /// Name of the destination.
    pub destination: String,
    /// The state.
    pub state: String,
    /// How many.
    pub count: i64,
    /// The earliest moment at which one of them is to be looked at; may lie ahead.
    pub due: Timestamp,
}

/// The statement that counts open and held syncs.
pub(super) fn open_syncs() -> String {
    let of = |states: &str| {
        format!(
            "SELECT destination, state, COUNT(*), MIN(next_at) FROM syncs WHERE {states} GROUP BY destination, state"
        )
    };
    format!("{} UNION ALL {}", of(OPEN), of("state = 'held'"))
}

impl Store {
    /// When the oldest delivery came that nobody has prepared yet.
    pub async fn oldest_unprepared(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT received_at FROM deliveries WHERE state = 'received' ORDER BY id LIMIT 1";
        self.read(sql, args![]).await?.first().map(|row| row.timestamp(0)).transpose()
    }

    /// Reads what waits. Costs as much as there is waiting, however large the registry is.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let syncs = self.read(&open_syncs(), args![]).await?;
        Ok(Backlog {
            oldest_received: self.oldest_unprepared().await?,
            syncs: syncs
                .iter()
                .map(|row| {
                    Ok(OpenSyncs {
                        destination: row.text(0)?,
                        state: row.text(1)?,
                        count: row.int(2)?,
                        due: row.timestamp(3)?,
                    })
                })
                .collect::<Result<_, StoreError>>()?,
        })
    }
}
