//! What a replay of a cause would do, and doing it piece by piece: each request does a piece, the page between two of them shows
//! how far it is, and the script presses its button.

use std::time::Duration;

use axum::Form;
use axum::extract::{Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::Console;
use super::super::guard::Reader;
use super::super::page::{Failure, Section, key, page};
use super::super::reasons::{kept, whole};
use super::advice::advice;
use super::query;
use crate::access::Role;
use crate::operation::ask;
use crate::operation::replay::{Preview, PreviewReplay, Replay};
use crate::store::replay::{How, LeftAlone, Selection};

/// Leads that are looked at for the page; a replay goes on with all that there are.
const LOOKED_AT: u64 = 50;
/// How long one request goes on with the next pieces.
const PIECE: Duration = Duration::from_secs(2);

/// Which leads, as an address and a form have it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Chosen {
    at: At,
    place: String,
    #[serde(default)]
    code: String,
    how: Option<How>,
}

/// What [`Chosen::place`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum At {
    Source,
    Destination,
    /// A source, of whose requests are meant that could not be read.
    Unreadable,
}

impl Chosen {
    fn how(&self) -> How {
        match self.at {
            At::Unreadable => How::Resume,
            At::Source | At::Destination => self.how.unwrap_or(advice(&self.code).how),
        }
    }

    fn selection(&self) -> Selection {
        let place = Some(self.place.clone());
        let cause = Some(self.code.clone());
        let needs_attention = vec!["needs-attention".to_owned()];
        match self.at {
            At::Source => Selection {
                source: place,
                without_destination: true,
                cause,
                states: needs_attention,
                ..Selection::default()
            },
            At::Destination => {
                Selection { destination: place, cause, states: needs_attention, ..Selection::default() }
            }
            At::Unreadable => {
                Selection { source: place, states: vec!["unreadable".to_owned()], ..Selection::default() }
            }
        }
    }

