// SPDX-License-Identifier: MIT
//! Tier 2: containers with user namespaces on real systemd hosts, whose root is on a file system
//! that supports ID-mapped mounts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::collections::BTreeSet;

use support::containers::{Container, DEBIAN, NGINX, WELCOME, boot_with, ready};
use support::host::Host;

on_every_suite!(
    layers_are_shared_by_containers_that_own_them_each_by_itself,
    a_range_stays_with_its_container_and_files_move_with_it,
    volumes_are_written_by_the_users_of_applications,
    sysctls_of_the_network_are_set_for_members_of_a_pod,
);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &["image:databases"]) {
        case(&boot_with(Host::builder(suite, name.split('_').next().unwrap()).copy()));
    }
}

/// A name that sorts before `web` and whose hash selects the same range.
const COLLIDES: &str = "app29675";

/// The first ID of a container's range in its settings; 0 without a user namespace.
fn range(host: &Host, name: &str) -> u32 {
    let line = host.ok(&format!("grep ^PrivateUsers= /run/systemd/nspawn/{name}.nspawn"));
    line.trim().strip_prefix("PrivateUsers=").unwrap().trim_end_matches(":65536").parse().unwrap_or(0)
}

/// The owner of a file on the host.
fn owner(host: &Host, path: &str) -> u32 {
    host.ok(&format!("stat -c %u {path}")).trim().parse().unwrap()
}

