//! The registry: every lead, newest first, by what somebody looks for.

mod filter;
mod rows;

use axum::extract::{Query, State};
use maud::{Markup, html};

use self::filter::{Asked, form};
pub(super) use self::filter::{Choices, select};
use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, page};
use crate::access::Role;
use crate::store::listing::Page;

/// Leads of one page.
const PAGE: usize = 50;

pub(super) async fn list(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let choices = Choices::of(&console).await?;
    let filter = asked.filter(&reader, choices.regions());
    let turn = asked.turn(&filter);
    // Before the leads: what comes in between is told as news, and not missed.
    let pulse = console.means.store.pulse().await?;
    let mut found = console.means.store.listed(&filter, turn, PAGE).await?;
    if found.newer.is_none() && asked.is_turned() && found.leads.len() < PAGE {
        // Back at the newest: with as many as there are by now.
        found = console.means.store.listed(&filter, crate::store::listing::Turn::Newest, PAGE).await?;
    }
    let top = found.newer.is_none();
    let content = html! {
        (tabs(&reader, Tab::Leads))
        (form(&reader, &asked, &choices))
        (notes(&reader, &found))
        (news(&reader, pulse.newest, top))
        @if found.leads.is_empty() {
            (nothing(&reader, &asked))
        } @else {
            (rows::table(&reader, &found.leads))
        }
        (pages(&reader, &asked, &found))
    };
    Ok(page(&reader, Some(Section::Registry), Section::Registry.name(&reader), &content))
}

/// The two lists of the registry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Leads,
    Deliveries,
}

pub(super) fn tabs(reader: &Reader, tab: Tab) -> Markup {
    html! {
        nav.tabs aria-label=(reader.say("Lists of the registry", "Списки реєстру")) {
            a href="/" aria-current=[(tab == Tab::Leads).then_some("page")] { (reader.say("Leads", "Ліди")) }
            a href="/deliveries" aria-current=[(tab == Tab::Deliveries).then_some("page")] {
                (reader.say("Requests", "Запити"))
            }
        }
    }
}

/// Where the script tells of new leads. The newest page shows them by itself, others have a link to it.
fn news(reader: &Reader, newest: i64, top: bool) -> Markup {
    let other = reader.say("new leads", "нового ліда");
    html! {
        div.news role="status" data-live="/live" data-newest=(newest) data-top[top]
            data-one=(reader.say("new lead", "новий лід")) data-few=(reader.say("new leads", "нові ліди"))
            data-many=(reader.say("new leads", "нових лідів")) data-other=(other) {}
    }
}

fn notes(reader: &Reader, found: &Page) -> Markup {
    html! {
        @if found.too_many_names {
            p.message { (reader.say(
                "More than 100 names begin so, and only the first of them were looked for. Type more letters.",
                "Так починається понад 100 імен, шукали лише серед перших. Введіть більше літер.",
            )) }
        }
        @if let Some(looked_at) = found.looked_at {
            p.message {
                (reader.say("Looked through ", "Переглянуто "))
                (reader.count(i64::try_from(looked_at).unwrap_or(i64::MAX), ["lead", "leads"], ["лід", "ліди", "лідів"]))
                (reader.say(
                    ": this is what there was among them. Go on for more, or narrow the dates.",
                    ": це все, що серед них знайшлося. Шукайте далі або звузьте дати.",
                ))
            }
        }
    }
}

fn nothing(reader: &Reader, asked: &Asked) -> Markup {
    html! {
        p.message #none {
            @if asked.is_all() {
                (reader.say(
                    "No lead has come yet. As soon as a source sends its first request, it stands here.",
                    "Лідів ще немає. Щойно джерело надішле перший запит, лід з’явиться тут.",
                ))
                (connect(reader))
            } @else {
                (reader.say("No lead is like this. ", "Таких лідів немає. "))
                (reader.say(
                    "A phone is found in any spelling, a name by how its words begin; emails and ids must be whole.",
                    "Телефон знайдеться в будь-якому записі, ім’я — за початком слів; пошту та ідентифікатори введіть повністю.",
                ))
            }
        }
    }
}

/// Where whoever has nothing yet goes on.
pub(super) fn connect(reader: &Reader) -> Markup {
    let (path, words) = if reader.may(Role::Admin) {
        ("/mappings/new", reader.say("Connect a source", "Під’єднати джерело"))
    } else {
        ("/mappings", reader.say("Which sources there are", "Які є джерела"))
    };
    html! { " " a href=(path) { (words) } }
}

fn pages(reader: &Reader, asked: &Asked, found: &Page) -> Markup {
    let (newer, older) = match found.looked_at {
        Some(_) if asked.is_towards_newer() => (
            reader.say("Look further among newer ones", "Шукати далі серед новіших"),
            reader.say("Older", "Старіші"),
        ),
        Some(_) => (reader.say("Newer", "Новіші"), reader.say("Look further back", "Шукати далі в минулому")),
        None => (reader.say("Newer", "Новіші"), reader.say("Older", "Старіші")),
    };
    html! {
        @if found.newer.is_some() || found.older.is_some() {
            nav.pages aria-label=(reader.say("Pages", "Сторінки")) {
                @if let Some(place) = found.newer {
                    a href=(asked.address(&[])) { (reader.say("Newest", "Найновіші")) }
                    a rel="prev" href=(asked.address(&[("after", &place.to_string())])) { "← " (newer) }
                }
                @if let Some(place) = found.older {
                    a rel="next" href=(asked.address(&[("before", &place.to_string())])) { (older) " →" }
                }
            }
        }
    }
}
