//! What every stage speaks: a lead, the contact and deal it asks for, and the identifiers that say whose it is.
//!
//! These are values without behaviour. Only [`crate::normalise`] builds a [`Phone`] or an [`Email`];
//! [`crate::pipeline`] puts a whole [`Lead`] together.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Fields of a CRM record by the CRM's own field name. An absent value is a missing entry, never `null`.
pub type Fields = BTreeMap<String, Value>;

/// A mapped, normalised event: what should stand in the CRM, and the evidence of whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// Name of the source whose mapping made this lead.
    pub source: String,
    /// `name` of the branch of the mapping that held.
    pub branch: String,
    /// Names of the destinations it goes to at once: CRMs, and bots that are called.
    pub to: Vec<String>,
    /// What should stand on the contact.
    pub contact: ContactPart,
    /// What should stand on a new or open deal.
    pub deal: DealPart,
    /// The task for a repeated lead, already rendered; `None` takes the default text.
    pub task: Option<TaskPart>,
    /// A note for the contact or deal, already rendered.
    pub note: Option<String>,
    /// The owner pool that a new deal is given out from.
    pub owners: Option<String>,
    /// Evidence of who this is, strongest kinds included, in no particular order.
    pub identifiers: Vec<Identifier>,
    /// What is kept of our own one-time tokens that it came with ([`crate::links`]), until they are redeemed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// The chat that the event came from, when the preset or the mapping names one.
    pub chat: Option<Chat>,
    /// The scope of that chat's identifier, such as `sendpulse:5f3a…`: in what its id counts.
    #[serde(default)]
    pub chat_scope: Option<String>,
    /// The mapping says that the person has just done something in that chat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chat_active: bool,
    /// What is remembered of the person from now on, by a name of the mapping's own.
    #[serde(default)]
    pub person_fields: Fields,
    /// The event adds its chat to somebody who is looked up: the first identifier that somebody has decides, and nothing
    /// but the chat is added to them.
    #[serde(default)]
    pub adds_token: bool,
    /// Values that could not be used and why; the raw text is kept.
    pub flaws: Vec<Flaw>,
    /// What a product reported, for a lead that a postback made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postback: Option<Postback>,
    /// Bots that are called once the destinations of `to` have come so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub afterwards: Vec<Afterwards>,
    /// What the calls of its branch read of the event; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Box<Given>>,
}

/// A bot that is called for a lead later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Afterwards {
    /// Name of the bot among the destinations.
    pub to: String,
    /// When.
    pub moment: Moment,
}

/// When a bot is called for a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// As soon as the lead is there.
    AtOnce,
    /// Once every destination of the lead has confirmed.
    Done,
    /// Once every destination of the lead was asked what it has, whatever came of it.
    LookedUp,
}

impl Moment {
    /// The key under which such calls stand in a mapping.
    pub const fn key(self) -> &'static str {
        match self {
            Self::AtOnce => "calls",
            Self::Done => "after_done",
            Self::LookedUp => "after_look_up",
        }
    }
}

/// The parts of an event that are read when a call is planned. Each part that nobody reads is `null` or missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// Of the event itself.
    pub payload: Value,
    /// The query of the request.
    #[serde(default)]
    pub query: Value,
    /// Its kept headers.
    #[serde(default)]
    pub headers: Value,
}

/// What a product reported of a person whom it knows by the click id they came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postback {
    /// The click id, as it counts.
    pub click: String,
    /// What happened, lower case: `registration`, `sale`, `resale` …
    pub event: String,
    /// The sender's own id of it, where it gives one.
    pub id: Option<String>,
    /// What it was worth, as it came.
    pub cost: Option<String>,
    /// In which currency, as it came.
    pub currency: Option<String>,
    /// Which of this person's events of this name it is, from 1; none before it is counted.
    pub ordinal: Option<u64>,
}

/// The contact part of a lead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContactPart {
    /// Display name; never joins anybody.
    pub name: Option<String>,
    /// Phones that parsed, best first.
    pub phones: Vec<Phone>,
    /// Phones to send to the CRM as they were typed (`if_invalid: send_raw`); never identifiers.
    pub raw_phones: Vec<String>,
    /// Emails that parsed, best first.
    pub emails: Vec<Email>,
    /// Further CRM fields.
    pub fields: Fields,
}

/// The deal part of a lead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DealPart {
    /// Title of a new deal.
    pub title: Option<String>,
    /// Pipeline by its name in the CRM.
    pub pipeline: Option<String>,
    /// Stage by its name in the CRM.
    pub stage: Option<String>,
    /// Further CRM fields.
    pub fields: Fields,
}

/// The task that a repeated lead leaves, rendered from the mapping.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskPart {
    /// One line; `None` takes the default.
    pub title: Option<String>,
    /// The body; `None` takes the default, which names source, bot, chat link and what differs.
    pub text: Option<String>,
    /// The CRM's task type, such as `call`.
    pub kind: Option<String>,
    /// Seconds after the plan is made at which the task is due; `None` takes one hour.
    pub due_seconds: Option<i64>,
}

/// A chat of a person with one bot in one messenger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// Messenger, lower case: `telegram`, `instagram`, `viber` …
    pub channel: String,
    /// The bot's id, which scopes the chat id.
    pub bot: String,
    /// The bot's display name, for texts that people read.
    pub bot_name: Option<String>,
    /// The chat or subscriber id within the bot.
    pub id: String,
    /// A page where a person can open the chat.
    pub link: Option<String>,
}

/// Whether a bot can write into a chat, as its platform tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatState {
    /// It can: the human has just written, pressed a button or let the bot in again.
    Active,
    /// It cannot.
    Blocked {
        /// What the human did, in a few words.
        why: String,
    },
}

