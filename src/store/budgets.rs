//! What was used of an account's rate budget, noted with the lease of its destination. What it says is the CRM's matter.

use futures_util::future::BoxFuture;

use super::lease::{Lease, bump_noting};
use super::sql::{Connection, args};
use super::{Store, StoreError, Work};

impl Store {
    /// What the last holder of the destination's lease noted; `None` before the first.
    pub async fn budget(&self, destination: &str) -> Result<Option<String>, StoreError> {
        let rows = self.read("SELECT budget FROM leases WHERE destination = $1", args![destination]).await?;
        rows.first().map_or(Ok(None), |row| row.optional_text(0))
    }

    /// Notes what was used, apart from what is noted with every group of the ledger.
    pub async fn note_budget(&self, lease: &Lease, budget: String) -> Result<(), StoreError> {
        self.write(Note { lease: lease.clone(), budget }).await
    }
}

struct Note {
    lease: Lease,
    budget: String,
}

impl Work for Note {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(bump_noting(connection, &self.lease, Some(&self.budget)))
    }
}
