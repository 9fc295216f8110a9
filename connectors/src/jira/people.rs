//! People, as the two products name them.

use std::borrow::Cow;
use std::fmt;

use contextcore_core::model::SmolStr;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::lenient::{self, Key, text};

/// A person: the id Jira knows them by, and the name people see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Who {
    /// The account id; the user key on Data Center.
    #[serde(rename = "accountId", skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Box<str>>,
    /// The display name, else whatever names them.
    #[serde(rename = "displayName")]
    pub(super) name: Box<str>,
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Named { id, name } = Named::deserialize(deserializer)?;
        Ok(Self { id: id.map(Into::into), name: name.into() })
    }
}

/// A person as the answer has them, so that nothing is copied that is not kept: histories name somebody in every act.
struct Named<'a> {
    id: Option<Cow<'a, str>>,
    name: Cow<'a, str>,
}

impl<'de> Deserialize<'de> for Named<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamedVisitor)
    }
}

/// A text or a number.
#[derive(Deserialize)]
struct Word<'a>(#[serde(borrow, deserialize_with = "text")] Option<Cow<'a, str>>);

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a person")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Named { id: None, name: name.to_owned().into() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut account, mut key, mut login, mut shown) = (None, None, None, None);
        while let Some(Key(field)) = map.next_key::<Key<'de>>()? {
            match &*field {
                "accountId" => account = map.next_value::<Word<'de>>()?.0,
                "key" => key = map.next_value::<Word<'de>>()?.0,
                "name" => login = map.next_value::<Word<'de>>()?.0,
                "displayName" => shown = map.next_value::<Word<'de>>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let id = account.or(key).or_else(|| login.clone());
        let name = shown.filter(|name| !name.is_empty()).or(login).or_else(|| id.clone()).unwrap_or_default();
        Ok(Named { id, name })
    }
}

/// Reads a person as the name people see.
pub(super) fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SmolStr>, D::Error> {
    lenient::named(deserializer, |who: Named<'de>| SmolStr::new(&who.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_by_what_there_is() {
        let who = |json: &str| serde_json::from_str::<Who>(json).unwrap();
        let cloud = who(r#"{"accountId":"5e97","displayName":"Ada","emailAddress":null}"#);
        assert_eq!((cloud.id.as_deref(), &*cloud.name), (Some("5e97"), "Ada"));
        let server = who(r#"{"name":"ada","key":"JIRAUSER1","displayName":"Ada L"}"#);
        assert_eq!((server.id.as_deref(), &*server.name), (Some("JIRAUSER1"), "Ada L"));
        let again: Who = serde_json::from_str(&serde_json::to_string(&server).unwrap()).unwrap();
        assert_eq!(again, server);
    }
}
