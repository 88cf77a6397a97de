// SPDX-License-Identifier: MIT
//! What an image was accepted by, kept beside it in the store: `signatures.json` in its entry. So a start, a rollback and `fs verify`
//! can repeat the decision without the source, by the policy and the keys of the day.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::attached::Attached;
use super::{Accepted, Judge};
use crate::image::store::digest::{Digest, read_limited};
use crate::image::store::{Imported, sync_dir};

/// The name of the file.
const FILE: &str = "signatures.json";
/// The file was written by us, and is not larger than what may be attached.
const MAX_FILE: u64 = 64 << 20;
/// Larger attachments are not kept. A signature has a few hundred bytes.
const MAX_KEPT: usize = 256 << 10;

/// Writes what is attached into an entry, or into the directory that becomes one.
///
/// # Errors
/// It cannot be written.
pub fn write(directory: &Path, attached: &[Attached]) -> Result<()> {
    let kept: Vec<&Attached> = attached.iter().filter(|one| one.payload.len() <= MAX_KEPT).collect();
    let text = serde_json::to_vec(&kept).context("rendering the signatures")?;
    let (path, new) = (directory.join(FILE), directory.join(".signatures.new"));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    })();
    written.with_context(|| format!("cannot write `{}`", path.display()))?;
    sync_dir(directory)
}

/// What is kept of an entry; nothing where nothing was written.
fn read(directory: &Path) -> Result<Vec<Attached>> {
    let path = directory.join(FILE);
    let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot open `{}`", path.display())),
    };
    let text = read_limited(file, MAX_FILE, "the signatures")?;
    serde_json::from_slice(&text).with_context(|| format!("`{}` is damaged", path.display()))
}

impl Judge {
    /// Decides about what is in the store, by what is kept beside it. A policy with a mistake changes nothing for what is there: a comma
    /// must not take down a machine that runs.
    ///
    /// # Errors
    /// It is not accepted, or what is kept cannot be read.
    pub fn again(&self, found: &Imported) -> Result<Vec<Accepted>> {
        if self.has_problem() {
            return Ok(found.image.accepted.clone());
        }
        self.before()?;
        if !self.asks() {
            return Ok(Vec::new());
        }
        Ok(self.weigh(&Digest::parse(&found.image.manifest)?, &read(&found.dir)?)?)
    }
}
