//! The doctor of `check` asks backends that want a credential and a tenant: both reach them as the flags, the variables and the
//! configuration say, a refusal names the flag that fixes it, and no secret is shown, not even by a backend that quotes it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::{Installation, Ran, Setup, Tool};

const TOKEN: &str = "glc_backend-s3cret-token";
const PAIR: &str = "123456:glc_backend-s3cret-token";
const TENANT: &str = "tenant-s3cret-name";

/// A Tempo, Loki and Mimir in one that answers whoever shows this credential for this tenant.
struct Hosted {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

#[derive(Clone)]
struct Wants {
    credential: String,
    tenant: Option<String>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Hosted {
    async fn start(credential: &str, tenant: Option<&str>) -> Self {
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let wants = Wants {
            credential: credential.to_owned(),
            tenant: tenant.map(str::to_owned),
            requests: Arc::clone(&requests),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(wants);
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, requests, _serving: serving }
    }

    fn received(&self, path: &str) -> bool {
        self.requests.lock().unwrap().iter().any(|requested| requested == path)
    }
}

/// As hosted backends do, it hides its configuration; as some do, it quotes the credential.
async fn answer(State(wants): State<Wants>, uri: Uri, headers: HeaderMap) -> Response {
    wants.requests.lock().unwrap().push(uri.path().to_owned());
    let shown = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (credential, tenant) = (shown("authorization").unwrap_or_default(), shown("x-scope-orgid"));
    if wants.tenant.is_some() && tenant.is_none() {
        return (StatusCode::UNAUTHORIZED, "no org id\n").into_response();
    }
    if credential != wants.credential {
        return (StatusCode::UNAUTHORIZED, format!("bad credential {credential}")).into_response();
    }
    if tenant != wants.tenant {
        return (StatusCode::FORBIDDEN, format!("no tenant {tenant:?}")).into_response();
    }
    match uri.path().trim_start_matches("/tempo") {
        "/status/config" | "/flush" | "/metrics" | "/api/v1/status/flags" => StatusCode::FORBIDDEN.into_response(),
        _ => axum::Json(json!({"data": {"result": []}, "traces": [{}]})).into_response(),
    }
}

/// An installation that sends traces alone: a doctor then looks for no record and no sample.
async fn installation(tool: &Tool, headers: &str) -> Installation {
    let mut home = tool.home_with(&Setup { otlp: &format!("signals: [traces], {headers}"), ..Setup::default() }).await;
    for (file, text) in [("pair", PAIR), ("bearer", TOKEN), ("wrong", "wr0ng-s3cret-token"), ("tenant", TENANT)] {
        std::fs::write(home.path().join(file), format!("{text}\n")).unwrap();
    }
    home.variables.push(("CONTEXTCORE_LOG".to_owned(), "trace".to_owned()));
    home
}

fn basic() -> String {
    format!("Basic {}", BASE64.encode(PAIR))
}

#[track_caller]
fn clean(ran: Ran) -> Ran {
    for secret in [TOKEN, &BASE64.encode(PAIR), "wr0ng-s3cret-token", TENANT] {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{secret} is shown:\n{}\n{}", ran.out, ran.err);
    }
    ran
}

/// `check` with each of the three at this address, and more flags.
fn check(home: &Installation, url: &str, flags: &[&str]) -> Ran {
    let tempo = format!("{url}/tempo");
    let mut all = vec!["check", "--tempo-url", &tempo, "--loki-url", url, "--prometheus-url", url];
    all.extend(flags);
    clean(home.run(&all))
}

fn files(file: &str) -> [&str; 6] {
    ["--tempo-token-file", file, "--loki-token-file", file, "--prometheus-token-file", file]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_and_tenants_reach_backends_that_want_them() {
    let tool = Tool::sample().await;
    let mut home = installation(&tool, "headers: {X-Scope-OrgID: {file: tenant}}").await;
    let hosted = Hosted::start(&basic(), Some(TENANT)).await;
    check(&home, &hosted.url, &files("pair")).expect(0);
    for path in ["/tempo/api/search", "/loki/api/v1/query_range", "/api/v1/query"] {
        assert!(hosted.received(path), "{path}");
    }
    let other = Hosted::start(&format!("Bearer {TOKEN}"), Some("other")).await;
    check(&home, &other.url, &[&files("bearer")[..], &["--org-id", "other"]].concat()).expect(0);
    for variable in ["TEMPO_TOKEN", "LOKI_TOKEN", "PROMETHEUS_TOKEN"] {
        home.variables.push((variable.to_owned(), PAIR.to_owned()));
    }
    check(&home, &hosted.url, &[]).expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_one_line_that_names_the_flag() {
    let tool = Tool::sample().await;
    let home = installation(&tool, "").await;
    let hosted = Hosted::start(&basic(), None).await;
    let said = |ran: Ran| {
        let err = ran.expect(4).err;
        let errors: Vec<String> = err.lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect();
        assert_eq!(errors.len(), 3, "one line a backend: {errors:#?}");
        errors
    };
    let missing = said(check(&home, &hosted.url, &[]));
    for (line, flag) in missing.iter().zip(["--prometheus-token-file", "--loki-token-file", "--tempo-token-file"]) {
        assert!(line.contains(flag) && line.contains("401"), "{line}");
    }
    assert!(home.collector.spans().is_empty(), "no canary is sent that cannot be queried");
    for line in said(check(&home, &hosted.url, &files("wrong"))) {
        assert!(line.contains("-token-file (401): bad credential Bearer [redacted]"), "{line}");
    }
    let tenants = Hosted::start(&basic(), Some(TENANT)).await;
    for line in said(check(&home, &tenants.url, &files("pair"))) {
        assert!(line.contains("--org-id"), "{line}");
    }
    for line in said(check(&home, &tenants.url, &[&files("pair")[..], &["--org-id", "other"]].concat())) {
        assert!(line.contains("(403)") || line.contains("403"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_in_an_address_is_refused_and_not_repeated() {
    let tool = Tool::sample().await;
    let home = installation(&tool, "").await;
    let place = format!("123456:{TOKEN}@127.0.0.1:9");
    for (url, flag) in [
        ("--tempo-url", "--tempo-token-file"),
        ("--loki-url", "--loki-token-file"),
        ("--prometheus-url", "--prometheus-token-file"),
        ("--grafana-url", "--token-file"),
    ] {
        for address in [format!("http://{place}/tempo"), place.clone()] {
            let ran = clean(home.run(&["check", url, &address]).expect(2));
            assert!(ran.err.contains(url) && ran.err.contains(flag), "{}", ran.err);
        }
    }
    let ran = clean(home.run(&["check", "--tempo-url", "http://127.0.0.1:9", "--tempo-token-file", "nowhere"]));
    assert!(ran.expect(2).err.contains("nowhere"));
    clean(home.run(&["check", "--tempo-token-file", "pair"]).expect(2));
}
