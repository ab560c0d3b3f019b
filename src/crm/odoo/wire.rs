//! Odoo's JSON: what an answer means, records that are read, rows that were loaded. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::crm::CrmError;
use crate::crm::http::Verdict;

/// What Odoo means by an answer.
///
/// Each call is a transaction of its own, and an error in Odoo's own form says that it was rolled back: nothing was
/// written, also where the status is 500. A page of a proxy before Odoo says nothing of the kind.
pub(super) fn judge(status: u16, body: &Value) -> Option<Verdict> {
    let name = body.get("name")?.as_str()?;
    body.get("message")?;
    match status {
        500..=599 => Some(if is_refusal(name) { Verdict::Rejected } else { Verdict::NotDone }),
        _ => None,
    }
}

/// Whether an exception of this class would come again: a field or value that Odoo does not take. Others are troubles of
/// the moment, of its database or its memory.
fn is_refusal(name: &str) -> bool {
    const BUILTINS: [&str; 7] = [
        "AssertionError",
        "AttributeError",
        "IndexError",
        "KeyError",
        "NotImplementedError",
        "TypeError",
        "ValueError",
    ];
    match name.strip_prefix("builtins.") {
        Some(builtin) => BUILTINS.contains(&builtin),
        None => name.starts_with("odoo.exceptions.") && !name.ends_with("LockError"),
    }
}

/// Two transactions that met: PostgreSQL undid one of them, and it works when it is tried again.
fn is_conflict(message: &str) -> bool {
    ["could not serialize access", "deadlock detected", "could not obtain lock"]
        .iter()
        .any(|known| message.contains(known))
}

/// `a OR b OR …` in Odoo's prefix notation, in which each branch is written too.
pub(super) fn any(branches: Vec<Vec<Value>>) -> Vec<Value> {
    let mut domain = vec![json!("|"); branches.len().saturating_sub(1)];
    domain.extend(branches.into_iter().flatten());
    domain
}

/// A record as `search_read` gives it: an empty value is `false`, a reference is `[id, name]`.
#[derive(Debug)]
pub(super) struct Record(Map<String, Value>);

