//! Executes GraphQL documents against a vendor's real, published schema, so that a query the vendor would refuse is refused.
//!
//! Read [`Engine`] first: it turns a [`Query`] into a [`Prepared`] operation or a list of [`Refusal`]s, and a prepared
//! operation executes over an [`Object`], the root. [`connection`] answers the fields that page. [`Prepared::plan`] shows
//! what an operation asks for, fragments spread out and variables filled in: from it a vendor computes its price.
//!
//! What it leaves to others: HTTP, the vendor's wording of errors, and every price. It knows no vendor beyond the two
//! schemas, which are parsed once, when first asked for.

mod page;
mod plan;
mod value;
mod without;

pub use page::{Connection, connection};
pub use plan::Selected;
pub use value::{Answer, Arguments, Failure, Object, Plain, Value};
pub use without::Without;

use apollo_compiler::collections::HashMap;
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::resolvers::Execution;
use apollo_compiler::response::{GraphQLError, JsonMap, JsonValue, ResponseDataPathSegment};
use apollo_compiler::schema::{Implementers, Schema};
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Name};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use crate::lock;

/// How many documents that were found in order an engine remembers. A client asks with a few dozen.
const REMEMBERED: usize = 256;

/// A schema, ready to check and execute documents against.
pub struct Engine {
    schema: Valid<Schema>,
    implementers: HashMap<Name, Implementers>,
    /// Documents in order, by their text: a client posts the same ones again and again, and checking one takes as long as
    /// executing it.
    checked: Mutex<HashMap<String, Arc<Valid<ExecutableDocument>>>>,
}

/// What a client posts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    pub query: String,
    #[serde(default)]
    pub variables: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    pub operation_name: Option<String>,
}

/// A place in a document, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// Why a document is not executed at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that was broken, in apollo-compiler's words: `UndefinedField`. `Syntax` and `Variables` are ours.
    pub rule: &'static str,
    /// As graphql-js words it: `Cannot query field "a" on type "Query".`
    pub message: String,
    /// The names that the refusal speaks of, in its order: of an undefined field, its type and itself.
    pub names: Vec<String>,
    pub place: Option<Place>,
}

/// A document that is in order, and its variables.
pub struct Prepared<'e> {
    engine: &'e Engine,
    document: Arc<Valid<ExecutableDocument>>,
    operation_name: Option<String>,
    variables: Valid<JsonMap>,
}

/// What came of an execution. Data and errors may both be there.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// None when an error went all the way up.
    pub data: Option<serde_json::Value>,
    pub errors: Vec<FieldError>,
}

/// What went wrong at one field. The field, or the nearest nullable one around it, is null.
#[derive(Clone, Debug)]
pub struct FieldError {
    pub failure: Failure,
    pub places: Vec<Place>,
    /// Response keys and list indices from the root.
    pub path: Vec<serde_json::Value>,
}

/// GitHub's schema of July 2026.
///
/// # Errors
/// When it does not parse.
pub fn github() -> io::Result<&'static Engine> {
    static ENGINE: LazyLock<Result<Engine, String>> =
        LazyLock::new(|| Engine::parse(include_str!("../../../schemas/github.graphql")));
    ENGINE.as_ref().map_err(|error| io::Error::other(error.as_str()))
}

/// Linear's schema of July 2026.
///
/// # Errors
/// When it does not parse.
pub fn linear() -> io::Result<&'static Engine> {
    static ENGINE: LazyLock<Result<Engine, String>> =
        LazyLock::new(|| Engine::parse(include_str!("../../../schemas/linear.graphql")));
    ENGINE.as_ref().map_err(|error| io::Error::other(error.as_str()))
}

