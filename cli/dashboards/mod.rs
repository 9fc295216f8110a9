//! `contextcore dashboards`: provisions a Grafana with the dashboards and alert rules, or writes them as files.
//!
//! `contextcore_dashboards` generates them. [`provision`] decides what to change, and [`grafana`] is the client. `services` brings
//! the dashboards of services to Grafana, for the controller.

#[cfg(test)]
pub(crate) mod fake;
mod fingerprint;
mod grafana;
mod provision;
#[cfg(feature = "kubernetes")]
pub(crate) mod services;

use std::fs;
use std::io;
use std::path::Path;

use contextcore_core::config::{Resolve, SecretRef};
use contextcore_core::model::printable;
use contextcore_core::model::secret::Secret;
use contextcore_core::{Error, ErrorKind};
use contextcore_dashboards::files;

use crate::app::{self, Context};
use crate::args::{self, Dashboards};
use crate::failure::{Exit, Failure, Outcome};
use crate::{output, stop, terminal};

pub(crate) use grafana::{Grafana, done};
use provision::{DesiredState, Report};

/// The variable with a token.
const TOKEN: &str = "GRAFANA_TOKEN";
/// The variables with a user's name and password, as Grafana's own chart keeps the administrator's.
const USER: &str = "GRAFANA_USER";
const PASSWORD: &str = "GRAFANA_PASSWORD";

pub(crate) async fn run(context: &Context, command: &Dashboards) -> Outcome {
    match command {
        Dashboards::Provision(arguments) => run_provision(context, arguments).await,
        Dashboards::Export(arguments) => export(context, arguments),
    }
}

async fn run_provision(context: &Context, arguments: &args::Provision) -> Outcome {
    let json = context.is_json("dashboards provision")?;
    let credential = credential(arguments.token_file.as_deref())?;
    app::warn_of_flags([("--grafana-url", Some(&arguments.grafana_url))]);
    let grafana = Grafana::new(&arguments.grafana_url, credential, arguments.ca_file.as_deref())?;
    let (folder, urls) = (arguments.folder.clone(), arguments.sources.given());
    let desired = DesiredState { folder, urls, force: arguments.force };
    let report = stop::interruptible(provision::provision(&grafana, &desired)).await??;
    output::print(json, &report, |report| report.render(terminal::width()))?;
    eprint!("{}", report.errors());
    Ok(exit(&report))
}

fn exit(report: &Report) -> Exit {
    if report.left().next().is_some() { Exit::Backend } else { Exit::Done }
}

/// The token from the file or from its variable, else `USER:PASSWORD` from theirs.
pub(crate) fn credential(file: Option<&Path>) -> Result<Secret, Error> {
    if let Some(file) = file {
        return SecretRef::File(file.to_owned()).resolve();
    }
    let variable = |name: &str| SecretRef::Env(name.to_owned()).resolve();
    variable(TOKEN).or_else(|error| match (variable(USER), variable(PASSWORD)) {
        (Ok(user), Ok(password)) => Ok(Secret::new(format!("{}:{}", user.expose(), password.expose()))),
        _ => Err(without_credential(error)),
    })
}

fn without_credential(cause: Error) -> Error {
    let text = format!(
        "there is no token: name the file of a service-account token with --token-file (grafana.tokenFile in the settings of the controller), or set {TOKEN}, or {USER} and {PASSWORD} \
         (grafana.tokenSecret or grafana.adminSecret in the Helm chart)"
    );
    Error::new(ErrorKind::Config, text).caused_by(cause)
}

fn export(context: &Context, arguments: &args::DashboardsExport) -> Outcome {
    let json = context.is_json("dashboards export")?;
    let settings = files::Settings { folder: arguments.folder.clone(), urls: arguments.sources.given() };
    let files = files::all(&settings);
    for file in &files {
        let path = arguments.directory.join(&file.path);
        write(&path, &file.text).map_err(|error| Failure::usage(format!("write {}: {error}", path.display())))?;
    }
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let written = serde_json::json!({"directory": arguments.directory, "files": paths});
    output::print(json, &written, |_| {
        let at = |path: &&str| arguments.directory.join(path).display().to_string();
        paths.iter().map(|path| format!("{}\n", printable::one_line(&at(path)))).collect()
    })?;
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_token_is_a_configuration_error() {
        let missing = credential(Some(Path::new("/nonexistent/token"))).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Config);
        assert!(missing.full().contains("/nonexistent/token"), "{}", missing.full());
    }
}
