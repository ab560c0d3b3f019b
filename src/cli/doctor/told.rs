//! What `doctor` says to people.

use std::fmt::Write as _;

use super::{Examined, Finding, Fix, protected, summary};
use crate::cli::check::place;
use crate::cli::how_many;
use crate::compare::fallbacks;
use crate::crm::catalog::{Catalog, Field, User};
use crate::crm::examine::{Asked, Examination, Sought};
use crate::crm::http::Exchange;
use crate::crm::{Crm, CrmError, Found, Guarantee, description, matching};
use crate::map::{Files, Problem};
use crate::plan::FoundContact;
use crate::rules::{Blind, BotKind, Destination, Mode};

/// Names in one line, unless everything was asked for.
const NAMES_SHOWN: usize = 12;

/// Lines of a body, unless everything was asked for.
const LINES_SHOWN: usize = 12;

/// Lines of a body even then; the JSON has all of them.
const MOST_LINES: usize = 60;

/// The text so far.
pub(super) struct Told {
    pub(super) text: String,
    colour: bool,
    verbose: bool,
    /// The searches were for nobody.
    nobody: bool,
}

/// `by phone +380671234567`.
pub(super) fn by(sought: &Sought) -> String {
    match sought {
        Sought::Phone(phone) => format!("by phone {phone}"),
        Sought::Email(email) => format!("by email {email}"),
        Sought::Contact(id) => format!("by id, for contact {id}"),
    }
}

impl Told {
    pub(super) fn new(colour: bool, verbose: bool, nobody: bool) -> Self {
        Self { text: String::new(), colour, verbose, nobody }
    }

    /// A line under a word in the margin. Writing to a String cannot fail.
    fn line(&mut self, margin: &str, words: &str) {
        writeln!(self.text, "  {margin:<10} {words}").ok();
    }

