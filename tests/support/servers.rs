// SPDX-License-Identifier: MIT
//! Small servers in place of real images: each listens on the ports of the image that it replaces,
//! and answers with its name.
#![allow(dead_code, clippy::unwrap_used, reason = "not every test uses all of it")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::host::Host;
use super::layout::tagged;
use super::{registry, repo, run};

/// Fills a registry of the host, which takes the place of docker.io, with one image for each pair
/// of an image name and the ports that the image listens on, such as `80/tcp 53/udp`. `programs`
/// are additional names of the client program.
pub fn serve(host: &Host, outside: &Path, images: &[(&str, &str)], programs: &[&str]) {
    let root = outside.join("root");
    files(&root, programs);
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", &root).unwrap();
    let archive = archive.into_inner().unwrap();
    let config = |(image, ports): &(&str, &str)| {
        let probe = ports.split('/').next().unwrap();
        let name = image.split(':').next().unwrap();
        let environment =
            [format!("PORTS={ports}"), format!("NAME={name}"), format!("PROBE={probe}"), "PATH=/usr/bin".to_owned()];
        serde_json::json!({"Entrypoint": ["/usr/bin/serve"], "Env": environment})
    };
    let names: Vec<String> = (0..images.len()).map(|number| format!("image-{number}")).collect();
    let tags: Vec<_> = names.iter().zip(images).map(|(name, image)| (name.as_str(), config(image))).collect();
    let layout = tagged(&outside.join("layout"), &[archive], &tags);

    drop(registry::serve(host, outside));
    for (name, (image, _)) in names.iter().zip(images) {
        registry::push(host, &layout, name, &format!("library/{image}"));
    }
    host.write("/etc/sdme/sdme.conf", "[Defaults]\nMirror=docker.io 127.0.0.1:5000\n");
}

/// Writes the files of every image: the server, the client under all its names, and a shell for
/// health checks.
fn files(root: &Path, programs: &[&str]) {
    let bin = root.join("usr/bin");
    for directory in ["usr/bin", "etc", "tmp", "data", "run", "lib64"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let source = repo("tests/programs/serve.c");
    run(Command::new("gcc").args(["-O1", "-static", "-w", "-o"]).arg(bin.join("serve")).arg(source));
    for name in programs {
        symlink("serve", bin.join(name)).unwrap();
    }
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    // The shell and cat are dynamically linked; their libraries are at the paths where the loader
    // looks for them.
    for (from, to) in [("/bin/dash", "bin/sh"), ("/bin/cat", "bin/cat")] {
        let list = Command::new("ldd").arg(from).output().unwrap().stdout;
        let list = String::from_utf8(list).unwrap();
        let libraries = list.split_whitespace().filter(|word| word.starts_with('/'));
        for (from, to) in libraries.map(|path| (path, path.trim_start_matches('/'))).chain([(from, to)]) {
            let to = root.join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
    }
}

/// A published port: address, port on the host, port in the container, protocol.
pub type Published = (String, u16, u16, String);

/// The published ports of a `.container` or `.pod` file; a range yields each of its ports.
pub fn published(text: &str) -> Vec<Published> {
    let ports = text.lines().filter_map(|line| line.strip_prefix("PublishPort="));
    ports.flat_map(ports_of).collect()
}

fn ports_of(port: &str) -> Vec<Published> {
    let (places, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let mut places: Vec<&str> = places.split(':').collect();
    let (inner, outer) = (range(places.pop().unwrap()), range(places.pop().unwrap()));
    let address = places.pop().unwrap_or("127.0.0.1");
    outer.zip(inner).map(|(outer, inner)| (address.to_owned(), outer, inner, protocol.to_owned())).collect()
}

fn range(text: &str) -> std::ops::RangeInclusive<u16> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    first.parse().unwrap()..=last.parse().unwrap()
}

/// Requests a published port until the server answers; returns the name of the server and the port
/// that it listens on.
pub fn answer(host: &Host, (address, outer, _, protocol): &Published) -> (String, u16) {
    let answer = match protocol.as_str() {
        "udp" => host.wait(&format!("perl /srv/ask {address} {outer} | grep ."), 30),
        _ => host.wait_http(&format!("http://{address}:{outer}/"), 30),
    };
    let (name, port) = answer.trim().rsplit_once(' ').unwrap_or_default();
    (name.to_owned(), port.parse().unwrap_or_default())
}
