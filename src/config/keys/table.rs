// SPDX-License-Identifier: MIT
//! The data of the key table, section by section; alphabetical within one status. Pure.

use super::{Key, Kind, Scope, Status};
use crate::config::values::source::AutoUpdate;

const PULL: &[&str] = &["missing", "always", "newer", "never"];
const NO_PODMAN: &str = "podman's own settings are not read; remove the key";
const ARGS_HELP: &str = "Options of podman; each becomes the key that it stands for, or a warning says why it cannot";
const UNIT_HELP: &str = "Name that other files use for the unit in their dependencies; the unit keeps its own name";
const MAP_HELP: &str = "Mapping of IDs: as UserNS=auto, whose range is chosen";
const LABEL_HELP: &str = "NAME=VALUE for those who read the file; means nothing here";
const UPDATE_HELP: &str = "What sdme-gen update does about a new version: registry (ask the image's source, switch, restart), local (the same for sources on this machine), download, check (report) or no (default: no)";
const IP_HELP: &str = "IPv4 address in the only network that Network= names; otherwise it follows from the name";
const IP6_HELP: &str = "IPv6 address in the only network that Network= names; otherwise it follows from the name";
const ALIAS_HELP: &str = "Further name for the other members of its networks";
const LABELED: &str = "the container gets no SELinux label; write AppArmor= or Strict=yes to confine it";
const LOG_DRIVERS: &[&str] = &["journald", "passthrough", "passthrough-tty", "none", "k8s-file", "json-file"];
const SETTLE_HELP: &str = "Time that a container has to run after an update before the update goes on (default: 30s)";
const SNAPSHOT_HELP: &str = "Before an update starts a container on a new version, copy its volumes by reflinks; put the copies back if the update fails (default: no)";
const MODES: &[&str] = &["proxy", "nft"];
const PORT_HELP: &str =
    "[[IP:]HOST-PORT:]CONTAINER-PORT[/tcp|udp], or ranges of ports; without a container port the one the image exposes";
const MODE_HELP: &str =
    "How TCP ports are published: by a proxy, or by nft, in the kernel, where the client's address stays visible";
const DEMAND_HELP: &str = "Start on the first connection to a published port";
const IDLE_HELP: &str = "Stop after this time without a connection, such as 10min";

const fn ours(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, status: Status::Supported, quadlet: false, scope: Scope::Container, help }
}

const fn quadlet(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, status: Status::Supported, quadlet: true, scope: Scope::Container, help }
}

const fn without(name: &'static str, kind: Kind, why: &'static str) -> Key {
    Key { name, kind, status: Status::Without(why), quadlet: true, scope: Scope::Container, help: why }
}

const fn never(name: &'static str, instead: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Text,
        status: Status::Never(instead),
        quadlet: true,
        scope: Scope::Container,
        help: instead,
    }
}

