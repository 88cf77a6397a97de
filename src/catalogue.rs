// SPDX-License-Identifier: MIT
//! The catalogue of diagnostics: a stable code, an example and a remedy for each kind. `docs/diagnostics.md` is made from
//! it. Pure.

/// A kind of diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The code; it keeps its meaning.
    pub code: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// Files that lead to it: names and texts. The first one is what the diagnostic is about.
    pub example: &'static [(&'static str, &'static str)],
    /// What messages of this kind contain; one of these is enough, and the first kind in the table that has one counts.
    parts: &'static [&'static str],
}

/// The kind of a message.
#[must_use]
pub fn kind(message: &str) -> &'static Kind {
    // What a problem of another file is quoted for is said before the quote.
    let found = KINDS.iter().find(|kind| kind.parts.iter().any(|part| message.contains(part)));
    found.unwrap_or(&VALUE)
}

/// All kinds, in the order of their codes.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    let mut all: Vec<&Kind> = KINDS.iter().chain([&VALUE]).collect();
    all.sort_by_key(|kind| kind.code);
    all.into_iter()
}

const WEB: &str = "web.container";

/// Whatever is wrong with one value, and none of the others.
const VALUE: Kind = Kind {
    code: "S301",
    title: "A value that cannot be read",
    remedy: "Write a value of the kind that the message names. `docs/keys.md` and sdme.container(5) say what each key takes.",
    example: &[(WEB, "[Container]\nTimezone=Middle of Europe\n")],
    parts: &[],
};

