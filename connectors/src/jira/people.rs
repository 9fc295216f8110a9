//! People, as the two products name them.

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
        deserializer.deserialize_any(WhoVisitor)
    }
}

/// A text or a number.
#[derive(Deserialize)]
struct Word(#[serde(deserialize_with = "text")] Option<Box<str>>);

struct WhoVisitor;

impl<'de> Visitor<'de> for WhoVisitor {
    type Value = Who;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a person")
    }

    fn visit_str<E>(self, name: &str) -> Result<Who, E> {
        Ok(Who { id: None, name: name.into() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Who, A::Error> {
        let (mut account, mut key, mut login, mut shown) = (None, None, None, None);
        while let Some(Key(field)) = map.next_key::<Key<'de>>()? {
            match &*field {
                "accountId" => account = map.next_value::<Word>()?.0,
                "key" => key = map.next_value::<Word>()?.0,
                "name" => login = map.next_value::<Word>()?.0,
                "displayName" => shown = map.next_value::<Word>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let id = account.or(key).or_else(|| login.clone());
        let name = shown.filter(|name| !name.is_empty()).or(login).or_else(|| id.clone()).unwrap_or_default();
        Ok(Who { id, name })
    }
}

/// Reads a person as the name people see.
pub(super) fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SmolStr>, D::Error> {
    lenient::named(deserializer, |who: Who| who.name.into())
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
