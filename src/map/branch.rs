//! One branch of a mapping: when it holds, what it makes of an event, and the rules it goes by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::calls::{self, Bots, CallTemplate, MOMENTS, Reads};
use super::evidence::{self, ContactValue, IdentifierTemplates};
use super::postback::{self, On};
use super::reader::{Reader, Section};
use super::scope::{Definitions, View};
use super::template::{EvaluationError, Sees, Template};
use super::yaml::Node;
use crate::lead::Moment;
use crate::rules::{BotKind, Destination, Rules};

/// One entry of `leads:`.
#[derive(Debug)]
pub struct Branch {
    /// Its name, unique in the file.
    pub name: String,
    /// Events of postbacks that it is for; none: any.
    pub(crate) on: Vec<On>,
    /// When it holds.
    pub(crate) when: When,
    /// Names of the CRMs.
    pub to: Vec<String>,
    /// How phones are read.
    pub phone: PhonePolicy,
    /// The owner pool for new deals.
    pub owners: Option<String>,
    /// The contact.
    ///
    /// Entries that take it from `defaults:` share it, so that it is read and normalised once per event.
    pub(crate) contact: Arc<ContactTemplate>,
    /// The deal.
    pub(crate) deal: DealTemplate,
    /// The task for a repeated lead.
    pub(crate) task: Option<TaskTemplate>,
    /// A note.
    pub(crate) note: Option<Template>,
    /// Evidence of who it is.
    pub(crate) identifiers: IdentifierTemplates,
    /// What is remembered of the person, by a name of the mapping's own.
    pub(crate) person: FieldTemplates,
    /// What to create and what to update.
    pub rules: Rules,
    /// What bots are to do.
    pub(crate) calls: Vec<CallTemplate>,
    /// What those read of the event.
    pub(crate) reads: Reads,
    /// Whether any value of it reads `lead.…`.
    pub(crate) uses_lead: bool,
}

/// When a branch holds.
#[derive(Debug, Default)]
pub(crate) enum When {
    Always,
    #[default]
    Never,
    If(Template),
}

/// How the phones of a branch are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhonePolicy {
    /// Regions for numbers that name no country, in order.
    pub regions: Vec<String>,
    /// What becomes of a phone that is none.
    pub if_invalid: IfInvalid,
}

/// What becomes of a phone that is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfInvalid {
    /// The text goes into the note.
    #[default]
    KeepAsNote,
    /// The text goes to the CRM as it was typed; it is no identifier.
    SendRaw,
    /// The lead goes on without it.
    EmailOnly,
    /// The lead is filtered, unless another of its phones is one.
    Reject,
}

#[derive(Debug, Default)]
pub(crate) struct ContactTemplate {
    /// The first that is there wins.
    pub(crate) name: Vec<Template>,
    pub(crate) phone: Vec<ContactValue>,
    pub(crate) email: Vec<ContactValue>,
    pub(crate) fields: FieldTemplates,
}

/// Fields by the CRM's name, in the order of the file.
pub(crate) type FieldTemplates = Vec<(String, Template)>;

#[derive(Debug, Default)]
pub(crate) struct DealTemplate {
    pub(crate) title: Option<Template>,
    pub(crate) pipeline: Option<Template>,
    pub(crate) stage: Option<Template>,
    pub(crate) fields: FieldTemplates,
}

#[derive(Debug, Default)]
pub(crate) struct TaskTemplate {
    pub(crate) title: Option<Template>,
    pub(crate) text: Option<Template>,
    pub(crate) kind: Option<Template>,
    pub(crate) due: Option<Duration>,
}

impl When {
    /// The condition, where there is one.
    pub(super) fn template(&self) -> Option<&Template> {
        match self {
            Self::If(template) => Some(template),
            Self::Always | Self::Never => None,
        }
    }

    /// Whether it holds. Absent, `false`, 0 and an empty text do not.
    pub(crate) fn holds(&self, view: View<'_>) -> Result<bool, EvaluationError> {
        match self {
            Self::Always => Ok(true),
            Self::Never => Ok(false),
            Self::If(template) => template.holds(view),
        }
    }
}

