// SPDX-License-Identifier: MIT
//! A host on which sets of configuration files are tried one after another. Each set must start on
//! a clean host: if the previous set left anything, that is reported, and a new host is booted.

use crate::files::{Files, Ports};
use crate::state::State;
use crate::support::containers::{NGINX, boot_with};
use crate::support::host::Host;

/// A host and its state right after its boot.
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

    /// Starts units, all at once. Returns the output of systemctl if a unit does not start.
    pub fn start(&self, units: &[String]) -> Vec<String> {
        self.systemctl("start", units)
    }

    /// Runs `systemctl VERB UNIT...`. Returns the output if it fails.
    pub fn systemctl(&self, verb: &str, units: &[String]) -> Vec<String> {
        if units.is_empty() {
            return Vec::new();
        }
        let output = self.host.run(&format!("timeout 50 systemctl {verb} {}", units.join(" ")));
        let failed = format!("systemctl {verb}: status {}", output.status);
        if output.success() { Vec::new() } else { output.stderr.lines().map(str::to_owned).chain([failed]).collect() }
    }

    /// The state of a host that never had other files than these, after `units` were started and
    /// the ports answer.
    pub fn wanted(&mut self, files: &Files, units: &[String], ports: &Ports) -> (State, Vec<String>) {
        files.load(&self.host);
        let mut problems = self.start(units);
        problems.extend(ports.dead(&self.host));
        let state = State::of(&self.host);
        problems.extend(self.clear());
        (state, problems)
    }

    /// Stops and removes everything. Returns the differences from a new host; if there are any, a
    /// new host is booted.
    pub fn clear(&mut self) -> Vec<String> {
        // A pattern matches all loaded units, including those that no file describes any more.
        let stop = "timeout 50 systemctl stop 'sdme-publish-*' 'sdme-pod@*.target' 'systemd-nspawn@*.service' 'sdme-pod@*.service'";
        let stopped = self.host.run(stop);
        Files::default().load(&self.host);
        self.host.run("systemctl reset-failed");
        let mut left = self.virgin.changes_to(&State::of(&self.host));
        if !stopped.success() {
            left.push(format!("systemctl stop: {stopped}"));
        }
        if left.is_empty() {
            // Removing a container keeps its state and its volumes on purpose.
            self.host.ok("rm -rf /var/lib/sdme/containers/* /var/lib/sdme/volumes/*");
        } else {
            self.renew();
        }
        left
    }

    /// Replaces the host by a new one.
    pub fn renew(&mut self) {
        *self = Self::new(&self.suite);
    }
}
