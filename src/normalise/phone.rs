//! Reads digits as phone numbers. The only file that knows the phone library.
//!
//! The library is `rlibphonenumber`, which answers as Google's libphonenumber does. It is no junk filter and knows
//! one default region, so the order of readings, the habits that it refuses and the doubt are ours:
//!
//! 1. A plus, `00`, or a messenger's account id names the country: `exact`.
//! 2. Else each region in order reads the digits as a national number: `assumed`.
//! 3. Digits that begin with the calling code of a listed region and read in no other way: `exact`.
//! 4. Digits that read as different numbers, and the first region's reading is not clearly the better one, or that
//!    only read with the calling code of a country nobody listed: `ambiguous`.
//!
//! *Clearly better* means: written just as that country writes it, trunk prefix included, while the other reading
//! has to add or drop a digit. `0671234567` for `[UA, PL]` is Ukrainian; `671234567`, which is how Poles write and
//! how Ukrainians abbreviate, is ambiguous.

use rlibphonenumber::{
    CountryCodeSource, NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat,
    PhoneNumberType, Region, ValidationError, get_national_significant_number_owned,
};

use super::reason::{
    EMPTY, INVALID, LETTERS, NO_NUMBER, NO_REGION, NOT_A_PHONE, PREMIUM_RATE, Reason, SEVERAL_NUMBERS,
    SHORT_CODE, TEXT_TOO_LONG, TOO_LONG, TOO_SHORT, UNKNOWN_COUNTRY, VOICEMAIL,
};
use super::scan::{Candidate, Found, scan};
use super::{clean, junk, keys};
use crate::lead::{Confidence, Phone, PhoneKind};

/// Longer texts are no phone fields. Google's library has the same limit.
const LONGEST_TEXT: usize = 250;
/// E.164 allows 15 digits; some more for trunk and international prefixes before them.
const MOST_DIGITS: usize = 18;

/// One way to understand the digits.
#[derive(Debug)]
struct Reading {
    number: PhoneNumber,
    e164: String,
}

/// A reading that was chosen.
#[derive(Debug)]
struct Choice {
    reading: Reading,
    confidence: Confidence,
}

/// See [`super::phone()`].
pub(super) fn normalise(raw: &str, regions: &[String]) -> Result<Phone, Reason> {
    if raw.chars().nth(LONGEST_TEXT).is_some() {
        return Err(TEXT_TOO_LONG);
    }
    let text = clean::phone_text(raw);
    if text.is_empty() {
        return Err(EMPTY);
    }
    let refusal =
        junk::is_stand_in(&text).or_else(|| junk::is_scientific(&text)).or_else(|| junk::masked(&text));
    if let Some(reason) = refusal {
        return Err(reason);
    }
    let candidates = match scan(&text) {
        Found::Candidates(candidates) => candidates,
        Found::OtherThing => return Err(NOT_A_PHONE),
    };
    let regions: Vec<Region> = regions.iter().filter_map(|code| region(code)).collect();
    let (choice, extension) = choose(&candidates, &regions)?;
    let Reading { number, e164 } = choice.reading;
    let kind = kind(&number);
    if kind == PhoneKind::PremiumRate {
        return Err(PREMIUM_RATE);
    }
    if kind == PhoneKind::Voicemail {
        return Err(VOICEMAIL);
    }
    let region = number.get_region_code().filter(|&region| region != Region::World);
    Ok(Phone {
        match_keys: keys::of(&e164, extension.as_deref()),
        e164,
        extension,
        region: region.map(|region| region.to_string()),
        kind,
        confidence: choice.confidence,
        raw: raw.to_owned(),
    })
}

/// See [`super::inside_country()`].
pub(super) fn inside_country(e164: &str) -> Option<(String, String)> {
    let number = PHONE_NUMBER_UTIL.parse(e164.strip_prefix('+').map(|_| e164)?, None).ok()?;
    let written = number.format_as(PhoneNumberFormat::National);
    let digits = written.chars().filter(char::is_ascii_digit).collect();
    Some((digits, get_national_significant_number_owned(&number)))
}

/// The library's region for an ISO 3166-1 alpha-2 code, when it has a numbering plan.
pub(super) fn region(code: &str) -> Option<Region> {
    let code = code.trim();
    let region = if code.eq_ignore_ascii_case("UK") { Region::GB } else { Region::from_code(code).ok()? };
    (region != Region::World && PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some())
        .then_some(region)
}

