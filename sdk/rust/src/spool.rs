//! The spool of this process for one project and one destination: all clients share it, so that their calls are in order.

pub(crate) mod helper;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use contextcore_model::Millis;
use contextcore_model::operation::Operation;
use contextcore_spool::{Appended, LaneDir, StateDir, Target, Writer, resource};

use self::helper::{Helper, Notice};
use crate::environment;

/// By the directory of the lane, and the project.
type Spools = HashMap<(PathBuf, String), Weak<Spool>>;

/// The spools of this process, while somebody has them.
static SPOOLS: LazyLock<Mutex<Spools>> = LazyLock::new(Mutex::default);

/// The lines of one project for one destination.
#[derive(Debug)]
pub(crate) struct Spool {
    pub(crate) state: StateDir,
    pub(crate) lane: LaneDir,
    pub(crate) target: Option<Target>,
    project: String,
    held: Mutex<Held>,
}

/// What a process holds of a spool.
#[derive(Debug)]
struct Held {
    writer: Writer,
    /// The process that made the writer: a child after a fork needs one of its own.
    process: u32,
    /// The last number that is in the spool.
    written: u64,
    helper: Helper,
    /// Some client wants its lines to be sent.
    sends: bool,
}

/// A lock, whoever panicked with it.
fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spool {
    /// The spool of this process, which is made if nobody has it.
    ///
    /// # Errors
    /// When the lane cannot be made.
    pub(crate) fn open(
        state: &StateDir,
        target: Option<Target>,
        project: &str,
        binary: Option<PathBuf>,
        sends: bool,
    ) -> io::Result<Arc<Self>> {
        let lane = match &target {
            Some(target) => state.lane_to(Some((&target.to, &target.headers)))?,
            None => match state.only_lane_of(project)? {
                Some(lane) => lane,
                None => state.lane_to(None)?,
            },
        };
        let key = (lane.path().to_owned(), project.to_owned());
        let mut spools = lock_of(&SPOOLS);
        spools.retain(|_, known| known.strong_count() > 0);
        let spool = spools.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            Arc::new(Self {
                state: state.clone(),
                project: project.to_owned(),
                held: Mutex::new(Held {
                    writer: writer(&lane, project),
                    process: std::process::id(),
                    written: 0,
                    helper: Helper::default(),
                    sends: false,
                }),
                lane,
                target,
            })
        });
        let mut held = lock_of(&spool.held);
        held.sends |= sends;
        held.helper.binary = held.helper.binary.take().or(binary);
        drop(held);
        spools.insert(key, Arc::downgrade(&spool));
        Ok(spool)
    }

    /// The spool of another project, which is sent to the same destination in the same way.
    ///
    /// # Errors
    /// When the lane cannot be made.
    #[cfg(feature = "tracing-layer")]
    pub(crate) fn of_project(&self, project: &str) -> io::Result<Arc<Self>> {
        let (binary, sends) = self.with(|held| (held.helper.binary.clone(), held.sends));
        Self::open(&self.state, self.target.clone(), project, binary, sends)
    }

    /// Writes an operation, and sees to it that somebody sends it. False when it is not in the spool.
    ///
    /// # Errors
    /// When the spool cannot be made.
    pub(crate) fn append(
        &self,
        at: Option<Millis>,
        operation: Operation,
        actor: Option<String>,
        traceparent: Option<String>,
    ) -> io::Result<bool> {
        self.with(|held| {
            let now = environment::now();
            let Appended::Written(seq) = held.writer.append_from(now, at, operation, actor, traceparent)? else {
                return Ok(false);
            };
            held.written = seq;
            if held.sends {
                held.helper.look(self, false);
            }
            Ok(true)
        })
    }

    /// Works with what this process holds, and then logs what there is to say: a layer of `tracing` may well report it by a call of
    /// this crate, which would wait for the lock for ever.
    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        let mut held = self.held();
        let result = work(&mut held);
        let notices = std::mem::take(&mut held.helper.notices);
        drop(held);
        notices.into_iter().for_each(Notice::log);
        result
    }

    /// What this process holds; in a child after a fork, something of its own.
    fn held(&self) -> MutexGuard<'_, Held> {
        let mut held = lock_of(&self.held);
        if held.process != std::process::id() {
            held.writer = writer(&self.lane, &self.project);
            let helper = Helper::new(held.helper.binary.take());
            (held.process, held.written, held.helper) = (std::process::id(), 0, helper);
        }
        held
    }

    /// The last number of this process's writer, if it wrote something.
    pub(crate) fn positions(&self) -> BTreeMap<String, u64> {
        let held = self.held();
        let written = (held.written > 0).then(|| (held.writer.id().to_owned(), held.written));
        written.into_iter().collect()
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) {
        let synced = self.with(|held| held.writer.sync());
        if let Err(error) = synced {
            tracing::warn!(target: "contextcore", lane = %self.lane.path().display(), %error, "could not sync the spool");
        }
    }

    /// Gives the helper the headers that its backend needs.
    pub(crate) fn deliver(&self) {
        self.with(|held| held.helper.deliver(self));
    }

    /// Sees to it that somebody sends what was written; false when nobody can.
    pub(crate) fn look(&self, now: bool) -> bool {
        self.with(|held| held.sends && held.helper.look(self, now))
    }
}

fn writer(lane: &LaneDir, project: &str) -> Writer {
    Writer::new(lane, project, "rust", &helper::host()).with_resource(resource(environment::variable))
}

impl Drop for Spool {
    /// What was written is durable, and somebody sends it, before the file is given up. Nothing is waited for.
    fn drop(&mut self) {
        if !self.positions().is_empty() {
            self.sync();
            self.look(true);
        }
    }
}
