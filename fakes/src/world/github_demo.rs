//! Builds the demo's other half: a code host with two repositories and one project over both, whose pull requests also name
//! tasks of other tools.
//!
//! Every task to be has its steps planned first, with their times; then all steps of all tasks are played in order. What lies
//! after the world's end has not happened yet. All times are whole seconds, as those of a code host are.

use super::sample_text::{PLAT, SHOP, Vocabulary, pick};
use super::{
    BoardId, BoardKind, CommitId, Content, DAY, Draft, Edit, HOUR, IssueId, MINUTE, ProjectId, PullDraft, PullId,
    SECOND, Stage, StatusId, TypeId, UserId, Verdict, World,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const WEEK: i64 = 7 * DAY;

/// How a code host's world is to be.
#[derive(Clone, Debug)]
pub struct GithubDemo {
    /// The end of the world, usually now.
    pub now: i64,
    /// How far back it goes.
    pub months: u32,
    pub seed: u64,
    /// Tasks of other tools that are worked on here.
    pub foreign: Vec<Foreign>,
}

/// A task of another tool: its key, and when people worked on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    pub key: String,
    pub title: String,
    pub started: i64,
    /// None while it is not done.
    pub done: Option<i64>,
}

impl Foreign {
    /// The tasks of another tool's world that were started, every `step`-th of them.
    pub fn of(world: &World, now: i64, step: usize) -> Vec<Self> {
        let truth = world.truth(now);
        let started = truth.issues().filter(|issue| world.issue_type(issue.fields.kind).level == 0);
        let started = started.filter_map(|issue| {
            let done = truth.completed(issue.id);
            let open = truth.status(issue.id) != Stage::Cancelled;
            let started = truth.started(issue.id).filter(|_| open)?;
            Some(Self { key: world.key_of(issue.id), title: issue.fields.title.clone(), started, done })
        });
        started.step_by(step.max(1)).collect()
    }
}

/// A step in the life of a task.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Estimate(f32),
    Join(u32),
    Move(StatusId),
    Assign,
    Open { draft: bool },
    Push(u8),
    Check(bool),
    Ready,
    Request,
    Review(Verdict),
    Merge,
    Cancel,
    Flag,
    Unflag,
    Deploy(bool),
    Label,
    Comment,
    Archive,
    Milestone,
    Rename,
    Retype,
    Transfer,
    Delete,
    BlockedBy(usize),
    StartSprint(u32),
    CloseSprint(u32),
}

/// A task to be, and what became of it so far.
struct Plan {
    project: ProjectId,
    /// The repository it may be transferred to.
    other: ProjectId,
    kind: TypeId,
    title: String,
    foreign: Option<String>,
    by: UserId,
    reviewer: UserId,
    parent: Option<usize>,
    issue: Option<IssueId>,
    pull: Option<PullId>,
    head: Option<CommitId>,
}

struct Builder {
    demo: GithubDemo,
    rng: StdRng,
    world: World,
    repositories: [ProjectId; 2],
    plans: Vec<Plan>,
    steps: Vec<(i64, usize, Step)>,
}

impl GithubDemo {
    /// A world that works on nothing but its own tasks.
    pub fn new(now: i64, months: u32, seed: u64) -> Self {
        Self { now, months, seed, foreign: vec![] }
    }

    /// Also works on tasks of another tool.
    pub fn with_foreign(mut self, foreign: Vec<Foreign>) -> Self {
        self.foreign = foreign;
        self
    }

    /// Builds the world.
    pub fn build(self) -> World {
        let mut builder = Builder::new(self);
        builder.plan_sprints();
        builder.plan_epics();
        builder.plan_tasks();
        builder.plan_stuck();
        builder.plan_foreign();
        builder.play();
        builder.world
    }

    /// Midnight of the Monday on which the first sprint starts.
    fn start(&self) -> i64 {
        let day = self.now.div_euclid(DAY) - i64::from(self.months) * 30;
        // Day 0 of the epoch was a Thursday.
        (day - (day + 3).rem_euclid(7)) * DAY
    }

    fn sprints(&self) -> u32 {
        let passed = (self.now - self.start()).div_euclid(2 * WEEK);
        u32::try_from(passed).unwrap_or(0) + 2
    }
}