/// The one number that the candidates hold, with its extension.
fn choose(candidates: &[Candidate], regions: &[Region]) -> Result<(Choice, Option<String>), Reason> {
    let plausible: Vec<&Candidate> = candidates.iter().filter(|found| found.digits.len() >= 7).collect();
    if plausible.is_empty() {
        return Err(match candidates {
            [] => NO_NUMBER,
            torn if torn.iter().any(|part| part.glued) => LETTERS,
            _ => SHORT_CODE,
        });
    }
    let alone = candidates.len() == 1;
    let mut chosen: Option<(Choice, Option<String>)> = None;
    let mut refused = None;
    for candidate in plausible {
        match read(candidate, regions, alone) {
            Ok(choice) => match &mut chosen {
                None => chosen = Some((choice, candidate.extension.clone())),
                Some((first, extension)) => {
                    if first.reading.e164 != choice.reading.e164 || *extension != candidate.extension {
                        return Err(SEVERAL_NUMBERS);
                    }
                    first.confidence = first.confidence.max(choice.confidence);
                }
            },
            // these say that a number is there and must not be passed over for another one
            Err(reason) if [SEVERAL_NUMBERS, LETTERS].contains(&reason) => return Err(reason),
            Err(reason) => {
                refused.get_or_insert(reason);
            }
        }
    }
    chosen.ok_or_else(|| refused.unwrap_or(INVALID))
}

/// Reads one candidate. `alone` says that the text holds no other digits.
fn read(candidate: &Candidate, regions: &[Region], alone: bool) -> Result<Choice, Reason> {
    if candidate.glued {
        return Err(LETTERS);
    }
    if candidate.alternative {
        return Err(SEVERAL_NUMBERS);
    }
    if candidate.digits.len() > MOST_DIGITS {
        return halves(candidate, regions);
    }
    // a few digits beside others may be the rest of a number that something tore apart
    if !alone && !candidate.international && candidate.digits.len() < 9 {
        return Err(TOO_SHORT);
    }
    if let Some(reason) = junk::shape(&candidate.digits) {
        return Err(reason);
    }
    let choice = if candidate.international {
        after_plus(&candidate.digits, regions)
    } else {
        bare(&candidate.digits, regions)
    }?;
    let national = get_national_significant_number_owned(&choice.reading.number);
    match junk::shape(&national).or_else(|| junk::is_listed(&choice.reading.e164)) {
        Some(reason) => Err(reason),
        None => Ok(choice),
    }
}

/// Reads a stretch that is too long for one number as two with nothing but a space or a slash between them.
fn halves(candidate: &Candidate, regions: &[Region]) -> Result<Choice, Reason> {
    let read_part = |part: &str| {
        let part = Candidate::read(&part.trim().chars().collect::<Vec<_>>());
        (part.digits.len() <= MOST_DIGITS).then(|| read(&part, regions, true).ok()).flatten()
    };
    for (at, _) in candidate.written.match_indices([' ', '/']) {
        let (left, right) = candidate.written.split_at(at);
        let Some(left) = read_part(left) else { continue };
        let Some(right) = read_part(right.get(1..).unwrap_or_default()) else { continue };
        return if left.reading.e164 == right.reading.e164 { Ok(left) } else { Err(SEVERAL_NUMBERS) };
    }
    Err(TOO_LONG)
}

/// Reads digits that a plus stands before.
fn after_plus(digits: &str, regions: &[Region]) -> Result<Choice, Reason> {
    if let Some(rest) = digits.strip_prefix("00") {
        return after_plus(rest, regions);
    }
    match international(digits) {
        Ok(reading) => {
            let doubtful = rival_of_plus(digits, &reading, regions);
            let confidence = if doubtful { Confidence::Ambiguous } else { Confidence::Exact };
            Ok(Choice { reading, confidence })
        }
        // "+8 903 …" and "+067 …": a national number behind a plus, in the regions where people write so
        Err(reason) if digits.starts_with(['0', '8']) => {
            decide(digits, national(digits, regions), None).ok_or(reason)
        }
        Err(reason) => Err(reason),
    }
}

/// Whether a number behind a plus may well be another one.
///
/// * `+38 67 123 45 67`: a Ukrainian who thinks that the code is 38 and drops the zero, and a valid number of
///   Slovenia, Croatia, North Macedonia …
/// * `+49 49 151 …`: a form that puts the calling code before a number which has it already.
fn rival_of_plus(digits: &str, reading: &Reading, regions: &[Region]) -> bool {
    let ukrainian = || {
        let rest = digits.strip_prefix("38").filter(|rest| !rest.starts_with('0') && rest.len() == 9)?;
        regions.contains(&Region::UA).then(|| international(&format!("380{rest}")).ok()).flatten()
    };
    let doubled = || {
        let code = reading.number.country_code.to_string();
        let rest = digits.strip_prefix(&code).filter(|rest| rest.len() > 11 && rest.starts_with(&code))?;
        international(rest).ok()
    };
    [ukrainian(), doubled()].into_iter().flatten().any(|rival| rival.e164 != reading.e164)
}

