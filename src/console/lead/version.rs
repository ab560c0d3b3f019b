//! The mapping that made a lead beside today's.

use axum::extract::{Path, State};
use maud::{Markup, html};

use super::{found, title};
use crate::console::Console;
use crate::console::difference::difference;
use crate::console::guard::Reader;
use crate::console::page::{Failure, Section, page};
use crate::operation::mappings::Compared;
use crate::workspace::short;

pub(super) async fn changed_since(
    State(console): State<Console>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Markup, Failure> {
    let (id, lead) = found(&console, &reader, &id).await?;
    let store = &console.means.store;
    let (then, today) = (store.version(&lead.version).await?, store.active_version().await?);
    let is_kept = then.is_some();
    let compared = then
        .zip(today.as_ref())
        .map(|(then, (_, today))| of_its_files(Compared::between(&then, today), &lead.row.source));
    let content = html! {
        p { a href={ "/leads/" (id) } { "← " (title(&reader, &lead)) } }
        p {
            (reader.say("Made by version ", "Зроблено версією ")) code { (short(&lead.version)) }
            @if let Some((hash, _)) = &today { (reader.say("; today’s is ", "; сьогоднішня — ")) code { (short(hash)) } }
        }
        @match &compared {
            _ if !is_kept => p.message { (reader.say(
                "The text of that version is not kept any more.",
                "Тексту тієї версії вже немає.",
            )) },
            Some(compared) if compared.files.is_empty() && compared.secrets.is_empty() => p.message.good { (reader.say(
                "What this lead was made with has not changed: neither its mapping nor the workspace.",
                "Те, чим зроблено цей лід, не змінилося: ні мапінг, ні налаштування.",
            )) },
            Some(compared) => (difference(&reader, compared)),
            None => {},
        }
    };
    let name = reader.say("What has changed since", "Що змінилося відтоді");
    Ok(page(&reader, Some(Section::Registry), name, &content))
}

/// What differs in the files that a lead of this source is made with.
fn of_its_files(mut compared: Compared, source: &str) -> Compared {
    let mapping = format!("{source}.yaml");
    let is_its = |file: &str| file == mapping || file == "workspace.yaml";
    compared.files.retain(|difference| is_its(&difference.file));
    compared.secrets.retain(|file| is_its(file));
    compared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::mappings::FileDifference;

    #[test]
    fn only_what_it_was_made_with_is_told() {
        let names = ["shop.yaml", "site.yaml", "workspace.yaml"].map(str::to_owned);
        let files = names.iter().map(|file| FileDifference {
            file: file.clone(),
            added: 1,
            removed: 0,
            diff: String::new(),
        });
        let compared = Compared { files: files.collect(), secrets: names.to_vec() };
        let its = of_its_files(compared, "site");
        let kept: Vec<&str> = its.files.iter().map(|difference| difference.file.as_str()).collect();
        assert_eq!(kept, ["site.yaml", "workspace.yaml"]);
        assert_eq!(its.secrets, ["site.yaml", "workspace.yaml"]);
    }
}
