# Jobs that several processes work on: each row exactly once, whatever the key
# and however it is distributed, whoever of them is cancelled or killed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('parallel');
$node->init;
$node->append_conf('postgresql.conf', q{
	max_worker_processes = 6
	max_parallel_workers_per_gather = 0
	autovacuum = off
	restart_after_crash = on
	log_min_messages = warning});
$node->start;
my $db = Session->wait_for_server($node);

my $workers = q{pg_stat_activity WHERE backend_type = 'streamiter worker'};

sub is_query { my ($sql, $expected, $name) = @_; return is($db->query($sql), $expected, $name); }
# Nobody passes row "any" or "last" of a slow job while we hold its gate
my %gates = (any => 7, last => 8);
sub shut { return $db->query("SELECT pg_advisory_lock($gates{$_[0]})"); }
sub open_gate { return $db->query("SELECT pg_advisory_unlock($gates{$_[0]})"); }
sub nap { return select undef, undef, undef, rand shift; }
sub wait_for_no_workers { return $db->poll("SELECT count(*) = 0 FROM $workers"); }

# Each key in the table is in the log exactly once, put there by two processes or
# as many as are asked for; the log is then emptied
sub is_once
{
	my ($table, $name, $processes) = @_;
	$processes //= 2;
	is_query("SELECT count(*), count(DISTINCT k) = count(*),
		count(*) = (SELECT count(*) FROM $table), count(DISTINCT pid) >= $processes FROM log",
		$db->query("SELECT count(*) FROM $table") . '|t|t|t', $name);
	$db->query('TRUNCATE log');
	return;
}

