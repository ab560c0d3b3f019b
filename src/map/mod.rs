//! YAML × event → what a lead becomes. Pure: texts in, values out.

use std::collections::BTreeMap;

/// The texts of a workspace: `workspace.yaml` and one file per source, by file name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, String>);
