//! Whether what the core says is told, and told right.

mod said;
mod wrong;

use super::*;
use crate::resolve::Language;

fn reader() -> Reader {
    Reader { language: Language::Ukrainian, ..Reader::for_tests() }
}

fn told(text: &str) -> Option<String> {
    ukrainian(&reader(), text).map(|told| told.text())
}

#[test]
fn a_sentence_keeps_what_it_names() {
    let check = |text: &str, expect: Option<&str>| {
        assert_eq!(
            ukrainian(&Reader::for_tests(), text).map(|told| told.text()).as_deref(),
            expect,
            "{text}"
        );
    };
    check("Contact 7 has no open deal.", Some("У контакту 7 немає відкритої угоди."));
    check("Contact 7 has this person's phone.", Some("У контакту 7 збігається телефон."));
    check(
        "Contact 7 has open deal 9, so there is no second one.",
        Some("У контакту 7 є відкрита угода 9, тож другої не створюємо."),
    );
    check(
        "The owner is olha, whose turn it was in pool kyiv. Skipped: petro (daily cap of 5 reached), ira (away).",
        Some(
            "Відповідальний — olha: така черга в пулі kyiv. Пропущено: petro (денний ліміт: 5), ira (відсутній).",
        ),
    );
    check("Replayed on 2026-11-22T08:41:00Z (resume).", Some("Повторено 22\u{a0}Nov\u{a0}2026, 08:41."));
    check("at most 200 calls in 1s", Some("щонайбільше 200 запитів за 1 с"));
    check(
        "Would do: create contact, create deal.",
        Some("Зробили б таке: створити контакт, створити угоду."),
    );
    check("Contact 7 has no open deal. Or has it?", None);
    check("Contact 7 has open deal 9. And so on.", None);
    check("", None);
}

#[test]
fn what_somebody_wrote_stays_as_they_wrote_it() {
    let check = |text: &str, expect: &str| assert_eq!(told(text).as_deref(), Some(expect), "{text}");
    // Words of ours in backquotes are keys.
    check("`chat` is not a key of `phone`", "`phone`: ключа `chat` тут немає");
    check("known here: phone", "тут є: phone");
    check("`nmae` is not a key of a source file", "файл джерела: ключа `nmae` тут немає");
    // Our own sentence in somebody's key.
    check(
        "`a` is not a key of `b` is not a key of `contact`",
        "`contact`: ключа `a` is not a key of `b` тут немає",
    );
    check("`` stands twice in ``", "``: `` стоїть двічі");
    // The sign of a place in somebody's text is no place.
    check("`{2} {1!} {9}` is not a key of `{1}`", "`{1}`: ключа `{2} {1!} {9}` тут немає");
    check("an entry of `{1}` must be one value", "запис у `{1}`: тут має бути одне значення");
}

#[test]
fn a_sentence_in_a_sentence_is_told_too() {
    let check = |text: &str, expect: Option<&str>| assert_eq!(told(text).as_deref(), expect, "{text}");
    check(
        "`on: a#0` names no event: events are counted from 1",
        Some("`on: a#0` не називає події: події рахують з 1"),
    );
    check("`on: a#0` names no event: whatever this is", None);
    check(
        "'crm': create_deal: the CRM answered 422: no reason given",
        Some("crm: create_deal: CRM відповіла 422: без пояснень"),
    );
    check("'crm': stage 7 is gone", None);
    check(
        "`request.url`: there are no spaces in addresses",
        Some("`request.url`: в адресах не буває пробілів"),
    );
}

