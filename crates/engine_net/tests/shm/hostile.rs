//! Instances that try to do harm.
#![expect(unsafe_code, reason = "maps memory in ways that are to fail")]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::ptr;

use engine_net::shm::Output;
use rustix::fs::FallocateFlags;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

use crate::columns::{Host, Place, place_of};

/// The descriptors of a process's shared memory, opened again to be written: what its user may always do.
fn open(process: &str, name: &str) -> File {
    let directory = format!("/proc/{process}/fd");
    let is_it = |path: &std::path::PathBuf| {
        std::fs::read_link(path).is_ok_and(|link| link.to_string_lossy().contains(&format!("memfd:{name}")))
    };
    let path = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).find(is_it).unwrap();
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn map(file: &File, bytes: usize, access: ProtFlags) -> rustix::io::Result<*mut std::ffi::c_void> {
    // SAFETY: a new map, which nothing points to.
    unsafe { rustix::mm::mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, file, 0) }
}

/// Tries to change what it may only read, in every way there is; says what worked.
pub(crate) fn attack(coordinator: &str) -> String {
    let columns = open(coordinator, "engine-columns");
    let length = columns.metadata().unwrap().len();
    let mapped = map(&columns, 4096, ProtFlags::READ).unwrap();
    // SAFETY: of our own map, which nothing points to.
    let made_writable = unsafe { rustix::mm::mprotect(mapped, 4096, MprotectFlags::READ | MprotectFlags::WRITE) };
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let zero = FallocateFlags::ZERO_RANGE;
    let attempts = [
        ("write", (&columns).write(b"evil").is_ok()),
        ("write at", columns.write_at(b"evil", 0).is_ok()),
        ("map to write", map(&columns, 4096, ProtFlags::READ | ProtFlags::WRITE).is_ok()),
        ("make writable", made_writable.is_ok()),
        ("cut off", columns.set_len(0).is_ok()),
        ("make longer", columns.set_len(length + 4096).is_ok()),
        ("take pages away", rustix::fs::fallocate(&columns, punch, 0, length).is_ok()),
        ("fill with zeros", rustix::fs::fallocate(&columns, zero, 0, length).is_ok()),
    ];
    let worked: Vec<&str> = attempts.iter().filter(|attempt| attempt.1).map(|attempt| attempt.0).collect();
    format!("worked: {}", worked.join(", "))
}

/// Writes to its output without end, takes its pages away, and tries to cut it off.
pub(crate) fn scribble(output: &mut Output) -> String {
    let bytes = output.bytes();
    let memory = open("self", "engine-output");
    let cut_off = memory.set_len(0).is_ok() || memory.set_len(bytes * 2).is_ok();
    std::thread::spawn(move || {
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        for byte in (1..=2).cycle() {
            memory.write_all_at(&vec![byte; bytes as usize], 0).unwrap();
            rustix::fs::fallocate(&memory, punch, bytes / 4, bytes / 2).unwrap();
        }
    });
    format!("cut off: {cut_off}")
}

#[test]
fn an_instance_can_only_read_columns() {
    let host = Host::start();
    let (world, entities) = host.world(10_000);
    let hash = |world: &World| world.tables()[0].column(0).bytes().to_vec();
    let before = hash(&world);
    let mut instance = host.instance();
    assert_eq!(instance.ask(&format!("attack {}", std::process::id())), "worked: ");
    assert_eq!(hash(&world), before);
    assert_eq!(*world.get::<Place>(entities[5]).unwrap(), Place { x: 5 });
    let (offset, bytes) = place_of(&world);
    assert_eq!(instance.ask(&format!("column {offset} {bytes}")), (9_999 * 5_000).to_string());
    instance.end();
}

#[test]
fn output_that_changes_while_it_is_read_does_no_harm() {
    let host = Host::start();
    let mut instance = host.instance();
    assert_eq!(instance.ask("scribble"), "cut off: false");
    let mut output = vec![0; host.output.bytes() as usize];
    let mut seen = [false; 3];
    while !seen.iter().all(|seen| *seen) {
        host.output.read(0, &mut output).unwrap();
        for byte in &output {
            seen[usize::from(*byte)] = true;
        }
    }
    instance.kill();
    host.output.read(0, &mut output).unwrap();
}

use engine_component::World;