/// Keys of `[Container]`.
pub const CONTAINER: &[Key] = &[
    quadlet(
        "Image",
        Kind::Text,
        "Image to run: NAME.image, a registry reference, or oci:PATH[:TAG]; without it the container is a clone of the host",
    ),
    quadlet("Environment", Kind::Words, "NAME=VALUE for the application; VALUE is taken as it is, % and $ included")
        .applications(),
    quadlet("Exec", Kind::Line, "Arguments for the image's entrypoint, in place of its default command").process(),
    quadlet("HealthCmd", Kind::Text, "Command that tells whether the application is healthy: a line for the shell, a JSON list of words, or none; the image's unless set").process(),
    ours("HealthHttp", Kind::Text, "In place of HealthCmd=: [http://HOST][:PORT]/PATH of a page whose status tells whether the application is healthy").process(),
    quadlet("HealthInterval", Kind::Text, "Time between two health checks, or disable; 30s unless set").process(),
    quadlet("HealthOnFailure", Kind::Choice(&["none", "kill", "restart", "stop"]), "What is done with an application that turns unhealthy; none unless set").process(),
    quadlet("HealthRetries", Kind::Text, "Failures in a row that count as unhealthy; 3 unless set").process(),
    quadlet("HealthStartPeriod", Kind::Text, "Time after the start in which failures do not count, until a check has passed").process(),
    quadlet("HealthStartupCmd", Kind::Text, "Health check that comes first, until it has passed").process(),
    ours("HealthStartupHttp", Kind::Text, "In place of HealthStartupCmd=: as HealthHttp=").process(),
    quadlet("HealthStartupInterval", Kind::Text, "Time between two startup checks; 30s unless set").process(),
    quadlet("HealthStartupRetries", Kind::Text, "Failures of the startup check after which the application is restarted; never unless set").process(),
    quadlet("HealthStartupSuccess", Kind::Text, "How often the startup check has to pass; once unless set").process(),
    quadlet("HealthStartupTimeout", Kind::Text, "Time one startup check may take; 30s unless set").process(),
    ours("HealthStartupTcp", Kind::Text, "In place of HealthStartupCmd=: as HealthTcp=").process(),
    ours("HealthTcp", Kind::Text, "In place of HealthCmd=: [HOST:]PORT that takes connections while the application is healthy").process(),
    quadlet("HealthTimeout", Kind::Text, "Time one health check may take; 30s unless set").process(),
    quadlet("HostName", Kind::Text, "Host name inside; the container's name unless set"),
    quadlet("AddHost", Kind::Words, "NAME:ADDRESS for /etc/hosts; the address host-gateway is the host's end of the network"),
    quadlet("DNS", Kind::Words, "Name server for the container, in place of the host's"),
    quadlet("DNSOption", Kind::Words, "Option of the resolver (resolv.conf(5)), in place of the host's"),
    quadlet("DNSSearch", Kind::Words, "Domain to search, in place of the host's; . for none"),
    quadlet("Entrypoint", Kind::Text, "Program and first arguments in place of the image's entrypoint and command: words, or a JSON array; [] for none").process(),
    quadlet("EnvironmentHost", Kind::Flag, "Variables of the host; none is passed on, which a warning says").applications(),
    quadlet("Group", Kind::Text, "Group of the application: a name of the image's or a number").process(),
    quadlet("GroupAdd", Kind::Words, "Further groups of the application: names of the image's or numbers").applications(),
    quadlet("HttpProxy", Kind::Flag, "Variables of the host; none is passed on, which a warning says").applications(),
    quadlet("Mask", Kind::Words, "Path made unreadable for the application; several with colons between").applications(),
    quadlet("Memory", Kind::Text, "Most memory for the whole container, such as 512m; becomes MemoryMax="),
    quadlet("PidsLimit", Kind::Text, "Most tasks in the whole container, those of its service manager among them; -1 for no limit; becomes TasksMax="),
    quadlet("ReadOnly", Kind::Flag, "Read-only root file system for the application; volumes stay as they are").applications(),
    quadlet("ReadOnlyTmpfs", Kind::Flag, "With ReadOnly=, whether /run, /tmp and /var/tmp can be written to, in memory; yes unless set").applications(),
    quadlet("RunInit", Kind::Flag, "Of no consequence: an init runs in front of every application").applications(),
    quadlet("ShmSize", Kind::Text, "Size of a /dev/shm of the application's own, such as 64m").applications(),
    quadlet("StopSignal", Kind::Text, "Signal that stops the application, in place of the image's").process(),
    quadlet("StopTimeout", Kind::Text, "Time the application gets to stop before it is killed: seconds, or 1.5s, 2min").applications(),
    quadlet("Sysctl", Kind::Words, "NAME=VALUE of the kernel, for the container's namespaces: kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*; net.* with a network of its own").applications(),
    quadlet("Tmpfs", Kind::Words, "PATH[:OPTIONS] of a file system in memory, which begins with what the image has there; nosuid and nodev unless the options say otherwise").applications(),
    quadlet("Ulimit", Kind::Words, "NAME=SOFT[:HARD], a resource limit by its name in Docker, such as nofile").applications(),
    quadlet("User", Kind::Text, "User of the application: a name of the image's or a number, and a group behind a colon").process(),
    quadlet("WorkingDir", Kind::Text, "Working directory of the application, in place of the image's; made if missing").process(),
    quadlet("Notify", Kind::Text, "What the start waits for: no (the program runs; unless set), yes (it says so, with sd_notify) or healthy (its first health check passes)").process(),
    quadlet(
        "Pull",
        Kind::Choice(PULL),
        "When to pull an image that is given as a reference: missing, always, newer (always, unless the registry is down) or never",
    ),
    quadlet("ReloadCmd", Kind::Words, "Command beside the application for systemctl reload").process(),
    quadlet("ReloadSignal", Kind::Text, "Signal to the application for systemctl reload, such as HUP").process(),
    quadlet(
        "EnvironmentFile",
        Kind::Words,
        "File of NAME=VALUE lines, read at each start, in Docker's format; a - before the path: it may be missing",
    )
    .applications(),
    quadlet(
        "Mount",
        Kind::Words,
        "Volume, host directory or tmpfs in long form: type=TYPE,source=SOURCE,target=PATH,ro",
    )
    .applications(),
    quadlet(
        "Secret",
        Kind::Words,
        "Credential of the host, a file in /run/secrets or, with type=env, a variable: NAME,type=TYPE,target=TARGET,uid=,gid=,mode=",
    )
    .applications(),
    quadlet(
        "Volume",
        Kind::Lines,
        "[SOURCE:]PATH[:OPTIONS]: a path of the host, NAME.volume or the name of a volume, and where it appears",
    )
    .applications(),
    quadlet("Timezone", Kind::Text, "Time zone inside: local for the host's own, or a name such as Europe/Berlin"),
    ours(
        "App",
        Kind::Words,
        "A further application in the same container, as for Image=; its own settings go into [Container NAME] and [App NAME]",
    ),
    ours("Base", Kind::Text, "Operating system below the application: NAME.image, or host for the host's own /usr"),
    ours(
        "Mode",
        Kind::Choice(&["auto", "base", "app"]),
        "What an image given as a reference is: an application, a base operating system, or decided by its contents",
    ),
    ours("Hardened", Kind::Flag, "User namespace, private network, no new privileges, fewer capabilities"),
    ours("OciPod", Kind::Text, "Pod whose network only the application joins: NAME.pod"),
    ours("PublishMode", Kind::Choice(MODES), MODE_HELP),
    ours("StartOnDemand", Kind::Flag, DEMAND_HELP),
    ours("StopWhenIdle", Kind::Text, IDLE_HELP),
    ours("UpdateSettle", Kind::Text, SETTLE_HELP),
    ours("UpdateSnapshot", Kind::Flag, SNAPSHOT_HELP),
    ours("Strict", Kind::Flag, "Hardened, with Docker's capabilities at most, system call filters and AppArmor"),
    ours(
        "SystemCallFilter",
        Kind::Words,
        "System calls or @groups that systemd-nspawn allows besides its own list, or denies after a ~, in the whole container",
    ),
    quadlet(
        "AddCapability",
        Kind::Words,
        "Capabilities the container and its applications have besides the usual ones, or all",
    ),
    quadlet(
        "AddDevice",
        Kind::Words,
        "DEVICE[:INSIDE][:rwm]: a device node of the host, what it is called inside, and what may be done with it",
    ),
    quadlet("Annotation", Kind::Words, LABEL_HELP),
    quadlet(
        "AppArmor",
        Kind::Text,
        "AppArmor profile of the whole container, which has to be loaded: sdme-default, another, or unconfined",
    ),
    quadlet("AutoUpdate", Kind::Choice(AutoUpdate::CHOICES), UPDATE_HELP),
    quadlet("ContainerName", Kind::Text, "Name of the container, when it is not the file's"),
    quadlet("DropCapability", Kind::Words, "Capabilities the container and its applications do not have, or all"),
    quadlet("ExposeHostPort", Kind::Words, "Port that may be reached; no effect, as none is closed to the network"),
    quadlet("GIDMap", Kind::Words, MAP_HELP),
    quadlet("IP", Kind::Text, IP_HELP),
    quadlet("IP6", Kind::Text, IP6_HELP),
    quadlet("Label", Kind::Words, LABEL_HELP),
    quadlet("LogDriver", Kind::Choice(LOG_DRIVERS), "Where the output goes: always to the journal"),
    quadlet(
        "Network",
        Kind::Words,
        "NAME.network or NAME, several times; or one of host (unless set), none, bridge, private (loopback and published ports), uplink (and a way out), veth, bridge:NAME, zone:NAME, NAME.container",
    ),
    quadlet(
        "NoNewPrivileges",
        Kind::Flag,
        "No program in the container gains privileges; for applications, yes unless set",
    ),
    quadlet("Pod", Kind::Text, "Pod whose network the container joins: NAME.pod"),
    quadlet("PublishPort", Kind::Words, PORT_HELP),
    without("Retry", Kind::Text, "the setting belongs to the image; write Retry= in an .image file"),
    without("RetryDelay", Kind::Text, "the setting belongs to the image; write RetryDelay= in an .image file"),
    never("Rootfs", "write Image=rootfs:PATH; the files are imported once, and changes are the container's"),
    quadlet("SeccompProfile", Kind::Text, "File with a system call profile in Docker's form, for the applications"),
    quadlet("SecurityLabelDisable", Kind::Flag, "No SELinux label; always so"),
    without("SecurityLabelLevel", Kind::Text, LABELED),
    quadlet("SecurityLabelType", Kind::Text, "Type of the SELinux label; the container gets none, as with spc_t"),
    quadlet("ServiceName", Kind::Text, UNIT_HELP),
    quadlet("StartWithPod", Kind::Flag, "Start together with the pod; yes unless set"),
    quadlet("SubGIDMap", Kind::Text, MAP_HELP),
    quadlet("SubUIDMap", Kind::Text, MAP_HELP),
    quadlet("UIDMap", Kind::Words, MAP_HELP),
    quadlet(
        "UserNS",
        Kind::Text,
        "auto for a user namespace: root inside is nobody on the host, and nothing is copied for it; no (unless set); keep-id and mappings of Podman are taken for auto",
    ),
    quadlet("NetworkAlias", Kind::Words, ALIAS_HELP),
    without("Unmask", Kind::Words, "systemd-nspawn keeps some files of /proc and /sys read-only; remove the key"),
    without("SecurityLabelFileType", Kind::Text, LABELED),
    quadlet("SecurityLabelNested", Kind::Flag, "SELinux labels inside; the container gets no label that forbids them"),
    without("LogOpt", Kind::Words, "the output goes to the journal; write limits in journald.conf(5)"),
    quadlet("HealthLogDestination", Kind::Text, "Where results of health checks go: always to the journal"),
    quadlet("HealthMaxLogCount", Kind::Text, "Number of results that are kept; the limits of the journal count"),
    quadlet("HealthMaxLogSize", Kind::Text, "Length of results; the limits of the journal count"),
    quadlet("CgroupsMode", Kind::Choice(&["split", "enabled", "no-conmon", "disabled"]), "Control group: the container always has one below its unit"),
    without("ContainersConfModule", Kind::Text, NO_PODMAN),
    without("GlobalArgs", Kind::Text, NO_PODMAN),
    quadlet("PodmanArgs", Kind::Words, ARGS_HELP),
    never("RemapUsers", "use UserNS= in its place"),
    never("RemapUid", "use UserNS= in its place"),
    never("RemapGid", "use UserNS= in its place"),
    never("RemapUidSize", "use UserNS= in its place"),
    quadlet("VolatileTmp", Kind::Flag, "As Tmpfs=/tmp"),
];

