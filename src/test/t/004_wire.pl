# Clients that take a result some rows at a time: Execute with a row limit, as
# JDBC's setFetchSize() sends it, on our functions and on an iterator's own
# portal.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

# A session that speaks the extended protocol too
package Wire;

our @ISA = ('Session');

# Messages by their letters; those that end an Execute go to the outcome
my %ending = (C => 'complete', s => 'suspended', I => 'empty');

sub _message
{
	my $self = shift;
	my $end = $ending{ substr($self->{buffer}, 0, 1) };

	$self->{outcome}{end} = $end if $end;
	return $self->SUPER::_message;
}

sub _request
{
	my ($self, @messages) = @_;

	$self->{busy} = 1;
	$self->{outcome} = {};
	for (@messages, [ 'S', '' ])
	{
		my ($type, $body) = @$_;
		$self->_write($type . pack('N', length($body) + 4) . $body);
	}
	return $self->finish;
}

# A portal of that name for a statement
sub bind
{
	my ($self, $portal, $sql) = @_;

	return $self->_request([ 'P', "\0$sql\0" . pack('n', 0) ],
		[ 'B', "$portal\0\0" . pack('n n n', 0, 0, 0) ]);
}

# Some rows of it: "1 2 3 suspended"
sub execute
{
	my ($self, $portal, $limit) = @_;
	my $outcome = $self->_request([ 'E', "$portal\0" . pack('N', $limit) ]);

	return $outcome->{error}{code} if $outcome->{error};
	return join ' ', (map { join '|', @$_ } @{ $outcome->{rows} // [] }), $outcome->{end};
}

package main;

my $node = PostgreSQL::Test::Cluster->new('wire');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION streamiter;
	CREATE TABLE item AS SELECT g AS id FROM generate_series(1, 10) g;
	CREATE SEQUENCE calls;
	CREATE FUNCTION take(integer) RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('calls') $$});

my $wire = Wire->new($node);

sub open_iterator
{
	my ($query, $chunk_size) = @_;

	$wire->query('BEGIN');
	return $wire->query("SELECT streamiter.iterator('$query', $chunk_size)");
}

sub nothing_left
{
	my $when = shift;

	is( $wire->query(q{
			SELECT (SELECT count(*) FROM pg_cursors),
				(SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'streamiter%')}),
		'0|0', "$when: nothing left");
	return;
}

# next_batch(), its rows taken three at a time
{
	my $it = open_iterator('SELECT id FROM item', 4);
	my $next = "SELECT * FROM streamiter.next_batch('$it', NULL::int)";

	$wire->bind('a', $next);
	is($wire->execute('a', 3), '1 2 3 suspended', 'part of a batch');
	$wire->bind('b', $next);
	is($wire->execute('b', 3), '5 6 7 suspended', 'part of the next, meanwhile');
	is($wire->query("FETCH 1 FROM $it"), '9', 'FETCH goes on behind both');
	is($wire->execute('a', 3), '4 complete', 'rest of the first');
	is($wire->execute('b', 1), '8 suspended', 'just the rest of the second');
	is($wire->execute('b', 1), 'complete', 'nothing more in it');
	$wire->bind('', $next);
	is($wire->execute('', 0), '10 complete', 'the last batch, all at once');
	$wire->bind('', $next);
	is($wire->execute('', 2), 'complete', 'and no more');
	$wire->query('COMMIT');
	nothing_left('next_batch');
}

# The function's rows left half-way
{
	my $it = open_iterator('SELECT id FROM item', 4);

	$wire->bind('a', "SELECT * FROM streamiter.next_batch('$it', NULL::int)");
	is($wire->execute('a', 1), '1 suspended', 'one row of a batch');
	is($wire->query("SELECT streamiter.close('$it')"), '', 'the iterator is closed');
	is($wire->execute('a', 9), '2 3 4 complete', 'the batch is there still');
	$wire->query('COMMIT');
	nothing_left('closed');
}

