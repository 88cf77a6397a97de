// SPDX-License-Identifier: MIT
//! Local networks around the host of a test: network namespaces, each with a veth pair to the host,
//! and servers and clients in them.

use super::host::Host;

/// A server and a client for protocols that curl does not support.
const TOOLS: [(&str, &str); 2] = [
    (
        "/srv/server",
        "use IO::Socket::IP; $| = 1; my ($proto, $port, $name) = @ARGV;
my @rest = (LocalPort => $port, Proto => $proto, V6Only => 0, ReuseAddr => 1, ($proto eq 'tcp' ? (Listen => 50) : ()));
# There are networks without IPv6.
my $s = IO::Socket::IP->new(LocalAddr => '::', @rest) || IO::Socket::IP->new(LocalAddr => '0.0.0.0', @rest) or die \"$!\";
sub client { my $address = $_[0]->peerhost; $address =~ s/^::ffff://; return \"$name $address\" }
if ($proto eq 'udp') { while (1) { $s->recv(my $b, 2000); $s->send(client($s)) } }
while (my $c = $s->accept) {
  while (<$c>) { last if /^\\s*$/ }
  print $c \"HTTP/1.0 200 OK\\r\\n\\r\\n\".client($c).\"\\n\"; close $c
}
",
    ),
    (
        "/srv/ask",
        "use IO::Socket::IP; my ($host, $port) = @ARGV; $SIG{ALRM} = sub { exit 1 }; alarm 5;
my $s = IO::Socket::IP->new(PeerAddr => $host, PeerPort => $port, Proto => 'udp'); $s->send('?');
$s->recv(my $b, 2000) // exit 1; print \"$b\\n\" if $b;
",
    ),
];

/// Starts a server in a network namespace. It answers with its name and the address of the client.
pub fn serve(host: &Host, netns: &str, protocol: &str, port: u16, name: &str) {
    host.ok(&format!(
        "systemd-run -q --unit=server-{name}-{protocol} -p NetworkNamespacePath={netns} perl /srv/server {protocol} {port} {name}"
    ));
    let table = format!("{port:04X}");
    host.wait(
        &format!("nsenter --net={netns} grep -q ':{table} 0*:0000' /proc/net/{protocol} /proc/net/{protocol}6"),
        10,
    );
}

/// The answer of a server to a client that runs with the command prefix `prefix`.
///
/// # Errors
/// The client's error message, if there is no answer within five seconds.
pub fn ask(host: &Host, prefix: &str, protocol: &str, address: &str, port: u16) -> Result<String, String> {
    let output = host.run(&match protocol {
        "udp" => format!("{prefix} perl /srv/ask {address} {port}"),
        _ => format!("{prefix} curl -sS --max-time 5 http://{address}:{port}"),
    });
    if output.success() { Ok(output.stdout) } else { Err(output.stderr) }
}

/// Writes the programs that [`serve`] and [`ask`] run.
pub fn tools(host: &Host) {
    for (path, text) in TOOLS {
        host.write(path, text);
    }
}

/// Creates a network namespace `name` with the address `NET.2`. Its default route is `NET.1`, the
/// host's end of a veth pair.
pub fn connect(host: &Host, name: &str, net: &str) {
    host.ok(&format!(
        "ip netns add {name} && ip link add {name}0 type veth peer name eth0 netns {name} &&
        ip address add {net}.1/24 dev {name}0 && ip link set {name}0 up && ip -n {name} link set lo up &&
        ip -n {name} address add {net}.2/24 dev eth0 && ip -n {name} link set eth0 up &&
        ip -n {name} route add default via {net}.1"
    ));
}
