//! From three layers to one configuration.
//!
//! A file and the environment are read through the same parser as the flags, one value at a time, so that
//! a value means the same everywhere and an error names the place that it came from.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use super::{
    ConfigError, ConfigFile, ConnectionArgs, ConnectionConfig, Credentials, LogConnection, ServerUrls, Tls,
    args::{SETTINGS, Setting, TABLES},
    context,
    login::{Named, of_address},
};
use crate::name;

/// The process's environment, for [`ConnectionArgs::resolve_with`]; empty variables count as unset.
#[must_use]
pub fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Tables of a file that say how the processes of a role run; the program reads them itself.
pub const ROLES: [&str; 2] = ["coordinator", "system"];

#[derive(Parser)]
#[command(no_binary_name = true)]
struct OneValue {
    #[command(flatten)]
    args: ConnectionArgs,
}

/// Reads a layer value by value; `value_of` gives the place of a value, for messages, and its text.
fn layer(value_of: impl Fn(&Setting) -> Option<(String, String)>) -> Result<ConnectionArgs, ConfigError> {
    let mut whole = ConnectionArgs::default();
    for setting in &SETTINGS {
        let Some((place, text)) = value_of(setting) else { continue };
        if text.is_empty() {
            continue;
        }
        let one = OneValue::try_parse_from([format!("{}={text}", setting.flag())]).map_err(|error| {
            let text = error.to_string();
            let reason = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            ConfigError::Value { source_name: place, reason }
        })?;
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

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A context of the `nats` command, in this file.
    Context(PathBuf),
    /// File and line.
    File(String),
    /// A variable of the environment.
    Variable(String),
    /// The command line.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Context(path) => write!(f, "context {}", path.display()),
            Self::File(place) => f.write_str(place),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A setting as it is in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The table that it has in a file; none at the top.
    pub table: Option<String>,
    /// Its key there.
    pub key: String,
    /// Its value, for people: secrets are not shown. None when there is none.
    pub value: Option<String>,
    /// Where that comes from.
    pub origin: Origin,
}

/// All layers of a connection's settings, the strongest first.
#[derive(Clone, Debug)]
pub struct Layers {
    flags: ConnectionArgs,
    environment: ConnectionArgs,
    file: ConnectionArgs,
    /// Places in the file, by setting.
    places: Vec<String>,
    context: Option<(PathBuf, ConnectionArgs)>,
}

impl Layers {
    fn merged(&self) -> ConnectionArgs {
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

    /// Every setting with its origin, in the order of [`SETTINGS`]. Of several ways to log in, the one that counts.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let merged = self.merged().shown();
        let [flags, environment, file] = [&self.flags, &self.environment, &self.file].map(ConnectionArgs::shown);
        let context = self.context.as_ref().map(|(path, layer)| (path, layer.shown()));
        let one = |(number, setting): (usize, &Setting)| {
            let origin = if merged[number].is_none() {
                Origin::Default
            } else if flags[number].is_some() {
                Origin::Flag(setting.flag())
            } else if environment[number].is_some() {
                Origin::Variable(setting.variable.to_owned())
            } else if file[number].is_some() {
                Origin::File(self.places[number].clone())
            } else {
                context.as_ref().map_or(Origin::Default, |(path, _)| Origin::Context((*path).clone()))
            };
            Effective {
                table: setting.table.map(str::to_owned),
                key: setting.key.to_owned(),
                value: merged[number].clone().or_else(|| default_of(setting)),
                origin,
            }
        };
        SETTINGS.iter().enumerate().map(one).collect()
    }
}

/// What a setting is when nobody says anything.
fn default_of(setting: &Setting) -> Option<String> {
    let default = ConnectionConfig::default();
    let ms = |time: Duration| Some(time.as_millis().to_string());
    match (setting.table, setting.key) {
        (None, "world") => Some(default.world),
        (None, "prefix") => Some(default.prefix),
        (Some("nats"), "url") => Some(default.urls.join(",")),
        (Some("nats"), "inbox") => Some(default.inbox_prefix),
        (Some("nats"), "tls" | "tls_first" | "wait") => Some("false".to_owned()),
        (Some("nats"), "ping_ms") => ms(default.ping_interval),
        (Some("nats"), "connect_ms") => ms(default.connect_timeout),
        (Some("nats"), "reconnect_ms") => ms(default.reconnect_max_delay),
        _ => None,
    }
}

impl ConnectionArgs {
    /// Reads the file (of `--config` or `ENGINE_CONFIG`) and the environment, and puts the flags on top.
    pub fn resolve(&self) -> Result<ConnectionConfig, ConfigError> {
        self.resolve_with(self.read_file()?.as_ref(), &ROLES, &environment)
    }

    /// The file of `--config`, else of `ENGINE_CONFIG`, if any.
    pub fn read_file(&self) -> Result<Option<ConfigFile>, ConfigError> {
        let variable = || environment("ENGINE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(variable).map(|path| ConfigFile::read(&path)).transpose()
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

    fn finish(self) -> Result<ConnectionConfig, ConfigError> {
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

const USER: &str = "a user with password";
const TOKEN: &str = "a token";
const CREDS: &str = "a credentials file";
const NKEY: &str = "an nkey";
const ADDRESS: &str = "an address with a user";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;
    use crate::config::Secret;

    fn file(text: &str) -> ConfigFile {
        ConfigFile::parse(Path::new("engine.toml"), text).unwrap()
    }

    fn flags(flags: &[&str]) -> ConnectionArgs {
        OneValue::try_parse_from(flags).unwrap().args
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn every_flag_is_a_setting_and_every_setting_a_flag() {
        let command = OneValue::command();
        let flags: Vec<String> = command
            .get_arguments()
            .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
            .filter(|flag| flag != "--config")
            .collect();
        assert_eq!(flags.len(), SETTINGS.len());
        for setting in &SETTINGS {
            assert!(flags.contains(&setting.flag()), "{}", setting.flag());
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(&setting.flag()[2..])).unwrap();
            assert!(arg.get_help().unwrap().to_string().contains(&format!("[env: {}]", setting.variable)));
        }
    }

    #[test]
    fn flags_beat_the_environment_beats_the_file_beats_defaults() {
        let file = file("world = 'f'\nprefix = 'f'\n[nats]\nurl = ['nats://f:1', 'nats://g:1']\nping_ms = 100\n");
        let environment = |name: &str| match name {
            "ENGINE_WORLD" | "ENGINE_PREFIX" => Some("e".into()),
            "NATS_TOKEN" => Some(String::new()),
            _ => None,
        };
        let config = flags(&["--world=c"]).resolve_with(Some(&file), &[], &environment).unwrap();
        assert_eq!((config.world.as_str(), config.prefix.as_str()), ("c", "e"));
        assert_eq!(config.urls, ["nats://f:1", "nats://g:1"]);
        assert_eq!(config.ping_interval, Duration::from_millis(100));
        assert_eq!(config.credentials, Credentials::None, "an empty variable is no variable");
        assert_eq!(config.reconnect_max_delay, Duration::from_millis(500));
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = |text: &str| {
            ConnectionArgs::default()
                .resolve_with(Some(&file(text)), &["coordinator"], &nothing)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("[nats]\npasword = 'x'"),
            "engine.toml:2: [nats]: unknown key `pasword`; is `password` meant?"
        );
        assert_eq!(error("wrold = 'x'"), "engine.toml:1: unknown key `wrold`; is `world` meant?");
        assert_eq!(error("[nats]\n[nats.tls]\nca = 'f'"), "engine.toml:2: `nats.tls` has a value, and is no table");
        assert_eq!(error("[world]\nseed = 1"), "engine.toml:1: `world` has a value, and is no table");
        assert_eq!(error("coordinatr = 1"), "engine.toml:1: unknown key `coordinatr`; is `coordinator` meant?");
        assert!(
            error("[nats]\nqqqqqqq = 1").contains("known are context, url, user"),
            "{}",
            error("[nats]\nqqqqqqq = 1")
        );
    }

    #[test]
    fn a_bad_value_names_its_place_and_hides_secrets() {
        let error = ConnectionArgs::default().resolve_with(Some(&file("[nats]\nping_ms = 'soon'")), &[], &nothing);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("engine.toml:2: nats.ping_ms: invalid value 'soon'"), "{error}");
        let error = ConfigFile::parse(Path::new("e.toml"), "[nats]\npassword = hush").unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
        let error = flags(&["--world=a.b"]).resolve_with(None, &[], &nothing).unwrap_err().to_string();
        assert!(error.contains("`a.b` is no world"), "{error}");
    }

    #[test]
    fn every_setting_has_its_origin_and_secrets_are_not_shown() {
        let file = file("world = 'f'\n[nats]\nurl = 'x:y@g:1'\nuser = 'ann'\npassword = 'hush'\nping_ms = 100\n");
        let environment = |name: &str| match name {
            "NATS_TOKEN" => Some("t0ken".to_owned()),
            "NATS_PING_MS" => Some("200".to_owned()),
            _ => None,
        };
        let layers = flags(&["--prefix=p", "--nats-url=nats://h:1"]).layers(Some(&file), &[], &environment).unwrap();
        let effective = layers.effective();
        let of = |table: Option<&str>, key: &str| {
            let one = effective.iter().find(|one| one.table.as_deref() == table && one.key == key).unwrap();
            (one.value.clone().unwrap_or_default(), one.origin.to_string())
        };
        let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
        assert_eq!(of(None, "world"), pair("f", "engine.toml:1"));
        assert_eq!(of(None, "prefix"), pair("p", "flag --prefix"));
        assert_eq!(of(Some("nats"), "url"), pair("nats://h:1", "flag --nats-url"));
        assert_eq!(of(Some("nats"), "token"), pair("(secret)", "variable NATS_TOKEN"));
        assert_eq!(of(Some("nats"), "ping_ms"), pair("200", "variable NATS_PING_MS"));
        assert_eq!(of(Some("nats"), "connect_ms"), pair("5000", "default"));
        assert_eq!(of(Some("nats"), "user"), pair("", "default"), "a stronger layer has another way to log in");
        let all = format!("{effective:?}");
        assert!(["hush", "t0ken", "x:y"].iter().all(|secret| !all.contains(secret)), "{all}");
    }

    #[test]
    fn a_context_is_below_everything_else_that_is_said() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("nats/context");
        std::fs::create_dir_all(&folder).unwrap();
        let context = r#"{"url":"nats://c:1","user":"carl","password":"hush","inbox_prefix":"_C"}"#;
        std::fs::write(folder.join("prod.json"), context).unwrap();
        let path = home.path().display().to_string();
        let environment = |name: &str| (name == "XDG_CONFIG_HOME").then(|| path.clone());
        let below = file("[nats]\ncontext = 'prod'\ninbox = '_F'");
        let config = flags(&["--nats-url=h:2"]).resolve_with(Some(&below), &[], &environment).unwrap();
        assert_eq!((config.urls[0].as_str(), config.inbox_prefix.as_str()), ("nats://h:2", "_F"));
        let carl = Credentials::UserPassword { user: "carl".into(), password: Secret::new("hush") };
        assert_eq!(config.credentials, carl);
        let effective = ConnectionArgs::default().layers(Some(&below), &[], &environment).unwrap().effective();
        let url = effective.iter().find(|one| one.key == "url").unwrap();
        assert_eq!(url.origin, Origin::Context(folder.join("prod.json")));
        let error = flags(&["--nats-context=dev"]).resolve_with(None, &[], &environment).unwrap_err().to_string();
        assert!(error.contains("there are prod"), "{error}");
    }

    #[test]
    fn credentials_of_a_stronger_layer_replace_those_below() {
        let below = file("[nats]\nuser = 'ann'\npassword = 'hush'");
        let config = flags(&["--nats-token=t"]).resolve_with(Some(&below), &[], &nothing).unwrap();
        assert_eq!(config.credentials, Credentials::Token(Secret::new("t")));
        let password = |name: &str| (name == "NATS_PASSWORD").then(|| "other".to_owned());
        let config = ConnectionArgs::default().resolve_with(Some(&below), &[], &password).unwrap();
        assert_eq!(
            config.credentials,
            Credentials::UserPassword { user: "ann".into(), password: Secret::new("other") }
        );
        assert!(!format!("{config:?}").contains("other"));
        let two = file("[nats]\ntoken = 't'\ncreds = 'f'");
        let both = ConnectionArgs::default().resolve_with(Some(&two), &[], &nothing).unwrap_err();
        assert_eq!(both.to_string(), "engine.toml gives both a token and a credentials file; give one of them");
        let both = flags(&["--nats-token=t", "--nats-user=u"]).resolve_with(None, &[], &nothing).unwrap_err();
        assert_eq!(both.to_string(), "the command line gives both a user with password and a token; give one of them");
    }

    #[test]
    fn credentials_in_an_address_go_with_that_address_only() {
        let below = file("[nats]\nurl = 'nats://ann:hush@old:1'");
        let config = ConnectionArgs::default().resolve_with(Some(&below), &[], &nothing).unwrap();
        assert_eq!(config.urls, ["nats://old:1"]);
        assert_eq!(config.credentials, Credentials::UserPassword { user: "ann".into(), password: Secret::new("hush") });
        let named = file("[nats]\nuser = 'carl'\npassword = 'secret'");
        let config = flags(&["--nats-url=nats://bob:pw@h:2"]).resolve_with(Some(&named), &[], &nothing).unwrap();
        assert_eq!(config.credentials, Credentials::UserPassword { user: "bob".into(), password: Secret::new("pw") });
        let config = flags(&["--nats-url=new:2"]).resolve_with(Some(&below), &[], &nothing).unwrap();
        assert_eq!((config.urls, config.credentials), (vec!["nats://new:2".to_owned()], Credentials::None));
    }

    #[test]
    fn the_log_is_reached_as_the_world_unless_it_is_said_otherwise() {
        let below = file("[nats]\nurl = 'nats://w:1'\nuser = 'ann'\npassword = 'hush'\n[log]\nuser = 'log'");
        let environment = |name: &str| (name == "NATS_LOG_PASSWORD").then(|| "secret".to_owned());
        let config = ConnectionArgs::default().resolve_with(Some(&below), &[], &environment).unwrap();
        let log = config.log_connection();
        assert_eq!(log.urls, ["nats://w:1"]);
        assert_eq!(log.credentials, Credentials::UserPassword { user: "log".into(), password: Secret::new("secret") });
        assert_eq!(config.credentials, Credentials::UserPassword { user: "ann".into(), password: Secret::new("hush") });

        let config = flags(&["--nats-url=h:1", "--nats-token=t"]).resolve_with(None, &[], &nothing).unwrap();
        assert_eq!(config.log_connection(), config);
        let config = flags(&["--nats-token=t", "--log-url=nats://u:p@l:2", "--log-inbox=_L"]);
        let log = config.resolve_with(None, &[], &nothing).unwrap().log_connection();
        assert_eq!((log.urls[0].as_str(), log.inbox_prefix.as_str()), ("nats://l:2", "_L"));
        assert_eq!(log.credentials, Credentials::UserPassword { user: "u".into(), password: Secret::new("p") });

        let error = flags(&["--log-user=u"]).resolve_with(None, &[], &nothing).unwrap_err().to_string();
        assert!(error.contains("NATS_LOG_PASSWORD"), "{error}");
        let error = ConnectionArgs::default().resolve_with(Some(&file("[log]\nusr = 'x'")), &[], &nothing).unwrap_err();
        assert_eq!(error.to_string(), "engine.toml:2: [log]: unknown key `usr`; is `user` meant?");
        let config = flags(&["--log-token=t"]).resolve_with(Some(&below), &[], &nothing).unwrap();
        assert_eq!(config.log_connection().credentials, Credentials::Token(Secret::new("t")));
    }

    #[test]
    fn a_child_learns_of_the_log_only_if_it_is_told() {
        let mut config = ConnectionConfig::new("nats://h:1", Credentials::None);
        config.log.credentials = Some(Credentials::Token(Secret::new("hush")));
        config.log.system = Some(Credentials::File("/sys.creds".into()));
        assert!(config.to_environment().iter().all(|(name, value)| !name.contains("LOG") && value != "hush"));
        let variables = [config.to_environment(), config.log.to_environment()].concat();
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        assert_eq!(ConnectionArgs::default().resolve_with(None, &[], &lookup).unwrap(), config);
    }

    #[test]
    fn the_environment_of_a_child_resolves_to_the_same() {
        let credentials = Credentials::UserPassword { user: "u".into(), password: Secret::new("p,=x") };
        let config = ConnectionConfig { world: "w".into(), ..ConnectionConfig::new("nats://h:1", credentials) };
        let variables = config.to_environment();
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        assert_eq!(ConnectionArgs::default().resolve_with(None, &[], &lookup).unwrap(), config);
    }
}
