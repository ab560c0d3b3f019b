//! What was used of the account's rate budget goes from one holder of the destination to the next.

use jiff::Timestamp;
use tracing::{debug, warn};

use super::Worker;
use crate::crm::Crm;
use crate::crm::limit::Budget;
use crate::store::lease::Lease;
use crate::store::{Store, StoreError};

/// What is used now, as text; `None` where nothing is limited.
pub(super) fn noted(crm: &dyn Crm, now: Timestamp, complete: bool) -> Option<String> {
    // JSON of plain values of ours does not fail.
    serde_json::to_string(&crm.limiter()?.budget(now, complete)).ok()
}

/// Begins where the last holder stopped, and notes so before the first call: if this process is killed at once, and again
/// and again, each next one knows at least as much.
pub(super) async fn resume(
    store: &Store,
    lease: &Lease,
    crm: &dyn Crm,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(limiter) = crm.limiter() else { return Ok(()) };
    if let Some(text) = store.budget(&lease.destination).await? {
        let budget = serde_json::from_str(&text).unwrap_or_else(|error| {
            warn!(destination = lease.destination, %error,
                "what was used of the rate budget cannot be read; it counts as used up");
            Budget::default()
        });
        limiter.resume(&budget, now);
    }
    match noted(crm, now, false) {
        Some(text) => store.note_budget(lease, text).await,
        None => Ok(()),
    }
}

impl Worker {
    /// Notes that this is all, once no call follows.
    pub(super) async fn note_end(&self) {
        let Some(text) = noted(&*self.crm, self.clock.now(), true) else { return };
        if let Err(failure) = self.store.note_budget(&self.lease, text).await {
            debug!(destination = self.destination.name, %failure,
                "what was used of the rate budget is not noted; the next holder begins with an empty one");
        }
    }
}
