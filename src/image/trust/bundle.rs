// SPDX-License-Identifier: MIT
//! Reads Sigstore bundles (`application/vnd.dev.sigstore.bundle…+json`) that are signed with a key:
//! a DSSE envelope with an in-toto statement. Pure.
//!
//! The statement names digests and optionally a reference. Certificates and transparency logs in
//! the bundle are ignored; only a key that the policy names is trusted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::config::trust::json::Json;

/// The `payloadType` of statements (in-toto attestation specification).
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The `predicateType` of a statement that signs an image. Statements of other types only describe
/// the image.
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// A DSSE envelope: a message and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The signed message.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    statement: Vec<u8>,
}

/// The content of a statement, which has not been compared with the image yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The SHA-256 digests of the signed artifacts, each with its name if it has one.
    pub subjects: Vec<(String, Option<String>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Option<Dsse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    payload: String,
    payload_type: String,
    signatures: Vec<DsseSignature>,
}

#[derive(Deserialize)]
struct DsseSignature {
    sig: String,
}

/// Reads the envelope of a bundle.
///
/// # Errors
/// Returns an error if the bundle is malformed, or has another kind of signature.
pub fn envelope(bytes: &[u8]) -> Result<Envelope, String> {
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|error| format!("the bundle is malformed: {error}"))?;
    let Some(dsse) = bundle.dsse_envelope else { return Err("the bundle has no DSSE envelope".to_owned()) };
    if dsse.payload_type != STATEMENT {
        return Err(format!("the bundle holds {:?} in place of a statement", dsse.payload_type));
    }
    let [signature] = dsse.signatures.as_slice() else {
        return Err("the bundle has not exactly one signature".to_owned());
    };
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| "the bundle holds invalid base64".to_owned());
    let (statement, signature) = (decode(&dsse.payload)?, decode(&signature.sig)?);
    // The pre-authentication encoding of DSSE 1.0.
    let mut message = format!("DSSEv1 {} {STATEMENT} {} ", STATEMENT.len(), statement.len()).into_bytes();
    message.extend_from_slice(&statement);
    Ok(Envelope { message, signature, statement })
}

impl Envelope {
    /// Reads the statement. The caller must have verified the signature.
    ///
    /// # Errors
    /// Returns an error if the statement is malformed or does not sign an image.
    pub fn statement(&self) -> Result<Statement, String> {
        let json =
            Json::parse(&self.statement).map_err(|(_, message)| format!("the statement is malformed: {message}"))?;
        let fields = json.members()?;
        let text = |name: &str| fields.get(name).map_or(Ok(""), |value| value.text());
        if !["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"].contains(&text("_type")?) {
            return Err("the bundle holds no in-toto statement".to_owned());
        }
        match text("predicateType")? {
            SIGNATURE => {}
            other => return Err(format!("the bundle says something about the image ({other:?}) and does not sign it")),
        }
        let mut subjects = Vec::new();
        for subject in fields.get("subject").ok_or("the statement has no subject")?.list()? {
            let subject = subject.members()?;
            let digests = subject.get("digest").ok_or("a subject has no digest")?.members()?;
            let name = subject.get("name").map(|name| name.text()).transpose()?.filter(|name| !name.is_empty());
            if let Some(hex) = digests.get("sha256") {
                subjects.push((format!("sha256:{}", hex.text()?), name.map(str::to_owned)));
            }
        }
        Ok(Statement { subjects })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bundle(statement: &str, more: &str) -> Vec<u8> {
        let payload = STANDARD.encode(statement);
        format!(
            r#"{{"mediaType": "x", "verificationMaterial": {{}}, "dsseEnvelope": {{"payload": "{payload}", "payloadType": "{STATEMENT}", "signatures": [{{"sig": "QQ=="}}{more}]}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn bundles_are_read_and_malformed_ones_refused() {
        let good = r#"{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "subject": [{"name": "a.b/c:1", "digest": {"sha256": "11"}}, {"digest": {"sha512": "22"}}], "predicate": {}}"#;
        let envelope = super::envelope(&bundle(good, "")).unwrap();
        assert!(envelope.message.starts_with(format!("DSSEv1 28 {STATEMENT} {} {{", good.len()).as_bytes()));
        assert_eq!(envelope.statement().unwrap().subjects, [("sha256:11".to_owned(), Some("a.b/c:1".to_owned()))]);
        for bad in [
            good.replace("cosign/sign", "cosign/attest"),
            good.replace("Statement/v1", "Statement/v2"),
            good.replace("\"subject\"", "\"subjects\""),
            good.replace("\"digest\": {\"sha512\": \"22\"}", "\"name\": \"x\""),
            good.replace("[{\"name\"", "[{\"name\": \"x\", \"name\""),
            "{".to_owned(),
        ] {
            assert!(super::envelope(&bundle(&bad, "")).unwrap().statement().is_err(), "{bad}");
        }
        assert!(super::envelope(&bundle(good, r#", {"sig": "QQ=="}"#)).is_err());
        assert!(super::envelope(b"{}").is_err() && super::envelope(b"").is_err());
    }
}