const KEY_HELP: &str = "Public keys (PEM files), one of which must have signed an image; none asks for no signature beyond the machine's policy";
const IDENTITY_HELP: &str = "What a signature must name: matchRepoDigestOrExact (default), matchExact, matchRepository, digest, a reference, or two prefixes";

/// Keys of `[Image]`.
pub const IMAGE: &[Key] = &[
    quadlet(
        "Image",
        Kind::Text,
        "Where the image comes from: a registry reference, or oci:, oci-archive:, docker-archive:, dir: or rootfs: and a path",
    ),
    quadlet(
        "Arch",
        Kind::Text,
        "Architecture to choose from an image for several, such as arm64; this machine's unless set",
    ),
    quadlet(
        "AuthFile",
        Kind::Text,
        "File of credentials in the containers auth.json format, in place of its standard places",
    ),
    quadlet(
        "CertDir",
        Kind::Text,
        "Directory with *.crt to trust for the registry, and *.cert with *.key to show to it",
    ),
    quadlet(
        "Creds",
        Kind::Text,
        "USER:PASSWORD for the registry; anyone who may read the file sees it, AuthFile= is better",
    ),
    quadlet("OS", Kind::Choice(&["linux"]), "Operating system to choose from an image for several; always linux"),
    quadlet(
        "Policy",
        Kind::Choice(PULL),
        "When to pull: missing, always, newer (always, unless the registry is down) or never",
    ),
    quadlet("Retry", Kind::Text, "How often a request that failed for no lasting reason is repeated; 3 unless set"),
    quadlet("RetryDelay", Kind::Text, "Time before the first repetition, doubled with each; 1s unless set"),
    quadlet("TLSVerify", Kind::Flag, "Verify the registry's certificate; yes unless set"),
    quadlet("Variant", Kind::Text, "Variant of the architecture to choose from an image for several, such as v7"),
    ours("AutoUpdate", Kind::Choice(AutoUpdate::CHOICES), UPDATE_HELP),
    ours("Base", Kind::Text, "Operating system below this application: NAME.image, or host for the host's own /usr"),
    ours(
        "InstallPackages",
        Kind::Choice(&["auto", "yes", "no"]),
        "Install systemd into an operating system that lacks it: auto, yes (the message bus, too) or no",
    ),
    ours(
        "Mode",
        Kind::Choice(&["auto", "base", "app"]),
        "What the image is: an application, a base operating system, or decided by its contents",
    ),
    ours("VerifyIdentity", Kind::Words, IDENTITY_HELP),
    ours("VerifyKey", Kind::Words, KEY_HELP),
    without("ImageTag", Kind::Text, "the image is known by its file's name; write NAME.image where it is used"),
    quadlet("ServiceName", Kind::Text, UNIT_HELP),
    never("AllTags", "write one .image file for each tag"),
    never("DecryptionKey", "encrypted images cannot be used"),
    without("ContainersConfModule", Kind::Text, NO_PODMAN),
    without("GlobalArgs", Kind::Text, NO_PODMAN),
    quadlet("PodmanArgs", Kind::Words, ARGS_HELP),
];

