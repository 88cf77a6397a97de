// SPDX-License-Identifier: MIT
//! Makes a model from the settings of all files, in which every reference is resolved. A file with
//! errors, or one that refers to such a file, is rejected alone, without an effect on other files.
//! Pure.

mod additional;
pub mod app;
pub mod container;
mod defaults;
mod facts;
pub mod image;
mod install;
pub mod network;
mod order;
pub mod pod;
mod references;
mod service;
mod surroundings;
pub mod volume;

use self::network::all;
use self::network::join;
use self::network::named::Networks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::keys::{FileType, key};
use crate::config::lock::Lock;
use crate::config::names::{ContainerName, ImageName, machine_name};
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::sources::{SourceFile, Sources};
use crate::config::trust::policy::PolicyFile;
use crate::config::update;
use crate::config::values::access;
use crate::config::values::install::Family;
use crate::config::values::source::{AutoUpdate, ModeSetting};
use crate::diag::{Code, Diagnostic, Location, Problem, errors_first, has_errors};
use crate::model::{Base, Container, Link, Model, Rejected};
use image::{BaseRef, Images, base_ref};
use join::Others;
use network::Known;
use pod::Pods;
use references::{ImageRef, Names, unit_of};
use volume::Volumes;

/// Resolves all files that were found.
#[must_use]
pub fn resolve(sources: &Sources) -> Model {
    let instances = default_instances(sources);
    let files: Vec<&SourceFile> = sources.files.iter().chain(&instances).collect();
    let mut model = Model { warnings: sources.remarks.clone(), ..Model::default() };
    let mut readable: BTreeMap<(FileType, &str), (&SourceFile, Settings)> = BTreeMap::new();
    let load = |file: &&SourceFile| {
        let (settings, mut problems) = Settings::load_partly(file, sources);
        problems.extend(wrong_name(file));
        (settings, problems)
    };
    let loaded: Vec<_> = files.iter().map(load).collect();
    let mut names = Names::default();
    names.add_built(&sources.built);
    for (file, (settings, _)) in files.iter().zip(&loaded) {
        names.add(file.file_type, &file.name, &described(file, settings));
        let unit = settings.text(file.file_type.section(), key::SERVICE_NAME);
        names.add_unit(file.file_type, &file.name, unit.map(|unit| unit.value));
    }
    let mut broken = Vec::new();
    unclaimed(&files, &loaded, &mut names, &mut model);
    for (file, (settings, problems)) in files.into_iter().zip(loaded) {
        if !problems.is_empty() {
            model.reject(file, problems, Vec::new());
            // The problems of a template are also reported for its instances.
            if !file.is_template() {
                broken.push((file, settings));
            }
        } else if !file.is_template() {
            model.warnings.extend_from_slice(settings.warnings());
            model.warnings.extend(renamed_unit(file, &settings, &names));
            readable.insert((file.file_type, &file.name), (file, settings));
        }
    }

    let (implicit, warnings) = network::implicit::implicit(&readable, &names);
    names.add_networks(implicit);
    model.warnings.extend(warnings);

    registries(&readable, &mut model);
    let mut images = images(&readable, &names, &mut model);
    let default_base = default_base(&readable, &names, &mut images, &mut model);
    let volumes = volumes(&readable, &names, &mut model);
    let uplinks = all::uplinks(&readable, &mut model);
    let mut networks = all::networks(&readable, &names, &uplinks, &mut model);
    let mut pods = pods(&readable, (&names, &volumes, &networks), &mut model);
    let usual = match readable.get(&(FileType::Defaults, "sdme")) {
        Some((_, settings)) => settings.words("Defaults", key::NETWORK),
        None => Vec::new(),
    };
    let others = Others { readable: &readable, names: &names, usual: &usual };
    for ((_, name), (file, settings)) in readable.iter().filter(|((t, _), _)| *t == FileType::Container) {
        let (path, described) = (&file.main.path, names.machine(name));
        if let Some(other) = claimed(name, described, &names) {
            let problem = Code::Conflict.problem(
                format!("{other}.container already describes the container {described}"),
                "rename one of the two",
            );
            model.warnings.push(Diagnostic::error(&Location::whole(path), problem));
            continue;
        }
        let known = Known { names: &names, pods: &pods, networks: &networks, others };
        let (known, whole) = ((known, &volumes), pods.handed(settings));
        let read =
            container::container(described, path, &whole, known, &mut images, &default_base, &mut model.warnings);
        match read.and_then(|(container, outcome)| Ok((pods.connect(outcome)?, container))) {
            Ok((remarks, container)) => {
                model.warnings.extend(remarks);
                model.containers.insert(container.name.clone(), Box::new(container));
            }
            Err(problems) => {
                let install = install::links(settings, &names, &mut Vec::new());
                model.reject(file, problems, install);
            }
        }
    }
    let known = Known { names: &names, pods: &pods, networks: &networks, others };
    for (file, settings) in broken {
        let more = additional::problems(file, &settings, (known, &volumes), &mut images, &default_base);
        model.add_problems(file, more);
    }
    model.images = images.good;
    model.volumes = volumes.finish();
    // Until here, the names of rejected files are those of the files. From here on, they are those
    // of the objects that the files describe.
    for rejected in &mut model.rejected {
        rejected.name = match rejected.file_type {
            FileType::Container => names.machine(&rejected.name).to_owned(),
            FileType::Pod => names.pod(&rejected.name).to_owned(),
            FileType::Network => names.network(&rejected.name).to_owned(),
            _ => continue,
        };
    }
    reject_cycles(&mut model);
    all::complete_pods(pods, &uplinks, &mut networks, &mut model);
    model.networks = networks.good;
    // A network without a file is only needed for its members.
    model.networks.retain(|name, network| all::is_file(&names, name) || !network.members.is_empty());
    model.settle_images();
    apply_lock(sources, &mut model);
    apply_trust(sources, &mut model);
    model
}

