// SPDX-License-Identifier: MIT
//! Reads payloads in the simple signing format (containers-signature(5) and the specification of
//! cosign): the signed digest and its reference. Pure.

use crate::config::trust::json::Json;

/// The `critical.type` in signatures of cosign and podman.
const TYPE: &str = "cosign container image signature";

/// A payload, which has not been compared with the image yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The digest of the manifest.
    pub digest: String,
    /// The reference of the image.
    pub reference: String,
}

/// Reads a payload. As in the reference implementation, unknown fields are refused, except in
/// `optional`.
///
/// # Errors
/// Returns a message if the payload is malformed.
pub fn parse(bytes: &[u8]) -> Result<Payload, String> {
    let json = Json::parse(bytes).map_err(|(_, message)| message)?;
    let whole = json.exact_fields(&["critical", "optional"])?;
    let field = |name: &str| whole.get(name).copied().unwrap_or(&Json::Null);
    if *field("optional") != Json::Null {
        let optional = field("optional").members()?;
        if let Some(creator) = optional.get("creator") {
            creator.text().map_err(|message| format!("optional.creator: {message}"))?;
        }
        match optional.get("timestamp") {
            None => {}
            Some(Json::Number(seconds)) if seconds.fract() == 0.0 => {}
            Some(_) => return Err("optional.timestamp is not a whole number".to_owned()),
        }
    }
    let critical = field("critical").exact_fields(&["type", "image", "identity"])?;
    let inner = |name: &str, key: &str| -> Result<String, String> {
        let fields = critical.get(name).copied().unwrap_or(&Json::Null).exact_fields(&[key])?;
        fields.get(key).map_or(Ok(""), |value| value.text()).map(str::to_owned)
    };
    let kind = critical.get("type").map_or(Ok(""), |value| value.text())?;
    if kind != TYPE {
        return Err(format!("unknown type {kind:?}"));
    }
    Ok(Payload { digest: inner("image", "docker-manifest-digest")?, reference: inner("identity", "docker-reference")? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn payloads_are_read_as_strictly_as_by_the_reference() {
        let critical = |more: &str| {
            format!(
                r#""critical": {{"type": "{TYPE}", "image": {{"docker-manifest-digest": "sha256:1"}}, "identity": {{"docker-reference": "a.b/c"}}{more}}}"#
            )
        };
        for optional in ["null", "{}", r#"{"creator": "x", "timestamp": 1700000000, "more": [1]}"#] {
            let found = parse(format!(r#"{{{}, "optional": {optional}}}"#, critical("")).as_bytes()).unwrap();
            assert_eq!(found, Payload { digest: "sha256:1".into(), reference: "a.b/c".into() });
        }
        for bad in [
            String::new(),
            "null".into(),
            format!("{{{}}}", critical("")),
            format!(r#"{{{}, "optional": []}}"#, critical("")),
            format!(r#"{{{}, "optional": {{"timestamp": 1.5}}}}"#, critical("")),
            format!(r#"{{{}, "optional": {{"creator": 1}}}}"#, critical("")),
            format!(r#"{{{}, "optional": {{"creator": "a", "creator": "b"}}}}"#, critical("")),
            format!(r#"{{{}, "optional": null}}"#, critical(r#", "more": 1"#)),
            format!(r#"{{{}, "optional": null, "more": 1}}"#, critical("")),
            format!(r#"{{{0}, {0}, "optional": null}}"#, critical("")),
            format!(r#"{{{}, "optional": null}}"#, critical("").replace("cosign container", "atomic container")),
            format!(r#"{{{}, "optional": null}}"#, critical("").replace("\"sha256:1\"", "1")),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
