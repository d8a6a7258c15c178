# A job's pace, with real waits: what a wait holds, what ends it, what it waits
# for, with a standby server that is paused, stopped and away; and batches that
# take too long.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "autovacuum = off\n");
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION streamiter;
	CREATE ROLE app LOGIN;
	CREATE SCHEMA app AUTHORIZATION app;
	ALTER ROLE app SET search_path = app;
	SET ROLE app;
	SET search_path = app;
	CREATE TABLE item (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);
	INSERT INTO item SELECT generate_series(1, 1000);
	CREATE TABLE flag (up boolean);
	INSERT INTO flag VALUES (false);
	CREATE FUNCTION work(integer) RETURNS void LANGUAGE plpgsql
	AS 'BEGIN UPDATE item SET n = n + 1 WHERE id = $1; END';
	-- 500 never ends
	CREATE FUNCTION hang(integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE item SET n = n + 1 WHERE id = $1;
		IF $1 = 500 THEN PERFORM pg_sleep(3600); END IF;
	END $$});

# One connection works, the other looks on; both are the job's owner's, who has
# no rights but his own
my $runner;
my $db = Session->new($primary, user => 'app');

sub connect_runner { return $runner = Session->new($primary, user => 'app', @_); }
connect_runner();

# A job of that name over all rows, 100 at a time or as asked, none of them done yet
sub create_job
{
	my ($name, $settings, %option) = @_;
	my $work = $option{work} // 'work(integer)';
	my $chunk_size = $option{chunk_size} // 100;

	$db->query('UPDATE item SET n = 0 WHERE n <> 0');
	$db->query("SELECT streamiter.create_job('$name', 'SELECT id FROM item',
		'$work', chunk_size => $chunk_size, $settings)");
	return;
}

sub alter_job
{
	my ($name, $settings) = @_;

	$db->query("SELECT streamiter.alter_job('$name', $settings)");
	return;
}

sub job
{
	my ($name, $column) = @_;

	return $db->query("SELECT $column FROM streamiter.jobs WHERE name = '$name'");
}

