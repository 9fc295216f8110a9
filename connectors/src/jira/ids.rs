//! The `ids` stream: the ids of all issues there are, so that absence means something. Jira has no feed of deletions.

use contextcore_core::ingest::connector::{Cursor, Page};
use contextcore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::api::{Found, Outline, Site};
use super::session::{Jira, SiteContext};
use super::walk::{self, Order, Walk, Wish};

/// Rows wished for: Cloud gives so many when only ids are asked for.
const ROWS: u64 = 5_000;
/// Data Center's usual cap.
const SERVER_ROWS: u64 = 1_000;

/// Where a pass stands. A finished pass leaves none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<Pass>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pass {
    /// The projects of the configuration when it began.
    projects: Vec<String>,
    walk: Walk,
    total: Option<u64>,
}

/// Fetches the next page of ids; after the last one, the first of a new pass.
///
/// # Errors
/// As the session's; [`ErrorKind::Protocol`] for a search that goes in circles; [`ErrorKind::Rejected`] when none of the
/// configured projects exists.
pub(super) async fn poll(jira: &Jira, live: &SiteContext, cursor: Option<&Cursor>) -> Result<Page> {
    let kept = cursor.and_then(|cursor| serde_json::from_value::<Position>(cursor.0.clone()).ok());
    let kept = kept.and_then(|position| position.pass).filter(|pass| pass.projects == jira.settings.projects);
    let mut pass = match kept {
        Some(pass) => pass,
        None => begin(jira, live).await,
    };
    let (found, warnings) = ask(jira, live, &mut pass).await?;
    let seen = found.issues.iter().filter_map(|json| Outline::of(json.get()).id).map(Into::into).collect();
    let last = match live.site {
        Site::Cloud => pass.walk.step(&found)?,
        Site::DataCenter => {
            pass.total = found.total.or(pass.total);
            pass.walk.step_rows(&found, None, None)?
        }
    };
    let total = pass.total;
    let position = Position { pass: (!last).then_some(pass) };
    let cursor = serde_json::to_value(position).map(Cursor);
    let cursor = cursor.map_err(|error| Error::new(ErrorKind::Internal, "write the cursor of ids").caused_by(error))?;
    Ok(Page { records: Vec::new(), seen, cursor, more: !last, total, warnings })
}

/// A new pass, with Jira's own count where it will give one.
async fn begin(jira: &Jira, live: &SiteContext) -> Pass {
    let projects = jira.settings.projects.clone();
    let walk = Walk::new(Order::All, projects.clone(), None);
    let total = match live.site {
        Site::Cloud => jira.api.count(&walk.jql).await.ok(),
        Site::DataCenter => None,
    };
    Pass { projects, walk, total }
}

async fn ask(jira: &Jira, live: &SiteContext, pass: &mut Pass) -> Result<(Found, Vec<String>)> {
    let rows = if live.site == Site::Cloud { ROWS } else { SERVER_ROWS };
    let mut wish = Wish::new(["id"].into(), rows);
    let mut warnings = Vec::new();
    loop {
        match walk::page(&jira.api, live.site, &pass.walk, &mut wish).await {
            Ok(found) => return Ok((found, warnings)),
            Err(error) => {
                warn!(error = error.full(), "the pass over all ids begins again");
                warnings.extend(pass.walk.recover(error)?);
            }
        }
    }
}
