// SPDX-License-Identifier: MIT
//! The data of the key table, section by section; alphabetical within one status. Pure.

use super::key::{self, KeyName};
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

const fn ours(name: KeyName, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, status: Status::Supported, quadlet: false, scope: Scope::Container, help }
}

const fn quadlet(name: KeyName, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, status: Status::Supported, quadlet: true, scope: Scope::Container, help }
}

const fn without(name: KeyName, kind: Kind, why: &'static str) -> Key {
    Key { name, kind, status: Status::Without(why), quadlet: true, scope: Scope::Container, help: why }
}

const fn never(name: KeyName, instead: &'static str) -> Key {
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
        key::IMAGE,
        Kind::Text,
        "Image to run: NAME.image, a registry reference, or oci:PATH[:TAG]; without it the container is a clone of the host",
    ),
    quadlet(key::ENVIRONMENT, Kind::Words, "NAME=VALUE for the application; VALUE is taken as it is, % and $ included")
        .applications(),
    quadlet(key::EXEC, Kind::Line, "Arguments for the image's entrypoint, in place of its default command").process(),
    quadlet(key::HEALTH_CMD, Kind::Text, "Command that tells whether the application is healthy: a line for the shell, a JSON list of words, or none; the image's unless set").process(),
    ours(key::HEALTH_HTTP, Kind::Text, "In place of HealthCmd=: [http://HOST][:PORT]/PATH of a page whose status tells whether the application is healthy").process(),
    quadlet(key::HEALTH_INTERVAL, Kind::Text, "Time between two health checks, or disable; 30s unless set").process(),
    quadlet(key::HEALTH_ON_FAILURE, Kind::Choice(&["none", "kill", "restart", "stop"]), "What is done with an application that turns unhealthy; none unless set").process(),
    quadlet(key::HEALTH_RETRIES, Kind::Text, "Failures in a row that count as unhealthy; 3 unless set").process(),
    quadlet(key::HEALTH_START_PERIOD, Kind::Text, "Time after the start in which failures do not count, until a check has passed").process(),
    quadlet(key::HEALTH_STARTUP_CMD, Kind::Text, "Health check that comes first, until it has passed").process(),
    ours(key::HEALTH_STARTUP_HTTP, Kind::Text, "In place of HealthStartupCmd=: as HealthHttp=").process(),
    quadlet(key::HEALTH_STARTUP_INTERVAL, Kind::Text, "Time between two startup checks; 30s unless set").process(),
    quadlet(key::HEALTH_STARTUP_RETRIES, Kind::Text, "Failures of the startup check after which the application is restarted; never unless set").process(),
    quadlet(key::HEALTH_STARTUP_SUCCESS, Kind::Text, "How often the startup check has to pass; once unless set").process(),
    quadlet(key::HEALTH_STARTUP_TIMEOUT, Kind::Text, "Time one startup check may take; 30s unless set").process(),
    ours(key::HEALTH_STARTUP_TCP, Kind::Text, "In place of HealthStartupCmd=: as HealthTcp=").process(),
    ours(key::HEALTH_TCP, Kind::Text, "In place of HealthCmd=: [HOST:]PORT that takes connections while the application is healthy").process(),
    quadlet(key::HEALTH_TIMEOUT, Kind::Text, "Time one health check may take; 30s unless set").process(),
    quadlet(key::HOST_NAME, Kind::Text, "Host name inside; the container's name unless set"),
    quadlet(key::ADD_HOST, Kind::Words, "NAME:ADDRESS for /etc/hosts; the address host-gateway is the host's end of the network"),
    quadlet(key::DNS, Kind::Words, "Name server for the container, in place of the host's"),
    quadlet(key::DNS_OPTION, Kind::Words, "Option of the resolver (resolv.conf(5)), in place of the host's"),
    quadlet(key::DNS_SEARCH, Kind::Words, "Domain to search, in place of the host's; . for none"),
    quadlet(key::ENTRYPOINT, Kind::Text, "Program and first arguments in place of the image's entrypoint and command: words, or a JSON array; [] for none").process(),
    quadlet(key::ENVIRONMENT_HOST, Kind::Flag, "Variables of the host; none is passed on, which a warning says").applications(),
    quadlet(key::GROUP, Kind::Text, "Group of the application: a name of the image's or a number").process(),
    quadlet(key::GROUP_ADD, Kind::Words, "Further groups of the application: names of the image's or numbers").applications(),
    quadlet(key::HTTP_PROXY, Kind::Flag, "Variables of the host; none is passed on, which a warning says").applications(),
    quadlet(key::MASK, Kind::Words, "Path made unreadable for the application; several with colons between").applications(),
    quadlet(key::MEMORY, Kind::Text, "Most memory for the whole container, such as 512m; becomes MemoryMax="),
    quadlet(key::PIDS_LIMIT, Kind::Text, "Most tasks in the whole container, those of its service manager among them; -1 for no limit; becomes TasksMax="),
    quadlet(key::READ_ONLY, Kind::Flag, "Read-only root file system for the application; volumes stay as they are").applications(),
    quadlet(key::READ_ONLY_TMPFS, Kind::Flag, "With ReadOnly=, whether /run, /tmp and /var/tmp can be written to, in memory; yes unless set").applications(),
    quadlet(key::RUN_INIT, Kind::Flag, "Of no consequence: an init runs in front of every application").applications(),
    quadlet(key::SHM_SIZE, Kind::Text, "Size of a /dev/shm of the application's own, such as 64m").applications(),
    quadlet(key::STOP_SIGNAL, Kind::Text, "Signal that stops the application, in place of the image's").process(),
    quadlet(key::STOP_TIMEOUT, Kind::Text, "Time the application gets to stop before it is killed: seconds, or 1.5s, 2min").applications(),
    quadlet(key::SYSCTL, Kind::Words, "NAME=VALUE of the kernel, for the container's namespaces: kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*; net.* with a network of its own").applications(),
    quadlet(key::TMPFS, Kind::Words, "PATH[:OPTIONS] of a file system in memory; nosuid, nodev, noexec unless the options say otherwise").applications(),
    quadlet(key::ULIMIT, Kind::Words, "NAME=SOFT[:HARD], a resource limit by its name in Docker, such as nofile").applications(),
    quadlet(key::USER, Kind::Text, "User of the application: a name of the image's or a number, and a group behind a colon").process(),
    quadlet(key::WORKING_DIR, Kind::Text, "Working directory of the application, in place of the image's; made if missing").process(),
    quadlet(key::NOTIFY, Kind::Text, "What the start waits for: no (the program runs; unless set), yes (it says so, with sd_notify) or healthy (its first health check passes)").process(),
    quadlet(
        key::PULL,
        Kind::Choice(PULL),
        "When to pull an image that is given as a reference: missing, always, newer (always, unless the registry is down) or never",
    ),
    quadlet(key::RELOAD_CMD, Kind::Words, "Command beside the application for systemctl reload").process(),
    quadlet(key::RELOAD_SIGNAL, Kind::Text, "Signal to the application for systemctl reload, such as HUP").process(),
    quadlet(
        key::ENVIRONMENT_FILE,
        Kind::Words,
        "File of NAME=VALUE lines, read at each start, in Docker's format; a - before the path: it may be missing",
    )
    .applications(),
    quadlet(
        key::MOUNT,
        Kind::Words,
        "Volume, host directory or tmpfs in long form: type=TYPE,source=SOURCE,target=PATH,ro",
    )
    .applications(),
    quadlet(
        key::SECRET,
        Kind::Words,
        "Credential of the host, a file in /run/secrets or, with type=env, a variable: NAME,type=TYPE,target=TARGET,uid=,gid=,mode=",
    )
    .applications(),
    quadlet(
        key::VOLUME,
        Kind::Lines,
        "[SOURCE:]PATH[:OPTIONS]: a path of the host, NAME.volume or the name of a volume, and where it appears",
    )
    .applications(),
    quadlet(key::TIMEZONE, Kind::Text, "Time zone inside: local for the host's own, or a name such as Europe/Berlin"),
    ours(
        key::APP,
        Kind::Words,
        "A further application in the same container, as for Image=; its own settings go into [Container NAME] and [App NAME]",
    ),
    ours(key::BASE, Kind::Text, "Operating system below the application: NAME.image, or host for the host's own /usr"),
    ours(
        key::MODE,
        Kind::Choice(&["auto", "base", "app"]),
        "What an image given as a reference is: an application, a base operating system, or decided by its contents",
    ),
    ours(key::HARDENED, Kind::Flag, "User namespace, private network, no new privileges, fewer capabilities"),
    ours(key::OCI_POD, Kind::Text, "Pod whose network only the application joins: NAME.pod"),
    ours(key::PUBLISH_MODE, Kind::Choice(MODES), MODE_HELP),
    ours(key::START_ON_DEMAND, Kind::Flag, DEMAND_HELP),
    ours(key::STOP_WHEN_IDLE, Kind::Text, IDLE_HELP),
    ours(key::UPDATE_SETTLE, Kind::Text, SETTLE_HELP),
    ours(key::UPDATE_SNAPSHOT, Kind::Flag, SNAPSHOT_HELP),
    ours(key::STRICT, Kind::Flag, "Hardened, with Docker's capabilities at most, system call filters and AppArmor"),
    ours(
        key::SYSTEM_CALL_FILTER,
        Kind::Words,
        "System calls or @groups that systemd-nspawn allows besides its own list, or denies after a ~, in the whole container",
    ),
    quadlet(
        key::ADD_CAPABILITY,
        Kind::Words,
        "Capabilities the container and its applications have besides the usual ones, or all",
    ),
    quadlet(
        key::ADD_DEVICE,
        Kind::Words,
        "DEVICE[:INSIDE][:rwm]: a device node of the host, what it is called inside, and what may be done with it",
    ),
    quadlet(key::ANNOTATION, Kind::Words, LABEL_HELP),
    quadlet(
        key::APP_ARMOR,
        Kind::Text,
        "AppArmor profile of the whole container, which has to be loaded: sdme-default, another, or unconfined",
    ),
    quadlet(key::AUTO_UPDATE, Kind::Choice(AutoUpdate::CHOICES), UPDATE_HELP),
    quadlet(key::CONTAINER_NAME, Kind::Text, "Name of the container, when it is not the file's"),
    quadlet(key::DROP_CAPABILITY, Kind::Words, "Capabilities the container and its applications do not have, or all"),
    quadlet(key::EXPOSE_HOST_PORT, Kind::Words, "Port that may be reached; no effect, as none is closed to the network"),
    quadlet(key::GID_MAP, Kind::Words, MAP_HELP),
    quadlet(key::IP, Kind::Text, IP_HELP),
    quadlet(key::IP6, Kind::Text, IP6_HELP),
    quadlet(key::LABEL, Kind::Words, LABEL_HELP),
    quadlet(key::LOG_DRIVER, Kind::Choice(LOG_DRIVERS), "Where the output goes: always to the journal"),
    quadlet(
        key::NETWORK,
        Kind::Words,
        "NAME.network or NAME, several times; or one of host (unless set), none, bridge, private (loopback and published ports), uplink (and a way out), veth, bridge:NAME, zone:NAME, NAME.container",
    ),
    quadlet(
        key::NO_NEW_PRIVILEGES,
        Kind::Flag,
        "No program in the container gains privileges; for applications, yes unless set",
    ),
    quadlet(key::POD, Kind::Text, "Pod whose network the container joins: NAME.pod"),
    quadlet(key::PUBLISH_PORT, Kind::Words, PORT_HELP),
    without(key::RETRY, Kind::Text, "the setting belongs to the image; write Retry= in an .image file"),
    without(key::RETRY_DELAY, Kind::Text, "the setting belongs to the image; write RetryDelay= in an .image file"),
    never(key::ROOTFS, "write Image=rootfs:PATH; the files are imported once, and changes are the container's"),
    quadlet(key::SECCOMP_PROFILE, Kind::Text, "File with a system call profile in Docker's form, for the applications"),
    quadlet(key::SECURITY_LABEL_DISABLE, Kind::Flag, "No SELinux label; always so"),
    without(key::SECURITY_LABEL_LEVEL, Kind::Text, LABELED),
    quadlet(key::SECURITY_LABEL_TYPE, Kind::Text, "Type of the SELinux label; the container gets none, as with spc_t"),
    quadlet(key::SERVICE_NAME, Kind::Text, UNIT_HELP),
    quadlet(key::START_WITH_POD, Kind::Flag, "Start together with the pod; yes unless set"),
    quadlet(key::SUB_GID_MAP, Kind::Text, MAP_HELP),
    quadlet(key::SUB_UID_MAP, Kind::Text, MAP_HELP),
    quadlet(key::UID_MAP, Kind::Words, MAP_HELP),
    quadlet(
        key::USER_NS,
        Kind::Text,
        "auto for a user namespace: root inside is nobody on the host, and nothing is copied for it; no (unless set); keep-id and mappings of Podman are taken for auto",
    ),
    quadlet(key::NETWORK_ALIAS, Kind::Words, ALIAS_HELP),
    without(key::UNMASK, Kind::Words, "systemd-nspawn keeps some files of /proc and /sys read-only; remove the key"),
    without(key::SECURITY_LABEL_FILE_TYPE, Kind::Text, LABELED),
    quadlet(key::SECURITY_LABEL_NESTED, Kind::Flag, "SELinux labels inside; the container gets no label that forbids them"),
    without(key::LOG_OPT, Kind::Words, "the output goes to the journal; write limits in journald.conf(5)"),
    quadlet(key::HEALTH_LOG_DESTINATION, Kind::Text, "Where results of health checks go: always to the journal"),
    quadlet(key::HEALTH_MAX_LOG_COUNT, Kind::Text, "Number of results that are kept; the limits of the journal count"),
    quadlet(key::HEALTH_MAX_LOG_SIZE, Kind::Text, "Length of results; the limits of the journal count"),
    quadlet(key::CGROUPS_MODE, Kind::Choice(&["split", "enabled", "no-conmon", "disabled"]), "Control group: the container always has one below its unit"),
    without(key::CONTAINERS_CONF_MODULE, Kind::Text, NO_PODMAN),
    without(key::GLOBAL_ARGS, Kind::Text, NO_PODMAN),
    quadlet(key::PODMAN_ARGS, Kind::Words, ARGS_HELP),
    never(key::REMAP_USERS, "use UserNS= in its place"),
    never(key::REMAP_UID, "use UserNS= in its place"),
    never(key::REMAP_GID, "use UserNS= in its place"),
    never(key::REMAP_UID_SIZE, "use UserNS= in its place"),
    quadlet(key::VOLATILE_TMP, Kind::Flag, "As Tmpfs=/tmp"),
];

