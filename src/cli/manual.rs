// SPDX-License-Identifier: MIT
//! Manual pages: of the verbs from the command line's definition, of the file types from the key table.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Command;
use roff::{Inline, Roff, bold, italic, roman};

use super::complete;
use crate::config::keys::{FileType, Key, Kind, Status, keys};

/// Writes all pages into `directory/man`, and what shells complete with into `directory/completions`.
///
/// # Errors
/// A file cannot be written.
pub fn write(command: Command, directory: &Path) -> Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    for directory in [&man, &completions] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let put = |path: &Path, content: &[u8]| {
        fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    for (name, page) in pages(command)? {
        put(&man.join(name), page.as_bytes())?;
    }
    for (name, script) in complete::scripts().context("cannot write the scripts for shells")? {
        put(&completions.join(name), &script)?;
    }
    Ok(())
}

/// All pages with their file names.
///
/// # Errors
/// None in practice: they are written to memory.
pub fn pages(command: Command) -> Result<Vec<(String, String)>> {
    let mut command = command.version(env!("CARGO_PKG_VERSION"));
    command.build();
    let mut all = Vec::new();
    verbs(command, &mut all)?;
    all.extend(FileType::ALL.map(|t| (format!("{}.5", page_name(t)), file_type(t))));
    all.push(("sdme-generator.8".to_owned(), generator()));
    Ok(all)
}

fn verbs(command: Command, all: &mut Vec<(String, String)>) -> Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        verbs(verb.clone(), all)?;
    }
    let page =
        clap_mangen::Man::new(command).manual("sdme-gen").source(concat!("sdme-gen ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render(&mut text).context("cannot render a page")?;
    let mut text = String::from_utf8(text).context("cannot render a page")?;
    text += &see_also(&["sdme.container(5)", "sdme.conf(5)", "sdme-generator(8)", "systemd-nspawn(1)"]).to_roff();
    all.push((page.get_filename(), text));
    Ok(())
}

fn page_name(file_type: FileType) -> String {
    format!("sdme.{}", file_type.extension())
}

fn heading(page: &str, section: &str, what: &str) -> Roff {
    let mut out = Roff::new();
    out.control("TH", [page, section, "", concat!("sdme-gen ", env!("CARGO_PKG_VERSION")), "sdme-gen"]);
    out.control("SH", ["NAME"]).text([roman(format!("{page} - {what}"))]);
    out
}

fn see_also(pages: &[&str]) -> Roff {
    let mut out = Roff::new();
    out.control("SH", ["SEE ALSO"]);
    let mut line: Vec<Inline> = Vec::new();
    for page in pages {
        let (name, section) = page.split_once('(').unwrap_or((page, ""));
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(name), roman(format!("({section}"))]);
    }
    out.text(line);
    out
}

fn paragraphs(out: &mut Roff, text: &[&str]) {
    for paragraph in text {
        out.control("PP", []).text([roman(*paragraph)]);
    }
}

/// What a file of each type is.
fn about(file_type: FileType) -> (&'static str, &'static str) {
    match file_type {
        FileType::Container => (
            "container configuration",
            "A file NAME.container describes the container NAME. It becomes the unit systemd-nspawn@NAME.service, with an \
             overlay mount for its root and a service that prepares its layers. Without Image= the container is a clone \
             of the host.",
        ),
        FileType::Image => (
            "image configuration",
            "A file NAME.image says where an image comes from and how it is used. It becomes the unit \
             sdme-image@NAME.service, which pulls the image if it is missing; containers that need it start it.",
        ),
        FileType::Pod => (
            "pod configuration",
            "A file NAME.pod describes a network that containers share. It becomes the units sdme-pod@NAME.service, the \
             network, sdme-pod@NAME.target, the pod with its containers, and a socket for each published port.",
        ),
        FileType::Network => (
            "network configuration",
            "A file NAME.network describes a network with a name, whose members find each other by their names. It becomes \
             the unit sdme-network@NAME.service, which makes a bridge; Network=NAME.network connects a container or a pod.",
        ),
        FileType::Volume => (
            "volume configuration",
            "A file NAME.volume describes a named volume, which Volume=NAME.volume:PATH in a container mounts. What is in \
             it outlives the containers that use it.",
        ),
        FileType::Defaults => (
            "defaults of containers and images",
            "The file sdme.conf holds what is the same for all containers and images of a machine.",
        ),
    }
}

