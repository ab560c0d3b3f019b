//! What was decided for each destination, and what became of every step.

use maud::{Markup, html};
use serde_json::Value;

use super::{list, text};
use crate::console::guard::Reader;
use crate::console::reasons::{badge, kept, whole};
use crate::lead::Moment;
use crate::store::audits::AuditDetail;
use crate::store::registry::{LeadDetail, StepDetail, SyncDetail};

/// Shown in place of what may be a secret.
const HIDDEN: &str = "••••••";

pub(super) fn sync(reader: &Reader, sync: &SyncDetail) -> Markup {
    let (past, steps): (Vec<&StepDetail>, Vec<&StepDetail>) = sync.steps.iter().partition(|step| step.past);
    // The state of what is held is told by its first reason.
    let told = usize::from(sync.state == "held" && sync.why.is_some());
    html! {
        li {
            h2 { (reader.say("To ", "До ")) (sync.destination) " " (badge(reader, &sync.state)) }
            @if let Some(why) = &sync.why { p { (whole(reader, why)) } }
            @if let Some(next) = sync.next_at {
                p.faint {
                    (reader.say("Looked at again at ", "Повернемося до нього ")) (reader.moment(next))
                    @if sync.attempts > 0 {
                        ", " (reader.count(sync.attempts, ["failed try so far", "failed tries so far"],
                            ["невдала спроба", "невдалі спроби", "невдалих спроб"]))
                    }
                }
            }
            @if let Some(at) = sync.planned_at {
                p.faint { (reader.say("Decided ", "Вирішено ")) time datetime=(at) { (reader.moment(at)) } }
            }
            @let reasons: Vec<&Value> = list(sync.reasons.as_ref()).iter().skip(told).collect();
            @if !reasons.is_empty() {
                h3 { (reader.say("Why", "Чому")) }
                ul { @for reason in reasons { li { (whole(reader, reason)) } } }
            }
            @if !steps.is_empty() {
                h3 { (reader.say("Steps", "Кроки")) }
                ol.steps { @for each in steps { (step(reader, each)) } }
            }
            @for audit in &sync.audits { (audited(reader, audit)) }
            @if !past.is_empty() {
                details {
                    summary { (reader.say("Steps of earlier plans", "Кроки попередніх планів")) }
                    ol.steps { @for each in past { (step(reader, each)) } }
                }
            }
        }
    }
}

fn step(reader: &Reader, step: &StepDetail) -> Markup {
    html! {
        li {
            b { (kind(reader, &step.kind)) } " " (badge(reader, &step.state))
            @if let Some(record) = &step.record { " " (reader.say("record ", "запис ")) code { (record) } }
            @if let Some(sent) = step.sent_at {
                " " span.faint {
                    (reader.say("sent ", "надіслано ")) time datetime=(sent) { (reader.moment(sent)) }
                    @if let Some(ended) = step.ended_at {
                        (reader.say(", answered after ", ", відповідь за ")) (reader.span(ended.duration_since(sent)))
                    }
                }
            }
            @if let Some(why) = &step.why { p.answer { (reader.say("Answer: ", "Відповідь: ")) (kept(reader, why)) } }
            @let written = written(&step.action);
            @if !written.is_empty() {
                details {
                    summary { (reader.say("What is written", "Що записуємо")) }
                    dl translate="no" { @for (name, value) in written { dt { (name) } dd { (value) } } }
                }
            }
        }
    }
}

/// A kind of step.
pub(in crate::console) fn kind(reader: &Reader, word: &str) -> String {
    let known = match word {
        "create contact" => reader.say("Create contact", "Створити контакт"),
        "update contact" => reader.say("Update contact", "Оновити контакт"),
        "create deal" => reader.say("Create deal", "Створити угоду"),
        "update deal" => reader.say("Update deal", "Оновити угоду"),
        "create task" => reader.say("Create task", "Поставити завдання"),
        "add note" => reader.say("Add note", "Додати примітку"),
        "call" => reader.say("Call the bot", "Викликати бота"),
        other => return other.to_owned(),
    };
    known.to_owned()
}

