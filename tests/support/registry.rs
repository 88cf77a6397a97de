// SPDX-License-Identifier: MIT
//! A registry on the loopback interface of the host of a test, on port 5000: Debian's
//! `docker-registry`, filled by `skopeo`.

use std::fs;
use std::path::Path;
use std::process::Child;

use super::host::Host;
use super::run;

/// Starts the registry. Its files are in `directory`, outside of the host. It ends with the host.
pub fn serve(host: &Host, directory: &Path) -> Child {
    let file = directory.join("registry.yml");
    let config = format!(
        "version: 0.1\nlog:\n  accesslog:\n    disabled: false\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}/registry\nhttp:\n  \
         addr: 127.0.0.1:5000\n",
        directory.display()
    );
    fs::write(&file, config).unwrap();
    let child = host.spawn_outside("docker-registry", &["serve", file.to_str().unwrap()]);
    host.wait("bash -c '</dev/tcp/127.0.0.1/5000'", 10);
    child
}

/// Copies the image `tag` of a layout into the registry as `name`.
pub fn push(host: &Host, layout: &Path, tag: &str, name: &str) {
    let mut skopeo = host.outside("skopeo");
    skopeo.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
    skopeo.arg(format!("oci:{}:{tag}", layout.display()));
    run(skopeo.arg(format!("docker://127.0.0.1:5000/{name}")));
}
