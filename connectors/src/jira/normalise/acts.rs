//! The acts of an issue's history: their order, and the events they become.

use contextcore_core::model::{Change, SmolStr};
use contextcore_core::{Millis, Result};

use super::super::history::{History, Item};
use super::super::wire::Record;
use super::change::Value;
use crate::chain;
use crate::rewind::{self, Side, Timeline};

/// One act of one person.
#[derive(Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) at: Millis,
    pub(super) history: &'a History,
}

impl Act<'_> {
    /// Adds an event: `ACT:PLACE` names the change within the task.
    pub(super) fn push(self, timeline: &mut Timeline, item: &Item, suffix: &str, change: Change) {
        let id = self.history.id.as_deref().unwrap_or_default();
        let origin = format!("{id}:{}{suffix}", item.n.unwrap_or_default());
        timeline.push(&origin, self.at, self.history.author.as_ref().map(ToString::to_string), change);
    }
}

/// The acts in the order they happened, each once. Several can share a moment: their ids count upwards, and where those do not
/// lead from one status to the next, the statuses decide.
pub(super) fn in_order<'a>(histories: impl Iterator<Item = &'a History>) -> Result<Vec<(Millis, &'a History)>> {
    let mut acts = rewind::in_order(histories, "history", |act| act.id.as_deref(), |act| act.created)?;
    let number = |act: &History| act.id.as_deref().and_then(|id| id.parse::<u64>().ok());
    acts.sort_by(|(a_at, a), (b_at, b)| (a_at, number(a), &a.id).cmp(&(b_at, number(b), &b.id)));
    for moment in acts.chunk_by_mut(|(one, _), (next, _)| one == next) {
        chain::join(moment, |(_, act)| status_ends(act));
    }
    Ok(acts)
}

/// The status an act leads from, and the one it leads to.
pub(super) fn status_ends(act: &History) -> Option<(&str, &str)> {
    let is_status = |item: &&Item| item.field_id.as_deref().unwrap_or(&item.field).eq_ignore_ascii_case("status");
    let mut changes: Vec<(&str, &str)> = act.items.iter().filter(is_status).filter_map(ends).collect();
    chain::join(&mut changes, |ends| Some(*ends));
    Some((changes.first()?.0, changes.last()?.1))
}

/// Both sides of a change of status, by id, or by name where it has none.
pub(super) fn ends(item: &Item) -> Option<(&str, &str)> {
    let side = |side| Some(Value::of(item, side)).map(|value| if value.id.is_empty() { value.text } else { value.id });
    side(Side::Before).zip(side(Side::After))
}

/// The changes of sprints that a sub-task has from its parent, unless they lead elsewhere than to the sprints it is in.
pub(super) fn inherited<'a>(record: &'a Record, today: &[SmolStr]) -> &'a [History] {
    let last = record.inherited.iter().max_by_key(|act| act.created).and_then(|act| act.items.last());
    let is_in_none = last.is_none_or(|item| item.to.as_deref().is_none_or(str::is_empty));
    if is_in_none == today.is_empty() { &record.inherited } else { &[] }
}
