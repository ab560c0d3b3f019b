//! What is looked for: the form above the list, and how an address says it.

use std::collections::BTreeSet;

use form_urlencoded::Serializer;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::Console;
use crate::console::guard::Reader;
use crate::console::page::Failure;
use crate::map::Mapping;
use crate::operation::DEFAULT_REGION;
use crate::store::listing::{Filter, Place, Standing, Turn};

/// What an address asks for. Whatever of it nobody understands is as if it were not there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Asked {
    q: String,
    source: String,
    destination: String,
    state: String,
    /// The first day, in the reader's zone.
    from: String,
    /// The last day.
    to: String,
    before: Option<String>,
    after: Option<String>,
}

impl Asked {
    pub(super) fn filter(&self, reader: &Reader, regions: Vec<String>) -> Filter {
        let word = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let midnight = |day: Date| Some(day.to_zoned(reader.zone.clone()).ok()?.timestamp());
        let day = |text: &str| text.parse::<Date>().ok();
        let last = day(&self.to).and_then(|day| day.checked_add(1.day()).ok());
        Filter {
            source: word(&self.source),
            destination: word(&self.destination),
            standing: Standing::parse(&self.state),
            from: day(&self.from).and_then(midnight),
            to: last.and_then(midnight).filter(|to| *to > Timestamp::MIN),
            text: word(&self.q),
            regions,
        }
    }

    /// Which page; the newest for a place that is of no such list.
    pub(super) fn turn(&self, filter: &Filter) -> Turn {
        let place =
            |text: &Option<String>| text.as_ref()?.parse::<Place>().ok().filter(|place| filter.has(*place));
        match (place(&self.before), place(&self.after)) {
            (Some(place), _) => Turn::Before(place),
            (None, Some(place)) => Turn::After(place),
            (None, None) => Turn::Newest,
        }
    }

    /// Whether another page than the newest was asked for.
    pub(super) fn is_turned(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }

    pub(super) fn is_towards_newer(&self) -> bool {
        self.before.is_none() && self.after.is_some()
    }

    /// Whether nothing is looked for.
    pub(super) fn is_all(&self) -> bool {
        self.pairs().next().is_none()
    }

    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("q", &self.q),
            ("source", &self.source),
            ("destination", &self.destination),
            ("state", &self.state),
            ("from", &self.from),
            ("to", &self.to),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.as_str()))
    }

    /// The address of a page of the same list.
    pub(super) fn address(&self, further: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.pairs()).extend_pairs(further);
        let query = query.finish();
        if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
    }
}

/// What can be chosen from.
pub(in crate::console) struct Choices {
    pub(in crate::console) sources: Vec<String>,
    destinations: Vec<String>,
    regions: Vec<String>,
}

impl Choices {
    /// Sources that were ever active, and what the active version of the workspace names.
    pub(in crate::console) async fn of(console: &Console) -> Result<Self, Failure> {
        let means = &console.means;
        let mut sources: BTreeSet<String> =
            means.store.remembered_sources().await?.into_iter().map(|source| source.name).collect();
        let (mut destinations, mut regions) = (Vec::new(), Vec::new());
        if let Some(hash) = means.store.active_hash().await? {
            let workspace = means.versions.get(&hash).await?;
            sources.extend(workspace.sources.keys().cloned());
            destinations.extend(workspace.destinations.keys().cloned());
            let mappings = workspace.sources.values().filter_map(|source| source.mapping.as_ref().ok());
            for region in mappings.flat_map(Mapping::branches).flat_map(|branch| &branch.phone.regions) {
                if !regions.contains(region) {
                    regions.push(region.clone());
                }
            }
        }
        Ok(Self { sources: sources.into_iter().collect(), destinations, regions })
    }

    /// Countries of phones that name none: those of the mappings.
    pub(super) fn regions(&self) -> Vec<String> {
        if self.regions.is_empty() { vec![DEFAULT_REGION.to_owned()] } else { self.regions.clone() }
    }
}

