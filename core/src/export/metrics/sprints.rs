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
use crate::model::{SmolStr, SprintRecord, SprintState, TaskKey};

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
    let sprints = Sprints::read(cache, context)?;
    for (project_id, key, sprint) in &sprints.all {
        let Some(series) = all_series.get(project_id).filter(|_| source.is_none_or(|only| *only == *key.source)) else {
            continue;
        };
        let moments = sprint_moments(sprint, &series.axis, now);
        if !moments.is_empty() {
            let series = one_sprint(cache, key, sprint, sprints.attributes(project_id, key, sprint), &moments, now)?;
            all.entry(project_id.clone()).or_default().extend(series);
        }
    }
    Ok(all)
}

/// All sprints, each with the project it counts for.
struct Sprints {
    all: Vec<(String, TaskKey, SprintRecord)>,
    /// How many sprints of a project have an id: each tool gives its own.
    ids: BTreeMap<(String, SmolStr), usize>,
}

impl Sprints {
    fn read(cache: &TimelineCache<'_>, context: &ExportContext<'_>) -> Result<Self> {
        let (mut all, mut ids) = (Vec::new(), BTreeMap::new());
        for (key, sprint) in cache.store().sprints(None)? {
            let project_id = context.project_id(&key.source, sprint.facts.project.as_deref().unwrap_or(&key.source));
            *ids.entry((project_id.clone(), key.native_id.clone())).or_default() += 1;
            all.push((project_id, key, sprint));
        }
        Ok(Self { all, ids })
    }

    /// What all series of a sprint have. Where two sources of a project give the same id, their names distinguish the sprints.
    fn attributes(&self, project_id: &str, key: &TaskKey, sprint: &SprintRecord) -> Attributes {
        let is_shared = self.ids.get(&(project_id.to_owned(), key.native_id.clone())).is_some_and(|count| *count > 1);
        Attributes::new()
            .text(names::PROJECT_ID, project_id)
            .text(names::SPRINT_ID, &key.native_id)
            .text(names::SPRINT_NAME, &sprint.facts.name)
            .maybe(names::SOURCE_NAME, is_shared.then_some(&*key.source))
    }
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
    own: Attributes,
    moments: &[Millis],
    now: Millis,
) -> Result<Vec<Points>> {
    let Some(sprint_history) = cache.sprint_history(key)? else { return Ok(Vec::new()) };
    let own = || own.clone();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;
    use crate::model::SprintFacts;
    use crate::store::{MemoryKv, Store};

    #[test]
    fn sprints_with_one_id_in_one_project_have_their_source() {
        let source = |name: &str| {
            format!("{{name: {name}, kind: jira, url: 'https://{name}.example', auth: {{token: {{env: T}}}}}}")
        };
        let text = format!(
            "sources: [{}, {}]\nprojects: [{{id: shop, include: [{{source: a, project: SHOP}}, {{source: b, project: SHOP}}]}}]",
            source("a"),
            source("b")
        );
        let config = config::parse(&text, "test.yaml", &[config::kind::unchecked("jira")]).unwrap();
        let store = Store::over(Arc::new(MemoryKv::default())).unwrap();
        let mut transaction = store.begin().unwrap();
        for (source, id, project) in
            [("a", "1", "SHOP"), ("b", "1", "SHOP"), ("b", "2", "SHOP"), ("a", "3", "X"), ("b", "3", "Y")]
        {
            let facts = SprintFacts {
                name: "Sprint".into(),
                goal: None,
                project: Some(project.into()),
                state: SprintState::Active,
                start: Some(Millis(1)),
                end: None,
                completed: None,
                exact: true,
            };
            transaction.put_sprint(&TaskKey::new(source, id), &SprintRecord::next(None, facts, 1), false).unwrap();
        }
        transaction.commit().unwrap();
        let (cache, context) = (TimelineCache::new(&store), ExportContext::new(&config));
        let sprints = Sprints::read(&cache, &context).unwrap();
        let own = |id: &str| {
            Attributes::new()
                .text(names::PROJECT_ID, "shop")
                .text(names::SPRINT_ID, id)
                .text(names::SPRINT_NAME, "Sprint")
        };
        let found: Vec<Attributes> =
            sprints.all.iter().map(|(project, key, sprint)| sprints.attributes(project, key, sprint)).collect();
        let elsewhere = |project: &str| {
            Attributes::new()
                .text(names::PROJECT_ID, project)
                .text(names::SPRINT_ID, "3")
                .text(names::SPRINT_NAME, "Sprint")
        };
        let of = |source: &str| own("1").text(names::SOURCE_NAME, source);
        assert_eq!(found, [of("a"), elsewhere(&sprints.all[1].0), of("b"), own("2"), elsewhere(&sprints.all[4].0)]);
        assert_ne!(sprints.all[1].0, sprints.all[4].0);
    }
}
