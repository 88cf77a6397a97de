// SPDX-License-Identifier: MIT
//! Manual pages: those of the verbs are made from the definition of the command line, those of the
//! file types from the key table.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, Command};
use roff::{Inline, Roff, bold, italic, roman};

use super::{complete, examples};
use crate::config::keys::{FileType, Key, Kind, Status, keys};

/// Writes all pages to `directory/man`, and the completion scripts of the shells to
/// `directory/completions`.
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

/// All pages, by their file names.
///
/// # Errors
/// None in practice, because the pages are written to memory.
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
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let words = name.replace('-', " ");
    let words = words.strip_prefix("sdme gen").unwrap_or(&words).trim();
    let is_top = words.is_empty();
    let synopsis = synopsis(&command, &format!("sdme-gen {words}"));
    let has_options = command.get_arguments().any(|argument| !argument.is_hide_set());
    let has_verbs = command.get_subcommands().any(|verb| !verb.is_hide_set());
    let page =
        clap_mangen::Man::new(command).manual("sdme-gen").source(concat!("sdme-gen ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render_title(&mut text).and_then(|()| page.render_name_section(&mut text)).context("cannot render a page")?;
    text.extend(synopsis.to_roff().bytes());
    if is_top {
        text.extend(tool().to_roff().bytes());
    } else {
        page.render_description_section(&mut text).context("cannot render a page")?;
    }
    if has_options {
        page.render_options_section(&mut text).context("cannot render a page")?;
    }
    if has_verbs {
        page.render_subcommands_section(&mut text).context("cannot render a page")?;
    }
    let mut text = String::from_utf8(text).context("cannot render a page")?;
    let mut end = Roff::new();
    exit_status(&mut end);
    if is_top {
        end.control("SH", ["ENVIRONMENT"]);
        item(&mut end, "NO_COLOR", "If it is set and not empty, output has no colours (https://no-color.org).");
        item(&mut end, "COLUMNS", "The width of tables; without it, the width of the terminal.");
    }
    files(&mut end, if is_top { &FILES } else { FILES.get(..2).unwrap_or_default() });
    let examples: Vec<_> = if is_top {
        ["new", "ps", "exec", "logs", "update"].iter().flat_map(|verb| examples::of(verb)).collect()
    } else {
        examples::of(words)
    };
    example_lines(&mut end, &examples);
    text += &end.to_roff();
    text += &see_also(&["sdme-gen(1)", "sdme.container(5)", "sdme.conf(5)", "sdme-generator(8)", "systemd-nspawn(1)"])
        .to_roff();
    all.push((page.get_filename(), text));
    Ok(())
}

/// The files and directories of the section FILES, with their content.
const FILES: [(&str, &str); 8] = [
    (
        "/etc/sdme, /run/sdme, /usr/share/sdme",
        "Configuration files; for each name, the first directory that has it counts.",
    ),
    ("/etc/sdme/sdme.conf", "Defaults of all containers and images: sdme.conf(5)."),
    ("/etc/sdme/sdme.lock", "Digests that images are held to, if sdme-gen lock has written them."),
    ("/var/lib/sdme/store, /var/lib/sdme/layers", "Imported images."),
    ("/var/lib/sdme/containers/NAME", "What the container NAME has changed of its files."),
    ("/var/lib/sdme/volumes/NAME", "The content of the volume NAME."),
    ("/run/sdme/started", "Copies of the units of what runs."),
    ("/run/systemd/nspawn/NAME.nspawn", "Settings of systemd-nspawn, written at every start."),
];

/// Adds an item of a list: a term and its description.
fn item(out: &mut Roff, term: &str, text: &str) {
    out.control("TP", []).text([bold(term)]).text([roman(text)]);
}

fn files(out: &mut Roff, files: &[(&str, &str)]) {
    out.control("SH", ["FILES"]);
    for (path, what) in files {
        out.control("TP", []).text([italic(*path)]).text([roman(*what)]);
    }
}

fn exit_status(out: &mut Roff) {
    out.control("SH", ["EXIT STATUS"]);
    item(out, "0", "The verb has done what it was asked for.");
    item(out, "1", "It has failed, or has found a problem; standard error names the cause.");
    item(out, "2", "The command line is invalid.");
}

fn example_lines(out: &mut Roff, examples: &[(&str, &str)]) {
    out.control("SH", ["EXAMPLES"]);
    for (line, what) in examples {
        item(out, line, &format!("{what}."));
    }
}

/// The command line with the names of the values, for the section SYNOPSIS.
fn synopsis(command: &Command, words: &str) -> Roff {
    let mut line = vec![bold(words.trim())];
    let shown = || command.get_arguments().filter(|argument| !argument.is_hide_set());
    for argument in shown().filter(|argument| !argument.is_positional()) {
        let name = argument
            .get_long()
            .map_or_else(|| format!("-{}", argument.get_short().unwrap_or_default()), |long| format!("--{long}"));
        line.extend([roman(" ["), bold(name)]);
        if argument.get_action().takes_values() {
            line.extend([roman(" "), italic(values(argument))]);
        }
        let repeats = matches!(argument.get_action(), ArgAction::Append);
        line.push(roman(if repeats { "]..." } else { "]" }));
    }
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        line.extend([roman(" "), italic("VERB"), roman(" ...")]);
    }
    for argument in shown().filter(|argument| argument.is_positional()) {
        let several = argument.get_num_args().is_some_and(|count| count.max_values() > 1);
        let name = values(argument) + if several { "..." } else { "" };
        let separator = if argument.is_last_set() { "-- " } else { "" };
        if argument.is_required_set() {
            line.extend([roman(" "), italic(name)]);
        } else {
            line.extend([roman(format!(" [{separator}")), italic(name), roman("]")]);
        }
    }
    let mut out = Roff::new();
    out.control("SH", ["SYNOPSIS"]).text(line);
    out
}

