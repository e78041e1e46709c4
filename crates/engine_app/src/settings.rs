//! What a world runs by: fixed when the coordinator starts.

use engine_component::WorldSettings;
use engine_net::parcel::DEFAULT_CHUNK_BYTES;

/// What happens when the world can't hold its rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeMode {
    /// Simulated time falls behind the clock: a late tick moves all later ones.
    #[default]
    Dilate,
    /// Up to so many ticks follow one another without a pause, to catch up with the clock; what is left
    /// beyond that is given up.
    CatchUp {
        /// Ticks, at the most.
        max: u32,
    },
    /// Ticks follow one another without a pause.
    Fast,
}

/// The settings of a world and of its coordinator.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The name of the world: one token of a subject.
    pub world: String,
    /// The first token of all subjects.
    pub prefix: String,
    /// The seed of all random numbers.
    pub seed: u64,
    /// Ticks a second; a tick is always 1/rate seconds of simulated time.
    pub rate: f64,
    /// What happens when the rate can't be held.
    pub time: TimeMode,
    /// Rows of a shard. A world setting: another number makes another world hash.
    pub rows_per_shard: usize,
    /// The size of chunks that is aimed at, in bytes.
    pub chunk_bytes: usize,
    /// Bytes on their way to one instance, at the most: half of what the server holds for a client.
    pub in_flight_bytes: u64,
    /// Jobs of a system for one instance go together, up to so many bytes that are sent for them and expected back;
    /// 0 sends each by itself.
    pub batch_bytes: usize,
    /// Whether instances keep columns from tick to tick, and are sent what changed; else all of them every time.
    pub keep: bool,
    /// Bytes of the memory in which instances on this host map columns instead of being sent them, and of what each of
    /// them may write; 0 is none: all columns travel. Pages are taken as they are used.
    pub shm_bytes: u64,
    /// Whether jobs of systems that follow one another on the same rows may be sent together, so that their instance
    /// hands over without a round trip.
    pub fuse: bool,
    /// Whether a batch that is late is also given to an instance that has nothing to do; never a batch of a system that
    /// isn't deterministic.
    pub speculate: bool,
    /// Connections out, over which instances are spread.
    pub lanes: usize,
    /// An instance that is silent for so long while it has a job is taken for dead.
    pub instance_timeout_ms: u64,
    /// A job that is silent for so long is asked about.
    pub ask_after_ms: u64,
    /// A job that lost so many instances is not tried again in this tick.
    pub max_deaths: u32,
    /// Stop after this tick.
    pub ticks: Option<u64>,
    /// Systems that have to be there before the first tick.
    pub expect: Vec<String>,
    /// Threads for systems in the coordinator's process; 0 is as many as there are cores.
    pub threads: usize,
    /// Start paused.
    pub paused: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            world: "main".into(),
            prefix: engine_net::subject::DEFAULT_PREFIX.into(),
            seed: 1,
            rate: 60.0,
            time: TimeMode::Dilate,
            rows_per_shard: WorldSettings::default().rows_per_shard,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            in_flight_bytes: 32 << 20,
            batch_bytes: 256 << 10,
            keep: true,
            shm_bytes: 1 << 30,
            fuse: true,
            speculate: true,
            lanes: 2,
            instance_timeout_ms: 10_000,
            ask_after_ms: 500,
            max_deaths: 5,
            ticks: None,
            expect: Vec::new(),
            threads: 0,
            paused: false,
        }
    }
}

impl Settings {
    /// Seconds of a tick.
    #[must_use]
    pub fn dt(&self) -> f32 {
        (1.0 / self.rate) as f32
    }
}
