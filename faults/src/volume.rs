//! A small disk of the harness's own: a file with a file system, mounted through a loop device. It can be full, and
//! its power can fail.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::folder;

/// A mounted image; dropping it unmounts and removes it.
#[derive(Debug)]
pub(crate) struct Volume {
    image: PathBuf,
    mounted: PathBuf,
    // The mount ends before the folder goes.
    _folder: tempfile::TempDir,
}

const BALLAST: &str = "ballast";

impl Volume {
    /// A disk of so many mebibytes.
    ///
    /// # Errors
    /// Where images can't be mounted: that takes root and loop devices.
    pub(crate) fn create(mebibytes: u64) -> Result<Self> {
        let folder = folder::new()?;
        let image = folder.path().join("image");
        File::create(&image)?.set_len(mebibytes << 20)?;
        // Tables that are written later would be writes that nobody asked for.
        let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        tool(Command::new("mkfs.ext4").args(options).arg(&image))?;
        Self::mount(folder, image)
    }

    /// What a disk is when the power fails now: exactly the blocks that were written. Whoever writes has to stand
    /// still meanwhile; what the kernel writes by itself is noticed, and the copy made again.
    pub(crate) fn cut(&self) -> Result<Self> {
        let folder = folder::new()?;
        let image = folder.path().join("image");
        for _ in 0..50 {
            let before = self.written()?;
            tool(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&image))?;
            if self.written()? == before {
                return Self::mount(folder, image);
            }
        }
        bail!("the disk is never still: no copy of one moment could be made")
    }

    fn mount(folder: tempfile::TempDir, image: PathBuf) -> Result<Self> {
        let mounted = folder.path().join(folder::MOUNT);
        fs::create_dir(&mounted)?;
        tool(Command::new("mount").args(["-o", "loop,noatime"]).arg(&image).arg(&mounted))?;
        Ok(Self { image, mounted, _folder: folder })
    }

    /// Sectors that were written to the device, and requests that are on their way.
    fn written(&self) -> Result<(String, String)> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let place = self.mounted.to_string_lossy();
        let device = mounts.lines().filter_map(|line| line.split_once(' ')).find(|(_, rest)| rest.starts_with(&*place));
        let (device, _) = device.context("the disk is not mounted any more")?;
        let name = device.trim_start_matches("/dev/");
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat"))?;
        let fields: Vec<&str> = stat.split_whitespace().collect();
        let field = |index: usize| fields.get(index).map(|field| (*field).to_owned()).unwrap_or_default();
        Ok((field(6), field(8)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mounted
    }

    /// Fills it to the last block.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.mounted.join(BALLAST))?;
        for size in [1 << 20, 4096, 512] {
            let block = vec![0x5a_u8; size];
            while ballast.write_all(&block).is_ok() {}
        }
        // Blocks are given out when they are written to the disk.
        let _ = ballast.sync_all();
        Ok(())
    }

    pub(crate) fn make_room(&self) -> Result<()> {
        match fs::remove_file(self.mounted.join(BALLAST)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let unmounted = tool(Command::new("umount").arg(&self.mounted));
        if unmounted.is_err() {
            // Somebody still has a file open: it is unmounted when that is closed.
            let _ = tool(Command::new("umount").arg("--lazy").arg(&self.mounted));
        }
    }
}

fn tool(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("can't start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
