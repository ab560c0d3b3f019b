//! Why production reads phones with `rlibphonenumber` behind a cleaning layer, and not with `phonenumber`.
//!
//! Both read the same spellings of numbers that are known by construction. A *wrong* answer is a valid number that is
//! not the one written: it joins two people. A *refused* one costs a duplicate at worst. Ours must never be wrong.

use std::fmt;

use leadfold::normalise;
use phonenumber::Mode;

/// One line in three customary parts: region, calling code, groups of the national number, trunk prefix.
const LINES: [(&str, &str, &[&str], &str); 28] = [
    ("UA", "380", &["67", "123", "45", "67"], "0"),
    ("UA", "380", &["44", "234", "51", "68"], "0"),
    ("RU", "7", &["903", "123", "45", "67"], "8"),
    ("RU", "7", &["800", "555", "35", "35"], "8"),
    ("RU", "7", &["495", "234", "51", "68"], "8"),
    ("KZ", "7", &["701", "123", "45", "67"], "8"),
    ("KZ", "7", &["727", "234", "51", "68"], "8"),
    ("BY", "375", &["29", "123", "45", "67"], "80"),
    ("PL", "48", &["501", "234", "567"], ""),
    ("DE", "49", &["151", "23456789"], "0"),
    ("DE", "49", &["30", "901820"], "0"),
    ("AT", "43", &["664", "1234567"], "0"),
    ("GB", "44", &["20", "7946", "0958"], "0"),
    ("GB", "44", &["7400", "123456"], "0"),
    ("FR", "33", &["6", "12", "34", "56", "78"], "0"),
    ("IT", "39", &["06", "6982", "1234"], ""),
    ("IT", "39", &["333", "123", "4567"], ""),
    ("ES", "34", &["612", "345", "678"], ""),
    ("HU", "36", &["20", "123", "4567"], "06"),
    ("RO", "40", &["721", "234", "567"], "0"),
    ("TR", "90", &["532", "123", "45", "67"], "0"),
    ("AE", "971", &["50", "123", "4567"], "0"),
    ("IN", "91", &["98765", "43211"], "0"),
    ("UZ", "998", &["90", "234", "51", "68"], ""),
    ("US", "1", &["202", "555", "0143"], ""),
    ("BR", "55", &["11", "98765", "4321"], "0"),
    ("MX", "52", &["55", "1234", "5678"], ""),
    ("AR", "54", &["9", "11", "2345", "6789"], ""),
];

/// Answers to the spellings of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Score {
    right: usize,
    wrong: usize,
    refused: usize,
}

impl Score {
    fn count(&mut self, answer: Option<&str>, truth: &str) {
        match answer {
            Some(answer) if answer == truth => self.right += 1,
            Some(_) => self.wrong += 1,
            None => self.refused += 1,
        }
    }

    fn all(self) -> usize {
        self.right + self.wrong + self.refused
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} right, {} wrong, {} refused of {}", self.right, self.wrong, self.refused, self.all())
    }
}

/// The E.164 with `;ext=`, when ours accepts the text.
fn ours(text: &str, region: &str) -> Option<String> {
    let phone = normalise::phone(text, &[region.to_owned()]).ok()?;
    phone.match_keys.into_iter().next()
}

/// The same by the other crate, used as its documentation says.
fn theirs(text: &str, region: &str) -> Option<String> {
    let number = phonenumber::parse(region.parse().ok(), text).ok().filter(phonenumber::is_valid)?;
    let extension = number.extension().map(|extension| format!(";ext={extension}")).unwrap_or_default();
    Some(format!("{}{extension}", number.format().mode(Mode::E164)))
}

fn full_width(text: &str) -> String {
    text.chars().map(|c| char::from_digit(c.to_digit(10).unwrap_or(99), 10).map_or(c, wide)).collect()
}

fn wide(digit: char) -> char {
    char::from_u32(u32::from(digit) - u32::from('0') + u32::from('０')).unwrap_or(digit)
}

fn arabic(text: &str) -> String {
    let arabic = |c: char| char::from_u32(u32::from(c) - u32::from('0') + 0x660).unwrap_or(c);
    text.chars().map(|c| if c.is_ascii_digit() { arabic(c) } else { c }).collect()
}

/// What any parser should read: a plus or the trunk prefix, and plain separators.
fn plain(code: &str, groups: &[&str], trunk: &str) -> Vec<String> {
    let national = |separator: &str| format!("{trunk}{}", groups.join(separator));
    let mut spellings = vec![
        format!("+{code}{}", groups.concat()),
        format!("+{code} {}", groups.join(" ")),
        format!("+{code} {}", groups.join("-")),
        format!("+{code}-{}", groups.join("-")),
        format!("+{code} ({}) {}", groups[0], groups[1..].join("-")),
        format!("tel:+{code}{}", groups.concat()),
    ];
    // the national form of an Argentine mobile is built differently
    if groups[0] != "9" {
        spellings.extend([
            national(""),
            national(" "),
            national("-"),
            format!("{trunk} {}", groups.join(" ")),
        ]);
    }
    spellings
}

