//! The states an issue entered: the spans of its states, and the acts of its history that began them.

use contextcore_core::Millis;
use contextcore_core::model::time::MINUTE;

use super::super::wire::{Act, Span};
use super::change::{Swap, state_change};
use super::context::Context;
use crate::chain::{self, Link as Edge};

/// An act and the span it began are at most so far apart: acts of one person within minutes are merged into one.
pub(super) const TOLERANCE: i64 = 10 * MINUTE;

/// A state that was entered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entered {
    pub(super) at: Millis,
    pub(super) origin: String,
    pub(super) actor: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: String,
}

/// The states entered after the first, oldest first, and how many state changes of the history the spans contradict.
pub(super) fn states(context: &Context<'_>, acts: &[(Millis, &Act)], mut spans: Vec<&Span>) -> (Vec<Entered>, u64) {
    spans.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
    spans.dedup_by(|a, b| a.id == b.id);
    let mut sequence: Vec<Entered> = acts.iter().filter_map(|(at, act)| entered(context, *at, act)).collect();
    let link = |entered: &Entered| {
        let (from, to) = (entered.from.clone().unwrap_or_default(), entered.to.clone());
        Some(Edge { field: "state".to_owned(), from, to })
    };
    chain::order(&mut sequence, |entered| entered.at, link, |_| None);
    spans.chunk_by_mut(|a, b| a.started_at == b.started_at).for_each(|spans| order_spans(spans, &sequence));
    let Some(first) = spans.first() else { return (sequence, 0) };
    // What lies before the first span comes from the history.
    let reach = first.started_at.plus(-TOLERANCE);
    let early = sequence.iter().position(|entered| entered.at >= reach).unwrap_or(sequence.len());
    let mut late = sequence.split_off(early);
    let mut before = sequence.last().map(|entered| entered.to.clone());
    for (n, span) in spans.iter().enumerate() {
        let to = span.state_id.to_string();
        let is_first = n == 0 && before.is_none();
        let act = (!is_first).then(|| nearest(&late, span)).flatten().map(|at| late.remove(at));
        if let Some(act) = &act {
            sequence.extend(passed_through(&mut late, act, before.as_deref()));
            before = sequence.last().map(|entered| entered.to.clone()).or(before);
        }
        if !is_first && before.as_ref() != Some(&to) {
            let (origin, actor) =
                act.map_or_else(|| (format!("span:{}", span.id), None), |act| (act.origin, act.actor));
            sequence.push(Entered { at: span.started_at, origin, actor, from: before.clone(), to: to.clone() });
        }
        before = Some(to);
    }
    (sequence, late.len() as u64)
}

/// Orders the spans of one moment as the acts of that moment, which are in order, led from one to the next.
pub(super) fn order_spans(spans: &mut [&Span], acts: &[Entered]) {
    let Some(moment) = spans.first().map(|span| span.started_at).filter(|_| spans.len() > 1) else { return };
    let acts: Vec<&Entered> = acts.iter().filter(|entered| entered.at == moment).collect();
    let first = acts.first().and_then(|entered| entered.from.as_deref());
    let states = first.into_iter().chain(acts.iter().map(|entered| entered.to.as_str()));
    // The state before the first act is among the spans only where the issue was created in that moment.
    let states: Vec<&str> = states.skip(usize::from(acts.len() >= spans.len())).collect();
    let mut ordered = 0;
    for state in states {
        if let Some(at) = spans[ordered..].iter().position(|span| &*span.state_id == state) {
            spans[ordered..=ordered + at].rotate_right(1);
            ordered += 1;
        }
    }
}

/// The states that were passed through in the moment of an act, if acts of that moment lead from the state before to it: Linear
/// keeps no span without a length.
pub(super) fn passed_through(acts: &mut Vec<Entered>, to: &Entered, before: Option<&str>) -> Vec<Entered> {
    if to.from.as_deref() == before {
        return Vec::new();
    }
    let mut left = acts.clone();
    let mut passed: Vec<Entered> = Vec::new();
    loop {
        let from = passed.last().map_or(&to.from, |entered| &entered.from);
        if from.as_deref() == before {
            *acts = left;
            passed.reverse();
            return passed;
        }
        let leads = |entered: &Entered| entered.at == to.at && Some(&entered.to) == from.as_ref();
        match left.iter().rposition(leads) {
            Some(at) => passed.push(left.remove(at)),
            None => return Vec::new(),
        }
    }
}

pub(super) fn entered(context: &Context<'_>, at: Millis, act: &Act) -> Option<Entered> {
    let Swap { from, to } = state_change(act)?;
    let origin = act.id.as_deref().unwrap_or_default().to_owned();
    Some(Entered { at, origin, actor: actor(context, act), from: from.map(Into::into), to: to?.into() })
}

/// The act that most likely began this span.
pub(super) fn nearest(acts: &[Entered], span: &Span) -> Option<usize> {
    let distance = |entered: &Entered| (entered.at.0 - span.started_at.0).abs();
    let near = acts.iter().enumerate().filter(|(_, entered)| entered.to == *span.state_id);
    let near = near.filter(|(_, entered)| distance(entered) <= TOLERANCE);
    near.min_by_key(|(_, entered)| distance(entered)).map(|(at, _)| at)
}

/// Who did it: a person, else the integration or automation that did.
pub(super) fn actor(context: &Context<'_>, act: &Act) -> Option<String> {
    let person = act.actor_id.as_deref().or(act.actor.as_ref().map(|who| &*who.id));
    let bot = || act.bot_actor.as_ref()?.name.as_ref().map(ToString::to_string);
    person.map(|id| context.person(id)).or_else(bot)
}
