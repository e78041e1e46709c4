//! Versions of nats-server.

use std::fmt;

/// The oldest supported server. Older ones drop unknown settings of streams silently, and their leases
/// never end.
pub const OLDEST_SERVER: Version = Version { major: 2, minor: 12, patch: 1 };

/// A version of nats-server; order is age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 in 2.12.1.
    pub major: u32,
    /// 12 in 2.12.1.
    pub minor: u32,
    /// 1 in 2.12.1.
    pub patch: u32,
}

impl Version {
    /// Reads `2.12.1`, `v2.12.1` and `2.12.1-RC.3` (which counts as 2.12.1).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let release = text.split(['-', '+']).next()?;
        let mut parts = release.split('.').map(|part| part.parse::<u32>().ok());
        let version = Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_by_number_not_by_letter() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("2.9.10") < OLDEST_SERVER && version("2.12.0") < OLDEST_SERVER);
        assert!(version("v2.12.1") >= OLDEST_SERVER && version("2.15.1-RC.2") > OLDEST_SERVER);
        assert!(["", "2", "2.x.1", "2.1.1.1", "dev"].iter().all(|text| Version::parse(text).is_none()));
    }
}
