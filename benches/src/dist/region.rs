//! Memory that two processes have mapped: as a floor, it is as plain as it can be. Nothing protects one side from
//! the other.

#![expect(unsafe_code, reason = "mapped memory has no safe face; this one is copied in and out by range")]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;

use anyhow::{Context, Result, bail};

/// A mapped file in memory.
pub(crate) struct Region {
    file: File,
    start: NonNull<u8>,
    len: usize,
}

impl Region {
    /// A new one, of zeros that are there already: the first touch of a page is not what is measured. It is
    /// gone with its processes, since it has no name.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let folder = std::path::Path::new("/dev/shm");
        let file = if folder.is_dir() { tempfile::tempfile_in(folder) } else { tempfile::tempfile() };
        let file = file.context("there is no file in memory to be had")?;
        file.set_len(len as u64).with_context(|| format!("no {len} bytes of memory for a file"))?;
        let mut region = Self::map(file)?;
        region.touch();
        Ok(region)
    }

    /// One of another process, by the name that this gives it.
    pub(crate) fn open(path: &str) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path);
        let mut region = Self::map(file.with_context(|| format!("can't open {path}"))?)?;
        region.touch();
        Ok(region)
    }

    /// As which it can be opened, as long as it is alive.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    fn map(file: File) -> Result<Self> {
        let len = usize::try_from(file.metadata()?.len())?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a mapping at a place that the kernel chooses touches nothing that is there already.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len.max(1), access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        match NonNull::new(start.cast()) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED.cast() => Ok(Self { file, start, len }),
            _ => bail!("{len} bytes can't be mapped: {}", std::io::Error::last_os_error()),
        }
    }

    fn touch(&mut self) {
        for at in (0..self.len).step_by(4096) {
            // SAFETY: `at` is inside of the mapping. Other processes may write there too: volatile accesses of
            // bytes, so that whatever is read is just a byte.
            unsafe {
                let byte = self.start.as_ptr().add(at);
                byte.write_volatile(byte.read_volatile());
            }
        }
    }

    /// Copies so many bytes from one place of it to another one.
    pub(crate) fn copy_within(&mut self, from: usize, to: usize, len: usize) {
        assert!(from.max(to).checked_add(len).is_some_and(|end| end <= self.len), "outside of the region");
        // SAFETY: both ranges are inside of the mapping, which lives as long as this. The other process leaves
        // them alone meanwhile: it waits for a message.
        unsafe { std::ptr::copy(self.start.as_ptr().add(from), self.start.as_ptr().add(to), len) }
    }

    /// Copies bytes out of it.
    pub(crate) fn copy_to(&self, from: usize, bytes: &mut [u8]) {
        assert!(from.checked_add(bytes.len()).is_some_and(|end| end <= self.len), "outside of the region");
        // SAFETY: as above; `bytes` are ours, and no part of the region.
        unsafe { std::ptr::copy_nonoverlapping(self.start.as_ptr().add(from), bytes.as_mut_ptr(), bytes.len()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody points into it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len.max(1)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_are_the_same_memory() {
        let (mut one, mut other) = (Region::new(10_000).unwrap(), [7_u8; 4]);
        let mut second = Region::open(&one.path()).unwrap();
        one.copy_to(9_000, &mut other);
        assert_eq!(other, [0; 4]);
        second.copy_within(0, 9_000, 1_000);
        one.copy_within(9_000, 0, 1_000);
    }
}
