//! Operators made to follow our rules, on tokens.
//!
//! | written | compiled | because |
//! |---|---|---|
//! | `a < b`, `a in b` | `(a) is below_(b)`, `(a) is within_(b)` | nothing is below or within something absent |
//! | `a * b` | `a\|number_ * b\|number_` | a text times a large number fills the memory |
//! | `a ~ b` | `(a)\|text_ ~ (b)\|text_` | `true` is not `True`, and half a link is no link |
//! | `contact.name` | `p0_` | the value is looked up in the event, not copied with all the rest |
//! | `none` | a name that nothing has | null and missing are one thing |

use super::names::{PathPlace, is_test};
use super::token::Token;
use super::{ABSENT, MOST_JOINS, Wrong, name_of};
use crate::map::filters::{COMPARISONS, NUMBER, TEXT};

/// What a token is to the rewriting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Open,
    Close,
    /// `and`, `or`, `not`, `if`, `else`, a comma …: no operand reaches across.
    Boundary,
    Equality,
    Order(&'static str),
    In {
        negated: bool,
    },
    Concat,
    Plus,
    Times,
    /// Other operators that bind as tight as `*` or tighter.
    Product,
    Absent,
    Operand,
}

impl Role {
    fn compares(self) -> bool {
        matches!(self, Self::Equality | Self::Order(_) | Self::In { .. })
    }

    fn ends_comparison(self) -> bool {
        self.compares() || self == Self::Boundary
    }

    fn ends_piece(self) -> bool {
        self.ends_comparison() || matches!(self, Self::Concat | Self::Plus)
    }

    fn ends_factor(self) -> bool {
        self.ends_piece() || matches!(self, Self::Times | Self::Product)
    }
}

/// What is put around and instead of one token.
#[derive(Clone, Default)]
struct Dress {
    open: usize,
    instead: Option<String>,
    number: bool,
    close_text: usize,
    close: usize,
}

/// One level of brackets while the tokens are walked: where the operands that are open began.
struct Level {
    comparison: usize,
    piece: usize,
    compared: bool,
}

impl Level {
    fn new(start: usize) -> Self {
        Self { comparison: start, piece: start, compared: false }
    }
}

/// Rewrites an expression so that the engine follows our rules, with names of ours in place of its paths.
pub(super) fn rewrite(tokens: &[Token<'_>], paths: &[PathPlace]) -> Result<String, Wrong> {
    let mut rewriting = Rewriting { tokens, dresses: vec![Dress::default(); tokens.len()] };
    for PathPlace { first, length, path } in paths {
        for at in *first..first + length {
            let instead = if at == *first { name_of(*path) } else { String::new() };
            rewriting.dress(at, |dress| dress.instead = Some(instead));
        }
    }
    let mut levels = vec![Level::new(0)];
    let mut joins = 0;
    for (at, token) in tokens.iter().enumerate() {
        let role = rewriting.role(at);
        if role == Role::Close && levels.len() > 1 {
            levels.pop();
            continue;
        }
        let Some(level) = levels.last_mut() else { break };
        if role.compares() {
            if level.compared {
                let help = "write `1 < x and x < 5` instead of `1 < x < 5`";
                return Err(Wrong::new("comparisons do not chain", token.source(), Some(help)));
            }
            level.compared = true;
            level.piece = at + 1;
        }
        match role {
            Role::Open => levels.push(Level::new(at + 1)),
            Role::Boundary => *level = Level::new(at + 1),
            Role::Order(test) => rewriting.compare(level.comparison, at, at, &format!("is {test}")),
            Role::In { negated: false } => rewriting.compare(level.comparison, at, at, "is within_"),
            Role::In { negated: true } => rewriting.compare(level.comparison, at - 1, at, "is not within_"),
            Role::Concat => {
                rewriting.concat(level.piece, at);
                level.piece = at + 1;
                joins += 1;
            }
            Role::Plus => {
                level.piece = at + 1;
                joins += 1;
            }
            Role::Times => rewriting.times(at)?,
            Role::Absent => rewriting.dress(at, |dress| dress.instead = Some(ABSENT.to_owned())),
            Role::Close | Role::Equality | Role::Product | Role::Operand => {}
        }
    }
    if joins > MOST_JOINS {
        let message = format!("a placeholder may join at most {MOST_JOINS} pieces with `+`, `-` and `~`");
        let help = "write the pieces side by side: \"{{ a }} {{ b }}\"";
        return Err(Wrong::new(message, "", Some(help)));
    }
    Ok(rewriting.put_together())
}

struct Rewriting<'t, 's> {
    tokens: &'t [Token<'s>],
    dresses: Vec<Dress>,
}

