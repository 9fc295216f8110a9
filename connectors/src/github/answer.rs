//! Reading an answer of GraphQL, which is 200 to nearly everything and may hold data and errors at once.
//!
//! An answer without data is an error by its type. Data beside errors is used, except for what an error's path names
//! ([`outcomes`]). Everything that is not read is allowed to look odd.

use std::ops::Deref;

use contextcore_core::http::redact;
use contextcore_core::{Error, ErrorKind, Result, Retry};
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Errors of an answer that are read. More say nothing new.
const MAX_ERRORS: usize = 1_000;

/// An answer as it comes.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct Reply<T> {
    #[serde(default = "none")]
    data: Option<T>,
    #[serde(default, deserialize_with = "errors")]
    errors: Vec<GraphError>,
}

pub(super) fn none<T>() -> Option<T> {
    None
}

/// Data, and the errors beside it.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) data: T,
    pub(super) errors: Vec<GraphError>,
}

/// One error of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GraphError {
    kind: Option<String>,
    message: String,
    path: Vec<Step>,
    code: Option<String>,
    saml_failure: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Index(usize),
    Key(String),
}

/// Reads errors, in whatever shape they come.
fn errors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<GraphError>, D::Error> {
    struct Errors;
    impl<'de> Visitor<'de> for Errors {
        type Value = Vec<GraphError>;

        fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            to.write_str("a list of errors")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut errors = Vec::new();
            while errors.len() < MAX_ERRORS {
                let Some(error) = list.next_element::<Value>()? else { return Ok(errors) };
                errors.push(GraphError::of(&error));
            }
            while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            Ok(errors)
        }
    }
    deserializer.deserialize_any(Errors)
}

impl GraphError {
    fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let step = |step: &Value| match step {
            Value::Number(number) => number.as_u64().and_then(|index| usize::try_from(index).ok()).map(Step::Index),
            other => text(other).map(Step::Key),
        };
        let extensions = &value["extensions"];
        Self {
            kind: text(&value["type"]),
            message: text(&value["message"]).or_else(|| text(value)).unwrap_or_default(),
            path: value["path"].as_array().into_iter().flatten().map_while(step).collect(),
            code: text(&extensions["code"]),
            saml_failure: extensions["saml_failure"] == true,
        }
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    pub(super) fn is_forbidden(&self) -> bool {
        self.is("FORBIDDEN") || self.saml_failure
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.is("NOT_FOUND")
    }

    /// Whether it says that something is not for us or not there, and not that GitHub failed.
    pub(super) fn is_refusal(&self) -> bool {
        self.is_forbidden() || self.is_not_found()
    }

    /// GitHub gave up, or the query was too large.
    fn is_too_much(&self) -> bool {
        let gave_up = ["Something went wrong while executing your query", "Timeout on validation of query"];
        let gave_up = self.kind.is_none() && gave_up.iter().any(|text| self.message.starts_with(text));
        self.is("RESOURCE_LIMITS_EXCEEDED") || self.is("MAX_NODE_LIMIT_EXCEEDED") || gave_up
    }

    fn is_rate_limit(&self) -> bool {
        self.is("RATE_LIMITED") || self.is("RATE_LIMIT")
    }

    /// The document itself was refused: the server does not know a name in it.
    fn is_validation(&self) -> bool {
        let codes = ["undefinedField", "argumentNotAccepted", "undefinedType", "argumentLiteralsIncompatible"];
        let code = self.code.as_deref().unwrap_or_default();
        let unknown = [
            "doesn't exist on type",
            "No such type",
            "isn't a defined",
            "doesn't accept argument",
            "Cannot query field",
            "Unknown argument",
            "Unknown type",
        ];
        self.kind.is_none() && (codes.contains(&code) || unknown.iter().any(|text| self.message.contains(text)))
    }

    /// Whether it is about a field, or something in it.
    pub(super) fn is_in(&self, field: &str) -> bool {
        self.path.iter().any(|step| matches!(step, Step::Key(key) if key == field))
    }

    /// Which of the nodes asked for it is about, and the field within.
    pub(super) fn node(&self) -> Option<(usize, Option<&str>)> {
        let [Step::Key(root), Step::Index(index), rest @ ..] = self.path.as_slice() else { return None };
        let field = rest.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        (root == "nodes").then_some((*index, field))
    }

    fn is_within(&self, parts: &[&str]) -> bool {
        self.path.iter().any(|step| matches!(step, Step::Key(key) if parts.contains(&key.as_str())))
    }

