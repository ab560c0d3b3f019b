//! What people ask for, over `/api`: every [operation](crate::operation) at its own path, by POST with a JSON object.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::openapi::Routes;
use crate::access::Caller;
use crate::operation::actions::LookAtActions;
use crate::operation::apply::{Apply, LookAtActive};
use crate::operation::attention::LookAtAttention;
use crate::operation::deep_links::{MakeDeepLink, ResolveStart};
use crate::operation::destinations::{LookAtDestinations, PauseDestination, ResumeDestination};
use crate::operation::erase::{Erase, PreviewErase, RewriteFile, SearchRequests};
use crate::operation::held::{AnswerHeld, LookAtHeld};
use crate::operation::links::{BindUser, IssueLink, SendPin, SettleLink, UnlinkUser, VerifyLink};
use crate::operation::mappings::{
    CheckMappings, CompareVersions, DraftSource, GoBack, LookAtAddress, LookAtArrived, LookAtMappings,
    LookAtNames, LookAtVersions, MakePatch, RehearseMappings, SaveMappings,
};
use crate::operation::overview::LookAtOverview;
use crate::operation::people::{LookAtDuplicates, LookAtNewestPeople, LookAtPeople, Merge, NotSame, Split};
use crate::operation::postbacks::{CountPostback, LookAtPostbacks, UncountPostback};
use crate::operation::replay::{PreviewReplay, Replay};
use crate::operation::tokens::{AddToken, LookAtTokens, RemoveToken};
use crate::operation::triggers::Trigger;
use crate::operation::users::{AddUser, ChangeOwnPassword, ChangeRole, LookAtUsers, RemoveUser, SetPassword};
use crate::operation::{Means, Operation, OperationError, allow, ask};

/// The routes of all operations.
pub(super) fn routes(router: Routes) -> Routes {
    let router = takes::<PreviewReplay>(router);
    let router = takes::<Replay>(router);
    let router = takes::<LookAtAttention>(router);
    let router = takes::<LookAtHeld>(router);
    let router = takes::<AnswerHeld>(router);
    let router = takes::<LookAtDestinations>(router);
    let router = takes::<PauseDestination>(router);
    let router = takes::<ResumeDestination>(router);
    let router = takes::<LookAtOverview>(router);
    let router = takes::<LookAtActive>(router);
    let router = takes::<Apply>(router);
    let router = takes::<LookAtMappings>(router);
    let router = takes::<LookAtNames>(router);
    let router = takes::<LookAtArrived>(router);
    let router = takes::<LookAtAddress>(router);
    let router = takes::<CheckMappings>(router);
    let router = takes::<RehearseMappings>(router);
    let router = takes::<MakePatch>(router);
    let router = takes::<DraftSource>(router);
    let router = takes::<SaveMappings>(router);
    let router = takes::<LookAtVersions>(router);
    let router = takes::<CompareVersions>(router);
    let router = takes::<GoBack>(router);
    let router = takes::<LookAtPeople>(router);
    let router = takes::<LookAtDuplicates>(router);
    let router = takes::<LookAtNewestPeople>(router);
    let router = takes::<Merge>(router);
    let router = takes::<Split>(router);
    let router = takes::<NotSame>(router);
    let router = takes::<LookAtPostbacks>(router);
    let router = takes::<CountPostback>(router);
    let router = takes::<UncountPostback>(router);
    let router = takes::<PreviewErase>(router);
    let router = takes::<SearchRequests>(router);
    let router = takes::<Erase>(router);
    let router = takes::<RewriteFile>(router);
    let router = takes::<IssueLink>(router);
    let router = takes::<SendPin>(router);
    let router = takes::<VerifyLink>(router);
    let router = takes::<BindUser>(router);
    let router = takes::<SettleLink>(router);
    let router = takes::<UnlinkUser>(router);
    let router = takes::<MakeDeepLink>(router);
    let router = takes::<ResolveStart>(router);
    let router = takes::<LookAtUsers>(router);
    let router = takes::<AddUser>(router);
    let router = takes::<ChangeRole>(router);
    let router = takes::<SetPassword>(router);
    let router = takes::<RemoveUser>(router);
    let router = takes::<ChangeOwnPassword>(router);
    let router = takes::<LookAtTokens>(router);
    let router = takes::<AddToken>(router);
    let router = takes::<RemoveToken>(router);
    let router = takes::<LookAtActions>(router);
    let router = router.takes::<Trigger, _, _>("/api/triggers/{name}", "triggerByName", trigger);
    takes::<Trigger>(router)
}

/// A trigger by its address, for callers that have one URL for each.
async fn trigger(
    means: State<Means>,
    caller: Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    // What is no object says so itself when it is read.
    let named = match serde_json::from_slice(&body) {
        Ok(Value::Object(mut entries)) => {
            entries.insert("trigger".to_owned(), Value::String(name));
            Bytes::from(Value::Object(entries).to_string())
        }
        Ok(_) | Err(_) => body,
    };
    run::<Trigger>(means, caller, named).await
}

/// Adds an operation.
fn takes<O: Operation>(router: Routes) -> Routes {
    let name = O::schema_name();
    let (first, rest) = name.split_at(name.len().min(1));
    router.takes::<O, _, _>(O::PATH, &format!("{}{rest}", first.to_lowercase()), run::<O>)
}

async fn run<O: Operation>(
    State(means): State<Means>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Response {
    let refused = |status: StatusCode, text: String| (status, Json(json!({ "error": text }))).into_response();
    // Before it is read: it may be large.
    if let Err(error) = allow::<O>(&caller) {
        return refused(StatusCode::FORBIDDEN, error.to_string());
    }
    // The content type is not asked for: what is no JSON of this operation says so itself.
    let operation: O = match serde_json::from_slice(&body) {
        Ok(operation) => operation,
        Err(error) => {
            let text = format!("this is not what {} takes: {error}", O::PATH);
            return refused(StatusCode::BAD_REQUEST, text);
        }
    };
    match ask(operation, &caller, &means).await {
        Ok(answer) => {
            let status = StatusCode::from_u16(O::status(&answer)).unwrap_or(StatusCode::OK);
            (status, Json(answer)).into_response()
        }
        Err(OperationError::Forbidden(text)) => refused(StatusCode::FORBIDDEN, text),
        Err(OperationError::Refused(text)) => refused(StatusCode::UNPROCESSABLE_ENTITY, text),
        Err(OperationError::NotDone(not)) => refused(StatusCode::UNPROCESSABLE_ENTITY, not.to_string()),
        Err(OperationError::Access(not)) => refused(StatusCode::UNPROCESSABLE_ENTITY, not.to_string()),
        Err(OperationError::Storage(failure)) => {
            tracing::error!(operation = O::PATH, %failure, "STORAGE FAILURE: what was asked for is not done");
            let text = "the registry does not take this now; the log of the server says why. Try again";
            refused(StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
    }
}
