//! What programs around a world ask of each other: commands; and why a value from outside is refused.
//!
//! Only the types are declared here, so that one derive and one kind of schema serve systems and services alike. Who
//! answers commands is `engine_service`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Data;

/// Something that is asked of one aggregate (a player, an order, a match), and answered.
///
/// ```
/// use engine_component::{Command, Data, Invalid};
///
/// #[derive(serde::Serialize, serde::Deserialize, Command)]
/// #[command(name = "shop.player.purchase", document, answer = u64, validate = Purchase::check)]
/// struct Purchase {
///     #[command(key)]
///     player: String,
///     price: u64,
/// }
///
/// impl Purchase {
///     fn check(&self) -> Result<(), Invalid> {
///         if self.price > 0 { Ok(()) } else { Err(Invalid::new("a purchase has a price")) }
///     }
/// }
///
/// let purchase = Purchase { player: "ada".into(), price: 0 };
/// assert_eq!((Purchase::DOMAIN, Purchase::ACTION), ("shop", "purchase"));
/// assert_eq!(purchase.key(), "ada");
/// assert_eq!(purchase.validate().unwrap_err().to_string(), "a purchase has a price");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no command",
    label = "not a command",
    note = "add `#[derive(Command)]` and `#[command(name = \"domain.aggregate.action\")]` to the type"
)]
pub trait Command: Data {
    /// What whoever gave it is told.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// Whose word it is: the first token of the name.
    const DOMAIN: &'static str;
    /// What kind of thing it is about: the second one.
    const AGGREGATE: &'static str;
    /// What is to be done: the third one.
    const ACTION: &'static str;

    /// Which of these things it is about. Say it with `#[command(key)]` on a field; without one there is only one thing,
    /// `all`.
    fn key(&self) -> String;

    /// Whether a value means something. Say it with `#[command(validate = …)]`.
    ///
    /// # Errors
    /// When it doesn't; with the reason.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// Why a value from outside means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    /// With a reason, for people.
    #[must_use]
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}
