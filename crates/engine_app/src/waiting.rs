//! Waiting for NATS before anything is begun, so that a process can be ended meanwhile.
//!
//! Whoever connects for good does so on a thread that answers when it is connected: asked to end, it would be waited for
//! until somebody lost patience and killed it.

use std::time::Duration;

use engine_net::client;
use engine_net::config::ConnectionConfig;

use crate::driver::Stop;

/// How soon it is seen that one is asked to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Comes back with true when a server answers, and at once when none is waited for; with false when the process is asked
/// to stop.
pub(crate) fn for_server(config: &ConnectionConfig, stop: &Stop) -> anyhow::Result<bool> {
    if !config.wait_for_server {
        return Ok(true);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            connected = client::connect(config, "waiting") => Ok(connected.map(|_| true)?),
            () = asked(stop) => Ok(false),
        }
    })
}

async fn asked(stop: &Stop) {
    while !stop.is_asked() {
        tokio::time::sleep(LOOK).await;
    }
}
