//! One request outside of any CRM: the alert webhook of the workspace, the demo's own samples, and what a command asks of
//! a running leadfold.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};

use super::body::{read_text, root, sentence};
use super::{RequestBuilder, Url, address, hardened};

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Posts JSON and gives the status of the answer. The error never holds the address, which may carry a secret.
pub async fn post_json(url: &SecretString, json: String) -> Result<u16, String> {
    let url = Url::parse(url.expose_secret()).map_err(|error| format!("this is no address ({error})"))?;
    let plain = url.scheme() == "http";
    let client = hardened(address::Resolver { allow_private: false }, plain)
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| sentence(&error.without_url()))?;
    let request = client.post(url).header(CONTENT_TYPE, "application/json").body(json);
    #[expect(clippy::disallowed_methods, reason = "hardened like every call to a CRM")]
    let answer = request.send().await.map_err(|error| sentence(&error.without_url()))?;
    Ok(answer.status().as_u16())
}

/// Posts a sample as its platform does, with the header that the platform signs in by where it has one; gives the status and
/// the text of the answer.
pub async fn post_sample(
    url: &str,
    header: Option<(&str, &str)>,
    json: &str,
) -> Result<(u16, String), String> {
    let url = Url::parse(url).map_err(|error| format!("this is no address ({error})"))?;
    let plain = url.scheme() == "http";
    let client = hardened(address::Resolver { allow_private: false }, plain)
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| sentence(&error.without_url()))?;
    let request = client.post(url).header(CONTENT_TYPE, "application/json").body(json.to_owned());
    answered(header.into_iter().fold(request, |request, (name, value)| request.header(name, value))).await
}

/// How long a running leadfold may take over one piece of what it is asked.
const OPERATION_TIMEOUT: Duration = Duration::from_mins(1);

/// Posts JSON to the API of a leadfold, at an address that whoever runs the command has named or that the server itself
/// has written down; gives the status and the text of the answer.
pub async fn post_to_server(
    url: &str,
    token: Option<&SecretString>,
    json: String,
) -> Result<(u16, String), String> {
    let url = Url::parse(url).map_err(|error| format!("this is no address ({error})"))?;
    let plain = url.scheme() == "http";
    let client = hardened(address::Resolver { allow_private: true }, plain)
        .timeout(OPERATION_TIMEOUT)
        .build()
        .map_err(|error| sentence(&error.without_url()))?;
    let mut request = client.post(url).header(CONTENT_TYPE, "application/json").body(json);
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    answered(request).await
}

/// Asks a leadfold for something that anybody may read; gives the status and the text of the answer.
pub async fn ask_server(url: &str, at_most: Duration) -> Result<(u16, String), String> {
    let url = Url::parse(url).map_err(|error| format!("this is no address ({error})"))?;
    let plain = url.scheme() == "http";
    let client = hardened(address::Resolver { allow_private: true }, plain)
        .timeout(at_most)
        .build()
        .map_err(|error| sentence(&error.without_url()))?;
    answered(client.get(url)).await
}

async fn answered(request: RequestBuilder) -> Result<(u16, String), String> {
    #[expect(clippy::disallowed_methods, reason = "hardened like every call to a CRM")]
    let answer = request.send().await.map_err(|error| {
        let error = error.without_url();
        if error.is_connect() { format!("no connection: {}", root(&error)) } else { sentence(&error) }
    })?;
    Ok((answer.status().as_u16(), read_text(answer).await?))
}
