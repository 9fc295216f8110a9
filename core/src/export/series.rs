//! The numbers of a project at given moments: a pure function of timelines and moments.
//!
//! A [`ProjectSeries`] counts tasks on an [`Axis`] of moments. A task is a few intervals of constant facts, and an
//! interval adds one number from the first moment it covers to the last. So a year of six-hourly values costs little
//! more than one value, and "now" is the same function on an axis with one moment. Work finished before the axis begins
//! is not read; it comes in as running totals.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::model::time::{DAY, Millis};
use crate::model::timeline::{State, TaskHistory};
use crate::model::totals::{self, Counted, Histogram, Totals, Weight};
use crate::model::{Facts, SmolStr, Status, TaskType};

/// The window of the flow efficiency.
pub(crate) const FLOW_WINDOW: i64 = 30 * DAY;

/// The moments of the values, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Axis {
    /// What was exported before, up to here.
    exported_until: Option<Millis>,
    /// How far the sources have been read.
    read_until: Millis,
    moments: Arc<[Millis]>,
}

impl Axis {
    /// The multiples of `step` after `from`, up to `read_until` and before `now`; and `now` itself.
    pub(crate) fn new(from: Option<Millis>, step: i64, read_until: Millis, now: Millis) -> Self {
        let first = from.map_or(now.0, |from| (from.0.div_euclid(step) + 1) * step);
        let grid = (0..).map(|n| Millis(first + n * step)).take_while(|at| *at <= read_until && *at < now);
        Self { exported_until: from, read_until, moments: grid.chain(std::iter::once(now)).collect() }
    }

    pub(crate) fn moments(&self) -> &Arc<[Millis]> {
        &self.moments
    }

    /// Whether something at that time is exported with this axis, even if it lies between two moments.
    pub(crate) fn covers(&self, at: Millis) -> bool {
        self.exported_until.is_some_and(|exported| at > exported) && at <= self.read_until
    }

    /// The index of the first moment at or after `at`.
    fn place(&self, at: Millis) -> usize {
        self.moments.partition_point(|moment| *moment < at)
    }
}

/// A value per moment, built from differences.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line(Vec<i64>);

impl Line {
    fn add(&mut self, axis: &Axis, from: Millis, to: Millis, by: i64) {
        let (start, end) = (axis.place(from), axis.place(to));
        if start >= end || by == 0 {
            return;
        }
        self.0.resize(axis.moments.len() + 1, 0);
        self.0[start] += by;
        self.0[end] -= by;
    }

    /// The values, on top of `base`; `None` when all are zero.
    pub(crate) fn values(&self, axis: &Axis, base: i64) -> Option<Vec<i64>> {
        if base == 0 && self.0.iter().all(|by| *by == 0) {
            return None;
        }
        let mut sum = base;
        Some(
            (0..axis.moments.len())
                .map(|place| {
                    sum += self.0.get(place).copied().unwrap_or(0);
                    sum
                })
                .collect(),
        )
    }
}

/// An interval in which a task was blocked, at some moments of the axis. There is one for every such interval of a
/// whole history, so it is small.
#[derive(Debug, Clone)]
pub(crate) struct BlockedInterval {
    pub(crate) from: Millis,
    /// The places on the axis at which the task was blocked.
    pub(crate) places: Range<usize>,
    pub(crate) key: SmolStr,
    pub(crate) title: SmolStr,
    pub(crate) assignee: Option<SmolStr>,
    pub(crate) reason: SmolStr,
    pub(crate) url: SmolStr,
}

/// An interval of work in progress, at some moments of the axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WipInterval {
    /// The places on the axis at which the task was in progress.
    places: Range<usize>,
    /// When work on the task started.
    at: Millis,
}

/// The durations of a histogram by key: the place on the axis, and the length in milliseconds.
pub(crate) type Durations<K> = BTreeMap<K, Vec<(usize, i64)>>;

