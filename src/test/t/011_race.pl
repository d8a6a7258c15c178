# Jobs among others: started twice at once, with writers that insert, delete,
# change and move rows under them, cancelled and terminated anywhere.  The truth
# is computed from the data.
#
# RACE_SEED: the number an earlier run has printed, to have its choices again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{RACE_SEED} || int(rand(2**31));
srand $seed;
note "RACE_SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('race');
$node->init;
$node->append_conf('postgresql.conf', q{
	log_statement = none
	autovacuum = off
	deadlock_timeout = 20ms
	max_connections = 20});
$node->start;
my $db = Session->new($node);

sub pick { return $_[ int rand @_ ]; }

$db->query($_) for split /^--$/m, q{
CREATE EXTENSION streamiter;
--
-- "old" rows are there from the first to the last moment, under one key
CREATE TABLE t (
	id bigint PRIMARY KEY, name integer GENERATED ALWAYS AS IDENTITY,
	n integer NOT NULL DEFAULT 0, old boolean NOT NULL DEFAULT false,
	bad boolean NOT NULL DEFAULT false, payload integer NOT NULL DEFAULT 0);
--
CREATE TABLE log (id bigint NOT NULL, name integer NOT NULL);
--
CREATE FUNCTION bump(n integer, bad boolean) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	IF bad THEN
		RAISE EXCEPTION 'bad row';
	END IF;
	RETURN n + 1;
END $$;
--
CREATE FUNCTION work(key bigint) RETURNS void LANGUAGE sql AS $$
	WITH done AS (UPDATE t SET n = bump(n, bad) WHERE id = key RETURNING id, name)
	INSERT INTO log SELECT * FROM done;
$$;
--
SELECT streamiter.register_statement('batch statement', $$
	WITH done AS (UPDATE t SET n = bump(n, bad) WHERE id = ANY ($1) RETURNING id, name)
	INSERT INTO log SELECT * FROM done $$);
--
SELECT streamiter.register_statement('range statement', $$
	WITH done AS (UPDATE t SET n = bump(n, bad) WHERE id BETWEEN $1 AND $2 RETURNING id, name)
	INSERT INTO log SELECT * FROM done $$, per => 'range');
--
SELECT streamiter.register_callback('row function', 'work(bigint)');
--
SELECT streamiter.create_job('job', 'SELECT id FROM t', 'row function')};

