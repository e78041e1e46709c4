//! Who one is, from what was given by name or in an address.

use std::path::PathBuf;

use super::{ConfigError, Credentials, Secret, ServerUrls};

/// Ways to log in, as they were given by name; one of them at the most.
pub(super) struct Named<'a> {
    pub(super) user: Option<&'a String>,
    pub(super) password: Option<&'a Secret>,
    pub(super) token: Option<&'a Secret>,
    pub(super) creds: Option<&'a PathBuf>,
    pub(super) nkey: Option<&'a Secret>,
    /// What a user lacks, and what a password lacks.
    pub(super) missing: (&'static str, &'static str),
}

impl Named<'_> {
    pub(super) fn credentials(self) -> Result<Option<Credentials>, ConfigError> {
        let half = |given, missing| Err(ConfigError::Half { given, missing });
        Ok(match (self.token, self.creds, self.nkey, self.user, self.password) {
            (Some(token), ..) => Some(Credentials::Token(token.clone())),
            (_, Some(path), ..) => Some(Credentials::File(path.clone())),
            (_, _, Some(seed), ..) => Some(Credentials::Nkey(seed.clone())),
            (.., Some(user), Some(password)) => {
                Some(Credentials::UserPassword { user: user.clone(), password: password.clone() })
            }
            (.., Some(_), None) => return half("a user", self.missing.0),
            (.., None, Some(_)) => return half("a password", self.missing.1),
            (.., None, None) => None,
        })
    }
}

/// Credentials that stand in an address.
pub(super) fn of_address(urls: Option<&ServerUrls>) -> Option<Credentials> {
    let info = urls?.user_info()?;
    Some(match info.split_once(':') {
        Some((user, password)) => Credentials::UserPassword { user: user.into(), password: Secret::new(password) },
        None => Credentials::Token(Secret::new(info)),
    })
}
