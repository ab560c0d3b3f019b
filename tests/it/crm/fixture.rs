//! An account in every CRM, with faults on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use leadfold::clock::{Clock, SystemClock};
use leadfold::crm::{Crm, DESCRIPTIONS, Journal, JournalError, Outcome, Priority, Remaining};
use leadfold::id::{StepId, SyncId};
use leadfold::map::Files;
use leadfold::plan::{Action, RecordId, Step};
use leadfold::rules::{Blind, Destination, Mode, Settings};
use leadfold::sandbox::{Faults, Running, Sandbox, SandboxOptions};
use leadfold::workspace::{Environment, compile_with};

use serde_json::json;

use super::canned;
use crate::odoo::real::{self, Real};
use crate::odoo::stand_in::{self, StandIn};

/// What stands in every secret setting.
pub(crate) const SECRET: &str = "s3cret-of-the-account";

/// What the CRM does from now on.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    None,
    Fails,
    Silent,
    Unauthorised,
}

/// Journals every step of these plans; each is done, and its own id stands for its record.
pub(crate) async fn all_done(plans: &[Remaining<'_>], journal: &dyn Journal) -> Vec<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for plan in plans {
        let steps: Vec<_> = plan.steps.iter().map(|step| (plan.sync, step.id)).collect();
        journal.sent(&steps).await.unwrap();
        outcomes.push(steps.iter().map(|(_, step)| Outcome::Done(RecordId(step.to_string()))).collect());
    }
    outcomes
}

/// An account in a CRM, with the server behind it.
pub(crate) struct Fixture<S = Box<dyn Server>> {
    pub(crate) crm: Arc<dyn Crm>,
    pub(crate) server: S,
}

/// What people and misfortune do to a CRM.
pub(crate) trait Server: Send + Sync {
    fn fault(&self, fault: Fault);

    /// Merges one contact into another, as a person would.
    fn merge<'a>(&'a self, from: &'a RecordId, into: &'a RecordId) -> BoxFuture<'a, ()>;
}

/// An Odoo that is set in the environment, in place of the stand-in.
pub(crate) const REAL_ODOO: &str = "the real odoo";

/// Every CRM, for what goes without faults also the real ones.
pub(crate) fn everywhere() -> impl Iterator<Item = &'static str> {
    let real = real::is_there().then_some(REAL_ODOO);
    DESCRIPTIONS.iter().map(|description| description.name).chain(real)
}

impl Fixture {
    pub(crate) async fn start(name: &str) -> Self {
        let (crm, server): (_, Box<dyn Server>) = match name {
            "sandbox" => {
                let Fixture { crm, server } = Self::sandbox(&[]).await;
                (crm, Box::new(server))
            }
            "rest" => {
                let Fixture { crm, server } = Self::connected("rest", &[]).await;
                (crm, Box::new(server))
            }
            "odoo" => {
                let Fixture { crm, server } = Self::odoo().await;
                (crm, Box::new(server))
            }
            REAL_ODOO => {
                let Fixture { crm, server } = Self::real_odoo().await;
                (crm, Box::new(server))
            }
            other => panic!("the CRM `{other}` has no fixture: add one here"),
        };
        Self { crm, server }
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.server.fault(fault);
    }

    pub(crate) async fn merge(&self, from: &RecordId, into: &RecordId) {
        self.server.merge(from, into).await;
    }

    pub(crate) async fn odoo() -> Fixture<StandIn> {
        let server = StandIn::start(SECRET).await;
        Fixture { crm: leadfold::crm::connect(&destination("odoo", &server.url())).unwrap(), server }
    }

    /// Without the people that these tests know.
    async fn real_odoo() -> Fixture<Real> {
        let server = Real::take("conformance").await.unwrap();
        let (phones, emails) = (json!([super::PHONE, "+380501112233"]), json!([super::EMAIL]));
        server
            .remove(json!([
                "|",
                "|",
                ["phone_sanitized", "in", phones],
                ["email_normalized", "in", emails],
                ["phone", "=like", "%6%7%1%2%3%4%5%6%7%"],
            ]))
            .await;
        Fixture { crm: leadfold::crm::connect(&server.destination()).unwrap(), server }
    }

    /// A sandbox with further settings of its destination.
    pub(crate) async fn sandbox(settings: &[(&str, &str)]) -> Fixture<Running> {
        Self::connected("sandbox", settings).await
    }

