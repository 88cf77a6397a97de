// SPDX-License-Identifier: MIT
//! Tests of decisions about images. openssl and cosign have made the signatures; the code under
//! test can only verify them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::attached::{SIGNATURE, SIMPLE_SIGNING};
use super::keys::Hash;
use super::*;
use crate::config::trust::policy::PolicyFile;

/// Creates a key pair, and returns the public key.
pub fn key(directory: &Path, name: &str, arguments: &[&str]) -> Key {
    let path = directory.join(name);
    let mut openssl = Command::new("openssl");
    openssl.arg("genpkey").args(arguments).arg("-out").arg(&path).stderr(Stdio::null());
    assert!(openssl.status().unwrap().success());
    let public = Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&path).output().unwrap().stdout;
    fs::write(directory.join(format!("{name}.pub")), &public).unwrap();
    Key::read(name, &public).unwrap()
}

/// Signs a message with the key `name`. `hash` is empty for Ed25519.
pub fn sign(directory: &Path, name: &str, message: &[u8], hash: &str) -> Vec<u8> {
    let input = directory.join("message");
    fs::write(&input, message).unwrap();
    let mut openssl = Command::new("openssl");
    match hash {
        "" => openssl.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(directory.join(name)).arg("-in").arg(input),
        hash => openssl.args(["dgst", &format!("-{hash}"), "-sign"]).arg(directory.join(name)).arg(input),
    };
    let output = openssl.output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Returns the payload of a signature in the form that cosign writes.
pub fn payload(digest: &Digest, reference: &str) -> String {
    format!(
        r#"{{"critical":{{"type":"cosign container image signature","image":{{"docker-manifest-digest":"{digest}"}},"identity":{{"docker-reference":"{reference}"}}}},"optional":null}}"#
    )
}

const EC: [&str; 3] = ["-algorithm", "EC", "-pkeyopt"];

#[test]
fn signatures_of_all_supported_keys_are_verified() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let kinds: [(&str, &[&str], &str, [bool; 2]); 5] = [
        ("p256", &[&EC[..], &["ec_paramgen_curve:P-256"]].concat(), "sha256", [true, true]),
        ("p384", &[&EC[..], &["ec_paramgen_curve:P-384"]].concat(), "sha256", [true, false]),
        ("p384b", &[&EC[..], &["ec_paramgen_curve:P-384"]].concat(), "sha384", [false, true]),
        ("ed", &["-algorithm", "ED25519"], "", [true, true]),
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "sha256", [true, true]),
    ];
    let keys: Vec<Key> = kinds.iter().map(|(name, arguments, ..)| key(at, name, arguments)).collect();
    for ((name, _, hash, good), own) in kinds.iter().zip(&keys) {
        let signature = sign(at, name, b"message", hash);
        for (with, good) in [Hash::Sha256, Hash::OfKey].into_iter().zip(good) {
            for other in &keys {
                let want = *good && other == own;
                assert_eq!(other.has_signed(b"message", &signature, with), want, "{name} {} {with:?}", other.name);
            }
            assert!(!own.has_signed(b"messagf", &signature, with));
            let mut odd = signature.clone();
            let last = odd.len() - 1;
            odd[last] ^= 1;
            assert!(!own.has_signed(b"message", &odd, with) && !own.has_signed(b"message", &[], with));
        }
        assert!(own.fingerprint.starts_with("SHA256:") && own.fingerprint.len() == 71);
    }
    let path = at.join("p521");
    let curve = [&EC[..], &["ec_paramgen_curve:P-521"]].concat();
    assert!(Command::new("openssl").arg("genpkey").args(curve).arg("-out").arg(&path).status().unwrap().success());
    let public = Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&path).output().unwrap().stdout;
    let error = format!("{:#}", Key::read("/k", &public).unwrap_err());
    assert!(error.starts_with("the key /k cannot be used: it is a key of an unknown kind; use ECDSA"), "{error}");
    for bad in [&b""[..], b"x", b"-----BEGIN PUBLIC KEY-----\nQQ==\n-----END PUBLIC KEY-----\n"] {
        assert!(Key::read("/k", bad).is_err());
    }
    // A private key is refused as a public key.
    assert!(Key::read("/k", &fs::read(at.join("p256")).unwrap()).is_err());
}

