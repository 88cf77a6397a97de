// SPDX-License-Identifier: MIT
//! Examples of each verb, for the end of `--help` and the section EXAMPLES of the manual pages.

use std::fmt::Write as _;

use clap::Command;

/// A verb with its examples: command lines and their effects.
type Examples = (&'static str, &'static [(&'static str, &'static str)]);

/// The examples, by the words of the verbs.
const EXAMPLES: [Examples; 42] = [
    (
        "render",
        &[
            ("sdme-gen render web", "Show the units and settings of one container"),
            ("sdme-gen render --origin web", "The same, with the line of the configuration behind each line"),
            ("sdme-gen render --output /tmp/units", "Write all files to a new directory"),
        ],
    ),
    (
        "apply",
        &[
            ("sdme-gen apply --dry-run", "Show what would be written and removed"),
            ("sdme-gen apply --root /mnt/image", "Write static units into the tree of an image"),
        ],
    ),
    (
        "check",
        &[
            ("sdme-gen check", "Report the problems of all files"),
            ("sdme-gen check web", "Report those of web.container only"),
            ("sdme-gen check --security web", "Also show what the container may do"),
        ],
    ),
    (
        "graph",
        &[
            ("sdme-gen graph web", "Show the units of one container"),
            ("sdme-gen graph --dot web | dot -Tsvg >web.svg", "Draw them (Graphviz)"),
        ],
    ),
    (
        "create",
        &[
            (
                "sdme-gen create web --image docker.io/library/nginx:1.27 --publish 8080:80",
                "Write web.container; start nothing",
            ),
            (
                "sdme-gen create db --image docker.io/library/postgres:17 -v data:/var/lib/postgresql/data",
                "With a volume",
            ),
        ],
    ),
    (
        "new",
        &[
            (
                "sdme-gen new --detach web --image docker.io/library/nginx:1.27 -p 8080:80",
                "Write web.container and start it",
            ),
            ("sdme-gen new box", "Start a clone of the host and open a shell in it"),
        ],
    ),
    (
        "rm",
        &[
            ("sdme-gen rm --dry-run web", "Show what would be removed"),
            ("sdme-gen rm --force web", "Stop the container and remove its file and its changes"),
        ],
    ),
    (
        "diff",
        &[
            ("sdme-gen diff web", "Show what the application has changed of its files"),
            ("sdme-gen diff --all web", "Also show changes around the application"),
        ],
    ),
    (
        "inspect",
        &[
            ("sdme-gen inspect web", "Show everything that is known about a container"),
            ("sdme-gen inspect --json web | jq '.[0].mounts'", "Take its mounts from the JSON"),
        ],
    ),
    (
        "cp",
        &[
            ("sdme-gen cp web:/etc/nginx/nginx.conf .", "Copy a file to the current directory"),
            ("sdme-gen cp site/. web:/usr/share/nginx/html", "Copy the content of a directory into the application"),
            ("sdme-gen cp --chown www-data:www-data page.html web:/srv/", "Give the copy to a user of the image"),
        ],
    ),
    (
        "convert",
        &[
            ("sdme-gen convert quadlet /etc/containers/systemd", "Show the files that Quadlet files become"),
            ("sdme-gen convert --write compose", "Convert the Compose project of the current directory"),
        ],
    ),
    ("convert quadlet", &[("sdme-gen convert quadlet web.container data.volume", "Convert two files")]),
    (
        "convert run",
        &[("sdme-gen convert run docker run -d --name web -p 8080:80 nginx", "Show the file of a docker command line")],
    ),
    ("convert compose", &[("sdme-gen convert compose compose.yaml", "Show the files of a Compose project")]),
    ("convert kube", &[("sdme-gen convert kube manifests", "Show the files of all manifests of a directory")]),
    ("export", &[("sdme-gen export kube --output manifests", "Write manifests of Kubernetes to a directory")]),
    ("export kube", &[("sdme-gen export kube web", "Show the objects of one container")]),
    (
        "config",
        &[
            ("sdme-gen config get", "Show what sdme.conf sets"),
            ("sdme-gen config set BaseFs debian.image", "Set the operating system below all applications"),
        ],
    ),
    ("config get", &[("sdme-gen config get BaseFs", "Show one value")]),
    (
        "config set",
        &[
            ("sdme-gen config set Mirror docker.io mirror.example.org", "Set a mirror of Docker Hub"),
            ("sdme-gen config set BaseFs", "Remove the assignment"),
        ],
    ),
    (
        "fs",
        &[
            ("sdme-gen fs ls", "List images"),
            ("sdme-gen fs import debian docker.io/library/debian:13 --base", "Import an operating system"),
        ],
    ),
    (
        "fs import",
        &[
            ("sdme-gen fs import nginx docker.io/library/nginx:1.27", "Import an application image"),
            ("sdme-gen fs import site oci:/srv/images/site", "Import an image layout of this machine"),
        ],
    ),
    ("fs pull", &[("sdme-gen fs pull nginx", "Ask the registry for a new version of the same tag")]),
    ("fs ls", &[("sdme-gen fs ls --json", "List images for a program")]),
    ("fs rm", &[("sdme-gen fs rm nginx", "Remove an image that no container uses")]),
    ("fs verify", &[("sdme-gen fs verify nginx", "Compare the files of an image with those of its import")]),
    ("pod", &[("sdme-gen pod new shop --publish 8080:80", "Write shop.pod with a published port")]),
    ("pod new", &[("sdme-gen pod new shop --uplink", "Write a pod whose members reach other machines")]),
    ("pod ls", &[("sdme-gen pod ls", "List pods with their members and ports")]),
    ("pod rm", &[("sdme-gen pod rm shop", "Remove a pod without members")]),
    ("network", &[("sdme-gen network new back --internal", "Write a network without a way out")]),
    ("network new", &[("sdme-gen network new front --subnet 10.89.0.0/24", "Write a network with these addresses")]),
    ("network ls", &[("sdme-gen network ls", "List networks with their members")]),
    ("network rm", &[("sdme-gen network rm front", "Remove a network without members")]),
    ("volume", &[("sdme-gen volume ls --unused", "List the volumes that no container uses")]),
    ("volume ls", &[("sdme-gen volume ls", "List volumes with the containers that use them")]),
    ("volume rm", &[("sdme-gen volume rm data", "Remove a volume with its content")]),
    (
        "ps",
        &[
            ("sdme-gen ps", "List all containers"),
            ("sdme-gen ps --format '{{.Names}} {{.Status}}'", "Choose the columns"),
        ],
    ),
    (
        "exec",
        &[
            ("sdme-gen exec web nginx -t", "Run a command beside the application"),
            ("sdme-gen exec -it web sh", "Open a shell in the application's root"),
            ("sdme-gen exec -u root -e DEBUG=1 web -- env", "As another user, with a variable"),
        ],
    ),
    (
        "logs",
        &[
            ("sdme-gen logs --follow web", "Show the log and new lines"),
            ("sdme-gen logs --since 10m --grep error web", "Lines of ten minutes that match"),
        ],
    ),
    (
        "update",
        &[
            ("sdme-gen update --check", "Report new versions"),
            ("sdme-gen update web", "Update the images of one container and restart it"),
        ],
    ),
    ("rollback", &[("sdme-gen rollback web", "Put the former version of its images back and restart it")]),
];

