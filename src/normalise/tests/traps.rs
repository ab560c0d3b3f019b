//! What breaks in practice, line by line: each trap with the spellings that fall into it.

use super::phones::{check, joined};
use crate::lead::Confidence;
use crate::normalise::{email, phone};

#[test]
fn junk_that_numbering_plans_call_valid() {
    check(
        "
        1234567890                  | GB BR | sequence
        77777777777                 | RU    | repeated_digits
        9999999999                  | RU BR | repeated_digits
        +79999999999                |       | repeated_digits
        5555555555                  | BR GB | repeated_digits
        +38 (050) 000-00-00         |       | trailing_zeros
        9876543210                  | RU BR | sequence
        8 999 999 99 99             | RU    | repeated_digits
        +7 (999) 999-99-99          |       | repeated_digits
        +7 (900) 000-00-00          |       | trailing_zeros
        +380 00 000 00 00           |       | trailing_zeros
        8 800 000 00 00             | RU    | repeated_digits
        +7 900 090 90 90            |       | repeated_digits
        +1 555 555 5555             |       | repeated_digits
        000                         | UA    | short_code
        0                           | UA    | short_code
        00000                       | UA    | short_code
        -1                          | UA    | short_code
        +38067***4567               | UA    | masked
        +380 67 *** ** 67           |       | masked
        +38067XXX4567               |       | masked
        {{phone}}                   | UA    | template
        null                        | UA    | no_value
        NULL                        | UA    | no_value
        undefined                   | UA    | no_value
        [object Object]             | UA    | no_value
        NaN                         | UA    | no_value
        anonymous                   | UA    | no_value
        ",
    );
}

#[test]
fn spreadsheets() {
    check(
        "
        380671234567.0              | UA    | +380671234567 exact
        380671234567,0              | UA    | +380671234567 exact
        +380671234567.0             |       | +380671234567 exact
        671234567.0                 | UA    | +380671234567 assumed
        671234567.00                | UA    | +380671234567 assumed
        3.80671E+11                 | UA    | scientific_notation
        3,80671E+11                 | UA    | scientific_notation
        3.80671234567e11            | UA    | scientific_notation
        +3.80671E+11                | UA    | scientific_notation
        '+380671234567              |       | +380671234567 exact
        =\"+380671234567\"          |       | +380671234567 exact
        ",
    );
}

#[test]
fn trunk_habits() {
    check(
        "
        8 903 123-45-67             | RU    | +79031234567 assumed
        +8 903 123-45-67            | RU    | +79031234567 assumed
        +8 (903) 123-45-67          | RU UA | +79031234567 assumed
        8-701-123-45-67             | KZ    | +77011234567 assumed
        +8 701 123-45-67            | KZ    | +77011234567 assumed
        7 903 123-45-67             | RU    | +79031234567 exact
        80 67 123 45 67             | UA    | +380671234567 assumed
        80671234567                 | UA    | +380671234567 assumed
        8-067-123-45-67             | UA    | +380671234567 assumed
        +80 67 123 45 67            | UA    | +380671234567 assumed
        80 29 123 45 67             | BY    | +375291234567 assumed
        06 20 123 4567              | HU    | +36201234567 assumed
        06201234567                 | HU    | +36201234567 assumed
        +36 (06) 20 123 4567        |       | +36201234567 exact
        06 1 318 4072               | HU    | +3613184072 assumed
        +44 (0)20 7946 0958         |       | +442079460958 exact
        +44 (0) 20 7946 0958        |       | +442079460958 exact
        +44 020 7946 0958           |       | +442079460958 exact
        0044 (0)20 7946 0958        | GB    | +442079460958 exact
        44 (0)20 7946 0958          | GB    | +442079460958 exact
        +39 06 6982 1234            |       | +390669821234 exact
        39 06 6982 1234             | IT    | +390669821234 exact
        0039 06 6982 1234           | IT    | +390669821234 exact
        +39 6 6982 1234             |       | invalid
        ",
    );
}

