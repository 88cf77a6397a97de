// SPDX-License-Identifier: MIT
//! The catalogue of diagnostics: a title, a remedy and an example for each code.
//! `docs/diagnostics.md` is generated from it. Pure.

use crate::diag::Code;

/// A kind of diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The code, whose meaning never changes.
    pub code: Code,
    /// The title of the code in the documentation.
    pub title: &'static str,
    /// The remedy, in the imperative.
    pub remedy: &'static str,
    /// The names and contents of files that lead to this diagnostic. The diagnostic is about the
    /// first file.
    pub example: &'static [(&'static str, &'static str)],
}

const WEB: &str = "web.container";

/// All kinds, in the order of their codes.
pub const KINDS: [Kind; 39] = [
    Kind {
        code: Code::Unreadable,
        title: "A file that cannot be read",
        remedy: "Make it a regular text file of at most 1 MiB. To switch a file off, make it empty or a link to `/dev/null`.",
        example: &[(WEB, "")],
    },
    Kind {
        code: Code::NotText,
        title: "A file that is not text",
        remedy: "Save it as UTF-8, without control characters. The line is the first one that is not.",
        example: &[(WEB, "[Container]\nEnvironment=GREETING=\u{7}\n")],
    },
    Kind {
        code: Code::NotRead,
        title: "A file that is not read",
        remedy: "Do what the message says: rename a file whose name is nearly right or is taken, and write other files for kinds of \
            Quadlet that are not read.",
        example: &[("web.contaner", "[Container]\n")],
    },
    Kind {
        code: Code::Name,
        title: "A file's name that cannot be the name of what it describes",
        remedy: "Rename the file: the name becomes a host name, and part of the names of units.",
        example: &[("-web.container", "[Container]\n")],
    },
    Kind {
        code: Code::SectionHeader,
        title: "An invalid section header",
        remedy: "Write the section's name in brackets, alone on its line.",
        example: &[(WEB, "[Container\nImage=nginx\n")],
    },
    Kind {
        code: Code::Assignment,
        title: "A line that is not an assignment",
        remedy: "Write KEY=VALUE below a section. A line that belongs to the one before it needs a backslash there.",
        example: &[(WEB, "[Container]\nImage nginx\n")],
    },
    Kind {
        code: Code::UnknownSection,
        title: "A section that is unknown",
        remedy: "Write the section that the message suggests. Sections for other programs begin with `X-`.",
        example: &[(WEB, "[Containr]\nImage=nginx\n")],
    },
    Kind {
        code: Code::UnknownKey,
        title: "A key that is unknown",
        remedy: "Write the key that the message suggests, or put it into the section it names.",
        example: &[(WEB, "[Container]\nImge=nginx\n")],
    },
    Kind {
        code: Code::UnsupportedKey,
        title: "A key that is known, but not supported",
        remedy: "Use what the message names in its place, or remove the key. It is never ignored silently.",
        example: &[(WEB, "[Container]\nImage=nginx\nRootfs=/srv/web\n")],
    },
    Kind {
        code: Code::Quoting,
        title: "Quotes or escapes that do not end",
        remedy: "Close the quote; write `\\\\` for a backslash. The rules are systemd's (systemd.syntax(7)).",
        example: &[(WEB, "[Container]\nImage=nginx\nExec=sh -c \"echo hello\n")],
    },
    Kind {
        code: Code::Value,
        title: "A value that cannot be read",
        remedy: "Write a value of the kind that the message names. `docs/keys.md` and sdme.container(5) say what each key takes.",
        example: &[(WEB, "[Container]\nTimezone=Middle of Europe\n")],
    },
    Kind {
        code: Code::Choice,
        title: "A value that its key does not accept",
        remedy: "Write one of the values that the message lists. A boolean is yes or no.",
        example: &[(WEB, "[Container]\nImage=nginx\nPull=sometimes\n")],
    },
    Kind {
        code: Code::ImageReference,
        title: "An image reference that cannot be read",
        remedy: "Write a reference such as `docker.io/library/nginx:1.27`, one of the transports in `docs/images.md` with an \
                 absolute path, or the name of an `.image` file.",
        example: &[(WEB, "[Container]\nImage=Nginx\n")],
    },
    Kind {
        code: Code::Port,
        title: "A port that cannot be published",
        remedy: "Write `HOST:CONTAINER`, with an address in front and a protocol behind if need be; `docs/pods.md` has all forms.",
        example: &[(WEB, "[Container]\nImage=nginx\nNetwork=private\nPublishPort=http\n")],
    },
    Kind {
        code: Code::Path,
        title: "An invalid path",
        remedy: "Write an absolute path; one of the host may begin with `./`, for the directory of the file.",
        example: &[(WEB, "[Container]\nImage=nginx\nWorkingDir=srv\n")],
    },
    Kind {
        code: Code::Quantity,
        title: "An invalid time, number or size",
        remedy: "Write what the message shows: times have the units ms, s, min, h and d, sizes k, m, g and t.",
        example: &[(WEB, "[Container]\nImage=nginx\nMemory=banana\n")],
    },
    Kind {
        code: Code::Mount,
        title: "Something that cannot be mounted",
        remedy: "Write `SOURCE:PATH:OPTIONS` as `docs/volumes.md` has it; `/proc`, `/sys`, `/dev`, `/run` itself and the root are taken.",
        example: &[(WEB, "[Container]\nImage=nginx\nVolume=data:/proc/data\n")],
    },
    Kind {
        code: Code::Confinement,
        title: "An unknown capability, system call or profile",
        remedy: "Write a name of capabilities(7), or a call or group of systemd.exec(5); `docs/security.md` describes what can be changed.",
        example: &[(WEB, "[Container]\nImage=nginx\nAddCapability=NET_ADMN\n")],
    },
    Kind {
        code: Code::Variable,
        title: "A variable or a label that is not NAME=VALUE",
        remedy: "Write NAME=VALUE, in quotes when there are blanks in it. The environment of the host is not passed on.",
        example: &[(WEB, "[Container]\nImage=nginx\nLabel=web\n")],
    },
    Kind {
        code: Code::User,
        title: "An invalid user or group",
        remedy: "Write a name or a number.",
        example: &[(WEB, "[Container]\nImage=nginx\nGroupAdd=\"d e\"\n")],
    },
    Kind {
        code: Code::Signal,
        title: "An unknown signal",
        remedy: "Write a name or number of signal(7).",
        example: &[(WEB, "[Container]\nImage=nginx\nStopSignal=SIGSTOPP\n")],
    },
    Kind {
        code: Code::Address,
        title: "An invalid address or domain",
        remedy: "Write addresses in numbers, and names of hosts or domains where the message asks for one.",
        example: &[(WEB, "[Container]\nImage=nginx\nDNS=localhost\n")],
    },
    Kind {
        code: Code::KernelSetting,
        title: "A limit or a setting of the kernel that an application cannot have",
        remedy: "Write one of the names that the message lists. Set on the host what concerns the whole machine.",
        example: &[(WEB, "[Container]\nImage=nginx\nUlimit=files=1\n")],
    },
    Kind {
        code: Code::Secret,
        title: "A secret that cannot be read",
        remedy: "Write `NAME,type=mount|env,target=TARGET`; `docs/volumes.md` describes the other options.",
        example: &[(WEB, "[Container]\nImage=nginx\nSecret=a/b\n")],
    },
    Kind {
        code: Code::HealthCheck,
        title: "A health check that cannot be read",
        remedy: "Write a line for the shell, a JSON list of words, a URL or a port, in one of the keys; `docs/health.md` has examples.",
        example: &[(WEB, "[Container]\nImage=nginx\nHealthCmd=[\"curl\", 1]\n")],
    },
    Kind {
        code: Code::SignaturePolicy,
        title: "A signature policy that cannot be read, or a key of one of our files that asks for signatures",
        remedy: "Correct the policy as containers-policy.json(5) describes: with an invalid policy, no image is imported. VerifyKey= takes \
                 paths of public keys. `docs/signed-images.md` describes both.",
        example: &[("nginx.image", "[Image]\nImage=nginx\nVerifyKey=nginx.pub\n")],
    },
    Kind {
        code: Code::MissingFile,
        title: "A reference to a file that does not exist",
        remedy: "Write the file, or correct the name. The message names the file with the nearest name.",
        example: &[(WEB, "[Container]\nImage=ngnix.image\n"), ("nginx.image", "[Image]\nImage=nginx\n")],
    },
    Kind {
        code: Code::UnusableFile,
        title: "Another file that is needed cannot be used",
        remedy: "Correct the other file, whose own problem follows in the message. This file is valid.",
        example: &[
            (WEB, "[Container]\nImage=nginx.image\n"),
            ("nginx.image", "[Image]\nImage=nginx\nPolicy=sometimes\n"),
        ],
    },
    Kind {
        code: Code::Circle,
        title: "Files that depend on each other in a circle",
        remedy: "Remove one of the dependencies that the message lists.",
        example: &[(WEB, "[Container]\nImage=nginx\n[Unit]\nAfter=web.container\n")],
    },
    Kind {
        code: Code::Awaited,
        title: "A variable whose file does not exist yet",
        remedy: "Write the file that the message names and run `systemctl daemon-reload`, or write the value. Until then, a start fails \
            with this message. The file with the variable is valid.",
        example: &[(WEB, "[Container]\nImage=nginx:${TAG}\n[Service]\nEnvironmentFile=/etc/web/versions.env\n")],
    },
    Kind {
        code: Code::Combination,
        title: "Keys that need, or exclude, each other",
        remedy: "Add the missing key, or remove one of the two keys that contradict each other.",
        example: &[(WEB, "[Container]\nImage=nginx\nNetwork=private\nPublishPort=80:80\nStopWhenIdle=5min\n")],
    },
    Kind {
        code: Code::OwnSetting,
        title: "A setting that sdme-gen makes itself",
        remedy: "Write what the message names instead: the unit needs this setting as it is to run a container.",
        example: &[(WEB, "[Container]\nImage=nginx\n[Service]\nExecStart=/bin/true\n")],
    },
    Kind {
        code: Code::Install,
        title: "An invalid [Install] section",
        remedy: "Name units with their suffix in WantedBy=, RequiredBy= or UpheldBy=. The links are made at daemon-reload; \
                 `systemctl enable` is not needed.",
        example: &[(WEB, "[Container]\nImage=nginx\n[Install]\nWantedBy=boot\n")],
    },
    Kind {
        code: Code::OneApplication,
        title: "A setting of one application in a container with several",
        remedy: "Write it into the section of the application, `[Container NAME]` or `[App NAME]`; settings of the whole \
                 container stay in `[Container]`.",
        example: &[(WEB, "[Container]\nImage=nginx\nApp=redis\nExec=--verbose\n")],
    },
    Kind {
        code: Code::Conflict,
        title: "Two files that claim the same name, port or path",
        remedy: "Change one of the two. If one is rejected, it is the one whose name comes later.",
        example: &[
            ("b.container", "[Container]\nImage=nginx\nNetwork=private\nPublishPort=80:80\n"),
            ("a.container", "[Container]\nImage=nginx\nNetwork=private\nPublishPort=80:80\n"),
        ],
    },
    Kind {
        code: Code::Exhausted,
        title: "Exhausted addresses",
        remedy: "Write a larger range, as the message says.",
        example: &[
            ("e.pod", "[Pod]\nNetwork=uplink\n"),
            ("a.pod", "[Pod]\nNetwork=uplink\n"),
            ("b.pod", "[Pod]\nNetwork=uplink\n"),
            ("c.pod", "[Pod]\nNetwork=uplink\n"),
            ("d.pod", "[Pod]\nNetwork=uplink\n"),
            ("sdme.conf", "[Defaults]\nUplinkRange=10.0.0.0/28\n"),
        ],
    },
    Kind {
        code: Code::NoEffect,
        title: "A key or option of Podman without effect",
        remedy: "The file is used without it. Remove the key, or follow the advice of the message.",
        example: &[(WEB, "[Container]\nImage=nginx\nPodmanArgs=--ipc=host\n")],
    },
    Kind {
        code: Code::Differs,
        title: "A key or option of Podman with another effect",
        remedy: "The file is used. Follow the advice of the message if the difference matters.",
        example: &[(WEB, "[Container]\nImage=nginx\nUserNS=keep-id\n")],
    },
    Kind {
        code: Code::UnknownUnit,
        title: "An unknown unit",
        remedy: "Write the name of the file, such as `db.container`, or the full name of a unit that the host has.",
        example: &[(WEB, "[Container]\nImage=nginx\n[Unit]\nRequires=shop-pod.service\n")],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_described_once_and_in_order() {
        let codes: Vec<String> = KINDS.iter().map(|kind| kind.code.to_string()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        assert!(KINDS.is_sorted_by(|a, b| a.code < b.code));
    }
}
