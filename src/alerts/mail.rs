//! Mail, by the SMTP server that the workspace names.

use std::time::Duration;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::ExposeSecret as _;

use crate::crm::http::{install_tls, resolve};
use crate::rules::{Encryption, Mail};

/// How long the server may take for each answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// And for everything.
const ALL: Duration = Duration::from_secs(30);

/// Sends a mail; returns once the server took it.
pub(super) async fn send(mail: &Mail, subject: String, body: String) -> Result<(), String> {
    let sent = tokio::time::timeout(ALL, try_to_send(mail, subject, body));
    sent.await.unwrap_or_else(|_| Err(format!("the mail server did not take it within {} s", ALL.as_secs())))
}

async fn try_to_send(mail: &Mail, subject: String, body: String) -> Result<(), String> {
    install_tls();
    let message = message(mail, subject, body)?;
    // The name is resolved here, so that it leads where names of CRMs may lead; the certificate is that of the name.
    let address = resolve(&mail.host, mail.port, mail.allow_private_addresses).await?;
    let tls = || {
        let parameters = TlsParameters::new(mail.host.clone());
        parameters.map_err(|error| format!("no TLS with the mail server: {error}"))
    };
    let tls = match mail.encryption {
        Encryption::Tls => Tls::Wrapper(tls()?),
        Encryption::Starttls => Tls::Required(tls()?),
        Encryption::None => Tls::None,
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string());
    let mut builder = builder.port(address.port()).tls(tls).timeout(Some(TIMEOUT));
    if let Some((user, password)) = &mail.login {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
    }
    let sent = builder.build().send(message).await;
    sent.map(drop).map_err(|error| format!("the mail server did not take it: {}", words(&error)))
}

fn message(mail: &Mail, subject: String, body: String) -> Result<Message, String> {
    let mailbox = |text: &str| {
        text.parse::<Mailbox>().map_err(|error| format!("`{text}` is no address to mail to: {error}"))
    };
    let mut message = Message::builder().from(mailbox(&mail.from)?).subject(subject);
    for to in &mail.to {
        message = message.to(mailbox(to)?);
    }
    let message = message.header(ContentType::TEXT_PLAIN).body(body);
    message.map_err(|error| format!("the mail could not be made: {error}"))
}

/// An error with what it came from.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