impl Builder {
    fn new(demo: GithubDemo) -> Self {
        let mut world = World::empty();
        let web = world.add_project("WEB", "Storefront", StatusId::BACKLOG);
        let api = world.add_project("API", "Storefront services", StatusId::BACKLOG);
        let board = world.add_board("Storefront", BoardKind::Scrum, web);
        world.boards[board.0 as usize - 1].also_shows.push(api);
        let rng = StdRng::seed_from_u64(demo.seed ^ 0x6769_7468);
        Self { demo, rng, world, repositories: [web, api], plans: vec![], steps: vec![] }
    }

    fn plan_sprints(&mut self) {
        let start = self.demo.start();
        let planner = self.plan(0, TypeId::TASK);
        for n in 0..self.demo.sprints() {
            let from = start + i64::from(n) * 2 * WEEK;
            let created = (from - WEEK).min(self.demo.now - DAY);
            self.world.add_sprint(BoardId(1), &format!("Iteration {}", n + 1), "", created);
            self.steps.push((from, planner, Step::StartSprint(n + 1)));
            self.steps.push((from + 2 * WEEK - SECOND, planner, Step::CloseSprint(n + 1)));
        }
        let milestone = self.demo.now + 20 * DAY;
        self.world.edit(start).add_milestone(self.repositories[0], "Faster checkout", Some(milestone));
    }

    fn plan_epics(&mut self) {
        for (n, title) in ["Pages that load at once", "One basket everywhere"].into_iter().enumerate() {
            let epic = self.plan(n, TypeId::EPIC);
            self.plans[epic].title = title.to_owned();
            let at = self.demo.start() + (n as i64 + 2) * HOUR;
            self.step(at, epic, Step::Create);
            self.step(at + DAY, epic, Step::Move(StatusId::IN_PROGRESS));
        }
    }

    /// Work for every sprint, planned before it starts.
    fn plan_tasks(&mut self) {
        for n in 0..self.demo.sprints() {
            let start = self.demo.start() + i64::from(n) * 2 * WEEK;
            for _ in 0..self.rng.random_range(9..=12) {
                self.plan_task(n + 1, start);
            }
        }
    }

    fn plan_task(&mut self, sprint: u32, start: i64) {
        let repository = self.rng.random_range(0..2);
        let kind = pick(&[TypeId::STORY, TypeId::STORY, TypeId::TASK, TypeId::BUG, TypeId::SPIKE], &mut self.rng);
        let task = self.plan(repository, kind);
        self.plans[task].parent = self.chance(0.5).then(|| 1 + self.rng.random_range(0..2));
        let created = (start - self.span(DAY, 9 * DAY)).max(self.demo.start() + 5 * HOUR).min(self.demo.now - 2 * HOUR);
        self.step(created, task, Step::Create);
        if self.chance(0.85) {
            let points = pick(&[1.0, 2.0, 3.0, 5.0, 8.0], &mut self.rng);
            self.step(created + 20 * MINUTE, task, Step::Estimate(points));
        }
        if self.chance(0.3) {
            self.step(created + 25 * MINUTE, task, Step::Label);
        }
        let joined = (start - self.span(HOUR, 20 * HOUR)).max(created + 30 * MINUTE).min(self.demo.now - HOUR);
        self.step(joined, task, Step::Join(sprint));
        self.step(joined + MINUTE, task, Step::Move(StatusId::SELECTED));
        self.meddle(task, joined);
        let begin = start.max(joined) + self.span(HOUR, 8 * DAY);
        if self.chance(0.06) {
            self.step(begin, task, Step::Cancel);
            return;
        }
        self.work(task, begin);
    }

    /// What people do beside the plan, to a few.
    fn meddle(&mut self, task: usize, at: i64) {
        let at = at + 7 * MINUTE;
        match task % 23 {
            2 => self.step(at, task, Step::Rename),
            7 => self.step(at, task, Step::Retype),
            11 => self.step(at, task, Step::Transfer),
            19 => self.step(at, task, Step::Delete),
            _ => {}
        }
    }

    /// Two that have been stuck for a while, right now.
    fn plan_stuck(&mut self) {
        for (repository, age) in [(0, 6 * DAY + 2 * HOUR), (1, 27 * HOUR)] {
            let task = self.plan(repository, TypeId::STORY);
            let flagged = self.demo.now - age;
            self.step(flagged - 5 * DAY, task, Step::Create);
            self.step(flagged - 4 * DAY, task, Step::Estimate(5.0));
            self.step(flagged - 3 * DAY, task, Step::Assign);
            self.step(flagged - 2 * DAY, task, Step::Move(StatusId::IN_PROGRESS));
            self.code(task, flagged - DAY, None);
            self.step(flagged, task, Step::Flag);
        }
    }

