//! What is remembered of agents in the state directory: a file for each, which only its holder changes.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use contextcore_core::{Error, ErrorKind};

/// A file of this kind is not larger, in bytes.
const LARGEST: u64 = 64 << 10;

/// Changes what is remembered of an agent.
pub(crate) fn change(state: &Path, agent: &str, change: &mut dyn FnMut(Option<String>) -> String) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Store, format!("remember an agent in {}", state.display())).caused_by(error)
    };
    let mut file = open(state, agent).map_err(failed)?;
    let mut text = String::new();
    let read = Read::by_ref(&mut file).take(LARGEST).read_to_string(&mut text);
    let known = read.is_ok() && !text.is_empty();
    let next = change(known.then_some(text));
    let written = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| file.write_all(next.as_bytes()));
    written.map_err(failed)
}

/// The file of an agent, held by this process alone until it is closed.
fn open(state: &Path, agent: &str) -> std::io::Result<File> {
    let directory = state.join("mcp");
    fs::create_dir_all(&directory)?;
    // Its name may hold anything.
    let name = blake3::hash(agent.as_bytes()).to_hex();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(directory.join(format!("{}.json", &name[..16])))?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_that_of_one_agent_and_of_every_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        let mut remember = |agent: &str, next: &str| {
            change(dir.path(), agent, &mut |before| {
                seen.push(before);
                next.to_owned()
            })
            .unwrap();
        };
        remember("../a", "long text");
        remember("../a", "short");
        remember("b", "x");
        remember("../a", "");
        assert_eq!(seen, [None, Some("long text".to_owned()), None, Some("short".to_owned())]);
    }
}
