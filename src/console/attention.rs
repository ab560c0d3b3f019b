//! What needs somebody, by cause, each with the one thing to do.
//!
//! | file | what it is |
//! |---|---|
//! | `advice` | what each cause is called, and what to do |
//! | `replay` | what a replay of a cause would do, and doing it piece by piece |
//! | `held` | leads that were held while a destination only observed |

mod advice;
mod held;
mod replay;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use self::advice::advice;
use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, done_and, page};
use super::reasons::{kept, whole};
use crate::access::Role;
use crate::operation::ask;
use crate::operation::attention::{Attention, LookAtAttention};
use crate::rules::Mode;
use crate::store::alerts::Trouble;
use crate::store::attention::{Caused, HeldAt, HowMany, Requests, Where};
use crate::store::pauses::Pause;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/attention", get(overview))
        .route("/attention/replay", get(replay::look).post(replay::replay))
        .route("/attention/replay/progress", get(replay::progress))
        .route("/attention/held", get(held::look).post(held::answer))
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    done: Option<String>,
    /// How many leads that was.
    count: Option<i64>,
    /// How many were left as they are.
    left: Option<i64>,
}

const DONE: &[(&str, &str, &str)] = &[
    ("replayed", "Replayed:", "Повторено:"),
    ("pushed", "On their way to the CRM:", "Пішли до CRM:"),
    ("skipped", "Skipped; they stay in the registry:", "Пропущено, залишаються в реєстрі:"),
];

async fn overview(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let attention = ask(LookAtAttention {}, &reader.caller, &console.means).await?;
    let how_many = html! {
        " " (leads(&reader, HowMany { count: asked.count.unwrap_or(0), more: false })) "."
        @if let Some(left) = asked.left.filter(|left| *left > 0) {
            " " (reader.say("Left as they are:", "Залишено як є:")) " " (reader.number(left)) "."
        }
    };
    let content = html! {
        (done_and(&reader, asked.done.as_deref(), DONE, &how_many))
        (sections(&reader, &attention))
    };
    Ok(page(&reader, Some(Section::Attention), Section::Attention.name(&reader), &content))
}

fn sections(reader: &Reader, attention: &Attention) -> Markup {
    let Attention { causes, unreadable, waiting, held, troubles, modes, paused } = attention;
    let leads = causes.is_empty() && unreadable.is_empty() && waiting.is_empty() && held.is_empty();
    let by_workspace = || modes.iter().filter(|(_, mode)| **mode == Mode::Paused);
    let nothing = leads && troubles.is_empty() && paused.is_empty() && by_workspace().next().is_none();
    html! {
        @if nothing {
            p.message.good { (reader.say("Nothing needs you now.", "Зараз нічого не потребує вашої уваги.")) }
        }
        @for trouble in troubles { (standing(reader, trouble)) }
        @for caused in causes { (cause(reader, caused)) }
        @for one in held { (held_at(reader, one, modes.get(&one.destination))) }
        @for one in unreadable { (requests(reader, one, true)) }
        @for one in waiting { (requests(reader, one, false)) }
        @for (name, pause) in paused { (paused_by_hand(reader, name, pause)) }
        @for (name, _) in by_workspace() {
            article.sheet {
                h2 { (reader.say("A destination is paused", "Призначення на паузі")) " " span.badge { (name) } }
                p { (reader.say(
                    "The workspace says mode: paused. Its leads are kept, and go on when that is changed.",
                    "У workspace.yaml стоїть mode: paused. Ліди збережено, вони підуть далі, коли це змінити.",
                )) }
            }
        }
    }
}

fn paused_by_hand(reader: &Reader, name: &str, pause: &Pause) -> Markup {
    html! {
        article.sheet {
            h2 { (reader.say("A destination is paused by hand", "Призначення призупинили вручну")) " " span.badge { (name) } }
            p.faint { (pause.who) ", " (reader.say("since ", "з ")) (reader.moment(pause.since)) }
            p { strong { (reader.say("What to do: ", "Що зробити: ")) } (reader.say(
                "Resume it once the reason is gone. Its leads are kept, and nobody is told that they wait.",
                "Відновіть його, щойно причина зникне. Ліди збережено, і про їхнє очікування ніхто не отримує сповіщень.",
            )) }
            a.button href="/destinations" { (reader.say("To the destinations", "До призначень")) }
        }
    }
}

/// A number with its noun, and that there may be more.
fn leads(reader: &Reader, many: HowMany) -> String {
    if many.more {
        return reader.say("more than 1,000 leads", "понад 1\u{a0}000 лідів").to_owned();
    }
    reader.count(many.count, ["lead", "leads"], ["лід", "ліди", "лідів"])
}

