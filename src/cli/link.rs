//! `leadfold link`: a link into a bot, or from a bot to a web site.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};
use serde_json::json;

use super::client::{Client, ServerOption};
use super::{End, Failure, country, say};
use crate::operation::deep_links::{DeepLink, MakeDeepLink, Start};
use crate::operation::links::{IssueLink, Issued};

const EXAMPLES: &str = "\
Examples:
  leadfold link --bot shop_bot --crm-id 900000417
  leadfold link --bot shop_bot --device 1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10
  leadfold link --bot shop_bot --customer shop:17 --days 2
  leadfold link --bot shop_bot --email olena@example.com --data summer-2026
  leadfold link --bot https://t.me/shop_bot
  leadfold link --person 067-418-52-06
  leadfold link --person 700000101 --chat telegram:shop_bot --minutes 60
  leadfold link --person 700000101 --no-pin --json

Into a bot: a number, a device or a campaign mark stands in the link as it is,
and anybody may make up another one: it comes back as a hint. Whatever is
private, longer than 64 letters or has other letters becomes a token that works
once; `--one-time` makes one of anything. `identifiers.link` of a mapping takes
the token back, and what it stands for is proven then.

To a web site: the link for --person and its PIN go into their chat. The site
has both verified over /api/links/verify. It shows the PIN this once only.

Exit codes: 0 done, 2 it could not be done.";

/// Arguments of `link`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("where").args(["bot", "person"]).required(true)))]
pub(super) struct Options {
    /// Into this bot: its name in Telegram, or its address
    #[arg(long, value_name = "BOT", value_parser = NonEmptyStringValueParser::new())]
    bot: Option<String>,
    /// Who comes is this record of a CRM: a number, or DESTINATION:ID
    #[arg(long, value_name = "ID", requires = "bot")]
    crm_id: Option<String>,
    /// Who comes has this device: a UUID
    #[arg(long, value_name = "UUID", requires = "bot")]
    device: Option<String>,
    /// Who comes is this customer
    #[arg(long, value_name = "NAMESPACE:ID", requires = "bot")]
    customer: Option<String>,
    /// Who comes has this phone
    #[arg(long, value_name = "PHONE", requires = "bot")]
    phone: Option<String>,
    /// Who comes has this email
    #[arg(long, value_name = "EMAIL", requires = "bot")]
    email: Option<String>,
    /// A text of your own
    #[arg(long, value_name = "TEXT", requires = "bot")]
    data: Option<String>,
    /// A token also for what could stand in the link as it is
    #[arg(long, requires = "bot")]
    one_time: bool,
    /// How long a token is good, 1 to 90 days [default: 7]
    #[arg(long, value_name = "N", requires = "bot")]
    days: Option<u32>,
    /// To the web site, for this person: an id of a chat, a phone, an email
    #[arg(long, value_name = "WHO", value_parser = NonEmptyStringValueParser::new())]
    person: Option<String>,
    /// For which of their chats [default: the one that was active last]
    #[arg(long, value_name = "SCOPE", requires = "person")]
    chat: Option<String>,
    /// Without a PIN, for an hour at most: it proves nothing
    #[arg(long, requires = "person")]
    no_pin: bool,
    /// How long it can be opened [default: `links.life` of the workspace]
    #[arg(long, value_name = "N", requires = "person")]
    minutes: Option<u32>,
    /// Country of phones that name none; may be repeated, the first is tried first
    #[arg(long, value_name = "COUNTRY", default_value = "UA", value_parser = country)]
    region: Vec<String>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let is_json = options.json;
    let text = match (&options.bot, &options.person) {
        (Some(bot), _) => {
            let link = options.to_bot(bot).await?;
            if is_json { json!(link).to_string() } else { told_deep(&link) }
        }
        (None, Some(person)) => {
            let issued = options.to_site(person).await?;
            if is_json { json!(issued).to_string() } else { told_issued(&issued) }
        }
        (None, None) => return Err("say where the link leads: --bot or --person".to_owned()),
    };
    say(&text)?;
    Ok(End::Done)
}

impl Options {
    async fn to_bot(&self, bot: &str) -> Result<DeepLink, Failure> {
        let asked = MakeDeepLink {
            bot: bot.to_owned(),
            crm_id: self.crm_id.clone(),
            device: self.device.clone(),
            customer: self.customer.clone(),
            phone: self.phone.clone(),
            email: self.email.clone(),
            data: self.data.clone(),
            one_time: self.one_time,
            days: self.days,
            regions: self.region.clone(),
        };
        // What stands in the link as it is needs no database.
        if let Start::AsIs(text) = asked.start()? {
            return asked.link(text, None);
        }
        let client = Client::open(&self.server).await?;
        client.run_and_close(asked).await
    }

    async fn to_site(&self, person: &str) -> Result<Issued, Failure> {
        let client = Client::open(&self.server).await?;
        let issue = IssueLink {
            who: Some(person.to_owned()),
            chat: self.chat.clone(),
            buid: None,
            pin: !self.no_pin,
            minutes: self.minutes,
            regions: self.region.clone(),
        };
        client.run_and_close(issue).await
    }
}

fn told_deep(link: &DeepLink) -> String {
    let DeepLink { url, kind, until, .. } = link;
    let about = match (kind.as_str(), until) {
        ("none", _) => "It carries nothing: the bot has to ask who it is.".to_owned(),
        (_, Some(until)) => format!("It works once, until {until:.0}, and proves who comes with it."),
        (kind, None) => {
            format!(
                "It carries a {kind} for everybody to read, which comes back as a hint: anybody may make up another."
            )
        }
    };
    format!("{url}\n\n{about}")
}

fn told_issued(issued: &Issued) -> String {
    let Issued { buid, url, pin, pin_until, until, chat, .. } = issued;
    let mut lines = vec![url.clone().unwrap_or_else(|| {
        format!("buid {buid}\n(without an address: `links.url` of workspace.yaml says where the site takes visitors in)")
    })];
    match (pin, pin_until) {
        (Some(pin), Some(until)) => {
            lines.push(format!("PIN {pin}, until {until:.0}; it is shown this once only."));
        }
        _ => lines.push("No PIN: it shows a form, and proves nothing.".to_owned()),
    }
    if let Some(until) = until {
        lines.push(format!("It can be opened until {until:.0}."));
    }
    lines.push(format!("Send it to chat {} of {}; nobody else may see it.", chat.id, chat.scope));
    lines.join("\n")
}
