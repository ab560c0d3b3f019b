//! Typed ids. Each is a UUID of version 7, so sorting by id is sorting by time of birth.
//!
//! Nothing here makes an id: ids come from [`Clock::new_id`](crate::clock::Clock::new_id), so that pure code never invents one.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map($name)
            }
        }
    )+};
}

id! {
    /// One HTTP request as received.
    DeliveryId,
    /// One item of a delivery.
    EventId,
    /// A mapped, normalised event.
    LeadId,
    /// One human.
    PersonId,
    /// Two people who became one.
    MergeId,
    /// The work of bringing one lead to one destination.
    SyncId,
    /// One step of a plan; sent to the CRM as the marker by which a lost create is found again.
    StepId,
}
