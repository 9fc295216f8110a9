//! GraphQL operations: their variables as typed structs, and the documents they are sent with.
//!
//! [`operations!`] declares a struct for each operation of a document: the struct has the operation's name, its fields are the
//! variables. [`Operation::request`] makes the body of the request. Answers are read into types of the connectors' own, so nothing
//! is generated from a schema at build time.
//!
//! `validation` is the test that every vendor's operations must pass: each document is validated against the vendor's full published
//! schema, arguments and input values included, and each struct is checked against the variables that its operation declares.

use graphql_client::QueryBody;
use serde::Serialize;

#[cfg(test)]
pub(crate) mod validation;

/// An operation, held by its variables.
pub(crate) trait Operation: Serialize {
    /// What distinguishes this vendor's documents.
    type Document: 'static;

    /// The operation's name in its document.
    const NAME: &'static str;
    /// Where it is declared.
    const DOCUMENT: Self::Document;

    /// The body of a request, given the text of [`Self::DOCUMENT`].
    fn request(&self, query: &'static str) -> QueryBody<&Self> {
        QueryBody { variables: self, query, operation_name: Self::NAME }
    }
}

/// Declares the operations of documents: `operations! { DocumentType; DOCUMENT => Name { variable: Type }, Other {}; }`, and in
/// tests the list of them, `STRUCTS`. Variables are camel case in the document.
macro_rules! operations {
    ($kind:ty; $($document:expr => $($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }),+ ;)+) => {
        $($(
            $(#[$meta])*
            #[derive(Debug, Clone, serde::Serialize)]
            #[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
            #[serde(rename_all = "camelCase")]
            pub(super) struct $name { $(pub(super) $field: $type),* }

            impl $crate::graphql::Operation for $name {
                type Document = $kind;
                const NAME: &'static str = stringify!($name);
                const DOCUMENT: $kind = $document;
            }
        )+)+

        /// Every operation there is, for the test that compares them with the schema.
        #[cfg(test)]
        pub(super) const STRUCTS: &[$crate::graphql::validation::Struct<$kind>] =
            &[$($($crate::graphql::validation::Struct::of::<$name>()),+),+];
    };
}
pub(crate) use operations;
