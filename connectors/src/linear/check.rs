//! `contextcore check` for a Linear source: what a sync would do.

use contextcore_core::Result;
use contextcore_core::ingest::connector::CheckReport;

use super::mapping;
use super::reference::KnownState;
use super::session::{Linear, SiteContext};

/// Describes what opening the workspace found.
///
/// # Errors
/// [`contextcore_core::ErrorKind::Rejected`] when none of the configured teams can be seen.
pub(super) fn report(linear: &Linear, context: &SiteContext) -> Result<CheckReport> {
    let (mut warnings, problems) = (Vec::new(), context.missing_teams()?);
    warnings.extend(linear.api.lacks());
    let projects = teams(linear, context);
    if projects.is_empty() {
        warnings
            .push("the token sees no team: let it into one, or make a key that is not limited to others".to_owned());
    }
    let statuses = statuses(linear, context, &mut warnings);
    Ok(CheckReport {
        identity: context.shown.clone(),
        product: format!("Linear ({})", context.reference.organization.name),
        scopes: Vec::new(),
        projects,
        fields: vec![estimates()],
        statuses,
        warnings,
        problems,
    })
}

fn teams(linear: &Linear, context: &SiteContext) -> Vec<(String, String)> {
    let listed = context.reference.listed.iter().filter_map(|id| context.reference.teams.get(id));
    let read = listed.filter(|team| linear.settings.wants(&team.key));
    let mut teams: Vec<_> = read.map(|team| (team.key.to_string(), team.name.to_string())).collect();
    teams.sort();
    teams
}

fn estimates() -> (String, String, String) {
    ("story_points".to_owned(), "estimate".to_owned(), "Estimate (every issue has it)".to_owned())
}

fn statuses(linear: &Linear, context: &SiteContext, warnings: &mut Vec<String>) -> Vec<(String, String, String)> {
    let reference = &context.reference;
    let team = |state: &KnownState| state.team.as_deref().and_then(|id| reference.team_key(id)).unwrap_or("all");
    let read = reference
        .states
        .iter()
        .filter(|(_, state)| state.team.as_deref().is_none_or(|team| reference.wants(&linear.settings, team)));
    let mut statuses = Vec::new();
    for (id, state) in read {
        let mapped = mapping::state(&linear.settings, id, &state.name, &state.kind);
        let shown = format!("{} ({})", state.name, team(state));
        if !mapped.known {
            warnings.push(format!("state {shown} has the unknown type {}: name it in `statuses`", state.kind));
        }
        statuses.push((shown, mapped.status.to_string(), mapped.why));
    }
    statuses.sort();
    statuses
}