/// In the order of matching: a message that quotes another problem belongs to the first kinds.
const KINDS: [Kind; 37] = [
    Kind {
        code: "S402",
        title: "What a file relies on cannot be used",
        remedy: "Mend the other file, whose own problem follows in the message. This one is fine.",
        example: &[
            (WEB, "[Container]\nImage=nginx.image\n"),
            ("nginx.image", "[Image]\nImage=nginx\nPolicy=sometimes\n"),
        ],
        parts: &[
            " cannot be used: ",
            "is not known, write Base= here or mend",
            "is not known; mend",
            ", whose network it joins, cannot",
        ],
    },
    Kind {
        code: "S101",
        title: "A file that cannot be read",
        remedy: "Make it a regular text file of at most 1 MiB. To switch a file off, make it empty or a link to `/dev/null`.",
        example: &[(WEB, "")],
        parts: &[
            "this cannot be read",
            "this is a directory",
            "this is not a regular file",
            "leads nowhere",
            "are too many for a configuration file",
        ],
    },
    Kind {
        code: "S102",
        title: "A file that is not text",
        remedy: "Save it as UTF-8, without control characters. The line is the first one that is not.",
        example: &[(WEB, "[Container]\nEnvironment=GREETING=\u{7}\n")],
        parts: &["not UTF-8 text", "does not look like a text file"],
    },
    Kind {
        code: "S103",
        title: "A file that is not read",
        remedy: "Do what the message says: rename a file whose name is nearly right or is taken, and write other files for kinds of \
            Quadlet that are not read.",
        example: &[("web.contaner", "[Container]\n")],
        parts: &["this file is not read; "],
    },
    Kind {
        code: "S104",
        title: "A file's name that cannot be the name of what it describes",
        remedy: "Rename the file: the name becomes a host name, and part of the names of units.",
        example: &[("-web.container", "[Container]\n")],
        parts: &["cannot be the name of", "name is a host name", "file name has letters", "the name of a template"],
    },
    Kind {
        code: "S201",
        title: "A section's header that is none",
        remedy: "Write the section's name in brackets, alone on its line.",
        example: &[(WEB, "[Container\nImage=nginx\n")],
        parts: &["invalid section header"],
    },
    Kind {
        code: "S202",
        title: "A line that is no assignment",
        remedy: "Write KEY=VALUE below a section. A line that belongs to the one before it needs a backslash there.",
        example: &[(WEB, "[Container]\nImage nginx\n")],
        parts: &["not an assignment", "no key before the =", "stands before any section"],
    },
    Kind {
        code: "S203",
        title: "A section that is unknown",
        remedy: "Write the section that the message suggests. Sections for other programs begin with `X-`.",
        example: &[(WEB, "[Containr]\nImage=nginx\n")],
        parts: &["unknown section"],
    },
    Kind {
        code: "S204",
        title: "A key that is unknown",
        remedy: "Write the key that the message suggests, or put it into the section it names.",
        example: &[(WEB, "[Container]\nImge=nginx\n")],
        parts: &["unknown key", "podman has no "],
    },
    Kind {
        code: "S205",
        title: "A key that is known, but not supported",
        remedy: "Use what the message names in its place, or remove the key. It is never ignored silently.",
        example: &[(WEB, "[Container]\nImage=nginx\nRootfs=/srv/web\n")],
        parts: &["not supported here"],
    },
    Kind {
        code: "S206",
        title: "Quotes or escapes that do not end",
        remedy: "Close the quote; write `\\\\` for a backslash. The rules are systemd's (systemd.syntax(7)).",
        example: &[(WEB, "[Container]\nImage=nginx\nExec=sh -c \"echo hello\n")],
        parts: &["behind the closing quote", "the quote ", "escape sequence"],
    },
    Kind {
        code: "S303",
        title: "An image reference that cannot be read",
        remedy: "Write a reference such as `docker.io/library/nginx:1.27`, one of the transports in `docs/images.md` with an \
                 absolute path, or the name of an `.image` file.",
        example: &[(WEB, "[Container]\nImage=Nginx\n")],
        parts: &[
            "does not say what it is",
            "write oci:/PATH",
            "write rootfs:/PATH",
            "invalid image reference",
            "invalid tag in",
            "invalid digest in",
            "invalid registry host",
            "an image cannot be another image",
            "images are not built here; build",
            "no Image= in [Image]",
            "is too long for a unit name",
            "is no platform",
        ],
    },
    Kind {
        code: "S601",
        title: "Two files claim one thing",
        remedy: "Change one of the two. The file whose name comes first keeps what both want.",
        example: &[
            ("b.container", "[Container]\nImage=nginx\nNetwork=private\nPublishPort=80:80\n"),
            ("a.container", "[Container]\nImage=nginx\nNetwork=private\nPublishPort=80:80\n"),
        ],
        parts: &[
            "is the target of",
            "is about the volume",
            "is about the same place already",
            "of the host is ",
            "would be called as the one of",
            "is used with other Mode= or Pull= settings",
            "a network of its own is called",
            "'s already; rename",
            "'s already; write",
            "already; write another one",
            "is the host's address in the network",
            "overlaps with",
        ],
    },
    Kind {
        code: "S316",
        title: "A signature policy that cannot be read, or a key of one of our files that asks for signatures",
        remedy: "Correct the policy as containers-policy.json(5) has it: nothing is imported past one with a mistake. VerifyKey= takes \
                 paths of public keys; `docs/signed-images.md` has both.",
        example: &[("nginx.image", "[Image]\nImage=nginx\nVerifyKey=nginx.pub\n")],
        parts: &["invalid signature policy: ", "VerifyKey=", "VerifyIdentity="],
    },
    Kind {
        code: "S304",
        title: "A port that cannot be published",
        remedy: "Write `HOST:CONTAINER`, with an address in front and a protocol behind if need be; `docs/pods.md` has all forms.",
        example: &[(WEB, "[Container]\nImage=nginx\nNetwork=private\nPublishPort=http\n")],
        parts: &["PublishPort=", "UDP and PublishMode=nft"],
    },
    Kind {
        code: "S302",
        title: "A value that is none of those a key takes",
        remedy: "Write one of the values that the message lists. A boolean is yes or no.",
        example: &[(WEB, "[Container]\nImage=nginx\nPull=sometimes\n")],
        parts: &[
            "is not one of ",
            "is not a boolean",
            "is not supported: ",
            "the bridge has no VLANs",
            "the MTU is a number",
        ],
    },
    Kind {
        code: "S701",
        title: "Something of Podman's that has no effect",
        remedy: "The file is used without it. Remove what the message names, or write what it advises.",
        example: &[(WEB, "[Container]\nImage=nginx\nPodmanArgs=--ipc=host\n")],
        parts: &[
            "has no effect here: ",
            "the network ends with its last member",
            "networks never reach each other",
            "this file is not read: ",
        ],
    },
    Kind {
        code: "S702",
        title: "Something of Podman's that has another effect",
        remedy: "The file is used. Read what differs, and write what the message advises if that matters.",
        example: &[(WEB, "[Container]\nImage=nginx\nUserNS=keep-id\n")],
        parts: &[
            " differs from Podman: ",
            "is read as ",
            " is not replaced: ",
            "a backslash stands for itself",
            "%H is localhost",
            "files here may use either name",
            "cannot be the name of a machine: the container is",
            "so this container is called",
            "it becomes ",
        ],
    },
    Kind {
        code: "S703",
        title: "A unit that no file makes",
        remedy: "Write the name of the file, such as `db.container`, or the full name of a unit that the host has.",
        example: &[(WEB, "[Container]\nImage=nginx\n[Unit]\nRequires=shop-pod.service\n")],
        parts: &["is not the unit of any file here"],
    },
    Kind {
        code: "S401",
        title: "A reference to a file that does not exist",
        remedy: "Write the file, or correct the name; the message has the nearest.",
        example: &[(WEB, "[Container]\nImage=ngnix.image\n"), ("nginx.image", "[Image]\nImage=nginx\n")],
        parts: &["is not the name of a .pod file", "there is no "],
    },
    Kind {
        code: "S403",
        title: "A circle",
        remedy: "Remove one of the dependencies that the message lists.",
        example: &[(WEB, "[Container]\nImage=nginx\n[Unit]\nAfter=web.container\n")],
        parts: &["waits for itself", "goes in a circle", "would join each other's network"],
    },
    Kind {
        code: "S502",
        title: "A setting that is ours",
        remedy: "Use what the message names in its place: the setting is what makes the unit run a container.",
        example: &[(WEB, "[Container]\nImage=nginx\n[Service]\nExecStart=/bin/true\n")],
        parts: &["cannot be set in ["],
    },
    Kind {
        code: "S503",
        title: "[Install] that cannot be carried out",
        remedy: "Name units with their suffix in WantedBy=, RequiredBy= or UpheldBy=. The links are made at daemon-reload; \
                 `systemctl enable` is not needed.",
        example: &[(WEB, "[Container]\nImage=nginx\n[Install]\nWantedBy=boot\n")],
        parts: &[
            "DefaultInstance= is for a template",
            "is not the name of a unit",
            "specifiers are not expanded here",
            "Alias= is",
            "has no effect on a generated",
            "[Install] has no use",
        ],
    },
    Kind {
        code: "S504",
        title: "A setting of one application among several",
        remedy: "Write it into the section of the application, `[Container NAME]` or `[App NAME]`; what is for the whole \
                 container stays in `[Container]`.",
        example: &[(WEB, "[Container]\nImage=nginx\nApp=redis\nExec=--verbose\n")],
        parts: &[
            "is for one application",
            "concerns the whole container",
            "this container has no application",
            "two applications are called",
            "is something else already",
        ],
    },
    Kind {
        code: "S602",
        title: "Nothing is left to give",
        remedy: "Give sdme-gen more to choose from, as the message says.",
        example: &[
            ("e.pod", "[Pod]\nNetwork=uplink\n"),
            ("a.pod", "[Pod]\nNetwork=uplink\n"),
            ("b.pod", "[Pod]\nNetwork=uplink\n"),
            ("c.pod", "[Pod]\nNetwork=uplink\n"),
            ("d.pod", "[Pod]\nNetwork=uplink\n"),
            ("sdme.conf", "[Defaults]\nUplinkRange=10.0.0.0/28\n"),
        ],
        parts: &["no address is left", "no addresses are left", "is left for it in the network"],
    },
    Kind {
        code: "S501",
        title: "Keys that need, or exclude, each other",
        remedy: "Add the key that is missing, or remove the one that has no meaning beside the other.",
        example: &[(WEB, "[Container]\nImage=nginx\nNetwork=private\nPublishPort=80:80\nStopWhenIdle=5min\n")],
        parts: &[
            "exclude each other",
            "remove one of the two",
            "needs a network with a name",
            "is for a single network",
            "needs a network with a way to the host",
            "cannot be used with",
            "says the same as",
            "has a group already",
            "is about Device=",
            "gives the container a ",
            "into another pod than",
            "use SystemCallFilter= for an operating system",
            " needs ",
            "belongs ",
            "is for an application",
            "is an operating system",
            "has nothing below it",
            "is taken for an operating system",
            "nothing is installed into an application",
            "cannot be a base",
            "asks for another base",
            "is about the image",
            "'s to say",
            "need an Image=",
            "is for containers; ",
        ],
    },
    Kind {
        code: "S305",
        title: "A path that is none",
        remedy: "Write an absolute path; one of the host may begin with `./`, for the directory of the file.",
        example: &[(WEB, "[Container]\nImage=nginx\nWorkingDir=srv\n")],
        parts: &["is not an absolute path", "is not a path"],
    },
    Kind {
        code: "S306",
        title: "A time, a number or a size that is none",
        remedy: "Write what the message shows: times have the units ms, s, min, h and d, sizes k, m, g and t.",
        example: &[(WEB, "[Container]\nImage=nginx\nMemory=banana\n")],
        parts: &[
            "is not a time;",
            "is not a time,",
            "is not a size",
            "is not a number",
            "takes a number",
            "takes a size",
            "takes an octal mode",
        ],
    },
    Kind {
        code: "S307",
        title: "Something that cannot be mounted",
        remedy: "Write `SOURCE:PATH:OPTIONS` as `docs/volumes.md` has it; `/proc`, `/sys`, `/dev`, `/run` itself and the root are taken.",
        example: &[(WEB, "[Container]\nImage=nginx\nVolume=data:/proc/data\n")],
        parts: &["Volume=:", "Mount=:", "Tmpfs=", "AddDevice="],
    },
    Kind {
        code: "S308",
        title: "A capability, a system call or a profile that is none",
        remedy: "Write a name of capabilities(7), or a call or group of systemd.exec(5); `docs/security.md` tells what can be changed.",
        example: &[(WEB, "[Container]\nImage=nginx\nAddCapability=NET_ADMN\n")],
        parts: &["Capability=:", "SystemCallFilter=", "SeccompProfile=", "AppArmor=", "are dropped and added", "CAP_"],
    },
    Kind {
        code: "S309",
        title: "A variable or a label that is not NAME=VALUE",
        remedy: "Write NAME=VALUE, in quotes when there are blanks in it. The environment of the host is not passed on.",
        example: &[(WEB, "[Container]\nImage=nginx\nLabel=web\n")],
        parts: &["is not NAME=VALUE", "is not the name of a variable"],
    },
    Kind {
        code: "S310",
        title: "A user or a group that is none",
        remedy: "Write a name or a number.",
        example: &[(WEB, "[Container]\nImage=nginx\nGroupAdd=\"d e\"\n")],
        parts: &["no name and no number", "neither a name nor a number"],
    },
    Kind {
        code: "S311",
        title: "A signal that is none",
        remedy: "Write a name or number of signal(7).",
        example: &[(WEB, "[Container]\nImage=nginx\nStopSignal=SIGSTOPP\n")],
        parts: &["is not a signal"],
    },
    Kind {
        code: "S312",
        title: "An address or a domain that is none",
        remedy: "Write addresses in numbers, and names of hosts or domains where the message asks for one.",
        example: &[(WEB, "[Container]\nImage=nginx\nDNS=localhost\n")],
        parts: &[
            "is not an address",
            "is an address of IPv",
            "is not the name of an interface",
            "is in no Subnet= of",
            "is no part of a Subnet=",
            "is not in the network",
            "is no range of addresses",
            "is not a host name",
            "is not a domain",
            "resolv.conf(5)",
            "is no range of IPv4 addresses",
            "the first one of the range",
        ],
    },
    Kind {
        code: "S313",
        title: "A limit or a setting of the kernel that an application cannot have",
        remedy: "Write one of those that the message lists. What is for the whole machine is set on the host.",
        example: &[(WEB, "[Container]\nImage=nginx\nUlimit=files=1\n")],
        parts: &["Ulimit=", "Sysctl="],
    },
    Kind {
        code: "S314",
        title: "A secret that cannot be read",
        remedy: "Write `NAME,type=mount|env,target=TARGET`; `docs/volumes.md` has the rest.",
        example: &[(WEB, "[Container]\nImage=nginx\nSecret=a/b\n")],
        parts: &["Secret=:"],
    },
    Kind {
        code: "S315",
        title: "A health check that cannot be read",
        remedy: "Write a line for the shell, a JSON list of words, a URL or a port, in one of the keys; `docs/health.md` has examples.",
        example: &[(WEB, "[Container]\nImage=nginx\nHealthCmd=[\"curl\", 1]\n")],
        parts: &[
            "is not a command",
            "is not no, yes or healthy",
            "HealthHttp=",
            "HealthTcp=",
            "HealthStartupHttp=",
            "HealthStartupTcp=",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        let all: Vec<&str> = kinds().map(|k| k.code).collect();
        assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        assert_eq!(kind("unknown key X= in [Container]").code, "S204");
        assert_eq!(kind("x.image cannot be used: a:1: unknown key X= in [Image]").code, "S402");
        assert_eq!(kind("HostName=_: a container's name is a host name: letters").code, "S104");
        assert_eq!(kind("something about a value").code, "S301");
    }
}
