# Walks: cases of for_each and of iterators.

package Walks;

use strict;
use warnings;

use Fuzz;
use List::Util qw(max min);
use POSIX qw(ceil);
use Time::HiRes qw(time);

our @queries;					# sqlsmith's

our %callbacks = (
	text => [ 'note_plpgsql(text)', 'note_sql(text)', 'note_expression(text)', 'note_strict(text)',
		'note_walk(text)', 'note batch', 'note statement' ],
	failing => [ 'good_plpgsql(text)', 'good_expression(text)', 'good batch', 'good statement' ],
	whole => [ 'note_record(record)' ],
	native => [ 'streamiter_native_count(internal)', 'streamiter_native_count_batch(internal)' ]);

# Of ours, some longer than sqlsmith's
sub own_query
{
	my $rows = pick(0, 1, 2, 107, between(0, 3000), between(0, 3000));

	return pick('TABLE base', 'TABLE wide', 'TABLE nothing', 'SELECT * FROM joined ORDER BY id DESC',
		'SELECT * FROM grouped', "VALUES (1, 'one'), (2, NULL), (NULL, NULL)",
		'SELECT a.id, b.v FROM base a, wide b', 'SELECT id, ai, ap, p FROM base ORDER BY id LIMIT 17 OFFSET 5',
		"SELECT i, repeat('x', i % 500) AS x FROM generate_series(1, $rows) i",
		"SELECT i % 7 AS a, NULL AS b FROM generate_series(1, $rows) i ORDER BY a",
		"SELECT 1 / (i - $rows) AS a FROM generate_series(1, 3000) i",
		"SELECT 1 AS a FROM generate_series(1, $rows) i UNION ALL SELECT id FROM base");
}

# A query, as text if that is wanted; then also the arguments it takes
sub source
{
	my $shape = shift;
	my $query = @queries && chance(70) ? pick(@queries) : own_query();
	my %source = (sorted => 0);

	# sqlsmith's have few rows
	if (chance(30))
	{
		my $times = between(2, 200);
		$query = "SELECT * FROM ($query) q, generate_series(1, $times)";
	}

	if ($shape eq 'text' || $shape eq 'failing')
	{
		$query = "SELECT s::text AS r FROM ($query) s";
		if (chance(25))
		{
			my $length = between(1, 60);
			$source{args} = "ROW($length)";
			$source{plain} = "$query WHERE length(s::text) > $length";
			$query .= ' WHERE length(s::text) > $1';
		}
		else
		{
			$source{plain} = $query;
		}
		if (chance(50))
		{
			$source{sorted} = 1;
			$_ .= ' ORDER BY 1' for $query, $source{plain};
		}
	}
	else
	{
		$source{plain} = $query;
	}
	$source{query} = $query;
	return \%source;
}

# The same, with what is expected of it; none if that cannot be said
sub expected_source
{
	my ($shape, $fast) = @_;
	my $whole = $shape =~ /text|failing/ ? 'false' : 'true';

	for my $try (1 .. 3)
	{
		my $source = source($shape);
		if (!expect($source, $fast, $whole))
		{
			$count{discarded}++;
			return;
		}
		# most of sqlsmith's are empty, and tell little
		return $source if $source->{rows} > 0 || chance(20);
	}
	return;
}

# Has the server do what it would without us, twice; false if that says nothing
sub expect
{
	my ($source, $fast, $whole) = @_;
	my ($before, $code);

	must('TRUNCATE log, expected RESTART IDENTITY');
	for my $time (1, 2)
	{
		my $begun = time;
		must('TRUNCATE expected RESTART IDENTITY') if $time == 2;
		must("SET statement_timeout = '1s'");
		my $outcome = tell(sprintf 'SELECT expect(%s, %s, %s)', literal($source->{plain}), $fast, $whole);
		must('RESET statement_timeout');
		$source->{seconds} = time - $begun;
		$code = $outcome->{error} ? $outcome->{error}{code} : '';
		# an internal error of the server's own says nothing of us
		return if $code =~ /^(?:5[37]|XX)/ || $outcome->{lost};

		my $now = ask(q{SELECT md5(string_agg(r, '|' ORDER BY n)) FROM expected}) . $code;
		return if defined $before && $now ne $before;
		$before = $now;
	}
	$source->{error} = $code;
	$source->{rows} = ask('SELECT count(*) FROM expected');
	return 1;
}