    /// Which row of a list it is about.
    pub(super) fn row(&self) -> Option<usize> {
        let keyed = |pair: &[Step]| match pair {
            [Step::Key(key), Step::Index(index)] if key == "nodes" => Some(*index),
            _ => None,
        };
        self.path.windows(2).find_map(keyed)
    }

    /// The text, fit to print.
    pub(super) fn text(&self) -> String {
        redact::excerpt(&self.message)
    }

    pub(super) fn into_error(self) -> Error {
        let text = self.text();
        let error = |kind, said: &str| Error::new(kind, format!("{said}: {text}"));
        match self.kind.as_deref() {
            _ if self.is_too_much() => {
                Error::new(ErrorKind::Unavailable, format!("GitHub could not answer so much at once: {text}"))
                    .with_retry(Retry::Backoff)
                    .with("reason", TOO_MUCH)
            }
            _ if self.is_rate_limit() => {
                error(ErrorKind::RateLimited, "GitHub limits the rate").with_retry(Retry::Backoff)
            }
            _ if self.saml_failure => error(
                ErrorKind::Permission,
                "the organisation asks for single sign-on: authorise the token for it in its settings",
            ),
            Some("INSUFFICIENT_SCOPES") => error(
                ErrorKind::Permission,
                "the token lacks scopes, it needs read:project, repo (for private repositories) and read:org",
            ),
            Some("FORBIDDEN") => error(ErrorKind::Permission, "the credential may not read this"),
            Some("NOT_FOUND") => error(ErrorKind::NotFound, "not found, or hidden from this credential"),
            _ if self.is_validation() => error(ErrorKind::Rejected, "the server does not know what was asked for"),
            _ => error(ErrorKind::Rejected, "the query was refused"),
        }
    }
}

const TOO_MUCH: &str = "too_much";
/// The row of a list that an error names.
const ROW: &str = "row";

/// Whether GitHub gave up over the question as such, in a complete answer: it may be asked again at once.
pub(super) fn gave_up(error: &Error) -> bool {
    error.context("reason") == Some(TOO_MUCH)
}

/// Whether a smaller question may be answered: GitHub said so, or gave up over this one. It gives up in many ways: with a 502, by
/// closing the connection, in the middle of the answer, or with a 400 over one row. A record that is no JSON, or is not what it
/// should be, spoils an answer as well.
pub(super) fn is_divisible(error: &Error) -> bool {
    let spoilt = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Protocol | ErrorKind::Rejected);
    spoilt || error.context(ROW).is_some()
}

impl<T> Reply<T> {
    /// The texts of a refusal of the document itself; none for any other answer.
    pub(super) fn refusals(&self) -> Vec<String> {
        let refusals = self.errors.iter().filter(|error| self.data.is_none() && error.is_validation());
        refusals.map(|error| error.message.clone()).collect()
    }

    /// The data, if there is any that can be used.
    pub(super) fn read(self) -> Result<Answer<T>> {
        let hopeless = |error: &&GraphError| (error.is_too_much() && error.row().is_none()) || error.is_rate_limit();
        if let Some(error) = self.errors.iter().find(hopeless) {
            return Err(error.clone().into_error());
        }
        match self.data {
            Some(data) => Ok(Answer { data, errors: self.errors }),
            None => Err(self.errors.into_iter().next().map_or_else(
                || Error::new(ErrorKind::Protocol, "the answer holds neither data nor errors"),
                |error| match error.row() {
                    Some(row) => error.into_error().with(ROW, row),
                    None => error.into_error(),
                },
            )),
        }
    }
}

/// A node as GitHub wrote it.
#[derive(Debug)]
pub(super) struct Node {
    json: Box<RawValue>,
    /// What GitHub could not serve beside it, and why. The rest is right without that.
    pub(super) lacks: Option<String>,
}

impl Deref for Node {
    type Target = RawValue;

    fn deref(&self) -> &RawValue {
        &self.json
    }
}

/// Result of fetching one node.
#[derive(Debug)]
pub(super) enum FetchOutcome {
    /// The whole node, but for what it lacks.
    Whole(Node),
    /// The credential may not see it.
    Hidden(String),
    /// It does not exist any more.
    Gone,
    /// GitHub could not serve it, or not all of it.
    Torn(String),
}

/// Parts without which a record would be wrong. Anything else that the credential may not see is absent.
const ESSENTIAL: [&str; 5] = ["content", "fieldValues", "timelineItems", "labels", "assignees"];
/// Parts that may fail without making the rest of a record wrong.
const ASIDE: [&str; 2] = ["comments", "closedByPullRequestsReferences"];

