//! The `tests:` of a source file: an event, what the CRM knows, and what should come of it.

use super::Files;
use super::problem::Span;
use super::reader::{Reader, Section};
use super::yaml::{self, Kind, Node};
use crate::lead::Fields;
use crate::plan::StepKind;

/// One entry of `tests:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Its name.
    pub name: String,
    /// The file with the request's body, relative to the file of the source.
    pub given: String,
    /// Which event of the request, from 0.
    pub event: usize,
    /// Which of the person's postbacks of this event it is, from 1.
    pub ordinal: u64,
    /// What the CRM holds of this person.
    pub crm: CrmState,
    /// What should come of it.
    pub expect: Expectation,
    /// Line of the entry, from 1.
    pub line: usize,
}

/// What the CRM of a test holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrmState {
    /// Nobody.
    #[default]
    Nothing,
    /// The contact, without a deal.
    Contact,
    /// The contact with an open deal.
    OpenDeal,
}

/// What a test expects. What it does not name is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectation {
    /// Name of the branch.
    pub branch: Option<String>,
    /// The first phone, E.164.
    pub phone: Expected,
    /// The first email.
    pub email: Expected,
    /// The name.
    pub name: Expected,
    /// Fields of the contact or the deal; `null` expects that there is none.
    pub fields: Fields,
    /// What is remembered of the person; `null` expects that nothing is.
    pub person: Fields,
    /// Title of the deal.
    pub title: Expected,
    /// Whether the event is filtered, and by which rule (the reason's word).
    pub filtered: Option<Filtered>,
    /// Kinds of the plan's steps, in order.
    pub plan: Option<Vec<StepKind>>,
    /// The calls of bots, each as `bot: operation`, by the bots' names and then in their order.
    pub calls: Option<Vec<String>>,
}

/// What a test expects of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// It is not looked at.
    #[default]
    Anything,
    /// There is none.
    Nothing,
    /// This one.
    Text(String),
}

/// What a test expects of filtering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// It makes a lead.
    No,
    /// It is filtered, by whatever rule.
    Yes,
    /// It is filtered by this rule.
    By(String),
}

/// A request that a test names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file that the test stands in.
    pub file: String,
    /// Where.
    pub span: Span,
    /// The request's file, relative to it.
    pub given: String,
}

/// Every request that a test of these texts names, also of such as have errors elsewhere.
pub fn samples(files: &Files) -> Vec<Sample> {
    let tests = |text: &str| match yaml::parse(text).root.get("tests").map(|node| &node.kind) {
        Some(Kind::List(tests)) => tests.clone(),
        Some(Kind::Map { .. } | Kind::Scalar { .. }) | None => Vec::new(),
    };
    let of = |(file, text): (&String, &String)| {
        let sample = |test: &Node| {
            let node = test.get("given")?;
            Some(Sample { file: file.clone(), span: node.span, given: node.scalar()?.to_owned() })
        };
        tests(text).iter().filter_map(sample).collect::<Vec<_>>()
    };
    files.0.iter().flat_map(of).collect()
}

pub(super) const KEYS: &[&str] = &["name", "given", "event", "ordinal", "crm", "expect"];

pub(super) const EXPECT_KEYS: &[&str] =
    &["branch", "phone", "email", "name", "fields", "person", "title", "filtered", "plan", "calls"];

pub(super) const CRM: &[(&str, CrmState)] =
    &[("nothing", CrmState::Nothing), ("contact", CrmState::Contact), ("open_deal", CrmState::OpenDeal)];

pub(super) const STEPS: [StepKind; 7] = [
    StepKind::CreateContact,
    StepKind::UpdateContact,
    StepKind::CreateDeal,
    StepKind::UpdateDeal,
    StepKind::CreateTask,
    StepKind::AddNote,
    StepKind::Call,
];

/// Reads `tests:`.
pub(super) fn read(reader: &Reader<'_>, node: &Node, branches: &[String]) -> Vec<Example> {
    let items = reader.list(node, "`tests`").iter();
    items.filter_map(|item| example(reader, item, branches)).collect()
}

