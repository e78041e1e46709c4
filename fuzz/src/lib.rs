//! What the fuzz targets do: each module of [`targets`] holds one target (`run`) and its seeds.
//!
//! A target feeds bytes to the functions that the running program feeds with bytes from outside. It fails
//! when one of them panics, hangs, asks for much more memory than the input can account for
//! ([`allocator`]), or breaks one of the promises that the target asserts. All of them are in one program,
//! which the environment tells what to do, so that one build and one link are enough:
//!
//! * `FUZZ_TARGET`: the target that is run.
//! * `FUZZ_SEEDS`: a folder; the seeds of all targets are written there, and nothing is run.
//!
//! `cargo xtask fuzz` knows all that.

pub mod allocator;
pub mod app;
pub mod bits;
pub mod cluster;
pub mod script;
pub mod targets;

use std::path::Path;
use std::sync::OnceLock;

pub use targets::TARGETS;

/// Named inputs.
pub type Seeds = Vec<(&'static str, Vec<u8>)>;

/// A target: its name, what it does with an input, and honest inputs to begin with.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name; also of the folder of its corpus.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
    /// Named inputs.
    pub seeds: fn() -> Seeds,
}

static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

/// Does what the environment says, before the first input.
///
/// # Panics
/// When the environment names no target, or the seeds can't be written.
pub fn start() {
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        TARGETS.iter().for_each(|target| write_seeds(target, &Path::new(&folder).join(target.name)));
        std::process::exit(0);
    }
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    let target = found.unwrap_or_else(|| panic!("FUZZ_TARGET names no target: `{name}`"));
    CHOSEN.get_or_init(|| target.run);
}

/// Runs an input.
pub fn run(input: &[u8]) {
    if let Some(run) = CHOSEN.get() {
        run(input);
    }
}

/// Each seed is tried before it is written: one that fails is no seed.
fn write_seeds(target: &Target, folder: &Path) {
    std::fs::create_dir_all(folder).expect("the folder of the seeds can be made");
    for (name, bytes) in (target.seeds)() {
        (target.run)(&bytes);
        std::fs::write(folder.join(name), bytes).expect("a seed can be written");
    }
}
