//! Placeholder.
mod phone_differential;