impl Engine {
    /// Reads a schema.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(sdl: &str) -> Result<Self, String> {
        Schema::parse_and_validate(sdl, "schema.graphql").map(Self::of).map_err(|error| error.to_string())
    }

    fn of(schema: Valid<Schema>) -> Self {
        let implementers = schema.implementers_map();
        Self { schema, implementers, checked: Mutex::default() }
    }

    /// The document of this text, checked once.
    fn document(&self, text: &str) -> Result<Arc<Valid<ExecutableDocument>>, Vec<Refusal>> {
        if let Some(document) = lock(&self.checked).get(text) {
            return Ok(Arc::clone(document));
        }
        let document = ExecutableDocument::parse_and_validate(&self.schema, text, "query.graphql");
        let document = Arc::new(document.map_err(|error| refusals(&error.errors))?);
        let mut checked = lock(&self.checked);
        if checked.len() == REMEMBERED {
            checked.clear();
        }
        checked.insert(text.to_owned(), Arc::clone(&document));
        Ok(document)
    }

    /// Checks a request as the vendor does before it executes anything.
    ///
    /// # Errors
    /// All that is wrong, in the order of the document; of variables only the first.
    pub fn prepare(&self, query: &Query) -> Result<Prepared<'_>, Vec<Refusal>> {
        let document = self.document(&query.query)?;
        let operation = document.operations.get(query.operation_name.as_deref());
        let given = query.variables.clone().unwrap_or_default();
        let given = given.into_iter().map(|(name, value)| (name.into(), JsonValue::from(value))).collect();
        let variables = operation.and_then(|operation| coerce_variable_values(&self.schema, operation, &given));
        let variables = variables.map_err(|error| {
            let place = error.to_graphql_error(&document.sources).locations.first().map(|at| Place::of(*at));
            vec![Refusal { rule: "Variables", message: error.message().to_string(), names: vec![], place }]
        })?;
        Ok(Prepared { engine: self, document, operation_name: query.operation_name.clone(), variables })
    }
}

impl Prepared<'_> {
    /// Executes the operation over a root object. Introspection is answered from the schema.
    pub fn execute(&self, root: &dyn Object) -> Outcome {
        let failures = value::Failures::default();
        let executed = Execution::new(&self.engine.schema, &self.document)
            .implementers_map(&self.engine.implementers)
            .enable_schema_introspection(true)
            .coerced_variable_values(&self.variables)
            .operation_name(self.operation_name.as_deref())
            .and_then(|execution| execution.execute_sync(&value::Resolver::root(root, &failures)));
        match executed {
            Ok(response) => Outcome {
                data: response.data.and_then(|data| serde_json::to_value(data).ok()),
                errors: response.errors.into_iter().map(|error| FieldError::of(error, &failures)).collect(),
            },
            Err(error) => Outcome {
                data: None,
                errors: vec![FieldError::of(error.to_graphql_error(&self.document.sources), &failures)],
            },
        }
    }

    /// What the operation asks for: its root fields, those beneath them, and so on.
    pub fn plan(&self) -> Vec<Selected<'_>> {
        plan::plan(self)
    }
}

impl Outcome {
    /// The places in the data where something went wrong.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.errors.iter().map(|error| {
            let text = |key: &serde_json::Value| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            error.path.iter().map(text).collect::<Vec<_>>().join(".")
        })
    }
}

impl Place {
    fn of(at: apollo_compiler::parser::LineColumn) -> Self {
        Self { line: at.line, column: at.column }
    }
}

impl FieldError {
    fn of(error: GraphQLError, failures: &value::Failures) -> Self {
        let segment = |segment| match segment {
            ResponseDataPathSegment::Field(name) => name.as_str().into(),
            ResponseDataPathSegment::ListIndex(index) => index.into(),
        };
        Self {
            failure: failures.take(&error.message).unwrap_or_else(|| Failure::new("INTERNAL", error.message)),
            places: error.locations.into_iter().map(Place::of).collect(),
            path: error.path.into_iter().map(segment).collect(),
        }
    }
}

const EMPTY: &str = "MissingSubselection";

fn refusals(found: &DiagnosticList) -> Vec<Refusal> {
    let refusal = |diagnostic: apollo_compiler::diagnostic::Diagnostic<'_, _>| {
        let compat: GraphQLError = diagnostic.unstable_to_json_compat();
        let message = diagnostic.error.to_string();
        Refusal {
            rule: diagnostic.error.unstable_error_name().unwrap_or("Syntax"),
            names: message.split('`').skip(1).step_by(2).map(|name| name.trim_start_matches('$').to_owned()).collect(),
            message: compat.message,
            place: compat.locations.first().map(|at| Place::of(*at)),
        }
    };
    let mut refusals: Vec<_> = found.iter().map(refusal).collect();
    // A selection of nothing but unknown things looks empty: that follows from the others.
    if refusals.iter().any(|refusal| refusal.rule != EMPTY) {
        refusals.retain(|refusal| refusal.rule != EMPTY);
    }
    refusals
}

#[cfg(test)]
mod tests;
