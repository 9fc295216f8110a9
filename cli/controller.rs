//! `contextcore controller`: the ProjectContext resource of Kubernetes. What it does is in `contextcore-operator`; `crd`, `validate`
//! and `render` need no cluster.

mod audit;
mod cluster;
mod outside;
mod records;
mod run;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use contextcore_core::model::printable;
use contextcore_operator::derive::Derivation;
use contextcore_operator::resource::ProjectContext;
use contextcore_operator::settings::Settings;
use contextcore_operator::validate::{self, Input, Located};
use contextcore_operator::{crd, explain, import, yaml};
use serde_json::{Value, json};

use crate::args::{Controller, Output, Render};
use crate::dashboards::services;
use crate::failure::{Exit, Failure, Outcome};
use crate::{humanize, terminal, visible};

/// The file that stands for standard input.
const STANDARD_INPUT: &str = "-";

pub(crate) async fn run(command: &Controller, output: Output) -> Outcome {
    if let Some(name) = of_one_form(command).filter(|_| output != Output::Table) {
        return Err(Failure::usage(format!("`controller {name}` has one form: leave `--output` out")));
    }
    match command {
        Controller::Crd if output == Output::Json => write_raw(&format!("{:#}\n", crd::definition())),
        Controller::Crd if output == Output::Csv => {
            Err(Failure::usage("`controller crd` prints YAML, or JSON with `--output json`"))
        }
        Controller::Run(arguments) => run::run(arguments).await,
        Controller::Crd => write(&crd::definition_yaml()),
        Controller::Validate(arguments) => {
            let settings = settings(arguments.settings.as_deref())?;
            let checked = validate::check(&inputs(&arguments.files)?, &settings);
            let (derivation, refused) = checked.map_err(problems)?;
            finish(refused)?;
            let count = derivation.outcomes.len();
            write(&format!("{} valid\n", humanize::plural(count as u64, "context")))
        }
        Controller::Doctor(arguments) => cluster::doctor(arguments).await,
        Controller::Prune(arguments) => cluster::prune(arguments).await,
        Controller::Render(arguments) if arguments.diff => cluster::diff(arguments, &contexts(arguments)?).await,
        Controller::Render(arguments) if arguments.form() == Output::Contexts => {
            let contexts: Vec<Value> = contexts(arguments)?.iter().map(|context| json!(context)).collect();
            write(&yaml::stream(&contexts))
        }
        Controller::Render(arguments) => {
            let settings = settings(arguments.settings.as_deref())?;
            let inputs = inputs(&arguments.files)?;
            let checked = validate::check_with(&inputs, imported(arguments)?, &settings);
            let (derivation, refused) = checked.map_err(problems)?;
            let text = rendered(&derivation, &settings, arguments.form())?;
            match arguments.form() {
                Output::Json | Output::Dashboards => write_raw(&printable::json(&text))?,
                _ => write(&text)?,
            };
            finish(refused)
        }
    }
}

/// The name of a command whose result has no other form.
const fn of_one_form(command: &Controller) -> Option<&'static str> {
    match command {
        Controller::Run(_) => Some("run"),
        Controller::Validate(_) => Some("validate"),
        Controller::Doctor(_) => Some("doctor"),
        Controller::Prune(_) => Some("prune"),
        Controller::Crd | Controller::Render(_) => None,
    }
}

fn settings(file: Option<&Path>) -> Result<Settings, Failure> {
    let Some(file) = file else { return Ok(Settings::default()) };
    Settings::parse(&file.display().to_string(), &read(file)?).map_err(problems)
}

fn contexts(arguments: &Render) -> Result<Vec<ProjectContext>, Failure> {
    validate::read_with(&inputs(&arguments.files)?, imported(arguments)?).map_err(problems)
}

/// The contexts of `--from`. What was left out is said on stderr.
fn imported(arguments: &Render) -> Result<Vec<Located>, Failure> {
    let imported = import::import(&inputs(&arguments.from)?).map_err(problems)?;
    imported.notes.iter().for_each(|note| tracing::warn!("{note}"));
    Ok(imported.contexts)
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

fn rendered(derivation: &Derivation, settings: &Settings, output: Output) -> Result<String, Failure> {
    match output {
        Output::Yaml => Ok(format!("{}{}", dashboards_note(derivation), yaml::stream(&derivation.objects))),
        Output::Dashboards => Ok(format!("{:#}\n", json!(services::bodies(&derivation.dashboards, settings)))),
        Output::Projects => Ok(yaml::text(&json!({"projects": derivation.projects}))),
        Output::Explain => Ok(explain::explain(derivation)),
        Output::Json => Ok(format!("{:#}\n", json!({"apiVersion": "v1", "kind": "List", "items": derivation.objects}))),
        Output::Table | Output::Csv | Output::Jsonl | Output::Md | Output::Contexts => Err(Failure::usage(
            "`controller render` prints yaml, json, projects, explain, contexts or dashboards: use `--output yaml` or leave it out",
        )),
    }
}

/// Where dashboards are no objects of the cluster, a comment says how to see them.
fn dashboards_note(derivation: &Derivation) -> String {
    match derivation.dashboards.len() as u64 {
        0 => String::new(),
        count => format!("# {} to grafana.url: see `-o dashboards`\n", humanize::plural(count, "dashboard")),
    }
}

/// Writes a text for people, or YAML, in which nothing acts anyway.
fn write(text: &str) -> Outcome {
    write_raw(&visible::lines(text, terminal::has_colour()))
}

fn write_raw(text: &str) -> Outcome {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}
