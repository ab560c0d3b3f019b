//! Who a visitor is that opened a link.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, LONGEST, UserId, caller, refused, told};
use crate::access::Role;
use crate::lead::IdentifierKind;
use crate::links::{Outcome, Secret, draw, kept};
use crate::normalise;
use crate::operation::{Means, Operation, OperationError, default_regions};
use crate::resolve::Key;
use crate::store::links::Attempt;

/// Asks who a visitor is that opened a link.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyLink {
    /// The public id in the link.
    pub buid: String,
    /// What the visitor typed; without it the answer says whether a PIN is needed.
    #[serde(default)]
    pub pin: Option<String>,
    /// Who is logged in at the site.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// Who tries, such as the address of the visitor: failures are counted for each.
    #[serde(default)]
    pub visitor: Option<String>,
    /// A phone that the visitor gave, by which they may be found.
    #[serde(default)]
    pub phone: Option<String>,
    /// An email that the visitor gave.
    #[serde(default)]
    pub email: Option<String>,
    /// Countries of a phone that names none.
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
}

impl Operation for VerifyLink {
    const PATH: &'static str = "/api/links/verify";
    const ROLE: Role = Role::Site;
    type Answer = Answer;
    const STATUSES: &'static [u16] = Outcome::STATUSES;

    fn status(answer: &Answer) -> u16 {
        answer.outcome.status()
    }

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        let texts = [&self.pin, &self.visitor, &self.phone, &self.email].into_iter().flatten();
        for text in texts.chain([&self.buid]) {
            if text.len() > LONGEST {
                return refused(format!(
                    "a text of the request is longer than {LONGEST} bytes: nobody typed that"
                ));
            }
        }
        let mut contacts = Vec::new();
        let mut key = |kind, value| contacts.push(Key { kind, scope: String::new(), value });
        if let Some(Ok(phone)) = self.phone.as_ref().map(|phone| normalise::phone(phone, &self.regions)) {
            phone.match_keys.into_iter().for_each(|value| key(IdentifierKind::Phone, value));
        }
        if let Some(Ok(email)) = self.email.as_ref().map(|email| normalise::email(email)) {
            email.match_key.into_iter().for_each(|value| key(IdentifierKind::Email, value));
        }
        let ticket = draw(&means.clock.secret());
        let attempt = Attempt {
            buid: self.buid,
            pin: self.pin,
            user: self.user_id.map(String::from),
            contacts,
            caller: caller(&means.caller, self.visitor.as_deref()),
            ticket: kept(Secret::Ticket, &ticket),
            rules: means.active().await?.identity.clone(),
            clock: means.clock.clone(),
        };
        let answered = means.store.verify_link(attempt).await?;
        Ok(told(means, answered, Some(ticket)))
    }
}
