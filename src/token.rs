//! Secret words that others send us. We keep and compare SHA-256 hashes only, in constant time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// The hash of a token.
pub fn hash(token: impl AsRef<[u8]>) -> TokenHash {
    Sha256::digest(token).into()
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
pub fn same(left: &TokenHash, right: &TokenHash) -> bool {
    left.ct_eq(right).into()
}

/// A hash as text, for the database.
pub fn to_hex(hash: &TokenHash) -> String {
    let mut text = String::with_capacity(hash.len() * 2);
    for byte in hash {
        for digit in [byte >> 4, byte & 0xF] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// Reads [`to_hex`] back; `None` for any other text.
pub fn from_hex(text: &str) -> Option<TokenHash> {
    let mut hash = [0; 32];
    if text.len() != hash.len() * 2 {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_survive_the_database() {
        assert_eq!(from_hex(&to_hex(&hash("demo"))), Some(hash("demo")));
        for text in ["", "00", "zz", &"z".repeat(64), &"é".repeat(32)] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn hashes_compare() {
        assert!(same(&hash("demo"), &hash("demo")));
        assert!(!same(&hash("demo"), &hash("Demo")));
        assert!(!same(&hash(""), &[0; 32]));
    }
}
