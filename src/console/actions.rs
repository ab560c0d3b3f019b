//! The audit log: what people changed, newest first.

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, page};
use super::reasons::kept;
use crate::access::START_TOKEN;
use crate::operation::actions::LookAtActions;
use crate::operation::tokens::LookAtTokens;
use crate::operation::users::LookAtUsers;
use crate::operation::{DONE, ask};
use crate::store::actions::Action;

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/access/actions", get(list))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    who: String,
    before: Option<String>,
}

async fn list(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let who = Some(asked.who.trim().to_owned()).filter(|who| !who.is_empty());
    let look = LookAtActions { who: who.clone(), before: asked.before.clone(), limit: None };
    let found = ask(look, &reader.caller, &console.means).await?;
    let users = ask(LookAtUsers {}, &reader.caller, &console.means).await?.users;
    let tokens = ask(LookAtTokens {}, &reader.caller, &console.means).await?.tokens;
    let names =
        users.iter().map(|user| user.name.as_str()).chain(tokens.iter().map(|token| token.name.as_str()));
    let content = html! {
        p { a href="/access" { (reader.say("To users and tokens", "До користувачів і токенів")) } }
        form.filters method="get" action="/access/actions" {
            label {
                (reader.say("Who", "Хто"))
                input name="who" value=(asked.who) list="names" autocomplete="off";
            }
            datalist #names { @for name in names.chain([START_TOKEN]) { option value=(name) {} } }
            button.second { (reader.say("Show", "Показати")) }
            @if who.is_some() { a href="/access/actions" { (reader.say("Everybody", "Усі")) } }
        }
        (table(&reader, &found.actions))
        @if let Some(next) = &found.next {
            p { a.button href=(path_of(who.as_deref(), next)) rel="next" { (reader.say("Older", "Давніші")) } }
        }
    };
    Ok(page(&reader, Some(Section::Access), reader.say("Audit log", "Журнал дій"), &content))
}

fn path_of(who: Option<&str>, before: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(who) = who {
        query.append_pair("who", who);
    }
    format!("/access/actions?{}", query.append_pair("before", before).finish())
}

fn table(reader: &Reader, actions: &[Action]) -> Markup {
    if actions.is_empty() {
        return html! { p.message { (reader.say("Nothing was changed here.", "Тут нічого не змінювали.")) } };
    }
    let (when, who, what, came) = (
        reader.say("When", "Коли"),
        reader.say("Who", "Хто"),
        reader.say("What", "Що"),
        reader.say("What came of it", "Чим закінчилося"),
    );
    html! {
        div.scroll { table.cards {
            thead { tr { @for each in [when, who, what, came] { th scope="col" { (each) } } } }
            tbody { @for action in actions { tr {
                td data-name=(when) { time datetime=(action.at) { (reader.moment(action.at)) } }
                td data-name=(who) { b { (action.who) } div.asked { (through(reader, &action.through)) } }
                td data-name=(what) {
                    @match words(reader, &action.operation) { Some(words) => (words), None => code { (action.operation) } }
                    @if let Some(asked) = asked(&action.asked) { div.asked translate="no" { (asked) } }
                }
                td data-name=(came) { (outcome(reader, action.outcome.as_deref())) }
            } } }
        } }
    }
}

fn outcome(reader: &Reader, outcome: Option<&str>) -> Markup {
    html! {
        @match outcome {
            Some(DONE) => span.badge.good { (reader.say("done", "зроблено")) },
            Some(why) => { span.badge.bad { (reader.say("not done", "не зроблено")) } div.asked { (kept(reader, why)) } },
            None => span.badge.wait { (reader.say("not known: it is going on, or was broken off", "невідомо: ще триває або перервалося")) },
        }
    }
}

fn through(reader: &Reader, word: &str) -> &'static str {
    match word {
        "console" => reader.say("in the console", "у консолі"),
        "api" => reader.say("over the API", "через API"),
        _ => reader.say("by command", "командою"),
    }
}

