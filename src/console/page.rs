//! What every page has: head, sections, who reads it, and what is said when something goes wrong.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::guard::{KEY, Reader};
use super::reasons::kept;
use super::{access, assets, people};
use crate::access::{AccessError, Role};
use crate::operation::OperationError;
use crate::resolve::Language;
use crate::store::StoreError;
use crate::store::corrections::NotDone;

/// A part of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Every lead.
    Registry,
    /// Everybody, and who may be whom.
    People,
    /// What somebody has to look at.
    Attention,
    /// Where leads are brought.
    Destinations,
    /// What becomes of what comes.
    Mappings,
    /// What came and what became of it.
    Overview,
    /// Who may what, and what they did.
    Access,
}

impl Section {
    const ALL: [Self; 7] = [
        Self::Registry,
        Self::People,
        Self::Attention,
        Self::Destinations,
        Self::Mappings,
        Self::Overview,
        Self::Access,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Registry => "/",
            Self::People => "/people",
            Self::Attention => "/attention",
            Self::Destinations => "/destinations",
            Self::Mappings => "/mappings",
            Self::Overview => "/overview",
            Self::Access => "/access",
        }
    }

    /// What it takes to look at it.
    fn role(self) -> Role {
        match self {
            Self::Registry
            | Self::People
            | Self::Attention
            | Self::Destinations
            | Self::Mappings
            | Self::Overview => Role::Viewer,
            Self::Access => Role::Admin,
        }
    }

    pub(super) fn name(self, reader: &Reader) -> &'static str {
        match self {
            Self::Registry => reader.say("Registry", "Реєстр"),
            Self::People => reader.say("People", "Люди"),
            Self::Attention => reader.say("Needs attention", "Потребує уваги"),
            Self::Destinations => reader.say("Destinations", "Призначення"),
            Self::Mappings => reader.say("Mappings", "Мапінги"),
            Self::Overview => reader.say("Overview", "Огляд"),
            Self::Access => reader.say("Access", "Доступ"),
        }
    }
}

/// A whole page.
pub(super) fn page(reader: &Reader, section: Option<Section>, title: &str, content: &Markup) -> Markup {
    // Many things are called alike: a lead and its person, the requests of a source. Tabs tell them apart by their section.
    let of = section.map(|section| section.name(reader)).filter(|name| *name != title);
    let in_tab = of.map_or_else(|| title.to_owned(), |name| format!("{title} · {name}"));
    html! {
        (head(reader.language, &in_tab))
        body {
            a.skip href="#content" { (reader.say("To the content", "До вмісту")) }
            header.bar {
                a.brand href="/" { "leadfold" }
                nav aria-label=(reader.say("Sections", "Розділи")) {
                    @for each in Section::ALL.into_iter().filter(|each| reader.caller.role >= each.role()) {
                        a href=(each.path()) aria-current=[(section == Some(each)).then_some("page")] { (each.name(reader)) }
                    }
                }
                (who(reader))
            }
            main #content tabindex="-1" {
                h1 { (title) }
                (content)
            }
            footer {
                span { (reader.say("Times are in ", "Час за поясом ")) (reader.zone_name()) }
                (languages(reader.language, &reader.here))
            }
        }
    }
}

/// The start of a page, also of one that nobody has signed in for.
pub(super) fn head(language: Language, title: &str) -> Markup {
    let code = match language {
        Language::English => "en",
        Language::Ukrainian => "uk",
    };
    html! {
        (DOCTYPE)
        (PreEscaped(format!("<html lang=\"{code}\">")))
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · leadfold" }
            link rel="icon" href=(assets::path("icon.svg"));
            link rel="stylesheet" href=(assets::path("console.css"));
            script src=(assets::path("console.js")) defer {}
        }
    }
}

fn who(reader: &Reader) -> Markup {
    html! {
        div.who {
            a.account href="/account" { (reader.caller.name) " · " (role(reader, reader.caller.role)) }
            @if reader.signed_in {
                form method="post" action="/sign-out" {
                    (key(reader))
                    button.quiet { (reader.say("Sign out", "Вийти")) }
                }
            }
        }
    }
}

/// What a role is called.
pub(super) fn role(reader: &Reader, role: Role) -> &'static str {
    match role {
        Role::Site => reader.say("site", "сайт"),
        Role::Viewer => reader.say("viewer", "спостерігач"),
        Role::Operator => reader.say("operator", "оператор"),
        Role::Admin => reader.say("admin", "адміністратор"),
    }
}

/// What a form that changes something carries.
pub(super) fn key(reader: &Reader) -> Markup {
    html! { input type="hidden" name=(KEY) value=(reader.key); }
}

/// What was done, on the page that a form leads back to. The address holds a word, and the page has the sentence for it
/// (word, English, Ukrainian), so that a link cannot put sentences into our mouth.
pub(super) fn done(reader: &Reader, what: Option<&str>, sentences: &[(&str, &str, &str)]) -> Markup {
    done_and(reader, what, sentences, &html! {})
}

