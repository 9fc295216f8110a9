//! Grafana: it must be new enough, accept the token, have the dashboards, and reach their data sources.

use std::path::Path;

use contextcore_core::Result;
use contextcore_dashboards::dashboards;
use contextcore_dashboards::knowledge::Backend;

use super::examination::{Finding, Verdict};
use crate::dashboards::{Grafana, token};

const THIS: Backend = Backend::Grafana;
const KINDS: [&str; 3] = ["prometheus", "loki", "tempo"];

pub(super) async fn examine(url: &str, token_file: Option<&Path>, ca_file: Option<&Path>) -> Result<Vec<Finding>> {
    let grafana = Grafana::new(url, token(token_file)?, ca_file)?;
    let version = grafana.version().await?.unwrap_or_else(|| "of unknown version".to_owned());
    let mut findings = vec![Finding::ok(THIS, format!("Grafana {version}, and the token is valid"))];
    for (_, dashboard) in dashboards() {
        findings.push(match grafana.dashboard(dashboard.uid).await? {
            Some(_) => Finding::ok(THIS, format!("{} exists", dashboard.title)),
            None => {
                let advice = format!("run `contextcore dashboards provision --grafana-url {url}`");
                Finding::new(THIS, Verdict::Wrong, format!("{} is missing", dashboard.title), Some(advice))
            }
        });
    }
    let sources = grafana.sources().await?;
    for stored in sources.iter().filter(|stored| KINDS.contains(&stored.source.kind.as_str())) {
        let name = &stored.source.name;
        findings.push(match grafana.source_health(&stored.source.uid).await {
            Ok(()) => Finding::ok(THIS, format!("data source {name} answers")),
            Err(error) => Finding::new(THIS, Verdict::Wrong, format!("data source {name}: {}", error.full()), None),
        });
    }
    Ok(findings)
}
