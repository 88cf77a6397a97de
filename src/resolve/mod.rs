// SPDX-License-Identifier: MIT
//! From checked settings to a model in which every reference is resolved. A file that is wrong, or that refers to one
//! that is wrong, is rejected alone; its neighbours never notice. Pure.

mod app;
mod container;
pub mod health;
pub mod image;
mod install;
pub mod model;
pub mod mounts;
pub mod network;
mod order;
pub mod pod;
pub mod ports;
mod references;
pub mod reload;
pub mod security;
mod service;
mod slots;
pub mod startup;
pub mod userns;
pub mod volume;

pub use container::bad_name;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::access;
use crate::config::install::Family;
use crate::config::keys::FileType;
use crate::config::settings::Settings;
use crate::config::source::ModeSetting;
use crate::config::sources::{SourceFile, Sources};
use crate::diag::{Diagnostic, Location};
use crate::halves::halves;
use image::{BaseRef, Images, base_ref};
use model::{Base, Container, Model, Rejected};
use network::Range;
use pod::{Pod, Pods};
use references::{ImageRef, Names, unit_of};
use volume::Volumes;

/// Resolves everything that was found.
#[must_use]
pub fn resolve(sources: &Sources) -> Model {
    let instances = default_instances(sources);
    let files: Vec<&SourceFile> = sources.files.iter().chain(&instances).collect();
    let mut model = Model { warnings: sources.remarks.clone(), ..Model::default() };
    let mut readable: BTreeMap<(FileType, &str), (&SourceFile, Settings)> = BTreeMap::new();
    let load = |file: &&SourceFile| Settings::load(file).and_then(|settings| implemented(file).map(|()| settings));
    let loaded = halves(&files, |files| files.iter().map(load).collect());
    let mut names = Names::default();
    for (file, settings) in files.iter().zip(&loaded) {
        names.add(file.file_type, &file.name, &described(file, settings.as_ref().ok()));
    }
    for (file, settings) in files.into_iter().zip(loaded) {
        match settings {
            // Its instances are what it is for.
            Ok(_) if file.is_template() => {}
            Ok(settings) => {
                readable.insert((file.file_type, &file.name), (file, settings));
            }
            Err(problems) => model.reject(file, problems, Vec::new()),
        }
    }

    registries(&readable, &mut model);
    let mut images = images(&readable, &names, &mut model);
    let default_base = default_base(&readable, &names, &mut images, &mut model);
    let volumes = volumes(&readable, &names, &mut model);
    let mut pods = pods(&readable, (&names, &volumes), &mut model);
    for ((_, name), (file, settings)) in readable.iter().filter(|((t, _), _)| *t == FileType::Container) {
        let (path, described) = (&file.main.path, names.machine(name));
        if let Some(other) = claimed(name, described, &names) {
            let message = format!("the container {described} is {other}.container's already; rename one of the two");
            model.warnings.push(Diagnostic::error(&Location::new(path, 1), message));
            continue;
        }
        let (known, whole) = ((&names, &pods, &volumes), pods.handed(settings));
        let read = container::container(described, path, &whole, known, &mut images, &default_base);
        match read.and_then(|(container, outcome)| pods.connect(outcome).map(|()| container)) {
            Ok(container) => {
                model.containers.insert(container.name.clone(), Box::new(container));
            }
            Err(problems) => {
                let install = install::links(settings, &mut Vec::new());
                model.reject(file, problems, install);
            }
        }
    }
    model.images = images.good;
    model.volumes = volumes.finish();
    // Up to here by their files, from here on by what those describe.
    for rejected in &mut model.rejected {
        rejected.name = match rejected.file_type {
            FileType::Container => names.machine(&rejected.name).to_owned(),
            FileType::Pod => names.pod(&rejected.name).to_owned(),
            _ => continue,
        };
    }
    reject_cycles(&mut model);
    settle_pods(pods, &readable, &mut model);
    model.settle_images();
    model
}

/// The name of what a file describes. What cannot be a name is said where the file is read.
fn described(file: &SourceFile, settings: Option<&Settings>) -> String {
    let key = match file.file_type {
        FileType::Container => "ContainerName",
        FileType::Pod => "PodName",
        FileType::Volume => return file.described(),
        _ => return file.name.clone(),
    };
    let written = settings.and_then(|settings| settings.text(file.file_type.section(), key));
    let written = written.filter(|written| bad_name(written.value).is_none());
    written.map_or_else(|| file.described(), |written| written.value.to_owned())
}

/// Another file that describes the container of this name, and has it: the one that is called so, or the first of the others.
fn claimed<'a>(file: &str, machine: &'a str, names: &'a Names) -> Option<&'a str> {
    let known = names.get(&FileType::Container);
    let plain = known.is_some_and(|known| known.contains(machine)) && names.machine(machine) == machine;
    if plain && file != machine {
        return Some(machine);
    }
    let first = names.renamed(machine).into_iter().next();
    first.filter(|first| !plain && *first != file)
}

