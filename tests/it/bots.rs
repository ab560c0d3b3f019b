//! Bots: what goes over the wire to each, and what each of its answers means.

mod esputnik;
mod journey;
mod metabot;
mod mindbox;
pub(crate) mod stand_in;

use std::sync::Arc;
use std::time::Duration;

use leadfold::crm::{Crm, Outcome, Remaining, connect};
use leadfold::plan::{Action, Call, Recipient, Step};
use leadfold::rules::{Blind, Destination, Mode, Settings};
use serde_json::Value;

use self::stand_in::{Reply, StandIn};
use crate::crm::fixture::{Recorder, alone, step};

/// What stands in every secret setting.
pub(crate) const SECRET: &str = "s3cret-of-the-bot";

pub(crate) fn destination(bot: &str, settings: &[(&str, &str)]) -> Destination {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Destination {
        name: "bot".into(),
        crm: bot.into(),
        mode: Mode::Live,
        share: 1.0,
        timeout: Duration::from_millis(600),
        settle: None,
        audit: Duration::from_mins(10),
        chats: Vec::new(),
        blind: Blind::default(),
        settings: Settings(settings.collect()),
    }
}

/// A call as the mapping gives it; `chat` is its chat's id.
pub(crate) fn call(operation: &str, chat: Option<&str>, with: &Value) -> Call {
    let recipient = |id: &str| Recipient { id: id.to_owned(), scope: None, channel: None };
    let with = with.as_object().unwrap().clone();
    Call { operation: operation.to_owned(), chat: chat.map(recipient), with }
}

pub(crate) fn step_of(call: Call) -> Step {
    step(Action::Call { call })
}

/// Makes one call.
pub(crate) async fn make(crm: &dyn Crm, step: &Step, journal: &Recorder) -> Outcome {
    let mut outcomes = crm.write(&[alone(step)], journal).await;
    assert_eq!(outcomes.len(), 1, "one list of outcomes per plan");
    assert_eq!(outcomes[0].len(), 1, "one outcome for the one step");
    outcomes.remove(0).remove(0)
}

/// Makes the first calls of several plans.
pub(crate) async fn make_all(crm: &dyn Crm, steps: &[Step]) -> Vec<Outcome> {
    let plans: Vec<Remaining<'_>> = steps.iter().map(alone).collect();
    let outcomes = crm.write(&plans, &Recorder::default()).await;
    assert_eq!(outcomes.len(), steps.len());
    outcomes.into_iter().map(|mut one| one.remove(0)).collect()
}

pub(crate) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done(_) => "done",
        Outcome::Retry { .. } => "retry",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Rejected { .. } => "rejected",
        Outcome::UnderWay { .. } => "under way",
        Outcome::Unreachable { .. } => "unreachable",
        Outcome::Unauthorised { .. } => "unauthorised",
    }
}

/// What an outcome says; empty where it is done.
pub(crate) fn why(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Done(_) => "",
        Outcome::Retry { why, .. }
        | Outcome::Unknown { why }
        | Outcome::Rejected { why }
        | Outcome::UnderWay { why, .. }
        | Outcome::Unreachable { why }
        | Outcome::Unauthorised { why } => why,
    }
}

/// Each answer, what becomes of a call that gets it, and what the outcome says. Nothing says the secret.
pub(crate) async fn check_answers(
    answers: Vec<(Reply, &str, &str)>,
    account: impl Fn(&str) -> Destination,
    call: &Call,
) {
    for (reply, expect, says) in answers {
        let server = StandIn::always(reply.clone()).await;
        let crm = connect(&account(&server.url())).unwrap();
        let step = step_of(call.clone());
        let journal = Recorder::default();
        let outcome = make(&*crm, &step, &journal).await;
        let said = why(&outcome);
        assert_eq!(word(&outcome), expect, "{reply:?}: {said}");
        assert!(said.contains(says), "{reply:?}: {said}");
        assert!(!said.contains(SECRET), "{said}");
        assert_eq!(journal.sent(), [step.id], "{reply:?}");
        if let Outcome::Done(record) = outcome {
            assert_eq!(record.0, step.id.to_string());
        }
    }
}

/// Without a journal nothing goes out.
pub(crate) async fn check_that_nothing_goes_without_the_journal(
    account: impl Fn(&str) -> Destination,
    call: Call,
) {
    let server = StandIn::always(Reply::Text(200, "{}")).await;
    let crm = connect(&account(&server.url())).unwrap();
    let outcome = make(&*crm, &step_of(call), &Recorder::broken()).await;
    assert_eq!(word(&outcome), "retry", "{}", why(&outcome));
    assert_eq!(server.seen().len(), 0);
}

/// A call that is refused before anything is sent.
pub(crate) async fn check_refused(crm: &Arc<dyn Crm>, server: &StandIn, call: Call, says: &str) {
    let journal = Recorder::default();
    let outcome = make(&**crm, &step_of(call), &journal).await;
    assert_eq!(word(&outcome), "rejected", "{}", why(&outcome));
    assert!(why(&outcome).contains(says), "{}", why(&outcome));
    assert!(server.seen().is_empty() && journal.sent().is_empty());
}
