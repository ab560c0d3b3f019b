//! The registry: every lead, newest first.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, page};

/// Leads of one page.
const PAGE: i64 = 50;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    before: Option<i64>,
}

pub(super) async fn list(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let leads = console.means.store.leads(asked.before, PAGE).await?;
    let content = html! {
        table {
            thead { tr {
                th scope="col" { (reader.say("When", "Коли")) }
                th scope="col" { (reader.say("Source", "Джерело")) }
                th scope="col" { (reader.say("State", "Стан")) }
            } }
            tbody {
                @for lead in &leads {
                    tr { td { time datetime=(lead.received_at) { (reader.moment(lead.received_at)) } } td { (lead.source) } td { (lead.state) } }
                }
            }
        }
    };
    Ok(page(&reader, Some(Section::Registry), Section::Registry.name(&reader), &content))
}