/// Gives every image the machine's signature policy, and `VerifyKey=` and `VerifyIdentity=` of
/// `sdme.conf` to the images whose files do not have these keys.
fn apply_trust(sources: &Sources, model: &mut Model) {
    if let Some(file) = &sources.policy {
        let content = file.content.as_ref().map(Vec::as_slice);
        let policy = PolicyFile::read(&file.path, content);
        model.warnings.extend(policy.policy.as_ref().err().cloned());
        model.policy = Some(Arc::new(policy));
    }
    for image in model.images.values_mut() {
        image.trust.policy.clone_from(&model.policy);
        image.trust.verify = std::mem::take(&mut image.trust.verify).or(&model.verify);
    }
}

/// Locks images to the digests in `sdme.lock`.
fn apply_lock(sources: &Sources, model: &mut Model) {
    let Some(file) = &sources.lock else { return };
    let text = file
        .content
        .as_ref()
        .map_err(|fault| Diagnostic::error(&Location::whole(&file.path), Code::Unreadable.of(fault.clone())));
    let lock = text.and_then(|bytes| Lock::parse(&file.path, &String::from_utf8_lossy(bytes)));
    match &lock {
        Ok(lock) => {
            for image in model.images.values_mut() {
                let key = (image.source.to_string(), image.platform.to_string());
                image.locked = lock.images.get(&key).map(|locked| locked.digest.clone());
            }
        }
        Err(problem) => model.warnings.push(problem.clone()),
    }
    model.lock = Some(lock);
}

/// The name of the object that a file describes. The readers of the files report invalid names.
fn described(file: &SourceFile, settings: &Settings) -> String {
    let key = match file.file_type {
        FileType::Container => key::CONTAINER_NAME,
        FileType::Pod => key::POD_NAME,
        FileType::Network => key::NETWORK_NAME,
        FileType::Volume => return file.described(),
        _ => return file.name.clone(),
    };
    let written = settings.text(file.file_type.section(), key);
    let written = written.and_then(|written| ContainerName::of_podman(written.value).ok());
    written.map_or_else(|| machine_name(&file.described()), String::from)
}

