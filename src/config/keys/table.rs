// SPDX-License-Identifier: MIT
//! The rows of the table of keys, grouped by section. Pure.

use super::key::{self, KeyName};
use super::{Key, Kind, Scope, Status};
use crate::config::values::source::AutoUpdate;

const PULL: &[&str] = &["missing", "always", "newer", "never"];
const NO_PODMAN: (&str, &str) = ("podman's own settings are not read", "remove the key");
const ARGS_HELP: &str = "Options of podman; each is read as the key of the same meaning, or a warning gives the reason";
const UNIT_HELP: &str = "Name of the unit in dependencies of other files; the unit itself keeps its name";
const MAP_HELP: &str = "Mapping of IDs of Podman; means UserNS=auto, which chooses the range itself";
const LABEL_HELP: &str = "Metadata NAME=VALUE; accepted and ignored";
const UPDATE_HELP: &str = "What sdme-gen update does about a new version: registry (ask the image's source, switch, restart), local (the same for sources on this machine), download, check (report) or no (default: no)";
const IP_HELP: &str = "IPv4 address in the only network of Network= (default: computed from the name)";
const IP6_HELP: &str = "IPv6 address in the only network of Network= (default: computed from the name)";
const ALIAS_HELP: &str = "Additional name by which members of its networks find the container";
const LABELED: (&str, &str) = ("the container gets no SELinux label", "write AppArmor= or Strict=yes to confine it");
const LOG_DRIVERS: &[&str] = &["journald", "passthrough", "passthrough-tty", "none", "k8s-file", "json-file"];
const SETTLE_HELP: &str = "Time that a container has to run after an update before the update goes on (default: 30s)";
const SNAPSHOT_HELP: &str = "Before an update starts a container on a new version, copy its volumes by reflinks; put the copies back if the update fails (default: no)";
const MODES: &[&str] = &["proxy", "nft"];
const PORT_HELP: &str = "[[IP:]HOST-PORT:]CONTAINER-PORT[/tcp|udp], or ranges of ports (default of the container port: the port that the image exposes)";
const MODE_HELP: &str =
    "How TCP ports are published: proxy (default), or nft (forwarded by the kernel, which keeps the client's address)";
const DEMAND_HELP: &str = "Start on the first connection to a published port";
const IDLE_HELP: &str = "Stop after this time without a connection, such as 10min";

const fn ours(name: KeyName, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, status: Status::Supported, quadlet: false, scope: Scope::Container, help }
}

const fn quadlet(name: KeyName, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, status: Status::Supported, quadlet: true, scope: Scope::Container, help }
}

