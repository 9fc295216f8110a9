//! Who claimed a workload, or a native project of a source, first. Two contexts of one workload would sample it at two rates and alert
//! on it twice; a native project of two projects would have its tasks reported as those of whoever is read first.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use super::subject::Subject;
use crate::resource::{Target, TargetKind};

/// What was claimed, and by which context.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    workloads: BTreeMap<String, String>,
    /// By source and native project: the project that has it, and the context that says so.
    native: BTreeMap<(String, String), (String, String)>,
}

impl Claims {
    /// Claims all that a context names; contexts are asked in the order of their age.
    ///
    /// # Errors
    /// The refusal when an older one has it; then nothing of this context is claimed.
    pub(crate) fn claim(&mut self, subject: &Subject) -> Result<(), Refusal> {
        let wanted = wanted(subject);
        let place = format!("{}/{}", subject.namespace, subject.name);
        self.native_is_free(subject)?;
        for (key, what) in &wanted {
            if let Some(other) = self.workloads.get(key) {
                return Err(Refusal::new(
                    "ConflictingTarget",
                    format!(
                        "{what} is claimed by {other}, which is older: remove it from spec.targets of one of the two"
                    ),
                ));
            }
        }
        self.workloads.extend(wanted.into_iter().map(|(key, _)| (key, place.clone())));
        for include in &subject.spec().project.include {
            let key = (include.source.clone(), include.project.clone());
            self.native.entry(key).or_insert_with(|| (subject.project().to_owned(), place.clone()));
        }
        Ok(())
    }

    /// Contexts of one project may include the same; those of another may not.
    fn native_is_free(&self, subject: &Subject) -> Result<(), Refusal> {
        for include in &subject.spec().project.include {
            let known = self.native.get(&(include.source.clone(), include.project.clone()));
            if let Some((project, other)) = known.filter(|(project, _)| project != subject.project()) {
                return Err(Refusal::new(
                    "ConflictingTarget",
                    format!(
                        "spec.project.include: {} of {} belongs to project {project} by {other}, which is older: remove it from \
                         one of the two",
                        include.project, include.source
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Keys of all that a context claims, with words for each. Services count besides workloads: sampling and rules know services.
fn wanted(subject: &Subject) -> Vec<(String, String)> {
    let within = subject.namespace;
    let service = |name: &str| (format!("{within} service {name}"), format!("service {within}/{name}"));
    let mut keys: Vec<_> = subject.services.iter().map(|name| service(name)).collect();
    keys.push(service(subject.service()));
    keys.extend(subject.spec().targets.iter().map(|target| workload(within, target)));
    if subject.spec().targets.is_empty() {
        // Its one workload is called as it is, and may be of any kind.
        keys.extend(TargetKind::ALL.iter().map(|kind| named(within, *kind, subject.name)));
    }
    keys.dedup_by(|a, b| a.0 == b.0);
    keys
}

fn workload(within: &str, target: &Target) -> (String, String) {
    let kind = target.kind;
    if let Some(name) = &target.name {
        return named(within, kind, name);
    }
    let labels = target.selector.as_ref().map(|selector| &selector.match_labels);
    let labels: Vec<String> = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = labels.join(",");
    (format!("{within} {kind} selector {labels}"), format!("{kind} {within} with {labels}"))
}

fn named(within: &str, kind: TargetKind, name: &str) -> (String, String) {
    (format!("{within} {kind} {name}"), format!("{kind} {within}/{name}"))
}
