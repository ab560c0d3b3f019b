//! The plan for a bot: which of a lead's calls are made, and about which chat.
//!
//! | the call | the chat |
//! |---|---|
//! | is about no chat | – |
//! | names one (`chat:`) | that one; named and empty is nobody, never everybody |
//! | names none | the lead's own, where the bot serves it and it is not blocked |
//! | | else the person's live chat that the bot serves and that was active last |
//!
//! `channel:` narrows the last two. A call without a chat is left out; a lead of which none is left is filtered.

use super::Decision;
use crate::id::StepId;
use crate::lead::{IdentifierKind, Lead};
use crate::map::{Rendered, Served};
use crate::plan::{Action, Call, Plan, Reason, Recipient, Step};

/// A chat of the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonChat {
    /// Scope of its identifier.
    pub scope: String,
    /// Chat id within the bot.
    pub id: String,
    /// Messenger, lower case.
    pub channel: String,
    /// Whether the person blocked the bot, or left.
    pub blocked: bool,
}

/// What the choice of a chat depends on.
#[derive(Clone, Copy, Debug)]
pub struct Chats<'a> {
    /// Name of the destination, for texts.
    pub bot: &'a str,
    /// Those that the bot serves.
    pub serves: &'a Served<'a>,
    /// The person's, the one that was active last first.
    pub known: &'a [PersonChat],
}

impl Chats<'_> {
    fn served(&self, chat: &PersonChat, channel: Option<&str>) -> bool {
        self.serves.has(&chat.scope)
            && channel.is_none_or(|channel| channel.eq_ignore_ascii_case(&chat.channel))
    }

    fn is_blocked(&self, chat: &PersonChat) -> bool {
        self.known.iter().any(|known| known.scope == chat.scope && known.id == chat.id && known.blocked)
    }

    /// The live chat that was active last, or the one with this id.
    pub fn live(&self, channel: Option<&str>, id: Option<&str>) -> Option<&PersonChat> {
        let mut live = self.known.iter().filter(|chat| !chat.blocked && self.served(chat, channel));
        live.find(|chat| id.is_none_or(|id| chat.id == id))
    }

    /// The chat that a call goes to which names none.
    pub fn usual(&self, lead: &Lead, channel: Option<&str>) -> Option<PersonChat> {
        let own = own(lead).filter(|chat| self.served(chat, channel) && !self.is_blocked(chat));
        own.or_else(|| self.live(channel, None).cloned())
    }

    /// The chat of a call, or why there is none.
    fn of(&self, call: &Rendered, lead: &Lead) -> Result<Option<Recipient>, Reason> {
        if !call.needs_chat {
            return Ok(None);
        }
        let channel = call.channel.as_deref();
        if let Some(id) = &call.chat {
            if id.is_empty() {
                let text = format!(
                    "`{}` for '{}' names a chat and nothing came out of it, so it goes to nobody; look at `chat` in the \
                     mapping.",
                    call.operation, self.bot
                );
                return Err(Reason::new("no_recipient", text));
            }
            let known = own(lead).into_iter().chain(self.known.iter().cloned());
            let known = known.filter(|chat| self.served(chat, channel)).find(|chat| chat.id == *id);
            return Ok(Some(Recipient {
                id: id.clone(),
                scope: known.as_ref().map(|chat| chat.scope.clone()),
                channel: channel.map(str::to_lowercase).or_else(|| known.map(|chat| chat.channel)),
            }));
        }
        let chat = self.usual(lead, channel).ok_or_else(|| {
            let blocked = self.known.iter().any(|chat| chat.blocked && self.served(chat, channel));
            let why = if blocked { "blocked the bot" } else { "has no chat there" };
            let text =
                format!("`{}` has nobody to go to: the person {why} ('{}').", call.operation, self.bot);
            Reason::new("no_live_chat", text)
        })?;
        Ok(Some(Recipient { id: chat.id, scope: Some(chat.scope), channel: Some(chat.channel) }))
    }
}

/// The chat that the lead came from, with the scope of its identifier.
fn own(lead: &Lead) -> Option<PersonChat> {
    let chat = lead.chat.as_ref()?;
    let is_it = |keys: &[String]| keys.first() == Some(&chat.id);
    let mut chats = lead.identifiers.iter().filter(|identifier| identifier.kind == IdentifierKind::Chat);
    let scope = chats.find(|identifier| is_it(&identifier.keys))?.scope.clone();
    Some(PersonChat { scope, id: chat.id.clone(), channel: chat.channel.clone(), blocked: false })
}

/// Plans the calls of a lead for one bot; `calls` are those whose condition holds, in their order.
pub fn plan_calls(
    lead: &Lead,
    calls: Vec<Rendered>,
    chats: Chats<'_>,
    new_step_id: &mut dyn FnMut() -> StepId,
) -> Decision {
    if calls.is_empty() {
        let text = format!("The condition (`when`) of no call for '{}' holds.", chats.bot);
        return Decision::Filtered(Reason::new("no_call", text));
    }
    let mut plan = Plan { steps: Vec::new(), reasons: Vec::new(), picked_owner: None };
    for rendered in calls {
        match chats.of(&rendered, lead) {
            Ok(chat) => {
                let Rendered { operation, with, .. } = rendered;
                let call = Call { operation: operation.to_owned(), chat, with };
                plan.reasons.push(called(&call, chats.bot));
                plan.steps.push(Step { id: new_step_id(), action: Action::Call { call } });
            }
            Err(reason) => plan.reasons.push(reason),
        }
    }
    if plan.steps.is_empty() {
        let reason = plan.reasons.into_iter().next();
        return Decision::Filtered(
            reason.unwrap_or_else(|| Reason::new("no_call", "Nothing is to be called.")),
        );
    }
    Decision::Push { plan, turn: None }
}

