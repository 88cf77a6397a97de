// SPDX-License-Identifier: MIT
//! Downloads one blob from a registry to a file. The blob is hashed and counted while it arrives,
//! and an interrupted download is resumed.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow};
use reqwest::{StatusCode, header};

use super::super::growing::Growth;
use super::error::said;
use super::transport::{Failure, Transport, connection};
use crate::image::source::manifest::BlobRef;
use crate::image::store::digest::Hasher;

/// Number of bytes that must arrive for a broken connection not to count as a failure, so that a
/// registry that sends only a little each time cannot keep an import busy forever.
const PROGRESS: u64 = 1 << 20;

struct Partial<'a> {
    file: &'a File,
    growth: &'a Growth,
    hasher: Hasher,
    done: u64,
}

impl Partial<'_> {
    fn start_over(&mut self) -> Result<()> {
        (self.hasher, self.done) = (Hasher::default(), 0);
        self.growth.reached(0);
        self.file.set_len(0).context("starting over")?;
        self.file.seek(SeekFrom::Start(0)).context("starting over").map(drop)
    }
}

/// Downloads a blob to `file`, and reports the progress to `growth`. The blob is verified at the
/// end.
///
/// # Errors
/// Returns an error if the blob cannot be downloaded, does not match its digest or size, or if
/// `stop` is set.
pub async fn download(
    from: &Transport<'_>,
    wanted: &BlobRef,
    file: &File,
    growth: &Growth,
    stop: &AtomicBool,
) -> Result<()> {
    let mut partial = Partial { file, growth, hasher: Hasher::default(), done: 0 };
    partial.start_over()?;
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
    let found = partial.hasher.finish();
    if found != wanted.digest {
        return Err(said(format!("sent something else, with the digest {found}")));
    }
    Ok(())
}

async fn attempt(
    from: &Transport<'_>,
    wanted: &BlobRef,
    partial: &mut Partial<'_>,
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
            // The registry does not support ranges, so the download starts from the beginning.
            partial.start_over()?;
            if answer.status() == StatusCode::PARTIAL_CONTENT {
                return Err(Failure::Passing(said("sent another part than was asked for"), None));
            }
        }
    }
    while let Some(chunk) = answer.chunk().await.map_err(connection)? {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Final(anyhow!("the import has failed")));
        }
        if chunk.len() as u64 > wanted.size - partial.done {
            return Err(said(format!("sends more than the {} bytes announced", wanted.size)).into());
        }
        partial.file.write_all(&chunk).context("writing the download")?;
        partial.hasher.update(&chunk);
        partial.done += chunk.len() as u64;
        partial.growth.reached(partial.done);
        from.progress().transfer(wanted.digest.short(), partial.done, wanted.size);
    }
    if partial.done < wanted.size {
        let error = said(format!("sent {} bytes instead of {}", partial.done, wanted.size));
        return Err(Failure::Passing(error, None));
    }
    Ok(())
}