/// Reads digits that nothing stands before.
fn bare(digits: &str, regions: &[Region]) -> Result<Choice, Reason> {
    let readings = national(digits, regions);
    if let Some(rest) = digits.strip_prefix("00")
        && let Ok(reading) = international(rest)
    {
        let rivals = readings.iter().any(|other| other.e164 != reading.e164);
        let confidence = if rivals { Confidence::Ambiguous } else { Confidence::Exact };
        return Ok(Choice { reading, confidence });
    }
    let coded = international(digits).ok().map(|reading| {
        let code = Some(reading.number.country_code);
        let listed =
            regions.iter().any(|&region| PHONE_NUMBER_UTIL.get_country_code_for_region(region) == code);
        Coded { reading, listed }
    });
    decide(digits, readings, coded).ok_or_else(|| match regions.first() {
        Some(&region) => match PHONE_NUMBER_UTIL.parse(digits, Some(region)) {
            Ok(number) => reason_of(&number),
            Err(error) => reason_of_error(&error),
        },
        None => NO_REGION,
    })
}

/// A reading of bare digits as beginning with a calling code.
#[derive(Debug)]
struct Coded {
    reading: Reading,
    /// The code is one of a listed region's.
    listed: bool,
}

/// Decides between the national readings, in order of the regions, and the one with a calling code.
fn decide(digits: &str, national: Vec<Reading>, coded: Option<Coded>) -> Option<Choice> {
    let mut national = national.into_iter();
    let Some(first) = national.next() else {
        let Coded { reading, listed } = coded?;
        let confidence = if listed { Confidence::Exact } else { Confidence::Ambiguous };
        return Some(Choice { reading, confidence });
    };
    let mut rivals: Vec<Reading> = national.collect();
    match coded {
        Some(coded) if coded.listed => {
            let (reading, confidence) = if first.e164 != coded.reading.e164 && first.is_customary(digits) {
                (first, Confidence::Ambiguous)
            } else if first.e164 == coded.reading.e164 && rivals.is_empty() {
                (first, Confidence::Exact)
            } else {
                (coded.reading, Confidence::Ambiguous)
            };
            return Some(Choice { reading, confidence });
        }
        Some(coded) if coded.reading.e164 != first.e164 => rivals.push(coded.reading),
        Some(_) | None => {}
    }
    let better = rivals.is_empty()
        || (first.is_customary(digits) && !rivals.iter().any(|other| other.is_customary(digits)));
    let confidence = match (better, first.is_dialled_abroad()) {
        (true, true) => Confidence::Exact,
        (true, false) => Confidence::Assumed,
        (false, _) => Confidence::Ambiguous,
    };
    Some(Choice { reading: first, confidence })
}

/// Reads digits as each region would, in order, each number once.
fn national(digits: &str, regions: &[Region]) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    for &region in regions {
        if let Some(reading) = national_in(digits, region)
            && readings.iter().all(|known| known.e164 != reading.e164)
        {
            readings.push(reading);
        }
    }
    readings
}

fn national_in(digits: &str, region: Region) -> Option<Reading> {
    let parse = |digits: &str| PHONE_NUMBER_UTIL.parse_and_keep_raw_input(digits, Some(region)).ok();
    let number = parse(digits);
    if let Some(number) = number.as_ref().filter(|number| number.is_valid()) {
        return Some(Reading::of(number.clone()));
    }
    // habits that the library refuses
    if region == Region::UA {
        // the Soviet trunk prefix before the Ukrainian one: 8 067 …
        let rest = digits.strip_prefix('8').filter(|rest| rest.len() == 10 && rest.starts_with('0'))?;
        return parse(rest).filter(PhoneNumber::is_valid).map(Reading::of);
    }
    let old_spelling = if region == Region::MX {
        // 044 55 …, 045 55 …, 01 55 …
        format!("52{digits}")
    } else if region == Region::BR {
        // eight digits after the area code, once the library has taken off trunk prefix and carrier
        let number = number.filter(|number| number.country_code == 55)?;
        format!("55{}", get_national_significant_number_owned(&number))
    } else {
        return None;
    };
    keys::modernise(&old_spelling).and_then(|digits| international(&digits).ok())
}

/// Reads digits that begin with a calling code.
fn international(digits: &str) -> Result<Reading, Reason> {
    let parse = |digits: &str| PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None);
    let number = parse(digits).map_err(|error| reason_of_error(&error))?;
    if number.is_valid() {
        return Ok(Reading::of(number));
    }
    // "+380 380 67 …": a form put the calling code before a number that had it
    let doubled = || {
        let code = number.country_code.to_string();
        digits.strip_prefix(&code).filter(|rest| rest.starts_with(&code)).map(str::to_owned)
    };
    keys::modernise(digits)
        .or_else(doubled)
        .and_then(|digits| parse(&digits).ok())
        .filter(PhoneNumber::is_valid)
        .map(Reading::of)
        .ok_or_else(|| reason_of(&number))
}

