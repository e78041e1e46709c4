//! Names of components and events: the identity of a type for every build and every language.
//!
//! A name is also a part of subjects, so whatever a subject gives a meaning to (`*`, `>`, spaces) is no
//! part of a name.

/// Bytes of a name, at the most.
pub const MAX_NAME: usize = 128;

/// A name that breaks the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no name: use tokens of A-Z a-z 0-9 _ with single dots between them, {MAX_NAME} bytes at the most", shown(.0))]
pub struct NameError(pub String);

/// Checks the name of a component or an event.
///
/// # Errors
/// When it is not made of dot-separated tokens of `[A-Za-z0-9_]`, or longer than [`MAX_NAME`].
///
/// ```
/// use engine_component::name;
/// assert!(name::check("physics.Velocity").is_ok());
/// assert!(name::check("physics..Velocity").is_err());
/// ```
pub fn check(name: &str) -> Result<(), NameError> {
    if name.len() <= MAX_NAME && name.split('.').all(is_token) { Ok(()) } else { Err(NameError(name.to_owned())) }
}

/// Whether this is one token of a name.
#[must_use]
pub fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A name from outside, fit for a line of a log.
fn shown(name: &str) -> String {
    name.chars().take(MAX_NAME).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_subjects_is_no_name() {
        for good in ["a", "physics.Velocity", "a.b.c_1", &"x".repeat(128)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a\r\nb", "ä", "a-b", "a::b", &"x".repeat(129)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_message_holds_no_line_breaks() {
        let message = check("a\r\nb").unwrap_err().to_string();
        assert!(message.contains(r"a\r\nb"), "{message}");
    }
}
