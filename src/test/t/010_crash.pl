# Exactly once, proven by killing: jobs whose work shows in each row are killed,
# backend, helper or whole server, in every phase of a run, started again and
# killed again, until they have finished.  After each kill and each pass the job's
# counters, the rows and what was logged about them must agree.
#
# CRASH_CYCLES: how many kills; CRASH_ROWS: rows of the table; CRASH_WORKERS: have
# so many processes work on a job, or more; CRASH_SEED: the number an earlier run
# has printed, to have its choices again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(time);
use Victim;

my $cycles = $ENV{CRASH_CYCLES} || 10;
my $rows = $ENV{CRASH_ROWS} || 20_000;
my $min_workers = $ENV{CRASH_WORKERS} || 1;
my $seed = $ENV{CRASH_SEED} || int(rand(2**31));
srand $seed;
note "CRASH_SEED=$seed";

# Locks that tell the phase a run is in, and let it wait there: mark() takes
# number n, then passes gate 100 + n, which we may hold
my %gates = (start => 1, batch => 2, failing => 3, skipping => 4,
	committing => 5, finishing => 6, sharing => 1);
my %kills = map { $_ => 0 } 'alone, starting', 'alone, between batches', 'alone, in a batch',
  'alone, skipping', 'alone, committing', 'alone, finishing', 'alone, walking',
  map { ("$_, between batches", "$_, in a batch", "$_, skipping", "$_, committing", "$_, sharing") }
  'leading', 'helping';
my $helpers = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'streamiter worker'};

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', q{
	wal_level = replica
	max_wal_senders = 1
	fsync = on
	wal_sync_method = fdatasync});
my $server = Victim->new($node);
my $db;							# we look on from here

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1 };
END { my $status = $?; $server->stop if $server; $? = $status; }

sub pick { return $_[ int rand @_ ]; }

sub between
{
	my ($low, $high) = @_;
	return $low + int rand($high - $low + 1);
}

sub nap { return select(undef, undef, undef, shift); }

# -- what the jobs do ---------------------------------------------------------

