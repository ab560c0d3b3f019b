//! The operations that a CRM may be described by: their names in the YAML, what their requests may say, and what follows
//! where one is missing.

use std::collections::BTreeMap;

use super::answer::{Items, Pick, Rule};
use super::request::Request;
use crate::plan::{RecordKind, StepKind};

/// What the CRM can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Op {
    Ping,
    FindByPhone,
    FindByEmail,
    GetContact,
    CreateContact,
    UpdateContact,
    FindOpenDeals,
    CreateDeal,
    UpdateDeal,
    CreateTask,
    AddNote,
    FindByMarker(RecordKind),
    ListUsers,
    ListPipelines,
}

/// Everything about an operation that does not depend on the CRM.
pub(super) struct Kind {
    pub(super) op: Op,
    /// Its key under `operations:`, its name in messages and in metrics.
    pub(super) word: &'static str,
    /// What `{{ … }}` in its request may read.
    pub(super) sees: &'static [&'static str],
    /// Where things stand in its answer, beside `items`.
    pub(super) picks: &'static [&'static str],
    /// What follows when the CRM has no such thing; empty where nothing is lost.
    pub(super) without: &'static str,
}

const CONTACT: &[&str] = &["name", "phone", "phones", "email", "emails", "owner", "fields", "marker"];
const CONTACT_CHANGE: &[&str] = &["id", "name", "phone", "phones", "email", "emails", "owner", "fields"];
const DEAL: &[&str] = &["contact", "title", "pipeline", "stage", "owner", "fields", "marker"];
const DEAL_CHANGE: &[&str] = &["id", "title", "pipeline", "stage", "owner", "fields"];
const TASK: &[&str] = &["contact", "deal", "title", "text", "type", "due", "due_unix", "owner", "marker"];
const NOTE: &[&str] = &["contact", "deal", "text", "marker"];

/// Every operation, in the order in which somebody would try them out.
pub(super) const KINDS: &[Kind] = &[
    kind(Op::Ping, "ping", &[], &["name"], ""),
    kind(Op::FindByPhone, "find_contact_by_phone", &["phone"], &[], "people are found by email only"),
    kind(Op::FindByEmail, "find_contact_by_email", &["email"], &[], "people are found by phone only"),
    kind(Op::GetContact, "get_contact", &["id"], &[], ""),
    kind(Op::CreateContact, "create_contact", CONTACT, &["id"], ""),
    kind(
        Op::UpdateContact,
        "update_contact",
        CONTACT_CHANGE,
        &[],
        "contacts stay as they are, whatever `update:` says",
    ),
    kind(Op::FindOpenDeals, "find_open_deals", &["contact"], &[], ""),
    kind(Op::CreateDeal, "create_deal", DEAL, &["id"], "no deals are made"),
    kind(Op::UpdateDeal, "update_deal", DEAL_CHANGE, &[], "deals stay as they are, whatever `update:` says"),
    kind(Op::CreateTask, "create_task", TASK, &["id"], "who comes back leaves a note instead of a task"),
    kind(Op::AddNote, "add_note", NOTE, &["id"], "notes stand in the task, or nowhere"),
    kind(Op::FindByMarker(RecordKind::Contact), "find_contact_by_marker", &["marker"], &["id"], ""),
    kind(Op::FindByMarker(RecordKind::Deal), "find_deal_by_marker", &["marker"], &["id"], ""),
    kind(Op::FindByMarker(RecordKind::Task), "find_task_by_marker", &["marker"], &["id"], ""),
    kind(Op::FindByMarker(RecordKind::Note), "find_note_by_marker", &["marker"], &["id"], ""),
    kind(Op::ListUsers, "list_users", &[], &["id", "name", "login", "active"], ""),
    kind(Op::ListPipelines, "list_pipelines", &[], &["id", "name", "stages", "stage_id", "stage_name"], ""),
];

const fn kind(
    op: Op,
    word: &'static str,
    sees: &'static [&'static str],
    picks: &'static [&'static str],
    without: &'static str,
) -> Kind {
    Kind { op, word, sees, picks, without }
}

impl Op {
    /// The operation that writes a step; `None` for the call of a bot.
    pub(super) fn of(step: StepKind) -> Option<Self> {
        Some(match step {
            StepKind::CreateContact => Self::CreateContact,
            StepKind::UpdateContact => Self::UpdateContact,
            StepKind::CreateDeal => Self::CreateDeal,
            StepKind::UpdateDeal => Self::UpdateDeal,
            StepKind::CreateTask => Self::CreateTask,
            StepKind::AddNote => Self::AddNote,
            StepKind::Call => return None,
        })
    }

    /// What it makes.
    pub(super) fn creates(self) -> Option<RecordKind> {
        match self {
            Self::CreateContact => Some(RecordKind::Contact),
            Self::CreateDeal => Some(RecordKind::Deal),
            Self::CreateTask => Some(RecordKind::Task),
            Self::AddNote => Some(RecordKind::Note),
            Self::Ping
            | Self::FindByPhone
            | Self::FindByEmail
            | Self::GetContact
            | Self::UpdateContact
            | Self::FindOpenDeals
            | Self::UpdateDeal
            | Self::FindByMarker(_)
            | Self::ListUsers
            | Self::ListPipelines => None,
        }
    }

    /// Whether its answer holds records.
    pub(super) fn lists(self) -> bool {
        match self {
            Self::FindByPhone
            | Self::FindByEmail
            | Self::GetContact
            | Self::FindOpenDeals
            | Self::FindByMarker(_)
            | Self::ListUsers
            | Self::ListPipelines => true,
            Self::Ping
            | Self::CreateContact
            | Self::UpdateContact
            | Self::CreateDeal
            | Self::UpdateDeal
            | Self::CreateTask
            | Self::AddNote => false,
        }
    }

    /// Its name in the YAML.
    pub(super) fn word(self) -> &'static str {
        KINDS.iter().find(|kind| kind.op == self).map_or("", |kind| kind.word)
    }
}

/// An operation as the workspace describes it.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) word: &'static str,
    pub(super) request: Request,
    /// Where the records stand in the answer.
    pub(super) items: Items,
    /// Where parts stand in the answer or in a record, by key.
    pub(super) picks: BTreeMap<&'static str, Pick>,
    /// Answers that mean: there is none.
    pub(super) not_found: Vec<Rule>,
    /// Answers that mean: there is one already; with the place of its id.
    pub(super) duplicate: Option<(Rule, Pick)>,
    /// Whether the CRM itself refuses a second copy.
    pub(super) keyed: bool,
}
