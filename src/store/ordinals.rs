//! Which of a person's postbacks of a name one is.
//!
//! | | |
//! |---|---|
//! | nothing special | one more than were counted: no number twice, and none left out |
//! | after a merge | counting goes on from the sum of both; the numbers that were given stay |
//! | after that merge is undone | each goes on behind what is theirs, and behind the highest number that they were given meanwhile |
//! | one is uncounted | those behind it move up, so that the next gets the right number; nothing is run again |
//!
//! Whose a postback is says its click id, for good: rows stay with whoever came with it, and what belongs together is added
//! up when it is read. So undoing a merge has nothing to undo here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::StoreError;
use super::merges::{MERGED, at_last, lock_people};
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, list};
use crate::id::PersonId;

/// Everybody who was merged into these people, and these: who it is now, and who they were.
fn merged(people: usize) -> String {
    format!(
        "WITH RECURSIVE merged (root, id) AS (SELECT id, id FROM persons WHERE id IN ({}) \
         UNION SELECT merged.root, merges.from_person FROM merged \
         JOIN merges ON merges.into_person = merged.id JOIN persons ON persons.id = merges.from_person \
         WHERE persons.merged_into = merges.into_person)",
        list(1, people)
    )
}

/// The counts of some people, whose rows are locked.
pub(super) struct Ordinals {
    /// Those who had become somebody else when they were locked.
    became: BTreeMap<PersonId, PersonId>,
    /// By who they are now.
    counts: HashMap<(PersonId, String), Count>,
    /// By whose rows they are.
    taken: BTreeMap<(PersonId, String), Count>,
}

/// How many are counted, and the highest number that was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    counted: u64,
    highest: u64,
}

impl Count {
    fn next(self) -> u64 {
        self.counted.max(self.highest) + 1
    }

    fn add(&mut self, other: Self) {
        *self = Self { counted: self.counted + other.counted, highest: self.highest.max(other.highest) };
    }
}

impl Ordinals {
    /// Locks these people and reads what is counted of them.
    pub(super) async fn load(
        connection: &mut Connection,
        people: BTreeSet<PersonId>,
    ) -> Result<Self, StoreError> {
        let (_, became) = lock_people(connection, people.clone()).await?;
        let now: BTreeSet<PersonId> = people.into_iter().map(|person| at_last(&became, person)).collect();
        let now: Vec<Arg> = now.into_iter().map(Arg::from).collect();
        let mut counts: HashMap<(PersonId, String), Count> = HashMap::new();
        for piece in now.chunks(ROWS_PER_STATEMENT) {
            let sql = format!(
                "{} SELECT merged.root, name, counted, highest FROM merged \
                 JOIN postback_counts ON postback_counts.person = merged.id",
                merged(piece.len())
            );
            for row in connection.fetch(&sql, piece.to_vec()).await? {
                let count = Count { counted: unsigned(row.int(2)?), highest: unsigned(row.int(3)?) };
                counts.entry((row.id(0)?, row.text(1)?)).or_default().add(count);
            }
        }
        Ok(Self { became, counts, taken: BTreeMap::new() })
    }

    /// The number of the next postback of this name, for whoever came with its click id.
    pub(super) fn take(&mut self, holder: PersonId, name: &str) -> u64 {
        let count = self.counts.entry((at_last(&self.became, holder), name.to_owned())).or_default();
        let ordinal = count.next();
        *count = Count { counted: count.counted + 1, highest: ordinal };
        self.taken.entry((holder, name.to_owned())).or_default().add(Count { counted: 1, highest: ordinal });
        ordinal
    }

    /// Stores the numbers that were taken.
    pub(super) async fn store(self, connection: &mut Connection) -> Result<(), StoreError> {
        let rows = self
            .taken
            .into_iter()
            .map(|((person, name), count)| args![person, name, signed(count.counted), signed(count.highest)]);
        connection
            .insert_rows(
                "postback_counts (person, name, counted, highest)",
                rows.collect(),
                "ON CONFLICT (person, name) DO UPDATE SET counted = postback_counts.counted + excluded.counted, \
                 highest = excluded.highest",
            )
            .await
    }
}

/// Takes a number back; those behind it move up. The people are locked here.
pub(super) async fn give_back(
    connection: &mut Connection,
    holder: PersonId,
    name: &str,
    ordinal: u64,
) -> Result<(), StoreError> {
    let (_, became) = lock_people(connection, BTreeSet::from([holder])).await?;
    let now = at_last(&became, holder);
    let theirs = format!("{MERGED} SELECT id FROM merged");
    for (sql, arguments) in [
        (
            "UPDATE postback_counts SET counted = counted - 1 WHERE person = $1 AND name = $2".to_owned(),
            args![holder, name],
        ),
        (
            format!(
                "UPDATE postback_counts SET highest = highest - 1 WHERE person IN ({theirs}) AND name = $2 AND highest >= $3"
            ),
            args![now, name, signed(ordinal)],
        ),
        (
            format!(
                "UPDATE postbacks SET ordinal = ordinal - 1 WHERE person IN ({theirs}) AND name = $2 AND ordinal > $3"
            ),
            args![now, name, signed(ordinal)],
        ),
    ] {
        connection.execute(&sql, arguments).await?;
    }
    Ok(())
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn numbers_follow_the_sum_and_are_never_given_twice() {
        let [one, other] = [1, 2].map(|id| PersonId(Uuid::from_u128(id)));
        let check = |counts: &[(u64, u64)], expect: [u64; 3]| {
            let mut sum = Count::default();
            for (counted, highest) in counts {
                sum.add(Count { counted: *counted, highest: *highest });
            }
            // `other` was merged into `one`.
            let mut ordinals = Ordinals {
                became: BTreeMap::from([(other, one)]),
                counts: HashMap::from([((one, "resale".to_owned()), sum)]),
                taken: BTreeMap::new(),
            };
            let taken = [one, other, one].map(|person| ordinals.take(person, "resale"));
            assert_eq!(taken, expect, "{counts:?}");
            assert_eq!(ordinals.take(one, "sale"), 1);
            let of = |person| ordinals.taken[&(person, "resale".to_owned())];
            assert_eq!((of(one).counted, of(one).highest), (2, expect[2]));
            assert_eq!((of(other).counted, of(other).highest), (1, expect[1]));
        };
        check(&[], [1, 2, 3]);
        check(&[(2, 2)], [3, 4, 5]);
        // Merged: from the sum.
        check(&[(3, 3), (2, 2)], [6, 7, 8]);
        // Of somebody whose merge was undone: behind what they were given meanwhile.
        check(&[(4, 6)], [7, 8, 9]);
    }
}
