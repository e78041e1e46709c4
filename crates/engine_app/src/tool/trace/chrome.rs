//! Recorded ticks in the Trace Event format, which Perfetto and chrome://tracing open: the critical path on a track by
//! itself, the coordinator, and each instance with as many tracks as it has batches at once.

use std::collections::BTreeMap;
use std::io::{self, Write};

use engine_net::messages::trace::TickTrace;
use serde_json::{Value, json};

use super::spans::{Spans, What};
use super::summary::{share_of, step_name};
use crate::phases::Phase;

/// The process of the coordinator; instances have the numbers behind it.
const COORDINATOR: usize = 1;
/// Tracks of the coordinator.
const PATH: usize = 1;
const TICKS: usize = 2;
const LOCAL: usize = 3;

/// A process, and a track of it.
type Track = (usize, usize);
/// From and to when, in nanoseconds since the beginning of the first tick.
type Times = (u64, u64);

/// Writes a file, tick by tick.
pub struct ChromeTrace<W: Write> {
    out: W,
    begun: bool,
    /// The beginning of the first tick.
    origin: Option<u64>,
    arrows: u64,
    /// The process of each instance.
    processes: BTreeMap<String, usize>,
    /// Of each process, until when each of its tracks is taken.
    tracks: BTreeMap<usize, Vec<u64>>,
}

impl<W: Write> ChromeTrace<W> {
    /// Begins a file.
    pub fn new(out: W) -> Self {
        let (processes, tracks) = (BTreeMap::new(), BTreeMap::new());
        Self { out, begun: false, origin: None, arrows: 0, processes, tracks }
    }

