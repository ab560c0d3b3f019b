//! The file of a new source: first one that keeps what comes, then one that says what becomes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::of_deliveries;
use crate::access::Role;
use crate::event::{self, preset};
use crate::map::{HIDDEN, Placeholder, source_of, token_in};
use crate::operation::{Means, NO_VERSION, Operation, OperationError};
use crate::store::rehearsal::Selection;

/// Presets that a new source can begin with; the others need more than an address.
pub fn presets() -> Vec<&'static event::Preset> {
    let needs_more =
        |name: &str| name == event::ESPUTNIK_TOKENS || name == event::TRIGGER || event::are_postbacks(name);
    event::PRESETS.iter().copied().filter(|preset| !needs_more(preset.name)).collect()
}

/// Writes the file of a source. Changes nothing: [`super::SaveMappings`] makes it active.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftSource {
    /// What it says.
    pub draft: Draft,
}

/// What the file of a source says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The source's name.
    pub name: String,
    /// Its preset.
    pub preset: String,
    /// The CRMs that its leads go to.
    pub to: Vec<String>,
    /// Who gets its deals.
    #[serde(default)]
    pub owners: Option<String>,
    /// What is read from where. Empty for a source that only keeps what comes: it is paused, and has a new token. With it the
    /// file of a source that is there is written anew, and its token stays.
    #[serde(default)]
    pub picks: BTreeMap<Pick, String>,
}

/// What can be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// The contact's name.
    Name,
    /// The contact's phone.
    Phone,
    /// The contact's email.
    Email,
    /// What the deal is called, behind the source's name.
    Title,
    /// What is noted.
    Note,
}

impl Pick {
    /// All, in the order of the file.
    pub const ALL: [Self; 5] = [Self::Name, Self::Phone, Self::Email, Self::Title, Self::Note];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Title => "title",
            Self::Note => "note",
        }
    }

    /// The placeholder that probably is it, by the last word of its path, or by the first of our words inside of that.
    pub fn guess(self, found: &[Placeholder]) -> Option<&str> {
        let words: &[&str] = match self {
            Self::Name => {
                &["name", "full_name", "fullname", "first_name", "ім’я", "імя", "имя", "піб", "фио"]
            }
            Self::Phone => &["phone", "phone_number", "tel", "telephone", "mobile", "телефон"],
            Self::Email => &["mail", "email", "e-mail", "пошта", "почта"],
            Self::Title => &["form", "form_name", "product", "subject", "title"],
            Self::Note => &["comment", "message", "text", "note", "коментар", "комментарий"],
        };
        let last = |path: &str| {
            let last = path.rsplit(['.', '[']).next().unwrap_or(path);
            last.trim_matches(['\'', '"', ']']).to_lowercase()
        };
        // A bot has a name too, and it is nobody's.
        let of_somebody =
            |found: &&Placeholder| !found.reads.is_empty() && !found.path.to_lowercase().contains("bot");
        let first = |fits: &dyn Fn(&str) -> bool| {
            found.iter().filter(of_somebody).find(|found| fits(&last(&found.path)))
        };
        let same = words.iter().find_map(|word| first(&|last| last == *word));
        let inside = || words.first().and_then(|word| first(&|last| last.contains(word)));
        same.or_else(inside).map(|found| found.path.as_str())
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drafted {
    /// Its name.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Shows what came to a source last. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtArrived {
    /// The source.
    pub source: String,
}

/// Shows where a source is sent to, with its token, while the source is set up and its token stands in its file. Changes
/// nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtAddress {
    /// The source.
    pub source: String,
}

/// Where a source is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// `/in/<source>/<token>`; absent once the source is on, and where the token comes from the environment.
    pub path: Option<String>,
    /// Who gets the deals of its first branch.
    pub owners: Option<String>,
}

/// What came to a source last.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Arrived {
    /// When; absent when nothing came yet.
    pub at: Option<Timestamp>,
    /// The events of that delivery.
    pub events: Vec<Value>,
    /// Why they could not be read.
    pub unreadable: Option<String>,
    /// What can be read from the last few deliveries.
    pub placeholders: Vec<Placeholder>,
}

impl Operation for DraftSource {
    const PATH: &'static str = "/api/mappings/draft";
    const ROLE: Role = Role::Admin;
    type Answer = Drafted;

