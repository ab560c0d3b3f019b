//! Which chats somebody has of whom an event only says who they are.

use std::collections::{BTreeMap, BTreeSet};

use super::StoreError;
use super::acquaint::{among, in_columns, key};
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, list};
use crate::id::PersonId;
use crate::lead::IdentifierKind;
use crate::resolve::Key;

/// For each of these, a scope and identifiers: the ids of the chats that whoever has those identifiers has in that scope.
///
/// Identifiers of several people mean none of them: what is told of the wrong chat takes away one that works.
pub(super) async fn chats_of(
    connection: &mut Connection,
    asked: Vec<(&str, &BTreeSet<Key>)>,
) -> Result<Vec<Vec<String>>, StoreError> {
    let keys: BTreeSet<&Key> = asked.iter().flat_map(|(_, keys)| *keys).collect();
    let owners = owners(connection, keys).await?;
    let whose = |keys: &BTreeSet<Key>| {
        let people: BTreeSet<PersonId> = keys.iter().filter_map(|key| owners.get(key).copied()).collect();
        people.first().copied().filter(|_| people.len() == 1)
    };
    let asked: Vec<(&str, Option<PersonId>)> =
        asked.into_iter().map(|(scope, keys)| (scope, whose(keys))).collect();
    let scopes: BTreeSet<&str> = asked.iter().map(|(scope, _)| *scope).collect();
    let people: BTreeSet<PersonId> = asked.iter().filter_map(|(_, person)| *person).collect();
    let chats = chats(connection, &scopes, people).await?;
    let of = |(scope, person): (&str, Option<PersonId>)| {
        person.and_then(|person| chats.get(&(scope.to_owned(), person))).cloned().unwrap_or_default()
    };
    Ok(asked.into_iter().map(of).collect())
}

/// Whose these identifiers are.
async fn owners(
    connection: &mut Connection,
    keys: BTreeSet<&Key>,
) -> Result<BTreeMap<Key, PersonId>, StoreError> {
    let mut owners = BTreeMap::new();
    let keys: Vec<&Key> = keys.into_iter().collect();
    for piece in keys.chunks(ROWS_PER_STATEMENT) {
        let (among, arguments) = among(piece.iter().map(|key| in_columns(key)));
        let sql = format!(
            "SELECT kind, scope, value, person FROM identifiers WHERE {among} AND person IS NOT NULL"
        );
        for row in connection.fetch(&sql, arguments).await? {
            owners.insert(key(&row)?, row.id(3)?);
        }
    }
    Ok(owners)
}

/// The statement that reads the chats of so many people in one scope.
pub(super) fn chats_of_people(people: usize) -> String {
    format!(
        "SELECT person, value FROM identifiers WHERE kind = $1 AND scope = $2 AND person IN ({}) ORDER BY value",
        list(3, people)
    )
}

/// The chats of these people, by scope and person.
async fn chats(
    connection: &mut Connection,
    scopes: &BTreeSet<&str>,
    people: BTreeSet<PersonId>,
) -> Result<BTreeMap<(String, PersonId), Vec<String>>, StoreError> {
    let mut chats: BTreeMap<(String, PersonId), Vec<String>> = BTreeMap::new();
    let people: Vec<PersonId> = people.into_iter().collect();
    for scope in scopes {
        for piece in people.chunks(ROWS_PER_STATEMENT) {
            let sql = chats_of_people(piece.len());
            let place = [Arg::from(IdentifierKind::Chat.as_str()), Arg::from(*scope)];
            let arguments = place.into_iter().chain(piece.iter().map(|person| Arg::from(*person)));
            for row in connection.fetch(&sql, arguments.collect()).await? {
                chats.entry(((*scope).to_owned(), row.id(0)?)).or_default().push(row.text(1)?);
            }
        }
    }
    Ok(chats)
}
