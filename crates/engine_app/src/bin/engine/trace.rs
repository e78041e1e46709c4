//! `engine trace`: what the time of ticks is spent on, as a file and as a table.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use engine_app::tool::trace::chrome::ChromeTrace;
use engine_app::tool::trace::summary::Summary;
use engine_net::messages::status::SimState;
use engine_net::messages::trace::{MAX_TICKS, TickTrace, TraceRequest};
use serde_json::json;

use crate::Common;
use crate::link::Link;
use crate::output::{print, print_json};

/// How often the coordinator is asked whether there is more.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Records ticks.
#[derive(Args, Debug)]
#[command(after_help = "\
The coordinator writes down what the time of its next ticks is spent on, for as long as it is asked. The table says what
the ticks waited for, from the commit back to the beginning: a system that computes for long beside another one that takes
longer costs nothing, and isn't in it. The phases are those of docs/operations.md: wait, ship, queue, compute, return,
merge; `between` is the coordinator, doing something else.

The file is opened by https://ui.perfetto.dev and by chrome://tracing: one track for the coordinator and its critical
path, some for the batches of each instance, and arrows from what was merged to what had waited for it.

Examples:
  engine trace                          a second of a world at 60 Hz, as a table
  engine trace --ticks 10 --out trace.json
  engine trace --ticks 600 --json | jq '.path[0]'")]
pub(crate) struct TraceCommand {
    /// How many ticks
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TICKS)))]
    ticks: u32,
    /// Write all of it to this file; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl TraceCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let link = Link::open(&self.common).await?;
        let create = |path: &PathBuf| File::create(path).with_context(|| format!("can't write {}", path.display()));
        let file = self.out.as_ref().map(create).transpose()?;
        let mut file = file.map(|file| ChromeTrace::new(BufWriter::new(file)));
        let (mut summary, mut left_out) = (Summary::default(), 0);
        self.gather(&link, |tick| {
            summary.add(tick);
            left_out += tick.left_out;
            file.as_mut().map_or(Ok(()), |file| file.add(tick))
        })
        .await?;
        file.map(ChromeTrace::finish).transpose()?;
        if left_out > 0 {
            eprintln!("{left_out} batches were too many to be told of: the path may miss some");
        }
        if self.common.json {
            let path = summary
                .shares()
                .into_iter()
                .map(|(share, ns, ticks)| json!({ "who": share.who, "what": share.what, "ns": ns, "ticks": ticks }));
            let path: Vec<_> = path.collect();
            return print_json(&json!({ "ticks": summary.ticks(), "median_ns": summary.median(), "path": path }));
        }
        print(&summary.table())?;
        self.out.map_or(Ok(()), |path| print(&format!("written to {}\n", path.display())))
    }

    /// Asks until all ticks are there; each of them is seen in order.
    async fn gather(&self, link: &Link, mut see: impl FnMut(&TickTrace) -> std::io::Result<()>) -> anyhow::Result<()> {
        let mut request = TraceRequest { from: None, ticks: self.ticks };
        let (mut epoch, mut heard) = (None, Instant::now());
        loop {
            let page = link.trace(&request).await?;
            if *epoch.get_or_insert(page.epoch) != page.epoch {
                bail!("another coordinator leads the world now, and was not asked: give the command again");
            }
            for tick in &page.ticks {
                see(tick).context("the file can't be written")?;
            }
            let Some(next) = page.next else { return Ok(()) };
            let done = page.ticks.len() as u32;
            request = TraceRequest { from: Some(next), ticks: request.ticks.saturating_sub(done).max(1) };
            if done > 0 {
                heard = Instant::now();
            } else if heard.elapsed() > self.common.timeout {
                bail!("no tick within {:?}: {}", self.common.timeout, self.why(link).await);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Why there are no ticks.
    async fn why(&self, link: &Link) -> String {
        match link.status().await.map(|status| status.state) {
            Ok(SimState::Paused) => "the world is paused; `engine resume` lets it run".to_owned(),
            Ok(SimState::Waiting { what }) => format!("it waits for {what}"),
            Ok(SimState::Stopping) => "the world has ended".to_owned(),
            Ok(SimState::Running) => "its ticks take longer: try a longer --timeout".to_owned(),
            Err(error) => format!("{error:#}"),
        }
    }
}
