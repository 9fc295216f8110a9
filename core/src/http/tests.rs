//! The session against a scripted server on loopback. The server writes raw bytes, because server libraries cannot be
//! made to send half of what matters here: truncated bodies, resets, silence.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::clock;
use crate::model::error::{Error, ErrorKind, Result, Retry};
use crate::model::secret::Secret;
use crate::model::time::Millis;

const BUCKETS: &[Bucket] = &[
    Bucket { name: "search", per_second: 1_000, burst: 1_000 },
    Bucket { name: "bulk", per_second: 1_000, burst: 1_000 },
    Bucket { name: "slow", per_second: 10, burst: 1 },
];

/// What the server does with one request.
enum Reply {
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Closes with a TCP reset.
    Reset,
    /// Writes these bytes and then nothing more.
    Silence(Vec<u8>),
    /// Answers `{}` after a delay.
    Late(Duration),
}

/// An HTTP answer with a correct length.
fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{extra}\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    Reply::Bytes(bytes)
}

fn ok() -> Reply {
    answer(200, &[("Content-Type", "application/json")], r#"{"ok":true}"#)
}

#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    open: usize,
    most_open: usize,
}

/// A server that answers by a script. It stops when dropped.
struct Server {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// `script` is given the number of the request (from 1) and its text.
    async fn start(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let (shared, script) = (Arc::clone(&seen), Arc::new(script));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, Arc::clone(&shared), Arc::clone(&script)));
            }
        });
        Self { addr, seen, _tasks: tasks }
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }

    fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::new(format!("http://{}/pre/", self.addr), Auth::None, BUCKETS, PlainDialect);
        config.backoff_base = Duration::from_millis(1);
        config.timeout = Duration::from_secs(5);
        config
    }

    fn session(&self) -> Session {
        Session::new(self.config()).unwrap()
    }

    fn session_with(&self, change: impl FnOnce(&mut SessionConfig)) -> Session {
        let mut config = self.config();
        change(&mut config);
        Session::new(config).unwrap()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>, script: Arc<impl Fn(usize, &str) -> Reply>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.requests.push(request.clone());
        seen.open += 1;
        seen.most_open = seen.most_open.max(seen.open);
        seen.requests.len()
    };
    let bytes = match script(number, &request) {
        Reply::Bytes(bytes) => bytes,
        Reply::Reset => return stream.set_zero_linger().unwrap(),
        Reply::Silence(bytes) => {
            stream.write_all(&bytes).await.ok();
            return std::future::pending().await;
        }
        Reply::Late(delay) => {
            tokio::time::sleep(delay).await;
            b"HTTP/1.1 200 X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}".to_vec()
        }
    };
    seen.lock().unwrap().open -= 1;
    stream.write_all(&bytes).await.ok();
    stream.shutdown().await.ok();
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        if body.len() >= length {
            return Some(text);
        }
    }
}

