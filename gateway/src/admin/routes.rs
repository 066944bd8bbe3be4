//! The paths of the admin port, and the document that describes them.
//!
//! Its invariant: what is not in the table is refused before anything else looks at it, so that the
//! document has every path that is answered.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::AdminError;

/// A method of a path.
#[derive(Debug, Clone, Copy)]
struct Route {
    method: &'static str,
    /// Names of segments that may be anything stand in braces.
    path: &'static str,
    summary: &'static str,
    /// What it may be answered with, but for what any request may be refused with.
    statuses: &'static [u16],
    query: &'static [&'static str],
    takes_body: bool,
}

/// How lists, and orders about many, are filtered.
const FILTER: &[&str] = &["service", "handler", "key", "status", "limit", "page"];
/// The same, where everything has to be asked for.
const FILTER_OR_ALL: &[&str] = &["service", "handler", "key", "status", "limit", "page", "all"];

/// All of them. A path of words comes before one whose segments may be those words.
const ROUTES: &[Route] = &[
    get("/health", "tells how this process does", &[200, 503]),
    get("/version", "tells which versions are spoken", &[200]),
    get("/metrics", "has the metrics, for Prometheus", &[200]),
    get("/openapi", "has this document", &[200]),
    get("/cluster-health", "tells whether each partition has an owner", &[200, 503]),
    get("/cluster", "tells how the partitions stand", &[200]),
    get("/deployments", "lists the deployments", &[200]),
    post("/deployments", "registers a deployment", &[200, 201, 409, 501]).body(),
    get("/deployments/{id}", "shows a deployment", &[200, 404]),
    patch("/deployments/{id}", "describes a deployment anew", &[200, 404, 409, 501]).body(),
    Route::new("PUT", "/deployments/{id}", "does what PATCH does", &[200, 404, 409, 501]).body(),
    delete("/deployments/{id}", "forgets a deployment", &[202, 404, 409]).query(&["force"]),
    get("/deployments/{id}/drain", "tells what still needs a deployment", &[200, 404]),
    get("/services", "lists the newest version of each service", &[200]),
    get("/services/{service}", "shows a service", &[200, 404]),
    patch("/services/{service}", "sets something for a service", &[200, 404]).body(),
    get("/services/{service}/handlers", "lists the handlers of a service", &[200, 404]),
    get("/services/{service}/handlers/{handler}", "shows a handler", &[200, 404]),
    get("/services/{service}/openapi", "describes how a service is called", &[200, 404]),
    post("/services/{service}/state", "replaces an object's state", &[202, 404, 409, 422]).body(),
    get("/services/{service}/state/{key}", "shows an object's state", &[200, 404]).query(&["page"]),
    get("/invocations", "lists invocations", &[200]).query(FILTER),
    post("/invocations/cancel", "cancels many", &[200]).query(FILTER_OR_ALL),
    post("/invocations/kill", "kills many", &[200]).query(FILTER_OR_ALL),
    post("/invocations/pause", "pauses many", &[200]).query(FILTER_OR_ALL),
    post("/invocations/resume", "resumes many", &[200]).query(FILTER_OR_ALL),
    post("/invocations/purge", "forgets many", &[200]).query(FILTER_OR_ALL),
    post("/invocations/purge-journal", "forgets journals", &[200]).query(FILTER_OR_ALL),
    get("/invocations/{id}", "shows an invocation", &[200, 404]),
    delete("/invocations/{id}", "cancels, kills or forgets one", &[202, 404, 409]).query(&["mode"]),
    get("/invocations/{id}/journal", "shows a journal", &[200, 404]).query(&["from"]),
    patch("/invocations/{id}/cancel", "cancels an invocation", &[200, 202, 404, 409]),
    patch("/invocations/{id}/kill", "kills an invocation", &[200, 202, 404, 409]),
    patch("/invocations/{id}/pause", "pauses an invocation", &[200, 202, 404, 409, 425]),
    patch("/invocations/{id}/resume", "resumes an invocation", &[200, 202, 404, 409, 425])
        .query(&["deployment"]),
    patch("/invocations/{id}/purge", "forgets an invocation", &[200, 202, 404, 409]),
    patch("/invocations/{id}/purge-journal", "forgets a journal", &[200, 404, 409]),
    patch(
        "/invocations/{id}/restart-as-new",
        "begins an invocation like a completed one",
        &[200, 404, 409, 410, 422, 425],
    )
    .query(&["from", "deployment"]),
    post(
        "/internal/invocations_batch_operations/{order}",
        "gives an order about invocations that the body names",
        &[200, 404],
    )
    .body(),
    post("/query", "answers a question in SQL", &[200, 422, 500]).body(),
];

const fn get(path: &'static str, summary: &'static str, statuses: &'static [u16]) -> Route {
    Route::new("GET", path, summary, statuses)
}

const fn post(path: &'static str, summary: &'static str, statuses: &'static [u16]) -> Route {
    Route::new("POST", path, summary, statuses)
}

const fn patch(path: &'static str, summary: &'static str, statuses: &'static [u16]) -> Route {
    Route::new("PATCH", path, summary, statuses)
}

const fn delete(path: &'static str, summary: &'static str, statuses: &'static [u16]) -> Route {
    Route::new("DELETE", path, summary, statuses)
}

