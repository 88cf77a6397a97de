// SPDX-License-Identifier: MIT
//! Checks the tools of these tests: a hostile image runs as written, under every protection.

use std::path::Path;

use crate::PROTECTIONS;
use crate::hostile::{image, script};
use crate::support::containers::Container;
use crate::support::host::Host;

on_every_suite!(a_hostile_image_runs);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    crate::on(suite, name, images, case);
}

fn images(directory: &Path) {
    let fill = |top: &Path| script(top, "attack", "echo attacker: $(pwd) $(id -u); exec sleep infinity");
    image(directory, "plain", fill, &["--config.entrypoint", "/attack", "--config.workingdir", "/work"]);
}

fn a_hostile_image_runs(host: &Host) {
    host.write("/etc/sdme/plain.image", "[Image]\nImage=oci:/srv/hostile/plain\n");
    for (name, text) in PROTECTIONS {
        let container = Container::new(host, name);
        container.configure(&format!("[Container]\nImage=plain.image\n{text}"));
        container.systemctl("start");
        host.wait(&format!("sdme-gen logs {name} | grep -q 'attacker: /work 0'"), 20);
    }
}