const fn without(name: KeyName, kind: Kind, (why, remedy): (&'static str, &'static str)) -> Key {
    Key { name, kind, status: Status::Without(why, remedy), quadlet: true, scope: Scope::Container, help: why }
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
    quadlet(key::ENVIRONMENT, Kind::Words, "Environment variable NAME=VALUE of the application; % and $ are ordinary characters")
        .applications(),
    quadlet(key::EXEC, Kind::Line, "Arguments of the image's entrypoint (default: the command of the image)").process(),
    quadlet(key::HEALTH_CMD, Kind::Text, "Health check: a command line for the shell, a JSON list of words, or none (default: the image's)").process(),
    ours(key::HEALTH_HTTP, Kind::Text, "Health check by HTTP instead of HealthCmd=: [http://HOST][:PORT]/PATH; a status from 200 to 399 passes").process(),
    quadlet(key::HEALTH_INTERVAL, Kind::Text, "Time between two health checks, or disable (default: the image's, or 30s)").process(),
    quadlet(key::HEALTH_ON_FAILURE, Kind::Choice(&["none", "kill", "restart", "stop"]), "Action when the application becomes unhealthy (default: none)").process(),
    quadlet(key::HEALTH_RETRIES, Kind::Text, "Number of consecutive failures after which the application is unhealthy (default: the image's, or 3)").process(),
    quadlet(key::HEALTH_START_PERIOD, Kind::Text, "Time after the start in which failures are ignored until a check has passed").process(),
    quadlet(key::HEALTH_STARTUP_CMD, Kind::Text, "Health check that is used until it has passed, before HealthCmd=").process(),
    ours(key::HEALTH_STARTUP_HTTP, Kind::Text, "As HealthHttp=, instead of HealthStartupCmd=").process(),
    quadlet(key::HEALTH_STARTUP_INTERVAL, Kind::Text, "Time between two startup checks (default: 30s)").process(),
    quadlet(key::HEALTH_STARTUP_RETRIES, Kind::Text, "Number of failed startup checks after which the application is restarted (default: never)").process(),
    quadlet(key::HEALTH_STARTUP_SUCCESS, Kind::Text, "Number of startup checks that must pass (default: 1)").process(),
    quadlet(key::HEALTH_STARTUP_TIMEOUT, Kind::Text, "Timeout of a startup check (default: 30s)").process(),
    ours(key::HEALTH_STARTUP_TCP, Kind::Text, "As HealthTcp=, instead of HealthStartupCmd=").process(),
    ours(key::HEALTH_TCP, Kind::Text, "Health check by a TCP connection instead of HealthCmd=: [HOST:]PORT").process(),
    quadlet(key::HEALTH_TIMEOUT, Kind::Text, "Timeout of a health check (default: the image's, or 30s)").process(),
    quadlet(key::HOST_NAME, Kind::Text, "Host name in the container (default: the container's name)"),
    quadlet(key::ADD_HOST, Kind::Words, "Line of /etc/hosts, NAME:ADDRESS; the address host-gateway means the host"),
    quadlet(key::DNS, Kind::Words, "Name server of the container (default: the host's)"),
    quadlet(key::DNS_OPTION, Kind::Words, "Resolver option of resolv.conf(5) (default: the host's)"),
    quadlet(key::DNS_SEARCH, Kind::Words, "Search domain of names, or . for none (default: the host's)"),
    quadlet(key::ENTRYPOINT, Kind::Text, "Entrypoint: words, a JSON array, or [] for none; replaces the entrypoint and the command of the image").process(),
    quadlet(key::ENVIRONMENT_HOST, Kind::Flag, "No effect, with a warning: no variables of the host are passed on").applications(),
    quadlet(key::GROUP, Kind::Text, "Group of the application: a name in the image, or a number").process(),
    quadlet(key::GROUP_ADD, Kind::Words, "Additional groups of the application: names in the image, or numbers").applications(),
    quadlet(key::HTTP_PROXY, Kind::Flag, "No effect, with a warning: no variables of the host are passed on").applications(),
    quadlet(key::MASK, Kind::Words, "Path that the application cannot read; several paths are separated by colons").applications(),
    quadlet(key::MEMORY, Kind::Text, "Maximum memory of the container, such as 512m (MemoryMax= of its unit)"),
    quadlet(key::PIDS_LIMIT, Kind::Text, "Maximum number of tasks of the container, including about ten of its service manager; -1 for no limit (TasksMax= of its unit)"),
    quadlet(key::READ_ONLY, Kind::Flag, "Read-only root directory of the application; volumes stay writable").applications(),
    quadlet(key::READ_ONLY_TMPFS, Kind::Flag, "With ReadOnly=yes: whether /run, /tmp and /var/tmp are writable file systems in memory (default: yes)").applications(),
    quadlet(key::RUN_INIT, Kind::Flag, "No effect: every application already runs under an init").applications(),
    quadlet(key::SHM_SIZE, Kind::Text, "Size of a private /dev/shm of the application, such as 64m").applications(),
    quadlet(key::STOP_SIGNAL, Kind::Text, "Signal that stops the application (default: the image's)").process(),
    quadlet(key::STOP_TIMEOUT, Kind::Text, "Timeout of a stop, after which the application is killed: seconds, or 1.5s, 2min").applications(),
    quadlet(key::SYSCTL, Kind::Words, "Kernel parameter NAME=VALUE of the container's namespaces: kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*, and net.* with a private network").applications(),
    quadlet(key::TMPFS, Kind::Words, "File system in memory, PATH[:OPTIONS], which begins with the files of the image at that path (default options: nosuid, nodev)").applications(),
    quadlet(key::ULIMIT, Kind::Words, "Resource limit NAME=SOFT[:HARD], with the names of Docker, such as nofile").applications(),
    quadlet(key::USER, Kind::Text, "User of the application: a name in the image or a number, and optionally a colon and a group").process(),
    quadlet(key::WORKING_DIR, Kind::Text, "Working directory of the application, created if missing (default: the image's)").process(),
    quadlet(key::NOTIFY, Kind::Text, "Event that completes a start: no (the program runs; default), yes (the program reports it by sd_notify(3)) or healthy (the first health check passes)").process(),
    quadlet(
        key::PULL,
        Kind::Choice(PULL),
        "When to pull an image that Image= names by reference: missing (default), always, newer (always, but the imported image is used if the registry does not answer) or never",
    ),
    quadlet(key::RELOAD_CMD, Kind::Words, "Command that systemctl reload runs beside the application").process(),
    quadlet(key::RELOAD_SIGNAL, Kind::Text, "Signal that systemctl reload sends to the application, such as HUP").process(),
    quadlet(
        key::ENVIRONMENT_FILE,
        Kind::Words,
        "File of NAME=VALUE lines in Docker's format, read at each start; with - before the path, the file may be missing",
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
        "Mount [SOURCE:]PATH[:OPTIONS]: SOURCE is a path of the host, NAME.volume or the name of a volume; PATH is the place in the application",
    )
    .applications(),
    quadlet(key::TIMEZONE, Kind::Text, "Time zone in the container: local for the host's, or a name such as Europe/Berlin"),
    ours(
        key::APP,
        Kind::Words,
        "Image of an additional application in the container, as for Image=; its settings are in [Container NAME] and [App NAME]",
    ),
    ours(key::BASE, Kind::Text, "Operating system below the application: NAME.image, or host for the host's own /usr"),
    ours(
        key::MODE,
        Kind::Choice(&["auto", "base", "app"]),
        "Kind of an image that Image= names by reference: app, base (an operating system) or auto (decided by its content; default)",
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
        "Capabilities that the container and its applications have in addition to the default ones, or all",
    ),
    quadlet(
        key::ADD_DEVICE,
        Kind::Words,
        "Device node of the host, DEVICE[:PATH][:rwm], with its path in the container and the permitted operations",
    ),
    quadlet(key::ANNOTATION, Kind::Words, LABEL_HELP),
    quadlet(
        key::APP_ARMOR,
        Kind::Text,
        "AppArmor profile of the container, which must be loaded: sdme-default, another profile, or unconfined",
    ),
    quadlet(key::AUTO_UPDATE, Kind::Choice(AutoUpdate::CHOICES), UPDATE_HELP),
    quadlet(key::CONTAINER_NAME, Kind::Text, "Name of the container (default: the name of the file)"),
    quadlet(key::DROP_CAPABILITY, Kind::Words, "Capabilities to remove from the container and its applications, or all"),
    quadlet(key::EXPOSE_HOST_PORT, Kind::Words, "No effect: no port is closed between members of a network"),
    quadlet(key::GID_MAP, Kind::Words, MAP_HELP),
    quadlet(key::IP, Kind::Text, IP_HELP),
    quadlet(key::IP6, Kind::Text, IP6_HELP),
    quadlet(key::LABEL, Kind::Words, LABEL_HELP),
    quadlet(key::LOG_DRIVER, Kind::Choice(LOG_DRIVERS), "Where the output goes: always to the journal"),
    quadlet(
        key::NETWORK,
        Kind::Words,
        "Networks: NAME.network or NAME, repeated for several; or one of host (default), none, bridge, private (loopback and published ports), uplink (private, with connections to other machines), veth, bridge:NAME, zone:NAME, NAME.container",
    ),
    quadlet(
        key::NO_NEW_PRIVILEGES,
        Kind::Flag,
        "No program in the container can gain privileges (default: yes for applications)",
    ),
    quadlet(key::POD, Kind::Text, "Pod whose network the container joins: NAME.pod"),
    quadlet(key::PUBLISH_PORT, Kind::Words, PORT_HELP),
    without(key::RETRY, Kind::Text, ("the setting belongs to the image", "write Retry= in an .image file")),
    without(key::RETRY_DELAY, Kind::Text, ("the setting belongs to the image", "write RetryDelay= in an .image file")),
    never(key::ROOTFS, "write Image=rootfs:PATH, which imports the files once"),
    quadlet(key::SECCOMP_PROFILE, Kind::Text, "File with a system call profile in Docker's form, for the applications"),
    quadlet(key::SECURITY_LABEL_DISABLE, Kind::Flag, "No effect: containers never get an SELinux label"),
    without(key::SECURITY_LABEL_LEVEL, Kind::Text, LABELED),
    quadlet(key::SECURITY_LABEL_TYPE, Kind::Text, "No effect: containers never get an SELinux label"),
    quadlet(key::SERVICE_NAME, Kind::Text, UNIT_HELP),
    quadlet(key::START_WITH_POD, Kind::Flag, "Start the container with its pod (default: yes)"),
    quadlet(key::SUB_GID_MAP, Kind::Text, MAP_HELP),
    quadlet(key::SUB_UID_MAP, Kind::Text, MAP_HELP),
    quadlet(key::UID_MAP, Kind::Words, MAP_HELP),
    quadlet(
        key::USER_NS,
        Kind::Text,
        "User namespace: auto (root of the container has no rights on the host) or no (default); keep-id and mappings of Podman mean auto",
    ),
    quadlet(key::NETWORK_ALIAS, Kind::Words, ALIAS_HELP),
    without(key::UNMASK, Kind::Words, ("systemd-nspawn keeps some files of /proc and /sys read-only", "remove the key")),
    without(key::SECURITY_LABEL_FILE_TYPE, Kind::Text, LABELED),
    quadlet(key::SECURITY_LABEL_NESTED, Kind::Flag, "No effect: no SELinux label restricts the container"),
    without(key::LOG_OPT, Kind::Words, ("the output goes to the journal", "write limits in journald.conf(5)")),
    quadlet(key::HEALTH_LOG_DESTINATION, Kind::Text, "No effect: results of health checks always go to the journal"),
    quadlet(key::HEALTH_MAX_LOG_COUNT, Kind::Text, "No effect: the limits of the journal apply"),
    quadlet(key::HEALTH_MAX_LOG_SIZE, Kind::Text, "No effect: the limits of the journal apply"),
    quadlet(key::CGROUPS_MODE, Kind::Choice(&["split", "enabled", "no-conmon", "disabled"]), "No effect: the container always has a control group below that of its unit"),
    without(key::CONTAINERS_CONF_MODULE, Kind::Text, NO_PODMAN),
    without(key::GLOBAL_ARGS, Kind::Text, NO_PODMAN),
    quadlet(key::PODMAN_ARGS, Kind::Words, ARGS_HELP),
    never(key::REMAP_USERS, "write UserNS="),
    never(key::REMAP_UID, "write UserNS="),
    never(key::REMAP_GID, "write UserNS="),
    never(key::REMAP_UID_SIZE, "write UserNS="),
    quadlet(key::VOLATILE_TMP, Kind::Flag, "As Tmpfs=/tmp"),
];

