//! One spelling for characters that mean the same, before anything is judged.

use unicode_normalization::UnicodeNormalization;

/// The zero of every decimal digit script of Unicode that compatibility normalisation leaves alone; nine follow it.
const ZEROS: [u32; 60] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50,
    0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136,
    0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50,
    0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e950,
];

/// Lower-case text with ASCII digits, `-` for every dash, `+` for every plus, single kinds of space, and nothing
/// invisible. Line breaks stay, because they part one number from the next.
pub(super) fn phone_text(raw: &str) -> String {
    if is_plain(raw) {
        return raw.trim().to_ascii_lowercase();
    }
    let clean: String =
        raw.nfkc().filter(|&c| !is_invisible(c)).flat_map(|c| unify(c).to_lowercase()).collect();
    clean.trim().to_owned()
}

/// Whether there is nothing to unify but capital letters.
pub(super) fn is_plain(raw: &str) -> bool {
    raw.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control())
}

fn ascii(c: char) -> char {
    match c {
        '\n' | '\r' => '\n',
        c if c.is_ascii_control() => ' ',
        c => c.to_ascii_lowercase(),
    }
}

fn unify(c: char) -> char {
    match c {
        c if c.is_ascii() => ascii(c),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' | '\u{2e3a}' | '\u{2e3b}' | '\u{30fc}' => '-',
        '\u{2795}' => '+',
        '\u{b7}' | '\u{2219}' | '\u{30fb}' => '.',
        '\u{2044}' | '\u{2215}' => '/',
        '\u{2028}' | '\u{2029}' | '\u{85}' => '\n',
        c if c.is_whitespace() || c.is_control() => ' ',
        c => digit(c).unwrap_or(c),
    }
}

fn digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let zero = *ZEROS.get(ZEROS.partition_point(|&zero| zero <= code).checked_sub(1)?)?;
    char::from_digit(code - zero, 10)
}

/// Characters that change nothing a person sees: zero width, bidirectional controls, joiners, variation
/// selectors, the keycap that turns a digit into an emoji, tags.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20e3}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_text_become_one() {
        let check = |raw: &str, expect: &str| assert_eq!(phone_text(raw), expect, "{raw:?}");
        check("\u{feff}+380\u{a0}67 123\u{2013}45\u{2011}67\u{200b}", "+380 67 123-45-67");
        check("０６７１２３４５６７", "0671234567");
        check("٠٦٧١٢٣٤٥٦٧", "0671234567");
        check("०६७१२३४५६७", "0671234567");
        check("𝟎𝟔𝟕", "067");
        check("0\u{fe0f}\u{20e3}6\u{fe0f}\u{20e3}7\u{fe0f}\u{20e3}", "067");
        check("\u{202d}+1 202\u{202c}", "+1 202");
        check(" ➕380 ", "+380");
        check("067\u{0}123\r\n044", "067 123\n\n044");
        check("ТЕЛ", "тел");
    }

    #[test]
    fn every_digit_script_counts_from_zero_to_nine() {
        assert!(ZEROS.is_sorted(), "looked up by bisection");
        for zero in ZEROS {
            for value in 0..10 {
                let c = char::from_u32(zero + value).unwrap();
                assert!(c.is_numeric(), "{c:?} is no digit");
                assert_eq!(digit(c), char::from_digit(value, 10), "{c:?}");
            }
        }
        assert_eq!(digit('\u{66a}'), None, "the Arabic percent sign follows nine");
        assert_eq!(digit('a'), None);
    }
}
