//! What is wrong with `workspace.yaml`: destinations, owner pools, identity, links, alerts; and with names that the CRM does not
//! have.
//!
//! Said by `map::workspace`, `map::pools`, `map::identity`, `map::links`, `map::alerts`, `map::chats`, `map::secrets` and `compare`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // Destinations.
    ("the workspace has no `workspace.yaml`", "немає файлу `workspace.yaml`"),
    (
        "put a `workspace.yaml` with `destinations:` beside the files of the sources",
        "покладіть поряд із файлами джерел `workspace.yaml`, у якому є `destinations:`",
    ),
    ("destination `{}` is both a `crm` and a `bot`", "призначення `{1}` — і `crm`, і `bot` водночас"),
    (
        "keep the one that it is; two accounts are two destinations",
        "залиште щось одне; два акаунти — це два призначення",
    ),
    (
        "destination `{}` does not say which `crm` or `bot` it is",
        "призначення `{1}` не каже, яка це `crm` чи який `bot`",
    ),
    ("`crm:` one of {}; or `bot:` one of {}", "`crm:` може бути {1}; `bot:` — {2}"),
    ("`{}` is a bot", "`{1}` — це бот"),
    ("`{}` is a CRM", "`{1}` — це CRM"),
    ("write `crm: {}`", "напишіть `crm: {1}`"),
    ("write `bot: {}`", "напишіть `bot: {1}`"),
    ("`{}` is not a setting of {}", "налаштування `{1}` у {2} немає"),
    ("destination `{}` has no `{}`", "призначення `{1}`: бракує `{2}`"),
    (
        "`share` must be above 0 and at most 1, not `{}`",
        "`share` має бути більше за 0 і не більше за 1, а не `{1}`",
    ),
    (
        "write a part of the account's rate limit: 50% or 0.5",
        "напишіть частку ліміту запитів акаунта: 50% або 0.5",
    ),
    ("`{}` are the chats of no bot", "`{1}` — чати невідомо якого бота"),
    (
        "write them as `leadfold people show` shows where a chat is: `chats: telegram:shop`, or `telegram:*` for all bots of a platform",
        "напишіть так, як `leadfold people show` показує, де чат: `chats: telegram:shop`, або `telegram:*` для всіх ботів платформи",
    ),
    (
        "`{}` is one bot, and would be called for the chats of several: {}",
        "`{1}` — один бот, а викликали б його для чатів кількох: {2}",
    ),
    ("both `{}` and `{}` would be called for the chats of {}", "для чатів {3} викликали б і `{1}`, і `{2}`"),
    (
        "say under `{}` which are its own, so that no call goes to a chat of another bot: `chats: {}`",
        "вкажіть у `{1}`, які чати його, щоб жоден виклик не пішов у чат іншого бота: `chats: {2}`",
    ),
    // Owner pools.
    (
        "use `weight: 2` to give somebody twice as many deals",
        "щоб давати комусь удвічі більше угод, напишіть `weight: 2`",
    ),
    ("this owner has no `user`", "у цього відповідального немає `user`"),
    ("`weight` must be from 1 to 1000", "`weight` має бути від 1 до 1000"),
    ("`daily_cap` must be at least 1", "`daily_cap` має бути щонайменше 1"),
    ("use `away: true` for somebody who takes no deals", "для того, хто не бере угод, напишіть `away: true`"),
    ("`{}` is not a day", "`{1}` — не дата"),
    (
        "write a day as 2026-12-24, and days in a row as 2026-12-24..2027-01-08; `away: true` is for good",
        "дату пишуть як 2026-12-24, дні поспіль — як 2026-12-24..2027-01-08; `away: true` означає назавжди",
    ),
    (
        "write a day as 2026-12-24, and days in a row as 2026-12-24..2027-01-08",
        "дату пишуть як 2026-12-24, дні поспіль — як 2026-12-24..2027-01-08",
    ),
    ("`{}` ends before it begins", "`{1}` закінчується раніше, ніж починається"),
    ("write {}..{}", "напишіть {1}..{2}"),
    ("there is no time zone `{}`", "часового поясу `{1}` немає"),
    (
        "write a name of the IANA time zone database, such as Europe/Kyiv",
        "напишіть назву з бази часових поясів IANA, наприклад Europe/Kyiv",
    ),
    (
        "`outside_hours: fallback` in a pool without a `fallback`",
        "`outside_hours: fallback` у пулі без `fallback`",
    ),
    (
        "add `fallback:` with a user, or write `outside_hours: wait`",
        "додайте `fallback:` з користувачем або напишіть `outside_hours: wait`",
    ),
    ("`hours` must say for which days they are", "`hours` має казати, для яких це днів"),
    (
        "write { mon-fri: 09:00-18:00, sat: 10:00-14:00 }",
        "напишіть { mon-fri: 09:00-18:00, sat: 10:00-14:00 }",
    ),
    ("`{}` has hours already", "для `{1}` години вже задано"),
    ("name every day once", "назвіть кожен день один раз"),
    ("`{}` is not a day of the week", "`{1}` — не день тижня"),
    ("`{}` is not working hours", "`{1}` — не робочі години"),
    ("`{}` is not a time of day", "`{1}` — не час доби"),
    ("`{}` is no time at all", "`{1}` — це зовсім не проміжок часу"),
    (
        "write 09:00-18:00; with a break [09:00-13:00, 14:00-18:00]; over midnight 22:00-06:00; day and night 00:00-24:00",
        "напишіть 09:00-18:00; з перервою — [09:00-13:00, 14:00-18:00]; через північ — 22:00-06:00; цілодобово — 00:00-24:00",
    ),
    ("the hours of `{}` overlap with those before them", "години для `{1}` накладаються на попередні"),
    ("those end at {}", "попередні закінчуються о {1}"),
    ("owner pool `{}` has nobody in it", "у пулі відповідальних `{1}` нікого немає"),
    (
        "nobody of owner pool `{}` is ever available: its leads would wait",
        "у пулі відповідальних `{1}` ніколи нікого немає на місці: ліди чекали б без кінця",
    ),
    (
        "remove an `away: true`, give somebody hours, or name a `fallback:`",
        "приберіть `away: true`, задайте комусь години або назвіть запасного у `fallback:`",
    ),
    (
        "owner pool `{}` counts hours or days and has no `time_zone`",
        "пул відповідальних `{1}` рахує години або дні, а `time_zone` не має",
    ),
    ("say where: `time_zone: Europe/Kyiv`", "вкажіть, де це: `time_zone: Europe/Kyiv`"),
    (
        "`outside_hours` in a pool that has neither hours nor days off",
        "`outside_hours` у пулі, де немає ні годин, ні вихідних",
    ),
    ("add `hours:` or `days_off:`, or remove it", "додайте `hours:` чи `days_off:` або приберіть його"),
    // Who is who.
    ("`shared_from` must be at least {}", "`shared_from` має бути щонайменше {1}"),
    (
        "write 2 to take two different names on one phone for two people; 4 is the default",
        "напишіть 2, щоб два різні імені з одним телефоном вважати двома людьми; зазвичай це 4",
    ),
    ("`shared_from` and `strict` say the same thing twice", "`shared_from` і `strict` двічі кажуть те саме"),
    (
        "`strict: true` is short for `shared_from: 2`; keep one of the two",
        "`strict: true` — це коротко про `shared_from: 2`; залиште щось одне",
    ),
    ("`forget_after` must be at least 30d", "`forget_after` має бути щонайменше 30d"),
    (
        "numbers are given to somebody else after months; the default is 548d",
        "номери віддають іншим людям через кілька місяців; зазвичай це 548d",
    ),
    ("`{}` must be at least 1", "`{1}` має бути щонайменше 1"),
    (
        "it is how many one human may have before somebody should look; leave it out for the default",
        "це скільки може бути в однієї людини, перш ніж комусь варто глянути; приберіть його, щоб було як зазвичай",
    ),
    // Links.
    ("`{}` must be between 1m and {}h", "`{1}` має бути від 1m до {2}h"),
    ("`{}` is no https address", "`{1}` — не адреса https"),
    (
        "write where the site takes the visitor in: https://shop.example.com/enter, or with {buid} in it",
        "напишіть, куди сайт приймає відвідувача: https://shop.example.com/enter, можна з {buid} усередині",
    ),
    ("`namespace` is no name: {}", "`namespace` — не назва: {1!}"),
    (
        "the default is web_user; it is the key below `identifiers.external_customer`",
        "зазвичай це web_user; це ключ у `identifiers.external_customer`",
    ),
    ("the default is {}", "зазвичай це {1}"),
    ("`pin_digits` must be between {} and {}", "`pin_digits` має бути від {1} до {2}"),
    (
        "with {} digits somebody who guesses is right once in 700 links; the default is 6",
        "з {1} цифрами PIN вгадують у середньому на одному посиланні з 700; зазвичай цифр 6",
    ),
    (
        "`send_pin` names '{}', and there is no trigger of that name",
        "`send_pin` називає '{1}', а тригера з такою назвою немає",
    ),
    (
        "write `{}.yaml` with `source: { preset: trigger, … }` and a call that says the PIN: `{{ pin }}`",
        "створіть `{1}.yaml`, де є `source: { preset: trigger, … }` і виклик, що передає PIN: `{{ pin }}`",
    ),
    (
        "trigger '{}' is to send PINs (`send_pin`), and no call of it says the PIN",
        "тригер '{1}' має надсилати PIN (`send_pin`), а жоден його виклик PIN не передає",
    ),
    (
        "write `{{ pin }}` into a call of `{}.yaml`, where the bot is to say it",
        "впишіть `{{ pin }}` у виклик у `{1}.yaml` там, де бот має його сказати",
    ),
    // Alerts.
    ("{} must be at least 1m", "{1}: має бути щонайменше 1m"),
    ("somebody would be told all the time", "інакше сповіщення надходили б безперервно"),
    ("the token that @BotFather gave the bot", "токен бота, який видав @BotFather"),
    (
        "the id of the chat, such as -1001234567890; or @name of a channel",
        "ідентифікатор чату, наприклад -1001234567890, або @name каналу",
    ),
    ("the SMTP server: smtp.example.com:587", "сервер SMTP: smtp.example.com:587"),
    ("whom it comes from: leadfold@example.com", "від кого лист: leadfold@example.com"),
    ("who gets it: sales@example.com, or a list", "кому лист: sales@example.com або список"),
    ("a password is not sent without encryption", "пароль без шифрування не надсилається"),
    (
        "leave `encryption` out, or the password where the server asks nobody",
        "приберіть `encryption`, або пароль, якщо сервер його не питає",
    ),
    ("`{}` is no SMTP server", "`{1}` — не сервер SMTP"),
    ("write host and port: smtp.example.com:587", "напишіть хост і порт: smtp.example.com:587"),
    ("`{}` is no email address", "`{1}` — не адреса пошти"),
    ("write it without a name: sales@example.com", "напишіть її без імені: sales@example.com"),
    // Where secrets are sent is not changed from a browser.
    ("destination `{}` would be new", "призначення `{1}` стало б новим"),
    ("destination `{}` stands twice", "призначення `{1}` стоїть двічі"),
    ("`{}` of destination `{}` would be another", "у призначенні `{2}` змінилося б `{1}`"),
    ("destination `{}` would be gone", "призначення `{1}` зникло б"),
    ("`alerts` would be another", "змінилося б `alerts`"),
    ("`destinations` or `alerts` stands twice", "`destinations` або `alerts` стоїть двічі"),
    (
        "edit workspace.yaml in its folder, or `leadfold apply` it from there: where secrets are sent is not changed from a browser",
        "змініть workspace.yaml у його теці або застосуйте звідти через `leadfold apply`: куди надсилаються секрети, з браузера не змінюють",
    ),
];