impl Record {
    /// The value of a field, unless it is empty.
    pub(super) fn value(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !matches!(value, Value::Null | Value::Bool(false)))
    }

    pub(super) fn id(&self) -> Option<u64> {
        self.value("id")?.as_u64()
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.value(field)?.as_str().filter(|text| !text.trim().is_empty())
    }

    pub(super) fn flag(&self, field: &str) -> bool {
        self.value(field).and_then(Value::as_bool) == Some(true)
    }

    /// The id and the name of the record that a field refers to.
    pub(super) fn reference(&self, field: &str) -> Option<(u64, &str)> {
        let pair = self.value(field)?.as_array()?;
        Some((pair.first()?.as_u64()?, pair.get(1)?.as_str()?))
    }

    /// The ids of the records that a field refers to.
    pub(super) fn references(&self, field: &str) -> Vec<u64> {
        let ids = self.value(field).and_then(Value::as_array);
        ids.into_iter().flatten().filter_map(Value::as_u64).collect()
    }

    /// A moment; Odoo writes UTC without saying so.
    pub(super) fn time(&self, field: &str) -> Option<Timestamp> {
        let written: DateTime = self.text(field)?.parse().ok()?;
        Some(written.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

/// The records of a `search_read`; each has an id.
pub(super) fn records(body: Value) -> Result<Vec<Record>, CrmError> {
    let Value::Array(items) = body else { return Err(strange("a list of records")) };
    items
        .into_iter()
        .map(|item| match item {
            Value::Object(entries) => Some(Record(entries)).filter(|record| record.id().is_some()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| strange("a record"))
}

/// The record itself is not quoted: it is somebody's data.
pub(super) fn strange(what: &str) -> CrmError {
    let why = format!("the CRM did not answer with {what}; is `url` an Odoo 19 or later?");
    CrmError::Rejected { why }
}

/// What became of the rows of a `load`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// All are written; the records in the order of the rows.
    Done(Vec<u64>),
    /// None is: another transaction was in the way.
    Conflict(String),
    /// None is: Odoo refuses some.
    Refused {
        /// The rows that it names, which need not be those to blame.
        rows: BTreeSet<usize>,
        /// What it says first.
        why: String,
    },
    /// The answer does not say.
    Unclear,
}

pub(super) fn loaded(body: &Value, rows: usize) -> Loaded {
    if let Some(ids) = body.get("ids").and_then(Value::as_array) {
        let ids: Vec<u64> = ids.iter().filter_map(Value::as_u64).collect();
        return if ids.len() == rows { Loaded::Done(ids) } else { Loaded::Unclear };
    }
    if body.get("ids") != Some(&Value::Bool(false)) {
        return Loaded::Unclear;
    }
    let messages = body.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let errors: Vec<&Value> = messages.iter().filter(|message| message["type"] == "error").collect();
    let said = |error: &&Value| error["message"].as_str().unwrap_or_default().trim().to_owned();
    if let Some(conflict) = errors.iter().map(said).find(|text| is_conflict(text)) {
        return Loaded::Conflict(conflict);
    }
    let named = |error: &&&Value| usize::try_from(error["record"].as_u64()?).ok();
    Loaded::Refused {
        rows: errors.iter().filter_map(|error| named(&error)).filter(|row| *row < rows).collect(),
        why: errors.first().map_or_else(|| "it does not say why".to_owned(), said),
    }
}

/// Plain text as Odoo's HTML fields take it.
pub(super) fn to_html(text: &str) -> String {
    let escaped = text.trim().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<p>{}</p>", escaped.replace("\r\n", "\n").replace('\n', "<br/>"))
}

/// What a person reads of an HTML field, so that it can be compared with what a lead says and added to.
pub(super) fn from_html(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    for (index, part) in html.split('<').enumerate() {
        let (tag, rest) = if index == 0 { ("", part) } else { part.split_once('>').unwrap_or((part, "")) };
        if tag.starts_with("br") || ["/p", "/div", "/li"].contains(&tag) {
            text.push('\n');
        }
        text.push_str(rest);
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&nbsp;", " ").replace("&amp;", "&").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_odoo_is_told_from_one_of_a_proxy() {
        let check = |status: u16, body: Value, expect: Option<Verdict>| {
            assert_eq!(judge(status, &body), expect, "{status} {body}");
        };
        let odoo = |name: &str| json!({"name": name, "message": "no", "arguments": [], "debug": "Traceback"});
        check(500, odoo("builtins.ValueError"), Some(Verdict::Rejected));
        check(500, odoo("odoo.exceptions.UserError"), Some(Verdict::Rejected));
        check(500, odoo("builtins.MemoryError"), Some(Verdict::NotDone));
        check(500, odoo("psycopg2.errors.SerializationFailure"), Some(Verdict::NotDone));
        check(503, odoo("psycopg2.OperationalError"), Some(Verdict::NotDone));
        check(422, odoo("odoo.exceptions.ValidationError"), None);
        check(401, odoo("werkzeug.exceptions.Unauthorized"), None);
        check(500, json!("<html>Bad gateway</html>"), None);
        check(500, json!({"message": "upstream"}), None);
        check(502, Value::Null, None);
        check(200, json!([]), None);
    }

    #[test]
    fn what_became_of_the_rows() {
        let check = |body: Value, expect: Loaded| assert_eq!(loaded(&body, 2), expect, "{body}");
        let error = |record: Option<u64>, message: &str| json!({"type": "error", "record": record, "message": message});
        let refused = |rows: &[usize], why: &str| Loaded::Refused {
            rows: rows.iter().copied().collect(),
            why: why.to_owned(),
        };
        check(json!({"ids": [7, 8], "messages": []}), Loaded::Done(vec![7, 8]));
        check(json!({"ids": [7], "messages": []}), Loaded::Unclear);
        check(json!({"ids": [7, 8, 9]}), Loaded::Unclear);
        check(json!({}), Loaded::Unclear);
        check(json!([1, 2]), Loaded::Unclear);
        check(Value::Null, Loaded::Unclear);
        check(json!({"ids": false, "messages": [error(Some(1), "bad lang")]}), refused(&[1], "bad lang"));
        check(
            json!({"ids": false, "messages": [error(None, "bad"), error(Some(9), "x")]}),
            refused(&[], "bad"),
        );
        check(json!({"ids": false, "messages": []}), refused(&[], "it does not say why"));
        let conflict = "could not serialize access due to concurrent update";
        let messages = json!({"ids": false, "messages": [error(Some(0), "x"), error(Some(1), &format!("{conflict}\n"))]});
        check(messages, Loaded::Conflict(conflict.to_owned()));
    }

    #[test]
    fn domains_are_in_prefix_notation() {
        let check = |branches: Vec<Vec<Value>>, expect: Value| assert_eq!(json!(any(branches)), expect);
        check(vec![], json!([]));
        check(vec![vec![json!("a")]], json!(["a"]));
        check(
            vec![vec![json!("a")], vec![json!("&"), json!("b"), json!("c")]],
            json!(["|", "a", "&", "b", "c"]),
        );
        check(vec![vec![json!("a")]; 3], json!(["|", "|", "a", "a", "a"]));
    }

    #[test]
    fn text_survives_html() {
        for text in ["", "hello", "two\nlines", "a < b && c > \"d\"", "&lt;", "https://t.me/x?a=1&b=2"] {
            assert_eq!(from_html(&to_html(text)), text);
        }
        assert_eq!(to_html("<b>\r\nx"), "<p>&lt;b&gt;<br/>x</p>");
        assert_eq!(from_html("<div><p>one</p><p>two<br>three</p></div>"), "one\ntwo\nthree");
        assert_eq!(from_html("no tags, and a broken <tag"), "no tags, and a broken");
    }

    #[test]
    fn records_are_read() {
        let body = json!([{"id": 7, "name": "O", "phone": false, "user_id": [2, "Administrator"], "tags": [3, 4],
            "active": true, "create_date": "2026-11-21 15:31:29"}]);
        let record = records(body).unwrap().remove(0);
        assert_eq!((record.id(), record.text("name"), record.text("phone")), (Some(7), Some("O"), None));
        assert_eq!(record.reference("user_id"), Some((2, "Administrator")));
        assert_eq!(record.references("tags"), [3, 4]);
        assert_eq!(record.time("create_date"), Some("2026-11-21T15:31:29Z".parse().unwrap()));
        assert!(record.flag("active") && !record.flag("phone"));
        for body in [json!(null), json!({}), json!([1]), json!([{"name": "no id"}])] {
            assert!(records(body.clone()).is_err(), "{body}");
        }
    }
}