/// What was asked, as a person reads it: `name: olena, role: viewer`.
fn asked(asked: &Value) -> Option<String> {
    let entries = asked.as_object()?.iter().filter(|(_, value)| !value.is_null());
    let texts: Vec<String> = entries
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}: {text}"),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                format!("{name}: {value}")
            }
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// An operation in words; one without is told by its path.
fn words(reader: &Reader, operation: &str) -> Option<&'static str> {
    let (english, ukrainian) = match operation {
        "/api/users/add" => ("Added a user", "Додано користувача"),
        "/api/users/role" => ("Changed a user's role", "Змінено роль користувача"),
        "/api/users/password" => ("Set a user's password", "Задано пароль користувача"),
        "/api/users/remove" => ("Removed a user", "Вилучено користувача"),
        "/api/account/password" => ("Changed their own password", "Змінено власний пароль"),
        "/api/tokens/add" => ("Made an access token", "Створено токен доступу"),
        "/api/tokens/remove" => ("Removed an access token", "Вилучено токен доступу"),
        "/api/versions" => ("Made a version of the workspace active", "Увімкнено версію налаштувань"),
        "/api/versions/active" => ("Read the files of the active version", "Прочитано файли чинної версії"),
        "/api/versions/back" => {
            ("Went back to an earlier version of the workspace", "Повернуто попередню версію налаштувань")
        }
        "/api/mappings/save" => ("Saved mappings", "Збережено мапінги"),
        "/api/destinations/pause" => ("Paused a destination", "Призупинено призначення"),
        "/api/destinations/resume" => ("Let a destination go on", "Відновлено призначення"),
        "/api/replay" => ("Replayed leads", "Повторено ліди"),
        "/api/held/answer" => ("Answered for held leads", "Вирішено щодо затриманих лідів"),
        "/api/people/merge" => ("Made two people one", "Об’єднано двох людей"),
        "/api/people/split" => ("Undid a merge", "Скасовано об’єднання"),
        "/api/people/not-same" => ("Said that two people are two", "Позначено, що це різні люди"),
        "/api/postbacks/count" => ("Counted a postback", "Зараховано постбек"),
        "/api/postbacks/uncount" => ("Took the count of a postback back", "Скасовано зарахування постбека"),
        "/api/erase" => ("Erased a person", "Стерто дані людини"),
        "/api/erase/rewrite" => ("Wrote the database file anew", "Переписано файл бази даних"),
        "/api/triggers" => ("Had a bot do something", "Запущено дію бота"),
        _ => return None,
    };
    Some(reader.say(english, ukrainian))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::console::sources::sources;

    #[test]
    fn what_was_asked_is_told_in_a_line() {
        let check =
            |value: Value, expect: Option<&str>| assert_eq!(asked(&value).as_deref(), expect, "{value}");
        check(json!({ "name": "olena", "role": "viewer" }), Some("name: olena, role: viewer"));
        check(json!({ "who": ["a"], "limit": null, "yes": true }), Some("who: [\"a\"], yes: true"));
        check(json!({}), None);
        check(json!("x"), None);
    }

    /// Of every operation that leaves a record, found where operations are written.
    #[test]
    fn every_action_has_words_in_both_languages() {
        let mut found = Vec::new();
        for (_, text) in sources(&["operation"]) {
            for operation in text.split("const PATH: &'static str = \"").skip(1) {
                let (path, rest) = operation.split_once('"').unwrap();
                let rest = rest.split_once("async fn run").map_or(rest, |(before, _)| before);
                let own = rest
                    .split_once("fn record(&self) -> Option<Value> {")
                    .map(|(_, record)| record.trim_start());
                let by_role = ["Role::Operator;", "Role::Admin;"].iter().any(|role| rest.contains(role));
                if own.map_or(by_role, |record| !record.starts_with("None")) {
                    found.push(path.to_owned());
                }
            }
        }
        assert!(found.len() > 15 && found.iter().any(|path| path == "/api/erase"), "{found:?}");
        let ukrainian = Reader { language: crate::resolve::Language::Ukrainian, ..Reader::for_tests() };
        for path in found {
            let (english, ukrainian) = (words(&Reader::for_tests(), &path), words(&ukrainian, &path));
            assert!(english.is_some() && ukrainian.is_some() && english != ukrainian, "{path} has no words");
        }
    }

    #[test]
    fn a_page_goes_on_with_the_same_person() {
        assert_eq!(path_of(None, "01"), "/access/actions?before=01");
        assert_eq!(path_of(Some("a&b"), "01"), "/access/actions?who=a%26b&before=01");
    }
}
