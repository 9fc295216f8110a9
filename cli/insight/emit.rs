//! `contextcore insight emit` and `contextcore handoff create`: records insights, and prints their ids.

use std::io::Read;
use std::path::Path;

use contextcore_core::clock;
use contextcore_core::model::operation::Operation;
use serde_json::json;

use super::fields::{self, Emission};
use crate::app::Context;
use crate::args::{Emit, Speaker};
use crate::failure::{Exit, Failure, Outcome};
use crate::project::{self, NamedBy, Project};
use crate::record::record;
use crate::{lanes, output, person};

/// Longer input is no list of insights.
const LONGEST: u64 = 16 << 20;

pub(super) fn run(context: &Context, command: &str, mut emit: Emit) -> Outcome {
    let json = context.is_json(command)?;
    let (place, file) = (emit.place.clone(), emit.json.take());
    let speaker = identified(emit.speaker.clone());
    let state = lanes::state_dir(place.state.as_deref())?;
    let project = project::find(context, place.project.as_deref(), &state)?;
    let typed = fields::typed(emit).map_err(Failure::usage)?;
    let given = match &file {
        Some(path) => fields::read(&read(path)?).map_err(Failure::usage)?,
        None => vec![fields::Fields::new()],
    };
    let emissions = given.into_iter().map(|mut fields| {
        fields.extend(typed.clone());
        fields::emission(&project.name, fields, &speaker, clock::now(), rand::random()).map_err(Failure::usage)
    });
    // All are right before the first is written.
    let emissions: Vec<Emission> = emissions.collect::<Result<_, _>>()?;
    let actor = |agent: Option<&String>| place.actor.clone().or_else(|| agent.is_none().then(person::name));
    let operations = emissions.iter().map(|Emission { insight, .. }| {
        (Operation::InsightEmit(Box::new(insight.clone())), actor(insight.agent.as_ref()))
    });
    let recorded = record(&state, &project, &place, operations.collect())?;
    emissions.iter().for_each(|emission| warn(&emission.cut));
    say(&project, &emissions);
    for Emission { insight, .. } in &emissions {
        let view = json!({
            "id": insight.id, "type": insight.insight_type, "project": project.name, "project_from": project.by.to_string(),
            "lane": recorded.lane.name(), "writer": recorded.writer,
        });
        output::print_compact(json, &view, |_| format!("{}\n", insight.id))?;
    }
    Ok(Exit::Done)
}

/// Says on stderr where it went, unless the caller said so: stdout has the id alone, for scripts.
fn say(project: &Project, emissions: &[Emission]) {
    if project.by != NamedBy::Flag {
        let types: Vec<&str> = emissions.iter().map(|emission| emission.insight.insight_type.as_str()).collect();
        output::note(&format!("recorded {} in {}", types.join(", "), project.described()));
    }
}

/// Says what was cut.
pub(super) fn warn(cut: &[String]) {
    cut.iter().for_each(|cut| tracing::warn!("{cut}"));
}

/// Who speaks, with the agent of the environment.
pub(super) fn identified(speaker: Speaker) -> Speaker {
    Speaker { agent: speaker.agent.or_else(|| lanes::variable("CONTEXTCORE_AGENT")), ..speaker }
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let done = if path == Path::new("-") {
        std::io::stdin().lock().take(LONGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
    };
    done.map_err(|error| Failure::usage(format!("read {}: {error}", path.display())))?;
    Ok(text)
}
