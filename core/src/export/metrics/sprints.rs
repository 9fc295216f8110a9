//! The series of sprints.

use std::collections::BTreeMap;

use super::points::{Points, Values};
use crate::export::context::ExportContext;
use crate::export::lineage::TimelineCache;
use crate::export::message::Attributes;
use crate::export::series::{Axis, ProjectSeries};
use crate::model::error::Result;
use crate::model::semconv as names;
use crate::model::sprint::Tally;
use crate::model::time::{DAY, Millis};
use crate::model::totals::points;
use crate::model::{SprintRecord, SprintState, TaskKey};

/// The numbers of a closed sprint are repeated in every "now" for this long.
const CLOSED_FOR: i64 = 30 * DAY;

/// The series of every sprint with data on its project's axis.
pub(super) fn sprint_series(
    cache: &TimelineCache<'_>,
    context: &ExportContext<'_>,
    all_series: &BTreeMap<String, ProjectSeries>,
    now: Millis,
    source: Option<&str>,
) -> Result<BTreeMap<String, Vec<Points>>> {
    let mut all: BTreeMap<String, Vec<Points>> = BTreeMap::new();
    for (key, sprint) in cache.store().sprints(source)? {
        let project_id = context.project_id(&key.source, sprint.facts.project.as_deref().unwrap_or(&key.source));
        let Some(series) = all_series.get(&project_id) else { continue };
        let moments = sprint_moments(&sprint, &series.axis, now);
        if !moments.is_empty() {
            let series = one_sprint(cache, &key, &sprint, &project_id, &moments, now)?;
            all.entry(project_id).or_default().extend(series);
        }
    }
    Ok(all)
}

/// The moments of a sprint's series: those of the axis while it runs, its completion, and every "now" for a while after
/// it.
fn sprint_moments(sprint: &SprintRecord, axis: &Axis, now: Millis) -> Vec<Millis> {
    let facts = &sprint.facts;
    let Some(start) = facts.start.filter(|_| facts.state != SprintState::Future) else { return Vec::new() };
    let finish = facts.completed.or(facts.end).filter(|_| facts.state == SprintState::Closed);
    let until = finish.unwrap_or(now);
    let mut moments: Vec<_> = axis.moments().iter().copied().filter(|at| *at >= start && *at <= until).collect();
    moments.extend(finish.filter(|finish| axis.covers(*finish)));
    moments.extend(finish.filter(|finish| now.0 - finish.0 <= CLOSED_FOR).map(|_| now));
    moments.sort_unstable();
    moments.dedup();
    moments
}

fn one_sprint(
    cache: &TimelineCache<'_>,
    key: &TaskKey,
    sprint: &SprintRecord,
    project_id: &str,
    moments: &[Millis],
    now: Millis,
) -> Result<Vec<Points>> {
    let Some(sprint_history) = cache.sprint_history(key)? else { return Ok(Vec::new()) };
    let own = || {
        Attributes::new()
            .text(names::PROJECT_ID, project_id)
            .text(names::SPRINT_ID, &key.native_id)
            .text(names::SPRINT_NAME, &sprint.facts.name)
    };
    let tallies: Vec<(Millis, Tally)> = moments.iter().map(|at| (*at, sprint_history.at(*at))).collect();
    let numbers =
        |metric, values: Vec<(Millis, f64)>| Points { metric, attributes: own(), values: Values::Numbers(values) };
    type Pick = fn(&Tally) -> i64;
    let picks: [(names::Metric, Pick); 6] = [
        (names::M_SPRINT_PLANNED, |tally| tally.committed),
        (names::M_SPRINT_SCOPE, |tally| tally.scope),
        (names::M_SPRINT_ADDED, |tally| tally.added),
        (names::M_SPRINT_REMOVED, |tally| tally.removed),
        (names::M_SPRINT_COMPLETED, |tally| tally.completed),
        (names::M_SPRINT_REMAINING, |tally| tally.remaining),
    ];
    let mut series: Vec<Points> = picks
        .iter()
        .map(|(metric, pick)| numbers(*metric, tallies.iter().map(|(at, tally)| (*at, points(pick(tally)))).collect()))
        .collect();
    series.push(numbers(names::M_SPRINT_IDEAL, moments.iter().map(|at| (*at, sprint_history.ideal(*at))).collect()));
    let finals = final_numbers(&tallies, sprint_history.finish).into_iter().filter(|(_, values)| !values.is_empty());
    series.extend(finals.map(|(metric, values)| numbers(metric, values)));
    if moments.last() == Some(&now) {
        let attributes = own()
            .text(names::SPRINT_STATE, sprint.facts.state.as_str())
            .maybe(names::SPRINT_START_DATE, sprint.facts.start.map(|at| at.to_string()).as_deref())
            .maybe(names::SPRINT_END_DATE, sprint.facts.end.map(|at| at.to_string()).as_deref());
        let values = Values::Numbers(vec![(now, 1.0)]);
        series.push(Points { metric: names::M_SPRINT_INFO, attributes, values });
    }
    Ok(series)
}

/// The metrics that a sprint has from its completion on.
fn final_numbers(tallies: &[(Millis, Tally)], closed: Option<Millis>) -> [(names::Metric, Vec<(Millis, f64)>); 3] {
    let over = || tallies.iter().filter(|(at, _)| closed.is_some_and(|closed| *at >= closed));
    [
        (names::M_SPRINT_VELOCITY, over().map(|(at, tally)| (*at, points(tally.completed))).collect()),
        (names::M_SPRINT_CARRIED, over().map(|(at, tally)| (*at, points(tally.remaining))).collect()),
        (
            names::M_SPRINT_PREDICTABILITY,
            over().filter_map(|(at, tally)| Some((*at, tally.predictability()?))).collect(),
        ),
    ]
}
