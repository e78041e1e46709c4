//! `engine coordinator`: a world without code of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use engine_app::coordinator::{BeforeFirstTick, FirstTick};
use engine_app::tool::scene::{self, Outside, Scene};
use engine_app::tool::schemas::Schemas;
use engine_app::{App, CoordinatorArgs, logging, run_coordinator};
use engine_net::config::ConnectionArgs;

const EXAMPLES: &str = "\
Systems that are built elsewhere bring their components with them: nothing has to be linked in.

Examples:
  engine coordinator                                      systems join as they come
  engine coordinator --world arena --rate 30 --seed 7
  engine coordinator --expect steer --expect strike --scene start.toml
  engine coordinator --expect steer --time fast --ticks 1000 --exit --report-every 100

A second shell then starts the systems: `arena system steer`, on any machine that reaches the server.";

/// Bytes of a scene that are loaded at once.
const BATCH_BYTES: usize = 1 << 20;

/// Owns a world.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CoordinatorCommand {
    /// A scene to load before the first tick; its components must come from systems of --expect
    #[arg(long, value_name = "FILE")]
    scene: Option<PathBuf>,
    #[command(flatten)]
    args: CoordinatorArgs,
}

impl CoordinatorCommand {
    pub(crate) fn connection(&self) -> &ConnectionArgs {
        &self.args.connection
    }

    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::start(&self.args.logging);
        let before = self.scene.as_deref().map(|path| scene_loader(path, !self.args.world.expect.is_empty()));
        run_coordinator(App::new("engine"), &self.args, &[], &BTreeMap::new(), before.transpose()?)
    }
}

/// The file is read at once, so that its mistakes are known before anything is started.
fn scene_loader(path: &Path, expects: bool) -> anyhow::Result<BeforeFirstTick> {
    let scene = crate::scene::read(path, None)?;
    let path = path.display().to_string();
    Ok(Box::new(move |first| {
        let spawned = load(first, scene, expects, &path).map_err(|error| format!("{error:#}"))?;
        println!("{path}: {spawned} entities");
        Ok(())
    }))
}

fn load(first: &mut FirstTick<'_>, scene: Scene, expects: bool, path: &str) -> anyhow::Result<usize> {
    let schemas = Schemas::of_world(first.world());
    if schemas.is_empty() && !scene.is_empty() {
        let hint = if expects {
            "the systems of --expect have none"
        } else {
            "name the systems that bring them with --expect"
        };
        bail!("{path}: the world knows no components at its first tick; {hint}");
    }
    let scene = crate::scene::check(scene, &schemas, Outside::None, path)?;
    let mut loader = scene::Loader::new(scene, schemas, BATCH_BYTES).with_context(|| path.to_owned())?;
    let mut apply = |action| first.apply(action).map_err(|problem| anyhow!("{path}: {}", problem.message));
    while let Some(action) = loader.next_batch() {
        let spawned = apply(action)?;
        loader.accept(&spawned).map_err(|error| anyhow!("{path}: {error}"))?;
    }
    for action in loader.mending() {
        apply(action)?;
    }
    Ok(loader.len())
}
