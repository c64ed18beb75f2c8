# Takes webhooks on a port of 127.0.0.1 and writes a line for each: event, machine, its id.   perl webhooks.pl PORT
use strict;
use warnings;
use IO::Socket::INET;

my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ARGV[0], Listen => 16, ReuseAddr => 1)
    or die "port $ARGV[0]: $!\n";
$| = 1;
print "listening\n";
while (my $connection = $listener->accept) {
    my ($length, $id, $signed) = (0, "", 0);
    while (defined(my $line = <$connection>)) {
        last if $line =~ /^\r?$/;
        $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
        $id = $1 if $line =~ /^x-webhook-id:\s*(\S+)/i;
        $signed = 1 if $line =~ /^x-webhook-signature:\s*sha256=[0-9a-f]{64}/i;
    }
    read($connection, my $body, $length);
    my ($event) = $body =~ /"event":"([^"]*)"/;
    my ($name) = $body =~ /"name":"([^"]*)"/;
    print "$event $name $id\n" if $signed && defined $event && defined $name;
    print $connection "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    close($connection);
}