impl<'s> Rewriting<'_, 's> {
    fn get(&self, at: Option<usize>) -> Option<Token<'s>> {
        at.and_then(|at| self.tokens.get(at)).copied()
    }

    fn dress(&mut self, at: usize, change: impl FnOnce(&mut Dress)) {
        if let Some(dress) = self.dresses.get_mut(at) {
            change(dress);
        }
    }

    fn role(&self, at: usize) -> Role {
        let (before, twice_before) = (self.get(at.checked_sub(1)), self.get(at.checked_sub(2)));
        let behind = self.get(at.checked_add(1));
        let part_of_a_name = before.is_some_and(|before| before.is(".") || before.is("|"));
        match self.get(Some(at)) {
            Some(Token::Symbol(symbol)) => match symbol {
                "(" | "[" | "{" => Role::Open,
                ")" | "]" | "}" => Role::Close,
                "," | ":" | "=" => Role::Boundary,
                "==" | "!=" => Role::Equality,
                "*" => Role::Times,
                "/" | "//" | "%" | "**" => Role::Product,
                "~" => Role::Concat,
                "+" => Role::Plus,
                "-" if self.ends_a_value(at.checked_sub(1)) => Role::Plus,
                _ => {
                    let comparison = COMPARISONS.iter().find(|(sign, _)| *sign == symbol);
                    comparison.map_or(Role::Operand, |(_, test)| Role::Order(test))
                }
            },
            Some(Token::Name(_)) if part_of_a_name || is_test(before, twice_before) => Role::Operand,
            Some(Token::Name("not")) if behind == Some(Token::Name("in")) => Role::Operand,
            Some(Token::Name("in")) => Role::In { negated: before == Some(Token::Name("not")) },
            Some(Token::Name("and" | "or" | "not" | "if" | "else")) => Role::Boundary,
            Some(Token::Name("none" | "None")) if behind.is_none_or(|behind| !behind.is("=")) => Role::Absent,
            Some(Token::Name(_) | Token::Text(_) | Token::Number(_)) | None => Role::Operand,
        }
    }

    /// Whether a `-` behind this token subtracts rather than negates.
    fn ends_a_value(&self, at: Option<usize>) -> bool {
        let behind_dot = at
            .and_then(|at| at.checked_sub(1))
            .and_then(|at| self.get(Some(at)))
            .is_some_and(|token| token.is("."));
        match self.get(at) {
            Some(Token::Name("and" | "or" | "not" | "in" | "if" | "else" | "is")) => behind_dot,
            Some(Token::Name(_) | Token::Text(_) | Token::Number(_)) => true,
            Some(Token::Symbol(symbol)) => matches!(symbol, ")" | "]" | "}"),
            None => false,
        }
    }

    /// The last token of the operand that begins at `from`.
    fn end_of(&self, from: usize, ends: impl Fn(Role) -> bool) -> usize {
        let mut depth = 0_usize;
        for at in from..self.tokens.len() {
            let role = self.role(at);
            if role == Role::Open {
                depth += 1;
            } else if role == Role::Close {
                let Some(outer) = depth.checked_sub(1) else { return at.saturating_sub(1) };
                depth = outer;
            } else if depth == 0 && ends(role) {
                // `not in` is two tokens, and the operand ends before both.
                let length = if role == (Role::In { negated: true }) { 2 } else { 1 };
                return at.saturating_sub(length);
            }
        }
        self.tokens.len().saturating_sub(1)
    }

    /// `left OP right` becomes `(left) is test(right)`. The operator stands from `first` to `last`.
    fn compare(&mut self, start: usize, first: usize, last: usize, test: &str) {
        let end = self.end_of(last + 1, Role::ends_comparison);
        if start >= first || end <= last {
            return; // An operand is missing: the engine says so.
        }
        self.dress(first, |dress| dress.instead = Some(String::new()));
        self.dress(last, |dress| dress.instead = Some(format!(") {test}(")));
        self.dress(start, |dress| dress.open += 1);
        self.dress(end, |dress| dress.close += 1);
    }

    fn concat(&mut self, start: usize, at: usize) {
        let end = self.end_of(at + 1, Role::ends_piece);
        if start >= at || end <= at {
            return;
        }
        for (first, last) in [(start, at - 1), (at + 1, end)] {
            self.dress(first, |dress| dress.open += 1);
            self.dress(last, |dress| dress.close_text += 1);
        }
    }

    fn times(&mut self, at: usize) -> Result<(), Wrong> {
        let end = self.end_of(at + 1, Role::ends_factor);
        let Some(before) = at.checked_sub(1).filter(|before| end > at && self.ends_a_value(Some(*before)))
        else {
            return Err(Wrong::new("`*` needs a number on both sides", "*", None));
        };
        self.dress(before, |dress| dress.number = true);
        self.dress(end, |dress| dress.number = true);
        Ok(())
    }

    fn put_together(&self) -> String {
        let mut out = String::new();
        for (token, dress) in self.tokens.iter().zip(&self.dresses) {
            out.extend(std::iter::repeat_n('(', dress.open));
            out.push_str(dress.instead.as_deref().unwrap_or(token.source()));
            if dress.number {
                out.push('|');
                out.push_str(NUMBER);
            }
            for _ in 0..dress.close_text {
                out.push_str(")|");
                out.push_str(TEXT);
            }
            out.extend(std::iter::repeat_n(')', dress.close));
            out.push(' ');
        }
        out
    }
}
