//! What `alerts:` of `workspace.yaml` may say.

use serde_json::Value as Json;

use super::super::alerts;
use super::parts::{any_of, anything, boolean, duration, map, object, one_or_many, says, scalar, words};

pub(super) fn alerts() -> Json {
    object(alerts::KEYS, &[], &|key| match key {
        "webhook" => {
            scalar("A URL that is called once for every new cause of trouble: \"${ALERT_WEBHOOK}\".")
        }
        "telegram" => says("A chat that a Telegram bot of yours writes to.", telegram()),
        "email" => says("Mail, by an SMTP server.", email()),
        "silent_after" => says(
            "How long sources may be silent before somebody is told: 12h; or by source, with `default` for the rest.",
            any_of(&[duration(""), map("", duration(""))]),
        ),
        "late_after" => duration("How long leads may wait before somebody is told; 15m when absent."),
        _ => anything(),
    })
}

fn telegram() -> Json {
    object(alerts::TELEGRAM_KEYS, &["token", "chat"], &|key| match key {
        "token" => scalar("The token that @BotFather gave the bot: \"${ALERT_BOT_TOKEN}\"."),
        "chat" => scalar("The id of the chat, such as -1001234567890; or @name of a channel."),
        "url" => scalar("A Bot API server of your own: http://localhost:8081."),
        _ => anything(),
    })
}

fn email() -> Json {
    object(alerts::EMAIL_KEYS, &["server", "from", "to"], &|key| match key {
        "server" => scalar("The SMTP server: smtp.example.com:587."),
        "encryption" => words(
            "How the connection is kept from others; tls on port 465, starttls on others when absent.",
            alerts::ENCRYPTIONS,
        ),
        "user" => scalar("Whom the server knows us as."),
        "password" => scalar("Our password: \"${SMTP_PASSWORD}\"."),
        "from" => scalar("Whom it comes from: leadfold@example.com."),
        "to" => one_or_many("Who gets it: sales@example.com.", scalar("")),
        "allow_private_addresses" => boolean("The server is in a private network."),
        _ => anything(),
    })
}
