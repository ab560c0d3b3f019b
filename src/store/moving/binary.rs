//! Rows as PostgreSQL's COPY takes and gives them in binary (PostgreSQL documentation, COPY, "Binary Format"), and what a
//! table of them comes to. Pure.
//!
//! The same bytes go there and come back, so comparing two tables is comparing what both come to.

use sha2::{Digest as _, Sha256};

/// What a copy begins with: the signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with: a row of -1 columns.
pub(super) const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// Begins a row of so many columns.
pub(super) fn begin_row(row: &mut Vec<u8>, columns: usize) -> Option<()> {
    row.extend(i16::try_from(columns).ok()?.to_be_bytes());
    Some(())
}

/// Adds a column. `None`: it is longer than the format can say.
pub(super) fn add_column(row: &mut Vec<u8>, value: Option<&[u8]>) -> Option<()> {
    match value {
        None => row.extend((-1_i32).to_be_bytes()),
        Some(value) => {
            row.extend(i32::try_from(value.len()).ok()?.to_be_bytes());
            row.extend(value);
        }
    }
    Some(())
}

/// What the rows of a table come to, in whatever order they are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// How many.
    pub(super) rows: u64,
    // Hashes are added, not XORed: two rows that are the same must not cancel each other.
    hashes: u128,
}

impl Sum {
    pub(super) fn add(&mut self, row: &[u8]) {
        let hash = Sha256::digest(row);
        let half = hash.iter().take(16).fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(half);
    }
}

/// Adds up the rows of a copy, in whatever pieces it comes.
#[derive(Default)]
pub(super) struct Reader {
    pending: Vec<u8>,
    begun: bool,
    ended: bool,
    sum: Sum,
}

impl Reader {
    /// Takes the next piece. How many rows it completed.
    pub(super) fn take(&mut self, piece: &[u8]) -> u64 {
        self.pending.extend(piece);
        let before = self.sum.rows;
        let mut at = 0;
        if !self.begun && self.pending.len() >= HEADER.len() {
            self.begun = true;
            at = HEADER.len();
        }
        while self.begun && !self.ended {
            let rest = self.pending.get(at..).unwrap_or_default();
            if rest.starts_with(TRAILER) {
                self.ended = true;
            } else if let Some(row) = first_row(rest) {
                self.sum.add(row);
                at += row.len();
            } else {
                break;
            }
        }
        self.pending.drain(..at);
        self.sum.rows - before
    }

    /// What all rows come to; `None` when the copy broke off.
    pub(super) fn end(self) -> Option<Sum> {
        self.ended.then_some(self.sum)
    }
}

/// The row that the bytes begin with, once all of it is there.
fn first_row(bytes: &[u8]) -> Option<&[u8]> {
    let (columns, _) = bytes.split_first_chunk()?;
    let mut length = 2;
    for _ in 0..i16::from_be_bytes(*columns) {
        let (size, _) = bytes.get(length..)?.split_first_chunk()?;
        length += 4 + usize::try_from(i32::from_be_bytes(*size)).unwrap_or_default();
    }
    bytes.get(..length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn copy(rows: &[Vec<Option<Vec<u8>>>]) -> (Vec<u8>, Sum) {
        let (mut copy, mut sum) = (HEADER.to_vec(), Sum::default());
        for columns in rows {
            let mut row = Vec::new();
            begin_row(&mut row, columns.len()).unwrap();
            for column in columns {
                add_column(&mut row, column.as_deref()).unwrap();
            }
            sum.add(&row);
            copy.extend(row);
        }
        copy.extend(TRAILER);
        (copy, sum)
    }

    #[test]
    fn rows_look_as_postgres_says() {
        let (copied, sum) = copy(&[vec![Some(b"ab".to_vec()), None]]);
        let expect = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x02ab\xff\xff\xff\xff\xff\xff";
        assert_eq!((copied.as_slice(), sum.rows), (&expect[..], 1));
    }

    #[test]
    fn a_sum_tells_rows_apart() {
        let sum = |rows: &[&[&str]]| {
            let rows: Vec<Vec<Option<Vec<u8>>>> = rows
                .iter()
                .map(|row| row.iter().map(|column| Some(column.as_bytes().to_vec())).collect())
                .collect();
            copy(&rows).1
        };
        assert_eq!(sum(&[&["a", "b"], &["c", "d"]]), sum(&[&["c", "d"], &["a", "b"]]));
        assert_ne!(sum(&[&["a", "b"]]), sum(&[&["b", "a"]]));
        assert_ne!(sum(&[&["ab", ""]]), sum(&[&["a", "b"]]));
        assert_ne!(sum(&[&["a"], &["a"]]), sum(&[&["b"], &["b"]]));
        assert_ne!(sum(&[&["a"], &["a"]]), sum(&[&["a"]]));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 1..5), 0..9),
            size in 1_usize..40,
            cut in 0_usize..9,
        ) {
            let (copied, sum) = copy(&rows);
            let mut reader = Reader::default();
            let told: u64 = copied.chunks(size).map(|piece| reader.take(piece)).sum();
            prop_assert_eq!(told, sum.rows);
            prop_assert_eq!(reader.end(), Some(sum));
            // A copy that breaks off comes to nothing, and nothing it holds makes this panic.
            let mut broken = Reader::default();
            broken.take(&copied[..copied.len() - 1 - cut.min(copied.len() - 1)]);
            if cut > 0 || rows.is_empty() {
                prop_assert_eq!(broken.end(), None);
            }
        }
    }
}
