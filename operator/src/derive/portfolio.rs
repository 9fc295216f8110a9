//! What a project is when several contexts describe it: the highest criticality, and owner, value and name of the oldest that
//! says them.

use std::collections::BTreeMap;

use super::plan::Plan;
use super::subject::Subject;
use crate::resource::Criticality;

/// A project as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) criticality: Criticality,
    pub(crate) owner: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) epic: Option<String>,
}

/// All projects by id.
#[derive(Debug, Default)]
pub(crate) struct Portfolio(BTreeMap<String, Whole>);

impl Portfolio {
    /// From accepted contexts, the oldest first.
    pub(crate) fn new<'a, 'b: 'a>(plans: impl Iterator<Item = &'a Plan<'b>>) -> Self {
        let mut all: BTreeMap<String, Whole> = BTreeMap::new();
        for plan in plans {
            let own = own(&plan.subject, plan.policy.criticality);
            all.entry(plan.subject.project().to_owned()).and_modify(|whole| whole.add(&own)).or_insert(own);
        }
        Self(all)
    }

    /// The project of a plan.
    pub(crate) fn of(&self, plan: &Plan) -> Whole {
        let own = || own(&plan.subject, plan.policy.criticality);
        self.0.get(plan.subject.project()).cloned().unwrap_or_else(own)
    }

    /// Fields that a context says otherwise than the project as a whole, each with what is in force.
    pub(crate) fn differences(&self, plan: &Plan) -> Vec<String> {
        let (whole, own) = (self.of(plan), own(&plan.subject, plan.policy.criticality));
        let pairs = [
            ("business.owner", own.owner, whole.owner),
            ("business.value", own.value, whole.value),
            ("project.name", own.name, whole.name),
            ("project.epic", own.epic, whole.epic),
        ];
        let differs = pairs.into_iter().filter(|(_, own, whole)| own.is_some() && own != whole);
        differs.map(|(field, _, whole)| format!("{field} ({})", whole.unwrap_or_default())).collect()
    }
}

impl Whole {
    fn add(&mut self, other: &Self) {
        self.criticality = self.criticality.min(other.criticality);
        let keep = |mine: &mut Option<String>, theirs: &Option<String>| {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        };
        keep(&mut self.owner, &other.owner);
        keep(&mut self.value, &other.value);
        keep(&mut self.name, &other.name);
        keep(&mut self.epic, &other.epic);
    }
}

fn own(subject: &Subject, criticality: Criticality) -> Whole {
    let project = &subject.spec().project;
    Whole {
        criticality,
        owner: subject.owner().map(str::to_owned),
        value: subject.value().map(str::to_owned),
        name: project.name.clone(),
        epic: project.epic.clone(),
    }
}