/// The names of an argument's values. For a list of names, the name of a single value.
fn values(argument: &Arg) -> String {
    let written = argument.get_value_names().unwrap_or_default();
    let names: Vec<&str> = written
        .iter()
        .map(|name| match name.as_str() {
            "NAMES" => "NAME",
            "CONTAINERS" => "CONTAINER",
            "FILES" => "FILE",
            name => name,
        })
        .collect();
    names.join(" ")
}

/// The description of the whole tool.
fn tool() -> Roff {
    let mut out = Roff::new();
    out.control("SH", ["DESCRIPTION"]);
    out.text([roman(
        "sdme-gen runs OCI images and clones of the host as systemd-nspawn containers. Each container is a file NAME.container and \
         becomes the unit systemd-nspawn@NAME.service, which systemd starts, stops and restarts. sdme-generator(8) makes the units \
         of the files at boot and at systemctl daemon-reload.",
    )]);
    paragraphs(
        &mut out,
        &[
            "The verbs write and check such files, show what they become, import and update images, and look into containers. To start, \
             stop or restart a container, run systemctl: systemctl start systemd-nspawn@NAME.",
            "If a container does not start, sdme-gen ps shows the cause in a line, sdme-gen logs NAME what the application has printed, and \
             systemctl status systemd-nspawn@NAME what the service manager knows.",
        ],
    );
    out
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

/// The title and the description of the page about a file type.
fn about(file_type: FileType) -> (&'static str, &'static str) {
    match file_type {
        FileType::Container => (
            "container configuration",
            "A file NAME.container describes the container NAME. It becomes the unit systemd-nspawn@NAME.service. Before \
             each start, that unit runs sdme-gen prepare, which mounts the layers of the container on each other by \
             overlayfs. Without Image= the container is a clone of the host.",
        ),
        FileType::Image => (
            "image configuration",
            "A file NAME.image says where an image comes from and how it is used. It becomes the unit \
             sdme-image@NAME.service, which imports the image if it is missing. A container that needs the image starts \
             that unit.",
        ),
        FileType::Pod => (
            "pod configuration",
            "A file NAME.pod describes a network that containers share. It becomes the units sdme-pod@NAME.service, the \
             network, sdme-pod@NAME.target, the pod with its containers, and a socket and a service for each published port.",
        ),
        FileType::Network => (
            "network configuration",
            "A file NAME.network describes a network with a name, whose members find each other by their names. It becomes \
             the unit sdme-network@NAME.service, which makes a bridge; Network=NAME.network connects a container or a pod.",
        ),
        FileType::Volume => (
            "volume configuration",
            "A file NAME.volume describes a named volume, which Volume=NAME.volume:PATH in a container mounts. Its content \
             remains when the containers that use it are removed.",
        ),
        FileType::Defaults => (
            "defaults of containers and images",
            "The file sdme.conf has the defaults of all containers and images of a machine.",
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
            "Quotes, escapes and continuation lines are those of unit files (systemd.syntax(7)). Assignments of a key that \
             takes words add up, and an empty assignment removes those before it; of any other key the last assignment \
             counts. If several directories have a file of one name, the first directory counts; an empty file or a link \
             to /dev/null masks the files of later directories. Drop-ins in NAME.TYPE.d and TYPE.d add to a file.",
            "An unknown key or an invalid value is an error, and the file is not used. sdme-gen check reports all errors. \
             After a change, run systemctl daemon-reload.",
        ],
    );
    out.control("SH", [format!("[{}] SECTION OPTIONS", file_type.section().to_uppercase()).as_str()]);
    let all = keys(file_type);
    let mut shown: Vec<&Key> = all.iter().filter(|k| !matches!(k.status, Status::Never(_))).collect();
    // The other keys stay in the order of the table, which keeps related keys together.
    shown.sort_by_key(|key| FIRST_KEYS.iter().position(|name| key.name == *name).unwrap_or(FIRST_KEYS.len()));
    for key in shown {
        describe(&mut out, key);
    }
    let never = all.iter().filter_map(|k| if let Status::Never(why) = k.status { Some((k.name, why)) } else { None });
    let never: Vec<_> = never.collect();
    if !never.is_empty() {
        out.control("SH", ["KEYS OF QUADLET THAT ARE REFUSED"]);
        for (name, instead) in never {
            out.control("TP", []).text([bold(format!("{name}="))]).text([roman(capitalised(instead))]);
        }
    }
    other_sections(&mut out, file_type);
    units(&mut out, file_type);
    files(&mut out, &FILES);
    out.control("SH", ["EXAMPLES"]);
    out.control("PP", []).text([italic(format!("/etc/sdme/{}", example(file_type).0))]);
    // `nf` keeps the lines of the example as they are.
    out.control("PP", []).control("nf", []).text([roman(example(file_type).1)]).control("fi", []);
    out.to_roff() + &see_also(&["sdme-gen(1)", "systemd.syntax(7)", "systemd.unit(5)", "systemd.nspawn(5)"]).to_roff()
}

/// The keys that a page begins with: those that most files use.
const FIRST_KEYS: [&str; 22] = [
    "Image",
    "Base",
    "Exec",
    "Entrypoint",
    "Environment",
    "EnvironmentFile",
    "Secret",
    "Volume",
    "Mount",
    "Network",
    "PublishPort",
    "Pod",
    "User",
    "Group",
    "WorkingDir",
    "UserNS",
    "ReadOnly",
    "Memory",
    "PidsLimit",
    "Notify",
    "HealthCmd",
    "AutoUpdate",
];

fn describe(out: &mut Roff, key: &Key) {
    let kind = match key.kind {
        Kind::Text => String::new(),
        Kind::Flag => " Takes a boolean.".to_owned(),
        Kind::Choice(words) => format!(" Takes one of {}.", words.join(", ")),
        Kind::Words => " Takes words; several assignments add up.".to_owned(),
        Kind::Line => " Takes a command line; the last assignment counts.".to_owned(),
        Kind::Lines => " Several assignments add up.".to_owned(),
    };
    let quadlet = if key.quadlet { " Also a key of Quadlet." } else { "" };
    item(out, &format!("{}=", key.name), &format!("{}.{kind}{quadlet}", key.description()));
}

/// An example of each file type: its name and its content.
fn example(file_type: FileType) -> (&'static str, &'static str) {
    match file_type {
        FileType::Container => (
            "web.container",
            "[Container]\nImage=docker.io/library/nginx:1.27\nEnvironment=TZ=UTC\nVolume=site:/usr/share/nginx/html\n\
             Network=private\nPublishPort=8080:80\n\n[Install]\nWantedBy=multi-user.target",
        ),
        FileType::Image => ("debian.image", "[Image]\nImage=docker.io/library/debian:13\nMode=base"),
        FileType::Pod => ("shop.pod", "[Pod]\nNetwork=uplink\nPublishPort=8080:80"),
        FileType::Network => ("back.network", "[Network]\nSubnet=10.89.0.0/24\nInternal=yes"),
        FileType::Volume => ("data.volume", "[Volume]\nDevice=/dev/disk/by-label/data\nType=ext4"),
        FileType::Defaults => ("sdme.conf", "[Defaults]\nBaseFs=debian.image\nMirror=docker.io mirror.example.org"),
    }
}

/// Adds the units that a file becomes or that its unit needs.
fn units(out: &mut Roff, file_type: FileType) {
    let all: &[(&str, &str)] = match file_type {
        FileType::Container => &[
            ("systemd-nspawn@NAME.service", "The container."),
            ("sdme-image@IMAGE.service", "Imports an image that the container needs; one for each image."),
            ("sdme-pod@NAME.service", "The container's own network, if the file asks for one."),
            (
                "sdme-publish-NAME-PORT.socket, sdme-publish-NAME-PORT.service",
                "A published port: the socket that listens, and its proxy.",
            ),
            (
                "sdme-oci-app.service",
                "Inside of the container: the application. sdme-oci-app-health.timer checks its health.",
            ),
        ],
        FileType::Image => &[
            ("sdme-image@NAME.service", "Imports the image."),
            ("sdme-download@NAME.service", "Downloads a new version for sdme-gen update."),
        ],
        FileType::Pod => &[
            ("sdme-pod@NAME.service", "The network of the pod."),
            ("sdme-pod@NAME.target", "The pod with its containers."),
            (
                "sdme-publish-NAME-PORT.socket, sdme-publish-NAME-PORT.service",
                "A published port: the socket that listens, and its proxy.",
            ),
        ],
        FileType::Network => &[("sdme-network@NAME.service", "The bridge of the network.")],
        FileType::Volume => &[("var-lib-sdme-volumes-NAME.mount", "The mount of a volume with Device=.")],
        FileType::Defaults => return,
    };
    out.control("SH", ["UNITS"]);
    for (unit, what) in all {
        item(out, unit, what);
    }
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
                "Settings of the unit on the host (systemd.unit(5)). A setting that takes units also takes files: \
                 Requires=db.container, After=web.pod."
            }
            "Service" => {
                "Settings of the service on the host (systemd.service(5), systemd.resource-control(5)): limits, restarts, commands before and after."
            }
            "App" => "Settings of the application's service inside of the container, sdme-oci-app.service.",
            _ => {
                "WantedBy=, RequiredBy= and UpheldBy= name the units that start this one. They take effect at once: generated \
                 units need no systemctl enable, which refuses them."
            }
        };
        out.control("TP", []).text([bold(format!("[{section}]"))]).text([roman(text)]);
    }
    if file_type == FileType::Container {
        out.control("TP", []).text([bold("[Container NAME], [App NAME]")]);
        out.text([roman("Settings of the application NAME, if the container has several applications.")]);
    }
}

