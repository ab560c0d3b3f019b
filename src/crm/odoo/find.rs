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
            // One question that Odoo does not understand must not silence the others.
            Err(CrmError::Rejected { .. }) if queries.len() > 1 => {
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

        let linked = queries.iter().filter_map(link).collect();
        let searched: Vec<&Query> = queries.iter().filter(|query| query.contact.is_none()).collect();
        let mut contacts = self.contacts(&linked, &searched, queries, &names, priority).await?;
        let there: BTreeSet<u64> = contacts.iter().filter_map(Record::id).collect();
        let is_gone =
            |query: &Query| query.contact.is_some() && link(query).is_none_or(|link| !there.contains(&link));
        let gone: Vec<&Query> = queries.iter().filter(|query| is_gone(query)).collect();
        if !gone.is_empty() {
            contacts.extend(self.contacts(&BTreeSet::new(), &gone, queries, &names, priority).await?);
        }
        let hits: Vec<Vec<&Record>> =
            queries.iter().map(|query| hits(query, is_gone(query), &contacts)).collect();

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
        Ok(queries
            .iter()
            .zip(hits)
            .map(|(query, hits)| Found {
                contacts: hits.into_iter().filter_map(|contact| reader.contact(contact, query)).collect(),
                link_is_gone: is_gone(query),
            })
            .collect())
    }

    /// The contacts of these links, and all that may be who these queries look for.
    async fn contacts(
        &self,
        links: &BTreeSet<u64>,
        searched: &[&Query],
        queries: &[Query],
        names: &Names,
        priority: Priority,
    ) -> Result<Vec<Record>, CrmError> {
        let phones: BTreeSet<&str> =
            searched.iter().flat_map(|query| &query.phones).map(String::as_str).collect();
        let emails: BTreeSet<String> = searched
            .iter()
            .flat_map(|query| &query.emails)
            .map(|email| email.trim().to_lowercase())
            .collect();
        let mut branches = Vec::new();
        if !links.is_empty() {
            branches.push(vec![json!(["id", "in", links])]);
        }
        if !phones.is_empty() {
            branches.push(vec![json!(["phone_sanitized", "in", phones])]);
            let patterns: Vec<_> = phones.iter().filter_map(|phone| pattern(phone)).collect();
            if !patterns.is_empty() {
                let unread = vec![json!("&"), json!(["phone_sanitized", "=", false])];
                branches.push(unread.into_iter().chain(wire::any(patterns)).collect());
            }
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

/// The record of our own link; `None` for one that cannot be a record of Odoo.
fn link(query: &Query) -> Option<u64> {
    row::id(query.contact.as_ref()?).ok()
}

/// Finds the national digits of a phone in whatever spelling; asked only of phones that Odoo could not read.
fn pattern(phone: &str) -> Option<Vec<Value>> {
    let bare = normalise::national(phone)?.bare;
    let like: String = bare.chars().flat_map(|digit| ['%', digit]).chain(['%']).collect();
    Some(vec![json!(["phone", "=like", like])])
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

/// The contacts that are who a query looks for. Archived ones count only where there is no other: one human has one
/// contact, also if somebody put it away.
fn hits<'a>(query: &Query, link_is_gone: bool, contacts: &'a [Record]) -> Vec<&'a Record> {
    if query.contact.is_some() && !link_is_gone {
        return contacts.iter().filter(|contact| contact.id() == link(query)).take(1).collect();
    }
    let mut seen = BTreeSet::new();
    let hits: Vec<&Record> = contacts
        .iter()
        .filter(|contact| is_sought(query, contact))
        .filter(|contact| seen.insert(contact.id()))
        .collect();
    let active: Vec<&Record> = hits.iter().copied().filter(|contact| contact.flag("active")).collect();
    if active.is_empty() { hits } else { active }
}

fn is_sought(query: &Query, contact: &Record) -> bool {
    let phone = match (contact.text("phone_sanitized"), contact.text("phone")) {
        // Odoo has read it: what it says goes before what we would make of the text.
        (Some(read), _) => {
            query.phones.iter().any(|phone| read == phone || matching::same_phone(read, phone))
        }
        (None, Some(written)) => {
            let country = contact.text("country_code");
            query.phones.iter().any(|phone| matching::same_local_phone(written, phone, country))
        }
        (None, None) => false,
    };
    phone
        || email(contact)
            .is_some_and(|email| query.emails.iter().any(|sought| matching::same_email(email, sought)))
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
