//! Passwords of users: kept as Argon2id, in the parameters that OWASP's password storage sheet names first (19 MiB, two
//! passes, one lane; the crate's default), which takes about 20 ms of a processor.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

/// Shortest password, in characters: with the limit of tries, what OWASP's authentication sheet asks for at least.
pub const SHORTEST: usize = 12;
/// Longest, in bytes; hashing longer ones would be work that strangers can ask for.
pub const LONGEST: usize = 1024;

/// Why a password is not taken, and what to do.
pub fn refuse(password: &str) -> Option<String> {
    if password.chars().count() < SHORTEST {
        return Some(format!(
            "the password is too short: take at least {SHORTEST} characters, such as four words"
        ));
    }
    (password.len() > LONGEST)
        .then(|| format!("the password is longer than {LONGEST} bytes; take a shorter one"))
}

/// The PHC string of a password. The first half of `secret` is its salt.
pub fn hash(password: &str, secret: &[u8; 32]) -> String {
    let salt: &[u8] = secret.first_chunk::<16>().map_or(&[], |salt| salt);
    let hash: Result<PasswordHash, _> = Argon2::default().hash_password_with_salt(password.as_bytes(), salt);
    // A salt of 16 bytes and a password of this length are always taken; and what is no hash matches nothing.
    hash.map_or_else(|_| String::new(), |hash| hash.to_string())
}

/// Whether this is the password. Takes as long when nobody has it: `None` is tried against a hash that nothing fits.
pub fn is(password: &str, hash: Option<&str>) -> bool {
    let parsed = hash.and_then(|hash| PasswordHash::new(hash).ok());
    match parsed {
        Some(parsed) => Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok(),
        None => {
            let tried: Result<PasswordHash, _> =
                Argon2::default().hash_password_with_salt(password.as_bytes(), &[0; 16]);
            drop(tried);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_what_it_was_set_for() {
        let kept = hash("correct horse battery", &[7; 32]);
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(is("correct horse battery", Some(&kept)));
        for (given, kept) in [
            ("correct horse batterz", Some(kept.as_str())),
            ("", Some(kept.as_str())),
            ("", None),
            ("", Some("")),
        ] {
            assert!(!is(given, kept));
        }
    }

    #[test]
    fn two_salts_give_two_hashes() {
        assert_ne!(hash("correct horse battery", &[1; 32]), hash("correct horse battery", &[2; 32]));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_refused() {
        assert_eq!(refuse("correct horse"), None);
        assert_eq!(refuse("дванадцять12"), None);
        assert!(refuse("short").unwrap().contains("12 characters"));
        assert!(refuse(&"x".repeat(LONGEST + 1)).is_some());
    }
}
