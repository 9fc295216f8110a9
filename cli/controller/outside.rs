//! What the controller asks of others than the API server: the time, Prometheus, and the OTLP backend for the audit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contextcore_core::export::otlp::{self, OtlpTarget};
use contextcore_core::http::Auth;
use contextcore_core::http::service::Service;
use contextcore_core::model::semconv::CONTEXT_CHANGED as CHANGED;
use contextcore_core::model::signal::Signal;
use contextcore_core::{config, lock};
use contextcore_operator::controller::outside::{Outside, Sample};
use contextcore_operator::controller::{ContextChange, RecordId};
use contextcore_operator::grafana::{Left, ProvisionError, Provisioner, ServiceDashboard};
use contextcore_operator::settings::Settings;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::audit::Audit;
use crate::dashboards::services;
use crate::failure::Failure;

/// What sends dashboards, with the settings that it was made from.
type Made = (Settings, Option<Arc<dyn Provisioner>>);

/// All of them.
pub(super) struct Others {
    /// Where changes are recorded. `None`: in the log of the process only.
    audit: Option<Arc<Audit>>,
    /// It remembers what it sent.
    grafana: Mutex<Option<Made>>,
}

impl Others {
    fn grafana(&self, settings: &Settings) -> contextcore_core::Result<Option<Arc<dyn Provisioner>>> {
        let mut known = lock(&self.grafana);
        let same = |made: &Settings| (&made.grafana, &made.instance) == (&settings.grafana, &settings.instance);
        if let Some((_, grafana)) = known.as_ref().filter(|(made, _)| same(made)) {
            return Ok(grafana.clone());
        }
        let grafana: Option<Arc<dyn Provisioner>> = services::provisioner(settings)?.map(Arc::from);
        *known = Some((settings.clone(), grafana.clone()));
        Ok(grafana)
    }

    /// # Errors
    /// What is wrong with the address of the backend.
    pub(super) fn new(endpoint: Option<&str>) -> Result<Self, Failure> {
        let Some(endpoint) = endpoint else { return Ok(Self { audit: None, grafana: Mutex::default() }) };
        // Headers, protocol and certificates come from the variables of OpenTelemetry.
        let text = json!({"export": {"otlp": {"endpoint": endpoint}}}).to_string();
        let config = config::parse(&text, "--otlp-endpoint", &[])?;
        let target = OtlpTarget::of(&config.export.otlp, Signal::Logs)?;
        let sink = target.map(|target| otlp::connect(&target, Signal::Logs)).transpose()?;
        Ok(Self { audit: sink.map(Audit::new), grafana: Mutex::default() })
    }
}

impl Others {
    /// Waits for records that are on their way, at most this long.
    pub(super) async fn finish(&self, patience: Duration) {
        if let Some(audit) = &self.audit {
            audit.finish(patience).await;
        }
    }
}

#[async_trait]
impl Outside for Others {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(contextcore_core::clock::now().0).unwrap_or_default()
    }

    async fn query(&self, url: &str, promql: &str) -> Result<Vec<Sample>, String> {
        let prometheus = Service::new("prometheus", url, Auth::None, None).map_err(|error| error.full())?;
        let reply = prometheus.get("/api/v1/query", &[("query", promql)]).await.map_err(|error| error.full())?;
        if !reply.is_success() {
            return Err(format!("it answered {}: {}", reply.status, reply.message()));
        }
        Ok(samples(&reply.json()))
    }

    async fn record(&self, changes: Vec<ContextChange>) {
        for change in &changes {
            let is_deleted = change.after.is_none();
            tracing::info!(
                context = format!("{}/{}", change.namespace, change.name),
                project = change.project,
                action = if is_deleted { "deleted" } else { "changed" },
                manager = (!is_deleted).then(|| change.manager.as_deref().unwrap_or("unknown")),
                paths = (!is_deleted).then(|| change.paths.join(",")),
                "{CHANGED}"
            );
        }
        if let Some(audit) = &self.audit {
            audit.record(changes);
        }
    }

    fn has_backend(&self) -> bool {
        self.audit.is_some()
    }

    async fn settled(&self) -> Vec<RecordId> {
        match &self.audit {
            Some(audit) => audit.settled().await,
            None => std::future::pending().await,
        }
    }

    fn lost_records(&self) -> u64 {
        self.audit.as_ref().map_or(0, |audit| audit.take_lost())
    }

    async fn provision(
        &self,
        dashboards: &[ServiceDashboard],
        settings: &Settings,
    ) -> Option<Result<Vec<Left>, ProvisionError>> {
        match self.grafana(settings) {
            Ok(grafana) => Some(grafana?.provision(dashboards).await),
            Err(error) => Some(Err(ProvisionError { reason: "GrafanaUnreachable", message: error.full() })),
        }
    }
}

/// The series of an answer to an instant query.
fn samples(answer: &Value) -> Vec<Sample> {
    let sample = |series: &Value| {
        let labels = series["metric"].as_object()?.iter();
        let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let value = series["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        Some(Sample { labels: labels.collect(), value })
    };
    answer["data"]["result"].as_array().into_iter().flatten().filter_map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_samples() {
        let answer = json!({"data": {"result": [{"metric": {"job": "a/b"}, "value": [1.0, "3"]}]}});
        let samples = samples(&answer);
        assert_eq!((samples[0].labels["job"].as_str(), samples[0].value), ("a/b", 3.0));
    }
}
