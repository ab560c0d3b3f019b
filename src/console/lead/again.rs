//! Bringing a lead once more: resume, plan again, force. What would come of it is shown before anything is done.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::{found, text, title};
use crate::console::Console;
use crate::console::guard::Reader;
use crate::console::page::{Failure, Section, key, page};
use crate::console::reasons::{kept, whole};
use crate::id::LeadId;
use crate::operation::replay::{Preview, PreviewReplay, Replay};
use crate::operation::{allow, ask};
use crate::rules::Mode;
use crate::store::registry::LeadDetail;
use crate::store::replay::{How, LeftAlone, Selection};
use crate::token;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    how: How,
}

#[derive(Debug, Deserialize)]
pub(super) struct Given {
    how: How,
    #[serde(default)]
    key: String,
    /// Where the lead stood when the reader looked.
    #[serde(default)]
    seen: String,
}

const HOWS: [How; 3] = [How::Resume, How::Replan, How::Force];

fn word(how: How) -> &'static str {
    match how {
        How::Resume => "resume",
        How::Replan => "replan",
        How::Force => "force",
    }
}

/// What the button says, and what comes of it.
fn words(reader: &Reader, how: How) -> (&'static str, &'static str) {
    match how {
        How::Resume => (
            reader.say("Resume", "Продовжити"),
            reader.say(
                "The lead as it was mapped goes on: it is looked up and decided anew, and nothing is made twice.",
                "Лід іде далі таким, яким його зіставлено: шукаємо й вирішуємо заново, вдруге нічого не створюємо.",
            ),
        ),
        How::Replan => (
            reader.say("Plan again", "Спланувати заново"),
            reader.say(
                "Its request is mapped by today’s version, then looked up and decided anew.",
                "Запит зіставляється за сьогоднішньою версією, далі пошук і рішення заново.",
            ),
        ),
        How::Force => (
            reader.say("Force", "Примусово"),
            reader.say(
                "Its deal is made whatever the rules say.",
                "Угода створюється, хоч би що казали правила.",
            ),
        ),
    }
}

fn only(lead: LeadId) -> Selection {
    Selection { leads: vec![lead], ..Selection::default() }
}

/// Whichever of the three something can come of.
pub(super) async fn buttons(console: &Console, reader: &Reader, lead: LeadId) -> Result<Markup, Failure> {
    let means = &console.means;
    let Some(hash) = means.store.active_hash().await? else { return Ok(html! {}) };
    let workspace = means.versions.get(&hash).await?;
    let (items, _) = means.store.replayable(&only(lead), None, None, 1).await?;
    let can = |how: How| {
        items.iter().any(|item| {
            let destination = item.destination.as_ref().and_then(|name| workspace.destinations.get(name));
            item.verdict(how, destination.is_some_and(|to| to.mode == Mode::Observe)).is_ok()
        })
    };
    Ok(html! {
        div.actions {
            @for how in HOWS.into_iter().filter(|how| can(*how)) {
                a.button.second[how != How::Resume] href={ "/leads/" (lead) "/again?how=" (word(how)) } { (words(reader, how).0) "…" }
            }
        }
    })
}

/// Where a lead stands, so that a button that is pressed twice, or long after somebody else pressed it, makes no second deal.
fn standing(lead: &LeadDetail) -> String {
    let syncs = lead.syncs.iter().map(|sync| (&sync.id, &sync.state, sync.planned_at));
    token::to_hex(&token::hash(format!("{:?}", syncs.collect::<Vec<_>>())))
}

/// What would come of it.
pub(super) async fn look(
    State(console): State<Console>,
    reader: Reader,
    Path(id): Path<String>,
    Query(Asked { how }): Query<Asked>,
) -> Result<Markup, Failure> {
    let (id, lead) = found(&console, &reader, &id).await?;
    let preview = PreviewReplay { select: only(id), how, limit: None, look_at: None };
    let preview = ask(preview, &reader.caller, &console.means).await?;
    let (name, what) = words(&reader, how);
    let content = html! {
        p { a href={ "/leads/" (id) } { "← " (title(&reader, &lead)) } }
        p { (what) }
        (foreseen(&reader, &preview, lead.lead.as_ref()))
        @if preview.count > 0 {
            form method="post" action={ "/leads/" (id) "/again" } {
                (key(&reader))
                input type="hidden" name="how" value=(word(how));
                input type="hidden" name="seen" value=(standing(&lead));
                button.danger[how == How::Force] { (name) }
                " " a href={ "/leads/" (id) } { (reader.say("Leave it", "Нічого не робити")) }
            }
        }
    };
    Ok(page(&reader, Some(Section::Registry), name, &content))
}

fn foreseen(reader: &Reader, preview: &Preview, before: Option<&Value>) -> Markup {
    html! {
        @for left in preview.left_alone.keys() { p.message { (left_alone(reader, *left)) } }
        @if preview.beside_a_deal > 0 {
            p.message.bad { (reader.say(
                "This person has a deal there already, as far as leadfold knows: they will have two open deals.",
                "У цієї людини там уже є угода, наскільки відомо leadfold: відкритих угод стане дві.",
            )) }
        }
        @for group in &preview.groups {
            p { (reader.say("To ", "До ")) b { (group.place) } ": " (super::badge(reader, &group.state))
                @if !group.example.is_empty() {
                    " " (whole(reader, &json!({ "code": group.cause, "text": group.example })))
                } }
        }
        @for sample in &preview.samples {
            h2 { (reader.say("What today’s mapping makes of it", "Що з нього робить сьогоднішній мапінг")) }
            p { (kept(reader, &sample.after)) }
            @if let Some(after) = &sample.mapped { (changes(reader, before, after)) }
        }
        @if preview.count == 0 && preview.left_alone.is_empty() {
            p.message { (reader.say("Nothing can come of it now.", "Зараз із цього нічого не вийде.")) }
        }
    }
}

