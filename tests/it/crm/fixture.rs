//! An account in every CRM, with faults on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use leadfold::clock::{Clock, SystemClock};
use leadfold::crm::{Crm, Journal, JournalError};
use leadfold::id::{StepId, SyncId};
use leadfold::map::Files;
use leadfold::plan::{Action, RecordId, Step};
use leadfold::rules::{Blind, Destination, Mode, Settings};
use leadfold::sandbox::{Faults, Running, Sandbox, SandboxOptions};
use leadfold::workspace::{Environment, compile_with};

use super::canned;

/// What stands in every secret setting.
pub(super) const SECRET: &str = "s3cret-of-the-account";

/// What the CRM does from now on.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    None,
    Fails,
    Silent,
    Unauthorised,
}

pub(super) struct Fixture {
    pub(super) crm: Arc<dyn Crm>,
    pub(super) server: Running,
}

impl Fixture {
    pub(super) async fn start(name: &str) -> Self {
        match name {
            "sandbox" => Self::sandbox(&[]).await,
            "rest" => Self::connected("rest", &[]).await,
            other => panic!("the CRM `{other}` has no fixture: add one here"),
        }
    }

    /// A sandbox with further settings of its destination.
    pub(super) async fn sandbox(settings: &[(&str, &str)]) -> Self {
        Self::connected("sandbox", settings).await
    }

    async fn connected(crm: &str, settings: &[(&str, &str)]) -> Self {
        let options = SandboxOptions { token: SECRET.to_owned(), ..SandboxOptions::default() };
        let server = Sandbox::start(options).await.unwrap();
        let mut destination = destination(crm, &server.url());
        destination.settings.0.extend(settings.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        Self { crm: leadfold::crm::connect(&destination).unwrap(), server }
    }

    pub(super) fn fault(&self, fault: Fault) {
        let mut faults = Faults::default();
        match fault {
            Fault::None => {}
            Fault::Fails => faults.fail_before = 1.0,
            Fault::Silent => faults.timeout_after = 1.0,
            Fault::Unauthorised => faults.unauthorised = true,
        }
        self.server.set_faults(faults);
    }

    /// Merges one contact into another, as a person would.
    pub(super) async fn merge(&self, from: &RecordId, into: &RecordId) {
        let path = format!("/contacts/{from}/merge_into/{into}");
        let (status, body) = canned::request(self.server.addr(), "POST", &path, SECRET, "").await;
        assert_eq!(status, 204, "{body}");
    }
}

/// A destination `crm` of this CRM, with every required setting.
pub(super) fn destination(crm: &str, url: &str) -> Destination {
    if crm == "rest" {
        return described(url);
    }
    let settings = [("url", url), ("token", SECRET)];
    Destination {
        name: "crm".into(),
        crm: crm.into(),
        mode: Mode::Live,
        share: 1.0,
        timeout: Duration::from_millis(600),
        settle: None,
        blind: Blind::default(),
        settings: Settings(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
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

pub(super) fn step(action: Action) -> Step {
    Step { id: StepId(SystemClock.new_id()), action }
}

pub(super) fn sync_id() -> SyncId {
    SyncId(SystemClock.new_id())
}

/// A journal that remembers, or one that cannot.
#[derive(Default)]
pub(super) struct Recorder {
    broken: bool,
    sent: Mutex<Vec<StepId>>,
}

impl Recorder {
    pub(super) fn broken() -> Self {
        Self { broken: true, ..Self::default() }
    }

    pub(super) fn sent(&self) -> Vec<StepId> {
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
