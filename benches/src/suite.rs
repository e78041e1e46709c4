//! All that can be measured, and what was chosen of it.

use anyhow::{Result, bail};

use crate::case::Case;
use crate::curve::Curve;
use crate::figures::Measured;
use crate::measure::Effort;
use crate::tick::TickCase;
use crate::{dist, durable, ecs, hash, image, memory, scale};

/// One line of `--list`.
pub(crate) enum Entry {
    Case(Case),
    Ticks(TickCase),
    Curve(Curve),
}

impl Entry {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Case(case) => case.name,
            Self::Ticks(case) => case.name,
            Self::Curve(curve) => curve.name,
        }
    }

    pub(crate) fn about(&self) -> &'static str {
        match self {
            Self::Case(case) => case.about,
            Self::Ticks(case) => case.about,
            Self::Curve(curve) => curve.about,
        }
    }

    pub(crate) fn measure(&self, effort: Effort, alone: bool) -> Result<Measured> {
        Ok(match self {
            Self::Case(case) => Measured::Case(case.measure(effort, alone)?),
            Self::Ticks(case) => Measured::Case(case.measure(effort, alone)?),
            Self::Curve(curve) => Measured::Curve(curve.measure(effort, alone)?),
        })
    }

    fn belongs_to(&self, name: &str) -> bool {
        self.name().strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn all() -> Vec<Entry> {
    let mut all: Vec<Entry> =
        [ecs::cases(), hash::cases(), image::cases(), memory::cases()].into_iter().flatten().map(Entry::Case).collect();
    all.extend(dist::cases().into_iter().map(Entry::Ticks));
    all.extend(durable::cases().into_iter().map(Entry::Case));
    all.extend(scale::curves().into_iter().map(Entry::Curve));
    all
}

/// Those of these names, or of the groups of these names; all when there are none.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Entry>> {
    let all = all();
    for name in names {
        if !all.iter().any(|entry| entry.belongs_to(name)) {
            bail!("There is no case `{name}`; --list says which there are.");
        }
    }
    Ok(all.into_iter().filter(|entry| names.is_empty() || names.iter().any(|name| entry.belongs_to(name))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_have_the_same_name() {
        let mut names: Vec<_> = all().iter().map(Entry::name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn a_name_is_a_case_or_a_group() {
        let names = |name: &str| chosen(&[name.into()]).map(|all| all.len());
        assert_eq!(names("ecs/simple_iter").unwrap(), 1, "and not simple_iter_million");
        assert!(names("ecs").unwrap() > 5);
        assert!(names("ec").is_err());
    }
}
