//! What resolves fields: objects that answer by name, and the bridge from them to apollo-compiler's executor.

use apollo_compiler::ast::Type;
use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::{ExtendedType, Schema};
use serde_json::{Map, Value as Json};
use std::cell::RefCell;

/// An object of the graph.
pub trait Object {
    /// The name of its concrete type in the schema.
    fn type_name(&self) -> &str;

    /// The value of a field. Only fields that the schema knows are asked for, with arguments coerced and defaults filled
    /// in. [`Value::NULL`] is the answer for everything it has no value for.
    ///
    /// # Errors
    /// Makes the field null and adds an error with the field's path.
    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_>;
}

/// A field's value, or why there is none.
pub type Answer<'a> = Result<Value<'a>, Failure>;

/// A value of the graph.
pub enum Value<'a> {
    /// A scalar, an enum value, null, or a whole subtree: a JSON object stands for an object of the field's type, or of
    /// the type in its `__typename`, which it must have where the field's type is an interface or a union.
    Json(Json),
    Object(Box<dyn Object + 'a>),
    List(Vec<Value<'a>>),
    /// Null with an error of its own: an entry of a list that could not be had.
    Failed(Failure),
}

/// Why a field has no value.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The vendor's word for it: `NOT_FOUND`.
    pub kind: String,
    pub message: String,
    /// The error's `extensions`, empty for none.
    pub extensions: Map<String, Json>,
}

/// The arguments of a field.
#[derive(Clone, Copy)]
pub struct Arguments<'a>(pub(super) &'a JsonMap);

/// An object whose fields are plain JSON.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    type_name: String,
    fields: Map<String, Json>,
}

impl Value<'_> {
    pub const NULL: Self = Self::Json(Json::Null);
}

impl<'a> Value<'a> {
    /// An object.
    pub fn object(object: impl Object + 'a) -> Self {
        Self::Object(Box::new(object))
    }

    /// An object, or null.
    pub fn maybe(object: Option<impl Object + 'a>) -> Self {
        object.map_or(Self::NULL, Self::object)
    }

    /// A list of objects.
    pub fn objects<O: Object + 'a>(objects: impl IntoIterator<Item = O>) -> Self {
        Self::List(objects.into_iter().map(Self::object).collect())
    }
}

impl<T: Into<Json>> From<T> for Value<'_> {
    fn from(value: T) -> Self {
        Self::Json(value.into())
    }
}

impl Failure {
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), extensions: Map::new() }
    }

    /// Adds an entry to the error's `extensions`.
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }
}

impl<'a> Arguments<'a> {
    /// The text, or the name of the enum value.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name)?.as_str()
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    pub fn bool(&self, name: &str) -> Option<bool> {
        self.0.get(name)?.as_bool()
    }

    /// A list of texts or enum values; none when the argument was left out or is null.
    pub fn texts(&self, name: &str) -> Option<Vec<&'a str>> {
        Some(self.0.get(name)?.as_array()?.iter().filter_map(|value| value.as_str()).collect())
    }

    /// The argument as plain JSON, null when it was left out. Use it for input objects: filters, orders.
    pub fn json(&self, name: &str) -> Json {
        self.0.get(name).and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
    }
}

impl Plain {
    /// An object of a type; `fields` that is no JSON object has none.
    pub fn new(type_name: &str, fields: Json) -> Self {
        let fields = if let Json::Object(fields) = fields { fields } else { Map::new() };
        Self { type_name: type_name.to_owned(), fields }
    }
}

impl Object for Plain {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn field(&self, name: &str, _: &Arguments<'_>) -> Answer<'_> {
        Ok(Value::Json(self.fields.get(name).cloned().unwrap_or_default()))
    }
}

impl<O: Object + ?Sized> Object for &O {
    fn type_name(&self) -> &str {
        (**self).type_name()
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        (**self).field(name, arguments)
    }
}

/// Failures on their way through the executor, which carries nothing but a message: their number, between marks.
#[derive(Default)]
pub(super) struct Failures(RefCell<Vec<Failure>>);

const MARK: char = '\u{1}';

impl Failures {
    fn note(&self, failure: Failure) -> String {
        let failures = &mut *self.0.borrow_mut();
        failures.push(failure);
        format!("{MARK}{}{MARK}", failures.len() - 1)
    }

    /// The failure that an error of the executor speaks of.
    pub(super) fn take(&self, message: &str) -> Option<Failure> {
        let number: usize = message.split(MARK).nth(1)?.parse().ok()?;
        self.0.borrow().get(number).cloned()
    }
}

/// An object as the executor wants it.
pub(super) struct Resolver<'a> {
    object: Box<dyn Object + 'a>,
    failures: &'a Failures,
}

impl<'a> Resolver<'a> {
    pub(super) fn root(object: &'a dyn Object, failures: &'a Failures) -> Self {
        Self { object: Box::new(object), failures }
    }
}

impl ObjectValue for Resolver<'_> {
    fn type_name(&self) -> &str {
        self.object.type_name()
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Result<ResolvedValue<'a>, FieldError> {
        match self.object.field(info.field_name(), &Arguments(info.arguments())) {
            Ok(value) => {
                let bridge = Bridge { schema: info.schema(), failures: self.failures };
                Ok(bridge.resolved(value, &info.field_definition().ty))
            }
            Err(failure) => Err(FieldError { message: self.failures.note(failure) }),
        }
    }
}

/// The place of a failed entry of a list: no schema has a type of its name, so the executor makes it null and an error.
struct Broken(String);

impl ObjectValue for Broken {
    fn type_name(&self) -> &str {
        &self.0
    }

    fn resolve_field<'a>(&'a self, _: &'a ResolveInfo<'a>) -> Result<ResolvedValue<'a>, FieldError> {
        Ok(ResolvedValue::null())
    }
}

#[derive(Clone, Copy)]
struct Bridge<'a> {
    schema: &'a Schema,
    failures: &'a Failures,
}

impl<'a> Bridge<'a> {
    fn resolved(self, value: Value<'a>, ty: &Type) -> ResolvedValue<'a> {
        match value {
            Value::Json(json) => self.json(json, ty),
            Value::Object(object) => ResolvedValue::object(Resolver { object, failures: self.failures }),
            Value::List(items) => self.list(items, ty),
            Value::Failed(failure) => ResolvedValue::object(Broken(self.failures.note(failure))),
        }
    }

    fn list(self, items: Vec<Value<'a>>, ty: &Type) -> ResolvedValue<'a> {
        let items: Vec<_> = items.into_iter().map(|item| self.resolved(item, ty.item_type())).collect();
        ResolvedValue::list(items)
    }

    fn json(self, json: Json, ty: &Type) -> ResolvedValue<'a> {
        let name = ty.inner_named_type();
        let composite = match self.schema.types.get(name) {
            Some(ExtendedType::Scalar(_) | ExtendedType::Enum(_)) | None => false,
            Some(_) => true,
        };
        match json {
            Json::Array(items) if ty.is_list() => self.list(items.into_iter().map(Value::Json).collect(), ty),
            Json::Object(fields) if composite => {
                let type_name = fields.get("__typename").and_then(Json::as_str).unwrap_or(name.as_str());
                let object = Plain { type_name: type_name.to_owned(), fields };
                self.resolved(Value::object(object), ty)
            }
            // The executor takes nothing but floats for a float.
            Json::Number(number) if name == "Float" => {
                ResolvedValue::Leaf(number.as_f64().map_or(JsonValue::Null, JsonValue::from))
            }
            json => ResolvedValue::Leaf(json.into()),
        }
    }
}
