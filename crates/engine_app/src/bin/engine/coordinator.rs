//! `engine coordinator`: a world without code of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use engine_app::tool::scene::{self, Outside, Scene};
use engine_app::tool::schemas::Schemas;
use engine_app::{App, BeforeFirstTick, CoordinatorArgs, run_coordinator, start_log};

const EXAMPLES: &str = "\
Systems that are built elsewhere bring their components with them: nothing has to be linked in.

Examples:
  engine coordinator                                      systems join as they come
  engine coordinator --world arena --rate 30 --seed 7
  engine coordinator --expect steer --expect strike --scene start.toml
  engine coordinator --expect steer --time fast --ticks 1000 --exit --report-every 100

A second shell then starts the systems: `arena system steer`, on any machine that reaches the server.";

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
    pub(crate) fn run(self) -> anyhow::Result<()> {
        start_log();
        let before = self.scene.as_deref().map(|path| scene_loader(path, !self.args.world.expect.is_empty()));
        run_coordinator(App::new("engine"), &self.args, &[], &BTreeMap::new(), before.transpose()?)
    }
}

/// The file is read at once, so that its mistakes are known before anything is started.
fn scene_loader(path: &Path, expects: bool) -> anyhow::Result<BeforeFirstTick> {
    let scene = crate::scene::read(path, None)?;
    let path = path.display().to_string();
    Ok(Box::new(move |world| {
        let schemas = Schemas::of_world(world);
        if schemas.is_empty() && !scene.is_empty() {
            let hint = if expects {
                "the systems of --expect have none"
            } else {
                "name the systems that bring them with --expect"
            };
            bail!("{path}: the world knows no components at its first tick; {hint}");
        }
        let scene = check(scene, &schemas, &path)?;
        let spawned = scene::spawn_into(world, &scene).with_context(|| path.clone())?;
        println!("{path}: {} entities", spawned.len());
        Ok(())
    }))
}

fn check(scene: Scene, schemas: &Schemas, path: &str) -> anyhow::Result<scene::Checked> {
    let scene = crate::scene::check(scene, schemas, Outside::None, path)?;
    Ok(scene)
}
