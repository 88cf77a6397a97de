// SPDX-License-Identifier: MIT
//! Hosts on which sdme-gen is installed, and containers on them.

use super::host::{Builder, Host};
use super::{cache, repo, require};
use std::process::Command;

/// The application image: it has four layers, listens on port 80, and stops on SIGQUIT.
pub const NGINX: &str = "oci:/srv/images/nginx";
/// The base operating system image: Debian 13.
pub const DEBIAN: &str = "oci:/srv/images/base";
/// The page of the application image.
pub const WELCOME: &str = "hello from the nginx image\n";

/// Whether a host of `suite` with the software can be booted here; see [`require`].
pub fn ready(suite: &str, more: &[&str]) -> bool {
    let tree = format!("tree:{suite}");
    let needs =
        ["root", "cgroup2", "unshare", "setpriv", "nsenter", "build", "make", "image:nginx", "image:base", &tree];
    require(&[&needs, more].concat())
}

/// Runs `make install` into a temporary directory.
///
/// # Panics
/// If the installation fails.
pub fn installed() -> tempfile::TempDir {
    let staged = tempfile::tempdir().unwrap();
    let output = Command::new("make")
        .args(["-s", "-C"])
        .arg(repo(""))
        .arg("install")
        .arg(format!("DESTDIR={}", staged.path().display()))
        // A make that runs the tests sets these variables, which must not apply here.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap();
    assert!(output.status.success(), "make install: {}", String::from_utf8_lossy(&output.stderr));
    staged
}

/// Boots a host with the software installed and the images in `/srv/images`.
#[must_use]
pub fn boot(suite: &str, name: &str) -> Host {
    boot_with(Host::builder(suite, name))
}

/// Boots the host of `builder`, with the software installed and the images in `/srv/images`.
pub fn boot_with(builder: Builder) -> Host {
    let staged = installed();
    builder.stage(staged.path()).bind(&cache().join("images"), "/srv/images").boot()
}

/// The path of a directory on the host with the files of an imported application. They must not be
/// changed.
pub fn files_of(host: &Host, image: &str) -> String {
    let link = format!("/var/lib/sdme/fs/{image}");
    let record: serde_json::Value = serde_json::from_str(&host.read(&format!("{link}/image.json"))).unwrap();
    let own = format!("{link}/tree/oci/root");
    let shared = record["layers"].as_array().into_iter().flatten().rev();
    let shared = shared.map(|layer| format!(":/var/lib/sdme/layers/{}/tree/oci/root", layer.as_str().unwrap()));
    let lower = shared.fold(own.clone(), |lower, layer| lower + &layer);
    if lower == own {
        return own;
    }
    let at = format!("/run/files-of/{image}");
    // fsconfig(2) accepts at most 255 bytes for all directories together; mount(2) accepts a page.
    let mount = format!("LIBMOUNT_FORCE_MOUNT2=always mount -t overlay -o lowerdir={lower} overlay {at}");
    host.ok(&format!("mkdir -p {at} && (mountpoint -q {at} || {mount})"));
    at
}

/// `word` as a quoted word of a configuration file.
pub fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            // Specifiers and variables would be replaced.
            '%' | '$' => out.extend([character, character]),
            '\n' => out += "\\n",
            character if character.is_ascii_control() => out += &format!("\\x{:02x}", u32::from(character)),
            character if character.is_control() => out += &format!("\\u{:04x}", u32::from(character)),
            character => out.push(character),
        }
    }
    out + "\""
}

/// A container on a host, configured or not.
#[derive(Debug, Clone)]
pub struct Container<'a> {
    pub host: &'a Host,
    pub name: String,
    /// The name of its service.
    pub unit: String,
}

impl<'a> Container<'a> {
    pub fn new(host: &'a Host, name: &str) -> Self {
        Self { host, name: name.to_owned(), unit: format!("systemd-nspawn@{name}.service") }
    }

    /// The path of its file.
    pub fn file(&self) -> String {
        format!("/etc/sdme/{}.container", self.name)
    }

    /// Writes the file of the container and reloads systemd.
    pub fn configure(&self, text: &str) -> &Self {
        self.host.write(&self.file(), text);
        self.host.ok("systemctl daemon-reload");
        self
    }

    /// Runs `systemctl VERB UNIT`, which must succeed.
    pub fn systemctl(&self, verb: &str) -> &Self {
        self.host.ok(&format!("systemctl {verb} {}", self.unit));
        self
    }

    /// A property of the container's service.
    pub fn property(&self, name: &str) -> String {
        self.host.ok(&format!("systemctl show -P {name} {}", self.unit)).trim().to_owned()
    }

    /// The upper layer of the container on the host.
    pub fn upper(&self) -> String {
        format!("/var/lib/sdme/containers/{}/upper", self.name)
    }

    /// Runs a shell command in the container, with the programs of its base. The command must
    /// succeed.
    pub fn ok(&self, command: &str) -> String {
        let command = command.replace('\'', r"'\''");
        self.host.ok(&format!("systemd-run -M {} --wait --pipe -q sh -c '{command}'", self.name))
    }

    /// The process ID, as the host sees it, of the application's process called `name`.
    pub fn process(&self, name: &str) -> String {
        let cgroup = format!("/sys/fs/cgroup/machine.slice/{}/payload/system.slice/sdme-oci-app.service", self.unit);
        let find = format!(
            "for p in $(cat {cgroup}/cgroup.procs); do [ $(cat /proc/$p/comm) = {name} ] && echo $p && exit; done; exit 1"
        );
        self.host.wait(&find, 10).trim().to_owned()
    }
}
