//! Looking people up: one call for the contacts of a whole batch, one for their open deals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::names::{Names, Of, Shape};
use super::wire::{self, Record};
use super::{Odoo, row};
use crate::crm::{CrmError, Found, Priority, Query, matching};
use crate::lead::Fields;
use crate::normalise;
use crate::plan::{FoundContact, FoundDeal, RecordId};

/// What is always read of a contact.
const CONTACT: &[&str] = &[
    "name",
    "phone",
    "phone_sanitized",
    "email",
    "email_normalized",
    "user_id",
    "country_code",
    "active",
    "create_date",
];

/// What is always read of a deal.
const DEAL: &[&str] = &["name", "partner_id", "team_id", "stage_id", "user_id", "create_date"];

/// Fields to read: as a mapping names them, as Odoo does, and how.
type Wanted<'a> = Vec<(&'a str, &'a str, &'a Shape)>;

/// Names behind the ids of many2many fields, by model and id.
type Labels = BTreeMap<(String, u64), String>;

impl Odoo {
    pub(super) async fn find_all(&self, queries: &[Query]) -> Vec<Result<Found, CrmError>> {
        match self.find_together(queries).await {
            Ok(found) => found.into_iter().map(Ok).collect(),
            // A field that was there when the names were read may be gone, and one question that Odoo does not understand
            // must not silence the others.
            Err(CrmError::Rejected { .. }) => {
                self.forget_names().await;
                let mut answers = Vec::with_capacity(queries.len());
                for query in queries {
                    let alone = self.find_together(std::slice::from_ref(query)).await;
                    answers.push(alone.map(|found| found.into_iter().next().unwrap_or_default()));
                }
                answers
            }
            Err(error) => vec![Err(error); queries.len()],
        }
    }

    async fn find_together(&self, queries: &[Query]) -> Result<Vec<Found>, CrmError> {
        let priority = queries.iter().map(|query| query.priority).min().unwrap_or_default();
        let asks_fields =
            queries.iter().any(|query| !query.contact_fields.is_empty() || !query.deal_fields.is_empty());
        let mut names = if asks_fields { self.names().await? } else { Arc::new(Names::none()) };

        let sought: Vec<Sought<'_>> = queries.iter().map(Sought::new).collect();
        let linked = sought.iter().filter_map(Sought::link).collect();
        let searched: Vec<&Sought<'_>> =
            sought.iter().filter(|sought| sought.query.contact.is_none()).collect();
        let mut contacts = self.contacts(&linked, &searched, queries, &names, priority).await?;
        let there: BTreeSet<u64> = contacts.iter().filter_map(Record::id).collect();
        let is_gone = |sought: &Sought<'_>| {
            sought.query.contact.is_some() && sought.link().is_none_or(|link| !there.contains(&link))
        };
        let gone: Vec<&Sought<'_>> = sought.iter().filter(|sought| is_gone(sought)).collect();
        if !gone.is_empty() {
            contacts.extend(self.contacts(&BTreeSet::new(), &gone, queries, &names, priority).await?);
        }
        let hits: Vec<Vec<&Record>> =
            sought.iter().map(|sought| sought.hits(is_gone(sought), &contacts)).collect();

