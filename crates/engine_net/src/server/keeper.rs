//! A thread that starts the servers.
//!
//! On Linux "end with the parent" means the parent *thread*. A server that was started by a thread which
//! then returns would be killed under everybody's feet, so one thread that never returns starts them all.

use std::{
    process::{Child, Command},
    sync::OnceLock,
};

use crossbeam_channel::{Sender, bounded, unbounded};

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts a program from the keeper's thread.
pub(super) fn spawn(mut command: Command) -> std::io::Result<Child> {
    crate::child::end_with_parent(&mut command);
    let (reply, answer) = bounded(1);
    let gone = |_| std::io::Error::other("the thread that starts servers has ended");
    keeper()?.send((command, reply)).map_err(|_| gone(()))?;
    answer.recv().map_err(|_| gone(()))?
}

fn keeper() -> std::io::Result<&'static Sender<Order>> {
    static KEEPER: OnceLock<Option<Sender<Order>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = unbounded::<Order>();
        let work = move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        };
        std::thread::Builder::new().name("engine-servers".into()).spawn(work).ok().map(|_| orders)
    });
    keeper.as_ref().ok_or_else(|| std::io::Error::other("can't start the thread that starts servers"))
}
