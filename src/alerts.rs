//! Telling a person: once for each trouble on each channel, once more when it is over, however many processes run and
//! however often they are started anew.
//!
//! | trouble | its cause | who sees it |
//! |---|---|---|
//! | leads need somebody | `crm_rejected:crm`: the word of their reason, and where | all processes |
//! | requests could not be read, or wait for their mapping | `unreadable:<source>`, `waiting:<source>` | all |
//! | held leads wait for an answer while their destination is live | `held:<destination>` | all |
//! | a destination is paused | `paused:<destination>` | the process that has it |
//! | leads, or requests, wait longer than they should | `late:<destination>`, `late:prepare` | all |
//! | nothing came from a source for longer than it may be silent | `silent:<source>` | all |
//!
//! What stands, and what each channel knows of it, is in the database (`store/alerts.rs`); `trouble` sees what there is,
//! `channels` and `mail` say it.

mod channels;
mod mail;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::channels::{Channel, Note};
use self::trouble::Slowly;
use crate::clock::Clock;
use crate::failpoint::failpoint;
use crate::map::Workspace;
use crate::rules::AlertRules;
use crate::store::alerts::{Message, Trouble};
use crate::store::{Store, StoreError};
use crate::sync::WorkerHandle;

/// How often somebody looks.
const EVERY: Duration = Duration::from_secs(2);
/// Trouble that comes and goes within this time is one: a destination that was paused is tried anew by the next process.
const CALM: SignedDuration = SignedDuration::from_secs(20);
/// How long a process that took a message has for sending it. Longer than any channel takes to answer.
const SENDING: SignedDuration = SignedDuration::from_secs(45);
/// Between two tries to send a message, the first time, and at most.
const BACK_OFF: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_BACK_OFF: SignedDuration = SignedDuration::from_mins(5);

/// Looks for trouble and tells of it.
#[derive(Clone)]
pub struct Alerts {
    /// The registry.
    pub store: Store,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// One per destination, as they run now.
    pub workers: watch::Receiver<Vec<WorkerHandle>>,
    /// Who is told, and of what.
    pub active: watch::Receiver<Option<Arc<Workspace>>>,
    /// Where people open the console, for links into it.
    pub public_url: Option<String>,
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Memory {
    /// Trouble that stands and was not seen any more, since when.
    gone: BTreeMap<String, Timestamp>,
    slowly: Slowly,
}

impl Alerts {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut memory = Memory::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            // Whoever does not run the active version knows nothing of what it is about.
            let Some(workspace) = self.active.borrow().clone() else { continue };
            if let Err(failure) = self.look(&workspace, &mut memory).await
                && failure.is_news()
            {
                error!(%failure, "causes for alerts could not be read");
            }
        }
    }

    async fn look(&self, workspace: &Workspace, memory: &mut Memory) -> Result<(), StoreError> {
        let standing = self.store.troubles().await?;
        let seen = self.seen(workspace, &standing, &mut memory.slowly).await?;
        let now = self.clock.now();
        let mut changed = false;
        memory.gone.retain(|cause, _| standing.iter().any(|trouble| trouble.cause == *cause));
        for (cause, text) in &seen {
            memory.gone.remove(cause);
            if standing.iter().all(|trouble| trouble.cause != *cause) {
                self.store.notice(cause, text, now).await?;
                changed = true;
            }
        }
        let unseen = standing.iter().map(|trouble| &trouble.cause).filter(|cause| !seen.contains_key(*cause));
        for cause in unseen.filter(|cause| self.would_see(workspace, cause)) {
            let since = *memory.gone.entry(cause.clone()).or_insert(now);
            if now.duration_since(since) >= CALM {
                self.store.end_trouble(cause).await?;
                info!(cause, "it is over");
                changed = true;
            }
        }
        let standing = if changed { self.store.troubles().await? } else { standing };
        self.tell(&workspace.alerts, &standing, now).await
    }

    /// Says on every channel what is to be said there.
    async fn tell(&self, rules: &AlertRules, standing: &[Trouble], now: Timestamp) -> Result<(), StoreError> {
        let channels = Channel::of(rules);
        let mut messages = self.store.messages().await?;
        let mut new = false;
        for trouble in standing {
            for channel in &channels {
                let is_it =
                    |message: &Message| message.cause == trouble.cause && message.channel == channel.name();
                if !messages.iter().any(is_it) {
                    self.store.address(&trouble.cause, channel.name(), &trouble.text).await?;
                    new = true;
                }
            }
        }
        if new {
            messages = self.store.messages().await?;
        }
        let mut due: BTreeMap<&str, Vec<Message>> = BTreeMap::new();
        for message in messages {
            let stands = standing.iter().any(|trouble| trouble.cause == message.cause);
            let channel = channels.iter().find(|channel| channel.name() == message.channel);
            match channel {
                Some(_) if stands == message.told => {
                    if !stands {
                        self.store.forget_message(&message).await?;
                    }
                }
                Some(channel) if message.next_at <= now.as_millisecond() => {
                    due.entry(channel.name()).or_default().push(message);
                }
                Some(_) => {}
                None => self.store.forget_message(&message).await?,
            }
        }
        let sent = channels.iter().filter_map(|channel| {
            let messages = due.remove(channel.name())?;
            Some(self.send_all(*channel, rules, messages))
        });
        join_all(sent).await.into_iter().collect()
    }

    /// Sends what is due on one channel, up to what it does not take.
    async fn send_all(
        &self,
        channel: Channel,
        rules: &AlertRules,
        messages: Vec<Message>,
    ) -> Result<(), StoreError> {
        for message in messages {
            let later = |wait| self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
            if !self.store.take_message(&message, later(SENDING)).await? {
                continue;
            }
            let (cause, over) = (message.cause.as_str(), message.told);
            let link = self.public_url.as_ref().map(|url| format!("{url}/attention#{cause}"));
            let note = Note { cause, text: &message.text, over, link };
            match channel.send(rules, &note).await {
                Ok(()) => {
                    failpoint!("alerts.posted");
                    info!(cause, channel = channel.name(), over, "told");
                    self.store.message_taken(&message).await?;
                }
                Err(why) => {
                    error!(cause, channel = channel.name(), why, "an alert was not taken; it is sent again");
                    self.store.message_refused(&message, later(back_off(message.tries))).await?;
                    break;
                }
            }
        }
        Ok(())
    }
}

/// How long to wait after so many tries in vain.
fn back_off(tries: i64) -> SignedDuration {
    let doublings = u32::try_from(tries.clamp(0, 16)).unwrap_or(0);
    BACK_OFF.saturating_mul(2_i32.saturating_pow(doublings)).min(LONGEST_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_takes_nothing_is_tried_ever_more_seldom() {
        let seconds = [0, 1, 2, 5, 7, 8, 60, i64::MAX, -1].map(|tries| back_off(tries).as_secs());
        assert_eq!(seconds, [2, 4, 8, 64, 256, 300, 300, 300, 2]);
    }
}
