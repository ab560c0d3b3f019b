//! `leadfold normalise phone|email`: cleans a list, one JSON line in, one JSON line out, in order.

use std::borrow::Cow;
use std::io::{self, BufRead, BufWriter, ErrorKind, Write};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{End, Failure, country};
use crate::lead::{Confidence, Flaw, PhoneKind};
use crate::normalise;

const EXAMPLES: &str = "\
Examples:
  leadfold normalise phone --region UA \"067 123 45 67\" +48512604873
  leadfold normalise email Olena.K+shop@Gmail.com
  leadfold normalise phone --region UA --region PL < phones.jsonl > clean.jsonl

Without values it reads standard input, a line for each value:

  {\"raw\": \"067 123 45 67\", \"region\": \"UA\"}
  {\"raw\": \"512 604 873\", \"region\": [\"PL\", \"UA\"]}
  {\"raw\": \"+380 67 123 45 67\"}

A line without `region` takes --region. The answers are JSON, a line for each
value in the same order. What cannot be cleaned has a `flaw` that says why; that
is an answer like any other, so the exit code is 0.";

/// Arguments of `normalise`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// What the values are
    #[arg(value_enum)]
    what: What,
    /// The values; without any, JSON lines are read from standard input
    #[arg(value_name = "VALUE")]
    values: Vec<String>,
    /// Country of phones that name none; may be repeated, the first is tried first
    #[arg(long, value_name = "COUNTRY", value_parser = country)]
    region: Vec<String>,
}

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Phone numbers
    Phone,
    /// Email addresses
    Email,
}

pub(super) fn run(options: &Options) -> Result<End, Failure> {
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    clean(options.what, &options.region, &options.values, input, output)
        .map(|()| End::Done)
        .map_err(|error| format!("standard input or output broke: {error}"))
}

/// Normalises `values` as they stand, or, when there are none, the JSON lines of `input`, to JSON lines on `output`.
///
/// An input line is `{"raw": "067…", "region": "UA"}`; `region` may be absent (then `regions` apply), a string or an
/// array in order of preference. Blank lines are passed over. Every other line has its answer in order: one that
/// cannot be read is answered with a flaw that names its number. A reader that goes away (`| head`) is a clean end.
///
/// Phones are answered as `{"raw","e164","ext","region","kind","confidence","match_keys","flaw"}` and emails as
/// `{"raw","address","match_key","flaw"}`, `null` where absent.
fn clean(
    what: What,
    regions: &[String],
    values: &[String],
    input: impl BufRead,
    output: impl Write,
) -> io::Result<()> {
    match answer_all(what, regions, values, input, BufWriter::new(output)) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn answer_all(
    what: What,
    regions: &[String],
    values: &[String],
    mut input: impl BufRead,
    mut output: impl Write,
) -> io::Result<()> {
    for value in values {
        answer(what, value, regions, &mut output)?;
    }
    if !values.is_empty() {
        return output.flush();
    }
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return output.flush();
        }
        number += 1;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        match Line::read(text, number) {
            Ok(line) => {
                let own = line.region.as_ref().map(Regions::codes);
                answer(what, &line.raw, own.as_deref().unwrap_or(regions), &mut output)?;
            }
            Err(text_of_flaw) => {
                let flaw = Refusal { code: Cow::Borrowed("unreadable_line"), text: Cow::Owned(text_of_flaw) };
                refuse(what, text, flaw, &mut output)?;
            }
        }
    }
}

