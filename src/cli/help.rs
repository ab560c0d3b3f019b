//! The top of `--help`: the commands by what one wants, and the exit codes.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use clap::builder::StyledStr;

use super::Cli;

/// The commands in the order in which one meets them. clap itself lists them in one long column.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Try it", &["demo", "init", "sandbox"]),
    ("Write the workspace", &["check", "test", "doctor", "rehearse", "schema"]),
    ("Run it", &["deploy", "serve", "ready", "apply", "versions"]),
    ("Look after it", &["migrate", "move", "backup", "restored"]),
    ("Say who may what", &["users", "tokens", "actions"]),
    (
        "Every day",
        &[
            "explain",
            "people",
            "link",
            "bot",
            "replay",
            "live",
            "pause",
            "resume",
            "pools",
            "postbacks",
            "erase",
        ],
    ),
    ("Tools", &["torture", "normalise", "completions"]),
];

/// What `leadfold --help` ends with.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  It is done, and all is well.
  1  It found something: a mistake, a difference, leads that wait for an answer,
     or nothing where something was sought.
  2  It could not be done. Standard error says why, and what to do next.

Results go to standard output, as text for people or with --json as JSON for
programs. `leadfold <COMMAND> --help` explains a command, with examples.";

const TEMPLATE: &str =
    "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}";

/// The command line as clap reads it and completes it.
pub(super) fn command() -> clap::Command {
    let command = Cli::command();
    let listed = listed(&command);
    command.before_help(listed).help_template(TEMPLATE)
}

fn listed(command: &clap::Command) -> StyledStr {
    let width = command.get_subcommands().map(|one| one.get_name().len()).max().unwrap_or(0);
    let (heading, literal) = (command.get_styles().get_header(), command.get_styles().get_literal());
    let mut text = String::new();
    for (group, names) in GROUPS {
        // Writing to a String cannot fail, here and below.
        writeln!(text, "{heading}{group}:{heading:#}").ok();
        for one in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let (name, about) =
                (one.get_name(), one.get_about().map(ToString::to_string).unwrap_or_default());
            writeln!(text, "  {literal}{name:width$}{literal:#}  {about}").ok();
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command with the words that call it, subcommands as well.
    fn every(command: &clap::Command, words: &str) -> Vec<(String, clap::Command)> {
        let mut all = vec![(words.to_owned(), command.clone())];
        for one in command.get_subcommands() {
            all.extend(every(one, &format!("{words} {}", one.get_name())));
        }
        all
    }

    /// What the shell would make of an example: its words up to a pipe, a redirection or the explanation behind it.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut rest = line;
        while !rest.is_empty() && !rest.starts_with([' ', '|', '<', '>', ')']) {
            let between = |mark: char| rest.strip_prefix(mark).and_then(|rest| rest.split_once(mark));
            let quoted = between('"').or_else(|| between('\''));
            let (word, behind) =
                quoted.unwrap_or_else(|| rest.split_at(rest.find([' ', ')']).unwrap_or(rest.len())));
            words.push(word.to_owned());
            rest = behind.strip_prefix(' ').unwrap_or(behind);
        }
        words
    }

    #[test]
    fn every_command_is_listed_once() {
        let command = command();
        let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn every_command_has_examples_that_it_takes() {
        for (name, one) in every(&command(), "leadfold").into_iter().skip(1) {
            let help = one.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples"), "{name} --help has no examples");
            let lines = help.lines().filter(|line| line.starts_with("  "));
            let examples: Vec<&str> =
                lines.filter_map(|line| line.find("leadfold ").map(|at| line.get(at..).unwrap())).collect();
            assert!(
                examples.iter().any(|example| example.starts_with(&name)),
                "{name} is in none of its examples"
            );
            for example in examples.into_iter().filter(|example| !example.contains('`')) {
                let taken = command().try_get_matches_from(words(example));
                assert!(taken.is_ok(), "{name} --help shows `{example}`: {}", taken.unwrap_err());
            }
        }
    }

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        for (name, one) in every(&command(), "leadfold") {
            let mut one = one.term_width(80);
            let after_help = one.get_after_help().map(ToString::to_string).unwrap_or_default();
            for help in [after_help, one.render_help().to_string(), one.render_long_help().to_string()] {
                for line in help.lines() {
                    assert!(line.chars().count() <= 80, "{name}: {line}");
                }
            }
        }
    }
}
