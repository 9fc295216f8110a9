//! Units of work: what one replica at a time works on, where several share a store.

use crate::model::SmolStr;

/// Projects are leased in so many parts, each with the projects whose ids hash to it. Their number does not grow with that of
/// projects, and so neither does what it costs to renew leases. It cannot change: replicas of two versions would disagree.
const PARTS: u8 = 16;

/// What one replica at a time works on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A source: reading it, and exporting what was read.
    Source(SmolStr),
    /// Snapshots and metrics of a part of the projects, read across their sources.
    Projects(u8),
    /// What belongs to no source and no project, such as metrics of the store as a whole.
    Common,
}

impl Unit {
    /// The unit of a source.
    pub fn source(name: &str) -> Self {
        Self::Source(name.into())
    }

    /// The unit that a project is in.
    pub fn of_project(id: &str) -> Self {
        Self::Projects(blake3::hash(id.as_bytes()).as_bytes()[0] % PARTS)
    }

    /// Every unit of an installation with these sources.
    pub fn all<'a>(sources: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let sources = sources.into_iter().map(Self::source);
        sources.chain((0..PARTS).map(Self::Projects)).chain([Self::Common]).collect()
    }

    /// The name of its lease.
    pub(crate) fn lease(&self) -> String {
        match self {
            Self::Source(name) => format!("source/{name}"),
            Self::Projects(part) => format!("projects/{part}"),
            Self::Common => "common".to_owned(),
        }
    }

    /// The unit that has a lease of this name.
    pub(crate) fn of_lease(name: &str) -> Option<Self> {
        match name.split_once('/') {
            Some(("source", source)) => Some(Self::source(source)),
            Some(("projects", part)) => part.parse().ok().map(Self::Projects),
            None if name == "common" => Some(Self::Common),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names are in the database, and replicas of different versions read them.
    #[test]
    fn a_unit_is_known_by_the_name_of_its_lease() {
        let units = Unit::all(["acme/jira", "github"]);
        let names: Vec<String> = units.iter().map(Unit::lease).collect();
        assert_eq!(
            (names.len(), &names[0], &names[17], &names[18]),
            (19, &"source/acme/jira".to_owned(), &"projects/15".to_owned(), &"common".to_owned())
        );
        assert!(units.iter().zip(names).all(|(unit, name)| Unit::of_lease(&name).as_ref() == Some(unit)));
        assert_eq!(Unit::of_lease("replica/host (pid 1)"), None);
        assert_eq!(Unit::of_project("commerce"), Unit::Projects(blake3::hash(b"commerce").as_bytes()[0] % 16));
    }
}
