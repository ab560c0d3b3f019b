//! A call of a bot, or of anything else that is asked by operations and has no contacts and deals.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// One operation of a bot with everything that it needs, rendered from the mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Name of the operation, as the bot's description lists it.
    pub operation: String,
    /// The chat that it is about; `None` for an operation that is about no chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<Recipient>,
    /// Its parameters by name. What was absent is missing.
    pub with: Map<String, Json>,
}

/// The chat that a call is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The chat id within the bot, never blank.
    pub id: String,
    /// The scope of the chat's identifier; `None` where the mapping names an id that we know nothing of.
    pub scope: Option<String>,
    /// Messenger, lower case, where it is known: `telegram`, `instagram` …
    pub channel: Option<String>,
}

/// An address of a call, taken apart, so that nothing in it can be taken for a part of another kind. Raw texts: whoever
/// sends it escapes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// `https://host`, or `http://`, with a port where the mapping names one.
    pub origin: String,
    /// Segments of the path. An empty one at the end is a slash at the end; none is empty elsewhere.
    pub segments: Vec<String>,
    /// Parameters by name, in order.
    pub query: Vec<(String, String)>,
}

impl Call {
    /// A parameter as text; `None` where it is absent or no single value.
    pub fn text(&self, parameter: &str) -> Option<String> {
        match self.with.get(parameter)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            Json::Bool(value) => Some(value.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// A parameter that is an address; `None` where it is absent or something else.
    pub fn address(&self, parameter: &str) -> Option<Address> {
        Address::deserialize(self.with.get(parameter)?).ok()
    }
}
