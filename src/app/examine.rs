//! Whether a version of the workspace can be run by this process, with everything that running it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::error;

use super::StartError;
use super::workers::Wanted;
use crate::crm;
use crate::map::{Files, Severity, Workspace};
use crate::workspace::{CompileError, Versions, readable_secrets};

/// Looks at versions with the eyes of this process.
pub(super) struct Examiner {
    pub(super) versions: Arc<Versions>,
    /// Secrets that stand in the YAML are refused where others can reach us.
    pub(super) loopback: bool,
}

/// A version that can be run, with everything it needs.
pub(super) struct Runnable {
    pub(super) workspace: Arc<Workspace>,
    pub(super) wanted: BTreeMap<String, Wanted>,
}

/// Why a version is not run.
pub(super) struct Refused {
    /// Where, without what: anybody may read it.
    pub(super) place: String,
    /// All of it, for the log.
    pub(super) problems: Vec<String>,
    /// Whether a process must not start like that either.
    pub(super) final_at_start: bool,
}

impl Examiner {
    /// Whether texts can be run here. Accounts that stay as they are among `known` stay connected.
    pub(super) async fn examine(
        &self,
        files: &Files,
        known: &BTreeMap<String, Wanted>,
    ) -> Result<Runnable, Refused> {
        let compiled = self.versions.compile(files).await?;
        let errors: Vec<_> =
            compiled.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        if let Some(first) = errors.first() {
            let more =
                if errors.len() > 1 { format!(" and {} more", errors.len() - 1) } else { String::new() };
            return Err(Refused {
                place: format!("{}:{}:{}{more}", first.file, first.line, first.column),
                problems: errors.iter().map(ToString::to_string).collect(),
                final_at_start: false,
            });
        }
        self.prepare(compiled.workspace, known)
    }

    /// Prepares what a compiled workspace needs; files that are broken are no obstacle here.
    pub(super) fn prepare(
        &self,
        workspace: Workspace,
        known: &BTreeMap<String, Wanted>,
    ) -> Result<Runnable, Refused> {
        let readable = readable_secrets(&workspace).filter(|_| !self.loopback);
        if let Some(why) = readable {
            return Err(Refused { place: "secrets".to_owned(), problems: vec![why], final_at_start: true });
        }
        let mut wanted = BTreeMap::new();
        for (name, destination) in &workspace.destinations {
            let same = known.get(name).filter(|known| known.destination == *destination);
            let crm = match same {
                Some(same) => Arc::clone(&same.crm),
                None => crm::connect(destination).map_err(|error| Refused {
                    place: format!("workspace.yaml, destination `{name}`"),
                    problems: vec![error.to_string()],
                    final_at_start: true,
                })?,
            };
            wanted.insert(name.clone(), Wanted { destination: destination.clone(), crm });
        }
        Ok(Runnable { workspace: Arc::new(workspace), wanted })
    }
}

impl Refused {
    /// Puts all of it into the log.
    pub(super) fn say(&self) {
        for problem in &self.problems {
            error!("{problem}");
        }
    }
}

impl From<CompileError> for Refused {
    fn from(error: CompileError) -> Self {
        Self { place: "compiling".to_owned(), problems: vec![error.to_string()], final_at_start: true }
    }
}

impl From<Refused> for StartError {
    fn from(refused: Refused) -> Self {
        Self(refused.problems.join("\n"))
    }
}
