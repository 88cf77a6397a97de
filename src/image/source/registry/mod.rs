// SPDX-License-Identifier: MIT
//! Reads manifests and blobs from a registry or its mirrors over HTTPS. Plain HTTP is used only on
//! loopback addresses of this machine and where the configuration says so.
//!
//! oci-client provides references. The requests are implemented here (`transport`, `tokens`,
//! `proxy`), with the HTTP client that oci-client uses, because oci-client reads manifests of any
//! size into memory, does not resume interrupted downloads, ignores `Retry-After`, does not renew
//! an expired token, reads only the first challenge of a registry, and leaves redirects and proxies
//! to defaults. Blobs pass through a content-addressed cache and are verified when they are stored
//! and each time they are used. A layer is passed on while it is downloading, unless another
//! endpoint remains that could replace a wrong one. This module must not trust what a registry says
//! about its data.

mod beside;
mod credentials;
mod download;
mod error;
mod proxy;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod transport;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use oci_client::Reference;

use self::beside::Beside;
pub use self::error::remedy;
use self::error::said;
use self::transport::Transport;
use super::growing::Growing;
use super::{Blob, Source, Surroundings};
use crate::config::values::source::RegistryRef;
use crate::image::source::manifest::{BlobRef, MAX_MANIFEST};
use crate::image::store::digest::Digest;
use crate::image::store::local::is_local;
use crate::image::trust::attached::{Attached, Form, gather};
use crate::rootdir::tree::start_writing;

/// One image in a registry.
pub struct Registry<'a> {
    runtime: tokio::runtime::Runtime,
    /// The mirrors, followed by the registry itself.
    endpoints: Vec<Transport<'a>>,
    /// The index of the endpoint that is asked. The endpoints before it have failed.
    current: AtomicUsize,
    /// The failures of the mirrors that are not asked any more, for the message about the registry.
    failures: Mutex<Vec<String>>,
    /// The digest that the reference names.
    pinned: Option<Digest>,
    /// The directory of verified blobs, named by digest.
    cache: PathBuf,
    /// The number of the next download. Downloads need unique names because an image may have a
    /// layer twice.
    serial: AtomicUsize,
    around: Surroundings<'a>,
}

impl std::fmt::Debug for Registry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("current", &self.current).finish_non_exhaustive()
    }
}

