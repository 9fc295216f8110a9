//! `contextcore check` for a Linear source: what a sync would do, said to people.

use contextcore_core::ingest::connector::CheckReport;
use contextcore_core::{Error, ErrorKind, Result};

use super::reference::KnownState;
use super::{Linear, Live, mapping};

/// Describes what `begin` found.
///
/// # Errors
/// [`ErrorKind::Rejected`] when none of the configured teams can be seen.
pub(super) fn report(linear: &Linear, live: &Live) -> Result<CheckReport> {
    let (mut warnings, problems) = (Vec::new(), linear.teams_warning(live)?);
    let projects = teams(linear, live);
    if projects.is_empty() {
        warnings
            .push("the token sees no team: let it into one, or make a key that is not limited to others".to_owned());
    }
    let statuses = statuses(linear, live, &mut warnings);
    Ok(CheckReport {
        identity: live.shown.clone(),
        product: format!("Linear ({})", live.reference.organization.name),
        scopes: Vec::new(),
        projects,
        fields: vec![estimates()],
        statuses,
        warnings,
        problems,
    })
}

/// Says what a configuration that names unknown teams comes to.
///
/// # Errors
/// [`ErrorKind::Rejected`] when no team is left.
pub(super) fn missing_teams(live: &Live) -> Result<Vec<String>> {
    if live.teams.is_empty() && !live.unknown_teams.is_empty() {
        let text = "none of the configured teams exists for this token";
        return Err(Error::new(ErrorKind::Rejected, text).with("projects", live.unknown_teams.join(", ")));
    }
    let warn = |team: &String| {
        format!("team {team} does not exist or is hidden from this token: correct `projects`, or let the token into it")
    };
    Ok(live.unknown_teams.iter().map(warn).collect())
}

fn teams(linear: &Linear, live: &Live) -> Vec<(String, String)> {
    let listed = live.reference.listed.iter().filter_map(|id| live.reference.teams.get(id));
    let read = listed.filter(|team| linear.settings.wants(&team.key));
    let mut teams: Vec<_> = read.map(|team| (team.key.to_string(), team.name.to_string())).collect();
    teams.sort();
    teams
}

fn estimates() -> (String, String, String) {
    ("story_points".to_owned(), "estimate".to_owned(), "Estimate (every issue has it)".to_owned())
}

fn statuses(linear: &Linear, live: &Live, warnings: &mut Vec<String>) -> Vec<(String, String, String)> {
    let reference = &live.reference;
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
