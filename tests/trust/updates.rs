// SPDX-License-Identifier: MIT
//! Updates under a policy, the output of commands about it, and `VerifyKey=` in the configuration
//! of sdme-gen.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::containers::{Container, boot_with, ready};
use super::support::host::Host;
use super::support::sign::{self, Signer};
use super::support::{registry, versions};
use super::{TEAM, accept, attachments, only, signed, write_policy};

on_every_suite!(updates_follow_the_signature_policy, verify_keys_of_image_files_take_effect);

/// Runs a case with a registry. The registry's files and the versions of the image are in
/// `directory`, outside of the host.
pub fn on(suite: &str, name: &str, case: fn(&Host, &Path)) {
    if ready(suite, &["umoci", "skopeo", "docker-registry", "openssl", "curl"]) {
        let directory = tempfile::tempdir().unwrap();
        let host = boot_with(Host::builder(suite, &format!("trust-{}", name.replace('_', "-"))));
        drop(registry::serve(&host, directory.path()));
        attachments(&host);
        case(&host, directory.path());
    }
}

/// Writes versions of a web server that answer with their names.
pub fn pages(directory: &Path, names: &[&str]) {
    for name in names {
        versions::page(directory, name);
    }
}

/// The digest of a version.
pub fn digest(directory: &Path, version: &str) -> String {
    let index: Value =
        serde_json::from_slice(&std::fs::read(directory.join(version).join("index.json")).unwrap()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// Pushes a version to the registry as `team/NAME`. Returns its digest.
pub fn push(host: &Host, directory: &Path, version: &str, name: &str) -> String {
    registry::push(host, &directory.join(version), "latest", &format!("team/{name}"));
    digest(directory, version)
}

/// Waits for the page of the container, and returns it.
pub fn page(host: &Host) -> String {
    host.wait_http("http://127.0.0.1:8080/", 20)
}

fn update(host: &Host) -> (i32, String, Value) {
    let output = host.run_for("sdme-gen update --json", Duration::from_secs(300));
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    (output.status, report["images"][0]["status"].as_str().unwrap().to_owned(), report)
}

const FILE: &str =
    "AutoUpdate=registry\nUpdateSettle=1s\nNetwork=private\nPublishPort=8080:80\nNotify=healthy\nHealthHttp=:80/\n";

fn updates_follow_the_signature_policy(host: &Host, directory: &Path) {
    pages(directory, &["one", "two", "three"]);
    let key = Signer::new(directory, "key", "ed25519");
    host.write("/etc/pki/key.pub", std::fs::read(directory.join("key.pub")).unwrap());
    let reference = format!("{TEAM}/app:1");
    write_policy(host, &only("docker", TEAM, &json!([signed("key", &Value::Null)])));
    let put = |version: &str, is_signed: bool| {
        let digest = push(host, directory, version, "app:1");
        if is_signed {
            sign::attach(host, "team/app", &digest, &[sign::simple(&key, &sign::payload(&digest, &reference))]);
        }
        digest
    };
    let one = put("one", true);
    let web = Container::new(host, "web");
    web.configure(&format!("[Container]\nImage={reference}\n{FILE}")).systemctl("start");
    assert_eq!(page(host), "one\n");

    // An unsigned version stops no container, and is downloaded only once.
    put("two", false);
    let run = web.property("InvocationID");
    let (status, word, report) = update(host);
    assert_eq!((status, word.as_str()), (1, "not accepted"), "{report}");
    let reason = report["images"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains(
            "/etc/containers/policy.json, scope docker:127.0.0.1:5000/team: sigstoreSigned by /etc/pki/key.pub"
        ),
        "{reason}"
    );
    assert!(reason.contains("the image has no signature"), "{reason}");
    assert_eq!(host.ok("journalctl -q -o cat MESSAGE_ID=8f8e25dc0b76470f8ceb2b39b3bc4539").lines().count(), 1);
    assert!(host.ok("sdme-gen ps").contains("is not accepted"), "{}", host.ok("sdme-gen ps"));
    for _ in 0..2 {
        let (status, word, report) = update(host);
        assert_eq!((status, word.as_str()), (0, "refused"), "{report}");
    }
    let downloads = host.ok("journalctl -q -o cat -u 'sdme-download@*' JOB_TYPE=start JOB_RESULT=failed | wc -l");
    assert_eq!(downloads.trim(), "1");
    assert_eq!((web.property("InvocationID"), page(host)), (run, "one\n".to_owned()));
    web.systemctl("restart");
    assert_eq!(page(host), "one\n");

    // The tag moves to a signed version.
    let three = put("three", true);
    let (status, word, report) = update(host);
    assert_eq!((status, word.as_str()), (0, "updated"), "{report}");
    assert_eq!(page(host), "three\n");

    // The commands show the accepted signature.
    let listed: Value = serde_json::from_str(&host.ok("sdme-gen fs ls --json")).unwrap();
    let found = listed.as_array().unwrap().iter().find(|image| image["digest"] == json!(three)).unwrap();
    let accepted = &found["accepted"][0];
    assert_eq!(
        (&accepted["key"], &accepted["policy"]),
        (&json!("/etc/pki/key.pub"), &json!("/etc/containers/policy.json"))
    );
    assert!(accepted["fingerprint"].as_str().unwrap().starts_with("SHA256:") && accepted["signed"] == json!(reference));
    let ps: Value = serde_json::from_str(&host.ok("sdme-gen ps --json")).unwrap();
    assert_eq!(ps[0]["accepted"][0][0], *accepted, "{ps}");
    assert!(host.ok("sdme-gen fs ls").contains("(signed by /etc/pki/key.pub)"));
    assert_eq!(host.ok("sdme-gen ps --format '{{.Names}} {{.Key}}'"), "web /etc/pki/key.pub\n");
    let check = host.ok("sdme-gen check");
    assert!(
        check.contains(&format!(
            "({reference}): scope docker:{TEAM}: sigstoreSigned by /etc/pki/key.pub for matchRepoDigestOrExact"
        )),
        "{check}"
    );
    assert_eq!(host.ok("sdme-gen fs verify"), "");

    // A rollback works without the registry, because the signature of the former version is stored.
    host.ok("pkill -f '[r]egistry.yml'; sdme-gen rollback web");
    assert_eq!(page(host), "one\n");
    assert!(host.ok("sdme-gen fs ls --json").contains(&one));

    // A key that is no longer trusted: verify and the next start refuse the image.
    host.ok("systemctl stop systemd-nspawn@web");
    let other = Signer::new(directory, "other", "p256");
    drop(other);
    host.write("/etc/pki/key.pub", std::fs::read(directory.join("other.pub")).unwrap());
    let output = host.run("sdme-gen fs verify");
    assert!(output.status == 1 && output.stdout.contains("is not accepted: /etc/containers/policy.json"), "{output}");
    host.fails("systemctl start systemd-nspawn@web");
    let status = host.run("systemctl status systemd-nspawn@web --no-pager -n 30 | cat").stdout;
    assert!(status.contains("is not accepted: /etc/containers/policy.json"), "{status}");
    // An invalid policy does not prevent starts, but every import.
    host.write("/etc/pki/key.pub", std::fs::read(directory.join("key.pub")).unwrap());
    host.write("/etc/containers/policy.json", "{");
    assert!(host.run("sdme-gen check").stderr.contains("/etc/containers/policy.json:1: invalid signature policy: "));
    let error = host.fails(&format!("sdme-gen fs import x {TEAM}/app:1"));
    assert!(error.contains("/etc/containers/policy.json:1: invalid signature policy: "), "{error}");
    host.ok("systemctl daemon-reload");
    web.systemctl("restart");
    assert_eq!(page(host), "one\n");
}

fn verify_keys_of_image_files_take_effect(host: &Host, directory: &Path) {
    pages(directory, &["one", "two"]);
    let key = Signer::new(directory, "key", "rsa");
    host.write("/etc/pki/key.pub", std::fs::read(directory.join("key.pub")).unwrap());
    // Without a policy and without registries.d, VerifyKey= is enough to make sdme-gen look for
    // signatures.
    host.ok("rm -rf /etc/containers/policy.json /etc/containers/registries.d");
    let digest = push(host, directory, "one", "app:1");
    push(host, directory, "two", "bare:1");
    let repository = format!("{TEAM}/app");
    sign::attach(host, "team/app", &digest, &[sign::simple(&key, &sign::payload(&digest, &repository))]);
    let image = |name: &str, source: &str, more: &str| {
        host.write(&format!("/etc/sdme/{name}.image"), format!("[Image]\nImage={TEAM}/{source}\nMode=app\n{more}"));
        host.run(&format!("systemctl daemon-reload; sdme-gen fs pull {name}"))
    };
    let refused = |output: super::support::Output, text: &str| {
        assert!(!output.success() && output.stderr.contains(text), "{output}");
    };
    host.write("/etc/sdme/sdme.conf", "[Defaults]\nVerifyKey=/etc/pki/key.pub\nVerifyIdentity=matchRepository\n");
    let accepted = image("app", "app:1", "");
    assert!(accepted.success(), "{accepted}");
    refused(
        image("bare", "bare:1", ""),
        "/etc/sdme/sdme.conf:2, VerifyKey=: sigstoreSigned by /etc/pki/key.pub for matchRepository: the image has no signature",
    );
    refused(image("app", "app:1", "VerifyIdentity=matchExact\n"), "a signature is for \"127.0.0.1:5000/team/app\"");
    let none = image("bare", "bare:1", "VerifyKey=none\n");
    assert!(none.success(), "{none}");
    // A file cannot weaken the policy.
    write_policy(host, &only("docker", &repository, &accept()));
    refused(image("bare", "bare:1", "VerifyKey=none\n"), "/etc/containers/policy.json, scope default: reject");
    // With VerifyIdentity=digest, a bundle without a name is sufficient.
    let subject = digest.clone();
    let bundle = sign::bundle(&key, &subject, None, sign::SIGN);
    let (manifest, blobs) =
        sign::manifest(&[bundle], Some(&json!({"mediaType": sign::MANIFEST, "digest": subject, "size": 1})));
    sign::push(host, "team/other", "x", sign::MANIFEST, &manifest, &blobs);
    push(host, directory, "one", "other:1");
    sign::push(host, "team/other", &digest.replace(':', "-"), sign::INDEX, &sign::index(&manifest, &json!({})), &[]);
    write_policy(host, &json!({"default": accept()}));
    refused(image("other", "other:1", ""), "a bundle names no reference");
    let accepted = image("other", "other:1", "VerifyIdentity=digest\n");
    assert!(accepted.success(), "{accepted}");
    let wrong = host.run(
        "printf '[Image]\\nImage=x\\nVerifyKey=key.pub\\nVerifyIdentity=any\\n' >/etc/sdme/wrong.image; sdme-gen check",
    );
    assert!(
        wrong.stderr.contains("VerifyKey=key.pub is not an absolute path")
            && wrong.stderr.contains("unknown word \"any\""),
        "{wrong}"
    );
}
