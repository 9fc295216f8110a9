//! What the sites of all vendors have: a world with one project, a clock, and a token in a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contextcore_fakes::Clock;
use contextcore_fakes::world::{Draft, Edit, IssueId, ProjectId, StatusId, TypeId, World};

use super::NOW;

pub(super) struct Site {
    pub(super) project: ProjectId,
    clock: Arc<AtomicI64>,
    issues: Vec<IssueId>,
    folder: tempfile::TempDir,
}

impl Site {
    /// A site that takes this token, and the world behind it.
    pub(super) fn new(token: &str) -> (Self, World) {
        let mut world = World::empty();
        let project = world.add_project("ENG", "Engineering", StatusId::TO_DO);
        let folder = tempfile::tempdir().unwrap();
        let site = Self { project, clock: Arc::new(AtomicI64::new(NOW)), issues: Vec::new(), folder };
        std::fs::write(site.token(), token).unwrap();
        (site, world)
    }

    /// The file with the token.
    pub(super) fn token(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// The clock, as the fake reads it.
    pub(super) fn clock(&self) -> Clock {
        let clock = self.clock.clone();
        Clock::of(move || clock.load(Ordering::Relaxed))
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn set_clock(&self, now: i64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    /// Creates an issue.
    pub(super) fn add(&mut self, edit: &mut Edit<'_>, kind: TypeId, title: &str) -> IssueId {
        let id = edit.add_issue(Draft::new(self.project, kind, title));
        self.issues.push(id);
        id
    }

    /// All issues that were created.
    pub(super) fn issues(&self) -> &[IssueId] {
        &self.issues
    }

    /// The issue that has this id in the tool.
    pub(super) fn issue(&self, id: &str, id_of: impl Fn(IssueId) -> String) -> IssueId {
        *self.issues.iter().find(|issue| id_of(**issue) == id).unwrap()
    }
}
