//! Reading for the commands that only look: from the store itself, or, while another process holds it, through the socket
//! of the `serve` that does. Both ways give the same objects.

use contextcore_core::clock;
use std::path::{Path, PathBuf};

use contextcore_core::config::Config;
use contextcore_core::http::local::Local;
use contextcore_core::query::{SprintFilter, SprintView, TaskFilter, TaskView, Viewer};
use contextcore_core::store::Store;
use contextcore_core::{Error, ErrorKind, Millis};
use serde::{Deserialize, Serialize};

use crate::app;
use crate::failure::Failure;
use crate::show::{self, ShowView};
use crate::status::{self, StatusView};

/// The name of the socket inside the store's directory.
const SOCKET: &str = "serve.sock";
/// The longest path a Unix socket may have on every system we run on.
const LONGEST_SOCKET_PATH: usize = 100;

/// Which task to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Which {
    /// The key people say, or the tool's own id.
    pub(crate) key: String,
    /// Its source, when two hold the same key.
    pub(crate) source: Option<String>,
}

/// Where the socket of a `serve` that holds this store is. In the store's own directory, so that who may write there owns
/// it; a directory too deep for a socket's path has it among the temporary files instead.
pub(crate) fn socket_path(store: &Path) -> PathBuf {
    let inside = store.join(SOCKET);
    if inside.as_os_str().len() <= LONGEST_SOCKET_PATH {
        return inside;
    }
    let whole = store.canonicalize().unwrap_or_else(|_| store.to_owned());
    let name: String = whole.to_string_lossy().chars().rev().filter(|c| c.is_ascii_alphanumeric()).take(40).collect();
    std::env::temp_dir().join(format!("contextcore-{name}.sock"))
}

/// Answers what the reading commands ask.
pub(crate) enum Reader {
    /// We hold the store.
    Here {
        /// The store.
        store: Box<Store>,
        /// The configuration.
        config: Box<Config>,
        /// The moment it is looked at.
        now: Millis,
    },
    /// A `serve` holds it.
    There(Local),
}

impl Reader {
    /// Opens the store, or finds the way to who holds it.
    pub(crate) async fn open(config: Config) -> Result<Self, Failure> {
        match app::open_store(&config).await {
            Ok(store) => Ok(Self::Here { store: Box::new(store), config: Box::new(config), now: clock::now() }),
            Err(error) if error.context("locked").is_some() => {
                Ok(Self::There(Local::new(&socket_path(&config.store.path))?))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Visits the tasks that fit, one at a time.
    pub(crate) async fn each_task(
        &self,
        filter: &TaskFilter,
        visit: &mut dyn FnMut(TaskView) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Here { store, config, now } => {
                let viewer = Viewer::new(store, config, *now);
                for key in viewer.keys(filter)? {
                    if let Some(view) = viewer.task(&key)? {
                        visit(view)?;
                    }
                }
            }
            Self::There(local) => {
                let all: Vec<TaskView> = local.get("/v1/tasks", filter).await.map_err(unheard)?;
                all.into_iter().try_for_each(visit)?;
            }
        }
        Ok(())
    }

    /// The sprints that fit.
    pub(crate) async fn sprints(&self, filter: &SprintFilter) -> Result<Vec<SprintView>, Failure> {
        match self {
            Self::Here { store, config, now } => Ok(Viewer::new(store, config, *now).sprints(filter)?),
            Self::There(local) => Ok(local.get("/v1/sprints", filter).await.map_err(unheard)?),
        }
    }

    /// One task with its neighbourhood.
    pub(crate) async fn show(&self, which: &Which) -> Result<ShowView, Failure> {
        let view = match self {
            Self::Here { store, config, now } => show::look(store, config, *now, which),
            Self::There(local) => local.get("/v1/show", which).await.map_err(unheard),
        };
        view.map_err(|error| match error.kind() {
            // No source failed here: the key is wrong.
            ErrorKind::NotFound => Failure::usage(error.full()),
            _ => error.into(),
        })
    }

    /// Where everything stands.
    pub(crate) async fn status(&self) -> Result<StatusView, Failure> {
        match self {
            Self::Here { store, config, now } => Ok(status::look(store, config, *now)?),
            Self::There(local) => Ok(local.get("/v1/status", &()).await.map_err(unheard)?),
        }
    }
}

/// Who holds the store does not answer: a `sync` under way, most often.
fn unheard(error: Error) -> Error {
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    let message = "read the store: another contextcore holds it and does not answer; wait until its `sync` has ended, or stop it \
                   (a running `serve` answers on this socket)";
    let socket = error.context("socket").unwrap_or_default().to_owned();
    Error::new(ErrorKind::Store, message).with("socket", socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contextcore_core::config;

    #[test]
    fn a_socket_lies_in_the_store_unless_its_path_would_be_too_long() {
        assert_eq!(socket_path(Path::new("data")), Path::new("data/serve.sock"));
        let deep = PathBuf::from("/x".repeat(80));
        assert!(socket_path(&deep).as_os_str().len() <= LONGEST_SOCKET_PATH + 20);
        assert_ne!(socket_path(&deep), socket_path(&deep.join("y")));
    }

    #[tokio::test]
    async fn a_store_that_is_held_by_somebody_mute_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::parse(&format!("store: {{path: '{}'}}", dir.path().display()), "x.yaml", &[]).unwrap();
        let _held = Store::open(dir.path()).unwrap();
        let reader = Reader::open(config).await.unwrap();
        let failure = reader.status().await.unwrap_err();
        assert!(failure.lines[0].contains("wait until its `sync` has ended"), "{failure}");
        assert_eq!(failure.exit, crate::failure::Exit::Internal);
    }
}
