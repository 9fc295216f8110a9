//! How many insights each project has, and which agents are active: kept beside the insights, so that metrics read no insight.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::insight::{Insight, InsightStatus, InsightType};
use crate::model::time::{DAY, Millis};

/// An agent that was not active for so long is not counted, and forgotten.
pub(crate) const ACTIVE_FOR: i64 = DAY;
/// Agents of a project that are remembered.
const MOST_AGENTS: usize = 1_000;

/// How many insights a project has, and which agents were active. Stored as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsightTotals {
    /// By type and the state that reports led to.
    pub count: BTreeMap<InsightType, BTreeMap<InsightStatus, i64>>,
    /// When each agent last reported something.
    #[serde(default)]
    pub agents: BTreeMap<String, Millis>,
}

impl InsightTotals {
    pub(super) fn add(&mut self, insight: &Insight, sign: i64) {
        *self.count.entry(insight.insight_type).or_default().entry(insight.status).or_default() += sign;
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (insight_type, by_status) in other.count {
            for (status, by) in by_status {
                *self.count.entry(insight_type).or_default().entry(status).or_default() += by;
            }
        }
        for (agent, at) in other.agents {
            let last = self.agents.entry(agent).or_insert(at);
            *last = at.max(*last);
        }
        let newest = self.agents.values().max().copied().unwrap_or_default();
        self.agents.retain(|_, at| newest.0 - at.0 <= ACTIVE_FOR);
        while self.agents.len() > MOST_AGENTS {
            self.agents.pop_first();
        }
    }
}
