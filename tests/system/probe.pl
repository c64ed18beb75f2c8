# Runs in place of a service, as the service does, and tries what it has no business with. Each line is what the kernel
# said: "allowed" is the wrong word, and so is "unclear", which is another error than those of a sandbox.
#   perl probe.pl UNIT [PATH-THAT-IS-NOT-ITS-OWN...]
use strict;
use warnings;
use Config;
use Errno qw(EACCES EAFNOSUPPORT ENOENT EPERM EROFS);

my ($unit, @others) = @ARGV;
# By hand, as root, it would do all this to the machine.
die "probe: only as a service with an account of its own\n" if !$ENV{INVOCATION_ID} || $> == 0;

# report WHAT DONE ERROR...: ERRORs are what a refusal may be.
sub report {
    my ($what, $done, @refusals) = @_;
    my $word = $done ? "allowed" : (grep { $! == $_ } @refusals) ? "refused" : "unclear";
    print "probe: $what: $word", ($done ? "" : " ($!)"), "\n";
}

sub can_write {
    my ($path, $text) = @_;
    open(my $file, ">", $path) or return 0;
    return defined(syswrite($file, $text // ""));
}

sub can_read {
    open(my $file, "<", $_[0]) or return 0;
    return defined(sysread($file, my $byte, 1));
}

# Or all the rest would be refused for another reason than the sandbox.
print "probe: writes to its own directories\n" if can_write("/var/lib/$unit/probe") && can_write("/run/$unit/probe");
unlink("/var/lib/$unit/probe", "/run/$unit/probe");
# Where /tmp can be written at all, it is a private one: the caller looks whether this can be seen.
can_write("/tmp/probe");

# What is hidden is as good as refused.
my @closed = (EACCES, ENOENT, EPERM, EROFS);
for my $path ("/etc/x", "/etc/$unit/config.toml", "/usr/bin/$unit", "/var/lib/x", "/boot/x", "/var/log/x") {
    report("write $path", can_write($path), @closed);
}
report("write /proc/sys/kernel/hostname", can_write("/proc/sys/kernel/hostname", "x"), @closed);
report("read $_", can_read($_), @closed) for "/etc/shadow", "/proc/1/environ", "/proc/kcore", "/dev/kmsg", @others;
report("see a file in a home", -e "/home/person/diary", @closed);
report("see a disk", scalar(grep { -e } "/dev/sda", "/dev/vda", "/dev/mmcblk0", "/dev/mem"), @closed);

# The kernel's numbers, which are others for each processor (asm/unistd.h); so are the names of some for 32 bits: what a
# program calls mmap is mmap2 there, setuid is setuid32, and older ones stand beside them.
my %numbers = (
    x86_64 => {
        bpf => 321, chroot => 161, clock_settime => 227, init_module => 175, mknodat => 259, mmap => 9, mount => 165,
        ptrace => 101, reboot => 169, sched_setscheduler => 144, setuid => 105, socket => 41, unshare => 272,
    },
    aarch64 => {
        bpf => 280, chroot => 51, clock_settime => 112, init_module => 105, mknodat => 33, mmap => 222, mount => 40,
        ptrace => 117, reboot => 142, sched_setscheduler => 119, setuid => 146, socket => 198, unshare => 97,
    },
    arm => {
        bpf => 386, chroot => 61, clock_settime => 404, init_module => 128, mknodat => 324, mmap => 192, mount => 21,
        ptrace => 26, reboot => 88, sched_setscheduler => 156, setuid => 213, socket => 281, unshare => 337,
        old_clock_settime => 262, old_setuid => 23,
    },
);
my ($processor) = $Config{archname} =~ /^([^-]*)-/;
my $number = $numbers{$processor} or die "probe: no numbers for $processor\n";

# Each as [name, argument...]. What were allowed would do no harm: the kernel asks for the right first, and finds only then
# that this clock is older than the machine, or that module empty. Sockets: AF_NETLINK 16, AF_PACKET 17, AF_BLUETOOTH 31.
my %call = (
    "ptrace" => ["ptrace", 16, 1, 0, 0],
    "mount" => ["mount", "none", "/tmp", "tmpfs", 0, 0],
    "unshare" => ["unshare", 0x10000000],
    "bpf" => ["bpf", 0, 0, 0],
    "load a module" => ["init_module", 0, 0, ""],
    "set the clock" => ["clock_settime", 0, pack("qq", 1, 0)],
    "reboot" => ["reboot", 0xfee1dead, 672274793, 0, 0],
    "memory that is writable and executable" => ["mmap", 0, 4096, 7, 0x22, -1, 0],
    "a packet socket" => ["socket", 17, 3, 0],
    "a Bluetooth socket" => ["socket", 31, 3, 0],
    "become root" => ["setuid", 0],
    "chroot" => ["chroot", "/tmp"],
    "a real-time thread" => ["sched_setscheduler", 0, 1, pack("i", 1)],
    # A node of /dev/null's own numbers is as good as any: AT_FDCWD, path, S_IFCHR | 0666, 1:3.
    "make a device" => ["mknodat", -100, "/run/$unit/device", 0020666, 0x103],
);
# Beside EPERM.
my %refusal = (socket => [EAFNOSUPPORT], mmap => [EACCES]);
if ($processor eq "arm") {
    $call{"set the clock, by the old name"} = ["old_clock_settime", 0, pack("ll", 1, 0)];
    $call{"become root, by the old name"} = ["old_setuid", 0];
}
# The daemon asks the kernel about links and reads what other processes do; the monitor has no such business.
if ($unit eq "heartbeat-monitor") {
    $call{"a netlink socket"} = ["socket", 16, 3, 0];
    report("see another process", -e "/proc/1/status", @closed);
    report("see the machine's figures", -e "/proc/meminfo", @closed);
}
for my $what (sort keys %call) {
    my ($name, @arguments) = @{ $call{$what} };
    report($what, syscall($number->{$name}, @arguments) != -1, EPERM, @{ $refusal{$name} // [] });
}
print "probe: done\n";
