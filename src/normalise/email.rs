//! Reads email addresses: one spelling to show, one key to join by.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;
use unicode_script::{Script, ScriptExtension};

use super::reason::{
    ADDRESS_TOO_LONG, DOMAIN, EMPTY, LOCAL_PART, MASKED, MIXED_SCRIPT, NO_ADDRESS, PLACEHOLDER, Reason,
    SEVERAL_ADDRESSES, TEMPLATE, TEXT_TOO_LONG,
};
use super::{clean, junk};
use crate::lead::Email;

/// A display name, an address, and some words around them.
const LONGEST_TEXT: usize = 1000;
/// Bytes of an address (RFC 5321, 4.5.3.1.3: a path of 256 with its brackets).
const LONGEST_ADDRESS: usize = 254;

/// Mailboxes of an office, not of a person.
const ROLES: &str = "\
    abuse accounting accounts admin administrator billing booking bookings buh careers client clients \
    company contact contacts crm customer-service customerservice director do-not-reply donotreply \
    email enquiries enquiry feedback finance hello help helpdesk hostmaster hr info inquiry job jobs \
    kontakt mail mailbox mailer-daemon marketing media news newsletter no-reply no_reply noreply \
    office ofis order orders post postmaster pr press reception reply root sale sales secretary service \
    shop support team webmaster";

/// Of these also the branches: `sales.kyiv`, `office-lviv`, `info_ua`.
const BRANCHED_ROLES: &str = "info noreply office sales support";

/// The same in Ukrainian and Russian, as people transliterate them.
const LOCAL_ROLES: &str = "\
    zakaz zakazy zamovlennya zayavka otdel prodazha prodazhi priemnaya priyomnaya pryimalnia sekretar reklama \
    magazin kadry";

/// Local parts that people type to get past a form.
const STAND_INS: &str = "\
    test tests tester testing testtest test1 test123 asd asdf asdasd qwe qwerty qweqwe none null \
    undefined no nomail noemail no-email no_email nope netpochty xyz abc example fake";

/// Providers that deliver `name+anything` to `name`.
const TAGGING: &str = "\
    fastmail.com fastmail.fm hotmail.co.uk hotmail.com hotmail.de hotmail.es hotmail.fr hotmail.it \
    icloud.com live.co.uk live.com live.fr live.nl mac.com me.com msn.com outlook.com outlook.de \
    outlook.es outlook.fr pm.me proton.me protonmail.com";

/// One service under many names: `name` is the same mailbox in all of them.
const YANDEX: &str = "ya.ru yandex.by yandex.com yandex.kz yandex.ru yandex.ua";

/// Providers whose mailboxes are ASCII only, so that any other letter is a look-alike.
const ASCII_ONLY: &str = "\
    gmail.com googlemail.com icloud.com mail.ru outlook.com ukr.net ya.ru yahoo.com yandex.com yandex.ru";

/// See [`super::email()`].
pub(super) fn normalise(raw: &str) -> Result<Email, Reason> {
    if raw.chars().nth(LONGEST_TEXT).is_some() {
        return Err(TEXT_TOO_LONG);
    }
    let text = clean_text(raw);
    if text.is_empty() {
        return Err(EMPTY);
    }
    let text = without_quotes(&text)?;
    let written = only_address(&text)?;
    let (local, domain) = written.rsplit_once('@').ok_or(NO_ADDRESS)?;
    if written.contains(['*', '•', '…', '●']) {
        return Err(MASKED);
    }
    let local = local_part(local)?;
    let domain = domain_name(domain)?;
    if !local.is_ascii() && lists(ASCII_ONLY, &domain) {
        return Err(MIXED_SCRIPT);
    }
    let untagged = local.split('+').next().unwrap_or_default();
    if lists(STAND_INS, untagged) || repeats_one_character(untagged) {
        return Err(PLACEHOLDER);
    }
    let address = format!("{local}@{domain}");
    if address.len() > LONGEST_ADDRESS {
        return Err(ADDRESS_TOO_LONG);
    }
    let match_key = (!is_role(untagged)).then(|| key(&local, &domain));
    Ok(Email { address, match_key, raw: raw.to_owned() })
}

/// Whether a mailbox is an office's: many write from it, so it says nothing about who.
fn is_role(local: &str) -> bool {
    let plain = local.trim_end_matches(|c: char| c.is_ascii_digit());
    let first = local.split(['.', '-', '_']).next().unwrap_or_default();
    lists(ROLES, plain) || lists(LOCAL_ROLES, plain) || lists(BRANCHED_ROLES, first)
}

/// Takes the quotes off a quoted local part, which changes nothing where it would be one without them (RFC 5321, 4.1.2).
/// What needs its quotes is no mailbox that anybody has.
fn without_quotes(text: &str) -> Result<Cow<'_, str>, Reason> {
    let Some((before, domain)) = text.split_once("\"@") else { return Ok(Cow::Borrowed(text)) };
    let (words, quoted) = before.rsplit_once('"').ok_or(LOCAL_PART)?;
    if quoted.is_empty() || quoted.contains(|c: char| c.is_whitespace() || "@\\,;:<>()[]".contains(c)) {
        return Err(LOCAL_PART);
    }
    Ok(Cow::Owned(format!("{words}{quoted}@{domain}")))
}

