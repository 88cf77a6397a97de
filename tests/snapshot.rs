// SPDX-License-Identifier: MIT
//! Tier 2: volumes that an update copies and restores, on file systems with and without reflinks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::containers::{Container, boot_with, ready};
use support::host::Host;
use support::{run, versions};

on_every_suite!(a_database_is_restored, shared_volumes_are_copied_by_reflink);

/// The IDs of the journal messages about volumes (docs/updates.md).
const NO_SNAPSHOT: &str = "9bdc2ace5734405dae7c03067cb4ec8a";
const RESTORED: &str = "78c7904f57394ea0942be06dcac31c31";

/// The directory of the copies of volumes.
const COPIES: &str = "/var/lib/sdme/volumes/.state";

fn on(suite: &str, name: &str, case: fn(&Host, &str)) {
    if ready(suite, &["umoci", "losetup", "mkfs.xfs", "mkfs.btrfs", "mkfs.ext4", "image:databases"]) {
        let directory = tempfile::tempdir().unwrap();
        if name == "a_database_is_restored" {
            databases(directory.path());
        } else {
            pages(directory.path());
        }
        let host = boot_with(Host::builder(suite, &name.replace('_', "-")).bind(directory.path(), "/srv/versions"));
        // Each of the two suites tests one file system with reflinks.
        case(&host, if suite == "trixie" { "xfs" } else { "btrfs" });
    }
}

/// Writes a database image in three versions, and one that damages its data and crashes.
fn databases(directory: &Path) {
    let tag = versions::copy("databases", directory, "one", "postgres");
    for other in ["redis", "mariadb", "mariadb-2"] {
        // The images of other tags are removed to have less to copy. An image may not exist under
        // each name.
        let image = format!("{}:{other}", directory.join("one").display());
        let _ = Command::new("umoci").args(["remove", "--image", &image]).output();
    }
    run(Command::new("umoci").args(["gc", "--layout"]).arg(directory.join("one")));
    for name in ["two", "three", "bad"] {
        run(Command::new("cp").arg("-r").arg(directory.join("one")).arg(directory.join(name)));
        let image = tag.replace("/one:", &format!("/{name}:"));
        if name == "bad" {
            let data = "/var/lib/postgresql/data";
            versions::command(&image, &format!("rm -rf {data}/base; echo 99 >{data}/PG_VERSION; exit 3"));
        } else {
            run(Command::new("umoci").args([
                "config",
                "--config.label",
                &format!("version={name}"),
                "--image",
                &image,
            ]));
        }
    }
}

fn pages(directory: &Path) {
    for name in ["one", "two", "three"] {
        versions::page(directory, name);
    }
    versions::command(
        &versions::copy("nginx", directory, "bad", "latest"),
        "echo bad >/srv/data/file; rm /srv/data/link; echo it crashes; exit 3",
    );
}

/// Creates a file system in a file and mounts it at the directory of the volumes.
fn mount(host: &Host, kind: &str) {
    let file = host.directory().join(format!("{kind}.img"));
    std::fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    run(Command::new(format!("mkfs.{kind}")).arg(&file));
    let output = Command::new("losetup").args(["--find", "--show"]).arg(&file).output().unwrap();
    let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let number = device.trim_start_matches("/dev/loop");
    host.ok(&format!(
        "mkdir -p /var/lib/sdme/volumes && chmod 0700 /var/lib/sdme /var/lib/sdme/volumes
         [ -b {device} ] || mknod {device} b 7 {number}
         mount -t {kind} {device} /var/lib/sdme/volumes"
    ));
    // The kernel detaches the device after the unmount, at the latest when the host ends.
    run(Command::new("losetup").args(["--detach", &device]));
}

fn put(host: &Host, version: &str) {
    host.ok(&format!("rm -rf /srv/app && cp -r /srv/versions/{version} /srv/app"));
}