/// What became of a message to a chat, as a platform tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatStatus {
    /// The platform's word: `DELIVERED`, `UNDELIVERED`, `FAILED` …
    pub status: String,
    /// What it says about that, such as `403: Forbidden`.
    pub description: Option<String>,
    /// When it was, where the platform says so without doubt about the time zone; otherwise the time of receipt counts.
    pub at: Option<Timestamp>,
}

/// What an event says of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatNews {
    /// In what the id of the chat counts.
    pub scope: String,
    /// Which it is; `None` where the event only says who it is about: then it is that person's chat in this scope.
    pub chat: Option<Chat>,
    /// Who that is, where the event became no lead that says so.
    pub about: Vec<Identifier>,
    /// Whether the bot can write there; `None` leaves that as it is.
    pub state: Option<ChatState>,
    /// What became of a message.
    pub status: Option<ChatStatus>,
}

/// A phone number that `normalise` accepted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phone {
    /// E.164 with the plus, such as `+380671234567`.
    pub e164: String,
    /// Extension digits, when one was written.
    pub extension: Option<String>,
    /// ISO 3166-1 alpha-2 region of the number, when it belongs to one.
    pub region: Option<String>,
    /// What the numbering plan says it is: `mobile`, `fixed_line` …
    pub kind: PhoneKind,
    /// How sure we are that this is the number that was meant.
    pub confidence: Confidence,
    /// Every key under which the same line may be known (Brazil's ninth digit …); the first is the number itself.
    pub match_keys: Vec<String>,
    /// The text as it came.
    pub raw: String,
}

/// Kinds of phone lines, as Google's libphonenumber names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are libphonenumber's")]
pub enum PhoneKind {
    Mobile,
    FixedLine,
    FixedLineOrMobile,
    TollFree,
    PremiumRate,
    SharedCost,
    Voip,
    PersonalNumber,
    Pager,
    Uan,
    Voicemail,
    Unknown,
}

/// How sure a normalised value is what was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Two numbers are plausible; the value is data, and no identifier by itself.
    Ambiguous,
    /// The country was taken from the mapping's regions.
    Assumed,
    /// The text itself names the country.
    Exact,
}

/// An email address that `normalise` accepted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The address to show and to send: IDN as ASCII, lower case.
    pub address: String,
    /// The key that two spellings of one mailbox share; `None` for a role mailbox such as `info@`, which joins nobody.
    pub match_key: Option<String>,
    /// The text as it came.
    pub raw: String,
}

/// A value that could not be used as what it should be. It is data to show, never an identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaw {
    /// Which part of the lead: `phone`, `email` …
    pub field: String,
    /// The text as it came.
    pub raw: String,
    /// Stable word for the reason, such as `placeholder` or `too_short`.
    pub code: String,
    /// One sentence for people, saying what is wrong.
    pub text: String,
}

/// One piece of evidence of who a lead is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifier {
    /// What it is.
    pub kind: IdentifierKind,
    /// What makes the value unique: the bot of a chat, the namespace of a customer id, the destination of a CRM id. Empty for phones and emails.
    pub scope: String,
    /// Match keys; any one of them equal means the same identifier. Never empty.
    pub keys: Vec<String>,
    /// Whether somebody proved it or merely typed it.
    pub proof: Proof,
}

/// What an identifier is. The order of declaration is the default priority (eSputnik's, with chat inserted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierKind {
    /// A contact record of one destination.
    CrmId,
    /// The client's own customer id within a namespace.
    ExternalCustomer,
    /// A chat within a bot.
    Chat,
    /// A phone, by match key.
    Phone,
    /// An email, by match key.
    Email,
    /// A device or cookie id: links, never merges.
    Device,
    /// A click id of an advertisement: attributes, never merges.
    Click,
}

/// How much stands behind an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It came in a link that anybody may have made up: weaker than what somebody typed.
    Hinted,
    /// Somebody typed it.
    Claimed,
    /// The platform vouches for it (a `WhatsApp` sender, a shared own contact).
    Proven,
}

impl Proof {
    /// The word used in the database and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hinted => "hinted",
            Self::Claimed => "claimed",
            Self::Proven => "proven",
        }
    }

    /// Parses [`as_str`](Self::as_str); `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Hinted, Self::Claimed, Self::Proven].into_iter().find(|proof| proof.as_str() == word)
    }
}

impl IdentifierKind {
    /// The word used in YAML, in the database and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CrmId => "crm_id",
            Self::ExternalCustomer => "external_customer",
            Self::Chat => "chat",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Device => "device",
            Self::Click => "click",
        }
    }

    /// Whether it says who somebody is. Device and click ids link or attribute; they never do.
    pub fn joins(self) -> bool {
        Self::JOINING.contains(&self)
    }

    /// Those that say who somebody is, in default priority.
    pub const JOINING: [Self; 5] =
        [Self::CrmId, Self::ExternalCustomer, Self::Chat, Self::Phone, Self::Email];

    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::CrmId,
        Self::ExternalCustomer,
        Self::Chat,
        Self::Phone,
        Self::Email,
        Self::Device,
        Self::Click,
    ];

    /// Parses [`as_str`](Self::as_str); `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Debug for Phone {
    /// Masked, because debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", mask(&self.e164))
    }
}

impl fmt::Debug for Email {
    /// Masked, because debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", mask(&self.address))
    }
}

/// Personal data for logs: the first three and last two characters, the rest as dots. Short values vanish whole.
pub fn mask(value: &str) -> String {
    let letters = value.chars().count();
    if letters < 8 {
        return "•••".to_owned();
    }
    let (head, tail) = (value.chars().take(3), value.chars().skip(letters - 2));
    head.chain("•••".chars()).chain(tail).collect()
}
