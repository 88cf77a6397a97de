// SPDX-License-Identifier: MIT
//! Hosts on which sdme-gen is installed, and containers on them.

use super::host::{Builder, Host};
use super::{cache, repo, require};
use std::process::Command;

/// The application image: four layers, listens on port 80, stops on SIGQUIT.
pub const NGINX: &str = "oci:/srv/images/nginx";
/// The base operating system image: Debian 13.
pub const DEBIAN: &str = "oci:/srv/images/base";
/// What the application answers with.
pub const WELCOME: &str = "hello from the nginx image\n";

/// Whether a host of `suite` can be booted with everything that is installed on it; see [`require`].
pub fn ready(suite: &str, more: &[&str]) -> bool {
    let tree = format!("tree:{suite}");
    let needs =
        ["root", "cgroup2", "unshare", "setpriv", "nsenter", "build", "make", "image:nginx", "image:base", &tree];
    require(&[&needs, more].concat())
}

/// What `make install` installs, below a directory of its own.
///
/// # Panics
/// If it cannot be installed.
pub fn installed() -> tempfile::TempDir {
    let staged = tempfile::tempdir().unwrap();
    let output = Command::new("make")
        .args(["-s", "-C"])
        .arg(repo(""))
        .arg("install")
        .arg(format!("DESTDIR={}", staged.path().display()))
        // Of the make that may have called us.
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

/// Boots what `builder` describes, with the software installed and the images in `/srv/images`.
pub fn boot_with(builder: Builder) -> Host {
    let staged = installed();
    builder.stage(staged.path()).bind(&cache().join("images"), "/srv/images").boot()
}

/// A directory of the host that shows an imported application's files, to be read.
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
    // The newer system calls take no more than 255 bytes for all directories together.
    let mount = format!("LIBMOUNT_FORCE_MOUNT2=always mount -t overlay -o lowerdir={lower} overlay {at}");
    host.ok(&format!("mkdir -p {at} && (mountpoint -q {at} || {mount})"));
    at
}

/// `word` as a file has to spell it.
pub fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            // Specifiers and variables, which are replaced.
            '%' | '$' => out.extend([character, character]),
            '\n' => out += "\\n",
            character if character.is_ascii_control() => out += &format!("\\x{:02x}", u32::from(character)),
            character if character.is_control() => out += &format!("\\u{:04x}", u32::from(character)),
            character => out.push(character),
        }
    }
    out + "\""
}

/// A container on a host, whether it is configured already or not.
#[derive(Debug, Clone)]
pub struct Container<'a> {
    pub host: &'a Host,
    pub name: String,
    /// Its service.
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

    /// Writes its file and has systemd read it.
    pub fn configure(&self, text: &str) -> &Self {
        self.host.write(&self.file(), text);
        self.host.ok("systemctl daemon-reload");
        self
    }

    /// `systemctl VERB UNIT`, which must succeed.
    pub fn systemctl(&self, verb: &str) -> &Self {
        self.host.ok(&format!("systemctl {verb} {}", self.unit));
        self
    }

    /// A property of its service.
    pub fn property(&self, name: &str) -> String {
        self.host.ok(&format!("systemctl show -P {name} {}", self.unit)).trim().to_owned()
    }

    /// Where its own files are on the host.
    pub fn upper(&self) -> String {
        format!("/var/lib/sdme/containers/{}/upper", self.name)
    }

    /// Runs a shell command inside of it, with the base's programs.
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
