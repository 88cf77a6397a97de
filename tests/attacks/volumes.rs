// SPDX-License-Identifier: MIT
//! A container changes its volume while the start of another container copies the initial content
//! into it; a container locks its volume; several containers with a common new volume start in
//! parallel.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use crate::hostile::{image, program};
use crate::support::containers::{Container, files_of};
use crate::support::host::Host;

on_every_suite!(volumes_lead_nowhere_and_are_filled_once);

/// The number of starts for each attacker.
const TRIES: usize = 100;

/// Lists all properties of the files in a directory.
const LIST: &str = "find . -printf '%P %y %m %U:%G %n %T@ %l\\n' | sed -E 's/^( d .*) [0-9.]+ $/\\1/' | sort";

/// Extended attributes of files in the directory of the image: notes, and the capability
/// `CAP_NET_BIND_SERVICE` (`linux/capability.h`: revision 2 with the effective bit, followed by the
/// permitted and the inheritable set in two halves).
const ATTRIBUTES: [(&str, &str, &[u8]); 4] = [
    ("", "user.note", b"of the directory"),
    ("sub/deep", "user.note", b"of a directory"),
    ("sub/5", "user.note", b"of a file\0"),
    ("sub/6", "security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
];

fn on(suite: &str, name: &str, case: fn(&Host)) {
    crate::on(suite, name, images, case);
}

fn images(directory: &Path) {
    let fill = |top: &Path| {
        program(top, "volume_race");
        let data = top.join("data");
        fs::create_dir_all(data.join("sub/deep")).unwrap();
        for number in 0..60 {
            fs::write(data.join(format!("sub/{number}")), "of the image").unwrap();
        }
        fs::hard_link(data.join("sub/1"), data.join("sub/deep/again")).unwrap();
        std::os::unix::fs::symlink("/nowhere", data.join("sub/link")).unwrap();
        chown(data.join("sub/3"), Some(12), Some(34)).unwrap();
        fs::set_permissions(data.join("sub/4"), fs::Permissions::from_mode(0o4750)).unwrap();
        for (path, name, value) in ATTRIBUTES {
            xattr::set(data.join(path), name, value).unwrap();
        }
        // The attacker with uid 1000 must be able to empty the volume again.
        for path in [data.join("sub/2"), data.join("sub/deep"), data.join("sub"), data] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
    };
    image(directory, "race", fill, &["--config.entrypoint", "/volume_race"]);
}

fn volumes_lead_nowhere_and_are_filled_once(host: &Host) {
    host.write("/etc/sdme/race.image", "[Image]\nImage=oci:/srv/hostile/race\n");
    host.ok("mkdir -m 0700 /srv/victim && cd /srv/victim && echo secret >secret && chmod 0600 secret && touch -d @1 secret .");
    let victim = || host.ok("cd /srv/victim && find . -printf '%p %m %U:%G %T@ %s\\n' | sort; cat secret");
    let before = victim();
    for (name, protection) in [("root", ""), ("strict", "Strict=yes\nAppArmor=unconfined\nUser=1000\n")] {
        let attacker = Container::new(host, name);
        attacker.configure(&format!("[Container]\nImage=race.image\nVolume={name}:/data\n{protection}"));
        attacker.systemctl("start");
        host.wait(&format!("sdme-gen logs {name} | grep -q attacking"), 20);
        let started = Container::new(host, &format!("{name}-second"));
        started.configure(&format!("[Container]\nImage=race.image\nVolume={name}:/data\n"));
        // This is the part of a start before the container. The attacker may make it fail, but must
        // not redirect it.
        let tries = format!(
            "for i in $(seq {TRIES}); do timeout 20 sdme-gen prepare {name}-second >/tmp/said 2>&1; code=$?; sdme-gen release {name}-second;
             [ $code != 124 ] || exit 1; sleep 0.06; done"
        );
        let outcome = host.run_for(&tries, std::time::Duration::from_secs(240));
        assert!(outcome.success(), "the attacker as {name} held up a start: {outcome}");
        let exchanged = host.ok(&format!("sdme-gen logs {name} | grep -c exchanged"));
        assert!(
            exchanged.trim().parse::<usize>().unwrap() >= 5,
            "the attacker as {name} exchanged {exchanged} directories"
        );
        attacker.systemctl("stop");
        assert_eq!(victim(), before, "the attacker as {name} reached the host");
        assert_eq!(host.ok(&format!("find /var/lib/sdme/volumes/{name} -name secret")), "");
        host.ok(&format!("rm -rf /var/lib/sdme/volumes/{name}"));
    }

    let holder = Container::new(host, "holder");
    holder.configure("[Container]\nImage=race.image\nExec=lock\nVolume=held:/data\n").systemctl("start");
    host.wait("sdme-gen logs holder | grep -q locked", 20);
    let waiting = Container::new(host, "waiting");
    waiting.configure("[Container]\nImage=race.image\nVolume=held:/data\n");
    host.ok(&format!("timeout 20 systemctl start {}", waiting.unit));

    filled_once(host, "shared", "");
    filled_once(host, "mapped", "UserNS=auto\nNetwork=private\n");
    // No completed copy leaves files behind. A copy that an attacker has disturbed until its end is
    // restarted by the next start.
    for kind in ["new", "unfinished"] {
        let left = host.ok(&format!("ls /var/lib/sdme/volumes/.state/{kind}"));
        let left: Vec<&str> = left.lines().filter(|name| !["root", "strict"].contains(name)).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
    assert_eq!(host.ok("stat -c %a /var/lib/sdme/volumes/.state"), "700\n");
}

/// Three containers that share a new volume start in parallel. The volume has all files of the
/// image exactly once, with their owners, modes, times, links and extended attributes.
fn filled_once(host: &Host, volume: &str, text: &str) {
    let containers = [1, 2, 3].map(|number| Container::new(host, &format!("{volume}-{number}")));
    for container in &containers {
        container.configure(&format!("[Container]\nImage=race.image\nExec=lock\nVolume={volume}:/data\n{text}"));
    }
    let units = containers.each_ref().map(|container| container.unit.as_str()).join(" ");
    host.ok(&format!("systemctl start {units}"));
    let listed = |directory: &str| host.ok(&format!("cd {directory} && {LIST}"));
    let relative = format!("var/lib/sdme/volumes/{volume}");
    let volume = format!("/{relative}");
    assert_eq!(listed(&volume), listed(&format!("{}/data", files_of(host, "race"))));
    let files = Path::new("/proc").join(host.pid().to_string()).join("root").join(relative);
    for (path, name, value) in ATTRIBUTES {
        let found = xattr::get(files.join(path), name).unwrap();
        assert_eq!(found.as_deref(), Some(value), "{volume}/{path}: {name}");
    }
    // No other file has attributes.
    let all = host.ok(&format!("find {volume} ! -type l -printf '%P\\n'"));
    let with: Vec<&str> = all.lines().filter(|path| xattr::list(files.join(path)).unwrap().next().is_some()).collect();
    assert_eq!(with.len(), ATTRIBUTES.len(), "{with:?}");
    host.ok(&format!("systemctl stop {units}"));
}
