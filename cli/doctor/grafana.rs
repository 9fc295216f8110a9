//! Grafana: it must be new enough, accept the credential, have the dashboards, and reach their data sources.

use std::path::Path;

use contextcore_core::http::service::Reply;
use contextcore_core::{Error, ErrorKind, Result};
use contextcore_dashboards::dashboards;
use contextcore_dashboards::datasources::DataSource;
use contextcore_dashboards::knowledge::Backend;

use super::examination::{Finding, Verdict};
use super::tempo;
use crate::dashboards::{Grafana, credential, done};

const THIS: Backend = Backend::Grafana;
const KINDS: [&str; 3] = ["prometheus", "loki", "tempo"];

pub(super) async fn examine(url: &str, token_file: Option<&Path>, ca_file: Option<&Path>) -> Result<Vec<Finding>> {
    let grafana = Grafana::new(url, credential(token_file)?, ca_file)?;
    let version = grafana.version().await?.unwrap_or_else(|| "of unknown version".to_owned());
    let mut findings = vec![Finding::ok(THIS, format!("Grafana {version}, and the token is valid"))];
    for (_, dashboard) in dashboards() {
        findings.push(match grafana.dashboard(&dashboard.uid).await? {
            Some(_) => Finding::ok(THIS, format!("{} exists", dashboard.title)),
            None => {
                let advice = format!("run `contextcore dashboards provision --grafana-url {url}`");
                Finding::new(THIS, Verdict::Wrong, format!("{} is missing", dashboard.title), Some(advice))
            }
        });
    }
    let sources = grafana.sources().await?;
    for stored in sources.iter().filter(|stored| KINDS.contains(&stored.source.kind.as_str())) {
        findings.push(data_source(&grafana, &stored.source).await?);
    }
    Ok(findings)
}

/// Whether a data source answers. The plug-in for Tempo has no health check, so Tempo itself is asked, as Grafana's settings do.
async fn data_source(grafana: &Grafana, source: &DataSource) -> Result<Finding> {
    let (name, is_tempo) = (&source.name, source.kind == "tempo");
    let reply = match is_tempo {
        true => grafana.through_source(&source.uid, tempo::ECHO).await?,
        false => grafana.source_health(&source.uid).await?,
    };
    let checked = if is_tempo { behind(&reply) } else { done(&reply, "reach the data source").map(drop) };
    Ok(match checked {
        Ok(()) => Finding::ok(THIS, format!("data source {name} answers")),
        Err(_) if !is_tempo && reply.status == 404 => {
            Finding::unknown(THIS, format!("data source {name}: its plug-in has no health check"))
        }
        Err(error) => Finding::new(THIS, Verdict::Wrong, format!("data source {name}: {}", error.full()), None),
    })
}

/// Whether a Tempo answered through Grafana's proxy.
fn behind(reply: &Reply) -> Result<()> {
    match reply.status {
        401 => Err(Error::new(ErrorKind::Export, "the credential of the data source was refused (401)")),
        403 => done(reply, "query the data source").map(drop),
        502..=504 => Err(Error::new(ErrorKind::Export, format!("Grafana cannot reach its address ({})", reply.status))),
        _ if tempo::is_echo(reply) => Ok(()),
        _ => Err(Error::new(ErrorKind::Export, tempo::stranger(reply))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboards::fake::Fake;

    #[tokio::test]
    async fn a_healthy_tempo_is_well_and_another_address_is_not_tempo() {
        let fake = Fake::start("12.2.0").await;
        for kind in KINDS {
            fake.add_source(kind, &format!("their-{kind}"));
        }
        fake.add_source("tempo", "misled");
        fake.mislead("misled");
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, Fake::TOKEN).unwrap();
        let findings = examine(&fake.url, Some(&token), None).await.unwrap();
        let of = |name: &str| findings.iter().find(|finding| finding.found.contains(name)).unwrap();
        for kind in KINDS {
            assert_eq!(of(&format!("their-{kind}")).verdict, Verdict::Ok, "{findings:?}");
        }
        assert_eq!(of("misled").verdict, Verdict::Wrong);
        assert!(of("misled").found.contains("this is not Tempo"), "{findings:?}");
    }

    #[test]
    fn what_the_proxy_answers_is_not_blamed_on_tempo() {
        let said = |status| {
            let reply = Reply { status, body: String::new(), location: None };
            behind(&reply).unwrap_err().to_string()
        };
        assert!(said(401).contains("credential of the data source"));
        assert!(said(403).contains("may not query the data source"));
        assert!(said(502).contains("cannot reach"));
        assert!(said(200).contains("not Tempo"), "a page of something else is no echo");
    }
}