# A table of so many rows, some of them bad, and the job at its start
sub begin_pass
{
	my ($rows, $bad, $callback, %settings) = @_;
	my $every = $bad ? $rows / $bad : $rows + 1;
	my $settings = '';

	$settings{lock_rows} //= "'none'";
	$settings{batch_pause} //= "'0'";
	$settings .= ", $_ => $settings{$_}" for sort keys %settings;
	$db->query('DELETE FROM t');
	$db->query('DELETE FROM log');
	$db->query("INSERT INTO t (id, old, bad) SELECT 10 * i, true, i % $every = 0
		FROM generate_series(1, $rows) i");
	$db->query("SELECT streamiter.reset('job')");
	$db->query("SELECT streamiter.alter_job('job', '$callback',
		on_error => 'skip', max_skips => 1000, max_retries => 1000$settings)");
	return;
}

# Whatever is wrong with a finished pass
my $problems = q{
	SELECT 'state ' || state FROM streamiter.jobs
	WHERE state <> CASE WHEN skipped > 0 THEN 'finished_with_skips' ELSE 'finished' END
	UNION ALL
	SELECT format('old row %s: n %s, %s times set aside', id, n, skipped)
	FROM (SELECT t.*, (SELECT count(*) FROM streamiter.skipped s WHERE s.key[1]::bigint = id) AS skipped FROM t) t
	WHERE old AND (n, skipped) IS DISTINCT FROM CASE WHEN bad THEN (0, 1::bigint) ELSE (1, 0::bigint) END
	UNION ALL
	SELECT format('key %s: %s times', id, count(*)) FROM log GROUP BY id HAVING count(*) > 1
	UNION ALL
	SELECT format('row named %s: n %s, logged %s times', t.name, n, count(l.name))
	FROM t LEFT JOIN log l USING (name) GROUP BY t.name, n HAVING n <> count(l.name)
	LIMIT 10};

# -- two at once --------------------------------------------------------------

my @runner = map { Session->new($node) } 1 .. 2;
my %notices;
my @wrong;

begin_pass(40, 0, 'batch statement', chunk_size => 10);
for my $round (1 .. 100)
{
	$db->query('DELETE FROM log');
	$db->query('UPDATE t SET n = 0');
	$db->query("SELECT streamiter.reset('job')");
	my $last = $db->query('SELECT coalesce(max(id), 0) FROM streamiter.run');
	$_->send("CALL streamiter.run('job')") for @runner;
	my @outcomes = map { $_->finish } @runner;
	my @notices = sort map { $_->notices =~ s/.*? (is already running|has finished already|finished).*/$1/r } @runner;

	push @wrong, "$round: " . ($_->{error}{message} // 'connection lost')
	  for grep { $_->{error} || $_->{lost} } @outcomes;
	push @wrong, "$round: @notices"
	  if "@notices" !~ /^(?:finished (?:is already running|has finished already)|has finished already finished)$/;
	push @wrong, "$round: not one run"
	  if $db->query("SELECT count(*) FROM streamiter.run WHERE id > $last") ne '1';
	push @wrong, "$round: " . $db->query($problems) if $db->query($problems) ne '';
	$notices{$_}++ for @notices;
}
is(join("\n", @wrong), '', 'one of two runs works, the other one says why not');
note "$notices{$_} times: $_" for sort keys %notices;

# Many who find nothing to do are in nobody's way, nor make the job look busy
my @idle = map { Session->new($node) } 1 .. 6;
my %seen;
for (my $i = 0; $i < 200 || ($i < 100_000 && keys %seen < 3); $i++)
{
	for my $session (grep { $_->done } @idle)
	{
		$seen{ $session->finish->{error}{message} // $session->notices }++;
		$session->send("CALL streamiter.run('job')");
	}
	$seen{ $db->query('SELECT state FROM streamiter.jobs') }++;
}
$_->finish for @idle;
delete $seen{''};
is_deeply([ sort keys %seen ], [ 'finished', 'job "job" has finished already' ],
	'nothing to do, many times at once');
undef @idle;

# -- with writers -------------------------------------------------------------

# One statement of a writer.  Who gives a row another key, or takes it away, says
# so in the row first: the truth is told by those that are still old.
sub writer_statement
{
	my $rows = shift;
	my $from = 10 * int(rand($rows)) + 10;
	my $to = int(rand(11 * $rows));

	return pick(
		"INSERT INTO t (id) VALUES ($to) ON CONFLICT DO NOTHING",
		"INSERT INTO t (id, bad) VALUES ($to, true) ON CONFLICT DO NOTHING",
		"DELETE FROM t WHERE id = $from",
		"DELETE FROM t WHERE id BETWEEN $to AND $to + 30",
		"UPDATE t SET payload = payload + 1 WHERE id = $from",
		"UPDATE t SET payload = payload + 1 WHERE id BETWEEN $from AND $from + 200",
		"UPDATE t SET payload = payload + 1 WHERE id IN ($from, $to)",
		"UPDATE t SET id = $to, old = false WHERE id = $from
			AND NOT EXISTS (SELECT FROM t WHERE id = $to)",
		"UPDATE t SET id = id + 1, old = false WHERE id = $from
			AND NOT EXISTS (SELECT FROM t WHERE id = $from + 1)",
		"UPDATE t SET id = id - 3, old = false WHERE id = $from
			AND NOT EXISTS (SELECT FROM t WHERE id = $from - 3)");
}

my @writers = map { Session->new($node) } 1 .. 3;
my $rows = 5_000;
for my $case (
	[ 'row function', chunk_size => 100 ],
	[ 'row function', chunk_size => 1000, lock_rows => "'update'" ],
	[ 'batch statement', chunk_size => 300 ],
	[ 'batch statement', chunk_size => 700, lock_rows => "'update'" ],
	[ 'range statement', chunk_size => 100 ],
	[ 'range statement', chunk_size => 900 ],
	[ 'row function', chunk_size => 40, lock_rows => "'update'", workers => 3 ],
	[ 'batch statement', chunk_size => 50, workers => 3 ],
	[ 'range statement', chunk_size => 30, workers => 3 ])
{
	my ($callback, %settings) = @$case;
	my $workers = delete $settings{workers} // 1;
	my ($written, $failed) = (0, 0);

	begin_pass($rows, 8, $callback, batch_pause => "'2 ms'", %settings);
	$runner[0]->send("CALL streamiter.run('job', workers => $workers)");
	while (!$runner[0]->done(0.0005))
	{
		for my $writer (grep { $_->done } @writers)
		{
			my $outcome = $writer->finish;
			$failed++ if $outcome->{error};
			$written++ if !$outcome->{error};
			$writer->send(writer_statement($rows));
		}
	}
	my $outcome = $runner[0]->finish;
	$_->finish for @writers;
	is($outcome->{error}{message} // '', '', "@$case: runs among writers");
	is($db->query($problems), '', "@$case: each row once, no key twice");
	is($db->query('SELECT count(*) > 1 FROM streamiter.slices'), 't', '... in more than one slice')
	  if $workers > 1;
	note "$written writes, $failed failed; ",
	  $db->query('SELECT rows, batches, skipped, retries FROM streamiter.jobs');
}

# -- cancelled and terminated -------------------------------------------------

# The job's counters, the rows and the log agree whenever nobody works
my $disagreement = q{
	SELECT format('rows %s, skipped %s, but %s worked on and %s logged', j.rows, j.skipped, w.n, l.n)
	FROM streamiter.jobs j, (SELECT coalesce(sum(n), 0) n FROM t) w, (SELECT count(*) n FROM log) l
	WHERE j.rows - j.skipped <> w.n OR w.n <> l.n};
my %states;

@wrong = ();
for my $callback ('row function', 'batch statement', 'range statement')
{
	begin_pass(20_000, 5, $callback, chunk_size => 400);
	my $done = 0;
	for my $round (1 .. 60)
	{
		my $runner = $runner[1] //= Session->new($node);
		my $pid = $runner->pid;
		my $before = $db->query('SELECT state FROM streamiter.jobs');
		my $last = $db->query('SELECT max(id) FROM streamiter.run');
		my $terminate = rand() < 0.3;
		my $paused = rand() < 0.2;

		if ($before =~ /^finished/)
		{
			push @wrong, "$callback: $_" for grep { $_ ne '' } $db->query($problems);
			begin_pass(20_000, 5, $callback, chunk_size => 400);
			($before, $done) = ('ready', 0);
		}
		$db->query("SELECT streamiter.alter_job('job', batch_pause => '" . ($paused ? 1 : 0) . " ms')");
		$runner->send("CALL streamiter.run('job')");
		$runner->done(rand pick(0.002, 0.02, 0.05));
		$db->query($terminate ? "SELECT pg_terminate_backend($pid)" : "SELECT pg_cancel_backend($pid)");
		my $outcome = $runner->finish;
		my $code = $outcome->{error}{code} // '';
		if ($outcome->{lost} || $terminate)
		{
			$runner[1] = undef;
			$db->poll("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
		}
		else
		{
			my $left = $runner->query(q{SELECT (SELECT count(*) FROM pg_cursors),
				(SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'object')});
			push @wrong, "left behind: $left" if $left ne '0|0';
		}

		my $state = $db->query('SELECT state FROM streamiter.jobs');
		my $now = $db->query('SELECT rows FROM streamiter.jobs');
		my $begun = $db->query('SELECT max(id) FROM streamiter.run') > $last;
		my $expected = !$begun ? qr/^$before$/
		  : $code eq '57014' ? qr/^stopped$/
		  : $terminate ? qr/^(?:crashed|finished_with_skips)$/
		  : qr/^finished_with_skips$/;
		push @wrong, "round $round: $state after $before, error $code" if $state !~ $expected;
		push @wrong, "round $round: from $done to $now rows" if $now < $done;
		push @wrong, "round $round: $_" for grep { $_ ne '' } $db->query($disagreement);
		$states{ ($terminate ? 'terminated' : 'cancelled') . ($begun ? '' : ' early') . ", then $state" }++;
		$done = $now;
	}
	$db->query("CALL streamiter.run('job')");
	push @wrong, "$callback: $_" for grep { $_ ne '' } $db->query($problems);
}
is(join("\n", @wrong), '', 'cancelled and terminated anywhere: what was committed stays');
note "$states{$_} times $_" for sort keys %states;

# Even where the run's end is being written down
begin_pass(100, 0, 'row function', chunk_size => 10);
$db->query(q{CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock(1);
		RETURN NEW;
	END $$});
$db->query('CREATE TRIGGER hold BEFORE UPDATE ON streamiter.run FOR EACH ROW
	WHEN (NEW.outcome IS NOT NULL) EXECUTE FUNCTION hold()');
$db->query('SELECT pg_advisory_lock(1)');
my $ending = Session->new($node);
my $waits = 'FROM pg_locks WHERE NOT granted AND pid = ' . $ending->pid;
$ending->send("CALL streamiter.run('job')");
$db->poll("SELECT EXISTS (SELECT $waits)");
my $first = $db->query("SELECT waitstart $waits");
$db->query('SELECT pg_cancel_backend(' . $ending->pid . ')');
$db->poll("SELECT EXISTS (SELECT $waits AND waitstart > '$first') OR state <> 'running' FROM streamiter.jobs");
$db->query('SELECT pg_advisory_unlock(1)');
is($ending->finish->{error}{code}, '57014', 'cancelled at its end');
is($db->query('SELECT state FROM streamiter.jobs'), 'stopped', '... a run is not taken for crashed');
$db->query('DROP TRIGGER hold ON streamiter.run');
$db->query("CALL streamiter.run('job')");
is($db->query($problems), '', '... and each row is worked on once');

# statement_timeout is for the whole CALL: what was committed stays, and it says so
begin_pass(20_000, 0, 'row function', chunk_size => 200);
@wrong = ();
my ($timeouts, $hint) = (0, '');
my $hurried = Session->new($node);
while ($timeouts < 1000)
{
	# more each time: a slow machine has to get on, too
	$hurried->try('SET statement_timeout = ' . (100 + 10 * $timeouts));
	my $outcome = $hurried->try("CALL streamiter.run('job')");
	last if !$outcome->{error};
	$hint ||= $outcome->{error}{hint} // '';
	push @wrong, $outcome->{error}{message} if $outcome->{error}{code} ne '57014';
	$timeouts++;
}
cmp_ok($timeouts, '>', 0, 'statement_timeout strikes');
like($hint, qr/statement_timeout covers the whole CALL/, '... and is explained');
is(join("\n", @wrong), '', '... and nothing else');
is($db->query($problems), '', '... and nothing is lost');

# -- the fence ----------------------------------------------------------------

# Should the lock not have held: whoever finds the position moved undoes his batch
begin_pass(100, 0, 'row function', chunk_size => 10);
$db->query(q{CREATE FUNCTION intrude() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE streamiter.slice SET position = '{505}' WHERE NEW.id = 500;
		RETURN NEW;
	END $$});
$db->query('CREATE TRIGGER intrude BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION intrude()');
my $fenced = $db->try("CALL streamiter.run('job')");
is($fenced->{error}{code}, '55000', 'a position that somebody else has moved ends the run');
is($db->query('SELECT count(*), sum(n) FROM t WHERE n > 0'), '40|40', '... and undoes the batch');
$db->query('DROP TRIGGER intrude ON log');
$db->query("CALL streamiter.run('job')");
is($db->query($problems), '', '... and the next run goes on');

# -- a commit that fails ---------------------------------------------------------

# As the last of three in a circle, it is found out only when it commits
begin_pass(100, 0, 'row function', chunk_size => 50);
$db->query($_) for (
	'CREATE TABLE other AS SELECT 0 AS n',
	q{CREATE OR REPLACE FUNCTION bump(n integer, bad boolean) RETURNS integer LANGUAGE plpgsql AS
		'BEGIN RETURN n + 1 + (SELECT min(0) FROM other); END'},
	q{CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'},
	'CREATE TRIGGER hold AFTER UPDATE OF position ON streamiter.slice
		FOR EACH ROW EXECUTE FUNCTION hold()',
	'SELECT pg_advisory_lock(1)');
my ($circular, $reader, $writer) = map { Session->new($node, default_transaction_isolation => 'serializable') } 1 .. 3;
$circular->send("CALL streamiter.run('job')");
$db->poll('SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = ' . $circular->pid . ')');
$reader->query($_) for 'BEGIN', 'SELECT sum(n) FROM t';
$writer->query('UPDATE other SET n = n + 1');
$db->query('SELECT pg_advisory_unlock(1)');
is($circular->finish->{error}, undef, 'a batch that cannot be committed is tried again');
cmp_ok($db->query('SELECT retries FROM streamiter.jobs'), '>', 0, '... and counts as such');
is($db->query($problems), '', '... and its rows once');
$reader->query('ROLLBACK');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal/, 'no crash');
done_testing();
