// SPDX-License-Identifier: MIT
//! The configuration after all references are resolved: what is planned from. Pure data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::network::Connection;
use super::pod::Pod;
use super::security::Security;
use super::volume::Volume;
use crate::config::keys::FileType;
use crate::config::lock::Lock;
use crate::config::trust::policy::PolicyFile;
use crate::config::trust::{Trust, Verify};
use crate::config::update::SETTLE;
use crate::config::values::Device;
use crate::config::values::access::{Access, Registries};
use crate::config::values::install::{InstallSetting, Installers};
use crate::config::values::seccomp::Setting;
use crate::config::values::secret::{Form, Secret};
use crate::config::values::source::{AutoUpdate, ImageSource, ModeSetting, PlatformSetting, Pull};
use crate::contract::health::Health;
use crate::contract::process::User;
use crate::diag::{Code, Diagnostic, Location, Severity, Spanned};
use crate::resolve::app::health::{HealthSettings, Notify};
use crate::resolve::app::mounts::Mount;
use crate::resolve::app::reload::Reload;
use crate::resolve::app::startup::{Identity, Startup};
use crate::resolve::network::named::Named;

/// What an imported image turned out to be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A base operating system: its tree is the root.
    Base,
    /// An application: its tree holds `/oci`.
    #[default]
    App,
}

/// What is known about an imported image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// What it is.
    pub mode: Mode,
    /// `Entrypoint` of the image's configuration.
    pub entrypoint: Vec<String>,
    /// `Cmd` of the image's configuration.
    pub command: Vec<String>,
    /// `WorkingDir` of the image's configuration, absolute.
    pub working_dir: String,
    /// Who its applications run as, for everything that the configuration says about that: a user, or why there is none.
    pub users: BTreeMap<Identity, Result<User, String>>,
    /// `StopSignal` of the image's configuration.
    pub stop_signal: Option<String>,
    /// `Healthcheck` of the image's configuration.
    pub health: Option<Health>,
    /// `Volumes` of the image's configuration: absolute paths.
    pub volumes: Vec<String>,
    /// Where its symbolic links lead paths at which something is mounted, for those that lead elsewhere.
    pub links: BTreeMap<String, String>,
}

/// What is known about this machine beyond its configuration. The generator knows nothing (`/var` may not be mounted),
/// and no host unit depends on it; the `.nspawn` file and the configuration layer do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Imported images by name.
    pub images: BTreeMap<String, ImageFacts>,
    /// The range of IDs that a container's own files are in, by its first one: see [`super::userns::ranges`].
    pub ranges: BTreeMap<String, u32>,
    /// The settings that the files of `SeccompProfile=` come to, by their paths, or what is wrong with them.
    pub profiles: Profiles,
    /// Devices that may be missing (`AddDevice=-/dev/...`), and are.
    pub missing: BTreeSet<String>,
}

/// What files of system call profiles come to, or what is wrong with them, by their paths.
pub type Profiles = BTreeMap<String, Result<Vec<Setting>, String>>;

/// A key and its value, for sections that are passed through.
pub type Assignment = (String, String);

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Containers that can be planned, by name. Boxed: the map's nodes are half empty after additions in order.
    pub containers: BTreeMap<String, Box<Container>>,
    /// Pods that can be planned, by name; those of one container among them.
    pub pods: BTreeMap<String, Pod>,
    /// Networks with names that can be planned, by name.
    pub networks: BTreeMap<String, Named>,
    /// Volumes that have a file, by their names.
    pub volumes: BTreeMap<String, Volume>,
    /// Images, by the name they are imported under.
    pub images: BTreeMap<String, Image>,
    /// How registries are spoken to.
    pub registries: Registries,
    /// `AutoUpdate=` of `sdme.conf`, for containers and images whose files have no such key.
    pub auto_update: Option<AutoUpdate>,
    /// How systemd is installed into bases that lack it.
    pub installers: Installers,
    /// `UpdateSettle=` of `sdme.conf`, in milliseconds.
    pub update_settle: Option<u64>,
    /// `UpdateSnapshot=` of `sdme.conf`.
    pub update_snapshot: Option<Spanned<bool>>,
    /// `VerifyKey=` and `VerifyIdentity=` of `sdme.conf`.
    pub verify: Verify,
    /// The machine's signature policy.
    pub policy: Option<Arc<PolicyFile>>,
    /// `sdme.lock`, or what is wrong with it.
    pub lock: Option<Result<Lock, Diagnostic>>,
    /// Files that cannot be used.
    pub rejected: Vec<Rejected>,
    /// Warnings about files that can.
    pub warnings: Vec<Diagnostic>,
}

