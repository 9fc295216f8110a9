//! Where insights are read: the store of the configuration and those of the helpers on this machine, and why nothing was found.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use contextcore_core::config::{self, Config, nearest_known};
use contextcore_core::model::insight::Insight;
use contextcore_core::model::insight::search::Wanted;
use contextcore_core::query::{Found, InsightQuery, InsightSelector, InsightView};
use contextcore_core::store::Copies;
use contextcore_spool::destination::NOWHERE;
use contextcore_spool::{LaneDir, StateDir};

use crate::app::Context;
use crate::args::ReadPlace;
use crate::failure::{Exit, Failure};
use crate::insights::InsightReader;
use crate::project::{self, NamedBy, Project};
use crate::{humanize, lanes, served};

/// What insights are read from.
pub(super) struct Source<'a> {
    context: &'a Context,
    reader: InsightReader,
    state: StateDir,
    /// The project that is asked about; all without one.
    pub(super) project: Option<Project>,
}

/// Opens the stores: that of the configuration, if there is one, and those of the lanes. A configuration that is named on the command
/// line is asked alone, unless a state directory is named too.
pub(super) async fn open<'a>(context: &'a Context, place: &ReadPlace) -> Result<Source<'a>, Failure> {
    let project = if place.all_projects { None } else { project::named(place.project.as_deref())? };
    let state = lanes::state_dir_to_read(place.state.as_deref());
    let config = configured(context)?;
    let alone = context.global.config.is_some() && place.state.is_none();
    let reader = InsightReader::open(config, (!alone).then_some(&state)).await?;
    Ok(Source { context, reader, state, project })
}

fn configured(context: &Context) -> Result<Option<Config>, Failure> {
    match config::locate(context.global.config.as_deref()) {
        Ok(_) => context.config().map(Some),
        Err(_) => Ok(None),
    }
}

