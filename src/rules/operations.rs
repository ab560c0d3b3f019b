//! What a bot can be asked to do: data of its description, which loader, `check` and docs iterate over.

use serde_json::{Map, Value as Json};

use super::Destination;

/// What makes a destination a bot.
#[derive(Clone, Copy, Debug)]
pub struct BotKind {
    /// What it can be asked to do.
    pub operations: &'static [Operation],
    /// Scopes of the chats that it serves unless the destination says otherwise (`chats:`): `sendpulse:*` are those of
    /// all bots of preset `sendpulse`.
    pub chats: &'static [&'static str],
    /// Whether it writes into those chats, as the bot that they are with; `false`: it only takes note of them.
    pub writes_there: bool,
    /// Finds in the constant arguments of a call what will be refused whatever the lead; `None`: nothing can be told.
    pub check: Option<CheckCall>,
}

/// Looks over a call of an operation while the mapping is loaded.
///
/// The arguments are those that the mapping writes, by parameter. What depends on a lead is null there, at any depth; an
/// [address](Shape::Address) is `{ "origin": "https://host" }`, because the rest of it may depend on one.
pub type CheckCall =
    fn(destination: &Destination, operation: &str, arguments: &Map<String, Json>) -> Vec<Misuse>;

/// An argument that an operation will refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse {
    /// Which parameter it is.
    pub parameter: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// One thing that a bot can be asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its key in a call.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Whether it is about a chat, without which it cannot be called.
    pub needs_chat: bool,
    /// The parameter that a single value stands for: `set_tag: CRM`.
    pub main: Option<&'static str>,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Whether the same call twice does no more than once.
    pub repeatable: bool,
}

/// One parameter of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// Whether a call without it is refused.
    pub required: bool,
    /// What may stand there.
    pub shape: Shape,
    /// What it is, with unit and example.
    pub summary: &'static str,
}

/// What may stand in a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A value of the mapping.
    Value,
    /// Values in lists and mappings of any depth.
    Nested,
    /// An address: what stands in its placeholders is one segment of the path or one value of the query, whatever it holds.
    /// Its adapter gets an [`Address`](crate::plan::Address).
    Address,
}
