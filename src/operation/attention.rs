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
use crate::store::pauses::Pause;

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
    /// What else somebody is told of, the newest first: a destination that failed and is paused, one that is late, a source
    /// that is silent.
    pub troubles: Vec<Trouble>,
    /// Destinations that the workspace does not let write.
    pub modes: BTreeMap<String, Mode>,
    /// Destinations that somebody paused.
    pub paused: BTreeMap<String, Pause>,
}

/// Troubles that are told of nowhere else.
const OF_THEIR_OWN: &[&str] = &["paused", "late", "silent"];

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
        // The others are told of by their leads and requests, and with these they are over: a trouble stands a little longer.
        attention.troubles = store.troubles().await?;
        attention.troubles.retain(|trouble| {
            trouble.cause.split_once(':').is_some_and(|(kind, _)| OF_THEIR_OWN.contains(&kind))
        });
        for cause in store.causes().await? {
            attention.causes.extend(store.caused(cause).await?);
        }
        let newest = |caused: &Caused| caused.examples.first().map(|example| example.received_at);
        attention.causes.sort_by_key(|caused| std::cmp::Reverse(newest(caused)));
        if let Ok(workspace) = means.active().await {
            let modes = workspace.destinations.values().map(|one| (one.name.clone(), one.mode));
            attention.modes = modes.filter(|(_, mode)| *mode != Mode::Live).collect();
            attention.paused = store.pauses().await?;
            attention.paused.retain(|name, _| workspace.destinations.contains_key(name));
        }
        Ok(attention)
    }
}