fn file_type(file_type: FileType) -> String {
    let page = page_name(file_type);
    let (what, about) = about(file_type);
    let mut out = heading(&page, "5", what);
    out.control("SH", ["SYNOPSIS"]);
    let stem = if file_type == FileType::Defaults { "sdme" } else { "NAME" };
    let file = format!("{stem}.{}", file_type.extension());
    for directory in crate::paths::CONFIG_DIRECTORIES {
        out.text([italic(format!("{directory}/{file}"))]).control("br", []);
    }
    out.text([italic(format!("/etc/sdme/{file}.d/*.conf"))]);
    out.control("SH", ["DESCRIPTION"]).text([roman(about)]);
    paragraphs(
        &mut out,
        &[
            "Files are read as unit files are (systemd.syntax(7)): quotes, escapes, continuation lines. Keys that take \
             words add up, an empty assignment starts over; of others the last assignment counts. For each name the \
             first directory that has it counts; an empty file, or a link to /dev/null, masks those after it. Drop-ins \
             in NAME.TYPE.d and TYPE.d add to a file.",
            "A key that is unknown, or whose value cannot be read, is an error of its file, never ignored: sdme-gen check \
             names all of them. After a change, run systemctl daemon-reload.",
        ],
    );
    out.control("SH", [format!("[{}] SECTION OPTIONS", file_type.section().to_uppercase()).as_str()]);
    let all = keys(file_type);
    for key in all.iter().filter(|k| !matches!(k.status, Status::Never(_))) {
        describe(&mut out, key);
    }
    let never = all.iter().filter_map(|k| if let Status::Never(why) = k.status { Some((k.name, why)) } else { None });
    let never: Vec<_> = never.collect();
    if !never.is_empty() {
        out.control("SH", ["KEYS OF QUADLET WITHOUT A PLACE HERE"]);
        for (name, instead) in never {
            out.control("TP", []).text([bold(format!("{name}="))]).text([roman(capitalised(instead))]);
        }
    }
    other_sections(&mut out, file_type);
    out.to_roff() + &see_also(&["sdme-gen(1)", "systemd.syntax(7)", "systemd.unit(5)", "systemd.nspawn(5)"]).to_roff()
}

fn describe(out: &mut Roff, key: &Key) {
    let kind = match key.kind {
        Kind::Text => "text".to_owned(),
        Kind::Flag => "a boolean".to_owned(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Words => "words, which add up".to_owned(),
        Kind::Line => "a command line; the last one counts".to_owned(),
        Kind::Lines => "a text each, which add up".to_owned(),
    };
    let quadlet = if key.quadlet { " As in Quadlet." } else { "" };
    out.control("TP", []).text([bold(format!("{}=", key.name))]);
    out.text([roman(format!("{}. Takes {kind}.{quadlet}", key.help))]);
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn other_sections(out: &mut Roff, file_type: FileType) {
    if file_type.passed_through().is_empty() {
        return;
    }
    out.control("SH", ["OTHER SECTIONS"]);
    for section in file_type.passed_through() {
        let text = match *section {
            "Unit" => {
                "Goes to the unit. Where a setting names units, files can be named, too: Requires=db.container, \
                 After=web.pod."
            }
            "Service" => "Goes to the service on the host: limits, restarts, start-up and clean-up commands.",
            "App" => "Goes to the service of the application inside the container, sdme-oci-app.service.",
            _ => {
                "WantedBy=, RequiredBy= and UpheldBy= start it together with other units. systemctl enable does not work \
                 on generated units, and is not needed."
            }
        };
        out.control("TP", []).text([bold(format!("[{section}]"))]).text([roman(text)]);
    }
    if file_type == FileType::Container {
        out.control("TP", []).text([bold("[Container NAME], [App NAME]")]);
        out.text([roman("Settings for the application NAME, where the container has several.")]);
    }
}

fn generator() -> String {
    let mut out = heading("sdme-generator", "8", "systemd generator for containers");
    let path = "/usr/lib/systemd/system-generators/sdme-generator";
    out.control("SH", ["SYNOPSIS"]).text([italic(path), roman(" NORMAL-DIR [EARLY-DIR LATE-DIR]")]);
    out.control("SH", ["DESCRIPTION"]).text([roman(
        "systemd runs this program at boot and at systemctl daemon-reload. It reads the files described in \
         sdme.container(5), sdme.image(5), sdme.pod(5), sdme.volume(5) and sdme.conf(5), and writes units, drop-ins and \
         links into NORMAL-DIR. It reads nothing else, starts nothing and waits for nothing.",
    )]);
    paragraphs(
        &mut out,
        &[
            "A file that cannot be used becomes a unit that fails to start, with the reason in systemctl status. Its \
             neighbours are not affected. All problems are in the kernel log, and thereby in the journal.",
            "sdme-gen render shows what it writes. sdme-gen apply writes the same as static units to /etc/systemd/system, \
             where they take precedence.",
        ],
    );
    out.control("SH", ["ENVIRONMENT"]).control("TP", []).text([bold("SDME_UNIT_DIRS")]);
    out.text([roman("Directories to read in place of the usual ones, separated by colons; the first one wins.")]);
    out.control("SH", ["EXIT STATUS"]).text([roman(
        "0, unless units cannot be written at all (1) or the command line is wrong (2). Problems of files do not count.",
    )]);
    out.to_roff()
        + &see_also(&["sdme-gen(1)", "sdme-gen-render(1)", "sdme-gen-check(1)", "systemd.generator(7)"]).to_roff()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_verb_and_every_key_has_its_place() {
        let command = super::super::command();
        let all = pages(command.clone()).unwrap();
        let page = |name: &str| &all.iter().find(|(n, _)| n == name).unwrap().1;
        for verb in command.get_subcommands().filter(|v| !v.is_hide_set()) {
            let text = page(&format!("sdme-gen-{}.1", verb.get_name()));
            assert!(text.contains(".SH OPTIONS"), "{}", verb.get_name());
            for argument in verb.get_arguments().filter(|a| !a.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{} {}", verb.get_name(), argument.get_id());
            }
        }
        for file_type in FileType::ALL {
            let text = page(&format!("{}.5", page_name(file_type)));
            for key in keys(file_type) {
                assert!(text.contains(&format!("{}=", key.name)), "{}", key.name);
            }
        }
        assert!(page("sdme-generator.8").contains("NORMAL\\-DIR"));
    }
}