fn lists(words: &str, word: &str) -> bool {
    // By bytes, because searching for letters takes longer than all else that is done to an address.
    words.as_bytes().split(|&byte| byte == b' ').any(|listed| listed == word.as_bytes())
}

/// Lower case, composed, without what the eye cannot see; full-width ASCII of Japanese keyboards as ASCII.
fn clean_text(raw: &str) -> String {
    if clean::is_plain(raw) {
        return raw.trim().to_ascii_lowercase();
    }
    let fold = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{fe6b}' => '@',
        c if c.is_whitespace() || c.is_control() => ' ',
        c => c,
    };
    let seen = raw.chars().filter(|&c| !clean::is_invisible(c)).map(fold);
    // lower case before composing, because lower-casing may leave a letter and its mark apart
    let text: String = seen.flat_map(char::to_lowercase).nfc().collect();
    text.trim().to_owned()
}

/// The one address in a text: `Olena <olena@example.com>`, `mailto:…`, words around it.
fn only_address(text: &str) -> Result<&str, Reason> {
    let parts_words =
        |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|' | '<' | '>' | '(' | ')' | '[' | ']' | '"');
    if junk::is_template(text) {
        return Err(TEMPLATE);
    }
    let mut found: Option<&str> = None;
    for word in text.split(parts_words) {
        let word = word.trim_matches(['\'', '`', '«', '»', '„', '“', '”', '’', '‘']);
        let word = word.trim_start_matches(':').trim_end_matches(['.', ':', '!', '?']);
        let word = word.strip_prefix("mailto:").unwrap_or(word);
        let word = word
            .split_once('?')
            .filter(|(address, _)| address.contains('@'))
            .map_or(word, |(address, _)| address);
        // a handle such as @olena is no address
        if !word.contains('@') || word.starts_with('@') || word.ends_with('@') {
            continue;
        }
        if found.is_some_and(|found| found != word) {
            return Err(SEVERAL_ADDRESSES);
        }
        found = Some(word);
    }
    found.ok_or_else(|| junk::is_stand_in(text).unwrap_or(NO_ADDRESS))
}

/// Checks the part before the @ (RFC 5321 dot-atom, and letters of one script as RFC 6531 allows).
fn local_part(local: &str) -> Result<String, Reason> {
    let allowed = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~.".contains(c)
            || (!c.is_ascii() && c.is_alphanumeric())
            || is_mark(c)
    };
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    if local.is_empty() || local.len() > 64 || dots || !local.chars().all(allowed) || local.starts_with('+') {
        return Err(LOCAL_PART);
    }
    if is_mixed(local) {
        return Err(MIXED_SCRIPT);
    }
    Ok(local.to_owned())
}

fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// Checks the part after the @ and brings it to ASCII (UTS #46, `почта.рф` → `xn--80a1acny.xn--p1ai`).
fn domain_name(domain: &str) -> Result<String, Reason> {
    let domain = domain.trim_end_matches('.');
    let ascii: Cow<'_, str> = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| DOMAIN)?;
    let top = ascii.rsplit_once('.').map(|(_, top)| top).ok_or(DOMAIN)?;
    if top.len() < 2 || !(top.starts_with("xn--") || top.bytes().all(|byte| byte.is_ascii_alphabetic())) {
        return Err(DOMAIN);
    }
    if !domain.is_ascii() || ascii.contains("xn--") {
        let (unicode, valid) =
            Uts46::new().to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        if valid.is_err() {
            return Err(DOMAIN);
        }
        if unicode.split('.').any(is_mixed) {
            return Err(MIXED_SCRIPT);
        }
    }
    Ok(ascii.into_owned())
}

/// Whether no single writing system has all the letters (UTS #39; Japanese, Korean and Han with bopomofo count as
/// one each).
fn is_mixed(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let writes = |systems: &[Script]| {
        text.chars().all(|c| systems.iter().any(|&script| ScriptExtension::from(c).contains_script(script)))
    };
    let one_system = !ScriptExtension::for_str(text).is_empty()
        || writes(&[Script::Han, Script::Hiragana, Script::Katakana])
        || writes(&[Script::Han, Script::Hangul])
        || writes(&[Script::Han, Script::Bopomofo]);
    !one_system
}

/// `aaa`, `11111`: nobody's name.
fn repeats_one_character(local: &str) -> bool {
    let mut characters = local.chars();
    let first = characters.next();
    local.chars().count() >= 3 && characters.all(|c| Some(c) == first)
}

/// The key that the spellings of one mailbox share, as far as the provider says that they are one. Dashes are never
/// folded, and domains only where they always were one service.
fn key(local: &str, domain: &str) -> String {
    let untagged = || local.split('+').next().unwrap_or(local);
    match domain {
        "gmail.com" | "googlemail.com" => format!("{}@gmail.com", untagged().replace('.', "")),
        domain if lists(YANDEX, domain) => format!("{}@yandex.ru", untagged()),
        domain if lists(TAGGING, domain) => format!("{}@{domain}", untagged()),
        domain => format!("{local}@{domain}"),
    }
}
