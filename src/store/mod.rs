//! Storage. To come.
pub mod inbox;

/// Why something could not be stored or read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);