/// The warning about `ServiceName=`, which does not change the name of the unit.
fn renamed_unit(file: &SourceFile, settings: &Settings, names: &Names) -> Option<Diagnostic> {
    let written = settings.text(file.file_type.section(), key::SERVICE_NAME)?;
    let unit = unit_of(file.file_type, names.described(file.file_type, &file.name)).ok()?;
    let problem = Code::Differs.problem(
        format!("ServiceName={}: the unit is called {unit}", written.value),
        format!("write {unit} outside of these files, which may use either name"),
    );
    (file.file_type != FileType::Volume).then(|| Diagnostic::warning(&written.at, problem))
}

/// Gives a container the name of its file if another file has its `ContainerName=`, and adds a
/// warning. With Podman, one of the two containers would replace the other.
fn unclaimed(files: &[&SourceFile], loaded: &[(Settings, Vec<Diagnostic>)], names: &mut Names, model: &mut Model) {
    for (file, (settings, _)) in files.iter().zip(loaded).filter(|(file, _)| file.file_type == FileType::Container) {
        let Some(written) = settings.text("Container", key::CONTAINER_NAME) else {
            continue;
        };
        let machine = names.machine(&file.name).to_owned();
        let Some(other) = claimed(&file.name, &machine, names).map(str::to_owned) else { continue };
        let own = machine_name(&file.described());
        if own == machine
            || own.parse::<ContainerName>().is_err()
            || !names.renamed(&own).is_empty()
            || file.is_template()
        {
            continue;
        }
        names.add(FileType::Container, &file.name, &own);
        let problem = Code::Differs.problem(
            format!(
                "ContainerName={}: {other}.container has that name, so this container is called {own}",
                written.value
            ),
            "rename one of the two",
        );
        model.warnings.push(Diagnostic::warning(&written.at, problem));
    }
}

/// The other file that has the container name `machine`: the file of that name, or else the first
/// file with this `ContainerName=`. None if `file` has the name.
fn claimed<'a>(file: &str, machine: &'a str, names: &'a Names) -> Option<&'a str> {
    let known = names.get(&FileType::Container);
    let plain = known.is_some_and(|known| known.contains(machine)) && names.machine(machine) == machine;
    if plain && file != machine {
        return Some(machine);
    }
    let first = names.renamed(machine).into_iter().next();
    first.filter(|first| !plain && *first != file)
}

/// The instances that `DefaultInstance=` of templates requests, unless they have files.
fn default_instances(sources: &Sources) -> Vec<SourceFile> {
    let instance = |template: &SourceFile| {
        let (settings, problems) = Settings::load_partly(template, &Sources::default());
        if has_errors(&problems) {
            return None;
        }
        let wanted = settings.text("Install", key::DEFAULT_INSTANCE)?;
        let name = format!("{}{}", template.name, wanted.value);
        let there = sources.files.iter().any(|f| f.file_type == template.file_type && f.name == name);
        (!there).then(|| SourceFile { name, ..template.clone() })
    };
    sources.files.iter().filter(|file| file.is_template()).filter_map(instance).collect()
}

/// The problem of an `.image` file whose name cannot be part of the name of a unit.
fn wrong_name(file: &SourceFile) -> Option<Diagnostic> {
    let problem = (file.file_type == FileType::Image).then(|| file.name.parse::<ImageName>().err()).flatten()?;
    Some(Diagnostic::error(&Location::whole(&file.main.path), problem))
}

fn images(readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>, names: &Names, model: &mut Model) -> Images {
    let mut images = Images::default();
    // Files that could not be parsed are added, too, because a container that names one must report
    // the problem.
    for rejected in model.rejected.iter().filter(|r| r.file_type == FileType::Image) {
        images.bad.insert(rejected.name.clone(), rejected.problems.clone());
    }
    let unreadable: Vec<String> = images.bad.keys().cloned().collect();
    let mut drafts = Vec::new();
    for ((_, name), (file, settings)) in readable.iter().filter(|((t, _), _)| *t == FileType::Image) {
        match image::draft(name, &file.main.path, settings, names, &mut model.warnings) {
            Ok(draft) => drafts.push(draft),
            Err(problems) => {
                images.bad.insert((*name).to_owned(), problems);
            }
        }
    }
    image::connect(drafts, &mut images);
    for (name, problems) in images.bad.iter().filter(|(name, _)| !unreadable.contains(name)) {
        if let Some((file, _)) = readable.get(&(FileType::Image, name.as_str())) {
            model.reject(file, problems.clone(), Vec::new());
        }
    }
    images
}