/// Refuses what is not in the table.
pub(super) fn check(path: &[&str], method: &Method) -> Result<(), AdminError> {
    let found = ROUTES.iter().find(|route| route.leads_to(path)).ok_or(AdminError::UnknownPath)?;
    let methods = ROUTES.iter().filter(|route| route.path == found.path).map(|route| route.method);
    let methods: Vec<_> = methods.collect();
    if methods.contains(&method.as_str()) {
        Ok(())
    } else {
        Err(AdminError::MethodNotAllowed(methods.join(", ")))
    }
}

/// Describes all of them, as `OpenAPI` 3.1 does.
pub(super) fn document(version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(route.method.to_ascii_lowercase(), route.operation());
        }
    }
    let error = json!({
        "type": "object",
        "required": ["message", "error"],
        "properties": {
            "message": { "type": "string" },
            "restate_code": { "type": "string" },
            "error": { "type": "string", "description": "a code of docs/errors/admin.md" },
        },
    });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Everlog admin API", "version": version },
        "paths": paths,
        "components": { "schemas": { "Error": error } },
    })
}

impl Route {
    const fn new(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        statuses: &'static [u16],
    ) -> Self {
        Self { method, path, summary, statuses, query: &[], takes_body: false }
    }

    const fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn body(self) -> Self {
        Self { takes_body: true, ..self }
    }

    fn leads_to(&self, path: &[&str]) -> bool {
        let own: Vec<&str> = self.path.split('/').skip(1).collect();
        own.len() == path.len()
            && own.iter().zip(path).all(|(own, at)| own.starts_with('{') || own == at)
    }

    fn operation(&self) -> Value {
        let names = self.path.split('/').filter_map(|own| own.strip_prefix('{')?.strip_suffix('}'));
        let in_path = names.map(|name| parameter("path", name));
        let in_query = self.query.iter().map(|name| parameter("query", name));
        let parameters: Vec<Value> = in_path.chain(in_query).collect();
        let responses = self.statuses.iter().map(|status| (status.to_string(), response(*status)));
        let mut responses: Map<String, Value> = responses.collect();
        responses.insert("default".to_owned(), failure("It is refused."));
        let mut operation = json!({
            "summary": self.summary,
            "parameters": parameters,
            "responses": responses,
        });
        if self.takes_body
            && let Some(fields) = operation.as_object_mut()
        {
            let content = json!({ "application/json": { "schema": { "type": "object" } } });
            fields
                .insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
        operation
    }
}

fn parameter(place: &str, name: &str) -> Value {
    let required = place == "path";
    json!({ "name": name, "in": place, "required": required, "schema": { "type": "string" } })
}

fn response(status: u16) -> Value {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    let what = status.canonical_reason().unwrap_or_default();
    if status.is_success() { json!({ "description": what }) } else { failure(what) }
}

fn failure(what: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    json!({ "description": what, "content": { "application/json": { "schema": schema } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &Method, path: &[&str]) -> String {
        match check(path, method) {
            Ok(()) => "known".into(),
            Err(AdminError::MethodNotAllowed(allowed)) => allowed,
            Err(error) => error.code().0.into(),
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for (method, path, expected) in [
            (Method::GET, &["health"][..], "known"),
            (Method::POST, &["health"], "GET"),
            (Method::PATCH, &["deployments"], "GET, POST"),
            (Method::POST, &["deployments", "dp_1"], "GET, PATCH, PUT, DELETE"),
            (Method::GET, &["invocations", "inv_1"], "known"),
            (Method::GET, &["invocations", "kill"], "POST"),
            (Method::PATCH, &["invocations", "inv_1", "kill"], "known"),
            (Method::PATCH, &["invocations", "inv_1", "forget"], "unknown-path"),
            (Method::GET, &["services", "a", "state", "{"], "known"),
            (Method::GET, &["services", "a", "state", "k", "x"], "unknown-path"),
            (Method::GET, &["ui"], "unknown-path"),
            (Method::GET, &[""], "unknown-path"),
            (Method::GET, &[], "unknown-path"),
        ] {
            assert_eq!(checked(&method, path), expected, "{method} {path:?}");
        }
    }

    #[test]
    fn a_path_of_words_is_found_before_one_that_may_be_those_words() {
        for route in ROUTES {
            let path: Vec<&str> = route.path.split('/').skip(1).collect();
            let first = ROUTES.iter().find(|other| other.leads_to(&path)).unwrap();
            assert_eq!(first.path, route.path);
            let same = |other: &&Route| (other.method, other.path) == (route.method, route.path);
            assert_eq!(ROUTES.iter().filter(same).count(), 1, "{route:?}");
        }
    }

    #[test]
    fn a_route_is_described_with_what_it_takes_and_answers() {
        let document = document("1.2.3");
        assert_eq!(document["info"]["version"], "1.2.3");
        let removal = &document["paths"]["/deployments/{id}"]["delete"];
        let places: Vec<_> = removal["parameters"].as_array().unwrap().iter().collect();
        assert_eq!(*places[0], parameter("path", "id"));
        assert_eq!(*places[1], parameter("query", "force"));
        let statuses: Vec<_> = removal["responses"].as_object().unwrap().keys().collect();
        assert_eq!(statuses, ["202", "404", "409", "default"]);
        assert_eq!(removal["responses"]["202"], json!({ "description": "Accepted" }));
        assert_eq!(removal["requestBody"], Value::Null);
        assert_eq!(document["paths"]["/query"]["post"]["requestBody"]["required"], true);
        for route in ROUTES {
            for status in route.statuses {
                let known = StatusCode::from_u16(*status).unwrap().canonical_reason();
                assert!(known.is_some(), "{route:?}");
            }
        }
    }
}
