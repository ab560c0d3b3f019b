//! How people and platforms write phones, and what each spelling must become.

use crate::lead::{Confidence, PhoneKind};
use crate::normalise::{is_region, phone};

fn regions(codes: &str) -> Vec<String> {
    codes.split_whitespace().map(str::to_owned).collect()
}

/// `text | regions | expected`, a line each: the E.164 with `;ext=`, and the confidence or nothing for a flaw's code.
pub(super) fn check(table: &str) {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        lines += 1;
        let [raw, codes, expect] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has not three cells")
        };
        let raw = raw.trim().replace("\\n", "\n");
        let got = match phone(&raw, &regions(codes)) {
            Ok(phone) => {
                assert_eq!(phone.raw, raw);
                let extension =
                    phone.extension.map(|extension| format!(";ext={extension}")).unwrap_or_default();
                let confidence = match phone.confidence {
                    Confidence::Exact => "exact",
                    Confidence::Assumed => "assumed",
                    Confidence::Ambiguous => "ambiguous",
                };
                format!("{}{extension} {confidence}", phone.e164)
            }
            Err(flaw) => {
                assert_eq!((flaw.field.as_str(), &flaw.raw), ("phone", &raw));
                flaw.code
            }
        };
        if got != expect.trim() {
            wrong.push(format!("{raw:?} for [{}]: expected {}, got {got}", codes.trim(), expect.trim()));
        }
    }
    assert!(wrong.is_empty(), "{} of {lines}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn ukraine() {
    check(
        "
        +380671234567               | UA    | +380671234567 exact
        +38 (067) 123-45-67         | UA    | +380671234567 exact
        +38 (067) 000-00-01         | UA    | +380670000001 exact
        +38 067 123 45 67           |       | +380671234567 exact
        +380 (67) 123 45 67         |       | +380671234567 exact
        +380 (067) 123 45 67        |       | +380671234567 exact
        (+380) 67 123 45 67         |       | +380671234567 exact
        +3 8 0 6 7 1 2 3 4 5 6 7    |       | +380671234567 exact
        ++380671234567              |       | +380671234567 exact
        +380-67-123-45-67           |       | +380671234567 exact
        00380671234567              | UA    | +380671234567 exact
        +00380671234567             |       | +380671234567 exact
        380671234567                | UA    | +380671234567 exact
        380 67 123 45 67            | UA PL | +380671234567 exact
        38 067 123 45 67            | UA    | +380671234567 exact
        380671234567.0              | UA    | +380671234567 exact
        380671234567                |       | +380671234567 ambiguous
        380671234567                | PL    | +380671234567 ambiguous
        0671234567                  | UA    | +380671234567 assumed
        067 123 45 67               | UA    | +380671234567 assumed
        067-123-45-67               | UA PL | +380671234567 assumed
        (067) 1234567               | UA    | +380671234567 assumed
        067.123.45.67               | UA    | +380671234567 assumed
        671234567                   | UA    | +380671234567 assumed
        80671234567                 | UA    | +380671234567 assumed
        8 (067) 123-45-67           | UA    | +380671234567 assumed
        80 67 123 45 67             | UA    | +380671234567 assumed
        +8 067 123 45 67            | UA    | +380671234567 assumed
        +067 123 45 67              | UA    | +380671234567 assumed
        044 123 45 67 доб. 12       | UA    | +380441234567;ext=12 assumed
        +380441234567;ext=12        |       | +380441234567;ext=12 exact
        044 123-45-67 (вн. 104)     | UA    | +380441234567;ext=104 assumed
        0441234567,12               | UA    | +380441234567;ext=12 assumed
        +380 800 500 500            |       | +380800500500 exact
        0671234567                  |       | no_region
        067 123 45                  | UA    | too_short
        06712345678                 | UA    | invalid
        123-45-67                   | UA    | sequence
        234-51-67                   | UA    | too_short
        +38 67 123 45 67            | UA    | +38671234567 ambiguous
        +38 67 123 45 67            | SI    | +38671234567 exact
        +380 380 67 123 45 67       |       | +380671234567 exact
        +380 +380671234567          |       | +380671234567 exact
        "
        .trim_end(),
    );
}

