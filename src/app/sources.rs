//! Which paths answer 2xx: the sources of the workspace, and those it had before.

use std::collections::BTreeMap;

use crate::event::{PRESETS, TRIGGER, preset};
use crate::map::Workspace;
use crate::prepare::{PAUSED, token_hash};
use crate::receive::{Entry, Sources};
use crate::store::versions::RememberedSource;
use crate::token::{from_hex, to_hex};

/// What the receiving end is told of a version.
pub(super) fn sources(workspace: &Workspace, remembered: &[RememberedSource]) -> Sources {
    let mut entries = BTreeMap::new();
    for source in remembered {
        let Some(preset) = preset(&source.preset) else { continue };
        let waiting = Some(format!("source '{}' was removed from the workspace or renamed", source.name));
        let token_hash = from_hex(&source.token_hash);
        entries.insert(source.name.clone(), Entry { preset, token_hash, secret: None, app: None, waiting });
    }
    // Triggers come in over the API alone, and need no token of their own.
    for source in workspace.sources.values().filter(|source| source.preset != TRIGGER) {
        // Without a readable preset the source is received as what it may be: anything that can be posted.
        let Some(preset) = preset(&source.preset).or_else(|| PRESETS.first().copied()) else { continue };
        let waiting = match &source.mapping {
            Err(broken) => Some(broken.to_string()),
            Ok(_) if source.paused => Some(PAUSED.to_owned()),
            Ok(_) => None,
        };
        let before = entries.get(&source.name).and_then(|entry: &Entry| entry.token_hash);
        let token_hash = token_hash(source).or(before);
        let (app, secret) = (source.app.clone(), source.secret.clone());
        entries.insert(source.name.clone(), Entry { preset, token_hash, app, secret, waiting });
    }
    Sources(entries)
}

/// What is kept of the sources for the day on which the workspace no longer has them.
pub(super) fn to_remember(workspace: &Workspace) -> Vec<RememberedSource> {
    let hashed = workspace.sources.values().filter_map(|source| {
        let token_hash = to_hex(&token_hash(source)?);
        Some(RememberedSource { name: source.name.clone(), preset: source.preset.clone(), token_hash })
    });
    hashed.collect()
}

/// The sources whose deliveries can be prepared: whatever of theirs waits has waited long enough.
pub(super) fn readable(workspace: &Workspace) -> Vec<String> {
    let readable = workspace.sources.values().filter(|source| source.mapping.is_ok() && !source.paused);
    readable.map(|source| source.name.clone()).collect()
}
