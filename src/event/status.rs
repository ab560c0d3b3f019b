//! What the status of a message says of the chat that it was sent to.

use crate::lead::ChatStatus;

/// Words for a message that did not arrive.
const NOT_DELIVERED: [&str; 2] = ["undelivered", "failed"];

/// What a messenger answers for somebody who blocked the bot, whatever stands around it: `403: Forbidden`.
const FORBIDDEN: &str = "forbidden";

/// Longest description that is repeated to people, in characters.
const LONGEST: usize = 200;

/// Why the bot cannot write into a chat any more; `None` when the status does not say so. A message that failed for another
/// reason (no such address now, a limit, an outage) leaves the chat as it was.
pub fn blocked_by(status: &ChatStatus) -> Option<String> {
    let failed = NOT_DELIVERED.iter().any(|word| status.status.trim().eq_ignore_ascii_case(word));
    let description = status.description.as_deref().unwrap_or_default().trim();
    if !failed || !description.to_lowercase().contains(FORBIDDEN) {
        return None;
    }
    let description: String = description.chars().take(LONGEST).collect();
    Some(format!("a message was not delivered ({}): {description}", status.status.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_the_human_blocks() {
        let check = |status: &str, description: Option<&str>, expect: Option<&str>| {
            let status = ChatStatus {
                status: status.to_owned(),
                description: description.map(str::to_owned),
                at: None,
            };
            assert_eq!(blocked_by(&status).as_deref(), expect, "{status:?}");
        };
        let forbidden = Some("403: Forbidden");
        check("UNDELIVERED", forbidden, Some("a message was not delivered (UNDELIVERED): 403: Forbidden"));
        check(
            " failed ",
            Some("FORBIDDEN: bot was blocked by the user"),
            Some("a message was not delivered (failed): FORBIDDEN: bot was blocked by the user"),
        );
        check("FAILED", None, None);
        check("FAILED", Some("Too Many Requests"), None);
        check("UNDELIVERED", Some("403"), None);
        check("DELIVERED", forbidden, None);
        check("READ", None, None);
        check("", forbidden, None);
        let long = format!("Forbidden {}", "я".repeat(500));
        let status = ChatStatus { status: "FAILED".to_owned(), description: Some(long), at: None };
        assert!(blocked_by(&status).unwrap().chars().count() < 260);
    }
}