#[test]
fn russia_and_kazakhstan() {
    check(
        "
        +7 903 123-45-67            |       | +79031234567 exact
        8 (903) 123-45-67           | RU    | +79031234567 assumed
        89031234567                 | RU    | +79031234567 assumed
        9031234567                  | RU    | +79031234567 assumed
        79031234567                 | RU    | +79031234567 exact
        +8 903 123 45 67            | RU    | +79031234567 assumed
        +89031234567                | RU KZ | +79031234567 assumed
        +8 903 123 45 67            |       | unknown_country_code
        +8 903 123 45 67            | UA    | unknown_country_code
        +7 (8903) 123-45-67         |       | +79031234567 exact
        +7 79031234567              |       | +79031234567 exact
        +78005553535                |       | +78005553535 exact
        8 800 555-35-35             | RU    | +78005553535 assumed
        +7 495 123-45-67 доб.123    |       | +74951234567;ext=123 exact
        8-495-123-45-67 добавочный 7| RU    | +74951234567;ext=7 assumed
        +7 701 000 00 01            |       | +77010000001 exact
        8 701 123 45 67             | KZ    | +77011234567 assumed
        8 701 123 45 67             | RU KZ | +77011234567 assumed
        87011234567                 | UA KZ | +77011234567 assumed
        77011234567                 | KZ    | +77011234567 exact
        7011234567                  | KZ    | +77011234567 assumed
        +8 701 123 45 67            | KZ    | +77011234567 assumed
        810 380 67 123 45 67        | RU    | +380671234567 exact
        8~10 380 67 123 45 67       | RU    | +380671234567 exact
        "
        .trim_end(),
    );
}

#[test]
fn europe() {
    check(
        "
        +48 501 234 567             |       | +48501234567 exact
        501 234 567                 | PL    | +48501234567 assumed
        48501234567                 | PL    | +48501234567 exact
        0048 501 234 567            |       | +48501234567 exact
        +48 22 123 45 67 wew. 12    |       | +48221234567;ext=12 exact
        +49 151 23456789            |       | +4915123456789 exact
        0151 23456789               | DE    | +4915123456789 assumed
        0151/23456789               | DE    | +4915123456789 assumed
        0151 / 23456789             | DE    | +4915123456789 assumed
        +49 (0)151 23456789         |       | +4915123456789 exact
        +49 49 151 23456789         |       | +494915123456789 ambiguous
        0049 151 23456789           | DE    | +4915123456789 exact
        4915123456789               | DE    | +4915123456789 ambiguous
        4915228817386               |       | +4915228817386 ambiguous
        4915228817386@s.whatsapp.net|       | +4915228817386 exact
        030 1234567/68              | DE    | several_numbers
        +49 30 901820               |       | +4930901820 exact
        +44 (0)20 7946 0958         |       | +442079460958 exact
        +44 20 7946 0958            |       | +442079460958 exact
        020 7946 0958               | GB    | +442079460958 assumed
        07400 123456                | UK    | +447400123456 assumed
        0044 7400 123456            | GB    | +447400123456 exact
        447400123456                | GB    | +447400123456 exact
        +39 06 6982 1234            |       | +390669821234 exact
        06 6982 1234                | IT    | +390669821234 assumed
        +39 333 123 4567            |       | +393331234567 exact
        333 123 4567                | IT    | +393331234567 assumed
        393331234567                | IT    | +393331234567 exact
        390669821234                | IT    | +390669821234 exact
        06 20 123 4567              | HU    | +36201234567 assumed
        0620 123 4567               | HU    | +36201234567 assumed
        +36 20 123 4567             |       | +36201234567 exact
        +36 06 20 123 4567          |       | +36201234567 exact
        06 12 34 56 78              | FR    | +33612345678 assumed
        +33 6 00 00 00 01           |       | +33600000001 exact
        +33 (0)6 12 34 56 78        |       | +33612345678 exact
        33612345678                 | FR    | +33612345678 exact
        0033 6 12 34 56 78          |       | +33612345678 exact
        612 345 678                 | ES    | +34612345678 assumed
        +351 912 345 678            |       | +351912345678 exact
        +31 6 12345678              |       | +31612345678 exact
        06-12345678                 | NL    | +31612345678 assumed
        0664 1234567                | AT    | +436641234567 assumed
        +43 664 1234567             |       | +436641234567 exact
        079 123 45 67               | CH    | +41791234567 assumed
        8 029 123 45 67             | BY    | +375291234567 assumed
        +375 29 123-45-67           |       | +375291234567 exact
        0721 234 567                | RO    | +40721234567 assumed
        601 234 567                 | CZ    | +420601234567 assumed
        +372 5123 456               |       | +3725123456 exact
        8 612 34567                 | LT    | +37061234567 assumed
        067 123 456                 | MD    | +37367123456 assumed
        "
        .trim_end(),
    );
}