/// The numbers of one project on an axis.
#[derive(Debug)]
pub(crate) struct ProjectSeries {
    pub(crate) axis: Axis,
    /// Finished work that is not placed task by task.
    pub(crate) base: Totals,
    pub(crate) count: BTreeMap<(Status, TaskType), Line>,
    pub(crate) points: BTreeMap<(Status, TaskType), Line>,
    pub(crate) wip: Line,
    pub(crate) blocked: Line,
    pub(crate) stale: Line,
    pub(crate) unestimated: Line,
    pub(crate) overdue: Line,
    /// Tasks without an estimate among those that count for progress.
    pub(crate) unestimated_work: Line,
    /// The intervals of work in progress.
    pub(crate) wip_intervals: Vec<WipInterval>,
    pub(crate) blocked_tasks: Vec<BlockedInterval>,
    pub(crate) created: BTreeMap<TaskType, Line>,
    pub(crate) completed: BTreeMap<TaskType, Line>,
    pub(crate) completed_points: BTreeMap<TaskType, Line>,
    pub(crate) lead_time: Durations<TaskType>,
    pub(crate) cycle_time: Durations<TaskType>,
    pub(crate) blocked_time: Durations<TaskType>,
    pub(crate) status_time: Durations<Status>,
    pub(crate) flow_active: Line,
    pub(crate) flow_total: Line,
}

impl ProjectSeries {
    /// An empty series.
    pub(crate) fn new(axis: Axis) -> Self {
        Self {
            axis,
            base: Totals::default(),
            count: BTreeMap::new(),
            points: BTreeMap::new(),
            wip: Line::default(),
            blocked: Line::default(),
            stale: Line::default(),
            unestimated: Line::default(),
            overdue: Line::default(),
            unestimated_work: Line::default(),
            wip_intervals: Vec::new(),
            blocked_tasks: Vec::new(),
            created: BTreeMap::new(),
            completed: BTreeMap::new(),
            completed_points: BTreeMap::new(),
            lead_time: BTreeMap::new(),
            cycle_time: BTreeMap::new(),
            blocked_time: BTreeMap::new(),
            status_time: BTreeMap::new(),
            flow_active: Line::default(),
            flow_total: Line::default(),
        }
    }

    /// Adds an interval of constant facts of a task.
    pub(crate) fn add_interval(
        &mut self,
        state: &State,
        from: Millis,
        to: Millis,
        started: Option<Millis>,
        stale_after: i64,
    ) {
        if state.deleted.is_some() || self.axis.place(from) >= self.axis.place(to) {
            return;
        }
        let (axis, facts, status) = (&self.axis, &state.facts, state.facts.effective_status());
        let kind = (status, facts.task_type);
        self.count.entry(kind).or_default().add(axis, from, to, 1);
        self.points.entry(kind).or_default().add(axis, from, to, totals::milli(facts.estimate));
        if counts_for_progress(facts) && facts.estimate.is_none() {
            self.unestimated_work.add(axis, from, to, 1);
        }
        if status.is_finished() {
            return;
        }
        if status == Status::Blocked {
            self.blocked.add(axis, from, to, 1);
        }
        if status.is_wip(started.is_some_and(|started| started <= from)) {
            self.wip.add(axis, from, to, 1);
            // An epic is in progress as long as anything below it is, so its age says nothing about the flow of work.
            if facts.task_type != TaskType::Epic {
                add_wip(
                    &mut self.wip_intervals,
                    WipInterval { places: axis.place(from)..axis.place(to), at: started.unwrap_or(from) },
                );
            }
        }
        if facts.estimate.is_none() && !matches!(facts.task_type, TaskType::Epic | TaskType::Subtask) {
            self.unestimated.add(axis, from, to, 1);
        }
        if let Some(late) = facts.due.as_deref().and_then(overdue_from) {
            self.overdue.add(axis, from.max(late), to, 1);
        }
        self.stale.add(axis, from.plus(stale_after + 1), to, 1);
    }

