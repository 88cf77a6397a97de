// SPDX-License-Identifier: MIT
//! Tier 2: a web server and three databases from images of Debian packages, on the `/usr` of the
//! host and on a base image. Their own clients get answers with their passwords, and their data
//! survives all restarts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};
use support::containers::{Container, DEBIAN, NGINX, WELCOME, boot, files_of, ready};
use support::host::Host;

const DATABASES: &str = "/srv/images/databases";
/// The same images with an additional label.
const REPLACED: &str = "/var/replaced";

#[test]
fn databases_work_on_trixie() {
    on("trixie");
}

#[test]
fn databases_work_on_forky() {
    on("forky");
}

fn on(suite: &str) {
    if ready(suite, &["image:databases", "umoci"]) {
        services_run_as_their_images_intend(&boot(suite, "databases"));
    }
}

/// A service, and the parameters of its client.
struct Service<'a> {
    container: Container<'a>,
    /// The name of the image.
    image: &'static str,
    port: u16,
    /// The settings in its file, without the image.
    settings: &'static str,
    /// The password; empty for a service without one.
    password: &'static str,
    /// A message of an orderly shutdown.
    farewell: &'static str,
}

impl Service<'_> {
    /// Runs the client of the service, from its image and in the network of the host.
    fn ask(&self, question: &str) -> String {
        let Self { image, port, .. } = self;
        let root = || files_of(self.container.host, image);
        let password = format!("/srv/passwords/{}", self.container.name);
        let client = match *image {
            "nginx" => format!("curl -fsS --max-time 5 http://localhost:{port}/"),
            "redis" => format!("chroot {} redis-cli -p {port} {question}", root()),
            "postgres" => format!(
                "PGPASSWORD=$(cat {password}) chroot {} /usr/lib/postgresql/17/bin/psql \
                 'host=127.0.0.1 port={port} user=postgres connect_timeout=5' -Atc \"{question}\"",
                root()
            ),
            _ => format!(
                "MYSQL_PWD=$(cat {password}) chroot {} mariadb -h127.0.0.1 -P{port} -uroot --connect-timeout=5 -NBe \"{question}\"",
                root()
            ),
        };
        self.container.host.wait(&client, 60)
    }

    /// Stores data in the service.
    fn tell(&self) {
        match self.image {
            "nginx" => String::new(),
            "redis" => self.ask("set kept 'what was said'"),
            "postgres" => self.ask("create table kept as select 'what was said' as it"),
            _ => self.ask("create database kept; create table kept.kept as select 'what was said' as it"),
        };
    }

    /// Asserts that the service is up and has the stored data.
    fn assert_known(&self) {
        let (question, answer) = match self.image {
            "nginx" => ("", WELCOME),
            "redis" => ("get kept", "what was said\n"),
            "postgres" => ("select it from kept", "what was said\n"),
            _ => ("select it from kept.kept", "what was said\n"),
        };
        assert_eq!(self.ask(question), answer, "{}", self.container.name);
    }
}

const MARIADB: &str = "mariadbd: Shutdown complete";
const POSTGRES: &str = "database system is shut down";
const REDIS: &str = "bye bye";
const NGINX_ENDS: &str = "exited with code 0";

