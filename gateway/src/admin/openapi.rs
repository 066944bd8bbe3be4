//! The `OpenAPI` 3.1 document of a service: how its handlers are called at the ingress.
//!
//! It is made of what is registered, anew for each request. Its invariant: what it says is what the
//! ingress does: private handlers are not in it, and bodies are those that the manifest's rules let through.

use everlog_log_schema::HandlerKind;
use everlog_log_schema::metadata::{Handler, InputRule, OutputRule, Service, ServiceKind};
use serde_json::{Map, Value, json};

/// Where references to schemas lead.
const SCHEMAS: &str = "#/components/schemas/";

/// Describes a service, whose newest version has this number, behind an ingress at `server`.
pub(super) fn document(service: &Service, revision: u32, server: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas = common_schemas();
    let handlers = service.handlers.iter().filter(|handler| !handler.ingress_private);
    for handler in handlers.filter(|_| !service.ingress_private) {
        let described = Described { service, handler };
        described.put_schemas(&mut schemas);
        described.put_paths(&mut paths);
    }
    let mut info = json!({ "title": service.name, "version": revision.to_string() });
    put(&mut info, "description", service.documentation.clone().map(Value::from));
    json!({
        "openapi": "3.1.0",
        "info": info,
        "servers": [{ "url": server }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

/// A handler that is described.
struct Described<'a> {
    service: &'a Service,
    handler: &'a Handler,
}

impl Described<'_> {
    fn put_paths(&self, paths: &mut Map<String, Value>) {
        let name = &self.handler.name;
        let path = format!("{}/{name}", self.above());
        let answered = json!({ "200": self.answer(), "default": failure() });
        let mut call = self.operation("call", &answered);
        let sent = json!({
            "202": {
                "description": "It is recorded, and will run.",
                "content": json_of("SendResponse"),
            },
            "default": failure(),
        });
        let mut one_way = self.operation("send", &sent);
        for operation in [&mut call, &mut one_way] {
            put(operation, "requestBody", self.request_body());
        }
        if let Some(parameters) = one_way.get_mut("parameters").and_then(Value::as_array_mut) {
            parameters.push(delay());
        }
        paths.insert(path.clone(), json!({ "post": call }));
        paths.insert(format!("{path}/send"), json!({ "post": one_way }));
        let asked = if self.takes_idempotency_key() {
            format!("/restate/invocation{path}/{{idempotencyKey}}")
        } else {
            format!("/restate/workflow{}", self.above())
        };
        for (verb, statuses) in [("attach", &[][..]), ("output", &["470"][..])] {
            let mut responses = json!({ "200": self.answer(), "default": failure() });
            for status in statuses {
                put(&mut responses, status, Some(not_ready()));
            }
            let mut operation = self.operation(verb, &responses);
            if let Some(parameters) = operation.get_mut("parameters") {
                let mut all = self.key();
                if self.takes_idempotency_key() {
                    all.push(path_parameter("idempotencyKey", "The key that the call had."));
                }
                *parameters = all.into();
            }
            paths.insert(format!("{asked}/{verb}"), json!({ "get": operation }));
        }
    }

    /// The path of the service, or of the object.
    fn above(&self) -> String {
        match self.service.kind {
            ServiceKind::Service => format!("/{}", self.service.name),
            ServiceKind::VirtualObject | ServiceKind::Workflow => {
                format!("/{}/{{key}}", self.service.name)
            }
        }
    }

    fn operation(&self, verb: &str, responses: &Value) -> Value {
        let name = &self.handler.name;
        let mut parameters = self.key();
        if self.takes_idempotency_key() {
            parameters.push(idempotency_key());
        }
        let mut operation = json!({
            "operationId": format!("{verb}{name}"),
            "summary": format!("{verb} {}/{name}", self.service.name),
            "tags": [self.service.name],
            "parameters": parameters,
            "responses": responses,
        });
        put(&mut operation, "description", self.handler.documentation.clone().map(Value::from));
        operation
    }

    fn takes_idempotency_key(&self) -> bool {
        match self.handler.kind {
            HandlerKind::Plain
            | HandlerKind::Exclusive
            | HandlerKind::Shared
            | HandlerKind::WorkflowShared => true,
            HandlerKind::Workflow => false,
        }
    }

    fn key(&self) -> Vec<Value> {
        match self.service.kind {
            ServiceKind::Service => vec![],
            ServiceKind::VirtualObject => vec![path_parameter("key", "The key of the object.")],
            ServiceKind::Workflow => vec![path_parameter("key", "The key of the workflow.")],
        }
    }

    fn request_body(&self) -> Option<Value> {
        let InputRule { required, content_type, json_schema } = &self.handler.input;
        let schema = json_schema.as_ref().map(|_| self.input_name());
        let content = content(content_type.as_deref()?, schema);
        Some(json!({ "required": required, "content": content }))
    }

    fn answer(&self) -> Value {
        let OutputRule { content_type, json_schema, .. } = &self.handler.output;
        let schema = json_schema.as_ref().map(|_| self.output_name());
        let mut answer = json!({ "description": "What the handler returned." });
        let content = content_type.as_deref().map(|content_type| content(content_type, schema));
        put(&mut answer, "content", content);
        answer
    }

    fn put_schemas(&self, schemas: &mut Map<String, Value>) {
        let input = self.handler.input.json_schema.as_deref();
        let output = self.handler.output.json_schema.as_deref();
        for (name, text) in [(self.input_name(), input), (self.output_name(), output)] {
            if let Some(mut schema) = text.and_then(|text| serde_json::from_str(text).ok()) {
                lead_back(&mut schema, &format!("{SCHEMAS}{name}"));
                schemas.insert(name, schema);
            }
        }
    }

    fn input_name(&self) -> String {
        format!("{}Input", self.handler.name)
    }

    fn output_name(&self) -> String {
        format!("{}Output", self.handler.name)
    }
}

/// Has references within a schema lead to where it stands in the document. One that has an address
/// of its own (`$id`) is its own document.
fn lead_back(schema: &mut Value, root: &str) {
    match schema {
        Value::Object(fields) if fields.get("$id").is_some_and(Value::is_string) => {}
        Value::Object(fields) => {
            for (name, field) in fields {
                let reference = field.as_str().filter(|_| name == "$ref");
                match reference.and_then(|to| to.strip_prefix('#')) {
                    Some(inside) => *field = format!("{root}{inside}").into(),
                    None => lead_back(field, root),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| lead_back(part, root)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A body of any of the types of an `Accept`-style list.
fn content(content_types: &str, schema: Option<String>) -> Value {
    let types = content_types.split(',').map(|one| one.split(';').next().unwrap_or(one).trim());
    let media = match schema {
        Some(name) => json!({ "schema": { "$ref": format!("{SCHEMAS}{name}") } }),
        None => json!({}),
    };
    types.map(|one| (one.to_owned(), media.clone())).collect::<Map<_, _>>().into()
}

fn json_of(schema: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("{SCHEMAS}{schema}") } } })
}

fn failure() -> Value {
    json!({
        "description": "It was refused, or the handler failed for good.",
        "content": json_of("Error"),
    })
}

fn not_ready() -> Value {
    json!({ "description": "It has not completed.", "content": json_of("Error") })
}

fn path_parameter(name: &str, what: &str) -> Value {
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": what,
        "schema": { "type": "string" },
    })
}

fn idempotency_key() -> Value {
    json!({
        "name": "idempotency-key",
        "in": "header",
        "description": "A repeated call with the same key is the same call.",
        "schema": { "type": "string" },
    })
}

fn delay() -> Value {
    json!({
        "name": "delay",
        "in": "query",
        "description": "How long to wait before it runs, such as 10s, 1h 30m or PT10S.",
        "schema": { "type": "string" },
    })
}

fn common_schemas() -> Map<String, Value> {
    let send = json!({
        "type": "object",
        "required": ["invocationId", "status"],
        "properties": {
            "invocationId": { "type": "string" },
            "status": { "enum": ["Accepted", "PreviouslyAccepted"] },
            "executionTime": { "type": "string", "format": "date-time" },
        },
    });
    let error = json!({
        "type": "object",
        "required": ["code", "message", "source", "error"],
        "properties": {
            "code": { "type": "integer" },
            "message": { "type": "string" },
            "source": { "enum": ["ingress", "invocation"] },
            "error": { "type": "string" },
            "metadata": { "type": "object" },
        },
    });
    Map::from_iter([("SendResponse".to_owned(), send), ("Error".to_owned(), error)])
}

fn put(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(fields), Some(value)) = (object.as_object_mut(), value) {
        fields.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn described(name: &str) -> Value {
        let metadata = fixtures::metadata();
        let (_, service) = metadata.service(name).unwrap();
        document(service, 3, "http://127.0.0.1:8080")
    }

    #[test]
    fn a_service_is_described_as_it_is_called() {
        let greeter = described("Greeter");
        assert_eq!(greeter["openapi"], "3.1.0");
        assert_eq!(greeter["info"], json!({ "title": "Greeter", "version": "3" }));
        assert_eq!(greeter["servers"][0]["url"], "http://127.0.0.1:8080");
        let paths = greeter["paths"].as_object().unwrap();
        assert!(paths.keys().all(|path| !path.contains("secret")), "{paths:?}");
        let strict = &paths["/Greeter/strict"]["post"];
        assert_eq!(strict["requestBody"]["required"], true);
        assert!(strict["requestBody"]["content"]["application/json"].is_object());
        assert_eq!(paths["/Greeter/void"]["post"]["requestBody"], Value::Null);
        let send = &paths["/Greeter/greet/send"]["post"];
        assert_eq!(send["responses"]["202"]["content"], json_of("SendResponse"));
        let names = |operation: &Value| {
            let parameters = operation["parameters"].as_array().unwrap().iter();
            parameters.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(send), ["idempotency-key", "delay"]);
        let cart = described("Cart");
        assert_eq!(names(&cart["paths"]["/Cart/{key}/add"]["post"]), ["key", "idempotency-key"]);
        let output = "/restate/invocation/Cart/{key}/add/{idempotencyKey}/output";
        let output = &cart["paths"][output]["get"];
        assert_eq!(names(output), ["key", "idempotencyKey"]);
        assert!(output["responses"]["470"].is_object());
        assert_eq!(described("Hidden")["paths"], json!({}));
    }

    #[test]
    fn schemas_are_found_where_they_now_stand() {
        let metadata = fixtures::metadata();
        let (_, service) = metadata.service("Cart").unwrap();
        let mut service = service.clone();
        let schema = json!({
            "type": "array",
            "items": { "anyOf": [{ "$ref": "#/$defs/Item" }, { "$ref": "https://x/y" }] },
            "$defs": { "Item": { "properties": { "next": { "$ref": "#" } } } },
        });
        service.handlers[0].input.json_schema = Some(schema.to_string());
        let with_id = json!({ "$id": "https://a/b", "$ref": "#/$defs/X" });
        service.handlers[0].output.json_schema = Some(with_id.to_string());
        let cart = document(&service, 1, "http://x");
        let add = &cart["paths"]["/Cart/{key}/add"]["post"];
        let body = &add["requestBody"]["content"]["*/*"]["schema"];
        assert_eq!(body["$ref"], "#/components/schemas/addInput");
        let input = &cart["components"]["schemas"]["addInput"];
        let item = &input["items"]["anyOf"][0]["$ref"];
        assert_eq!(item, "#/components/schemas/addInput/$defs/Item");
        let found = cart.pointer(item.as_str().unwrap().trim_start_matches('#')).unwrap();
        assert_eq!(found["properties"]["next"]["$ref"], "#/components/schemas/addInput");
        assert_eq!(input["items"]["anyOf"][1]["$ref"], "https://x/y");
        assert_eq!(cart["components"]["schemas"]["addOutput"]["$ref"], "#/$defs/X");
    }
}
