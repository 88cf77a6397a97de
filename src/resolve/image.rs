// SPDX-License-Identifier: MIT
//! Reads `.image` files, and checks which images can be the base of others. Pure.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::install;
use super::references::{ImageRef, Names, image_ref, implicit_image, unit_section};
use super::service;
use crate::config::keys::key;
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::trust::scope::Subject;
use crate::config::trust::{self, Trust, Verify};
use crate::config::values::access::{self, Access};
use crate::config::values::install::{InstallSetting, Installers};
use crate::config::values::source::{AutoUpdate, ImageSource, ModeSetting, PlatformSetting, Pull};
use crate::diag::{Code, Diagnostic, Location, Problem, Spanned, errors_first, has_errors};
use crate::model::{Base, Image};
use crate::paths::MARK;
use crate::unit::escape_instance;

/// An `.image` file without errors whose `Base=` is not resolved yet.
#[derive(Debug, Clone)]
pub struct ImageDraft {
    /// The image. Its `base` is still empty.
    pub image: Image,
    /// The value of `Base=` and its location.
    pub base: Option<Spanned<BaseRef>>,
}

/// A base in the configuration, not resolved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseRef {
    /// The host's own `/usr`.
    Host,
    /// An image.
    Image(ImageRef),
}

/// Reads a value of `Base=`.
///
/// # Errors
/// As for [`image_ref`].
pub fn base_ref(value: &str, names: &Names) -> Result<BaseRef, Problem> {
    if value == "host" { Ok(BaseRef::Host) } else { image_ref(value, names).map(BaseRef::Image) }
}

/// Reads an `.image` file.
///
/// # Errors
/// All problems of the file, including its warnings.
pub fn draft(
    name: &str,
    file: &Arc<str>,
    settings: &Settings,
    names: &Names,
    warnings: &mut Vec<Diagnostic>,
) -> Result<ImageDraft, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let text = |key| settings.text("Image", key);
    let source = match text(key::IMAGE) {
        Some(value) if value.value.ends_with(".image") => {
            let problem = Code::ImageReference.problem(
                format!("Image={}: an image cannot be another image", value.value),
                "write a reference or oci:PATH",
            );
            problems.push(Diagnostic::error(&value.at, problem));
            None
        }
        Some(value) => value
            .value
            .parse::<ImageSource>()
            .map_err(|fault| problems.push(Diagnostic::error(&value.at, Code::ImageReference.of(fault))))
            .ok(),
        None => {
            let problem = Code::ImageReference
                .problem("no Image= in [Image]", "write Image= and a reference such as docker.io/library/nginx:1.27");
            problems.push(Diagnostic::error(&Location::whole(file), problem));
            None
        }
    };
    let written = text(key::MODE).map(|m| ModeSetting::from_choice(m.value)).unwrap_or_default();
    let mode = source.as_ref().map_or(written, |source| written.of(source));
    let base = text(key::BASE).and_then(|b| match base_ref(b.value, names) {
        Ok(value) => Some(Spanned { value, at: b.at }),
        Err(problem) => {
            problems.push(Diagnostic::error(&b.at, problem));
            None
        }
    });
    if let (ModeSetting::Base, Some(base)) = (mode, &base) {
        let (cause, remedy) = match written {
            ModeSetting::Base => ("an image with Mode=base has no base", "remove Base= or Mode=base"),
            _ => (
                "a root file system counts as an operating system, which has no base",
                "remove Base=, or write Mode=app",
            ),
        };
        problems.push(Diagnostic::error(&base.at, Code::Combination.problem(cause, remedy)));
    }
    let install = text(key::INSTALL_PACKAGES).map(|i| InstallSetting::from_choice(i.value)).unwrap_or_default();
    if let (ModeSetting::App, InstallSetting::Yes, Some(at)) = (mode, install, text(key::INSTALL_PACKAGES)) {
        let problem = Code::Combination
            .problem("nothing is installed into an application", "remove InstallPackages= or Mode=app");
        problems.push(Diagnostic::error(&at.at, problem));
    }
    let platform = match PlatformSetting::new(text(key::ARCH).map(|a| a.value), text(key::VARIANT).map(|v| v.value)) {
        Ok(platform) => platform,
        Err(fault) => {
            let at = text(key::ARCH).or_else(|| text(key::VARIANT)).map_or_else(|| Location::whole(file), |a| a.at);
            problems.push(Diagnostic::error(&at, Code::ImageReference.of(fault)));
            PlatformSetting::default()
        }
    };
    let mut reader = Reader::new(settings, "Image", &mut problems);
    let access = access(&mut reader);
    let verify = verify(&mut reader);
    let unit = unit_section(settings.section("Unit"), names, &[], &mut problems);
    let links = install::links(settings, names, &mut problems);
    let service = service::image(settings, &mut problems);
    let auto_update = text(key::AUTO_UPDATE).and_then(|w| AutoUpdate::from_choice(w.value));
    let pull = text(key::POLICY).map(|p| Pull::from_choice(p.value)).unwrap_or_default();
    match source {
        Some(source) if !has_errors(&problems) => {
            warnings.append(&mut problems);
            let image = Image {
                name: name.to_owned(),
                file: Some(Arc::clone(file)),
                source,
                mode,
                pull,
                auto_update,
                install,
                platform,
                access,
                base: None,
                trust: Trust { policy: None, verify },
                locked: None,
                unit,
                service,
                links,
            };
            Ok(ImageDraft { image, base })
        }
        _ => Err(errors_first(problems)),
    }
}