const KEY_HELP: &str = "Public keys (PEM files), one of which must have signed an image; none asks for no signature beyond the machine's policy";
const IDENTITY_HELP: &str = "What a signature must name: matchRepoDigestOrExact (default), matchExact, matchRepository, digest, a reference, or two prefixes";

/// Keys of `[Image]`.
pub const IMAGE: &[Key] = &[
    quadlet(
        key::IMAGE,
        Kind::Text,
        "Where the image comes from: a registry reference, or oci:, oci-archive:, docker-archive:, dir: or rootfs: and a path",
    ),
    quadlet(
        key::ARCH,
        Kind::Text,
        "Architecture to choose from an image for several, such as arm64; this machine's unless set",
    ),
    quadlet(
        key::AUTH_FILE,
        Kind::Text,
        "File of credentials in the containers auth.json format, in place of its standard places",
    ),
    quadlet(
        key::CERT_DIR,
        Kind::Text,
        "Directory with *.crt to trust for the registry, and *.cert with *.key to show to it",
    ),
    quadlet(
        key::CREDS,
        Kind::Text,
        "USER:PASSWORD for the registry; anyone who may read the file sees it, AuthFile= is better",
    ),
    quadlet(key::OS, Kind::Choice(&["linux"]), "Operating system to choose from an image for several; always linux"),
    quadlet(
        key::POLICY,
        Kind::Choice(PULL),
        "When to pull: missing, always, newer (always, unless the registry is down) or never",
    ),
    quadlet(key::RETRY, Kind::Text, "How often a request that failed for no lasting reason is repeated; 3 unless set"),
    quadlet(key::RETRY_DELAY, Kind::Text, "Time before the first repetition, doubled with each; 1s unless set"),
    quadlet(key::TLS_VERIFY, Kind::Flag, "Verify the registry's certificate; yes unless set"),
    quadlet(key::VARIANT, Kind::Text, "Variant of the architecture to choose from an image for several, such as v7"),
    ours(key::AUTO_UPDATE, Kind::Choice(AutoUpdate::CHOICES), UPDATE_HELP),
    ours(key::BASE, Kind::Text, "Operating system below this application: NAME.image, or host for the host's own /usr"),
    ours(
        key::INSTALL_PACKAGES,
        Kind::Choice(&["auto", "yes", "no"]),
        "Install systemd into an operating system that lacks it: auto, yes (the message bus, too) or no",
    ),
    ours(
        key::MODE,
        Kind::Choice(&["auto", "base", "app"]),
        "What the image is: an application, a base operating system, or decided by its contents",
    ),
    ours(key::VERIFY_IDENTITY, Kind::Words, IDENTITY_HELP),
    ours(key::VERIFY_KEY, Kind::Words, KEY_HELP),
    without(key::IMAGE_TAG, Kind::Text, "the image is known by its file's name; write NAME.image where it is used"),
    quadlet(key::SERVICE_NAME, Kind::Text, UNIT_HELP),
    never(key::ALL_TAGS, "write one .image file for each tag"),
    never(key::DECRYPTION_KEY, "encrypted images cannot be used"),
    without(key::CONTAINERS_CONF_MODULE, Kind::Text, NO_PODMAN),
    without(key::GLOBAL_ARGS, Kind::Text, NO_PODMAN),
    quadlet(key::PODMAN_ARGS, Kind::Words, ARGS_HELP),
];

