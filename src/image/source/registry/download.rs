// SPDX-License-Identifier: MIT
//! One blob from a registry to a file: hashed and counted as it comes, taken up again where it broke off.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::{StatusCode, header};

use super::transport::{Failure, Transport, connection};
use crate::image::digest::Hasher;
use crate::image::manifest::BlobRef;

/// What must have come for a broken connection not to count as a failure: a registry that sends a little each time
/// does not keep an import busy for ever.
const PROGRESS: u64 = 1 << 20;

struct Partial {
    file: File,
    hasher: Hasher,
    done: u64,
}

/// Downloads a blob to `path`; gives the file, verified.
///
/// # Errors
/// When it cannot be had, is not what it should be, or `stop` is set.
pub async fn download(from: &Transport<'_>, wanted: &BlobRef, path: &Path, stop: &AtomicBool) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .context("creating a file for the download")?;
    let mut partial = Partial { file, hasher: Hasher::default(), done: 0 };
    let mut failures = 0;
    loop {
        let before = partial.done;
        match attempt(from, wanted, &mut partial, stop).await {
            Ok(()) => break,
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(error, wait)) => {
                if partial.done >= before + PROGRESS {
                    failures = 0;
                }
                if failures >= from.retries() {
                    return Err(error);
                }
                from.pause(&error, wait, failures).await;
                failures += 1;
            }
        }
    }
    let Partial { file, hasher, .. } = partial;
    let found = hasher.finish();
    if found != wanted.digest {
        bail!("the registry sent something else, with the digest {found}");
    }
    Ok(file)
}

async fn attempt(
    from: &Transport<'_>,
    wanted: &BlobRef,
    partial: &mut Partial,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    if partial.done == wanted.size && partial.done > 0 {
        return Ok(());
    }
    let mut answer = from.blob(&wanted.digest, partial.done).await?;
    if partial.done > 0 {
        let range = answer.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let goes_on = range.is_some_and(|range| range.starts_with(&format!("bytes {}-", partial.done)));
        if answer.status() != StatusCode::PARTIAL_CONTENT || !goes_on {
            // The registry does not do ranges: once more from the beginning.
            partial.file.set_len(0).context("starting over")?;
            partial.file.seek(SeekFrom::Start(0)).context("starting over")?;
            (partial.hasher, partial.done) = (Hasher::default(), 0);
            if answer.status() == StatusCode::PARTIAL_CONTENT {
                return Err(Failure::Passing(anyhow!("the registry sent another part than was asked for"), None));
            }
        }
    }
    while let Some(chunk) = answer.chunk().await.map_err(connection)? {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Final(anyhow!("the import has failed")));
        }
        if chunk.len() as u64 > wanted.size - partial.done {
            return Err(Failure::Final(anyhow!("the registry sends more than the {} bytes announced", wanted.size)));
        }
        partial.file.write_all(&chunk).context("writing the download")?;
        partial.hasher.update(&chunk);
        partial.done += chunk.len() as u64;
        from.progress().transfer(wanted.digest.short(), partial.done, wanted.size);
    }
    if partial.done < wanted.size {
        let error = anyhow!("the registry sent {} bytes instead of {}", partial.done, wanted.size);
        return Err(Failure::Passing(error, None));
    }
    Ok(())
}
