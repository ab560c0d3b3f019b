//! What stands in the holes of sentences in words of ours.

use super::Shape;

/// In sentences about leads.
pub(super) const WORDS: &[Shape] = &[
    ("phone", "телефон"),
    ("email", "пошта"),
    ("chat", "чат"),
    ("crm_id", "запис у CRM"),
    ("external_customer", "номер клієнта"),
    ("we brought this person to it before", "людину вже передавали саме до нього"),
    ("it has an open deal", "у нього є відкрита угода"),
    ("it matches by the stronger identifier", "він збігається за надійнішим ідентифікатором"),
    ("it is the oldest", "він найдавніший"),
    ("nothing that this lead lacks", "нічого нового"),
    ("it has no members", "у ньому нікого"),
    ("viewer", "спостерігач"),
    ("operator", "оператор"),
    ("admin", "адміністратор"),
    ("name", "ім’я"),
    ("create contact", "створити контакт"),
    ("update contact", "змінити контакт"),
    ("create deal", "створити угоду"),
    ("update deal", "змінити угоду"),
    ("create task", "поставити завдання"),
    ("add note", "додати примітку"),
    ("pipeline", "воронка"),
    ("stage", "етап"),
    ("contact", "контакт"),
    ("deal", "угода"),
    ("nobody is responsible for deal or contact", "ні за угоду, ні за контакт ніхто не відповідає"),
    (
        "whoever was responsible left, and the mapping names no owner pool",
        "відповідальний пішов, а мапінг не називає пулу",
    ),
];

/// Why somebody of a pool was passed over, behind their name.
pub(super) const ABSENCES: &[(&str, &str)] = &[
    ("(inactive in the CRM)", "(неактивний у CRM)"),
    ("(away)", "(відсутній)"),
    ("(day off)", "(вихідний)"),
    ("(outside hours)", "(поза робочим часом)"),
    ("(daily cap of ", "(денний ліміт: "),
    (" reached)", ")"),
    ("` or `", "` або `"),
];

/// What a value is called where no key names it. Only what the core says so itself: keys stand in backquotes.
pub(super) const PARTS: &[Shape] = &[
    ("a source file", "файл джерела"),
    ("an owner", "відповідальний"),
    ("a user", "користувач"),
    ("a day", "день"),
    ("a region", "країна"),
    ("an address", "адреса"),
    ("a name", "назва"),
    ("a place", "місце"),
    ("a header (secrets go under `auth`)", "заголовок (секрети пишуть у `auth`)"),
    ("the place of a list", "місце списку"),
    ("a value of the body", "значення в тілі запиту"),
    ("a value of the request", "значення в запиті"),
    ("the id of a step", "ідентифікатор кроку"),
    ("an entry of `{}`", "запис у `{1}`"),
    ("a field of `{}`", "поле в `{1}`"),
    ("owner pool `{}`", "пул відповідальних `{1}`"),
    ("destination `{}`", "призначення `{1}`"),
    ("operation `{}`", "операція `{1}`"),
    ("field `{}`", "поле `{1}`"),
];

/// What it is that the CRM does not have.
pub(super) const KINDS: &[Shape] = &[
    ("user", "користувача"),
    ("pipeline", "воронки"),
    ("stage", "етапу"),
    ("contact field", "поля контакту"),
    ("deal field", "поля угоди"),
    ("activity type", "типу дії"),
];