/// Keys of `[Pod]`.
pub const POD: &[Key] = &[
    quadlet(key::DNS, Kind::Words, "Name server for the members"),
    quadlet(key::DNS_OPTION, Kind::Words, "Option of the resolver (resolv.conf(5)) for the members"),
    quadlet(key::DNS_SEARCH, Kind::Words, "Domain to search for the members; . for none"),
    quadlet(
        key::ADD_HOST,
        Kind::Words,
        "NAME:ADDRESS for /etc/hosts of the members; the address host-gateway is the host's end of the network",
    ),
    quadlet(
        key::EXIT_POLICY,
        Kind::Choice(&["continue", "stop"]),
        "What becomes of the pod when its last member stops: always continue, so that published ports stay open",
    ),
    quadlet(key::GID_MAP, Kind::Words, MAP_HELP),
    quadlet(key::HOST_NAME, Kind::Text, "Host name of members that have none of their own"),
    quadlet(key::IP, Kind::Text, IP_HELP),
    quadlet(key::IP6, Kind::Text, IP6_HELP),
    quadlet(key::LABEL, Kind::Words, LABEL_HELP),
    quadlet(
        key::NETWORK,
        Kind::Words,
        "NAME.network or NAME, several times; or private (loopback and published ports; unless set), bridge, or uplink (and a way out)",
    ),
    quadlet(key::POD_NAME, Kind::Text, "Name of the pod, when it is not the file's"),
    quadlet(key::PUBLISH_PORT, Kind::Words, PORT_HELP),
    ours(key::PUBLISH_MODE, Kind::Choice(MODES), MODE_HELP),
    ours(key::START_ON_DEMAND, Kind::Flag, DEMAND_HELP),
    ours(key::STOP_WHEN_IDLE, Kind::Text, IDLE_HELP),
    quadlet(key::SERVICE_NAME, Kind::Text, UNIT_HELP),
    quadlet(key::SHM_SIZE, Kind::Text, "ShmSize= of members that say nothing else: each has a /dev/shm of its own"),
    quadlet(key::STOP_TIMEOUT, Kind::Text, "StopTimeout= of members that say nothing else"),
    quadlet(key::SUB_GID_MAP, Kind::Text, MAP_HELP),
    quadlet(key::SUB_UID_MAP, Kind::Text, MAP_HELP),
    quadlet(key::UID_MAP, Kind::Words, MAP_HELP),
    quadlet(key::USER_NS, Kind::Text, "UserNS= of members that say nothing else: each has a range of its own"),
    quadlet(key::VOLUME, Kind::Lines, "[SOURCE:]PATH[:OPTIONS] for every member, beside its own"),
    quadlet(key::NETWORK_ALIAS, Kind::Words, ALIAS_HELP),
    without(key::CONTAINERS_CONF_MODULE, Kind::Text, NO_PODMAN),
    without(key::GLOBAL_ARGS, Kind::Text, NO_PODMAN),
    quadlet(key::PODMAN_ARGS, Kind::Words, ARGS_HELP),
    never(key::REMAP_USERS, "use UserNS= in its place"),
    never(key::REMAP_UID, "use UserNS= in its place"),
    never(key::REMAP_GID, "use UserNS= in its place"),
    never(key::REMAP_UID_SIZE, "use UserNS= in its place"),
];