impl<'a> Registry<'a> {
    /// Prepares requests to the registry without sending one. The cache and the scratch directory
    /// must be on the same file system.
    ///
    /// # Errors
    /// Returns an error if credentials or certificates cannot be read, or if there is no
    /// certificate to trust.
    pub fn open(parts: &RegistryRef, around: Surroundings<'a>) -> Result<Self> {
        let pinned = parts.digest.as_deref().map(Digest::parse).transpose()?;
        let reference = |host: &str| -> Result<Reference> {
            let (host, repository) = (host.to_owned(), parts.repository.clone());
            Ok(match (&pinned, &parts.tag) {
                (Some(digest), _) => Reference::with_digest(host, repository, digest.to_string()),
                (None, Some(tag)) => Reference::with_tag(host, repository, tag.clone()),
                (None, None) => bail!("the reference has neither tag nor digest"),
            })
        };
        let mirrors = around.registries.mirrors.iter().filter(|(host, _)| *host == parts.registry);
        let mut endpoints = Vec::new();
        for (_, mirror) in mirrors {
            let endpoint = Transport::new(mirror, reference(mirror)?, around, true);
            endpoints.push(endpoint.with_context(|| format!("mirror {mirror}"))?);
        }
        endpoints.push(Transport::new(&parts.registry, reference(&parts.registry)?, around, false)?);
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting the network runtime")?,
            endpoints,
            current: AtomicUsize::new(0),
            failures: Mutex::default(),
            pinned,
            cache: around.cache.to_owned(),
            serial: AtomicUsize::new(0),
            around,
        })
    }

    /// Sends a request to the current endpoint, and to the next ones if it fails.
    async fn ask<T>(&self, request: impl AsyncFn(&Transport<'a>) -> Result<T>) -> Result<T> {
        loop {
            let at = self.current.load(Ordering::Relaxed);
            let Some(endpoint) = self.endpoints.get(at) else { bail!("there is no registry to ask") };
            match request(endpoint).await {
                Err(error) if at + 1 < self.endpoints.len() && !is_local(&error) => {
                    self.around
                        .progress
                        .warning(&format!("mirror {}: {error:#}; going on without it", endpoint.host()));
                    // If several downloads fail together, only one of them moves on to the next
                    // endpoint.
                    let moved = self.current.compare_exchange(at, at + 1, Ordering::Relaxed, Ordering::Relaxed);
                    if moved.is_ok()
                        && let Ok(mut failures) = self.failures.lock()
                    {
                        // The warning above has the request.
                        failures.push(match error::of(&error) {
                            Some(known) => known.clone().of_mirror(endpoint.host()).to_string(),
                            None => format!("the mirror {}: {error:#}", endpoint.host()),
                        });
                    }
                }
                Err(error) if at > 0 && !is_local(&error) => return Err(self.after_mirrors(endpoint, &error)),
                result => return result,
            }
        }
    }

    /// The error of the last endpoint, which begins with the failures of the mirrors.
    fn after_mirrors(&self, endpoint: &Transport<'a>, error: &Error) -> Error {
        let mirrors = self.failures.lock().map(|failures| failures.clone()).unwrap_or_default();
        match error::of(error) {
            Some(known) => Error::new(known.clone().after(&mirrors, endpoint.host())),
            None => anyhow!("{}; {}: {error:#}", mirrors.join("; "), endpoint.host()),
        }
    }

    fn cached(&self, wanted: &BlobRef) -> Option<Blob> {
        let path = self.cache.join(wanted.digest.hex());
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path).ok()?;
        let mut blob = Blob::whole(file).ok()?;
        match blob.verify(wanted) {
            Ok(()) => {
                // The modification time records the last use, by which the cache is pruned.
                let _ = blob.touch();
                Some(blob)
            }
            Err(error) => {
                self.around.progress.warning(&format!("cache: {error}; fetching it again"));
                // If this fails, the rename of the new download replaces the file.
                let _ = std::fs::remove_file(&path);
                None
            }
        }
    }

    /// Returns a verified blob. If the last endpoint sends it, `begun` gets the unverified blob
    /// when the download starts.
    async fn fetch(&self, wanted: &BlobRef, stop: &AtomicBool, begun: &dyn Fn(Blob)) -> Result<Blob> {
        if let Some(blob) = self.cached(wanted) {
            return Ok(blob);
        }
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let path = self.around.scratch.join(format!("blob-{serial}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .context("creating a file for the download")?;
        let growing = Growing::default();
        let growth = growing.growth();
        self.ask(async |endpoint| {
            if self.current.load(Ordering::Relaxed) + 1 == self.endpoints.len() {
                let file = file.try_clone().context("opening the download again")?;
                begun(Blob::growing(file, wanted.size, growth));
            }
            download::download(endpoint, wanted, &file, growth, stop).await
        })
        .await
        .with_context(|| format!("fetching blob {}", wanted.digest))?;
        // The file is not synced, because a file that a power cut damages in the cache is detected
        // and fetched again. But writing starts now, because the later sync of the unpacked image
        // includes this file.
        start_writing(&file);
        std::fs::rename(&path, self.cache.join(wanted.digest.hex())).context("moving the download to the cache")?;
        growing.complete();
        Blob::whole(file)
    }
}

impl Source for Registry<'_> {
    fn top(&mut self) -> Result<Vec<u8>> {
        self.runtime.block_on(self.around.deadline.wait(self.ask(async |endpoint| {
            let bytes = endpoint.manifest(None).await?;
            if let Some(pinned) = &self.pinned {
                let found = Digest::of(&bytes);
                if found != *pinned {
                    return Err(said(format!("sent a manifest with the digest {found} instead of {pinned}")));
                }
            }
            Ok(bytes)
        })))
    }

    fn manifest(&mut self, wanted: &BlobRef) -> Result<Vec<u8>> {
        if wanted.size > MAX_MANIFEST {
            bail!("a manifest of {} bytes is larger than {MAX_MANIFEST}", wanted.size);
        }
        self.runtime.block_on(self.around.deadline.wait(self.ask(async |endpoint| {
            let bytes = endpoint.manifest(Some(&wanted.digest)).await?;
            if Digest::of(&bytes) != wanted.digest {
                bail!("manifest {} does not have the content its digest says", wanted.digest);
            }
            Ok(bytes)
        })))
    }

    fn blob(&mut self, wanted: &BlobRef) -> Result<Blob> {
        self.runtime.block_on(self.around.deadline.wait(self.fetch(wanted, &AtomicBool::new(false), &drop)))
    }

    fn attached(&mut self, digest: &Digest, form: Form) -> Result<Vec<Attached>> {
        gather(&mut Beside(self), digest, form)
    }

    /// Three downloads run at a time in a separate thread, ahead of `take`.
    fn blobs(&mut self, wanted: &[BlobRef], take: &mut dyn FnMut(usize, Blob) -> Result<()>) -> Result<()> {
        let stop = AtomicBool::new(false);
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        let this = &*self;
        let (stop, next) = (&stop, &next);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let worker = async || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(blob) = wanted.get(number) else { return };
                        let begun = |blob| drop(sender.send((number, Arrival::Begun(blob))));
                        let result = this.around.deadline.wait(this.fetch(blob, stop, &begun)).await;
                        let result = result.with_context(|| format!("layer {}", blob.digest));
                        if result.is_err() {
                            stop.store(true, Ordering::Relaxed);
                        }
                        if sender.send((number, Arrival::Ended(result))).is_err() || stop.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                };
                this.runtime.block_on(async { tokio::join!(worker(), worker(), worker()) });
            });
            let result = in_order(&receiver, wanted.len(), take);
            stop.store(true, Ordering::Relaxed);
            result
        })
    }
}