#[test]
fn lines_with_two_spellings() {
    for (one, other, expect) in [
        // Brazil: the ninth digit, for mobiles only
        ("+55 31 8765-4321", "+55 31 98765-4321", true),
        ("+55 85 6543-2109", "+55 85 96543-2109", true),
        ("553187654321@c.us", "+55 (31) 98765-4321", true),
        ("+55 31 3234-5678", "+55 31 93234-5678", false),
        // Mexico: the 1 after 52, and 044 or 045 inside of the country
        ("5215512345678@s.whatsapp.net", "+52 55 1234 5678", true),
        ("+52 1 55 1234 5678", "+52 55 1234 5678", true),
        ("+52 044 55 1234 5678", "+52 55 1234 5678", true),
        ("+52 045 55 1234 5678", "+52 1 55 1234 5678", true),
        // Argentina: 9 abroad, 15 at home
        ("5491123456789@s.whatsapp.net", "+54 11 2345-6789", true),
        ("+54 9 11 2345-6789", "+54 11 15 2345-6789", true),
        ("+54 9 351 234-5678", "+54 351 15 234-5678", true),
        // an extension is a desk of its own
        ("+380441234567;ext=12", "+380441234567", false),
        ("+380441234567 доб. 12", "+380441234567 ext 12", true),
        ("+380441234567 доб. 12", "+380441234567 вн. 21", false),
    ] {
        assert_eq!(joined(one, other), expect, "{one} and {other}");
    }
}

#[test]
fn extensions_in_every_language_have_a_key_of_their_own() {
    for mark in [
        "доб.",
        "доб",
        "добавочный",
        "вн.",
        "внутр.",
        "додатковий",
        "ext",
        "ext.",
        "x",
        "#",
        "доп.",
        "wew.",
        ";ext=",
    ] {
        let found = phone(&format!("+380441234567 {mark} 104"), &[]);
        let keys = found.map(|found| (found.e164, found.match_keys));
        assert_eq!(keys, Ok(("+380441234567".into(), vec!["+380441234567;ext=104".into()])), "{mark}");
    }
}

#[test]
fn what_could_be_two_numbers_says_so() {
    for (raw, regions) in [
        ("4915123456789", "DE"),
        ("671234567", "UA PL"),
        ("380671234567", ""),
        ("79031234567", "US"),
        ("5321234567", "TR"),
    ] {
        let regions: Vec<String> = regions.split_whitespace().map(str::to_owned).collect();
        assert_eq!(phone(raw, &regions).map(|phone| phone.confidence), Ok(Confidence::Ambiguous), "{raw}");
    }
}

#[test]
fn account_ids_and_schemes_name_the_country() {
    check(
        "
        4915123456789@s.whatsapp.net    | UA | +4915123456789 exact
        4915123456789:23@s.whatsapp.net | UA | +4915123456789 exact
        4915123456789@c.us              | UA | +4915123456789 exact
        p:+4915123456789                | UA | +4915123456789 exact
        P:+4915123456789                | UA | +4915123456789 exact
        tel:+49-151-23456789            | UA | +4915123456789 exact
        TEL:+4915123456789              | UA | +4915123456789 exact
        whatsapp:+4915123456789         | UA | +4915123456789 exact
        whatsapp:4915123456789          | UA | +4915123456789 exact
        US.13491208655302741918         |    | not_a_phone
        US.3491208655302                | US | not_a_phone
        тел.0671234567                  | UA | +380671234567 assumed
        no.380671234567                 | UA | +380671234567 exact
        UA.ENT.11815799212886844830     | UA | not_a_phone
        123456789012345@lid             | UA | not_a_phone
        ",
    );
}

#[test]
fn digits_of_every_script_and_what_the_eye_cannot_see() {
    check(
        "
        ０６７１２３４５６７             | UA | +380671234567 assumed
        ＋３８０　６７　１２３　４５６７ | UA | +380671234567 exact
        ٠٦٧١٢٣٤٥٦٧                      | UA | +380671234567 assumed
        ۰۶۷۱۲۳۴۵۶۷                      | UA | +380671234567 assumed
        +٣٨٠٦٧١٢٣٤٥٦٧                   |    | +380671234567 exact
        ०६७१२३४५६७                      | UA | +380671234567 assumed
        \u{202d}+380671234567\u{202c}   |    | +380671234567 exact
        \u{2066}067\u{2069}1234567      | UA | +380671234567 assumed
        067\u{ad}123\u{200b}4567        | UA | +380671234567 assumed
        067\u{a0}123\u{2009}45\u{202f}67| UA | +380671234567 assumed
        О671234567                      | UA | letters_in_number
        0671234Б67                      | UA | letters_in_number
        +3806712З4567                   | UA | letters_in_number
        ",
    );
}