const KEY_HELP: &str = "Public keys (PEM files), one of which must have signed the image; none requires no signature in addition to the machine's policy";
const IDENTITY_HELP: &str = "What a signature must name: matchRepoDigestOrExact (default), matchExact, matchRepository, digest, a reference, or two prefixes";

/// Keys of `[Image]`.
pub const IMAGE: &[Key] = &[
    quadlet(
        key::IMAGE,
        Kind::Text,
        "Source of the image: a registry reference, or oci:, oci-archive:, docker-archive:, dir: or rootfs: and a path",
    ),
    quadlet(
        key::ARCH,
        Kind::Text,
        "Architecture to choose from an image for several platforms, such as arm64 (default: the machine's)",
    ),
    quadlet(
        key::AUTH_FILE,
        Kind::Text,
        "File of registry credentials in the format of auth.json (default: the standard places of podman and docker)",
    ),
    quadlet(
        key::CERT_DIR,
        Kind::Text,
        "Directory of certificates for the registry: *.crt to trust, *.cert with *.key of the client",
    ),
    quadlet(
        key::CREDS,
        Kind::Text,
        "USER:PASSWORD for the registry; every user who can read the file sees the password, so prefer AuthFile=",
    ),
    quadlet(
        key::OS,
        Kind::Choice(&["linux"]),
        "Operating system to choose from an image for several platforms; must be linux",
    ),
    quadlet(
        key::POLICY,
        Kind::Choice(PULL),
        "When to pull: missing (default), always, newer (always, but the imported image is used if the registry does not answer) or never",
    ),
    quadlet(key::RETRY, Kind::Text, "Retries after a transient failure (default: 3)"),
    quadlet(key::RETRY_DELAY, Kind::Text, "Time before the first retry, doubled before each further one (default: 1s)"),
    quadlet(key::TLS_VERIFY, Kind::Flag, "Verify the registry's certificate (default: yes)"),
    quadlet(
        key::VARIANT,
        Kind::Text,
        "Variant of the architecture to choose from an image for several platforms, such as v7",
    ),
    ours(key::AUTO_UPDATE, Kind::Choice(AutoUpdate::CHOICES), UPDATE_HELP),
    ours(key::BASE, Kind::Text, "Operating system below this application: NAME.image, or host for the host's own /usr"),
    ours(
        key::INSTALL_PACKAGES,
        Kind::Choice(&["auto", "yes", "no"]),
        "Install systemd into an operating system without it: auto (default), yes (also the message bus) or no",
    ),
    ours(
        key::MODE,
        Kind::Choice(&["auto", "base", "app"]),
        "Kind of the image: app, base (an operating system) or auto (decided by its content; default)",
    ),
    ours(key::VERIFY_IDENTITY, Kind::Words, IDENTITY_HELP),
    ours(key::VERIFY_KEY, Kind::Words, KEY_HELP),
    without(
        key::IMAGE_TAG,
        Kind::Text,
        ("the name of the file is the name of the image", "write NAME.image where the image is used"),
    ),
    quadlet(key::SERVICE_NAME, Kind::Text, UNIT_HELP),
    never(key::ALL_TAGS, "write an .image file for each tag"),
    never(key::DECRYPTION_KEY, "use an image that is not encrypted"),
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
        "Line of /etc/hosts of the members, NAME:ADDRESS; the address host-gateway means the host",
    ),
    quadlet(
        key::EXIT_POLICY,
        Kind::Choice(&["continue", "stop"]),
        "Action when the last member stops; must be continue, because published ports stay open",
    ),
    quadlet(key::GID_MAP, Kind::Words, MAP_HELP),
    quadlet(key::HOST_NAME, Kind::Text, "Host name of members without HostName="),
    quadlet(key::IP, Kind::Text, IP_HELP),
    quadlet(key::IP6, Kind::Text, IP6_HELP),
    quadlet(key::LABEL, Kind::Words, LABEL_HELP),
    quadlet(
        key::NETWORK,
        Kind::Words,
        "Networks: NAME.network or NAME, repeated for several; or private (loopback and published ports; default), bridge, or uplink (private, with connections to other machines)",
    ),
    quadlet(key::POD_NAME, Kind::Text, "Name of the pod (default: the name of the file)"),
    quadlet(key::PUBLISH_PORT, Kind::Words, PORT_HELP),
    ours(key::PUBLISH_MODE, Kind::Choice(MODES), MODE_HELP),
    ours(key::START_ON_DEMAND, Kind::Flag, DEMAND_HELP),
    ours(key::STOP_WHEN_IDLE, Kind::Text, IDLE_HELP),
    quadlet(key::SERVICE_NAME, Kind::Text, UNIT_HELP),
    quadlet(key::SHM_SIZE, Kind::Text, "ShmSize= of members without the key; each member has a private /dev/shm"),
    quadlet(key::STOP_TIMEOUT, Kind::Text, "StopTimeout= of members without the key"),
    quadlet(key::SUB_GID_MAP, Kind::Text, MAP_HELP),
    quadlet(key::SUB_UID_MAP, Kind::Text, MAP_HELP),
    quadlet(key::UID_MAP, Kind::Words, MAP_HELP),
    quadlet(key::USER_NS, Kind::Text, "UserNS= of members without the key; each member has its own range of IDs"),
    quadlet(
        key::VOLUME,
        Kind::Lines,
        "Mount [SOURCE:]PATH[:OPTIONS] in every member, in addition to the member's own mounts",
    ),
    quadlet(key::NETWORK_ALIAS, Kind::Words, ALIAS_HELP),
    without(key::CONTAINERS_CONF_MODULE, Kind::Text, NO_PODMAN),
    without(key::GLOBAL_ARGS, Kind::Text, NO_PODMAN),
    quadlet(key::PODMAN_ARGS, Kind::Words, ARGS_HELP),
    never(key::REMAP_USERS, "write UserNS="),
    never(key::REMAP_UID, "write UserNS="),
    never(key::REMAP_GID, "write UserNS="),
    never(key::REMAP_UID_SIZE, "write UserNS="),
];

