//! One story of each system that leadfold knows, over HTTP as its platform sends it. What came of it is read from the
//! sandbox and the registry, and held against what should have come.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{AT_MOST, Failure, calm, how_many};
use crate::app::App;
use crate::crm::http::{ask_server, post_sample};
use crate::demo::STORIES as SAMPLES;
use crate::lead::ChatState;
use crate::map::Files;
use crate::sandbox::{BotCall, Running};
use crate::store::registry::{LeadDetail, SyncDetail};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How a Telegram bot of the shipped mappings signs in.
const TELEGRAM: (&str, &str) = ("x-telegram-bot-api-secret-token", "demo");

/// The human who writes from three messengers, as the samples have her.
const OLENA: &str = "+380674185206";

struct Story {
    system: &'static str,
    happened: &'static str,
    /// Files of the workspace that it needs.
    needs: &'static [&'static str],
    should: &'static [&'static str],
    play: for<'a> fn(&'a Stage<'_>) -> BoxFuture<'a, Came>,
}

/// What came of a story, line by line; or why it could not be played to its end.
type Came = Result<Vec<String>, Failure>;

const STORIES: &[Story] = &[
    Story {
        system: "SendPulse",
        happened: "one human writes in Telegram, Instagram and Viber",
        needs: &["sendpulse.yaml"],
        should: &[
            "in the CRM: 1 contact with 3 chats, 1 deal",
            "SendPulse: tag CRM set in 3 chats, after the CRM had confirmed",
        ],
        play: |stage| stage.sendpulse().boxed(),
    },
    Story {
        system: "Mindbox, Botmother",
        happened: "a link in a mailing is opened; later a cart is abandoned",
        needs: &["botmother.yaml", "abandoned-cart.yaml"],
        should: &[
            "mindbox 900000417: Telegram.AuthorizeByLink: platformID 700000101",
            "trigger: accepted, no delivery status",
            "botmother 700000101: event with product_name Чайник, product_url https://shop.example.com/p/1007",
        ],
        play: |stage| stage.mindbox_and_botmother().boxed(),
    },
    Story {
        system: "Chatterfy",
        happened: "somebody comes with a click id; a sale, then two resales are reported of it",
        needs: &["chatterfy.yaml", "chatterfy-postback.yaml"],
        should: &[
            "chatterfy 700000201: dialog updated: stepId Flow RD / FD, status auto, fields.balance 50.00",
            "chatterfy 700000201: dialog updated: stepId Flow RD / 2rd, status auto",
            "chatterfy 700000201: dialog updated: stepId Flow RD / 3rd, status auto",
        ],
        play: |stage| stage.chatterfy().boxed(),
    },
    Story {
        system: "Metabot",
        happened: "a link is opened with its PIN in Telegram; Viber is written in too; order 1007 of web user 10045 is shipped",
        needs: &["metabot.yaml", "order-shipped.yaml"],
        should: &[
            "link: bound, web user 10045",
            "trigger: accepted, no delivery status",
            "metabot 243289: script order_shipped with order 1007, track UA-0000000-DEMO",
        ],
        play: |stage| stage.metabot().boxed(),
    },
    Story {
        system: "eSputnik",
        happened: "/start in Telegram, and the own phone; then a message is not delivered",
        needs: &["telegram.yaml", "esputnik.yaml"],
        should: &[
            "esputnik: tokens: phone 380674185206, token 700000101",
            "chat 700000101: blocked: a message was not delivered (UNDELIVERED): 403: Forbidden",
        ],
        play: |stage| stage.esputnik().boxed(),
    },
];

/// A story that was played.
pub(super) struct Played {
    pub(super) system: &'static str,
    pub(super) happened: &'static str,
    pub(super) came: Vec<String>,
    /// What should have come of it.
    pub(super) should: &'static [&'static str],
}

impl Played {
    pub(super) fn is_as_it_should_be(&self) -> bool {
        self.came == self.should
    }

    pub(super) fn json(&self) -> Value {
        let good = self.is_as_it_should_be();
        let mut told = json!({
            "system": self.system, "happened": self.happened, "came": self.came, "as_it_should_be": good,
        });
        if !good {
            told["should"] = json!(self.should);
        }
        told
    }
}

/// Where stories are played.
pub(super) struct Stage<'a> {
    pub(super) app: &'a App,
    pub(super) sandbox: &'a Running,
    pub(super) files: &'a Files,
}

