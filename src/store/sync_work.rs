//! The statements behind [`super::syncs`]: each a unit of work under the destination's lease.

use futures_util::future::BoxFuture;

use super::lease::{Lease, bump};
use super::merges::{lock_both, merge_people};
use super::moved::apart;
use super::sql::{Connection, args, json};
use super::syncs::Evidence;
use super::{StoreError, Work};
use crate::clock::Clock;
use crate::id::SyncId;
use crate::plan::RecordId;
use crate::resolve::{Decision, Finding, Language};

/// Two statements, because with either condition in one a database walks through all links of the destination.
pub(super) const DROP_LINK: [&str; 2] = [
    "DELETE FROM links WHERE destination = $1 AND kind = 'contact' AND record = $2",
    "DELETE FROM links WHERE destination = $1 AND kind = 'deal' AND contact = $2",
];

pub(crate) struct DropLink {
    pub(crate) lease: Lease,
    pub(crate) contact: RecordId,
}

impl Work for DropLink {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let statements = DROP_LINK
                .map(|sql| (sql.to_owned(), args![self.lease.destination.as_str(), self.contact.0.as_str()]));
            connection.execute_all(statements.into()).await?;
            Ok(())
        })
    }
}

pub(crate) struct MergeOnEvidence {
    pub(crate) lease: Lease,
    pub(crate) evidence: Evidence,
    pub(crate) clock: std::sync::Arc<dyn Clock>,
}

impl Work for MergeOnEvidence {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let Evidence { sync, from, into, record } = &self.evidence;
            // Either may have become somebody else since the claim. Whose sync this is by then is only known afterwards,
            // so it goes back into the queue in any case.
            let (present, into) = lock_both(connection, *from, *into).await?;
            // Somebody may have said meanwhile that they are two people.
            if present == *from && into != *from && !apart(connection, *from).await?.contains(&into) {
                let shown = format!("contact {record} in '{}'", self.lease.destination);
                let finding = Finding::one_crm_record(shown, into);
                let reason = finding.why_merged(Language::English, &|person| person.to_string());
                merge_people(connection, &*self.clock, *from, into, &reason, &[]).await?;
                tell_lead(connection, *sync, finding).await?;
            }
            connection
                .execute(
                    // Not when it is: this may be the second time, because the answer to the first was lost.
                    "UPDATE syncs SET state = 'ready', claimed = 0, next_at = $2, updated_at = $2 \
                     WHERE id = $1 AND claimed = $3",
                    args![*sync, self.clock.now().as_millisecond(), self.lease.epoch],
                )
                .await?;
            Ok(())
        })
    }
}

/// Adds to why a lead is whose it is what was found out in the CRM.
async fn tell_lead(connection: &mut Connection, sync: SyncId, finding: Finding) -> Result<(), StoreError> {
    let sql =
        "SELECT leads.id, leads.decision FROM leads JOIN syncs ON syncs.lead = leads.id WHERE syncs.id = $1";
    let rows = connection.fetch(sql, args![sync]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let Some(mut decision) = row.optional_json::<Decision>(1)? else { return Ok(()) };
    decision.findings.push(finding);
    connection
        .execute("UPDATE leads SET decision = $2 WHERE id = $1", args![row.text(0)?, json(&decision)?])
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::clock::{Clock as _, SystemClock};
    use crate::id::StepId;
    use crate::store::Store;
    use crate::store::ledger::Entry;

    #[tokio::test]
    async fn who_lost_the_lease_records_nothing_more_also_within_one_transaction() {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        let url = format!("sqlite://{}", folder.join("leadfold.db").display());
        let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
        let lease = store.take_lease("crm", "me").await.unwrap();
        let sent = || {
            let entry = Arc::new(Entry::Sent { steps: vec![StepId(SystemClock.new_id())], pins: Vec::new() });
            store.record(&lease, vec![(entry, SystemClock.now())])
        };
        // On one thread all of them are handed over before the writer runs, so they make one transaction.
        let (before, taken, after) = tokio::join!(sent(), store.take_lease("crm", "somebody else"), sent());
        assert!(before.is_ok());
        assert_eq!(taken.unwrap().epoch, lease.epoch + 1);
        assert!(after.unwrap_err().is_final(), "the lease is another one's by then");
        store.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
