// SPDX-License-Identifier: MIT
//! Two tiers in a pod each: two web servers in one, redis and `MariaDB` in the other, and
//! containers that are in both. Tests use them on hosts in namespaces and in virtual machines.

use super::containers::{NGINX, WELCOME};
use super::host::Host;
use super::vm::Vm;

/// A host or virtual machine on which tests run commands.
pub trait Machine {
    /// Runs a command that must succeed, and returns its standard output.
    fn ok(&self, command: &str) -> String;
    /// Runs a command until it succeeds, and returns its standard output.
    fn wait(&self, command: &str, seconds: u64) -> String;
}

impl Machine for Host {
    fn ok(&self, command: &str) -> String {
        Self::ok(self, command)
    }

    fn wait(&self, command: &str, seconds: u64) -> String {
        Self::wait(self, command, seconds)
    }
}

impl Machine for Vm {
    fn ok(&self, command: &str) -> String {
        Self::ok(self, command)
    }

    fn wait(&self, command: &str, seconds: u64) -> String {
        Self::wait(self, command, seconds)
    }
}

/// The file of a container with the nginx image and additional lines.
pub fn nginx(more: &str) -> String {
    format!("[Container]\nImage={NGINX}\n{more}")
}

/// A line that makes nginx answer `text` on `port`.
pub fn answers(port: u16, text: &str) -> String {
    format!(
        "Exec=sh -c 'mkdir -p /srv/own && echo {text} >/srv/own/index.html && \
         echo \"server {{ listen {port}; listen [::]:{port}; root /srv/own; }}\" >/etc/nginx/conf.d/site.conf && \
         exec nginx -g \"daemon off;\"'\n"
    )
}

/// The prefix that runs a command in the network of a pod.
pub fn in_pod(name: &str) -> String {
    format!("nsenter --net=/run/sdme/pods/{name}/netns")
}

/// The files in `/etc/sdme`. The images are in `/srv/images`.
pub fn files() -> [(&'static str, String); 8] {
    let database = |tag: &str, more: &str| {
        format!("[Container]\nImage=oci:/srv/images/databases:{tag}\nOciPod=data-tier.pod\n{more}\n")
    };
    let pod = || "[Pod]\n".to_owned();
    [
        ("web-tier.pod", pod()),
        ("front.container", nginx("Pod=web-tier.pod\n")),
        ("back.container", nginx(&format!("Pod=web-tier.pod\n{}", answers(8081, "back")))),
        ("data-tier.pod", pod()),
        // The container is in one pod and its application in another, or both are in one.
        ("redis.container", database("redis", "Pod=web-tier.pod")),
        ("mariadb.container", database("mariadb", "Pod=data-tier.pod\nEnvironment=MARIADB_ROOT_PASSWORD=secret")),
        // The application is in a pod, and its container is not.
        ("web-pod.pod", pod()),
        ("joins.container", nginx("OciPod=web-pod.pod\n")),
    ]
}

/// Checks that members of a tier reach each other over 127.0.0.1, that members of different tiers
/// do not, and that the host's ports are free. The databases may take `patience` seconds to answer.
pub fn assert_tiers(machine: &impl Machine, patience: u64) {
    let page = |prefix: &str, port: u16| {
        machine.wait(&format!("{prefix} curl -fsS --max-time 10 http://127.0.0.1:{port}/"), 60)
    };
    let [web, data, alone] = ["web-tier", "data-tier", "web-pod"].map(in_pod);
    for (prefix, port, text) in [(&web, 80, WELCOME), (&web, 8081, "back\n"), (&alone, 80, WELCOME)] {
        assert_eq!(page(prefix, port), text);
    }
    let redis = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/6379 && echo PING >&3 && timeout 5 head -n 1 <&3' | grep PONG";
    let mariadb = "bash -c 'timeout 5 head -c 60 </dev/tcp/127.0.0.1/3306 | grep -aq MariaDB'";
    machine.wait(&format!("{data} {redis}"), patience);
    machine.wait(&format!("{data} {mariadb} || {{ journalctl -M mariadb -n 30 --no-pager -o cat; false; }}"), patience);
    // The same from inside the members: from the whole container in one tier, from the applications
    // in the other.
    assert_eq!(page("systemd-run -M front --wait --pipe -q", 8081), "back\n");
    assert_eq!(page("systemd-run -M redis --wait --pipe -q", 8081), "back\n");
    machine.ok(&format!("systemd-run -M mariadb --wait --pipe -q {mariadb}"));
    for (member, other) in [("redis", mariadb), ("mariadb", redis)] {
        let processes = format!(
            "/sys/fs/cgroup/machine.slice/systemd-nspawn@{member}.service/payload/system.slice/sdme-oci-app.service/cgroup.procs"
        );
        machine.ok(&format!("nsenter --net -t $(head -n 1 {processes}) {other}"));
    }

    let closed = [(&*web, 6379), (&web, 3306), (&data, 80), (&data, 8081), ("", 6379), ("", 3306), ("", 8081)];
    let closed = closed.map(|(prefix, port)| format!("! {prefix} curl -sS --max-time 5 http://127.0.0.1:{port}/"));
    machine.ok(&closed.join(" && "));
    // If only the application is in a pod, its container has another network.
    machine.ok("! systemd-run -M joins --wait --pipe -q curl -sS --max-time 5 http://127.0.0.1/");
}