impl Reading {
    fn of(number: PhoneNumber) -> Self {
        Self { e164: number.format_as(PhoneNumberFormat::E164).into_owned(), number }
    }

    /// Whether the digits are just what the country writes, so that nothing had to be added or dropped.
    fn is_customary(&self, digits: &str) -> bool {
        let national = self.number.format_as(PhoneNumberFormat::National);
        national.bytes().filter(u8::is_ascii_digit).eq(digits.bytes()) || self.is_dialled_abroad()
    }

    /// Whether the digits begin with the region's own prefix for calls abroad, as `011` in the United States.
    fn is_dialled_abroad(&self) -> bool {
        self.number.country_code_source == Some(CountryCodeSource::FromNumberWithIdd as i32)
    }
}

/// Why a number that parsed is not valid.
fn reason_of(number: &PhoneNumber) -> Reason {
    match number.is_possible_with_reason() {
        Err(ValidationError::TooShort) | Ok(NumberLengthType::IsPossibleLocalOnly) => TOO_SHORT,
        Err(ValidationError::TooLong) => TOO_LONG,
        Err(ValidationError::InvalidCountryCode) => UNKNOWN_COUNTRY,
        Err(ValidationError::InvalidLength) | Ok(NumberLengthType::IsPossible) => INVALID,
    }
}

fn reason_of_error(error: &ParseError) -> Reason {
    match error {
        ParseError::InvalidCountryCode => UNKNOWN_COUNTRY,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn => TOO_SHORT,
        ParseError::TooLongNsn => TOO_LONG,
        ParseError::NotANumber(_) => INVALID,
    }
}

fn kind(number: &PhoneNumber) -> PhoneKind {
    match number.get_type() {
        PhoneNumberType::FixedLine => PhoneKind::FixedLine,
        PhoneNumberType::Mobile => PhoneKind::Mobile,
        PhoneNumberType::FixedLineOrMobile => PhoneKind::FixedLineOrMobile,
        PhoneNumberType::TollFree => PhoneKind::TollFree,
        PhoneNumberType::PremiumRate => PhoneKind::PremiumRate,
        PhoneNumberType::SharedCost => PhoneKind::SharedCost,
        PhoneNumberType::VoIP => PhoneKind::Voip,
        PhoneNumberType::PersonalNumber => PhoneKind::PersonalNumber,
        PhoneNumberType::Pager => PhoneKind::Pager,
        PhoneNumberType::UAN => PhoneKind::Uan,
        PhoneNumberType::VoiceMail => PhoneKind::Voicemail,
        PhoneNumberType::Unknown => PhoneKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Google's example numbers of every country, written in the ways that name it and in the way that does not.
    #[test]
    fn every_country_reads_its_own_examples() {
        let mut wrong = Vec::new();
        let (mut right, mut lost) = (0, 0);
        for region in PHONE_NUMBER_UTIL.get_supported_regions() {
            let code = region.to_string();
            for kind in [PhoneNumberType::Mobile, PhoneNumberType::FixedLine] {
                let Ok(example) = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind)
                else {
                    continue;
                };
                let truth = example.format_as(PhoneNumberFormat::E164).into_owned();
                let bare = truth.replace('+', "");
                let national = example.format_as(PhoneNumberFormat::National).into_owned();
                let digits: String = national.chars().filter(char::is_ascii_digit).collect();
                let spellings = [
                    truth.clone(),
                    example.format_as(PhoneNumberFormat::International).into_owned(),
                    example.format_as(PhoneNumberFormat::RFC3966).into_owned(),
                    format!("00{bare}"),
                    format!("{bare}@s.whatsapp.net"),
                    bare,
                    national,
                    digits,
                    get_national_significant_number_owned(&example),
                ];
                for text in spellings {
                    match normalise(&text, std::slice::from_ref(&code)) {
                        Ok(phone) if phone.match_keys.contains(&truth) => right += 1,
                        Ok(phone) if phone.confidence == Confidence::Ambiguous => lost += 1,
                        Ok(phone) => wrong.push(format!(
                            "{text:?} for {code}: {} instead of {truth}, {:?}",
                            phone.e164, phone.confidence
                        )),
                        Err(_) => lost += 1,
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // lost are the five and six digits of islands, and examples of the shape of placeholders
        assert!(right > 13 * lost, "{right} right, {lost} lost");
    }
}
