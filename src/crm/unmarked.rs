//! Looking for what a lost step has written where the CRM's records carry no marker.

use super::{CrmError, Found};
use crate::plan::{Action, RecordId};

/// Of the contacts that hold what we sent, the one that we may have made is the oldest: later ones are copies.
pub(super) fn by_age(found: Found) -> Vec<RecordId> {
    let mut contacts = found.contacts;
    contacts.sort_by_key(|contact| contact.created_at);
    contacts.into_iter().map(|contact| contact.id).collect()
}

/// Nothing tells this action's record from others like it.
pub(super) fn cannot_be_found(action: &Action) -> CrmError {
    let why = format!("a lost \"{}\" cannot be found without markers", action.kind().as_str());
    CrmError::Rejected { why }
}
