//! An app: systems, plugins and options, as one program that can be run in every topology.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use engine_component::{World, WorldSettings};
use engine_system::{IntoSystem, Rng, System, SystemSet, Time};

use crate::coordinator::Coordinator;
use crate::settings::Settings;

/// The result of an app's code.
pub type Result<T = (), E = anyhow::Error> = std::result::Result<T, E>;

type Startup = Box<dyn Fn(&mut Start<'_>) -> Result + Send + Sync>;
type UpdateFn = Arc<dyn Fn(&mut World, Time) + Send + Sync>;
type Shutdown = Box<dyn Fn(&World) + Send + Sync>;

/// Bundles components, systems and set-up.
pub trait Plugin {
    /// Adds what the plugin has to the app.
    fn build(&self, app: &mut App);
}

impl<F: Fn(&mut App)> Plugin for F {
    fn build(&self, app: &mut App) {
        self(app);
    }
}

/// An option of an app, given on the command line as `--name value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppOption {
    /// The name.
    pub name: &'static str,
    /// The value when nothing is given.
    pub default: &'static str,
    /// What it is.
    pub help: &'static str,
}

/// A world that is being filled, before its first tick.
#[derive(Debug)]
pub struct Start<'a> {
    /// The world.
    pub world: &'a mut World,
    /// The values of the app's options.
    pub options: &'a BTreeMap<String, String>,
    /// The world's seed.
    pub seed: u64,
}

impl Start<'_> {
    /// The value of one of the app's options.
    ///
    /// # Errors
    /// When the app has no such option, or its value is of another type.
    pub fn option<T: FromStr>(&self, name: &str) -> Result<T>
    where
        T::Err: std::fmt::Display,
    {
        let value = self
            .options
            .get(name)
            .with_context(|| format!("the app has no option `{name}`: add it with App::option"))?;
        value.parse().map_err(|error| anyhow!("--{name} {value}: {error}"))
    }

    /// Random numbers for set-up code, as systems have them.
    #[must_use]
    pub fn rng(&self, name: &str) -> Rng {
        Rng::new(self.seed, 0, name)
    }
}

/// A program of systems.
///
/// ```
/// use engine_app::{App, Settings};
/// use engine_component::{Component, query::Query};
///
/// #[derive(Component, Clone, Copy)]
/// #[repr(C)]
/// #[component(name = "doc.Counter")]
/// struct Counter { count: u32 }
///
/// fn count(mut counters: Query<&mut Counter>) {
///     for counter in &mut counters {
///         counter.count += 1;
///     }
/// }
///
/// let app = App::new("doc").add_system("count", count).on_start(|start| {
///     start.world.spawn((Counter { count: 0 },));
///     Ok(())
/// });
/// let world = app.run_ticks(Settings { ticks: Some(3), ..Settings::default() }).unwrap();
/// assert_eq!(world.tick, 3);
/// ```
pub struct App {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) options: Vec<AppOption>,
    systems: SystemSet,
    startup: Vec<Startup>,
    updates: Vec<UpdateFn>,
    shutdown: Vec<Shutdown>,
    /// The first mistake; reported when the app is run, so that building stays a chain.
    mistake: Option<anyhow::Error>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("name", &self.name).field("systems", &self.systems.len()).finish_non_exhaustive()
    }
}

/// What coordinators of an app's world are made of: a process that stands by, leads, and stands by again makes
/// several.
pub struct Blueprint {
    systems: Vec<(Arc<dyn System>, bool)>,
    startup: Vec<Startup>,
    updates: Vec<UpdateFn>,
    pub(crate) shutdown: Vec<Shutdown>,
    options: BTreeMap<String, String>,
}

impl std::fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blueprint").field("systems", &self.systems.len()).finish_non_exhaustive()
    }
}

impl Blueprint {
    /// A coordinator of a new world, filled; epoch 0 is a world without a broker.
    ///
    /// # Errors
    /// When the start-up code fails, or a setting is wrong.
    pub fn coordinator(&self, settings: Settings, epoch: u64) -> Result<Coordinator> {
        let world = self.new_world(&settings)?;
        let coordinator = Coordinator::new(settings, world, self.systems.clone(), epoch)?;
        Ok(self.with_updates(coordinator))
    }

