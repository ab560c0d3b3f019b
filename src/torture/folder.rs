//! The folder of a torture: the workspace of its processes, and later their logs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::clock::{Clock as _, SystemClock};

/// A call of the CRM is given up after half a second; what was sent is looked up once the CRM has settled, which is longer
/// than a call, the lag of its search and what a busy machine takes for both. An event is named in the title of what it
/// made, so that a record can be told from another without asking leadfold.
const WORKSPACE: &str = r#"destinations:
  crm: { crm: sandbox, url: "http://{ADDRESS}", token: demo, concurrency: 48, timeout: 500ms, settle: 3s, search_lag: 300ms, markers: {MARKERS} }
owner_pools:
  sales: [anna, borys, dana]
"#;
const MAPPING: &str = r#"source: { preset: sendpulse, token: torture }
leads:
  - name: everybody
    to: [crm]
    owners: sales
    phone: { regions: [UA] }
    contact:
      name: "{{ contact.name }}"
      phone: "{{ contact.variables.phone }}"
      fields:
        telegram_chat: "{{ contact.id if service == 'telegram' }}"
        instagram_chat: "{{ contact.id if service == 'instagram' }}"
        viber_chat: "{{ contact.id if service == 'viber' }}"
    deal: { title: "Lead {{ date }}", pipeline: Main, stage: New }
    task: { title: "Again {{ date }}" }
    rules: { preset: leadbox, update: only_empty }
"#;

/// Makes the folder and writes the workspace.
pub(super) fn make(crm: SocketAddr, blind: bool) -> Result<PathBuf, Failure> {
    let folder = std::env::temp_dir().join(format!("leadfold-torture-{}", SystemClock.new_id()));
    let workspace = WORKSPACE.replace("{ADDRESS}", &crm.to_string());
    let workspace = workspace.replace("{MARKERS}", if blind { "false" } else { "true" });
    fs::create_dir_all(folder.join("mappings"))
        .and_then(|()| fs::write(folder.join("mappings/workspace.yaml"), workspace))
        .and_then(|()| fs::write(folder.join("mappings/sendpulse.yaml"), MAPPING))
        .map_err(|error| format!("the folder {} cannot be written: {error}", folder.display()))?;
    Ok(folder)
}

/// Removes it with all that is in it.
pub(super) fn remove(folder: &Path) -> Result<(), Failure> {
    fs::remove_dir_all(folder).map_err(|error| format!("{} could not be removed: {error}", folder.display()))
}