        let ids: BTreeSet<u64> = hits.iter().flatten().filter_map(|contact| contact.id()).collect();
        let deals = self.deals(&ids, queries, &names, priority).await?;
        let records = || hits.iter().flatten().copied().chain(&deals);
        let stranger = |names: &Names| {
            records()
                .filter_map(|record| record.reference("user_id"))
                .any(|(id, _)| names.login(id).is_none())
        };
        if records().any(|record| record.reference("user_id").is_some()) {
            names = self.names().await?;
            if stranger(&names) {
                names = self.newer_names(&names).await?;
            }
        }
        let labels = self.labels(&hits, &deals, queries, &names, priority).await?;
        let reader = Reader { names: &names, labels: &labels, deals: &deals };
        let nobodys = |contact: &&Record| hits.iter().flatten().all(|hit| hit.id() != contact.id());
        let passed_over = contacts.iter().filter(nobodys).count();
        let found = sought.iter().zip(&hits).map(|(sought, hits)| Found {
            contacts: hits.iter().filter_map(|contact| reader.contact(contact, sought.query)).collect(),
            link_is_gone: is_gone(sought),
            passed_over,
        });
        Ok(found.collect())
    }

    /// The contacts of these links, and all that may be who these queries look for.
    async fn contacts(
        &self,
        links: &BTreeSet<u64>,
        searched: &[&Sought<'_>],
        queries: &[Query],
        names: &Names,
        priority: Priority,
    ) -> Result<Vec<Record>, CrmError> {
        let sought = || searched.iter().flat_map(|sought| &sought.phones);
        let phones: BTreeSet<&String> = sought().flat_map(|line| &line.spellings).collect();
        let bare: BTreeSet<&String> = sought().filter_map(|line| line.bare.as_ref()).collect();
        let emails: BTreeSet<&String> = searched.iter().flat_map(|sought| &sought.emails).collect();
        let mut branches = Vec::new();
        if !links.is_empty() {
            branches.push(vec![json!(["id", "in", links])]);
        }
        if !phones.is_empty() {
            branches.push(vec![json!(["phone_sanitized", "in", phones])]);
        }
        if !bare.is_empty() {
            let unread = vec![json!("&"), json!(["phone_sanitized", "=", false])];
            let digits = wire::any(bare.into_iter().map(|digits| vec![like(digits)]).collect());
            branches.push(unread.into_iter().chain(digits).collect());
        }
        if !emails.is_empty() {
            branches.push(vec![json!(["email_normalized", "in", emails])]);
        }
        if branches.is_empty() {
            return Ok(Vec::new());
        }
        let extra = fields(names, Of::Contact, queries).into_iter().map(|(_, field, _)| field);
        let read: BTreeSet<&str> = CONTACT.iter().copied().chain(extra).collect();
        // An archived contact is told from a deleted one.
        let arguments = json!({
            "domain": wire::any(branches),
            "fields": read,
            "order": "id",
            "context": { "active_test": false },
        });
        self.records("find_contacts", "res.partner", &arguments, priority).await
    }

    /// The open deals of these contacts.
    async fn deals(
        &self,
        contacts: &BTreeSet<u64>,
        queries: &[Query],
        names: &Names,
        priority: Priority,
    ) -> Result<Vec<Record>, CrmError> {
        if contacts.is_empty() {
            return Ok(Vec::new());
        }
        let extra = fields(names, Of::Deal, queries).into_iter().map(|(_, field, _)| field);
        let read: BTreeSet<&str> = DEAL.iter().copied().chain(extra).collect();
        let domain = json!([
            ["partner_id", "in", contacts],
            ["type", "=", "opportunity"],
            ["won_status", "=", "pending"],
        ]);
        let arguments = json!({ "domain": domain, "fields": read, "order": "id" });
        self.records("find_deals", "crm.lead", &arguments, priority).await
    }

    /// The names behind the ids of many2many fields, which `search_read` gives without them.
    async fn labels(
        &self,
        hits: &[Vec<&Record>],
        deals: &[Record],
        queries: &[Query],
        names: &Names,
        priority: Priority,
    ) -> Result<Labels, CrmError> {
        let mut sought: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for of in [Of::Contact, Of::Deal] {
            for (_, field, shape) in fields(names, of, queries) {
                let Some(relation) = shape.relation.as_deref().filter(|_| shape.kind == "many2many") else {
                    continue;
                };
                let ids = sought.entry(relation).or_default();
                match of {
                    Of::Contact => ids.extend(hits.iter().flatten().flat_map(|hit| hit.references(field))),
                    Of::Deal => ids.extend(deals.iter().flat_map(|deal| deal.references(field))),
                }
            }
        }
        let mut labels = Labels::new();
        for (relation, ids) in sought.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            let arguments = json!({
                "domain": [["id", "in", ids]],
                "fields": ["display_name"],
                "context": { "active_test": false },
            });
            for record in self.records("find_names", relation, &arguments, priority).await? {
                if let Some((id, name)) = record.id().zip(record.text("display_name")) {
                    labels.insert((relation.to_owned(), id), name.to_owned());
                }
            }
        }
        Ok(labels)
    }

    async fn records(
        &self,
        operation: &'static str,
        model: &str,
        arguments: &Value,
        priority: Priority,
    ) -> Result<Vec<Record>, CrmError> {
        let call = self.call(operation, model, "search_read", arguments, priority);
        wire::records(self.http.read(call).await?.body)
    }
}

/// Whom a query looks for, worked out once for all the contacts that it is compared with.
struct Sought<'a> {
    query: &'a Query,
    phones: Vec<Line<'a>>,
    /// In lower case, as Odoo keeps them.
    emails: Vec<String>,
}

struct Line<'a> {
    e164: &'a str,
    /// All under which this line is known, in the countries where one line has two numbers.
    spellings: Vec<String>,
    /// The national digits.
    bare: Option<String>,
}

impl<'a> Sought<'a> {
    fn new(query: &'a Query) -> Self {
        let line = |e164: &'a String| Line {
            e164,
            spellings: normalise::phone(e164, &[])
                .map_or_else(|_| vec![e164.clone()], |read| read.match_keys),
            bare: normalise::national(e164).map(|national| national.bare),
        };
        let emails = query.emails.iter().map(|email| email.trim().to_lowercase());
        Self { query, phones: query.phones.iter().map(line).collect(), emails: emails.collect() }
    }

    /// The record of our own link; `None` for one that cannot be a record of Odoo.
    fn link(&self) -> Option<u64> {
        row::id(self.query.contact.as_ref()?).ok()
    }

    /// The contacts that are who is looked for. Archived ones count only where there is no other: one human has one
    /// contact, also if somebody put it away.
    fn hits<'r>(&self, link_is_gone: bool, contacts: &'r [Record]) -> Vec<&'r Record> {
        if self.query.contact.is_some() && !link_is_gone {
            return contacts.iter().filter(|contact| contact.id() == self.link()).take(1).collect();
        }
        let mut seen = BTreeSet::new();
        let hits: Vec<&Record> = contacts
            .iter()
            .filter(|contact| self.is(contact))
            .filter(|contact| seen.insert(contact.id()))
            .collect();
        let active: Vec<&Record> = hits.iter().copied().filter(|contact| contact.flag("active")).collect();
        if active.is_empty() { hits } else { active }
    }

    fn is(&self, contact: &Record) -> bool {
        let phone = match (contact.text("phone_sanitized"), contact.text("phone")) {
            // Odoo has read it: what it says goes before what we would make of the text.
            (Some(read), _) => {
                self.phones.iter().any(|line| line.spellings.iter().any(|spelling| spelling == read))
            }
            (None, Some(written)) => self.phones.iter().any(|line| line.is_written(written, contact)),
            (None, None) => false,
        };
        let email = contact.text("email_normalized");
        phone || email.is_some_and(|email| self.emails.iter().any(|sought| sought == email))
    }
}

