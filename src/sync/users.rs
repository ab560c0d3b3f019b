//! Who left: the CRM's list of users, read beside the pushing, and the leads that wait for somebody to be back.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Worker, WorkerHandle};
use crate::crm::catalog::{Catalog, User};
use crate::map::Workspace;
use crate::rules::{InactiveUsers, Mode, folded};

/// How often the list is read; it costs calls that leads could use.
const READ_AGAIN: Duration = Duration::from_mins(10);

impl WorkerHandle {
    /// Keeps up with who left. What waits for an owner is decided again at the start, and when users or workspace change.
    pub(super) async fn keep_up_with_users(self, stop: CancellationToken) {
        let worker = &self.worker;
        if worker.destination.mode == Mode::Paused {
            return;
        }
        let mut active = worker.active.clone();
        let mut changed = true;
        loop {
            let pools = |workspace: &Arc<Workspace>| !workspace.owner_pools.is_empty();
            let has_pools = active.borrow_and_update().as_ref().is_some_and(pools);
            if has_pools {
                tokio::select! {
                    () = stop.cancelled() => return,
                    users_changed = worker.read_users() => changed |= users_changed,
                }
            }
            if changed {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.wake_waiting() => {}
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(READ_AGAIN) => changed = false,
                edited = active.changed() => match edited {
                    Ok(()) => changed = true,
                    // Nobody edits any more: leadfold is stopping.
                    Err(_) => return,
                },
            }
        }
    }

    async fn wake_waiting(&self) {
        let worker = &self.worker;
        match worker.store.wake_waiting(&worker.lease, worker.clock.now()).await {
            Ok(0) => {}
            Ok(leads) => {
                info!(
                    destination = worker.destination.name,
                    leads, "leads that wait for an owner are decided again"
                );
                self.wake();
            }
            Err(failure) if failure.is_final() => worker.hold.lose(),
            Err(failure) => {
                warn!(destination = worker.destination.name, %failure,
                    "leads that wait for an owner could not be woken; each is decided again when its time comes");
            }
        }
    }
}

impl Worker {
    pub(super) fn inactive(&self) -> Arc<InactiveUsers> {
        Arc::clone(&self.inactive.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the list; returns whether other users are inactive than before.
    async fn read_users(&self) -> bool {
        let catalog = match self.crm.describe().await {
            Ok(catalog) => catalog,
            Err(failure) => {
                warn!(destination = self.destination.name, %failure,
                    "the CRM's users could not be read; deals are given out by what was known before");
                return false;
            }
        };
        let inactive = inactive(&catalog);
        let mut known = self.inactive.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = **known != inactive;
        if changed {
            info!(destination = self.destination.name, "the CRM's list of inactive users has changed");
            *known = Arc::new(inactive);
        }
        changed
    }
}

/// The names by which a workspace or a record can mean somebody who is inactive.
fn inactive(catalog: &Catalog) -> InactiveUsers {
    let (active, inactive): (Vec<&User>, Vec<&User>) =
        catalog.users.iter().flatten().partition(|user| user.active);
    // A name that somebody active has as well means them.
    let taken: BTreeSet<String> = active.into_iter().flat_map(User::names).map(folded).collect();
    let names = inactive.into_iter().flat_map(User::names).filter(|name| !taken.contains(&folded(name)));
    InactiveUsers::new(names.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_somebody_inactive_unless_somebody_active_has_it_too() {
        let user = |id: &str, login: Option<&str>, name: &str, active| User {
            id: id.into(),
            name: name.into(),
            login: login.map(str::to_owned),
            active,
        };
        let users = vec![
            user("1", Some("olha@example.com"), "Olha", true),
            user("2", Some("petro@example.com"), "Petro", false),
            user("3", None, "olha ", false),
        ];
        let inactive = inactive(&Catalog { users: Some(users), ..Catalog::default() });
        for (name, expect) in [
            ("2", true),
            ("PETRO", true),
            ("petro@example.com", true),
            ("3", true),
            ("Olha", false),
            ("1", false),
        ] {
            assert_eq!(inactive.has(name), expect, "{name}");
        }
        assert!(super::inactive(&Catalog::default()).is_empty());
    }
}
