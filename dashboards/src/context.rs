//! The Context row of Project Details: what the project is worth, what its services promise and risk, and what was decided.
//!
//! All of it comes from `projects:` of the configuration and from the projects file, as metrics of the present.

use contextcore_model::semconv::{self as names, Metric};
use serde_json::json;

use crate::panel::{Draft, at_least, decimals, rows, table, to, unit, value_mapping, width, wrapped};
use crate::query::{Selector, Series, label};

/// Where services are named that no context names.
const SERVICE: &str = "context";

/// The panels of the row.
pub(crate) fn panels() -> Vec<Draft> {
    vec![about(), requirements(), risks(), documents(), guidance()]
}

fn newest(metric: Metric, by: &[&str]) -> String {
    Series::new(metric, Selector::project()).newest(by)
}

/// Every row of an expression names a service.
fn of_service(expression: &str) -> String {
    format!("label_replace({expression}, \"{SERVICE}\", \"project\", \"{SERVICE}\", \"\")")
}

fn about() -> Draft {
    let by = [
        names::PROJECT_ID,
        names::PROJECT_NAME,
        names::BUSINESS_OWNER,
        names::BUSINESS_CRITICALITY,
        names::BUSINESS_VALUE,
    ];
    table(91, "Context", (12, 6))
        .rule("What the project is worth and to whom: `projects:` of the configuration, else the projects file. Of several contexts the \
highest criticality counts, and the owner and value of the oldest.")
        .empty("No data within the look back: see ContextCore Health")
        .ask(rows("A", newest(names::M_PROJECT_INFO, &by)))
        .columns(&[
            ("project_name", "Name"),
            ("project_id", "Id"),
            ("business_owner", "Owner"),
            ("business_criticality", "Criticality"),
            ("business_value", "Value"),
        ])
        .field("Name", vec![wrapped()])
        .field("Criticality", vec![width(105)])
}

fn requirements() -> Draft {
    let latency = |quantile: &str| {
        let chosen = Selector::project().equal(names::QUANTILE, quantile);
        of_service(&Series::new(names::M_REQUIREMENT_LATENCY, chosen).newest(&[names::CONTEXT]))
    };
    let time = || vec![unit("s"), width(88)];
    table(93, "Requirements", (12, 6))
        .rule("What each service of the project must reach: share of requests that succeed, and the time within which half, 95 % and 99 % \
of them are answered. The service links to its dashboard. From `requirements` of its ProjectContext.")
        .empty("No service of this project requires anything, or the sync service has no `projects_file`")
        .ask(rows("A", of_service(&newest(names::M_REQUIREMENT_AVAILABILITY, &[names::CONTEXT]))))
        .ask(rows("B", latency("0.5")))
        .ask(rows("C", latency("0.95")))
        .ask(rows("D", latency("0.99")))
        .joined(SERVICE)
        .columns(&[
            (SERVICE, "Service"),
            ("Value #A", "Available"),
            ("Value #B", "50 %"),
            ("Value #C", "95 %"),
            ("Value #D", "99 %"),
        ])
        .field("Service", vec![to("Dashboard", "/dashboards?tag=contextcore-service"), at_least(100), wrapped()])
        .field("Available", vec![unit("percent"), decimals(2), width(95)])
        .field("50 %", time())
        .field("95 %", time())
        .field("99 %", time())
}

fn risks() -> Draft {
    let by = [
        names::CONTEXT,
        names::RISK_ID,
        names::RISK_TITLE,
        names::PRIORITY,
        names::TYPE,
        names::RISK_OWNER,
        names::RISK_MITIGATION,
    ];
    table(94, "Risks", (24, 6))
        .rule("Risks of the project's services, the most urgent first, with what is done against them. From `risks` of their ProjectContexts.")
        .empty("No risk is known, or the sync service has no `projects_file`")
        .ask(rows("A", format!("sort({})", newest(names::M_RISK_INFO, &by))))
        .columns(&[
            ("priority", "Priority"),
            ("risk_title", "Risk"),
            ("type", "Type"),
            ("risk_mitigation", "Mitigation"),
            ("risk_owner", "Owner"),
            (SERVICE, "Service"),
        ])
        .sorted("Priority", false)
        .field("Priority", vec![width(110), wrapped()])
        .field("Risk", vec![at_least(160), wrapped()])
        .field("Type", vec![width(120), wrapped()])
        .field("Mitigation", vec![at_least(160), wrapped()])
        .field("Owner", vec![width(140), wrapped()])
        .field("Service", vec![width(150), wrapped()])
}

/// Documents by their place. Only a web address can be opened.
fn documents() -> Draft {
    const ADDRESS: &str = "https?://.+";
    let by = [names::DESIGN_KIND, names::DESIGN_PLACE];
    let place = label(names::DESIGN_PLACE);
    let of = |chosen: Selector| Series::new(names::M_DESIGN_INFO, chosen).newest(&by);
    let linked = of(Selector::project().like(names::DESIGN_PLACE, ADDRESS));
    let others = of(Selector::project().unlike(names::DESIGN_PLACE, ADDRESS));
    let open = json!({"type": "regex", "options": {"pattern": "^.+$", "result": {"text": "open", "index": 0}}});
    table(95, "Design", (12, 6))
        .rule("Decision records, design documents and contracts of APIs. What has a web address can be opened; other records are paths in \
the repository. From `design` of the ProjectContexts.")
        .empty("No design is known, or the sync service has no `projects_file`")
        .ask(rows("A", format!("label_join({linked}, \"link\", \"\", \"{place}\") or {others}")))
        .columns(&[("design_kind", "Kind"), (place.as_str(), "Document"), ("link", "Link")])
        .field("Kind", vec![width(115), wrapped()])
        .field("Document", vec![at_least(120), wrapped()])
        .field("Link", vec![to("Open", "${__data.fields.Link}"), value_mapping(&open), width(80)])
}

fn guidance() -> Draft {
    let by = [names::CONTEXT, names::GUIDANCE_KIND, names::GUIDANCE_ID, names::GUIDANCE_TEXT];
    table(96, "Guidance for agents", (12, 6))
        .rule("What people want AI agents to obey and to know, constraints first, 20 lines for each service. From `agentGuidance` of the \
ProjectContexts.")
        .empty("No guidance is known, or the sync service has no `projects_file`")
        .ask(rows("A", newest(names::M_GUIDANCE_INFO, &by)))
        .columns(&[("guidance_kind", "Kind"), ("guidance_text", "Guidance"), (SERVICE, "Service")])
        .sorted("Kind", false)
        .field("Kind", vec![width(105), wrapped()])
        .field("Guidance", vec![at_least(140), wrapped()])
        .field("Service", vec![width(140), wrapped()])
}
