//! Who a lead is from: every identifier that the preset and the mapping name, and what stands behind each.
//!
//! | identifier | proof |
//! |---|---|
//! | the chat that the event came from, a Telegram user | proven: the platform says so, and the source has a secret address |
//! | the number that somebody writes from | proven, where the preset or the mapping says that the platform vouches for it |
//! | phones and emails of the contact, customer ids | claimed |
//! | what the mapping calls a hint | hinted: it came in a link that anybody may have made up |
//! | our own one-time token in a link | what it stands for, proven: it is redeemed when the lead is stored |
//!
//! What names nobody by itself is data and no identifier: a phone that may be two numbers, a role mailbox, a chat without
//! its bot, an id that stands for nothing.

use super::Stopped;
use super::chat::of_one_human;
use super::contact::Contact;
use crate::event::Event;
use crate::lead::{Chat, Confidence, Flaw, Identifier, IdentifierKind, Phone, Proof};
use crate::links::{self, StartParameter};
use crate::map::{Branch, ChatTemplate, IdentifierValue, Mapping, Template, View};
use crate::normalise;
use crate::token::to_hex;

/// The scope of Telegram's users, who have one id in all bots.
pub(super) const TELEGRAM: &str = "telegram";

/// Users by whose name Telegram itself writes, for everybody: forwarded posts, channels, anonymous administrators.
const NOT_A_HUMAN: [u64; 3] = [777_000, 136_817_688, 1_087_968_824];

/// Telegram promises ids of at most 52 bits.
const LARGEST_TELEGRAM_ID: u64 = (1 << 52) - 1;

/// What is known of who a lead is from.
#[derive(Default)]
pub(super) struct Evidence {
    pub(super) identifiers: Vec<Identifier>,
    /// What is kept of our own tokens.
    pub(super) links: Vec<String>,
    /// The chat that the event came from.
    pub(super) chat: Option<Chat>,
    /// In what its id counts.
    pub(super) chat_scope: Option<String>,
    /// The mapping says that the person has just done something there.
    pub(super) chat_active: bool,
    /// What names nobody, and why.
    pub(super) flaws: Vec<Flaw>,
}

impl Evidence {
    pub(super) fn of(
        mapping: &Mapping,
        event: &Event,
        branch: &Branch,
        contact: &Contact,
        view: View<'_>,
    ) -> Result<Self, Stopped> {
        let mut evidence = Self { flaws: event.flaws.clone(), ..Self::default() };
        evidence.contact(event, contact);
        let templates = &branch.identifiers;
        evidence.chat(mapping, event, &templates.chat, view)?;
        evidence.chat_active = evidence.chat.is_some()
            && templates.chat.active.holds(view).map_err(Stopped::at("identifiers.chat"))?;
        for value in &templates.telegram_user {
            for id in read(&value.template, view, "identifiers.telegram_user")? {
                evidence.telegram_user(&id, value.proof(Proof::Proven));
            }
        }
        for (namespace, values) in &templates.external_customer {
            for value in values {
                for id in read(&value.template, view, "identifiers.external_customer")? {
                    let proof = value.proof(Proof::Claimed);
                    evidence.add_id(IdentifierKind::ExternalCustomer, namespace, &id, proof);
                }
            }
        }
        for template in &templates.link {
            for text in read(template, view, "identifiers.link")? {
                // Whatever else stands in the parameter is for other identifiers to read, as hints.
                if let StartParameter::Token(token) = links::start_parameter(&text) {
                    let link = to_hex(&links::kept(links::Secret::Token, &token));
                    if !evidence.links.contains(&link) {
                        evidence.links.push(link);
                    }
                }
            }
        }
        let lists = [
            (IdentifierKind::Device, &templates.device, "identifiers.device"),
            (IdentifierKind::Click, &templates.click, "identifiers.click"),
        ];
        for (kind, templates, what) in lists {
            for template in templates {
                for id in read(template, view, what)? {
                    evidence.add_id(kind, "", &id, Proof::Claimed);
                }
            }
        }
        Ok(evidence)
    }

    /// Adds an identifier, or what more stands behind one that is there.
    fn add(&mut self, kind: IdentifierKind, scope: &str, keys: Vec<String>, proof: Proof) {
        let same = |known: &&mut Identifier| known.kind == kind && known.scope == scope && known.keys == keys;
        match self.identifiers.iter_mut().find(same) {
            Some(known) => known.proof = known.proof.max(proof),
            None => self.identifiers.push(Identifier { kind, scope: scope.to_owned(), keys, proof }),
        }
    }

    fn add_id(&mut self, kind: IdentifierKind, scope: &str, raw: &str, proof: Proof) {
        let field = kind.as_str();
        match normalise::id(raw, field) {
            Ok(id) => self.add(kind, scope, vec![id], proof),
            Err(flaw) => self.flaws.push(flaw),
        }
    }

    fn contact(&mut self, event: &Event, contact: &Contact) {
        for (phone, proof) in &contact.phones {
            self.phone(phone, *proof);
        }
        for (email, proof) in &contact.emails {
            if let Some(key) = &email.match_key {
                self.add(IdentifierKind::Email, "", vec![key.clone()], *proof);
            }
        }
        // A platform writes its own numbers with their country, whatever the mapping's regions are.
        match event.phone.as_ref().map(|raw| normalise::phone(raw, &[])) {
            Some(Ok(phone)) => self.phone(&phone, Proof::Proven),
            Some(Err(flaw)) => self.flaws.push(flaw),
            None => {}
        }
    }

