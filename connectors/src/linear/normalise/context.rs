//! What the ids in a record mean.

use contextcore_core::model::{SmolStr, Status};

use super::super::mapping;
use super::super::reference::Reference;
use super::super::settings::Settings;
use super::super::wire::{OneOf, StateValue, TeamRef};

/// What a record is read with.
pub(in crate::linear) struct Context<'a> {
    pub(in crate::linear) settings: &'a Settings,
    pub(in crate::linear) reference: &'a Reference,
}

/// What the ids in a record mean.
impl Context<'_> {
    /// A state: its common status and its name. One that is not listed goes by its id, as work not yet begun.
    pub(super) fn state<'s>(&self, id: &str, shown: impl IntoIterator<Item = &'s StateValue>) -> (Status, SmolStr) {
        if let Some(known) = self.reference.states.get(id) {
            let mapped = mapping::state(self.settings, id, &known.name, &known.kind);
            return (mapped.status, SmolStr::new(&known.name));
        }
        let shown = shown.into_iter().find(|state| state.id.as_deref() == Some(id));
        let word = |text: Option<&Box<str>>| text.map(ToString::to_string);
        let name = word(shown.and_then(|state| state.name.as_ref())).unwrap_or_else(|| id.to_owned());
        let kind = word(shown.and_then(|state| state.kind.as_ref())).unwrap_or_default();
        (mapping::state(self.settings, id, &name, &kind).status, name.into())
    }

    pub(super) fn person(&self, id: &str) -> String {
        self.reference.users.get(id).map_or(id, |name| name).to_owned()
    }

    /// Somebody by id, else by the name that was shown.
    pub(super) fn one_of(&self, who: Option<&OneOf>) -> Option<String> {
        let who = who?;
        who.id.as_deref().map(|id| self.person(id)).or_else(|| who.name.as_ref().map(ToString::to_string))
    }

    pub(super) fn label(&self, id: &str) -> String {
        self.reference.labels.get(id).map_or(id, |name| name).to_owned()
    }

    pub(super) fn milestone(&self, id: &str) -> String {
        format!("milestone:{}", self.reference.milestones.get(id).map_or(id, |name| name))
    }

    pub(super) fn team(&self, team: &TeamRef) -> Option<String> {
        let listed = team.id.as_deref().and_then(|id| self.reference.team_key(id));
        listed.or(team.key.as_deref()).map(str::to_owned)
    }

    /// The team that something of several teams is counted under: of those that are read the first by name, else the workspace.
    pub(super) fn home<'t>(&self, teams: impl Iterator<Item = &'t TeamRef>) -> String {
        let mut keys: Vec<String> = teams.filter_map(|team| self.team(team)).collect();
        keys.sort_by_key(|key| (!self.settings.wants(key), key.clone()));
        keys.into_iter().next().unwrap_or_else(|| self.reference.organization.url_key.to_string())
    }
}