/// The result for each node. A null node is gone or forbidden when its error says so; any other is torn and never taken for a
/// deletion. A node of which a part failed is torn as well, since a record is given whole or not at all. A part that is
/// forbidden stays so, and only matters where it is essential.
pub(super) fn outcomes(nodes: Vec<Option<Box<RawValue>>>, errors: &[GraphError]) -> Vec<FetchOutcome> {
    let outcome = |(index, node): (usize, Option<Box<RawValue>>)| {
        let about = || {
            let mine = errors.iter().filter_map(|error| Some((error, error.node()?)));
            mine.filter(move |(_, (at, _))| *at == index).map(|(error, (_, field))| (error, field))
        };
        let node = node.filter(|node| node.get() != "null");
        let Some(node) = node else {
            return match about().next() {
                Some((error, _)) if error.is_forbidden() => FetchOutcome::Hidden(error.text()),
                Some((error, _)) if error.is_not_found() => FetchOutcome::Gone,
                error => {
                    FetchOutcome::Torn(error.map_or_else(|| "an empty answer".to_owned(), |(error, _)| error.text()))
                }
            };
        };
        let harmless = |error: &GraphError, field: Option<&str>| {
            let refused = error.is_refusal() && field.is_some_and(|field| !ESSENTIAL.contains(&field));
            refused || error.is_within(&ASIDE)
        };
        match about().find(|(error, field)| !harmless(error, *field)) {
            None => {
                let mut failed = about().filter(|(error, _)| !error.is_refusal() && error.is_within(&ASIDE));
                let lacks = failed.next().map(|(error, field)| {
                    format!("{} could not be read: {}", field.unwrap_or("a part of it"), error.text())
                });
                FetchOutcome::Whole(Node { json: node, lacks })
            }
            Some((error, field)) => {
                FetchOutcome::Torn(format!("{} failed: {}", field.unwrap_or("a part of it"), error.text()))
            }
        }
    };
    nodes.into_iter().enumerate().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Nodes {
        #[serde(default)]
        nodes: Vec<Option<Box<RawValue>>>,
    }

    fn reply(json: &str) -> Reply<Nodes> {
        serde_json::from_str(json).unwrap()
    }

    fn refusal(json: &str) -> Error {
        reply(json).read().map(|_| ()).unwrap_err()
    }

    /// One letter for the result of each node.
    fn outcomes_of(json: &str) -> String {
        let Answer { data, errors } = reply(json).read().unwrap();
        let letter = |outcome: FetchOutcome| match outcome {
            FetchOutcome::Whole(_) => 'w',
            FetchOutcome::Hidden(_) => 'h',
            FetchOutcome::Gone => 'g',
            FetchOutcome::Torn(_) => 't',
        };
        outcomes(data.nodes, &errors).into_iter().map(letter).collect()
    }

    #[test]
    fn a_null_node_is_a_deletion_only_when_its_error_says_so() {
        let answer = r#"{"data":{"nodes":[{"id":"1"},null,null,null,{"id":"5"},{"id":"6"}]},"errors":[
            {"type":"NOT_FOUND","path":["nodes",1],"message":"Could not resolve to a node"},
            {"type":"FORBIDDEN","path":["nodes",2],"extensions":{"saml_failure":true},"message":"SAML"},
            {"message":"Something broke","path":["nodes",4,"content","timelineItems"]},
            {"type":"FORBIDDEN","path":["nodes",5,"content","closedByPullRequestsReferences","nodes",0],"message":"no"}]}"#;
        assert_eq!(outcomes_of(answer), "wghttw");
        for (field, outcome) in [("labels", "t"), ("parent", "w"), ("timelineItems", "t"), ("blockedBy", "w")] {
            let answer = format!(
                r#"{{"data":{{"nodes":[{{"id":"1"}}]}},"errors":[
                {{"type":"FORBIDDEN","path":["nodes",0,"content","{field}"],"message":"no"}}]}}"#
            );
            assert_eq!(outcomes_of(&answer), outcome, "{field}");
        }
        for (field, outcome) in [("labels", "t"), ("parent", "t"), ("comments", "w")] {
            let answer = format!(
                r#"{{"data":{{"nodes":[{{"id":"1"}}]}},"errors":[
                {{"path":["nodes",0,"content","{field}","nodes",3],"message":"Something went wrong while executing your query"}}]}}"#
            );
            assert_eq!(outcomes_of(&answer), outcome, "{field} failed");
        }
    }

    #[test]
    fn what_may_be_answered_in_parts_is_distinguished_from_refusals() {
        for json in [
            r#"{"data":{"nodes":[null]},"errors":[{"type":"RESOURCE_LIMITS_EXCEEDED","message":"Resource limits for this query exceeded."}]}"#,
            r#"{"errors":[{"type":"MAX_NODE_LIMIT_EXCEEDED","message":"up to 600,000 possible nodes"}]}"#,
            r#"{"data":null,"errors":[{"message":"Something went wrong while executing your query. Please include `1`"}]}"#,
            r#"{"errors":[{"message":"Timeout on validation of query"}]}"#,
        ] {
            let error = refusal(json);
            assert!(is_divisible(&error) && gave_up(&error), "{json}");
        }
        let row = r#"{"data":null,"errors":[{"type":"FORBIDDEN","message":"no","path":["nodes",3,"content"]}]}"#;
        assert!(is_divisible(&refusal(row)));
        for kind in [ErrorKind::Unavailable, ErrorKind::Protocol, ErrorKind::Rejected] {
            assert!(is_divisible(&Error::new(kind, "x")), "{kind:?}");
        }
        for kind in [ErrorKind::Auth, ErrorKind::Permission, ErrorKind::RateLimited, ErrorKind::Cancelled] {
            assert!(!is_divisible(&Error::new(kind, "x")), "{kind:?}");
        }
    }

    #[test]
    fn an_answer_without_data_is_an_error_by_its_type() {
        let table = [
            (r#"{"errors":[{"type":"INSUFFICIENT_SCOPES","message":"needs read:project"}]}"#, ErrorKind::Permission),
            (
                r#"{"data":null,"errors":[{"type":"FORBIDDEN","message":"Resource not accessible"}]}"#,
                ErrorKind::Permission,
            ),
            (r#"{"errors":[{"type":"NOT_FOUND","message":"no"}]}"#, ErrorKind::NotFound),
            (r#"{"errors":[{"type":"RATE_LIMIT","message":"slow"}]}"#, ErrorKind::RateLimited),
            (
                r#"{"errors":[{"message":"Field 'x' doesn't exist on type 'Issue'","extensions":{"code":"undefinedField"}}]}"#,
                ErrorKind::Rejected,
            ),
            ("{}", ErrorKind::Protocol),
        ];
        for (json, kind) in table {
            assert_eq!(refusal(json).kind(), kind, "{json}");
        }
        let old = reply(r#"{"errors":[{"message":"Field 'x' doesn't exist on type 'Issue'"}]}"#);
        assert_eq!(old.refusals(), ["Field 'x' doesn't exist on type 'Issue'"]);
        let beside = reply(r#"{"data":{},"errors":[{"message":"Field 'x' doesn't exist on type 'Issue'"}]}"#);
        assert!(beside.refusals().is_empty());
    }

    #[test]
    fn errors_of_any_shape_are_read() {
        for odd in [
            json!("boom"),
            json!(7),
            json!(null),
            json!({"message": 7, "path": "x", "type": [], "extensions": "odd"}),
            json!({"message": "boom", "path": ["nodes", -1.5, {}], "extensions": {"code": 7, "saml_failure": "yes"}}),
            json!({"extensions": [1, 2]}),
        ] {
            let text = json!({"data": {"nodes": [{"id": 1}]}, "errors": [odd]}).to_string();
            assert_eq!(outcomes_of(&text), "w", "{text}");
        }
        assert_eq!(outcomes_of(r#"{"data":{"nodes":[{"id":1}]},"errors":null}"#), "w");
        let many = vec![json!({"message": "boom"}); MAX_ERRORS + 5];
        assert_eq!(reply(&json!({"errors": many}).to_string()).errors.len(), MAX_ERRORS);
    }

    #[test]
    fn recorded_refusals_are_read() {
        let recorded: Value = serde_json::from_str(include_str!("fixtures/recorded_project_not_found.json")).unwrap();
        let reply: Reply<Value> = serde_json::from_value(recorded[0]["response"]["body"].clone()).unwrap();
        let answer = reply.read().unwrap();
        assert!(answer.errors[0].is_not_found() && answer.data["userOrOrganization"]["projectV2"].is_null());
        let partial: Reply<Value> = serde_json::from_str(include_str!("fixtures/partial_forbidden.json")).unwrap();
        let answer = partial.read().unwrap();
        assert!(answer.errors.iter().all(GraphError::is_forbidden) && answer.errors[0].saml_failure);
    }
}