sub create_work
{
	$db->query($_) for split /^--$/m, q{
CREATE EXTENSION streamiter;
--
CREATE TABLE work (id bigint PRIMARY KEY, n integer NOT NULL, bad boolean NOT NULL)
	WITH (fillfactor = 45, autovacuum_enabled = off);
--
CREATE TABLE log (id bigint NOT NULL) WITH (autovacuum_enabled = off);
--
CREATE SEQUENCE failure;	-- the key that failed last: not rolled back
--
CREATE FUNCTION bump(id bigint, n integer, bad boolean) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	IF bad THEN
		PERFORM setval('failure', id);
		PERFORM pg_advisory_xact_lock_shared(103);
		RAISE EXCEPTION 'bad row';
	END IF;
	RETURN n + 1;
END $$;
--
CREATE FUNCTION work_on(key bigint, is_bad boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE work SET n = bump(id, n, bad) WHERE id = key;
	INSERT INTO log VALUES (key);
END $$;
--
SELECT streamiter.register_callback('row function', 'work_on(bigint, boolean)');
--
SELECT streamiter.register_statement('batch statement',
	'WITH done AS (UPDATE work SET n = bump(id, n, bad) WHERE id = ANY ($1) RETURNING id)
	INSERT INTO log SELECT id FROM done');
--
SELECT streamiter.register_statement('range statement',
	'WITH done AS (UPDATE work SET n = bump(id, n, bad) WHERE id BETWEEN $1 AND $2 RETURNING id)
	INSERT INTO log SELECT id FROM done', per => 'range');
--
SELECT streamiter.register_statement('deferred check',
	'WITH done AS (UPDATE work SET n = n + 1 WHERE id = ANY ($1) RETURNING id)
	INSERT INTO log SELECT id FROM done');
--
CREATE FUNCTION refuse_bad() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bump(id, 0, bad) FROM work WHERE id = NEW.id;
	RETURN NULL;
END $$;
--
CREATE CONSTRAINT TRIGGER refuse_bad AFTER INSERT ON log DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION refuse_bad();
--
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_catalog.pg_advisory_xact_lock_shared(TG_ARGV[0]::integer);
	PERFORM pg_catalog.pg_advisory_xact_lock_shared(100 + TG_ARGV[0]::integer);
	RETURN NEW;
END $$;
--
CREATE TRIGGER mark BEFORE INSERT ON streamiter.run EXECUTE FUNCTION mark(1);
--
CREATE TRIGGER mark BEFORE INSERT ON streamiter.slice EXECUTE FUNCTION mark(1);
--
CREATE TRIGGER mark BEFORE UPDATE ON work EXECUTE FUNCTION mark(2);
--
CREATE TRIGGER mark BEFORE INSERT ON streamiter.skipped_row EXECUTE FUNCTION mark(4);
--
CREATE TRIGGER mark_position BEFORE UPDATE OF position ON streamiter.slice EXECUTE FUNCTION mark(5);
--
CREATE TRIGGER mark_end BEFORE UPDATE ON streamiter.run FOR EACH ROW
	WHEN (NEW.outcome <> 'crashed') EXECUTE FUNCTION mark(6);
--
SELECT streamiter.create_job('job', 'SELECT id, bad FROM work', 'row function')};
	return;
}

# A new pass, that knows what is going to become of it
sub begin_pass
{
	my $kind = pick('row function', 'row function', 'batch statement',
		'range statement', 'range statement', 'deferred check');
	my %pass = (
		kind => $kind,
		chunk => int(exp(log(300) + rand(log(20_000) - log(300)))),
		bad => {},
		lock => $kind eq 'range statement' ? 'none' : pick('none', 'none', 'update'));

	# alone, side by side, at the ends
	for (1 .. pick(0, 1, 2, 4))
	{
		my $bad = pick(1, $rows, between(1, $rows));
		$pass{bad}{ 3 * $_ } = 1 for grep { $_ <= $rows } $bad .. $bad + pick(0, 0, 1);
	}
	my $bad = join ',', 0, keys %{ $pass{bad} };

	$db->query('TRUNCATE work, log');
	$db->query("INSERT INTO work SELECT 3 * i, 0, 3 * i IN ($bad) FROM generate_series(1, $rows) i");
	$db->query('ALTER TABLE log ' . ($kind eq 'deferred check' ? 'ENABLE' : 'DISABLE')
		  . ' TRIGGER refuse_bad');
	my $state = $db->query("SELECT state FROM streamiter.jobs");

	# the next pass of a job that repeats starts by itself
	my $repeat = pick(0, 1);
	if ($repeat && $state =~ /^finished/)
	{
		$db->query("SELECT streamiter.alter_job('job', recurrence => 'repeat')");
	}
	else
	{
		$db->query("SELECT streamiter.reset('job')");
		$db->query("SELECT streamiter.alter_job('job', recurrence => 'once')");
	}
	$db->query("SELECT streamiter.alter_job('job', '$kind', chunk_size => $pass{chunk},
		on_error => 'skip', lock_rows => '$pass{lock}')");
	$pass{number} = 1 + $db->query('SELECT coalesce(max(pass), 0) FROM streamiter.run');
	return \%pass;
}

# -- killing ------------------------------------------------------------------

# Where to kill next: a condition to wait for once some progress has been made
sub choose_aim
{
	my ($pass, $workers) = @_;
	my @aims = qw(anytime anytime anytime at_once start between between
	  batch committing committing flushing flushed finishing finishing);

	push @aims, qw(failing failing failing skipping skipping skipping)
	  if %{ $pass->{bad} } && !$pass->{retrying};
	push @aims, qw(sharing sharing sharing) if $workers > 1;
	return pick(@aims);
}

# The gate is shut: does somebody stand there?
sub at_gate
{
	my $gate = shift;
	return "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
		AND objid = $gate AND NOT granted)";
}

# Waits for the right moment; false if the statement has ended before
sub await
{
	my ($session, $aim, $pass) = @_;
	my $gate = $gates{$aim} ? 100 + $gates{$aim} : 0;
	my $condition = 'SELECT true';
	my $pid = $session->pid;

	return !$session->done(rand 0.004) if $aim eq 'at_once';
	if ($aim !~ /^(?:start|failing|skipping|finishing)$/)
	{
		# of the pass that is not over
		my $done = 'SELECT coalesce(sum(rows), 0) FROM streamiter.slice
			WHERE EXISTS (SELECT FROM streamiter.slice WHERE NOT done)';
		my $goal = $db->query($done) + int rand($rows / 5);
		while ($db->query($done) < $goal)
		{
			return 0 if $session->done(0.002);
		}
	}
	if ($gate)
	{
		$db->query("SELECT pg_advisory_lock($gate)");
		$condition = at_gate($gate);
	}
	elsif ($aim eq 'between')
	{
		$db->query("SELECT streamiter.alter_job('job', batch_pause => '50 ms')");
		$condition = "SELECT wait_event ~ '^(Extension|StreamIter)' FROM pg_stat_activity WHERE pid = $pid";
	}
	elsif ($aim eq 'flushed')
	{
		# a commit that waits for a standby has happened already
		$server->configure("synchronous_standby_names = 'nobody'");
		$condition = "SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE wait_event = 'SyncRep' AND (pid = $pid OR pid IN ($helpers)))";
	}
	elsif ($aim eq 'flushing')
	{
		$condition = "SELECT EXISTS (SELECT FROM pg_locks
			WHERE locktype = 'advisory' AND objid = $gates{committing})";
	}
	while ($db->query($condition) ne 't')
	{
		return 0 if $session->done(0.001);
	}

	# kill it there, or a moment later, when it does what it was about to
	if ($gate && pick(0, 1, 1))
	{
		$db->query("SELECT pg_advisory_unlock($gate)");
	}
	return !$session->done(rand pick(0.0005, 0.002, 0.02));
}

# One of those who work on the job, and what it is: the caller or a helper,
# rather one that stands where we wanted somebody
sub choose_victim
{
	my $caller = shift;
	my @helpers = split /\n/, $db->query("SELECT pid FROM ($helpers) h
		ORDER BY pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory') DESC");

	return ($caller, 'alone') if !@helpers;
	return ($helpers[0], 'helping') if rand() < 0.6 && kill('STOP', $helpers[0]);
	return ($caller, 'leading');
}

# In which phase does the backend, now stopped, stand?  Unknown if it holds what
# we need to look.
sub find_phase
{
	my ($pid, $caller, $walking) = @_;

	return 'walking' if $walking;
	$db->send("SELECT coalesce(wait_event, ''), backend_xid,
		(SELECT coalesce(string_agg(CASE WHEN granted THEN objid ELSE -objid::integer END::text, ' '), '')
			FROM pg_locks WHERE locktype = 'advisory' AND pg_locks.pid = $pid),
		(SELECT pid = $caller FROM streamiter.run ORDER BY id DESC LIMIT 1),
		(SELECT bool_and(s.done) FROM streamiter.slice s JOIN streamiter.run r USING (job_id, pass)
			WHERE r.pid = $caller),
		EXISTS (SELECT FROM streamiter.slice s JOIN streamiter.run r USING (job_id, pass)
			WHERE r.pid = $caller AND s.updated > r.started),
		EXISTS (SELECT FROM failure f, streamiter.slice s WHERE NOT done AND last_value > 1
			AND last_value > coalesce(position[1]::bigint, 0) AND last_value <= upper[1]::bigint)
		FROM pg_stat_activity WHERE pid = $pid");
	return 'unknown' if !$db->done(1);
	my ($wait, $xid, $locks, $run, $done, $begun, $trouble) = map { $_ // '' } @{ $db->finish->{rows}[0] };

	# nothing of the run has been committed, or its row alone
	return 'starting' if $run ne 't' || ($locks =~ /\b1\b/ && $begun ne 't');
	return 'sharing' if $locks =~ /\b1\b/;
	return 'finishing' if $done eq 't' || $locks =~ /\b6\b/;
	return 'committing' if $wait eq 'SyncRep' || $locks =~ /\b5\b/;
	# a failed batch is made smaller until its bad row stands alone
	return 'skipping' if $locks =~ /\b(?:4|103)\b/ || $trouble eq 't';
	return 'in a batch' if $locks =~ /\b2\b/;
	return 'starting' if $begun ne 't';
	return $xid ne '' ? 'in a batch' : 'between batches';
}

sub kill_it
{
	my ($session, $walking) = @_;
	my ($pid, $role) = choose_victim($session->pid);
	my $whole = pick(0, 1);

	kill 'STOP', $pid;
	my $phase = "$role, " . find_phase($pid, $session->pid, $walking);
	if ($whole) { $server->kill_all; }
	else { kill 'KILL', $pid; }
	$kills{$phase}++;
	$session->finish;
	$server->configure('');
	if ($whole) { $server->start; }
	else
	{
		# thrown out, we know that the server has seen it
		$db->send('SELECT pg_sleep(3600)') if !$db->{busy};
		$db->done($Session::patience);
	}
	$db = connect_again();
	return ($whole ? 'server' : 'process') . " killed: $phase";
}

# A server that has lost a backend first throws out everybody else
sub connect_again
{
	for (;;)
	{
		my $session = Session->wait_for_server($node);
		my $outcome = $session->try('SELECT 1');
		return $session if !$outcome->{lost} && !$outcome->{error};
	}
}

# -- the truth ----------------------------------------------------------------

sub facts
{
	my %facts;

	@facts{qw(state pass rows batches skipped done run outcome logged distinct worked most)} =
	  map { $_ // '' } @{ $db->try(q{
		SELECT j.state, j.pass, j.rows, j.batches, j.skipped,
			(SELECT bool_and(done) FROM streamiter.slice),
			(SELECT max(id) FROM streamiter.run),
			(SELECT outcome FROM streamiter.run ORDER BY id DESC LIMIT 1),
			l.*, w.*
		FROM streamiter.jobs j,
			(SELECT count(*), count(DISTINCT id) FROM log) l,
			(SELECT sum(n), max(n) FROM work) w})->{rows}[0] };
	return \%facts;
}

# What holds whenever nobody works
sub problems_between
{
	my ($now, $before, $pass) = @_;
	my @problems;
	my $state = $now->{state};
	my $skipped = $now->{skipped};

	# rows tried again were counted when they were set aside
	push @problems, "work done twice" if $now->{most} > 1;
	push @problems, "$now->{worked} rows are worked on, $now->{distinct} logged, $now->{logged} times"
	  if $now->{worked} != $now->{logged} || $now->{logged} != $now->{distinct};
	if ($now->{done} ne '' && $now->{pass} == $pass->{number})
	{
		push @problems, "the job has counted $now->{rows} rows, $skipped skipped; $now->{worked} are done"
		  if $now->{rows} - $skipped != $now->{worked};
	}
	elsif ($now->{worked} != 0)
	{
		push @problems, "rows worked on before the pass began";
	}

	my $over = $now->{worked} + $now->{skipped} == $rows;
	if ($now->{run} eq $before->{run})
	{
		push @problems, "no new run, but $before->{state} has become $state"
		  if $state ne $before->{state};
	}
	elsif ($now->{outcome} eq '')
	{
		push @problems, "crashed, but shown as $state" if $state ne 'crashed';
	}
	push @problems, "shown as $state with $now->{worked} rows done"
	  if $state =~ /^finished/ && $now->{run} ne $before->{run} && !$over;
	push @problems, 'still running' if $state eq 'running';
	return @problems;
}

sub problems_at_end
{
	my ($now, $pass) = @_;
	my @problems;
	my @bad = sort { $a <=> $b } keys %{ $pass->{bad} };
	my $bad = $pass->{retrying} ? '' : join ',', @bad;
	my $expected = $bad eq '' ? 'finished' : 'finished_with_skips';

	push @problems, "state $now->{state}, not $expected" if $now->{state} ne $expected;
	push @problems, "counters that are not what they should be"
	  if $db->query("SELECT count(*) FROM work WHERE n <> CASE WHEN bad THEN 0 ELSE 1 END") ne 0;
	push @problems, "rows that are not logged"
	  if $db->query('SELECT count(*) FROM work w WHERE NOT bad AND NOT EXISTS (SELECT FROM log l WHERE l.id = w.id)') ne 0;
	my $skipped = $db->query(q{SELECT string_agg(key[1], ',' ORDER BY key[1]::bigint) FROM streamiter.skipped});
	push @problems, "rows $skipped set aside, not $bad" if $skipped ne $bad;
	push @problems, "$now->{rows} rows counted" if $now->{rows} != $rows;
	push @problems, "$now->{batches} batches counted"
	  if $now->{batches} < ($rows - @bad) / $pass->{chunk};

	my ($run_rows, $run_batches, $ended) = @{ $db->try("
		SELECT sum(rows), sum(batches), bool_and(outcome IS NOT NULL AND ended IS NOT NULL)
		FROM streamiter.runs WHERE pass = $pass->{number}")->{rows}[0] };
	push @problems, "its runs have counted $run_rows rows and $run_batches batches, the job $now->{batches}"
	  if $run_rows != $rows || $run_batches != $now->{batches};
	push @problems, 'a run without an outcome' if $ended ne 't';
	return @problems;
}

sub verdict
{
	my ($name, @problems) = @_;

	is(join('; ', @problems), '', $name);
	BAIL_OUT("CRASH_SEED=$seed") if @problems && $ENV{CRASH_STOP};
	return;
}

# -- the loop -----------------------------------------------------------------

my ($killed, $passes, $begun) = (0, 0, time);

# One run, killed or not; false if it has brought the pass to its end
sub run_and_kill
{
	my $pass = shift;
	my $before = facts();
	my $workers = pick(grep { $_ >= $min_workers } 1, 1, 2, 3, 4);
	my $aim = choose_aim($pass, $workers);
	my $budget = pick('', '', '', ', max_rows => ' . between(1, $rows));
	my $session = Session->wait_for_server($node,
		$aim eq 'flushing' ? ('commit_delay' => 30_000, 'commit_siblings' => 0) : ());

	$db->query("SELECT setval('failure', 1)");
	# slices of many batches are there to be shared
	$db->query("SELECT streamiter.alter_job('job', chunk_size => 20)") if $aim eq 'sharing';
	$session->send("CALL streamiter.run('job'$budget, workers => $workers)");
	if (await($session, $aim, $pass))
	{
		my $how = kill_it($session, 0);
		my $now = facts();

		$killed++;
		verdict("$killed: $pass->{kind}, $now->{rows} rows, $how", problems_between($now, $before, $pass));
	}
	else
	{
		# it ended too soon; or stands at the gate, which nobody needs any more
		$db->query('SELECT pg_advisory_unlock_all()');
		$server->configure('');
		my $outcome = $session->finish;
		if ($outcome->{error} || $outcome->{lost})
		{
			verdict("$pass->{kind} runs", $outcome->{error}{message} // 'connection lost');
			return 0;
		}
		my $now = facts();
		my @problems = problems_between($now, $before, $pass);
		verdict("$pass->{kind}, $now->{rows} rows", @problems) if @problems;
	}
	$db->query("SELECT streamiter.alter_job('job', batch_pause => '0', chunk_size => $pass->{chunk})");
	return !is_over($pass);
}

# A job that repeats is finished before its new pass has begun, too
sub is_over
{
	my $pass = shift;

	return $db->query("SELECT state LIKE 'finished%' AND $pass->{number} =
		(SELECT max(pass) FROM streamiter.run) FROM streamiter.jobs") eq 't';
}

sub run_pass
{
	my $pass = begin_pass();
	my $name = "$pass->{kind}, chunks of $pass->{chunk}, " . keys(%{ $pass->{bad} }) . ' bad rows';

	do { 1 } while run_and_kill($pass);
	verdict("pass $pass->{number}: $name", problems_at_end(facts(), $pass));
	$passes++;
	return if !%{ $pass->{bad} };

	# repaired, the bad rows are tried again
	$db->query('UPDATE work SET bad = false WHERE bad');
	$db->query("SELECT streamiter.retry_skipped('job')");
	$pass->{retrying} = 1;
	do { 1 } while run_and_kill($pass);
	verdict("pass $pass->{number}: retried", problems_at_end(facts(), $pass));
	return;
}

# A walk in one transaction, besides: all of it happens, or nothing
sub run_walk
{
	$db->query('TRUNCATE work, log');
	$db->query("INSERT INTO work SELECT 3 * i, 0, false FROM generate_series(1, $rows) i");
	my $session = Session->wait_for_server($node);

	$session->send("SELECT streamiter.for_each('SELECT id, bad FROM work', 'row function')");
	if (!$session->done(rand($rows / 50_000)))
	{
		my $how = kill_it($session, 1);
		my @files = glob $node->data_dir . '/base/pgsql_tmp/*';

		$killed++;
		verdict("$killed: walk, $how",
			$db->query('SELECT count(*) FROM log') eq 0 && $db->query('SELECT max(n) FROM work') eq 0
			? () : 'part of it has happened',
			@files ? 'temporary files are left' : ());
	}
	return;
}

$server->start;
$db = Session->wait_for_server($node);
create_work();
while ($killed < $cycles)
{
	if (rand() < 0.05) { run_walk(); }
	else { run_pass(); }
}
$server->stop;

note sprintf '%d kills in %d s, %d passes over %d rows', $killed, time - $begun, $passes, $rows;
note sprintf '%5d %s', $kills{$_}, $_ for sort keys %kills;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal (?!9)/, 'no crash but ours');

done_testing();
