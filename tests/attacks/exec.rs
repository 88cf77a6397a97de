// SPDX-License-Identifier: MIT
//! Tier 2: commands of `sdme-gen exec` and of the health check of an image are confined like the
//! application, whatever the application claims, and get no descriptor of the administrator.

use std::path::Path;

use crate::PROTECTIONS;
use crate::hostile::{image, script};
use crate::support::containers::Container;
use crate::support::host::Host;

on_every_suite!(commands_are_confined_as_the_application_is);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    crate::on(suite, name, images, case);
}

/// Prints the restrictions of a process, one line each. The output must be identical for all
/// processes of the application.
const PROBE: &str = r#"
for f in CapBnd NoNewPrivs Seccomp Seccomp_filters; do grep "^$f:" /proc/self/status; done
unshare -m true 2>/dev/null; echo mount namespace $?
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
        let wait = "until [ -s /tmp/number ]; do sleep 0.1; done";
        let claim = format!("systemd-notify --ready; {wait}; systemd-notify MAINPID=$(cat /tmp/number)");
        script(top, "claim", &format!("{claim}; /probe >/tmp/new; mv /tmp/new /tmp/application; exec sleep infinity"));
        script(top, "slow", "touch /tmp/checking; exec sleep 600");
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
        // The probe uses programs of the host.
        let health = "HealthCmd=/check\nHealthInterval=1s\nVolume=/usr:/usr:ro\n";
        container.configure(&format!("[Container]\nImage=probing.image\n{health}{text}"));
        container.systemctl("start");
        host.wait(&format!("sdme-gen exec {name} -- test -e /tmp/check"), 20);
        let application = host.ok(&format!("sdme-gen exec {name} -- cat /tmp/application"));
        assert_eq!(application, host.ok(&format!("sdme-gen exec {name} -- /probe")), "{name}: exec");
        assert_eq!(application, host.ok(&format!("sdme-gen exec {name} -- cat /tmp/check")), "{name}: health check");

        // A file of the administrator that is the standard input must not be writable.
        host.run(&format!("sdme-gen exec {name} -- sh -c 'echo changed >/proc/self/fd/0' </srv/secret"));
        assert_eq!(host.read("/srv/secret"), "of the administrator\n", "{name}");
    }

    terminals_keep_their_owner(host);
    privileges_do_not_follow_a_claim(host);
}

/// The terminal of the administrator keeps its owner; it is not given to the user of the image.
fn terminals_keep_their_owner(host: &Host) {
    for (name, text) in PROTECTIONS {
        let name = format!("user-{name}");
        let container = Container::new(host, &name);
        let file = format!("[Container]\nImage=probing.image\nUser=1000\nVolume=/usr:/usr:ro\n{text}");
        container.configure(&file).systemctl("start");
        let look = "stat -c \"%u:%g %a\" $(tty)";
        let command = format!("{look}; sdme-gen exec {name} -- true | cat; {look}");
        let terminal = host.ok(&format!("script -qec '{command}' /dev/null"));
        let lines: Vec<&str> = terminal.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!((lines.len(), lines.first()), (2, lines.last()), "{name}: {terminal}");
        container.systemctl("stop");
    }
}

/// The application claims that its main process is the launcher of its health check, which has more
/// privileges than the application. The process IDs are small, so an attacker could guess the right
/// one; this test passes it on.
fn privileges_do_not_follow_a_claim(host: &Host) {
    let container = Container::new(host, "claims");
    let health = "HealthCmd=/slow\nHealthInterval=1s\nHealthTimeout=600s\nVolume=/usr:/usr:ro\n";
    let file = format!("[Container]\nImage=probing.image\nEntrypoint=/claim\nNotify=yes\n{health}");
    container.configure(&file).systemctl("start");
    host.wait("sdme-gen exec claims -- test -e /tmp/checking", 20);
    let check = host.ok("systemctl show -M claims -P MainPID sdme-oci-app-health.service");
    host.ok(&format!("sdme-gen exec claims -- sh -c 'echo {} >/tmp/number'", check.trim()));
    let answers = format!("{}/oci/root/tmp/application", container.upper());
    host.wait(&format!("test -s {answers}"), 20);
    let main = host.ok("systemctl show -M claims -P MainPID sdme-oci-app.service");
    let said = format!("the application's main process is {} to the service manager", main.trim());
    assert_eq!(host.read(&answers), host.ok("sdme-gen exec claims -- /probe"), "{said}, the check's is {check}");
}
