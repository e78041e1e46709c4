//! Power cuts: what was acknowledged is on the disk, or it is not.
//!
//! The servers' streams are on a [disk of our own](crate::volume). At the cut the server stands still, and the disk's
//! blocks are copied as they are: what the server or the kernel still held in memory is not in the copy. A second
//! server serves the copy, and the world is recovered from it. Everything that was answered before the cut has to
//! be there, with `disk`. With `server` it need not be; how much is gone is counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use engine::app::log::jet::{Mode, Streams};
use engine::app::log::recovery::{Found, Wanted, recover};
use engine::app::record::Input;

use crate::client::{Answers, Clients};
use crate::cluster::Cluster;
use crate::log::{self, Messages};
use crate::random::Random;
use crate::servers::{Servers, Wish};
use crate::soak::{PATIENCE, wait_for_tick};
use crate::volume::Volume;
use crate::world::World;

/// Room for the log's streams.
const DISK_MIB: u64 = 320;

/// What images of one durability held.
#[derive(Debug, Default)]
struct Images {
    images: usize,
    /// Answered commands at the cuts, all together, and those that were not there.
    answered: u64,
    lost: u64,
    /// Announced ticks likewise.
    ticks: u64,
    ticks_lost: u64,
    /// Images from which no world could be recovered, and why.
    refused: Vec<String>,
}

/// Cuts the power again and again, then a few times in the mode that doesn't promise to survive that.
pub(crate) fn run(world: &World, images: usize, seed: u64, json: bool) -> Result<bool> {
    if let Err(why) = Volume::create(16) {
        println!("power cuts are SKIPPED: no image can be mounted here, which takes root and loop devices: {why:#}");
        return Ok(true);
    }
    let kept = of_mode(&World { durability: "disk", ..world.clone() }, images, seed)?;
    tell("disk", &kept, json);
    let counter = of_mode(&World { durability: "server", ..world.clone() }, images.div_ceil(4), seed)?;
    tell("server", &counter, json);
    Ok(kept.lost == 0 && kept.ticks_lost == 0 && kept.refused.is_empty())
}

fn tell(mode: &str, images: &Images, json: bool) {
    let Images { images: cuts, answered, lost, ticks, ticks_lost, refused } = images;
    println!(
        "durability {mode}: {cuts} power cuts; {lost} of {answered} answered commands lost, {ticks_lost} of {ticks} \
         announced ticks; {} images were not recovered from",
        refused.len()
    );
    for why in refused.iter().take(5) {
        println!("  {why}");
    }
    if json {
        println!(
            "{}",
            serde_json::json!({
                "durability": mode, "power_cuts": cuts, "answered": answered, "lost": lost, "ticks": ticks,
                "ticks_lost": ticks_lost, "refused": refused,
            })
        );
    }
}

fn of_mode(world: &World, images: usize, seed: u64) -> Result<Images> {
    let sync = world.durability == "disk";
    let volume = Volume::create(DISK_MIB)?;
    let wish = Wish { sync, store: Some(volume.path()), cluster: false };
    let mut cluster = Cluster::start(world, &wish, 1)?;
    wait_for_tick(&mut cluster, 5)?;
    let config = cluster.undisturbed()?;
    let along = Streams::open(&config, "main", Mode::Server, world.jet())?;
    let connections = (0..3).map(|_| cluster.outside()).collect::<Result<_>>()?;
    let clients = Clients::start(connections, seed)?;
    let (mut random, mut found) = (Random::new(seed), Images::default());
    let mut messages = Messages::new();
    for number in 0..images {
        rest(&mut cluster, &clients, random.between(200, 1500))?;
        // The log so far; what an image holds has to go on from there.
        log::read_on(&along, &mut messages)?;
        cluster.servers.pause(0);
        let image = volume.cut();
        // What is answered while the server stands still, it said before.
        let answers = clients.answers();
        let announced = cluster.said.look().ticks.clone();
        cluster.servers.resume(0);
        let image = image?;
        found.images += 1;
        look_at(world, sync, &image, &messages, &answers, &announced, &mut found)
            .with_context(|| format!("image {number}"))?;
    }
    Ok(found)
}

/// Lets commands be answered, at least one.
fn rest(cluster: &mut Cluster, clients: &Clients, milliseconds: u64) -> Result<()> {
    let (begun, before) = (Instant::now(), clients.answered());
    while begun.elapsed() < Duration::from_millis(milliseconds) || clients.answered() == before {
        crate::stop::check()?;
        cluster.look_after()?;
        if begun.elapsed() > PATIENCE {
            bail!("no command is answered any more:\n{}", cluster.complaints());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Serves a copy of the disk again, recovers the world, and counts what is missing.
fn look_at(
    world: &World,
    sync: bool,
    image: &Volume,
    before: &Messages,
    answers: &Answers,
    announced: &BTreeMap<u64, String>,
    found: &mut Images,
) -> Result<()> {
    let answered: u64 = answers.iter().map(|client| client.len() as u64).sum();
    found.answered += answered;
    found.ticks += announced.len() as u64;
    let mut records = Vec::new();
    match read_image(world, sync, image, before) {
        Ok(read) => records = read,
        Err(why) => found.refused.push(format!("{why:#}")),
    }
    let known: BTreeMap<u64, String> = records.iter().map(|record| (record.tick, record.hash.to_string())).collect();
    let commands: BTreeMap<&str, u64> = records
        .iter()
        .flat_map(|record| record.inputs.iter().map(move |input| (record.tick, input)))
        .filter_map(|(tick, input)| match input {
            Input::Command { id, .. } => Some((&id[..], tick)),
            Input::Arrived { .. } | Input::Refused { .. } | Input::Setting { .. } | Input::Given { .. } => None,
        })
        .collect();
    let is_there = |id: &str, tick: u64| commands.get(id) == Some(&tick);
    found.lost += answers.iter().flatten().filter(|answer| !is_there(&answer.id, answer.done.tick)).count() as u64;
    found.ticks_lost += announced.iter().filter(|(tick, hash)| known.get(tick) != Some(hash)).count() as u64;
    Ok(())
}

/// The ticks of the log as it is in an image. Its beginning may be truncated: it was read before.
fn read_image(
    world: &World,
    sync: bool,
    image: &Volume,
    before: &Messages,
) -> Result<Vec<engine::app::record::TickRecord>> {
    let wish = Wish { sync, store: Some(image.path()), cluster: false };
    let servers = Servers::start(&wish)?;
    let config = servers.config(format!("nats://127.0.0.1:{}", servers.ports()[0]));
    let streams = Streams::open(&config, "main", Mode::Server, world.jet())?;
    if matches!(recover(&streams, Wanted::Newest, |_| ())?, Found::Nothing { .. }) {
        bail!("there is no world in it");
    }
    let tail = streams.tail()?;
    // Only what was truncated is taken from the earlier reading.
    let mut messages: Messages = before.iter().take(tail.first.saturating_sub(1) as usize).cloned().collect();
    log::read_on(&streams, &mut messages)?;
    Ok(log::ticks(&messages)?.0)
}
