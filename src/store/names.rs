//! Finding leads by name: the words of each lead's name, as [`NameKey`] compares them, with the lead's place.
//!
//! A name is personal data: its words go with what the lead said, when it is erased, mapped again or removed.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use super::retention::Round;
use super::retention_work::move_on;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, list};
use super::{Store, StoreError, Work};
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
    connection.insert_rows("lead_names (word, sequence)", rows.collect(), "ON CONFLICT DO NOTHING").await
}

/// Below which place leads of an earlier leadfold may have a name without words; no such counter before the first look.
const WITHOUT_WORDS: &str = "leads whose names have no words";

/// Stores the words of names that leads had before there were words: a page of them, newest first. Where it came to is
/// remembered, so that once all are done it costs a look at a counter.
struct CatchUp {
    round: Round,
    until: i64,
}

impl Work for CatchUp {
    /// Whether there may be more.
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            move_on(connection, self.round, self.until).await?;
            let sql = "SELECT COALESCE((SELECT value FROM counters WHERE name = $1), value + 1) FROM counters \
                       WHERE name = 'sequence'";
            let rows = connection.fetch(sql, args![WITHOUT_WORDS]).await?;
            let below =
                rows.first().ok_or_else(|| StoreError::damaged("counter 'sequence' is gone"))?.int(0)?;
            if below <= 0 {
                return Ok(false);
            }
            // Locked: who is erased or mapped again meanwhile must not get the words of before back.
            let sql = format!(
                "SELECT leads.sequence, CASE WHEN NOT EXISTS (SELECT 1 FROM lead_names n \
                   WHERE n.sequence = leads.sequence) THEN leads.lead END \
                 FROM leads WHERE leads.sequence < $1 ORDER BY leads.sequence DESC LIMIT {ROWS_PER_STATEMENT} {}",
                connection.row_locks("FOR UPDATE OF leads")
            );
            let mut names: Vec<(i64, String)> = Vec::new();
            let mut lowest = 0;
            for row in &connection.fetch(&sql, args![below]).await? {
                lowest = row.int(0)?;
                let lead: Option<Value> = row.optional_json(1)?;
                let name =
                    lead.as_ref().and_then(|lead| lead.pointer("/contact/name")).and_then(Value::as_str);
                names.extend(name.map(|name| (lowest, name.to_owned())));
            }
            store_names(connection, names.iter().map(|(sequence, name)| (*sequence, name.as_str()))).await?;
            let sql = "INSERT INTO counters (name, value) VALUES ($1, $2) \
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            connection.execute(sql, args![WITHOUT_WORDS, lowest]).await?;
            Ok(lowest > 0)
        })
    }
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
    /// Makes a page of leads of an earlier leadfold findable by name, and moves the round on; says whether there may be more.
    pub async fn catch_up_on_names(&self, round: &mut Round, until: Timestamp) -> Result<bool, StoreError> {
        let until = until.as_millisecond();
        let more = self.write(CatchUp { round: *round, until }).await?;
        round.until = until;
        Ok(more)
    }

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
