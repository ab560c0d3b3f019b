//! Sentences that are kept in English, told in Ukrainian with everything that they name.
//!
//! What the core says of files, requests and leads is one English sentence, as logs, the command line and stored reasons have
//! it. Here such sentences are known by their shape, in a table for each area. A sentence of no known shape stays as it is.
//!
//! In an English shape `{}` is whatever stands there. In the Ukrainian sentence `{1}` is where it goes, `{1!}` goes there only
//! told (else the shape does not fit), and `{1~}` is what others said: told where we know it, and else marked as English.

mod destinations;
mod edits;
mod leads;
mod people;
mod pushing;
mod refusals;
mod requests;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod values;
mod words;
mod workspace;
mod yaml;

use jiff::Timestamp;
use maud::{Markup, html};

use super::{flaws, marked};
use crate::console::guard::Reader;

/// English shape and Ukrainian sentence.
pub(super) type Shape = (&'static str, &'static str);

/// The sentences of an area, and what stands in them in words of ours.
struct Table {
    shapes: &'static [Shape],
    parts: &'static [Shape],
    /// Whether moments and lists of words stand in them, as in reasons; in files everything is as its author wrote it.
    is_of_leads: bool,
}

const fn of_leads(shapes: &'static [Shape]) -> Table {
    Table { shapes, parts: words::WORDS, is_of_leads: true }
}

const fn of_files(shapes: &'static [Shape]) -> Table {
    Table { shapes, parts: words::PARTS, is_of_leads: false }
}

/// Of two shapes that fit, the first is meant.
const TABLES: &[Table] = &[
    of_leads(leads::SHAPES),
    of_leads(flaws::SHAPES),
    of_leads(people::SHAPES),
    of_leads(refusals::SHAPES),
    of_leads(pushing::SHAPES),
    of_leads(requests::SHAPES),
    of_files(edits::SHAPES),
    of_files(sources::SHAPES),
    of_files(workspace::SHAPES),
    Table { shapes: workspace::NAMES, parts: words::KINDS, is_of_leads: false },
    of_files(settings::SHAPES),
    of_files(destinations::SHAPES),
    of_files(yaml::SHAPES),
    of_files(values::SHAPES),
];

/// Nothing that we say is longer; a longer text is somebody else's, and is not searched for our sentences.
const LONGEST: usize = 8 * 1024;
/// How deep a sentence of ours may stand in another.
const DEEPEST: usize = 4;

/// A sentence in Ukrainian, by its pieces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
struct Piece {
    text: String,
    /// Whether others said it, in English for all we know.
    is_foreign: bool,
}

impl Told {
    fn push(&mut self, text: &str) {
        self.0.push(Piece { text: text.to_owned(), is_foreign: false });
    }

    /// As a text, without marks.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|piece| piece.text.as_str()).collect()
    }

    /// As a page has it: what others said is marked.
    pub(super) fn markup(&self, reader: &Reader) -> Markup {
        html! {
            @for piece in &self.0 {
                @if piece.is_foreign { (marked(reader, &piece.text)) } @else { (piece.text) }
            }
        }
    }
}

/// A sentence of a known shape, in Ukrainian.
pub(super) fn ukrainian(reader: &Reader, text: &str) -> Option<Told> {
    if text.len() > LONGEST { None } else { tell(reader, text, DEEPEST) }
}

fn tell(reader: &Reader, text: &str, depth: usize) -> Option<Told> {
    let below = depth.checked_sub(1)?;
    TABLES.iter().find_map(|table| {
        table
            .shapes
            .iter()
            .find_map(|(shape, sentence)| put_together(reader, table, sentence, &holes(shape, text)?, below))
    })
}

/// What stands in one hole of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole<'t> {
    text: &'t str,
    /// Whether it stands in quotes or backquotes: then it is somebody's own, whatever word of ours it looks like.
    is_quoted: bool,
}

