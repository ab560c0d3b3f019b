//! Another PIN into the chat of a link: a site asks for it, and never sees it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, LONGEST, caller, refused};
use crate::access::Role;
use crate::links::{Outcome, Secret, kept, pin_key};
use crate::operation::triggers::{self, Outcome as Came, send_pin};
use crate::operation::{Means, Operation, OperationError};
use crate::store::links::Answered;

/// Asks for another PIN of a link, because the one that was typed is wrong or too old. It is drawn when the bot sends it; the
/// one before stays good until then.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendPin {
    /// The public id in the link.
    pub buid: String,
    /// Who asks, as for verifying: whoever failed too often gets none.
    #[serde(default)]
    pub visitor: Option<String>,
}

impl Operation for SendPin {
    const PATH: &'static str = "/api/links/pin";
    const ROLE: Role = Role::Site;
    type Answer = Answer;
    const STATUSES: &'static [u16] = Outcome::STATUSES;

    fn status(answer: &Answer) -> u16 {
        answer.outcome.status()
    }

    async fn run(self, means: &Means) -> Result<Answer, OperationError> {
        if self.buid.len() > LONGEST || self.visitor.as_ref().is_some_and(|visitor| visitor.len() > LONGEST) {
            return refused(format!("a text of the request is longer than {LONGEST} bytes"));
        }
        let workspace = means.active().await?;
        let Some(trigger) = &workspace.links.send_pin else {
            return refused(
                "nothing sends PINs here: `links: { send_pin: <trigger> }` of workspace.yaml names the trigger that does; until \
                 then the visitor asks the bot for a new link"
                    .to_owned(),
            );
        };
        let answer = |outcome| Ok(Answer::of(Answered::just(outcome), None));
        let link = kept(Secret::Link, &self.buid);
        let caller = caller(&means.caller, self.visitor.as_deref());
        let asked = means.store.ask_for_pin(link, pin_key(&self.buid), caller, means.clock.now()).await?;
        let asked = match asked {
            Err(why) => return answer(why),
            Ok(asked) if asked.under_way => return answer(Outcome::PinOnItsWay),
            Ok(asked) => asked,
        };
        let came = send_pin(means, &workspace, trigger, (asked.person, &asked.chat), &link).await;
        if !matches!(&came, Ok(triggers::Triggered { outcome: Came::Accepted, .. })) {
            // Nobody sends it.
            means.store.forget_pin_key(link).await?;
        }
        let came = came?;
        match came.outcome {
            Came::Accepted => answer(Outcome::PinOnItsWay),
            Came::NoLiveChat => answer(Outcome::NoLiveChat),
            Came::Filtered
            | Came::Nobody
            | Came::SeveralPeople
            | Came::NoSuchTrigger
            | Came::MappingError => {
                tracing::error!(trigger, why = came.message, "a PIN that somebody asked for cannot be sent");
                refused(format!("trigger '{trigger}' sends no PIN: {}", came.message))
            }
        }
    }
}