fn called(call: &Call, bot: &str) -> Reason {
    let about = match &call.chat {
        None => String::new(),
        Some(Recipient { channel: Some(channel), .. }) => format!(" in the person's {channel} chat"),
        Some(Recipient { channel: None, .. }) => " in the chat that the mapping names".to_owned(),
    };
    Reason::new("call", format!("'{bot}' is called: {}{about}.", call.operation))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::decide::tests::bare_lead as lead;
    use crate::lead::{Chat, Identifier, Proof};

    fn chat(scope: &str, id: &str, channel: &str) -> PersonChat {
        PersonChat { scope: scope.into(), id: id.into(), channel: channel.into(), blocked: false }
    }

    fn from_chat(scope: &str, id: &str) -> Lead {
        let mut lead = lead();
        lead.chat = Some(Chat {
            channel: "telegram".into(),
            bot: "bot".into(),
            bot_name: None,
            id: id.into(),
            link: None,
        });
        let keys = vec![id.to_owned()];
        let kind = IdentifierKind::Chat;
        lead.identifiers.push(Identifier { kind, scope: scope.into(), keys, proof: Proof::Proven });
        lead
    }

    fn call() -> Rendered {
        Rendered { operation: "set_tag", needs_chat: true, chat: None, channel: None, with: Map::new() }
    }

    /// The chat ids of the plan, or the word of the reason why there is none.
    fn ids(
        lead: &Lead,
        calls: Vec<Rendered>,
        serves: &[&str],
        known: &[PersonChat],
    ) -> Result<Vec<String>, String> {
        let mut next = 0_u128;
        let mut new_step_id = || {
            next += 1;
            StepId(uuid::Uuid::from_u128(next))
        };
        let serves = Served { own: serves.to_vec(), others: Vec::new() };
        let chats = Chats { bot: "bot", serves: &serves, known };
        match plan_calls(lead, calls, chats, &mut new_step_id) {
            Decision::Push { plan, .. } => Ok(plan
                .steps
                .iter()
                .map(|step| {
                    let Action::Call { call } = &step.action else { panic!("{step:?}") };
                    call.chat.as_ref().map(|chat| chat.id.clone()).unwrap_or_default()
                })
                .collect()),
            Decision::Filtered(reason) => Err(reason.code),
            Decision::Waiting { .. } | Decision::NeedsAttention { .. } => Err("neither".to_owned()),
        }
    }

    #[test]
    fn the_chat_is_the_leads_own_then_the_one_that_was_active_last() {
        let known = [chat("sendpulse:b", "new", "viber"), chat("sendpulse:a", "old", "telegram")];
        let own = from_chat("sendpulse:a", "own");
        let check =
            |lead: &Lead, calls, serves: &[&str], known: &[PersonChat], expect: Result<&[&str], &str>| {
                let expect = expect.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
                assert_eq!(ids(lead, calls, serves, known), expect.map_err(str::to_owned));
            };
        check(&own, vec![call()], &["sendpulse:*"], &known, Ok(&["own"]));
        check(&lead(), vec![call()], &["sendpulse:*"], &known, Ok(&["new"]));
        check(&lead(), vec![call()], &["sendpulse:a"], &known, Ok(&["old"]));
        check(&own, vec![call()], &["telegram:*"], &known, Err("no_live_chat"));
        check(&own, vec![], &["sendpulse:*"], &known, Err("no_call"));
        let viber = Rendered { channel: Some("Viber".into()), ..call() };
        check(&own, vec![viber.clone()], &["sendpulse:*"], &known, Ok(&["new"]));
        let instagram = Rendered { channel: Some("instagram".into()), ..call() };
        check(&own, vec![instagram.clone()], &["sendpulse:*"], &known, Err("no_live_chat"));
        check(&own, vec![instagram, viber], &["sendpulse:*"], &known, Ok(&["new"]));
        let about_nothing = Rendered { needs_chat: false, ..call() };
        check(&lead(), vec![about_nothing], &[], &[], Ok(&[""]));
    }

    #[test]
    fn who_blocked_the_bot_is_not_called() {
        let blocked = |chat: PersonChat| PersonChat { blocked: true, ..chat };
        let known = [blocked(chat("t:a", "own", "telegram")), chat("t:b", "other", "telegram")];
        let own = from_chat("t:a", "own");
        assert_eq!(ids(&own, vec![call()], &["t:*"], &known), Ok(vec!["other".to_owned()]));
        assert_eq!(ids(&own, vec![call()], &["t:*"], &known[..1]), Err("no_live_chat".to_owned()));
    }

    #[test]
    fn a_chat_that_is_named_and_empty_is_nobody() {
        let named = |id: &str| Rendered { chat: Some(id.into()), ..call() };
        let own = from_chat("t:a", "own");
        assert_eq!(ids(&own, vec![named("")], &["t:*"], &[]), Err("no_recipient".to_owned()));
        assert_eq!(ids(&own, vec![named("7")], &["t:*"], &[]), Ok(vec!["7".to_owned()]));
    }
}
