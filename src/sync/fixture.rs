//! A worker of the unit tests: of the shipped workspace's `crm`, on an empty registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::{Hold, Presence, Worker};
use crate::clock::{Clock, SystemClock};
use crate::rules::Destination;
use crate::store::Store;
use crate::store::lease::Lease;
use crate::workspace::{Versions, read_files};

pub(super) struct Fixture {
    pub(super) store: Store,
    folder: PathBuf,
    versions: Arc<Versions>,
    destination: Destination,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        let url = format!("sqlite://{}", folder.join("leadfold.db").display());
        let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
        let files = read_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings")).unwrap();
        let versions = Arc::new(Versions::new(store.clone(), Arc::new(|_| None)));
        let destination = versions.compile(&files).await.unwrap().workspace.destinations["crm"].clone();
        Self { store, folder, versions, destination }
    }

    /// One that holds the destination's lease, as if it had been taken like this one.
    pub(super) async fn worker(&self, clock: Arc<dyn Clock>, lease: Lease, presence: Presence) -> Worker {
        let epoch = self.store.take_lease(&lease.destination, &presence.id).await.unwrap().epoch;
        let lease = Lease { epoch, ..lease };
        let worker = Worker::new(
            self.store.clone(),
            clock,
            self.destination.clone(),
            crate::crm::connect(&self.destination).unwrap(),
            Arc::clone(&self.versions),
            watch::channel(None).1,
            Hold::new(lease, Arc::new(presence)),
        );
        worker.await.unwrap()
    }

    pub(super) async fn end(self) {
        self.store.close().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}