/// Reads `VerifyKey=` and `VerifyIdentity=`.
pub fn verify(reader: &mut Reader<'_, '_>) -> Verify {
    let keys = reader.list(key::VERIFY_KEY, trust::keys);
    let identity = reader.list(key::VERIFY_IDENTITY, trust::identity);
    Verify { keys, identity: identity.map(|identity| identity.value) }
}

fn access(reader: &mut Reader<'_, '_>) -> Access {
    let usual = Access::default();
    Access {
        auth_file: reader.value(key::AUTH_FILE, |value| access::path("AuthFile", value)),
        credentials: reader.value(key::CREDS, access::credentials),
        cert_dir: reader.value(key::CERT_DIR, |value| access::path("CertDir", value)),
        tls_verify: reader.flag(key::TLS_VERIFY).map(|flag| flag.value),
        retries: reader.value(key::RETRY, access::retries).unwrap_or(usual.retries),
        delay: reader.value(key::RETRY_DELAY, access::delay).unwrap_or(usual.delay),
    }
}

/// The name of the pull stamp of this image: the source, and all settings on which the result of an
/// import depends. If the store has an entry with this stamp, a start uses the image without asking
/// the source. None if the source must be asked at every start, or if the name would be longer than
/// 255 bytes.
#[must_use]
pub fn mark(image: &Image, installers: &Installers) -> Option<String> {
    let Image { source, mode, platform, install, .. } = image;
    let mut name = MARK.to_owned() + &escape_instance(&source.to_string());
    // Escaped text does not contain this separator.
    let mut add = |text: String| name = [&name, "@", &escape_instance(&text)].concat();
    if *mode != ModeSetting::Auto {
        add(format!("{mode:?}"));
    }
    if *platform != PlatformSetting::default() {
        add(platform.to_string());
    }
    if *mode != ModeSetting::App && (*install, installers) != (InstallSetting::Auto, &Installers::default()) {
        add(format!("{install:?} {:?}", installers.own));
    }
    if let Some(digest) = &image.locked {
        add(digest.clone());
    }
    // An image that needs signatures has no stamp here: the policy and the keys may change after
    // the import, so every start verifies the stored signatures.
    if image.trust.may_ask(&Subject::of(source)) {
        return None;
    }
    (matches!(image.pull, Pull::Missing | Pull::Never) && name.len() <= 255).then_some(name)
}

/// All images, with and without errors.
#[derive(Debug, Default)]
pub struct Images {
    /// The images without errors, by name.
    pub good: BTreeMap<String, Image>,
    /// The problems of the rejected `.image` files, by name.
    pub bad: BTreeMap<String, Vec<Diagnostic>>,
    /// A cache of references, by their text, because many containers name the same image.
    read: BTreeMap<String, Rc<ImageRef>>,
}

impl Images {
    /// Reads a reference as [`image_ref`] does, but each text only once.
    ///
    /// # Errors
    /// As for [`image_ref`].
    pub fn read(&mut self, value: &str, names: &Names) -> Result<Rc<ImageRef>, Problem> {
        if let Some(known) = self.read.get(value) {
            return Ok(Rc::clone(known));
        }
        let reference = Rc::new(image_ref(value, names)?);
        self.read.insert(value.to_owned(), Rc::clone(&reference));
        Ok(reference)
    }

    /// Adds the image of a reference if it is not known yet, and returns its name.
    ///
    /// # Errors
    /// The file is rejected, the reference is too long for the name of a unit, or the same source
    /// has another mode or pull policy elsewhere.
    pub fn name_of(&mut self, reference: &ImageRef, mode: ModeSetting, pull: Pull) -> Result<String, Problem> {
        match reference {
            ImageRef::File(name) => match self.bad.get(name).and_then(|p| p.first()) {
                Some(problem) => Err(Code::UnusableFile.because(&format!("{name}.image cannot be used"), problem)),
                None => Ok(name.clone()),
            },
            ImageRef::Source(source, name) => {
                // The image name becomes part of the unit name sdme-image@NAME.service, and the
                // name of a unit has at most 255 bytes (systemd.unit(5)).
                if name.len() > 230 {
                    let problem = Code::ImageReference
                        .problem(format!("the reference {source} is too long for a unit name"), "write an .image file");
                    return Err(problem);
                }
                let image = || implicit_image(source, name, mode, pull);
                let known = self.good.entry(name.clone()).or_insert_with(image);
                if known.mode != mode.of(source) || known.pull != pull {
                    let problem = Code::Conflict.problem(
                        format!("{source} is used with other Mode= or Pull= settings elsewhere"),
                        "write one .image file for each use",
                    );
                    return Err(problem);
                }
                Ok(name.clone())
            }
        }
    }

