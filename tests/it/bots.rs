//! Bots: that what is sent is what their vendors document, and that no answer is taken for another.

mod botmother;
mod chatterfy;
mod esputnik;
mod journey;
mod metabot;
mod mindbox;
mod sendpulse;
pub(crate) mod stand_in;
mod telegram;
mod two_crms;
mod ways_back;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use leadfold::clock::{Clock as _, SystemClock};
use leadfold::crm::{BOTS, Crm, Outcome, Remaining, connect};
use leadfold::id::StepId;
use leadfold::map::Files;
use leadfold::plan::{Action, Call, Recipient, Step};
use leadfold::rules::{Blind, Destination, Mode, Settings};
use leadfold::workspace::compile_with;
use serde_json::Value;

use self::stand_in::{Reply, StandIn};
use crate::crm::fixture::{Recorder, alone};

/// What stands in every secret setting, or at least its beginning.
const SECRET: &str = "s3cret-of-the-bot";

/// A destination of this bot.
fn destination(bot: &str, settings: &[(&str, &str)]) -> Destination {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Destination {
        name: "bot".into(),
        crm: bot.into(),
        mode: Mode::Live,
        share: 1.0,
        timeout: Duration::from_secs(20),
        settle: None,
        audit: Duration::from_mins(10),
        chats: Vec::new(),
        blind: Blind::default(),
        settings: Settings(settings.collect()),
    }
}

/// How long a test waits for this reply: not long for one that never comes.
fn patience(reply: &Reply) -> Duration {
    if matches!(reply, Reply::Silence) { Duration::from_millis(600) } else { Duration::from_secs(20) }
}

/// A call of an operation about a chat.
fn call(operation: &str, chat: (&str, &str), with: Value) -> Call {
    let (id, channel) = chat;
    let Value::Object(with) = with else { panic!("parameters have names") };
    let channel = (!channel.is_empty()).then(|| channel.to_owned());
    let chat = Some(Recipient { id: id.to_owned(), scope: None, channel });
    Call { operation: operation.to_owned(), chat, with }
}

fn step(call: Call) -> Step {
    Step { id: StepId(SystemClock.new_id()), action: Action::Call { call } }
}

/// A call of an operation that may be about no chat.
fn call_about(operation: &str, chat: Option<&str>, with: &Value) -> Call {
    let chat = chat.map(|id| Recipient { id: id.to_owned(), scope: None, channel: None });
    Call { operation: operation.to_owned(), chat, with: with.as_object().unwrap().clone() }
}

/// A reply in JSON.
#[expect(clippy::needless_pass_by_value, reason = "reads best with json! at the call")]
fn says(status: u16, body: Value) -> Reply {
    Reply::json(status, &body)
}

/// What becomes of the only step of a plan.
async fn outcome(bot: &dyn Crm, step: &Step, journal: &Recorder) -> Outcome {
    let mut outcomes = bot.write(&[alone(step)], journal).await;
    assert_eq!((outcomes.len(), outcomes[0].len()), (1, 1));
    outcomes.remove(0).remove(0)
}

/// The kind of an outcome, and what it says.
fn told(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Done(record) => ("done", &record.0),
        Outcome::Retry { why, .. } => ("retry", why),
        Outcome::Unknown { why } => ("unknown", why),
        Outcome::Rejected { why } => ("rejected", why),
        Outcome::UnderWay { why, .. } => ("under way", why),
        Outcome::Unreachable { why } => ("unreachable", why),
        Outcome::Unauthorised { why } => ("unauthorised", why),
    }
}

/// What becomes of the only step of each plan.
async fn outcomes_of(bot: &dyn Crm, steps: &[Step]) -> Vec<Outcome> {
    let plans: Vec<Remaining<'_>> = steps.iter().map(alone).collect();
    let outcomes = bot.write(&plans, &Recorder::default()).await;
    assert_eq!(outcomes.len(), steps.len());
    outcomes.into_iter().map(|mut one| one.remove(0)).collect()
}

fn words(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(|outcome| told(outcome).0).collect()
}

