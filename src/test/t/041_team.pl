# What several processes that work on a job have in common: its rates, its
# progress, its history, and the settings of whoever called it; and what becomes
# of the work of one that ends.

use strict;
use warnings;

use FindBin;
use List::Util qw(max);
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('team');
$node->init;
$node->append_conf('postgresql.conf', q{
	max_worker_processes = 100
	max_parallel_workers_per_gather = 0
	autovacuum = off
	log_min_messages = warning});
$node->start;
my $db = Session->wait_for_server($node);
my $caller = Session->wait_for_server($node);
$Session::patience = 60;
my $workers = q{pg_stat_activity WHERE backend_type = 'streamiter worker'};

sub is_query { my ($sql, $expected, $name) = @_; return is($db->query($sql), $expected, $name); }

# The caller's first row waits until two helpers have committed a batch.  One of
# them leaves work for the other, however late that one may come.
$db->query($_) for (
	'CREATE EXTENSION streamiter',
	'CREATE TABLE item AS SELECT g AS id FROM generate_series(1, 2000) g',
	'ALTER TABLE item ADD PRIMARY KEY (id)',
	'ANALYZE item',
	'CREATE TABLE log (id integer, pid integer DEFAULT pg_backend_pid(), at timestamptz DEFAULT clock_timestamp())',
	'CREATE TABLE team (size integer)',
	'INSERT INTO team VALUES (3)',
	q{CREATE FUNCTION work(integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO log VALUES ($1);
		IF pg_backend_pid() = current_setting('my.pid', true)::integer THEN
			WHILE (SELECT count(DISTINCT pid) FROM log) < (SELECT size FROM team) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
		ELSIF $1 % 50 = 1 AND (SELECT count(*) FROM log) > 500 THEN
			WHILE (SELECT count(DISTINCT pid) FROM log) < (SELECT size FROM team) - 1 LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
		END IF;
	END $$});

sub create_job
{
	my ($name, $settings, $work) = @_;

	$db->query('TRUNCATE log');
	$db->query("SELECT streamiter.create_job('$name', 'SELECT id FROM item', '"
		  . ($work // 'work(integer)') . "', $settings)");
	$caller->query("SET my.pid = '" . $caller->pid . "'");
	return;
}

# Whoever worked did each row once; and so many did
sub is_once
{
	my ($name, $processes) = @_;

	is_query("SELECT count(*), count(DISTINCT id), count(DISTINCT pid) FROM log",
		"2000|2000|$processes", "$name: each row once, by $processes processes");
	return;
}

sub last_run
{
	my ($name, $column) = @_;

	return $db->query("SELECT $column FROM streamiter.runs WHERE name = '$name' ORDER BY run DESC LIMIT 1");
}

# -- rates ------------------------------------------------------------------------

# Each process may begin at once, so it is less than a second for each row a
# second: 1000 rows of the 2000 are what three times the rate could not do
create_job('rate', 'chunk_size => 50, max_rows_per_second => 1000');
is($caller->try("CALL streamiter.run('rate', workers => 3)")->{error}, undef, 'a rate for three');
is_once('rate', 3);
is(last_run('rate', "ended - started > '1.5 s'"), 't', 'they share it');
is(last_run('rate', "wait_time ? 'max_rows_per_second'"), 't', 'they waited for it');

# All three wait, for a time that we measure, but for looks at the job
create_job('waits', 'chunk_size => 50, max_rows_per_second => 1');
$caller->send("CALL streamiter.run('waits', workers => 3)");
$db->poll("SELECT count(*) = 3 FROM pg_stat_activity WHERE query ~ '^waiting for max_rows_per_second'");
my $since = $db->query('SELECT clock_timestamp()');
$db->poll("SELECT clock_timestamp() > '$since'::timestamptz + interval '1 s'");
my $waited = $db->query("SELECT extract(epoch FROM clock_timestamp() - '$since')");
$db->query(q{SELECT streamiter.alter_job('waits', unset => '{max_rows_per_second}')});
is($caller->finish->{error}, undef, 'a rate that is no more');
cmp_ok(last_run('waits', "wait_time ->> 'max_rows_per_second'"), '>', 2 * $waited, 'their waits are added up');

create_job('wal', q{chunk_size => 50, max_wal_rate => '1 kB'});
$caller->send("CALL streamiter.run('wal', workers => 3)");
$db->poll("SELECT count(*) = 2 FROM $workers AND query ~ '^waiting for max_wal_rate'");
$db->query(q{SELECT streamiter.alter_job('wal', max_wal_rate => '1 TB')});
is($caller->finish->{error}, undef, 'a changed rate holds for all');
is_once('wal', 3);
cmp_ok(last_run('wal', 'wal_bytes'), '>', 2000 * 50, 'WAL of all is counted');

# -- what ends their waits ----------------------------------------------------------

for ([ 'pause', 'paused', 'resume' ], [ 'cancel', 'cancelled', 'reset' ])
{
	my ($request, $state, $undo) = @$_;

	create_job($request, "chunk_size => 50, batch_pause => '1 hour'");
	$caller->send("CALL streamiter.run('$request', workers => 3)");
	$db->poll("SELECT count(*) = 3 FROM pg_stat_activity WHERE query ~ '^waiting for batch_pause'");
	# but for the moments in which they look at the job
	ok($db->poll("SELECT (count(*), count(backend_xid), count(backend_xmin)) = (3, 0, 0) FROM pg_stat_activity
		WHERE query ~ '^waiting for'"), 'they wait without a transaction id or a snapshot');
	$db->query("SELECT streamiter.$request('$request')");
	is($caller->finish->{error}, undef, "$request reaches all of them");
	is_query("SELECT state, rows FROM streamiter.jobs WHERE name = '$request'", "$state|150",
		"... after one batch of each");
	is_query("SELECT count(*) FROM $workers", 0, '... and they have gone');
}

# (the helpers may be late for that, and then nobody is to wait for them)
$db->query('UPDATE team SET size = 1');
create_job('deadline', "chunk_size => 50, batch_pause => '1 hour'");
$caller->try("CALL streamiter.run('deadline', workers => 3, max_duration => '1 s')");
$db->query('UPDATE team SET size = 3');
is_query("SELECT state FROM streamiter.jobs WHERE name = 'deadline'", 'stopped', 'max_duration reaches all');

# -- progress ------------------------------------------------------------------------

create_job('seen', 'chunk_size => 20, max_rows_per_second => 600');
$caller->query("SET streamiter.progress_interval = '1s'");
$caller->send("CALL streamiter.run('seen', workers => 3)");
my (@percents, @rates);
until ($caller->done(0.05))
{
	my ($percent, $rate) = split /\|/, $db->query("SELECT percent, coalesce(rows_per_second, 0)
		FROM streamiter.progress WHERE name = 'seen' AND state = 'running'");
	next if !defined $percent || $percent eq '';
	push @percents, $percent;
	push @rates, $rate;
}
is_deeply([ grep { $percents[$_] < $percents[ $_ - 1 ] || $percents[$_] > 100 } 1 .. $#percents ],
	[], 'percent never falls, and is never above 100');
my @told = grep { /rows\/s/ } map { $_->{message} } @{ $caller->finish->{notices} };
cmp_ok(scalar @told, '>=', 2, 'a line now and then');
my @told_percents = map { /: ([\d.]+)%/ } @told;
is_deeply([ grep { $told_percents[$_] < $told_percents[ $_ - 1 ] } 1 .. $#told_percents ],
	[], '... nor there');
# the rate of one of them is 200; the machine may stand still for a while
my $rate = max(map { /(\d+) rows\/s/ } @told);
ok($rate > 300 && $rate < 1800, "the rate is that of all: $rate");
cmp_ok(max(@rates), '>', 300, 'in the view, too: ' . max(@rates));
$caller->query('SET streamiter.progress_interval = 0');

# nobody works on what a run has left
$db->query("SELECT streamiter.reset('seen')");
$caller->try("CALL streamiter.run('seen', workers => 3, max_rows => 400)");
$db->query("SELECT streamiter.alter_job('seen', batch_pause => '1 hour', unset => '{max_rows_per_second}')");
$caller->send("CALL streamiter.run('seen')");
$db->poll("SELECT wait_reason IS NOT NULL FROM streamiter.progress WHERE name = 'seen'");
is_query("SELECT count(row_rate) <= 1 FROM streamiter.slice JOIN streamiter.job ON job_id = id
	WHERE name = 'seen' AND NOT done", 't', 'slices that wait have no rate');
$db->query("SELECT streamiter.cancel('seen')");
$caller->finish;

# a helper's line is told by the leader while it waits for the last of them
create_job('last', 'chunk_size => 1000', 'slow_helper(integer)')
  if $db->query(q{CREATE FUNCTION slow_helper(integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO log VALUES ($1);
		IF pg_backend_pid() = current_setting('my.pid')::integer THEN
			WHILE (SELECT count(*) FROM pg_stat_activity WHERE query ~ 'slice \d+, batch') = 0 LOOP
				PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
			END LOOP;
		ELSIF $1 % 1000 = 0 THEN
			PERFORM pg_sleep(2.5);
		END IF;
	END $$}) eq '';
$caller->query("SET streamiter.progress_interval = '1s'");
$caller->try("CALL streamiter.run('last', workers => 2)");
cmp_ok(scalar(grep { /rows\/s/ } split /\n/, $caller->notices), '>=', 1,
	'who waits for the others tells how far they are');
is_once('last', 2);

# -- settings ------------------------------------------------------------------------

$db->query('CREATE ROLE regress_owner LOGIN');
$db->query('ALTER ROLE regress_owner SET my.role = owner');
$db->query('GRANT ALL ON log, team TO regress_owner');
$db->query('GRANT SELECT ON item TO regress_owner');
$db->query('GRANT regress_owner TO CURRENT_USER');
$db->query('CREATE TABLE fired (id integer)');
$db->query('GRANT ALL ON fired TO regress_owner');
$db->query('ALTER TABLE log ADD seen text DEFAULT concat_ws(\',\', current_user, session_user,
	current_setting(\'work_mem\'), current_setting(\'my.value\', true), current_setting(\'my.role\', true),
	current_setting(\'session_replication_role\'), current_setting(\'TimeZone\'), current_setting(\'streamiter.chunk_size\'))');
$db->query(q{CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN INSERT INTO fired VALUES (NEW.id); RETURN NULL; END'});
$db->query('CREATE TRIGGER fire AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION fire()');
$db->query('SET ROLE regress_owner');
$db->query('SET TimeZone = \'Asia/Tokyo\'');
create_job('settings', 'chunk_size => NULL');
$db->query('RESET ROLE');
# set by a superuser, and out of the owner's reach
$caller->query($_) for ('SET session_replication_role = replica', q{SET work_mem = '2345kB'},
	q{SET my.value = 'it''s \ ""'}, 'SET streamiter.chunk_size = 40', 'SET TimeZone = \'UTC\'',
	'SET ROLE regress_owner');
is($caller->try("CALL streamiter.run('settings', workers => 3)")->{error}, undef, 'settings of a caller');
is_once('settings', 3);
my $me = $db->query('SELECT session_user');
is_query(q{SELECT count(DISTINCT pid), seen FROM log GROUP BY seen ORDER BY 1},
	"1|regress_owner,$me,2345kB,it's \\ \"\",replica,Asia/Tokyo,40\n"
	  . '2|regress_owner,regress_owner,2345kB,it\'s \ "",owner,replica,Asia/Tokyo,40',
	'helpers have them, but log in as the owner');
is_query('SELECT count(*) FROM fired', 0, 'no trigger fired for any');

# what an unprivileged user has set does not become a superuser's
$caller->query('RESET ROLE');
$caller->query($_) for ('SET ROLE regress_owner', q{SET plperl.on_plperl_init = 'die'});
$db->query("SELECT streamiter.reset('settings')") if $db->query('SET ROLE regress_owner') eq '';
$db->query('TRUNCATE log') if $db->query('RESET ROLE') eq '';
is($caller->try("CALL streamiter.run('settings', workers => 3)")->{error}, undef, 'a setting of no module');
is_once('settings', 3);
$caller = Session->wait_for_server($node);
$db->query($_) for ('DROP TRIGGER fire ON log', 'ALTER TABLE log DROP seen');

# Nobody gets to the end while we hold the gate
$db->query(q{CREATE FUNCTION gated(integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF $1 = 2000 THEN
			PERFORM pg_advisory_xact_lock_shared(7);
		END IF;
		PERFORM work($1);
	END $$});

# -- one that ends ---------------------------------------------------------------------

for my $how (qw(pg_cancel_backend pg_terminate_backend))
{
	create_job($how, "chunk_size => 10, max_rows_per_second => 2000", 'gated(integer)');
	$db->query('SELECT pg_advisory_lock(7)');
	$caller->send("CALL streamiter.run('$how', workers => 3)");
	$db->poll('SELECT count(DISTINCT pid) = 3 FROM log');
	my $victim = $db->query("SELECT pid FROM $workers LIMIT 1");
	is_query("SELECT $how($victim)", 't', "$how of one helper");
	$db->poll("SELECT count(*) = 0 FROM $workers AND pid = $victim");
	$db->query('SELECT pg_advisory_unlock(7)');
	is($caller->finish->{error}, undef, '... does not end the job');
	is_once($how, 3);
	is_query("SELECT state, rows FROM streamiter.jobs WHERE name = '$how'", 'finished|2000',
		'... its slice is taken up');
}

# rows of the budget that it had are not to be had again, and the run ends
create_job('budget', "chunk_size => 100", 'hold(integer)')
  if $db->query(q{CREATE FUNCTION hold(integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO log VALUES ($1);
		IF pg_backend_pid() <> current_setting('my.pid')::integer THEN
			PERFORM pg_sleep(3600);
		ELSE
			WHILE (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid <> pg_backend_pid()) = 0 LOOP
				PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
			END LOOP;
		END IF;
	END $$}) eq '';
$caller->send("CALL streamiter.run('budget', workers => 2, max_rows => 300)");
$db->poll("SELECT rows = 200 FROM streamiter.jobs WHERE name = 'budget'");
$db->query("SELECT pg_terminate_backend(pid) FROM $workers");
is($caller->finish->{error}, undef, 'a helper ends with rows of the budget');
is_query("SELECT state, rows FROM streamiter.jobs WHERE name = 'budget'", 'stopped|200',
	'... which nobody else gets');

# a helper that cannot even begin
$db->query('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
$db->query('SET ROLE regress_owner');
create_job('shut', 'chunk_size => 100');
$db->query('RESET ROLE');
$caller->query('UPDATE team SET size = 1');
$caller->query('SET ROLE regress_owner');
is($caller->try("CALL streamiter.run('shut', workers => 3)")->{error}, undef, 'helpers that may not come');
like($caller->notices, qr/2 of the workers of job "shut" did not begin/, '... are missed');
is_query('SELECT count(*) FROM log', 2000, '... and all is done without them');
$caller->query('RESET ROLE');

# -- a throttle query that does not answer -----------------------------------------------

# (what is there to stay is no reason to wait)
for ([ 'SELECT up FROM flag', '42P01', 'DROP TABLE flag' ],
	[ 'SELECT 1 / count(*) > 1 FROM flag', '22012', 'TRUNCATE flag' ])
{
	my ($query, $code, $break) = @$_;

	$db->query('CREATE TABLE IF NOT EXISTS flag (up boolean)');
	$db->query('INSERT INTO flag VALUES (false)');
	create_job("broken $code", "max_retries => 1000, throttle_query => '$query'");
	$db->query($break);
	is($caller->try("CALL streamiter.run('broken $code', workers => 2, max_duration => '1 min')")->{error}{code},
		$code, "$query: fails");
	is_query("SELECT state, sqlstate FROM streamiter.jobs WHERE name = 'broken $code'", "failed|$code",
		'... the job');
}
$db->query('CREATE TABLE IF NOT EXISTS flag (up boolean)');
$db->query(q{CREATE FUNCTION far() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM flag) THEN RETURN false; END IF;
		RAISE EXCEPTION 'no route() to host: it is far away' USING ERRCODE = '08001';
	END $$});
$db->query('TRUNCATE flag');
create_job('far', q{max_retries => 1000, throttle_query => 'SELECT far()'});
$caller->try(q{CALL streamiter.run('far', max_duration => '600 ms')});
is_query(q{SELECT state, rows FROM streamiter.jobs WHERE name = 'far'}, 'stopped|0', 'one that cannot be asked is waited for');
$caller->send(q{CALL streamiter.run('far')});
$db->poll(q{SELECT wait_reason = 'throttle_query (error: no route() to host: it is far away)'
	FROM streamiter.progress WHERE name = 'far' AND wait_reason IS NOT NULL
	UNION ALL SELECT false LIMIT 1});
ok(1, 'the error is the reason to wait');
$db->query('INSERT INTO flag VALUES (true)');
is($caller->finish->{error}, undef, '... until it answers');
like($caller->notices, qr/waits, since its throttle_query does not answer: no route/,
	'... which the caller is warned of');

# -- everything that a job may be, with several processes ---------------------------------

$db->query('UPDATE team SET size = 3');
$db->query('TRUNCATE log');
$caller = Session->wait_for_server($node);
$db->query(q{CREATE FUNCTION picky(integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF $1 % 500 = 1 AND NOT EXISTS (SELECT FROM flag WHERE NOT up) THEN
			RAISE EXCEPTION 'no %', $1;
		END IF;
		PERFORM work($1);
	END $$});
create_job('all', q{chunk_size => 40, on_error => 'skip', lock_rows => 'update', recurrence => 'repeat'},
	'picky(integer)');
$caller->try("CALL streamiter.run('all', workers => 3)");
is_query(q{SELECT state, rows, skipped FROM streamiter.jobs WHERE name = 'all'},
	'finished_with_skips|2000|4', 'rows set aside');
is_query('SELECT count(*), count(DISTINCT id), count(DISTINCT pid) FROM log', '1996|1996|3',
	'... and no others, by any of three that lock rows');
$db->query('INSERT INTO flag VALUES (false)');
$db->query(q{SELECT streamiter.retry_skipped('all')});
$caller->try("CALL streamiter.run('all', workers => 3)");
is_query(q{SELECT state, rows, skipped FROM streamiter.jobs WHERE name = 'all'}, 'finished|2000|0',
	'... are tried again');
is_once('all', 3);
$db->query('TRUNCATE log');
$caller->try("CALL streamiter.run('all', workers => 3)");
is_once('next pass', 3);
is_query(q{SELECT array_agg(DISTINCT pass)::text FROM streamiter.runs WHERE name = 'all'}, '{1,2}',
	'a pass each');

# a slice for each row, left by a run
create_job('many', 'chunk_size => 50');
$caller->query('UPDATE team SET size = 1');
$caller->try("CALL streamiter.run('many', max_rows => 50)");
my $many = $db->query(q{SELECT id FROM streamiter.job WHERE name = 'many'});
$db->query("INSERT INTO streamiter.slice (job_id, slice, pass, run_id, lower, position, upper, done, updated)
	SELECT job_id, g, pass, run_id, ARRAY[g], ARRAY[g], ARRAY[g + 1], false, now()
	FROM streamiter.slice, generate_series(60, 1999) g WHERE job_id = $many");
$db->query("UPDATE streamiter.slice SET upper = '{60}' WHERE job_id = $many AND slice = 1");
$caller->query('UPDATE team SET size = 3');
is($caller->try("CALL streamiter.run('many', workers => 3)")->{error}, undef, 'many slices');
is_query('SELECT count(*), count(DISTINCT id) FROM log', '2000|2000', '... each row once');
is_query("SELECT state, rows FROM streamiter.jobs WHERE name = 'many'", 'finished|2000', '... and counted');

# -- bad moments ----------------------------------------------------------------------------

# cancelled while helpers are started, begin, or work
$caller->query('UPDATE team SET size = 1');
create_job('moments', 'chunk_size => 20');
my @codes;
for (1 .. 25)
{
	$caller->send("CALL streamiter.run('moments', workers => 4, max_rows => 60)");
	select undef, undef, undef, rand 0.03;
	$db->query('SELECT pg_cancel_backend(' . $caller->pid . ')');
	my $outcome = $caller->finish;
	push @codes, $outcome->{error}{code} if $outcome->{error} && $outcome->{error}{code} ne '57014';
	push @codes, 'worker' if $db->query("SELECT count(*) FROM $workers") ne 0;
}
is_deeply(\@codes, [], 'a caller that is cancelled at any moment takes its helpers along');
$caller->try('SELECT 1');
$caller->try("CALL streamiter.run('moments', workers => 4)");
is_query('SELECT count(*), count(DISTINCT id) FROM log', '2000|2000', '... and each row is done once');
is_query("SELECT sum(rows) FROM streamiter.runs WHERE name = 'moments'", 2000, '... the runs add up');

# cancelled while a helper waits for a lock
my $locker = Session->wait_for_server($node);
$locker->query('BEGIN');
$locker->query('SELECT FROM item WHERE id % 10 = 5 FOR UPDATE');
create_job('blocked', q{chunk_size => 20, lock_rows => 'update', wait_for_writers => false});
$caller->send("CALL streamiter.run('blocked', workers => 3)");
$db->poll("SELECT count(*) = 2 FROM $workers AND wait_event_type = 'Lock'");
$db->query('SELECT pg_cancel_backend(' . $caller->pid . ')');
is($caller->finish->{error}{code}, '57014', 'cancelled while helpers wait for locks');
is_query("SELECT count(*) FROM $workers", 0, '... which they do no longer');
$locker->query('ROLLBACK');

# started, and dropped or started again at the same time
my @odd;
for (1 .. 20)
{
	create_job('short', 'chunk_size => 500');
	for (1 .. 2)
	{
		my $started = $db->try("SELECT streamiter.start('short', workers => 2)");
		push @odd, $started->{error}{message} if $started->{error};
	}
	my $outcome = $db->try("SELECT streamiter.drop_job('short')");
	push @odd, $outcome->{error}{message} if $outcome->{error} && $outcome->{error}{code} ne '55000';
	$db->poll("SELECT count(*) = 0 FROM $workers");
	next if !$outcome->{error};
	push @odd, 'not once' if $db->query('SELECT count(*), count(DISTINCT id) FROM log') ne '2000|2000';
	$db->query("SELECT streamiter.drop_job('short')");
}
is_deeply(\@odd, [], 'started twice and dropped: one run, or none');
is_query("SELECT count(*) FROM streamiter.slice WHERE job_id NOT IN (SELECT id FROM streamiter.job)", 0,
	'nothing of it is left');

done_testing();