/// Keys of `[Network]`.
pub const NETWORK: &[Key] = &[
    quadlet(key::DISABLE_DNS, Kind::Flag, "Whether the members do not find each other by name; no unless set"),
    quadlet(key::DNS, Kind::Words, "Name server for the members, in place of the host's"),
    quadlet(key::DRIVER, Kind::Text, "How the network is made; always bridge"),
    quadlet(key::GATEWAY, Kind::Words, "The host's address in a subnet; the first one of the subnet unless set"),
    quadlet(key::INTERFACE_NAME, Kind::Text, "Name of the bridge; it follows from the network's name unless set"),
    quadlet(key::INTERNAL, Kind::Flag, "No way out, and none to the host; no unless set"),
    quadlet(
        key::IP_RANGE,
        Kind::Words,
        "Part of a subnet that members get addresses from, as ADDRESS/LENGTH or FIRST-LAST; the whole subnet unless set",
    ),
    quadlet(key::IPV6, Kind::Flag, "A subnet of unique local IPv6 addresses, beside the others; no unless set"),
    quadlet(key::LABEL, Kind::Words, LABEL_HELP),
    quadlet(
        key::NETWORK_DELETE_ON_STOP,
        Kind::Flag,
        "Always yes: the network is there as long as a member or [Install] needs it",
    ),
    quadlet(key::NETWORK_NAME, Kind::Text, "Name of the network, when it is not the file's"),
    quadlet(key::OPTIONS, Kind::Words, "mtu=NUMBER, and isolate=true, which every network is"),
    quadlet(
        key::SUBNET,
        Kind::Words,
        "Addresses of the network, as ADDRESS/LENGTH; chosen within NetworkRange= unless set",
    ),
    quadlet(
        key::IPAM_DRIVER,
        Kind::Choice(&["host-local"]),
        "How members get addresses: always from their names, or IP=",
    ),
    quadlet(key::SERVICE_NAME, Kind::Text, UNIT_HELP),
    without(key::CONTAINERS_CONF_MODULE, Kind::Text, NO_PODMAN),
    without(key::GLOBAL_ARGS, Kind::Text, NO_PODMAN),
    quadlet(key::PODMAN_ARGS, Kind::Words, ARGS_HELP),
];

