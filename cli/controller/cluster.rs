//! The commands that look at a cluster once: `doctor`, `prune`, and `render --diff`.

use contextcore_operator::controller::doctor::{self, Level};
use contextcore_operator::controller::{connect, diff as difference, prune as pruning};
use contextcore_operator::resource::ProjectContext;

use super::run::{settings, settings_of, target};
use super::{problems, write};
use crate::args::{ClusterDoctor, Prune, Render};
use crate::failure::{Exit, Failure, Outcome};
use crate::humanize;
use crate::terminal;
use crate::tone::Tone;

pub(super) async fn doctor(arguments: &ClusterDoctor) -> Outcome {
    let mut target = target(&arguments.cluster);
    target.impersonate.clone_from(&arguments.impersonate);
    let (client, namespace) = connect::connect(&target).await.map_err(Failure::usage)?;
    let settings = settings_of(&client, &arguments.settings, &namespace).await?;
    let findings = doctor::examine(&client, &settings, &namespace, &arguments.watch_namespaces).await;
    let findings = findings.map_err(|line| Failure::new(Exit::Internal, line))?;
    let mut text = String::new();
    for finding in &findings {
        let (tone, word) = match finding.level {
            Level::Good => (Tone::Good, "ok   "),
            Level::Note => (Tone::Faint, "note "),
            Level::Wrong => (Tone::Bad, "wrong"),
        };
        text.push_str(&format!("{} {}\n", tone.paint(word, terminal::has_colour()), finding.line));
    }
    write(&text)?;
    let wrong = findings.iter().filter(|finding| finding.level == Level::Wrong).count();
    match wrong {
        0 => Ok(Exit::Done),
        wrong => Err(Failure::new(Exit::Internal, format!("{} to be mended", humanize::plural(wrong as u64, "thing")))),
    }
}

pub(super) async fn prune(arguments: &Prune) -> Outcome {
    let (client, namespace) = connect::connect(&target(&arguments.cluster)).await.map_err(Failure::usage)?;
    let settings = settings_of(&client, &arguments.settings, &namespace).await?;
    let refused = |lines| Failure { exit: Exit::Internal, lines };
    let pruned = pruning::prune(&client, &settings, &namespace, arguments.dry_run).await.map_err(refused)?;
    pruned.warnings.iter().for_each(|line| tracing::warn!("{line}"));
    let mut text: String = pruned.done.iter().map(|line| format!("{line}\n")).collect();
    if pruned.done.is_empty() {
        text.push_str("nothing to remove\n");
    }
    if !pruned.survives.is_empty() {
        text.push_str("\nstill there:\n");
        text.extend(pruned.survives.iter().map(|line| format!("  {line}\n")));
    }
    write(&text)?;
    if pruned.failed.is_empty() { Ok(Exit::Done) } else { Err(refused(pruned.failed)) }
}

/// Prints what would change. As for kubectl, a difference is exit code 1.
pub(super) async fn diff(arguments: &Render, contexts: &[ProjectContext]) -> Outcome {
    let (client, namespace) = connect::connect(&target(&arguments.cluster)).await.map_err(Failure::usage)?;
    let settings = match &arguments.settings_config_map {
        Some(name) => connect::settings(&client, &namespace, name).await.map_err(problems)?,
        None => settings(arguments.settings.as_deref(), &namespace)?,
    };
    let found = difference::diff(&client, contexts, &settings, &namespace, &arguments.watch_namespaces).await;
    let found = found.map_err(Failure::usage)?;
    found.notes.iter().for_each(|note| tracing::warn!("{note}"));
    write(&found.changed.concat())?;
    Ok(if found.changed.is_empty() { Exit::Done } else { Exit::Internal })
}
