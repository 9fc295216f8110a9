//! The arguments of `mcp`.

use std::path::PathBuf;

use clap::Args;

/// What an agent may see and do over the Model Context Protocol.
#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// Offer only the tools that read
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Offer only these tools, e.g. get_context,find_tasks
    #[arg(long, value_name = "TOOL,...", value_delimiter = ',')]
    pub(crate) tools: Vec<String>,
    /// Id of the agent that is served [default: $CONTEXTCORE_AGENT, else the name of its client]
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Person for whom it works [default: the user of this process]
    #[arg(long, value_name = "NAME")]
    pub(crate) on_behalf_of: Option<String>,
    /// Project that is meant when a call names none [default: $CONTEXTCORE_PROJECT, else .contextcore/project]
    #[arg(long, short = 'p', value_name = "PROJECT")]
    pub(crate) project: Option<String>,
    /// State directory of the SDK [default: $CONTEXTCORE_STATE_DIR, else ~/.local/state/contextcore]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// OTLP backend for what is reported [default: $OTEL_EXPORTER_OTLP_ENDPOINT, else that of the configuration]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Protocol of the backend
    #[arg(long, value_name = "PROTOCOL", value_parser = ["grpc", "http/protobuf"])]
    pub(crate) protocol: Option<String>,
}