#[test]
fn asia_and_africa() {
    check(
        "
        0532 123 45 67              | TR    | +905321234567 assumed
        +90 (532) 123 45 67         |       | +905321234567 exact
        90 532 123 45 67            | TR    | +905321234567 exact
        5321234567                  | TR    | +905321234567 ambiguous
        050 123 4567                | AE    | +971501234567 assumed
        971501234567                | AE    | +971501234567 exact
        +971 50 123 4567            |       | +971501234567 exact
        98765 43211                 | IN    | +919876543211 assumed
        098765 43211                | IN    | +919876543211 assumed
        +91 98765 43211             |       | +919876543211 exact
        919876543211                | IN    | +919876543211 exact
        050-234-5678                | IL    | +972502345678 assumed
        +998 90 123 45 67           |       | +998901234567 exact
        90 123 45 67                | UZ    | +998901234567 assumed
        +995 555 12 34 56           |       | +995555123456 exact
        +966 50 123 4567            |       | +966501234567 exact
        0812 3456 7890              | ID    | +6281234567890 assumed
        090-1234-5671               | JP    | +819012345671 assumed
        +86 138 1234 5678           |       | +8613812345678 exact
        0100 123 4567               | EG    | +201001234567 assumed
        082 123 4567                | ZA    | +27821234567 assumed
        "
        .trim_end(),
    );
}

#[test]
fn the_americas() {
    check(
        "
        +1 (202) 555-0100           |       | +12025550100 exact
        (202) 555-0100              | US    | +12025550100 assumed
        202-555-0100                | US CA | +12025550100 assumed
        202.555.0100 x12            | US    | +12025550100;ext=12 assumed
        202-555-0100 ext. 12        | US    | +12025550100;ext=12 assumed
        1-202-555-0100              | US    | +12025550100 exact
        12025550100                 | US    | +12025550100 exact
        011 380 67 123 45 67        | US    | +380671234567 exact
        00380671234567              | US    | +380671234567 exact
        +1 800 356 9377             |       | +18003569377 exact
        +55 11 98765-4321           |       | +5511987654321 exact
        (11) 98765-4321             | BR    | +5511987654321 assumed
        011 98765-4321              | BR    | +5511987654321 assumed
        5511987654321               | BR    | +5511987654321 exact
        5511900000001               | BR    | +5511900000001 exact
        +55 31 8765-4321            |       | +5531987654321 exact
        (31) 8765-4321              | BR    | +5531987654321 assumed
        553187654321                | BR    | +5531987654321 exact
        553187654321@s.whatsapp.net |       | +5531987654321 exact
        55 99123-4567               | BR    | +5555991234567 assumed
        +55 31 3234-5678            |       | +553132345678 exact
        +52 55 1234 5678            |       | +525512345678 exact
        +52 1 55 1234 5678          |       | +525512345678 exact
        5215512345678@s.whatsapp.net|       | +525512345678 exact
        5215512345678               | MX    | +525512345678 exact
        5215512345678               | US    | +525512345678 ambiguous
        044 55 1234 5678            | MX    | +525512345678 assumed
        045 55 1234 5678            | MX    | +525512345678 assumed
        01 55 1234 5678             | MX    | +525512345678 assumed
        55 1234 5678                | MX    | +525512345678 assumed
        +54 9 11 2345-6789          |       | +5491123456789 exact
        +54 11 2345-6789            |       | +541123456789 exact
        011 15-2345-6789            | AR    | +5491123456789 assumed
        011 2345-6789               | AR    | +541123456789 assumed
        +54 11 15 2345-6789         |       | +5491123456789 exact
        5491123456789               | AR    | +5491123456789 exact
        +57 300 123 4567            |       | +573001234567 exact
        +56 9 8765 4320             |       | +56987654320 exact
        "
        .trim_end(),
    );
}

#[test]
fn several_regions() {
    check(
        "
        671234567                   | UA PL | +380671234567 ambiguous
        501234567                   | PL UA | +48501234567 assumed
        0671234567                  | UA IT | +380671234567 ambiguous
        0671234567                  | PL UA | +380671234567 assumed
        8 044 123 45 67             | BY UA | +375441234567 assumed
        8 044 123 45 67             | UA BY | +380441234567 ambiguous
        202 555 0100                | US UA | +12025550100 assumed
        89031234567                 | KZ RU | +79031234567 assumed
        +48501234567                | UA    | +48501234567 exact
        0671234567                  | XX UA | +380671234567 assumed
        0671234567                  | ua    | +380671234567 assumed
        "
        .trim_end(),
    );
}

