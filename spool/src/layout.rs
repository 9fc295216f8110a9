//! The state directory: where it is, and what is in it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::destination::{Destination, Headers, NOWHERE, RECEIVED};
use crate::lane::{self, LaneDir};

/// The directory that holds all lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The first directory that can be written: `CONTEXTCORE_STATE_DIR` (and then no other), `$XDG_STATE_HOME/contextcore`,
    /// `~/.local/state/contextcore`, `$TMPDIR/contextcore-<uid>`. `variable` reads a variable.
    ///
    /// # Errors
    /// As the last one that was tried.
    pub fn find(variable: impl Fn(&str) -> Option<String>) -> io::Result<Self> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = given("CONTEXTCORE_STATE_DIR") {
            return Self::open(path);
        }
        let user = rustix::process::geteuid().as_raw();
        let temporary = given("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")).join(format!("contextcore-{user}"));
        // A relative one is not used, as the specification of these directories says.
        let whole = |name: &str| given(name).filter(|path| path.is_absolute());
        let places = [
            whole("XDG_STATE_HOME").map(|home| home.join("contextcore")),
            whole("HOME").map(|home| home.join(".local/state/contextcore")),
            Some(temporary),
        ];
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for place in places.into_iter().flatten() {
            match Self::open(place) {
                Ok(found) => return Ok(found),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// This directory, which is made if it is not there. A relative path begins where this process works: helpers work elsewhere.
    ///
    /// # Errors
    /// When it cannot be made or written, is a symbolic link, or belongs to somebody else.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = std::path::absolute(path.into())?;
        make_durable(&path)?;
        let meta = fs::symlink_metadata(&path)?;
        let refuse =
            |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", path.display())));
        if meta.file_type().is_symlink() {
            return refuse("is a symbolic link");
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return refuse("belongs to another user");
        }
        make_private(&path.join("lanes"))?;
        rustix::fs::access(path.join("lanes"), rustix::fs::Access::WRITE_OK)?;
        Ok(Self(path))
    }

    /// This directory, as it is.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether there is such a directory.
    pub fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// The lane of this name.
    pub fn lane(&self, name: &str) -> LaneDir {
        LaneDir::at(self.0.join("lanes").join(name))
    }

    /// All lanes, by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn lanes(&self) -> io::Result<Vec<LaneDir>> {
        let listed = match fs::read_dir(self.0.join("lanes")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut lanes = Vec::new();
        for entry in listed {
            let entry = entry?;
            if entry.file_type()?.is_dir() && is_lane(&entry.file_name().to_string_lossy()) {
                lanes.push(LaneDir::at(entry.path()));
            }
        }
        lanes.sort_by(|one, other| one.path().cmp(other.path()));
        Ok(lanes)
    }

    /// The lane of a destination, or the one that goes nowhere yet; made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn lane_to(&self, to: Option<(&Destination, &Headers)>) -> io::Result<LaneDir> {
        let name = to.map_or_else(|| NOWHERE.to_owned(), |(to, headers)| to.lane(headers));
        let lane = self.lane(&name);
        if let Some((to, _)) = to {
            make_durable(lane.path())?;
            lane::describe(&lane, to)?;
        }
        make_private(&lane.spool())?;
        Ok(lane)
    }

    /// The lane of what a service receives; made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn received(&self) -> io::Result<LaneDir> {
        let lane = self.lane(RECEIVED);
        make_private(&lane.spool())?;
        Ok(lane)
    }

    /// The projects that have reported something here. Those whose names are too long for a file are left out.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn projects(&self) -> io::Result<BTreeSet<String>> {
        let mut projects = BTreeSet::new();
        for lane in self.lanes()? {
            let listed = match fs::read_dir(lane.spool()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                listed => listed?,
            };
            for entry in listed {
                projects.extend(project_of(&entry?.file_name().to_string_lossy()));
            }
        }
        Ok(projects)
    }

    /// The only lane with a destination in which a project has reported something, if there is exactly one.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn only_lane_of(&self, project: &str) -> io::Result<Option<LaneDir>> {
        let directory = project_directory(project);
        let mut lanes = self.lanes()?;
        lanes.retain(|lane| lane.has_destination() && lane.spool().join(&directory).is_dir());
        Ok(if lanes.len() == 1 { lanes.pop() } else { None })
    }
}

