//! The files of the active version.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Judged, Tested, Told, judge};
use crate::access::Role;
use crate::crm::kinds;
use crate::map::{Branch, Mapping, Source, hidden, source_of};
use crate::operation::{Means, NO_VERSION, Operation, OperationError};
use crate::workspace::Place;

/// Shows the files of the active version. Changes nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtMappings {
    /// Also the text of this file.
    #[serde(default)]
    pub file: Option<String>,
}

/// The files of the active version.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Mappings {
    /// Its hash.
    pub version: String,
    /// The files by name, `workspace.yaml` first.
    pub files: Vec<FileTold>,
    /// Leads that were counted by branch, the newest of all sources.
    pub counted: i64,
    /// Why an edit cannot be saved here; absent when it can.
    pub read_only: Option<String>,
    /// The text of the file that was asked for, with secrets that are written out hidden.
    pub text: Option<String>,
}

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileTold {
    /// Its name.
    pub file: String,
    /// What it is a mapping of; absent for `workspace.yaml`.
    pub source: Option<SourceTold>,
    /// What is wrong with it.
    pub problems: Vec<Told>,
    /// How its tests ended.
    pub tests: Vec<Tested>,
}

/// One source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SourceTold {
    /// Its name.
    pub name: String,
    /// Its preset; empty when the file names none.
    pub preset: String,
    /// Whether its deliveries are kept without being prepared.
    pub paused: bool,
    /// Its branches in order, with how many of the counted leads each took.
    pub branches: Vec<BranchCount>,
}

/// One branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchCount {
    /// Its name.
    pub branch: String,
    /// Where its leads go.
    pub to: Vec<String>,
    /// How many of the counted leads it took.
    pub leads: i64,
}

/// Leads that are counted by branch.
const COUNTED: i64 = 1_000;

impl Operation for LookAtMappings {
    const PATH: &'static str = "/api/mappings";
    const ROLE: Role = Role::Viewer;
    type Answer = Mappings;

    async fn run(self, means: &Means) -> Result<Mappings, OperationError> {
        let active = means.store.active_version().await?;
        let (version, files) = active.ok_or_else(|| OperationError::Refused(NO_VERSION.to_owned()))?;
        let Judged { workspace, problems, tests } = judge(means, &files).await?;
        let counts = branches(means).await?;
        let told = |file: &String| {
            let name = source_of(file).ok();
            let source = name.and_then(|name| workspace.as_ref()?.sources.get(name));
            let tests = tests.iter().filter(|test| Some(test.source.as_str()) == name);
            FileTold {
                file: file.clone(),
                source: source.map(|source| told(source, &counts)),
                problems: problems.iter().filter(|problem| problem.file == *file).map(Told::from).collect(),
                tests: tests.cloned().map(Tested::from).collect(),
            }
        };
        let mut all: Vec<FileTold> = files.0.keys().map(told).collect();
        all.sort_by_key(|told| (told.source.is_some(), told.file.clone()));
        let text = self.file.and_then(|file| hidden(&files, &kinds()).0.remove(&file));
        let read_only = match means.home.place() {
            Place::Nowhere(why) => Some(why),
            Place::Files | Place::Database => None,
        };
        Ok(Mappings { version, files: all, counted: COUNTED, read_only, text })
    }
}

fn told(source: &Source, counts: &BTreeMap<(String, String), i64>) -> SourceTold {
    let branches = source.mapping.as_ref().map(Mapping::branches).unwrap_or_default();
    let count = |name: &String| counts.get(&(source.name.clone(), name.clone())).copied().unwrap_or_default();
    let branch = |branch: &Branch| BranchCount {
        branch: branch.name.clone(),
        to: branch.to.clone(),
        leads: count(&branch.name),
    };
    SourceTold {
        name: source.name.clone(),
        preset: source.preset.clone(),
        paused: source.paused,
        branches: branches.iter().map(branch).collect(),
    }
}

/// How many of the newest leads each branch took, by source and by the name that it had then.
async fn branches(means: &Means) -> Result<BTreeMap<(String, String), i64>, OperationError> {
    let mut counts = BTreeMap::new();
    for taken in means.store.branches(COUNTED).await? {
        // A version that is gone has no names any more.
        let Ok(workspace) = means.versions.get(&taken.version).await else { continue };
        let mapping = workspace.sources.get(&taken.source).and_then(|source| source.mapping.as_ref().ok());
        let branch = mapping.and_then(|mapping| mapping.branches().get(taken.branch));
        if let Some(branch) = branch {
            *counts.entry((taken.source, branch.name.clone())).or_default() += taken.leads;
        }
    }
    Ok(counts)
}
