//! What the workspace says about who is who; [`crate::resolve`] obeys.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lead::IdentifierKind;

/// What the workspace says about who is who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRules {
    /// Which identifier decides when several point at different people.
    pub order: IdentifierOrder,
    /// From so many clearly different people on, a phone or an email joins only those whose names agree.
    pub shared_from: usize,
    /// After so long without a lead, a phone or an email that comes with another name is taken to be somebody else's by now.
    pub forget_after: Duration,
    /// Beyond these sizes a person takes in nobody and no further phone or email.
    pub limits: Limits,
}

/// Which identifier decides when several point at different people: earlier kinds win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierOrder(pub Vec<IdentifierKind>);

/// When somebody has grown too large to be one human.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Phones of one person.
    pub phones: usize,
    /// Emails.
    pub emails: usize,
    /// Chats.
    pub chats: usize,
    /// People merged into them.
    pub merges: u32,
}

impl IdentityRules {
    /// `shared_from` of `strict: true`: two clearly different people are enough.
    pub const STRICT: usize = 2;
}

impl Default for IdentityRules {
    fn default() -> Self {
        Self {
            order: IdentifierOrder::default(),
            shared_from: 4,
            // Eighteen months.
            forget_after: Duration::from_hours(24 * 548),
            limits: Limits::default(),
        }
    }
}

impl Default for IdentifierOrder {
    fn default() -> Self {
        Self(IdentifierKind::JOINING.to_vec())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { phones: 5, emails: 5, chats: 10, merges: 20 }
    }
}
