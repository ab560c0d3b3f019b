//! What only the whole description shows: operations that need each other, requests that forget their value, and what
//! the CRM will not be able to do.

use super::operation::{KINDS, Op, Operation};
use super::reading::Api;
use crate::map::{Reader, Span};
use crate::plan::RecordKind;

/// Values of which a request must use at least one, or it would ask for something else.
fn needed(op: Op) -> &'static [&'static str] {
    match op {
        Op::FindByPhone => &["phone"],
        Op::FindByEmail => &["email"],
        Op::GetContact | Op::UpdateContact | Op::UpdateDeal => &["id"],
        Op::CreateContact => &["phone", "phones", "email", "emails"],
        Op::FindOpenDeals | Op::CreateDeal => &["contact"],
        Op::CreateTask | Op::AddNote => &["contact", "deal"],
        Op::FindByMarker(_) => &["marker"],
        Op::Ping | Op::ListUsers | Op::ListPipelines => &[],
    }
}

/// Notes it. `there` says which operations are written down, broken ones included, so that one mistake makes one problem;
/// `declined` are those of which the author says that there is none.
pub(super) fn check(
    reader: &Reader<'_>,
    api: &Api,
    key: Span,
    there: &dyn Fn(Op) -> bool,
    declined: &[Op],
    place: &dyn Fn(Op) -> Span,
) {
    let error = |span: Span, message: String, help: &str| reader.error(span, message, Some(help.to_owned()));
    if !there(Op::FindByPhone) && !there(Op::FindByEmail) {
        error(
            key,
            "people cannot be found in this CRM, so everybody would be made anew".to_owned(),
            "describe `find_contact_by_phone`, `find_contact_by_email`, or both",
        );
    }
    for (op, why) in [
        (Op::GetContact, "somebody who comes back is read by the id of their contact, because searches lag"),
        (Op::CreateContact, "nobody new could be brought into this CRM"),
    ] {
        if !there(op) {
            error(key, format!("`operations` has no `{}`", op.word()), why);
        }
    }
    let phones = (Op::FindByPhone, "phones", api.contact.phones.is_none());
    let emails = (Op::FindByEmail, "emails", api.contact.emails.is_none());
    for (op, what, unknown) in [phones, emails] {
        if there(op) && unknown {
            error(
                place(op),
                format!("`contact` does not say where the {what} stand, so what is found cannot be compared"),
                &format!("add the place to `contact`: {{ {what}: $.{what} }}"),
            );
        }
    }
    if there(Op::CreateDeal) && !there(Op::FindOpenDeals) && api.contact.deals.is_none() {
        error(
            place(Op::CreateDeal),
            "nothing says which deals are open, so everybody who comes back would get another one".to_owned(),
            "describe `find_open_deals`, or where a contact carries its deals: `contact: { deals: $.deals }`",
        );
    }
    for (op, operation) in &api.operations {
        requests(reader, *op, operation, place(*op));
    }
    markers(reader, api, place);
    for kind in KINDS.iter().filter(|kind| !kind.without.is_empty()) {
        if !there(kind.op) && !declined.contains(&kind.op) {
            let message = format!("there is no `{}`: {}", kind.word, kind.without);
            let help = format!("describe it, or write `{}: none` when the CRM has no such thing", kind.word);
            reader.warn(key, message, Some(help));
        }
    }
}

fn requests(reader: &Reader<'_>, op: Op, operation: &Operation, span: Span) {
    let needed = needed(op);
    if !needed.is_empty() && !needed.iter().any(|name| operation.reads(name)) {
        let names: Vec<String> = needed.iter().map(|name| format!("{{{{ {name} }}}}")).collect();
        let message = format!("the request of `{}` does not say {}", operation.word, names.join(" or "));
        reader.error(span, message, Some("put it into the path, `query` or `json`".to_owned()));
    }
    if operation.keyed && !operation.reads("marker") {
        let help = "put {{ marker }} where the CRM wants it unique: a header such as Idempotency-Key, or a unique field";
        let message = format!("`{}` is `keyed`, but its request has no {{{{ marker }}}}", operation.word);
        reader.error(span, message, Some(help.to_owned()));
    }
}

/// A record is found by its marker only when it was made with one.
fn markers(reader: &Reader<'_>, api: &Api, place: &dyn Fn(Op) -> Span) {
    let creates = [Op::CreateContact, Op::CreateDeal, Op::CreateTask, Op::AddNote];
    for (create, operation) in creates.into_iter().filter_map(|op| Some((op, api.operations.get(&op)?))) {
        let Some(kind): Option<RecordKind> = create.creates() else { continue };
        let find = Op::FindByMarker(kind);
        if api.operations.contains_key(&find) && !operation.reads("marker") {
            let message =
                format!("`{}` finds nothing, because `{}` writes no marker", find.word(), operation.word);
            let help = "put {{ marker }} into a field that can be searched";
            reader.error(place(create), message, Some(help.to_owned()));
        }
    }
}

impl Operation {
    /// Whether its request reads this value.
    fn reads(&self, name: &str) -> bool {
        self.request.templates().into_iter().any(|template| template.reads(name))
    }
}
