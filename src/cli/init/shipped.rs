//! The mappings that leadfold ships, cut down to what one workspace begins with: the texts are those of `mappings/`, so that
//! whoever begins has what the tests try, and there is no second copy to keep alike.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::demo::MAPPINGS;
use crate::map::{Files, Mapping};
use crate::workspace::compile_with;

macro_rules! sample {
    ($place:literal) => {
        ($place, include_str!(concat!("../../../fixtures/", $place)))
    };
}
/// The sample requests by their place below `fixtures/`, one for the first test of each mapping.
const SAMPLES: &[(&str, &str)] = &[
    sample!("sendpulse/01_new_lead_telegram.json"),
    sample!("sendpulse/13_livechat_first_visit.json"),
    sample!("sendpulse/15_trigger.json"),
    sample!("telegram/01_start_by_a_link.json"),
    sample!("botmother/01_mailing_link.json"),
    sample!("chatterfy/01_keitaro.txt"),
    sample!("chatterfy/04_registration.txt"),
    sample!("metabot/01_registered.json"),
    sample!("metabot/04_order_shipped.json"),
    sample!("esputnik/01_statuses.json"),
    sample!("esputnik/03_tokens.json"),
    sample!("mindbox/01_customer_changed.json"),
    sample!("mindbox/02_abandoned_cart.json"),
];

const WORKSPACE: &str = "workspace.yaml";
const FIXTURES: &str = "../fixtures/";
/// Keys under which bots are called.
const MOMENTS: [&str; 3] = ["calls:", "after_done:", "after_look_up:"];

/// A shipped mapping.
#[derive(Clone, Copy)]
pub(super) struct Shipped {
    file: &'static str,
    text: &'static str,
}

/// A mapping to begin with, and what it needs beside it.
pub(super) struct Beginning {
    pub(super) text: String,
    /// File name and text of a sample request.
    pub(super) sample: Option<(String, &'static str)>,
    pub(super) pools: BTreeSet<String>,
    /// Bots that it calls.
    pub(super) bots: BTreeSet<String>,
}

/// Every shipped mapping.
pub(super) fn all() -> impl Iterator<Item = Shipped> {
    let sources = MAPPINGS.iter().filter(|(file, _)| *file != WORKSPACE);
    sources.map(|(file, text)| Shipped { file, text })
}

impl Shipped {
    /// Its name: the source's.
    pub(super) fn name(self) -> &'static str {
        self.file.trim_end_matches(".yaml")
    }

    /// What it is for: its first line.
    pub(super) fn summary(self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
        first.split_once(". ").map_or(first, |(sentence, _)| sentence).trim_end_matches(['.', ':'])
    }

    /// The mapping with the calls of these bots, where it calls no others; one that only calls bots keeps its calls.
    pub(super) fn beginning(self, wanted: &BTreeSet<String>) -> Beginning {
        let (mut bots, pools, goes_to_crms) = self.with_mapping(|mapping| {
            let bots: BTreeSet<String> = mapping.bots().into_iter().map(str::to_owned).collect();
            let branches = mapping.branches();
            let pools = branches.iter().filter_map(|branch| branch.owners.clone()).collect();
            (bots, pools, branches.iter().any(|branch| !branch.to.is_empty()))
        });
        let mut text = self.text.to_owned();
        if goes_to_crms && !bots.is_subset(wanted) {
            text = without_calls(&text);
            bots.clear();
        }
        let (text, sample) = with_one_test(&text);
        Beginning { text, sample, pools, bots }
    }

    /// Looks at it as it is compiled beside the shipped workspace.
    fn with_mapping<T: Default>(self, look: impl FnOnce(&Mapping) -> T) -> T {
        let texts = MAPPINGS.iter().filter(|(file, _)| [WORKSPACE, self.file].contains(file));
        let files = Files(texts.map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect());
        let compiled = compile_with(&files, &(Arc::new(|_: &str| None) as _));
        let source = compiled.workspace.sources.get(self.name());
        source.and_then(|source| source.mapping.as_ref().ok()).map(look).unwrap_or_default()
    }
}