    /// Adds an event that counters count.
    pub(crate) fn add_counter_event(&mut self, at: Millis, counted: &Counted) {
        let (axis, place) = (&self.axis, self.axis.place(at));
        let forever = Millis(i64::MAX);
        match counted {
            Counted::Created(task_type) => self.created.entry(*task_type).or_default().add(axis, at, forever, 1),
            Counted::Phase(status, length) => self.status_time.entry(*status).or_default().push((place, *length)),
            Counted::Completed { task_type, estimate, lead, cycle, blocked } => {
                self.completed.entry(*task_type).or_default().add(axis, at, forever, 1);
                let points = self.completed_points.entry(*task_type).or_default();
                points.add(axis, at, forever, totals::milli(*estimate));
                self.lead_time.entry(*task_type).or_default().push((place, *lead));
                if let Some(cycle) = cycle {
                    self.cycle_time.entry(*task_type).or_default().push((place, *cycle));
                }
                self.blocked_time.entry(*task_type).or_default().push((place, *blocked));
            }
        }
    }

    /// Adds a completion to the flow efficiency: `active` of `total` milliseconds, as long as the window covers it.
    pub(crate) fn flow(&mut self, at: Millis, active: i64, total: i64) {
        self.flow_active.add(&self.axis, at, at.plus(FLOW_WINDOW), active);
        self.flow_total.add(&self.axis, at, at.plus(FLOW_WINDOW), total);
    }

    /// All work and done work at each moment, without epics and cancelled work.
    pub(crate) fn progress(&self) -> Vec<(Weight, Weight)> {
        let size = self.axis.moments.len();
        let mut progress = vec![(Weight::default(), Weight::default()); size];
        let mut base_unestimated = 0;
        let kinds: std::collections::BTreeSet<_> =
            self.count.keys().chain(self.base.finished.keys()).copied().collect();
        for kind in kinds.into_iter().filter(|(status, kind)| *kind != TaskType::Epic && *status != Status::Cancelled) {
            let base = self.base.finished.get(&kind).copied().unwrap_or_default();
            base_unestimated += base.unestimated;
            let values = |line: Option<&Line>, base| line.cloned().unwrap_or_default().values(&self.axis, base);
            let tasks = values(self.count.get(&kind), base.tasks).unwrap_or_else(|| vec![0; size]);
            let points = values(self.points.get(&kind), base.milli_points).unwrap_or_else(|| vec![0; size]);
            for (place, (all, done)) in progress.iter_mut().enumerate() {
                let weight = Weight { tasks: tasks[place], milli_points: points[place], unestimated: 0 };
                all.add(&weight, 1);
                if kind.0 == Status::Done {
                    done.add(&weight, 1);
                }
            }
        }
        let unestimated = self.unestimated_work.values(&self.axis, base_unestimated).unwrap_or_else(|| vec![0; size]);
        for ((all, _), unestimated) in progress.iter_mut().zip(unestimated) {
            all.unestimated = unestimated;
        }
        progress
    }
}

/// Adds an interval of work in progress, or extends the last one if only other facts changed.
fn add_wip(intervals: &mut Vec<WipInterval>, next: WipInterval) {
    match intervals.last_mut() {
        Some(last) if last.at == next.at && last.places.end == next.places.start => last.places.end = next.places.end,
        _ => intervals.push(next),
    }
}

/// The age of work in progress at each moment, by nearest rank: for each quantile, the moments with any work in
/// progress. One pass; only the work in progress at one moment is held.
pub(crate) fn wip_ages<const N: usize>(
    axis: &Axis,
    intervals: &[WipInterval],
    quantiles: [f64; N],
) -> [Vec<(Millis, f64)>; N] {
    let by = |place: fn(&WipInterval) -> usize| {
        let mut ordered: Vec<&WipInterval> = intervals.iter().collect();
        ordered.sort_unstable_by_key(|interval| std::cmp::Reverse(place(interval)));
        ordered
    };
    let (mut starting, mut ending) = (by(|interval| interval.places.start), by(|interval| interval.places.end));
    let mut oldest_first: Vec<Millis> = Vec::new();
    let mut ages = [const { Vec::new() }; N];
    for (place, at) in axis.moments.iter().enumerate() {
        while let Some(next) = starting.pop_if(|next| next.places.start <= place) {
            oldest_first.insert(oldest_first.partition_point(|other| *other < next.at), next.at);
        }
        while let Some(next) = ending.pop_if(|next| next.places.end <= place) {
            oldest_first.remove(oldest_first.partition_point(|other| *other < next.at));
        }
        for (quantile, ages) in quantiles.iter().zip(&mut ages) {
            let younger_or_equal = nearest_rank(oldest_first.len(), *quantile);
            ages.extend(
                younger_or_equal.map(|rank| (*at, at.seconds_since(oldest_first[oldest_first.len() - 1 - rank]))),
            );
        }
    }
    ages
}

