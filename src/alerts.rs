//! Telling a person: one webhook, called once per new cause of needs-attention, once per pause of a destination, and once
//! when a destination is live while leads that were held wait for an answer.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::clock::Clock;
use crate::crm::http::post_json;
use crate::failpoint::failpoint;
use crate::map::Workspace;
use crate::plan::Reason;
use crate::rules::{Destination, Mode};
use crate::store::{Store, StoreError};
use crate::sync::WorkerHandle;

/// How often causes are looked for.
const EVERY: Duration = Duration::from_secs(2);

/// Calls the workspace's alert webhook.
#[derive(Clone)]
pub struct Alerts {
    /// The registry.
    pub store: Store,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// One per destination, as they run now.
    pub workers: watch::Receiver<Vec<WorkerHandle>>,
    /// Whose webhook takes a POST of `{"text", "cause"}` (what Slack and most chat tools understand).
    pub active: watch::Receiver<Option<Arc<Workspace>>>,
}

impl Alerts {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let webhook = self.active.borrow().as_ref().and_then(|workspace| workspace.alerts.clone());
            let Some(webhook) = webhook else { continue };
            if let Err(failure) = self.look(&webhook).await
                && failure.is_news()
            {
                error!(%failure, "causes for alerts could not be read");
            }
        }
    }

    async fn look(&self, webhook: &SecretString) -> Result<(), StoreError> {
        for (cause, reason) in self.store.untold_causes().await? {
            self.tell(webhook, &cause, &reason).await?;
        }
        let workers = self.workers.borrow().clone();
        for worker in &workers {
            self.look_at_held(webhook, worker).await?;
            let name = &worker.destination().name;
            let cause = format!("paused:{name}");
            match worker.paused() {
                None => self.store.forget_cause(&cause).await?,
                Some(_) if self.store.was_told(&cause).await? => {}
                Some(why) => {
                    let text = format!(
                        "Destination '{name}' is paused: {why}. Its queue is kept and goes on by itself."
                    );
                    self.tell(webhook, &cause, &Reason::new(&cause, text)).await?;
                }
            }
        }
        Ok(())
    }

    async fn look_at_held(&self, webhook: &SecretString, worker: &WorkerHandle) -> Result<(), StoreError> {
        let Destination { name, mode, .. } = worker.destination();
        let cause = format!("held:{name}");
        let count = if *mode == Mode::Live { self.store.count_held(name).await? } else { 0 };
        if count == 0 {
            return self.store.forget_cause(&cause).await;
        }
        if self.store.was_told(&cause).await? {
            return Ok(());
        }
        let text = format!(
            "Destination '{name}' is live, and {count} leads that were held while it was only observed wait for an answer: \
             `leadfold live {name} --push` or `--skip`. New leads go on."
        );
        self.tell(webhook, &cause, &Reason::new(&cause, text)).await
    }

    /// Tells a cause, and remembers it only when the webhook took it: an alert that got lost is sent again.
    async fn tell(&self, webhook: &SecretString, cause: &str, reason: &Reason) -> Result<(), StoreError> {
        let body = json!({ "text": format!("leadfold: {}", reason.text), "cause": cause }).to_string();
        let taken = match post_json(webhook, body).await {
            Ok(status) if (200..300).contains(&status) => Ok(()),
            Ok(status) => Err(format!("it answered {status}")),
            Err(why) => Err(why),
        };
        match taken {
            Ok(()) => {
                failpoint!("alerts.posted");
                info!(cause, "told");
                self.store.told(cause, &reason.text, self.clock.now()).await
            }
            Err(why) => {
                error!(cause, why, "the alert webhook did not take an alert; it is sent again");
                Ok(())
            }
        }
    }
}
