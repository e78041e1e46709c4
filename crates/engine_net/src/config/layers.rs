//! From three layers to one configuration.
//!
//! A file and the environment are read through the same parser as the flags, one value at a time, so that
//! a value means the same everywhere and an error names the place that it came from.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use toml::{Table, Value};

use super::{
    ConfigError, ConnectionArgs, ConnectionConfig, Credentials, LogConnection, ServerUrls, Tls,
    args::{SETTINGS, Setting, TABLES},
    login::{Named, of_address},
};
use crate::name;

/// A configuration file that was read; the program's own tables are in `table` beside `[nats]`.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// What it says. It may hold secrets.
    table: Table,
}

/// The process's environment, for [`ConnectionArgs::resolve_with`]; empty variables count as unset.
#[must_use]
pub fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Refuses keys of a table that nobody knows, and names the nearest known one.
///
/// `place` is the file, and the table if it isn't the top of the file: `engine.toml` or
/// `engine.toml: [nats]`.
pub fn check_keys(place: &str, table: &Table, known: &[&str]) -> Result<(), ConfigError> {
    let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let suggestion = match nearest(key, known) {
        Some(near) => format!("is `{near}` meant?"),
        None => format!("known are {}", known.join(", ")),
    };
    Err(ConfigError::UnknownKey { source_name: place.into(), key: key.clone(), suggestion })
}

impl ConfigFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable { path: path.into(), reason })?;
        Self::parse(path, &text)
    }

    /// Understands a file's text; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        // `message` and not the whole error: that one quotes the line, which may hold a password.
        let table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.into(),
            reason: match error.span() {
                Some(span) => format!("line {}: {}", 1 + text[..span.start].matches('\n').count(), error.message()),
                None => error.message().to_owned(),
            },
        })?;
        Ok(Self { path: path.into(), table })
    }

    /// A table of the program's own.
    #[must_use]
    pub fn table(&self, key: &str) -> Option<&Table> {
        self.table.get(key)?.as_table()
    }

    /// A value at the top of the file.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.table.get(key)
    }

    /// Its layer; `own_keys` are those at the top of the file that belong to the program.
    fn layer(&self, own_keys: &[&str]) -> Result<ConnectionArgs, ConfigError> {
        let place = self.path.display().to_string();
        let top = SETTINGS.iter().filter(|setting| setting.table.is_none()).map(|setting| setting.key);
        check_keys(&place, &self.table, &top.chain(TABLES).chain(own_keys.iter().copied()).collect::<Vec<_>>())?;
        for name in TABLES {
            let table = match self.table.get(name) {
                None => continue,
                Some(Value::Table(table)) => table,
                Some(_) => {
                    return Err(ConfigError::Value { source_name: place, reason: format!("`{name}` must be a table") });
                }
            };
            let keys = SETTINGS.iter().filter(|setting| setting.table == Some(name)).map(|setting| setting.key);
            check_keys(&format!("{place}: [{name}]"), table, &keys.collect::<Vec<_>>())?;
        }
        layer(|setting| {
            let value = match setting.table {
                Some(table) => self.table(table)?.get(setting.key),
                None => self.table.get(setting.key),
            }?;
            let section = setting.table.map_or_else(String::new, |table| format!("{table}."));
            Some((format!("{place}: {section}{}", setting.key), text_of(value)))
        })
    }
}

/// A TOML value as one would write it behind a flag.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

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
        whole = one.args.over(whole);
    }
    Ok(whole)
}

impl ConnectionArgs {
    /// Reads the file (of `--config` or `ENGINE_CONFIG`) and the environment, and puts the flags on top.
    pub fn resolve(&self) -> Result<ConnectionConfig, ConfigError> {
        self.resolve_with(self.read_file()?.as_ref(), &[], &environment)
    }

