//! From layers to one: what was said on the command line, in the environment, in a file and in a context.
//!
//! A file and the environment are read through the same parser as the flags, one value at a time, so that
//! a value means the same everywhere and an error names the place that it came from.

use std::path::PathBuf;

use clap::Parser;

use super::{
    ConfigError, ConfigFile, ConnectionArgs, ConnectionConfig, ServerUrls,
    args::{SETTINGS, Setting, TABLES},
    context,
};

/// The process's environment, for [`ConnectionArgs::resolve_with`]; empty variables count as unset.
#[must_use]
pub fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Tables of a file that say how the processes of a role run; the program reads them itself.
pub const ROLES: [&str; 2] = ["coordinator", "system"];

#[derive(Parser)]
#[command(no_binary_name = true)]
pub(super) struct OneValue {
    #[command(flatten)]
    pub(super) args: ConnectionArgs,
}

/// What is wrong with a value, without clap's advice for command lines.
#[must_use]
pub fn reason_of(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Reads a layer value by value; `value_of` gives the place of a value, for messages, and its text.
fn layer(value_of: impl Fn(&Setting) -> Option<(String, String)>) -> Result<ConnectionArgs, ConfigError> {
    let mut whole = ConnectionArgs::default();
    for setting in &SETTINGS {
        let Some((place, text)) = value_of(setting) else { continue };
        if text.is_empty() {
            continue;
        }
        let one = OneValue::try_parse_from([format!("{}={text}", setting.flag())])
            .map_err(|error| ConfigError::Value { source_name: place, reason: reason_of(&error) })?;
        // Of one layer: whether it has two ways to log in is seen when all of it is there.
        whole = one.args.merged(whole, |_| true, |_| true);
    }
    Ok(whole)
}

/// The layer of a file. Its tables of `own` belong to the program, which reads them itself.
fn layer_of_file(file: &ConfigFile, own: &[&str]) -> Result<ConnectionArgs, ConfigError> {
    let keys = |table: Option<&str>| -> Vec<&str> {
        SETTINGS.iter().filter(|setting| setting.table == table).map(|setting| setting.key).collect()
    };
    file.check_keys(None, &[&keys(None)[..], &TABLES, own].concat())?;
    file.check_values(None, &keys(None))?;
    TABLES.into_iter().try_for_each(|table| {
        file.check_keys(Some(table), &keys(Some(table)))?;
        file.check_values(Some(table), &keys(Some(table)))
    })?;
    layer(|setting| {
        let text = file.text(setting.table, setting.key)?;
        let section = setting.table.map_or_else(String::new, |table| format!("{table}."));
        Some((format!("{}: {section}{}", file.place(setting.table, setting.key), setting.key), text))
    })
}

/// All layers of a connection's settings, the strongest first.
#[derive(Clone, Debug)]
pub struct Layers {
    pub(super) flags: ConnectionArgs,
    pub(super) environment: ConnectionArgs,
    pub(super) file: ConnectionArgs,
    /// Places in the file, by setting.
    pub(super) places: Vec<String>,
    pub(super) context: Option<(PathBuf, ConnectionArgs)>,
}

impl Layers {
    pub(super) fn merged(&self) -> ConnectionArgs {
        let context = self.context.as_ref().map(|(_, layer)| layer.clone()).unwrap_or_default();
        let below = self.environment.clone().over(self.file.clone().over(context));
        self.flags.clone().over(below)
    }

    /// What they amount to.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn config(&self) -> Result<ConnectionConfig, ConfigError> {
        self.merged().finish()
    }
}

impl ConnectionArgs {
    /// Reads the file (of `--config` or `ENGINE_CONFIG`) and the environment, and puts the flags on top.
    pub fn resolve(&self) -> Result<ConnectionConfig, ConfigError> {
        self.resolve_with(self.read_file()?.as_ref(), &ROLES, &environment)
    }

