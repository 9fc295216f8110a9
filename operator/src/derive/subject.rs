//! Which context, and which services it is about.

use std::cmp::Ordering;

use jiff::Timestamp;

use crate::resource::{Criticality, ProjectContext, ProjectContextSpec, Requirements, Sli};

const DEFAULT_NAMESPACE: &str = "default";

/// A context with what other modules ask it.
#[derive(Clone, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) context: &'a ProjectContext,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// `service.name` of its workloads, each once.
    pub(crate) services: Vec<&'a str>,
    /// Names of its workloads, as far as they are given, each once.
    pub(crate) workloads: Vec<&'a str>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(context: &'a ProjectContext) -> Self {
        let namespace = context.metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let name = context.metadata.name.as_deref().unwrap_or_default();
        let mut subject = Self { context, namespace, name, services: Vec::new(), workloads: Vec::new() };
        for target in &context.spec.targets {
            let workload = target.name.as_deref().unwrap_or(name);
            push_once(&mut subject.services, target.service.as_deref().unwrap_or(workload));
            push_once(&mut subject.workloads, workload);
        }
        if context.spec.targets.is_empty() {
            subject.services.push(name);
            subject.workloads.push(name);
        }
        subject
    }

    pub(crate) fn spec(&self) -> &'a ProjectContextSpec {
        &self.context.spec
    }

    pub(crate) fn requirements(&self) -> Option<&'a Requirements> {
        self.spec().requirements.as_ref()
    }

    pub(crate) fn sli(&self) -> Sli {
        self.requirements().and_then(|requirements| requirements.sli.clone()).unwrap_or_default()
    }

    /// As the context says; absent is medium.
    pub(crate) fn criticality(&self) -> Criticality {
        self.spec().business.as_ref().map(|business| business.criticality).unwrap_or_default()
    }

    pub(crate) fn owner(&self) -> Option<&'a str> {
        self.spec().business.as_ref()?.owner.as_deref()
    }

    pub(crate) fn value(&self) -> Option<&'a str> {
        self.spec().business.as_ref()?.value.as_deref()
    }

    pub(crate) fn project(&self) -> &'a str {
        &self.spec().project.id
    }

    /// Label `service` of its rules: its service, or its own name when it is about several.
    pub(crate) fn service(&self) -> &'a str {
        match self.services.as_slice() {
            [one] => one,
            _ => self.name,
        }
    }

    /// What it is sorted by, and called by, among all.
    pub(crate) fn place(&self) -> (&'a str, &'a str) {
        (self.namespace, self.name)
    }

    /// The older first. What was not created yet is the youngest.
    pub(crate) fn compare_age(&self, other: &Self) -> Ordering {
        let created =
            |subject: &Self| subject.context.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |at| at.0);
        created(self).cmp(&created(other)).then_with(|| self.place().cmp(&other.place()))
    }
}

fn push_once<'a>(list: &mut Vec<&'a str>, text: &'a str) {
    if !list.contains(&text) {
        list.push(text);
    }
}