    /// Adds a tick; they come in order.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn add(&mut self, tick: &TickTrace) -> io::Result<()> {
        if !self.begun {
            self.name(COORDINATOR, None, "coordinator")?;
            self.name(COORDINATOR, Some(PATH), "critical path")?;
            self.name(COORDINATOR, Some(TICKS), "tick")?;
        }
        let origin = *self.origin.get_or_insert(tick.began_ns);
        let began = tick.began_ns.saturating_sub(origin);
        let spans = Spans::of(tick);
        let path = spans.critical_path();
        let mut critical = vec![false; spans.spans.len()];
        path.iter().filter_map(|segment| segment.span).for_each(|span| critical[span] = true);
        let number = tick.tick;
        let args = json!({ "tick": number, "left_out": tick.left_out });
        self.span((COORDINATOR, TICKS), &format!("tick {number}"), "tick", (began, began + tick.took_ns), args)?;
        for segment in &path {
            let share = share_of(tick, &spans, segment);
            let name = format!("{} {}", share.who, share.what);
            let at = (began + segment.from, began + segment.to);
            self.span((COORDINATOR, PATH), &name, "critical", at, json!({ "tick": number }))?;
        }
        let mut ends = vec![None; spans.spans.len()];
        let lanes = self.lanes(tick, began)?;
        for (place, what) in spans.whats.iter().enumerate() {
            let span = &spans.spans[place];
            let at = (began + span.from, began + span.to);
            let (track, name) = match *what {
                What::Step(step) => ((COORDINATOR, TICKS), step_name(step).to_owned()),
                What::Merge(node) => {
                    ((COORDINATOR, TICKS), format!("merge {}", tick.nodes.get(node).map_or("", |node| &node.system)))
                }
                What::Batch(batch, phase) => {
                    let node = tick.nodes.get(tick.batches[batch].node as usize);
                    let system = node.map_or("", |node| &node.system);
                    (lanes[batch], format!("{system} {}", phase.name()))
                }
            };
            ends[place] = Some((track, at));
            let category = if critical[place] { "critical" } else { "tick" };
            let mut args = json!({ "tick": number, "critical": critical[place] });
            if let What::Batch(batch, _) = *what {
                let batch = &tick.batches[batch];
                (args["job"], args["attempt"], args["jobs"]) =
                    (batch.job.into(), batch.attempt.into(), batch.jobs.into());
            }
            if at.0 < at.1 {
                self.span(track, &name, category, at, args)?;
            }
        }
        self.arrows(tick, &spans, &ends)
    }

    /// From merges to what waited for them.
    fn arrows(&mut self, tick: &TickTrace, spans: &Spans, ends: &[Option<(Track, Times)>]) -> io::Result<()> {
        for first in &spans.batches {
            let merges = spans.spans[*first]
                .causes
                .iter()
                .filter(|cause| matches!(spans.whats[**cause], What::Merge(_) | What::Batch(_, Phase::Merge)));
            let Some(cause) = merges.max_by_key(|cause| spans.spans[**cause].to) else { continue };
            let (Some((from, (_, at))), Some((to, (begins, _)))) = (ends[*cause], ends[*first]) else { continue };
            self.arrows += 1;
            let arrow = |phase: &str, (process, track): Track, at: u64| {
                json!({
                    "ph": phase, "id": self.arrows, "name": "rows", "cat": "waits for", "bp": "e",
                    "pid": process, "tid": track, "ts": microseconds(at), "args": { "tick": tick.tick },
                })
            };
            let both = [arrow("s", from, at), arrow("f", to, begins.max(at))];
            both.iter().try_for_each(|event| self.event(event))?;
        }
        Ok(())
    }

    /// A track for each batch, on which no other one is at the same time.
    fn lanes(&mut self, tick: &TickTrace, began: u64) -> io::Result<Vec<Track>> {
        let mut order: Vec<usize> = (0..tick.batches.len()).collect();
        order.sort_by_key(|place| tick.batches[*place].at[0]);
        let mut lanes = vec![(COORDINATOR, LOCAL); tick.batches.len()];
        for place in order {
            let batch = &tick.batches[place];
            let instance = batch.instance.and_then(|instance| tick.instances.get(instance as usize));
            let (process, first) = match instance {
                Some(name) => (self.process(name)?, 1),
                None => (COORDINATOR, LOCAL),
            };
            let (from, to) = (began + batch.at[0], began + batch.at[6]);
            let tracks = self.tracks.entry(process).or_default();
            let free = tracks.iter().position(|taken| *taken <= from);
            let track = free.unwrap_or(tracks.len());
            if free.is_none() {
                tracks.push(0);
            }
            tracks[track] = to;
            lanes[place] = (process, first + track);
            if free.is_none() {
                let name = if instance.is_some() { "batches" } else { "systems of this process" };
                self.name(process, Some(first + track), &format!("{name} {}", track + 1))?;
            }
        }
        Ok(lanes)
    }

    fn process(&mut self, instance: &str) -> io::Result<usize> {
        if let Some(process) = self.processes.get(instance) {
            return Ok(*process);
        }
        let process = COORDINATOR + 1 + self.processes.len();
        self.processes.insert(instance.to_owned(), process);
        self.name(process, None, &format!("instance {instance}"))?;
        Ok(process)
    }

    fn name(&mut self, process: usize, track: Option<usize>, name: &str) -> io::Result<()> {
        let what = if track.is_some() { "thread_name" } else { "process_name" };
        self.event(
            &json!({ "ph": "M", "name": what, "pid": process, "tid": track.unwrap_or(0), "args": { "name": name } }),
        )
    }

    fn span(
        &mut self,
        (process, track): Track,
        name: &str,
        category: &str,
        (from, to): Times,
        args: Value,
    ) -> io::Result<()> {
        let mut event = json!({
            "ph": "X", "name": name, "cat": category, "pid": process, "tid": track,
            "ts": microseconds(from), "dur": microseconds(to - from), "args": args,
        });
        if category == "critical" {
            event["cname"] = "terrible".into();
        }
        self.event(&event)
    }

    fn event(&mut self, event: &Value) -> io::Result<()> {
        let before = if self.begun { ",\n" } else { "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" };
        self.begun = true;
        write!(self.out, "{before}{event}")
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        let end = if self.begun { "\n]}\n" } else { "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[]}\n" };
        self.out.write_all(end.as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::spans::tests::tick;
    use super::*;

    fn written(ticks: &[TickTrace]) -> Vec<Value> {
        let mut file = ChromeTrace::new(Vec::new());
        ticks.iter().for_each(|tick| file.add(tick).unwrap());
        let file: Value = serde_json::from_slice(&file.finish().unwrap()).unwrap();
        file["traceEvents"].as_array().unwrap().clone()
    }

    #[test]
    fn tracks_have_names_and_spans_do_not_cross() {
        let events = written(&[tick(), TickTrace { tick: 8, began_ns: 1000, ..tick() }]);
        let of = |kind: &str| events.iter().filter(|event| event["ph"] == kind).cloned().collect::<Vec<_>>();
        let names: Vec<String> =
            of("M").iter().map(|event| event["args"]["name"].as_str().unwrap().to_owned()).collect();
        let expected =
            ["coordinator", "critical path", "tick", "instance a", "batches 1", "batches 2", "instance b", "batches 1"];
        assert_eq!(names, expected);
        let mut by_track: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
        for span in of("X") {
            let track = (span["pid"].as_u64().unwrap(), span["tid"].as_u64().unwrap());
            let (from, took) = (span["ts"].as_f64().unwrap(), span["dur"].as_f64().unwrap());
            by_track.entry(track).or_default().push((from, from + took));
        }
        for (track, spans) in by_track {
            for (one, other) in spans.iter().flat_map(|one| spans.iter().map(move |other| (one, other))) {
                let crosses = one.0 + 1e-9 < other.0 && other.0 + 1e-9 < one.1 && one.1 + 1e-9 < other.1;
                assert!(!crosses, "{track:?}: {one:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_critical_path_is_marked_and_arrows_lead_to_who_waited() {
        let events = written(&[tick()]);
        let path: Vec<&Value> =
            events.iter().filter(|event| event["pid"] == 1 && event["tid"] == PATH && event["ph"] == "X").collect();
        let total: f64 = path.iter().map(|event| event["dur"].as_f64().unwrap()).sum();
        assert!((total - 1.0).abs() < 1e-9, "a microsecond, as the tick: {total}");
        let compute = events.iter().find(|event| event["name"] == "strike compute" && event["pid"] == 3).unwrap();
        assert_eq!((&compute["cat"], &compute["args"]["critical"]), (&json!("critical"), &json!(true)));
        let arrows: Vec<(f64, f64)> = ["s", "f"]
            .map(|kind| events.iter().find(|event| event["ph"] == kind).unwrap())
            .map(|event| (event["ts"].as_f64().unwrap(), event["pid"].as_f64().unwrap()))
            .to_vec();
        assert_eq!(arrows, [(0.52, 1.0), (0.525, 3.0)], "from the merge of steer to the batch of strike");
    }

    #[test]
    fn a_file_without_a_tick_is_one_too() {
        assert!(written(&[]).is_empty());
    }
}
