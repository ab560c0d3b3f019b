//! What is said of a file before anybody looks at what it means: its YAML, its keys, and the shape of its values.
//!
//! Said by `map::yaml` and `map::reader`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // What was probably meant.
    ("did you mean `{}`?", "можливо, `{1}`?"),
    ("known here: {}", "тут є: {1}"),
    ("keep one of the two", "залиште щось одне"),
    // YAML itself. What its library says stays as it says it.
    ("this is not valid YAML: {}", "це неправильний YAML: {1~}"),
    (
        "look at the indentation, quotes and brackets here and on the line before",
        "перевірте відступи, лапки й дужки тут і в рядку вище",
    ),
    ("YAML aliases (`*name`) are not supported", "посилання YAML (`*name`) не підтримуються"),
    (
        "repeat the lines, or put a text under `vars:` and use `{{ vars.name }}`",
        "повторіть рядки або винесіть текст у `vars:` і пишіть `{{ vars.name }}`",
    ),
    ("YAML tags (`!name`) are not supported", "теги YAML (`!name`) не підтримуються"),
    (
        "remove the tag; quotes make a text of anything",
        "приберіть тег; якщо потрібен текст, візьміть значення в лапки",
    ),
    ("a second YAML document begins here", "тут починається другий документ YAML"),
    (
        "one file holds one source: move it to a file of its own",
        "один файл — одне джерело: перенесіть це в окремий файл",
    ),
    (
        "a value that begins with `{{` needs quotes, because YAML reads braces as a mapping",
        "значення, що починається з `{{`, треба взяти в лапки: без них YAML сприймає дужки як пари ключів і значень",
    ),
    (
        "write \"{{ … }}\" with quotes around the whole value, or << … >>, which needs none",
        "візьміть усе значення в лапки, \"{{ … }}\", або пишіть << … >>, де лапки не потрібні",
    ),
    (
        "a value that begins with `{` needs quotes, because YAML reads braces as a mapping",
        "значення, що починається з `{`, треба взяти в лапки: без них YAML сприймає дужки як пари ключів і значень",
    ),
    ("write \"{name}\" with quotes around the whole value", "візьміть усе значення в лапки: \"{name}\""),
    // Keys.
    ("`{}` is not a key of {}", "{2}: ключа `{1}` тут немає"),
    ("`{}` stands twice in {}", "{2}: `{1}` стоїть двічі"),
    ("a key must be a plain word", "ключ має бути простим словом"),
    // Values.
    ("{} must be a mapping (`key: value`)", "{1}: тут мають бути пари `ключ: значення`"),
    ("{} must be a list (`- item` lines or `[a, b]`)", "{1}: тут має бути список (рядки `- …` або `[a, b]`)"),
    ("{} must be one value", "{1}: тут має бути одне значення"),
    (
        "{} is fixed: placeholders do not work here",
        "{1}: тут має стояти саме значення, підстановки не працюють",
    ),
    (
        "write the value itself; several `leads:` with `when:` make different choices",
        "напишіть саме значення; для різних випадків зробіть кілька записів у `leads:`, кожен зі своїм `when:`",
    ),
    ("{} must be a whole number, not `{}`", "{1}: тут має бути ціле число, а не `{2}`"),
    ("`{}` is not a possible value of {}", "{2}: значення `{1}` тут неможливе"),
    ("{} must be a duration, not `{}`", "{1}: тут має бути тривалість, а не `{2}`"),
    (
        "write a number and a unit: 500ms, 30s, 15m, 2h, 30d",
        "напишіть число з одиницею: 500ms, 30s, 15m, 2h, 30d",
    ),
    // Names of what stands elsewhere.
    ("there is no CRM `{}`", "CRM `{1}` немає"),
    ("there is no bot `{}`", "бота `{1}` немає"),
    ("there is no preset `{}`", "пресету `{1}` немає"),
    ("there is no owner pool `{}`", "пулу відповідальних `{1}` немає"),
    ("there is no destination `{}`", "призначення `{1}` немає"),
    ("there is no branch `{}`", "гілки `{1}` немає"),
    ("there is no source `{}`", "джерела `{1}` немає"),
    // Secrets.
    ("{}: `${` without its `}`", "{1}: `${` не закрито дужкою `}`"),
    (
        "{} needs the environment variable `{}`, which is not set",
        "{1}: потрібна змінна середовища `{2}`, а її не задано",
    ),
    (
        "set {} before starting leadfold, or give a default: {}",
        "задайте {1} перед запуском leadfold або допишіть запасне значення: {2}",
    ),
    (
        "`${…}` works only in fields that hold secrets, such as `token`",
        "`${…}` працює лише в полях із секретами, таких як `token`",
    ),
    (
        "write the value itself; event data comes in with {{ … }}",
        "напишіть саме значення; дані події підставляє {{ … }}",
    ),
    ("no secret stood here, so `{}` stands for none", "секрету тут не було, тож `{1}` нічого не означає"),
    (
        "write `${NAME}` with the name of an environment variable, or the value itself",
        "напишіть `${NAME}` з назвою змінної середовища або саме значення",
    ),
    ("`{}` stands here in a way that would show the secret", "`{1}` стоїть тут так, що секрет стало б видно"),
    (
        "leave the line as it was, once in the file, or write `${NAME}` instead",
        "залиште рядок, як був, один на файл, або напишіть замість нього `${NAME}`",
    ),
];