/// What lies below an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An almost empty root with the host's own `/usr`.
    Host,
    /// An imported image, by name.
    Image(String),
}

/// What a container's root is stacked from, bottom up, below the configuration layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack<'a> {
    /// The host's own root.
    Clone,
    /// A base operating system image.
    System(&'a str),
    /// Applications on a base; the first one's image.
    Application(&'a str, &'a Base),
}

/// What a container is connected to as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The host's own network.
    Host,
    /// Nothing but loopback, made by nspawn.
    Alone,
    /// The network of this pod, which may be a pod of one.
    Pod(String),
    /// A virtual link to the host, made by nspawn.
    Veth,
    /// A virtual link into this bridge, made by nspawn.
    Bridge(String),
    /// A virtual link into a bridge for all containers of this zone, made by nspawn.
    Zone(String),
}

impl Network {
    /// Whether there is a link of nspawn's, whose address the network manager inside asks for.
    #[must_use]
    pub fn configures_itself(&self) -> bool {
        matches!(self, Self::Veth | Self::Bridge(_) | Self::Zone(_))
    }
}

/// A container.
#[derive(Debug, Clone)]
pub struct Container {
    /// Machine name.
    pub name: String,
    /// The name that podman would give the container, where that cannot be the name of a machine.
    pub podman_name: Option<String>,
    /// The file it was written in.
    pub file: Arc<str>,
    /// The applications it runs; a clone of the host without. A single one whose image turns out to be an operating
    /// system is none: see [`Model::applications`].
    pub apps: Vec<App>,
    /// What lies below the applications.
    pub base: Base,
    /// Host name inside.
    pub host_name: String,
    /// `Timezone=`.
    pub timezone: Option<String>,
    /// `AddHost=`: lines of hosts(5).
    pub hosts: String,
    /// `DNS=`, `DNSSearch=` and `DNSOption=`
    pub resolver: Resolver,
    /// `Memory=`, in bytes.
    pub memory: Option<u64>,
    /// `PidsLimit=`, as systemd writes it.
    pub tasks: Option<String>,
    /// `AddDevice=`
    pub devices: Vec<Spanned<Device>>,
    /// What is mounted into a clone of the host.
    pub mounts: Vec<Mount>,
    /// What it is connected to.
    pub connection: Connection,
    /// What it may do.
    pub security: Security,
    /// `AutoUpdate=` of the file.
    pub auto_update: Option<AutoUpdate>,
    /// `UpdateSettle=` of the file, in milliseconds.
    pub update_settle: Option<u64>,
    /// `UpdateSnapshot=` of the file.
    pub update_snapshot: Option<Spanned<bool>>,
    /// `[Unit]`, file references translated to units.
    pub unit: Vec<Assignment>,
    /// `[Service]`.
    pub service: Vec<Assignment>,
    /// Links that start it with other units.
    pub install: Vec<Link>,
}

impl Container {
    /// The unit that runs the container `name`.
    #[must_use]
    pub fn unit(name: &str) -> String {
        ["systemd-nspawn@", name, ".service"].concat()
    }

    /// The pods that it is in, or whose networks its application joins.
    #[must_use]
    pub fn pods(&self) -> Vec<&str> {
        let outer = self.connection.outer_pod();
        let mut pods: Vec<&str> = outer.into_iter().chain(&self.connection.oci_pod).map(String::as_str).collect();
        pods.dedup();
        pods
    }

    /// The container that a unit runs, if it runs one.
    #[must_use]
    pub fn of_unit(unit: &str) -> Option<&str> {
        unit.strip_prefix("systemd-nspawn@")?.strip_suffix(".service")
    }

    /// Whether it is a job: a start of it waits for its end, and succeeds or fails as that does.
    #[must_use]
    pub fn is_job(&self) -> bool {
        self.service.iter().any(|(key, value)| key == "Type" && value == "oneshot")
    }
}

/// What is said about name resolution; nothing, to do as the host does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Domains that are searched.
    pub search: Vec<String>,
    /// Options (resolv.conf(5)).
    pub options: Vec<String>,
}

impl Resolver {
    /// Whether anything is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.search.is_empty() && self.options.is_empty()
    }

    /// The lines of resolv.conf(5).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            text += &format!("nameserver {server}\n");
        }
        for (key, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                text += &format!("{key} {}\n", words.join(" "));
            }
        }
        text
    }
}

