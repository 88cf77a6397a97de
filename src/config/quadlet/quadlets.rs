// SPDX-License-Identifier: MIT
//! Files of Quadlet that do not describe exactly one unit: `.quadlets` files, which have several
//! units (podman-quadlet-install(1)), and files of types that are not read. Pure.

use crate::diag::Fault;

/// The extension of files with several units.
pub const EXTENSION: &str = "quadlets";

/// The sections that determine the type of a unit, in lower case. They are also the extensions of
/// the files.
const SECTIONS: [&str; 8] = ["container", "pod", "volume", "network", "image", "kube", "build", "artifact"];

/// Returns why a file of Quadlet with this extension is not read, and what to do. Returns none for
/// other extensions.
#[must_use]
pub fn unread(extension: &str) -> Option<Fault> {
    let (cause, remedy) = match extension {
        "kube" => ("files of Kubernetes do not run here", "convert the file that it names with sdme-gen convert kube"),
        "build" => ("images are not built here", "build the image elsewhere, and name it with Image="),
        "artifact" => ("artifacts are not pulled", "name an image with Image=, or mount a file with Volume="),
        _ => return None,
    };
    Some(Fault::new(format!("this file is not read: {cause}"), remedy))
}

/// Returns the names of the images that a `.build` file builds, as [`plain`] returns them
/// (podman-build.unit(5), `ImageTag=`).
#[must_use]
pub fn made(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let tags = text.lines().filter_map(|line| line.trim().strip_prefix("ImageTag")?.trim_start().strip_prefix('='));
    tags.map(|tag| plain(tag.trim()).to_owned()).collect()
}

/// Returns the name of an image without `localhost/` and `:latest`, which Podman adds to the names
/// of images that it has built.
#[must_use]
pub fn plain(image: &str) -> &str {
    let image = image.strip_prefix("localhost/").unwrap_or(image);
    image.strip_suffix(":latest").unwrap_or(image)
}

/// One unit of a `.quadlets` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name of the file that would describe only this unit.
    pub name: String,
    /// The line at which the unit begins in the `.quadlets` file, from 1.
    pub line: u32,
    /// The text of the unit, after one empty line for each line above it, so that the numbers of
    /// lines are those of the `.quadlets` file.
    pub text: Vec<u8>,
}

/// Splits a `.quadlets` file into its units, which are separated by lines `---`. Each part has a
/// comment `# FileName=NAME` with the name without extension, and a section that determines the
/// type. A file with only one unit needs no such comment: the default name is `stem`, the name of
/// the file.
///
/// # Errors
/// A part has no valid name or no section of Quadlet. The number is the line at which the part
/// begins, from 1.
#[must_use]
pub fn split(text: &[u8], stem: &str) -> Vec<Result<Part, (u32, Fault)>> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let mut parts: Vec<(usize, &[&[u8]])> = Vec::new();
    let mut start = 0;
    for part in lines.split(|line| line.trim_ascii() == b"---") {
        parts.push((start, part));
        start += part.len() + 1;
    }
    parts.retain(|(_, part)| part.iter().any(|line| !line.trim_ascii().is_empty()));
    let alone = parts.len() == 1;
    parts.into_iter().map(|(start, part)| unit(start, part, alone.then_some(stem))).collect()
}

/// Reads one part, above which are `start` lines. `stem` is the default name of the unit.
fn unit(start: usize, part: &[&[u8]], stem: Option<&str>) -> Result<Part, (u32, Fault)> {
    let blank = part.iter().take_while(|line| line.trim_ascii().is_empty()).count();
    let line = u32::try_from(start + blank + 1).unwrap_or(u32::MAX);
    let header = part.iter().find_map(|line| section(line));
    let Some(extension) = header else {
        let cause = "this part of a .quadlets file has no section of Quadlet";
        return Err((line, Fault::new(cause, "write [Container], [Pod], [Volume], [Network] or [Image]")));
    };
    let stem = match (part.iter().find_map(|line| file_name(line)), stem) {
        (Some(name), _) => name,
        (None, Some(stem)) => stem.to_owned(),
        (None, None) => {
            let remedy = "write # FileName=NAME into it, without an extension";
            return Err((line, Fault::new("this part of a .quadlets file has no name", remedy)));
        }
    };
    let known = stem.rsplit_once('.').is_some_and(|(_, end)| SECTIONS.contains(&end));
    if stem.is_empty() || stem.contains(['/', '\\']) || known {
        let cause = format!("FileName={stem} is not a name without a path and an extension");
        return Err((line, Fault::new(cause, "write # FileName=NAME")));
    }
    let mut text = b"\n".repeat(start);
    text.extend(part.join(&b'\n'));
    text.push(b'\n');
    Ok(Part { name: format!("{stem}.{extension}"), line, text })
}

/// Returns the extension for the header of a section.
fn section(line: &[u8]) -> Option<&'static str> {
    let name = line.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
    SECTIONS.into_iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Returns NAME from a comment `# FileName=NAME`.
fn file_name(line: &[u8]) -> Option<String> {
    let name = line.trim_ascii().strip_prefix(b"#")?.trim_ascii_start().strip_prefix(b"FileName=")?;
    Some(String::from_utf8_lossy(name.trim_ascii()).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn units_keep_their_names_and_lines() {
        let text = b"# FileName=web\n# the shop\n[Container]\nImage=x\n ---\n\n---\n\n#  FileName=data \n[Volume]\n---\n[Service]\n\
            ---\n[Network]\n---\n# FileName=a/b\n[Pod]\n---\n# FileName=web.container\n[Container]\n";
        let parts = split(text, "all");
        let found = |index: usize| parts.get(index).cloned().unwrap();
        let web = found(0).unwrap();
        assert_eq!((web.name.as_str(), web.line), ("web.container", 1));
        assert_eq!(web.text, b"# FileName=web\n# the shop\n[Container]\nImage=x\n");
        let data = found(1).unwrap();
        assert_eq!((data.name.as_str(), data.line), ("data.volume", 9));
        assert_eq!(data.text, b"\n\n\n\n\n\n\n\n#  FileName=data \n[Volume]\n");
        let errors: Vec<_> = parts.iter().skip(2).map(|part| part.clone().unwrap_err()).collect();
        let wanted =
            [(12, "no section"), (14, "no name"), (16, "FileName=a/b is not"), (19, "FileName=web.container is not")];
        assert_eq!(errors.len(), wanted.len());
        for ((line, fault), (at, text)) in errors.iter().zip(wanted) {
            assert!(*line == at && fault.cause.contains(text), "{line}: {fault}");
        }
        let alone = split(b"[kube]\nYaml=x\n", "app");
        assert_eq!(alone.first().unwrap().clone().unwrap().name, "app.kube");
        assert!(split(b"\n---\n", "x").is_empty());
    }
}
