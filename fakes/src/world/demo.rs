//! Builds the demo's world: three teams, a few hundred tasks, and the mess real work makes.
//!
//! It goes in three steps: draft every issue with the moments of its life ([`Life`]); create them in the order of their
//! birth, so that keys and ids grow with time; then play all moments of all lives in order through [`Edit`]. Moments after
//! the world's end have not happened yet, which is why work is in flight there.

use super::sample_text::{OPS, PARTS, PLAT, SHOP, Vocabulary, pick};
use super::{
    BoardId, BoardKind, DAY, Draft, Edit, HOUR, IssueId, MINUTE, PriorityId, ProjectId, ResolutionId, SprintId,
    StatusId, TypeId, UserId, World, timestamp,
};
use jiff::civil::Date;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const WEEK: i64 = 7 * DAY;
const SPRINT: i64 = 2 * WEEK;

/// How a demo world is to be.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// The end of the world, usually now.
    pub now: i64,
    /// How far back it goes.
    pub months: u32,
    pub seed: u64,
    /// Closed sprints of the scrum team, before the active and the future one.
    pub closed_sprints: u32,
}

/// An issue to be, and the moments of its life.
struct Plan {
    created: i64,
    by: UserId,
    draft: Draft,
    parent: Option<Parent>,
    life: Life,
}

/// A parent that may not have its id yet.
#[derive(Clone, Copy)]
enum Parent {
    Known(IssueId),
    Planned(usize),
}

/// The moments of a life; what is none does not happen.
#[derive(Clone, Debug, Default)]
struct Life {
    estimated: Option<(i64, f32)>,
    selected: Option<i64>,
    started: Option<i64>,
    review: Option<i64>,
    finished: Option<i64>,
    cancelled: Option<i64>,
    /// Reopened, and done again.
    reopened: Option<(i64, i64)>,
    joined: Option<(i64, SprintId)>,
    left: Option<i64>,
    reestimated: Option<(i64, f32)>,
    flagged: Vec<(i64, Option<i64>)>,
}

