//! A pool of threads for jobs in the coordinator's process.
//!
//! Waking a thread costs tens of microseconds, so the thread that runs the tick works too, and with one
//! thread there is no pool at all: jobs run where they are started.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use engine_system::JobError;

use crate::local::{LocalJob, LocalResult};

/// A job that was run: its number, and what it brought.
pub type Done = (u32, Result<LocalResult, JobError>);

/// Threads that run jobs.
#[derive(Debug)]
pub struct Pool {
    jobs: Option<Sender<LocalJob>>,
    take: Receiver<LocalJob>,
    done: Receiver<Done>,
    done_here: Sender<Done>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads`, of which one is the caller's; 0 is as many as there are cores.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let threads = if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads };
        let (jobs, take) = unbounded::<LocalJob>();
        let (done_here, done) = unbounded();
        let workers = (1..threads).map(|number| {
            let (take, done) = (take.clone(), done_here.clone());
            let work = move || {
                for job in take {
                    let number = job.number();
                    if done.send((number, job.run())).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new()
                .name(format!("engine-job-{number}"))
                .spawn(work)
                .expect("a thread can be started")
        });
        let threads = workers.collect();
        Self { jobs: Some(jobs), take, done, done_here, threads }
    }

    /// Queues a job.
    pub fn start(&self, job: LocalJob) {
        if let Some(jobs) = &self.jobs {
            let sent = jobs.send(job);
            debug_assert!(sent.is_ok(), "the pool itself holds a receiver");
        }
    }

    /// Runs one queued job on the caller's thread, if there is one.
    pub fn work(&self) -> bool {
        let Ok(job) = self.take.try_recv() else { return false };
        let number = job.number();
        let sent = self.done_here.send((number, job.run()));
        debug_assert!(sent.is_ok(), "the pool itself holds the receiver");
        true
    }

    /// Jobs that are done.
    #[must_use]
    pub fn done(&self) -> &Receiver<Done> {
        &self.done
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        // Nobody takes what is still queued: those jobs are dropped with the channel.
        while self.take.try_recv().is_ok() {}
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
