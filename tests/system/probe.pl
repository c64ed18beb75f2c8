# Runs in place of a service, as the service does, and tries what it has no business with. Each line is what the kernel
# said; "allowed" is the wrong word.   perl probe.pl UNIT [PATH-THAT-IS-NOT-ITS-OWN...]
use strict;
use warnings;

my ($unit, @others) = @ARGV;

sub report {
    my ($what, $done) = @_;
    print "probe: $what: ", ($done ? "allowed" : "refused ($!)"), "\n";
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

for my $path ("/etc/x", "/etc/$unit/config.toml", "/usr/bin/$unit", "/var/lib/x", "/boot/x", "/var/log/x") {
    report("write $path", can_write($path));
}
report("write /proc/sys/kernel/hostname", can_write("/proc/sys/kernel/hostname", "x"));
report("read $_", can_read($_)) for "/etc/shadow", "/proc/1/environ", "/proc/kcore", "/dev/kmsg", @others;
report("see a file in a home", -e "/home/person/diary");
report("see a disk", -e "/dev/sda" || -e "/dev/mem");
# A node of /dev/null's own numbers is as good as any: mknod(path, S_IFCHR | 0666, 1:1).
report("make a device", syscall(133, "/run/$unit/device", 0020666, 0x101) == 0);

# Numbers of x86-64.
my %call = (
    "ptrace" => [101, 16, 1, 0, 0],
    "mount" => [165, "none", "/tmp", "tmpfs", 0, 0],
    "unshare" => [272, 0x10000000],
    "bpf" => [321, 0, 0, 0],
    "load a module" => [175, 0, 0, ""],
    "set the clock" => [227, 0, pack("qq", 1, 0)],
    "reboot" => [169, 0xfee1dead, 672274793, 0, 0],
    "memory that is writable and executable" => [9, 0, 4096, 7, 0x22, -1, 0],
    "a packet socket" => [41, 17, 3, 0],
    "a Bluetooth socket" => [41, 31, 3, 0],
    "become root" => [105, 0],
    "chroot" => [161, "/tmp"],
    "a real-time thread" => [144, 0, 1, pack("i", 1)],
);
# The daemon asks the kernel about links and reads what other processes do; the monitor has no such business.
if ($unit eq "heartbeat-monitor") {
    $call{"a netlink socket"} = [41, 16, 3, 0];
    report("see another process", -e "/proc/1/status");
    report("see the machine's figures", -e "/proc/meminfo");
}
for my $what (sort keys %call) {
    my ($number, @rest) = @{ $call{$what} };
    report($what, syscall($number, @rest) != -1);
}
print "probe: done\n";
