// SPDX-License-Identifier: MIT
//! Tests which policies are valid, and which scope of a policy applies to an image.
#![allow(clippy::unwrap_used)]

use super::*;

fn policy(text: &str) -> Result<Policy, String> {
    Policy::parse(text.as_bytes()).map_err(|(_, message)| message)
}

fn default(requirement: &str) -> String {
    format!(r#"{{"default": [{requirement}]}}"#)
}

#[test]
fn invalid_policies_are_rejected() {
    let key = r#""type": "sigstoreSigned", "keyPath": "/k""#;
    for bad in [
        "{}",
        "[]",
        r#"{"default": []}"#,
        r#"{"default": null}"#,
        r#"{"default": [{"type": "reject"}], "default": [{"type": "reject"}]}"#,
        r#"{"default": [{"type": "reject"}], "Transports": {}}"#,
        r#"{"default": [{"type": "reject"}], "transports": {"docker": {"": []}}}"#,
        r#"{"default": [{"type": "reject"}], "transports": {"docker": {}, "docker": {}}}"#,
        r#"{"default": [{"type": "reject"}], "transports": {"oci": {"relative": [{"type": "reject"}]}}}"#,
        r#"{"default": [{"type": "reject"}], "transports": {"dir": {"/": [{"type": "reject"}]}}}"#,
        r#"{"default": [{"type": "reject"}], "transports": {"dir": {"/a/": [{"type": "reject"}]}}}"#,
        r#"{"default": [{"type": "reject"}], "transports": {"docker-archive": {"/a": [{"type": "reject"}]}}}"#,
        &default(r#"{"type": "reject", "more": 1}"#),
        &default(r#"{"type": "rejected"}"#),
        &default(r#"{"type": 1}"#),
        &default(r#""reject""#),
        &default(r#"{"type": "sigstoreSigned"}"#),
        &default(r#"{"type": "sigstoreSigned", "keyPath": ""}"#),
        &default(r#"{"type": "sigstoreSigned", "keyPaths": []}"#),
        &default(r#"{"type": "sigstoreSigned", "keyData": "?"}"#),
        &default(r#"{"type": "sigstoreSigned", "keyDatas": ["QQ==", "Q"]}"#),
        &default(r#"{"type": "sigstoreSigned", "keyPath": "/a", "keyData": "QQ=="}"#),
        &default(r#"{"type": "sigstoreSigned", "keypath": "/a"}"#),
        &default(&format!(r#"{{{key}, "signedIdentity": {{"type": "matchAny"}}}}"#)),
        &default(&format!(r#"{{{key}, "signedIdentity": null}}"#)),
        &default(&format!(r#"{{{key}, "rekorPublicKeyPath": "/a", "rekorPublicKeyData": "QQ=="}}"#)),
        &default(r#"{"type": "sigstoreSigned", "fulcio": {"caPath": "/a", "oidcIssuer": "x", "subjectEmail": "x"}}"#),
        &default(r#"{"type": "sigstoreSigned", "pki": {"caRoots": "/a"}}"#),
        &default(r#"{"type": "signedBy", "keyPath": "/a"}"#),
        &default(r#"{"type": "signedBy", "keyType": "GPGKeys"}"#),
        &default(r#"{"type": "signedBaseLayer"}"#),
    ] {
        assert!(policy(bad).is_err(), "{bad}");
    }
    let file = PolicyFile::read(&Arc::from("/p"), Ok(b"{\n\"default\": ]"));
    let text = file.policy.unwrap_err().to_string();
    assert!(text.starts_with("/p:2: invalid signature policy: "), "{text}");
    let text = PolicyFile::read(&Arc::from("/p"), Ok(br#"{"defaults": 1}"#)).policy.unwrap_err().problem.to_string();
    assert_eq!(
        text,
        r#"invalid signature policy: unknown key "defaults" (did you mean "default"?); correct it as containers-policy.json(5) describes"#
    );
}

#[test]
fn requirements_are_described_by_their_type() {
    let of = |text: &str| policy(&default(text)).unwrap().default.first().unwrap().describe();
    for (text, want) in [
        (r#"{"type": "insecureAcceptAnything"}"#, "insecureAcceptAnything"),
        (
            r#"{"type": "sigstoreSigned", "keyPaths": ["/a", "/b"]}"#,
            "sigstoreSigned by /a or /b for matchRepoDigestOrExact",
        ),
        (
            r#"{"type": "sigstoreSigned", "keyDatas": ["QQ=="], "signedIdentity": {"type": "matchRepository"}}"#,
            "sigstoreSigned by keyData for matchRepository",
        ),
        (
            r#"{"type": "sigstoreSigned", "keyData": "QQ==", "rekorPublicKeyPath": "/r"}"#,
            "sigstoreSigned with rekorPublicKeyPath",
        ),
        (
            r#"{"type": "sigstoreSigned", "fulcio": {"caPath": "/a", "oidcIssuer": "x", "subjectEmail": "x"}, "rekorPublicKeyPath": "/r"}"#,
            "sigstoreSigned with fulcio and rekorPublicKeyPath",
        ),
        (
            r#"{"type": "sigstoreSigned", "pki": {"caRootsPath": "/a", "subjectHostname": "x"}}"#,
            "sigstoreSigned with pki",
        ),
        (r#"{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/a"}"#, "signedBy"),
        (r#"{"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}}"#, "signedBaseLayer"),
    ] {
        assert_eq!(of(text), want);
    }
}

#[test]
fn the_most_specific_scope_applies() {
    let list = |name: &str| format!(r#"[{{"type": "sigstoreSigned", "keyPath": "/{name}"}}]"#);
    let scopes = |transport: &str, names: &[&str]| {
        let all: Vec<String> = names.iter().map(|name| format!("{name:?}: {}", list(name))).collect();
        format!("{transport:?}: {{{}}}", all.join(", "))
    };
    let docker = scopes("docker", &["", "q.io", "q.io/a", "q.io/a/b:1", "*.example.org", "x.example.org"]);
    let (oci, odd) = (scopes("oci", &["/srv", "/srv/x"]), scopes("atomic", &["anything", "at all"]));
    let text =
        format!(r#"{{"default": [{{"type": "reject"}}], "transports": {{{docker}, {oci}, {odd}, "dir": {{}}}}}}"#);
    let policy = policy(&text).unwrap();
    for (source, want) in [
        ("q.io/a/b:1", "docker:q.io/a/b:1"),
        ("q.io/a/b:2", "docker:q.io/a"),
        ("q.io/ab", "docker:q.io"),
        ("y.example.org/a", "docker:*.example.org"),
        ("x.example.org:5000/a", "docker:*.example.org"),
        ("x.example.org/a", "docker:x.example.org"),
        ("nginx", "docker"),
        ("oci:/srv/x/y", "oci:/srv/x"),
        ("oci:/srv/xy", "oci:/srv"),
        ("oci:/var/x", "default"),
        ("dir:/srv", "default"),
        ("rootfs:/srv/a", "default"),
    ] {
        let subject = Subject::of(&source.parse().unwrap());
        let (scope, requirements) = policy.applied(&subject);
        assert_eq!(scope, want, "{source}");
        assert_eq!(requirements == [Requirement::Reject], want == "default");
    }
    assert!(policy.may_ask("dir"));
}
