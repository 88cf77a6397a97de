// SPDX-License-Identifier: MIT
//! `sdme-image@.service` unpacks untrusted archives. A program that replaces the importer tries to
//! leave the sandbox of this service; honest images from all kinds of sources can still be imported
//! in it.

use std::path::Path;

use crate::hostile::image;
use crate::support::containers::NGINX;
use crate::support::host::Host;
use crate::support::require;

on_every_suite!(imports_are_confined);

/// Prints what the kernel knows about the process, and each attempt that succeeds.
const PROBE: &str = r#"#!/bin/bash
grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd):' /proc/self/status | tr '\t' ' '
for place in /usr /etc /boot /home /root /srv /tmp /run /var/lib /var/lib/machines /dev /sys/fs/cgroup /proc/sys/kernel/hostname; do
    [ -f $place ] || place=$place/probe
    (: >$place) && echo "ESCAPE: wrote $place"
done
store=/var/lib/sdme
: >$store/probe && echo "wrote the store"
mknod $store/probe-log c 1 11 && echo "made a device node"
mknod $store/probe-disk b $(stat -c '%Hd %Ld' $store) && echo "made a disk"
for device in $store/probe-log $store/probe-disk $(find /dev -type b); do
    (: <$device) && echo "ESCAPE: opened $device"
done
chown 4242:4242 $store/probe && chmod 4755 $store/probe && echo "set owner and mode"
rm -f $store/probe*
mount -t tmpfs tmpfs /mnt && echo "ESCAPE: mounted"
mount -o remount,rw / && echo "ESCAPE: made the root writable"
umount /usr && echo "ESCAPE: unmounted"
unshare --mount true && echo "ESCAPE: made a mount namespace"
unshare --user true && echo "ESCAPE: made a user namespace"
(: </proc/1/mem) && echo "ESCAPE: opened the memory of another process"
ls /proc/1/root/ >/dev/null && echo "ESCAPE: reached the root of another process"
echo devices $(ls /dev)
cat /root/secret /tmp/secret /home/secret
exit 0
"#;

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if require(&["image:minbase"]) {
        crate::on(suite, name, images, case);
    }
}

fn images(directory: &Path) {
    image(directory, "plain", |_| (), &["--config.entrypoint", "/attack"]);
}

fn imports_are_confined(host: &Host) {
    host.write("/usr/local/bin/probe", PROBE);
    let instead = "[Service]\nExecStart=\nExecStart=/usr/local/bin/probe\n";
    host.write("/etc/systemd/system/sdme-image@probe.service.d/20-probe.conf", instead);
    host.ok(
        "chmod 755 /usr/local/bin/probe; for place in /root /tmp /home; do echo readable $place >$place/secret; done
        systemctl daemon-reload && systemctl start sdme-image@probe",
    );
    let said = host.ok("journalctl -q -o cat -u sdme-image@probe");
    let escapes: Vec<&str> = said.lines().filter(|line| line.starts_with("ESCAPE")).collect();
    assert!(escapes.is_empty(), "{escapes:?} in\n{said}");
    // The low bits are CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER and FSETID; the others are
    // SYS_ADMIN, MKNOD and SETFCAP.
    let capabilities = format!("{:016x}", 0x1f_u64 | 1 << 21 | 1 << 27 | 1 << 31);
    for line in [
        "NoNewPrivs: 1",
        "Seccomp: 2",
        &format!("CapEff: {capabilities}"),
        &format!("CapBnd: {capabilities}"),
        "devices full mqueue null random urandom zero",
        "wrote the store",
        "made a device node",
        "made a disk",
        "set owner and mode",
        "readable /root",
        "readable /tmp",
        "readable /home",
    ] {
        assert!(said.lines().any(|found| found == line), "no line `{line}` in\n{said}");
    }
    honest_images_from_everywhere(host);
    a_package_manager_ends_with_its_import(host);
}

/// The images are in `/srv`, `/tmp`, `/root` and `/home`; they share layers and contain devices.
fn honest_images_from_everywhere(host: &Host) {
    host.ok("cp -r /srv/hostile/plain /tmp/layout && cp -r /srv/hostile/plain /root/layout
        mkdir -p /tmp/tree/etc /tmp/tree/dev && cd /tmp/tree && mknod dev/disk b 8 0 && mkfifo dev/pipe
        touch etc/program && chown 12:34 etc/program && chmod 4755 etc/program && tar -cf /home/tree.tar .");
    let sources = [
        ("srv", NGINX),
        ("tmp", "oci:/tmp/layout"),
        ("root", "oci:/root/layout"),
        ("home", "rootfs:/home/tree.tar\nMode=app"),
    ];
    for (name, source) in sources {
        host.write(&format!("/etc/sdme/{name}.image"), format!("[Image]\nImage={source}\n"));
        host.ok(&format!("systemctl daemon-reload && systemctl start sdme-image@{name}"));
        host.ok(&format!("test -e /var/lib/sdme/fs/{name}/image.json"));
    }
    let root = "/var/lib/sdme/fs/home/tree/oci/root";
    assert_eq!(host.ok(&format!("stat -c '%F %a %u:%g' {root}/etc/program")), "regular empty file 4755 12:34\n");
    assert_eq!(host.ok(&format!("stat -c '%F %t:%T' {root}/dev/disk")), "block special file 8:0\n");
    host.ok("sdme-gen fs verify && ! ls -A /var/lib/sdme/store | grep import");
}

/// A package manager runs in a unit without the restrictions of the import and in a user namespace,
/// and it ends with the import.
fn a_package_manager_ends_with_its_import(host: &Host) {
    // The name of the unit contains a backslash: sdme-image@oci:-srv-min\x40base.service.
    host.ok("ln -s /srv/images/minbase /srv/min@base");
    host.write("/etc/sdme/min.container", "[Container]\nImage=oci:/srv/min@base\n");
    let unit = r"'sdme-image@oci:-srv-min\x40base.service'";
    let command = "echo map $(cat /proc/self/uid_map); exec sleep 4321";
    host.write("/etc/sdme/sdme.conf", format!("[Defaults]\nInstallDebian={command}\n"));
    for end in ["kill -s KILL", "stop"] {
        host.ok(&format!("systemctl daemon-reload && systemctl start --no-block {unit}"));
        host.wait("pgrep -f '^sleep 4321'", 30);
        let map = host.ok("cat /proc/$(pgrep -f '^sleep 4321')/uid_map");
        assert_ne!(map.split_whitespace().nth(1), Some("0"), "{map}");
        host.ok("systemctl list-units --no-legend 'run-*.service' | grep 'Package manager'");
        host.ok(&format!("systemctl {end} {unit}"));
        host.wait(
            "! pgrep -f '^sleep 4321' && ! systemctl list-units --no-legend 'run-*.service' | grep 'Package manager'",
            10,
        );
        host.wait(&format!("! systemctl is-active {unit}"), 10);
        host.ok("! ls /var/lib/sdme/fs | grep min");
    }
    // The package manager was bound to exactly this unit, and not to one with a similar name.
    host.ok("! journalctl -q -o cat -u 'sdme-image@oci:-srv-minx40base.service' | grep .");
    host.ok("sdme-gen prune && ! ls -A /var/lib/sdme/store | grep import");
}
