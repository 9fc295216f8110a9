//! `contextcore guide`: the guidance that people give to agents. [`found`] gathers it from everywhere, [`mod@print`] shows it.
//!
//! Whoever has a shell can run this command, agents included. So what it adds is `unproven`, and never blocks.

pub(crate) mod found;
mod print;

use std::io::{self, Read as _};

use contextcore_core::clock;
use contextcore_core::config::nearest_known;
use contextcore_core::model::git_paths;
use contextcore_core::model::guidance::stored::MOST_TEXT;
use contextcore_core::model::guidance::{GuidanceItem, GuidanceSource, in_force, is_blocked, slug};
use contextcore_core::model::leak::looks_like_secret;
use contextcore_core::model::operation::{GuidanceAdd, GuidanceEnd, Operation};
use serde_json::json;

use self::found::{Found, gather};
use self::print::Checked;
use crate::app::Context;
use crate::args::{self, GuideAdd, GuideCommand, Place};
use crate::failure::{Exit, Failure, Outcome};
use crate::record::record;
use crate::{lanes, output, project, terminal};

pub(crate) async fn run(context: &Context, arguments: args::Guide) -> Outcome {
    let json = context.is_json("guide")?;
    let args::Guide { place, command } = arguments;
    let found = gather(context, &place).await?;
    if matches!(command, GuideCommand::List { .. } | GuideCommand::Check { .. }) {
        found::check_project(context, &place, &found).await?;
    }
    match command {
        GuideCommand::Add(add) => self::add(context, place, &found, add),
        GuideCommand::List { paths, more_paths, all } => list(json, &found, &[paths, more_paths].concat(), all),
        GuideCommand::Show { id } => show(json, &found, &id),
        GuideCommand::End { id, reason } => end(context, place, &found, &id, reason),
        GuideCommand::Check { paths, repo } => check(json, &found.meaning(repo.as_deref())?, paths),
    }
}

fn add(context: &Context, place: Place, found: &Found, add: GuideAdd) -> Outcome {
    let text = add.text.trim().to_owned();
    if text.is_empty() {
        return Err(Failure::usage("the text is empty"));
    }
    let texts = [Some(&text), add.reason.as_ref()];
    if texts.into_iter().flatten().any(|text| text.chars().count() > MOST_TEXT) {
        return Err(Failure::usage(format!("a text has at most {MOST_TEXT} characters: link what is longer")));
    }
    if let Some(kind) = texts.into_iter().flatten().find_map(|text| looks_like_secret(text)) {
        return Err(Failure::usage(format!(
            "this looks like a secret ({kind}), and guidance is shown to every agent: leave it out"
        )));
    }
    let id = add.id.unwrap_or_else(|| slug(&text));
    let is_blocking =
        add.severity.as_deref() == Some("blocking") || (add.kind == "constraint" && add.severity.is_none());
    // What a service is sent is as binding as the token that proves it.
    let is_sent = place.endpoint.as_deref().is_some_and(|endpoint| endpoint.contains("+ops://"));
    let operation = GuidanceAdd {
        id: id.clone(),
        word: add.kind,
        text,
        scope: add.scope.map(|scope| scope.trim().to_owned()).filter(|scope| !scope.is_empty()),
        severity: add.severity,
        until: add.until,
        reason: add.reason,
    };
    report(context, &place, found, &id, Operation::GuidanceAdd(Box::new(operation)))?;
    if is_blocking && !is_sent {
        tracing::warn!(
            "it is shown as a warning: a blocking constraint comes from a ProjectContext, from .contextcore/guidance.yaml on the \
             default branch, or from a person with a token of the service"
        );
    }
    Ok(Exit::Done)
}

