//! Differences between versions of a workspace, with what is added and what is gone told apart by more than colour.

use maud::{Markup, html};

use super::guard::Reader;
use crate::operation::mappings::Compared;

/// What differs between two versions.
pub(super) fn difference(reader: &Reader, compared: &Compared) -> Markup {
    html! {
        @if compared.files.is_empty() && compared.secrets.is_empty() {
            p.faint { (reader.say("Nothing.", "Нічого.")) }
        }
        @for file in &compared.files {
            h3 { (file.file) " " span.faint { "+" (file.added) " −" (file.removed) } }
            pre.diff tabindex="0" {
                @for line in file.diff.lines().skip(2) {
                    @match line.chars().next() {
                        Some('+') => ins { (line) "\n" },
                        Some('-') => del { (line) "\n" },
                        Some('@') => span.faint { (line) "\n" },
                        _ => { (line) "\n" }
                    }
                }
            }
        }
        @for file in &compared.secrets {
            p { (file) ": " (reader.say("a secret that is written out differs; it is not shown", "інший секрет, записаний у файлі; його не показано")) "." }
        }
    }
}