/// Returns the judge of `quay.io/team/app:1` with this policy, on a host with the key `/k.pub`.
fn judge(root: &Path, policy: &str) -> Judge {
    let policy = PolicyFile::read(&"/p".into(), Ok(policy.as_bytes()));
    let trust = Trust { policy: Some(std::sync::Arc::new(policy)), ..Trust::default() };
    Judge::new(&"quay.io/team/app:1".parse().unwrap(), &trust, root).unwrap()
}

#[test]
fn one_good_signature_meets_a_requirement() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let own = key(root, "k", &["-algorithm", "ED25519"]);
    let digest = Digest::of(b"manifest");
    let attach = |digest: &Digest, reference: &str| {
        let payload = payload(digest, reference);
        let signature = STANDARD.encode(sign(root, "k", payload.as_bytes(), ""));
        let annotations = BTreeMap::from([(SIGNATURE.to_owned(), signature)]);
        Attached { media_type: SIMPLE_SIGNING.to_owned(), payload: payload.into_bytes(), annotations }
    };
    let good = attach(&digest, "quay.io/team/app:1");
    let policy = r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k.pub"}]}"#;
    let of_key = judge(root, policy);
    let accepted = of_key.weigh(&digest, &[attach(&digest, "quay.io/team/b:1"), good.clone()]).unwrap();
    assert_eq!((accepted.len(), accepted[0].key.as_str(), &accepted[0].fingerprint), (1, "/k.pub", &own.fingerprint));
    assert_eq!((accepted[0].policy.as_str(), accepted[0].signed.as_deref()), ("/p", Some("quay.io/team/app:1")));
    let refused = |judge: &Judge, digest: &Digest, attached: &[Attached]| judge.weigh(digest, attached).unwrap_err().0;
    // A link to an absolute path leads to the file below the root.
    std::os::unix::fs::symlink("/k.pub", root.join("link.pub")).unwrap();
    let linked = judge(root, &policy.replace("/k.pub", "/link.pub"));
    assert_eq!(linked.weigh(&digest, std::slice::from_ref(&good)).unwrap()[0].fingerprint, own.fingerprint);
    // If signatures are not looked for, the message says so.
    let text = refused(&of_key, &digest, &[]);
    assert!(
        text.contains("write use-sigstore-attachments: true for this registry in /etc/containers/registries.d"),
        "{text}"
    );
    let text = refused(&of_key, &Digest::of(b"other"), std::slice::from_ref(&good));
    assert!(text.contains(&format!("a signature is for the digest {digest}")), "{text}");
    let mut forged = good.clone();
    forged.payload.push(b' ');
    let text = refused(&of_key, &digest, &[forged, attach(&digest, "quay.io/team/app:2")]);
    assert!(text.contains("a signature was not made by the key, a signature is for \"quay.io/team/app:2\""), "{text}");
    let twice = r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k.pub"}, {"type": "sigstoreSigned", "keyPath": "/none.pub"}]}"#;
    let text = refused(&judge(root, twice), &digest, std::slice::from_ref(&good));
    assert!(text.contains("scope default: sigstoreSigned by /none.pub") && text.contains("cannot be read"), "{text}");
    for (kind, why) in [
        (r#"{"type": "reject"}"#, "the policy rejects every image of this scope"),
        (r#"{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}"#, "signatures of GnuPG cannot be verified"),
        (
            r#"{"type": "sigstoreSigned", "keyPath": "/k.pub", "rekorPublicKeyPath": "/k.pub"}"#,
            "transparency logs cannot be",
        ),
    ] {
        let judge =
            judge(root, &format!(r#"{{"default": [{{"type": "sigstoreSigned", "keyPath": "/k.pub"}}, {kind}]}}"#));
        let error = judge.before().unwrap_err();
        assert!(is_refusal(&error) && error.to_string().contains(why), "{error}");
        assert!(judge.weigh(&digest, std::slice::from_ref(&good)).is_err());
    }
    let any = judge(root, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    assert!(!any.asks() && any.weigh(&digest, &[]).unwrap().is_empty());
    let wrong = judge(root, "{");
    assert!(wrong.has_problem() && !is_refusal(&wrong.before().unwrap_err()));
}

/// Output of cosign 3.1.1 of Debian: a key, a signature in simple signing format, and a bundle.
const COSIGN_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEs6PeScLdph6puj9I6UpnepB/D0Ge\nyoBEIH/YgN68KVaKSkMsj5wuMzAsAfu775OygFrivBfdUgIHcvPSh26Xlg==\n-----END PUBLIC KEY-----\n";
const COSIGN_PAYLOAD: &str = r#"{"critical":{"identity":{"docker-reference":"127.0.0.1:5917/shop/legacy:1"},"image":{"docker-manifest-digest":"sha256:5edfb6fc70437f713b78a8e0f59380648e0039738b82c92fd07991190b0fae64"},"type":"cosign container image signature"},"optional":null}"#;
const COSIGN_SIGNATURE: &str =
    "MEUCIQCjvTpbyaBM8wwZDqfQRnNun8lYy8PqCfe7kiWftPWV/QIgZVoo/VBYKe8O4Yrj6ZTYhOuM8yHTfS2OAFiXY5xR3mQ=";
const COSIGN_BUNDLE: &str = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"XXZRd/axdAEZAtMZMYI7DDFyKqhwIqmt8YWOd+R0aT0="}},"dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic2hhMjU2IjoiZWYxZmIzZDhkNmUxYzU3ZGZmZDgxYWU3N2IwMjRlZDFiYmU1NzYwMTVjM2FhNmJiMWFiNTlmZDE5Yjc5YmJiMSJ9LCJhbm5vdGF0aW9ucyI6e319XSwicHJlZGljYXRlVHlwZSI6Imh0dHBzOi8vc2lnc3RvcmUuZGV2L2Nvc2lnbi9zaWduL3YxIiwicHJlZGljYXRlIjp7fX0=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEQCIH0skzXr9coEqAulq9AFDTO0nDaMIToMOY6bCVNQHD+ZAiBRa6bSTKJmTyPN98ZLIOetY9TSsGmQyRnJA+ksmX9TEA=="}]}}"#;