/// One line of input.
#[derive(Debug)]
struct Line {
    raw: String,
    region: Option<Regions>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Regions {
    One(String),
    Several(Vec<String>),
}

impl Regions {
    fn codes(&self) -> Vec<String> {
        match self {
            Self::One(code) => vec![code.clone()],
            Self::Several(codes) => codes.clone(),
        }
    }
}

impl Line {
    fn read(text: &str, number: u64) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            format!(r#"Line {number} is not JSON ({error}); write it as {{"raw": "067 123 45 67", "region": "UA"}}."#)
        })?;
        let raw = match value.get("raw") {
            Some(Value::String(raw)) => raw.clone(),
            // spreadsheets export phones as numbers; the digits stay exact
            Some(Value::Number(raw)) => raw.to_string(),
            Some(Value::Null) => String::new(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(format!(r#"Line {number} has a "raw" that is neither text nor a number."#));
            }
            None => return Err(format!(r#"Line {number} has no "raw"; put the value to normalise there."#)),
        };
        let region = match value.get("region") {
            None | Some(Value::Null) => None,
            Some(region) => Some(serde_json::from_value(region.clone()).map_err(|_| {
                format!(r#"Line {number} has a "region" that is neither a code such as "UA" nor an array of codes."#)
            })?),
        };
        Ok(Self { raw, region })
    }
}

#[derive(Serialize)]
struct PhoneAnswer<'a> {
    raw: &'a str,
    e164: Option<&'a str>,
    ext: Option<&'a str>,
    region: Option<&'a str>,
    kind: Option<PhoneKind>,
    confidence: Option<Confidence>,
    match_keys: Option<&'a [String]>,
    flaw: Option<Refusal<'a>>,
}

#[derive(Serialize)]
struct EmailAnswer<'a> {
    raw: &'a str,
    address: Option<&'a str>,
    match_key: Option<&'a str>,
    flaw: Option<Refusal<'a>>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    code: Cow<'a, str>,
    text: Cow<'a, str>,
}

impl From<Flaw> for Refusal<'_> {
    fn from(flaw: Flaw) -> Self {
        Self { code: Cow::Owned(flaw.code), text: Cow::Owned(flaw.text) }
    }
}

fn answer(what: What, raw: &str, regions: &[String], output: &mut impl Write) -> io::Result<()> {
    match what {
        What::Phone => {
            if let Some(unknown) = regions.iter().find(|code| !normalise::is_region(code)) {
                let text = format!(
                    "`{unknown}` is no region; use ISO 3166-1 codes of two letters such as UA or PL."
                );
                let flaw = Refusal { code: Cow::Borrowed("unknown_region"), text: Cow::Owned(text) };
                return refuse(what, raw, flaw, output);
            }
            match normalise::phone(raw, regions) {
                Ok(phone) => write_line(
                    &PhoneAnswer {
                        raw,
                        e164: Some(&phone.e164),
                        ext: phone.extension.as_deref(),
                        region: phone.region.as_deref(),
                        kind: Some(phone.kind),
                        confidence: Some(phone.confidence),
                        match_keys: Some(&phone.match_keys),
                        flaw: None,
                    },
                    output,
                ),
                Err(flaw) => refuse(what, raw, flaw.into(), output),
            }
        }
        What::Email => match normalise::email(raw) {
            Ok(email) => write_line(
                &EmailAnswer {
                    raw,
                    address: Some(&email.address),
                    match_key: email.match_key.as_deref(),
                    flaw: None,
                },
                output,
            ),
            Err(flaw) => refuse(what, raw, flaw.into(), output),
        },
    }
}

fn refuse(what: What, raw: &str, flaw: Refusal<'_>, output: &mut impl Write) -> io::Result<()> {
    let flaw = Some(flaw);
    match what {
        What::Phone => write_line(
            &PhoneAnswer {
                raw,
                e164: None,
                ext: None,
                region: None,
                kind: None,
                confidence: None,
                match_keys: None,
                flaw,
            },
            output,
        ),
        What::Email => write_line(&EmailAnswer { raw, address: None, match_key: None, flaw }, output),
    }
}

fn write_line(answer: &impl Serialize, output: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *output, answer)?;
    output.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    fn answers(what: What, regions: &[&str], values: &[&str], input: &[u8]) -> Vec<String> {
        let mut output = Vec::new();
        clean(what, &strings(regions), &strings(values), input, &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn phones_from_arguments() {
        assert_eq!(
            answers(What::Phone, &["UA"], &["067 123 45 67 доб. 12", "null"], b"{\"raw\":\"not read\"}"),
            [
                r#"{"raw":"067 123 45 67 доб. 12","e164":"+380671234567","ext":"12","region":"UA","kind":"mobile","confidence":"assumed","match_keys":["+380671234567;ext=12"],"flaw":null}"#,
                r#"{"raw":"null","e164":null,"ext":null,"region":null,"kind":null,"confidence":null,"match_keys":null,"flaw":{"code":"no_value","text":"The text stands for \"no value\"; the platform sent its own word for an empty field."}}"#,
            ]
        );
    }

    #[test]
    fn emails_from_lines() {
        assert_eq!(
            answers(
                What::Email,
                &[],
                &[],
                b"{\"raw\":\"O.Lena@Gmail.com\"}\n\n{\"raw\":\"info@example.com\"}\n"
            ),
            [
                r#"{"raw":"O.Lena@Gmail.com","address":"o.lena@gmail.com","match_key":"olena@gmail.com","flaw":null}"#,
                r#"{"raw":"info@example.com","address":"info@example.com","match_key":null,"flaw":null}"#,
            ]
        );
    }

    #[test]
    fn lines_name_their_own_regions_and_keep_their_order() {
        let input = "\u{feff}{\"raw\":\"0671234567\"}\r\n\
            {\"raw\":\"501234567\",\"region\":\"PL\"}\n\
            {\"raw\":\"0671234567\",\"region\":[\"PL\",\"UA\"]}\n\
            {\"raw\":380671234567,\"region\":null}\n\
            {\"raw\":\"0671234567\",\"region\":[]}";
        let got: Vec<Value> = answers(What::Phone, &["UA"], &[], input.as_bytes())
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let e164: Vec<Option<&str>> = got.iter().map(|line| line["e164"].as_str()).collect();
        let ukrainian = Some("+380671234567");
        assert_eq!(e164, [ukrainian, Some("+48501234567"), ukrainian, ukrainian, None]);
        assert_eq!(got[4]["flaw"]["code"], "no_region");
    }

    #[test]
    fn lines_that_cannot_be_read_are_answered_in_their_place() {
        let input = b"067 123\n{\"phone\":1}\n{\"raw\":[]}\n{\"raw\":\"1\",\"region\":7}\n[1]\n\xff\n{\"raw\":\"+380671234567\"}\n";
        let got: Vec<Value> = answers(What::Phone, &[], &[], input)
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(got.len(), 7);
        for (at, line) in got.iter().take(6).enumerate() {
            assert_eq!(line["flaw"]["code"], "unreadable_line", "{line}");
            assert!(line["flaw"]["text"].as_str().unwrap().contains(&format!("Line {}", at + 1)), "{line}");
        }
        assert_eq!(got[0]["raw"], "067 123");
        assert_eq!(got[6]["confidence"], "exact");
    }

    #[test]
    fn an_unknown_region_is_said_and_not_passed_over() {
        let [line] = &answers(What::Phone, &["UKR"], &["0671234567"], b"")[..] else {
            panic!("one line expected")
        };
        assert!(line.contains("unknown_region") && line.contains("`UKR`"), "{line}");
    }

    #[test]
    fn a_reader_that_goes_away_is_a_clean_end_and_a_full_disk_is_not() {
        struct Broken(ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let with = |kind| clean(What::Phone, &[], &strings(&["+380671234567"]), &b""[..], Broken(kind));
        assert!(with(ErrorKind::BrokenPipe).is_ok());
        assert_eq!(with(ErrorKind::StorageFull).map_err(|error| error.kind()), Err(ErrorKind::StorageFull));
    }
}
