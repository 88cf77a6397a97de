// SPDX-License-Identifier: MIT
//! Registries, through oci-client: anonymous, over HTTPS with the system's trust store, and over plain HTTP only on this
//! machine's own loopback addresses.
//!
//! Blobs go through a content-addressed cache and are verified on the way in and each time they are taken from it.
//! Must not trust anything a registry says about what it sends.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::io::AsyncWrite;

use super::{Source, verify};
use crate::config::source::RegistryRef;
use crate::image::digest::{Digest, Hasher};
use crate::image::manifest::{ACCEPTED, BlobRef, MAX_MANIFEST};
use crate::image::progress::Progress;

/// One image in a registry.
pub struct Registry<'a> {
    runtime: tokio::runtime::Runtime,
    client: Client,
    reference: Reference,
    /// The digest the user asked for.
    pinned: Option<Digest>,
    /// Verified blobs, by digest.
    cache: PathBuf,
    /// Private to this import; removed with it.
    scratch: PathBuf,
    progress: &'a dyn Progress,
}

impl std::fmt::Debug for Registry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("reference", &self.reference.whole()).finish_non_exhaustive()
    }
}

/// Whether a registry is on this machine, by the name or address as written: nothing is resolved, because a name server
/// must not be able to turn encryption off.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl<'a> Registry<'a> {
    /// Prepares to talk to the registry; does not talk to it yet. `cache` and `scratch` are existing directories of one
    /// file system.
    ///
    /// # Errors
    /// When there are no certificates to trust, or the client cannot be set up.
    pub fn open(parts: &RegistryRef, cache: &Path, scratch: &Path, progress: &'a dyn Progress) -> Result<Self> {
        // One process-wide provider; a second call finds the first one's and that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // oci-client sets up TLS even for plain HTTP, and panics where there is no certificate at all.
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            bail!("there are no CA certificates to trust{why}: install `ca-certificates` or set SSL_CERT_FILE");
        }
        let protocol = if is_loopback(&parts.registry) { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            platform_resolver: None,
            connect_timeout: Some(Duration::from_secs(30)),
            read_timeout: Some(Duration::from_secs(60)),
            user_agent: concat!("sdme-gen/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let pinned = parts.digest.as_deref().map(Digest::parse).transpose()?;
        let (registry, repository) = (parts.registry.clone(), parts.repository.clone());
        let reference = match (&pinned, &parts.tag) {
            (Some(digest), _) => Reference::with_digest(registry, repository, digest.to_string()),
            (None, Some(tag)) => Reference::with_tag(registry, repository, tag.clone()),
            (None, None) => bail!("the reference has neither tag nor digest"),
        };
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting the network runtime")?,
            client: Client::try_from(config).context("setting up the registry client")?,
            reference,
            pinned,
            cache: cache.to_owned(),
            scratch: scratch.to_owned(),
            progress,
        })
    }

    fn fetch_manifest(&self, reference: &Reference) -> Result<Vec<u8>> {
        let request = self.client.pull_manifest_raw(reference, &RegistryAuth::Anonymous, &ACCEPTED);
        let (bytes, _) = self.runtime.block_on(request).map_err(explain)?;
        if bytes.len() as u64 > MAX_MANIFEST {
            bail!("a manifest of {} bytes is larger than {MAX_MANIFEST}", bytes.len());
        }
        Ok(bytes.to_vec())
    }

    fn cached(&self, wanted: &BlobRef) -> Option<File> {
        let path = self.cache.join(wanted.digest.hex());
        let mut file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path).ok()?;
        match verify(&mut file, wanted) {
            Ok(()) => Some(file),
            Err(error) => {
                self.progress.warning(&format!("cache: {error}; fetching it again"));
                // Renaming the new one over it does as well.
                let _ = std::fs::remove_file(&path);
                None
            }
        }
    }

    fn download(&self, wanted: &BlobRef) -> Result<File> {
        let path = self.scratch.join(format!("blob-{}", wanted.digest.hex()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .context("creating a file for the download")?;
        let mut sink = Sink { file, hasher: Hasher::default(), done: 0, wanted, progress: self.progress };
        let digest = wanted.digest.to_string();
        let request = async {
            self.client.store_auth_if_needed(self.reference.resolve_registry(), &RegistryAuth::Anonymous).await;
            self.client.pull_blob(&self.reference, digest.as_str(), &mut sink).await
        };
        self.runtime.block_on(request).map_err(explain)?;
        let Sink { mut file, hasher, done, .. } = sink;
        if done != wanted.size {
            bail!("the registry sent {done} bytes instead of {}", wanted.size);
        }
        let found = hasher.finish();
        if found != wanted.digest {
            bail!("the registry sent something else, with the digest {found}");
        }
        file.seek(SeekFrom::Start(0)).context("rewinding the download")?;
        // Not synced: what a power cut leaves of it in the cache is found damaged and fetched again.
        std::fs::rename(&path, self.cache.join(wanted.digest.hex())).context("moving the download to the cache")?;
        Ok(file)
    }
}

/// Adds what to do about it to the errors users meet.
fn explain(error: OciDistributionError) -> anyhow::Error {
    let advice = match &error {
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            "the registry denies anonymous access, or there is no such image"
        }
        OciDistributionError::ServerError { code: 404, .. } => "the registry has no such image",
        OciDistributionError::ServerError { code: 429, .. } => "the registry limits the rate of requests; try later",
        OciDistributionError::RequestError(_) => "the registry cannot be reached",
        _ => "the registry request failed",
    };
    anyhow!(error).context(advice)
}

impl Source for Registry<'_> {
    fn top(&mut self) -> Result<Vec<u8>> {
        let bytes = self.fetch_manifest(&self.reference)?;
        if let Some(pinned) = &self.pinned {
            let found = Digest::of(&bytes);
            if found != *pinned {
                bail!("the registry sent a manifest with the digest {found} instead of {pinned}");
            }
        }
        Ok(bytes)
    }

    fn manifest(&mut self, wanted: &BlobRef) -> Result<Vec<u8>> {
        if wanted.size > MAX_MANIFEST {
            bail!("a manifest of {} bytes is larger than {MAX_MANIFEST}", wanted.size);
        }
        self.fetch_manifest(&self.reference.clone_with_digest(wanted.digest.to_string()))
    }

    fn blob(&mut self, wanted: &BlobRef) -> Result<File> {
        match self.cached(wanted) {
            Some(file) => Ok(file),
            None => self.download(wanted).with_context(|| format!("fetching blob {}", wanted.digest)),
        }
    }
}

/// Takes a download: writes, hashes, counts, and stops what is longer than announced. Writing blocks; there is
/// nothing else to do on this thread meanwhile.
struct Sink<'a> {
    file: File,
    hasher: Hasher,
    done: u64,
    wanted: &'a BlobRef,
    progress: &'a dyn Progress,
}

impl AsyncWrite for Sink<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut TaskContext<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.len() as u64 > this.wanted.size.saturating_sub(this.done) {
            let text = format!("the registry sends more than the {} bytes announced", this.wanted.size);
            return Poll::Ready(Err(io::Error::other(text)));
        }
        let result = this.file.write_all(buf).map(|()| buf.len());
        if result.is_ok() {
            this.hasher.update(buf);
            this.done += buf.len() as u64;
            this.progress.transfer(this.wanted.digest.short(), this.done, this.wanted.size);
        }
        Poll::Ready(result)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn loopback() {
        for yes in ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:5000"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["docker.io", "localhost.example.org", "10.0.0.1", "[::2]:5000", "127.example.org", "", "xlocalhost"]
        {
            assert!(!is_loopback(no), "{no}");
        }
    }
}
