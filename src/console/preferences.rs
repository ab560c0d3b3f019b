//! Language and time zone of a browser, in cookies: they are nobody's secret, and also count where nobody has signed in.

use axum::Form;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use serde::Deserialize;

use super::guard::{LANGUAGE, path_of_ours};
use crate::resolve::Language;

#[derive(Deserialize)]
pub(super) struct Preferences {
    language: String,
    next: String,
}

/// Sets the language and goes back. The zone is set by the script, which knows it.
pub(super) async fn set(cookies: CookieJar, Form(preferences): Form<Preferences>) -> Response {
    let cookies = match Language::parse(&preferences.language) {
        Some(_) => cookies.add(
            Cookie::build((LANGUAGE, preferences.language))
                .path("/")
                .same_site(SameSite::Lax)
                .http_only(true)
                .permanent()
                .build(),
        ),
        None => cookies,
    };
    (cookies, Redirect::to(path_of_ours(&preferences.next))).into_response()
}