/// The same, with more behind the sentence.
pub(super) fn done_and(
    reader: &Reader,
    what: Option<&str>,
    sentences: &[(&str, &str, &str)],
    more: &Markup,
) -> Markup {
    let sentence = sentences.iter().find(|(word, ..)| Some(*word) == what);
    html! {
        @if let Some((_, english, ukrainian)) = sentence {
            p.message.good role="status" { (reader.say(*english, *ukrainian)) (more) }
        }
    }
}

/// A link to elsewhere, for an address that others sent: only one that a browser opens as a page.
pub(super) fn elsewhere(address: &str, text: &str) -> Markup {
    let opens = ["https://", "http://", "tg://"].iter().any(|scheme| address.starts_with(scheme));
    html! {
        @if opens { a href=(address) target="_blank" rel="noopener noreferrer" { (text) } } @else { (text) }
    }
}

/// Changes the language, and comes back.
pub(super) fn languages(language: Language, here: &str) -> Markup {
    html! {
        form.languages method="post" action="/preferences" {
            input type="hidden" name="next" value=(here);
            button.quiet name="language" value="en" lang="en" aria-pressed=(language == Language::English) { "English" }
            button.quiet name="language" value="uk" lang="uk" aria-pressed=(language == Language::Ukrainian) { "Українська" }
        }
    }
}

/// Why there is no page.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Nothing is at this address.
    NotFound,
    /// The form is not one that we gave to this reader.
    Forged,
    /// The reader may not.
    Forbidden(String),
    /// It cannot be done as it was asked: what is wrong and what to do.
    Refused(String),
    /// Two people cannot be made one, or two, yet.
    NotDone(NotDone),
    /// Something about users and access tokens is not so.
    Access(AccessError),
    /// The address or the form is not one of ours, so it was not even read; with what HTTP says of it.
    Unreadable(StatusCode),
    /// The registry does not answer.
    Storage,
}

impl From<StoreError> for Failure {
    fn from(failure: StoreError) -> Self {
        tracing::error!(%failure, "STORAGE FAILURE: a page of the console could not be made");
        Self::Storage
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Refused(text) => Self::Refused(text),
            OperationError::NotDone(not) => Self::NotDone(not),
            OperationError::Access(not) => Self::Access(not),
            OperationError::Forbidden(text) => Self::Forbidden(text),
            OperationError::Storage(failure) => failure.into(),
        }
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unreadable(status) => *status,
            Self::Forged | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Refused(_) | Self::NotDone(_) | Self::Access(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Storage => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Without a page around it, where nobody knows who reads.
    pub(super) fn bare(self) -> Response {
        (self.status(), "leadfold cannot read its registry now; its log says why. Try again in a moment\n")
            .into_response()
    }
}

impl IntoResponse for Failure {
    /// The guard makes a page of it, in the reader's language.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The page of a failure.
pub(super) fn failed(reader: &Reader, failure: &Failure) -> Response {
    let (title, text) = match failure {
        Failure::NotFound => (
            reader.say("Nothing is here", "Тут нічого немає"),
            reader
                .say(
                    "The address is mistyped, or what it showed is gone.",
                    "Адресу введено з помилкою, або того, що тут було, вже немає.",
                )
                .to_owned(),
        ),
        Failure::Forged => (
            reader.say("This was not sent from a page of yours", "Це надіслано не з вашої сторінки"),
            reader
                .say(
                    "Nothing was changed. Go back, load the page again, and repeat it.",
                    "Нічого не змінено. Поверніться, оновіть сторінку і повторіть.",
                )
                .to_owned(),
        ),
        Failure::Forbidden(text) => {
            (reader.say("You may not do this", "Вам цього не дозволено"), text.clone())
        }
        Failure::Refused(text) => (reader.say("This was not done", "Цього не зроблено"), text.clone()),
        Failure::NotDone(not) => {
            (reader.say("This was not done", "Цього не зроблено"), people::not_done(reader, not))
        }
        Failure::Access(not) => {
            (reader.say("This was not done", "Цього не зроблено"), access::why_not(reader, *not).to_owned())
        }
        Failure::Unreadable(_) => (
            reader.say("This cannot be read", "Це не вдалося прочитати"),
            reader
                .say(
                    "The address is cut short or mistyped, or the form is too large or of an older page. Nothing was changed: \
                     go back, load the page again, and repeat it.",
                    "Адреса обірвана чи введена з помилкою, або форма завелика чи зі старої сторінки. Нічого не змінено: \
                     поверніться, оновіть сторінку і повторіть.",
                )
                .to_owned(),
        ),
        Failure::Storage => (
            reader.say("The registry does not answer", "Реєстр не відповідає"),
            reader
                .say(
                    "Nothing is lost. The log of the server says why; try again in a moment.",
                    "Нічого не втрачено. Причина — у журналі сервера; спробуйте ще раз за мить.",
                )
                .to_owned(),
        ),
    };
    let content = html! { p.message.bad role="alert" { (kept(reader, &text)) } p { a href="/" { (reader.say("To the registry", "До реєстру")) } } };
    (failure.status(), page(reader, None, title, &content)).into_response()
}

/// What answers at any other address.
pub(super) async fn nothing_here() -> Failure {
    Failure::NotFound
}