fn example(reader: &Reader<'_>, node: &Node, branches: &[String]) -> Option<Example> {
    let section = reader.section(node, "an entry of `tests`", KEYS)?;
    let text = |key: &str| section.get(key).and_then(|node| reader.text(node, &format!("`{key}`")));
    let given = text("given");
    if section.get("given").is_none() {
        let help = "write `given: ../fixtures/sendpulse/new_lead.json`".to_owned();
        reader.error(node.span, "this test has no `given`", Some(help));
    }
    if section.get("expect").is_none() {
        let help = "write what should come of it: `expect: { phone: \"+380671234567\" }`".to_owned();
        reader.error(node.span, "this test expects nothing", Some(help));
    }
    Some(Example {
        name: text("name").unwrap_or_else(|| format!("test in line {}", node.span.line)),
        given: given?,
        event: section.get("event").and_then(|node| reader.count(node, "`event`")).unwrap_or(0),
        ordinal: ordinal(reader, &section),
        crm: section.get("crm").and_then(|node| reader.choice(node, "`crm`", CRM)).unwrap_or_default(),
        expect: expectation(reader, section.get("expect")?, branches)?,
        line: node.span.line,
    })
}

fn ordinal(reader: &Reader<'_>, section: &Section<'_>) -> u64 {
    let Some(node) = section.get("ordinal") else { return 1 };
    let ordinal = reader.count(node, "`ordinal`").unwrap_or(1);
    if ordinal == 0 {
        reader.error(node.span, "`ordinal` counts from 1: 2 is the second postback of this event", None);
    }
    ordinal.max(1)
}

fn expectation(reader: &Reader<'_>, node: &Node, branches: &[String]) -> Option<Expectation> {
    let section = reader.section(node, "`expect`", EXPECT_KEYS)?;
    let branch = section.get("branch");
    Some(Expectation {
        branch: branch.and_then(|node| reader.name_of(node, "branch", branches.iter().map(String::as_str))),
        phone: text_or_nothing(reader, &section, "phone"),
        email: text_or_nothing(reader, &section, "email"),
        name: text_or_nothing(reader, &section, "name"),
        fields: section.get("fields").map(|node| fields(reader, node, "`expect.fields`")).unwrap_or_default(),
        person: section.get("person").map(|node| fields(reader, node, "`expect.person`")).unwrap_or_default(),
        title: text_or_nothing(reader, &section, "title"),
        filtered: section.get("filtered").and_then(|node| reader.text(node, "`filtered`")).map(|text| {
            match &*text {
                "true" => Filtered::Yes,
                "false" => Filtered::No,
                _ => Filtered::By(text),
            }
        }),
        plan: section.get("plan").map(|node| plan(reader, node)),
        calls: section.get("calls").map(|node| called(reader, node)),
    })
}

/// An explicit null expects that there is nothing.
fn text_or_nothing(reader: &Reader<'_>, section: &Section<'_>, key: &str) -> Expected {
    match section.node.get(key) {
        None => Expected::Anything,
        Some(node) if node.is_null() => Expected::Nothing,
        Some(node) => reader.text(node, &format!("`{key}`")).map_or(Expected::Anything, Expected::Text),
    }
}

fn fields(reader: &Reader<'_>, node: &Node, what: &str) -> Fields {
    let section = reader.entries(node, what);
    let entries = section.iter().flat_map(|section| section.node.entries());
    let entries = entries.filter_map(|(key, value)| match &value.kind {
        Kind::Scalar { text, plain } => {
            Some((key.scalar()?.to_owned(), super::template::constant(text, *plain)))
        }
        Kind::List(_) | Kind::Map { .. } => {
            reader.wrong_shape(value, &format!("a field of {what} must be one value"));
            None
        }
    });
    entries.collect()
}

/// `sendpulse: set_tag`, quoted or not: YAML reads the second as a mapping of one entry.
fn called(reader: &Reader<'_>, node: &Node) -> Vec<String> {
    let items = reader.list(node, "`calls`").iter();
    let call = |item: &Node| match item.entries() {
        [(bot, operation)] => Some(format!("{}: {}", bot.scalar()?, operation.scalar()?)),
        _ => reader.text(item, "`calls`"),
    };
    items.filter_map(call).collect()
}

fn plan(reader: &Reader<'_>, node: &Node) -> Vec<StepKind> {
    let words = STEPS.map(|kind| (kind.as_str(), kind));
    let items = reader.list(node, "`plan`").iter();
    items.filter_map(|item| reader.choice(item, "`plan`", &words)).collect()
}
