//! The way into the registry: whoever keeps an arrival is told only after it is on disk.

use tokio::sync::{mpsc, oneshot};

use super::StoreError;
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
#[derive(Clone, Debug)]
pub struct Inbox {
    queue: mpsc::Sender<Pending>,
}

impl Inbox {
    /// An inbox and the queue that the storage writer drains.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<Pending>) {
        let (queue, receiver) = mpsc::channel(capacity);
        (Self { queue }, receiver)
    }

    /// Keeps an arrival. Returns once it is durable.
    pub async fn keep(&self, arrival: Arrival) -> Result<(), StoreError> {
        let (told, safe) = oneshot::channel();
        let closed = || StoreError::is_over("the storage writer has stopped");
        self.queue.send((arrival, told)).await.map_err(|_| closed())?;
        safe.await.map_err(|_| closed())?
    }
}