# The iterator's own portal
{
	my $it = open_iterator('SELECT id FROM item', 2);

	is($wire->execute($it, 3), '1 2 3 suspended', 'the iterator itself');
	is($wire->query("SELECT * FROM streamiter.next_batch('$it', NULL::int)"),
		"4\n5", 'next_batch goes on behind');
	is($wire->execute($it, 1), '6 suspended', 'and the iterator behind that');
	is($wire->query("FETCH 1 FROM $it"), '7', 'and FETCH');
	is($wire->query("SELECT * FROM streamiter.next_batch('$it', NULL::int)"),
		"8\n9", 'next_batch again');
	is($wire->execute($it, 9), '10 complete', 'the rest');
	is($wire->execute($it, 9), 'complete', 'no more');
	is($wire->query("SELECT * FROM streamiter.next_batch('$it', NULL::int)"),
		'', 'nor for next_batch');
	$wire->query('COMMIT');
	nothing_left('iterator');
}

# A batch that ends at max_batch_memory, not at chunk_size
{
	$wire->query("SET streamiter.max_batch_memory = '64kB'");
	my $it = open_iterator('SELECT id, repeat($$x$$, 40000) FROM item', 9);
	my $next = "SELECT id FROM streamiter.next_batch('$it', NULL::record) AS (id int, x text)";

	is($wire->query($next), "1\n2", 'two wide rows');
	is($wire->execute($it, 1) =~ s/\|x+//r, '3 suspended', 'one from the portal');
	is($wire->query($next), "4\n5", 'two more');
	$wire->bind('a', $next);
	is($wire->execute('a', 1), '6 suspended', 'one of two');
	$wire->query('RESET streamiter.max_batch_memory');
	is($wire->query($next), "8\n9\n10", 'all the rest');
	is($wire->execute('a', 1), '7 suspended', 'the other one of two');
	$wire->query('COMMIT');
	nothing_left('wide rows');
}

# for_each(): a walk is finished before its row is sent
{
	my $walk = "SELECT rows, batches FROM streamiter.for_each('SELECT id FROM item', 'take(integer)'";

	$wire->query('BEGIN');
	$wire->bind('a', "$walk, 3)");
	is($wire->execute('a', 1), '10|4 suspended', 'one walk');
	is($wire->query('SELECT last_value FROM calls'), '10', 'has called for all its rows');
	is($wire->execute('a', 1), 'complete', 'and is over');

	$wire->bind('b', "SELECT w.* FROM generate_series(1, 3) i, LATERAL ($walk, i)) w");
	is($wire->execute('b', 1), '10|10 suspended', 'one of three walks');
	is($wire->query('SELECT last_value FROM calls'), '20', 'has called');
	is($wire->execute('b', 1), '10|5 suspended', 'another');
	is($wire->query('SELECT last_value FROM calls'), '30', 'has called too');
	$wire->query('COMMIT');
	nothing_left('for_each');
	is($wire->query('SELECT last_value FROM calls'), '30', 'the third was never asked for');
}

# An error between two parts, and outside a transaction block
{
	my $it = open_iterator('SELECT 6 / (6 - id) FROM item', 4);

	is($wire->execute($it, 4), '1 1 2 3 suspended', 'rows before an error');
	is($wire->execute($it, 4), '22012', 'the error');
	is($wire->execute($it, 4), '25P02', 'the transaction has failed');
	$wire->query('ROLLBACK');
	is($wire->execute($it, 4), '34000', 'the iterator is gone');
	nothing_left('error');

	$wire->bind('', q{SELECT streamiter.iterator('SELECT id FROM item')});
	is($wire->execute('', 1), '34000', 'no portal outlives Sync');
	nothing_left('no transaction block');
}

unlike(slurp_file($node->logfile),
	qr/WARNING:|PANIC|TRAP|terminated by signal/, 'the server has noticed nothing wrong');
$node->stop;

done_testing();