impl Branch {
    /// Every template, for checks.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let contact = &self.contact;
        let task = self.task.iter().flat_map(|task| [&task.title, &task.text, &task.kind]);
        let deal = [&self.deal.title, &self.deal.pipeline, &self.deal.stage];
        let single = task.chain(deal).chain([&self.note]).filter_map(Option::as_ref);
        let named = contact.fields.iter().chain(&self.deal.fields).chain(&self.person);
        let named = named.map(|(_, template)| template);
        let values = contact.phone.iter().chain(&contact.email).flat_map(ContactValue::templates);
        self.when
            .template()
            .into_iter()
            .chain(single)
            .chain(&contact.name)
            .chain(named)
            .chain(values)
            .chain(self.identifiers.templates())
    }
}

pub(super) const PHONE_KEYS: &[&str] = &["regions", "if_invalid"];
pub(super) const CONTACT_KEYS: &[&str] = &["name", "phone", "email", "fields"];
pub(super) const DEAL_KEYS: &[&str] = &["title", "pipeline", "stage", "fields"];
pub(super) const TASK_KEYS: &[&str] = &["title", "text", "type", "due"];
pub(super) const PERSON_KEYS: &[&str] = &["fields"];

pub(super) const KEYS: &[&str] = &[
    "name",
    "on",
    "when",
    "to",
    "phone",
    "owners",
    "contact",
    "deal",
    "task",
    "note",
    "person",
    "identifiers",
    "rules",
    "calls",
    "after_done",
    "after_look_up",
];

/// Words of [`IfInvalid`].
pub(super) const IF_INVALID: &[(&str, IfInvalid)] = &[
    ("keep_as_note", IfInvalid::KeepAsNote),
    ("send_raw", IfInvalid::SendRaw),
    ("email_only", IfInvalid::EmailOnly),
    ("reject", IfInvalid::Reject),
];

/// Names of the workspace that a branch may refer to.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) destinations: &'a [String],
    pub(super) bots: &'a BTreeMap<String, BotKind>,
    pub(super) accounts: &'a BTreeMap<String, Destination>,
    pub(super) owner_pools: &'a [String],
    /// Whether the preset finds the chat of an event, together with its bot.
    pub(super) chats: bool,
    /// Whether the events are postbacks.
    pub(super) postbacks: bool,
    pub(super) variables: &'a Definitions,
    /// Where the source's events add tokens: in which namespace their `externalCustomerId` is.
    pub(super) tokens: Option<&'a str>,
}

/// What an entry of `leads:` has where it does not say otherwise.
pub(super) struct Defaults<'n> {
    section: Section<'n>,
    contact: Arc<ContactTemplate>,
}

/// Keys of `defaults:`: a name, its events and a condition are each entry's own.
pub(super) fn default_keys() -> Vec<&'static str> {
    KEYS.iter().copied().filter(|key| !matches!(*key, "name" | "on" | "when")).collect()
}

/// Reads `defaults:`.
pub(super) fn defaults<'n>(reader: &Reader<'_>, node: &'n Node, known: Known<'_>) -> Option<Defaults<'n>> {
    let section = reader.section(node, "`defaults`", &default_keys())?;
    let contact = contact(reader, section.get("contact"), known);
    Some(Defaults { section, contact: Arc::new(contact) })
}

