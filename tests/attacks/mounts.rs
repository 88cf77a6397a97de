// SPDX-License-Identifier: MIT
//! An application puts symbolic links on the paths to the targets of its own mounts, and root of a
//! container puts them on the paths where systemd-nspawn creates files in the root directory.
//! Mounts and files must not appear anywhere else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::PROTECTIONS;
use crate::hostile::{image, image_on, script};
use crate::support::containers::Container;
use crate::support::host::Host;

on_every_suite!(mounts_stay_in_their_application);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    crate::on(suite, name, images, case);
}

/// The directories above mounts that the application replaces, each with the target of the link
/// that takes the place of the mount target.
const PLACES: &str = "c/u:/etc/systemd/system s/key:../../../../../../../etc/machine-id b/dir:/usr/lib t/mem:/oci \
    f/file:/run/sdme-oci-run";

/// Replaces these directories once they exist.
const ATTACK: &str = "if [ ! -e /www/done ]; then
    for place in $PLACES; do
        directory=${place%%/*}; rest=${place#*/}
        mv /www/$directory /www/old-$directory
        mkdir /www/$directory
        ln -s ${rest#*:} /www/$directory/${rest%%:*}
    done
    echo '[Service]' >/www/old-c/u/evil.service
    ln -s /run/systemd /later
    touch /www/done
fi
exec sleep infinity";

fn images(directory: &Path) {
    let fill = |top: &Path| script(top, "attack", ATTACK);
    let volumes = ["--config.volume", "/www", "--config.volume", "/www/c/u", "--config.entrypoint", "/attack"];
    image(directory, "nested", fill, &volumes);
    let fill = |top: &Path| {
        let made = "cp /bin/sh /data/tool; chmod 4755 /data/tool; touch /data/tried; exec sleep infinity";
        script(top, "setuid", made);
    };
    image(directory, "setuid", fill, &["--config.entrypoint", "/setuid"]);
    let fill = |top: &Path| script(top, "fill", "exec sleep infinity");
    let word = ["--config.volume", "/srv/html", "--config.volume", "/srv/html/content/uploads"];
    image(directory, "honest", fill, &[&word[..], &["--config.entrypoint", "/fill"]].concat());
    bases(directory);
}

/// Base images in which a directory is a symbolic link to a directory of the host, and whether a
/// start on them is refused.
const BASES: [(&str, &str, bool); 2] = [("run", "run", true), ("log", "var/log", false)];

/// Builds these images.
fn bases(directory: &Path) {
    for (name, path, _) in BASES {
        image_on("base", directory, &format!("base-{name}"), |top| {
            let link = top.join(path);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(format!("/srv/base-{name}"), link).unwrap();
        });
    }
}

/// Returns the mount points that the first process of a container sees, or nothing if the container
/// is not running.
fn table(host: &Host, name: &str) -> Vec<String> {
    let procs = format!("/sys/fs/cgroup/machine.slice/systemd-nspawn@{name}.service/payload/init.scope/cgroup.procs");
    let table = host.ok(&format!("for p in $(cat {procs} 2>/dev/null); do cat /proc/$p/mountinfo; break; done"));
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

fn mounts_stay_in_their_application(host: &Host) {
    host.write("/etc/sdme/nested.image", "[Image]\nImage=oci:/srv/hostile/nested\n");
    host.write("/etc/sdme/setuid.image", "[Image]\nImage=oci:/srv/hostile/setuid\n");
    host.write("/etc/sdme/honest.image", "[Image]\nImage=oci:/srv/hostile/honest\n");
    host.ok("mkdir -p /srv/dir /etc/credstore && echo file >/srv/file && printf secret >/etc/credstore/key");
    let usr = host.ok("cd /usr && find . -xdev | sort | sha256sum");
    declared_volumes(host);
    for (name, text) in PROTECTIONS {
        links_above_mounts(host, name, text);
        nested_volumes(host, &format!("honest-{name}"), text);
    }
    setuid_on_a_path_of_the_host(host);
    links_of_the_root(host);
    links_of_a_base(host);
    assert_eq!(host.ok("cd /usr && find . -xdev | sort | sha256sum"), usr);
    assert_eq!(host.ok("cat /srv/file"), "file\n");
}

/// The declared volumes of the image are sufficient for the attack.
fn declared_volumes(host: &Host) {
    let container = Container::new(host, "declared");
    container
        .configure("[Container]\nImage=nested.image\nEnvironment=PLACES=c/u:/etc/systemd/system\n")
        .systemctl("start");
    host.wait("test -e '/var/lib/sdme/volumes/declared@www/done'", 20);
    host.ok(&format!("timeout 20 systemctl restart {}; true", container.unit));
    let places = table(host, "declared");
    assert!(!places.contains(&"/etc/systemd/system".to_owned()), "the container's units are a volume: {places:?}");
    host.ok(&format!("systemctl stop {}", container.unit));
}

fn links_above_mounts(host: &Host, name: &str, text: &str) {
    let container = Container::new(host, name);
    let file = format!(
        "[Container]\nImage=nested.image\n{text}Environment=\"PLACES={PLACES}\"\nVolume=/srv/dir:/www/b/dir\nVolume=/srv/file:/www/f/file:ro\n\
         Mount=type=tmpfs,target=/www/t/mem\nSecret=key,target=/www/s/key\n"
    );
    container.configure(&file).systemctl("start");
    host.wait(&format!("test -e '/var/lib/sdme/volumes/{name}@www/done'"), 20);
    let application = |directory: &str| format!("/oci/root{directory}");
    let before = table(host, name);
    assert!(!before.is_empty(), "the mount table of {name} cannot be read");
    for place in ["/etc/systemd/system", "/etc/machine-id", "/usr/lib", "/oci", "/run/systemd/x"] {
        assert!(!before.contains(&place.to_owned()), "{place} in {before:?}");
    }
    // The second file adds a mount that the application has known before.
    for file in [file.clone(), format!("{file}Volume=later:/later/x\n")] {
        container.configure(&file);
        host.ok(&format!("timeout 30 systemctl restart {}; true", container.unit));
        let places = table(host, name);
        for place in ["/etc/systemd/system", "/etc/machine-id", "/usr/lib", "/oci", "/run/systemd/x"] {
            assert!(!places.contains(&place.to_owned()), "{name}: {place} of the container is a mount: {places:?}");
        }
        assert!(!places.iter().any(|place| place.starts_with(&application("/"))), "{name}: {places:?}");
        let told = host.ok(&format!("journalctl -b -u {} --no-pager", container.unit));
        assert!(places.is_empty() && told.contains("is a symbolic link"), "{name}: {told}");
        host.ok(&format!("! find {}/etc /var/lib/machines -name evil.service | grep .", container.upper()));
    }
    // The administrator repairs the volume.
    host.ok(&format!(
        "cd '/var/lib/sdme/volumes/{name}@www' && rm -r c s b t f && rm -f {}/oci/root/later",
        container.upper()
    ));
    container.systemctl("restart");
    let seen = "cat /www/s/key; ls -d /www/b/dir /www/c/u/evil.service /later/x; cat /www/f/file";
    assert_eq!(
        host.ok(&format!("sdme-gen exec {name} -- sh -c '{seen}'")),
        "secret/later/x\n/www/b/dir\n/www/c/u/evil.service\nfile\n"
    );
    container.systemctl("stop");
}

/// Nested volumes work, such as those of images of content managers.
fn nested_volumes(host: &Host, name: &str, text: &str) {
    let container = Container::new(host, name);
    container.configure(&format!("[Container]\nImage=honest.image\n{text}")).systemctl("start");
    let app = |script: &str| host.ok(&format!("sdme-gen exec {name} -- sh -c '{script}'"));
    app(
        "cd /srv/html && echo page >index && echo upload >content/uploads/file && chown 33:44 index content/uploads/file",
    );
    for _ in 0..2 {
        container.systemctl("restart");
        let seen = app("cd /srv/html && cat index content/uploads/file && stat -c %u:%g index content/uploads/file");
        assert_eq!(seen, "page\nupload\n33:44\n33:44\n");
    }
    let volumes =
        format!("cd /var/lib/sdme/volumes && cat '{name}@srv-html/index' '{name}@srv-html-content-uploads/file'");
    assert_eq!(host.ok(&volumes), "page\nupload\n");
    container.systemctl("stop");
}

/// Without the option suid, root of a container with a user namespace cannot create setuid programs
/// in a directory of the host.
fn setuid_on_a_path_of_the_host(host: &Host) {
    for (name, option, mode) in [("trap", "", "755"), ("asked", ":suid", "4755")] {
        host.ok(&format!("mkdir -p /srv/{name}"));
        let container = Container::new(host, name);
        let text = format!("[Container]\nImage=setuid.image\nHardened=yes\nVolume=/srv/{name}:/data{option}\n");
        container.configure(&text).systemctl("start");
        host.wait(&format!("test -e /srv/{name}/tried"), 20);
        assert_eq!(host.ok(&format!("stat -c %a:%u /srv/{name}/tool")), format!("{mode}:0\n"), "{name}");
        container.systemctl("stop");
    }
}

/// Root of the container replaces directories in which systemd-nspawn creates files before it
/// enters the root directory.
fn links_of_the_root(host: &Host) {
    host.ok("mkdir -p /var/log/journal /srv/jl /srv/target2");
    let container = Container::new(host, "root");
    container.configure("[Container]\nImage=honest.image\nHardened=yes\n").systemctl("start");
    container.ok("rm -rf /var/log; ln -s /srv/jl /var/log");
    container.systemctl("restart");
    assert_eq!(host.ok("ls -A /srv/jl"), "", "systemd-nspawn followed /var/log of the container");
    container.systemctl("stop");
    // A hostile base could have the same link.
    host.ok(&format!("rm -rf {0}/run && ln -s /srv/target2 {0}/run", container.upper()));
    host.fails(&format!("systemctl start {}", container.unit));
    assert_eq!(host.ok("ls -A /srv/target2"), "");
    let told = host.ok(&format!("journalctl -b -u {} --no-pager", container.unit));
    assert!(told.contains("/run of root is a symbolic link"), "{told}");
    host.ok(&format!("rm {}/run", container.upper()));
    host.ok("ln -s /var/lib/machines/root/var/log/journal/0123 /var/log/journal/0123");
    host.ok("sdme-gen rm root && test ! -L /var/log/journal/0123");
}

/// A hostile base image has such links. Without protection, systemd-nspawn would create directories
/// at their targets.
fn links_of_a_base(host: &Host) {
    for (name, path, refused) in BASES {
        // The target has each directory in which systemd-nspawn creates something.
        let place = format!("/srv/base-{name}");
        host.ok(&format!("mkdir -p {place}/log && touch {place}/honest {place}/log/honest"));
        let list = || host.ok(&format!("find {place} -printf '%p %y %m %U:%G\\n' | sort"));
        let before = list();
        host.write(
            &format!("/etc/sdme/base-{name}.image"),
            format!("[Image]\nImage=oci:/srv/hostile/base-{name}\nMode=base\n"),
        );
        let applications = PROTECTIONS
            .map(|(protection, text)| (protection, format!("Image=honest.image\nBase=base-{name}.image\n{text}")));
        // Without an application, nothing is mounted over /var/log of the base.
        let system = ("system", format!("Image=base-{name}.image\nHardened=yes\n"));
        for (protection, text) in applications.into_iter().chain([system]) {
            let container = Container::new(host, &format!("on-{name}-{protection}"));
            container.configure(&format!("[Container]\n{text}"));
            host.run(&format!("timeout 30 systemctl start {}", container.unit));
            assert_eq!(list(), before, "{protection}: the start followed /{path} of the base");
            let told = host.ok(&format!("journalctl -b -u {} --no-pager", container.unit));
            let named = format!("/{path} of {} is a symbolic link", container.name);
            assert_eq!(told.contains(&named), refused, "{protection}: /{path}: {told}");
            // Within the container, the link leads to a path in the container.
            let state = container.property("ActiveState");
            assert_eq!(state, if refused { "failed" } else { "active" }, "{protection}: /{path}: {told}");
            host.run(&format!("systemctl stop {}; rm {}", container.unit, container.file()));
        }
    }
}
