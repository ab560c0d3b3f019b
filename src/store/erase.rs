//! Erasing a human: what there is of them, and what becomes of it. The writing is in [`super::erase_requests`] (requests) and
//! [`super::erase_people`] (leads, people).
//!
//! Every column of the registry that can hold text, and what erasing does to it. A test holds this table against the schema.
//!
//! | column | what becomes of it |
//! |---|---|
//! | `versions.files`, `versions.hash`, `active_version.hash` | stay: texts of the workspace, not of leads |
//! | `sources.name`, `sources.preset`, `sources.token_hash` | stay: nobody's |
//! | `deliveries.id`, `deliveries.source`, `deliveries.method`, `deliveries.state`, `deliveries.unverified_token` | stay: that something came, and when; what was not read yet is `refused` |
//! | `deliveries.query`, `deliveries.headers`, `deliveries.body` | go; of a request with several people's events only theirs, where it can be split, with query and headers that mention them |
//! | `deliveries.why` | replaced, where the whole request went before it became an event |
//! | `event_keys.source`, `event_keys.key`, `event_keys.event` | stay, a day longer than they would: a platform that sends the event again brings nobody back. Presets put nothing personal into keys |
//! | `events.id`, `events.delivery`, `events.source`, `events.key`, `events.redelivery_of` | stay |
//! | `persons.id`, `persons.merged_into` | stay: ids without anybody behind them |
//! | `persons.names` | goes |
//! | `identifiers.kind`, `identifiers.scope`, `identifiers.value`, `identifiers.person`, `identifiers.shown`, `identifiers.proof` | the row goes; one that others use too becomes the oldest other user's |
//! | `identifiers.users` | goes with the row; in rows of others, their names and customer ids go |
//! | `chats.scope`, `chats.value`, `chats.channel`, `chats.bot`, `chats.bot_name`, `chats.link`, `chats.state`, `chats.why`, `chats.status`, `chats.description` | the row goes with the identifier; so does one of nobody that has such an id |
//! | `person_fields.person`, `person_fields.name`, `person_fields.value` | the row goes |
//! | `clicks.click`, `clicks.person` | the row goes |
//! | `merges.id`, `merges.from_person`, `merges.into_person` | stay |
//! | `merges.reason`, `merges.moved` | the reason keeps its word; of what moved, ids of leads stay |
//! | `leads.id`, `leads.event`, `leads.source`, `leads.version`, `leads.person`, `leads.state` | stay; what needed attention is `filtered`, because nobody can see to it any more |
//! | `leads.why` | replaced by when it was erased and what its state was |
//! | `leads.lead`, `leads.conflicts`, `leads.decision`, `leads.afterwards` | go, and with them the calls to come |
//! | `lead_names.word` | the row goes |
//! | `syncs.id`, `syncs.lead`, `syncs.destination`, `syncs.person`, `syncs.state`, `syncs.owner`, `syncs.carried_by` | stay (the owner is who sells); what was open, held or needed attention is `filtered` |
//! | `syncs.why`, `syncs.reasons`, `syncs.found` | replaced, and go |
//! | `steps.id`, `steps.sync`, `steps.kind`, `steps.state`, `steps.record` | stay: what CRMs still have. Steps that were not sent go |
//! | `steps.action`, `steps.why` | the action keeps the ids of records, and goes otherwise; what the CRM said goes |
//! | `links.destination`, `links.kind`, `links.record`, `links.person`, `links.contact`, `links.step`, `links.told` | the row goes, so that whoever comes back is not joined with who was erased; the record is kept in `erased_records` |
//! | `erased_records.person`, `erased_records.destination`, `erased_records.kind`, `erased_records.record` | made by erasing: ids of records |
//! | `pools.destination`, `pools.pool`, `pools.state` | stay: turns of who sells |
//! | `leases.destination`, `leases.holder`, `leases.budget`, `processes.id`, `processes.name` | stay: of processes |
//! | `alerts.cause`, `alert_messages.cause`, `alert_messages.channel` | stay: a word and a place |
//! | `alerts.text`, `alert_messages.text` | go, of all alerts: what was told may name anybody |
//! | `counters.name`, `probe.bytes` | stay: nobody's |
//! | `audits.step`, `audits.sync`, `audits.destination`, `audits.kind`, `audits.result`, `audits.records` | stay: ids of records; what was still to be looked for is not looked for any more |
//! | `audits.action`, `audits.note` | go |
//! | `holders.kind`, `holders.scope`, `holders.value`, `holders.person` | the row goes |
//! | `apart.one`, `apart.other` | the row goes |
//! | `possible_duplicates.one`, `possible_duplicates.other`, `possible_duplicates.lead` | the row goes |
//! | `corrections.id`, `corrections.kind`, `corrections.one`, `corrections.other`, `corrections.merge`, `corrections.author` | stay, and one more says that somebody was erased, by whom and when |
//! | `postbacks.delivery`, `postbacks.source`, `postbacks.click`, `postbacks.name`, `postbacks.key`, `postbacks.version`, `postbacks.state`, `postbacks.event`, `postbacks.lead`, `postbacks.person` | the row goes, and with it the request, also of one that was not counted |
//! | `postback_counts.person`, `postback_counts.name` | the row goes |
//! | `corrections.note` | goes, of theirs |
//! | `links_issued.id`, `links_issued.namespace`, `links_issued.chat_scope`, `links_issued.chat`, `links_issued.state`, `links_issued.pin`, `links_issued.pin_key`, `links_issued.ticket`, `links_issued.wanted_user` | the row goes, and with it PIN and tries; in rows of others the user goes |
//! | `web_users.namespace`, `web_users.chat_scope`, `web_users.chat`, `web_users.user_id` | the row goes |
//! | `start_tokens.id`, `start_tokens.data`, `start_tokens.used_by`, `start_token_identifiers.token`, `start_token_identifiers.kind`, `start_token_identifiers.scope`, `start_token_identifiers.value` | the rows go, of every token that stands for something of theirs |
//! | `link_failures.caller` | stays for a day: a hash of who tried PINs, whom no row names |
//! | `users.name`, `users.password`, `users.role`, `access_tokens.name`, `access_tokens.hash`, `access_tokens.role`, `sessions.hash`, `sessions.kind`, `sessions.name` | stay: of those who work with leadfold |
//! | `actions.id`, `actions.who`, `actions.role`, `actions.through`, `actions.operation`, `actions.asked`, `actions.outcome` | stay: what was asked is masked when it is written |
//! | `pauses.destination`, `pauses.who` | stay: of those who work with leadfold |
//! | `hourly.kind`, `hourly.subject`, `hourly.name` | stay: counts, and who sells |
//!
//! What other people's leads say of them stays masked (`+38•••67`), as in logs. What other people wrote about them (their
//! number in somebody else's message) is somebody else's message: it is counted and named, and left.
//!
//! A process that ends half-way leaves what is done done. Identifiers go last, in one transaction with the entry in
//! `corrections`, so the same command finds the human again and takes the rest.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::erase_people::{EraseLeads, Forget, Forgotten, LeadsPiece};
use super::erase_requests::{EraseRequests, Hits, PAGE, find};
use super::registry::{owners, places};
use super::sql::{Arg, args, list};
use super::syncs::OPEN;
use super::{Backend, Store, StoreError};
use crate::clock::Clock;
use crate::id::{DeliveryId, PersonId};
use crate::lead::mask;
use crate::normalise::Wanted;
use crate::plan::Reason;

