// SPDX-License-Identifier: MIT
//! The places on disk that units and code agree on. Pure: constants and string building only.

/// Where configuration is looked for; an earlier directory wins.
pub const CONFIG_DIRECTORIES: [&str; 3] = ["/etc/sdme", "/run/sdme", "/usr/share/sdme"];

/// Imported images, upper layers, volumes.
pub const STATE: &str = "/var/lib/sdme";

/// What the names of the marks begin with that say what a store entry was imported for.
pub const MARK: &str = "for-";

/// Layers that images share, below [`STATE`].
pub const LAYERS: &str = "/layers";

/// What is made anew at every start.
pub const RUNTIME: &str = "/run/sdme";

/// Copies of the units of what runs: a directory for each unit, laid out as a directory of units.
pub const STARTED: &str = "/run/sdme/started";

/// Why units have failed: a file for each unit.
pub const FAILED: &str = "/run/sdme/failed";

/// The same for the units that import images. They parse archives of strangers and may write to no other place in `/run`.
pub const FAILED_IMPORTS: &str = "/run/sdme/imports";

/// Directory of the command line tool; set `BINDIR` when building for another place.
pub const BINDIR: &str = match option_env!("BINDIR") {
    Some(path) => path,
    None => "/usr/bin",
};

/// Directory of the launcher; set `LIBEXECDIR` when building for another place.
pub const LIBEXECDIR: &str = match option_env!("LIBEXECDIR") {
    Some(path) => path,
    None => "/usr/lib/sdme",
};

/// The package's file for limits of the kernel (sysctl.d(5)); `make SYSCTLDIR=...` builds for another place.
pub const SYSCTL_FILE: &str = match option_env!("SYSCTL_FILE") {
    Some(path) => path,
    None => "/usr/lib/sysctl.d/50-sdme.conf",
};

/// Where the overlay of a container is mounted; systemd-nspawn@.service and machinectl look there.
#[must_use]
pub fn machine_root(container: &str) -> String {
    format!("/var/lib/machines/{container}")
}

/// The configuration layer and the links to the lower layers of a container.
#[must_use]
pub fn container_runtime(container: &str) -> String {
    format!("{RUNTIME}/containers/{container}")
}

/// The hosts file (hosts(5)) of a container that finds others by their names.
#[must_use]
pub fn hosts(container: &str) -> String {
    format!("{}/hosts", container_runtime(container))
}

/// What containers that run are called in what networks, a file each.
pub const NAMES: &str = "/run/sdme/names";

/// Below [`container_runtime`], in a container with a user namespace: the ID-mapped mounts of what its links lead to.
#[must_use]
pub fn idmapped(runtime: &str) -> String {
    format!("{runtime}/idmapped")
}

/// The upper layer and the overlay work directory of a container.
#[must_use]
pub fn container_state(container: &str) -> String {
    format!("{STATE}/containers/{container}")
}

/// The directory of a volume.
#[must_use]
pub fn volume(name: &str) -> String {
    format!("{STATE}/volumes/{name}")
}

/// What a container was given as secrets, for as long as it runs. Only root gets in.
#[must_use]
pub fn secrets(container: &str) -> String {
    format!("{RUNTIME}/secrets/{container}")
}

/// Below [`container_runtime`] and [`container_state`]: what a further application of a container has of its own. The link
/// to its image is there, and its upper layer and work directory.
#[must_use]
pub fn app_part(directory: &str, app: &str) -> String {
    format!("{directory}/apps/{app}")
}
