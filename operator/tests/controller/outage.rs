//! The API server goes away for a moment, or takes a right and gives it back: the controller goes on without a restart.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A port before the API server that can be closed.
struct Proxy {
    port: u16,
    is_closed: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn before(url: &str) -> Self {
        let server = url.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy =
            Self { port: listener.local_addr().unwrap().port(), is_closed: Arc::default(), open: Arc::default() };
        let (is_closed, open) = (Arc::clone(&proxy.is_closed), Arc::clone(&proxy.open));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if is_closed.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                let copies = [client.try_clone().unwrap(), upstream.try_clone().unwrap()];
                open.lock().unwrap().extend(copies);
                pass_on(client.try_clone().unwrap(), upstream.try_clone().unwrap());
                pass_on(upstream, client);
            }
        });
        proxy
    }

    /// Ends every connection.
    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Nobody comes through for so long.
    fn close_for(&self, time: Duration) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.cut();
        std::thread::sleep(time);
        self.is_closed.store(false, Ordering::SeqCst);
    }

    /// A kubeconfig that goes through it.
    fn kubeconfig(&self, cluster: &Cluster, of: &Path, name: &str) -> PathBuf {
        let text = std::fs::read_to_string(of).unwrap();
        let url = cluster.url().trim_end_matches('/');
        assert!(text.contains(url), "{text}");
        let path = of.with_file_name(format!("kubeconfig-proxy-{name}"));
        std::fs::write(&path, text.replace(url, &format!("https://127.0.0.1:{}", self.port))).unwrap();
        path
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    });
}

#[test]
fn an_outage_that_is_shorter_than_the_lease_leaves_nothing_behind() {
    let Some((cluster, ns)) = cluster("outage") else { return };
    let proxy = Proxy::before(cluster.url());
    let kubeconfig = proxy.kubeconfig(cluster, &cluster.kubeconfig(), &ns);
    let controller = Controller::start_as(kubeconfig, &ns, "", Fake::default());
    cluster.apply(&ns, &[with_rules("a")]).succeeds();
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    let before = cluster.get(CONTEXTS, &ns, "a").unwrap()["status"].clone();
    proxy.close_for(Duration::from_secs(2));
    // What happens after it is seen, and nothing is said of it.
    cluster.apply(&ns, &[context("a", &json!({"requirements": {"availability": "99.5"}})), with_rules("b")]).succeeds();
    let began = Instant::now();
    until_condition(cluster, &ns, "b", "Ready", ("True", "Ready"));
    until_condition(cluster, &ns, "a", "Ready", ("True", "Ready"));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let rule = cluster.get(RULES, &ns, "contextcore-a").unwrap();
    assert!(rule.to_string().contains("vector(0.995)"), "{rule}");
    let after = cluster.get(CONTEXTS, &ns, "a").unwrap()["status"].clone();
    let since = |status: &Value| {
        let conditions = status["conditions"].as_array().unwrap();
        conditions.iter().find(|found| found["type"] == "Ready").unwrap()["lastTransitionTime"].clone()
    };
    assert_eq!(since(&before), since(&after));
    assert_eq!(controller.end(), Ok(End::Stopped));
}

#[test]
fn a_right_that_is_taken_and_given_back_is_noticed_both_times() {
    let Some((cluster, ns)) = cluster("regained") else { return };
    let account = cluster.kubeconfig_of(&ns, "controller");
    let proxy = Proxy::before(cluster.url());
    let kubeconfig = proxy.kubeconfig(cluster, &account, &ns);
    let rule =
        |groups: &[&str], resources: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": ["*"]});
    let role = |monitoring: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "controller"},
            "rules": [
                rule(&["contextcore.io"], &["*"]), rule(&[""], &["configmaps"]),
                rule(&["coordination.k8s.io"], &["leases"]), rule(&["events.k8s.io"], &["events"]),
                rule(&["monitoring.coreos.com"], monitoring),
            ],
        })
    };
    let subject = json!([{"kind": "ServiceAccount", "name": "controller", "namespace": ns}]);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "controller"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "controller"}, "subjects": subject,
    });
    let all = ["prometheusrules", "servicemonitors", "alertmanagerconfigs"];
    cluster.apply(&ns, &[role(&all), binding]).succeeds();
    let channels = "channels: {shop-oncall: {webhookConfigs: [{urlSecret: {name: hook, key: url}}]}}\n";
    let settings = format!("{channels}routing: {{namespace: {ns}}}\n");
    let _controller = Controller::start_as(kubeconfig, &ns, &settings, Fake::default());
    cluster.apply(&ns, &[with_rules("a")]).succeeds();
    until_condition(cluster, &ns, "a", "RoutingReady", ("True", "Applied"));
    cluster.apply(&ns, &[role(&all[..2])]).succeeds();
    proxy.cut();
    let message = until_condition(cluster, &ns, "a", "RoutingReady", ("False", "ApplyFailed"));
    assert!(message.contains("alertmanagerconfigs") && message.contains("grant the controller"), "{message}");
    cluster.apply(&ns, &[role(&all)]).succeeds();
    let began = Instant::now();
    until_condition(cluster, &ns, "a", "RoutingReady", ("True", "Applied"));
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
}
