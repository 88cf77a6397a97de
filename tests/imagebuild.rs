// SPDX-License-Identifier: MIT
//! Tier 2: a disk image with containers is built on another machine: `apply --root` and `fs import
//! --root` work on a tree, which then boots as a host without the generator and starts its
//! containers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::containers::{Container, WELCOME, installed, ready};
use support::host::Host;
use support::image;

fn tool(root: &Path, arguments: &[&str]) -> String {
    let (verb, more) = arguments.split_first().unwrap();
    let output =
        Command::new(root.join("usr/bin/sdme-gen")).arg(verb).arg("--root").arg(root).args(more).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_tree_boots_with_its_containers_and_without_the_generator() {
    if !ready("trixie", &[]) {
        return;
    }
    let tree = installed();
    let root = tree.path();
    let source = format!("oci:{}", image("nginx").display());
    tool(root, &["fs", "import", "nginx", &source]);
    tool(root, &["create", "web", "--rootfs", "nginx", "--publish", "8080:80", "--enable"]);
    tool(root, &["check"]);
    let planned = tool(root, &["apply", "--dry-run"]);
    assert!(!root.join("etc/systemd").exists());
    assert_eq!(tool(root, &["apply"]), planned);
    assert!(
        planned.contains(&format!("write {}\n", root.join("etc/systemd/nspawn/web.nspawn").display())),
        "{planned}"
    );
    assert!(tool(root, &["apply"]).is_empty());
    fs::remove_file(root.join("usr/lib/systemd/system-generators/sdme-generator")).unwrap();

    // The host cannot see the source of the image: the container runs from what was imported.
    let host = &Host::builder("trixie", "built").stage(root).boot();
    host.fails("ls /usr/lib/systemd/system-generators/sdme-generator");
    assert_eq!(host.wait_http("http://localhost:8080/", 30), WELCOME);
    let web = Container::new(host, "web");
    assert_eq!(web.property("ActiveState"), "active");
    assert!(host.ok("systemctl cat systemd-nspawn@web").contains("/etc/systemd/system/systemd-nspawn@web.service"));
    host.reboot();
    assert_eq!(host.wait_http("http://localhost:8080/", 30), WELCOME);

    // The next apply removes the units of a container that is no longer configured, and nothing
    // else.
    web.systemctl("stop");
    host.ok("rm /etc/sdme/web.container && sdme-gen apply && systemctl daemon-reload");
    host.fails("find /etc/systemd -name '*web*' | grep .");
    assert_eq!(
        host.ok("systemctl show -P FragmentPath systemd-nspawn@web").trim(),
        "/usr/lib/systemd/system/systemd-nspawn@.service"
    );
}
