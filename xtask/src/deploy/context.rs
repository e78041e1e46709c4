//! Whether the Dockerfile gets what it needs, and makes what it promises: which no linter sees.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::read;
use crate::command::{Cmd, root, target_folder};
use crate::report::Outcome;

pub(super) fn check() -> Result<Outcome> {
    let faults = faults_of(&read("Dockerfile")?);
    if !faults.is_empty() {
        bail!("deploy/Dockerfile: {}", faults.join("; "));
    }
    let folder = target_folder()?.join("deploy-context");
    // One of an earlier run may hold what is no longer let in.
    let _ = std::fs::remove_dir_all(&folder);
    copy_context(&folder, &read("Dockerfile.dockerignore")?)?;
    let manifest = folder.join("Cargo.toml");
    Cmd::cargo("metadata --locked --no-deps --format-version 1 --manifest-path")
        .arg(&manifest)
        .output()
        .context("What deploy/Dockerfile.dockerignore lets in is not the whole workspace")?;
    std::fs::remove_dir_all(&folder)?;
    Ok(Outcome::Passed)
}

/// Each image is of nothing, runs as nobody, and asks itself for its health without a shell.
fn faults_of(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = || text.lines().map(str::trim);
    let images: Vec<&str> = lines().filter_map(|line| line.strip_prefix("FROM base AS ")).collect();
    let stages = lines().filter(|line| line.starts_with("FROM ")).count();
    if images.is_empty() || stages != images.len() + 2 || !lines().any(|line| line == "FROM scratch AS base") {
        faults.push("there are other stages than `build`, `base` from scratch, and images from `base`".to_owned());
    }
    let user = lines().find_map(|line| line.strip_prefix("USER ")).unwrap_or_default();
    let is_nobody = user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0));
    if !is_nobody {
        faults.push(format!("USER `{user}` is not a number, or root"));
    }
    for image in images {
        for line in [format!("CMD [\"/{image}\", \"health\"]"), format!("ENTRYPOINT [\"/{image}\"]")] {
            if !lines().any(|known| known.ends_with(&line)) {
                faults.push(format!("the image {image} has no {line}"));
            }
        }
    }
    faults
}

/// Copies the files of the repository that the list lets in: a line for each, by its name at the top.
fn copy_context(folder: &Path, list: &str) -> Result<()> {
    let let_in: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let files = Cmd::new("git").args("ls-files -z --cached --others --exclude-standard").output()?;
    for file in files.split('\0').filter(|file| let_in.iter().any(|name| Path::new(file).starts_with(name))) {
        let (from, to) = (root().join(file), folder.join(file));
        // Deleted, and still listed.
        if !from.is_file() {
            continue;
        }
        std::fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        std::fs::copy(&from, &to).with_context(|| format!("can't copy {file}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "FROM rust AS build\nFROM scratch AS base\nUSER 10001:10001\nFROM base AS a\n\
                        HEALTHCHECK --retries=3 CMD [\"/a\", \"health\"]\nENTRYPOINT [\"/a\"]\n";

    #[test]
    fn what_an_image_must_not_be_is_found() {
        assert_eq!(faults_of(GOOD), [""; 0]);
        let worse = [
            GOOD.replace("scratch", "debian"),
            GOOD.replace("10001:10001", "root"),
            GOOD.replace("10001:10001", "10001:0"),
            GOOD.replace("CMD [\"/a\", \"health\"]", "CMD /a health"),
            GOOD.replace("ENTRYPOINT [\"/a\"]", "ENTRYPOINT /a"),
            GOOD.replace("FROM base AS a", "FROM debian AS a"),
        ];
        for text in worse {
            assert!(!faults_of(&text).is_empty(), "{text}");
        }
    }
}
