//! The same world, bit for bit, in every topology.

use std::time::Duration;

use super::cluster::{Cluster, Process, SYSTEMS, golden, in_process};

const MANY: u32 = 20_000;
const FEW: u32 = 4_000;

#[test]
fn threads_do_not_change_the_world() {
    assert_eq!(in_process(MANY, 1), golden(MANY));
    assert_eq!(in_process(MANY, 2), golden(MANY));
}

fn instances_of_each(count: usize) {
    let cluster = Cluster::new(FEW);
    let coordinator = cluster.coordinator();
    let _instances: Vec<Process> = SYSTEMS
        .iter()
        .flat_map(|system| (0..count).map(|number| cluster.instance(system, number)).collect::<Vec<_>>())
        .collect();
    assert_eq!(coordinator.hash(), golden(FEW));
}

#[test]
fn one_instance_of_each_system() {
    instances_of_each(1);
}

#[test]
fn two_instances_of_each_system() {
    instances_of_each(2);
}

#[test]
fn three_instances_of_each_system() {
    instances_of_each(3);
}

#[test]
fn five_instances_of_each_system() {
    instances_of_each(5);
}

#[test]
fn systems_that_start_before_the_coordinator() {
    let cluster = Cluster::new(FEW);
    let _instances: Vec<Process> = SYSTEMS.iter().map(|system| cluster.instance(system, 0)).collect();
    let coordinator = cluster.coordinator();
    assert_eq!(coordinator.hash(), golden(FEW));
}

/// Nobody else can do the work of the only instance: the tick waits for another one, and goes on with it.
#[test]
fn the_only_instance_of_a_system_is_killed_and_replaced() {
    let cluster = Cluster::new(FEW);
    let mut coordinator = cluster.coordinator();
    let mut instances: Vec<Process> = SYSTEMS.iter().map(|system| cluster.instance(system, 0)).collect();
    for round in 1..4 {
        coordinator.wait_for_tick(60 * round);
        drop(instances.remove(0));
        instances.insert(0, cluster.instance("steer", round as usize));
    }
    assert_eq!(coordinator.hash(), golden(FEW));
}

#[test]
fn a_server_that_goes_away_and_comes_back() {
    let mut cluster = Cluster::new(FEW);
    let mut coordinator = cluster.coordinator();
    let _instances: Vec<Process> = SYSTEMS
        .iter()
        .flat_map(|system| (0..2).map(|number| cluster.instance(system, number)).collect::<Vec<_>>())
        .collect();
    for tick in [60, 160] {
        coordinator.wait_for_tick(tick);
        cluster.server.restart().unwrap();
    }
    assert_eq!(coordinator.hash(), golden(FEW));
}

#[test]
fn instances_that_are_killed_paused_join_and_leave() {
    let cluster = Cluster::new(FEW);
    let mut coordinator = cluster.coordinator();
    let mut instances: Vec<Process> = SYSTEMS
        .iter()
        .flat_map(|system| (0..2).map(|number| cluster.instance(system, number)).collect::<Vec<_>>())
        .collect();
    // One dies in the middle of everything.
    coordinator.wait_for_tick(40);
    drop(instances.remove(0));
    // One stands still for two seconds; the clock is what is tested here.
    coordinator.wait_for_tick(80);
    instances[2].signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(2));
    instances[2].signal(libc::SIGCONT);
    // One comes, and one leaves politely.
    coordinator.wait_for_tick(120);
    instances.push(cluster.instance("steer", 7));
    coordinator.wait_for_tick(160);
    instances[4].signal(libc::SIGTERM);
    assert!(instances[4].0.wait().unwrap().success());
    assert_eq!(coordinator.hash(), golden(FEW));
}
