//! The GitHub connector: Projects v2, issues and what people do in repositories, on github.com and Enterprise Server.
//!
//! [`GitHubConnector`] is the [`Connector`], [`GitHub`] its [`SourceSession`]. The rest is by concern: [`settings`] (what the
//! configuration says), [`queries`] and [`features`] (what is asked for, by what the server knows), [`api`] (how it is asked) and
//! [`calls`] (what it is asked) with [`answer`] (data and errors), [`connection`] (pages of lists), [`batch`] and [`lists`] (as much at
//! once as is answered), [`projects`], [`dialect`] (limits and refusals) and [`app`] (tokens of an App), [`session`], [`mod@reference`] and [`iterations`] (what the projects are like), [`transfers`],
//! [`items`] with [`rows`] and [`fingerprints`], [`repositories`], [`sprints`], [`activity`] and [`ids`] (the streams), [`again`]
//! (single records), [`records`], [`by_type`] and [`wire`] (what records hold), [`normalise`] with [`mapping`] (what they mean), and [`webhook`].

mod activity;
mod again;
mod answer;
mod api;
mod app;
mod batch;
mod by_type;
mod calls;
mod check;
mod connection;
mod dialect;
mod features;
mod fingerprints;
mod ids;
mod items;
mod iterations;
mod lists;
mod mapping;
mod normalise;
mod place;
mod projects;
mod queries;
mod records;
mod reference;
mod repositories;
mod rows;
mod session;
mod settings;
mod sprints;
mod transfers;
mod webhook;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use contextcore_core::config::{KindKeys, Privacy, SourceConfig};
use contextcore_core::http::Stats;
use contextcore_core::ingest::connector::{
    CheckReport, Connector, Cursor, InitHints, InitQuestion, Page, RawRecord, Registration, Run, SourceSession, Stream,
};
use contextcore_core::model::guidance::forge::ForgeFile;
use contextcore_core::model::observation::Observation;
use contextcore_core::{Error, ErrorKind, Result};

use crate::credential::Credential;
use crate::reference_data;
use api::Api;
use reference::Reference;
use session::{ACTIVITY, CONVERTED, GitHub, IDS, ITEMS, REPOSITORIES, SPRINTS};
use settings::{GithubKeys, Settings};

/// GitHub's line in the registry.
pub(crate) const REGISTRATION: Registration = Registration {
    kind: "github",
    about: "GitHub Projects, issues and pull requests",
    keys: KindKeys::of::<GithubKeys>(),
    init: InitHints {
        questions: &[
            InitQuestion::url("Address (GitHub Enterprise: https://HOST/api)", Some("https://api.github.com")),
            InitQuestion::TOKEN,
        ],
        token_page: Some("https://github.com/settings/tokens"),
    },
    webhook: Some(webhook::prove),
    build,
};

/// `items` comes before `repositories`: it learns which issues are in our projects.
const STREAMS: &[Stream] = &[
    Stream { name: SPRINTS, complete: false },
    Stream { name: ITEMS, complete: false },
    Stream { name: REPOSITORIES, complete: false },
    Stream { name: ACTIVITY, complete: false },
    Stream { name: IDS, complete: true },
];

fn build(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    let (settings, credential) = Settings::new(config, privacy)?;
    let api = Arc::new(Api::new(&settings)?);
    Ok(Box::new(GitHubConnector { settings: Arc::new(settings), credential, api }))
}

/// A GitHub source, for as long as the process lives. The [`Api`] keeps what is learned: an App's token, the points that are
/// left, and what the server does not know.
struct GitHubConnector {
    settings: Arc<Settings>,
    credential: Credential,
    api: Arc<Api>,
}

#[async_trait]
impl Connector for GitHubConnector {
    fn streams(&self) -> &'static [Stream] {
        STREAMS
    }

    /// Since 1, what commits and pull requests show of agents, those at an issue included.
    fn readings(&self) -> &'static [(&'static str, u32)] {
        &[(ITEMS, 1), (REPOSITORIES, 1), (ACTIVITY, 1)]
    }

    async fn open(&self, state: Option<serde_json::Value>, run: &Run) -> Result<Box<dyn SourceSession>> {
        self.credential.refresh(|secret| self.api.authorize(secret))?;
        let stored = reference_data::read(state).unwrap_or_default();
        Ok(Box::new(GitHub::open(self.settings.clone(), self.api.clone(), stored, run).await?))
    }

    fn outlives(&self, state: serde_json::Value) -> Option<serde_json::Value> {
        reference_data::outlives(state, Reference::past)
    }

    fn stats(&self) -> Stats {
        self.api.stats()
    }
}

#[async_trait]
impl SourceSession for GitHub {
    fn state(&self) -> Result<serde_json::Value> {
        let mut reference = self.context.reference.clone();
        reference.transfers = self.transfers().as_ref().clone();
        // What refusals taught since it was opened.
        reference.missing = Some(self.api.missing());
        reference_data::write(&reference)
    }

    async fn check(&self) -> Result<CheckReport> {
        Ok(check::report(self, &self.context))
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page> {
        let (context, run) = (&self.context, &self.run);
        let mut page = match stream {
            SPRINTS => sprints::poll(context, cursor, run),
            ITEMS => items::poll(self, context, cursor).await,
            REPOSITORIES => repositories::poll(self, context, cursor, run.now).await,
            ACTIVITY => activity::poll(self, context, cursor, run.now).await,
            IDS => ids::poll(self, context, cursor).await,
            other => {
                Err(Error::new(ErrorKind::Internal, "poll a stream that GitHub does not have").with("stream", other))
            }
        }?;
        self.transfers().rename_page(&mut page);
        Ok(page)
    }

    async fn read_again(&self, ids: &[String]) -> Result<Page> {
        let mut page = again::read(self, &self.context, ids).await?;
        self.transfers().rename_page(&mut page);
        Ok(page)
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let (settings, reference, transfers) = (&*self.settings, &self.context.reference, &*self.transfers());
        let context = normalise::Context { settings, reference, transfers };
        let read = match record.stream {
            SPRINTS => normalise::sprint(&record.json()?),
            ACTIVITY => activity::read(&record.json()?).map(|mut all| {
                transfers.rename_activities(&mut all);
                all
            }),
            CONVERTED => Ok(vec![Observation::Gone { native_id: record.native_id.clone() }]),
            _ => normalise::task(&context, &record.json()?).map(|read| {
                self.left_out.note(read.key().unwrap_or(&record.native_id), read.left_out);
                read.observations
            }),
        };
        read.map_err(|error| error.with("record", &record.native_id))
    }

    fn remarks(&self) -> Vec<String> {
        self.left_out.take().into_iter().collect()
    }

    fn guidance(&self) -> Vec<ForgeFile> {
        self.guidance_files()
    }

    fn lost(&self) -> Vec<String> {
        self.context.lost()
    }
}
