//! The page for people: what stands in the CRM. Everything on it is data and is escaped.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter, Write};

use serde_json::Value;

use super::bots::{BotCall, Bots};
use super::records::{Contact, Deal, Remark};
use super::{State, stats};

/// Only the newest contacts are shown.
const SHOWN: usize = 200;

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Sandbox CRM</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #8884 }
ul { margin: 0; padding-left: 1.1rem }
small { opacity: .7 }
</style></head><body><h1>Sandbox CRM</h1>
"#;

/// The page; `to_string` renders it.
pub(super) struct Page<'a>(pub(super) &'a State);

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let records = &self.0.records;
        let counts = stats::stats(self.0);
        f.write_str(HEAD)?;
        writeln!(
            f,
            "<p>{} contacts ({} too many), {} deals ({} too many), {} tasks, {} notes. {} calls, {} answered with 429.</p>",
            counts.contacts,
            counts.duplicate_contacts,
            counts.deals,
            counts.duplicate_deals,
            counts.tasks,
            counts.notes,
            counts.calls_total,
            counts.rate_limited,
        )?;
        f.write_str("<table><thead><tr><th>Contact</th><th>Phone, email</th>")?;
        f.write_str("<th>Deals</th><th>Tasks and notes</th></tr></thead><tbody>\n")?;
        let deals = by_contact(records.deals.values(), |deal| deal.contact_id);
        let remarks =
            by_contact(records.tasks.values().chain(records.notes.values()), |remark| remark.contact_id);
        for contact in records.contacts.values().rev().take(SHOWN) {
            let deals = deals.get(&contact.id).map(Vec::as_slice).unwrap_or_default();
            let remarks = remarks.get(&contact.id).map(Vec::as_slice).unwrap_or_default();
            Row { contact, deals, remarks }.fmt(f)?;
        }
        f.write_str("</tbody></table>\n")?;
        match records.contacts.len().saturating_sub(SHOWN) {
            0 => {}
            rest => writeln!(f, "<p><small>and {rest} older contacts</small></p>")?,
        }
        bots(&self.0.bots, f)?;
        f.write_str("</body></html>\n")
    }
}

/// The last calls of bots, newest first.
fn bots(bots: &Bots, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "<h2>Bots</h2><p>{} calls</p>", bots.total)?;
    f.write_str("<table><thead><tr><th>Bot</th><th>Whom</th><th>What</th></tr></thead><tbody>\n")?;
    for BotCall { number, bot, to, did, .. } in bots.last.iter().rev() {
        let (bot, to, did) = (Escaped(bot), Escaped(to), Escaped(did));
        writeln!(f, "<tr><td>{bot} <small>#{number}</small></td><td>{to}</td><td>{did}</td></tr>")?;
    }
    f.write_str("</tbody></table>\n")
}

fn by_contact<'a, T>(
    records: impl Iterator<Item = &'a T>,
    contact: fn(&T) -> u64,
) -> HashMap<u64, Vec<&'a T>> {
    let mut grouped: HashMap<u64, Vec<&T>> = HashMap::new();
    for record in records {
        grouped.entry(contact(record)).or_default().push(record);
    }
    grouped
}

/// One contact with what hangs on it.
struct Row<'a> {
    contact: &'a Contact,
    deals: &'a [&'a Deal],
    remarks: &'a [&'a Remark],
}

impl Display for Row<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let contact = self.contact;
        let name = Escaped(contact.name.as_deref().unwrap_or("(no name)"));
        let owner = Escaped(contact.owner.as_deref().unwrap_or("nobody"));
        write!(f, "<tr><td>{name} <small>#{}, {owner}</small>", contact.id)?;
        for (name, value) in &contact.fields {
            let value = value.as_str().map_or_else(|| Value::to_string(value), str::to_owned);
            write!(f, "<br><small>{}: {}</small>", Escaped(name), Escaped(&value))?;
        }
        f.write_str("</td><td>")?;
        for value in contact.phones.iter().chain(&contact.emails) {
            write!(f, "{}<br>", Escaped(value))?;
        }
        f.write_str("</td><td><ul>")?;
        for deal in self.deals {
            let title = Escaped(deal.title.as_deref().unwrap_or("(no title)"));
            let pipeline = Escaped(deal.pipeline.as_deref().unwrap_or("no pipeline"));
            let stage = Escaped(deal.stage.as_deref().unwrap_or("no stage"));
            let end = if deal.open { "open" } else { "closed" };
            write!(f, "<li>{title} <small>#{} {pipeline} / {stage}, {end}</small></li>", deal.id)?;
        }
        f.write_str("</ul></td><td><ul>")?;
        for remark in self.remarks {
            let title = remark.title.as_deref().or(remark.text.as_deref()).unwrap_or("(no text)");
            write!(f, "<li>{} <small>#{}</small></li>", Escaped(title), remark.id)?;
        }
        f.write_str("</ul></td></tr>\n")
    }
}

/// Text as HTML shows it, never as HTML reads it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
