//! `leadfold schema`: JSON Schemas of the YAML, for editors, and the OpenAPI document of `/api`, for programs.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{End, Failure, say};
use crate::crm;
use crate::event::PRESETS;
use crate::map::schema::{of_mapping, of_workspace};
use crate::web::openapi;

const EXAMPLES: &str = "\
Examples:
  mkdir -p mappings/.schema
  leadfold schema workspace > mappings/.schema/workspace.json
  leadfold schema mapping > mappings/.schema/mapping.json
  leadfold schema --api > openapi.json

Editors with a YAML language server (VS Code with the YAML extension, JetBrains,
Neovim …) complete and explain keys, and underline unknown ones, once the first
line of a file names its schema. `leadfold init` has done both. The first line
of workspace.yaml, and that of every other file:

  # yaml-language-server: $schema=.schema/workspace.json
  # yaml-language-server: $schema=.schema/mapping.json

Only `leadfold check` reads placeholders and knows the names in other files.

With --api it is the OpenAPI 3.1 document of `/api`; a running leadfold answers
the same at /api/openapi.json.";

/// Arguments of `schema`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Of which file
    #[arg(value_enum, required_unless_present = "api")]
    of: Option<Of>,

    /// Of the API, as an OpenAPI document
    #[arg(long, conflicts_with = "of")]
    api: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Of {
    /// workspace.yaml
    Workspace,
    /// The file of a source
    Mapping,
}

pub(super) fn run(options: &Options) -> Result<End, Failure> {
    let document = match options.of {
        Some(of) => text(of)?,
        None => written(&openapi::document())?,
    };
    say(&document)?;
    Ok(End::Done)
}

/// The schema as text.
pub(super) fn text(of: Of) -> Result<String, Failure> {
    let schema = match of {
        Of::Workspace => of_workspace(&crm::kinds()),
        Of::Mapping => {
            let presets: Vec<_> = PRESETS.iter().map(|preset| (preset.name, preset.summary)).collect();
            of_mapping(&presets)
        }
    };
    written(&schema)
}

fn written(schema: &Value) -> Result<String, Failure> {
    serde_json::to_string_pretty(schema).map_err(|error| format!("the schema cannot be written: {error}"))
}
