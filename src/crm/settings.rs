//! Reads an adapter's settings, with messages that name the destination and the setting.

use std::time::Duration;

use jiff::SignedDuration;
use secrecy::SecretString;

use super::ConnectError;
use super::limit::Window;
use crate::map;
use crate::rules::Destination;

/// The settings of one destination.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a Destination);

impl<'a> Reader<'a> {
    /// A text; `None` when it is missing or empty.
    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.0.settings.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    pub(super) fn required(self, name: &str) -> Result<&'a str, ConnectError> {
        self.text(name).ok_or_else(|| {
            ConnectError(format!("destination `{}`: setting `{name}` is missing; add it", self.0.name))
        })
    }

    pub(super) fn secret(self, name: &str) -> Result<SecretString, ConnectError> {
        self.required(name).map(SecretString::from)
    }

    pub(super) fn flag(self, name: &str, default: bool) -> Result<bool, ConnectError> {
        match self.text(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(self.wrong(name, other, "`true` or `false`")),
        }
    }

    pub(super) fn count(self, name: &str, default: usize) -> Result<usize, ConnectError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| self.wrong(name, text, "a whole number above 0"))
    }

    pub(super) fn duration(self, name: &str, default: Duration) -> Result<Duration, ConnectError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        duration(text).ok_or_else(|| self.wrong(name, text, "a time such as `500ms`, `2s` or `1m`"))
    }

    /// Rates such as `10/s`, `60/min` or `100/10s`, with commas between them; none when it is missing.
    pub(super) fn rates(self, name: &str) -> Result<Vec<Window>, ConnectError> {
        let Some(text) = self.text(name) else { return Ok(Vec::new()) };
        let windows = text.split(',').map(|text| rate(text.trim()));
        let windows = windows.map(|rate| rate.map(|(count, length)| Window::sliding(count, length)));
        windows
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(name, text, "a rate such as `10/s`, `60/min` or `100/10s`"))
    }

    /// Reads nested settings again from their JSON, which is YAML as well. The loader has noted every problem at its place;
    /// the error is for settings that never went through it.
    pub(super) fn nested<T>(
        self,
        names: &[&str],
        read: impl FnOnce(&map::Reader<'_>, &map::Node) -> T,
    ) -> Result<T, ConnectError> {
        let text = |name: &&str| Some(format!("\"{name}\": {}", self.text(name)?));
        let entries: Vec<String> = names.iter().filter_map(text).collect();
        let text = format!("{{ {} }}", entries.join(",\n"));
        let reader = map::Reader::new("workspace.yaml", &text, &|_| None);
        let map::Tree { root, faults } = map::parse(&text);
        for fault in faults {
            reader.error(fault.span, fault.message, fault.help);
        }
        let value = read(&reader, &root);
        let (problems, _) = reader.finish();
        match problems.into_iter().find(|problem| problem.severity == map::Severity::Error) {
            None => Ok(value),
            Some(problem) => {
                let (name, message) = (&self.0.name, problem.message);
                Err(ConnectError(format!("destination `{name}`: {message}; `leadfold check` shows where")))
            }
        }
    }

    fn wrong(self, name: &str, found: &str, expected: &str) -> ConnectError {
        let destination = &self.0.name;
        ConnectError(format!("destination `{destination}`: setting `{name}` is `{found}`; write {expected}"))
    }
}

fn duration(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<SignedDuration>().ok()?).ok()
}

fn rate(text: &str) -> Option<(u32, Duration)> {
    let (count, length) = text.split_once('/')?;
    let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
    let length = length.trim();
    let length = if length.starts_with(|first: char| first.is_ascii_digit()) {
        duration(length)?
    } else {
        match length {
            "d" | "day" => Duration::from_hours(24),
            unit => duration(&format!("1{unit}"))?,
        }
    };
    (!length.is_zero()).then_some((count, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let check = |text: &str, expect: Option<(u32, u64)>| {
            assert_eq!(
                rate(text),
                expect.map(|(count, millis)| (count, Duration::from_millis(millis))),
                "{text}"
            );
        };
        check("10/s", Some((10, 1_000)));
        check("60/min", Some((60, 60_000)));
        check("60 / m", Some((60, 60_000)));
        check("100/10s", Some((100, 10_000)));
        check("1000/day", Some((1_000, 86_400_000)));
        check("1/500ms", Some((1, 500)));
        check("0/s", None);
        check("10/0s", None);
        check("10/-1s", None);
        check("-1/s", None);
        check("10", None);
        check("ten/s", None);
        check("10/", None);
    }
}
