//! Figures, printed: `cargo test --release -p engine_app --test jet figures -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_app::log::jet::{JetEvent, Kind, Streams};
use engine_net::client;
use futures_util::StreamExt as _;

use crate::place::{append, append_now, fill, log_user, open, server_with, until};

fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3
}

/// One at a time; returns the sequence of the last.
fn one_by_one(streams: &Streams, name: &str, mut end: u64, bytes: usize, count: usize) -> u64 {
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        end = append_now(streams, append(Kind::Tick, vec![7; bytes], end, Some(1)));
        times.push(started.elapsed());
    }
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    println!("{name}: {bytes} bytes, one at a time: p50 {p50:.3} ms, p99 {p99:.3} ms");
    end
}

fn pipelined(streams: &Streams, name: &str, end: u64, bytes: usize, count: u64) -> u64 {
    let started = Instant::now();
    let (mut sent, mut acked) = (0, 0);
    while acked < count {
        while sent < count && sent - acked < 32 {
            streams.publish(append(Kind::Tick, vec![7; bytes], end + sent, Some(1))).unwrap();
            sent += 1;
        }
        until(streams, |event| matches!(event, JetEvent::Acked { .. }).then_some(()));
        acked += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{name}: {bytes} bytes, 32 under way: {:.0}/s, {:.0} MB/s, {:.3} ms each",
        count as f64 / seconds,
        count as f64 * bytes as f64 / seconds / 1e6,
        seconds * 1e3 / count as f64
    );
    end + count
}

/// What the guard costs, in a small log and where the epoch record is far behind.
#[test]
#[ignore = "prints figures"]
fn figures_of_the_guard() {
    for sync in [false, true] {
        let server = server_with(|options| options.sync_always = sync);
        let streams = open(&server);
        let mut end = append_now(&streams, append(Kind::Epoch, "epoch", 0, None));
        for megabytes in [0, 50] {
            for _ in 0..megabytes * 2 {
                end = append_now(&streams, append(Kind::Tick, vec![7; 1 << 19], end, Some(1)));
            }
            for (under_way, guard) in [(1, None), (1, Some(1)), (32, None), (32, Some(1)), (1, None), (32, None)] {
                let count = 1000;
                let started = Instant::now();
                let (mut sent, mut acked) = (0, 0);
                while acked < count {
                    while sent < count && sent - acked < under_way {
                        streams.publish(append(Kind::Tick, vec![7; 1 << 10], end + sent, guard)).unwrap();
                        sent += 1;
                    }
                    until(&streams, |event| matches!(event, JetEvent::Acked { .. }).then_some(()));
                    acked += 1;
                }
                end += count;
                println!(
                    "sync {sync}, {megabytes} MB before, {under_way} under way, guard {guard:?}: {:.3} ms each",
                    started.elapsed().as_secs_f64() * 1e3 / count as f64
                );
            }
        }
    }
}

#[test]
#[ignore = "prints figures"]
fn figures_of_appends() {
    for sync in [false, true] {
        let server = server_with(|options| options.sync_always = sync);
        let streams = open(&server);
        let name = if sync { "disk" } else { "server" };
        let mut end = append_now(&streams, append(Kind::Epoch, "epoch", 0, None));
        for (bytes, count) in [(1 << 10, 2000), (128 << 10, 200)] {
            end = one_by_one(&streams, name, end, bytes, count);
            end = pipelined(&streams, name, end, bytes, 2 * count as u64);
        }
        let baseline = (0..100).map(|_| {
            std::thread::sleep(Duration::from_millis(16));
            let sent = Instant::now();
            end = append_now(&streams, append(Kind::Tick, vec![7; 1 << 10], end, Some(1)));
            sent.elapsed()
        });
        let mut baseline: Vec<_> = baseline.collect();
        let (p50, p99) = (percentile(&mut baseline, 0.5), percentile(&mut baseline, 0.99));
        println!("{name}: 1024 bytes at 60 Hz: p50 {p50:.3} ms, p99 {p99:.3} ms");
        let parts = (0..200).map(|_| Bytes::from(vec![1; 1 << 20]));
        let started = Instant::now();
        let token = streams.write_keyframe(1, 1, parts, move || Some("manifest".into())).unwrap();
        let mut times = Vec::new();
        let mut written = None;
        while written.is_none() {
            let sent = Instant::now();
            let mine = streams.publish(append(Kind::Tick, vec![7; 1 << 10], end, Some(1))).unwrap();
            until(&streams, |event| match event {
                JetEvent::Keyframe { token: of, result, .. } if of == token => {
                    written = Some(result.unwrap());
                    None
                }
                JetEvent::Acked { token, sequence, .. } if token == mine => {
                    end = sequence;
                    Some(())
                }
                _ => None,
            });
            times.push(sent.elapsed());
            // Sixty records a second, as a world does.
            std::thread::sleep(Duration::from_millis(16));
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{name}: keyframe of 200 MiB in {seconds:.2} s; 1024 bytes at 60 Hz meanwhile: p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms",
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.99),
            times[times.len() - 1].as_secs_f64() * 1e3
        );
    }
}

