//! Passwords of users: kept as Argon2id, in the parameters that OWASP's password storage sheet names first (19 MiB, two
//! passes, one lane; the crate's default), which takes about 20 ms of a processor.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AccessError;

/// Shortest password, in characters: with the limit of tries, what OWASP's authentication sheet asks for at least.
pub const SHORTEST: usize = 12;
/// Longest, in bytes; hashing longer ones would be work that strangers can ask for.
pub const LONGEST: usize = 1024;

/// A password as somebody typed it. It does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Refuses passwords that are easy to guess or much work to hash.
pub fn check(password: &Password) -> Result<(), AccessError> {
    if password.0.chars().count() < SHORTEST {
        return Err(AccessError::ShortPassword);
    }
    if password.0.len() > LONGEST { Err(AccessError::LongPassword) } else { Ok(()) }
}

/// The PHC string of a password. The first half of `secret` is its salt.
pub fn hash(password: &Password, secret: &[u8; 32]) -> String {
    let salt: &[u8] = secret.first_chunk::<16>().map_or(&[], |salt| salt);
    let hash: Result<PasswordHash, _> =
        Argon2::default().hash_password_with_salt(password.0.as_bytes(), salt);
    // A salt of 16 bytes and a password of this length are always taken; and what is no hash matches nothing.
    hash.map_or_else(|_| String::new(), |hash| hash.to_string())
}

/// Whether this is the password. Takes as long when nobody has it: `None` is tried against a hash that nothing fits.
pub fn is(password: &Password, hash: Option<&str>) -> bool {
    let parsed = hash.and_then(|hash| PasswordHash::new(hash).ok());
    if let Some(parsed) = parsed {
        return Argon2::default().verify_password(password.0.as_bytes(), &parsed).is_ok();
    }
    let tried: Result<PasswordHash, _> =
        Argon2::default().hash_password_with_salt(password.0.as_bytes(), &[0; 16]);
    drop(tried);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Password {
        Password(text.to_owned())
    }

    #[test]
    fn a_password_opens_what_it_was_set_for() {
        let kept = hash(&typed("correct horse battery"), &[7; 32]);
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(is(&typed("correct horse battery"), Some(&kept)));
        for (given, kept) in [
            ("correct horse batterz", Some(kept.as_str())),
            ("", Some(kept.as_str())),
            ("", None),
            ("", Some("")),
        ] {
            assert!(!is(&typed(given), kept));
        }
    }

    #[test]
    fn two_salts_give_two_hashes() {
        let password = typed("correct horse battery");
        assert_ne!(hash(&password, &[1; 32]), hash(&password, &[2; 32]));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_refused() {
        let check =
            |text: &str, expect: Result<(), AccessError>| assert_eq!(super::check(&typed(text)), expect);
        check("correct horse", Ok(()));
        check("дванадцять12", Ok(()));
        check("одинадцять1", Err(AccessError::ShortPassword));
        check("", Err(AccessError::ShortPassword));
        check(&"x".repeat(LONGEST), Ok(()));
        check(&"x".repeat(LONGEST + 1), Err(AccessError::LongPassword));
        assert!(AccessError::ShortPassword.to_string().contains(&format!("{SHORTEST} characters")));
        assert!(AccessError::LongPassword.to_string().contains(&format!("{LONGEST} bytes")));
    }

    #[test]
    fn it_does_not_print() {
        assert_eq!(format!("{:?}", typed("correct horse")), "Password(…)");
    }
}
