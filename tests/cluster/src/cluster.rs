//! The API server: how it is started, shared and asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contextcore_guard::{Ending, Guard};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::kubectl::{self, Answer};
use crate::process::{Server, free_ports};
use crate::suite::{Suite, repository};

/// Another process may take a port between its choice and its use.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Custom resource definitions that can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definitions {
    /// ProjectContext, as the chart ships it.
    ContextCore,
    /// PrometheusRule, ServiceMonitor, AlertmanagerConfig, Alertmanager and Prometheus of the Prometheus operator.
    Prometheus,
    /// OpenTelemetryCollector of the OpenTelemetry operator.
    OpenTelemetry,
    /// GrafanaDashboard and GrafanaFolder of the Grafana operator.
    Grafana,
}

impl Definitions {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ContextCore, Self::Prometheus, Self::OpenTelemetry, Self::Grafana];

    /// The folder with the files.
    #[must_use]
    pub fn folder(self) -> PathBuf {
        let others = repository().join("tests/cluster/fixtures/crds");
        match self {
            Self::ContextCore => repository().join("deploy/helm/contextcore/crds"),
            Self::Prometheus => others.join("prometheus"),
            Self::OpenTelemetry => others.join("opentelemetry"),
            Self::Grafana => others.join("grafana"),
        }
    }
}

/// A running etcd and kube-apiserver, with everything they write in a folder that goes with them.
pub struct Cluster {
    folder: PathBuf,
    kubectl: PathBuf,
    url: String,
    namespaces: AtomicUsize,
    installed: Mutex<Vec<Definitions>>,
    // Dropped in this order: the guard kills both, and then their handles are collected.
    _guard: Guard,
    _servers: [Server; 2],
}

impl Cluster {
    /// The server that the tests of this binary share, started by the first that asks. None: the binaries are missing, and the test
    /// has to return.
    ///
    /// # Panics
    /// When the server does not start, and when its binaries are missing but required.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let programs = Programs::find()?;
        match SHARED.get_or_init(|| Self::try_start(&programs)) {
            Ok(cluster) => Some(cluster),
            Err(error) => panic!("{error}"),
        }
    }

    /// A server of the test's own, which ends when it is dropped. None: the binaries are missing, and the test has to return.
    ///
    /// # Panics
    /// As [`Self::shared`].
    #[must_use]
    pub fn start() -> Option<Self> {
        let programs = Programs::find()?;
        Some(Self::try_start(&programs).unwrap_or_else(|error| panic!("{error}")))
    }

    fn try_start(programs: &Programs) -> Result<Self, String> {
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            match Self::attempt(programs) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn attempt(programs: &Programs) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("cluster-").tempdir().unwrap().keep();
        let mut guard = Guard::over(&folder, Ending::Kill);
        let [clients, peers, secure] = free_ports();
        let etcd = Server::spawn("etcd", etcd_command(&programs.etcd, clients, peers), &folder);
        guard.watch(etcd.id());
        let token = secret();
        fs::write(folder.join("tokens.csv"), format!("{token},admin,admin,system:masters\n")).unwrap();
        write_keys(&folder);
        let server = Server::spawn("kube-apiserver", server_command(&programs.server, clients, secure), &folder);
        guard.watch(server.id());
        let (kubectl, url) = (programs.kubectl.clone(), format!("https://127.0.0.1:{secure}"));
        let servers = [etcd, server];
        let mut cluster = Self {
            folder,
            kubectl,
            url,
            namespaces: AtomicUsize::new(0),
            installed: Mutex::default(),
            _guard: guard,
            _servers: servers,
        };
        cluster.wait(&token)?;
        Ok(cluster)
    }

    /// Waits for the certificate, which the server makes at its start, and then for its readiness.
    fn wait(&mut self, token: &str) -> Result<(), String> {
        let certificate = self.folder.join("certificates/apiserver.crt");
        let [_, server] = &mut self._servers;
        server.until(|| fs::read(&certificate).is_ok_and(|text| text.ends_with(b"-----END CERTIFICATE-----\n")))?;
        let kubeconfig = self.folder.join("kubeconfig");
        write_kubeconfig(&kubeconfig, &self.url, &fs::read(&certificate).unwrap(), token);
        let (kubectl, folder) = (&self.kubectl, &self.folder);
        server.until(|| {
            let mut command = kubectl::command(kubectl, &kubeconfig, folder);
            command.args(["get", "--raw", "/readyz"]);
            kubectl::run(command, "").out == "ok"
        })
    }

    /// The kubeconfig of an administrator, with the server's certificate in it.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Where the server listens, as `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A kubeconfig of a service account, which is created; it may do what roles bound to `system:serviceaccount:NAMESPACE:NAME` allow.
    ///
    /// # Panics
    /// When the server gives it no token.
    #[must_use]
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}});
        self.apply(namespace, &[object]).succeeds();
        let token = self.kubectl(&["create", "token", account, "--namespace", namespace]).succeeds();
        let path = self.folder.join(format!("kubeconfig-{namespace}-{account}"));
        let certificate = fs::read(self.folder.join("certificates/apiserver.crt")).unwrap();
        write_kubeconfig(&path, &self.url, &certificate, token.trim());
        path
    }

    /// Runs `kubectl` with these arguments, as administrator.
    #[must_use]
    pub fn kubectl(&self, arguments: &[&str]) -> Answer {
        self.kubectl_with(arguments, "")
    }

    /// As [`Self::kubectl`], with this standard input (for `-f -`).
    #[must_use]
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Answer {
        let mut command = kubectl::command(&self.kubectl, &self.kubeconfig(), &self.folder);
        command.args(arguments);
        kubectl::run(command, input)
    }

    /// Runs another program that reads `KUBECONFIG`, such as helm, as administrator.
    #[must_use]
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Answer {
        let mut command = kubectl::command(program, &self.kubeconfig(), &self.folder);
        command.args(arguments);
        kubectl::run(command, "")
    }

    /// Applies objects server-side; those without a namespace go into this one.
    #[must_use]
    pub fn apply(&self, namespace: &str, objects: &[Value]) -> Answer {
        let arguments = ["apply", "--server-side", "--namespace", namespace, "-f", "-"];
        self.kubectl_with(&arguments, &kubectl::list(objects))
    }

    /// An object, if it exists. The kind can be written as `prometheusrules.monitoring.coreos.com`.
    ///
    /// # Panics
    /// When the server does not answer with an object or with nothing.
    #[must_use]
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let arguments = ["get", kind, name, "--namespace", namespace, "--ignore-not-found", "-o", "json"];
        let text = self.kubectl(&arguments).succeeds();
        (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
    }

    /// A new namespace, called by this stem and a number.
    ///
    /// # Panics
    /// When it cannot be created.
    #[must_use]
    pub fn namespace(&self, stem: &str) -> String {
        let name = format!("{stem}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &name]).succeeds();
        name
    }

    /// Installs definitions and waits until they are served; the second time nothing is done. A test that takes definitions away
    /// again wants a server of its own.
    ///
    /// # Panics
    /// When the server refuses them.
    pub fn install(&self, definitions: Definitions) {
        let mut installed = self.installed.lock().unwrap_or_else(PoisonError::into_inner);
        if installed.contains(&definitions) {
            return;
        }
        let folder = definitions.folder();
        let path = folder.to_str().unwrap();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", path]).succeeds();
        let wait = || self.kubectl(&["wait", "--for", "condition=Established", "--timeout", "60s", "-f", path]);
        // It refuses to wait for a definition that has no status yet.
        let answers = std::iter::repeat_with(wait).take(ATTEMPTS);
        let last = answers
            .inspect(|answer| {
                if !answer.ok {
                    std::thread::sleep(PAUSE)
                }
            })
            .find(|answer| answer.ok);
        assert!(last.is_some(), "{path} is not served");
        installed.push(definitions);
    }
}

