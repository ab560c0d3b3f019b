//! What an author may write: placeholders of what came to a source, and what the accounts have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Role;
use crate::compare::{Account, compare};
use crate::crm::catalog::Catalog;
use crate::crm::{self, examine};
use crate::decide::Capabilities;
use crate::event::preset;
use crate::map::{Files, Placeholder, Problem, Workspace, mentions, placeholders};
use crate::operation::{Means, Operation, OperationError};
use crate::rules::Destination;
use crate::store::rehearsal::{Selection, StoredDelivery};

/// Says what an author may write. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtNames {
    /// Placeholders of what came to this source.
    #[serde(default)]
    pub source: Option<String>,
    /// Also what the accounts of the active version have. They are asked at most every ten minutes.
    #[serde(default)]
    pub accounts: bool,
}

/// What an author may write.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Names {
    /// What the last deliveries of the source hold.
    pub placeholders: Vec<Placeholder>,
    /// What each CRM has.
    pub catalogs: BTreeMap<String, Catalog>,
    /// Why a CRM could not be asked.
    pub unknown: BTreeMap<String, String>,
    /// CRMs of the workspace.
    pub crms: Vec<String>,
    /// Bots of the workspace.
    pub bots: Vec<String>,
    /// Owner pools of the workspace.
    pub owner_pools: Vec<String>,
}

/// Deliveries that are looked through for placeholders.
const DELIVERIES: usize = 20;
/// Most placeholders.
const MOST: usize = 400;
/// How long an account may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer counts.
const COUNTS_FOR: SignedDuration = SignedDuration::from_mins(10);
/// How long it counts that there was none.
const FAILED_FOR: SignedDuration = SignedDuration::from_secs(30);

impl Operation for LookAtNames {
    const PATH: &'static str = "/api/mappings/names";
    const ROLE: Role = Role::Operator;
    type Answer = Names;

    /// It changes nothing.
    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Names, OperationError> {
        let workspace = means.active().await?;
        let mut names = Names {
            crms: workspace
                .destinations
                .keys()
                .filter(|name| !workspace.bots.contains_key(*name))
                .cloned()
                .collect(),
            bots: workspace.bots.keys().cloned().collect(),
            owner_pools: workspace.owner_pools.keys().cloned().collect(),
            ..Names::default()
        };
        if let Some(source) = &self.source {
            let selection = Selection { source: Some(source.clone()), ..Selection::default() };
            let stored = means.store.stored_deliveries(&selection, None, DELIVERIES).await?;
            names.placeholders = of_deliveries(&workspace, &stored);
        }
        if self.accounts {
            for (name, answer) in means.catalogs.ask(&workspace, means.clock.now()).await {
                match answer {
                    Ok(catalog) => drop(names.catalogs.insert(name, (*catalog).clone())),
                    Err(why) => drop(names.unknown.insert(name, why)),
                }
            }
        }
        Ok(names)
    }
}

/// The placeholders of deliveries, each with what it read last.
pub(super) fn of_deliveries(workspace: &Workspace, stored: &[StoredDelivery]) -> Vec<Placeholder> {
    let mut found: Vec<Placeholder> = Vec::new();
    for stored in stored.iter().filter(|stored| stored.emptied_at.is_none()) {
        let source = workspace.sources.get(&stored.delivery.source);
        let Some(preset) = source.and_then(|source| preset(&source.preset)) else { continue };
        for event in (preset.split)(&stored.delivery).unwrap_or_default() {
            for placeholder in placeholders(&event) {
                let room = found.len() < MOST;
                match found.iter_mut().find(|known| known.path == placeholder.path) {
                    Some(known) if known.reads.is_empty() => *known = placeholder,
                    None if room => found.push(placeholder),
                    Some(_) | None => {}
                }
            }
        }
    }
    found
}

/// What accounts said that they have, for a while: a list costs calls of the account's rate budget.
#[derive(Default)]
pub struct Catalogs {
    kept: Mutex<BTreeMap<String, Kept>>,
    /// One account is asked at a time.
    asking: tokio::sync::Mutex<()>,
}

struct Kept {
    destination: Destination,
    can: Capabilities,
    answer: Result<Arc<Catalog>, String>,
    at: Timestamp,
}

impl Catalogs {
    /// What every CRM of a workspace has, by the name of its destination; an error says why that is not known.
    pub(super) async fn ask(
        &self,
        workspace: &Workspace,
        now: Timestamp,
    ) -> Vec<(String, Result<Arc<Catalog>, String>)> {
        let crms = workspace.destinations.values().filter(|one| !workspace.bots.contains_key(&one.name));
        let mut answers = Vec::new();
        for destination in crms {
            answers.push((destination.name.clone(), self.get(destination, now).await));
        }
        answers
    }

    /// What the account of a destination has. The error says why it is not known.
    async fn get(&self, destination: &Destination, now: Timestamp) -> Result<Arc<Catalog>, String> {
        if let Some(known) = self.known(destination, now) {
            return known;
        }
        let _turn = self.asking.lock().await;
        if let Some(known) = self.known(destination, now) {
            return known;
        }
        let crm = crm::connect(destination).map_err(|error| error.to_string())?;
        let answer = examine::catalog(&*crm, PATIENCE.min(destination.timeout)).await;
        let answer = answer.map(Arc::new).map_err(|error| error.to_string());
        let kept = Kept {
            destination: destination.clone(),
            can: crm.capabilities(),
            answer: answer.clone(),
            at: now,
        };
        self.lock().insert(destination.name.clone(), kept);
        answer
    }

    fn known(&self, destination: &Destination, now: Timestamp) -> Option<Result<Arc<Catalog>, String>> {
        let kept = self.lock();
        let kept = kept.get(&destination.name)?;
        let counts_for = if kept.answer.is_ok() { COUNTS_FOR } else { FAILED_FOR };
        let counts = kept.destination == *destination && now.duration_since(kept.at) < counts_for;
        counts.then(|| kept.answer.clone())
    }

    /// What the names in these texts are compared with the accounts that are known. Asks nobody.
    pub(super) fn compare(&self, files: &Files) -> Vec<Problem> {
        let mentions = mentions(files);
        let kept = self.lock();
        let accounts =
            kept.iter().filter_map(|(name, kept)| Some((name, kept.answer.as_ref().ok()?, kept.can)));
        let problems = accounts.flat_map(|(destination, catalog, can)| {
            compare(&mentions, &Account { destination, catalog, can }).problems
        });
        problems.collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
