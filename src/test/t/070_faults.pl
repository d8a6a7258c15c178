# Trouble of all sorts: time limits, full disks and tables of locks, other
# defaults, crashes, a standby that takes over.  After each: no row lost, none
# done twice, the state true, and the next run comes to the end.
#
# FAULTS=all: also those that take their time (make test-faults).  Without any
# slot for workers: 040_parallel.pl.  Killed in every phase: 010_crash.pl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Victim;

my $all = ($ENV{FAULTS} // '') eq 'all';
my $node = PostgreSQL::Test::Cluster->new('faults');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
	fsync = on
	wal_sync_method = fdatasync
	max_connections = 20
	max_locks_per_transaction = 10
	max_prepared_transactions = 0
	log_min_messages = warning
	log_error_verbosity = terse});
my $server = Victim->new($node);
my $db;							# we look on from here, and set things up

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1 };
END { my $status = $?; $server->stop if $server; $? = $status; }

sub is_query { my ($sql, $expected, $name) = @_; return is($db->query($sql), $expected, $name); }
sub state_is { my ($state, $name) = @_; return is_query('SELECT state FROM streamiter.jobs', $state, $name); }
sub code { my $outcome = shift; return $outcome->{lost} ? 'lost' : $outcome->{error} ? $outcome->{error}{code} : ''; }
sub run_with { my %settings = @_; return code(Session->new($node, %settings)->try("CALL streamiter.run('job')")); }
sub nap { return select(undef, undef, undef, shift); }