/// Keys of `[Pod]`.
pub const POD: &[Key] = &[
    quadlet("DNS", Kind::Words, "Name server for the members"),
    quadlet("DNSOption", Kind::Words, "Option of the resolver (resolv.conf(5)) for the members"),
    quadlet("DNSSearch", Kind::Words, "Domain to search for the members; . for none"),
    quadlet(
        "AddHost",
        Kind::Words,
        "NAME:ADDRESS for /etc/hosts of the members; the address host-gateway is the host's end of the network",
    ),
    quadlet(
        "ExitPolicy",
        Kind::Choice(&["continue", "stop"]),
        "What becomes of the pod when its last member stops: always continue, so that published ports stay open",
    ),
    quadlet("GIDMap", Kind::Words, MAP_HELP),
    quadlet("HostName", Kind::Text, "Host name of members that have none of their own"),
    quadlet("IP", Kind::Text, IP_HELP),
    quadlet("IP6", Kind::Text, IP6_HELP),
    quadlet("Label", Kind::Words, LABEL_HELP),
    quadlet(
        "Network",
        Kind::Words,
        "NAME.network or NAME, several times; or private (loopback and published ports; unless set), bridge, or uplink (and a way out)",
    ),
    quadlet("PodName", Kind::Text, "Name of the pod, when it is not the file's"),
    quadlet("PublishPort", Kind::Words, PORT_HELP),
    ours("PublishMode", Kind::Choice(MODES), MODE_HELP),
    ours("StartOnDemand", Kind::Flag, DEMAND_HELP),
    ours("StopWhenIdle", Kind::Text, IDLE_HELP),
    quadlet("ServiceName", Kind::Text, UNIT_HELP),
    quadlet("ShmSize", Kind::Text, "ShmSize= of members that say nothing else: each has a /dev/shm of its own"),
    quadlet("StopTimeout", Kind::Text, "StopTimeout= of members that say nothing else"),
    quadlet("SubGIDMap", Kind::Text, MAP_HELP),
    quadlet("SubUIDMap", Kind::Text, MAP_HELP),
    quadlet("UIDMap", Kind::Words, MAP_HELP),
    quadlet("UserNS", Kind::Text, "UserNS= of members that say nothing else: each has a range of its own"),
    quadlet("Volume", Kind::Lines, "[SOURCE:]PATH[:OPTIONS] for every member, beside its own"),
    quadlet("NetworkAlias", Kind::Words, ALIAS_HELP),
    without("ContainersConfModule", Kind::Text, NO_PODMAN),
    without("GlobalArgs", Kind::Text, NO_PODMAN),
    quadlet("PodmanArgs", Kind::Words, ARGS_HELP),
    never("RemapUsers", "use UserNS= in its place"),
    never("RemapUid", "use UserNS= in its place"),
    never("RemapGid", "use UserNS= in its place"),
    never("RemapUidSize", "use UserNS= in its place"),
];

