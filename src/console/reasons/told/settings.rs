//! What the settings of destinations and the parameters of calls are for, which is the advice where one is missing.
//!
//! Said by the descriptions of the modules of `crm`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // CRMs.
    ("where it listens: http://127.0.0.1:9900", "де він працює: http://127.0.0.1:9900"),
    ("its bearer token: demo", "його токен: demo"),
    (
        "where people open it: https://example.odoo.com",
        "адреса, за якою її відкривають: https://example.odoo.com",
    ),
    (
        "name of the database; on odoo.com the first part of the address",
        "назва бази; на odoo.com це перша частина адреси",
    ),
    (
        "key of a user who may edit contacts and all opportunities (Preferences > Account Security > API Keys)",
        "ключ користувача, який може змінювати контакти й усі нагоди (Preferences > Account Security > API Keys)",
    ),
    (
        "the root of its API, as its documentation has it: https://api.example.com/v1",
        "корінь її API, як у документації: https://api.example.com/v1",
    ),
    (
        "what it can do: { find_contact_by_phone: { get: /contacts, query: { phone: \"{{ phone }}\" } }, … }",
        "що вона вміє: { find_contact_by_phone: { get: /contacts, query: { phone: \"{{ phone }}\" } }, … }",
    ),
    // Bots.
    (
        "addresses of external events by a name of your own (Settings > Events): { abandoned_cart: \"${BOTMOTHER_CART}\" }",
        "адреси зовнішніх подій за вашими назвами (Settings > Events): { abandoned_cart: \"${BOTMOTHER_CART}\" }",
    ),
    (
        "the part between webhooks/ and /updateDialog of the bot's link (Bot settings, Add Webhook)",
        "частина посилання бота між webhooks/ і /updateDialog (Bot settings, Add Webhook)",
    ),
    ("an API key of the account", "ключ API акаунта"),
    (
        "the root of its API, as https://app.metabot24.com/api/docs has it: what stands before /bots",
        "корінь його API, як на https://app.metabot24.com/api/docs: те, що стоїть перед /bots",
    ),
    ("the number of the bot", "номер бота"),
    (
        "the token of an API user of the bot (Metabot: business users)",
        "токен користувача API цього бота (Metabot: бізнес-користувачі)",
    ),
    (
        "the integration point that calls, as Mindbox names it: Polynia.Telegram",
        "точка інтеграції, від імені якої йдуть виклики, як у Mindbox: Polynia.Telegram",
    ),
    ("the secret key of that integration point", "секретний ключ цієї точки інтеграції"),
    (
        "operations by a name of yours: { by_phone: { name: Telegram.AuthorizeByPhone, body: { … } } }",
        "операції за вашими назвами: { by_phone: { name: Telegram.AuthorizeByPhone, body: { … } } }",
    ),
    ("the ID of the account (Settings > API)", "ID акаунта (Settings > API)"),
    ("the secret of the account (Settings > API)", "секрет акаунта (Settings > API)"),
    (
        "the token that @BotFather gave the bot: 123456:ABC-DEF",
        "токен бота, який видав @BotFather: 123456:ABC-DEF",
    ),
    (
        "the hosts that may be called, and no others: [tracker.example, https://api.example:8443]",
        "хости, які можна викликати, і жодних інших: [tracker.example, https://api.example:8443]",
    ),
    // Parameters of calls.
    (
        "its name in `events` of the destination: abandoned_cart",
        "її назва в `events` призначення: abandoned_cart",
    ),
    (
        "where it goes on: a name under `steps:` of the destination, or the id of a step",
        "де він продовжиться: назва зі `steps:` призначення або ідентифікатор кроку",
    ),
    (
        "app_uuid of the bot, which eSputnik shows where the bot is connected",
        "app_uuid бота, який eSputnik показує там, де бота підключено",
    ),
    (
        "the script to run, by its code name; exactly one of script_… and trigger_…",
        "який скрипт запустити, за кодовою назвою; рівно одне зі script_… і trigger_…",
    ),
    (
        "which one, by its name under `operations` of the destination",
        "яку саме, за назвою з `operations` призначення",
    ),
    ("the tag, or a list of them: CRM", "тег або список тегів: CRM"),
    ("the tag: CRM", "тег: CRM"),
    (
        "name of a variable that the bot has: crm_deal (or say `id`)",
        "назва змінної, яка є в бота: crm_deal (або вкажіть `id`)",
    ),
    (
        "what it is set to; an empty value is refused and erases nothing",
        "яке значення їй дати; порожнє не приймається і нічого не стирає",
    ),
    (
        "id of the flow, the last part of its address: 64f1a0c2b7d3e4a5c6f70900",
        "ідентифікатор ланцюжка, остання частина його адреси: 64f1a0c2b7d3e4a5c6f70900",
    ),
    ("the word of the trigger: deal_won", "слово тригера: deal_won"),
    ("what to write, up to 4096 characters", "що написати, до 4096 знаків"),
    ("what to write", "що написати"),
    ("what stands on the button: Поділитися номером", "що написано на кнопці: Поділитися номером"),
    (
        "where to: https://tracker.example/postback?clickid={{ person.click }}; all of its placeholders must find something, and what may be missing goes under `query`",
        "куди: https://tracker.example/postback?clickid={{ person.click }}; усі підстановки в ній мають щось знайти, а те, чого може не бути, пишуть у `query`",
    ),
    // Settings that are written wrongly.
    (
        "destination `{}`: setting `{}` is `{}`; write `true` or `false`",
        "призначення `{1}`: у `{2}` стоїть `{3}`; напишіть `true` або `false`",
    ),
    (
        "destination `{}`: setting `{}` is `{}`; write a whole number above 0",
        "призначення `{1}`: у `{2}` стоїть `{3}`; напишіть ціле число, більше за 0",
    ),
    (
        "destination `{}`: setting `{}` is `{}`; write a time such as `500ms`, `2s` or `1m`",
        "призначення `{1}`: у `{2}` стоїть `{3}`; напишіть час, наприклад `500ms`, `2s` або `1m`",
    ),
    (
        "destination `{}`: setting `{}` is `{}`; write a rate such as `10/s`, `60/min` or `100/10s`",
        "призначення `{1}`: у `{2}` стоїть `{3}`; напишіть ліміт, наприклад `10/s`, `60/min` або `100/10s`",
    ),
    ("destination `{}`: setting `{}` is missing; add it", "призначення `{1}`: бракує `{2}`; додайте його"),
    (
        "destination `{}`: {}; `leadfold check` shows where",
        "призначення `{1}`: {2!}; де саме, покаже `leadfold check`",
    ),
];
