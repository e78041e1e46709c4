//! All layers together.

use std::path::Path;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::layers::OneValue;
use super::*;

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
        ConnectionArgs::default().resolve_with(Some(&file(text)), &["coordinator"], &nothing).unwrap_err().to_string()
    };
    assert_eq!(error("[nats]\npasword = 'x'"), "engine.toml:2: [nats]: unknown key `pasword`; is `password` meant?");
    assert_eq!(error("wrold = 'x'"), "engine.toml:1: unknown key `wrold`; is `world` meant?");
    assert_eq!(error("[nats]\n[nats.tls]\nca = 'f'"), "engine.toml:2: `nats.tls` has a value, and is no table");
    assert_eq!(error("[world]\nseed = 1"), "engine.toml:1: `world` has a value, and is no table");
    assert_eq!(error("coordinatr = 1"), "engine.toml:1: unknown key `coordinatr`; is `coordinator` meant?");
    assert!(error("[nats]\nqqqqqqq = 1").contains("known are context, url, user"), "{}", error("[nats]\nqqqqqqq = 1"));
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
    assert_eq!(config.credentials, Credentials::UserPassword { user: "ann".into(), password: Secret::new("other") });
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
