//! A plan: the steps that bring one lead to one destination, decided once and pushed without any further choice.

mod call;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::call::{Address, Call, Recipient};
use crate::id::StepId;
use crate::lead::Fields;

/// The id of a record as the CRM writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub String);

impl RecordId {
    /// The longest that is taken for an id, in bytes: it is found by an index, and no CRM has longer ones.
    pub const LONGEST: usize = 512;
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of record a [`RecordId`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of every CRM")]
pub enum RecordKind {
    Contact,
    Deal,
    Task,
    Note,
}

/// The decided list of steps and why they were chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order they are pushed. May be empty: then there is nothing to write and the lead is synced.
    pub steps: Vec<Step>,
    /// Why, in plain words, most important first.
    pub reasons: Vec<Reason>,
    /// The owner picked from a pool, when one was picked; sticks to the sync when the plan is decided anew.
    pub picked_owner: Option<String>,
}

/// One reason of a decision: a stable word for machines and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable word, such as `no_contact_found`.
    pub code: String,
    /// One sentence in plain words.
    pub text: String,
}

impl Reason {
    /// A reason from its word and its sentence.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into() }
    }
}

/// One write to the CRM, or one call of a bot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Our id of the step; also the marker that goes into the record it creates.
    pub id: StepId,
    /// What to write.
    pub action: Action,
}

/// What a step writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Make a contact.
    CreateContact {
        /// Its fields.
        contact: ContactFields,
    },
    /// Change fields of a contact.
    UpdateContact {
        /// The record.
        contact: RecordId,
        /// Only what changes.
        changes: ContactFields,
    },
    /// Make a deal on a contact.
    CreateDeal {
        /// Whose deal.
        contact: Reference,
        /// Its fields.
        deal: DealFields,
    },
    /// Change fields of a deal.
    UpdateDeal {
        /// The record.
        deal: RecordId,
        /// Only what changes.
        changes: DealFields,
    },
    /// Leave a task for somebody.
    CreateTask {
        /// The contact it is about.
        contact: Reference,
        /// The deal it is about.
        deal: Option<Reference>,
        /// Its fields.
        task: TaskFields,
    },
    /// Leave a note.
    AddNote {
        /// The contact it is about.
        contact: Reference,
        /// The deal it is about.
        deal: Option<Reference>,
        /// The text.
        text: String,
    },
    /// Have a bot do something.
    Call {
        /// What.
        call: Call,
    },
}

/// Kinds of steps, for declarations and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "see Action")]
pub enum StepKind {
    CreateContact,
    UpdateContact,
    CreateDeal,
    UpdateDeal,
    CreateTask,
    AddNote,
    Call,
}

impl StepKind {
    /// As people read it and as `expect: { plan: […] }` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateContact => "create contact",
            Self::UpdateContact => "update contact",
            Self::CreateDeal => "create deal",
            Self::UpdateDeal => "update deal",
            Self::CreateTask => "create task",
            Self::AddNote => "add note",
            Self::Call => "call",
        }
    }

    /// What a step of this kind makes; `None` for updates and calls.
    pub fn creates(self) -> Option<RecordKind> {
        match self {
            Self::CreateContact => Some(RecordKind::Contact),
            Self::CreateDeal => Some(RecordKind::Deal),
            Self::CreateTask => Some(RecordKind::Task),
            Self::AddNote => Some(RecordKind::Note),
            Self::UpdateContact | Self::UpdateDeal | Self::Call => None,
        }
    }
}

impl Action {
    /// Its kind.
    pub fn kind(&self) -> StepKind {
        match self {
            Self::CreateContact { .. } => StepKind::CreateContact,
            Self::UpdateContact { .. } => StepKind::UpdateContact,
            Self::CreateDeal { .. } => StepKind::CreateDeal,
            Self::UpdateDeal { .. } => StepKind::UpdateDeal,
            Self::CreateTask { .. } => StepKind::CreateTask,
            Self::AddNote { .. } => StepKind::AddNote,
            Self::Call { .. } => StepKind::Call,
        }
    }

    /// The record that an update changes; `None` for what makes one, and for calls.
    pub fn changed_record(&self) -> Option<&RecordId> {
        match self {
            Self::UpdateContact { contact: record, .. } | Self::UpdateDeal { deal: record, .. } => {
                Some(record)
            }
            Self::CreateContact { .. }
            | Self::CreateDeal { .. }
            | Self::CreateTask { .. }
            | Self::AddNote { .. }
            | Self::Call { .. } => None,
        }
    }
}

/// A record that exists, or the one that an earlier step of the same plan makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// A record in the CRM.
    Record(RecordId),
    /// The record made by this step of the same plan.
    Step(StepId),
}

impl Reference {
    /// The record, where it exists already.
    pub fn record(&self) -> Option<&RecordId> {
        match self {
            Self::Record(record) => Some(record),
            Self::Step(_) => None,
        }
    }
}

/// Fields of a contact to write; absent ones are left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContactFields {
    /// Display name.
    pub name: Option<String>,
    /// Phones, E.164 unless the mapping says `send_raw`; on update the whole new list.
    pub phones: Vec<String>,
    /// Emails; on update the whole new list.
    pub emails: Vec<String>,
    /// The responsible user.
    pub owner: Option<String>,
    /// Further fields.
    pub fields: Fields,
}

impl ContactFields {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Fields of a deal to write; absent ones are left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DealFields {
    /// Title.
    pub title: Option<String>,
    /// Pipeline by name.
    pub pipeline: Option<String>,
    /// Stage by name.
    pub stage: Option<String>,
    /// The responsible user.
    pub owner: Option<String>,
    /// Further fields.
    pub fields: Fields,
}

impl DealFields {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Fields of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskFields {
    /// One line.
    pub title: String,
    /// The body.
    pub text: String,
    /// The CRM's task type.
    pub kind: Option<String>,
    /// When it is due.
    pub due_at: Timestamp,
    /// The responsible user.
    pub owner: Option<String>,
}

/// A contact as the CRM has it, with its open deals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundContact {
    /// The record.
    pub id: RecordId,
    /// The responsible user.
    pub owner: Option<String>,
    /// When the CRM made it.
    pub created_at: Option<Timestamp>,
    /// Display name.
    pub name: Option<String>,
    /// Phones as the CRM writes them.
    pub phones: Vec<String>,
    /// Emails as the CRM writes them.
    pub emails: Vec<String>,
    /// Further fields.
    pub fields: Fields,
    /// Deals that the CRM calls open.
    pub deals: Vec<FoundDeal>,
}

/// A deal as the CRM has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundDeal {
    /// The record.
    pub id: RecordId,
    /// Title.
    pub title: Option<String>,
    /// Pipeline by name.
    pub pipeline: Option<String>,
    /// Stage by name.
    pub stage: Option<String>,
    /// The responsible user.
    pub owner: Option<String>,
    /// When the CRM made it.
    pub created_at: Option<Timestamp>,
    /// Further fields.
    pub fields: Fields,
}

/// Who goes first when the budget is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A lead that came just now.
    #[default]
    Live,
    /// Imports and bulk replays.
    Backfill,
}
