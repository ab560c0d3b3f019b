//! What a mapping says of who an event is from, and what stands behind it: proven, typed, or only hinted at in a link.

use super::branch::{When, condition, optional};
use super::reader::Reader;
use super::template::{Sees, Template};
use super::yaml::{self, Node};

/// A phone or an email of the contact.
#[derive(Debug)]
pub(crate) struct ContactValue {
    pub(crate) template: Template,
    /// When the platform vouches that it is the writer's own.
    pub(crate) proven: When,
}

/// An identifier that the event names.
#[derive(Debug)]
pub(crate) struct IdentifierValue {
    pub(crate) template: Template,
    /// It came in a link that anybody may have made up.
    pub(crate) hint: bool,
}

#[derive(Debug, Default)]
pub(crate) struct IdentifierTemplates {
    /// By namespace.
    pub(crate) external_customer: Vec<(String, Vec<IdentifierValue>)>,
    pub(crate) chat: ChatTemplate,
    pub(crate) telegram_user: Vec<IdentifierValue>,
    /// Start parameters, in which a one-time token of ours may stand.
    pub(crate) link: Vec<Template>,
    pub(crate) device: Vec<Template>,
    pub(crate) click: Vec<Template>,
}

/// A chat. What it does not say is taken from the chat that the preset found, unless it is a hint.
#[derive(Debug, Default)]
pub(crate) struct ChatTemplate {
    pub(crate) bot: Option<Template>,
    pub(crate) id: Option<Template>,
    pub(crate) channel: Option<Template>,
    pub(crate) link: Option<Template>,
    /// When the event shows that the person can be written to there.
    pub(crate) active: When,
    /// The id came in a link, so this is not the chat that the event is from.
    pub(crate) hint: bool,
}

impl ContactValue {
    /// Every template in it.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        [&self.template].into_iter().chain(self.proven.template())
    }
}

impl IdentifierTemplates {
    /// Every template in it.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let chat = [&self.chat.bot, &self.chat.id, &self.chat.channel, &self.chat.link];
        let chat = chat.into_iter().flatten().chain(self.chat.active.template());
        let values = self.external_customer.iter().flat_map(|(_, values)| values).chain(&self.telegram_user);
        let lists = self.link.iter().chain(&self.device).chain(&self.click);
        chat.chain(values.map(|value| &value.template)).chain(lists)
    }

    /// Puts who a token is for before whatever else the mapping says.
    pub(super) fn add_token_owner(&mut self, owner: Vec<(String, Vec<IdentifierValue>)>) {
        self.external_customer.splice(0..0, owner);
    }
}

/// The namespace of eSputnik's own contact ids.
///
/// They are customer ids and no `crm_id`: that names a record which we saw in a CRM ourselves and is one person's, while this
/// is what whoever calls says, and the workspace may have no destination of that account.
pub(super) const ESPUTNIK: &str = "esputnik";

/// What the events of a source that adds tokens say of whom they are for, in the order in which people are looked up.
pub(super) fn token_owner(reader: &Reader<'_>, namespace: &str) -> Vec<(String, Vec<IdentifierValue>)> {
    let of = |namespace: &str, path: &str| {
        let template = reader.template(&built_in(path), "`externalCustomerId`", Sees::Event)?;
        Some((namespace.to_owned(), vec![IdentifierValue { template, hint: false }]))
    };
    [of(ESPUTNIK, "contactId"), of(namespace, "externalCustomerId")].into_iter().flatten().collect()
}

/// The phone and the email that stand beside a token.
pub(super) fn token_contact(reader: &Reader<'_>) -> (Option<ContactValue>, Option<ContactValue>) {
    let of = |path: &str, what: &str| {
        let template = reader.template(&built_in(path), what, Sees::Event)?;
        Some(ContactValue { template, proven: When::Never })
    };
    (of("phone", "`phone`"), of("email", "`email`"))
}

/// A placeholder that nobody had to write.
fn built_in(path: &str) -> Node {
    yaml::parse(&format!("\"{{{{ {path} }}}}\"")).root
}

pub(super) const IDENTIFIERS_KEYS: &[&str] =
    &["external_customer", "chat", "telegram_user", "link", "device", "click"];
pub(super) const CHAT_KEYS: &[&str] = &["bot", "id", "channel", "link", "active", "hint"];
/// What stands beside `value` and `required`.
pub(super) const CONTACT_VALUE_KEYS: &[&str] = &["proven"];
pub(super) const IDENTIFIER_VALUE_KEYS: &[&str] = &["hint"];

