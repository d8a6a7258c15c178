# Fuzz: what the cases of make fuzz share: random choices, a session that works
# and one that looks on, a record of what was done, and what must be true after
# each case.

package Fuzz;

use strict;
use warnings;

use Exporter 'import';
use Session;
use Time::HiRes qw(time);

our @EXPORT = qw($db pick between chance problem tell ask renew worker nap
  must interrupted check_left wait_for_gone %count literal);

our $db;						# looks on, as superuser
our %count;						# for the closing line
our (@story, @problems);		# of this case
my ($node, $worker, $age, $contexts, $last_pid);
my $interrupted;				# how, of the last statement

# The server, for Session
sub connect_to
{
	my ($host, $port, $create) = @_;

	$node = bless { host => $host, port => $port }, 'Fuzz::Node';
	$create->();
	look_on();
	return;
}

sub node { return $node; }

sub Fuzz::Node::host { return shift->{host}; }
sub Fuzz::Node::port { return shift->{port}; }

sub look_on
{
	$db = Session->wait_for_server($node, user => 'postgres', database => 'fuzz');
	return;
}

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand(100) < shift; }
sub nap { return select(undef, undef, undef, shift); }

sub between
{
	my ($low, $high) = @_;
	return $low + int rand($high - $low + 1);
}

sub literal
{
	my $text = shift;

	return 'NULL' if !defined $text;
	$text =~ s/'/''/g;
	$text =~ s/\\/\\\\/g;
	return ($text =~ /\\/ ? 'E' : '') . "'$text'";
}

sub problem
{
	push @problems, @_;
	push @story, map { "-- PROBLEM: $_" } @_;
	return;
}

# The session that works, after a while a new one
sub worker
{
	if (!$worker)
	{
		$worker = Session->wait_for_server($node, user => 'fuzz', database => 'fuzz',
			'fuzz.modulus' => '', 'streamiter.progress_interval' => 0);
		$age = 0;
		undef $contexts;
		$last_pid = $worker->pid;
		push @story, "-- a new session";
	}
	return $worker;
}

sub renew { undef $worker; return; }

# What the session that works says to a statement; interrupted => how, if it was
sub tell
{
	my ($sql, $meanwhile) = @_;
	my $session = worker();

	push @story, "$sql;";
	$interrupted = '';
	$session->send($sql);
	$meanwhile->($session) if $meanwhile;
	my $outcome = $session->finish;
	$outcome->{interrupted} = $interrupted;
	# sooner or later: it may have come to the end of its statement first
	$outcome->{lost} = 1 if $interrupted eq 'terminate';
	if ($outcome->{lost})
	{
		push @story, '-- connection lost';
		renew();
	}
	elsif ($outcome->{error})
	{
		push @story, "-- $outcome->{error}{code}: $outcome->{error}{message}";
		problem("internal error: $outcome->{error}{message}")
		  if $outcome->{error}{code} =~ /^XX/ && $sql !~ /^(?:SELECT expect\(|PREPARE )/;
	}
	return $outcome;
}

# The same, of what has no reason to fail, but that the session was terminated just
# after the statement before
sub must
{
	my $sql = shift;
	my $outcome = &tell($sql);

	problem("$outcome->{error}{message}: $sql") if $outcome->{error} && !$outcome->{lost};
	return $outcome;
}

# One value, from the session that looks on
sub ask { return $db->query(shift); }

# For tell(): cancels or terminates after some time
sub interrupted
{
	my ($how, $longest) = @_;
	my $delay = rand $longest;

	return sub {
		my $session = shift;

		return if $session->done($delay);
		push @story, sprintf '-- %s after %.1f ms', $how, 1000 * $delay;
		$db->query("SELECT pg_${how}_backend(" . $session->pid . ')');
		$interrupted = $how;
		$count{$how}++;
	};
}

# Sessions that were terminated may take their time
sub wait_for_gone
{
	my $pid = $worker ? 0 : $last_pid;

	$db->poll("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid
		OR backend_type = 'streamiter worker')");
	return;
}

# What has a session that does nothing no business to have?
sub check_left
{
	my $session = $worker or return;
	my $pid = $session->pid;
	my $left = $session->query(q{
		SELECT concat_ws(', ',
			(SELECT 'cursors: ' || count(*) FROM pg_cursors HAVING count(*) > 0),
			(SELECT 'contexts: ' || string_agg(name, ' ') FROM pg_backend_memory_contexts
				WHERE name LIKE 'streamiter%' AND name <> 'streamiter statement' HAVING count(*) > 0))});
	problem("left behind: $left") if $left ne '';

	my $now = $session->query(q{
		SELECT string_agg(name || ' ' || n, ', ' ORDER BY name COLLATE "C") FROM (
			SELECT name, count(*) AS n FROM pg_backend_memory_contexts
			WHERE name IN ('PortalContext', 'ExecutorState', 'ExprContext', 'SPI Proc', 'SPI Exec',
				'SPI TupTable', 'TopTransactionContext', 'CurTransactionContext', 'PortalHoldContext')
			GROUP BY name) c});
	$contexts //= $now;
	problem("contexts were $contexts, are $now") if $now ne $contexts;

	my $locks = $db->query("SELECT string_agg(concat_ws(' ', locktype, mode, relation::regclass), ', ')
		FROM pg_locks WHERE pid = $pid");
	problem("locks are left: $locks") if $locks ne '';

	my $size = $session->query(q{SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = 'TopMemoryContext'});
	problem("TopMemoryContext has grown to $size bytes") if $size > 2_000_000;
	renew() if ++$age > 60;
	return;
}

1;