/// Keys of `[Network]`.
pub const NETWORK: &[Key] = &[
    quadlet(key::DISABLE_DNS, Kind::Flag, "Whether members cannot find each other by name (default: no)"),
    quadlet(key::DNS, Kind::Words, "Name server of the members (default: the host's)"),
    quadlet(key::DRIVER, Kind::Text, "Kind of the network; must be bridge"),
    quadlet(key::GATEWAY, Kind::Words, "Address of the host in a subnet (default: the first address of the subnet)"),
    quadlet(key::INTERFACE_NAME, Kind::Text, "Name of the bridge (default: computed from the name of the network)"),
    quadlet(key::INTERNAL, Kind::Flag, "No connections to other networks and to the host (default: no)"),
    quadlet(
        key::IP_RANGE,
        Kind::Words,
        "Part of a subnet for addresses of members, as ADDRESS/LENGTH or FIRST-LAST (default: the whole subnet)",
    ),
    quadlet(key::IPV6, Kind::Flag, "Add a subnet of unique local IPv6 addresses (default: no)"),
    quadlet(key::LABEL, Kind::Words, LABEL_HELP),
    quadlet(
        key::NETWORK_DELETE_ON_STOP,
        Kind::Flag,
        "No effect: the network always stops when no member and no [Install] needs it",
    ),
    quadlet(key::NETWORK_NAME, Kind::Text, "Name of the network (default: the name of the file)"),
    quadlet(key::OPTIONS, Kind::Words, "mtu=NUMBER; isolate=true has no effect, because every network is isolated"),
    quadlet(key::SUBNET, Kind::Words, "Addresses of the network, as ADDRESS/LENGTH (default: a part of NetworkRange=)"),
    quadlet(
        key::IPAM_DRIVER,
        Kind::Choice(&["host-local"]),
        "Assignment of addresses; must be host-local: addresses are computed from names, or set by IP=",
    ),
    quadlet(key::SERVICE_NAME, Kind::Text, UNIT_HELP),
    without(key::CONTAINERS_CONF_MODULE, Kind::Text, NO_PODMAN),
    without(key::GLOBAL_ARGS, Kind::Text, NO_PODMAN),
    quadlet(key::PODMAN_ARGS, Kind::Words, ARGS_HELP),
];

