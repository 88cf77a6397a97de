// SPDX-License-Identifier: MIT
//! Tests of single command lines and of scripts; `tests/cases/run.txt` has many more.
#![allow(clippy::unwrap_used)]

use super::*;

fn convert(line: &str) -> Result<Converted, String> {
    command_line(&crate::ini::split_words(line).unwrap(), "/home/me")
}

#[test]
fn a_command_line_becomes_a_file() {
    let line = "docker run -d --name my_web -p 8080:80 -e TZ=UTC -e 'A=b c' --restart=unless-stopped -m 512m \
        --cpus 1.5 nginx:1.27 nginx -g 'daemon off;'";
    let converted = convert(line).unwrap();
    assert_eq!(converted.notes, Vec::<String>::new());
    assert_eq!(
        converted.files.get("my-web.container").unwrap(),
        "[Container]\nEnvironment=TZ=UTC\nEnvironment=\"A=b c\"\nImage=nginx:1.27\n\
         Exec=nginx -g \"daemon off;\"\nMemory=512m\nNetwork=uplink\nPublishPort=8080:80\n\n\
         [Service]\nRestart=always\nCPUQuota=150%\n\n[Install]\nWantedBy=machines.target\n"
    );
}

#[test]
fn options_without_a_counterpart_are_noted_and_unknown_ones_refused() {
    let converted = convert("podman run -itP --privileged --gpus all --rm -e HOME redis").unwrap();
    let notes = converted.notes.join("\n");
    for part in ["--publish-all", "--privileged differs", "--gpus: ", "--rm: ", "--env HOME: "] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    for (line, part) in [
        ("docker run --name", "lacks its value"),
        ("docker run -d", "no image"),
        ("docker run --frob x redis", "--frob is no option"),
        ("docker run -Z redis", "-Z is no option"),
        ("docker ps -a", "ps makes no container"),
        ("docker", "docker without a verb"),
    ] {
        let error = convert(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn several_command_lines_become_one_project() {
    let text = "#!/bin/sh
# A page and its database.
set -e
export TAG=16   # pinned
PASSWORD='se cret'
docker network create --subnet 10.5.0.0/24 back
docker volume create --label a=b data
mkdir -p conf
docker run -d --name db --network back \\
  -v data:/data -e \"PASSWORD=$PASSWORD\" \\
  store:${TAG} # in the background
cd web && docker run -d --name web --network front -p 8080:80 -v \"$(pwd)/conf:/conf\" -v $PWD/x:/x page:6; sleep 1
docker network connect --alias page back web
docker exec web true
";
    let converted = script(text, "/srv/shop", &BTreeMap::new()).unwrap();
    assert_eq!(
        converted.notes,
        [
            "line 8: mkdir is not run; run the command yourself",
            "line 14: exec is not converted; run the command yourself"
        ]
    );
    let names: Vec<&str> = converted.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["back.network", "data.volume", "db.container", "front.network", "web.container"]);
    let file = |name: &str| converted.files.get(name).unwrap().as_str();
    assert_eq!(file("back.network"), "[Network]\nSubnet=10.5.0.0/24\n");
    assert_eq!(file("data.volume"), "[Volume]\nLabel=a=b\n");
    assert_eq!(
        file("db.container"),
        "[Container]\nVolume=data.volume:/data\nEnvironment=\"PASSWORD=se cret\"\nImage=store:16\nNetwork=back.network\n"
    );
    assert_eq!(
        file("web.container"),
        "[Container]\nVolume=/srv/shop/web/conf:/conf\nVolume=/srv/shop/web/x:/x\nImage=page:6\nNetwork=front.network\n\
         Network=back.network:alias=page\nPublishPort=8080:80\n"
    );
    for (text, part) in [
        ("docker run $NOTSET", "line 1: the variable NOTSET is not set"),
        ("\ndocker run $(cat image)", "line 2: the command cat image is not run"),
        ("for i in 1 2; do docker run x; done", "for cannot be converted"),
        ("docker run 'x", "line 1: the ' is never found"),
        ("docker run x >log", "a redirection"),
        ("docker run --name a x\ndocker run --name a y", "line 2: there is a container a already"),
        ("docker network connect back web", "no line above makes web"),
        ("echo hello", "no line makes a container"),
    ] {
        let error = script(text, "/srv", &BTreeMap::new()).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}
