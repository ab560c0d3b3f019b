//! Access: users and access tokens, and what each may.

use axum::extract::{Query, State};
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Form, Router};
use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, done, key, page, role};
use crate::access::password::{self, Password};
use crate::access::{AccessError, Name, Role};
use crate::operation::ask;
use crate::operation::tokens::{AddToken, Added, LookAtTokens, RemoveToken};
use crate::operation::users::{AddUser, ChangeRole, LookAtUsers, RemoveUser, SetPassword};
use crate::store::access::{AccessToken, User};

/// What was done, in the address that a form leads back to.
const DONE: &[(&str, &str, &str)] = &[
    ("added", "The user is added and can sign in.", "Користувача додано, тепер він може увійти."),
    (
        "role",
        "The role is changed. It counts from their next click on.",
        "Роль змінено. Вона діє з наступного кліку.",
    ),
    (
        "password",
        "The password is changed, and they are signed out everywhere.",
        "Пароль змінено, усі сеанси завершено.",
    ),
    ("removed", "The user is removed and signed out.", "Користувача вилучено, його сеанси завершено."),
    (
        "token-removed",
        "The token is removed. Whatever uses it is refused from now on.",
        "Токен вилучено. Усе, що ним користується, отримає відмову.",
    ),
];

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/access", get(show))
        .route("/access/users/add", post(add_user))
        .route("/access/users/role", post(change_role))
        .route("/access/users/password", post(set_password))
        .route("/access/users/remove", post(remove_user))
        .route("/access/tokens/add", post(add_token))
        .route("/access/tokens/remove", post(remove_token))
}

#[derive(Deserialize)]
struct Asked {
    done: Option<String>,
}

/// A form about a user or a token.
#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    key: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    role: String,
}

impl Given {
    fn name(&self) -> Result<Name, Failure> {
        self.name.parse().map_err(Failure::Access)
    }

    /// A word that is no role comes from no form of ours.
    fn role(&self) -> Result<Role, Failure> {
        Role::parse(&self.role).ok_or(Failure::Forged)
    }
}

async fn show(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    list(&console, &reader, asked.done.as_deref(), None).await
}

async fn add_user(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    let (name, role) = (given.name()?, given.role()?);
    let add = AddUser { name, role, password: Password(given.password) };
    ask(add, &reader.caller, &console.means).await?;
    Ok(Redirect::to("/access?done=added"))
}

async fn change_role(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    let change = ChangeRole { name: given.name()?, role: given.role()? };
    ask(change, &reader.caller, &console.means).await?;
    Ok(Redirect::to("/access?done=role"))
}

async fn set_password(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    let set = SetPassword { name: given.name()?, password: Password(given.password) };
    ask(set, &reader.caller, &console.means).await?;
    Ok(Redirect::to("/access?done=password"))
}

async fn remove_user(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    ask(RemoveUser { name: given.name()? }, &reader.caller, &console.means).await?;
    Ok(Redirect::to("/access?done=removed"))
}