/// Keys of `[Volume]`.
pub const VOLUME: &[Key] = &[
    quadlet(key::COPY, Kind::Flag, "Copy the image's files at the target into an empty volume (default: yes)"),
    quadlet(
        key::DEVICE,
        Kind::Text,
        "Source to mount as the volume: a device, a directory with Type=none, or a source of the file system of Type=",
    ),
    quadlet(key::DRIVER, Kind::Choice(&["local"]), "Kind of the volume; must be local"),
    quadlet(key::GID, Kind::Text, "Group of a new volume, by number"),
    quadlet(key::GROUP, Kind::Text, "Group of a new volume: a name on the host, or a number"),
    quadlet(key::LABEL, Kind::Words, "Metadata NAME=VALUE; accepted and ignored"),
    quadlet(key::OPTIONS, Kind::Text, "Mount options for Device="),
    quadlet(key::TYPE, Kind::Text, "File system type of Device="),
    quadlet(key::UID, Kind::Text, "Owner of a new volume, by number"),
    quadlet(key::USER, Kind::Text, "Owner of a new volume: a name on the host, or a number"),
    quadlet(key::VOLUME_NAME, Kind::Text, "Name of the volume (default: the name of the file)"),
    quadlet(
        key::SERVICE_NAME,
        Kind::Text,
        "Name of the volume in dependencies of other files; a volume without Device= has no unit",
    ),
    never(key::IMAGE, "remove the key: a volume gets its first content from the image of the container that uses it"),
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
        "Operating system below applications without Base=: NAME.image, NAME, or host for the host's own /usr (default: host)",
    ),
    ours(key::CACHE_SIZE, Kind::Text, "Maximum size of the download cache (suffix K, M, G or T; default: 10G)"),
    ours(
        key::IMPORT_TIMEOUT,
        Kind::Text,
        "Timeout of the import of one image, such as 30min or infinity (default: infinity)",
    ),
    ours(key::INSTALL_ARCH, Kind::Text, "Shell command that installs systemd into a base of the Arch family"),
    ours(key::INSTALL_DEBIAN, Kind::Text, "Shell command that installs systemd into a base of the Debian family"),
    ours(key::INSTALL_FEDORA, Kind::Text, "Shell command that installs systemd into a base of the Fedora family"),
    ours(key::INSTALL_SUSE, Kind::Text, "Shell command that installs systemd into a base of the SUSE family"),
    ours(key::INSECURE, Kind::Words, "Registries that are contacted over plain HTTP"),
    ours(key::KEEP_VERSIONS, Kind::Text, "Number of former versions of each image that are kept (default: 1)"),
    ours(key::MIRROR, Kind::Words, "A registry and its mirror, which is asked first: docker.io mirror.example.org"),
    ours(key::NETWORK, Kind::Words, "Network= of containers without Network=, Pod= and OciPod= (default: host)"),
    ours(
        key::NETWORK_RANGE,
        Kind::Text,
        "IPv4 addresses for networks without Subnet=, 4096 for each (default: 10.216.0.0/13)",
    ),
    ours(key::UPDATE_SETTLE, Kind::Text, SETTLE_HELP),
    ours(key::UPDATE_SNAPSHOT, Kind::Flag, SNAPSHOT_HELP),
    ours(
        key::UPLINK_RANGE,
        Kind::Text,
        "IPv4 addresses for Network=uplink and forwarded ports, four for each (default: 10.213.0.0/16)",
    ),
    ours(key::VERIFY_IDENTITY, Kind::Words, IDENTITY_HELP),
    ours(key::VERIFY_KEY, Kind::Words, KEY_HELP),
];
