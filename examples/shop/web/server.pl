# A shop of one table. GET /healthz; GET /items lists as JSON; POST /items adds the item that the body names; GET /visits
# tells how often all machines together were asked. Speaks to the database of $DATABASE_URL through psql, with the password
# in $DB_PASSWORD_FILE, to the cache at $REDIS, and listens on $PORT.
use strict;
use warnings;
use IO::Socket::INET;

$SIG{TERM} = $SIG{INT} = sub { exit 0 };    # a first process without handlers would ignore both

my %reason = (200 => 'OK', 404 => 'Not Found', 503 => 'Service Unavailable');
my $url = $ENV{DATABASE_URL} or die "DATABASE_URL is not set\n";
if (my $file = $ENV{DB_PASSWORD_FILE}) {
    open my $password, '<', $file or die "$file: $!\n";
    chomp($ENV{PGPASSWORD} = <$password>);
}
my $listener = IO::Socket::INET->new(LocalPort => $ENV{PORT} || 8080, Listen => 16, ReuseAddr => 1)
    or die "cannot listen: $@\n";

query('schema.sql') // die "the database takes no schema\n";
print STDERR "listening on ", $listener->sockport, "\n";

while (my $client = $listener->accept) {
    answer($client);
    close $client;
}

sub answer {
    my ($client) = @_;
    my ($method, $path) = (<$client> // '') =~ m{^(\S+) (\S+) HTTP/} or return;
    my $length = 0;
    while (defined(my $header = <$client>)) {
        last if $header =~ /^\r?\n$/;
        $length = $1 if $header =~ /^content-length:\s*(\d{1,4})\r?$/i;
    }
    read $client, my $body, $length;

    my $visits = $path eq '/healthz' ? undef : redis('INCR visits');
    my $answer
        = $path eq '/healthz' ? query('list.sql') && redis('PING') && "ok\n"
        : $path eq '/visits'  ? $visits
        : $path ne '/items'   ? 0
        : $method eq 'GET'    ? query('list.sql')
        : $method eq 'POST'   ? query('add.sql', $body)
        :                       0;
    my $status = !defined $answer ? 503 : $answer ? 200 : 404;
    print STDERR "$method $path $status\n";
    $answer ||= "$reason{$status}\n";
    print $client "HTTP/1.0 $status $reason{$status}\r\nContent-Length: ", length $answer, "\r\n\r\n$answer";
}

# Runs a file of SQL. Answers with what it prints, or with nothing where it fails.
sub query {
    my ($file, $name) = @_;
    my @name = defined $name ? ('-v', "name=$name") : ();
    open my $psql, '-|', 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', @name, '-f', $file, $url or return undef;
    my $out = join '', <$psql>;
    return close $psql ? $out : undef;
}

# Asks the cache. Answers with a number or a word, or with nothing where it does not answer.
sub redis {
    my ($command) = @_;
    my $cache = IO::Socket::INET->new(PeerAddr => $ENV{REDIS}, Timeout => 2) or return undef;
    print $cache "$command\r\n";
    return (<$cache> // '') =~ /^[:+](\w+)/ ? $1 : undef;
}