    /// Adds the image of a base if it is not known yet, and returns the base.
    ///
    /// # Errors
    /// As for [`Images::name_of`], or the image has `Mode=app` or a base itself.
    pub fn base_of(&mut self, reference: &BaseRef) -> Result<Base, Problem> {
        let BaseRef::Image(reference) = reference else { return Ok(Base::Host) };
        let name = self.name_of(reference, ModeSetting::Base, Pull::Missing)?;
        match self.good.get(&name) {
            Some(image) if image.base.is_some() => Err(with_base(&name)),
            Some(image) if image.mode == ModeSetting::App => Err(Code::Combination.problem(
                format!("{name}.image has Mode=app, so it cannot be a base"),
                "write the name of another image",
            )),
            _ => Ok(Base::Image(name)),
        }
    }
}

/// Resolves the `Base=` of each draft, and adds the images to those with or without errors.
pub fn connect(drafts: Vec<ImageDraft>, images: &mut Images) {
    let next: BTreeMap<String, String> = drafts
        .iter()
        .filter_map(|d| match &d.base.as_ref()?.value {
            BaseRef::Image(ImageRef::File(base)) => Some((d.image.name.clone(), base.clone())),
            _ => None,
        })
        .collect();
    let mut bases = Vec::new();
    for ImageDraft { image, base } in drafts {
        let name = image.name.clone();
        if let Some(base) = base {
            match chain(&name, &next) {
                None => bases.push((name.clone(), base)),
                Some(problem) => {
                    images.bad.insert(name, vec![Diagnostic::error(&base.at, problem)]);
                    continue;
                }
            }
        }
        images.good.insert(name, image);
    }
    for (name, base) in bases {
        match images.base_of(&base.value) {
            Ok(found) => {
                if let Some(image) = images.good.get_mut(&name) {
                    image.base = Some(found);
                }
            }
            Err(problem) => {
                images.good.remove(&name);
                images.bad.insert(name, vec![Diagnostic::error(&base.at, problem)]);
            }
        }
    }
}

/// The problem of the base of `name`, if that base has a base itself or if the bases form a cycle.
fn chain(name: &str, next: &BTreeMap<String, String>) -> Option<Problem> {
    let mut path = vec![name];
    while let Some(base) = path.last().and_then(|last| next.get(*last)) {
        let seen = path.contains(&base.as_str());
        path.push(base);
        if seen {
            let circle = path.join(".image -> ") + ".image";
            return Some(
                Code::Circle.problem(format!("Base= goes in a circle: {circle}"), "remove one of these Base="),
            );
        }
    }
    let base = path.get(1)?;
    (path.len() > 2).then(|| with_base(base))
}

fn with_base(base: &str) -> Problem {
    Code::Combination
        .problem(format!("{base}.image has a Base= itself, so it cannot be a base"), "write its Base= here")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pull_stamp_has_all_settings_of_the_import_in_its_name() {
        let image = |source: &str, mode, pull| {
            let source = source.parse().unwrap();
            implicit_image(&source, "x", mode, pull)
        };
        let plain = Installers::default();
        let of = |image: &Image| mark(image, &plain);
        let auto = |pull| image("oci:/srv/a-b", ModeSetting::Auto, pull);
        assert_eq!(of(&auto(Pull::Missing)).as_deref(), Some(r"for-oci:-srv-a\x2db"));
        assert_eq!(
            (of(&auto(Pull::Never)), of(&auto(Pull::Always)), of(&auto(Pull::Newer))),
            (of(&auto(Pull::Missing)), None, None)
        );
        // The name of a source cannot be mistaken for another setting.
        let other = image("oci:/srv/a-b", ModeSetting::App, Pull::Missing);
        assert_eq!(of(&other).as_deref(), Some(r"for-oci:-srv-a\x2db@App"));
        assert_ne!(of(&image("oci:/srv/a-b@App", ModeSetting::Auto, Pull::Missing)), of(&other));
        let platform = PlatformSetting { architecture: Some("arm64".into()), variant: None };
        assert_eq!(of(&Image { platform, ..other.clone() }).as_deref(), Some(r"for-oci:-srv-a\x2db@App@arm64"));
        // The installation commands only matter for images in which packages may be installed.
        let own = Installers { own: [(crate::config::values::install::Family::Arch, "true".to_owned())].into() };
        assert_eq!(mark(&other, &own), of(&other));
        assert_ne!(mark(&auto(Pull::Missing), &own), of(&auto(Pull::Missing)));
        assert_eq!(of(&image(&format!("oci:/{}", "-".repeat(80)), ModeSetting::Auto, Pull::Missing)), None);
    }
}
