//! Names that become tokens of subjects: worlds, systems, instances.
//!
//! A name from outside that holds `*`, `>`, a space or a line break would subscribe to, or publish on,
//! something else. So names are checked where they enter, and subjects are built of checked names only.

use thiserror::Error;

/// Bytes of a single token, at the most.
pub const MAX_TOKEN: usize = 64;
/// Bytes of a dotted name, at the most.
pub const MAX_DOTTED: usize = 128;
/// Bytes of the names of an instance's systems together, at the most: they are one token of its subjects.
pub const MAX_SYSTEMS: usize = 512;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is no {what}: {rule}")]
pub struct NameError {
    /// What was to be named.
    pub what: &'static str,
    /// The name, shortened and with unprintable characters escaped.
    pub name: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

const TOKEN_RULE: &str = "use 1 to 64 of the characters A-Z a-z 0-9 _ -";
/// The token of who runs no system.
const NO_SYSTEMS: &str = "+";
const SYSTEMS_RULE: &str = "the names of one instance's systems take 512 bytes together at the most, one more between two of them: run them in several processes";
const DOTTED_RULE: &str = "use tokens of A-Z a-z 0-9 _ - with single dots between them, 128 bytes at the most";

/// Checks a name of one token: of a world, a system, an instance. `what` goes into the error.
pub fn token(what: &'static str, name: &str) -> Result<(), NameError> {
    if is_token(name) { Ok(()) } else { Err(refuse(what, name, TOKEN_RULE)) }
}

/// Checks a dotted name: of a component, an event, a subject prefix.
pub fn dotted(what: &'static str, name: &str) -> Result<(), NameError> {
    if is_dotted(name) { Ok(()) } else { Err(refuse(what, name, DOTTED_RULE)) }
}

/// The systems of an instance as a token of its subjects: their names in order, with `+` between them; `+` of none.
///
/// ```
/// assert_eq!(engine_net::name::systems(["steer", "bounce"])?, "bounce+steer");
/// # Ok::<(), engine_net::name::NameError>(())
/// ```
pub fn systems<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<String, NameError> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.iter().try_for_each(|name| token("system", name))?;
    names.sort_unstable();
    names.dedup();
    let joined = if names.is_empty() { NO_SYSTEMS.to_owned() } else { names.join("+") };
    if is_systems(&joined) { Ok(joined) } else { Err(refuse("list of systems", &joined, SYSTEMS_RULE)) }
}

/// Whether a token names the systems of an instance, in the only spelling.
#[must_use]
pub fn is_systems(token: &str) -> bool {
    let names = token.split('+');
    token == NO_SYSTEMS || token.len() <= MAX_SYSTEMS && names.clone().all(is_token) && names.is_sorted_by(|a, b| a < b)
}

/// Whether a name is a single legal token.
#[must_use]
pub fn is_token(name: &str) -> bool {
    (1..=MAX_TOKEN).contains(&name.len()) && name.bytes().all(is_token_byte)
}

/// Whether a name is made of legal tokens with dots between them.
#[must_use]
pub fn is_dotted(name: &str) -> bool {
    name.len() <= MAX_DOTTED && is_dotted_of_any_length(name)
}

/// As [`is_dotted`], for what holds a dotted name and more.
pub(crate) fn is_dotted_of_any_length(name: &str) -> bool {
    name.split('.').all(|part| !part.is_empty() && part.bytes().all(is_token_byte))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn refuse(what: &'static str, name: &str, rule: &'static str) -> NameError {
    let name = name.chars().take(MAX_TOKEN).flat_map(char::escape_default).collect();
    NameError { what, name, rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn illegal_characters_are_refused_and_shown_harmless() {
        for bad in ["", "a.b", "a*", ">", "a b", "a\r\nPUB x 0", "ü", &"x".repeat(65)] {
            assert!(token("world", bad).is_err(), "{bad:?}");
        }
        let error = token("world", "a\r\nPUB").unwrap_err().to_string();
        assert!(error.starts_with("`a\\r\\nPUB` is no world: use"), "{error}");
        assert!(token("system", "integrate-2_b").is_ok());
    }

    #[test]
    fn systems_have_one_spelling() {
        assert_eq!(systems(["b", "a", "b"]).unwrap(), "a+b");
        for bad in ["", "++", "a+", "+a", "b+a", "a+a", "a+*", "a.b", "a+b c", &"x".repeat(65)] {
            assert!(!is_systems(bad), "{bad:?}");
        }
        let many: Vec<String> = (0..100).map(|number| format!("system-{number}")).collect();
        let error = systems(many.iter().map(String::as_str)).unwrap_err().to_string();
        assert!(error.contains("run them in several processes"), "{error}");
        assert!(systems([]).is_ok_and(|none| none == "+" && is_systems(&none)));
    }

    #[test]
    fn dotted_names_have_no_empty_tokens() {
        for bad in ["", ".", "a.", ".a", "a..b", "a.*", "a.>", &"x.".repeat(80)] {
            assert!(dotted("event", bad).is_err(), "{bad:?}");
        }
        assert!(dotted("event", "arena.Damage").is_ok());
    }
}