/// Reads `contact.phone` or `contact.email`: values, or `{ value: …, proven: … }`, one or many.
pub(super) fn contact_values(reader: &Reader<'_>, node: &Node, what: &str) -> Vec<ContactValue> {
    let read = |item: &Node| {
        let template = reader.template_with(item, what, Sees::Event, CONTACT_VALUE_KEYS)?;
        let proven = item.get("proven").filter(|node| !node.is_null());
        let proven = proven.map(|node| condition(reader, node, "`proven`", Sees::Event)).unwrap_or_default();
        Some(ContactValue { template, proven })
    };
    node.one_or_many().iter().filter_map(read).collect()
}

/// Reads `identifiers:`. `chats` says that the preset finds the chat of an event, together with its bot.
pub(super) fn identifiers(reader: &Reader<'_>, node: &Node, chats: bool) -> IdentifierTemplates {
    let Some(section) = reader.section(node, "`identifiers`", IDENTIFIERS_KEYS) else {
        return IdentifierTemplates::default();
    };
    let many = |key: &str, what: &str| {
        section.get(key).map(|node| reader.templates(node, what, Sees::Lead)).unwrap_or_default()
    };
    let what = "`identifiers.external_customer`";
    let customers = section.get("external_customer").and_then(|node| reader.entries(node, what));
    let customers = customers.iter().flat_map(|section| section.node.entries()).filter_map(|(key, value)| {
        let namespace = key.scalar()?;
        (!value.is_null()).then(|| (namespace.to_owned(), values(reader, value, what)))
    });
    let telegram_user = section.get("telegram_user");
    IdentifierTemplates {
        external_customer: customers.collect(),
        chat: section.get("chat").map(|node| chat(reader, node, chats)).unwrap_or_default(),
        telegram_user: telegram_user
            .map(|node| values(reader, node, "`identifiers.telegram_user`"))
            .unwrap_or_default(),
        link: many("link", "`identifiers.link`"),
        device: many("device", "`identifiers.device`"),
        click: many("click", "`identifiers.click`"),
    }
}

/// Values, or `{ value: …, hint: true }`, one or many.
fn values(reader: &Reader<'_>, node: &Node, what: &str) -> Vec<IdentifierValue> {
    let read = |item: &Node| {
        let template = reader.template_with(item, what, Sees::Lead, IDENTIFIER_VALUE_KEYS)?;
        Some(IdentifierValue { template, hint: hint(reader, item) })
    };
    node.one_or_many().iter().filter_map(read).collect()
}

fn hint(reader: &Reader<'_>, node: &Node) -> bool {
    let said = node.get("hint").filter(|node| !node.is_null());
    said.and_then(|node| reader.boolean(node, "`hint`")).unwrap_or(false)
}

fn chat(reader: &Reader<'_>, node: &Node, preset_finds_it: bool) -> ChatTemplate {
    let Some(section) = reader.section(node, "`identifiers.chat`", CHAT_KEYS) else {
        return ChatTemplate::default();
    };
    let chat = ChatTemplate {
        bot: optional(reader, &section, "bot", "`identifiers.chat.bot`"),
        id: optional(reader, &section, "id", "`identifiers.chat.id`"),
        channel: optional(reader, &section, "channel", "`identifiers.chat.channel`"),
        link: optional(reader, &section, "link", "`identifiers.chat.link`"),
        active: section
            .get("active")
            .map(|node| condition(reader, node, "`identifiers.chat.active`", Sees::Lead))
            .unwrap_or_default(),
        hint: hint(reader, node),
    };
    if preset_finds_it && !chat.hint {
        return chat;
    }
    let parts = [
        (
            "bot",
            "does not say in which bot the chat is (`bot`), and in another bot the same id is somebody else",
            "write where the event names its bot, `bot: \"{{ bot.id }}\"`, or a word of your own for the one bot that \
             this source serves, `bot: shop_bot`. For Messenger it is the page, for Instagram the account, for \
             WhatsApp the business",
        ),
        (
            "id",
            "has no `id`, so no chat is found",
            "write where the event names it: `id: \"{{ message.chat.id }}\"`",
        ),
        (
            "channel",
            "does not say which messenger it is (`channel`)",
            "write `channel: telegram`, or where the event names it: `channel: \"{{ service }}\"`",
        ),
    ];
    for (key, message, help) in parts {
        let blank = |value: &Node| value.scalar().is_some_and(|text| text.trim().is_empty());
        if section.get(key).is_none_or(blank) {
            reader.error(node.span, format!("`identifiers.chat` {message}"), Some(help.to_owned()));
        }
    }
    chat
}
