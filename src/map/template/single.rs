//! Single braces, as Chatterfy writes them in the URL of its step "Send webhook": `?subid={tracker.clickid}&name={username}`.
//!
//! A name between braces is a plain path, without filters. Where the event has nothing there, it means what Chatterfy
//! means by it, which is something of the person:
//!
//! | written | read from the event | else |
//! |---|---|---|
//! | `{tracker.clickid}` | `tracker.clickid` | `person.click` |
//! | `{chatId}` | `chatId` | `chat.id` |
//! | `{username}`, `{fields.balance}`, `{tracker.ad_name}` | that | `person.fields.username`, `….balance`, `….ad_name` |
//! | `{vars.link}`, `{lead.email}` | – | these are ours: nothing else |
//!
//! Every other brace is text, so that `{"id": 7}` is JSON; a brace before a name is text behind a backslash: `\{name}`.

/// Names of ours, which stand for nothing of Chatterfy's.
const OURS: [&str; 11] =
    ["body", "chat", "crm", "found", "headers", "lead", "person", "query", "received_at", "source", "vars"];

/// A stretch of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stretch<'t> {
    /// Without the backslashes of its braces.
    Text(String),
    /// What stands between a pair of braces.
    Name(&'t str),
}

/// Takes a value apart; the error is a brace that is neither text nor a placeholder, with what follows it.
pub(super) fn stretches(text: &str) -> Result<Vec<Stretch<'_>>, &str> {
    let (mut stretches, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some((before, behind)) = rest.split_once('{') {
        if let Some(before) = before.strip_suffix('\\') {
            literal.push_str(before);
            literal.push('{');
            rest = behind;
            continue;
        }
        literal.push_str(before);
        if !behind.trim_start().starts_with(|letter: char| letter.is_alphabetic() || letter == '_') {
            literal.push('{');
            rest = behind;
            continue;
        }
        let whole = rest.get(before.len()..).unwrap_or(behind);
        let (inside, after) = behind.split_once('}').ok_or(whole)?;
        let name = inside.trim();
        if !is_path(name) {
            return Err(whole);
        }
        if !literal.is_empty() {
            stretches.push(Stretch::Text(std::mem::take(&mut literal)));
        }
        stretches.push(Stretch::Name(name));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        stretches.push(Stretch::Text(literal));
    }
    Ok(stretches)
}

/// Whether there is a placeholder in a text.
pub(super) fn has_placeholder(text: &str) -> bool {
    stretches(text).is_ok_and(|all| all.iter().any(|stretch| matches!(stretch, Stretch::Name(_))))
}

/// The expression that a name stands for.
pub(super) fn expression(name: &str) -> String {
    let (root, below) = name.split_once('.').unwrap_or((name, ""));
    // Quoted, because keys of Chatterfy may have a dash, which would subtract.
    let steps: String = below.split('.').filter(|step| !step.is_empty()).map(quoted).collect();
    if OURS.contains(&root) {
        return format!("{root}{steps}");
    }
    let root = if root.contains('-') { format!("body{}", quoted(root)) } else { root.to_owned() };
    let path = format!("{root}{steps}");
    let person = match name {
        "tracker.clickid" | "clickid" => "person.click".to_owned(),
        "chatId" | "fields.chatId" => "chat.id".to_owned(),
        _ => format!("person.fields{}", quoted(name.rsplit('.').next().unwrap_or(name))),
    };
    // `default` would make an empty text of nothing.
    format!("{path} if {path} is defined else {person}")
}

fn quoted(step: &str) -> String {
    format!("['{step}']")
}

/// Names with dots between them, the first of which no number begins.
fn is_path(name: &str) -> bool {
    let is_letter =
        |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '\u{300}'..='\u{36f}');
    name.split('.').all(|step| !step.is_empty() && step.chars().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Stretch<'_> {
        Stretch::Text(text.to_owned())
    }

    #[test]
    fn a_name_between_braces_is_a_placeholder_and_every_other_brace_is_text() {
        let check = |value: &str, expect: &[Stretch<'_>]| {
            assert_eq!(stretches(value).as_deref(), Ok(expect), "{value}");
        };
        check("", &[]);
        check("plain", &[text("plain")]);
        check("{username}", &[Stretch::Name("username")]);
        check("a={ chatId }&b", &[text("a="), Stretch::Name("chatId"), text("&b")]);
        check(
            "{tracker.clickid}{fields.ref-id}",
            &[Stretch::Name("tracker.clickid"), Stretch::Name("fields.ref-id")],
        );
        check("{Ваш_телефон}", &[Stretch::Name("Ваш_телефон")]);
        check("{\"id\": 7, \"of\": {}}", &[text("{\"id\": 7, \"of\": {}}")]);
        check("{\"name\": \"{username}\"}", &[text("{\"name\": \""), Stretch::Name("username"), text("\"}")]);
        check("[0-9]{2} {2,3} {", &[text("[0-9]{2} {2,3} {")]);
        check(r"\{username} is {username}", &[text("{username} is "), Stretch::Name("username")]);
        check(r"a \ b } {", &[text(r"a \ b } {")]);
    }

    #[test]
    fn what_only_looks_like_a_placeholder_is_refused() {
        for (value, expect) in [
            ("a {username", "{username"),
            ("{user name} b", "{user name} b"),
            ("{a: 1}", "{a: 1}"),
            ("{a|lower}", "{a|lower}"),
            ("{a..b}", "{a..b}"),
            ("{a.}", "{a.}"),
            ("{a[0]}", "{a[0]}"),
            ("{x = y}", "{x = y}"),
            ("{a'] or lead['phone}", "{a'] or lead['phone}"),
        ] {
            assert_eq!(stretches(value), Err(expect), "{value}");
        }
    }

    #[test]
    fn names_mean_what_chatterfy_means() {
        let check = |name: &str, expect: &str| assert_eq!(expression(name), expect);
        check("username", "username if username is defined else person.fields['username']");
        check("chatId", "chatId if chatId is defined else chat.id");
        check("fields.chatId", "fields['chatId'] if fields['chatId'] is defined else chat.id");
        check("tracker.clickid", "tracker['clickid'] if tracker['clickid'] is defined else person.click");
        check(
            "tracker.ad_name",
            "tracker['ad_name'] if tracker['ad_name'] is defined else person.fields['ad_name']",
        );
        check("ref-id", "body['ref-id'] if body['ref-id'] is defined else person.fields['ref-id']");
        check("vars.link", "vars['link']");
        check("lead", "lead");
    }
}