    /// It changes nothing.
    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Drafted, OperationError> {
        let Self { draft } = self;
        let workspace = means.active().await?;
        let refused = |why: String| Err(OperationError::Refused(why));
        let file = format!("{}.yaml", draft.name);
        if let Err(why) = source_of(&file) {
            return refused(why);
        }
        let is_there = workspace.sources.contains_key(&draft.name);
        if draft.name == "workspace" || (draft.picks.is_empty() && is_there) {
            return refused(format!("there is a {file} already: give the source another name"));
        }
        if !draft.picks.is_empty() && !is_there {
            return refused(format!("there is no source '{}' in the active version", draft.name));
        }
        if !presets().iter().any(|preset| preset.name == draft.preset) {
            return refused(format!("there is no preset '{}' to begin a source with", draft.preset));
        }
        let crms = |name: &&String| {
            !workspace.destinations.contains_key(*name) || workspace.bots.contains_key(*name)
        };
        if let Some(name) = draft.to.iter().find(crms) {
            return refused(format!("the workspace has no CRM '{name}'"));
        }
        if draft.to.is_empty() {
            return refused("say to which CRM the leads go".to_owned());
        }
        if let Some(pool) = draft.owners.as_ref().filter(|pool| !workspace.owner_pools.contains_key(*pool)) {
            return refused(format!("the workspace has no owner pool '{pool}'"));
        }
        let token = draft.picks.is_empty().then(|| URL_SAFE_NO_PAD.encode(means.clock.secret()));
        Ok(Drafted { file, text: text(&draft, token.as_deref()) })
    }
}

impl Operation for LookAtArrived {
    const PATH: &'static str = "/api/mappings/arrived";
    const ROLE: Role = Role::Viewer;
    type Answer = Arrived;

    async fn run(self, means: &Means) -> Result<Arrived, OperationError> {
        let workspace = means.active().await?;
        let selection = Selection { source: Some(self.source.clone()), ..Selection::default() };
        let stored = means.store.stored_deliveries(&selection, None, FEW).await?;
        let newest = stored.first();
        let preset = workspace.sources.get(&self.source).and_then(|source| preset(&source.preset));
        let split = newest.zip(preset).map(|(stored, preset)| (preset.split)(&stored.delivery));
        let (events, unreadable) = match split {
            None => (Vec::new(), None),
            Some(Ok(events)) => (events.into_iter().map(|event| event.payload).collect(), None),
            Some(Err(unreadable)) => (Vec::new(), Some(unreadable.0)),
        };
        let at = newest.map(|stored| stored.delivery.received_at);
        Ok(Arrived { at, events, unreadable, placeholders: of_deliveries(&workspace, &stored) })
    }
}

impl Operation for LookAtAddress {
    const PATH: &'static str = "/api/mappings/address";
    const ROLE: Role = Role::Admin;
    type Answer = Address;

    /// It changes nothing.
    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Address, OperationError> {
        let Some((_, files)) = means.store.active_version().await? else {
            return Err(OperationError::Refused(NO_VERSION.to_owned()));
        };
        let workspace = means.active().await?;
        let source = workspace.sources.get(&self.source);
        let token = files.0.get(&format!("{}.yaml", self.source)).and_then(|text| token_in(text));
        let token = token.filter(|_| source.is_some_and(|source| source.paused));
        let first = source.and_then(|source| source.mapping.as_ref().ok()?.branches().first());
        Ok(Address {
            path: token.map(|token| format!("/in/{}/{token}", self.source)),
            owners: first.and_then(|branch| branch.owners.clone()),
        })
    }
}

/// Deliveries that are looked at: platforms send several kinds of events.
const FEW: usize = 5;

/// Of a source that nothing is known of yet.
const UNKNOWN: [(Pick, &str); 3] = [(Pick::Name, "name"), (Pick::Phone, "phone"), (Pick::Email, "email")];

/// The file as a person would write it. Without a token it has the one that is hidden.
fn text(draft: &Draft, token: Option<&str>) -> String {
    let Draft { name, preset, to, owners, picks } = draft;
    let summary = event::preset(preset).map_or("", |preset| preset.summary);
    let unknown = picks.is_empty();
    let read = |pick: Pick| -> Option<String> {
        let path = match picks.get(&pick) {
            Some(path) => Some(path.as_str()),
            None if unknown => UNKNOWN.iter().find(|(known, _)| *known == pick).map(|(_, path)| *path),
            None => None,
        };
        path.map(str::trim).filter(|path| !path.is_empty()).map(|path| format!("{{{{ {path} }}}}"))
    };
    let mut text = String::new();
    let mut line = |words: &str| {
        // Writing to a String cannot fail.
        writeln!(text, "{words}").unwrap_or_default();
    };
    line(&format!("# {summary}."));
    line(&format!("# The address is https://<your host>/in/{name}/<token>; whoever has it can send leads."));
    line("#");
    line(
        "# Everything between {{ and }} is read from the event. What is missing there stays empty in the CRM.",
    );
    line("");
    line("source:");
    line(&format!("  preset: {preset}"));
    let variable = format!("{}_HOOK_TOKEN", name.replace('-', "_").to_uppercase());
    line(&format!(
        "  # To keep it out of this file, set {variable} for the server, and write \"${{{variable}}}\" here."
    ));
    line(&format!("  token: {}", quoted(token.unwrap_or(HIDDEN))));
    if unknown {
        line(
            "  paused: true                                    # what comes is kept and waits until this line is gone",
        );
    }
    line("");
    line("# The first entry whose `when` holds takes the lead; one without `when` takes all.");
    line("leads:");
    line("  - name: all");
    line(&format!("    to: [{}]", to.join(", ")));
    if let Some(owners) = owners {
        line(&format!("    owners: {owners}"));
    }
    if read(Pick::Phone).is_some() {
        line("    phone:");
        line(
            "      regions: [UA]                               # where a number without a country code may be from, in order",
        );
        line("      if_invalid: keep_as_note                    # or: send_raw, email_only, reject");
    }
    let contact: Vec<(Pick, String)> = [Pick::Name, Pick::Phone, Pick::Email]
        .into_iter()
        .filter_map(|pick| Some((pick, read(pick)?)))
        .collect();
    if !contact.is_empty() {
        line("    contact:");
    }
    for (pick, value) in contact {
        line(&format!("      {:<7}{}", format!("{}:", pick.as_str()), quoted(&value)));
    }
    let title = match read(Pick::Title) {
        Some(placeholder) => format!("{name}: {placeholder}"),
        None => format!("Lead from {name}"),
    };
    line(&format!("    deal: {{ title: {} }}", quoted(&title)));
    line(&format!("    task: {{ title: {}, due: +2h }}", quoted(&format!("Came back: {name}"))));
    if let Some(note) = read(Pick::Note) {
        line(&format!("    note: {}", quoted(&note)));
    }
    line("    rules:");
    line("      preset: leadbox");
    line("      update: only_empty                          # or: none, all");
    text
}