/// Keys of `[Network]`.
pub const NETWORK: &[Key] = &[
    quadlet("DisableDNS", Kind::Flag, "Whether the members do not find each other by name; no unless set"),
    quadlet("DNS", Kind::Words, "Name server for the members, in place of the host's"),
    quadlet("Driver", Kind::Text, "How the network is made; always bridge"),
    quadlet("Gateway", Kind::Words, "The host's address in a subnet; the first one of the subnet unless set"),
    quadlet("InterfaceName", Kind::Text, "Name of the bridge; it follows from the network's name unless set"),
    quadlet("Internal", Kind::Flag, "No way out, and none to the host; no unless set"),
    quadlet(
        "IPRange",
        Kind::Words,
        "Part of a subnet that members get addresses from, as ADDRESS/LENGTH or FIRST-LAST; the whole subnet unless set",
    ),
    quadlet("IPv6", Kind::Flag, "A subnet of unique local IPv6 addresses, beside the others; no unless set"),
    quadlet("Label", Kind::Words, LABEL_HELP),
    quadlet(
        "NetworkDeleteOnStop",
        Kind::Flag,
        "Always yes: the network is there as long as a member or [Install] needs it",
    ),
    quadlet("NetworkName", Kind::Text, "Name of the network, when it is not the file's"),
    quadlet("Options", Kind::Words, "mtu=NUMBER, and isolate=true, which every network is"),
    quadlet(
        "Subnet",
        Kind::Words,
        "Addresses of the network, as ADDRESS/LENGTH; chosen within NetworkRange= unless set",
    ),
    quadlet("IPAMDriver", Kind::Choice(&["host-local"]), "How members get addresses: always from their names, or IP="),
    quadlet("ServiceName", Kind::Text, UNIT_HELP),
    without("ContainersConfModule", Kind::Text, NO_PODMAN),
    without("GlobalArgs", Kind::Text, NO_PODMAN),
    quadlet("PodmanArgs", Kind::Words, ARGS_HELP),
];

