//! Why what somebody asked for by hand is not done: about people, their links, and postbacks.
//!
//! Said by `store` and `operation`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // People who are one, or are not.
    (
        "there is no person {}; `leadfold people show` finds them by phone, email or chat id",
        "Людини {1} немає; знайти її можна за телефоном, поштою або чатом.",
    ),
    (
        "person {} is part of {} by now: look at that one (`{}`), then decide",
        "Людина {1} уже є частиною {2}: гляньте на неї, потім вирішуйте.",
    ),
    (
        "both are person {} already. `{}` lists how they became one, and `leadfold people split` undoes it",
        "Це вже одна людина, {1}. На її сторінці видно, як їх об’єднано; там це можна скасувати.",
    ),
    (
        "{} and {} are not among the possible duplicates. `leadfold people merge` makes any two one",
        "Пари {1} і {2} немає серед можливих дублів. Будь-яких двох об’єднує `leadfold people merge`.",
    ),
    (
        "there is no merge {}; `leadfold people show <person>` lists the merges of a person",
        "Об’єднання {1} немає; усі об’єднання видно на сторінці людини.",
    ),
    (
        "nobody was merged with person {}, so there is nothing to split",
        "З людиною {1} нікого не об’єднували, тож розділяти нічого.",
    ),
    (
        "several people became person {}: name the merge that is wrong, one of\n{}",
        "З людиною {1} об’єднано кількох: назвіть помилкове об’єднання, одне з цих:\n{2}",
    ),
    ("merge {} was undone on {}: the two are apart", "Об’єднання {1} скасовано {2}: це знову двоє людей."),
    (
        "what merge {} moved was written by another version of leadfold, and this one cannot read it. Nothing is changed. Run the version that wrote it, or correct the contacts in the CRM by hand",
        "Об’єднання {1} записала інша версія leadfold, і ця його не прочитає. Нічого не змінено. Запустіть ту версію або виправте контакти в CRM вручну.",
    ),
    (
        "nothing is changed, because something of theirs is under way to the CRM: {}. Try again once it is there; `leadfold explain` says what it waits for",
        "Нічого не змінено, бо щось із їхнього саме йде в CRM: {1}. Спробуйте, коли воно дійде; на що воно чекає, видно на сторінці ліда.",
    ),
    (
        "nobody is known by '{}': give a person's or a lead's id, a phone (with its country), an email or a chat id",
        "За «{1}» нікого не знайдено: вкажіть ідентифікатор людини чи ліда, телефон (з кодом країни), пошту або чат.",
    ),
    (
        "'{}' is of {} people: name the one that is meant by id, of {}",
        "«{1}» мають кілька людей ({2}): назвіть потрібну за ідентифікатором: {3}.",
    ),
    (
        "A link of ours, out of the chat of the one, was opened with its PIN by the user of the other.",
        "Наше посилання з чату однієї людини відкрив із PIN користувач другої.",
    ),
    // Links.
    (
        "Somebody came with this link before. It works once, so it joins nobody now: it may have been forwarded.",
        "За цим посиланням уже приходили. Воно діє один раз, тож тепер нікого не об’єднує: його могли переслати.",
    ),
    (
        "The link was too old when somebody came with it, so it joins nobody. Make a new one with `leadfold link`.",
        "Посилання застаріло, тож нікого не об’єднує. Нове створює `leadfold link`.",
    ),
    (
        "The link looks like one of ours, and we have none like it: it was erased, or nobody made it.",
        "Посилання схоже на наше, але такого в нас немає: його стерто або ніхто не створював.",
    ),
    // Postbacks.
    (
        "there is no postback '{}': give the id of its lead, its event or its delivery, as `leadfold postbacks list --state repeat` shows them",
        "Постбека «{1}» немає: вкажіть ідентифікатор його ліда, події або запиту; їх показує `leadfold postbacks list --state repeat`.",
    ),
    ("it is counted already, as {}", "Його вже пораховано як {1}."),
    (
        "it waits for somebody with the click id {}, and is counted by itself when they come, until {}",
        "Він чекає на людину з ідентифікатором кліку {1} до {2} і порахується сам, щойно вона прийде.",
    ),
    (
        "nobody came with its click id in time: `{}` lets it wait again",
        "З його ідентифікатором кліку вчасно ніхто не прийшов: `{1}` дасть йому чекати ще.",
    ),
    (
        "it is not there any more: retention removed it, or its person was erased",
        "Його вже немає: видалено за строком зберігання, або людину стерто.",
    ),
    (
        "nobody has its click id any more: its person was erased",
        "Його ідентифікатора кліку вже ніхто не має: людину стерто.",
    ),
    (
        "retention removed its request on {}, so nobody can say what it would become",
        "Його запит видалено за строком зберігання {1}, тож невідомо, чим він став би.",
    ),
    (
        "it has no number that could be taken back: it is {}",
        "Номера, який можна забрати, у нього немає; стан: {1}.",
    ),
];
