//! What a reader has of their own: name, role, language, password.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use axum_extra::extract::CookieJar;
use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::guard::Reader;
use super::page::{Failure, done, key, languages, page, role};
use super::sign_in::begin;
use crate::access::password::{self, Password};
use crate::operation::ask;
use crate::operation::users::ChangeOwnPassword;
use crate::store::access::Holder;

const DONE: &[(&str, &str, &str)] = &[(
    "password",
    "Your password is changed. You are signed out everywhere but here.",
    "Пароль змінено. Усі ваші сеанси, крім цього, завершено.",
)];

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/account", get(show)).route("/account/password", post(change_password))
}

#[derive(Deserialize)]
struct Asked {
    done: Option<String>,
}

async fn show(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let has_password = console.means.store.password(&reader.caller.name).await?.is_some();
    let content = html! {
        (done(&reader, asked.done.as_deref(), DONE))
        dl {
            dt { (reader.say("Name", "Ім’я")) } dd { (reader.caller.name) }
            dt { (reader.say("Role", "Роль")) } dd { (role(&reader, reader.caller.role)) }
            dt { (reader.say("Time zone", "Часовий пояс")) } dd { (reader.zone_name()) }
            dt { (reader.say("Language", "Мова")) } dd { (languages(reader.language, "/account")) }
        }
        h2 { (reader.say("Password", "Пароль")) }
        @if has_password {
            (form_for_password(&reader))
        } @else {
            p { (reader.say(
                "You did not come with a password, so there is none to change.",
                "Ви увійшли не з паролем, тож змінювати нічого.",
            )) }
        }
    };
    Ok(page(&reader, None, reader.say("My account", "Мій обліковий запис"), &content))
}

fn form_for_password(reader: &Reader) -> Markup {
    html! {
        form method="post" action="/account/password" {
            (key(reader))
            // For password managers, which keep a password with its name.
            input type="text" name="name" value=(reader.caller.name) autocomplete="username" hidden readonly;
            label { (reader.say("Old password", "Старий пароль")) input name="old" type="password" required autocomplete="current-password"; }
            label {
                (reader.say("New password, at least 12 characters", "Новий пароль, щонайменше 12 символів"))
                input name="new" type="password" required minlength=(password::SHORTEST) autocomplete="new-password";
            }
            p.hint { (reader.say(
                "You stay signed in here; everywhere else you are signed out.",
                "Тут ви залишитеся в системі, усі інші сеанси завершаться.",
            )) }
            button { (reader.say("Change password", "Змінити пароль")) }
        }
    }
}

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    key: String,
    #[serde(default)]
    old: String,
    #[serde(default)]
    new: String,
}

async fn change_password(
    State(console): State<Console>,
    reader: Reader,
    cookies: CookieJar,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Result<Response, Failure> {
    reader.believe(&given.key)?;
    let change = ChangeOwnPassword { old: Password(given.old), new: Password(given.new) };
    let name = ask(change, &reader.caller, &console.means).await?.name;
    // All sessions have ended with the old password, this one too.
    let kept = console.means.store.password(&name).await?.unwrap_or_default();
    Ok(match begin(&console, cookies, &headers, &Holder::User(name), &kept).await? {
        Some(cookies) => (cookies, Redirect::to("/account?done=password")).into_response(),
        None => Redirect::to("/sign-in").into_response(),
    })
}
