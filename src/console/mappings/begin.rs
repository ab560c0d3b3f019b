//! A new source: what sends, where to, and the address to paste.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use super::editor::edit_of;
use super::{not_here, trail};
use crate::access::Role;
use crate::console::Console;
use crate::console::guard::Reader;
use crate::console::page::{Failure, Section, key, page};
use crate::console::reasons::{kept, marked};
use crate::operation::OperationError;
use crate::operation::ask;
use crate::operation::mappings::{
    Draft, DraftSource, LookAtMappings, LookAtNames, Names, SaveMappings, presets,
};

/// What was chosen.
#[derive(Debug, Default)]
struct Chosen {
    key: String,
    name: String,
    preset: String,
    to: Vec<String>,
    owners: String,
}

impl Chosen {
    /// Reads a form, in which a field may stand several times.
    fn read(body: &[u8]) -> Self {
        let mut chosen = Self::default();
        for (field, value) in form_urlencoded::parse(body) {
            let value = value.into_owned();
            match field.as_ref() {
                "key" => chosen.key = value,
                "name" => chosen.name = value,
                "preset" => chosen.preset = value,
                "to" => chosen.to.push(value),
                "owners" => chosen.owners = value,
                _ => {}
            }
        }
        chosen
    }

    fn draft(&self) -> Draft {
        Draft {
            name: self.name.trim().to_lowercase(),
            preset: self.preset.clone(),
            to: self.to.clone(),
            owners: Some(self.owners.clone()).filter(|owners| !owners.is_empty()),
            ..Draft::default()
        }
    }
}

pub(super) async fn form(State(console): State<Console>, reader: Reader) -> Result<Markup, Failure> {
    show(&console, &reader, &Chosen::default(), None).await
}

/// Writes the file of a source that keeps what comes, and goes on to its address.
pub(super) async fn begin(
    State(console): State<Console>,
    reader: Reader,
    body: Bytes,
) -> Result<Response, Failure> {
    let chosen = Chosen::read(&body);
    reader.believe(&chosen.key)?;
    let (caller, means) = (&reader.caller, &console.means);
    let begun = async {
        let of = ask(LookAtMappings::default(), caller, means).await?.version;
        let drafted = ask(DraftSource { draft: chosen.draft() }, caller, means).await?;
        ask(SaveMappings { edit: edit_of(&of, &drafted.file, drafted.text) }, caller, means).await
    };
    match begun.await {
        Ok(_) => Ok(Redirect::to(&format!("/mappings/new/{}", chosen.draft().name)).into_response()),
        Err(OperationError::Refused(why)) => {
            Ok(show(&console, &reader, &chosen, Some(&why)).await?.into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn show(
    console: &Console,
    reader: &Reader,
    chosen: &Chosen,
    refused: Option<&str>,
) -> Result<Markup, Failure> {
    if reader.caller.role < Role::Admin {
        let text = reader.say("A new source is an admin's to make.", "Нове джерело створює адміністратор.");
        return Err(Failure::Forbidden(text.to_owned()));
    }
    let look = ask(LookAtMappings::default(), &reader.caller, &console.means).await?;
    let Names { crms, owner_pools, .. } =
        ask(LookAtNames { source: None, accounts: false }, &reader.caller, &console.means).await?;
    let content = html! {
        (trail(reader, None))
        (steps(reader, 1))
        @if let Some(why) = refused { p.message.bad role="alert" { (kept(reader, why)) } }
        @if let Some(why) = &look.read_only {
            (not_here(reader, why))
        } @else {
            form.sheet method="post" action="/mappings/new" {
                (key(reader))
                fieldset {
                    legend { (reader.say("What sends the leads?", "Звідки приходять ліди?")) }
                    @for (position, preset) in presets().into_iter().enumerate() {
                        @let checked = if chosen.preset.is_empty() { position == 0 } else { chosen.preset == preset.name };
                        label.choice {
                            input type="radio" name="preset" value=(preset.name) checked[checked];
                            span { strong { (preset.name) } span.hint { (summary(reader, preset.name, preset.summary)) } }
                        }
                    }
                }
                label {
                    (reader.say("Name", "Назва"))
                    input name="name" required maxlength="40" pattern="[a-z0-9_\\-]+" autocapitalize="none" autocomplete="off" value=(chosen.name) aria-describedby="name-hint";
                }
                p.hint #name-hint { (reader.say(
                    "Small Latin letters, digits, - and _. It stands in the address and names the file.",
                    "Малі латинські літери, цифри, - та _. Це частина адреси й назва файлу.",
                )) }
                fieldset {
                    legend { (reader.say("Where do the leads go?", "Куди йдуть ліди?")) }
                    @for (position, name) in crms.iter().enumerate() {
                        label.choice {
                            input type="checkbox" name="to" value=(name) checked[chosen.to.contains(name) || (chosen.to.is_empty() && position == 0)];
                            span { (name) }
                        }
                    }
                }
                label {
                    (reader.say("Who takes them?", "Хто їх бере?"))
                    select name="owners" {
                        @for pool in &owner_pools { option value=(pool) selected[chosen.owners == *pool] { (pool) } }
                        option value="" { (reader.say("nobody yet", "поки ніхто")) }
                    }
                }
                button { (reader.say("Make the address", "Створити адресу")) }
                p.hint { (reader.say(
                    "The source begins paused: what comes is kept, and nothing goes to the CRM until you switch it on.",
                    "Джерело починає на паузі: усе зберігається, але в CRM нічого не йде, доки ви його не ввімкнете.",
                )) }
            }
        }
    };
    Ok(page(reader, Some(Section::Mappings), reader.say("New source", "Нове джерело"), &content))
}

/// What a preset is for.
fn summary(reader: &Reader, name: &str, english: &str) -> Markup {
    let ukrainian = match name {
        "sendpulse" => "вебхуки чат-ботів SendPulse (POST, список подій у JSON)",
        "json" => "POST із будь-яким JSON: об’єкт — одна подія, список об’єктів — подія на кожен",
        "form" => "поля форми: POST або GET із параметрами; назви з крапками стають об’єктами",
        "telegram" => "боти Telegram (вебхук Bot API); назва джерела — це назва бота",
        "chatterfy" => "крок «Send webhook» у Chatterfy (GET із макросами); назва джерела — це назва бота",
        "metabot" => "скрипт бота Metabot: lead_id у запиті — це чат, person_id — людина",
        "esputnik" => "стрічка активностей eSputnik / Yespo (POST, список статусів у JSON)",
        _ => english,
    };
    marked(reader, reader.say(english, ukrainian))
}

/// Where one is on the way to a source.
pub(super) fn steps(reader: &Reader, now: usize) -> Markup {
    let all = [
        reader.say("Choose", "Обрати"),
        reader.say("Paste the address", "Вставити адресу"),
        reader.say("Say what is what", "Показати, де що"),
        reader.say("Look, and switch on", "Перевірити й увімкнути"),
    ];
    html! {
        ol.way {
            @for (number, step) in (1..).zip(all) { li aria-current=[(number == now).then_some("step")] { (step) } }
        }
    }
}

/// What stands before the path of an address, as the reader's browser wrote it.
pub(super) fn root(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scheme = if text("x-forwarded-proto").eq_ignore_ascii_case("https") { "https" } else { "http" };
    format!("{scheme}://{}", text("host"))
}
