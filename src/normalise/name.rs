//! Compares names. A name never joins anybody: it may only veto, or break a tie, so the answer is often *unknown*.
//!
//! People write their name in either order, in either script, as a nickname, with a patronymic or an emoji. Two names
//! contradict each other only when the *given* names clearly differ, because surnames change and are shared by families.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use any_ascii::any_ascii;
use serde::{Deserialize, Serialize};

/// One line per name: its spellings in Latin letters, and what friends and transliterations make of it.
const GIVEN_NAMES: &str = include_str!("given_names.txt");

/// From this similarity on (Jaro-Winkler, 0 to 1) two words of at least [`LONG`] letters are spellings of one.
const SAME_WORD: f64 = 0.9;
const LONG: usize = 4;
/// A word of a name; longer ones are no names.
const LONGEST_WORD: usize = 40;
/// Words that are looked at; the rest is an address or a slogan.
const MOST_WORDS: usize = 5;

/// Words that stand beside a name.
const TITLES: [&str; 12] = ["mr", "mrs", "ms", "dr", "pan", "pani", "fop", "tov", "ip", "ooo", "llc", "user"];

/// What is written with several letters in one transliteration and with others in another, in the order in which it is replaced.
const SPELLINGS: [(&str, &str); 4] = [("kh", "h"), ("ph", "f"), ("ck", "k"), ("x", "ks")];

/// A name as it is compared: words in Latin letters under one transliteration, sorted. Empty when nothing of it is a word.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NameKey(Vec<String>);

/// What two names say about whether they are one person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// They are spellings, nicknames or parts of one name.
    Agree,
    /// Nothing can be said.
    Unknown,
    /// The given names clearly differ.
    Contradict,
}

/// Which names a word may be a spelling of.
static GROUPS: LazyLock<HashMap<String, Vec<usize>>> = LazyLock::new(|| {
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (group, line) in GIVEN_NAMES.lines().enumerate() {
        for word in line.split(' ') {
            groups.entry(folded(word)).or_default().push(group);
        }
    }
    groups
});

/// What the usual transliterations of a word have in common: Olga and Olha, Sergey, Serhii and Sergij.
fn folded(word: &str) -> String {
    let word = SPELLINGS.iter().fold(Cow::Borrowed(word), |word, (written, sound)| {
        // Searching a word for itself is much quicker than what `replace` prepares for a long text.
        let is_written = word.as_bytes().windows(written.len()).any(|part| part == written.as_bytes());
        if is_written { Cow::Owned(word.replace(written, sound)) } else { word }
    });
    let letters = word.chars().map(|letter| match letter {
        'y' | 'j' => 'i',
        'g' => 'h',
        'w' => 'v',
        other => other,
    });
    let mut folded = String::with_capacity(word.len());
    for letter in letters {
        if !folded.ends_with(letter) {
            folded.push(letter);
        }
    }
    folded
}

impl NameKey {
    /// Reads a display name.
    pub fn of(name: &str) -> Self {
        let mut latin = any_ascii(name);
        latin.make_ascii_lowercase();
        // What stands for a soft sign belongs to the word around it.
        latin.retain(|letter| !matches!(letter, '\'' | '`' | '"'));
        let mut words: Vec<String> = latin
            .split(|letter: char| !letter.is_ascii_alphabetic())
            .filter(|word| !word.is_empty() && word.len() <= LONGEST_WORD && !TITLES.contains(word))
            .take(MOST_WORDS)
            .map(folded)
            .collect();
        words.sort_unstable();
        words.dedup();
        Self(words)
    }

    /// The words, in order.
    pub fn into_words(self) -> Vec<String> {
        self.0
    }

    /// Whether there is nothing to compare.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares two names; the order of the two makes no difference.
    pub fn compare(&self, other: &Self) -> Agreement {
        if self.is_empty() || other.is_empty() {
            return Agreement::Unknown;
        }
        if self == other {
            return Agreement::Agree;
        }
        let (mine, theirs) = (given(&self.0), given(&other.0));
        if !mine.is_empty() && !theirs.is_empty() {
            let same = mine.iter().any(|mine| theirs.iter().any(|theirs| same_word(mine, theirs)));
            return if same { Agreement::Agree } else { Agreement::Contradict };
        }
        let left = unmatched(&self.0, &other.0);
        let right = unmatched(&other.0, &self.0);
        match (left, right) {
            // Nothing in common: two whole names clearly differ, a nickname beside a name says nothing.
            (left, right) if left == self.0.len() && right == other.0.len() => {
                if left > 1 && right > 1 {
                    Agreement::Contradict
                } else {
                    Agreement::Unknown
                }
            }
            // One is a part of the other.
            (0, _) | (_, 0) => Agreement::Agree,
            // A word in common and a word apart on both sides: a family, or a married name.
            _ => Agreement::Unknown,
        }
    }
}

