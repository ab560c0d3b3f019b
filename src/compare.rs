//! What a workspace names × what a CRM has → problems, at the place of each name. Pure.
//!
//! What a CRM does not list is not compared, and neither is a value that only an event knows.

use std::collections::BTreeSet;

use crate::crm::catalog::{Catalog, Field, NAMES_SHOWN, Pipeline, Stage, UnknownName, User};
use crate::decide::Capabilities;
use crate::map::{Mention, Name, Problem, Severity, closest};

/// A CRM account as it describes itself.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The destination's name in the workspace.
    pub destination: &'a str,
    /// Its lists.
    pub catalog: &'a Catalog,
    /// What it has at all.
    pub can: Capabilities,
}

/// What came of comparing.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Names that could be looked up.
    pub names: usize,
    /// What is wrong, in the order of the mentions.
    pub problems: Vec<Problem>,
}

/// Compares every name that is meant for this account.
pub fn compare(mentions: &[Mention], account: &Account<'_>) -> Comparison {
    let mut comparison = Comparison::default();
    let mut lacks = BTreeSet::new();
    for mention in mentions.iter().filter(|mention| mention.to.contains(account.destination)) {
        match account.look_up(&mention.name) {
            Verdict::Known => comparison.names += 1,
            Verdict::Wrong(severity, message, help) => {
                comparison.names += 1;
                comparison.problems.push(Problem::new(severity, &mention.file, mention.span, message, help));
            }
            // Said once: it is the same everywhere.
            Verdict::Lacks(what, message) if lacks.insert(what) => {
                let problem = Problem::new(Severity::Warning, &mention.file, mention.span, message, None);
                comparison.problems.push(problem);
            }
            Verdict::NotListed | Verdict::Lacks(..) => {}
        }
    }
    comparison
}

/// What a CRM lacks, and what happens instead; one line each.
pub fn fallbacks(can: Capabilities) -> Vec<&'static str> {
    let all = [
        (can.deals, NO_DEALS),
        (can.tasks, NO_TASKS),
        (can.notes, NO_NOTES),
        (can.contact_updates, "no updates of contacts: they stay as they are, and what differs is said"),
        (
            can.deal_updates || !can.deals,
            "no updates of deals: they stay as they are, and what differs is said",
        ),
    ];
    all.into_iter().filter(|(has, _)| !has).map(|(_, fallback)| fallback).collect()
}

const NO_DEALS: &str =
    "no deals: a lead makes or meets a contact alone, and the deal's values go into a note";
const NO_TASKS: &str = "no tasks: a repeated lead leaves a note instead";
const NO_NOTES: &str = "no notes: their text goes into the task, where there is one";

/// What became of looking a name up.
enum Verdict {
    /// The CRM does not list such things, or has no need for them.
    NotListed,
    Known,
    Wrong(Severity, String, Option<String>),
    /// The CRM has no such things at all.
    Lacks(&'static str, String),
}

impl Account<'_> {
    fn look_up(&self, name: &Name) -> Verdict {
        let crm = self.destination;
        match name {
            Name::ContactField(field) => {
                let listed = self.catalog.contact_fields.as_deref();
                self.field("contacts", field, listed, self.catalog.contact_field(field))
            }
            Name::DealField(field) if self.can.deals => {
                let listed = self.catalog.deal_fields.as_deref();
                self.field("deals", field, listed, self.catalog.deal_field(field))
            }
            Name::PolicyField(field) => self.policy_field(field),
            Name::User { user, away } => self.user(user, *away),
            Name::Pipeline(pipeline) if self.can.deals => match self.catalog.pipeline(pipeline) {
                Ok(None) => Verdict::NotListed,
                Ok(Some(_)) => Verdict::Known,
                Err(unknown) => {
                    let known = self.catalog.pipelines.iter().flatten().flat_map(Pipeline::names);
                    wrong(format!("there is no pipeline `{pipeline}` in `{crm}`"), &unknown, known)
                }
            },
            Name::Stage { stage, pipelines } if self.can.deals => self.stage(stage, pipelines),
            Name::Deals if !self.can.deals => self.lacks(NO_DEALS),
            Name::Tasks if !self.can.tasks => self.lacks(NO_TASKS),
            Name::Notes if !self.can.notes => self.lacks(NO_NOTES),
            Name::DealField(_)
            | Name::Pipeline(_)
            | Name::Stage { .. }
            | Name::Deals
            | Name::Tasks
            | Name::Notes => Verdict::NotListed,
        }
    }

    fn lacks(&self, fallback: &'static str) -> Verdict {
        Verdict::Lacks(fallback, format!("`{}` has {fallback}", self.destination))
    }