/// A lead is erased: so its reason begins in the database. Never NULL, so that NOT can stand before it.
pub(super) const IS_ERASED: &str = "(leads.why IS NOT NULL AND leads.why LIKE '{\"code\":\"erased\"%')";
/// The word of it.
pub const ERASED_CODE: &str = "erased";

/// A process has the sync in hand. Claims of an older epoch do not count.
pub(super) const IN_HAND: &str = "EXISTS (SELECT 1 FROM leases \
    WHERE leases.destination = syncs.destination AND leases.epoch = syncs.claimed)";
/// A step of its plan may be in the CRM.
pub(super) const IN_DOUBT: &str = "EXISTS (SELECT 1 FROM steps WHERE steps.sync = syncs.id AND steps.past = 0 \
    AND steps.state IN ('sent', 'unknown'))";

/// Somebody, and everything that is kept of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Belongings {
    /// Who; the person as they are after all merges.
    pub person: String,
    /// Identifiers, masked, each with its kind.
    pub identifiers: Vec<(String, String)>,
    /// Leads that are not erased yet.
    pub leads: u64,
    /// Requests that those came in, redeliveries included.
    pub requests: u64,
    /// Leads on their way that are given up: waiting, held, or for somebody to look at.
    pub given_up: u64,
    /// Leads in the hands of a process, or with a step that may be in the CRM.
    pub under_way: u64,
    /// What CRMs have of them, as far as leadfold knows.
    pub records: BTreeSet<HeldRecord>,
    /// When they were erased, if they were.
    pub erased_at: Option<Timestamp>,
}

