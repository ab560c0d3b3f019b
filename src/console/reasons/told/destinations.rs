//! What is wrong with the settings of destinations and with calls of bots, and what settings and parameters are for.
//!
//! Said by `map::calls` and by the modules of `crm`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // Calls.
    ("{} does not say which bot it is for (`to`)", "{1}: не сказано, для якого це бота (`to`)"),
    ("write which bot it is for: `to: {}`", "напишіть, для якого це бота: `to: {1}`"),
    ("{} is for one bot", "{1}: бот має бути один"),
    (
        "make an entry for each bot; they are called in their order",
        "зробіть окремий запис для кожного бота; їх викличуть по черзі",
    ),
    ("destination `{}` is no bot that can be called", "призначення `{1}` — не бот, якого можна викликати"),
    ("calls go to destinations that have `bot:`", "викликають лише призначення, у яких є `bot:`"),
    ("there is no bot `{}` among the destinations", "серед призначень немає бота `{1}`"),
    ("`{}` has no operation `{}`", "у `{1}` немає операції `{2}`"),
    ("`{}` can: {}", "`{1}` вміє: {2}"),
    ("{} has both `{}` and `{}`", "{1}: тут і `{2}`, і `{3}`"),
    (
        "make two entries of them; they are called in their order",
        "зробіть із них два записи; їх викличуть по черзі",
    ),
    ("{} does not say what `{}` is to do", "{1}: не сказано, що має робити `{2}`"),
    ("`{}` is empty", "`{1}` — порожньо"),
    ("write what belongs behind the colon: {}", "напишіть після двокрапки: {1~}"),
    ("write its parameters: `{}`", "напишіть його параметри: `{1}`"),
    // Credentials.
    ("`auth` must say one way to send the credentials", "`auth` має називати один спосіб надсилати доступи"),
    ("`auth.{}` is not complete", "`auth.{1}`: задано не все"),
    (
        "write one of: { bearer: \"${TOKEN}\" }, { header: { X-Api-Key: \"${KEY}\" } }, { query: { api_key: \"${KEY}\" } }, { basic: { user: me, password: \"${PASSWORD}\" } }",
        "напишіть щось одне: { bearer: \"${TOKEN}\" }, { header: { X-Api-Key: \"${KEY}\" } }, { query: { api_key: \"${KEY}\" } }, { basic: { user: me, password: \"${PASSWORD}\" } }",
    ),
    // A CRM that is described in the workspace.
    (
        "people cannot be found in this CRM, so everybody would be made anew",
        "у цій CRM людей неможливо знайти, тож кожну створювали б заново",
    ),
    (
        "describe `find_contact_by_phone`, `find_contact_by_email`, or both",
        "опишіть `find_contact_by_phone`, `find_contact_by_email` або обидві",
    ),
    ("`operations` has no `{}`", "`operations`: бракує `{1}`"),
    (
        "somebody who comes back is read by the id of their contact, because searches lag",
        "того, хто повернувся, читають за ідентифікатором контакту, бо пошук запізнюється",
    ),
    ("nobody new could be brought into this CRM", "нових людей у цю CRM було б не додати"),
    (
        "`contact` does not say where the {} stand, so what is found cannot be compared",
        "`contact` не каже, де стоїть `{1}`, тож знайдене ні з чим порівняти",
    ),
    ("add the place to `contact`: { {}: {} }", "додайте місце в `contact`: { {1}: {2} }"),
    (
        "nothing says which deals are open, so everybody who comes back would get another one",
        "не сказано, які угоди відкриті, тож кожен, хто повернувся, отримував би ще одну",
    ),
    (
        "describe `find_open_deals`, or where a contact carries its deals: `contact: { deals: $.deals }`",
        "опишіть `find_open_deals` або де в контакті його угоди: `contact: { deals: $.deals }`",
    ),
    ("there is no `{}`: {}", "немає `{1}`: {2!}"),
    ("people are found by email only", "людей шукаємо лише за поштою"),
    ("people are found by phone only", "людей шукаємо лише за телефоном"),
    (
        "contacts stay as they are, whatever `update:` says",
        "контакти лишаються як є, хоч би що казав `update:`",
    ),
    ("no deals are made", "угоди не створюються"),
    ("deals stay as they are, whatever `update:` says", "угоди лишаються як є, хоч би що казав `update:`"),
    (
        "who comes back leaves a note instead of a task",
        "про повторне звернення лишається примітка замість завдання",
    ),
    ("notes stand in the task, or nowhere", "примітки потрапляють у завдання або нікуди"),
    (
        "describe it, or write `{}: none` when the CRM has no such thing",
        "опишіть її або напишіть `{1}: none`, якщо в CRM такого немає",
    ),
    ("the request of `{}` does not say {} or {}", "запит `{1}` не передає {2} або {3}"),
    ("the request of `{}` does not say {}", "запит `{1}` не передає {2}"),
    ("put it into the path, `query` or `json`", "впишіть це в шлях, `query` або `json`"),
    (
        "`{}` is `keyed`, but its request has no {{ marker }}",
        "`{1}` позначено як `keyed`, але в запиті немає {{ marker }}",
    ),
    (
        "put {{ marker }} where the CRM wants it unique: a header such as Idempotency-Key, or a unique field",
        "впишіть {{ marker }} туди, де CRM вимагає унікальності: у заголовок на зразок Idempotency-Key або в унікальне поле",
    ),
    ("`{}` finds nothing, because `{}` writes no marker", "`{1}` нічого не знайде, бо `{2}` не пише мітки"),
    (
        "put {{ marker }} into a field that can be searched",
        "впишіть {{ marker }} у поле, за яким можна шукати",
    ),
    ("`{}` must say one method with its path", "`{1}` має називати один метод зі шляхом"),
    ("write `get: /contacts` or `post: /contacts`", "напишіть `get: /contacts` або `post: /contacts`"),
    (
        "a path must be one text, such as /contacts/{{ id }}",
        "шлях має бути одним текстом, наприклад /contacts/{{ id }}",
    ),
    ("a path begins with a slash", "шлях починається зі скісної риски"),
    ("write what comes behind `url`: /contacts", "напишіть те, що йде після `url`: /contacts"),
    ("a path holds no parameters", "у шляху параметрів не пишуть"),
    ("write them under `query: { name: value }`", "напишіть їх у `query: { name: value }`"),
    ("a path is written as it is read", "шлях пишуть так, як він читається"),
    ("write the letters themselves; escaping is done for you", "пишіть самі літери, вони закодуються самі"),
    ("write the path as the CRM's API page has it", "напишіть шлях так, як в описі API цієї CRM"),
    ("{} does not say which answers it means", "{1}: не сказано, про які це відповіді"),
    (
        "write `{ status: 409 }`, or `{ when: \"{{ error.code == 'duplicate' }}\" }`, or both",
        "напишіть `{ status: 409 }`, або `{ when: \"{{ error.code == 'duplicate' }}\" }`, або обидва",
    ),
    ("{} must say where it stands: `$.name`", "{1}: напишіть, де воно стоїть: `$.name`"),
    ("{} must say where it stands in the answer", "{1}: не сказано, де воно стоїть у відповіді"),
    (
        "write `$.{}`; texts can be put together: \"{{ first_name }} {{ last_name }}\"",
        "напишіть `$.{1}`; тексти можна складати разом: \"{{ first_name }} {{ last_name }}\"",
    ),
    (
        "write where the list stands: `$` for the whole answer, `$.data`, `$.data.items`",
        "напишіть, де стоїть список: `$` — уся відповідь, `$.data`, `$.data.items`",
    ),
    ("`duplicate` has no `id`", "`duplicate`: бракує `id`"),
    (
        "write where the answer names the record that is there already: `id: $.existing_id`",
        "напишіть, де відповідь називає наявний запис: `id: $.existing_id`",
    ),
    // Botmother.
    ("`events` must hold addresses by name", "`events` має містити адреси за назвами"),
    ("an event has one address", "у події одна адреса"),
    ("event `{}`: {}", "подія `{1}`: {2!}"),
    (
        "this is not the address of an event, which begins with {}",
        "це не адреса події: вона починається з {1}",
    ),
    ("its address does not lead to {}", "її адреса веде не на {1}"),
    ("`events` of destination `{}` has no `{}`", "`events` призначення `{1}`: немає `{2}`"),
    ("it has {}", "є {1}"),
    // Chatterfy.
    ("the step `{}` has no id", "у кроку `{1}` немає ідентифікатора"),
    (
        "write { Flow RD / FD: 046050f6-38f6-4b18-b9fa-e6582f5352d0 }",
        "напишіть { Flow RD / FD: 046050f6-38f6-4b18-b9fa-e6582f5352d0 }",
    ),
    ("`{}` and `{}` are one name", "`{1}` і `{2}` — одна й та сама назва"),
    (
        "capitals and spaces around `/` make no difference; keep one of the two",
        "великі літери й пробіли біля `/` нічого не змінюють; залиште щось одне",
    ),
    ("the destination has no step `{}` under `steps:`", "у призначення в `steps:` немає кроку `{1}`"),
    ("name it on the destination: steps: {}", "назвіть його в призначенні: steps: {1}"),
    ("known there: {}", "там є: {1}"),
    ("`{}` is no status of a dialog", "`{1}` — не статус діалогу"),
    ("write one of: {}", "напишіть щось із цього: {1}"),
    ("this call changes nothing", "цей виклик нічого не змінює"),
    (
        "write a step, a status or fields: { step: Flow RD / FD, status: auto }",
        "напишіть крок, статус або поля: { step: Flow RD / FD, status: auto }",
    ),
    // Mindbox.
    ("nothing in operation `{}` reads `{}`", "в операції `{1}` ніщо не читає `{2}`"),
    (
        "write it as a placeholder of its `body`: \"{}\"; or leave it out of `needs`",
        "впишіть його підстановкою в `body`: \"{1}\" або приберіть із `needs`",
    ),
    (
        "operation `{}` has no `body` in workspace.yaml that could read `values`",
        "в операції `{1}` у workspace.yaml немає `body`, який прочитав би `values`",
    ),
    (
        "give it a `body` there, or write the whole `body` in the call",
        "додайте їй `body` там або напишіть увесь `body` у виклику",
    ),
    (
        "operation `{}` has its `body` in workspace.yaml, and this call brings another",
        "в операції `{1}` вже є `body` у workspace.yaml, а цей виклик має ще один",
    ),
    (
        "keep one of the two; what the one there reads is given under `values`",
        "залиште щось одне; те, що читає `body` там, передають у `values`",
    ),
    (
        "`values` of operation `{}` holds no names and values",
        "у `values` операції `{1}` немає назв зі значеннями",
    ),
    (
        "write `values: { phone: \"{{ lead.phone.e164 }}\" }`",
        "напишіть `values: { phone: \"{{ lead.phone.e164 }}\" }`",
    ),
    ("nothing in the body of operation `{}` reads `{}`", "у тілі операції `{1}` ніщо не читає `{2}`"),
    (
        "operation `{}` needs `{}`, and this call does not give it",
        "операції `{1}` потрібне `{2}`, а цей виклик його не передає",
    ),
    ("write it under `values`: { {}: \"{{ … }}\" }", "впишіть його у `values`: { {1}: \"{{ … }}\" }"),
    (
        "write one of {}, or add it under `operations` of `{}` in workspace.yaml",
        "напишіть щось із цього: {1}, або додайте її в `operations` призначення `{2}` у workspace.yaml",
    ),
    // SendPulse and Telegram.
    ("neither `name` nor `id` says which variable", "яка це змінна, не каже ні `name`, ні `id`"),
    (
        "`name` and `id` both name a variable; keep one of them",
        "змінну називають і `name`, і `id`; залиште щось одне",
    ),
    ("`{}` is no way in which Telegram marks up a text", "`{1}` — такої розмітки тексту в Telegram немає"),
    ("write HTML or MarkdownV2, or leave it out", "напишіть HTML або MarkdownV2 чи приберіть його"),
    ("`preview` is true or false, not `{}`", "`preview` буває true або false, а не `{1}`"),
    // Webhooks.
    ("`hosts` must be a list of names", "`hosts` має бути списком назв"),
    (
        "an entry of `hosts` is no host; write the hosts that may be called: hosts: [tracker.example, https://api.example:8443]",
        "запис у `hosts` — не хост; напишіть хости, які можна викликати: hosts: [tracker.example, https://api.example:8443]",
    ),
    ("`{}` is not among the hosts of destination `{}`", "`{1}` немає серед хостів призначення `{2}`"),
    (
        "add it to its `hosts:`, if it is meant; named there: {}",
        "якщо так і треба, додайте його в `hosts:`; там є: {1}",
    ),
    ("a request has one body; write `json` or `form`", "у запиту одне тіло; напишіть `json` або `form`"),
    (
        "a GET has no body; write `method: POST`, or `query:` in place of the body",
        "у GET немає тіла; напишіть `method: POST` або `query:` замість тіла",
    ),
    ("`{}` is no method; write one of: {}", "`{1}` — не метод; напишіть щось із цього: {2}"),
    (
        "the header `{}` follows from the address and the body; leave it out",
        "заголовок `{1}` береться з адреси й тіла; приберіть його",
    ),
    // Whatever lacks something.
    ("`{}` has no `{}`", "`{1}`: бракує `{2}`"),
    ("`{}` has an empty `{}`", "`{1}`: порожній `{2}`"),
];
