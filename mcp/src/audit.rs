//! The record of each call: which tool, which project, who, how large and how long, and how it ended. Never what was asked.

/// A call that ended.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) tool: &'a str,
    pub(crate) project: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) bytes: usize,
    pub(crate) tokens: usize,
    pub(crate) milliseconds: u64,
    /// `ok`, or the kind of problem.
    pub(crate) outcome: &'a str,
    /// The span of the caller.
    pub(crate) traceparent: Option<&'a str>,
}

/// Writes the record.
pub(crate) fn record(call: &Call<'_>) {
    let Call { tool, project, agent, bytes, tokens, milliseconds, outcome, traceparent } = call;
    tracing::info!(
        mcp.method.name = "tools/call",
        gen_ai.tool.name = tool,
        project,
        agent,
        bytes,
        tokens,
        ms = milliseconds,
        outcome,
        traceparent,
        "mcp.call"
    );
}
