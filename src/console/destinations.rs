//! Destinations: where each of them stands, and pausing one.

use axum::extract::{Query, State};
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Form, Router};
use maud::{Markup, html};
use serde::Deserialize;

use super::attention::query;
use super::guard::Reader;
use super::page::{self, Failure, Section, page};
use super::reasons::kept;
use super::{Console, pools};
use crate::access::Role;
use crate::crm::limit::Standing;
use crate::operation::ask;
use crate::operation::destinations::{
    DestinationNow, DestinationsNow, LookAtDestinations, PauseDestination, ResumeDestination,
};
use crate::rules::Mode;
use crate::store::standing::{BotChats, LastError, UpTo};

/// What was done, by its word in the address.
const DONE: &[(&str, &str, &str)] = &[
    (
        "paused",
        "It is paused. What is under way is finished; new leads wait.",
        "Поставлено на паузу. Розпочате буде завершено, нові ліди чекатимуть.",
    ),
    ("resumed", "It goes on.", "Роботу відновлено."),
    ("unchanged", "Somebody else did this before you.", "Хтось уже зробив це до вас."),
];

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/destinations", get(list))
        .route("/destinations/pause", post(pause))
        .route("/destinations/resume", post(resume))
}

#[derive(Debug, Deserialize)]
struct Asked {
    done: Option<String>,
}

async fn list(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let now = ask(LookAtDestinations {}, &reader.caller, &console.means).await?;
    let done = page::done(&reader, asked.done.as_deref(), DONE);
    let title = Section::Destinations.name(&reader);
    Ok(page(&reader, Some(Section::Destinations), title, &content(&reader, &done, &now)))
}

#[derive(Debug, Deserialize)]
struct Which {
    key: String,
    destination: String,
}

async fn pause(
    State(console): State<Console>,
    reader: Reader,
    Form(Which { key, destination }): Form<Which>,
) -> Result<Redirect, Failure> {
    reader.believe(&key)?;
    let pause = PauseDestination { destination };
    let changed = ask(pause, &reader.caller, &console.means).await?.changed;
    Ok(back(if changed { "paused" } else { "unchanged" }))
}

async fn resume(
    State(console): State<Console>,
    reader: Reader,
    Form(Which { key, destination }): Form<Which>,
) -> Result<Redirect, Failure> {
    reader.believe(&key)?;
    let changed = ask(ResumeDestination { destination }, &reader.caller, &console.means).await?.changed;
    Ok(back(if changed { "resumed" } else { "unchanged" }))
}

fn back(done: &str) -> Redirect {
    Redirect::to(&format!("/destinations?done={done}"))
}

fn content(reader: &Reader, done: &Markup, now: &DestinationsNow) -> Markup {
    html! {
        (done)
        @if now.destinations.is_empty() {
            p.message { (reader.say(
                "The workspace has no destination yet: name one under destinations: in workspace.yaml.",
                "У налаштуваннях ще немає призначень: додайте перше в розділ destinations: файлу workspace.yaml.",
            )) }
        }
        @for destination in &now.destinations { (one(reader, destination)) }
        @if !now.pools.is_empty() {
            h2 #pools { (reader.say("Owner pools", "Пули відповідальних")) }
            @for pool in &now.pools { (pools::one(reader, pool)) }
        }
    }
}

fn one(reader: &Reader, now: &DestinationNow) -> Markup {
    let waiting = &now.waiting;
    html! {
        section.sheet aria-label=(now.name) {
            div.heading {
                h2 { (now.name) @if now.crm != now.name { " " span.faint { (now.crm) } } }
                (state(reader, now))
                (button(reader, now))
            }
            @if let Some(pause) = &now.paused {
                p.message { (reader.say("Paused by ", "На паузі: ")) b { (pause.who) } (reader.say(" since ", ", з "))
                    time datetime=(pause.since) { (reader.moment(pause.since)) } "." }
            }
            dl {
                dt { (reader.say("Waits", "Чекають")) }
                dd {
                    (leads(reader, waiting.open))
                    @if waiting.open.count > 0 {
                        span.faint { " · " (by_state(reader, now)) }
                    }
                    @if let (Some(seconds), true) = (now.takes_seconds, pushes(now)) {
                        " · " (reader.say("about ", "приблизно ")) (reader.span(jiff::SignedDuration::from_secs(seconds)))
                    }
                }
                @if waiting.held.count > 0 {
                    dt { (reader.say("Held", "Затримано")) }
                    dd {
                        (leads(reader, waiting.held)) " "
                        a href=(format!("/attention/held?{}", query(&[("destination", &now.name)]))) {
                            (reader.say("They wait for your answer", "Чекають вашої відповіді"))
                        }
                    }
                }
                dt { (reader.say("Rate budget", "Ліміт запитів")) }
                dd { (budget(reader, now)) }
                dt { (reader.say("Pushed by", "Надсилає")) }
                dd {
                    @match &now.holder {
                        Some(holder) => (holder),
                        None => span.faint { (reader.say("nobody at the moment", "зараз ніхто")) },
                    }
                }
            }
            @if now.is_bot { (chats(reader, &now.chats)) }
            (last_errors(reader, &now.last_errors))
        }
    }
}

/// Whether leads go there now.
fn pushes(now: &DestinationNow) -> bool {
    now.paused.is_none() && now.mode != Mode::Paused
}

