//! `contextcore check` for a Jira source: what a sync would do.

use contextcore_core::ingest::connector::CheckReport;
use contextcore_core::{Error, ErrorKind, Result};

use super::api::{self, Site};
use super::field_names::NOT_HERE;
use super::fields::Field;
use super::listed::Listed;
use super::session::{Jira, SiteContext};
use super::{mapping, sprints};
use crate::refusal::Notes;

/// Describes what opening the site found, and asks for the projects.
///
/// # Errors
/// [`ErrorKind::Rejected`] when none of the configured projects can be seen; else as the session's.
pub(super) async fn report(jira: &Jira, context: &SiteContext) -> Result<CheckReport> {
    let (mut warnings, mut problems) = (Vec::new(), Vec::new());
    let projects = projects(jira, context.site, &mut warnings, &mut problems).await?;
    if projects.is_empty() {
        warnings.push("the token sees no project: give its account the permission to browse one".to_owned());
    }
    boards(jira, context, &mut warnings).await?;
    fields(context, &mut warnings, &mut problems);
    unplaced(jira, context, &mut warnings).await;
    let Notes { warnings: more, withheld } = std::mem::take(&mut *jira.notes());
    warnings.extend(more.into_iter().chain(withheld));
    Ok(CheckReport {
        identity: context.account.shown.clone(),
        product: context.reference.product.clone(),
        scopes: Vec::new(),
        projects,
        fields: found_fields(context),
        statuses: statuses(context),
        warnings,
        problems,
    })
}

async fn projects(
    jira: &Jira,
    site: Site,
    warnings: &mut Vec<String>,
    problems: &mut Vec<String>,
) -> Result<Vec<(String, String)>> {
    let settings = &jira.settings;
    let visible = jira.api.projects(site).await?;
    warnings.extend(visible.lacks().map(|lacks| format!("the list of projects is not complete: {lacks}")));
    let read: Vec<(String, String)> = visible
        .rows
        .into_iter()
        .filter(|project| settings.wants(&project.key))
        .map(|project| (project.key, project.name))
        .collect();
    let missing = |wanted: &&String| !read.iter().any(|(key, _)| key.eq_ignore_ascii_case(wanted));
    let missing: Vec<&String> = settings.projects.iter().filter(missing).collect();
    if !settings.projects.is_empty() && missing.len() == settings.projects.len() {
        let text = "none of the configured projects exists for this token";
        return Err(Error::new(ErrorKind::Rejected, text).with("projects", settings.projects.join(", ")));
    }
    problems.extend(missing.into_iter().map(|project| {
        format!("project {project} does not exist or is hidden from this token: correct `projects`, or give the account access")
    }));
    Ok(read)
}

/// Asks every board once, since only a request shows whether its sprints can be read.
async fn boards(jira: &Jira, context: &SiteContext, warnings: &mut Vec<String>) -> Result<()> {
    for (id, board) in context.reference.boards.iter().filter(|(_, board)| board.may_have_sprints()) {
        match jira.api.sprints(*id, Some("active")).await {
            Ok(_) => {}
            Err(error) if sprints::has_none(&error, &board.kind) => {}
            Err(error) if api::is_bearable(error.kind()) => warnings.push(format!(
                "board {id} ({}) gives no sprints, let the account see it if they matter: {error}",
                board.name
            )),
            Err(error) => return Err(error),
        }
    }
    if context.reference.boards.is_empty() {
        warnings.push("no board of these projects can be seen: sprints are known from issues only".to_owned());
    }
    Ok(())
}

fn fields(context: &SiteContext, warnings: &mut Vec<String>, problems: &mut Vec<String>) {
    let fields = &context.reference.fields;
    if fields.points.is_empty() {
        let text = "no story points field was found, the original estimate counts instead, in hours: \
                    set fields.story_points to the field's id";
        warnings.push(text.to_owned());
    }
    if fields.sprint.is_none() {
        warnings.push("no sprint field was found: set fields.sprint to its id if the site has sprints".to_owned());
    }
    if fields.flagged.is_none() {
        let text = "no field that flags an impediment was found, so no flag blocks a task: \
                    set fields.flagged to its id if people flag issues";
        warnings.push(text.to_owned());
    }
    let unknown = fields.all().filter(|(_, field)| &*field.name == NOT_HERE);
    problems.extend(
        unknown.map(|(_, field)| format!("the configured field {} is not on this site: correct `fields`", field.id)),
    );
}

/// Lists the statuses and types whose names say nothing, so that a person can.
async fn unplaced(jira: &Jira, context: &SiteContext, warnings: &mut Vec<String>) {
    let configured = |names: &[&str]| jira.settings.rules.status(names).is_some();
    let statuses = context.reference.statuses.iter();
    let statuses = statuses.filter(|(id, status)| status.unplaced && !configured(&[&status.name, id]));
    warnings.extend(statuses.map(|(id, status)| {
        format!(
            "status {} ({id}) has no category and no name we know, it counts as to do: set it in statuses",
            status.name
        )
    }));
    let types = jira.api.issue_types(context.site).await.unwrap_or_else(|_| Listed::of(Vec::new()));
    warnings.extend(types.lacks().map(|lacks| format!("the list of issue types is not complete: {lacks}")));
    for kind in types.rows {
        let id = kind.id.as_deref().unwrap_or_default();
        let untranslated = kind.untranslated_name.as_deref().unwrap_or(&kind.name);
        let names = [id, &kind.name, untranslated];
        let is_known = mapping::type_of(&jira.settings, names, kind.hierarchy_level, kind.subtask).1;
        if !is_known && !context.reference.epic_types.contains(id) {
            warnings
                .push(format!("type {} ({id}) has no name we know, it counts as a task: set it in types", kind.name));
        }
    }
}

fn found_fields(context: &SiteContext) -> Vec<(String, String, String)> {
    let shown = |(meaning, field): (&str, &Field)| {
        (meaning.to_owned(), field.id.to_string(), format!("{} ({})", field.name, field.why))
    };
    context.reference.fields.all().map(shown).collect()
}

fn statuses(context: &SiteContext) -> Vec<(String, String, String)> {
    let known = context.reference.statuses.iter();
    let mapped = known.filter_map(|(id, status)| {
        let mapped = context.mapping.status_by_id(id)?;
        Some((format!("{} ({id})", status.name), mapped.status.to_string(), mapped.why.clone()))
    });
    mapped.collect()
}
