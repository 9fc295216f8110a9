//! Finds the cluster: a kubeconfig, or the service account of a pod.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
pub use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Config};

use super::trouble;
use super::watch::SETTINGS_KEY;
use crate::settings::Settings;

/// How long an answer of the API server may take.
const READ: Duration = Duration::from_secs(295);
const CONNECT: Duration = Duration::from_secs(5);

/// Which cluster.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--as`: whom to act for.
    pub impersonate: Option<String>,
}

/// A client, and the namespace that is meant where nothing says another one.
///
/// # Errors
/// One line for a person: there is no cluster, or it does not answer.
pub async fn connect(target: &Target) -> Result<(Client, String), String> {
    let mut config = config(target).await?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    if target.impersonate.is_some() {
        config.auth_info.impersonate.clone_from(&target.impersonate);
    }
    let url = config.cluster_url.to_string();
    let namespace = target.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| format!("connect to {url}: {}", trouble::chain(&error)))?;
    match client.apiserver_version().await {
        Ok(_) => Ok((client, namespace)),
        Err(error) => Err(format!("the cluster at {url} does not answer: {}", humanize(&error))),
    }
}

/// The settings in a ConfigMap.
///
/// # Errors
/// Lines for a person: it cannot be read, or what is wrong in it.
pub async fn settings(client: &Client, namespace: &str, name: &str) -> Result<Settings, Vec<String>> {
    let place = format!("ConfigMap {namespace}/{name}");
    let found = Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(name).await;
    let found = found.map_err(|error| vec![format!("{place}: {}", humanize(&error))])?;
    let Some(found) = found else { return Err(vec![format!("{place} does not exist: correct --settings-config-map")]) };
    let text = found.data.unwrap_or_default().remove(SETTINGS_KEY).unwrap_or_default();
    Settings::parse_in(&place, &text, namespace)
}

fn humanize(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            format!("{}: renew the credentials of the kubeconfig", status.message)
        }
        kube::Error::Api(status) => status.message.clone(),
        other => trouble::chain(other),
    }
}

async fn config(target: &Target) -> Result<Config, String> {
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    if let Some(file) = &target.kubeconfig {
        return from_file(file, &options).await;
    }
    let found = if target.context.is_some() {
        Config::from_kubeconfig(&options).await.map_err(|error| trouble::chain(&error))
    } else {
        Config::infer().await.map_err(|error| trouble::chain(&error))
    };
    found
        .map_err(|error| format!("no cluster found: run in a pod, set KUBECONFIG, or pass --kubeconfig FILE ({error})"))
}

async fn from_file(file: &Path, options: &KubeConfigOptions) -> Result<Config, String> {
    let at = |error: &dyn std::error::Error| format!("{}: {}", file.display(), trouble::chain(error));
    let kubeconfig = Kubeconfig::read_from(file).map_err(|error| at(&error))?;
    Config::from_custom_kubeconfig(kubeconfig, options).await.map_err(|error| at(&error))
}