    fn pairs(&self, how: How) -> [(&'static str, &str); 4] {
        let at = match self.at {
            At::Source => "source",
            At::Destination => "destination",
            At::Unreadable => "unreadable",
        };
        let how = match how {
            How::Resume => "resume",
            How::Replan => "replan",
            How::Force => "force",
        };
        [("at", at), ("place", &self.place), ("code", &self.code), ("how", how)]
    }

    fn fields(&self) -> Markup {
        html! { @for (name, value) in self.pairs(self.how()) { input type="hidden" name=(name) value=(value); } }
    }

    fn title(&self, reader: &Reader) -> String {
        let what = match self.at {
            At::Unreadable => reader.say("Read requests again", "Прочитати запити ще раз"),
            At::Source | At::Destination => advice(&self.code).title(reader),
        };
        format!("{what} · {}", self.place)
    }

    fn things(&self, reader: &Reader, count: i64) -> String {
        match self.at {
            At::Unreadable => reader.count(count, ["request", "requests"], ["запит", "запити", "запитів"]),
            At::Source | At::Destination => reader.count(count, ["lead", "leads"], ["лід", "ліди", "лідів"]),
        }
    }
}

pub(super) async fn look(
    State(console): State<Console>,
    reader: Reader,
    Query(chosen): Query<Chosen>,
) -> Result<Markup, Failure> {
    let how = chosen.how();
    let preview = PreviewReplay { select: chosen.selection(), how, limit: None, look_at: Some(LOOKED_AT) };
    let preview = ask(preview, &reader.caller, &console.means).await?;
    let count = i64::try_from(preview.count).unwrap_or(i64::MAX);
    // Ids begin with their moment: all that there are by now, and none that comes while somebody reads this. How many they
    // are nobody has counted.
    let (up_to, total) = if preview.more {
        (Some(console.means.clock.new_id()), 0)
    } else {
        (preview.up_to.filter(|_| count > 0), count)
    };
    let content = html! {
        @if chosen.at != At::Unreadable { (ways(&reader, &chosen, how)) }
        (what_follows(&reader, &chosen, &preview))
        @if let Some(up_to) = up_to.filter(|_| reader.may(Role::Operator)) {
            form method="post" action="/attention/replay" {
                (key(&reader))
                (chosen.fields())
                input type="hidden" name="up_to" value=(up_to);
                input type="hidden" name="total" value=(total);
                div.actions { button {
                    (reader.say("Replay", "Повторити")) " "
                    @if preview.more { (reader.say("all of them", "усі")) } @else { (chosen.things(&reader, count)) }
                } }
            }
        }
        p { a href="/attention" { (reader.say("Back", "Назад")) } }
    };
    Ok(page(&reader, Some(Section::Attention), &chosen.title(&reader), &content))
}

/// The two ways to go on, and which of them this is.
fn ways(reader: &Reader, chosen: &Chosen, how: How) -> Markup {
    let ways = [
        (How::Resume, reader.say("As they are", "Як є")),
        (How::Replan, reader.say("With today’s mapping", "Із сьогоднішнім мапінгом")),
    ];
    html! {
        nav aria-label=(reader.say("How", "Як")) {
            @for (way, name) in ways {
                a href=(format!("/attention/replay?{}", query(&chosen.pairs(way))))
                    aria-current=[(way == how).then_some("true")] { (name) }
            }
        }
    }
}

fn what_follows(reader: &Reader, chosen: &Chosen, preview: &Preview) -> Markup {
    let count = i64::try_from(preview.count).unwrap_or(i64::MAX);
    html! {
        @if preview.more {
            p.message { (reader.say(
                "There are many. This is what becomes of the oldest that were looked at:",
                "Їх багато. Ось що буде з найстарішими з них, які переглянуто:",
            )) }
        }
        @if preview.count == 0 {
            p.message { (reader.say("There is nothing to replay this way.", "У цей спосіб повторювати нічого.")) }
        } @else {
            p { (chosen.things(reader, count)) " " (reader.say("would go on.", "піде далі.")) }
            ul { @for group in preview.groups.iter().take(20) { li {
                (reader.number(i64::try_from(group.count).unwrap_or(i64::MAX))) " · " (group.place)
                @if let Some(cause) = &group.cause {
                    " · " (advice(cause).title(reader))
                    div.faint { (whole(reader, &json!({ "code": cause, "text": group.example }))) }
                } @else { div.faint { (kept(reader, &group.example)) } }
            } } }
        }
        @if !preview.left_alone.is_empty() {
            h2 { (reader.say("Left as they are", "Залишаться як є")) }
            ul { @for (why, count) in &preview.left_alone { li {
                (reader.number(i64::try_from(*count).unwrap_or(i64::MAX))) ": " (left_alone(reader, *why))
            } } }
        }
        @if !preview.samples.is_empty() {
            h2 { (reader.say("What becomes of the first ones", "Що стане з першими")) }
            ul { @for sample in &preview.samples { li {
                a href=(format!("/leads/{}", sample.lead)) { (reader.say("A lead", "Лід")) } " → " (kept(reader, &sample.after))
            } } }
        }
    }
}

fn left_alone(reader: &Reader, why: LeftAlone) -> &'static str {
    match why {
        LeftAlone::UnderWay => reader.say("on their way to the CRM now", "саме передаються до CRM"),
        LeftAlone::Done => reader.say("in the CRM already", "вже в CRM"),
        LeftAlone::NeverMapped => reader
            .say("never mapped: choose today’s mapping", "мапінг до них не дійшов: виберіть сьогоднішній"),
        LeftAlone::GoneAlong => reader.say(
            "went along with a later lead of the same person",
            "пішли разом із пізнішим лідом тієї ж людини",
        ),
        LeftAlone::Held => reader.say("held until you answer", "чекають вашої відповіді"),
        LeftAlone::InDoubt => reader.say(
            "may be in the CRM: only going on as they are finds out",
            "можливо, вже в CRM: з’ясується, лише якщо повторити як є",
        ),
        LeftAlone::MappingFails => {
            reader.say("today’s mapping fails on them", "сьогоднішній мапінг із ними не справляється")
        }
        LeftAlone::Emptied => {
            reader.say("their requests were removed with age", "їхні запити вже видалено за давністю")
        }
        LeftAlone::Erased => reader.say("erased", "дані стерто"),
        LeftAlone::SomebodyElses => reader.say(
            "somebody else’s by today’s mapping, and in the CRM",
            "за сьогоднішнім мапінгом це інша людина, а лід уже в CRM",
        ),
    }
}

