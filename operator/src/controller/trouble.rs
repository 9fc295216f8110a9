//! Errors of the API server in words that say what to do.

use kube::Error;
use kube::core::Status;
use kube::runtime::watcher;

use super::kinds::Key;

/// What the controller must be allowed to do with its objects.
const VERBS: &str = "get, list, watch, create, patch and delete";

/// Why a watch does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchTrouble {
    pub(crate) message: String,
    /// The API server answered so; else it was not reached.
    pub(crate) is_answer: bool,
}

/// Why a watch does not work; `None`: it was closed, as the API server does after some minutes, and goes on.
pub(crate) fn of_watch(error: &watcher::Error) -> Option<WatchTrouble> {
    let answer = |message: String| Some(WatchTrouble { message, is_answer: true });
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => match error {
            Error::Api(status) if status.code == 403 => {
                answer(format!("{}: grant the controller {VERBS}", status.message))
            }
            // It starts, or ends.
            Error::Api(status) => {
                Some(WatchTrouble { message: status.message.clone(), is_answer: !matches!(status.code, 429 | 500..) })
            }
            other => {
                let message = format!("the API server cannot be reached: {}", chain(other));
                Some(WatchTrouble { message, is_answer: false })
            }
        },
        watcher::Error::NoResourceVersion => answer("the API server does not serve a watch".to_owned()),
        watcher::Error::WatchError(_) | watcher::Error::WatchFailed(_) => None,
    }
}

/// Why an object could not be written.
pub(crate) fn of_write(key: &Key, error: &Error) -> String {
    match error {
        Error::Api(status) => refused(key, status),
        other => format!("{key}: the API server cannot be reached: {}", chain(other)),
    }
}

fn refused(key: &Key, status: &Status) -> String {
    let Key { kind, namespace, .. } = key;
    match status.code {
        403 if status.message.contains("cannot") => {
            let resource = kind.definition().unwrap_or_else(|| kind.plural().to_owned());
            format!("{}: grant the controller {VERBS} on {resource} in namespace {namespace}", status.message)
        }
        404 if status.message.contains("namespaces") => {
            format!("{key}: namespace {namespace} does not exist: create it, or name another one in the settings")
        }
        409 => format!("{key}: {}: leave these fields to contextcore", status.message),
        _ => format!("{key}: {}", status.message),
    }
}

/// Why a status could not be written.
pub(crate) fn of_status(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 403 => {
            format!("{}: grant the controller patch on projectcontexts/status.contextcore.io", status.message)
        }
        Error::Api(status) => status.message.clone(),
        other => format!("the API server cannot be reached: {}", chain(other)),
    }
}

/// Why an Event could not be posted.
pub(crate) fn of_event(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 403 => {
            format!("{}: grant the controller create on events.events.k8s.io", status.message)
        }
        Error::Api(status) => status.message.clone(),
        other => format!("the API server cannot be reached: {}", chain(other)),
    }
}

/// Why the Lease could not be had.
pub(crate) fn of_lease(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 403 => {
            format!("{}: grant the controller create, get and update on leases.coordination.k8s.io", status.message)
        }
        Error::Api(status) => status.message.clone(),
        other => format!("the API server cannot be reached: {}", chain(other)),
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // The name of a variant says nothing to a person.
    text.strip_prefix("ServiceError: ").map_or(text.clone(), str::to_owned)
}

/// Why the API server did not answer a question.
pub(crate) fn refusal(error: &Error) -> String {
    match error {
        Error::Api(status) => format!("{}: ask for the right to get it", status.message),
        other => format!("the API server cannot be reached: {}", chain(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::Kind;
    use super::*;

    fn api(code: u16, message: &str) -> Error {
        Error::Api(Box::new(Status { code, message: message.into(), ..Status::default() }))
    }

    #[test]
    fn what_is_missing_is_named() {
        let key = Key { kind: Kind::PrometheusRule, namespace: "shop".into(), name: "contextcore-a".into() };
        let message = of_write(&key, &api(403, "prometheusrules is forbidden: User \"x\" cannot patch resource"));
        assert!(message.contains("grant the controller get, list, watch, create, patch and delete on"), "{message}");
        assert!(message.contains("prometheusrules.monitoring.coreos.com in namespace shop"), "{message}");
        let message = of_write(&key, &api(404, "namespaces \"shop\" not found"));
        assert!(message.contains("create it"), "{message}");
        let forbidden = watcher::Error::InitialListFailed(api(403, "configmaps is forbidden"));
        assert!(of_watch(&forbidden).unwrap().message.contains("grant the controller"));
    }
}
