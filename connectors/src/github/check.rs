//! `contextcore check` for a GitHub source: what a sync would do.

use contextcore_core::ingest::connector::CheckReport;

use super::mapping::{self, UNMAPPED, UNMAPPED_FIRST};
use super::reference::Project;
use super::session::{GitHub, Repository, SiteContext};

/// Describes what opening the source found.
pub(super) fn report(github: &GitHub, context: &SiteContext) -> CheckReport {
    let projects = &context.reference.projects;
    let mut warnings: Vec<String> = github.api.missing().sentences().collect();
    for project in projects {
        warn_of(github, project, &mut warnings);
    }
    warnings.extend(context.unread.iter().cloned());
    warnings.extend(context.repositories.iter().filter_map(Repository::unusable_guidance));
    let mut shown: Vec<(String, String)> =
        projects.iter().map(|project| (project.name.to_string(), project.title.to_string())).collect();
    shown.extend(context.repositories.iter().map(|repository| (repository.name.to_string(), "repository".to_owned())));
    let fields = projects.iter().flat_map(|project| {
        project.fields.all().map(|(meaning, field)| {
            (meaning.to_owned(), field.id.to_string(), format!("{} of {}", field.name, project.name))
        })
    });
    CheckReport {
        identity: context.reference.login.clone(),
        product: product(github),
        scopes: github.api.scopes(),
        projects: shown,
        fields: fields.collect(),
        statuses: projects.iter().flat_map(|project| statuses(github, project)).collect(),
        warnings,
        problems: context.missing.clone(),
    }
}

fn product(github: &GitHub) -> String {
    let server = match github.settings.url.ends_with("/api") {
        true => "GitHub Enterprise Server",
        false => "GitHub",
    };
    let count = github.api.missing().sentences().count();
    if count == 0 {
        server.to_owned()
    } else {
        format!("{server}, without {count} features that are read where they exist")
    }
}

fn statuses(github: &GitHub, project: &Project) -> Vec<(String, String, String)> {
    let shown = |name: &str| {
        let mapped = mapping::map_status(&github.settings, Some(project), name);
        let name = if name.is_empty() { mapping::OPEN } else { name };
        (format!("{name} ({})", project.name), mapped.status.to_string(), mapped.why.to_owned())
    };
    let options = project.statuses.iter().map(|option| shown(&option.name));
    options.chain([shown("")]).collect()
}

fn warn_of(github: &GitHub, project: &Project, warnings: &mut Vec<String>) {
    let name = &project.name;
    if project.closed {
        warnings.push(format!("project {name} is closed: take it out of `projects` if it is not worked on any more"));
    }
    if project.fields.status.is_none() {
        warnings.push(format!("project {name} has no Status field: name another single select in fields.status"));
    }
    if project.fields.estimate.is_none() && project.fields.size.is_none() {
        warnings.push(format!("project {name} has no estimate field: name a number field in fields.estimate"));
    }
    if project.fields.iteration.is_none() {
        warnings.push(format!("project {name} has no iteration field: there will be no sprints"));
    }
    let guessed = |name: &str| {
        let why = mapping::map_status(&github.settings, Some(project), name).why;
        why == UNMAPPED || why == UNMAPPED_FIRST
    };
    let unmapped: Vec<&str> =
        project.statuses.iter().map(|option| &*option.name).filter(|option| guessed(option)).collect();
    if !unmapped.is_empty() {
        warnings.push(format!(
            "statuses of project {name} say nothing by their names, map them in `statuses`: {}",
            unmapped.join(", ")
        ));
    }
}
