//! A coordinator with a log: it contends for the lease, recovers the world, leads it, and stands by again when
//! another one leads.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use crossbeam_channel::RecvTimeoutError;
use engine_net::config::ConnectionConfig;

use crate::app::{Blueprint, Result};
use crate::coordinator::{BeforeFirstTick, Coordinator};
use crate::driver::{self, RunError, Stop};
use crate::log::args::WhenStuck;
use crate::log::chain::Position;
use crate::log::jet::{EventKeeper, Mode, Streams};
use crate::log::keeper::{Keeper, LogEvent};
use crate::log::link::{KeyframePolicy, LogLink, STUCK, Waker};
use crate::log::record::EpochBody;
use crate::log::recovery::{Found, Progress, Recovered, Wanted, recover};
use crate::log::writer::{Begin, Limits};
use crate::record::TickRecord;
use crate::roles::CoordinatorArgs;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// What a process leads with.
pub(crate) struct Run<'a> {
    pub(crate) args: &'a CoordinatorArgs,
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) config: &'a ConnectionConfig,
    pub(crate) settings: Settings,
    pub(crate) waits: &'a str,
    pub(crate) stop: &'a Stop,
    pub(crate) telemetry: &'a Telemetry,
}

/// The format of the records of ticks.
pub(crate) const RECORDS: u32 = 1;
/// How long one waits for an event before one looks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A world that may be led: made of what was stored, or new.
struct Ready {
    coordinator: Coordinator,
    records: VecDeque<TickRecord>,
    needs_keyframe: bool,
}

/// Leads the world until it ends or the process is asked to stop; None when it never led at that time.
pub(crate) fn run(run: &Run<'_>, mode: Mode, before: Option<BeforeFirstTick>) -> Result<Option<Coordinator>> {
    let (args, log) = (run.args, &run.args.log);
    let streams = Arc::new(Streams::open(run.config, &run.config.world, mode, log.jet())?);
    let waker = Waker::default();
    let wake = waker.clone();
    let events = log.kept().map(|kept| EventKeeper::start(run.config, kept, move || wake.wake())).transpose()?;
    let (name, seed) = (own_name(), RandomState::new().hash_one(1));
    let wake = waker.clone();
    let keeper = Keeper::start(streams.clone(), log.keeper(name, seed), move || wake.wake())?;
    let (mut before, mut has_led) = (before, false);
    let mut wanted = log.recover_at.map_or(Wanted::Newest, Wanted::At);
    loop {
        // Who has led and was deposed stands by for as long as it takes.
        let patience = if has_led { Patience::AfterReign } else { Patience::Start };
        if !wait_for_lease(run, &keeper, patience)? {
            return Ok(None);
        }
        has_led = true;
        let ready = reign_over(run, &keeper, &streams, events.as_ref(), wanted).inspect_err(|_| give_back(&keeper))?;
        let Some(mut ready) = ready else {
            if run.stop.is_asked() {
                give_back(&keeper);
                return Ok(None);
            }
            continue;
        };
        wanted = Wanted::Newest;
        let coordinator = &mut ready.coordinator;
        if let Some(before) = before.take().filter(|_| coordinator.committed().0 == 0) {
            coordinator.before_first_tick(before);
        }
        coordinator.keep_log(log.log_lag);
        if let Some(events) = &events {
            coordinator.keep_events(events.domains());
            events.begin(coordinator.epoch(), keeper.leads_for_others());
        }
        coordinator.begin_recovery();
        run.telemetry.watch(coordinator);
        let policy = KeyframePolicy::for_log(log.jet().log_bytes, log.keyframes);
        let mut link =
            LogLink::new(&keeper, waker.clone(), policy, ready.records, ready.needs_keyframe).when_stuck(log.log_stuck);
        let wake = waker.clone();
        link = link.with_settings(streams.watch_settings(move || wake.wake())?).with_events(events.as_ref());
        let ended = driver::run_logged(coordinator, run.config, &mut link, !args.exit, run.stop, |commit, core| {
            if !core.is_recovering() {
                args.report(commit);
                run.telemetry.committed(commit);
            }
        });
        run.telemetry.stands_by();
        match ended {
            // Half of a recovery is no world that anybody should look at.
            Ok(()) if ready.coordinator.is_recovering() => return Ok(None),
            Ok(()) => return Ok(Some(ready.coordinator)),
            Err(RunError::Deposed(why)) => {
                println!("standing by: {why}");
                before = ready.coordinator.take_before_first_tick();
                if run.stop.is_asked() {
                    return Ok(None);
                }
            }
            Err(error) => {
                give_back(&keeper);
                return Err(error.into());
            }
        }
    }
}