/// What people and platforms write as well, with the extension that is expected.
fn lively(code: &str, groups: &[&str]) -> Vec<(String, &'static str)> {
    let digits = groups.concat();
    let spaced = format!("+{code} {}", groups.join(" "));
    vec![
        (full_width(&spaced), ""),
        (arabic(&spaced), ""),
        (format!("\u{202a}{spaced}\u{202c}"), ""),
        (format!("+{code}\u{a0}{}", groups.join("\u{2011}")), ""),
        (format!("00{code}{digits}"), ""),
        (format!("{code}{digits}@s.whatsapp.net"), ""),
        (format!("whatsapp:+{code}{digits}"), ""),
        (format!("p:+{code}{digits}"), ""),
        (format!("+{code}{digits}.0"), ""),
        (format!("мій номер {spaced}, дзвоніть"), ""),
        (format!("{spaced} доб. 12"), ";ext=12"),
        (format!("{spaced};ext=12"), ";ext=12"),
        (format!("{spaced} ext. 12"), ";ext=12"),
    ]
}

#[test]
fn ours_reads_every_plain_spelling_and_the_other_crate_most() {
    let (mut our_score, mut their_score) = (Score::default(), Score::default());
    let mut missed = Vec::new();
    for (region, code, groups, trunk) in LINES {
        let truth = format!("+{code}{}", groups.concat());
        for text in plain(code, groups, trunk) {
            let (our, their) = (ours(&text, region), theirs(&text, region));
            our_score.count(our.as_deref(), &truth);
            their_score.count(their.as_deref(), &truth);
            if our.as_deref() != Some(&truth) {
                missed.push(format!("{text:?} for {region}: {our:?} instead of {truth}"));
            }
        }
    }
    println!("plain spellings\n  ours:   {our_score}\n  theirs: {their_score}");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(our_score.all() >= 250, "the table shrank to {}", our_score.all());
    assert!(
        their_score.right * 10 >= their_score.all() * 9,
        "the two should mostly agree here: {their_score}"
    );
}

#[test]
fn ours_reads_what_people_write_and_the_other_crate_does_not() {
    let (mut our_score, mut their_score) = (Score::default(), Score::default());
    let mut missed = Vec::new();
    for (region, code, groups, _) in LINES {
        for (text, extension) in lively(code, groups) {
            let truth = format!("+{code}{}{extension}", groups.concat());
            let (our, their) = (ours(&text, region), theirs(&text, region));
            our_score.count(our.as_deref(), &truth);
            their_score.count(their.as_deref(), &truth);
            if our.as_deref() != Some(&truth) {
                missed.push(format!("{text:?} for {region}: {our:?} instead of {truth}"));
            }
        }
    }
    println!("lively spellings\n  ours:   {our_score}\n  theirs: {their_score}");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(our_score.all() >= 350, "the table shrank to {}", our_score.all());
    assert!(
        their_score.right * 10 < their_score.all() * 8,
        "the other crate caught up; weigh the choice again: {their_score}"
    );
}

/// The case that decided: the other crate takes the 8 of a Russian toll-free number for a trunk prefix, drops it
/// although a plus stands before, and returns the rest without an error. Only a second call tells that it is no number.
#[test]
fn the_other_crate_drops_a_digit_without_saying_so() {
    let text = "+78005553535";
    let their = phonenumber::parse(None, text).unwrap().format().mode(Mode::E164).to_string();
    assert_eq!(their, "+7005553535");
    assert_eq!(ours(text, "RU").as_deref(), Some(text));
}

/// A letter typed for the digit that it looks like. The other crate drops some of them and accepts what is left.
#[test]
fn ours_never_makes_a_number_of_a_mistyped_one() {
    let (mut our_score, mut their_score) = (Score::default(), Score::default());
    for (region, code, groups, trunk) in LINES {
        let truth = format!("+{code}{}", groups.concat());
        for text in plain(code, groups, trunk) {
            for (at, digit) in text.char_indices() {
                let letter = match digit {
                    '0' => "o",
                    '1' => "l",
                    _ => continue,
                };
                let mut mistyped = text.clone();
                mistyped.replace_range(at..=at, letter);
                let our = ours(&mistyped, region);
                assert!(
                    our.as_deref().is_none_or(|our| our == truth),
                    "{mistyped:?} became {our:?}, not {truth}"
                );
                our_score.count(our.as_deref(), &truth);
                their_score.count(theirs(&mistyped, region).as_deref(), &truth);
            }
        }
    }
    println!("mistyped\n  ours:   {our_score}\n  theirs: {their_score}");
    assert_eq!(our_score.wrong, 0);
    assert!(their_score.wrong > 0, "the other crate is stricter now: {their_score}");
}

/// When one of these fails, the other crate has been mended and the choice can be weighed again.
#[test]
fn the_other_crate_does_not_read_what_ours_reads() {
    for (text, region, truth) in [
        ("+78005553535", "RU", "+78005553535"),
        ("8 800 555-35-35", "RU", "+78005553535"),
        ("+380 44 234 51 68 доб. 12", "UA", "+380442345168;ext=12"),
        ("＋３８０６７１２３４５６７", "UA", "+380671234567"),
        ("+٣٨٠٦٧١٢٣٤٥٦٧", "UA", "+380671234567"),
        ("+55 31 8765-4321", "BR", "+5531987654321"),
        ("+52 1 55 1234 5678", "MX", "+525512345678"),
        ("8 (067) 123-45-67", "UA", "+380671234567"),
        ("+8 903 123 45 67", "RU", "+79031234567"),
    ] {
        assert_eq!(ours(text, region).as_deref(), Some(truth), "{text:?}");
        let their = theirs(text, region);
        println!("{text:?}: {their:?} instead of {truth}");
        assert_ne!(their.as_deref(), Some(truth), "{text:?} is read by both now");
    }
}
