// SPDX-License-Identifier: MIT
//! Tier 2: volumes and mounts on real systemd hosts: first content, owners, sharing, and what
//! remains when a container is removed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use support::containers::{Container, NGINX, boot, files_of, ready};
use support::host::Host;

on_every_suite!(
    volumes_are_filled_shared_and_kept,
    a_read_only_application_writes_to_its_volumes,
    file_systems_in_memory_start_with_the_content_of_the_image,
    parts_of_volumes_are_mounted_and_stay_within_the_volume
);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &[]) {
        case(&boot(suite, name.split('_').next().unwrap()));
    }
}

/// Makes an image with the programs of the nginx image and a directory with all kinds of files.
fn image(host: &Host) {
    host.write("/etc/sdme/nginx.image", format!("[Image]\nImage={NGINX}\n"));
    host.ok("systemctl daemon-reload && systemctl start sdme-image@nginx");
    let files = files_of(host, "nginx");
    host.ok(&format!("cp -a {files} /srv/own"));
    host.ok("cd /srv/own && mkdir -p data/sub run/app && rm -rf var/run && ln -s /run var/run && cd data &&
        echo image >kept && cp kept sub/other && ln kept hard && ln -s /nowhere link && mkfifo pipe &&
        chown 7:8 sub/other && chmod 4755 sub/other && chown -h 9:9 link && chmod 0700 sub && chown 33:44 sub . && chmod 2750 . &&
        touch -d @1000000000 kept && echo image >../run/app/file && chmod 0700 ../run/app && chown -R 33:44 ../run/app && tar -C /srv/own -cf /srv/own.tar . && rm -r /srv/own");
    host.write("/etc/sdme/own.image", "[Image]\nImage=rootfs:/srv/own.tar\nMode=app\n");
}

/// Lists all properties of the files of a directory, with relative paths.
const LIST: &str = "find . -printf '%P %y %m %U:%G %n %T@ %l\\n' | sed -E 's/^( d .*) [0-9.]+ $/\\1/' | sort";

/// Writes the note of an unfinished copy into a volume, as a killed start leaves it.
fn interrupted(host: &Host, volume: &str) {
    host.ok(&format!("cd /var/lib/sdme/volumes && stat -c '%i %W' {volume} >.state/unfinished/{volume}"));
}

fn volumes_are_filled_shared_and_kept(host: &Host) {
    image(host);
    host.ok("mkdir -p /srv/dir /srv/www /etc/sdme/here && echo host >/srv/dir/file && echo one >/srv/one && echo www >/srv/www/index.html");
    host.write("/etc/sdme/memory.volume", "[Volume]\nDevice=tmpfs\nType=tmpfs\nOptions=size=1m\nUID=5\nGroup=daemon\n");
    host.write("/etc/sdme/empty.volume", "[Volume]\nVolumeName=nothing\nCopy=no\nUser=daemon\n");
    // The first start with the volume `half`, which existed and was empty, looks as if it was
    // interrupted.
    host.ok("mkdir -p /var/lib/sdme/volumes/half && cd /var/lib/sdme/volumes/half && echo half >kept && mkdir sub && echo half >sub/x &&
        mkdir -p -m 0700 ../.state/new/data ../.state/unfinished && echo half >../.state/new/data/kept");
    interrupted(host, "half");
    // The administrator put content into a new directory of the same name; that content stays.
    host.ok("mkdir /var/lib/sdme/volumes/mine");
    interrupted(host, "mine");
    host.ok("cd /var/lib/sdme/volumes && mkdir other && mv mine gone && mv other mine && echo mine >mine/kept");
    let a = Container::new(host, "a");
    a.configure(
        "[Container]\nImage=own.image\nExec=sleep infinity\nVolume=data:/data\nVolume=/srv/dir:/var/run/dir:ro\n\
         Volume=/srv/one:/etc/deep/one.conf\nVolume=./here:/root/here:noexec,nosuid,nodev\nVolume=/usr/share/nginx/html\n\
         Mount=type=volume,source=memory.volume,target=/srv/memory\nVolume=empty.volume:/usr/share/nginx\n\
         Mount=type=tmpfs,target=/tmp,size=2m\n",
    );
    a.systemctl("start");
    let listed = host.ok(&format!("cd /var/lib/sdme/volumes/data && {LIST}"));
    let want = " d 2750 33:44 3\nhard f 644 0:0 2 1000000000.0000000000 \nkept f 644 0:0 2 1000000000.0000000000 \n";
    assert!(listed.starts_with(want), "{listed}");
    for line in ["link l 777 9:9 1 ", "sub/other f 4755 7:8 1 ", "pipe p 644 0:0 1 "] {
        assert!(listed.contains(line), "{line} in\n{listed}");
    }
    // The view of the application.
    let seen = |command: &str| host.ok(&format!("sdme-gen exec a -- sh -c 'cd / && {command}'"));
    assert_eq!(
        seen("cat data/kept run/dir/file etc/deep/one.conf usr/share/nginx/html/index.html"),
        "image\nhost\none\nhello from the nginx image\n"
    );
    assert!(seen("touch run/dir/x 2>&1; true").contains("Read-only"));
    let table = seen("cat /proc/self/mountinfo");
    let mount =
        |target: &str| table.lines().find(|l| l.split(' ').nth(4) == Some(target)).unwrap_or_else(|| panic!("{table}"));
    assert!(mount("/root/here").contains("nosuid,nodev,noexec"));
    assert!(mount("/tmp").contains("tmpfs"), "{table}");
    assert!(mount("/srv/memory").contains("size=1024k"), "{table}");
    assert_eq!(seen("stat -c %u:%g srv/memory usr/share/nginx"), "5:1\n1:0\n");
    assert_eq!(seen("ls usr/share/nginx; stat -c %a root"), "html\n700\n");
    seen("echo new >data/kept; echo here >root/here/file; echo one >>etc/deep/one.conf");
    // The upper layer of the container has no mount points and nothing else of sdme-gen.
    assert_eq!(host.ok(&format!("cd {} && find . -path '*oci*'", a.upper())), "");

    // A second container has the same volume at another path; existing content stays.
    let b = Container::new(host, "b");
    b.configure("[Container]\nImage=own.image\nBase=host\nExec=sleep infinity\nVolume=data:/srv\nVolume=half:/data\nVolume=mine:/opt/data\n")
        .systemctl("start");
    assert_eq!(host.ok("sdme-gen exec b -- sh -c 'cat /srv/kept && echo b >/srv/b'"), "new\n");
    assert_eq!(seen("cat data/b"), "b\n");
    // The interrupted copy was done again.
    assert_eq!(host.ok(&format!("cd /var/lib/sdme/volumes/half && {LIST}")), listed);
    assert_eq!(
        host.ok("cd /var/lib/sdme/volumes && cat mine/kept && ls .state/new .state/unfinished"),
        "mine\n.state/new:\n\n.state/unfinished:\n"
    );
    b.systemctl("stop");

    // The volumes survive the removal of the container and another version of the image.
    a.systemctl("stop");
    // systemd in the container has left its mounts to the end of the container.
    let journal = host.ok(&format!("journalctl --no-pager --directory {}/var/log/journal/*", a.upper()));
    assert!(journal.contains("Reached target umount.target"), "{journal}");
    for mount in ["oci", "run-systemd", "tmp"] {
        assert!(!journal.contains(&format!("Unmounting {mount}")), "{mount}: {journal}");
    }
    host.wait("! findmnt -rno TARGET | grep -E 'sdme/(containers|volumes)'", 5);
    host.ok("rm -r /var/lib/sdme/containers/a && sed -i 's#/srv/own.tar#/srv/new.tar#' /etc/sdme/own.image && cp /srv/own.tar /srv/new.tar");
    host.ok("systemctl daemon-reload && systemctl start sdme-image@own");
    a.systemctl("start");
    assert_eq!(seen("cat data/kept data/b root/here/file etc/deep/one.conf"), "new\nb\nhere\none\none\n");

    // Each of several applications has its own volumes.
    let shop = Container::new(host, "shop");
    shop.configure(
        "[Container]\nImage=own.image\nApp=nginx.image\nVolume=data:/srv/both\n[Container own]\nExec=sleep infinity\n\
         [Container nginx]\nVolume=/srv/www:/usr/share/nginx/html:ro\n",
    );
    shop.systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), "www\n");
    for app in ["own", "nginx"] {
        assert_eq!(host.ok(&format!("sdme-gen exec --app {app} shop -- cat /srv/both/kept")), "new\n");
    }

    // A missing source path is reported and not created.
    let lost = Container::new(host, "lost");
    lost.configure("[Container]\nImage=own.image\nVolume=/srv/misspelt:/data\n");
    host.fails(&format!("systemctl start {}", lost.unit));
    let told = host.ok("journalctl -b -u systemd-nspawn@lost --no-pager");
    assert!(told.contains("/etc/sdme/lost.container:3: there is no /srv/misspelt on this host; make it"), "{told}");
    host.ok("test ! -e /srv/misspelt");

    // Containers with an operating system and clones of the host have volumes, too.
    let clone = Container::new(host, "clone");
    clone.configure("[Container]\nVolume=data:/mnt/data\n").systemctl("start");
    assert_eq!(clone.ok("cat /mnt/data/kept"), "new\n");
}