/// Reads one entry of `leads:`. A key that it does not have is taken from the defaults, as a whole.
pub(super) fn read(
    reader: &Reader<'_>,
    node: &Node,
    defaults: Option<&Defaults<'_>>,
    known: Known<'_>,
) -> Option<Branch> {
    let own = reader.section(node, "an entry of `leads`", KEYS)?;
    let contact = match (node.get("contact"), defaults) {
        (None, Some(defaults)) => Arc::clone(&defaults.contact),
        _ => Arc::new(contact(reader, own.get("contact"), known)),
    };
    let section = Entry { own, defaults: defaults.map(|defaults| &defaults.section) };
    let name = section.get("name").and_then(|name| reader.text(name, "`name`"));
    if section.get("name").is_none() {
        let help = "give it a name that people will read in the registry: `name: Kyiv leads`".to_owned();
        reader.error(node.span, "this entry of `leads` has no `name`", Some(help));
    }
    let to = section.get("to").map(|node| destinations(reader, node, known));
    let calls = calls_of(reader, &section, known);
    // What is remembered, and a chat that is added, are here: nothing has to go anywhere.
    let stays_here = section.get("person").is_some() || known.tokens.is_some();
    if to.is_none() && calls.is_empty() && !stays_here {
        let is_bot = |name: &&String| known.bots.contains_key(*name);
        let crm =
            known.destinations.iter().find(|name| !is_bot(name)).map(|name| format!("write `to: [{name}]`"));
        let bot = known.destinations.iter().find(is_bot);
        let bot = bot.map(|name| format!("have a bot called: `calls: [ {{ to: {name}, … }} ]`"));
        let help = match (crm, bot) {
            (None, None) => {
                "name the CRM under `destinations:` of workspace.yaml first, and then here".to_owned()
            }
            (crm, bot) => crm.into_iter().chain(bot).collect::<Vec<_>>().join(", or "),
        };
        reader.error(node.span, "this entry of `leads` does not say where its leads go (`to`)", Some(help));
    }
    check_moments(reader, node, to.is_some(), &calls);
    let mut identifiers = section
        .get("identifiers")
        .map(|node| evidence::identifiers(reader, node, known.chats))
        .unwrap_or_default();
    if let Some(namespace) = known.tokens {
        identifiers.add_token_owner(evidence::token_owner(reader, namespace));
    }
    let owners = section
        .get("owners")
        .and_then(|node| reader.name_of(node, "owner pool", known.owner_pools.iter().map(String::as_str)));
    let mut branch = Branch {
        name: name.unwrap_or_default(),
        on: events(reader, &section, known),
        when: section.get("when").map_or(When::Always, |node| condition(reader, node, "`when`", Sees::Lead)),
        to: to.unwrap_or_default(),
        phone: section.get("phone").map(|node| phone(reader, node)).unwrap_or_default(),
        owners,
        contact,
        deal: section.get("deal").map(|node| deal(reader, node)).unwrap_or_default(),
        task: section.get("task").map(|node| task(reader, node)),
        note: section.get("note").and_then(|node| reader.template(node, "`note`", Sees::Lead)),
        person: section.get("person").map(|node| person(reader, node)).unwrap_or_default(),
        identifiers,
        rules: section.get("rules").map(|node| super::rules::read(reader, node)).unwrap_or_default(),
        reads: Reads::of(&calls, known.variables),
        calls,
        uses_lead: false,
    };
    let uses_lead = branch.templates().any(Template::uses_lead);
    branch.uses_lead = uses_lead;
    Some(branch)
}

/// The events that an entry is for, and what does not go with them.
fn events(reader: &Reader<'_>, section: &Entry<'_, '_>, known: Known<'_>) -> Vec<On> {
    if let Some(node) = section.get("identifiers").filter(|_| known.postbacks) {
        let help =
            "take `identifiers` away; a number or an email of theirs is a field: `contact: { fields: … }`";
        reader.error(
            node.span,
            "a postback is somebody's by its click id alone: `identifiers` would do nothing here",
            Some(help.to_owned()),
        );
    }
    let Some(node) = section.get("on") else { return Vec::new() };
    if !known.postbacks {
        let help =
            "use `when:`, or `source: { preset: postback }` where a network reports by click id".to_owned();
        reader.error(node.span, "`on` is for postbacks, and this source receives none", Some(help));
        return Vec::new();
    }
    postback::on(reader, node)
}

/// An entry of `leads:` over the defaults.
struct Entry<'n, 'd> {
    own: Section<'n>,
    defaults: Option<&'d Section<'d>>,
}

