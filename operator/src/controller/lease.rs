//! Which of several controllers writes: the one that holds the Lease `contextcore-controller`.
//!
//! As in other controllers, nobody trusts the clocks of others: a Lease counts as expired once it was seen unchanged for its whole
//! duration. Who cannot renew in time stops, before another one may begin.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client, Error};

/// Name of the Lease.
pub const NAME: &str = "contextcore-controller";
/// How long it is held without being renewed.
pub const DURATION: Duration = Duration::from_secs(15);
/// Who could not renew it for this long gives up.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Who has not been able to watch the contexts for this long leaves it to others.
pub const MOST_BLIND: Duration = Duration::from_secs(60);
/// How often it is renewed, or tried.
pub const RETRY: Duration = Duration::from_secs(2);

/// What to do with the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// There is none.
    Create,
    /// It is ours.
    Renew,
    /// Nobody holds it any more.
    Take,
    /// Somebody else holds it.
    Wait,
}

/// When the Lease last changed, on our own clock.
#[derive(Clone, Debug, Default)]
struct Observation {
    version: String,
    since: Duration,
}

impl Observation {
    /// How long it has not changed.
    fn age(&mut self, version: &str, now: Duration) -> Duration {
        if self.version != version {
            *self = Self { version: version.to_owned(), since: now };
        }
        now.saturating_sub(self.since)
    }
}

fn decide(lease: Option<&LeaseSpec>, identity: &str, age: Duration) -> Move {
    let Some(lease) = lease else { return Move::Create };
    match lease.holder_identity.as_deref() {
        Some(holder) if holder == identity => Move::Renew,
        None | Some("") => Move::Take,
        Some(_) => {
            let seconds = lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let duration = seconds.map_or(DURATION, Duration::from_secs);
            if age >= duration { Move::Take } else { Move::Wait }
        }
    }
}

/// The Lease as this process has it.
pub(crate) struct Election {
    api: Api<Lease>,
    identity: String,
    observation: Observation,
    /// When we renewed it last, on our own clock.
    renewed: Option<Duration>,
}

impl Election {
    pub(crate) fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            observation: Observation::default(),
            renewed: None,
        }
    }

    pub(crate) const fn is_leader(&self) -> bool {
        self.renewed.is_some()
    }

    /// Takes or renews the Lease, if it may.
    ///
    /// # Errors
    /// That of the API server. The Lease may be ours still: ask [`Self::is_lost`].
    pub(crate) async fn turn(&mut self, now: Duration, time: Timestamp) -> Result<(), Error> {
        let lease = self.api.get_opt(NAME).await?;
        let version = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone()).unwrap_or_default();
        let age = self.observation.age(&version, now);
        let spec = lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        match decide(spec.as_ref(), &self.identity, age) {
            Move::Wait => {
                self.renewed = None;
                return Ok(());
            }
            Move::Create => self.create(time).await?,
            step => self.replace(lease.unwrap_or_default(), step, time).await?,
        }
        self.renewed = Some(now);
        Ok(())
    }

    /// How long to wait for the next turn. Who waits for a Lease looks again at the moment at which it may take it.
    pub(crate) fn pause(&self, now: Duration) -> Duration {
        let expires = self.observation.since + DURATION;
        if self.is_leader() || expires <= now { RETRY } else { RETRY.min(expires.saturating_sub(now)) }
    }

    /// Whether we may not go on writing: somebody else could have it by now.
    pub(crate) fn is_lost(&self, now: Duration) -> bool {
        self.renewed.is_some_and(|at| now.saturating_sub(at) >= RENEW_DEADLINE)
    }

    async fn create(&self, time: Timestamp) -> Result<(), Error> {
        let lease = Lease {
            metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
            spec: Some(self.spec(None, Move::Create, time)),
        };
        self.api.create(&PostParams::default(), &lease).await.map(drop)
    }

    /// The version that was read is sent back, so that of two that take it at once one fails.
    async fn replace(&self, mut lease: Lease, step: Move, time: Timestamp) -> Result<(), Error> {
        lease.spec = Some(self.spec(lease.spec.as_ref(), step, time));
        self.api.replace(NAME, &PostParams::default(), &lease).await.map(drop)
    }

    fn spec(&self, before: Option<&LeaseSpec>, step: Move, time: Timestamp) -> LeaseSpec {
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        let acquired = before.and_then(|spec| spec.acquire_time.clone()).filter(|_| step == Move::Renew);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: acquired.or(Some(MicroTime(time))),
            renew_time: Some(MicroTime(time)),
            lease_transitions: Some(if step == Move::Take { transitions + 1 } else { transitions }),
            ..LeaseSpec::default()
        }
    }

    /// Gives the Lease back, so that another one need not wait for it to expire.
    pub(crate) async fn release(&mut self, time: Timestamp) -> Result<(), Error> {
        if self.renewed.take().is_none() {
            return Ok(());
        }
        let Some(mut lease) = self.api.get_opt(NAME).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        else {
            return Ok(());
        };
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(time));
        self.api.replace(NAME, &PostParams::default(), &lease).await.map(drop)
    }
}

/// Who holds the Lease, if somebody does.
pub(crate) async fn holder(client: &Client, namespace: &str) -> Result<Option<String>, Error> {
    let lease = Api::<Lease>::namespaced(client.clone(), namespace).get_opt(NAME).await?;
    let holder = lease.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity);
    Ok(holder.filter(|holder| !holder.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(holder: &str) -> LeaseSpec {
        LeaseSpec { holder_identity: Some(holder.into()), lease_duration_seconds: Some(15), ..LeaseSpec::default() }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_or_was_not_renewed_for_its_duration() {
        let age = Duration::from_secs;
        assert_eq!(decide(None, "me", age(0)), Move::Create);
        assert_eq!(decide(Some(&spec("me")), "me", age(60)), Move::Renew);
        assert_eq!(decide(Some(&spec("")), "me", age(0)), Move::Take);
        assert_eq!(decide(Some(&spec("other")), "me", age(14)), Move::Wait);
        assert_eq!(decide(Some(&spec("other")), "me", age(15)), Move::Take);
    }

    #[test]
    fn age_counts_from_the_last_change_that_was_seen() {
        let mut observation = Observation::default();
        let at = Duration::from_secs;
        assert_eq!(observation.age("1", at(100)), at(0));
        assert_eq!(observation.age("1", at(114)), at(14));
        assert_eq!(observation.age("2", at(116)), at(0));
        assert_eq!(observation.age("2", at(131)), at(15));
    }

    /// Who holds it stops before anybody else can have it: otherwise two would write.
    #[test]
    fn the_holder_gives_up_before_the_lease_expires() {
        assert!(RENEW_DEADLINE + RETRY < DURATION);
    }
}
