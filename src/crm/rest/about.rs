//! What the described CRM says of itself: who we are to it, its users, pipelines and stages.

use serde_json::{Value as Json, json};

use super::Rest;
use super::find::strange;
use super::operation::Op;
use crate::crm::catalog::{Catalog, Pipeline, Stage, User};
use crate::crm::{CrmError, Priority, Query};
use crate::map::Values;

impl Rest {
    /// Whether it answers, and as whom. Without an operation of its own, the cheapest question there is: nobody's phone.
    pub(super) async fn greet(&self) -> Result<String, CrmError> {
        let host = self.http.host();
        if let Some(operation) = self.api.operations.get(&Op::Ping) {
            let answer = Values::new(self.ask(operation, json!({}), Priority::Live).await?.body);
            let name = operation.picks.get("name").and_then(|place| place.text(&answer));
            return Ok(name.map_or_else(|| host.to_owned(), |name| format!("{name} at {host}")));
        }
        if let Some(users) = self.users().await? {
            return Ok(format!("{host} with {} users", users.len()));
        }
        let nobody = Query {
            contact: None,
            phones: vec!["+380000000000".to_owned()],
            emails: vec!["nobody@example.invalid".to_owned()],
            priority: Priority::Live,
        };
        self.find_one(&nobody).await?;
        Ok(format!("{host}, which does not say who we are; describe `ping` to see it"))
    }

    /// What it lists; nothing where nothing is described.
    pub(super) async fn catalog(&self) -> Result<Catalog, CrmError> {
        Ok(Catalog { users: self.users().await?, pipelines: self.pipelines().await?, ..Catalog::default() })
    }

    async fn users(&self) -> Result<Option<Vec<User>>, CrmError> {
        let Some(operation) = self.api.operations.get(&Op::ListUsers) else { return Ok(None) };
        let records = self.list(operation, json!({}), Priority::Live).await?;
        let user = |record: Json| {
            let record = Values::new(record);
            let at = |key: &str| operation.picks.get(key).and_then(|place| place.text(&record));
            let id =
                at("id").ok_or_else(|| strange(operation.word, "a user without an id where `id` looks"))?;
            let active = at("active").is_none_or(|said| !matches!(said.as_str(), "false" | "0"));
            Ok(User { name: at("name").unwrap_or_else(|| id.clone()), id, login: at("login"), active })
        };
        records.into_iter().map(user).collect::<Result<_, _>>().map(Some)
    }

    async fn pipelines(&self) -> Result<Option<Vec<Pipeline>>, CrmError> {
        let Some(operation) = self.api.operations.get(&Op::ListPipelines) else { return Ok(None) };
        let records = self.list(operation, json!({}), Priority::Live).await?;
        let mut pipelines = Vec::new();
        for record in records.into_iter().map(Values::new) {
            let at =
                |key: &str, record: &Values| operation.picks.get(key).and_then(|place| place.text(record));
            let id = at("id", &record);
            let id =
                id.ok_or_else(|| strange(operation.word, "a pipeline without an id where `id` looks"))?;
            let name = at("name", &record).unwrap_or_else(|| id.clone());
            let stages = operation.picks.get("stages").map(|place| place.items(&record)).unwrap_or_default();
            let stage = |stage: Json| {
                // A stage that is a text is its own name.
                let own = stage.as_str().map(str::to_owned);
                let stage = Values::new(stage);
                let id = at("stage_id", &stage).or_else(|| own.clone())?;
                Some(Stage { name: at("stage_name", &stage).or(own).unwrap_or_else(|| id.clone()), id })
            };
            pipelines.push(Pipeline { id, name, stages: stages.into_iter().filter_map(stage).collect() });
        }
        Ok(Some(pipelines))
    }
}