# What else the callback does with a row: a statement of PL/pgSQL
sub trouble
{
	my $what = shift // 'NULL';

	$db->query("CREATE OR REPLACE FUNCTION trouble(key text) RETURNS void LANGUAGE plpgsql AS
		\$\$ BEGIN $what; END \$\$");
	return;
}

sub begin
{
	my ($rows, @settings) = @_;
	my $settings = join '', map { ", $_" } @settings;

	trouble();
	$db->query('TRUNCATE work');
	$db->query("INSERT INTO work SELECT to_char(i, 'FM00000') FROM generate_series(1, $rows) i");
	$db->try("SELECT streamiter.drop_job('job')");
	$db->query("SELECT streamiter.create_job('job', 'SELECT id FROM work', 'work_on(text)'$settings)");
	return;
}

# Counters and rows agree, and no row has been worked on twice
my $truth = q{SELECT (SELECT rows FROM streamiter.jobs) = sum(n), max(n) <= 1 FROM work};

# The trouble is over, and another run makes an end of it
sub then_ends
{
	my ($name, %settings) = @_;

	is_query($truth, 't|t', "$name: what is counted is done, and once");
	trouble();
	is(run_with(%settings), '', "$name: the next run");
	is_query('SELECT state, (SELECT count(*) FROM work WHERE n <> 1) FROM streamiter.jobs', 'finished|0',
		'... finishes, each row once');
	return;
}

$server->start;
$db = Session->wait_for_server($node);
$db->query($_) for split /^--$/m, q{
CREATE EXTENSION streamiter;
--
CREATE TABLE work (id text PRIMARY KEY, n integer NOT NULL DEFAULT 0) WITH (fillfactor = 50);
--
CREATE FUNCTION trouble(key text) RETURNS void LANGUAGE sql AS 'SELECT';
--
CREATE FUNCTION work_on(key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE work SET n = n + 1 WHERE id = key;
	PERFORM trouble(key);
END $$};
my $version = $db->query('SHOW server_version_num');

# -- interrupts during a commit -------------------------------------------------

# A commit that takes 50 ms, so that interrupts nearly always come during one
my @slow_commit = (commit_delay => 50_000, commit_siblings => 0, 'streamiter.progress_interval' => '1s');

# Of so many rows that it does not end by itself
sub begin_slow_commits
{
	begin(1000, 'chunk_size => 1');
	my $session = Session->new($node, @slow_commit);
	$session->send("CALL streamiter.run('job')");
	$db->poll('SELECT rows > 2 FROM streamiter.jobs');
	return $session;
}

for my $try (1 .. 4)
{
	my $session = begin_slow_commits();
	# a line of progress is due one second after the start
	$try <= 2 ? nap(rand 0.1)
	  : $db->poll(q{SELECT clock_timestamp() > started + interval '0.98 s' FROM streamiter.runs WHERE ended IS NULL})
	  && nap(rand 0.04);
	$db->query('SELECT pg_cancel_backend(' . $session->pid . ')');
	is(code($session->finish), '57014', "cancelled during a commit, $try");
	state_is('stopped', '... which the state tells');
	is_query(q{SELECT count(*) FROM streamiter.runs r JOIN work w ON w.id = r.first_key[1] WHERE w.n > 0}, 0,
		'... and not that rows have failed which are done');
	then_ends("cancelled during a commit, $try") if $try == 1;
}
my $session = begin_slow_commits();
$db->query('SELECT pg_terminate_backend(' . $session->pid . ')');
ok($session->finish->{lost}, 'terminated during a commit');
$db->poll(q{SELECT state <> 'running' FROM streamiter.jobs});
state_is('crashed', '... it crashed');
then_ends('terminated during a commit');

# -- time limits ------------------------------------------------------------------

# However slow the disk, one of these leaves time for a batch, and none for all
for my $limit (150, 1500, 15_000)
{
	begin(40, 'chunk_size => 2', "batch_pause => '" . $limit / 10 . " ms'");
	is(run_with(statement_timeout => $limit), '57014', 'statement_timeout covers the whole CALL');
	last if $db->query('SELECT rows FROM streamiter.jobs') > 0;
}
state_is('stopped', '... it stopped');
is_query('SELECT rows > 0 FROM streamiter.jobs', 't', '... and what was committed stays');
then_ends('statement_timeout', idle_in_transaction_session_timeout => 30);

# Only while it works, since we may be slow to begin, or to hear of the end
begin(40, 'chunk_size => 2', "batch_pause => '20 ms'");
trouble(q{PERFORM set_config('idle_session_timeout', CASE key WHEN '00040' THEN '0' ELSE '10 ms' END, false)});
is(run_with(), '', 'a session at work is not idle');

begin(40, 'chunk_size => 2', 'max_retries => 0', 'wait_for_writers => false');
$db->query('BEGIN');
$db->query("UPDATE work SET n = n WHERE id = '00021'");
is(run_with(lock_timeout => 100), '55P03', 'lock_timeout of the session');
state_is('failed', '... it failed');
is_query(q{SELECT first_key[1] FROM streamiter.runs ORDER BY run DESC LIMIT 1}, '00021', '... at that row');
$db->query('ROLLBACK');
then_ends('lock_timeout', lock_timeout => 100);

$session = Session->new($node, idle_in_transaction_session_timeout => 50);
$session->query(q{BEGIN; SELECT streamiter.iterator('TABLE work')});
$db->poll('SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ' . $session->pid . ')');
ok($session->try('SELECT 1')->{lost}, 'an iterator that waits too long goes with its session');

SKIP:
{
	skip 'no transaction_timeout', 6 if $version < 170000;
	my $code = '';
	for my $limit (300, 3000, 30_000)
	{
		begin(40, 'chunk_size => 2', "batch_pause => '" . $limit / 15 . " ms'");
		$code = run_with(transaction_timeout => $limit);
		$db->poll(q{SELECT state <> 'running' FROM streamiter.jobs});
		last if $code eq '';
	}
	is($code, '', 'transaction_timeout is for a batch, not for all of them');
	state_is('finished', '... it finished');
	begin(40, 'chunk_size => 2');
	trouble(q{IF key = '00031' THEN PERFORM pg_sleep(60); END IF});
	like(run_with(transaction_timeout => 300), qr/^(lost|25P04)$/, 'a batch that takes longer ends the session');
	$db->poll(q{SELECT state <> 'running' FROM streamiter.jobs});
	state_is('crashed', '... it crashed');
	then_ends('transaction_timeout');
}

# -- other defaults -----------------------------------------------------------------

begin(40, 'chunk_size => 7');
is(run_with(default_transaction_read_only => 'on'), '25006', 'read-only by default: refused');
state_is('ready', '... and nothing done');
$session = Session->new($node, default_transaction_read_only => 'on');
is($session->query(q{SELECT rows FROM streamiter.for_each('SELECT id FROM work', 'upper(text)')}), 40, '... but for a walk that only reads')
  or diag $session->notices;
is(code($session->try(q{SELECT rows FROM streamiter.for_each('SELECT id FROM work', 'work_on(text)')})), '25006', '... and not one that writes');
then_ends('read-only', default_transaction_isolation => 'serializable', work_mem => '64kB', synchronous_commit => 'off');
begin(40, 'chunk_size => 7');
then_ends('repeatable read', default_transaction_isolation => 'repeatable\ read');

# -- no more of something --------------------------------------------------------------

# Never a reason to set a row aside
my %shortages = (
	'locks' => [ '53200', 'FOR i IN 1 .. 1000000 LOOP PERFORM pg_advisory_xact_lock(i); END LOOP' ],
	'temporary files' => [ '53400', 'PERFORM i FROM generate_series(1, 200000) i ORDER BY md5(i::text) OFFSET 100000' ],
	'memory' => [ '54000', q{PERFORM length(repeat('x', 1073741824))} ]);
for my $what (sort keys %shortages)
{
	my ($code, $statement) = @{ $shortages{$what} };
	begin(40, 'chunk_size => 7', "on_error => 'skip'");
	trouble("IF key = '00031' THEN $statement; END IF");
	is(run_with(temp_file_limit => '1MB', work_mem => '64kB'), $code, "no more $what");
	state_is('failed', '... it failed');
	is_query('SELECT count(*) FROM streamiter.skipped', 0, '... and nothing was set aside');
	then_ends("no more $what");
}

begin(40, 'chunk_size => 7');
my $runner = Session->new($node);
$session = Session->new($node);
$session->query(q{DO $$ BEGIN FOR i IN 1 .. 1000000 LOOP PERFORM pg_advisory_lock(i); END LOOP;
	EXCEPTION WHEN out_of_memory THEN END $$});
is(code($runner->try("CALL streamiter.run('job')")), '53200', 'no lock for anybody');
$session->query('SELECT pg_advisory_unlock_all()');
like($db->query('SELECT state FROM streamiter.jobs'), qr/^(ready|failed|crashed)$/, '... it did not run, or not to the end');
then_ends('no lock for anybody');

begin(400, 'chunk_size => 7');
$session = Session->new($node);
my @crowd;
while (my $more = Session->new($node)) { push @crowd, $more; }
cmp_ok(scalar @crowd, '>', 5, 'too many connections');
is(code($session->try("CALL streamiter.run('job', workers => 2)")), '', '... are not the workers\' business');
@crowd = ();
$db->poll(q{SELECT count(*) < 5 FROM pg_stat_activity WHERE backend_type = 'client backend'});
is_query('SELECT state, (SELECT count(*) FROM work WHERE n <> 1) FROM streamiter.jobs', 'finished|0', '... each row once');

# Rows of 3 MB, of which not even one fits
begin(8, 'chunk_size => 100');
$db->query('CREATE TABLE big AS SELECT id, repeat(md5(id), 100000) AS v FROM work');
$db->query('ALTER TABLE big ADD PRIMARY KEY (id)');
$db->query('CREATE FUNCTION work_on_big(key text, v text) RETURNS void LANGUAGE sql AS \'SELECT work_on(key)\'');
$db->query(q{SELECT streamiter.drop_job('job')});
$db->query(q{SELECT streamiter.create_job('job', 'SELECT id, v FROM big', 'work_on_big(text, text)')});
then_ends('large rows', 'streamiter.max_batch_memory' => '1MB');
is_query('SELECT batches FROM streamiter.jobs', 8, '... each by itself');

# -- files that cannot grow ------------------------------------------------------------

sub restart
{
	my $kilobytes = shift;

	$server->stop;
	$server->{before} = $kilobytes && 'ulimit -S -f ' . 2 * $kilobytes;
	$server->start;
	$db = Session->wait_for_server($node);
	return;
}

# Files of the WAL have 16 MB from the start, so that one of a table can be what
# has no room first
$db->query('CREATE TABLE fill (v text)');
$db->query('ALTER TABLE fill ALTER v SET STORAGE PLAIN');
begin(60, 'chunk_size => 3', "on_error => 'skip'");
restart(20 * 1024);
trouble(q{INSERT INTO fill SELECT repeat('x', 7000) FROM generate_series(1, 80)});
like(run_with(), qr/^(53|58|XX)/, 'a table that cannot grow');
state_is('failed', '... it failed');
is_query('SELECT count(*) FROM streamiter.skipped', 0, '... and nothing was set aside');
is_query('SELECT sum(n) * 80 = (SELECT count(*) FROM fill) FROM work', 't', '... and what is counted is there');
$db->query('TRUNCATE fill');
then_ends('a table that cannot grow');

# Without room for WAL the server stops with a PANIC
restart();
begin(60, 'chunk_size => 3', "on_error => 'skip'");
trouble(q{PERFORM pg_logical_emit_message(true, 'fill', repeat('x', 1000000))});
$db->query('SELECT pg_switch_wal()');
$session = Session->new($node);
system_or_bail('prlimit', '--fsize=' . 8 * 1024 * 1024, '--pid', $session->pid);
ok($session->try("CALL streamiter.run('job')")->{lost}, 'WAL that cannot be written takes the server down');
restart();
state_is('crashed', '... it crashed');
then_ends('WAL that cannot be written');

# No run comes to its end before something happens to it
my $no_end = q{IF key = (SELECT max(id) FROM work) THEN PERFORM pg_sleep(3600); END IF};

# -- crashes ------------------------------------------------------------------------------

for my $try (1 .. ($all ? 10 : 1))
{
	begin(3000, 'chunk_size => 5');
	trouble($no_end);
	$session = Session->new($node, synchronous_commit => 'off');
	$session->send("CALL streamiter.run('job')");
	$db->poll('SELECT rows > 100 FROM streamiter.jobs');
	my $checkpoint = Session->new($node);
	$checkpoint->send('CHECKPOINT');
	nap(rand 0.03);
	$server->kill_all;
	$_->finish for $session, $checkpoint;
	$server->start;
	$db = Session->wait_for_server($node);
	# what was not on disk yet has gone with its position, that it began maybe too
	like($db->query('SELECT state FROM streamiter.jobs'), qr/^(crashed|ready)$/, "a crash during a checkpoint, $try");
	then_ends("a crash during a checkpoint, $try");
}

# -- a slot that keeps all of the WAL -------------------------------------------------------

if ($all)
{
	$db->query(q{SELECT pg_create_physical_replication_slot('lost', true)});
	$db->query(q{ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'});
	$db->query(q{SELECT pg_reload_conf()});
	begin(60, 'chunk_size => 3');
	trouble(q{INSERT INTO fill SELECT repeat('x', 7000) FROM generate_series(1, 150)});
	is(run_with(), '', 'a slot holds back the WAL');
	$db->query('CHECKPOINT');
	is_query(q{SELECT wal_status FROM pg_replication_slots}, 'lost', '... until it is lost');
	is_query('SELECT state, (SELECT count(*) FROM work WHERE n <> 1) FROM streamiter.jobs', 'finished|0', '... each row once');
	$db->query(q{SELECT pg_drop_replication_slot('lost')});
}

# -- a standby, and when it takes over --------------------------------------------------------

my $standby = PostgreSQL::Test::Cluster->new('standby');
$server->stop;
$node->append_conf('postgresql.conf', 'hot_standby_feedback = off');
$node->start;
$db = Session->wait_for_server($node);
$node->backup('backup');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
begin(2000, 'chunk_size => 5');
$db->query("CALL streamiter.run('job', max_rows => 200)");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$session = Session->wait_for_server($standby);
is(code($session->try("CALL streamiter.run('job')")), '25006', 'no job runs during recovery');
like($session->{outcome}{error}{hint} // '', qr/primary/, '... and where it does is said');
is(code($session->try("SELECT streamiter.start('job')")), '25006', '... nor is one started');
is($session->query('SELECT state, rows FROM streamiter.jobs'), 'stopped|200', '... but it is seen');
is($session->query(q{SELECT rows FROM streamiter.for_each('SELECT id FROM work', 'upper(text)')}), 2000, '... and walks read');

trouble($no_end);
$runner = Session->new($node);
$runner->send("CALL streamiter.run('job')");
$session->poll('SELECT rows > 400 FROM streamiter.jobs');
$node->stop('immediate');
$runner->finish;
$standby->promote;
$db = Session->wait_for_server($standby);
$db->poll('SELECT NOT pg_is_in_recovery()');
state_is('crashed', 'a standby takes over from a primary that runs a job: it crashed');
$node = $standby;
then_ends('a standby takes over');

$standby->stop;
for my $log ($standby->logfile)
{
	unlike(slurp_file($log), qr/PANIC|TRAP:|terminated by signal 11/, 'no crash of the server');
}
done_testing();
