//! The doctor of `contextcore check`: exports back-dated canaries like any telemetry, looks them up at their own time, and names
//! each wrong setting with the line for the backend's configuration.
//!
//! [`examine`] runs everything; each backend has a file of its own. What can be wrong, and the lines, are in
//! [`contextcore_dashboards::knowledge`]. Where a backend shows its configuration, that is read too, since some settings have an
//! effect only weeks later.

mod access;
mod examination;
mod grafana;
mod loki;
mod prometheus;
mod tempo;

use std::collections::BTreeSet;
use std::time::Duration;

use contextcore_core::config::Config;
use contextcore_core::export::canary::Canary;
use contextcore_core::{Result, clock};
use contextcore_dashboards::knowledge::Backend;

use crate::args::Doctor;

pub(crate) use access::Backends;
use examination::Examination;
pub(crate) use examination::{Finding, Verdict};

/// Examines every backend that an address is given for.
pub(crate) async fn examine(config: &Config, doctor: &Doctor, backends: &Backends) -> Vec<Finding> {
    let now = clock::now();
    let examination =
        Examination { config, canary: Canary::new(now), now, wait: Duration::from_secs(doctor.wait.clamp(1, 3_600)) };
    let mut findings = Vec::new();
    if let Some(prometheus) = &backends.prometheus {
        findings.extend(findings_or_failure(prometheus.backend(), prometheus::examine(&examination, prometheus).await));
    }
    if let Some(loki) = &backends.loki {
        findings.extend(findings_or_failure(loki.backend(), loki::examine(&examination, loki).await));
    }
    if let Some(tempo) = &backends.tempo {
        findings.extend(findings_or_failure(tempo.backend(), tempo::examine(&examination, tempo).await));
    }
    if let Some(url) = &doctor.grafana_url {
        let ca_file = doctor.ca_file.as_deref().or(config.export.otlp.ca_file.as_deref());
        let found = grafana::examine(url, doctor.token_file.as_deref(), ca_file).await;
        findings.extend(findings_or_failure(Backend::Grafana, found));
    }
    // One setting may cause several findings.
    let mut known = BTreeSet::new();
    findings.retain(|finding| finding.verdict == Verdict::Ok || known.insert((finding.found.clone(), finding.backend)));
    findings
}

fn findings_or_failure(backend: Backend, findings: Result<Vec<Finding>>) -> Vec<Finding> {
    findings.unwrap_or_else(|error| vec![Finding::failed(backend, &error)])
}
