// SPDX-License-Identifier: MIT
//! A host on which files are tried one set after another. It begins each set as a host that never had another one: if something
//! was left, that is reported, and a new host is booted.

use crate::files::{Files, Ports};
use crate::state::State;
use crate::support::containers::{NGINX, boot_with};
use crate::support::host::Host;

/// A host and the state it had when it was new.
pub struct Bench {
    suite: String,
    pub host: Host,
    virgin: State,
}

impl Bench {
    /// Boots a host that has the image.
    pub fn new(suite: &str) -> Self {
        // A copy of the tree: user namespaces cannot map owners on an overlay.
        let host = boot_with(Host::builder(suite, "lifecycle").copy());
        host.ok(&format!(
            "printf '%s\\n' '[Image]' Image={NGINX} >/etc/sdme/nginx.image; mkdir -p /etc/credstore /srv/one /srv/two
            echo secret >/etc/credstore/one; echo secret >/etc/credstore/two
            sysctl -qw fs.inotify.max_user_instances=4096 || true
            systemctl daemon-reload && systemctl start sdme-image@nginx"
        ));
        let virgin = State::of(&host);
        Self { suite: suite.to_owned(), host, virgin }
    }

    /// Starts units, all at once. Returns what systemctl says when one does not start.
    pub fn start(&self, units: &[String]) -> Vec<String> {
        self.systemctl("start", units)
    }

    /// `systemctl VERB UNIT...`; returns what it says when it fails.
    pub fn systemctl(&self, verb: &str, units: &[String]) -> Vec<String> {
        if units.is_empty() {
            return Vec::new();
        }
        let output = self.host.run(&format!("timeout 50 systemctl {verb} {}", units.join(" ")));
        let failed = format!("systemctl {verb}: status {}", output.status);
        if output.success() { Vec::new() } else { output.stderr.lines().map(str::to_owned).chain([failed]).collect() }
    }

    /// The state that a host has which never had other files than these, when `units` were started and the ports answer.
    pub fn wanted(&mut self, files: &Files, units: &[String], ports: &Ports) -> (State, Vec<String>) {
        files.load(&self.host);
        let mut problems = self.start(units);
        problems.extend(ports.dead(&self.host));
        let state = State::of(&self.host);
        problems.extend(self.clear());
        (state, problems)
    }

    /// Stops and removes everything. Returns how the host differs from a new one; then another one is booted.
    pub fn clear(&mut self) -> Vec<String> {
        // By pattern, which takes what is loaded: also units that no file describes any more.
        let stop = "timeout 50 systemctl stop 'sdme-publish-*' 'sdme-pod@*.target' 'systemd-nspawn@*.service' 'sdme-pod@*.service'";
        let stopped = self.host.run(stop);
        Files::default().load(&self.host);
        self.host.run("systemctl reset-failed");
        let mut left = self.virgin.changes_to(&State::of(&self.host));
        if !stopped.success() {
            left.push(format!("systemctl stop: {stopped}"));
        }
        if left.is_empty() {
            // What containers keep on purpose when they are removed.
            self.host.ok("rm -rf /var/lib/sdme/containers/* /var/lib/sdme/volumes/*");
        } else {
            self.renew();
        }
        left
    }

    /// Goes on with a new host.
    pub fn renew(&mut self) {
        *self = Self::new(&self.suite);
    }
}
