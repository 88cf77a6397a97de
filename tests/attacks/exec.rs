// SPDX-License-Identifier: MIT
//! Commands beside an application, by `sdme-gen exec` and by the image's health check: they are confined as the application is,
//! whatever the application claims, and get no descriptor of the administrator.

use std::path::Path;

use crate::PROTECTIONS;
use crate::hostile::{image, script};
use crate::support::containers::Container;
use crate::support::host::Host;

on_every_suite!(commands_are_confined_as_the_application_is);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    crate::on(suite, name, images, case);
}

/// What a process may do, a line for each question, with the same answers for every process of the application.
const PROBE: &str = r#"
for f in CapBnd NoNewPrivs Seccomp Seccomp_filters; do grep "^$f:" /proc/self/status; done
unshare -U true 2>/dev/null; echo user namespace $?
unshare -U -r -m -n true 2>/dev/null; echo more namespaces $?
setarch -X true 2>/dev/null; echo personality $?
chroot / true 2>/dev/null; echo chroot $?
touch /tmp/set.$$; chmod u+s /tmp/set.$$ 2>/dev/null; echo setuid $?; rm -f /tmp/set.$$
for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done
cat /proc/self/cgroup
ulimit -a
"#;

fn images(directory: &Path) {
    let fill = |top: &Path| {
        script(top, "probe", PROBE);
        script(top, "attack", "/probe >/tmp/application; exec sleep infinity");
        let claim = "systemd-notify --ready; for n in $(seq 200); do systemd-notify MAINPID=$n; done";
        script(top, "claim", &format!("{claim}; /probe >/tmp/application; exec sleep infinity"));
        script(top, "check", "/probe >/tmp/check.new; mv /tmp/check.new /tmp/check");
    };
    image(directory, "probing", fill, &["--config.entrypoint", "/attack"]);
}

fn commands_are_confined_as_the_application_is(host: &Host) {
    host.write("/etc/sdme/probing.image", "[Image]\nImage=oci:/srv/hostile/probing\n");
    host.write("/srv/secret", "of the administrator\n");
    host.ok("chmod 0600 /srv/secret");
    for (name, text) in PROTECTIONS {
        let container = Container::new(host, name);
        // The programs of the probe are the host's.
        let health = "HealthCmd=/check\nHealthInterval=1s\nVolume=/usr:/usr:ro\n";
        container.configure(&format!("[Container]\nImage=probing.image\n{health}{text}"));
        container.systemctl("start");
        host.wait(&format!("sdme-gen exec {name} -- test -e /tmp/check"), 20);
        let application = host.ok(&format!("sdme-gen exec {name} -- cat /tmp/application"));
        assert_eq!(application, host.ok(&format!("sdme-gen exec {name} -- /probe")), "{name}: exec");
        assert_eq!(application, host.ok(&format!("sdme-gen exec {name} -- cat /tmp/check")), "{name}: health check");

        // A file of the administrator as standard input is not to be opened for writing.
        host.run(&format!("sdme-gen exec {name} -- sh -c 'echo changed >/proc/self/fd/0' </srv/secret"));
        assert_eq!(host.read("/srv/secret"), "of the administrator\n", "{name}");
        // The terminal of the administrator stays the administrator's.
        let look = "stat -c \"%u %a\" $(tty)";
        let command = format!("{look}; sdme-gen exec {name} -- true | cat; {look}");
        let terminal = host.ok(&format!("script -qec '{command}' /dev/null"));
        let lines: Vec<&str> = terminal.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!((lines.len(), lines.first()), (2, lines.last()), "{name}: {terminal}");
    }

    // What an application says of its main process gives no privileges to a command beside it.
    let container = Container::new(host, "claims");
    let file = "[Container]\nImage=probing.image\nEntrypoint=/claim\nNotify=yes\nVolume=/usr:/usr:ro\n";
    container.configure(file).systemctl("start");
    host.wait("sdme-gen exec claims -- test -s /tmp/application", 60);
    let main = host.ok("systemctl show -M claims -P MainPID sdme-oci-app.service");
    let first = host.ok("systemctl show -M claims -P ExecMainPID sdme-oci-app.service");
    let application = host.ok("sdme-gen exec claims -- cat /tmp/application");
    assert_eq!(application, host.ok("sdme-gen exec claims -- /probe"), "main process {main}, first one {first}");
}
