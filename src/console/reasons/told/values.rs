//! What is wrong with values: placeholders, expressions, JSONPath, addresses. Some is found by the checker, some only once an
//! event fills them.
//!
//! Said by `map::template`, `map::expression`, `map::filters`, `map::path` and `map::scope`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // How values are written.
    ("{} has no `value`", "{1}: бракує `value`"),
    ("write `{ value: \"{{ … }}\", required: true }`", "напишіть `{ value: \"{{ … }}\", required: true }`"),
    ("statements `{% … %}` do not work in a mapping", "інструкції `{% … %}` у мапінгу не працюють"),
    (
        "use an expression: {{ a if b else c }}; several `leads:` make different choices",
        "напишіть вираз: {{ a if b else c }}; для різних випадків зробіть кілька записів у `leads:`",
    ),
    ("{} mixes `{{ }}` and `<< >>`", "{1}: перемішано `{{ }}` і `<< >>`"),
    ("{} mixes `{{ }}` and `{name}`", "{1}: перемішано `{{ }}` і `{name}`"),
    ("{} mixes `<< >>` and `{name}`", "{1}: перемішано `<< >>` і `{name}`"),
    ("use one kind of brackets in one value", "в одному значенні пишіть дужки одного виду"),
    ("a placeholder is opened with `{}` and not closed", "підстановку відкрито через `{1}` і не закрито"),
    ("close it with `{}`", "закрийте її через `{1}`"),
    ("this brace is no placeholder, and looks like one", "ця дужка схожа на підстановку, але нею не є"),
    (
        "with `braces: single` a placeholder is a name: {username}, {tracker.clickid}; a brace that is none is written `\\{`, and << … >> takes expressions",
        "з `braces: single` підстановка — це назва: {username}, {tracker.clickid}; звичайну дужку пишіть як `\\{`, а вирази — у << … >>",
    ),
    (
        "{} must be one placeholder, or true, or false",
        "{1}: тут має бути одна підстановка, або true, або false",
    ),
    (
        "write the whole condition inside: \"{{ service == 'telegram' and bot.name }}\"",
        "умову пишіть усередині повністю: \"{{ service == 'telegram' and bot.name }}\"",
    ),
    ("{} must be one placeholder", "{1}: тут має бути одна підстановка"),
    (
        "write the whole condition inside: \"{{ success == false }}\"",
        "умову пишіть усередині повністю: \"{{ success == false }}\"",
    ),
    // What they read.
    (
        "`lead` is not known yet where this value is read",
        "тут `lead` ще невідомий: це значення читається раніше",
    ),
    (
        "`when`, fields, titles, tasks and notes see `lead`; here use the event: {{ contact.… }}",
        "`lead` доступний у `when`, полях, назвах, завданнях і примітках; тут беріть дані події: {{ contact.… }}",
    ),
    ("there is no value `{}` here", "значення `{1}` тут немає"),
    ("there is no variable `{}` under `vars:`", "змінної `{1}` у `vars:` немає"),
    ("`vars.{}` needs itself: {}", "`vars.{1}` залежить сама від себе: {2}"),
    ("let one of them not use the others", "хай одна з них обійдеться без інших"),
    // Expressions.
    (
        "a placeholder may be {} bytes long, this one has {}",
        "підстановка може мати щонайбільше {1} байтів, а в цій {2}",
    ),
    ("take it apart: put pieces under `vars:`", "розбийте її на частини й винесіть їх у `vars:`"),
    ("there is nothing in this placeholder", "підстановка порожня"),
    ("write a path such as {{ contact.name }}", "напишіть шлях, наприклад {{ contact.name }}"),
    ("`=` does not compare", "`=` не порівнює"),
    ("write `==`", "напишіть `==`"),
    ("comparisons do not chain", "порівняння не можна писати ланцюжком"),
    ("write `1 < x and x < 5` instead of `1 < x < 5`", "напишіть `1 < x and x < 5` замість `1 < x < 5`"),
    (
        "a placeholder may join at most {} pieces with `+`, `-` and `~`",
        "через `+`, `-` і `~` в одній підстановці можна з’єднати щонайбільше {1} частин",
    ),
    ("write the pieces side by side: \"{{ a }} {{ b }}\"", "пишіть частини поряд: \"{{ a }} {{ b }}\""),
    ("`*` needs a number on both sides", "біля `*` з обох боків має бути число"),
    ("a quote is opened and not closed", "лапки відкрито й не закрито"),
    ("this expression is not complete or not correct: {}", "вираз неповний або неправильний: {1~}"),
    ("it cannot be read", "його неможливо прочитати"),
    (
        "a placeholder is a path with filters, such as {{ contact.name | default('guest') }}",
        "підстановка — це шлях із фільтрами, наприклад {{ contact.name | default('guest') }}",
    ),
    ("there is no filter `{}`", "фільтра `{1}` немає"),
    ("there is no test `is {}`", "перевірки `is {1}` немає"),
    ("methods such as `.{}()` do not work", "методи на зразок `.{1}()` не працюють"),
    ("there are no functions, so `{}()` does not work", "функцій немає, тож `{1}()` не працює"),
    (
        "filters do the work here: {{ contact.name | lower }}",
        "користуйтеся фільтрами: {{ contact.name | lower }}",
    ),
    // JSONPath. What its library says stays as it says it.
    ("`{}` is not a JSONPath: {}", "`{1}` — не JSONPath: {2~}"),
    (
        "conditions and `or` do not work behind `$`; plain paths take them: {{ contact.a or contact.b }}",
        "після `$` умови й `or` не працюють; вони є у звичайних шляхах: {{ contact.a or contact.b }}",
    ),
    (
        "a JSONPath may be {} bytes long, this one has {}",
        "JSONPath може мати щонайбільше {1} байтів, а в цьому {2}",
    ),
    ("a JSONPath may nest brackets {} deep", "дужки в JSONPath можна вкладати щонайбільше на {1} рівнів"),
    (
        "the event has more than {} values, too many for a JSONPath with wildcards",
        "у події понад {1} значень: для JSONPath із `*` це забагато",
    ),
    ("a JSONPath may descend with `..` once", "у JSONPath `..` може бути лише раз"),
    (
        "the unions `[a, b]` of a JSONPath may multiply to {} selectors, not {}",
        "переліки `[a, b]` у JSONPath разом можуть дати {1} варіантів, а не {2}",
    ),
    (
        "a JSONPath filter may look at single values, not wildcards or `..`",
        "фільтр у JSONPath може дивитися на окремі значення, а не на `*` чи `..`",
    ),
    // Once an event fills them. What the engine of expressions says stays as it says it.
    ("`{}` failed: {}", "`{1}` не спрацювало: {2~}"),
    (
        "this value is required, and the event has nothing for it",
        "це значення обов’язкове, а в події для нього нічого немає",
    ),
    ("the value would be longer than 64 KiB", "значення вийшло б довшим за 64 КіБ"),
    ("the value is longer than 64 KiB", "значення довше за 64 КіБ"),
    ("the text would be longer than {} KiB", "текст вийшов би довшим за {1} КіБ"),
    ("a part of the address would be longer than 64 KiB", "частина адреси вийшла б довшою за 64 КіБ"),
    ("it takes too many steps", "на це треба забагато кроків"),
    (
        "the calculation has no result (division by zero, or too large a number)",
        "обчислення не має результату (ділення на нуль або завелике число)",
    ),
    ("a {} cannot be a value", "{1} не може бути значенням"),
    ("`{}` is not a number", "`{1}` — не число"),
    ("`replace` needs a text to look for", "`replace` має знати, який текст шукати"),
    (
        "`format` takes widths of at most three digits, and no `*`",
        "ширина в `format` має щонайбільше три цифри, і `*` там не можна",
    ),
    (
        "`*` multiplies numbers, not a {}; `|int` or `|float` make a number of a text",
        "`*` множить числа, а тут {1}; число з тексту роблять `|int` і `|float`",
    ),
    (
        "`{}` has nothing here, and an address needs all of its placeholders; a call may have a condition (`when`)",
        "для `{1}` нічого немає, а в адресі потрібні всі підстановки; виклику можна задати умову (`when`)",
    ),
    // Addresses.
    (
        "{} must be one text, such as https://tracker.example/postback",
        "{1}: тут має бути один текст, наприклад https://tracker.example/postback",
    ),
    ("an address says its host itself, without a placeholder", "хост в адресі пишуть прямо, без підстановки"),
    (
        "write the host itself: https://tracker.example/postback?clickid={{ person.click }}; or begin with a variable that does, {{ vars.link }}",
        "напишіть сам хост: https://tracker.example/postback?clickid={{ person.click }}; або почніть зі змінної, де він є, {{ vars.link }}",
    ),
    (
        "an address begins with https:// (or http://) and its host",
        "адреса починається з https:// (або http://) і хоста",
    ),
    ("an address has no name and password in it", "логін і пароль в адресі не пишуть"),
    (
        "credentials are settings of the destination, where they do not show: `auth: …`",
        "доступи задають у призначенні, там їх не видно: `auth: …`",
    ),
    ("this address has no host that could be called", "в адресі немає хоста, який можна викликати"),
    ("what stands behind `#` is never sent", "те, що після `#`, не надсилається"),
    (
        "leave out what stands behind `#`; a `#` in a value is written `%23`",
        "приберіть усе після `#`; сам знак `#` у значенні пишуть як `%23`",
    ),
    ("there is no `\\` in addresses", "в адресах не буває `\\`"),
    ("write `/`", "напишіть `/`"),
    ("there are no spaces in addresses", "в адресах не буває пробілів"),
    ("a space in a value is written `%20`", "пробіл у значенні пишуть як `%20`"),
    ("a placeholder cannot be the name of a parameter", "назвою параметра не може бути підстановка"),
    (
        "write the names of parameters themselves: ?clickid={{ person.click }}",
        "назви параметрів пишіть прямо: ?clickid={{ person.click }}",
    ),
    ("a placeholder cannot be a part of the host", "підстановка не може бути частиною хоста"),
    ("a path cannot have `//`, `.` or `..` in it", "у шляху не може бути `//`, `.` чи `..`"),
    ("write the path as the other side documents it", "напишіть шлях так, як його описує інша сторона"),
    ("a parameter has no name", "у параметра немає назви"),
    (
        "write it before the `=`: ?clickid={{ person.click }}",
        "напишіть її перед `=`: ?clickid={{ person.click }}",
    ),
    (
        "a `%` must be followed by two digits of a hexadecimal number",
        "після `%` мають стояти дві шістнадцяткові цифри",
    ),
    ("what is escaped with `%` is no text in UTF-8", "те, що закодовано через `%`, — не текст в UTF-8"),
    (
        "write the letters themselves, escaping is done for you; a percent sign is `%25`",
        "пишіть самі літери, вони закодуються самі; знак відсотка — `%25`",
    ),
    // Where it stands, and what is wrong with it.
    ("`{}`: {}", "`{1}`: {2!}"),
];