/// Reads `Mirror=`, `Insecure=`, `CacheSize=`, `KeepVersions=`, `ImportTimeout=`, and the other
/// keys of `sdme.conf` about images and updates. An error in one of them rejects the file, because
/// an image must not be pulled without a mirror that the file names.
fn registries(readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>, model: &mut Model) {
    let Some((file, settings)) = readable.get(&(FileType::Defaults, "sdme")) else { return };
    let mut problems = Vec::new();
    let mut reader = Reader::new(settings, "Defaults", &mut problems);
    let usual = access::Registries::default();
    let registries = access::Registries {
        mirrors: reader.list(key::MIRROR, access::mirrors).map(|mirrors| mirrors.value).unwrap_or_default(),
        insecure: reader
            .words(key::INSECURE, |host| access::host("Insecure", host))
            .into_iter()
            .map(|h| h.value)
            .collect(),
        cache_size: reader.value(key::CACHE_SIZE, access::size).unwrap_or(usual.cache_size),
        keep_versions: reader.value(key::KEEP_VERSIONS, access::keep_versions).unwrap_or(usual.keep_versions),
        import_timeout: reader.spanned(key::IMPORT_TIMEOUT, access::import_timeout).and_then(access::ImportTimeout::of),
    };
    model.auto_update = reader.text(key::AUTO_UPDATE).and_then(|written| AutoUpdate::from_choice(written.value));
    for (family, key) in Family::keys() {
        if let Some(command) = reader.text(key) {
            model.installers.own.insert(family, command.value.to_owned());
        }
    }
    model.update_settle = update::settle(&mut reader);
    model.update_snapshot = reader.flag(key::UPDATE_SNAPSHOT);
    model.verify = image::verify(&mut reader);
    if problems.is_empty() {
        model.registries = registries;
    } else {
        model.reject(file, problems, Vec::new());
    }
}

/// Reads `BaseFs=` of `sdme.conf`. If that file has an error, containers that need the default base
/// are rejected and not started on another operating system than the one that has written their
/// data.
fn default_base(
    readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>,
    names: &Names,
    images: &mut Images,
    model: &mut Model,
) -> Result<Base, Problem> {
    if let Some(why) = defaults::broken(model) {
        return Err(defaults::without_base(&why));
    }
    let Some((file, settings)) = readable.get(&(FileType::Defaults, "sdme")) else { return Ok(Base::Host) };
    let Some(written) = settings.text("Defaults", key::BASE_FS) else { return Ok(Base::Host) };
    let is_file = names.get(&FileType::Image).is_some_and(|k| k.contains(written.value));
    let reference = if is_file {
        Ok(BaseRef::Image(ImageRef::File(written.value.to_owned())))
    } else {
        base_ref(written.value, names)
    };
    reference.and_then(|r| images.base_of(&r)).map_err(|problem| {
        let problem = Diagnostic::error(&written.at, problem);
        let refusal = defaults::without_base(&format!("because BaseFs= in {} is wrong", problem.at));
        model.reject(file, vec![problem], Vec::new());
        refusal
    })
}

/// Reads `.pod` files in the order of their names. The later of two pods whose ports conflict is
/// rejected, or gets a warning if sockets are bound to both ports.
fn pods(
    readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>,
    (names, volumes, networks): (&Names, &Volumes, &Networks),
    model: &mut Model,
) -> Pods {
    let mut pods = Pods::default();
    for rejected in model.rejected.iter().filter(|r| r.file_type == FileType::Pod) {
        pods.bad.extend(rejected.problems.first().map(|problem| (rejected.name.clone(), problem.clone())));
    }
    for ((_, name), (file, settings)) in readable.iter().filter(|((t, _), _)| *t == FileType::Pod) {
        let read =
            pod::pod(names.pod(name), &file.main.path, settings, (names, volumes, networks), &mut model.warnings);
        match read.and_then(|pod| pods.add_file(name, pod, settings)) {
            Ok(remarks) => model.warnings.extend(remarks),
            Err(problems) => {
                pods.bad.extend(problems.first().map(|problem| ((*name).to_owned(), problem.clone())));
                model.reject(file, problems, install::links(settings, names, &mut Vec::new()));
            }
        }
    }
    pods
}

