//! Leads that were decided while their destination only observed: what there is of them, and the answer to them.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sql::{Arg, Connection, args, json, list};
use super::{Store, StoreError, Work};
use crate::plan::Reason;

/// What is held at a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// How many leads.
    pub count: u64,
    /// When the oldest of them came.
    pub oldest: Option<Timestamp>,
    /// How many by what would be done, such as `create contact, create deal`; most first.
    pub plans: Vec<(String, u64)>,
    /// The last place in the order of arrival: an answer up to here is an answer to these.
    pub up_to: i64,
}

/// What becomes of held leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "HeldAnswer")]
pub enum Answer {
    /// They are decided anew and brought to the CRM.
    Push,
    /// They stay in the registry, as filtered.
    Skip,
}

/// An answer to the oldest held leads of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAnswer {
    /// Where.
    pub destination: String,
    /// Push or skip.
    pub answer: Answer,
    /// Pushed also where the destination only observes.
    pub let_through: bool,
    /// The last place in the order of arrival.
    pub up_to: i64,
    /// At most so many, oldest first.
    pub limit: i64,
}

/// Rows read at once.
const PAGE: i64 = 5_000;

impl Store {
    /// What is held at a destination: the oldest `limit` leads of it.
    pub async fn held(&self, destination: &str, limit: i64) -> Result<Held, StoreError> {
        let mut held = Held::default();
        let mut plans: BTreeMap<String, u64> = BTreeMap::new();
        let mut left = limit;
        let sql = "SELECT syncs.sequence, leads.received_at, CASE WHEN EXISTS (SELECT 1 FROM syncs AS earlier \
               WHERE earlier.person = syncs.person AND earlier.destination = syncs.destination \
                 AND earlier.sequence < syncs.sequence AND earlier.state = 'held') \
               THEN 'come after an earlier held lead of the same person' \
               ELSE (SELECT string_agg(kind, ', ' ORDER BY position) FROM steps \
                 WHERE steps.sync = syncs.id AND steps.state = 'planned') END \
             FROM syncs JOIN leads ON leads.id = syncs.lead \
             WHERE syncs.destination = $1 AND syncs.state = 'held' AND syncs.sequence > $2 \
             ORDER BY syncs.sequence LIMIT $3";
        while left > 0 {
            let page = PAGE.min(left);
            let rows = self.read(sql, args![destination, held.up_to, page]).await?;
            for row in &rows {
                held.up_to = row.int(0)?;
                held.count += 1;
                let received_at = row.timestamp(1)?;
                held.oldest = Some(held.oldest.map_or(received_at, |oldest| oldest.min(received_at)));
                let plan = row.optional_text(2)?.unwrap_or_else(|| "write nothing".to_owned());
                *plans.entry(plan).or_default() += 1;
            }
            if i64::try_from(rows.len()) != Ok(page) {
                break;
            }
            left -= page;
        }
        held.plans = plans.into_iter().collect();
        held.plans.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(held)
    }

    /// How many leads are held at a destination.
    pub async fn count_held(&self, destination: &str) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM syncs WHERE destination = $1 AND state = 'held'";
        self.read(sql, args![destination]).await?.first().map_or(Ok(0), |row| row.int(0))
    }

    /// Answers for the oldest held leads; returns how many there were.
    pub async fn answer_held(&self, answer: HeldAnswer, now: Timestamp) -> Result<u64, StoreError> {
        self.write(AnswerHeld { answer, now }).await
    }
}

struct AnswerHeld {
    answer: HeldAnswer,
    now: Timestamp,
}

impl Work for AnswerHeld {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let HeldAnswer { destination, answer, let_through, up_to, limit } = &self.answer;
            let (state, why) = match answer {
                Answer::Push => (
                    "'ready'",
                    Reason::new(
                        "let_go",
                        format!("Held while '{destination}' was only observed; pushed on {}.", self.now),
                    ),
                ),
                Answer::Skip => (
                    // One that was in the CRM before it was planned again still is.
                    "CASE WHEN brought = 1 THEN 'synced' ELSE 'filtered' END",
                    Reason::new(
                        "skipped",
                        format!(
                            "Held while '{destination}' was only observed, and skipped on {}. `leadfold replay <lead> \
                             --resume` brings it there after all.",
                            self.now
                        ),
                    ),
                ),
            };
            // The state stands outside as well: another answer may have been given to a row that this one waits for.
            let sql = format!(
                "UPDATE syncs SET state = {state}, why = $1, next_at = $2, updated_at = $2, priority = 1, attempts = 0, \
                 claimed = 0, let_through = $3 WHERE state = 'held' AND id IN (SELECT id FROM syncs \
                   WHERE destination = $4 AND state = 'held' AND sequence <= $5 ORDER BY sequence LIMIT $6) \
                 RETURNING id"
            );
            let arguments = args![
                json(&why)?,
                self.now.as_millisecond(),
                i64::from(*let_through),
                destination.as_str(),
                *up_to,
                *limit
            ];
            let rows = connection.fetch(&sql, arguments).await?;
            if *answer == Answer::Skip && !rows.is_empty() {
                // What would have been done is not done.
                let sql = format!(
                    "DELETE FROM steps WHERE state = 'planned' AND sync IN ({})",
                    list(1, rows.len())
                );
                let ids: Vec<Arg> =
                    rows.iter().map(|row| row.text(0).map(Arg::from)).collect::<Result<_, _>>()?;
                connection.execute(&sql, ids).await?;
            }
            Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
        })
    }
}