    /// From the first hand on it to done.
    fn work(&mut self, task: usize, begin: i64) {
        self.step(begin - 5 * MINUTE, task, Step::Assign);
        self.step(begin, task, Step::Move(StatusId::IN_PROGRESS));
        if self.chance(0.12) {
            let flagged = begin + self.span(HOUR, 6 * HOUR);
            self.step(flagged, task, Step::Flag);
            if self.chance(0.8) {
                let cleared = flagged + self.span(5 * HOUR, 3 * DAY);
                self.step(cleared, task, Step::Unflag);
            }
            let other = self.rng.random_range(3..=task);
            self.step(flagged + MINUTE, task, Step::BlockedBy(other));
        }
        if self.chance(0.75) {
            let merged = begin + self.span(DAY, 6 * DAY);
            self.code(task, begin + HOUR, Some(merged));
            if self.chance(0.7) {
                // Others forget to move the card; their activity shows it.
                self.step(merged - 4 * HOUR, task, Step::Move(StatusId::IN_REVIEW));
            }
        } else {
            let review = begin + self.span(6 * HOUR, 4 * DAY);
            self.step(review, task, Step::Move(StatusId::IN_REVIEW));
            let done = review + self.span(HOUR, DAY);
            self.step(done, task, Step::Move(StatusId::DONE));
            if self.chance(0.2) {
                self.step(done + 6 * DAY, task, Step::Archive);
            }
        }
        if self.chance(0.3) {
            self.step(begin + 90 * MINUTE, task, Step::Comment);
        }
        if self.chance(0.15) && self.plans[task].project == self.repositories[0] {
            self.step(begin + 2 * MINUTE, task, Step::Milestone);
        }
    }

    /// A pull request from `from` to its merge: commits, checks, a review.
    fn code(&mut self, task: usize, from: i64, merged: Option<i64>) {
        let end = merged.unwrap_or(from + 3 * DAY);
        let draft = self.chance(0.3);
        self.step(from, task, Step::Open { draft });
        let commits = self.rng.random_range(1..=3);
        let request = from + (end - from) * 6 / 10;
        for n in 0..commits {
            let at = from + (request - from) * i64::from(n) / i64::from(commits) + n.min(1) as i64 * 3 * MINUTE;
            self.step(at, task, Step::Push(n));
            let passes = n + 1 == commits || self.chance(0.6);
            self.step(at + 9 * MINUTE, task, Step::Check(passes));
        }
        if draft {
            self.step(request - MINUTE, task, Step::Ready);
        }
        let Some(merged) = merged else {
            // Not continued: no review was requested.
            return;
        };
        self.step(request, task, Step::Request);
        if self.chance(0.25) {
            self.step(request + (merged - request) / 3, task, Step::Review(Verdict::ChangesRequested));
        }
        self.step(merged - 10 * MINUTE, task, Step::Review(Verdict::Approved));
        self.step(merged, task, Step::Merge);
        if self.chance(0.35) {
            let worked = self.chance(0.9);
            self.step(merged + 30 * MINUTE, task, Step::Deploy(worked));
        }
    }

    /// Tasks of other tools are worked on here: only pull requests, which name them in one way or another.
    fn plan_foreign(&mut self) {
        for foreign in self.demo.foreign.clone() {
            let task = self.plan(0, TypeId::TASK);
            self.plans[task].title = foreign.title;
            self.plans[task].foreign = Some(foreign.key);
            let from = foreign.started + 30 * MINUTE;
            let merged = foreign.done.map(|done| (done - 20 * MINUTE).max(from + 3 * HOUR));
            self.code(task, from, merged);
        }
    }

    fn plan(&mut self, repository: usize, kind: TypeId) -> usize {
        let words: &Vocabulary = [&SHOP, &PLAT][repository];
        let title = words.title(kind, &mut self.rng);
        let by = UserId(self.rng.random_range(0..5));
        let reviewer = UserId((by.0 + 1) % 5);
        let (project, other) = (self.repositories[repository], self.repositories[1 - repository]);
        self.plans.push(Plan {
            project,
            other,
            kind,
            title,
            foreign: None,
            by,
            reviewer,
            parent: None,
            issue: None,
            pull: None,
            head: None,
        });
        self.plans.len() - 1
    }

