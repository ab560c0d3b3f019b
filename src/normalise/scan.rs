//! Finds the numbers in a text, and their extensions, without knowing any numbering plan.

use std::borrow::Cow;

/// A stretch of text that may be one phone number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The digits, in order.
    pub(super) digits: String,
    /// Whether the text says that they begin with a calling code: a plus, or a messenger's account id.
    pub(super) international: bool,
    /// Digits of the extension.
    pub(super) extension: Option<String>,
    /// The stretch as written, for taking apart what turns out to be two numbers.
    pub(super) written: String,
    /// Letters touch the digits in a way that labels and names do not.
    pub(super) glued: bool,
    /// `123-45-67/68`: the last digits of a second number follow.
    pub(super) alternative: bool,
}

/// What a text holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Stretches with at least one digit, in order.
    Candidates(Vec<Candidate>),
    /// An email, a group chat, a link to somewhere else …
    OtherThing,
}

/// Words that people and platforms write right before a number, without a space.
const LABELS: &str = "\
    tel телефон тел phone telephone mobile mob моб номер number num no n viber вайбер whatsapp wa \
    telegram сот т ph cell";

/// Words and signs between a number and its extension, longest first where one begins another.
const EXTENSION_MARKS: &str = "\
    внутрішній внутренний внутр внут вн добавочный добав доб додатковий дод доп extension extn ext ex \
    x х wewnętrzny wewn wew interno int ramal durchwahl dw anexo poste dahili mellék linka anknytning \
    toestel # local";

/// Prefixes that say "what follows is a phone".
const SCHEMES: [&str; 9] = ["tel:", "p:", "callto:", "sms:", "smsto:", "phone:", "viber:", "facetime:", "'"];

/// Finds the candidates in a cleaned, lower-case text.
pub(super) fn scan(text: &str) -> Found {
    let plain = if text.contains('%') { Cow::Owned(text.replace("%2b", "+")) } else { Cow::Borrowed(text) };
    let mut text = plain.trim();
    while let Some(rest) = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) {
        text = rest.trim_start();
    }
    if let Some(rest) = text.strip_prefix("whatsapp:") {
        return account(rest.trim());
    }
    if is_scoped_user(text) {
        return Found::OtherThing;
    }
    if let Some((user, host)) = text.split_once('@') {
        let account_id = user.split_once(':').map_or(user, |(user, _device)| user);
        return match host.trim() {
            "s.whatsapp.net" | "c.us" => account(account_id),
            _ => beside_addresses(text),
        };
    }
    // Hardly any text has these signs, and looking for one letter is far quicker than for a word.
    if text.contains('/')
        && let Some(found) = link(text)
    {
        return found;
    }
    if text.contains(';')
        && let Some((number, context)) = text.split_once(";phone-context=")
    {
        return match context.strip_prefix('+') {
            Some(code) if !number.contains('+') => {
                account(&format!("{}{number}", code.split(';').next().unwrap_or(code)))
            }
            _ => words(number),
        };
    }
    words(text)
}

/// A text with a link: to the chat of a number, or to somewhere else.
fn link(text: &str) -> Option<Found> {
    for link in ["wa.me/", "whatsapp.com/send?phone=", "whatsapp.com/send/?phone=", "whatsapp://send?phone="]
    {
        if let Some((_, rest)) = text.split_once(link) {
            return Some(account(rest.split(['?', '&', '/', ' ']).next().unwrap_or(rest)));
        }
    }
    let (_, rest) = text.split_once("://")?;
    Some(match rest.split_once('+') {
        Some((_, number)) => account(number.split(['?', '&', '/']).next().unwrap_or(number)),
        None => Found::OtherThing,
    })
}

/// WhatsApp's id of somebody who shows no number: `ua.13491208655302741918`, `us.ent.11815…`. Its digits are no phone.
fn is_scoped_user(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else { return false };
    let digits = rest.strip_prefix("ent.").unwrap_or(rest);
    let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code && digits.len() >= 13 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A text that holds an email or a handle, and perhaps a number beside it.
fn beside_addresses(text: &str) -> Found {
    let is_address = |word: &&str| word.contains('@');
    if text
        .split_whitespace()
        .filter(is_address)
        .any(|word| word.starts_with(|c: char| c.is_ascii_digit() || c == '+'))
    {
        return Found::OtherThing;
    }
    let rest: Vec<&str> = text.split_whitespace().filter(|word| !is_address(word)).collect();
    if rest.is_empty() { Found::OtherThing } else { words(&rest.join(" ")) }
}

/// A whole text that is an account id: digits that begin with a calling code.
fn account(id: &str) -> Found {
    match words(id) {
        Found::Candidates(mut candidates) => {
            if let [only] = candidates.as_mut_slice() {
                only.international = true;
            }
            Found::Candidates(candidates)
        }
        Found::OtherThing => Found::OtherThing,
    }
}

fn words(text: &str) -> Found {
    let text = spreadsheet_integer(text);
    let mut chars: Vec<char> = Vec::with_capacity(text.len());
    chars.extend(text.chars());
    let mut found: Vec<Candidate> = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if !(c.is_ascii_digit() || c == '+') {
            at += 1;
            continue;
        }
        let start = at;
        let end = run_end(&chars, start);
        let mut candidate = Candidate::read(chars.get(start..end).unwrap_or_default());
        candidate.glued = glued(&chars, start, end);
        at = end;
        if let Some((extension, after)) = extension(&chars, end) {
            candidate.extension = Some(extension);
            candidate.glued = glued(&chars, start, start);
            at = after;
        }
        // 06 6982 l234: what looks like a whole number goes on after a letter that stands for a digit
        if let Some(before) = found.last_mut()
            && look_alike(&chars, start)
        {
            before.glued = true;
        }
        if !candidate.digits.is_empty() && !is_date(&candidate.written) {
            found.push(candidate);
        }
    }
    Found::Candidates(found)
}

