//! The words of the expression language, as far as looking a placeholder over needs them. MiniJinja has the last word.

use super::Wrong;

/// A token of the expression language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Name(&'a str),
    Text(&'a str),
    Number(&'a str),
    Symbol(&'a str),
}

impl<'a> Token<'a> {
    pub(super) fn source(self) -> &'a str {
        match self {
            Self::Name(text) | Self::Text(text) | Self::Number(text) | Self::Symbol(text) => text,
        }
    }

    pub(super) fn is(self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(own) if own == symbol)
    }

    /// The inside of a text literal without escapes; `None` for others.
    pub(super) fn literal(self) -> Option<&'a str> {
        let Self::Text(text) = self else { return None };
        let inner = text.get(1..text.len().saturating_sub(1))?;
        (!inner.contains('\\')).then_some(inner)
    }
}

/// Takes a placeholder's text apart.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, Wrong> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let behind_dot = tokens.last().is_some_and(|token| token.is("."));
        let length = if first == '"' || first == '\'' {
            text_length(rest, first)
                .ok_or_else(|| Wrong::new("a quote is opened and not closed", rest, None))?
        } else if first.is_ascii_digit() {
            let fraction = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
            rest.find(|letter: char| if behind_dot { !letter.is_ascii_digit() } else { !fraction(letter) })
                .unwrap_or(rest.len())
        } else if first.is_alphabetic() || first == '_' {
            rest.find(|letter: char| !is_name(letter)).unwrap_or(rest.len())
        } else {
            let double = ["==", "!=", "<=", ">=", "**", "//"].iter().any(|pair| rest.starts_with(pair));
            if double { 2 } else { first.len_utf8() }
        };
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        tokens.push(match first {
            '"' | '\'' => Token::Text(token),
            _ if first.is_ascii_digit() => Token::Number(token),
            _ if first.is_alphabetic() || first == '_' => Token::Name(token),
            _ => Token::Symbol(token),
        });
        rest = behind.trim_start();
    }
    Ok(tokens)
}

/// Letters of names: those of any script, digits, `_`, and the marks that complete letters of many scripts.
fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || matches!(letter, '\u{300}'..='\u{36f}')
}

fn text_length(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return Some(at + letter.len_utf8()),
            _ => {}
        }
    }
    None
}