$db->query($_) for (
	'CREATE EXTENSION streamiter',
	'CREATE TABLE log (k text, pid integer, at timestamptz DEFAULT clock_timestamp())',
	q{CREATE FUNCTION note(text) RETURNS void LANGUAGE sql AS
		'INSERT INTO log VALUES ($1, pg_backend_pid())'},
	q{CREATE FUNCTION slow(text) RETURNS void LANGUAGE plpgsql AS
		'BEGIN
			PERFORM pg_advisory_xact_lock_shared(7);
			IF $1 = ''999'' THEN PERFORM pg_advisory_xact_lock_shared(8); END IF;
			INSERT INTO log VALUES ($1, pg_backend_pid());
			PERFORM pg_sleep(0.001);
		END'},
	# our first row waits until so many processes have committed a batch
	q{CREATE FUNCTION wait_for_team() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF pg_backend_pid() = current_setting('my.pid')::integer AND current_setting('my.team')::integer > 1 THEN
			WHILE (SELECT count(DISTINCT pid) FROM log WHERE pid <> pg_backend_pid())
				< current_setting('my.team')::integer - 1 LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
			PERFORM set_config('my.team', '1', false);
		END IF;
	END $$},
	"SET my.pid = ${\ $db->pid}",
	'CREATE SEQUENCE row_number MINVALUE -100000',
	'CREATE TABLE int_key AS SELECT g AS id FROM generate_series(1, 6000) g',
	'CREATE TABLE text_key AS SELECT md5(g::text) AS id FROM generate_series(1, 6000) g',
	'CREATE TABLE uuid_key AS SELECT md5(g::text)::uuid AS id FROM generate_series(1, 6000) g',
	'CREATE TABLE skewed AS SELECT CASE WHEN g <= 5400 THEN g ELSE g * 100000 END AS id
		FROM generate_series(1, 6000) g',
	'CREATE TABLE pair_key AS SELECT g % 7 AS a, g::text AS b FROM generate_series(1, 6000) g',
	# so big that bounds are found in a sample of the pages
	q{CREATE TABLE "Big key" ("Id" text PRIMARY KEY, pad text)},
	q{ALTER TABLE "Big key" ALTER pad SET STORAGE plain},
	q{INSERT INTO "Big key" SELECT g, repeat('x', 3000) FROM generate_series(1, 2500) g},
	q{CREATE TABLE big_parts ("Id" text PRIMARY KEY, pad text) PARTITION BY RANGE ("Id")},
	'ALTER TABLE big_parts ALTER pad SET STORAGE plain',
	q{CREATE TABLE part1 PARTITION OF big_parts FOR VALUES FROM ('1') TO ('3')},
	q{CREATE TABLE part2 PARTITION OF big_parts FOR VALUES FROM ('3') TO ('X')},
	'INSERT INTO big_parts TABLE "Big key"',
	(map { "ALTER TABLE $_ ADD PRIMARY KEY (id)" } qw(int_key text_key uuid_key skewed)),
	'ALTER TABLE pair_key ADD PRIMARY KEY (a, b)');

for my $table (qw(int_key pair_key skewed text_key uuid_key))
{
	$db->query("CREATE FUNCTION each_$table($table) RETURNS void LANGUAGE plpgsql AS
		'BEGIN
			INSERT INTO log SELECT (\$1)::text, pg_backend_pid();
			PERFORM pg_sleep(CASE WHEN nextval(''row_number'') > 5000 THEN 0.003 ELSE 0.0002 END), wait_for_team();
		END'");
	# the last thousand rows take so long that nobody is late for them
	$db->query("SELECT setval('row_number', " . ($table eq 'skewed' ? 1 : -100_000) . ')');
	$db->query("SELECT streamiter.create_job('$table', 'TABLE $table',
		'each_$table($table)', chunk_size => 50)");
	$db->query('SET my.team = 3');
	my $outcome = $db->try("CALL streamiter.run('$table', workers => 3)");
	is($outcome->{error}, undef, "$table: three processes");

	# of work that is unevenly spread each has its part, up to the last batches
	is_query('SELECT count(DISTINCT pid) > 1, count(DISTINCT pid) FILTER (WHERE n > 5000) =
			count(DISTINCT pid) FROM (SELECT pid, row_number() OVER (ORDER BY at) AS n FROM log) t',
		't|t', 'skewed: all work until the end') if $table eq 'skewed';
	is_once($table, "$table: each row once");
	is_query("SELECT state, rows FROM streamiter.jobs WHERE name = '$table'",
		'finished|6000', "$table: finished");
}

for my $table ('"Big key"', 'big_parts')
{
	$db->query("SELECT streamiter.create_job('big', 'SELECT \"Id\" FROM $table', 'note(text)', chunk_size => 20)");
	my $outcome = $db->try("CALL streamiter.run('big', workers => 2)");
	is($outcome->{error}, undef, "$table: two processes");
	is_once($table, "$table: each row once", 1);
	$db->query("SELECT streamiter.drop_job('big')");
}

# -- one slice, or many, for any number of processes ---------------------------

$db->query("SELECT streamiter.reset('int_key')");
$db->query("CALL streamiter.run('int_key', max_rows => 300)");
is_query("SELECT count(*) FROM streamiter.slices WHERE name = 'int_key'", 1,
	'alone: one slice');
$db->query('SET my.team = 2');
$db->query("CALL streamiter.run('int_key', workers => 4, max_rows => 1234)");
is_query("SELECT rows, state FROM streamiter.jobs WHERE name = 'int_key'",
	'1534|stopped', 'max_rows is exact over four processes');
cmp_ok($db->query("SELECT count(*) FROM streamiter.slices WHERE name = 'int_key'"),
	'>', 3, 'then many');
$db->query("CALL streamiter.run('int_key', max_rows => 1000)");
$db->query("CALL streamiter.run('int_key', workers => 2, max_duration => '50 ms')");
$db->query("CALL streamiter.run('int_key', workers => 3)");
is_query("SELECT rows, state FROM streamiter.jobs WHERE name = 'int_key'",
	'6000|finished', 'workers may change between runs');
is_once('int_key', '... and each row comes once');
is_query("SELECT sum(rows) FROM streamiter.runs WHERE name = 'int_key' AND pass > 1",
	6000, 'the runs add up');

# -- all are busy until the end -------------------------------------------------

# All the work is in the last tenth of the keys
$db->query('CREATE TABLE steep AS SELECT g AS id FROM generate_series(1, 3000) g');
$db->query('ALTER TABLE steep ADD PRIMARY KEY (id)');
$db->query(q{CREATE FUNCTION steep(integer) RETURNS void LANGUAGE plpgsql AS
	'BEGIN INSERT INTO log VALUES ($1, pg_backend_pid());
	PERFORM wait_for_team();
	IF $1 > 2800 THEN PERFORM pg_sleep(0.01); END IF; END'});
$db->query('SET my.team = 2');
$db->query("SELECT streamiter.create_job('steep', 'TABLE steep', 'steep(integer)', chunk_size => 5)");
$db->query("CALL streamiter.run('steep', workers => 2)");
is_query('SELECT count(*), min(n) > 20 FROM (SELECT count(*) AS n FROM log WHERE k::integer > 2800 GROUP BY pid) t',
	'2|t', 'work that is all in one place is shared all the same');
is_once('steep', '... each row once');

# -- deaths -----------------------------------------------------------------------

sub slow_job
{
	my ($name, @more) = @_;
	$db->query("DROP TABLE IF EXISTS $name");
	$db->query("CREATE TABLE $name AS SELECT g::text AS id FROM generate_series(1, 2000) g");
	$db->query("ALTER TABLE $name ADD PRIMARY KEY (id)");
	$db->query("SELECT streamiter.create_job('$name', 'TABLE $name', 'slow(text)', chunk_size => 20"
		. join('', map { ", $_" } @more) . ')');
	return;
}

slow_job('dying');
my $caller = Session->new($node);
shut('last');
$caller->send("CALL streamiter.run('dying', workers => 3)");
# not before all have committed some of their work
$db->poll('SELECT count(DISTINCT pid) = 3 FROM log');
for my $left (1, 0)
{
	is_query("SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM $workers LIMIT 1) t",
		1, 'a worker is terminated');
	$db->poll("SELECT count(*) = $left FROM $workers");
	nap(0.2);
}
open_gate('last');
my $outcome = $caller->finish;
is($outcome->{error}, undef, 'the others take over');
is_once('dying', '... each row once', 3);

# Returns while the caller and two helpers are somewhere within the work
sub call_three
{
	my $name = shift;
	shut($_) for keys %gates;
	$caller->send("CALL streamiter.run('$name', workers => 3)");
	$db->poll("SELECT count(*) = 2 FROM $workers AND query LIKE '%slice%'");
	return;
}

slow_job('cancelled');
call_three('cancelled');
like($db->query("SELECT query FROM $workers LIMIT 1"), qr/job "cancelled".*slice \d+, batch \d+/,
	'pg_stat_activity tells what a worker does');
is_query("SELECT streamiter.job_state(id) FROM streamiter.job WHERE name = 'cancelled'",
	'running', 'it runs');
open_gate('any');
nap(0.2);
$db->query('SELECT pg_cancel_backend(' . $caller->pid . ')');
is($caller->finish->{error}{code}, '57014', 'the caller is cancelled');
is_query("SELECT count(*) FROM $workers", 0, '... and its workers have gone');
is_query("SELECT state FROM streamiter.jobs WHERE name = 'cancelled'", 'stopped', '... it stopped');
open_gate('last');

call_three('cancelled');
open_gate('any');
nap(0.2);
$db->query('SELECT pg_terminate_backend(' . $caller->pid . ')');
$caller->finish;
wait_for_no_workers();
is_query("SELECT state FROM streamiter.jobs WHERE name = 'cancelled'", 'crashed',
	'a caller that is terminated takes its workers along');
open_gate('last');
$caller = Session->new($node);
is($caller->try("CALL streamiter.run('cancelled', workers => 2)")->{error}, undef,
	'the next run goes on');
is_once('cancelled', '... each row once');

slow_job('killed');
call_three('killed');
open_gate('any');
nap(0.2);
kill 'KILL', $db->query("SELECT pid FROM $workers LIMIT 1");
ok($caller->finish->{lost}, 'a worker is killed, and with it all sessions');
$db = Session->wait_for_server($node);
$caller = Session->wait_for_server($node);
is_query("SELECT state FROM streamiter.jobs WHERE name = 'killed'", 'crashed', 'it crashed');
$caller->try("CALL streamiter.run('killed', workers => 3)");
is_once('killed', '... and the next run does the rest');

# -- errors ------------------------------------------------------------------------

$db->query(q{CREATE FUNCTION picky(integer) RETURNS void LANGUAGE plpgsql AS
	$$BEGIN
		IF $1 % 100 = 7 THEN
			RAISE EXCEPTION 'no %', $1 USING ERRCODE = 'UE001', DETAIL = 'a detail', HINT = 'a hint';
		END IF;
		INSERT INTO log VALUES ($1, pg_backend_pid()); PERFORM pg_sleep(0.0005);
	END$$});
# a caller that never works leaves the error to a worker
$db->query(q{CREATE FUNCTION helper_fails(integer) RETURNS void LANGUAGE plpgsql AS
	$$BEGIN
		IF (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()) = 'client backend' THEN
			PERFORM pg_sleep(0.02);
		ELSE
			RAISE EXCEPTION 'no %', $1 USING ERRCODE = 'UE001', DETAIL = 'a detail', HINT = 'a hint';
		END IF;
	END$$});
$db->query("SELECT streamiter.create_job('failing', 'TABLE int_key', 'helper_fails(integer)', chunk_size => 10)");
$outcome = $caller->try("CALL streamiter.run('failing', workers => 2)");
is("$outcome->{error}{code} $outcome->{error}{detail} $outcome->{error}{hint}",
	'UE001 a detail a hint', 'an error in a worker reaches the caller');
like($outcome->{error}{message}, qr/^no \d+$/, '... with its message');
is_query("SELECT state, sqlstate FROM streamiter.jobs WHERE name = 'failing'", 'failed|UE001',
	'... and the job has failed');
is_query("SELECT detail, context ~ 'PL/pgSQL function helper_fails', first_key IS NOT NULL
	FROM streamiter.runs WHERE name = 'failing'", 'a detail|t|t', '... for that reason');

$db->query("SELECT streamiter.create_job('skipping', 'TABLE int_key', 'picky(integer)',
	chunk_size => 20, on_error => 'skip', max_skips => 60)");
$outcome = $caller->try("CALL streamiter.run('skipping', workers => 3)");
is($outcome->{error}, undef, 'bad rows are set aside by whoever meets them');
is_query("SELECT state, skipped, rows FROM streamiter.jobs WHERE name = 'skipping'",
	'finished_with_skips|60|6000', '... as many as may be');
$db->query("SELECT streamiter.reset('skipping')");
$db->query("SELECT streamiter.alter_job('skipping', max_skips => 17)");
$outcome = $caller->try("CALL streamiter.run('skipping', workers => 3)");
is($outcome->{error}{code}, 'UE001', 'one more fails the job');
is_query("SELECT count(*) FROM streamiter.skipped WHERE name = 'skipping'", 17,
	'... and no more have been set aside, by all together');
$db->query('TRUNCATE log');

# -- start --------------------------------------------------------------------------

slow_job('started');
$db->query('BEGIN');
$db->query("SELECT streamiter.create_job('unseen', 'TABLE int_key', 'picky(integer)')");
is($db->try("SELECT streamiter.start('unseen')")->{error}{code}, '55000',
	'a job nobody can see yet cannot be started');
$db->query('ROLLBACK');
shut('any');
$caller->query("SELECT streamiter.start('started', workers => 3)");
$db->poll("SELECT count(*) = 3 FROM $workers");
$caller->try("SELECT streamiter.start('started', workers => 3)");
like($caller->notices, qr/already running/, 'a job that runs is not started again');
open_gate('any');
$db->query('SELECT pg_terminate_backend(' . $caller->pid . ')');
$db->poll("SELECT state = 'finished' FROM streamiter.jobs WHERE name = 'started'");
is_once('started', 'it goes on without its caller');
wait_for_no_workers();
$db->try("SELECT streamiter.start('started')");
like($db->notices, qr/finished already/, 'a job that has finished is not started');
$db->query("SELECT streamiter.create_job('failing_start', 'TABLE int_key', 'helper_fails(integer)')");
$db->query("SELECT streamiter.start('failing_start')");
$db->poll("SELECT state = 'failed' FROM streamiter.jobs WHERE name = 'failing_start'");
is_query("SELECT sqlstate FROM streamiter.runs WHERE name = 'failing_start'", 'UE001',
	'what became of it is in streamiter.runs');

# -- slots and rights ---------------------------------------------------------------

wait_for_no_workers();
slow_job('crowded');
$caller = Session->new($node);
$outcome = $caller->try("CALL streamiter.run('crowded', workers => 12)");
is($outcome->{error}, undef, 'more workers than slots');
like($caller->notices, qr/goes on with \d+ of 12 workers/, '... are asked for');
is_once('crowded', '... each row once');

for my $number (qw(0 -1 10000 NULL))
{
	is($db->try("CALL streamiter.run('crowded', workers => $number)")->{error}{code},
		'22023', "workers => $number");
}

$db->query('CREATE ROLE regress_nologin');
$db->query('GRANT CREATE ON SCHEMA public TO regress_nologin');
$db->query('GRANT ALL ON log TO regress_nologin');
$db->query('SET ROLE regress_nologin');
slow_job('nologin');
$outcome = $db->try("CALL streamiter.run('nologin', workers => 2)");
if ($db->query('SHOW server_version_num') < 170000)
{
	is($outcome->{error}{code}, '28000', 'an owner who cannot log in is told so');
	is_query("SELECT rows FROM streamiter.jobs WHERE name = 'nologin'", 0, '... before any work');
}
else
{
	is($outcome->{error}, undef, 'an owner who cannot log in has workers');
}
$db->query('RESET ROLE');

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
$db = Session->wait_for_server($node);
slow_job('alone');
$outcome = $db->try("CALL streamiter.run('alone', workers => 3)");
is($outcome->{error}, undef, 'without any slot the caller works alone');
like($db->notices, qr/goes on with 1 of 3 workers/, '... and says so');
is_query("SELECT state, rows FROM streamiter.jobs WHERE name = 'alone'", 'finished|2000',
	'... to the end');
is($db->try("SELECT streamiter.start('int_key')")->{error}, undef, 'start of a finished job');
$db->query("SELECT streamiter.reset('alone')");
is($db->try("SELECT streamiter.start('alone')")->{error}{code}, '53000', 'nothing can be started');

done_testing();