impl Source<'_> {
    /// What fits a question about the project.
    pub(super) async fn find(&self, query: &InsightQuery) -> Result<Found, Failure> {
        let project = self.project.as_ref().map(|project| project.name.clone());
        let asked = InsightQuery { project, ..query.clone() };
        match self.reader.find(&asked).await {
            // A project that only has no insights yet is no slip.
            Err(failure) if failure.exit == Exit::Usage && self.knows_project() => {
                let anywhere = self.reader.find(&InsightQuery { project: None, ..asked }).await;
                anywhere.map(|found| Found { as_of: found.as_of, ..Found::default() }).map_err(|_| failure)
            }
            found => found,
        }
    }

    fn knows_project(&self) -> bool {
        self.project.as_ref().is_some_and(|project| {
            project.by != NamedBy::Flag || project::known(self.context, &self.state).contains(&project.name)
        })
    }

    /// One insight, by its id or the beginning of it. An id that nothing has is answered with the nearest.
    pub(super) async fn insight(&self, id: &str, project: Option<&str>) -> Result<InsightView, Failure> {
        let selector = InsightSelector { id: id.to_owned(), project: project.map(str::to_owned) };
        match self.reader.insight(&selector).await {
            Err(failure) if failure.exit == Exit::Usage => Err(self.with_hints(failure, id).await),
            found => found,
        }
    }

    async fn with_hints(&self, mut failure: Failure, id: &str) -> Failure {
        let known = self.reader.find(&everything()).await.map(|found| found.insights).unwrap_or_default();
        let ids: Vec<&str> = known.iter().map(|found| found.insight.id.as_str()).collect();
        if ids.iter().any(|known| known.contains(id)) {
            return failure;
        }
        let hint = nearest_known(id, &ids).map(|near| format!("did you mean `{near}`?")).or_else(|| self.pending());
        if let (Some(line), Some(hint)) = (failure.lines.last_mut(), hint) {
            *line = format!("{line}; {hint}");
        }
        failure
    }

    /// Counts what is shown as given to an agent or a program. People who look at a terminal do not count.
    pub(super) async fn note_served(&self, insights: impl IntoIterator<Item = &Insight>) {
        let agent = lanes::variable("CONTEXTCORE_AGENT");
        if agent.is_none() && io::stdout().is_terminal() {
            return;
        }
        let ids = insights.into_iter().map(|insight| insight.id.clone()).collect();
        let config = configured(self.context).unwrap_or_default();
        served::note(config.as_ref(), &self.state, &Copies::default(), ids, agent.as_deref()).await;
    }

    /// Why nothing was found. `all` is the flag that shows every state.
    pub(super) async fn why_nothing(
        &self,
        query: &InsightQuery,
        keep: impl Fn(&Insight) -> bool,
        all: &str,
    ) -> Result<String, Failure> {
        let in_project =
            self.project.as_ref().map(|project| format!(" in {}", project.described())).unwrap_or_default();
        let in_any_state = InsightQuery { status: Wanted::all(), cursor: None, limit: None, ..query.clone() };
        let same = self.find(&in_any_state).await?.insights.iter().filter(|found| keep(&found.insight)).count();
        let others = self.find(&InsightQuery { types: query.types.clone(), ..everything() }).await?.total;
        let what = match query.types.as_slice() {
            [one] => one.to_string(),
            _ => "insight".to_owned(),
        };
        let why = if same > 0 {
            format!("no such {what} is open{in_project}; in other states: {same} ({all} shows them)")
        } else if others > 0 {
            format!("none of the {} fits{in_project}", humanize::plural(others, &what))
        } else if self.project.is_some() {
            format!("no {what} was recorded{in_project} yet{}", self.elsewhere(query).await?)
        } else {
            format!("no {what} was recorded yet")
        };
        Ok([Some(why), self.pending()].into_iter().flatten().collect::<Vec<_>>().join("; "))
    }

    /// Whether the other projects have what this one lacks.
    async fn elsewhere(&self, query: &InsightQuery) -> Result<&'static str, Failure> {
        let all = self.reader.find(&InsightQuery { types: query.types.clone(), ..everything() }).await?.total;
        Ok(if all > 0 { "; --all-projects asks the others" } else { "" })
    }

    /// What waits in the spool, so that no store has it.
    pub(super) fn pending(&self) -> Option<String> {
        let lanes = self.state.lanes().unwrap_or_default();
        let waiting: Vec<(LaneDir, u64)> =
            lanes.into_iter().map(|lane| (lane.clone(), pending_in(&lane))).filter(|(_, number)| *number > 0).collect();
        let number: u64 = waiting.iter().map(|(_, number)| number).sum();
        let path = self.state.path().display();
        let nowhere = waiting.iter().any(|(lane, _)| lane.name() == NOWHERE);
        let endpoint = if nowhere { " --endpoint URL" } else { "" };
        let drained = waiting.iter().all(|(lane, _)| lane.is_drained().unwrap_or(false));
        let what = humanize::plural(number, "report");
        let (is, waits, it) = if number == 1 { ("is", "waits", "it") } else { ("are", "wait", "them") };
        match number {
            0 => None,
            _ if drained => Some(format!("{what} in the spool {is} being stored")),
            _ => Some(format!(
                "{what} {waits} in the spool: `contextcore drain --state {path}{endpoint} --linger 0s` stores {it}"
            )),
        }
    }
}

/// Every insight, in every state.
pub(super) fn everything() -> InsightQuery {
    InsightQuery { status: Wanted::all(), ..InsightQuery::default() }
}

/// The reports of insights in a spool that was not taken to its end. A process that still runs keeps its file, so its reports may be
/// stored already: they count only where nobody drains.
fn pending_in(lane: &LaneDir) -> u64 {
    let projects = fs::read_dir(lane.spool()).into_iter().flatten().flatten();
    let files = projects.flat_map(|project| fs::read_dir(project.path()).into_iter().flatten().flatten());
    files.map(|file| reports_in(&file.path())).sum()
}

fn reports_in(path: &Path) -> u64 {
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        return 0;
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.contains(r#""op":"insight."#)).count() as u64
}

/// The agents of some insights, for a hint.
pub(super) fn agents(found: &Found) -> BTreeSet<&str> {
    found.insights.iter().filter_map(|found| found.insight.author.id.as_deref()).collect()
}