/// Calls are spawned on other threads: this does not compile when their future is not `Send`.
#[test]
fn calls_can_move_between_threads() {
    fn sendable<T: Send>(_: impl FnOnce(&'static Session) -> T) {}
    sendable(|session| session.get::<Value>("search", "/x", &[]));
    sendable(|session| session.post::<Value>("search", "/x", &0));
}

async fn get(session: &Session) -> Result<Value> {
    session.get("search", "/x", &[]).await
}

/// The session's error from a server that always replies so, and the number of requests.
async fn failing(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Error, usize) {
    let server = Server::start(move |_, _| reply()).await;
    let error = get(&server.session_with(|config| config.tries = 4)).await.unwrap_err();
    (error, server.requests().len())
}

#[tokio::test]
async fn a_request_goes_under_the_prefix_with_the_credential_and_headers() {
    let server = Server::start(|_, _| ok()).await;
    let auth = Auth::Basic { user: "ada@a.example".to_owned(), password: Secret::new("s3cret") };
    let session = server.session_with(|config| config.auth = auth);
    let got: Value = session.get("search", "/rest/x", &[("q", "a b"), ("n", "1")]).await.unwrap();
    assert_eq!(got, json!({"ok": true}));
    let got: Value = session.post("search", "/rest/y", &json!({"jql": "é"})).await.unwrap();
    assert_eq!(got, json!({"ok": true}));
    let [get, post] = server.requests().try_into().unwrap();
    assert!(get.starts_with("GET /pre/rest/x?q=a+b&n=1 HTTP/1.1\r\n"), "{get}");
    for header in [
        "authorization: Basic YWRhQGEuZXhhbXBsZTpzM2NyZXQ=",
        "accept: application/json",
        "user-agent: contextcore/",
        "accept-encoding: gzip",
    ] {
        assert!(get.contains(header), "{header} in {get}");
    }
    assert!(post.starts_with("POST /pre/rest/y HTTP/1.1\r\n") && post.ends_with("\r\n\r\n{\"jql\":\"é\"}"), "{post}");
    assert!(post.contains("content-type: application/json"), "{post}");
}

#[tokio::test]
async fn other_credentials_go_into_their_headers() {
    let server = Server::start(|_, _| ok()).await;
    let key = Auth::Header { name: HeaderName::from_static("x-api-key"), value: Secret::new("s3cret") };
    get(&server.session_with(|config| config.auth = key)).await.unwrap();
    get(&server.session_with(|config| config.auth = Auth::Bearer(Secret::new("s3cret")))).await.unwrap();
    assert!(server.requests()[0].contains("x-api-key: s3cret"));
    assert!(server.requests()[1].contains("authorization: Bearer s3cret"));
}

#[tokio::test]
async fn a_renewed_credential_is_sent_from_then_on_and_masked() {
    let echo = |_: usize, request: &str| {
        let sent = request.lines().find(|line| line.starts_with("authorization")).unwrap_or_default().to_owned();
        answer(400, &[("Content-Type", "application/json")], json!({"message": sent}).to_string())
    };
    let server = Server::start(echo).await;
    let session = server.session_with(|config| config.auth = Auth::Bearer(Secret::new("first-one")));
    get(&session).await.unwrap_err();
    session.authorize(&Auth::Bearer(Secret::new("second-one"))).unwrap();
    let error = get(&session).await.unwrap_err();
    let sent: Vec<_> = server.requests().iter().map(|request| request.contains("Bearer first-one")).collect();
    assert_eq!(sent, [true, false]);
    assert!(server.requests()[1].contains("authorization: Bearer second-one"));
    assert!(!error.full().contains("second-one"), "{}", error.full());
}

#[tokio::test]
async fn a_rejection_is_final_and_has_its_context() {
    use ErrorKind::{Auth, Gone, NotFound, Permission, Rejected};
    let table =
        [(302, Auth), (400, Rejected), (401, Auth), (403, Permission), (404, NotFound), (410, Gone), (422, Rejected)];
    for (status, kind) in table {
        let (error, requests) = failing(move || answer(status, &[], r#"{"errorMessages":["because"]}"#)).await;
        assert_eq!((error.kind(), error.retry(), requests), (kind, Retry::Never, 1), "{status}");
        assert_eq!(error.context("status"), Some(status.to_string().as_str()));
        assert_eq!(error.context("path"), Some("/pre/x"));
        assert!(error.to_string().contains("because"), "{error}");
    }
}

/// Gets on a paused clock, which moves only once the session has counted a wait: on a real one, a wait of a millisecond may be over
/// before the session comes to it, and is then none.
async fn get_wait_by_wait(session: &Session) -> Result<Value> {
    let move_on = async {
        let mut seen = 0;
        loop {
            tokio::task::yield_now().await;
            if session.stats().waits > seen {
                seen = session.stats().waits;
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
    };
    tokio::select! {
        answer = get(session) => answer,
        () = move_on => unreachable!("it goes on for as long as it is asked"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_server_is_retried() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let server = Server::start(move |n, _| if n < 3 { answer(status, &[], "<html>oops") } else { ok() }).await;
        let session = server.session();
        get_wait_by_wait(&session).await.unwrap();
        let stats = session.stats();
        assert_eq!((stats.requests, stats.retries, stats.waits), (3, 2, 2), "{status}");
        assert_eq!(server.requests().len(), 3, "{status}");
    }
}

#[tokio::test]
async fn used_up_tries_report_the_status_and_leave_the_backoff_to_the_caller() {
    let (error, requests) = failing(|| answer(503, &[], r#"{"message":"maintenance"}"#)).await;
    assert_eq!((error.kind(), error.retry(), requests), (ErrorKind::Unavailable, Retry::Backoff, 4));
    assert_eq!((error.context("status"), error.context("tries")), (Some("503"), Some("4")));
    assert!(error.to_string().contains("maintenance"), "{error}");
    let (error, requests) = failing(|| answer(429, &[], "")).await;
    assert_eq!((error.kind(), error.retry(), requests), (ErrorKind::RateLimited, Retry::Backoff, 4));
}

#[tokio::test]
async fn a_caller_may_choose_fewer_tries_but_not_more() {
    let server = Server::start(|_, _| answer(502, &[], "")).await;
    let session = server.session_with(|config| config.tries = 4);
    for (tries, want) in [(3, 3), (100, 4), (0, 1)] {
        let before = server.requests().len();
        let error = session.post_with::<Value>("search", "/x", &json!({}), Tries(tries)).await.unwrap_err();
        assert_eq!((error.kind(), error.context("status")), (ErrorKind::Unavailable, Some("502")));
        assert_eq!(server.requests().len() - before, want);
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_by_callers_with_few_tries_too() {
    let limited = || answer(429, &[("Retry-After", "0.01")], "");
    let server = Server::start(move |n, _| if n < 3 { limited() } else { ok() }).await;
    let got: Value = server.session().get_with("search", "/x", &[], Tries(1)).await.unwrap();
    assert_eq!((got, server.requests().len()), (json!({"ok": true}), 3));
}

#[tokio::test]
async fn a_lasting_failure_is_given_up_sooner_where_the_server_serves_others() {
    let server = Server::start(|_, request| if request.contains("/bad") { answer(500, &[], "") } else { ok() }).await;
    let session = server.session_with(|config| config.tries = 8);
    for (served, want) in [(false, 8), (true, 5)] {
        if served {
            get(&session).await.unwrap();
        }
        let before = server.requests().len();
        session.get::<Value>("search", "/bad", &[]).await.unwrap_err();
        assert_eq!(server.requests().len() - before, want);
    }
}

/// How long a session takes over a rate-limited answer and the good one after it.
async fn requested_wait(status: u16, headers: &'static [(&'static str, &'static str)]) -> Duration {
    let server = Server::start(move |n, _| if n == 1 { answer(status, headers, "{}") } else { ok() }).await;
    let session = server.session();
    let start = Instant::now();
    get(&session).await.unwrap();
    assert_eq!(session.stats().waits, 1);
    start.elapsed()
}

#[tokio::test]
async fn requested_waits_use_the_servers_clock() {
    // The server's clock is in 2001: with our clock, the waits would be zero or many years.
    const DATE: (&str, &str) = ("Date", "Sun, 09 Sep 2001 01:46:40 GMT"); // 1 000 000 000
    const CASES: [&[(&str, &str)]; 5] = [
        &[("Retry-After", "0.3")],
        &[DATE, ("X-RateLimit-Reset", "1000000000300")],
        &[DATE, ("X-RateLimit-Reset", "2001-09-09T01:46:40.300Z"), ("X-RateLimit-Remaining", "0")],
        &[("Date", "Sun, 09 Sep 2001 01:46:59 GMT"), ("X-RateLimit-Reset", "2001-09-09T01:47Z")],
        &[DATE, ("Retry-After", "Sun, 09 Sep 2001 01:46:41 GMT")],
    ];
    let waits = futures::future::join_all(CASES.map(|headers| requested_wait(429, headers))).await;
    for (wait, want) in waits.into_iter().zip([300, 300, 300, 1_000, 1_000]) {
        let range = Duration::from_millis(want)..Duration::from_millis(want * 6 / 5 + 2_000);
        assert!(range.contains(&wait), "{wait:?} for {want} ms");
    }
}

#[tokio::test]
async fn a_requested_wait_above_the_limit_fails_at_once_and_pauses_the_session() {
    let server = Server::start(|_, _| answer(429, &[("Retry-After", "3600")], "")).await;
    let session = server.session();
    let error = get(&session).await.unwrap_err();
    // The vendor is asked again after a quarter of an hour at the latest.
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::After(Duration::from_secs(900))));
    assert_eq!(error.context("status"), Some("429"));
    let error = get(&session).await.unwrap_err();
    let left = Duration::from_secs(850)..=Duration::from_secs(900);
    assert!(matches!(error.retry(), Retry::After(wait) if left.contains(&wait)), "{error}");
    assert_eq!(server.requests().len(), 1);
}

/// Limits as GraphQL vendors report them: in a 200, or in a 400 with a reset header of its own.
struct Habits;

impl Dialect for Habits {
    fn verdict(&self, answer: &Answer<'_>) -> Option<Verdict> {
        match answer.json()?["errors"][0]["code"].as_str()? {
            "LIMIT_ALL" => Some(Verdict::Retry { after: Some(Duration::from_millis(400)), scope: Scope::All }),
            "LIMIT" => {
                let after = limits::reset_after(answer.headers, "X-Requests-Reset", answer.now);
                Some(Verdict::Retry { after, scope: Scope::Bucket })
            }
            "FINE" => Some(Verdict::Accept),
            "NEVER" => Some(Verdict::Fail(Error::new(ErrorKind::Permission, "that needs a licence"))),
            _ => None,
        }
    }
}

/// How long a call in `bulk` waits while `search` is limited with `code`.
async fn bystander(code: &'static str) -> Duration {
    let limited = format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#);
    let headers = [("Date", "Sun, 09 Sep 2001 01:46:40 GMT"), ("X-Requests-Reset", "1000000000400")];
    let server = Server::start(move |n, _| if n == 1 { answer(400, &headers, &limited) } else { ok() }).await;
    let session = server.session_with(|config| config.dialect = Arc::new(Habits));
    let other = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        session.get::<Value>("bulk", "/x", &[]).await.unwrap();
        start.elapsed()
    };
    let start = Instant::now();
    let (limited, waited) = tokio::join!(get(&session), other);
    limited.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    waited
}

#[tokio::test]
async fn a_limit_pauses_its_scope_only() {
    let (all, one) = tokio::join!(bystander("LIMIT_ALL"), bystander("LIMIT"));
    assert!(all >= Duration::from_millis(250), "{all:?}");
    assert!(one + Duration::from_millis(50) < all, "{one:?} and {all:?}");
}

#[tokio::test]
async fn a_dialect_overrides_any_status() {
    let server = Server::start(|_, request| {
        let code = if request.contains("/fine") { "FINE" } else { "NEVER" };
        answer(if code == "FINE" { 400 } else { 200 }, &[], format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#))
    })
    .await;
    let session = server.session_with(|config| config.dialect = Arc::new(Habits));
    let fine: Value = session.get("search", "/fine", &[]).await.unwrap();
    assert_eq!(fine["errors"][0]["code"], "FINE");
    let error = session.get::<Value>("search", "/never", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.context("status")), (ErrorKind::Permission, Some("200")));
}

#[tokio::test]
async fn a_web_page_is_an_auth_error() {
    let page = "<html><title>Log in to Example</title><form>";
    let (error, requests) = failing(move || answer(200, &[("Content-Type", "text/html;charset=UTF-8")], page)).await;
    assert_eq!((error.kind(), requests), (ErrorKind::Auth, 1));
    assert!(error.to_string().starts_with("a login page came instead of data: Log in to Example"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_credential() {
    let elsewhere = Server::start(|_, _| ok()).await;
    let target = format!("http://{}/login", elsewhere.addr);
    let server = Server::start(move |_, _| answer(302, &[("Location", &target)], "")).await;
    let error =
        get(&server.session_with(|config| config.auth = Auth::Bearer(Secret::new("s3cret")))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_truncated_answer_is_requested_three_times() {
    let torn = || Reply::Bytes(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{\"ok\":".to_vec());
    let (error, requests) = failing(torn).await;
    assert_eq!((error.kind(), error.retry(), requests), (ErrorKind::Protocol, Retry::Backoff, 3));
    let server = Server::start(move |n, _| if n < 3 { torn() } else { ok() }).await;
    assert_eq!(get(&server.session()).await.unwrap(), json!({"ok": true}));
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_requested_three_times() {
    for body in [r#"{"ok":"#, "", "upstream says no"] {
        let (error, requests) = failing(move || answer(200, &[], body)).await;
        assert_eq!((error.kind(), requests), (ErrorKind::Protocol, 3), "{body}");
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_is_final_and_says_where() {
    #[derive(Deserialize, Debug)]
    struct Page {
        #[expect(dead_code, reason = "only its type matters")]
        issues: Vec<Issue>,
    }
    #[derive(Deserialize, Debug)]
    struct Issue {
        #[expect(dead_code, reason = "only its type matters")]
        id: u64,
    }
    let long = "private ".repeat(1_000);
    let server =
        Server::start(move |_, _| answer(200, &[], format!(r#"{{"issues":[{{"id":1}},{{"id":"{long}"}}]}}"#))).await;
    let error = server.session().get::<Page>("search", "/x", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Never));
    assert_eq!(error.context("at"), Some("issues[1].id"));
    assert!(error.full().len() < 400, "{}", error.full());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_empty_answer_is_data_only_with_status_204() {
    let server = Server::start(|_, _| Reply::Bytes(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n".to_vec())).await;
    assert_eq!(get(&server.session()).await.unwrap(), Value::Null);
}

#[tokio::test]
async fn a_reset_connection_is_retried() {
    let server = Server::start(|n, _| if n == 1 { Reply::Reset } else { ok() }).await;
    get(&server.session()).await.unwrap();
    let (error, requests) = failing(|| Reply::Reset).await;
    assert_eq!((error.kind(), error.retry(), requests), (ErrorKind::Unavailable, Retry::Backoff, 4));
    assert!(error.to_string().starts_with("the connection broke"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answered_is_tried_three_times() {
    let server = Server::start(|_, _| ok()).await;
    let config = server.config();
    drop(server);
    let error = get(&Session::new(config).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("tries")), (ErrorKind::Unavailable, Some("3")));
    assert!(error.full().contains("refused"), "{}", error.full());
}

#[tokio::test]
async fn a_server_that_answered_before_is_retried_longer() {
    let server = Server::start(|_, _| ok()).await;
    let session = server.session();
    get(&session).await.unwrap();
    drop(server);
    let error = get(&session).await.unwrap_err();
    assert_eq!((error.kind(), error.context("tries")), (ErrorKind::Unavailable, Some("8")));
}

#[tokio::test]
async fn silence_ends_with_the_timeout_before_and_within_the_body() {
    for said in ["", "HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n{"] {
        let server = Server::start(move |_, _| Reply::Silence(said.into())).await;
        let session = server.session_with(|config| {
            config.timeout = Duration::from_millis(100);
            config.tries = 2;
        });
        let error = get(&session).await.unwrap_err();
        assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Unavailable, 2), "{error}");
        assert!(error.to_string().contains("in time"), "{error}");
    }
}

#[tokio::test]
async fn a_body_is_decompressed_and_limited_after_decompression() {
    let small = "H4sIAAAAAAACA6tWys9WsiopKk2tBQCQX9SnCwAAAA==";
    let bomb = "H4sIAAAAAAACA+3BMQ0AIAwAMCtkMvCzi4OEwLXgHRscbSvmiL7XyQYAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
                AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB86z67mFPuq4YBAA==";
    let server = Server::start(move |_, request| {
        let body = if request.contains("/small") { small } else { bomb };
        answer(200, &[("Content-Encoding", "gzip")], BASE64.decode(body).unwrap())
    })
    .await;
    let session = server.session_with(|config| config.body_cap = 50_000);
    assert_eq!(session.get::<Value>("search", "/small", &[]).await.unwrap(), json!({"ok": true}));
    let error = session.get::<Value>("search", "/bomb", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Never));
    assert_eq!((error.context("cap"), server.requests().len()), (Some("50000"), 2));
    let session = server.session_with(|config| config.body_cap = 11);
    session.get::<Value>("search", "/small", &[]).await.unwrap();
}

#[tokio::test]
async fn a_bucket_keeps_its_rate() {
    let server = Server::start(|_, _| ok()).await;
    let session = server.session();
    let start = Instant::now();
    let calls = (0..5).map(|_| session.get::<Value>("slow", "/x", &[]));
    futures::future::try_join_all(calls).await.unwrap();
    let took = start.elapsed();
    assert!((Duration::from_millis(390)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert!(session.stats().paced > Duration::from_millis(300) && session.stats().waits == 0, "{:?}", session.stats());
    let error = session.get::<Value>("typo", "/x", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_allowed() {
    let server = Server::start(|_, _| Reply::Late(Duration::from_millis(50))).await;
    let session = server.session_with(|config| config.in_flight = 2);
    futures::future::try_join_all((0..6).map(|_| get(&session))).await.unwrap();
    assert_eq!(server.seen.lock().unwrap().most_open, 2);
}

#[tokio::test]
async fn dropping_a_call_stops_it_and_frees_its_place() {
    let server = Server::start(|n, _| if n == 1 { Reply::Silence(Vec::new()) } else { ok() }).await;
    let session = server.session_with(|config| config.in_flight = 1);
    tokio::time::timeout(Duration::from_millis(100), get(&session)).await.unwrap_err();
    get(&session).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn stats_have_the_calls_left_and_the_clock_skew() {
    let server = Server::start(|_, _| {
        answer(200, &[("X-RateLimit-Remaining", "42"), ("Date", "Sun, 09 Sep 2001 01:46:40 GMT")], "[1]")
    })
    .await;
    let session = server.session();
    get(&session).await.unwrap();
    let stats = session.stats();
    assert_eq!((stats.rate_limit_remaining, stats.bytes, stats.requests), (Some(42), 3, 1));
    let want = Millis(1_000_000_000_500).0 - clock::now().0;
    assert!((stats.clock_skew_ms.unwrap() - want).abs() < 2_000, "{stats:?}");
}

/// The log of one test, on its thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[tokio::test]
async fn no_secret_appears_in_any_log_message_or_debug_text() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // A server that echoes every request, in every place from which a message is made.
    let server = Server::start(|n, request| {
        let echo = request.replace(['\r', '\n', '"'], " ");
        match n % 5 {
            0 => answer(400, &[], json!({"errorMessages": [echo], "errors": {"x": echo}}).to_string()),
            1 => answer(200, &[], json!({"id": echo}).to_string()),
            2 => answer(200, &[("Content-Type", "text/html")], format!("<title>{echo}</title>")),
            3 => answer(503, &[], json!({"message": echo}).to_string()),
            _ => Reply::Reset,
        }
    })
    .await;
    let auths = [
        Auth::Basic { user: "ada@a.example".to_owned(), password: Secret::new("s3cret word") },
        Auth::Bearer(Secret::new("s3cret")),
        Auth::Header { name: HeaderName::from_static("x-api-key"), value: Secret::new("s3cret") },
    ];
    let mut printed = String::new();
    for auth in auths {
        let config = SessionConfig { auth, tries: 2, ..server.config() };
        printed.push_str(&format!("{config:?}\n"));
        let session = Session::new(config).unwrap();
        for _ in 0..10 {
            let error = session.get::<Vec<u64>>("search", "/x", &[("token", "s3cret")]).await.unwrap_err();
            printed.push_str(&format!("{} {error:?} {error}\n", error.full()));
        }
        printed.push_str(&format!("{session:?}\n"));
    }
    let logged = log.text();
    assert!(logged.contains("/pre/x") && logged.contains("query=\"token\""), "the log was not captured: {logged}");
    assert!(printed.contains(crate::model::secret::REDACTED), "nothing was echoed: {printed}");
    for secret in ["s3cret", &BASE64.encode("ada@a.example:s3cret word")] {
        for text in [&printed, &logged] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "holds {secret}");
        }
    }
}