impl<'n, 'd: 'n> Entry<'n, 'd> {
    /// An explicit null takes a default away.
    fn get(&self, key: &str) -> Option<&'n Node> {
        match self.own.node.get(key) {
            Some(_) => self.own.get(key),
            None => self.defaults.and_then(|defaults| defaults.get(key)),
        }
    }
}

/// The calls of all moments.
fn calls_of(reader: &Reader<'_>, section: &Entry<'_, '_>, known: Known<'_>) -> Vec<CallTemplate> {
    let bots = Bots { sound: known.bots, accounts: known.accounts, destinations: known.destinations };
    let read = |&(key, moment): &(&str, Moment)| {
        let calls =
            section.get(key).map(|node| calls::read(reader, node, key, moment, bots, known.variables));
        calls.unwrap_or_default()
    };
    MOMENTS.iter().flat_map(read).collect()
}

/// What waits for a CRM needs one, and a bot is called for a lead at one moment.
fn check_moments(reader: &Reader<'_>, node: &Node, has_crm: bool, calls: &[CallTemplate]) {
    let mut moments: BTreeMap<&str, BTreeSet<Moment>> = BTreeMap::new();
    for call in calls {
        moments.entry(&call.to).or_default().insert(call.moment);
        if !has_crm && call.moment != Moment::AtOnce {
            let help = Some("put it under `calls`, or say with `to` which CRM it waits for".to_owned());
            let message = format!("a call of `{}` waits for a CRM, and this entry names none", call.to);
            reader.error(node.span, message, help);
        }
    }
    for (bot, _) in moments.iter().filter(|(_, moments)| moments.len() > 1) {
        let help =
            Some("put all of its calls under one of `calls`, `after_done`, `after_look_up`".to_owned());
        reader.error(node.span, format!("bot `{bot}` is called at two moments of one lead"), help);
    }
}

fn destinations(reader: &Reader<'_>, node: &Node, known: Known<'_>) -> Vec<String> {
    let items = node.one_or_many();
    if items.is_empty() {
        reader.error(node.span, "`to` names no destination", None);
    }
    let name = |item: &Node| {
        let names = known.destinations.iter().map(String::as_str);
        let name = reader.name_of(item, "destination", names)?;
        if known.bots.contains_key(&name) {
            let help = Some(format!("write what it is to do: `calls: [ {{ to: {name}, … }} ]`"));
            reader.error(item.span, format!("`{name}` is a bot, which takes calls and no leads"), help);
            return None;
        }
        Some(name)
    };
    items.iter().filter_map(name).collect()
}

/// A value that holds or does not: one placeholder, or true, or false.
pub(super) fn condition(reader: &Reader<'_>, node: &Node, what: &str, sees: Sees) -> When {
    let Some(template) = reader.template(node, what, sees) else { return When::Never };
    match template.constant() {
        Some(serde_json::Value::Bool(true)) => When::Always,
        Some(serde_json::Value::Bool(false)) => When::Never,
        None if template.is_single() => When::If(template),
        _ => {
            let help =
                "write the whole condition inside: \"{{ service == 'telegram' and bot.name }}\"".to_owned();
            reader.error(node.span, format!("{what} must be one placeholder, or true, or false"), Some(help));
            When::Never
        }
    }
}

fn phone(reader: &Reader<'_>, node: &Node) -> PhonePolicy {
    let Some(section) = reader.section(node, "`phone`", PHONE_KEYS) else {
        return PhonePolicy::default();
    };
    let regions = section.get("regions").map(|node| regions(reader, node)).unwrap_or_default();
    let if_invalid =
        section.get("if_invalid").and_then(|node| reader.choice(node, "`if_invalid`", IF_INVALID));
    PhonePolicy { regions, if_invalid: if_invalid.unwrap_or_default() }
}

/// ISO 3166-1 alpha-2, in order of the alphabet.
const REGIONS: &str = "AC AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT \
    BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM \
    FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
    KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT \
    MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PR PS PT PW PY QA RE RO RS RU RW SA \
    SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TA TC TD TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG US \
    UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