sub chunk
{
	my $rows = shift;

	return pick(1, 2, 3, 7, max($rows - 1, 1), max($rows, 1), $rows + 1, between(1, 100), 2000, 1_000_000, 0, -1)
	  if chance(90);
	return 'NULL';
}

# What differs between the log and the rows that are expected there?
sub compare
{
	my ($sorted, $filter) = @_;

	$filter = $filter ? 'WHERE NOT is_bad(r)' : '';
	my $order = $sorted ? 'n' : 'r COLLATE "C"';
	my $differ = ask(qq{
		SELECT count(*) FROM
			(SELECT r, row_number() OVER (ORDER BY $order) FROM expected $filter) e
			FULL JOIN (SELECT r, row_number() OVER (ORDER BY $order) FROM log) l USING (row_number)
		WHERE e.r IS DISTINCT FROM l.r});
	problem("$differ rows differ") if $differ;
	return;
}

sub interrupt
{
	my $source = shift;

	return if !chance(25);
	return interrupted(chance(80) ? 'cancel' : 'terminate', $source->{seconds});
}

# Did it end as it had to?  true if it did its work
sub judge
{
	my ($outcome, @codes) = @_;
	my $code = $outcome->{lost} ? 'lost' : $outcome->{error} ? $outcome->{error}{code} : '';

	push @codes, '57014' if $outcome->{interrupted} eq 'cancel';
	push @codes, '57P01', 'lost' if $outcome->{interrupted} eq 'terminate';
	$count{errors}++ if $code ne '';
	problem("ended with \"$code\", not with " . join ' or ', map { "\"$_\"" } @codes)
	  if !grep { $_ eq $code } @codes;
	return $code eq '';
}

# -- for_each -----------------------------------------------------------------

sub walk_case
{
	my $shape = pick('text', 'text', 'failing', 'failing', 'whole', 'native');
	my $callback = pick(@{ $callbacks{$shape} });
	my $source = expected_source($shape, 'false') or return;
	my %walk = (callback => $callback, shape => $shape, chunk => 0);

	$walk{modulus} = $shape eq 'failing' ? pick(2, 3, 7, 50) : '';
	$walk{skip} = chance(60);
	$walk{max_skips} = pick(0, 1, 10, 1000, 100_000);
	$walk{alone} = chance(60);
	$walk{small} = chance(20);
	$walk{chunk} = chunk($source->{rows});
	$db->query("SET fuzz.modulus = '$walk{modulus}'");
	must("SET fuzz.modulus = '$walk{modulus}'");
	must("SET streamiter.max_batch_memory = '64kB'") if $walk{small};
	must('SELECT streamiter_native_result()') if $shape eq 'native';
	do_walk($source, \%walk);
	must('RESET streamiter.max_batch_memory');
	return;
}

