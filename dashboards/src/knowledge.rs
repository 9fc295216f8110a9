//! What can be wrong with a backend, the symptom, and the configuration line that fixes it.
//!
//! The doctor (`contextcore check --tempo-url …`) finds which one applies; the Health dashboard lists them in the description
//! of the panel that shows the symptom. Every line was measured with the files in `deploy/backends/`; a test compares them.

/// A backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// Traces.
    Tempo,
    /// Events.
    Loki,
    /// Metrics.
    Prometheus,
    /// Dashboards.
    Grafana,
}

impl Backend {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tempo => "Tempo",
            Self::Loki => "Loki",
            Self::Prometheus => "Prometheus",
            Self::Grafana => "Grafana",
        }
    }
}

/// A setting that history needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The backend it belongs to.
    pub backend: Backend,
    /// The symptom when it is missing.
    pub symptom: &'static str,
    /// The configuration line, as a path and a value.
    pub line: &'static str,
    /// The same line for versions that spell it differently.
    pub elsewhere: Option<&'static str>,
    /// What else to know.
    pub note: &'static str,
}

/// Old spans are stored, and no search finds them.
pub const TEMPO_SLACK: Setting = Setting {
    backend: Backend::Tempo,
    symptom: "an old span is found by its id but not by a search",
    line: "live_store.wal.ingestion_time_range_slack: 87600h",
    elsewhere: Some("Tempo 2.x: storage.trace.wal.ingestion_time_range_slack: 87600h"),
    note: "Applies only to spans written after the change: start over with an empty data folder or another tenant, then `contextcore replay`.",
};

/// Old spans are deleted.
pub const TEMPO_RETENTION: Setting = Setting {
    backend: Backend::Tempo,
    symptom: "an old span is not even found by its id",
    line: "backend_scheduler.provider.compaction.compaction.block_retention: 43800h",
    elsewhere: Some(
        "Tempo 2.x: compactor.compaction.block_retention: 43800h; Tempo 3.x also: backend_worker.compaction.block_retention: 43800h",
    ),
    note: "Age counts from the end of a span, not from its arrival.",
};

/// Searches over more than a week are rejected.
pub const TEMPO_SEARCH_RANGE: Setting = Setting {
    backend: Backend::Tempo,
    symptom: "a search over a year is rejected",
    line: "query_frontend.search.max_duration: 0s",
    elsewhere: None,
    note: "",
};

/// TraceQL metrics over more than hours are rejected.
pub const TEMPO_METRICS_RANGE: Setting = Setting {
    backend: Backend::Tempo,
    symptom: "TraceQL metrics over a year are rejected",
    line: "query_frontend.metrics.max_duration: 0s",
    elsewhere: None,
    note: "",
};

/// Large backfills lose traces.
pub const TEMPO_TRACES: Setting = Setting {
    backend: Backend::Tempo,
    symptom: "a backfill of many traces loses some although the answer is \"ok\"",
    line: "overrides.defaults.ingestion.max_traces_per_user: 0",
    elsewhere: None,
    note: "",
};

/// Large epics lose spans.
pub const TEMPO_BYTES: Setting = Setting {
    backend: Backend::Tempo,
    symptom: "a large epic loses spans although the answer is \"ok\"",
    line: "overrides.defaults.global.max_bytes_per_trace: 50000000",
    elsewhere: None,
    note: "",
};

/// Old records are rejected.
pub const LOKI_OLD: Setting = Setting {
    backend: Backend::Loki,
    symptom: "a record of last year is rejected: `has timestamp too old`",
    line: "limits_config.reject_old_samples: false",
    elsewhere: None,
    note: "",
};

/// Records behind others of their stream are rejected.
pub const LOKI_BEHIND: Setting = Setting {
    backend: Backend::Loki,
    symptom: "a record older than the newest of its stream is rejected: `entry too far behind`",
    line: "ingester.max_chunk_age: 20160h",
    elsewhere: None,
    note: "",
};