#[test]
fn signatures_of_cosign_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("k.pub"), COSIGN_KEY).unwrap();
    let judge = |identity: &str| {
        let identity = crate::config::trust::identity(&[identity.to_owned()]).unwrap();
        let at = crate::diag::Location::new(&"/f".into(), 1);
        let keys = crate::diag::Spanned { value: vec![KeySource::Path("/k.pub".to_owned())], at };
        let verify = crate::config::trust::Verify { keys: Some(keys), identity: Some(identity) };
        let trust = Trust { verify, ..Trust::default() };
        Judge::new(&"127.0.0.1:5917/shop/legacy:1".parse().unwrap(), &trust, directory.path()).unwrap()
    };
    let annotations = BTreeMap::from([(SIGNATURE.to_owned(), COSIGN_SIGNATURE.to_owned())]);
    let simple = Attached { media_type: SIMPLE_SIGNING.to_owned(), payload: COSIGN_PAYLOAD.into(), annotations };
    let digest = |hex: &str| Digest::parse(&format!("sha256:{hex}")).unwrap();
    let signed = digest("5edfb6fc70437f713b78a8e0f59380648e0039738b82c92fd07991190b0fae64");
    let exact = judge("matchExact");
    let accepted = exact.weigh(&signed, std::slice::from_ref(&simple)).unwrap();
    assert_eq!(accepted[0].signed.as_deref(), Some("127.0.0.1:5917/shop/legacy:1"));
    let bundled = digest("ef1fb3d8d6e1c57dffd81ae77b024ed1bbe576015c3aa6bb1ab59fd19b79bbb1");
    assert!(exact.weigh(&bundled, std::slice::from_ref(&simple)).is_err());
    let media_type = "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned();
    let bundle = Attached { media_type, payload: COSIGN_BUNDLE.into(), annotations: BTreeMap::new() };
    assert_eq!(judge("digest").weigh(&bundled, std::slice::from_ref(&bundle)).unwrap().len(), 1);
    // The bundle names no reference.
    let text = judge("matchRepository").weigh(&bundled, std::slice::from_ref(&bundle)).unwrap_err().0;
    assert!(text.contains("a bundle names no reference"), "{text}");
    assert!(judge("digest").weigh(&signed, &[bundle]).is_err());
}
