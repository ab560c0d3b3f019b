//! Finding leads by name: the words of each lead's name, as [`NameKey`] compares them, with the lead's place.
//!
//! A name is personal data: its words go with what the lead said, when it is erased, mapped again or removed.

use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, list};
use super::{Store, StoreError};
use crate::normalise::NameKey;

/// Words that begin as somebody typed. Each is a seek of its own, so there is an end to them.
const WORDS: usize = 100;
/// Letters from which on the beginning of a word is looked for. Fewer stand at the beginning of too many.
const LETTERS: usize = 2;

/// A name that somebody looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SoughtName {
    /// Words in the registry that begin as one of the typed words does.
    pub(super) words: Vec<Vec<u8>>,
    /// How the others begin.
    pub(super) further: Vec<String>,
    /// There are more such words than are looked at.
    pub(super) too_many: bool,
}

/// Stores the words of names; of a lead that has none yet.
pub(super) async fn store_names<'a>(
    connection: &mut Connection,
    names: impl Iterator<Item = (i64, &'a str)>,
) -> Result<(), StoreError> {
    let rows = names.flat_map(|(sequence, name)| {
        let words = NameKey::of(name).into_words().into_iter();
        words.map(move |word| args![word.into_bytes(), sequence])
    });
    connection.insert_rows("lead_names (word, sequence)", rows.collect(), "").await
}

/// Forgets the words of the names of these leads.
pub(super) async fn forget_names(connection: &mut Connection, leads: &[Arg]) -> Result<(), StoreError> {
    for piece in leads.chunks(ROWS_PER_STATEMENT) {
        let sql = format!(
            "DELETE FROM lead_names WHERE sequence IN (SELECT sequence FROM leads WHERE id IN ({}))",
            list(1, piece.len())
        );
        connection.execute(&sql, piece.to_vec()).await?;
    }
    Ok(())
}

/// Behind every word that begins so: words hold ASCII letters only.
pub(super) fn behind(beginning: &[u8]) -> Vec<u8> {
    beginning.iter().copied().chain([u8::MAX]).collect()
}

/// The statement that finds the words that begin as somebody typed, one seek each.
pub(super) fn words_that_begin() -> String {
    format!(
        "WITH RECURSIVE found (word) AS ( \
           SELECT (SELECT word FROM lead_names WHERE word >= $1 AND word < $2 ORDER BY word LIMIT 1) \
           UNION ALL SELECT (SELECT next.word FROM lead_names AS next WHERE next.word > found.word AND next.word < $2 \
             ORDER BY next.word LIMIT 1) FROM found WHERE found.word IS NOT NULL) \
         SELECT word FROM found WHERE word IS NOT NULL LIMIT {}",
        WORDS + 1
    )
}

impl Store {
    /// What there is of a name that somebody typed; `None` when it is no name, or begins no word.
    pub(super) async fn sought_name(&self, text: &str) -> Result<Option<SoughtName>, StoreError> {
        // An address or a number holds letters as well; nobody means a name by it.
        if text.chars().any(|letter| letter.is_ascii_digit() || matches!(letter, '@' | ':' | '/' | '_')) {
            return Ok(None);
        }
        let mut typed = NameKey::of(text).into_words();
        // The longest begins the fewest words.
        typed.sort_by_key(|word| std::cmp::Reverse(word.len()));
        let Some((first, further)) = typed.split_first().filter(|(first, _)| first.len() >= LETTERS) else {
            return Ok(None);
        };
        let arguments = args![first.as_bytes().to_vec(), behind(first.as_bytes())];
        let rows = self.read(&words_that_begin(), arguments).await?;
        let mut words: Vec<Vec<u8>> = rows.iter().map(|row| row.bytes(0)).collect::<Result<_, _>>()?;
        let too_many = words.len() > WORDS;
        words.truncate(WORDS);
        let found = SoughtName { words, further: further.to_vec(), too_many };
        Ok((!found.words.is_empty()).then_some(found))
    }
}
