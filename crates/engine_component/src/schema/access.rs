//! What programs outside of a world may do with a component: tools, editors, players.

use serde::{Deserialize, Serialize};

/// What programs outside of the world may do with values of a type. Systems may do with them what they declare.
///
/// ```
/// use engine_component::{Component, Data, schema::Access};
///
/// #[derive(Clone, Copy, Component)]
/// #[component(name = "shop.Coins", read_only)]
/// #[repr(C)]
/// struct Coins(u64);
///
/// assert_eq!(Coins::schema().access, Access::ReadOnly);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read and write.
    #[default]
    Open,
    /// Read. Commands that write, add or remove it are refused; one may still remove the entity that has it.
    ReadOnly,
    /// Nothing: queries and watches don't show it, and events of this type are not announced.
    Private,
}

impl Access {
    pub(crate) fn is_open(&self) -> bool {
        *self == Self::Open
    }

    /// The word in a schema's canonical text.
    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::ReadOnly => Some("read_only"),
            Self::Private => Some("private"),
        }
    }
}