/// Keys of `[Volume]`.
pub const VOLUME: &[Key] = &[
    quadlet("Copy", Kind::Flag, "Copy what the image has there into the volume when it is empty; yes unless set"),
    quadlet(
        "Device",
        Kind::Text,
        "What is mounted as the volume: a device, a directory with Type=none, or what Type= takes",
    ),
    quadlet("Driver", Kind::Choice(&["local"]), "How the volume is kept; always local"),
    quadlet("GID", Kind::Text, "Group of a new volume, a number"),
    quadlet("Group", Kind::Text, "Group of a new volume, a name of the host or a number"),
    quadlet("Label", Kind::Words, "NAME=VALUE for those who read the file; means nothing here"),
    quadlet("Options", Kind::Text, "Mount options for Device="),
    quadlet("Type", Kind::Text, "File system type of Device="),
    quadlet("UID", Kind::Text, "Owner of a new volume, a number"),
    quadlet("User", Kind::Text, "Owner of a new volume, a name of the host or a number"),
    quadlet("VolumeName", Kind::Text, "Name of the volume, when it is not the file's name"),
    quadlet("ServiceName", Kind::Text, "Name that other files use in their dependencies; a volume has no unit"),
    never("Image", "a volume gets its first content from the image of the container that uses it"),
    without("ContainersConfModule", Kind::Text, NO_PODMAN),
    without("GlobalArgs", Kind::Text, NO_PODMAN),
    quadlet("PodmanArgs", Kind::Words, ARGS_HELP),
];