/// Names that are compared with what the CRM has.
pub(super) const NAMES: &[Shape] = &[
    ("there is no user `{}` in `{}`", "користувача `{1}` у `{2}` немає"),
    ("there is no pipeline `{}` in `{}`", "воронки `{1}` у `{2}` немає"),
    ("there is no stage `{}` in pipeline `{}` of `{}`", "етапу `{1}` у воронці `{2}` (`{3}`) немає"),
    (
        "none of these pipelines of `{}` has a stage `{}`: {}",
        "етапу `{2}` немає в жодній із цих воронок `{1}`: {3}",
    ),
    ("contacts of `{}` have no field `{}`", "у контактів `{1}` немає поля `{2}`"),
    ("deals of `{}` have no field `{}`", "в угод `{1}` немає поля `{2}`"),
    (
        "neither contacts nor deals of `{}` have a field `{}`, so this line does nothing",
        "поля `{2}` немає ні в контактів, ні в угод `{1}`, тож цей рядок нічого не робить",
    ),
    (
        "`{}` is what people see in `{}`; the field is `{}`",
        "`{1}` — це назва, яку люди бачать у `{2}`; саме поле — `{3}`",
    ),
    (
        "write `{}`: what people see changes with their language, and two fields may share it",
        "напишіть `{1}`: видима назва залежить від мови, і два поля можуть мати однакову",
    ),
    ("`{}` ({}) is not active in `{}` any more", "`{1}` ({2}) у `{3}` уже неактивний"),
    (
        "take them out of the pool, write `away: true`, or activate them in the CRM",
        "приберіть цю людину з пулу, напишіть `away: true` або активуйте її в CRM",
    ),
    // What the CRM lacks altogether.
    (
        "`{}` has no deals: a lead makes or meets a contact alone, and the deal's values go into a note",
        "у `{1}` немає угод: лід створює або знаходить лише контакт, а значення угоди йдуть у примітку",
    ),
    (
        "`{}` has no tasks: a repeated lead leaves a note instead",
        "у `{1}` немає завдань: повторний лід лишає замість завдання примітку",
    ),
    (
        "`{}` has no notes: their text goes into the task, where there is one",
        "у `{1}` немає приміток: їхній текст іде в завдання, якщо воно є",
    ),
    // What it has instead.
    ("did you mean `{}`? In the CRM there is none at all", "можливо, `{1}`? У CRM немає жодного"),
    ("did you mean `{}`? In the CRM there is {}", "можливо, `{1}`? У CRM є {2}"),
    ("did you mean `{}`? In the CRM there are {}", "можливо, `{1}`? У CRM є {2}"),
    ("in the CRM there is none at all", "у CRM немає жодного"),
    ("in the CRM there is {}", "у CRM є {1}"),
    (
        "in the CRM there are {} and {} more; `leadfold doctor --verbose` lists them all",
        "у CRM є {1} і ще {2}; усі покаже `leadfold doctor --verbose`",
    ),
    ("in the CRM there are {}", "у CRM є {1}"),
    ("there is no {} `{}` in the CRM; there is none at all", "у CRM немає {1} `{2}`, і жодного іншого теж"),
    ("there is no {} `{}` in the CRM; there is {}", "у CRM немає {1} `{2}`; є {3}"),
    ("there is no {} `{}` in the CRM; there are {} and {} more", "у CRM немає {1} `{2}`; є {3} і ще {4}"),
    ("there is no {} `{}` in the CRM; there are {}", "у CRM немає {1} `{2}`; є {3}"),
];
