//! What people did around the work, as the truth knows it: the commits, reviews, checks and merges that name a task, and the
//! status that follows.
//!
//! An act belongs to a task when a text it carries names the task's key (of whatever tool), or when its pull request closes the
//! issue. Nothing here is asked of the product.

use super::{CodeHost, CommitId, IssueId, Pull, Stage, Truth, UserId, Verdict};

/// Something somebody did.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    pub at: i64,
    pub by: UserId,
    pub activity: Activity,
    /// Branch, title and body of the pull request it belongs to; the message of the commit.
    pub texts: Vec<String>,
    /// Issues of the same world that its pull request closes.
    pub closes: Vec<IssueId>,
}

/// What it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Activity {
    /// The commit's hash.
    Commit(String),
    Opened,
    ReviewRequested(UserId),
    Reviewed(Verdict),
    /// A run of CI on a commit: its hash, whether that was the newest commit of its pull request then, whether it passed.
    Checked {
        oid: String,
        head: bool,
        passed: bool,
    },
    Merged,
    ClosedUnmerged,
    /// Environment, and whether it worked.
    Deployed(String, bool),
}

/// The status of a task as activity alone shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Derived {
    /// None while nobody did anything.
    pub stage: Option<Stage>,
    /// Since when.
    pub since: Option<i64>,
    pub last_commit: Option<String>,
    pub reviewer: Option<UserId>,
    /// When it was last merged.
    pub merged: Option<i64>,
    /// The newest act.
    pub last_act: Option<i64>,
}

impl Act {
    /// Whether a text names the key: in these letters, and not as part of a longer word or number.
    pub fn names(&self, key: &str) -> bool {
        self.texts.iter().any(|text| names(text, key))
    }
}

fn names(text: &str, key: &str) -> bool {
    let joins = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    text.match_indices(key).any(|(at, _)| {
        let digit = text[at + key.len()..].chars().next().is_some_and(|letter| letter.is_ascii_digit());
        !joins(text[..at].chars().next_back()) && !digit
    })
}

impl Truth<'_> {
    /// Everything done up to this moment, oldest first.
    pub fn acts(self) -> Vec<Act> {
        let code_host = &self.world().code_host;
        let mut acts = vec![];
        for pull in &code_host.pulls {
            pull_acts(pull, &mut acts);
        }
        for commit in &code_host.commits {
            commit_acts(code_host, commit.id, &mut acts);
        }
        for deployment in &code_host.deployments {
            if let Some((at, worked)) = deployment.ended {
                let (texts, closes) = context(code_host, deployment.commit);
                let activity = Activity::Deployed(deployment.environment.clone(), worked);
                acts.push(Act { at, by: deployment.by, activity, texts, closes });
            }
        }
        acts.retain(|act| act.at <= self.at());
        acts.sort_by_key(|act| act.at);
        acts
    }

    /// What was done about a key of whatever tool.
    pub fn acts_naming(self, key: &str) -> Vec<Act> {
        let mut acts = self.acts();
        acts.retain(|act| act.names(key));
        acts
    }

    /// What was done about an issue of this world: by its own key or by a pull request that closes it.
    pub fn acts_on(self, id: IssueId) -> Vec<Act> {
        let key = self.world().key_of(id);
        let mut acts = self.acts();
        acts.retain(|act| act.closes.contains(&id) || act.names(&key));
        acts
    }

    /// The status of a task of any tool, by activity alone.
    pub fn derived(self, key: &str) -> Derived {
        derive(&self.acts_naming(key))
    }

    /// The status of an issue of this world, by activity alone.
    pub fn derived_of(self, id: IssueId) -> Derived {
        derive(&self.acts_on(id))
    }
}

/// First commit: in progress. Review asked for: in review. Merged: done. A failed check of the head commit blocks until one of the
/// head passes.
pub fn derive(acts: &[Act]) -> Derived {
    let mut derived = Derived::default();
    let mut beneath = None;
    let mut broken = false;
    for act in acts {
        match &act.activity {
            Activity::Commit(oid) => {
                beneath = beneath.or(Some(Stage::InProgress));
                derived.last_commit = Some(oid.clone());
            }
            Activity::ReviewRequested(of) => {
                beneath = Some(Stage::InReview);
                derived.reviewer = Some(*of);
            }
            Activity::Merged => {
                beneath = Some(Stage::Done);
                derived.merged = Some(act.at);
            }
            Activity::Checked { head: true, passed, .. } => broken = !passed,
            _ => {}
        }
        let blocked = broken && beneath.is_none_or(|stage| !stage.is_finished());
        let stage = if blocked { Some(Stage::Blocked) } else { beneath };
        if stage != derived.stage {
            (derived.stage, derived.since) = (stage, Some(act.at));
        }
        derived.last_act = Some(act.at);
    }
    derived
}

fn texts_of(pull: &Pull) -> Vec<String> {
    vec![pull.branch.clone(), pull.title.clone(), pull.body.clone()]
}

