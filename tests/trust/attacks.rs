// SPDX-License-Identifier: MIT
//! A malicious registry and a malicious mirror: what they offer is refused, nothing of it is
//! stored, and the image that was accepted before still starts.

use std::path::Path;

use serde_json::{Value, json};

use super::support::containers::Container;
use super::support::host::Host;
use super::support::sign::{self, Signer};
use super::{TEAM, only, signed, write_policy};
use crate::updates::{digest, on, page, pages, push};

on_every_suite!(a_registry_that_lies, a_mirror_that_lies);

/// The paths of everything that an import writes.
fn stored(host: &Host) -> String {
    host.ok("cd /var/lib/sdme && find store/*.* layers blobs -maxdepth 2 | grep -v '/for-' | sort")
}

/// Checks that a pull and a start refuse what the source offers now.
fn refused(host: &Host, web: &Container<'_>, what: &str) {
    let before = stored(host);
    let error = host.fails("sdme-gen fs pull app");
    assert!(error.contains("is not accepted: /etc/containers/policy.json, scope docker:"), "{what}: {error}");
    web.systemctl("restart");
    assert_eq!(page(host), "two\n", "{what}");
    let log = host.ok("journalctl -u sdme-image@app.service -o cat");
    assert!(log.contains("using what was imported before"), "{what}: {log}");
    assert_eq!(stored(host), before, "{what}");
    assert_eq!(host.ok("sdme-gen fs verify"), "", "{what}");
}

/// Starts a container with version `two`, which is signed for the tag 2 of `image`.
fn started<'a>(host: &'a Host, directory: &Path, image: &str) -> (Container<'a>, Signer) {
    pages(directory, &["one", "two", "evil"]);
    let key = Signer::new(directory, "key", "p256");
    host.write("/etc/pki/key.pub", std::fs::read(directory.join("key.pub")).unwrap());
    write_policy(host, &only("docker", image, &json!([signed("key", &Value::Null)])));
    for (version, tag) in [("one", "1"), ("two", "2")] {
        let digest = push(host, directory, version, &format!("app:{tag}"));
        let payload = sign::payload(&digest, &format!("{image}:{tag}"));
        sign::attach(host, "team/app", &digest, &[sign::simple(&key, &payload)]);
    }
    host.write("/etc/sdme/app.image", format!("[Image]\nImage={image}:2\nPolicy=always\n"));
    let web = Container::new(host, "web");
    web.configure(
        "[Container]\nImage=app.image\nNetwork=private\nPublishPort=8080:80\nNotify=healthy\nHealthHttp=:80/\n",
    );
    web.systemctl("start");
    assert_eq!(page(host), "two\n");
    (web, key)
}

fn a_registry_that_lies(host: &Host, directory: &Path) {
    let (web, key) = started(host, directory, &format!("{TEAM}/app"));
    // The registry offers the former version, with its own valid signature, under the current tag.
    push(host, directory, "one", "app:2");
    refused(host, &web, "a downgraded tag");
    let digest = push(host, directory, "evil", "app:2");
    refused(host, &web, "a swapped manifest");
    // The signature of the valid image is attached to the malicious one.
    let two = crate::updates::digest(directory, "two");
    let replayed = sign::simple(&key, &sign::payload(&two, &format!("{TEAM}/app:2")));
    sign::attach(host, "team/app", &digest, &[replayed]);
    refused(host, &web, "a replayed signature");
    // A signature for another repository is attached.
    let other = sign::simple(&key, &sign::payload(&digest, &format!("{TEAM}/other:2")));
    sign::attach(host, "team/app", &digest, &[other]);
    refused(host, &web, "a signature for another repository");
    // Without an earlier version, the start is refused, and the status has the reason.
    host.ok("systemctl stop systemd-nspawn@web && sdme-gen rm --force web; true");
    host.ok("sdme-gen fs rm app; true");
    host.write("/etc/sdme/app.image", format!("[Image]\nImage={TEAM}/app:2\n"));
    host.write("/etc/sdme/new.container", "[Container]\nImage=app.image\n");
    host.ok("systemctl daemon-reload");
    host.fails("systemctl start systemd-nspawn@new");
    let status = host.run("systemctl status systemd-nspawn@new --no-pager -n 30 | cat").stdout;
    assert!(status.contains("is not accepted: /etc/containers/policy.json"), "{status}");
}

fn a_mirror_that_lies(host: &Host, directory: &Path) {
    host.write("/etc/sdme/sdme.conf", "[Defaults]\nMirror=images.example.org 127.0.0.1:5000\n");
    let (web, key) = started(host, directory, "images.example.org/team/app");
    push(host, directory, "evil", "app:2");
    refused(host, &web, "another image");
    let evil = digest(directory, "evil");
    // A signature for the name of the mirror.
    let own = sign::simple(&key, &sign::payload(&evil, &format!("{TEAM}/app:2")));
    sign::attach(host, "team/app", &evil, &[own]);
    refused(host, &web, "a signature for the mirror");
    push(host, directory, "one", "app:2");
    refused(host, &web, "a downgraded tag");
}
