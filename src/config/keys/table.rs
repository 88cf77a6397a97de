// SPDX-License-Identifier: MIT
//! The data of the key table, section by section; alphabetical within one status. Pure.

use super::{Key, Kind, Scope, Status};

const PULL: &[&str] = &["missing", "always", "newer", "never"];
const LABEL_HELP: &str = "NAME=VALUE for those who read the file; means nothing here";
const RANGE: &str = "UserNS=auto gives the container a range of IDs of its own, and ID-maps what it mounts";
const ADDRESS: &str =
    "an address follows from the pod's name within UplinkRange= of sdme.conf; PublishPort= is how it is reached";
const LABELED: &str = "no labels of SELinux are given; AppArmor= confines the container";
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
    quadlet("HealthInterval", Kind::Text, "Time between two health checks, or disable; 30s unless set").process(),
    quadlet("HealthOnFailure", Kind::Choice(&["none", "kill", "restart", "stop"]), "What is done with an application that turns unhealthy; none unless set").process(),
    quadlet("HealthRetries", Kind::Text, "Failures in a row that count as unhealthy; 3 unless set").process(),
    quadlet("HealthStartPeriod", Kind::Text, "Time after the start in which failures do not count, until a check has passed").process(),
    quadlet("HealthStartupCmd", Kind::Text, "Health check that comes first, until it has passed").process(),
    quadlet("HealthStartupInterval", Kind::Text, "Time between two startup checks; 30s unless set").process(),
    quadlet("HealthStartupRetries", Kind::Text, "Failures of the startup check after which the application is restarted; never unless set").process(),
    quadlet("HealthStartupSuccess", Kind::Text, "How often the startup check has to pass; once unless set").process(),
    quadlet("HealthStartupTimeout", Kind::Text, "Time one startup check may take; 30s unless set").process(),
    quadlet("HealthTimeout", Kind::Text, "Time one health check may take; 30s unless set").process(),
    quadlet("HostName", Kind::Text, "Host name inside; the container's name unless set"),
    quadlet("AddHost", Kind::Words, "NAME:ADDRESS for /etc/hosts"),
    quadlet("DNS", Kind::Words, "Name server for the container, in place of the host's"),
    quadlet("DNSOption", Kind::Words, "Option of the resolver (resolv.conf(5)), in place of the host's"),
    quadlet("DNSSearch", Kind::Words, "Domain to search, in place of the host's; . for none"),
    quadlet("Entrypoint", Kind::Text, "Program and first arguments in place of the image's entrypoint and command: words, or a JSON array; [] for none").process(),
    quadlet("EnvironmentHost", Kind::Flag, "Always no: nothing of the host's environment is passed on").applications(),
    quadlet("Group", Kind::Text, "Group of the application: a name of the image's or a number").process(),
    quadlet("GroupAdd", Kind::Words, "Further groups of the application: names of the image's or numbers").applications(),
    quadlet("HttpProxy", Kind::Flag, "Always no: nothing of the host's environment is passed on").applications(),
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
    quadlet("Tmpfs", Kind::Words, "PATH[:OPTIONS] of a file system in memory; nosuid, nodev, noexec unless the options say otherwise").applications(),
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
    never("AutoUpdate", "Pull=newer looks for a new version at every start"),
    quadlet("ContainerName", Kind::Text, "Name of the container, when it is not the file's"),
    quadlet("DropCapability", Kind::Words, "Capabilities the container and its applications do not have, or all"),
    never("ExposeHostPort", "nothing has to be exposed; PublishPort= publishes a port"),
    never("GIDMap", RANGE),
    never("IP", ADDRESS),
    never("IP6", "pods have IPv4 addresses; PublishPort= is how they are reached, by IPv6, too"),
    quadlet("Label", Kind::Words, LABEL_HELP),
    quadlet("LogDriver", Kind::Choice(&["journald"]), "Where the output goes; always journald, the journal"),
    quadlet(
        "Network",
        Kind::Text,
        "host (unless set), none, private (loopback and published ports), uplink (and a way out), veth, bridge:NAME or zone:NAME",
    ),
    quadlet(
        "NoNewPrivileges",
        Kind::Flag,
        "No program in the container gains privileges; for applications, yes unless set",
    ),
    quadlet("Pod", Kind::Text, "Pod whose network the container joins: NAME.pod"),
    quadlet("PublishPort", Kind::Words, PORT_HELP),
    never("Retry", "name an .image file, which has Retry="),
    never("RetryDelay", "name an .image file, which has RetryDelay="),
    never("Rootfs", "write Image=rootfs:PATH; the files are imported once, and changes are the container's"),
    quadlet("SeccompProfile", Kind::Text, "File with a system call profile in Docker's form, for the applications"),
    never("SecurityLabelDisable", LABELED),
    never("SecurityLabelLevel", LABELED),
    never("SecurityLabelType", LABELED),
    never("ServiceName", "the unit is systemd-nspawn@NAME.service; ContainerName= says what NAME is"),
    quadlet("StartWithPod", Kind::Flag, "Start together with the pod; yes unless set"),
    never("SubGIDMap", RANGE),
    never("SubUIDMap", RANGE),
    never("UIDMap", RANGE),
    quadlet(
        "UserNS",
        Kind::Text,
        "auto for a user namespace: root inside is nobody on the host, and nothing is copied for it; no (unless set)",
    ),
    never("NetworkAlias", "members of a pod reach each other on 127.0.0.1"),
    never("Unmask", "nothing is masked unless asked for"),
    never("SecurityLabelFileType", "label the files with chcon"),
    never("SecurityLabelNested", "use [Service] settings"),
    never("LogOpt", "logs go to the journal; see journald.conf(5)"),
    never("HealthLogDestination", "health results go to the journal"),
    never("HealthMaxLogCount", "health results go to the journal"),
    never("HealthMaxLogSize", "health results go to the journal"),
    never("CgroupsMode", "use Slice= or Delegate= in [Service]"),
    never("ContainersConfModule", "there is no podman; write the matching key or a [Service] setting"),
    never("GlobalArgs", "there is no podman; write the matching key or a [Service] setting"),
    never("PodmanArgs", "there is no podman; write the matching key or a [Service] setting"),
    never("RemapUsers", "use UserNS= in its place"),
    never("RemapUid", "use UserNS= in its place"),
    never("RemapGid", "use UserNS= in its place"),
    never("RemapUidSize", "use UserNS= in its place"),
    never("VolatileTmp", "use Tmpfs=/tmp"),
];

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
    never("ImageTag", "the image is known by the name of its file: write NAME.image where it is used"),
    never("ServiceName", "the unit is sdme-image@NAME.service; rename the file"),
    never("AllTags", "write one .image file for each tag"),
    never("DecryptionKey", "encrypted images cannot be used"),
    never("ContainersConfModule", "there is no podman; write the matching key or a [Service] setting"),
    never("GlobalArgs", "there is no podman; write the matching key or a [Service] setting"),
    never("PodmanArgs", "there is no podman; write the matching key or a [Service] setting"),
];