fn a_read_only_application_writes_to_its_volumes(host: &Host) {
    image(host);
    host.ok("mkdir -p '/srv/a b' /srv/dir /etc/credstore && printf secret >/etc/credstore/key");
    host.ok("printf other >/etc/credstore/other");
    let web = Container::new(host, "web");
    let file = "[Container]\nImage=own.image\nExec=sleep infinity\nReadOnly=yes\nVolume=data:/data\n\
                Volume=\"/srv/a b:/srv/a b\"\nVolume=/srv/dir:/data/sub:ro\nVolume=app:/run/app\nVolume=deep:/tmp/a/deep\n\
                Volume=/var/tmp\nMount=type=tmpfs,target=/srv/memory\nSecret=key,uid=33,gid=44,mode=0440\n\
                Secret=other,target=/etc/other\n";
    web.configure(file).systemctl("start");
    let app = |script: &str| host.ok(&format!("sdme-gen exec web -- sh -c '{script}'"));
    let writable = "for d in / /usr /etc /run /tmp /data \"/srv/a b\" /data/sub /run/app /tmp/a/deep /var/tmp /srv/memory \
        /run/secrets; do touch \"$d/x\" 2>/dev/null && echo $d; done; echo";
    let volumes = "/data\n/srv/a b\n/run/app\n/tmp/a/deep\n/var/tmp\n/srv/memory\n";
    assert_eq!(app(writable), format!("/run\n/tmp\n{volumes}/run/secrets\n\n"));
    host.ok("cd /var/lib/sdme/volumes && ls data/x app/x deep/x web@var-tmp/x '/srv/a b/x'");
    // Volumes have the content and the owners of the image; secrets have the owners of their line.
    assert_eq!(app("cat /run/app/file; stat -c %a:%u:%g /run/app /run/app/file"), "image\n700:33:44\n644:33:44\n");
    let secrets = "cat /run/secrets/key /etc/other; echo; stat -c %a:%u:%g /run/secrets/key /etc/other";
    assert_eq!(app(secrets), "secretother\n440:33:44\n444:0:0\n");
    host.fails("sdme-gen exec web -- sh -c 'echo x >/run/secrets/key'");
    host.fails("sdme-gen exec web -- sh -c 'echo x >/etc/other'");

    web.configure(&format!("{file}ReadOnlyTmpfs=no\n")).systemctl("restart");
    assert_eq!(app(writable), format!("{volumes}\n"));
    assert_eq!(app(secrets), "secretother\n440:33:44\n444:0:0\n");
}

