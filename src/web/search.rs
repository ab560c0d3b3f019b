//! What a person types when they look for somebody, in every form under which it may be stored.

pub use crate::normalise::spellings;