/// Keys of `[Defaults]`.
pub const DEFAULTS: &[Key] = &[
    ours("AutoUpdate", Kind::Choice(AutoUpdate::CHOICES), "AutoUpdate= of containers and images without the key"),
    ours(
        "BaseFs",
        Kind::Text,
        "Base of applications that name none: NAME.image, NAME, or host for the host's own /usr",
    ),
    ours("CacheSize", Kind::Text, "Most that downloads are kept of, with the unit K, M, G or T; 10G unless set"),
    ours(
        "ImportTimeout",
        Kind::Text,
        "Longest time that the import of one image may take, such as 30min or infinity (default: infinity)",
    ),
    ours("InstallArch", Kind::Text, "Shell command that installs systemd into a base of the Arch family"),
    ours("InstallDebian", Kind::Text, "Shell command that installs systemd into a base of the Debian family"),
    ours("InstallFedora", Kind::Text, "Shell command that installs systemd into a base of the Fedora family"),
    ours("InstallSuse", Kind::Text, "Shell command that installs systemd into a base of the SUSE family"),
    ours("Insecure", Kind::Words, "Registries that are spoken to over plain HTTP"),
    ours("KeepVersions", Kind::Text, "Number of former versions of each image that are kept (default: 1)"),
    ours("Mirror", Kind::Words, "A registry and another that is asked before it: docker.io mirror.example.org"),
    ours(
        "Network",
        Kind::Words,
        "Network= of containers without the key, without Pod= and without OciPod=; host unless set",
    ),
    ours(
        "NetworkRange",
        Kind::Text,
        "IPv4 addresses for networks without Subnet=, 4096 for each; 10.216.0.0/13 unless set",
    ),
    ours("UpdateSettle", Kind::Text, SETTLE_HELP),
    ours("UpdateSnapshot", Kind::Flag, SNAPSHOT_HELP),
    ours(
        "UplinkRange",
        Kind::Text,
        "Addresses for Network=uplink and forwarded ports, four for each; 10.213.0.0/16 unless set",
    ),
    ours("VerifyIdentity", Kind::Words, IDENTITY_HELP),
    ours("VerifyKey", Kind::Words, KEY_HELP),
];