sub last_run
{
	my ($name, $column) = @_;

	return $db->query("SELECT $column FROM streamiter.runs
		WHERE name = '$name' ORDER BY run DESC LIMIT 1");
}

sub activity
{
	my $column = shift;

	return $db->query("SELECT $column FROM pg_stat_activity WHERE pid = "
		  . $runner->pid);
}

sub activity_during_wait
{
	my $column = shift;

	return $db->query_during_wait($runner->pid,
		"SELECT $column FROM pg_stat_activity WHERE pid = " . $runner->pid);
}

# Polls, and gives up long before a wait of an hour ends
sub poll_until
{
	my ($test, $what) = @_;
	my $limit = time + $Session::patience;

	while (time < $limit)
	{
		return 1 if $test->();
		select(undef, undef, undef, 0.02);
	}
	fail("timed out: $what");
	return 0;
}

# The CALL that runs waits for that
sub waits_for
{
	my ($reason, $name) = @_;

	return ok(
		poll_until(sub { activity('query') =~ /^waiting for $reason.*CALL/ },
			$name),
		$name);
}

sub start
{
	my ($name, $arguments) = @_;

	$runner->send("CALL streamiter.run('$name'" . ($arguments // '') . ')');
	return;
}

# It ended as expected, for which finish() does not wait an hour
sub ended
{
	my ($pattern, $name) = @_;
	my $outcome = $runner->finish;
	my $said = join "\n",
	  ($outcome->{error} ? "$outcome->{error}{code}: $outcome->{error}{message}" : ()),
	  map { ref $_ ? $_->{message} : $_ } @{ $outcome->{notices} // [] };

	like($said, $pattern, $name);
	return;
}

sub all_once
{
	my $name = shift;

	is($db->query('SELECT array_agg(DISTINCT n)::text FROM item'), '{1}',
		"$name: every row once");
	return;
}

# -- what a wait holds, and what ends it --------------------------------------

create_job('still', "batch_pause => '1 hour'");
start('still');
waits_for('batch_pause', 'a pause is shown');
is(activity_during_wait('concat_ws(\',\', state, backend_xid, backend_xmin)'),
	'active', 'it holds no transaction id and no snapshot');
is( $db->query_during_wait($runner->pid,
		"SELECT count(*) FROM pg_locks WHERE relation = 'app.item'::regclass AND pid = "
		  . $runner->pid),
	0, 'nor a lock on the table');
my $version = $primary->safe_psql('postgres', 'SHOW server_version_num');
is(activity_during_wait('wait_event'),
	$version >= 170000 ? 'StreamIterBatchPause' : 'Extension', 'the wait event');
my $began = activity('xact_start');
ok(poll_until(sub { activity('xact_start') ne $began }, 'transactions'),
	'no transaction lasts as long as the wait');

alter_job('still', "batch_pause => '0'");
ended(qr/finished/, 'a changed setting ends the wait');
all_once('still');
is(activity('query'), "CALL streamiter.run('still')",
	'afterwards the statement is shown as it was');
is(last_run('still', "wait_time ? 'batch_pause'"), 't', 'the run knows what it waited for');
is(last_run('still', "jsonb_object_keys(wait_time)"), 'batch_pause', 'and for nothing else');

create_job('asked', "batch_pause => '1 hour'");
for ([ 'pause', qr/paused/, 'resume' ], [ 'cancel', qr/cancelled/, 'reset' ])
{
	my ($request, $outcome, $undo) = @$_;

	start('asked');
	waits_for('batch_pause', "before $request");
	$db->query("SELECT streamiter.$request('asked')");
	ended($outcome, $request);
	$db->query("SELECT streamiter.$undo('asked')");
}

start('asked');
waits_for('batch_pause', 'before pg_cancel_backend');
$db->query('SELECT pg_cancel_backend(' . $runner->pid . ')');
ended(qr/57014/, 'pg_cancel_backend');
is(job('asked', 'state'), 'stopped', 'cancelled: stopped');
is(job('asked', 'rows'), 100, 'with what was committed');

start('asked');
waits_for('batch_pause', 'before pg_terminate_backend');
$db->query('SELECT pg_terminate_backend(' . $runner->pid . ')');
ended(qr/57P01|^$/, 'pg_terminate_backend');
ok(poll_until(sub { job('asked', 'state') eq 'crashed' }, 'crashed'),
	'terminated: crashed');
connect_runner();

start('asked', ", max_duration => '500 ms'");
ended(qr/stopped/, 'max_duration');
$runner->query('SET statement_timeout = 500');
start('asked');
ended(qr/57014/, 'statement_timeout');
$runner->query('RESET statement_timeout');
alter_job('asked', "unset => '{batch_pause}'");
start('asked');
ended(qr/finished/, 'unset');

# -- rates ---------------------------------------------------------------------

create_job('rows', 'max_rows_per_second => 1000');
start('rows');
ended(qr/finished/, 'max_rows_per_second');
all_once('rows');
is(last_run('rows', "ended - started >= '0.8 s'"), 't', '1000 rows at 1000 a second');
is(last_run('rows', "wait_time ? 'max_rows_per_second'"), 't', 'waited for that');

create_job('wal', "max_wal_rate => '1 kB'");
start('wal');
waits_for('max_wal_rate', 'max_wal_rate is shown');
alter_job('wal', "max_wal_rate => '1 TB'");
ended(qr/finished/, 'max_wal_rate');
all_once('wal');

# -- sizes -----------------------------------------------------------------------

create_job('size', "target_batch_time => '1 ms', max_rows_per_second => 4000");
start('size');
alter_job('size', "target_batch_time => '100 ms', min_chunk_size => 3");
ended(qr/finished/, 'target_batch_time');
all_once('size');

create_job('altered', "batch_pause => '1 hour'");
start('altered');
waits_for('batch_pause', 'before alter_job');
alter_job('altered', "chunk_size => 7, batch_pause => '0'");
ended(qr/finished/, 'chunk_size');
all_once('altered');
is(last_run('altered', 'batches'), 1 + int(900 / 7) + 1,
	'a changed size holds from the next batch on');

# -- batch_timeout, lock_timeout --------------------------------------------------

# small batches, so that few have to be waited for: the time must be enough for
# all others on a slow machine, too
create_job('stop', "batch_timeout => '500 ms'", work => 'hang(integer)', chunk_size => 16);
start('stop');
ended(qr/25P04: a batch took longer than batch_timeout/, 'batch_timeout');
is(job('stop', 'state'), 'failed', 'a row that takes too long fails the job');
is(job('stop', 'rows'), 499, 'with all before it done');
is($db->query('SELECT count(*) FROM item WHERE n <> 0'), 499, 'truly');
is(last_run('stop', 'last_key'), '{500}', 'and itself named');
cmp_ok(last_run('stop', 'retries'), '<=', 8, 'found by halves');

create_job('skip', "batch_timeout => '500 ms', on_error => 'skip'",
	work => 'hang(integer)', chunk_size => 16);
start('skip');
ended(qr/finished_with_skips/, 'batch_timeout, skip');
is( $db->query("SELECT key::text || sqlstate FROM streamiter.skipped WHERE name = 'skip'"),
	'{500}25P04', 'it is set aside');
is($db->query('SELECT array_agg(id)::text FROM item WHERE n <> 1'), '{500}', 'and no other');

# a user who cancels is never taken for the timer, however near they come
create_job('race', "batch_timeout => '15 ms'", work => 'hang(integer)');
$runner->query("SET application_name = 'race'");
$primary->safe_psql('postgres', q{
	CREATE OR REPLACE FUNCTION app.hang(integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN PERFORM pg_sleep(0.0145 + 0.001 * random()); END $$});
$db->query("SELECT streamiter.alter_job('race', acknowledge => true, chunk_size => 1)");
$db->query("SELECT streamiter.alter_job('race', on_error => 'skip', max_skips => 1000000,
	recurrence => 'repeat')");
my (@lost, @unwritten);
my $cancelled = 0;
for (1 .. 100)
{
	my $last = last_run('race', 'run');
	start('race');
	# a cancel before the CALL would have none to end
	poll_until(sub { $runner->done || activity("state = 'active'") eq 't' }, 'the CALL');
	select(undef, undef, undef, 0.01 + rand 0.03);
	$db->query('SELECT pg_cancel_backend(' . $runner->pid . ')');
	my $outcome = $runner->finish;
	my $code = $outcome->{error}{code} // 'none';
	my $state = job('race', 'state');
	# on a busy machine the time may be over before there is a row to blame
	next if $code eq '25P04' && $state eq 'failed';
	$cancelled++;
	push @lost, "$code: " . ($outcome->{error}{message} // '') if $code ne '57014';
	# it may have come before there was a run
	push @unwritten, "$state after $code"
	  if $state ne 'stopped' && last_run('race', 'run') ne $last;
}
cmp_ok($cancelled, '>', 0, 'cancels near batch_timeout');
is("@lost", '', 'no cancel is lost to batch_timeout');
is("@unwritten", '', 'and each run came to an end');
cmp_ok(job('race', 'skipped'), '>=', 0, 'rows set aside: ' . job('race', 'skipped'));

create_job('locked',
	"lock_timeout => '50 ms', max_retries => 2, wait_for_writers => false");
my $locker = Session->new($primary, user => 'app');
$locker->query('BEGIN');
$locker->query('UPDATE item SET n = n WHERE id = 150');
start('locked');
ended(qr/55P03/, 'lock_timeout');
is(last_run('locked', 'retries'), 2, 'after retries');
is(last_run('locked', "wait_time ? 'retry'"), 't', 'that waited');
$locker->query('ROLLBACK');
start('locked');
ended(qr/finished/, 'lock given back');
all_once('locked');

# the wait for writers is cut every 500 ms, and lock_timeout means what it says;
# the quickest of some runs tells, on a busy machine too
create_job('writers', "lock_timeout => '510 ms'");
$locker->query('BEGIN');
$locker->query('UPDATE item SET n = n WHERE id = 150');
my ($code, $took);
for (1 .. 10)
{
	my $began = time;

	$code = $runner->try(q{CALL streamiter.run('writers')})->{error}{code} // '';
	$took = time - $began;
	last if $took < 0.9;
}
is($code, '55P03', 'lock_timeout, of a wait for writers');
cmp_ok($took, '>', 0.5, '... is not shortened');
cmp_ok($took, '<', 0.9, '... and not prolonged');
$locker->query('ROLLBACK');
start('writers');
ended(qr/finished/, 'no more writers');
all_once('writers');

# -- throttle_query ------------------------------------------------------------------

$db->query('UPDATE flag SET up = true');
create_job('query', "throttle_query => 'SELECT up FROM flag'");
start('query');
waits_for('throttle_query \(it says so\)', 'throttle_query');
is(job('query', 'rows'), 0, 'before the first batch');
$db->query('UPDATE flag SET up = false');
ended(qr/finished/, 'throttle_query: false');
all_once('query');

$db->query('DELETE FROM flag');
create_job('no_row', "throttle_query => 'SELECT up FROM flag', max_retries => 1000");
start('no_row');
waits_for('throttle_query \(error: throttle_query returned no row\)', 'no row: a wait');
alter_job('no_row', 'max_retries => 0');
ended(qr/02000: throttle_query returned no row/, 'but not for ever');
is(job('no_row', 'state'), 'failed', 'the job has failed');
alter_job('no_row', 'max_retries => 1000');
start('no_row');
waits_for('throttle_query', 'again');
$db->query('INSERT INTO flag VALUES (false)');
ended(qr/finished/, 'and when it answers, the job goes on');
all_once('no_row');

# one that hangs is a wait with its reason, too, and others need not wait for it
$db->query(q{CREATE FUNCTION slow_flag() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT up FROM flag) THEN PERFORM pg_sleep(3600); END IF;
		RETURN false;
	END $$});
$db->query('UPDATE flag SET up = true');
create_job('hangs', q{throttle_query => 'SELECT slow_flag()', max_retries => 1000});

# while it is asked for the first time: later its time limit would be shown
sub wait_for_hanging
{
	$db->poll(q{SELECT count(*) = 1 FROM streamiter.progress p JOIN pg_stat_activity a USING (pid)
		WHERE p.name = 'hangs' AND a.wait_event = 'PgSleep'
		AND p.wait_reason = 'throttle_query (no answer yet)'});
	return;
}

for ([ 'pause', qr/paused/, 'resume' ], [ 'cancel', qr/cancelled/, 'reset' ])
{
	my ($request, $outcome, $undo) = @$_;
	my $said;

	# before it has hung for so long that it counts as failed; again, as the machine
	# may have had no time for us
	for (1 .. 10)
	{
		start('hangs');
		wait_for_hanging();
		$db->query("SELECT streamiter.$request('hangs')");
		$runner->finish;
		$said = $runner->notices;
		$db->query("SELECT streamiter.$undo('hangs')");
		last if $said !~ /does not answer/;
	}
	like($said, $outcome, "$request while throttle_query hangs");
	unlike($said, qr/does not answer/, '... is not kept waiting until it fails');
}

start('hangs');
wait_for_hanging();
$db->query('SELECT pg_cancel_backend(' . $runner->pid . ')');
ended(qr/57014/, 'pg_cancel_backend while throttle_query hangs');
start('hangs', ", max_duration => '600 ms'");
ended(qr/stopped/, 'max_duration while throttle_query hangs');
is(last_run('hangs', "wait_time ? 'throttle_query'"), 't', 'the run knows what it waited for');

alter_job('hangs', 'max_retries => 0');
start('hangs');
ended(qr/25P04: throttle_query took longer than 500 ms/, 'it hangs for good: an error');
is(last_run('hangs', "ended - started >= '5 s'"), 't', '... after having been asked for a while');
is(last_run('hangs', 'detail'), 'It was asked again and again for 5 s.', '... which it tells');
start('hangs');
wait_for_hanging();
$db->query('UPDATE flag SET up = false');
ended(qr/finished/, 'it answers: the job goes on');
all_once('hangs');

$db->query('CREATE SEQUENCE s');
create_job('writes', q{throttle_query => 'SELECT nextval(''s'') < 0'});
start('writes');
ended(qr/25006/, 'throttle_query cannot write');

# -- replicas --------------------------------------------------------------------------

create_job('alone', "max_replica_lag => '1 s'");
start('alone');
ended(qr/there is no replica/, 'no replica: said, not waited for');

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

create_job('streaming', "max_replica_lag => '30 s', batch_pause => '10 ms'");
start('streaming');
ended(qr/finished/, 'a replica that keeps up');
is(last_run('streaming', "wait_time ? 'max_replica_lag'"), 'f', 'nobody waits for');

sub start_lagging
{
	my $name = shift;

	create_job($name, "max_replica_lag => '500 ms', batch_pause => '200 ms'");
	start($name);
	waits_for('max_replica_lag \(replica .* is [0-9.]+ s behind', "$name: waits");
	cmp_ok(job($name, 'rows'), '<', 1000, "$name: not done");
	return;
}

$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
start_lagging('paused');
is(activity_during_wait('concat_ws(\',\', state, backend_xid, backend_xmin)'),
	'active', 'it holds no transaction id and no snapshot');
$db->query("SELECT streamiter.pause('paused')");
ended(qr/paused/, 'pause while a replica lags');
$db->query("SELECT streamiter.resume('paused')");
start('paused');
waits_for('max_replica_lag', 'waits again');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ended(qr/finished/, 'replay goes on, and so does the job');
all_once('paused');

# seen, and then gone
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
start_lagging('gone');
$standby->stop('immediate');
waits_for('max_replica_lag \(replica .* not connected', 'a replica that is gone is behind');
$standby->start;
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ended(qr/waits for replica .*, which is not connected/, 'it came back');
all_once('gone');

# away when the run starts: its slot tells
$primary->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('sb1')");
$standby->append_conf('postgresql.conf', "primary_slot_name = 'sb1'");
$standby->restart;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$standby->stop;
start_lagging('away');
waits_for('max_replica_lag \(replica sb1 .* not connected', 'a slot without its replica is behind');
$primary->safe_psql('postgres', "SELECT pg_drop_replication_slot('sb1')");
alter_job('away', "unset => '{max_replica_lag}'");
ended(qr/finished/, 'unset');
all_once('away');

$primary->stop;
done_testing();