/// A list to choose one from. What was chosen stands in it also when it is none of the workspace any more.
pub(in crate::console) fn select(
    name: &str,
    label: &str,
    any: &str,
    chosen: &str,
    names: &[String],
) -> Markup {
    html! {
        label {
            (label)
            select name=(name) {
                option value="" { (any) }
                @if !chosen.is_empty() && !names.iter().any(|name| name == chosen) {
                    option value=(chosen) selected { (chosen) }
                }
                @for each in names { option value=(each) selected[each == chosen] { (each) } }
            }
        }
    }
}

pub(super) fn form(reader: &Reader, asked: &Asked, choices: &Choices) -> Markup {
    let of_standing = |standing: Standing| match standing {
        Standing::NeedsAttention => reader.say("needs attention", "потребує уваги"),
        Standing::Open => reader.say("on its way", "у дорозі"),
        Standing::Held => reader.say("held", "затримано"),
        Standing::Synced => reader.say("done", "готово"),
        Standing::Filtered => reader.say("filtered", "відсіяно"),
    };
    html! {
        form.filters method="get" action="/" role="search" {
            label.wide {
                (reader.say("Find", "Знайти"))
                input type="search" name="q" value=(asked.q) maxlength="200"
                    placeholder=(reader.say("phone, name, email, chat or id", "телефон, ім’я, пошта, чат або id"));
            }
            (select("source", reader.say("Source", "Джерело"), reader.say("any", "будь-яке"), &asked.source, &choices.sources))
            (select("destination", reader.say("Destination", "Призначення"), reader.say("any", "будь-яке"),
                &asked.destination, &choices.destinations))
            label {
                (reader.say("State", "Стан"))
                select name="state" {
                    option value="" { (reader.say("any", "будь-який")) }
                    @for standing in Standing::ALL {
                        option value=(standing.as_str()) selected[asked.state == standing.as_str()] { (of_standing(standing)) }
                    }
                }
            }
            label { (reader.say("From", "Від")) input type="date" name="from" value=(asked.from); }
            label { (reader.say("To", "До")) input type="date" name="to" value=(asked.to); }
            button { (reader.say("Show", "Показати")) }
            @if !asked.is_all() { a href="/" { (reader.say("Clear", "Скинути")) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn days_are_whole_days_of_the_reader() {
        let reader = Reader { zone: TimeZone::get("Europe/Kyiv").unwrap(), ..Reader::for_tests() };
        let asked = Asked { from: "2026-11-22".to_owned(), to: "2026-11-22".to_owned(), ..Asked::default() };
        let filter = asked.filter(&reader, Vec::new());
        assert_eq!(filter.from.unwrap().to_string(), "2026-11-21T22:00:00Z");
        assert_eq!(filter.to.unwrap().to_string(), "2026-11-22T22:00:00Z");
        let asked = Asked { from: "yesterday".to_owned(), to: "9999-12-31".to_owned(), ..Asked::default() };
        assert_eq!(asked.filter(&reader, Vec::new()), Filter::default());
    }

    #[test]
    fn an_address_says_what_was_asked_and_nothing_else() {
        let asked = Asked { q: "a&b=<c>".to_owned(), state: "held".to_owned(), ..Asked::default() };
        assert_eq!(asked.address(&[("before", "7")]), "/?q=a%26b%3D%3Cc%3E&state=held&before=7");
        assert_eq!(Asked::default().address(&[]), "/");
    }

    #[test]
    fn a_place_of_another_list_is_the_newest_page() {
        let asked = |before: &str, from: &str| Asked {
            before: Some(before.to_owned()),
            from: from.to_owned(),
            ..Asked::default()
        };
        let check = |asked: &Asked, turned: bool| {
            let turn = asked.turn(&asked.filter(&Reader::for_tests(), Vec::new()));
            assert_eq!(turn != Turn::Newest, turned, "{asked:?}");
        };
        check(&asked("12", ""), true);
        check(&asked("1700000000000-12", "2026-01-01"), true);
        check(&asked("12", "2026-01-01"), false);
        check(&asked("1700000000000-12", ""), false);
        check(&asked("'; DROP TABLE leads", ""), false);
    }
}