    /// A coordinator of a world that was stored. The start-up code runs on a world that is thrown away: only its
    /// hooks are kept.
    ///
    /// # Errors
    /// When the start-up code fails, or the world does not fit to this program.
    pub fn restored(&self, settings: Settings, mut world: World, state: &[u8], epoch: u64) -> Result<Coordinator> {
        let mut set_up = self.new_world(&settings)?;
        world.take_hooks(&mut set_up)?;
        let coordinator = Coordinator::restore(settings, world, self.systems.clone(), state, epoch)?;
        Ok(self.with_updates(coordinator))
    }

    /// Whether the app has no systems.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.systems.is_empty()
    }

    /// A coordinator of a world that was stored, to repeat what was with the functions of this program.
    ///
    /// # Errors
    /// When the start-up code fails, or the world does not fit to this program.
    pub fn past(&self, settings: Settings, mut world: World, state: &[u8]) -> Result<Coordinator> {
        let mut set_up = self.new_world(&settings)?;
        world.take_hooks(&mut set_up)?;
        let functions = self.systems.iter().map(|(system, _)| system.clone()).collect();
        let coordinator = Coordinator::restore_past(settings, world, functions, state)?;
        Ok(self.with_updates(coordinator))
    }

    fn new_world(&self, settings: &Settings) -> Result<World> {
        let mut world = World::new(WorldSettings { rows_per_shard: settings.rows_per_shard })?;
        for schema in self.systems.iter().flat_map(|(system, _)| system.schemas()) {
            world.register_schema(schema.clone())?;
        }
        let mut start = Start { world: &mut world, options: &self.options, seed: settings.seed };
        for fill in &self.startup {
            fill(&mut start).context("start-up")?;
        }
        Ok(world)
    }

    fn with_updates(&self, mut coordinator: Coordinator) -> Coordinator {
        for update in self.updates.iter().cloned() {
            coordinator.on_update(Box::new(move |world, time| update(world, time)));
        }
        coordinator
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The last committed tick.
    pub tick: u64,
    /// The hash of the world after it.
    pub hash: engine_component::WorldHash,
    /// Entities in the world.
    pub entities: usize,
    /// Milliseconds of each tick.
    pub tick_ms: Vec<f64>,
}