/// Reasons of leads that stand before a person, as they are stored: the longest, and those with the most in them.
#[test]
fn what_a_lead_waits_for_is_told_whole() {
    let check = |text: &str, expect: &str| assert_eq!(told(text).as_deref(), Some(expect), "{text}");
    check(
        "'crm' refuses to create deal: create_deal: the CRM answered 422: stage 7 is gone. Correct it in the CRM and run \
         `leadfold replay 5 --resume`, or in the mapping and run it with --replan.",
        "Призначення crm не прийняло крок «створити угоду»: create_deal: CRM відповіла 422: stage 7 is gone. Виправте в CRM \
         і запустіть `leadfold replay 5 --resume`, або виправте мапінг і запустіть із --replan.",
    );
    check(
        "`when` of branch `all` could not be made: `{{ a / 0 }}` failed: the calculation has no result (division by zero, \
         or too large a number). Correct bot.yaml:4 (or the data), then `leadfold replay --cause mapping_error --replan`.",
        "Не вийшло скласти `when` у гілці `all`: `{{ a / 0 }}` не спрацювало: обчислення не має результату (ділення на \
         нуль або завелике число). Виправте bot.yaml:4 (або дані), потім `leadfold replay --cause mapping_error --replan`.",
    );
    check(
        "no phone or email: kept, and goes along with this person's first lead that has one (phone: There is no phone \
         number in the text.)",
        "Бракує: телефон або пошта. Лід збережено, він піде разом із першим лідом цієї людини, де це буде. (телефон: У \
         тексті немає номера телефону.)",
    );
    check(
        "The phone says contact 7, the email says contact 9. Find out whose lead this is, correct or merge the contacts in \
         the CRM, then replay the lead (`leadfold replay <lead> --resume`); or let the stronger identifier decide by \
         `conflict: prefer_first` in the mapping's rules.",
        "Телефон вказує на контакт 7, пошта — на контакт 9. З’ясуйте, чий це лід, виправте або об’єднайте контакти в CRM, \
         потім повторіть лід (`leadfold replay <lead> --resume`); або хай вирішує надійніший ідентифікатор: `conflict: \
         prefer_first` у правилах мапінгу.",
    );
    check("'crm': find_contact: no answer within 10s", "crm: find_contact: немає відповіді за 10s");
    check(
        "The postback has no click id (`clickid` or `subid`), so nobody can say whose it is. Somebody who came to the bot \
         without a campaign's link has none and cannot be tracked.",
        "У постбеку немає ідентифікатора кліку (`clickid` або `subid`), тож не видно, чий він. Хто прийшов у бот не за \
         посиланням кампанії, того не відстежити.",
    );
}

#[test]
fn what_others_said_is_marked() {
    let check = |text: &str, expect: &str| {
        let told = ukrainian(&reader(), text).unwrap();
        assert_eq!(told.markup(&reader()).into_string(), expect, "{text}");
    };
    check(
        "this is not valid YAML: <b> & so on",
        "це неправильний YAML: <span lang=\"en\">&lt;b&gt; &amp; so on</span>",
    );
    check("`<b>` is not a country", "`&lt;b&gt;` — не країна");
    check(
        "'crm': create_deal: the CRM answered 422: поле зайве",
        "crm: create_deal: CRM відповіла 422: поле зайве",
    );
}

/// Whoever can send a request or write a file can put this before us.
#[test]
fn hostile_texts_take_neither_panic_nor_long() {
    let began = std::time::Instant::now();
    for piece in ["`: `", "'x': ", "` is not a key of ", "{", "{1}", "\u{0}", "ї`", " and ", "`", "'", "\n"]
    {
        for times in [1, 2, 3, 500, 100_000] {
            let text = piece.repeat(times);
            for text in [
                text.clone(),
                format!("`{text}"),
                format!("'{text}': {text}"),
                format!("`{text}` of `{text}`"),
            ] {
                drop(told(&text));
            }
        }
    }
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

fn all_shapes() -> impl Iterator<Item = &'static Shape> {
    TABLES.iter().flat_map(|table| table.shapes)
}

#[test]
fn every_place_has_its_hole_and_every_sentence_is_ukrainian() {
    let parts = TABLES.iter().flat_map(|table| table.parts);
    for (shape, sentence) in all_shapes().chain(parts) {
        let holes = shape.matches("{}").count();
        for behind in sentence.split_inclusive('{').skip(1) {
            if let Some((number, ..)) = place(behind) {
                assert!((1..=holes).contains(&number), "{sentence}");
            }
        }
        // `write ==` and such have little to tell.
        let has_cyrillic = sentence.chars().any(|letter| matches!(letter, '\u{400}'..='\u{52f}'));
        assert!(has_cyrillic || *sentence == "`{1}`: {2!}" || *sentence == "{1}: {2!}", "{sentence}");
        let russian = sentence.chars().find(|letter| "ёъыэЁЪЫЭ".contains(*letter));
        assert_eq!(russian, None, "{sentence}");
    }
}

/// A shape that an earlier one always fits before is never told.
#[test]
fn no_shape_is_shadowed() {
    let mut shadowed = Vec::new();
    for (shape, sentence) in all_shapes() {
        let text = shape.replace("{}", "7");
        let first = all_shapes().find(|(earlier, other)| {
            holes(earlier, &text).is_some() && !(other.contains("!}") && earlier != shape)
        });
        if first.is_some_and(|(_, first)| first != sentence) {
            shadowed.push((shape, first.map(|(earlier, _)| earlier)));
        }
    }
    assert!(shadowed.is_empty(), "{shadowed:#?}");
}
