//! A world brought back from its stream, against the bytes of the stream alone.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use engine_app::log::jet::{JetSettings, Mode, Streams};
use engine_app::log::link::{KeyframePolicy, LogLink};
use engine_app::log::recovery::{Found, Wanted, recover};
use engine_app::{Settings, Stop, TimeMode, driver};
use engine_net::config::Credentials;
use engine_net::server::PrivateServer;
use futures_util::StreamExt as _;

use super::{Log, MANY, blueprint, server};
use crate::case::{Contender, OURS};

/// Ticks behind the keyframe.
const TICKS: u64 = 10;

pub(super) fn against_reading() -> Result<Vec<Contender>> {
    let server = std::rc::Rc::new(server()?);
    write(&server)?;
    let ours = server.clone();
    let recovered = move |_: u32| {
        let started = Instant::now();
        let streams = Streams::open(&ours.config(), "bench", Mode::Server, settings())?;
        let Found::World(found) = recover(&streams, Wanted::Newest, |_| {})? else { bail!("there is no world") };
        let coordinator = blueprint(0)?.restored(Settings::default(), found.world, &found.state, 9)?;
        let took = started.elapsed();
        if coordinator.world().len() != MANY {
            bail!("{} entities came back", coordinator.world().len());
        }
        Ok(took.as_secs_f64())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let raw = move |_: u32| runtime.block_on(read(&server));
    Ok(vec![
        Contender { name: OURS, sample: Box::new(recovered) },
        Contender { name: "read raw", sample: Box::new(raw) },
    ])
}

fn settings() -> JetSettings {
    JetSettings { log_bytes: 1 << 30, key_bytes: 1 << 30, ..JetSettings::default() }
}

/// A world of one keyframe and some ticks behind it.
fn write(server: &PrivateServer) -> Result<()> {
    let log = Log::begin(server)?;
    let settings = Settings { world: "bench".into(), time: TimeMode::Fast, ticks: Some(TICKS), ..Settings::default() };
    let mut coordinator = blueprint(MANY)?.coordinator(settings, log.epoch)?;
    coordinator.keep_log(8);
    coordinator.begin_recovery();
    let policy = KeyframePolicy { pause: Duration::from_secs(3600), ..KeyframePolicy::default() };
    let mut link = LogLink::new(&log.keeper, log.waker.clone(), policy, VecDeque::new(), true);
    let config = server.config();
    driver::run_logged(&mut coordinator, &config, &mut link, false, &Stop::default(), |_, _| {})?;
    drop(link);
    drop(log.streams);
    Ok(())
}

/// All messages of keyframes and of the log, by a bare client: in batches, as fast as the server sends them.
async fn read(server: &PrivateServer) -> Result<f64> {
    let started = Instant::now();
    let Credentials::UserPassword { user, password } = server.config().credentials else {
        bail!("the private server has no user");
    };
    let options = async_nats::ConnectOptions::with_user_and_password(user, password.expose().to_owned());
    let client = options.connect(server.url()).await?;
    let mut bytes = 0;
    for stream in ["ENGINE_KEY_bench", "ENGINE_LOG_bench"] {
        let mut next = 1_u64;
        loop {
            let inbox = client.new_inbox();
            let mut answers = client.subscribe(inbox.clone()).await?;
            let question = serde_json::json!({ "seq": next, "batch": 256 }).to_string();
            let subject = format!("$JS.API.DIRECT.GET.{stream}");
            client.publish_with_reply(subject, inbox, question.into()).await?;
            let mut got = 0;
            loop {
                let answer = answers.next().await.context("the connection has ended")?;
                if answer.status.is_some() {
                    break;
                }
                let sequence = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Sequence"));
                let sequence = sequence.and_then(|text| text.as_str().parse::<u64>().ok()).context("no sequence")?;
                (next, got, bytes) = (sequence + 1, got + 1, bytes + answer.payload.len());
            }
            if got == 0 {
                break;
            }
        }
    }
    if bytes < MANY * 36 {
        bail!("{bytes} bytes can't be the world");
    }
    Ok(started.elapsed().as_secs_f64())
}
