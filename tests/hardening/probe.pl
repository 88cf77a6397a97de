# Prints what a process may do, with one line "WHAT: CELL" for each test. The tests change nothing
# for other processes.
use strict; use warnings;
use Errno qw(EPERM ENOSYS EACCES EAFNOSUPPORT EROFS);
use Socket;

sub status { my ($name) = @_; open my $f, '<', '/proc/self/status' or die; while (<$f>) { return $1 if /^$name:\s*(.*)/ } }
my @names = qw(chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
  net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot
  sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog
  wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore);
sub capabilities { my $bits = hex status(shift); join ' ', map { $names[$_] } grep { $bits >> $_ & 1 } 0 .. $#names }
print "capabilities: ", capabilities('CapBnd'), "\n";
print "capabilities beyond those: ", (capabilities('CapEff') eq capabilities('CapBnd') ? 'none' : capabilities('CapEff')), "\n";
print "inheritable capabilities: ", capabilities('CapInh') || 'none', "\n";
print "ambient capabilities: ", capabilities('CapAmb') || 'none', "\n";
print "no new privileges: ", (status('NoNewPrivs') ? 'yes' : 'no'), "\n";
print "seccomp mode: ", status('Seccomp'), "\n";
open my $map, '<', '/proc/self/uid_map' or die; my ($in, $out, $count) = split ' ', <$map>;
print "root is: ", ($out == 0 ? "the host's root" : $count == 65536 ? 'nobody' : "$out"), "\n";
my $alone = grep { m{^/proc/\d+$} } glob '/proc/*'; 
print "sees processes of others: ", ((grep { open my $f, '<', "$_/comm"; defined $f && (<$f> // '') =~ /^systemd/ } glob '/proc/[0-9]*') ? 'yes' : 'no'), "\n";

# A call is denied if it fails with a permission error or does not exist. Another error means that
# the call was allowed.
sub denied { my ($what, @call) = @_;
  my $child = fork // die;
  if (!$child) { my $result = syscall($call[0], @call[1 .. $#call]); exit($result < 0 && ($! == EPERM || $! == ENOSYS || $! == EACCES || $! == EAFNOSUPPORT) ? 1 : 0) }
  waitpid $child, 0;
  print "$what: ", ($? == 0 ? 'allowed' : $? == 256 ? 'denied' : 'killed'), "\n";
}
my ($tmp, $none, $nofs) = ("/tmp\0", "none\0", "nofs\0");
denied 'mount(2)', 165, $none, $tmp, $nofs, 0, 0;
denied 'umount2(2)', 166, $tmp, 0;
denied 'pivot_root(2)', 155, "/\0", "/\0";
denied 'chroot(2)', 161, "/\0";
denied 'unshare(2), a user namespace', 272, 0x10000000;
denied 'unshare(2), a mount namespace', 272, 0x20000;
denied 'setns(2)', 308, -1, 0;
denied 'ptrace(2)', 101, 0, 0, 0, 0;
denied 'process_vm_readv(2)', 310, $$, 0, 0, 0, 0, 0;
denied 'kexec_load(2)', 246, 0, 0, 0, 0;
denied 'init_module(2)', 175, 0, 0, $none;
denied 'bpf(2)', 321, 0, 0, 0;
denied 'perf_event_open(2)', 298, 0, 0, -1, -1, 0;
denied 'userfaultfd(2)', 323, 0x800;
denied 'add_key(2)', 248, 0, 0, 0, 0, 0;
denied 'keyctl(2)', 250, 0, -3, 0, 0, 0;
denied 'request_key(2)', 249, 0, 0, 0, 0;
denied 'open_by_handle_at(2)', 304, -100, 0, 0;
denied 'swapon(2)', 167, 0, 0;
denied 'acct(2)', 163, "/nowhere\0";
denied 'reboot(2)', 169, 0, 0, 0, 0;
denied 'iopl(2)', 172, 3;
denied 'syslog(2)', 103, 10, 0, 0;
my $now = pack 'q q', time, 0;
denied 'settimeofday(2)', 164, $now, 0;
denied 'personality(2)', 135, 8;
denied 'mknod(2), a block device', 133, "/tmp/probe-device\0", 060600, 7 << 8;
unlink '/tmp/probe-device';
denied 'mknod(2), the null device', 133, "/tmp/probe-device\0", 020600, 1 << 8 | 3;
unlink '/tmp/probe-device';
denied 'socket(2), packets', 41, 17, 3, 0;
denied 'socket(2), netlink', 41, 16, 3, 0;
denied 'socket(2), virtual machine sockets', 41, 40, 1, 0;
denied 'io_uring_setup(2)', 425, 0, 0;
denied 'io_uring_enter(2)', 426, -1, 0, 0, 0, 0, 0;
denied 'io_uring_register(2)', 427, -1, 0, 0, 0;
open my $file, '>', '/tmp/probe-file' or die; close $file;
denied 'chmod(2), setuid', 90, "/tmp/probe-file\0", 04755;
unlink '/tmp/probe-file';

sub writes { my ($path) = @_; return open(my $f, '+<', $path) ? 'writable' : 'not writable' }
print "$_: ", writes($_), "\n" for qw(/proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper);
# The time of a file cannot be set on a read-only mount.
sub read_only { my ($path) = @_; return !-e $path || !utime(undef, undef, $path) && $! == EROFS }
my @settings = (map({ "/proc/$_" } qw(acpi asound bus fs irq mtrr scsi sys sys/kernel sys/net)), '/sys', '/sys/kernel', '/sys/fs/cgroup');
print "read-only settings of the kernel: ", (join(' ', grep { !read_only($_) } @settings) ? 'not all' : 'all'), "\n";
sub content { my ($path) = @_; open(my $file, '<', $path) or return 0; return read $file, my $text, 1 }
my @facts = grep { content("/proc/$_") } qw(kallsyms kcore keys timer_list);
print "readable facts about the kernel: ", (@facts ? "@facts" : 'none'), "\n";
print "devices: ", join(' ', map { substr $_, 5 } grep { -c || -b } sort glob '/dev/* /dev/net/*'), "\n";
print "/dev/mem, /dev/kmsg: ", ((grep { open my $f, '<', $_ } qw(/dev/mem /dev/kmsg)) ? 'there' : 'not there'), "\n";
for my $path (qw(/root /etc /etc/sdme /run/sdme /var/lib/sdme /var/lib/machines)) {
  my @found = grep { -e "$_$path/host-marker" } '', '/proc/1/root', '/proc/1/cwd/../../..';
  print "$path of the host: ", (@found ? 'there' : 'not there'), "\n";
}
