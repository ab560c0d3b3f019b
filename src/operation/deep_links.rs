//! Links into bots, and what their start parameter stands for: [`MakeDeepLink`], [`ResolveStart`].
//!
//! What is nobody's and fits goes as it is, for whoever reads it to see: a number, a device, a campaign mark. Everything
//! else becomes a one-time token of ours, which says nothing by itself and is the only thing that proves anything when it
//! comes back.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::lead::IdentifierKind;
use crate::links::{Secret, StartParameter, deep_link, draw_token, kept, may_go_as_is, start_parameter};
use crate::normalise;
use crate::store::start_tokens::{Meaning, TokenState};

/// How long a token lives unless somebody says otherwise, and at most, in days.
const DAYS: u32 = 7;
const MOST_DAYS: u32 = 90;
/// The longest text of one's own that a token stands for, in bytes.
const LONGEST: usize = 2_000;

fn ukraine() -> Vec<String> {
    vec!["UA".to_owned()]
}

/// Makes a link into a bot.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeDeepLink {
    /// The bot: its name in Telegram, or its address.
    pub bot: String,
    /// The id of a CRM: a number, or `destination:id`.
    #[serde(default)]
    pub crm_id: Option<String>,
    /// The UUID of a device.
    #[serde(default)]
    pub device: Option<String>,
    /// A customer: `namespace:id`.
    #[serde(default)]
    pub customer: Option<String>,
    /// A phone.
    #[serde(default)]
    pub phone: Option<String>,
    /// An email.
    #[serde(default)]
    pub email: Option<String>,
    /// A text of one's own.
    #[serde(default)]
    pub data: Option<String>,
    /// A one-time token also for what could go as it is: so that it proves something.
    #[serde(default)]
    pub one_time: bool,
    /// How long a token lives; 7 when absent.
    #[serde(default)]
    pub days: Option<u32>,
    /// Countries of a phone that names none.
    #[serde(default = "ukraine")]
    pub regions: Vec<String>,
}

/// A link into a bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeepLink {
    /// Where somebody presses Start.
    pub url: String,
    /// What the bot gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// What that is, in a word.
    pub kind: String,
    /// Until when a token is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What stands in a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// This, for everybody to read; nothing for a link that carries nothing.
    AsIs(Option<String>),
    /// A token for this.
    Token(Meaning),
}

impl MakeDeepLink {
    /// What has to stand in the link, or what is wrong with what was asked.
    pub fn start(&self) -> Result<Start, String> {
        deep_link(&self.bot, None)?;
        let (mut meaning, mut readable) = (Meaning::default(), Vec::new());
        let mut parts = 0;
        if let Some(text) = &self.crm_id {
            parts += 1;
            let (scope, id) =
                text.split_once(':').map_or((None, text.as_str()), |(scope, id)| (Some(scope), id));
            let id =
                normalise::id(id, "crm_id").map_err(|flaw| format!("--crm-id is no id: {}", flaw.text))?;
            if start_parameter(&id) == StartParameter::CrmId(id.clone()) {
                readable.push(id.clone());
            }
            if scope.is_none() && (readable.is_empty() || !self.is_readable()) {
                return Err(format!(
                    "a token for the CRM id '{id}' has to say whose id it is: write DESTINATION:{id}, with the name that \
                     the CRM has in workspace.yaml"
                ));
            }
            meaning.identifiers.extend(scope.map(|scope| (IdentifierKind::CrmId, scope.to_owned(), id)));
        }
        if let Some(text) = &self.device {
            parts += 1;
            let StartParameter::Device(device) = start_parameter(text) else {
                return Err(format!(
                    "'{text}' is no device: that is a UUID, such as 1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10"
                ));
            };
            readable.push(device.clone());
            meaning.identifiers.push((IdentifierKind::Device, String::new(), device));
        }
        if let Some(text) = &self.customer {
            parts += 1;
            let customer =
                text.split_once(':').map(|(namespace, id)| (namespace.trim(), normalise::id(id, "customer")));
            let Some((namespace, Ok(id))) = customer.filter(|(namespace, _)| !namespace.is_empty()) else {
                return Err(format!(
                    "'{text}' is no customer: write NAMESPACE:ID, with the key that stands in `identifiers.external_customer`"
                ));
            };
            meaning.identifiers.push((IdentifierKind::ExternalCustomer, namespace.to_owned(), id));
        }
        if let Some(text) = &self.phone {
            parts += 1;
            let phone = normalise::phone(text, &self.regions)
                .map_err(|flaw| format!("the phone is none: {}", flaw.text))?;
            meaning.identifiers.push((IdentifierKind::Phone, String::new(), phone.e164));
        }
        if let Some(text) = &self.email {
            parts += 1;
            let email = normalise::email(text).map_err(|flaw| format!("the email is none: {}", flaw.text))?;
            meaning.identifiers.push((IdentifierKind::Email, String::new(), email.address));
        }
        if let Some(text) = &self.data {
            parts += 1;
            if text.is_empty() || text.len() > LONGEST || text.contains('\0') {
                return Err(format!("the data must be a text of 1 to {LONGEST} bytes"));
            }
            if may_go_as_is(text) {
                readable.push(text.clone());
            }
            meaning.data = Some(text.clone());
        }
        if let Some(days) = self.days.filter(|days| !(1..=MOST_DAYS).contains(days)) {
            return Err(format!("a link lives between 1 and {MOST_DAYS} days, not {days}"));
        }
        Ok(match (parts, readable.pop()) {
            (0, _) => Start::AsIs(None),
            (1, Some(text)) if !self.one_time => Start::AsIs(Some(text)),
            _ => Start::Token(meaning),
        })
    }

