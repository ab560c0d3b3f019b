//! `/api` as an OpenAPI 3.1 document, for programs that are written against it.
//!
//! A route and what is told of it are registered by one call ([`Routes`]), and the schemas are derived from the very types that
//! the handlers read and write: neither can have what the other lacks. Descriptions are the documentation of those types.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{StatusCode, header};
use axum::routing::{MethodRouter, get, post};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{api, operations};
use crate::access::Role;
use crate::operation::{Means, Operation};

/// Where the document is.
pub const PATH: &str = "/api/openapi.json";

/// The document as it is answered, made when it is first asked for: what the program is does not change while it runs.
static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// Largest request: the texts of a workspace fit in several times.
const LARGEST_REQUEST: usize = 8 * 1024 * 1024;

/// All routes below `/api`, with who may use them decided elsewhere.
pub fn router(means: Means) -> Router {
    let Routes { router, .. } = routes();
    let document = get(async || ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()));
    router.route(PATH, document).layer(DefaultBodyLimit::max(LARGEST_REQUEST)).with_state(means)
}

/// The document.
pub fn document() -> Value {
    let Routes { paths, mut answers, .. } = routes();
    let mut schemas = answers.take_definitions(true);
    schemas.insert("Error".to_owned(), error());
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "leadfold",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Brings every chatbot lead into the CRM once. What people ask for is a POST with a JSON object; \
                what the registry holds is read by GET. Whatever is refused says what happened and what to do next.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "The token that leadfold was started with, or one of `leadfold tokens add`. The demo asks for none.",
            } },
        },
    });
    plain(&mut document);
    document
}

fn routes() -> Routes {
    let answers = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let routes = Routes { router: Router::new(), paths: Map::new(), answers: answers.into_generator() };
    let mut routes = operations::routes(api::routes(routes));
    let words = "What can be asked for: this document.";
    routes.tell(PATH, "get", Role::Site, "openApi", words, Map::new(), &[200], &any());
    routes
}

/// Routes, and what the document says of them.
pub(super) struct Routes {
    /// The one.
    router: Router<Means>,
    /// The other: `paths` of the document.
    paths: Map<String, Value>,
    /// Of answers, which share their parts. What is asked stands where it is asked: it is short.
    answers: SchemaGenerator,
}

impl Routes {
    /// Adds what is read: `Q` is what the query may have, `A` the answer, `id` and `words` what the document says.
    pub(super) fn reads<Q: JsonSchema, A: JsonSchema>(
        mut self,
        path: &str,
        id: &str,
        words: &str,
        handler: MethodRouter<Means>,
    ) -> Self {
        let query = asked::<Q>();
        let required: Vec<&Value> =
            query.get("required").and_then(Value::as_array).into_iter().flatten().collect();
        let properties = query.get("properties").and_then(Value::as_object).into_iter().flatten();
        let parameters: Vec<Value> = properties
            .map(|(name, schema)| {
                let mut schema = schema.clone();
                let words = schema.as_object_mut().and_then(|schema| schema.remove("description"));
                // What is absent from a query is not there, and never null.
                if let Some(kind) = schema["type"].get(0).cloned() {
                    schema["type"] = kind;
                }
                json!({
                    "name": name,
                    "in": "query",
                    "required": required.iter().any(|required| *required == name),
                    "description": words.unwrap_or_default(),
                    "schema": schema,
                })
            })
            .collect();
        let mut entries = Map::new();
        if !parameters.is_empty() {
            entries.insert("parameters".to_owned(), parameters.into());
        }
        let answer = self.answers.subschema_for::<A>();
        self.tell(path, "get", Role::Viewer, id, words, entries, &[200], &answer);
        self.router = self.router.route(path, handler);
        self
    }

    /// Adds what is asked for, by POST.
    pub(super) fn takes<O: Operation, H: Handler<T, Means>, T: 'static>(
        mut self,
        path: &str,
        id: &str,
        handler: H,
    ) -> Self {
        let mut request = asked::<O>();
        let words = request.remove("description");
        let words = words.as_ref().and_then(Value::as_str).unwrap_or_default();
        let content = json!({ "application/json": { "schema": request } });
        let body = json!({ "required": true, "content": content });
        let entries = Map::from_iter([("requestBody".to_owned(), body)]);
        let answer = self.answers.subschema_for::<O::Answer>();
        self.tell(path, "post", O::ROLE, id, words, entries, O::STATUSES, &answer);
        self.router = self.router.route(path, post(handler));
        self
    }

    #[expect(clippy::too_many_arguments, reason = "each is a line of the document")]
    fn tell(
        &mut self,
        path: &str,
        method: &str,
        role: Role,
        id: &str,
        words: &str,
        mut entries: Map<String, Value>,
        statuses: &[u16],
        answer: &Schema,
    ) {
        let ids = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let ids: Vec<&str> = ids.collect();
        if !ids.is_empty() {
            let parameters = entries.entry("parameters").or_insert_with(|| json!([]));
            for id in &ids {
                let parameter =
                    json!({ "name": id, "in": "path", "required": true, "schema": { "type": "string" } });
                parameters
                    .as_array_mut()
                    .into_iter()
                    .for_each(|parameters| parameters.push(parameter.clone()));
            }
        }
        let refusals: &[u16] = match (method, ids.is_empty()) {
            ("post", _) => &[400, 401, 403, 422, 503],
            (_, true) => &[400, 401, 403, 503],
            (_, false) => &[400, 401, 403, 404, 503],
        };
        let mut responses = Map::new();
        for status in statuses.iter().chain(refusals) {
            let (good, bad) = (statuses.contains(status), refusals.contains(status));
            let error = json!({ "$ref": "#/components/schemas/Error" });
            let schema = match (good, bad) {
                (true, true) => json!({ "anyOf": [answer, error] }),
                (true, false) => json!(answer),
                (false, _) => error,
            };
            let code = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
            let content = json!({ "application/json": { "schema": schema } });
            let response = json!({ "description": code.unwrap_or_default(), "content": content });
            responses.insert(status.to_string(), response);
        }
        let tag = path.split('/').nth(2).unwrap_or_default();
        let (summary, _) = words.split_once(". ").unwrap_or((words, ""));
        let mut operation = json!({
            "operationId": id,
            "tags": [tag],
            "summary": summary.trim_end_matches('.'),
            "description": format!("{words}\n\nTakes the role `{role}`, or one that may more."),
            "security": [{ "token": [role] }],
        });
        if let Some(operation) = operation.as_object_mut() {
            operation.append(&mut entries);
            operation.insert("responses".to_owned(), responses.into());
        }
        let methods = self.paths.entry(path).or_insert_with(|| json!({}));
        methods.as_object_mut().into_iter().for_each(|methods| {
            methods.insert(method.to_owned(), operation.clone());
        });
    }
}

/// The schema of what a handler reads, whole.
fn asked<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    let mut entries = std::mem::take(schema.ensure_object());
    entries.remove("title");
    entries
}

fn any() -> Schema {
    true.into()
}

/// What every refusal is.
fn error() -> Value {
    json!({
        "type": "object",
        "description": "Why nothing was done.",
        "properties": { "error": { "type": "string", "description": "What happened, and what to do next." } },
        "required": ["error"],
    })
}

/// Takes the links out of descriptions: they lead to code.
fn plain(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                if let Value::String(text) = value
                    && matches!(name.as_str(), "description" | "summary")
                {
                    *text = text.replace("[`", "`").replace("`]", "`");
                } else {
                    plain(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
