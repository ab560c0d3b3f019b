//! To come.
pub mod normalise;