    /// Whether nothing else is asked for that needs a token.
    fn is_readable(&self) -> bool {
        let others = [&self.device, &self.customer, &self.phone, &self.email, &self.data];
        !self.one_time && others.into_iter().all(Option::is_none)
    }

    /// The link with what stands in it.
    pub fn link(&self, start: Option<String>, until: Option<Timestamp>) -> Result<DeepLink, String> {
        let url = deep_link(&self.bot, start.as_deref())?;
        let kind = start.as_deref().map_or(StartParameter::None, start_parameter).kind().to_owned();
        Ok(DeepLink { url, start, kind, until })
    }
}

impl Operation for MakeDeepLink {
    const PATH: &'static str = "/api/links/deep";
    const ROLE: Role = Role::Operator;
    type Answer = DeepLink;

    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<DeepLink, OperationError> {
        let (start, until) = match self.start().map_err(OperationError::Refused)? {
            Start::AsIs(text) => (text, None),
            Start::Token(meaning) => {
                let (token, now) = (draw_token(&means.clock.secret()), means.clock.now());
                let life = SignedDuration::from_hours(24 * i64::from(self.days.unwrap_or(DAYS)));
                let until = now.saturating_add(life).unwrap_or(Timestamp::MAX);
                means.store.keep_token(kept(Secret::Token, &token), meaning, now, until).await?;
                (Some(token), Some(until))
            }
        };
        self.link(start, until).map_err(OperationError::Refused)
    }
}

/// Asks what a start parameter is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveStart {
    /// As the bot has it.
    pub start: String,
    /// Use a token up: for a bot whose webhooks do not come here.
    #[serde(default)]
    pub use_up: bool,
}

/// What a start parameter is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resolved {
    /// `none`, `crm_id`, `device`, `token` or `other`.
    pub kind: String,
    /// `good`; of a token also `used_link`, `expired_link`, `unknown_link`.
    pub outcome: String,
    /// What to do with it.
    pub next: String,
    /// The number, the UUID, the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What a good token stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identifiers: Vec<Proved>,
    /// The text that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// An identifier that a token proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proved {
    /// What it is.
    pub kind: IdentifierKind,
    /// What makes it unique.
    pub scope: String,
    /// Its value.
    pub value: String,
}

impl Operation for ResolveStart {
    const PATH: &'static str = "/api/links/resolve";
    const ROLE: Role = Role::Operator;
    type Answer = Resolved;
    const STATUSES: &'static [u16] = &[200, 404];

    fn record(&self) -> Option<Value> {
        None
    }

    fn status(answer: &Resolved) -> u16 {
        if answer.outcome == "unknown_link" { 404 } else { 200 }
    }