    fn step(&mut self, at: i64, plan: usize, step: Step) {
        self.steps.push((at.div_euclid(SECOND) * SECOND, plan, step));
    }

    fn play(&mut self) {
        let mut steps = std::mem::take(&mut self.steps);
        steps.sort_by_key(|(at, ..)| *at);
        self.world.unindexed = true;
        let now = self.demo.now;
        for (at, plan, step) in steps.into_iter().take_while(|(at, ..)| *at < now) {
            self.take(at, plan, step);
        }
        self.world.reindex();
        let board = self.world.boards[0].id;
        // Somebody put a pull request on the board as if it were a task.
        if let Some(open) =
            self.world.code_host.pulls.iter().rfind(|pull| pull.closed.is_none()).map(|pull| (pull.created, pull.id))
        {
            self.world.edit(open.0).place_card(board, Content::Pull(open.1), true);
        }
        let idea = self.demo.now.div_euclid(SECOND) * SECOND - 3 * DAY;
        for title in ["Dark mode for the basket?", "Ask support what hurts most"] {
            self.world.edit(idea).by(UserId(1)).note(board, title);
        }
    }

    fn take(&mut self, at: i64, index: usize, step: Step) {
        let blocker = if let Step::BlockedBy(other) = step { self.plans[other].issue } else { None };
        let parent = self.plans[index].parent.and_then(|parent| self.plans[parent].issue);
        let plan = &mut self.plans[index];
        let actor = if matches!(step, Step::Review(_) | Step::Merge) { plan.reviewer } else { plan.by };
        let mut edit = self.world.edit(at).by(actor);
        match step {
            Step::Create => {
                let draft = Draft { parent, ..Draft::new(plan.project, plan.kind, &plan.title) };
                plan.issue = Some(edit.add_issue(draft));
            }
            Step::StartSprint(n) => edit.start_sprint(super::SprintId(n), at + 2 * WEEK),
            Step::CloseSprint(n) => edit.close_sprint(super::SprintId(n), Some(super::SprintId(n + 1))),
            Step::Open { draft } => plan.pull = Some(edit.open_pull(plan.pull_draft(draft))),
            _ => {
                plan.code(&mut edit, step);
                plan.track(&mut edit, step, blocker);
            }
        }
    }

    fn chance(&mut self, of: f64) -> bool {
        self.rng.random_bool(of)
    }

    fn span(&mut self, from: i64, to: i64) -> i64 {
        self.rng.random_range(from..to)
    }
}

impl Plan {
    /// A task of another tool is named in the branch and the title, only in the body, or only in the commits.
    fn pull_draft(&self, draft: bool) -> PullDraft {
        let slug = self.title.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let slug = slug.split('-').filter(|word| !word.is_empty()).take(4).collect::<Vec<_>>().join("-");
        let plain = PullDraft { draft, ..PullDraft::new(self.project, format!("work/{slug}"), &self.title) };
        match (&self.foreign, self.issue) {
            (Some(key), _) => match key.bytes().map(u32::from).sum::<u32>() % 4 {
                0 => PullDraft { body: format!("Part of {key}."), ..plain },
                1 => plain,
                _ => PullDraft {
                    branch: format!("feature/{key}-{slug}"),
                    title: format!("{key}: {}", self.title),
                    ..plain
                },
            },
            (None, Some(issue)) => PullDraft { closes: vec![issue], body: "Closes the issue.".to_owned(), ..plain },
            (None, None) => plain,
        }
    }

    fn message(&self, n: u8) -> String {
        let what = ["Begin", "Go on", "Finish"][usize::from(n) % 3];
        match &self.foreign {
            Some(key) => format!("{key} {what}: {}", self.title),
            None => format!("{what}: {}\n\nAs agreed.", self.title),
        }
    }

    /// What happens to the code.
    fn code(&mut self, edit: &mut Edit<'_>, step: Step) {
        let Some(pull) = self.pull else { return };
        match step {
            Step::Push(n) => self.head = Some(edit.push(pull, self.message(n))),
            Step::Check(passed) => {
                if let Some(head) = self.head {
                    edit.check(head, "build", passed);
                }
            }
            Step::Ready => edit.ready(pull),
            Step::Request => edit.request_review(pull, self.reviewer),
            Step::Review(verdict) => edit.review(pull, verdict),
            Step::Merge => edit.merge(pull),
            Step::Deploy(worked) => {
                if let Some(head) = self.head {
                    let deployment = edit.deploy(head, "production");
                    edit.deployed(deployment, worked);
                }
            }
            _ => {}
        }
    }

