//! How a coordinator is told to keep a log, on the command line.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use engine_net::name::token;

use super::jet::{JetSettings, KeptSettings, Mode};
use super::keeper::KeeperSettings;
use super::lease::LeaseSettings;

/// What an answered command survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the world is gone with its process.
    #[default]
    None,
    /// There is a log.
    Kept(Mode),
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "none" => Ok(Durability::None),
        "server" => Ok(Durability::Kept(Mode::Server)),
        "disk" => Ok(Durability::Kept(Mode::Disk)),
        _ => Err("there are `none`, `server` and `disk`".into()),
    }
}

/// The world log.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Durability")]
pub struct LogArgs {
    /// What an answered command survives: `none` (it dies with this process), `server` (kill -9 of every process,
    /// the NATS server included; not a power cut), or `disk` (a power cut too; needs `sync_interval: always` in the
    /// server's configuration)
    #[arg(long, value_name = "MODE", default_value = "none", value_parser = durability)]
    pub durability: Durability,
    /// Stand by while another coordinator leads the world, and take over when it ends
    #[arg(long)]
    pub standby: bool,
    /// How long a coordinator that says nothing is waited for, before another one takes over
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub lease: u32,
    /// Ticks that may be computed before the ones before them are durable
    #[arg(long, value_name = "TICKS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub log_lag: u64,
    /// Keyframes that are kept; the log goes back to the oldest of them
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub keyframes: u32,
    /// What becomes of a world whose log stands still (no server, no room): `wait` for it, or `stop` after 30 s
    #[arg(long, value_name = "WHAT", default_value = "wait", value_parser = when_stuck)]
    pub log_stuck: WhenStuck,
    /// Copies of the log in a cluster of servers, and of the streams of events that are kept
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub log_replicas: u8,
    /// Room for the log on the server, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub log_mib: u64,
    /// Room for keyframes on the server, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub keyframe_mib: u64,
    /// Keep the events of this domain in the stream ENGINE_EVENT_WORLD_DOMAIN, each exactly once; may be given
    /// several times. The domain of `arena.Died` is `arena`
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',', value_parser = domain)]
    pub keep_events: Vec<String>,
    /// Room for each stream of events on the server, in MiB, where this coordinator makes it
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub event_mib: u64,
    /// Give up what is behind this tick, since it is damaged, and go on from there; to be given once
    #[arg(long, value_name = "TICK")]
    pub recover_at: Option<u64>,
}

fn domain(text: &str) -> Result<String, String> {
    token("domain of events", text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// What becomes of a world whose log stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStuck {
    /// It stands still as well.
    Wait,
    /// Its coordinator ends.
    Stop,
}

fn when_stuck(text: &str) -> Result<WhenStuck, String> {
    match text {
        "wait" => Ok(WhenStuck::Wait),
        "stop" => Ok(WhenStuck::Stop),
        _ => Err("there are `wait` and `stop`".into()),
    }
}

impl LogArgs {
    /// What is of use only with a log is a mistake without one.
    ///
    /// # Errors
    /// When it is given.
    pub fn check_unused(&self) -> anyhow::Result<()> {
        if self.standby {
            bail!("--standby takes over from a log: give --durability server (or disk), as the other coordinator has");
        }
        if self.recover_at.is_some() {
            bail!("--recover-at needs a log: give --durability server (or disk), as when the world was started");
        }
        if let Some(domain) = self.keep_events.first() {
            bail!(
                "--keep-events {domain} needs a log, from which events are made again that a killed coordinator had \
                 not stored yet: give --durability server (or disk)"
            );
        }
        Ok(())
    }

    /// How events are kept, if some are.
    pub(crate) fn kept(&self) -> Option<KeptSettings> {
        let mut domains = self.keep_events.clone();
        domains.sort();
        domains.dedup();
        let settings = KeptSettings {
            domains,
            max_bytes: i64::try_from(self.event_mib << 20).unwrap_or(i64::MAX),
            replicas: usize::from(self.log_replicas),
            answer_timeout: JetSettings::default().answer_timeout,
        };
        (!settings.domains.is_empty()).then_some(settings)
    }

    pub(crate) fn jet(&self) -> JetSettings {
        JetSettings {
            replicas: self.log_replicas,
            log_bytes: self.log_mib << 20,
            key_bytes: self.keyframe_mib << 20,
            ..JetSettings::default()
        }
    }

    pub(crate) fn keeper(&self, name: String, seed: u64) -> KeeperSettings {
        let ttl = Duration::from_secs(u64::from(self.lease)).as_nanos() as u64;
        let lease = LeaseSettings { ttl, seed, ..LeaseSettings::default() };
        KeeperSettings { name, lease, keep: self.keyframes as usize }
    }
}