    fn field(
        &self,
        of: &str,
        written: &str,
        listed: Option<&[Field]>,
        found: Result<Option<&Field>, UnknownName>,
    ) -> Verdict {
        let crm = self.destination;
        match found {
            Ok(None) => Verdict::NotListed,
            Ok(Some(field)) if field.id == written => Verdict::Known,
            // Some adapters find it all the same.
            Ok(Some(Field { id, .. })) => Verdict::Wrong(
                Severity::Warning,
                format!("`{written}` is what people see in `{crm}`; the field is `{id}`"),
                Some(format!(
                    "write `{id}`: what people see changes with their language, and two fields may share it"
                )),
            ),
            Err(unknown) => {
                let known = listed.unwrap_or_default().iter().flat_map(Field::names);
                wrong(format!("{of} of `{crm}` have no field `{written}`"), &unknown, known)
            }
        }
    }

    /// Its own fields have the names that mappings give them.
    fn policy_field(&self, written: &str) -> Verdict {
        const OWN: [&str; 6] = ["name", "phone", "email", "title", "pipeline", "stage"];
        if OWN.contains(&written) {
            return Verdict::Known;
        }
        match (self.catalog.contact_field(written), self.catalog.deal_field(written)) {
            (Ok(Some(_)), _) | (_, Ok(Some(_))) => Verdict::Known,
            (Ok(None), _) | (_, Ok(None)) => Verdict::NotListed,
            (Err(_), Err(_)) => {
                let lists = [&self.catalog.contact_fields, &self.catalog.deal_fields];
                let known = lists.into_iter().flatten().flatten().flat_map(Field::names);
                let near = closest(written, known.chain(OWN));
                let message = format!(
                    "neither contacts nor deals of `{}` have a field `{written}`, so this line does nothing",
                    self.destination
                );
                Verdict::Wrong(Severity::Warning, message, near.map(|near| format!("did you mean `{near}`?")))
            }
        }
    }

    fn user(&self, written: &str, away: bool) -> Verdict {
        let crm = self.destination;
        match self.catalog.user(written) {
            Ok(None) => Verdict::NotListed,
            Ok(Some(user)) if user.active || away => Verdict::Known,
            Ok(Some(user)) => Verdict::Wrong(
                Severity::Warning,
                format!("`{written}` ({}) is not active in `{crm}` any more", user.name),
                Some("take them out of the pool, write `away: true`, or activate them in the CRM".to_owned()),
            ),
            Err(unknown) => {
                let known = self.catalog.users.iter().flatten().flat_map(User::names);
                wrong(format!("there is no user `{written}` in `{crm}`"), &unknown, known)
            }
        }
    }

    /// A pipeline that does not exist has a problem of its own.
    fn stage(&self, written: &str, pipelines: &[String]) -> Verdict {
        let crm = self.destination;
        let Some(listed) = &self.catalog.pipelines else { return Verdict::NotListed };
        let existing: Vec<_> =
            pipelines.iter().filter_map(|name| self.catalog.pipeline(name).ok().flatten()).collect();
        let among: Vec<&Pipeline> = if pipelines.is_empty() { listed.iter().collect() } else { existing };
        if among.is_empty() {
            return Verdict::NotListed;
        }
        if among.iter().any(|pipeline| pipeline.stage(written).is_ok()) {
            return Verdict::Known;
        }
        let stages = || among.iter().flat_map(|pipeline| &pipeline.stages);
        let mut seen = BTreeSet::new();
        let known = stages().map(|stage| stage.name.clone()).filter(|name| seen.insert(name.clone()));
        let unknown = UnknownName { what: "stage", written: written.to_owned(), known: known.collect() };
        let message = match among.as_slice() {
            [only] => format!("there is no stage `{written}` in pipeline `{}` of `{crm}`", only.name),
            all => {
                let names: Vec<&str> = all.iter().map(|pipeline| pipeline.name.as_str()).collect();
                format!("none of these pipelines of `{crm}` has a stage `{written}`: {}", names.join(", "))
            }
        };
        wrong(message, &unknown, stages().flat_map(Stage::names))
    }
}

