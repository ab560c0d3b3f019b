//! Texts and shapes that are nobody's phone or email.

use super::reason::{
    MASKED, NO_VALUE, PLACEHOLDER, REPEATED_DIGITS, Reason, SCIENTIFIC, SEQUENCE, TEMPLATE, TRAILING_ZEROS,
};

/// Numbers that documentation and test buttons send to everybody and whose shape does not give them away.
const PLACEHOLDERS: [&str; 3] = [
    "+12345678900", // the digits in order, until a number is long enough
    "+12345678901",
    "+16505550123", // what the test button of a Google Ads lead form sends
];

/// What platforms and people write for "nothing", without the punctuation around it.
const NO_VALUES: [&str; 38] = [
    "null",
    "undefined",
    "none",
    "nil",
    "nan",
    "n/a",
    "na",
    "no",
    "not",
    "not set",
    "not provided",
    "not specified",
    "unknown",
    "empty",
    "false",
    "true",
    "object object",
    "anonymous",
    "private",
    "unavailable",
    "restricted",
    "blank",
    "value",
    "ref",
    "-",
    "нет",
    "ні",
    "немає",
    "нету",
    "пусто",
    "не указан",
    "не указано",
    "не вказано",
    "невідомо",
    "неизвестно",
    "без номера",
    "skip",
    "пропустити",
];

/// Whether the text holds the marks of a template that nobody filled in.
pub(super) fn is_template(text: &str) -> bool {
    // Hardly any text has a bracket of these, and looking for them is far quicker than for eight marks.
    text.bytes().any(|byte| b"{}<>".contains(&byte))
        && ["{{", "}}", "<<", ">>", "${", "{%", "<%", "<test lead"].iter().any(|mark| text.contains(mark))
}

/// Whether the whole text is a word for nothing or a template that was never filled in.
///
/// `text` is cleaned and lower case.
pub(super) fn is_stand_in(text: &str) -> Option<Reason> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let word = text.trim_matches(|c: char| !c.is_alphanumeric());
    if digits == 0 && NO_VALUES.contains(&word) {
        return Some(NO_VALUE);
    }
    let wrapped = |open, close| text.len() > 2 && text.starts_with(open) && text.ends_with(close);
    let variable = wrapped('{', '}') || wrapped('<', '>') || wrapped('[', ']') || wrapped('%', '%');
    if is_template(text) || (digits < 7 && variable) {
        return Some(TEMPLATE);
    }
    // a form's mask that nobody filled in has its own reason
    (digits == 0 && word.is_empty() && !is_masked(text)).then_some(NO_VALUE)
}

/// Whether some digits of a number are hidden: `+38067***4567`, `067 xxx xx xx`, `+38 (___) ___-__-__`.
///
/// `text` is cleaned and lower case.
fn is_masked(text: &str) -> bool {
    // WhatsApp's bold: *067 123 45 67*
    let text = text.strip_prefix('*').and_then(|rest| rest.strip_suffix('*')).unwrap_or(text);
    if !text.bytes().any(|byte| byte.is_ascii_digit() || byte == b'_' || byte == b'*') {
        return false;
    }
    let mut before: Option<char> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let mut length = 1_usize;
        while rest.next_if_eq(&c).is_some() {
            length += 1;
        }
        let digit_follows = rest.peek().is_some_and(char::is_ascii_digit);
        let touches = digit_follows || before.is_some_and(|b| b.is_ascii_digit());
        let between = digit_follows && before.is_some_and(|b| b.is_ascii_digit());
        let hidden = match c {
            '*' | '•' | '●' | '█' | '■' | '∗' => touches || length > 2,
            '#' => length > 1,
            '_' => length > 1 || (touches && !between),
            '.' => length > 1 && between,
            '?' => (length > 1 && between) || before == Some('-'),
            'x' | 'х' | '×' => {
                length > 1
                    && !before.is_some_and(char::is_alphabetic)
                    && !rest.peek().copied().is_some_and(char::is_alphabetic)
            }
            _ => false,
        };
        if hidden {
            return true;
        }
        before = Some(c);
    }
    false
}

/// `3.80671E+11`: what a spreadsheet leaves of a number.
///
/// `text` is cleaned and lower case.
pub(super) fn is_scientific(text: &str) -> Option<Reason> {
    let (mantissa, exponent) = text.trim_start_matches('+').split_once(['e', 'е'])?;
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    (digits(whole) && digits(fraction) && exponent.len() < 4 && digits(exponent)).then_some(SCIENTIFIC)
}

/// Whether digits have the shape of a placeholder. Judges the whole number, never a part: `+380671234567` is fine.
///
/// Numbering plans do not help here: `+79999999999` and `+38 (050) 000-00-00` are valid.
pub(super) fn shape(digits: &str) -> Option<Reason> {
    let bytes = digits.as_bytes();
    if bytes.len() < 7 {
        return None;
    }
    let mut seen = [false; 10];
    for byte in bytes {
        if let Some(slot) = seen.get_mut(usize::from(byte.wrapping_sub(b'0'))) {
            *slot = true;
        }
    }
    if seen.iter().filter(|&&seen| seen).count() <= 2 {
        return Some(REPEATED_DIGITS);
    }
    // in the order of the keys, where 0 also stands after 9
    if "01234567890".contains(digits) || "09876543210".contains(digits) {
        return Some(SEQUENCE);
    }
    digits.ends_with("000000").then_some(TRAILING_ZEROS)
}

/// Whether an E.164 number is on the list of placeholders.
pub(super) fn is_listed(e164: &str) -> Option<Reason> {
    PLACEHOLDERS.contains(&e164).then_some(PLACEHOLDER)
}

/// Whether some digits are hidden, as a reason.
pub(super) fn masked(text: &str) -> Option<Reason> {
    is_masked(text).then_some(MASKED)
}