/// The index, in ascending order, of the smallest value that is at least as great as this share of all values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a small length"
)]
fn nearest_rank(length: usize, quantile: f64) -> Option<usize> {
    let rank = (quantile * length as f64).ceil() as usize;
    (length > 0).then(|| rank.clamp(1, length) - 1)
}

/// The cumulative histogram at each moment.
pub(crate) fn histograms(
    axis: &Axis,
    base: Option<&Histogram>,
    durations: Option<&Vec<(usize, i64)>>,
) -> Vec<Histogram> {
    let mut sorted = durations.cloned().unwrap_or_default();
    sorted.sort_unstable();
    let mut rest = sorted.as_slice();
    let mut sum = base.cloned().unwrap_or_default();
    let moments = 0..axis.moments.len();
    moments
        .map(|place| {
            while let Some(((_, length), tail)) = rest.split_first().filter(|((at, _), _)| *at <= place) {
                sum.record(*length);
                rest = tail;
            }
            sum.clone()
        })
        .collect()
}

fn counts_for_progress(facts: &Facts) -> bool {
    facts.task_type != TaskType::Epic && facts.status != Status::Cancelled
}

/// The first moment after a due date, in UTC.
fn overdue_from(due: &str) -> Option<Millis> {
    Millis::parse(&format!("{due}T00:00:00Z")).map(|day| day.plus(DAY))
}

/// Adds one task to the series of the projects it was in. `id_of` gives the project id of a native project.
pub(crate) fn place_task(
    all_series: &mut BTreeMap<String, ProjectSeries>,
    id_of: &dyn Fn(&str) -> String,
    history: &TaskHistory,
    url: &str,
    stale_after: i64,
) {
    let started = history.started();
    for (place, snapshot) in history.snapshots().iter().enumerate() {
        let until = history.snapshots().get(place + 1).map_or(Millis(i64::MAX), |next| next.at);
        if let Some(series) = all_series.get_mut(&id_of(&snapshot.state.facts.project)) {
            series.add_interval(&snapshot.state, snapshot.at, until, started, stale_after);
        }
    }
    for event in totals::counter_events(history) {
        if let Some(series) = all_series.get_mut(&id_of(&event.project)) {
            series.add_counter_event(event.at, &event.counted);
        }
    }
    place_phases(all_series, id_of, history, url);
}