/// The instances that templates ask for with `DefaultInstance=`, unless there are files for them.
fn default_instances(sources: &Sources) -> Vec<SourceFile> {
    let instance = |template: &SourceFile| {
        let settings = Settings::load(template).ok()?;
        let wanted = settings.text("Install", "DefaultInstance")?;
        let name = format!("{}{}", template.name, wanted.value);
        let there = sources.files.iter().any(|f| f.file_type == template.file_type && f.name == name);
        (!there).then(|| SourceFile { name, ..template.clone() })
    };
    sources.files.iter().filter(|file| file.is_template()).filter_map(instance).collect()
}

fn implemented(file: &SourceFile) -> Result<(), Vec<Diagnostic>> {
    let at = Location::new(&file.main.path, 1);
    match file.file_type {
        FileType::Image if file.name.is_empty() || file.name.contains([':', '@', '\\', '/', ' ', '%']) => {
            Err(vec![Diagnostic::error(
                &at,
                "an image's file name has letters, digits, '.', '_' and '-' only; rename it",
            )])
        }
        _ => Ok(()),
    }
}

fn images(readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>, names: &Names, model: &mut Model) -> Images {
    let mut images = Images::default();
    // Files that could not even be parsed are bad, too: a container that names one must say so.
    for rejected in model.rejected.iter().filter(|r| r.file_type == FileType::Image) {
        images.bad.insert(rejected.name.clone(), rejected.problems.clone());
    }
    let unreadable: Vec<String> = images.bad.keys().cloned().collect();
    let mut drafts = Vec::new();
    for ((_, name), (file, settings)) in readable.iter().filter(|((t, _), _)| *t == FileType::Image) {
        match image::draft(name, &file.main.path, settings, names) {
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

/// `Mirror=`, `Insecure=`, `CacheSize=`, `ImportTimeout=` and the commands of `sdme.conf`. What is wrong in one of them makes the file wrong: an image must not be
/// fetched past a mirror that was meant to be asked.
fn registries(readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>, model: &mut Model) {
    let Some((file, settings)) = readable.get(&(FileType::Defaults, "sdme")) else { return };
    let values = |key| settings.words("Defaults", key).into_iter().map(|w| w.value).collect::<Vec<_>>();
    let mirrors = access::mirrors(&values("Mirror")).map_err(|m| ("Mirror", m));
    let insecure: Result<Vec<_>, _> = values("Insecure").iter().map(|w| access::host("Insecure", w)).collect();
    let size = settings.text("Defaults", "CacheSize").map(|written| access::size(written.value)).transpose();
    let timeout = settings.text("Defaults", "ImportTimeout");
    let timeout = timeout.map(|written| access::import_timeout(written.value, &written.at)).transpose();
    let usual = access::Registries::default();
    let read = || {
        let (mirrors, insecure) = (mirrors?, insecure.map_err(|m| ("Insecure", m))?);
        let cache_size = size.map_err(|m| ("CacheSize", m))?.unwrap_or(usual.cache_size);
        let import_timeout = timeout.map_err(|m| ("ImportTimeout", m))?.flatten();
        Ok(access::Registries { mirrors, insecure, cache_size, import_timeout })
    };
    for (family, key) in Family::keys() {
        if let Some(command) = settings.text("Defaults", key) {
            model.installers.own.insert(family, command.value.to_owned());
        }
    }
    match read() {
        Ok(registries) => model.registries = registries,
        Err((key, message)) => {
            let at = settings.text("Defaults", key).map_or_else(|| Location::new(&file.main.path, 1), |w| w.at);
            model.reject(file, vec![Diagnostic::error(&at, message)], Vec::new());
        }
    }
}

/// `BaseFs=` of `sdme.conf`. When that file is wrong, a container that relies on it is refused rather than put on
/// another operating system than the one its data was written by.
fn default_base(
    readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>,
    names: &Names,
    images: &mut Images,
    model: &mut Model,
) -> Result<Base, String> {
    if let Some(problem) =
        model.rejected.iter().find(|r| r.file_type == FileType::Defaults).and_then(|r| r.problems.first())
    {
        return Err(format!("the base is not known, write Base= here or mend {problem}"));
    }
    let Some((file, settings)) = readable.get(&(FileType::Defaults, "sdme")) else { return Ok(Base::Host) };
    let Some(written) = settings.text("Defaults", "BaseFs") else { return Ok(Base::Host) };
    let is_file = names.get(&FileType::Image).is_some_and(|k| k.contains(written.value));
    let reference = if is_file {
        Ok(BaseRef::Image(ImageRef::File(written.value.to_owned())))
    } else {
        base_ref(written.value, names)
    };
    reference.and_then(|r| images.base_of(&r)).map_err(|message| {
        let problem = Diagnostic::error(&written.at, message);
        let refusal = format!("the base is not known, write Base= here or mend {problem}");
        model.reject(file, vec![problem], Vec::new());
        refusal
    })
}

/// `.pod` files. Of two that want one port of the host the first by name has it.
fn pods(
    readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>,
    (names, volumes): (&Names, &Volumes),
    model: &mut Model,
) -> Pods {
    let mut pods = Pods::default();
    for rejected in model.rejected.iter().filter(|r| r.file_type == FileType::Pod) {
        pods.bad.extend(rejected.problems.first().map(|problem| (rejected.name.clone(), problem.clone())));
    }
    for ((_, name), (file, settings)) in readable.iter().filter(|((t, _), _)| *t == FileType::Pod) {
        let read = pod::pod(names.pod(name), &file.main.path, settings, (names, volumes));
        if let Err(problems) = read.and_then(|pod| pods.add_file(name, pod, settings)) {
            pods.bad.extend(problems.first().map(|problem| ((*name).to_owned(), problem.clone())));
            model.reject(file, problems, install::links(settings, &mut Vec::new()));
        }
    }
    pods
}

/// `.volume` files.
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
        let read = volume::volume(&file.described(), &file.main.path, settings, names);
        if let Err(problems) = read.and_then(|volume| volumes.add(name, volume)) {
            volumes.refuse(name, problems.first());
            model.reject(file, problems, Vec::new());
        }
    }
    volumes
}

/// What is known about pods once all containers are: who is in them, and their addresses.
fn settle_pods(mut pods: Pods, readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>, model: &mut Model) {
    let range = uplink_range(readable, model);
    for (pod, problem) in pods.settle(&model.containers, &range) {
        for name in &pod.members {
            if let Some(Container { name, file, install, .. }) = model.containers.remove(name).map(|c| *c) {
                let problems =
                    vec![if pod.own { problem.clone() } else { network::refused(&file, &pod.file, &problem) }];
                model.rejected.push(Rejected { file_type: FileType::Container, name, file, problems, install });
            }
        }
        if !pod.own {
            let Pod { name, file, install, .. } = pod;
            model.rejected.push(Rejected { file_type: FileType::Pod, name, file, problems: vec![problem], install });
        }
    }
    model.pods = pods.good;
}

/// `UplinkRange=` of `sdme.conf`. When that file is wrong, pods that need an address are refused rather than given one that may
/// be somebody else's.
fn uplink_range(
    readable: &BTreeMap<(FileType, &str), (&SourceFile, Settings)>,
    model: &mut Model,
) -> Result<Range, String> {
    if let Some(problem) =
        model.rejected.iter().find(|r| r.file_type == FileType::Defaults).and_then(|r| r.problems.first())
    {
        return Err(format!("its address is not known; mend {problem}"));
    }
    let Some((file, settings)) = readable.get(&(FileType::Defaults, "sdme")) else { return Ok(Range::default()) };
    let Some(written) = settings.text("Defaults", "UplinkRange") else { return Ok(Range::default()) };
    network::range(written.value).map_err(|message| {
        let problem = Diagnostic::error(&written.at, message);
        let refusal = format!("its address is not known; mend {problem}");
        model.reject(file, vec![problem], Vec::new());
        refusal
    })
}

fn reject_cycles(model: &mut Model) {
    for (name, circle) in order::cycles(&model.containers) {
        if let Some(container) = model.containers.remove(&name) {
            let Container { file, install, .. } = *container;
            let message = format!("{name}.container waits for itself: {circle}");
            let problems = vec![Diagnostic::error(&Location::new(&file, 1), message)];
            model.rejected.push(Rejected { file_type: FileType::Container, name, file, problems, install });
        }
    }
}

impl Model {
    fn reject(&mut self, file: &SourceFile, mut problems: Vec<Diagnostic>, install: Vec<model::Link>) {
        problems.sort();
        problems.dedup();
        let (file_type, name) = (file.file_type, file.name.clone());
        self.rejected.push(Rejected { file_type, name, file: Arc::clone(&file.main.path), problems, install });
    }

    /// Images given as references live only as long as a container that can be planned needs them. What serves as a
    /// base anywhere is one everywhere.
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

    /// The unit that stands for a rejected file, if its type has one.
    #[must_use]
    pub fn unit_of(rejected: &Rejected) -> Option<String> {
        if rejected.file_type != FileType::Image && rejected.name.ends_with('@') {
            return None;
        }
        let plain = container::bad_name(&rejected.name).is_none();
        let name = if plain { rejected.name.clone() } else { crate::unit::escape_instance(&rejected.name) };
        unit_of(rejected.file_type, &name).ok()
    }
}