#[test]
fn spellings_of_one_mailbox_share_a_key_and_keep_their_address() {
    let key = |raw: &str| email(raw).ok().and_then(|email| email.match_key);
    for (one, other, expect) in [
        ("Olena.Petrenko+shop@Gmail.com", "olenapetrenko@googlemail.com", true),
        ("olena+a@outlook.com", "olena@outlook.com", true),
        ("olena+a@hotmail.com", "olena@hotmail.com", true),
        ("olena+a@icloud.com", "olena@icloud.com", true),
        ("olena+a@fastmail.com", "olena@fastmail.com", true),
        ("olena+a@proton.me", "olena@proton.me", true),
        ("olena+a@yandex.ru", "olena@ya.ru", true),
        ("olena@yandex.com", "olena@yandex.ru", true),
        ("olena@yandex.kz", "olena@yandex.by", true),
        ("olena.p@yandex.ru", "olena-p@yandex.ru", false),
        ("olena.p@outlook.com", "olenap@outlook.com", false),
        ("olena-p@gmail.com", "olenap@gmail.com", false),
        ("olena+a@example.com", "olena@example.com", false),
        ("olena@почта.рф", "OLENA@xn--80a1acny.xn--p1ai", true),
        ("jose\u{301}@example.com", "jos\u{e9}@example.com", true),
        ("olena\u{200b}@example.com", "\u{feff}olena@example.com", true),
        ("\"olena\"@example.com", "olena@example.com", true),
    ] {
        assert!(
            key(one).is_some() && key(other).is_some(),
            "{one}: {:?}, {other}: {:?}",
            email(one),
            email(other)
        );
        assert_eq!(key(one) == key(other), expect, "{one} and {other}");
    }
    let shown = |raw: &str| email(raw).unwrap().address;
    assert_eq!(shown("Olena.Petrenko+shop@Gmail.com"), "olena.petrenko+shop@gmail.com");
    assert_eq!(shown("olena+a@ya.ru"), "olena+a@ya.ru");
}

#[test]
fn addresses_that_nobody_has() {
    for (raw, code) in [
        ("\u{430}nna@gmail.com", "mixed_script"),
        ("anna@\u{440}aypal.com", "mixed_script"),
        ("ann\u{430}@example.com", "mixed_script"),
        ("\u{3b1}nna@example.com", "mixed_script"),
        ("j***a@gmail.com", "masked"),
        ("{{email}}", "template"),
        ("undefined@undefined.com", "placeholder"),
        ("null@null.com", "placeholder"),
        ("none@none.com", "placeholder"),
        ("test@test.ru", "placeholder"),
        ("a@a.a", "domain"),
        ("email@example.com", ""),
        ("\"a b\"@example.com", "local_part"),
        ("\"a@b\"@example.com", "local_part"),
        ("\"\"@example.com", "local_part"),
    ] {
        let got = email(raw).map(|email| email.match_key).map_err(|flaw| flaw.code);
        match code {
            "" => assert_eq!(got, Ok(None), "{raw}"),
            code => assert_eq!(got, Err(code.to_owned()), "{raw}"),
        }
    }
    let long = |local: usize, label: usize| {
        let domain = vec!["o".repeat(label); 4].join(".");
        email(&format!("{}@{domain}.com", "o".repeat(local - 1) + "p")).map_err(|flaw| flaw.code).map(|_| ())
    };
    assert_eq!(long(64, 40), Ok(()));
    assert_eq!(long(65, 40), Err("local_part".to_owned()));
    assert_eq!(long(64, 63), Err("domain".to_owned()), "longer than a domain may be");
    assert_eq!(long(64, 50), Err("too_long".to_owned()), "254 octets at most");
}

#[test]
fn mailboxes_of_an_office_join_nobody() {
    for local in [
        "info",
        "sales",
        "office",
        "noreply",
        "no-reply",
        "support",
        "admin",
        "hello",
        "contact",
        "billing",
        "buh",
        "zakaz",
        "otdel",
        "marketing",
        "team",
        "hr",
        "reklama",
        "sekretar",
        "priyomnaya",
        "sales.kyiv",
        "info-kyiv",
        "info.ua",
        "info1",
        "sales2",
        "office-lviv",
        "noreply_crm",
    ] {
        let got = email(&format!("{local}@example.com")).map(|email| email.match_key);
        assert_eq!(got, Ok(None), "{local}");
    }
    for local in ["informatyk", "salesky", "anna.office", "helloanna", "hrytsenko", "pressman", "hr.petrenko"]
    {
        let got = email(&format!("{local}@example.com")).map(|email| email.match_key.is_some());
        assert_eq!(got, Ok(true), "{local}");
    }
}
