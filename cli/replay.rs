//! `contextcore replay`: exports history again, with the same ids.

use std::sync::Arc;
use std::time::Instant;

use contextcore_core::config::{Config, nearest_known};
use contextcore_core::export::Selection;
use contextcore_core::{Millis, clock};

use crate::app::{self, Context};
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::report::RunReport;
use crate::{host, moment, progress, stop, sync};

pub(crate) async fn run(context: &Context, arguments: &args::Replay) -> Outcome {
    let json = context.is_json("replay")?;
    let config = context.config_for_network()?;
    let selection = selection(&config, arguments, clock::now())?;
    let store = app::open_existing(&config.store).await?;
    let engine = Arc::new(app::engine(config, store, progress::watcher(&context.bars)));
    if let Some(project) = &selection.project {
        let held = engine.owners()?;
        let known: Vec<&str> = held.keys().map(String::as_str).collect();
        known_project(project, &known)?;
    }
    let sinks = engine.sinks()?;
    let begun = Instant::now();
    let config = engine.config();
    let replayer = engine.replayer(&config, &sinks, false);
    let sent =
        stop::stoppable(&engine.cancel, host::beside(&engine, replayer.replay(&selection, clock::now()))).await?;
    progress::end(&context.bars);
    let report = RunReport::new(Vec::new(), sent, &engine.owners()?, false, begun.elapsed().as_secs_f64()).of_replay();
    sync::print(&report, json)?;
    Ok(report.exit())
}

/// What to export again. Every name is checked, since a typing error must not look like "nothing to export".
fn selection(config: &Config, arguments: &args::Replay, now: Millis) -> Result<Selection, Failure> {
    let args::Replay { since, source, project } = arguments;
    if let Some(source) = source {
        app::chosen(config, std::slice::from_ref(source))?;
    }
    let since = since.as_deref().map(|text| moment::past(text, now)).transpose()?;
    let project = project.as_ref().map(|typed| project_id(config, typed));
    Ok(Selection { since, source: source.clone(), project })
}

/// A project by its id, or the portfolio project that includes the native project with that name.
fn project_id(config: &Config, typed: &str) -> String {
    let by_id = config.projects.iter().find(|project| project.id.eq_ignore_ascii_case(typed));
    let including = || config.projects.iter().find(|project| project.include.iter().any(|(_, native)| native == typed));
    by_id.or_else(including).map_or_else(|| typed.to_owned(), |project| project.id.clone())
}

/// Fails unless the store holds something of a project.
fn known_project(project: &str, known: &[&str]) -> Result<(), Failure> {
    if known.contains(&project) {
        return Ok(());
    }
    let hint = nearest_known(project, known).map(|near| format!("did you mean `{near}`?"));
    let hint = hint.unwrap_or_else(|| match known {
        [] => "nothing has been synced yet".to_owned(),
        known => format!("known: {}", known.join(", ")),
    });
    Err(Failure::usage(format!("the store holds no project `{project}`; {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn names_are_checked_and_native_projects_map_to_the_portfolio() {
        let (_store, config, _dir) = fixture::world();
        let typed = |source: Option<&str>, project: Option<&str>| args::Replay {
            since: None,
            source: source.map(str::to_owned),
            project: project.map(str::to_owned),
        };
        let project =
            |typed_project| selection(&config, &typed(None, Some(typed_project)), fixture::NOW).unwrap().project;
        assert_eq!(project("PROJ").as_deref(), Some("commerce-platform"));
        assert_eq!(project("Commerce-Platform").as_deref(), Some("commerce-platform"));
        assert_eq!(project("OPS").as_deref(), Some("OPS"));
        assert!(selection(&config, &typed(Some("acne"), None), fixture::NOW).unwrap_err().lines[0].contains("`acme`"));
    }

    #[test]
    fn an_unknown_project_is_an_error() {
        let message = |project, known: &[&str]| known_project(project, known).unwrap_err().lines[0].clone();
        assert!(known_project("commerce", &["commerce", "OPS"]).is_ok());
        assert_eq!(
            message("comerce", &["commerce", "OPS"]),
            "the store holds no project `comerce`; did you mean `commerce`?"
        );
        assert_eq!(message("nope", &["commerce", "OPS"]), "the store holds no project `nope`; known: commerce, OPS");
        assert_eq!(message("nope", &[]), "the store holds no project `nope`; nothing has been synced yet");
    }
}
