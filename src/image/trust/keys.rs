// SPDX-License-Identifier: MIT
//! Public keys and the verification of signatures.
//!
//! rustls-webpki verifies signatures with ring, as for HTTPS. It refuses a signature whose
//! algorithm does not match the key.

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;
use webpki::ring::{ECDSA_P256_SHA256, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256};

use crate::diag::Fault;
use crate::image::store::digest::Digest;

/// Maximum size of a key file in bytes.
pub const MAX_KEY: u64 = 64 << 10;

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// The supported algorithms, each with the hash for which it is used: ECDSA with P-256 and P-384,
/// Ed25519, and RSA (PKCS#1 v1.5).
const ALGORITHMS: [(Algorithm, Hash); 5] = [
    (ECDSA_P256_SHA256, Hash::Any),
    (ECDSA_P384_SHA256, Hash::Sha256),
    (ECDSA_P384_SHA384, Hash::OfKey),
    (ED25519, Hash::Any),
    (RSA_PKCS1_2048_8192_SHA256, Hash::Any),
];

/// The hash function of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256 for every key: signatures of containers-signature(5) and of cosign's simple signing.
    Sha256,
    /// The hash function that belongs to the key: sigstore bundles.
    OfKey,
    /// Both are the same for this algorithm.
    Any,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The path of the key, or its name in the policy.
    pub name: String,
    /// `SHA256:` and the digest of the SPKI, which does not depend on the file format.
    pub fingerprint: String,
    spki: SubjectPublicKeyInfoDer<'static>,
}

impl Key {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// Returns an error if the data is not a public key, or if its kind is not supported.
    pub fn read(name: &str, pem: &[u8]) -> Result<Self> {
        let read = || {
            let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem);
            let spki = spki.ok().context("it is not a public key in PEM (BEGIN PUBLIC KEY)")?.into_owned();
            let fingerprint = format!("SHA256:{}", Digest::of(&spki).hex());
            let key = Self { name: name.to_owned(), fingerprint, spki };
            let usable = ALGORITHMS.iter().any(|(algorithm, _)| {
                let found = key.try_with(*algorithm, b"", b"");
                found == Err(webpki::Error::InvalidSignatureForPublicKey)
            });
            if !usable {
                bail!(Fault::new(
                    "it is a key of an unknown kind",
                    "use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more"
                ));
            }
            Ok(key)
        };
        read().with_context(|| format!("the key {name} cannot be used"))
    }

    fn try_with(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), webpki::Error> {
        RawPublicKeyEntity::try_from(&self.spki)?.verify_signature(algorithm, message, signature)
    }

    /// Whether this key has made the signature of a message.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8], hash: Hash) -> bool {
        let mut fitting = ALGORITHMS.iter().filter(|(_, with)| *with == Hash::Any || *with == hash);
        fitting.any(|(algorithm, _)| self.try_with(*algorithm, message, signature).is_ok())
    }
}
