// SPDX-License-Identifier: MIT
//! Tier 2: a Debian image without systemd becomes the operating system of a container.
//! `sdme-image@` installs systemd with the package manager of the image, from packages that this
//! test serves on the loopback interface of the host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;

use nix::sched::{CloneFlags, setns};
use support::containers::{Container, boot, ready};
use support::host::Host;
use support::image;

/// The port of the package server in the image's `sources.list`.
const PORT: u16 = 8099;

/// Serves the files of a directory on the loopback interface of `host` as long as this process
/// runs.
fn serve(host: &Host, directory: &Path) {
    let network = File::open(format!("/proc/{}/ns/net", host.pid())).unwrap();
    let directory = directory.to_owned();
    let (listening, ready) = mpsc::channel();
    std::thread::spawn(move || {
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        listening.send(()).unwrap();
        for connection in listener.incoming().flatten() {
            // A client that closes the connection early is not an error.
            let _ = answer(connection, &directory);
        }
    });
    ready.recv().unwrap();
}

fn answer(mut connection: TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().replace("%7e", "~").replace("%2b", "+");
    let file = path.rsplit('/').next().filter(|file| !file.is_empty()).unwrap_or("none");
    let (status, body) = match std::fs::read(directory.join(file)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    connection.write_all(&body)
}

#[test]
fn systemd_is_installed_into_a_base_that_lacks_it() {
    if !ready("trixie", &["image:minbase", "image:minbase.packages"]) {
        return;
    }
    let host = &boot("trixie", "install");
    let box1 = Container::new(host, "box");
    let image_file = |more: &str| {
        host.write("/etc/sdme/min.image", format!("[Image]\nImage=oci:/srv/images/minbase\n{more}"));
        host.ok("systemctl daemon-reload");
    };
    let failure = || {
        host.fails("systemctl start systemd-nspawn@box");
        host.fails("systemctl status -l -n 100 sdme-image@min")
    };
    let leftovers = "ls -A /var/lib/sdme/store 2>/dev/null | grep -v '^[.]locks$'";

    // InstallPackages=no prevents the installation. If the packages cannot be downloaded, the
    // status has the package manager's own reason.
    image_file("InstallPackages=no\n");
    box1.configure("[Container]\nImage=min.image\n");
    assert!(failure().contains("has no systemd to boot"));
    image_file("");
    let status = failure();
    assert!(status.contains("installing systemd") && status.contains("127.0.0.1:8099"), "{status}");
    host.fails(leftovers);

    // The installation commands cannot change the host. The probe prints what it was able to do.
    let probe = "for i in /proc/sys/kernel/hostname /sys/kernel/uevent_helper /proc/sysrq-trigger; do \
        (echo x >$i) 2>/dev/null && echo wrote $i; done; mknod /dev/disk b 8 0 2>/dev/null && echo made a disk; \
        mount -t tmpfs x /mnt 2>/dev/null && echo mounted; ls -d /etc/sdme /var/lib/sdme /srv/images 2>/dev/null; \
        echo map $(cat /proc/self/uid_map); echo processes $(ls -d /proc/[0-9]* | wc -l); exit 7";
    host.write("/etc/sdme/sdme.conf", format!("[Defaults]\nInstallDebian={probe}\n"));
    let status = failure();
    let said = status.split("last words:").nth(1).unwrap_or_else(|| panic!("{status}")).trim_start();
    assert!(said.starts_with("map 0 ") && !said.starts_with("map 0 0 "), "{status}");
    assert!(status.contains("exit status: 7"), "{status}");
    host.fails(leftovers);
    host.ok("rm /etc/sdme/sdme.conf");

    serve(host, &image("minbase.packages"));
    box1.systemctl("start");
    assert_eq!(box1.property("ActiveState"), "active");
    assert!(box1.ok("cat /etc/os-release").contains("trixie"));
    host.wait("systemctl -M box is-active multi-user.target dbus.socket", 30);
    host.ok("machinectl shell box /bin/true");
    let record = host.ok("sdme-gen fs ls --json");
    assert!(record.contains("apt-get -q update") && record.contains("\"mode\": \"base\""), "{record}");

    // The tree has no file of the machine that installed it, and all owners are in the image's
    // range.
    let tree = "/var/lib/sdme/fs/min/tree";
    host.ok(&format!("! test -e {tree}/etc/machine-id && ! test -e {tree}/etc/resolv.conf"));
    host.ok(&format!("test -z \"$(find {tree} -uid +65535 -o -gid +65535)\""));
    assert_eq!(host.ok(&format!("stat -c %u:%g {tree}/usr/lib/systemd/systemd")), "0:0\n");
    host.ok("! ls -A /var/lib/sdme/store/*/ | grep lck");

    // The installation is not repeated; with other settings, the image is another one.
    box1.systemctl("restart");
    host.ok("test $(journalctl -q -u sdme-image@min | grep -c 'installing it') = 3");
    image_file("InstallPackages=no\n");
    host.fails("systemctl restart systemd-nspawn@box");

    // Alpine Linux cannot become an operating system.
    host.ok("mkdir -p /tmp/alpine/etc /tmp/alpine/bin && echo ID=alpine >/tmp/alpine/etc/os-release
        tar -C /tmp/alpine -cf /tmp/alpine.tar .");
    let refused = host.fails("sdme-gen fs import alpine rootfs:/tmp/alpine.tar");
    assert!(refused.contains("Alpine Linux has no systemd") && refused.contains("Mode=app"), "{refused}");
    host.ok("sdme-gen fs import alpine rootfs:/tmp/alpine.tar --app");
}