    fn phone(&mut self, phone: &Phone, proof: Proof) {
        if phone.confidence > Confidence::Ambiguous {
            self.add(IdentifierKind::Phone, "", phone.match_keys.clone(), proof);
        }
    }

    /// A Telegram user has one id in all bots; a group has one too, and many write there.
    fn telegram_user(&mut self, raw: &str, proof: Proof) {
        let is_user = |id: &u64| (1..=LARGEST_TELEGRAM_ID).contains(id) && !NOT_A_HUMAN.contains(id);
        match raw.parse().ok().filter(is_user) {
            Some(id) => self.add(IdentifierKind::Chat, TELEGRAM, vec![id.to_string()], proof),
            None => self.flaw(
                "telegram_user",
                raw,
                "not_a_user",
                "This is no id of a Telegram user: a group, a channel or Telegram itself writes by it; check \
                 `identifiers.telegram_user`, which is `message.from.id` in Telegram's own webhooks.",
            ),
        }
    }

    /// The chat of a lead, and the identifier it makes: what the preset found, with the mapping's own values on top.
    ///
    /// Chat ids are the platform's own, so one that the preset found counts within preset and bot; one that the mapping
    /// names counts within channel and bot.
    fn chat(
        &mut self,
        mapping: &Mapping,
        event: &Event,
        template: &ChatTemplate,
        view: View<'_>,
    ) -> Result<(), Stopped> {
        let read = |template: &Option<Template>| match template {
            None => Ok(None),
            Some(template) => {
                let text = template.text(view).map_err(Stopped::at("identifiers.chat"))?;
                Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
            }
        };
        let (bot, id, channel, link) =
            (read(&template.bot)?, read(&template.id)?, read(&template.channel)?, read(&template.link)?);
        let own = bot.is_some() || id.is_some() || channel.is_some();
        let channel = channel.map(|channel| channel.to_lowercase());
        let found = mapping.found_chat(event);
        if template.hint {
            if let Some(id) = id
                && let Some((channel, bot)) = self.place(channel.as_deref(), bot.as_deref(), &id)
            {
                self.add_id(IdentifierKind::Chat, &format!("{channel}:{bot}"), &id, Proof::Hinted);
            }
            if let Some((scope, chat)) = found {
                self.came_from(scope, chat);
            }
            return Ok(());
        }
        if !own {
            if let Some((scope, chat)) = found
                && self.place(Some(&chat.channel), Some(&chat.bot), &chat.id).is_some()
            {
                self.came_from(scope, Chat { link: link.or(chat.link), ..chat });
            }
            return Ok(());
        }
        let found = event.chat.as_ref();
        let Some(id) = id.or_else(|| found.map(|chat| chat.id.clone())) else { return Ok(()) };
        let channel = channel.or_else(|| found.map(|chat| chat.channel.clone()));
        let bot = bot.or_else(|| found.map(|chat| chat.bot.clone()));
        let (Some((clean_channel, clean_bot)), Some(channel), Some(bot)) =
            (self.place(channel.as_deref(), bot.as_deref(), &id), channel, bot)
        else {
            return Ok(());
        };
        let scope = format!("{clean_channel}:{clean_bot}");
        let bot_name = found.and_then(|chat| chat.bot_name.clone());
        let link = link.or_else(|| found.and_then(|chat| chat.link.clone()));
        self.came_from(scope, Chat { channel, bot, bot_name, id, link });
        Ok(())
    }

    /// In what a chat id counts: messenger and bot. The same id in another bot is somebody else's.
    fn place(&mut self, channel: Option<&str>, bot: Option<&str>, id: &str) -> Option<(String, String)> {
        let (Some(channel), Some(bot)) = (channel, bot) else {
            let (code, part, key) = match channel {
                Some(_) => (
                    "no_bot",
                    "which bot the chat is in, and in another bot the same id is somebody else",
                    "bot",
                ),
                None => ("no_channel", "which messenger the chat is in", "channel"),
            };
            let text = format!(
                "The event does not say {part}, so the chat is not used to tell who wrote; check `identifiers.chat.{key}` \
                 of the mapping."
            );
            self.flaw("chat", id, code, &text);
            return None;
        };
        let place = normalise::id(channel, "messenger of the chat")
            .and_then(|channel| Ok((channel, normalise::id(bot, "bot of the chat")?)));
        place.map_err(|flaw| self.flaws.push(flaw)).ok()
    }

    fn came_from(&mut self, scope: String, chat: Chat) {
        match of_one_human(chat) {
            Ok(chat) => {
                self.add(IdentifierKind::Chat, &scope, vec![chat.id.clone()], Proof::Proven);
                (self.chat, self.chat_scope) = (Some(chat), Some(scope));
            }
            Err(flaw) => self.flaws.push(flaw),
        }
    }

    fn flaw(&mut self, field: &str, raw: &str, code: &str, text: &str) {
        let flaw = Flaw { field: field.into(), raw: raw.into(), code: code.into(), text: text.into() };
        self.flaws.push(flaw);
    }
}

impl IdentifierValue {
    fn proof(&self, unless_hinted: Proof) -> Proof {
        if self.hint { Proof::Hinted } else { unless_hinted }
    }
}

fn read(template: &Template, view: View<'_>, what: &'static str) -> Result<Vec<String>, Stopped> {
    template.texts(view).map_err(Stopped::at(what))
}
