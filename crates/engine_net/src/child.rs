//! The two things about child processes that the standard library can't do: to end with the parent, and to
//! receive a signal.
//!
//! ```
//! # #[cfg(unix)]
//! # fn main() -> std::io::Result<()> {
//! use std::process::Command;
//!
//! let mut command = Command::new("sleep");
//! engine_net::child::end_with_parent(command.arg("1000"));
//! let mut child = command.spawn()?;
//! engine_net::child::signal(&child, libc::SIGTERM)?;
//! assert!(!child.wait()?.success());
//! # Ok(())
//! # }
//! # #[cfg(not(unix))]
//! # fn main() {}
//! ```
#![cfg_attr(unix, expect(unsafe_code, reason = "prctl and kill are C functions"))]

use std::process::Command;

/// Makes the child die when the thread that starts it dies, even by SIGKILL.
#[cfg(target_os = "linux")]
pub fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = std::process::id();
    // SAFETY: the closure runs between fork and exec and calls only prctl and getppid, which are
    // async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have died before the request was in force.
            if libc::getppid().cast_unsigned() != parent {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

/// Elsewhere a killed parent leaves its children behind.
#[cfg(not(target_os = "linux"))]
pub fn end_with_parent(_command: &mut Command) {}

/// Sends a signal to a child that has not been waited for: the number of one that has may be another's by now.
///
/// # Errors
/// What the system says: the child has ended, or there is no such signal.
#[cfg(unix)]
pub fn signal(child: &std::process::Child, signal: i32) -> std::io::Result<()> {
    // SAFETY: kill touches no memory. The number is that of our own child: it was not waited for (the
    // caller holds it), so the system hasn't given it to anybody else.
    let result = unsafe { libc::kill(child.id().cast_signed(), signal) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