/// The lead as it is stored against the lead as it would be.
fn changes(reader: &Reader, before: Option<&Value>, after: &Value) -> Markup {
    let lines = |lead: Option<&Value>| {
        let mut lines = Vec::new();
        for part in ["branch", "to", "contact", "deal", "task", "note", "owners", "person_fields"] {
            told(part, lead.and_then(|lead| lead.get(part)), &mut lines);
        }
        lines.push(String::new());
        lines.join("\n")
    };
    let (before, after) = (lines(before), lines(Some(after)));
    if before == after {
        return html! { p.message.good { (reader.say("The lead stays the same.", "Лід лишається таким самим.")) } };
    }
    let diff = TextDiff::from_lines(&before, &after);
    html! {
        pre.diff tabindex="0" {
            @for change in diff.iter_all_changes() {
                @let line = change.value().trim_end_matches('\n');
                @match change.tag() {
                    ChangeTag::Equal => { "  " (line) "\n" }
                    ChangeTag::Insert => { ins { "+ " (line) "\n" } }
                    ChangeTag::Delete => { del { "- " (line) "\n" } }
                }
            }
        }
    }
}

/// A value as lines `part.key: value`, without what is absent.
fn told(name: &str, value: Option<&Value>, lines: &mut Vec<String>) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Object(entries)) => {
            for (key, value) in entries {
                told(&format!("{name}.{key}"), Some(value), lines);
            }
        }
        Some(Value::Array(items)) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                told(&format!("{name}[{index}]"), Some(item), lines);
            }
        }
        Some(Value::Array(items)) if items.is_empty() => {}
        Some(value) => lines.push(format!("{name}: {}", text(Some(value)))),
    }
}

/// Does it.
pub(super) async fn replay(
    State(console): State<Console>,
    reader: Reader,
    Path(id): Path<String>,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    allow::<Replay>(&reader.caller)?;
    let (id, lead) = found(&console, &reader, &id).await?;
    if given.how == How::Force && standing(&lead) != given.seen {
        return Ok(Redirect::to(&format!("/leads/{id}?done=changed")));
    }
    let replay = Replay { select: only(id), how: given.how, after: None, up_to: None };
    let replayed = ask(replay, &reader.caller, &console.means).await?;
    let done = match replayed.left_alone.keys().next() {
        Some(left) if replayed.count == 0 => serde_json::to_value(left)
            .ok()
            .and_then(|word| word.as_str().map(str::to_owned))
            .unwrap_or_default(),
        Some(_) | None if replayed.count > 0 => word(given.how).to_owned(),
        Some(_) | None => "nothing".to_owned(),
    };
    Ok(Redirect::to(&format!("/leads/{id}?done={done}")))
}

/// What was done, by the word in the address; and whether that is good news.
pub(super) fn done(reader: &Reader, word: &str) -> Option<(bool, &'static str)> {
    let good = match word {
        "resume" => reader.say("It goes on.", "Лід пішов далі."),
        "replan" => reader.say("It is planned again.", "Лід сплановано заново."),
        "force" => reader.say("Its deal is being made.", "Угода створюється."),
        "changed" => {
            return Some((
                false,
                reader.say(
                    "Nothing was done: the lead has changed since you looked. See what became of it.",
                    "Нічого не зроблено: відколи ви дивилися, лід змінився. Подивіться, що з ним сталося.",
                ),
            ));
        }
        "nothing" => {
            return Some((false, reader.say("Nothing was done.", "Нічого не зроблено.")));
        }
        other => {
            let left: LeftAlone = serde_json::from_value(Value::from(other)).ok()?;
            return Some((false, left_alone(reader, left)));
        }
    };
    Some((true, good))
}

/// Why it is left as it is.
fn left_alone(reader: &Reader, left: LeftAlone) -> &'static str {
    match left {
        LeftAlone::UnderWay => {
            reader.say("It is being brought to its destination now.", "Його зараз передають.")
        }
        LeftAlone::Done => reader.say("It is there already.", "Він уже там."),
        LeftAlone::NeverMapped => reader
            .say("It was never mapped: plan it again.", "Його не було зіставлено: сплануйте його заново."),
        LeftAlone::GoneAlong => reader.say(
            "It went along with a later lead of the same person.",
            "Він пішов разом із пізнішим лідом тієї ж людини.",
        ),
        LeftAlone::Held => reader.say(
            "It is held until somebody lets the destination go live.",
            "Його затримано, доки призначення не ввімкнуть.",
        ),
        LeftAlone::InDoubt => reader.say(
            "One of its steps may have been written: resume it, and that is looked up.",
            "Один із кроків, можливо, записано: продовжте лід, і ми це перевіримо.",
        ),
        LeftAlone::MappingFails => {
            reader.say("Today’s mapping makes no lead of it.", "Сьогоднішній мапінг не робить із нього ліда.")
        }
        LeftAlone::Emptied => reader.say(
            "The body of its request is gone, so it cannot be mapped again.",
            "Тіла запиту вже немає, тож зіставити його заново не можна.",
        ),
        LeftAlone::Erased => {
            reader.say("Everything personal of it was erased.", "Усе особисте з нього стерто.")
        }
        LeftAlone::SomebodyElses => reader.say(
            "Today’s mapping says that it is somebody else’s, and it is in the CRM already.",
            "За сьогоднішнім мапінгом це лід іншої людини, а він уже в CRM.",
        ),
    }
}
