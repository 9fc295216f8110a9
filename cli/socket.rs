//! Where the process that holds the store listens for other commands.

use std::path::{Path, PathBuf};

/// The name of the socket inside the store's directory.
const SOCKET: &str = "serve.sock";
/// The longest path that a Unix socket may have on every supported system.
const LONGEST_PATH: usize = 100;

/// The socket of the process that holds this store. It lies in the store's directory, so whoever may write there owns it. When
/// that path is too long for a socket, it lies in the directory for temporary files. It is the same from every directory.
pub(crate) fn path(store: &Path) -> PathBuf {
    let whole = store.canonicalize().unwrap_or_else(|_| store.to_owned());
    let inside = whole.join(SOCKET);
    if inside.as_os_str().len() <= LONGEST_PATH {
        return inside;
    }
    let name: String = whole.to_string_lossy().chars().rev().filter(|c| c.is_ascii_alphanumeric()).take(40).collect();
    std::env::temp_dir().join(format!("contextcore-{name}.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_in_the_store_unless_its_path_would_be_too_long() {
        assert_eq!(path(Path::new("data")), Path::new("data/serve.sock"));
        let deep = PathBuf::from("/x".repeat(80));
        assert!(path(&deep).as_os_str().len() <= LONGEST_PATH + 20);
        assert_ne!(path(&deep), path(&deep.join("y")));
    }
}