/// An application of a container.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name in the configuration: [`App::FIRST`] when it is alone, else its image's.
    pub name: String,
    /// Whether it is the first one, which is a layer of the container's root; the others have an overlay of their own.
    pub first: bool,
    /// The image it runs, by name.
    pub image: String,
    /// Environment, names checked.
    pub environment: Vec<Assignment>,
    /// Files of variables; what [`App::environment`] says comes after them.
    pub environment_files: Vec<EnvironmentFile>,
    /// Credentials it gets.
    pub secrets: Vec<Spanned<Secret>>,
    /// What is mounted into it.
    pub mounts: Vec<Mount>,
    /// How it is started, where that is not as its image says.
    pub startup: Startup,
    /// What its health is told by, beyond what the image says.
    pub health: HealthSettings,
    /// What counts as started.
    pub notify: Notify,
    /// What `systemctl reload` of the container does.
    pub reload: Option<Reload>,
    /// What of `[App]`, and `[App NAME]` after it, belongs into the section `[Unit]` of its unit.
    pub unit: Vec<Assignment>,
    /// The rest of it.
    pub service: Vec<Assignment>,
}

/// A file of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Its path on the host.
    pub path: String,
    /// Whether it may be missing.
    pub optional: bool,
    /// Where it was written.
    pub at: Location,
}

impl App {
    /// Whether it gets any of its variables as a secret.
    #[must_use]
    pub fn has_secret_variables(&self) -> bool {
        self.secrets.iter().any(|s| matches!(s.value.form, Form::Variable(_)))
    }

    /// What the first application is called where it is not called by its image's name.
    pub const FIRST: &'static str = "app";

    /// Its unit inside, without the suffix; units that belong to it add to this name.
    #[must_use]
    pub fn unit(&self) -> String {
        format!("sdme-oci-{}", if self.first { Self::FIRST } else { &self.name })
    }

    /// The directory of its files inside: `root`, `env`, `container.env`, `process.json`.
    #[must_use]
    pub fn directory(&self) -> String {
        if self.first { "/oci".to_owned() } else { format!("/oci/apps/{}", self.name) }
    }
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name it is imported under: a file name and an instance name at once.
    pub name: String,
    /// The `.image` file, or none for an image given as a reference.
    pub file: Option<Arc<str>>,
    /// Where it comes from.
    pub source: ImageSource,
    /// What it is taken for.
    pub mode: ModeSetting,
    /// When it is pulled.
    pub pull: Pull,
    /// `AutoUpdate=` of the file.
    pub auto_update: Option<AutoUpdate>,
    /// Whether systemd is installed into it.
    pub install: InstallSetting,
    /// The platform to choose.
    pub platform: PlatformSetting,
    /// How its registry is spoken to.
    pub access: Access,
    /// `Base=` of the file.
    pub base: Option<Base>,
    /// What decides whether it is accepted. Of a file that is being read, only what the file says.
    pub trust: Trust,
    /// The digest that `sdme.lock` holds it to.
    pub locked: Option<String>,
    /// `[Unit]`, file references translated to units.
    pub unit: Vec<Assignment>,
    /// `[Service]`.
    pub service: Vec<Assignment>,
    /// Links that pull it with other units.
    pub links: Vec<Link>,
}

impl Image {
    /// The unit that imports the image `name`.
    #[must_use]
    pub fn service(name: &str) -> String {
        ["sdme-image@", name, ".service"].concat()
    }
}

/// A link of `[Install]`: `UNIT.DIRECTORY/` gets a link to the unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The unit that starts it.
    pub unit: String,
    /// `wants`, `requires` or `upholds`.
    pub directory: &'static str,
}

/// A file that cannot be used. It still gets a unit, one that fails with the reason.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Its type.
    pub file_type: FileType,
    /// Its name.
    pub name: String,
    /// Its path.
    pub file: Arc<str>,
    /// Why, one or more.
    pub problems: Vec<Diagnostic>,
    /// Links that would have started it, where they can be read.
    pub install: Vec<Link>,
}

impl Model {
    /// What is done about a new version of one of a container's images. What the container says is about the images that it names
    /// itself, not about the operating system below them.
    #[must_use]
    pub fn auto_update(&self, container: &Container, image: &str) -> AutoUpdate {
        let own = container.auto_update.filter(|_| container.apps.iter().any(|app| app.image == image));
        let of_image = || self.images.get(image).and_then(|image| image.auto_update);
        own.or_else(of_image).or(self.auto_update).unwrap_or(AutoUpdate::No)
    }

    /// How long a container has to run after an update, in milliseconds.
    #[must_use]
    pub fn update_settle(&self, container: &Container) -> u64 {
        container.update_settle.or(self.update_settle).unwrap_or(SETTLE)
    }

