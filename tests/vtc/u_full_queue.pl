# u_full_queue.pl - a listener whose queue is full: the kernel drops whoever knocks next, so that a
# connect() waits. Prints its address, and waits to be ended.
use strict;
use warnings;
use IO::Socket::INET;
use Socket;
my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:0", Listen => 1) or die $!;
my @waiting;
for (1 .. 8) {
    socket(my $client, PF_INET, SOCK_STREAM, 0) or die $!;
    $client->blocking(0);
    connect($client, pack_sockaddr_in($listener->sockport, inet_aton("127.0.0.1")));
    push @waiting, $client;
}
$| = 1;
print "127.0.0.1:", $listener->sockport, "\n";
sleep 30;
