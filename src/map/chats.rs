//! Which chats a bot of a workspace serves, so that no call goes to a chat of another bot.
//!
//! A destination says it by patterns (`chats:`), or its description does: `telegram:*` are the chats of every bot of Telegram,
//! `telegram:shop` those of one. What one bot names more exactly than another is its own: beside a Botmother bot
//! (`telegram:botmother`) a Telegram bot that serves `telegram:*` serves all others.

use std::collections::BTreeSet;

use super::problem::{Problem, Severity};
use super::source::Source;
use super::workspace::Workspace;
use super::{Files, place_of_destination};
use crate::event;
use crate::rules::{BotKind, Destination};

/// The chats that a bot serves.
#[derive(Clone, Debug, Default)]
pub struct Served<'w> {
    /// Its patterns.
    pub own: Vec<&'w str>,
    /// Those of bots whose chats are not its own.
    pub others: Vec<&'w str>,
}

impl Served<'_> {
    /// Whether it serves the chats of this scope.
    pub fn has(&self, scope: &str) -> bool {
        let exactness =
            |patterns: &[&str]| patterns.iter().filter_map(|pattern| exactness(pattern, scope)).max();
        let own = exactness(&self.own);
        own.is_some() && own >= exactness(&self.others)
    }
}

/// How exactly a pattern means a scope; `None`: not at all. Without a star it is the scope itself.
fn exactness(pattern: &str, scope: &str) -> Option<usize> {
    match pattern.strip_suffix('*') {
        Some(begin) => scope.starts_with(begin).then_some(begin.len()),
        None => (pattern == scope).then_some(usize::MAX),
    }
}

impl Workspace {
    /// The chats that a bot serves.
    pub fn served_by(&self, bot: &str) -> Served<'_> {
        let Some((destination, kind)) = self.bot(bot) else { return Served::default() };
        let owners = self.bots.keys().filter_map(|name| self.bot(name)).filter(|(other, other_kind)| {
            kind.writes_there && other_kind.writes_there && other.name != destination.name
        });
        let others = owners.flat_map(|(other, kind)| patterns(other, kind)).collect();
        Served { own: patterns(destination, kind), others }
    }

    fn bot(&self, name: &str) -> Option<(&Destination, &BotKind)> {
        Some((self.destinations.get(name)?, self.bots.get(name)?))
    }
}

fn patterns<'w>(destination: &'w Destination, kind: &BotKind) -> Vec<&'w str> {
    match destination.chats.as_slice() {
        [] => kind.chats.to_vec(),
        own => own.iter().map(String::as_str).collect(),
    }
}

/// Warns of bots that by a pattern would be called for chats which are another bot's.
pub(super) fn check(workspace: &Workspace, files: &Files) -> Vec<Problem> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let scopes: Vec<String> = workspace.sources.values().flat_map(scopes).collect();
    known.extend(scopes.iter().map(String::as_str));
    let bots =
        || workspace.bots.keys().filter_map(|name| workspace.bot(name)).filter(|(_, kind)| kind.writes_there);
    let patterns = bots().flat_map(|(destination, kind)| patterns(destination, kind));
    known.extend(patterns.filter(|pattern| !pattern.ends_with('*')));
    let problem = |(destination, _): (&Destination, &BotKind)| {
        let name = &destination.name;
        let served = workspace.served_by(name);
        let reached: Vec<&str> = known.iter().copied().filter(|scope| served.has(scope)).collect();
        // Whoever names each of them means it.
        let open = reached.iter().copied().find(|scope| !served.own.contains(scope))?;
        let rival =
            bots().find(|(other, _)| other.name != *name && workspace.served_by(&other.name).has(open));
        let message = match rival {
            _ if reached.len() > 1 => {
                format!(
                    "`{name}` is one bot, and would be called for the chats of several: {}",
                    reached.join(", ")
                )
            }
            Some((rival, _)) => {
                format!("both `{name}` and `{}` would be called for the chats of {open}", rival.name)
            }
            None => return None,
        };
        let (file, span) = place_of_destination(files, name)?;
        let own = reached.iter().find(|scope| scope.ends_with(&format!(":{name}"))).unwrap_or(&open);
        let help = format!(
            "say under `{name}` which are its own, so that no call goes to a chat of another bot: `chats: {own}`"
        );
        Some(Problem::new(Severity::Warning, &file, span, message, Some(help)))
    };
    bots().filter_map(problem).collect()
}

/// The scopes of the chats that a source brings, as far as its file says them.
fn scopes(source: &Source) -> Vec<String> {
    let Ok(mapping) = &source.mapping else { return Vec::new() };
    if let Some(scope) = &mapping.chat_scope {
        return vec![scope.clone()];
    }
    if event::preset(&source.preset).is_some_and(|preset| preset.bot_is_source) {
        return vec![format!("{}:{}", source.preset, source.name)];
    }
    let named = mapping.branches().iter().filter_map(|branch| {
        let chat = &branch.identifiers.chat;
        let text = |template: &Option<super::Template>| {
            let text = template.as_ref()?.constant()?.as_str()?.trim().to_owned();
            (!text.is_empty() && !chat.hint).then_some(text)
        };
        Some(format!("{}:{}", text(&chat.channel)?.to_lowercase(), text(&chat.bot)?))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_exact_pattern_has_the_chat() {
        let check = |own: &[&str], others: &[&str], scope: &str, expect: bool| {
            let served = Served { own: own.to_vec(), others: others.to_vec() };
            assert_eq!(served.has(scope), expect, "{own:?} beside {others:?}: {scope}");
        };
        check(&["telegram:*"], &[], "telegram:shop", true);
        check(&["telegram:*"], &[], "viber:shop", false);
        check(&["telegram:shop"], &[], "telegram:shop", true);
        check(&["telegram:shop"], &[], "telegram:shop2", false);
        check(&[], &[], "telegram:shop", false);
        check(&["telegram:*"], &["telegram:botmother"], "telegram:botmother", false);
        check(&["telegram:*"], &["telegram:botmother"], "telegram:shop", true);
        check(&["telegram:botmother"], &["telegram:*"], "telegram:botmother", true);
        // As exact as one another: both.
        check(&["telegram:*"], &["telegram:*"], "telegram:shop", true);
        check(&["telegram:shop"], &["telegram:shop"], "telegram:shop", true);
        check(&["telegram:*", "telegram:botmother"], &["telegram:botmother"], "telegram:botmother", true);
        check(&["*"], &["telegram:*"], "telegram:shop", false);
        check(&["telegram:shop-*"], &["telegram:*"], "telegram:shop-kyiv", true);
    }
}
