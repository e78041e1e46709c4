//! Cases whose contenders tick, perhaps over several processes and a server: each tick is a sample, and beside
//! time it is measured what the ticks take of cores, of the wire and of the allocator.

use anyhow::Result;

use crate::allocator::allocations_of;
use crate::case::{Contender, OURS, Unit};
use crate::figures::{CaseResult, Cost, Measures, PerTick};
use crate::measure::{Effort, Samples};
use crate::meter::{Meter, Reading};

/// As [`Case`](crate::case::Case).
pub(crate) struct TickCase {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    pub(crate) tickers: fn() -> Result<Vec<Ticker>>,
}

/// Who ticks.
pub(crate) struct Ticker {
    pub(crate) name: &'static str,
    pub(crate) run: Run,
    pub(crate) meter: Meter,
}

/// Ticks so many times, one after another.
pub(crate) type Run = Box<dyn FnMut(u32) -> Result<Vec<Tick>>>;

/// What was seen of a tick by who ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tick {
    pub(crate) seconds: f64,
    /// Bytes of payloads that were sent and received.
    pub(crate) bytes: u64,
}

/// Ticks whose allocations are counted; apart from those that are timed, since counting takes time.
const COUNTED: u32 = 8;
/// Ticks of a turn, at the most.
const MOST_TICKS: f64 = 5000.0;

impl Ticker {
    /// Work without a server, as a tick.
    pub(crate) fn of(mut contender: Contender) -> Self {
        let name = contender.name;
        let run = move |times: u32| {
            let mut ticks = Vec::with_capacity(times as usize);
            for _ in 0..times {
                ticks.push(Tick { seconds: (contender.sample)(1)?, bytes: 0 });
            }
            Ok(ticks)
        };
        Self { name, run: Box::new(run), meter: Meter::default() }
    }

    pub(crate) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

impl TickCase {
    /// `alone` leaves out what ours is measured against.
    pub(crate) fn measure(&self, effort: Effort, alone: bool) -> Result<CaseResult> {
        let mut tickers = (self.tickers)()?;
        tickers.retain(|ticker| !alone || ticker.name == OURS);
        let costs = take_turns(&mut tickers, (effort.tick_rounds, effort.turn), self.unit.scale())?;
        Ok(CaseResult { name: self.name, unit: self.unit, costs })
    }
}

/// What is known of one who ticks.
#[derive(Default)]
struct Account {
    seconds: Vec<f64>,
    bytes: u64,
    taken: Reading,
}

/// Measures those who tick in turns. Each round begins with another one.
pub(crate) fn take_turns(
    tickers: &mut [Ticker],
    (rounds, turn): (usize, std::time::Duration),
    scale: f64,
) -> Result<Vec<Cost>> {
    let times = tickers.iter_mut().map(|ticker| ticks_of_a_turn(ticker, turn)).collect::<Result<Vec<u32>>>()?;
    let mut accounts: Vec<Account> = tickers.iter().map(|_| Account::default()).collect();
    for round in 0..rounds {
        for turn in 0..tickers.len() {
            let index = (round + turn) % tickers.len();
            let (ticker, account) = (&mut tickers[index], &mut accounts[index]);
            let before = ticker.meter.read()?;
            let ticks = (ticker.run)(times[index])?;
            account.taken = account.taken.plus(ticker.meter.read()?.since(before));
            account.seconds.extend(ticks.iter().map(|tick| tick.seconds * scale));
            account.bytes += ticks.iter().map(|tick| tick.bytes).sum::<u64>();
        }
    }
    tickers.iter_mut().zip(accounts).map(|(ticker, account)| account.close(ticker)).collect()
}

/// How many ticks take as long as a turn, when all is warm.
fn ticks_of_a_turn(ticker: &mut Ticker, turn: std::time::Duration) -> Result<u32> {
    // The first tick waits for processes, and fills caches and what instances keep; memory is mapped a while later.
    (ticker.run)(3)?;
    let mut times = 2;
    for _ in 0..2 {
        let fastest = (ticker.run)(times)?.iter().map(|tick| tick.seconds).fold(f64::INFINITY, f64::min);
        times = (turn.as_secs_f64() / fastest.max(1e-9)).clamp(1.0, MOST_TICKS) as u32;
    }
    Ok(times)
}

impl Account {
    fn close(self, ticker: &mut Ticker) -> Result<Cost> {
        let ticks = self.seconds.len() as f64;
        let (cpu, server) = self.taken.per_tick(ticks);
        let payload = (self.bytes > 0).then_some(self.bytes as f64 / ticks);
        let measures = Measures { cpu, payload, server, allocated: Some(allocated(ticker)?) };
        Ok(Cost { who: ticker.name, samples: Samples::new(self.seconds), measures: Some(measures) })
    }
}

/// What a tick allocates in this process, and in the others.
fn allocated(ticker: &mut Ticker) -> Result<[PerTick; 2]> {
    ticker.meter.count_allocations()?;
    let (ran, here) = allocations_of(|| (ticker.run)(COUNTED));
    // The list that the ticks came in.
    drop(ran?);
    let there = ticker.meter.allocations()?;
    Ok([here, there].map(|allocations| PerTick::of(allocations, f64::from(COUNTED))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::repeated;

    #[test]
    fn each_tick_is_a_sample() {
        let mut tickers = [Ticker::of(repeated("a", 1, || drop(std::hint::black_box(vec![1_u8; 100]))))];
        let costs = take_turns(&mut tickers, (2, std::time::Duration::from_micros(200)), 1e6).unwrap();
        let cost = &costs[0];
        assert!(cost.who == "a" && cost.samples.len() >= 2);
        let [here, there] = cost.measures.unwrap().allocated.unwrap();
        assert!(here.calls >= 1.0, "each tick allocates once");
        assert_eq!(there, PerTick::default(), "there are no others");
    }
}
