//! Objects that name their type themselves, in `__typename`.
//!
//! Serde's own way to read such a one is through a tree of all that is in it, which takes more time for an issue with its history
//! than reading it does. GitHub gives fields in the order in which they were asked for, and the type is asked for first: then the
//! rest is read as it comes.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

const TYPE: &str = "__typename";

/// A choice between objects of different types.
pub(super) trait ByType: Sized {
    /// Reads the fields of an object of this type.
    fn read<'de, D: Deserializer<'de>>(kind: &str, fields: D) -> Result<Self, D::Error>;
}

/// Reads an object by the type that it names.
pub(super) fn by_type<'de, D: Deserializer<'de>, T: ByType>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Choice(PhantomData))
}

/// The error of a type that is not among those.
pub(super) fn unknown<E: Error>(kind: &str) -> E {
    E::custom(format_args!("unknown type `{kind}`"))
}

struct Choice<T>(PhantomData<T>);

impl<'de, T: ByType> Visitor<'de> for Choice<T> {
    type Value = T;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "an object with `{TYPE}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<T, A::Error> {
        let first: Option<String> = fields.next_key()?;
        if first.as_deref() == Some(TYPE) {
            let kind: String = fields.next_value()?;
            return T::read(&kind, MapAccessDeserializer::new(fields));
        }
        let mut all = Map::new();
        if let Some(first) = first {
            all.insert(first, fields.next_value()?);
        }
        while let Some((key, value)) = fields.next_entry()? {
            all.insert(key, value);
        }
        let kind = all.get(TYPE).and_then(Value::as_str).unwrap_or_default().to_owned();
        T::read(&kind, Value::Object(all)).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Pet {
        Cat(u32),
        Dog(String),
    }

    #[derive(Deserialize)]
    struct Cat {
        lives: u32,
    }

    #[derive(Deserialize)]
    struct Dog {
        name: String,
    }

    impl ByType for Pet {
        fn read<'de, D: Deserializer<'de>>(kind: &str, fields: D) -> Result<Self, D::Error> {
            match kind {
                "Cat" => Cat::deserialize(fields).map(|cat| Self::Cat(cat.lives)),
                "Dog" => Dog::deserialize(fields).map(|dog| Self::Dog(dog.name)),
                _ => Err(unknown(kind)),
            }
        }
    }

    fn pet(json: &str) -> Result<Pet, String> {
        by_type(&mut serde_json::Deserializer::from_str(json)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_type_may_stand_anywhere() {
        assert_eq!(pet(r#"{"__typename":"Cat","colour":{"a":[1]},"lives":9}"#), Ok(Pet::Cat(9)));
        assert_eq!(pet(r#"{"lives":9,"__typename":"Cat"}"#), Ok(Pet::Cat(9)));
        assert_eq!(pet(r#"{"__typename":"Dog","name":"a\"b"}"#), Ok(Pet::Dog("a\"b".into())));
        for (json, text) in [
            (r#"{"__typename":"Cow"}"#, "unknown type `Cow`"),
            (r#"{"name":"x"}"#, "unknown type ``"),
            ("{}", "unknown type ``"),
            ("[]", "an object with `__typename`"),
            (r#"{"__typename":"Cat"}"#, "missing field `lives`"),
        ] {
            assert!(pet(json).unwrap_err().contains(text), "{json}");
        }
    }
}
