//! What the configuration says about statuses, types and impediments, in the form every connector asks for it. Pure.

use std::collections::BTreeMap;

use contextcore_core::config::SourceConfig;
use contextcore_core::model::{Status, TaskType};

use crate::vocabulary;

/// Labels that mean blocked where the configuration names none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum UsualLabels {
    /// None does.
    #[default]
    None,
    /// The label `blocked`.
    Blocked,
    /// Every label whose words usually mean blocked, such as `status: blocked`.
    ByWords,
}

/// The `statuses`, `types` and `blocked` of a source. Names are compared without regard to case.
#[derive(Debug, Clone, Default)]
pub(crate) struct MappingRules {
    statuses: BTreeMap<String, Status>,
    types: BTreeMap<String, TaskType>,
    blocked_statuses: Option<Vec<String>>,
    blocked_labels: Option<Vec<String>>,
    usual_labels: UsualLabels,
}

impl MappingRules {
    /// The rules of a source.
    pub(crate) fn new(config: &SourceConfig, usual_labels: UsualLabels) -> Self {
        Self {
            statuses: config.statuses.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
            types: config.types.iter().map(|(name, to)| (name.to_lowercase(), *to)).collect(),
            blocked_statuses: config.blocked.statuses.clone(),
            blocked_labels: config.blocked.labels.as_ref().map(|labels| lower(labels)),
            usual_labels,
        }
    }

    /// The configured status of the first of these names (or ids) that has one.
    pub(crate) fn status(&self, names: &[&str]) -> Option<Status> {
        if self.statuses.is_empty() {
            return None;
        }
        names.iter().find_map(|name| self.statuses.get(&name.to_lowercase()).copied())
    }

    /// The configured type of a name (or id).
    pub(crate) fn task_type(&self, name: &str) -> Option<TaskType> {
        if self.types.is_empty() { None } else { self.types.get(&name.to_lowercase()).copied() }
    }

    /// Whether a status of this name is an impediment: one of the configured names, else named like those that usually are.
    pub(crate) fn means_blocked(&self, name: &str) -> bool {
        match &self.blocked_statuses {
            Some(names) => names.iter().any(|blocked| blocked.eq_ignore_ascii_case(name.trim())),
            None => vocabulary::says(name, vocabulary::BLOCKED),
        }
    }

    /// The first of these labels that means blocked: one of the configured labels, else one that usually does.
    pub(crate) fn blocking_label<'a, T: AsRef<str> + 'a>(
        &self,
        labels: impl IntoIterator<Item = &'a T>,
    ) -> Option<&'a str> {
        let means = |label: &&str| match (&self.blocked_labels, self.usual_labels) {
            (Some(names), _) => names.contains(&label.to_lowercase()),
            (None, UsualLabels::None) => false,
            (None, UsualLabels::Blocked) => label.to_lowercase() == "blocked",
            (None, UsualLabels::ByWords) => vocabulary::says(label, vocabulary::BLOCKED),
        };
        labels.into_iter().map(AsRef::as_ref).find(means)
    }
}

/// Whether a configured list includes this key; an empty list means everything.
pub(crate) fn includes(wanted: &[String], key: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(key))
}

fn lower(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.to_lowercase()).collect()
}

#[cfg(test)]
impl MappingRules {
    /// No rules but these usual labels.
    pub(crate) fn usual(usual_labels: UsualLabels) -> Self {
        Self { usual_labels, ..Self::default() }
    }

    pub(crate) fn set_status(&mut self, name: &str, to: Status) {
        self.statuses.insert(name.to_lowercase(), to);
    }

    pub(crate) fn set_type(&mut self, name: &str, to: TaskType) {
        self.types.insert(name.to_lowercase(), to);
    }

    pub(crate) fn set_blocked(&mut self, statuses: &[&str], labels: &[&str]) {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        (self.blocked_statuses, self.blocked_labels) = (Some(owned(statuses)), Some(lower(&owned(labels))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_types_are_looked_up_by_any_of_their_names() {
        let mut rules = MappingRules::default();
        assert_eq!((rules.status(&["Doing"]), rules.task_type("Debt")), (None, None));
        rules.set_status("10029", Status::Backlog);
        rules.set_status("Doing", Status::InReview);
        rules.set_type("Debt", TaskType::Spike);
        assert_eq!(rules.status(&["doing", "10029"]), Some(Status::InReview));
        assert_eq!(rules.status(&["other", "10029"]), Some(Status::Backlog));
        assert_eq!((rules.status(&["other"]), rules.task_type("DEBT")), (None, Some(TaskType::Spike)));
    }

    #[test]
    fn blocked_goes_by_whole_words_unless_names_are_configured() {
        let mut rules = MappingRules::default();
        for (name, want) in [("Blocked", true), ("On-Hold (vendor)", true), ("Unblocked", false), ("Doing", false)] {
            assert_eq!(rules.means_blocked(name), want, "{name}");
        }
        rules.set_blocked(&["Waiting"], &[]);
        assert!(rules.means_blocked("waiting") && !rules.means_blocked("Blocked"));
    }

    #[test]
    fn labels_mean_blocked_as_configured_or_as_usual() {
        let labels = ["ui", "status: Blocked", "Blocked", "Waiting"];
        let first = |rules: &MappingRules| rules.blocking_label(&labels);
        assert_eq!(first(&MappingRules::usual(UsualLabels::None)), None);
        assert_eq!(first(&MappingRules::usual(UsualLabels::Blocked)), Some("Blocked"));
        let mut rules = MappingRules::usual(UsualLabels::ByWords);
        assert_eq!(first(&rules), Some("status: Blocked"));
        rules.set_blocked(&[], &["waiting"]);
        assert_eq!(first(&rules), Some("Waiting"));
        rules.set_blocked(&[], &[]);
        assert_eq!(first(&rules), None);
    }

    #[test]
    fn an_empty_list_includes_everything() {
        let one = ["eng".to_owned()];
        assert!(includes(&[], "ENG") && includes(&one, "ENG") && !includes(&one, "OPS"));
    }
}
