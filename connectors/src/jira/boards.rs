//! Boards: where they live, what they estimate in, and which column shows which statuses.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lenient::{self, List};

/// A board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Board {
    pub(super) name: Box<str>,
    /// `scrum`, `kanban` or `simple`.
    pub(super) kind: Box<str>,
    /// The key of the project it lives in, if it lives in one.
    pub(super) project: Option<Box<str>>,
    /// The custom field its estimates are in, if it names one.
    pub(super) estimate: Option<Box<str>>,
    /// Its configuration was read once.
    #[serde(default)]
    pub(super) configured: bool,
}

impl Board {
    /// Whether it can have sprints at all. Team-managed boards (`simple`) have them when the feature is switched on.
    pub(super) fn may_have_sprints(&self) -> bool {
        matches!(&*self.kind, "scrum" | "simple")
    }
}

/// A board as the list gives it.
#[derive(Debug, Deserialize)]
pub(super) struct BoardAnswer {
    #[serde(deserialize_with = "lenient::id")]
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient::word")]
    pub(super) name: Box<str>,
    #[serde(default, rename = "type", deserialize_with = "lenient::word")]
    pub(super) kind: Box<str>,
    #[serde(default, deserialize_with = "lenient::maybe")]
    location: Option<BoardLocation>,
}

impl BoardAnswer {
    /// The key of the project it lives in, if that can be read.
    pub(super) fn project(&self) -> Option<&str> {
        self.location.as_ref()?.project_key.as_deref()
    }
}

/// Where a board lives; boards of people live in no project.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BoardLocation {
    #[serde(default, deserialize_with = "lenient::text")]
    project_key: Option<Box<str>>,
}

/// The configuration of a board.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BoardConfiguration {
    #[serde(default)]
    pub(super) column_config: ColumnConfig,
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub(super) estimation: Option<Estimation>,
    /// Where the board lives; older servers send it only here.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub(super) location: Option<ConfiguredLocation>,
}

/// Where a board lives, as its configuration says it.
#[derive(Debug, Deserialize)]
pub(super) struct ConfiguredLocation {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) key: Option<Box<str>>,
}

/// The columns of a board.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ColumnConfig {
    columns: Option<List<Column>>,
}

/// A column and the statuses shown in it.
#[derive(Debug, Deserialize)]
pub(super) struct Column {
    #[serde(default, deserialize_with = "lenient::word")]
    pub(super) name: Box<str>,
    statuses: Option<List<ColumnStatus>>,
}

/// A status in a column.
#[derive(Debug, Deserialize)]
pub(super) struct ColumnStatus {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) id: Option<Box<str>>,
}

/// How a board estimates.
#[derive(Debug, Deserialize)]
pub(super) struct Estimation {
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub(super) field: Option<EstimationField>,
}

/// The field a board estimates in: a custom field, or a time field.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EstimationField {
    #[serde(default, deserialize_with = "lenient::word")]
    pub(super) field_id: Box<str>,
}

/// Which column each status is in, over all boards.
#[derive(Debug, Default)]
pub(super) struct Columns {
    by_status: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// The columns of some board could not be read.
    pub(super) incomplete: bool,
}

impl Columns {
    /// Takes in a board. A list that did not come is not an empty one, and a column that cannot be read is not absent. Whether
    /// all of it was there.
    pub(super) fn learn(&mut self, configuration: &BoardConfiguration) -> bool {
        let columns = configuration.column_config.columns.as_ref();
        let mut whole = columns.is_some_and(|columns| columns.odd == 0);
        for Column { name, statuses } in columns.iter().flat_map(|columns| &columns.rows) {
            let ids = statuses.iter().flat_map(|statuses| &statuses.rows).map(|status| status.id.as_ref());
            whole &= !name.is_empty() && statuses.as_ref().is_some_and(|statuses| statuses.odd == 0);
            whole &= ids.clone().all(|id| id.is_some());
            for id in ids.flatten().filter(|_| !name.is_empty()) {
                self.by_status.entry(id.clone()).or_default().insert(name.clone());
            }
        }
        self.incomplete |= !whole;
        whole
    }

    /// The column of a status, when all boards that show it agree.
    pub(super) fn of(&self, status: &str) -> Option<Box<str>> {
        let columns = self.by_status.get(status)?;
        columns.first().filter(|_| columns.len() == 1).cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_column_counts_when_all_boards_agree() {
        let mut columns = Columns::default();
        let board = |name: &str| -> BoardConfiguration {
            serde_json::from_value(json!({"columnConfig": {"columns": [
                {"name": name, "statuses": [{"id": "1"}]}, {"name": "Review", "statuses": [{"id": 2}]}]}}))
            .unwrap()
        };
        columns.learn(&board("Backlog"));
        assert_eq!(columns.of("1").as_deref(), Some("Backlog"));
        columns.learn(&board("Ready"));
        assert_eq!((columns.of("1"), columns.of("2").as_deref(), columns.of("3")), (None, Some("Review"), None));
        assert!(!columns.incomplete);
        for odd in [
            json!({}),
            json!({"columnConfig": {"columns": null}}),
            json!({"columnConfig": {"columns": [{"name": "A"}]}}),
            json!({"columnConfig": {"columns": [{"name": "A", "statuses": []}, null]}}),
            json!({"columnConfig": {"columns": [{"name": null, "statuses": [{"id": "1"}]}]}}),
            json!({"columnConfig": {"columns": [{"name": "A", "statuses": [{"id": "1"}, 7]}]}}),
            json!({"columnConfig": {"columns": [{"name": "A", "statuses": [{"id": []}]}]}}),
        ] {
            let mut columns = Columns::default();
            columns.learn(&serde_json::from_value(odd.clone()).unwrap());
            assert!(columns.incomplete, "{odd}");
        }
    }
}