/// Recovers the world and begins a reign over it. None: somebody else wrote meanwhile, or the process is asked to
/// stop.
fn reign_over(
    run: &Run<'_>,
    keeper: &Keeper,
    streams: &Streams,
    events: Option<&EventKeeper>,
    wanted: Wanted,
) -> Result<Option<Ready>> {
    let found = recover(streams, wanted, tell())?;
    if let (Found::Nothing { .. }, Some(events)) = (&found, events) {
        events.check_new()?;
    }
    let Some(position) = begin(run, keeper, &found)? else { return Ok(None) };
    if let (Wanted::At(_), Found::World(world)) = (wanted, &found) {
        // The mark is of what was given up, and so are they.
        streams.forget_mark()?;
        for id in &world.damaged {
            let _ = streams.delete_keyframe(*id);
        }
    }
    make(run, found, position.epoch).map(Some)
}

/// A name that no other process ever has.
fn own_name() -> String {
    format!("{}/{}/{:016x}", host(), std::process::id(), RandomState::new().hash_one(0))
}

pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".into() } else { name.trim().to_owned() }
}

/// For how long one waits for the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// As it is told at the start.
    Start,
    /// Who has led stands by, unless nobody leads since there is no server.
    AfterReign,
}

/// Waits until this process leads; false when it is asked to stop before.
fn wait_for_lease(run: &Run<'_>, keeper: &Keeper, patience: Patience) -> Result<bool> {
    let log = &run.args.log;
    let patient = log.standby || patience == Patience::AfterReign;
    let gives_up = patience == Patience::AfterReign && log.log_stuck == WhenStuck::Stop;
    let patience = Duration::from_secs(u64::from(log.lease)) * 3 / 2;
    let mut held = None::<(String, Instant)>;
    let mut alone = Instant::now();
    while !keeper.leads() {
        if run.stop.is_asked() {
            return Ok(false);
        }
        if held.is_some() {
            alone = Instant::now();
        }
        if gives_up && alone.elapsed() > STUCK {
            bail!("the world log: nobody could lead for {} s: is there no server?", STUCK.as_secs());
        }
        // Who is not told to stand by takes over from one that died, and not beside one that lives.
        if let Some((holder, since)) = held.as_ref().filter(|(_, since)| since.elapsed() > patience)
            && !patient
        {
            let waited = since.elapsed().as_secs_f32();
            bail!(
                "{holder} leads the world `{}`, and went on doing so for {waited:.1} s; --standby waits for its end",
                run.config.world
            );
        }
        match keeper.events().recv_timeout(LOOK) {
            Ok(LogEvent::Standby { holder }) => {
                if let Some(holder) = &holder {
                    println!("standing by: {holder} leads the world `{}`", run.config.world);
                }
                held = holder.map(|holder| (holder, Instant::now()));
            }
            Ok(LogEvent::Damaged(what)) => bail!("the world log: {what}"),
            _ => {}
        }
    }
    Ok(true)
}

fn give_back(keeper: &Keeper) {
    keeper.release();
    let until = Instant::now() + Duration::from_secs(2);
    while let Ok(event) = keeper.events().recv_deadline(until) {
        if matches!(event, LogEvent::Released) {
            return;
        }
    }
}

