//! Orders a second, each durable when it is answered, beside raw publishing to a stream with the same number under way:
//! on one server, in turns.
//!
//! ```sh
//! cargo run --release -p yard --example throughput
//! ```

use std::future::Future;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::Config;
use engine::math::vec2;
use engine::net::child;
use engine::net::server::{PrivateServer, ServerOptions};
use engine::service::Link;
use engine::service::command::Client;
use tokio::task::JoinSet;
use yard::Go;

/// Messages are received on one thread and dropped on another, which mimalloc does well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROBOTS: u32 = 1000;
/// Of each measurement; the median of three counts.
const SECONDS: f64 = 3.0;
/// As many bytes as an outcome of a service has, headers included.
const RAW_BYTES: usize = 700;

fn main() -> engine::Result {
    if std::env::args().nth(1).as_deref() == Some("coordinator") {
        return yard::app().main();
    }
    let server = PrivateServer::start(&ServerOptions { jetstream: true, ..ServerOptions::default() })?;
    let mut world = Command::new(std::env::current_exe()?);
    world.args(["coordinator", "--durability", "server", "--rate", "1000", "--local", "obey", "--local", "drive"]);
    world.envs(server.config().to_environment()).stdin(Stdio::null()).stdout(Stdio::null());
    child::end_with_parent(&mut world);
    let mut world = world.spawn()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(&server));
    world.kill()?;
    world.wait()?;
    measured
}

async fn measure(server: &PrivateServer) -> engine::Result {
    let link = Link::open(&server.config(), "bench").await?;
    let raw = Config { name: "RAW".into(), subjects: vec!["raw.*".into()], ..Config::default() };
    link.jet().create_stream(raw).await?;
    let client = Client::new(&link);
    println!("{:>10} {:>10} {:>12} {:>10} {:>10}", "under way", "", "a second", "p50", "p99");
    for under_way in [64, 256, 1024] {
        let (mut raws, mut orders) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            raws.push(one(under_way, |number| publish(link.clone(), number)).await);
            orders.push(one(under_way, |number| order(client.clone(), number)).await);
        }
        let [raw, order] = [raws, orders].map(median);
        for (name, figure) in [("raw", &raw), ("orders", &order)] {
            let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
            let (p50, p99) = (ms(figure.p50), ms(figure.p99));
            println!("{under_way:>10} {name:>10} {:>12.0} {p50:>10} {p99:>10}", figure.per_second);
        }
        println!("{:>10} orders are {:.2} of raw publishing", "", order.per_second / raw.per_second);
    }
    Ok(())
}

async fn publish(link: Link, number: u32) -> bool {
    let sent = link.jet().publish(format!("raw.{}", number % ROBOTS), vec![7; RAW_BYTES].into()).await;
    match sent {
        Ok(acknowledged) => acknowledged.await.is_ok(),
        Err(_) => false,
    }
}

async fn order(client: Client, number: u32) -> bool {
    let to = vec2((number % 40) as f32, 0.0);
    client.command(&Go { robot: number % ROBOTS, to }).await.is_ok()
}

/// One measurement.
struct Figure {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// Does something for a while, so many at a time.
async fn one<F: Future<Output = bool> + Send + 'static>(under_way: u32, work: impl Fn(u32) -> F) -> Figure {
    let started = Instant::now();
    let (mut tasks, mut took, mut number) = (JoinSet::new(), Vec::new(), 0);
    let timed = |work: F| async move {
        let begun = Instant::now();
        assert!(work.await, "something was refused");
        begun.elapsed()
    };
    while started.elapsed().as_secs_f64() < SECONDS {
        while tasks.len() < under_way as usize {
            tasks.spawn(timed(work(number)));
            number += 1;
        }
        took.extend(tasks.join_next().await.into_iter().flatten());
    }
    let elapsed = started.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or_default();
    Figure { per_second: took.len() as f64 / elapsed, p50: at(0.5), p99: at(0.99) }
}

fn median(mut figures: Vec<Figure>) -> Figure {
    figures.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    figures.swap_remove(figures.len() / 2)
}
