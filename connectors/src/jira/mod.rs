//! The Jira connector: Cloud and Data Center.
//!
//! [`JiraConnector`] is the [`Connector`], [`Jira`] its [`SourceSession`]. The rest is by concern: [`settings`] (what the
//! configuration says), [`api`] and [`paged`] (the calls) and [`dialect`] (limits and refusals), [`session`], [`site`] and
//! [`mod@reference`] (what a site is like), [`fields`], [`field_names`] and [`renamed`] (which field means what), [`search`] and [`jql`] (searching), [`issues`], [`sprints`] and [`ids`] (the
//! streams), [`unlisted`] (rows that cannot be listed), [`histories`] and [`family`] (whole records), [`wire`], [`lenient`] and [`sprint_field`] (the shapes of answers and
//! records), [`normalise`] with [`mapping`] (what they mean), and [`webhook`]. All knowledge of Jira's habits is in one of these.

mod api;
mod batch;
mod boards;
mod check;
mod comments;
mod dialect;
mod family;
mod field_names;
mod fields;
mod histories;
mod history;
mod ids;
mod issues;
mod jql;
mod lenient;
mod listed;
mod mapping;
mod normalise;
mod paged;
mod people;
mod reference;
mod renamed;
mod search;
mod session;
mod settings;
mod site;
mod sprint_field;
mod sprints;
mod unlisted;
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
use session::{IDS, ISSUES, Jira, Memory, SPRINTS};
use settings::{JiraKeys, Settings};

/// Jira's line in the registry.
pub(crate) const REGISTRATION: Registration = Registration {
    kind: "jira",
    about: "Jira Cloud and Data Center",
    keys: KindKeys::of::<JiraKeys>(),
    init: InitHints {
        questions: &[
            InitQuestion::url("Address, e.g. https://acme.atlassian.net", None),
            InitQuestion {
                key: "auth.email",
                flag: "--email",
                question: "E-mail of the token's account (Jira Cloud; empty for Data Center)",
                default: None,
                optional: true,
            },
            InitQuestion::TOKEN,
        ],
        token_page: Some("https://id.atlassian.com/manage-profile/security/api-tokens (Cloud), or in your profile"),
    },
    webhook: Some(webhook::prove),
    build,
};

const STREAMS: &[Stream] = &[
    Stream { name: SPRINTS, complete: false },
    Stream { name: ISSUES, complete: false },
    Stream { name: IDS, complete: true },
];

fn build(config: &SourceConfig, privacy: &Privacy) -> Result<Box<dyn Connector>> {
    let (settings, credential) = Settings::new(config, privacy)?;
    let api = Arc::new(Api::new(&settings)?);
    Ok(Box::new(JiraConnector { settings: Arc::new(settings), credential, api, memory: Arc::default() }))
}

/// A Jira source, for as long as the process lives.
struct JiraConnector {
    settings: Arc<Settings>,
    credential: Credential,
    api: Arc<Api>,
    memory: Arc<Memory>,
}

#[async_trait]
impl Connector for JiraConnector {
    fn streams(&self) -> &'static [Stream] {
        STREAMS
    }

    async fn open(&self, state: Option<serde_json::Value>, run: &Run) -> Result<Box<dyn SourceSession>> {
        self.credential.refresh(|token| self.api.authorize(&self.settings.auth(token)))?;
        let (settings, api, memory) = (self.settings.clone(), self.api.clone(), self.memory.clone());
        Ok(Box::new(Jira::open(settings, api, memory, reference_data::read(state), run).await?))
    }

    fn outlives(&self, state: serde_json::Value) -> Option<serde_json::Value> {
        reference_data::outlives(state, Reference::past)
    }

    fn stats(&self) -> Stats {
        self.api.stats()
    }
}

#[async_trait]
impl SourceSession for Jira {
    fn state(&self) -> Result<serde_json::Value> {
        reference_data::write(&self.context().reference)
    }

    async fn check(&self) -> Result<CheckReport> {
        check::report(self, &self.context()).await
    }

    async fn poll(&self, stream: &'static str, cursor: Option<&Cursor>) -> Result<Page> {
        let context = self.context();
        let mut page = match stream {
            SPRINTS => sprints::poll(self, &context, cursor).await?,
            ISSUES => issues::poll(self, &context, cursor, &self.run).await?,
            IDS => ids::poll(self, &context, cursor).await?,
            other => {
                let text = "poll a stream that Jira does not have";
                return Err(Error::new(ErrorKind::Internal, text).with("stream", other));
            }
        };
        self.notes().add_to(&mut page);
        Ok(page)
    }

    async fn read_again(&self, ids: &[String]) -> Result<Page> {
        issues::read_again(self, &self.context(), ids).await
    }

    fn restart(&self, stream: &'static str, cursor: &Cursor) -> Option<Cursor> {
        match stream {
            SPRINTS => sprints::restart(cursor),
            ISSUES => issues::restart(cursor),
            _ => None,
        }
    }

    fn normalise(&self, record: &RawRecord) -> Result<Vec<Observation>> {
        let (site, unreadable) = (self.context(), self.unreadable());
        let context = normalise::Context {
            settings: &self.settings,
            reference: &site.reference,
            mapping: &site.mapping,
            unreadable: &unreadable,
        };
        let read = match record.stream {
            SPRINTS => normalise::sprint(&context, &record.json()?),
            _ => match record.as_parsed() {
                Some(issue) => normalise::issue(&context, issue),
                None => normalise::record(&record.json()?).and_then(|issue| normalise::issue(&context, &issue)),
            },
        };
        let read = read.map_err(|error| error.with("record", &record.native_id))?;
        self.note_unknown(read.unknown);
        Ok(read.observations)
    }
}