/// Tells how far a recovery is, when it takes long.
fn tell() -> impl FnMut(Progress) {
    let mut told = Instant::now();
    move |progress| {
        if told.elapsed() < Duration::from_secs(1) {
            return;
        }
        told = Instant::now();
        match progress {
            Progress::Keyframe { tick } => println!("recovering: reading the keyframe of tick {tick}"),
            Progress::Records { read, of } => println!("recovering: {read} of {of} records read"),
        }
    }
}

/// Begins a reign behind what was found. None: somebody else wrote meanwhile, or the process is asked to stop.
fn begin(run: &Run<'_>, keeper: &Keeper, found: &Found) -> Result<Option<Position>> {
    let (position, last_seq, base) = match found {
        Found::Nothing { position, last_seq } => (*position, *last_seq, None),
        Found::World(world) => (world.position, world.last_seq, world.base),
    };
    let epoch = position.epoch + 1;
    // Of an earlier reign of this process.
    while keeper.events().try_recv().is_ok() {}
    let nonce = u128::from(RandomState::new().hash_one(2)) << 64 | u128::from(RandomState::new().hash_one(3));
    let body =
        EpochBody { host: host(), pid: std::process::id(), format: RECORDS, wall_ms: crate::roles::epoch_of_now() };
    keeper.begin(Begin { position, last_seq, epoch, nonce, body }, Limits::default(), base);
    let mut stuck = None;
    loop {
        if run.stop.is_asked() {
            return Ok(None);
        }
        if run.args.log.log_stuck == WhenStuck::Stop
            && let Some((_, why)) = stuck.as_ref().filter(|(since, _): &&(Instant, String)| since.elapsed() > STUCK)
        {
            bail!("the world log: it stood still for {} s: {why}", STUCK.as_secs());
        }
        let event = match keeper.events().recv_timeout(LOOK) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => bail!("the thread of the log has ended"),
        };
        match event {
            // One of an earlier reign may have been under way.
            LogEvent::Began { position } if position.epoch >= epoch => return Ok(Some(position)),
            LogEvent::Deposed(why) => {
                println!("standing by: {why}");
                return Ok(None);
            }
            LogEvent::Damaged(what) => bail!("the world log: {what}"),
            LogEvent::Trouble(Some(why)) => {
                println!("the log: {why}; trying again");
                let since = stuck.map_or_else(Instant::now, |(since, _)| since);
                stuck = Some((since, why));
            }
            LogEvent::Trouble(None) => stuck = None,
            _ => {}
        }
    }
}

fn make(run: &Run<'_>, found: Found, epoch: u64) -> Result<Ready> {
    let world = &run.config.world;
    match found {
        Found::Nothing { .. } => {
            let coordinator = run.blueprint.coordinator(run.settings.clone(), epoch)?;
            let entities = coordinator.world().len();
            println!("coordinator of world `{world}`, epoch {epoch}: new, {entities} entities; {}", run.waits);
            Ok(Ready { coordinator, records: VecDeque::new(), needs_keyframe: true })
        }
        Found::World(found) => {
            let Recovered { head, state, world: image, records, cut, .. } = *found;
            let coordinator = run.blueprint.restored(run.settings.clone(), image, &state, epoch)?;
            let (tick, last) = (head.position.tick, records.last().map_or(head.position.tick, |record| record.tick));
            println!(
                "coordinator of world `{world}`, epoch {epoch}: {} entities of tick {tick}, {} records up to tick \
                 {last}; {}",
                head.entities,
                records.len(),
                run.waits
            );
            tell_settings(&run.settings, coordinator.settings());
            Ok(Ready { coordinator, records: records.into(), needs_keyframe: cut })
        }
    }
}

/// What a world was begun with it keeps.
fn tell_settings(given: &Settings, kept: &Settings) {
    if given.seed != kept.seed {
        println!("the world keeps its seed, {}", kept.seed);
    }
    if (given.rate - kept.rate).abs() > f64::EPSILON {
        println!("the world keeps its rate, {} ticks a second", kept.rate);
    }
    if given.rows_per_shard != kept.rows_per_shard {
        println!("the world keeps its shards of {} rows", kept.rows_per_shard);
    }
}
