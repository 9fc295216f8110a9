//! Workloads of others that carry our annotations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::kinds::Place;
use super::results::ObjectState;
use crate::resource::ResourceReference;

/// A workload that we annotated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Workload {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What was done for a context.
#[derive(Clone, Debug)]
pub(crate) struct Annotated {
    /// What was wanted, so that a change is seen.
    pub(crate) wanted: String,
    pub(crate) at: Duration,
    pub(crate) workloads: BTreeSet<Workload>,
    pub(crate) states: Vec<(String, ObjectState)>,
    /// Which of the workloads found an older context has.
    pub(crate) conflict: Option<String>,
}

/// Which context annotates a workload: two by turns would restart its pods for ever. A selector is known to match one only once the
/// cluster was asked.
#[derive(Debug, Default)]
pub(crate) struct Owners(BTreeMap<Workload, (Age, Place)>);

/// When a context was created, in seconds; one that was not is the youngest.
pub(crate) type Age = i64;

impl Owners {
    /// Claims a workload, also from a younger context.
    ///
    /// # Errors
    /// The older context that has it.
    pub(crate) fn claim(&mut self, workload: &Workload, age: Age, place: &Place) -> Result<(), Place> {
        let own = (age, place.clone());
        match self.0.get(workload).filter(|owner| owner.1 != own.1 && **owner < own) {
            Some((_, other)) => Err(other.clone()),
            None => {
                self.0.insert(workload.clone(), own);
                Ok(())
            }
        }
    }

    /// A context has the workload no more. Whether somebody else has it.
    pub(crate) fn release(&mut self, workload: &Workload, place: &Place) -> bool {
        if self.0.get(workload).is_some_and(|(_, owner)| owner == place) {
            self.0.remove(workload);
        }
        self.0.contains_key(workload)
    }

    /// A context is gone, or annotates nothing any more.
    pub(crate) fn forget(&mut self, place: &Place) {
        self.0.retain(|_, (_, owner)| owner != place);
    }
}

impl Workload {
    /// A workload among the resources that a status names.
    pub(crate) fn of(resource: &Value) -> Option<Self> {
        let text = |field: &str| resource[field].as_str().map(str::to_owned);
        let ours = matches!(resource["group"].as_str(), Some("apps" | "batch"));
        ours.then(|| Some(Self { kind: text("kind")?, namespace: text("namespace")?, name: text("name")? })).flatten()
    }

    fn group(&self) -> &'static str {
        if matches!(self.kind.as_str(), "Job" | "CronJob") { "batch" } else { "apps" }
    }

    /// As a client asks for it.
    pub(crate) fn resource(&self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(self.group(), "v1", &self.kind))
    }

    /// The object without any field of ours.
    pub(crate) fn empty(&self) -> Value {
        json!({
            "apiVersion": format!("{}/v1", self.group()),
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": self.namespace},
        })
    }

    /// As a status names it.
    pub(crate) fn reference(&self) -> ResourceReference {
        ResourceReference {
            group: self.group().to_owned(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_context_has_a_workload_until_it_lets_go() {
        let place = |name: &str| Place { namespace: "shop".into(), name: name.into() };
        let workload = Workload { kind: "Deployment".into(), namespace: "shop".into(), name: "cart".into() };
        let (old, young, mut owners) = (place("z-old"), place("a-young"), Owners::default());
        assert_eq!(owners.claim(&workload, 9, &young), Ok(()));
        assert_eq!(owners.claim(&workload, 5, &old), Ok(()), "from the younger one");
        assert_eq!(owners.claim(&workload, 9, &young), Err(old.clone()));
        assert_eq!(owners.claim(&workload, 5, &old), Ok(()), "again");
        assert!(owners.release(&workload, &young), "the annotations of the older one stay");
        assert!(!owners.release(&workload, &old));
        assert_eq!(owners.claim(&workload, 9, &young), Ok(()));
        owners.forget(&young);
        assert_eq!(owners.claim(&workload, 99, &old), Ok(()));
        assert_eq!(owners.claim(&workload, 99, &place("zz")), Err(old), "of one age, the first by name");
    }
}
