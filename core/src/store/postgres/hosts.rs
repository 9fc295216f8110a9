//! Connecting to the first of several hosts that serves.
//!
//! The client tries hosts in turn as well, but waits for good for one that accepts the connection and then says nothing. Here such a host
//! is passed over.

use std::time::Duration;

use deadpool_postgres::{ConfigConnectImpl, Connect};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, LoadBalanceHosts};
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::Target;
use crate::model::error::Result;

/// The hosts of a database, each with what it takes to connect to it.
pub(super) struct Hosts {
    /// As they are written.
    all: Vec<Config>,
    /// Whether each connection begins with another one.
    is_random: bool,
    connect: ConfigConnectImpl<MakeRustlsConnect>,
    /// How long one host may take.
    patience: Duration,
}

impl Hosts {
    /// # Errors
    /// [`crate::ErrorKind::Config`] when the certificates to trust cannot be read.
    pub(super) fn new(target: &Target) -> Result<Self> {
        let config = &target.config;
        let all: Vec<Config> = (0..config.get_hosts().len()).map(|at| only(config, at)).collect();
        let is_random = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        Ok(Self {
            all,
            is_random,
            connect: ConfigConnectImpl { tls: target.tls()? },
            patience: target.patience_of_one(),
        })
    }

    async fn first(&self, config: Config) -> Result<(Client, JoinHandle<()>), Error> {
        let mut all: Vec<&Config> = self.all.iter().collect();
        if self.is_random && !all.is_empty() {
            all.rotate_left(rand::random_range(0..self.all.len()));
        }
        let last = all.pop().unwrap_or(&config);
        for host in all {
            if let Ok(Ok(connected)) = timeout(self.patience, self.connect.connect(host)).await {
                return Ok(connected);
            }
        }
        // How long this one may take, the pool says.
        self.connect.connect(last).await
    }
}

impl Connect for Hosts {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(self.first(config.clone()))
    }
}

impl Target {
    /// How long connecting to one host may take: its share for the network, and as much for what the server says.
    fn patience_of_one(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or_default() * 2
    }

    /// The same for all hosts.
    pub(super) fn patience(&self) -> Duration {
        self.patience_of_one() * u32::try_from(self.config.get_hosts().len().max(1)).unwrap_or(u32::MAX)
    }
}

/// The same configuration with one of its hosts.
fn only(all: &Config, at: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(at) {
        Some(Host::Tcp(name)) => one.host(name),
        Some(Host::Unix(path)) => one.host_path(path),
        None => &mut one,
    };
    if let Some(address) = all.get_hostaddrs().get(at) {
        one.hostaddr(*address);
    }
    if let Some(port) = all.get_ports().get(at).or(all.get_ports().first()) {
        one.port(*port);
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    with_session(all, &mut one);
    with_limits(all, &mut one);
    one.ssl_mode(all.get_ssl_mode()).ssl_negotiation(all.get_ssl_negotiation());
    one.target_session_attrs(all.get_target_session_attrs()).channel_binding(all.get_channel_binding());
    one.load_balance_hosts(all.get_load_balance_hosts());
    one
}

fn with_session(all: &Config, one: &mut Config) {
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
}

fn with_limits(all: &Config, one: &mut Config) {
    if let Some(limit) = all.get_connect_timeout() {
        one.connect_timeout(*limit);
    }
    if let Some(limit) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    if let Some(pause) = all.get_keepalives_interval() {
        one.keepalives_interval(pause);
    }
    if let Some(number) = all.get_keepalives_retries() {
        one.keepalives_retries(number);
    }
    one.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_port_and_everything_else_that_was_said() {
        let said = "user=u password=p dbname=x options='-c a=b' application_name=n connect_timeout=3 tcp_user_timeout=4 keepalives=0 \
                    keepalives_idle=5 keepalives_interval=6 keepalives_retries=7 sslmode=require sslnegotiation=direct \
                    target_session_attrs=read-write channel_binding=require load_balance_hosts=random";
        let all: Config = format!("host=one,/two port=1,2 {said}").parse().unwrap();
        let parsed = |text: &str| -> Config { format!("{text} {said}").parse().unwrap() };
        assert_eq!([only(&all, 0), only(&all, 1)], [parsed("host=one port=1"), parsed("host=/two port=2")]);
        let all: Config = format!("host=one,two hostaddr=10.0.0.1,10.0.0.2 port=1 {said}").parse().unwrap();
        assert_eq!(only(&all, 1), parsed("host=two hostaddr=10.0.0.2 port=1"));
    }
}
