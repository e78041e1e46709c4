//! From all that was said to a configuration that is checked and complete.

use std::time::Duration;

use super::{
    ConfigError, ConnectionArgs, ConnectionConfig, Credentials, LogConnection, ServerUrls, Tls,
    login::{Named, of_address},
};
use crate::name;

impl ConnectionArgs {
    pub(super) fn finish(self) -> Result<ConnectionConfig, ConfigError> {
        let default = ConnectionConfig::default();
        let credentials = self.credentials()?;
        let tls = self.tls()?;
        let log = self.log_connection()?;
        let config = ConnectionConfig {
            credentials,
            tls,
            log,
            domain: self.nats_domain,
            urls: self.nats_url.map_or(default.urls, |urls| urls.addresses()),
            prefix: self.prefix.unwrap_or(default.prefix),
            world: self.world.unwrap_or(default.world),
            identity: self.identity,
            inbox_prefix: self.nats_inbox.unwrap_or(default.inbox_prefix),
            ping_interval: self.nats_ping_ms.map_or(default.ping_interval, Duration::from_millis),
            connect_timeout: self.nats_connect_ms.map_or(default.connect_timeout, Duration::from_millis),
            wait_for_server: self.nats_wait.unwrap_or(default.wait_for_server),
            reconnect_max_delay: self.nats_reconnect_ms.map_or(default.reconnect_max_delay, Duration::from_millis),
            max_reconnects: self.nats_max_reconnects.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            ..default
        };
        name::dotted("subject prefix", &config.prefix)?;
        name::token("world", &config.world)?;
        name::dotted("inbox prefix", &config.inbox_prefix)?;
        config.identity.iter().try_for_each(|identity| name::token("identity", identity))?;
        config.domain.iter().try_for_each(|domain| name::token("JetStream domain", domain))?;
        Ok(config)
    }

    /// Who one is: what was given by name, else what the address holds.
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        let named = Named {
            user: self.nats_user.as_ref(),
            password: self.nats_password.as_ref(),
            token: self.nats_token.as_ref(),
            creds: self.nats_creds.as_ref(),
            nkey: self.nats_nkey.as_ref(),
            missing: ("a password (NATS_PASSWORD)", "a user (NATS_USER)"),
        };
        Ok(named.credentials()?.or_else(|| of_address(self.nats_url.as_ref())).unwrap_or(Credentials::None))
    }

    /// What is different for the log.
    fn log_connection(&self) -> Result<LogConnection, ConfigError> {
        let named = Named {
            user: self.log_user.as_ref(),
            password: self.log_password.as_ref(),
            token: self.log_token.as_ref(),
            creds: self.log_creds.as_ref(),
            nkey: self.log_nkey.as_ref(),
            missing: ("a password (NATS_LOG_PASSWORD)", "a user (NATS_LOG_USER)"),
        };
        let system = Named {
            user: self.log_system_user.as_ref(),
            password: self.log_system_password.as_ref(),
            token: None,
            creds: self.log_system_creds.as_ref(),
            nkey: None,
            missing: ("a password (NATS_LOG_SYSTEM_PASSWORD)", "a user (NATS_LOG_SYSTEM_USER)"),
        };
        if let Some(inbox) = &self.log_inbox {
            name::dotted("inbox prefix", inbox)?;
        }
        Ok(LogConnection {
            urls: self.log_url.as_ref().map(ServerUrls::addresses),
            credentials: named.credentials()?.or_else(|| of_address(self.log_url.as_ref())),
            inbox_prefix: self.log_inbox.clone(),
            system: system.credentials()?,
        })
    }

    fn tls(&self) -> Result<Tls, ConfigError> {
        let half = |given, missing| Err(ConfigError::Half { given, missing });
        match (&self.nats_tls_cert, &self.nats_tls_key) {
            (Some(_), None) => return half("a client certificate", "its key (NATS_TLS_KEY)"),
            (None, Some(_)) => return half("the key of a client certificate", "the certificate (NATS_TLS_CERT)"),
            _ => {}
        }
        Ok(Tls {
            required: self.nats_tls.unwrap_or(false),
            first: self.nats_tls_first.unwrap_or(false),
            ca: self.nats_tls_ca.clone(),
            cert: self.nats_tls_cert.clone(),
            key: self.nats_tls_key.clone(),
        })
    }
}
