//! Events that were stored by an earlier build: each version knows how to become the next one.
//!
//! Stored messages are never rewritten. What a later build reads goes through its upcasters, one version at a time, as a
//! value that describes itself; what comes out has to fit the schema of the build.

use std::collections::BTreeMap;
use std::fmt;

use engine_component::Invalid;
use serde_json::Value;

type Step = Box<dyn Fn(Value) -> Result<Value, Invalid> + Send + Sync>;

/// The ways from one version to the next.
///
/// ```
/// use engine_service::upcast::Upcasters;
/// use serde_json::json;
///
/// let upcasters = Upcasters::default().add("shop.Purchased", 1, |mut value| {
///     value["currency"] = json!("gold");
///     Ok(value)
/// });
/// let lifted = upcasters.lift("shop.Purchased", 1, 2, json!({"price": 3})).unwrap();
/// assert_eq!(lifted, json!({"price": 3, "currency": "gold"}));
/// ```
#[derive(Default)]
pub struct Upcasters {
    steps: BTreeMap<(String, u32), Step>,
}

/// Why a stored value did not become one of this build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpcastError {
    /// Nobody knows how.
    #[error("`{name}` was stored in version {from}, and there is no upcaster to version {}", .from + 1)]
    Missing {
        /// The type.
        name: String,
        /// The version that nothing leads away from.
        from: u32,
    },
    /// The upcaster refused it.
    #[error("`{name}` of version {from} does not become version {}: {reason}", .from + 1)]
    Refused {
        /// The type.
        name: String,
        /// The version.
        from: u32,
        /// Why.
        reason: Invalid,
    },
}

impl Upcasters {
    /// Adds the way from a version to the one behind it. A second one for the same version replaces the first.
    #[must_use]
    pub fn add(
        mut self,
        name: &str,
        from: u32,
        step: impl Fn(Value) -> Result<Value, Invalid> + Send + Sync + 'static,
    ) -> Self {
        self.steps.insert((name.to_owned(), from), Box::new(step));
        self
    }

    /// Brings a value from one version to another, step by step.
    ///
    /// # Errors
    /// When a step is missing, or refuses the value.
    pub fn lift(&self, name: &str, from: u32, to: u32, mut value: Value) -> Result<Value, UpcastError> {
        for version in from..to {
            let missing = || UpcastError::Missing { name: name.to_owned(), from: version };
            let step = self.steps.get(&(name.to_owned(), version)).ok_or_else(missing)?;
            let refused = |reason| UpcastError::Refused { name: name.to_owned(), from: version, reason };
            value = step(value).map_err(refused)?;
        }
        Ok(value)
    }
}

impl fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.steps.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use engine_component::Event;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;
    use crate::content::decode;
    use crate::envelope::{Content, SchemaRef};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
    #[event(name = "shop.Purchased", document, version = 3)]
    struct Purchased {
        player: String,
        price: u64,
        currency: String,
    }

    /// As a build of two versions ago stored it: `{"who": "ada", "price": "12"}`.
    const STORED: &[u8] = b"\x82\xa3who\xa3ada\xa5price\xa212";
    const SCHEMA: &str = "urn:engine:schema:shop.Purchased:1:000102030405060708090a0b0c0d0e0f";

    fn upcasters() -> Upcasters {
        Upcasters::default()
            .add("shop.Purchased", 1, |value| {
                let price = value["price"].as_str().and_then(|text| text.parse::<u64>().ok());
                let price = price.ok_or_else(|| Invalid::new("the price is no number"))?;
                Ok(json!({ "player": value["who"], "price": price }))
            })
            .add("shop.Purchased", 2, |mut value| {
                value["currency"] = json!("gold");
                Ok(value)
            })
    }

    #[test]
    fn a_stored_event_of_two_versions_ago_is_read() {
        let schema = SchemaRef::parse(SCHEMA).unwrap();
        let read: Purchased = decode(STORED, Content::MessagePack, Some(&schema), &upcasters()).unwrap();
        assert_eq!(read, Purchased { player: "ada".into(), price: 12, currency: "gold".into() });
    }

    #[test]
    fn a_missing_step_and_a_refusal_say_which_version() {
        let error = upcasters().lift("shop.Purchased", 0, 3, json!({})).unwrap_err();
        assert_eq!(error, UpcastError::Missing { name: "shop.Purchased".into(), from: 0 });
        let error = upcasters().lift("shop.Purchased", 1, 3, json!({"price": "x"})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`shop.Purchased` of version 1 does not become version 2: the price is no number"
        );
    }
}
