//! Removes parts of a schema, and with them everything that needs them: so the schema of an older server is made.

use super::Engine;
use apollo_compiler::ast::InputValueDefinition;
use apollo_compiler::collections::IndexMap;
use apollo_compiler::schema::{Component, ExtendedType, FieldDefinition, Schema};
use apollo_compiler::{Name, Node};
use std::collections::HashSet;

/// What to remove. Fields and arguments of a removed type are removed with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Without<'a> {
    pub types: &'a [&'a str],
    /// Type and field.
    pub fields: &'a [(&'a str, &'a str)],
    /// Enum and value.
    pub values: &'a [(&'a str, &'a str)],
    /// Type, field and argument.
    pub arguments: &'a [(&'a str, &'a str, &'a str)],
}

impl Engine {
    /// The schema without some of it.
    ///
    /// # Errors
    /// When what is left is no schema.
    pub fn without(&self, what: &Without<'_>) -> Result<Self, String> {
        let mut schema = Schema::clone(&self.schema);
        schema.types.retain(|name, _| !what.types.contains(&name.as_str()));
        loop {
            what.prune(&mut schema);
            let before = schema.types.len();
            schema.types.retain(|_, definition| !is_empty(definition));
            if schema.types.len() == before {
                break;
            }
        }
        schema.validate().map(Self::of).map_err(|error| error.to_string())
    }
}

/// A type with nothing left in it goes too.
fn is_empty(definition: &ExtendedType) -> bool {
    match definition {
        ExtendedType::Object(object) => object.fields.is_empty(),
        ExtendedType::Interface(interface) => interface.fields.is_empty(),
        ExtendedType::Union(union) => union.members.is_empty(),
        ExtendedType::Enum(of) => of.values.is_empty(),
        ExtendedType::InputObject(input) => input.fields.is_empty(),
        ExtendedType::Scalar(_) => false,
    }
}

type Known = HashSet<Name>;

impl Without<'_> {
    fn prune(&self, schema: &mut Schema) {
        let known: Known = schema.types.keys().cloned().collect();
        for (name, definition) in &mut schema.types {
            match definition {
                ExtendedType::Object(object) => {
                    let object = object.make_mut();
                    object.implements_interfaces.retain(|interface| known.contains(&interface.name));
                    self.prune_fields(name, &mut object.fields, &known);
                }
                ExtendedType::Interface(interface) => {
                    let interface = interface.make_mut();
                    interface.implements_interfaces.retain(|above| known.contains(&above.name));
                    self.prune_fields(name, &mut interface.fields, &known);
                }
                ExtendedType::Union(union) => union.make_mut().members.retain(|member| known.contains(&member.name)),
                ExtendedType::Enum(of) => {
                    of.make_mut().values.retain(|value, _| !self.values.contains(&(name.as_str(), value.as_str())));
                }
                ExtendedType::InputObject(input) => {
                    input.make_mut().fields.retain(|_, field| known.contains(field.ty.inner_named_type()));
                }
                ExtendedType::Scalar(_) => {}
            }
        }
    }

    fn prune_fields(&self, of: &Name, fields: &mut IndexMap<Name, Component<FieldDefinition>>, known: &Known) {
        fields.retain(|field, definition| {
            !self.fields.contains(&(of.as_str(), field.as_str())) && known.contains(definition.ty.inner_named_type())
        });
        for (name, field) in fields {
            let kept = |argument: &Node<InputValueDefinition>| {
                let path = (of.as_str(), name.as_str(), argument.name.as_str());
                !self.arguments.contains(&path) && known.contains(argument.ty.inner_named_type())
            };
            if !field.arguments.iter().all(kept) {
                field.make_mut().arguments.retain(kept);
            }
        }
    }
}
