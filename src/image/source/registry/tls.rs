// SPDX-License-Identifier: MIT
//! Whom to trust: the system's certificates, and those of `CertDir=` (containers-certs.d(5)).

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::super::regular;
use crate::image::store::digest::read_limited;

/// Certificate files are small.
const MAX_FILE: u64 = 1 << 20;

/// What `CertDir=` holds, in PEM.
#[derive(Debug, Default)]
pub struct Certificates {
    /// One authority each.
    pub authorities: Vec<Vec<u8>>,
    /// What this machine shows of itself: certificate and key.
    pub identity: Option<Vec<u8>>,
}

/// Makes TLS usable in this process. Returns what the system trusts, in DER, read once for all clients: it takes as long as
/// to unpack some hundred files.
///
/// # Errors
/// When there is no certificate at all to trust: the clients panic then, even where no encryption is used.
pub fn prepare() -> Result<Vec<Vec<u8>>> {
    // One process-wide provider; a second call finds the first one's and that is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        bail!("there are no CA certificates to trust{why}: install `ca-certificates` or set SSL_CERT_FILE");
    }
    // The clients refuse all of them for one that cannot be used.
    let usable = |certificate: &CertificateDer<'_>| RootCertStore::empty().add(certificate.clone()).is_ok();
    Ok(found.certs.into_iter().filter(usable).map(|certificate| certificate.to_vec()).collect())
}

/// Reads `CertDir=`.
///
/// # Errors
/// When the directory or a file in it cannot be read, or a certificate comes without its key.
pub fn read(dir: &Path) -> Result<Certificates> {
    let mut found = Certificates::default();
    let entries = std::fs::read_dir(dir).with_context(|| format!("reading CertDir=`{}`", dir.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("reading CertDir=`{}`", dir.display()))?.path());
    }
    paths.sort();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension == Some("crt") {
            let before = found.authorities.len();
            found.authorities.extend(blocks(&file(&path)?));
            if found.authorities.len() == before {
                bail!("`{}` has no certificate in it", path.display());
            }
        } else if extension == Some("cert") {
            let key = path.with_extension("key");
            let mut pem = file(&path)?;
            pem.push(b'\n');
            pem.extend(file(&key).with_context(|| format!("the key of `{}`", path.display()))?);
            found.identity = Some(pem);
        }
    }
    Ok(found)
}

fn file(path: &Path) -> Result<Vec<u8>> {
    read_limited(regular(path)?, MAX_FILE, &path.display().to_string())
}

/// The certificates of a bundle.
fn blocks(pem: &[u8]) -> Vec<Vec<u8>> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    text.split_inclusive(END)
        .filter_map(|part| {
            let start = part.find("-----BEGIN CERTIFICATE-----")?;
            part.ends_with(END).then(|| part.get(start..).unwrap_or_default().as_bytes().to_vec())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn directories() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let block = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----");
        write("ca.crt", &format!("comment\n{}\nmore\n{}\n", block("a"), block("b")));
        write("README", "");
        let found = read(dir.path()).unwrap();
        assert_eq!(found.authorities, [block("a").into_bytes(), block("b").into_bytes()]);
        write("client.cert", "c");
        assert!(format!("{:#}", read(dir.path()).unwrap_err()).contains("the key of"));
        write("client.key", "k");
        assert_eq!(read(dir.path()).unwrap().identity.unwrap(), b"c\nk");
        write("empty.crt", "");
        assert!(read(dir.path()).is_err());
        assert!(read(Path::new("/nowhere")).is_err());
    }
}
