// SPDX-License-Identifier: MIT
//! Tier 2: `systemctl start` of a container whose image is in a registry: Debian's
//! `docker-registry` on the loopback interface of a real systemd host, over plain HTTP and over
//! HTTPS with a private certificate authority.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::path::Path;
use std::process::{Child, Command};
use support::containers::{Container, WELCOME, boot, ready};
use support::host::Host;
use support::{image, run};

/// A registry in the host's network. Its files, including the certificate, are in the host's
/// `/srv`.
struct Registry<'a> {
    host: &'a Host,
    port: u16,
    child: Child,
}

impl<'a> Registry<'a> {
    fn start(host: &'a Host, port: u16, more: &str) -> Self {
        let outside = host.directory().join("upper/srv");
        let config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {0}/registry\nhttp:\n  \
             addr: 127.0.0.1:{port}\n{1}",
            outside.display(),
            more.replace("/srv", outside.to_str().unwrap())
        );
        let file = format!("/srv/registry-{port}.yml");
        host.write(&file, config);
        let file = outside.join(file.trim_start_matches("/srv/"));
        let child = host.spawn_outside("docker-registry", &["serve", file.to_str().unwrap()]);
        host.wait(&format!("bash -c '</dev/tcp/127.0.0.1/{port}'"), 10);
        Self { host, port, child }
    }

    /// Pushes the tag `latest` of the layout as `team/nginx:TAG`.
    fn push(&self, layout: &Path, tag: &str) {
        let mut skopeo = self.host.outside("skopeo");
        skopeo.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds=me:secret"]);
        skopeo.arg(format!("oci:{}:latest", layout.display()));
        run(skopeo.arg(format!("docker://127.0.0.1:{}/team/nginx:{tag}", self.port)));
    }

    fn stop(mut self) {
        // The child process is nsenter, which only waits for the registry in the host's PID
        // namespace. The brackets in the pattern keep pkill from matching its own command line.
        self.host.ok(&format!("pkill -f '[r]egistry-{}.yml'", self.port));
        self.child.wait().unwrap();
        self.host.fails(&format!("bash -c '</dev/tcp/127.0.0.1/{}'", self.port));
    }
}

fn page(host: &Host) -> String {
    host.wait_http("http://localhost/", 10)
}

#[test]
fn a_start_pulls_from_a_registry_once() {
    if !ready("trixie", &["docker-registry", "skopeo", "umoci"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let second = directory.path().join("second");
    run(Command::new("cp").arg("-r").arg(image("nginx")).arg(&second));
    std::fs::write(directory.path().join("index.html"), "second\n").unwrap();
    run(Command::new("umoci")
        .args(["insert", "--image", &format!("{}:latest", second.display())])
        .arg(directory.path().join("index.html"))
        .arg("/usr/share/nginx/html/index.html"));

    let host = &boot("trixie", "http");
    let web = Container::new(host, "web");
    let configure = |tag: &str| web.configure(&format!("[Container]\nImage=127.0.0.1:5000/team/nginx:{tag}\n"));
    configure("1");
    host.fails("systemctl start systemd-nspawn@web");
    let status = host.fails("systemctl status -l 'sdme-image@127.0.0.1:5000-team-nginx:1'");
    assert!(status.contains("127.0.0.1:5000/team/nginx:1") && status.contains("cannot be reached"), "{status}");

    let registry = Registry::start(host, 5000, "");
    registry.push(&image("nginx"), "1");
    registry.push(&second, "2");
    web.systemctl("start");
    assert_eq!(page(host), WELCOME);

    // Another image reference yields another image.
    configure("2");
    assert_eq!(page(host), WELCOME, "a running container keeps what it started with");
    web.systemctl("restart");
    assert_eq!(page(host), "second\n");

    // Imported images, including earlier ones, start without the registry.
    registry.stop();
    web.systemctl("restart");
    assert_eq!(page(host), "second\n");
    configure("1").systemctl("stop").systemctl("start");
    assert_eq!(page(host), WELCOME);
    configure("3");
    host.fails("systemctl restart systemd-nspawn@web");
    configure("2").systemctl("start");
    assert_eq!(page(host), "second\n");
}

#[test]
fn https_needs_a_certificate_authority_that_the_host_trusts() {
    if !ready("trixie", &["docker-registry", "skopeo", "htpasswd"]) {
        return;
    }
    let host = &boot("trixie", "https");
    // The service that pulls images can read files below /root, but not write them.
    let passwords = Command::new("htpasswd").args(["-Bbn", "me", "secret"]).output().unwrap();
    host.write("/srv/htpasswd", passwords.stdout);
    host.write("/root/auth.json", r#"{"auths": {"registry.test:5443": {"auth": "bWU6c2VjcmV0"}}}"#);
    host.write("/etc/hosts", "127.0.0.1 localhost registry.test\n");
    host.ok("mkdir /srv/tls && cd /srv/tls
        new='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2'
        $new -subj '/CN=test authority' -keyout ca.key -out ca.pem
        $new -subj /CN=registry.test -CA ca.pem -CAkey ca.key -keyout key.pem -out cert.pem \
            -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:registry.test");
    let registry = Registry::start(
        host,
        5443,
        "  tls:\n    certificate: /srv/tls/cert.pem\n    key: /srv/tls/key.pem\n\
         auth:\n  htpasswd:\n    realm: test\n    path: /srv/htpasswd\n",
    );
    registry.push(&image("nginx"), "1");

    let web = Container::new(host, "web");
    host.write("/etc/sdme/nginx.image", "[Image]\nImage=registry.test:5443/team/nginx:1\nAuthFile=/root/auth.json\n");
    web.configure("[Container]\nImage=nginx.image\n");
    host.fails("systemctl start systemd-nspawn@web");
    let status = host.fails("systemctl status -l sdme-image@nginx");
    let names_both = status.contains("registry.test:5443/team/nginx:1") && status.contains("certificate");
    assert!(names_both, "{status}");

    host.ok("cp /srv/tls/ca.pem /usr/local/share/ca-certificates/test.crt && update-ca-certificates");
    web.systemctl("start");
    assert_eq!(page(host), WELCOME);
    registry.stop();
    web.systemctl("restart");
    assert_eq!(page(host), WELCOME);
}
