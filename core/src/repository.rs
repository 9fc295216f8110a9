//! A git repository on this machine: where it begins, what it says of its project, and its guidance for agents.
//!
//! A checkout is written by whoever works in it, agents included, so its guidance is untrusted. What a trusted ref holds was
//! fetched from the forge: by default the default branch of `origin`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::guidance::{MAX_BYTES, PATH, parse};
use crate::model::guidance::{GuidanceItem, of_repository};
use crate::model::{git_paths, project_file, trailers};

/// A repository, by the directory at its top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    root: PathBuf,
}

/// What a repository says to agents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryGuidance {
    /// The guidance of the trusted refs, and what only the checkout says.
    pub items: Vec<GuidanceItem>,
    /// What a person should know: files that cannot be used, refs that are not there.
    pub warnings: Vec<String>,
}

impl Repository {
    /// The repository around a directory: the nearest directory above with `.git`, which is a file in a linked worktree.
    #[must_use]
    pub fn around(directory: &Path) -> Option<Self> {
        let directory = std::path::absolute(directory).ok()?;
        let root = directory.ancestors().find(|above| above.join(".git").exists())?;
        Some(Self { root: root.to_owned() })
    }

    /// The directory at its top.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The project that `.contextcore/project` names.
    #[must_use]
    pub fn project(&self) -> Option<String> {
        project_file::name(&fs::read_to_string(self.root.join(project_file::PLACE)).ok()?).map(str::to_owned)
    }

    /// What its remotes call it, such as `acme/shop`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let urls = self.git(&["config", "--get-regexp", r"^remote\..*\.url$"]).unwrap_or_default();
        // A key has no line break, and its value begins after the first space behind `.url`.
        let url = |line: &str| line.split_once(".url ").map(|(_, url)| url.trim().to_owned());
        urls.lines().filter_map(|line| trailers::repository_of_remote(&url(line)?)).collect()
    }

    /// A path as the repository has it, with `/` between its parts; one of a directory ends in `/`. `None` for one outside.
    #[must_use]
    pub fn relative(&self, path: &Path) -> Option<String> {
        let whole = normal(&std::path::absolute(path).ok()?);
        let inside = whole.strip_prefix(normal(&self.root)).ok()?;
        let parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let end = if whole.is_dir() { "/" } else { "" };
        Some(format!("{}{end}", parts.join("/")))
    }

    /// What git prints for these arguments; `None` when it fails.
    #[must_use]
    pub fn git<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Option<String> {
        let mut git = Command::new("git");
        git.arg("-C").arg(&self.root).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        let output = git.output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    }

    /// Its guidance for a project. What a trusted ref holds binds. What only the checkout says is untrusted.
    #[must_use]
    pub fn guidance(&self, project: &str, trusted_refs: &[String]) -> RepositoryGuidance {
        let mut found = RepositoryGuidance::default();
        for (name, full) in self.trusted(trusted_refs, &mut found.warnings) {
            let Some(text) = self.git(&["show", &format!("{full}:{PATH}")]) else { continue };
            let items = self.read(&format!("{PATH} at {name}"), &text, &mut found.warnings, |guidance| {
                of_repository(project, Some(&name), guidance)
            });
            found.add_new(items);
        }
        if let Some(text) = self.checkout(&mut found.warnings) {
            let items = self.read(PATH, &text, &mut found.warnings, |guidance| of_repository(project, None, guidance));
            found.add_new(items);
        }
        found
    }

    fn read(
        &self,
        origin: &str,
        text: &str,
        warnings: &mut Vec<String>,
        items: impl FnOnce(&crate::model::config::project::Guidance) -> Vec<GuidanceItem>,
    ) -> Vec<GuidanceItem> {
        match parse(origin, text) {
            Ok(guidance) => items(&guidance),
            Err(errors) => {
                warnings.extend(errors.lines());
                Vec::new()
            }
        }
    }

    /// The text of the checkout's own file. One that leads out of the repository is not followed.
    fn checkout(&self, warnings: &mut Vec<String>) -> Option<String> {
        let path = self.root.join(PATH);
        let real = fs::canonicalize(&path).ok()?;
        let is_inside = fs::canonicalize(&self.root).is_ok_and(|root| real.starts_with(root));
        let is_small = fs::metadata(&real).is_ok_and(|data| data.is_file() && data.len() <= MAX_BYTES as u64);
        if !is_inside || !is_small {
            warnings.push(format!("{PATH}: is no file of the repository of at most {} KiB", MAX_BYTES >> 10));
            return None;
        }
        fs::read_to_string(real).map_err(|error| warnings.push(format!("{PATH}: cannot be read: {error}"))).ok()
    }

    /// The trusted refs that are there: what people call them, and the whole names.
    fn trusted(&self, refs: &[String], warnings: &mut Vec<String>) -> Vec<(String, String)> {
        if refs.is_empty() {
            let default = self.git(&["symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"]);
            let default = default.map(|name| name.trim().to_owned());
            let usual = ["refs/remotes/origin/main", "refs/remotes/origin/master"].map(str::to_owned);
            let known = default.into_iter().chain(usual).find(|name| self.has(name));
            return known.map(|full| (short(&full), full)).into_iter().collect();
        }
        let mut found = Vec::new();
        for name in refs {
            match candidates(name).into_iter().find(|full| self.has(full)) {
                Some(full) => found.push((short(&full), full)),
                None => warnings.push(format!("guidance.trusted_refs: this repository has no ref {name}")),
            }
        }
        found
    }

    fn has(&self, full: &str) -> bool {
        self.git(&["rev-parse", "--verify", "--quiet", &format!("{full}^{{commit}}")]).is_some()
    }
}