fn services(host: &Host) -> Vec<Service<'_>> {
    let service = |name: &str, image, port, settings, password, farewell| Service {
        container: Container::new(host, name),
        image,
        port,
        settings,
        password,
        farewell,
    };
    vec![
        // These services run on the /usr of the host and in its network.
        service(
            "web",
            "nginx",
            80,
            "Exec=nginx -g 'daemon off; error_log /var/log/nginx/error.log notice;'\n",
            "",
            NGINX_ENDS,
        ),
        service("redis", "redis", 6379, "Volume=redis:/data\n", "", REDIS),
        service(
            "maria",
            "mariadb",
            3306,
            "Volume=maria.volume:/var/lib/mysql\nEnvironment=\"MARIADB_ROOT_PASSWORD=50%%%% it's \\\"$$HOME\\\"\"\n",
            "50%% it's \"$HOME\"",
            MARIADB,
        ),
        service(
            "postgres",
            "postgres",
            5432,
            "Volume=/srv/pg:/var/lib/postgresql/data\nEnvironment=POSTGRES_PASSWORD=x\n",
            "x",
            POSTGRES,
        ),
        // These services run on a base image, in separate networks, with the volumes that the
        // images declare. Their log files are links to the standard streams.
        service(
            "web-d",
            "nginx",
            8080,
            "Base=debian.image\nPublishPort=8080:80\nNetwork=private\nExec=nginx -g 'daemon off; error_log /var/log/nginx/error.log notice;'\n",
            "",
            NGINX_ENDS,
        ),
        service(
            "redis-d",
            "redis",
            16379,
            "Base=debian.image\nPublishPort=16379:6379\nNetwork=private\nVolume=/srv/log:/var/log/links:ro\n\
             Exec=redis-server --protected-mode no --logfile /var/log/links/out.log\n",
            "",
            REDIS,
        ),
        service(
            "maria-d",
            "mariadb",
            13306,
            "Base=debian.image\nPublishPort=13306:3306\nNetwork=private\nVolume=/srv/log:/var/log/links:ro\n\
             Exec=mariadbd --bind-address=* --log-error=/var/log/links/err.log\nEnvironmentFile=-./missing.env ./maria.env\n",
            "\"from a file\" $x",
            MARIADB,
        ),
        service(
            "postgres-d",
            "postgres",
            15432,
            "Base=debian.image\nPublishPort=15432:5432\nNetwork=private\n\
             Environment=POSTGRES_PASSWORD_FILE=/run/secrets/pg\nSecret=postgres,target=pg,uid=997,mode=0400\n",
            "kept secret",
            POSTGRES,
        ),
        // The two other ways to set a password.
        service(
            "maria-s",
            "mariadb",
            23306,
            "PublishPort=23306:3306\nNetwork=private\nSecret=maria,type=env,target=MARIADB_ROOT_PASSWORD\n",
            "told \\ \"nobody\"",
            MARIADB,
        ),
        service("maria-e", "mariadb-2", 33306, "PublishPort=33306:3306\nNetwork=private\n", "of the image", MARIADB),
    ]
}

/// Creates a layout with new images that have the same content, on which a service must find its
/// data.
fn replaced(host: &Host) {
    let to = host.directory().join("var/replaced");
    let from = support::image("databases");
    let copy = |options: &str| Command::new("cp").arg(options).arg(&from).arg(&to).status().unwrap().success();
    assert!(copy("-al") || copy("-a"));
    // The index is modified, so it must not be a hard link.
    let index = to.join("index.json");
    std::fs::remove_file(&index).unwrap();
    std::fs::copy(from.join("index.json"), &index).unwrap();
    for tag in ["redis", "mariadb", "postgres"] {
        let image = format!("{}:{tag}", to.display());
        let status =
            Command::new("umoci").args(["config", "--config.label", "replaced=yes", "--image", &image]).status();
        assert!(status.unwrap().success());
    }
}

fn images(host: &Host, layout: &str) {
    for tag in ["redis", "mariadb", "postgres"] {
        host.write(&format!("/etc/sdme/{tag}.image"), format!("[Image]\nImage=oci:{layout}:{tag}\n"));
    }
}