/// Queries over more than a month are rejected.
pub const LOKI_RANGE: Setting = Setting {
    backend: Backend::Loki,
    symptom: "a query over a year is rejected",
    line: "limits_config.max_query_length: 0s",
    elsewhere: None,
    note: "",
};

/// Projects are not labels.
pub const LOKI_LABELS: Setting = Setting {
    backend: Backend::Loki,
    symptom: "a record is stored but not under its `project_id`",
    line: "limits_config.otlp_config.resource_attributes.attributes_config: [{action: index_label, attributes: [replay, project.id, source.name]}]",
    elsewhere: None,
    note: "Without it, a backfill shares its stream with live records, and Loki then rejects the older ones.",
};

/// Old samples are rejected.
pub const PROMETHEUS_OLD: Setting = Setting {
    backend: Backend::Prometheus,
    symptom: "a sample of last month is rejected after a newer one: `out of bounds` or `too old sample`",
    line: "storage.tsdb.out_of_order_time_window: 10080h",
    elsewhere: Some("Mimir: limits.out_of_order_time_window: 10080h"),
    note: "",
};

/// There is no OTLP receiver.
pub const PROMETHEUS_RECEIVER: Setting = Setting {
    backend: Backend::Prometheus,
    symptom: "metrics are answered with 404",
    line: "--web.enable-otlp-receiver",
    elsewhere: None,
    note: "A command-line flag.",
};

/// Old samples are deleted.
pub const PROMETHEUS_RETENTION: Setting = Setting {
    backend: Backend::Prometheus,
    symptom: "an old sample was accepted but is not found",
    line: "--storage.tsdb.retention.time=5y",
    elsewhere: Some("newer versions also in the file: storage.tsdb.retention.time: 5y"),
    note: "A command-line flag. Age counts from the sample's time.",
};

/// Projects are not labels.
pub const PROMETHEUS_LABELS: Setting = Setting {
    backend: Backend::Prometheus,
    symptom: "series have no `source_name`",
    line: "otlp.promote_resource_attributes: [service.namespace, project.id, project.name, source.name, source.tool]",
    elsewhere: None,
    note: "",
};

/// All of them.
pub const SETTINGS: [Setting; 14] = [
    TEMPO_SLACK,
    TEMPO_RETENTION,
    TEMPO_SEARCH_RANGE,
    TEMPO_METRICS_RANGE,
    TEMPO_TRACES,
    TEMPO_BYTES,
    LOKI_OLD,
    LOKI_BEHIND,
    LOKI_RANGE,
    LOKI_LABELS,
    PROMETHEUS_OLD,
    PROMETHEUS_RECEIVER,
    PROMETHEUS_RETENTION,
    PROMETHEUS_LABELS,
];

impl Setting {
    /// `set `line` (elsewhere). Note.`
    pub fn advice(&self) -> String {
        let elsewhere = self.elsewhere.map(|other| format!(" ({other})")).unwrap_or_default();
        let note = if self.note.is_empty() { String::new() } else { format!(" {}", self.note) };
        format!("set `{}`{elsewhere}.{note}", self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last word of the path and its value must be in the files that users get.
    #[test]
    fn every_line_is_one_of_the_configurations_that_were_measured() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/backends/");
        let read = |file: &str| std::fs::read_to_string(format!("{folder}{file}")).unwrap();
        let all = ["tempo.yaml", "tempo-2.yaml", "loki.yaml", "prometheus.yml"].map(read).concat();
        let listed = |setting: &&Setting| !setting.line.contains('[') && !setting.line.starts_with("--");
        for setting in SETTINGS.iter().filter(listed) {
            let (path, value) = setting.line.split_once(": ").unwrap();
            let key = path.rsplit('.').next().unwrap();
            assert!(all.contains(&format!("{key}: {value}")), "{}", setting.line);
        }
    }
}
