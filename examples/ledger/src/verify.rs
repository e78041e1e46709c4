//! The kill test: in each round every part is killed at a random moment, the server too, while purchases go on.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::house::House;
use crate::{journal, tally};

#[derive(Args)]
pub(crate) struct Verify {
    /// How often every part is killed
    #[arg(long, default_value_t = 6)]
    rounds: u32,
    /// What chance begins with; the same seed kills in the same order, with the same pauses
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Splitmix64: chance that can be had again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pause(&mut self, longest_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(longest_ms)));
    }
}

/// What is killed beside the parts.
const SERVER: &str = "nats-server";

impl Verify {
    pub(crate) fn run(self) -> Result<()> {
        let mut house = House::open()?;
        let mut chance = Chance(self.seed);
        let started = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        wait_for_purchases(&house, 1)?;
        let mut kills = 0;
        for round in 1..=self.rounds {
            let mut victims = house.names();
            victims.push(SERVER);
            while !victims.is_empty() {
                let victim = victims.swap_remove(chance.below(victims.len() as u64) as usize);
                chance.pause(150);
                kill_and_start(&mut house, victim, &mut chance)?;
                kills += 1;
            }
            let wants = journal::read(&house.journal())?;
            let done = wants.values().filter(|want| want.bought.is_some()).count();
            println!(
                "round {round}/{}: {kills} kills, {done} purchases acknowledged, {:.0} s",
                self.rounds,
                started.elapsed().as_secs_f64()
            );
            // A house in which nobody can buy any more would lose nothing.
            wait_for_purchases(&house, done + 20)?;
        }
        house.end_buying(Duration::from_secs(90))?;
        let tally = runtime.block_on(tally::count(&house, Duration::from_secs(180)))?;
        tally.problems.iter().take(20).for_each(|problem| println!("{problem}"));
        println!(
            "{} rounds, {kills} kills, seed {}: {} purchases acknowledged, lost {}, doubled {}; {} posts came twice and were known by their ids",
            self.rounds, self.seed, tally.acknowledged, tally.lost, tally.doubled, tally.posted_again
        );
        if tally.problems.is_empty() { Ok(()) } else { bail!("the ledger does not add up") }
    }
}

fn kill_and_start(house: &mut House, victim: &str, chance: &mut Chance) -> Result<()> {
    if victim == SERVER {
        house.server.kill();
        chance.pause(100);
        return Ok(house.server.restart()?);
    }
    house.kill(victim)?;
    chance.pause(100);
    house.start(victim)
}

fn wait_for_purchases(house: &House, count: usize) -> Result<()> {
    let started = Instant::now();
    loop {
        let wants = journal::read(&house.journal())?;
        let done = wants.values().filter(|want| want.bought.is_some()).count();
        if done >= count {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(60) {
            bail!("{done} purchases where {count} were waited for: nobody sells any more");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
