// SPDX-License-Identifier: MIT
//! Eight containers on three named networks and the default one, and which of them can reach each
//! other. Tests use them on hosts in namespaces and in virtual machines.

use std::collections::BTreeMap;

use super::tiers::{Machine, answers, in_pod, nginx};

/// Each container, its pod, the networks of that pod, and the container's own lines.
pub const CONTAINERS: [(&str, &str, &[&str], &str); 8] = [
    ("edge", "edge", &["front"], "Network=front\nPublishPort=8081:8080\nPublishPort=5353:53/udp\nUserNS=auto\n"),
    (
        "api",
        "api",
        &["front", "back"],
        "Network=front.network\nNetwork=back:ip=10.5.0.77\nNetworkAlias=service\n\
        PublishPort=8082:8080\nPublishPort=5354:53/udp\nPublishMode=nft\nAddHost=edge-by-hand:192.0.2.2\nAddHost=hosted:host-gateway\n",
    ),
    ("tool", "tool", &["front"], "Network=front\nHardened=yes\n"),
    ("db", "db", &["back", "vault"], "Network=back\nNetwork=vault:alias=database\n"),
    ("cache", "cache", &["vault"], "Network=vault\n"),
    ("helper", "pair", &["back"], "Pod=pair.pod\n"),
    ("worker", "pair", &["back"], "Pod=pair.pod\n"),
    ("lone", "lone", &["bridge"], "Network=bridge\n"),
];

/// The port of a container's application. Members of a pod share their network, so their ports
/// differ.
pub fn port(name: &str) -> u16 {
    if name == "worker" { 8090 } else { 8080 }
}

/// The files in `/etc/sdme`.
pub fn files() -> Vec<(String, String)> {
    let networks = [
        ("front.network", "[Network]\nIPv6=yes\n"),
        ("back.network", "[Network]\nSubnet=10.5.0.0/24\nInterfaceName=rear\n"),
        ("vault.network", "[Network]\nInternal=yes\n"),
        ("pair.pod", "[Pod]\nNetwork=back\n"),
    ];
    let networks = networks.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let containers = CONTAINERS.map(|(name, _, _, lines)| {
        (format!("{name}.container"), nginx(&format!("{lines}{}", answers(port(name), name))))
    });
    networks.into_iter().chain(containers).collect()
}

/// The units of the containers.
pub fn units() -> String {
    CONTAINERS.map(|(name, ..)| format!("systemd-nspawn@{name}")).join(" ")
}

/// Waits until every application answers in its own network, up to `patience` seconds for each.
pub fn assert_up(machine: &impl Machine, patience: u64) {
    for (name, pod, ..) in CONTAINERS {
        let ask = format!("{} curl -fsS http://127.0.0.1:{}/ | grep -x {name}", in_pod(pod), port(name));
        machine.wait(&ask, patience);
    }
}

/// A function of bash that requests a page and prints the last line of the answer. In an emulated
/// machine, a program for each request would take several times as long.
const ASK: &str = r#"
ask() {
  {
    { echo GET / HTTP/1.0; echo; } >&3
    while read -r line <&3; do last=$line; done
    echo "$last"
  } 3<>"/dev/tcp/$1/$2"
}"#;

/// The answers of `addresses` to requests from the container `from`, all at once; a dash for an
/// address that does not answer within three seconds.
pub fn answers_in(machine: &impl Machine, from: &str, addresses: &[String]) -> Vec<String> {
    let ask = |(index, address): (usize, &String)| {
        let request = match address.rsplit_once(':').filter(|_| !address.contains("http")) {
            Some((host, port)) => format!("ask {} {port}", host.trim_matches(['[', ']'])),
            None => format!("curl -sS {address}/"),
        };
        format!("{{ {request} || echo -; }} >/tmp/a{index} &\n")
    };
    let asked: String = addresses.iter().enumerate().map(ask).collect();
    let answer = |index| format!("read -r line </tmp/a{index}; echo ${{line:--}}\n");
    let answers: String = (0..addresses.len()).map(answer).collect();
    let script = format!(
        "exec 2>/dev/null{ASK}\n{asked}all=$(jobs -p)\n{{ sleep 3; kill $all; }} &\nwait $all\nkill $!\n{answers}"
    );
    let output = machine.ok(&format!("systemd-run -M {from} --wait --pipe -q bash -c '{script}'"));
    output.lines().map(str::to_owned).collect()
}

/// The global addresses of a pod, in the order of `ip address`.
pub fn addresses(machine: &impl Machine, pod: &str) -> Vec<String> {
    let output = machine.ok(&format!("{} ip -o address show scope global", in_pod(pod)));
    let address = |line: &str| line.split_whitespace().nth(3).map(|a| a.split('/').next().unwrap().to_owned());
    output.lines().filter_map(address).collect()
}

/// Checks which containers reach each other, by name and by every address.
pub fn assert_matrix(machine: &impl Machine) {
    let addresses: BTreeMap<&str, Vec<String>> =
        CONTAINERS.iter().map(|(name, pod, ..)| (*name, addresses(machine, pod))).collect();
    for (from, from_pod, own, _) in CONTAINERS {
        let mut asked = Vec::new();
        let mut expected = Vec::new();
        for (to, to_pod, theirs, _) in CONTAINERS {
            let shared = own.iter().any(|network| theirs.contains(network));
            let answer = |reached: bool| if reached { to.to_owned() } else { "-".to_owned() };
            asked.push(format!("{to}:{}", port(to)));
            expected.push(answer(shared));
            for (index, address) in addresses[to].iter().enumerate() {
                // The addresses are in the order of the networks; only the first network has an
                // address of each IP version.
                let network = if address.contains(':') { theirs[0] } else { *theirs.get(index).unwrap_or(&theirs[0]) };
                let network = if to == "api" { if address == "10.5.0.77" { "back" } else { "front" } } else { network };
                let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
                asked.push(format!("{host}:{}", port(to)));
                expected.push(answer(own.contains(&network) || from_pod == to_pod));
            }
        }
        let found = answers_in(machine, from, &asked);
        let table: Vec<_> = asked.iter().zip(&found).zip(&expected).filter(|((_, f), e)| f != e).collect();
        assert!(table.is_empty() && found.len() == expected.len(), "{from}: {table:?} of {found:?}");
    }
}