/// A name that the CRM refuses, with what was probably meant, and what there is. Where not all names are shown, one that
/// is near says more than some of them.
fn wrong<'a>(message: String, unknown: &UnknownName, known: impl Iterator<Item = &'a str>) -> Verdict {
    let instead = unknown.instead();
    let help = match (closest(&unknown.written, known), unknown.known.len() <= NAMES_SHOWN) {
        (Some(near), true) => format!("did you mean `{near}`? In the CRM {instead}"),
        (Some(near), false) => format!("did you mean `{near}`?"),
        (None, true) => format!("in the CRM {instead}"),
        (None, false) => format!("in the CRM {instead}; `leadfold doctor --verbose` lists them all"),
    };
    Verdict::Wrong(Severity::Error, message, Some(help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Files, mentions};

    fn field(id: &str, name: &str) -> Field {
        Field { id: id.into(), name: name.into(), kind: "text".into() }
    }

    fn pipeline(name: &str, stages: &[&str]) -> Pipeline {
        let stage = |name: &&str| Stage { id: format!("{name}-id"), name: (*name).into() };
        Pipeline { id: format!("{name}-id"), name: name.into(), stages: stages.iter().map(stage).collect() }
    }

    fn catalog() -> Catalog {
        let user = |id: &str, name: &str, active| User {
            id: id.into(),
            name: name.into(),
            login: Some(format!("{id}@example.com")),
            active,
        };
        Catalog {
            contact_fields: Some(vec![field("telegram_chat", "Telegram"), field("city", "Місто")]),
            deal_fields: Some(vec![field("utm_source", "UTM")]),
            users: Some(vec![user("olha", "Olha K.", true), user("ivan", "Ivan", false)]),
            pipelines: Some(vec![
                pipeline("Основна", &["Нова", "Won"]),
                pipeline("Регіони", &["Прийнята", "Won"]),
            ]),
        }
    }

    fn of(name: Name) -> Mention {
        let to = ["crm".to_owned()].into();
        Mention { file: "a.yaml".into(), span: crate::map::Span::default(), to, name }
    }

    /// `None`: nothing is wrong.
    fn check(name: &Name, expect: Option<&str>) {
        let catalog = catalog();
        let account = Account { destination: "crm", catalog: &catalog, can: Capabilities::ALL };
        let comparison = compare(&[of(name.clone())], &account);
        let told = comparison.problems.first().map(|problem| {
            let kind = if problem.severity == Severity::Error { "error" } else { "warning" };
            format!("{kind}: {} | {}", problem.message, problem.help.as_deref().unwrap_or("–"))
        });
        assert_eq!(told.as_deref(), expect, "{name:?}");
        assert_eq!(comparison.names, 1, "{name:?}");
    }

    fn user(user: &str, away: bool) -> Name {
        Name::User { user: user.into(), away }
    }

    fn stage(stage: &str, pipelines: &[&str]) -> Name {
        Name::Stage { stage: stage.into(), pipelines: pipelines.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn users() {
        check(&user("olha", false), None);
        check(&user("OLHA K.", false), None);
        check(&user("olha@example.com", false), None);
        check(&user("ivan", true), None);
        check(
            &user("ivan", false),
            Some(
                "warning: `ivan` (Ivan) is not active in `crm` any more | take them out of the pool, write `away: true`, \
                 or activate them in the CRM",
            ),
        );
        check(
            &user("olga", false),
            Some(
                "error: there is no user `olga` in `crm` | did you mean `olha`? In the CRM there are Olha K., Ivan",
            ),
        );
        check(
            &user("head-of-sales", false),
            Some("error: there is no user `head-of-sales` in `crm` | in the CRM there are Olha K., Ivan"),
        );
    }

    #[test]
    fn fields() {
        check(&Name::ContactField("city".into()), None);
        check(&Name::DealField("utm_source".into()), None);
        check(
            &Name::ContactField("telegram".into()),
            Some(
                "warning: `telegram` is what people see in `crm`; the field is `telegram_chat` | write `telegram_chat`: what people see changes with their language, and two fields may share it",
            ),
        );
        check(
            &Name::DealField("utm_sourse".into()),
            Some(
                "error: deals of `crm` have no field `utm_sourse` | did you mean `utm_source`? In the CRM there is utm_source",
            ),
        );
        for own in ["name", "phone", "stage", "city", "utm_source"] {
            check(&Name::PolicyField(own.into()), None);
        }
        check(
            &Name::PolicyField("phones".into()),
            Some(
                "warning: neither contacts nor deals of `crm` have a field `phones`, so this line does nothing | did you \
                 mean `phone`?",
            ),
        );
    }

    #[test]
    fn hundreds_of_names_are_not_listed() {
        let many = (0..100).map(|number| field(&format!("x_field_{number}"), "")).collect();
        let catalog = Catalog { contact_fields: Some(many), ..Catalog::default() };
        let account = Account { destination: "crm", catalog: &catalog, can: Capabilities::ALL };
        let told = |name: &str| {
            let comparison = compare(&[of(Name::ContactField(name.into()))], &account);
            comparison.problems[0].help.clone().unwrap()
        };
        assert_eq!(told("x_feild_77"), "did you mean `x_field_77`?");
        let help = told("telegram");
        assert!(help.contains("x_field_0, ") && !help.contains("x_field_12"), "{help}");
        assert!(help.ends_with("and 88 more; `leadfold doctor --verbose` lists them all"), "{help}");
    }

    #[test]
    fn pipelines_and_stages() {
        check(&Name::Pipeline("основна".into()), None);
        check(&Name::Pipeline("Основна-id".into()), None);
        check(
            &Name::Pipeline("Осовна".into()),
            Some(
                "error: there is no pipeline `Осовна` in `crm` | did you mean `Основна`? In the CRM there are Основна, Регіони",
            ),
        );
        check(&stage("Нова", &["Основна"]), None);
        check(&stage("Прийнята", &[]), None);
        check(&stage("Won", &["Основна", "Регіони"]), None);
        check(
            &stage("Нова", &["Регіони"]),
            Some(
                "error: there is no stage `Нова` in pipeline `Регіони` of `crm` | in the CRM there are Прийнята, Won",
            ),
        );
        check(
            &stage("Lost", &[]),
            Some(
                "error: none of these pipelines of `crm` has a stage `Lost`: Основна, Регіони | in the CRM there are Нова, \
                 Won, Прийнята",
            ),
        );
    }

    #[test]
    fn what_cannot_be_known_is_not_compared() {
        let nothing = Catalog::default();
        let account = Account { destination: "crm", catalog: &nothing, can: Capabilities::ALL };
        let names = [
            user("x", false),
            stage("x", &["y"]),
            Name::Pipeline("x".into()),
            Name::ContactField("x".into()),
        ];
        let comparison = compare(&names.map(of), &account);
        assert_eq!((comparison.names, comparison.problems), (0, vec![]));
        // A stage of a pipeline that does not exist has no problem beyond the pipeline's.
        let catalog = catalog();
        let account = Account { destination: "crm", catalog: &catalog, can: Capabilities::ALL };
        assert_eq!(compare(&[of(stage("x", &["Other"]))], &account).problems, []);
        // What goes elsewhere is no business of this account.
        let account = Account { destination: "shop", ..account };
        assert_eq!(compare(&[of(user("x", false))], &account).problems, []);
    }

    #[test]
    fn what_a_crm_lacks_is_said_once_and_spares_its_names() {
        let catalog = catalog();
        let can = Capabilities { deals: false, tasks: false, ..Capabilities::ALL };
        let account = Account { destination: "crm", catalog: &catalog, can };
        let names =
            [Name::Deals, Name::Tasks, Name::Notes, Name::Deals, Name::Pipeline("x".into()), Name::Tasks];
        let comparison = compare(&names.map(of), &account);
        let told: Vec<&str> = comparison.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "`crm` has no deals: a lead makes or meets a contact alone, and the deal's values go into a note",
                "`crm` has no tasks: a repeated lead leaves a note instead"
            ]
        );
        assert!(comparison.problems.iter().all(|problem| problem.severity == Severity::Warning));
    }

    #[test]
    fn the_shipped_mappings_name_what_the_shipped_account_has() {
        let files = crate::demo::MAPPINGS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let account: serde_json::Value =
            serde_saphyr::from_str(include_str!("../fixtures/account.yaml")).unwrap();
        let texts = |key: &str, inner: &str| -> Vec<String> {
            let items = account[key].as_array().unwrap().iter();
            items.map(|item| item.get(inner).unwrap_or(item).as_str().unwrap().to_owned()).collect()
        };
        let users = texts("users", "id").into_iter().map(|id| User {
            name: id.clone(),
            login: None,
            active: true,
            id,
        });
        let mut catalog = Catalog { users: Some(users.collect()), ..catalog() };
        let fields = |key: &str| Some(texts(key, "").iter().map(|id| field(id, id)).collect());
        catalog.contact_fields = fields("contact_fields");
        catalog.deal_fields = fields("deal_fields");
        let pipelines = account["pipelines"].as_array().unwrap().iter().map(|item| {
            let stages: Vec<&str> =
                item["stages"].as_array().unwrap().iter().map(|stage| stage.as_str().unwrap()).collect();
            pipeline(item["name"].as_str().unwrap(), &stages)
        });
        catalog.pipelines = Some(pipelines.collect());
        let account = Account { destination: "crm", catalog: &catalog, can: Capabilities::ALL };
        let comparison = compare(&mentions(&Files(files.collect())), &account);
        assert_eq!(comparison.problems, []);
        assert!(comparison.names >= 10, "{}", comparison.names);
    }
}