fn is_lane(name: &str) -> bool {
    [NOWHERE, RECEIVED].contains(&name)
        || (name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// Makes a directory that only its owner can use, with those above it.
///
/// # Errors
/// When it cannot be made.
pub fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The same, and what was made survives a power failure.
fn make_durable(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let parents: Vec<&Path> = missing.filter_map(Path::parent).collect();
    make_private(path)?;
    let place =
        |parent: &Path| if parent.as_os_str().is_empty() { Path::new(".").to_owned() } else { parent.to_owned() };
    parents.into_iter().try_for_each(|parent| fs::File::open(place(parent))?.sync_all())
}

/// Names longer than this become a hash: no file system takes more than 255 bytes.
const LONGEST: usize = 200;

/// The name of a project's directory.
pub fn project_directory(project: &str) -> String {
    let encoded = contextcore_model::operation::percent_encode(project);
    if encoded.len() <= LONGEST { encoded } else { format!("%{}", &crate::digest(["project", project])[..32]) }
}

/// The project of a directory; `None` where the name is a hash.
fn project_of(directory: &str) -> Option<String> {
    contextcore_model::percent::percent_decode(directory).filter(|name| project_directory(name) == directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_can_be_written_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home").display().to_string();
        let found = StateDir::find(|name| (name == "HOME").then(|| home.clone())).unwrap();
        assert_eq!(found.path(), dir.path().join("home/.local/state/contextcore"));
        let mode = fs::metadata(found.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        let given = dir.path().join("given").display().to_string();
        let both = |name: &str| match name {
            "HOME" => Some(home.clone()),
            "CONTEXTCORE_STATE_DIR" => Some(given.clone()),
            _ => None,
        };
        assert_eq!(StateDir::find(both).unwrap().path(), dir.path().join("given"));
    }

    #[test]
    fn a_helper_that_works_elsewhere_finds_the_same_directory() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let relative = PathBuf::from(dir.path().file_name().unwrap()).join("state");
        let given = |name: &str| (name == "CONTEXTCORE_STATE_DIR").then(|| relative.display().to_string());
        assert_eq!(StateDir::find(given).unwrap().path(), std::path::absolute(&relative).unwrap());
        let home = dir.path().canonicalize().unwrap().display().to_string();
        let both = |name: &str| match name {
            "XDG_STATE_HOME" => Some("relative".to_owned()),
            "HOME" => Some(home.clone()),
            _ => None,
        };
        assert_eq!(StateDir::find(both).unwrap().path(), Path::new(&home).join(".local/state/contextcore"));
        assert!(!Path::new("relative").exists());
    }

    #[test]
    fn links_are_not_followed_and_a_given_place_has_no_substitute() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
        assert!(StateDir::open(dir.path().join("link")).is_err());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let given = |name: &str| (name == "CONTEXTCORE_STATE_DIR").then(|| file.display().to_string());
        assert!(StateDir::find(given).is_err());
    }

    #[test]
    fn a_project_goes_to_its_only_lane() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let headers = Headers::default();
        let to = |endpoint: &str| Destination::new(endpoint, None, None, &headers).unwrap();
        assert!(state.only_lane_of("a b").unwrap().is_none());
        let first = state.lane_to(Some((&to("http://a:1"), &headers))).unwrap();
        fs::create_dir(first.spool().join("a%20b")).unwrap();
        state.lane_to(None).unwrap();
        assert_eq!(state.only_lane_of("a b").unwrap().unwrap().name(), first.name());
        assert_eq!(first.destination().unwrap().unwrap(), to("http://a:1"));
        let second = state.lane_to(Some((&to("http://b:1"), &headers))).unwrap();
        fs::create_dir(second.spool().join("a%20b")).unwrap();
        assert!(state.only_lane_of("a b").unwrap().is_none(), "two are no answer");
        assert_eq!(state.lanes().unwrap().len(), 3);
        fs::create_dir(second.spool().join(project_directory("../ü"))).unwrap();
        fs::create_dir(second.spool().join(project_directory(&"ü".repeat(100)))).unwrap();
        let projects: Vec<String> = state.projects().unwrap().into_iter().collect();
        assert_eq!(projects, ["../ü", "a b"]);
        assert_eq!(project_directory(&"ü".repeat(100)).len(), 33);
    }
}
