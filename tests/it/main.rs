//! Placeholder.
mod receive;
