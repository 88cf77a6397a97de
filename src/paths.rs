// SPDX-License-Identifier: MIT
//! The paths on disk that units and code share. Pure: constants and string building only.

/// The directories of the configuration; earlier directories take precedence.
pub const CONFIG_DIRECTORIES: [&str; 3] = ["/etc/sdme", "/run/sdme", "/usr/share/sdme"];

/// The directory of imported images, upper layers and volumes.
pub const STATE: &str = "/var/lib/sdme";

/// The prefix of the names of pull stamps. The rest of the name is the image source and the
/// settings of the import.
pub const MARK: &str = "for-";

/// The directory of layers that images share, below [`STATE`].
pub const LAYERS: &str = "/layers";

/// The directory of files that are made again at every start.
pub const RUNTIME: &str = "/run/sdme";

/// Copies of the units of running containers, pods and networks: a directory for each unit, which
/// has the structure of a unit directory.
pub const STARTED: &str = "/run/sdme/started";

/// Causes of failed units: one file per unit.
pub const FAILED: &str = "/run/sdme/failed";

/// Causes of failed imports. The units that import images parse untrusted archives and may write to
/// no other directory in `/run`.
pub const FAILED_IMPORTS: &str = "/run/sdme/imports";

/// Directory of the command line tool. Set `BINDIR` when building for another directory.
pub const BINDIR: &str = match option_env!("BINDIR") {
    Some(path) => path,
    None => "/usr/bin",
};

/// Directory of the launcher. Set `LIBEXECDIR` when building for another directory.
pub const LIBEXECDIR: &str = match option_env!("LIBEXECDIR") {
    Some(path) => path,
    None => "/usr/lib/sdme",
};

/// The package's file with kernel limits (sysctl.d(5)). Run `make SYSCTLDIR=...` when building for
/// another directory.
pub const SYSCTL_FILE: &str = match option_env!("SYSCTL_FILE") {
    Some(path) => path,
    None => "/usr/lib/sysctl.d/50-sdme.conf",
};

/// The mount point of a container's root, which systemd-nspawn@.service and machinectl expect.
#[must_use]
pub fn machine_root(container: &str) -> String {
    format!("/var/lib/machines/{container}")
}

/// The directory with a container's configuration layer and the links to its lower layers.
#[must_use]
pub fn container_runtime(container: &str) -> String {
    format!("{RUNTIME}/containers/{container}")
}

/// The hosts file (hosts(5)) of a container that finds other containers by name.
#[must_use]
pub fn hosts(container: &str) -> String {
    format!("{}/hosts", container_runtime(container))
}

/// The names of running containers in their networks, one file per container.
pub const NAMES: &str = "/run/sdme/names";

/// The directory of the ID-mapped mounts of a container's lower layers, below
/// [`container_runtime`]. Only containers with a user namespace have it.
#[must_use]
pub fn idmapped(runtime: &str) -> String {
    format!("{runtime}/idmapped")
}

/// The directory with a container's upper layer and overlay work directory.
#[must_use]
pub fn container_state(container: &str) -> String {
    format!("{STATE}/containers/{container}")
}

/// The directory of a volume.
#[must_use]
pub fn volume(name: &str) -> String {
    format!("{STATE}/volumes/{name}")
}

/// The directory with the secrets of a running container. Only root can open it.
#[must_use]
pub fn secrets(container: &str) -> String {
    format!("{RUNTIME}/secrets/{container}")
}

/// The directory of an additional application of a container, below [`container_runtime`] for the
/// link to its image, and below [`container_state`] for its upper layer and work directory.
#[must_use]
pub fn app_part(directory: &str, app: &str) -> String {
    format!("{directory}/apps/{app}")
}
