//! What an answer of the described CRM means, and where things stand in it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::crm::http::Verdict;
use crate::lead::Fields;
use crate::map::{JsonPath, Template, Values};
use crate::plan::{FoundContact, FoundDeal, RecordId};

/// Numbers from here on count milliseconds and not seconds: as seconds they would lie beyond the year 5000.
const MILLISECONDS: u64 = 100_000_000_000;

/// Where a part stands: a JSONPath, a template, or several of them.
#[derive(Debug)]
pub(super) struct Pick(pub(super) Vec<Template>);

impl Pick {
    /// Every text that is there. One that cannot be made counts as absent: it is the CRM's data, and nobody's order.
    pub(super) fn texts(&self, values: &Values) -> Vec<String> {
        let each = |template: &Template| template.texts(values.scope().event()).unwrap_or_default();
        self.0.iter().flat_map(each).collect()
    }

    /// The first text that is there.
    pub(super) fn text(&self, values: &Values) -> Option<String> {
        self.texts(values).into_iter().next()
    }

    /// The id of a record. What says "no" in the languages of some CRMs (`false`, 0, an empty text) is none, and neither
    /// is a whole object, nor a text that is longer than any id.
    pub(super) fn id(&self, values: &Values) -> Option<RecordId> {
        let id = match self.json(values)? {
            Json::Array(items) => items.into_iter().next()?,
            one @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_)) => one,
        };
        let text = match id {
            Json::String(text) => text.trim().to_owned(),
            Json::Number(number) => number.to_string(),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
        };
        (!text.is_empty() && text != "0" && text.len() <= RecordId::LONGEST).then_some(RecordId(text))
    }

    /// The list that is there.
    pub(super) fn items(&self, values: &Values) -> Vec<Json> {
        match self.json(values) {
            Some(Json::Array(items)) => items,
            Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_)) | None => {
                Vec::new()
            }
        }
    }

    fn json(&self, values: &Values) -> Option<Json> {
        self.0.iter().find_map(|template| template.evaluate(values.scope().event()).ok().flatten())
    }

    fn time(&self, values: &Values) -> Option<Timestamp> {
        time(&self.text(values)?)
    }
}

/// A moment with its offset, a date and time in UTC, or seconds or milliseconds since 1970.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        let seconds = number.unsigned_abs() < MILLISECONDS;
        let moment =
            if seconds { Timestamp::from_second(number) } else { Timestamp::from_millisecond(number) };
        return moment.ok();
    }
    let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse().ok().or_else(|| civil().map(|moment| moment.timestamp()))
}

/// Where records stand in an answer.
#[derive(Debug)]
pub(super) struct Items(pub(super) JsonPath);

impl Items {
    /// The records; one that is no list is the only one. `None` when nothing stands there.
    pub(super) fn of(&self, answer: &Json) -> Option<Vec<Json>> {
        match self.0.read(answer).ok()?? {
            Json::Array(items) => Some(items),
            Json::Null => None,
            one @ (Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_)) => Some(vec![one]),
        }
    }
}

/// A kind of answers: by their status, by what they say, or by both.
#[derive(Debug)]
pub(super) struct Rule {
    /// Any of them; empty for every status.
    pub(super) statuses: Vec<u16>,
    /// Reads the body.
    pub(super) when: Option<Template>,
}

impl Rule {
    /// Whether it is an answer of this kind; the error says what of the condition cannot be worked out.
    pub(super) fn holds(&self, status: u16, body: &Json) -> Result<bool, String> {
        if !self.statuses.is_empty() && !self.statuses.contains(&status) {
            return Ok(false);
        }
        let Some(when) = &self.when else { return Ok(true) };
        let values = Values::new(body.clone());
        let value = when.evaluate(values.scope().event()).map_err(|error| error.message)?;
        Ok(value == Some(Json::Bool(true)))
    }
}

/// The meanings that the workspace gives to answers; those with a condition first.
#[derive(Debug, Default)]
pub(super) struct Meanings(pub(super) Vec<(Verdict, Rule)>);

