// SPDX-License-Identifier: MIT
//! Volumes that a running container has mounted and changes while the start of another container copies the first content; a
//! lock on a volume; containers that start at the same time and share a new volume.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::hostile::{image, program};
use crate::support::containers::{Container, files_of};
use crate::support::host::Host;

on_every_suite!(volumes_lead_nowhere_and_are_filled_once);

/// Starts of a container for each attacker.
const TRIES: usize = 100;

/// Everything about the files of a directory.
const LIST: &str = "find . -printf '%P %y %m %U:%G %n %T@ %l\\n' | sed -E 's/^( d .*) [0-9.]+ $/\\1/' | sort";

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
        // The attacker as uid 1000 must be able to empty the volume again.
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
        // What a start does, without the container. The attacker may make it fail, but never lead it astray.
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

    let names = ["one", "two", "three"];
    for name in names {
        Container::new(host, name).configure("[Container]\nImage=race.image\nExec=lock\nVolume=shared:/data\n");
    }
    host.ok("systemctl start systemd-nspawn@one systemd-nspawn@two systemd-nspawn@three");
    let listed = |directory: &str| host.ok(&format!("cd {directory} && {LIST}"));
    assert_eq!(listed("/var/lib/sdme/volumes/shared"), listed(&format!("{}/data", files_of(host, "race"))));
    // Nothing is left of a copy that has ended. One that an attacker disturbed to the end is begun again by the next start.
    for kind in ["new", "unfinished"] {
        let left = host.ok(&format!("ls /var/lib/sdme/volumes/.state/{kind}"));
        let left: Vec<&str> = left.lines().filter(|name| !["root", "strict"].contains(name)).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
    assert_eq!(host.ok("stat -c %a /var/lib/sdme/volumes/.state"), "700\n");
}
