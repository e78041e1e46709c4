//! The thread for everything that is large or rare: recovery, keyframes, truncation.
//!
//! It has a connection of its own, so that an append never waits behind megabytes. What is written here may be
//! sent twice or late without harm, so the client library may reconnect by itself.

use std::{future::Future, sync::Arc, thread, thread::JoinHandle};

use crossbeam_channel::bounded;
use engine_net::{
    client::{self, ConnectError, Connection},
    config::ConnectionConfig,
};
use tokio::{runtime::Handle, sync::oneshot};

use super::{
    JetError, JetSettings,
    api::{Api, Complaints},
};

/// The thread, from other threads.
#[derive(Debug)]
pub(super) struct Bulk {
    pub(super) api: Api,
    pub(super) connection: Connection,
    handle: Handle,
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bulk {
    pub(super) fn start(config: &ConnectionConfig, settings: &JetSettings) -> Result<Arc<Self>, JetError> {
        let failed = |reason: String| JetError::Connect(ConnectError::Thread { reason });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let handle = runtime.handle().clone();
        let complaints = Complaints::default();
        let (close, closed) = oneshot::channel::<()>();
        let (report, started) = bounded(1);
        let (connect_with, heard) = (config.clone(), complaints.clone());
        let run = move || {
            runtime.block_on(async {
                let connected =
                    client::connect_with(&connect_with, "log-bulk", move |event| drop(heard.hear(&event))).await;
                let up = connected.is_ok();
                if report.send(connected).is_ok() && up {
                    let _ = closed.await;
                }
            });
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("engine-log-bulk".into()).spawn(run);
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        let connection = started.recv().map_err(|_| failed("it ended before it was connected".into()))??;
        let api = Api::new(connection.client.clone(), complaints, settings.answer_timeout, config);
        Ok(Arc::new(Self { api, connection, handle, close: Some(close), thread: Some(thread) }))
    }

    /// Where tasks of the thread are started.
    pub(super) fn runtime(&self) -> &Handle {
        &self.handle
    }

    /// Starts something on the thread.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }

    /// Does something on the thread and waits for it. Not to be called from a runtime's thread.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, JetError>> + Send + 'static,
    ) -> Result<T, JetError> {
        let (done, result) = bounded(1);
        self.spawn(async move {
            let _ = done.send(work.await);
        });
        // The sender is dropped with the runtime's tasks.
        result.recv().unwrap_or(Err(JetError::Closed))
    }

    /// Bytes that fit into a message beside its headers.
    pub(super) fn payload_limit(&self) -> usize {
        self.api.client.max_payload().saturating_sub(HEADERS)
    }
}

/// What headers may take; the server's limit counts them.
pub(super) const HEADERS: usize = 1024;

impl Drop for Bulk {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            // The last owner may be a task of the thread itself, which can't wait for its own end.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
