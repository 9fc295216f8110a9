//! What a context says of a task or service that is not known: a slip of the pen would read as if nothing had to be known.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use contextcore_core::ErrorKind;
use contextcore_core::config::nearest_known;
use contextcore_core::model::config::ProjectConfig;
use contextcore_core::query::{InsightQuery, ListOptions, ListQuery, TaskFilter, TaskSort};

use super::Call;
use crate::answer::Problem;
use crate::clean;

/// Among how many tasks and insights, the latest, the nearest name is looked for.
const AMONG: usize = 500;
/// How many characters of a name are repeated.
const SHOWN: usize = 60;

/// A sentence for each of the two that is not known in the project, with the nearest name.
pub(super) fn of_unknown(
    call: &Call<'_>,
    project: &str,
    (task, service): (&Option<String>, &Option<String>),
    config: Option<&ProjectConfig>,
) -> Result<Option<String>, Problem> {
    let task = task.as_deref().map(|key| of_task(call, project, key)).transpose()?.flatten();
    let service = service.as_deref().map(|name| of_service(call, project, name, config)).transpose()?.flatten();
    let said: Vec<String> = task.into_iter().chain(service).collect();
    Ok((!said.is_empty()).then(|| said.join("; ")))
}

fn of_task(call: &Call<'_>, project: &str, key: &str) -> Result<Option<String>, Problem> {
    match call.task(key) {
        Err(problem) if problem.kind == "not_found" => {}
        _ => return Ok(None),
    }
    let filter = TaskFilter { project: Some(project.to_owned()), sort: TaskSort::Updated, ..TaskFilter::default() };
    let options = ListOptions { limit: NonZeroUsize::new(AMONG), ..ListOptions::default() };
    let keys = match call.reads.tasks(&ListQuery { filter, options }) {
        Ok(page) => page.tasks.into_iter().map(|task| task.id).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::Config | ErrorKind::NotFound) => BTreeSet::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(unknown("task", key, project, &keys)))
}

/// A service is known by its context or by an insight about it.
fn of_service(
    call: &Call<'_>,
    project: &str,
    name: &str,
    config: Option<&ProjectConfig>,
) -> Result<Option<String>, Problem> {
    let contexts = config.into_iter().flat_map(|config| &config.contexts);
    let named = contexts.flat_map(|context| {
        let targets = context.targets.iter().flat_map(|target| [&target.service, &target.name]).flatten();
        targets.chain(context.origin.as_ref().map(|origin| &origin.name)).map(ToString::to_string)
    });
    let mut known: BTreeSet<String> = named.collect();
    let is_named = |known: &BTreeSet<String>| known.iter().any(|known| known.eq_ignore_ascii_case(name.trim()));
    let about = |service: Option<&str>| -> Result<Vec<String>, Problem> {
        let query = InsightQuery {
            project: Some(project.to_owned()),
            service: service.map(str::to_owned),
            status: "all".parse().unwrap_or_default(),
            limit: NonZeroUsize::new(AMONG),
            ..InsightQuery::default()
        };
        let found = call.insights_or_none(&query)?;
        let scopes = found.iter().flat_map(|found| &found.insight.applies_to);
        Ok(scopes.filter_map(|scope| Some(scope.strip_prefix("service:")?.trim().to_owned())).collect())
    };
    if !is_named(&known) {
        known.extend(about(Some(name))?);
    }
    if is_named(&known) {
        return Ok(None);
    }
    known.extend(about(None)?);
    Ok(Some(unknown("service", name, project, &known)))
}

fn unknown(what: &str, name: &str, project: &str, known: &BTreeSet<String>) -> String {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let near = nearest_known(name, &names).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    format!("no {what} `{}` is known in {project}{near}", clean::cut(&clean::one_line(name), SHOWN))
}