/// A text in double quotes, as YAML and JSON read it alike.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::kinds;
    use crate::map::{Files, compile};

    fn draft(picks: &[(Pick, &str)]) -> Draft {
        Draft {
            name: "shop".to_owned(),
            preset: "json".to_owned(),
            to: vec!["crm".to_owned()],
            owners: Some("sales".to_owned()),
            picks: picks.iter().map(|(pick, path)| (*pick, (*path).to_owned())).collect(),
        }
    }

    const WORKSPACE: &str = "\
destinations: { crm: { crm: sandbox, url: \"http://127.0.0.1:9900\", token: demo } }
owner_pools: { sales: [olha] }
";

    fn compiled(text: &str) -> crate::map::Compiled {
        let files = [("workspace.yaml", WORKSPACE), ("shop.yaml", text)];
        let files = Files(files.map(|(file, text)| (file.to_owned(), text.to_owned())).into());
        let presets: Vec<&str> = event::PRESETS.iter().map(|preset| preset.name).collect();
        compile(&files, &|_| None, &kinds(), &presets)
    }

    #[test]
    fn what_is_written_compiles() {
        for preset in presets() {
            for picks in [vec![], vec![(Pick::Phone, "contact.phone")], vec![(Pick::Note, "text")]] {
                let text = text(&Draft { preset: preset.name.to_owned(), ..draft(&picks) }, Some("t0ken"));
                let compiled = compiled(&text);
                assert_eq!(compiled.problems, [], "{text}");
                assert_eq!(compiled.workspace.sources["shop"].paused, picks.is_empty());
            }
        }
    }

    #[test]
    fn it_reads_as_a_person_would_write_it() {
        let picks = [
            (Pick::Name, "contact.name"),
            (Pick::Phone, "contact.variables['Ваш телефон']"),
            (Pick::Email, " "),
            (Pick::Title, "form"),
        ];
        let text = text(&draft(&picks), None);
        for line in [
            "  token: \"••••••\"\n",
            "    to: [crm]\n    owners: sales\n",
            "      name:  \"{{ contact.name }}\"\n      phone: \"{{ contact.variables['Ваш телефон'] }}\"\n    deal: {",
            "    deal: { title: \"shop: {{ form }}\" }\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("email:") && !text.contains("paused"), "{text}");
    }

    #[test]
    fn what_is_picked_stays_one_value() {
        let text =
            text(&draft(&[(Pick::Name, "x }}\"\nsource: { token: evil }\n#"), (Pick::Note, "a\\b")]), None);
        assert_eq!(text.lines().filter(|line| line.starts_with("source")).count(), 1, "{text}");
    }

    #[test]
    fn what_is_probably_meant_is_found() {
        let found: Vec<Placeholder> = [
            ("bot.name", "Shop"),
            ("contact.phone", ""),
            ("contact.variables['Телефон']", "067"),
            ("contact.email", "a@b.c"),
            ("contact.first_name", "Olha"),
        ]
        .map(|(path, reads)| Placeholder { path: path.to_owned(), reads: reads.to_owned() })
        .to_vec();
        assert_eq!(Pick::Phone.guess(&found), Some("contact.variables['Телефон']"));
        assert_eq!(Pick::Email.guess(&found), Some("contact.email"));
        assert_eq!(Pick::Name.guess(&found), Some("contact.first_name"), "not the name of the bot");
        assert_eq!(Pick::Note.guess(&found), None);
    }
}
