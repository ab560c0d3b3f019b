//! What is wrong with the file of a source: its address, its branches and rules, its postbacks, its tests.
//!
//! Said by `map::source`, `map::branch`, `map::rules`, `map::evidence`, `map::postback` and `map::example`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // The file.
    (
        "`{}` is no YAML file: its name must end in `.yaml`",
        "`{1}` — не файл YAML: його назва має закінчуватися на `.yaml`",
    ),
    (
        "the name of a source stands in its address, so `{}` may only have a-z, 0-9, `-` and `_`",
        "назва джерела стоїть у його адресі, тож у `{1}` можуть бути лише a-z, 0-9, `-` і `_`",
    ),
    ("the file cannot be read", "файл неможливо прочитати"),
    ("there is no `source:` in this file", "у цьому файлі немає `source:`"),
    (
        "begin the file with `source: { preset: json, token: \"${MY_TOKEN}\" }`",
        "почніть файл із `source: { preset: json, token: \"${MY_TOKEN}\" }`",
    ),
    ("`source` has no `{}`", "`source`: бракує `{1}`"),
    (
        "the token is empty, so anybody could send events",
        "токен порожній, тож надсилати події міг би будь-хто",
    ),
    (
        "the secret is empty, so no request could prove anything",
        "секрет порожній, тож жоден запит нічого не доведе",
    ),
    (
        "nothing that `{}` sends could be compared with a `secret`; the token in the path is what guards this source",
        "у запитах `{1}` немає нічого, що можна звірити з `secret`; це джерело захищає токен в адресі",
    ),
    ("no request could have this `secret`: {}", "такого `secret` не буде в жодному запиті: {1!}"),
    (
        "Telegram takes 1 to 256 of A-Z, a-z, 0-9, `_` and `-` as the secret of a webhook",
        "для секрету вебхука Telegram приймає від 1 до 256 знаків: A-Z, a-z, 0-9, `_` і `-`",
    ),
    (
        "for Basic authentication it is the user name, a colon and the password: `user:${PASSWORD}`",
        "для Basic це логін, двокрапка й пароль: `user:${PASSWORD}`",
    ),
    (
        "`dedupe_window` does nothing for postbacks, which have a rule of their own for repeats",
        "для постбеків `dedupe_window` не діє: у них своє правило щодо повторів",
    ),
    (
        "take it away, and say under `postback` for how long the same again is a repeat: `postback: { repeats: 60s }`",
        "приберіть його і задайте в `postback`, скільки часу те саме вважати повтором: `postback: { repeats: 60s }`",
    ),
    ("`{}` is only for `preset: {}`", "`{1}` буває лише з `preset: {2}`"),
    (
        "`source` has no `app`, so nobody can send tokens to it",
        "`source`: бракує `app`, тож надсилати сюди токени ніхто не зможе",
    ),
    (
        "write the one that your service has in its address: POST /v1/apps/<app>/tokens",
        "напишіть той, що стоїть в адресі вашого сервісу: POST /v1/apps/<app>/tokens",
    ),
    ("`{}` is no id of an application", "`{1}` — не ідентифікатор застосунку"),
    (
        "write letters, digits and `-`, at most 64: it stands in an address",
        "напишіть латинські літери, цифри й `-`, щонайбільше 64: це частина адреси",
    ),
    (
        "source `{}` has this `app` already: what is sent to it can go to one of the two only",
        "цей `app` уже має джерело `{1}`: надіслане може йти лише в одне з двох",
    ),
    (
        "`bot` is for presets whose events do not say which bot it is",
        "`bot` потрібен лише там, де події самі не називають бота",
    ),
    (
        "leave it out: the preset reads it from each event",
        "приберіть його: пресет сам читає бота з кожної події",
    ),
    ("`{}` does not say which bot it is", "`{1}` не каже, який це бот"),
    (
        "write it as `leadfold people show` shows the bot of a chat: `bot: telegram:shop`",
        "напишіть так, як бота чату показує `leadfold people show`: `bot: telegram:shop`",
    ),
    (
        "there is no `leads:` in this file, so its events would become nothing",
        "у цьому файлі немає `leads:`, тож із подій нічого не вийде",
    ),
    ("add `leads:` with at least one entry", "додайте `leads:` хоча б з одним записом"),
    (
        "`leads` is empty, so the events of this source would become nothing",
        "`leads` порожній, тож із подій цього джерела нічого не вийде",
    ),
    (
        "there is another entry of `leads` with the name `{}`, in line {}",
        "у `leads` уже є запис із назвою `{1}`, у рядку {2}",
    ),
    ("give each entry a name of its own", "дайте кожному запису свою назву"),
    (
        "no event can reach this entry: `{}` before it takes all",
        "до цього запису не дійде жодна подія: `{1}` перед ним забирає все",
    ),
    (
        "give `{}` a `when:`, or move it to the end",
        "задайте для `{1}` умову `when:` або перенесіть його в кінець",
    ),
    ("mapping broken, {}:{}", "у мапінгу помилка: {1}:{2}"),
    // A branch.
    ("this entry of `leads` has no `name`", "у цього запису в `leads` немає `name`"),
    (
        "give it a name that people will read in the registry: `name: Kyiv leads`",
        "дайте йому назву, яку люди бачитимуть у реєстрі: `name: Kyiv leads`",
    ),
    (
        "this entry of `leads` does not say where its leads go (`to`)",
        "цей запис у `leads` не каже, куди йдуть ліди (`to`)",
    ),
    (
        "name the CRM under `destinations:` of workspace.yaml first, and then here",
        "спершу назвіть CRM у `destinations:` файлу workspace.yaml, потім тут",
    ),
    (
        "write `to: [{}]`, or have a bot called: `calls: [ { to: {}, … } ]`",
        "напишіть `to: [{1}]` або викличте бота: `calls: [ { to: {2}, … } ]`",
    ),
    ("write `to: [{}]`", "напишіть `to: [{1}]`"),
    ("have a bot called: `calls: [ { to: {}, … } ]`", "викличте бота: `calls: [ { to: {1}, … } ]`"),
    ("`to` names no destination", "`to` не називає жодного призначення"),
    ("`{}` is a bot, which takes calls and no leads", "`{1}` — бот: він приймає виклики, а не ліди"),
    (
        "write what it is to do: `calls: [ { to: {}, … } ]`",
        "напишіть, що йому робити: `calls: [ { to: {1}, … } ]`",
    ),
    (
        "a call of `{}` waits for a CRM, and this entry names none",
        "виклик `{1}` чекає на CRM, а цей запис не називає жодної",
    ),
    (
        "put it under `calls`, or say with `to` which CRM it waits for",
        "перенесіть його в `calls` або вкажіть у `to`, на яку CRM чекати",
    ),
    (
        "bot `{}` is called at two moments of one lead",
        "бота `{1}` викликають у два різні моменти одного ліда",
    ),
    (
        "put all of its calls under one of `calls`, `after_done`, `after_look_up`",
        "зберіть усі його виклики в чомусь одному: `calls`, `after_done` або `after_look_up`",
    ),
    ("`{}` is not a country", "`{1}` — не країна"),
    ("the United Kingdom is `GB`", "Велика Британія — це `GB`"),
    (
        "write the two letters of ISO 3166: UA, PL, GB, US …",
        "напишіть дві літери за ISO 3166: UA, PL, GB, US …",
    ),
    (
        "`create_deal: never` with `update: none` writes nothing to contacts and deals",
        "`create_deal: never` разом з `update: none` нічого не пише ні в контакти, ні в угоди",
    ),
    (
        "add `update: only_empty` or `update: all` so that existing records are filled",
        "додайте `update: only_empty` або `update: all`, щоб заповнювати наявні записи",
    ),
    // Identifiers.
    (
        "`identifiers.chat` does not say in which bot the chat is (`bot`), and in another bot the same id is somebody else",
        "`identifiers.chat` не каже, у якому боті цей чат (`bot`), а в іншому боті той самий ідентифікатор — це хтось інший",
    ),
    (
        "write where the event names its bot, `bot: \"{{ bot.id }}\"`, or a word of your own for the one bot that this source serves, `bot: shop_bot`. For Messenger it is the page, for Instagram the account, for WhatsApp the business",
        "напишіть, де подія називає бота, `bot: \"{{ bot.id }}\"`, або власне слово для єдиного бота цього джерела, `bot: shop_bot`. Для Messenger це сторінка, для Instagram — акаунт, для WhatsApp — бізнес",
    ),
    (
        "`identifiers.chat` has no `id`, so no chat is found",
        "`identifiers.chat`: бракує `id`, тож чату не знайти",
    ),
    (
        "write where the event names it: `id: \"{{ message.chat.id }}\"`",
        "напишіть, де його називає подія: `id: \"{{ message.chat.id }}\"`",
    ),
    (
        "`identifiers.chat` does not say which messenger it is (`channel`)",
        "`identifiers.chat` не каже, який це месенджер (`channel`)",
    ),
    (
        "write `channel: telegram`, or where the event names it: `channel: \"{{ service }}\"`",
        "напишіть `channel: telegram` або де його називає подія: `channel: \"{{ service }}\"`",
    ),
    (
        "a postback is somebody's by its click id alone: `identifiers` would do nothing here",
        "чий це постбек, видно лише за ідентифікатором кліку: `identifiers` тут нічого не дає",
    ),
    (
        "take `identifiers` away; a number or an email of theirs is a field: `contact: { fields: … }`",
        "приберіть `identifiers`; номер чи пошта людини — це поле: `contact: { fields: … }`",
    ),
    // Postbacks.
    (
        "`on` is for postbacks, and this source receives none",
        "`on` потрібен для постбеків, а це джерело їх не отримує",
    ),
    (
        "use `when:`, or `source: { preset: postback }` where a network reports by click id",
        "скористайтеся `when:`, або `source: { preset: postback }`, якщо мережа звітує за ідентифікатором кліку",
    ),
    (
        "`postback` is for sources with `preset: postback`",
        "`postback` буває лише в джерел із `preset: postback`",
    ),
    (
        "take it away, or write `source: { preset: postback, … }`",
        "приберіть його або напишіть `source: { preset: postback, … }`",
    ),
    (
        "{} has no placeholder, so it would be the same in every postback",
        "{1}: немає підстановки, тож у кожному постбеку було б те саме",
    ),
    (
        "write where it stands in the request: \"{{ sub2 }}\"",
        "напишіть, де це стоїть у запиті: \"{{ sub2 }}\"",
    ),
    (
        "`postback.campaign` does not say which campaign counts (`only`)",
        "`postback.campaign` не каже, яка кампанія рахується (`only`)",
    ),
    (
        "write `campaign: { only: summer, value: \"{{ sub3 }}\" }`",
        "напишіть `campaign: { only: summer, value: \"{{ sub3 }}\" }`",
    ),
    ("`on: {}` names no event: {}", "`on: {1}` не називає події: {2!}"),
    (
        "write the name of the event, such as `sale`, or `resale#2` for the second of a person",
        "напишіть назву події, наприклад `sale`, або `resale#2` для другої такої в людини",
    ),
    ("there is no name", "назви немає"),
    ("events are counted from 1", "події рахують з 1"),
    ("what follows `#` is no number", "після `#` стоїть не число"),
    (
        "no postback can reach `{}`: `{}` before it takes the same events",
        "до `{1}` не дійде жоден постбек: `{2}` перед ним забирає ті самі події",
    ),
    (
        "give `{}` a `when:`, or make one entry of the two",
        "задайте для `{1}` умову `when:` або зробіть із двох записів один",
    ),
    // Tests.
    ("this test has no `given`", "у цього тесту немає `given`"),
    (
        "write `given: ../fixtures/sendpulse/new_lead.json`",
        "напишіть `given: ../fixtures/sendpulse/new_lead.json`",
    ),
    ("this test expects nothing", "цей тест нічого не очікує"),
    (
        "write what should come of it: `expect: { phone: \"+380671234567\" }`",
        "напишіть, що має вийти: `expect: { phone: \"+380671234567\" }`",
    ),
    (
        "`ordinal` counts from 1: 2 is the second postback of this event",
        "`ordinal` рахують з 1: 2 — це другий постбек цієї події",
    ),
    ("filtered by `{}`, expected `{}`: {}", "відсіяно за `{1}`, а очікували `{2}`: {3~}"),
    ("filtered ({}): {}", "відсіяно ({1}): {2~}"),
    ("needs attention: {}", "потребує уваги: {1~}"),
    (
        "made a lead in branch `{}`, expected it to be filtered",
        "вийшов лід у гілці `{1}`, а очікували, що подію буде відсіяно",
    ),
    ("field `{}` is {}, expected {}", "поле `{1}`: вийшло {2}, очікували {3}"),
    ("`{}` of the person is {}, expected {}", "`{1}` людини: вийшло {2}, очікували {3}"),
    ("the plan is [{}], expected [{}]", "план: вийшло [{1}], очікували [{2}]"),
    ("the calls are [{}], expected [{}]", "виклики: вийшло [{1}], очікували [{2}]"),
    ("branch is `{}`, expected `{}`", "гілка: вийшло `{1}`, очікували `{2}`"),
];