/// One question for everything, bytes counted and dropped: what the server and the client library give.
fn raw(runtime: &tokio::runtime::Runtime, client: &async_nats::Client, last: u64) -> f64 {
    runtime.block_on(async {
        let started = Instant::now();
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.unwrap();
        let question = format!("{{\"seq\":1,\"batch\":{last},\"max_bytes\":{}}}", 1_u64 << 40);
        client.publish_with_reply("$JS.API.DIRECT.GET.ENGINE_LOG_w", inbox, question.into()).await.unwrap();
        let (mut messages, mut bytes) = (0, 0);
        while messages < last {
            let message = answers.next().await.unwrap();
            if message.status.is_some() {
                println!("raw: ended after {messages} of {last}");
                break;
            }
            messages += 1;
            bytes += message.payload.len();
        }
        bytes as f64 / started.elapsed().as_secs_f64() / 1e6
    })
}

#[test]
#[ignore = "prints figures"]
fn figures_of_reading() {
    for bytes in [1 << 10, 64 << 10] {
        let server = server_with(|_| {});
        let streams = open(&server);
        let last = fill(&streams, (50_000_000 / bytes) as u64, bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = engine_net::config::ConnectionConfig { subscription_capacity: 1 << 20, ..log_user(&server) };
        let client = runtime.block_on(async { client::connect(&config, "raw").await.unwrap().client });
        for round in 0..3 {
            println!("{bytes} bytes, round {round}: raw {:.0} MB/s", raw(&runtime, &client, last));
            for parallel in [1, 2, 4, 8] {
                let started = Instant::now();
                let bytes: usize = streams.read_range(1, last, parallel).map(|r| r.unwrap().payload.len()).sum();
                println!("  parallel {parallel}: {:.0} MB/s", bytes as f64 / started.elapsed().as_secs_f64() / 1e6);
            }
        }
    }
}

#[test]
#[ignore = "prints figures"]
fn figures_of_truncation() {
    let server = server_with(|_| {});
    let streams = open(&server);
    let mut end = fill(&streams, 100_000, 1 << 10);
    let started = Instant::now();
    let _ = streams.truncate_log(end - 10);
    let mut times = Vec::new();
    for _ in 0..300 {
        let sent = Instant::now();
        let mine = streams.publish(append(Kind::Tick, vec![7; 1 << 10], end, Some(1))).unwrap();
        let mut over = false;
        end = until(&streams, |event| match event {
            JetEvent::Removed { .. } => {
                over = true;
                None
            }
            JetEvent::Acked { token, sequence, .. } if token == mine => Some(sequence),
            _ => None,
        });
        times.push(sent.elapsed());
        if over {
            break;
        }
    }
    println!(
        "truncation of 100,000 records: {:.2} s or less; appends meanwhile: p50 {:.3} ms, max {:.3} ms",
        started.elapsed().as_secs_f64(),
        percentile(&mut times, 0.5),
        times[times.len() - 1].as_secs_f64() * 1e3
    );
}