/// Adds blocked intervals, and the active share of completed work.
fn place_phases(
    all_series: &mut BTreeMap<String, ProjectSeries>,
    id_of: &dyn Fn(&str) -> String,
    history: &TaskHistory,
    url: &str,
) {
    let phases = history.phases();
    for phase in phases.iter().filter(|phase| phase.status == Status::Blocked) {
        let until = phase.to.unwrap_or(Millis(i64::MAX));
        let Some(series) = all_series.get_mut(&id_of(&phase.facts.project)) else { continue };
        let places = series.axis.place(phase.from)..series.axis.place(until);
        if !places.is_empty() {
            series.blocked_tasks.push(BlockedInterval {
                from: phase.from,
                places,
                key: phase.facts.key.clone(),
                title: phase.facts.title.clone(),
                assignee: phase.facts.assignee.clone(),
                reason: phase.reason.as_deref().unwrap_or_default().into(),
                url: url.into(),
            });
        }
    }
    let Some(started) = history.started() else { return };
    for finish in history.finishes().iter().filter(|finish| finish.status == Status::Done) {
        let within = phases.iter().filter(|phase| phase.status.is_active() && phase.from < finish.at);
        let active = within.map(|phase| phase.to.unwrap_or(finish.at).min(finish.at).0 - phase.from.0).sum();
        if let Some(series) = all_series.get_mut(&id_of(&finish.facts.project)) {
            series.flow(finish.at, active, (finish.at.0 - started.0).max(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::samples::{facts, stored, to};
    use crate::model::{Change, StoredEvent};

    /// The moments, of every ten, at which a task was in progress, and its age then.
    fn wip(timeline: &[StoredEvent]) -> Vec<(i64, f64)> {
        let axis = Axis::new(Some(Millis(0)), 10, Millis(50), Millis(55));
        let mut all_series = BTreeMap::from([("shop".to_owned(), ProjectSeries::new(axis))]);
        place_task(&mut all_series, &|_| "shop".to_owned(), &TaskHistory::new(timeline).unwrap(), "", DAY);
        let series = all_series.remove("shop").unwrap();
        let [ages] = wip_ages(&series.axis, &series.wip_intervals, [1.0]);
        let counts = series.wip.values(&series.axis, 0).unwrap_or_default();
        let counted = series.axis.moments().iter().zip(counts).filter(|(_, count)| *count == 1).map(|(at, _)| *at);
        assert_eq!(counted.collect::<Vec<_>>(), ages.iter().map(|(at, _)| *at).collect::<Vec<_>>(), "the same set");
        ages.into_iter().map(|(at, age)| (at.0, age * 1_000.0)).collect()
    }

    #[test]
    fn work_in_progress_is_started_and_not_finished() {
        let todo = || stored(0, Change::Created(Box::new(facts(Status::Todo))));
        let flagged = |at| stored(at, Change::Blocked(None));
        let blocked_after_start =
            [todo(), stored(10, to(Status::InProgress)), flagged(20), stored(40, to(Status::Done))];
        assert_eq!(wip(&blocked_after_start), [(10, 0.0), (20, 10.0), (30, 20.0)]);
        // A column named blocked means started work; a flag starts nothing.
        let column =
            |from| [todo(), stored(10, to(from)), stored(20, to(Status::Blocked)), stored(40, to(Status::Done))];
        assert_eq!(wip(&column(Status::InReview)), wip(&blocked_after_start));
        assert_eq!(wip(&column(Status::Backlog)), [(20, 0.0), (30, 10.0)]);
        assert_eq!(wip(&[todo(), flagged(10)]), [], "never wip_intervals");
        let begun_later = [todo(), flagged(10), stored(20, Change::Unblocked), stored(40, to(Status::InProgress))];
        assert_eq!(wip(&begun_later)[0], (40, 0.0), "its age is that of work, not of waiting for it");
        let sent_back = [todo(), stored(10, to(Status::InProgress)), stored(20, to(Status::Todo))];
        assert_eq!(wip(&sent_back), [(10, 0.0)]);
    }

    proptest! {
        #[test]
        fn the_age_of_work_in_progress_is_that_of_counting_at_every_moment(
            intervals in proptest::collection::vec((0_i64..60, 0_i64..30, 0_i64..60), 0..12)
        ) {
            let axis = Axis::new(Some(Millis(0)), 10, Millis(50), Millis(55));
            let intervals: Vec<(i64, i64, i64)> =
                intervals.into_iter().map(|(from, length, before)| (from, from + length, from - before)).collect();
            let mut wip_intervals = Vec::new();
            for (from, to, at) in &intervals {
                let places = axis.place(Millis(*from))..axis.place(Millis(*to));
                add_wip(&mut wip_intervals, WipInterval { places, at: Millis(*at) });
            }
            let counted = |quantile: f64| {
                let ages_at = |at: &Millis| {
                    let within = intervals.iter().filter(|(from, to, _)| *from <= at.0 && at.0 < *to);
                    let mut ages: Vec<f64> = within.map(|(_, _, began)| at.seconds_since(Millis(*began))).collect();
                    ages.sort_by(f64::total_cmp);
                    let rank = (1..=ages.len()).find(|rank| *rank as f64 >= quantile * ages.len() as f64)?;
                    Some((*at, ages[rank - 1]))
                };
                axis.moments().iter().filter_map(ages_at).collect::<Vec<_>>()
            };
            prop_assert_eq!(wip_ages(&axis, &wip_intervals, [0.5, 0.85, 1.0]), [counted(0.5), counted(0.85), counted(1.0)]);
        }
    }
}
