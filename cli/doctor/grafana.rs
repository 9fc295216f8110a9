//! Grafana: new enough, the token good, the dashboards there, and their data sources within reach of it.

use std::path::Path;

use contextcore_core::Result;
use contextcore_dashboards::dashboards;
use contextcore_dashboards::knowledge::Backend;

use super::{Finding, Verdict};
use crate::dashboards::{Grafana, token};

const THIS: Backend = Backend::Grafana;
const KINDS: [&str; 3] = ["prometheus", "loki", "tempo"];

pub(super) async fn examine(url: &str, token_file: Option<&Path>, ca_file: Option<&Path>) -> Result<Vec<Finding>> {
    let grafana = Grafana::new(url, token(token_file)?, ca_file)?;
    let version = grafana.version().await?.unwrap_or_else(|| "of a version it does not tell".to_owned());
    let mut findings = vec![Finding::ok(THIS, format!("Grafana {version}, and the token is good"))];
    for (_, dashboard) in dashboards() {
        findings.push(match grafana.dashboard(dashboard.uid).await? {
            Some(_) => Finding::ok(THIS, format!("{} is there", dashboard.title)),
            None => {
                let advice = format!("run `contextcore dashboards provision --grafana-url {url}`");
                Finding::new(THIS, Verdict::Wrong, format!("{} is not there", dashboard.title), Some(advice))
            }
        });
    }
    let there = grafana.sources().await?;
    for stored in there.iter().filter(|stored| KINDS.contains(&stored.source.kind.as_str())) {
        let name = &stored.source.name;
        findings.push(match grafana.source_health(&stored.source.uid).await {
            Ok(()) => Finding::ok(THIS, format!("data source {name} answers")),
            Err(error) => Finding::new(THIS, Verdict::Wrong, format!("data source {name}: {}", error.full()), None),
        });
    }
    Ok(findings)
}