fn regions(reader: &Reader<'_>, node: &Node) -> Vec<String> {
    let mut regions = Vec::new();
    for item in node.one_or_many() {
        let Some(text) = reader.text(item, "a region") else { continue };
        let upper = text.to_uppercase();
        if REGIONS.split_whitespace().any(|known| known == upper) {
            regions.push(upper);
        } else {
            let help = match upper.as_str() {
                "UK" => "the United Kingdom is `GB`",
                _ => "write the two letters of ISO 3166: UA, PL, GB, US …",
            };
            reader.error(item.span, format!("`{text}` is not a country"), Some(help.to_owned()));
        }
    }
    regions
}

fn contact(reader: &Reader<'_>, node: Option<&Node>, known: Known<'_>) -> ContactTemplate {
    let mut contact = node.map(|node| own_contact(reader, node)).unwrap_or_default();
    if known.tokens.is_some() {
        let (phone, email) = evidence::token_contact(reader);
        contact.phone.extend(phone);
        contact.email.extend(email);
    }
    contact
}

fn own_contact(reader: &Reader<'_>, node: &Node) -> ContactTemplate {
    let Some(section) = reader.section(node, "`contact`", CONTACT_KEYS) else {
        return ContactTemplate::default();
    };
    let name = section.get("name").map(|node| reader.templates(node, "`contact.name`", Sees::Event));
    let values = |key: &str, what: &str| {
        section.get(key).map(|node| evidence::contact_values(reader, node, what)).unwrap_or_default()
    };
    ContactTemplate {
        name: name.unwrap_or_default(),
        phone: values("phone", "`contact.phone`"),
        email: values("email", "`contact.email`"),
        fields: fields(reader, &section, "`contact.fields`"),
    }
}

fn deal(reader: &Reader<'_>, node: &Node) -> DealTemplate {
    let Some(section) = reader.section(node, "`deal`", DEAL_KEYS) else {
        return DealTemplate::default();
    };
    DealTemplate {
        title: optional(reader, &section, "title", "`deal.title`"),
        pipeline: optional(reader, &section, "pipeline", "`deal.pipeline`"),
        stage: optional(reader, &section, "stage", "`deal.stage`"),
        fields: fields(reader, &section, "`deal.fields`"),
    }
}

fn task(reader: &Reader<'_>, node: &Node) -> TaskTemplate {
    let Some(section) = reader.section(node, "`task`", TASK_KEYS) else {
        return TaskTemplate::default();
    };
    TaskTemplate {
        title: optional(reader, &section, "title", "`task.title`"),
        text: optional(reader, &section, "text", "`task.text`"),
        kind: optional(reader, &section, "type", "`task.type`"),
        due: section.get("due").and_then(|node| reader.duration(node, "`task.due`")),
    }
}

fn person(reader: &Reader<'_>, node: &Node) -> FieldTemplates {
    let section = reader.section(node, "`person`", PERSON_KEYS);
    section.map(|section| fields(reader, &section, "`person.fields`")).unwrap_or_default()
}

pub(super) fn optional(
    reader: &Reader<'_>,
    section: &Section<'_>,
    key: &str,
    what: &str,
) -> Option<Template> {
    section.get(key).and_then(|node| reader.template(node, what, Sees::Lead))
}

fn fields(reader: &Reader<'_>, section: &Section<'_>, what: &str) -> FieldTemplates {
    let section = section.get("fields").and_then(|node| reader.entries(node, what));
    section.map(|section| named(reader, &section, what)).unwrap_or_default()
}

/// Templates under names of the author's choosing.
fn named(reader: &Reader<'_>, section: &Section<'_>, what: &str) -> FieldTemplates {
    let entries = section.node.entries().iter();
    let entries = entries.filter_map(|(key, value)| {
        let name = key.scalar()?;
        if value.is_null() {
            return None;
        }
        Some((name.to_owned(), reader.template(value, what, Sees::Lead)?))
    });
    entries.collect()
}
