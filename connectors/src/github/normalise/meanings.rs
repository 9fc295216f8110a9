//! What the columns, labels and types of one task mean. Its events name the same few columns again and again, and most of them change neither labels
//! nor type: what was looked up last is kept.

use std::collections::BTreeSet;

use contextcore_core::model::{SmolStr, Status, TaskType};

use super::super::mapping;
use super::super::settings::Settings;
use super::state::{Own, State};

/// What was looked up for a task.
#[derive(Default)]
pub(super) struct Meanings {
    /// Columns by the name that an event gives them: today's name, and the status.
    columns: Vec<(String, SmolStr, Status)>,
    labels: Option<LabelMeaning>,
    task_type: Option<TypeMeaning>,
}

/// What a set of labels means.
#[derive(Default)]
pub(super) struct LabelMeaning {
    labels: BTreeSet<String>,
    milestone: Option<String>,
    /// The labels that the task has: a milestone is one as well.
    pub(super) shown: Vec<SmolStr>,
    /// Why they block it.
    pub(super) flag: Option<SmolStr>,
    pub(super) priority: Option<SmolStr>,
}

impl LabelMeaning {
    fn of(settings: &Settings, state: &State) -> Self {
        let (labels, milestone) = (state.labels.clone(), state.milestone.clone());
        let extra = milestone.iter().map(|title| format!("milestone:{title}"));
        let all: BTreeSet<String> = labels.iter().cloned().chain(extra).collect();
        Self {
            shown: all.into_iter().map(SmolStr::from).collect(),
            flag: settings.rules.blocking_label(&labels).map(|label| format!("label {label}").into()),
            priority: labels.iter().find_map(|label| mapping::priority_of_label(label)).map(SmolStr::from),
            labels,
            milestone,
        }
    }

    fn is_of(&self, state: &State) -> bool {
        self.labels == state.labels && self.milestone == state.milestone
    }
}

/// What was read as the type, from what.
struct TypeMeaning {
    labels: BTreeSet<String>,
    issue_type: Option<String>,
    field: Option<String>,
    has_parent: bool,
    found: (TaskType, SmolStr),
}

impl TypeMeaning {
    fn is_of(&self, state: &State) -> bool {
        self.issue_type == state.issue_type
            && self.field.as_ref() == state.own.get(&Own::Kind)
            && self.has_parent == state.parent.is_some()
            && self.labels == state.labels
    }
}

impl Meanings {
    /// Today's name of a column, and its status; `look` finds them.
    pub(super) fn column(&mut self, name: &str, look: impl FnOnce() -> (String, Status)) -> (SmolStr, Status) {
        if let Some((_, today, status)) = self.columns.iter().find(|(known, ..)| known == name) {
            return (today.clone(), *status);
        }
        let (today, status) = look();
        let today = SmolStr::from(today);
        self.columns.push((name.to_owned(), today.clone(), status));
        (today, status)
    }

    /// What the labels of a state mean.
    pub(super) fn labels(&mut self, settings: &Settings, state: &State) -> &LabelMeaning {
        let known = self.labels.take().filter(|known| known.is_of(state));
        self.labels.insert(known.unwrap_or_else(|| LabelMeaning::of(settings, state)))
    }

    /// The type of a state, and GitHub's word for it; `look` finds them.
    pub(super) fn task_type(
        &mut self,
        state: &State,
        look: impl FnOnce() -> (TaskType, String),
    ) -> (TaskType, SmolStr) {
        if let Some(known) = self.task_type.as_ref().filter(|known| known.is_of(state)) {
            return known.found.clone();
        }
        let (task_type, word) = look();
        let found = (task_type, SmolStr::from(word));
        self.task_type = Some(TypeMeaning {
            labels: state.labels.clone(),
            issue_type: state.issue_type.clone(),
            field: state.own.get(&Own::Kind).cloned(),
            has_parent: state.parent.is_some(),
            found: found.clone(),
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::tests::plain;
    use super::*;

    #[test]
    fn what_is_kept_is_what_would_be_found() {
        let (settings, mut words) = (plain(), Meanings::default());
        let state = |labels: &[&str], milestone: Option<&str>| State {
            labels: labels.iter().map(ToString::to_string).collect(),
            milestone: milestone.map(str::to_owned),
            ..State::default()
        };
        let all = [
            state(&[], None),
            state(&["P1", "web"], None),
            state(&["P1", "web"], Some("1.0")),
            state(&["blocked"], Some("1.0")),
            state(&[], None),
        ];
        for state in all.iter().flat_map(|state| [state, state]) {
            let (kept, found) = (words.labels(&settings, state), LabelMeaning::of(&settings, state));
            assert_eq!((&kept.shown, &kept.flag, &kept.priority), (&found.shown, &found.flag, &found.priority));
        }
        let mut looks = 0;
        for name in ["Doing", "Done", "Doing", "Done"] {
            let (today, _) = words.column(name, || {
                looks += 1;
                (name.to_lowercase(), Status::Todo)
            });
            assert_eq!(today, name.to_lowercase());
        }
        assert_eq!(looks, 2);
        let mut looked = |state: &State| {
            let (_, word) = words.task_type(state, || (TaskType::Bug, format!("{:?}", state.labels)));
            assert_eq!(word, format!("{:?}", state.labels));
        };
        all.iter().for_each(&mut looked);
    }
}