#[test]
fn words_and_wrappings() {
    check(
        "
        мій номер 067 123-45-67, дзвоніть     | UA | +380671234567 assumed
        Тел.: +38 (067) 123-45-67 (Viber)     | UA | +380671234567 exact
        тел0671234567                         | UA | +380671234567 assumed
        0671234567 Олена                      | UA | +380671234567 assumed
        0671234567Олена                       | UA | +380671234567 assumed
        мені 25 років, 0671234567             | UA | +380671234567 assumed
        замовлення 12345, тел 0671234567      | UA | +380671234567 assumed
        +380671234567 з 10:00 до 18:00        | UA | +380671234567 exact
        21.11.2026 тел 0671234567             | UA | +380671234567 assumed
        +380671234567 @olena                  | UA | +380671234567 exact
        olena@example.com, 0671234567         | UA | +380671234567 assumed
        0671234567 / +380671234567            | UA | +380671234567 exact
        067 123 45 67\\n067 123 45 67         | UA | +380671234567 assumed
        067 123 45 67, 050 123 45 67          | UA | several_numbers
        067 123 45 67 / 050 123 45 67         | UA | several_numbers
        0671234567 0501234567                 | UA | several_numbers
        +380671234567+380501234567            | UA | several_numbers
        0441234567 доб 1, 0441234567 доб 2    | UA | several_numbers
        p:+380671234567                       |    | +380671234567 exact
        tel:+380671234567                     |    | +380671234567 exact
        tel:067-123-45-67                     | UA | +380671234567 assumed
        whatsapp:+380671234567                |    | +380671234567 exact
        whatsapp:380671234567                 |    | +380671234567 exact
        380671234567@c.us                     |    | +380671234567 exact
        380671234567:7@s.whatsapp.net         |    | +380671234567 exact
        https://wa.me/380671234567            |    | +380671234567 exact
        viber://chat?number=%2B380671234567   |    | +380671234567 exact
        '0671234567                           | UA | +380671234567 assumed
        =\"0671234567\"                       | UA | +380671234567 assumed
        *067 123 45 67*                       | UA | +380671234567 assumed
        ☎️ 067 123 45 67 📞                   | UA | +380671234567 assumed
        ０６７－１２３－４５－６７             | UA | +380671234567 assumed
        ＋３８０６７１２３４５６７             |    | +380671234567 exact
        ٠٦٧١٢٣٤٥٦٧                            | UA | +380671234567 assumed
        +९१ ९८७६५ ४३२११                       |    | +919876543211 exact
        0️⃣6️⃣7️⃣ 123 45 67                      | UA | +380671234567 assumed
        \u{202a}+380 67 123‑45–67\u{202c}                   |    | +380671234567 exact
        O671234567                            | UA | letters_in_number
        067l234567                            | UA | letters_in_number
        067123456O                            | UA | letters_in_number
        +49 l51 23456789                      | DE | letters_in_number
        1-800-FLOWERS                         | US | letters_in_number
        user1234567                           | DE | letters_in_number
        067 номер 1234567                     | EE | too_short
        "
        .trim_end(),
    );
}

