//! Guidance: what people require of agents or recommend to them, from every source it can come from. It is pure.
//!
//! A [`GuidanceItem`] is one line of it. [`of_project`] reads what the entries of the projects file say, [`of_repository`] what a
//! `.contextcore/guidance.yaml` says, and [`stored`] folds what the command line and people with tokens reported. [`in_force`] merges them: ids
//! carry their source, nothing is overridden silently, and the strictest severity of one id counts. Only what is
//! [`Trust::Binding`] can be blocking.

pub mod forge;
mod item;
mod merge;
pub mod stored;

pub use item::{GuidanceItem, GuidanceKind, GuidanceSource, Severity, Trust, slug, until};
pub use merge::{covering, in_force, is_blocked};

use crate::config::{ProjectConfig, project};

/// What the entries of the projects file, most often `ProjectContext`s of Kubernetes, say about a project. It binds.
pub fn of_project(project: &ProjectConfig) -> Vec<GuidanceItem> {
    let contexts = project.contexts.iter().flat_map(|context| {
        let source = match &context.origin {
            Some(origin) => GuidanceSource::Context { namespace: origin.namespace.clone(), name: origin.name.clone() },
            None => GuidanceSource::Projects { project: project.id.clone() },
        };
        of_guidance(&project.id, &source, &context.guidance)
    });
    contexts.collect()
}

/// What a `.contextcore/guidance.yaml` says. With the trusted ref that it was read from it binds; that of a local checkout, which
/// any program on this machine can write, does not.
pub fn of_repository(project: &str, trusted_ref: Option<&str>, guidance: &project::Guidance) -> Vec<GuidanceItem> {
    of_guidance(project, &GuidanceSource::File { trusted_ref: trusted_ref.map(str::to_owned) }, guidance)
}

/// What the same file says as a forge has it on the default branch of a repository. It binds.
pub fn of_forge(project: &str, repository: &str, branch: &str, guidance: &project::Guidance) -> Vec<GuidanceItem> {
    let source = GuidanceSource::Forge { repository: repository.to_owned(), branch: branch.to_owned() };
    of_guidance(project, &source, guidance)
}

fn of_guidance(project: &str, source: &GuidanceSource, guidance: &project::Guidance) -> Vec<GuidanceItem> {
    let item = |kind, id: &str, rule: &str| GuidanceItem::new(project, source.clone(), kind, id, rule);
    let constraints = guidance.constraints.iter().map(|constraint| GuidanceItem {
        scope: constraint.scope.clone(),
        reason: constraint.reason.clone(),
        until: constraint.until.clone(),
        ..item(GuidanceKind::Constraint, &constraint.id, &constraint.rule)
            .with_severity(Severity::read(constraint.severity.as_deref()))
    });
    let preferences = guidance.preferences.iter().map(|preference| GuidanceItem {
        reason: preference.reason.clone(),
        ..item(GuidanceKind::Preference, &preference.id, &preference.preference)
    });
    let focus = guidance.focus.iter().flat_map(|focus| focus.areas.iter().map(move |area| (focus, area)));
    let focus = focus.map(|(focus, area)| GuidanceItem {
        reason: focus.reason.clone(),
        until: focus.until.clone(),
        ..item(GuidanceKind::Focus, &slug(area), area)
    });
    let questions = guidance.questions.iter().filter(|question| is_open(question));
    let questions = questions.map(|question| GuidanceItem {
        reason: question.context.clone(),
        ..item(GuidanceKind::Question, &question.id, &question.question)
    });
    let context = guidance.context.iter().map(|known| GuidanceItem {
        reason: known.source.clone(),
        ..item(GuidanceKind::Context, &slug(&known.topic), &format!("{}: {}", known.topic, known.content))
    });
    constraints.chain(preferences).chain(focus).chain(context).chain(questions).collect()
}

/// Whether a question still waits for an answer.
fn is_open(question: &project::Question) -> bool {
    question.status.as_deref().is_none_or(|status| status == "open")
}

#[cfg(test)]
mod tests;