/// How far a replay is.
#[derive(Debug, Deserialize)]
pub(super) struct Progress {
    #[serde(default)]
    key: String,
    at: At,
    place: String,
    #[serde(default)]
    code: String,
    how: How,
    up_to: Uuid,
    total: u64,
    /// Go on behind this.
    after: Option<Uuid>,
    /// How many went on so far.
    #[serde(default)]
    count: u64,
    /// How many were left as they are.
    #[serde(default)]
    left: u64,
    /// That the reader began it.
    #[serde(default)]
    begun: String,
}

impl Progress {
    /// What the reader began: these leads, in this way.
    fn what(&self) -> String {
        let chosen = self.chosen();
        format!("replay {} {}", query(&chosen.pairs(chosen.how())), self.up_to)
    }

    fn chosen(&self) -> Chosen {
        Chosen { at: self.at, place: self.place.clone(), code: self.code.clone(), how: Some(self.how) }
    }

    /// What the next request of it says.
    fn numbers(&self) -> Vec<(&'static str, String)> {
        let mut numbers = vec![
            ("up_to", self.up_to.to_string()),
            ("total", self.total.to_string()),
            ("count", self.count.to_string()),
            ("left", self.left.to_string()),
        ];
        numbers.extend(self.after.map(|after| ("after", after.to_string())));
        numbers
    }
}

pub(super) async fn replay(
    State(console): State<Console>,
    reader: Reader,
    Form(mut progress): Form<Progress>,
) -> Result<Redirect, Failure> {
    reader.believe(&progress.key)?;
    let chosen = progress.chosen();
    let began = Instant::now();
    loop {
        let replay = Replay {
            select: chosen.selection(),
            how: chosen.how(),
            after: progress.after,
            up_to: Some(progress.up_to),
        };
        let replayed = ask(replay, &reader.caller, &console.means).await?;
        progress.count += replayed.count;
        progress.left += replayed.left_alone.values().sum::<u64>();
        progress.after = replayed.next;
        if progress.after.is_none() {
            let (count, left) = (progress.count, progress.left);
            return Ok(Redirect::to(&format!("/attention?done=replayed&count={count}&left={left}")));
        }
        if began.elapsed() >= PIECE {
            break;
        }
    }
    let (numbers, proof) = (progress.numbers(), reader.proof(&progress.what()));
    let mut pairs = chosen.pairs(chosen.how()).to_vec();
    pairs.push(("begun", &proof));
    pairs.extend(numbers.iter().map(|(name, value)| (*name, value.as_str())));
    Ok(Redirect::to(&format!("/attention/replay/progress?{}", query(&pairs))))
}

pub(super) async fn progress(reader: Reader, Query(progress): Query<Progress>) -> Result<Markup, Redirect> {
    let chosen = progress.chosen();
    if !reader.began(&progress.what(), &progress.begun) {
        // Whoever was led here sees what would happen, and decides.
        let pairs = query(&chosen.pairs(chosen.how()));
        return Err(Redirect::to(&format!("/attention/replay?{pairs}")));
    }
    let [done, total] = [progress.count.saturating_add(progress.left), progress.total]
        .map(|number| i64::try_from(number).unwrap_or(i64::MAX));
    let content = html! {
        p role="status" {
            @if total > 0 {
                (reader.number(done)) " " (reader.say("of", "з")) " " (chosen.things(&reader, total))
            } @else {
                (chosen.things(&reader, done)) " " (reader.say("done so far.", "уже опрацьовано."))
            }
        }
        // Without a value it says that it goes on, and not how far it is.
        progress max=(total.max(1)) value=[(total > 0).then_some(done)] aria-label=(reader.say("Progress", "Перебіг")) {}
        form method="post" action="/attention/replay" data-go-on {
            (key(&reader))
            (chosen.fields())
            @for (name, value) in progress.numbers() { input type="hidden" name=(name) value=(value); }
            div.actions {
                button { (reader.say("Go on", "Далі")) }
                a href="/attention" { (reader.say("Stop here", "Зупинитися")) }
            }
        }
        p.hint { (reader.say(
            "Whatever was replayed goes on by itself, also when you close this page.",
            "Що вже повторено, піде далі саме, навіть якщо закрити цю сторінку.",
        )) }
    };
    Ok(page(&reader, Some(Section::Attention), &chosen.title(&reader), &content))
}