/// What stands in the holes of a shape; `None` where the text has another.
///
/// What follows a hole may also stand in it. Of several places the last is taken for a hole in quotes, which may hold anything
/// that somebody wrote, and the first for others, which hold little. Either way the rest has to fit.
fn holes<'t>(shape: &str, text: &'t str) -> Option<Vec<Hole<'t>>> {
    let parts: Vec<&str> = shape.split("{}").collect();
    let (first, mut parts) = parts.split_first()?;
    let (mut before, mut rest) = (*first, text.strip_prefix(first)?);
    if !fits(parts, rest) {
        return None;
    }
    let mut holes = Vec::with_capacity(parts.len());
    while let Some((part, behind)) = parts.split_first() {
        let is_quoted =
            ['`', '\''].into_iter().any(|quote| before.ends_with(quote) && part.starts_with(quote));
        let (hole, after) = if behind.is_empty() {
            (rest.strip_suffix(part)?, "")
        } else {
            let good = |(at, _): (usize, &str)| {
                let (hole, after) = rest.split_at_checked(at)?;
                let after = after.strip_prefix(part)?;
                fits(behind, after).then_some((hole, after))
            };
            if is_quoted {
                rest.rmatch_indices(part).find_map(good)?
            } else {
                rest.match_indices(part).find_map(good)?
            }
        };
        holes.push(Hole { text: hole, is_quoted });
        (before, rest, parts) = (part, after, behind);
    }
    Some(holes)
}

/// Whether these parts stand in a text in their order, the last at its end.
fn fits(parts: &[&str], mut rest: &str) -> bool {
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// How what stands in a hole goes into the Ukrainian sentence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    AsItIs,
    Told,
    SaidByOthers,
}

fn put_together(
    reader: &Reader,
    table: &Table,
    sentence: &str,
    holes: &[Hole<'_>],
    depth: usize,
) -> Option<Told> {
    let mut told = Told::default();
    let mut rest = sentence;
    while let Some((before, behind)) = rest.split_once('{') {
        told.push(before);
        let Some((number, how, after)) = place(behind) else {
            told.push("{");
            rest = behind;
            continue;
        };
        let hole = holes.get(number.checked_sub(1)?)?;
        match how {
            How::AsItIs => told.push(&part(reader, table, *hole)?),
            How::Told => told.0.extend(tell(reader, hole.text, depth)?.0),
            How::SaidByOthers => match tell(reader, hole.text, depth) {
                Some(inner) => told.0.extend(inner.0),
                None => told.0.push(Piece { text: hole.text.to_owned(), is_foreign: true }),
            },
        }
        rest = after;
    }
    told.push(rest);
    Some(told)
}

/// The number of a hole behind a brace, and what follows; `None` where the brace is one of the sentence's own.
fn place(behind: &str) -> Option<(usize, How, &str)> {
    let (inside, after) = behind.split_once('}')?;
    let (number, how) = match (inside.strip_suffix('!'), inside.strip_suffix('~')) {
        (Some(number), _) => (number, How::Told),
        (None, Some(number)) => (number, How::SaidByOthers),
        (None, None) => (inside, How::AsItIs),
    };
    Some((number.parse().ok()?, how, after))
}

/// What stands in a hole, in Ukrainian where it is in words of ours; `None` where more than one thing stands there.
fn part(reader: &Reader, table: &Table, hole: Hole<'_>) -> Option<String> {
    let what = hole.text;
    if hole.is_quoted {
        return Some(what.to_owned());
    }
    if let Some(word) = word(table, what) {
        return Some(word);
    }
    if !table.is_of_leads {
        return Some(what.to_owned());
    }
    if goes_on(what) {
        return None;
    }
    if let Ok(at) = what.parse::<Timestamp>() {
        return Some(reader.moment(at));
    }
    for (between, told) in [(", ", ", "), (" or ", " або ")] {
        let words: Option<Vec<String>> = what.split(between).map(|what| word(table, what)).collect();
        if let Some(words) = words {
            return Some(words.join(told));
        }
    }
    let told = |text: String, (english, word): &Shape| text.replace(english, word);
    Some(words::ABSENCES.iter().fold(what.to_owned(), told))
}

/// Whether another sentence of the same reason seems to have begun: told with the first, it would stay English unnoticed.
fn goes_on(what: &str) -> bool {
    what.split(". ").skip(1).any(|behind| behind.starts_with(|letter: char| letter.is_ascii_uppercase()))
}

fn word(table: &Table, what: &str) -> Option<String> {
    table.parts.iter().find_map(|(shape, word)| {
        let holes = holes(shape, what)?;
        let named = |text: String, hole: &Hole<'_>| text.replace("{1}", hole.text);
        Some(holes.iter().take(1).fold((*word).to_owned(), named))
    })
}