/// Adds two programs to the tree of an image: one that is setuid, and one with a file capability.
fn privileged_programs(host: &Host, tree: &str) {
    host.ok(&format!(
        "for p in setuid captain; do cp /usr/bin/cat {tree}/usr/bin/$p; done && chmod 4755 {tree}/usr/bin/setuid"
    ));
    // cap_dac_read_search+ep, in revision 2 of linux/capability.h.
    let path = host.ok(&format!("readlink -f {tree}/usr/bin/captain"));
    let path = host.directory().join(path.trim().trim_start_matches('/'));
    xattr::set(path, "security.capability", &[1, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
}

/// Checks the owners and modes of the two programs, and the privileges that they give to an
/// unprivileged user.
fn assert_privileged(container: &Container<'_>) {
    assert_eq!(container.ok("stat -c %a:%u:%g /usr/bin/setuid /usr/bin/captain"), "4755:0:0\n755:0:0\n");
    let status = |program: &str, line: &str| {
        container.ok(&format!("setpriv --reuid 65534 --clear-groups {program} /proc/self/status | grep ^{line}:"))
    };
    assert_eq!(status("setuid", "Uid"), "Uid:\t65534\t0\t0\t0\n");
    assert_eq!(status("captain", "CapEff"), "CapEff:\t0000000000000004\n");
}

/// Checks the size of a container's upper layer after its first boot, including its journal.
fn assert_small(container: &Container<'_>) {
    let files = container.host.ok(&format!("du -ak {}", container.upper()));
    let used: u32 = files.lines().last().unwrap().split('\t').next().unwrap().parse().unwrap();
    assert!(used < 2048, "{} has {used} KiB of its own after its first boot:\n{files}", container.name);
    assert!(files.contains("/system.journal\n"), "{files}");
}

fn layers_are_shared_by_containers_that_own_them_each_by_itself(host: &Host) {
    host.write("/etc/sdme/nginx.image", format!("[Image]\nImage={NGINX}\n"));
    host.write("/etc/sdme/debian.image", format!("[Image]\nImage={DEBIAN}\n"));
    host.write("/etc/sdme/tier.pod", "[Pod]\nPublishPort=8080:80\n");
    let file = |name: &str, text: &str| {
        host.write(&format!("/etc/sdme/{name}.container"), format!("[Container]\nUserNS=auto\n{text}"));
        Container::new(host, name)
    };
    let web = file("web", "Image=nginx.image\nPod=tier.pod\n");
    let own = file("own", "Image=nginx.image\nBase=debian.image\nNetwork=private\nPublishPort=8081:80\n");
    let system = file("system", "Image=debian.image\nNetwork=none\n");
    let twin = file("twin", "Network=veth\n");
    let all = [&web, &own, &system, &twin];
    host.ok("sdme-gen check && systemctl daemon-reload && systemctl start sdme-image@debian sdme-image@nginx");
    privileged_programs(host, "/var/lib/sdme/fs/debian/tree");
    let store = "find /var/lib/sdme/store -printf '%p %m %U:%G %T@ %C@\\n' | sort | sha256sum";
    let before = host.ok(store);
    let mounts = "findmnt -rno TARGET | grep -v ^/proc/sys/fs/binfmt_misc | sort";
    let mounted = host.ok(mounts);
    host.ok(&format!("systemctl start {}", all.map(|c| c.unit.clone()).join(" ")));

    let ranges: BTreeSet<u32> = all.iter().map(|container| range(host, &container.name)).collect();
    assert!(ranges.len() == all.len() && ranges.iter().all(|first| *first >= 524_288), "{ranges:?}");
    for container in all {
        let first = range(host, &container.name);
        let map: Vec<String> =
            container.ok("cat /proc/self/uid_map /proc/self/gid_map").split_whitespace().map(str::to_owned).collect();
        assert_eq!(map, [["0", &first.to_string(), "65536"]; 2].concat());
        container.ok("test $(systemctl is-system-running --wait) = running || { systemctl --failed; false; }");
        // All files of root belong to root in the container, and no file belongs to nobody or to an
        // unknown user.
        assert_eq!(container.ok("stat -c %u:%g / /etc /usr /usr/bin/env /var"), "0:0\n".repeat(5));
        assert_eq!(
            container.ok(
                "find / -xdev \\( -nouser -o -uid 65534 -o -gid 65534 \\) | grep -vx -e /oci/sdme-oci-run -e /proc -e /sys || :"
            ),
            ""
        );
        container.ok("echo x >/srv/file && chown 33:34 /srv/file");
        assert_eq!(
            host.ok(&format!("stat -c %u:%g {}/srv/file", container.upper())),
            format!("{}:{}\n", first + 33, first + 34)
        );
        assert_eq!(host.ok(&format!("find {} -uid -{first} -o -gid -{first}", container.upper())), "");
        assert_small(container);
    }
    for (name, text) in
        [("plain", "Image=nginx.image\nNetwork=none\n"), ("plain-system", "Image=debian.image\nNetwork=none\n")]
    {
        let plain = Container::new(host, name);
        plain.configure(&format!("[Container]\nUserNS=no\n{text}")).systemctl("start");
        plain.ok("test $(systemctl is-system-running --wait) = running");
        assert_small(&plain);
        plain.systemctl("stop");
    }
    assert_privileged(&own);
    assert_privileged(&system);
    assert_eq!(host.wait_http("http://localhost:8080/", 10), WELCOME);
    assert_eq!(host.wait_http("http://localhost:8081/", 10), WELCOME);
    // The user of the application's image, as the host sees it.
    let worker = host.ok(&format!("ps -o ppid= -o uid= -p $(pgrep -P {}) | head -n 1", web.process("nginx")));
    let worker: u32 = worker.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(worker > range(host, "web") && worker < range(host, "web") + 65536, "{worker}");
    assert_eq!(host.ok(store), before, "what they share has changed");

    web.systemctl("restart");
    assert_eq!(host.wait_http("http://localhost:8080/", 10), WELCOME);
    host.ok(&format!("kill -KILL {}", own.property("MainPID")));
    host.wait(&format!("systemctl is-failed {}", own.unit), 10);
    host.wait("! findmnt /run/sdme/containers/own/idmapped/app", 10);
    own.systemctl("start");
    assert_eq!(host.wait_http("http://localhost:8081/", 10), WELCOME);
    host.ok(&format!("systemctl stop {} sdme-pod@tier.service", all.map(|c| c.unit.clone()).join(" ")));
    host.wait(&format!("test \"$({mounts})\" = '{}'", mounted.trim()), 10);

    // If the kernel cannot map owners, the start fails with the reason.
    host.ok("mkdir /var/lib/on && cd /var/lib/on && mkdir upper work &&
        mount -t overlay -o lowerdir=/usr,upperdir=upper,workdir=work overlay /usr");
    host.fails(&format!("systemctl start {}", web.unit));
    assert_eq!(web.property("ActiveState"), "failed");
    let status = host.run("systemctl status --no-pager -l systemd-nspawn@web").stdout;
    assert!(status.contains("/usr is on an overlay file system") && status.contains("write UserNS=no"), "{status}");
}

fn a_range_stays_with_its_container_and_files_move_with_it(host: &Host) {
    host.write("/etc/sdme/debian.image", format!("[Image]\nImage={DEBIAN}\n"));
    let web = Container::new(host, "web");
    // The test restarts more often than the start limit allows on a fast machine.
    let restart = || {
        host.run(&format!("systemctl reset-failed {}", web.unit));
        web.systemctl("restart");
    };
    let text = |user_ns: &str| format!("[Container]\nImage=debian.image\nNetwork=none\nUserNS={user_ns}\n");
    web.configure(&text("no")).systemctl("start");
    web.ok(
        "cp /bin/cat /srv/setuid && chmod 4711 /srv/setuid && ln -s nowhere /srv/link && mkdir -m 3770 /srv/shared &&
        chown 7:8 /srv/shared && chown -h 9:9 /srv/link",
    );
    let file = host.directory().join(web.upper().trim_start_matches('/')).join("srv/captain");
    web.ok("cp /bin/cat /srv/captain");
    xattr::set(&file, "security.capability", &[1, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let list =
        "cd /srv && stat -c '%n %a %u:%g' * && setpriv --reuid 65534 --clear-groups /srv/captain /proc/self/status |
        grep ^CapEff";
    let files = web.ok(list);
    assert!(files.contains("setuid 4711 0:0") && files.contains("shared 3770 7:8"), "{files}");
    assert!(files.contains("link 777 9:9") && files.contains("CapEff:\t0000000000000004"), "{files}");

    // A user namespace for a container that ran without one, and back again.
    web.configure(&text("auto"));
    restart();
    assert_eq!(web.ok(list), files);
    let first = range(host, "web");
    assert_eq!(owner(host, &format!("{}/srv/shared", web.upper())), first + 7);
    web.configure(&text("no"));
    restart();
    assert_eq!(web.ok(list), files);
    assert_eq!((range(host, "web"), owner(host, &format!("{}/srv/shared", web.upper()))), (0, 7));
    web.configure(&text("auto"));
    restart();

    // Other containers are added and removed. One of them has the same hash and a name that sorts
    // earlier.
    host.write(&format!("/etc/sdme/{COLLIDES}.container"), "[Container]\nUserNS=auto\nNetwork=none\n");
    for number in 0..50 {
        host.write(&format!("/etc/sdme/c{number}.container"), "[Container]\nUserNS=auto\nNetwork=none\n");
    }
    let users = "sdme-gen render | grep ^PrivateUsers= | sort | uniq -c";
    let all = host.ok(users);
    assert_eq!(all.lines().count(), 52);
    assert!(all.lines().all(|line| line.trim_start().starts_with("1 ")), "{all}");
    // From the configuration alone, without the stored ranges, the other container would get the
    // range.
    let alone = host
        .ok("mkdir -p /tmp/alone/etc && cp -r /etc/sdme /tmp/alone/etc && sdme-gen render --root /tmp/alone |
        grep -e ^---/etc/systemd/nspawn/ -e ^PrivateUsers=");
    let other = alone.split_once(&format!("{COLLIDES}.nspawn---\n")).unwrap().1;
    assert!(other.starts_with(&format!("PrivateUsers={first}:65536\n")), "{alone}");
    let other = Container::new(host, COLLIDES);
    host.ok("systemctl daemon-reload");
    other.systemctl("start");
    assert_ne!(range(host, COLLIDES), first);
    restart();
    assert_eq!(range(host, "web"), first);
    let moved = range(host, COLLIDES);
    host.ok("rm /etc/sdme/c*.container && systemctl daemon-reload");
    restart();
    other.systemctl("restart");
    assert_eq!((range(host, "web"), range(host, COLLIDES)), (first, moved));
    assert_eq!(web.ok(list), files);

    // The applied settings have another range than the files of the container.
    other.systemctl("stop");
    host.ok("sdme-gen apply && sed -i s/^PrivateUsers=.*/PrivateUsers=524288:65536/ /etc/systemd/nspawn/web.nspawn");
    host.run(&format!("systemctl reset-failed {}", web.unit));
    host.fails(&format!("systemctl restart {}", web.unit));
    let status = host.run("systemctl status --no-pager -l systemd-nspawn@web").stdout;
    assert!(status.contains("run sdme-gen apply"), "{status}");
    host.ok("rm /etc/systemd/nspawn/web.nspawn && sdme-gen apply && systemctl daemon-reload");
    restart();
    assert_eq!(web.ok(list), files);
}

fn volumes_are_written_by_the_users_of_applications(host: &Host) {
    host.ok("mkdir -p /srv/host /etc/credstore && chown 999:999 /srv/host && printf secret >/etc/credstore/key");
    host.ok("printf token >/etc/credstore/token && echo FILE=file >/etc/redis.env");
    let redis = Container::new(host, "redis");
    for preset in ["UserNS=auto\nAddDevice=/dev/zero:/dev/own", "Strict=yes\nAppArmor=unconfined\nReadOnly=yes"] {
        // The image declares the volume /data, which belongs to the user of the image.
        redis.configure(&format!(
            "[Container]\n{preset}\nNetwork=none\nImage=oci:/srv/images/databases:redis\nUser=redis\nVolume=logs:/var/log/mysql\n\
             Volume=sock:/run/mysqld\nVolume=/srv/host:/srv/host\nSecret=key\nSecret=token,type=env,target=TOKEN\n\
             EnvironmentFile=/etc/redis.env\nHealthCmd=touch /data/healthy\nHealthInterval=1s\n",
        ));
        redis.systemctl("start");
        assert!(range(host, "redis") >= 524_288);
        host.wait("systemctl status --no-pager systemd-nspawn@redis | grep 'Status:.*: healthy\"'", 10);
        let seen = host.ok(
            "sdme-gen exec redis -- sh -c 'for d in /data /var/log/mysql /run/mysqld /srv/host; do echo x >$d/file; done &&
                redis-cli save && cat /run/secrets/key && stat -c \" %a:%u:%g\" /run/secrets/key && echo $TOKEN,$FILE &&
                id -u && stat -c %u:%g /data/* /var/log/mysql/file /run/mysqld/file /srv/host/file | sort -u'",
        );
        assert_eq!(seen, "OK\nsecret 444:999:999\ntoken,file\n999\n999:999\n", "{preset}");
        if preset.contains("AddDevice") {
            assert_eq!(host.ok("sdme-gen exec redis -- head -c 2 /dev/own"), "\0\0");
        }
        // The owners have the same numbers on the host as in the container.
        let owners = "cd /var/lib/sdme/volumes && stat -c %u:%g redis@data/healthy redis@data/file redis@data/dump.rdb \
            logs/file sock/file /srv/host/file";
        assert_eq!(host.ok(owners), "999:999\n".repeat(6), "{preset}");
        redis.systemctl("stop");
        host.ok("cd /var/lib/sdme/volumes && rm -f redis@data/* */file /srv/host/file");
    }
    // Removing a running container does not remove files that are only mounted for it.
    host.ok("echo keep >/srv/host/keep");
    redis.configure(
        "[Container]\nUserNS=auto\nNetwork=none\nImage=oci:/srv/images/databases:redis\nVolume=/srv/host:/srv/host:noexec\n",
    );
    redis.systemctl("start");
    host.ok("sdme-gen rm --force redis && test ! -e /run/sdme/containers/redis");
    assert_eq!(host.read("/srv/host/keep"), "keep\n");
    host.ok("sdme-gen fs verify");
}

/// The root of a user namespace may not change these settings itself.
fn sysctls_of_the_network_are_set_for_members_of_a_pod(host: &Host) {
    host.write("/etc/sdme/tier.pod", "[Pod]\nNetwork=uplink\n");
    let file = |more: &str| {
        format!(
            "[Container]\nUserNS=auto\nImage={NGINX}\nEntrypoint=sleep\nExec=infinity\nSysctl=fs.mqueue.msg_max=5\nTmpfs=/usr/share/nginx\n{more}"
        )
    };
    let settings = [
        ("alone", "Network=private\nSysctl=net.core.somaxconn=77 net.ipv4.conf.lo.rp_filter=2\n"),
        ("member", "Pod=tier.pod\nSysctl=net.core.somaxconn=78 \"net.ipv4.ip_local_port_range=20000 30000\"\n"),
    ];
    for (name, more) in settings {
        host.write(&format!("/etc/sdme/{name}.container"), file(more));
    }
    host.ok("sdme-gen check && systemctl daemon-reload && systemctl start systemd-nspawn@alone sdme-pod@tier.target");
    let read = |name: &str, paths: &str| {
        host.ok(&format!("sdme-gen exec {name} -- sh -c 'cd /proc/sys && cat fs/mqueue/msg_max {paths}' </dev/null"))
    };
    assert_eq!(read("alone", "net/core/somaxconn net/ipv4/conf/lo/rp_filter"), "5\n77\n2\n");
    assert_eq!(read("member", "net/core/somaxconn net/ipv4/ip_local_port_range"), "5\n78\n20000\t30000\n");
    // The launcher reads the image as root of the container.
    let filled = host.ok("sdme-gen exec alone -- sh -c 'ls /usr/share/nginx; stat -fc %T /usr/share/nginx' </dev/null");
    assert!(filled.starts_with("html\n") && filled.ends_with("tmpfs\n"), "{filled}");
    // If the kernel does not know a setting, the journal names it.
    host.write("/etc/sdme/alone.container", file("Network=private\nSysctl=net.core.nothing=1\n"));
    host.ok("systemctl daemon-reload");
    host.fails("systemctl restart systemd-nspawn@alone");
    let said = host.run("journalctl -b --no-pager -u sdme-pod@alone").stdout;
    assert!(said.contains("net/core/nothing"), "{said}");
    // The host's own settings are unchanged.
    assert_ne!(host.ok("cat /proc/sys/net/core/somaxconn").trim(), "77");
}
