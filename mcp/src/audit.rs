//! The record of each call of a tool and each read of a resource or prompt: which, which project, who, how large and how long, and how it ended. Never what was asked.

use contextcore_core::export::calls::Call;

/// Writes the record to the log of this process.
pub(crate) fn record(call: &Call) {
    let Call { method, tool, project, agent, bytes, tokens, took, error, parent, .. } = call;
    tracing::info!(
        mcp.method.name = method,
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
