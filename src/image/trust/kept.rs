// SPDX-License-Identifier: MIT
//! Keeps the signatures of an image in its store entry, in `signatures.json`. A start, a rollback
//! and `fs verify` can therefore repeat the decision without the source, with the current policy
//! and keys.

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
/// Maximum size of the file in bytes, which is more than all attachments can have.
const MAX_FILE: u64 = 64 << 20;
/// Maximum size in bytes of an attachment that is kept. A signature has a few hundred bytes.
const MAX_KEPT: usize = 256 << 10;

/// Writes the attachments into an entry, or into the directory that becomes an entry.
///
/// # Errors
/// Returns an error if the file cannot be written.
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

/// Reads the attachments of an entry; there are none without a file.
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
    /// Decides about an image in the store by its kept signatures. An invalid policy does not
    /// change the decision of the import, because a typing error must not stop a running machine.
    ///
    /// # Errors
    /// Returns an error if the image is not accepted, or if the signatures cannot be read.
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