#[test]
fn junk_is_a_flaw() {
    check(
        "
                                    | UA    | empty
        null                        | UA    | no_value
        undefined                   | UA    | no_value
        None                        | UA    | no_value
        [object Object]             | UA    | no_value
        N/A                         | UA    | no_value
        -                           | UA    | no_value
        ...                         | UA    | no_value
        немає                       | UA    | no_value
        {{phone}}                   | UA    | template
        {{contact.variables.phone}} | UA    | template
        <<contact.phone>>           | UA    | template
        ${phone}                    | UA    | template
        {phone}                     | UA    | template
        %phone%                     | UA    | template
        [phone]                     | UA    | template
        <test lead: dummy data for phone_number> | UA | template
        +38067***4567               | UA    | masked
        +38067•••4567               | UA    | masked
        067 xxx xx xx               | UA    | masked
        +380XXXXXXXXX               | UA    | masked
        +38 (___) ___-__-__         | UA    | masked
        0671234***                  | UA    | masked
        067123456*                  | UA    | masked
        +49 30 901820_              |       | masked
        030 901820-??               | DE    | masked
        +38067...4567               | UA    | masked
        067 123 ## ##               | UA    | masked
        3.80671E+11                 | UA    | scientific_notation
        3,80671234567E+11           | UA    | scientific_notation
        380e9                       | UA    | scientific_notation
        1111111111                  | UA    | repeated_digits
        0000000000                  | UA    | repeated_digits
        77777777777                 | RU    | repeated_digits
        9999999999                  | RU    | repeated_digits
        +79999999999                | RU    | repeated_digits
        5555555555                  | BR    | repeated_digits
        +38 (050) 000-00-00         | UA    | trailing_zeros
        +380 67 777 77 77           | UA    | repeated_digits
        1234567890                  | GB    | sequence
        0123456789                  | UA    | sequence
        9876543210                  | RU    | sequence
        +91 98765 43210             |       | sequence
        +12345678901                |       | placeholder
        +1 234 567 8900             |       | placeholder
        +380 63 100 00 00           | UA    | trailing_zeros
        +16505550123                |       | placeholder
        112                         | UA    | short_code
        911                         | US    | short_code
        5433                        | UA    | short_code
        0900 1 234567               | DE    | premium_rate
        +1 900 234 5678             |       | premium_rate
        дзвоніть мені               | UA    | no_number
        olena@example.com           | UA    | not_a_phone
        380671234567@gmail.com      | UA    | not_a_phone
        120363000000000000@g.us     | UA    | not_a_phone
        123456789012345@lid         | UA    | not_a_phone
        https://vk.com/id380671234567 | UA  | not_a_phone
        4149 4991 1234 5678         | UA    | too_long
        +999 123 456 789            |       | unknown_country_code
        +380 67 123 45              |       | too_short
        +380 67 123 45 67 89        |       | too_long
        192.168.1.10                | UA    | invalid
        "
        .trim_end(),
    );
}

#[test]
fn a_text_of_more_than_250_characters_is_refused() {
    let code = |text: String| phone(&text, &regions("UA")).map(|phone| phone.e164).map_err(|flaw| flaw.code);
    assert_eq!(code(format!("{}0671234567", " ".repeat(240))), Ok("+380671234567".into()));
    assert_eq!(code(format!("{}0671234567", " ".repeat(241))), Err("text_too_long".into()));
    assert_eq!(code("1".repeat(1_000_000)), Err("text_too_long".into()));
}

/// Whether two spellings share a match key.
pub(super) fn joined(left: &str, right: &str) -> bool {
    let keys =
        |raw: &str| phone(raw, &regions("UA")).unwrap_or_else(|flaw| panic!("{raw}: {flaw:?}")).match_keys;
    keys(left).iter().any(|key| keys(right).contains(key))
}

#[test]
fn lines_that_have_two_spellings_share_a_key() {
    let check =
        |left: &str, right: &str, expect: bool| assert_eq!(joined(left, right), expect, "{left} and {right}");
    check("+55 31 8765-4321", "+55 31 98765-4321", true);
    check("553187654321@s.whatsapp.net", "+5531987654321", true);
    check("+52 1 55 1234 5678", "+52 55 1234 5678", true);
    check("+54 9 11 2345 6789", "+54 11 2345 6789", true);
    check("067 123 45 67", "+380671234567", true);
    check("044 123 45 67 доб. 12", "+380441234567;ext=12", true);
    check("044 123 45 67 доб. 12", "044 123 45 67", false);
    check("044 123 45 67 доб. 12", "044 123 45 67 доб. 13", false);
    check("+55 31 3234 5678", "+55 31 93234 5678", false);
    check("+39 06 6982 1234", "+39 333 123 4567", false);
}

#[test]
fn region_and_kind_come_from_the_numbering_plan() {
    let check = |raw: &str, region: Option<&str>, kind: PhoneKind| {
        let phone = phone(raw, &[]).unwrap();
        assert_eq!((phone.region.as_deref(), phone.kind), (region, kind), "{raw}");
    };
    check("+380671234567", Some("UA"), PhoneKind::Mobile);
    check("+380441234567", Some("UA"), PhoneKind::FixedLine);
    check("+77011234567", Some("KZ"), PhoneKind::Mobile);
    check("+12025550100", Some("US"), PhoneKind::FixedLineOrMobile);
    check("+78005553535", Some("RU"), PhoneKind::TollFree);
    check("+55 31 8765-4321", Some("BR"), PhoneKind::Mobile);
    check("+800 1234 5679", None, PhoneKind::TollFree);
}

#[test]
fn regions_are_known_by_their_code() {
    for code in ["UA", "ua", " PL ", "UK", "GB", "XK"] {
        assert!(is_region(code), "{code:?}");
    }
    for code in ["", "U", "XX", "ZZ", "001", "UKR", "Україна"] {
        assert!(!is_region(code), "{code:?}");
    }
}
