//! The record of each call: which tool, which project, who, how large and how long, and how it ended. Never what was asked.

use contextcore_core::export::calls::Call;

/// Writes the record to the log of this process.
pub(crate) fn record(call: &Call) {
    let Call { tool, project, agent, bytes, tokens, took, error, parent, .. } = call;
    tracing::info!(
        mcp.method.name = "tools/call",
        gen_ai.tool.name = tool,
        project = project.as_deref().unwrap_or_default(),
        agent,
        bytes,
        tokens,
        ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        outcome = error.unwrap_or("ok"),
        traceparent = parent.as_deref(),
        "mcp.call"
    );
}