/// Keys of `[Volume]`.
pub const VOLUME: &[Key] = &[
    quadlet(key::COPY, Kind::Flag, "Copy what the image has there into the volume when it is empty; yes unless set"),
    quadlet(
        key::DEVICE,
        Kind::Text,
        "What is mounted as the volume: a device, a directory with Type=none, or what Type= takes",
    ),
    quadlet(key::DRIVER, Kind::Choice(&["local"]), "How the volume is kept; always local"),
    quadlet(key::GID, Kind::Text, "Group of a new volume, a number"),
    quadlet(key::GROUP, Kind::Text, "Group of a new volume, a name of the host or a number"),
    quadlet(key::LABEL, Kind::Words, "NAME=VALUE for those who read the file; means nothing here"),
    quadlet(key::OPTIONS, Kind::Text, "Mount options for Device="),
    quadlet(key::TYPE, Kind::Text, "File system type of Device="),
    quadlet(key::UID, Kind::Text, "Owner of a new volume, a number"),
    quadlet(key::USER, Kind::Text, "Owner of a new volume, a name of the host or a number"),
    quadlet(key::VOLUME_NAME, Kind::Text, "Name of the volume, when it is not the file's name"),
    quadlet(key::SERVICE_NAME, Kind::Text, "Name that other files use in their dependencies; a volume has no unit"),
    never(key::IMAGE, "a volume gets its first content from the image of the container that uses it"),
    without(key::CONTAINERS_CONF_MODULE, Kind::Text, NO_PODMAN),
    without(key::GLOBAL_ARGS, Kind::Text, NO_PODMAN),
    quadlet(key::PODMAN_ARGS, Kind::Words, ARGS_HELP),
];