fn end(context: &Context, place: Place, found: &Found, id: &str, reason: Option<String>) -> Outcome {
    let named = named(found, id)?;
    let ours = |item: &&GuidanceItem| matches!(item.source, GuidanceSource::Store { .. });
    let Some(item) = named.iter().find(ours) else {
        let from = named.iter().map(|item| item.source.to_string()).collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!("{id} was not added here: end it where it comes from ({from})")));
    };
    if found.end_of(item).is_some() {
        return Err(Failure::usage(format!("{id} has ended already")));
    }
    let (id, project) = (item.local_id().to_owned(), item.project.clone());
    let place = Place { project: Some(project), ..place };
    report(context, &place, found, &id, Operation::GuidanceEnd(Box::new(GuidanceEnd { id: id.clone(), reason })))?;
    Ok(Exit::Done)
}

/// Writes the line, and prints what was written.
fn report(context: &Context, place: &Place, found: &Found, id: &str, operation: Operation) -> Result<(), Failure> {
    let name = operation.name();
    let actor = place.actor.clone().or_else(|| lanes::variable("USER")).or_else(|| lanes::variable("LOGNAME"));
    let state = lanes::state_dir(place.state.as_deref())?;
    let project = project::find(context, place.project.as_deref().or(found.project.as_deref()), &state)?;
    record(&state, &project, place, vec![(operation, actor)])?;
    let view = json!({"project": project.name, "id": format!("store:{id}"), "op": name});
    let json = context.is_json("guide")?;
    output::print_compact(json, &view, |_| format!("{name} store:{id} ({})\n", project.described()))
}

fn list(json: bool, found: &Found, paths: &[String], all: bool) -> Outcome {
    let paths = found.relative(paths);
    let lines = found.lines(found.covering(&paths), all);
    output::print(json, &lines, |lines| print::table(lines, terminal::width()))?;
    Ok(Exit::Done)
}

fn show(json: bool, found: &Found, id: &str) -> Outcome {
    let items = named(found, id)?;
    // The others of the same id are shown too, with the severity that counts.
    let local = items[0].local_id().to_owned();
    let all = found.items.iter().filter(|item| item.local_id() == local).cloned().collect();
    let lines = found.lines(all, true);
    output::print(json, &lines, |lines| print::whole(lines))?;
    Ok(Exit::Done)
}

/// What people mean by an id, ended or not.
fn named(found: &Found, id: &str) -> Result<Vec<GuidanceItem>, Failure> {
    let items: Vec<GuidanceItem> = found.items.iter().filter(|item| item.is_named(id)).cloned().collect();
    if items.is_empty() {
        let known: Vec<&str> = found.items.iter().flat_map(|item| [item.id.as_str(), item.local_id()]).collect();
        let hint = nearest_known(id, &known).map(|near| format!("did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| "`contextcore guide list --all` has them".to_owned());
        return Err(Failure::usage(format!("there is no guidance `{id}`; {hint}")));
    }
    Ok(items)
}

fn check(json: bool, found: &Found, paths: Vec<String>) -> Outcome {
    let checked: Vec<Checked> = if paths == ["-"] {
        let both = |path: String| checked(found, &path, found.either(&path));
        of_stdin()?.into_iter().map(both).collect()
    } else {
        paths.iter().map(|path| checked(found, path, found.relative(std::slice::from_ref(path)))).collect()
    };
    let is_blocked = checked.iter().any(|path| path.blocked);
    output::print(json, &json!({"blocked": is_blocked, "paths": checked}), |_| print::checked(&checked))?;
    Ok(if is_blocked { Exit::Found } else { Exit::Done })
}

/// What holds for a path, by what it may be called in the repository.
fn checked(found: &Found, path: &str, inside: Vec<String>) -> Checked {
    let mut items = found.covering(&inside);
    items.retain(|item| found.end_of(item).is_none());
    let items = in_force(items, clock::now());
    Checked { path: path.to_owned(), blocked: is_blocked(&items), guidance: items }
}

/// The paths that git, or another program, prints.
fn of_stdin() -> Result<Vec<String>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(git_paths::listed(&bytes))
}
