//! Contexts of the `nats` command: `nats context add prod --server …` keeps one as a file, and names do for it here.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, ConnectionArgs, Secret};

/// What such a file may say, as far as it matters here; empty is as good as absent.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Context {
    url: String,
    user: String,
    password: String,
    token: String,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    tls_first: bool,
    inbox_prefix: String,
    jetstream_domain: String,
    // Ways in that this program has not.
    nsc: String,
    user_jwt: String,
    user_seed: String,
    socks_proxy: String,
}

/// Where contexts are: `$XDG_CONFIG_HOME/nats/context`, or below `~/.config`.
fn folder(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let given = |name: &str| environment(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let config = given("XDG_CONFIG_HOME").or_else(|| Some(given("HOME")?.join(".config")))?;
    Some(config.join("nats").join("context"))
}

/// The layer of a context, by its name.
pub(super) fn read(
    name: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(PathBuf, ConnectionArgs), ConfigError> {
    let refuse = |reason: String| ConfigError::Context { name: name.to_owned(), reason };
    // A name, not a path to somewhere else.
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(refuse("a context has a name as `nats context ls` shows it".into()));
    }
    let folder = folder(environment).ok_or_else(|| refuse("neither XDG_CONFIG_HOME nor HOME is set".into()))?;
    let path = folder.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let known = known(&folder);
        let known =
            if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
        refuse(format!("{}: {error}; {known}", path.display()))
    })?;
    // The position and no more: the text may hold a password.
    let bad = |error: serde_json::Error| {
        refuse(format!("{}:{}: this is no context as `nats` writes it", path.display(), error.line()))
    };
    let context: Context = serde_json::from_str(&text).map_err(bad)?;
    let layer = context.layer(environment).map_err(|reason| refuse(format!("{}: {reason}", path.display())))?;
    Ok((path, layer))
}

fn known(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

impl Context {
    fn layer(self, environment: &dyn Fn(&str) -> Option<String>) -> Result<ConnectionArgs, String> {
        let refused = [
            (&self.nsc, "`nsc`", "export its credentials with `nsc generate creds`, and name the file in `creds`"),
            (&self.user_jwt, "`user_jwt`", "put JWT and seed into a credentials file, and name that in `creds`"),
            (&self.user_seed, "`user_seed`", "put JWT and seed into a credentials file, and name that in `creds`"),
            (&self.socks_proxy, "`socks_proxy`", "connect without one"),
        ];
        if let Some((_, what, instead)) = refused.into_iter().find(|(value, ..)| !value.is_empty()) {
            return Err(format!("it has {what}, which is not supported; {instead}"));
        }
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let path = |text: String| Some(at_home(&some(text)?, environment));
        let url = some(self.url).map(|url| url.parse()).transpose()?;
        Ok(ConnectionArgs {
            nats_url: url,
            nats_user: some(self.user),
            nats_password: some(self.password).map(Secret::new),
            nats_token: some(self.token).map(Secret::new),
            nats_creds: path(self.creds),
            nats_nkey: path(self.nkey).map(|path| Secret::new(path.display().to_string())),
            nats_tls_cert: path(self.cert),
            nats_tls_key: path(self.key),
            nats_tls_ca: path(self.ca),
            nats_tls_first: self.tls_first.then_some(true),
            nats_inbox: some(self.inbox_prefix),
            nats_domain: some(self.jetstream_domain),
            ..ConnectionArgs::default()
        })
    }
}

/// A path with `~` for the home folder, as the `nats` command allows it.
fn at_home(path: &str, environment: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    match (path.strip_prefix("~/"), environment("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/nats/context");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("prod.json"), text).unwrap();
        home
    }

    fn read_of(home: &tempfile::TempDir, name: &str) -> Result<ConnectionArgs, String> {
        let path = home.path().display().to_string();
        let environment = |variable: &str| (variable == "HOME").then(|| path.clone());
        read(name, &environment).map(|(_, layer)| layer).map_err(|error| error.to_string())
    }

    /// As version 0.2 of the command writes it.
    const WRITTEN: &str = r#"{"description":"","url":"nats://h:4222,nats://i:4222","socks_proxy":"","token":"",
        "user":"ann","password":"hush","creds":"","nkey":"","cert":"","key":"","ca":"~/ca.pem","nsc":"",
        "jetstream_domain":"hub","jetstream_api_prefix":"","inbox_prefix":"_INBOX_ann","user_jwt":"","color_scheme":"",
        "tls_first":true}"#;

    #[test]
    fn a_context_is_a_layer() {
        let home = written(WRITTEN);
        let layer = read_of(&home, "prod").unwrap();
        assert_eq!(layer.nats_url.unwrap().addresses(), ["nats://h:4222", "nats://i:4222"]);
        assert_eq!((layer.nats_user.as_deref(), layer.nats_domain.as_deref()), (Some("ann"), Some("hub")));
        assert_eq!((layer.nats_token, layer.nats_creds), (None, None), "empty is absent");
        assert_eq!((layer.nats_tls_ca, layer.nats_tls_first), (Some(home.path().join("ca.pem")), Some(true)));
        assert_eq!(layer.nats_inbox.as_deref(), Some("_INBOX_ann"));
    }

    #[test]
    fn what_is_wrong_with_one_is_said() {
        let home = written(WRITTEN);
        assert!(read_of(&home, "dev").unwrap_err().contains("there are prod"));
        assert!(read_of(&home, "../../secret").unwrap_err().contains("has a name"));
        let error = read_of(&written("{\"password\": \"hush\", \"url\": 7}"), "prod").unwrap_err();
        assert!(error.contains("prod.json:1") && !error.contains("hush"), "{error}");
        assert!(read_of(&written(r#"{"nsc":"nsc://o/a/u"}"#), "prod").unwrap_err().contains("nsc generate creds"));
    }
}