    /// The place of the `UpdateSnapshot=yes` that counts for a container, if its volumes are copied before an update.
    #[must_use]
    pub fn update_snapshot<'a>(&'a self, container: &'a Container) -> Option<&'a Location> {
        let written = container.update_snapshot.as_ref().or(self.update_snapshot.as_ref());
        written.filter(|written| written.value).map(|written| &written.at)
    }

    /// The first problem of a file that cannot be used.
    #[must_use]
    pub fn rejection(&self, file_type: FileType, name: &str) -> Option<&Diagnostic> {
        let rejected = self.rejected.iter().find(|r| r.file_type == file_type && r.name == name);
        rejected.and_then(|rejected| rejected.problems.first())
    }

    /// What the root of `container` is made of, as far as `facts` tell. An image that nobody has seen yet counts as
    /// an application unless `Mode=base` says otherwise.
    #[must_use]
    pub fn stack<'a>(&self, container: &'a Container, facts: &Facts) -> Stack<'a> {
        let Some(image) = container.apps.first().map(|a| a.image.as_str()) else { return Stack::Clone };
        let setting = self.images.get(image).map(|i| i.mode).unwrap_or_default();
        let mode = match setting {
            ModeSetting::Base => Mode::Base,
            ModeSetting::App => Mode::App,
            ModeSetting::Auto => facts.images.get(image).map_or(Mode::App, |f| f.mode),
        };
        match mode {
            Mode::Base => Stack::System(image),
            Mode::App => Stack::Application(image, &container.base),
        }
    }

    /// What is wrong with what the configuration says about users, as far as `facts` tell.
    #[must_use]
    pub fn unknown_users(&self, container: &Container, facts: &Facts) -> Vec<Diagnostic> {
        let wrong = self.applications(container, facts).iter().filter_map(|app| {
            let message = facts.images.get(&app.image)?.users.get(&app.startup.identity)?.as_ref().err()?;
            let at = app.startup.identity_at.clone().unwrap_or_else(|| Location::new(&container.file, 1));
            Some(Diagnostic::error(&at, Code::User.problem(format!("{message}; write a name that is, or a number"))))
        });
        wrong.collect()
    }

    /// What is wrong with the files that the configuration names, as far as `facts` tell.
    #[must_use]
    pub fn unusable_profile(&self, container: &Container, facts: &Facts) -> Option<Diagnostic> {
        let written = container.security.seccomp_profile.as_ref()?;
        let message = facts.profiles.get(&written.value)?.as_ref().err()?;
        let message = format!("SeccompProfile={} cannot be used: {message}; see SystemCallFilter=", written.value);
        // As for other files that a start needs: it may be there by then.
        let missing = message.contains("No such file");
        let severity = if missing { Severity::Warning } else { Severity::Error };
        Some(Diagnostic { at: written.at.clone(), severity, problem: Code::Confinement.problem(message) })
    }

    /// What the configuration says about an application when the image has none, as far as `facts` tell: the operating system
    /// that it turned out to be would start without a word about it.
    #[must_use]
    pub fn unused_settings(&self, container: &Container, facts: &Facts) -> Option<Diagnostic> {
        let (Stack::System(image), Some(app)) = (self.stack(container, facts), container.apps.first()) else {
            return None;
        };
        // What a pod says to all its members is not for this one.
        let in_pod = container.connection.outer_pod().is_some();
        let usual = Startup {
            read_only_tmpfs: app.startup.read_only_tmpfs,
            shm_size: app.startup.shm_size.filter(|_| in_pod),
            stop_timeout: app.startup.stop_timeout.filter(|_| in_pod),
            ..Startup::default()
        };
        let written = [
            ("Environment=", !app.environment.is_empty()),
            ("EnvironmentFile=", !app.environment_files.is_empty()),
            ("Notify=", app.notify != Notify::default()),
            ("[App]", !app.unit.is_empty() || !app.service.is_empty()),
            ("ReloadCmd= or ReloadSignal=", app.reload.is_some()),
            ("a key about health", app.health != HealthSettings::default()),
            ("a key about the application's start", app.startup != usual),
        ];
        let (what, _) = written.into_iter().find(|(_, written)| *written)?;
        let message = format!(
            "{what} is for an application, and the image {image} is an operating system; remove it, or write Mode=app"
        );
        Some(Diagnostic::error(&Location::new(&container.file, 1), Code::Combination.problem(message)))
    }

    /// The applications of `container`, of which an operating system or a clone of the host has none.
    #[must_use]
    pub fn applications<'a>(&self, container: &'a Container, facts: &Facts) -> &'a [App] {
        match self.stack(container, facts) {
            Stack::Application(..) => &container.apps,
            Stack::Clone | Stack::System(_) => &[],
        }
    }
}
