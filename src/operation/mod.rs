//! What people ask of a leadfold: one type for each thing, run by a process that may write.
//!
//! A command runs its operation itself when the database is free, and posts it to the server that has the database
//! otherwise ([`crate::cli`]); the server's handler ([`crate::web`]) runs the very same function. Long work is asked for in
//! pieces, each short enough for one request, so that progress can be shown and an end half-way leaves nothing undone
//! that was said to be done.

pub mod apply;
pub mod deep_links;
pub mod erase;
pub mod held;
pub mod links;
pub mod people;
pub mod postbacks;
pub mod replay;
pub mod triggers;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::map::Workspace;
use crate::store::{Store, StoreError};
use crate::workspace::Versions;

/// Why nothing can be said of a workspace, and what to do.
pub const NO_VERSION: &str = "no version of the workspace is active in this database yet: `leadfold serve` or `leadfold apply` makes the first";

/// Country of a phone that names none, where nobody says which.
pub const DEFAULT_REGION: &str = "UA";

fn default_regions() -> Vec<String> {
    vec![DEFAULT_REGION.to_owned()]
}

/// What an operation works with.
#[derive(Clone)]
pub struct Means {
    /// The registry.
    pub store: Store,
    /// Any version of the workspace.
    pub versions: Arc<Versions>,
    /// Whether nobody but this machine reaches the process.
    pub loopback: bool,
    /// Who asks; no request says that of itself.
    pub client: Client,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// Says that there may be something to do for the workers of this process, if it has any.
    pub wake_workers: Arc<dyn Fn() + Send + Sync>,
}

impl Means {
    /// The active version of the workspace.
    async fn active(&self) -> Result<Arc<Workspace>, OperationError> {
        let Some(hash) = self.store.active_hash().await? else {
            return Err(OperationError::Refused(NO_VERSION.to_owned()));
        };
        Ok(self.versions.get(&hash).await?)
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Client {
    /// Whoever may use the whole API, or sits at this machine.
    Api,
    /// A web site, with a token that is good for its links only.
    #[default]
    Site,
}

impl Client {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Site => "site",
        }
    }
}

/// Something that people ask for.
pub trait Operation: Serialize + DeserializeOwned + Send + 'static {
    /// Where the server takes it by POST.
    const PATH: &'static str;
    /// Whether a web site may ask for it.
    const FOR_SITES: bool = false;
    /// What comes of it.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// The HTTP status of an answer.
    fn status(_answer: &Self::Answer) -> u16 {
        200
    }

    /// Does it.
    fn run(self, means: &Means) -> impl Future<Output = Result<Self::Answer, OperationError>> + Send;
}

/// Why an operation was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OperationError {
    /// It cannot be done as it was asked: what is wrong and what to do.
    #[error("{0}")]
    Refused(String),
    /// Whoever asks may not.
    #[error("{0}")]
    Forbidden(String),
    /// The registry did not take it.
    #[error("{0}")]
    Storage(#[from] StoreError),
}