fn services_run_as_their_images_intend(host: &Host) {
    replaced(host);
    images(host, DATABASES);
    host.write("/etc/sdme/mariadb-2.image", format!("[Image]\nImage=oci:{REPLACED}:mariadb\n"));
    host.write("/etc/sdme/nginx.image", format!("[Image]\nImage={NGINX}\n"));
    host.write("/etc/sdme/debian.image", format!("[Image]\nImage={DEBIAN}\n"));
    host.write("/etc/sdme/maria.volume", "[Volume]\nVolumeName=mariadb\n");
    host.write("/etc/sdme/maria.env", "# Docker's format\nMARIADB_ROOT_PASSWORD=\"from a file\" $x\n");
    host.ok("chmod 0600 /etc/sdme/maria.env && mkdir -p /srv/log /srv/pg /etc/credstore /etc/credstore.encrypted");
    host.ok("ln -s /dev/stdout /srv/log/out.log && ln -s /dev/stderr /srv/log/err.log");
    let services = services(host);
    for Service { container, image, settings, password, .. } in &services {
        host.write(&container.file(), format!("[Container]\nImage={image}.image\n{settings}"));
        host.write(&format!("/srv/passwords/{}", container.name), password);
    }
    host.ok("cp /srv/passwords/maria-s /etc/credstore/maria && chmod 0600 /etc/credstore/maria");
    host.ok("systemd-creds encrypt --with-key=host --name=postgres /srv/passwords/postgres-d /etc/credstore.encrypted/postgres");
    host.ok("systemctl daemon-reload && systemctl start sdme-image@mariadb-2");
    host.ok("echo 'MARIADB_ROOT_PASSWORD=\"of the image\"' >>/var/lib/sdme/fs/mariadb-2/tree/oci/env");
    let units: Vec<&str> = services.iter().map(|s| s.container.unit.as_str()).collect();
    let units = units.join(" ");
    let all = |verb: &str| host.run_for(&format!("systemctl {verb} {units}"), Duration::from_secs(120));
    assert!(all("start").success(), "{}", host.ok("journalctl -b -n 60 --no-pager -u 'systemd-nspawn@*'"));

    services.iter().for_each(Service::tell);
    services.iter().for_each(Service::assert_known);
    logs(host);
    secrets(host);
    stop(host, &services, &|| all("stop"));
    images(host, REPLACED);
    host.ok("systemctl daemon-reload && systemctl start sdme-image@{redis,mariadb,postgres}");
    assert!(all("start").success());
    services.iter().for_each(Service::assert_known);
    assert!(all("restart").success());
    services.iter().for_each(Service::assert_known);
    host.ok("grep -q replaced=yes /var/lib/sdme/fs/redis/image.json || grep -q '\"replaced\": *\"yes\"' /var/lib/sdme/fs/redis/image.json");
}

/// The output of a service is in the journal of its container, including output to a file that is a
/// link to a standard stream.
fn logs(host: &Host) {
    for (container, message) in [
        ("web", "GET / HTTP/1.1\" 200"),
        ("web-d", "GET / HTTP/1.1\" 200"),
        ("redis", "Ready to accept connections"),
        ("redis-d", "Ready to accept connections"),
        ("maria", "mariadbd: ready for connections"),
        ("maria-d", "mariadbd: ready for connections"),
        ("postgres", "database system is ready to accept connections"),
        ("postgres-d", "database system is ready to accept connections"),
    ] {
        host.wait(&format!("journalctl -M {container} -u sdme-oci-app -o cat | grep -F '{message}'"), 10);
    }
}

/// Only root, and the user that the configuration names, can read secrets.
fn secrets(host: &Host) {
    let secrets = "/run/sdme/secrets";
    assert_eq!(host.ok(&format!("stat -c %a {secrets}/postgres-d {secrets}/maria-s")), "700\n700\n");
    assert_eq!(host.ok(&format!("cd {secrets} && stat -c %a:%u maria-s/* postgres-d/*")), "400:0\n400:997\n");
    let mounted = "systemd-run -M postgres-d --wait --pipe -q stat -c %a:%u /oci/mounts/run-secrets-pg";
    assert_eq!(host.ok(mounted), "400:997\n");
    assert_eq!(host.ok("stat -c %a /run/sdme/containers/maria-d/config/oci/container.env"), "600\n");
    // Secrets are neither in a unit nor on a command line.
    host.write("/srv/told", "kept secret\ntold \\ \"nobody\"\n\"from a file\" $x\n");
    assert_eq!(host.ok("grep -rlsF -f /srv/told /run/systemd /etc/systemd || true"), "");
    assert_eq!(host.ok("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -aoF -f /srv/told || true"), "");
}

/// All services stop by their own signal and within the time limit.
fn stop(host: &Host, services: &[Service<'_>], stop: &dyn Fn() -> support::Output) {
    let began = Instant::now();
    assert!(stop().success());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    for Service { container, farewell, .. } in services {
        assert_eq!(container.property("Result"), "success");
        let journal = host.ok(&format!("journalctl -D {}/var/log/journal -u sdme-oci-app -o cat", container.upper()));
        for message in [farewell, "Deactivated successfully"] {
            assert!(journal.contains(message), "{}: no {message:?} in {journal}", container.name);
        }
        assert!(!journal.contains("Killing") && !journal.contains("timed out"), "{journal}");
    }
    host.ok("test ! -e /run/sdme/secrets/maria-s && test ! -e /run/sdme/secrets/postgres-d");
}
