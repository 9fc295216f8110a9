//! Reading insights: from the store of the configuration, or from the stores of the helpers on this machine, each directly or
//! through the process that holds it.

use std::collections::BTreeSet;

use contextcore_core::config::{self, Config};
use contextcore_core::query::{Found, InsightQuery, InsightSelector, InsightView};
use contextcore_core::{Error, ErrorKind};
use contextcore_spool::StateDir;
use serde_json::json;

use crate::app;
use crate::failure::{Exit, Failure};
use crate::reader::Reader;

/// The stores that may hold an insight.
pub(crate) struct InsightReader(Vec<Reader>);

impl InsightReader {
    /// Opens the store of `config` and that of every lane of `state`, those that there are.
    pub(crate) async fn open(config: Option<Config>, state: Option<&StateDir>) -> Result<Self, Failure> {
        let mut readers = Vec::new();
        if let Some(config) = config {
            readers.extend(Reader::open_if_any(config).await?);
        }
        let failed = |error| Failure::new(Exit::Internal, format!("read the state directory: {error}"));
        for lane in state.map_or(Ok(Vec::new()), StateDir::lanes).map_err(failed)? {
            let text = json!({"store": {"path": lane.engine()}}).to_string();
            readers.extend(Reader::open_if_any(config::parse(&text, "the lane", &app::kinds())?).await?);
        }
        Ok(Self(readers))
    }

    /// The insights that fit a question, of all stores. A cursor is a place in the order, so it holds in each of them.
    pub(crate) async fn find(&self, query: &InsightQuery) -> Result<Found, Failure> {
        let (mut all, mut unknown): (Option<Found>, Option<Error>) = (None, None);
        for reader in &self.0 {
            match reader.insights(query).await {
                Ok(found) => all = Some(all.map_or(found.clone(), |all| all.and(found, query.limit))),
                Err(error) if is_unknown(&error) => unknown = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        match (all, unknown) {
            (Some(found), _) => Ok(each_once(found)),
            (None, Some(error)) => Err(not_found(error)),
            (None, None) => Ok(Found::default()),
        }
    }

    /// One insight with its history.
    pub(crate) async fn insight(&self, selector: &InsightSelector) -> Result<InsightView, Failure> {
        let mut unknown = None;
        for reader in &self.0 {
            match reader.insight(selector).await {
                Err(error) if is_unknown(&error) => unknown = Some(error),
                found => return Ok(found?),
            }
        }
        let nothing = || Error::new(ErrorKind::NotFound, format!("there is no insight `{}`", selector.id));
        Err(not_found(unknown.unwrap_or_else(nothing)))
    }
}

/// Leaves out what another store has too: the first is the newer, or the better.
fn each_once(mut found: Found) -> Found {
    let mut seen = BTreeSet::new();
    let before = found.insights.len() as u64;
    found.insights.retain(|each| seen.insert((each.insight.project.clone(), each.insight.id.clone())));
    found.total -= before - found.insights.len() as u64;
    found
}

/// Whether another store may hold what this one does not.
fn is_unknown(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Config)
}

/// What was typed is wrong; nothing failed.
fn not_found(error: Error) -> Failure {
    if error.kind() == ErrorKind::NotFound { Failure::usage(error.full()) } else { error.into() }
}