/// The examples of verbs that have only one.
const SIMPLE: [(&str, &str, &str); 6] = [
    ("restart", "sdme-gen restart --changed --dry-run", "Show what runs on older files or images"),
    ("stats", "sdme-gen stats web", "Show what a container uses"),
    ("metrics", "sdme-gen metrics", "Print values for a monitoring system"),
    ("join", "sdme-gen join web", "Open a shell in the container around the application"),
    ("lock", "sdme-gen lock --dry-run", "Show the digests that would be written"),
    ("prune", "sdme-gen prune --dry-run", "Show what would be removed"),
];

/// The examples of a verb, by its words without `sdme-gen`: command lines and their effects.
#[must_use]
pub fn of(verb: &str) -> Vec<(&'static str, &'static str)> {
    let long = EXAMPLES.iter().filter(|(name, _)| *name == verb).flat_map(|(_, examples)| examples.iter().copied());
    let short = SIMPLE.iter().filter(|(name, ..)| *name == verb).map(|(_, line, what)| (*line, *what));
    long.chain(short).collect()
}

/// Returns `command` with the examples of each verb at the end of its help.
#[must_use]
pub fn with_examples(command: Command) -> Command {
    add(command, "")
}

fn add(command: Command, above: &str) -> Command {
    let examples = of(above);
    let command = if examples.is_empty() { command } else { command.after_help(text(&examples)) };
    command.mut_subcommands(|verb| {
        let words = format!("{above} {}", verb.get_name());
        add(verb, words.trim_start())
    })
}

fn text(examples: &[(&str, &str)]) -> String {
    let mut out = "Examples:".to_owned();
    for (line, what) in examples {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n  {line}\n      {what}");
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ffi::OsString;

    use super::*;

    /// The words of an example, up to a pipe. Quoted words contain no quotes.
    fn words(line: &str) -> Vec<OsString> {
        let line = line.split(" | ").next().unwrap();
        let parts = line.split('\'').enumerate().flat_map(|(number, part)| {
            let quoted = number % 2 == 1;
            if quoted { vec![part] } else { part.split_whitespace().collect() }
        });
        parts.map(OsString::from).collect()
    }

    #[test]
    fn every_verb_has_examples_and_takes_them() {
        fn visit(command: &Command, above: &str) {
            for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
                let words = format!("{above} {}", verb.get_name());
                assert!(!of(words.trim_start()).is_empty(), "no example of{words}");
                visit(verb, &words);
            }
        }
        visit(&super::super::command(), "");
        let all = EXAMPLES.iter().flat_map(|(verb, examples)| examples.iter().map(move |(line, _)| (*verb, *line)));
        for (verb, line) in all.chain(SIMPLE.iter().map(|(verb, line, _)| (*verb, *line))) {
            let first = verb.split(' ').next().unwrap();
            assert!(line.split(' ').any(|word| word == first), "{line} is no example of {verb}");
            super::super::parse(words(line)).unwrap();
        }
    }
}
