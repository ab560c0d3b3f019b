//! What came of pushing to a destination: what it answered, what is not known, what somebody has to do.
//!
//! Said by `sync`, `store` and `crm`. What a CRM or a bot answered stays as it said it.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // Before a person.
    (
        "'{}' refuses to {}: {}. Correct it in the CRM and run `leadfold replay {} --resume`, or in the mapping and run it with --replan.",
        "Призначення {1} не прийняло крок «{2}»: {3~}. Виправте в CRM і запустіть `leadfold replay {4} --resume`, або виправте мапінг і запустіть із --replan.",
    ),
    (
        "'{}' refuses to {}: {}. Correct it there and run `leadfold replay {} --resume`, or in the mapping and run it with --replan.",
        "Призначення {1} не прийняло крок «{2}»: {3~}. Виправте там і запустіть `leadfold replay {4} --resume`, або виправте мапінг і запустіть із --replan.",
    ),
    (
        "'{}' failed {} times on this lead, last with: {}. Look at the CRM, then `leadfold replay {} --resume`.",
        "Призначення {1} стільки разів відповіло на цей лід помилкою: {2}. Остання: {3~}. Перевірте CRM, потім `leadfold replay {4} --resume`.",
    ),
    (
        "'{}' was written to {} times for this lead and never said what it made, last with: {}. Look there for copies, find out with `{}` why they are not found, then `leadfold replay {} --resume`.",
        "У {1} для цього ліда писали стільки разів: {2}, і щоразу без підтвердження. Останнє: {3~}. Пошукайте там копії, з’ясуйте через `{4}`, чому їх не знайдено, потім `leadfold replay {5} --resume`.",
    ),
    (
        "'{}' was asked to {}, gave no answer, and has no way to look it up: it may or may not be there. Look in the CRM; if it is missing, `leadfold replay {} --force` sends it again.",
        "Призначення {1} не відповіло на крок «{2}», і перевірити його неможливо: може, записано, може, ні. Гляньте в CRM; якщо запису немає, `leadfold replay {3} --force` надішле ще раз.",
    ),
    (
        "'{}' cannot be asked whether a lost step was written: {}. `leadfold replay {} --resume` asks again; --force sends it again, when somebody has seen that it is missing.",
        "У {1} не вдалося спитати, чи записано втрачений крок: {2~}. `leadfold replay {3} --resume` спитає ще раз; --force надішле знову, якщо хтось бачив, що запису немає.",
    ),
    (
        "'{}' cannot be searched for this person: {}. Correct the destination in workspace.yaml, then `leadfold replay {} --resume`.",
        "У {1} не вдалося шукати цю людину: {2~}. Виправте призначення у workspace.yaml, потім `leadfold replay {3} --resume`.",
    ),
    (
        "leadfold failed while it brought this lead to '{}'. This is a bug: report it with the log of this time, and let the lead go on with `leadfold replay --cause internal_error --resume` (what was sent is looked up first).",
        "leadfold збився, коли передавав цей лід у {1}. Це помилка в програмі: повідомте розробників і додайте журнал за цей час, а лід продовжте через `leadfold replay --cause internal_error --resume` (спершу перевіримо, чи надіслане записано).",
    ),
    (
        "This lead cannot be read from the registry ({}). Run the version of leadfold that stored it, and there `leadfold replay --cause lead_unreadable --resume`.",
        "Цей лід неможливо прочитати з реєстру ({1~}). Запустіть ту версію leadfold, яка його зберегла, і в ній `leadfold replay --cause lead_unreadable --resume`.",
    ),
    (
        "'{}' has a {} of this lead that nothing else refers to, record {}: a request without an answer was looked for, not found and sent again, and arrived long after. Look at it in the CRM, delete what is too much, then let `leadfold replay {} --resume` go on with what is left.",
        "У {1} є зайвий запис цього ліда ({2}): {3}. Запит без відповіді перевірили, не знайшли й надіслали знову, а він дійшов значно пізніше. Гляньте в CRM, видаліть зайве, потім `leadfold replay {4} --resume` зробить решту.",
    ),
    (
        "'{}' has the {} of this lead more than once, as records {}: a request without an answer was looked for, not found and sent again, and arrived long after. Look at it in the CRM, delete what is too much, then let `leadfold replay {} --resume` go on with what is left.",
        "У {1} запис цього ліда ({2}) стоїть кілька разів: {3}. Запит без відповіді перевірили, не знайшли й надіслали знову, а він дійшов значно пізніше. Гляньте в CRM, видаліть зайве, потім `leadfold replay {4} --resume` зробить решту.",
    ),
    (
        "it is no step that makes a record; this is a bug of leadfold",
        "цей крок не створює запису; це помилка leadfold",
    ),
    // It goes on by itself.
    (
        "'{}' gave no answer ({}); looked up once it has settled.",
        "Призначення {1} не відповіло ({2~}); трохи зачекаємо й перевіримо, чи записано.",
    ),
    ("'{}' is at work on it: {}", "Призначення {1} ще опрацьовує: {2~}"),
    ("'{}' cannot reach this chat: {}", "{1} не може писати в цей чат: {2~}"),
    ("looked up after the CRM had settled: it was not written", "зачекали й перевірили: не записано"),
    (
        "The database was put back from a backup. Whether this was written meanwhile is looked up.",
        "Базу відновлено з копії. Перевіряємо, чи тим часом це записано.",
    ),
    // Steps of a call that waits for a CRM.
    ("It is due, and begins in a moment.", "Уже час, зараз почнеться."),
    (
        "It is not made: '{}' has not confirmed and needs attention. It is made once that is cleared up and has come through.",
        "Виклику ще немає: {1} не підтвердило й потребує уваги. Виклик буде, щойно це вирішать і лід пройде.",
    ),
    (
        "It is not made: nothing was written to '{}', so there is nothing to confirm.",
        "Виклику не буде: у {1} нічого не записано, тож підтверджувати нічого.",
    ),
    ("It waits for '{}', which is {}.", "Чекає на {1}; стан: {2}."),
    // What was answered.
    (
        "{}: the CRM answered {}: {}; over its rate limit; calls hold and go on by themselves",
        "{1}: CRM відповіла {2}: {3~}; перевищено її ліміт запитів, почекаємо й продовжимо",
    ),
    (
        "{}: the bot answered {}: {}; over its rate limit; calls hold and go on by themselves",
        "{1}: бот відповів {2}: {3~}; перевищено його ліміт запитів, почекаємо й продовжимо",
    ),
    (
        "{}: the CRM answered {}: {}; check the credentials and rights of this destination in workspace.yaml",
        "{1}: CRM відповіла {2}: {3~}; перевірте ключ і права цього призначення у workspace.yaml",
    ),
    (
        "{}: the bot answered {}: {}; check the credentials and rights of this destination in workspace.yaml",
        "{1}: бот відповів {2}: {3~}; перевірте ключ і права цього призначення у workspace.yaml",
    ),
    (
        "{}: the CRM answered {}: {}; it redirects; check the destination's `url`",
        "{1}: CRM відповіла {2}: {3~}; вона переспрямовує, перевірте `url` призначення",
    ),
    (
        "{}: the bot answered {}: {}; it redirects; check the destination's `url`",
        "{1}: бот відповів {2}: {3~}; він переспрямовує, перевірте `url` призначення",
    ),
    ("{}: the CRM answered {}, but {}", "{1}: CRM відповіла {2}, але {3~}"),
    ("{}: the bot answered {}, but {}", "{1}: бот відповів {2}, але {3~}"),
    ("{}: the CRM answered {}: {}", "{1}: CRM відповіла {2}: {3~}"),
    ("{}: the bot answered {}: {}", "{1}: бот відповів {2}: {3~}"),
    ("no reason given", "без пояснень"),
    ("{}: the request could not be built: {}", "{1}: не вдалося скласти запит: {2~}"),
    ("{}: no connection to {}: {}", "{1}: немає з’єднання з {2}: {3~}"),
    (
        "{}: no answer within {}; whether it was written is not known",
        "{1}: немає відповіді за {2}; чи записано, невідомо",
    ),
    ("{}: no answer within {}", "{1}: немає відповіді за {2}"),
    (
        "{}: the connection broke before the answer: {}; whether it was written is not known",
        "{1}: з’єднання обірвалося до відповіді: {2~}; чи записано, невідомо",
    ),
    ("{}: the connection broke before the answer: {}", "{1}: з’єднання обірвалося до відповіді: {2~}"),
    (
        "no answer within {}, the wait for the rate budget included",
        "немає відповіді за {1}, разом з очікуванням ліміту запитів",
    ),
    ("the answer is larger than {} MiB", "відповідь більша за {1} МіБ"),
    ("the answer broke off: {}", "відповідь обірвалася: {1~}"),
    ("the answer is not JSON: {}", "відповідь — не JSON: {1~}"),
    ("the host `{}` is not found: {}", "хост `{1}` не знайдено: {2~}"),
    ("the host `{}` has no address", "у хоста `{1}` немає адреси"),
    (
        "the host `{}` resolves to the private address {}, which is not connected to; if that is meant, set `allow_private_addresses: true` there",
        "хост `{1}` веде на приватну адресу {2}, а з такими не з’єднуємося; якщо так і треба, задайте там `allow_private_addresses: true`",
    ),
    // What a call or step could not be made of.
    (
        "{}: `{}` came out empty; look at its placeholders in the mapping",
        "{1}: `{2}` вийшло порожнім; перевірте його підстановки в мапінгу",
    ),
    (
        "{}: the plan says \"{}\", and `operations` of this destination has no `{}`; describe it in workspace.yaml, or let the rules of the mapping not ask for it, then replay this lead",
        "{1}: у плані є «{2}», а в `operations` цього призначення немає `{3}`; опишіть її у workspace.yaml або зробіть так, щоб правила мапінгу її не вимагали, потім повторіть лід",
    ),
    (
        "{}: the CRM says that there is one already and does not name it where `duplicate` looks",
        "{1}: CRM каже, що такий запис уже є, але не називає його там, де шукає `duplicate`",
    ),
    (
        "{}: the CRM answered without a record id where `id` looks for it",
        "{1}: у відповіді CRM немає ідентифікатора запису там, де його шукає `id`",
    ),
    ("{}: the CRM answered without a record id", "{1}: у відповіді CRM немає ідентифікатора запису"),
];