    /// The file of `--config`, else of `ENGINE_CONFIG`, if any.
    pub fn read_file(&self) -> Result<Option<ConfigFile>, ConfigError> {
        ConfigFile::find(self.config.clone(), &environment)
    }

    /// The same with a file that was read already, whose tables `own` belong to the program, and with any
    /// environment.
    pub fn resolve_with(
        &self,
        file: Option<&ConfigFile>,
        own: &[&str],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<ConnectionConfig, ConfigError> {
        self.layers(file, own, environment)?.config()
    }

    /// All layers, with these flags as the strongest.
    ///
    /// # Errors
    /// When a value can't be understood, a key isn't known, or a layer names two ways to log in.
    pub fn layers(
        &self,
        file: Option<&ConfigFile>,
        own: &[&str],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Layers, ConfigError> {
        let from_file = file.map(|file| layer_of_file(file, own)).transpose()?.unwrap_or_default();
        let variable = |setting: &Setting| Some((setting.variable.to_owned(), environment(setting.variable)?));
        let from_environment = layer(variable)?;
        let name = [self, &from_environment, &from_file].into_iter().find_map(|layer| layer.nats_context.clone());
        let context = name.map(|name| context::read(&name, environment)).transpose()?;
        let file_name = file.map_or_else(|| "the file".to_owned(), |file| file.path().display().to_string());
        let context_name = context.as_ref().map(|(path, layer)| (path.display().to_string(), layer));
        let named = [
            (file_name, &from_file),
            ("the environment".to_owned(), &from_environment),
            ("the command line".to_owned(), self),
        ];
        named.into_iter().chain(context_name).try_for_each(|(place, layer)| layer.check_one_method(&place))?;
        let places =
            SETTINGS.iter().map(|setting| file.map_or_else(String::new, |file| file.place(setting.table, setting.key)));
        let places = places.collect();
        Ok(Layers { flags: self.clone(), environment: from_environment, file: from_file, places, context })
    }

    /// This layer on top of a weaker one. Who names a way to log in replaces every other way below it;
    /// a user from the file and its password from the environment belong together.
    fn over(self, weaker: Self) -> Self {
        let (mut methods, mut of_log) = (self.methods(), self.log_methods());
        // Who stands in an address replaces those below as well.
        let names_somebody = |urls: &Option<ServerUrls>| urls.as_ref().is_some_and(|urls| urls.user_info().is_some());
        if methods.is_empty() && names_somebody(&self.nats_url) {
            methods.push(ADDRESS);
        }
        if of_log.is_empty() && names_somebody(&self.log_url) {
            of_log.push(ADDRESS);
        }
        let keeps = |methods: &[&str], method: &str| methods.is_empty() || methods.contains(&method);
        self.merged(weaker, |method| keeps(&methods, method), |method| keeps(&of_log, method))
    }

    /// The same, where the weaker one's ways to log in are kept that these say.
    fn merged(self, weaker: Self, keep: impl Fn(&str) -> bool, keep_of_log: impl Fn(&str) -> bool) -> Self {
        let (user, token, creds, nkey) = (keep(USER), keep(TOKEN), keep(CREDS), keep(NKEY));
        let keep = keep_of_log;
        let (of_log_user, of_log_token, of_log_creds, of_log_nkey) = (keep(USER), keep(TOKEN), keep(CREDS), keep(NKEY));
        let system_user = self.log_system_creds.is_none();
        let system_creds = self.log_system_user.is_none() && self.log_system_password.is_none();
        // Without `..`, so that a new setting can't be forgotten here.
        let Self {
            config,
            world,
            prefix,
            identity,
            nats_context,
            nats_url,
            nats_user,
            nats_password,
            nats_token,
            nats_creds,
            nats_nkey,
            nats_tls,
            nats_tls_first,
            nats_tls_ca,
            nats_tls_cert,
            nats_tls_key,
            nats_inbox,
            nats_domain,
            nats_ping_ms,
            nats_connect_ms,
            nats_wait,
            nats_reconnect_ms,
            nats_max_reconnects,
            log_url,
            log_user,
            log_password,
            log_token,
            log_creds,
            log_nkey,
            log_inbox,
            log_system_user,
            log_system_password,
            log_system_creds,
        } = self;
        Self {
            config: config.or(weaker.config),
            world: world.or(weaker.world),
            prefix: prefix.or(weaker.prefix),
            identity: identity.or(weaker.identity),
            nats_context: nats_context.or(weaker.nats_context),
            nats_url: nats_url.or(weaker.nats_url),
            nats_user: nats_user.or(weaker.nats_user.filter(|_| user)),
            nats_password: nats_password.or(weaker.nats_password.filter(|_| user)),
            nats_token: nats_token.or(weaker.nats_token.filter(|_| token)),
            nats_creds: nats_creds.or(weaker.nats_creds.filter(|_| creds)),
            nats_nkey: nats_nkey.or(weaker.nats_nkey.filter(|_| nkey)),
            nats_tls: nats_tls.or(weaker.nats_tls),
            nats_tls_first: nats_tls_first.or(weaker.nats_tls_first),
            nats_tls_ca: nats_tls_ca.or(weaker.nats_tls_ca),
            nats_tls_cert: nats_tls_cert.or(weaker.nats_tls_cert),
            nats_tls_key: nats_tls_key.or(weaker.nats_tls_key),
            nats_inbox: nats_inbox.or(weaker.nats_inbox),
            nats_domain: nats_domain.or(weaker.nats_domain),
            nats_ping_ms: nats_ping_ms.or(weaker.nats_ping_ms),
            nats_connect_ms: nats_connect_ms.or(weaker.nats_connect_ms),
            nats_wait: nats_wait.or(weaker.nats_wait),
            nats_reconnect_ms: nats_reconnect_ms.or(weaker.nats_reconnect_ms),
            nats_max_reconnects: nats_max_reconnects.or(weaker.nats_max_reconnects),
            log_url: log_url.or(weaker.log_url),
            log_user: log_user.or(weaker.log_user.filter(|_| of_log_user)),
            log_password: log_password.or(weaker.log_password.filter(|_| of_log_user)),
            log_token: log_token.or(weaker.log_token.filter(|_| of_log_token)),
            log_creds: log_creds.or(weaker.log_creds.filter(|_| of_log_creds)),
            log_nkey: log_nkey.or(weaker.log_nkey.filter(|_| of_log_nkey)),
            log_inbox: log_inbox.or(weaker.log_inbox),
            log_system_user: log_system_user.or(weaker.log_system_user.filter(|_| system_user)),
            log_system_password: log_system_password.or(weaker.log_system_password.filter(|_| system_user)),
            log_system_creds: log_system_creds.or(weaker.log_system_creds.filter(|_| system_creds)),
        }
    }

    fn methods(&self) -> Vec<&'static str> {
        let user = self.nats_user.is_some() || self.nats_password.is_some();
        let given = [
            (user, USER),
            (self.nats_token.is_some(), TOKEN),
            (self.nats_creds.is_some(), CREDS),
            (self.nats_nkey.is_some(), NKEY),
        ];
        given.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect()
    }

    fn log_methods(&self) -> Vec<&'static str> {
        let given = [
            (self.log_user.is_some() || self.log_password.is_some(), USER),
            (self.log_token.is_some(), TOKEN),
            (self.log_creds.is_some(), CREDS),
            (self.log_nkey.is_some(), NKEY),
        ];
        given.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect()
    }

    fn check_one_method(&self, source_name: &str) -> Result<(), ConfigError> {
        for methods in [self.methods(), self.log_methods()] {
            if let [first, second, ..] = methods[..] {
                return Err(ConfigError::TwoCredentials { source_name: source_name.to_owned(), first, second });
            }
        }
        Ok(())
    }
}

const USER: &str = "a user with password";
const TOKEN: &str = "a token";
const CREDS: &str = "a credentials file";
const NKEY: &str = "an nkey";
const ADDRESS: &str = "an address with a user";