impl RepositoryGuidance {
    /// Adds what an earlier one does not say word for word.
    fn add_new(&mut self, items: Vec<GuidanceItem>) {
        let known = self.items.len();
        for item in items {
            if !self.items[..known].iter().any(|known| known.says_as(&item)) {
                self.items.push(item);
            }
        }
    }
}

/// What a name of a branch may mean. A branch of this machine is none of it, since whoever works here moves it.
fn candidates(name: &str) -> Vec<String> {
    if name.starts_with("refs/") {
        return vec![name.to_owned()];
    }
    vec![format!("refs/remotes/origin/{name}"), format!("refs/remotes/{name}")]
}

fn short(full: &str) -> String {
    let name = full.strip_prefix("refs/remotes/").or_else(|| full.strip_prefix("refs/heads/"));
    name.unwrap_or(full).to_owned()
}

/// A path without `.` and `..`, without a look at the disk: what is named may not exist yet.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// The path that is meant: one in quotes, copied from what git prints, is the one inside, unless there is a file of such a name.
#[must_use]
pub fn as_meant(path: &str) -> String {
    let inside = git_paths::unquoted(path).filter(|_| !Path::new(path).exists());
    inside.unwrap_or_else(|| path.to_owned())
}

/// The nearest file that names a project, from a directory upwards, and the name in it: empty for a file without one.
///
/// # Errors
/// The file that cannot be read, and why.
pub fn named_project(directory: &Path) -> Result<Option<(String, PathBuf)>, (PathBuf, io::Error)> {
    for above in directory.ancestors() {
        let path = above.join(project_file::PLACE);
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(Some((project_file::name(&text).unwrap_or_default().to_owned(), path))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err((path, error)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::guidance::{in_force, is_blocked};
    use crate::model::time::Millis;

    fn git(at: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(at).args(["-c", "user.name=ada", "-c", "user.email=ada@example.com"]).args(arguments);
        let output = git.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn write(at: &Path, text: &str) {
        fs::create_dir_all(at.join(".contextcore")).unwrap();
        fs::write(at.join(PATH), text).unwrap();
    }

    fn one(id: &str) -> String {
        format!("constraints: [{{id: {id}, rule: Keep {id}, severity: blocking}}]\n")
    }

    /// A clone whose `origin` has guidance on `main`, in a directory with a space in its name.
    fn clone() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (forge, here) = (dir.path().join("forge"), dir.path().join("my clone"));
        git(dir.path(), &["init", "-q", "-b", "main", "forge"]);
        write(&forge, &one("api"));
        git(&forge, &["add", "."]);
        git(&forge, &["commit", "-qm", "guidance"]);
        git(dir.path(), &["clone", "-q", "forge", "my clone"]);
        (dir, here)
    }

    fn said(here: &Path, refs: &[&str]) -> Vec<String> {
        let refs: Vec<String> = refs.iter().map(|name| (*name).to_owned()).collect();
        let found = Repository::around(here).unwrap().guidance("shop", &refs);
        let items = in_force(found.items, Millis(0));
        let items = items.iter().map(|item| format!("{} {} {}", item.id, item.severity, item.source));
        items.chain(found.warnings).collect()
    }

    #[test]
    fn guidance_binds_as_the_default_branch_of_origin_has_it() {
        let (_dir, here) = clone();
        assert_eq!(said(&here, &[]), ["file:api blocking .contextcore/guidance.yaml at origin/main"]);
        git(&here, &["checkout", "-q", "-b", "wild"]);
        write(&here, &one("mine"));
        git(&here, &["commit", "-qam", "mine"]);
        let both = [
            "file:api blocking .contextcore/guidance.yaml at origin/main",
            "checkout:mine warning .contextcore/guidance.yaml of this checkout",
        ];
        assert_eq!(said(&here.join(".contextcore"), &[]), both, "of a branch, committed or not");
        git(&here, &["branch", "-qf", "main", "wild"]);
        assert_eq!(said(&here, &["main"]), both, "a branch of this machine is not trusted by its name");
        git(&here, &["push", "-q", "origin", "wild:release"]);
        assert_eq!(said(&here, &["release"]), ["file:mine blocking .contextcore/guidance.yaml at origin/release"]);
        assert_eq!(said(&here, &["gone"]).last().unwrap(), "guidance.trusted_refs: this repository has no ref gone");
    }

    #[test]
    fn without_a_remote_nothing_binds_and_a_broken_file_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "-b", "main"]);
        write(dir.path(), &one("api"));
        let repository = Repository::around(dir.path()).unwrap();
        assert!(!is_blocked(&repository.guidance("shop", &[]).items));
        write(dir.path(), "constraint: []");
        assert!(said(dir.path(), &[])[0].contains("did you mean `constraints`?"));
        fs::remove_file(dir.path().join(PATH)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join(PATH)).unwrap();
        assert!(said(dir.path(), &[])[0].contains("is no file of the repository"));
    }

    #[test]
    fn paths_and_the_project_are_those_of_the_repository() {
        let (_dir, here) = clone();
        let repository = Repository::around(&here.join(".contextcore")).unwrap();
        assert_eq!(repository.relative(&here.join("src/../src/new file.rs")).as_deref(), Some("src/new file.rs"));
        assert_eq!(repository.relative(&here.join(".contextcore")).as_deref(), Some(".contextcore/"));
        assert_eq!(repository.relative(Path::new("/")), None);
        assert_eq!((&*as_meant(r#""\303\251""#), &*as_meant("\"a")), ("é", "\"a"));
        fs::write(here.join(".contextcore/project"), "# ours\n\n commerce-platform \n").unwrap();
        assert_eq!(repository.project().as_deref(), Some("commerce-platform"));
        assert_eq!(Repository::around(Path::new("/")), None);
    }
}