/// Reads `.volume` files.
fn volumes(
    readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>,
    names: &Names,
    model: &mut Model,
) -> Volumes {
    let mut volumes = Volumes::default();
    for rejected in model.rejected.iter().filter(|r| r.file_type == FileType::Volume) {
        volumes.refuse(&rejected.name, rejected.problems.first());
    }
    for ((_, name), (file, settings)) in readable.iter().filter(|((t, _), _)| *t == FileType::Volume) {
        let read = volume::volume(&file.described(), &file.main.path, settings, names, &mut model.warnings);
        if let Err(problems) = read.and_then(|volume| volumes.add(name, volume)) {
            volumes.refuse(name, problems.first());
            model.reject(file, problems, Vec::new());
        }
    }
    volumes
}

fn reject_cycles(model: &mut Model) {
    for (name, circle) in order::cycles(&model.containers) {
        if let Some(container) = model.containers.remove(name.as_str()) {
            let Container { file, install, .. } = *container;
            let problem = Code::Circle
                .problem(format!("{name}.container waits for itself: {circle}"), "remove one of these dependencies");
            let problem = Diagnostic::error(&Location::whole(&file), problem);
            model.refuse(FileType::Container, name, file, problem, install);
        }
    }
}

impl Model {
    /// Rejects a file for one problem.
    fn refuse(&mut self, file_type: FileType, name: String, file: Arc<str>, problem: Diagnostic, install: Vec<Link>) {
        self.rejected.push(Rejected { file_type, name, file, problems: vec![problem], install });
    }

    fn reject(&mut self, file: &SourceFile, mut problems: Vec<Diagnostic>, install: Vec<Link>) {
        problems.sort();
        problems.dedup();
        let problems = errors_first(problems);
        let (file_type, name) = (file.file_type, file.name.clone());
        self.rejected.push(Rejected { file_type, name, file: Arc::clone(&file.main.path), problems, install });
    }

    /// Adds problems to those of a rejected file.
    fn add_problems(&mut self, file: &SourceFile, more: Vec<Diagnostic>) {
        let Some(index) = self.rejected.iter().position(|rejected| rejected.file == file.main.path) else { return };
        let Rejected { mut problems, install, .. } = self.rejected.swap_remove(index);
        problems.extend(more);
        self.reject(file, problems, install);
    }

    /// Removes images without a file that no container needs. An image with `Mode=auto` that is a
    /// base somewhere becomes a base everywhere.
    fn settle_images(&mut self) {
        let of_base = |base: &Base| match base {
            Base::Image(name) => Some(name.clone()),
            Base::Host => None,
        };
        let files = self.images.values().filter(|i| i.file.is_some());
        let mut bases: BTreeSet<String> = files.filter_map(|i| of_base(i.base.as_ref()?)).collect();
        bases.extend(self.containers.values().filter(|c| !c.apps.is_empty()).filter_map(|c| of_base(&c.base)));
        let run: BTreeSet<&String> = self.containers.values().flat_map(|c| &c.apps).map(|a| &a.image).collect();
        self.images.retain(|name, image| image.file.is_some() || run.contains(name) || bases.contains(name));
        for name in bases {
            if let Some(image) = self.images.get_mut(&name)
                && image.mode == ModeSetting::Auto
            {
                image.mode = ModeSetting::Base;
            }
        }
    }

    /// The unit that reports the problems of a rejected file, if its type has a unit.
    #[must_use]
    pub fn unit_of(rejected: &Rejected) -> Option<String> {
        if rejected.file_type != FileType::Image && rejected.name.ends_with('@') {
            return None;
        }
        let plain = rejected.name.parse::<ContainerName>().is_ok();
        let name = if plain { rejected.name.clone() } else { crate::unit::escape_instance(&rejected.name) };
        unit_of(rejected.file_type, &name).ok()
    }
}