    /// The file of `--config`, else of `ENGINE_CONFIG`, if any.
    pub fn read_file(&self) -> Result<Option<ConfigFile>, ConfigError> {
        let variable = || environment("ENGINE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(variable).map(|path| ConfigFile::read(&path)).transpose()
    }

    /// The same with a file that was read already, whose top keys `own_keys` belong to the program, and
    /// with any environment.
    pub fn resolve_with(
        &self,
        file: Option<&ConfigFile>,
        own_keys: &[&str],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<ConnectionConfig, ConfigError> {
        let from_file = file.map(|file| file.layer(own_keys)).transpose()?.unwrap_or_default();
        let variable = |setting: &Setting| Some((setting.variable.to_owned(), environment(setting.variable)?));
        let from_environment = layer(variable)?;
        for (place, layer) in
            [("the file", &from_file), ("the environment", &from_environment), ("the command line", self)]
        {
            layer.check_one_method(place)?;
        }
        self.clone().over(from_environment.over(from_file)).finish()
    }

    /// This layer on top of a weaker one. Who names a way to log in replaces every other way below it;
    /// a user from the file and its password from the environment belong together.
    fn over(self, weaker: Self) -> Self {
        let methods = self.methods();
        let keep = |method: &str| methods.is_empty() || methods.contains(&method);
        let (user, token, creds, nkey) = (keep(USER), keep(TOKEN), keep(CREDS), keep(NKEY));
        let of_log = self.log_methods();
        let keep = |method: &str| of_log.is_empty() || of_log.contains(&method);
        let (of_log_user, of_log_token, of_log_creds, of_log_nkey) = (keep(USER), keep(TOKEN), keep(CREDS), keep(NKEY));
        let system_user = self.log_system_creds.is_none();
        let system_creds = self.log_system_user.is_none() && self.log_system_password.is_none();
        // Without `..`, so that a new setting can't be forgotten here.
        let Self {
            config,
            world,
            prefix,
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

    fn check_one_method(&self, source_name: &'static str) -> Result<(), ConfigError> {
        for methods in [self.methods(), self.log_methods()] {
            if let [first, second, ..] = methods[..] {
                return Err(ConfigError::TwoCredentials { source_name, first, second });
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

/// The known key that is the fewest edits away, if those are few enough to be a slip.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = known.iter().min_by_key(|candidate| edits(key, candidate))?;
    (edits(key, best) <= best.len().max(key.len()).div_ceil(3)).then_some(*best)
}

/// Levenshtein's distance, over bytes: keys are ASCII.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
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
        assert_eq!(error("[nats]\npasword = 'x'"), "engine.toml: [nats]: unknown key `pasword`; is `password` meant?");
        assert_eq!(error("wrold = 'x'"), "engine.toml: unknown key `wrold`; is `world` meant?");
        assert_eq!(error("coordinatr = 1"), "engine.toml: unknown key `coordinatr`; is `coordinator` meant?");
        assert!(error("[nats]\nqqqqqqq = 1").contains("known are url, user"), "{}", error("[nats]\nqqqqqqq = 1"));
    }

    #[test]
    fn a_bad_value_names_its_place_and_hides_secrets() {
        let error = ConnectionArgs::default().resolve_with(Some(&file("[nats]\nping_ms = 'soon'")), &[], &nothing);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("engine.toml: nats.ping_ms: invalid value 'soon'"), "{error}");
        let error = ConfigFile::parse(Path::new("e.toml"), "[nats]\npassword = hush").unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
        let error = flags(&["--world=a.b"]).resolve_with(None, &[], &nothing).unwrap_err().to_string();
        assert!(error.contains("`a.b` is no world"), "{error}");
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
        let both = flags(&["--nats-token=t", "--nats-user=u"]).resolve_with(None, &[], &nothing).unwrap_err();
        assert_eq!(both.to_string(), "the command line gives both a user with password and a token; give one of them");
    }

    #[test]
    fn credentials_in_an_address_go_with_that_address_only() {
        let below = file("[nats]\nurl = 'nats://ann:hush@old:1'");
        let config = ConnectionArgs::default().resolve_with(Some(&below), &[], &nothing).unwrap();
        assert_eq!(config.urls, ["nats://old:1"]);
        assert_eq!(config.credentials, Credentials::UserPassword { user: "ann".into(), password: Secret::new("hush") });
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
        assert_eq!(error.to_string(), "engine.toml: [log]: unknown key `usr`; is `user` meant?");
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
