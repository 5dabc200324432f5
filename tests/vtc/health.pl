# health.pl PATH - a target whose health is a file: /health is 204 while PATH.well exists, else 503; /body is 200 with
# what PATH.body holds, in two pieces; all else is 200 with its name.
# Its port is written to PATH.port.
use strict;
use warnings;
use IO::Socket::INET;

$SIG{PIPE} = "IGNORE"; # a check leaves when it has seen enough
my $path = shift;
my ($name) = $path =~ m{([^/]*)$};
my $server = IO::Socket::INET->new(Listen => 64, LocalAddr => "127.0.0.1", Proto => "tcp") or die "no port";
open(my $out, ">", "$path.tmp") or die;
print $out $server->sockport;
close($out);
rename("$path.tmp", "$path.port");
while (my $client = $server->accept) {
    my ($first, $line) = (scalar(<$client>) // "", "");
    1 while defined($line = <$client>) && $line =~ /\S/;
    my $status = $first =~ m{ /health } ? (-e "$path.well" ? "204 Well" : "503 Ill") : "200 OK";
    my $body = $status =~ /^200/ ? $name : "";
    if ($first =~ m{ /body }) {
        my $file;
        $body = open($file, "<", "$path.body") ? do { local $/; <$file> } : "";
    }
    my $length = $status =~ /^204/ ? "" : "Content-Length: " . length($body) . "\r\n";
    my $half = int(length($body) / 2);
    syswrite($client, "HTTP/1.1 $status\r\n${length}Connection: close\r\n\r\n" . substr($body, 0, $half));
    select(undef, undef, undef, 0.01) if $half > 0 && $first =~ m{ /body };
    syswrite($client, substr($body, $half));
    close($client);
}
