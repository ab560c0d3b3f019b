//! Why an edit in the browser is not taken, or a source not begun.
//!
//! Said by `operation::mappings` and `workspace`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // A new source.
    ("there is a {} already: give the source another name", "файл {1} уже є: дайте джерелу іншу назву"),
    ("there is no source '{}' in the active version", "у чинній версії немає джерела «{1}»"),
    ("there is no preset '{}' to begin a source with", "пресету «{1}», з якого можна почати джерело, немає"),
    ("the workspace has no CRM '{}'", "у налаштуваннях немає CRM «{1}»"),
    ("say to which CRM the leads go", "вкажіть, у яку CRM ідуть ліди"),
    ("the workspace has no owner pool '{}'", "у налаштуваннях немає пулу відповідальних «{1}»"),
    ("the name of `{}` must end in `.yaml`", "назва `{1}` має закінчуватися на `.yaml`"),
    // An edit that others were faster with.
    (
        "the version that this edit began with is not kept any more; open the file again, and repeat it",
        "версії, з якої почалася ця зміна, вже немає; відкрийте файл знову й повторіть її",
    ),
    (
        "nothing is changed: this edit began with version {}, and {} is active by now, so somebody else saved meanwhile. See under Versions what they changed, open the file again, and repeat the edit",
        "нічого не змінено: ця зміна почалася з версії {1}, а чинна вже {2}, тобто тим часом хтось зберіг свою. Гляньте в розділі «Версії», що змінили вони, відкрийте файл знову й повторіть зміну",
    ),
    (
        "nothing is changed: {} in the folder of the server is not what this edit began with, so somebody works on it there. Wait until their version runs, or talk to them, and make this edit again",
        "нічого не змінено: {1} у теці сервера вже не такий, як на початку цієї зміни, тобто з ним хтось там працює. Зачекайте, доки запрацює їхня версія, або домовтеся з ними, і зробіть зміну ще раз",
    ),
    (
        "nothing is changed: tests of this edit fail. Mend it, or what they expect:\n{}",
        "нічого не змінено: тести цієї зміни не проходять. Виправте її або те, чого вони очікують:\n{1~}",
    ),
    (
        "nothing is changed: {}. Take the patch, and apply it in the folder",
        "нічого не змінено: {1~}. Заберіть патч і застосуйте його в теці",
    ),
    (
        "nothing is changed: {} cannot be written into {}: {}",
        "нічого не змінено: {1} не вдалося записати в {2}: {3~}",
    ),
    (
        "whether anything will be changed is not known: {}. Look into the folder of the server",
        "чи щось зміниться, невідомо: {1~}. Гляньте в теку сервера",
    ),
    ("nothing is changed: {}", "нічого не змінено: {1~}"),
    (
        "this edit has errors, so nothing is done with it:\n{}",
        "у цій зміні є помилки, тож із нею нічого не зроблено:\n{1~}",
    ),
    (
        "this version is not kept any more; `leadfold versions` lists those that are",
        "цієї версії вже немає; наявні покаже `leadfold versions`",
    ),
    ("there is no version {}, or it is not kept any more", "версії {1} немає, або її вже не зберігаємо"),
    (
        "{} has a secret on a line that this edit changes, and secrets are not shown here: make this change in the folder of the workspace",
        "у {1} на рядку, який змінює ця правка, є секрет, а секретів тут не видно: зробіть цю зміну в теці налаштувань",
    ),
    // Where the server works.
    (
        "this server was told to leave the workspace alone (--read-only-workspace)",
        "цьому серверу сказано не чіпати налаштувань (--read-only-workspace)",
    ),
    ("this server may not write into its folder {}", "цьому серверу не можна писати у свою теку {1}"),
    // Tests.
    ("the tests ended abnormally: {}", "тести збилися: {1~}"),
    ("`given: {}` is outside of the folder of the workspace", "`given: {1}` — поза текою налаштувань"),
    (
        "put the request into a .json, .txt or .form file in the folder, and name that",
        "покладіть запит у файл .json, .txt або .form у цій теці й назвіть його",
    ),
    ("`given: {}` cannot be read: {}", "`given: {1}` не вдалося прочитати: {2~}"),
    (
        "`given: {}` is not read by this server: a test from a browser takes .json, .txt and .form files inside of the folder of the workspace. `leadfold test` runs it where the files are",
        "`given: {1}` цей сервер не читає: тест із браузера бере лише файли .json, .txt і .form у теці налаштувань. `leadfold test` запустить його там, де є файли",
    ),
];