/// The words that are given names.
fn given(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).filter(|word| GROUPS.contains_key(*word)).collect()
}

/// How many words of one name have no counterpart in the other.
fn unmatched(words: &[String], others: &[String]) -> usize {
    words.iter().filter(|word| !others.iter().any(|other| same_word(word, other))).count()
}

fn same_word(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    // An initial.
    if one.len() == 1 || other.len() == 1 {
        return one.as_bytes().first() == other.as_bytes().first();
    }
    if let (Some(ones), Some(others)) = (GROUPS.get(one), GROUPS.get(other)) {
        return ones.iter().any(|group| others.contains(group));
    }
    one.len() >= LONG && other.len() >= LONG && strsim::jaro_winkler(one, other) >= SAME_WORD
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Agreement::{Agree, Contradict, Unknown};

    fn check(one: &str, other: &str, expect: Agreement) {
        let (one_key, other_key) = (NameKey::of(one), NameKey::of(other));
        assert_eq!(one_key.compare(&other_key), expect, "{one:?} {one_key:?} and {other:?} {other_key:?}");
        assert_eq!(other_key.compare(&one_key), expect, "{other:?} and {one:?}");
    }

    #[test]
    fn one_name_in_many_spellings_agrees() {
        check("Анна Петренко", "Петренко Анна", Agree);
        check("Анна Петренко", "Anna Petrenko", Agree);
        check("Оля", "Ольга Петренко", Agree);
        check("Olha Petrenko", "Оля 🌸", Agree);
        check("Сашко", "Oleksandr Koval", Agree);
        check("Саша", "Олександра Коваль", Agree);
        check("Вова", "Володимир", Agree);
        check("Анна Ивановна Петренко", "Анна Петренко", Agree);
        check("Анна Петренко", "Анна Коваль", Agree);
        check("A. Petrenko", "Anna Petrenko", Agree);
        check("Олена Шевченко", "Ольена Шевченко", Agree);
        check("Shevchenko", "Шевченко Мирон", Agree);
        check("Bob Smith", "Robert Smith", Agree);
        check("Тетяна", "Tatiana", Agree);
        check("Сергій Ґудзь", "Sergey Gudz", Agree);
        check("Юлія", "Julia", Agree);
        check("Євген", "Evgeniy", Agree);
    }

    #[test]
    fn nothing_is_said_by_nicknames_families_and_nothing() {
        check("", "Anna", Unknown);
        check("🌸🌸", "Anna", Unknown);
        check("12345", "Anna", Unknown);
        check("kotik", "Анна Петренко", Unknown);
        check("Demyd Bondar", "Zorian Bondar", Unknown);
        check("Менеджер", "Офіс", Unknown);
    }

    #[test]
    fn different_given_names_contradict() {
        check("Анна Петренко", "Іван Петренко", Contradict);
        check("Оля", "Сергій", Contradict);
        check("Olha", "Olena", Contradict);
        check("Mary Smith", "John Smith", Contradict);
        check("Demyd Bondar", "Zorian Hutsul", Contradict);
    }

    #[test]
    fn every_given_name_agrees_with_all_of_its_line() {
        for line in GIVEN_NAMES.lines() {
            for word in line.split(' ') {
                check(word, line.split(' ').next().unwrap(), Agree);
            }
        }
    }

    proptest! {
        #[test]
        fn comparing_is_symmetric_and_reflexive(one in "\\PC{0,40}", other in "\\PC{0,40}") {
            let (one, other) = (NameKey::of(&one), NameKey::of(&other));
            prop_assert_eq!(one.compare(&other), other.compare(&one));
            prop_assert!(one.compare(&one) != Contradict);
        }
    }
}
