//! Validates operations against a vendor's published schema, in tests.
//!
//! [`Validated::new`] validates a document against the schema; [`Validated::check`] compares the operations it declares with the
//! structs of [`operations!`](super::operations), by reading a sample of the declared variables into each.

use std::collections::BTreeSet;

use apollo_compiler::ast::{Type, VariableDefinition};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Operation;

/// A struct of [`operations!`](super::operations), as the check needs it.
pub(crate) struct Struct<D: 'static> {
    pub(crate) name: &'static str,
    pub(crate) document: D,
    /// Reads variables into the struct and writes them again.
    round_trip: fn(&Value) -> Result<Value, String>,
}

impl<D> Struct<D> {
    pub(crate) const fn of<O: Operation<Document = D> + DeserializeOwned>() -> Self {
        Self { name: O::NAME, document: O::DOCUMENT, round_trip: round_trip::<O> }
    }
}

fn round_trip<O: Operation + DeserializeOwned>(variables: &Value) -> Result<Value, String> {
    let read: O = O::deserialize(variables).map_err(|error| error.to_string())?;
    serde_json::to_value(read).map_err(|error| error.to_string())
}

/// A vendor's published schema.
pub(crate) fn schema(text: &str) -> Valid<Schema> {
    Schema::parse_and_validate(text, "schema.graphql").unwrap_or_else(|error| panic!("{error}"))
}

/// A document that the schema accepts.
pub(crate) struct Validated<'s> {
    schema: &'s Valid<Schema>,
    document: Valid<ExecutableDocument>,
}

impl<'s> Validated<'s> {
    /// Validates a document.
    ///
    /// # Errors
    /// What the schema refuses, with its place in the document.
    pub(crate) fn new(schema: &'s Valid<Schema>, file: &str, text: &str) -> Result<Self, String> {
        let document = ExecutableDocument::parse_and_validate(schema, text, file).map_err(|error| error.to_string())?;
        Ok(Self { schema, document })
    }

    /// Checks that the structs are those of the document's operations, each with the variables that the operation declares.
    ///
    /// # Errors
    /// The first that does not fit.
    pub(crate) fn check<'c, D: 'static>(&self, structs: impl IntoIterator<Item = &'c Struct<D>>) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for one in structs {
            seen.insert(one.name);
            let declared = self.document.operations.named.get(one.name);
            let declared = declared.ok_or_else(|| format!("no operation {} in the document", one.name))?;
            let variables: Vec<&VariableDefinition> = declared.variables.iter().map(AsRef::as_ref).collect();
            self.variables(one, &variables).map_err(|problem| format!("{}: {problem}", one.name))?;
        }
        let declared: BTreeSet<&str> = self.document.operations.named.keys().map(AsRef::as_ref).collect();
        match declared.difference(&seen).next() {
            None => Ok(()),
            Some(name) => Err(format!("no struct for the operation {name}")),
        }
    }

    /// A full sample must come through the struct unchanged, and no null where the operation allows none.
    fn variables<D>(&self, one: &Struct<D>, declared: &[&VariableDefinition]) -> Result<(), String> {
        let sample = |definition: &&VariableDefinition| (definition.name.to_string(), self.sample(&definition.ty));
        let full: Map<String, Value> = declared.iter().map(sample).collect();
        let full = Value::from(full);
        let read = (one.round_trip)(&full)?;
        if read != full {
            return Err(format!("declares {full}, the struct holds {read}"));
        }
        for definition in declared.iter().filter(|definition| definition.ty.is_non_null()) {
            let mut holed = full.clone();
            holed[definition.name.as_str()] = Value::Null;
            if (one.round_trip)(&holed).is_ok() {
                return Err(format!("${} must not be null, the struct allows it", definition.name));
            }
        }
        Ok(())
    }

    /// A value of this type.
    fn sample(&self, of: &Type) -> Value {
        match of {
            Type::List(item) | Type::NonNullList(item) => json!([self.sample(item)]),
            Type::Named(name) | Type::NonNullNamed(name) => match (name.as_str(), self.schema.types.get(name)) {
                ("Int", _) => json!(7),
                ("Float", _) => json!(7.5),
                ("Boolean", _) => json!(true),
                (_, Some(ExtendedType::Enum(words))) => json!(words.values.keys().next().map(AsRef::<str>::as_ref)),
                (_, Some(ExtendedType::InputObject(_))) => panic!("no sample yet for input objects such as {name}"),
                _ => json!("text"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod sound {
        crate::graphql::operations! { (); () => Find { name: String, first: i64, after: Option<String> }; }
    }
    mod misspelt {
        crate::graphql::operations! { (); () => Find { name: String, frist: i64, after: Option<String> }; }
    }
    mod mistyped {
        crate::graphql::operations! { (); () => Find { name: String, first: String, after: Option<String> }; }
    }
    mod lax {
        crate::graphql::operations! { (); () => Find { name: Option<String>, first: i64, after: Option<String> }; }
    }
    mod short {
        crate::graphql::operations! { (); () => Find { name: String, first: i64 }; }
    }
    mod long {
        crate::graphql::operations! { (); () => Find { name: String, first: i64, after: Option<String>, more: Option<bool> }; }
    }
    mod renamed {
        crate::graphql::operations! { (); () => Seek { name: String, first: i64, after: Option<String> }; }
    }

    const SCHEMA: &str =
        "type Query { tasks(name: String!, first: Int!, after: String): [Task!] } type Task { id: ID! }";
    const FIND: &str = "query Find($name: String!, $first: Int!, $after: String) \
                        { tasks(name: $name, first: $first, after: $after) { id } }";

    fn problem(text: &str, structs: &[Struct<()>]) -> String {
        let schema = schema(SCHEMA);
        Validated::new(&schema, "q", text).and_then(|document| document.check(structs)).err().unwrap_or_default()
    }

    #[test]
    fn a_struct_that_does_not_fit_its_operation_is_reported() {
        assert_eq!(problem(FIND, sound::STRUCTS), "");
        let table = [
            (misspelt::STRUCTS, "Find: unknown field `first`"),
            (mistyped::STRUCTS, "Find: invalid type: integer `7`"),
            (lax::STRUCTS, "Find: $name must not be null"),
            (short::STRUCTS, "Find: unknown field `after`"),
            (long::STRUCTS, "Find: declares {"),
            (renamed::STRUCTS, "no operation Seek in the document"),
            (&[][..], "no struct for the operation Find"),
        ];
        for (structs, begin) in table {
            let problem = problem(FIND, structs);
            assert!(problem.starts_with(begin), "{problem:?} is not {begin:?}");
        }
    }

    #[test]
    fn a_document_that_the_schema_refuses_is_reported() {
        for (right, wrong) in
            [("id }", "title }"), ("after: $after", "before: $after"), ("$first: Int!", "$first: String!")]
        {
            assert!(!problem(&FIND.replace(right, wrong), sound::STRUCTS).is_empty(), "{wrong}");
        }
    }
}
