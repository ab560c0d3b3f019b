//! Asking whoever sits at the terminal, and showing how far long work is.

use std::io::{BufRead as _, IsTerminal, Write as _};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use super::{Failure, process_environment};
use crate::access::password::{self, Password};

/// Whether what is written there may have colours: on a terminal whose user has not set `NO_COLOR`.
pub(super) fn has_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && process_environment()("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What stands before a failure on standard error, as clap writes it before its own.
pub(super) fn error_word() -> &'static str {
    if has_colours(&std::io::stderr()) { "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m" } else { "error:" }
}

/// Whether somebody can be asked.
pub(super) fn has_somebody() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks, and returns what was typed, in lower case.
pub(super) fn ask(question: &str) -> Result<String, Failure> {
    let broke = |error: std::io::Error| format!("the terminal broke: {error}");
    let mut out = std::io::stderr();
    write!(out, "{question} ").and_then(|()| out.flush()).map_err(broke)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(broke)?;
    Ok(line.trim().to_lowercase())
}

/// Asks for a yes; anything else is a no. Where nobody can be asked it is an error that names the flag.
pub(super) fn confirm(question: &str) -> Result<bool, Failure> {
    if !has_somebody() {
        return Err("nothing is done: nobody can be asked here. Add --yes to do it without asking".to_owned());
    }
    Ok(matches!(ask(&format!("{question} [y/N]"))?.as_str(), "y" | "yes"))
}

/// A new password: typed twice where somebody sits at the terminal, or the first line of standard input.
pub(super) async fn new_password(of: &str, from_stdin: bool) -> Result<Password, Failure> {
    if !from_stdin && !has_somebody() {
        return Err(
            "nobody can be asked for the password here. Write it to standard input, and add --password-stdin"
                .to_owned(),
        );
    }
    let password = if from_stdin { line().await? } else { unseen(&format!("New password of {of}:")).await? };
    // Before it is typed once more.
    password::check(&password).map_err(|error| error.to_string())?;
    if !from_stdin && unseen("The same once more:").await? != password {
        return Err("the two are not the same, so nothing is changed. Run it again".to_owned());
    }
    Ok(password)
}

/// Asks for something that is not shown while it is typed.
async fn unseen(question: &str) -> Result<Password, Failure> {
    let broke = |error: &dyn std::fmt::Display| format!("the terminal broke: {error}");
    let input = std::io::stdin();
    let before = tcgetattr(&input).map_err(|error| broke(&error))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    write!(std::io::stderr(), "{question} ").map_err(|error| broke(&error))?;
    tcsetattr(&input, OptionalActions::Flush, &silent).map_err(|error| broke(&error))?;
    // Whoever gives up with Ctrl-C gets a terminal back that shows what they type.
    let typed = tokio::select! {
        typed = line() => typed,
        _ = tokio::signal::ctrl_c() => Err("nothing is changed: it was broken off".to_owned()),
    };
    tcsetattr(&input, OptionalActions::Now, &before).map_err(|error| broke(&error))?;
    writeln!(std::io::stderr()).map_err(|error| broke(&error))?;
    typed
}

/// A line of standard input. On a thread of its own, which nothing waits for when the process ends before it comes.
async fn line() -> Result<Password, Failure> {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line).map(|_| line);
        // Nobody listens any more when it was broken off.
        tell.send(read).ok();
    });
    let line = told.await.map_err(|_| "standard input broke".to_owned())?;
    let line = line.map_err(|error| format!("standard input cannot be read as text: {error}"))?;
    Ok(Password(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// How a command that shows what it would do, and asks, is told what to do without being asked.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Asking {
    /// Do it without asking
    #[arg(long)]
    pub(super) yes: bool,
    /// Only show what would be done
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
    /// Print one JSON object instead of text; needs --yes or --dry-run
    #[arg(long)]
    pub(super) json: bool,
}

impl Asking {
    /// Refuses to ask where the answer is read by a program.
    pub(super) fn check(self) -> Result<(), Failure> {
        if self.json && !self.yes && !self.dry_run {
            return Err("--json does not ask: add --yes to do it, or --dry-run to look".to_owned());
        }
        Ok(())
    }

    /// Whether it is to be done.
    pub(super) fn consents(self, question: &str) -> Result<bool, Failure> {
        Ok(!self.dry_run && (self.yes || confirm(question)?))
    }
}

/// How far long work is: a bar on a terminal, elsewhere a line every tenth of it. On standard error, so that the result
/// stands alone on standard output.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    done: u64,
    total: u64,
    told: u64,
}

impl Progress {
    /// Nothing done yet of so many.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}, {eta} left") {
                bar.set_style(style);
            }
            bar.set_message(what);
            bar
        });
        Self { bar, what, done: 0, total, told: 0 }
    }

    /// So many more are done.
    pub(super) fn advance(&mut self, by: u64) {
        self.done += by;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.done - self.told >= (self.total / 10).max(1) && self.done < self.total => {
                self.told = self.done;
                writeln!(std::io::stderr(), "{}: {} of {}", self.what, self.done, self.total).ok();
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A text as a terminal may show it. Leads and CRMs hold what anybody wrote, and control characters in it would drive the
/// terminal of whoever looks: they are shown instead (`␛` for escape). Colours, line ends and tabs stay.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let colour = colour(rest);
        let (taken, behind) = rest.split_at(if colour > 0 { colour } else { letter.len_utf8() });
        rest = behind;
        match letter {
            _ if colour > 0 => shown.push_str(taken),
            '\n' | '\t' => shown.push(letter),
            '\r' if rest.starts_with('\n') => shown.push(letter),
            '\0'..='\u{1f}' => shown.extend(char::from_u32(0x2400 + u32::from(letter))),
            // Delete, further controls, and those that turn the direction of what follows.
            '\u{7f}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.push(char::REPLACEMENT_CHARACTER);
            }
            _ => shown.push(letter),
        }
    }
    shown
}

/// The length of the colour that a text begins with (`ESC [ 1 ; 31 m`); 0 where it begins with none.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let numbers = rest.find(|letter: char| !letter.is_ascii_digit() && letter != ';').unwrap_or(rest.len());
    let ends = rest.as_bytes().get(numbers) == Some(&b'm');
    if ends { "\u{1b}[".len() + numbers + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_shown_instead() {
        let check = |text: &str, expect: &str| assert_eq!(harmless(text), expect, "{text:?}");
        check("", "");
        check("Олена\tтелефон\r\nдалі 👍🏽", "Олена\tтелефон\r\nдалі 👍🏽");
        check("\u{1b}[1;31mred\u{1b}[0m \u{1b}[m", "\u{1b}[1;31mred\u{1b}[0m \u{1b}[m");
        check("\u{1b}]0;owned\u{7}", "␛]0;owned␇");
        check("\u{1b}[2J\u{1b}[31", "␛[2J␛[31");
        check("\u{1b}[;мm", "␛[;мm");
        check("over\rwritten\u{8}", "over␍written␈");
        check("\u{9b}2J\u{7f}\0", "\u{fffd}2J\u{fffd}␀");
        check("exe.\u{202e}gpj", "exe.\u{fffd}gpj");
    }
}