/// A tmpfs starts with the content of the image, as with Podman. Symbolic links of the application
/// do not lead out of its root.
fn file_systems_in_memory_start_with_the_content_of_the_image(host: &Host) {
    image(host);
    let web = Container::new(host, "web");
    let file =
        "[Container]\nImage=own.image\nExec=sleep infinity\nDropCapability=CHOWN FOWNER\nVolume=kept:/data/sub\n";
    let restart = || {
        host.ok("systemctl reset-failed");
        web.systemctl("restart");
    };
    let app = |script: &str| host.ok(&format!("sdme-gen exec web -- sh -c '{script}' </dev/null"));
    let seen = "cat /data/kept; ls -A /data; ls -A /data/sub; stat -c %a:%u:%g:%h /data/kept; readlink /data/link; stat -fc %T /data; cat /var/run/app/file; stat -c %a:%u:%g /data; cp /usr/bin/true /data/t && /data/t && echo runs";
    let cases = [
        ("Tmpfs=/data:size=1m", "2750:33:44"),
        ("Mount=type=tmpfs,dst=/data,tmpfs-mode=755", "755:0:0"),
        ("Mount=type=tmpfs,dst=/data", "2750:33:44"),
    ];
    for (line, owner) in cases {
        web.configure(&format!("{file}{line}\nTmpfs=/var/run/app\n"));
        restart();
        let expected =
            format!("image\nhard\nkept\nlink\nsub\nother\n644:0:0:1\n/nowhere\ntmpfs\nimage\n{owner}\nruns\n");
        assert_eq!(app(seen), expected, "{line}");
        app("rm /data/kept /data/t && echo new >/data/new");
        restart();
        assert_eq!(app("ls -A /data"), "hard\nkept\nlink\nsub\n", "{line}");
    }
    for line in ["Tmpfs=/data:notmpcopyup", "Mount=type=tmpfs,dst=/data,notmpcopyup", "Tmpfs=/nowhere"] {
        web.configure(&format!("{file}{line}\n"));
        restart();
        let path = if line.contains("nowhere") { "/nowhere" } else { "/data" };
        assert_eq!(app(&format!("ls -A {path}")), if path == "/data" { "sub\n" } else { "" }, "{line}");
    }
    // Content that does not fit into the tmpfs is an error.
    web.configure(&format!("{file}Tmpfs=/usr:size=64k\n"));
    host.run("systemctl reset-failed; systemctl restart systemd-nspawn@web");
    host.wait("systemctl is-failed systemd-nspawn@web", 20);
    let said = host.run("sdme-gen logs web 2>&1; systemctl status --no-pager systemd-nspawn@web").stdout;
    assert!(said.contains("cannot copy the image's /usr to the file system in memory"), "{said}");
    // A symbolic link that the application has created is only followed within its root.
    host.ok("echo secret >/srv/of-host");
    web.configure("[Container]\nImage=own.image\nExec=sleep infinity\n");
    restart();
    app("mkdir -p /trap && ln -s ../../../../../../srv /trap/up && ln -s /etc /trap/root");
    web.configure("[Container]\nImage=own.image\nExec=sleep infinity\nTmpfs=/trap/up\nTmpfs=/trap/root\n");
    restart();
    assert_eq!(host.run("sdme-gen exec web -- sh -c 'find / -xdev -name of-host' </dev/null").stdout, "");
}

