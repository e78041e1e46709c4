//! What the systems of a case are. The coordinator and the processes of its instances are told the same name and
//! the same sizes, and so build the same app.

use anyhow::{Context, Result};
use engine_app::App;

use super::apps;
use crate::scale;

/// An app that is made for two sizes: entities, and what is varied beside them.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) app: fn(Sizes) -> App,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) entities: usize,
    /// What else is varied: tables, systems, a share; 0 where nothing is.
    pub(crate) of: usize,
}

/// A program and its sizes.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    program: &'static Program,
    sizes: Sizes,
}

static PROGRAMS: [&Program; 7] = [
    &apps::MOVING,
    &apps::PARTLY,
    &apps::COMPUTING,
    &scale::archetypes::PROGRAM,
    &scale::systems::CHAIN,
    &scale::systems::BESIDE,
    &scale::spawns::PROGRAM,
];

impl Program {
    pub(crate) fn of(&'static self, entities: usize, of: usize) -> Work {
        Work { program: self, sizes: Sizes { entities, of } }
    }
}

impl Work {
    pub(crate) fn app(self) -> App {
        (self.program.app)(self.sizes)
    }

    pub(crate) fn to_text(self) -> String {
        format!("{} {} {}", self.program.name, self.sizes.entities, self.sizes.of)
    }

    pub(crate) fn from_text(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default();
        let program = PROGRAMS.into_iter().find(|program| program.name == name);
        let mut size = || words.next().and_then(|word| word.parse().ok());
        let work = program.and_then(|program| Some(program.of(size()?, size()?)));
        work.with_context(|| format!("`{text}` is no program"))
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_builds_what_it_is_told() {
        for program in PROGRAMS {
            let work = program.of(100, 3);
            let told = Work::from_text(&work.to_text()).unwrap();
            assert_eq!(told.to_text(), work.to_text());
            assert_eq!(told.app().system_names(), work.app().system_names());
        }
        assert!(Work::from_text("moving 1").is_err());
        assert!(Work::from_text("flying 1 1").is_err());
    }
}