    /// What happens to the issue.
    fn track(&self, edit: &mut Edit<'_>, step: Step, blocker: Option<IssueId>) {
        let Some(issue) = self.issue else { return };
        match step {
            Step::Estimate(points) => edit.set_points(issue, Some(points)),
            Step::Join(sprint) => edit.set_sprint(issue, Some(super::SprintId(sprint))),
            Step::Move(status) => edit.transition(issue, status),
            Step::Assign => edit.assign(issue, Some(self.by)),
            Step::Cancel => edit.cancel(issue),
            Step::Flag => edit.flag(issue),
            Step::Unflag => edit.unflag(issue),
            Step::Label => edit.set_labels(issue, &["frontend"]),
            Step::Comment => edit.comment(issue),
            Step::Archive => edit.archive_card(BoardId(1), Content::Issue(issue), true),
            Step::Milestone => edit.set_milestone(issue, Some(super::MilestoneId(1))),
            Step::Rename => edit.rename(issue, format!("{} (first step)", self.title)),
            Step::Retype => edit.set_type(issue, TypeId::TASK),
            Step::Transfer => edit.move_project(issue, self.other),
            Step::Delete => edit.delete(issue),
            Step::BlockedBy(_) => {
                if let Some(blocker) = blocker.filter(|blocker| *blocker != issue) {
                    edit.link(blocker, issue);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000;

    #[test]
    fn the_same_seed_builds_the_same_world_with_something_of_everything() {
        let jira = World::demo(NOW, 6, 1);
        let foreign = Foreign::of(&jira, NOW, 3);
        let build = || GithubDemo::new(NOW, 3, 7).with_foreign(foreign.clone()).build();
        let world = build();
        assert_eq!(format!("{:?}", world.code_host), format!("{:?}", build().code_host));
        let code_host = &world.code_host;
        assert!(
            world.issues().count() > 60 && code_host.pulls.len() > 60,
            "{} {}",
            world.issues().count(),
            code_host.pulls.len()
        );
        assert!(code_host.deployments.iter().any(|one| one.ended.is_some_and(|(_, worked)| worked)));
        assert!(code_host.pulls.iter().any(|pull| pull.merged.is_none()), "work is in flight");
        assert!(!world.truth(NOW).blocked().is_empty());
        let stages = world.truth(NOW).status_counts();
        let moved = |issue: &crate::world::Issue| issue.initial().key != issue.fields.key;
        assert!(world.issues().any(moved) && world.issues().any(|issue| world.truth(NOW).held_up(issue.id)));
        assert!(stages.contains_key(&Stage::InProgress) && stages.contains_key(&Stage::Cancelled), "{stages:?}");
    }

    #[test]
    fn the_world_goes_on_around_its_code() {
        let mut world = GithubDemo::new(NOW, 3, 7).build();
        let before = world.code_host.pulls.iter().filter(|pull| pull.merged.is_some()).count();
        for step in 0..200 {
            world.tick_code(NOW + step * MINUTE);
        }
        let after = world.code_host.pulls.iter().filter(|pull| pull.merged.is_some()).count();
        assert!(after > before, "{before} {after}");
        let merged =
            world.code_host.pulls.iter().rfind(|pull| pull.merged.is_some() && !pull.closes.is_empty()).unwrap();
        assert_eq!(world.truth(NOW + DAY).status(merged.closes[0]), Stage::Done);
    }

    #[test]
    fn every_foreign_task_is_named_and_the_done_ones_are_merged() {
        let jira = World::demo(NOW, 6, 1);
        let foreign = Foreign::of(&jira, NOW, 3);
        assert!(foreign.len() > 20);
        let world = GithubDemo::new(NOW, 6, 7).with_foreign(foreign.clone()).build();
        let truth = world.truth(NOW);
        for task in &foreign {
            let derived = truth.derived(&task.key);
            assert!(task.started + HOUR > NOW || derived.last_commit.is_some(), "{}", task.key);
            let long_ago = task.done.is_some_and(|done| done > task.started + 4 * HOUR);
            if long_ago && derived.merged.is_some() {
                assert_eq!(derived.stage, Some(Stage::Done), "{}", task.key);
            }
        }
        let done = foreign.iter().filter(|task| truth.derived(&task.key).stage == Some(Stage::Done)).count();
        assert!(done > foreign.len() / 2, "{done} of {}", foreign.len());
    }
}