/// What a CRM has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct HeldRecord {
    /// Where.
    pub destination: String,
    /// `contact`, `deal`, `task` or `note`.
    pub kind: String,
    /// Its id there; `None` when nobody knows whether it was made.
    pub record: Option<String>,
    /// The step that may have made it: the marker in the record.
    pub step: Option<String>,
}

/// A page of the search through stored requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Searched {
    /// Requests that were looked at.
    pub looked_at: u64,
    /// Requests that belong to no person and mention the human: found, or erased.
    pub found: u64,
    /// Those of them that were not read yet: no lead will come of them.
    pub not_read_yet: u64,
    /// Those that held events of others too and could not be split: the whole body is found, or erased.
    pub unsplit: u64,
    /// Other people whose messages or leads mention the human.
    pub others: BTreeSet<PersonId>,
    /// Where the next page begins; absent at the end.
    pub next: Option<DeliveryId>,
}

impl Store {
    /// Everybody who has one of these values or uses it as well, as they are after all merges.
    pub async fn people_named(&self, values: &[String]) -> Result<BTreeSet<PersonId>, StoreError> {
        let sql = format!(
            "{} SELECT person FROM ({} UNION SELECT holders.person FROM place CROSS JOIN holders \
               WHERE holders.kind = place.kind AND holders.scope = place.scope AND holders.value IN ({})) AS named \
             WHERE person IS NOT NULL",
            places(),
            owners(values.len()),
            list(1, values.len())
        );
        let rows = self.read(&sql, values.iter().map(|value| Arg::from(value.as_str())).collect()).await?;
        let mut people = BTreeSet::new();
        for row in &rows {
            people.extend(self.present(row.id(0)?).await?);
        }
        if people.is_empty() {
            for value in values {
                people.extend(self.person_of_click(value).await?);
            }
        }
        Ok(people)
    }

    /// What is kept of a person.
    pub async fn belongings(&self, person: PersonId) -> Result<Belongings, StoreError> {
        let mut belongings = Belongings { person: person.to_string(), ..Belongings::default() };
        let sql = "SELECT kind, COALESCE(shown, value) FROM identifiers WHERE person = $1 \
             UNION SELECT kind, value FROM holders WHERE person = $1 ORDER BY 1, 2";
        for row in self.read(sql, args![person]).await? {
            belongings.identifiers.push((row.text(0)?, mask(&row.text(1)?)));
        }
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM leads WHERE person = $1 AND NOT {IS_ERASED}), \
             (SELECT COUNT(*) FROM (SELECT delivery FROM events WHERE id IN (SELECT event FROM leads WHERE person = $1 \
                AND NOT {IS_ERASED}) UNION SELECT delivery FROM events WHERE redelivery_of IN ( \
                SELECT event FROM leads WHERE person = $1 AND NOT {IS_ERASED})) AS theirs), \
             (SELECT COUNT(*) FROM syncs WHERE person = $1 AND state NOT IN ('synced', 'filtered')), \
             (SELECT COUNT(*) FROM syncs WHERE person = $1 AND {OPEN} AND ({IN_HAND} OR {IN_DOUBT})), \
             (SELECT MAX(at) FROM corrections WHERE kind = 'erase' AND one = $1)"
        );
        let rows = self.read(&sql, args![person]).await?;
        let row = rows.first().ok_or_else(|| StoreError::damaged("no counts"))?;
        let count = |column| row.int(column).map(|count| u64::try_from(count).unwrap_or_default());
        belongings.leads = count(0)?;
        belongings.requests = count(1)?;
        belongings.under_way = count(3)?;
        belongings.given_up = count(2)?.saturating_sub(belongings.under_way);
        belongings.erased_at = row.optional_timestamp(4)?;
        for row in self.read(RECORDS, args![person]).await? {
            belongings.records.insert(HeldRecord {
                destination: row.text(0)?,
                kind: row.text(1)?,
                record: row.optional_text(2)?,
                step: row.optional_text(3)?,
            });
        }
        Ok(belongings)
    }

    /// What to look for in texts to find a person.
    pub async fn wanted(&self, person: PersonId) -> Result<Wanted, StoreError> {
        let rows = self
            .read(
                "SELECT kind, value, COALESCE(shown, value) FROM identifiers WHERE person = $1",
                args![person],
            )
            .await?;
        let mut wanted = Wanted::default();
        for row in &rows {
            for value in [row.text(1)?, row.text(2)?] {
                match row.text(0)?.as_str() {
                    "phone" => wanted.phone(&value),
                    "email" => wanted.email(&value),
                    // The number of a record in a CRM stands in any text by chance.
                    "crm_id" => {}
                    _ => wanted.id(&value),
                }
            }
        }
        Ok(wanted)
    }

    /// How many requests there are to search, at most.
    pub async fn stored_requests(&self) -> Result<u64, StoreError> {
        let rows = self.read("SELECT COUNT(*) FROM deliveries", args![]).await?;
        rows.first().map_or(Ok(0), |row| row.int(0).map(|count| u64::try_from(count).unwrap_or_default()))
    }

    /// Looks for somebody in the next page of stored requests, and erases what is found when asked to. What belongs to
    /// `person` is left to [`erase_leads`](Self::erase_leads).
    pub async fn search_requests(
        &self,
        wanted: &Wanted,
        person: Option<PersonId>,
        after: Option<DeliveryId>,
        erase: Option<Timestamp>,
    ) -> Result<Searched, StoreError> {
        let (ids, found) = find(self, wanted, person, after).await?;
        let looked_at = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let next = ids.last().copied().filter(|_| ids.len() == PAGE);
        let Hits { found, not_read_yet, unsplit, others, deliveries } = match erase {
            Some(now) if !found.deliveries.is_empty() => {
                let work =
                    EraseRequests { deliveries: found.deliveries, wanted: wanted.clone(), person, now };
                let mut erased = self.write(work).await?;
                erased.others.extend(found.others);
                erased
            }
            Some(_) | None => found,
        };
        drop(deliveries);
        Ok(Searched { looked_at, found, not_read_yet, unsplit, others, next })
    }

    /// Erases some of a person's leads with everything that followed from them, and their requests.
    pub async fn erase_leads(
        &self,
        person: PersonId,
        wanted: Wanted,
        even_in_doubt: bool,
        now: Timestamp,
    ) -> Result<LeadsPiece, StoreError> {
        self.write(EraseLeads { person, wanted, even_in_doubt, now }).await
    }

    /// Forgets a person whose leads are erased, and chats of nobody with such an id (`wanted`), and writes down that they were erased.
    pub async fn forget(
        &self,
        person: Option<PersonId>,
        wanted: Wanted,
        author: Option<String>,
        note: Option<String>,
        clock: &dyn Clock,
    ) -> Result<Forgotten, StoreError> {
        let (id, now) = (clock.new_id().to_string(), clock.now());
        self.write(Forget { person, wanted, author, note, id, now }).await
    }

    /// The size of the file of a SQLite database, in bytes; `None` on PostgreSQL.
    pub async fn file_size(&self) -> Result<Option<u64>, StoreError> {
        if let Backend::Postgres { .. } = &self.backend {
            return Ok(None);
        }
        let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let rows = self.read(sql, args![]).await?;
        rows.first().map(|row| row.int(0).map(|size| u64::try_from(size).unwrap_or_default())).transpose()
    }
}