    async fn run(self, means: &Means) -> Result<Resolved, OperationError> {
        let parameter = start_parameter(&self.start);
        let kind = parameter.kind().to_owned();
        let plain = |value: Option<String>, next: &str| Resolved {
            kind: kind.clone(),
            outcome: "good".to_owned(),
            next: next.to_owned(),
            value,
            identifiers: Vec::new(),
            data: None,
        };
        let hint = "Anybody may have made it up: take it as a hint, not as proof.";
        let token = match parameter {
            StartParameter::None => return Ok(plain(None, "Nothing says who it is: ask for the phone.")),
            StartParameter::CrmId(value) | StartParameter::Device(value) | StartParameter::Other(value) => {
                return Ok(plain(Some(value), hint));
            }
            StartParameter::Token(token) => token,
        };
        let ended = |outcome: &str, next: &str| Resolved { outcome: outcome.to_owned(), ..plain(None, next) };
        let state = means.store.token(kept(Secret::Token, &token), self.use_up, means.clock.now()).await?;
        Ok(match state {
            TokenState::Good(Meaning { identifiers, data }) => {
                let proved = |(kind, scope, value)| Proved { kind, scope, value };
                let next = "Whoever came with it is this one.";
                Resolved {
                    identifiers: identifiers.into_iter().map(proved).collect(),
                    data,
                    ..plain(None, next)
                }
            }
            TokenState::Used => ended("used_link", "Somebody came with it before: ask for the phone."),
            TokenState::Expired => {
                ended("expired_link", "It is too old: ask for the phone, or make a new link.")
            }
            TokenState::Unknown => ended("unknown_link", "We have none like it: ask for the phone."),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> MakeDeepLink {
        MakeDeepLink { bot: "shop_bot".to_owned(), regions: ukraine(), ..MakeDeepLink::default() }
    }

    #[test]
    fn what_is_private_never_stands_in_a_link() {
        let check = |change: fn(&mut MakeDeepLink), expect: &str| {
            let mut asked = asked();
            change(&mut asked);
            let got = match asked.start() {
                Ok(Start::AsIs(text)) => text.unwrap_or_default(),
                Ok(Start::Token(meaning)) => {
                    let identifiers = meaning
                        .identifiers
                        .iter()
                        .map(|(kind, scope, value)| format!("{}/{scope}/{value}", kind.as_str()));
                    let data = meaning.data.map(|data| format!("data/{data}"));
                    format!("token: {}", identifiers.chain(data).collect::<Vec<_>>().join(" "))
                }
                Err(why) => format!("refused: {why}"),
            };
            let is_it = match expect.strip_prefix("refused: ") {
                Some(part) => got.starts_with("refused: ") && got.contains(part),
                None => got == expect,
            };
            assert!(is_it, "{got}, not {expect}");
        };
        check(|_| {}, "");
        check(|asked| asked.crm_id = Some("900000417".into()), "900000417");
        check(|asked| asked.crm_id = Some("mindbox:900000417".into()), "900000417");
        check(|asked| asked.crm_id = Some("hubspot:AB-17".into()), "token: crm_id/hubspot/AB-17");
        check(|asked| asked.crm_id = Some("AB-17".into()), "refused: DESTINATION:AB-17");
        check(|asked| asked.crm_id = Some("null".into()), "refused: no id");
        check(
            |asked| (asked.crm_id, asked.one_time) = (Some("odoo:17".into()), true),
            "token: crm_id/odoo/17",
        );
        check(|asked| (asked.crm_id, asked.one_time) = (Some("17".into()), true), "refused: DESTINATION:17");
        check(
            |asked| asked.device = Some("1F9C7C0E-5D0B-4A0E-9C2D-5B7A3A6C9E10".into()),
            "1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10",
        );
        check(|asked| asked.device = Some("17".into()), "refused: no device");
        check(|asked| asked.customer = Some("shop:17".into()), "token: external_customer/shop/17");
        check(|asked| asked.customer = Some("17".into()), "refused: NAMESPACE:ID");
        check(|asked| asked.phone = Some("067 123 45 67".into()), "token: phone//+380671234567");
        check(|asked| asked.phone = Some("12".into()), "refused: phone is none");
        check(|asked| asked.email = Some("Olena@Example.com".into()), "token: email//olena@example.com");
        check(|asked| asked.data = Some("summer-2026".into()), "summer-2026");
        check(|asked| asked.data = Some("осінь".into()), "token: data/осінь");
        check(|asked| asked.data = Some("+380671234567".into()), "token: data/+380671234567");
        check(|asked| asked.data = Some("380671234567".into()), "token: data/380671234567");
        check(|asked| (asked.data, asked.one_time) = (Some("a".into()), true), "token: data/a");
        check(
            |asked| (asked.data, asked.customer) = (Some("summer".into()), Some("shop:17".into())),
            "token: external_customer/shop/17 data/summer",
        );
        check(|asked| asked.days = Some(91), "refused: between 1 and 90");
        check(|asked| asked.bot = "no bot".into(), "refused: no bot");
    }
}