type Act = Box<dyn FnOnce(&mut Edit<'_>)>;

/// A team: its project, its vocabulary, its people.
#[derive(Clone, Copy)]
struct Team {
    project: ProjectId,
    words: &'static Vocabulary,
    people: [UserId; 4],
    weekly: f64,
}

struct Builder {
    demo: Demo,
    rng: StdRng,
    world: World,
    teams: [Team; 3],
    epics: Vec<IssueId>,
    plans: Vec<Plan>,
    acts: Vec<(i64, UserId, Act)>,
}

impl Demo {
    /// Up to half a year has two closed sprints, more has one for every two weeks.
    pub fn new(now: i64, months: u32, seed: u64) -> Self {
        let closed_sprints = if months <= 6 { 2 } else { months * 2 };
        Self { now, months, seed, closed_sprints }
    }

    /// Sets the number of closed sprints.
    pub fn closed_sprints(mut self, count: u32) -> Self {
        self.closed_sprints = count;
        self
    }

    /// Builds the world.
    pub fn build(self) -> World {
        let mut builder = Builder::new(self);
        builder.plan_epics();
        let sprints = builder.plan_sprints();
        builder.plan_flow(sprints);
        builder.plan_stuck();
        builder.plan_subtasks();
        let ids = builder.create();
        builder.live(&ids);
        builder.meddle(&ids);
        builder.play();
        builder.world
    }

    fn start(self) -> i64 {
        self.now - i64::from(self.months) * 30 * DAY - 10 * HOUR
    }

    /// The active sprint started on the last Monday at least three days ago, at nine.
    fn active_start(self) -> i64 {
        let day = (self.now - 3 * DAY).div_euclid(DAY);
        // Day 0 of the epoch was a Thursday.
        let monday = day - (day + 3).rem_euclid(7);
        monday * DAY + 9 * HOUR
    }
}

impl Builder {
    fn new(demo: Demo) -> Self {
        let mut world = World::empty();
        // In the order of their keys.
        let ops = world.add_project("OPS", "Operations", StatusId::BACKLOG);
        let plat = world.add_project("PLAT", "Platform", StatusId::TO_DO);
        let shop = world.add_project("SHOP", "Commerce checkout", StatusId::TO_DO);
        world.add_board("Checkout squad", BoardKind::Scrum, shop);
        world.add_board("Platform flow", BoardKind::Kanban, plat);
        world.add_board("Operations desk", BoardKind::Kanban, ops);
        let people = |ids: [u16; 4]| ids.map(UserId);
        let teams = [
            Team { project: shop, words: &SHOP, people: people([0, 1, 2, 3]), weekly: 4.5 },
            Team { project: plat, words: &PLAT, people: people([4, 5, 6, 2]), weekly: 3.5 },
            Team { project: ops, words: &OPS, people: people([7, 8, 9, 5]), weekly: 3.0 },
        ];
        let rng = StdRng::seed_from_u64(demo.seed);
        Self { demo, rng, world, teams, epics: vec![], plans: vec![], acts: vec![] }
    }

    /// One initiative above two epics of the shop, and an epic or two for everybody.
    fn plan_epics(&mut self) {
        let [shop, plat, ops] = self.teams;
        let at = self.demo.start() + 20 * MINUTE;
        let above = Draft::new(shop.project, TypeId::INITIATIVE, "Checkout that converts");
        let initiative = self.world.edit(at).by(UserId(0)).add_issue(above);
        let epics = [
            (shop, "Guest checkout", true),
            (shop, "More ways to pay", true),
            (shop, "Order history", false),
            (plat, "Builds under ten minutes", false),
            (plat, "One way to deploy", false),
            (ops, "Quiet nights", false),
        ];
        for (n, (team, title, below)) in epics.into_iter().enumerate() {
            let mut draft = Draft::new(team.project, TypeId::EPIC, title);
            draft.parent = below.then_some(initiative);
            draft.priority = if below { PriorityId::HIGH } else { PriorityId::MEDIUM };
            let created = at + (1 + n as i64) * 37 * MINUTE;
            let epic = self.world.edit(created).by(team.people[0]).add_issue(draft);
            self.epics.push(epic);
            let started = self.work_hours(created + (3 + n as i64) * DAY);
            self.act(started, team.people[0], move |edit| edit.transition(epic, StatusId::IN_PROGRESS));
        }
        let history = self.epics[2];
        let done = self.work_hours(self.demo.start() + (self.demo.now - self.demo.start()) * 7 / 10);
        self.act(done, shop.people[0], move |edit| edit.transition(history, StatusId::DONE));
        self.act(at + 9 * DAY, UserId(0), move |edit| edit.transition(initiative, StatusId::IN_PROGRESS));
    }

    /// Plans the scrum team's sprints and their work; gives the first one's start.
    fn plan_sprints(&mut self) -> i64 {
        let board = BoardId(1);
        let closed = i64::from(self.demo.closed_sprints);
        let active = self.demo.active_start();
        let goals = [
            "Guests can pay without an account",
            "Fewer abandoned baskets",
            "Wallets on every phone",
            "Refunds people understand",
            "Faster first page",
        ];
        for n in 0..closed + 2 {
            let start = active + (n - closed) * SPRINT;
            let goal = goals[n as usize % goals.len()];
            let name = format!("Checkout Sprint {}", n + 1);
            let sprint = self.world.add_sprint(board, &name, goal, start - 16 * DAY - 3 * HOUR);
            if n <= closed {
                self.act(start, UserId(0), move |edit| edit.start_sprint(sprint, start + SPRINT));
            }
            if n < closed {
                let next = SprintId(sprint.0 + 1);
                let wobble = self.rng.random_range(20..55) * MINUTE + self.rng.random_range(0..60_000);
                let close = move |edit: &mut Edit<'_>| edit.close_sprint(sprint, Some(next));
                self.act(start + SPRINT - wobble, UserId(0), close);
            }
            self.plan_sprint_work(sprint, start, n > closed);
        }
        active - closed * SPRINT
    }

    fn plan_sprint_work(&mut self, sprint: SprintId, start: i64, future: bool) {
        let committed = self.rng.random_range(11..=14);
        for _ in 0..committed {
            self.plan_committed(sprint, start, future);
        }
        if !future {
            for _ in 0..self.rng.random_range(2..=4) {
                self.plan_added(sprint, start);
            }
        }
    }

    /// Work agreed on before the sprint starts.
    fn plan_committed(&mut self, sprint: SprintId, start: i64, future: bool) {
        let created = self.earlier(start, 3 * 24, 22 * 24);
        let mut planned = (start - self.hours(2, 60)).max(created + HOUR);
        if future {
            // Planned early, so that the next sprint has something to show.
            planned = planned.min(self.demo.now - self.hours(1, 40));
        }
        let created = created.min(planned - 2 * HOUR);
        let mut plan = self.plan(self.teams[0], created);
        plan.life.joined = Some((planned, sprint));
        plan.life.selected = Some(planned + 3 * MINUTE);
        self.estimate(&mut plan, created, planned);
        if !future {
            self.sprint_life(&mut plan, start);
            if self.chance(0.06) {
                plan.life.left = Some(start + self.hours(30, 200));
                plan.life = Life { started: None, review: None, finished: None, ..plan.life };
            } else if self.chance(0.14) {
                plan.life.reestimated = Some((start + self.hours(24, 220), self.points()));
            }
        }
        self.plans.push(plan);
    }

    /// Work that turned up while the sprint ran.
    fn plan_added(&mut self, sprint: SprintId, start: i64) {
        let joined = self.later(start, 20, 190);
        let created = joined - self.hours(1, 48);
        let mut plan = self.plan(self.teams[0], created);
        plan.draft.kind = pick(&[TypeId::BUG, TypeId::BUG, TypeId::TASK], &mut self.rng);
        plan.draft.title = self.teams[0].words.title(plan.draft.kind, &mut self.rng);
        plan.life.estimated = self.chance(0.8).then(|| (created + 20 * MINUTE, self.points()));
        plan.life.joined = Some((joined, sprint));
        plan.life.selected = Some(joined + MINUTE);
        let begin = joined + self.hours(1, 30);
        self.work_from(&mut plan.life, begin, 1.0);
        self.plans.push(plan);
    }

    /// The course of work within a sprint; every fifth is too slow for it.
    fn sprint_life(&mut self, plan: &mut Plan, start: i64) {
        let slow = self.chance(0.18);
        let (from, to, pace) = if slow { (8 * 24, 12 * 24, 2.4) } else { (1, 8 * 24, 0.8) };
        let begin = start + self.hours(from, to);
        self.work_from(&mut plan.life, begin, pace);
        if self.chance(0.04) {
            plan.life.cancelled = plan.life.started.map(|at| at + 5 * HOUR);
            plan.life.review = None;
            plan.life.finished = None;
        }
    }

    /// Kanban work: it flows in week by week. The scrum team flowed too, before its first sprint.
    fn plan_flow(&mut self, first_sprint: i64) {
        for team in self.teams {
            let scrum = team.project == self.teams[0].project;
            let end = if scrum { first_sprint - 12 * DAY } else { self.demo.now - 6 * HOUR };
            let mut at = self.demo.start() + 8 * HOUR;
            loop {
                let gap = WEEK as f64 / team.weekly;
                at += (gap * self.rng.random_range(0.4..1.6)) as i64;
                if at >= end {
                    break;
                }
                let created = self.work_hours(at).min(self.demo.now - 10 * MINUTE);
                let plan = self.flow(team, created);
                self.plans.push(plan);
            }
        }
    }

    fn flow(&mut self, team: Team, created: i64) -> Plan {
        let mut plan = self.plan(team, created);
        let picked = created + self.hours(3, 9 * 24);
        self.estimate(&mut plan, created, picked);
        if self.chance(0.07) {
            plan.life.cancelled = Some(self.later(picked, 1, 20 * 24));
            return plan;
        }
        // Some of the newer work is nobody's plan yet.
        if created > self.demo.now - 60 * DAY && self.chance(0.2) {
            return plan;
        }
        plan.life.selected = Some(self.work_hours(picked));
        let begin = picked + self.hours(2, 96);
        self.work_from(&mut plan.life, begin, 1.2);
        plan
    }

    /// A few that have been blocked for different times, right now.
    fn plan_stuck(&mut self) {
        let ages = [(0, 11 * DAY + 3 * HOUR), (1, 6 * DAY + HOUR), (2, 3 * DAY), (1, 26 * HOUR), (0, 3 * HOUR)];
        for (team, age) in ages {
            let team = self.teams[team];
            let flagged = self.demo.now - age - self.rng.random_range(0..MINUTE);
            let created = self.earlier(flagged, 12 * 24, 25 * 24).min(flagged - 5 * DAY);
            let mut plan = self.plan(team, created);
            plan.draft.priority = PriorityId::HIGH;
            plan.draft.due = Some(date(self.demo.now + 2 * DAY - age));
            plan.life.estimated = Some((created + 2 * HOUR, self.points()));
            plan.life.selected = Some(created + 26 * HOUR);
            plan.life.started = Some((flagged - self.hours(8, 40)).max(created + 2 * DAY));
            plan.life.flagged = vec![(flagged, None)];
            if team.project == self.teams[0].project {
                let active = SprintId(self.demo.closed_sprints + 1);
                let joined = self.demo.active_start() - 5 * HOUR - self.rng.random_range(0..MINUTE);
                plan.life.joined = Some((joined.max(created + HOUR), active));
            }
            self.plans.push(plan);
        }
    }

    /// Some stories are cut into parts that are done while the story is worked on.
    fn plan_subtasks(&mut self) {
        for index in 0..self.plans.len() {
            let plan = &self.plans[index];
            let life = plan.life.clone();
            let Some(started) = life.started.filter(|_| plan.draft.kind == TypeId::STORY) else { continue };
            let end = life.review.unwrap_or(started + 6 * DAY);
            if end - started < DAY || !self.chance(0.4) {
                continue;
            }
            let count = self.rng.random_range(2..=3);
            for part in 0..count {
                self.plan_subtask(index, started, end, (part, count));
            }
        }
    }

    fn plan_subtask(&mut self, parent: usize, started: i64, end: i64, (part, count): (i64, i64)) {
        let story = &self.plans[parent];
        let (project, by) = (story.draft.project, story.by);
        let share = (end - started) / count;
        let title = PARTS[(parent + part as usize) % PARTS.len()];
        let mut draft = Draft::new(project, TypeId::SUBTASK, title);
        draft.assignee = Some(by);
        let begin = started + part * share + self.rng.random_range(10 * MINUTE..HOUR);
        let life = Life {
            started: Some(begin),
            finished: Some(begin + share * self.rng.random_range(50..90) / 100),
            ..Life::default()
        };
        let created = started + (part + 1) * 2 * MINUTE + self.rng.random_range(0..MINUTE);
        self.plans.push(Plan { created, by, draft, parent: Some(Parent::Planned(parent)), life });
    }

    /// A plain issue of a team.
    fn plan(&mut self, team: Team, created: i64) -> Plan {
        let kind = self.kind(team);
        let title = team.words.title(kind, &mut self.rng);
        let mut draft = Draft::new(team.project, kind, title);
        draft.priority = self.priority(kind);
        if self.chance(0.6) {
            draft.labels = vec![pick(team.words.labels, &mut self.rng).to_owned()];
        }
        if self.chance(0.15) {
            draft.due = Some(date(created + self.hours(10 * 24, 45 * 24)));
        }
        if team.project == self.teams[2].project && self.chance(0.5) {
            draft.time_estimate = Some(3_600 * self.rng.random_range(1..=16));
        }
        let parent = self.epic_for(team, created).map(Parent::Known);
        Plan { created, by: pick(&team.people, &mut self.rng), draft, parent, life: Life::default() }
    }

    fn kind(&mut self, team: Team) -> TypeId {
        let ops = team.project == self.teams[2].project;
        match self.rng.random_range(0..100) {
            0..45 if !ops => TypeId::STORY,
            0..20 => TypeId::INCIDENT,
            20..70 => TypeId::TASK,
            70..92 => TypeId::BUG,
            _ => TypeId::SPIKE,
        }
    }

    fn priority(&mut self, kind: TypeId) -> PriorityId {
        let roll = self.rng.random_range(0..100);
        match (kind, roll) {
            (TypeId::INCIDENT, ..60) | (_, ..4) => PriorityId::HIGHEST,
            (TypeId::BUG, ..40) | (_, ..20) => PriorityId::HIGH,
            (_, ..80) => PriorityId::MEDIUM,
            (_, ..95) => PriorityId::LOW,
            _ => PriorityId::LOWEST,
        }
    }

    /// Two thirds of the work belongs to an epic; the order history only to the early years.
    fn epic_for(&mut self, team: Team, created: i64) -> Option<IssueId> {
        let early = created < self.demo.start() + (self.demo.now - self.demo.start()) / 2;
        let range = match team.project {
            project if project == self.teams[0].project => {
                if early {
                    0..3
                } else {
                    0..2
                }
            }
            project if project == self.teams[1].project => 3..5,
            _ => 5..6,
        };
        self.chance(0.67).then(|| self.epics[self.rng.random_range(range)])
    }

    fn estimate(&mut self, plan: &mut Plan, created: i64, planned: i64) {
        let ops = plan.draft.project == self.teams[2].project;
        if ops || self.chance(0.1) {
            return;
        }
        let points = self.points();
        if self.chance(0.3) {
            plan.draft.points = Some(points);
        } else {
            plan.life.estimated = Some((created + (planned - created) / 2, points));
        }
    }

    fn points(&mut self) -> f32 {
        pick(&[1.0, 2.0, 2.0, 3.0, 3.0, 5.0, 5.0, 8.0], &mut self.rng)
    }

    /// In progress from `begin`, then review, then done, with what goes wrong on the way.
    fn work_from(&mut self, life: &mut Life, begin: i64, pace: f64) {
        let started = self.work_hours(begin);
        let doing = (self.hours(6, 80) as f64 * pace) as i64;
        let review = self.work_hours(started + doing);
        let finished = self.later(review, 2, 34);
        life.started = Some(started);
        life.review = Some(review);
        life.finished = Some(finished);
        if self.chance(0.16) {
            let flagged = started + doing / 5;
            let cleared = flagged + doing * self.rng.random_range(20..60) / 100;
            life.flagged.push((flagged, Some(cleared)));
        }
        if self.chance(0.05) {
            let reopened = self.later(finished, 10, 120);
            life.reopened = Some((reopened, self.later(reopened, 5, 60)));
        }
    }

    /// Creates the planned issues in the order of their birth; gives the id of every plan, none when it is after the end.
    fn create(&mut self) -> Vec<Option<IssueId>> {
        let mut order: Vec<_> = (0..self.plans.len()).filter(|at| self.plans[*at].created < self.demo.now).collect();
        order.sort_by_key(|at| self.plans[*at].created);
        let mut ids = vec![None; self.plans.len()];
        for at in order {
            let plan = &self.plans[at];
            let mut draft = plan.draft.clone();
            draft.parent = match plan.parent {
                Some(Parent::Known(id)) => Some(id),
                Some(Parent::Planned(index)) => ids[index],
                None => None,
            };
            ids[at] = Some(self.world.edit(plan.created).by(plan.by).add_issue(draft));
        }
        ids
    }

    /// Turns the moments of every life into acts.
    fn live(&mut self, ids: &[Option<IssueId>]) {
        let plans = std::mem::take(&mut self.plans);
        for (plan, id) in plans.iter().zip(ids) {
            let Some(id) = *id else { continue };
            self.live_planning(id, plan);
            self.live_work(id, plan);
            self.live_flags(id, plan);
        }
        self.plans = plans;
    }

    fn live_planning(&mut self, id: IssueId, plan: &Plan) {
        let (life, by) = (&plan.life, plan.by);
        if let Some((at, points)) = life.estimated {
            self.act(at, by, move |edit| edit.set_points(id, Some(points)));
        }
        if let Some((at, sprint)) = life.joined {
            self.act(at, UserId(0), move |edit| edit.set_sprint(id, Some(sprint)));
            self.act(at + 40_000, UserId(0), move |edit| edit.rank(id));
        }
        if let Some(at) = life.left {
            self.act(at, UserId(0), move |edit| edit.set_sprint(id, None));
            self.act(at + MINUTE, UserId(0), move |edit| edit.transition(id, StatusId::TO_DO));
        }
        if let Some((at, points)) = life.reestimated {
            self.act(at, by, move |edit| edit.set_points(id, Some(points)));
        }
    }

    fn live_work(&mut self, id: IssueId, plan: &Plan) {
        let (life, by) = (&plan.life, plan.by);
        let steps = [
            (life.selected.filter(|_| plan.draft.kind != TypeId::SUBTASK), StatusId::SELECTED),
            (life.started, StatusId::IN_PROGRESS),
            (life.review, StatusId::IN_REVIEW),
            (life.finished, StatusId::DONE),
            (life.reopened.map(|(at, _)| at), StatusId::IN_PROGRESS),
            (life.reopened.map(|(_, at)| at), StatusId::DONE),
        ];
        for (at, status) in steps {
            self.act_maybe(at, by, move |edit| edit.transition(id, status));
        }
        let reason = pick(&[ResolutionId::WONT_DO, ResolutionId::WONT_DO, ResolutionId::DUPLICATE], &mut self.rng);
        self.act_maybe(life.cancelled, by, move |edit| edit.transition_as(id, StatusId::DONE, Some(reason)));
        if plan.draft.assignee.is_none() {
            self.act_maybe(life.started.map(|at| at - MINUTE), by, move |edit| edit.assign(id, Some(by)));
        }
        let talk = life.review.filter(|_| self.chance(0.5));
        self.act_maybe(talk.map(|at| at + 12 * MINUTE), by, move |edit| edit.comment(id));
    }

    fn live_flags(&mut self, id: IssueId, plan: &Plan) {
        for (from, to) in &plan.life.flagged {
            self.act(*from, plan.by, move |edit| edit.flag(id));
            self.act(*from + 4 * MINUTE, plan.by, move |edit| edit.comment(id));
            self.act_maybe(*to, plan.by, move |edit| edit.unflag(id));
        }
    }

    /// What people do beside the plan: links, renames, other parents, priorities, types, a move, a deletion.
    fn meddle(&mut self, ids: &[Option<IssueId>]) {
        let born: Vec<_> = ids.iter().zip(&self.plans).filter_map(|(id, plan)| Some(((*id)?, plan.created))).collect();
        let ordinary: Vec<_> = born.iter().copied().filter(|(id, _)| self.is_ordinary(*id)).collect();
        for (id, created) in &ordinary {
            let at = created + self.hours(1, 15 * 24);
            self.meddle_with(*id, at);
        }
        self.meddle_links(&ordinary);
        self.meddle_structure(&ordinary);
    }

    fn is_ordinary(&self, id: IssueId) -> bool {
        self.world.issue_type(self.world.issue(id).fields.kind).level == 0
    }

    fn meddle_with(&mut self, id: IssueId, at: i64) {
        let project = self.world.issue(id).project();
        let Some(team) = self.teams.iter().copied().find(|team| team.project == project) else { return };
        let (by, other) = (pick(&team.people, &mut self.rng), pick(&team.people, &mut self.rng));
        let at = self.work_hours(at);
        if self.chance(0.12) {
            self.act(at + 3 * DAY, by, move |edit| edit.assign(id, Some(other)));
        }
        if self.chance(0.08) {
            let priority = pick(&[PriorityId::HIGH, PriorityId::LOW, PriorityId::HIGHEST], &mut self.rng);
            self.act(at, by, move |edit| edit.set_priority(id, priority));
        }
        if self.chance(0.06) {
            let label = pick(team.words.labels, &mut self.rng);
            self.act(at + HOUR, by, move |edit| edit.set_labels(id, &[label, "triaged"]));
        }
        if self.chance(0.04) {
            let due = Some(date(at + 20 * DAY));
            self.act(at + 2 * HOUR, by, move |edit| edit.set_due(id, due));
        }
        if self.chance(0.25) {
            self.act(at + 5 * HOUR, other, move |edit| edit.comment(id));
        }
    }

    /// An issue blocks another one of the same time.
    fn meddle_links(&mut self, born: &[(IssueId, i64)]) {
        for pair in born.windows(2) {
            let [(one, _), (other, created)] = [pair[0], pair[1]];
            if self.chance(0.07) {
                let at = self.later(created, 1, 60);
                self.act(at, UserId(1), move |edit| edit.link(one, other));
            }
        }
    }

    /// Rare acts, a few of each.
    fn meddle_structure(&mut self, born: &[(IssueId, i64)]) {
        let epics = self.epics.clone();
        let step = (born.len() / 24).max(1);
        let chosen: Vec<_> = born.iter().copied().step_by(step).collect();
        for (n, (id, created)) in chosen.into_iter().enumerate() {
            let at = self.later(created, 4, 90);
            match n % 12 {
                1 | 6 => {
                    let title = format!("{} (first step)", self.world.issue(id).fields.title);
                    self.act(at, UserId(3), move |edit| edit.rename(id, title));
                }
                2 | 8 => {
                    let parent = epics[n % 2];
                    self.act(at, UserId(0), move |edit| edit.set_parent(id, Some(parent)));
                }
                4 => self.act(at, UserId(2), move |edit| edit.set_type(id, TypeId::TASK)),
                10 => self.act(at, UserId(4), move |edit| edit.delete(id)),
                _ => {}
            }
        }
        self.meddle_move(born);
    }

    /// One operations task turned out to be the platform's.
    fn meddle_move(&mut self, born: &[(IssueId, i64)]) {
        let [_, plat, ops] = self.teams;
        let mine = |id: &IssueId| self.world.issue(*id).project() == ops.project;
        let found = born.iter().copied().filter(|(id, _)| mine(id)).nth(born.len() / 12);
        if let Some((id, created)) = found {
            self.act(created + 2 * DAY, ops.people[0], move |edit| edit.move_project(id, plat.project));
        }
    }

    /// Plays all acts in the order of time. Nothing happens to a deleted issue: its acts find it gone.
    fn play(&mut self) {
        let mut acts = std::mem::take(&mut self.acts);
        acts.sort_by_key(|(at, ..)| *at);
        self.world.unindexed = true;
        for (at, by, act) in acts {
            act(&mut self.world.edit(at).by(by));
        }
        self.world.reindex();
    }

    fn act(&mut self, at: i64, by: UserId, act: impl FnOnce(&mut Edit<'_>) + 'static) {
        if at < self.demo.now {
            self.acts.push((at, by, Box::new(act)));
        }
    }

    fn act_maybe(&mut self, at: Option<i64>, by: UserId, act: impl FnOnce(&mut Edit<'_>) + 'static) {
        if let Some(at) = at {
            self.act(at, by, act);
        }
    }

    fn chance(&mut self, of: f64) -> bool {
        self.rng.random_bool(of)
    }

    /// A random length of time between two numbers of hours.
    fn hours(&mut self, from: i64, to: i64) -> i64 {
        self.rng.random_range(from * HOUR..to * HOUR)
    }

    /// A moment at work, some hours after `at`.
    fn later(&mut self, at: i64, from: i64, to: i64) -> i64 {
        let at = at + self.hours(from, to);
        self.work_hours(at)
    }

    /// A moment at work, some hours before `at`.
    fn earlier(&mut self, at: i64, from: i64, to: i64) -> i64 {
        let at = at - self.hours(from, to);
        self.work_hours(at)
    }

    /// The next moment people work: Monday to Friday, eight to six UTC.
    fn work_hours(&mut self, at: i64) -> i64 {
        let (mut day, mut time) = (at.div_euclid(DAY), at.rem_euclid(DAY));
        if time > 18 * HOUR {
            (day, time) = (day + 1, 8 * HOUR + self.rng.random_range(0..3 * HOUR));
        } else if time < 8 * HOUR {
            time = 8 * HOUR + self.rng.random_range(0..3 * HOUR);
        }
        // Day 0 was a Thursday: Saturday is 2, Sunday 3.
        let weekend = match day.rem_euclid(7) {
            2 => 2,
            3 => 1,
            _ => 0,
        };
        (day + weekend) * DAY + time
    }
}

fn date(at: i64) -> Date {
    timestamp(at).to_zoned(jiff::tz::TimeZone::UTC).date()
}