impl Store {
    /// Writes the file of a SQLite database anew, without anything that was deleted, and empties the log beside it; `false`
    /// when somebody who reads keeps that from being emptied. Acknowledgements wait: about a second for each 50 MB.
    pub async fn rewrite_file(&self) -> Result<bool, StoreError> {
        match &self.backend {
            Backend::Sqlite { writer: Some(writer), .. } => writer.rewrite().await,
            Backend::Sqlite { writer: None, .. } | Backend::Postgres { .. } => Err(StoreError::new(
                "only the file of a SQLite database is written anew, by the process that has it",
            )),
        }
    }
}

/// What the CRMs have of a person.
const RECORDS: &str = "\
    SELECT destination, kind, record, NULL AS step FROM links WHERE person = $1 \
    UNION SELECT destination, kind, record, NULL FROM erased_records WHERE person = $1 \
    UNION SELECT syncs.destination, SUBSTR(steps.kind, CASE WHEN steps.kind LIKE 'add %' THEN 5 ELSE 8 END), steps.record, \
      NULL FROM syncs JOIN steps ON steps.sync = syncs.id WHERE syncs.person = $1 AND steps.record IS NOT NULL \
    UNION SELECT syncs.destination, SUBSTR(steps.kind, CASE WHEN steps.kind LIKE 'add %' THEN 5 ELSE 8 END), NULL, steps.id \
      FROM syncs JOIN steps ON steps.sync = syncs.id WHERE syncs.person = $1 AND steps.state IN ('sent', 'unknown')";

/// Why an erased lead has nothing, and where it stood.
pub(super) fn erased(now: Timestamp, before: &str, why: Option<&Reason>) -> Reason {
    let cause = why.map_or_else(String::new, |why| format!(" ({})", why.code));
    Reason::new(ERASED_CODE, format!("Everything personal was erased on {now:.0}; it was {before}{cause}."))
}

#[cfg(test)]
mod tests;
