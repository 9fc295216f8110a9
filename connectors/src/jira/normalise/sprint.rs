//! A sprint in the common model.

use contextcore_core::model::observation::Observation;
use contextcore_core::model::{SprintFacts, SprintState};

use super::super::wire::Sprint;

pub(super) fn observe_sprint(sprint: &Sprint, project: Option<&str>) -> Observation {
    let state = match sprint.state.to_ascii_lowercase().as_str() {
        "active" => SprintState::Active,
        "closed" => SprintState::Closed,
        _ => SprintState::Future,
    };
    Observation::Sprint {
        native_id: sprint.id.to_string(),
        facts: SprintFacts {
            name: sprint.name.to_string(),
            goal: sprint.goal.as_deref().filter(|goal| !goal.trim().is_empty()).map(str::to_owned),
            project: project.map(str::to_owned),
            state,
            start: sprint.activated_date.or(sprint.start_date),
            end: sprint.end_date,
            completed: sprint.complete_date,
            exact: true,
        },
    }
}