impl Candidate {
    /// Reads a run of digits and separators.
    pub(super) fn read(run: &[char]) -> Self {
        let written: String = run.iter().collect();
        let digits: String = written.chars().filter(char::is_ascii_digit).collect();
        let alternative = written.rsplit_once('/').is_some_and(|(main, last)| {
            let count = |part: &str| part.bytes().filter(u8::is_ascii_digit).count();
            (1..=3).contains(&count(last)) && count(main) >= 6
        });
        Self { digits, international: written.starts_with('+'), written, alternative, ..Self::default() }
    }
}

/// A number that a spreadsheet exported with a fraction: `380671234567.0`.
fn spreadsheet_integer(text: &str) -> &str {
    let whole = [".0", ",0", ".00", ",00"].iter().find_map(|fraction| text.strip_suffix(fraction));
    whole
        .filter(|whole| {
            let digits = whole.strip_prefix('+').unwrap_or(whole);
            digits.len() >= 7 && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
        .unwrap_or(text)
}

/// The end of the run that begins at `start`: just after its last digit.
fn run_end(chars: &[char], start: usize) -> usize {
    let mut end = start + 1;
    let mut digit_seen = chars.get(start).is_some_and(char::is_ascii_digit);
    for (at, &c) in chars.iter().enumerate().skip(start + 1) {
        match c {
            c if c.is_ascii_digit() => {
                digit_seen = true;
                end = at + 1;
            }
            '+' if digit_seen => break,
            ' ' | '-' | '.' | '(' | ')' | '[' | ']' | '/' | '_' | '~' | '+' => {}
            _ => break,
        }
    }
    end
}

/// Whether letters touch the run so closely that one of them may be meant as a digit. Labels before it and whole
/// words after it are fine: `тел0671234567`, `0671234567Olena`.
fn glued(chars: &[char], start: usize, end: usize) -> bool {
    let before: Vec<char> = chars
        .get(..start)
        .unwrap_or_default()
        .iter()
        .rev()
        .take_while(|c| c.is_alphabetic())
        .copied()
        .collect();
    let label: String = before.iter().rev().collect();
    if !label.is_empty() && !LABELS.split(' ').any(|listed| listed == label) {
        return true;
    }
    if end == start {
        return false;
    }
    let mut rest = chars.get(end..).unwrap_or_default();
    let hyphen = rest.first() == Some(&'-');
    if hyphen {
        rest = rest.get(1..).unwrap_or_default();
    }
    let after = rest.iter().take_while(|c| c.is_alphabetic()).count();
    // 1-800-FLOWERS continues the number; 0671234567-Олена does not
    let vanity = hyphen && rest.first().is_some_and(char::is_ascii_alphabetic);
    after > 0 && (after < 3 && !hyphen || vanity || rest.get(after).is_some_and(char::is_ascii_digit))
}

/// Whether the run at `start` is glued to letters that look like digits, and to nothing else.
fn look_alike(chars: &[char], start: usize) -> bool {
    let mut letters =
        chars.get(..start).unwrap_or_default().iter().rev().take_while(|c| c.is_alphanumeric()).peekable();
    letters.peek().is_some() && letters.all(|c| matches!(c, 'o' | 'о' | 'l' | 'i' | 'і'))
}

/// An extension that follows at `from`, and where it ends.
fn extension(chars: &[char], from: usize) -> Option<(String, usize)> {
    let skip = |mut at: usize, set: &[char]| {
        while chars.get(at).is_some_and(|c| set.contains(c)) {
            at += 1;
        }
        at
    };
    let starts = |at: usize, word: &str| word.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let at = skip(from, &[' ', ',', ';', '.', '(', ')', '-', '/']);
    // Mostly nothing follows.
    chars.get(at)?;
    let marked =
        EXTENSION_MARKS.split(' ').find(|mark| starts(at, mark)).map(|mark| at + mark.chars().count());
    // a pause that the phone dials: 0441234567,12
    let paused = || {
        let after = skip(from, &[',', ';']);
        (after > from).then_some(after).filter(|&after| chars.get(after).is_some_and(char::is_ascii_digit))
    };
    let digits_at = match marked {
        Some(after) => skip(after, &['.', ':', '=', ' ', '№', '#', '-', '(']),
        None => paused()?,
    };
    let digits: String = chars.iter().skip(digits_at).take_while(|c| c.is_ascii_digit()).collect();
    let end = digits_at + digits.len();
    let closes =
        !chars.get(end).is_some_and(|c| c.is_alphabetic() || (marked.is_none() && !c.is_whitespace()));
    (closes && (1..=6).contains(&digits.len())).then_some((digits, end))
}

/// `21.11.2026` or `2026-11-21`: a date in a free text, not the eight digits of a number.
fn is_date(written: &str) -> bool {
    let parts: Vec<&str> = written.split(['.', '-', '/']).collect();
    let day_or_month = |part: &str| part.len() == 2 && part <= "31";
    let year = |part: &str| part.len() == 4 && (part.starts_with("19") || part.starts_with("20"));
    match parts.as_slice() {
        [a, b, c] => {
            (day_or_month(a) && day_or_month(b) && year(c)) || (year(a) && day_or_month(b) && day_or_month(c))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(text: &str) -> Vec<Candidate> {
        match scan(text) {
            Found::Candidates(candidates) => candidates,
            Found::OtherThing => panic!("{text:?} was taken for another thing"),
        }
    }

    #[test]
    fn a_number_is_found_among_words() {
        let check = |text: &str, expect: &[&str]| {
            let digits: Vec<String> = candidates(text).into_iter().map(|found| found.digits).collect();
            assert_eq!(digits, expect, "{text:?}");
        };
        check("мій номер 067 123-45-67, дзвоніть", &["0671234567"]);
        check("тел.: (067)1234567", &["0671234567"]);
        check("067 123 45 67; 050 123 45 67", &["0671234567", "0501234567"]);
        check("+380671234567 +380501234567", &["380671234567", "380501234567"]);
        check("дата 21.11.2026, 0671234567", &["0671234567"]);
        check("380671234567.0", &["380671234567"]);
        check("без номера", &[]);
        check("+", &[]);
    }

    #[test]
    fn extensions_are_told_from_digits() {
        let check = |text: &str, expect: Option<&str>| {
            let found = candidates(text);
            assert_eq!(found.len(), 1, "{text:?}: {found:?}");
            assert_eq!(found[0].extension.as_deref(), expect, "{text:?}");
            assert_eq!(found[0].digits, "0441234567", "{text:?}");
        };
        for mark in [
            " доб. 12",
            " (доб 12)",
            ", доп.12",
            " вн.12",
            " ext. 12",
            " x12",
            "x12",
            ";ext=12",
            " #12",
            ",12",
            " ext:12",
        ] {
            check(&format!("0441234567{mark}"), Some("12"));
        }
        check("0441234567 доб. 0012", Some("0012"));
        check("0441234567 дзвоніть", None);
        check("0441234567 extra", None);
    }

    #[test]
    fn letters_that_touch_digits_are_noticed() {
        let check = |text: &str, expect: bool| {
            assert_eq!(candidates(text).iter().any(|found| found.glued), expect, "{text:?}");
        };
        check("o671234567", true);
        check("067l234567", true);
        check("067123456o", true);
        check("1-800-flowers", true);
        check("user1234567", true);
        check("+39 06 6982 l234", true);
        check("0671234567 о 10:00", false);
        check("тел0671234567", false);
        check("0671234567олена", false);
        check("0671234567-олена", false);
        check("0441234567x12", false);
    }

    #[test]
    fn account_ids_name_the_country_and_other_addresses_are_no_phones() {
        for text in [
            "380671234567@s.whatsapp.net",
            "380671234567:12@s.whatsapp.net",
            "380671234567@c.us",
            "whatsapp:380671234567",
            "https://wa.me/380671234567?text=hi",
            "viber://chat?number=%2b380671234567",
            "https://t.me/+380671234567",
            "tel:671234567;phone-context=+380",
            "p:+380671234567",
        ] {
            let found = candidates(text);
            assert_eq!(found.len(), 1, "{text:?}: {found:?}");
            assert!(found[0].international && found[0].digits == "380671234567", "{text:?}: {found:?}");
        }
        for text in [
            "380671234567@gmail.com",
            "1203630000000000@g.us",
            "123456789012345@lid",
            "https://vk.com/id123456789",
        ] {
            assert_eq!(scan(text), Found::OtherThing, "{text:?}");
        }
    }
}
