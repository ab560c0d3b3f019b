//! One human with two contacts at one destination: both were there before it was known that two people are one. Nobody but
//! a person merges records of a CRM. Their next lead leaves a note and a task there that ask for it; where the CRM takes
//! neither, or before that lead comes, one of the human's leads asks for attention.

use std::collections::BTreeMap;

use super::StoreError;
use super::sql::{Arg, Connection, args, json};
use crate::id::{LeadId, PersonId, SyncId};
use crate::plan::Reason;

/// Holds for a link whose contact nothing in the CRM asks anybody to merge: no step does, or the CRM refused it.
pub(super) const UNTOLD: &str =
    "NOT EXISTS (SELECT 1 FROM steps WHERE steps.id = links.told AND steps.state <> 'rejected')";

/// Puts it before a person, once for each human and destination, on their newest lead that is in the CRM. `people` is what
/// stands between the brackets of `person IN (…)`; `now` in milliseconds since 1970.
pub(super) async fn tell_of_two_contacts(
    connection: &mut Connection,
    people: &str,
    arguments: Vec<Arg>,
    now: i64,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT person, destination, record, CAST(CASE WHEN {UNTOLD} THEN 1 ELSE 0 END AS BIGINT) FROM links WHERE kind = 'contact' AND person IN ({people}) \
         AND EXISTS (SELECT 1 FROM links AS other WHERE other.person = links.person \
           AND other.destination = links.destination AND other.kind = 'contact' AND other.record <> links.record) \
         ORDER BY created_at, record"
    );
    let mut contacts: BTreeMap<(String, String), Vec<(String, bool)>> = BTreeMap::new();
    for row in connection.fetch(&sql, arguments).await? {
        contacts.entry((row.text(0)?, row.text(1)?)).or_default().push((row.text(2)?, row.int(3)? == 1));
    }
    for ((person, destination), records) in contacts {
        // The oldest is the one that they are merged into.
        if !records.iter().skip(1).any(|(_, untold)| *untold) {
            continue;
        }
        let records: Vec<String> = records.into_iter().map(|(record, _)| record).collect();
        let sql = "SELECT id, lead FROM syncs WHERE person = $1 AND destination = $2 AND state = 'synced' \
             AND NOT EXISTS (SELECT 1 FROM syncs AS told WHERE told.person = $1 AND told.destination = $2 \
               AND told.state = 'needs-attention' AND told.why LIKE '{\"code\":\"two_contacts\"%') \
             ORDER BY sequence DESC LIMIT 1";
        let newest = connection.fetch(sql, args![person, destination.as_str()]).await?;
        let Some(newest) = newest.first() else { continue };
        let (sync, lead): (SyncId, LeadId) = (newest.id(0)?, newest.id(1)?);
        connection
            .execute(
                "UPDATE syncs SET state = 'needs-attention', why = $2, updated_at = $3 \
                 WHERE id = $1 AND state = 'synced'",
                args![sync, json(&reason(lead, &destination, &records))?, now],
            )
            .await?;
    }
    Ok(())
}

/// Nobody needs to look any more where neither of two people has two contacts: they are not one human after all. Says
/// whether something in a CRM asks to merge them all the same.
pub(super) async fn take_back_two_contacts(
    connection: &mut Connection,
    one: PersonId,
    other: PersonId,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE syncs SET state = 'synced', why = NULL, updated_at = $3 WHERE person IN ($1, $2) \
         AND state = 'needs-attention' AND why LIKE '{\"code\":\"two_contacts\"%' \
         AND (SELECT COUNT(*) FROM links WHERE links.person = syncs.person \
           AND links.destination = syncs.destination AND links.kind = 'contact') < 2";
    connection.execute(sql, args![one, other, now]).await?;
    let sql = "UPDATE links SET told = NULL WHERE person IN ($1, $2) AND kind = 'contact' AND told IS NOT NULL \
         AND (SELECT COUNT(*) FROM links AS every WHERE every.person = links.person \
           AND every.destination = links.destination AND every.kind = 'contact') < 2";
    Ok(connection.execute(sql, args![one, other]).await? > 0)
}

fn reason(lead: LeadId, destination: &str, records: &[String]) -> Reason {
    let kept = records.first().map_or("", String::as_str);
    Reason::new(
        "two_contacts",
        format!(
            "Contacts {} in '{destination}' are of one human; they were there before that was known. This lead is in the \
             CRM, and the next ones go to contact {kept}. Merge them there, best into {kept}, then `leadfold replay {lead} \
             --resume`.",
            records.join(" and ")
        ),
    )
}