/// Each answer, what becomes of a call that gets it, and what the outcome says: of a call that is done nothing but its
/// record, where it has one. Nothing says a secret, and each call was journalled and went out once; without a journal
/// nothing goes out, and where nobody listens nothing was done. Account and call are those of a server at an address.
async fn check_answers(
    answers: Vec<(Reply, &str, &str)>,
    account: impl Fn(&str) -> Destination,
    call: impl Fn(&str) -> Call,
) {
    for (reply, expect, says) in answers {
        let server = StandIn::always(reply.clone()).await;
        let account = Destination { timeout: patience(&reply), ..account(&server.url()) };
        let (step, journal) = (step(call(&server.url())), Recorder::default());
        let end = outcome(&*connect(&account).unwrap(), &step, &journal).await;
        let (word, said) = told(&end);
        assert_eq!(word, expect, "{reply:?}: {said}");
        assert!(!said.contains("s3cret"), "{reply:?}: {said}");
        if word == "done" {
            assert_eq!(
                said,
                if says.is_empty() { step.id.to_string() } else { says.to_owned() },
                "{reply:?}"
            );
        } else {
            assert!(said.contains(says), "{reply:?}: {said}");
        }
        assert_eq!((journal.sent(), server.requests().len()), (vec![step.id], 1), "{reply:?}");
    }
    let server = StandIn::always(Reply::text(200, "{}")).await;
    let bot = connect(&account(&server.url())).unwrap();
    let end = outcome(&*bot, &step(call(&server.url())), &Recorder::broken()).await;
    assert_eq!(told(&end).0, "retry", "{end:?}");
    assert!(server.requests().is_empty(), "nothing goes out without the journal");
    let gone = server.gone().await;
    let end = outcome(&*connect(&account(&gone)).unwrap(), &step(call(&gone)), &Recorder::default()).await;
    assert!(told(&end).0 == "retry" && !told(&end).1.contains("s3cret"), "{end:?}");
}

/// A call that is refused before anything is sent.
async fn check_refused(bot: &Arc<dyn Crm>, server: &StandIn, call: Call, says: &str) {
    let journal = Recorder::default();
    let outcome = outcome(&**bot, &step(call), &journal).await;
    let (word, said) = told(&outcome);
    assert!(word == "rejected" && said.contains(says), "{word}: {said}");
    assert!(server.requests().is_empty() && journal.sent().is_empty());
}

/// What the loader says of a call in a mapping, given the settings of its bot as YAML.
fn problems(bot: &str, settings: &str, call: &str) -> Vec<String> {
    let workspace = format!("destinations:\n  bot: {{ bot: {bot}, {settings} }}\n");
    let mapping = format!(
        "source: {{ preset: json, token: demo }}\nleads:\n  - name: All\n    calls:\n      - {{ to: bot, {call} }}\n"
    );
    let files = [("workspace.yaml".to_owned(), workspace), ("bot.yaml".to_owned(), mapping)];
    let compiled = compile_with(&Files(files.into()), &(Arc::new(|_: &str| None) as _));
    compiled.problems.iter().map(|problem| format!("{}: {}", problem.file, problem.message)).collect()
}

/// What the loader, `check` and the docs take from a description is there and hangs together.
#[test]
fn descriptions_are_sound() {
    for description in BOTS {
        let bot = description.name;
        let kind = description.bot.unwrap_or_else(|| panic!("{bot} is no bot"));
        assert!(!description.summary.is_empty() && !kind.operations.is_empty(), "{bot}");
        let mut names: Vec<&str> = kind.operations.iter().map(|operation| operation.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), kind.operations.len(), "{bot}: two operations of one name");
        for operation in kind.operations {
            let at = format!("{bot}.{}", operation.name);
            assert!(!operation.summary.is_empty(), "{at}");
            let known = |name: &str| operation.parameters.iter().any(|parameter| parameter.name == name);
            assert!(operation.main.is_none_or(known), "{at}: its main parameter is none of its parameters");
            // A single value must be enough where one may stand.
            let others =
                operation.parameters.iter().filter(|parameter| Some(parameter.name) != operation.main);
            let lacks = others.filter(|parameter| parameter.required).count();
            assert!(operation.main.is_none() || lacks == 0, "{at}: a single value is not enough");
            for parameter in operation.parameters {
                assert!(!parameter.summary.is_empty(), "{at}.{}", parameter.name);
            }
            let reserved = ["to", "when", "chat", "channel"];
            assert!(!reserved.contains(&operation.name), "{at}: every call has a key of this name");
        }
    }
}
