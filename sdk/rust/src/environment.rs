//! What the SDK takes from outside: the clock and the variables of the environment.

use std::path::Path;
use std::time::SystemTime;

use contextcore_model::{Millis, project_file};
use contextcore_spool::{Headers, Target, Transport};

use crate::value::millis;

/// Whether and how operations are written and sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Written, and sent by a helper.
    #[default]
    Online,
    /// Written; nothing is started.
    Offline,
    /// Nothing at all.
    Disabled,
}

/// A variable; an empty one counts as absent.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// The project that the nearest file names, from the working directory upwards. A file that cannot be read names none.
pub(crate) fn named_project() -> Option<String> {
    named_above(&std::env::current_dir().ok()?)
}

fn named_above(directory: &Path) -> Option<String> {
    let nearest = directory.ancestors().map(|above| above.join(project_file::PLACE)).find(|path| path.exists())?;
    project_file::name(&std::fs::read_to_string(nearest).ok()?).map(str::to_owned)
}

/// The current time.
#[expect(clippy::disallowed_methods, reason = "programs that use the SDK have no clock of ours")]
pub(crate) fn now() -> Millis {
    millis(SystemTime::now())
}

/// The mode that was asked for, else that of the environment.
pub(crate) fn mode(given: Option<Mode>) -> Mode {
    let is = |name: &str, value: &str| variable(name).is_some_and(|found| found.trim().eq_ignore_ascii_case(value));
    match given {
        Some(mode) => mode,
        None if is("CONTEXTCORE_MODE", "offline") => Mode::Offline,
        None if is("CONTEXTCORE_MODE", "disabled") || is("OTEL_SDK_DISABLED", "true") => Mode::Disabled,
        None => Mode::Online,
    }
}

/// The destination that the caller or the environment names; `None` if neither does. `variable` reads a variable.
///
/// # Errors
/// A message when it is no address.
pub(crate) fn target(
    endpoint: Option<&str>,
    protocol: Option<Transport>,
    own: &Headers,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Target>, String> {
    // An address with a path is never gRPC, whatever was asked for.
    Target::find(endpoint, protocol, own, &variable).or_else(|_| Target::find(endpoint, None, own, &variable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_names_the_project() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(dir.path().join(".contextcore")).unwrap();
        std::fs::write(dir.path().join(".contextcore/project"), "# ours\n\n commerce platform \nother\n").unwrap();
        assert_eq!(named_above(&deep).as_deref(), Some("commerce platform"));
        std::fs::create_dir(dir.path().join("a/.contextcore")).unwrap();
        std::fs::write(dir.path().join("a/.contextcore/project"), "nearer").unwrap();
        assert_eq!(named_above(&deep).as_deref(), Some("nearer"));
    }
}
