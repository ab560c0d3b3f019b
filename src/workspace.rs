//! A workspace as a folder of files, and the compiled form of any version of it that a lead may be pinned to. Which version
//! is the active one is a row of the database: see [`crate::app`].

pub mod difference;
mod edit;
mod home;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::edit::finish as finish_edit;
pub use self::home::{Follow, Home, Place};
use crate::crm;
use crate::event::PRESETS;
use crate::map::{Compiled, Files, Workspace, compile};
use crate::store::{Store, StoreError};

/// Where `${NAME}` in a secret gets its value.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Compiled versions that are remembered at most.
const REMEMBERED: usize = 64;

/// Compiled versions by hash.
pub struct Versions {
    store: Store,
    environment: Environment,
    compiled: Mutex<HashMap<String, Arc<Workspace>>>,
}

impl Versions {
    /// An empty cache over the versions that the database keeps.
    pub fn new(store: Store, environment: Environment) -> Self {
        Self { store, environment, compiled: Mutex::default() }
    }

    /// Compiles texts; whoever compiles does it with the same presets, CRMs and environment. A workspace of hundreds of
    /// mappings takes a while, so it happens beside the threads that answer requests.
    pub async fn compile(&self, files: &Files) -> Result<Compiled, CompileError> {
        let environment = Arc::clone(&self.environment);
        aside(files, move |files| compile_with(files, &environment)).await
    }

    /// The same on a machine that need not know the secrets; see [`compile_without_secrets`].
    pub async fn compile_without_secrets(&self, files: &Files) -> Result<Compiled, CompileError> {
        let environment = Arc::clone(&self.environment);
        aside(files, move |files| compile_without_secrets(files, &environment).0).await
    }

    /// The compiled form of a version that was active at some time. Parts of it may be broken; then their leads say so.
    pub async fn get(&self, hash: &str) -> Result<Arc<Workspace>, StoreError> {
        if let Some(workspace) = self.lock().get(hash) {
            return Ok(Arc::clone(workspace));
        }
        let files = self.store.version(hash).await?.ok_or_else(|| {
            StoreError::new(format!("version {hash} of the workspace is not in the database any more"))
        })?;
        let compiled = self.compile(&files).await.map_err(|error| StoreError::new(error.to_string()))?;
        let workspace = Arc::new(compiled.workspace);
        self.remember(&workspace);
        Ok(workspace)
    }

    /// Remembers a version that was just compiled.
    pub fn remember(&self, workspace: &Arc<Workspace>) {
        let mut compiled = self.lock();
        // A server that lives for months sees many edits; what is needed again is compiled again.
        if compiled.len() >= REMEMBERED {
            compiled.clear();
        }
        compiled.insert(workspace.hash.clone(), Arc::clone(workspace));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Workspace>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compiling ended abnormally. It must not: whatever is wrong with a workspace is a problem with a place.
#[derive(Clone, Debug, thiserror::Error)]
#[error("leadfold failed while it compiled the workspace ({0}). This is a bug: report it with these files")]
pub struct CompileError(String);

async fn aside(
    files: &Files,
    compile: impl FnOnce(&Files) -> Compiled + Send + 'static,
) -> Result<Compiled, CompileError> {
    let files = files.clone();
    let compiled = tokio::task::spawn_blocking(move || compile(&files));
    compiled.await.map_err(|failure| CompileError(failure.to_string()))
}

/// As much of a version's hash as people need to tell it from others.
pub fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// Why a process that others can reach must not run a workspace: secrets whose value stands in the YAML for everybody to
/// read. `None` when there are none.
pub fn readable_secrets(workspace: &Workspace) -> Option<String> {
    let names: Vec<&str> = workspace.defaults_used.iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| {
        format!(
            "these secrets still have the value that stands in the YAML for everybody to read: {}. Set them in the \
             environment of the server; delete the files of sources and the destinations that you do not use (`leadfold \
             init` writes a workspace with nothing else in it); or let it listen on 127.0.0.1 only",
            names.join(", ")
        )
    })
}

/// Compiles texts with every preset and CRM that this leadfold has.
pub fn compile_with(files: &Files, environment: &Environment) -> Compiled {
    let presets: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    compile(files, &**environment, &crm::kinds(), &presets)
}

/// Compiles texts on a machine that need not know the secrets, because it does not run them. Also says which are missing
/// here: a name of each environment variable that is not set and has no default.
pub fn compile_without_secrets(files: &Files, environment: &Environment) -> (Compiled, BTreeSet<String>) {
    let compiled = compile_with(files, environment);
    let missing: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let (asked, real) = (Arc::clone(&missing), Arc::clone(environment));
    let defaults = compiled.workspace.defaults_used.clone();
    let stand_in: Environment = Arc::new(move |name| {
        real(name).filter(|value| !value.is_empty()).or_else(|| {
            (!defaults.contains(name)).then(|| {
                asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
                "secret-that-is-not-set-here".to_owned()
            })
        })
    });
    let without = compile_with(files, &stand_in);
    let missing = std::mem::take(&mut *missing.lock().unwrap_or_else(PoisonError::into_inner));
    if missing.is_empty() { (compiled, missing) } else { (without, missing) }
}

/// Reads `workspace.yaml` and every other `*.yaml` of a folder.
pub fn read_files(folder: &Path) -> Result<Files, String> {
    let unreadable = |error: &std::io::Error| {
        format!(
            "the workspace {} cannot be read: {error}. Name it with --workspace, or write one with `leadfold init`",
            folder.display()
        )
    };
    let mut files = Files::default();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(&error))? {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !name.starts_with('.') && path.extension().is_some_and(|extension| extension == "yaml") {
            let bytes = std::fs::read(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            // A file that is not UTF-8 is a broken mapping like any other: its place shows the replacement character.
            files.0.insert(name.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    if files.0.contains_key("workspace.yaml") {
        Ok(files)
    } else {
        Err(format!(
            "{} has no workspace.yaml. Name the folder that has one with --workspace, or write one with `leadfold init`",
            folder.display()
        ))
    }
}
