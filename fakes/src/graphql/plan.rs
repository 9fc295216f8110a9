//! What an operation asks for, as a tree without fragments and variables: the basis of prices and limits.

use super::{Place, Prepared};
use apollo_compiler::ast;
use apollo_compiler::executable::{Field, Selection, SelectionSet};
use apollo_compiler::response::JsonMap;
use apollo_compiler::schema::{ExtendedType, FieldDefinition};
use serde_json::{Map, Value as Json};

/// A field that is asked for. Fields of fragments stand beside each other, whatever type they apply to; the same field
/// asked for twice on the same type is there once.
#[derive(Clone, Debug)]
pub struct Selected<'d> {
    pub name: &'d str,
    /// Its key in the response: the alias, or the name.
    pub key: &'d str,
    /// The type that the field is selected on; of an interface or union, the interface or the fragment's type.
    pub parent: &'d str,
    /// The innermost type of the field's value: `IssueConnection`.
    pub kind: &'d str,
    /// Whether the value is a scalar or an enum value (or a list of them).
    pub leaf: bool,
    /// Whether the value is a list.
    pub list: bool,
    /// Arguments given, and the schema's defaults of those left out.
    pub arguments: Map<String, Json>,
    pub place: Option<Place>,
    pub children: Vec<Selected<'d>>,
    definition: &'d FieldDefinition,
}

impl Selected<'_> {
    /// Whether the schema lets this field page: it takes `first` and gives a connection.
    pub fn is_connection(&self) -> bool {
        self.kind.ends_with("Connection") && self.takes("first")
    }

    /// Whether the field has an argument of this name, given or not.
    pub fn takes(&self, argument: &str) -> bool {
        self.definition.argument_by_name(argument).is_some()
    }

    /// `first`, or `last`.
    pub fn page_size(&self) -> Option<i64> {
        ["first", "last"].into_iter().find_map(|name| self.arguments.get(name)?.as_i64())
    }

    /// How many entries a list argument has.
    pub fn count(&self, argument: &str) -> Option<usize> {
        self.arguments.get(argument)?.as_array().map(Vec::len)
    }
}

pub(super) fn plan<'d>(prepared: &'d Prepared<'_>) -> Vec<Selected<'d>> {
    let mut found = vec![];
    if let Ok(operation) = prepared.document.operations.get(prepared.operation_name.as_deref()) {
        Planner { prepared }.collect([&operation.selection_set], &mut found);
    }
    found
}

struct Planner<'d, 'e> {
    prepared: &'d Prepared<'e>,
}

/// A field with all selection sets it was given.
struct Merged<'d> {
    field: &'d Field,
    parent: &'d str,
    sets: Vec<&'d SelectionSet>,
}

impl<'d> Planner<'d, '_> {
    fn collect(&self, sets: impl IntoIterator<Item = &'d SelectionSet>, found: &mut Vec<Selected<'d>>) {
        let mut merged = vec![];
        sets.into_iter().for_each(|set| self.merge(set, &mut merged));
        found.extend(merged.into_iter().map(|merged| self.selected(merged)));
    }

    /// Spreads fragments out and brings the same fields together.
    fn merge(&self, set: &'d SelectionSet, merged: &mut Vec<Merged<'d>>) {
        for selection in set.selections.iter().filter(|selection| self.is_included(selection)) {
            match selection {
                Selection::Field(field) => {
                    let parent = set.ty.as_str();
                    let same = |one: &&mut Merged<'_>| {
                        one.field.response_key() == field.response_key() && one.parent == parent
                    };
                    match merged.iter_mut().find(same) {
                        Some(one) => one.sets.push(&field.selection_set),
                        None => merged.push(Merged { field, parent, sets: vec![&field.selection_set] }),
                    }
                }
                Selection::InlineFragment(inline) => self.merge(&inline.selection_set, merged),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = spread.fragment_def(&self.prepared.document) {
                        self.merge(&fragment.selection_set, merged);
                    }
                }
            }
        }
    }

    fn selected(&self, Merged { field, parent, sets }: Merged<'d>) -> Selected<'d> {
        let kind = field.ty().inner_named_type();
        let definition = self.prepared.engine.schema.types.get(kind);
        let place = field.name.line_column_range(&self.prepared.document.sources);
        let mut children = vec![];
        self.collect(sets, &mut children);
        Selected {
            name: &field.name,
            key: field.response_key(),
            parent,
            kind,
            leaf: matches!(definition, Some(ExtendedType::Scalar(_) | ExtendedType::Enum(_))),
            list: field.ty().is_list(),
            arguments: self.arguments(field),
            place: place.map(|range| Place::of(range.start)),
            children,
            definition: &field.definition,
        }
    }

    fn arguments(&self, field: &Field) -> Map<String, Json> {
        let given = |name: &str| field.specified_argument_by_name(name).and_then(|value| self.json(value));
        let default = |argument: &'_ ast::InputValueDefinition| {
            argument.default_value.as_ref().and_then(|value| self.json(value))
        };
        let arguments = field.definition.arguments.iter();
        let filled = arguments.filter_map(|argument| {
            let value = given(&argument.name).or_else(|| default(argument))?;
            Some((argument.name.to_string(), value))
        });
        filled.collect()
    }

    /// A literal as JSON; none for a variable that has no value.
    fn json(&self, value: &ast::Value) -> Option<Json> {
        Some(match value {
            ast::Value::Null => Json::Null,
            ast::Value::Enum(name) => name.as_str().into(),
            ast::Value::Variable(name) => variable(&self.prepared.variables, name)?,
            ast::Value::String(text) => text.as_str().into(),
            ast::Value::Float(number) => number.try_to_f64().ok()?.into(),
            ast::Value::Int(number) => number.as_str().parse::<i64>().ok()?.into(),
            ast::Value::Boolean(value) => (*value).into(),
            ast::Value::List(items) => items.iter().filter_map(|item| self.json(item)).collect(),
            ast::Value::Object(fields) => {
                let fields = fields.iter().filter_map(|(name, value)| Some((name.to_string(), self.json(value)?)));
                Json::Object(fields.collect())
            }
        })
    }

    /// Whether `@skip` and `@include` let it in.
    fn is_included(&self, selection: &Selection) -> bool {
        let condition = |name| {
            let directive = selection.directives().get(name)?;
            self.json(directive.specified_argument_by_name("if")?)?.as_bool()
        };
        !condition("skip").unwrap_or(false) && condition("include").unwrap_or(true)
    }
}

fn variable(variables: &JsonMap, name: &str) -> Option<Json> {
    variables.get(name).and_then(|value| serde_json::to_value(value).ok())
}
