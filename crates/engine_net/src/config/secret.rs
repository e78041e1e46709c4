//! Values that must not end in a log.

use std::{convert::Infallible, fmt, fmt::Write as _, io::Read as _, str::FromStr};

/// A password, token or seed; `Debug` shows only that there is one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// A password that nobody can guess: 36 hexadecimal digits behind a letter, so that no configuration takes it for a
    /// number.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0_u8; 18];
        let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        if read.is_err() {
            use std::hash::{BuildHasher, RandomState};
            // The standard library seeds these from the system's generator.
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&RandomState::new().hash_one(0_u8).to_le_bytes()[..chunk.len()]);
            }
        }
        Self(bytes.iter().fold("p".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// The value itself: for the server, not for people.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl FromStr for Secret {
    type Err = Infallible;
    fn from_str(value: &str) -> Result<Self, Infallible> {
        Ok(Self(value.to_owned()))
    }
}

/// Addresses of servers as they were written, separated by commas; they may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrls(Vec<String>);

impl ServerUrls {
    /// The addresses without user and password.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.0.iter().map(|url| split_user(url).0).collect()
    }

    /// What stood before the `@` of the first address that has one: `user:password`, or a token.
    #[must_use]
    pub(crate) fn user_info(&self) -> Option<String> {
        self.0.iter().find_map(|url| split_user(url).1)
    }
}

impl fmt::Debug for ServerUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addresses().fmt(f)
    }
}

impl FromStr for ServerUrls {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let urls: Vec<String> = text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(Into::into).collect();
        if urls.is_empty() { Err("an address is needed, such as nats://127.0.0.1:4222".into()) } else { Ok(Self(urls)) }
    }
}

fn split_user(url: &str) -> (String, Option<String>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
    match rest.rsplit_once('@') {
        Some((user, host)) => (format!("{scheme}://{host}"), Some(user.to_owned())),
        None => (format!("{scheme}://{rest}"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let urls: ServerUrls = "nats://ann:hush@h:1, tls://tok3n@i".parse().unwrap();
        let shown = format!("{urls:?} {:?}", Secret::new("hush"));
        assert!(!shown.contains("hush") && !shown.contains("tok3n"), "{shown}");
        assert_eq!(urls.addresses(), ["nats://h:1", "tls://i"]);
        assert_eq!(urls.user_info().as_deref(), Some("ann:hush"));
        assert_eq!("h:5".parse::<ServerUrls>().unwrap().addresses(), ["nats://h:5"]);
    }
}
