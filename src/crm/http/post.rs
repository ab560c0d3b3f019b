//! One POST outside of any CRM: the alert webhook of the workspace, and the demo's own requests.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};

use super::body::sentence;
use super::{Url, address, hardened};

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Posts JSON and gives the status of the answer. The error never holds the address, which may carry a secret.
pub async fn post_json(url: &SecretString, json: String) -> Result<u16, String> {
    let url = Url::parse(url.expose_secret()).map_err(|error| format!("the address is none: {error}"))?;
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