/// Answers with the page itself: the token is in no address, and is seen once.
async fn add_token(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Markup, Failure> {
    reader.believe(&given.key)?;
    let add = AddToken { name: given.name()?, role: given.role()? };
    let added = ask(add, &reader.caller, &console.means).await?;
    list(&console, &reader, None, Some(&added)).await
}

async fn remove_token(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    ask(RemoveToken { name: given.name()? }, &reader.caller, &console.means).await?;
    Ok(Redirect::to("/access?done=token-removed"))
}

async fn list(
    console: &Console,
    reader: &Reader,
    what: Option<&str>,
    added: Option<&Added>,
) -> Result<Markup, Failure> {
    let users = ask(LookAtUsers {}, &reader.caller, &console.means).await?.users;
    let tokens = ask(LookAtTokens {}, &reader.caller, &console.means).await?.tokens;
    let content = html! {
        (done(reader, what, DONE))
        @if let Some(added) = added { (shown_once(reader, added)) }
        p { a href="/access/actions" { (reader.say("Audit log: who changed what", "Журнал дій: хто що змінив")) } }
        h2 #users { (reader.say("Users", "Користувачі")) }
        (table_of_users(reader, &users))
        (form_for_user(reader))
        h2 #tokens { (reader.say("Access tokens", "Токени доступу")) }
        p.hint { (reader.say(
            "For programs that use the API. The token that leadfold was started with may everything and is not listed here.",
            "Для програм, що працюють через API. Токен, із яким запущено leadfold, може все і сюди не входить.",
        )) }
        (table_of_tokens(reader, &tokens))
        (form_for_token(reader))
    };
    Ok(page(reader, Some(Section::Access), Section::Access.name(reader), &content))
}

fn shown_once(reader: &Reader, added: &Added) -> Markup {
    html! {
        div.message.good role="status" {
            (reader.say("Copy the token of ", "Скопіюйте токен ")) b { (added.name) }
            (reader.say(" now: nobody can see it again.", " зараз: більше його ніхто не побачить."))
            pre tabindex="0" { code { (added.token) } }
        }
    }
}

fn table_of_users(reader: &Reader, users: &[User]) -> Markup {
    if users.is_empty() {
        return html! { p.message { (reader.say("Nobody signs in with a password yet. Add the first user below.", "Ще ніхто не входить із паролем. Додайте першого користувача нижче.")) } };
    }
    let rows = users.iter().map(|user| {
        let is_reader = user.name == reader.caller.name;
        Row {
            name: html! { b { (user.name) } @if is_reader { " " span.badge { (reader.say("you", "це ви")) } } },
            role: form_for_role(reader, user),
            since: user.created_at,
            change: html! {
                @if is_reader {
                    a href="/account" { (reader.say("My account", "Мій обліковий запис")) }
                } @else {
                    (form_for_password(reader, &user.name))
                    (form_to_remove(reader, "/access/users/remove", &user.name))
                }
            },
        }
    });
    table(reader, reader.say("Name", "Ім’я"), rows)
}

fn table_of_tokens(reader: &Reader, tokens: &[AccessToken]) -> Markup {
    if tokens.is_empty() {
        return html! { p.message { (reader.say("There is no token. Programs need one, people do not.", "Токенів немає. Вони потрібні програмам, а не людям.")) } };
    }
    let rows = tokens.iter().map(|token| Row {
        name: html! { b { (token.name) } },
        role: html! { (role(reader, token.role)) },
        since: token.created_at,
        change: form_to_remove(reader, "/access/tokens/remove", &token.name),
    });
    table(reader, reader.say("Name", "Назва"), rows)
}

/// A user or a token.
struct Row {
    name: Markup,
    role: Markup,
    since: jiff::Timestamp,
    change: Markup,
}

fn table(reader: &Reader, name: &str, rows: impl Iterator<Item = Row>) -> Markup {
    let may = reader.say("Role", "Роль");
    let since = reader.say("Since", "Відколи");
    let change = reader.say("Change", "Змінити");
    html! {
        div.scroll { table.cards {
            thead { tr { @for each in [name, may, since, change] { th scope="col" { (each) } } } }
            tbody { @for row in rows { tr {
                td data-name=(name) { (row.name) }
                td data-name=(may) { (row.role) }
                td data-name=(since) { time datetime=(row.since) { (reader.day(row.since)) } }
                td data-name=(change) { (row.change) }
            } } }
        } }
    }
}

fn roles(reader: &Reader, chosen: Role) -> Markup {
    html! { @for each in Role::GIVEN { option value=(each) selected[each == chosen] { (role(reader, each)) } } }
}

fn form_for_role(reader: &Reader, user: &User) -> Markup {
    let label = reader.say("Role of ", "Роль: ");
    html! {
        form.inline method="post" action="/access/users/role" {
            (key(reader))
            input type="hidden" name="name" value=(user.name);
            select name="role" aria-label={ (label) (user.name) } { (roles(reader, user.role)) }
            button.quiet { (reader.say("Save", "Зберегти")) }
        }
    }
}

fn form_for_password(reader: &Reader, name: &str) -> Markup {
    html! {
        details {
            summary aria-label={ (reader.say("New password: ", "Новий пароль: ")) (name) } { (reader.say("New password", "Новий пароль")) }
            form.inline method="post" action="/access/users/password" {
                (key(reader))
                input type="hidden" name="name" value=(name);
                input name="password" type="password" required minlength=(password::SHORTEST) autocomplete="new-password"
                    aria-label={ (reader.say("New password of ", "Новий пароль: ")) (name) };
                button.second { (reader.say("Set it", "Задати")) }
            }
        }
    }
}

/// What cannot be undone is asked for twice, without a script.
fn form_to_remove(reader: &Reader, action: &str, name: &str) -> Markup {
    html! {
        details {
            summary aria-label={ (reader.say("Remove: ", "Вилучити: ")) (name) } { (reader.say("Remove", "Вилучити")) }
            form.inline method="post" action=(action) {
                (key(reader))
                input type="hidden" name="name" value=(name);
                button.danger { (reader.say("Remove for good", "Вилучити назавжди")) ": " (name) }
            }
        }
    }
}

fn form_for_user(reader: &Reader) -> Markup {
    html! {
        form.sheet method="post" action="/access/users/add" {
            h3 { (reader.say("Add a user", "Додати користувача")) }
            (key(reader))
            div.filters {
                label { (reader.say("Name", "Ім’я")) input name="name" required maxlength=(Name::LONGEST) autocomplete="off" autocapitalize="none"; }
                label { (reader.say("Password", "Пароль")) input name="password" type="password" required minlength=(password::SHORTEST) autocomplete="new-password"; }
                label { (reader.say("Role", "Роль")) select name="role" { (roles(reader, Role::Viewer)) } }
                button { (reader.say("Add", "Додати")) }
            }
            p.hint { (reader.say(
                "A viewer sees everything but secrets. An operator also replays leads and says who is who. An admin also changes mappings, erases, and gives access.",
                "Спостерігач бачить усе, крім секретів. Оператор ще повторює ліди й вирішує, хто є хто. Адміністратор ще змінює мапінги, стирає дані й дає доступ.",
            )) }
        }
    }
}

fn form_for_token(reader: &Reader) -> Markup {
    html! {
        form.sheet method="post" action="/access/tokens/add" {
            h3 { (reader.say("Make a token", "Створити токен")) }
            (key(reader))
            div.filters {
                label { (reader.say("Name, such as crm-export", "Назва, наприклад crm-export")) input name="name" required maxlength=(Name::LONGEST) autocomplete="off" autocapitalize="none"; }
                label { (reader.say("Role", "Роль")) select name="role" { (roles(reader, Role::Viewer)) } }
                button { (reader.say("Make", "Створити")) }
            }
        }
    }
}

/// Why it is not done, and what to do.
pub(super) fn why_not(reader: &Reader, error: AccessError) -> &'static str {
    match error {
        AccessError::Name => reader.say(
            "A name is 1 to 64 letters, digits or . - _ @ +, such as olena or crm-export. Go back and write another.",
            "Ім’я — це від 1 до 64 літер, цифр або . - _ @ +, наприклад olena чи crm-export. Поверніться й напишіть інше.",
        ),
        AccessError::Taken => reader.say(
            "A user or a token has this name already. Go back and take another.",
            "Це ім’я вже має користувач або токен. Поверніться й візьміть інше.",
        ),
        AccessError::Unknown => reader.say(
            "Nobody has this name any more. Load the page of access again.",
            "Такого імені вже немає. Оновіть сторінку доступу.",
        ),
        AccessError::ShortPassword => reader.say(
            "The password is too short: take at least 12 characters, such as four words.",
            "Пароль закороткий: потрібно щонайменше 12 символів, наприклад чотири слова.",
        ),
        AccessError::LongPassword => reader.say(
            "The password is longer than 1024 bytes. Take a shorter one.",
            "Пароль довший за 1024 байти. Візьміть коротший.",
        ),
        AccessError::WrongPassword => reader.say(
            "The old password is wrong. Whoever forgot it asks an admin for a new one.",
            "Старий пароль неправильний. Якщо забули його, попросіть адміністратора задати новий.",
        ),
        AccessError::TooOften => {
            reader.say("Too many tries. Wait a minute, then try again.", "Забагато спроб. Зачекайте хвилину і спробуйте знову.")
        }
        AccessError::LastAdmin => reader.say(
            "This is the last admin, and leadfold was started without a token, so nobody could give access any more. Make another admin first.",
            "Це останній адміністратор, а leadfold запущено без токена, тож ніхто більше не зміг би дати доступ. Спершу додайте іншого адміністратора.",
        ),
        AccessError::OwnPassword => reader.say(
            "This is your own password. Change it in your account, where the old one is asked for.",
            "Це ваш власний пароль. Змініть його у своєму обліковому записі: там спитають старий.",
        ),
        AccessError::NoPassword => reader.say(
            "Whoever comes with a token has no password. An admin can remove the token and make another.",
            "Хто входить із токеном, пароля не має. Адміністратор може вилучити токен і створити інший.",
        ),
    }
}
