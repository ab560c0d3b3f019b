//! Bars as SVG, drawn on the server, with a table of the same numbers.
//!
//! A library would draw these few rectangles with its own fonts and colours in line, which the content security policy
//! forbids; here they take their colours from the style, so that they follow light and dark.

use jiff::SignedDuration;
use maud::{Markup, html};

use crate::console::guard::Reader;

/// Of the drawing, in its own units.
const WIDTH: i64 = 960;
const HEIGHT: i64 = 220;
/// Room for numbers at the left, for names below, and above the highest bar.
const LEFT: i64 = 46;
const BELOW: i64 = 24;
const ABOVE: i64 = 8;
/// Names below that fit side by side.
const NAMES: usize = 12;

/// What is drawn.
pub(super) struct Series {
    pub(super) unit: Unit,
    /// In the order in which they are piled up.
    pub(super) parts: Vec<Part>,
    pub(super) bars: Vec<Bar>,
}

/// What a bar measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// How many; a part is one kind of them.
    Count,
    /// Milliseconds; a part reaches from the one below it up to a time of its own.
    Time,
}

/// A part of every bar.
pub(super) struct Part {
    /// One of the six of the style.
    colour: usize,
    name: String,
}

impl Part {
    pub(super) fn new(colour: usize, name: impl Into<String>) -> Self {
        Self { colour, name: name.into() }
    }
}

/// One bar.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) parts: Vec<i64>,
}

impl Bar {
    fn whole(&self) -> i64 {
        self.parts.iter().sum()
    }

    /// The numbers of its parts, as they are told.
    fn told(&self, unit: Unit) -> Vec<i64> {
        let mut below = 0;
        let up_to = self.parts.iter().map(|part| {
            below += part;
            below
        });
        match unit {
            Unit::Count => self.parts.clone(),
            Unit::Time => up_to.collect(),
        }
    }
}

/// A chart with its legend and its table.
pub(super) fn chart(reader: &Reader, title: &str, series: &Series) -> Markup {
    let unit = series.unit;
    let top = unit.nice(series.bars.iter().map(Bar::whole).max().unwrap_or(0));
    let plot = HEIGHT - BELOW - ABOVE;
    let count = i64::try_from(series.bars.len()).unwrap_or(i64::MAX).max(1);
    let pitch = ((WIDTH - LEFT) / count).max(2);
    let width = (pitch * 4 / 5).max(1);
    let every = series.bars.len().div_ceil(NAMES).max(1);
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                @for line in 0..=2_i64 {
                    @let y = ABOVE + plot - plot * line / 2;
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(y) y2=(y) {}
                    text.scale x=(LEFT - 6) y=(y + 4) { (unit.told(reader, top * line / 2)) }
                }
                @for (place, bar) in (0_i64..).zip(&series.bars) {
                    @let x = LEFT + place * pitch + (pitch - width) / 2;
                    g {
                        title { (bar.name) ": " (unit.told(reader, bar.whole())) }
                        @for part in pile(&bar.parts, top, plot) {
                            @let colour = series.parts.get(part.index).map_or(0, |part| part.colour);
                            rect class={ "part-" (colour) } x=(x) y=(ABOVE + part.y) width=(width) height=(part.height) {}
                        }
                    }
                    @if usize::try_from(place).is_ok_and(|place| place % every == 0) {
                        // A phone has room for every third.
                        text.name.spare[usize::try_from(place).is_ok_and(|place| !(place / every).is_multiple_of(3))] x=(x + width / 2) y=(HEIGHT - 6) { (bar.name) }
                    }
                }
            }
            figcaption {
                ul.legend {
                    @for part in &series.parts { li { span class={ "swatch part-" (part.colour) } {} (part.name) } }
                }
            }
            details {
                summary { (reader.say("The same in numbers", "Те саме в числах")) }
                div.scroll tabindex="0" role="region" aria-label=(title) {
                    table {
                        thead { tr {
                            th scope="col" { (reader.say("When", "Коли")) }
                            @for part in &series.parts { th.number scope="col" { (part.name) } }
                            @if unit == Unit::Count { th.number scope="col" { (reader.say("All", "Усі")) } }
                        } }
                        tbody {
                            @for bar in &series.bars {
                                tr {
                                    th scope="row" { (bar.name) }
                                    @for number in bar.told(unit) { td.number { (unit.told(reader, number)) } }
                                    @if unit == Unit::Count { td.number { (reader.number(bar.whole())) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A part of a bar: where it begins from above, and how high it is.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    index: usize,
    y: i64,
    height: i64,
}

/// The parts one upon another. What is there is seen, however little it is.
fn pile(parts: &[i64], top: i64, plot: i64) -> Vec<Piece> {
    let mut floor = plot;
    let mut pieces = Vec::new();
    for (index, part) in parts.iter().enumerate().filter(|(_, part)| **part > 0) {
        let height = (part.saturating_mul(plot) / top.max(1)).clamp(1, floor.max(1));
        floor = (floor - height).max(0);
        pieces.push(Piece { index, y: floor, height });
    }
    pieces
}

/// Where scales of time end, in milliseconds: half of each is a round time as well.
const TIMES: [i64; 18] = [
    100,
    200,
    400,
    1_000,
    2_000,
    4_000,
    10_000,
    20_000,
    40_000,
    120_000,
    240_000,
    600_000,
    1_200_000,
    3_600_000,
    14_400_000,
    28_800_000,
    86_400_000,
    345_600_000,
];

impl Unit {
    /// Where a scale ends that has room for this.
    fn nice(self, most: i64) -> i64 {
        let time = TIMES.into_iter().find(|time| most <= *time).filter(|_| self == Self::Time);
        time.unwrap_or_else(|| nice(most))
    }

    fn told(self, reader: &Reader, number: i64) -> String {
        match self {
            Self::Count => reader.number(number),
            Self::Time => reader.span(SignedDuration::from_millis(number)),
        }
    }
}

/// The next even number that is 2, 4 or 10 times a power of ten.
fn nice(most: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        for step in [2, 4, 10] {
            if most <= step * power {
                return step * power;
            }
        }
        let Some(next) = power.checked_mul(10).filter(|next| *next < i64::MAX / 10) else { return most };
        power = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_number() {
        for (most, expect) in [(0, 2), (2, 2), (3, 4), (5, 10), (10, 10), (11, 20), (21, 40), (999, 1_000)] {
            assert_eq!(nice(most), expect, "{most}");
        }
        assert_eq!(nice(i64::MAX), i64::MAX);
    }

    #[test]
    fn parts_stand_one_upon_another_and_none_is_lost() {
        let piece = |index, y, height| Piece { index, y, height };
        assert_eq!(pile(&[5, 0, 5], 10, 100), [piece(0, 50, 50), piece(2, 0, 50)]);
        assert_eq!(pile(&[1, 999_999], 1_000_000, 100)[0], piece(0, 99, 1));
        assert_eq!(pile(&[0, 0], 2, 100), []);
        for piece in pile(&[1; 50], 50, 20) {
            assert!(piece.y >= 0 && piece.height >= 1);
        }
    }
}