impl Meanings {
    /// What an answer means; `None` takes the usual meaning of its status. A condition that cannot be worked out leaves
    /// the answer unclear.
    pub(super) fn judge(&self, status: u16, body: &Json) -> Option<Verdict> {
        for (verdict, rule) in &self.0 {
            match rule.holds(status, body) {
                Ok(true) => return Some(*verdict),
                Ok(false) => {}
                Err(_) => return Some(Verdict::Unclear),
            }
        }
        None
    }
}

/// Where the parts of a contact or of a deal stand in a record.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) id: Option<Pick>,
    /// The name of a contact, the title of a deal.
    pub(super) name: Option<Pick>,
    pub(super) owner: Option<Pick>,
    pub(super) created_at: Option<Pick>,
    pub(super) fields: FieldPlaces,
    pub(super) phones: Option<Pick>,
    pub(super) emails: Option<Pick>,
    /// The open deals that a contact carries.
    pub(super) deals: Option<Items>,
    /// Whose a deal is, by the id of the contact.
    pub(super) contact: Option<Pick>,
    pub(super) pipeline: Option<Pick>,
    pub(super) stage: Option<Pick>,
    /// Whether a deal is open; without it all are.
    pub(super) open: Option<Template>,
}

/// Where the further fields stand.
#[derive(Debug, Default)]
pub(super) enum FieldPlaces {
    #[default]
    None,
    /// All in one object.
    All(Pick),
    /// Each by itself, by the name that mappings call it.
    Each(Vec<(String, Pick)>),
}

fn text(pick: Option<&Pick>, values: &Values) -> Option<String> {
    pick?.text(values)
}

fn texts(pick: Option<&Pick>, values: &Values) -> Vec<String> {
    pick.map(|pick| pick.texts(values)).unwrap_or_default()
}

impl FieldPlaces {
    fn read(&self, values: &Values) -> Fields {
        match self {
            Self::None => Fields::new(),
            Self::All(pick) => match pick.json(values) {
                Some(Json::Object(entries)) => {
                    entries.into_iter().filter(|(_, value)| !value.is_null()).collect()
                }
                Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_))
                | None => Fields::new(),
            },
            Self::Each(picks) => {
                let each = picks.iter().filter_map(|(name, pick)| Some((name.clone(), pick.json(values)?)));
                each.collect()
            }
        }
    }
}

impl Places {
    /// A contact without its deals; `None` when there is no id.
    pub(super) fn contact(&self, values: &Values) -> Option<FoundContact> {
        Some(FoundContact {
            id: self.id.as_ref()?.id(values)?,
            owner: text(self.owner.as_ref(), values),
            created_at: self.created_at.as_ref().and_then(|pick| pick.time(values)),
            name: text(self.name.as_ref(), values),
            phones: texts(self.phones.as_ref(), values),
            emails: texts(self.emails.as_ref(), values),
            fields: self.fields.read(values),
            deals: Vec::new(),
        })
    }

    /// A deal; `None` when there is no id.
    pub(super) fn deal(&self, values: &Values) -> Option<FoundDeal> {
        Some(FoundDeal {
            id: self.id.as_ref()?.id(values)?,
            title: text(self.name.as_ref(), values),
            pipeline: text(self.pipeline.as_ref(), values),
            stage: text(self.stage.as_ref(), values),
            owner: text(self.owner.as_ref(), values),
            created_at: self.created_at.as_ref().and_then(|pick| pick.time(values)),
            fields: self.fields.read(values),
        })
    }

    /// Whether a deal may be this contact's; it is another's only where the description says whose it is.
    pub(super) fn is_of(&self, contact: &RecordId, values: &Values) -> bool {
        self.contact.as_ref().is_none_or(|place| place.texts(values).contains(&contact.0))
    }

    /// Whether a deal counts as open. Where that cannot be said it does: a task too many does less harm than a second deal.
    pub(super) fn is_open(&self, values: &Values) -> bool {
        let said = self.open.as_ref().map(|open| open.evaluate(values.scope().event()));
        said != Some(Ok(Some(Json::Bool(false))))
    }
}