/// A bot as the shipped workspace sets it up, from the line of its name on.
pub(super) fn bot(name: &str) -> Option<Vec<&'static str>> {
    let (_, workspace) = MAPPINGS.iter().find(|(file, _)| *file == WORKSPACE)?;
    let (_, destinations) = workspace.split_once("\ndestinations:\n")?;
    let lines = destinations.lines().take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    let mut lines = lines.skip_while(|line| *line != format!("  {name}:"));
    let head = lines.next()?;
    let inside = lines.take_while(|line| indentation(line) > indentation(head));
    Some(std::iter::once(head).chain(inside).collect())
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The mapping without what its bots are to do, what is said of that right above, and what its tests expect of it.
fn without_calls(text: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut calls: Option<usize> = None;
    let mut tests = false;
    for line in text.lines() {
        tests |= line == "tests:";
        let (indent, words) = (indentation(line), line.trim_start());
        if calls.is_some_and(|of| indent > of) {
            continue;
        }
        calls = None;
        if !MOMENTS.iter().any(|moment| words.starts_with(moment)) {
            kept.push(if tests { without_expected_calls(line) } else { line.to_owned() });
            continue;
        }
        calls = Some(indent);
        while kept
            .last()
            .is_some_and(|above| above.trim_start().starts_with('#') && indentation(above) == indent)
        {
            kept.pop();
        }
    }
    kept.join("\n") + "\n"
}

/// A line of a test without `calls: […]` among what it expects.
fn without_expected_calls(line: &str) -> String {
    let Some((before, (_, after))) =
        line.split_once("calls: [").and_then(|(before, rest)| Some((before, rest.split_once(']')?)))
    else {
        return line.to_owned();
    };
    match before.strip_suffix(", ") {
        Some(before) => format!("{before}{after}"),
        None => format!("{before}{}", after.trim_start_matches(", ")),
    }
}

/// The mapping with its first test alone, whose request stands beside it; without tests where there is no sample.
fn with_one_test(text: &str) -> (String, Option<(String, &'static str)>) {
    let Some((mapping, tests)) = text.split_once("\ntests:\n") else { return (text.to_owned(), None) };
    let more = tests.match_indices("\n  - ").next().map_or(tests.len(), |(at, _)| at);
    let first = tests.get(..more).unwrap_or(tests).trim_end();
    let given = first.split_once(FIXTURES).and_then(|(_, place)| place.split_whitespace().next());
    let sample = SAMPLES.iter().find(|(place, _)| Some(*place) == given);
    let Some((place, request)) = sample else { return (format!("{mapping}\n"), None) };
    let file = format!("samples/{}", place.replace('/', "-"));
    let here = |text: &str| text.replace(&format!("{FIXTURES}{place}"), &file);
    let (mapping, first) = (here(mapping), here(first));
    let about =
        "# Run by `leadfold check`. Keep real requests of yours beside this one: the registry shows them.";
    (format!("{mapping}\n{about}\ntests:\n{first}\n"), Some((file, *request)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bots_are_to_do_goes_with_all_that_is_said_of_it() {
        let text = "\
defaults:
  to: [crm]
  rules:
    # about the rules
    preset: leadbox
  # Once the CRM has confirmed.
  after_done:
    - { to: sendpulse, set_tag: CRM }
    # - { to: sendpulse, set_tag: VIP }

leads:
  - name: one
    calls: [ { to: telegram, send_message: hi } ]
    when: true
  - name: two
    after_look_up:
      - to: mindbox
        run: { operation: by_phone }

tests:
  - name: a
    expect: { branch: one, calls: [\"telegram: send_message\"] }
  - name: b
    expect: { calls: [], branch: two }
  - name: c
    expect:
      branch: two
      calls: [\"mindbox: run\"]
";
        let expect = "\
defaults:
  to: [crm]
  rules:
    # about the rules
    preset: leadbox

leads:
  - name: one
    when: true
  - name: two

tests:
  - name: a
    expect: { branch: one }
  - name: b
    expect: { branch: two }
  - name: c
    expect:
      branch: two
";
        assert_eq!(without_calls(text), expect);
    }

    #[test]
    fn every_shipped_mapping_begins_with_a_test_of_its_own() {
        for shipped in all() {
            let Beginning { text, sample, .. } = shipped.beginning(&BTreeSet::new());
            assert_eq!(
                text.matches("given: samples/").count(),
                sample.iter().count(),
                "{}:\n{text}",
                shipped.name()
            );
            assert!(!text.contains(FIXTURES) && !shipped.summary().is_empty(), "{}:\n{text}", shipped.name());
        }
        assert!(
            all().filter(|shipped| shipped.beginning(&BTreeSet::new()).sample.is_some()).count()
                >= SAMPLES.len()
        );
    }
}