/// Keys of `[Defaults]`.
pub const DEFAULTS: &[Key] = &[
    ours(key::AUTO_UPDATE, Kind::Choice(AutoUpdate::CHOICES), "AutoUpdate= of containers and images without the key"),
    ours(
        key::BASE_FS,
        Kind::Text,
        "Base of applications that name none: NAME.image, NAME, or host for the host's own /usr",
    ),
    ours(key::CACHE_SIZE, Kind::Text, "Most that downloads are kept of, with the unit K, M, G or T; 10G unless set"),
    ours(
        key::IMPORT_TIMEOUT,
        Kind::Text,
        "Longest time that the import of one image may take, such as 30min or infinity (default: infinity)",
    ),
    ours(key::INSTALL_ARCH, Kind::Text, "Shell command that installs systemd into a base of the Arch family"),
    ours(key::INSTALL_DEBIAN, Kind::Text, "Shell command that installs systemd into a base of the Debian family"),
    ours(key::INSTALL_FEDORA, Kind::Text, "Shell command that installs systemd into a base of the Fedora family"),
    ours(key::INSTALL_SUSE, Kind::Text, "Shell command that installs systemd into a base of the SUSE family"),
    ours(key::INSECURE, Kind::Words, "Registries that are spoken to over plain HTTP"),
    ours(key::KEEP_VERSIONS, Kind::Text, "Number of former versions of each image that are kept (default: 1)"),
    ours(key::MIRROR, Kind::Words, "A registry and another that is asked before it: docker.io mirror.example.org"),
    ours(
        key::NETWORK,
        Kind::Words,
        "Network= of containers without the key, without Pod= and without OciPod=; host unless set",
    ),
    ours(
        key::NETWORK_RANGE,
        Kind::Text,
        "IPv4 addresses for networks without Subnet=, 4096 for each; 10.216.0.0/13 unless set",
    ),
    ours(key::UPDATE_SETTLE, Kind::Text, SETTLE_HELP),
    ours(key::UPDATE_SNAPSHOT, Kind::Flag, SNAPSHOT_HELP),
    ours(
        key::UPLINK_RANGE,
        Kind::Text,
        "Addresses for Network=uplink and forwarded ports, four for each; 10.213.0.0/16 unless set",
    ),
    ours(key::VERIFY_IDENTITY, Kind::Words, IDENTITY_HELP),
    ours(key::VERIFY_KEY, Kind::Words, KEY_HELP),
];
