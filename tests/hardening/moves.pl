# Attacks by root in a container on the host, with one line "WHAT: OUTCOME" for each. An attack that
# succeeds must do no harm: settings are written with their current value, and created files are
# removed.
use strict; use warnings;
use Errno qw(EPERM ENOSYS EACCES EINVAL ENODEV);

mkdir "/run/moves"; mkdir "/run/moves/$_" for qw(proc sys cgroup jail);
sub move { my ($what, $attempt) = @_;
  my $child = fork // die;
  if (!$child) {
    open STDOUT, '>', '/dev/null'; open STDERR, '>', '/dev/null'; open STDIN, '<', '/dev/null';
    # Mounts of an attack are only visible to its process.
    exec 'unshare', '--mount', '--propagation', 'private', 'sh', '-ec', $attempt unless ref $attempt;
    exit($attempt->() ? 0 : 1);
  }
  waitpid $child, 0;
  print "$what: ", ($? == 0 ? 'succeeds' : 'stopped'), "\n";
}
# Whether a system call gets past the permission checks of the kernel.
sub passes { my @call = @_; sub { syscall($call[0], @call[1 .. $#call]) >= 0 || !($! == EPERM || $! == ENOSYS || $! == EACCES) } }
sub same { my ($file) = @_; "v=\$(cat $file); printf '%s\\n' \"\$v\" >$file" }
my $proc = 'mount -t proc proc /run/moves/proc; cd /run/moves/proc';
my $sys = 'mount -t sysfs sysfs /run/moves/sys; cd /run/moves/sys';

move 'write a kernel setting', same '/proc/sys/kernel/core_pattern';
move 'write a kernel setting, after a remount', 'mount -o remount,rw,bind /proc/sys; ' . same '/proc/sys/kernel/core_pattern';
move 'write a kernel setting, in a new /proc', "$proc; " . same 'sys/kernel/core_pattern';
move 'write a memory setting, in a new /proc', "$proc; " . same 'sys/vm/swappiness';
move 'write a file system setting, in a new /proc', "$proc; " . same 'sys/fs/protected_symlinks';
move 'trigger a SysRq command', 'echo h >/proc/sysrq-trigger';
move 'read memory of the kernel, in a new /proc', "$proc; head -c 1 kcore | grep -q .";
move 'list keys of others, in a new /proc', "$proc; grep -q -- '[0-9a-f]* ' keys && test \$(awk '{print \$6}' keys | sort -u | wc -l) -gt 1";
move 'write to sysfs', same '/sys/module/printk/parameters/time';
move 'write to sysfs, after a remount', 'mount -o remount,rw,bind /sys; ' . same '/sys/module/printk/parameters/time';
move 'write to sysfs, in a new one', "$sys; " . same 'module/printk/parameters/time';
move 'lift a limit of its own control group', 'mount -o remount,rw,bind /sys/fs/cgroup; echo max >/sys/fs/cgroup/cgroup.max.depth';
move 'mount a control group with a release agent', 'mount -t cgroup -o none,name=moves none /run/moves/cgroup; test -w /run/moves/cgroup/release_agent';
move 'make a disk device and read it', 'cd /run/moves; rm -f disk; mknod disk b $(sed "s/:/ /" /sys/block/*/dev | head -n 1); head -c 1 disk';
move 'make /dev/mem and read it', 'cd /run/moves; rm -f mem; mknod mem c 1 1; head -c 1 mem';
move 'make /dev/kmsg and write to it', 'cd /run/moves; rm -f kmsg; mknod kmsg c 1 11; : >>kmsg';
move 'read the log of the kernel', passes 103, 3, "\0" x 64, 64;
move 'load a kernel module', passes 313, 0, "\0", 0;
move 'load another kernel', passes 246, 0, 0, 0, 0;
move 'load a BPF program', passes 321, 5, "\0" x 120, 120;
move 'watch the processor', passes 298, pack('L L Q x104', 1, 112, 0), -1, 0, -1, 0;
move 'get at the I/O ports', passes 172, 3;
move 'set the clock', passes 164, pack('q q', time, 0), 0;
move 'turn swapping off', passes 168, "/nowhere\0";
move 'add a key', passes 248, "user\0", "moves\0", "x", 1, -1;
move 'open a file by its handle', passes 304, -100, pack('L l Q', 8, 1, 2), 0;
move 'see a process of the host', "$proc; grep -l 'host-abstrac[t]' [0-9]*/cmdline";
move 'get at the host by way of /proc/1', 'test -e /proc/1/root/root/host-marker || test -e /proc/1/cwd/../../root/host-marker';
move 'break out of the root directory', sub { chdir '/run/moves'; chroot 'jail' or return; chdir '../' x 20; chroot '.'; -e '/root/host-marker' };
move 'read files of another container', 'ls /var/lib/machines/neighbour || ls /var/lib/sdme/containers/neighbour';
move 'change what sdme-gen has prepared', 'ls /run/sdme/containers/neighbour || ls /run/sdme/host-marker || ls /etc/sdme/host-marker';
move 'write to the /usr of the host', ': >/usr/tampered; rm /usr/tampered';
move 'write to the /usr of the host, after a remount', 'mount -o remount,rw,bind /usr; : >/usr/tampered; rm /usr/tampered';
move 'open the launcher for writing, after a remount', 'mount -o remount,rw,bind /oci/sdme-oci-run; : >>/oci/sdme-oci-run';
move 'change a network interface', 'ip link set lo mtu 65535 && ip link set lo mtu 65536';
move 'receive every packet', passes 41, 17, 3, 0;
move 'connect to a service on the loopback of the host', sub { use IO::Socket::INET; IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => 7777, Timeout => 3) };
move 'connect to an abstract socket of the host', sub { use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect $s, pack('S a*', AF_UNIX, "\0host-abstract") };
