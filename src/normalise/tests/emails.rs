//! How people and platforms write emails, and what each spelling must become.

use crate::normalise::email;

/// The address, and the key where it differs; or the flaw's code.
fn check(raw: &str, address: &str, key: Option<&str>) {
    let got = email(raw).map(|email| (email.address, email.match_key));
    assert_eq!(got, Ok((address.to_owned(), key.map(str::to_owned))), "{raw:?}");
}

fn refused(raw: &str, code: &str) {
    assert_eq!(
        email(raw).map(|email| email.address).map_err(|flaw| flaw.code),
        Err(code.to_owned()),
        "{raw:?}"
    );
}

#[test]
fn spellings_of_one_address() {
    for raw in [
        "olena@example.com",
        " Olena@Example.COM ",
        "mailto:olena@example.com",
        "MAILTO:olena@example.com?subject=Hi",
        "Olena Petrenko <olena@example.com>",
        "\"Petrenko, Olena\" <olena@example.com>",
        "<olena@example.com>",
        "моя пошта olena@example.com, дякую!",
        "olena@example.com.",
        "olena@example.com; olena@example.com",
        "olena@\u{200b}example.com\u{feff}",
        "ｏｌｅｎａ＠ｅｘａｍｐｌｅ．ｃｏｍ",
        "@olena olena@example.com",
        "'olena@example.com'",
    ] {
        check(raw, "olena@example.com", Some("olena@example.com"));
    }
}

#[test]
fn names_in_other_scripts() {
    check("olena@почта.рф", "olena@xn--80a1acny.xn--p1ai", Some("olena@xn--80a1acny.xn--p1ai"));
    check("олена@пошта.укр", "олена@xn--80a1acn3a.xn--j1amh", Some("олена@xn--80a1acn3a.xn--j1amh"));
    check("jos\u{65}\u{301}@example.com", "jos\u{e9}@example.com", Some("jos\u{e9}@example.com"));
    check("олена@xn--80a1acny.com", "олена@xn--80a1acny.com", Some("олена@xn--80a1acny.com"));
    check("山田たろう@example.jp", "山田たろう@example.jp", Some("山田たろう@example.jp"));
    // the first letter is Cyrillic
    refused("аnna@gmail.com", "mixed_script");
    refused("anna@gmаil.com", "mixed_script");
    refused("anna@xn--gmil-63d.com", "mixed_script");
    refused("анна@gmail.com", "mixed_script");
}

#[test]
fn providers_fold_in_the_key_only() {
    let check = |raw: &str, key: &str| check(raw, &raw.to_lowercase(), Some(key));
    check("Olena.Petrenko+shop@gmail.com", "olenapetrenko@gmail.com");
    check("olenapetrenko@googlemail.com", "olenapetrenko@gmail.com");
    check("olena.petrenko+shop@outlook.com", "olena.petrenko@outlook.com");
    check("olena+shop@hotmail.com", "olena@hotmail.com");
    check("olena+shop@live.com", "olena@live.com");
    check("olena+shop@icloud.com", "olena@icloud.com");
    check("olena+shop@fastmail.com", "olena@fastmail.com");
    check("olena+shop@proton.me", "olena@proton.me");
    check("olena+shop@yandex.ru", "olena@yandex.ru");
    check("olena+shop@ya.ru", "olena@yandex.ru");
    check("olena-petrenko@gmail.com", "olena-petrenko@gmail.com");
    check("olena-petrenko@yandex.ru", "olena-petrenko@yandex.ru");
    check("olena.petrenko+shop@example.com", "olena.petrenko+shop@example.com");
}

#[test]
fn role_mailboxes_join_nobody() {
    for raw in [
        "info@example.com",
        "sales@example.com",
        "Office@example.com",
        "noreply@example.com",
        "no-reply@example.com",
        "admin@example.com",
        "support@example.com",
        "contact@example.com",
        "hello@example.com",
        "zakaz@example.com",
        "info+kyiv@example.com",
        "postmaster@example.com",
    ] {
        check(raw, &raw.to_lowercase(), None);
    }
    check("infopetrenko@example.com", "infopetrenko@example.com", Some("infopetrenko@example.com"));
}

#[test]
fn what_is_no_address_is_a_flaw() {
    for (raw, code) in [
        ("", "empty"),
        ("  \u{200b} ", "empty"),
        ("null", "no_value"),
        ("-", "no_value"),
        ("[object Object]", "no_value"),
        ("{{email}}", "template"),
        ("<<contact.email>>", "template"),
        ("{{name}}@example.com", "template"),
        ("{email}", "template"),
        ("jmu***@gmail.com", "masked"),
        ("o•••a@gmail.com", "masked"),
        ("test@test.com", "placeholder"),
        ("test@gmail.com", "placeholder"),
        ("asd@asd.asd", "placeholder"),
        ("aaa@aaa.aa", "placeholder"),
        ("no@no.no", "placeholder"),
        ("1111@mail.ru", "placeholder"),
        ("olena", "no_address"),
        ("@olena", "no_address"),
        ("olena@", "no_address"),
        ("0671234567", "no_address"),
        ("olena@example.com, taras@example.com", "several_addresses"),
        ("olena@localhost", "domain"),
        ("olena@example", "domain"),
        ("olena@example..com", "domain"),
        ("olena@-example.com", "domain"),
        ("olena@exa_mple.com", "domain"),
        ("olena@127.0.0.1", "domain"),
        ("olena@example.c", "domain"),
        ("olena@gmail,com", "domain"),
        (".olena@example.com", "local_part"),
        ("ole..na@example.com", "local_part"),
        ("o@lena@example.com", "local_part"),
        ("+tag@gmail.com", "local_part"),
        ("...@gmail.com", "local_part"),
    ] {
        refused(raw, code);
    }
    refused(&format!("{}@example.com", "o".repeat(65)), "local_part");
    refused(&format!("olena@{}.com", "o".repeat(64)), "domain");
    refused(&"olena@example.com ".repeat(100), "text_too_long");
}