/// A missing subpath is created. If a container replaces the subpath by a symbolic link, the link
/// only leads within the volume.
fn parts_of_volumes_are_mounted_and_stay_within_the_volume(host: &Host) {
    let run = |name: &str, more: &str| {
        let container = Container::new(host, name);
        container.configure(&format!("[Container]\nImage={NGINX}\nEntrypoint=sleep\nExec=infinity\n{more}"));
        container.systemctl("start");
    };
    let exec = |name: &str, script: &str| host.ok(&format!("sdme-gen exec {name} sh -c '{script}' </dev/null"));
    run("whole", "Volume=shared:/all\n");
    run("part", "Mount=type=volume,source=shared,subpath=a/b,target=/data\n");
    run("read", "Mount=type=volume,source=shared,volume-subpath=a,target=/data,ro\n");
    exec("part", "echo text >/data/file");
    assert_eq!(exec("whole", "cat /all/a/b/file; echo /all/* /all/a/*"), "text\n/all/a /all/a/b\n");
    assert_eq!(exec("read", "cat /data/b/file; echo x 2>/dev/null >/data/x || echo refused"), "text\nrefused\n");
    // Links to the host's files by an absolute path, by a path that leads up, and by a directory.
    host.ok("cd /var/lib/sdme/volumes/shared && ln -s /etc absolute && ln -s ../../../../../etc up && ln -s / root && echo own >plain");
    for (name, part) in [("absolute", "absolute"), ("up", "up"), ("root", "root/etc")] {
        run(name, &format!("Mount=type=volume,source=shared,subpath={part},target=/data\n"));
        let found = exec(name, "echo /data/*");
        assert!(["/data/*\n", "/data/attack\n"].contains(&found.as_str()), "{part}: {found}");
        exec(name, "echo attack >/data/attack");
    }
    assert_eq!(host.ok("test ! -e /etc/attack && cat /var/lib/sdme/volumes/shared/etc/attack"), "attack\n");
    // A file at the subpath is not replaced.
    for part in ["plain", "plain/x"] {
        let wrong = Container::new(host, "wrong");
        let text = format!("Mount=type=volume,source=shared,subpath={part},target=/data\n");
        wrong.configure(&format!("[Container]\nImage={NGINX}\n{text}"));
        host.fails(&format!("systemctl start {}", wrong.unit));
        let note = host.ok("sdme-gen ps -a wrong --format '{{.Note}}'");
        assert!(note.contains(&format!("cannot open {part} in the volume: Not a directory")), "{note}");
    }
    assert_eq!(host.ok("cat /var/lib/sdme/volumes/shared/plain"), "own\n");
}
