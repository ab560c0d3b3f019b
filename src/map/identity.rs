//! `identity:` of `workspace.yaml`: what tells who is who.

use std::time::Duration;

use super::reader::{Reader, Section};
use super::yaml::Node;
use crate::lead::IdentifierKind;
use crate::rules::{IdentifierOrder, IdentityRules, Limits};

pub(super) const KEYS: &[&str] = &["order", "shared_from", "strict", "forget_after", "limits"];

pub(super) const LIMITS_KEYS: &[&str] = &["phones", "emails", "chats", "merges"];

/// The fewest people who can share anything.
pub(super) const FEWEST_WHO_SHARE: u32 = 2;

/// Below this, somebody who comes back next week under a nickname would be taken for somebody else.
const SHORTEST_MEMORY: Duration = Duration::from_hours(24 * 30);

pub(super) fn read(reader: &Reader<'_>, node: &Node) -> IdentityRules {
    let Some(section) = reader.section(node, "`identity`", KEYS) else { return IdentityRules::default() };
    let defaults = IdentityRules::default();
    IdentityRules {
        order: section.get("order").map(|node| order(reader, node)).unwrap_or_default(),
        shared_from: shared_from(reader, &section).unwrap_or(defaults.shared_from),
        forget_after: section
            .get("forget_after")
            .and_then(|node| forget_after(reader, node))
            .unwrap_or(defaults.forget_after),
        limits: section.get("limits").map(|node| limits(reader, node)).unwrap_or_default(),
    }
}

/// Kinds that are not named follow in their default order.
fn order(reader: &Reader<'_>, node: &Node) -> IdentifierOrder {
    let words = IdentifierKind::JOINING.map(|kind| (kind.as_str(), kind));
    let mut order: Vec<IdentifierKind> = Vec::new();
    for item in reader.list(node, "`order`") {
        let Some(kind) = reader.choice(item, "`order`", &words) else { continue };
        if order.contains(&kind) {
            reader.error(item.span, format!("`{}` stands twice in `order`", kind.as_str()), None);
        } else {
            order.push(kind);
        }
    }
    let rest: Vec<IdentifierKind> =
        IdentifierKind::JOINING.into_iter().filter(|kind| !order.contains(kind)).collect();
    order.extend(rest);
    IdentifierOrder(order)
}

fn shared_from(reader: &Reader<'_>, section: &Section<'_>) -> Option<usize> {
    let strict = section.get("strict").and_then(|node| reader.boolean(node, "`strict`")) == Some(true);
    let Some(node) = section.get("shared_from") else { return strict.then_some(IdentityRules::STRICT) };
    let people: u32 = reader.count(node, "`shared_from`")?;
    if people < FEWEST_WHO_SHARE {
        let help =
            "write 2 to take two different names on one phone for two people; 4 is the default".to_owned();
        reader.error(node.span, format!("`shared_from` must be at least {FEWEST_WHO_SHARE}"), Some(help));
        return None;
    }
    if strict {
        let help = "`strict: true` is short for `shared_from: 2`; keep one of the two".to_owned();
        reader.error(node.span, "`shared_from` and `strict` say the same thing twice", Some(help));
    }
    usize::try_from(people).ok()
}

fn forget_after(reader: &Reader<'_>, node: &Node) -> Option<Duration> {
    let time = reader.duration(node, "`forget_after`")?;
    if time < SHORTEST_MEMORY {
        let help = "numbers are given to somebody else after months; the default is 548d".to_owned();
        reader.error(node.span, "`forget_after` must be at least 30d", Some(help));
        return None;
    }
    Some(time)
}

fn limits(reader: &Reader<'_>, node: &Node) -> Limits {
    let defaults = Limits::default();
    let Some(section) = reader.section(node, "`limits`", LIMITS_KEYS) else { return defaults };
    let limit = |key: &str| {
        let node = section.get(key)?;
        let most: u32 = reader.count(node, &format!("`{key}`"))?;
        if most == 0 {
            let help =
                "it is how many one human may have before somebody should look; leave it out for the default";
            reader.error(node.span, format!("`{key}` must be at least 1"), Some(help.to_owned()));
            return None;
        }
        Some(most)
    };
    let size =
        |key: &str, default: usize| limit(key).and_then(|most| usize::try_from(most).ok()).unwrap_or(default);
    Limits {
        phones: size("phones", defaults.phones),
        emails: size("emails", defaults.emails),
        chats: size("chats", defaults.chats),
        merges: limit("merges").unwrap_or(defaults.merges),
    }
}