/// Runs `sdme-gen update`. Returns its exit status, the states of the containers, and the whole
/// report.
fn update(host: &Host) -> (i32, Vec<String>, String) {
    let output = host.run_for("sdme-gen update --json", Duration::from_secs(300));
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let list = report["containers"].as_array().unwrap().iter();
    let states = list.map(|one| format!("{} {}", one["name"].as_str().unwrap(), one["status"].as_str().unwrap()));
    (output.status, states.collect(), output.to_string())
}

fn told(host: &Host, id: &str) -> String {
    host.ok("journalctl --sync");
    host.ok(&format!("journalctl -q -o cat MESSAGE_ID={id}"))
}

fn assert_no_copies(host: &Host) {
    assert_eq!(
        host.ok(&format!("ls -A {COPIES}/snapshots {COPIES}/restores 2>/dev/null | grep -v : || true")).trim(),
        ""
    );
}

/// Sends a query to the database with its own client.
fn ask(host: &Host, question: &str) -> String {
    let client = "/usr/lib/postgresql/17/bin/psql -h 127.0.0.1 -U postgres -At";
    host.wait(&format!("sdme-gen exec db -- env PGPASSWORD=x {client} -c \"{question}\""), 60)
}

fn a_database_is_restored(host: &Host, kind: &str) {
    mount(host, kind);
    let db = Container::new(host, "db");
    let file = "[Container]\nImage=oci:/srv/app:postgres\nAutoUpdate=registry\nUpdateSettle=1s\nUpdateSnapshot=yes\n\
        Volume=pg:/var/lib/postgresql/data\nNetwork=private\nEnvironment=POSTGRES_PASSWORD=x\nNotify=healthy\nHealthTcp=5432\n\
        HealthInterval=500ms\nHealthRetries=60\n[Service]\nTimeoutStartSec=60s\n";
    put(host, "one");
    db.configure(file).systemctl("start");
    ask(host, "create table kept as select 1 as it");

    put(host, "two");
    let (status, containers, report) = update(host);
    assert_eq!((status, containers), (0, vec!["db updated".to_owned()]), "{report}");
    assert_eq!(ask(host, "select it from kept"), "1\n");
    assert_no_copies(host);
    assert_eq!(told(host, RESTORED), "");

    // The next version damages the data and fails; the data are restored.
    ask(host, "insert into kept values (2)");
    put(host, "bad");
    let (status, containers, report) = update(host);
    assert_eq!((status, containers), (1, vec!["db rolled back".to_owned()]), "{report}");
    assert_eq!(ask(host, "select it from kept order by it"), "1\n2\n");
    assert_eq!(told(host, RESTORED), "the volume pg is as it was before the update\n");
    assert_no_copies(host);
    assert_eq!(update(host).1, Vec::<String>::new(), "the version is tried once");

    // After an update was killed, the next start restores the data from before the update.
    put(host, "three");
    db.configure(&file.replace("UpdateSettle=1s", "UpdateSettle=1h"));
    host.ok("systemd-run -q --unit=killed sdme-gen update");
    host.wait(&format!("test -d {COPIES}/snapshots/pg && systemctl is-active {}", db.unit), 60);
    ask(host, "insert into kept values (3)");
    host.ok("systemctl kill -s KILL killed");
    host.wait("! systemctl is-active killed", 10);
    db.systemctl("restart");
    assert_eq!(ask(host, "select it from kept order by it"), "1\n2\n");
    assert_no_copies(host);

    // Another container uses the volume: the update is skipped, and nothing is stopped.
    host.write(
        "/etc/sdme/other.container",
        "[Container]\nImage=oci:/srv/images/nginx\nNetwork=private\nVolume=pg:/srv:ro\n",
    );
    db.configure(file);
    host.ok("systemctl start systemd-nspawn@other");
    let before = db.property("InvocationID");
    let (status, containers, report) = update(host);
    assert_eq!((status, containers), (1, vec!["db skipped".to_owned()]), "{report}");
    let message = "/etc/sdme/db.container:5: the volume pg cannot be copied while other uses it";
    assert!(report.contains(message) && told(host, NO_SNAPSHOT).contains(message), "{report}");
    assert_eq!(db.property("InvocationID"), before);
    host.ok("systemctl stop systemd-nspawn@other");
    assert_eq!(update(host).1, ["db updated"]);
    assert_eq!(ask(host, "select it from kept order by it"), "1\n2\n");
}