fn state(reader: &Reader, now: &DestinationNow) -> Markup {
    html! {
        @if now.paused.is_some() {
            span.badge.wait { (reader.say("paused", "на паузі")) }
        } @else {
            @match now.mode {
                Mode::Live => span.badge.good { (reader.say("live", "працює")) },
                Mode::Observe => span.badge.wait { (reader.say("only observes", "лише спостерігає")) },
                Mode::Paused => span.badge.wait {
                    (reader.say("paused by workspace.yaml", "на паузі через workspace.yaml"))
                },
            }
        }
    }
}

fn button(reader: &Reader, now: &DestinationNow) -> Markup {
    let may = reader.caller.role >= Role::Operator;
    let (path, word) = if now.paused.is_some() {
        ("/destinations/resume", reader.say("Resume", "Відновити"))
    } else {
        ("/destinations/pause", reader.say("Pause", "Призупинити"))
    };
    html! {
        @if may && (now.paused.is_some() || now.mode != Mode::Paused) {
            form.push method="post" action=(path) {
                (page::key(reader))
                input type="hidden" name="destination" value=(now.name);
                button.second[now.paused.is_none()] aria-label={ (word) " " (now.name) } { (word) }
            }
        }
    }
}

fn by_state(reader: &Reader, now: &DestinationNow) -> String {
    let word = |state: &str| match state {
        "ready" => reader.say("to be decided", "до рішення"),
        "pushing" => reader.say("under way", "надсилаються"),
        "unknown" => reader.say("to be looked up", "на перевірці"),
        _ => reader.say("wait for somebody to be there", "чекають на відповідального"),
    };
    let told = now
        .waiting
        .by_state
        .iter()
        .map(|(state, count)| format!("{} {}", reader.number(*count), word(state)));
    told.collect::<Vec<_>>().join(", ")
}

fn budget(reader: &Reader, now: &DestinationNow) -> Markup {
    html! {
        @if now.windows.is_empty() { span.faint { (reader.say("no limit", "без ліміту")) } }
        @for window in &now.windows { (standing(reader, window)) }
        @if now.share < 1.0 {
            p.hint { (reader.say("Our share of the account: ", "Наша частка облікового запису: ")) (percent(now.share)) }
        }
        @if let Some(until) = now.held_until {
            p.hint { (reader.say("It asked to be left alone until ", "Просить не звертатися до ")) (reader.moment(until)) }
        }
    }
}

fn standing(reader: &Reader, window: &Standing) -> Markup {
    let used = percent(window.used);
    html! {
        div.window {
            meter min="0" max="1" high="0.9" value=(format!("{:.3}", window.used)) aria-label=(reader.say("Rate budget", "Ліміт запитів")) { (used) }
            " " (used) " " (reader.say("used", "використано"))
            ", " (percent(1.0 - window.used)) " " (reader.say("left", "лишилося"))
            span.faint { " · " (kept(reader, &window.window)) }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "0 to 100")]
fn percent(part: f64) -> String {
    format!("{}\u{a0}%", (part.clamp(0.0, 1.0) * 100.0).round() as i64)
}

fn chats(reader: &Reader, bots: &[BotChats]) -> Markup {
    html! {
        h3 { (reader.say("Chats", "Чати")) }
        @if bots.is_empty() { p.faint { (reader.say("Nobody has written to this bot yet.", "Цьому боту ще ніхто не писав.")) } }
        @else {
            table.cards {
                thead { tr {
                    th scope="col" { (reader.say("Bot", "Бот")) }
                    th scope="col" { (reader.say("Channel", "Канал")) }
                    th.number scope="col" { (reader.say("Live", "Активні")) }
                    th.number scope="col" { (reader.say("Blocked", "Заблоковані")) }
                } }
                tbody {
                    @for bot in bots {
                        tr {
                            td data-name=(reader.say("Bot", "Бот")) { (bot.name.as_deref().unwrap_or(&bot.scope)) }
                            td data-name=(reader.say("Channel", "Канал")) { (bot.channel) }
                            td.number data-name=(reader.say("Live", "Активні")) { (up_to(reader, live(bot))) }
                            td.number data-name=(reader.say("Blocked", "Заблоковані")) { (up_to(reader, bot.blocked)) }
                        }
                    }
                }
            }
        }
    }
}

/// Those that are not blocked.
fn live(bot: &BotChats) -> UpTo {
    let count = if bot.all.more { bot.all.count } else { bot.all.count - bot.blocked.count };
    UpTo { count: count.max(0), more: bot.all.more }
}

fn last_errors(reader: &Reader, errors: &[LastError]) -> Markup {
    html! {
        @if !errors.is_empty() {
            h3 { (reader.say("Last errors", "Останні помилки")) }
            ul.errors {
                @for error in errors {
                    li {
                        @if error.needs_attention {
                            span.badge.bad { (reader.say("needs attention", "потребує уваги")) }
                        } @else {
                            span.badge.wait { (reader.say("tried again", "спробуємо ще")) }
                        }
                        " " time.faint datetime=(error.at) { (reader.moment(error.at)) }
                        @if error.leads > 1 { " · " (reader.count(error.leads, ["lead", "leads"], ["лід", "ліди", "лідів"])) }
                        div { (kept(reader, &error.text)) }
                    }
                }
            }
        }
    }
}

fn leads(reader: &Reader, number: UpTo) -> String {
    let count = reader.count(number.count, ["lead", "leads"], ["лід", "ліди", "лідів"]);
    more(reader, number.more, count)
}

fn up_to(reader: &Reader, number: UpTo) -> String {
    more(reader, number.more, reader.number(number.count))
}

fn more(reader: &Reader, more: bool, text: String) -> String {
    if more { format!("{} {text}", reader.say("more than", "понад")) } else { text }
}