    fn painted(&self, code: &str, words: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{words}\u{1b}[0m") } else { words.to_owned() }
    }

    fn bold(&self, words: &str) -> String {
        self.painted("1", words)
    }

    fn failed(&self) -> String {
        self.painted("1;31", "FAILED")
    }

    fn ok(&self) -> String {
        self.painted("32", "ok")
    }

    /// Everything about one destination.
    pub(super) fn finding(&mut self, finding: &Finding<'_>) {
        let Destination { name, crm, .. } = finding.destination;
        let head = self.bold(name);
        writeln!(self.text, "{head}  {crm}: {}", summary(crm)).ok();
        match &finding.account {
            Err(why) => {
                let failed = self.failed();
                self.line("settings", &format!("{failed}: {why}"));
            }
            Ok(examined) => self.examined(finding.destination, examined),
        }
        self.text.push('\n');
    }

    fn examined(&mut self, destination: &Destination, examined: &Examined) {
        let Examined { crm, examination: Examination { reached, catalog, searches }, comparison } = examined;
        self.standing(destination, &**crm);
        let words = self.answered(reached, Clone::clone);
        self.line("reach", &words);
        self.exchanges(reached);
        if let Some(asked) = catalog {
            let words = self.answered(asked, counted);
            self.line("lists", &words);
            if let Ok(catalog) = &asked.answer {
                self.catalog(catalog);
            }
            self.exchanges(asked);
        }
        for (sought, asked) in searches {
            let nobody = self.nobody && !matches!(sought, Sought::Contact(_));
            let words = self.answered(asked, |found| hits(found, nobody));
            self.line("search", &format!("{}: {words}", by(sought)));
            for contact in asked.answer.iter().flat_map(|found| &found.contacts) {
                self.contact(sought, contact);
            }
            self.exchanges(asked);
        }
        if catalog.as_ref().is_some_and(|asked| asked.answer.is_ok()) {
            let wrong = comparison.problems.len();
            self.line(
                "names",
                &match (comparison.names, wrong) {
                    (0, 0) => "nothing in the mappings to compare with the lists".to_owned(),
                    (names, 0) => format!("{} {names} names of the mappings are in the lists", self.ok()),
                    (names, wrong) => {
                        format!("{names} names of the mappings compared, {wrong} to look at, see below")
                    }
                },
            );
        }
    }

    /// What is known of it without asking.
    fn standing(&mut self, destination: &Destination, crm: &dyn Crm) {
        let bot = description(&destination.crm).and_then(|description| description.bot);
        self.line(
            "mode",
            match (destination.mode, bot) {
                (Mode::Live, None) => "live: leads are written",
                (Mode::Live, Some(_)) => "live: it is called",
                (Mode::Observe, None) => "observe: looks up and explains, writes nothing",
                (Mode::Observe, Some(_)) => "observe: explains, calls nothing",
                (Mode::Paused, _) => "paused: does nothing, the queue is kept",
            },
        );
        let windows: Vec<String> = crm.usage().windows.iter().map(ToString::to_string).collect();
        let limits =
            if windows.is_empty() { "no rate limit is known".to_owned() } else { windows.join("; ") };
        let batch = match crm.batch() {
            1 => String::new(),
            size => format!(", up to {size} leads in one"),
        };
        self.line(
            "budget",
            &format!("{limits}; {} calls at once{batch}, {:?} each", crm.concurrency(), destination.timeout),
        );
        let blind = match destination.blind {
            Blind::AtMostOnce => {
                "cannot be looked up: without an answer a person decides (`blind: at_most_once`)"
            }
            Blind::AtLeastOnce => {
                "cannot be looked up: without an answer it is sent again (`blind: at_least_once`)"
            }
        };
        if let Some(bot) = bot {
            self.bot(destination, bot, blind);
            return;
        }
        let settle =
            format!("looked up {:?} after a lost answer, then sent again if it is not there", crm.settle());
        let protections = [
            (Guarantee::Keyed, "may be repeated, the CRM takes it once"),
            (Guarantee::Findable, settle.as_str()),
            (Guarantee::Blind, blind),
        ];
        let mut margin = "safety";
        for (guarantee, words) in protections {
            let kinds = protected(crm, guarantee);
            if !kinds.is_empty() {
                self.line(margin, &format!("{}: {words}", kinds.join(", ")));
                margin = "";
            }
        }
        for (index, fallback) in fallbacks(crm.capabilities()).into_iter().enumerate() {
            self.line(if index == 0 { "lacks" } else { "" }, fallback);
        }
    }

    /// Whose chats it serves, what it can be asked to do, and what protects that from being done twice.
    fn bot(&mut self, destination: &Destination, bot: BotKind, blind: &str) {
        let own: Vec<&str> = destination.chats.iter().map(String::as_str).collect();
        let chats = if own.is_empty() { bot.chats.join(", ") } else { own.join(", ") };
        if !chats.is_empty() {
            self.line("chats", &chats);
        }
        for (index, operation) in bot.operations.iter().enumerate() {
            let words = format!("{}: {}", operation.name, operation.summary);
            self.line(if index == 0 { "can" } else { "" }, &words);
        }
        let mut margin = "safety";
        for (repeatable, words) in [(true, "may be repeated, twice does no more than once"), (false, blind)] {
            let names = bot.operations.iter().filter(|operation| operation.repeatable == repeatable);
            let names: Vec<&str> = names.map(|operation| operation.name).collect();
            if !names.is_empty() {
                self.line(margin, &format!("{}: {words}", names.join(", ")));
                margin = "";
            }
        }
    }

    fn answered<T>(&self, asked: &Asked<T>, words: impl Fn(&T) -> String) -> String {
        match &asked.answer {
            Ok(answer) => format!("{} in {} ms: {}", self.ok(), asked.took.as_millis(), words(answer)),
            Err(error) => format!("{}: {error}", self.failed()),
        }
    }

    fn catalog(&mut self, catalog: &Catalog) {
        if let Some(users) = &catalog.users {
            let (here, gone): (Vec<&User>, Vec<&User>) = users.iter().partition(|user| user.active);
            let words = self.listed(here.into_iter().map(person));
            self.line("users", &words);
            if !gone.is_empty() {
                let words = self.listed(gone.into_iter().map(person));
                self.line("", &format!("not active any more: {words}"));
            }
        }
        let pipelines = catalog.pipelines.iter().flatten().enumerate();
        for (index, pipeline) in pipelines {
            let stages: Vec<String> =
                pipeline.stages.iter().map(|stage| called(&stage.id, &stage.name)).collect();
            let name = called(&pipeline.id, &pipeline.name);
            let stages = if stages.is_empty() { "no stages".to_owned() } else { stages.join(" → ") };
            self.line(if index == 0 { "pipelines" } else { "" }, &format!("{name}: {stages}"));
        }
        let mut margin = "fields";
        for (of, fields) in [("contacts", &catalog.contact_fields), ("deals", &catalog.deal_fields)] {
            if let Some(fields) = fields {
                let words = self.listed(fields.iter().map(|field| self.field(field)));
                self.line(margin, &format!("of {of}: {words}"));
                margin = "";
            }
        }
    }

    fn field(&self, field: &Field) -> String {
        if self.verbose { format!("{} ({})", field.id, field.kind) } else { field.id.clone() }
    }

    fn listed(&self, names: impl Iterator<Item = String>) -> String {
        let names: Vec<String> = names.collect();
        let more = names.len().saturating_sub(NAMES_SHOWN);
        match names.len() {
            0 => "none".to_owned(),
            _ if self.verbose || more == 0 => names.join(", "),
            _ => {
                let shown: Vec<String> = names.into_iter().take(NAMES_SHOWN).collect();
                format!("{} and {more} more (--verbose)", shown.join(", "))
            }
        }
    }

    /// A contact with the reason why it is a hit: every CRM searches in its own way, so it is compared again here.
    fn contact(&mut self, sought: &Sought, contact: &FoundContact) {
        let name = contact.name.as_deref().unwrap_or("no name");
        let owner = contact.owner.as_deref().map(|owner| format!(", owner {owner}")).unwrap_or_default();
        let why = match sought {
            Sought::Phone(phone) => same(&contact.phones, |written| matching::same_phone(written, phone)),
            Sought::Email(email) => same(&contact.emails, |written| matching::same_email(written, email)),
            Sought::Contact(_) => String::new(),
        };
        self.line("", &format!("contact {} «{name}»{owner}{why}", contact.id));
        for deal in &contact.deals {
            let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
            let owner = deal.owner.as_deref().map(|owner| format!(", owner {owner}")).unwrap_or_default();
            let place = format!("{} / {}", part(&deal.pipeline), part(&deal.stage));
            self.line("", &format!("  open deal {} «{}» in {place}{owner}", deal.id, part(&deal.title)));
        }
    }

    /// The calls of a question: all of them when asked for, the last one when it failed.
    fn exchanges<T>(&mut self, asked: &Asked<T>) {
        let shown = match &asked.answer {
            _ if self.verbose => asked.exchanges.as_slice(),
            // Without a connection there is nothing to see.
            Err(CrmError::Retry { .. }) | Ok(_) => &[],
            Err(_) => asked.exchanges.last().map(std::slice::from_ref).unwrap_or_default(),
        };
        for exchange in shown {
            self.exchange(exchange);
        }
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let Exchange { operation, method, target, request, status, answer, milliseconds } = exchange;
        let head = self.painted("36", &format!("→ {operation}: {method} {target}"));
        self.line("", &head);
        self.body(request.as_deref());
        let took = milliseconds.map(|millis| format!(" in {millis} ms")).unwrap_or_default();
        let head = match status {
            Some(status) => format!("← {status}{took}"),
            None => format!("← no answer{took}"),
        };
        let head = self.painted("36", &head);
        self.line("", &head);
        self.body(answer.as_deref());
    }

    fn body(&mut self, body: Option<&str>) {
        let most = if self.verbose { MOST_LINES } else { LINES_SHOWN };
        let lines: Vec<&str> = body.unwrap_or_default().lines().collect();
        for line in lines.iter().take(most) {
            self.line("", &format!("  {line}"));
        }
        if lines.len() > most {
            let hint = if self.verbose { "--json" } else { "--verbose" };
            self.line("", &format!("  … {} more lines ({hint} shows more)", lines.len() - most));
        }
    }

    /// What to fix, and a line that sums up.
    pub(super) fn end(
        &mut self,
        files: &Files,
        findings: &[Finding<'_>],
        broken: &[&Problem],
        to_fix: &[Fix],
    ) {
        let names = findings.iter().flat_map(super::problems);
        let mut shown: Vec<&Problem> = Vec::new();
        // Two destinations of one account have the same problem at the same place.
        for problem in broken.iter().copied().chain(names) {
            if !shown.contains(&problem) {
                shown.push(problem);
            }
        }
        shown.sort_by_key(|problem| place(problem));
        for problem in &shown {
            self.text.push_str(&problem.render(files, self.colour));
            self.text.push('\n');
        }
        if !to_fix.is_empty() {
            let head = self.bold("To fix");
            writeln!(self.text, "{head}").ok();
            for (index, Fix { destination, what, todo }) in to_fix.iter().enumerate() {
                writeln!(self.text, "  {}. {destination}: {what}\n     {todo}", index + 1).ok();
            }
            self.text.push('\n');
        }
        let destinations = how_many(findings.len(), "destination", "destinations");
        let summary = match (to_fix.len(), shown.len()) {
            (0, 0) => format!("{destinations}, nothing to fix"),
            (things, 0) => format!("{destinations}, {} to fix", how_many(things, "thing", "things")),
            (0, problems) => {
                format!("{destinations}, {} to look at in the files", how_many(problems, "place", "places"))
            }
            (things, problems) => format!(
                "{destinations}, {} to fix, {} to look at in the files",
                how_many(things, "thing", "things"),
                how_many(problems, "place", "places"),
            ),
        };
        self.text.push_str(&summary);
    }
}

fn counted(catalog: &Catalog) -> String {
    let lists = [
        ("contact field", catalog.contact_fields.as_ref().map(Vec::len)),
        ("deal field", catalog.deal_fields.as_ref().map(Vec::len)),
        ("user", catalog.users.as_ref().map(Vec::len)),
        ("pipeline", catalog.pipelines.as_ref().map(Vec::len)),
    ];
    let told: Vec<String> = lists
        .iter()
        .filter_map(|(what, count)| count.map(|count| how_many(count, what, &format!("{what}s"))))
        .collect();
    let silent: Vec<String> =
        lists.iter().filter(|(_, count)| count.is_none()).map(|(what, _)| format!("{what}s")).collect();
    match (told.is_empty(), silent.is_empty()) {
        (true, _) => "none; names in mappings cannot be compared".to_owned(),
        (false, true) => told.join(", "),
        (false, false) => {
            format!("{}; {} are not listed, so they are not compared", told.join(", "), silent.join(", "))
        }
    }
}

fn hits(found: &Found, nobody: bool) -> String {
    let hits = match (found.contacts.len(), nobody) {
        (0, true) => "nobody, as it should be".to_owned(),
        (0, false) => "nobody".to_owned(),
        (count, _) => how_many(count, "contact", "contacts"),
    };
    match found.passed_over {
        0 => hits,
        others => format!(
            "{hits}; the CRM also gave {} of somebody else: does its search look at what it is asked for?",
            how_many(others, "contact", "contacts")
        ),
    }
}

fn person(user: &User) -> String {
    match user.login.as_deref().filter(|login| !login.is_empty()) {
        Some(login) => format!("{} ({login})", user.name),
        None => called(&user.id, &user.name),
    }
}

/// A name with its id, where they differ.
fn called(id: &str, name: &str) -> String {
    if id == name { name.to_owned() } else { format!("{name} ({id})") }
}

fn same(written: &[String], is_same: impl Fn(&str) -> bool) -> String {
    match written.iter().find(|text| is_same(text)) {
        Some(text) => format!(": «{text}» is the same after cleaning"),
        None => String::new(),
    }
}
