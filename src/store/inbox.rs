//! The way into the registry: whoever keeps an arrival is told only after it is on disk.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Store, StoreError};
use crate::event::Delivery;

/// A delivery on its way into the registry.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The request.
    pub delivery: Delivery,
    /// Why it cannot be prepared yet (source paused, removed, mapping broken at <file:line>); `None` when it can.
    pub waiting: Option<String>,
    /// SHA-256 of the path token, when nothing readable said what the token should be; checked before it is prepared.
    pub unverified_token: Option<[u8; 32]>,
}

/// One arrival and where to say that it is safe.
pub type Pending = (Arrival, oneshot::Sender<Result<(), StoreError>>);

/// Handle for the receiving edge.
#[derive(Clone)]
pub struct Inbox {
    queue: mpsc::Sender<Pending>,
    /// Whose database it is; `None` where somebody else reads the queue.
    store: Option<Store>,
}

impl Inbox {
    pub(super) fn new(store: Store, queue: mpsc::Sender<Pending>) -> Self {
        Self { queue, store: Some(store) }
    }

    /// An inbox and its queue, without a store.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<Pending>) {
        let (queue, receiver) = mpsc::channel(capacity);
        (Self { queue, store: None }, receiver)
    }

    /// Keeps an arrival. Returns once it is durable. While the database is known to take no writes nothing waits: memory
    /// would fill up with what is refused in the end.
    pub async fn keep(&self, arrival: Arrival) -> Result<(), StoreError> {
        if let Some(why) = self.store.as_ref().and_then(|store| store.health.trouble()) {
            return Err(self.refused(StoreError::away(why)));
        }
        let (told, safe) = oneshot::channel();
        let closed = || StoreError::for_good("the storage writer has stopped");
        self.queue.send((arrival, told)).await.map_err(|_| closed())?;
        safe.await.map_err(|_| closed())?.map_err(|failure| self.refused(failure))
    }

    /// Says that an arrival was not kept in the time that its sender has.
    pub fn took_too_long(&self, time: Duration) -> StoreError {
        let text = format!("the database did not confirm a delivery within {} s", time.as_secs_f32());
        self.refused(StoreError::away(text))
    }

    fn refused(&self, failure: StoreError) -> StoreError {
        let Some(store) = &self.store else { return failure };
        store.health.refused();
        store.suspect(failure)
    }
}