impl App {
    /// An app without systems.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            about: String::new(),
            options: Vec::new(),
            systems: SystemSet::default(),
            startup: Vec::new(),
            updates: Vec::new(),
            shutdown: Vec::new(),
            mistake: None,
        }
    }

    /// What the app is, for `--help`.
    #[must_use]
    pub fn about(mut self, text: &str) -> Self {
        text.clone_into(&mut self.about);
        self
    }

    /// Adds an option to the command line.
    #[must_use]
    pub fn option(mut self, name: &'static str, default: &'static str, help: &'static str) -> Self {
        self.options.push(AppOption { name, default, help });
        self
    }

    /// Adds what a plugin has.
    #[must_use]
    pub fn add_plugin(mut self, plugin: impl Plugin) -> Self {
        plugin.build(&mut self);
        self
    }

    /// Adds a system. Where systems conflict, and nothing else is said, they run in the order in which
    /// they were added.
    #[must_use]
    pub fn add_system<M>(mut self, name: &str, system: impl IntoSystem<M>) -> Self {
        self.system(name, system);
        self
    }

    /// As [`Self::add_system`], for plugins.
    pub fn system<M>(&mut self, name: &str, system: impl IntoSystem<M>) {
        if let Err(error) = self.systems.add(name, system) {
            self.mistake.get_or_insert(error.into());
        }
    }

    /// Fills the world before its first tick.
    #[must_use]
    pub fn on_start(mut self, fill: impl Fn(&mut Start<'_>) -> Result + Send + Sync + 'static) -> Self {
        self.on_startup(fill);
        self
    }

    /// As [`Self::on_start`], for plugins.
    pub fn on_startup(&mut self, fill: impl Fn(&mut Start<'_>) -> Result + Send + Sync + 'static) {
        self.startup.push(Box::new(fill));
    }

    /// Does something with the world before each tick, in the coordinator's process.
    pub fn on_update(&mut self, update: impl Fn(&mut World, Time) + Send + Sync + 'static) {
        self.updates.push(Arc::new(update));
    }

    /// Looks at the world after its last tick.
    pub fn on_shutdown(&mut self, look: impl Fn(&World) + Send + Sync + 'static) {
        self.shutdown.push(Box::new(look));
    }

    /// The names of the systems, in the order of their registration.
    #[must_use]
    pub fn system_names(&self) -> Vec<String> {
        self.systems.iter().map(|system| system.descriptor().name.clone()).collect()
    }

    /// The values of all options: those given, the rest by default.
    #[must_use]
    pub fn option_values(&self, given: &[(String, String)]) -> BTreeMap<String, String> {
        let defaults = self.options.iter().map(|option| (option.name.to_owned(), option.default.to_owned()));
        defaults.chain(given.iter().cloned()).collect()
    }

    /// The systems, each to be run by as many threads as there are.
    ///
    /// # Errors
    /// The first mistake that was made in building the app.
    pub fn into_systems(self) -> Result<Vec<Arc<dyn System>>> {
        match self.mistake {
            Some(mistake) => Err(mistake),
            None => Ok(self.systems.into_boxes().into_iter().map(Arc::from).collect()),
        }
    }

    /// A coordinator of this app's world, filled. `local` says which systems run in its process; epoch 0
    /// is a world without a broker.
    ///
    /// # Errors
    /// When the app has a mistake, or its start-up code fails.
    pub fn into_coordinator(
        self,
        settings: Settings,
        options: &BTreeMap<String, String>,
        local: impl Fn(&str) -> bool,
        epoch: u64,
    ) -> Result<(Coordinator, Vec<Shutdown>)> {
        let blueprint = self.into_blueprint(options, &local)?;
        let coordinator = blueprint.coordinator(settings, epoch)?;
        Ok((coordinator, blueprint.shutdown))
    }

    /// All that coordinators of this app's world are made of, one after another. `local` says which systems run in
    /// their process.
    ///
    /// # Errors
    /// The first mistake that was made in building the app.
    pub fn into_blueprint(self, options: &BTreeMap<String, String>, local: &dyn Fn(&str) -> bool) -> Result<Blueprint> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let systems = self.systems.into_boxes().into_iter().map(|system| {
            let is_local = local(&system.descriptor().name);
            (Arc::from(system), is_local)
        });
        Ok(Blueprint {
            systems: systems.collect(),
            startup: self.startup,
            updates: self.updates,
            shutdown: self.shutdown,
            options: options.clone(),
        })
    }

    /// Runs everything in this process, with the options' defaults.
    ///
    /// # Errors
    /// When the app has a mistake, or a system fails.
    pub fn run_ticks(self, settings: Settings) -> Result<Outcome> {
        let options = self.option_values(&[]);
        self.run_in_process(settings, &options, &crate::driver::Stop::default(), |_, _| {})
    }

    /// Runs everything in this process until the last tick, or until it is asked to stop.
    ///
    /// # Errors
    /// When the app has a mistake, or a system fails.
    pub fn run_in_process(
        self,
        settings: Settings,
        options: &BTreeMap<String, String>,
        stop: &crate::driver::Stop,
        mut on_commit: impl FnMut(&crate::coordinator::Commit, &Coordinator),
    ) -> Result<Outcome> {
        let (mut coordinator, shutdown) = self.into_coordinator(settings, options, |_| true, 0)?;
        let mut tick_ms = Vec::new();
        crate::driver::run(&mut coordinator, None, false, stop, |commit, coordinator| {
            tick_ms.push(commit.took_ns as f64 / 1e6);
            on_commit(commit, coordinator);
        })?;
        for look in shutdown {
            look(coordinator.world());
        }
        let (tick, hash) = coordinator.committed();
        Ok(Outcome { tick, hash, entities: coordinator.world().len(), tick_ms })
    }

    /// The program: reads the command line and runs the role that it names. What goes wrong is printed for
    /// people, and ends the process with code 1.
    ///
    /// # Errors
    /// None any more; the type is what `main` may return beside other things that an app does.
    pub fn main(self) -> Result {
        crate::roles::main(self)
    }
}
