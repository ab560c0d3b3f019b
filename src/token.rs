//! Secret words that others send us. We keep and compare SHA-256 hashes only, in constant time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// The hash of a token.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
pub fn same(left: &TokenHash, right: &TokenHash) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_compare() {
        assert!(same(&hash("demo"), &hash("demo")));
        assert!(!same(&hash("demo"), &hash("Demo")));
        assert!(!same(&hash(""), &[0; 32]));
    }
}
