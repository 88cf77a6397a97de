// SPDX-License-Identifier: MIT
//! Determines the trusted certificates: those of the system, and those of `CertDir=`
//! (containers-certs.d(5)).

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::super::regular;
use crate::image::store::digest::read_limited;

/// Maximum size of a certificate file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The content of a `CertDir=` directory, in PEM.
#[derive(Debug, Default)]
pub struct Certificates {
    /// The certificate authorities, one per item.
    pub authorities: Vec<Vec<u8>>,
    /// The client certificate of this machine, with its key.
    pub identity: Option<Vec<u8>>,
}

/// Prepares TLS in this process. Returns the certificates that the system trusts, in DER. They
/// should be read only once for all clients, because that takes as long as unpacking some hundred
/// files.
///
/// # Errors
/// Returns an error if there is no trusted certificate, because the clients would panic then, even
/// without encryption.
pub fn prepare() -> Result<Vec<Vec<u8>>> {
    // The provider is process-wide. The error of a second call is ignored, because the provider is
    // already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        bail!("there are no CA certificates to trust{why}: install `ca-certificates` or set SSL_CERT_FILE");
    }
    // The clients refuse all certificates if one of them is invalid.
    let usable = |certificate: &CertificateDer<'_>| RootCertStore::empty().add(certificate.clone()).is_ok();
    Ok(found.certs.into_iter().filter(usable).map(|certificate| certificate.to_vec()).collect())
}

/// Reads the files of a `CertDir=` directory.
///
/// # Errors
/// Returns an error if the directory or a file in it cannot be read, or if a client certificate has
/// no key.
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

/// Splits a bundle into its certificates.
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
    fn certificate_directories_are_read() {
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
