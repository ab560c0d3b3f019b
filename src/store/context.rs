//! What the database knows of people at one destination, for the decision about their leads.

use std::collections::HashMap;

use super::doubles::UNTOLD;
use super::sql::{Arg, Connection, Row, args, list};
use super::syncs::PersonContext;
use super::{Store, StoreError};
use crate::id::{PersonId, SyncId};
use crate::plan::RecordId;

impl Store {
    /// What is known at a destination of the person that a sync belongs to now.
    pub async fn person_context(
        &self,
        sync: SyncId,
        destination: &str,
    ) -> Result<(PersonId, PersonContext), StoreError> {
        let rows = self.read("SELECT person FROM syncs WHERE id = $1", args![sync]).await?;
        let person =
            rows.first().ok_or_else(|| StoreError::new(format!("there is no sync {sync}")))?.id(0)?;
        let (sql, arguments) = statement(&[(sync, person)], destination);
        let mut contexts = contexts(&self.read(&sql, arguments).await?)?;
        let context = contexts.remove(&person).unwrap_or_else(|| Ok(PersonContext::default()))?;
        Ok((person, context))
    }
}

type Contexts = HashMap<PersonId, Result<PersonContext, StoreError>>;

/// What is known of several people, each with a sync in hand; who is not in the answer has nothing.
pub(super) async fn load(
    connection: &mut Connection,
    syncs: &[(SyncId, PersonId)],
    destination: &str,
) -> Result<Contexts, StoreError> {
    if syncs.is_empty() {
        return Ok(Contexts::new());
    }
    let (sql, arguments) = statement(syncs, destination);
    contexts(&connection.fetch(&sql, arguments).await?)
}

/// A kept lead is free when nobody took it along, when a sync in hand did, or when who took it ended without a plan. The
/// kind as an expression, because SQLite takes two kinds for fewer rows than so many people, and goes through all phones.
pub(super) fn statement(syncs: &[(SyncId, PersonId)], destination: &str) -> (String, Vec<Arg>) {
    let people = list(2, syncs.len());
    let in_hand = list(2 + syncs.len(), syncs.len());
    let sql = format!(
        "SELECT person, kind, shown, NULL, first_seen FROM identifiers \
           WHERE person IN ({people}) AND kind || '' IN ('phone', 'email') AND shown IS NOT NULL \
         UNION ALL SELECT person, CASE WHEN kind = 'contact' AND {UNTOLD} THEN 'link untold' ELSE 'link ' || kind END, record, \
           contact, created_at FROM links \
           WHERE person IN ({people}) AND destination = $1 \
         UNION ALL SELECT syncs.person, 'kept', syncs.id, leads.lead, syncs.sequence FROM syncs \
           JOIN leads ON leads.id = syncs.lead \
           WHERE syncs.person IN ({people}) AND syncs.destination = $1 \
             AND syncs.state = 'filtered' AND syncs.why LIKE '{{\"code\":\"needs_%' \
             AND (syncs.carried_by IS NULL OR syncs.carried_by IN ({in_hand}) OR EXISTS ( \
               SELECT 1 FROM syncs AS carrier WHERE carrier.id = syncs.carried_by \
                 AND carrier.state IN ('filtered', 'needs-attention'))) \
         ORDER BY 5, 3"
    );
    let mut arguments = args![destination];
    arguments.extend(syncs.iter().map(|(_, person)| Arg::from(*person)));
    arguments.extend(syncs.iter().map(|(sync, _)| Arg::from(*sync)));
    (sql, arguments)
}

/// By person. A row that cannot be read is the trouble of that person alone.
fn contexts(rows: &[Row]) -> Result<Contexts, StoreError> {
    let mut contexts = Contexts::new();
    for row in rows {
        let context = contexts.entry(row.id(0)?).or_insert_with(|| Ok(PersonContext::default()));
        if let Ok(known) = context
            && let Err(failure) = learn(known, row)
        {
            *context = Err(failure);
        }
    }
    Ok(contexts)
}

fn learn(context: &mut PersonContext, row: &Row) -> Result<(), StoreError> {
    match row.text(1)?.as_str() {
        "phone" => context.phones.push(row.text(2)?),
        "email" => context.emails.push(row.text(2)?),
        // The oldest of them, until the CRM says that it is gone.
        told @ ("link contact" | "link untold") => {
            let record = RecordId(row.text(2)?);
            if context.contact.is_none() {
                context.contact = Some(record);
            } else {
                if told == "link untold" {
                    context.untold.push(record.clone());
                }
                context.further.push(record);
            }
        }
        "link deal" => context.deals.push((
            RecordId(row.text(2)?),
            row.optional_text(3)?.map(RecordId),
            row.timestamp(4)?,
        )),
        "kept" => context.kept.push((row.id(2)?, row.json(3)?)),
        other => return Err(StoreError::damaged(format!("person context '{other}'"))),
    }
    Ok(())
}