fn generator() -> String {
    let mut out = heading("sdme-generator", "8", "systemd generator for containers");
    let path = "/usr/lib/systemd/system-generators/sdme-generator";
    out.control("SH", ["SYNOPSIS"]).text([italic(path), roman(" NORMAL-DIR [EARLY-DIR LATE-DIR]")]);
    out.control("SH", ["DESCRIPTION"]).text([roman(
        "systemd runs this program at boot and at systemctl daemon-reload. It reads the files described in \
         sdme.container(5), sdme.image(5), sdme.pod(5), sdme.network(5), sdme.volume(5) and sdme.conf(5), and writes units, \
         drop-ins and links into NORMAL-DIR. It starts no process and waits for nothing.",
    )]);
    paragraphs(
        &mut out,
        &[
            "A file with an error becomes a unit that fails to start, and systemctl status shows the error. Other files are not \
             affected. The generator writes all errors to the kernel log, which the journal includes.",
            "sdme-gen render shows what the generator writes. sdme-gen apply writes the same units to /etc/systemd/system, \
             where they take precedence over generated ones.",
        ],
    );
    out.control("SH", ["ENVIRONMENT"]).control("TP", []).text([bold("SDME_UNIT_DIRS")]);
    out.text([roman("Directories to read configuration from, separated by colons, instead of the default ones. For each name, the first \
         directory that has it counts.")]);
    files(&mut out, FILES.get(..2).unwrap_or_default());
    out.control("SH", ["EXIT STATUS"]).text([roman(
        "0 on success, also if files have errors; 1 if units cannot be written; 2 if the command line is invalid.",
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