/// The texts around a commit, and what its pull request closes.
fn context(code_host: &CodeHost, id: CommitId) -> (Vec<String>, Vec<IssueId>) {
    let pull = code_host.pulls.iter().find(|pull| pull.commits.contains(&id));
    let mut texts = pull.map_or_else(Vec::new, texts_of);
    texts.push(code_host.commit(id).message.clone());
    (texts, pull.map_or_else(Vec::new, |pull| pull.closes.clone()))
}

fn pull_acts(pull: &Pull, acts: &mut Vec<Act>) {
    let mut add =
        |at, by, activity| acts.push(Act { at, by, activity, texts: texts_of(pull), closes: pull.closes.clone() });
    add(pull.created, pull.author, Activity::Opened);
    for (at, by, of) in &pull.requests {
        add(*at, *by, Activity::ReviewRequested(*of));
    }
    for review in &pull.reviews {
        add(review.at, review.by, Activity::Reviewed(review.verdict));
    }
    match (pull.merged, pull.closed) {
        (Some((at, by)), _) => add(at, by, Activity::Merged),
        (None, Some(at)) => add(at, pull.author, Activity::ClosedUnmerged),
        (None, None) => {}
    }
}

fn commit_acts(code_host: &CodeHost, id: CommitId, acts: &mut Vec<Act>) {
    let commit = code_host.commit(id);
    let (texts, closes) = context(code_host, id);
    let mut add =
        |at, activity| acts.push(Act { at, by: commit.by, activity, texts: texts.clone(), closes: closes.clone() });
    add(commit.at, Activity::Commit(commit.oid.clone()));
    let siblings = code_host.pulls.iter().find(|pull| pull.commits.contains(&id)).map(|pull| &pull.commits);
    for check in &commit.checks {
        let newer = |other: &&CommitId| code_host.commit(**other).at <= check.at && **other > id;
        let head = siblings.is_none_or(|siblings| !siblings.iter().any(|other| newer(&other)));
        add(check.at, Activity::Checked { oid: commit.oid.clone(), head, passed: check.passed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Draft, HOUR, PullDraft, StatusId, TypeId, World};

    const NOW: i64 = 1_795_000_000_000;

    #[test]
    fn a_key_is_a_word_of_its_own() {
        for text in ["PROJ-12: pay", "fix/PROJ-12-pay", "(PROJ-12)", "see PROJ-12"] {
            assert!(names(text, "PROJ-12"), "{text}");
        }
        for text in ["PROJ-123", "XPROJ-12", "proj-12"] {
            assert!(!names(text, "PROJ-12"), "{text}");
        }
    }

    #[test]
    fn activity_moves_a_task_of_another_tool() {
        let mut world = World::empty();
        let repository = world.add_project("WEB", "Web", StatusId::TO_DO);
        let stage = |world: &World| world.truth(NOW).derived("PROJ-12").stage;
        assert_eq!(stage(&world), None);
        let mut edit = world.edit(NOW - 9 * HOUR);
        let pull = edit.open_pull(PullDraft::new(repository, "fix/PROJ-12-pay", "Pay"));
        let first = edit.push(pull, "pay");
        assert_eq!(stage(&world), Some(Stage::InProgress));
        world.edit(NOW - 8 * HOUR).check(first, "build", false);
        assert_eq!(stage(&world), Some(Stage::Blocked));
        let second = world.edit(NOW - 7 * HOUR).push(pull, "pay better");
        world.edit(NOW - 6 * HOUR).check(first, "build", true);
        assert_eq!(stage(&world), Some(Stage::Blocked), "an older commit recovers nothing");
        world.edit(NOW - 5 * HOUR).check(second, "build", true);
        assert_eq!(stage(&world), Some(Stage::InProgress));
        world.edit(NOW - 4 * HOUR).request_review(pull, UserId(3));
        assert_eq!(stage(&world), Some(Stage::InReview));
        world.edit(NOW - 3 * HOUR).merge(pull);
        let derived = world.truth(NOW).derived("PROJ-12");
        assert_eq!(
            (derived.stage, derived.since, derived.reviewer),
            (Some(Stage::Done), Some(NOW - 3 * HOUR), Some(UserId(3)))
        );
        assert_eq!(derived.last_commit.as_ref(), Some(&world.code_host.commit(second).oid));
        assert_eq!(world.truth(NOW - 4 * HOUR).derived("PROJ-12").stage, Some(Stage::InReview));
    }

    #[test]
    fn a_pull_request_belongs_to_the_issue_it_closes() {
        let mut world = World::empty();
        let repository = world.add_project("WEB", "Web", StatusId::TO_DO);
        let id = world.edit(NOW - 9 * HOUR).add_issue(Draft::new(repository, TypeId::STORY, "Pay"));
        let draft = PullDraft { closes: vec![id], ..PullDraft::new(repository, "pay", "Pay") };
        let pull = world.edit(NOW - 8 * HOUR).open_pull(draft);
        world.edit(NOW - 7 * HOUR).merge(pull);
        assert_eq!(world.truth(NOW).derived_of(id).stage, Some(Stage::Done));
        assert_eq!(world.truth(NOW).status(id), Stage::Done, "merging closed it");
    }
}