/// Keys of `[Pod]`.
pub const POD: &[Key] = &[
    quadlet("DNS", Kind::Words, "Name server for the members"),
    quadlet("DNSOption", Kind::Words, "Option of the resolver (resolv.conf(5)) for the members"),
    quadlet("DNSSearch", Kind::Words, "Domain to search for the members; . for none"),
    quadlet("AddHost", Kind::Words, "NAME:ADDRESS for /etc/hosts of the members"),
    quadlet(
        "ExitPolicy",
        Kind::Choice(&["continue"]),
        "What becomes of the pod when its last member stops; always continue, so that what is published stays in place",
    ),
    never("GIDMap", RANGE),
    quadlet("HostName", Kind::Text, "Host name of members that have none of their own"),
    never("IP", ADDRESS),
    never("IP6", "pods have IPv4 addresses; PublishPort= is how they are reached, by IPv6, too"),
    quadlet("Label", Kind::Words, LABEL_HELP),
    quadlet("Network", Kind::Text, "private (loopback and published ports; unless set) or uplink (and a way out)"),
    quadlet("PodName", Kind::Text, "Name of the pod, when it is not the file's"),
    quadlet("PublishPort", Kind::Words, PORT_HELP),
    ours("PublishMode", Kind::Choice(MODES), MODE_HELP),
    ours("StartOnDemand", Kind::Flag, DEMAND_HELP),
    ours("StopWhenIdle", Kind::Text, IDLE_HELP),
    never("ServiceName", "the units are sdme-pod@NAME.service and sdme-pod@NAME.target; PodName= says what NAME is"),
    quadlet("ShmSize", Kind::Text, "ShmSize= of members that say nothing else: each has a /dev/shm of its own"),
    quadlet("StopTimeout", Kind::Text, "StopTimeout= of members that say nothing else"),
    never("SubGIDMap", RANGE),
    never("SubUIDMap", RANGE),
    never("UIDMap", RANGE),
    quadlet(
        "UserNS",
        Kind::Choice(&["auto", "no", "host"]),
        "UserNS= of members that say nothing else: each has a range of its own",
    ),
    quadlet("Volume", Kind::Lines, "[SOURCE:]PATH[:OPTIONS] for every member, beside its own"),
    never("NetworkAlias", "members of a pod reach each other on 127.0.0.1"),
    never("ContainersConfModule", "there is no podman; write the matching key or a [Service] setting"),
    never("GlobalArgs", "there is no podman; write the matching key or a [Service] setting"),
    never("PodmanArgs", "there is no podman; write the matching key or a [Service] setting"),
    never("RemapUsers", "use UserNS= in its place"),
    never("RemapUid", "use UserNS= in its place"),
    never("RemapGid", "use UserNS= in its place"),
    never("RemapUidSize", "use UserNS= in its place"),
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
    never("ServiceName", "a volume has no service; its directory is there when a container needs it"),
    never("Image", "a volume gets its first content from the image of the container that uses it"),
    never("ContainersConfModule", "there is no podman; write the matching key or a [Service] setting"),
    never("GlobalArgs", "there is no podman; write the matching key or a [Service] setting"),
    never("PodmanArgs", "there is no podman; write the matching key or a [Service] setting"),
];

/// Keys of `[Defaults]`.
pub const DEFAULTS: &[Key] = &[
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
    ours("Mirror", Kind::Words, "A registry and another that is asked before it: docker.io mirror.example.org"),
    ours(
        "UplinkRange",
        Kind::Text,
        "Addresses for Network=uplink and forwarded ports, four for each; 10.213.0.0/16 unless set",
    ),
];