struct Programs {
    etcd: PathBuf,
    server: PathBuf,
    kubectl: PathBuf,
}

impl Programs {
    fn find() -> Option<Self> {
        let program = |name| Suite::Cluster.program(name);
        Some(Self { etcd: program("etcd")?, server: program("kube-apiserver")?, kubectl: program("kubectl")? })
    }
}

/// What is stored is thrown away, so nothing waits for the disk.
fn etcd_command(program: &Path, clients: u16, peers: u16) -> Command {
    let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    let mut command = Command::new(program);
    command.args(["--data-dir", "etcd", "--unsafe-no-fsync", "--log-level", "warn"]);
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("default={peers}")]);
    command
}

/// `ServiceAccount` would refuse every pod: nobody makes the default account of a namespace here.
fn server_command(program: &Path, etcd: u16, secure: u16) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("--etcd-servers=http://127.0.0.1:{etcd}")).arg(format!("--secure-port={secure}"));
    command.args(["--bind-address=127.0.0.1", "--cert-dir=certificates", "--token-auth-file=tokens.csv"]);
    command.args(["--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24"]);
    command.args(["--service-account-key-file=accounts.pub", "--service-account-signing-key-file=accounts.key"]);
    command.args(["--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount"]);
    command.args(["--endpoint-reconciler-type=none", "--enable-priority-and-fairness=false"]);
    command
}

/// The keys that sign the tokens of service accounts and check them, new for each server.
fn write_keys(folder: &Path) {
    /// What precedes a point of P-256 where a public key stands by itself (RFC 5480).
    const PUBLIC: &[u8] =
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random).unwrap();
    let public = [PUBLIC, pair.public_key().as_ref()].concat();
    let pem = |kind, bytes| format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(bytes));
    fs::write(folder.join("accounts.key"), pem("PRIVATE KEY", private.as_ref())).unwrap();
    fs::write(folder.join("accounts.pub"), pem("PUBLIC KEY", &public)).unwrap();
}

/// The administrator's token: others on this machine can reach the port.
fn secret() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_kubeconfig(path: &Path, url: &str, certificate: &[u8], token: &str) {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": {"server": url, "certificate-authority-data": STANDARD.encode(certificate)},
        }],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        "current-context": "test",
    });
    fs::write(path, config.to_string()).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_and_ends_with_all_it_wrote() {
        let Some(cluster) = Cluster::start() else { return };
        let version: Value = serde_json::from_str(&cluster.kubectl(&["get", "--raw", "/version"]).succeeds()).unwrap();
        assert_eq!(version["gitVersion"], "v1.37.2");
        let (first, second) = (cluster.namespace("a"), cluster.namespace("a"));
        assert_ne!(first, second);
        let config = cluster.kubeconfig_of(&first, "nobody");
        let refused = cluster.kubectl(&["--kubeconfig", config.to_str().unwrap(), "get", "pods", "-n", &first]).fails();
        assert!(refused.contains("nobody\" cannot list resource \"pods\""), "{refused}");
        let (folder, ids) = (cluster.folder.clone(), cluster._servers.each_ref().map(Server::id));
        drop(cluster);
        assert!(!folder.exists());
        assert!(ids.iter().all(|id| !Path::new(&format!("/proc/{id}")).exists()));
    }
}
