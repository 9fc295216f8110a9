//! `contextcore controller`: the ProjectContext resource of Kubernetes. What it does is in `contextcore-operator`; `crd`, `validate`
//! and `render` need no cluster.

mod cluster;
mod outside;
mod run;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use contextcore_operator::derive::Derivation;
use contextcore_operator::settings::Settings;
use contextcore_operator::validate::{self, Input};
use contextcore_operator::{crd, explain, yaml};
use serde_json::json;

use crate::args::{ContextFiles, Controller, Output};
use crate::failure::{Exit, Failure, Outcome};
use crate::humanize;

/// The file that stands for standard input.
const STANDARD_INPUT: &str = "-";

pub(crate) async fn run(command: &Controller) -> Outcome {
    match command {
        Controller::Run(arguments) => run::run(arguments).await,
        Controller::Crd => write(&crd::definition_yaml()),
        Controller::Validate(arguments) => {
            let (derivation, refused) = derived(arguments)?;
            finish(refused)?;
            let count = derivation.outcomes.len();
            write(&format!("{} valid\n", humanize::plural(count as u64, "context")))
        }
        Controller::Doctor(arguments) => cluster::doctor(arguments).await,
        Controller::Prune(arguments) => cluster::prune(arguments).await,
        Controller::Render(arguments) if arguments.diff => {
            let contexts = validate::read(&inputs(&arguments.contexts.files)?).map_err(problems)?;
            cluster::diff(&arguments.cluster, &contexts, arguments.contexts.settings.as_deref()).await
        }
        Controller::Render(arguments) => {
            let (derivation, refused) = derived(&arguments.contexts)?;
            write(&rendered(&derivation, arguments.form())?)?;
            finish(refused)
        }
    }
}

fn derived(arguments: &ContextFiles) -> Result<(Derivation, Vec<String>), Failure> {
    let settings = match &arguments.settings {
        Some(file) => Settings::parse(&file.display().to_string(), &read(file)?).map_err(problems)?,
        None => Settings::default(),
    };
    validate::check(&inputs(&arguments.files)?, &settings).map_err(problems)
}

fn inputs(files: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let input = |file: &PathBuf| Ok(Input { file: file.display().to_string(), text: read(file)? });
    files.iter().map(input).collect()
}

fn read(file: &Path) -> Result<String, Failure> {
    let read = if file == Path::new(STANDARD_INPUT) {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| Failure::usage(format!("{}: cannot be read: {error}", file.display())))
}

fn problems(lines: Vec<String>) -> Failure {
    Failure { exit: Exit::Usage, lines }
}

/// Contexts from which nothing could be derived fail the command, after it printed the rest.
fn finish(refused: Vec<String>) -> Outcome {
    if refused.is_empty() { Ok(Exit::Done) } else { Err(problems(refused)) }
}

fn rendered(derivation: &Derivation, output: Output) -> Result<String, Failure> {
    match output {
        Output::Yaml => Ok(yaml::stream(&derivation.objects)),
        Output::Projects => Ok(yaml::text(&json!({"projects": derivation.projects}))),
        Output::Explain => Ok(explain::explain(derivation)),
        Output::Json => Ok(format!("{:#}\n", json!({"apiVersion": "v1", "kind": "List", "items": derivation.objects}))),
        Output::Table | Output::Csv | Output::Jsonl | Output::Md => Err(Failure::usage(
            "`controller render` prints yaml, json, projects or explain: use `--output yaml` or leave it out",
        )),
    }
}

fn write(text: &str) -> Outcome {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}
