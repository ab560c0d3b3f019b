//! Why a value cannot be used: every code with its sentence, in one place.

use crate::lead::Flaw;

/// A reason to refuse a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// Stable word, for filters and tests.
    pub(super) code: &'static str,
    /// One sentence for people.
    pub(super) text: &'static str,
}

impl Reason {
    /// The flaw that this reason makes of `raw`.
    pub(super) fn flaw(self, field: &str, raw: &str) -> Flaw {
        Flaw { field: field.into(), raw: raw.into(), code: self.code.into(), text: self.text.into() }
    }
}

macro_rules! reasons {
    ($($name:ident $code:literal $text:literal;)+) => {
        $(pub(super) const $name: Reason = Reason { code: $code, text: $text };)+
    };
}

reasons! {
    EMPTY "empty" "The value is empty.";
    NO_VALUE "no_value" "The text stands for \"no value\"; the platform sent its own word for an empty field.";
    TEMPLATE "template" "The text is a template that the platform did not fill in; check the variable's name there.";
    MASKED "masked" "Part of the value is hidden or was never filled in, so it names nobody.";
    TEXT_TOO_LONG "text_too_long" "The text is far longer than any such value; check which field is mapped.";

    SCIENTIFIC "scientific_notation" "A spreadsheet turned the number into scientific notation and lost its last digits; export the column as text.";
    NO_NUMBER "no_number" "There is no phone number in the text.";
    NOT_A_PHONE "not_a_phone" "The text is an address or an account id of another kind, not a phone number.";
    SEVERAL_NUMBERS "several_numbers" "The text holds more than one phone number, and nothing says which is meant.";
    LETTERS "letters_in_number" "Letters touch the digits, so a digit may be mistyped (O for 0, l for 1).";
    SHORT_CODE "short_code" "This is a short code or a part of a number; it identifies nobody.";
    TOO_SHORT "too_short" "The number has too few digits; its area or operator code may be missing.";
    TOO_LONG "too_long" "The number has too many digits.";
    NO_REGION "no_region" "The number names no country and no region is set; add `regions` to the mapping.";
    UNKNOWN_COUNTRY "unknown_country_code" "No country has this calling code.";
    INVALID "invalid" "No numbering plan that applies has such a number.";
    PREMIUM_RATE "premium_rate" "This is a premium-rate number; it is a service, not a person.";
    VOICEMAIL "voicemail" "This is a voicemail access number; it is a service, not a person.";
    REPEATED_DIGITS "repeated_digits" "The number repeats one or two digits, as placeholders do.";
    SEQUENCE "sequence" "The number counts up or down, as placeholders do.";
    TRAILING_ZEROS "trailing_zeros" "The number ends in six or more zeros, as placeholders do.";
    PLACEHOLDER "placeholder" "This is a well-known placeholder; it identifies nobody.";

    NO_ADDRESS "no_address" "There is no email address in the text.";
    SEVERAL_ADDRESSES "several_addresses" "The text holds more than one email address, and nothing says which is meant.";
    LOCAL_PART "local_part" "The part before the @ is not one that a mailbox can have.";
    ADDRESS_TOO_LONG "too_long" "The address is longer than 254 characters, which no mailbox has.";
    DOMAIN "domain" "The part after the @ is not a domain name.";
    MIXED_SCRIPT "mixed_script" "The address mixes letters of different alphabets that look alike; ask for it again.";
}
