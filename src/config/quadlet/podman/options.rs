// SPDX-License-Identifier: MIT
//! The options of Podman's commands that `PodmanArgs=` can have (podman-run(1),
//! podman-pod-create(1), podman-volume-create(1), podman-network-create(1), podman-pull(1)), and
//! their translations. Pure.

use crate::config::keys::FileType;

/// The reason why an option has no effect or is rejected, and the remedy.
pub type Why = (&'static str, &'static str);

/// The translation of an option.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// A key of the file type, with the value of the option.
    Key(&'static str),
    /// A key of the file type with the value yes or no.
    Flag(&'static str),
    /// A setting of `[Service]` with the value of the option.
    Service(&'static str),
    /// Nothing, because the container always behaves as the option requests.
    Met,
    /// Nothing for these values. Any other value gets a warning with the reason and the remedy.
    MetIf(&'static [&'static str], Why),
    /// A warning that the option has no effect, with the reason and the remedy.
    Without(Why),
    /// An error with the reason and the remedy: without the option, the container would not do its
    /// work, or would be less confined.
    Refused(Why),
    /// A translation by the module `special`.
    Special,
}

use Act::{Flag, Key, Met, MetIf, Refused, Service, Special, Without};

/// An option: the long name, the short name or a space, whether a value follows, and the
/// translation.
pub type Opt = (&'static str, char, bool, Act);

/// Returns the options of the command of Podman that creates the object of a file of this type.
/// Pods also have the options of `podman run`.
#[must_use]
pub fn options(file_type: FileType) -> Vec<&'static Opt> {
    match file_type {
        FileType::Container => RUN.iter().collect(),
        FileType::Pod => POD.iter().chain(RUN).collect(),
        FileType::Volume => VOLUME.iter().collect(),
        FileType::Network => NETWORK.iter().collect(),
        FileType::Image => PULL.iter().collect(),
        FileType::Defaults => Vec::new(),
    }
}

const FILES: Why = ("nothing reads such a file", "remove the option");
const DEVICES: Why = ("the limit is not set", "write the IO settings of systemd.resource-control(5) in [Service]");

const RUN: &[Opt] = &[
    ("add-host", ' ', true, Key("AddHost")),
    ("annotation", ' ', true, Key("Annotation")),
    ("arch", ' ', true, Without(("the image for this machine is used", "write Arch= in an .image file for another"))),
    ("attach", 'a', true, Met),
    ("authfile", ' ', true, Without(("the setting belongs to the image", "write AuthFile= in an .image file"))),
    ("blkio-weight", ' ', true, Special),
    ("blkio-weight-device", ' ', true, Without(DEVICES)),
    ("cap-add", ' ', true, Special),
    ("cap-drop", ' ', true, Special),
    ("cert-dir", ' ', true, Without(("the setting belongs to the image", "write CertDir= in an .image file"))),
    ("cgroup-conf", ' ', true, Without(DEVICES)),
    (
        "cgroup-parent",
        ' ',
        true,
        Without(("the control group follows from the unit's slice", "write Slice= in [Service]")),
    ),
    ("cgroupns", ' ', true, MetIf(&["private"], ("the container has a control group namespace", "remove the option"))),
    (
        "cgroups",
        ' ',
        true,
        MetIf(&["enabled", "split", "no-conmon"], ("the container always has a control group", "remove the option")),
    ),
    ("chrootdirs", ' ', true, Without(FILES)),
    ("cidfile", ' ', true, Without(FILES)),
    ("conmon-pidfile", ' ', true, Without(FILES)),
    ("cpu-period", ' ', true, Special),
    ("cpu-quota", ' ', true, Special),
    ("cpu-rt-period", ' ', true, Without(("systemd sets no limits for real-time processes", "remove the option"))),
    ("cpu-rt-runtime", ' ', true, Without(("systemd sets no limits for real-time processes", "remove the option"))),
    ("cpu-shares", 'c', true, Special),
    ("cpus", ' ', true, Special),
    ("cpuset-cpus", ' ', true, Service("AllowedCPUs")),
    ("cpuset-mems", ' ', true, Service("AllowedMemoryNodes")),
    ("creds", ' ', true, Without(("the setting belongs to the image", "write Creds= in an .image file"))),
    ("decryption-key", ' ', true, Refused(("encrypted images cannot be used", "write another image"))),
    ("detach", 'd', false, Met),
    ("detach-keys", ' ', true, Met),
    ("device", ' ', true, Key("AddDevice")),
    ("device-cgroup-rule", ' ', true, Without(("no device is allowed by number", "write DeviceAllow= in [Service]"))),
    ("device-read-bps", ' ', true, Special),
    ("device-read-iops", ' ', true, Special),
    ("device-write-bps", ' ', true, Special),
    ("device-write-iops", ' ', true, Special),
    ("disable-content-trust", ' ', false, Met),
    ("dns", ' ', true, Key("DNS")),
    ("dns-opt", ' ', true, Key("DNSOption")),
    ("dns-option", ' ', true, Key("DNSOption")),
    ("dns-search", ' ', true, Key("DNSSearch")),
    ("entrypoint", ' ', true, Key("Entrypoint")),
    ("env", 'e', true, Special),
    ("env-file", ' ', true, Key("EnvironmentFile")),
    ("env-host", ' ', false, Flag("EnvironmentHost")),
    (
        "env-merge",
        ' ',
        true,
        Without(("variables of the image are not merged", "write the whole value in Environment=")),
    ),
    ("expose", ' ', true, Key("ExposeHostPort")),
    ("gidmap", ' ', true, Key("GIDMap")),
    ("gpus", ' ', true, Special),
    ("group-add", ' ', true, Key("GroupAdd")),
    ("group-entry", ' ', true, Without(("/etc/group is the image's", "change it in the image"))),
    ("health-cmd", ' ', true, Key("HealthCmd")),
    ("health-interval", ' ', true, Key("HealthInterval")),
    ("health-log-destination", ' ', true, Key("HealthLogDestination")),
    ("health-max-log-count", ' ', true, Key("HealthMaxLogCount")),
    ("health-max-log-size", ' ', true, Key("HealthMaxLogSize")),
    ("health-on-failure", ' ', true, Key("HealthOnFailure")),
    ("health-retries", ' ', true, Key("HealthRetries")),
    ("health-start-period", ' ', true, Key("HealthStartPeriod")),
    ("health-startup-cmd", ' ', true, Key("HealthStartupCmd")),
    ("health-startup-interval", ' ', true, Key("HealthStartupInterval")),
    ("health-startup-retries", ' ', true, Key("HealthStartupRetries")),
    ("health-startup-success", ' ', true, Key("HealthStartupSuccess")),
    ("health-startup-timeout", ' ', true, Key("HealthStartupTimeout")),
    ("health-timeout", ' ', true, Key("HealthTimeout")),
    ("hostname", 'h', true, Key("HostName")),
    (
        "hosts-file",
        ' ',
        true,
        MetIf(
            &["none", "image"],
            ("/etc/hosts has the names of the host and of AddHost=", "write AddHost= for further names"),
        ),
    ),
    ("hostuser", ' ', true, Without(("no user of the host is entered in /etc/passwd", "change it in the image"))),
    ("http-proxy", ' ', false, Flag("HttpProxy")),
    (
        "image-volume",
        ' ',
        true,
        MetIf(
            &["anonymous", "bind"],
            (
                "a path that the image declares as a volume gets a volume of its own",
                "write Tmpfs= or Volume= for the path",
            ),
        ),
    ),
    ("init", ' ', false, Met),
    ("init-path", ' ', true, Met),
    ("interactive", 'i', false, Met),
    ("ip", ' ', true, Key("IP")),
    ("ip6", ' ', true, Key("IP6")),
    (
        "ipc",
        ' ',
        true,
        MetIf(
            &["", "private", "shareable", "none"],
            ("the container keeps its own IPC objects and /dev/shm", "write Volume= for files to share"),
        ),
    ),
    ("label", 'l', true, Key("Label")),
    ("label-file", ' ', true, Without(FILES)),
    ("link-local-ip", ' ', true, Without(("no such address is set", "write IP= or IP6="))),
    ("log-driver", ' ', true, Key("LogDriver")),
    ("log-opt", ' ', true, Key("LogOpt")),
    (
        "mac-address",
        ' ',
        true,
        Without(("the address follows from the name", "write Network=NAME.network:mac=ADDRESS")),
    ),
    ("memory", 'm', true, Special),
    ("memory-reservation", ' ', true, Service("MemoryLow")),
    ("memory-swap", ' ', true, Special),
    (
        "memory-swappiness",
        ' ',
        true,
        Without(("the kernel has no such setting in control groups", "remove the option")),
    ),
    ("mount", ' ', true, Key("Mount")),
    ("name", ' ', true, Key("ContainerName")),
    ("net", ' ', true, Special),
    ("network", ' ', true, Special),
    ("network-alias", ' ', true, Key("NetworkAlias")),
    ("no-healthcheck", ' ', false, Special),
    ("no-hostname", ' ', false, Without(("/etc/hostname has the container's name", "write HostName= for another"))),
    ("no-hosts", ' ', false, Without(("/etc/hosts has the names of other members", "remove the option"))),
    ("oom-kill-disable", ' ', false, Without(("the kernel has no such setting", "write OOMScoreAdjust= in [Service]"))),
    ("oom-score-adj", ' ', true, Service("OOMScoreAdjust")),
    ("os", ' ', true, MetIf(&["linux"], ("only images for Linux can run", "remove the option"))),
    ("passwd", ' ', false, Met),
    ("passwd-entry", ' ', true, Without(("/etc/passwd is the image's", "change it in the image"))),
    ("personality", ' ', true, Without(("the program runs as it is built", "write Personality= in [App]"))),
    (
        "pid",
        ' ',
        true,
        MetIf(
            &["", "private"],
            ("the container sees its own processes only", "run the program on the host to see all"),
        ),
    ),
    ("pidfile", ' ', true, Without(FILES)),
    ("pids-limit", ' ', true, Key("PidsLimit")),
    (
        "platform",
        ' ',
        true,
        Without(("the image for this machine is used", "write Arch= in an .image file for another")),
    ),
    ("pod", ' ', true, Special),
    ("pod-id-file", ' ', true, Without(FILES)),
    (
        "preserve-fd",
        ' ',
        true,
        Refused(("no open file is passed on", "write StartOnDemand=yes to start on a connection")),
    ),
    (
        "preserve-fds",
        ' ',
        true,
        Refused(("no open file is passed on", "write StartOnDemand=yes to start on a connection")),
    ),
    ("privileged", ' ', false, Special),
    ("publish", 'p', true, Key("PublishPort")),
    ("publish-all", 'P', false, Without(("only named ports are published", "write PublishPort= for each port"))),
    ("pull", ' ', true, Key("Pull")),
    ("quiet", 'q', false, Met),
    ("rdt-class", ' ', true, Without(("systemd sets no such class", "remove the option"))),
    ("read-only", ' ', false, Flag("ReadOnly")),
    ("read-only-tmpfs", ' ', false, Flag("ReadOnlyTmpfs")),
    ("replace", ' ', false, Met),
    ("requires", ' ', true, Without(("the order follows from the units", "write Requires= and After= in [Unit]"))),
    ("restart", ' ', true, Special),
    ("retry", ' ', true, Key("Retry")),
    ("retry-delay", ' ', true, Key("RetryDelay")),
    ("rm", ' ', false, Met),
    ("rmi", ' ', false, Without(("images stay until sdme-gen prune", "remove the option"))),
    ("rootfs", ' ', false, Refused(("a directory is not run as it is", "write Image=rootfs:PATH"))),
    ("runtime", ' ', true, Without(("systemd-nspawn runs the container", "remove the option"))),
    ("sdnotify", ' ', true, Special),
    (
        "seccomp-policy",
        ' ',
        true,
        MetIf(&["default"], ("the filter is systemd-nspawn's", "write SeccompProfile= for another filter")),
    ),
    ("secret", ' ', true, Key("Secret")),
    ("security-opt", ' ', true, Special),
    ("shm-size", ' ', true, Key("ShmSize")),
    ("shm-size-systemd", ' ', true, Without(("the container's own file systems have the default size", "use Tmpfs="))),
    ("sig-proxy", ' ', false, Met),
    ("stop-signal", ' ', true, Key("StopSignal")),
    ("stop-timeout", ' ', true, Key("StopTimeout")),
    ("storage-opt", ' ', true, Without(("podman's storage is not used", "remove the option"))),
    ("subgidname", ' ', true, Key("SubGIDMap")),
    ("subuidname", ' ', true, Key("SubUIDMap")),
    ("sysctl", ' ', true, Key("Sysctl")),
    (
        "systemd",
        ' ',
        true,
        MetIf(
            &["", "true", "false"],
            ("an image that starts systemd itself is an operating system", "write Mode=base"),
        ),
    ),
    ("timeout", ' ', true, Service("RuntimeMaxSec")),
    (
        "tls-verify",
        ' ',
        false,
        MetIf(&["true"], ("the registry's certificate is verified", "write TLSVerify=no in an .image file")),
    ),
    ("tmpfs", ' ', true, Key("Tmpfs")),
    ("tty", 't', false, Met),
    ("tz", ' ', true, Key("Timezone")),
    ("uidmap", ' ', true, Key("UIDMap")),
    ("ulimit", ' ', true, Key("Ulimit")),
    ("umask", ' ', true, Special),
    ("unsetenv", ' ', true, Without(("variables of the image stay", "write Environment=NAME= for an empty one"))),
    ("unsetenv-all", ' ', false, Without(("variables of the image stay", "write Environment=NAME= for an empty one"))),
    ("user", 'u', true, Key("User")),
    ("userns", ' ', true, Key("UserNS")),
    (
        "uts",
        ' ',
        true,
        MetIf(&["", "private"], ("the container has a host name of its own", "write HostName=%H for the host's")),
    ),
    ("variant", ' ', true, Without(("the image for this machine is used", "write Variant= in an .image file"))),
    ("volume", 'v', true, Key("Volume")),
    ("volumes-from", ' ', true, Refused(("volumes are named one by one", "write Volume= for each of them"))),
    ("workdir", 'w', true, Key("WorkingDir")),
];

const POD: &[Opt] = &[
    ("exit-policy", ' ', true, Key("ExitPolicy")),
    ("infra", ' ', false, Met),
    ("infra-command", ' ', true, Met),
    ("infra-conmon-pidfile", ' ', true, Met),
    ("infra-image", ' ', true, Met),
    ("infra-name", ' ', true, Met),
    ("name", ' ', true, Key("PodName")),
    ("restart", ' ', true, Met),
    (
        "share",
        ' ',
        true,
        MetIf(
            &["net", "net,uts", "uts,net"],
            ("members share the network only", "run the applications in one container with App= to share more"),
        ),
    ),
    ("share-parent", ' ', false, Met),
];

const VOLUME: &[Opt] = &[
    ("driver", 'd', true, Key("Driver")),
    ("gid", ' ', true, Key("GID")),
    ("ignore", ' ', false, Met),
    ("label", 'l', true, Key("Label")),
    ("opt", 'o', true, Special),
    ("uid", ' ', true, Key("UID")),
];

const NETWORK: &[Opt] = &[
    ("disable-dns", ' ', false, Flag("DisableDNS")),
    ("dns", ' ', true, Key("DNS")),
    ("driver", 'd', true, Key("Driver")),
    ("gateway", ' ', true, Key("Gateway")),
    ("ignore", ' ', false, Met),
    ("interface-name", ' ', true, Key("InterfaceName")),
    ("internal", ' ', false, Flag("Internal")),
    ("ip-range", ' ', true, Key("IPRange")),
    ("ipam-driver", ' ', true, Key("IPAMDriver")),
    ("ipv6", ' ', false, Flag("IPv6")),
    ("label", ' ', true, Key("Label")),
    ("opt", 'o', true, Key("Options")),
    ("route", ' ', true, Without(("members have the route to the host only", "add the route on the host"))),
    ("subnet", ' ', true, Key("Subnet")),
];

const PULL: &[Opt] = &[
    ("all-tags", 'a', false, Refused(("an .image file is for one image", "write a file for each tag"))),
    ("arch", ' ', true, Key("Arch")),
    ("authfile", ' ', true, Key("AuthFile")),
    ("cert-dir", ' ', true, Key("CertDir")),
    ("creds", ' ', true, Key("Creds")),
    ("decryption-key", ' ', true, Refused(("encrypted images cannot be used", "write another image"))),
    ("disable-content-trust", ' ', false, Met),
    ("os", ' ', true, Key("OS")),
    ("platform", ' ', true, Special),
    ("policy", ' ', true, Key("Policy")),
    ("quiet", 'q', false, Met),
    ("retry", ' ', true, Key("Retry")),
    ("retry-delay", ' ', true, Key("RetryDelay")),
    ("tls-verify", ' ', false, Flag("TLSVerify")),
    ("variant", ' ', true, Key("Variant")),
];
