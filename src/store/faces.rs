//! What a salesperson knows somebody by: their name, a masked phone, their record in a CRM. Ids say nothing to them.

use std::collections::BTreeMap;

use super::StoreError;
use super::sql::{Row, list};
use crate::id::PersonId;
use crate::lead::{Lead, mask};

/// People as one recognises them; whoever is not among them is shown by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Faces(BTreeMap<PersonId, Face>);

#[derive(Clone, Debug)]
struct Face {
    name: Option<String>,
    /// Their masked phone and their record in a CRM, as far as there are such.
    known_by: String,
}

/// The statement that reads what [`Faces::read`] takes, of so many people. Whoever has become somebody else shows as them.
pub(super) fn faces(people: usize) -> String {
    format!(
        "WITH RECURSIVE present (id, now) AS ( \
           SELECT id, id FROM persons WHERE id IN ({}) \
           UNION ALL SELECT present.id, persons.merged_into FROM present JOIN persons ON persons.id = present.now \
             WHERE persons.merged_into IS NOT NULL) \
         SELECT p.id, \
         (SELECT lead FROM leads WHERE leads.person = p.now AND lead IS NOT NULL ORDER BY sequence DESC LIMIT 1), \
         (SELECT shown FROM identifiers WHERE identifiers.person = p.now \
           AND kind = 'phone' AND shown IS NOT NULL ORDER BY first_seen, value LIMIT 1), \
         (SELECT destination || ' ' || record FROM links WHERE links.person = p.now \
           AND links.kind = 'contact' ORDER BY created_at, record LIMIT 1) \
         FROM present p WHERE NOT EXISTS ( \
           SELECT 1 FROM persons WHERE persons.id = p.now AND persons.merged_into IS NOT NULL)",
        list(1, people)
    )
}

impl Faces {
    pub(super) fn read(rows: &[Row]) -> Result<Self, StoreError> {
        let mut faces = BTreeMap::new();
        for row in rows {
            // What another version wrote has no name for this one.
            let lead = row.optional_json::<Lead>(1).ok().flatten();
            let phone = row.optional_text(2)?.map(|phone| mask(&phone));
            let face = Face {
                name: lead.and_then(|lead| lead.contact.name),
                known_by: [phone, row.optional_text(3)?].into_iter().flatten().collect::<Vec<_>>().join(", "),
            };
            faces.insert(row.id(0)?, face);
        }
        Ok(Self(faces))
    }

    /// As people recognise them.
    pub(super) fn of(&self, person: PersonId) -> String {
        match self.0.get(&person) {
            Some(Face { name: Some(name), known_by }) if known_by.is_empty() => name.clone(),
            Some(Face { name: Some(name), known_by }) => format!("{name} ({known_by})"),
            _ => self.without_name(person),
        }
    }

    /// For what is stored with somebody else's lead: whoever erases this person does not find it there.
    pub(super) fn without_name(&self, person: PersonId) -> String {
        let face = self.0.get(&person).filter(|face| !face.known_by.is_empty());
        face.map_or_else(|| person.to_string(), |face| face.known_by.clone())
    }
}