    /// Our sandbox through any adapter that speaks to it.
    async fn connected(crm: &str, settings: &[(&str, &str)]) -> Fixture<Running> {
        let options = SandboxOptions { token: SECRET.to_owned(), ..SandboxOptions::default() };
        let server = Sandbox::start(options).await.unwrap();
        let mut destination = destination(crm, &server.url());
        destination.settings.0.extend(settings.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        Fixture { crm: leadfold::crm::connect(&destination).unwrap(), server }
    }
}

impl Server for Running {
    fn fault(&self, fault: Fault) {
        let mut faults = Faults::default();
        match fault {
            Fault::None => {}
            Fault::Fails => faults.fail_before = 1.0,
            Fault::Silent => faults.timeout_after = 1.0,
            Fault::Unauthorised => faults.unauthorised = true,
        }
        self.set_faults(faults);
    }

    fn merge<'a>(&'a self, from: &'a RecordId, into: &'a RecordId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let path = format!("/contacts/{from}/merge_into/{into}");
            let (status, body) = canned::request(self.addr(), "POST", &path, SECRET, "").await;
            assert_eq!(status, 204, "{body}");
        })
    }
}

impl Server for StandIn {
    fn fault(&self, fault: Fault) {
        let mut faults = stand_in::Faults::default();
        match fault {
            Fault::None => {}
            Fault::Fails => faults.fail_before = 1.0,
            Fault::Silent => faults.timeout_after = 1.0,
            Fault::Unauthorised => faults.unauthorised = true,
        }
        self.set_faults(faults);
    }

    fn merge<'a>(&'a self, from: &'a RecordId, _: &'a RecordId) -> BoxFuture<'a, ()> {
        let id: u64 = from.0.parse().unwrap();
        self.tables().records.get_mut("res.partner").unwrap().remove(&id).unwrap();
        Box::pin(std::future::ready(()))
    }
}

impl Server for Real {
    fn fault(&self, _: Fault) {
        panic!("a real Odoo does nothing wrong when asked to");
    }

    fn merge<'a>(&'a self, from: &'a RecordId, _: &'a RecordId) -> BoxFuture<'a, ()> {
        Box::pin(self.remove(json!([["id", "=", from.0.parse::<u64>().unwrap()]])))
    }
}

/// A destination `crm` of this CRM, with every required setting.
pub(crate) fn destination(crm: &str, url: &str) -> Destination {
    if crm == "rest" {
        return described(url);
    }
    let settings: &[(&str, &str)] = match crm {
        "odoo" => &[("url", url), ("database", stand_in::DATABASE), ("api_key", SECRET)],
        _ => &[("url", url), ("token", SECRET)],
    };
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Destination {
        name: "crm".into(),
        crm: crm.into(),
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

/// The shipped description of the sandbox.
fn described(url: &str) -> Destination {
    let text = include_str!("../../../mappings/examples/sandbox-rest/workspace.yaml");
    let files = Files([("workspace.yaml".to_owned(), text.to_owned())].into());
    let url = url.to_owned();
    let environment: Environment = Arc::new(move |name| match name {
        "SANDBOX_URL" => Some(url.clone()),
        "SANDBOX_TOKEN" => Some(SECRET.to_owned()),
        _ => None,
    });
    let compiled = compile_with(&files, &environment);
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
    let destination = compiled.workspace.destinations["crm"].clone();
    Destination { timeout: Duration::from_millis(600), settle: None, ..destination }
}

pub(crate) fn step(action: Action) -> Step {
    Step { id: StepId(SystemClock.new_id()), action }
}

/// A plan of which this step is left.
pub(crate) fn alone(step: &Step) -> Remaining<'_> {
    Remaining {
        sync: SyncId(SystemClock.new_id()),
        steps: std::slice::from_ref(step),
        priority: Priority::Live,
    }
}

/// A journal that remembers, or one that cannot.
#[derive(Default)]
pub(crate) struct Recorder {
    broken: bool,
    sent: Mutex<Vec<StepId>>,
}

impl Recorder {
    pub(crate) fn broken() -> Self {
        Self { broken: true, ..Self::default() }
    }

    pub(crate) fn sent(&self) -> Vec<StepId> {
        self.sent.lock().unwrap().clone()
    }
}

impl Journal for Recorder {
    fn sent<'a>(&'a self, steps: &'a [(SyncId, StepId)]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            if self.broken {
                return Err(JournalError("the disk is full".into()));
            }
            self.sent.lock().unwrap().extend(steps.iter().map(|(_, step)| *step));
            Ok(())
        })
    }
}
