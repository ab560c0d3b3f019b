//! Who asks for something, how they came, and what they may.

pub mod password;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// What somebody may do. A later one may do everything that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A web site: asks about its links, and sees nothing else.
    Site,
    /// Sees everything but secrets, and changes nothing.
    Viewer,
    /// Works with leads and people: replays, answers, corrects.
    Operator,
    /// Also changes the workspace, erases, and says who may what.
    Admin,
}

impl Role {
    /// Those that a person or a token can be given.
    pub const GIVEN: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of this word, of those that can be given.
    pub fn parse(word: &str) -> Option<Self> {
        Self::GIVEN.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether whoever has this role may do what takes `needed`. What sites ask for changes who is linked with whom, so
    /// it is not for those who change nothing.
    pub fn may(self, needed: Self) -> bool {
        self >= needed && (self, needed) != (Self::Viewer, Self::Site)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How somebody came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// With a browser.
    Console,
    /// With a token, over `/api`.
    Api,
    /// With a command, at the machine of the database.
    Command,
}

impl Through {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Api => "api",
            Self::Command => "command",
        }
    }
}

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A user's name, or what their token is called.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// How they came.
    pub through: Through,
}

/// What a user or an access token is called. No two are called alike, so that the audit log says who it was; nor can one be
/// called like [whoever has the start token](START_TOKEN).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Characters of the longest.
    pub const LONGEST: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = AccessError;

    /// In lower case, with letters that look alike because they are the same written once.
    fn from_str(text: &str) -> Result<Self, AccessError> {
        let name = text.trim().nfkc().collect::<String>().to_lowercase();
        let fits = (1..=Self::LONGEST).contains(&name.chars().count());
        let plain = name.chars().all(|letter| letter.is_alphanumeric() || ".-_@+".contains(letter));
        if fits && plain { Ok(Self(name)) } else { Err(AccessError::Name) }
    }
}

impl TryFrom<String> for Name {
    type Error = AccessError;

    fn try_from(text: String) -> Result<Self, AccessError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why something about users and access tokens is not done, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// It cannot be a name.
    #[error("a name is 1 to 64 letters, digits or . - _ @ +, such as olena or crm-export; write another")]
    Name,
    /// A user or an access token has this name.
    #[error(
        "a user or a token has this name already; take another, or look at `leadfold users list` and `leadfold tokens list`"
    )]
    Taken,
    /// Nobody has this name.
    #[error("nobody has this name; `leadfold users list` and `leadfold tokens list` show who there is")]
    Unknown,
    /// The password can be guessed.
    #[error("the password is too short: take at least 12 characters, such as four words")]
    ShortPassword,
    /// The password is work to hash.
    #[error("the password is longer than 1024 bytes; take a shorter one")]
    LongPassword,
    /// The password that was to be replaced is another.
    #[error("the old password is wrong; an admin can set a new one without it")]
    WrongPassword,
    /// Somebody guesses.
    #[error("too many tries; wait a minute, then try again")]
    TooOften,
    /// Nobody could give access any more.
    #[error(
        "this is the last admin, and leadfold was started without a token, so nobody could give access any more. Make \
         another admin first, or start it with LEADFOLD_API_TOKEN"
    )]
    LastAdmin,
    /// Their own password is changed by whoever knows it, not by whoever sits at their browser.
    #[error("this is your own password; change it in your account, where the old one is asked for")]
    OwnPassword,
    /// A token has none.
    #[error("whoever comes with a token has no password; an admin can remove the token and make another")]
    NoPassword,
}

/// The name of whoever has the token that leadfold was started with.
pub const START_TOKEN: &str = "start token";

impl Caller {
    /// Whoever types a command at the machine of the database: may everything, since the file is theirs.
    pub fn command(name: Option<String>) -> Self {
        Self {
            name: name.unwrap_or_else(|| "somebody".to_owned()),
            role: Role::Admin,
            through: Through::Command,
        }
    }

    /// Nobody, before the door has said who it is: may nothing but what anybody may.
    pub fn nobody() -> Self {
        Self { name: "nobody".to_owned(), role: Role::Site, through: Through::Api }
    }

    /// Whether they started leadfold, or were told how: they have its environment, and so its secrets, anyway. No user and
    /// no access token can be called like the start token.
    pub fn may_know_secrets(&self) -> bool {
        self.through == Through::Command || self.name == START_TOKEN
    }

    /// Whether a web site asks.
    pub fn is_site(&self) -> bool {
        self.role == Role::Site
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_more_may_what_others_may() {
        assert!(Role::Site < Role::Viewer && Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }

    #[test]
    fn a_viewer_does_nothing_for_sites() {
        assert!(Role::Site.may(Role::Site) && Role::Operator.may(Role::Site) && Role::Admin.may(Role::Site));
        assert!(!Role::Viewer.may(Role::Site) && !Role::Site.may(Role::Viewer));
        for needed in Role::GIVEN {
            for role in Role::GIVEN {
                assert_eq!(role.may(needed), role >= needed, "{role} {needed}");
            }
        }
    }

    #[test]
    fn a_name_is_written_in_one_way() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(text.parse::<Name>().ok().as_ref().map(Name::as_str), expect, "{text:?}");
        };
        check(" Olena ", Some("olena"));
        check("ОЛЕНА.К", Some("олена.к"));
        check("olena@example.com", Some("olena@example.com"));
        check("crm-export_2", Some("crm-export_2"));
        check("ｏｌｅｎａ", Some("olena"));
        check("и\u{306}од", Some("йод"));
        check(&"x".repeat(64), Some(&"x".repeat(64)));
        for wrong in
            ["", " ", "a b", START_TOKEN, "a\0b", "a\nb", "<script>", "a/b", "a\u{202e}b", &"x".repeat(65)]
        {
            check(wrong, None);
        }
        assert!(serde_json::from_str::<Name>("\"a b\"").is_err());
    }

    #[test]
    fn only_what_can_be_given_is_read() {
        for role in Role::GIVEN {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        for word in ["site", "Admin", "", "root"] {
            assert_eq!(Role::parse(word), None, "{word}");
        }
    }
}