impl Line<'_> {
    fn is_written(&self, written: &str, contact: &Record) -> bool {
        let digits: String = written.chars().filter(char::is_ascii_digit).collect();
        self.bare.as_ref().is_some_and(|bare| digits.contains(bare))
            && matching::same_local_phone(written, self.e164, contact.text("country_code"))
    }
}

/// Finds digits in whatever spelling.
fn like(digits: &str) -> Value {
    let pattern: String = digits.chars().flat_map(|digit| ['%', digit]).chain(['%']).collect();
    json!(["phone", "=like", pattern])
}

/// The fields that any query asks for, as far as they exist. One that does not is refused when it is written.
fn fields<'a>(names: &'a Names, of: Of, queries: &'a [Query]) -> Wanted<'a> {
    let asked: BTreeSet<&str> =
        queries.iter().flat_map(|query| asked(query, of)).map(String::as_str).collect();
    asked
        .into_iter()
        .filter_map(|written| {
            let (field, shape) = names.field(of, written).ok()?;
            Some((written, field, shape))
        })
        .collect()
}

fn asked(query: &Query, of: Of) -> &BTreeSet<String> {
    match of {
        Of::Contact => &query.contact_fields,
        Of::Deal => &query.deal_fields,
    }
}

fn email(contact: &Record) -> Option<&str> {
    contact.text("email_normalized").or_else(|| contact.text("email"))
}

/// Turns records into what a decision needs.
struct Reader<'a> {
    names: &'a Names,
    labels: &'a Labels,
    deals: &'a [Record],
}

impl Reader<'_> {
    fn contact(&self, contact: &Record, query: &Query) -> Option<FoundContact> {
        let id = contact.id()?;
        let phone = contact.text("phone_sanitized").or_else(|| contact.text("phone"));
        let on_it = |deal: &&Record| deal.reference("partner_id").is_some_and(|(partner, _)| partner == id);
        Some(FoundContact {
            id: RecordId(id.to_string()),
            owner: self.owner(contact),
            created_at: contact.time("create_date"),
            name: contact.text("name").map(str::to_owned),
            phones: phone.map(str::to_owned).into_iter().collect(),
            emails: email(contact).map(str::to_owned).into_iter().collect(),
            fields: self.fields(contact, query, Of::Contact),
            deals: self.deals.iter().filter(on_it).filter_map(|deal| self.deal(deal, query)).collect(),
        })
    }

    fn deal(&self, deal: &Record, query: &Query) -> Option<FoundDeal> {
        let name_of = |field| deal.reference(field).map(|(_, name)| name.to_owned());
        Some(FoundDeal {
            id: RecordId(deal.id()?.to_string()),
            title: deal.text("name").map(str::to_owned),
            pipeline: name_of("team_id"),
            stage: name_of("stage_id"),
            owner: self.owner(deal),
            created_at: deal.time("create_date"),
            fields: self.fields(deal, query, Of::Deal),
        })
    }

    /// The login; the id of somebody who has none, such as a user of the portal.
    fn owner(&self, record: &Record) -> Option<String> {
        let (id, _) = record.reference("user_id")?;
        Some(self.names.login(id).map_or_else(|| id.to_string(), str::to_owned))
    }

    fn fields(&self, record: &Record, query: &Query, of: Of) -> Fields {
        let value = |written: &String| {
            let (field, shape) = self.names.field(of, written).ok()?;
            let value = match shape.kind.as_str() {
                // False is a value of its own here.
                "boolean" => Value::Bool(record.flag(field)),
                "many2one" => record.reference(field)?.1.into(),
                "many2many" => {
                    let relation = shape.relation.clone()?;
                    let label = |id| self.labels.get(&(relation.clone(), id)).cloned();
                    record.references(field).into_iter().filter_map(label).collect::<Vec<_>>().into()
                }
                "html" => wire::from_html(record.text(field)?).into(),
                _ => record.value(field)?.clone(),
            };
            Some((written.clone(), value))
        };
        asked(query, of).iter().filter_map(value).collect()
    }
}
