//! What needs somebody: causes with their newest leads, requests that never became leads, leads that are held, and trouble
//! that stands.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::rules::Mode;
use crate::store::alerts::Trouble;
use crate::store::attention::{Caused, HeldAt, Requests};

/// Asks what needs somebody.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtAttention {}

/// What needs somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attention {
    /// Leads by cause, the one with the newest lead first.
    pub causes: Vec<Caused>,
    /// Requests that could not be read.
    pub unreadable: Vec<Requests>,
    /// Requests that wait for their mapping.
    pub waiting: Vec<Requests>,
    /// Leads that were decided while their destination only observed.
    pub held: Vec<HeldAt>,
    /// What else somebody is told of, the newest first: a destination that is paused, a source that is silent.
    pub troubles: Vec<Trouble>,
    /// Destinations that the workspace does not let write.
    pub modes: BTreeMap<String, Mode>,
}

impl Operation for LookAtAttention {
    const PATH: &'static str = "/api/attention";
    const ROLE: Role = Role::Viewer;
    type Answer = Attention;

    async fn run(self, means: &Means) -> Result<Attention, OperationError> {
        let store = &means.store;
        let mut attention = Attention {
            unreadable: store.unreadable_by_source().await?,
            waiting: store.waiting_by_source().await?,
            held: store.held_by_destination().await?,
            ..Attention::default()
        };
        let causes = store.causes().await?;
        attention.troubles = store.troubles().await?;
        attention.troubles.retain(|trouble| {
            let is_held =
                attention.held.iter().any(|held| trouble.cause == format!("held:{}", held.destination));
            !is_held && causes.iter().all(|cause| cause.name() != trouble.cause)
        });
        for cause in causes {
            attention.causes.extend(store.caused(cause).await?);
        }
        let newest = |caused: &Caused| caused.examples.first().map(|example| example.received_at);
        attention.causes.sort_by_key(|caused| std::cmp::Reverse(newest(caused)));
        if let Ok(workspace) = means.active().await {
            let modes = workspace.destinations.values().map(|one| (one.name.clone(), one.mode));
            attention.modes = modes.filter(|(_, mode)| *mode != Mode::Live).collect();
        }
        Ok(attention)
    }
}
