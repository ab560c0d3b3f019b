//! Why a call or a step is refused before it is sent, or because of what was answered.
//!
//! Said by the modules of `crm`, behind the name of the operation. What a CRM or a bot says stays as it says it.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // Of which destination, and what.
    ("'{}': {}", "{1}: {2!}"),
    // Whatever the bot.
    (
        "{}: the call names no chat; this is a bug of leadfold",
        "{1}: виклик не називає чату; це помилка leadfold",
    ),
    (
        "{}: `{}` holds values by name: { name: value }",
        "{1}: `{2}` має містити значення за назвами: { name: value }",
    ),
    (
        "{}: `{}` must be a mapping: { name: value }",
        "{1}: `{2}` має містити значення за назвами: { name: value }",
    ),
    (
        "{}: `{}` must be one value, not a list or a mapping",
        "{1}: `{2}` має бути одним значенням, а не списком чи парами",
    ),
    ("{}: `{}` must be one value, not a mapping", "{1}: `{2}` має бути одним значенням, а не парами"),
    (
        "{}: the field `{}` must be one value, not a mapping",
        "{1}: поле `{2}` має бути одним значенням, а не парами",
    ),
    ("{}: `{}` must be a whole number, not `{}`", "{1}: `{2}` має бути цілим числом, а не `{3}`"),
    (
        "{}: the bot answered {} and not whether it was done",
        "{1}: бот відповів {2}, але не сказав, чи зроблено",
    ),
    (
        "{}: the bot answered {} and not whether it was sent",
        "{1}: бот відповів {2}, але не сказав, чи надіслано",
    ),
    (
        "{}: {} is not among the hosts of destination `{}`, and others are not called",
        "{1}: {2} немає серед хостів призначення `{3}`, а інших не викликаємо",
    ),
    ("{}: {} cannot be a part of an address", "{1}: {2} не може бути частиною адреси"),
    ("{}: a part of the path has no value", "{1}: для частини шляху немає значення"),
    // Botmother.
    (
        "{}: there is no recipient; look at `chat` of the call in the mapping",
        "{1}: немає отримувача; перевірте `chat` виклику в мапінгу",
    ),
    (
        "{}: the recipient is not the id of one person, so nothing is sent; look at `chat` of the call",
        "{1}: отримувач — не ідентифікатор однієї людини, тож нічого не надіслано; перевірте `chat` виклику",
    ),
    (
        "{}: `data` makes {} bytes and Botmother takes {}; send less of it",
        "{1}: у `data` вийшло {2} байтів, а Botmother приймає {3}; надсилайте менше",
    ),
    (
        "{}: `events` of this destination has no `{}`; it has {}",
        "{1}: в `events` цього призначення немає `{2}`; є {3}",
    ),
    // Chatterfy.
    (
        "{}: no step, no status and no field has a value, so nothing would change",
        "{1}: ні крок, ні статус, ні поля не мають значень, тож нічого не змінилося б",
    ),
    (
        "{}: the destination has no step `{}` under `steps:`; {}",
        "{1}: у призначення в `steps:` немає кроку `{2}`; {3!}",
    ),
    ("{}: `{}` is no status of a dialog; {}", "{1}: `{2}` — не статус діалогу; {3!}"),
    // eSputnik.
    (
        "{}: `dedupeOn` must be email, sms, email_or_sms or id, not `{}`",
        "{1}: `dedupeOn` буває email, sms, email_or_sms або id, а не `{2}`",
    ),
    (
        "{}: with `dedupeOn: {}` eSputnik has nothing to find this contact by, and would make a new one every time; look at its placeholders in the mapping",
        "{1}: з `dedupeOn: {2}` eSputnik не має за чим знайти цей контакт і щоразу створював би новий; перевірте підстановки в мапінгу",
    ),
    (
        "{}: there must be an email, a phone or a name besides ids and further fields",
        "{1}: крім ідентифікаторів і полів, мають бути пошта, телефон або ім’я",
    ),
    (
        "{}: `fields` has `{}`, and eSputnik wants the number of the field (its settings show it)",
        "{1}: у `fields` стоїть `{2}`, а eSputnik приймає номер поля (його видно в налаштуваннях)",
    ),
    ("{}: eSputnik has import {} under way", "{1}: eSputnik ще опрацьовує імпорт {2}"),
    ("{}: eSputnik knows no import {}", "{1}: eSputnik не знає імпорту {2}"),
    ("{}: import {} has not ended in {}", "{1}: імпорт {2} не завершився за {3}"),
    ("its import ended with an error", "його імпорт закінчився помилкою"),
    ("{}; its contacts are sent again", "{1~}; контакти надішлемо ще раз"),
    (
        "{}: eSputnik could not take this contact and does not say why; look at its email, phone and names",
        "{1}: eSputnik не прийняв цей контакт і не каже чому; перевірте пошту, телефон та імена",
    ),
    ("{}: eSputnik says: {}", "{1}: eSputnik каже: {2~}"),
    (
        "{}: there must be one of contactId, externalCustomerId, phone and email, or eSputnik does not know whose the chat is; look at their placeholders in the mapping",
        "{1}: має бути щось із contactId, externalCustomerId, phone і email, інакше eSputnik не знає, чий це чат; перевірте підстановки в мапінгу",
    ),
    // Metabot.
    ("{}: Metabot refuses the job: {}", "{1}: Metabot не приймає завдання: {2~}"),
    (
        "{}: the id of a lead in Metabot is a whole number, and this chat has another one; look at `chat` in the mapping",
        "{1}: ідентифікатор ліда в Metabot — ціле число, а в цього чату він інший; перевірте `chat` у мапінгу",
    ),
    (
        "{}: it must name exactly one of {}, and names {}",
        "{1}: має бути названо рівно одне з {2}, а названо {3}",
    ),
    (
        "{}: write `run_at` or `run_after_sec`, not both",
        "{1}: напишіть `run_at` або `run_after_sec`, не обидва",
    ),
    (
        "{}: `run_at` must be a date and a time by the clock of Metabot's server, such as 2026-06-10 08:30:00, not `{}`",
        "{1}: `run_at` має бути датою й часом за годинником сервера Metabot, наприклад 2026-06-10 08:30:00, а не `{2}`",
    ),
    ("{}: `{}` must be a mapping of names and values", "{1}: `{2}` має містити значення за назвами"),
    // Mindbox.
    (
        "{}: the destination has no such operation; write one of {}, or add it under `operations` in workspace.yaml",
        "{1}: у призначення немає такої операції; напишіть щось із цього: {2}, або додайте її в `operations` у workspace.yaml",
    ),
    (
        "{}: the body says nothing by which Mindbox could know who it is (an id, a phone, an email, or the call's `device`); it would be written to a nameless customer. Look at the placeholders in the mapping",
        "{1}: у тілі немає нічого, за чим Mindbox упізнав би людину (ідентифікатор, телефон, пошта або `device` виклику); дані пішли б безіменному клієнту. Перевірте підстановки в мапінгу",
    ),
    ("{}: Mindbox found the data invalid: {}", "{1}: Mindbox вважає дані неправильними: {2~}"),
    ("{}: Mindbox refuses the call: {}", "{1}: Mindbox не приймає виклик: {2~}"),
    ("{}: Mindbox answered without a status", "{1}: Mindbox відповів без статусу"),
    ("{}: Mindbox answered {}", "{1}: Mindbox відповів {2}"),
    (
        "{}: `device` must be a UUID, and what the mapping gave is none",
        "{1}: `device` має бути UUID, а з мапінгу прийшло інше",
    ),
    (
        "{}: the workspace has a body for it, so the call must give `values` and no `body`",
        "{1}: тіло для неї вже є в налаштуваннях, тож виклик має передати `values`, а не `body`",
    ),
    (
        "{}: it has no body in the workspace that could read `values`",
        "{1}: у налаштуваннях немає тіла, яке прочитало б `values`",
    ),
    ("{}: its body does not read `{}`; did you mean `{}`?", "{1}: її тіло не читає `{2}`; можливо, `{3}`?"),
    ("{}: its body does not read `{}`", "{1}: її тіло не читає `{2}`"),
    (
        "{}: the call gives no `{}`; look at its placeholders in the mapping",
        "{1}: виклик не передає `{2}`; перевірте його підстановки в мапінгу",
    ),
    // SendPulse and Telegram.
    (
        "{}: the messenger of this chat is not known; name it: `channel: telegram`",
        "{1}: невідомо, у якому месенджері цей чат; назвіть його: `channel: telegram`",
    ),
    (
        "{}: SendPulse has no bots in `{}`; `channel` is one of {}",
        "{1}: у SendPulse немає ботів у `{2}`; `channel` буває {3}",
    ),
    (
        "{}; in {} a bot may write only within a day of the person's last message: if that is why, run a flow that begins with an approved template, or wait for them",
        "{1~}; у {2} бот може писати лише протягом доби після останнього повідомлення людини: якщо причина в цьому, запустіть ланцюжок зі схваленого шаблону або зачекайте на неї",
    ),
    (
        "{}: the text has {} characters and Telegram takes {}; shorten it in the mapping",
        "{1}: у тексті {2} знаків, а Telegram приймає {3}; скоротіть його в мапінгу",
    ),
    ("{}: `preview` is true or false", "{1}: `preview` буває true або false"),
    // Webhooks.
    (
        "{}: a request has one body; write `json` or `form`",
        "{1}: у запиту одне тіло; напишіть `json` або `form`",
    ),
    (
        "{}: a GET has no body; write `method: POST`, or `query:` in place of the body",
        "{1}: у GET немає тіла; напишіть `method: POST` або `query:` замість тіла",
    ),
    ("{}: `{}` is no method; write one of: {}", "{1}: `{2}` — не метод; напишіть щось із цього: {3}"),
    (
        "{}: the header `{}` follows from the address and the body; leave it out",
        "{1}: заголовок `{2}` береться з адреси й тіла; приберіть його",
    ),
    // CRMs.
    (
        "{}: the CRM answered with {}; `leadfold doctor` shows request and answer, then correct this operation in workspace.yaml",
        "{1}: CRM відповіла не так, як описано ({2~}); запит і відповідь покаже `leadfold doctor`, потім виправте цю операцію у workspace.yaml",
    ),
    (
        "the CRM answered in a form that does not say what was written",
        "CRM відповіла у вигляді, з якого не видно, що записано",
    ),
    (
        "a lost contact without a phone or email to search by cannot be found without markers",
        "втрачений контакт без телефону й пошти неможливо знайти без міток",
    ),
    (
        "a lost contact without phone and email cannot be found without markers",
        "втрачений контакт без телефону й пошти неможливо знайти без міток",
    ),
    ("a lost \"{}\" cannot be found without markers", "втрачений крок «{1}» неможливо знайти без міток"),
];
