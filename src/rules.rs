//! The choices that sales operations make in YAML and that [`crate::decide`] obeys: what to create, what to update, who gets it.
//!
//! [`crate::map`] reads them; their defaults are preset `leadbox` (contact or not, open deal or not: the table in [`crate::decide`]).

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod alerts;
mod identity;
mod links;
mod operations;
mod pools;

pub use alerts::{AlertRules, Encryption, Mail, TELEGRAM, TelegramChat};
pub use identity::{IdentifierOrder, IdentityRules, Limits};
pub use links::LinkRules;
pub use operations::{BotKind, CheckCall, Misuse, Operation, Parameter, Shape};
pub use pools::{
    Days, Hours, InactiveUsers, OutsideHours, OwnerPool, PoolOwner, PoolState, Turn, WeeklyHours, folded,
};

/// The rules of one branch of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// When a deal may be created.
    pub create_deal: CreateDeal,
    /// What a lead leaves when its contact already has an open deal.
    pub task_on_repeat: TaskOnRepeat,
    /// What happens to fields of records that already exist.
    pub update: Update,
    /// Exceptions to `update`, by CRM field name (`name`, `phone`, `email`, `title`, `pipeline`, `stage` included).
    pub update_fields: BTreeMap<String, FieldPolicy>,
    /// A contact is only created for a lead (or a person) that has at least one of these. Empty: always.
    pub needs: Vec<Need>,
    /// Which deals count as open.
    pub open_deal: OpenDeal,
    /// What to do when identifiers disagree about who it is.
    pub conflict: Conflict,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            create_deal: CreateDeal::WhenNoneOpen,
            task_on_repeat: TaskOnRepeat::Always,
            update: Update::None,
            update_fields: BTreeMap::new(),
            needs: vec![Need::Phone, Need::Email],
            open_deal: OpenDeal::default(),
            conflict: Conflict::PreferFirst,
        }
    }
}

/// When a deal may be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateDeal {
    /// When the contact has no open deal.
    WhenNoneOpen,
    /// Never: only ever update what exists; nothing found is filtered.
    Never,
}

/// What a repeated lead leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOnRepeat {
    /// One task per repeated lead.
    Always,
    /// No task.
    Never,
    /// One task for all repeats inside this window.
    Collapse(Duration),
}

/// What happens to fields of an existing record. An empty incoming value never erases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// Nothing is written.
    None,
    /// Every mapped field is written.
    All,
    /// Only fields that are empty in the CRM are written.
    OnlyEmpty,
}

/// The same choice for one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldPolicy {
    /// Overwrite.
    Always,
    /// Write where the CRM has nothing.
    IfEmpty,
    /// Add to what is there, unless it is there already.
    Append,
    /// Overwrite when this lead is newer than the last lead that wrote the field.
    Newest,
    /// Leave alone.
    Never,
}

/// Something a lead must have before anything is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// A usable phone.
    Phone,
    /// A usable email.
    Email,
    /// A name.
    Name,
    /// A chat.
    Chat,
}

/// Which deals count as open, beyond what the CRM itself calls open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDeal {
    /// Only deals in these pipelines; empty: any.
    pub pipelines: Vec<String>,
    /// Only deals in these stages; empty: any.
    pub stages: Vec<String>,
    /// Only deals younger than this.
    pub max_age: Option<Duration>,
}

/// What to do when one identifier says person A and another says person B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// The identifier of highest priority decides; the disagreement is recorded.
    PreferFirst,
    /// The lead waits in needs-attention.
    Review,
}

/// One account that leadfold writes to, as the workspace describes it. Equal ones need no other worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Name in the workspace.
    pub name: String,
    /// Name of the adapter, such as `sandbox`.
    pub crm: String,
    /// Whether anything is written.
    pub mode: Mode,
    /// Part of the account's rate budget that is ours, above 0 and up to 1, because other tools use it too.
    pub share: f64,
    /// How long one call may take.
    pub timeout: Duration,
    /// Overrides the adapter's settle time (longest processing + search lag).
    pub settle: Option<Duration>,
    /// How long after the end of a step that was sent again it is looked for once more: longer than any freeze of a
    /// process, and than any proxy holds a request.
    pub audit: Duration,
    /// What happens to a blind step whose outcome is unknown.
    pub blind: Blind,
    /// A bot serves the chats of these scopes; `*` at the end stands for anything. Empty: what its description says.
    pub chats: Vec<String>,
    /// The adapter's own settings, secrets resolved.
    pub settings: Settings,
}

/// Whether a destination is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Looks up, decides and writes.
    Live,
    /// Looks up, decides, explains, and writes nothing.
    Observe,
    /// Does nothing; the queue is kept.
    Paused,
}

/// What happens to a blind step (no look-up exists) when nobody knows whether it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blind {
    /// A person decides: the lead goes to needs-attention.
    #[default]
    AtMostOnce,
    /// It is sent again and may be there twice.
    AtLeastOnce,
}

/// Settings of an adapter by name; a nested one is the text of its JSON. Values may be secrets, so they never print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(pub BTreeMap<String, String>);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What an adapter asks of the workspace: one entry of its settings schema.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Key in the YAML.
    pub name: &'static str,
    /// Whether `check` complains when it is missing.
    pub required: bool,
    /// Whether `${…}` may stand in it.
    pub secret: bool,
    /// What it is, with unit and example.
    pub summary: &'static str,
}
