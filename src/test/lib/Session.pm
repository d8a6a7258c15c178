# Session: a connection that sends a statement and does not wait for it.
#
#	my $session = Session->new($node, %settings);
#	$session->send('CALL ...');			# returns at once
#	$session->done(0.1);				# true once it has ended; waits so long
#	$session->finish;					# waits for it; what became of it
#	my $outcome = $session->try('SELECT 1');	# both
#	my $value = $session->query('SELECT 1');	# dies on an error
#
# What became of a statement: {rows => [[...], ...], notices => [...]}, and, if
# it failed, error => {code, message, detail, hint}; lost => 1 if the connection
# went away.  Each statement goes alone, with the simple protocol.

package Session;

use strict;
use warnings;

use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(time);

# Longer than anything takes
our $patience = 180;

sub new
{
	my ($class, $node, %settings) = @_;
	my $user = delete $settings{user} // getpwuid($>);
	my $database = delete $settings{database} // 'postgres';
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path)
	  or return;
	my $self = bless {socket => $socket, buffer => '', outcome => {}}, $class;
	my $options = join ' ', map { "-c $_=$settings{$_}" } sort keys %settings;

	$self->{busy} = 1;
	my $startup = pack('N', 3 << 16)
	  . "user\0$user\0database\0$database\0options\0$options\0\0";
	$self->_write(pack('N', length($startup) + 4) . $startup);
	my $outcome = $self->finish;
	return if $outcome->{lost} || $outcome->{error};
	return $self;
}

# As new(), but keeps trying: the server may still be starting
sub wait_for_server
{
	my ($class, $node, %settings) = @_;
	my $limit = time + $patience;

	while (time < $limit)
	{
		my $session = $class->new($node, %settings);
		return $session if $session;
		select(undef, undef, undef, 0.01);
	}
	die "the server does not accept connections\n";
}

sub pid { return shift->{pid}; }

sub send
{
	my ($self, $sql) = @_;

	die "a statement is under way\n" if $self->{busy};
	$self->{busy} = 1;
	$self->{outcome} = {};
	$self->_write('Q' . pack('N', length($sql) + 5) . "$sql\0");
	return $self;
}

sub _write
{
	my ($self, $data) = @_;

	local $SIG{PIPE} = 'IGNORE';
	while (length $data)
	{
		my $sent = syswrite($self->{socket}, $data);
		if (!defined $sent)
		{
			$self->_lost;
			return;
		}
		substr($data, 0, $sent) = '';
	}
	return;
}

sub _lost
{
	my $self = shift;

	$self->{outcome}{lost} = 1;
	$self->{busy} = 0;
	return;
}

sub done
{
	my ($self, $seconds) = @_;
	my $limit = time + ($seconds // 0);

	while ($self->{busy})
	{
		my $rest = $limit - time;
		my $ready = '';

		vec($ready, fileno($self->{socket}), 1) = 1;
		return 0 if !select($ready, undef, undef, $rest > 0 ? $rest : 0);
		if (!sysread($self->{socket}, $self->{buffer}, 65536, length $self->{buffer}))
		{
			$self->_lost;
			last;
		}
		$self->_message while $self->_complete;
	}
	return 1;
}

sub _complete
{
	my $self = shift;

	return length $self->{buffer} >= 5
	  && length $self->{buffer} > unpack('x N', $self->{buffer});
}

sub _message
{
	my $self = shift;
	my ($type, $length) = unpack('a N', $self->{buffer});
	my $body = substr($self->{buffer}, 5, $length - 4);
	my $outcome = $self->{outcome};

	substr($self->{buffer}, 0, $length + 1) = '';
	if ($type eq 'D')
	{
		my ($count, @row) = (unpack('n', $body));
		my $at = 2;
		for (1 .. $count)
		{
			my $size = unpack('l>', substr($body, $at, 4));
			push @row, $size < 0 ? undef : substr($body, $at + 4, $size);
			$at += 4 + ($size < 0 ? 0 : $size);
		}
		push @{ $outcome->{rows} }, \@row;
	}
	elsif ($type eq 'E' || $type eq 'N')
	{
		my %field = map { /^(.)(.*)/s } split /\0/, $body;
		my %report = (code => $field{C}, message => $field{M},
			detail => $field{D}, hint => $field{H}, severity => $field{V});

		if ($type eq 'E') { $outcome->{error} = \%report; }
		else { push @{ $outcome->{notices} }, \%report; }
	}
	elsif ($type eq 'K') { $self->{pid} = unpack('N', $body); }
	elsif ($type eq 'Z') { $self->{busy} = 0; }
	return;
}

sub finish
{
	my $self = shift;

	$self->done($patience) or die "a statement does not come to an end\n";
	return $self->{outcome};
}

sub try
{
	my ($self, $sql) = @_;

	return $self->send($sql)->finish;
}

# One value, or for several columns or rows text as of psql -At
sub query
{
	my ($self, $sql) = @_;
	my $outcome = $self->try($sql);

	die "connection lost: $sql\n" if $outcome->{lost};
	die "$outcome->{error}{message}: $sql\n" if $outcome->{error};
	return join "\n",
	  map { join '|', map { $_ // '' } @$_ } @{ $outcome->{rows} // [] };
}

# Waits until a query says "t"
sub poll
{
	my ($self, $sql) = @_;
	my $limit = time + $patience;

	while (time < $limit)
	{
		return 1 if $self->query($sql) eq 't';
		select(undef, undef, undef, 0.005);
	}
	die "never true: $sql\n";
}

# What a query says while a job waits between two batches: the process does so in
# one transaction after the other, and now and then looks at its job between two
sub query_during_wait
{
	my ($self, $pid, $sql) = @_;
	my $wait = "SELECT xact_start FROM pg_stat_activity
		WHERE pid = $pid AND wait_event_type = 'Extension'";
	my $limit = time + $patience;

	while (time < $limit)
	{
		my $before = $self->query($wait);
		my $answer = $self->query($sql);
		return $answer if $before ne '' && $self->query($wait) eq $before;
	}
	die "process $pid does not wait\n";
}

# All notices of the last statement, one per line
sub notices
{
	my $self = shift;

	return join "\n", map { $_->{message} } @{ $self->{outcome}{notices} // [] };
}

1;