/// Containers that share a volume, on a file system without reflinks and then on one with reflinks.
fn shared_volumes_are_copied_by_reflink(host: &Host, kind: &str) {
    mount(host, "ext4");
    let file = |port: u16| {
        format!(
            "[Container]\nImage=oci:/srv/app\nAutoUpdate=registry\nUpdateSettle=1s\nVolume=data:/srv/data\nNetwork=private\n\
             PublishPort={port}:80\nNotify=healthy\nHealthHttp=:80/\nHealthInterval=500ms\nHealthRetries=3\n[Service]\nTimeoutStartSec=15s\n"
        )
    };
    put(host, "one");
    host.write("/etc/sdme/sdme.conf", "[Defaults]\nUpdateSnapshot=yes\n");
    let both = [Container::new(host, "a"), Container::new(host, "b")];
    for (container, port) in both.iter().zip([8081, 8082]) {
        container.configure(&file(port)).systemctl("start");
    }
    host.write("/var/lib/sdme/volumes/data/file", "one\n");
    let pages = || [8081, 8082].map(|port| host.wait_http(&format!("http://127.0.0.1:{port}/"), 20)).concat();
    let runs = || both.iter().map(|one| one.property("InvocationID")).collect::<Vec<_>>();

    put(host, "two");
    let before = runs();
    let checked = host.run("sdme-gen check 2>&1");
    assert!(checked.success() && checked.stdout.contains("sdme.conf:2: warning: the file system of"), "{checked}");
    let (status, containers, report) = update(host);
    assert_eq!((status, containers), (1, vec!["a skipped".to_owned(), "b skipped".to_owned()]), "{report}");
    let message = "/etc/sdme/sdme.conf:2: the file system of /var/lib/sdme/volumes cannot copy by reflinks (";
    assert!(report.contains(message) && told(host, NO_SNAPSHOT).contains(message), "{report}");
    assert_eq!((runs(), pages().as_str()), (before, "one\none\n"));
    assert_no_copies(host);

    // Without UpdateSnapshot=, the containers are updated without a copy.
    host.write("/etc/sdme/sdme.conf", "");
    assert_eq!(update(host).1, ["a updated", "b updated"]);
    assert_eq!(pages(), "two\ntwo\n");
    host.ok("systemctl stop systemd-nspawn@a systemd-nspawn@b && umount /var/lib/sdme/volumes");
    mount(host, kind);
    host.write("/etc/sdme/sdme.conf", "[Defaults]\nUpdateSnapshot=yes\n");
    host.ok("systemctl daemon-reload && systemctl start systemd-nspawn@a systemd-nspawn@b");
    host.write("/var/lib/sdme/volumes/data/file", "two\n");
    assert_eq!(host.run("sdme-gen check 2>&1").stdout, "");
    // A container can create a symbolic link in its volume that leads out of the volume.
    host.write("/etc/outside", "untouched\n");
    host.ok("ln -s /etc/outside /var/lib/sdme/volumes/data/link");
    put(host, "three");
    let (status, containers, report) = update(host);
    assert_eq!((status, containers), (0, vec!["a updated".to_owned(), "b updated".to_owned()]), "{report}");
    assert_eq!((pages().as_str(), host.read("/var/lib/sdme/volumes/data/file").as_str()), ("three\nthree\n", "two\n"));
    assert_no_copies(host);

    // The first container fails; the second one was stopped for the copy. Both run again with the
    // data from before the update.
    put(host, "bad");
    let (status, containers, report) = update(host);
    assert_eq!((status, containers), (1, vec!["a rolled back".to_owned(), "b rolled back".to_owned()]), "{report}");
    assert_eq!((pages().as_str(), host.read("/var/lib/sdme/volumes/data/file").as_str()), ("three\nthree\n", "two\n"));
    assert_no_copies(host);
    let link = host.ok("readlink /var/lib/sdme/volumes/data/link; cat /etc/outside");
    assert_eq!(link, "/etc/outside\nuntouched\n");
}
