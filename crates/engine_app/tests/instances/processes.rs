//! A coordinator and instances, each with threads and connections of its own, over a real nats-server.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use engine_app::coordinator::Coordinator;
use engine_app::{App, Settings, Stop, driver, epoch_of_now};
use engine_component::WorldHash;
use engine_net::config::ConnectionConfig;
use engine_net::server::{PrivateServer, ServerOptions};
use engine_system::runner::{InstanceOptions, run_instance};

/// An instance in threads of its own; it leaves when it is dropped.
pub(crate) struct Instance {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Instance {
    pub(crate) fn start(config: &ConnectionConfig, app: App, system: &str, name: &str) -> Self {
        Self::start_with(config, app, system, InstanceOptions { name: Some(name.into()), ..InstanceOptions::default() })
    }

    pub(crate) fn start_with(config: &ConnectionConfig, app: App, system: &str, options: InstanceOptions) -> Self {
        let (stop, config) = (Stop::default(), config.clone());
        let options = InstanceOptions { stop: stop.flag(), ..options };
        let mut systems = app.into_systems().unwrap();
        systems.retain(|known| known.descriptor().name == system);
        let thread = std::thread::spawn(move || run_instance(&config, systems, options).unwrap());
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop.flag().store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Runs an app's world with so many instances of each system; the hash after its last tick, and the world.
pub(crate) fn over_nats(app: impl Fn() -> App, settings: Settings, each: usize) -> (WorldHash, Coordinator) {
    let server = PrivateServer::start(&ServerOptions::default()).unwrap();
    let config = ConnectionConfig { world: settings.world.clone(), ..server.config() };
    let options = app().option_values(&[]);
    let (mut coordinator, _) = app().into_coordinator(settings, &options, |_| false, epoch_of_now()).unwrap();
    let instances: Vec<Instance> = app()
        .system_names()
        .iter()
        .flat_map(|system| (0..each).map(move |number| (system.clone(), format!("{system}-{number}"))))
        .map(|(system, name)| Instance::start(&config, app(), &system, &name))
        .collect();
    driver::run(&mut coordinator, Some(&config), false, &Stop::default(), |_, _| {}).unwrap();
    drop(instances);
    (coordinator.committed().1, coordinator)
}