sub do_walk
{
	my ($source, $walk) = @_;
	my $meanwhile = interrupt($source);
	my $call = sprintf 'SELECT * FROM streamiter.for_each(%s, %s, %s, args => %s, on_error => %s, max_skips => %d)',
	  literal($source->{query}), literal($walk->{callback}), $walk->{chunk}, $source->{args} // 'NULL',
	  $walk->{skip} ? "'skip'" : "'stop'", $walk->{max_skips};
	my $bad = $walk->{modulus} ? ask('SELECT count(*) FROM expected WHERE is_bad(r)') : 0;

	if (!$walk->{alone})
	{
		must('BEGIN');
		must('SAVEPOINT s');
	}
	my $outcome = tell($call, $meanwhile);
	my $native = !$outcome->{lost} && !$outcome->{error} && $walk->{shape} eq 'native'
	  && tell('SELECT rows FROM streamiter_native_result()')->{rows}[0][0];
	if (!$walk->{alone})
	{
		must('ROLLBACK TO s') if $outcome->{error} && !$outcome->{lost};
		# terminated right after it, it has done nothing
		return if !$outcome->{lost} && must('COMMIT')->{lost};
	}

	my @codes = ('');
	@codes = ('UE001') if $bad > ($walk->{skip} ? $walk->{max_skips} : 0);
	# of a query that fails nobody knows which rows come before that
	@codes = ($source->{error}, $walk->{modulus} ? 'UE001' : ()) if $source->{error} ne '';
	@codes = ('22023') if $walk->{chunk} ne 'NULL' && $walk->{chunk} < 1;
	if (!judge($outcome, @codes))
	{
		return if ask('SELECT count(*) FROM log') == 0;
		# terminated when it had committed, and had not yet said so
		if ($outcome->{interrupted} eq 'terminate' && $walk->{alone} && $codes[0] eq '') { compare($source->{sorted}, $bad > 0); }
		else { problem('effects of a walk that failed'); }
		return;
	}

	my ($rows, $batches, $skipped) = @{ $outcome->{rows}[0] };
	my $chunk = $walk->{chunk} eq 'NULL' ? 2000 : $walk->{chunk};
	problem("$rows rows, not $source->{rows}") if $rows != $source->{rows};
	problem("$skipped skipped, not $bad") if $skipped != $bad;
	# rows of more than half of streamiter.max_batch_memory may end a batch early
	my $small = $walk->{small} || ask('SELECT sum(octet_length(r)) > 32 * 1024 * 1024 FROM expected') eq 't';
	problem("$batches batches of $chunk for $rows rows")
	  if !$small && $batches != ceil($rows / $chunk) || $batches < ceil($rows / $chunk);
	if ($walk->{shape} eq 'native')
	{
		problem("the callback has counted $native rows of $rows") if $native != $rows;
	}
	else
	{
		compare($source->{sorted}, $bad > 0);
	}
	$count{rows} += $rows;
	return;
}

# -- iterators ----------------------------------------------------------------

sub iterator_case
{
	my $source = expected_source('text', 'true') or return;
	my $chunk = chunk($source->{rows});
	my $bad_chunk = $chunk ne 'NULL' && $chunk < 1;
	my @expected = map { $_->[0] } @{ $db->try('SELECT r FROM expected ORDER BY n')->{rows} // [] };
	my (@rows, $lost);

	must('BEGIN');
	my $outcome = tell(sprintf 'SELECT streamiter.iterator(%s, %s, %s)',
		literal($source->{query}), $chunk, $source->{args} // 'NULL');
	if (judge($outcome, $bad_chunk ? '22023' : ('', $source->{error} || ())))
	{
		$lost = pull($source, $outcome->{rows}[0][0], $chunk, \@rows);
		return if !defined $lost;
		if (!$source->{sorted})
		{
			@rows = sort @rows;
			@expected = sort @expected;
		}
		problem(sprintf 'the iterator has %d rows, plain SQL %d, or they differ', scalar @rows, scalar @expected)
		  if !$lost && join("\0", @rows) ne join("\0", @expected);
		$count{rows} += @rows;
	}
	must(pick('COMMIT', 'ROLLBACK'));
	return;
}

# Pulls until the end; true if it has not come to that, undef if the session is gone
sub pull
{
	my ($source, $name, $chunk, $rows) = @_;
	my $it = literal($name);
	my $meanwhile = chance(20) ? interrupted(chance(80) ? 'cancel' : 'terminate', $source->{seconds}) : undef;
	my $ended = 0;
	my $stop = chance(15) ? between(0, 5) : -1;

	while ($ended < 2)
	{
		return 1 if $stop-- == 0;
		my $size = $chunk eq 'NULL' ? 2000 : $chunk;
		my $fetch = "SELECT * FROM streamiter.next_batch($it, NULL::text)";
		if (chance(15))
		{
			$size = between(1, 20);
			$fetch = qq{FETCH $size FROM "$name"};
		}
		my $outcome = tell($fetch, $meanwhile);
		if (!judge($outcome, '', $source->{error} || ()))
		{
			return if $outcome->{lost};
			must('ROLLBACK');
			return 1;
		}
		my @batch = map { $_->[0] } @{ $outcome->{rows} // [] };
		problem(scalar @batch . " rows in a batch of $size") if @batch > $size;
		problem('rows after the end') if $ended && @batch;
		$ended++ if !@batch;
		push @$rows, @batch;
	}
	problem('an error is missing') if $source->{error} ne '';
	must(pick("SELECT streamiter.close($it)", qq{CLOSE "$name"})) if chance(50);
	return 0;
}

1;
