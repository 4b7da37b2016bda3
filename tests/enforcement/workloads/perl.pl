# Forks and pipes, a TCP server and its clients, files, sorting. Status 7.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Select;
use File::Temp qw(tempdir);
use POSIX qw(:sys_wait_h);

$| = 1;
$SIG{USR1} = sub { print "signal\n" };

sub wait_for_line {
    print "$_[0]\n";
    my $input = '';
    until ($input =~ /\n/) {
        my $ready = '';
        vec($ready, 0, 1) = 1;
        next if select($ready, undef, undef, 3600) < 0;    # a signal
        exit 1 unless sysread(STDIN, $input, 100, length $input);
    }
}

wait_for_line('ready');

my %sum;
$sum{ $_ % 17 } += $_ for 1 .. 100_000;
print join(' ', map { $sum{$_} } sort { $a <=> $b } keys %sum), "\n";

my @pipes;
for my $n (1 .. 4) {
    my $pid = open(my $pipe, '-|') // die "fork: $!";
    if (!$pid) {
        print "child $n says ", $n**5, "\n";
        exit $n;
    }
    push @pipes, $pipe;
}
for my $pipe (@pipes) {
    print while <$pipe>;
    close $pipe;
    print 'status ', $? >> 8, "\n";
}

my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $@";
my $client = fork() // die "fork: $!";
if (!$client) {
    for my $n (1 .. 10) {
        my $peer = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->sockport) or die "connect: $@";
        print $peer "hello $n\n";
        my $answer = <$peer>;
        exit 1 if $answer ne "HELLO $n\n";
    }
    exit 0;
}
for (1 .. 10) {
    my $peer = $server->accept;
    my $line = <$peer>;
    print $peer uc $line;
    close $peer;
}
waitpid $client, 0;
print "client $?\n";

my $folder = tempdir(CLEANUP => 1);
open(my $file, '+>', "$folder/file") or die "open: $!";
print $file "line $_\n" for 1 .. 1000;
seek $file, 0, 0;
my @lines = <$file>;
truncate $file, 10;
close $file;
rename "$folder/file", "$folder/moved";
printf "%d lines, %d bytes\n", scalar @lines, -s "$folder/moved";
print `echo from a shell | tr a-z A-Z`;
system('test', '-d', $folder) == 0 or die;
select undef, undef, undef, 0.01;

wait_for_line('worked');
print "done\n";
exit 7;
