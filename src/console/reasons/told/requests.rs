//! Why a request could not be read, why it waits, and what became of postbacks.
//!
//! Said by `event`, `receive`, `prepare` and `pipeline`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // Bodies.
    (
        "the body is empty, and this source reads JSON; check what the platform is set to send",
        "Тіло запиту порожнє, а це джерело читає JSON. Перевірте, що надсилає платформа.",
    ),
    (
        "the body is not JSON: {}; check the body that the platform is set to send, or choose `preset: form` if it sends form fields",
        "Тіло запиту — не JSON. Перевірте, що надсилає платформа, або виберіть `preset: form`, якщо вона надсилає поля форми. Деталі: {1~}",
    ),
    (
        "the body is JSON nested deeper than {} levels; no lead looks like that, so it was not read",
        "JSON у тілі запиту вкладено глибше, ніж на {1} рівнів; ліди такими не бувають, тож його не читали.",
    ),
    (
        "the request has more than {} fields; no form does, so it was not read",
        "У запиті понад {1} полів; у форм стільки не буває, тож його не читали.",
    ),
    (
        "the body is a list of {} events and one request may hold {}; send shorter lists",
        "У тілі запиту список із {1} подій, а в одному запиті може бути {2}; надсилайте коротші списки.",
    ),
    (
        "the request has no fields, neither in its body nor in its query; check what the platform is set to send",
        "У запиті немає полів: ні в тілі, ні в параметрах. Перевірте, що надсилає платформа.",
    ),
    (
        "the body is JSON, and this source reads form fields; choose `preset: json`",
        "Тіло запиту — JSON, а це джерело читає поля форми: виберіть `preset: json`.",
    ),
    (
        "the body is {}, and this source reads form fields; check what the platform is set to send",
        "Тіло запиту — {1}, а це джерело читає поля форми. Перевірте, що надсилає платформа.",
    ),
    (
        "the multipart body cannot be read: {}; it may have been cut off on the way",
        "Тіло multipart неможливо прочитати; можливо, його обірвало дорогою. Деталі: {1~}",
    ),
    // Platforms.
    (
        "the body is JSON, but neither a list of SendPulse events nor one event; is another platform calling this address?",
        "У тілі запиту JSON, але це не подія SendPulse і не список його подій. Може, на цю адресу надсилає інша платформа?",
    ),
    (
        "the body is JSON, but no update of the Telegram Bot API (it has no `update_id`); is another platform calling this address?",
        "У тілі запиту JSON, але це не оновлення Telegram Bot API (немає `update_id`). Може, на цю адресу надсилає інша платформа?",
    ),
    (
        "the body is JSON, but no list of activities of eSputnik; is another platform calling this address?",
        "У тілі запиту JSON, але це не список активностей eSputnik. Може, на цю адресу надсилає інша платформа?",
    ),
    (
        "the request has no parameters; a postback has them in its address: ?clickid=…&tracker.event=sale",
        "У запиті немає параметрів, а в постбека вони стоять в адресі: ?clickid=…&tracker.event=sale",
    ),
    ("a trigger is a JSON object with `data`", "Тригер викликають об’єктом JSON, у якому є `data`."),
    (
        "the body is no JSON object; send {\"tokens\": [ … ]}",
        "Тіло запиту — не об’єкт JSON; надішліть {\"tokens\": [ … ]}",
    ),
    ("`tokens` is empty; send at least one", "Список `tokens` порожній; надішліть хоча б один."),
    ("`tokens` is no list; send {\"tokens\": [ … ]}", "`tokens` — не список; надішліть {\"tokens\": [ … ]}"),
    (
        "the body has no `tokens`; send {\"tokens\": [ … ]}",
        "У тілі запиту немає `tokens`; надішліть {\"tokens\": [ … ]}",
    ),
    (
        "`tokens[{}]` is no object; send { \"token\": …, \"email\": … }, with at least one of contactId, externalCustomerId, phone and email",
        "`tokens[{1}]` — не об’єкт; надішліть { \"token\": …, \"email\": … }, де є хоча б щось із contactId, externalCustomerId, phone і email",
    ),
    ("`tokens[{}]` has no `token`", "`tokens[{1}]`: бракує `token`"),
    ("`tokens[{}]` has a `token` of more than {} bytes", "`tokens[{1}]`: `token` довший за {2} байтів"),
    (
        "`tokens[{}]` does not say whose it is: give at least one of contactId, externalCustomerId, phone and email",
        "`tokens[{1}]` не каже, чий це токен: передайте хоча б щось із contactId, externalCustomerId, phone і email",
    ),
    // Parts of a request that say less than they could.
    (
        "The request names no chat: write `chatid={chatId}` into the URL of the step \"Send webhook\".",
        "Запит не називає чату: впишіть `chatid={chatId}` в URL кроку «Send webhook».",
    ),
    (
        "The request has no click id (`subid={tracker.clickid}` in the URL of the step \"Send webhook\"), as when somebody opened the bot without a campaign of the tracker. No postback will ever find this person.",
        "У запиті немає ідентифікатора кліку (`subid={tracker.clickid}` в URL кроку «Send webhook»): так буває, коли бота відкрили не з кампанії трекера. Жоден постбек цієї людини не знайде.",
    ),
    (
        "The event names no Metabot lead (`lead_id`), so there is no chat to answer in; have the script send the id of its lead as `lead_id`.",
        "Подія не називає ліда Metabot (`lead_id`), тож відповідати немає в який чат; хай скрипт надсилає ідентифікатор свого ліда як `lead_id`.",
    ),
    (
        "The event has a contact, but not both `bot.id` and `service`. In another bot the same id is somebody else, so the chat is not used to tell who wrote.",
        "У події є контакт, але немає разом `bot.id` і `service`. В іншому боті той самий ідентифікатор — це хтось інший, тож за чатом людину не впізнаємо.",
    ),
    (
        "Somebody shared the contact of somebody else, so the number says nothing of who wrote.",
        "Надіслано чужий контакт, тож номер нічого не каже про того, хто писав.",
    ),
    (
        "The contact was forwarded or came through another bot, so Telegram does not vouch that the number is the writer's.",
        "Контакт переслано або він прийшов через іншого бота, тож Telegram не ручається, що це номер того, хто писав.",
    ),
    (
        "The shared contact has a number that is none of the international form.",
        "Номер у надісланому контакті не в міжнародному форматі.",
    ),
    (
        "This is a group or a channel of Telegram, where many write, so it is not used to tell who wrote.",
        "Це група або канал Telegram, де пишуть багато людей, тож за ним людину не впізнаємо.",
    ),
    (
        "This is no id of a Telegram user: a group, a channel or Telegram itself writes by it; check `identifiers.telegram_user`, which is `message.from.id` in Telegram's own webhooks.",
        "Це не ідентифікатор користувача Telegram: від нього пише група, канал або сам Telegram. Перевірте `identifiers.telegram_user`: у вебхуках Telegram це `message.from.id`.",
    ),
    (
        "The event does not say which bot the chat is in, and in another bot the same id is somebody else, so the chat is not used to tell who wrote; check `identifiers.chat.{}` of the mapping.",
        "Подія не каже, у якому боті чат, а в іншому боті той самий ідентифікатор — це хтось інший, тож за чатом людину не впізнаємо; перевірте `identifiers.chat.{1}` у мапінгу.",
    ),
    (
        "The event does not say which messenger the chat is in, so the chat is not used to tell who wrote; check `identifiers.chat.{}` of the mapping.",
        "Подія не каже, у якому месенджері чат, тож за чатом людину не впізнаємо; перевірте `identifiers.chat.{1}` у мапінгу.",
    ),
    ("the person blocked the bot", "людина заблокувала бота"),
    ("the person unsubscribed from the bot", "людина відписалася від бота"),
    ("a message was not delivered ({}): {}", "повідомлення не доставлено ({1}): {2~}"),
    ("{} was left out: {}:{}: {}", "Пропущено {1} ({2}:{3}): {4!}."),
    ("phone: {}; email: {}", "телефон: {1!} Пошта: {2!}"),
    ("phone: {}", "телефон: {1!}"),
    ("email: {}", "пошта: {1!}"),
    // What it waits for.
    ("the workspace has no source '{}' any more", "Джерела «{1}» в налаштуваннях більше немає."),
    ("source '{}' names no preset that exists", "Джерело «{1}» називає пресет, якого немає."),
    ("source '{}' has no token to check against", "У джерела «{1}» немає токена, щоб звірити."),
    ("its path token turned out to be wrong", "Токен в адресі виявився неправильним."),
    ("the source is paused in its mapping", "Джерело призупинено в його мапінгу."),
    ("the source is paused", "Джерело призупинено."),
    ("its leads could not be stored: {}", "Ліди з нього не вдалося зберегти: {1~}"),
    ("it cannot be read from the registry: {}", "Його неможливо прочитати з реєстру: {1~}"),
    (
        "leadfold failed on it; this is a bug: report it with the log of this time",
        "leadfold на ньому збився; це помилка в програмі: повідомте розробників і додайте журнал за цей час.",
    ),
    ("everything personal was erased on {}; it was {}", "Усе особисте стерто {1}; до того: {2~}"),
    ("what it became could not be stored: {}", "Те, чим він став, не вдалося зберегти: {1~}"),
    // Mappings that fail on an event.
    (
        "`{}` of branch `{}` could not be made: {}. Correct {} (or the data), then `leadfold replay --cause mapping_error --replan`.",
        "Не вийшло скласти `{1}` у гілці `{2}`: {3~}. Виправте {4} (або дані), потім `leadfold replay --cause mapping_error --replan`.",
    ),
    ("`{}` of branch `{}` could not be made: {}.", "Не вийшло скласти `{1}` у гілці `{2}`: {3~}."),
    (
        "`{}` could not be read: {}. Correct {} (or the data), then `leadfold replay --cause mapping_error --replan`.",
        "Не вийшло прочитати `{1}`: {2~}. Виправте {3} (або дані), потім `leadfold replay --cause mapping_error --replan`.",
    ),
    ("`{}` could not be read: {}.", "Не вийшло прочитати `{1}`: {2~}."),
    (
        "`{}` for '{}' of branch `{}` could not be made: {}. Correct {} (or the data), then `leadfold replay --cause call_error --replan`.",
        "Не вийшло скласти виклик `{1}` для {2} у гілці `{3}`: {4~}. Виправте {5} (або дані), потім `leadfold replay --cause call_error --replan`.",
    ),
    (
        "branch `{}` takes no lead whose phone is none (`if_invalid: reject`): {}",
        "Гілка `{1}` не бере лідів із непридатним телефоном (`if_invalid: reject`): {2~}",
    ),
    // Postbacks.
    (
        "The postback names no campaign, and this source counts only {} (`postback.campaign`).",
        "Постбек не називає кампанії, а це джерело рахує лише {1} (`postback.campaign`).",
    ),
    (
        "The postback names campaign '{}', and this source counts only {} (`postback.campaign`).",
        "Постбек з кампанії «{1}», а це джерело рахує лише {2} (`postback.campaign`).",
    ),
    (
        "The postback does not say what happened ({}). Check the address in the network, or say where it stands: `postback: { event: \"{{ … }}\" }`.",
        "Постбек не каже, що сталося ({1}). Перевірте адресу в мережі або вкажіть, де це стоїть: `postback: { event: \"{{ … }}\" }`.",
    ),
    (
        "The postback has no click id ({}) (\"{}\": {}), so nobody can say whose it is. Somebody who came to the bot without a campaign's link has none and cannot be tracked.",
        "У постбеку немає придатного ідентифікатора кліку ({1}) («{2}»: {3~}), тож не видно, чий він. Хто прийшов у бот не за посиланням кампанії, того не відстежити.",
    ),
    (
        "The postback has no click id ({}), so nobody can say whose it is. Somebody who came to the bot without a campaign's link has none and cannot be tracked.",
        "У постбеку немає ідентифікатора кліку ({1}), тож не видно, чий він. Хто прийшов у бот не за посиланням кампанії, того не відстежити.",
    ),
    (
        "The postback is counted, and no branch takes '{}' (number {} of this person): the source has `on:` for {}.",
        "Постбек пораховано, але жодна гілка не бере «{1}» (у цієї людини вже {2}-й): у джерела є `on:` для {3}.",
    ),
    (
        "The postback is counted, and no branch takes '{}': the source has `on:` for {}.",
        "Постбек пораховано, але жодна гілка не бере «{1}»: у джерела є `on:` для {2}.",
    ),
    (
        "The postback is counted, and cannot be mapped: {}. Then `leadfold replay --cause mapping_error --replan`.",
        "Постбек пораховано, але мапінг до нього не застосувати: {1~}. Виправте це, потім `leadfold replay --cause mapping_error --replan`.",
    ),
    (
        "the workspace has no such source any more; put its file back",
        "такого джерела в налаштуваннях більше немає; поверніть його файл",
    ),
    ("its source names no preset that exists", "його джерело називає пресет, якого немає"),
    ("its request holds nothing", "у його запиті нічого немає"),
    (
        "Nobody came with the click id of this postback until {}. When somebody does, `leadfold replay` lets it wait and be counted after all.",
        "До {1} ніхто не прийшов з ідентифікатором кліку цього постбека. Якщо прийде, `leadfold replay` дасть йому дочекатися й порахуватися.",
    ),
    (
        "Nobody has come with the click id of this postback, and {} postbacks of source '{}' wait already. Look whether the network sends click ids of another account; `leadfold replay` lets it wait after all.",
        "З ідентифікатором кліку цього постбека ніхто не приходив, а вже чекає стільки постбеків джерела «{2}»: {1}. Перевірте, чи мережа не надсилає кліки іншого акаунта; `leadfold replay` дасть йому чекати.",
    ),
    (
        "On {} somebody said that this postback is a repeat, before this had begun.",
        "{1} хтось позначив цей постбек як повтор, перш ніж це почалося.",
    ),
];