/// A message of a download.
enum Arrival {
    /// The first bytes can be read.
    Begun(Blob),
    /// The download has ended: the blob is complete and verified, or the download has failed.
    Ended(Result<Blob>),
}

/// The messages that have arrived and are not processed yet.
struct Arrivals<'a> {
    receiver: &'a mpsc::Receiver<(usize, Arrival)>,
    begun: BTreeMap<usize, Blob>,
    ended: BTreeMap<usize, Blob>,
}

impl Arrivals<'_> {
    /// Waits for the next message. The first failure that arrives is returned.
    fn next(&mut self) -> Result<()> {
        match self.receiver.recv().context("the downloads ended early")? {
            (number, Arrival::Begun(blob)) => drop(self.begun.insert(number, blob)),
            (number, Arrival::Ended(result)) => drop(self.ended.insert(number, result?)),
        }
        Ok(())
    }
}

/// Passes the blobs to `take` in order, although they arrive in any order.
fn in_order(
    receiver: &mpsc::Receiver<(usize, Arrival)>,
    count: usize,
    take: &mut dyn FnMut(usize, Blob) -> Result<()>,
) -> Result<()> {
    let mut arrivals = Arrivals { receiver, begun: BTreeMap::new(), ended: BTreeMap::new() };
    for number in 0..count {
        let blob = loop {
            // A complete blob takes precedence over its partial file.
            let (ended, begun) = (arrivals.ended.remove(&number), arrivals.begun.remove(&number));
            if let Some(blob) = ended.or(begun) {
                break blob;
            }
            arrivals.next()?;
        };
        let is_partial = blob.growth().is_some();
        let taken = take(number, blob);
        if taken.as_ref().is_err_and(is_local) {
            return taken;
        }
        // Another failure to use a partial file may come from wrong data, which is only known when
        // the download has ended. The error of the download is reported then.
        while is_partial && arrivals.ended.remove(&number).is_none() {
            arrivals.next()?;
        }
        taken?;
    }
    Ok(())
}