/// Plays every story whose mappings are there, one after another.
pub(super) async fn play(stage: &Stage<'_>) -> Result<Vec<Played>, Failure> {
    let mut played = Vec::new();
    for Story { system, happened, needs, should, play } in STORIES {
        if !needs.iter().all(|file| stage.files.0.contains_key(*file)) {
            continue;
        }
        let came = match play(stage).await {
            Ok(came) => came,
            // Nothing can be told of any story then.
            Err(why) if stage.app.store.trouble().borrow().is_some() => return Err(why),
            Err(why) => vec![why],
        };
        played.push(Played { system, happened, came, should });
    }
    Ok(played)
}

impl Stage<'_> {
    /// The samples of the demo have been sent: this only reads what came of one human's.
    async fn sendpulse(&self) -> Came {
        let holdings = self.sandbox.holdings();
        let contacts: Vec<_> = holdings
            .contacts
            .iter()
            .filter(|contact| contact.phones.iter().any(|phone| phone == OLENA))
            .collect();
        let ids: Vec<u64> = contacts.iter().map(|contact| contact.id).collect();
        let deals = holdings.deals.iter().filter(|deal| ids.contains(&deal.contact_id)).count();
        let fields = contacts.iter().flat_map(|contact| contact.fields.iter());
        let links = fields.filter(|(name, _)| name.ends_with("_chat")).filter_map(|(_, link)| link.as_str());
        let chats: Vec<&str> = links.filter_map(|link| link.rsplit('/').next()).collect();
        let calls = self.sandbox.stats().bot_calls;
        let is_tagged = |chat: &&&str| {
            calls.iter().any(|call| call.bot == "sendpulse" && call.to == **chat && call.did == "tag CRM set")
        };
        let tagged = chats.iter().filter(is_tagged).count();
        let order = if self.calls_came_after(OLENA).await? { "after" } else { "before" };
        Ok(vec![
            format!(
                "in the CRM: {} with {}, {}",
                how_many(contacts.len() as u64, "contact", "contacts"),
                how_many(chats.len() as u64, "chat", "chats"),
                how_many(deals as u64, "deal", "deals"),
            ),
            format!(
                "SendPulse: tag CRM set in {}, {order} the CRM had confirmed",
                how_many(tagged as u64, "chat", "chats")
            ),
        ])
    }

    async fn mindbox_and_botmother(&self) -> Came {
        let before = self.calls();
        self.send("/in/botmother/demo", "botmother/01_mailing_link.json").await?;
        let mut came = self.called_since(before);
        let before = self.calls();
        let answer = self.send("/api/triggers/abandoned-cart", "mindbox/02_abandoned_cart.json").await?;
        came.push(format!("trigger: {}", text(&answer, "message")));
        came.extend(self.called_since(before));
        Ok(came)
    }

    async fn chatterfy(&self) -> Came {
        let before = self.calls();
        for (source, name) in [
            ("chatterfy", "chatterfy/02_registered.txt"),
            ("chatterfy-postback", "chatterfy/05_sale.txt"),
            ("chatterfy-postback", "chatterfy/06_resale.txt"),
            ("chatterfy-postback", "chatterfy/07_second_resale.txt"),
        ] {
            let path = format!("/in/{source}/demo?{}", sample(name)?.trim());
            let (status, text) = ask_server(&self.url(&path), ANSWER).await?;
            accepted(name, status, &text)?;
            self.calm(name).await?;
        }
        // A step by the name that the workspace gives it.
        let steps = self.steps();
        let named = |call: String| steps.iter().fold(call, |call, (id, name)| call.replace(id, name));
        Ok(self.called_since(before).into_iter().map(named).collect())
    }

    async fn metabot(&self) -> Came {
        self.send("/in/metabot/demo", "metabot/01_registered.json").await?;
        let issued = self.ask("/api/links/issue", &json!({ "who": "243289" })).await?;
        let visitor = json!({ "buid": issued["buid"], "pin": issued["pin"], "user_id": "10045" });
        let answer = self.ask("/api/links/verify", &visitor).await?;
        let mut came =
            vec![format!("link: {}, web user {}", text(&answer, "outcome"), text(&answer, "user_id"))];
        self.send("/in/metabot/demo", "metabot/02_same_person_in_viber.json").await?;
        let before = self.calls();
        let answer = self.send("/api/triggers/order-shipped", "metabot/04_order_shipped.json").await?;
        came.push(format!("trigger: {}", text(&answer, "message")));
        came.extend(self.called_since(before));
        Ok(came)
    }

    async fn esputnik(&self) -> Came {
        let before = self.calls();
        self.send("/in/telegram/demo", "telegram/01_start_by_a_link.json").await?;
        self.send("/in/telegram/demo", "telegram/02_own_contact.json").await?;
        let mut came = self.called_since(before);
        self.send("/in/esputnik/demo", "esputnik/04_not_delivered.json").await?;
        let chat = "700000101";
        let people = self.app.store.people_of(&[chat.to_owned()]).await.map_err(|error| error.to_string())?;
        for person in people {
            let facts = self.app.store.person_facts(person).await.map_err(|error| error.to_string())?;
            for known in facts.chats.iter().filter(|known| known.scope == "telegram:telegram") {
                came.push(match &known.state {
                    ChatState::Active => format!("chat {}: active", known.value),
                    ChatState::Blocked { why } => format!("chat {}: blocked: {why}", known.value),
                });
            }
        }
        Ok(came)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.address)
    }

    /// Sends a sample and waits until all has come of it that will; gives the answer.
    async fn send(&self, path: &str, name: &str) -> Result<Value, Failure> {
        let header = path.starts_with("/in/telegram/").then_some(TELEGRAM);
        let (status, text) = post_sample(&self.url(path), header, sample(name)?).await?;
        accepted(name, status, &text)?;
        self.calm(name).await?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn ask(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let (status, text) = post_sample(&self.url(path), None, &body.to_string()).await?;
        accepted(path, status, &text)?;
        serde_json::from_str(&text).map_err(|error| format!("{path} answered no JSON: {error}"))
    }

    async fn calm(&self, name: &str) -> Result<(), Failure> {
        if calm(self.app).await? {
            return Ok(());
        }
        Err(format!("{name} had not come to an end after {} minutes", AT_MOST.as_secs() / 60))
    }

    /// How many calls of bots there were so far.
    fn calls(&self) -> u64 {
        self.sandbox.stats().bot_calls_total
    }

    fn called_since(&self, before: u64) -> Vec<String> {
        let calls = self.sandbox.stats().bot_calls.into_iter().filter(|call| call.number > before);
        let told = |BotCall { bot, to, did, .. }: BotCall| {
            if to.is_empty() { format!("{bot}: {did}") } else { format!("{bot} {to}: {did}") }
        };
        calls.map(told).collect()
    }

    /// Names of Chatterfy's steps in the workspace, by id.
    fn steps(&self) -> BTreeMap<String, String> {
        let workspace = self.files.0.get("workspace.yaml").map(String::as_str).unwrap_or_default();
        let workspace: Value = serde_saphyr::from_str(workspace).unwrap_or_default();
        let steps = workspace["destinations"]["chatterfy"]["steps"].as_object().cloned().unwrap_or_default();
        steps.into_iter().filter_map(|(name, id)| Some((id.as_str()?.to_owned(), name))).collect()
    }

    /// Whether for every lead of this human each bot was called after the CRM had confirmed the last step.
    async fn calls_came_after(&self, phone: &str) -> Result<bool, Failure> {
        let store = &self.app.store;
        let leads = store.leads_of(&[phone.to_owned()], 100).await.map_err(|error| error.to_string())?;
        for lead in leads {
            let lead = store.lead(lead.id).await.map_err(|error| error.to_string())?;
            let Some(LeadDetail { syncs, .. }) = lead else { continue };
            let steps_of = |wanted: &'static str| {
                let syncs = syncs.iter().filter(move |sync: &&SyncDetail| sync.destination == wanted);
                syncs.flat_map(|sync| &sync.steps)
            };
            let confirmed = steps_of("crm").filter_map(|step| step.ended_at).max();
            let called = steps_of("sendpulse").filter_map(|step| step.sent_at).min();
            if let (Some(confirmed), Some(called)) = (confirmed, called)
                && called < confirmed
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn sample(name: &str) -> Result<&'static str, Failure> {
    let found = SAMPLES.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, text)| *text)
        .ok_or_else(|| format!("there is no sample {name}; this is a bug of leadfold"))
}

fn accepted(what: &str, status: u16, text: &str) -> Result<(), Failure> {
    if (200..300).contains(&status) { Ok(()) } else { Err(format!("{what} was answered {status}: {text}")) }
}

fn text<'v>(answer: &'v Value, name: &str) -> &'v str {
    answer[name].as_str().unwrap_or("nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_story_has_its_samples_and_its_mappings() {
        for (name, _) in SAMPLES {
            assert!(sample(name).is_ok());
        }
        for story in STORIES {
            for file in story.needs {
                assert!(crate::demo::MAPPINGS.iter().any(|(name, _)| name == file), "{file}");
            }
        }
    }
}