fn cause(reader: &Reader, caused: &Caused) -> Markup {
    let advice = advice(&caused.cause.code);
    let at = match caused.cause.at {
        Where::Source => "source",
        Where::Destination => "destination",
    };
    let cause = [("at", at), ("place", &caused.cause.place), ("code", &caused.cause.code)];
    let link = format!("/attention/replay?{}", query(&cause));
    html! {
        article.sheet id=(caused.cause.name()) {
            h2 { (advice.title(reader)) " " span.badge { (caused.cause.place) } }
            p.faint {
                (leads(reader, caused.leads)) ", "
                (reader.say("since ", "з ")) (reader.moment(caused.since))
            }
            p { strong { (reader.say("What to do: ", "Що зробити: ")) } (advice.todo(reader)) }
            ul.plain { @for (number, example) in caused.examples.iter().enumerate() { li {
                a href=(format!("/leads/{}", example.lead)) {
                    span translate="no" { (example.name.as_deref().unwrap_or(reader.say("A lead", "Лід"))) }
                }
                " " span.faint { (reader.moment(example.received_at)) }
                // Leads of one cause often stopped for the very same reason, which is said once.
                @if number.checked_sub(1).and_then(|before| caused.examples.get(before)).map(|before| &before.why) != Some(&example.why) {
                    div { (whole(reader, &json!({ "code": caused.cause.code, "text": example.why }))) }
                }
            } } }
            @if reader.may(Role::Operator) {
                a.button href=(link) { (reader.say("Replay…", "Повторити…")) }
            }
        }
    }
}

fn standing(reader: &Reader, trouble: &Trouble) -> Markup {
    let (kind, place) = trouble.cause.split_once(':').unwrap_or((&trouble.cause, ""));
    let (title, todo) = match kind {
        "paused" => (
            reader.say("A destination is paused", "Призначення на паузі"),
            reader.say(
                "Correct what is said above. The queue is kept, and goes on by itself once the CRM lets us in again.",
                "Виправте те, що названо вище. Чергу збережено, вона піде далі сама, щойно CRM знову нас пустить.",
            ),
        ),
        "silent" => (
            reader.say("A source is silent", "Джерело мовчить"),
            reader.say(
                "Look whether the bot works and still posts to our address.",
                "Перевірте, чи працює бот і чи надсилає він запити на нашу адресу.",
            ),
        ),
        "late" => (
            reader.say("Leads wait too long", "Ліди чекають надто довго"),
            reader.say(
                "Look at the destination: its budget, its errors, how much waits.",
                "Подивіться на призначення: ліміт запитів, помилки, скільки чекає.",
            ),
        ),
        _ => (reader.say("Something is wrong", "Щось не так"), ""),
    };
    html! {
        article.sheet id=(trouble.cause) {
            h2 { (title) " " span.badge.bad { (place) } }
            p.faint { (reader.say("Since ", "З ")) (reader.moment(trouble.since)) }
            @if !trouble.text.is_empty() { p { (kept(reader, &trouble.text)) } }
            @if !todo.is_empty() { p { strong { (reader.say("What to do: ", "Що зробити: ")) } (todo) } }
        }
    }
}

fn held_at(reader: &Reader, held: &HeldAt, mode: Option<&Mode>) -> Markup {
    html! {
        article.sheet id=(format!("held:{}", held.destination)) {
            h2 { (reader.say("Held until you answer", "Чекають вашої відповіді")) " " span.badge.wait { (held.destination) } }
            p.faint { (leads(reader, held.leads)) ", " (reader.say("since ", "з ")) (reader.moment(held.since)) }
            p {
                @if mode.is_some() {
                    (reader.say(
                        "The destination only observes: these leads are decided, and nothing is written.",
                        "Призначення лише спостерігає: щодо цих лідів усе вирішено, але нічого не записано.",
                    ))
                } @else {
                    (reader.say(
                        "The destination is live by now. These came before: push them to the CRM, or skip them.",
                        "Призначення вже працює. Ці ліди прийшли раніше: передайте їх у CRM або пропустіть.",
                    ))
                }
            }
            a.button href=(format!("/attention/held?{}", query(&[("destination", &held.destination)]))) {
                (reader.say("Look at them…", "Переглянути…"))
            }
        }
    }
}

fn requests(reader: &Reader, requests: &Requests, unreadable: bool) -> Markup {
    let Requests { source, count, since, why, .. } = requests;
    let many = reader.count(count.count, ["request", "requests"], ["запит", "запити", "запитів"]);
    let (word, title) = if unreadable {
        ("unreadable", reader.say("Requests that could not be read", "Запити, які не вдалося прочитати"))
    } else {
        ("waiting", reader.say("Requests that wait for their mapping", "Запити чекають на мапінг"))
    };
    html! {
        article.sheet id=(format!("{word}:{source}")) {
            h2 { (title) " " span.badge { (source) } }
            p.faint {
                @if count.more { (reader.say("at least ", "щонайменше ")) }
                (many) ", " (reader.say("since ", "з ")) (reader.moment(*since))
            }
            p { strong { (reader.say("What to do: ", "Що зробити: ")) }
                @if unreadable {
                    (reader.say(
                        "Look at what the platform sends and at the source’s preset; correct it, then read them again.",
                        "Подивіться, що надсилає платформа, і на пресет джерела; виправте його і прочитайте їх ще раз.",
                    ))
                } @else {
                    (reader.say(
                        "The source is paused, or its mapping is broken. Correct that, and they go on by themselves.",
                        "Джерело на паузі або його мапінг зламаний. Виправте це, і далі вони підуть самі.",
                    ))
                }
            }
            p { (kept(reader, why)) }
            @if unreadable && reader.may(Role::Operator) {
                a.button href=(format!("/attention/replay?{}", query(&[("at", "unreadable"), ("place", source)]))) {
                    (reader.say("Read them again…", "Прочитати ще раз…"))
                }
            }
        }
    }
}

/// A query of these values.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
