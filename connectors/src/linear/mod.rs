//! The Linear connector.
//!
//! [`LinearConnector`] is the [`Connector`], [`Linear`] its [`SourceSession`]. The rest is by concern: [`settings`] (what the
//! configuration says), [`api`] (the calls, with their documents in `queries/`), [`dialect`] (limits and refusals) and
//! [`sizes`] (what a question costs), [`parts`] and [`rows`] (one bad thing among many), [`session`] and [`mod@reference`] (what a workspace is like), [`paged_scan`] (reading by what
//! changed), [`issues`], [`plan`] with [`plan_rows`], and [`ids`] (the streams), [`histories`] (whole issues), [`again`] (what could not be read before), [`wire`] (the shapes of answers and
//! records), [`normalise`] with [`mapping`] (what they mean), and [`webhook`]. All knowledge of Linear's habits is in one of
//! these.
//!
//! A poll without changes is three requests: who we are, what changed around the issues, what changed in them. How many
//! a first sync is, and what it costs, is planned in [`sizes`].

mod again;
mod api;
mod check;
mod dialect;
mod features;
mod histories;
mod ids;
mod issues;
mod limited;
mod mapping;
mod normalise;
mod paged_scan;
mod parts;
mod plan;
mod plan_rows;
mod queries;
mod reference;
mod requests;
mod rows;
mod session;
mod settings;
mod sizes;
mod webhook;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use contextcore_core::config::{KindKeys, Privacy, SourceConfig};
use contextcore_core::http::Stats;
use contextcore_core::ingest::connector::{
    CheckReport, Connector, Cursor, InitHints, InitQuestion, Page, RawRecord, Registration, Run, SourceSession, Stream,
};
use contextcore_core::model::observation::Observation;
use contextcore_core::{Error, ErrorKind, Result};

use crate::credential::Credential;
use crate::reference_data;
use api::Api;
use reference::Reference;
use session::{IDS, ISSUES, Linear, Memory, PLAN};
use settings::{LinearKeys, Settings};

/// Linear's line in the registry.
pub(crate) const REGISTRATION: Registration = Registration {
    kind: "linear",
    about: "Linear",
    keys: KindKeys::of::<LinearKeys>(),
    init: InitHints {
        questions: &[InitQuestion::url("Address", Some("https://api.linear.app")), InitQuestion::TOKEN],
        token_page: Some("https://linear.app/settings/account/security"),
    },
    webhook: Some(webhook::prove),
    build,
};

const STREAMS: &[Stream] = &[
    Stream { name: PLAN, complete: false },
    Stream { name: ISSUES, complete: false },
    Stream { name: IDS, complete: true },
];

fn build(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    let (settings, credential) = Settings::new(config, privacy)?;
    let api = Arc::new(Api::new(&settings)?);
    Ok(Box::new(LinearConnector { settings: Arc::new(settings), credential, api, memory: Arc::default() }))
}

/// A Linear source, for as long as the process lives.
struct LinearConnector {
    settings: Arc<Settings>,
    credential: Credential,
    api: Arc<Api>,
    memory: Arc<Memory>,
}

#[async_trait]
impl Connector for LinearConnector {
    fn streams(&self) -> &'static [Stream] {
        STREAMS
    }

    /// Since 1, the agents that issues were delegated to.
    fn readings(&self) -> &'static [(&'static str, u32)] {
        &[(ISSUES, 1)]
    }

    async fn open(&self, state: Option<serde_json::Value>, run: &Run) -> Result<Box<dyn SourceSession>> {
        self.credential.refresh(|token| self.api.authorize(&settings::auth(token)))?;
        let (settings, api, memory) = (self.settings.clone(), self.api.clone(), self.memory.clone());
        Ok(Box::new(Linear::open(settings, api, memory, reference_data::read(state), run).await?))
    }

    fn outlives(&self, state: serde_json::Value) -> Option<serde_json::Value> {
        reference_data::outlives(state, Reference::past)
    }

    fn stats(&self) -> Stats {
        self.api.stats()
    }
}

#[async_trait]
impl SourceSession for Linear {
    fn state(&self) -> Result<serde_json::Value> {
        reference_data::write(&self.context().reference)
    }

    async fn check(&self) -> Result<CheckReport> {
        self.api.learn().await;
        check::report(self, &self.context())
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page> {
        let (context, run) = (self.context(), &self.run);
        match stream {
            PLAN => plan::poll(self, context, cursor, run).await,
            ISSUES => issues::poll(self, context, cursor, run).await,
            IDS => ids::poll(self, context, cursor, run).await,
            other => {
                Err(Error::new(ErrorKind::Internal, "poll a stream that Linear does not have").with("stream", other))
            }
        }
    }

    async fn read_again(&self, ids: &[String]) -> Result<Page> {
        again::read(self, ids).await
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let site = self.context();
        let context = normalise::Context { settings: &self.settings, reference: &site.reference };
        let read = normalise::record(&context, &record.json()?);
        let read = read.map_err(|error| error.with("record", &record.native_id))?;
        self.note_disputes(read.disputes);
        Ok(read.observations)
    }

    fn lost(&self) -> Vec<String> {
        self.context().lost()
    }
}
