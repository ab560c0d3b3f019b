//! Why a lead becomes what it becomes: which contact, which deal, whose turn, what is written. And what stands or was done by
//! hand.
//!
//! Said by `decide`, `store`, `alerts` and `operation`.

use super::Shape;

pub(super) const SHAPES: &[Shape] = &[
    // Two reasons in one.
    ("{} Besides: {}", "{1~} До того ж: {2~}"),
    // Which contact and which deal.
    (
        "Contact {} is the one that this person was brought to before.",
        "Це контакт {1}, до якого людину вже передавали.",
    ),
    ("Contact {} has this person's {}.", "У контакту {1} збігається {2}."),
    (
        "The CRM answered with contact {} for this person.",
        "На пошук цієї людини CRM відповіла контактом {1}.",
    ),
    (
        "Several contacts match: {} was taken, because {}. Left alone, and worth merging in the CRM: {}.",
        "Підходить кілька контактів: взято {1}, бо {2}. Решту не чіпаємо, їх варто об’єднати в CRM: {3}.",
    ),
    (
        "Contact {} has no open deal, but contact {} of the same person has deal {}, so there is no second one.",
        "У контакту {1} немає відкритої угоди, але в контакту {2} тієї ж людини є угода {3}, тож другої не створюємо.",
    ),
    (
        "Contact {} has no open deal, but contact {} of the same person has deal {}.",
        "У контакту {1} немає відкритої угоди, але в контакту {2} тієї ж людини є угода {3}.",
    ),
    ("Contact {} has no open deal.", "У контакту {1} немає відкритої угоди."),
    (
        "Contact {} has open deal {}, so there is no second one.",
        "У контакту {1} є відкрита угода {2}, тож другої не створюємо.",
    ),
    ("Contact {} has open deal {}.", "У контакту {1} є відкрита угода {2}."),
    (
        "Several deals are open: {} was taken, because it is the newest (of the lead's pipeline, where there is one). Left alone: {}.",
        "Відкритих угод кілька: взято {1}, найновішу (з воронки ліда, якщо така є). Решту не чіпаємо: {2}.",
    ),
    (
        "Nobody in the CRM is this person: a contact and a deal are created.",
        "Цієї людини в CRM ще немає: створюємо контакт і угоду.",
    ),
    (
        "Nobody in the CRM is this person: a contact is created.",
        "Цієї людини в CRM ще немає: створюємо контакт.",
    ),
    (
        "The phone says contact {}, the email says contact {}.",
        "Телефон вказує на контакт {1}, пошта — на контакт {2}.",
    ),
    // Who is responsible.
    (
        "A new deal goes to {}, who is responsible for contact {}.",
        "Відповідальний за нову угоду — {1}, бо веде контакт {2}.",
    ),
    (
        "{}, who is responsible for contact {}, is inactive in the CRM and gets nothing new.",
        "Контакт {2} веде {1}, але цей користувач у CRM неактивний і нового не отримує.",
    ),
    (
        "{}, who is responsible for the {}, is inactive in the CRM and gets nothing new.",
        "Відповідальний — {1}, але цей користувач у CRM неактивний і нового не отримує.",
    ),
    (
        "The owner is {}, whose turn it was in pool {}. Skipped: {}.",
        "Відповідальний — {1}: така черга в пулі {2}. Пропущено: {3}.",
    ),
    ("The owner is {}, whose turn it was in pool {}.", "Відповідальний — {1}: така черга в пулі {2}."),
    (
        "{} of pool {} was picked for this lead earlier and keeps it: no new turn.",
        "Лід лишається за {1} з пулу {2}: відповідального вже обрано раніше, черга не зсувається.",
    ),
    (
        "Nobody of pool {} is available ({}): the owner is {}, the fallback of the pool.",
        "У пулі {1} нікого немає ({2}): відповідальний запасний — {3}.",
    ),
    (
        "Nobody of owner pool {} is available ({}): the lead waits until {} works, {}.",
        "У пулі {1} зараз нікого немає ({2}): лід чекає, доки вийде на роботу {3}.",
    ),
    (
        "No owner pool is named: the CRM decides who is responsible.",
        "Пул відповідальних не задано: відповідального визначає CRM.",
    ),
    (
        "The workspace has no owner pool {}: the CRM decides who is responsible.",
        "У налаштуваннях немає пулу {1}: відповідального визначає CRM.",
    ),
    // What is written.
    ("The lead changes contact {} and deal {}: {}.", "Лід змінює контакт {1} і угоду {2}: {3}."),
    ("The lead changes contact {}: {}.", "Лід змінює контакт {1}: {2}."),
    ("The lead changes deal {}: {}.", "Лід змінює угоду {1}: {2}."),
    (
        "The person came back: a task for nobody in particular, because {}.",
        "Людина повернулася: ставимо завдання без відповідального, бо його немає.",
    ),
    (
        "The person came back: a task for {}, who is responsible for the {}.",
        "Людина повернулася: завдання отримує {1}.",
    ),
    ("The person came back: a task for {}.", "Людина повернулася: завдання отримує {1}."),
    (
        "The person came back within {} of the task left at {}: no second task.",
        "Людина повернулася невдовзі після завдання ({2}): другого не ставимо.",
    ),
    (
        "One earlier lead of this person, kept until now, go along and add: {}.",
        "Разом іде попередній лід цієї людини, що чекав; він додає: {1}.",
    ),
    (
        "{} earlier leads of this person, kept until now, go along and add: {}.",
        "Разом ідуть попередні ліди цієї людини ({1}), що чекали; вони додають: {2}.",
    ),
    ("'{}' is called: {} in the person's {} chat.", "Викликаємо {1}: {2}, у чаті {3}."),
    (
        "'{}' is called: {} in the chat that the mapping names.",
        "Викликаємо {1}: {2}, у чаті, який називає мапінг.",
    ),
    ("'{}' is called: {}.", "Викликаємо {1}: {2}."),
    (
        "`{}` has nobody to go to: the person blocked the bot ('{}').",
        "Дію {1} нікому виконати: людина заблокувала бота {2}.",
    ),
    (
        "`{}` has nobody to go to: the person has no chat there ('{}').",
        "Дію {1} нікому виконати: у людини немає чату з {2}.",
    ),
    ("the condition (`when`) of no branch holds: {}", "Не виконалася умова (when) жодної гілки: {1}."),
    // What people did.
    ("Replayed on {} ({}).", "Повторено {1}."),
    ("Mapped and planned again on {} by version {}.", "Зіставлено і сплановано заново {1} за версією {2}."),
    (
        "Held while '{}' was only observed; pushed on {}.",
        "Було затримано, доки {1} лише спостерігало; передано {2}.",
    ),
    // What stands.
    (
        "Leads wait for destination '{}' longer than {}: the oldest came on {}.",
        "Ліди для {1} чекають довше за {2}: найстаріший прийшов {3}.",
    ),
    (
        "Requests wait longer than {} to become leads: the oldest came on {}. Look at the log of the server.",
        "Запити чекають довше за {1}, щоб стати лідами: найстаріший прийшов {2}. Гляньте в журнал сервера.",
    ),
    (
        "Nothing came from source '{}' for longer than {}: the last request came on {}. Look whether the bot works and still posts here.",
        "Від джерела {1} нічого немає довше за {2}: останній запит прийшов {3}. Перевірте, чи працює бот і чи надсилає ще сюди.",
    ),
    // What somebody may not.
    (
        "this takes the role {}, and {} has the role {}. An admin can give another: `{}`",
        "Для цього потрібна роль «{1}», а в {2} — «{3}». Іншу роль може дати адміністратор у розділі «Доступ».",
    ),
    // What a replay would do.
    ("branch '{}', to {}", "гілка {1}, до {2}"),
    ("waits for somebody with its click id", "чекає на людину з таким ідентифікатором кліку"),
    // Rate budgets, as vendors say them.
    ("at most {} calls in {}s", "щонайбільше {1} запитів за {2} с"),
    ("{} calls a second, {} of them at once", "{1} запитів за секунду, з них {2} одразу"),
    // Which contact and which deal, when it is not as usual.
    (
        "Deal {} does not count as open by the rules: it is in pipeline {}.",
        "Угода {1} за правилами не вважається відкритою: вона у воронці {2}.",
    ),
    (
        "Deal {} does not count as open by the rules: it is in stage {}.",
        "Угода {1} за правилами не вважається відкритою: вона на етапі {2}.",
    ),
    (
        "Deal {} does not count as open by the rules: it is {} days old.",
        "Угода {1} за правилами не вважається відкритою: їй стільки днів: {2}.",
    ),
    (
        "Contact {} is the same person as contact {}: who is responsible is asked to merge them.",
        "Контакти {1} і {2} — одна людина: відповідального просимо їх об’єднати.",
    ),
    (
        "Contacts {} in '{}' are of one human; they were there before that was known. This lead is in the CRM, and the next ones go to contact {}. Merge them there, best into {}, then `leadfold replay {} --resume`.",
        "Контакти {1} у {2} — це одна людина; вони з’явилися раніше, ніж це стало відомо. Цей лід уже в CRM, наступні йтимуть у контакт {3}. Об’єднайте їх там, найкраще в {4}, потім `leadfold replay {5} --resume`.",
    ),
    (
        "Contact {} in '{}' also holds an identifier of this person, and belongs to person {}.",
        "У контакті {1} у {2} теж є ідентифікатор цієї людини, а належить він людині {3}.",
    ),
    (
        "The person also has contact {} in '{}', made before it was known that two people are one; the lead goes to {}, the older.",
        "У людини є ще контакт {1} у {2}: його створено, коли ще не було відомо, що двоє — одна людина. Лід іде у старіший, {3}.",
    ),
    (
        "Somebody asked for this lead's deal whatever the rules say, beside open deal {}.",
        "Угоду для цього ліда створюємо на вимогу, попри правила, поряд із відкритою угодою {1}.",
    ),
    (
        "Somebody asked for this lead's deal whatever the rules say.",
        "Угоду для цього ліда створюємо на вимогу, попри правила.",
    ),
    // What is kept.
    (
        "no {}: kept, and goes along with this person's first lead that has one ({})",
        "Бракує: {1}. Лід збережено, він піде разом із першим лідом цієї людини, де це буде. ({2~})",
    ),
    (
        "no {}: kept, and goes along with this person's first lead that has one",
        "Бракує: {1}. Лід збережено, він піде разом із першим лідом цієї людини, де це буде.",
    ),
    (
        "it was brought here before, and its contact is not in the CRM any more: nothing is made a second time; replay it with --force to make contact and deal anew",
        "Цей лід уже передавали, але його контакту в CRM більше немає: вдруге нічого не створюємо. Щоб створити контакт і угоду заново, повторіть лід із --force.",
    ),
    (
        "Deal {} keeps its {}: `update: all` does not move an open deal, only a policy for {} does.",
        "Угода {1}: {2} без змін. `update: all` не пересуває відкритих угод, для цього потрібне окреме правило для цього поля.",
    ),
    (
        "Nobody of pool {} works now, and its deals do not wait for that (outside_hours: anyone): the owner is {}, whose turn it was. Skipped: {}.",
        "У пулі {1} зараз ніхто не працює, а угоди на це не чекають (outside_hours: anyone): відповідальний — {2}, чия черга. Пропущено: {3}.",
    ),
    (
        "Nobody of pool {} works now, and its deals do not wait for that (outside_hours: anyone): the owner is {}, whose turn it was.",
        "У пулі {1} зараз ніхто не працює, а угоди на це не чекають (outside_hours: anyone): відповідальний — {2}, чия черга.",
    ),
    (
        "Nobody of owner pool {} is available ({}), and nobody can tell when that changes: the lead waits until somebody is back, or until the pool gets a `fallback` who is active.",
        "У пулі {1} нікого немає ({2}), і невідомо, коли це зміниться: лід чекає, доки хтось повернеться або в пулу з’явиться активний запасний (`fallback`).",
    ),
    (
        "{} Find out whose lead this is, correct or merge the contacts in the CRM, then replay the lead (`leadfold replay <lead> --resume`); or let the stronger identifier decide by `conflict: prefer_first` in the mapping's rules.",
        "{1~} З’ясуйте, чий це лід, виправте або об’єднайте контакти в CRM, потім повторіть лід (`leadfold replay <lead> --resume`); або хай вирішує надійніший ідентифікатор: `conflict: prefer_first` у правилах мапінгу.",
    ),
    ("Would write nothing: the CRM has everything.", "Нічого не записали б: у CRM усе є."),
    ("Would do: {}.", "Зробили б таке: {1}."),
    // What is not done, and why.
    (
        "The rules never create a deal (create_deal: never).",
        "За правилами угоди не створюються (create_deal: never).",
    ),
    (
        "This CRM has no tasks: a note says that the person came back.",
        "У цій CRM немає завдань: про повторне звернення скаже примітка.",
    ),
    (
        "This CRM has neither tasks nor notes: nothing there says that the person came back.",
        "У цій CRM немає ні завдань, ні приміток: про повторне звернення там ніщо не скаже.",
    ),
    (
        "This CRM takes no notes: the note stands in the task.",
        "Ця CRM не приймає приміток: текст стоїть у завданні.",
    ),
    (
        "This CRM takes no notes: the note's text stays with the lead, here.",
        "Ця CRM не приймає приміток: текст лишається тут, при ліді.",
    ),
    (
        "This CRM has no deals: what the deal would have said becomes a note.",
        "У цій CRM немає угод: текст угоди стане приміткою.",
    ),
    (
        "This lead was brought here before: it leaves no second deal and no task.",
        "Цей лід уже передавали: ні другої угоди, ні завдання він не лишає.",
    ),
    (
        "The person came back; the rules leave no task for that (task_on_repeat: false).",
        "Людина повернулася; за правилами завдання не ставимо (task_on_repeat: false).",
    ),
    ("The CRM has everything that the lead says.", "У CRM уже є все, що каже лід."),
    (
        "The lead differs from the CRM, and the rules leave records as they are (update: none).",
        "Лід відрізняється від CRM, а правила не змінюють записів (update: none).",
    ),
    (
        "The lead differs from the CRM, which has no way to change the record: it stays as it is.",
        "Лід відрізняється від CRM, але ця CRM не дає змінити запис: він лишається як є.",
    ),
    (
        "The lead differs from the CRM only where the rules keep the CRM's value.",
        "Лід відрізняється від CRM лише там, де правила бережуть дані CRM.",
    ),
    (
        "nobody in the CRM is this person, and the rules only update what exists (create_deal: never)",
        "Цієї людини в CRM немає, а правила дозволяють лише оновлювати (create_deal: never).",
    ),
    ("The lead brings a note.", "Лід приносить примітку."),
    ("Nothing is to be called.", "Викликати нічого."),
    ("Somebody said that these two are one human.", "Хтось сказав, що це одна людина."),
    ("Everything personal was erased.", "Усе особисте стерто."),
    (
        "The active mapping does not send this lead there any more.",
        "Чинний мапінг більше не надсилає цей лід сюди.",
    ),
    // Calls of bots.
    (
        "`{}` for '{}' names a chat and nothing came out of it, so it goes to nobody; look at `chat` in the mapping.",
        "`{1}` для {2} називає чат, але підстановка порожня, тож виклик не йде нікому; перевірте `chat` у мапінгу.",
    ),
    (
        "The condition (`when`) of no call for '{}' holds.",
        "Не виконалася умова (`when`) жодного виклику {1}.",
    ),
    (
        "No call for '{}' says the PIN as it is: write `{{ pin }}` without a filter, and not by way of a variable, then let the visitor ask for another one.",
        "Жоден виклик {1} не передає PIN як є: впишіть `{{ pin }}` без фільтра й не через змінну, і хай відвідувач попросить інший.",
    ),
    (
        "Nobody waits for this PIN any more: one was sent, or the link was used or has ended, or it took too long. The visitor asks the site for another one.",
        "На цей PIN уже ніхто не чекає: інший надіслано, посилання використано чи воно закінчилося, або минуло забагато часу. Новий відвідувач попросить на сайті.",
    ),
    (
        "A PIN goes into the chat of its link only, and this call would take it to another one; take `chat` out of the call.",
        "PIN іде лише в чат свого посилання, а цей виклик надіслав би його в інший; приберіть `chat` із виклику.",
    ),
    (
        "The mapping that made this lead (version {}) can no longer be read; `leadfold replay {} --replan` maps it by the active one.",
        "Мапінг, за яким зроблено лід (версія {1}), уже не читається; `leadfold replay {2} --replan` зіставить його за чинним.",
    ),
    // What was done by hand.
    (
        "Held while '{}' was only observed, and skipped on {}. `leadfold replay <lead> --resume` brings it there after all.",
        "Було затримано, доки {1} лише спостерігало, і пропущено {2}. Щоб таки передати: `leadfold replay <lead> --resume`.",
    ),
    ("Everything personal was erased on {}; it was {}.", "Усе особисте стерто {1}; до того стан був: {2}."),
    // What stands, and who is told of it.
    (
        "Destination '{}' is paused: {}. Its queue is kept and goes on by itself.",
        "Призначення {1} призупинено: {2~}. Черга збережена й піде далі сама.",
    ),
    ("Requests of source '{}' could not be read: {}", "Запити джерела {1} не вдалося прочитати: {2~}"),
    ("Requests of source '{}' wait for their mapping: {}", "Запити джерела {1} чекають на мапінг: {2~}"),
    (
        "Destination '{}' is live, and more than {} leads that were held while it was only observed wait for an answer: `{}` or `--skip`. New leads go on.",
        "Призначення {1} увімкнено, а рішення чекає понад {2} лідів, затриманих у режимі спостереження: `{3}` або `--skip`. Нові ліди йдуть далі.",
    ),
    (
        "Destination '{}' is live, and {} leads that were held while it was only observed wait for an answer: `{}` or `--skip`. New leads go on.",
        "Призначення {1} увімкнено, а рішення чекають ліди, затримані в режимі спостереження ({2}): `{3}` або `--skip`. Нові ліди йдуть далі.",
    ),
    ("filtered: {}", "відсіяно: {1~}"),
    ("left alone: {}", "не чіпаємо: {1~}"),
    (
        "the body of its request was removed by retention on {}",
        "тіло запиту видалено за строком зберігання {1}",
    ),
    ("its request is not kept any more", "його запит уже не зберігається"),
    ("its request holds fewer events than before", "у його запиті менше подій, ніж було"),
    (
        "somebody said that this postback is a repeat; `leadfold postbacks count` first",
        "хтось позначив цей постбек як повтор; спершу `leadfold postbacks count`",
    ),
    (
        "the active mapping makes no lead of its request, so it is left alone",
        "за чинним мапінгом із його запиту лід не виходить, тож його не чіпаємо",
    ),
];
