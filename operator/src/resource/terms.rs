//! The closed vocabularies of the resource: each value has one spelling, which the definition lists as an `enum`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An enum of texts, its spelling and its plain schema (the one of schemars has a branch for each value, which Kubernetes
/// refuses).
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// All values, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "enum": [$($text),+]})
            }
        }
    };
}

text_enum! {
    /// How much hangs on a service; the first is the highest.
    #[derive(Default)]
    Criticality {
        /// The business stands still without it.
        Critical = "critical",
        /// The business suffers at once.
        High = "high",
        /// The usual.
        #[default]
        Medium = "medium",
        /// Nobody outside notices for a day.
        Low = "low",
    }
}
text_enum! {
    /// Priority of a risk, and of the alerts of a context.
    #[derive(Default)]
    Priority {
        /// The most urgent.
        P1 = "P1",
        /// Urgent.
        P2 = "P2",
        /// The usual.
        #[default]
        P3 = "P3",
        /// The least urgent.
        P4 = "P4",
    }
}
text_enum! {
    /// What kind of harm a risk does.
    RiskType {
        /// Somebody gets in.
        Security = "security",
        /// A law or contract is broken.
        Compliance = "compliance",
        /// Data is lost or wrong.
        DataIntegrity = "data-integrity",
        /// The service is down.
        Availability = "availability",
        /// Money is lost.
        Financial = "financial",
        /// Trust is lost.
        Reputational = "reputational",
    }
}
text_enum! {
    /// The kind of a workload.
    TargetKind {
        /// `apps/v1`.
        Deployment = "Deployment",
        /// `apps/v1`.
        StatefulSet = "StatefulSet",
        /// `apps/v1`.
        DaemonSet = "DaemonSet",
        /// `batch/v1`.
        CronJob = "CronJob",
        /// `batch/v1`.
        Job = "Job",
    }
}
text_enum! {
    /// The period of an objective.
    #[derive(Default)]
    Window {
        /// A week.
        Week = "7d",
        /// Four weeks.
        FourWeeks = "28d",
        /// A month.
        #[default]
        Month = "30d",
    }
}
text_enum! {
    /// Which instrumentation the numbers of objectives come from.
    #[derive(Default)]
    Profile {
        /// OpenTelemetry's HTTP server metrics.
        #[default]
        OtelHttp = "otel-http",
        /// OpenTelemetry's RPC server metrics.
        OtelRpc = "otel-rpc",
        /// The sidecar or waypoint of Istio.
        Istio = "istio",
        /// PromQL of your own.
        Custom = "custom",
    }
}
text_enum! {
    /// How Prometheus stores the histogram of durations.
    #[derive(Default)]
    Histogram {
        /// A series for each bucket.
        #[default]
        Classic = "classic",
        /// One series.
        Native = "native",
    }
}
text_enum! {
    /// Which folder the dashboard is in.
    Placement {
        /// First page.
        Featured = "featured",
        /// With the others.
        Standard = "standard",
        /// Out of sight.
        Archived = "archived",
    }
}
text_enum! {
    /// How much of what changes data is kept.
    Audit {
        /// As sampled.
        Standard = "standard",
        /// Every writing request.
        Extended = "extended",
    }
}
text_enum! {
    /// Whether workloads get annotations with their context.
    #[derive(Default)]
    Annotate {
        /// They do not.
        #[default]
        None = "None",
        /// The workload does; nothing restarts.
        Workload = "Workload",
        /// The template of its pods does; they restart once.
        PodTemplate = "PodTemplate",
    }
}
text_enum! {
    /// How binding a constraint is.
    Severity {
        /// Must not be broken.
        Blocking = "blocking",
        /// Should not be broken.
        Warning = "warning",
        /// Good to know.
        Advisory = "advisory",
    }
}
text_enum! {
    /// What became of a question.
    QuestionStatus {
        /// Nobody answered yet.
        Open = "open",
        /// There is an answer.
        Answered = "answered",
        /// Nobody needs the answer any more.
        Closed = "closed",
    }
}
text_enum! {
    /// Where a derived value comes from.
    Source {
        /// The resource says it.
        Spec = "spec",
        /// The table of criticalities.
        Criticality = "criticality",
        /// A risk of priority P1.
        Risk = "risk",
        /// A limit of the namespace.
        Policy = "policy",
    }
}

impl Window {
    /// Its length in hours.
    #[must_use]
    pub const fn hours(self) -> u32 {
        match self {
            Self::Week => 7 * 24,
            Self::FourWeeks => 28 * 24,
            Self::Month => 30 * 24,
        }
    }
}