/// What a step writes, by field, however deep it stands.
fn written(action: &Value) -> Vec<(String, String)> {
    fn add(name: &str, value: &Value, into: &mut Vec<(String, String)>) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    // The parts of an action and its further fields are one list for whoever reads it.
                    let inner = match (name, key.as_str()) {
                        ("", "do") => continue,
                        ("" | "contact" | "deal" | "changes" | "task" | "call" | "fields" | "with", key) => {
                            key.to_owned()
                        }
                        (name, key) => format!("{name}.{key}"),
                    };
                    if is_secret(key) && !value.is_null() {
                        into.push((inner, HIDDEN.to_owned()));
                    } else {
                        add(&inner, value, into);
                    }
                }
            }
            Value::Null => {}
            Value::Array(_) | Value::String(_) | Value::Bool(_) | Value::Number(_) => {
                let text = text(Some(value));
                if !text.is_empty() {
                    into.push((name.to_owned(), text));
                }
            }
        }
    }
    let mut fields = Vec::new();
    add("", action, &mut fields);
    fields
}

/// Whether a parameter of this name is likely to hold what nobody should read. Mappings take secrets in settings only; this
/// is for whoever wrote one into a call all the same.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["token", "secret", "password", "api_key", "apikey", "authorization"]
        .iter()
        .any(|word| name.contains(word))
}

/// What became of looking once more for a step that was sent again.
fn audited(reader: &Reader, audit: &AuditDetail) -> Markup {
    let (words, class) = match audit.result.as_deref() {
        None => (
            reader.say(
                "sent again, so it is looked for once more at ",
                "надіслано вдруге, тож перевіримо ще раз ",
            ),
            "wait",
        ),
        Some("once") => {
            (reader.say("sent again, and there once", "надіслано вдруге, записано один раз"), "good")
        }
        Some("none") => (
            reader.say("sent again, and not there any more", "надіслано вдруге, але запису вже немає"),
            "bad",
        ),
        Some("twice") => (
            reader.say(
                "sent again, and there too often: remove what is too much",
                "надіслано вдруге і записано зайве: приберіть його",
            ),
            "bad",
        ),
        Some(_) => (
            reader.say(
                "sent again, and nobody can tell whether it is there once",
                "надіслано вдруге, і перевірити неможливо",
            ),
            "wait",
        ),
    };
    html! {
        p {
            span.badge.(class) { (kind(reader, &audit.kind)) } " " (words)
            @if audit.result.is_none() { (reader.moment(audit.due_at)) }
            @if !audit.records.is_empty() { ": " code { (audit.records.join(", ")) } }
            @if let Some(note) = &audit.note { " " (kept(reader, note)) }
        }
    }
}

/// Bots that are called once the CRMs have come so far.
pub(super) fn coming(reader: &Reader, lead: &LeadDetail) -> Markup {
    html! {
        @for call in &lead.calls_to_come {
            li {
                h2 { (reader.say("Then to ", "Потім до ")) (call.to) }
                p {
                    @if call.moment == Moment::Done.key() {
                        (reader.say("once every destination has confirmed", "щойно всі призначення підтвердять"))
                    } @else {
                        (reader.say("once every destination was asked what it has", "щойно всі призначення перевірено"))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_told_by_field_and_secrets_are_not() {
        let action = json!({
            "do": "call",
            "call": { "operation": "send", "chat": { "id": "7" }, "with": { "text": "Hi", "api_token": "s3cret", "nothing": null } }
        });
        let check = |name: &str, value: &str| {
            let written = written(&action);
            assert!(written.contains(&(name.to_owned(), value.to_owned())), "{name}: {written:?}");
        };
        check("operation", "send");
        check("chat.id", "7");
        check("text", "Hi");
        check("api_token", HIDDEN);
        assert!(!format!("{:?}", written(&action)).contains("s3cret"));
        let action = json!({ "do": "create_deal", "contact": { "record": "12" }, "deal": { "title": "T", "fields": { "utm": ["a", "b"] } } });
        assert_eq!(
            written(&action),
            [("record", "12"), ("title", "T"), ("utm", "a, b")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }
}
